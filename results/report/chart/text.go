package chart

import (
	"hash/fnv"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"

	stdfont "golang.org/x/image/font"
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

// The metrics of Liberation Sans are those of Arial and Helvetica, which the
// stylesheet asks for.
var fonts = font.NewCache(liberation.Collection())

// allowance covers readers whose sans serif is wider than Helvetica, such as
// DejaVu Sans.
const allowance = 1.15

// width is the width of s in user units.
func width(s string, size float64, bold bool) float64 {
	f := font.Font{Typeface: "Liberation", Variant: "Sans"}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	known := strings.Map(func(r rune) rune {
		if r >= 0x2e80 { // scripts whose letters are about as wide as high
			return '—'
		}
		return r
	}, s)
	face := fonts.Lookup(f, vg.Length(size))
	return float64(face.Width(known)) * allowance
}

// fit cuts s to a width of room.
func fit(s string, room, size float64, bold bool) string {
	if width(s, size, bold) <= room {
		return s
	}
	r := []rune(s)
	cut := func(n int) string { return strings.TrimRight(string(r[:n]), " ") + "…" }
	n := sort.Search(len(r), func(n int) bool { return width(cut(n+1), size, bold) > room })
	if n == 0 {
		return ""
	}
	return cut(n)
}

// width and fit apply to small type.
func (s *surface) width(t string) float64            { return width(t, s.small, false) }
func (s *surface) fit(t string, room float64) string { return fit(t, room, s.small, false) }

// wrap breaks s into lines of at most room and cuts words that are longer.
func wrap(s string, room, size float64) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if next := strings.TrimSpace(line + " " + word); line == "" || width(next, size, false) <= room {
			line = next
			continue
		}
		lines = append(lines, fit(line, room, size, false))
		line = word
	}
	return append(lines, fit(line, room, size, false))
}
