package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/perwatt/perwatt/results"
)

// History is one quantity night by night: its intervals, the levels that were
// found in it, where they changed, and what is known to have happened.
type History struct {
	Head
	Axis   Axis
	Nights []Night
	Levels []Stage
	Events []Moment
}

// Night is a figure at a time, in seconds of the Unix epoch.
type Night struct {
	T float64
	Figure
}

// Stage is a stretch of nights of one level.
type Stage struct{ From, To, Value float64 }

// Moment is when something happened.
type Moment struct {
	T    float64
	Name string
}

// The most nights that are drawn one by one, and the most of the rest.
const (
	historyMarks  = 120
	historyLevels = 60
	historyEvents = 12
)

// epochs is how far from 1970 a time may lie, in seconds: about 3,000 years.
const epochs = 1e11

// SVG implements Chart.
func (h History) SVG() template.HTML {
	d := &history{History: h, from: math.Inf(1), to: math.Inf(-1)}
	k := h.Axis.factor()
	d.Nights = nil
	for _, n := range h.Nights {
		n.Figure = n.in(h.Axis)
		if math.Abs(n.T) < epochs && n.ok() {
			d.Nights = append(d.Nights, n)
			d.from, d.to = min(d.from, n.T), max(d.to, n.T)
		}
	}
	slices.SortStableFunc(d.Nights, func(a, b Night) int { return cmp.Compare(a.T, b.T) })
	d.Levels = nil
	for _, l := range h.Levels[:min(len(h.Levels), historyLevels)] {
		if l.Value *= k; drawable(l.From) && drawable(l.To) && drawable(l.Value) && l.From <= l.To {
			d.Levels = append(d.Levels, l)
		}
	}
	d.Events = slices.DeleteFunc(slices.Clone(h.Events), func(e Moment) bool { return !(e.T >= d.from && e.T <= d.to) })
	slices.SortStableFunc(d.Events, func(a, b Moment) int { return cmp.Compare(a.T, b.T) })
	if n := len(d.Events) - historyEvents; n > 0 {
		d.left, d.Events = n, d.Events[n:] // the latest matter most
	}
	return svg(h.Head, d)
}

type history struct {
	History
	from, to float64
	left     int // events not drawn
}

func (d *history) empty() string {
	if len(d.Nights) == 0 {
		return "no night has a figure."
	}
	return ""
}

func day(t float64) string { return time.Unix(int64(t), 0).UTC().Format("2006-01-02") }

func (d *history) describe() string {
	last := d.Nights[len(d.Nights)-1]
	t := fmt.Sprintf("%s on %s from %s to %s, at last %s.", cmp.Or(results.Line(d.Axis.Title, 60), "A figure"), results.Plural(len(d.Nights), "night"), day(d.from), day(d.to), last.spoken(d.Axis))
	var steps []string
	for i := 1; i < len(d.Levels); i++ {
		steps = append(steps, fmt.Sprintf("from %s to %s on %s", d.Axis.print(d.Levels[i-1].Value), d.Axis.print(d.Levels[i].Value), day(d.Levels[i].From)))
	}
	if len(steps) > 0 {
		t += " The level went " + few(steps, 6) + "."
	}
	return t
}

func (d *history) draw(s *surface) {
	var values []float64
	for _, n := range d.Nights {
		values = append(values, n.Value)
		if len(d.Nights) <= historyMarks {
			values = append(values, n.extent()...)
		}
	}
	for _, l := range d.Levels {
		values = append(values, l.Value)
	}
	p := panel{y: d.Axis.scale(values, 4, 0.08)}
	p.box = box{s.gutter(p.y), s.line + 6, s.w - 6, s.line + 186}
	p.x = calendar(d.from, d.to, int((p.x1-p.x0)/90))
	p.x.from, p.x.to, p.y.from, p.y.to = p.x0, p.x1, p.y1, p.y0
	s.yAxis(&p, d.Axis)

	var marks vg.Path
	for _, e := range d.Events {
		marks = append(marks, polyline(p.x.at(e.T), p.y0, p.x.at(e.T), p.y1)...)
	}
	s.stroke(marks, rule, 1, 2, 3)
	for i, e := range d.Events {
		s.text(p.x.at(e.T), p.y0+s.small, letter(i), style{ink: muted, size: s.small, anchor: middle, halo: true})
	}
	var levels vg.Path
	for _, l := range d.Levels {
		levels = append(levels, polyline(p.x.clamp(l.From), p.y.at(l.Value), p.x.clamp(l.To), p.y.at(l.Value))...)
	}
	s.stroke(levels, hueB, 3)
	if len(d.Nights) <= historyMarks {
		var whiskers vg.Path
		for _, n := range d.Nights {
			if lo, hi, ok := n.bounds(); ok {
				x := p.x.at(n.T)
				whiskers = append(whiskers, polyline(x, p.y.clamp(lo), x, p.y.clamp(hi))...)
			}
		}
		s.stroke(whiskers, rule, 1)
		for _, n := range d.Nights {
			s.tip(day(n.T)+": "+n.spoken(d.Axis), func() { s.mark(p.x.at(n.T), p.y.at(n.Value), 2.2, disc, hueA, n.Modelled) })
		}
	} else {
		st := make(stretch, 0, len(d.Nights))
		for _, n := range d.Nights {
			st = append(st, Sample{n.T, n.Value})
		}
		var xy []float64
		for _, q := range st.decimate(d.from, d.to, int(p.x1-p.x0)) {
			xy = append(xy, p.x.at(q.T), p.y.at(q.V))
		}
		s.stroke(polyline(xy...), hueA, 1)
	}
	s.xAxis(&p, Axis{})
	s.h = p.y1 + s.below() - s.line
	var foot []string
	if len(d.Levels) > 0 {
		foot = append(foot, "Thick: the level.")
	}
	for i, e := range d.Events {
		foot = append(foot, fmt.Sprintf("%s %s: %s.", letter(i), day(e.T), results.Line(e.Name, 60)))
	}
	if d.left > 0 {
		foot = append(foot, results.Plural(d.left, "earlier event")+" not drawn.")
	}
	s.foot(foot)
}

func letter(i int) string { return string(rune('a' + i)) } // #nosec G115 -- i < historyEvents, which is less than the alphabet

// calendar is an axis of days.
func calendar(from, to float64, want int) scale {
	var s scale
	if to-from < 86400 { // one night has room to its sides
		from, to = from-43200, to+43200
	}
	s.Scale = plot.LinearScale{}
	s.Min, s.Max = from, to
	s.Tick.Marker = dateTicks{max(want, 2)}
	return s
}

// dateTicks are days, or firsts of months, at distances that people count in.
type dateTicks struct{ want int }

// Ticks implements plot.Ticker.
func (t dateTicks) Ticks(from, to float64) (ticks []plot.Tick) {
	days := (to - from) / 86400
	for _, step := range []int{1, 2, 7, 14} {
		if days/float64(step) > float64(t.want) {
			continue
		}
		at := time.Unix(int64(from), 0).UTC().Truncate(24 * time.Hour)
		for ; float64(at.Unix()) <= to; at = at.AddDate(0, 0, step) {
			if float64(at.Unix()) >= from {
				ticks = append(ticks, plot.Tick{Value: float64(at.Unix()), Label: at.Format("2 Jan")})
			}
		}
		return ticks
	}
	for _, step := range []int{1, 2, 3, 6, 12, 24, 60, 120, 600, 6000, 60_000} {
		if days/30.4/float64(step) > float64(t.want) && step < 60_000 {
			continue
		}
		first := time.Unix(int64(from), 0).UTC()
		at := time.Date(first.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		for ; float64(at.Unix()) <= to; at = at.AddDate(0, step, 0) {
			if float64(at.Unix()) < from {
				continue
			}
			label := at.Format("Jan 2006")
			if step%12 == 0 {
				label = at.Format("2006")
			}
			ticks = append(ticks, plot.Tick{Value: float64(at.Unix()), Label: label})
		}
		return ticks
	}
	return nil
}
