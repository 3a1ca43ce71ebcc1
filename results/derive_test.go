package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchmath"
	"gonum.org/v1/gonum/stat/distuv"
)

// world builds a record whose rates, watts and doubts are known.
type world struct {
	rounds    int
	rate      func(scenario, use string, round int) float64 // work per second
	watts     func(scenario string, round int) float64
	stolen    float64 // share of CPU time
	clock     func(scenario string, round int) float64
	scenarios []string
	breakRead string // scenario whose meter has a gap in its window
	origin    Origin
}

func newWorld() world {
	rates := map[string]float64{"mining/mining": 2e6, "training/training": 1000, "compute/compute": 2e10, "mullet/training": 900, "mullet/mining": 3e5}
	return world{
		rounds: 6, origin: Measured, scenarios: []string{"idle", "mining", "training", "compute", "mullet"},
		rate: func(s, u string, _ int) float64 { return rates[s+"/"+u] },
		watts: func(s string, _ int) float64 {
			return map[string]float64{"idle": 50, "mining": 150, "training": 200, "compute": 250, "mullet": 220}[s]
		},
		clock: func(string, int) float64 { return 3e9 },
	}
}

var worldUses = map[string][]Use{
	"idle":     {},
	"mining":   {{Use: "mining", Device: CPUDevice, Workload: "hashscan", Impl: "generic", Role: Alone, Unit: Hash}},
	"training": {{Use: "training", Device: CPUDevice, Workload: "training", Impl: "gonum", Role: Alone, Threads: 2, Unit: Sample, FlopPerCount: 1.636e6}},
	"compute":  {{Use: "compute", Device: CPUDevice, Workload: "matmul", Impl: "gonum", Role: Alone, Threads: 2, Unit: FLOP, FlopPerCount: 1}},
	"control":  {{Use: "control", Device: CPUDevice, Workload: "hashscan", Impl: "stdlib", Role: Alone, Unit: Hash}},
	"mullet": {{Use: "training", Device: CPUDevice, Workload: "training", Impl: "gonum", Role: Foreground, Unit: Sample, FlopPerCount: 1.636e6},
		{Use: "mining", Device: CPUDevice, Workload: "hashscan", Impl: "generic", Role: Background, Unit: Hash}},
}

func (w world) record() *Record {
	rec := &Record{
		Start: time.Unix(1.7e9, 0).UTC(),
		Node:  Node{Devices: []Device{{ID: CPUDevice, Kind: KindCPU, Lanes: 2}}},
		Plan:  Plan{Scenarios: w.scenarios, Rounds: w.rounds, Warmup: 1, Window: 2, Target: true},
		Kernels: []Kernel{
			{Name: "sha256d", Device: CPUDevice, Impls: []Impl{{Name: "gonum", Rate: 9e9, Peak: 9e9, Unit: "hash/s"}}},
			{Name: "sgemm", Device: CPUDevice, Impls: []Impl{
				{Name: "gonum", Rate: 4e9, Peak: Absent(), Unit: "FLOP/s"}, {Name: "avx2", Rate: 4.5e9, Peak: 5e9, Unit: "FLOP/s"},
			}},
		},
		Meters: []Meter{{Name: "m", Channels: []Channel{
			{Name: "a", Unit: Joule, Kind: Counter, Boundary: Package, Origin: w.origin, Total: Package, Accuracy: Accuracy{Gain: 0.02, Resolution: 1e-6}},
			{Name: "b", Unit: Watt, Kind: Gauge, Boundary: Package, Origin: w.origin, Total: Package, Accuracy: Accuracy{Gain: 0.05, Resolution: 1e-6}},
			{Name: "core", Unit: Joule, Kind: Counter, Boundary: Package, Origin: w.origin},
		}}},
	}
	t := 0.0
	for round := 1; round <= w.rounds; round++ {
		order := slices.Clone(rec.Plan.Scenarios)
		if round%2 == 0 {
			slices.Reverse(order)
		}
		for _, sc := range order {
			r := Run{Scenario: sc, Round: round, Uses: worldUses[sc], Status: OK, Anchor: Anchor{T: Float(t), UTC: rec.Start.Add(time.Duration(t * 1e9))}}
			from, to := t+1.25, t+3.25
			r.Phases = []Phase{{PhaseWarmup, Float(t + 0.25), Float(from)}, {PhaseMeasure, Float(from), Float(to)}}
			// Off the grid of the window's edges, so that they are interpolated.
			sample := func(key TraceKey, kind Kind, step float64, f func(t float64) float64) {
				tr := Trace{Key: key, Kind: kind}
				for x := t + 0.013; x < t+4; x += step {
					at := x + 1e-3*math.Sin(x*x) // a sampler is late
					tr.T, tr.V = append(tr.T, Float(at)), append(tr.V, Float(f(at)))
				}
				r.Traces = append(r.Traces, tr)
			}
			p := w.watts(sc, round)
			sample(MeterKey("m", "a"), Counter, 0.1, func(x float64) float64 { return 0.75 * p * x })
			sample(MeterKey("m", "b"), Gauge, 0.1, func(float64) float64 { return 0.25 * p })
			sample(MeterKey("m", "core"), Counter, 0.1, func(x float64) float64 { return 0.5 * p * x })
			if sc == w.breakRead {
				r.Traces[0].V[20] = Absent()
			}
			for _, u := range r.Uses {
				rate := w.rate(sc, u.Use, round)
				sample(u.Key(TraceWork), Counter, 0.07, func(x float64) float64 { return rate * (x - t) })
				sample(u.Key(TraceCPUTime), Counter, 0.1, func(x float64) float64 { return 1.9 / float64(len(r.Uses)) * (x - t) })
			}
			sample(HostBusy, Counter, 0.1, func(x float64) float64 { return 1.95 * x })
			sample(HarnessCPU, Counter, 0.1, func(x float64) float64 { return 0.01 * x })
			sample(HostSteal, Counter, 0.1, func(x float64) float64 { return 2 * w.stolen * x })
			sample(TraceKey{Kind: TraceClock, Device: CPUDevice}, Gauge, 3.9, func(float64) float64 { return w.clock(sc, round) })
			if sc == "idle" {
				r.Traces = slices.DeleteFunc(r.Traces, func(tr Trace) bool { return tr.Key == HostBusy })
			}
			rec.Runs = append(rec.Runs, r)
			t += 4
		}
	}
	return rec
}

func row(t *testing.T, s Summary, scenario, use string) Row {
	t.Helper()
	i := slices.IndexFunc(s.Rows, func(r Row) bool { return r.Scenario == scenario && r.Use == use })
	require.GreaterOrEqual(t, i, 0, "%s/%s", scenario, use)
	return s.Rows[i]
}

func codes(ws []Warning) (out []string) {
	for _, w := range ws {
		if !slices.Contains(out, w.Code) {
			out = append(out, w.Code)
		}
	}
	return out
}

func near(t *testing.T, want float64, got Float) {
	t.Helper()
	require.InEpsilon(t, want, float64(got), 1e-9)
}

func TestDeriveKnownWorld(t *testing.T) {
	s := Derive(newWorld().record())
	require.Empty(t, s.Flags)
	var got []string
	for _, r := range s.Rows {
		got = append(got, r.Scenario+"/"+r.Use)
		for _, name := range []string{Throughput, Power, WorkPerEnergy, EnergyPerWork} {
			require.Contains(t, r.Metrics, name, "%s/%s", r.Scenario, r.Use)
		}
	}
	require.Equal(t, []string{"idle/idle", "mining/mining", "training/training", "compute/compute", "mullet/training", "mullet/mining"}, got)

	m := row(t, s, "mining", "mining").Metrics
	near(t, 2e6, m[Throughput].Value)
	require.Equal(t, Unit("hash/s"), m[Throughput].Unit)
	near(t, 150, m[Power].Value)
	near(t, 100, m[NetPower].Value)
	near(t, 6*150*2, m[Energy].Value)
	near(t, 2e6/150, m[WorkPerEnergy].Value)
	near(t, 150/2e6, m[EnergyPerWork].Value)
	require.Equal(t, Unit("J/hash"), m[EnergyPerWork].Unit)
	near(t, 2e6/1.9, m[CPUThroughput].Value)
	// Three quarters of the watts are within 2 %, one quarter within 5 %.
	require.Equal(t, Figure{Value: m[Power].Value, Low: m[Power].Low, High: m[Power].High, Unit: Watt, N: 6, Budget: &Budget{
		Terms:      []Term{{Repeats, 0, false}, {Gain, 0.0275, true}, {Quantisation, 0, false}, {Timing, 0, false}, {Sampling, 0, false}},
		Quadrature: 0.0275, Linear: 0.0275,
	}, Provenance: Provenance{Boundary: Package, Origin: Measured, Grade: "D", Instrument: 0.0275}}, m[Power])

	idle := row(t, s, "idle", "idle").Metrics
	near(t, 50, idle[Power].Value)
	require.True(t, idle[Throughput].Value.IsAbsent())
	require.Equal(t, Because(IdleScenario), idle[EnergyPerWork].Reason)

	near(t, 900e0/1000, s.CoRunCost.TrainingKept.Value)
	near(t, 3e5, s.CoRunCost.HashesGained.Value)
	near(t, 20, s.CoRunCost.ExtraPower.Value)
	near(t, 20/3e5, s.CoRunCost.EnergyPer.Value)
	near(t, 2e6/150/(1000./200), s.Exchange[0].HashesPerSample.Value)
	require.Equal(t, "training", s.Exchange[0].Scenario)
	require.Equal(t, "mining", s.Yields[0].Use)
	near(t, 3.6e6*2e6/150, s.Yields[0].PerKWh.Value)
	near(t, 3.6e6*2e6/100, s.Yields[0].Net.Value)
	m = row(t, s, "training", "training").Metrics
	near(t, 1.636e9, m[FlopRate].Value)
	near(t, 1.636e9/(2*4e9), m[KernelFraction].Value)
	near(t, 1.636e9/(2*5e9), m[PeakFraction].Value)
	near(t, 2e10/(2*5e9), row(t, s, "compute", "compute").Metrics[PeakFraction].Value)
	require.NotContains(t, row(t, s, "mining", "mining").Metrics, PeakFraction)
}

// A machine that is slower in one round than in the next is so for the control
// too: where a ratio of medians goes wrong, the median of the ratios does not.
func TestRelativeIsPairedByRound(t *testing.T) {
	w := newWorld()
	w.scenarios = []string{"idle", "control", "mining", "training"}
	noise := []float64{1, 0.5, 0.8, 1.2, 0.7, 1.1}
	w.rate = func(s, _ string, round int) float64 {
		rate := map[string]float64{"control": 5e5, "mining": 2e6, "training": 1000}[s] * noise[round-1]
		if s == "mining" && round == 6 || s == "control" && round == 2 {
			rate /= 10 // someone else was there
		}
		return rate
	}
	w.watts = func(s string, round int) float64 {
		return map[string]float64{"idle": 50, "control": 120, "mining": 150, "training": 200}[s] * noise[round-1]
	}
	rec := w.record()
	s := Derive(rec)
	m, control := row(t, s, "mining", "mining").Metrics, row(t, s, "control", "control").Metrics
	near(t, 4, m[RelativeThroughput].Value)
	require.Equal(t, 6, m[RelativeThroughput].N)
	require.Equal(t, Ratio, m[RelativeThroughput].Unit)
	require.Greater(t, math.Abs(float64(m[Throughput].Value/control[Throughput].Value)/4-1), 0.01)
	near(t, 150./120, m[RelativePower].Value)
	near(t, 4/(150./120), m[RelativeWorkPerEnergy].Value)
	require.Equal(t, Measured, m[RelativePower].Origin)
	require.Less(t, m[RelativePower].Instrument, m[Power].Instrument, "the gain cancels")
	require.Equal(t, Sample.Per(Hash), row(t, s, "training", "training").Metrics[RelativeThroughput].Unit)
	idle := row(t, s, "idle", "idle").Metrics
	near(t, 50./120, idle[RelativePower].Value)
	require.NotContains(t, idle, RelativeThroughput)
	require.NotContains(t, control, RelativePower)

	for i := range rec.Runs {
		if r := &rec.Runs[i]; r.Scenario == "control" && r.Round == 3 {
			r.Status = Failed
		}
	}
	require.Equal(t, 5, row(t, Derive(rec), "mining", "mining").Metrics[RelativeThroughput].N)

	for i := range rec.Runs { // a gap of the meter in one window of the control
		if r := &rec.Runs[i]; r.Scenario == "control" && r.Round == 5 {
			r.Traces[0].V[20] = Absent()
		}
	}
	p := row(t, Derive(rec), "mining", "mining").Metrics[RelativePower]
	require.Equal(t, 4, p.N)
	require.False(t, p.Instrument.IsAbsent())
	require.Equal(t, []string{Repeats}, p.Budget.Unstated, "four windows have no interval; the meter is known")

	rec = newWorld().record()
	require.NotContains(t, row(t, Derive(rec), "mining", "mining").Metrics, RelativeThroughput)
}

// One channel's gap must not become a smaller, plausible sum.
func TestGapLeavesWattsAbsentAndThroughputKept(t *testing.T) {
	w := newWorld()
	w.breakRead = "mining"
	s := Derive(w.record())
	m := row(t, s, "mining", "mining").Metrics
	near(t, 2e6, m[Throughput].Value)
	for _, name := range []string{Power, Energy, NetPower, WorkPerEnergy, EnergyPerWork} {
		require.True(t, m[name].Value.IsAbsent(), name)
		require.NotEmpty(t, m[name].Why, name)
	}
	require.Equal(t, []string{"energy-gap"}, codes(s.Flags))
	require.Nil(t, s.Exchange)
	near(t, 200, row(t, s, "training", "training").Metrics[Power].Value)
}

func TestFailedAndVoidRunsDoNotCount(t *testing.T) {
	rec := newWorld().record()
	for i := range rec.Runs {
		if r := &rec.Runs[i]; r.Scenario == "mining" {
			r.Status = []Status{Failed, Void, Stopped}[r.Round%3]
		}
	}
	s := Derive(rec)
	require.False(t, slices.ContainsFunc(s.Rows, func(r Row) bool { return r.Scenario == "mining" }))
}

// reach has the training that runs alone reach a target, as a model of these parameters.
func reach(r *Record, params map[string]string) {
	for i := range r.Runs {
		if r.Runs[i].Scenario == "training" {
			r.Runs[i].Uses[0].Target, r.Runs[i].Uses[0].Params = &Target{Metric: "loss", Goal: 4, Reached: 3.9, Steps: 120}, params
		}
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*world)
		rec  func(*Record)
		want []string
	}{
		{"steal", func(w *world) { w.stolen = 0.012 }, nil, []string{"stolen-time"}},
		{"little steal", func(w *world) { w.stolen = 0.008 }, nil, nil},
		{"clock", func(w *world) {
			w.clock = func(sc string, r int) float64 { return 3e9 - 0.07e9*float64(r/6) }
		}, nil, []string{"clock-moved"}},
		{"idle drift", func(w *world) {
			old := w.watts
			w.watts = func(sc string, r int) float64 { return old(sc, r) + float64(r) }
		}, nil, []string{"idle-drift"}},
		{"modelled", func(w *world) { w.origin = Modelled }, nil, []string{"modelled-power"}},
		{"declared", func(w *world) { w.origin = Declared }, nil, []string{"declared-power"}},
		{"few rounds", func(w *world) { w.rounds = 5 }, nil, []string{"few-rounds"}},
		{"no meter", nil, func(r *Record) { r.Meters = nil }, []string{"no-power"}},
		{"refused", nil, func(r *Record) { r.MeterProbes = []MeterProbe{{Meter: "rapl", State: "refused", Detail: "chmod"}} }, []string{"meter-refused"}},
		{"no target", nil, func(r *Record) { r.Plan.Target = false }, []string{"no-target"}},
		{"target left to runs alone, none reached", nil, func(r *Record) { r.Plan.Target, r.Plan.TargetAlone = true, true }, []string{"no-target"}},
		{"target of another model", nil, func(r *Record) {
			r.Plan.Target, r.Plan.TargetAlone = true, true
			reach(r, map[string]string{"model": "another"})
		}, []string{"no-target"}},
		{"target reached alone", nil, func(r *Record) {
			r.Plan.Target, r.Plan.TargetAlone = true, true
			reach(r, nil)
		}, nil},
		{"others", nil, func(r *Record) {
			for i := range r.Runs {
				if tr := r.Runs[i].Trace(HarnessCPU); tr != nil && r.Runs[i].Scenario == "compute" {
					tr.V = make([]Float, len(tr.V))
					tr = r.Runs[i].Trace(HostBusy)
					for j := range tr.V {
						tr.V[j] += tr.T[j] * 0.1
					}
				}
			}
		}, []string{"other-load"}},
		{"clock step", nil, func(r *Record) { r.Runs[3].Anchor.UTC = r.Runs[3].Anchor.UTC.Add(time.Hour) }, []string{"clock-step"}},
		{"unsteady", nil, func(r *Record) {
			tr := r.Runs[1].Trace(UseKey(TraceWork, "mining", CPUDevice))
			for j := range tr.V {
				if float64(tr.T[j]) < float64(r.Runs[1].Phases[0].From)+0.5 {
					tr.V[j] *= 0.9
				}
			}
		}, []string{"not-steady"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			if c.edit != nil {
				c.edit(&w)
			}
			rec := w.record()
			if c.rec != nil {
				c.rec(rec)
			}
			s := Derive(rec)
			require.Equal(t, c.want, codes(s.Flags))
			for _, f := range s.Flags {
				require.NotEmpty(t, f.Remedy, f.Code)
			}
		})
	}
}

// TestPartsAreNoNode: meters of parts alone give the node no power, and the
// record says what was read instead of that nothing was.
func TestPartsAreNoNode(t *testing.T) {
	w := newWorld()
	rec := w.record()
	rec.Meters[0].Name = "cards"
	for i := range rec.Meters[0].Channels {
		rec.Meters[0].Channels[i].Boundary, rec.Meters[0].Channels[i].Total = Card, ""
	}
	s := Derive(rec)
	require.Equal(t, Reason{PartialMeter, "no meter of the node, only of parts: cards at the card"}, s.Rows[0].Metrics[Power].Reason)
	at := slices.IndexFunc(s.Flags, func(f Warning) bool { return f.Code == "no-power" })
	require.GreaterOrEqual(t, at, 0)
	require.Contains(t, s.Flags[at].Text, "cards at the card: its traces are in the record")
	require.Contains(t, s.Flags[at].Remedy, "boundary=")
	rec.Meters = nil
	require.Equal(t, Because(NoMeter), Derive(rec).Rows[0].Metrics[Power].Reason)
}

func TestMarginalNotResolvable(t *testing.T) {
	w := newWorld()
	w.watts = func(sc string, round int) float64 { // extra power of ±3 W around zero
		if sc == "mullet" {
			return 200 + 3*float64(1-2*(round%2))
		}
		return 200
	}
	m := Derive(w.record()).CoRunCost
	require.True(t, m.EnergyPer.Value.IsAbsent())
	require.Equal(t, Because(ReachesZero), m.EnergyPer.Reason)
	require.Equal(t, ReachesZero, m.ExtraEnergy.Status)
	require.False(t, m.ExtraPower.Value.IsAbsent())

	w = newWorld()
	w.rounds = 2
	m = Derive(w.record()).CoRunCost
	require.Equal(t, NoInterval, m.EnergyPer.Status)
	require.Contains(t, m.EnergyPer.Why, "n = 2")
}

func TestHeadlineOf(t *testing.T) {
	ch := func(b Boundary, o Origin) []Channel { return []Channel{{Name: "x", Total: b, Origin: o}} }
	meters := []Meter{
		{Name: "model", Channels: ch(Wall, Modelled)},
		{Name: "declared", Channels: ch(Wall, Declared)},
		{Name: "rapl", Channels: ch(Package, Measured)},
		{Name: "bmc", Channels: ch(Chassis, Measured)},
		{Name: "overlap", Channels: []Channel{{Name: "psys", Boundary: Wall, Origin: Measured}}},
	}
	want := []string{"bmc", "rapl", "model", "declared"}
	for _, name := range want {
		h := Derive(&Record{Meters: meters}).PrimaryMeter
		require.NotNil(t, h)
		require.Equal(t, name, h.Meter)
		meters = slices.DeleteFunc(meters, func(m Meter) bool { return m.Name == name })
	}
	require.Nil(t, Derive(&Record{Meters: meters}).PrimaryMeter, "a channel that overlaps others is no total")
}

func TestTraceOver(t *testing.T) {
	nan := Absent()
	counter := Trace{Kind: Counter, T: []Float{0, 1, 2, 3, 4}, V: []Float{0, 10, 20, nan, 40}}
	gauge := Trace{Kind: Gauge, T: []Float{0, 1, 2, 4}, V: []Float{10, 20, 20, 40}}
	for _, c := range []struct {
		tr         *Trace
		a, b, want float64
	}{
		{&counter, 0, 2, 20},
		{&counter, 0.5, 1.5, 10},
		{&counter, 1.5, 4, math.NaN()}, // never bridged, though both ends are known
		{&counter, -1, 1, math.NaN()},  // no sample before
		{&counter, 2, 5, math.NaN()},   // nor after
		{&gauge, 0, 4, 15 + 20 + 60},
		{&gauge, 0.5, 1.5, 8.75 + 10},
		{&gauge, 2.5, 3, 0.5 * 27.5},
		{&gauge, 1, 1, math.NaN()},
	} {
		require.InDelta(t, c.want, float64(c.tr.Over(c.a, c.b)), 1e-12, "%v from %v to %v", c.tr.Kind, c.a, c.b)
	}
}

// Conservation: parts of a window add up to the whole, whatever the samples.
func TestTraceOverIsAdditive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		tr := Trace{Kind: []Kind{Counter, Gauge}[rng.IntN(2)]}
		for x, v := 0.0, 0.0; x < 10; x += 0.01 + rng.Float64() {
			v += rng.Float64()
			tr.T, tr.V = append(tr.T, Float(x)), append(tr.V, Float(v))
		}
		last := float64(tr.T[len(tr.T)-1])
		b := last * rng.Float64()
		whole := tr.Over(0, last)
		require.InDelta(t, float64(whole), float64(tr.Over(0, b)+tr.Over(b, last)), 1e-9)
	}
}

func TestMedianIntervalIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 60; n++ {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = rng.NormFloat64()
		}
		before := slices.Clone(xs)
		med, lo, hi := MedianInterval(xs)
		require.Equal(t, before, xs)
		want := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(xs), &benchmath.DefaultThresholds), 0.95)
		require.InDelta(t, want.Center, med, 1e-12, "n = %d", n)
		if n < 6 {
			require.True(t, math.IsNaN(lo) && math.IsNaN(hi), "n = %d", n)
			continue
		}
		sorted := slices.Sorted(slices.Values(xs))
		k := slices.Index(sorted, lo) // ranks cut off on each side
		require.Equal(t, sorted[n-1-k], hi)
		ranks := distuv.Binomial{N: float64(n), P: 0.5}
		require.LessOrEqual(t, 2*ranks.CDF(float64(k)), 0.05, "n = %d: covers", n)
		require.Greater(t, 2*ranks.CDF(float64(k+1)), 0.05, "n = %d: no wider than needed", n)
		if n == 6 { // benchmath takes intervals that are not symmetric in rank where it can
			require.Equal(t, want.Lo, lo)
			require.Equal(t, want.Hi, hi)
		}
	}
	_, lo, _ := MedianInterval(make([]float64, 20_000))
	require.Zero(t, lo, "no underflow for large samples")
}

func TestMedianIntervalCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{6, 10, 25} {
		hit := 0
		for range 4000 {
			xs := make([]float64, n)
			for i := range xs {
				xs[i] = rng.ExpFloat64()
			}
			if _, lo, hi := MedianInterval(xs); lo <= math.Ln2 && math.Ln2 <= hi {
				hit++
			}
		}
		require.GreaterOrEqual(t, float64(hit)/4000, 0.945, "n = %d", n)
	}
}

// TestGradeOf: a grade is as good as the figure's own budget, and no better
// than what is known of it.
func TestGradeOf(t *testing.T) {
	of := func(linear Float, unstated ...string) *Budget { return &Budget{Linear: linear, Unstated: unstated} }
	for _, c := range []struct {
		b    Boundary
		o    Origin
		u    *Budget
		win  float64
		want Grade
	}{
		{Wall, Measured, of(0.01), 600, "A"}, {Wall, Measured, of(0.01), 599, "B"}, {Wall, Measured, of(0.02), 300, "B"},
		{Wall, Measured, of(0.01, Repeats), 600, "A"}, {Wall, Measured, of(0.01, Gain), 600, "C"}, {Wall, Measured, of(0.01, Quantisation), 600, "C"},
		{Wall, Measured, of(0.05), 600, "C"}, {Wall, Measured, nil, 600, "C"}, {Chassis, Measured, of(0.01), 600, "C"},
		{Wall, Measured, of(0.051), 600, "D"}, {PSU, Measured, of(1.2), 600, "D"}, {Chassis, Measured, of(0.7, Gain), 60, "D"},
		{Package, Measured, of(0.001), 6000, "D"}, {Card, Measured, of(0.01), 600, "D"},
		{Wall, Modelled, of(0), 6000, "E"}, {Wall, Declared, of(0), 6000, "E"},
	} {
		require.Equal(t, c.want, GradeOf(c.b, c.o, c.u, c.win), "%+v", c)
	}
}

// A row is of one package and one number of threads: what differs in either is
// no repeat of the other.
func TestRowsOfOneWorkload(t *testing.T) {
	for name, change := range map[string]func(u *Use, i int){
		"two packages":       func(u *Use, i int) { u.Workload = []string{"example.com/a", "example.com/b"}[i] },
		"go test -cpu 1,4":   func(u *Use, i int) { u.Threads = []int{1, 4}[i] },
		"two kernels":        func(u *Use, i int) { u.Impl = []string{"generic", "avx2"}[i] },
		"the same once more": func(*Use, int) {},
	} {
		w := newWorld()
		w.scenarios = []string{"mining"}
		rec := w.record()
		for i := range rec.Runs {
			uses := slices.Clone(rec.Runs[i].Uses)
			change(&uses[0], i%2)
			rec.Runs[i].Uses = uses
		}
		s := Derive(rec)
		var got []string
		for i, r := range s.Rows {
			got = append(got, fmt.Sprint(r.Workload, " ", r.Impl, " ", r.Threads, " n=", r.Metrics[Throughput].N))
			y := s.Yields[i]
			require.Equal(t, []any{r.Scenario, r.Use, r.Workload, r.Impl, r.Threads, r.Role}, []any{y.Scenario, y.Use, y.Workload, y.Impl, y.Threads, y.Role})
		}
		require.Equal(t, map[string][]string{
			"two packages":       {"example.com/a generic 0 n=3", "example.com/b generic 0 n=3"},
			"go test -cpu 1,4":   {"hashscan generic 1 n=3", "hashscan generic 4 n=3"},
			"two kernels":        {"hashscan generic 0 n=3", "hashscan avx2 0 n=3"},
			"the same once more": {"hashscan generic 0 n=6"},
		}[name], got, name)
	}
}
