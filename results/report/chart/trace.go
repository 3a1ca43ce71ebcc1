package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"github.com/perwatt/perwatt/results"
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
	Points []Sample // in any order
	// MaxGap is the time in seconds after which two points are no longer
	// joined; 0 means five times the usual distance. NaN values are gaps.
	MaxGap float64
}

// Sample is a value at a time in seconds.
type Sample struct{ T, V float64 }

// Span is a stretch of time, in seconds.
type Span struct {
	From, To float64
	Name     string
	Window   bool // counted in the result: shaded more strongly
}

// stretch is a run of samples without a gap.
type stretch []Sample

// stretches orders the samples, in the unit of the axis, and breaks them at
// the gaps.
func (g Signal) stretches() (out []stretch) {
	k := g.Axis.factor()
	all := make([]Sample, 0, len(g.Points))
	for _, p := range g.Points {
		if drawable(p.T) {
			all = append(all, Sample{p.T, p.V * k})
		}
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return cmp.Compare(a.T, b.T) })
	limit := g.MaxGap
	if !(limit > 0) {
		var steps []float64
		for i := 1; i < len(all); i++ {
			if d := all[i].T - all[i-1].T; d > 0 {
				steps = append(steps, d)
			}
		}
		slices.Sort(steps)
		limit = math.Inf(1)
		if len(steps) > 2 {
			limit = 5 * steps[len(steps)/2]
		}
	}
	var now stretch
	flush := func() {
		if len(now) > 0 {
			out = append(out, now)
		}
		now = nil
	}
	for _, p := range all {
		if !drawable(p.V) {
			flush()
			continue
		}
		if n := len(now); n > 0 && p.T-now[n-1].T > limit {
			flush()
		}
		now = append(now, p)
	}
	flush()
	return out
}

// decimate keeps of each of n buckets of time the least and the greatest
// value, so that no spike is lost.
func (st stretch) decimate(from, to float64, n int) stretch {
	if len(st) <= 2 || !(to > from) {
		return st
	}
	bucket := func(p Sample) int { return int((p.T - from) / (to - from) * float64(n)) }
	var out stretch
	for i := 0; i < len(st); {
		j, lo, hi := i, i, i
		for ; j < len(st) && bucket(st[j]) == bucket(st[i]); j++ {
			if st[j].V < st[lo].V {
				lo = j
			}
			if st[j].V > st[hi].V {
				hi = j
			}
		}
		out = append(out, st[min(lo, hi)])
		if lo != hi {
			out = append(out, st[max(lo, hi)])
		}
		i = j
	}
	return out
}

// joined closes the gaps that are too short to be seen.
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

// The most spans of a Trace.
const traceSpans = 40

// SVG implements Chart.
func (t Trace) SVG() template.HTML {
	d := &trace{Trace: t}
	var spans []Span
	for _, sp := range t.Spans {
		if drawable(sp.From) && drawable(sp.To) && sp.From < sp.To {
			spans = append(spans, sp)
		}
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(b.To, a.To)) })
	d.Spans = spans[:min(len(spans), traceSpans)]
	d.left = len(spans) - len(d.Spans)
	d.from, d.to = math.Inf(1), math.Inf(-1)
	for _, g := range []Signal{t.Power, t.Rate} {
		st := g.stretches()
		d.parts = append(d.parts, part{g.Axis, st})
		for _, s := range st {
			d.from, d.to = min(d.from, s[0].T), max(d.to, s[len(s)-1].T)
		}
	}
	if d.from > d.to {
		return svg(t.Head, d)
	}
	for _, sp := range d.Spans {
		d.from, d.to = min(d.from, sp.From), max(d.to, sp.To)
	}
	return svg(t.Head, d)
}

type part struct {
	axis      Axis
	stretches []stretch
}

type trace struct {
	Trace
	from, to float64
	parts    []part
	left     int // spans not drawn
}

func (d *trace) empty() string {
	if d.from > d.to {
		return "the run has no samples."
	}
	return ""
}

// values lists what an axis must hold.
func (p part) values() (v []float64) {
	for _, st := range p.stretches {
		for _, s := range st {
			v = append(v, s.V)
		}
	}
	return v
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
		t += fmt.Sprintf("%s from %s to %s over %s", name, p.axis.print(slices.Min(v)), p.axis.print(slices.Max(v)), Axis{Unit: "s"}.print(d.to-d.from))
		if n := len(p.stretches) - 1; n > 0 {
			t += ", with " + results.Plural(n, "gap")
		}
		t += ". "
	}
	var spans []string
	for _, sp := range d.Spans {
		spans = append(spans, fmt.Sprintf("%s %.4g–%.4g s", results.Line(sp.Name, 30), sp.From, sp.To))
	}
	if len(spans) > 0 {
		t += "Spans: " + few(spans, 8) + "."
	}
	return t
}

// clock is the axis of time for a run of that many seconds.
func clock(seconds float64) Axis {
	switch {
	case seconds > 5*3600:
		return Axis{Title: "time", Unit: "h", Factor: 1. / 3600, Free: true}
	case seconds > 600:
		return Axis{Title: "time", Unit: "min", Factor: 1. / 60, Free: true}
	case seconds < 2:
		return Axis{Title: "time", Unit: "s", MinExp: -12, Free: true}
	}
	return Axis{Title: "time", Unit: "s", Free: true}
}

func (d *trace) draw(s *surface) {
	time := clock(d.to - d.from)
	k := time.factor()
	heights := []float64{150, 120}
	var panels []panel
	gutter := 0.0
	for i := range d.parts {
		var p panel
		p.y = d.parts[i].axis.scale(d.parts[i].values(), 4, 0.06)
		gutter = max(gutter, s.gutter(p.y))
		panels = append(panels, p)
	}
	named := slices.ContainsFunc(d.Spans, func(sp Span) bool { return sp.Name != "" })
	y := 0.0
	if named {
		y = s.line + 2
		isNamed := func(window bool) bool {
			return slices.ContainsFunc(d.Spans, func(sp Span) bool { return sp.Window == window && sp.Name != "" })
		}
		if isNamed(true) && isNamed(false) {
			y += s.line
		}
	}
	for i := range panels {
		p := &panels[i]
		p.box = box{gutter, y + s.line + 6, s.w - 6, y + s.line + 6 + heights[i]}
		p.x = time.scale([]float64{d.from * k, d.to * k}, int((p.x1-p.x0)/80), 0)
		p.x.from, p.x.to, p.y.from, p.y.to = p.x0, p.x1, p.y1, p.y0
		y = p.y1 + 8
	}
	last := panels[len(panels)-1]

	// Phases are shaded by turns, windows more strongly, through both panels.
	var light, dark, edges vg.Path
	turn := 0
	for _, sp := range d.Spans {
		a, b := last.x.clamp(sp.From*k), last.x.clamp(sp.To*k)
		if !sp.Window {
			turn++
		}
		for _, p := range panels {
			r := rectangle(a, p.y0, max(b-a, 0.7), p.y1-p.y0)
			switch {
			case sp.Window:
				dark = append(dark, r...)
				continue
			case turn%2 == 1:
				light = append(light, r...)
			}
			if a > p.x0+1 {
				edges = append(edges, polyline(a, p.y0, a, p.y1)...)
			}
		}
	}
	if len(light) > 0 {
		s.fill(light, band)
	}
	if len(dark) > 0 {
		s.fill(dark, deep)
	}
	s.stroke(edges, rule, 0.8, 2, 2)
	s.spanNames(d.Spans, last.x, k)
	gaps := false
	for i, p := range panels {
		s.yAxis(&p, d.parts[i].axis)
		hue := hues[i]
		at := func(q Sample) (x, y float64) { return p.x.at(q.T * k), p.y.at(q.V) }
		var line, away, hatch vg.Path
		end := math.Inf(-1)
		for n, st := range joined(d.parts[i].stretches, (d.to-d.from)*2/(p.x1-p.x0)) {
			if x0, x1 := p.x.at(end*k), p.x.at(st[0].T*k); n > 0 && x1 > x0 {
				away = append(away, rectangle(x0, p.y0, x1-x0, p.y1-p.y0)...)
				if len(hatch) < 400 {
					hatch = append(hatch, hatching(x0, x1, p.y0, p.y1)...)
				}
			}
			end = st[len(st)-1].T
			var xy []float64
			for _, q := range st.decimate(d.from, d.to, int((p.x1-p.x0)/2)) {
				x, y := at(q)
				xy = append(xy, x, y)
			}
			if len(xy) == 2 { // one sample is a dash
				xy = append(xy, xy[0]+1.5, xy[1])
			}
			line = append(line, polyline(xy...)...)
		}
		if len(away) > 0 {
			s.fill(away, paper)
			s.stroke(hatch, rule, 0.7)
			gaps = true
		}
		s.stroke(line, hue, 1.5)
		if len(d.parts[i].stretches) == 0 {
			s.text((p.x0+p.x1)/2, (p.y0+p.y1)/2, "no samples", style{ink: muted, size: s.small, anchor: middle})
		}
		if i < len(panels)-1 {
			s.segment(p.x0, p.y1, p.x1, p.y1, rule, 1)
		}
	}
	s.xAxis(&last, time)
	s.h = last.y1 + s.below()
	var foot []string
	if slices.ContainsFunc(d.Spans, func(sp Span) bool { return sp.Window }) {
		foot = append(foot, "Strong shade: the windows that count.")
	}
	if gaps {
		foot = append(foot, "Hatched: no samples.")
	}
	if d.left > 0 {
		foot = append(foot, results.Plural(d.left, "span")+" not drawn.")
	}
	s.foot(foot)
}

// hatching fills a rectangle with oblique lines.
func hatching(x0, x1, y0, y1 float64) (p vg.Path) {
	w := x1 - x0
	for c := -w; c < y1-y0; c += 7 { // the line y = y0 + c + (x − x0), clipped
		if a, b := max(0, -c), min(w, y1-y0-c); a < b {
			p = append(p, polyline(x0+a, y0+c+a, x0+b, y0+c+b)...)
		}
	}
	return p
}

// spanNames names the spans above the panels: phases in the first row, windows
// in the second. A name that does not fit is cut to its last word, which
// counts, or within it; those of the first and the last phase may reach beyond
// their phase instead.
func (s *surface) spanNames(spans []Span, x scale, k float64) {
	var taken []box
	put := func(at, y float64, t, anchor string) bool {
		b := textBox(at, y, width(t, s.small, false), s.small, anchor)
		b.x0, b.x1 = b.x0-2, b.x1+2
		if b.x0 < -4 || b.x1 > s.w+4 || slices.ContainsFunc(taken, b.meets) {
			return false
		}
		taken = append(taken, b)
		s.text(at, y, t, style{ink: muted, size: s.small, anchor: anchor})
		return true
	}
	first := s.small
	second := s.small
	for _, sp := range spans {
		if !sp.Window && sp.Name != "" {
			second = s.small + s.line
		}
	}
	var rest []Span
	for _, sp := range spans {
		a, b := x.clamp(sp.From*k), x.clamp(sp.To*k)
		y, room := first, b-a
		if sp.Window {
			y = second
		}
		name := results.Line(sp.Name, 60)
		words := strings.Fields(name)
		if len(words) == 0 {
			continue
		}
		edge := !sp.Window && (a <= x.from+1 || b >= x.to-1)
		for i, t := range []string{name, words[len(words)-1], fit(name, room, s.small, false)} {
			if (i == 0 || !edge) && width(t, s.small, false) <= room && len([]rune(t)) >= min(6, len([]rune(words[len(words)-1]))) {
				put((a+b)/2, y, t, middle)
				name = ""
				break
			}
		}
		if name != "" && edge {
			rest = append(rest, sp)
		}
	}
	for _, sp := range rest {
		name := results.Line(sp.Name, 30)
		if a := x.clamp(sp.From * k); a <= x.from+1 {
			put(0, first, name, "")
		} else if b := x.clamp(sp.To * k); b >= x.to-1 {
			put(s.w, first, name, end)
		}
	}
}
