package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"

	"github.com/perwatt/perwatt/results"
)

// Matrix is a table whose cells are shaded by their distance from Base, with a
// glyph for the better or worse side, such as a break-even matrix. A script can redraw it
// if it is Live: each drawing has data-cells, the left and the top of the first cell, the
// width and the height of each, and the numbers of rows and columns; the base in
// data-base; and what it draws in the cells in a g with data-axis="cells".
type Matrix struct {
	Head
	Axis    Axis   // of the cells
	Across  string // title of the columns
	Down    string // title of the rows
	Columns []string
	Rows    []string
	Cells   [][]Cell // by row, then by column; missing ones are empty
	Live    bool

	Base          float64 // in the unit of the cells
	Better, Worse string  // legend: "pays", "costs"
}

// Cell is one cell of a Matrix; one whose value is not drawable is empty.
type Cell struct {
	Value  float64
	Better bool
}

// The most rows and columns of a Matrix.
const (
	matrixRows    = 16
	matrixColumns = 10
)

// SVG implements Chart.
func (m Matrix) SVG() template.HTML {
	better, worse := m.count()
	return svg(m.Head, noteIf(better+worse == 0, "no cell has a figure."), m)
}

// cell returns a cell in the unit of the axis, and whether it has a value.
func (m Matrix) cell(r, c int) (Cell, bool) {
	if r >= len(m.Cells) || c >= len(m.Cells[r]) {
		return Cell{}, false
	}
	x := m.Cells[r][c]
	x.Value *= m.Axis.factor()
	return x, drawable(x.Value)
}

// each calls do for the cells of the first rows and columns that have a value.
func (m Matrix) each(rows, columns int, do func(r, c int, x Cell)) {
	for r := range rows {
		for c := range columns {
			if x, ok := m.cell(r, c); ok {
				do(r, c, x)
			}
		}
	}
}

// count returns how many cells are better and worse.
func (m Matrix) count() (better, worse int) {
	m.each(len(m.Rows), len(m.Columns), func(_, _ int, x Cell) {
		if x.Better {
			better++
		} else {
			worse++
		}
	})
	return better, worse
}

// words are the entries of the legend.
func (m Matrix) words() (better, worse string) {
	return cmp.Or(results.Line(m.Better, 30), "better"), cmp.Or(results.Line(m.Worse, 30), "worse")
}

func (m Matrix) describe() string {
	better, worse := m.count()
	good, bad := m.words()
	return fmt.Sprintf("%s by %s (%d rows) and %s (%d columns): %d %s, %d %s.", cmp.Or(m.Axis.Title, "values"),
		cmp.Or(m.Down, "row"), len(m.Rows), cmp.Or(m.Across, "column"), len(m.Columns), better, good, worse, bad)
}

func (m Matrix) draw(s *surface) {
	rows, columns := min(len(m.Rows), matrixRows), min(len(m.Columns), matrixColumns)
	most, base := 0.0, m.Base*m.Axis.factor()
	if !drawable(base) {
		base = 0
	}
	m.each(rows, columns, func(_, _ int, x Cell) { most = max(most, math.Abs(x.Value-base)) })
	// All cells have the same prefix, which the head names, and the same number
	// of decimals, so that they are short and longer means more.
	scale := m.Axis.scale([]float64{0, most + math.Abs(base)}, 4, 0)
	decimals := 0
	if size := (most + math.Abs(base)) / math.Pow10(scale.exp); size > 0 {
		decimals = min(max(0, 2-int(math.Floor(math.Log10(size)))), 6)
	}
	print := func(x Cell) string {
		return m.Axis.scaled(fixed(x.Value/math.Pow10(scale.exp), decimals), scale.exp)
	}
	nameW, need := 24.0, 30.0
	for _, name := range m.Rows[:rows] {
		name, _ = cut(name)
		nameW = max(nameW, s.width(name))
	}
	nameW = min(nameW+10, s.w*0.3)
	m.each(rows, columns, func(_, _ int, x Cell) { need = max(need, s.width(print(x))+24) })
	columns = max(1, min(columns, int((s.w-nameW)/need)))
	w := min((s.w-nameW)/float64(columns), max(130, need))
	names := func(of []string, room float64) (lines [][]string, whole []string, most int) {
		for _, name := range of {
			short, all := cut(name)
			l := s.wrap(short, room)
			lines, whole, most = append(lines, l), append(whole, all), max(most, len(l))
		}
		return lines, whole, most
	}
	down, downWhole, most1 := names(m.Rows[:rows], nameW-8)
	across, acrossWhole, most2 := names(m.Columns[:columns], w-6)
	h := max(30, s.line*float64(most1)+8)

	y := s.remark(0, s.small+2, s.w, m.Axis.title(scale)) + 4
	y = s.remark(0, y, s.w, "rows: "+cmp.Or(results.Line(m.Down, 60), "one each")+"; columns: "+cmp.Or(results.Line(m.Across, 60), "one each")) + 2
	for c, lines := range across {
		s.lines(nameW+w*(float64(c)+0.5), y+s.line*float64(most2-len(lines)), lines, style{size: s.small, anchor: middle, whole: acrossWhole[c]})
	}
	y += s.line * float64(most2-1)
	for r, lines := range down {
		s.lines(0, y+7+h*(float64(r)+0.5)+s.small*0.34-s.line*float64(len(lines)-1)/2, lines, style{size: s.small, whole: downWhole[r]})
	}
	y += 7
	if s.live = m.Live; s.live {
		s.data = fmt.Sprintf(` data-cells="%s %s %s %s %d %d" data-base="%g"`, number(nameW), number(y), number(w), number(h), rows, columns, base)
	}
	s.axis("cells", func() { m.fill(s, rows, columns, nameW, y, w, h, most, base, print) })
	good, bad := m.words()
	s.h = y + h*float64(rows) + 4
	for i, word := range []string{good, bad} {
		s.legend(word, func(s *surface) { s.glyph(swatchW/2, swatchH/2, i == 0) })
	}
	s.foot(m.undrawn(len(m.Rows)-rows, "row"), m.undrawn(len(m.Columns)-columns, "column"))
}

// fill draws the cells.
func (m Matrix) fill(s *surface, rows, columns int, nameW, y, w, h, most, base float64, print func(Cell) string) {
	// Cells of one shade, and glyphs of one side, are drawn in sequence, so that
	// the canvas puts them into one element.
	at := func(r, c int) (left, mid float64) { return nameW + w*float64(c), y + h*(float64(r)+0.5) }
	for n := range 3 {
		for _, better := range []bool{true, false} {
			m.each(rows, columns, func(r, c int, x Cell) {
				if left, mid := at(r, c); x.Better == better && n == strength(math.Abs(x.Value-base), most) {
					s.rect(left+1, mid-h/2+1, w-2, h-2, shades[better][n])
				}
			})
		}
	}
	for _, better := range []bool{true, false} {
		m.each(rows, columns, func(r, c int, x Cell) {
			if left, mid := at(r, c); x.Better == better {
				s.glyph(left+min(11, 4+w/12), mid, better)
			}
		})
	}
	for r := range rows {
		for c := range columns {
			left, mid := at(r, c)
			if x, ok := m.cell(r, c); ok {
				s.text(left+w-5, mid+s.small*0.34, print(x), style{size: s.small, anchor: end})
			} else {
				s.note(left+w/2, mid+s.small*0.34, "–", middle)
			}
		}
	}
}

var shades = map[bool][3]ink{true: {up1, up2, up3}, false: {down1, down2, down3}}

// strength is 0 to 2 by the distance d from the base, of at most most.
func strength(d, most float64) int {
	if most == 0 {
		return 0
	}
	return min(int(d/most*3), 2)
}

// glyph draws a triangle that points up for better and down for worse.
func (s *surface) glyph(x, y float64, better bool) {
	if better {
		s.fill(hueA, x, y-4.5, x+5, y+4, x-5, y+4)
	} else {
		s.fill(hueB, x, y+4.5, x+5, y-4, x-5, y-4)
	}
}
