package economics

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// Model is what a page needs to compute figures of a result
// again at other prices, and what else depends on prices.
type Model struct {
	Prices  []ModelPrice           `json:"prices"`  // that a use depends on, in the order of the keys
	Columns map[string]ModelColumn `json:"columns"` // by the names of [columnOf]
	Tables  map[string][]string    `json:"tables"`  // their columns
	Rows    []ModelRow             `json:"rows"`
	Bases   []ModelBase            `json:"bases"`   // that rows have in common
	Answers map[string][]Option    `json:"answers"` // what the questions choose from, by table
	Still   map[string]StillFigure `json:"still"`   // figures in the answers that do not follow
	Depend  map[string][]int       `json:"depend"`  // of a table, the prices on which its figures depend
	Pairs   []ModelPair            `json:"pairs"`   // of training and mining
	Times   []float64              `json:"times"`   // the hashprice, in the tables over hashprices
	Powers  []float64              `json:"powers"`  // in $/MWh, in the table over power prices
	Grid    int                    `json:"grid"`    // index of the [ModelBase] of that table; −1 without it
	Left    int                    `json:"-"`       // uses beyond the limit
}

// ModelPair are prices of training at which it has the margin of mining, see [crossoverOf].
type ModelPair struct {
	ID       string `json:"id"`                 // of the figures, with * for what the hashprice is multiplied by
	Row      int    `json:"row"`                // of training
	Against  int    `json:"against"`            // of mining
	Measured bool   `json:"measured,omitempty"` // the watts of both were
}

// ModelPrice is a price of the sheet, or the mean of the hourly series. Numbers are
// in Unit.
type ModelPrice struct {
	Key    string    `json:"key"` // with its name, if it has one
	Unit   string    `json:"unit"`
	Factor float64   `json:"factor"` // of Unit, to SI
	Value  float64   `json:"value"`  // as priced
	Min    float64   `json:"min"`    // that the key allows
	Max    float64   `json:"max"`
	Range  []float64 `json:"range,omitempty"` // of the sheet
	Low    float64   `json:"-"`               // what is tried: the range of the sheet, or one around the value
	High   float64   `json:"-"`
	Help   string    `json:"-"`
}

// StillFigure is a figure that stays as priced, and the prices on which it depends.
type StillFigure struct {
	results.Figure `json:"-"`
	Value          results.Float `json:"Value"`
	Low            results.Float `json:"Low"`
	High           results.Float `json:"High"`
	On             []int         `json:"on"`
}

// ModelColumn is a column: its unit, whether its figures have the interval of the metric,
// whether it is a price, and the limits in SI units beyond which tables leave a figure out, absent for none.
type ModelColumn struct {
	Unit   string        `json:"unit"`
	Factor float64       `json:"factor"` // of Unit, to SI
	Spans  bool          `json:"spans,omitempty"`
	Price  bool          `json:"price,omitempty"` // it rests on no watts
	Low    results.Float `json:"low"`
	High   results.Float `json:"high"`
}

// ModelRow is one use of one machine, in SI units.
type ModelRow struct {
	At     string                 `json:"at"`            // its name in the IDs of its figures
	IDs    []string               `json:"ids,omitempty"` // of its figures, with * for the column: one for each table, if they are not those of the base
	Kind   Kind                   `json:"kind"`
	Metric [4]results.Float       `json:"metric"`          // value, low, high, and what the instrument adds, as a part
	Parts  [][4]results.Float     `json:"parts,omitempty"` // of a co-run, likewise: see [coRunOf]
	Base   int                    `json:"base"`            // index of its [ModelBase]
	Own    map[Term]results.Float `json:"own,omitempty"`   // terms that are not those of the base
	Swung  bool                   `json:"swung,omitempty"` // a tornado has its margin

	Crossover  string        `json:"-"` // ID of the price of training at which it has the margin of mining
	Ledger     string        `json:"-"` // of IDs; empty without one
	Investment string        `json:"-"` // likewise
	Candidate  string        `json:"-"`
	Product    string        `json:"-"` // how it is sold
	Published  bool          `json:"-"` // by its maker, instead of measured
	Verdict    Profitability `json:"-"` // on the margin as priced
	Source     Figure        `json:"-"` // the metric
}

// ModelBase is what rows that depend on the same prices, measured alike, have in common.
type ModelBase struct {
	Terms []results.Float `json:"terms"` // by [Term]
	From  map[Term]int    `json:"from"`  // of a term, the index of its price
	Sale  ModelColumn     `json:"sale"`  // of the price at which it breaks even

	Tables   []string `json:"tables"`             // of the figures of its rows
	Moved    string   `json:"moved"`              // the metric that its tornado moves, in IDs
	Swings   []int    `json:"swings"`             // … and the prices
	Measured bool     `json:"measured,omitempty"` // an instrument measured the watts
	Counts   bool     `json:"counts,omitempty"`   // a verdict may rest on them
	Gains    bool     `json:"gains,omitempty"`    // … also a gain: no part of the node is left out
}

// evaluated is a use in the tables.
type evaluated struct {
	use
	ids                []string  // of its figures, with * for the column: one for each table
	parts              []measure // of a co-run, see [coRunOf]
	left               *Figure   // of a co-run: on which its verdict rests
	ledger, investment string    // of ids; empty without one
	verdict            Profitability
	crossover          string // of training: the ID of the price at which it has the margin of mining
	against            int    // … the index of the mining with the highest margin; −1 for none
	swung              bool   // a tornado has its margin
}

// pair is a use of training and one of mining, by their indices, and the ID of the prices
// at which their margins are equal, with * for what the hashprice is multiplied by.
type pair struct {
	id             string
	train, against int
}

// starred is the ID of a figure with * in place of its column.
func starred(id, column string) string {
	i := strings.LastIndex(id, "/"+column)
	return id[:i] + "/*" + id[i+1+len(column):]
}

// find is the index of a use, which is there once; −1 for none.
func (e *evaluator) find(u use) int {
	return slices.IndexFunc(e.uses, func(of evaluated) bool {
		return of.row() == u.row() && of.kind == u.kind && of.published == u.published && of.metric.ID == u.metric.ID && len(of.parts) == 0
	})
}

// follow notes that a figure of a use is one of [columnOf].
func (e *evaluator) follow(u use, figure, column string) {
	i := e.find(u)
	if i < 0 {
		i = len(e.uses)
		e.uses = append(e.uses, evaluated{use: u, against: -1})
	}
	of := &e.uses[i]
	if id := starred(figure, column); !slices.Contains(of.ids, id) {
		of.ids = append(of.ids, id)
	}
}

// cross notes the price at which a use of training has the margin of a use of mining,
// if that has the highest margin so far.
func (e *evaluator) cross(u, m use, id string) {
	i, j := e.find(u), e.find(m)
	if i < 0 || j < 0 {
		return
	}
	margin := func(u use) float64 { return u.ledger(u.value()).Margin() }
	e.pairs = append(e.pairs, pair{starred(id, "1"), i, j})
	if of := &e.uses[i]; of.against < 0 || margin(m) > margin(e.uses[of.against].use) {
		of.crossover, of.against = id, j
	}
}

// columnIn is the name by which [columnOf] and [coRunOf] know a column of a table.
func columnIn(table, column string) string {
	if slices.Contains(followed[table], column) {
		return column
	}
	return table + "/" + column
}

// followed are the columns of the tables that follow prices that are tried, by the names
// of [columnOf] and [coRunOf].
var followed = func() map[string][]string {
	ledger := []string{"revenue", "power", "after-power", "operations", "capital", "margin", "daily", "break-even"}
	invested := []string{"capex", "machine", "cash", "payback", "npv", "irr"}
	return map[string][]string{
		"mining": ledger, "mining-published": ledger, "training": ledger, "mining-investment": invested, "training-investment": invested, "grow": {"capex", "payback"},
		"hashprice": {"hashprice/cash", "hashprice/margin", "hashprice/now"}, "bitcoin": {"bitcoin/cost", "bitcoin/now"},
		"colocation": {"revenue", "operations", "capital", "margin"},
		"squeeze":    {"squeeze/growth", "squeeze/difficulty", "squeeze/after", "squeeze/share"}, "work": {"work/power", "work/operations", "work/capital", "work/all", "work/rent"},
		"retrofit": {"retrofit/cash", "retrofit/rent", "retrofit/now", "retrofit/payback"}, "mullet": {"mullet/earn", "mullet/power", "mullet/forgone", "mullet/left"},
	}
}()

// columns are those of followed. One without a unit has that in which the use is sold,
// and its limits.
var columns = func() map[string]ModelColumn {
	out := map[string]ModelColumn{}
	for _, c := range []struct {
		unit         Unit
		limit        string // key whose limits hold
		spans, price bool
		names        string
	}{
		{perMWh, "", true, false, "revenue power after-power operations capital margin retrofit/cash"},
		{daily, "", true, false, "daily"},
		{Unit{}, "", true, false, "break-even work/power work/operations work/capital work/all work/rent"},
		{dollars, "", false, false, "machine"},
		{perMW, "", false, false, "capex npv"},
		{yearlyMW, "", false, false, "cash"},
		{years[0], "", false, false, "payback squeeze/after retrofit/payback"},
		{yearly[0], "", false, false, "irr"},
		{quoted("hashprice"), "hashprice", true, false, "hashprice/cash hashprice/margin"},
		{quoted("hashprice"), "", false, true, "hashprice/now"},
		{perBTC, "bitcoin_price", true, false, "bitcoin/cost"},
		{perBTC, "", false, true, "bitcoin/now"},
		{percent, "", true, false, "squeeze/growth squeeze/share"},
		{difficulties, "", true, false, "squeeze/difficulty"},
		{quoted("colocation_price"), "colocation_price", true, false, "retrofit/rent"},
		{quoted("colocation_price"), "", false, true, "retrofit/now"},
		{running, "", true, false, "mullet/earn mullet/power mullet/forgone mullet/left"},
	} {
		column := ModelColumn{c.unit.Name, c.unit.Factor, c.spans, c.price, results.Absent(), results.Absent()}
		if c.limit != "" {
			l := priced(c.limit)
			column.Low, column.High = results.Float(l.low), results.Float(l.high)
		}
		for _, name := range strings.Fields(c.names) {
			out[name] = column
		}
	}
	return out
}()

// saleColumn is the column of the price at which a use just pays, which differs by use,
// and whether it spans, as the power price of mining does and a price of training not.
func (u use) saleColumn() ModelColumn {
	l, unit := priced("power_price"), perMWh
	if u.kind == Sold || u.kind == Rented {
		l, unit = u.priced(), u.sale
	}
	return ModelColumn{Unit: unit.Name, Factor: unit.Factor, Spans: Mines(u.kind), Low: results.Float(l.low), High: results.Float(l.high)}
}

// Model returns the model of a result with so many uses at most, the measured ones
// first.
func (r *Result) Model(most int) Model {
	m := Model{Prices: []ModelPrice{}, Columns: columns, Tables: followed, Rows: []ModelRow{}, Bases: []ModelBase{}, Depend: map[string][]int{}, Answers: map[string][]Option{}, Still: map[string]StillFigure{}, Pairs: []ModelPair{}, Times: hashpriceGrid, Powers: powerGrid, Grid: -1}
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
				price := modelPrice(p.Key, p.Unit, p.factor, p.Value, p.Low, p.High, k)
				if !math.IsNaN(p.Low) {
					price.Range = []float64{p.Low, p.High}
				}
				m.Prices = append(m.Prices, price)
			}
		}
		if h := r.prices.Hours; h != nil && k.Name == "power_price" && !r.prices.has(k.Name) {
			at[hourly] = len(m.Prices)
			m.Prices = append(m.Prices, modelPrice(k.Name, k.Units[0].Name, k.Units[0].Factor, h.Mean()/k.Units[0].Factor, math.NaN(), math.NaN(), k))
		}
	}
	for _, u := range order {
		watts, unfit := u.watts, u.metric.Unfit
		if u.left != nil {
			watts, unfit = u.left.Provenance, u.left.Unfit
		}
		row := ModelRow{
			At: slug(u.row()), Kind: u.kind, Metric: inModel(measuredBy(u.metric.Figure)), Swung: u.swung, Crossover: u.crossover, Ledger: u.ledger, Investment: u.investment,
			Candidate: u.candidate, Product: u.product, Published: u.published, Verdict: u.verdict, Source: u.metric,
		}
		for _, p := range u.parts {
			row.Parts = append(row.Parts, inModel(p))
		}
		base := r.base(u.use, watts, unfit, at)
		for _, id := range u.ids {
			base.Tables = append(base.Tables, strings.Split(id, "/")[1])
		}
		row.Base = slices.IndexFunc(m.Bases, base.serves)
		if row.Base < 0 {
			row.Base, m.Bases = len(m.Bases), append(m.Bases, base)
		}
		if tables := m.Bases[row.Base].Tables; !slices.Equal(tables, base.Tables) || !slices.Equal(row.ids(tables), u.ids) {
			row.IDs = u.ids
		}
		for i, v := range m.Bases[row.Base].Terms {
			if !same(v, base.Terms[i]) {
				if row.Own == nil {
					row.Own = map[Term]results.Float{}
				}
				row.Own[Term(i)] = base.Terms[i]
			}
		}
		m.Rows = append(m.Rows, row)
	}
	for _, p := range r.pairs {
		i, ok := place[p.train]
		j, too := place[p.against]
		if ok && too && max(i, j) < len(order) {
			u, of := order[i].watts, order[j].watts
			m.Pairs = append(m.Pairs, ModelPair{p.id, i, j, measuredWatts(u) && (!isMeasured(u) || measuredWatts(of))})
		}
	}
	if r.grid != nil {
		m.Grid, m.Bases = len(m.Bases), append(m.Bases, r.base(*r.grid, noWatts, "", at))
	}
	figures := map[string]Figure{}
	on := func(f Figure) (prices []int) {
		for _, in := range f.Inputs {
			if price, ok := at[in]; ok {
				prices = append(prices, price)
			}
		}
		return prices
	}
	for f := range r.Figures() {
		figures[f.ID] = f
		for _, price := range on(f) {
			if !slices.Contains(m.Depend[f.Table], price) {
				m.Depend[f.Table] = append(m.Depend[f.Table], price)
			}
		}
	}
	follow := m.Following()
	for _, q := range r.Questions {
		m.Answers[q.Table] = append([]Option{}, q.options...)
		for i, o := range q.options {
			if follow[o.Figures[0]] {
				m.Answers[q.Table][i].Verdict = "" // it follows as well
			}
			for _, id := range o.Figures {
				if f, ok := figures[id]; ok && !follow[id] {
					still := StillFigure{Figure: f.Figure, Value: f.Value, Low: f.Low, High: f.High, On: on(f)}
					if f.Status != "" {
						still.Value = results.Absent()
					}
					m.Still[id] = still
				}
			}
		}
	}
	return m
}

// base is what a use has in common with others, for the indices of prices by their keys.
func (r *Result) base(u use, watts results.Provenance, unfit stats.Reason, at map[string]int) ModelBase {
	base := ModelBase{From: map[Term]int{}, Tables: []string{}, Moved: slug(metricMoved(u.metric)), Swings: []int{}, Sale: u.saleColumn(), Measured: measuredWatts(watts), Counts: isMeasured(watts) && unfit == "", Gains: !partial(watts.Boundary)}
	for i, v := range u.terms {
		base.Terms = append(base.Terms, orAbsent(v))
		if price, ok := at[u.from[i]]; ok {
			base.From[i] = price
		}
	}
	for _, p := range r.prices.Sheet {
		if price, ok := at[p.Key]; ok && p.moves() && slices.Contains(u.keys(), p.Key) {
			base.Swings = append(base.Swings, price)
		}
	}
	return base
}

// ids are the IDs of the figures of a row in tables, with * for the column.
func (r ModelRow) ids(tables []string) (ids []string) {
	for _, t := range tables {
		ids = append(ids, "economics/"+t+"/"+r.At+"/*")
	}
	return ids
}

// Starred are the IDs of the figures of a row, with * for the column: one for each table.
func (m *Model) Starred(r ModelRow) []string {
	if r.IDs != nil {
		return r.IDs
	}
	return r.ids(m.Bases[r.Base].Tables)
}

func same(x, y results.Float) bool { return x == y || x.IsAbsent() && y.IsAbsent() }

// serves reports whether a row of base o can have b, and terms of its own.
func (b ModelBase) serves(o ModelBase) bool {
	column := func(c ModelColumn) ModelColumn { c.Low, c.High = 0, 0; return c }
	return b.Measured == o.Measured && b.Counts == o.Counts && b.Gains == o.Gains && maps.Equal(b.From, o.From) && slices.Equal(b.Swings, o.Swings) && column(b.Sale) == column(o.Sale) && same(b.Sale.Low, o.Sale.Low) && same(b.Sale.High, o.Sale.High)
}

// Following are the IDs of the figures that the model can compute.
func (m *Model) Following() map[string]bool {
	ids := map[string]bool{}
	for _, r := range m.Rows {
		for _, id := range m.Starred(r) {
			for _, column := range m.Tables[strings.Split(id, "/")[1]] {
				ids[strings.Replace(id, "*", column[strings.LastIndexByte(column, '/')+1:], 1)] = true
			}
		}
	}
	number := func(v float64) string { return slug(plain(v)) }
	for _, times := range m.Times {
		for _, p := range m.Pairs {
			ids[strings.Replace(p.ID, "*", number(times), 1)] = true
		}
		if m.Grid >= 0 {
			ids[id("break-even", number(times), "hashprice")] = true
			for _, power := range m.Powers {
				ids[id("break-even", number(times), number(power))] = true
			}
		}
	}
	for _, r := range m.Rows {
		if r.Swung {
			for _, name := range m.moved(r) {
				ids[id(r.tornado(), r.At+" "+name, "low")], ids[id(r.tornado(), r.At+" "+name, "high")] = true, true
			}
		}
	}
	return ids
}

// tornado is the table that moves the prices of a row.
func (r ModelRow) tornado() string {
	if Mines(r.Kind) {
		return "mining-tornado"
	}
	return "training-tornado"
}

// metricMoved is the name of a metric that a tornado moves.
func metricMoved(metric Figure) string { return "measured " + string(metric.Unit) }

// moved are the names of what the tornado of a row moves.
func (m *Model) moved(r ModelRow) []string {
	names := []string{metricMoved(r.Source)}
	for _, price := range m.Bases[r.Base].Swings {
		names = append(names, m.Prices[price].Key)
	}
	return names
}

func inModel(m measure) [4]results.Float {
	return [4]results.Float{orAbsent(m.Value), orAbsent(m.Low), orAbsent(m.High), orAbsent(m.Instrument)}
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
