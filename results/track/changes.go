package track

import (
	"cmp"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results/stats"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// Horizon is how many measured nights back a change is looked for, and
	// how long its date may still move or it be withdrawn: a night that is
	// added never touches a change dated before the last Horizon nights.
	Horizon = 40

	// Memory is how many measured nights tell what is normal. [Resume] needs
	// so many before the first new one.
	Memory = 365

	// shortest is the least number of nights of a segment: one or two are a
	// spike.
	shortest = 3

	// young is how many nights an epoch must have before it is judged.
	young = 8

	// alarm is the p-value that a new change of one of the nodes of a group needs
	// whose new level has lasted
	// from soon to late nights: that is where steps of two or three spreads
	// show. A tenth of it is left to shorter and to longer ones, and to a
	// series that is younger than Memory the share of Memory it has, a third at
	// the least.
	alarm      = 6.5e-5
	soon, late = 6, 10

	// apiece is the p-value that a new change needs whichever night of the new
	// level is left out, so that no single one carries it; a quarter of it
	// before soon.
	apiece = 1e-3

	// alone is the p-value that a change needs in the figure by itself where
	// it is judged after division by the control. A figure in which the step is
	// less than blind standard errors has too much noise in common with the
	// control to show it: it must only not be contrary, by so many of them, and no
	// more is asked of a change that is to be kept. (The control is pinned. Were
	// it as likely to move as what is measured, nothing could be said.)
	alone, blind, contrary = 3e-4, 3, 2.6

	// lasting is the p-value that a change needs to be kept at first. It falls
	// to firm by the end of the Horizon: what is true has only become surer.
	lasting, firm = 3e-3, 3e-5

	// floor is the least relative spread of a night: no clock and no meter is
	// better, and a constant series has one.
	floor = 1e-4

	// fence is how many spreads from the median of its neighbours a night
	// counts.
	fence = 3
)

// Change is a step of the level.
type Change struct {
	Night    int // the first of the new level
	From, To int // nights among which Night is with 95 %
	// Size is the new level over the old, normalised by the control where
	// there is one, with its 95 % interval.
	Size stats.Interval
	P    float64 // of a step as large at this night, had there been none
	// Event is the known event at which it happened, if any.
	Event *Event
	// LastGood and FirstBad are the revisions before From and at To: the
	// change is of a commit after the first, up to the second. Equal, no
	// commit did it.
	LastGood, FirstBad string
	Record             string // of Night
	// Gradual is whether a slide fits better than a step.
	Gradual bool
	// Controlled is whether it is told of the ratio to the control, which most
	// nights on either side of it had.
	Controlled bool
	// Reached are the nights on which Size reached farther than on any before,
	// oldest first: the first of them is the one that showed the change.
	Reached []Reach
}

// Reach is how far from 1 the interval of a change went on a night.
type Reach struct {
	Night int
	Far   float64 // relative, such as 0.08 of −8 % at the most
}

// up reports whether a change is to a higher level.
func (c *Change) up() bool { return c.Size.Value > 1 }

// succeeds makes c, as seen on a night, the same change as old, which was seen
// before; nil if it is new.
func (c *Change) succeeds(old *Change, night int) {
	far := 1 - c.Size.Low
	if c.up() {
		far = c.Size.High - 1
	}
	if old != nil && old.up() == c.up() {
		c.Reached = slices.DeleteFunc(slices.Clone(old.Reached), func(r Reach) bool { return r.Night < c.From }) // which showed another
	}
	if n := len(c.Reached); n == 0 || far > c.Reached[n-1].Far {
		c.Reached = append(c.Reached, Reach{night, far})
	}
}

// near reports whether two changes can be one, of which the nights showed now
// this date and now that.
func (c *Change) near(o *Change) bool {
	return c.up() == o.up() && c.From <= o.To+2 && o.From <= c.To+2
}

// Past is what a pass over the nights of a series has found so far.
type Past struct {
	Changes []Change // oldest first
	// Withdrawn are changes within the Horizon that later nights did not bear
	// out; should they come back, they are not new.
	Withdrawn []Change `json:",omitempty"`
	// Alarms are of the last nights, oldest first.
	Alarms []Alarm `json:",omitempty"`
}

// Changes walks the whole history and returns its changes, oldest first.
func Changes(s *Series) []Change { return Resume(s, Past{}, Never).Changes }

// Resume goes on from what was found in a series when night was its last: only
// later nights are walked, at a cost of one window each. The points may begin
// [Memory] measured nights before the first later one, or at the start of an
// epoch; the result is then the same as that of a full pass.
func Resume(s *Series, past Past, night int) Past {
	w := s.walk(past)
	for i := w.from(night + 1); i < len(w.nights); i++ {
		w.step(i)
	}
	return w.Past
}

// walk is a pass over a history, a night at a time. What it knows of the past
// is in Past alone, and what it sees of it is one window.
type walk struct {
	history
	Past
	watch    Watch  // of the night taken in last
	siblings []Span // that share an alarm

	own, relative, less window // room for one night's work
	nearby              []night
}

func (s *Series) walk(past Past) *walk {
	return &walk{history: s.history(), siblings: s.Siblings, Past: Past{slices.Clone(past.Changes), slices.Clone(past.Withdrawn), slices.Clone(past.Alarms)}}
}

// step takes in night i.
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
	c, fresh := w.look(levels, eldest, i-shortest+1, i, alarm)
	// The first nights of a new level can be taken for an earlier, smaller step.
	// What was shown only by nights since c is c.
	same := open && (!fresh || w.Changes[len(w.Changes)-1].Reached[0].Night >= c.From)
	switch {
	case same:
		old := w.withdraw(len(w.Changes) - 1)
		if of, ok := w.look(levels[:last], eldest, i-shortest+1, i, lasting); ok {
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

// withdraw takes back the change of that index.
func (w *walk) withdraw(at int) Change {
	c := w.Changes[at]
	w.Changes = slices.Delete(w.Changes, at, at+1)
	w.Withdrawn = append(w.Withdrawn, c)
	return c
}

// add takes in a change that night i shows, and that may have been withdrawn.
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

// atEvent judges the step at the start of epoch e, as long as it is within the
// Horizon and nothing else has happened since.
func (w *walk) atEvent(e, i int) {
	at := w.epochs[e]
	if i-at >= Horizon || i-at+1 < shortest || at-w.epochs[e-1] < young {
		return
	}
	if was := slices.IndexFunc(w.Changes, func(c Change) bool { return c.Event != nil && c.Night == w.nights[at].n }); was >= 0 {
		w.withdraw(was)
	}
	if c, ok := w.look(w.levels(w.epochs[e-1], at-1), at, at, i, lasting); ok {
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
// the levels, as seen from night i: a new one if level is alarm, which has to
// stand on more than one night besides, or one that is to be kept if lasting.
func (w *walk) look(levels []int, eldest, latest, i int, level float64) (Change, bool) {
	base := max(levels[0], i-Memory+1)
	own, judged := &w.own, &w.own
	if own.see(w.nights[base:i+1], base, levels, false, nowhere); own.controlled {
		judged = &w.relative
		judged.see(w.nights[base:i+1], base, levels, true, nowhere)
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
	fresh := level == alarm
	asked, less := judged.asks(k)
	asked /= share(w.siblings, w.nights[i].n)
	if fresh {
		level = asked
	} else {
		level *= math.Pow(firm/lasting, max(0, float64(i-base-k-late))/(Horizon-late))
	}
	switch p := judged.p(k); {
	case p > level,
		judged != own && !own.bears(k, f.size, fresh),
		fresh && w.byOne(levels, base, k, i, judged != own, less):
		return Change{}, false
	default:
		from, to := dates(fits, best)
		from, to, at := eldest+from, eldest+to, base+k
		controlled, gradual := judged != own, judged.gradual(k)
		judged.see(w.nights[base:i+1], base, levels, controlled, k)
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
}

// bears reports whether what a figure does by itself at night k goes with a
// step in its ratio to the control, one that is new or is to be kept.
func (w *window) bears(k int, step float64, fresh bool) bool {
	f := w.fit(k)
	return f.size*step > 0 && w.p(k) <= alone || (!fresh || math.Abs(step) < blind*f.error) && math.Abs(f.size-step) < contrary*f.error
}

// byOne reports whether a step at night base+k, as seen from night i, is above
// the level without one of the nights since.
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

// dates returns the first and the last of the likeliest nights that have 95 %
// of the likelihood.
func dates(fits []fit, best int) (from, to int) {
	order := make([]int, len(fits))
	weight := make([]float64, len(fits))
	total := 0.0
	for i, f := range fits {
		order[i] = i
		weight[i] = math.Exp(f.evidence - fits[best].evidence)
		total += weight[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weight[b], weight[a]) })
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

// window is a stretch of an epoch, winsorised, with sums from its start so
// that each step in it is tried at the same cost.
//
// Its nights are taken for a level, one for each segment, and normal noise in
// which a night takes a share of what the night before was off its level:
// AR(1). What that share is, is not known; every one of [rhos] is weighed by
// the likelihood that it has when the levels and the spread are integrated out
// (REML: Harville, Biometrika 61, 1974), so that what is said of a step holds
// however poorly the noise is known.
type window struct {
	y          []float64 // about that of one night, for the sums
	level      int       // where the last level begins
	sum        []float64 // of y, of its squares, and of products of neighbours,
	square     []float64 // each before the index
	product    []float64
	step       int            // where the next is, if one is known
	controlled bool           // by a control on most nights
	before     [nodes]stretch // the levels before the last
	segments   int            // their number
	space      []float64      // of winsorise
}

const nodes = 17

// rhos are the shares that are weighed. A large one is believed less
// beforehand, in proportion to what is left of 1.
var rhos = func() (r [nodes]float64) {
	for i := range r {
		r[i] = 0.96 * float64(i) / (nodes - 1)
	}
	return r
}()

// nowhere is no step.
const nowhere = -1

// see makes the window one of nights, the first of which has the index base.
// What is winsorised has no step that is not yet among the levels, unless one
// is known: few nights of a new level are spikes to those who do not know it.
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

// parted winsorises nights of which those from a step on are of a new level.
// Where it is, the figures say as they are: a night that is cut seems to lie on
// either.
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

// room is a slice of length n, in the room of xs if that has enough.
func room(xs []float64, n int) []float64 { return slices.Grow(xs[:0], n)[:n] }

// neighbours is the span within which a night's median is taken: of a new
// level three nights are cut like spikes, the fourth is not.
const neighbours = 7

// apart is how many nights lie between two that tell the spread: fewer, and
// nights that resemble their neighbours seem to have less of it.
const apart = 5

// winsorise brings each night to within fence spreads of the median of its
// neighbours: a few spikes are cut, a step is not. The room is for two slices
// of as many; it may be nil.
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
	spread := median(far) / 0.954 // which it is of normal nights that owe each other nothing
	if spread <= floor {
		spread = max(floor, sum/float64(n-apart)) // more than half do not move at all
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

// slide puts in into what is sorted in the place of out.
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

// stretch sums nights of which each is freed from its share of the night
// before: of y squared, of y times a level of 1, and of that level squared.
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

// shift is y times a step of 1 at night k, and that step times the level and
// itself: the first night of a new level says most, as it owes nothing to the
// night before.
func (w *window) shift(k int, rho float64) (product, cross, ones float64) {
	end := len(w.y)
	rest, n, sum := 1-rho, float64(end-k-1), w.sum[end]-w.sum[k]
	return w.y[k] - rho*w.y[k-1] + rest*(sum-w.y[k]-rho*(sum-w.y[end-1])), rest * (1 + n*rest), 1 + n*rest*rest
}

// freedom is what the levels and a step leave.
func (w *window) freedom() float64 { return float64(len(w.y) - w.segments - 2) }

// residual adds what the last level leaves to what those before it left, and
// the least there can be.
func (w *window) residual(j int, s stretch) float64 {
	rho := rhos[j]
	return w.before[j].square + s.square - s.product*s.product/s.ones + floor*floor*w.freedom()*(1-rho*rho)
}

// steps calls f with a step at night k as each of [rhos] has it: its size, the
// variance of that, and the logarithm of its likelihood.
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

// hint reports whether any step at nights from to to has, for any share, a t
// that may be below the level: most nights end here.
func (w *window) hint(from, to int, level float64) bool {
	freedom := w.freedom()
	if freedom < 1 {
		return false
	}
	t := distuv.UnitNormal.Quantile(level / 2) // which has the thinner tails
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

// fit is a step: its size and standard error, and the logarithm of the
// likelihood that there is one at this night.
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

// size returns the new level over the old, with the interval that has it in 95 %
// of what is told: the step may lie at any night from to to, each weighed by its
// likelihood, and is told because it was large. So its near end is that of a
// step that had to be as large as the p-value asks of a new one (Weinstein,
// Fithian and Benjamini, JASA 108, 2013), and no nearer than no step at all.
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
	near := spread * max(0, told(student, math.Abs(size)/spread, -student.Quantile(asked/2)))
	if size < 0 {
		return stats.Interval{Value: math.Exp(size), Low: math.Exp(-far), High: math.Exp(-near)}
	}
	return stats.Interval{Value: math.Exp(size), Low: math.Exp(near), High: math.Exp(far)}
}

// told returns the lower end of the interval of what was t, in standard errors,
// and would not be known were it less than the least.
func told(student distuv.StudentsT, t, least float64) float64 {
	low, high := 0., t
	more := func(truth float64) bool { // that t than 2.5 % of those that are known
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

// p is two-sided: of a step as large at night k, if there were none.
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

// normalise makes weights of logarithms and returns that of their sum.
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

// asks are the p-values that a new step at night k needs, of all nights and
// without one of them.
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
