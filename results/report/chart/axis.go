package chart

import (
	"math"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// scale maps the range from min to max to a length.
type scale struct {
	min, max float64
	log      bool
	marks    ticker // nil for a scale without ticks
	exp      int    // the power of ten of the ticks' labels
	unit     string // of the labels; "" if each label has its own
}

// ticker chooses the ticks of a range.
type ticker interface{ ticks(lo, hi float64) []tick }

type tick struct {
	value float64
	label string
}

func (s scale) ticks() []tick { return s.marks.ticks(s.min, s.max) }

// clamp limits v to the range of the scale.
func (s scale) clamp(v float64) float64 { return min(max(v, s.min), s.max) }

// share is where v lies between the ends of the scale, 0 and 1.
func (s scale) share(v float64) float64 {
	if s.log {
		return math.Log(v/s.min) / math.Log(s.max/s.min)
	}
	return (v - s.min) / (s.max - s.min)
}

// scale covers values, given in the unit of the axis, with about want ticks.
// The share pad of the range stays free at each end, except at zero.
func (a Axis) scale(values []float64, want int, pad float64) scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if drawable(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		lo, hi = 0, 1
	}
	var s scale
	if a.log && lo > 1/absurd {
		s.log = true
		if hi/lo < 2 {
			m := math.Sqrt(2 / (hi / lo))
			lo, hi = lo/m, hi*m
		}
		k := math.Pow(hi/lo, pad)
		s.min, s.max = lo/k, hi*k
		t := logTicks{a, want}
		s.marks = t
		if exp, one := t.exponent(s.min, s.max); one {
			s.unit = a.symbol(exp)
		}
		return s
	}
	zeroed := !a.Free
	if zeroed {
		lo, hi = min(lo, 0), max(hi, 0)
	}
	// A range below the precision of its values is widened.
	if least := max(math.Abs(lo), math.Abs(hi)) * 1e-6; hi-lo <= least {
		d := max(least, math.Abs(hi)*0.05)
		if d == 0 {
			d = 0.5
		}
		if zeroed && lo == 0 {
			hi += 2 * d
		} else {
			lo, hi = lo-d, hi+d
		}
	}
	d := (hi - lo) * pad
	if lo != 0 || !zeroed {
		lo -= d
	}
	if hi != 0 || !zeroed {
		hi += d
	}
	s.min, s.max = lo, hi
	s.exp = a.exponent(max(math.Abs(lo), math.Abs(hi)))
	s.marks = linearTicks{a, want, s.exp}
	s.unit = a.symbol(s.exp)
	return s
}

// title is the title of the axis with the unit of its labels.
func (a Axis) title(s scale) string {
	t := results.Line(a.Title, 60)
	return t + noteIf(t != "" && s.unit != "", ", ") + s.unit
}

// symbol is the unit with the SI prefix for a power of ten, if it takes one.
func (a Axis) symbol(exp int) string {
	unit := results.Line(a.Unit, 24)
	if a.worded() {
		return unit
	}
	return table.Prefix(exp) + unit
}

// worded reports whether the unit takes no prefix: k, M or bn follow a number, as in
// the tables.
func (a Axis) worded() bool { return a.MinExp == 0 && a.MaxExp == 0 }

// mostDigits is how large a number of a unit without prefixes may be.
const mostDigits = 1e5

// exponent is the power of ten by which x is divided for printing.
func (a Axis) exponent(x float64) int {
	x = math.Abs(x) * (1 + 1e-9) // the tolerance makes 999.9999999 a thousand
	if x == 0 || !drawable(x) {
		return 0
	}
	lo, hi := max(min(a.MinExp, 0), -12), min(max(a.MaxExp, 0), 21)
	switch {
	case hi == 0 && x >= 1 && x < mostDigits:
		return 0
	case a.worded():
		hi = 9
	case hi == 0:
		hi = 18
	}
	e := int(math.Floor(math.Log10(x)/3)) * 3
	if bounded := min(max(e, lo), hi); e >= bounded-3 && e <= bounded+3 {
		return bounded
	}
	return int(math.Floor(math.Log10(x))) // neither prefix nor word reaches it
}

// print prints a value with three significant digits and its unit.
func (a Axis) print(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	}
	e := a.exponent(v)
	x := v / math.Pow10(e)
	if x == 0 {
		return a.number("0", e)
	}
	decimals := min(2-int(math.Floor(math.Log10(math.Abs(x)*1.0005))), 9)
	if decimals < 0 { // three digits of a number that takes no prefix
		p := math.Pow10(-decimals)
		x, decimals = math.Round(x/p)*p, 0
	}
	return a.number(fixed(x, decimals), e)
}

// round prints a value without trailing zeros, such as that of a tick.
func (a Axis) round(v float64) string {
	e := a.exponent(v)
	return a.number(ended(v, e), e)
}

// number appends what is not in the unit's prefix, and the unit, to a number.
func (a Axis) number(digits string, exp int) string {
	return strings.TrimSpace(a.scaled(digits, exp) + " " + a.symbol(exp))
}

// scaled appends the word, or the power of ten, that stands for an exponent which no
// prefix of the unit does.
func (a Axis) scaled(digits string, exp int) string {
	switch word := table.Word(exp); {
	case exp == 0 || !a.worded() && table.Prefix(exp) != "" || digits == "0":
		return digits
	case a.worded() && word != "":
		return digits + word
	}
	return digits + table.Typeset("1e" + strconv.Itoa(exp))[1:]
}

func fixed(x float64, decimals int) string {
	return table.Typeset(strconv.FormatFloat(x, 'f', decimals, 64))
}

func ended(v float64, exp int) string { return table.Round(v/math.Pow10(exp), 6) }

// linearTicks puts ticks at multiples of 1, 2 or 5 times a power of ten.
type linearTicks struct {
	axis      Axis
	want, exp int
}

// step is the distance between ticks for a range of the given size.
func (t linearTicks) step(size float64) float64 {
	raw := size / float64(max(t.want, 1))
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, k := range []float64{1, 2, 5} {
		if k*p >= raw*0.71 { // rounds to the nearest step, not up to the next
			return k * p
		}
	}
	return 10 * p
}

func (t linearTicks) ticks(lo, hi float64) (ticks []tick) {
	step := t.step(hi - lo)
	decimals := min(max(0, -int(math.Floor(math.Log10(step*(1+1e-9))))+t.exp), 12)
	first := math.Ceil(lo/step - 1e-9)
	for i := range 64 {
		v := (first + float64(i)) * step
		if v > hi+step*1e-9 {
			break
		}
		ticks = append(ticks, tick{v, t.axis.scaled(fixed(v/math.Pow10(t.exp), decimals), t.exp)})
	}
	return ticks
}

// logTicks puts ticks at 1, 2 and 5, at powers of ten over many decades, and
// closer within less than one.
type logTicks struct {
	axis Axis
	want int
}

// exponent is the power of ten of the labels, if all have the same.
func (t logTicks) exponent(lo, hi float64) (exp int, one bool) {
	exp = t.axis.exponent(hi)
	return exp, exp == t.axis.exponent(lo)
}

func (t logTicks) ticks(lo, hi float64) (ticks []tick) {
	first, last := int(math.Floor(math.Log10(lo))), int(math.Ceil(math.Log10(hi)))
	decades := math.Log10(hi / lo)
	mantissas, every := []float64{1, 2, 5}, 1
	switch {
	case decades < 0.7:
		mantissas = []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}
	case decades*3 > float64(t.want)+1:
		mantissas = mantissas[:1]
		every = max(1, int(math.Round(decades/float64(max(t.want, 1)))))
	}
	exp, one := t.exponent(lo, hi)
	for d := first; d <= last; d++ {
		if (d-first)%every != 0 {
			continue
		}
		for _, m := range mantissas {
			v := m * math.Pow(10, float64(d))
			if v < lo*(1-1e-9) || v > hi*(1+1e-9) {
				continue
			}
			label := t.axis.round(v)
			if one {
				label = t.axis.scaled(ended(v, exp), exp)
			}
			ticks = append(ticks, tick{v, label})
		}
	}
	return ticks
}

// panel is the area of a chart that is spanned by two scales.
type panel struct {
	box
	x, y scale
}

// panel leaves room on the left for the labels of y.
func (s *surface) panel(top, height, right float64, y scale) *panel {
	return &panel{box: box{s.gutter(y), top, s.w - right, top + height}, y: y}
}

// columns is the number of ticks at the given distance that fit below the panel.
func (p *panel) columns(apart float64) int { return int((p.x1 - p.x0) / apart) }

// atX and atY are the position of v, limited to the panel.
func (p *panel) atX(v float64) float64 { return p.x0 + p.x.share(p.x.clamp(v))*(p.x1-p.x0) }
func (p *panel) atY(v float64) float64 { return p.y1 - p.y.share(p.y.clamp(v))*(p.y1-p.y0) }

// at is the place of a value in the panel, or beyond it.
func (p *panel) at(x, y float64) point {
	return point{p.x0 + p.x.share(x)*(p.x1-p.x0), p.y1 - p.y.share(y)*(p.y1-p.y0)}
}

// edges are the borders of the panel: the inside is where the form is 0 or more.
func (p *panel) edges() [4]func(point) float64 {
	return [4]func(point) float64{
		func(q point) float64 { return q.x - p.x0 }, func(q point) float64 { return p.x1 - q.x },
		func(q point) float64 { return q.y - p.y0 }, func(q point) float64 { return p.y1 - q.y },
	}
}

// slop is how far beyond a border a point still counts as inside: rounding puts the
// ends of a range there.
const slop = 1e-7

// crossing is where the line from a to b meets a border.
func crossing(edge func(point) float64, a, b point) point {
	t := edge(a) / (edge(a) - edge(b))
	return point{a.x + t*(b.x-a.x), a.y + t*(b.y-a.y)}
}

// polyline draws what of a line through points lies in the panel.
func (s *surface) polyline(p *panel, of []point, with lineStyle) {
	parts := [][]point{of}
	for _, edge := range p.edges() {
		var kept [][]point
		for _, part := range parts {
			var run []point
			for i, q := range part {
				in := edge(q) >= -slop
				if i > 0 && in != (edge(part[i-1]) >= -slop) {
					run = append(run, crossing(edge, part[i-1], q))
				}
				switch {
				case in:
					run = append(run, q)
				case len(run) > 1:
					kept, run = append(kept, run), nil
				default:
					run = nil
				}
			}
			if len(run) > 1 {
				kept = append(kept, run)
			}
		}
		parts = kept
	}
	for _, part := range parts {
		s.path(with.look(), part, false)
	}
}

// area fills what of a polygon lies in the panel (Sutherland and Hodgman 1974).
func (s *surface) area(p *panel, ring []point, with ink) {
	for _, edge := range p.edges() {
		var kept []point
		for i, q := range ring {
			before := ring[(i+len(ring)-1)%len(ring)]
			in := edge(q) >= -slop
			if in != (edge(before) >= -slop) {
				kept = append(kept, crossing(edge, before, q))
			}
			if in {
				kept = append(kept, q)
			}
		}
		ring = kept
	}
	s.path(filled(with), ring, true)
}

// bars draws the error bars of the point x, y, with caps of the given length.
func (s *surface) bars(p *panel, x, y Figure, with lineStyle, cap float64) {
	bar := func(lo, hi point, cx, cy float64) {
		s.polyline(p, []point{lo, hi}, with)
		for _, q := range []point{lo, hi} {
			if q.x >= p.x0-slop && q.x <= p.x1+slop && q.y >= p.y0-slop && q.y <= p.y1+slop {
				s.stroke(with, q.x-cx, q.y-cy, q.x+cx, q.y+cy)
			}
		}
	}
	if lo, hi, ok := x.bounds(); ok {
		bar(p.at(p.x.clamp(lo), y.Value), p.at(p.x.clamp(hi), y.Value), 0, -cap/2)
	}
	if lo, hi, ok := y.bounds(); ok {
		bar(p.at(x.Value, p.y.clamp(lo)), p.at(x.Value, p.y.clamp(hi)), cap/2, 0)
	}
}

// heading writes the title of a vertical axis from y down and returns the top of the
// panel below it.
func (s *surface) heading(y float64, title string) float64 {
	return s.remark(0, y+s.small, s.w, title) - s.small + 9
}

// yAxis draws the labels left of the panel and the grid.
func (s *surface) yAxis(p *panel) {
	s.axis("y", func() {
		for _, t := range p.y.ticks() {
			if y := p.at(p.x.min, t.value).y; y >= p.y0 && y <= p.y1 {
				s.stroke(pen(grid, 1), p.x0, y, p.x1, y)
			}
		}
		for _, t := range p.y.ticks() {
			s.note(p.x0-6, p.atY(t.value)+s.small*0.34, t.label, end)
		}
	})
}

// upright draws the grid lines of x.
func (s *surface) upright(p *panel) {
	s.axis("x", func() {
		for _, t := range p.x.ticks() {
			if x := p.at(t.value, p.y.min).x; x >= p.x0 && x <= p.x1 {
				s.stroke(pen(grid, 1), x, p.y1, x, p.y0)
			}
		}
	})
}

// xAxis draws the axis below the panel, drops labels that would overlap, and
// sets the height of the drawing.
func (s *surface) xAxis(p *panel, a Axis) {
	s.xTicks(p)
	s.h = p.y1 + 11 + s.small
	if t := a.title(p.x); t != "" {
		s.h = s.remark(p.x0, s.h+s.line, s.w-p.x0, t) - s.line
	}
	s.h += 5
}

// xTicks draws the line, the ticks and the labels of xAxis.
func (s *surface) xTicks(p *panel) {
	s.stroke(pen(rule, 1), p.x0, p.y1, p.x1, p.y1)
	s.axis("x", func() {
		for _, t := range p.x.ticks() {
			s.stroke(pen(rule, 1), p.atX(t.value), p.y1, p.atX(t.value), p.y1+4)
		}
		last := math.Inf(-1)
		for _, t := range p.x.ticks() {
			at, half := p.atX(t.value), s.width(t.label)/2
			if at-half >= last && at+half <= s.w {
				last = at + half + 6
				s.note(max(at, half), p.y1+7+s.small, t.label, middle)
			}
		}
	})
}

// gutter is the width that yAxis needs for its labels.
func (s *surface) gutter(y scale) float64 {
	w := 0.0
	for _, t := range y.ticks() {
		w = max(w, s.width(t.label))
	}
	return math.Ceil(w) + 8
}
