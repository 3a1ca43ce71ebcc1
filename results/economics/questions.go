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
}

// ask adds a question. The answer holds texts and figures; an absent figure is not said.
func (e *evaluator) ask(question, table string, answer ...any) {
	q := Question{Question: question, Table: table}
	for _, part := range answer {
		switch x := part.(type) {
		case string:
			q.Answer = append(q.Answer, label(x))
		case *Figure:
			q.Answer = append(q.Answer, Cell{Figure: x})
		case Cell:
			q.Answer = append(q.Answer, x)
		}
	}
	e.Questions = append(e.Questions, q)
}

// said reports whether a sentence can hold a figure.
func said(f *Figure) bool { return f != nil && !f.Value.IsAbsent() && f.Status == "" }

// hashprices is at which hashprice each miner just pays for power and operations, and for
// its capital as well.
func (e *evaluator) hashprices(uses []use) {
	t := Table{ID: "hashprice", Title: "The hashprice below which mining is sold at a loss", Columns: heads("candidate", "measured", "watts at", "power and operations", "and capital", "hashprice of the sheet", "verdict")}
	unit := quoted("hashprice")
	price := lookupFor(e.p).hashprice()
	now := shown(Figure{Figure: number(price, unit)})
	if e.p.has("hashprice") {
		now = quote(price, unit)
	}
	var best []Cell
	var bestUse use
	for _, u := range uses {
		figure := func(column, formula string, costs func(Ledger) float64, keys ...string) *Figure {
			return e.of(u, t.ID, column, unit, formula, func(x float64) float64 {
				l := u.ledger(x)
				return indifference(0, costs(l), l.Revenue/hashpriceOf(u.terms))
			}, keys...)
		}
		cash := figure("cash", "(power × uptime + operations) ÷ revenue for a hashprice of 1", func(l Ledger) float64 { return l.Power + l.Operations }, slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys)...)
		whole := figure("margin", "(power × uptime + operations + capital) ÷ revenue for a hashprice of 1", func(l Ledger) float64 { return l.Power + l.Operations + l.Capital }, u.keys()...)
		at := number(price, unit)
		gain := results.Figure{Value: at.Value - cash.Value, Low: at.Value - cash.High, High: at.Value - cash.Low, Provenance: cash.Provenance}
		row := []Cell{
			label(u.row()), shown(u.metric), watts(u.metric), Cell{Figure: cash}.within(priced("hashprice"), unit), Cell{Figure: whole}.within(priced("hashprice"), unit),
			now, judged(judge(gain, cash.Unfit, BelowPrice, AbovePrice)),
		}
		t.unfit(u)
		t.Rows = append(t.Rows, row)
		if !u.node && said(cash) && u.metric.Unfit == "" && (best == nil || u.metric.Judged() && !bestUse.metric.Judged() || u.metric.Judged() == bestUse.metric.Judged() && cash.Value < best[3].Figure.Value) {
			best, bestUse = row, u
		}
	}
	if len(t.Rows) == 0 {
		return
	}
	e.append(t, "Below the first figure a running machine loses cash, below the second it does not return its price.")
	if best != nil {
		answer := []any{"Below ", best[3].Figure, " " + who(bestUse) + " loses cash"}
		if said(best[4].Figure) {
			answer = append(answer, ", below ", best[4].Figure, " it does not return its price")
		}
		e.ask("At which hashprice is mining sold at a loss?", t.ID, append(answer, "; the sheet has ", best[5], ".")...)
	}
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
	rate := l.networkGrowth()
	rateKeys := l.take()
	share := networkShare(l.get("own_hashrate"), l.get("network_difficulty"))
	shareKeys := l.take()
	difficulty := l.get("network_difficulty")
	type row struct {
		use
		cells []Cell
	}
	var rows []row
	for _, u := range uses {
		growth := func(x float64) float64 {
			l := u.ledger(x)
			return l.Revenue/(l.Power+l.Operations) - 1
		}
		keys := slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys)
		v := growth(u.value())
		figure := func(column string, unit Unit, formula string, f func(x float64) float64, keys ...string) Cell {
			return Cell{Figure: e.of(u, t.ID, column, unit, formula, f, keys...)}
		}
		after := e.number(t.ID, u.row(), "after", years[0], "log(1 + growth) ÷ log(1 + network growth a year)", math.Log1p(v)/math.Log1p(rate), u.watts, unknown, slices.Concat(keys, rateKeys, []string{u.metric.ID})...)
		switch f := after.Figure; {
		case v <= 0:
			f.Value, f.Reason = results.Absent(), results.Reason{Status: NoBasis, Why: "its cash is not above 0 as it is"}
		case rate <= 0:
			f.Value, f.Reason = results.Absent(), results.Reason{Status: NoBasis, Why: "the network does not grow"}
		}
		rows = append(rows, row{u, []Cell{
			label(u.row()), watts(u.metric),
			figure("growth", percent, "revenue ÷ (power × uptime + operations) − 1", growth, keys...),
			figure("difficulty", Unit{"T", 1e12}, "difficulty × (1 + growth)", func(x float64) float64 { return difficulty * (1 + growth(x)) }, append(keys, "network_difficulty")...),
			after.within(lasting(u.terms[Life]), years[0]),
			figure("share", percent, "own rate ÷ (difficulty then × 2^32 ÷ 600 s)", func(x float64) float64 { return share / (1 + growth(x)) }, slices.Concat(keys, shareKeys)...),
		}})
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Compare(order(a.cells[2].Figure), order(b.cells[2].Figure))
	})
	var first *row
	for i := range rows {
		r := &rows[i]
		t.Rows = append(t.Rows, r.cells)
		t.unfit(r.use)
		if said(r.cells[2].Figure) && r.metric.Unfit == "" && (first == nil || r.metric.Judged() && !first.metric.Judged()) {
			first = r
		}
	}
	if len(rows) == 0 {
		return
	}
	e.append(t, "In the order in which their cash ends. Prices, fees and the company's own rate stay; hashes earn less as the network grows, whoever's they are.")
	if first == nil {
		return
	}
	of := "Of the miners measured, "
	if !first.metric.Judged() {
		of = "Of miners as published, "
	}
	answer := []any{of + first.row() + " is the first whose cash is 0"}
	if growth := first.cells[2].Figure; growth.Value <= 0 {
		answer = append(answer, ", already now")
	} else if answer = append(answer, ": after a growth of ", growth); said(first.cells[4].Figure) {
		answer = append(answer, ", in ", first.cells[4].Figure)
	}
	if f := first.cells[5].Figure; said(f) && first.cells[2].Figure.Value > 0 {
		answer = append(answer, "; the company's share would then be ", f)
	}
	e.ask("Who is squeezed first when the network grows faster than we do?", t.ID, append(answer, ".")...)
}

// order is a value to sort by; what is not known comes last.
func order(f *Figure) float64 {
	if f.Value.IsAbsent() {
		return math.Inf(1)
	}
	return float64(f.Value)
}

// networkGrowth is the growth of the network in 1/year: that of the sheet, or that since
// the earlier difficulty.
func (l *lookup) networkGrowth() float64 {
	now, ok := l.p.Find("network_difficulty")
	earlier, too := l.p.Find("network_difficulty_earlier")
	if l.p.has("network_growth") || !ok || !too {
		return l.get("network_growth")
	}
	return perYear(l.get("network_difficulty")/l.get("network_difficulty_earlier"), now, earlier)
}

// perYear is a ratio between the days of two prices as a growth in 1/year; NaN if the
// second is not the earlier.
func perYear(ratio float64, now, earlier Price) float64 {
	days := earlier.Age(now.AsOf)
	if days <= 0 {
		return math.NaN()
	}
	return math.Pow(ratio, Year/(float64(days)*Day)) - 1
}

// anything limits nothing.
var anything = limit{math.Inf(-1), math.Inf(1), ""}

// option is one thing to do with a connected megawatt.
type option struct {
	what, doing, with, pays string
	margin, capex, payback  *Figure
	verdict                 Profitability
	judged, mining          bool
}

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
	best := map[string]int{} // by candidate and option: a machine counts as a whole
	for _, u := range e.uses {
		o := option{what: "grow hashrate", doing: "mining with " + who(u.use), with: who(u.use), pays: "power, miners, operations", verdict: u.verdict, mining: true}
		key := "mine " + u.candidate
		switch {
		case u.published:
			key = "published"
		case u.kind == MiningNode:
			continue
		case !Mines(u.kind):
			o.what, o.doing, o.pays, o.mining, key = "train", "training on "+who(u.use), "power, nodes, operations", false, "train "+u.candidate
		}
		at := func(pattern, column string) *Figure { return figure(strings.Replace(pattern, "*", column, 1)) }
		if o.margin = at(u.ledger, "margin"); !said(o.margin) {
			continue
		}
		o.capex, o.payback = at(u.investment, "capex"), at(u.investment, "payback")
		o.judged = o.margin.Judged()
		if u.published {
			number := func(column string, unit Unit, formula string, limit limit) *Figure {
				return e.number(t.ID, u.row(), column, unit, formula, u.column(column)(u.value()), u.watts, never, append(u.keys(), u.metric.ID)...).within(limit, unit).Figure
			}
			o.capex, o.payback = number("capex", perMW, "(machines + infrastructure) ÷ PUE", anything), number("payback", years[0], "capex ÷ cash of the first year", lasting(u.terms[Life]))
		}
		if i, ok := best[key]; !ok {
			best[key], all = len(all), append(all, o)
		} else if o.margin.Value > all[i].margin.Value {
			all[i] = o
		}
	}
	if f := figure("economics/colocation/site/margin"); said(f) {
		l := lookupFor(e.p)
		ledger, capex, _ := let(l)
		cash := ledger(l.get("colocation_price")).Cash() * Year
		number := func(column string, unit Unit, formula string, v float64, limit limit) *Figure {
			return e.number(t.ID, "site", column, unit, formula, v, noWatts, never, l.keys...).within(limit, unit).Figure
		}
		life := l.get("retrofit_life")
		all = append(all, option{what: "let the site", doing: "letting the site", pays: "retrofit, operations; the tenant power and servers", margin: f, judged: true, verdict: NoVerdict,
			capex:   number("capex", perMW, "retrofit ÷ PUE", capex, anything),
			payback: number("payback", years[0], "capex ÷ (revenue − operations) of a year", payback(capex, cash), lasting(life)),
		})
	}
	if len(all) == 0 {
		return
	}
	for _, o := range all {
		t.Rows = append(t.Rows, []Cell{label(o.what), label(o.with), label(o.pays), {Figure: o.margin}, {Figure: o.capex}, {Figure: o.payback}, judged(o.verdict)})
	}
	e.append(t, "Each margin and payback is at its own boundary: it is what is left of a connected MWh after what the site pays in that row, and says nothing of the rest. For miners that are paid for there is a table of its own: from mining to colocation.", noteInterval)
	e.ask("Grow hashrate or convert the site?", t.ID, growOrConvert(all)...)
}

// growOrConvert answers with the best option of each kind that may be judged. One is
// better only if its interval lies above those of the others, and above 0.
func growOrConvert(all []option) []any {
	var kinds []option
	mining := false
	for _, o := range all {
		i := slices.IndexFunc(kinds, func(k option) bool { return k.what == o.what })
		switch {
		case !o.judged:
		case i < 0:
			kinds, mining = append(kinds, o), mining || o.mining
		case o.margin.Value > kinds[i].margin.Value:
			kinds[i] = o
		}
	}
	if !mining {
		return []any{"Cannot tell: no miner was measured that may be judged; the table has what is known."}
	}
	if len(kinds) == 1 {
		return []any{"Cannot tell: there is nothing to hold mining against; the table says what it leaves."}
	}
	slices.SortStableFunc(kinds, func(a, b option) int { return cmp.Compare(b.margin.Value, a.margin.Value) })
	low := func(f *Figure) results.Float {
		if f.Boundary == "" { // from prices alone
			return f.Value
		}
		return f.Low
	}
	top := kinds[0]
	clear := low(top.margin) > 0
	for _, o := range kinds[1:] {
		high := o.margin.High
		if o.margin.Boundary == "" {
			high = o.margin.Value
		}
		clear = clear && low(top.margin) > high
	}
	var answer []any
	switch {
	case top.margin.Value < 0:
		answer = []any{"Neither leaves anything: "}
	case !clear:
		answer = []any{"Cannot tell, the intervals do not separate: "}
	case top.mining:
		answer = []any{"Grow: "}
	default:
		answer = []any{"Convert: "}
	}
	for i, o := range kinds {
		name := o.doing
		if i > 0 {
			name = ", " + name
		}
		answer = append(answer, name+" leaves ", o.margin)
		if said(o.payback) {
			answer = append(answer, " and pays back in ", o.payback)
		}
	}
	return append(answer, "; each after what the site pays for it.")
}

// mulletOrNot answers from the rows of the table of co-runs: the best of those that a
// verdict rests on.
func (e *evaluator) mulletOrNot(t Table) {
	at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Head == "verdict" })
	var best []Cell
	for _, row := range t.Rows {
		rank := func(r []Cell) int {
			return slices.Index([]Profitability{NoVerdict, Loses, CannotTell, Earns}, r[at].Verdict)
		}
		if best == nil || rank(row) > rank(best) || rank(row) == rank(best) && (best[6].Figure.Value.IsAbsent() || row[6].Figure.Value > best[6].Figure.Value) {
			best = row
		}
	}
	if best == nil {
		return
	}
	behind := " behind " + best[1].Text + " on " + best[0].Text
	left := []any{best[6].Figure, " after its power and what is forgone in front"}
	var answer []any
	switch best[at].Verdict {
	case Earns:
		answer = append([]any{"Yes:" + behind + " mining leaves "}, left...)
	case Loses:
		answer = append([]any{"No: at best," + behind + ", mining leaves "}, left...)
	case CannotTell:
		answer = append([]any{"Cannot tell:" + behind + " mining leaves "}, left...)
		answer = append(answer, ", and its interval holds 0 or the watts leave out a part of the node")
	default:
		answer = []any{"Cannot tell: no verdict may rest on the co-runs that were measured"}
		if f := best[6].Figure; f.Value.IsAbsent() {
			answer = []any{"Cannot tell: " + f.Why}
		}
	}
	if at == 8 && best[at].Verdict != NoVerdict && said(best[7].Figure) {
		answer = append(answer, "; switched by the hour it leaves ", best[7].Figure)
	}
	e.ask("Mullet or not, on this power contract?", t.ID, append(answer, ".")...)
}
