package chart

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Racks shows the nodes of a site, a cell each, in the blocks of their racks: shaded by
// how far a node is off its like, and marked by shape too where it is an outlier, computed
// wrongly or has no figure. A rack that is off is a block that is off, which no strip
// shows. It decides nothing: the marks are the caller's.
//
// It takes about 45 bytes a node: 10,000 nodes are half a megabyte.
type Racks struct {
	Head
	Of    string // what the shades are of: "work per joule at mining"
	Racks []Rack // in the order in which they are drawn
}

// Rack is the nodes of a rack, in the order in which they are drawn.
type Rack struct {
	Name  string
	Nodes []RackNode
}

// RackNode is a node. Sigma is how many robust standard deviations its figure lies above
// the median of its like; it is NaN if there is none.
type RackNode struct {
	Name  string
	Sigma float64
	Mark  RackMark
	Note  string // of its tooltip: "−7.3 σ at mining"
}

// RackMark is what a node has besides its shade.
type RackMark int

// The marks, in the order in which they are explained.
const (
	Unmarked RackMark = iota
	Wrong             // it computed wrongly
	Low               // an outlier below
	High              // an outlier above
	Missing           // it has no figure
)

var rackMarks = map[RackMark]string{Wrong: "computed wrongly", Low: "outlier below", High: "outlier above", Missing: "no figure"}

// What a drawing of racks has room for.
const (
	rackNamed  = 128 // nodes whose names stand in their cells
	rackTips   = 300 // nodes with a tooltip: of more only those with a mark, the first ones
	rackBlocks = 600 // racks with a block each; of more the nodes share one
	rackRunes  = 12  // of the name above a block of nodes without names
)

// rackShades are the inks of cells by how far they are below and above the median, and
// up to how many standard deviations.
var rackShades = []struct {
	to          float64
	below, over ink
	words       string
}{
	{1, deep, deep, "within 1 σ of the median"},
	{2, down2, up2, "1 to 2 σ"},
	{math.Inf(1), down3, up3, "more than 2 σ"},
}

// shade is the ink of a node's cell; "" for none.
func (n RackNode) shade() ink {
	if n.Mark == Missing || math.IsNaN(n.Sigma) {
		return ""
	}
	for _, sh := range rackShades {
		if math.Abs(n.Sigma) <= sh.to {
			if n.Sigma < 0 {
				return sh.below
			}
			return sh.over
		}
	}
	return ""
}

// SVG implements Chart.
func (r Racks) SVG() template.HTML {
	r.Racks = slices.DeleteFunc(slices.Clone(r.Racks), func(k Rack) bool { return len(k.Nodes) == 0 })
	nodes := 0
	for _, k := range r.Racks {
		nodes += len(k.Nodes)
	}
	d := &racks{Racks: r, nodes: nodes, blocks: r.Racks}
	if len(r.Racks) > rackBlocks {
		all := Rack{}
		for _, k := range r.Racks {
			all.Nodes = append(all.Nodes, k.Nodes...)
		}
		d.blocks = []Rack{all}
	}
	return svg(r.Head, noteIf(nodes == 0, "there is no node."), d)
}

type racks struct {
	Racks
	nodes  int
	blocks []Rack
}

func (r *racks) describe() string {
	counts, named := map[RackMark]int{}, map[RackMark][]string{}
	for _, k := range r.Racks.Racks {
		for _, n := range k.Nodes {
			if counts[n.Mark]++; counts[n.Mark] <= 6 {
				named[n.Mark] = append(named[n.Mark], results.Line(n.Name, 30))
			}
		}
	}
	text := fmt.Sprintf("%s in %s", results.Plural(r.nodes, "node"), results.Plural(len(r.Racks.Racks), "rack"))
	if r.Of != "" {
		text += ", by " + results.Line(r.Of, 80)
	}
	text += fmt.Sprintf(": %d without a mark", counts[Unmarked])
	for m := Wrong; m <= Missing; m++ {
		if n := counts[m]; n > 0 {
			text += fmt.Sprintf("; %d %s (%s%s)", n, rackMarks[m], strings.Join(named[m], ", "), noteIf(n > len(named[m]), ", …"))
		}
	}
	return text + "."
}

// rackCell is a node with its place.
type rackCell struct {
	*RackNode
	x, y float64 // of its upper left corner
}

func (r *racks) draw(s *surface) {
	w, h, named := r.cell(s)
	cells, bottom := r.place(s, w, h, named)
	s.h = bottom + 2
	tipped := r.nodes <= rackTips // each is an element of its own, with its shade
	// Cells of one shade, and then marks of one form, are drawn in sequence, so that the
	// canvas puts them into one element.
	for _, i := range []ink{deep, down2, down3, up2, up3} {
		for _, c := range cells {
			if c.shade() == i && !tipped { // a line is shorter than a rectangle
				s.stroke(pen(i, h-1), c.x, c.y+(h-1)/2, c.x+w-1, c.y+(h-1)/2)
			}
		}
	}
	tips := 0
	for mark := Unmarked; mark <= Missing; mark++ {
		for _, c := range cells {
			if c.Mark != mark {
				continue
			}
			x, y := c.x+(w-1)/2, c.y+(h-1)/2
			if named {
				x, y = c.x+8, c.y+h/2-1
			}
			draw := func() {
				if i := c.shade(); i != "" && tipped {
					s.rect(c.x, c.y, w-1, h-1, i)
				}
				s.rackMark(mark, x, y, min(max(h-2, 6), 11)/2)
				if named {
					s.text(c.x+16, c.y+h/2-1+s.small*0.34, results.Line(c.Name, nameRunes), style{size: s.small})
				}
			}
			if !tipped && (mark == Unmarked || tips == rackTips) {
				draw()
				continue
			}
			tips++
			s.tip(strings.TrimSuffix(results.Line(c.Name, 60)+": "+results.Line(c.Note, 60), ": "), draw)
		}
	}
	r.explain(s)
}

// cell is the size of cells with the gap between them, and whether they hold names.
func (r *racks) cell(s *surface) (w, h float64, named bool) {
	for _, k := range r.blocks {
		for _, n := range k.Nodes {
			w = max(w, s.width(results.Line(n.Name, nameRunes)))
		}
	}
	if w += 24; r.nodes <= rackNamed && w <= s.w {
		return w, s.line + 7, true
	}
	switch {
	case r.nodes <= 1000:
		return 11, 11, false
	case r.nodes <= 4000:
		return 8, 8, false
	}
	return 6, 6, false
}

// place lays the blocks out in rows, names them, and returns the cells and the bottom.
func (r *racks) place(s *surface, w, h float64, named bool) (cells []rackCell, bottom float64) {
	const gap = 10
	wide := 0.0 // the widest name
	name := func(k Rack) (short, whole string) {
		short, whole = results.Line(k.Name, map[bool]int{true: 28, false: rackRunes}[named]), results.Line(k.Name, 60)
		if short == whole {
			whole = ""
		}
		return short, whole
	}
	for _, k := range r.blocks {
		short, _ := name(k)
		wide = max(wide, s.width(short))
	}
	x, y, high := 0.0, 0.0, 0.0 // of the block; the height of its row of blocks
	for _, k := range r.blocks {
		across := int(s.w / w)
		if !named {
			across = min(across, max(int(math.Ceil(wide/w)), int(math.Ceil(math.Sqrt(1.6*float64(len(k.Nodes)))))))
		} else {
			across = min(across, len(k.Nodes))
		}
		across = max(across, 1)
		room := max(w*float64(across), wide)
		if x > 0 && x+room > s.w {
			x, y, high = 0, y+high+gap, 0
		}
		top := y
		if short, whole := name(k); short != "" {
			s.lines(x, y+s.small, []string{short}, style{ink: muted, size: s.small, whole: whole})
			top = y + s.line + 2
		} else if wide > 0 {
			top = y + s.line + 2
		}
		for i := range k.Nodes {
			cells = append(cells, rackCell{&k.Nodes[i], x + w*float64(i%across), top + h*float64(i/across)})
		}
		rows := (len(k.Nodes) + across - 1) / across
		high = max(high, top-y+h*float64(rows))
		x += room + gap
	}
	return cells, y + high
}

// rackMark draws a mark of radius r.
func (s *surface) rackMark(m RackMark, x, y, r float64) {
	switch m {
	case Wrong:
		s.rect(x-r, y-r, 2*r, 2*r, text)
		s.stroke(pen(paper, 1.4), x-r*0.6, y-r*0.6, x+r*0.6, y+r*0.6)
		s.stroke(pen(paper, 1.4), x-r*0.6, y+r*0.6, x+r*0.6, y-r*0.6)
	case Low:
		s.fill(hueB, x, y+r*1.2, x+r*1.2, y-r, x-r*1.2, y-r)
	case High:
		s.fill(hueA, x, y-r*1.2, x+r*1.2, y+r, x-r*1.2, y+r)
	case Missing:
		for d := -r; d <= r; d += r { // lines of 45°, cut at the cell
			if d == 0 || r > 3 {
				s.stroke(pen(muted, 1), x-r+max(d, 0), y+r+min(d, 0), x+r+min(d, 0), y-r+max(d, 0))
			}
		}
	}
}

// explain writes the legend: the shades, and the marks that there are.
func (r *racks) explain(s *surface) {
	swatch := func(i ink) func(*surface) {
		return func(s *surface) { s.rect(7, 1, 14, 12, i) }
	}
	for n, sh := range rackShades {
		if n == 0 {
			s.legend(sh.words, swatch(sh.below))
			continue
		}
		s.legend(sh.words+" below", swatch(sh.below))
		s.legend(sh.words+" above", swatch(sh.over))
	}
	for m := Wrong; m <= Missing; m++ {
		if slices.ContainsFunc(r.blocks, func(k Rack) bool { return slices.ContainsFunc(k.Nodes, func(n RackNode) bool { return n.Mark == m }) }) {
			s.legend(rackMarks[m], func(s *surface) { s.rackMark(m, swatchW/2, swatchH/2, 5) })
		}
	}
	s.foot(plain("A cell a node, in the order of the names within a rack."), plain(noteIf(len(r.Racks.Racks) > rackBlocks, fmt.Sprintf("The %d racks share a block.", len(r.Racks.Racks)))))
}
