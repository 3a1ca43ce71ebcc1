// Package chart draws the pictures of a report as inline SVG: what was found,
// with its interval, named where it stands.
//
// A chart is a struct of plain numbers; its SVG method returns a fragment that
// stands in a page whose stylesheet holds CSS. The fragment carries two
// drawings, one for wide containers and one for phones, and the stylesheet
// shows the one that fits. It has a title and a description for those who
// cannot see it, no script, no style of its own, no reference to anything
// outside, and every colour is a custom property, so that the page's colour
// scheme and its printer choose. Names and notes may come from anywhere: they
// are cleaned, cut and escaped here.
//
// Hue is never alone in saying something: series differ by shape or dash,
// verdicts by glyph, and what was not measured is hollow and has a ~. Axes
// start at zero unless they say otherwise, gaps stay gaps, and what is left
// out for want of room is counted in words.
//
// The package scales and places; it computes no statistics. The same chart
// gives the same bytes. Axes, scales and type metrics are those of gonum/plot,
// drawn on a vg.Canvas of our own: that of vgsvg writes style attributes,
// which a page with a content security policy refuses and a dark scheme cannot
// reach, and it places text by the metrics of a font that the reader may not
// have.
package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Chart is what every chart of this package can do.
type Chart interface {
	// SVG returns the drawings, for a page whose stylesheet holds CSS.
	SVG() template.HTML
}

// Head is what every chart needs besides its data.
type Head struct {
	ID    string // prefix of the ids within the page: letters, digits, - and _
	Title string // for those who cannot see the chart; the page prints a heading of its own
	Empty string // why there is nothing to show, if there is nothing
}

// Figure is one number of a chart, in the unit of its axis before Factor.
type Figure struct {
	Value float64 // NaN, infinite and absurd (> 1e100) values are not drawn

	// Low and High bound the interval; there is none unless Low < High. An
	// infinite bound is drawn as far as the axis goes.
	Low, High float64

	Modelled bool   // not measured: drawn hollow, ~ before its text
	Tie      int    // figures with the same tie, not 0, cannot be told apart
	Text     string // as the tables print it, ~ included; "" lets the axis print it
}

// Of is a figure as the tables print it.
func Of(m results.Figure) Figure {
	text, _ := table.Split(m)
	return Figure{
		Value: float64(m.Value), Low: float64(m.Low), High: float64(m.High), Text: text,
		Modelled: m.Origin != "" && m.Origin != results.Measured,
	}
}

// Axis says how the numbers along one direction are printed. The zero value is
// a bare number from zero.
type Axis struct {
	Title  string  // what is counted: "power"
	Unit   string  // the symbol that follows a number, without prefix: "W"
	Factor float64 // from a figure's unit to this one, 1e12 for J/hash → J/TH; 0 means 1

	// MinExp and MaxExp are the powers of ten for which the unit takes SI
	// prefixes; 0 and 0 for a unit that takes none.
	MinExp, MaxExp int

	Free bool // the axis need not start at zero
	log  bool // logarithmic, where all values are above zero
}

// AxisOf is the axis of quantities in u, with the unit and the prefixes of the
// tables.
func AxisOf(title string, u results.Unit) Axis {
	s := table.ShapeOf(u)
	if s.Most > 0 { // which it reaches without a prefix
		s.Max = 0
	}
	return Axis{Title: title, Unit: s.Symbol, Factor: s.Factor, MinExp: s.Min, MaxExp: s.Max}
}

const absurd = 1e100

// drawable reports whether v has a place on an axis.
func drawable(v float64) bool { return math.Abs(v) <= absurd }

func (a Axis) factor() float64 {
	if a.Factor > 0 && drawable(a.Factor) {
		return a.Factor
	}
	return 1
}

// in returns the figure in the unit of the axis.
func (f Figure) in(a Axis) Figure {
	k := a.factor()
	f.Value, f.Low, f.High = f.Value*k, f.Low*k, f.High*k
	return f
}

func (f Figure) ok() bool { return drawable(f.Value) }

// bounds returns the interval, if there is one.
func (f Figure) bounds() (low, high float64, ok bool) {
	return f.Low, f.High, f.Low < f.High && (drawable(f.Low) || drawable(f.High))
}

// extent lists what the figure needs of an axis, which leaves out what is not
// drawable.
func (f Figure) extent() []float64 {
	if lo, hi, ok := f.bounds(); ok {
		return []float64{f.Value, lo, hi}
	}
	return []float64{f.Value}
}

// text prints the figure, which is in the unit of its axis.
func (f Figure) text(a Axis) string {
	switch t := results.Line(f.Text, 48); {
	case t != "":
		return t
	case f.Modelled:
		return "~" + a.print(f.Value)
	}
	return a.print(f.Value)
}

// spoken prints the figure with its interval.
func (f Figure) spoken(a Axis) string {
	t := f.text(a)
	if lo, hi, ok := f.bounds(); ok {
		t += fmt.Sprintf(" (%s to %s)", a.print(lo), a.print(hi))
	}
	return t
}

// drawing is a chart as the frame around it sees it.
type drawing interface {
	// empty says why there is nothing to draw, "" if there is something.
	empty() string
	// describe says in words what the drawing shows.
	describe() string
	// draw draws onto s and sets its height.
	draw(s *surface)
}

// svg frames a drawing.
func svg(h Head, d drawing) template.HTML {
	id := identifier(h.ID)
	title := cmp.Or(results.Line(h.Title, 120), "Chart")
	var out strings.Builder
	out.WriteString(`<div class="chart">`)
	why := d.empty()
	for _, narrow := range []bool{false, true} {
		s := newSurface(narrow)
		desc := ""
		if why != "" {
			desc = "Nothing to show: " + cmp.Or(results.Line(h.Empty, 300), why)
			nothing(s, desc)
		} else {
			desc = results.Line(d.describe(), 900)
			d.draw(s)
		}
		s.write(&out, id, title, desc)
	}
	out.WriteString("</div>\n")
	return template.HTML(out.String()) // #nosec G203 -- of our own markup and numbers; surface.write, text and tip escape what is foreign
}

func nothing(s *surface, why string) {
	lines := wrap(why, s.w-24, s.small)
	s.h = float64(len(lines))*s.line + 28
	s.rect(0.5, 0.5, s.w-1, s.h-1, band)
	for i, l := range lines {
		s.note(12, s.line*float64(i+1)+10, l, "")
	}
}

// few joins what it is given, at most n of them.
func few(parts []string, n int) string {
	if more := len(parts) - n; more > 0 {
		parts = append(slices.Clone(parts[:n]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
