package chart

import (
	"hash/fnv"
	"html"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"

	stdfont "golang.org/x/image/font"
)

func escape(s string) string { return html.EscapeString(s) }

// identifier makes s fit for an id. Distinct strings stay distinct.
func identifier(s string) string {
	ok := s != "" && len(s) <= 64
	for _, r := range s {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	if ok {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s)) // #nosec G104 -- a hash takes everything
	return "chart-" + strconv.FormatUint(h.Sum64(), 16)
}

// The metrics of Liberation Sans are those of Arial and Helvetica, which the
// stylesheet asks for.
var fonts = font.NewCache(liberation.Collection())

// allowance is for readers whose sans serif runs wider than Helvetica.
const allowance = 1.06

// width is how much room s takes, in user units.
func width(s string, size float64, bold bool) float64 {
	f := font.Font{Typeface: "Liberation", Variant: "Sans"}
	if bold {
		f.Weight = stdfont.WeightBold
	}
	face := fonts.Lookup(f, vg.Length(size))
	known := strings.Map(func(r rune) rune {
		if r >= 0x2e80 { // scripts in which a letter is about as wide as it is high
			return '—'
		}
		return r
	}, s)
	return float64(face.Width(known)) * allowance
}

// fit cuts s to the room there is.
func fit(s string, room, size float64, bold bool) string {
	if width(s, size, bold) <= room {
		return s
	}
	r := []rune(s)
	lo, hi := 0, len(r)
	for lo < hi { // the longest prefix that fits
		mid := (lo + hi + 1) / 2
		if width(strings.TrimRight(string(r[:mid]), " ")+"…", size, bold) <= room {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	if lo == 0 {
		return ""
	}
	return strings.TrimRight(string(r[:lo]), " ") + "…"
}

// wrap breaks s into lines.
func wrap(s string, room, size float64, bold bool) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if next := strings.TrimSpace(line + " " + word); line == "" || width(next, size, bold) <= room {
			line = next
			continue
		}
		lines = append(lines, fit(line, room, size, bold))
		line = word
	}
	return append(lines, fit(line, room, size, bold))
}
