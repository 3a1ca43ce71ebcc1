package chart

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// scale is an axis with limits and ticks. gonum's tickers know neither the
// prefixes of the tables nor their thin spaces, so the tickers are ours.
type scale struct {
	plot.Axis
	exp  int    // the power of ten of the ticks' labels
	unit string // of the labels; "" if each label has its own
}

func (s scale) ticks() []plot.Tick { return s.Tick.Marker.Ticks(s.Min, s.Max) }

// clamp limits v to the range of the scale.
func (s scale) clamp(v float64) float64 { return min(max(v, s.Min), s.Max) }

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
		s.Scale = plot.LogScale{}
		if hi/lo < 2 {
			m := math.Sqrt(2 / (hi / lo))
			lo, hi = lo/m, hi*m
		}
		k := math.Pow(hi/lo, pad)
		s.Min, s.Max = lo/k, hi*k
		t := logTicks{a, want}
		s.Tick.Marker = t
		if exp, one := t.exponent(s.Min, s.Max); one {
			s.unit = a.symbol(exp)
		}
		return s
	}
	s.Scale = plot.LinearScale{}
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
	s.Min, s.Max = lo, hi
	s.exp = a.exponent(max(math.Abs(lo), math.Abs(hi)))
	s.Tick.Marker = linearTicks{a, want, s.exp}
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

// Ticks implements plot.Ticker.
func (t linearTicks) Ticks(lo, hi float64) (ticks []plot.Tick) {
	step := t.step(hi - lo)
	decimals := min(max(0, -int(math.Floor(math.Log10(step*(1+1e-9))))+t.exp), 12)
	first := math.Ceil(lo/step - 1e-9)
	for i := range 64 {
		v := (first + float64(i)) * step
		if v > hi+step*1e-9 {
			break
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: t.axis.scaled(fixed(v/math.Pow10(t.exp), decimals), t.exp)})
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

// Ticks implements plot.Ticker.
func (t logTicks) Ticks(lo, hi float64) (ticks []plot.Tick) {
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
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
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
func (p *panel) atX(v float64) float64 { return p.x0 + p.x.Norm(p.x.clamp(v))*(p.x1-p.x0) }
func (p *panel) atY(v float64) float64 { return p.y1 - p.y.Norm(p.y.clamp(v))*(p.y1-p.y0) }

// plot runs gonum's plotters, which clip to the panel.
func (s *surface) plot(p *panel, items ...plot.Plotter) {
	c := draw.Canvas{Canvas: s, Rectangle: vg.Rectangle{Min: pt(p.x0, p.y1), Max: pt(p.x1, p.y0)}}
	for _, i := range items {
		i.Plot(c, &plot.Plot{X: p.x.Axis, Y: p.y.Axis})
	}
}

// bars draws the error bars of the point x, y.
func (s *surface) bars(p *panel, x, y Figure, style draw.LineStyle, cap vg.Length) {
	if lo, hi, ok := x.bounds(); ok {
		lo, hi = p.x.clamp(lo), p.x.clamp(hi)
		s.plot(p, &plotter.XErrorBars{XYs: plotter.XYs{{X: lo, Y: y.Value}}, XErrors: plotter.XErrors{{High: hi - lo}}, LineStyle: style, CapWidth: cap})
	}
	if lo, hi, ok := y.bounds(); ok {
		lo, hi = p.y.clamp(lo), p.y.clamp(hi)
		s.plot(p, &plotter.YErrorBars{XYs: plotter.XYs{{X: x.Value, Y: lo}}, YErrors: plotter.YErrors{{High: hi - lo}}, LineStyle: style, CapWidth: cap})
	}
}

// heading writes the title of a vertical axis from y down and returns the top of the
// panel below it.
func (s *surface) heading(y float64, title string) float64 {
	return s.remark(0, y+s.small, s.w, title) - s.small + 9
}

// yAxis draws the labels left of the panel and the grid. gonum's axes do not keep
// labels apart and within the drawing; yAxis and xAxis do.
func (s *surface) yAxis(p *panel) {
	s.plot(p, &plotter.Grid{Horizontal: pen(grid, 1)})
	for _, t := range p.y.ticks() {
		s.note(p.x0-6, p.atY(t.Value)+s.small*0.34, t.Label, end)
	}
}

// upright draws the grid lines of x.
func (s *surface) upright(p *panel) { s.plot(p, &plotter.Grid{Vertical: pen(grid, 1)}) }

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
	for _, t := range p.x.ticks() {
		s.stroke(pen(rule, 1), p.atX(t.Value), p.y1, p.atX(t.Value), p.y1+4)
	}
	last := math.Inf(-1)
	for _, t := range p.x.ticks() {
		at, half := p.atX(t.Value), s.width(t.Label)/2
		if at-half >= last && at+half <= s.w {
			last = at + half + 6
			s.note(max(at, half), p.y1+7+s.small, t.Label, middle)
		}
	}
}

// gutter is the width that yAxis needs for its labels.
func (s *surface) gutter(y scale) float64 {
	w := 0.0
	for _, t := range y.ticks() {
		w = max(w, s.width(t.Label))
	}
	return math.Ceil(w) + 8
}
