package site_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/site/sitetest"
)

func analyse(f sitetest.Fleet, opt site.Options) *site.Analysis {
	r, outcomes, sessions, groups := f.Make()
	return site.Analyse(r, outcomes, sessions, groups, opt)
}

// off are the nodes of one conclusion.
func off(a *site.Analysis, h site.Health) (names []string) {
	for _, n := range a.Nodes {
		if n.Health == h {
			names = append(names, n.Name)
		}
	}
	return names
}

func TestEveryKindOfBadNodeIsFoundAndNoOther(t *testing.T) {
	for _, nodes := range []int{256, 1000} {
		f := sitetest.Mixed(nodes)
		a := analyse(f, site.Options{})
		want := map[sitetest.Place]site.Health{
			sitetest.Healthy: site.Good, sitetest.Slow: site.Outlier, sitetest.Wide: site.CannotTell,
			sitetest.Wrong: site.Wrong, sitetest.Missing: site.Missing, sitetest.Partial: site.Missing,
		}
		for i, p := range f.Places() {
			n := a.Nodes[i]
			require.Equal(t, want[p], n.Health, "%s (%v): %s", n.Name, p, n.Why)
			if n.Health != site.Good {
				require.NotEmpty(t, n.Why, n.Name)
				require.NotEmpty(t, n.More, n.Name)
			}
			if p == sitetest.Slow {
				require.Contains(t, n.Why, "governor powersave (others performance)")
			}
		}
		for _, r := range a.Racks { // some hold only eight nodes of the second kind
			slow := slices.ContainsFunc(r.Figures, func(of site.RackFigure) bool { return of.Off })
			require.Equal(t, r.Name == f.SlowRack, slow, r.Name)
		}
		require.True(t, a.Faults())
	}
}

func TestAHealthyFleetHasNoFaults(t *testing.T) {
	for seed := range uint64(10) {
		a := analyse(sitetest.Fleet{Nodes: 320, Seed: seed}, site.Options{})
		require.Empty(t, off(a, site.Outlier), "seed %d", seed)
		require.False(t, a.Faults(), "seed %d", seed)
		require.Equal(t, map[site.Health]int{site.Good: 320}, a.Counts)
	}
}

// A meter of coarse steps parts equal nodes by its steps, which are neither outliers nor
// levels.
func TestStepsOfAMeterAreNoFaults(t *testing.T) {
	stepped := 0
	for _, f := range []sitetest.Fleet{{Nodes: 12, Seed: 1}, {Nodes: 12, Seed: 2}, {Nodes: 64, Seed: 3}, {Nodes: 320, Seed: 4}} {
		f.Spread, f.Step = 0.004, 15
		f.Noise = 0.001
		a := analyse(f, site.Options{})
		require.Empty(t, off(a, site.Outlier), "seed %d", f.Seed)
		require.False(t, a.Levelled(), "seed %d", f.Seed)
		for _, d := range a.Figures {
			switch {
			case d.Metric == results.Throughput:
				require.True(t, d.Step.IsAbsent(), d.ID)
			case d.Step > 0:
				stepped++
			}
		}
	}
	require.Positive(t, stepped)
}

func TestTwoFirmwareVersionsAreLevelsAndNoOutliers(t *testing.T) {
	a := analyse(sitetest.Fleet{Nodes: 200, Firmware: 0.4, Slow: 2, Off: 0.1}, site.Options{})
	require.Len(t, off(a, site.Outlier), 2)
	for _, d := range a.Figures {
		require.Len(t, d.Levels, 2, d.ID)
		require.Equal(t, []string{"microcode", "microcode"}, []string{d.Levels[0].By, d.Levels[1].By})
		require.Equal(t, []int{120, 80}, []int{d.Levels[0].N, d.Levels[1].N})
		require.InDelta(t, 0.94, float64(d.Levels[1].Median/d.Levels[0].Median), 0.01)
	}
	require.False(t, a.Levelled())
}

func TestLevelsWithoutAReasonAreSaid(t *testing.T) {
	f := sitetest.Fleet{Nodes: 200, Firmware: 0.4}
	r, outcomes, sessions, groups := f.Make()
	for i := range sessions {
		sessions[i].Env.Microcode = "same"
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.True(t, a.Levelled())
	require.True(t, a.Faults())
	require.Empty(t, off(a, site.Outlier))
}

func TestOneInFiveBadNodesDoNotHideEachOther(t *testing.T) {
	f := sitetest.Fleet{Nodes: 100, Slow: 20, Off: 0.08}
	r, outcomes, sessions, groups := f.Make()
	for i := range sessions {
		sessions[i].Env.Governor = "same" // nothing explains them
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.Len(t, off(a, site.Outlier), 20)
}

func TestFewNodesAreNotJudged(t *testing.T) {
	a := analyse(sitetest.Fleet{Nodes: 4}, site.Options{})
	require.Len(t, off(a, site.NotJudged), 4)
	require.False(t, a.Faults())
	require.Contains(t, a.Figures[0].Why, "4 equal nodes")

	// Five tell nothing if they are spread so far that none could be off.
	a = analyse(sitetest.Fleet{Nodes: 5, Spread: 0.2}, site.Options{})
	require.Len(t, off(a, site.NotJudged), 5)
	require.Contains(t, a.Figures[0].Why, "5 equal nodes, spread by")
	require.Empty(t, off(analyse(sitetest.Fleet{Nodes: 5}, site.Options{}), site.NotJudged))
}

// What was measured of a rack is quoted before what a node modelled, wherever that is.
func TestMeasuredWattsComeFirst(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 16, PerRack: 8}.Make()
	wall := groups[sessions[0].Group]
	for id, g := range groups {
		g.Boundary = results.Package
		groups[id] = g
	}
	for i, origin := range []results.Origin{results.Modelled, results.Declared} {
		wall.ID, wall.Boundary = "wall "+string(origin), results.Wall
		groups[wall.ID] = wall
		sessions[i].Group, sessions[i].Env.Origin = wall.ID, string(origin)
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	var got []results.Origin
	for _, w := range a.Racks[0].Watts {
		got = append(got, w.Origin)
	}
	require.Equal(t, []results.Origin{results.Measured, results.Modelled, results.Declared}, got)
}

func TestBudgets(t *testing.T) {
	// 8 nodes of about 278 W each at most.
	fleet := sitetest.Fleet{Nodes: 16, PerRack: 8}
	parts := func(f sitetest.Fleet, boundary results.Boundary, opt site.Options) *site.Analysis {
		r, outcomes, sessions, groups := f.Make()
		for id, g := range groups {
			if g.Boundary != "" {
				g.Boundary = boundary
			}
			groups[id] = g
		}
		return site.Analyse(r, outcomes, sessions, groups, opt)
	}
	lacking := fleet
	lacking.Missing = 1
	modelled := fleet
	modelled.Modelled = true
	dark := fleet
	dark.NoMeter = true
	for _, c := range []struct {
		name     string
		fleet    sitetest.Fleet
		boundary results.Boundary
		budget   map[string]float64
		want     []site.BudgetVerdict
	}{
		{"within", fleet, results.Wall, map[string]float64{"": 2500}, []site.BudgetVerdict{site.Within, site.Within}},
		{"over", fleet, results.Wall, map[string]float64{"": 2000}, []site.BudgetVerdict{site.Over, site.Over}},
		{"of one rack", fleet, results.Wall, map[string]float64{"": 2500, "r02": 2000}, []site.BudgetVerdict{site.Within, site.Over}},
		{"of one rack only", fleet, results.Wall, map[string]float64{"r02": 2000}, []site.BudgetVerdict{"", site.Over}},
		{"a node is missing", lacking, results.Wall, map[string]float64{"": 2500}, []site.BudgetVerdict{site.Unsettled, site.Within}},
		{"over although one is missing", lacking, results.Wall, map[string]float64{"": 1000}, []site.BudgetVerdict{site.Over, site.Over}},
		{"parts of nodes", fleet, results.Package, map[string]float64{"": 2500}, []site.BudgetVerdict{site.Unsettled, site.Unsettled}},
		{"parts of nodes exceed it", fleet, results.Package, map[string]float64{"": 2000}, []site.BudgetVerdict{site.Over, site.Over}},
		{"modelled", modelled, results.Package, map[string]float64{"": 1}, []site.BudgetVerdict{site.Unmeasured, site.Unmeasured}},
		{"no watts", dark, results.Wall, map[string]float64{"": 1}, []site.BudgetVerdict{site.Unmeasured, site.Unmeasured}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []site.BudgetVerdict
			a := parts(c.fleet, c.boundary, site.Options{Budgets: c.budget})
			for _, r := range a.Racks {
				got = append(got, r.Power)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, slices.Contains(c.want, site.Over), a.Faults())
		})
	}
}

func TestTotals(t *testing.T) {
	f := sitetest.Fleet{Nodes: 50, Spread: 1e-6}
	a := analyse(f, site.Options{})
	require.Len(t, a.Totals, 3)
	for _, total := range a.Totals {
		if total.Use != "mining" {
			continue
		}
		require.Equal(t, 50, total.Nodes)
		require.InEpsilon(t, 50*1.235e9, float64(total.Rate.Value), 1e-4)
		require.InEpsilon(t, 50*241, float64(total.Power[0].Value), 1e-4)
		require.InEpsilon(t, 1.235e9/241, float64(total.PerEnergy.Value), 1e-4)
		require.Equal(t, results.Wall, total.Power[0].Boundary)
		require.Equal(t, results.Unit("hash/J"), total.PerEnergy.Unit)
		// 50 independent intervals of ±0.4 %.
		require.InEpsilon(t, 0.004/7.07, float64(total.Rate.HalfWidth()), 0.01)
	}
}

func TestOneNodeWithAnotherKernelIsAnOutlier(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 30}.Make()
	for i, f := range sessions[7].Figures {
		k := *f.Key
		k.Impl = "generic"
		sessions[7].Figures[i].Key = &k
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.Equal(t, []string{"n00008"}, off(a, site.Outlier))
	require.Contains(t, a.Nodes[7].Why, "ran generic with 64 threads; 29 equal nodes ran")
}

func TestASecondAttemptCountsAndTheFirstIsKept(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 10}.Make()
	outcomes[2].Attempts = append(outcomes[2].Attempts, site.Attempt{Number: 2, Records: outcomes[2].Attempts[0].Records})
	outcomes[2].Attempts[0].Records = []string{"01FIRST"}
	first := sessions[2]
	first.ID, first.Figures, first.State, first.Group = "01FIRST", nil, results.Running, ""
	a := site.Analyse(r, outcomes, append(sessions, first), groups, site.Options{})
	require.Equal(t, site.Good, a.Nodes[2].Health)
	require.Equal(t, []string{"01FIRST", sessions[2].ID}, a.Nodes[2].Records)

	outcomes[2].Attempts[1].Records = nil
	a = site.Analyse(r, outcomes, append(sessions, first), groups, site.Options{})
	require.Equal(t, site.Missing, a.Nodes[2].Health)
	require.Equal(t, "its record (running) holds no figure", a.Nodes[2].Why)
}

func TestWrongAnswersOfAnyAttemptCount(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 10, Wrong: 1}.Make()
	i := slices.IndexFunc(sessions, func(s sitetest.Session) bool { return s.Wrong != "" })
	bad := sessions[i]
	good := bad
	good.ID, good.Wrong = "01GOOD", ""
	outcomes[i].Attempts = append(outcomes[i].Attempts, site.Attempt{Number: 2, Records: []string{good.ID}})
	a := site.Analyse(r, outcomes, append(sessions, good), groups, site.Options{})
	require.Equal(t, site.Wrong, a.Nodes[i].Health)
	require.True(t, strings.HasPrefix(a.Nodes[i].Why, "mining: wrong answers"), a.Nodes[i].Why)
}

func BenchmarkAnalyse(b *testing.B) {
	for _, nodes := range []int{100, 1000, 10_000} {
		r, outcomes, sessions, groups := sitetest.Mixed(nodes).Make()
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			for b.Loop() {
				site.Analyse(r, outcomes, sessions, groups, site.Options{})
			}
		})
	}
}

// A node that lost a memory module is compared with no other, and the report says why.
func TestANodeOfItsOwnKindIsSaid(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 40}.Make()
	less := groups["aaaaaaaa"]
	less.ID, less.Memory = "cccccccc", 224<<30
	groups[less.ID] = less
	for i := range sessions[7].Figures {
		k := *sessions[7].Figures[i].Key
		k.Group = less.ID
		sessions[7].Figures[i].Key, sessions[7].Figures[i].Value = &k, sessions[7].Figures[i].Value*0.8
	}
	sessions[7].Group = less.ID
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.Equal(t, map[site.Health]int{site.Good: 39, site.NotJudged: 1}, a.Counts, "it is slower, and has no equal")
	require.Equal(t, "it is the only node of its kind; 39 nodes differ: memory 224 GiB (others 256 GiB)", a.Nodes[7].Why)
	require.Len(t, a.Warnings, 1)
	require.Equal(t, "odd-hardware", a.Warnings[0].Code)
}

// Machines are compared by all that makes them, and not by what is printed of it.
func TestMachinesThatPrintAlikeAreNotEqual(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 40}.Make()
	other := groups["aaaaaaaa"]
	other.ID, other.CPU = "cccccccc", other.CPU+" @ 2.80GHz" // of a model that is faster, and printed without
	groups[other.ID] = other
	require.Equal(t, groups["aaaaaaaa"].Name(), other.Name())
	for n := range 20 {
		sessions[n].Group = other.ID
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.NotEqual(t, a.Nodes[0].Hardware, a.Nodes[39].Hardware)
	for _, d := range a.Figures {
		require.Equal(t, 20, d.N)
	}
}

// Watts of two boundaries are not taken together, also not of one node; and a record that
// is listed twice counts once.
func TestSessionsOfANodeThatDiffer(t *testing.T) {
	f := sitetest.Fleet{Nodes: 10}
	r, outcomes, sessions, groups := f.Make()
	rapl := groups["aaaaaaaa"]
	rapl.ID, rapl.Meter, rapl.Boundary = "dddddddd", "rapl", results.Package
	groups[rapl.ID] = rapl
	second := sessions[3]
	second.ID, second.Group, second.Figures = "01SECOND", rapl.ID, nil
	for _, of := range sessions[3].Figures {
		if of.Metric != results.Throughput {
			of.Value /= 2
		}
		second.Figures = append(second.Figures, of)
	}
	before := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	outcomes[3].Attempts[0].Records = []string{second.ID, sessions[3].ID, sessions[3].ID}
	a := site.Analyse(r, outcomes, append(sessions, second), groups, site.Options{})
	require.Len(t, a.Racks[0].Watts, 1)
	require.Equal(t, before.Racks[0].Watts[0].Value, a.Racks[0].Watts[0].Value)
	for i, d := range a.Figures {
		require.Equal(t, 10, d.N, d.ID)
		for k, p := range d.Points {
			require.InEpsilon(t, float64(before.Figures[i].Points[k].Value), float64(p.Value), 1e-12)
			if d.Metric == results.WorkPerEnergy {
				require.Equal(t, before.Figures[i].Points[k].Low, p.Low, "one session counts")
			}
		}
	}
}

// Of a node that was repaired only what it is now counts.
func TestANodeThatWasRepaired(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 10}.Make()
	less := groups["aaaaaaaa"]
	less.ID, less.Memory = "cccccccc", 224<<30
	groups[less.ID] = less
	first := sessions[3]
	first.ID, first.Group, first.Figures = "01FIRST", less.ID, slices.Clone(first.Figures)
	for i := range first.Figures {
		first.Figures[i].Value *= 0.5
	}
	outcomes[3].Attempts[0].Records = []string{first.ID, sessions[3].ID}
	a := site.Analyse(r, outcomes, append(sessions, first), groups, site.Options{})
	require.Equal(t, map[site.Health]int{site.Good: 10}, a.Counts)
	outcomes[3].Attempts[0].Records = []string{sessions[3].ID, first.ID}
	a = site.Analyse(r, outcomes, append(sessions, first), groups, site.Options{})
	require.Equal(t, map[site.Health]int{site.Good: 9, site.NotJudged: 1}, a.Counts)
}

// What no meter and no program says makes no page unreadable: a figure is finite and
// above 0 or it is none.
func TestFiguresThatCannotBe(t *testing.T) {
	for _, v := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324, 1e308} {
		r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 20, PerRack: 10}.Make()
		for i := range sessions[2].Figures {
			f := &sessions[2].Figures[i]
			f.Value, f.Low, f.High = results.Float(v), results.Float(v), results.Float(v)
		}
		a := site.Analyse(r, outcomes, sessions, groups, site.Options{Budgets: map[string]float64{"": 1e4}})
		raw, err := json.Marshal(a)
		require.NoError(t, err, "%v", v)
		require.True(t, json.Valid(raw))
		want := site.Outlier
		if !(v > 0) || math.IsInf(v, 0) {
			want = site.Missing // it has no figure, and its equals have
		}
		require.Equal(t, want, a.Nodes[2].Health, "%v", v)
		require.Equal(t, 19, a.Counts[site.Good], "%v", v)
	}
}

func TestEqualAndFewNodes(t *testing.T) {
	for nodes := 1; nodes <= 6; nodes++ {
		r, outcomes, sessions, groups := sitetest.Fleet{Nodes: nodes}.Make()
		for i := range sessions {
			for k := range sessions[i].Figures {
				sessions[i].Figures[k] = sessions[0].Figures[k]
			}
		}
		a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
		want := map[site.Health]int{site.NotJudged: nodes}
		if nodes >= 5 { // the MAD is 0: the margin alone decides
			want = map[site.Health]int{site.Good: nodes}
		}
		require.Equal(t, want, a.Counts)
		require.False(t, a.Faults())
	}
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 10}.Make()
	for i := range sessions {
		for k := range sessions[i].Figures {
			f := sessions[0].Figures[k]
			if i == 9 {
				f.Value, f.Low, f.High = f.Value*0.9, f.Low*0.9, f.High*0.9
			}
			sessions[i].Figures[k] = f
		}
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	require.Equal(t, map[site.Health]int{site.Good: 9, site.Outlier: 1}, a.Counts)
	for _, d := range a.Figures {
		require.True(t, d.Points[9].Score.IsAbsent(), "there is no scale")
	}
}

// What the report says that it would find is found, and of a spread with tails it is said.
func TestWhatWouldBeFoundIsFound(t *testing.T) {
	found, slower, fleets := 0, 0, 100
	if testing.Short() {
		fleets = 25
	}
	for seed := range uint64(fleets) { // #nosec G115 -- it is not below 0
		f := sitetest.Fleet{Nodes: 24, Seed: seed}
		r, outcomes, sessions, groups := f.Make()
		before := site.Analyse(r, outcomes, sessions, groups, site.Options{})
		for k := range sessions[5].Figures {
			v := &sessions[5].Figures[k]
			for _, d := range before.Figures {
				if d.Scenario == v.Scenario && d.Metric == v.Metric {
					by := results.Float(1 - float64(d.Finds))
					v.Value, v.Low, v.High = v.Value*by, v.Low*by, v.High*by
					slower++
				}
			}
		}
		after := site.Analyse(r, outcomes, sessions, groups, site.Options{})
		for _, d := range after.Figures {
			if d.Points[5].Health == site.Outlier {
				found++
			}
		}
	}
	require.Equal(t, 6*fleets, slower)
	require.GreaterOrEqual(t, found, slower-slower/100-4*int(math.Ceil(math.Sqrt(0.01*float64(slower)))), "99 of 100, and four standard deviations of that count")
}

// Two batches of nodes closer together than anyone sees by eye are levels, if the records
// show what parts them.
func TestTwoBatchesThatTheRecordsPart(t *testing.T) {
	r, outcomes, sessions, groups := sitetest.Fleet{Nodes: 64, Firmware: 0.5}.Make()
	for i := range sessions {
		if sessions[i].Env.Microcode == "0xa0011ce" { // 3 σ apart, and not 6 %
			for k := range sessions[i].Figures {
				f := &sessions[i].Figures[k]
				if f.Metric != results.Power {
					f.Value, f.Low, f.High = f.Value*0.97/0.94, f.Low*0.97/0.94, f.High*0.97/0.94
				}
			}
		}
	}
	a := site.Analyse(r, outcomes, sessions, groups, site.Options{})
	for _, d := range a.Figures {
		require.Len(t, d.Levels, 2, d.ID)
		require.Equal(t, "microcode", d.Levels[0].By)
		require.InDelta(t, 0.01, float64(d.Spread), 0.004, "of each level")
	}
	require.False(t, a.Faults())
}
