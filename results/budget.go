package results

import (
	"cmp"
	"math"
	"slices"
)

// Budget lists the causes of the uncertainty of a figure with watts in it. All
// values are relative to the figure.
type Budget struct {
	Terms []Term `json:"terms"`
	// Quadrature is the root of the sum of the squares of all terms, the
	// combination of independent errors (JCGM 100, the GUM, 5.1.2).
	Quadrature Float `json:"quadrature"`
	// Linear is the sum of the instrument's terms, the worst case (SPEC Power and
	// Performance Benchmark Methodology: analysers are accepted by the sum of
	// their terms).
	Linear Float `json:"linear"`
	// Unstated names the terms that are not known: the sums are then lower
	// bounds.
	Unstated []string `json:"unstated,omitempty"`
}

// Term is one source of uncertainty.
type Term struct {
	Name string `json:"name"`
	// HalfWidth of its 95 % interval or, where only bounds are known, of these.
	HalfWidth Float `json:"half_width"`
	// Shared terms are common to all that one meter reads: they cancel in the
	// ratio of two candidates that were measured with it.
	Shared bool `json:"shared,omitempty"`
}

// Names of terms.
const (
	Repeats      = "repeats"      // half of the figure's 95 % interval, which is from its windows
	Gain         = "gain"         // the instrument's accuracy as its maker or the spec states it
	Quantisation = "quantisation" // half a step of a power; one step of an energy's difference: joules, whatever they are a part of
	Timing       = "timing"       // round trip and the instrument's own period, at both edges of a window
	Sampling     = "sampling"     // what the load did between two readings: see [Budget]
)

// terms is a budget while it is summed: joules, or watts, or relative. An
// unknown term is NaN, one that does not apply 0.
type terms struct {
	gain, quantisation, timing, sampling float64
}

// each applies f to the terms of a and b.
func (a terms) each(b terms, f func(a, b float64) float64) terms {
	return terms{f(a.gain, b.gain), f(a.quantisation, b.quantisation), f(a.timing, b.timing), f(a.sampling, b.sampling)}
}

func (a terms) scale(by float64) terms {
	return a.each(a, func(a, _ float64) float64 { return math.Abs(a * by) })
}

// within returns the uncertainty of the energy between two instants of a run, in J,
// at one total. The gains of the channels of one instrument are correlated and add
// up, and so do those of two; their other terms are independent.
func (h meterTotal) within(r *indexedRun, from, to float64) (sum terms) {
	half, of := 0.0, ""
	for i := range h.parts {
		s := &h.parts[i]
		tr := r.Trace(s.key)
		if tr == nil {
			continue
		}
		if i == 0 || s.meter != of {
			half, of = r.halfTrip(s.meter, from, to), s.meter
		}
		r.spend(10 * len(tr.T)) // passes over it
		t := s.uncertain(tr, from, to, half, s.period)
		gain := sum.gain + t.gain
		sum = sum.each(t, math.Hypot)
		sum.gain = gain
	}
	return sum
}

// halfTrip is half of the longest round trip to a meter around a window, in s.
func (r *indexedRun) halfTrip(meter string, from, to float64) (half float64) {
	trips := r.Trace(TraceKey{Kind: TraceRoundTrip, Meter: meter})
	if trips == nil {
		return 0
	}
	r.spend(len(trips.T))
	for i, t := range trips.T {
		if float64(t) >= from-1 && float64(t) <= to+1 {
			half = max(half, float64(trips.V[i])/2)
		}
	}
	return half
}

// uncertain returns the uncertainty of a channel's energy from second a to b, in
// J. half is half the round trip and period that of the instrument, in s. The
// resolution is absolute: it does not grow with the reading.
func (s *sensor) uncertain(raw *Trace, a, b, half, period float64) terms {
	tr, late := s.news(raw)
	span := b - a
	energy := float64(tr.Over(a, b))
	u := terms{gain: float64(s.Accuracy.Gain)*energy + float64(s.Accuracy.Offset)*span, quantisation: s.resolution()}
	half += s.within // of all readings alike: it adds to what each is late by itself
	p := tr.power(a, b)
	lo, hi := p.rates()
	u.sampling = tr.sampling(a, b, p)
	if s.Kind == Counter {
		// Both readings may be off by half a step, and may be early or late
		// while the load goes on.
		u.timing = math.Hypot(math.Sqrt2*half, max(period, late)) * energy / span
		if edges := tr.edges(a, b); !(u.sampling >= edges) { // nor is there more where too few lie between
			u.sampling = edges
		}
	} else {
		// A shift in time matters by how far the power moves.
		u.quantisation *= span / 2
		least, most := lo, hi
		if s.within > 0 {
			least, most = tr.power(a-s.within, b+s.within).rates()
		}
		u.timing = math.Hypot(math.Sqrt2*half, period) * (most - least)
	}
	if unseen := s.Accuracy.unseen(); unseen > 0 && hi > lo {
		// What the sensor does not see is taken to lie in the range that it saw. No
		// reading shows a load that repeats in step with the sensor.
		mean := energy / span
		u.sampling = math.Hypot(u.sampling, unseen*span*max(hi-mean, mean-lo))
	}
	return u
}

// spread is how the power moves between two instants: n samples of a gauge, or slopes of
// a counter, the least and the largest of them, and the sum of the squares of successive
// differences.
type spread struct {
	n                int
	least, most, sum float64
}

// power is the spread of a trace from second a to b: of the slopes of a counter that lie
// between them.
func (tr *Trace) power(a, b float64) spread {
	s := spread{least: math.Inf(1), most: math.Inf(-1)}
	last := 0.0
	for i := tr.every(1, 0).after(math.Nextafter(a, math.Inf(-1))); i < len(tr.T) && float64(tr.T[i]) <= b; i++ {
		v := float64(tr.V[i])
		if tr.Kind == Counter {
			if i == 0 || float64(tr.T[i-1]) < a {
				continue
			}
			v = (v - float64(tr.V[i-1])) / float64(tr.T[i]-tr.T[i-1])
		}
		if math.IsNaN(v) {
			continue
		}
		s.least, s.most = min(s.least, v), max(s.most, v)
		if s.n++; s.n > 1 {
			s.sum += (v - last) * (v - last)
		}
		last = v
	}
	return s
}

// rates are the least and the largest power, 0 without any.
func (s spread) rates() (lo, hi float64) {
	if s.least > s.most {
		return 0, 0
	}
	return s.least, s.most
}

// deviation is [successive] of the same powers.
func (s spread) deviation() float64 { return math.Sqrt(s.sum / 2 / float64(s.n-1)) }

// sampling returns the error of the energy from second a to b that comes from
// changes of the load between two samples, in J, 95 %.
//
// It is the larger of two estimates. The first is by halving: the integral is
// taken of every other sample, and of the rest; half of the difference estimates
// what twice as many samples would change. It responds to drifts and edges, but
// one difference can be small by chance. The second is the standard error of a
// mean, s ÷ √n, where s² is half the mean square of successive differences (von
// Neumann, 1941): slow changes, which the trapezoid follows, hardly count in it,
// and swings faster than the sampling count in full. A counter has this error only
// at its two edges, where it is interpolated.
func (tr *Trace) sampling(a, b float64, p spread) float64 {
	u := math.Abs(float64(tr.every(2, 0).over(a, b)-tr.every(2, 1).over(a, b))) / 2
	if math.IsNaN(u) {
		u = 0 // too few samples on one side to tell; the differences below still do
	}
	if p.n < 2 {
		return math.NaN()
	}
	s := p.deviation()
	if tr.Kind == Counter {
		// A straight line over an interval h misses a swing of s within it by
		// s·h/4 at most, on average over where the edge falls by less.
		inside := 0
		for _, t := range tr.T {
			if t := float64(t); t >= a && t <= b {
				inside++
			}
		}
		h := (b - a) / float64(max(1, inside))
		return 2 * max(u/2, math.Sqrt2*s*h/4)
	}
	return 2 * max(u, s/math.Sqrt(float64(p.n))*(b-a))
}

// budget makes the terms of a figure, relative to it, into its Budget.
func (t terms) budget(m Figure) *Budget {
	b := &Budget{Terms: make([]Term, 0, 5)}
	square := 0.0
	add := func(name string, half float64, instrument, shared bool) {
		if math.IsNaN(half) || math.IsInf(half, 0) {
			b.Unstated = append(b.Unstated, name)
			return
		}
		half = ppm(half)
		b.Terms = append(b.Terms, Term{Name: name, HalfWidth: Float(half), Shared: shared})
		if square += half * half; instrument {
			b.Linear += Float(half)
		}
	}
	add(Repeats, math.Abs(float64((m.High-m.Low)/2/m.Value)), false, false)
	add(Gain, t.gain, true, true)
	add(Quantisation, t.quantisation, true, false)
	add(Timing, t.timing, true, false)
	add(Sampling, t.sampling, true, false)
	b.Quadrature, b.Linear = Float(ppm(math.Sqrt(square))), Float(ppm(float64(b.Linear)))
	return b
}

// ppm rounds to 1e-6: beneath lies the noise of the arithmetic, which differs
// between processors.
func ppm(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// instrument is the part of the budget that the meter brings, in quadrature;
// NaN if something of it is unknown.
func (t terms) instrument() float64 { return math.Hypot(t.gain, t.own()) }

// own is the part of it that does not grow with the figure.
func (t terms) own() float64 { return math.Hypot(t.quantisation, math.Hypot(t.timing, t.sampling)) }

// linear is the sum of the instrument's terms, the worst case; NaN if one is
// unknown.
func (t terms) linear() float64 { return t.gain + t.quantisation + t.timing + t.sampling }

// apart is the smallest difference of two figures that can be told from none: the
// steps on both sides add up.
func (t terms) apart() float64 { return max(t.own(), math.Sqrt2*t.quantisation) }

// typical returns the terms of a figure over several windows: the median of each
// term. The variation between windows is already in the repeats.
func typical(of []terms) terms {
	middle := func(f func(terms) float64) float64 {
		xs := make([]float64, len(of))
		for i, t := range of {
			xs[i] = f(t)
		}
		// NaN sorts first; an unknown term stays unknown.
		slices.SortFunc(xs, func(a, b float64) int { return cmp.Compare(a, b) })
		if len(xs) == 0 || math.IsNaN(xs[0]) {
			return math.NaN()
		}
		return xs[len(xs)/2]
	}
	return terms{
		middle(func(t terms) float64 { return t.gain }), middle(func(t terms) float64 { return t.quantisation }),
		middle(func(t terms) float64 { return t.timing }), middle(func(t terms) float64 { return t.sampling }),
	}
}
