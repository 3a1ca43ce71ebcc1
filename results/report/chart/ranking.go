package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Ranking shows candidates at one or several uses: one row a candidate, one column a
// use, in each a dot with its interval. All columns have one scale.
type Ranking struct {
	Head
	Axis Axis     // of all figures; it need not start at zero, as dots have no length
	Uses []string // titles of the columns
	Rows []Ranked // in any order: the greatest at the first use is drawn on top

	// Base is drawn as a line, with a band of Margin, a share of Base, on each
	// side: 1 and 0.02 for an index and a margin of 2 %. 0 draws none.
	Base, Margin float64
	BaseText     string // "Xeon 8480 = 100 %, margin ± 2 %"
}

// Ranked is one row of a Ranking.
type Ranked struct {
	Name      string
	Reference bool   // the candidate that the others are compared with; always drawn
	At        []Rank // by use; missing ones have no figure
}

// Rank is a candidate's figure at one use.
type Rank struct {
	Figure
	First bool   // it is the best, or not told from the best
	Note  string // what measured it, or why it has no figure
}

// The most rows and uses of a ranking.
const (
	rankingRows = 20
	rankingUses = 8
)

// SVG implements Chart.
func (r Ranking) SVG() template.HTML {
	rows := make([]Ranked, len(r.Rows))
	some := false
	for i, row := range r.Rows {
		at := make([]Rank, len(r.Uses))
		for j := range at {
			if at[j].Value = math.NaN(); j < len(row.At) {
				at[j] = row.At[j]
				if at[j].Figure = at[j].in(r.Axis); !at[j].ok() {
					at[j].Value = math.NaN() // sorts below every number
				}
			}
			some = some || at[j].ok()
		}
		row.At = at
		rows[i] = row
	}
	results.SortStable(rows, func(a, b Ranked) int {
		for j := range r.Uses {
			if a, b := a.At[j].Value, b.At[j].Value; a == a || b == b {
				return cmp.Compare(b, a)
			}
		}
		return 0
	})
	if i := slices.IndexFunc(rows, func(r Ranked) bool { return r.Reference }); i >= rankingRows {
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
	return svg(r.Head, noteIf(!some, "no candidate has a figure."), r)
}

func (r Ranking) describe() string {
	var uses []string
	for j, use := range r.Uses {
		var parts []string
		for _, row := range r.Rows {
			if row.At[j].ok() {
				parts = append(parts, results.Line(row.Name, 40)+" "+row.At[j].spoken(r.Axis))
			}
		}
		uses = append(uses, cmp.Or(results.Line(use, 40), "one use")+": "+cmp.Or(few(parts, 12), "no figure"))
	}
	return fmt.Sprintf("%s by %s. %s.", results.Plural(len(r.Rows), "candidate"), cmp.Or(r.Axis.Title, "value"), few(uses, rankingUses))
}

// scale is that of all columns; it is logarithmic where the least figure would
// crowd at the end of a linear one.
func (r Ranking) scale(drawn []Ranked, uses, want int) scale {
	r.Axis.Free = true
	values := []float64{}
	if r.Base != 0 {
		values = append(values, r.Base, r.Base*(1-r.Margin), r.Base*(1+r.Margin))
	}
	lo, hi := math.Inf(1), 0.0
	for _, row := range drawn {
		for _, at := range row.At[:uses] {
			if values = append(values, at.extent()...); at.ok() {
				lo, hi = min(lo, at.Value), max(hi, at.Value)
			}
		}
	}
	if r.Axis.log = lo > 0 && hi > 4*lo; r.Axis.log {
		values = slices.DeleteFunc(values, func(v float64) bool { return !(v > lo/10) }) // bounds at and below zero
	}
	return r.Axis.scale(values, want, 0.06)
}

func (r Ranking) draw(s *surface) {
	drawn, uses := r.Rows[:min(len(r.Rows), rankingRows)], min(len(r.Uses), rankingUses)
	texts, textW := make([][]string, len(drawn)), 0.0
	for i, row := range drawn {
		for _, at := range row.At[:uses] {
			t := "–"
			if at.ok() {
				t = at.text(r.Axis)
			}
			texts[i] = append(texts[i], t)
			textW = max(textW, width(t, s.small, true))
		}
	}
	textW = min(textW, s.w*0.25)
	all := make([]int, len(drawn))
	for i := range all {
		all[i] = i
	}
	lay := func(top float64, shown []int) rows {
		var names []string
		for _, i := range shown {
			names = append(names, drawn[i].Name)
		}
		return s.rows(top, s.w*map[bool]float64{true: 0.34, false: 0.3}[s.narrow], names, func(k int) (lines int) {
			for _, t := range texts[shown[k]] {
				lines = max(lines, len(wrap(t, textW, s.small, true)))
			}
			return lines
		})
	}
	left0 := lay(0, all).x0
	// As many columns side by side as have room, in bands of the same number.
	per := max(1, int((s.w-left0)/(textW+84)))
	bands := (uses + per - 1) / per
	per = (uses + bands - 1) / bands
	column := (s.w - left0) / float64(per)
	scale := r.scale(drawn, uses, int((column-textW-30)/42))
	y := s.remark(0, s.small, s.w, results.Line(r.BaseText, 90)) - s.small + 4
	hollow, first := false, false
	for from := 0; from < uses; from += per {
		to := min(from+per, uses)
		titles, high := make([][]string, to), 0
		for j := from; j < to; j++ {
			titles[j] = s.wrap(results.Line(r.Uses[j], nameRunes), column-16)
			high = max(high, len(titles[j]))
		}
		y += s.line * float64(high)
		shown := all
		if bands > 1 { // those that have a figure here
			shown = slices.DeleteFunc(slices.Clone(all), func(i int) bool {
				return !slices.ContainsFunc(drawn[i].At[from:to], func(at Rank) bool { return at.ok() })
			})
		}
		p := lay(y+6, shown)
		for _, top := range p.tops {
			s.stroke(pen(grid, 1), 0, top, s.w, top)
		}
		for k, i := range shown {
			s.rowName(p, k, drawn[i].Reference)
		}
		for j := from; j < to; j++ {
			left := left0 + column*float64(j-from)
			at := &panel{box: box{left + 8, p.y0, left + column - textW - 16, p.y1}, x: scale, y: p.y}
			s.lines(left+8, y-s.line*float64(len(titles[j])-1), titles[j], style{size: s.small})
			if r.Base != 0 {
				lo, hi := at.atX(r.Base-math.Abs(r.Base*r.Margin)), at.atX(r.Base+math.Abs(r.Base*r.Margin))
				s.rect(lo, at.y0, hi-lo, at.y1-at.y0, deep)
			}
			s.upright(at)
			if x := at.atX(r.Base); r.Base != 0 {
				s.stroke(pen(muted, 1.3), x, at.y0, x, at.y1)
			}
			for k, i := range shown {
				row := drawn[i]
				c, mid := row.At[j], (p.tops[k]+p.tops[k+1])/2
				hollow, first = hollow || c.Modelled && c.ok(), first || c.First && c.ok()
				look := style{size: s.small, anchor: end, bold: c.First}
				if !c.ok() {
					look = style{size: s.small, anchor: end, ink: muted}
				}
				lines := wrap(texts[i][j], textW, s.small, true)
				say := row.Name + ", " + r.Uses[j] + ": " + noteIf(c.ok(), c.spoken(r.Axis)) + noteIf(!c.ok(), "no figure") + noteIf(c.Note != "", "; ") + c.Note
				s.tip(say, func() {
					s.lines(left+column-4, mid+s.small*0.34-s.line*float64(len(lines)-1)/2, lines, look)
					if !c.ok() {
						return
					}
					ink, form := hueA, disc
					if row.Reference {
						ink, form = hueF, square
					}
					s.bars(at, c.Figure, Figure{Value: p.row(k)}, pen(ink, 1.6), 7)
					s.mark(at.atX(c.Value), at.atY(p.row(k)), 5, form, ink, c.Modelled)
				})
			}
			s.xTicks(at)
		}
		y = p.y1 + 26 + s.small
	}
	s.h = s.remark(0, y, s.w, r.Axis.title(scale)+"; further right is better") - s.line + 5
	s.foot(plain(noteIf(first && len(drawn) > 1, "Bold: the best, and what cannot be told from it.")), unmeasured(hollow),
		r.undrawn(len(r.Rows)-len(drawn), "candidate"), r.undrawn(len(r.Uses)-uses, "use"))
}

// rows is a panel with one row per name, which is left of it, or in narrow drawings of
// rows as wide as the drawing above the marks of its row.
type rows struct {
	*panel
	names [][]string // in lines
	whole []string   // names that were cut
	tops  []float64  // of the rows, and the end of the last
	above []float64  // height of what is above the marks of a row
}

// rows lays rows out from top down, with names as wide as room, or above the marks if
// room is 0. lines is how many lines of small type stand beside a name.
func (s *surface) rows(top, room float64, names []string, lines func(i int) int) rows {
	r := rows{whole: make([]string, len(names)), names: make([][]string, len(names))}
	left, beside := 8.0, room > 0
	if beside {
		longest := 0.0
		for _, n := range names {
			short, _ := cut(n)
			longest = max(longest, width(short, s.size, true))
		}
		room = min(longest, room)
		left = room + 14
	}
	for i, n := range names {
		short, whole := cut(n)
		r.names[i], r.whole[i] = wrap(short, cmp.Or(room, s.w-4), s.size, true), whole
		r.tops = append(r.tops, top)
		high := s.step(style{}) * float64(max(len(r.names[i]), lines(i), 1))
		if beside {
			r.above = append(r.above, 0)
			top += max(26, high+8)
		} else {
			r.above = append(r.above, high+3)
			top += high + 25
		}
	}
	r.tops = append(r.tops, top)
	r.panel = &panel{box: box{left, r.tops[0], s.w - 8, top}}
	r.y = scale{min: r.y0 - r.y1}
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

// rowName writes the name of row i.
func (s *surface) rowName(r rows, i int, bold bool) {
	y := r.tops[i] + s.size
	if r.above[i] == 0 {
		y = (r.tops[i]+r.tops[i+1])/2 + s.size*0.34 - s.step(style{})*float64(len(r.names[i])-1)/2
	}
	s.lines(2, y, r.names[i], style{bold: bold, whole: r.whole[i]})
}
