package results

import (
	"fmt"
	"math"
	"slices"
)

// Limits on what keeps work from being done and is not a part of the machine's
// speed. Shares of a window are as large as the stolen time that is accepted.
const (
	maxHalt = 0.5 // s: a scheduler may be late by less; a longer halt was caused by somebody, however long the window
	maxHeld = maxStolen
	maxWait = maxStolen
)

// halt is a time for which something did not run.
type halt struct {
	who  TraceKey
	from float64 // s on the clock of the record
	long float64 // s, of all such times together
}

// halts lists what was suspended from second a to second b of a run.
func (r *indexedRun) halts(a, b float64) (out []halt) {
	for _, tr := range slices.Concat(r.group(HarnessSuspended), r.group(MachineSuspended), r.group(TraceKey{Kind: TraceSuspended})) {
		if r.spend(4 * len(tr.T)); r.lost[tr.Key] { // the others went on
			continue
		}
		h := halt{who: tr.Key}
		for k := 1; k < len(tr.T) && k < len(tr.V); k++ {
			rise, t0, t1 := float64(tr.V[k]-tr.V[k-1]), float64(tr.T[k-1]), float64(tr.T[k])
			if !(rise > 0 && t1 >= a && t0 <= b) {
				continue
			}
			if within := (min(t1, b) - max(t0, a)) / (t1 - t0); h.who != MachineSuspended { // whose clock stood
				rise *= within
			}
			if h.long == 0 {
				h.from = max(t0, a)
			}
			h.long += rise
		}
		if h.long > 0 {
			out = append(out, h)
		}
	}
	return out
}

// halted reports whether something stood still for more than 1 % of a window. A
// halt of the harness alone does not count where a device works elsewhere: the
// device goes on, and its shares show whether they were received evenly.
func (w *Window) halted() bool {
	for _, h := range w.halts {
		if elsewhere := w.Use.Shares != nil && h.who == HarnessSuspended; !elsewhere && h.long > maxStolen*w.Duration {
			return true
		}
	}
	return false
}

// flagSuspensions warns of what stood still in a run after the first phase that a
// figure rests on began. A run that failed is included: that may be why.
func (d *deriver) flagSuspensions(r *indexedRun) {
	from, to, first := Absent(), Absent(), Absent()
	for _, p := range r.Phases {
		switch p.Name {
		case PhaseMeasure:
			from, to = p.From, p.To
		case PhaseWarmup, PhaseTarget:
		default:
			continue
		}
		if first.IsAbsent() {
			first = p.From
		}
		if from.IsAbsent() { // it came no further
			to = p.To
		}
	}
	for _, h := range r.halts(float64(first), float64(to)) {
		if h.long <= min(maxHalt, maxStolen*max(0, float64(to-from))) {
			continue
		}
		what, remedy := "the worker of "+d.rec.Node.UseName(h.who.Use, h.who.Device)+" was stopped", "let it run: no kill -STOP, debugger or freezer while it is measured"
		switch h.who {
		case HarnessSuspended:
			what, remedy = "perwatt did not run", "let it run: no Ctrl-Z, kill -STOP, debugger, freezer or pause of the guest while it measures; neither load nor stolen time explains this"
		case MachineSuspended:
			what, remedy = "the machine slept", "keep it awake: systemd-inhibit --what=sleep perwatt run"
		}
		where := "in the window"
		if !(h.from >= float64(from)) {
			where = "before and in the window"
			if !slices.ContainsFunc(r.halts(float64(from), float64(to)), func(in halt) bool { return in.who == h.who }) {
				where = "before the window"
			}
		}
		d.flag(r.name, "suspended", fmt.Sprintf("%s for %.2f s from second %.2f on, %s", what, h.long, h.from, where), remedy)
	}
}

// flagHeldBack warns of what kept the uses of a run from their work.
func (d *deriver) flagHeldBack(w *Window) {
	over := func(key TraceKey) float64 { return float64(w.run.over(key)) }
	// A quota that holds back one thread costs a use of one thread as much as
	// one that holds back all does a larger one.
	ours := w.Duration
	for _, u := range w.run.Uses {
		if cpu := over(u.Key(TraceCPUTime)); cpu > 0 {
			ours = max(ours, cpu)
		}
	}
	if held := over(QuotaHeld); held > maxHeld*(ours+held) {
		d.flag(w.run.name, "quota-throttled", fmt.Sprintf("the quota of a control group held threads back for %.3g s of CPU time, beside %.3g s that they could have", held, ours),
			"lift the limit (systemctl set-property UNIT CPUQuota= or docker run without --cpus): this is not the hardware's full rate")
	}
	for _, of := range []struct {
		whose      string
		some, full TraceKey
	}{
		{"the control group", GroupMemorySome, GroupMemoryFull},
		{"the machine", HostMemorySome, HostMemoryFull},
	} {
		if some := over(of.some); some > maxWait*w.Duration {
			full := ""
			if all := over(of.full); all > 0 {
				full = fmt.Sprintf(", all of them at once for %.1f %%", 100*all/w.Duration)
			}
			d.flag(w.run.name, "memory-pressure", fmt.Sprintf("tasks of %s waited for memory for %.1f %% of the window%s", of.whose, 100*some/w.Duration, full),
				"free memory or raise the limit of the control group (memory.high, memory.max): paging was measured with the work")
			break
		}
	}
}

const clockStep = "clock-step" // code of the warning

// flagClockSteps warns where the wall clock was set, in or between runs. Only the
// UTC times of the record depend on it.
func (d *deriver) flagClockSteps() {
	const remedy = "none needed here: intervals use the monotonic clock; correlate with other instruments by the anchors of each run"
	last := math.NaN() // UTC minus the monotonic clock
	for i := range d.runs {
		r := &d.runs[i]
		tr := r.Trace(HostWall)
		if tr == nil || i == 0 || d.runs[i-1].Trace(HostWall) == nil {
			last = math.NaN()
		}
		if tr == nil {
			if i == 0 {
				continue
			}
			a, b := d.runs[i-1].Anchor, r.Anchor
			if step := b.UTC.Sub(a.UTC).Seconds() - float64(b.T-a.T); math.Abs(step) > maxClockStep {
				d.flag("", clockStep, fmt.Sprintf("the wall clock was set by %+.1f s before run %d", step, i+1), remedy)
			}
			continue
		}
		d.spend(len(tr.T))
		for k := 0; k < len(tr.T) && k < len(tr.V); k++ {
			v := float64(tr.V[k])
			if step := v - last; math.Abs(step) > maxClockStep {
				d.flag(r.name, clockStep, fmt.Sprintf("the wall clock was set by %+.2f s before second %.2f", step, float64(tr.T[k])), remedy)
			}
			if !math.IsNaN(v) {
				last = v
			}
		}
	}
}
