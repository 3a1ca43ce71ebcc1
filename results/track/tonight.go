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

	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// absence is after how many nights a node that measures no more is not waited
// for any longer.
const absence = 14

// Options say what is looked at.
type Options struct {
	Filter store.Filter
	Node   string // empty for all: its siblings share its alarms, and are not told of
	Night  int    // see [NightOf]
	Rules  *Rules // nil for none
	// Whole is whether every night is wanted with the groups, and not only as
	// many as tonight's judgement needs.
	Whole bool
}

// Report is how a store stands on one night.
type Report struct {
	Night    int
	Groups   []Standing
	Findings []Finding // the latest first
	Ignored  map[store.Key]string
}

// Standing is a group and what was made of its series.
type Standing struct {
	Group
	Judged []Judged
	Nodes  []Node // by name
}

// Node is how a node of a group stands.
type Node struct {
	NodeID
	Last   int // its newest night
	Nights int // that have figures, as far as they were read
	// Measured is whether it has figures of this night, Expected whether it had
	// some in the two weeks before. One of several that was seen once is not
	// expected, nor is one of which somebody said since what became of it
	// (perwatt event --node), or that has another name now.
	Measured, Expected bool
}

// Measured reports whether any node of the group has figures of this night.
func (s *Standing) Measured() bool {
	return slices.ContainsFunc(s.Nodes, func(n Node) bool { return n.Measured })
}

// instead finds the series that took the place of others of the same use, and
// says what they differ in.
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
		differ(j.Key.Workload, old.Key.Workload, "workload")
		differ(j.Key.Impl, old.Key.Impl, "implementation")
		differ(strconv.Itoa(j.Key.Threads), strconv.Itoa(old.Key.Threads), "threads")
		differ(string(j.Key.Unit), string(old.Key.Unit), "unit")
		j.Instead = fmt.Sprintf("a new series since %s: %s", Date(first).Format(time.DateOnly), strings.Join(what, ", "))
	}
}

// nodes says how the nodes of a group stand.
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
			return e.Kind == store.Renamed && e.From == name || e.Kind == string(ByHand) && e.Node == name && NightOf(e.At) >= n.Last
		})
		nodes = append(nodes, n)
	}
	return nodes
}

// Now judges every series of a store. Each is handed over with its points
// before the next is read: they are not kept.
func Now(ctx context.Context, x *store.Index, opt Options, each func(*Standing) error) (*Report, error) {
	r := &Report{Night: opt.Night, Ignored: map[store.Key]string{}}
	if opt.Rules == nil {
		opt.Rules = &Rules{}
	}
	ids, load, err := Load(ctx, x, opt.Filter, opt.Night)
	if err != nil {
		return nil, err
	}
	var all []Judged
	for _, id := range ids {
		g, was, err := remembered(ctx, x, id, opt, load)
		if err != nil {
			return nil, err
		}
		g.only(opt.Node)
		if len(g.Series) == 0 {
			continue
		}
		s := Standing{Group: g, Nodes: g.nodes(opt.Night)}
		for i := range g.Series {
			t := &g.Series[i]
			if why, ok := opt.Rules.Ignored(t.Key); ok {
				r.Ignored[t.Key] = why
				continue
			}
			m := was[t.Key]
			s.Judged = append(s.Judged, Judge(t, m.Changes, m.upto, opt.Night))
		}
		instead(s.Judged)
		if err := remember(ctx, x, &s, opt, was); err != nil {
			return nil, err
		}
		if each != nil {
			if err := each(&s); err != nil {
				return nil, err
			}
		}
		s.Points, s.Ratios = nil, nil
		for _, j := range s.Judged {
			j.Series.Points = nil
		}
		all = append(all, s.Judged...)
		r.Groups = append(r.Groups, s)
	}
	r.Findings = Findings(all)
	return r, nil
}

// Suspicion is a night that wants to be measured again.
type Suspicion struct {
	Key   store.Key
	Watch Watch
	Worse bool // it is a regression, if it is anything
}

// Suspicions lists what the guard found, the farthest out first. What a change
// that was found tells already is not told again; where the control is
// suspicious itself, what was measured beside it is not.
func (r *Report) Suspicions() (out []Suspicion) {
	for _, g := range r.Groups {
		for _, j := range g.Judged {
			told := slices.ContainsFunc(j.Changes, func(c Change) bool { return c.To >= r.Night })
			if j.Watch.Mood != Suspicious || told {
				continue
			}
			out = append(out, Suspicion{j.Key, j.Watch, (j.Watch.Size.Value > 1) == (j.Better == Lower)})
		}
	}
	far := func(s Suspicion) float64 { return -math.Abs(math.Log(s.Watch.Size.Value)) }
	slices.SortStableFunc(out, func(a, b Suspicion) int {
		if far(a) < far(b) {
			return -1
		}
		return 1
	})
	return out
}

// Fleeting is how many names of nodes were seen on one night and never again, if
// that is how the group goes on: they are less of machines than of their names.
func (s *Standing) Fleeting() (names int) {
	nights := map[int]bool{}
	for _, n := range s.Nodes {
		if n.Nights == 1 {
			names++
			nights[n.Last] = true
		}
	}
	if len(nights) < shortest || 2*names < len(s.Nodes) {
		return 0
	}
	return names
}

// Silent lists the nodes of a group that have no figures of a night. One whose
// siblings have some may yet come: it is silent from the night after.
func (s *Standing) Silent(night int) (nodes []Node) {
	some := s.Measured()
	for _, n := range s.Nodes {
		if !n.Measured && (!some || n.Last < night-1) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Absent lists the nodes that were to have figures of this night and have none.
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

// Valid reports whether this night measured anything, and everything that was
// to be measured.
func (r *Report) Valid() bool {
	return len(r.Absent()) == 0 && slices.ContainsFunc(r.Groups, func(g Standing) bool { return g.Measured() })
}

// Failing are the findings that fail the gate: regressions that this night
// showed first, as large as the rules ask.
func (r *Report) Failing(rules *Rules) (out []Finding) {
	if rules == nil {
		rules = &Rules{}
	}
	for _, f := range r.Findings {
		large := func(p Part) bool { return math.Abs(p.Change.Size.Value-1) >= rules.least(p.Key) }
		if f.Fresh && f.Verdict == Regression && slices.ContainsFunc(f.Parts, large) {
			out = append(out, f)
		}
	}
	return out
}

// Learning says which of the nights it is that a series needs before it is
// judged.
func (j *Judged) Learning() string {
	words := fmt.Sprintf("learning: night %d of %d", j.Watch.Before+1, young)
	if j.Instead != "" {
		words += ", " + j.Instead
	}
	return words
}

// State says in words how a series stands.
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
		case (c.Size.Value > 1) == (j.Better == Lower):
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
