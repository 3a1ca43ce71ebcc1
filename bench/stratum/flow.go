package stratum

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/results"
)

// flow records when the good shares of a run arrived. Shares of honest work arrive at
// random (a Poisson process), which bounds the silences that chance explains. In a
// longer one the device did not mine, or its shares were lost or delayed.
type flow struct {
	last   time.Time     // the last share; zero while the device is away
	quiet  time.Duration // interval between that and the share before; 0 if there was none
	n      float64       // intervals between shares
	active time.Duration // sum of the intervals, those that a disconnection cut short included
	looked time.Time     // the first share with which a window could have begun
	begun  time.Time     // when the window began
	since  float64       // shares since then
	long   []silent      // intervals that may stand out, in order of time
}

// silent is an interval without a share.
type silent struct {
	from, to time.Time
	after    int       // shares that arrived close behind it
	end      time.Time // the last of them
}

func (s silent) length() time.Duration { return s.to.Sub(s.from) }

// close is the time after a silence in which delayed shares may arrive.
func (s silent) close() time.Duration {
	return max(250*time.Millisecond, min(s.length()/8, 3*time.Second))
}

const (
	// A window begins with a share that follows a pause of at least moment, so that it
	// is not one of several delayed shares. If shares always come closer than that, the
	// window begins after while.
	moment = 50 * time.Millisecond
	while  = 2 * time.Second

	// Numbers of shares expected in a silence, at the rate of all others. By chance,
	// one interval in two hundred thousand is so long that standsOut are missing, and
	// one in twenty million that tooMany are. Silences that cost less than half of the
	// uncertainty of the count are ignored.
	standsOut = 12
	tooMany   = 17
	kept      = 512 // silences
)

// add notes a share.
func (f *flow) add(now time.Time) {
	f.since++
	if f.last.IsZero() {
		f.last, f.quiet = now, 0
		return
	}
	s := silent{from: f.last, to: now, end: now}
	f.last, f.quiet = now, s.length()
	f.n++
	f.active += s.length()
	// A share close behind a silence belongs to it.
	if k := len(f.long); k > 0 {
		if l := &f.long[k-1]; now.Sub(l.to) <= l.close() {
			l.after, l.end = l.after+1, now
			if s.length() <= l.length() {
				return
			}
		}
	}
	f.keep(s)
}

// keep stores a silence if it may stand out at the end of the run.
func (f *flow) keep(s silent) {
	if f.n > 64 && f.expected(s.length(), f.active) < standsOut/2 {
		return
	}
	if len(f.long) == kept {
		f.long = slices.DeleteFunc(f.long, func(s silent) bool { return f.expected(s.length(), f.active) < standsOut/2 })
	}
	if len(f.long) == kept {
		least := slices.MinFunc(f.long, func(a, b silent) int { return cmp.Compare(a.length(), b.length()) })
		f.long = slices.DeleteFunc(f.long, func(s silent) bool { return s == least })
	}
	f.long = append(f.long, s)
}

// expected returns the number of shares expected in x, at the rate outside it. By
// chance, none of n shares falls into x with probability (1 - x/whole)^n.
func (f *flow) expected(x, whole time.Duration) float64 {
	if x >= whole {
		return 0 // there are no others
	}
	return -f.n * math.Log1p(-x.Seconds()/whole.Seconds())
}

// pause notes that the device disconnected.
func (f *flow) pause(now time.Time) {
	if f.last.IsZero() {
		return
	}
	s := silent{from: f.last, to: now, end: now}
	f.active += s.length()
	f.last = time.Time{}
	f.keep(s)
}

// fresh reports whether a window may begin with the share that was just added.
func (f *flow) fresh(now time.Time) bool {
	if f.looked.IsZero() {
		f.looked = now
	}
	return f.quiet >= moment || now.Sub(f.looked) >= while
}

// start begins the window with the share that was just added.
func (f *flow) start(now time.Time) { f.begun, f.since = now, 0 }

// unknown lists the intervals since the window began in which the device's work is
// unknown.
func (f *flow) unknown(now time.Time) (out []bench.Gap) {
	if f.begun.IsZero() {
		return nil
	}
	if f.since == 0 {
		return []bench.Gap{{From: f.begun, To: now, Why: fmt.Sprintf("no share came in %.3g s: the device does not mine, or its difficulty is too high to tell", now.Sub(f.begun).Seconds())}}
	}
	all, whole := f.long, f.active
	if !f.last.IsZero() && now.After(f.last) {
		s := silent{from: f.last, to: now, end: now}
		all, whole = append(slices.Clip(all), s), whole+s.length()
	}
	// Delayed shares belong to the silence before them and do not count for the rate
	// outside it.
	waited := make([]float64, len(all))
	others := *f
	for i, s := range all {
		chance := f.expected(s.length(), whole) / s.length().Seconds() * s.close().Seconds()
		if float64(s.after) > chance && results.PoissonProbability(uint64(s.after), chance) < doubt { // #nosec G115 -- a count of shares
			waited[i] = float64(s.after) - chance
			others.n -= waited[i]
		}
	}
	var silences []silent
	var lost time.Duration
	for i, s := range all {
		expected := others.expected(s.length(), whole)
		if s.to.Before(f.begun) || !(expected > 0) {
			continue
		}
		if waited[i] > 0 && expected >= standsOut/2 {
			out = append(out, bench.Gap{From: s.from, To: s.end, Late: true, Why: fmt.Sprintf("about %.0f shares came at once after a silence of %.3g s: they were found before", waited[i], s.length().Seconds())})
		}
		if missing := expected - waited[i]; missing >= standsOut {
			silences = append(silences, s)
			lost += time.Duration(missing / expected * float64(s.length()))
		}
	}
	if others.expected(lost, whole) < max(tooMany, math.Sqrt(f.since)/2) {
		return out
	}
	for _, s := range silences {
		out = append(out, bench.Gap{From: s.from, To: s.to, Why: fmt.Sprintf("no share came for %.3g s, in which its rate has about %.0f: the device did not mine, or its shares were lost", s.length().Seconds(), others.expected(s.length(), whole))})
	}
	return out
}
