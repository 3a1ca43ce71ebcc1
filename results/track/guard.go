package track

import (
	"math"
	"slices"
	"sync"

	"github.com/perwatt/perwatt/results/stats"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// recent is the number of nights that the newest is compared with; at least
	// young are needed.
	recent = 20

	// suspicion is the p-value, shared by the nodes of a group, below which a
	// night needs a second measurement.
	suspicion = 0.002

	// blatant is the relative difference that needs no second measurement if its
	// p-value is at most plain.
	blatant, plain = 0.10, 2e-5
)

// Mood is the guard's judgement of the newest night.
type Mood string

const (
	Quiet      Mood = "quiet"
	Suspicious Mood = "suspicious"
	Missing    Mood = "no data"
)

// Watch is the newest night compared with those before it.
type Watch struct {
	Mood Mood
	// Before is the number of nights it is compared with. With fewer than eight the
	// series is Young, and only a difference beyond 10 % is suspicious.
	Before int
	Young  bool
	// Size is the ratio of the newest night to the expected value; its bounds are
	// those of the prediction interval, relative to 1: Low ≤ Value ≤ High is
	// normal. NaN where nothing was expected.
	Size   stats.Interval
	P      float64 // two-sided p-value; NaN with fewer than three nights before
	Record string  // the newest of the night
	Alone  bool    // the night has one session
	// Twice is set if the session before it, of the same night, was suspicious
	// too.
	Twice bool
	share float64 // number of siblings that share alarms
}

// Alarm is a night that fails the gate by itself: off by more than 10 % and
// beyond chance, or suspicious in two successive sessions.
type Alarm struct {
	Night int
	Size  float64 // ratio to the expected value
}

// alarming reports whether a night fails the gate by itself. One session does not
// if another of the same night contradicts it.
func (w Watch) alarming() bool {
	return w.Mood == Suspicious && (w.Twice || w.Alone && w.P <= plain/w.share && math.Abs(w.Size.Value-1) > blatant)
}

// nothing is the Watch of a night without a figure.
var nothing = Watch{Mood: Missing, Size: stats.Interval{Value: nan, Low: nan, High: nan}, P: nan}

// alarmed judges night i and records it if it fails the gate by itself.
func (w *walk) alarmed(i int) {
	w.watch = w.guard(i)
	w.Alarms = slices.DeleteFunc(w.Alarms, func(a Alarm) bool { return i-w.from(a.Night) >= Horizon })
	if w.watch.alarming() {
		w.Alarms = append(w.Alarms, Alarm{w.nights[i].n, w.watch.Size.Value})
	}
}

// guard compares the newest record of night i with a t prediction interval of
// the last 20 nights before it in its epoch, each adjusted to the present level
// by the known changes and divided by the control where there is one. The night
// is suspicious if it lies outside the interval and is also unusual (outside
// 95 %) without the division, or too noisy without it to be so.
func (w *walk) guard(i int) Watch {
	start := max(w.epochs[w.epoch(i)], i-recent)
	// Compare one session with one of each night: a median of several varies less.
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

// lastSession splits off the points of the last record of a night; the points
// are in the order of their records.
func lastSession(points []Point) (last, rest []Point) {
	at := len(points) - 1
	for at > 0 && points[at-1].Record == points[at].Record {
		at--
	}
	return points[at:], points[:at]
}

// watched compares a session with the nights before it; levels are the indices at
// which levels begin.
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

// expected is the deviation of a night from the expected value, on the log scale.
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
	for len(starts) > 0 && starts[len(starts)-1] == len(y) { // no night of it has a control
		starts = starts[:len(starts)-1]
	}
	parts := make([][]float64, len(starts)) // of y, one a level
	for i, from := range starts {
		parts[i] = y[from:]
		if i > 0 {
			parts[i-1] = y[starts[i-1]:from]
		}
	}
	level := make([]float64, len(parts)) // median of each
	for i, part := range parts {
		level[i] = median(slices.Clone(part))
	}
	last := len(parts) - 1
	if len(y) < 3 {
		return expected{off - level[last], nan, nan}
	}
	for i, part := range parts {
		for k := range part {
			part[k] -= level[i]
		}
	}
	// A spike among the nights before must not hide the next.
	winsorise(y, nil)
	square, mean := 0.0, 0.0 // mean of the last level
	for _, part := range parts {
		mean = 0
		for _, v := range part {
			mean += v / float64(len(part))
		}
		for _, v := range part {
			square += (v - mean) * (v - mean)
		}
	}
	off -= level[last] + mean
	freedom := float64(len(y) - len(parts))
	if freedom < 1 {
		return expected{off, nan, nan}
	}
	spread := max(math.Sqrt(square/freedom), floor) * math.Sqrt(1+1/float64(len(parts[last])))
	return expected{off, spread * quantile(freedom, 1-limit/2), 2 * distuv.StudentsT{Sigma: 1, Nu: freedom}.CDF(-math.Abs(off/spread))}
}

// quantiles are those of Student's t that were needed so far, by the degrees of freedom and
// the probability: there are few, and finding one takes longer than the rest of [expect].
var quantiles sync.Map // of [2]float64 to float64

func quantile(freedom, p float64) float64 {
	key := [2]float64{freedom, p}
	if q, ok := quantiles.Load(key); ok {
		return q.(float64)
	}
	q := distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(p)
	quantiles.Store(key, q)
	return q
}

// bears reports whether the night itself is consistent with the deviation of its
// ratio to the control: see [window.bears].
func (e expected) bears(off float64) bool {
	return e.p <= 0.05 && e.off*off > 0 || math.Abs(off) < e.reach && math.Abs(e.off-off) < e.reach
}

func (e expected) interval() stats.Interval {
	return stats.Interval{Value: math.Exp(e.off), Low: math.Exp(-e.reach), High: math.Exp(e.reach)}
}
