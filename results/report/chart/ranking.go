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

// Ranking is a dot with its interval for each candidate, the most on top.
type Ranking struct {
	Head
	Axis Axis     // of all figures; it need not start at zero, as dots have no length
	Rows []Ranked // in any order; a tie is bracketed where its rows are neighbours

	// Base is drawn as a line with a band of the relative Margin to each side:
	// 1 and 0.02 for an index and a margin of 2 %. 0 is none.
	Base, Margin float64
	BaseText     string // what it is: "Xeon 8480 = 1, margin ± 2 %"
}

// Ranked is one row of a Ranking.
type Ranked struct {
	Name string
	Figure
	Reference bool // the candidate that the others are measured by: drawn even if 40 are better
}

// The most rows of a ranking.
const rankingRows = 40

// SVG implements Chart.
func (r Ranking) SVG() template.HTML {
	rows := make([]Ranked, len(r.Rows))
	for i, row := range r.Rows {
		if row.Figure = row.in(r.Axis); !row.ok() {
			row.Value = math.NaN() // which is less than every number
		}
		rows[i] = row
	}
	slices.SortStableFunc(rows, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	if i := slices.IndexFunc(rows, func(r Ranked) bool { return r.Reference && r.ok() }); i >= rankingRows {
		rows = slices.Insert(rows, rankingRows-1, rows[i]) // below the best, so that it is among what is drawn
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
	return svg(r.Head, r)
}

func (r Ranking) empty() string {
	switch {
	case len(r.Rows) == 0:
		return "there are no candidates."
	case !r.Rows[0].ok():
		return "no candidate has a figure."
	}
	return ""
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
	right := s.w // of all but the brackets
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

// ties are the runs of neighbours that share a tie: from, and to without it.
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

// rows is a panel with a row for each of some names, which stand left of it,
// or in narrow drawings above their rows, so that both have the width.
type rows struct {
	*panel
	height, mid, base float64 // of a row; from its top, the middle of its mark and the base line of its name
	room              float64 // for a name
}

// rows makes room for names. right is that for what stands beside the rows.
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

// row is the place of the marks of row i on the scale.
func (r rows) row(i int) float64 { return -float64(i) - r.mid/r.height }

func (s *surface) rowName(r rows, i int, name string, bold bool) {
	s.text(2, r.top(i)+r.base, fit(results.Line(name, 80), r.room, s.size, bold), style{bold: bold})
}
