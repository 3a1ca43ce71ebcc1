package chart

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// surface is one drawing. Its coordinates are those of SVG: y runs down.
type surface struct {
	canvas
	narrow      bool
	w, h        float64
	size, small float64 // of type
	line        float64 // from one line of small type to the next
	place       placer
	keys        []key           // of the legend above the drawing
	notes       []template.HTML // below the drawing
	data        string          // attributes for a script
	live        bool            // a script may redraw it
}

// key is an entry of a legend: the look of a series, drawn into swatchW × swatchH.
type key struct {
	name   string
	swatch func(s *surface)
}

const swatchW, swatchH = 28, 14

// The wide drawing is shown from 640 px, the narrow one below, down to phones of
// 358 px. Small type is at least 11 px high in both.
func newSurface(narrow bool) *surface {
	if narrow {
		return &surface{narrow: true, w: 380, size: 12.5, small: 11.8, line: 15.5}
	}
	return &surface{w: 720, size: 13.5, small: 12.5, line: 17}
}

func (s *surface) write(out *strings.Builder, id, title, desc string) {
	class := "wide"
	if s.narrow {
		class = "narrow"
	}
	s.markup("</svg>")
	fmt.Fprintf(out, `<svg class="%s" viewBox="0 0 %g %g" font-size="%g"%[9]s role="img" aria-labelledby="%[5]s-%[1]s-title %[5]s-%[1]s-desc" xmlns="http://www.w3.org/2000/svg">`+
		`<title id="%[5]s-%[1]s-title">%[6]s</title><desc id="%[5]s-%[1]s-desc">%[7]s</desc>%[8]s`,
		class, s.w, math.Ceil(s.h), s.small, id, html.EscapeString(title), html.EscapeString(desc), s.buf.Bytes(), s.data)
}

// style is the look of a text; the zero value is for names.
type style struct {
	ink    ink     // "" is the ink of text
	size   float64 // 0 is the size of names
	bold   bool
	halo   bool // outlined in the paper colour, over lines
	anchor string
	whole  string // what is shown of a name that was cut, as a tooltip
}

// Anchors; the stylesheet has their classes.
const (
	middle = "mid"
	end    = "end"
)

// text writes t with x as its start, middle or end, so that it stays aligned in
// any font.
func (s *surface) text(x, y float64, t string, st style) {
	if t == "" {
		return
	}
	class := "f-" + string(text)
	if st.ink != "" {
		class = "f-" + string(st.ink)
	}
	if st.bold {
		class = "b " + class
	}
	if st.halo {
		class = "h " + class
	}
	if st.anchor != "" {
		class += " " + st.anchor
	}
	out := `<text class="` + class + `"` + attr("x", x) + attr("y", y)
	size := cmp.Or(st.size, s.size)
	if size != s.small {
		out += attr("font-size", size)
	}
	if !measured(t, st.bold) {
		out += attr("textLength", width(t, size, st.bold)) + ` lengthAdjust="spacingAndGlyphs"`
	}
	s.markup(out + ">" + html.EscapeString(t) + "</text>")
}

// lines writes lines of text from the baseline y down and returns the next baseline.
func (s *surface) lines(x, y float64, lines []string, st style) float64 {
	put := func() {
		for i, l := range lines {
			s.text(x, y+s.step(st)*float64(i), l, st)
		}
	}
	if st.whole != "" {
		s.tip(st.whole, put)
	} else {
		put()
	}
	return y + s.step(st)*float64(len(lines))
}

// step is the distance between lines of a style.
func (s *surface) step(st style) float64 { return s.line * cmp.Or(st.size, s.size) / s.small }

// note writes small muted text.
func (s *surface) note(x, y float64, t, anchor string) {
	s.text(x, y, t, style{ink: muted, size: s.small, anchor: anchor})
}

// remark writes lines of small muted text from the baseline y down, as wide as room, and
// returns the next baseline.
func (s *surface) remark(x, y, room float64, t string) float64 {
	return s.lines(x, y, s.wrap(t, room), style{ink: muted, size: s.small})
}

// centred writes small muted lines centred at x, moved as needed to fit between 0 and
// right, and returns the next baseline.
func (s *surface) centred(x, y, right float64, lines []string) float64 {
	half := widest(lines, s.small, false) / 2
	return s.lines(min(max(x, half), right-half), y, lines, style{ink: muted, size: s.small, anchor: middle})
}

// foot adds notes below the drawing.
func (s *surface) foot(notes ...template.HTML) {
	for _, n := range notes {
		if n != "" {
			s.notes = append(s.notes, n)
		}
	}
}

// legend adds an entry of a legend above the drawing.
func (s *surface) legend(name string, swatch func(s *surface)) {
	s.keys = append(s.keys, key{name, swatch})
}

// legendHTML is the legend; the names are text of the page, which wraps.
func (s *surface) legendHTML() string {
	var out strings.Builder
	for _, k := range s.keys {
		of := &surface{w: swatchW, h: swatchH}
		k.swatch(of)
		of.markup("</svg>")
		fmt.Fprintf(&out, `<li><svg viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" aria-hidden="true">%s %s</li>`, swatchW, swatchH, of.buf.Bytes(), html.EscapeString(k.name))
	}
	return out.String()
}

// noteIf is note if the condition holds, else "".
func noteIf(is bool, note string) string {
	if is {
		return note
	}
	return ""
}

// plain escapes a note that may hold names.
func plain(t string) template.HTML { return template.HTML(html.EscapeString(t)) } // #nosec G203 -- escaped

// unmeasured explains hollow marks.
func unmeasured(is bool) template.HTML { return plain(noteIf(is, "Hollow, ~: not measured.")) }

// undrawn says how many of all are left out for lack of room, and where they are.
func (h Head) undrawn(n int, what string) template.HTML {
	if n <= 0 {
		return ""
	}
	return plain(results.Plural(n, what)+" not drawn") + h.rest()
}

// rest leads to the table that has what is left out.
func (h Head) rest() template.HTML {
	if h.Table == "" {
		return "."
	}
	return template.HTML(`: <a href="#` + html.EscapeString(h.Table) + `">the table has all of them</a>.`) // #nosec G203 -- escaped
}

// pen is the style of a line of width w.
func pen(i ink, w float64, dash ...float64) lineStyle { return lineStyle{i, w, dash} }

// stroke draws a line through x0, y0, x1, y1 …
func (s *surface) stroke(l lineStyle, xy ...float64) { s.path(l.look(), points(xy), false) }

// fill fills the area within x0, y0, x1, y1 …
func (s *surface) fill(i ink, xy ...float64) { s.path(filled(i), points(xy), true) }

func (s *surface) rect(x, y, w, h float64, i ink) { s.fill(i, rectangle(x, y, w, h)...) }

func rectangle(x, y, w, h float64) []float64 {
	return []float64{x, y, x + w, y, x + w, y + h, x, y + h}
}

func points(xy []float64) (out []point) {
	for i := 0; i+1 < len(xy); i += 2 {
		out = append(out, point{xy[i], xy[i+1]})
	}
	return out
}

// tip groups what draw draws under a title, which browsers show as a tooltip.
func (s *surface) tip(t string, draw func()) {
	s.markup("<g><title>" + html.EscapeString(results.Line(t, 110)) + "</title>")
	draw()
	s.markup("</g>")
}

// group groups what draw draws for a script, unless id is empty.
func (s *surface) group(attribute, id string, draw func()) {
	if id == "" {
		draw()
		return
	}
	s.markup("<g " + attribute + `="` + html.EscapeString(results.Line(id, 200)) + `">`)
	draw()
	s.markup("</g>")
}

// axis groups what draw draws of an axis, x or y, for a script.
func (s *surface) axis(name string, draw func()) { s.group("data-axis", noteIf(s.live, name), draw) }

// ends are two points of an axis for a script: their coordinates in the drawing, and
// their values.
func ends(axis string, from, to float64, of scale) string {
	return fmt.Sprintf(` data-%s="%s %s %g %g"`, axis, number(from), number(to), of.min, of.max)
}

// flag is the label of a vertical line, in order from left to right.
type flag struct {
	at   float64 // of the line
	name string

	x     float64 // of the middle of the label
	label string  // "" if the label of the one before names both
}

// flags labels lines in one row: by their names if there is room for all, or else by
// letters, which the notes explain.
func (s *surface) flags(of []flag) (notes []template.HTML) {
	direct, last := true, math.Inf(-1)
	set := func(f *flag, label string) (from, to float64) {
		half := s.width(label) / 2
		f.label, f.x = label, max(half, min(f.at, s.w-half))
		return f.x - half - 4, f.x + half + 4
	}
	for i := range of {
		from, to := set(&of[i], results.Line(of[i].name, 60))
		direct = direct && from >= last && to-from <= s.w+8
		last = to
	}
	if direct {
		return nil
	}
	var apart []*flag // those that keep a label
	for i := range of {
		letter := string(rune('a' + i%26))
		notes = append(notes, plain(letter+": "+cmp.Or(results.Line(of[i].name, 90), "no name")+map[bool]string{true: ".", false: ";"}[i == len(of)-1]))
		f := &of[i]
		from, _ := set(f, letter)
		for ; len(apart) > 0; apart = apart[:len(apart)-1] {
			before := apart[len(apart)-1]
			if _, to := set(before, before.label); to <= from {
				break
			}
			label := before.label + f.label
			f.label, f = "", before
			from, _ = set(f, label)
		}
		apart = append(apart, f)
	}
	return notes
}

// outlines are the forms of marks of radius 1, as x0, y0, x1, y1 …; nil is a
// disc.
var outlines = [][]float64{
	nil,
	{-0.9, -0.9, 0.9, -0.9, 0.9, 0.9, -0.9, 0.9}, // square
	{0, -1.2, 1.1, 0.8, -1.1, 0.8},               // triangle
	{0, -1.25, 1.25, 0, 0, 1.25, -1.25, 0},       // diamond
	{0, 1.2, 1.1, -0.8, -1.1, -0.8},              // triangle on its tip
	{-.38, -1.1, .38, -1.1, .38, -.38, 1.1, -.38, 1.1, .38, .38, .38, .38, 1.1, -.38, 1.1, -.38, .38, -1.1, .38, -1.1, -.38, -.38, -.38}, // cross
}

// Forms with a fixed meaning.
const (
	disc    = 0
	square  = 1
	diamond = 3
)

// mark draws a mark of radius r; a hollow one is filled with paper.
func (s *surface) mark(x, y, r float64, form int, i ink, hollow bool) {
	fill, line := i, pen(paper, 1)
	if hollow {
		fill, line = paper, pen(i, 1.8)
	}
	xy := slices.Clone(outlines[form%len(outlines)])
	look := both(fill, line)
	if xy == nil {
		s.circle(look, point{x, y}, r)
		return
	}
	for j := 0; j < len(xy); j += 2 {
		xy[j], xy[j+1] = x+r*xy[j], y+r*xy[j+1]
	}
	s.path(look, points(xy), true)
}

// box is an occupied area.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) meets(c box) bool { return b.x0 < c.x1 && c.x0 < b.x1 && b.y0 < c.y1 && c.y0 < b.y1 }

func (b box) within(c box) bool { return b.x0 >= c.x0 && b.x1 <= c.x1 && b.y0 >= c.y0 && b.y1 <= c.y1 }

func textBox(x, y, w, size float64, anchor string) box {
	switch anchor {
	case middle:
		x -= w / 2
	case end:
		x -= w
	}
	return box{x, y - size*0.78, x + w, y + size*0.24}
}

// placer finds room for labels: they never cover marks or other labels.
type placer struct {
	taken, labels []box
	guides        []box // lines that labels cover only if there is no other place
}

func (p *placer) take(b ...box) { p.taken = append(p.taken, b...) }

// takeFree takes b if it is free, and reports whether it was.
func (p *placer) takeFree(b box) bool {
	if slices.ContainsFunc(p.taken, b.meets) {
		return false
	}
	p.take(b)
	return true
}

// free takes b and the line that leads to it, if b is free and the line leaves all
// labels free.
func (p *placer) free(b box, leader []float64, onGuides bool) bool {
	if !onGuides && slices.ContainsFunc(p.guides, b.meets) || slices.ContainsFunc(p.taken, b.meets) {
		return false
	}
	var line []box
	if len(leader) == 4 {
		line = along(leader[0], leader[1], leader[2], leader[3])
	}
	if slices.ContainsFunc(line, func(l box) bool { return slices.ContainsFunc(p.labels, l.meets) }) {
		return false
	}
	p.take(b)
	p.take(line...)
	p.labels = append(p.labels, b)
	return true
}

// broken draws a guide, except where labels are.
func (s *surface) broken(g guide) {
	type gap struct{ from, to float64 } // shares of the line
	var gaps []gap
	dx, dy := g.x1-g.x0, g.y1-g.y0
	for _, l := range s.place.labels {
		from, to := 0.0, 1.0
		for _, c := range [][2]float64{{-dx, g.x0 - l.x0 + 2}, {dx, l.x1 + 2 - g.x0}, {-dy, g.y0 - l.y0 + 2}, {dy, l.y1 + 2 - g.y0}} {
			switch p, q := c[0], c[1]; { // Liang and Barsky's clipping
			case p == 0 && q < 0:
				to = -1
			case p < 0:
				from = max(from, q/p)
			case p > 0:
				to = min(to, q/p)
			}
		}
		if from < to {
			gaps = append(gaps, gap{from, to})
		}
	}
	slices.SortFunc(gaps, func(a, b gap) int { return cmp.Compare(a.from, b.from) })
	at := 0.0
	for _, c := range append(gaps, gap{1, 1}) {
		if c.from > at {
			s.stroke(g.style, g.x0+dx*at, g.y0+dy*at, g.x0+dx*c.from, g.y0+dy*c.from)
		}
		at = max(at, c.to)
	}
}

// along are boxes on the line between two points.
func along(x0, y0, x1, y1 float64) (out []box) {
	n := int(min(math.Hypot(x1-x0, y1-y0)/4, 300)) + 1
	out = make([]box, 0, n+1)
	for i := range n + 1 {
		f := float64(i) / float64(n)
		x, y := x0+(x1-x0)*f, y0+(y1-y0)*f
		out = append(out, box{x - 2, y - 2, x + 2, y + 2})
	}
	return out
}

// spot is a place for a label beside a mark.
type spot struct {
	x, y   float64 // of its first line
	anchor string
	leader []float64 // from the mark to a label that is not next to it
}

// beside finds a place within bounds for n lines of text of width w beside the mark
// of radius r at x, y.
func (s *surface) beside(x, y, r, w float64, n int, onGuides bool, bounds box) (spot, bool) {
	mid, more := s.small*0.27, s.line*float64(n-1)
	for _, d := range []float64{r + 4, r + 16, r + 30, r + 46} {
		k := d * 0.75
		for _, c := range []spot{
			{x: x + d, y: y + mid - more/2}, {x: x - d, y: y + mid - more/2, anchor: end},
			{x: x + k, y: y - k - more}, {x: x + k, y: y + k + 2*mid},
			{x: x - k, y: y - k - more, anchor: end}, {x: x - k, y: y + k + 2*mid, anchor: end},
			{x: x, y: y - d - more, anchor: middle}, {x: x, y: y + d + 2.6*mid, anchor: middle},
		} {
			b := textBox(c.x, c.y, w, s.small, c.anchor)
			b.y1 += more
			if !b.within(bounds) {
				continue
			}
			bx, by := min(max(x, b.x0), b.x1), min(max(y, b.y0), b.y1)
			if away := math.Hypot(bx-x, by-y); d > r+10 && away > r+3 {
				c.leader = []float64{x + (bx-x)*(r+1)/away, y + (by-y)*(r+1)/away, bx, by}
			}
			if s.place.free(b, c.leader, onGuides) {
				return c, true
			}
		}
	}
	return spot{}, false
}
