package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// sums is the quotient of two sums over the windows that have both.
func sums(ws []*Window, num, den func(*Window) Float) quotient {
	var pairs []Pair
	var rounds []int
	for _, w := range ws {
		if n, d := num(w), den(w); !n.IsAbsent() && !d.IsAbsent() {
			pairs, rounds = append(pairs, Pair{float64(n), float64(d)}), append(rounds, w.Round)
		}
	}
	return quotientOf(pairs, rounds)
}

// What figures are sums of.
func (w *Window) work() Float    { return w.Work }
func (w *Window) energy() Float  { return w.Energy }
func (w *Window) seconds() Float { return Float(w.Duration) }
func (w *Window) above() Float   { return w.Energy - w.idle*Float(w.Duration) } // J above idle
func once(*Window) Float         { return 1 }

// per is [sums] times a constant as a figure that cannot be negative.
func per(ws []*Window, num, den func(*Window) Float, by float64, unit Unit, why Reason) Figure {
	q := sums(ws, num, den)
	if len(q.moves) == 0 {
		return missing(unit, why)
	}
	return q.scaled(by).metric(unit, false)
}

// missing is a figure that is not there.
func missing(unit Unit, why Reason) Figure {
	return Figure{Value: Absent(), Low: Absent(), High: Absent(), Unit: unit, Reason: why, Provenance: Provenance{Instrument: Absent()}}
}

// median is the median of what each round gave, with its order-statistic
// interval.
func median(xs []float64, unit Unit, why Reason) Figure {
	if len(xs) == 0 {
		return missing(unit, why)
	}
	med, lo, hi := MedianInterval(xs)
	return Figure{Value: Float(med), Low: Float(lo), High: Float(hi), Unit: unit, N: len(xs), Provenance: Provenance{Instrument: Absent()}}
}

// inverse turns work per energy into energy per work.
func (m Figure) inverse(unit Unit) Figure {
	m.Unit = unit
	if m.N > 0 && m.Value == 0 {
		m.Value, m.Low, m.High, m.Reason = Absent(), Absent(), Absent(), Because(NoWork)
		return m
	}
	m.Value, m.Low, m.High = 1/m.Value, 1/m.High, 1/m.Low
	if math.IsInf(float64(m.High), 0) {
		m.High = Absent()
	}
	return m
}

// arithmetic adds the rate of useful operations, and its share of the rates that
// the kernel and the device reached at the start, on one thread each.
func (d *deriver) arithmetic(m map[string]Figure, ws []*Window) {
	u := &ws[0].Use
	share := func(of Float, unit Unit, why FigureStatus) Figure {
		if of.IsAbsent() {
			return missing(unit, Because(why))
		}
		return per(ws, (*Window).work, (*Window).seconds, float64(u.FlopPerCount/of), unit, noWork)
	}
	m[FlopRate] = share(1, FLOP.Per(Second), Known)
	one, equal := u, Float(1)
	if cards := ws[0].parts; len(cards) > 0 {
		one, equal = &cards[0].Use, Float(len(cards))
	}
	speed := d.speedOf(one)
	kernel, timed := speed.rates[u.Impl]
	if !timed {
		kernel = Absent()
	}
	peak := speed.peak
	if !(peak > 0) {
		peak = Absent()
	}
	threads := equal * Float(max(1, u.Threads))
	m[KernelFraction] = share(threads*kernel, Ratio, KernelUntimed)
	m[PeakFraction] = share(threads*peak, Ratio, NoPeak)
}

// speed is what one thread of a device reached at the start, in FLOP/s.
type speed struct {
	rates map[string]Float // by implementation
	peak  Float            // of the best; 0 if none has one
}

// on identifies the speed of a device at one precision, or, with an empty
// precision, at what its kernels have without one: the CPU's are all fp32.
type on struct{ device, precision string }

// gemm begins the names of kernels that have a precision: gemm-bf16.
const gemm = "gemm-"

// speedOf returns the speed that a use is held against: the tensor units of a card
// are many times as fast at one precision as at another.
func (d *deriver) speedOf(u *Use) speed {
	device := u.Devices()[0] // of equal ones
	if of, ok := d.speeds[on{device, u.Precision()}]; ok {
		return of
	}
	return d.speeds[on{device, ""}]
}

// speedsOf returns the speed of each device that has kernels.
func speedsOf(rec *Record) map[on]speed {
	out := map[on]speed{}
	for _, k := range rec.Kernels {
		at := on{device: k.Device}
		if of, ok := strings.CutPrefix(k.Name, gemm); ok {
			at.precision = of
		}
		of, seen := out[at]
		if !seen {
			of.rates = map[string]Float{}
		}
		for _, im := range k.Impls {
			if im.Unit != FLOP.Per(Second) {
				continue
			}
			if im.Rate > 0 {
				of.rates[im.Name] = im.Rate
			}
			if im.Peak > of.peak {
				of.peak = im.Peak
			}
		}
		out[at] = of
	}
	return out
}

var noWork = Reason{CounterGap, "the work counter was not read around the window"}

// noEnergy is the most frequent reason for which windows have no joules.
func noEnergy(ws []*Window) Reason {
	var whys tally
	for _, w := range ws {
		if w.Energy.IsAbsent() {
			whys.add(w.why)
		}
	}
	return whys.usual()
}

// tally counts how often each reason occurs.
type tally struct {
	reasons []Reason // each once
	n       map[Reason]int
}

func (t *tally) add(r Reason) {
	if t.n == nil {
		t.n = map[Reason]int{}
	}
	if t.n[r]++; t.n[r] == 1 {
		t.reasons = append(t.reasons, r)
	}
}

// usual is the reason that occurs most often, the first of several.
func (t *tally) usual() (most Reason) {
	for _, r := range t.reasons {
		if t.n[r] > t.n[most] {
			most = r
		}
	}
	return most
}

// metrics returns the figures of a row, and its work per energy above idle.
func (d *deriver) metrics(ws []*Window) (m map[string]Figure, netEfficiency Figure) {
	u := ws[0].Use
	unit := u.Unit
	watts := d.seen(ws, gross)
	power := watts.mark(per(ws, (*Window).energy, (*Window).seconds, 1, Watt, noEnergy(ws)))
	energy := per(ws, (*Window).energy, once, float64(power.N), Joule, noEnergy(ws))
	energy.Low, energy.High = Absent(), Absent()
	m = map[string]Figure{Power: power, Energy: watts.mark(energy)}
	d.relative(m, ws)
	if u.Use == "idle" {
		none := missing(Ratio, Because(IdleScenario))
		m[Throughput], m[WorkPerEnergy], m[EnergyPerWork] = none, none, none
		return m, none
	}
	m[Throughput] = per(ws, (*Window).work, (*Window).seconds, 1, unit.Per(Second), noWork)
	m[CPUThroughput] = per(ws, (*Window).work, func(w *Window) Float {
		if w.CPU > 0 {
			return w.CPU
		}
		return Absent()
	}, 1, unit.Per(Second), Reason{CounterGap, "the CPU time was not read around the window"})
	if u.FlopPerCount > 0 {
		d.arithmetic(m, ws)
	}
	if u.Shares != nil {
		d.shares(m, ws)
	}
	why := unresolved(ws)
	extra, wattsAbove := missing(Watt, why), d.seen(ws, net)
	if why.Status == Known {
		extra = sums(ws, (*Window).above, (*Window).seconds).metric(Watt, true)
	}
	m[NetPower] = wattsAbove.mark(extra)
	m[WorkPerEnergy] = watts.mark(d.efficiency(ws, (*Window).energy, Reason{}, NoEnergy))
	m[EnergyPerWork] = m[WorkPerEnergy].inverse(Joule.Per(unit))
	d.target(m, ws)
	return m, wattsAbove.mark(d.efficiency(ws, (*Window).above, why, NotAboveIdle))
}

// efficiency is work per energy, which is all of it or that above idle. It is
// missing for the reason why, if there is one, and for none if the energy of all
// windows is not positive.
func (d *deriver) efficiency(ws []*Window, energy func(*Window) Float, why Reason, none FigureStatus) Figure {
	unit := ws[0].Use.Unit.Per(Joule)
	q := sums(ws, (*Window).work, energy)
	switch {
	case why.Status != Known:
		return missing(unit, why)
	case len(q.moves) == 0:
		return missing(unit, cmp.Or(noEnergy(ws), noWork))
	case !(q.value >= 0) || math.IsInf(q.value, 0):
		return missing(unit, Because(none))
	case ws[0].Use.Shares == nil:
		return q.metric(unit, false)
	}
	shares := sums(ws, func(w *Window) Float { return w.Work / w.Use.Shares.Work }, func(w *Window) Float { return 1 + 0*energy(w) })
	spread, _ := uneven(ws)
	n := shares.value * float64(len(q.moves))
	d.counting(n)
	return q.metric(unit, false).counted(n, spread)
}

// rounding bounds the relative error of a power that comes of float64 arithmetic
// alone: the same declared watts in two windows can differ by it.
const rounding = 1e-12

// unresolved is the reason for which the power of windows cannot be told from that
// of their idle runs; empty if it can.
func unresolved(ws []*Window) Reason {
	above := sums(ws, (*Window).above, (*Window).seconds)
	if len(above.moves) == 0 {
		return cmp.Or(noEnergy(ws), Because(NoIdle))
	}
	var each []terms
	atIdle := 0
	for _, w := range ws {
		if more := w.Power() - w.idle; !more.IsAbsent() {
			if math.Abs(float64(more)) <= rounding*float64(w.idle) {
				atIdle++
			}
			each = append(each, w.uncertain.scale(1/w.Duration).each(w.idleTerms, math.Hypot))
		}
	}
	switch step := math.Sqrt2 * typical(each).quantisation; {
	case above.value <= 0, 2*atIdle >= len(each): // the uncertainty of half of them, relative to nothing, has no bound
		return Because(NotAboveIdle)
	case above.value <= step:
		return Reason{BelowResolution, fmt.Sprintf("%.3g W above idle is below the meter's resolution (%.3g W)", above.value, step)}
	}
	return Reason{}
}

// target adds the figures of the time-to-target phase.
func (d *deriver) target(m map[string]Figure, ws []*Window) {
	var reached []*Window
	for _, w := range ws {
		if w.Use.Target != nil {
			reached = append(reached, w)
		}
	}
	if len(reached) == 0 {
		return
	}
	phase := func(w *Window) (r *indexedRun, from, to float64) {
		return w.run, float64(w.run.target.From), float64(w.run.target.To)
	}
	m[StepsToTarget] = per(reached, func(w *Window) Float { return Float(w.Use.Target.Steps) }, once, 1, Step, Reason{})
	m[TimeToTarget] = per(reached, func(w *Window) Float { return w.run.target.To - w.run.target.From }, once, 1, Second, Reason{})
	var whys tally
	joules := per(reached, func(w *Window) Float {
		e, why := d.energy(phase(w))
		if e.IsAbsent() {
			whys.add(why)
		}
		return e
	}, once, 1, Joule, Reason{})
	if joules.N == 0 {
		joules.Reason = whys.usual()
	}
	m[EnergyToTarget] = d.seen(reached, func(w *Window) terms {
		e, _ := d.energy(phase(w))
		return d.head.within(phase(w)).scale(1 / float64(e))
	}).mark(joules)
}

// MedianInterval returns the median of xs and the bounds of its 95 %
// order-statistic interval, which assumes nothing of the distribution: the
// k-th smallest and the k-th largest value, k the largest for which the
// binomial probability of missing the median stays within 5 %. Fewer than six
// values have none: the bounds are NaN. xs is not changed.
func MedianInterval(xs []float64) (median, low, high float64) {
	s := slices.Clone(xs)
	slices.Sort(s)
	n := len(s)
	if n == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	median = (s[(n-1)/2] + s[n/2]) / 2
	low, high = math.NaN(), math.NaN()
	// Terms of the binomial distribution for p = ½, by logarithm: 2^−n
	// underflows beyond a thousand values.
	term, miss := -float64(n)*math.Ln2, 0.0
	for k := 1; k <= n/2; k++ {
		if miss += 2 * math.Exp(term); miss > 1-confidence {
			break
		}
		low, high = s[k-1], s[n-k]
		term += math.Log(float64(n-k+1)) - math.Log(float64(k))
	}
	return median, low, high
}
