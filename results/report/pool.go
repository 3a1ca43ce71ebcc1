package report

import (
	"fmt"
	"io"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

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
				m.why = results.Line(r.Error, table.TextLimit)
			}
		}
		p, _ := r.Phase(results.PhaseMeasure)
		for j := range r.Traces {
			if tr := &r.Traces[j]; tr.Key.Kind == results.TraceShares {
				m.counts[tr.Key.Channel] += tr.Over(float64(p.From), float64(p.To))
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
			return results.Line(c.Name+": "+c.Detail, table.TextLimit)
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
		out = table.One(*m.rate)
	}
	if left := m.Unknown(); left != "" {
		out += "; " + left
	}
	return out
}

// WritePool prints the devices that mine against a pool, at most rows of them
// if that is above 0.
func WritePool(w io.Writer, title string, miners []Miner, rows int, opt Options) error {
	p := &table.Page{Title: []string{title}, Whole: true, State: results.Plural(len(miners), "worker")}
	more := 0
	if rows > 0 && len(miners) > rows {
		more, miners = len(miners)-rows, miners[:rows]
	}
	t := table.Table{WattsAt: true, Columns: []table.Column{
		{Head: "worker", Under: "agent", Kind: table.Name}, {Head: "is at", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "rate"}, {Head: "shares"}, {Head: "honest"}, {Head: "it claims"},
		{Head: "power", Under: "gross"}, {Head: "energy per work"},
	}}
	bad, unknown := table.Table{Tone: table.Bad}, table.Table{Tone: table.Bad}
	for i := range miners {
		m := &miners[i]
		honest := ""
		if len(m.counts) > 0 {
			honest = "yes"
		}
		if why := m.Honest(); why != "" {
			honest = "NO"
			bad.Add(results.Line(m.Name, table.NameLimit), why)
		} else if left := m.Unknown(); left != "" {
			if m.Invalid() != "" {
				honest = "not known"
			}
			unknown.Add(results.Line(m.Name, table.NameLimit), left)
		}
		var claim table.Cell
		if m.claim != nil {
			claim = table.Text{Text: said(m.claim.Rate, results.Hash.Per(results.Second)), Under: percentOf(m.claim.Ratio) + " of measured"}
		}
		power, joules := m.power, m.joules
		if power != nil && power.Value.IsAbsent() && power.Origin == "" { // no meter is normal, and the same for all
			power, joules = nil, nil
		}
		t.Row(table.Text{Text: m.Name, Under: m.Agent}, text(m.State), table.Of(m.rate), m.shares(), text(honest), claim, table.Of(power), table.Of(joules))
	}
	if more > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d more are not shown.", more))
	}
	if len(bad.Items) > 0 {
		bad.Title = "Invalid: these shares are not those of honest work, or not all of it, and no figure is made of them"
	}
	if len(unknown.Items) > 0 {
		unknown.Title = "Not known: what these devices did at times, and no figure is made of that"
	}
	p.Add(t, bad, unknown)
	return p.WriteText(w, opt.Width, opt.Color)
}

// shares is the number of shares of the windows, and of those that count for
// nothing.
func (m *Miner) shares() table.Cell {
	if len(m.counts) == 0 {
		return text("")
	}
	refused, worst := results.Float(0), ""
	for class, n := range m.counts {
		if class != results.ShareAccepted && class != results.ShareStale && n > 0 {
			if refused += n; worst == "" || n > m.counts[worst] || n == m.counts[worst] && class < worst {
				worst = class
			}
		}
	}
	accepted := m.counts[results.ShareAccepted]
	whole := func(n results.Float) string { return table.Round(float64(n), 15) }
	c := table.Number{Value: accepted, Print: whole(accepted)}
	if c.Under = whole(m.counts[results.ShareStale]) + " stale"; refused > 0 {
		c.Under += fmt.Sprintf(", %s refused (%s)", whole(refused), results.Line(worst, table.NameLimit))
	}
	return c
}
