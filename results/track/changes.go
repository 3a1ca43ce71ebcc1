package track

import (
	"cmp"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// Horizon is the number of measured nights in which a change is searched,
	// redated or withdrawn: a new night never affects a change dated before the
	// last Horizon nights.
	Horizon = 40

	// Memory is the number of measured nights that define what is normal. [Judge]
	// needs that many before the first new one.
	Memory = 365

	// shortest is the least length of a segment in nights: one or two are a spike.
	shortest = 3

	// young is the number of nights that an epoch needs before it is judged.
	young = 8

	// alarm is the p-value required of a new change, shared by the nodes of a
	// group, whose new level has lasted from soon to late nights: that is where
	// steps of two or three standard deviations show. Shorter and longer levels
	// need a tenth of it. A series shorter than Memory needs it in proportion to
	// its length, but at least a third.
	alarm      = 6.5e-5
	soon, late = 6, 10

	// apiece is the p-value required with any one night of the new level left
	// out, so that no single night carries the change; a quarter of it before
	// soon.
	apiece = 1e-3

	// alone is the p-value required in the figure itself where it is judged after
	// division by the control. If the step is less than blind standard errors, the
	// figure shares too much noise with the control to show it; then it only must
	// not contradict the step by contrary standard errors. The same suffices to
	// keep a change. (This assumes that the pinned control moves less often than
	// what is measured.)
	alone, blind, contrary = 3e-4, 3, 2.6

	// lasting is the p-value required to keep a change at first. It falls to firm
	// by the end of the Horizon, because a true change only becomes more certain.
	lasting, firm = 3e-3, 3e-5

	// floor is the least relative standard deviation of a night: no clock or meter
	// is better, and a constant series needs one.
	floor = 1e-4

	// fence is the number of standard deviations from the median of its neighbours
	// at which a night is winsorised.
	fence = 3
)

// Change is a step of the level.
type Change struct {
	Night    int // the first of the new level
	From, To int // 95 % interval of Night
	// Size is the ratio of the new level to the old, normalised by the control
	// where there is one, with its 95 % interval.
	Size stats.Interval
	P    float64 // probability of a step as large at this night by chance
	// Event is the known event at the change, if any.
	Event *Event
	// LastGood and FirstBad are the revisions before From and at To: a commit
	// after the first, up to the second, made the change. If they are equal, no
	// commit did.
	LastGood, FirstBad string
	Record             string // of Night
	// Gradual is set if a line fits better than a step.
	Gradual bool
	// Controlled is set if the change is in the ratio to the control, which most
	// nights on either side had.
	Controlled bool
	// Reached lists the nights on which the interval of Size extended farther than
	// before, oldest first: the change was detected on the first of them.
	Reached []Reach
}

// Reach is how far from 1 the interval of a change extended on a night.
type Reach struct {
	Night int
	Far   float64 // relative: 0.08 for an interval down to −8 %
}

// up reports whether the new level is higher.
func (c *Change) up() bool { return c.Size.Value > 1 }

// succeeds makes c, as seen on a night, the continuation of old, which was seen
// before; old is nil for a new change.
func (c *Change) succeeds(old *Change, night int) {
	far := 1 - c.Size.Low
	if c.up() {
		far = c.Size.High - 1
	}
	if old != nil && old.up() == c.up() {
		c.Reached = slices.DeleteFunc(slices.Clone(old.Reached), func(r Reach) bool { return r.Night < c.From }) // of another change
	}
	if n := len(c.Reached); n == 0 || far > c.Reached[n-1].Far {
		c.Reached = append(c.Reached, Reach{night, far})
	}
}

// near reports whether two changes can be one change that was dated differently
// on different nights.
func (c *Change) near(o *Change) bool {
	return c.up() == o.up() && c.From <= o.To+2 && o.From <= c.To+2
}

// Past is the state of a pass over the nights of a series.
type Past struct {
	Changes []Change // oldest first
	// Withdrawn are changes within the Horizon that later nights did not confirm;
	// if they reappear, they are not new.
	Withdrawn []Change `json:",omitempty"`
	// Alarms are of the last nights, oldest first.
	Alarms []Alarm `json:",omitempty"`
}

// walk is a pass over a history, one night at a time. All its state is in Past,
// and it sees one window of nights.
type walk struct {
	history
	Past
	watch    Watch  // of the last night
	siblings []Span // that share an alarm

	own, relative, less window // buffers for the work of one night
	nearby              []night
}

func (p Past) clone() Past {
	return Past{slices.Clone(p.Changes), slices.Clone(p.Withdrawn), slices.Clone(p.Alarms)}
}

func (s *Series) walk(past Past) *walk {
	return &walk{history: s.history(), siblings: s.Siblings, Past: past.clone()}
}

// step advances the pass to night i.
func (w *walk) step(i int) {
	w.alarmed(i)
	w.Withdrawn = slices.DeleteFunc(w.Withdrawn, func(c Change) bool { return i-w.from(c.Night) >= Horizon })
	e := w.epoch(i)
	start := w.epochs[e]
	levels := w.levels(start, i)
	if e > 0 && len(levels) == 1 {
		w.atEvent(e, i)
	}
	eldest := max(i-Horizon+1, start+young)
	last := len(levels) - 1
	open := last > 0 && i-levels[last] < Horizon // the last may still move
	c, fresh := w.look(levels, eldest, i-shortest+1, i, true)
	// The first nights of a new level can be mistaken for an earlier, smaller
	// step. A change detected only on nights since c is c.
	same := open && (!fresh || w.Changes[len(w.Changes)-1].Reached[0].Night >= c.From)
	switch {
	case same:
		old := w.withdraw(len(w.Changes) - 1)
		if of, ok := w.look(levels[:last], eldest, i-shortest+1, i, false); ok {
			c = of
		} else if !fresh {
			return
		}
		w.Withdrawn = w.Withdrawn[:len(w.Withdrawn)-1]
		c.succeeds(&old, w.nights[i].n)
		w.Changes = append(w.Changes, c)
	case fresh:
		w.add(c, i)
	}
}

// withdraw removes the change of that index.
func (w *walk) withdraw(at int) Change {
	c := w.Changes[at]
	w.Changes = slices.Delete(w.Changes, at, at+1)
	w.Withdrawn = append(w.Withdrawn, c)
	return c
}

// add adds a change seen on night i, which may have been withdrawn before.
func (w *walk) add(c Change, i int) {
	var old *Change
	if at := slices.IndexFunc(w.Withdrawn, func(o Change) bool { return c.near(&o) }); at >= 0 {
		was := w.Withdrawn[at]
		old = &was
		w.Withdrawn = slices.Delete(w.Withdrawn, at, at+1)
	}
	c.succeeds(old, w.nights[i].n)
	w.Changes = append(w.Changes, c)
}

// atEvent judges the step at the start of epoch e while it is within the Horizon
// and nothing has changed since.
func (w *walk) atEvent(e, i int) {
	at := w.epochs[e]
	if i-at >= Horizon || i-at+1 < shortest || at-w.epochs[e-1] < young {
		return
	}
	if was := slices.IndexFunc(w.Changes, func(c Change) bool { return c.Event != nil && c.Night == w.nights[at].n }); was >= 0 {
		w.withdraw(was)
	}
	if c, ok := w.look(w.levels(w.epochs[e-1], at-1), at, at, i, false); ok {
		c.Event, c.From, c.To = &w.events[e-1], c.Night, c.Night
		w.add(c, i)
	}
}

// levels returns the first nights of the levels of an epoch up to night i.
func (w *walk) levels(start, i int) []int {
	levels := []int{start}
	for _, c := range w.Changes {
		if at := w.from(c.Night); at > start && at <= i {
			levels = append(levels, at)
		}
	}
	return levels
}

// look tries a step at every night from eldest to latest, within the last of
// the levels, as seen from night i. A fresh change needs the p-value alarm and
// must not rest on one night; to keep a change, lasting suffices at first.
func (w *walk) look(levels []int, eldest, latest, i int, fresh bool) (Change, bool) {
	base := max(levels[0], i-Memory+1)
	nights := w.nights[base : i+1]
	own, judged := &w.own, &w.own
	if own.see(nights, base, levels, false, nowhere); own.controlled {
		judged = &w.relative
		judged.see(nights, base, levels, true, nowhere)
	}
	level := lasting
	if fresh {
		level = alarm
	}
	eldest = max(eldest, base+judged.level+shortest)
	if eldest > latest || !judged.hint(eldest-base, latest-base, level) {
		return Change{}, false
	}
	best, fits := 0, make([]fit, 0, Horizon)
	for k := eldest; k <= latest; k++ {
		if fits = append(fits, judged.fit(k-base)); fits[k-eldest].evidence > fits[best].evidence {
			best = k - eldest
		}
	}
	f, k := fits[best], eldest+best-base
	asked, less := judged.asks(k)
	asked /= share(w.siblings, w.nights[i].n)
	if fresh {
		level = asked
	} else {
		level *= math.Pow(firm/lasting, max(0, float64(i-base-k-late))/(Horizon-late))
	}
	controlled, p := judged != own, judged.p(k)
	if p > level || controlled && !own.bears(k, f.size, fresh) || fresh && w.byOne(levels, base, k, i, controlled, less) {
		return Change{}, false
	}
	from, to := dates(fits, best)
	from, to, at := eldest+from, eldest+to, base+k
	gradual := judged.gradual(k)
	judged.see(nights, base, levels, controlled, k)
	latest = max(latest, base+judged.step)
	return Change{
		Night: w.nights[at].n, From: w.nights[from].n, To: w.nights[to].n,
		Size: judged.size(eldest-base, latest-base, asked), P: p,
		Controlled: controlled && hasControl(w.nights[max(levels[len(levels)-1], at-recent):at]) && hasControl(w.nights[at:i+1]),
		LastGood:   w.nights[from-1].revision, FirstBad: w.nights[to].revision,
		Record:  w.nights[at].record,
		Gradual: gradual,
	}, true
}

// bears reports whether the figure itself at night k is consistent with a step
// in its ratio to the control, which is new or to be kept.
func (w *window) bears(k int, step float64, fresh bool) bool {
	f := w.fit(k)
	return f.size*step > 0 && w.p(k) <= alone || (!fresh || math.Abs(step) < blind*f.error) && math.Abs(f.size-step) < contrary*f.error
}

// byOne reports whether a step at night base+k, as seen from night i, rests on
// one night: without it the p-value is above the level.
func (w *walk) byOne(levels []int, base, k, i int, normalise bool, level float64) bool {
	for out := base + k; out <= i; out++ {
		w.nearby = append(append(w.nearby[:0], w.nights[base:out]...), w.nights[out+1:i+1]...)
		w.less.see(w.nearby, base, levels, normalise, nowhere)
		if w.less.p(k) > level {
			return true
		}
	}
	return false
}

// dates returns the first and the last of the likeliest nights that hold 95 % of
// the likelihood.
func dates(fits []fit, best int) (from, to int) {
	order := make([]int, len(fits))
	weight := make([]float64, len(fits))
	total := 0.0
	for i, f := range fits {
		order[i] = i
		weight[i] = math.Exp(f.evidence - fits[best].evidence)
		total += weight[i]
	}
	results.SortStable(order, func(a, b int) int { return cmp.Compare(weight[b], weight[a]) })
	from, to = best, best
	sum := 0.0
	for _, i := range order {
		if sum >= 0.95*total {
			break
		}
		from, to, sum = min(from, i), max(to, i), sum+weight[i]
	}
	return from, to
}

// window is a stretch of an epoch, winsorised, with cumulative sums so that
// every step in it is tried at the same cost.
//
// The model is one level for each segment and normal AR(1) noise: a night
// inherits a share of the previous night's deviation. The share is unknown; each
// of [rhos] is weighted by its likelihood with the levels and the standard
// deviation integrated out (REML: Harville, Biometrika 61, 1974), so that the
// inference holds however poorly the noise is known.
type window struct {
	y          []float64 // relative to one night, for the precision of the sums
	level      int       // where the last level begins
	sum        []float64 // cumulative sums before the index: of y, of its squares,
	square     []float64 // and of products of neighbours
	product    []float64
	step       int            // index of the next step, if one is known
	controlled bool           // most nights have a control
	before     [nodes]stretch // the levels before the last
	segments   int            // their number
	space      []float64      // of winsorise
}

const nodes = 17

// rhos are the AR(1) coefficients that are weighted. The prior of a coefficient
// is proportional to 1 minus it.
var rhos = func() (r [nodes]float64) {
	for i := range r {
		r[i] = 0.96 * float64(i) / (nodes - 1)
	}
	return r
}()

// nowhere stands for no step.
const nowhere = -1

// see fills the window with nights, the first of which has the index base.
// Winsorising assumes no step beyond the levels, unless one is given: without it
// a few nights of a new level are cut like spikes.
func (w *window) see(nights []night, base int, levels []int, normalise bool, step int) {
	n := len(nights)
	*w = window{y: room(w.y, n), sum: room(w.sum, n+1), square: room(w.square, n+1), product: room(w.product, n), space: room(w.space, 2*n)}
	w.sum[0], w.square[0], w.product[0] = 0, 0, 0
	known, control := 0, math.NaN()
	for _, x := range nights {
		if !math.IsNaN(x.control) {
			if known++; known == 1 {
				control = x.control
			}
		}
	}
	w.controlled = 2*known > n
	for i, x := range nights {
		if w.y[i] = x.value; normalise {
			if !math.IsNaN(x.control) { // a night without takes that of the night before
				control = x.control
			}
			w.y[i] -= control
		}
	}
	if step == nowhere {
		winsorise(w.y, w.space)
	} else {
		w.parted(max(levels[len(levels)-1]-base, 0), step)
	}
	middle := w.y[n/2]
	for i := range w.y {
		w.y[i] -= middle
		w.sum[i+1] = w.sum[i] + w.y[i]
		w.square[i+1] = w.square[i] + w.y[i]*w.y[i]
		if i > 0 {
			w.product[i] = w.product[i-1] + w.y[i]*w.y[i-1]
		}
	}
	for _, at := range levels[1:] {
		if at -= base; at > 0 {
			for j, rho := range rhos {
				s := w.whiten(w.level, at, rho)
				w.before[j].square += s.square - s.product*s.product/s.ones
				w.before[j].ones += math.Log(s.ones / (1 - rho*rho))
			}
			w.level = at
			w.segments++
		}
	}
}

// parted winsorises nights with a new level from about a step on. The exact step
// is located in the figures before winsorising, because a cut night seems to
// lie on either level.
func (w *window) parted(level, step int) {
	size, least := 0.0, math.Inf(1)
	for k := max(level+1, step-shortest); k < len(w.y) && k <= step+shortest; k++ {
		before, after := w.y[max(level, step-recent):k], w.y[k:]
		x, y := median(append(w.space[:0], before...)), median(append(w.space[:0], after...))
		off := 0.0
		for _, v := range before {
			off += math.Abs(v - x)
		}
		for _, v := range after {
			off += math.Abs(v - y)
		}
		if off < least {
			least, size, w.step = off, y-x, k
		}
	}
	for i := w.step; i < len(w.y); i++ {
		w.y[i] -= size
	}
	winsorise(w.y, w.space)
	for i := w.step; i < len(w.y); i++ {
		w.y[i] += size
	}
}

// room returns a slice of length n that reuses xs if its capacity suffices.
func room(xs []float64, n int) []float64 { return slices.Grow(xs[:0], n)[:n] }

// neighbours is the number of nights in a local median: three nights of a new
// level are cut like spikes, a fourth is not.
const neighbours = 7

// apart is the lag of the differences from which the standard deviation is
// estimated: a shorter lag underestimates it where nights are correlated.
const apart = 5

// winsorise limits each night to fence standard deviations from the median of its
// neighbours: a few spikes are cut, a step is not. Space is a buffer of twice
// the length of y; it may be nil.
func winsorise(y []float64, space []float64) {
	n, sum := len(y), 0.0
	if n < 2*apart {
		return
	}
	space = room(space, 2*n)
	far, local := space[n:2*n-apart], space[:n]
	for i := range far {
		far[i] = math.Abs(y[i+apart] - y[i])
		sum += far[i]
	}
	spread := median(far) / 0.954 // for independent normal nights
	if spread <= floor {
		spread = max(floor, sum/float64(n-apart)) // more than half of the differences are 0
	}
	sorted := [neighbours]float64(y)
	slices.Sort(sorted[:])
	for i := range y {
		if from := i - neighbours/2; from > 0 && from <= n-neighbours {
			slide(&sorted, y[from-1], y[from-1+neighbours])
		}
		local[i] = sorted[neighbours/2]
	}
	for i := range y {
		y[i] = min(max(y[i], local[i]-fence*spread), local[i]+fence*spread)
	}
}

// slide replaces out by in, keeping the order.
func slide(sorted *[neighbours]float64, out, in float64) {
	i := 0
	for sorted[i] != out {
		i++
	}
	for ; i+1 < neighbours && sorted[i+1] < in; i++ {
		sorted[i] = sorted[i+1]
	}
	for ; i > 0 && sorted[i-1] > in; i-- {
		sorted[i] = sorted[i-1]
	}
	sorted[i] = in
}

// stretch holds sums over whitened nights: of y squared, of y times a level of 1,
// and of that level squared.
type stretch struct{ square, product, ones float64 }

func (w *window) whiten(i, j int, rho float64) stretch {
	n, first, last := float64(j-i), w.y[i], w.y[j-1]
	sum, square, product := w.sum[j]-w.sum[i], w.square[j]-w.square[i], w.product[j-1]-w.product[i]
	return stretch{
		square:  (1+rho*rho)*square - rho*rho*(first*first+last*last) - 2*rho*product,
		product: (1 - rho) * (sum - rho*(sum-first-last)),
		ones:    (1 - rho) * (n - (n-2)*rho),
	}
}

// shift returns whitened products of a step of 1 at night k: with y, with the
// level, and with itself. The first night of a new level weighs most, as it
// does not depend on the night before.
func (w *window) shift(k int, rho float64) (product, cross, ones float64) {
	end := len(w.y)
	rest, n, sum := 1-rho, float64(end-k-1), w.sum[end]-w.sum[k]
	return w.y[k] - rho*w.y[k-1] + rest*(sum-w.y[k]-rho*(sum-w.y[end-1])), rest * (1 + n*rest), 1 + n*rest*rest
}

// freedom is the number of degrees of freedom left by the levels and a step.
func (w *window) freedom() float64 { return float64(len(w.y) - w.segments - 2) }

// residual is the residual sum of squares of all levels, with the floor added.
func (w *window) residual(j int, s stretch) float64 {
	rho := rhos[j]
	return w.before[j].square + s.square - s.product*s.product/s.ones + floor*floor*w.freedom()*(1-rho*rho)
}

// steps calls f with the step at night k under each of [rhos]: its size, its
// variance and the logarithm of its likelihood.
func (w *window) steps(k int, f func(j int, size, variance, likelihood float64)) {
	freedom := w.freedom()
	for j, rho := range rhos {
		s := w.whiten(w.level, len(w.y), rho)
		product, cross, ones := w.shift(k, rho)
		ones -= cross * cross / s.ones
		size := (product - cross*s.product/s.ones) / ones
		left := w.residual(j, s) - size*size*ones
		left = max(left, floor*floor*freedom*(1-rho*rho))
		f(j, size, left/freedom/ones,
			math.Log(1-rho)+(math.Log((1-rho*rho)/(s.ones*ones))-w.before[j].ones-freedom*math.Log(left))/2)
	}
}

// hint is a quick test whether a step at any night from from to to can have a
// p-value below the level under any of [rhos]. Most nights fail it.
func (w *window) hint(from, to int, level float64) bool {
	freedom := w.freedom()
	if freedom < 1 {
		return false
	}
	t := distuv.UnitNormal.Quantile(level / 2) // the normal has thinner tails than t
	for j, rho := range rhos {
		s := w.whiten(w.level, len(w.y), rho)
		left := w.residual(j, s)
		for k := from; k <= to; k++ {
			product, cross, ones := w.shift(k, rho)
			product -= cross * s.product / s.ones
			if e := product * product / (ones - cross*cross/s.ones); e*freedom >= t*t*(left-e) {
				return true
			}
		}
	}
	return false
}

// fit is a fitted step: its size, its standard error, and the log likelihood of a
// step at this night.
type fit struct{ size, error, freedom, evidence float64 }

func (w *window) fit(k int) fit {
	var size, variance, weight [nodes]float64
	w.steps(k, func(j int, s, v, l float64) { size[j], variance[j], weight[j] = s, v, l })
	f := fit{freedom: w.freedom(), evidence: normalise(&weight)}
	for j, p := range weight {
		f.size += p * size[j]
	}
	for j, p := range weight {
		d := size[j] - f.size
		f.error += p * (variance[j] + d*d)
	}
	f.error = math.Sqrt(f.error)
	return f
}

// size returns the ratio of the new level to the old, with an interval that
// covers it in 95 % of the changes that are reported. The step may lie at any
// night from from to to, weighted by likelihood. A change is reported because it
// was large, so the near end is corrected for that selection (Weinstein, Fithian
// and Benjamini, JASA 108, 2013) and does not cross 1.
func (w *window) size(from, to int, asked float64) stats.Interval {
	fits := make([]fit, 0, to-from+1)
	top := math.Inf(-1)
	for k := from; k <= to; k++ {
		f := w.fit(k)
		fits, top = append(fits, f), max(top, f.evidence)
	}
	var size, square, total float64
	for i, f := range fits {
		p := math.Exp(f.evidence - top)
		fits[i].evidence = p
		total += p
		size += p * f.size
	}
	size /= total
	for _, f := range fits {
		d := f.size - size
		square += f.evidence / total * (f.error*f.error + d*d)
	}
	spread := math.Sqrt(square)
	student := distuv.StudentsT{Sigma: 1, Nu: fits[0].freedom}
	far := math.Abs(size) + spread*student.Quantile(0.975)
	near := spread * max(0, selected(student, math.Abs(size)/spread, -student.Quantile(asked/2)))
	if size < 0 {
		return stats.Interval{Value: math.Exp(size), Low: math.Exp(-far), High: math.Exp(-near)}
	}
	return stats.Interval{Value: math.Exp(size), Low: math.Exp(near), High: math.Exp(far)}
}

// selected returns the lower end, in standard errors, of the interval of a step
// whose statistic is t and would not be reported below least.
func selected(student distuv.StudentsT, t, least float64) float64 {
	low, high := 0., t
	more := func(truth float64) bool { // t exceeded by more than 2.5 % of the reported statistics
		return student.CDF(truth-t) > 0.025*student.CDF(truth-least)
	}
	if t <= least || more(0) {
		return 0
	}
	for range 40 {
		if middle := (low + high) / 2; more(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return low
}

// p is the two-sided p-value of a step at night k.
func (w *window) p(k int) (p float64) {
	var t, weight [nodes]float64
	w.steps(k, func(j int, s, v, l float64) { t[j], weight[j] = math.Abs(s)/math.Sqrt(v), l })
	normalise(&weight)
	student := distuv.StudentsT{Sigma: 1, Nu: w.freedom()}
	for j, of := range weight {
		if of > 1e-9 {
			p += of * 2 * student.CDF(-t[j])
		}
	}
	return p
}

// normalise turns log weights into weights and returns the log of their sum.
func normalise(weight *[nodes]float64) float64 {
	top, sum := slices.Max(weight[:]), 0.0
	for j, l := range weight {
		weight[j] = math.Exp(l - top)
		sum += weight[j]
	}
	for j := range weight {
		weight[j] /= sum
	}
	return top + math.Log(sum)
}

// asks returns the p-values required of a new step at night k: with all nights,
// and with any one left out.
func (w *window) asks(k int) (all, less float64) {
	all, less = alarm*min(1, max(1./3, float64(len(w.y))/Memory)), apiece
	m := len(w.y) - k
	if m < soon || m > late {
		all /= 10
	}
	if m < soon {
		less /= 4
	}
	return all, less
}

// gradual reports whether a line from the start of the level fits better than
// a step at k.
func (w *window) gradual(k int) bool {
	y := w.y[w.level:]
	n := float64(len(y))
	left := func(i, j int) float64 {
		sum := w.sum[j] - w.sum[i]
		return w.square[j] - w.square[i] - sum*sum/float64(j-i)
	}
	var lever float64
	for i, v := range y {
		lever += (float64(i) - (n-1)/2) * v
	}
	return left(w.level, len(w.y))-lever*lever/(n*(n*n-1)/12) < left(w.level, k)+left(k, len(w.y))
}
