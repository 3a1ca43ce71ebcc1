package track

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
)

// moved is a series that changed by size on a night; 1 is one that did not.
func moved(group, scenario, metric string, size float64, change ...func(*Series, *Change)) Judged {
	s := &Series{Key: store.Key{Group: group, Scenario: scenario, Use: scenario, Workload: "w", Impl: "i", Metric: metric}, Better: directions[metric], Meter: "snmp pdu", Control: scenario == results.Control}
	if metric == results.Throughput {
		s.Meter = ""
	}
	c := Change{Night: 100, From: 99, To: 101, Size: stats.Interval{Value: size, Low: size * 0.99, High: size * 1.01}, P: 1e-9, LastGood: "a", FirstBad: "a"}
	c.Reached = []Reach{{101, math.Abs(size - 1)}}
	for _, f := range change {
		f(s, &c)
	}
	j := Judged{Series: s}
	if size != 1 {
		j.Changes = []Change{c}
	}
	return j
}

func commit(_ *Series, c *Change) { c.FirstBad = "b" }

// beside is a change against a control.
func beside(_ *Series, c *Change) { c.Controlled = true }

func commitBeside(s *Series, c *Change) { commit(s, c); beside(s, c) }

// Pairs of throughput and watts tell what happened.
func TestCauses(t *testing.T) {
	use := func(group, scenario string, rate, watts float64, change ...func(*Series, *Change)) []Judged {
		return []Judged{moved(group, scenario, results.Throughput, rate, change...), moved(group, scenario, results.Power, watts, change...), moved(group, scenario, results.WorkPerEnergy, rate/watts, change...)}
	}
	all := func(lists ...[]Judged) (out []Judged) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	still := use("g", results.Control, 1, 1)
	for name, c := range map[string]struct {
		judged  []Judged
		cause   Cause
		verdict Verdict
	}{
		"a commit made it slower":                     {all(still, use("g", "mining", 0.95, 1, commitBeside)), Code, Regression},
		"a commit made it faster":                     {all(still, use("g", "mining", 1.05, 1, commitBeside)), Code, Improvement},
		"slower at fewer watts, by a commit":          {all(still, use("g", "mining", 0.9, 0.95, commitBeside)), Code, Regression},
		"capped: the control fell too":                {all(use("g", results.Control, 0.9, 0.9), use("g", "mining", 0.9, 0.88, commit)), Capped, Regression},
		"capped, but without a control to ask":        {use("g", "mining", 0.9, 0.88, commit), Alone, Regression},
		"a commit, but no control to ask":             {use("g", "mining", 0.95, 1, commit), Alone, Regression},
		"a commit, and a control on other nights":     {all(still, use("g", "mining", 0.95, 1, commit)), Alone, Regression},
		"faster by a commit, and no control to ask":   {use("g", "mining", 1.05, 1, commit), Alone, Improvement},
		"more watts, and no control to ask":           {use("g", "mining", 1, 1.05), Alone, Regression},
		"other load: slower at the same watts":        {use("g", results.Control, 0.9, 1, commit), Machine, Regression},
		"a fan":                                       {all(still[:1], use("g", results.Control, 1, 1.05), use("g", "mining", 1, 1.05)), Ageing, Regression},
		"a fan, on the night of a commit":             {all(use("g", results.Control, 1, 1.05, commit), use("g", "mining", 1, 1.05, commit)), Ageing, Regression},
		"a fan, idle":                                 {all(still, []Judged{moved("g", idle, results.Power, 1.05)}), Ageing, Regression},
		"a commit that burns watts for nothing":       {all(still, use("g", "mining", 1, 1.05, commitBeside)), Code, Regression},
		"faster but hungrier":                         {all(still, use("g", "mining", 1.03, 1.08, commitBeside)), Hungrier, Regression},
		"faster and worth it":                         {all(still, use("g", "mining", 1.08, 1.03, commitBeside)), Code, Improvement},
		"the meter: every group of it":                {all(use("g", "mining", 1, 1.04), use("h", "mining", 1, 1.04)), Gauge, Neutral},
		"not the meter: another group on it is still": {all(use("g", "mining", 1, 1.04, beside), use("h", "mining", 1, 1.04, beside), use("i", "mining", 1, 1)), Ageing, Regression},
		"not the meter: a rate moved too":             {all(use("g", "mining", 0.9, 1.04, beside), use("h", "mining", 1, 1.04)), Unknown, Regression},
		"nobody did anything":                         {all(still, use("g", "mining", 0.95, 1, beside)), Unknown, Regression},
		"a kernel":                                    {use("g", "mining", 0.95, 1, commit, func(_ *Series, c *Change) { c.Event = &Event{Night: 100, Kind: "kernel", What: "6.8 → 6.12"} }), Known, Neutral},
	} {
		f := Findings(c.judged)
		require.Len(t, f, 1, name)
		require.Equal(t, c.cause, f[0].Cause, name)
		require.Equal(t, c.verdict, f[0].Verdict, name)
		require.Equal(t, 101, f[0].Shown(), name)
		require.NotEmpty(t, f[0].Do(), name)
		require.Contains(t, f[0].What(), " %", name)
	}
}

// One cause is one finding; two are two.
func TestOneFindingForOneCause(t *testing.T) {
	var many []Judged
	for g := range 30 { // a commit that every group sees
		many = append(many, moved(fmt.Sprint("g", g), "mining", results.Throughput, 0.95, commit, func(_ *Series, c *Change) { c.Night += g % 2 }))
	}
	f := Findings(many)
	require.Len(t, f, 1)
	require.Len(t, f[0].Groups, 30)

	later := func(_ *Series, c *Change) { c.Night, c.From, c.To, c.LastGood, c.FirstBad = 140, 139, 141, "b", "c" }
	require.Len(t, Findings(append(many, moved("g1", "mining", results.Throughput, 1.05, later))), 2, "at another time")
	require.Len(t, Findings([]Judged{moved("g", "mining", results.Throughput, 0.9), moved("h", "mining", results.Throughput, 0.9)}), 2, "two groups, no commit, no meter in common")
	require.Empty(t, Findings([]Judged{moved("g", "mining", results.Throughput, 1)}))
	f = Findings([]Judged{moved("g", "mining", results.Throughput, 0.95, commit), moved("g", "mining", results.WorkPerEnergy, 0.94, commit), moved("g", "compute", results.Throughput, 0.8, commit)})
	require.Len(t, f, 1)
	require.Equal(t, results.WorkPerEnergy, f[0].Primary().Key.Metric, "work per joule is what it is told by")
}

// steady is n nights about a level, with a control that does what the machine does.
func steady(rng *rand.Rand, n int, machine func(int) float64) *Series {
	s := &Series{Key: store.Key{Metric: results.Throughput}, Better: Higher}
	for i := range n {
		m := machine(i)
		s.Points = append(s.Points, Point{Night: i, Value: 1e9 * m * math.Exp(0.01*rng.NormFloat64()), Control: 5e8 * m * math.Exp(0.005*rng.NormFloat64()), Record: fmt.Sprintf("%04d", i)})
	}
	return s
}

func none(int) float64 { return 1 }

// judgeNight judges one night of a series in which nothing was found before.
func judgeNight(s *Series, night int) Watch { return Judge(s, Past{}, night-1, night).Watch }

// changesOf returns the changes in the whole history of a series.
func changesOf(s *Series) []Change { return Judge(s, Past{}, Never, s.last()).Changes }

// The guard cries seldom where nothing is, always where there is much, and not
// for what the machine did.
func TestGuard(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const runs = 2000
	false1, caught, machine, noisy, despite := 0, 0, 0, 0, 0
	for range runs {
		s := steady(rng, 30, none)
		if judgeNight(s, 29).Mood == Suspicious {
			false1++
		}
		s.Points[29].Value *= 0.92
		if w := judgeNight(s, 29); w.Mood == Suspicious {
			caught++
			require.Less(t, w.Size.Value, w.Size.Low)
		}
		s = steady(rng, 30, func(i int) float64 { return 1 - 0.08*float64(i/29) })
		if judgeNight(s, 29).Mood == Suspicious {
			machine++
		}
		s = steady(rng, 30, func(int) float64 { return math.Exp(0.05 * rng.NormFloat64()) })
		if judgeNight(s, 29).Mood == Suspicious {
			noisy++
		}
		if s.Points[29].Value *= 0.92; judgeNight(s, 29).Mood == Suspicious {
			despite++
		}
	}
	t.Logf("false %.4f, −8 %% caught %.4f, −8 %% of the machine %.4f; in noise of 5 %% that the control has too: false %.4f, caught %.4f",
		float64(false1)/runs, float64(caught)/runs, float64(machine)/runs, float64(noisy)/runs, float64(despite)/runs)
	require.LessOrEqual(t, noisy, runs*8/1000)
	require.GreaterOrEqual(t, despite, runs*98/100)
	require.LessOrEqual(t, false1, runs*8/1000)
	require.GreaterOrEqual(t, caught, runs*98/100)
	require.LessOrEqual(t, machine, runs*8/1000)
}

func TestGuardOfFewNights(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for n := 1; n < young; n++ {
		s := steady(rng, n+1, none)
		w := judgeNight(s, n)
		require.True(t, w.Young)
		require.Equal(t, Quiet, w.Mood)
		s.Points[n].Value *= 0.85
		require.Equal(t, Suspicious, judgeNight(s, n).Mood, "more than 10 %% needs no statistics")
		s.Points[n].Value *= 0.93 / 0.85
		require.Equal(t, Quiet, judgeNight(s, n).Mood)
	}
	s := steady(rng, 1, none)
	require.Equal(t, Quiet, judgeNight(s, 0).Mood)
	require.Equal(t, Missing, judgeNight(s, 1).Mood)
	require.Equal(t, Missing, judgeNight(&Series{}, 1).Mood)
	s = steady(rng, 30, none)
	s.Events = []Event{{Night: 25, Kind: "kernel"}}
	require.True(t, judgeNight(s, 29).Young, "nothing is learned across an event")
	// Of two records of a night the newer is judged: the older was measured again.
	s = steady(rng, 30, none)
	s.Points[29].Value *= 0.9
	require.Equal(t, Suspicious, judgeNight(s, 29).Mood)
	s.Points = append(s.Points, Point{Night: 29, Value: 1e9, Control: 5e8, Record: "9999"})
	require.Equal(t, Quiet, judgeNight(s, 29).Mood)
}

// Of several sessions of a night each is held against its own control.
func TestNightOfSeveralSessions(t *testing.T) {
	s := &Series{}
	for i, x := range []struct{ machine, ratio float64 }{{0.5, 2}, {2, 2.2}, {1, 1.8}} {
		s.Points = append(s.Points, Point{Value: 5e8 * x.machine * x.ratio, Control: 5e8 * x.machine, Record: fmt.Sprint(i)})
	}
	n := s.history().nights
	require.Len(t, n, 1)
	require.InDelta(t, math.Log(2), n[0].value-n[0].control, 1e-12)
	require.InDelta(t, math.Log(5e8*1.8), n[0].value, 1e-12)
}

func TestAudit(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var a Audit
	for range 40 {
		s := steady(rng, 120, none)
		a.Add(s, changesOf(s))
	}
	require.Equal(t, 40*120, a.Nights)
	require.Greater(t, a.Pairs, 4000)
	require.Less(t, a.Rate.Low, 0.006)
	require.Less(t, a.PerYear.Low, 0.05)
	require.Greater(t, a.Symmetry, 0.001)

	// What nothing explains is counted: a night that fell by 15 %, and figures
	// that moved by 10 % for good, up as often as down.
	var dips, moves Audit
	for i := range 20 {
		dip, move := steady(rng, 120, none), steady(rng, 120, none)
		dip.Points[80].Value *= 0.85
		for j := 60; j < len(move.Points); j++ {
			move.Points[j].Value *= 1 + 0.1*float64(i%2*2-1)
		}
		dips.Add(dip, nil)
		moves.Add(move, changesOf(move))
	}
	require.InDelta(t, 20+8, dips.Guard, 8, "each of the dips, and some false ones")
	require.InEpsilon(t, float64(dips.Guard)/float64(dips.Pairs), dips.Rate.Value, 1e-12)
	require.Greater(t, dips.Rate.Low, 0.006)
	require.Equal(t, 20, moves.Raised)
	require.InEpsilon(t, 20/(20*120/365.0), moves.PerYear.Value, 1e-12)
	require.Greater(t, moves.PerYear.Low, 1.5)
	require.Equal(t, []int{10, 10}, []int{moves.Worse, moves.Better})

	var uneven Audit
	s := steady(rng, 10, none)
	for range 12 {
		uneven.Add(s, []Change{{Size: stats.Interval{Value: 0.9}, LastGood: "a", FirstBad: "b"}})
	}
	require.Less(t, uneven.Symmetry, 0.001)
	require.Zero(t, uneven.Raised)
}

func FuzzRules(f *testing.F) {
	f.Add("least = 0.01\n[[limit]]\nuse = \"mining\"\nleast = 0.5\n[[ignore]]\nmetric = \"p*\"\nreason = \"x\"\n")
	f.Add("[[ignore]]\nuse = \"[\"\nreason = \"x\"")
	f.Add("least = nan")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadRules(strings.NewReader(text))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		k := store.Key{Group: "g", Scenario: "s", Use: "u", Workload: "w", Impl: "i", Metric: "power"}
		l := r.least(k)
		require.True(t, l >= 0 && l < 1)
		if why, ok := r.Ignored(k); ok {
			require.NotEmpty(t, strings.TrimSpace(why))
		}
	})
}
