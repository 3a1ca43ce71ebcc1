package chart

import (
	"cmp"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// identifier returns s if it is a valid id, else a hash of it.
func identifier(s string) string {
	if plainID.MatchString(s) {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s)) // #nosec G104 -- a hash takes everything
	return "chart-" + strconv.FormatUint(h.Sum64(), 16)
}

//go:generate go run -C _widths .

// slack covers what fonts that were not measured, hinting and kerning may add.
const slack = 1.03

// widthOf is how wide r is at most, in em, and whether that was measured.
func widthOf(r rune, bold bool) (em float64, known bool) {
	pages := regularWidths
	if bold {
		pages = boldWidths
	}
	if page := pages[r>>8]; page != "" && page[r&255] > 0 {
		return float64(page[r&255]) / 128, true
	}
	return 1, false // scripts whose letters are about as wide as high
}

// width is the width of s in user units, in the widest of the measured fonts.
func width(s string, size float64, bold bool) float64 {
	em := 0.0
	for _, r := range s {
		w, _ := widthOf(r, bold)
		em += w
	}
	return em * size * slack
}

// measured reports whether the fonts that were measured have all of s. The width of
// other texts is a guess, which their elements enforce.
func measured(s string, bold bool) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { _, known := widthOf(r, bold); return !known })
}

// nameRunes is the most characters of a name that are drawn. A longer one ends in …,
// with all of it in a title.
const nameRunes = 64

// cut returns as much of a name as is drawn, and all of it if that is more.
func cut(name string) (drawn, whole string) {
	drawn = results.Line(name, nameRunes)
	if whole = results.Line(name, 300); whole == drawn {
		whole = ""
	}
	return drawn, whole
}

// wrap breaks s into lines of at most room: at spaces, else after a sign, else
// anywhere. A line has at least one character.
func wrap(s string, room, size float64, bold bool) (lines []string) {
	rest := []rune(strings.Trim(s, " "))
	for len(rest) > 0 {
		end, word, sign, w := 0, 0, 0, 0.0 // where the line may end
		for end < len(rest) {
			if w += width(string(rest[end]), size, bold); w > room+0.01 && end > 0 {
				break
			}
			if end++; end < len(rest) && rest[end] == ' ' {
				word = end
			} else if strings.ContainsRune("-–/,.:;@_·×+", rest[end-1]) {
				sign = end
			}
		}
		if end < len(rest) {
			end = cmp.Or(word, sign, end)
		}
		lines = append(lines, strings.TrimRight(string(rest[:end]), " "))
		rest = []rune(strings.TrimLeft(string(rest[end:]), " "))
	}
	return lines
}

// width and wrap apply to small type.
func (s *surface) width(t string) float64               { return width(t, s.small, false) }
func (s *surface) wrap(t string, room float64) []string { return wrap(t, room, s.small, false) }

// widest is the width of the widest line.
func widest(lines []string, size float64, bold bool) (w float64) {
	for _, l := range lines {
		w = max(w, width(l, size, bold))
	}
	return w
}
