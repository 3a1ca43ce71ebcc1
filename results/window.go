package results

import (
	"cmp"
	"slices"
)

// Window is one use in the measured phase of one run; idle runs have one
// window, without work.
type Window struct {
	Scenario string
	Round    int
	Use      Use     // Use.Use is "idle" in the idle scenario
	Duration float64 // s
	Work     Float   // counts finished
	CPU      Float   // CPU-seconds the worker used
	Energy   Float   // J, the whole node at the primary meter's boundary, whoever used it
	Stolen   Float   // share of all CPU time that the hypervisor took, 0 to 1
	Others   Float   // share of all CPU time that other processes used, 0 to 1
	Clock    Float   // Hz, of the use's device, or of the CPU in an idle run: mean of the samples in the window, or of the probes before and after

	run       *indexedRun
	halts     []halt // in the window
	why       Reason // why Energy is absent
	uncertain terms  // of Energy, J
	idle      Float  // W, of the idle run of the same round
	idleTerms terms  // of idle, W

	sum     string    // id of the cards together, if the use's device is one of them
	sumless bool      // they have no sum, since one of them was wrong
	of      int       // how many cards a sum is of; parts are those that gave it
	parts   []*Window // of a sum
}

// Throughput is work per wall second.
func (w *Window) Throughput() Float { return w.Work / w.seconds() }

// Span is where the window lies, in seconds of the record's clock.
func (w *Window) Span() (from, to Float) { return Float(w.run.from), Float(w.run.to) }

// Power is the mean power of the node over the window, in watts.
func (w *Window) Power() Float { return w.Energy / w.seconds() }

// measure lists the windows of all good runs, in their order.
func (d *deriver) measure() {
	cpus := Float(max(1, d.rec.Node.Threads()))
	idle := map[int]*Window{}
	for _, r := range d.good {
		w := Window{
			Scenario: r.Scenario, Round: r.Round, Duration: r.to - r.from, run: r,
			Work: Absent(), CPU: Absent(), Clock: Absent(), idle: Absent(), halts: r.halts(r.from, r.to),
		}
		w.Energy, w.why = d.energy(r, r.from, r.to)
		r.uncertain = d.head.within(r, r.from, r.to)
		w.uncertain = r.uncertain
		if slices.ContainsFunc(w.halts, func(h halt) bool { return h.who == MachineSuspended }) {
			w.Energy, w.why = Absent(), Because(Slept)
		}
		d.spend(4 * len(w.halts) * len(r.Uses))    // each halt is looked at for each use
		d.spend(2 * len(r.Scenario) * len(r.Uses)) // windows are sorted by scenario more than once
		span := cpus * w.seconds()
		w.Stolen = r.over(HostSteal) / span
		ours := r.over(HarnessCPU)
		for _, u := range r.Uses {
			ours += r.over(u.Key(TraceCPUTime))
		}
		// The host counts ticks and a process nanoseconds, and they are not read at
		// one instant: the difference may come out below zero.
		if w.Others = (r.over(HostBusy) - ours) / span; w.Others < 0 {
			w.Others = 0
		}
		if len(r.Uses) == 0 {
			w.Use, w.Clock = Use{Use: "idle"}, r.clock(CPUDevice)
			idle[r.Round] = &w
			d.windows = append(d.windows, &w)
			continue
		}
		uses := make([]Window, 0, len(r.Uses))
		first := len(d.windows)
		for _, u := range r.Uses {
			if u.Error != "" { // it gave no result
				continue
			}
			one := w
			one.Use, one.Work, one.CPU, one.Clock = u, r.over(u.Key(TraceWork)), r.over(u.Key(TraceCPUTime)), r.clock(u.Device)
			uses = append(uses, one)
			d.windows = append(d.windows, &uses[len(uses)-1])
		}
		d.together(r, d.windows[first:])
	}
	for _, w := range slices.Concat(d.windows, d.sums) {
		if before := idle[w.Round]; before != nil {
			w.idle, w.idleTerms = before.Power(), before.uncertain.scale(1/before.Duration)
		}
	}
	d.leaveOut(func(w *Window) bool { return w.Energy.IsAbsent() || w.Use.Use != "idle" && w.Work.IsAbsent() })
	d.leaveOut((*Window).halted)
}

// clock is the mean of the samples of a device's clock in the window of a run, or of
// the probes around it, in Hz.
func (r *indexedRun) clock(device string) Float {
	tr := r.Trace(TraceKey{Kind: TraceClock, Device: device})
	if tr == nil || len(tr.V) == 0 {
		return Absent()
	}
	if in := r.inside(tr); len(in) > 0 {
		return Float(average(in))
	}
	r.spend(len(tr.V))
	mean := Float(0)
	for _, v := range tr.V {
		mean += v / Float(len(tr.V))
	}
	return mean
}

// leaveOut takes runs out of all figures because a window of theirs lacks
// something that another run of the scenario has.
func (d *deriver) leaveOut(lacks func(*Window) bool) {
	lacking, whole := map[*indexedRun]bool{}, map[string]bool{}
	for _, w := range d.windows {
		if !w.run.left && lacks(w) {
			lacking[w.run] = true
		}
	}
	if len(lacking) == 0 {
		return
	}
	for _, w := range d.windows {
		if !w.run.left && !lacking[w.run] {
			whole[w.Scenario] = true
		}
	}
	for r := range lacking {
		r.left = whole[r.Scenario]
	}
}

// rows groups the windows of a record by the rows of its summary, without those
// that no figure is made of.
func (d *deriver) rows() (rows [][]*Window) {
	at := map[RowKey]int{}
	for _, w := range slices.Concat(d.sums, d.windows) { // a sum stands before what it is of
		d.named(w.Scenario)
		if w.run.left {
			continue
		}
		key := w.row()
		i, known := at[key]
		if !known {
			i = len(rows)
			at[key], rows = i, append(rows, nil)
		}
		rows[i] = append(rows[i], w)
	}
	for i := range rows {
		rows[i] = d.alike(rows[i])
	}
	// Rounds run in alternating order; the rows follow the plan. A scenario that
	// is not in it comes first.
	place := func(ws []*Window) int {
		if i, planned := d.place[ws[0].Scenario]; planned {
			return i
		}
		return -1
	}
	SortStable(rows, func(a, b []*Window) int { return cmp.Compare(place(a), place(b)) })
	return rows
}

// row is the key of the row that a window belongs to.
func (w *Window) row() RowKey {
	return RowKey{w.Scenario, w.Use.Use, w.Use.Device, w.Use.Workload, w.Use.Impl, w.Use.Threads, w.Use.Role}
}
