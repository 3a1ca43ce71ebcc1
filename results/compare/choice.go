package compare

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// Choice is the answer at one use: which candidate gives the most work per joule.
//
// Machines are compared as a whole: each by its best device at the use. A machine
// whose cards were measured at any use does not compete with its CPU alone, and
// where a miner mines, nothing else competes with it. Candidates compete within one
// group of one boundary, origin and grade, that with the most of them; the best is
// tested against each of the others. No reference takes part in the choice.
type Choice struct {
	Table   string  `json:"table"` // its ID
	Outcome Outcome `json:"outcome"`
	// Control is true of mining on CPUs and GPUs alone, where another use was
	// measured: nobody buys a machine for it, and nothing is concluded from it.
	Control bool `json:"control,omitempty"`
	// Aside is true of a training that another one stands for: see
	// [Comparison.Standing].
	Aside bool `json:"aside,omitempty"`
	// Stands is true of a training that stands for the use.
	Stands bool `json:"stands,omitempty"`

	Places []Place        `json:"places"` // each candidate that was measured at the use: those that compete, best first, then the others
	Lead   results.Figure `json:"lead"`   // work per energy of the first ÷ that of the next, instruments included; absent unless two compete
	Settle stats.Decision `json:"settle"` // of CannotTell, what would settle it
	// Boundary and Grade are those of the watts of the candidates that compete.
	Boundary results.Boundary `json:"boundary,omitempty"`
	Grade    results.Grade    `json:"grade,omitempty"`
}

// Outcome is what a choice came to.
type Outcome string

// Outcomes.
const (
	Best       Outcome = "best"        // the first gives more work per joule than every other
	Level      Outcome = "level"       // no other is worse than the first by more than the margin
	CannotTell Outcome = "cannot tell" // the first is not told from another
	Only       Outcome = "only"        // one candidate competes, and no other was measured at the use as a whole machine
	Apart      Outcome = "apart"       // several were measured, and no two at one boundary and grade
	Unranked   Outcome = "not ranked"  // nobody competes
)

// Place is a candidate at a use, by its best device.
type Place struct {
	Candidate string `json:"candidate"`
	Device    string `json:"device,omitempty"` // as in [Row]
	Row       string `json:"row"`              // its ID
	// Place is 1 for the first and for those that are not told from it, and counts
	// on for the others; 0 for a candidate that does not compete.
	Place  int          `json:"place"`
	Reason stats.Reason `json:"reason,omitempty"` // why it does not compete
	Why    string       `json:"why,omitempty"`    // the same as a text
	// Index is the work per energy against that of the reference, both as whole
	// machines; absent where either does not compete.
	Index results.Figure `json:"index"`

	row      *Row
	of       *Row // that the index is against
	lead     results.Figure
	decision stats.Decision
}

// Reasons why a measured candidate does not compete at a use.
const (
	CPUAlone      stats.Reason = "cpu-alone"      // it has cards that were measured at other uses
	NoMiner       stats.Reason = "no-miner"       // a miner mines in this comparison, and this is none
	OtherBoundary stats.Reason = "other-boundary" // more candidates were measured at another boundary or grade
)

// MachineIndex names the index of a place where it is not that of the row.
const MachineIndex = "machine_index"

// IndexID is the ID of the figure that is the place's index, which
// [Comparison.Explain] takes: that of the row, if it is against the same row. It is
// empty without an index.
func (p *Place) IndexID() string {
	switch {
	case p.of == nil:
		return ""
	case p.row.ref == p.of.ID:
		return p.Row + "/index"
	}
	return p.Row + "/" + MachineIndex
}

// Figure returns a figure of the place's row by the name of its metric.
func (p *Place) Figure(metric string) (results.Figure, bool) {
	f, ok := p.row.Figures[metric]
	return f, ok
}

// Decides reports whether a conclusion may rest on the choice.
func (x *Choice) Decides() bool { return !x.Control && !x.Aside }

// Competing are the places that compete.
func (x *Choice) Competing() []Place {
	n := 0
	for n < len(x.Places) && x.Places[n].Place > 0 {
		n++
	}
	return x.Places[:n]
}

// choose makes the choices, one a use alone, in the order of the tables.
func (c *Comparison) choose(ctx context.Context) error {
	standing, _ := c.Standing()
	cards, stands, others := map[string]bool{}, false, false
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Role != results.Alone {
			continue
		}
		stands = stands || t.stands(standing)
		others = others || t.Use != "mining"
		for _, r := range t.rows() {
			cards[r.Candidate] = cards[r.Candidate] || r.on(results.KindGPU)
		}
	}
	type trial struct{ choice, place int }
	var trials []trial
	var ps []float64
	var repeats []stats.Interval
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Role != results.Alone {
			continue
		}
		x := Choice{Table: t.ID(), Lead: none(), Places: []Place{}}
		x.Stands = t.stands(standing)
		x.Aside = t.trains && stands && !x.Stands
		x.Control = t.Use == "mining" && others && !t.has(results.KindMiner)
		x.compete(t, cards)
		first := x.Competing()
		for j := range first {
			p := &first[j]
			if k := slices.IndexFunc(first, func(o Place) bool { return o.Candidate == c.Reference }); k >= 0 {
				p.of = first[k].row
				p.Index, _ = c.quotient(p.row, p.of)
			}
			if j == 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			lead, stat := c.quotient(first[0].row, p.row)
			p.lead = lead
			trials, repeats = append(trials, trial{len(c.Choices), j}), append(repeats, stat)
			ps = append(ps, stats.PValue(first[0].row.repeats, p.row.repeats))
		}
		c.Choices = append(c.Choices, x)
	}
	for i, p := range stats.BenjaminiHochberg(ps) {
		x := &c.Choices[trials[i].choice]
		x.settle(trials[i].place, repeats[i], c.Margin, p)
	}
	for i := range c.Choices {
		c.Choices[i].conclude()
	}
	return nil
}

// compete lists the candidates of a table: those that compete, and the others.
func (x *Choice) compete(t *Table, cards map[string]bool) {
	miner := t.has(results.KindMiner)
	unfit := func(r *Row) (stats.Reason, string) {
		switch {
		case miner && !r.on(results.KindMiner):
			return NoMiner, "it is no miner: it mines as a control"
		case cards[r.Candidate] && !r.on(results.KindGPU):
			return CPUAlone, "it was measured on its CPU alone, and not on its cards"
		}
		return "", ""
	}
	best := -1 // the group in which the most candidates compete
	var most []Place
	for i := range t.Groups {
		g := &t.Groups[i]
		var places []Place
		for j := range g.Rows {
			r := &g.Rows[j]
			if why, _ := unfit(r); g.Ranked && why == "" && !placed(places, r.Candidate) {
				places = append(places, Place{Candidate: r.Candidate, Device: r.Device, Row: r.ID, Place: len(places) + 1, Index: none(), row: r})
			}
		}
		if len(places) > len(most) {
			best, most = i, places
		}
	}
	x.Places = append(x.Places, most...)
	if best >= 0 {
		x.Boundary, x.Grade = t.Groups[best].Boundary, t.Groups[best].Grade
	}
	for _, own := range []bool{true, false} { // as a whole machine if it was measured as one
		for g, r := range t.rows() {
			if placed(x.Places, r.Candidate) {
				continue
			}
			p := Place{Candidate: r.Candidate, Device: r.Device, Row: r.ID, Index: none(), row: r}
			switch p.Reason, p.Why = unfit(r); {
			case own && p.Reason != "":
				continue
			case p.Reason != "":
			case !g.Ranked:
				p.Reason, p.Why = g.Reason, g.Why
			default:
				p.Reason, p.Why = OtherBoundary, fmt.Sprintf("its watts were counted at %s, grade %s, and those of the others at %s, grade %s", g.Boundary, g.Grade, x.Boundary, x.Grade)
			}
			x.Places = append(x.Places, p)
		}
	}
}

func placed(places []Place, candidate string) bool {
	return slices.ContainsFunc(places, func(p Place) bool { return p.Candidate == candidate })
}

// settle decides whether the first is told from another. The margin has no part in
// it, unless they cannot be told apart.
func (x *Choice) settle(place int, repeats stats.Interval, margin, p float64) {
	first, other := x.Places[0].row, &x.Places[place]
	at := func(figure results.Figure, repeats stats.Interval, margin float64) stats.Decision {
		return decide(figure, repeats, margin, first.sessions.Count(), other.row.sessions.Count(), p)
	}
	d := at(other.lead, repeats, 0)
	if d.Word == stats.NoWorse { // above it, and yet not rare among so many
		d = stats.Decision{Word: stats.CannotTell, Reason: stats.WideInterval, Why: d.Why}
	}
	if d.Word != stats.Better {
		back := other.lead
		back.Value, back.Low, back.High = 1/back.Value, 1/back.High, 1/back.Low
		if w := at(back, repeats.Inverse(), margin).Word; w == stats.NoWorse || w == stats.Better {
			d = stats.Decision{Word: stats.NoWorse, Reason: stats.WithinMargin, Why: fmt.Sprintf("it is less than the first by no more than the margin of %.2g %%", 100*margin)}
		}
	}
	other.decision = d
}

// conclude draws the outcome from the decisions on the places.
func (x *Choice) conclude() {
	first := x.Competing()
	switch {
	case len(first) == 0:
		x.Outcome = Unranked
		return
	case len(first) == 1 && slices.ContainsFunc(x.Places, func(p Place) bool { return p.Reason == OtherBoundary }):
		x.Outcome, first[0].Place, first[0].Reason = Apart, 0, OtherBoundary
		first[0].Why = fmt.Sprintf("its watts were counted at %s, grade %s, and those of the others elsewhere", x.Boundary, x.Grade)
		return
	case len(first) == 1:
		x.Outcome = Only
		return
	}
	x.Outcome, x.Lead = Best, first[1].lead
	for i := range first[1:] {
		p := &first[i+1]
		switch p.decision.Word {
		case stats.Better:
			continue
		case stats.NoWorse:
			if x.Outcome == Best {
				x.Outcome = Level
			}
		default:
			if x.Outcome != CannotTell {
				x.Outcome, x.Settle = CannotTell, p.decision
			}
		}
		p.Place = 1
	}
}

// stands reports whether a training stands for the use: the one that all candidates
// have, or where they have none in common, each that would on its kind of device.
func (t *Table) stands(common string) bool {
	if common != "" || !t.trains {
		return t.trains && t.Scenario == common
	}
	return slices.ContainsFunc(standing, func(s struct {
		on            results.DeviceKind
		scenario, why string
	}) bool {
		return t.Scenario == s.scenario && t.has(s.on)
	})
}

// has reports whether a kind of device did the work of a row.
func (t *Table) has(kind results.DeviceKind) bool {
	for _, r := range t.rows() {
		if r.on(kind) {
			return true
		}
	}
	return false
}

// on reports whether a kind of device did the work.
func (r *Row) on(kind results.DeviceKind) bool {
	return slices.ContainsFunc(r.On, func(d results.DeviceCount) bool { return d.Kind == kind })
}

// quotient holds the work per energy of a row against that of another: with the
// uncertainty of the instruments, without what cancels on a shared one, and from
// the repeats alone.
func (c *Comparison) quotient(r, ref *Row) (figure results.Figure, repeats stats.Interval) {
	if r == ref {
		figure = attribute(none(), r.watts)
		figure.Value = 1
		return figure, repeats
	}
	shared := r.shares(ref)
	repeats = stats.Quotient(r.repeats, ref.repeats)
	own, whole := math.Hypot(meterError(r.budget, shared), meterError(ref.budget, shared)), repeats
	if !math.IsNaN(own) {
		whole = whole.Widen(own)
	}
	figure = attribute(of(whole, results.Ratio), r.watts)
	figure.Instrument = finite(own)
	return figure, repeats
}

// shares reports whether one meter read both rows.
func (r *Row) shares(o *Row) bool { return r.meter != "" && r.meter == o.meter }

// decide judges a quotient of [Comparison.quotient].
func decide(figure results.Figure, repeats stats.Interval, margin float64, a, b int, p float64) stats.Decision {
	if figure.Instrument.IsAbsent() {
		return stats.Decision{Word: stats.CannotTell, Reason: stats.AccuracyUnknown, Meter: true, Why: "the accuracy of the meters is not stated: say it with accuracy=, or measure both with one meter"}
	}
	full := stats.Interval{Value: float64(figure.Value), Low: float64(figure.Low), High: float64(figure.High)}
	return stats.Decide(full, repeats, true, margin, a, b, p)
}

// machineIndexes yields the indexes of places that are no index of a row.
func (c *Comparison) machineIndexes(yield func(p *Place) bool) {
	for i := range c.Choices {
		for j := range c.Choices[i].Places {
			p := &c.Choices[i].Places[j]
			if !p.Index.Value.IsAbsent() && strings.HasSuffix(p.IndexID(), "/"+MachineIndex) && !yield(p) {
				return
			}
		}
	}
}
