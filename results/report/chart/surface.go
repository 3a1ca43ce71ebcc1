package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"

	"github.com/perwatt/perwatt/results"
)

// sheet is one drawing. Its coordinates are those of SVG: y runs down.
type surface struct {
	*canvas
	narrow      bool
	w, h        float64
	size, small float64 // of type
	line        float64 // from one line of small type to the next
	place       placer
}

// A wide drawing is shown from 640 px, where its small type is 11 px high; a
// narrow one below, where on a phone its small type is that high too.
func newSurface(narrow bool) *surface {
	s := &surface{canvas: newCanvas(), narrow: narrow, w: 720, size: 13.5, small: 12.5, line: 17}
	if narrow {
		s.w, s.size, s.small, s.line = 380, 12.5, 11.8, 15.5
	}
	s.base = s.size
	return s
}

func (s *surface) write(out *strings.Builder, id, title, desc string) {
	class := "wide"
	if s.narrow {
		class = "narrow"
	}
	id += "-" + class
	s.h = math.Ceil(s.h)
	fmt.Fprintf(out, `<svg class="%s" viewBox="0 0 %g %g" font-size="%g" role="img" aria-labelledby="%s-title %[5]s-desc" xmlns="http://www.w3.org/2000/svg">`,
		class, s.w, s.h, s.size, id)
	fmt.Fprintf(out, `<title id="%s-title">%s</title><desc id="%[1]s-desc">%[3]s</desc>`, id, escape(title), escape(desc))
	out.Write(s.buf.Bytes())
	out.WriteString("</svg>")
}

// pt is a point of the sheet on the canvas, whose y runs up.
func pt(x, y float64) vg.Point { return vg.Point{X: vg.Length(x), Y: vg.Length(-y)} }

type style struct {
	ink    ink
	size   float64 // 0 is the size of names
	bold   bool
	halo   bool // keeps clear of what lies below
	anchor string
}

const (
	middle = "middle"
	end    = "end"
)

func (s *surface) text(x, y float64, t string, st style) {
	c := s.canvas
	c.Push()
	c.SetColor(st.ink)
	if st.ink == "" {
		c.SetColor(text)
	}
	c.size, c.bold, c.halo, c.anchor = st.size, st.bold, st.halo, st.anchor
	if c.size == 0 {
		c.size = s.size
	}
	c.FillString(font.Face{}, pt(x, y), t)
	c.Pop()
}

// stroke draws a line along p.
func (s *surface) stroke(p vg.Path, i ink, w float64, dash ...vg.Length) {
	if len(p) == 0 {
		return
	}
	s.SetColor(i)
	s.SetLineWidth(vg.Length(w))
	s.SetLineDash(dash, 0)
	s.Stroke(p)
}

func (s *surface) fill(p vg.Path, i ink) {
	s.SetColor(i)
	s.Fill(p)
}

func (s *surface) segment(x0, y0, x1, y1 float64, i ink, w float64, dash ...vg.Length) {
	s.stroke(polyline(x0, y0, x1, y1), i, w, dash...)
}

func (s *surface) rect(x, y, w, h float64, i ink) { s.fill(rectangle(x, y, w, h), i) }

func rectangle(x, y, w, h float64) vg.Path {
	p := polyline(x, y, x+w, y, x+w, y+h, x, y+h)
	p.Close()
	return p
}

// polyline is the path through x0, y0, x1, y1 …
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

// tip groups what draw draws under a title, which a browser shows where the
// pointer rests.
func (s *surface) tip(t string, draw func()) {
	s.buf.WriteString("<g><title>" + escape(results.Line(t, 110)) + "</title>")
	draw()
	s.buf.WriteString("</g>")
}

// shape is the form of a mark.
type shape int

const (
	disc shape = iota
	square
	triangle
	diamond
	wedge // a triangle on its tip
	cross
)

const shapes = 6

// mark draws a mark of radius r; a hollow one is filled with paper.
func (s *surface) mark(x, y, r float64, form shape, i ink, hollow bool) {
	var p vg.Path
	switch form % shapes {
	case disc:
		p.Arc(pt(x, y), vg.Length(r), 0, 2*math.Pi)
	case square:
		a := r * 0.9
		p = polyline(x-a, y-a, x+a, y-a, x+a, y+a, x-a, y+a)
		p.Close()
	case triangle:
		p = polyline(x, y-r*1.2, x+r*1.1, y+r*0.8, x-r*1.1, y+r*0.8)
		p.Close()
	case diamond:
		a := r * 1.25
		p = polyline(x, y-a, x+a, y, x, y+a, x-a, y)
		p.Close()
	case wedge:
		p = polyline(x, y+r*1.2, x+r*1.1, y-r*0.8, x-r*1.1, y-r*0.8)
		p.Close()
	case cross:
		a, b := r*1.1, r*0.38
		p = polyline(x-b, y-a, x+b, y-a, x+b, y-b, x+a, y-b, x+a, y+b, x+b, y+b, x+b, y+a, x-b, y+a, x-b, y+b, x-a, y+b, x-a, y-b, x-b, y-b)
		p.Close()
	}
	if hollow {
		s.fill(p, paper)
		s.stroke(p, i, 1.8)
		return
	}
	s.fill(p, i)
	s.stroke(p, paper, 1)
}

// box is where something is.
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

// placer finds room for labels: none lies on another or on a mark, and none
// on a line if that can be helped.
type placer struct{ marks, lines []box }

func (p *placer) take(b ...box)  { p.marks = append(p.marks, b...) }
func (p *placer) avoid(b ...box) { p.lines = append(p.lines, b...) }

func (p *placer) free(b box) bool {
	return !slices.ContainsFunc(p.marks, b.meets) && !slices.ContainsFunc(p.lines, b.meets)
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
	far    bool // far enough to need a line from the mark
	box    box
}

// beside finds a place within bounds for a label of the given width beside
// the mark of radius r at x, y.
func (p *placer) beside(x, y, r, w, size float64, bounds box) (spot, bool) {
	mid := size * 0.27
	for _, d := range []float64{r + 4, r + 16, r + 30} {
		for _, strict := range []bool{true, false} {
			k := d * 0.75
			for _, c := range []spot{
				{x: x + d, y: y + mid}, {x: x - d, y: y + mid, anchor: end},
				{x: x + k, y: y - k}, {x: x + k, y: y + k + 2*mid},
				{x: x - k, y: y - k, anchor: end}, {x: x - k, y: y + k + 2*mid, anchor: end},
				{x: x, y: y - d, anchor: middle}, {x: x, y: y + d + 2.6*mid, anchor: middle},
			} {
				c.far = d > r+10
				c.box = textBox(c.x, c.y, w, size, c.anchor)
				if !c.box.within(bounds) || slices.ContainsFunc(p.marks, c.box.meets) || strict && slices.ContainsFunc(p.lines, c.box.meets) {
					continue
				}
				p.take(c.box)
				return c, true
			}
		}
	}
	return spot{}, false
}

// spread moves the wanted places so that they are at least gap apart within
// lo and hi, in their order; ok is false if there is no room for all.
func spread(want []float64, gap, lo, hi float64) (at []float64, ok bool) {
	at = append(at, want...)
	for i := range at {
		at[i] = max(at[i], lo)
		if i > 0 {
			at[i] = max(at[i], at[i-1]+gap)
		}
	}
	for i := len(at) - 1; i >= 0; i-- {
		top := hi
		if i < len(at)-1 {
			top = at[i+1] - gap
		}
		at[i] = min(at[i], top)
	}
	return at, len(at) == 0 || at[0] >= lo-1e-9
}
