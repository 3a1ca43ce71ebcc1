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

// flow is when the good shares of a run came. Of honest work they come at
// random, so that it is known how long a silence chance explains: a longer one
// is a device that did not mine, or shares that were lost or wait somewhere.
type flow struct {
	last   time.Time     // share; zero while the device is away
	quiet  time.Duration // between it and the one before; 0 if there was none
	n      float64       // distances between shares
	active time.Duration // their sum, and of those that a break cut short
	looked time.Time     // the first share that a window could have begun with
	begun  time.Time     // the window did
	since  float64       // shares since
	long   []silent      // distances that stand out, in their order
}

// silent is a time without a share.
type silent struct {
	from, to time.Time
	after    int       // shares that came close behind
	end      time.Time // the last of them
}

func (s silent) length() time.Duration { return s.to.Sub(s.from) }

// close is how long shares that waited may take to come.
func (s silent) close() time.Duration {
	return max(250*time.Millisecond, min(s.length()/8, 3*time.Second))
}

const (
	// A window begins with a share before which it was quiet for a moment, so
	// that it is none of many that waited; or after a while, where shares come
	// closer than that.
	moment = 50 * time.Millisecond
	while  = 2 * time.Second

	// The shares that are missing from a silence: of those that the rate has
	// come in it. Of two hundred thousand distances between shares chance makes
	// one in which standsOut are missing, of twenty million one of tooMany.
	// Silences that cost less than half of the uncertainty of the count are
	// none.
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

// keep notes a silence if it may stand out in the end.
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

// expected is how many shares come in a time, by the rate at all others: one
// of n distances is as long as x by chance with probability (1 - x/whole)^n.
func (f *flow) expected(x, whole time.Duration) float64 {
	if x >= whole {
		return 0 // there are no others
	}
	return -f.n * math.Log1p(-x.Seconds()/whole.Seconds())
}

// pause notes that the device is gone.
func (f *flow) pause(now time.Time) {
	if f.last.IsZero() {
		return
	}
	s := silent{from: f.last, to: now, end: now}
	f.active += s.length()
	f.last = time.Time{}
	f.keep(s)
}

// fresh reports whether the share that was noted now may begin a window.
func (f *flow) fresh(now time.Time) bool {
	if f.looked.IsZero() {
		f.looked = now
	}
	return f.quiet >= moment || now.Sub(f.looked) >= while
}

// start begins the window with the share that was noted now.
func (f *flow) start(now time.Time) { f.begun, f.since = now, 0 }

// unknown lists the times since the window began of which it is not known what
// the device did.
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
	// Shares that waited are of the time that they waited in, and say nothing
	// of the rate at others.
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
