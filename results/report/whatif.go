package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

// What if prices change: the page holds the model of what the candidates earn, and
// its script computes with the formulas of package economics and prints as package
// table does. A figure that is not as priced has the words "what if" beside it.
var (
	//go:embed formulas.js
	formulasJS string
	//go:embed whatif.js
	whatIfJS string
)

// perTH is the unit of the table over hashprices and power prices.
const perTH = "J/TH"

// What a page can compute at other prices.
const (
	triedID    = "what-if" // of the section
	triedRows  = 200       // uses of machines, of about half a kilobyte each with their row in the table
	triedDials = 16
)

// tried is the model as the script reads it.
type tried struct {
	economics.Model
	Units  map[string]triedUnit `json:"units"`  // by name
	Texts  map[string][2]string `json:"texts"`  // of figures that stay as priced
	Caveat string               `json:"caveat"` // of the prices
}

// triedUnit is how a unit is printed. Numbers up to Most have no k, M or bn behind them;
// those of a unit with SI prefixes never have.
type triedUnit struct {
	Name   string  `json:"name"`
	Symbol string  `json:"symbol"`
	Most   float64 `json:"most,omitempty"`
	SI     bool    `json:"si,omitempty"`
}

func triedModel(r *economics.Result) tried {
	m := tried{Model: r.Model(triedRows), Units: map[string]triedUnit{}, Texts: map[string][2]string{}, Caveat: caveat(r)}
	unit := func(name string) {
		s := table.ShapeOf(results.Unit(name))
		m.Units[name] = triedUnit{name, s.Symbol, s.Most, !s.Words}
	}
	for _, c := range m.Columns {
		unit(c.Unit)
	}
	for _, r := range m.Rows {
		unit(m.Bases[r.Base].Sale.Unit)
	}
	for _, p := range m.Prices {
		unit(p.Unit)
		unit(machinePrice(p.Unit))
	}
	unit(perTH)
	for id, f := range m.Still {
		value, interval := table.Split(f.Figure)
		m.Texts[id] = [2]string{value, interval}
	}
	return m
}

// dialKeys are the prices that can be tried, in the order in which they are offered.
var dialKeys = []string{"power_price", "hashprice", "bitcoin_price", "network_difficulty", "gpu_hour_price", "token_price", "training_price", "training_utilisation", "mining_uptime", "pue_mining", "pue_training", "node_price", "asic_price"}

var dialNames = map[string]string{
	"power_price": "power price", "hashprice": "hashprice", "bitcoin_price": "bitcoin price", "network_difficulty": "network difficulty", "gpu_hour_price": "GPU-hour price",
	"token_price": "token price", "training_price": "training price", "training_utilisation": "training utilisation", "mining_uptime": "mining uptime", "pue_mining": "PUE of mining",
	"pue_training": "PUE of training", "node_price": "node price", "asic_price": "ASIC price",
}

// whatIf is the section in which prices are tried. It is empty where nothing is priced.
func whatIf(p Page) section {
	if p.Economics == nil {
		return section{}
	}
	m := triedModel(p.Economics)
	m.Answers[earnsID] = earners(p)
	figures := map[string]economics.Figure{}
	for f := range p.Economics.Figures() {
		figures[f.ID] = f
	}
	rows := standing(m.Rows, figures)
	controls := dials(m)
	if len(rows) == 0 || controls == "" {
		return section{}
	}
	s := sectionOf(triedID, "What if prices change", "Measured work and watts stay; the prices are assumptions, and can be tried here.", block{Markup: controls})
	t := table.Table{ID: "what-if-table", Columns: []table.Column{
		{Head: "candidate", Under: "sold as", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "margin"}, {Head: "one machine"}, {Head: "payback"}, {Head: "breaks even at"}, {Head: "equals mining at"}, {Head: "verdict", Kind: table.Words},
	}}
	for _, r := range rows {
		cell := func(id, column string) table.Cell {
			f, ok := figures[strings.Replace(id, "*", column, 1)]
			if !ok {
				return nil
			}
			return moneyCell(economics.Cell{Figure: &f})
		}
		verdict := table.Text{Text: string(r.Verdict), Of: strings.Replace(r.Ledger, "*", "margin", 1)}
		if r.Verdict == economics.NoVerdict {
			verdict.Text = table.Absent
		}
		sold := r.Product
		if sold == "" {
			sold = "mining"
		}
		t.Row(table.Text{Text: r.Candidate, Under: sold}, cell(r.Ledger, "margin"), cell(r.Ledger, "daily"), cell(r.Investment, "payback"), cell(r.Ledger, "break-even"), cell(r.Crossover, ""), verdict)
	}
	t.Notes = append(t.Notes, "Training at the price where it equals mining has the margin of the miner that has the highest as priced.")
	t.Notes = append(t.Notes, "For each candidate the use with the highest margin as priced, of mining and of training; what else it could do is under what it earns, and follows as well.")
	if m.Left > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("The first %d uses can be tried; %d more stay as priced.", triedRows, m.Left))
	}
	s.add(block{Table: t, Charts: triedChart(m, rows, figures)})
	return s
}

// triedChart draws the margins by the power price, on which each depends linearly; the
// script draws them anew at other prices.
func triedChart(m tried, rows []economics.ModelRow, figures map[string]economics.Figure) []picture {
	i := slices.IndexFunc(m.Prices, func(p economics.ModelPrice) bool { return p.Key == "power_price" })
	if i < 0 || !(m.Prices[i].Value > 0) {
		return nil
	}
	now := m.Prices[i].Value
	c := chart.Lines{
		Head: chart.Head{ID: "what-if-chart", Title: "Margin by power price, $/MWh connected", Table: "what-if-table"},
		X:    chart.Axis{Title: "power price, $/MWh", Free: true}, Y: chart.Axis{Title: "margin, $/MWh", Free: true},
		Up: []chart.Level{{ID: triedLevel, At: now, Name: "as priced " + table.Quoted(results.Float(now), "$/MWh")}},
	}
	for _, r := range rows {
		margin, ok := figures[strings.Replace(r.Ledger, "*", "margin", 1)]
		power, priced := figures[strings.Replace(r.Ledger, "*", "power", 1)]
		if !ok || !priced || margin.Value.IsAbsent() || power.Value.IsAbsent() {
			continue
		}
		line := chart.Series{ID: triedSeries + strconv.Itoa(slices.IndexFunc(m.Rows, func(o economics.ModelRow) bool { return o.Ledger == r.Ledger })), Name: strings.TrimSuffix(r.Candidate+", "+r.Product, ", "), Modelled: !m.Bases[r.Base].Measured}
		for _, x := range []float64{0, now, 2 * now} {
			line.Points = append(line.Points, chart.LinePoint{X: x, Y: float64(margin.Value) + float64(power.Value)*(1-x/now), Low: math.NaN(), High: math.NaN()})
		}
		c.Series = append(c.Series, line)
	}
	if len(c.Series) == 0 {
		return nil
	}
	return pictured(c.Head, c)
}

// What the script finds the lines by: the index of a row follows.
const (
	triedLevel  = "power-price"
	triedSeries = "row-"
)

// standing are the rows with the highest margin of each candidate, at mining and at
// training.
func standing(rows []economics.ModelRow, figures map[string]economics.Figure) (out []economics.ModelRow) {
	margin := func(r economics.ModelRow) float64 {
		if f, ok := figures[strings.Replace(r.Ledger, "*", "margin", 1)]; ok && !f.Value.IsAbsent() {
			return float64(f.Value)
		}
		return math.Inf(-1)
	}
	for _, r := range rows {
		if r.Published || r.Ledger == "" {
			continue
		}
		i := slices.IndexFunc(out, func(o economics.ModelRow) bool {
			return o.Candidate == r.Candidate && economics.Mines(o.Kind) == economics.Mines(r.Kind)
		})
		switch {
		case i < 0:
			out = append(out, r)
		case margin(r) > margin(out[i]):
			out[i] = r
		}
	}
	return out
}

// dials are the controls and the model. They are hidden until the script runs; without
// it nothing on the page is dead.
func dials(m tried) template.HTML {
	var b strings.Builder
	esc := template.HTMLEscapeString
	n := 0
	for _, key := range dialKeys {
		for i, p := range m.Prices {
			if name, _, _ := strings.Cut(p.Key, "."); name != key || n == triedDials {
				continue
			}
			n++
			number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
			label := dialNames[key]
			if _, of, ok := strings.Cut(p.Key, "."); ok {
				label += " of " + of
			}
			if p.Unit != "1" {
				label += ", " + p.Unit
			}
			fmt.Fprintf(&b, `<div class="dial" data-price="%d"><label for="try-%d">%s</label> <span class="if" hidden>what if</span>`, i, i, esc(label))
			fmt.Fprintf(&b, `<input type="range" id="try-%d" min="%s" max="%s" step="any" value="%s" aria-describedby="priced-%d">`, i, number(p.Low), number(p.High), number(p.Value), i)
			fmt.Fprintf(&b, `<input type="number" aria-label="%s, typed" min="%s" max="%s" step="any" value="%s">`, esc(label), number(p.Min), number(p.Max), number(p.Value))
			fmt.Fprintf(&b, `<small id="priced-%d">assumed; as priced %s</small></div>`+"\n", i, esc(table.Round(p.Value, 15)))
		}
	}
	if n == 0 {
		return ""
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "" // a number that JSON has not: nothing can be tried
	}
	const priced = "Everything is as priced."
	return template.HTML(`<div id="what-if-controls" hidden><div class="dials" role="group" aria-label="Prices to try">` + b.String() + // #nosec G203 -- every text of it is escaped above
		`</div><p><button type="button" id="as-priced" disabled>As priced</button> <output id="what-if-says" aria-live="polite" data-priced="` + priced + `">` + priced + `</output></p></div>
<noscript><p class="note">Trying other prices needs JavaScript; the figures are as priced.</p></noscript>
<script type="application/json" id="what-if-data">` + string(data) + `</script>`)
}
