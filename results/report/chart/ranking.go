package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"gonum.org/v1/plot"

	"github.com/perwatt/perwatt/results"
)

// Ranking shows one dot with its interval per candidate, the greatest on top.
type Ranking struct {
	Head
	Axis Axis     // of all figures; it need not start at zero, as dots have no length
	Rows []Ranked // in any order; neighbours that tie are bracketed

	// Base is drawn as a line, with a band of Margin, a share of Base, on each
	// side: 1 and 0.02 for an index and a margin of 2 %. 0 draws none.
	Base, Margin float64
	BaseText     string // "Xeon 8480 = 1, margin ± 2 %"
}

// Ranked is one row of a Ranking.
type Ranked struct {
	Name string
	Figure
	Tie       int  // rows with the same tie, not 0, cannot be told apart
	Reference bool // the candidate that the others are compared with; always drawn
}

// The most rows of a ranking.
const rankingRows = 40

// SVG implements Chart.
func (r Ranking) SVG() template.HTML {
	rows := make([]Ranked, len(r.Rows))
	for i, row := range r.Rows {
		if row.Figure = row.in(r.Axis); !row.ok() {
			row.Value = math.NaN() // sorts below every number
		}
		rows[i] = row
	}
	slices.SortStableFunc(rows, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	if i := slices.IndexFunc(rows, func(r Ranked) bool { return r.Reference && r.ok() }); i >= rankingRows {
		rows = slices.Insert(rows, rankingRows-1, rows[i]) // the last row that is drawn
		rows = slices.Delete(rows, i+1, i+2)
	}
	r.Rows = rows
	if r.Base *= r.Axis.factor(); !drawable(r.Base) {
		r.Base = 0
	}
	if !(r.Margin > 0 && r.Margin < 10) {
		r.Margin = 0
	}
	r.Axis.Free = true
	return svg(r.Head, noteIf(len(rows) == 0 || !rows[0].ok(), "no candidate has a figure."), r)
}

func (r Ranking) describe() string {
	var parts []string
	for _, row := range r.Rows {
		parts = append(parts, results.Line(row.Name, 40)+" "+row.spoken(r.Axis))
	}
	return fmt.Sprintf("%s by %s, the best first: %s.", results.Plural(len(r.Rows), "candidate"), cmp.Or(r.Axis.Title, "value"), few(parts, 12))
}

func (r Ranking) draw(s *surface) {
	drawn := r.Rows[:min(len(r.Rows), rankingRows)]
	var values []float64
	var names, texts []string
	textW := 0.0
	for _, row := range drawn {
		values, names = append(values, row.extent()...), append(names, row.Name)
		t := "no figure"
		if row.ok() {
			t = row.text(r.Axis)
		}
		texts = append(texts, t)
		textW = max(textW, width(t, s.size, false))
	}
	textW = min(textW, s.w*0.35)
	if r.Base != 0 {
		values = append(values, r.Base, r.Base*(1-r.Margin), r.Base*(1+r.Margin))
	}
	brackets := ties(drawn)
	right := s.w // of everything except the brackets
	if len(brackets) > 0 {
		right -= 16
	}
	top := 6.0
	if r.Base != 0 && r.BaseText != "" {
		top = s.small + 14
	}
	p := s.rows(top, s.w-right+textW+18, names)
	if s.narrow { // the texts stand above the dots, as the names do
		p.x1 = right - 10
	}
	p.x = r.Axis.scale(values, p.columns(75), 0.05)
	for _, t := range brackets {
		s.rect(0, p.top(t[0])+2, right-2, p.top(t[1])-p.top(t[0])-4, tied)
	}
	if r.Base != 0 {
		lo, hi := p.atX(r.Base-math.Abs(r.Base*r.Margin)), p.atX(r.Base+math.Abs(r.Base*r.Margin))
		s.rect(lo, top, hi-lo, p.y1-top, deep)
	}
	s.upright(p.panel)
	if r.Base != 0 {
		at := p.atX(r.Base)
		s.stroke(pen(muted, 1.3), at, top-5, at, p.y1)
		s.centred(at, s.small, right, results.Line(r.BaseText, 90))
	}
	for i, row := range drawn {
		s.rowName(p, i, row.Name, row.Reference)
		tone, hue, form := style{anchor: end}, hueA, disc
		if !row.ok() {
			tone.ink = muted
		}
		s.text(right-6, p.top(i)+p.base, fit(texts[i], textW+1, s.size, false), tone)
		if !row.ok() {
			continue
		}
		if row.Reference {
			hue, form = hueF, square
		}
		s.tip(row.Name+": "+row.spoken(r.Axis), func() {
			s.bars(p.panel, row.Figure, Figure{Value: p.row(i)}, pen(hue, 1.6), 7)
			s.mark(p.atX(row.Value), p.atY(p.row(i)), 5, form, hue, row.Modelled)
		})
	}
	for _, t := range brackets {
		y0, y1, x := p.top(t[0])+4, p.top(t[1])-4, right+6
		s.stroke(pen(rule, 1.3), x-4, y0, x, y0, x, y1, x-4, y1)
	}
	s.xAxis(p.panel, r.Axis)
	if better := "better →"; p.x0+s.width(r.Axis.title(p.x))+s.width(better)+14 < p.x1 {
		s.note(p.x1, s.h-5, better, end)
	}
	s.foot(noteIf(len(brackets) > 0, "Bracketed: cannot be told apart."),
		unmeasured(slices.ContainsFunc(drawn, func(r Ranked) bool { return r.Modelled && r.ok() })),
		undrawn(len(r.Rows)-len(drawn), "are not drawn: the table has them all"))
}

// ties returns the runs of neighbours with the same tie as half-open ranges.
func ties(rows []Ranked) (out [][2]int) {
	from := 0
	for i := range len(rows) + 1 {
		if i < len(rows) && rows[i].Tie != 0 && rows[i].Tie == rows[from].Tie {
			continue
		}
		if i-from > 1 {
			out = append(out, [2]int{from, i})
		}
		from = i
	}
	return out
}

// rows is a panel with one row per name. Names are left of the panel, or above
// their rows in narrow drawings, where both need the full width.
type rows struct {
	*panel
	height, mid, base float64 // of a row; mark and baseline of the name are below its top
	room              float64 // width for a name
}

// rows lays rows out from top down, with the width right free beside them.
func (s *surface) rows(top, right float64, names []string) rows {
	r := rows{height: 28, mid: 14, base: 14 + s.size*0.34}
	for _, n := range names {
		r.room = max(r.room, width(results.Line(n, 80), s.size, true))
	}
	r.room = min(r.room, 230)
	left := r.room + 20
	if s.narrow {
		r = rows{height: 42, mid: 29, base: s.size + 3, room: s.w - right - 2}
		left = 8
	}
	n := float64(len(names))
	r.panel = &panel{box: box{left, top, s.w - right, top + r.height*n}}
	r.y.Axis = plot.Axis{Scale: plot.LinearScale{}, Min: -n}
	return r
}

func (r rows) top(i int) float64 { return r.y0 + r.height*float64(i) }

// row is the y of the marks of row i on the scale.
func (r rows) row(i int) float64 { return -float64(i) - r.mid/r.height }

func (s *surface) rowName(r rows, i int, name string, bold bool) {
	s.text(2, r.top(i)+r.base, fit(results.Line(name, 80), r.room, s.size, bold), style{bold: bold})
}
