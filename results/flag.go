package results

import (
	"cmp"
	"fmt"
	"math"
	"strings"
)

// flag adds a warning that follows from the traces, about a run (scenario/round)
// or, where that is empty, about the session.
func (d *deriver) flag(run, code, text, remedy string) {
	d.copied(run, text)
	d.flagged = append(d.flagged, Warning{Code: code, Text: text, Remedy: remedy, Run: run})
}

// flagAll finds all of them.
func (d *deriver) flagAll(s Summary, rows [][]*Window) {
	d.flagged = []Warning{}
	d.flagSession()
	for i := range d.runs {
		d.flagSuspensions(&d.runs[i])
	}
	for i, w := range d.windows {
		if w.run.left && (i == 0 || d.windows[i-1].run != w.run) {
			d.flag(w.run.name, "window-left-out", "this window lacks energy, work or running time that other windows have: it is left out of all figures, so that rates, watts and work per joule cover the same windows",
				"look at the meter's gaps and at what was suspended, and measure more rounds")
		}
	}
	for _, c := range s.Coverage {
		if d.head.Has(c.Meter) && d.head.Origin == Measured && len(d.windows) > 0 && c.Readings < fewReadings {
			d.flag("", "few-readings", fmt.Sprintf("meter %s was read %d times in the shortest window: changes of the load between readings are missed", c.Meter, c.Readings),
				"lengthen --window to ten times the meter's period or more (perwatt meters SPEC shows it)")
		}
	}
	d.flagUncovered()
	d.flagDuty()
	d.flagClocks()
	d.flagAtWork()
	d.flagAboveSheet()
	d.flagMFU(s.Rows)
	d.flagScaling(s.Rows)
	for i, w := range d.windows {
		d.flagUnsteady(w)
		if i == 0 || d.windows[i-1].run != w.run {
			d.flagRun(w)
		}
	}
	for _, why := range d.head.dead {
		d.flag("", "dead-source", fmt.Sprintf("%s of meter %s is used, because a preferred source gave no energy: %s", strings.Join(d.head.Channels, " + "), d.head.Meter, why.Why),
			"watch the preferred source (perwatt meters SPEC --watch), or leave it out")
	}
	if off := idleDrift(d.windows); math.Abs(off) > maxIdleDrift && d.head.Origin == Measured {
		d.flag("", "idle-drift", fmt.Sprintf("idle power moved by %+.1f %% from the first idle run to the last", 100*off),
			"warm the machine up first, or measure longer: net power is uncertain by as much")
	}
	d.flagMeters(s.Meters)
	d.flagClaims(s.Claims)
	d.flagCards(rows)
	for _, ws := range rows {
		if ws[0].Use.Shares != nil {
			d.flagShares(ws)
		}
	}
}

// mostMFU is the model FLOP utilisation above which training on a GPU is doubted. The
// best that is published for models of this size is 0.56: llm.c's GPT-2 of 124 M on an
// A100, against the datasheet, which is above what we measure.
const mostMFU = 0.55

// flagMFU warns of training on GPUs that is faster than anybody's.
func (d *deriver) flagMFU(rows []Row) {
	for i := range rows {
		r := &rows[i]
		d.named(r.Device)
		mfu := r.Metrics[PeakFraction].Value
		if !(mfu > mostMFU) || !r.Trains() || r.PartOf != "" || d.device(CardsOf(r.Device)[0]).Kind != KindGPU {
			continue
		}
		d.flag("", "mfu-high", fmt.Sprintf("%s reached %.0f %% of the FMA peak (MFU); above %.0f %% is suspect", Line(r.Scenario, mostQuoted), 100*mfu, 100*mostMFU),
			"check the FLOP a token or sample in the record, and measure the peak again on an idle card: one that was busy or throttled at the start has too low a peak")
	}
}

// leastUnseen is the shortest window in s for publication with a sensor that does
// not always look. Over many of its periods, the parts of the load that it sees
// come to resemble the others.
const leastUnseen = 30

// flagDuty warns of windows too short for such a sensor.
func (d *deriver) flagDuty() {
	shortest := math.Inf(1)
	for _, w := range d.windows {
		shortest = min(shortest, w.Duration)
	}
	if d.rec.Plan.Preset != "publish" || shortest >= leastUnseen {
		return
	}
	for _, s := range d.head.parts {
		if unseen := s.Accuracy.unseen(); unseen > 0 {
			d.flag("", "short-window", fmt.Sprintf("%s sees the power for %.0f %% of the time, and the shortest window lasts %.3g s: what it misses need not average out", s.named(), 100-100*unseen, shortest),
				fmt.Sprintf("give windows of %d s or more (--window), and a load that is steady", leastUnseen))
			return
		}
	}
}

// flagUnsteady warns if a use had not settled when its window began.
func (d *deriver) flagUnsteady(w *Window) {
	if w.Use.Role == Background || w.Use.Use == "idle" || w.Use.Shares != nil {
		return
	}
	work := w.run.Trace(w.Use.Key(TraceWork))
	if work != nil {
		d.spend(steadyParts * len(work.T))
	}
	ok, spread, slope := Steady(work, float64(w.run.warmup.To), float64(d.rec.Plan.Warmup))
	if ok {
		return
	}
	text := d.rec.Node.UseName(w.Use.Use, w.Use.Device)
	if math.IsNaN(spread) {
		text += " finished too little work during the warm-up to test whether it had settled"
	} else {
		text += fmt.Sprintf(" had not settled when its window began: range %.1f %%, slope %.1f %% of the rate over five parts of the warm-up", 100*spread, 100*slope)
	}
	d.flag(w.run.name, "not-steady", text, "lengthen --warmup, or quieten the machine")
}

// flagRun warns of what concerns a whole run; w is its first window.
func (d *deriver) flagRun(w *Window) {
	run := w.run.name
	if w.Stolen > maxStolen {
		d.flag(run, "stolen-time", fmt.Sprintf("the hypervisor took %.1f %% of the CPU time", 100*float64(w.Stolen)),
			"measure on a dedicated host, or read cpu_throughput beside throughput")
	}
	if w.Others > maxOtherLoad {
		d.flag(run, "other-load", fmt.Sprintf("other processes used %.1f %% of the CPU time", 100*float64(w.Others)),
			"stop what else runs on this machine")
	}
	for _, tr := range w.run.group(TraceKey{Kind: TraceThrottles}) {
		if n := len(tr.V); n > 1 && tr.V[n-1] > tr.V[0] {
			d.flag(run, "throttled", fmt.Sprintf("%s slowed down for heat %.0f times", d.deviceName(tr.Key.Device), tr.V[n-1]-tr.V[0]),
				"improve the cooling or lower the power cap: this is not the hardware's full rate")
		}
	}
	d.flagHeldBack(w)
	if d.metered && w.Energy.IsAbsent() && !w.why.Status.uncovered() {
		d.flag(run, "energy-gap", "no watts for this run: "+w.why.Why,
			"see the meter's trace and its errors in the record; perwatt meters SPEC --watch shows its readings")
	}
}

// flagClocks warns of runs in which the clock of a device was off its median: that of
// the CPU over the session, and that of a card, whose power limit gives each kind of
// work another clock, over the runs of the scenario.
func (d *deriver) flagClocks() {
	type course struct{ device, scenario string }
	clocks := map[course][]*Window{} // one a run
	last := map[course]*indexedRun{}
	var courses []course
	for _, w := range d.windows {
		of := course{device: cmp.Or(w.Use.Device, CPUDevice)}
		if of.device != CPUDevice {
			of.scenario = w.Scenario
		}
		d.named(of.scenario)
		if d.named(of.device); w.Clock.IsAbsent() || last[of] == w.run {
			continue
		}
		if last[of] == nil {
			courses = append(courses, of)
		}
		last[of], clocks[of] = w.run, append(clocks[of], w)
	}
	for _, of := range courses {
		var hz []float64
		for _, w := range clocks[of] {
			hz = append(hz, float64(w.Clock))
		}
		median, _, _ := MedianInterval(hz)
		for _, w := range clocks[of] {
			if off := float64(w.Clock)/median - 1; math.Abs(off) > maxClockShift {
				what, over, cure := "the CPU clock", "the session's median", "fix the frequency (cpupower frequency-set) or measure longer windows"
				if of.device != CPUDevice {
					what, over, cure = "the clock of "+d.rec.Node.DeviceName(of.device), "the scenario's median", "lock the clock (nvidia-smi -lgc MHZ), give the card the same temperature at each start, or measure longer windows"
				}
				d.flag(w.run.name, "clock-moved", fmt.Sprintf("%s was %+.1f %% off %s of %.2f GHz", what, 100*off, over, median/1e9), cure)
			}
		}
	}
}

// deviceName is a device in a sentence.
func (d *deriver) deviceName(id string) string {
	if id == CPUDevice {
		return "the CPU"
	}
	return d.rec.Node.DeviceName(id)
}

// idleDrift is the relative difference between the power of the last idle run and
// that of the first; NaN with fewer than two.
func idleDrift(windows []*Window) float64 {
	first, last := math.NaN(), math.NaN()
	n := 0
	for _, w := range windows {
		if w.Use.Use == "idle" && !w.Energy.IsAbsent() {
			if last = float64(w.Power()); n == 0 {
				first = last
			}
			n++
		}
	}
	if n < 2 {
		return math.NaN()
	}
	return last/first - 1
}

// flagSession warns of what concerns every figure of the record.
func (d *deriver) flagSession() {
	for _, w := range d.powerWarnings() {
		d.flag("", w.Code, w.Text, w.Remedy)
	}
	if n := d.rec.Plan.Rounds; n < minimumWindows && !d.byShares() {
		d.flag("", "few-rounds", fmt.Sprintf("%d of the %d rounds that a 95 %% interval needs: figures have none", n, minimumWindows), "run the quick preset, or --rounds 6")
	}
	d.flagTargets()
	d.flagClockSteps()
}

// flagTargets warns of training of which no run reached a target: where the plan has
// none, or left it to runs that all failed.
func (d *deriver) flagTargets() {
	const unknown = "the training rate is not known to be one that learns"
	type work struct{ use, device, model string }
	reached, trains := map[work]bool{}, false
	for i := range d.rec.Runs {
		r := &d.rec.Runs[i]
		for _, u := range r.Uses {
			if of := (work{u.Use, u.Device, u.Params["model"]}); u.Trains() {
				reached[of] = reached[of] || r.Status == OK && u.Target != nil
				trains = true
			}
		}
	}
	if trains && !d.rec.Plan.Target {
		d.flag("", "no-target", "the time-to-target phase was left out: "+unknown, "run the quick preset, or --target")
		return
	}
	for _, w := range d.windows {
		if of := (work{w.Use.Use, w.Use.Device, w.Use.Params["model"]}); d.rec.Plan.TargetAlone && w.Use.Trains() && !reached[of] {
			d.flag("", "no-target", fmt.Sprintf("no run that trains alone reached its target, and %s has none: %s", Line(w.run.Scenario, mostQuoted), unknown), "see why those runs failed, or measure the mullet alone: --uses mullet")
			return
		}
	}
}

// PowerWarnings returns the warnings about the meters of a session, also before
// any of them was read.
func PowerWarnings(rec *Record) []Warning { return indexed(free(rec)).powerWarnings() }

func (d *deriver) powerWarnings() (out []Warning) {
	for _, m := range d.rec.MeterProbes {
		if m.State == "refused" {
			out = append(out, Warning{Code: "meter-refused", Text: fmt.Sprintf("meter %s is there but could not be read", m.Meter), Remedy: m.Detail})
		}
	}
	out = append(out, d.flagStrays()...)
	const remedy = nameMeter
	switch h := d.head; {
	case !d.metered:
		out = append(out, d.missing)
	case h.Origin == Modelled:
		within := "by how much they are off is not stated"
		if !math.IsNaN(h.Gain) {
			within = fmt.Sprintf("±%.0f %%", 100*h.Gain)
		}
		out = append(out, Warning{Code: "modelled-power", Text: fmt.Sprintf("every watt marked ~ is modelled (%s), not measured: no verdict can rest on it", within), Remedy: remedy})
	case h.Origin == Declared:
		out = append(out, Warning{Code: "declared-power", Text: "the watts are declared, not measured: no verdict can rest on them", Remedy: remedy})
	}
	return out
}

const steadyParts = 5

// Steady tests the last span seconds of a trace before second to, cut into
// five parts: it is steady if their rates (of a counter) or means (of a gauge)
// lie within 2 % of each other and the line fitted through them changes by no
// more than 1 %. A trace that began later is tested from its first sample; one
// that covers less than half of the span is not steady, and spread and slope
// are NaN.
func Steady(tr *Trace, to, span float64) (ok bool, spread, slope float64) {
	if tr == nil || len(tr.T) == 0 {
		return false, math.NaN(), math.NaN()
	}
	a, b := max(to-span, float64(tr.T[0])), to
	if b-a < span/2 {
		return false, math.NaN(), math.NaN()
	}
	var r [steadyParts]float64
	step := (b - a) / steadyParts
	lo, hi, mean, lever := math.Inf(1), math.Inf(-1), 0.0, 0.0
	for i := range r {
		r[i] = float64(tr.Over(a+float64(i)*step, a+float64(i+1)*step)) / step
		lo, hi = min(lo, r[i]), max(hi, r[i])
		mean += r[i] / steadyParts
		lever += (float64(i) - (steadyParts-1)/2.) * r[i]
	}
	// Σ(i−2)² = 10 for five parts; the line spans four steps between their middles.
	spread, slope = (hi-lo)/mean, lever/10*(steadyParts-1)/mean
	return spread <= steadyRange && math.Abs(slope) <= steadySlope, spread, slope
}
