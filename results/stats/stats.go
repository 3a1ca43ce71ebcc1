// Package stats estimates how uncertain a figure is, and decides whether two
// figures differ.
//
// A figure here is a ratio of sums: all the work of a candidate over all its
// energy (or seconds), never a mean of ratios. It was measured in windows, and
// the windows belong to sessions. Whatever one start of a machine fixes
// (placement, temperature, boost state) is the same in all windows of a session.
// The session is therefore the replicate; its windows are not.
//
//   - Intervals: whole sessions are resampled, 2,000 times (cluster bootstrap:
//     Davison and Hinkley, Bootstrap Methods and their Application, 1997, 3.8).
//     Only the standard error of the logarithm is taken from the resamples.
//     Percentiles of five sessions are too narrow, for two reasons given by
//     Hesterberg (What Teachers Should Know About the Bootstrap, The American
//     Statistician 69, 2015); his remedies are used: √(n/(n−1)) for the spread,
//     Student's t for the tails. Two candidates have the degrees of freedom of
//     Welch (Biometrika 34, 1947).
//   - One session: the interval that its record states ([results.Quotient]).
//   - Tests: Mann–Whitney from golang.org/x/perf/benchmath, [PValue] for few
//     sessions, Benjamini and Hochberg (J. R. Statist. Soc. B 57, 1995) over the
//     rows of a report.
//   - Meters: repeats do not show their uncertainty. [Interval.Widen] adds it,
//     in quadrature on the log scale (JCGM 100, the GUM, 5.1.2), where it does
//     not cancel.
//   - [Decide] makes a verdict of an interval, a margin and a p-value.
//
// The same input and seed give the same bits, whatever the order of the
// sessions, and that of their windows where there are several sessions; the
// windows of a single session are a series in time.
//
// This package does not know records, units or names. It drops no outlier and
// finds no change in a series. It cannot see an error that all sessions share: a
// wrong meter, or candidates measured one after the other while the room warmed
// up.
package stats

import (
	"cmp"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
)

const (
	significance = 0.05
	resamples    = 2000
)

// Interval is a figure with the bounds of its 95 % interval, in the figure's
// unit. The bounds are NaN where there are too few repeats; Value is NaN where
// there is no figure.
type Interval struct{ Value, Low, High float64 }

// Inverse is the interval of 1 ÷ the figure, as J/TH of TH/J.
func (i Interval) Inverse() Interval { return Interval{1 / i.Value, 1 / i.High, 1 / i.Low} }

// Widen adds the uncertainty of the instruments. relative is the half-width of
// its 95 % interval ÷ the figure, independent of the repeats; several independent
// ones are combined as the root of the sum of their squares. An error that both
// sides of a quotient share cancels and must not be included. NaN, for an unknown
// uncertainty, makes the bounds NaN.
func (i Interval) Widen(relative float64) Interval {
	r := math.Log1p(math.Abs(relative))
	return Interval{
		i.Value,
		i.Value * math.Exp(-math.Hypot(r, math.Log(i.Value/i.Low))),
		i.Value * math.Exp(math.Hypot(r, math.Log(i.High/i.Value))),
	}
}

// Rectangular times a bound, such as a maker's ±1 %, is the half-width to give
// [Interval.Widen] for it: an error of which only bounds are known has the
// standard uncertainty bound ÷ √3 (JCGM 100, 4.3.7). It exceeds 1 because
// errors within bounds, once added, reach further than a normal error whose
// 95 % lie within the same bounds.
const Rectangular = 1.959963984540054 / 1.7320508075688772

// halfWidth is half the interval on the log scale, about the relative half-width
// where the interval is narrow. It is NaN if a bound is missing or not positive.
func (i Interval) halfWidth() float64 {
	if !(i.Low > 0) {
		return math.NaN()
	}
	return math.Log(i.High/i.Low) / 2
}

// Pair is one window; all windows have the same units. A window is absent, and
// counts in neither sum, if Num or Den is NaN or infinite or Den is not positive.
// A window without work (Num = 0) counts.
type Pair = results.Pair

func absent(p Pair) bool {
	return math.IsNaN(p.Num) || math.IsInf(p.Num, 0) || !(p.Den > 0) || math.IsInf(p.Den, 0)
}

func plus(p, q Pair) Pair { return Pair{Num: p.Num + q.Num, Den: p.Den + q.Den} }

// total sorts pairs by their contents and adds them up in that order, so that
// neither the sum nor a resample depends on the order of the input.
func total(pairs []Pair) (sum Pair) {
	slices.SortFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(a.Num, b.Num), cmp.Compare(a.Den, b.Den))
	})
	for _, p := range pairs {
		sum = plus(sum, p)
	}
	return sum
}

// Sessions are the windows of one candidate, nested in sessions.
type Sessions [][]Pair

// present returns the sessions without their absent windows, and without the
// sessions that have no other. s is not changed.
func (s Sessions) present() (out Sessions) {
	for _, windows := range s {
		if windows = slices.DeleteFunc(slices.Clone(windows), absent); len(windows) > 0 {
			out = append(out, windows)
		}
	}
	return out
}

// Count is the number of sessions with a window that is not absent.
func (s Sessions) Count() int { return len(s.present()) }

// Ratio is the sum of Num ÷ the sum of Den over all windows; NaN if there is
// none.
func (s Sessions) Ratio() float64 {
	_, ratio := s.replicates()
	return ratio
}

// replicates returns the totals of the sessions, which are resampled, and their
// ratio.
func (s Sessions) replicates() (units []Pair, ratio float64) {
	for _, windows := range s.present() {
		units = append(units, total(windows))
	}
	sum := total(units)
	return units, sum.Num / sum.Den
}

// Estimate is the ratio of a candidate's sessions and how uncertain it is. It serves
// every interval and quotient of the candidate: to resample takes longer than all that
// follows.
type Estimate results.Estimate

// Mean is the mean of one figure a session with its 95 % interval by Student's t. Unlike
// a ratio it may be negative: the watts that something adds. The bounds are NaN for fewer
// than two.
func Mean(xs []float64) Interval {
	mean, deviation := stat.MeanStdDev(xs, nil)
	h := results.Student(float64(len(xs)-1)) * deviation / math.Sqrt(float64(len(xs)))
	return Interval{mean, mean - h, mean + h}
}

// Quotient returns the ratio of a ÷ that of b with its 95 % interval, on the
// assumption that the sessions of a and b are independent. If they were run in
// pairs, the interval is wider than it need be, and otherwise right. A candidate
// with one session contributes the variation of its windows, of which it needs
// six; see [Decide] for what that is worth.
func Quotient(a, b Estimate) Interval { return a.over(b).Interval() }

// PValue is the two-sided p-value of equal ratios of a and b, by Welch's test on the
// standard errors of [Quotient]: it is 0.05 where the interval touches 1. With
// five sessions a side the p-value of ranks is never below 0.008, which is too
// much once it is adjusted for the rows of a report; this one has no such limit.
func PValue(a, b Estimate) float64 {
	q := a.over(b)
	if q.Value == 1 && q.Variance == 0 {
		return 1
	}
	return 2 * distuv.StudentsT{Sigma: 1, Nu: q.Freedom}.CDF(-math.Abs(math.Log(q.Value))/math.Sqrt(q.Variance))
}

// Estimate resamples the sessions. Both sides of a quotient may use one seed:
// only their variances are combined.
func (s Sessions) Estimate(seed uint64) Estimate { return Estimates(seed, s)[0] }

// Estimates are those of several figures, such as all of one candidate. Figures of
// equally many sessions are resampled together: with one seed, each alone would take
// the same sessions.
func Estimates(seed uint64, figures ...Sessions) []Estimate {
	out := make([]Estimate, len(figures))
	units, alike := make([][]Pair, len(figures)), map[int][]int{} // by how many sessions
	for i, s := range figures {
		s = s.present()
		if len(s) == 1 {
			out[i] = Estimate(results.Quotient(s[0]))
			continue
		}
		var ratio float64
		units[i], ratio = s.replicates()
		out[i] = Estimate{ratio, math.NaN(), math.NaN()}
		if n := len(units[i]); n >= 2 && ratio > 0 && !math.IsInf(ratio, 0) {
			alike[n] = append(alike[n], i)
		}
	}
	for n, of := range alike {
		src := rand.NewPCG(seed, resamples) // #nosec G404 -- resampling gives the same interval for the same samples
		taken := make([]int, n)
		logs := make([]float64, len(of)*resamples) // of each figure in turn
		for r := range resamples {
			for j := range taken {
				taken[j] = below(src, n)
			}
			for k, i := range of {
				var sum Pair
				sessions := units[i]
				for _, j := range taken {
					sum = plus(sum, sessions[j])
				}
				logs[k*resamples+r] = math.Log(sum.Num / sum.Den / out[i].Value)
			}
		}
		free := float64(n - 1)
		for k, i := range of {
			out[i].Variance, out[i].Freedom = stat.Variance(logs[k*resamples:(k+1)*resamples], nil)*float64(n)/free, free
		}
	}
	return out
}

// below is [rand.Rand.IntN], the same numbers without a call through an interface: most
// of the time of a resample is theirs.
func below(src *rand.PCG, n int) int {
	m := uint64(n) // #nosec G115 -- a count
	if m&(m-1) == 0 {
		return int(src.Uint64() & (m - 1)) // #nosec G115 -- less than n
	}
	hi, lo := bits.Mul64(src.Uint64(), m)
	if lo < m {
		for least := -m % m; lo < least; {
			hi, lo = bits.Mul64(src.Uint64(), m)
		}
	}
	return int(hi) // #nosec G115 -- less than n
}

// over is the quotient of independent estimates (Welch).
func (a Estimate) over(b Estimate) Estimate {
	v := a.Variance + b.Variance
	free := v * v / (a.Variance*a.Variance/a.Freedom + b.Variance*b.Variance/b.Freedom)
	if v == 0 {
		free = a.Freedom + b.Freedom
	}
	return Estimate{a.Value / b.Value, v, free}
}

// Interval is the ratio with its 95 % interval. With several sessions it
// covers the ratio of infinitely many; where some sessions are far off on one
// side, the interval of five covers it 9 times in 10. With one session it shows
// how the windows of that session varied, and nothing about the next session; it
// then needs six windows, in the order in which they were measured.
func (e Estimate) Interval() Interval {
	if math.IsInf(e.Value, 0) {
		e.Value = math.NaN()
	}
	low, high := results.Estimate(e).Interval()
	return Interval{e.Value, low, high}
}
