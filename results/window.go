package results

import (
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
	Energy   Float   // J, the whole node at the headline boundary, whoever used it
	Stolen   Float   // share of all CPU time that the hypervisor took, 0 to 1
	Others   Float   // share of all CPU time that other processes used, 0 to 1
	Clock    Float   // Hz, of the use's device, or of the CPU in an idle run: mean of the probes before and after

	run       *indexedRun
	halt      []halt // in the window
	left      bool   // out of the figures: see [Row.Windows]
	why       Reason // why Energy is absent
	uncertain terms  // of Energy, J
	idle      Float  // W, of the idle run of the same round
	idleTerms terms  // of idle, W
}

// Throughput is work per wall second.
func (w *Window) Throughput() Float { return w.Work / Float(w.Duration) }

// Span is where the window lies, in seconds of the record's clock.
func (w *Window) Span() (from, to Float) {
	return Float(w.run.from), Float(w.run.to)
}

// Power is the mean power of the node over the window, in watts.
func (w *Window) Power() Float { return w.Energy / Float(w.Duration) }

// windows returns the measured windows of all good runs, in their order.
func (s *indexedRecord) windows() (out []Window) {
	cpus := Float(max(1, s.rec.Node.Threads()))
	idle := map[int]*Window{}
	for _, r := range s.good {
		w := Window{
			Scenario: r.Scenario, Round: r.Round, Duration: r.to - r.from, run: r,
			Work: Absent(), CPU: Absent(), Clock: Absent(),
		}
		w.Energy, w.why = s.head.energy(r, r.from, r.to)
		w.uncertain = s.head.within(r, r.from, r.to)
		if w.halt = r.halts(r.from, r.to); slices.ContainsFunc(w.halt, func(h halt) bool { return h.who == MachineSuspended }) {
			w.Energy, w.why = Absent(), Because(Slept)
		}
		s.spend(4 * len(w.halt) * len(r.Uses))     // each use is held against each
		s.spend(2 * len(r.Scenario) * len(r.Uses)) // by which windows are sorted more than once
		span := cpus * Float(w.Duration)
		w.Stolen = r.over(HostSteal) / span
		ours := r.over(HarnessCPU)
		for _, u := range r.Uses {
			ours += r.over(u.Key(TraceCPUTime))
		}
		// Ticks of the host and nanoseconds of a process do not end on the
		// same instant, hence no fewer than none.
		if w.Others = (r.over(HostBusy) - ours) / span; w.Others < 0 {
			w.Others = 0
		}
		if len(r.Uses) == 0 {
			w.Use = Use{Use: "idle"}
			w.Clock = r.clock(CPUDevice)
			idle[r.Round] = &w
			out = append(out, w)
		}
		for _, u := range r.Uses {
			w.Use, w.Work, w.CPU, w.Clock = u, r.over(u.Key(TraceWork)), r.over(u.Key(TraceCPUTime)), r.clock(u.Device)
			out = append(out, w)
		}
	}
	lacking := incomplete(out)
	for i := range out {
		out[i].left = lacking[out[i].run]
		out[i].idle = Absent()
		if w := idle[out[i].Round]; w != nil {
			out[i].idle, out[i].idleTerms = w.Power(), w.uncertain.scale(1/w.Duration)
		}
	}
	return out
}

// clock is the mean of the probes of a device's clock in a run, in Hz.
func (r *indexedRun) clock(device string) Float {
	tr := r.Trace(TraceKey{Kind: TraceClock, Device: device})
	if tr == nil || len(tr.V) == 0 {
		return Absent()
	}
	r.spend(len(tr.V))
	mean := Float(0)
	for _, v := range tr.V {
		mean += v / Float(len(tr.V))
	}
	return mean
}

// incomplete are the runs of which something is missing that other runs of the
// scenario have: the energy, or the work of a use; and of those that have it the
// ones that did not run all the time.
func incomplete(ws []Window) map[*indexedRun]bool {
	out := map[*indexedRun]bool{}
	for _, lacks := range []func(w *Window) bool{
		func(w *Window) bool { return w.Energy.IsAbsent() || w.Use.Use != "idle" && w.Work.IsAbsent() },
		(*Window).stood,
	} {
		lacking, whole := map[*indexedRun]bool{}, map[string]bool{}
		for i := range ws {
			if w := &ws[i]; !out[w.run] && lacks(w) {
				lacking[w.run] = true
			}
		}
		for i := range ws {
			if w := &ws[i]; !out[w.run] && !lacking[w.run] {
				whole[w.Scenario] = true
			}
		}
		for r := range lacking {
			out[r] = out[r] || whole[r.Scenario]
		}
	}
	return out
}

// rows groups the windows of a record by the rows of its summary, without those
// that no figure is made of.
func (s *indexedRecord) rows(windows []Window) (rows [][]Window) {
	at := map[rowKey]int{}
	for _, w := range windows {
		s.named(w.Scenario)
		if w.left {
			continue
		}
		i, ok := at[w.row()]
		if !ok {
			i = len(rows)
			at[w.row()], rows = i, append(rows, nil)
		}
		rows[i] = append(rows[i], w)
	}
	// Rounds run in alternating order; the rows follow the plan, and what is not
	// in it comes first.
	place := func(ws []Window) int {
		if i, planned := s.place[ws[0].Scenario]; planned {
			return i
		}
		return -1
	}
	slices.SortStableFunc(rows, func(a, b []Window) int { return place(a) - place(b) })
	return rows
}

// rowKey identifies a row of a summary.
type rowKey struct {
	scenario, use, device, workload, impl string
	threads                               int
	role                                  Role
}

// row is the key of the row that a window belongs to.
func (w *Window) row() rowKey {
	return rowKey{w.Scenario, w.Use.Use, w.Use.Device, w.Use.Workload, w.Use.Impl, w.Use.Threads, w.Use.Role}
}
