package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"

	"github.com/perwatt/perwatt/results"
)

// Point is a candidate in a plane of two figures.
type Point struct {
	Name      string
	X, Y      Figure
	Note      string // after the name: "51 kH/J", "+12 W"
	Group     string // candidates of one group share a shape and a hue
	Reference bool
}

// plane is what all scatter charts have in common.
type plane struct {
	x, y   Axis
	points []Point
	pad    float64
	pull   [2][]float64               // further values that the axes must cover
	right  float64                    // room right of the panel
	under  func(s *surface, p *panel) // drawn below the marks
}

// The most points of a plane that are drawn.
const planePoints = 40

// inUnits converts points to the units of the axes and drops those that cannot
// be drawn.
func inUnits(points []Point, x, y Axis) (kept []Point) {
	for _, c := range points {
		c.X, c.Y = c.X.in(x), c.Y.in(y)
		if c.X.ok() && c.Y.ok() && !(x.log && c.X.Value <= 0) && !(y.log && c.Y.Value <= 0) {
			kept = append(kept, c)
		}
	}
	return kept
}

// positive returns the least and the greatest positive value of points, or
// +Inf and 0 if there is none.
func positive(points []Point, of func(Point) float64) (lo, hi float64) {
	lo = math.Inf(1)
	for _, c := range points {
		if v := of(c); v > 0 && drawable(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	return lo, hi
}

func (c Point) across() float64 { return c.X.Value }
func (c Point) up() float64     { return c.Y.Value }
func (c Point) modelled() bool  { return c.X.Modelled || c.Y.Modelled }

func (pl *plane) svg(h Head) template.HTML {
	return svg(h, noteIf(len(pl.points) == 0, "no candidate has both figures."), pl)
}

func (pl *plane) describe() string {
	var parts []string
	for _, c := range pl.points {
		t := results.Line(c.Name, 40)
		if c.Note != "" {
			t += " (" + results.Line(c.Note, 30) + ")"
		}
		parts = append(parts, fmt.Sprintf("%s %s, %s", t, c.X.spoken(pl.x), c.Y.spoken(pl.y)))
	}
	return fmt.Sprintf("%s across, %s up, of %s: %s.", cmp.Or(pl.x.Title, "x"), cmp.Or(pl.y.Title, "y"), results.Plural(len(pl.points), "candidate"), few(parts, 10))
}

// groups lists the groups in order of appearance.
func groups(points []Point) (names []string) {
	for _, c := range points {
		if !slices.Contains(names, c.Group) {
			names = append(names, c.Group)
		}
	}
	return names
}

func (pl *plane) draw(s *surface) {
	points := pl.points[:min(len(pl.points), planePoints)]
	kinds := groups(points)
	xs, ys := slices.Clone(pl.pull[0]), slices.Clone(pl.pull[1])
	for _, c := range points {
		xs, ys = append(xs, c.X.extent()...), append(ys, c.Y.extent()...)
	}
	top, height := 0.0, 340.0
	if s.narrow {
		height = 310
	}
	if len(kinds) > 1 {
		names := slices.Clone(kinds)
		for i, k := range kinds {
			names[i] = cmp.Or(results.Line(k, 40), "other")
		}
		top = s.key(0, names, 10, func(i int, x, y float64) {
			s.mark(x+5, y, 5, i, hue(i), false)
		})
	}
	p := s.panel(top+30, height, pl.right, pl.y.scale(ys, 6, pl.pad))
	p.x = pl.x.scale(xs, p.columns(80), pl.pad)
	s.yAxis(p, pl.y, top+s.small)
	s.place.take(textBox(0, top+s.small, s.width(pl.y.title(p.y)), s.small, ""))
	s.upright(p)
	s.xAxis(p, pl.x)
	pl.under(s, p)

	// Marks and error bars take their room before labels.
	for _, c := range points {
		x, y := p.atX(c.X.Value), p.atY(c.Y.Value)
		s.place.take(box{x - 6, y - 6, x + 6, y + 6})
		if lo, hi, ok := c.X.bounds(); ok {
			s.place.take(box{p.atX(lo), y - 2, p.atX(hi), y + 2})
		}
		if lo, hi, ok := c.Y.bounds(); ok {
			s.place.take(box{x - 2, p.atY(hi), x + 2, p.atY(lo)})
		}
	}
	for _, c := range points {
		kind := slices.Index(kinds, c.Group)
		s.tip(fmt.Sprintf("%s: %s, %s", results.Line(c.Name, 40), c.X.spoken(pl.x), c.Y.spoken(pl.y)), func() {
			s.bars(p, c.X, c.Y, pen(hue(kind), 1.6), 0)
			s.mark(p.atX(c.X.Value), p.atY(c.Y.Value), 5.2, kind, hue(kind), c.modelled())
		})
	}
	unnamed := s.names(points, p)
	s.foot(unmeasured(slices.ContainsFunc(points, Point.modelled)), counted(unnamed, "mark", "without room for a name"),
		undrawn(len(pl.points)-len(points), "are not drawn: the table has them all"))
}

// names labels the points, the reference first, and returns how many have no
// room for a label.
func (s *surface) names(points []Point, p *panel) (unnamed int) {
	order := slices.Clone(points)
	slices.SortStableFunc(order, func(a, b Point) int {
		first := map[bool]int{true: -1}
		return cmp.Or(first[a.Reference]-first[b.Reference], cmp.Compare(b.Y.Value, a.Y.Value))
	})
	bounds := box{p.x0 + 2, p.y0 - 4, s.w, p.y1 - 2}
next:
	for _, c := range order {
		name, note := results.Line(c.Name, 60), results.Line(c.Note, 40)
		if c.modelled() && name != "" {
			name = "~" + name
		}
		whole := name + noteIf(name != "" && note != "", ", ") + note
		if whole == "" {
			continue
		}
		x, y := p.atX(c.X.Value), p.atY(c.Y.Value)
		for _, t := range []string{whole, name, fit(name, s.w*0.34, s.small, c.Reference)} {
			at, ok := s.place.beside(x, y, 6, width(t, s.small, c.Reference), s.small, bounds)
			if !ok || t == "" {
				continue
			}
			bx, by := min(max(x, at.box.x0), at.box.x1), min(max(y, at.box.y0+2), at.box.y1-2)
			if d := math.Hypot(bx-x, by-y); at.far && d > 8 {
				s.stroke(pen(rule, 0.8), x+(bx-x)*7/d, y+(by-y)*7/d, bx, by)
			}
			s.text(at.x, at.y, t, style{size: s.small, bold: c.Reference, halo: true, anchor: at.anchor})
			continue next
		}
		unnamed++
	}
	return unnamed
}

// key draws a legend in rows from y down and returns its lower end. swatch draws
// the look of name i, from x, room wide, centred at y. gonum's Legend has only
// one column.
func (s *surface) key(y float64, names []string, room float64, swatch func(i int, x, y float64)) float64 {
	const height = 20
	x := 0.0
	for i, n := range names {
		n = s.fit(n, s.w-room-6)
		w := room + 6 + s.width(n)
		if x > 0 && x+w > s.w {
			x, y = 0, y+height
		}
		swatch(i, x, y+s.small-4)
		s.text(x+room+6, y+s.small, n, style{size: s.small, ink: hue(i)})
		x += w + 18
	}
	return y + height
}

// ThroughputPower plots throughput against power: the steeper the line from the
// origin, the more work per joule.
type ThroughputPower struct {
	Head
	Power      Axis // across
	Throughput Axis // up
	Efficiency Axis // of throughput ÷ power, for lines of equal efficiency
	Points     []Point
}

// SVG implements Chart.
func (t ThroughputPower) SVG() template.HTML {
	pl := &plane{x: t.Power, y: t.Throughput, pad: 0.08}
	x0, x1 := positive(t.Points, Point.across)
	y0, y1 := positive(t.Points, Point.up)
	// Beyond a decade, small values would crowd at the origin of linear axes.
	log := x1 > 12*x0 || y1 > 12*y0
	pl.x.log, pl.y.log = log, log
	pl.points = inUnits(t.Points, pl.x, pl.y)
	// k converts y ÷ x, in the units of their axes, to the unit of Efficiency.
	k := t.Efficiency.factor() / t.Throughput.factor() * t.Power.factor()
	lo, hi := positive(pl.points, func(c Point) float64 { return c.Y.Value / c.X.Value * k })
	var levels []plot.Tick
	if hi > 0 {
		a := t.Efficiency
		a.log = true
		for _, tick := range a.scale([]float64{lo, hi}, 5, 0.15).ticks() {
			levels = append(levels, plot.Tick{Value: tick.Value / k, Label: a.round(tick.Value)})
			pl.right = max(pl.right, min(width(a.round(tick.Value), 12.5, false)+8, 120))
		}
	}
	pl.under = func(s *surface, p *panel) {
		for _, l := range slices.Backward(levels) { // the steepest first
			s.isoline(p, l.Value, l.Label)
		}
	}
	return pl.svg(t.Head)
}

// isoline draws y = level·x and labels it where it leaves the panel.
func (s *surface) isoline(p *panel, level float64, label string) {
	from, to := max(p.x.Min, p.y.Min/level), min(p.x.Max, p.y.Max/level)
	x0, y0, x1, y1 := p.atX(from), p.atY(from*level), p.atX(to), p.atY(to*level)
	if !(from < to) || math.Hypot(x1-x0, y1-y0) < 40 {
		return
	}
	s.stroke(pen(rule, 1, 5, 4), x0, y0, x1, y1)
	label = s.fit(label, 112)
	w := s.width(label)
	x, y := x1+5, y1+s.small*0.34
	if y1 <= p.y0+1 { // leaves through the top
		x, y = min(x1-w/2, s.w-w), p.y0-4
	}
	if s.place.takeFree(textBox(x, y, w, s.small, "")) {
		s.note(x, y, label, "")
	}
	s.place.avoidLine(x0, y0, x1, y1)
}

// TwoUsePlane plots the work per joule at two uses, each relative to the
// reference, which is at 1, 1.
type TwoUsePlane struct {
	Head
	X, Y       Axis    // "hashing per joule, relative"
	UseX, UseY string  // for the labels of the quadrants: "mining", "training"
	Margin     float64 // share of the reference within which it counts as equal
	Points     []Point
}

// SVG implements Chart.
func (t TwoUsePlane) SVG() template.HTML {
	pl := &plane{x: t.X, y: t.Y, pad: 0.12}
	x0, x1 := positive(t.Points, Point.across)
	y0, y1 := positive(t.Points, Point.up)
	lo, hi := min(x0, y0, 1), max(x1, y1, 1)
	pl.x.Free, pl.y.Free, pl.x.log, pl.y.log = true, true, hi > 4*lo, hi > 4*lo
	pl.points = inUnits(t.Points, pl.x, pl.y)
	kx, ky := t.X.factor(), t.Y.factor()
	pl.pull = [2][]float64{{kx}, {ky}}
	if hi < 1.1 && lo > 0.9 { // keeps a margin of 1 % from filling the plane
		pl.pull = [2][]float64{{0.95 * kx, 1.05 * kx}, {0.95 * ky, 1.05 * ky}}
	}
	margin := t.Margin
	if !(margin > 0 && margin < 1) {
		margin = 0
	}
	ux, uy := cmp.Or(results.Line(t.UseX, 24), "the one"), cmp.Or(results.Line(t.UseY, 24), "the other")
	pl.under = func(s *surface, p *panel) {
		x0, x1 := p.atX(kx*(1-margin)), p.atX(kx*(1+margin))
		y0, y1 := p.atY(ky*(1+margin)), p.atY(ky*(1-margin))
		s.rect(x0, p.y0, x1-x0, p.y1-p.y0, band)
		s.rect(p.x0, y0, p.x1-p.x0, y1-y0, band)
		cx, cy := p.atX(kx), p.atY(ky)
		s.stroke(pen(muted, 1.2), cx, p.y0, cx, p.y1)
		s.stroke(pen(muted, 1.2), p.x0, cy, p.x1, cy)
		s.place.avoid(box{cx - 1, p.y0, cx + 1, p.y1}, box{p.x0, cy - 1, p.x1, cy + 1})
		// Each corner has a label in one line or two, if it has room for it.
		corner := func(x, room float64, anchor string, bottom bool, lines ...string) {
			if one := strings.Join(lines, " "); s.width(one) < room {
				lines = []string{one}
			}
			if slices.ContainsFunc(lines, func(l string) bool { return s.width(l) > room }) {
				return
			}
			y := p.y0 + s.small + 4
			if bottom {
				y = p.y1 - 7 - s.line*float64(len(lines)-1)
			}
			for i, l := range lines {
				at := y + s.line*float64(i)
				s.text(x, at, l, style{ink: muted, size: s.small, anchor: anchor, halo: true})
				s.place.take(textBox(x, at, s.width(l), s.small, anchor))
			}
		}
		left, right := cx-p.x0-12, p.x1-cx-12
		corner(p.x1-6, right, end, false, "better at both")
		corner(p.x1-6, right, end, true, "better at "+ux+",", "worse at "+uy)
		corner(p.x0+6, left, "", false, "better at "+uy+",", "worse at "+ux)
		corner(p.x0+6, left, "", true, "worse at both")
	}
	return pl.svg(t.Head)
}

// Mullet plots hashes gained against training kept, for mining in the background
// of training.
type Mullet struct {
	Head
	Kept   Axis    // across: training kept, a share of that alone
	Gained Axis    // up: hashes gained
	Points []Point // with the extra power as Note: "+12 W"
}

// SVG implements Chart.
func (m Mullet) SVG() template.HTML {
	pl := &plane{x: m.Kept, y: m.Gained, pad: 0.1}
	pl.x.Free = true
	pl.points = inUnits(m.Points, pl.x, pl.y)
	whole := m.Kept.factor()
	pl.pull[0] = []float64{whole}
	pl.under = func(s *surface, p *panel) {
		at := p.atX(whole)
		s.stroke(pen(muted, 1.3), at, p.y0, at, p.y1)
		s.place.avoid(box{at - 1, p.y0, at + 1, p.y1})
		t := "all of the training kept"
		w := s.width(t)
		if x := min(at+w/2, p.x1); s.place.takeFree(textBox(x, p.y0-6, w, s.small, end)) {
			s.note(x, p.y0-6, t, end)
		}
	}
	return pl.svg(m.Head)
}
