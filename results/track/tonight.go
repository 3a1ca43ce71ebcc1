package track

import (
	"context"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// absence is after how many nights a group that measures no more is not waited
// for any longer.
const absence = 14

// Options say what is looked at.
type Options struct {
	Filter store.Filter
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
	// Measured is whether the group has figures of this night, Expected
	// whether it had some in the two weeks before.
	Measured, Expected bool
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
		if len(g.Series) == 0 {
			continue
		}
		s := Standing{Group: g}
		for i := range g.Series {
			t := &g.Series[i]
			for _, p := range t.Points {
				s.Measured = s.Measured || p.Night == opt.Night
				s.Expected = s.Expected || p.Night < opt.Night && opt.Night-p.Night <= absence
			}
			if why, ok := opt.Rules.Ignored(t.Key); ok {
				r.Ignored[t.Key] = why
				continue
			}
			m := was[t.Key]
			s.Judged = append(s.Judged, Judge(t, m.Changes, m.upto, opt.Night))
		}
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

// Absent lists the groups that were to have figures of this night and have
// none.
func (r *Report) Absent() (groups []string) {
	for _, g := range r.Groups {
		if g.Expected && !g.Measured {
			groups = append(groups, g.ID)
		}
	}
	return groups
}

// Valid reports whether this night measured anything, and everything that was
// to be measured.
func (r *Report) Valid() bool {
	return len(r.Absent()) == 0 && slices.ContainsFunc(r.Groups, func(g Standing) bool { return g.Measured })
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
		return string(Missing), Neutral
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
		return "too few nights to tell", ""
	}
	return "steady", ""
}
