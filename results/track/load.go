package track

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// directions are the metrics that are tracked, with the direction in which each
// improves. Others of a row are redundant (energy per work) or not what hardware
// is bought for.
var directions = map[string]Direction{results.Throughput: Higher, results.WorkPerEnergy: Higher, results.Power: Lower}

// relative maps each ratio to the control, taken round by round, to its metric.
var relative = map[string]string{
	results.RelativeThroughput: results.Throughput, results.RelativeWorkPerEnergy: results.WorkPerEnergy, results.RelativePower: results.Power,
}

// Group is a group of nodes with its series, those of the control included, and
// how they are judged.
type Group struct {
	store.Group
	Calendar Calendar
	Series   []Series
	Points   map[store.Key][]store.Point // of each series, oldest first
	Ratios   map[store.Key]store.Series  // to the control, of each series that has one
	Events   []store.Event
	Judged   []Judged
	Nodes    []Node // by name
}

const (
	// habit is the period whose session hours determine when nights begin.
	habit = 60 * 24 * time.Hour

	// awake is the distance in hours that sessions keep from the start of a night.
	awake = 3

	// lately is the age up to which the last session determines the night that is
	// judged: half a day.
	lately = 12 * time.Hour
)

// CalendarAt returns the calendar of the selected sessions up to a day after t.
// Nights begin at noon UTC, unless more than one session in ten is within three
// hours of noon: then at midnight, 18:00 or 6:00, whichever has the fewest
// sessions within three hours. So a session and its judgement half an hour later
// are of one night, and so are sessions that start early on one day and late on
// the next.
func CalendarAt(ctx context.Context, x *store.Index, f store.Filter, t time.Time) (Calendar, error) {
	f.Since = t.Add(-habit)
	hours, err := x.Hours(ctx, f, t.Add(24*time.Hour))
	if err != nil {
		return Calendar{}, err
	}
	all := 0
	for _, n := range hours {
		all += n
	}
	near := func(begin int) (n int) {
		for d := -awake; d < awake; d++ {
			n += hours[(begin+d+24)%24]
		}
		return n
	}
	c := Calendar{12}
	if noon := near(12); 10*noon > all {
		for _, begin := range []int{0, 18, 6} {
			if n := near(begin); 2*n < noon && n < near(c.Begin) {
				c.Begin = begin
			}
		}
	}
	return c, nil
}

// LatestNight returns the night to judge now: that of the last selected session if
// it began within twelve hours, otherwise the current one, which has no
// measurements yet.
func LatestNight(ctx context.Context, x *store.Index, f store.Filter, now time.Time) (Calendar, int, error) {
	c, err := CalendarAt(ctx, x, f, now)
	if err != nil {
		return c, 0, err
	}
	f.Since = now.Add(-lately)
	night := c.Night(now)
	for h, err := range x.Records(ctx, f) {
		if err != nil {
			return c, 0, err
		}
		if h.Group != "" && !h.Start.After(now) {
			night = c.Night(h.Start)
		}
	}
	return c, night, nil
}

// loader reads the groups of a store as they were on a night.
type loader struct {
	Options
	index  *store.Index
	groups map[string]store.Group // by their identifiers
	events []store.Event
}

func newLoader(ctx context.Context, x *store.Index, opt Options) (*loader, error) {
	l := &loader{Options: opt, index: x}
	var err error
	if l.groups, err = x.Groups(ctx); err != nil {
		return nil, err
	}
	if opt.Filter.Group != "" {
		maps.DeleteFunc(l.groups, func(id string, _ store.Group) bool { return id != opt.Filter.Group })
	}
	l.events, err = x.Events(ctx, opt.Filter)
	return l, err
}

// load reads the nights of a group since a time.
func (l *loader) load(ctx context.Context, id string, since time.Time) (Group, error) {
	g := Group{Group: l.groups[id], Calendar: l.Calendar, Points: map[store.Key][]store.Point{}, Ratios: map[store.Key]store.Series{}}
	for _, e := range l.events {
		if (e.Group == id || e.Group == "") && l.Calendar.Night(e.At) <= l.Night {
			g.Events = append(g.Events, e)
		}
	}
	f := l.Filter
	f.Group = id
	if since.After(f.Since) {
		f.Since = since
	}
	var found []store.Series
	ratios := map[store.Key]store.Series{} // to the control, by the key of the metric
	for s, err := range l.index.Series(ctx, f) {
		if err != nil {
			return g, err
		}
		s.Points = slices.DeleteFunc(s.Points, func(p store.Point) bool { return l.Calendar.Night(p.Start) > l.Night })
		if metric, ok := relative[s.Metric]; ok {
			ratios[unitless(s.Key, metric)] = s
		} else if directions[s.Metric] != "" && len(s.Points) > 0 {
			found = append(found, s)
		}
	}
	for _, s := range found {
		g.add(s, ratios[unitless(s.Key, s.Metric)])
	}
	g.siblings()
	return g, nil
}

// unitless is the key of a metric without its unit.
func unitless(k store.Key, metric string) store.Key {
	k.Metric, k.Unit = metric, ""
	return k
}

func (g *Group) add(s, ratio store.Series) {
	if len(ratio.Points) > 0 {
		g.Ratios[s.Key] = ratio
	}
	of := make(map[string]float64, len(ratio.Points)) // by record
	for _, p := range ratio.Points {
		of[p.Record] = float64(p.Value)
	}
	t := Series{Key: s.Key, Better: directions[s.Metric], Control: s.Scenario == results.Control, Meter: g.meter(s)}
	for _, p := range s.Points {
		q := Point{Night: g.Calendar.Night(p.Start), Value: float64(p.Value), Control: nan, Record: p.Record, Revision: p.Env.Revision}
		if r, ok := of[p.Record]; ok {
			q.Control = q.Value / r
		}
		t.Points = append(t.Points, q)
	}
	for _, e := range g.Events {
		if e.Node != "" && e.Node != s.Node {
			continue
		}
		t.Events = append(t.Events, Event{Night: g.Calendar.Night(e.At), Kind: e.Kind, What: What(e)})
	}
	g.Series, g.Points[s.Key] = append(g.Series, t), s.Points
}

// siblings sets the nights on which each node with the same figure can be judged:
// once its history is long enough, and while it continues.
func (g *Group) siblings() {
	spans := map[store.Key][]Span{}
	for i := range g.Series {
		s := &g.Series[i]
		k := sibling(s.Key)
		for n := young - 1; n < len(s.Points); n++ {
			at := s.Points[n].Night
			if n >= young && at-s.Points[n-1].Night <= absence {
				spans[k][len(spans[k])-1].To = at + absence
			} else {
				spans[k] = append(spans[k], Span{at, at + absence})
			}
		}
	}
	for i := range g.Series {
		g.Series[i].Siblings = spans[sibling(g.Series[i].Key)]
	}
}

// only keeps the series of one node, or of all if node is empty.
func (g *Group) only(node string) {
	if node == "" {
		return
	}
	g.Series = slices.DeleteFunc(g.Series, func(s Series) bool { return s.Key.Node != node })
	g.Events = slices.DeleteFunc(g.Events, func(e store.Event) bool { return e.Node != "" && e.Node != node })
}

// sibling returns a key that the same figures of all nodes of a group share.
func sibling(k store.Key) store.Key {
	k.Node = ""
	return k
}

// meter returns the instrument behind the watts of a series: its kind and source,
// which several groups may share.
func (g *Group) meter(s store.Series) string {
	if s.Metric == results.Throughput || g.Meter == "" || len(s.Points) == 0 {
		return ""
	}
	source := s.Points[len(s.Points)-1].Env.Meter
	source, _, _ = strings.Cut(source, " ") // the channels after it differ by node
	if source == "" {
		return ""
	}
	return g.Meter + " " + source
}

// What describes an event.
func What(e store.Event) string {
	return cmp.Or(e.Text, cmp.Or(e.From, "none")+" → "+cmp.Or(e.To, "none"))
}
