package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// sensor is one channel of a meter as the traces of a session show it. The stated
// resolution of an instrument is used unless the traces show a coarser one.
type sensor struct {
	Channel
	meter  string
	period float64 // s, of the meter; 0 if any
	within float64 // s, of the offset of the clock that its times come from; 0 if it is ours
	key    TraceKey
	// step is the smallest amount by which the channel was seen to move, in its
	// unit; NaN if it never moved or nothing was read.
	step   float64
	values int // how many different changes, or values of a gauge, show it
	// stands is set for a counter that was read more often than it moves: its
	// value is known to be current only at the first reading of a new value.
	stands bool
	pace   float64 // s, the longest time between two changes of such a counter; NaN if it is not known
	value  float64 // the last one that was read
	// blind is set for a gauge that gave the same value idle and under load.
	blind bool
}

const (
	enough   = 8    // different values that show an instrument to be coarser than stated
	fineStep = 1e-3 // of its value: a gauge with steps as fine must move under a changing load
)

// look finds out how a channel moves over the runs of a session.
func (d *deriver) look(meter string, c Channel) sensor {
	s := sensor{Channel: c, meter: meter, key: MeterKey(meter, c.Name), step: math.NaN(), pace: math.NaN(), value: math.NaN()}
	seen := d.moves[:0]
	most, idle, loaded := 0.0, false, false
	for i := range d.runs {
		r := &d.runs[i]
		tr := r.Trace(s.key)
		if tr == nil {
			continue
		}
		r.spend(4 * len(tr.T)) // values are sorted, too
		last, moved := math.NaN(), math.NaN()
		for k, x := range tr.V {
			v, t := float64(x), float64(tr.T[k])
			switch {
			case math.IsNaN(v):
				moved = math.NaN()
			case c.Kind == Gauge:
				if v != last {
					seen = append(seen, v)
				}
				idle, loaded = idle || len(r.Uses) == 0, loaded || len(r.Uses) > 0
			case v > last:
				seen = append(seen, v-last)
				if wait := t - moved; !(wait <= s.pace) && !math.IsNaN(wait) {
					s.pace = wait
				}
				moved = t
			case v == last:
				s.stands = true
			}
			if last = v; !math.IsNaN(v) {
				s.value, most = v, max(most, math.Abs(v))
			}
		}
	}
	d.moves = seen
	s.step, s.values = grid(seen, c.Kind == Gauge, most)
	s.blind = c.Kind == Gauge && s.values == 1 && c.Origin == Measured && idle && loaded && s.resolution() <= fineStep*most
	return s
}

// grid returns the step of which all values are multiples, as far as they show
// it, and the number of different values. xs are the values of a gauge or the
// changes of a counter. With enough of them, the step is the smallest distance
// between two (for a counter also from 0); with fewer it is their largest common
// divisor. most is the largest absolute value of the trace.
func grid(xs []float64, gauge bool, most float64) (step float64, different int) {
	slices.Sort(xs)
	noise := 1e-12 * most // of sums of floats
	xs = slices.CompactFunc(xs, func(a, b float64) bool { return math.Abs(b-a) <= noise })
	if gauge && len(xs) == 1 { // the steps of binary and decimal registers divide a watt, or it them
		return Grain(grain, xs[0], 1), 1
	}
	if len(xs) < enough {
		return Grain(max(noise, grain), xs...), len(xs)
	}
	step = math.Inf(1)
	if !gauge {
		step = xs[0]
	}
	for i := 1; i < len(xs); i++ {
		step = min(step, xs[i]-xs[i-1])
	}
	return step, len(xs)
}

const grain = 1e-6 // J or W: no instrument has finer steps, and finer ones are noise of the arithmetic

// resolution is the step of the channel, in its unit: as stated, or as observed
// where none is stated or the instrument turns out coarser. NaN if neither is
// known.
func (s *sensor) resolution() float64 {
	stated := float64(s.Accuracy.Resolution)
	switch {
	case s.Origin == Declared:
		return 0
	case !(stated > 0):
		return s.step
	case s.values >= enough && s.step > stated:
		return s.step
	}
	return stated
}

// news returns the readings of a trace that carry information: of a counter that
// is read more often than it moves, the first reading of each value. late is the
// longest time in s by which the counter may have moved before such a reading.
func (s *sensor) news(tr *Trace) (out *Trace, late float64) {
	if s.Kind != Counter || !s.stands {
		return tr, 0
	}
	out = &Trace{Key: tr.Key, Unit: tr.Unit, Kind: tr.Kind}
	last := math.NaN()
	for i, x := range tr.V {
		v := float64(x)
		switch {
		case math.IsNaN(v):
			out.T, out.V = append(out.T, tr.T[i]), append(out.V, x)
		case v > last:
			out.T, out.V = append(out.T, tr.T[i]), append(out.V, x)
			late = max(late, float64(tr.T[i]-tr.T[i-1]))
		}
		last = v
	}
	return out, late
}

// energy returns the joules from second a to second b of a run, or why there
// are none.
func (s *sensor) energy(r *indexedRun, a, b float64) (Float, Reason) {
	none := func(status FigureStatus, format string, args ...any) (Float, Reason) {
		return Absent(), Reason{status, s.named() + " " + fmt.Sprintf(format, args...)}
	}
	tr := r.Trace(s.key)
	if tr != nil {
		r.spend(6*len(tr.T) + len(tr.Errors)) // passes over it
	} else {
		r.copied(s.key.Meter, s.key.Channel)
	}
	if tr == nil || !slices.ContainsFunc(tr.V, func(v Float) bool { return !v.IsAbsent() }) {
		why := "it was not read"
		if tr != nil && len(tr.Errors) > 0 {
			why = tr.Errors[0].Error
		}
		return none(NoReading, "gave no reading: %s", why)
	}
	seen, _ := s.news(tr)
	e := seen.Over(a, b)
	within := 0
	for i, t := range seen.T {
		if float64(t) >= a && float64(t) <= b && !seen.V[i].IsAbsent() {
			within++
		}
	}
	switch {
	case tr.Over(a, b).IsAbsent(), s.within > 0 && tr.Over(a-s.within, b+s.within).IsAbsent():
		return none(EnergyGap, "has a gap in the window: %s", tr.gap(a, b))
	case s.blind:
		return Absent(), Reason{MeterBlind, s.stood()}
	case s.Kind == Counter && s.stands && e.IsAbsent() && within > 0 && float64(seen.T[0]) > a && b-a >= 2*s.pace:
		return none(MeterStill, "moves once in %.3g s and was not seen to move before the window: a longer start would do (--settle %.0fs --warmup %.0[2]fs)", s.pace, math.Ceil(2*s.pace))
	case s.Kind == Counter && s.stands && e.IsAbsent() && within > 0:
		return none(MeterStill, "%s in the %.3g s of the window, and was not seen to move before it and after it%s", moved(within), b-a, s.slow(b-a))
	case s.Kind == Counter && s.stands && within == 0:
		return none(MeterStill, "%s in the %.3g s of the window%s", moved(within), b-a, s.slow(b-a))
	case s.Kind == Counter && !(float64(e) > s.resolution()):
		return none(MeterStill, "counted %.4g J in the %.3g s of the window, no more than its step of %.4g J%s", e, b-a, s.resolution(), s.slow(b-a))
	case s.Kind == Counter && !(float64(e) > seen.edges(a, b)):
		return none(MeterStill, "%s in the %.3g s of the window, too seldom to tell its %.3g J from those before and after%s", moved(within), b-a, e, s.slow(b-a))
	}
	if why := s.Boundary.Unbelievable(float64(e)/(b-a), s.LeastWatts(), math.Inf(1)); why != "" {
		return Absent(), Reason{Implausible, fmt.Sprintf("%s: %s", s.named(), why)}
	}
	return e, Reason{}
}

// stood describes a gauge that is blind.
func (s *sensor) stood() string {
	return fmt.Sprintf("%s said %.6g W in every reading, idle and under load, in steps of %.3g W: it does not see the load", s.named(), s.value, s.resolution())
}

func (s *sensor) named() string {
	what := "gauge"
	if s.Kind == Counter {
		what = "counter"
	}
	return fmt.Sprintf("the %s %s of meter %s", what, s.Name, s.meter)
}

// slow is the remedy for a counter that moves too seldom for a window of so many
// seconds, or has stopped.
func (s *sensor) slow(window float64) string {
	step := s.resolution()
	switch {
	case s.pace > 0:
		return fmt.Sprintf(" (it moves once in %.3g s): a window of %.3g s or more would do", s.pace, math.Ceil(2*s.pace))
	case step/100 > window:
		return fmt.Sprintf("; one step is %.4g J, and 100 W take %.3g s to count it: a window of %.3g s or more would do", step, step/100, math.Ceil(step/50))
	}
	return "; it has stopped, or says no value: perwatt meters SPEC --check steps the load and watches it"
}

func moved(n int) string {
	switch n {
	case 0:
		return "did not move"
	case 1:
		return "moved once"
	}
	return fmt.Sprintf("moved %d times", n)
}

// gap is the reason for which [Trace.Over] gives nothing.
func (tr *Trace) gap(a, b float64) string {
	for _, g := range tr.Errors {
		if at := float64(g.At); at >= a-1 && at <= b+1 {
			return g.Error
		}
	}
	n := len(tr.T)
	if n == 0 || float64(tr.T[0]) > a || float64(tr.T[n-1]) < b {
		return "it was not read on both sides of it"
	}
	return "a reading failed"
}

// edges returns the error in J of a counter's energy from second a to second b
// because the load may have changed between the two readings around an edge.
// Interpolation gives x of the d joules between them, so the error is at most x or
// d − x. If the power was that of the neighbouring intervals and changed from one
// to the other within the two readings, the error is a quarter of the difference
// of these powers times the time between the readings. If only one neighbour is
// known, it is at most the difference between that and the mean power in between.
func (tr *Trace) edges(a, b float64) float64 {
	return tr.edge(a) + tr.edge(b)
}

const neighbours = 2 // intervals on either side whose powers are taken as bounds of the power in between

func (tr *Trace) edge(x float64) float64 {
	i, exact := slices.BinarySearchFunc(tr.T, x, func(t Float, x float64) int { return cmp.Compare(float64(t), x) })
	if exact || i == 0 || i == len(tr.T) {
		return 0
	}
	slope := func(k int) float64 { // of the interval that ends at sample k
		if k < 1 || k >= len(tr.T) {
			return math.NaN()
		}
		return float64(tr.V[k]-tr.V[k-1]) / float64(tr.T[k]-tr.T[k-1])
	}
	h, f := float64(tr.T[i]-tr.T[i-1]), (x-float64(tr.T[i-1]))/float64(tr.T[i]-tr.T[i-1])
	most := slope(i) * h * max(f, 1-f)
	lo, hi, sides := slope(i), slope(i), 0
	for _, side := range []int{-1, 1} {
		for k := 1; k <= neighbours; k++ {
			p := slope(i + side*k)
			if math.IsNaN(p) {
				break
			}
			if lo, hi = min(lo, p), max(hi, p); k == 1 {
				sides++
			}
		}
	}
	switch sides {
	case 0:
		return most
	case 1:
		return min(most, h*(hi-lo))
	}
	return min(most, h*(hi-lo)/4)
}
