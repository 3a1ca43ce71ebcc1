// Package track detects changes in a history of nightly measurements: when,
// by how much, how certain and with which cause. It reports nothing when nothing
// changed.
//
// A series is one figure of one node of a group, night by night; nodes of one
// model (siblings) differ by more than a night's noise. Known events (a new
// kernel, meter or firmware) split it into epochs that share no statistics.
// Within an epoch [Judge] applies two detectors to every new night:
//
//   - The guard ([Watch]) compares the newest night with a t prediction interval of the
//     last 20. It is quick, uses one night, and asks for a second measurement
//     rather than giving a verdict.
//   - The change point detector ([Change]) locates the night at which the level stepped. It gives the
//     verdict, the date and the size.
//
// All statistics are on logarithms: a series times a constant has the same
// changes, and its reciprocal has them with the sign reversed. A [Point] carries
// the result of a pinned control workload in the same session. A figure is judged
// after division by it, so that a slower machine is found once, in the series of
// the control, and not in every workload on it. The figure must also have moved
// by itself, so that a step of the control alone is not blamed on others, unless
// it shares so much noise with the control that it cannot show the step.
//
// A change records how far its interval reached each night, so that the gate of
// a night is a function of the history ([Report.Failed]). Its interval is
// computed from figures winsorised with the step known: those it was found in
// treat three nights of a new level as spikes.
//
// [Findings] merges changes of one date into one finding per cause, with the
// remedy. [Audit] tests the detector on the history itself.
//
// The change point detector has the parts that make E-divisive usable on
// nightly figures: a t-test that accounts for autocorrelation, local
// winsorising, segments of three nights or more. Instead of the energy distance
// it uses a generalised least-squares step under AR(1) noise, tried at every
// night of the last [Horizon] (the likelihood ratio of Siegmund and Venkatraman,
// Annals of Statistics 23, 1995, windowed as by Lai, 1995). On winsorised figures
// the two find the same steps; this one does so two nights sooner and dates them
// better where nights are correlated. The correlation is integrated out instead
// of estimated. go test -run Table -v prints the detection rates.
//
// The package reads no file and no clock, prints nothing and infers nothing
// from names. It cannot see a change slower than its memory of [Memory] nights,
// and marks a drift ([Change.Gradual]) only where a line fits better than a step.
package track

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// names are the fields of a key that rules can match.
func names(k store.Key) []string {
	return []string{k.Group, k.Node, k.Scenario, k.Use, k.Device, k.Workload, k.Impl, k.Metric}
}

// compare orders keys by their names.
func compare(a, b store.Key) int {
	return cmp.Or(slices.Compare(names(a), names(b)), cmp.Compare(a.Threads, b.Threads), cmp.Compare(a.Unit, b.Unit))
}

// Direction is the direction in which a figure improves.
type Direction string

const (
	Higher Direction = "higher"
	Lower  Direction = "lower"
)

// worse reports whether a level that became so many times as high became worse.
func (d Direction) worse(size float64) bool {
	return d == Higher && size < 1 || d == Lower && size > 1
}

// Point is the result of one session of a night.
type Point struct {
	Night   int     // see [Calendar]
	Value   float64 // positive, in the unit of the series; other values are ignored
	Control float64 // Value divided by its ratio to the control in the same rounds; NaN without one
	Record  string
	// Revision of the code that was measured.
	Revision string
}

// Calendar defines when nights begin, so that a night has the same number and
// date when it is measured and when it is judged. Night n begins at the hour
// Begin, UTC, of day n of the Unix epoch.
type Calendar struct{ Begin int }

// Night returns the number of the night that contains t.
func (c Calendar) Night(t time.Time) int {
	return int(math.Floor(float64(t.Unix()-int64(c.Begin)*3600) / 86400))
}

// Begins returns the start of a night.
func (c Calendar) Begins(night int) time.Time {
	return time.Unix(int64(night)*86400+int64(c.Begin)*3600, 0).UTC()
}

// Date returns the day on which a night began.
func Date(night int) time.Time { return time.Unix(int64(night)*86400, 0).UTC() }

// Event is a known change of the machine. Night is the first of the new epoch.
type Event struct {
	Night int
	Kind  string // as of [store.Event]: kernel, microcode …
	What  string // such as "6.8.0 → 6.12.3"
}

// Series is one figure, night by night, in any order. A night with several
// points counts with their median.
type Series struct {
	Key    store.Key
	Better Direction
	// Meter is the instrument, empty if none was read. Series of several nodes may
	// share one.
	Meter string
	// Control marks a series of the control workload itself.
	Control bool
	// Siblings are the nights on which each node of the group, this one included,
	// can raise an alarm on this figure: together they share the false-alarm rate
	// of one.
	Siblings []Span
	Points   []Point
	Events   []Event
}

// Span is a range of nights, both ends included.
type Span struct{ From, To int }

// share returns the number of siblings that share the alarms of a night.
func share(siblings []Span, night int) (n float64) {
	for _, s := range siblings {
		if s.From <= night && night <= s.To {
			n++
		}
	}
	return max(1, n)
}

// night is one night of a series, as a logarithm.
type night struct {
	n                int
	value, control   float64 // their difference is the median of the sessions; control is NaN without one
	record, revision string
	points           []Point // of its sessions, in the order of their records
}

// history is a series in order, with the index at which each epoch starts.
type history struct {
	nights []night
	epochs []int
	events []Event // events[i] began epochs[i+1]; coinciding events are merged
}

func (s *Series) history() history {
	var h history
	points := slices.DeleteFunc(slices.Clone(s.Points), func(p Point) bool { return !(p.Value > 0) || math.IsInf(p.Value, 0) })
	slices.SortFunc(points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Night, b.Night), cmp.Compare(a.Record, b.Record), cmp.Compare(a.Value, b.Value))
	})
	for len(points) > 0 {
		n := 1
		for n < len(points) && points[n].Night == points[0].Night {
			n++
		}
		h.nights = append(h.nights, merge(points[:n]))
		points = points[n:]
	}
	h.epochs = []int{0}
	events := slices.Clone(s.Events)
	results.SortStable(events, func(a, b Event) int { return cmp.Compare(a.Night, b.Night) })
	for _, e := range events {
		at := h.from(e.Night)
		switch {
		case at == 0 || at == len(h.nights):
		case at == h.epochs[len(h.epochs)-1]:
			last := &h.events[len(h.events)-1]
			last.What += ", " + e.Kind + " " + e.What
		default:
			h.epochs, h.events = append(h.epochs, at), append(h.events, e)
		}
	}
	return h
}

// merge combines the points of one night, given in the order of their records.
func merge(points []Point) night {
	last := points[len(points)-1]
	var values, ratios []float64
	for i, p := range points {
		if p.Record != "" && i > 0 && points[i-1].Record == p.Record {
			continue // the same record listed twice
		}
		values = append(values, math.Log(p.Value))
		if p.Control > 0 && !math.IsInf(p.Control, 0) {
			ratios = append(ratios, math.Log(p.Value/p.Control))
		}
	}
	value := median(values)
	return night{last.Night, value, value - median(ratios), last.Record, last.Revision, points}
}

// last returns the newest night of a series, [Never] if it has none.
func (s *Series) last() int {
	last := Never
	for _, p := range s.Points {
		last = max(last, p.Night)
	}
	return last
}

// from returns the index of the first night numbered n or later.
func (h *history) from(n int) int {
	at, _ := slices.BinarySearchFunc(h.nights, n, func(x night, n int) int { return cmp.Compare(x.n, n) })
	return at
}

// epoch returns the index of the epoch that contains night i.
func (h *history) epoch(i int) int {
	e, found := slices.BinarySearch(h.epochs, i)
	if !found {
		e--
	}
	return e
}

// median reorders xs; the median of nothing is NaN.
func median(xs []float64) float64 {
	n := len(xs)
	if n == 0 {
		return math.NaN()
	}
	middle := n / 2
	selectNth(xs, middle)
	if n%2 == 1 {
		return xs[middle]
	}
	return (slices.Max(xs[:middle]) + xs[middle]) / 2
}

// selectNth orders xs, which has no NaN, so far that xs[k] is what it would be if it were
// sorted, with nothing larger before it (Hoare, Algorithm 65: FIND, CACM 4, 1961).
func selectNth(xs []float64, k int) {
	for low, high := 0, len(xs)-1; low < high; {
		a, b, c := xs[low], xs[low+(high-low)/2], xs[high]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := low, high
		for i <= j {
			for xs[i] < pivot {
				i++
			}
			for xs[j] > pivot {
				j--
			}
			if i <= j {
				xs[i], xs[j] = xs[j], xs[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			high = j
		case k >= i:
			low = i
		default:
			return
		}
	}
}
