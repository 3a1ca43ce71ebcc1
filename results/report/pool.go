package report

import (
	"fmt"
	"io"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Miner is the state of one miner of the pool.
type Miner struct {
	Name  string // of its worker
	Agent string // user agent of its stratum client
	State string // stage of its measurement

	rate, power, joules *results.Figure
	claim               *results.ClaimRow
	counts              map[string]results.Float // shares of the windows, by class
	dishonest           string                   // the failed check that voids every window; empty if none failed
	unknown             string                   // why windows were left out; empty if none was
	lost                bool                     // all windows were left out
}

// Measured takes over the figures of a record. The record itself is not kept.
func (m *Miner) Measured(rec *results.Record) {
	*m = Miner{Name: m.Name, Agent: m.Agent, State: m.State, counts: map[string]results.Float{}}
	for _, row := range rec.Summary.Rows {
		m.rate, m.power, m.joules = metricOf(row, results.Throughput), metricOf(row, results.Power), metricOf(row, results.EnergyPerWork)
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		for _, c := range r.Checks {
			if !c.OK && m.dishonest == "" {
				m.dishonest = results.Line(c.Name+": "+c.Detail, table.TextLimit)
			}
		}
		if r.Status == results.Failed && m.unknown == "" {
			m.unknown = results.Line(r.Error, table.TextLimit)
		}
		p, _ := r.Phase(results.PhaseMeasure)
		for j := range r.Traces {
			if tr := &r.Traces[j]; tr.Key.Kind == results.TraceShares {
				m.counts[tr.Key.Channel] += tr.Over(float64(p.From), float64(p.To))
			}
		}
	}
	switch n, failed := len(rec.Runs), rec.Count(results.Failed); {
	case failed == 0:
	case failed == n:
		m.lost, m.unknown = true, "no window is known: "+m.unknown
	default:
		m.unknown = fmt.Sprintf("%d of %d windows are left out: %s", failed, n, m.unknown)
	}
	if n := len(rec.Summary.Claims); n > 0 {
		c := rec.Summary.Claims[n-1]
		m.claim = &c
	}
}

// Rate prints the rate of the miner with its interval, or why it has none.
func (m *Miner) Rate() string {
	switch {
	case m.dishonest != "":
		return "INVALID: " + m.dishonest
	case m.lost:
		return "INVALID: " + m.unknown
	}
	out := "no rate"
	if m.rate != nil {
		out = table.One(*m.rate)
	}
	if m.unknown != "" {
		out += "; " + m.unknown
	}
	return out
}

// WritePool prints the miners of a pool; at most rows of them if rows is above 0.
func WritePool(w io.Writer, title string, miners []Miner, rows int, opt Options) error {
	p := &table.Page{Title: []string{title}, Whole: true, State: results.Plural(len(miners), "worker")}
	more := 0
	if rows > 0 && len(miners) > rows {
		more, miners = len(miners)-rows, miners[:rows]
	}
	t := table.Table{WattsAt: true, Columns: []table.Column{
		{Head: "worker", Under: "agent", Kind: table.Name}, {Head: "state", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "rate"}, {Head: "shares"}, {Head: "honest"}, {Head: "self-reported"},
		{Head: "power", Under: "gross"}, {Head: "energy per work"},
	}}
	bad := table.Table{Title: "Invalid: these shares are not those of honest work, or not all of it, and give no figure", Tone: table.Bad}
	unknown := table.Table{Title: "Unknown: what these miners did in the windows that are left out", Tone: table.Bad}
	for i := range miners {
		m := &miners[i]
		honest := ""
		switch {
		case m.dishonest != "":
			honest = "NO"
			bad.Add(results.Line(m.Name, table.NameLimit), m.dishonest)
		case m.lost:
			honest = "not known"
		case len(m.counts) > 0:
			honest = "yes"
		}
		if m.dishonest == "" && m.unknown != "" {
			unknown.Add(results.Line(m.Name, table.NameLimit), m.unknown)
		}
		var claim table.Cell
		if m.claim != nil {
			claim = table.Text{Text: said(m.claim.Rate, results.Hash.Per(results.Second)), Under: percentOf(m.claim.Ratio) + " of measured"}
		}
		power, joules := m.power, m.joules
		if power != nil && power.Value.IsAbsent() && power.Origin == "" { // without a meter there is no reason to print
			power, joules = nil, nil
		}
		t.Row(table.Text{Text: m.Name, Under: m.Agent}, text(m.State), table.Of(m.rate), m.shares(), text(honest), claim, table.Of(power), table.Of(joules))
	}
	if more > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d more are not shown.", more))
	}
	p.Add(t, bad, unknown)
	return p.WriteText(w, opt.Width, opt.Color)
}

// shares has the number of accepted shares and, below it, of stale and refused
// ones, which do not count.
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
