package economics

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

const (
	noteConnected = "A connected MWh is 1 MW of site power for 1 h, drawn or not."
	noteInterval  = "Intervals cover the measurement alone; the tornado shows what prices do to a margin."
	noteModelled  = "~ was not measured: grade E, no verdict."
)

// append adds a table with the notes that its cells call for.
func (e *evaluator) append(t Table, notes ...string) {
	t.Notes = append(notes, t.Notes...)
	modelled, verdicts := false, false
	var boundaries []results.Boundary
	for _, row := range t.Rows {
		for _, c := range row {
			switch {
			case c.Figure != nil:
				modelled = modelled || c.Figure.Origin != "" && !isMeasured(c.Figure.Provenance) && !c.Figure.Value.IsAbsent()
			case c.Watts != nil:
				boundaries = append(boundaries, c.Watts.Boundary)
			case c.Verdict != "":
				verdicts = true
			}
		}
	}
	t.leaveOut()
	if modelled {
		t.Notes = append(t.Notes, noteModelled)
	}
	if slices.Sort(boundaries); len(slices.Compact(boundaries)) > 1 {
		t.Notes = append(t.Notes, "The watts were counted at different boundaries: do not rank the rows.")
	}
	if verdicts && slices.ContainsFunc(boundaries, partial) {
		t.Notes = append(t.Notes, "Watts counted inside the node leave out the rest of it: they can show a loss, but no gain.")
	}
	e.Tables = append(e.Tables, t)
}

// note adds a note once.
func (t *Table) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(t.Notes, n) {
		t.Notes = append(t.Notes, n)
	}
}

// unfit notes why no verdict rests on a use.
func (t *Table) unfit(u use) {
	if u.metric.Unfit != "" {
		t.note("No verdict rests on %s: %s.", u.candidate, u.metric.UnfitWhy)
	}
}

// ledger prints revenue, costs and margin of uses with the same cost boundary:
// all mining, or all training.
func (e *evaluator) ledger(table, title string, uses []use) {
	if len(uses) == 0 {
		return
	}
	training := table == "training"
	t := Table{ID: table, Title: title, Columns: heads("candidate", "measured", "watts at", "revenue", "power", "after power", "operations", "capital", "margin", "one machine", "verdict")}
	if training {
		t.Columns = append(slices.Insert(t.Columns, 1, Column{Head: "sold as"}), Column{Head: "price at which it breaks even"})
	} else {
		t.Columns = append(t.Columns, Column{Head: "power at which it breaks even"})
	}
	part, formula := table, "hashprice ÷ (J/hash × PUE) × (1 − pool fee) × uptime"
	switch {
	case training:
		formula = "price × samples/J (or tokens/J) × utilisation × (1 − fee) ÷ PUE, or rent × GPUs that worked × utilisation × (1 − fee) ÷ (W × PUE)"
		t.note("The node is assumed to draw its power all the time, sold or not.")
	case table == "mining-published":
		part = "mining"
		t.note("Declared by the makers, in the order of publication; the interval is the maker's tolerance.")
		for _, n := range nameplates() {
			t.note("%s: %s, %s.", n.Model, n.Source, n.AsOf)
		}
	}
	for _, u := range uses {
		e.uses = append(e.uses, evaluated{use: u, against: -1})
		figure := func(column, formula string, keys ...string) *Figure {
			return e.column(u, table, column, perMWh, formula, keys...).Figure
		}
		t.unfit(u)
		revenue, margin := Cell{Figure: figure("revenue", formula, u.revenueKeys...)}, Cell{Figure: figure("margin", "revenue − power − operations − capital", u.keys()...)}
		after, machine := Cell{Figure: figure("after-power", "revenue − power", slices.Concat(u.revenueKeys, u.powerKeys)...)}, e.column(u, table, "daily", daily, "margin × W × PUE × 24 h", u.machineKeys()...)
		verdict := judge(margin.Figure.Figure, margin.Figure.Unfit, Earns, Loses)
		if revenue.Figure.Value == 0 {
			verdict = NoVerdict
			for _, c := range []Cell{margin, after, machine} {
				c.mark("of a use that sells nothing")
			}
		}
		who := u.row()
		if training {
			who = u.candidate
		}
		row := []Cell{
			label(who), shown(u.metric), watts(u.metric), revenue,
			{Figure: figure("power", "power price × uptime", u.powerKeys...)}, after,
			{Figure: figure("operations", "as given", u.operationsKeys...)},
			{Figure: figure("capital", "capex × r/(1−(1+r)^−n) ÷ 8760 h", u.capitalKeys...)},
			margin, machine, {Verdict: verdict, Of: margin.Figure.ID},
		}
		if training {
			row = append(slices.Insert(row, 1, label(u.product)), e.single(u, table, "break-even", u.sale, "(power + operations + capital) ÷ revenue for a price of 1", unknown, append(u.keys(), u.metric.ID)...).within(u.priced(), u.sale))
		} else {
			row = append(row, e.column(u, table, "break-even", perMWh, "hashprice ÷ (J/hash × PUE) × (1 − pool fee)", u.revenueKeys...).within(priced("power_price"), perMWh))
		}
		t.Rows = append(t.Rows, row)
		of := &e.uses[len(e.uses)-1]
		of.ledger, of.verdict = starred(margin.Figure.ID, "margin"), verdict
	}
	if slices.ContainsFunc(uses, func(u use) bool { return u.card }) {
		t.note(NoteCards)
	}
	if slices.ContainsFunc(uses, func(u use) bool { return u.node }) {
		t.note("A machine that also trains mines as a control, not as an option; its capital is node_price over the watts of its mining, where these are known.")
	}
	t.margin(part, e.p)
	e.append(t, noteConnected, noteInterval)
}

// NoteCards says what mining on a GPU is for. The factor is that of published scans
// on cards of 2022 to 2024 against miners of the same years, each in J/TH.
const NoteCards = "Mining on a GPU takes thousands of times the joules of an ASIC for a hash: it is a control, not an option."

// unsold lists whose training is not sold by the GPU-hour, though it has a price.
func (e *evaluator) unsold(candidates []Candidate) {
	t := Table{ID: "gpu-hours", Title: "Training that is not sold by the GPU-hour", Columns: heads("candidate", "because")}
	for _, c := range candidates {
		if len(c.Training) > 0 && !slices.ContainsFunc(c.Training, func(t Training) bool { return t.GPUs > 0 }) {
			t.Rows = append(t.Rows, []Cell{label(c.Name), label(noGPU.Why)})
		}
	}
	if len(t.Rows) > 0 && e.p.has("gpu_hour_price") {
		e.append(t)
	}
}

// margin notes which prices a margin lacks.
func (t *Table) margin(part string, p *Prices) {
	if missing := p.lacks(partOf(part).margin); len(missing) > 0 {
		t.note("No margin: the price sheet has no %s.", strings.Join(missing, "; no "))
	}
}

func (e *evaluator) investment(table, title, growthKey string, uses []use) {
	t := Table{ID: table, Title: title, Columns: heads("candidate", "sold as", "capex", "capex of one machine", "cash in the first year", "payback", "NPV", "IRR")}
	growth, ok := e.p.Find(growthKey)
	for _, u := range uses {
		if !finite(u.ledger(u.value()).Margin()) {
			continue
		}
		inputs := append(u.machineKeys(), u.metric.ID)
		if ok {
			inputs = append(inputs, growthKey)
		}
		figure := func(column string, unit Unit, formula string, otherwise results.Reason) Cell {
			return e.single(u, table, column, unit, formula, otherwise, inputs...)
		}
		t.Rows = append(t.Rows, []Cell{
			label(u.candidate), label(u.product),
			figure("capex", perMW, "(machines + infrastructure) ÷ PUE", unknown),
			figure("machine", dollars, "capex × W × PUE", unknown),
			figure("cash", yearlyMW, "(revenue − power − operations) × 8760 h", unknown),
			figure("payback", years[0], "capex ÷ cash of the first year", never).within(lasting(u.terms[Life]), years[0]),
			figure("npv", perMW, "Σ cash ÷ (1 + r)^year − capex", unknown),
			figure("irr", yearly[0], "the rate at which NPV is 0", noZeroRate).within(quick, yearly[0]),
		})
		e.uses[e.find(u)].investment = starred(t.Rows[len(t.Rows)-1][2].Figure.ID, "capex")
	}
	if len(t.Rows) == 0 {
		return
	}
	t.note("Payback uses the first year's cash. Machines run to the end of their life, even at a loss, and are worth nothing then.")
	if ok {
		t.note("Revenue changes by %s %s; costs stay constant.", minus(growth.Text), growth.Unit)
	} else {
		t.note("Revenue is assumed constant, which it never was: %s in the price sheet sets its change.", growthKey)
	}
	e.append(t)
}

// firm is the freshness in days of a rule or count, which does not move by itself.
const firm = 1460

// moves reports whether a tornado moves a price: it has a range, or moves by itself.
func (p Price) moves() bool { return !math.IsNaN(p.Low) || p.key().Fresh < firm }

func (e *evaluator) tornado(table, title string, uses []use) {
	t := Table{ID: table, Title: title, Columns: heads("candidate", "sold as", "input", "low", "high", "margin at low", "margin at high")}
	for _, u := range uses {
		x := u.value()
		if !finite(u.ledger(x).Margin()) {
			continue
		}
		var swings []swing
		for _, p := range e.p.Sheet {
			if !slices.Contains(u.keys(), p.Key) || !p.moves() {
				continue
			}
			k := p.key()
			ends := rangeOf(p.SI, p.Low*p.factor, p.High*p.factor, k.Min*k.Units[0].Factor, k.Max*k.Units[0].Factor)
			if ends.Low == ends.High {
				continue
			}
			swings = append(swings, swing{p.Key, p.SI, ends.Low, ends.High})
		}
		metric := metricMoved(u.metric)
		if m := follow(measuredBy(u.metric.Figure), func(x float64) float64 { return x }); !math.IsNaN(m.Low + m.High) {
			swings = append(swings, swing{metric, x, m.Low, m.High})
		}
		bars := tornado(swings, func(v []float64) float64 {
			u, x := u, x
			for j, s := range swings {
				if s.Name == metric {
					x = v[j]
				} else if v[j] != s.Value {
					u = u.under(s.Name, v[j])
				}
			}
			return u.ledger(x).Margin()
		})
		s := Series{ID: id(table, u.row()), Table: table, Name: u.row(), X: "input", Y: "margin, $/MWh"}
		if of := &e.uses[e.find(u)]; len(bars) > 0 && e.ids[id(table, u.row()+" "+bars[0].Name, "low")] == 0 { // not the second of one name
			of.swung = true
		}
		for i, b := range bars {
			end := func(v float64) Cell { return shown(Figure{Figure: number(v, Unit{string(u.metric.Unit), 1})}) }
			if p, ok := e.p.Find(b.Name); ok {
				end = func(v float64) Cell { return quote(v, Unit{p.Unit, p.factor}) }
			}
			figure := func(column, formula string, v float64) Cell {
				return e.number(table, u.row()+" "+b.Name, column, perMWh, formula, v, u.watts, unknown, append(u.keys(), u.metric.ID)...)
			}
			t.Rows = append(t.Rows, []Cell{
				label(u.candidate), label(u.product), label(b.Name), end(b.Low), end(b.High),
				figure("low", "margin with the input at its low end", b.AtLow), figure("high", "margin with the input at its high end", b.AtHigh),
			})
			low := t.Rows[len(t.Rows)-1][5].Figure.ID
			s.Rows = append(s.Rows, low[:strings.LastIndex(low, "/low")])
			s.At, s.Names, s.Low, s.Value = append(s.At, float64(i)), append(s.Names, b.Name), append(s.Low, b.AtLow*MWh), append(s.Value, b.AtHigh*MWh)
		}
		e.Series = append(e.Series, s)
	}
	if len(t.Rows) > 0 {
		e.append(t, "Each input moves alone, the widest bar first: over low and high of the sheet, or by ±10 % where it gives no range.")
	}
}

func (e *evaluator) bitcoin(uses []use) {
	t := Table{ID: "bitcoin", Title: "Cost of one bitcoin: power and operations, $", Columns: heads("candidate", "measured", "watts at", "cost", "price", "verdict")}
	l := lookupFor(e.p)
	for _, key := range []string{"network_difficulty", "block_subsidy", "block_fees", "pool_fee", "mining_uptime", "pue_mining", "mining_operations"} {
		l.get(key)
	}
	l.setPower()
	price := l.get("bitcoin_price")
	for _, u := range uses {
		cost := e.column(u, t.ID, "cost", perBTC, "J/hash × PUE × (power + operations ÷ uptime) ÷ (BTC/hash × (1 − fee))", l.keys...)
		t.unfit(u)
		t.Rows = append(t.Rows, []Cell{label(u.row()), shown(u.metric), watts(u.metric), cost.within(priced("bitcoin_price"), perBTC), e.price(u, t.ID, perBTC, "as given", "bitcoin_price"), against(cost.Figure, price)})
	}
	if len(uses) > 0 {
		e.append(t, "Capital is not included: a machine that is paid for keeps running while it earns this.")
	}
}

func (e *evaluator) share() {
	l := lookupFor(e.p)
	share := func(rate, difficulty string) float64 { return networkShare(l.get(rate), l.get(difficulty)) }
	now, before := share("own_hashrate", "network_difficulty"), share("own_hashrate_earlier", "network_difficulty_earlier")
	since := func(key string) float64 {
		now, _ := e.p.Find(key)
		earlier, _ := e.p.Find(key + "_earlier")
		return perYear(now.SI/earlier.SI, now, earlier)
	}
	figure := func(column, formula string, unit Unit, v float64) Cell {
		return e.number("share", "site", column, unit, formula, v, noWatts, unknown, l.keys...)
	}
	t := Table{ID: "share", Title: "Share of the network", Columns: heads("now", "earlier", "change", "the network grows", "the company grows"), Rows: [][]Cell{{
		figure("now", "own rate ÷ (difficulty × 2^32 ÷ 600 s)", percent, now), figure("earlier", "the same at the earlier date", percent, before), figure("change", "now ÷ earlier − 1", percent, now/before-1),
		figure("network", "(difficulty ÷ earlier)^(year ÷ time between) − 1", yearly[0], since("network_difficulty")), figure("own", "(own rate ÷ earlier)^(year ÷ time between) − 1", yearly[0], since("own_hashrate")),
	}}}
	if !math.IsNaN(before) {
		t.note("Above 0 the company grew faster than the network, below 0 slower.")
	}
	e.append(t)
}

// noWatts is the provenance of a figure that rests on prices alone.
var noWatts = results.Provenance{Instrument: results.Absent()}

func (e *evaluator) switching(uses []use) {
	t := Table{ID: "switching", Title: "Mining that is switched off when power is expensive, $/MWh connected, before operations and capital", Columns: heads("candidate", "watts at", "always on", "switched", "gain", "on")}
	l := lookupFor(e.p)
	uptime, credit := l.get("mining_uptime"), l.credit()
	for _, u := range uses {
		figure := func(column string, unit Unit, formula string, pick func(switching) float64) Cell {
			return Cell{Figure: e.of(u, t.ID, column, unit, formula, func(x float64) float64 {
				return pick(curtailment(u.running(x), credit, e.p.Hours.Prices))
			}, slices.Concat(u.revenueKeys, l.keys, []string{hourly})...)}
		}
		t.Rows = append(t.Rows, []Cell{
			label(u.candidate), watts(u.metric),
			figure("always", perMWh, "uptime × mean of (revenue − power price)", func(s switching) float64 { return s.Always * uptime }),
			figure("switched", perMWh, "uptime × mean of max(curtailment credit, revenue − power price)", func(s switching) float64 { return s.Curtail * uptime }),
			figure("worth", perMWh, "switched − always on", func(s switching) float64 { return s.Worth() * uptime }),
			figure("on", percent, "share of periods in which revenue − power price > curtailment credit", func(s switching) float64 { return s.On }),
		})
	}
	if len(uses) > 0 {
		if credit == 0 {
			t.note("Hours off are not paid: the sheet has no curtailment_credit.")
		}
		e.append(t, append(e.p.Hours.Notes(), "Prices are used as they turned out; who must decide before they are known earns less. Training contracts usually cannot be switched off.")...)
	}
}

// credit is what is paid for a joule that is not drawn, in $; 0 without such a price.
func (l *lookup) credit() float64 {
	if !l.p.has("curtailment_credit") {
		return 0
	}
	return l.get("curtailment_credit")
}

// The grid of the break-even table.
var (
	powerGrid     = []float64{20, 30, 40, 50, 60, 70, 80, 90, 100} // $/MWh
	hashpriceGrid = []float64{0.5, 0.75, 1, 1.25, 1.5, 2}          // times the present one
)

func (e *evaluator) breakEven() {
	l := lookupFor(e.p)
	price := l.hashprice()
	hashpriceKeys := slices.Clone(l.keys)
	l.set(Fee, "pool_fee")
	l.set(PUE, "pue_mining")
	e.grid = &use{terms: l.terms, from: l.from}
	t := Table{ID: "break-even", Title: "J/TH that just earns its power", Columns: heads("hashprice"), Notes: []string{
		"A machine below the figure earns its power at that price, one above it does not; operations and capital are not included.",
	}}
	for _, p := range powerGrid {
		t.Columns = append(t.Columns, Column{Head: plain(p) + " $/MWh"})
	}
	for _, g := range hashpriceGrid {
		row := []Cell{e.number(t.ID, plain(g), "hashprice", quoted("hashprice"), "hashprice × "+plain(g), price*g, noWatts, unknown, hashpriceKeys...)}
		s := Series{ID: id(t.ID, plain(g)), Table: t.ID, Name: plain(g) + " × hashprice", X: "power price, $/MWh", Y: "J/TH"}
		for _, p := range powerGrid {
			v := efficiencyOf(l.terms, g, p/MWh)
			row = append(row, e.number(t.ID, plain(g), plain(p), perTH, "hashprice × (1 − pool fee) ÷ (power price × PUE)", v, noWatts, unknown, l.keys...))
			s.At, s.Value = append(s.At, p), append(s.Value, v/PerTH)
		}
		t.Rows, e.Series = append(t.Rows, row), append(e.Series, s)
	}
	e.append(t)
}

func (e *evaluator) colocation() {
	u, keys := letting(e.p)
	figure := func(column, formula string) Cell {
		return e.single(u, "colocation", column, perMWh, formula, unknown, keys...)
	}
	t := Table{ID: "colocation", Title: "Colocation, $/MWh connected", Columns: heads("revenue", "operations", "capital of the retrofit", "margin"), Rows: [][]Cell{{
		figure("revenue", "rent × occupancy ÷ PUE"), figure("operations", "as given"),
		figure("capital", "capex × r/(1−(1+r)^−n) ÷ 8760 h ÷ PUE"), figure("margin", "revenue − operations − capital"),
	}}}
	if u.ledger(u.value()).Revenue == 0 {
		t.Rows[0][3].mark("of a use that sells nothing")
	}
	t.margin("colocation", e.p)
	e.append(t, noteConnected, "The tenant pays for power and brings the machines: neither is included, unlike in mining and training.")
}

func (e *evaluator) retrofit(uses []use) {
	l := lookupFor(e.p)
	l.setLetting()
	unit := quoted("colocation_price")
	t := Table{ID: "retrofit", Title: "From mining to colocation, for each MW connected", Columns: heads("candidate", "watts at", "cash of mining", "rent that equals it", "rent of the sheet", "payback"), Notes: []string{
		"The miners are taken as paid for. Where they do not earn power and operations they are off, and their cash is 0.",
	}}
	for _, u := range uses {
		keys := slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys, l.keys)
		t.Rows = append(t.Rows, []Cell{
			label(u.candidate), watts(u.metric),
			e.column(u, t.ID, "cash", perMWh, "max(0, revenue − power − operations)", keys...),
			e.column(u, t.ID, "rent", unit, "(cash of mining + operations + capital of the retrofit) × PUE ÷ occupancy", keys...).within(priced("colocation_price"), unit),
			e.price(u, t.ID, unit, "as given", "colocation_price"),
			e.single(u, t.ID, "payback", years[0], "retrofit ÷ (cash of colocation − cash of mining)", never, append(keys, u.metric.ID)...).within(lasting(l.terms[RetrofitLife]), years[0]),
		})
	}
	e.append(t)
}

// maxPairs bounds the table of indifference.
const maxPairs = 64

func (e *evaluator) indifference(mining, training []use) {
	t := Table{ID: "indifference", Title: "Training price at which training has the margin of mining", Columns: heads("training", "sold as", "mining")}
	for _, g := range hashpriceGrid {
		t.Columns = append(t.Columns, Column{Head: "at " + plain(g) + " × hashprice"})
	}
	for _, u := range training {
		costs := u.ledger(u.value())
		for _, m := range mining {
			margin := m.ledger(m.value())
			if len(t.Rows) == maxPairs || !finite(costs.Margin()+margin.Margin()) {
				continue
			}
			pair := u.row() + " against " + m.row()
			row := []Cell{label(u.candidate), label(u.product), label(m.candidate)}
			s := Series{Table: t.ID, Name: pair, X: "hashprice, times that of the sheet", Y: u.sale.Name}
			watts := u.watts
			if isMeasured(watts) {
				watts = m.watts
			}
			for _, g := range hashpriceGrid {
				v := crossoverOf(u.kind, u.terms, u.value(), m.kind, m.terms, m.value(), g)
				row = append(row, e.number(t.ID, pair, plain(g), u.sale, "(margin of mining + costs of training) ÷ revenue of training for a price of 1", v, watts, unknown, slices.Concat(u.keys(), m.keys(), []string{u.metric.ID, m.metric.ID})...).within(u.priced(), u.sale))
				s.At, s.Value = append(s.At, g), append(s.Value, v/u.sale.Factor)
			}
			of := row[3+slices.Index(hashpriceGrid, 1)].Figure.ID
			s.ID = starred(of, "1")
			e.cross(u, m, of)
			if t.Rows = append(t.Rows, row); !slices.ContainsFunc(row, Cell.LeftOut) {
				e.Series = append(e.Series, s)
			}
		}
	}
	if len(t.Rows) > 0 {
		e.append(t, "Above the figure a connected MWh leaves more at training, below it at mining; each pays its own power, machines and operations.")
	}
}

// thresholds computes what the training compute that laws name would take. It
// is physics: only its cost needs prices.
func (e *evaluator) thresholds(candidates []Candidate) {
	t := Table{ID: "thresholds", Title: "What it takes to reach the training compute that laws name", Columns: heads("threshold", "FLOP", "candidate", "workload", "watts at", "time of one node", "energy", "cost of power", "or rent")}
	l := lookupFor(e.p)
	pue := l.get("pue_training")
	energyKeys := l.take()
	if math.IsNaN(pue) {
		pue, energyKeys = 1, nil
		t.note("Energy is that of the nodes: the sheet has no pue_training.")
	}
	power := l.power()
	for _, law := range thresholds() {
		for _, d := range candidates {
			for _, w := range d.Training {
				if !known(w.FlopRate) || !known(w.Power) || w.PerJoule.Unit == "" { // nothing is trained
					continue
				}
				time, energy, cost := reach(law.FLOP, float64(w.FlopRate.Value), float64(w.Power.Value), pue, power)
				own := lookupFor(e.p, w.Workload, d.Name)
				rent, why := own.get("gpu_hour_price")*own.rented(w)*time, unknown
				if w.GPUs == 0 {
					rent, why, own.keys = math.NaN(), noGPU, nil
				}
				most := working(lookupFor(e.p).get("training_life"))
				figure := func(column string, unit Unit, formula string, v float64, watts results.Provenance, inputs ...string) Cell {
					c := e.number(t.ID, law.Name+" "+d.Name+" "+w.named(), column, unit, formula, v, watts, why, append(slices.Clone(inputs), w.FlopRate.ID)...)
					if most.excludes(time) && !c.Figure.Value.IsAbsent() {
						c.mark(most.why)
					}
					return c
				}
				t.Rows = append(t.Rows, []Cell{
					label(law.Name + " (" + law.Status(e.AsOf) + ")"), label(law.Power() + " (" + law.Text + ")"), label(d.Name), label(w.named()), watts(w.Power),
					figure("time", Unit{"node-hour", Hour}, "FLOP ÷ FLOP/s", time, noWatts),
					figure("energy", Unit{"MWh", MWh}, "time × W × PUE", energy, w.Power.Provenance, slices.Concat(energyKeys, []string{w.Power.ID})...),
					figure("cost", dollars, "energy × power price", cost, w.Power.Provenance, slices.Concat(energyKeys, l.keys, []string{w.Power.ID})...),
					figure("rent", dollars, "time × GPUs × rent", rent, noWatts, own.keys...),
				})
			}
		}
		t.note("%s: more than %s FLOP; %s; %s. %s.", law.Name, law.Power(), law.Source, law.Status(e.AsOf), law.Note)
	}
	if len(t.Rows) > 0 {
		e.append(t)
	}
}
