package economics

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Question is one that prices answer, and where its numbers stand.
type Question struct {
	Question string `json:"question"`
	Answer   []Cell `json:"answer"` // a sentence: texts and figures, one after the other
	Table    string `json:"table"`  // ID of the table behind it

	options []Option
}

// answers are the functions that answer from the rows of a table, by its ID.
var answers = map[string]func([]Option) []Part{"hashprice": soldAtALoss, "squeeze": squeezedFirst, "grow": growOrConvert, "mullet": mulletOrNot}

// ask adds a question that the rows of a table answer.
func (e *evaluator) ask(question, table string, options []Option) {
	figures := map[string]*Figure{}
	for _, t := range e.Tables {
		for _, row := range t.Rows {
			for _, c := range row {
				if c.Figure != nil && c.Figure.ID != "" {
					figures[c.Figure.ID] = c.Figure
				}
			}
		}
	}
	for i := range options {
		options[i].take(func(id string) *Figure { return figures[id] })
	}
	q := Question{Question: question, Table: table, options: options}
	for _, p := range answers[table](options) {
		if p.Figure != "" {
			q.Answer = append(q.Answer, Cell{Figure: figures[p.Figure]})
		} else if p.Text != "" {
			q.Answer = append(q.Answer, label(p.Text))
		}
	}
	if len(q.Answer) > 0 {
		e.Questions = append(e.Questions, q)
	}
}

// take fills in the numbers of the figures.
func (o *Option) take(figure func(id string) *Figure) {
	o.Low, o.High = math.NaN(), math.NaN()
	for i, id := range o.Figures {
		v := math.NaN()
		if f := figure(id); f != nil && f.Status == "" {
			if v = float64(f.Value); i == 0 {
				o.Low, o.High = float64(f.Low), float64(f.High)
			}
		}
		o.Values = append(o.Values, v)
	}
}

// Fill is the option with the numbers of a result.
func (o Option) Fill(figures map[string]Figure) Option {
	o.Values = nil
	o.take(func(id string) *Figure {
		f, ok := figures[id]
		if !ok {
			return nil
		}
		return &f
	})
	return o
}

// of sets the figures of an option; nil is none.
func (o *Option) of(figures ...*Figure) {
	for _, f := range figures {
		id := ""
		if f != nil {
			id = f.ID
		}
		o.Figures = append(o.Figures, id)
	}
}

// optionOf is a use as an option with figures.
func optionOf(u use, name string, figures ...Cell) Option {
	o := Option{Name: name, Kind: u.row(), Fit: u.metric.Unfit == "", Judged: u.metric.Judged(), Mining: Mines(u.kind), Verdict: NoVerdict}
	for _, c := range figures {
		o.of(c.Figure)
	}
	return o
}

// against is the verdict on a cost in the unit of a price.
func against(cost *Figure, price float64) Cell {
	at := results.Float(price)
	gain := results.Figure{Value: at - cost.Value, Low: at - cost.High, High: at - cost.Low, Provenance: cost.Provenance}
	return Cell{Verdict: judge(gain, cost.Unfit, BelowPrice, AbovePrice), Of: cost.ID}
}

// hashprices is at which hashprice each miner just pays for power and operations, and for
// its capital as well.
func (e *evaluator) hashprices(uses []use) {
	t := Table{ID: "hashprice", Title: "The hashprice below which mining is sold at a loss", Columns: heads("candidate", "measured", "watts at", "power and operations", "and capital", "hashprice of the sheet", "verdict")}
	unit := quoted("hashprice")
	l := lookupFor(e.p)
	price := l.hashprice()
	nowKeys := l.take()
	formula := "as published"
	if !e.p.has("hashprice") {
		formula = "(subsidy + fees) × bitcoin price ÷ (difficulty × 2^32)"
	}
	var options []Option
	for _, u := range uses {
		cash := e.column(u, t.ID, "cash", unit, "(power × uptime + operations) ÷ revenue for a hashprice of 1", slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys)...).within(priced("hashprice"), unit)
		whole := e.column(u, t.ID, "margin", unit, "(power × uptime + operations + capital) ÷ revenue for a hashprice of 1", u.keys()...).within(priced("hashprice"), unit)
		now := e.price(u, t.ID, unit, formula, nowKeys...)
		t.unfit(u)
		t.Rows = append(t.Rows, []Cell{label(u.row()), shown(u.metric), watts(u.metric), cash, whole, now, against(cash.Figure, price/unit.Factor)})
		if !u.node {
			options = append(options, optionOf(u, who(u), cash, whole, now))
		}
	}
	if len(t.Rows) == 0 {
		return
	}
	e.append(t, "Below the first figure a running machine loses cash, below the second it does not return its price.")
	e.ask("At which hashprice is mining sold at a loss?", t.ID, options)
}

// who names a machine in an answer, and says where no verdict may rest on it.
func who(u use) string {
	name := u.candidate
	if u.product != "" {
		name += " (" + u.product + ")"
	}
	if u.published {
		name += " (as published)"
	}
	return name
}

// squeeze orders miners by the growth of the network at which each earns its power and
// operations no more: at prices as they are, a hash earns the less the more there are.
func (e *evaluator) squeeze(uses []use) {
	t := Table{ID: "squeeze", Title: "Who is squeezed first when the network grows", Columns: heads("candidate", "watts at", "growth until cash is 0", "difficulty then", "after", "own share then")}
	l := lookupFor(e.p)
	l.setNetworkGrowth()
	rateKeys := l.take()
	l.get("own_hashrate")
	l.get("network_difficulty")
	shareKeys := l.take()
	rate := networkGrowthOf(l.terms)
	type row struct {
		use
		cells []Cell
	}
	var rows []row
	for _, u := range uses {
		keys := slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys)
		growth := e.column(u, t.ID, "growth", percent, "revenue ÷ (power × uptime + operations) − 1", keys...)
		why := unknown
		switch {
		case growth.Figure.Value <= 0:
			why.Why = "its cash is not above 0 as it is"
		case rate <= 0:
			why.Why = "the network does not grow"
		}
		rows = append(rows, row{u, []Cell{
			label(u.row()), watts(u.metric), growth,
			e.column(u, t.ID, "difficulty", difficulties, "difficulty × (1 + growth)", append(slices.Clone(keys), "network_difficulty")...),
			e.single(u, t.ID, "after", years[0], "log(1 + growth) ÷ log(1 + network growth a year)", why, slices.Concat(keys, rateKeys, []string{u.metric.ID})...).within(lasting(u.terms[Life]), years[0]),
			e.column(u, t.ID, "share", percent, "own rate ÷ (difficulty then × 2^32 ÷ 600 s)", slices.Concat(keys, shareKeys)...),
		}})
	}
	results.SortStable(rows, func(a, b row) int {
		return cmp.Compare(order(a.cells[2].Figure), order(b.cells[2].Figure))
	})
	var options []Option
	for _, r := range rows {
		t.Rows = append(t.Rows, r.cells)
		t.unfit(r.use)
		options = append(options, optionOf(r.use, r.row(), r.cells[2], r.cells[4], r.cells[5]))
	}
	if len(rows) == 0 {
		return
	}
	e.append(t, "In the order in which their cash ends, as priced. Prices, fees and the company's own rate stay; hashes earn less as the network grows, whoever's they are.")
	e.ask("Who is squeezed first when the network grows faster than we do?", t.ID, options)
}

// order is a value to sort by; what is not known comes last.
func order(f *Figure) float64 {
	if f.Value.IsAbsent() {
		return math.Inf(1)
	}
	return float64(f.Value)
}

// perYear is a ratio between the days of two prices as a growth in 1/year; NaN if the
// second is not the earlier.
func perYear(ratio float64, now, earlier Price) float64 {
	return math.Pow(ratio, Year/between(now, earlier)) - 1
}

// between is the time in s from the day of one price to that of a later one; NaN if it is
// not later.
func between(now, earlier Price) float64 {
	if days := earlier.Age(now.AsOf); days > 0 {
		return float64(days) * Day
	}
	return math.NaN()
}

// anything limits nothing.
var anything = limit{math.Inf(-1), math.Inf(1), ""}

// option is one thing to do with a connected megawatt.
type option struct {
	Option
	what, with, pays       string
	margin, capex, payback *Figure
	verdict                Profitability
}

// shown reports whether a figure has a value that tables show.
func (f *Figure) shown() bool { return f != nil && !f.Value.IsAbsent() && f.Status == "" }

// grow sets what mining, letting the site and own training leave side by side.
func (e *evaluator) grow() {
	t := Table{ID: "grow", Title: "Grow hashrate or convert the site, for each MW connected", Columns: heads("option", "with", "the site pays", "margin", "capex", "payback", "verdict")}
	figure := func(id string) *Figure {
		if f, ok := e.Figure(id); ok {
			return &f
		}
		return nil
	}
	var all []option
	var options []Option
	best := map[string]int{}                 // by candidate and option: a machine counts as a whole
	for _, u := range slices.Clone(e.uses) { // the figures of published machines follow
		o := option{Option: Option{Name: "mining with " + who(u.use), Kind: "mining", Mining: true}, what: "grow hashrate", with: who(u.use), pays: "power, miners, operations", verdict: u.verdict}
		key := "mine " + u.candidate
		switch {
		case u.ledger == "":
			continue
		case u.published:
			key = "published"
		case u.kind == MiningNode:
			continue
		case !Mines(u.kind):
			o.Name, o.Kind, o.Mining, o.what, o.pays, key = "training on "+who(u.use), "training", false, "train", "power, nodes, operations", "train "+u.candidate
		}
		at := func(pattern, column string) *Figure { return figure(strings.Replace(pattern, "*", column, 1)) }
		if o.margin = at(u.ledger, "margin"); !o.margin.shown() {
			continue
		}
		o.capex, o.payback = at(u.investment, "capex"), at(u.investment, "payback")
		o.Judged = o.margin.Judged()
		if u.published {
			number := func(column string, unit Unit, formula string, limit limit) *Figure {
				return e.single(u.use, t.ID, column, unit, formula, never, append(u.keys(), u.metric.ID)...).within(limit, unit).Figure
			}
			o.capex, o.payback = number("capex", perMW, "(machines + infrastructure) ÷ PUE", anything), number("payback", years[0], "capex ÷ cash of the first year", lasting(u.terms[Life]))
		}
		o.of(o.margin, o.payback)
		if !u.published { // what makers publish is never judged
			options = append(options, o.Option)
		}
		if i, ok := best[key]; !ok {
			best[key], all = len(all), append(all, o)
		} else if was := all[i]; o.Judged && !was.Judged || o.Judged == was.Judged && o.margin.Value > was.margin.Value {
			all[i] = o
		}
	}
	if f := figure("economics/colocation/site/margin"); f.shown() {
		u, keys := letting(e.p)
		number := func(column string, unit Unit, formula string, limit limit) *Figure {
			return e.single(u, t.ID, column, unit, formula, never, keys...).within(limit, unit).Figure
		}
		o := option{Option: Option{Name: "letting the site", Kind: "letting", Judged: true, Exact: true}, what: "let the site", pays: "retrofit, operations; the tenant power and servers", margin: f, verdict: NoVerdict,
			capex:   number("capex", perMW, "retrofit ÷ PUE", anything),
			payback: number("payback", years[0], "capex ÷ (revenue − operations) of a year", lasting(u.terms[Life])),
		}
		o.of(o.margin, o.payback)
		all, options = append(all, o), append(options, o.Option)
	}
	if len(all) == 0 {
		return
	}
	for _, o := range all {
		t.Rows = append(t.Rows, []Cell{label(o.what), label(o.with), label(o.pays), {Figure: o.margin}, {Figure: o.capex}, {Figure: o.payback}, {Verdict: o.verdict, Of: o.margin.ID}})
	}
	e.append(t, "Each margin and payback is at its own boundary: it is what is left of a connected MWh after what the site pays in that row, and says nothing of the rest. For miners that are paid for there is a table of its own: from mining to colocation.", noteInterval)
	e.ask("Grow hashrate or convert the site?", t.ID, options)
}
