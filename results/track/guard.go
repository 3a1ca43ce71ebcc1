package track

import (
	"math"
	"slices"

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

	// blatant is the relative difference that needs no second look, if it is
	// not by chance either, at the p-value plain.
	blatant, plain = 0.10, 2e-5
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
	P      float64 // two-sided, of a night so far out; NaN of fewer than three before
	Record string  // the newest of the night
	Alone  bool    // it is the only session of the night
	// Twice is whether the session before it, of the same night, was as
	// suspicious.
	Twice bool
	share float64 // of siblings
}

// Alarm is a night that was so far off that this alone fails the gate: beyond
// chance and 10 %, or suspicious in two sessions on end.
type Alarm struct {
	Night int
	Size  float64 // the night over what was expected
}

// alarming reports whether a night fails the gate by itself. One session does not
// if another of the night says otherwise.
func (w Watch) alarming() bool {
	return w.Mood == Suspicious && (w.Twice || w.Alone && w.P <= plain/w.share && math.Abs(w.Size.Value-1) > blatant)
}

// nothing is what there is of a night without a figure.
var nothing = Watch{Mood: Missing, Size: stats.Interval{Value: nan, Low: nan, High: nan}, P: nan}

// JudgeNight holds the newest record of a night against a t prediction interval
// of the last 20 nights before it in its epoch, each taken to the level after
// the changes that were known before the night, and after division by the
// control where there is one. It is suspicious if it is out of bounds so, and
// unusual (outside 95 %) by itself as well, or too noisy by itself to be.
func JudgeNight(s *Series, known []Change, night int) Watch {
	w := s.walk(Past{Changes: known})
	at := w.from(night)
	if at == len(w.nights) || w.nights[at].n != night {
		return nothing
	}
	return w.guard(at)
}

// alarmed looks at night i, and notes it if it fails the gate by itself.
func (w *walk) alarmed(i int) {
	w.watch = w.guard(i)
	w.Alarms = slices.DeleteFunc(w.Alarms, func(a Alarm) bool { return i-w.from(a.Night) >= Horizon })
	if w.watch.alarming() {
		w.Alarms = append(w.Alarms, Alarm{w.nights[i].n, w.watch.Size.Value})
	}
}

// guard looks at night i.
func (w *walk) guard(i int) Watch {
	start := max(w.epochs[w.epoch(i)], i-recent)
	// One session is held against one of each night: several have less spread.
	before := slices.Clone(w.nights[start:i])
	for i, n := range before {
		if newest, rest := lastSession(n.points); len(rest) > 0 {
			before[i] = merge(newest)
		}
	}
	levels := []int{0}
	for _, at := range w.levels(start, i)[1:] {
		levels = append(levels, at-start)
	}
	newest, rest := lastSession(w.nights[i].points)
	limit := suspicion / share(w.siblings, w.nights[i].n)
	watch := watched(before, levels, merge(newest), limit)
	watch.Alone, watch.share = len(rest) == 0, suspicion/limit
	if len(rest) > 0 && watch.Mood == Suspicious {
		newest, _ = lastSession(rest)
		first := watched(before, levels, merge(newest), limit)
		watch.Twice = first.Mood == Suspicious && watch.P <= limit && first.P <= limit && (first.Size.Value > 1) == (watch.Size.Value > 1)
	}
	return watch
}

// lastSession splits the points of a night, in the order of their records,
// before those of the last record.
func lastSession(points []Point) (last, rest []Point) {
	at := len(points) - 1
	for at > 0 && points[at-1].Record == points[at].Record {
		at--
	}
	return points[at:], points[:at]
}

// watched holds a session against the nights before it, of which each of levels
// begins one.
func watched(before []night, levels []int, now night, limit float64) Watch {
	w := nothing
	w.Mood, w.Record, w.Before, w.Young = Quiet, now.record, len(before), len(before) < young
	if len(before) == 0 {
		return w
	}
	own := expect(before, levels, now, false, limit)
	judged := own
	if known := hasControl(before); known && !math.IsNaN(now.control) {
		judged = expect(before, levels, now, true, limit)
	}
	w.Size, w.P = judged.interval(), judged.p
	if w.Young {
		if math.Abs(w.Size.Value-1) > blatant {
			w.Mood = Suspicious
		}
		return w
	}
	if judged.p <= limit && own.bears(judged.off) {
		w.Mood = Suspicious
	}
	return w
}

// hasControl reports whether most nights have a control.
func hasControl(nights []night) bool {
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

func expect(before []night, levels []int, now night, normalise bool, limit float64) expected {
	var y []float64
	var starts []int // of levels, in y
	off := now.value
	if normalise {
		off -= now.control
	}
	for i, n := range before {
		if slices.Contains(levels, i) && (len(starts) == 0 || starts[len(starts)-1] < len(y)) {
			starts = append(starts, len(y))
		}
		switch {
		case !normalise:
			y = append(y, n.value)
		case !math.IsNaN(n.control):
			y = append(y, n.value-n.control)
		}
	}
	for len(starts) > 0 && starts[len(starts)-1] == len(y) { // of which no night has a control
		starts = starts[:len(starts)-1]
	}
	level := make([]float64, len(starts)) // about which each is taken
	last := len(starts) - 1
	each := func(f func(level int, y []float64)) {
		for i, from := range starts {
			to := len(y)
			if i < last {
				to = starts[i+1]
			}
			f(i, y[from:to])
		}
	}
	each(func(i int, y []float64) { level[i] = median(slices.Clone(y)) })
	if len(y) < 3 {
		return expected{off - level[last], nan, nan}
	}
	each(func(i int, y []float64) {
		for k := range y {
			y[k] -= level[i]
		}
	})
	// The nights before may hold a spike; it must not hide the next.
	winsorise(y, nil)
	square, nights := 0.0, 0.0
	each(func(i int, y []float64) {
		mean := 0.0
		for _, v := range y {
			mean += v / float64(len(y))
		}
		for _, v := range y {
			square += (v - mean) * (v - mean)
		}
		if i == last {
			off -= level[last] + mean
			nights = float64(len(y))
		}
	})
	freedom := float64(len(y) - len(starts))
	if freedom < 1 {
		return expected{off, nan, nan}
	}
	spread := max(math.Sqrt(square/freedom), floor) * math.Sqrt(1+1/nights)
	t := distuv.StudentsT{Sigma: 1, Nu: freedom}
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
