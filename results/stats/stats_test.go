package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perwatt/perwatt/results"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/combin"
	"gonum.org/v1/gonum/stat/distuv"
)

func example(seed uint64) (a, b Sessions) {
	w := world{sessions: 5, windows: 6, between: 0.01, within: 0.005, ratio: 1.02, shared: true}
	return w.measure(rand.New(rand.NewPCG(seed, 1)))
}

func near(t *testing.T, want, got Interval) {
	t.Helper()
	require.InEpsilon(t, want.Value, got.Value, 1e-12)
	require.InEpsilon(t, want.Low, got.Low, 1e-12)
	require.InEpsilon(t, want.High, got.High, 1e-12)
}

func TestRatioIsOfSums(t *testing.T) {
	s := Sessions{{{Num: 10, Den: 1}}, {{Num: 10, Den: 4}, {Num: 10, Den: 5}}}
	require.Equal(t, 3.0, s.Ratio(), "not the mean of 10, 2.5 and 2, nor of sessions")
	require.Equal(t, s.Ratio(), s.Estimate(1).Interval().Value)
}

// What 2,000 resamples estimate is known in closed form to first order: the
// variance of a ratio from its clusters (Cochran, Sampling Techniques, 1977,
// 6.4), and the interval with it.
func TestBootstrapAgreesWithLinearisation(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := example(seed)
		var residuals []float64
		den := 0.0
		for _, windows := range a {
			sum := total(slices.Clone(windows))
			residuals = append(residuals, sum.Num-a.Ratio()*sum.Den)
			den += sum.Den
		}
		n := float64(len(a))
		se := math.Sqrt(n*stat.Variance(residuals, nil)) / (a.Ratio() * den)
		want := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975) * se
		require.InEpsilon(t, want, a.Estimate(seed).Interval().halfWidth(), 0.07, "four standard errors of a bootstrap's standard error")
	}
}

func TestSymmetries(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for seed := range uint64(20) {
		a, b := example(seed)
		q := Quotient(a.Estimate(seed), b.Estimate(seed))
		require.Equal(t, q, Quotient(a.Estimate(seed), b.Estimate(seed)), "same input, same bits")
		require.InDelta(t, q.halfWidth(), Quotient(a.Estimate(seed+99), b.Estimate(seed+99)).halfWidth(), 0.1*q.halfWidth(), "the seed hardly matters")
		require.NotEqual(t, q, Quotient(a.Estimate(seed+99), b.Estimate(seed+99)))
		near(t, q.Inverse(), Quotient(b.Estimate(seed), a.Estimate(seed)))
		require.InEpsilon(t, PValue(a.Estimate(seed), b.Estimate(seed)), PValue(b.Estimate(seed), a.Estimate(seed)), 1e-12)

		before := slices.Clone(a[0])
		shuffled := slices.Clone(a)
		for i := range shuffled {
			shuffled[i] = slices.Clone(shuffled[i])
			rng.Shuffle(len(shuffled[i]), func(j, k int) {
				shuffled[i][j], shuffled[i][k] = shuffled[i][k], shuffled[i][j]
			})
		}
		rng.Shuffle(len(shuffled), func(j, k int) { shuffled[j], shuffled[k] = shuffled[k], shuffled[j] })
		require.Equal(t, q, Quotient(shuffled.Estimate(seed), b.Estimate(seed)), "the order of sessions, and of windows within several, is nothing")
		require.Equal(t, a.Estimate(seed).Interval(), shuffled.Estimate(seed).Interval())
		require.Equal(t, before, a[0], "the input is not changed")

		var scaled Sessions
		for _, windows := range a {
			var ws []Pair
			for _, p := range windows {
				ws = append(ws, Pair{Num: p.Num * 7, Den: p.Den / 3})
			}
			scaled = append(scaled, ws)
		}
		near(t, Interval{q.Value * 21, q.Low * 21, q.High * 21}, Quotient(scaled.Estimate(seed), b.Estimate(seed)))
		lone, window := a[:1].Estimate(seed).Interval(), scaled[:1].Estimate(seed).Interval()
		near(t, Interval{lone.Value * 21, lone.Low * 21, lone.High * 21}, window)
	}
}

func TestPValueAgreesWithTheInterval(t *testing.T) {
	for seed := range uint64(40) {
		a, b := example(seed)
		q, p := Quotient(a.Estimate(seed), b.Estimate(seed)), PValue(a.Estimate(seed), b.Estimate(seed))
		require.Equal(t, q.Low > 1 || q.High < 1, p < significance, "%v, p = %v", q, p)
		require.InDelta(t, 1, PValue(a.Estimate(seed), a.Estimate(seed)), 1e-12)
		// Shift the reference so that the interval touches 1.
		for i := range b {
			for j := range b[i] {
				b[i][j].Num *= q.Low
			}
		}
		require.InDelta(t, significance, PValue(a.Estimate(seed), b.Estimate(seed)), 1e-9)
	}
	same := Sessions{{{Num: 1, Den: 2}}, {{Num: 1, Den: 2}}}
	require.Equal(t, 1.0, PValue(same.Estimate(1), same.Estimate(1)), "equal without any spread")
	require.Zero(t, PValue(same.Estimate(1), Sessions{{{Num: 1, Den: 3}}, {{Num: 1, Den: 3}}}.Estimate(1)))
}

// Whatever cannot be a window counts for nothing, and nothing panics.
func TestWhatIsAbsent(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	a, b := example(1)
	for _, junk := range []Pair{{Num: nan, Den: 1}, {Num: 1, Den: nan}, {Num: inf, Den: 1}, {Num: 1, Den: inf}, {Num: -inf, Den: 1}, {Num: 1, Den: 0}, {Num: 0, Den: 0}, {Num: 1, Den: -1}} {
		dirty := append(slices.Clone(a), []Pair{junk}, nil)
		dirty[0] = append([]Pair{junk}, dirty[0]...)
		require.Equal(t, Quotient(a.Estimate(1), b.Estimate(1)), Quotient(dirty.Estimate(1), b.Estimate(1)), "%v", junk)
		require.Equal(t, 5, dirty.Count())
	}
	idle := append(slices.Clone(a), []Pair{{Num: 0, Den: 1000}})
	require.Less(t, idle.Ratio(), a.Ratio(), "energy without work is counted")

	extremes := []float64{nan, inf, -inf, 0, -1, 1, math.MaxFloat64, math.SmallestNonzeroFloat64}
	rng := rand.New(rand.NewPCG(23, 24))
	draw := func() (s Sessions) {
		for range rng.IntN(4) {
			ws := make([]Pair, rng.IntN(8))
			for i := range ws {
				ws[i] = Pair{Num: extremes[rng.IntN(len(extremes))], Den: extremes[rng.IntN(len(extremes))]}
			}
			s = append(s, ws)
		}
		return s
	}
	for range 300 {
		a, b := draw(), draw()
		i, q := a.Estimate(1).Interval(), Quotient(a.Estimate(1), b.Estimate(1))
		d := Decide(q.Widen(0.01), q, rng.IntN(2) == 0, 0.02, a.Count(), b.Count(), PValue(a.Estimate(1), b.Estimate(1)))
		require.NotEmpty(t, d.Why)
		for _, x := range []Interval{i, q} {
			require.False(t, x.Low > x.Value || x.Value > x.High, "%v", x)
		}
	}
	for _, s := range []Sessions{nil, {}, {nil}, {{}}, {{{Num: nan, Den: 1}}}} {
		require.True(t, math.IsNaN(s.Ratio()) && math.IsNaN(s.Estimate(1).Interval().Low) && math.IsNaN(Quotient(s.Estimate(1), a.Estimate(1)).Value))
		require.True(t, math.IsNaN(PValue(s.Estimate(1), a.Estimate(1))))
	}
}

// Of one session a comparison says what the session's record says.
func TestLoneSession(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	for n := 1; n <= 40; n++ {
		ws := make([]Pair, n)
		for i := range ws {
			ws[i] = Pair{Num: 100 + rng.NormFloat64(), Den: 5}
		}
		got, lone := Sessions{ws}.Estimate(1).Interval(), results.Quotient(ws)
		require.Equal(t, lone.Value, got.Value)
		if n < 6 {
			require.True(t, math.IsNaN(got.Low) && math.IsNaN(got.High) && !math.IsNaN(got.Value), "n = %d", n)
			require.True(t, math.IsNaN(Quotient(Sessions{ws}.Estimate(1), Sessions{ws}.Estimate(1)).Low))
			continue
		}
		low, high := lone.Interval()
		require.Equal(t, Interval{lone.Value, low, high}, got)
		require.Equal(t, got, Sessions{nil, ws}.Estimate(2).Interval(), "no seed has a part in it")
		q := Quotient(Sessions{ws}.Estimate(1), Sessions{ws}.Estimate(1))
		require.InDelta(t, 1, q.Value, 0)
		require.Less(t, q.Low, 1.0)
	}
}

func TestWiden(t *testing.T) {
	i := Interval{10, 10 * math.Exp(-0.03), 10 * math.Exp(0.03)}
	near(t, Interval{10, 10 * math.Exp(-0.05), 10 * math.Exp(0.05)}, i.Widen(math.Expm1(0.04)))
	near(t, i, i.Widen(0))
	near(t, i.Widen(0.05), i.Widen(0.03).Widen(math.Expm1(math.Sqrt(math.Pow(math.Log(1.05), 2)-math.Pow(math.Log(1.03), 2)))))
	near(t, i.Widen(0.1).Inverse(), i.Inverse().Widen(0.1))
	for _, w := range []Interval{i.Widen(math.NaN()), {10, math.NaN(), math.NaN()}, {0, 0, 0}} {
		w = w.Widen(0.01)
		require.True(t, math.IsNaN(w.Low) && math.IsNaN(w.High))
	}
}

func TestMannWhitney(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		// Hollander and Wolfe 1973, 69f, as in R's help of wilcox.test: W = 35, one-sided 0.1272.
		{"permeability", []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, []float64{1.15, 0.88, 0.90, 0.74, 1.21}, 764. / 3003},
		{"least of four", []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}, 2. / 70},
		{"least of five", []float64{9, 8, 7, 6, 10}, []float64{1, 2, 3, 4, 5}, 2. / 252},
		{"equal", []float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, 1},
		{"three", []float64{1, 2, 3}, []float64{4, 5, 6, 7}, nan},
		{"three left", []float64{1, 2, 3, nan, math.Inf(1)}, []float64{4, 5, 6, 7}, nan},
		{"NaN between", []float64{1, nan, 2, 3, 4}, []float64{5, 6, 7, 8, nan}, 2. / 70},
	} {
		before := slices.Clone(c.a)
		got := MannWhitney(c.a, c.b)
		require.InDelta(t, c.want, got, 1e-9, c.name)
		require.InDelta(t, got, MannWhitney(c.b, c.a), 1e-9, c.name)
		require.Len(t, c.a, len(before))
		for i := range before {
			require.True(t, c.a[i] == before[i] || math.IsNaN(before[i]), "%s: not sorted in place", c.name)
		}
	}
}

// With ties, every way to deal the values is counted.
func TestMannWhitneyTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(27, 28))
	for range 200 {
		n, m := 4+rng.IntN(2), 4+rng.IntN(3)
		all := make([]float64, n+m)
		for i := range all {
			all[i] = float64(rng.IntN(5))
		}
		u := func(of []int) float64 { // away from its mean
			sum := 0.0
			for i, x := range all {
				if slices.Contains(of, i) {
					continue
				}
				for _, j := range of {
					switch {
					case all[j] > x:
						sum++
					case all[j] == x:
						sum += 0.5
					}
				}
			}
			return sum - float64(n*m)/2
		}
		first := make([]int, n)
		for i := range first {
			first[i] = i
		}
		seen, low, high, count := u(first), 0.0, 0.0, 0.0
		for _, of := range combin.Combinations(n+m, n) {
			count++
			if x := u(of); x <= -math.Abs(seen) {
				low++
			} else if x >= math.Abs(seen) {
				high++
			}
		}
		want := (low + high) / count
		if seen == 0 {
			want = 1
		}
		require.InDelta(t, want, MannWhitney(all[:n], all[n:]), 1e-9, "%v %v", all[:n], all[n:])
		require.Equal(t, MannWhitney(all[n:], all[:n]), MannWhitney(all[:n], all[n:]))
	}
}

func TestBenjaminiHochberg(t *testing.T) {
	// Benjamini and Hochberg 1995, 3.2 (treatments of myocardial infarction): four rejected at 5 %.
	p := []float64{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000}
	// R: p.adjust(p, "BH").
	want := []float64{0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.063857142857, 0.063857142857, 0.0645, 0.0765, 0.486, 0.581181818182, 0.714875, 0.753230769231, 0.813214285714, 1}
	got := BenjaminiHochberg(p)
	require.InDeltaSlice(t, want, got, 1e-9)

	mixed := []float64{math.NaN(), 1, 0.0095, math.NaN(), 0.0001}
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(p)) {
		if x := p[i]; !slices.Contains(mixed, x) {
			mixed = append(mixed, x)
		}
	}
	before := slices.Clone(mixed)
	for i, x := range BenjaminiHochberg(mixed) {
		if math.IsNaN(mixed[i]) {
			require.True(t, math.IsNaN(x))
			continue
		}
		require.Equal(t, before[i], mixed[i])
		require.InDelta(t, want[slices.Index(p, mixed[i])], x, 1e-9)
	}
	require.Empty(t, BenjaminiHochberg(nil))
	require.Equal(t, []float64{0.04}, BenjaminiHochberg([]float64{0.04}))
}

func TestOutliers(t *testing.T) {
	xs := []float64{10, 11, 12, 13, 14, 15, 16, 24, 4, 30, math.NaN(), math.Inf(-1)}
	// Hinges of the eleven values: 10.5 and 15.5.
	require.Equal(t, 3, Outliers(xs), "24, 30 and -Inf")
	require.Equal(t, 1, Outliers([]float64{5, 5, 5, 5, 5.1}))
	require.Zero(t, Outliers([]float64{1, 100}))
	require.Zero(t, Outliers(nil))
	rng := rand.New(rand.NewPCG(29, 30))
	for n := range 30 {
		xs, mirror := make([]float64, n), make([]float64, n)
		for i := range xs {
			xs[i] = math.Pow(rng.NormFloat64(), 3)
			mirror[i] = -8 * xs[i]
		}
		require.Equal(t, Outliers(xs), Outliers(mirror))
	}
}

// Figures that are resampled together have the estimates that each has alone, and the
// sessions are those that package rand draws.
func TestEstimatesTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sample := func(sessions int) (s Sessions) {
		for range sessions {
			s = append(s, []Pair{{Num: 1 + rng.Float64(), Den: 1 + rng.Float64()}, {Num: rng.Float64(), Den: 1}})
		}
		return s
	}
	figures := []Sessions{sample(5), sample(8), nil, sample(5), sample(1), sample(2), {{{Num: 0, Den: 1}}, {{Num: 0, Den: 1}}}, sample(8)}
	for seed := range uint64(3) {
		all := Estimates(seed, figures...)
		for i, s := range figures {
			require.Equal(t, fmt.Sprint(s.Estimate(seed)), fmt.Sprint(all[i]), "%d", i)
		}
		five := figures[0]
		units, ratio := five.replicates()
		drawn := rand.New(rand.NewPCG(seed, resamples))
		var logs []float64
		for range resamples {
			var sum Pair
			for range units {
				sum = plus(sum, units[drawn.IntN(len(units))])
			}
			logs = append(logs, math.Log(sum.Num/sum.Den/ratio))
		}
		require.Equal(t, stat.Variance(logs, nil)*5/4, all[0].Variance)
	}
	for _, n := range []int{1, 2, 3, 7, 64, 1000, 1 << 40, 3<<61 + 1} { // the last is drawn again one time in four
		src, drawn := rand.NewPCG(uint64(n), 1), rand.New(rand.NewPCG(uint64(n), 1))
		for range 100 {
			require.Equal(t, drawn.IntN(n), below(src, n), "%d", n)
		}
	}
}

func BenchmarkQuotient(b *testing.B) {
	for name, w := range map[string]world{"5x6": {sessions: 5, windows: 6}, "500x6": {sessions: 500, windows: 6}} {
		w.between, w.within, w.ratio = 0.01, 0.005, 1
		x, y := w.measure(rand.New(rand.NewPCG(1, 2)))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Quotient(x.Estimate(1), y.Estimate(1))
			}
		})
	}
}
