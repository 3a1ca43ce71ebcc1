// Package track says what changed in a history of nights, since when, by how
// much, how surely and on whose account, and is silent when nothing did.
//
// A series is one figure of one node of a group, night by night: siblings of one
// model differ by more than a night's noise. Events that are known (a kernel, a
// meter, a firmware) split it into epochs, and nothing is learned across them. Within an epoch two detectors look at every new night:
//
//   - [Tonight] holds the newest night against a t prediction interval of the
//     last 20. It is quick, looks at one night, and asks for a second
//     measurement rather than for a verdict.
//   - [Changes] looks for the night at which the level stepped. It gives the
//     verdict, the date and the size.
//
// All is done on logarithms: a series times a constant has the same changes,
// and one over a series has them with the sign turned. A [Point] carries what
// a pinned control workload did in the same session. A figure is judged after
// division by it, so that a slower machine is found once, in the series of the
// control, and not in every workload that ran there; and it must have moved by
// itself as well, so that a step of the control alone is no one else's fault,
// unless it has so much noise in common with the control that it cannot tell.
//
// A change carries what its interval reached night by night, so that the gate
// of a night is a function of the history ([Report.Failed]). Its interval is of
// figures that know of the step: the winsorised ones, of which it was found,
// take three nights of a new level for spikes.
//
// [Findings] puts changes of one date together, one finding for one cause, and
// says what to do. [Audited] asks whether the history itself believes the
// detector.
//
// The change point detector has the parts that make E-divisive bearable on
// nightly figures (a t-test that knows of autocorrelation, local winsorising,
// segments of three nights or more). In the place of the energy distance is a
// generalised least-squares step under AR(1) noise, tried at every night of
// the last [Horizon] (the likelihood ratio of Siegmund and Venkatraman, Annals
// of Statistics 23, 1995, windowed as by Lai, 1995): on winsorised figures the
// two find the same steps, and this one does so two nights sooner and dates
// them better where nights resemble their neighbours. How much they do is not
// estimated and then believed, but weighed over all it may be. What that is
// worth, go test -run Table -v prints.
//
// The package reads no file and no clock, prints nothing and guesses nothing
// from a name. It cannot see a change slower than its memory of [Memory]
// nights, and calls a slide by its name ([Change.Gradual]) only where a line
// fits better than a step.
package track

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results/store"
)

// names of a key are what rules may ask for.
func names(k store.Key) []string {
	return []string{k.Group, k.Node, k.Scenario, k.Use, k.Workload, k.Impl, k.Metric}
}

// compare orders keys by their names.
func compare(a, b store.Key) int {
	return cmp.Or(slices.Compare(names(a), names(b)), cmp.Compare(a.Threads, b.Threads), cmp.Compare(a.Unit, b.Unit))
}

// Direction says which way a figure is better.
type Direction string

const (
	Higher Direction = "higher"
	Lower  Direction = "lower"
)

// worse reports whether a level that became so many times as high became worse.
func (d Direction) worse(size float64) bool {
	return d == Higher && size < 1 || d == Lower && size > 1
}

// Point is what one session of a night gave.
type Point struct {
	Night   int     // see [Calendar]
	Value   float64 // positive, in the unit of the series; anything else is no figure
	Control float64 // what the control would give at this Value, by the ratio of the two in the same rounds; NaN if none
	Record  string
	// Revision is of the code that was measured.
	Revision string
}

// Calendar says when nights begin, so that each has one number and one date
// for the job that measures and for whoever judges it. Night n begins at the
// hour Begin, UTC, of day n of the Unix epoch.
type Calendar struct{ Begin int }

// Night is the number of the night in which t lies.
func (c Calendar) Night(t time.Time) int {
	return int(math.Floor(float64(t.Unix()-int64(c.Begin)*3600) / 86400))
}

// Begins is when a night begins.
func (c Calendar) Begins(night int) time.Time {
	return time.Unix(int64(night)*86400+int64(c.Begin)*3600, 0).UTC()
}

// Date is the day on which a night began, as people name it.
func Date(night int) time.Time { return time.Unix(int64(night)*86400, 0).UTC() }

// Kind says what an event was.
type Kind string

const (
	Kernel      Kind = "kernel"
	Microcode   Kind = "microcode"
	Firmware    Kind = "firmware"
	Governor    Kind = "governor"
	Meter       Kind = "meter"
	Calibration Kind = "calibration"
	ByHand      Kind = "by hand"
)

// Event is a known change of the machine. The night of that number is the
// first of the new epoch.
type Event struct {
	Night int
	Kind  Kind
	What  string // such as "6.8.0 → 6.12.3"
}

// Series is one figure, night by night. Order does not matter, and of one
// night with several points the median counts.
type Series struct {
	Key    store.Key
	Better Direction
	// Meter is the instrument, and empty where none was read. Series of
	// several nodes may share one.
	Meter string
	// Control is whether this is a series of the control workload itself.
	Control bool
	// Siblings are the nights on which a node of the group can raise an alarm of
	// this figure, of each node, this one's too: they share what is allowed to one.
	Siblings []Span
	Points   []Point
	Events   []Event
}

// Span is from one night to another, both included.
type Span struct{ From, To int }

// share is among how many siblings an alarm of a night is shared.
func share(siblings []Span, night int) (n float64) {
	for _, s := range siblings {
		if s.From <= night && night <= s.To {
			n++
		}
	}
	return max(1, n)
}

// night is what is left of a series: one figure a night, as a logarithm.
type night struct {
	n                int
	value, control   float64 // the difference is the median of the sessions'; control NaN if none
	record, revision string
	points           []Point // of its sessions, in the order of their records
}

// history is a series in order, with the index at which each epoch starts.
type history struct {
	nights []night
	epochs []int
	events []Event // that began epochs[i+1]: one, if several fell together
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
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Night, b.Night) })
	for _, e := range events {
		at := h.from(e.Night)
		switch {
		case at == 0 || at == len(h.nights):
		case at == h.epochs[len(h.epochs)-1]:
			last := &h.events[len(h.events)-1]
			last.What += ", " + string(e.Kind) + " " + e.What
		default:
			h.epochs, h.events = append(h.epochs, at), append(h.events, e)
		}
	}
	return h
}

// merge makes one night of its points, which are in the order of their records.
func merge(points []Point) night {
	last := points[len(points)-1]
	var values, ratios []float64
	for i, p := range points {
		if p.Record != "" && i > 0 && points[i-1].Record == p.Record {
			continue // one record, listed twice
		}
		values = append(values, math.Log(p.Value))
		if p.Control > 0 && !math.IsInf(p.Control, 0) {
			ratios = append(ratios, math.Log(p.Value/p.Control))
		}
	}
	value := median(values)
	return night{last.Night, value, value - median(ratios), last.Record, last.Revision, points}
}

// last is the newest night of a series, [Never] if it has none.
func (s *Series) last() int {
	last := Never
	for _, p := range s.Points {
		last = max(last, p.Night)
	}
	return last
}

// from is the index of the first night numbered n or later.
func (h *history) from(n int) int {
	at, _ := slices.BinarySearchFunc(h.nights, n, func(x night, n int) int { return cmp.Compare(x.n, n) })
	return at
}

// epoch returns the number of the epoch that night i lies in.
func (h *history) epoch(i int) int {
	e, found := slices.BinarySearch(h.epochs, i)
	if !found {
		e--
	}
	return e
}

// median sorts what it is given; NaN of nothing.
func median(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	slices.Sort(xs)
	n := len(xs)
	return (xs[(n-1)/2] + xs[n/2]) / 2
}
