package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Trace is the power and the rate of one run over time, one above the other.
type Trace struct {
	Head
	Power, Rate Signal
	Spans       []Span // phases of the run, and the windows within them
}

// Signal is a quantity over time.
type Signal struct {
	Axis   Axis
	Points []Sample // in any order; NaN is a gap
}

// Sample is a value at a time in seconds.
type Sample struct{ T, V float64 }

// Span is a stretch of time, in seconds.
type Span struct {
	From, To float64
	Name     string
	Window   bool // counts in the result; shaded more strongly
}

// stretch is a run of samples without a gap.
type stretch []Sample

// stretches orders the samples, with times multiplied by k and values in the
// unit of the axis. It breaks them where a value is not drawable and where two
// samples are more than five times the median distance apart.
func (g Signal) stretches(k float64) (out []stretch) {
	all := make(stretch, 0, len(g.Points))
	for _, p := range g.Points {
		if drawable(p.T) {
			all = append(all, Sample{p.T * k, p.V * g.Axis.factor()})
		}
	}
	results.SortStable(all, func(a, b Sample) int { return cmp.Compare(a.T, b.T) })
	var steps []float64
	for i := 1; i < len(all); i++ {
		if d := all[i].T - all[i-1].T; d > 0 {
			steps = append(steps, d)
		}
	}
	slices.Sort(steps)
	limit := math.Inf(1)
	if len(steps) > 2 {
		limit = 5 * steps[len(steps)/2]
	}
	from := 0
	for i := range len(all) + 1 {
		known := i < len(all) && drawable(all[i].V)
		if known && (i == from || all[i].T-all[i-1].T <= limit) {
			continue
		}
		if i > from {
			out = append(out, slices.Clip(all[from:i]))
		}
		if from = i; !known {
			from++
		}
	}
	return out
}

// decimate keeps the least and the greatest value of each of n time buckets, so
// that no spike is lost.
func (st stretch) decimate(from, to float64, n int) (out stretch) {
	if len(st) <= 2 || !(to > from) {
		return st
	}
	bucket := func(p Sample) int { return int((p.T - from) / (to - from) * float64(n)) }
	for i := 0; i < len(st); {
		lo, hi, j := i, i, i
		for ; j < len(st) && bucket(st[j]) == bucket(st[i]); j++ {
			if st[j].V < st[lo].V {
				lo = j
			}
			if st[j].V > st[hi].V {
				hi = j
			}
		}
		if out = append(out, st[min(lo, hi)]); lo != hi {
			out = append(out, st[max(lo, hi)])
		}
		i = j
	}
	return out
}

// samples draws a line through each stretch, decimated to n buckets. A single
// sample becomes a dash.
func (s *surface) samples(p *panel, of []stretch, n int, style lineStyle) {
	for _, st := range of {
		var line []point
		few := st.decimate(p.x.min, p.x.max, n)
		for _, q := range few {
			line = append(line, p.at(q.T, q.V))
		}
		if len(line) == 1 {
			x, y := p.atX(few[0].T), p.atY(few[0].V)
			s.stroke(style, x, y, x+1.5, y)
			continue
		}
		s.polyline(p, line, style)
	}
}

// joined closes gaps shorter than least, which would not be visible.
func joined(in []stretch, least float64) (out []stretch) {
	for _, st := range in {
		if n := len(out); n > 0 && st[0].T-out[n-1][len(out[n-1])-1].T < least {
			out[n-1] = append(slices.Clip(out[n-1]), st...)
			continue
		}
		out = append(out, st)
	}
	return out
}

// The most spans of a Trace, and the most gaps that are hatched; the others
// are blank.
const (
	traceSpans   = 40
	traceHatched = 10
)

// SVG implements Chart.
func (t Trace) SVG() template.HTML {
	d := &trace{Trace: t, from: math.Inf(1), to: math.Inf(-1)}
	signals := []Signal{t.Power, t.Rate}
	for _, g := range signals {
		for _, q := range g.Points {
			if drawable(q.T) && drawable(q.V*g.Axis.factor()) {
				d.from, d.to = min(d.from, q.T), max(d.to, q.T)
			}
		}
	}
	why := noteIf(d.from > d.to, "the run has no samples.")
	spans := slices.DeleteFunc(slices.Clone(t.Spans), func(sp Span) bool { return !drawable(sp.From) || !drawable(sp.To) || sp.From >= sp.To })
	results.SortStable(spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	d.Spans = spans[:min(len(spans), traceSpans)]
	d.left = len(spans) - len(d.Spans)
	for _, sp := range d.Spans {
		d.from, d.to = min(d.from, sp.From), max(d.to, sp.To)
	}
	// From here on all times are in the unit of the clock.
	d.time = clock(d.to - d.from)
	k := d.time.factor()
	d.from, d.to = d.from*k, d.to*k
	for i, sp := range d.Spans {
		d.Spans[i].From, d.Spans[i].To = sp.From*k, sp.To*k
	}
	for _, g := range signals {
		d.parts = append(d.parts, part{g.Axis, g.stretches(k)})
	}
	return svg(t.Head, why, d)
}

// part is a signal in the units of its axes.
type part struct {
	axis      Axis
	stretches []stretch
}

// values lists all values, which the axis must cover.
func (p part) values() (v []float64) {
	for _, st := range p.stretches {
		for _, s := range st {
			v = append(v, s.V)
		}
	}
	return v
}

type trace struct {
	Trace
	time     Axis
	from, to float64
	parts    []part
	left     int // spans not drawn
}

func (d *trace) describe() string {
	t := ""
	for _, p := range d.parts {
		v := p.values()
		name := cmp.Or(p.axis.Title, "A signal")
		if len(v) == 0 {
			t += name + ": no samples. "
			continue
		}
		t += fmt.Sprintf("%s from %s to %s over %s", name, p.axis.print(slices.Min(v)), p.axis.print(slices.Max(v)), d.time.print(d.to-d.from))
		if n := len(p.stretches) - 1; n > 0 {
			t += ", with " + results.Plural(n, "gap")
		}
		t += ". "
	}
	var spans []string
	for _, sp := range d.Spans {
		spans = append(spans, fmt.Sprintf("%s %s–%s %s", results.Line(sp.Name, 30), table.Round(sp.From, 4), table.Round(sp.To, 4), d.time.Unit))
	}
	if len(spans) > 0 {
		t += "Spans: " + few(spans, 8) + "."
	}
	return t
}

// clock is the time axis for a run of the given seconds.
func clock(seconds float64) Axis {
	a := Axis{Title: "time", Unit: "s", Free: true}
	switch {
	case seconds > 5*3600:
		a.Unit, a.Factor = "h", 1./3600
	case seconds > 600:
		a.Unit, a.Factor = "min", 1./60
	case seconds < 2:
		a.MinExp = -12
	}
	return a
}

func (d *trace) draw(s *surface) {
	named := map[bool]bool{} // by Window: whether any such span has a name
	for _, sp := range d.Spans {
		named[sp.Window] = named[sp.Window] || sp.Name != ""
	}
	y := 0.0
	for _, is := range named {
		if is {
			y += s.line
		}
	}
	var panels []*panel
	gutter := 0.0
	for i, part := range d.parts {
		scale := part.axis.scale(part.values(), 4, 0.06)
		p := s.panel(s.heading(y, part.axis.title(scale)), []float64{150, 120}[i], 6, scale)
		gutter = max(gutter, p.x0)
		panels = append(panels, p)
		y = p.y1 + 6
	}
	for _, p := range panels {
		p.x0 = gutter
		p.x = d.time.scale([]float64{d.from, d.to}, p.columns(80), 0)
	}
	s.shade(panels, d.Spans)
	s.spanNames(d.Spans, panels[0], named[false])
	hatched := false
	for i, p := range panels {
		s.yAxis(p)
		drawn := joined(d.parts[i].stretches, (d.to-d.from)*2/(p.x1-p.x0))
		var gaps []box
		for n := 1; n < len(drawn); n++ {
			before := drawn[n-1]
			gaps = append(gaps, box{p.atX(before[len(before)-1].T), p.y0, p.atX(drawn[n][0].T), p.y1})
		}
		for _, g := range gaps {
			s.rect(g.x0, g.y0, g.x1-g.x0, g.y1-g.y0, paper)
		}
		for _, g := range gaps[:min(len(gaps), traceHatched)] {
			s.hatch(g)
		}
		hatched = hatched || len(gaps) > 0
		s.samples(p, drawn, p.columns(2), pen(hues[i], 1.5))
		if len(drawn) == 0 {
			s.note((p.x0+p.x1)/2, (p.y0+p.y1)/2, "no samples", middle)
		}
		s.stroke(pen(rule, 1), p.x0, p.y1, p.x1, p.y1)
	}
	s.xAxis(panels[1], d.time)
	s.foot(plain(noteIf(slices.ContainsFunc(d.Spans, func(sp Span) bool { return sp.Window }), "Strong shade: the windows that count.")),
		plain(noteIf(hatched, "Hatched: no samples.")), d.undrawn(d.left, "span"))
}

// shade shades every other phase, and all windows more strongly, in all panels.
func (s *surface) shade(panels []*panel, spans []Span) {
	phases := slices.DeleteFunc(slices.Clone(spans), func(sp Span) bool { return sp.Window })
	windows := slices.DeleteFunc(slices.Clone(spans), func(sp Span) bool { return !sp.Window })
	area := func(sp Span, i ink) {
		for _, p := range panels {
			a, b := p.atX(sp.From), p.atX(sp.To)
			s.rect(a, p.y0, max(b-a, 0.7), p.y1-p.y0, i)
		}
	}
	for i := 0; i < len(phases); i += 2 {
		area(phases[i], band)
	}
	for _, sp := range windows {
		area(sp, deep)
	}
	for _, sp := range phases {
		for _, p := range panels {
			if a := p.atX(sp.From); a > p.x0+1 {
				s.stroke(pen(rule, 0.8, 2, 2), a, p.y0, a, p.y1)
			}
		}
	}
}

// hatch fills b with oblique lines.
func (s *surface) hatch(b box) {
	w, h := b.x1-b.x0, b.y1-b.y0
	for c := -w; c < h; c += 7 { // the line y = c + x from the corner, clipped
		if from, to := max(0, -c), min(w, h-c); from < to {
			s.stroke(pen(rule, 0.7), b.x0+from, b.y0+c+from, b.x0+to, b.y0+c+to)
		}
	}
}

// spanNames writes the names of spans above the panels: phases in the first row,
// windows in the second if phases have names. Of a name that does not fit, the last
// word is written, usually a number, or nothing. The first and the last phase may
// extend beyond their span instead, if the others leave room.
func (s *surface) spanNames(spans []Span, p *panel, phases bool) {
	put := func(x, y float64, t, anchor string) {
		b := textBox(x, y, s.width(t), s.small, anchor)
		b.x0, b.x1 = b.x0-2, b.x1+2
		if b.x0 >= -4 && b.x1 <= s.w+4 && s.place.takeFree(b) {
			s.note(x, y, t, anchor)
		}
	}
	for _, edges := range []bool{false, true} {
		for _, sp := range spans {
			words := strings.Fields(results.Line(sp.Name, 60))
			if len(words) == 0 {
				continue
			}
			name, last := strings.Join(words, " "), words[len(words)-1]
			a, b, y := p.atX(sp.From), p.atX(sp.To), s.small
			if sp.Window && phases {
				y += s.line
			}
			first, final := a <= p.x0+1, b >= p.x1-1
			fits := s.width(name) <= b-a
			switch edge := !fits && !sp.Window && (first || final); {
			case edge != edges:
			case edge && first:
				put(0, y, results.Line(name, 30), "")
			case edge:
				put(s.w, y, results.Line(name, 30), end)
			case fits:
				put((a+b)/2, y, name, middle)
			default:
				if s.width(last) <= b-a {
					put((a+b)/2, y, last, middle)
				}
			}
		}
	}
}
