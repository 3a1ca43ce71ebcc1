package results

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// controls returns the windows of the control, by device and round.
func (d *deriver) controls() map[string]map[int]*Window {
	m := map[string]map[int]*Window{}
	d.spend(len(d.windows))
	for _, w := range d.windows {
		if u := w.Use; w.run.left || u.Use != Control || u.Role != Alone || u.Params["model"] != "" {
			continue
		}
		if m[w.Use.Device] == nil {
			m[w.Use.Device] = map[int]*Window{}
		}
		m[w.Use.Device][w.Round] = w
	}
	return m
}

// paired applies f to the windows of the same round: drift over the session
// cancels in their ratio or difference.
func paired(a, b map[int]*Window, f func(a, b *Window) Float) []float64 {
	var xs []float64
	for _, r := range slices.Sorted(maps.Keys(a)) {
		if b[r] == nil {
			continue
		}
		if x := float64(f(a[r], b[r])); !math.IsNaN(x) && !math.IsInf(x, 0) {
			xs = append(xs, x)
		}
	}
	return xs
}

// relative adds the ratios to the control on the same device, round by round; for
// idle power to the control on the CPU.
func (d *deriver) relative(m map[string]Figure, ws []*Window) {
	control, of := d.control[cmp.Or(ws[0].Use.Device, CPUDevice)], map[int]*Window{}
	if len(control) == 0 || ws[0].Use.Use == Control {
		return
	}
	for _, w := range ws {
		of[w.Round] = w
	}
	ratio := func(f func(*Window) Float, unit Unit) Figure {
		return median(paired(of, control, func(a, b *Window) Float { return f(a) / f(b) }), unit, Because(NoPair))
	}
	unit := Ratio
	if u := ws[0].Use.Unit; u != Hash {
		unit = u.Per(Hash)
	}
	if ws[0].Use.Use != "idle" {
		m[RelativeThroughput] = ratio((*Window).Throughput, unit)
	}
	if !d.metered {
		return
	}
	// One meter saw both: its gain cancels in the ratio.
	both := func(w *Window) terms {
		t := gross(w).each(gross(control[w.Round]), math.Hypot)
		t.gain = 0
		return t
	}
	pairs := slices.DeleteFunc(slices.Clone(ws), func(w *Window) bool {
		c := control[w.Round]
		return c == nil || c.Energy.IsAbsent()
	})
	watts := d.seen(pairs, both)
	m[RelativePower] = watts.mark(ratio((*Window).Power, Ratio))
	if ws[0].Use.Use != "idle" {
		m[RelativeWorkPerEnergy] = watts.mark(ratio(func(w *Window) Float { return w.Work / w.Energy }, unit))
	}
}

// find returns the windows of the first row of the plan with this use, role,
// device and (for training) model. One card of several is no such row: it has no
// watts of its own.
func find(rows [][]*Window, use string, role Role, device, model string) []*Window {
	for _, ws := range rows {
		if u := ws[0].Use; ws[0].sum == "" && u.Use == use && u.Role == role && u.Device == device && u.Params["model"] == model {
			return ws
		}
	}
	return nil
}

// coRun are the rows of a scenario with mining in the background, and of what is in
// front there alone.
type coRun struct{ alone, front, back []*Window }

// coRunning lists the co-runs of a session whose parts were all measured.
func (d *deriver) coRunning(rows [][]*Window) (out []coRun) {
	type work struct{ use, device, model string }
	of := func(ws []*Window) work {
		u := ws[0].Use
		d.copied(u.Use, u.Device)
		return work{u.Use, u.Device, u.Params["model"]}
	}
	alone, back := map[work][]*Window{}, map[string][]*Window{}
	for _, ws := range rows {
		switch u := ws[0].Use; {
		case ws[0].sum != "":
		case u.Role == Alone && alone[of(ws)] == nil:
			alone[of(ws)] = ws
		case u.Role == Background && u.Use == "mining" && back[ws[0].Scenario] == nil:
			back[ws[0].Scenario] = ws
		}
	}
	for _, ws := range rows {
		if ws[0].sum != "" || ws[0].Use.Role != Foreground {
			continue
		}
		if c := (coRun{alone[of(ws)], ws, back[ws[0].Scenario]}); c.alone != nil && c.back != nil {
			out = append(out, c)
		}
	}
	return out
}

// coRuns compares what is in front of each co-run with the same alone. That with the
// CPU in front is the mullet, apart from the others.
func (d *deriver) coRuns(rows [][]*Window) (mullet *CoRunCost, others []CoRun) {
	for _, c := range d.coRunning(rows) {
		if c.front[0].given() != c.alone[0].given() {
			continue // see flagCards
		}
		switch cost, u := d.coRunCost(c), c.front[0].Use; {
		case cost == nil:
		case unplaced(u.Device):
			mullet = cmp.Or(mullet, cost)
		default:
			others = append(others, CoRun{Scenario: c.front[0].Scenario, Front: u.Use, Device: u.Device, Shared: c.back[0].Use.Device == u.Device, CoRunCost: *cost})
		}
	}
	return mullet, others
}

// coRunCost is what mining in the background costs and brings. Each figure is made of
// those of the rows; its interval follows from the effect of each round on both.
func (d *deriver) coRunCost(c coRun) *CoRunCost {
	alone, front, back := c.alone, c.front, c.back
	rate := func(ws []*Window) quotient { return sums(ws, (*Window).work, (*Window).seconds) }
	kept, gained := rate(front).over(rate(alone)), rate(back)
	if !(kept.value > 0) || math.IsInf(kept.value, 0) || math.IsNaN(gained.value) {
		return nil
	}
	// The same meter read both, at nearly the same power: its gain applies to the
	// difference, and its other terms do not cancel.
	shortest := math.Inf(1)
	watts := func(ws []*Window) (q quotient, each, plain []terms) {
		for _, w := range ws {
			if !w.Energy.IsAbsent() {
				each, plain = append(each, w.uncertain.scale(1/w.Duration)), append(plain, gross(w))
				shortest = min(shortest, w.Duration)
			}
		}
		return sums(ws, (*Window).energy, (*Window).seconds), each, plain
	}
	before, ofAlone, _ := watts(alone)
	with, ofFront, plain := watts(front)
	own := typical(ofAlone).each(typical(ofFront), math.Hypot)
	extra := with.less(before)
	own.gain = d.head.Gain * math.Abs(extra.value)
	power := missing(Watt, noEnergy(slices.Concat(alone, front)))
	if !math.IsNaN(extra.value) {
		power = extra.metric(Watt, true)
	}
	mark := seen{d, own.scale(1 / extra.value), typical(plain), shortest}.mark
	power = mark(power)
	seconds := Float(0)
	for _, w := range front {
		seconds += w.seconds()
	}
	joules := power.times(seconds, Joule)
	each := missing(Joule.Per(Hash), power.Reason)
	if power.N > 0 {
		each = mark(extra.over(gained).metric(Joule.Per(Hash), false))
	}
	unresolved := Reason{}
	resolution := own.apart()
	switch {
	case power.N == 0:
	case power.Low.IsAbsent():
		unresolved = Reason{NoInterval, fmt.Sprintf("no interval of the extra power from n = %d", power.N)}
	case power.Low <= 0:
		unresolved = Because(ReachesZero)
	case float64(power.Value) <= resolution:
		unresolved = Reason{BelowResolution, fmt.Sprintf("the extra power is below the meter's resolution (%.3g W)", resolution)}
	}
	if unresolved != (Reason{}) {
		each.Value, each.Low, each.High, each.Instrument, each.Budget, each.Reason = Absent(), Absent(), Absent(), Absent(), nil, unresolved
		joules.Reason = unresolved
	}
	return &CoRunCost{
		TrainingKept: kept.metric(Ratio, false),
		HashesGained: gained.metric(Hash.Per(Second), false),
		ExtraPower:   power,
		ExtraEnergy:  joules,
		EnergyPer:    each,
	}
}

// exchange is how many hashes the energy of one training sample (or token) would give on the
// same device, for every model in the order of the plan.
func (d *deriver) exchange(rows [][]*Window) (out []Exchange) {
	efficiency := func(ws []*Window) quotient { return sums(ws, (*Window).work, (*Window).energy) }
	// One meter saw both: its gain cancels in the ratio.
	all := d.seen(d.windows, func(w *Window) terms {
		t := gross(w)
		t.gain = 0
		return t.scale(math.Sqrt2)
	})
	for _, ws := range rows {
		if !ws[0].Use.Trains() || ws[0].Use.Role != Alone || ws[0].sum != "" {
			continue
		}
		device := ws[0].Use.Device
		mining := efficiency(find(rows, "mining", Alone, device, ""))
		d.spend(64 * (len(mining.moves) + len(ws)))
		if q := mining.over(efficiency(ws)); q.value > 0 && !math.IsInf(q.value, 0) {
			out = append(out, Exchange{Scenario: ws[0].Scenario, Device: device, HashesPerSample: all.mark(q.metric(Hash.Per(ws[0].Use.Unit), false))})
		}
	}
	return out
}
