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
	for _, row := range drawn {
		values, names = append(values, row.extent()...), append(names, row.Name)
		t := "no figure"
		if row.ok() {
			t = row.text(r.Axis)
		}
		texts = append(texts, t)
	}
	if r.Base != 0 {
		values = append(values, r.Base, r.Base*(1-r.Margin), r.Base*(1+r.Margin))
	}
	brackets := ties(drawn)
	right := s.w // of everything except the brackets
	if len(brackets) > 0 {
		right -= 16
	}
	title := s.wrap(results.Line(r.BaseText, 90), right)
	top := 6.0
	if r.Base != 0 && r.BaseText != "" {
		top = s.line*float64(len(title)) + 9
	}
	p := s.rows(top, s.w-right, names, texts)
	p.x = r.Axis.scale(values, p.columns(75), 0.05)
	for _, t := range brackets {
		s.rect(0, p.tops[t[0]]+2, right-2, p.tops[t[1]]-p.tops[t[0]]-4, tied)
	}
	for _, b := range p.bands() {
		if r.Base != 0 {
			lo, hi := p.atX(r.Base-math.Abs(r.Base*r.Margin)), p.atX(r.Base+math.Abs(r.Base*r.Margin))
			s.rect(lo, b.y0, hi-lo, b.y1-b.y0, deep)
		}
		s.upright(&panel{box: b, x: p.x, y: p.y})
		if at := p.atX(r.Base); r.Base != 0 {
			s.stroke(pen(muted, 1.3), at, b.y0, at, b.y1)
		}
	}
	if r.Base != 0 {
		s.centred(p.atX(r.Base), s.small, right, title)
	}
	for i, row := range drawn {
		hue, form := hueA, disc
		if row.Reference {
			hue, form = hueF, square
		}
		s.rowText(p, i, row.Reference, right-4, !row.ok())
		if !row.ok() {
			continue
		}
		s.tip(row.Name+": "+row.spoken(r.Axis), func() {
			s.bars(p.panel, row.Figure, Figure{Value: p.row(i)}, pen(hue, 1.6), 7)
			s.mark(p.atX(row.Value), p.atY(p.row(i)), 5, form, hue, row.Modelled)
		})
	}
	for _, t := range brackets {
		y0, y1, x := p.tops[t[0]]+4, p.tops[t[1]]-4, right+6
		s.stroke(pen(rule, 1.3), x-4, y0, x, y0, x, y1, x-4, y1)
	}
	s.xAxis(p.panel, r.Axis)
	if better := "better →"; p.x0+s.width(r.Axis.title(p.x))+s.width(better)+14 < p.x1 {
		s.note(p.x1, s.h-5, better, end)
	}
	s.foot(plain(noteIf(len(brackets) > 0, "Bracketed: cannot be told apart.")),
		unmeasured(slices.ContainsFunc(drawn, func(r Ranked) bool { return r.Modelled && r.ok() })),
		r.undrawn(len(r.Rows)-len(drawn), "candidate"))
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

// rows is a panel with one row per name. Names are left of the panel, and the texts
// right of it; in narrow drawings, where the panel needs the full width, both stand
// above the marks of their row.
type rows struct {
	*panel
	names, texts [][]string // in lines
	whole        []string   // names that were cut
	tops         []float64  // of the rows, and the end of the last
	above        []float64  // height of what is above the marks of a row
}

// rows lays rows out from top down, with the width right free beside them. texts may
// be nil.
func (s *surface) rows(top, right float64, names, texts []string) rows {
	r := rows{names: make([][]string, len(names)), texts: make([][]string, len(names)), whole: make([]string, len(names))}
	textW := min(widest(texts, s.size, false), s.w*0.35)
	if len(texts) > 0 {
		textW += 4
	}
	left, room := 8.0, s.w-right-textW-10
	if !s.narrow {
		short := make([]string, len(names))
		for i, n := range names {
			short[i], _ = cut(n)
		}
		room = min(widest(short, s.size, true), 230)
		left, right = room+20, right+textW+14
	}
	for i, n := range names {
		short, whole := cut(n)
		r.names[i], r.whole[i] = wrap(short, room, s.size, true), whole
		if len(texts) > 0 {
			r.texts[i] = wrap(texts[i], textW, s.size, false)
		}
		r.tops = append(r.tops, top)
		lines := s.step(style{}) * float64(max(len(r.names[i]), len(r.texts[i]), 1))
		if s.narrow {
			r.above = append(r.above, lines+3)
			top += lines + 25
		} else {
			r.above = append(r.above, 0)
			top += max(28, lines+9)
		}
	}
	r.tops = append(r.tops, top)
	r.panel = &panel{box: box{left, r.tops[0], s.w - right, top}}
	if s.narrow {
		r.x1 -= 8
	}
	r.y.Axis = plot.Axis{Scale: plot.LinearScale{}, Min: r.y0 - r.y1}
	return r
}

// row is the y of the marks of row i on the scale.
func (r rows) row(i int) float64 { return r.y0 - (r.tops[i]+r.above[i]+r.tops[i+1])/2 }

// bands are the parts of the panel in which there are marks.
func (r rows) bands() (out []box) {
	for i, above := range r.above {
		b := box{r.x0, r.tops[i] + above, r.x1, r.tops[i+1]}
		if n := len(out); n > 0 && out[n-1].y1 == b.y0 {
			out[n-1].y1 = b.y1
			continue
		}
		out = append(out, b)
	}
	return out
}

// rowText writes the name of row i, and its text with its end at right.
func (s *surface) rowText(r rows, i int, bold bool, right float64, faint bool) {
	first := func(lines []string) float64 {
		if s.narrow {
			return r.tops[i] + s.size
		}
		return (r.tops[i]+r.tops[i+1])/2 + s.size*0.34 - s.step(style{})*float64(len(lines)-1)/2
	}
	s.lines(2, first(r.names[i]), r.names[i], style{bold: bold, whole: r.whole[i]})
	tone := style{anchor: end}
	if faint {
		tone.ink = muted
	}
	s.lines(right, first(r.texts[i]), r.texts[i], tone)
}
