package results

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// slow is a world in which two of eight rounds are slow, and draw less, each
// use in rounds of its own.
func slow() world {
	w := newWorld()
	w.rounds, w.scenarios = 8, []string{"idle", "control", "mining", "training", "compute", "mullet"}
	rate, watts := w.rate, w.watts
	tardy := func(sc string, round int) float64 {
		if i := slices.Index(w.scenarios, sc); (round+i)%4 == 0 && sc != "idle" {
			return 1
		}
		return 0
	}
	w.rate = func(sc, u string, round int) float64 {
		if sc == "control" {
			return 5e5 * (1 - 0.3*tardy(sc, round))
		}
		return rate(sc, u, round) * (1 - 0.25*tardy(sc, round))
	}
	w.watts = func(sc string, round int) float64 {
		if sc == "control" {
			return 120
		}
		return watts(sc, round) * (1 - 0.1*tardy(sc, round))
	}
	return w
}

// Whatever windows gave, the figures of a record agree with each other, for
// each is a quotient of sums over the same windows.
func TestFiguresAgree(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Record)
		n    map[string]int // windows, of a scenario
	}{
		"slow windows":    {func(*Record) {}, nil},
		"a gap in a slow": {func(r *Record) { lose(r, "mining", 2, MeterKey("m", "a")) }, map[string]int{"mining": 7}},
		"a gap elsewhere": {func(r *Record) { lose(r, "mullet", 1, MeterKey("m", "b")) }, map[string]int{"mullet": 7}},
		"no work counted": {func(r *Record) { lose(r, "mullet", 1, UseKey(TraceWork, "mining", CPUDevice)) }, map[string]int{"mullet": 7}},
		"a void run": {func(r *Record) {
			for i := range r.Runs {
				if x := &r.Runs[i]; x.Scenario == "training" && x.Round == 3 {
					x.Status = Void
				}
			}
		}, map[string]int{"training": 7}},
		"five rounds":   {func(r *Record) { r.Runs = r.Runs[:30] }, map[string]int{"idle": 5, "mining": 5, "training": 5, "compute": 5, "mullet": 5, "control": 5}},
		"no idle twice": {func(r *Record) { r.Runs[0].Status = Failed }, map[string]int{"idle": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			w := slow()
			rec := w.record()
			c.edit(rec)
			s := Derive(rec)
			of := map[string]map[string]Figure{}
			for _, r := range s.Rows {
				m := r.Metrics
				of[r.Scenario+"/"+r.Use] = m
				n := 8
				if c.n[r.Scenario] > 0 {
					n = c.n[r.Scenario]
				}
				require.Equal(t, n, m[Power].N, "%s/%s", r.Scenario, r.Use)
				if r.Use == "idle" {
					continue
				}
				require.Equal(t, n, m[Throughput].N)
				require.Equal(t, n, m[WorkPerEnergy].N)
				near(t, float64(m[WorkPerEnergy].Value*m[Power].Value), m[Throughput].Value)
				near(t, 1/float64(m[WorkPerEnergy].Value), m[EnergyPerWork].Value)
				near(t, float64(m[Power].Value)*2*float64(n), m[Energy].Value)
				for _, x := range []Figure{m[Throughput], m[Power], m[WorkPerEnergy], m[EnergyPerWork], m[NetPower], m[CPUThroughput]} {
					if n < minimumWindows || x.N < minimumWindows {
						require.True(t, x.Low.IsAbsent() && x.High.IsAbsent())
						continue
					}
					require.True(t, x.Low <= x.Value && x.Value <= x.High, "%v", x)
				}
				if n >= minimumWindows {
					near(t, 1/float64(m[WorkPerEnergy].High), m[EnergyPerWork].Low)
				}
				i := slices.IndexFunc(s.Meters, func(x MeterRow) bool { return x.Scenario == r.Scenario })
				require.Equal(t, shown(m[Power]), shown(s.Meters[i].Power), "beside the other meters it is the same figure")
				i = slices.IndexFunc(s.Yields, func(y Yield) bool { return y.Scenario == r.Scenario && y.Use == r.Use })
				near(t, 3.6e6*float64(m[WorkPerEnergy].Value), s.Yields[i].PerKWh.Value)
				if m[NetPower].N == n {
					near(t, float64(m[Throughput].Value/m[NetPower].Value)*3.6e6, s.Yields[i].Net.Value)
				}
				if f, ok := m[FlopRate]; ok && r.Role == Alone && r.Use == "training" {
					near(t, float64(m[Throughput].Value)*1.636e6, f.Value)
					near(t, float64(m[Throughput].High)*1.636e6/(2*5e9), m[PeakFraction].High)
				}
			}
			near(t, float64(of["mining/mining"][WorkPerEnergy].Value/of["training/training"][WorkPerEnergy].Value), s.Exchange[0].HashesPerSample.Value)
			near(t, float64(of["mullet/training"][Throughput].Value/of["training/training"][Throughput].Value), s.CoRunCost.TrainingKept.Value)
			require.Equal(t, shown(of["mullet/mining"][Throughput]), shown(s.CoRunCost.HashesGained))
			near(t, float64(of["mullet/training"][Power].Value-of["training/training"][Power].Value), s.CoRunCost.ExtraPower.Value)
			near(t, float64(s.CoRunCost.ExtraPower.Value)*2*float64(of["mullet/training"][Power].N), s.CoRunCost.ExtraEnergy.Value)
		})
	}
	// By hand: two of eight windows at three quarters of the rate and nine tenths of the watts.
	m := row(t, Derive(slow().record()), "mining", "mining").Metrics
	near(t, 2e6*(6+2*0.75)/8, m[Throughput].Value)
	near(t, 150*(6+2*0.9)/8, m[Power].Value)
	near(t, 2e6*(6+2*0.75)/(150*(6+2*0.9)), m[WorkPerEnergy].Value)
	near(t, 4, m[RelativeThroughput].Value) // over the control, a figure of its own: the median of what each round gave
}

// shown is everything of a figure that is printed.
func shown(m Figure) string {
	return fmt.Sprint(m.Value, m.Low, m.High, m.Unit, m.N, m.Boundary, m.Origin, m.Grade, m.Instrument, m.Why)
}

// lose makes a gap of a trace of a run.
func lose(rec *Record, scenario string, round int, key TraceKey) {
	for i := range rec.Runs {
		if r := &rec.Runs[i]; r.Scenario == scenario && r.Round == round {
			tr := r.Trace(key)
			for j := range tr.V {
				tr.V[j] = Absent()
			}
		}
	}
}

// A window without energy is in no figure of its row, and that is said; where
// none has energy, the rates stay.
func TestWindowsLeftOut(t *testing.T) {
	rec := slow().record()
	lose(rec, "mining", 2, MeterKey("m", "a")) // a slow one
	s := Derive(rec)
	m := row(t, s, "mining", "mining").Metrics
	near(t, 2e6*(6+0.75)/7, m[Throughput].Value)
	near(t, 150*(6+0.9)/7, m[Power].Value)
	require.Contains(t, codes(s.Flags), "window-left-out")

	for round := 1; round <= 8; round++ {
		lose(rec, "mining", round, MeterKey("m", "a"))
	}
	s = Derive(rec)
	m = row(t, s, "mining", "mining").Metrics
	near(t, 2e6*(6+2*0.75)/8, m[Throughput].Value)
	require.Equal(t, 8, m[Throughput].N)
	require.True(t, m[Power].Value.IsAbsent())
	require.NotContains(t, codes(s.Flags), "window-left-out")
}

// The standard error is that of a ratio estimator (Cochran, Sampling
// Techniques, 1977, 6.4).
func TestQuotientIsTheRatioEstimator(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for range 50 {
		n := 6 + rng.IntN(20)
		ws := make([]Pair, n)
		num, den := 0.0, 0.0
		for i := range ws { // work that follows the energy, and noise that alternates: neighbours owe each other nothing
			e := 1 + rng.Float64()
			ws[i] = Pair{e * (3 + float64(1-2*(i%2))*(0.1+0.01*rng.Float64())), e}
			num, den = num+ws[i].Num, den+ws[i].Den
		}
		residuals := make([]float64, n)
		for i, w := range ws {
			residuals[i] = w.Num - num/den*w.Den
		}
		got := Quotient(ws)
		require.InEpsilon(t, num/den, got.Value, 1e-12)
		require.InEpsilon(t, float64(n)*stat.Variance(residuals, nil)/(num*num), got.Variance, 1e-9)
		require.Equal(t, float64(n-1), got.Freedom)
		low, high := got.Interval()
		require.InEpsilon(t, got.Value, math.Sqrt(low*high), 1e-12)
	}
	low, high := Quotient(make([]Pair, 5)).Interval()
	require.True(t, math.IsNaN(low) && math.IsNaN(high))
	equal := slices.Repeat([]Pair{{200.1, 3}}, 7)
	require.Zero(t, Quotient(equal).Variance, "the noise of the arithmetic is no spread")
}

func TestStudent(t *testing.T) {
	for _, free := range []float64{1, 1.5, 2, 3.7, 5, 7, 9.99, 30, 200, 1e4, 1e6} {
		require.InDelta(t, distuv.StudentsT{Sigma: 1, Nu: free}.Quantile(0.975), Student(free), 1e-7, "%v", free)
	}
	require.True(t, math.IsNaN(Student(math.NaN())) && math.IsNaN(Student(0)))
}

// kind is how the windows of a session may come.
type kind struct {
	name  string
	truth float64
	draw  func(rng *rand.Rand, n int) []float64
	// The least share of sessions whose interval may hold the truth, by
	// windows, where that is less than 95 %.
	short map[int]float64
}

func alike(rho, sd float64) func(*rand.Rand, int) []float64 {
	return func(rng *rand.Rand, n int) []float64 {
		xs := make([]float64, n)
		x := rng.NormFloat64()
		for i := range xs {
			if i > 0 {
				x = rho*x + math.Sqrt(1-rho*rho)*rng.NormFloat64()
			}
			xs[i] = 1 + sd*x
		}
		return xs
	}
}

func independent(f func(*rand.Rand) float64) func(*rand.Rand, int) []float64 {
	return func(rng *rand.Rand, n int) []float64 {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = f(rng)
		}
		return xs
	}
}

var kinds = []kind{
	{"normal, 1 %", 1, alike(0, 0.01), nil},
	{"normal, 20 %", 1, alike(0, 0.2), nil},
	{"skewed up", math.Exp(0.045), independent(func(r *rand.Rand) float64 { return math.Exp(0.3 * r.NormFloat64()) }), nil},
	{"skewed down", 2 - math.Exp(0.045), independent(func(r *rand.Rand) float64 { return max(0, 2-math.Exp(0.3*r.NormFloat64())) }), nil},
	{"exponential", 1, independent((*rand.Rand).ExpFloat64), nil},
	{"two slow in each eight", 0.875, func(rng *rand.Rand, n int) []float64 {
		xs := alike(0, 0.01)(rng, n)
		var order []int
		for i := range xs {
			if i%8 == 0 {
				order = rng.Perm(8)
			}
			if order[i%8] < 2 {
				xs[i] -= 0.5
			}
		}
		return xs
	}, nil},
	{"one in four is slow", 0.875, independent(func(r *rand.Rand) float64 {
		x := 1 + 0.01*r.NormFloat64()
		if r.Float64() < 0.25 {
			x -= 0.5
		}
		return x
	}), map[int]float64{6: 0.82, 8: 0.89, 10: 0.94, 12: 0.93, 20: 0.90}},
	{"alike by 0.3", 1, alike(0.3, 0.01), map[int]float64{6: 0.915, 8: 0.92, 10: 0.92, 12: 0.92, 20: 0.915, 30: 0.93, 60: 0.935}},
	{"alike by 0.5", 1, alike(0.5, 0.01), map[int]float64{6: 0.85, 8: 0.86, 10: 0.87, 12: 0.88, 20: 0.905, 30: 0.92, 60: 0.94}},
	{"alike by 0.8", 1, alike(0.8, 0.01), map[int]float64{6: 0.70, 8: 0.73, 10: 0.755, 12: 0.77, 20: 0.83, 30: 0.86, 60: 0.90}},
	{"unlike by 0.5", 1, alike(-0.5, 0.01), nil},
}

// The interval of a figure holds the long-run figure as often as it says, and
// where it cannot, as often as is documented. Windows differ in energy, too.
func TestCoverageOfFigures(t *testing.T) {
	times := 4000
	if testing.Short() {
		times = 500
	}
	lines := ""
	for _, k := range kinds {
		line := fmt.Sprintf("%-24s", k.name)
		for _, n := range []int{6, 8, 10, 12, 20, 30, 60} {
			rng := rand.New(rand.NewPCG(uint64(n), 99))
			held := 0
			for range times {
				ws := make([]Pair, n)
				for i, x := range k.draw(rng, n) {
					e := 0.9 + 0.2*rng.Float64()
					ws[i] = Pair{x * e, e}
				}
				if low, high := Quotient(ws).Interval(); low <= k.truth && k.truth <= high {
					held++
				}
			}
			want, got := 0.95, float64(held)/float64(times)
			if s, ok := k.short[n]; ok {
				want = s
			}
			line += fmt.Sprintf(" %d: %.1f %%", n, 100*got)
			require.GreaterOrEqual(t, got, want-3*math.Sqrt(want*(1-want)/float64(times)), "%s, n = %d", k.name, n)
		}
		lines += line + "\n"
	}
	t.Logf("how often 95 %% intervals hold the truth, by windows\n%s", lines)
}

// What two uses cost beside each other is told by rounds: what a round did to
// both cancels, and the interval covers all the same.
func TestCoverageOfDifferences(t *testing.T) {
	times := 1500
	if testing.Short() {
		times = 400
	}
	for _, n := range []int{6, 12, 30} {
		for name, common := range map[string]float64{"of their own": 0, "in common": 0.05} {
			rng := rand.New(rand.NewPCG(uint64(n), 7))
			held, kept, width, apart := 0, 0, 0.0, 0.0
			for range times {
				var a, b []Pair
				var rounds []int
				for round := range n {
					room := 1 + common*rng.NormFloat64()
					a = append(a, Pair{200 * room * (1 + 0.01*rng.NormFloat64()), 1})
					b = append(b, Pair{220 * room * (1 + 0.01*rng.NormFloat64()), 1})
					rounds = append(rounds, round)
				}
				qa, qb := quotientOf(a, rounds), quotientOf(b, rounds)
				extra := qb.less(qa).metric(Watt, true)
				if extra.Low <= 20 && 20 <= extra.High {
					held++
				}
				if k := qb.over(qa).metric(Ratio, false); k.Low <= 1.1 && 1.1 <= k.High {
					kept++
				}
				va, _ := qa.variance()
				vb, _ := qb.variance()
				width += float64(extra.High-extra.Low) / 2
				apart += Student(float64(n-1)) * math.Sqrt(va+vb)
			}
			t.Logf("n = %d, noise %s: difference held %.1f %%, quotient %.1f %%; half-width %.2f W, %.2f W if taken for independent", n, name,
				100*float64(held)/float64(times), 100*float64(kept)/float64(times), width/float64(times), apart/float64(times))
			least := 0.95 - 3*math.Sqrt(0.95*0.05/float64(times))
			require.GreaterOrEqual(t, float64(held)/float64(times), least)
			require.GreaterOrEqual(t, float64(kept)/float64(times), least)
			if common > 0 {
				require.Less(t, width, apart/2, "what a round did to both cancels")
			}
		}
	}
}
