package chart

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

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
}

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
	fmt.Fprintf(out, `<svg class="%s" viewBox="0 0 %g %g" font-size="%g" role="img" aria-labelledby="%[5]s-%[1]s-title %[5]s-%[1]s-desc" xmlns="http://www.w3.org/2000/svg">`+
		`<title id="%[5]s-%[1]s-title">%[6]s</title><desc id="%[5]s-%[1]s-desc">%[7]s</desc>%[8]s`,
		class, s.w, math.Ceil(s.h), s.size, id, html.EscapeString(title), html.EscapeString(desc), s.buf.Bytes())
}

// pt is a point of the surface on a vg.Canvas, whose y runs up.
func pt(x, y float64) vg.Point { return vg.Point{X: vg.Length(x), Y: vg.Length(-y)} }

// style is the look of a text; the zero value is for names.
type style struct {
	ink    ink     // "" is the ink of text
	size   float64 // 0 is the size of names
	bold   bool
	halo   bool // outlined in the paper colour, over lines
	anchor string
}

const (
	middle = "middle"
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
	out := `<text class="` + class + `"` + attr("x", x) + attr("y", y)
	if st.size != 0 && st.size != s.size {
		out += attr("font-size", st.size)
	}
	if st.anchor != "" {
		out += ` text-anchor="` + st.anchor + `"`
	}
	s.markup(out + ">" + html.EscapeString(t) + "</text>")
}

// note writes small muted text.
func (s *surface) note(x, y float64, t, anchor string) {
	s.text(x, y, t, style{ink: muted, size: s.small, anchor: anchor})
}

// centred writes a note centred at x, moved as needed to fit between 0 and right.
func (s *surface) centred(x, y, right float64, t string) {
	t = s.fit(t, right)
	half := s.width(t) / 2
	s.note(min(max(x, half), right-half), y, t, middle)
}

// foot writes notes below the chart and extends the drawing.
func (s *surface) foot(notes ...string) {
	notes = slices.DeleteFunc(notes, func(n string) bool { return n == "" })
	if len(notes) == 0 {
		return
	}
	s.h += 4
	for _, l := range wrap(strings.Join(notes, "  "), s.w-4, s.small) {
		s.h += s.line
		s.note(0, s.h-4, l, "")
	}
	s.h += 3
}

// noteIf is note if the condition holds, else "".
func noteIf(is bool, note string) string {
	if is {
		return note
	}
	return ""
}

// unmeasured explains hollow marks.
func unmeasured(is bool) string { return noteIf(is, "Hollow, ~: not measured.") }

// undrawn and counted say how many are left out for lack of room.
func undrawn(n int, what string) string { return noteIf(n > 0, fmt.Sprintf("%d more %s.", n, what)) }

func counted(n int, noun, rest string) string {
	return noteIf(n > 0, results.Plural(n, noun)+" "+rest+".")
}

// pen is the style of a line of width w.
func pen(i ink, w float64, dash ...vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: i, Width: vg.Length(w), Dashes: dash}
}

// stroke draws a line through x0, y0, x1, y1 …
func (s *surface) stroke(l draw.LineStyle, xy ...float64) { s.strokePath(polyline(xy...), l) }

func (s *surface) strokePath(p vg.Path, l draw.LineStyle) {
	(&draw.Canvas{Canvas: s}).SetLineStyle(l)
	s.Stroke(p)
}

// fill fills the area within x0, y0, x1, y1 …
func (s *surface) fill(i ink, xy ...float64) {
	s.SetColor(i)
	s.Fill(closed(xy...))
}

func (s *surface) rect(x, y, w, h float64, i ink) { s.fill(i, rectangle(x, y, w, h)...) }

func rectangle(x, y, w, h float64) []float64 {
	return []float64{x, y, x + w, y, x + w, y + h, x, y + h}
}

func polyline(xy ...float64) (p vg.Path) {
	for i := 0; i+1 < len(xy); i += 2 {
		if i == 0 {
			p.Move(pt(xy[i], xy[i+1]))
		} else {
			p.Line(pt(xy[i], xy[i+1]))
		}
	}
	return p
}

func closed(xy ...float64) vg.Path {
	p := polyline(xy...)
	p.Close()
	return p
}

// tip groups what draw draws under a title, which browsers show as a tooltip.
func (s *surface) tip(t string, draw func()) {
	s.markup("<g><title>" + html.EscapeString(results.Line(t, 110)) + "</title>")
	draw()
	s.markup("</g>")
}

// outlines are the forms of marks of radius 1, as x0, y0, x1, y1 …; nil is a
// disc. gonum/plot has only three filled glyphs, and error bars show through its
// hollow ones.
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
	disc   = 0
	square = 1
)

// mark draws a mark of radius r; a hollow one is filled with paper.
func (s *surface) mark(x, y, r float64, form int, i ink, hollow bool) {
	var p vg.Path
	if o := outlines[form%len(outlines)]; o == nil {
		p.Arc(pt(x, y), vg.Length(r), 0, 2*math.Pi)
	} else {
		xy := slices.Clone(o)
		for j := 0; j < len(xy); j += 2 {
			xy[j], xy[j+1] = x+r*xy[j], y+r*xy[j+1]
		}
		p = closed(xy...)
	}
	fill, line := i, pen(paper, 1)
	if hollow {
		fill, line = paper, pen(i, 1.8)
	}
	s.SetColor(fill)
	s.Fill(p)
	s.strokePath(p, line)
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

// placer finds room for labels. They never cover marks or other labels, and
// cover lines only if there is no other place.
type placer struct{ marks, lines []box }

func (p *placer) take(b ...box)  { p.marks = append(p.marks, b...) }
func (p *placer) avoid(b ...box) { p.lines = append(p.lines, b...) }

// takeFree takes b if it is free, and reports whether it was.
func (p *placer) takeFree(b box) bool {
	if slices.ContainsFunc(p.marks, b.meets) || slices.ContainsFunc(p.lines, b.meets) {
		return false
	}
	p.take(b)
	return true
}

// avoidLine keeps labels off the line between two points.
func (p *placer) avoidLine(x0, y0, x1, y1 float64) {
	n := int(min(math.Hypot(x1-x0, y1-y0)/6, 200)) + 1
	for i := range n + 1 {
		f := float64(i) / float64(n)
		x, y := x0+(x1-x0)*f, y0+(y1-y0)*f
		p.avoid(box{x - 1.5, y - 1.5, x + 1.5, y + 1.5})
	}
}

// spot is a place for a label beside a mark.
type spot struct {
	x, y   float64 // of its text
	anchor string
	far    bool // needs a leader line from the mark
	box    box
}

// beside finds a place within bounds for a label of width w beside the mark
// of radius r at x, y. gonum's plotter.Labels does not avoid overlaps.
func (p *placer) beside(x, y, r, w, size float64, bounds box) (spot, bool) {
	mid := size * 0.27
	for _, d := range []float64{r + 4, r + 16, r + 30} {
		k := d * 0.75
		for _, strict := range []bool{true, false} {
			for _, c := range []spot{
				{x: x + d, y: y + mid}, {x: x - d, y: y + mid, anchor: end},
				{x: x + k, y: y - k}, {x: x + k, y: y + k + 2*mid},
				{x: x - k, y: y - k, anchor: end}, {x: x - k, y: y + k + 2*mid, anchor: end},
				{x: x, y: y - d, anchor: middle}, {x: x, y: y + d + 2.6*mid, anchor: middle},
			} {
				c.far = d > r+10
				c.box = textBox(c.x, c.y, w, size, c.anchor)
				if c.box.within(bounds) && !slices.ContainsFunc(p.marks, c.box.meets) && !(strict && slices.ContainsFunc(p.lines, c.box.meets)) {
					p.take(c.box)
					return c, true
				}
			}
		}
	}
	return spot{}, false
}
