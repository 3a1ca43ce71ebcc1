// Package chart draws the charts of a report as inline SVG: values with their
// intervals and names.
//
// A chart is a struct of plain numbers. Its SVG method returns a fragment for a
// page whose stylesheet includes CSS. The fragment holds two drawings, one for
// wide containers and one for phones; the stylesheet shows the one that fits.
// Each has a title and a description for screen readers, and neither script,
// style nor external references. Every colour is a custom property, so the
// page's colour scheme and print styles apply. Names and notes are untrusted:
// they are cleaned, cut and escaped here.
//
// Colour never carries meaning alone: series also differ by shape or dash,
// verdicts by glyph, and values that were not measured are hollow and marked ~.
// Axes start at zero unless Free is set, gaps are not bridged, and a note counts
// what is left out for lack of room.
//
// The package computes no statistics. Its output is deterministic. It draws SVG itself: a
// library's has style attributes, which a content security policy refuses and a dark
// scheme cannot change, and positions text by the metrics of a font that the reader may
// not have.
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
	"github.com/perwatt/perwatt/results/report/table"
)

// Chart is implemented by every chart of this package.
type Chart interface {
	// SVG returns the drawings, for a page whose stylesheet holds CSS.
	SVG() template.HTML
}

// Head holds what every chart needs besides its data.
type Head struct {
	ID    string // prefix of the ids within the page: letters, digits, - and _
	Title string // for screen readers; the page prints its own heading
	Empty string // why there is nothing to show, if there is nothing
	Note  string // a sentence below the chart
	Table string // id of the table of the page that has every figure, if there is one
}

// Figure is one number of a chart, in the unit of its axis before Factor.
type Figure struct {
	Value float64 // NaN, infinite and absurd (> 1e100) values are not drawn

	// Low and High bound the interval; there is none unless Low < High. An
	// infinite bound is drawn as far as the axis goes.
	Low, High float64

	Modelled bool   // not measured: drawn hollow, ~ before its text
	Text     string // as the tables print it, ~ included; "" lets the axis print it
	Interval string // likewise: [12.1, 12.5]
}

// Of converts a figure and keeps the texts that the tables print.
func Of(m results.Figure) Figure {
	text, interval := table.Split(m)
	return Figure{
		Value: float64(m.Value), Low: float64(m.Low), High: float64(m.High), Text: text, Interval: interval,
		Modelled: m.Origin != "" && m.Origin != results.Measured,
	}
}

// Axis describes one direction of a chart and how its numbers are printed. The
// zero value prints bare numbers and starts at zero.
type Axis struct {
	Title  string  // what is counted: "power"
	Unit   string  // the symbol that follows a number, without prefix: "W"
	Factor float64 // from a figure's unit to this one, 1e12 for J/hash → J/TH; 0 means 1

	// MinExp and MaxExp are the least and the greatest power of ten whose SI
	// prefix the unit takes, -12 to 21; both are 0 for a unit without prefixes.
	MinExp, MaxExp int

	Free bool // the axis need not start at zero
	log  bool // logarithmic, where all values are above zero
}

// AxisOf is the axis of quantities in u, with the unit and the prefixes of the
// tables.
func AxisOf(title string, u results.Unit) Axis {
	s := table.ShapeOf(u)
	if s.Most > 0 { // the tables print all values without a prefix
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

// extent lists the values that an axis must include; scale skips those that are
// not drawable.
func (f Figure) extent() []float64 {
	if lo, hi, ok := f.bounds(); ok {
		return []float64{f.Value, lo, hi}
	}
	return []float64{f.Value}
}

// text prints the figure, which must be in the unit of the axis.
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
	if f.Text != "" {
		return strings.TrimSpace(t + " " + results.Line(f.Interval, 48))
	}
	if lo, hi, ok := f.bounds(); ok {
		t += fmt.Sprintf(" (%s to %s)", a.print(lo), a.print(hi))
	}
	return t
}

// drawing is the part of a chart that differs between kinds.
type drawing interface {
	// describe says in words what the drawing shows.
	describe() string
	// draw draws onto s and sets its height.
	draw(s *surface)
}

// svg writes both drawings; a non-empty why says why there is nothing to draw.
func svg(h Head, why string, d drawing) template.HTML {
	id := identifier(h.ID)
	title := cmp.Or(results.Line(h.Title, 120), "Chart")
	var out strings.Builder
	out.WriteString(`<div class="chart">`)
	if why != "" {
		out.WriteString(`<p>Nothing to show: ` + html.EscapeString(cmp.Or(results.Line(h.Empty, 300), why)) + "</p></div>\n")
		return template.HTML(out.String()) // #nosec G203 -- escaped
	}
	wide, narrow := newSurface(false), newSurface(true)
	desc := results.Line(d.describe(), 900)
	d.draw(wide)
	d.draw(narrow)
	each := func(tag string, of func(*surface) string) { // the same for both, or one each
		for _, s := range []struct{ class, text string }{{"wide", of(wide)}, {"narrow", of(narrow)}} {
			switch same := of(wide) == of(narrow); {
			case s.text == "" || same && s.class == "narrow":
			case same:
				fmt.Fprintf(&out, "<%s>%s</%[1]s>", tag, s.text)
			default:
				fmt.Fprintf(&out, `<%s class="%s">%s</%[1]s>`, tag, s.class, s.text)
			}
		}
	}
	each("ul", (*surface).legendHTML)
	wide.write(&out, id, title, desc)
	narrow.write(&out, id, title, desc)
	each("p", func(s *surface) string {
		notes := s.notes
		if h.Note != "" {
			notes = append([]template.HTML{plain(results.Line(h.Note, 400))}, notes...)
		}
		text := ""
		for i, n := range notes {
			text += noteIf(i > 0, " ") + string(n)
		}
		return text
	})
	out.WriteString("</div>\n")
	return template.HTML(out.String()) // #nosec G203 -- markup and numbers are ours; what writes untrusted text escapes it
}

// few joins at most n parts and counts the rest.
func few(parts []string, n int) string {
	if more := len(parts) - n; more > 0 {
		parts = append(slices.Clone(parts[:n]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
