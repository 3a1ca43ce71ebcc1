package results

import (
	"math"
	"slices"
)

// LoadStep is the result of a step of the load.
type LoadStep struct {
	// Busy is the share of all CPU time that was used while this machine was
	// to be idle, 0 to 1: what else ran. Null if the system does not report it.
	Busy     Float      `json:"busy"`
	Channels []Response `json:"channels"`
}

// Response is how one channel of a meter followed a step of the load: idle,
// full, idle again. What could not be seen is absent.
type Response struct {
	Meter    string   `json:"meter"`
	Channel  string   `json:"channel"`
	Boundary Boundary `json:"boundary"`
	Origin   Origin   `json:"origin"`
	Unit     Unit     `json:"unit"`
	Readings int      `json:"readings"`
	Errors   int      `json:"errors"`
	Idle     Float    `json:"idle"`  // W, median of the second halves of the idle stretches
	Full     Float    `json:"full"`  // W, median of the second half of the stretch under load
	Delay    Float    `json:"delay"` // s from the start of the load until half of the step shows
	Fall     Float    `json:"fall"`  // s from its end until half of the step is gone
	Rise     Float    `json:"rise"`  // s from a tenth of the step to nine tenths
	Noise    Float    `json:"noise"` // W, standard deviation at idle, from successive differences
	// Step is the smallest difference between two values, in the channel's
	// unit: the resolution, if the instrument moved enough to show it.
	Step     Float `json:"step"`
	Interval Float `json:"interval"` // s, median time between two changes of the value: how often it really has something new
	Stale    Float `json:"stale"`    // s, longest time without a change
	Seen     bool  `json:"seen"`     // whether the step stands out of the noise
}

// Respond analyses a trace over a load that began at second on and ended at
// second off. It uses all of the trace.
func Respond(tr *Trace, on, off float64) Response {
	r := Response{
		Unit: tr.Unit, Boundary: tr.Boundary, Origin: tr.Origin,
		Idle: Absent(), Full: Absent(), Delay: Absent(), Fall: Absent(), Rise: Absent(), Noise: Absent(), Step: Absent(), Interval: Absent(), Stale: Absent(),
	}
	// Where the value changes the instrument has something new; a counter's
	// power is known between two such instants.
	var t, v []float64
	var steps, waits []float64
	longest, last := 0.0, math.NaN()
	for i := range tr.T {
		x, at := float64(tr.V[i]), float64(tr.T[i])
		if math.IsNaN(x) {
			r.Errors++
			last = math.NaN()
			continue
		}
		r.Readings++
		if n := len(v); n > 0 && !math.IsNaN(last) {
			longest = max(longest, at-last)
			if x == v[n-1] {
				continue
			}
			steps, waits = append(steps, math.Abs(x-v[n-1])), append(waits, at-last)
		}
		t, v, last = append(t, at), append(v, x), at
	}
	if len(steps) == 0 {
		return r
	}
	r.Step, r.Stale = Float(slices.Min(steps)), Float(longest)
	median, _, _ := MedianInterval(waits)
	r.Interval = Float(median)
	if tr.Kind == Counter {
		for i := len(v) - 1; i > 0; i-- {
			v[i] = (v[i] - v[i-1]) / (t[i] - t[i-1])
		}
		t, v = t[1:], v[1:]
	}
	between := func(a, b float64) (out []float64) {
		for i := range t {
			if t[i] > a && t[i] <= b {
				out = append(out, v[i])
			}
		}
		return out
	}
	end := t[len(t)-1]
	idle := append(between(math.Inf(-1), on), between((off+end)/2, end)...)
	full := between((on+off)/2, off)
	lo, _, _ := MedianInterval(idle)
	hi, _, _ := MedianInterval(full)
	r.Idle, r.Full = Float(lo), Float(hi)
	noise := successive(between(math.Inf(-1), on))
	r.Noise = Float(noise)
	if r.Seen = hi-lo > 3*max(0, noise) && hi > lo*(1+maxIdleDrift); !r.Seen {
		return r
	}
	// cross is when the level is first seen passed after an instant.
	cross := func(after, level float64, up bool) float64 {
		for i := range t {
			if t[i] > after && (v[i] >= level) == up {
				return t[i]
			}
		}
		return math.NaN()
	}
	r.Delay = Float(cross(on, (lo+hi)/2, true) - on)
	r.Fall = Float(cross(off, (lo+hi)/2, false) - off)
	r.Rise = Float(cross(on, lo+0.9*(hi-lo), true) - cross(on, lo+0.1*(hi-lo), true))
	return r
}

// successive is the standard deviation of xs from the differences between
// neighbours (von Neumann, 1941), which slow drift does not widen; NaN for
// fewer than two.
func successive(xs []float64) float64 {
	if len(xs) < 2 {
		return math.NaN()
	}
	ss := 0.0
	for i := 1; i < len(xs); i++ {
		ss += (xs[i] - xs[i-1]) * (xs[i] - xs[i-1])
	}
	return math.Sqrt(ss / 2 / float64(len(xs)-1))
}
