package chart

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results"
)

// History is one quantity night by night: its values with their intervals, the
// levels between detected changes, and known events.
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

// Stage is a period at one level; From and To are seconds of the Unix epoch.
type Stage struct{ From, To, Value float64 }

// Moment is an event; T is in seconds of the Unix epoch.
type Moment struct {
	T    float64
	Name string
}

// The most nights with a mark each (more become a line), levels and events.
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
	results.SortStable(d.Nights, func(a, b Night) int { return cmp.Compare(a.T, b.T) })
	d.Levels = nil
	for _, l := range h.Levels[:min(len(h.Levels), historyLevels)] {
		if l.Value *= k; drawable(l.From) && drawable(l.To) && drawable(l.Value) && l.From <= l.To {
			d.Levels = append(d.Levels, l)
		}
	}
	d.Events = slices.DeleteFunc(slices.Clone(h.Events), func(e Moment) bool { return !(e.T >= d.from && e.T <= d.to) })
	results.SortStable(d.Events, func(a, b Moment) int { return cmp.Compare(a.T, b.T) })
	if n := len(d.Events) - historyEvents; n > 0 {
		d.left, d.Events = n, d.Events[n:] // the latest matter most
	}
	return svg(h.Head, noteIf(len(d.Nights) == 0, "no night has a figure."), d)
}

type history struct {
	History
	from, to float64
	left     int // events not drawn
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
		if len(d.Nights) > historyMarks {
			n.Low, n.High = n.Value, n.Value // the intervals are not drawn
		}
		values = append(values, n.extent()...)
	}
	for _, l := range d.Levels {
		values = append(values, l.Value)
	}
	y := d.Axis.scale(values, 4, 0.08)
	top := s.heading(0, d.Axis.title(y))
	if len(d.Events) > 0 {
		top += s.line
	}
	p := s.panel(top, 180, 6, y)
	p.x = calendar(d.from, d.to, p.columns(90))
	s.yAxis(p)
	var events []flag
	for _, e := range d.Events {
		events = append(events, flag{at: p.atX(e.T), name: day(e.T) + " " + results.Line(e.Name, 60)})
	}
	notes := s.flags(events)
	for _, e := range events {
		s.stroke(pen(rule, 1, 2, 3), e.at, p.y0, e.at, p.y1)
		s.note(e.x, p.y0-6, e.label, middle)
	}
	for _, l := range d.Levels {
		s.stroke(pen(hueB, 3), p.atX(l.From), p.atY(l.Value), p.atX(l.To), p.atY(l.Value))
	}
	if len(d.Nights) <= historyMarks {
		for _, n := range d.Nights {
			s.bars(p, Figure{Value: n.T}, n.Figure, pen(rule, 1), 0)
		}
		for _, n := range d.Nights {
			s.tip(day(n.T)+": "+n.spoken(d.Axis), func() { s.mark(p.atX(n.T), p.atY(n.Value), 2.2, disc, hueA, n.Modelled) })
		}
	} else {
		var st stretch
		for _, n := range d.Nights {
			st = append(st, Sample{n.T, n.Value})
		}
		s.samples(p, []stretch{st}, p.columns(1), pen(hueA, 1))
	}
	s.xAxis(p, Axis{})
	s.foot(plain(noteIf(len(d.Levels) > 0, "Thick: the level.")))
	s.foot(notes...)
	s.foot(d.undrawn(d.left, "earlier event"))
}

// calendar is an axis of days.
func calendar(from, to float64, want int) scale {
	if to-from < 86400 { // leaves room on both sides of a single night
		from, to = from-43200, to+43200
	}
	return scale{min: from, max: to, marks: dateTicks{max(want, 2)}}
}

// dateTicks puts ticks at midnight UTC of days, months or years.
type dateTicks struct{ want int }

func (t dateTicks) ticks(from, to float64) (ticks []tick) {
	days := (to - from) / 86400
	first := time.Unix(int64(from), 0).UTC()
	year := time.Date(first.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(start time.Time, step, months int, layout string) []tick {
		for at := start; float64(at.Unix()) <= to; at = at.AddDate(0, months, step) {
			if float64(at.Unix()) >= from {
				ticks = append(ticks, tick{float64(at.Unix()), at.Format(layout)})
			}
		}
		return ticks
	}
	for _, step := range []int{1, 2, 7, 14} {
		if days/float64(step) <= float64(t.want) {
			return at(first.Truncate(24*time.Hour), step, 0, time.DateOnly)
		}
	}
	for _, months := range []int{1, 2, 3, 6} {
		if days/30.4/float64(months) <= float64(t.want) {
			return at(year, 0, months, "2006-01")
		}
	}
	years := 1
	for _, next := range []int{2, 5, 10, 50, 500, 5000} {
		if days/365/float64(years) > float64(t.want) {
			years = next
		}
	}
	return at(year, 0, 12*years, "2006")
}
