package results

import (
	"fmt"
	"math"
	"slices"
)

// Shares describes the count of a use where a device works elsewhere and submits
// proofs of work: each share adds Work to the count, at a random instant.
type Shares struct {
	Difficulty Float  `json:"difficulty"`        // of each
	Work       Float  `json:"work"`              // counts that one stands for, on average
	Agent      string `json:"agent,omitempty"`   // what the device calls itself
	Address    string `json:"address,omitempty"` // that it connects from
}

// Classes of accepted shares, which are the channels of [TraceShares]; any other is
// a reason for which shares were rejected.
const (
	ShareAccepted = "accepted"
	ShareStale    = "stale" // handed in after its job was replaced: work that was done, and for which a pool does not pay
)

// Metrics of uses that are known by their shares.
const (
	ShareCount          = "shares"               // accepted
	StaleShare          = "stale_share"          // of those accepted or stale
	RefusedShare        = "refused_share"        // of all handed in
	Connected           = "connected"            // share of the time
	ConnectedThroughput = "connected_throughput" // stale shares counted, time without a connection not
)

const (
	perBin       = 25   // shares in a bin of the test of an even rate
	fewestBins   = 5    // that the test needs
	unevenChance = 1e-4 // below which the rate is not even
)

// handed sums what the shares of windows show.
type handed struct {
	accepted, stale, refused float64
	away, breaks, resumed    float64
	seconds, work            float64
}

// handIn sums the windows whose work is known.
func handIn(ws []*Window) (h handed) {
	for _, w := range ws {
		if w.Use.Shares == nil || w.Work.IsAbsent() {
			continue
		}
		h.seconds += w.Duration
		h.work += float64(w.Work)
		over := func(key TraceKey) float64 {
			if w.run.Trace(key) != nil {
				return max(0, float64(w.run.over(key)))
			}
			return 0
		}
		h.accepted += math.Round(float64(w.Work / w.Use.Shares.Work))
		h.away += over(w.Use.Key(TraceAway))
		h.breaks += over(w.Use.Key(TraceBreaks))
		h.resumed += over(w.Use.Key(TraceResumed))
		for _, tr := range w.run.group(w.Use.Key(TraceShares)) {
			switch tr.Key.Channel {
			case ShareAccepted:
			case ShareStale:
				h.stale += over(tr.Key)
			default:
				h.refused += over(tr.Key)
			}
		}
	}
	return h
}

// uneven tests whether the shares of windows came at an even rate. dispersion is
// the mean square deviation of bins ÷ that of a constant rate, and 1 if chance
// explains it. Bins end where the counter was read.
func uneven(ws []*Window) (dispersion, probability float64) {
	h := handIn(ws)
	if h.accepted < perBin*fewestBins {
		return 1, 1
	}
	rate := h.accepted / h.seconds
	square, bins := 0.0, 0
	for _, w := range ws {
		tr := w.run.Trace(w.Use.Key(TraceWork))
		if w.Use.Shares == nil || w.Work.IsAbsent() || tr == nil {
			continue
		}
		from, to := w.Span()
		t, v := from, tr.At(float64(from))
		for k, at := range tr.T {
			if at <= t || at > to || float64(at-t)*rate < perBin {
				continue
			}
			mean := float64(at-t) * rate
			n := float64((tr.V[k] - v) / w.Use.Shares.Work)
			square += (n - mean) * (n - mean) / mean
			bins++
			t, v = at, tr.V[k]
		}
	}
	if bins < fewestBins {
		return 1, 1
	}
	// The tail of chi-squared is one of Poisson where its degrees are even.
	probability = PoissonAtMost(uint64(bins/2-1), square/2)
	if probability >= unevenChance {
		return 1, probability
	}
	return square / float64(bins-1), probability
}

// counted gives a figure made of n shares their exact interval, widened by the
// dispersion (see [uneven]).
func (m Figure) counted(n, dispersion float64) Figure {
	m.Low, m.High = Absent(), Absent()
	if n = math.Round(n); m.N == 0 || !(n >= 1 && n <= maxWhole) {
		return m
	}
	low, high := PoissonInterval(uint64(n))
	unit := m.Value / Float(n) // of one share
	wide := math.Sqrt(dispersion)
	m.Low, m.High = max(0, m.Value-unit*Float(wide*(n-low))), m.Value+unit*Float(wide*(high-n))
	return m
}

// shares adds the figures of a use that is known by its shares.
func (d *deriver) shares(m map[string]Figure, ws []*Window) {
	h := handIn(ws)
	unit, work := ws[0].Use.Unit.Per(Second), float64(ws[0].Use.Shares.Work)
	n := m[Throughput].N
	spread, _ := uneven(ws)
	figure := func(value float64, unit Unit) Figure {
		f := Figure{Value: Float(value), Low: Absent(), High: Absent(), Unit: unit, N: n, Provenance: Provenance{Instrument: Absent()}}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			f.Value, f.N, f.Reason = Absent(), 0, Because(NoShare)
		}
		return f
	}
	rate := figure(h.work/h.seconds, unit)
	if rate.Reason = (Reason{}); n == 0 {
		rate.Reason = m[Throughput].Reason
	}
	d.counting(h.accepted)
	m[Throughput] = rate.counted(h.accepted, spread)
	if h.accepted == 0 && n > 0 { // the interval of a rate without any share
		_, high := PoissonInterval(0)
		none := m[Throughput]
		none.Low, none.High = 0, Float(high*work/h.seconds)
		m[Throughput] = none
	}
	m[ShareCount] = figure(h.accepted, Share)
	m[StaleShare] = figure(h.stale/(h.accepted+h.stale), Ratio)
	m[RefusedShare] = figure(h.refused/(h.accepted+h.stale+h.refused), Ratio)
	m[Connected] = figure(1-h.away/h.seconds, Ratio)
	good := h.accepted + h.stale - h.resumed
	d.counting(good)
	m[ConnectedThroughput] = figure(good*work/(h.seconds-h.away), unit).counted(good, spread)
	delete(m, CPUThroughput) // whatever it is made of, it is not our processors
}

// Counted reports whether a device was measured long enough: whether half of the
// 95 % interval of its rate is at most the given part of the rate. The summary of
// the record must have been derived. Windows without energy are in no figure. If
// the last two windows have none, the meter is lost and the figure may never get
// there: then the shares of all windows decide, so that no session waits for ever
// for a dead meter.
func Counted(rec *Record, half Float) bool {
	if len(rec.Summary.Rows) > 0 && rec.Summary.Rows[0].Metrics[Throughput].HalfWidth() <= half {
		return true
	}
	ws := rec.Summary.windows
	n := len(ws)
	if n < 2 || !ws[n-1].run.left || !ws[n-2].run.left {
		return false
	}
	h := handIn(ws)
	spread, _ := uneven(ws)
	all := Figure{Value: Float(h.work / h.seconds), N: n}
	return all.counted(h.accepted, spread).HalfWidth() <= half
}

// byShares reports whether all work of a record is known by its shares.
func (d *deriver) byShares() bool {
	return len(d.windows) > 0 && !slices.ContainsFunc(d.windows, func(w *Window) bool { return w.Use.Shares == nil })
}

// flagShares warns of what the shares of one row show.
func (d *deriver) flagShares(ws []*Window) {
	scenario := ws[0].Scenario
	if spread, p := uneven(ws); spread > 1 {
		d.flag("", "not-steady", fmt.Sprintf("%s: shares spread %.2f times as far as an even rate gives (probability %.1g): intervals are widened by the root of that", scenario, spread, p),
			"lengthen --warmup, cool the device, or lower its clock: its rate changes while it is measured")
	}
	if h := handIn(ws); h.breaks > 0 || h.away > 0 {
		d.flag("", "interrupted", fmt.Sprintf("%s: the device lost its connection %.0f times and was without one for %.4g s of %.6g s: connected_throughput leaves that time out", scenario, h.breaks, h.away, h.seconds),
			"look at the device's log and its network")
	}
}
