package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// shares says what became of the shares behind a record's rates.
func shares(rec *results.Record) *part {
	s := &tableBuilder{part: part{title: "Shares: proofs of work, each hashed again, that the rate is counted in"}}
	rows := s.metrics(rec, []metricColumn{
		{results.ShareCount, "accepted", ""},
		{results.StaleShare, "stale", "of the good"},
		{results.RefusedShare, "refused", "of all"},
		{results.Connected, "connected", "of the time"},
		{results.ConnectedThroughput, "while connected", interval},
	})
	s.short = false // a count needs none
	if rows == nil {
		return nil
	}
	var each []cell
	for _, row := range rows {
		var x cell
		for i := range rec.Runs {
			r := &rec.Runs[i]
			for _, u := range r.Uses {
				if u.Shares != nil && r.Scenario == row.Scenario && u.Use == row.Use {
					x = cell{value: fmt.Sprintf("%.6g", float64(u.Shares.Difficulty)), under: results.Line(u.Shares.Agent, nameLimit)}
				}
			}
		}
		each = append(each, x)
	}
	s.text(figure, "difficulty", "agent", each)
	return s.done("The interval of a rate is the exact one of a Poisson count (Garwood) over all windows; stale and refused shares count for nothing.")
}

// Miner is a device that mines against the pool, as it stands.
type Miner struct {
	Name  string // of its worker
	Agent string // what it calls itself
	State string // what it is at

	rate, power, joules *results.Figure
	counts              map[string]results.Float // shares of the windows, by class
	checks              []results.Check
	claim               *results.ClaimRow
	windows, failed     int
	why                 string // the first that failed did
}

// Measured takes in the record of the device as it stands, of which nothing is
// kept.
func (m *Miner) Measured(rec *results.Record) {
	*m = Miner{Name: m.Name, Agent: m.Agent, State: m.State, counts: map[string]results.Float{}, windows: len(rec.Runs)}
	for _, row := range rec.Summary.Rows {
		m.rate, m.power, m.joules = metricOf(row, results.Throughput), metricOf(row, results.Power), metricOf(row, results.EnergyPerWork)
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		m.checks = append(m.checks, r.Checks...)
		if r.Status == results.Failed {
			if m.failed++; m.why == "" {
				m.why = results.Line(r.Error, textLimit)
			}
		}
		p, _ := r.Phase(results.PhaseMeasure)
		for _, u := range r.Uses {
			for j := range r.Traces {
				tr := &r.Traces[j]
				if class, ok := strings.CutPrefix(tr.Of, results.SharesOf(u.Use, "")); ok {
					m.counts[class] += tr.Over(float64(p.From), float64(p.To))
				}
			}
		}
	}
	if n := len(rec.Summary.Claims); n > 0 {
		c := rec.Summary.Claims[n-1]
		m.claim = &c
	}
}

// Honest says why a device's shares are not those of honest work, or nothing
// if they are.
func (m *Miner) Honest() (why string) {
	for _, c := range m.checks {
		if !c.OK {
			return results.Line(c.Name+": "+c.Detail, textLimit)
		}
	}
	return ""
}

// Unknown says which windows are left out since it is not known what the device
// did in them, and why; nothing if there are none.
func (m *Miner) Unknown() string {
	switch {
	case m.failed == 0:
		return ""
	case m.failed == m.windows:
		return "no window is known: " + m.why
	}
	return fmt.Sprintf("%d of %d windows are left out: %s", m.failed, m.windows, m.why)
}

// Invalid says why the device has no figure, or nothing if it may have one.
func (m *Miner) Invalid() string {
	if why := m.Honest(); why != "" || m.failed == 0 || m.failed < m.windows {
		return why
	}
	return m.Unknown()
}

// Rate prints the rate of the device with its interval, or why it has none.
func (m *Miner) Rate() string {
	out := "no rate"
	switch why := m.Invalid(); {
	case why != "":
		return "INVALID: " + why
	case m.rate != nil:
		out = Figure(*m.rate)
	}
	if left := m.Unknown(); left != "" {
		out += "; " + left
	}
	return out
}

// WritePool prints the devices that mine against a pool, at most rows of them
// if that is above 0.
func WritePool(w io.Writer, title string, miners []Miner, rows int, opt Options) error {
	p := &page{title: []string{title}, whole: true, state: plural(len(miners), "worker")}
	more := 0
	if rows > 0 && len(miners) > rows {
		more, miners = len(miners)-rows, miners[:rows]
	}
	s := &tableBuilder{}
	var names, states, shares, honest, says []cell
	var rate, power, joules []*results.Figure
	var all [][]*results.Figure
	bad, unknown := part{tone: bad}, part{tone: bad}
	for i := range miners {
		m := &miners[i]
		names = append(names, cell{value: results.Line(m.Name, nameLimit), under: results.Line(m.Agent, nameLimit)})
		states = append(states, cell{value: results.Line(m.State, 2*nameLimit)})
		rate, power, joules = append(rate, m.rate), append(power, m.power), append(joules, m.joules)
		all = append(all, []*results.Figure{m.power})
		var count, claim cell
		good := cell{}
		if len(m.counts) > 0 {
			count.value = whole(m.counts[results.ShareAccepted])
			refused, worst := results.Float(0), ""
			for class, n := range m.counts {
				if class != results.ShareAccepted && class != results.ShareStale && n > 0 {
					if refused += n; worst == "" || n > m.counts[worst] || n == m.counts[worst] && class < worst {
						worst = class
					}
				}
			}
			if count.under = whole(m.counts[results.ShareStale]) + " stale"; refused > 0 {
				count.under += fmt.Sprintf(", %s refused (%s)", whole(refused), results.Line(worst, nameLimit))
			}
			good.value = "yes"
		}
		if why := m.Honest(); why != "" {
			good.value = "NO"
			bad.items = append(bad.items, item{results.Line(m.Name, nameLimit), why})
		} else if left := m.Unknown(); left != "" {
			if m.Invalid() != "" {
				good.value = "not known"
			}
			unknown.items = append(unknown.items, item{results.Line(m.Name, nameLimit), left})
		}
		if m.claim != nil {
			claim = cell{value: said(m.claim.Rate, results.Hash.Per(results.Second)), under: percentOf(m.claim.Ratio) + " of measured"}
		}
		shares, honest, says = append(shares, count), append(honest, good), append(says, claim)
	}
	s.text(name, "worker", "agent", names)
	s.text(name, "is at", "", states)
	s.figure("rate", interval, rate)
	s.text(figure, "shares", "", shares)
	s.text(figure, "honest", "", honest)
	if slices.ContainsFunc(says, func(c cell) bool { return c.value != "" }) {
		s.text(figure, "it claims", "", says)
	}
	for i := range power { // no meter is normal, and the same for all
		if power[i] != nil && power[i].Value.IsAbsent() && power[i].Origin == "" {
			power[i], joules[i] = nil, nil
		}
	}
	s.figure("power", "gross", power)
	if slices.ContainsFunc(power, func(m *results.Figure) bool { return m != nil }) {
		s.sources(all)
	}
	s.figure("energy per work", interval, joules)
	var notes []string
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more are not shown.", more))
	}
	if len(miners) > 0 {
		table := s.done(notes...)
		table.short = false
		p.parts = append(p.parts, *table)
	}
	if len(bad.items) > 0 {
		bad.title = "Invalid: these shares are not those of honest work, or not all of it, and no figure is made of them"
		p.parts = append(p.parts, bad)
	}
	if len(unknown.items) > 0 {
		unknown.title = "Not known: what these devices did at times, and no figure is made of that"
		p.parts = append(p.parts, unknown)
	}
	return flush(w, p, opt)
}

// whole prints a count.
func whole(f results.Float) string {
	if f.IsAbsent() {
		return absent
	}
	return fmt.Sprintf("%.0f", float64(f))
}
