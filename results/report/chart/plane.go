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
	X, Y      Figure // a tie of X or Y joins its points by a dotted line
	Note      string // after the name, fainter: "51 kH/J", "+12 W"
	Group     string // candidates of one group share a shape and a hue
	Reference bool
}

// plane is a scatter: what its kinds have in common.
type plane struct {
	x, y   Axis
	points []Point
	pad    float64
	pull   [2][]float64 // values that the axes must hold besides those of the points
	top    float64      // room above the panel, right of it
	right  float64
	under  func(s *surface, p *panel) // drawn below the marks
	first  func(Point) bool           // named before the others; may be nil
}

// The most marks of a plane: the first ones.
const planePoints = 40

// inUnits converts the points to the units of the axes, and drops those that
// have no place.
func inUnits(points []Point, x, y Axis) (kept []Point, dropped int) {
	for _, c := range points {
		c.X, c.Y = c.X.in(x), c.Y.in(y)
		if !c.X.ok() || !c.Y.ok() || x.Log && c.X.Value <= 0 || y.Log && c.Y.Value <= 0 {
			dropped++
			continue
		}
		kept = append(kept, c)
	}
	return kept, dropped
}

func (pl *plane) empty() string {
	if len(pl.points) == 0 {
		return "no candidate has both figures."
	}
	return ""
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

// groups lists the groups in the order in which they come.
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
		xs = append(xs, c.X.extent()...)
		ys = append(ys, c.Y.extent()...)
	}
	keys := 0.0
	if len(kinds) > 1 {
		keys = s.keyHeight(kinds)
	}
	p := panel{box: box{x1: s.w - pl.right, y0: keys + 26 + pl.top}}
	if !s.narrow {
		p.y1 = p.y0 + 340
	} else {
		p.y1 = p.y0 + 310
	}
	p.y = pl.y.scale(ys, 6, pl.pad)
	p.x0 = s.gutter(p.y)
	p.x = pl.x.scale(xs, int((p.x1-p.x0)/80), pl.pad)
	p.x.from, p.x.to, p.y.from, p.y.to = p.x0, p.x1, p.y1, p.y0
	if len(kinds) > 1 {
		s.key(kinds)
	}
	s.yAxisAt(&p, pl.y, keys+s.small)
	s.place.take(textBox(0, keys+s.small, width(pl.y.title(p.y), s.small, false), s.small, ""))
	for _, t := range p.x.ticks() {
		at := p.x.at(t.Value)
		s.segment(at, p.y0, at, p.y1, grid, 1)
	}
	s.xAxis(&p, pl.x)
	if pl.under != nil {
		pl.under(s, &p)
	}

	// Marks and whiskers take their room before any label does.
	for _, c := range points {
		x, y := p.x.at(c.X.Value), p.y.at(c.Y.Value)
		s.place.take(box{x - 6, y - 6, x + 6, y + 6})
		if lo, hi, ok := c.X.bounds(); ok {
			s.place.take(box{p.x.clamp(lo), y - 2, p.x.clamp(hi), y + 2})
		}
		if lo, hi, ok := c.Y.bounds(); ok {
			s.place.take(box{x - 2, p.y.clamp(hi), x + 2, p.y.clamp(lo)})
		}
	}
	s.joinTies(points, &p)
	for _, c := range points {
		k := slices.Index(kinds, c.Group)
		i, form := hues[k%len(hues)], shape(k%shapes)
		x, y := p.x.at(c.X.Value), p.y.at(c.Y.Value)
		s.tip(fmt.Sprintf("%s: %s, %s", results.Line(c.Name, 40), c.X.spoken(pl.x), c.Y.spoken(pl.y)), func() {
			if lo, hi, ok := c.X.bounds(); ok {
				s.whisker(p.x.clamp(lo), y, p.x.clamp(hi), y, i, false)
			}
			if lo, hi, ok := c.Y.bounds(); ok {
				s.whisker(x, p.y.clamp(lo), x, p.y.clamp(hi), i, false)
			}
			s.mark(x, y, 5.2, form, i, c.X.Modelled || c.Y.Modelled)
		})
	}
	unnamed := s.names(points, &p, pl.first)
	s.h = p.y1 + s.below()
	var foot []string
	if slices.ContainsFunc(points, func(c Point) bool { return c.X.Modelled || c.Y.Modelled }) {
		foot = append(foot, "Hollow, ~: not measured.")
	}
	if unnamed > 0 {
		foot = append(foot, results.Plural(unnamed, "mark")+" without room for a name.")
	}
	if more := len(pl.points) - len(points); more > 0 {
		foot = append(foot, fmt.Sprintf("%d more are not drawn: the table has them all.", more))
	}
	s.foot(foot)
}

// joinTies draws a dotted line through the points that cannot be told apart.
func (s *surface) joinTies(points []Point, p *panel) {
	seen := map[int]bool{}
	for _, c := range points {
		tie := cmp.Or(c.Y.Tie, c.X.Tie)
		if tie == 0 || seen[tie] {
			continue
		}
		seen[tie] = true
		var xy [][2]float64
		for _, d := range points {
			if cmp.Or(d.Y.Tie, d.X.Tie) == tie {
				xy = append(xy, [2]float64{p.x.at(d.X.Value), p.y.at(d.Y.Value)})
			}
		}
		slices.SortFunc(xy, func(a, b [2]float64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		var line []float64
		for _, q := range xy {
			line = append(line, q[0], q[1])
		}
		if len(xy) > 1 {
			s.stroke(polyline(line...), rule, 1.3, 1.5, 3)
		}
	}
}

// names labels the points where there is room, the first and the reference
// before the others, and returns how many have none.
func (s *surface) names(points []Point, p *panel, first func(Point) bool) (unnamed int) {
	rank := func(c Point) int {
		switch {
		case first != nil && first(c):
			return 0
		case c.Reference:
			return 1
		}
		return 2
	}
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(rank(points[a])-rank(points[b]), cmp.Compare(p.y.at(points[a].Y.Value), p.y.at(points[b].Y.Value)))
	})
	bounds := box{p.x0 + 2, p.y0 - 4, s.w, p.y1 - 2}
	for _, i := range order {
		c := points[i]
		x, y := p.x.at(c.X.Value), p.y.at(c.Y.Value)
		name := results.Line(c.Name, 60)
		if (c.X.Modelled || c.Y.Modelled) && name != "" {
			name = "~" + name
		}
		name = fit(name, s.w*0.34, s.small, c.Reference)
		note := results.Line(c.Note, 40)
		nameW, noteW := width(name, s.small, c.Reference), 0.0
		if note != "" {
			noteW = 5 + width(note, s.small, false)
		}
		if name == "" && note == "" {
			continue
		}
		at, ok := s.place.beside(x, y, 6, nameW+noteW, s.small, bounds)
		if !ok && noteW > 0 && name != "" {
			note, noteW = "", 0
			at, ok = s.place.beside(x, y, 6, nameW, s.small, bounds)
		}
		if !ok {
			unnamed++
			continue
		}
		if at.far {
			bx := min(max(x, at.box.x0), at.box.x1)
			by := min(max(y, at.box.y0+2), at.box.y1-2)
			d := math.Hypot(bx-x, by-y)
			if d > 8 {
				s.segment(x+(bx-x)*7/d, y+(by-y)*7/d, bx, by, rule, 0.8)
			}
		}
		s.text(at.box.x0, at.y, name, style{size: s.small, bold: c.Reference, halo: true})
		if note != "" {
			x := at.box.x0 + nameW + 5
			if name == "" {
				x -= 5
			}
			s.text(x, at.y, note, style{ink: muted, size: s.small, halo: true})
		}
	}
	return unnamed
}

// keyRows breaks the names of groups into rows.
func (s *surface) keyRows(names []string) (rows [][]string) {
	x := math.Inf(1)
	for _, n := range names {
		n = s.keyName(n)
		w := width(n, s.small, false) + 34
		if x+w > s.w {
			rows = append(rows, nil)
			x = 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], n)
		x += w
	}
	return rows
}

func (s *surface) keyName(n string) string {
	return fit(cmp.Or(results.Line(n, 40), "other"), s.w*0.45, s.small, false)
}

const keyLine = 20

func (s *surface) keyHeight(names []string) float64 {
	return keyLine * float64(len(s.keyRows(names)))
}

// key says which shape and hue is which group.
func (s *surface) key(names []string) {
	k := 0
	for r, row := range s.keyRows(names) {
		x, y := 6.0, keyLine*float64(r)+s.small
		for _, n := range row {
			s.mark(x, y-4, 5, shape(k%shapes), hues[k%len(hues)], false)
			s.text(x+10, y, n, style{size: s.small, ink: hues[k%len(hues)]})
			x += width(n, s.small, false) + 34
			k++
		}
	}
}

// ThroughputPower is work done against watts spent: the steeper from the
// origin, the more work per joule.
type ThroughputPower struct {
	Head
	Power      Axis // across
	Throughput Axis // up
	Efficiency Axis // of throughput ÷ power, for the lines of equal efficiency
	Points     []Point
}

// SVG implements Chart.
func (t ThroughputPower) SVG() template.HTML {
	pl := &plane{x: t.Power, y: t.Throughput, pad: 0.08}
	// Over more than a decade the small ones would crowd the origin.
	for _, a := range []*Axis{&pl.x, &pl.y} {
		lo, hi := math.Inf(1), 0.0
		for _, c := range t.Points {
			f := c.X
			if a == &pl.y {
				f = c.Y
			}
			if f = f.in(*a); f.ok() && f.Value > 0 {
				lo, hi = min(lo, f.Value), max(hi, f.Value)
			}
		}
		a.Free = false
		pl.x.Log = pl.x.Log || hi > 12*lo
	}
	pl.y.Log = pl.x.Log
	pl.points, _ = inUnits(t.Points, pl.x, pl.y)
	// One efficiency in the unit of its axis, from figures in theirs.
	k := t.Efficiency.factor() / t.Throughput.factor() * t.Power.factor()
	lo, hi := math.Inf(1), 0.0
	for _, c := range pl.points {
		if e := c.Y.Value / c.X.Value; e > 0 && drawable(e) {
			lo, hi = min(lo, e), max(hi, e)
		}
	}
	pl.top = 4
	if hi > 0 {
		var levels []float64
		var scale scale
		a := t.Efficiency
		if hi/lo < 3 {
			a.Free, a.Log = true, false
			scale = a.scale([]float64{lo * k, hi * k}, 4, 0.3)
		} else {
			a.Log = true
			scale = a.scale([]float64{lo * k, hi * k}, 5, 0.15)
		}
		labels := []string{}
		for _, tick := range scale.ticks() {
			if tick.Value > 0 {
				levels = append(levels, tick.Value/k)
				labels = append(labels, t.Efficiency.round(tick.Value))
			}
		}
		for _, l := range labels {
			pl.right = max(pl.right, width(l, 12.5, false)+8)
		}
		pl.right = min(pl.right, 120)
		pl.under = func(s *surface, p *panel) { s.isolines(p, levels, labels) }
	}
	return svg(t.Head, pl)
}

// isolines draws y = level·x and names each line where it leaves the panel.
func (s *surface) isolines(p *panel, levels []float64, labels []string) {
	line := func(level float64) (x0, y0, x1, y1 float64, ok bool) {
		a, b := max(p.x.Min, p.y.Min/level), min(p.x.Max, p.y.Max/level)
		return p.x.at(a), p.y.at(a * level), p.x.at(b), p.y.at(b * level), a < b
	}
	for n := range levels {
		level := levels[len(levels)-1-n] // the steepest first
		label := fit(labels[len(levels)-1-n], 112, s.small, false)
		x0, y0, x1, y1, ok := line(level)
		if !ok || math.Hypot(x1-x0, y1-y0) < 40 {
			continue
		}
		s.segment(x0, y0, x1, y1, rule, 1, 5, 4)
		w := width(label, s.small, false)
		x, y, anchor := x1+5, y1+s.small*0.34, ""
		if y1 <= p.y0+1 { // leaves through the top
			x, y, anchor = x1, p.y0-4, middle
			if x+w/2 > s.w {
				x, anchor = s.w, end
			}
		}
		b := textBox(x, y, w, s.small, anchor)
		if s.place.free(b) {
			s.place.take(b)
			s.text(x, y, label, style{ink: muted, size: s.small, anchor: anchor})
		}
		s.place.avoidLine(x0, y0, x1, y1)
	}
}

// TwoUsePlane is the work per joule at two uses, each relative to the
// reference, whose place is 1, 1.
type TwoUsePlane struct {
	Head
	X, Y       Axis   // "hashing per joule, relative"
	UseX, UseY string // the uses, as the quadrants name them: "mining", "training"
	Margin     float64
	Points     []Point

	Mix     []XY   // the work per joule of the reference's mixes of both, in order
	MixText string // "half and half"
	Mullet  *Point // both at once, measured
}

const together = "both at once, measured"

// XY is a place in a plane.
type XY struct{ X, Y float64 }

// SVG implements Chart.
func (t TwoUsePlane) SVG() template.HTML {
	x, y := t.X, t.Y
	x.Free, y.Free = true, true
	points := slices.Clone(t.Points)
	if t.Mullet != nil {
		m := *t.Mullet
		m.Group = cmp.Or(m.Group, together)
		points = append(points[:min(len(points), planePoints-1)], m)
		for i := range points {
			points[i].Group = cmp.Or(points[i].Group, "one use at a time")
		}
	}
	lo, hi := 1.0, 1.0
	for _, c := range points {
		for _, v := range []float64{c.X.Value, c.Y.Value} {
			if v > 0 && drawable(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	x.Log, y.Log = hi/lo > 4, hi/lo > 4
	pl := &plane{x: x, y: y, pad: 0.12, top: 4, first: func(c Point) bool { return t.Mullet != nil && c.Group == cmp.Or(t.Mullet.Group, together) }}
	pl.points, _ = inUnits(points, x, y)
	kx, ky := x.factor(), y.factor()
	pl.pull = [2][]float64{{kx}, {ky}}
	if hi < 1.1 && lo > 0.9 { // else a band of 1 % would fill the plane
		pl.pull = [2][]float64{{0.95 * kx, 1.05 * kx}, {0.95 * ky, 1.05 * ky}}
	}
	var mix []XY
	for _, m := range t.Mix {
		if m.X, m.Y = m.X*kx, m.Y*ky; drawable(m.X) && drawable(m.Y) && (!x.Log || m.X > 0 && m.Y > 0) && len(mix) < 200 {
			mix = append(mix, m)
			pl.pull[0], pl.pull[1] = append(pl.pull[0], m.X), append(pl.pull[1], m.Y)
		}
	}
	if !(t.Margin > 0 && t.Margin < 1) {
		t.Margin = 0
	}
	ux, uy := cmp.Or(results.Line(t.UseX, 24), "the one"), cmp.Or(results.Line(t.UseY, 24), "the other")
	pl.under = func(s *surface, p *panel) {
		if t.Margin > 0 {
			a, b := p.x.clamp(kx*(1-t.Margin)), p.x.clamp(kx*(1+t.Margin))
			s.rect(a, p.y0, b-a, p.y1-p.y0, band)
			a, b = p.y.clamp(ky*(1+t.Margin)), p.y.clamp(ky*(1-t.Margin))
			s.rect(p.x0, a, p.x1-p.x0, b-a, band)
		}
		cx, cy := p.x.at(kx), p.y.at(ky)
		s.segment(cx, p.y0, cx, p.y1, muted, 1.2)
		s.segment(p.x0, cy, p.x1, cy, muted, 1.2)
		s.place.avoid(box{cx - 1, p.y0, cx + 1, p.y1}, box{p.x0, cy - 1, p.x1, cy + 1})
		// A word in each corner, in two lines where the quadrant is small.
		corner := func(x, y, room float64, anchor string, up bool, words ...string) {
			lines := words
			if one := words[0] + " " + words[len(words)-1]; len(words) > 1 && width(one, s.small, false) < room {
				lines = []string{one}
			}
			for i, l := range lines {
				l = fit(l, room, s.small, false)
				at := y + s.line*float64(i)
				if up {
					at = y - s.line*float64(len(lines)-1-i)
				}
				s.text(x, at, l, style{ink: muted, size: s.small, anchor: anchor, halo: true})
				s.place.take(textBox(x, at, width(l, s.small, false), s.small, anchor))
			}
		}
		left, right := cx-p.x0-12, p.x1-cx-12
		if right > 50 {
			corner(p.x1-6, p.y0+s.small+4, right, end, false, "better at both")
			corner(p.x1-6, p.y1-7, right, end, true, "better at "+ux+",", "worse at "+uy)
		}
		if left > 50 {
			corner(p.x0+6, p.y0+s.small+4, left, "", false, "better at "+uy+",", "worse at "+ux)
			corner(p.x0+6, p.y1-7, left, "", true, "worse at both")
		}
		var line []float64
		for _, m := range mix {
			line = append(line, p.x.at(m.X), p.y.at(m.Y))
		}
		if len(mix) > 1 {
			s.stroke(polyline(line...), hueC, 1.8, 7, 3)
			for i := 0; i+3 < len(line); i += 2 {
				s.place.avoidLine(line[i], line[i+1], line[i+2], line[i+3])
			}
			if l := fit(results.Line(t.MixText, 48), s.w*0.4, s.small, false); l != "" {
				n := len(line)/4*2 - 2 // the middle
				x, y := (line[max(n, 0)]+line[n+2])/2, (line[n+1]+line[n+3])/2
				if at, ok := s.place.beside(x, y, 4, width(l, s.small, false), s.small, box{p.x0, p.y0, s.w, p.y1}); ok {
					s.text(at.x, at.y, l, style{ink: hueC, size: s.small, anchor: at.anchor, halo: true})
				}
			}
		}
	}
	return svg(t.Head, pl)
}

// Mullet is what mining in the background of training gains and costs.
type Mullet struct {
	Head
	Kept   Axis    // across: training kept, a share of that alone
	Gained Axis    // up: hashes gained
	Points []Point // Note says the extra watts: "+12 W"
}

// SVG implements Chart.
func (m Mullet) SVG() template.HTML {
	x := m.Kept
	x.Free = true
	pl := &plane{x: x, y: m.Gained, pad: 0.1, top: 4}
	pl.points, _ = inUnits(m.Points, x, m.Gained)
	whole := x.factor()
	pl.pull[0] = []float64{whole}
	pl.under = func(s *surface, p *panel) {
		at := p.x.at(whole)
		s.segment(at, p.y0, at, p.y1, muted, 1.3)
		t := "all of the training kept"
		w := width(t, s.small, false)
		right := p.x.to-at > w/2
		x := at + w/2
		if !right {
			x = p.x1
		}
		if s.place.free(textBox(x, p.y0-6, w, s.small, end)) {
			s.text(x, p.y0-6, t, style{ink: muted, size: s.small, anchor: end})
		}
		s.place.avoid(box{at - 1, p.y0, at + 1, p.y1})
	}
	return svg(m.Head, pl)
}
