package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Strip shows a fleet: a row for each kind of machine, in it one mark a node, in stacks
// of nodes whose figures are alike. Outliers lie below their row and have names. It
// decides nothing: which nodes are outliers is the caller's to say.
//
// It takes about 35 bytes a node: 10,000 nodes are a third of a megabyte.
type Strip struct {
	Head
	Axis Axis // of all figures; it need not start at zero, as marks have no length
	Rows []StripRow
}

// StripRow is one kind of machine.
type StripRow struct {
	Name  string
	Nodes []StripNode
}

// StripNode is a node; its interval is not drawn.
type StripNode struct {
	Name string
	Figure
	Outlier bool
}

// The most rows of a strip, and the most outliers that are named below it because they
// have no room for a label.
const (
	stripRows  = 24
	stripNamed = 40
)

// SVG implements Chart.
func (t Strip) SVG() template.HTML {
	d := &strip{Strip: t}
	d.Rows = nil
	for _, row := range t.Rows {
		var nodes []StripNode
		for _, n := range row.Nodes {
			if n.Figure = n.in(t.Axis); n.ok() {
				nodes = append(nodes, n)
			}
		}
		if d.absent += len(row.Nodes) - len(nodes); len(nodes) > 0 {
			row.Nodes = nodes
			d.Rows = append(d.Rows, row)
		}
	}
	return svg(t.Head, noteIf(len(d.Rows) == 0, "no node has a figure."), d)
}

type strip struct {
	Strip
	absent int // nodes without a figure
}

func (t *strip) describe() string {
	var rows, outliers []string
	for _, row := range t.Rows {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, n := range row.Nodes {
			lo, hi = min(lo, n.Value), max(hi, n.Value)
			if n.Outlier {
				outliers = append(outliers, results.Line(n.Name, 40)+" "+n.text(t.Axis))
			}
		}
		rows = append(rows, fmt.Sprintf("%s, %s from %s to %s", cmp.Or(results.Line(row.Name, 40), "a row"), results.Plural(len(row.Nodes), "node"), t.Axis.print(lo), t.Axis.print(hi)))
	}
	return fmt.Sprintf("%s by node: %s. %s.", cmp.Or(t.Axis.Title, "values"), few(rows, 8), cmp.Or(noteIf(len(outliers) > 0, "Outliers: "+few(outliers, 10)), "No outliers"))
}

// scale covers all nodes that are no outliers, and of outliers as much as leaves the
// others two thirds of its length.
func (t *strip) scale(rows []StripRow, want int) scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, outliers := range []bool{false, true} { // if all are outliers, they are the range
		for _, row := range rows {
			for _, n := range row.Nodes {
				if n.Outlier == outliers {
					lo, hi = min(lo, n.Value), max(hi, n.Value)
				}
			}
		}
		if lo <= hi {
			break
		}
	}
	room := cmp.Or((hi-lo)/4, math.Abs(hi)/20)
	values := []float64{lo, hi}
	for _, row := range rows {
		for _, n := range row.Nodes {
			values = append(values, min(max(n.Value, lo-room), hi+room))
		}
	}
	a := t.Axis
	a.Free = true
	return a.scale(values, want, 0.03)
}

// nodes is how many nodes have a figure.
func (t *strip) nodes() (n int) {
	for _, row := range t.Rows {
		n += len(row.Nodes)
	}
	return n
}

func (t *strip) draw(s *surface) {
	const most = 120.0 // the height of the highest stack
	rows := t.Rows[:min(len(t.Rows), stripRows)]
	pitch := 2.4 // of marks across; few nodes are drawn large
	switch nodes := t.nodes(); {
	case nodes <= 200:
		pitch = 6
	case nodes <= 1000:
		pitch = 4
	}
	p := &panel{box: box{8, 0, s.w - 8, 0}}
	p.x = t.scale(rows, p.columns(80))
	y, beyond, thin := 0.0, false, false
	var unnamed []string
	for _, row := range rows {
		stacks, outliers, highest := map[int]int{}, []StripNode(nil), 0
		column := func(n StripNode) int { return int((p.atX(n.Value) - p.x0) / pitch) }
		for _, n := range row.Nodes {
			if n.Outlier {
				outliers = append(outliers, n)
				continue
			}
			stacks[column(n)]++
			highest = max(highest, stacks[column(n)])
		}
		y = s.remark(0, y+s.small+4, s.w, results.Line(row.Name, nameRunes)+noteIf(row.Name != "", ": ")+results.Plural(len(row.Nodes), "node")) - s.small + 4
		top := y
		up := min(pitch, most/float64(max(highest, 1))) // marks of high stacks overlap
		base := top + up*float64(highest) + 4
		at := map[int]int{}
		for _, modelled := range []bool{false, true} { // marks of one look are one element
			style := pen(hueA, 0.75*pitch)
			if modelled {
				style = pen(hueF, pitch/3)
			}
			for _, n := range row.Nodes {
				if n.Outlier || n.Modelled != modelled {
					continue
				}
				thin = thin || modelled
				c := column(n)
				x, mid := p.x0+pitch*float64(c), base-2-up*(float64(at[c])+0.5)
				at[c]++
				s.stroke(style, x, mid, x+0.75*pitch, mid)
			}
		}
		for c, n := range stacks {
			s.place.take(box{p.x0 + pitch*float64(c) - 1, base - 2 - up*float64(n) - 1, p.x0 + pitch*float64(c) + pitch + 1, base})
		}
		s.stroke(pen(rule, 1), p.x0, base, p.x1, base)
		s.place.take(box{0, base - 1.5, s.w, base + 1.5})
		y = base + 6
		if len(outliers) > 0 {
			y += 14 + s.line*float64(min(3, (len(outliers)+3)/4))
		}
		for _, n := range outliers {
			x := p.atX(n.Value)
			s.place.take(box{x - 6, base + 4, x + 6, base + 16})
		}
		for _, n := range outliers {
			x, mid := p.atX(n.Value), base+10
			beyond = beyond || n.Value != p.x.clamp(n.Value)
			short, whole := cut(n.Name)
			label := strings.TrimSpace(short + " " + n.text(t.Axis))
			s.tip(results.Line(n.Name, 60)+": "+n.text(t.Axis), func() { s.mark(x, mid, 4.5, diamond, hueB, n.Modelled) })
			if spot, ok := s.beside(x, mid, 5, s.width(label), 1, true, box{0, top, s.w, y}); ok {
				if spot.leader != nil {
					s.stroke(pen(rule, 0.8), spot.leader...)
				}
				s.lines(spot.x, spot.y, []string{label}, style{size: s.small, anchor: spot.anchor, whole: whole})
			} else {
				unnamed = append(unnamed, label)
			}
		}
	}
	p.y0, p.y1 = 0, y
	s.xAxis(p, t.Axis)
	s.foot(plain("One mark a node, stacked where figures are alike; diamonds: outliers."), plain(noteIf(beyond, "At the end of the axis: beyond it.")),
		plain(noteIf(thin, "Thin: not measured.")), plain(noteIf(t.absent > 0, results.Plural(t.absent, "node")+" without a figure.")))
	if more := len(unnamed) - stripNamed; more > 0 {
		unnamed = append(unnamed[:stripNamed], fmt.Sprintf("and %d more", more))
		s.foot(plain("Without a label: "+strings.Join(unnamed, ", ")) + t.rest())
	} else if len(unnamed) > 0 {
		s.foot(plain("Without a label: " + strings.Join(unnamed, ", ") + "."))
	}
	s.foot(t.undrawn(len(t.Rows)-len(rows), "row"))
}
