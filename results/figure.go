package results

import (
	"math"
	"slices"
)

// A figure is a quotient of two sums over the same windows: throughput is all
// work over all time, power all energy over all time, work per energy all work
// over all energy. Never is it a mean or a median of what each window gave.
// So the figures of a row agree with each other:
//
//	throughput = work per energy × power
//	exchange rate = work per energy of mining ÷ work per energy of training
//	what a kilowatt-hour gives = 3.6 MJ × work per energy
//
// The windows of a row are those that have both work and energy. Where no
// window of a scenario has both, each figure takes those that have what it
// needs.
//
// The interval is that of a ratio estimator (Cochran, Sampling Techniques,
// 1977, 6.4): to first order a window moves the logarithm of ΣNum ÷ ΣDen by
// its share of ΣNum less its share of ΣDen. What these moves spread gives the
// standard error, widened by what successive windows have in common: by
// (1+r) ÷ (1−r), where r is the autocorrelation of one step, corrected to first
// order for its bias of −(1+4r)/n (Marriott and Pope, Biometrika 41, 1954), and
// counted where it is positive. Student's t with n−1 degrees of freedom makes
// it an interval, symmetric on the scale of the logarithm, so that energy per
// work has the interval of work per energy, inverted. A difference of powers
// may be negative and is treated alike on its own scale.
//
// It needs six windows. Simulated (go test -run Coverage -v ./results), it
// holds the long-run figure in at least 95 % of all sessions where windows owe
// each other nothing, skewed ones included. It falls short where six to twenty
// windows cannot know: of windows of which one in four is slow, ten have no
// slow one among them 6 times in 100, and then nothing shows it (82 % at
// n = 6, 94 % at 10); of windows that resemble their neighbours by 0.5 it
// holds 85 % at n = 6 and 94 % at 60.
//
// Two kinds of figure do not follow this definition, and have names of their own:
// those over the control are medians of the ratios of each round
// ([RelativeThroughput] and its like), and the exact interval of a rate that
// is known by its shares is Poisson's.

// Pair is one window of a figure: work and energy, work and seconds, or energy
// and seconds.
type Pair struct{ Num, Den float64 }

// Estimate is a positive figure and the variance of its logarithm, which is
// known with so many degrees of freedom; NaN where there are too few windows.
type Estimate struct{ Value, Variance, Freedom float64 }

// Quotient returns ΣNum ÷ ΣDen over the windows of one session, in the order
// in which they were measured.
func Quotient(windows []Pair) Estimate {
	q := quotientOf(windows, make([]int, len(windows)))
	v, free := q.variance()
	return Estimate{q.value, v / (q.value * q.value), free}
}

// Interval is the 95 % interval of e.
func (e Estimate) Interval() (low, high float64) {
	h := Student(e.Freedom) * math.Sqrt(e.Variance)
	if !(e.Value > 0) || math.IsNaN(h) {
		return math.NaN(), math.NaN()
	}
	return e.Value * math.Exp(-h), e.Value * math.Exp(h)
}

// quotient is a figure, and by how much each window changes it, to first order
// and in its unit.
type quotient struct {
	value  float64
	rounds []int // of the windows
	moves  []float64
}

func quotientOf(windows []Pair, rounds []int) quotient {
	var sum Pair
	for _, w := range windows {
		sum.Num, sum.Den = sum.Num+w.Num, sum.Den+w.Den
	}
	q := quotient{sum.Num / sum.Den, rounds, make([]float64, len(windows))}
	for i, w := range windows {
		q.moves[i] = (w.Num - q.value*w.Den) / sum.Den
	}
	return q
}

// scaled is q times a constant.
func (q quotient) scaled(by float64) quotient {
	q.value *= by
	q.moves = slices.Clone(q.moves)
	for i := range q.moves {
		q.moves[i] *= by
	}
	return q
}

// with is a value computed from q and r; byQ and byR are its derivatives with
// respect to them. The effects of one round on q and r are added before they are
// squared, because they are not independent.
func (q quotient) with(r quotient, value, byQ, byR float64) quotient {
	out := quotient{value: value}
	at := map[int]int{}
	add := func(q quotient, by float64) {
		for i, round := range q.rounds {
			j, ok := at[round]
			if !ok {
				j = len(out.rounds)
				at[round] = j
				out.rounds, out.moves = append(out.rounds, round), append(out.moves, 0)
			}
			out.moves[j] += by * q.moves[i]
		}
	}
	add(q, byQ)
	add(r, byR)
	order := make([]int, len(out.rounds))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return out.rounds[a] - out.rounds[b] })
	sorted := quotient{value: value}
	for _, i := range order {
		sorted.rounds, sorted.moves = append(sorted.rounds, out.rounds[i]), append(sorted.moves, out.moves[i])
	}
	return sorted
}

func (q quotient) over(r quotient) quotient {
	v := q.value / r.value
	return q.with(r, v, 1/r.value, -v/r.value)
}

func (q quotient) less(r quotient) quotient { return q.with(r, q.value-r.value, 1, -1) }

// mostAlike is the largest autocorrelation of neighbouring windows that is used: a
// larger one, from few windows, is noise.
const mostAlike = 0.9

// variance of the value, with its degrees of freedom.
func (q quotient) variance() (v, freedom float64) {
	n := float64(len(q.moves))
	if len(q.moves) < minimumWindows {
		return math.NaN(), math.NaN()
	}
	square, step := 0.0, 0.0
	for i, m := range q.moves {
		square += m * m
		if i > 0 {
			step += m * q.moves[i-1]
		}
	}
	if square <= 1e-24*q.value*q.value { // the noise of the arithmetic
		return 0, n - 1
	}
	r := step / square
	r = min(max(0, r+(1+4*r)/n), mostAlike)
	return square * n / (n - 1) * (1 + r) / (1 - r), n - 1
}

// metric makes q a metric. signed is whether its sign is not known beforehand.
func (q quotient) metric(unit Unit, signed bool) Figure {
	m := Figure{Value: Float(q.value), Low: Absent(), High: Absent(), Unit: unit, N: len(q.moves), Provenance: Provenance{Instrument: Absent()}}
	v, free := q.variance()
	switch {
	case signed:
		h := Float(Student(free) * math.Sqrt(v))
		m.Low, m.High = m.Value-h, m.Value+h
	case q.value > 0:
		low, high := Estimate{q.value, v / (q.value * q.value), free}.Interval()
		m.Low, m.High = Float(low), Float(high)
	}
	return m.times(1, unit)
}

// times is m times a constant; a value that overflows is absent.
func (m Figure) times(by Float, unit Unit) Figure {
	m.Unit = unit
	m.Value, m.Low, m.High = m.Value*by, m.Low*by, m.High*by
	for _, f := range []*Float{&m.Value, &m.Low, &m.High} {
		if math.IsInf(float64(*f), 0) {
			*f = Absent()
		}
	}
	if m.Value.IsAbsent() && m.Status == Known {
		m.Reason, m.Low, m.High = Because(NotFinite), Absent(), Absent()
	}
	return m
}

// Student is the two-sided 95 % quantile of Student's t: by how many standard
// errors, known with so many degrees of freedom, an interval reaches. NaN
// below 1.
func Student(freedom float64) float64 {
	if !(freedom >= 1) {
		return math.NaN()
	}
	// The tails beyond t are the regularised incomplete beta function
	// I(ν ÷ (ν+t²); ν/2, ½) (Abramowitz and Stegun 26.7.1), which falls with t
	// ever more slowly: Newton's method comes from below.
	above, _ := math.Lgamma((freedom + 1) / 2)
	below, _ := math.Lgamma(freedom / 2)
	density := func(t float64) float64 {
		return math.Exp(above-below-(freedom+1)/2*math.Log1p(t*t/freedom)) / math.Sqrt(math.Pi*freedom)
	}
	t := 1.9599
	for range 50 {
		step := (incompleteBeta(freedom/(freedom+t*t), freedom/2, 0.5) - (1 - confidence)) / (2 * density(t))
		if t += step; math.Abs(step) < 1e-12*t {
			break
		}
	}
	return t
}

// incompleteBeta is I(x; a, b), by its continued fraction (DLMF 8.17.22) and,
// where that is slow, by that of its complement.
func incompleteBeta(x, a, b float64) float64 {
	if x > (a+1)/(a+b+2) {
		return 1 - incompleteBeta(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	// Lentz's method, modified.
	f, c, d := 1.0, 1.0, 0.0
	for k := range 1000 {
		m := float64(k / 2)
		var term float64
		switch {
		case k == 0:
			term = 1
		case k%2 == 0:
			term = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			term = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / (1 + term*d)
		c = 1 + term/c
		f *= c * d
		if math.Abs(c*d-1) < 1e-15 {
			break
		}
	}
	return front * (f - 1)
}
