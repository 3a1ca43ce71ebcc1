package results

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// Trace is one quantity sampled over one run, as its source gave it.
//
// T holds seconds on the record's monotonic clock (zero at Record.Start),
// strictly increasing; V the values, with null (an absent Float) where a
// reading failed: a gap stays a gap. Counters never decrease between two
// gaps; what a counter did across a gap is unknown.
type Trace struct {
	Key      TraceKey `json:"key"`
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

// TraceKey identifies a trace within its run: the quantity, and what it belongs
// to. Members that do not apply are empty.
type TraceKey struct {
	Kind    TraceKind `json:"kind"`
	Use     string    `json:"use,omitempty"`     // of the work, with Device
	Device  string    `json:"device,omitempty"`  // id, as in [Device]
	Meter   string    `json:"meter,omitempty"`   // name, as in [Meter]
	Channel string    `json:"channel,omitempty"` // of the meter; for TraceShares the class of the shares, for TraceHeldBack what holds back, for TraceECC the class of the errors
}

// String is the key for messages.
func (k TraceKey) String() string {
	words := []string{string(k.Kind)}
	for _, w := range []string{k.Use, k.Device, k.Meter, k.Channel} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// UseKey is the key of a trace of the given kind that belongs to one use on one
// device.
func UseKey(kind TraceKind, use, device string) TraceKey {
	return TraceKey{Kind: kind, Use: use, Device: device}
}

// Key is the key of the trace of the given kind of this use.
func (u *Use) Key(kind TraceKind) TraceKey { return UseKey(kind, u.Use, u.Device) }

// MeterKey is the key of the trace of one channel of a meter.
func MeterKey(meter, channel string) TraceKey {
	return TraceKey{Kind: TraceMeter, Meter: meter, Channel: channel}
}

// TraceKind is the quantity that a trace holds.
type TraceKind string

// Quantities of a use.
const (
	TraceWork    TraceKind = "work"     // counter, in the unit of the use: finished work
	TraceCPUTime TraceKind = "cpu-time" // counter, s: CPU time of the worker process

	// TraceSuspended is the time for which the worker process was stopped, traced
	// or frozen (counter, s).
	TraceSuspended TraceKind = "suspended"

	// Of uses whose work is known by shares only. TraceShares counts them by
	// class (counter, share; see [ShareAccepted]). TraceLuck sums the logarithms
	// of difficulty achieved ÷ asked over the accepted and stale shares (counter,
	// 1): 1 a share on average. TraceAway is the time in which the device had no
	// connection, or had not submitted a share on its new one yet (counter, s);
	// TraceBreaks counts the lost connections (counter, 1), TraceResumed the
	// shares that ended such a time (counter, share): they are work that was done,
	// and no part of the count of the time between.
	TraceShares  TraceKind = "shares"
	TraceLuck    TraceKind = "luck"
	TraceAway    TraceKind = "away"
	TraceBreaks  TraceKind = "breaks"
	TraceResumed TraceKind = "resumed"
)

// Quantities of a device.
const (
	// TraceClock is the clock that a device runs at (gauge, Hz): of the CPU the
	// rate of the calibrated dependency chain, before and after the window; of a
	// card what its driver reports of its processors, about once a second.
	TraceClock     TraceKind = "clock"
	TraceThrottles TraceKind = "throttles" // counter, events: slow-downs for heat, before and after the window

	// Of cards, about once a second, as their drivers report it. TraceHeldBack is
	// 1 while something holds the clocks back (see [HeldByPower]) and 0
	// otherwise. TraceECC counts the errors of the memory since the driver was
	// loaded (see [ECCCorrected]).
	TraceMemoryClock TraceKind = "memory-clock" // gauge, Hz
	TraceTemperature TraceKind = "temperature"  // gauge, K
	TraceHeldBack    TraceKind = "held-back"    // gauge, 1
	TraceECC         TraceKind = "ecc"          // counter, events
)

// Quantities of a meter.
const (
	TraceMeter       TraceKind = "meter"        // one channel, as it is read
	TraceRoundTrip   TraceKind = "round-trip"   // gauge, s: of requests over a wire; the instant of a reading is known to half of it
	TraceClockOffset TraceKind = "clock-offset" // gauge, s: the instrument's own clock minus ours
)

// Quantities of the host.
const (
	TraceSteal      TraceKind = "steal"       // counter, s: CPU time taken by the hypervisor, all CPUs
	TraceBusy       TraceKind = "busy"        // counter, s: CPU time spent not idle, all CPUs, stolen time excluded
	TraceHarnessCPU TraceKind = "harness-cpu" // counter, s: CPU time of the harness itself, and of the workers that drive cards

	// TraceWall is the offset of the wall clock from the monotonic clock since the
	// harness began, the time in which the machine slept included (gauge, s).
	// Slewing moves neither against the other.
	TraceWall TraceKind = "wall"

	// TraceQuota is the CPU time for which the quota of the control group, or of
	// one above it, held threads back (counter, s).
	TraceQuota TraceKind = "quota"

	// Time in which a task waited for memory (counter, s), by the kernel's
	// pressure stall information: any task, or all that could run; of the
	// machine, and of the control group. Kernels without it give no trace.
	TraceMemorySome      TraceKind = "memory-some"
	TraceMemoryFull      TraceKind = "memory-full"
	TraceGroupMemorySome TraceKind = "group-memory-some"
	TraceGroupMemoryFull TraceKind = "group-memory-full"

	// Time in which the harness did not run although neither load nor stolen time
	// kept it from running, and time in which the machine slept while the clock
	// of the record stood (counters, s).
	TraceHarnessSuspended TraceKind = "harness-suspended"
	TraceMachineSuspended TraceKind = "machine-suspended"
)

// Keys of the traces of the host.
var (
	HostSteal        = TraceKey{Kind: TraceSteal}
	HostBusy         = TraceKey{Kind: TraceBusy}
	HarnessCPU       = TraceKey{Kind: TraceHarnessCPU}
	HostWall         = TraceKey{Kind: TraceWall}
	QuotaHeld        = TraceKey{Kind: TraceQuota}
	HostMemorySome   = TraceKey{Kind: TraceMemorySome}
	HostMemoryFull   = TraceKey{Kind: TraceMemoryFull}
	GroupMemorySome  = TraceKey{Kind: TraceGroupMemorySome}
	GroupMemoryFull  = TraceKey{Kind: TraceGroupMemoryFull}
	HarnessSuspended = TraceKey{Kind: TraceHarnessSuspended}
	MachineSuspended = TraceKey{Kind: TraceMachineSuspended}
)

// traceKinds lists every kind.
var traceKinds = []TraceKind{
	TraceWork, TraceCPUTime, TraceSuspended, TraceShares, TraceLuck, TraceAway, TraceBreaks, TraceResumed,
	TraceClock, TraceThrottles, TraceMemoryClock, TraceTemperature, TraceHeldBack, TraceECC,
	TraceMeter, TraceRoundTrip, TraceClockOffset,
	TraceSteal, TraceBusy, TraceHarnessCPU, TraceWall, TraceQuota, TraceMemorySome, TraceMemoryFull, TraceGroupMemorySome, TraceGroupMemoryFull,
	TraceHarnessSuspended, TraceMachineSuspended,
}

// maxErrors bounds the errors kept in one trace; further gaps are nulls without a
// reason.
const maxErrors = 20

// Add appends a sample at second t, or the error in its place. A sample that is
// not later than the last is dropped. A counter that fell is a gap, since what it
// did in between is not known.
func (tr *Trace) Add(t, v Float, err error) {
	if n := len(tr.T); n > 0 {
		if !(t > tr.T[n-1]) {
			return
		}
		if last := tr.V[n-1]; err == nil && tr.Kind == Counter && v < last {
			err = fmt.Errorf("the counter fell from %.6g to %.6g", last, v)
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

// AddLevel is Add for a quantity that stays constant for long: if the last two
// samples have the value, the later one is moved to t instead. Interpolation
// between the samples gives the same.
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
func (tr *Trace) At(t float64) Float { return tr.every(1, 0).at(t) }

// Over returns what the trace accumulated from second a to second b: the
// difference of a counter, the trapezoidal integral of a gauge over its
// samples and the interpolated edges. It is absent unless samples stand on
// both sides of each edge (or on it) and no gap lies between.
func (tr *Trace) Over(a, b float64) Float { return tr.every(1, 0).over(a, b) }

// samples are some of a trace: from the first on, every step-th.
type samples struct {
	*Trace
	step, first, n int
}

func (tr *Trace) every(step, first int) samples {
	return samples{tr, step, first, max(0, len(tr.T)-first+step-1) / step}
}

func (s samples) sample(i int) (t, v float64) {
	i = s.first + i*s.step
	return float64(s.T[i]), float64(s.V[i])
}

// after is the number of the first sample later than t.
func (s samples) after(t float64) int {
	return sort.Search(s.n, func(i int) bool { return float64(s.T[s.first+i*s.step]) > t })
}

// at is [Trace.At].
func (s samples) at(t float64) Float {
	if len(s.V) != len(s.T) {
		return Absent()
	}
	later := s.after(t)
	if later == 0 {
		return Absent()
	}
	t0, v0 := s.sample(later - 1)
	if t0 == t {
		return Float(v0)
	}
	if later == s.n {
		return Absent()
	}
	t1, v1 := s.sample(later)
	return Float(v0 + (v1-v0)*((t-t0)/(t1-t0)))
}

// over is [Trace.Over].
func (s samples) over(a, b float64) Float {
	va, vb := s.at(a), s.at(b)
	if va.IsAbsent() || vb.IsAbsent() || !(b > a) {
		return Absent()
	}
	sum, t0, v0 := 0.0, a, float64(va)
	for i := s.after(a); i < s.n; i++ {
		t, v := s.sample(i)
		if t >= b {
			break
		}
		if math.IsNaN(v) {
			return Absent()
		}
		sum += (t - t0) * (v + v0) / 2
		t0, v0 = t, v
	}
	if s.Kind == Counter {
		return vb - va
	}
	return Float(sum + (b-t0)*(float64(vb)+v0)/2)
}
