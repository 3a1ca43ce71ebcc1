package economics

import (
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Model is what a page needs to compute the ledgers and investments of a result
// again at other prices.
type Model struct {
	Prices  []ModelPrice           `json:"prices"`  // that a use depends on, in the order of the keys
	Columns map[string]ModelColumn `json:"columns"` // of the ledgers and investments
	Rows    []ModelRow             `json:"rows"`
	Left    int                    `json:"-"` // uses beyond the limit
}

// ModelPrice is a price of the sheet, or the mean of the hourly series. Numbers are
// in Unit.
type ModelPrice struct {
	Key    string  `json:"key"` // with its name, if it has one
	Unit   string  `json:"unit"`
	Factor float64 `json:"factor"` // of Unit, to SI
	Value  float64 `json:"value"`  // as priced
	Min    float64 `json:"min"`    // that the key allows
	Max    float64 `json:"max"`
	Low    float64 `json:"-"` // what is tried: the range of the sheet, or one around the value
	High   float64 `json:"-"`
	Help   string  `json:"-"`
}

// ModelColumn is a column: its unit, and whether its figures have the interval of
// the metric.
type ModelColumn struct {
	Unit   string  `json:"unit"`
	Factor float64 `json:"factor"` // of Unit, to SI
	Spans  bool    `json:"spans"`
}

// ModelRow is one use of one machine, in SI units.
type ModelRow struct {
	Ledger     string           `json:"ledger"`               // ID of a figure, with * for the column
	Investment string           `json:"investment,omitempty"` // likewise; empty without one
	Kind       Kind             `json:"kind"`
	Metric     [4]results.Float `json:"metric"`   // value, low, high, and what the instrument adds, as a part
	Measured   bool             `json:"measured"` // an instrument measured the watts
	Counts     bool             `json:"counts"`   // a verdict may rest on them
	Gains      bool             `json:"gains"`    // … also a gain: no part of the node is left out
	Terms      []results.Float  `json:"terms"`    // by [Term]
	From       map[Term]int     `json:"from"`     // of a term, the index of its price
	BreakEven  ModelColumn      `json:"breakEven"`
	Crossover  string           `json:"crossover,omitempty"` // ID of the price of training at which it has the margin of mining
	Against    int              `json:"against"`             // … of this row
	Crossed    bool             `json:"crossed"`             // the watts of both were measured
	Limits     [2]float64       `json:"limits"`              // of the price at which it breaks even, beyond which tables leave it out

	Candidate string        `json:"-"`
	Product   string        `json:"-"` // how it is sold
	Published bool          `json:"-"` // by its maker, instead of measured
	Verdict   Profitability `json:"-"` // on the margin as priced
	Source    Figure        `json:"-"` // the metric
}

// evaluated is a use in the tables, by the IDs of its figures.
type evaluated struct {
	use
	ledger, investment string
	verdict            Profitability
	crossover          string // of training: the ID of the price at which it has the margin of mining
	against            int    // … the index of the mining with the highest margin; −1 for none
}

// InvestmentColumns are the columns of the investments; the others are of the ledgers.
func InvestmentColumns() []string {
	return []string{"capex", "machine", "cash", "payback", "npv", "irr"}
}

// starred is the ID of a figure with * in place of its column.
func starred(id, column string) string {
	i := strings.LastIndex(id, "/"+column)
	return id[:i] + "/*" + id[i+1+len(column):]
}

// invest notes the ID of the capex of a use whose ledger is there.
func (e *evaluator) invest(u use, capex string) {
	for i := range e.uses {
		if of := &e.uses[i]; of.row() == u.row() && of.kind == u.kind && of.investment == "" && !of.published {
			of.investment = starred(capex, "capex")
			return
		}
	}
}

// cross notes the price at which a use of training has the margin of a use of mining,
// if that has the highest margin so far.
func (e *evaluator) cross(u, m use, id string) {
	find := func(u use) int {
		return slices.IndexFunc(e.uses, func(of evaluated) bool {
			return of.row() == u.row() && of.kind == u.kind && of.published == u.published
		})
	}
	i, j := find(u), find(m)
	if i < 0 || j < 0 {
		return
	}
	margin := func(u use) float64 { return u.ledger(u.value()).Margin() }
	if of := &e.uses[i]; of.against < 0 || margin(m) > margin(e.uses[of.against].use) {
		of.crossover, of.against = id, j
	}
}

// columns are those of ledgers and investments; that of break-even differs by use.
var columns = map[string]ModelColumn{
	"revenue": ledgerColumn, "power": ledgerColumn, "after-power": ledgerColumn, "operations": ledgerColumn, "capital": ledgerColumn, "margin": ledgerColumn,
	"daily":   {daily.Name, daily.Factor, true},
	"machine": {dollars.Name, dollars.Factor, false},
	"capex":   {perMW.Name, perMW.Factor, false}, "cash": {yearlyMW.Name, yearlyMW.Factor, false}, "payback": {years[0].Name, years[0].Factor, false},
	"npv": {perMW.Name, perMW.Factor, false}, "irr": {yearly[0].Name, yearly[0].Factor, false},
}

var ledgerColumn = ModelColumn{perMWh.Name, perMWh.Factor, true}

// breakEvenColumn is that of the price at which a use just pays.
func (u use) breakEvenColumn() ModelColumn {
	if Mines(u.kind) {
		return ledgerColumn
	}
	return ModelColumn{u.sale.Name, u.sale.Factor, false}
}

// Model returns the model of a result with so many uses at most, the measured ones
// first.
func (r *Result) Model(most int) Model {
	m := Model{Prices: []ModelPrice{}, Columns: columns, Rows: []ModelRow{}}
	var order []evaluated
	place := map[int]int{} // of a use in the order
	for _, published := range []bool{false, true} {
		for i, u := range r.uses {
			if u.published == published {
				place[i] = len(order)
				order = append(order, u)
			}
		}
	}
	if m.Left = max(0, len(order)-most); m.Left > 0 {
		order = order[:most]
	}
	at := map[string]int{}
	for _, k := range keys {
		for _, p := range r.prices.Sheet {
			if name, _, _ := strings.Cut(p.Key, "."); name == k.Name && slices.ContainsFunc(order, func(u evaluated) bool { return slices.Contains(u.from[:], p.Key) }) {
				at[p.Key] = len(m.Prices)
				m.Prices = append(m.Prices, modelPrice(p.Key, p.Unit, p.factor, p.Value, p.Low, p.High, k))
			}
		}
		if h := r.prices.Hours; h != nil && k.Name == "power_price" && !r.prices.has(k.Name) {
			at[hourly] = len(m.Prices)
			m.Prices = append(m.Prices, modelPrice(k.Name, k.Units[0].Name, k.Units[0].Factor, h.Mean()/k.Units[0].Factor, math.NaN(), math.NaN(), k))
		}
	}
	for _, u := range order {
		row := ModelRow{
			Ledger: u.ledger, Investment: u.investment, Kind: u.kind, Measured: measuredWatts(u.watts),
			Counts: isMeasured(u.watts) && u.metric.Unfit == "", Gains: !partial(u.watts.Boundary), From: map[Term]int{}, BreakEven: u.breakEvenColumn(),
			Candidate: u.candidate, Product: u.product, Published: u.published, Verdict: u.verdict, Source: u.metric,
		}
		if at, ok := place[u.against]; ok && at < len(order) {
			row.Crossover, row.Against, row.Crossed = u.crossover, at, measuredWatts(u.watts) && (!isMeasured(u.watts) || measuredWatts(order[at].watts))
		}
		l := priced("power_price")
		if !Mines(u.kind) {
			l = u.priced()
		}
		row.Limits = [2]float64{l.low, l.high}
		for i, v := range []results.Float{u.metric.Value, u.metric.Low, u.metric.High, u.metric.Instrument} {
			row.Metric[i] = orAbsent(float64(v))
		}
		for i, v := range u.terms {
			row.Terms = append(row.Terms, orAbsent(v))
			if price, ok := at[u.from[i]]; ok {
				row.From[i] = price
			}
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// measuredWatts reports whether a figure that rests on watts has no ~ before it.
func measuredWatts(p results.Provenance) bool { return p.Origin == "" || p.Origin == results.Measured }

// orAbsent is v, or absent where JSON has no such number.
func orAbsent(v float64) results.Float {
	if !finite(v) {
		return results.Absent()
	}
	return results.Float(v)
}

// modelPrice is a price with what is tried in its place: the range of the sheet, all
// shares, or a quarter to three times the value, within what the key allows.
func modelPrice(key, unit string, factor, value, low, high float64, k Key) ModelPrice {
	scale := k.Units[0].Factor / factor
	p := ModelPrice{Key: key, Unit: unit, Factor: factor, Value: value, Min: k.Min * scale, Max: k.Max * scale, Low: low, High: high, Help: k.Help}
	if !(low < high) {
		switch {
		case k.Units[0] == share[0]:
			p.Low, p.High = p.Min, p.Max
		case k.Units[0] == ratio[0] && k.Min == 1:
			p.Low, p.High = 1, max(2, value)
		case value > 0:
			p.Low, p.High = value/4, 3*value
		case value < 0:
			p.Low, p.High = 3*value, -value
		default:
			p.Low, p.High = 0, scale
		}
	}
	p.Low, p.High = min(max(p.Low, p.Min), value), max(min(p.High, p.Max), value)
	return p
}
