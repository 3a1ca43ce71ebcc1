package results

import (
	"fmt"
)

// deriver is a record, and what is searched in it or computed from it more than
// once.
type deriver struct {
	*effort
	runs  []indexedRun
	good  []*indexedRun  // those with a window that counts, in their order
	place map[string]int // of a scenario in the plan
	hardware
	strays    []stray      // channels whose joules count for no device
	totals    []meterTotal // see [deriver.rank]
	perCard   []cardTotal  // see [deriver.cardTotals]
	head      meterTotal   // the first of them, if it covers a device that worked
	metered   bool         // whether there is one
	unmetered Reason       // why there is none
	missing   Warning      // about it

	windows []*Window
	sums    []*Window                  // of uses that several cards share: see [deriver.together]
	control map[string]map[int]*Window // by device and round
	speeds  map[on]speed
	flagged []Warning
	moves   []float64 // memory of [deriver.look]
}

// indexedRun is a run, its window, and what is searched in it.
type indexedRun struct {
	*Run
	*effort
	name           string  // scenario/round
	from, to       float64 // s, of its window
	warmup, target Phase
	uncertain      terms // of the energy of its window at the primary meter, J
	left           bool  // out of all figures: see [deriver.leaveOut]
	traces         map[TraceKey]*indexedTrace
	groups         map[TraceKey][]*Trace // see [groupOf]
	lost           map[TraceKey]bool     // of suspensions of uses that gave no result
}

// indexedTrace is a trace and what it accumulated over the window of its run.
type indexedTrace struct {
	*Trace
	sum   Float
	known bool // whether sum was computed
}

// indexed indexes the record of an effort; its windows are still to be found.
func indexed(e *effort) *deriver {
	d := &deriver{effort: e, runs: make([]indexedRun, len(e.rec.Runs)), place: map[string]int{}}
	for i, scenario := range e.rec.Plan.Scenarios {
		e.named(scenario)
		if _, twice := d.place[scenario]; !twice {
			d.place[scenario] = i
		}
	}
	for i := range d.runs {
		r, run := &d.runs[i], &e.rec.Runs[i]
		e.named(run.Scenario)
		*r = indexedRun{Run: run, effort: e, name: fmt.Sprintf("%s/%d", run.Scenario, run.Round), traces: make(map[TraceKey]*indexedTrace, len(run.Traces))}
		e.spend(8 * len(run.Phases))
		r.warmup, _ = run.Phase(PhaseWarmup)
		r.target, _ = run.Phase(PhaseTarget)
		for _, u := range run.Uses {
			if u.Error != "" {
				if r.lost == nil {
					r.lost = map[TraceKey]bool{}
				}
				r.lost[u.Key(TraceSuspended)] = true
			}
		}
		traces := make([]indexedTrace, len(run.Traces))
		for j := range traces {
			tr := &run.Traces[j]
			traces[j].Trace = tr
			e.keyed(tr.Key)
			if r.traces[tr.Key] == nil {
				r.traces[tr.Key] = &traces[j]
			}
			if group, searched := groupOf(tr.Key); searched {
				if r.groups == nil {
					r.groups = map[TraceKey][]*Trace{}
				}
				r.groups[group] = append(r.groups[group], tr)
			}
		}
		if p, ok := run.Phase(PhaseMeasure); ok && r.Status == OK && p.To > p.From {
			r.from, r.to = float64(p.From), float64(p.To)
			d.good = append(d.good, r)
		}
	}
	d.hardware = d.findHardware()
	d.totals, d.perCard = d.rank(), d.cardTotals()
	if d.metered = len(d.totals) > 0 && (len(d.used) == 0 || d.covered(&d.totals[0]) > 0); d.metered {
		d.head = d.totals[0]
	} else {
		d.unmetered, d.missing = d.noPower()
	}
	return d
}

// groupOf is the key under which a trace is found together with others: those of
// all devices or uses, or of all classes of the shares of one use. The other
// kinds of traces are only looked up one by one.
func groupOf(key TraceKey) (group TraceKey, searched bool) {
	switch key.Kind {
	case TraceThrottles, TraceHeldBack, TraceECC, TraceSuspended, TraceHarnessSuspended, TraceMachineSuspended:
		return TraceKey{Kind: key.Kind}, true
	case TraceShares:
		return UseKey(key.Kind, key.Use, key.Device), true
	}
	return TraceKey{}, false
}

// Trace is [Run.Trace].
func (r *indexedRun) Trace(key TraceKey) *Trace {
	r.keyed(key)
	if tr := r.traces[key]; tr != nil {
		return tr.Trace
	}
	return nil
}

// over returns what a trace accumulated over the window.
func (r *indexedRun) over(key TraceKey) Float {
	r.keyed(key)
	tr := r.traces[key]
	if tr == nil {
		return Absent()
	}
	if !tr.known {
		r.spend(len(tr.T))
		tr.sum, tr.known = tr.Over(r.from, r.to), true
	}
	return tr.sum
}

// group returns the traces of one group (see [groupOf]), in their order.
func (r *indexedRun) group(key TraceKey) []*Trace {
	r.keyed(key)
	r.spend(len(r.groups[key]))
	return r.groups[key]
}
