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
	Memory = 180

	// shortest is the least number of nights of a segment: one or two are a
	// spike.
	shortest = 3

	// young is how many nights an epoch must have before it is judged.
	young = 8

	// alarm is the p-value that a new change needs.
	alarm = 2e-5

	// lasting is the p-value that a change needs to be kept, and that a figure
	// needs by itself where it is judged after division by the control.
	lasting = 3e-3

	// floor is the least relative spread of a night: no clock and no meter is
	// better, and a constant series has one.
	floor = 1e-4

	// fence is how many spreads from its four neighbours a night counts.
	fence = 3

	// wary is by how many standard errors more than estimated nights are taken
	// to resemble their neighbours: too little costs false alarms, too much a
	// night or two.
	wary = 0.5
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
}

// Changes walks the whole history and returns its changes, oldest first. It is
// [Resume] from the first night.
func Changes(s *Series) []Change { return Resume(s, nil, math.MinInt) }

// Resume returns the changes of a series of which known were found when night
// was its last: only later nights are walked, at a cost of one window each.
// The points may begin [Memory] measured nights before the first later one, or
// at the start of an epoch; the result is then the same as that of a full pass.
func Resume(s *Series, known []Change, night int) []Change {
	w := walk{history: s.history(), found: slices.Clone(known)}
	for i := range w.nights {
		if w.nights[i].n > night {
			w.step(i)
		}
	}
	return w.found
}

// walk is a pass over a history, a night at a time. What it knows of the past
// is in found alone, and what it sees of it is one window.
type walk struct {
	history
	found []Change
}

// step takes in night i.
func (w *walk) step(i int) {
	e := w.epoch(i)
	start := w.epochs[e]
	levels := w.levels(start, i)
	if e > 0 && len(levels) == 1 {
		w.atEvent(e, i)
	}
	eldest := max(i-Horizon+1, start+young)
	if c, ok := w.look(levels, eldest, i-shortest+1, i, alarm); ok {
		w.found = append(w.found, c)
		return
	}
	last := len(levels) - 1
	if last == 0 || i-levels[last] >= Horizon {
		return
	}
	w.found = w.found[:len(w.found)-1]
	if c, ok := w.look(levels[:last], eldest, i-shortest+1, i, lasting); ok {
		w.found = append(w.found, c)
	}
}

// atEvent judges the step at the start of epoch e, as long as it is within the
// Horizon and nothing else has happened since.
func (w *walk) atEvent(e, i int) {
	at := w.epochs[e]
	if i-at >= Horizon || i-at+1 < shortest || at-w.epochs[e-1] < young {
		return
	}
	w.found = slices.DeleteFunc(w.found, func(c Change) bool { return c.Event != nil && c.Night == w.nights[at].n })
	if c, ok := w.look(w.levels(w.epochs[e-1], at-1), at, at, i, lasting); ok {
		c.Event, c.From, c.To = &w.events[e-1], c.Night, c.Night
		w.found = append(w.found, c)
	}
}

// levels returns the first nights of the levels of an epoch up to night i.
func (w *walk) levels(start, i int) []int {
	levels := []int{start}
	for _, c := range w.found {
		if at := w.from(c.Night); at > start && at <= i {
			levels = append(levels, at)
		}
	}
	return levels
}

// look tries a step at every night from eldest to latest, within the last of
// the levels, as seen from night i.
func (w *walk) look(levels []int, eldest, latest, i int, level float64) (Change, bool) {
	base := max(levels[0], i-Memory+1)
	own := see(w.nights[base:i+1], base, levels, false)
	judged := own
	if own.controlled() {
		judged = see(w.nights[base:i+1], base, levels, true)
	}
	first := base + judged.level + shortest
	eldest = max(eldest, first)
	best, fits := 0, make([]fit, 0, Horizon)
	for k := eldest; k <= latest; k++ {
		f := judged.fit(k - base)
		if judged != own && !own.fit(k-base).agrees(f) {
			f = fit{}
		}
		if fits = append(fits, f); math.Abs(f.t) > math.Abs(fits[best].t) {
			best = k - eldest
		}
	}
	if len(fits) == 0 || !fits[best].below(level) {
		return Change{}, false
	}
	f, at := fits[best], eldest+best
	from, to := dates(fits, best)
	from, to = eldest+from, eldest+to
	h := f.error * distuv.StudentsT{Sigma: 1, Nu: f.freedom}.Quantile(0.975)
	return Change{
		Night: w.nights[at].n, From: w.nights[from].n, To: w.nights[to].n,
		Size:     stats.Interval{Value: math.Exp(f.size), Low: math.Exp(f.size - h), High: math.Exp(f.size + h)},
		P:        f.p(),
		LastGood: w.nights[from-1].revision, FirstBad: w.nights[to].revision,
		Record:  w.nights[at].record,
		Gradual: judged.gradual(at - base),
	}, true
}

// dates returns the first and the last of the likeliest nights that have 95 %
// of the likelihood.
func dates(fits []fit, best int) (from, to int) {
	order := make([]int, len(fits))
	weight := make([]float64, len(fits))
	total := 0.0
	for i, f := range fits {
		order[i] = i
		weight[i] = math.Exp(f.evidence() - fits[best].evidence())
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
type window struct {
	y        []float64 // about the median of all
	level    int       // where the last level begins
	sum      []float64 // of y, of its squares, and of products of neighbours,
	square   []float64 // each before the index
	product  []float64
	known    int // nights with a control
	before   moments
	segments float64
}

// see makes a window of nights, the first of which has the index base.
func see(nights []night, base int, levels []int, normalise bool) *window {
	n := len(nights)
	w := &window{y: make([]float64, n), sum: make([]float64, n+1), square: make([]float64, n+1), product: make([]float64, n+1), segments: 2}
	control := math.NaN()
	for _, x := range nights {
		if !math.IsNaN(x.control) {
			if w.known++; w.known == 1 {
				control = x.control
			}
		}
	}
	for i, x := range nights {
		if w.y[i] = x.value; normalise {
			if !math.IsNaN(x.control) { // a night without takes that of the night before
				control = x.control
			}
			w.y[i] -= control
		}
	}
	winsorise(w.y)
	middle := median(slices.Clone(w.y))
	for i := range w.y {
		w.y[i] -= middle
		w.sum[i+1] = w.sum[i] + w.y[i]
		w.square[i+1] = w.square[i] + w.y[i]*w.y[i]
		w.product[i+1] = w.product[i]
		if i > 0 {
			w.product[i+1] += w.y[i] * w.y[i-1]
		}
	}
	for _, at := range levels[1:] {
		if at -= base; at > 0 {
			w.before = w.before.plus(w.moments(w.level, at))
			w.level = at
			w.segments++
		}
	}
	return w
}

// controlled reports whether the control was there on most nights.
func (w *window) controlled() bool { return 2*w.known > len(w.y) }

// winsorise brings each night to within fence spreads of the median of the
// five around it: spikes of one or two nights are cut, a step is not.
func winsorise(y []float64) {
	if len(y) < 5 {
		return
	}
	local, off := make([]float64, len(y)), make([]float64, len(y))
	sum := 0.0
	for i := range y {
		from := min(max(i-2, 0), len(y)-5)
		five := [5]float64(y[from : from+5])
		local[i] = median(five[:])
		off[i] = math.Abs(y[i] - local[i])
		sum += off[i]
	}
	reach := fence * max(1.7*median(off), floor) // 1.7: of normal nights, standard deviation over this median
	if reach <= fence*floor {
		reach = max(reach, fence*1.5*sum/float64(len(y))) // more than half do not move at all
	}
	for i := range y {
		y[i] = min(max(y[i], local[i]-reach), local[i]+reach)
	}
}

// moments are sums of squares and of products of neighbours about a mean.
type moments struct{ square, product float64 }

func (m moments) plus(o moments) moments { return moments{m.square + o.square, m.product + o.product} }

func (w *window) moments(i, j int) moments {
	n, s := float64(j-i), w.sum[j]-w.sum[i]
	m := s / n
	return moments{
		max(0, w.square[j]-w.square[i]-s*m),
		w.product[j] - w.product[i+1] - m*(2*s-w.y[i]-w.y[j-1]) + (n-1)*m*m,
	}
}

// noise is what nights do about their level, with m about levels of their own.
func (w *window) noise(m moments) (rho, variance, freedom float64) {
	n := float64(len(w.y))
	if m.square > 0 {
		rho = m.product / m.square
	}
	// Means that were fitted, and the estimate itself, bias it low (Marriott
	// and Pope, Biometrika 41, 1954).
	rho = (rho + w.segments/n) / (1 - (w.segments+2)/n)
	rho = min(rho, 0.95)
	rho = min(max(0, rho+wary*math.Sqrt(max(0, 1-rho*rho)/n)), 0.95)
	freedom = n - w.segments - 1
	variance = ((1+rho*rho)*m.square - 2*rho*m.product) / freedom
	return rho, max(variance, floor*floor), freedom
}

// fit is a step: its size, standard error and degrees of freedom.
type fit struct{ size, error, freedom, t float64 }

// fit estimates a step at night k, by generalised least squares under AR(1)
// noise: the first night of a new level says most, as it owes nothing to the
// night before.
func (w *window) fit(k int) fit {
	s, end := w.level, len(w.y)
	rho, variance, freedom := w.noise(w.before.plus(w.moments(s, k)).plus(w.moments(k, end)))
	if freedom < 1 {
		return fit{}
	}
	rest := 1 - rho
	fresh := func(i, j int) float64 { // sum of what nights i to j bring of their own
		return w.sum[j] - w.sum[i] - rho*(w.sum[j-1]-w.sum[i-1])
	}
	n, all := float64(end-k-1)*rest, float64(end-s-1)*rest
	a, b, c := 1-rho*rho+all*rest, rest*(1+n), 1+n*rest
	u := (1-rho*rho)*w.y[s] + rest*fresh(s+1, end)
	v := w.y[k] - rho*w.y[k-1] + rest*fresh(k+1, end)
	det := a*c - b*b
	f := fit{size: (a*v - b*u) / det, error: math.Sqrt(variance * a / det), freedom: freedom}
	f.t = f.size / f.error
	return f
}

// p is two-sided.
func (f fit) p() float64 {
	if f.freedom == 0 {
		return 1
	}
	return 2 * distuv.StudentsT{Sigma: 1, Nu: f.freedom}.CDF(-math.Abs(f.t))
}

// below reports whether p is at most the level. Most steps are told by the
// normal distribution, which has the thinner tails.
func (f fit) below(level float64) bool {
	return math.Erfc(math.Abs(f.t)/math.Sqrt2) <= level && f.p() <= level
}

// agrees reports whether two steps go one way, the first beyond doubt.
func (f fit) agrees(o fit) bool { return f.size*o.size > 0 && f.below(lasting) }

// evidence is the log likelihood ratio against no step.
func (f fit) evidence() float64 {
	if f.freedom == 0 {
		return 0
	}
	return (f.freedom + 1) / 2 * math.Log1p(f.t*f.t/f.freedom)
}

// gradual reports whether a line from the start of the level fits better than
// a step at k.
func (w *window) gradual(k int) bool {
	y := w.y[w.level:]
	n := float64(len(y))
	mean := (w.sum[len(w.y)] - w.sum[w.level]) / n
	var sxy, total float64
	for i, v := range y {
		sxy += (float64(i) - (n-1)/2) * (v - mean)
		total += (v - mean) * (v - mean)
	}
	line := total - sxy*sxy/(n*(n*n-1)/12)
	return line < w.moments(w.level, k).square+w.moments(k, len(w.y)).square
}
