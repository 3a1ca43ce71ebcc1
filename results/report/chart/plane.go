package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

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
	head   Head
	x, y   Axis
	points []Point
	pad    float64
	pull   [2][]float64                       // further values that the axes must cover
	right  float64                            // room right of the panel
	above  float64                            // room above the panel
	under  func(s *surface, p *panel) []guide // draws what lies below the marks, except the guides
}

// guide is a line to read positions by. It is broken where a label lies on it.
type guide struct {
	style          lineStyle
	x0, y0, x1, y1 float64
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
	pl.head = h
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
	height := 340.0
	if s.narrow {
		height = 310
	}
	if len(kinds) > 1 {
		for i, k := range kinds {
			s.legend(cmp.Or(results.Line(k, 40), "other"), func(s *surface) { s.mark(swatchW/2, swatchH/2, 5, i, hue(i), false) })
		}
	}
	y := pl.y.scale(ys, 6, pl.pad)
	top := s.heading(0, pl.y.title(y))
	s.place.take(box{0, 0, s.w, top - 8})
	p := s.panel(top+pl.above, height, pl.right, y)
	p.x = pl.x.scale(xs, p.columns(80), pl.pad)
	s.yAxis(p)
	s.upright(p)
	s.xAxis(p, pl.x)
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
	guides := pl.under(s, p)
	for _, g := range guides {
		s.place.guides = append(s.place.guides, along(g.x0, g.y0, g.x1, g.y1)...)
	}
	labels, unnamed := s.names(points, p)
	for _, g := range guides {
		s.broken(g)
	}
	for _, c := range points {
		kind := slices.Index(kinds, c.Group)
		s.tip(fmt.Sprintf("%s: %s, %s", results.Line(c.Name, 40), c.X.spoken(pl.x), c.Y.spoken(pl.y)), func() {
			s.bars(p, c.X, c.Y, pen(hue(kind), 1.6), 0)
			s.mark(p.atX(c.X.Value), p.atY(c.Y.Value), 5.2, kind, hue(kind), c.modelled())
		})
	}
	for _, draw := range labels {
		draw()
	}
	s.foot(unmeasured(slices.ContainsFunc(points, Point.modelled)), pl.head.undrawn(len(pl.points)-len(points), "candidate"))
	if unnamed > 0 {
		s.foot(plain(results.Plural(unnamed, "mark")+" without room for a name") + pl.head.rest())
	}
}

// names places the labels of points, the reference first. It returns what draws them
// and how many have no room for a label.
func (s *surface) names(points []Point, p *panel) (draw []func(), unnamed int) {
	order := slices.Clone(points)
	results.SortStable(order, func(a, b Point) int {
		first := map[bool]int{true: -1}
		return cmp.Or(first[a.Reference]-first[b.Reference], cmp.Compare(b.Y.Value, a.Y.Value))
	})
	bounds := box{p.x0 + 2, p.y0 - 4, s.w, p.y1 - 2}
	label := func(c Point, full, whole string) func() {
		for _, room := range []float64{s.w, s.w * 0.5, s.w * 0.3} {
			lines := wrap(full, room, s.small, c.Reference)
			for _, onGuides := range []bool{false, true} {
				at, ok := s.beside(p.atX(c.X.Value), p.atY(c.Y.Value), 6, widest(lines, s.small, c.Reference), len(lines), onGuides, bounds)
				if !ok {
					continue
				}
				return func() {
					if at.leader != nil {
						s.stroke(pen(rule, 0.8), at.leader...)
					}
					s.lines(at.x, at.y, lines, style{size: s.small, bold: c.Reference, halo: true, whole: whole, anchor: at.anchor})
				}
			}
		}
		return nil
	}
	for _, c := range order {
		full, whole := cut(c.Name)
		if c.modelled() && full != "" {
			full = "~" + full
		}
		if note := results.Line(c.Note, 40); note != "" {
			full += noteIf(full != "", ", ") + note
		}
		d := func() {}
		if full != "" {
			d = label(c, full, whole)
		}
		if d == nil {
			unnamed++
			continue
		}
		draw = append(draw, d)
	}
	return draw, unnamed
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
	pl := &plane{x: t.Power, y: t.Throughput, pad: 0.08, above: 15}
	x0, x1 := positive(t.Points, Point.across)
	y0, y1 := positive(t.Points, Point.up)
	// Beyond a decade, small values would crowd at the origin of linear axes.
	log := x1 > 12*x0 || y1 > 12*y0
	pl.x.log, pl.y.log = log, log
	pl.points = inUnits(t.Points, pl.x, pl.y)
	// k converts y ÷ x, in the units of their axes, to the unit of Efficiency.
	k := t.Efficiency.factor() / t.Throughput.factor() * t.Power.factor()
	lo, hi := positive(pl.points, func(c Point) float64 { return c.Y.Value / c.X.Value * k })
	var levels []tick
	if hi > 0 {
		a := t.Efficiency
		a.log = true
		for _, t := range a.scale([]float64{lo, hi}, 5, 0.15).ticks() {
			levels = append(levels, tick{t.value / k, a.round(t.value)})
			pl.right = max(pl.right, min(width(a.round(t.value), 12.5, false)+8, 120))
		}
	}
	pl.under = func(s *surface, p *panel) (guides []guide) {
		for _, l := range slices.Backward(levels) { // the steepest first
			guides = append(guides, s.isoline(p, l.value, l.label)...)
		}
		return guides
	}
	return pl.svg(t.Head)
}

// isoline is y = level·x; it is labelled where it leaves the panel.
func (s *surface) isoline(p *panel, level float64, label string) []guide {
	from, to := max(p.x.min, p.y.min/level), min(p.x.max, p.y.max/level)
	x0, y0, x1, y1 := p.atX(from), p.atY(from*level), p.atX(to), p.atY(to*level)
	if !(from < to) || math.Hypot(x1-x0, y1-y0) < 40 {
		return nil
	}
	w := s.width(label)
	x, y := x1+5, y1+s.small*0.34
	if y1 <= p.y0+1 { // leaves through the top
		x, y = max(p.x0, min(x1-w/2, s.w-w)), p.y0-5
	}
	if b := textBox(x, y, w, s.small, ""); b.x1 <= s.w && s.place.takeFree(b) {
		s.note(x, y, label, "")
	}
	return []guide{{pen(rule, 1, 5, 4), x0, y0, x1, y1}}
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
	pl.pull = [2][]float64{around(kx, x0, x1, pl.x.log), around(ky, y0, y1, pl.y.log)}
	margin := t.Margin
	if !(margin > 0 && margin < 1) {
		margin = 0
	}
	ux, uy := cmp.Or(results.Line(t.UseX, 24), "the one"), cmp.Or(results.Line(t.UseY, 24), "the other")
	pl.under = func(s *surface, p *panel) []guide {
		x0, x1 := p.atX(kx*(1-margin)), p.atX(kx*(1+margin))
		y0, y1 := p.atY(ky*(1+margin)), p.atY(ky*(1-margin))
		s.rect(x0, p.y0, x1-x0, p.y1-p.y0, band)
		s.rect(p.x0, y0, p.x1-p.x0, y1-y0, band)
		cx, cy := p.atX(kx), p.atY(ky)
		// A corner is labelled in as many lines as it has room for, as far from the
		// cross as the marks allow.
		corner := func(x, room, high float64, anchor string, bottom bool, label string) {
			lines := s.wrap(label, room)
			w, deep := widest(lines, s.small, false), s.line*float64(len(lines))
			for in := 4.0; w <= room && in+deep <= high; in += 6 {
				y := p.y0 + s.small + in
				if bottom {
					y = p.y1 + s.small - in - deep
				}
				b := textBox(x, y, w, s.small, anchor)
				if b.y1 += deep - s.line; s.place.free(b, nil, true) {
					s.lines(x, y, lines, style{ink: muted, size: s.small, anchor: anchor, halo: true})
					return
				}
			}
		}
		left, right, above, below := x0-p.x0-8, p.x1-x1-8, y0-p.y0, p.y1-y1
		corner(p.x1-4, right, above, end, false, "better at both")
		corner(p.x1-4, right, below, end, true, "better at "+ux+", worse at "+uy)
		corner(p.x0+4, left, above, "", false, "better at "+uy+", worse at "+ux)
		corner(p.x0+4, left, below, "", true, "worse at both")
		return []guide{{pen(muted, 1.2), cx, p.y0, cx, p.y1}, {pen(muted, 1.2), p.x0, cy, p.x1, cy}}
	}
	return pl.svg(t.Head)
}

// around are limits of an axis, for values from lo to hi in units of k, that leave each
// side of k enough room for a label, and for a margin.
func around(k, lo, hi float64, log bool) []float64 {
	const less = 0.4 // the shorter side against the longer
	lo, hi = min(lo, 0.95), max(hi, 1.05)
	if log {
		return []float64{k * min(lo, math.Pow(hi, -less)), k * max(hi, math.Pow(lo, -less))}
	}
	return []float64{k * min(lo, max(0, 1-less*(hi-1))), k * max(hi, 1+less*(1-lo))}
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
	pl := &plane{x: m.Kept, y: m.Gained, pad: 0.1, above: 15}
	pl.x.Free = true
	pl.points = inUnits(m.Points, pl.x, pl.y)
	whole := m.Kept.factor()
	pl.pull[0] = []float64{whole}
	pl.under = func(s *surface, p *panel) []guide {
		at := p.atX(whole)
		t := "all of the training kept"
		w := s.width(t)
		if x := max(min(at+w/2, p.x1), w); s.place.takeFree(textBox(x, p.y0-6, w, s.small, end)) {
			s.note(x, p.y0-6, t, end)
		}
		return []guide{{pen(muted, 1.3), at, p.y0, at, p.y1}}
	}
	return pl.svg(m.Head)
}
