package track

import (
	"math"

	"github.com/perwatt/perwatt/results/stats"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// recent is how many nights the guard holds the newest one against; it
	// needs young of them.
	recent = 20

	// suspicion is the p-value below which a night of one of the nodes of a
	// group asks for a second look.
	suspicion = 0.002

	// blatant is the relative difference that needs no statistics.
	blatant = 0.10
)

// Mood is what the guard makes of the newest night.
type Mood string

const (
	Quiet      Mood = "quiet"
	Suspicious Mood = "suspicious"
	Missing    Mood = "no data"
)

// Watch is the newest night held against those before it.
type Watch struct {
	Mood Mood
	// Before is how many nights there are to hold it against. Of fewer than
	// eight, when the series is young, only a difference beyond 10 % is suspicious.
	Before int
	Young  bool
	// Size is the newest night over what was expected, with the interval in
	// which it was expected to lie as its bounds: nothing is unusual as long as
	// Low ≤ Value ≤ High, relative to 1. NaN where nothing was expected.
	Size   stats.Interval
	P      float64 // two-sided, of a night so far out; NaN if young
	Record string  // the newest of the night
}

// Blatant reports whether the night is more than 10 % off.
func (w Watch) Blatant() bool {
	return w.Mood == Suspicious && math.Abs(w.Size.Value-1) > blatant
}

// Tonight holds the newest record of a night against a t prediction interval
// of the last 20 nights before it in its epoch, after division by the control
// where there is one. It is suspicious if it is out of bounds so, and unusual
// (outside 95 %) by itself as well, or too noisy by itself to be.
func Tonight(s *Series, night int) Watch {
	h := s.history()
	w := Watch{Mood: Missing, Size: stats.Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}, P: math.NaN()}
	at := h.from(night)
	if at == len(h.nights) || h.nights[at].n != night {
		return w
	}
	now := newest(s.Points, night)
	w.Mood, w.Record = Quiet, now.record
	start := max(h.epochs[h.epoch(at)], at-recent)
	before := h.nights[start:at]
	w.Before, w.Young = len(before), len(before) < young
	if len(before) == 0 {
		return w
	}
	limit := suspicion / share(s.Siblings, night)
	own := expect(before, now, false, limit)
	judged := own
	if known := controlled(before); known && !math.IsNaN(now.control) {
		judged = expect(before, now, true, limit)
	}
	w.Size = judged.interval()
	if w.Young {
		if math.Abs(w.Size.Value-1) > blatant {
			w.Mood = Suspicious
		}
		return w
	}
	w.P = judged.p
	if judged.p <= limit && own.bears(judged.off) {
		w.Mood = Suspicious
	}
	return w
}

// newest is the last record of a night by itself.
func newest(points []Point, n int) night {
	var last []Point
	for _, p := range points {
		switch {
		case p.Night != n || !(p.Value > 0) || math.IsInf(p.Value, 0):
		case len(last) == 0 || p.Record > last[0].Record:
			last = []Point{p}
		case p.Record == last[0].Record:
			last = append(last, p)
		}
	}
	return merge(last)
}

func controlled(nights []night) bool {
	known := 0
	for _, n := range nights {
		if !math.IsNaN(n.control) {
			known++
		}
	}
	return 2*known > len(nights)
}

// expected is how far a night is off, on the log scale.
type expected struct{ off, reach, p float64 }

func expect(before []night, now night, normalise bool, limit float64) expected {
	var y []float64
	off := now.value
	if normalise {
		off -= now.control
	}
	for _, n := range before {
		switch {
		case !normalise:
			y = append(y, n.value)
		case !math.IsNaN(n.control):
			y = append(y, n.value-n.control)
		}
	}
	if len(y) < 3 {
		return expected{off - median(y), math.NaN(), math.NaN()}
	}
	// The nights before may hold a spike; it must not hide the next.
	winsorise(y, nil)
	n, mean, square := float64(len(y)), 0.0, 0.0
	for _, v := range y {
		mean += v / n
	}
	for _, v := range y {
		square += (v - mean) * (v - mean)
	}
	spread := max(math.Sqrt(square/(n-1)), floor) * math.Sqrt(1+1/n)
	t := distuv.StudentsT{Sigma: 1, Nu: n - 1}
	off -= mean
	return expected{off, spread * t.Quantile(1-limit/2), 2 * t.CDF(-math.Abs(off/spread))}
}

// bears reports whether a night by itself goes with how far its ratio to the
// control is off: see [window.bears].
func (e expected) bears(off float64) bool {
	return e.p <= 0.05 && e.off*off > 0 || math.Abs(off) < e.reach && math.Abs(e.off-off) < e.reach
}

func (e expected) interval() stats.Interval {
	return stats.Interval{Value: math.Exp(e.off), Low: math.Exp(-e.reach), High: math.Exp(e.reach)}
}
