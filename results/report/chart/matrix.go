package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strconv"

	"gonum.org/v1/plot/vg"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Matrix is a table whose cells are shaded by how far they are from Base, with
// a glyph for the side on which they are: a break-even matrix.
type Matrix struct {
	Head
	Axis    Axis   // of the cells
	Across  string // what the columns are
	Down    string // what the rows are
	Columns []string
	Rows    []string
	Cells   [][]Cell // by row, then by column; missing ones are empty

	Base              float64 // from which the shade is counted
	Better, Worse, No string  // what Sign +1, −1 and 0 mean: "pays", "costs", "cannot tell"
}

// Cell is one cell of a Matrix.
type Cell struct {
	Figure
	Sign int // +1 better, −1 worse, 0 cannot tell
}

// The most rows and columns of a Matrix.
const (
	matrixRows    = 16
	matrixColumns = 10
)

// SVG implements Chart.
func (m Matrix) SVG() template.HTML { return svg(m.Head, m) }

func (m Matrix) empty() string {
	for _, row := range m.Cells[:min(len(m.Cells), len(m.Rows))] {
		for _, c := range row[:min(len(row), len(m.Columns))] {
			if c.in(m.Axis).ok() {
				return ""
			}
		}
	}
	return "no cell has a figure."
}

func (m Matrix) cell(r, c int) (Cell, bool) {
	if r >= len(m.Cells) || c >= len(m.Cells[r]) {
		return Cell{}, false
	}
	x := m.Cells[r][c]
	x.Figure = x.in(m.Axis)
	return x, x.ok()
}

func (m Matrix) word(sign int) string {
	switch {
	case sign > 0:
		return cmp.Or(results.Line(m.Better, 30), "better")
	case sign < 0:
		return cmp.Or(results.Line(m.Worse, 30), "worse")
	}
	return cmp.Or(results.Line(m.No, 30), "cannot tell")
}

func (m Matrix) describe() string {
	n := map[int]int{}
	for r := range m.Rows {
		for c := range m.Columns {
			if x, ok := m.cell(r, c); ok {
				n[cmp.Compare(x.Sign, 0)]++
			}
		}
	}
	return fmt.Sprintf("%s by %s (%d rows) and %s (%d columns): %d %s, %d %s, %d %s.", cmp.Or(m.Axis.Title, "values"),
		cmp.Or(m.Down, "row"), len(m.Rows), cmp.Or(m.Across, "column"), len(m.Columns),
		n[1], m.word(1), n[-1], m.word(-1), n[0], m.word(0))
}

func (m Matrix) draw(s *surface) {
	rows := min(len(m.Rows), matrixRows)
	columns := min(len(m.Columns), matrixColumns)
	nameW := 24.0
	most, base := 0.0, m.Base*m.Axis.factor()
	if !drawable(base) {
		base = 0
	}
	for r := range rows {
		nameW = max(nameW, width(results.Line(m.Rows[r], 60), s.small, false))
		for c := range columns {
			if x, ok := m.cell(r, c); ok {
				most = max(most, math.Abs(x.Value-base))
			}
		}
	}
	nameW = min(nameW+10, s.w*0.3)
	// A prefix that all cells share goes into the head, and they share their
	// decimals, so that cells are short and compare by length.
	scale := m.Axis.scale([]float64{0, most + math.Abs(base)}, 4, 0)
	decimals := 0
	if size := (most + math.Abs(base)) / math.Pow10(scale.exp); size > 0 {
		decimals = min(max(0, 2-int(math.Floor(math.Log10(size)))), 6)
	}
	print := func(x Cell) string {
		t := results.Line(x.Text, 24)
		if t == "" {
			t = table.Typeset(strconv.FormatFloat(x.Value/math.Pow10(scale.exp), 'f', decimals, 64))
			if x.Modelled {
				t = "~" + t
			}
		}
		return t
	}
	need := 0.0
	for r := range rows {
		for c := range columns {
			if x, ok := m.cell(r, c); ok {
				need = max(need, min(width(print(x), s.small, false), 90)+22)
			}
		}
	}
	columns = max(1, min(columns, int((s.w-nameW)/max(need, 30))))
	cellW := min((s.w-nameW)/float64(columns), 130)
	cellH := 30.0
	y := s.small + 2
	if t := m.Axis.title(scale); t != "" {
		s.text(0, y, fit(t, s.w, s.small, false), style{ink: muted, size: s.small})
		y += s.line + 4
	}
	down := fit(results.Line(m.Down, 40)+" ↓", s.w*0.45, s.small, false)
	s.text(0, y, down, style{ink: muted, size: s.small})
	x := max(nameW+4, width(down, s.small, false)+14)
	s.text(x, y, fit(results.Line(m.Across, 60)+" →", s.w-x, s.small, false), style{ink: muted, size: s.small})
	y += s.line
	for c := range columns {
		s.text(nameW+cellW*(float64(c)+0.5), y, fit(results.Line(m.Columns[c], 40), cellW-4, s.small, false), style{size: s.small, anchor: middle})
	}
	y += 7
	// All cells of one shade are one path, and so are all glyphs of one sign.
	ground := map[ink]vg.Path{}
	var glyphs [3]vg.Path
	var words []func()
	for r := range rows {
		top := y + cellH*float64(r)
		s.text(0, top+cellH/2+s.small*0.34, fit(results.Line(m.Rows[r], 60), nameW-8, s.small, false), style{size: s.small})
		for c := range columns {
			x, ok := m.cell(r, c)
			left := nameW + cellW*float64(c)
			mid := top + cellH/2
			if !ok {
				ground[band] = append(ground[band], rectangle(left+1, top+1, cellW-2, cellH-2)...)
				words = append(words, func() {
					s.text(left+cellW/2, mid+s.small*0.34, "–", style{ink: muted, size: s.small, anchor: middle})
				})
				continue
			}
			k := shade(x.Sign, math.Abs(x.Value-base), most)
			ground[k] = append(ground[k], rectangle(left+1, top+1, cellW-2, cellH-2)...)
			glyphs[cmp.Compare(x.Sign, 0)+1] = append(glyphs[cmp.Compare(x.Sign, 0)+1], glyph(left+min(11, 4+cellW/12), mid, x.Sign)...)
			words = append(words, func() {
				s.text(left+cellW-5, mid+s.small*0.34, fit(print(x), cellW-20, s.small, false), style{size: s.small, anchor: end})
			})
		}
	}
	for _, k := range []ink{band, up1, up2, up3, down1, down2, down3} {
		if len(ground[k]) > 0 {
			s.fill(ground[k], k)
		}
	}
	for i, g := range glyphs {
		s.signs(g, i-1)
	}
	for _, w := range words {
		w()
	}
	y += cellH*float64(rows) + s.line + 3
	x = 6
	for _, sign := range []int{1, -1, 0} {
		w := m.word(sign)
		if x+20+width(w, s.small, false) > s.w {
			x = 6
			y += s.line
		}
		s.signs(glyph(x, y-4, sign), sign)
		s.text(x+10, y, fit(w, s.w-x-10, s.small, false), style{ink: muted, size: s.small})
		x += width(w, s.small, false) + 34
	}
	s.h = y + 6
	var foot []string
	if more := len(m.Rows) - rows; more > 0 {
		foot = append(foot, results.Plural(more, "more row")+" in the table.")
	}
	if more := len(m.Columns) - columns; more > 0 {
		foot = append(foot, results.Plural(more, "more column")+" in the table.")
	}
	s.foot(foot)
}

// shade is the ground of a cell: its hue by sign, its strength by distance.
func shade(sign int, d, most float64) ink {
	if sign == 0 || !(most > 0) {
		return band
	}
	n := min(int(d/most*3), 2)
	if sign > 0 {
		return []ink{up1, up2, up3}[n]
	}
	return []ink{down1, down2, down3}[n]
}

// glyph is the form of a sign: up, down, or neither.
func glyph(x, y float64, sign int) (p vg.Path) {
	switch {
	case sign > 0:
		p = polyline(x, y-4.5, x+5, y+4, x-5, y+4)
	case sign < 0:
		p = polyline(x, y+4.5, x+5, y-4, x-5, y-4)
	default:
		const r, d = 4, 1.7 // a ring of eight sides
		p = polyline(x-d, y-r, x+d, y-r, x+r, y-d, x+r, y+d, x+d, y+r, x-d, y+r, x-r, y+d, x-r, y-d)
	}
	p.Close()
	return p
}

// signs draws glyphs of one sign.
func (s *surface) signs(p vg.Path, sign int) {
	switch {
	case len(p) == 0:
	case sign > 0:
		s.fill(p, hueA)
	case sign < 0:
		s.fill(p, hueB)
	default:
		s.stroke(p, muted, 1.6)
	}
}
