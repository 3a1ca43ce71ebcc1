package results

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// meterTotal is a total of a meter, or the sum of two: the one that is taken as
// the power of the node, or one that stands beside it.
type meterTotal struct {
	PrimaryMeter
	Gain   float64 // relative, of the instrument; NaN if unknown
	parts  []sensor
	cards  map[string]bool // PCI addresses and UUIDs of the cards among them, in lower case
	dead   []Reason        // why what comes first by the order of preference gave no watts
	silent bool            // it gave no watts in any window, for the reason why
	why    Reason
}

// rank lists the totals of the meters of a session, and the sum of cards and
// packages, in the order in which they are quoted: totals that gave watts in a
// window before those that gave none, then those that cover more of the devices
// that worked, then measured before modelled before declared, then the outermost
// boundary, then the first in the record. Of channels that measure the same
// place, a total has the one that gave watts in the most windows.
func (d *deriver) rank() (out []meterTotal) {
	for i := range d.rec.Meters {
		m := &d.rec.Meters[i]
		for _, b := range Boundaries() {
			if b == CardsPackages { // no instrument measures it
				continue
			}
			h := d.total(m, b, func(c Channel) bool { return c.Total == b && d.own(m, c) })
			if len(h.parts) > 0 {
				out = append(out, d.heard(h.graded()))
			}
		}
	}
	preferred := func(a, b meterTotal) int {
		return cmp.Or(cmp.Compare(d.covered(&b), d.covered(&a)), cmp.Compare(a.place(), b.place()))
	}
	order := func(a, b meterTotal) int {
		switch {
		case a.silent == b.silent:
			return preferred(a, b)
		case a.silent:
			return 1
		}
		return -1
	}
	SortStable(out, order)
	if both, ok := d.cardsAndPackages(out); ok {
		out = append(out, d.heard(both))
		SortStable(out, order)
	}
	if len(out) > 0 && !out[0].silent {
		for _, h := range out[1:] {
			if h.silent && preferred(h, out[0]) < 0 && !slices.Contains(out[0].dead, h.why) {
				out[0].dead = append(out[0].dead, h.why)
			}
		}
	}
	return out
}

// heard finds out whether a total gave watts.
func (d *deriver) heard(h meterTotal) meterTotal {
	for _, r := range d.good {
		e, why := h.energy(r, r.from, r.to)
		if h.silent = e.IsAbsent(); !h.silent {
			break
		}
		h.why = cmp.Or(h.why, why)
	}
	return h
}

// cardsAndPackages is the sum of the first measured total of packages and of those of
// cards: the first, and each further one that gave watts and whose cards are other ones,
// such as those of another vendor. The errors of meters are taken to add up.
func (d *deriver) cardsAndPackages(totals []meterTotal) (sum meterTotal, ok bool) {
	packages := slices.IndexFunc(totals, func(h meterTotal) bool { return h.Boundary == Package && h.Origin == Measured })
	if packages < 0 {
		return sum, false
	}
	var names []string
	sum = meterTotal{PrimaryMeter: PrimaryMeter{Boundary: CardsPackages}, cards: map[string]bool{}}
	add := func(h meterTotal) {
		names = append(names, h.Meter)
		sum.parts, sum.dead = append(sum.parts, h.parts...), append(sum.dead, h.dead...)
	}
	counted := map[string]bool{} // devices
	for _, h := range totals {
		if h.Boundary != Cards || h.Origin != Measured || len(names) > 0 && h.silent {
			continue
		}
		d.spend(32 * len(h.parts))
		again := func(s sensor) bool { return s.Card == "" || counted[d.byCard[strings.ToLower(s.Card)]] }
		if len(names) > 0 && slices.ContainsFunc(h.parts, again) {
			continue
		}
		add(h)
		for _, s := range h.parts {
			counted[d.byCard[strings.ToLower(s.Card)]] = true
		}
		maps.Copy(sum.cards, h.cards)
	}
	if len(names) == 0 {
		return sum, false
	}
	add(totals[packages])
	sum.Meter = strings.Join(names, " + ")
	for _, s := range sum.parts {
		sum.Channels, sum.Meters = append(sum.Channels, s.Name), append(sum.Meters, s.meter)
	}
	return sum.graded(), true
}

// total is the sum of the wanted channels of a meter at a boundary. Of channels
// that measure the same place it has the one that gave watts in the most windows,
// the first of equals.
func (d *deriver) total(m *Meter, b Boundary, wanted func(Channel) bool) meterTotal {
	h := meterTotal{PrimaryMeter: PrimaryMeter{Meter: m.Name, Boundary: b}}
	for _, rivals := range d.places(m, wanted) {
		part := d.best(&h, rivals, m.within())
		if m.Period > 0 {
			part.period = float64(m.Period)
		}
		d.copied(part.Name)
		h.parts, h.Channels = append(h.parts, part), append(h.Channels, part.Name)
		if d.named(part.Card); part.Card != "" {
			if h.cards == nil {
				h.cards = map[string]bool{}
			}
			h.cards[strings.ToLower(part.Card)] = true
		}
	}
	return h
}

func (d *deriver) best(h *meterTotal, rivals []Channel, within float64) (best sensor) {
	most, dead := -1, []Reason(nil)
	for _, c := range rivals {
		sensor, n, first := d.look(h.Meter, c), 0, Reason{}
		sensor.within = within
		for _, r := range d.good {
			if len(rivals) == 1 {
				break // it serves anyway
			}
			e, why := sensor.energy(r, r.from, r.to)
			if !e.IsAbsent() {
				n++
			}
			first = cmp.Or(first, why)
		}
		if n > most {
			best, most, h.dead = sensor, n, append(h.dead, dead...)
		}
		dead = append(dead, first)
	}
	return best
}

// graded completes a total by what its parts have in common.
func (h meterTotal) graded() meterTotal {
	h.Gain = math.NaN()
	for i, s := range h.parts {
		h.Origin = s.Origin
		// Gains of one instrument are correlated: the total is as
		// uncertain as its worst part.
		if g := float64(s.Accuracy.Gain); i == 0 || !(g <= h.Gain) {
			h.Gain = g
		}
		if h.Boundary == CardsPackages && s.Accuracy.Gain.IsAbsent() {
			h.Gain = math.NaN()
			break
		}
	}
	return h
}

// places groups the wanted channels of a meter by the place that they measure.
func (d *deriver) places(m *Meter, wanted func(Channel) bool) (out [][]Channel) {
	at := map[string]int{}
	for _, c := range m.Channels {
		d.named(c.Place)
		i, known := at[c.Place]
		switch {
		case !wanted(c):
		case known && c.Place != "":
			out[i] = append(out[i], c)
		default:
			at[c.Place] = len(out)
			out = append(out, []Channel{c})
		}
	}
	return out
}

// place is the rank of a total, lowest for the one that is quoted first.
func (h meterTotal) place() int {
	return 100*slices.Index([]Origin{Measured, Modelled, Declared}, h.Origin) + slices.Index(Boundaries(), h.Boundary)
}

// mostParts is how many parts of a node a reason names.
const mostParts = 20

// noTotal is the reason for which meters give no power of the node: there are none,
// or they see only parts of it.
func noTotal(meters []Meter) Reason {
	type part struct {
		meter string
		at    Boundary
	}
	var first []string
	seen := map[part]bool{}
	for _, m := range meters {
		for _, c := range m.Channels {
			p := part{m.Name, c.Boundary}
			if !seen[p] && len(first) < mostParts {
				first = append(first, fmt.Sprintf("%s at the %s", p.meter, p.at))
			}
			seen[p] = true
		}
	}
	switch more := len(seen) - len(first); {
	case len(first) == 0:
		return Because(NoMeter)
	case more > 0:
		first = append(first, fmt.Sprintf("and %d more", more))
	}
	return Reason{PartialMeter, "no meter of the node, only of parts: " + strings.Join(first, ", ")}
}

// energy returns the joules of a total between two instants of a run. If one of its
// channels has none there, it is absent, for the reason returned.
func (h meterTotal) energy(r *indexedRun, from, to float64) (Float, Reason) {
	if len(h.parts) == 0 {
		return Absent(), Because(NoMeter)
	}
	sum := Float(0)
	for i := range h.parts {
		e, why := h.parts[i].energy(r, from, to)
		if e.IsAbsent() {
			return e, why
		}
		sum += e
	}
	return sum, Reason{}
}

// gross is the uncertainty of a window's energy, relative to it.
func gross(w *Window) terms { return w.uncertain.scale(1 / float64(w.Energy)) }

// net is the uncertainty of the power above idle, relative to it. The same meter
// read both, but its error need not be the same at both ends of its range.
func net(w *Window) terms {
	return w.uncertain.scale(1/w.Duration).each(w.idleTerms, math.Hypot).scale(1 / float64(w.Power()-w.idle))
}

// seen is the uncertainty of the watts of windows, relative to one figure and
// relative to the gross power.
type seen struct {
	*deriver
	of, plain terms
	shortest  float64 // s, of the windows
}

// seen returns it; of is the relative uncertainty of the figure of one window.
func (d *deriver) seen(ws []*Window, of func(*Window) terms) seen {
	s := seen{deriver: d, shortest: math.Inf(1)}
	var each, plain []terms
	d.spend(32 * len(ws))
	for _, w := range ws {
		s.shortest = min(s.shortest, w.Duration)
		if !w.Energy.IsAbsent() {
			each, plain = append(each, of(w)), append(plain, gross(w))
		}
	}
	s.of, s.plain = typical(each), typical(plain)
	return s
}

// mark gives a figure the provenance and the budget of the watts in it.
func (s seen) mark(m Figure) Figure {
	switch {
	case !s.metered:
		m.Reason = s.unmetered
		return m
	case m.Status.uncovered():
		return m
	}
	return s.head.marked(m, s.of, s.plain, s.shortest)
}

// marked is [seen.mark] at one meter. The figure is graded by the worse of its
// own budget and that of the gross power.
func (h meterTotal) marked(m Figure, of, plain terms, shortest float64) Figure {
	m.Boundary, m.Origin, m.Instrument = h.Boundary, h.Origin, Absent()
	budget := plain.budget(m)
	m.Grade = GradeOf(h.Boundary, h.Origin, budget, shortest)
	if m.Value.IsAbsent() {
		return m
	}
	if math.IsInf(of.instrument(), 0) { // of a difference of nothing, to which nothing is relative
		return m
	}
	if of != plain {
		budget = of.budget(m)
		m.Grade = max(m.Grade, GradeOf(h.Boundary, h.Origin, budget, shortest))
	}
	m.Instrument, m.Budget = Float(ppm(of.instrument())), budget
	return m
}
