package results

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// instrument is a counter as a session reads it: true energy, cut to a step and
// renewed now and then, read at intervals.
type instrument struct {
	step, renewed, poll float64 // J, s, s
	idle, load          float64 // W
	window              float64 // s
	phase               float64 // of its steps and its clock, 0 to 1
}

// pace is the longest time from a move to the next.
func pace(tr *Trace) float64 {
	s := indexed(free(&Record{Runs: []Run{{Traces: []Trace{*tr}}}})).look("m", Channel{Name: "e", Kind: Counter})
	if math.IsNaN(s.pace) {
		return 0
	}
	return s.pace
}

// session returns the runs that a session with it would record, in turn idle and
// loaded, and the true energy of each window. As the harness does, a run waits
// before and after its window for the counter to move, for a while.
func (x instrument) session(r *rand.Rand, rounds int) (runs []Run, truth []float64) {
	t, joules := 0.0, x.phase*x.step
	next, shown := x.phase*x.renewed, 0.0
	watts := x.idle
	advance := func(to float64) { // the instrument lives on
		for t < to {
			at := to
			if x.renewed > 0 && next < at {
				at = next
			}
			joules += watts * (at - t)
			if t = at; x.renewed > 0 && t == next {
				shown, next = joules, next+x.renewed*(0.98+0.04*r.Float64())
			}
		}
	}
	reads := func() Float {
		v := shown
		if x.renewed == 0 {
			v = joules
		}
		return Float(1e6 + math.Floor(v/x.step)*x.step)
	}
	for i := range 2 * rounds {
		tr := Trace{Key: MeterKey("m", "e"), Unit: Joule, Kind: Counter}
		poll := t
		until := func(end float64, done func() bool) {
			for t < end && (done == nil || !done()) {
				advance(min(poll, end))
				if t == poll {
					tr.Add(Float(t), reads(), nil)
					poll += x.poll * (1 + 0.05*r.Float64())
				}
			}
		}
		moved := func(since float64) func() bool {
			return func() bool {
				for k := len(tr.T) - 1; k > 0 && float64(tr.T[k]) >= since; k-- {
					if tr.V[k] > tr.V[k-1] {
						return true
					}
				}
				return false
			}
		}
		run := Run{Scenario: "idle", Status: OK}
		watts = x.idle
		until(t+0.2, nil)
		if i%2 == 1 {
			run.Scenario, run.Uses = "mining", []Use{{Use: "mining"}}
			watts = x.load
			until(t+0.5, nil)
		}
		until(t+x.window, moved(float64(tr.T[0])))
		a, before := t, joules
		until(t+x.window, nil)
		truth = append(truth, joules-before)
		run.Phases = []Phase{{Name: PhaseMeasure, From: Float(a), To: Float(t)}}
		until(t+max(3+2*x.poll, min(1.5*pace(&tr), x.window)), moved(t))
		run.Traces = []Trace{tr}
		runs = append(runs, run)
	}
	return runs, truth
}

// TestCountersAreRightOrAbsent: whatever a counter's steps, however often it is
// renewed and wherever its steps fall, the joules of a window lie within what is
// stated of them, or there are none and it is said why. A step is in the budget
// in full.
func TestCountersAreRightOrAbsent(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 1))
	there, absent, beyond, worst := 0, 0, 0, 0.0
	for range 400 {
		x := instrument{
			step:  math.Pow(10, -4+9*r.Float64()), // 0.1 mJ to 100 kJ
			poll:  []float64{0.1, 1}[r.IntN(2)],
			idle:  5 * math.Pow(10, 2*r.Float64()),
			phase: r.Float64(), window: 1 + 4*r.Float64()*r.Float64()*r.Float64()*10,
			renewed: []float64{0, 0, 1.03, 2, 5}[r.IntN(5)],
		}
		x.load = x.idle * (1 + 9*r.Float64())
		runs, truth := x.session(r, 3)
		in := indexed(free(&Record{Runs: runs}))
		s := in.look("m", Channel{Name: "e", Unit: Joule, Kind: Counter, Boundary: Wall, Origin: Measured, Accuracy: Accuracy{Gain: 0, Resolution: Absent()}})
		for i := range runs {
			p, _ := runs[i].Phase(PhaseMeasure)
			a, b := float64(p.From), float64(p.To)
			e, why := s.energy(&in.runs[i], a, b)
			if e.IsAbsent() {
				require.NotEmpty(t, why)
				absent++
				continue
			}
			there++
			period := 0.0
			if x.poll == 1 {
				period = 1 // what is asked over a wire states how often it is worth asking
			}
			u := s.uncertain(runs[i].Trace(MeterKey("m", "e")), a, b, 0, period)
			off := math.Abs(float64(e) - truth[i])
			require.GreaterOrEqual(t, u.quantisation, x.step*(1-1e-6), "%+v", x)
			require.Less(t, u.quantisation, float64(e), "a step that reaches the difference: %+v", x)
			if worst = max(worst, off/u.linear()); !(off <= u.linear()) {
				beyond++
				t.Logf("%.4g J instead of %.4g, ± %+v: %+v", e, truth[i], u, x)
			}
		}
	}
	t.Logf("%d windows with joules, %d without, %d beyond what is stated, the worst at %.2f of it", there, absent, beyond, worst)
	require.Zero(t, beyond)
	require.Greater(t, there, 800, "a good one that is refused is the second worst")
	require.Greater(t, absent, 100)
}

// TestRenewedEachSecond: a fine counter that is renewed once in 1.03 s, as
// QEMU's, gives every window of 1.3 s its joules; one that is renewed too seldom
// for it says what would do.
func TestRenewedEachSecond(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 2))
	for _, c := range []struct {
		renewed, window float64
		all             bool
	}{{1.03, 1.3, true}, {1.03, 6, true}, {2, 6, true}, {5, 20, true}, {5, 1.3, false}} {
		absent := 0
		for phase := range 20 {
			x := instrument{step: 1e-6, renewed: c.renewed, poll: 0.1, idle: 20, load: 60, window: c.window, phase: float64(phase) / 20}
			runs, truth := x.session(r, 3)
			in := indexed(free(&Record{Runs: runs}))
			s := in.look("m", Channel{Name: "e", Unit: Joule, Kind: Counter, Boundary: Package, Origin: Measured, Accuracy: Accuracy{Resolution: 1e-6}})
			for i := range runs {
				p, _ := runs[i].Phase(PhaseMeasure)
				e, why := s.energy(&in.runs[i], float64(p.From), float64(p.To))
				if c.all {
					require.Empty(t, why, "%+v", x)
					require.InDelta(t, truth[i], float64(e), s.uncertain(runs[i].Trace(MeterKey("m", "e")), float64(p.From), float64(p.To), 0, 0).linear(), "%+v", x)
				} else if e.IsAbsent() {
					absent++
					require.Regexp(t, `^the counter e of meter m (did not move|moved once) in the 1.3 s of the window`, why.Why)
					require.Equal(t, MeterStill, why.Status)
				}
			}
		}
		require.Equal(t, !c.all, absent > 0, "%+v", c)
	}
}

// metered is a record of idle and loaded runs of 3 s with one channel, read at
// intervals as value has it at each second.
func metered(c Channel, value func(load bool, t float64) float64) *Record {
	rec := &Record{Plan: Plan{Scenarios: []string{"idle", "mining"}, Rounds: 6, Window: 3}, Meters: []Meter{{Name: "m", Period: Absent(), Channels: []Channel{c}}}}
	rec.read("m", c.Name, c.Kind, value)
	return rec
}

// read adds the readings of a channel to the runs, which it makes if there are
// none.
func (rec *Record) read(meter, channel string, kind Kind, value func(load bool, t float64) float64) {
	if len(rec.Runs) == 0 {
		for i := range 12 {
			at := Float(5 * i)
			run := Run{Scenario: "idle", Round: i/2 + 1, Status: OK, Uses: []Use{}, Phases: []Phase{{PhaseMeasure, at + 1, at + 4}}}
			if i%2 == 1 {
				run.Scenario, run.Uses = "mining", worldUses["mining"]
				run.Traces = []Trace{{Key: UseKey(TraceWork, "mining", CPUDevice), Kind: Counter, T: []Float{at, at + 5}, V: []Float{0, 5e6}}}
			}
			rec.Runs = append(rec.Runs, run)
		}
	}
	for i := range rec.Runs {
		tr := Trace{Key: MeterKey(meter, channel), Kind: kind}
		for k := range 51 {
			at := float64(5*i) + float64(k)/10
			v, err := Float(value(i%2 == 1, at)), error(nil)
			if v.IsAbsent() {
				err = errors.New("it says nothing")
			}
			tr.Add(Float(at), v, err)
		}
		rec.Runs[i].Traces = append(rec.Runs[i].Traces, tr)
	}
}

// TestWhatDoesNotMove: whatever value an instrument says when it has none, it
// does not move under a load and so gives no figure. A coarse meter may stand
// still in truth.
func TestWhatDoesNotMove(t *testing.T) {
	gauge := Channel{Name: "p", Unit: Watt, Kind: Gauge, Boundary: Wall, Total: Wall, Origin: Measured, Accuracy: Accuracy{Gain: Absent(), Resolution: Absent()}}
	counter := gauge
	counter.Name, counter.Unit, counter.Kind = "e", Joule, Counter
	stated := func(c Channel, step Float) Channel { c.Accuracy.Resolution = step; return c }
	always := func(v float64) func(bool, float64) float64 { return func(bool, float64) float64 { return v } }
	declared := gauge
	declared.Origin = Declared
	for _, c := range []struct {
		name string
		c    Channel
		says func(load bool, t float64) float64
		want float64 // W under load; 0 for none
		why  string
	}{
		{"a counter at 2^63", stated(counter, 1), always(1 << 63), 0, "did not move in the 3 s of the window; it has stopped, or says no value"},
		{"a counter at all ones", counter, always(math.MaxUint32 * 3600), 0, "did not move"},
		{"a counter at a vendor's blank", stated(counter, 3600), always(9.2233720368e18), 0, "one step is 3600 J, and 100 W take 36 s to count it: a window of 72 s or more would do"},
		{"a gauge at 32767", stated(gauge, 1), always(32767), 0, "it does not see the load"},
		{"a gauge at 2^15 tenths", gauge, always(3276.7), 0, "it does not see the load"},
		{"a gauge at words in the wrong order", gauge, always(2.004138469696045), 0, "it does not see the load"},
		{"a gauge at milliwatts", gauge, func(load bool, t float64) float64 {
			if load {
				return 0.412 + 1e-6*math.Sin(t)
			}
			return 0.3
		}, 0, "412 W would fit"},
		{"a counter of milliwatts", counter, func(_ bool, t float64) float64 { return 1 + 0.412*t + 1e-4*math.Sin(t) }, 0, "412 W would fit"},
		{"a counter that first moves in the window", counter, func(_ bool, t float64) float64 {
			return 400*math.Floor(t/5) + 100*math.Floor((math.Mod(t, 5)+0.11)/1.2)
		}, 0, "moves once in 1.2 s and was not seen to move before the window: a longer start would do (--settle 3s --warmup 3s)"},
		{"a meter of 1 W", stated(gauge, 1), always(139), 139, ""},
		{"a meter of 10 W", stated(gauge, 10), always(3200), 3200, ""},
		{"a fine gauge that moves between idle and load", stated(gauge, 0.1), func(load bool, _ float64) float64 {
			if load {
				return 412.3
			}
			return 230.1
		}, 412.3, ""},
		{"a figure that somebody stated", declared, always(412.35), 412.35, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Derive(metered(c.c, c.says))
			for _, m := range []Figure{row(t, s, "mining", "mining").Metrics[Power], s.Meters[1].Power} {
				if c.want > 0 {
					require.InDelta(t, c.want, float64(m.Value), 1e-6)
					continue
				}
				require.True(t, m.Value.IsAbsent(), "%v W", m.Value)
				require.Contains(t, m.Why, c.why)
				require.Nil(t, m.Budget)
			}
			if c.want == 0 {
				require.Contains(t, codes(s.Flags), "energy-gap")
				require.Contains(t, row(t, s, "mining", "mining").Metrics[WorkPerEnergy].Why, c.why, "the run says why it has no watts")
			}
		})
	}
}

// TestStepsAreLearnt: a step is that of the instrument, however often it is
// read, and what is coarser than it states is known by its steps.
func TestStepsAreLearnt(t *testing.T) {
	register := func(step float64) func(bool, float64) float64 {
		return func(_ bool, t float64) float64 { return 1e6 + math.Floor(t*4000/step)*step }
	}
	counter := Channel{Name: "e", Unit: Joule, Kind: Counter, Boundary: Wall, Total: Wall, Origin: Measured, Accuracy: Accuracy{Resolution: Absent()}}
	gauge := Channel{Name: "p", Unit: Watt, Kind: Gauge, Boundary: Wall, Total: Wall, Origin: Measured, Accuracy: Accuracy{Resolution: Absent()}}
	tenths := func(step float64) func(bool, float64) float64 {
		return func(load bool, t float64) float64 { return step * math.Round((400+60*math.Sin(t))/step) }
	}
	for _, c := range []struct {
		name string
		c    Channel
		says func(bool, float64) float64
		step float64
		half float64 // of the budget at 4 kW and 3 s, or of the gauge's 400 W
	}{
		{"a register of 3.6 kJ", counter, register(3600), 3600, 0.3},
		{"a register of 100 J", counter, register(100), 100, 100. / 12000},
		{"a gauge of 10 W", gauge, tenths(10), 10, 5. / 400},
		{"a gauge of 1 W", gauge, tenths(1), 1, 0.5 / 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := metered(c.c, c.says)
			require.InDelta(t, c.step, (&[]sensor{indexed(free(rec)).look("m", c.c)}[0]).resolution(), 1e-9)
			m := row(t, Derive(rec), "mining", "mining").Metrics[Power]
			require.InDelta(t, c.half, half(m.Budget, Quantisation), c.half/10)
			finer := c.c
			finer.Accuracy.Resolution = Float(c.step / 10)
			s := indexed(free(rec)).look("m", finer)
			if s.values >= enough {
				require.InDelta(t, c.step, s.resolution(), 1e-9, "it states a tenth")
			}
		})
	}
	m := row(t, Derive(metered(counter, register(3600))), "mining", "mining").Metrics
	require.Equal(t, Grade("D"), m[Power].Grade, "±30 % is no evidence of a wall meter's grade")
	require.True(t, m[NetPower].Status.Unresolved(), m[NetPower].Why)
}

// TestDeadSiblings: of two channels of one place the one that lives has the
// total, and of two totals the one that gave watts, whatever the order in which
// they are preferred.
func TestDeadSiblings(t *testing.T) {
	place := func(name string, kind Kind, at Boundary, place string) Channel {
		c := Channel{Name: name, Unit: Watt, Kind: kind, Boundary: at, Total: at, Origin: Measured, Place: place, Accuracy: Accuracy{Gain: 0.01, Resolution: 0.1}}
		if kind == Counter {
			c.Unit = Joule
		}
		return c
	}
	power := func(load bool, t float64) float64 {
		if load {
			return 139 + math.Sin(t)
		}
		return 80 + math.Sin(t)
	}
	dead := func(bool, float64) float64 { return 7 }
	none := func(bool, float64) float64 { return math.NaN() }
	counts := func(_ bool, t float64) float64 { return 139*t + math.Sin(t) }
	for _, c := range []struct {
		name          string
		first         Channel
		says          func(bool, float64) float64
		second        Channel
		other         func(bool, float64) float64
		quoted, flags string
	}{
		{"a counter that stands, and its power", place("e", Counter, Wall, "outlet3"), dead, place("p", Gauge, Wall, "outlet3"), power, "p", "did not move"},
		{"a counter that is refused, and its power", place("e", Counter, Wall, "outlet3"), none, place("p", Gauge, Wall, "outlet3"), power, "p", "gave no reading: it says nothing"},
		{"both live", place("e", Counter, Wall, "outlet3"), counts, place("p", Gauge, Wall, "outlet3"), power, "e", ""},
		{"power first, which is refused", place("p", Gauge, Wall, "outlet3"), none, place("e", Counter, Wall, "outlet3"), counts, "e", "gave no reading"},
		{"a dead wall and a package", place("w", Counter, Wall, ""), dead, place("pkg", Gauge, Package, ""), power, "pkg", "did not move"},
		{"a package and a dead wall", place("pkg", Gauge, Package, ""), power, place("w", Counter, Wall, ""), dead, "pkg", "did not move"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := metered(c.first, c.says)
			rec.Meters[0].Channels = append(rec.Meters[0].Channels, c.second)
			rec.read("m", c.second.Name, c.second.Kind, c.other)
			s := Derive(rec)
			require.Equal(t, []string{c.quoted}, s.PrimaryMeter.Channels)
			m := row(t, s, "mining", "mining").Metrics[Power]
			require.InDelta(t, 139, float64(m.Value), 2, m.Why)
			var said []string
			for _, f := range s.Flags {
				if f.Code == "dead-source" {
					said = append(said, f.Text)
				}
			}
			if c.flags == "" {
				require.Empty(t, said)
				return
			}
			require.Len(t, said, 1)
			require.Contains(t, said[0], c.flags)
		})
	}
}
