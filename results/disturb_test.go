package results

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// step adds a trace to a run that goes from 0 to by between two seconds after
// the run's beginning, and is level before and after.
func (r *Run) step(key TraceKey, kind Kind, from, to, by float64) {
	t := float64(r.Anchor.T)
	r.Traces = append(r.Traces, Trace{Key: key, Unit: Second, Kind: kind,
		T: []Float{Float(t), Float(t + from), Float(t + to), Float(t + 4)}, V: []Float{0, 0, Float(by), Float(by)}})
}

// A window lies from 1.25 s to 3.25 s after the beginning of its run, and its
// warm-up from 0.25 s on.
func TestDisturbances(t *testing.T) {
	const wall = Gauge
	for _, c := range []struct {
		name string
		edit func(r *Run)
		want []string // of that run alone
		says string   // the first of them
		left bool     // out of the figures
	}{
		{"worker stopped for 1 s", func(r *Run) { r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 1.5, 2.5, 1) }, []string{"suspended"}, "the worker of mining was stopped for 1.00 s from second 5.50 on, in the window", true},
		{"worker stopped for 3 s", func(r *Run) { r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 0.5, 3.5, 3) }, []string{"suspended"}, "the worker of mining was stopped for 2.75 s from second 4.50 on, before and in the window", true},
		{"worker stopped in the warm-up", func(r *Run) { r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 0.3, 1.2, 0.9) }, []string{"suspended"}, "0.90 s from second 4.30 on, before the window", false},
		{"harness stopped for 1 s", func(r *Run) { r.step(HarnessSuspended, Counter, 1.5, 2.5, 1) }, []string{"suspended"}, "perwatt did not run for 1.00 s", true},
		{"harness stopped for 3 s", func(r *Run) { r.step(HarnessSuspended, Counter, 0.4, 3.4, 3) }, []string{"suspended"}, "perwatt did not run for 2.85 s", true},
		{"machine asleep", func(r *Run) { r.step(MachineSuspended, Counter, 2, 2.1, 3600) }, []string{"suspended", "energy-gap"}, "the machine slept for 3600.00 s", true},
		{"stopped before there was work", func(r *Run) { r.step(HarnessSuspended, Counter, 0.01, 0.2, 3) }, nil, "", false},
		{"stopped after the window", func(r *Run) { r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 3.3, 3.9, 0.6) }, nil, "", false},
		{"nothing stopped", func(r *Run) { r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 1.5, 2.5, 0) }, nil, "", false},

		{"clock set ahead", func(r *Run) { r.step(HostWall, wall, 1.5, 1.6, 1) }, []string{"clock-step"}, "set by +1.00 s before second 5.60", false},
		{"clock set back", func(r *Run) { r.step(HostWall, wall, 1.5, 1.6, -3) }, []string{"clock-step"}, "set by -3.00 s", false},
		{"clock set a little", func(r *Run) { r.step(HostWall, wall, 1.5, 1.6, 0.4) }, nil, "", false},

		{"quota", func(r *Run) { r.step(QuotaHeld, Counter, 1.25, 3.25, 0.1) }, []string{"quota-throttled"}, "0.1 s of CPU time", false},
		{"quota that hardly holds", func(r *Run) { r.step(QuotaHeld, Counter, 1.25, 3.25, 0.03) }, nil, "", false},
		{"quota before the window", func(r *Run) { r.step(QuotaHeld, Counter, 0.3, 1.2, 1) }, nil, "", false},

		{"memory of the group", func(r *Run) {
			r.step(GroupMemorySome, Counter, 1.25, 3.25, 0.5)
			r.step(GroupMemoryFull, Counter, 1.25, 3.25, 0.2)
			r.step(HostMemorySome, Counter, 1.25, 3.25, 0.5)
		}, []string{"memory-pressure"}, "tasks of the control group waited for memory for 25.0 % of the window, all of them at once for 10.0 %", false},
		{"memory of the machine", func(r *Run) { r.step(HostMemorySome, Counter, 1.25, 3.25, 0.1) }, []string{"memory-pressure"}, "tasks of the machine waited for memory for 5.0 % of the window", false},
		{"memory at ease", func(r *Run) { r.step(HostMemorySome, Counter, 1.25, 3.25, 0.01) }, nil, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := newWorld().record()
			require.Equal(t, "mining", rec.Runs[1].Scenario)
			c.edit(&rec.Runs[1])
			s := Derive(rec)
			require.Equal(t, c.left, slices.ContainsFunc(s.Flags, func(f Warning) bool { return f.Code == "window-left-out" }))
			flags := slices.DeleteFunc(s.Flags, func(f Warning) bool { return f.Code == "window-left-out" })
			require.Equal(t, c.want, codes(flags))
			near(t, 2e6, row(t, s, "mining", "mining").Metrics[Throughput].Value)
			if c.want == nil {
				return
			}
			require.Contains(t, flags[0].Text, c.says)
			require.Equal(t, "mining/1", flags[0].Run)
			require.NotEmpty(t, flags[0].Remedy)
			undisturbed := outcome(t, s.Validity, "undisturbed")
			require.Equal(t, c.want[0] != "clock-step", undisturbed.Outcome == Fail, "of the wall clock no figure is made")
		})
	}
}

// One window of many is left out of the figures if it did not run all the time,
// also where nobody watched energy; all of them are flagged, and kept.
func TestSuspendedWindowIsNoFigure(t *testing.T) {
	w := newWorld()
	slow := func(sc, _ string, round int) float64 {
		if sc == "mining" && round == 2 {
			return 1e6
		}
		return 2e6
	}
	w.rate, w.scenarios = slow, []string{"idle", "control", "mining"}
	for _, c := range []struct {
		name    string
		stopped func(r *Run) bool
		meter   bool
		n       int // windows
		ratios  int // to the control
	}{
		{"one", func(r *Run) bool { return r.Scenario == "mining" && r.Round == 2 }, true, 5, 5},
		{"one, without a meter", func(r *Run) bool { return r.Scenario == "mining" && r.Round == 2 }, false, 5, 5},
		{"all", func(r *Run) bool { return r.Scenario == "mining" }, true, 6, 6},
		{"the control's", func(r *Run) bool { return r.Scenario == "control" && r.Round == 2 }, true, 6, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := w.record()
			if !c.meter {
				rec.Meters = nil
			}
			for i := range rec.Runs {
				if r := &rec.Runs[i]; c.stopped(r) {
					r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 1.5, 2.5, 1)
				}
			}
			s := Derive(rec)
			m := row(t, s, "mining", "mining").Metrics
			require.Equal(t, c.n, m[Throughput].N)
			require.Equal(t, c.ratios, m[RelativeThroughput].N)
			require.Contains(t, codes(s.Flags), "suspended")
			if c.n == 5 {
				near(t, 2e6, m[Throughput].Value)
			}
		})
	}
}

// A run that failed says so too: it may be why.
func TestSuspendedRunThatFailed(t *testing.T) {
	for name, phases := range map[string]int{"in its window": 2, "before it": 1} {
		t.Run(name, func(t *testing.T) {
			rec := newWorld().record()
			r := &rec.Runs[1]
			r.Status, r.Error, r.Phases = Failed, "the worker is stopped", r.Phases[:phases]
			r.step(UseKey(TraceSuspended, "mining", CPUDevice), Counter, 0.5, 3.5, 3)
			s := Derive(rec)
			i := slices.IndexFunc(s.Flags, func(f Warning) bool { return f.Code == "suspended" })
			require.GreaterOrEqual(t, i, 0)
			require.Equal(t, "mining/1", s.Flags[i].Run)
			require.Contains(t, s.Flags[i].Text, "from second 4.50 on")
		})
	}
}

// A device elsewhere works on while its pool is stopped: what its shares say is
// judged by how they came, and the stop is named.
func TestSuspendedPool(t *testing.T) {
	for who, left := range map[TraceKey]bool{HarnessSuspended: false, MachineSuspended: true} {
		rec := newWorld().record()
		for i := range rec.Runs {
			if r := &rec.Runs[i]; r.Scenario == "mining" {
				r.Uses = slices.Clone(r.Uses)
				r.Uses[0].Shares = &Shares{Difficulty: 1, Work: 1}
			}
		}
		rec.Runs[1].step(who, Counter, 1.5, 2.5, 1)
		s := Derive(rec)
		require.Contains(t, codes(s.Flags), "suspended", who)
		require.Equal(t, left, slices.Contains(codes(s.Flags), "window-left-out"), who)
	}
}

// A clock that was set is named where it was, and once; slewing it is no step,
// and a run that does not say how its clock went is judged by its anchor.
func TestClockSteps(t *testing.T) {
	at := func(v ...float64) *Record {
		rec := newWorld().record()
		for i := range rec.Runs {
			rec.Runs[i].step(HostWall, Gauge, 1, 2, 0)
			tr := &rec.Runs[i].Traces[len(rec.Runs[i].Traces)-1]
			for k := range tr.V {
				tr.V[k] = Float(v[min(4*i+k, len(v)-1)])
			}
		}
		return rec
	}
	texts := func(rec *Record) (out []string) {
		for _, f := range Derive(rec).Flags {
			if f.Code == "clock-step" {
				out = append(out, f.Run+": "+strings.TrimPrefix(f.Text, "the wall clock was set by "))
			}
		}
		return out
	}
	require.Empty(t, texts(at(7200)), "only a change says something")
	require.Equal(t, []string{"idle/1: +7.00 s before second 2.00"}, texts(at(0, 0, 7)))
	require.Equal(t, []string{"mining/1: +7.00 s before second 4.00"}, texts(at(0, 0, 0, 0, 7)), "between two runs")
	require.Equal(t, []string{"idle/1: +7.00 s before second 1.00", "idle/1: -7.00 s before second 2.00"}, texts(at(0, 7, 0)))
	require.Empty(t, texts(at(0, 0.3, 0.6, 0.9, 1.2)), "8 % is the fastest that chrony slews")
	rec := at(0, 0, 7)
	rec.Runs[0].Traces[len(rec.Runs[0].Traces)-1].V[1] = Absent()
	require.Equal(t, []string{"idle/1: +7.00 s before second 2.00"}, texts(rec))
	rec = at(0)
	rec.Runs[2].Traces = rec.Runs[2].Traces[:len(rec.Runs[2].Traces)-1]
	rec.Runs[2].Anchor.UTC = rec.Runs[2].Anchor.UTC.Add(-2e9)
	require.Equal(t, []string{": -2.0 s before run 3"}, texts(rec))
}
