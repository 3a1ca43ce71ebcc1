package results

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func half(b *Budget, name string) float64 {
	i := slices.IndexFunc(b.Terms, func(t Term) bool { return t.Name == name })
	if i < 0 {
		return math.NaN()
	}
	return float64(b.Terms[i].HalfWidth)
}

// single is a session at two powers, read by a gauge that states its accuracy.
func single(idle, load float64, a Accuracy) *Record {
	w := newWorld()
	w.watts = func(sc string, _ int) float64 {
		if sc == "idle" {
			return idle
		}
		return load
	}
	rec := w.record()
	rec.Meters = []Meter{{Name: "m", Period: Absent(), Channels: []Channel{
		{Name: "b", Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured, Total: Wall, Accuracy: a},
	}}}
	for i := range rec.Runs {
		tr := rec.Runs[i].Trace(MeterKey("m", "b"))
		for j := range tr.V {
			tr.V[j] *= 4 // the world gives it a quarter of the power
		}
	}
	return rec
}

// TestNetOfTwoLargeReadings: 700 W − 400 W at 1 % each is 300 W ± 2.7 %.
func TestNetOfTwoLargeReadings(t *testing.T) {
	m := row(t, Derive(single(400, 700, Accuracy{Gain: 0.01, Resolution: 1e-3})), "mining", "mining").Metrics
	near(t, 300, m[NetPower].Value)
	require.InDelta(t, math.Hypot(7, 4)/300, half(m[NetPower].Budget, Gain), 1e-6)
	require.InDelta(t, 0.0269, float64(m[NetPower].Budget.Quadrature), 1e-4)
	require.InDelta(t, 0.01, half(m[Power].Budget, Gain), 1e-6)
	require.InDelta(t, 0.01, half(m[WorkPerEnergy].Budget, Gain), 1e-6)
}

// TestQuantisation: an instrument that counts 10 W is ±2.2 % at 230 W.
func TestQuantisation(t *testing.T) {
	m := row(t, Derive(single(200, 230, Accuracy{Gain: 0.01, Offset: 2.3, Resolution: 10})), "mining", "mining").Metrics
	b := m[Power].Budget
	require.InDelta(t, 5./230, half(b, Quantisation), 1e-6)
	require.InDelta(t, 0.02, half(b, Gain), 1e-6, "1 % of the reading and 2.3 W")
	require.InDelta(t, 0.02+5./230, float64(b.Linear), 1e-5)
	require.InDelta(t, math.Hypot(0.02, 5./230), float64(b.Quadrature), 1e-5)
	require.Equal(t, Grade("C"), m[Power].Grade)
}

// TestSharedTermsCancel: what one meter reads too high it reads too high for
// both candidates, but its steps fall where they will.
func TestSharedTermsCancel(t *testing.T) {
	s := Derive(single(200, 230, Accuracy{Gain: 0.05, Resolution: 10}))
	b := row(t, s, "mining", "mining").Metrics[WorkPerEnergy].Budget
	shared := map[string]bool{}
	for _, term := range b.Terms {
		shared[term.Name] = term.Shared
	}
	require.Equal(t, map[string]bool{Gain: true, Quantisation: false, "repeats": false, "sampling": false, "timing": false}, shared)
	require.InDelta(t, 5./230, half(b, Quantisation), 1e-5)
	require.Greater(t, float64(b.Quadrature), 0.05)
	require.Zero(t, half(s.Exchange[0].HashesPerSample.Budget, Gain), "one meter saw both uses")
}

func TestUnstatedAccuracy(t *testing.T) {
	m := row(t, Derive(single(200, 230, Accuracy{Gain: Absent(), Resolution: Absent()})), "mining", "mining").Metrics[Power]
	require.Equal(t, []string{Gain}, m.Budget.Unstated)
	require.True(t, m.Instrument.IsAbsent())
	require.Equal(t, Grade("C"), m.Grade, "an unknown accuracy grades no better")
}

// TestRoundTripsAreTimeUncertainty: a counter read over a slow network is
// uncertain by the energy of the time in which it may have been read.
func TestRoundTripsAreTimeUncertainty(t *testing.T) {
	rec := newWorld().record()
	for i := range rec.Runs {
		m := rec.Runs[i].Trace(MeterKey("m", "a"))
		trips := Trace{Key: TraceKey{Kind: TraceRoundTrip, Meter: "m"}, Unit: Second, Kind: Gauge, T: m.T}
		for range m.T {
			trips.V = append(trips.V, 0.1)
		}
		rec.Runs[i].Traces = append(rec.Runs[i].Traces, trips)
	}
	b := row(t, Derive(rec), "mining", "mining").Metrics[Power].Budget
	// Three quarters of the power are counted, over windows of 2 s; a gauge in
	// steady state does not mind.
	require.InDelta(t, 0.75*math.Sqrt2*0.05/2, half(b, Timing), 1e-5)
}

// TestSwingingLoad: 550 W and 850 W in turn at 1.3 Hz, read once a second for
// 60 s in 40 phases. The trapezoid is off by percents and must say so; a
// counter is not.
func TestSwingingLoad(t *testing.T) {
	const (
		hz      = 1.3
		window  = 60.0
		phases  = 40
		low, hi = 550.0, 850.0
	)
	shapes := map[string]struct{ power, energy func(x float64) float64 }{
		"square": {
			func(x float64) float64 {
				if x-math.Floor(x) < 0.5 {
					return hi
				}
				return low
			},
			func(x float64) float64 { // per period
				n, f := math.Modf(x)
				return n*(low+hi)/2 + min(f, 0.5)*hi + max(0, f-0.5)*low
			},
		},
		"sine": {
			func(x float64) float64 { return (low+hi)/2 + (hi-low)/2*math.Sin(2*math.Pi*x) },
			func(x float64) float64 { return (low+hi)/2*x - (hi-low)/2*math.Cos(2*math.Pi*x)/(2*math.Pi) },
		},
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, s := range shapes {
		// A sampler that keeps time, one that is 1.3 % slow, one that is late by
		// up to 50 ms.
		for _, c := range []struct{ interval, jitter float64 }{{1, 0}, {1.013, 0}, {1, 0.05}} {
			interval, jitter := c.interval, c.jitter
			covered, worst, worstCounter, widest := 0, 0.0, 0.0, 0.0
			for p := range phases {
				phase := float64(p) / phases
				at := func(t float64) float64 { return hz*t + phase }
				gauge, counter := Trace{Kind: Gauge}, Trace{Kind: Counter}
				offset := rng.Float64()
				for i := -3; i < 66; i++ {
					x := float64(i)*interval + offset + jitter*rng.Float64()
					gauge.Add(Float(x), Float(s.power(at(x))), nil)
					counter.Add(Float(x), Float(s.energy(at(x)+10)/hz), nil)
				}
				a, b := 0.0, window
				want := (s.energy(at(b)+10) - s.energy(at(a)+10)) / hz
				off := math.Abs(float64(gauge.Over(a, b))/want - 1)
				stated := (&sensor{Channel: Channel{Kind: Gauge}}).uncertain(&gauge, a, b, 0, 0).sampling / want
				if off <= stated {
					covered++
				}
				worst, widest = max(worst, off), max(widest, stated)
				c := math.Abs(float64(counter.Over(a, b))/want - 1)
				worstCounter = max(worstCounter, c)
				require.LessOrEqual(t, c, 0.003, "%s, phase %d: the counter", name, p)
			}
			t.Logf("%s, every %v s, jitter %v s: power off by up to %.2f %%, stated up to %.2f %%, covered in %d of %d; counter off by up to %.2f %%",
				name, interval, jitter, 100*worst, 100*widest, covered, phases, 100*worstCounter)
			require.GreaterOrEqual(t, covered, phases*95/100)
			require.Less(t, widest, 0.1, "a statement so wide says nothing")
		}
	}
}

// TestSteadyLoadIsCertain: the sampling term must not cry wolf.
func TestSteadyLoadIsCertain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	tr := Trace{Kind: Gauge}
	for i := range 601 {
		tr.Add(Float(i), Float(500+rng.NormFloat64()), nil)
	}
	require.Less(t, (&sensor{Channel: Channel{Kind: Gauge}}).uncertain(&tr, 0, 600, 0, 0).sampling/(500*600), 0.0005)
	ramp := Trace{Kind: Gauge}
	for i := range 601 {
		ramp.Add(Float(i), Float(500+i), nil)
	}
	require.Less(t, (&sensor{Channel: Channel{Kind: Gauge}}).uncertain(&ramp, 0, 600, 0, 0).sampling/(800*600), 0.001, "the trapezoid follows a ramp")
}

// TestDuty: the sensor of a card looks for 25 ms of each 100 ms at a load that
// swings, and its counter goes on with what it saw. The truth lies within the
// stated uncertainty, which that of a sensor that always looks is too small for.
func TestDuty(t *testing.T) {
	const from, to, period, look, low, high = 1.0, 11.0, 0.1, 0.025, 300.0, 700.0
	missed := 0
	for _, swing := range []float64{0.09, 0.21, 0.333, 0.7, 1.9} {
		for phase := range 8 {
			on := func(x float64) float64 { // integral of the load
				x += swing * float64(phase) / 8
				whole := math.Floor(x / swing)
				return low*x + (high-low)*(whole*swing/3+min(x-whole*swing, swing/3))
			}
			tr := Trace{Kind: Counter}
			for i, joules := 0, 0.0; i < 125; i++ {
				x := float64(i) * period
				tr.T, tr.V = append(tr.T, Float(x)), append(tr.V, Float(joules))
				joules += (on(x+look) - on(x)) / look * period
			}
			s := sensor{Channel: Channel{Kind: Counter, Origin: Measured, Accuracy: Accuracy{Gain: 0, Resolution: 1e-3}}}
			off := math.Abs(float64(tr.Over(from, to)) - on(to) + on(from))
			if off > s.uncertain(&tr, from, to, 0, 0).own() {
				missed++
			}
			s.Accuracy.Duty = new(Float(look / period))
			require.LessOrEqual(t, off, s.uncertain(&tr, from, to, 0, 0).own(), "a swing of %v s, phase %d", swing, phase)
		}
	}
	require.NotZero(t, missed, "the sensor misses more than one that always looks")

	s := sensor{Channel: Channel{Kind: Gauge, Origin: Measured, Accuracy: Accuracy{Gain: 0, Resolution: 1e-3}}}
	steady := Trace{Kind: Gauge, T: []Float{0, 1, 2, 3, 4}, V: []Float{500, 500, 500, 500, 500}}
	for _, duty := range []Float{0.25, 1, 3, -1, 0, Absent()} {
		s.Accuracy.Duty = new(duty)
		require.Zero(t, s.uncertain(&steady, 1, 3, 0, 0).sampling, "nothing is missed of a steady load")
	}
	swinging := Trace{Kind: Gauge, T: steady.T, V: []Float{500, 600, 500, 600, 500}}
	s.Accuracy.Duty = nil
	always := s.uncertain(&swinging, 1, 3, 0, 0)
	for _, duty := range []Float{1, 3, -1, 0, Absent()} { // what no sensor has changes nothing
		s.Accuracy.Duty = new(duty)
		require.Equal(t, always, s.uncertain(&swinging, 1, 3, 0, 0))
	}
}

// TestShortWindowOfDuty: publication asks for longer windows of such a sensor, and
// of no other.
func TestShortWindowOfDuty(t *testing.T) {
	rec := single(200, 230, Accuracy{Gain: 0.01, Resolution: 1e-3, Duty: new(Float(0.25))})
	require.NotContains(t, codes(Derive(rec).Flags), "short-window", "two seconds are enough for quick")
	rec.Plan.Preset = "publish"
	s := Derive(rec)
	require.Contains(t, codes(s.Flags), "short-window")
	at := slices.IndexFunc(s.Flags, func(w Warning) bool { return w.Code == "short-window" })
	require.Contains(t, s.Flags[at].Text, "sees the power for 25 % of the time, and the shortest window lasts 2 s")
	require.Contains(t, s.Flags[at].Remedy, "30 s or more (--window)")
	rec.Meters[0].Channels[0].Accuracy.Duty = nil
	require.NotContains(t, codes(Derive(rec).Flags), "short-window")
	long := publishable() // 80 s
	long.Plan.Preset = "publish"
	long.Meters[0].Channels[0].Accuracy.Duty = new(Float(0.25))
	require.NotContains(t, codes(Derive(long).Flags), "short-window")
}
