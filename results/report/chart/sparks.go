package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"

	"gonum.org/v1/plot/vg"
)

// Sparks are many small series over the same time, each on a scale of its
// own, with its last value: what moved, at a glance.
type Sparks struct {
	Head
	Axis   Axis
	Series []Spark
}

// Spark is one series.
type Spark struct {
	Name     string
	Points   []Sample
	Steps    []float64 // times at which it changed: an upright line each
	Modelled bool
	Note     string // after the last value: "−3.1 % since May"
}

// The most series of Sparks.
const sparkSeries = 18

// SVG implements Chart.
func (k Sparks) SVG() template.HTML {
	d := &sparks{Sparks: k}
	for _, sp := range k.Series {
		st := Signal{Axis: k.Axis, Points: sp.Points}.stretches()
		for _, p := range st {
			if d.from == d.to {
				d.from, d.to = p[0].T, p[len(p)-1].T
			}
			d.from, d.to = min(d.from, p[0].T), max(d.to, p[len(p)-1].T)
		}
		d.parts = append(d.parts, part{k.Axis, st})
		d.some = d.some || len(st) > 0
	}
	return svg(k.Head, d)
}

type sparks struct {
	Sparks
	parts    []part
	from, to float64
	some     bool
}

func (d *sparks) empty() string {
	if !d.some {
		return "no series has a point."
	}
	return ""
}

// last is the latest value.
func (p part) last() (Sample, bool) {
	if len(p.stretches) == 0 {
		return Sample{}, false
	}
	st := p.stretches[len(p.stretches)-1]
	return st[len(st)-1], true
}

func (d *sparks) describe() string {
	var parts []string
	for i, sp := range d.Series {
		t := clean(sp.Name, 40) + ": no points"
		if l, ok := d.parts[i].last(); ok {
			f := Figure{Value: l.V, Modelled: sp.Modelled}
			t = clean(sp.Name, 40) + " " + f.text(d.Axis)
		}
		if len(sp.Steps) > 0 {
			t += ", " + plural(len(sp.Steps), "change")
		}
		parts = append(parts, t)
	}
	return fmt.Sprintf("%s over time, latest: %s.", cmp.Or(d.Axis.Title, "values"), few(parts, 12))
}

func (d *sparks) draw(s *sheet) {
	n := min(len(d.Series), sparkSeries)
	columns := 3
	if s.narrow {
		columns = 1
	}
	const gapX, rowH = 24, 80
	w := (s.w - gapX*float64(columns-1)) / float64(columns)
	for i, sp := range d.Series[:n] {
		x, y := float64(i%columns)*(w+gapX), float64(i/columns)*rowH
		value := "no points"
		last, ok := d.parts[i].last()
		if ok {
			value = Figure{Value: last.V, Modelled: sp.Modelled}.text(d.Axis)
		}
		vw := width(value, s.small, true)
		s.text(x, y+s.small, fit(clean(sp.Name, 60), w-vw-10, s.small, false), style{size: s.small})
		s.text(x+w, y+s.small, value, style{size: s.small, bold: true, anchor: end})
		ax := d.Axis
		ax.Free, ax.Log = true, false
		p := panel{box: box{x + 2, y + s.small + 8, x + w - 5, y + s.small + 40}}
		p.y = ax.scale(d.parts[i].values(), 2, 0)
		p.x = Axis{Free: true}.scale([]float64{d.from, d.to}, 2, 0)
		p.x.from, p.x.to, p.y.from, p.y.to = p.x0, p.x1, p.y1, p.y0
		s.segment(x, p.y1+3, x+w, p.y1+3, grid, 1)
		steps := slices.Clone(sp.Steps[:min(len(sp.Steps), 20)])
		slices.Sort(steps)
		var marks, line vg.Path
		for _, t := range steps {
			if t >= p.x.Min && t <= p.x.Max {
				marks = append(marks, polyline(p.x.at(t), p.y0-3, p.x.at(t), p.y1+3)...)
			}
		}
		s.stroke(marks, hueB, 1.2, 2, 2)
		for _, st := range joined(d.parts[i].stretches, (d.to-d.from)/100) {
			var xy []float64
			for _, q := range st.decimate(d.from, d.to, 40) {
				xy = append(xy, p.x.at(q.T), p.y.at(q.V))
			}
			if len(xy) == 2 { // one point is a dash
				xy = append(xy, xy[0]+1.5, xy[1])
			}
			line = append(line, polyline(xy...)...)
		}
		s.stroke(line, hueA, 1.5)
		if ok {
			s.mark(p.x.at(last.T), p.y.at(last.V), 3, disc, hueA, sp.Modelled)
		}
		if t := fit(clean(sp.Note, 60), w, s.small, false); t != "" {
			s.text(x, p.y1+5+s.small, t, style{ink: muted, size: s.small})
		}
		s.h = y + rowH
	}
	var foot []string
	if slices.ContainsFunc(d.Series[:n], func(sp Spark) bool { return len(sp.Steps) > 0 }) {
		foot = append(foot, "Dashed: where the level changed.")
	}
	if more := len(d.Series) - n; more > 0 {
		foot = append(foot, fmt.Sprintf("%d more series are not drawn.", more))
	}
	s.foot(foot)
}
