package results

import (
	"fmt"
	"math"
)

// Trace is one quantity sampled over one run, as its source gave it.
//
// T holds seconds on the record's monotonic clock (zero at Record.Start),
// strictly increasing; V the values, with null (an absent Float) where a
// reading failed: a gap stays a gap. Counters never decrease between two
// gaps; what a counter did across a gap is unknown.
type Trace struct {
	Of       string   `json:"of"` // see WorkOf, CPUOf, MeterOf and the Host names
	Unit     Unit     `json:"unit"`
	Kind     Kind     `json:"kind"`
	Boundary Boundary `json:"boundary,omitempty"`
	Origin   Origin   `json:"origin,omitempty"`
	T        []Float  `json:"t"`
	V        []Float  `json:"v"`
	Errors   []Gap    `json:"errors,omitempty"` // why the gaps are there
}

// Gap is one reading that failed.
type Gap struct {
	At    Float  `json:"at"` // seconds, as Trace.T
	Error string `json:"error"`
}

// Names of the traces that describe the host during a run.
const (
	HostSteal = "host/steal" // counter, s: CPU time taken by the hypervisor, all CPUs
	HostBusy  = "host/busy"  // counter, s: CPU time spent not idle, all CPUs, stolen time excluded
	HostClock = "host/clock" // gauge, Hz: rate of the calibrated dependency chain, before and after the window
	HostSelf  = "host/self"  // counter, s: CPU time of the harness itself

	HostThrottles = "host/throttles" // counter, events: slow-downs for heat, before and after the window

	// HostWall is by how much the wall clock was set since the harness began
	// (gauge, s): how far it is ahead of the monotonic clock, the machine's own
	// sleep counted to this. Slewing moves neither against the other.
	HostWall = "host/wall"

	QuotaHeld = "cgroup/held" // counter, s: CPU time for which the quota of the control group, or of one above it, held threads back

	// Time in which a task waited for memory (counter, s), by the kernel's
	// pressure stall information: any task, or all that could run; of the
	// machine, and of the control group. Kernels without it give no trace.
	HostMemorySome  = "host/memory-some"
	HostMemoryFull  = "host/memory-full"
	GroupMemorySome = "cgroup/memory-some"
	GroupMemoryFull = "cgroup/memory-full"
)

// SuspendedOf names the trace of the time for which something that should have
// run did not (counter, s): a use, whose worker process was stopped, traced or
// frozen; SuspendedHarness, which did not run although neither load nor stolen
// time kept it from it; SuspendedMachine, which slept, while the clock of the
// record stood.
func SuspendedOf(who string) string { return "suspended/" + who }

// What beside a use may be suspended.
const (
	SuspendedHarness = "harness"
	SuspendedMachine = "machine"
)

// WorkOf names the trace of the work counter of a use.
func WorkOf(use string) string { return "work/" + use }

// CPUOf names the trace of the CPU-seconds that the worker of a use has used.
func CPUOf(use string) string { return "cpu/" + use }

// MeterOf names the trace of one channel of a meter.
func MeterOf(meter, channel string) string { return "meter/" + meter + "/" + channel }

// RoundTripOf names the trace of the round trips to an instrument that is
// asked over a wire (gauge, s): the instant of a reading is known to half of it.
func RoundTripOf(meter string) string { return "round-trip/" + meter }

// ClockOf names the trace of an instrument's own clock minus ours (gauge, s).
func ClockOf(meter string) string { return "clock/" + meter }

// maxErrors bounds what one trace says about its gaps; the nulls say the rest.
const maxErrors = 20

// Add appends what was sampled at second t, or why nothing was. A sample that
// is no later than the last is no news and is dropped; a counter that fell is
// a gap, since nobody knows what it did in between.
func (tr *Trace) Add(t, v Float, err error) {
	if n := len(tr.T); n > 0 {
		if !(t > tr.T[n-1]) {
			return
		}
		if last := tr.V[n-1]; err == nil && tr.Kind == Counter && v < last {
			err = fmt.Errorf("the counter fell from %v to %v", last, v)
		}
	}
	if err != nil {
		v = Absent()
		if len(tr.Errors) < maxErrors {
			tr.Errors = append(tr.Errors, Gap{At: t, Error: err.Error()})
		}
	}
	tr.T, tr.V = append(tr.T, t), append(tr.V, v)
}

// AddLevel is Add of what stays level for long: where the last two samples have
// the value, the later one moves to t instead. Nothing is lost that lies on the
// line through the samples.
func (tr *Trace) AddLevel(t, v Float, err error) {
	if n := len(tr.T); n > 1 && err == nil && t > tr.T[n-1] && v == tr.V[n-1] && v == tr.V[n-2] {
		tr.T[n-1] = t
		return
	}
	tr.Add(t, v, err)
}

// At returns the value of the trace at second t, interpolated linearly
// between the two samples around it. It is absent where t lies outside the
// samples or in a gap.
func (tr *Trace) At(t float64) Float {
	n := len(tr.T)
	if n == 0 || len(tr.V) != n {
		return Absent()
	}
	lo, hi := 0, n // first sample later than t
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); float64(tr.T[mid]) > t {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo > 0 && float64(tr.T[lo-1]) == t {
		return tr.V[lo-1]
	}
	if lo == 0 || lo == n {
		return Absent()
	}
	t0, t1 := float64(tr.T[lo-1]), float64(tr.T[lo])
	v0, v1 := float64(tr.V[lo-1]), float64(tr.V[lo])
	return Float(v0 + (v1-v0)*((t-t0)/(t1-t0)))
}

// Over returns what the trace accumulated from second a to second b: the
// difference of a counter, the trapezoidal integral of a gauge over its
// samples and the interpolated edges. It is absent unless samples stand on
// both sides of each edge (or on it) and no gap lies between.
func (tr *Trace) Over(a, b float64) Float {
	va, vb := tr.At(a), tr.At(b)
	if va.IsAbsent() || vb.IsAbsent() || !(b > a) {
		return Absent()
	}
	sum, t0, v0 := 0.0, a, float64(va)
	for i, t := range tr.T {
		t, v := float64(t), float64(tr.V[i])
		if t <= a {
			continue
		}
		if t >= b {
			break
		}
		if math.IsNaN(v) {
			return Absent()
		}
		sum += (t - t0) * (v + v0) / 2
		t0, v0 = t, v
	}
	if tr.Kind == Counter {
		return vb - va
	}
	return Float(sum + (b-t0)*(float64(vb)+v0)/2)
}
