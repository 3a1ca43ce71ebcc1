package track

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// absence is the number of nights after which a node without measurements is no
// longer expected.
const absence = 14

// Options select what is judged.
type Options struct {
	Filter   store.Filter
	Node     string // empty for all; its siblings still share its alarms
	Calendar Calendar
	Night    int
	Rules    *Rules // nil for none
	// Whole loads every night of the groups, not only those needed to judge the
	// night.
	Whole bool
}

// Report is the state of a store on one night.
type Report struct {
	Calendar
	Night    int
	Groups   []Group
	Findings []Finding // the latest first
	Ignored  map[store.Key]string
	rules    *Rules
}

// Node is the state of a node of a group.
type Node struct {
	NodeID
	Last   int // its newest night
	Nights int // number of nights with figures, among those read
	// Measured is set if it has figures of this night, Expected if it had some in
	// the two weeks before. Not expected are one of several nodes that was seen
	// once, a node with an event by hand since (perwatt event --node), and a node
	// that was renamed.
	Measured, Expected bool
}

// Measured reports whether any node of the group has figures of this night.
func (g *Group) Measured() bool {
	return slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Measured })
}

// instead finds the series that replaced others of the same use, and notes the
// differences.
func instead(judged []Judged) {
	type figure struct{ node, scenario, use, metric string }
	of := func(k store.Key) figure { return figure{k.Node, k.Scenario, k.Use, k.Metric} }
	before := map[figure][]*Judged{}
	for i := range judged {
		j := &judged[i]
		before[of(j.Key)] = append(before[of(j.Key)], j)
	}
	for i := range judged {
		j := &judged[i]
		if !j.Watch.Young || len(j.Points) == 0 {
			continue
		}
		first := j.Points[0].Night
		var old *Judged // the last to end
		for _, o := range before[of(j.Key)] {
			if o.Last < first && (old == nil || o.Last > old.Last) {
				old = o
			}
		}
		if old == nil {
			continue
		}
		var what []string
		differ := func(now, was, noun string) {
			if now != was {
				what = append(what, fmt.Sprintf("%s %s instead of %s", noun, cmp.Or(now, "none"), cmp.Or(was, "none")))
			}
		}
		differ(j.Key.Device, old.Key.Device, "device")
		differ(j.Key.Workload, old.Key.Workload, "workload")
		differ(j.Key.Impl, old.Key.Impl, "implementation")
		differ(strconv.Itoa(j.Key.Threads), strconv.Itoa(old.Key.Threads), "threads")
		differ(string(j.Key.Unit), string(old.Key.Unit), "unit")
		j.Instead = fmt.Sprintf("a new series since %s: %s", Date(first).Format(time.DateOnly), strings.Join(what, ", "))
	}
}

// byHand is the kind of an event that perwatt event records.
const byHand = "by hand"

// nodes returns the state of the nodes of a group.
func (g *Group) nodes(night int) (nodes []Node) {
	all := map[string]map[int]bool{}
	for i := range g.Series {
		s := &g.Series[i]
		if all[s.Key.Node] == nil {
			all[s.Key.Node] = map[int]bool{}
		}
		for _, p := range s.Points {
			all[s.Key.Node][p.Night] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		n := Node{NodeID: NodeID{g.ID, name}, Last: slices.Max(slices.AppendSeq([]int{Never}, maps.Keys(all[name]))), Nights: len(all[name])}
		n.Measured = n.Last == night
		n.Expected = night-n.Last <= absence && (n.Nights > 1 || len(all) == 1) && !slices.ContainsFunc(g.Events, func(e store.Event) bool {
			return e.Kind == store.Renamed && e.From == name || e.Kind == byHand && e.Node == name && g.Calendar.Night(e.At) >= n.Last
		})
		nodes = append(nodes, n)
	}
	return nodes
}

// Now judges every series of a store, group by group in the order of their
// identifiers. Each group is passed to each with its points before the next is
// read; the points are not kept.
func Now(ctx context.Context, x *store.Index, opt Options, each func(*Group) error) (*Report, error) {
	r := &Report{Calendar: opt.Calendar, Night: opt.Night, Ignored: map[store.Key]string{}, rules: opt.Rules}
	l, err := newLoader(ctx, x, opt)
	if err != nil {
		return nil, err
	}
	var all []Judged
	for _, id := range slices.Sorted(maps.Keys(l.groups)) {
		g, was, err := l.remembered(ctx, id)
		if err != nil {
			return nil, err
		}
		g.only(opt.Node)
		if len(g.Series) == 0 {
			continue
		}
		g.Nodes = g.nodes(opt.Night)
		for i := range g.Series {
			if err := ctx.Err(); err != nil { // thousands of series take seconds
				return nil, err
			}
			s := &g.Series[i]
			if why, ok := opt.Rules.Ignored(s.Key); ok {
				r.Ignored[s.Key] = why
				continue
			}
			m := was[s.Key]
			g.Judged = append(g.Judged, Judge(s, m.Past, m.upto, opt.Night))
		}
		instead(g.Judged)
		askSiblings(g.Judged, opt.Night)
		if err := l.remember(ctx, &g, was); err != nil {
			return nil, err
		}
		if each != nil {
			if err := each(&g); err != nil {
				return nil, err
			}
		}
		g.Points, g.Ratios = nil, nil
		for _, j := range g.Judged {
			j.Series.Points = nil
		}
		all = append(all, g.Judged...)
		r.Groups = append(r.Groups, g)
	}
	r.Findings = Findings(all)
	return r, nil
}

// Suspicion is a night that should be measured again.
type Suspicion struct {
	Key   store.Key
	Watch Watch
	Worse bool // it would be a regression
	Small bool // smaller than the rules require
	Old   bool // the nights before showed it and failed the gate
}

// Counts reports whether it fails the gate if a second measurement confirms it.
func (s *Suspicion) Counts() bool { return s.Worse && !s.Small && !s.Old }

// Fails reports whether it fails the gate without another measurement: the night
// was far beyond chance, or its last two sessions agree.
func (s *Suspicion) Fails() bool { return s.Counts() && s.Watch.alarming() }

// Suspicions lists the suspicious nights, the largest deviation first. Those that
// a reported change explains are left out.
func (r *Report) Suspicions() (out []Suspicion) {
	for _, g := range r.Groups {
		for _, j := range g.Judged {
			told := slices.ContainsFunc(j.Changes, func(c Change) bool {
				shown := c.Event == nil && c.Reached[0].Night == r.Night && c.Reached[0].Far >= r.rules.least(j.Key) && c.up() == (j.Watch.Size.Value > 1)
				return c.To >= r.Night || shown && !j.Watch.alarming()
			})
			if j.Watch.Mood != Suspicious || told {
				continue
			}
			off := j.Watch.Size.Value
			out = append(out, Suspicion{
				Key: j.Key, Watch: j.Watch, Worse: j.Better.worse(off),
				Small: math.Abs(off-1) < r.rules.least(j.Key), Old: r.running(g.Judged, &j),
			})
		}
	}
	far := func(s Suspicion) float64 { return -math.Abs(math.Log(s.Watch.Size.Value)) }
	results.SortStable(out, func(a, b Suspicion) int { return cmp.Compare(far(a), far(b)) })
	return out
}

// running reports whether a figure of the same use as j failed the gate by itself
// on one of the last two nights, or another figure shows a recent regression:
// then this night shows the same thing again.
func (r *Report) running(group []Judged, j *Judged) bool {
	use := func(k store.Key) store.Key { k.Metric, k.Unit = "", ""; return k }
	for i := range group {
		o := &group[i]
		if use(o.Key) != use(j.Key) {
			continue
		}
		for _, a := range o.Alarms {
			if a.Night < r.Night && a.Night >= o.back(shortest-1) && r.rules.counts(o.Key, o.Better, a.Size) {
				return true
			}
		}
		for _, c := range o.Changes {
			if o.Key != j.Key && c.Event == nil && c.Night >= o.back(late) && r.rules.counts(o.Key, o.Better, c.Size.Value) {
				return true
			}
		}
	}
	return false
}

// Fleeting returns the number of node names that were seen on one night only, if
// that is the pattern of the group: names are then not those of machines.
func (g *Group) Fleeting() (names int) {
	nights := map[int]bool{}
	for _, n := range g.Nodes {
		if n.Nights == 1 {
			names++
			nights[n.Last] = true
		}
	}
	if len(nights) < shortest || 2*names < len(g.Nodes) {
		return 0
	}
	return names
}

// Silent lists the nodes of a group without figures of a night. While siblings
// have some, a node may still report; it is silent from the next night on.
func (g *Group) Silent(night int) (nodes []Node) {
	some := g.Measured()
	for _, n := range g.Nodes {
		if !n.Measured && (!some || n.Last < night-1) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Absent lists the nodes that were expected to have figures of this night.
func (r *Report) Absent() (nodes []Node) {
	for i := range r.Groups {
		for _, n := range r.Groups[i].Silent(r.Night) {
			if n.Expected {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// Valid reports whether this night has measurements, and all that were expected.
func (r *Report) Valid() bool {
	return len(r.Absent()) == 0 && slices.ContainsFunc(r.Groups, func(g Group) bool { return g.Measured() })
}

// Failed returns the night whose gate a finding failed, if any. That is the first
// night on which the interval of a figure that became worse reaches what the
// rules require, or an earlier night that failed the gate by itself. It depends
// on the history alone: a night that is judged again fails again.
func (r *Report) Failed(f *Finding) (night int, ok bool) {
	if f.Verdict != Regression {
		return 0, false
	}
	first := func(n int) {
		if !ok || n < night {
			night, ok = n, true
		}
	}
	for _, p := range f.Parts {
		if !p.Better.worse(p.Change.Size.Value) || p.Key.Metric == results.Power && f.moved() {
			continue
		}
		if i := slices.IndexFunc(p.Change.Reached, func(x Reach) bool { return x.Far >= r.rules.least(p.Key) }); i >= 0 {
			first(p.Change.Reached[i].Night)
		}
		for _, a := range p.Alarms {
			if a.Night >= p.Change.From && r.rules.counts(p.Key, p.Better, a.Size) {
				first(a.Night)
			}
		}
	}
	return night, ok
}

// Failing reports whether a finding fails the gate of this night.
func (r *Report) Failing(f *Finding) bool {
	night, ok := r.Failed(f)
	return ok && night == r.Night
}

// Regressions counts what fails the gate of this night: findings, and
// suspicions that fail by themselves.
func (r *Report) Regressions() (n int) {
	for i := range r.Findings {
		if r.Failing(&r.Findings[i]) {
			n++
		}
	}
	for _, s := range r.Suspicions() {
		if s.Fails() {
			n++
		}
	}
	return n
}

// Fails reports whether this night fails the gate.
func (r *Report) Fails() bool { return r.Regressions() > 0 }

// Learning returns the progress of a series that is too young to be judged.
func (j *Judged) Learning() string {
	words := fmt.Sprintf("learning: night %d of %d", j.Watch.Before+1, young)
	if j.Instead != "" {
		words += ", " + j.Instead
	}
	return words
}

// State describes the state of a series.
func (j *Judged) State(night int) (words string, verdict Verdict) {
	last := func(n int) *Change {
		if len(j.Changes) == 0 || night-j.Changes[len(j.Changes)-1].Night > n {
			return nil
		}
		return &j.Changes[len(j.Changes)-1]
	}
	switch c := last(Horizon); {
	case j.Watch.Mood == Missing:
		return fmt.Sprintf("%s since %s", Missing, Date(j.Last).Format(time.DateOnly)), Neutral
	case c != nil:
		words = Relative(c.Size) + " since " + Date(c.Night).Format("2006-01-02")
		switch {
		case c.Event != nil || j.Better == "":
			return words, Neutral
		case j.Better.worse(c.Size.Value):
			return words, Regression
		}
		return words, Improvement
	case j.Watch.Mood == Suspicious:
		return "tonight " + Relative(stats.Interval{Value: j.Watch.Size.Value, Low: nan, High: nan}) + ": measure again", Neutral
	case j.Watch.Young:
		return j.Learning(), ""
	}
	return "steady", ""
}
