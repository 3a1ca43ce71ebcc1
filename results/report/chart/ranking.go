package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Ranking is a dot with its interval for each candidate, the best on top.
type Ranking struct {
	Head
	Axis  Axis     // of all figures; it need not start at zero, as dots have no length
	Lower bool     // less is better
	Rows  []Ranked // in any order; a tie is bracketed where its rows are neighbours

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
		row.Figure = row.in(r.Axis)
		rows[i] = row
	}
	slices.SortStableFunc(rows, func(a, b Ranked) int {
		if a.ok() != b.ok() {
			if a.ok() {
				return -1
			}
			return 1
		}
		c := 0
		if a.ok() {
			c = cmp.Compare(b.Value, a.Value)
		}
		if r.Lower {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.Name, b.Name))
	})
	if i := slices.IndexFunc(rows, func(r Ranked) bool { return r.Reference && r.ok() }); i >= rankingRows {
		rows = slices.Insert(rows, rankingRows-1, rows[i]) // below the best, so that it is among what is drawn
		rows = slices.Delete(rows, i+1, i+2)
	}
	r.Rows = rows
	k := r.Axis.factor()
	if r.Base *= k; !drawable(r.Base) {
		r.Base = 0
	}
	if !(r.Margin > 0 && r.Margin < 10) {
		r.Margin = 0
	}
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
	rows := r.Rows[:min(len(r.Rows), rankingRows)]
	var values []float64
	texts := make([]string, len(rows))
	nameW, textW := 0.0, 0.0
	figures := make([]Figure, len(rows))
	for i, row := range rows {
		figures[i] = row.Figure
		values = append(values, row.extent()...)
		if texts[i] = row.text(r.Axis); !row.ok() {
			texts[i] = "no figure"
		}
		nameW = max(nameW, width(results.Line(row.Name, 80), s.size, row.Reference))
		textW = max(textW, width(texts[i], s.size, false))
	}
	if r.Base != 0 {
		values = append(values, r.Base, r.Base*(1-r.Margin), r.Base*(1+r.Margin))
	}
	ax := r.Axis
	ax.Free = true
	runs := ties(figures)
	bracket := 0.0
	if len(runs) > 0 {
		bracket = 16
	}
	textW = min(textW, s.w*0.35)
	rowH, dot := 27.0, 13.5
	p := panel{box: box{y0: 30}}
	nameRoom := 0.0
	if s.narrow {
		// The name stands above its dot, so that both have the width.
		rowH, dot = 40, 28
		nameRoom = s.w - bracket - textW - 12
		p.x0, p.x1 = 8, s.w-bracket-10
	} else {
		nameRoom = min(nameW, 230)
		p.x0 = nameRoom + 20
		p.x1 = s.w - bracket - textW - 18
	}
	top := 6.0
	if r.Base != 0 && r.BaseText != "" {
		top = s.small + 14
	}
	p.y0 = top
	p.y1 = top + rowH*float64(len(rows)) + 4
	p.x = ax.scale(values, int((p.x1-p.x0)/75), 0.05)
	p.x.from, p.x.to = p.x0, p.x1

	for _, run := range runs {
		y0, y1 := top+rowH*float64(run[0])+2, top+rowH*float64(run[1])-2
		s.rect(0, y0, s.w-bracket-2, y1-y0, tied)
	}
	if r.Base != 0 && r.Margin > 0 {
		lo, hi := p.x.clamp(r.Base*(1-r.Margin)), p.x.clamp(r.Base*(1+r.Margin))
		if lo > hi {
			lo, hi = hi, lo
		}
		s.rect(lo, top, hi-lo, p.y1-top, deep)
	}
	for _, t := range p.x.ticks() {
		at := p.x.at(t.Value)
		s.segment(at, top, at, p.y1, grid, 1)
	}
	if r.Base != 0 {
		at := p.x.clamp(r.Base)
		s.segment(at, top-5, at, p.y1, muted, 1.3)
		if r.BaseText != "" {
			t := fit(results.Line(r.BaseText, 90), s.w-bracket, s.small, false)
			w := width(t, s.small, false)
			x := min(max(at, w/2), s.w-bracket-w/2)
			s.text(x, s.small, t, style{ink: muted, size: s.small, anchor: middle})
		}
	}
	for i, row := range rows {
		y := top + rowH*float64(i)
		name := fit(results.Line(row.Name, 80), nameRoom, s.size, row.Reference)
		base := y + dot + s.size*0.34
		if s.narrow {
			base = y + s.size + 3
		}
		s.text(2, base, name, style{bold: row.Reference})
		left := s.w - bracket - 6
		tone := style{anchor: end}
		if !row.ok() {
			tone.ink = muted
		}
		s.text(left, base, fit(texts[i], textW+1, s.size, false), tone)
		if !row.ok() {
			continue
		}
		i := hueA
		if row.Reference {
			i = hueF
		}
		s.tip(row.Name+": "+row.spoken(r.Axis), func() {
			if lo, hi, ok := row.bounds(); ok {
				s.whisker(p.x.clamp(lo), y+dot, p.x.clamp(hi), y+dot, i, true)
			}
			form := disc
			if row.Reference {
				form = square
			}
			s.mark(p.x.at(row.Value), y+dot, 5, form, i, row.Modelled)
		})
	}
	for _, run := range runs {
		y0, y1 := top+rowH*float64(run[0])+4, top+rowH*float64(run[1])-4
		x := s.w - bracket + 6
		s.stroke(polyline(x-4, y0, x, y0, x, y1, x-4, y1), rule, 1.3)
	}
	s.xAxis(&p, ax)
	better := "better →"
	if r.Lower {
		better = "← better"
	}
	used := p.x0 + width(fit(ax.title(p.x), s.w-p.x0, s.small, false), s.small, false)
	if w := width(better, s.small, false); used+w+14 < p.x1 {
		s.text(p.x1, p.y1+10+s.small+s.line, better, style{ink: muted, size: s.small, anchor: end})
	}
	s.h = p.y1 + s.below()
	var foot []string
	if len(runs) > 0 {
		foot = append(foot, "Bracketed: cannot be told apart.")
	}
	if slices.ContainsFunc(rows, func(r Ranked) bool { return r.Modelled && r.ok() }) {
		foot = append(foot, "Hollow, ~: not measured.")
	}
	if more := len(r.Rows) - len(rows); more > 0 {
		foot = append(foot, fmt.Sprintf("%d more are not drawn: the table has them all.", more))
	}
	s.foot(foot)
}

// foot prints notes below everything else.
func (s *surface) foot(notes []string) {
	t := ""
	for _, n := range notes {
		if t != "" {
			t += "  "
		}
		t += n
	}
	if t == "" {
		return
	}
	s.h += 4
	for _, l := range wrap(t, s.w-4, s.small, false) {
		s.h += s.line
		s.text(0, s.h-4, l, style{ink: muted, size: s.small})
	}
	s.h = math.Ceil(s.h + 3)
}
