package results

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// maxIntervals is how many intervals may lie between two readings before what
// the load did between them counts as unseen.
const maxIntervals = 3

// meterRows is the power of each scenario at every total and card.
func (d *deriver) meterRows() []MeterRow {
	sources := make([]cardTotal, 0, len(d.totals))
	for _, h := range d.totals {
		sources = append(sources, cardTotal{h, "", ""})
	}
	sources = append(sources, d.perCard...)
	counted := map[string][]*indexedRun{}
	for _, r := range d.good {
		if d.named(r.Scenario); !r.left {
			counted[r.Scenario] = append(counted[r.Scenario], r)
		}
	}
	out := []MeterRow{}
	for _, scenario := range d.rec.Plan.Scenarios {
		if len(counted[scenario]) == 0 {
			continue
		}
		for i, src := range sources {
			d.copied(scenario, src.Meter, src.channel, src.device)
			var pairs []Pair
			var rounds []int
			var each []terms
			var whys tally
			shortest := math.Inf(1)
			for _, r := range counted[scenario] {
				e, why := src.energy(r, r.from, r.to)
				if e.IsAbsent() {
					whys.add(why)
					continue
				}
				pairs, rounds = append(pairs, Pair{float64(e), r.to - r.from}), append(rounds, r.Round)
				uncertain := r.uncertain // at the primary meter, as was found out for the windows
				if !d.metered || i > 0 {
					uncertain = src.within(r, r.from, r.to)
				}
				each = append(each, uncertain.scale(1/float64(e)))
				shortest = min(shortest, r.to-r.from)
			}
			t, power := typical(each), missing(Watt, whys.usual())
			if len(pairs) > 0 {
				power = quotientOf(pairs, rounds).metric(Watt, false)
			}
			out = append(out, MeterRow{Scenario: scenario, Meter: src.Meter, Channel: src.channel, Device: src.device,
				Power: src.marked(power, t, t, shortest)})
		}
	}
	return out
}

// cardTotal is the total of one card: a channel of a meter of cards, and the device
// that the card is, if it is one of the node.
type cardTotal struct {
	meterTotal
	channel, device string
}

// cardTotals lists the channels of cards, one a card and meter.
func (d *deriver) cardTotals() (out []cardTotal) {
	for i := range d.rec.Meters {
		m := &d.rec.Meters[i]
		for _, c := range d.total(m, Card, func(c Channel) bool { return (c.Total == "" || c.Total == Cards) && c.Boundary == Card }).each() {
			card := strings.ToLower(c.parts[0].Card)
			d.named(card)
			out = append(out, cardTotal{c.graded(), c.parts[0].Name, d.byCard[card]})
		}
	}
	return out
}

// each are the parts of a total, each on its own.
func (h meterTotal) each() (out []meterTotal) {
	for i := range h.parts {
		part := h
		part.parts = h.parts[i : i+1]
		out = append(out, part)
	}
	return out
}

// coverages returns how each meter was read around the windows of good runs: the
// channels that the primary meter has of it, or those of its first total or,
// without a total, all of them.
func (d *deriver) coverages() []Coverage {
	out := []Coverage{}
	totals := map[string]meterTotal{}
	for _, h := range d.totals {
		if _, better := totals[h.Meter]; !better && h.Boundary != CardsPackages {
			totals[h.Meter] = h
		}
	}
	if d.head.Boundary == CardsPackages {
		of := map[string][]sensor{}
		for _, s := range d.head.parts {
			of[s.meter] = append(of[s.meter], s)
		}
		for meter, parts := range of {
			totals[meter] = meterTotal{parts: parts}
		}
	}
	for i := range d.rec.Meters {
		m := &d.rec.Meters[i]
		c := Coverage{Meter: m.Name, Interval: Absent(), Longest: Absent(), Share: Absent(), RoundTrip: Absent(), Readings: math.MaxInt}
		var stretches []stretch
		total := 0.0
		h, ok := totals[m.Name]
		if !ok {
			h = d.total(m, "", func(Channel) bool { return true })
		}
		for _, s := range h.parts {
			for _, r := range d.good {
				total += r.to - r.from
				tr := r.Trace(s.key)
				if tr == nil {
					c.Readings = 0
					continue
				}
				r.spend(2 * len(tr.T))
				news, _ := s.news(tr)
				var n int
				stretches, n = news.between(stretches, r.from, r.to)
				c.Readings = min(c.Readings, n)
			}
		}
		if len(stretches) > 0 {
			gaps := make([]float64, len(stretches))
			for i, s := range stretches {
				gaps[i] = s.length
			}
			median, _, _ := MedianInterval(gaps)
			c.Interval, c.Longest = Float(median), Float(slices.Max(gaps))
			seen := 0.0
			for _, s := range stretches {
				if s.length <= maxIntervals*median*1.001 {
					seen += s.inside
				}
			}
			c.Share = Float(ppm(seen / total))
		}
		if len(d.good) == 0 {
			c.Readings = 0
		}
		if trips := d.samples(TraceKey{Kind: TraceRoundTrip, Meter: m.Name}); len(trips) > 0 {
			c.RoundTrip = Float(slices.Max(trips))
		}
		offset, _, _ := MedianInterval(d.samples(TraceKey{Kind: TraceClockOffset, Meter: m.Name}))
		c.ClockOffset = Float(offset)
		out = append(out, c)
	}
	return out
}

// stretch is the time between two successive readings, and how much of it lies
// in a window, in s.
type stretch struct{ length, inside float64 }

// between adds to spans those between good readings from the last before second
// a to the first after b, and returns how many readings lie inside.
func (tr *Trace) between(spans []stretch, a, b float64) (_ []stretch, inside int) {
	first := max(0, tr.every(1, 0).after(a)-1)
	last := min(len(tr.T), tr.every(1, 0).after(b)+1)
	spans = slices.Grow(spans, last-first)
	for i := first; i < last; i++ {
		t := float64(tr.T[i])
		if t >= a && t <= b && !tr.V[i].IsAbsent() {
			inside++
		}
		if i == 0 || tr.V[i].IsAbsent() || tr.V[i-1].IsAbsent() {
			continue
		}
		before := float64(tr.T[i-1])
		if in := min(t, b) - max(before, a); in > 0 {
			spans = append(spans, stretch{t - before, in})
		}
	}
	return spans, inside
}

// samples lists the values of a trace in all good runs, without the gaps.
func (d *deriver) samples(key TraceKey) (out []float64) {
	for _, r := range d.good {
		tr := r.Trace(key)
		if tr == nil {
			continue
		}
		r.spend(len(tr.V))
		for _, v := range tr.V {
			if !v.IsAbsent() {
				out = append(out, float64(v))
			}
		}
	}
	return out
}

// unknownAccuracy is the relative error assumed for a meter that states none when
// two meters are compared. A component counter lies below a wall meter by the
// losses of the supply, and never above it.
const unknownAccuracy = 0.05

const steps = "it may be another machine's outlet, or not move at all: perwatt meters SPEC --check steps the load and watches it"

// flagMeters warns of meters that contradict each other or the load: what lies
// inside a boundary cannot draw more than the whole, and the whole must follow
// the load.
func (d *deriver) flagMeters(all []MeterRow) {
	byScenario := map[string][]MeterRow{}
	for _, r := range all {
		if r.Power.Origin == Measured && !r.Power.Value.IsAbsent() {
			byScenario[r.Scenario] = append(byScenario[r.Scenario], r)
		}
	}
	slack := func(m Figure) float64 {
		if m.Instrument.IsAbsent() {
			return unknownAccuracy
		}
		return float64(m.Instrument)
	}
	for _, scenario := range d.rec.Plan.Scenarios {
		rows := byScenario[scenario]
		for i, outer := range rows {
			d.spend(32 * len(rows[i:])) // a pair may make a warning
			for _, inner := range rows[i+1:] {
				ratio := float64(inner.Power.Value / outer.Power.Value)
				most := 1 + slack(inner.Power) + slack(outer.Power)
				same := inner.Power.Boundary == outer.Power.Boundary && inner.Channel == "" && outer.Channel == ""
				part := inner.Power.Boundary == outer.Power.Boundary || inner.Power.Boundary.Inside(outer.Power.Boundary)
				if cards := (outer.Power.Boundary == CardsPackages || outer.Power.Boundary == Cards) && (inner.Power.Boundary == Cards || inner.Power.Boundary == Card); cards {
					part = false // it is one of those that were added, or another
				}
				if !part || outer.Channel != "" || ratio <= most && !(same && ratio < 1/most) {
					continue
				}
				d.flag("", "meters-disagree", fmt.Sprintf("%s: %s sees %.4g W at the %s, %s sees %.4g W at the %s around it", scenario,
					inner.Meter, inner.Power.Value, inner.Power.Boundary, outer.Meter, outer.Power.Value, outer.Power.Boundary),
					"one of them measures something else: check the outlet, the scale and the boundary of each")
			}
		}
	}
	head := d.head
	if !d.metered || head.Origin != Measured {
		return
	}
	for i := range head.parts {
		if s := &head.parts[i]; s.blind {
			d.flag("", "meter-blind", s.stood(), steps)
		}
	}
	idle, most := math.NaN(), 0.0
	for _, w := range d.windows {
		if p := float64(w.Power()); w.Use.Use == "idle" && !(p <= idle) {
			idle = p
		} else if w.Use.Use != "idle" && p > most {
			most = p
		}
	}
	if most > 0 && most < idle*(1+maxIdleDrift) {
		d.flag("", "meter-blind", fmt.Sprintf("meter %s saw no more than %.4g W under load and %.4g W at idle", head.Meter, most, idle), steps)
	}
}
