package economics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Input is what was measured.
type Input struct {
	Candidates []Candidate
	// Print prints a measured figure as the rest of a report does; nil prints
	// four digits.
	Print func(results.Figure) string
}

// Candidate is a machine and what it was measured to do. A metric without a
// unit was not measured.
type Candidate struct {
	Name        string
	Mining      results.Figure // J/hash
	MiningPower results.Figure // W
	Unfit       string         // why no verdict may rest on its mining: what keeps it out of a ranking; empty if nothing does
	Training    []Training     // a machine that trains is a node, one that only mines an ASIC
	Mullet      *Mullet
}

// Training is one workload on a candidate.
type Training struct {
	Workload string
	PerJoule results.Figure // sample/J
	Power    results.Figure // W
	FlopRate results.Figure // useful FLOP/s
	Unfit    string         // why no verdict may rest on it, as of a Candidate
}

// Mullet is mining in the background of one of the workloads.
type Mullet struct {
	Workload  string
	CoRunCost results.CoRunCost
}

// Result is everything that prices make of the measured figures.
type Result struct {
	AsOf     time.Time         `json:"as_of"`
	Banner   string            `json:"banner,omitempty"` // to stand above all of it
	Warnings []results.Warning `json:"warnings"`
	Tables   []Table           `json:"tables"`
	Figures  []Figure          `json:"figures"`
	Series   []Series          `json:"series"`
}

// Table returns a table by its ID.
func (r *Result) Table(id string) (Table, bool) {
	i := slices.IndexFunc(r.Tables, func(t Table) bool { return t.ID == id })
	if i < 0 {
		return Table{}, false
	}
	return r.Tables[i], true
}

// Figure returns a figure by its ID.
func (r *Result) Figure(id string) (Figure, bool) {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.ID == id })
	if i < 0 {
		return Figure{}, false
	}
	return r.Figures[i], true
}

// calc looks prices up for one candidate, and remembers which it took. What is
// not there is NaN, and so is all that follows from it.
type calc struct {
	p     *Prices
	names []string
	used  []string
}

func (c *calc) get(key string) float64 {
	x, ok := c.p.Find(key, c.names...)
	if !ok {
		return math.NaN()
	}
	if !slices.Contains(c.used, x.Key) {
		c.used = append(c.used, x.Key)
	}
	return x.SI
}

// hashprice is what a hash earns in $: as published, or worked out.
func (c *calc) hashprice() float64 {
	if v := c.get("hashprice"); !math.IsNaN(v) {
		return v
	}
	return Hashprice(c.get("network_difficulty"), c.get("block_subsidy")+c.get("block_fees"), c.get("bitcoin_price"))
}

// power is the price of power in $/J: that of the sheet, or the series' mean.
func (c *calc) power() float64 {
	if v := c.get("power_price"); !math.IsNaN(v) || c.p.Hours == nil {
		return v
	}
	c.used = append(c.used, hourly)
	return c.p.Hours.Mean()
}

// option is one thing to do with one machine.
type option struct {
	name, sold string         // whose, and what is sold
	metric     results.Figure // that it rests on
	said       string         // the metric as it is quoted
	modelled   bool
	unfit      string                  // why no verdict may rest on it
	node       bool                    // mining: on a machine that is not made for it
	ledger     func(x float64) Ledger  // of the metric's value, per connected joule
	running    func(x float64) float64 // mining: what a joule that is drawn earns, in $/J
	capex      func(x float64) float64 // $/W of site power
	perPrice   float64                 // training: revenue for a price of 1, at the metric's value
	price      Unit                    // training: of what is sold
	life, rate float64
	uses       [4][]string // price keys of revenue, power, operations, capital
	again      func(p *Prices) option
}

func (o option) row() string { return strings.TrimSuffix(o.name+" "+o.sold, " ") }
func (o option) keys() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.uses[:]...))))
}

// mine is mining on a candidate: an ASIC, which has its price by the rate, or a
// node, which has one as a whole.
func mine(p *Prices, d Candidate) option {
	c, m := calc{p: p, names: []string{d.Name}}, d.Mining
	price, fee, uptime, pue := c.hashprice(), c.get("pool_fee"), c.get("mining_uptime"), c.get("pue_mining")
	o := option{name: d.Name, metric: m, modelled: modelled(m), unfit: d.Unfit, node: len(d.Training) > 0, again: func(p *Prices) option { return mine(p, d) }}
	o.uses[0], c.used = c.used, nil
	power := c.power()
	o.uses[1], c.used = append(c.used, "mining_uptime"), nil
	operations := c.get("mining_operations")
	o.uses[2], c.used = c.used, nil
	machine := func(x float64) float64 { return math.NaN() } // $/W
	switch {
	case !o.node:
		asic := c.get("asic_price")
		machine = func(x float64) float64 { return asic / x }
	case known(d.MiningPower):
		node := c.get("node_price") / float64(d.MiningPower.Value)
		machine = func(float64) float64 { return node }
	}
	infrastructure := c.get("mining_capex")
	o.life, o.rate = c.get("mining_life"), c.get("discount_rate")
	o.uses[3] = append(c.used, "pue_mining")
	o.running = func(x float64) float64 { return BreakEvenPower(price, x, pue, fee) }
	o.capex = func(x float64) float64 { return (machine(x) + infrastructure) / pue }
	o.ledger = func(x float64) Ledger {
		return Ledger{MiningRevenue(price, x, pue, fee, uptime), power * uptime, operations, CapitalPerEnergy(o.capex(x), o.rate, o.life, 1)}
	}
	return o
}

// train is owned training that is sold by the sample, or by the GPU-hour.
func train(p *Prices, name string, t Training, rent bool) option {
	c := calc{p: p, names: []string{t.Workload, name}}
	used, fee, pue := c.get("training_utilisation"), c.get("marketplace_fee"), c.get("pue_training")
	o := option{name: name, modelled: modelled(t.PerJoule, t.Power), unfit: t.Unfit, again: func(p *Prices) option { return train(p, name, t, rent) }}
	var revenue func(x float64) float64
	var sale float64
	if rent {
		var gpus float64
		sale, gpus = c.get("gpu_hour_price"), c.get("gpus_per_node")
		k, _ := keyOf("gpu_hour_price")
		o.price, o.sold, o.metric, o.modelled = k.Units[0], "GPU-hours, "+t.Workload, t.Power, modelled(t.Power)
		revenue = func(x float64) float64 { return RentRevenue(sale, gpus, used, fee, x, pue) }
	} else {
		sale = c.get("training_price")
		k, _ := keyOf("training_price")
		o.price, o.sold, o.metric = k.Units[0], "samples, "+t.Workload, t.PerJoule
		revenue = func(x float64) float64 { return SampleRevenue(sale, x, used, fee, pue) }
	}
	o.perPrice = revenue(float64(o.metric.Value)) / sale
	o.uses[0], c.used = c.used, nil
	power := c.power()
	o.uses[1], c.used = c.used, nil
	operations := c.get("training_operations")
	o.uses[2], c.used = c.used, nil
	node, infrastructure := c.get("node_price"), c.get("training_capex")
	o.life, o.rate = c.get("training_life"), c.get("discount_rate")
	o.uses[3] = append(c.used, "pue_training")
	o.capex = func(x float64) float64 {
		w := float64(t.Power.Value)
		if rent {
			w = x
		}
		if !known(t.Power) {
			w = math.NaN()
		}
		return (node/w + infrastructure) / pue
	}
	o.ledger = func(x float64) Ledger {
		return Ledger{revenue(x), power, operations, CapitalPerEnergy(o.capex(x), o.rate, o.life, 1)}
	}
	return o
}

type evaluator struct {
	Result
	p   *Prices
	ids map[string]int // how often each was asked for
}

// Evaluate works out what each candidate earns and costs at each use. Prices
// that are not there leave parts out, and a warning says which; what there is
// to doubt in those that are there is a warning, too. Candidates stand in the
// order in which they come: nothing is ranked.
func Evaluate(in Input, p Prices, asOf time.Time) Result {
	e := &evaluator{Result: Result{AsOf: asOf, Warnings: p.Warnings(asOf)}, p: &p, ids: map[string]int{}}
	e.Banner = p.banner(asOf)
	var mining, plates, training []option
	trained := false
	for _, c := range in.Candidates {
		if known(c.Mining) {
			mining = append(mining, mine(&p, c))
		}
		for _, t := range c.Training {
			trained = trained || known(t.PerJoule) || known(t.Power)
			if known(t.PerJoule) && p.has("training_price") {
				training = append(training, train(&p, c.Name, t, false))
			}
			if known(t.Power) && p.has("gpu_hour_price") {
				training = append(training, train(&p, c.Name, t, true))
			}
		}
	}
	for _, n := range nameplates() {
		plates = append(plates, mine(&p, Candidate{Name: n.Model, Mining: n.Efficiency}))
	}
	print := in.Print
	if print == nil {
		print = plainly
	}
	for _, options := range [][]option{mining, plates, training} {
		for i := range options {
			options[i].said = print(options[i].metric)
		}
	}

	if e.has("mining") {
		e.ledger("mining", "Mining, $/MWh connected", mining)
		e.ledger("mining-published", "Mining with machines as their makers publish them, $/MWh connected", plates)
		e.investment("mining-investment", "Mining as an investment, for each MW connected", "mining_growth", mining)
		e.tornado("mining-tornado", "What the margin of mining hangs on, $/MWh connected", mining)
	}
	miners := slices.Concat(mining, plates)
	asics := slices.DeleteFunc(slices.Clone(miners), func(o option) bool { return o.node })
	if e.has("bitcoin") {
		e.bitcoin(miners)
	}
	if e.has("share") {
		e.share()
	}
	if e.has("switching") {
		e.switching(asics)
	}
	if e.has("break-even") {
		e.breakEven()
	}
	if e.has("colocation") {
		e.colocation()
	}
	if trained && e.has("training") {
		e.ledger("training", "Owned training, $/MWh connected", training)
		e.investment("training-investment", "Owned training as an investment, for each MW connected", "training_growth", training)
		e.tornado("training-tornado", "What the margin of training hangs on, $/MWh connected", training)
	}
	if trained && e.has("indifference") {
		e.indifference(asics, training)
	}
	if e.has("retrofit") {
		e.retrofit(asics)
	}
	if slices.ContainsFunc(in.Candidates, func(c Candidate) bool { return c.Mullet != nil }) && e.has("mullet") {
		e.mullet(in.Candidates)
	}
	e.reach(in.Candidates)
	e.Series = slices.DeleteFunc(e.Series, func(s Series) bool {
		return slices.ContainsFunc(slices.Concat(s.At, s.Value, s.Low), func(v float64) bool { return !finite(v) })
	})
	sheet, _ := p.Check(asOf)
	e.Tables = append(e.Tables, sheet[0])
	return e.Result
}

// has reports whether a part can be worked out, and warns if it cannot.
func (e *evaluator) has(part string) bool {
	t := partOf(part)
	missing, _ := t.Lacks(e.p)
	if len(missing) == 0 {
		return true
	}
	e.Warnings = append(e.Warnings, results.Warning{
		Code: "missing-price", Text: fmt.Sprintf("%q is left out: there is no %s", t.Title, strings.Join(missing, "; no ")),
		Remedy: "add it to the price sheet: perwatt prices --example shows the line",
	})
	return false
}

// figure records a number and returns it as it is printed.
func (e *evaluator) figure(f Figure) Figure {
	if e.ids[f.ID]++; e.ids[f.ID] > 1 { // two candidates of one name
		f.ID = fmt.Sprintf("%s/%d", f.ID, e.ids[f.ID])
	}
	for _, v := range []*results.Float{&f.Value, &f.Low, &f.High} {
		if !finite(float64(*v)) {
			*v = results.Absent()
		}
	}
	e.Figures = append(e.Figures, f)
	return f
}

// value records a number that has no interval. What takes for ever is absent.
func (e *evaluator) value(table, row, column, unit, formula string, v float64, modelled bool, inputs ...string) string {
	cell := e.figure(Figure{
		ID: id(table, row, column), Table: table, Value: results.Float(v), Low: results.Absent(), High: results.Absent(),
		Unit: unit, Modelled: modelled, Formula: formula, Inputs: inputs,
	}).cell()
	if math.IsInf(v, 1) {
		return "never"
	}
	return cell
}

// of records a number that follows from an option's metric.
func (e *evaluator) of(o option, table, column, unit, formula string, scale float64, f func(x float64) float64, keys ...string) Figure {
	v, lo, hi := span(o.metric, func(x float64) float64 { return f(x) * scale })
	return e.figure(Figure{
		ID: id(table, o.row(), column), Table: table, Value: results.Float(v), Low: results.Float(lo), High: results.Float(hi),
		Unit: unit, Modelled: o.modelled, Unfit: o.unfit, Formula: formula, Inputs: append(slices.Clone(keys), "measured "+string(o.metric.Unit)),
	})
}

const (
	noteConnected = "A connected MWh is 1 MW of site power for 1 h, drawn or not."
	noteInterval  = "Intervals are of the measurement alone; what prices do to a margin is in its tornado."
	noteModelled  = "~ was not measured: grade E, no verdict."
)

// ledger prints revenue, costs and margin of options that have one boundary of
// account: all mining, or all training.
func (e *evaluator) ledger(table, title string, options []option) {
	if len(options) == 0 {
		return
	}
	training := table == "training"
	t := Table{ID: table, Title: title, Head: []string{"candidate", "measured", "watts at", "revenue", "power", "after power", "operations", "capital", "margin", "verdict"}}
	if training {
		t.Head = append(slices.Insert(t.Head, 1, "sold as"), "price at which it breaks even")
	} else {
		t.Head = append(t.Head, "power at which it breaks even")
	}
	part := table
	formula := "hashprice ÷ (J/hash × PUE) × (1 − pool fee) × uptime"
	switch {
	case training:
		formula = "price × samples/J × utilisation × (1 − fee) ÷ PUE, or rent × GPUs × utilisation × (1 − fee) ÷ (W × PUE)"
		t.Notes = append(t.Notes, "The node is taken to draw its power all the time, sold or not.")
	case table == "mining-published":
		part = "mining"
		t.Notes = append(t.Notes, "Declared by the makers, in the order of publication; the interval is the maker's tolerance.")
		for _, n := range nameplates() {
			t.Notes = append(t.Notes, fmt.Sprintf("%s: %s, %s.", n.Model, n.Source, n.AsOf))
		}
	}
	for _, o := range options {
		u := o.uses
		cell := func(column, formula string, pick func(Ledger) float64, keys ...string) Figure {
			return e.of(o, table, column, "$/MWh", formula, MWh, func(x float64) float64 { return pick(o.ledger(x)) }, keys...)
		}
		t.doubt(o)
		margin := cell("margin", "revenue − power − operations − capital", Ledger.Margin, o.keys()...)
		row := []string{
			o.name, o.said, watts(o.metric),
			cell("revenue", formula, func(l Ledger) float64 { return l.Revenue }, u[0]...).cell(),
			cell("power", "power price × uptime", func(l Ledger) float64 { return l.Power }, u[1]...).cell(),
			cell("after-power", "revenue − power", Ledger.AfterPower, slices.Concat(u[0], u[1])...).cell(),
			cell("operations", "as given", func(l Ledger) float64 { return l.Operations }, u[2]...).cell(),
			cell("capital", "capex × r/(1−(1+r)^−n) ÷ 8760 h", func(l Ledger) float64 { return l.Capital }, u[3]...).cell(),
			margin.cell(), margin.verdict("earns", "loses", o.metric.Boundary),
		}
		if training {
			x := float64(o.metric.Value)
			l := o.ledger(x)
			row = slices.Insert(row, 1, o.sold)
			row = append(row, e.value(table, o.row(), "break-even", o.price.Name, "(power + operations + capital) ÷ revenue for a price of 1",
				Indifference(0, l.Power+l.Operations+l.Capital, o.perPrice)/o.price.Factor, o.modelled, o.keys()...)+" "+o.price.Name)
		} else {
			row = append(row, e.of(o, table, "break-even", "$/MWh", "hashprice ÷ (J/hash × PUE) × (1 − pool fee)", MWh, o.running, u[0]...).cell())
		}
		t.Rows = append(t.Rows, row)
	}
	if slices.ContainsFunc(options, func(o option) bool { return o.node }) {
		t.Notes = append(t.Notes, "A machine that also trains mines as a control, not as an option; its capital is node_price over the watts of its mining, where these are known.")
	}
	if _, margin := partOf(part).Lacks(e.p); len(margin) > 0 {
		t.Notes = append(t.Notes, "No margin, for there is no "+strings.Join(margin, "; no ")+".")
	}
	e.add(t, noteConnected, noteInterval)
}

// add appends a table with the notes that its cells call for.
func (e *evaluator) add(t Table, notes ...string) {
	t.Notes = append(notes, t.Notes...)
	at, judged := slices.Index(t.Head, "watts at"), slices.Contains(t.Head, "verdict")
	tilde := false
	var boundaries []string
	for _, row := range t.Rows {
		tilde = tilde || slices.ContainsFunc(row, func(s string) bool { return strings.HasPrefix(s, "~") })
		if at >= 0 {
			boundaries = append(boundaries, strings.SplitN(row[at], " ", 2)[0])
		}
	}
	if tilde {
		t.Notes = append(t.Notes, noteModelled)
	}
	if slices.Sort(boundaries); len(slices.Compact(boundaries)) > 1 {
		t.Notes = append(t.Notes, "The watts were counted at different boundaries: the rows are not to be ranked.")
	}
	if judged && slices.ContainsFunc(boundaries, func(b string) bool { return inside(results.Boundary(b)) }) {
		t.Notes = append(t.Notes, "Watts that were counted inside the node leave the rest of it out: they can show a loss, and no gain.")
	}
	e.Tables = append(e.Tables, t)
}

func (e *evaluator) investment(table, title, growthKey string, options []option) {
	t := Table{ID: table, Title: title, Head: []string{"candidate", "sold as", "capex, $", "cash in the first year, $", "payback, years", "NPV, $", "IRR, %/year"}}
	growth, ok := e.p.Find(growthKey)
	for _, o := range options {
		x := float64(o.metric.Value)
		l, capex := o.ledger(x), o.capex(x)
		if !finite(l.Margin()) {
			continue
		}
		flows := Flows(capex, l.Revenue*Year, (l.Power+l.Operations)*Year, growth.SI, o.life)
		keys := o.keys()
		if ok {
			keys = append(keys, growthKey)
		}
		value := func(column, unit, formula string, v float64) string {
			return e.value(table, o.row(), column, unit, formula, v, o.modelled, keys...)
		}
		t.Rows = append(t.Rows, []string{
			o.name, o.sold,
			value("capex", "$/MW", "(machines + infrastructure) ÷ PUE", capex*1e6),
			value("cash", "$/MW/year", "(revenue − power − operations) × 8760 h", l.Cash()*Year*1e6),
			value("payback", "year", "capex ÷ cash of the first year", Payback(capex, l.Cash()*Year)),
			value("npv", "$/MW", "Σ cash ÷ (1 + r)^year − capex", NPV(o.rate, flows)*1e6),
			value("irr", "%/year", "the rate at which NPV is 0", IRR(flows)*100),
		})
	}
	if len(t.Rows) == 0 {
		return
	}
	t.Notes = append(t.Notes, "Payback is of the first year's cash. Machines run to the end of their life, at a loss too, and are worth nothing then.")
	if ok {
		t.Notes = append(t.Notes, fmt.Sprintf("Revenue changes by %s %s, costs stay.", plain(growth.Value), growth.Unit))
	} else {
		t.Notes = append(t.Notes, "Revenue is taken to stay as it is, which it never did: "+growthKey+" in the price sheet says how it changes.")
	}
	e.add(t)
}

// swing is how far an input moves where the sheet does not say.
const (
	swing = 0.1
	firm  = 1460 // days of freshness of what is a rule or a count and does not move by itself
)

func (e *evaluator) tornado(table, title string, options []option) {
	t := Table{ID: table, Title: title, Head: []string{"candidate", "sold as", "input", "low", "high", "margin at low", "margin at high"}}
	for _, o := range options {
		x := float64(o.metric.Value)
		if !finite(o.ledger(x).Margin()) {
			continue
		}
		var swings []Swing
		var at []int // in the sheet; −1 for the measurement
		for i, p := range e.p.Sheet {
			if !slices.Contains(o.keys(), p.Key) {
				continue
			}
			k := p.key()
			if math.IsNaN(p.Low) && k.Fresh >= firm {
				continue
			}
			least, most := k.Min*k.Units[0].Factor, k.Max*k.Units[0].Factor
			s := Swing{p.Key, p.SI, p.Low * p.factor, p.High * p.factor}
			if math.IsNaN(p.Low) {
				d := math.Abs(p.SI) * swing
				s.Low, s.High = max(least, p.SI-d), min(most, p.SI+d)
			}
			if s.Low == s.High {
				continue
			}
			swings, at = append(swings, s), append(at, i)
		}
		if _, lo, hi := span(o.metric, func(x float64) float64 { return x }); !math.IsNaN(lo + hi) {
			swings, at = append(swings, Swing{"measured " + string(o.metric.Unit), x, lo, hi}), append(at, -1)
		}
		bars := Tornado(swings, func(v []float64) float64 {
			p := Prices{slices.Clone(e.p.Sheet), e.p.Hours}
			x := x
			for j, i := range at {
				if i < 0 {
					x = v[j]
				} else {
					p.Sheet[i].SI = v[j]
				}
			}
			return o.again(&p).ledger(x).Margin() * MWh
		})
		s := Series{ID: id(table, o.row()), Table: table, Name: o.row(), X: "input", Y: "margin, $/MWh"}
		for i, b := range bars {
			factor, unit := 1.0, ""
			switch p, ok := e.p.Find(b.Name); {
			case ok:
				factor, unit = p.factor, strings.TrimSuffix(" "+p.Unit, " 1")
			case o.metric.Unit == results.Joule.Per(results.Hash):
				factor, unit = PerTH, " J/TH"
			default:
				unit = " " + string(o.metric.Unit)
			}
			t.Rows = append(t.Rows, []string{
				o.name, o.sold, b.Name, num(b.Low/factor) + unit, num(b.High/factor) + unit,
				e.value(table, o.row()+" "+b.Name, "low", "$/MWh", "margin with the input at its low end", b.AtLow, o.modelled, o.keys()...),
				e.value(table, o.row()+" "+b.Name, "high", "$/MWh", "margin with the input at its high end", b.AtHigh, o.modelled, o.keys()...),
			})
			s.At, s.Names, s.Low, s.Value = append(s.At, float64(i)), append(s.Names, b.Name), append(s.Low, b.AtLow), append(s.Value, b.AtHigh)
		}
		e.Series = append(e.Series, s)
	}
	if len(t.Rows) > 0 {
		e.add(t, fmt.Sprintf("Each input moves alone, the widest first: over low and high of the sheet, or ±%.0f %% where it gives none.", 100*swing))
	}
}

func (e *evaluator) bitcoin(options []option) {
	t := Table{ID: "bitcoin", Title: "Cost of one bitcoin: power and operations, $", Head: []string{"candidate", "measured", "watts at", "cost", "price", "verdict"}}
	c := calc{p: e.p}
	perHash := BitcoinPerHash(c.get("network_difficulty"), c.get("block_subsidy")+c.get("block_fees"))
	fee, uptime, pue, operations, power, price := c.get("pool_fee"), c.get("mining_uptime"), c.get("pue_mining"), c.get("mining_operations"), c.power(), c.get("bitcoin_price")
	for _, o := range options {
		f := func(x float64) float64 { return CostPerBitcoin(x, pue, power, operations, uptime, perHash, fee) }
		cost := e.of(o, t.ID, "cost", "$/BTC", "J/hash × PUE × (power + operations ÷ uptime) ÷ (BTC/hash × (1 − fee))", 1, f, c.used...)
		gain := Figure{Value: results.Float(price) - cost.Value, Low: results.Float(price) - cost.High, High: results.Float(price) - cost.Low, Modelled: cost.Modelled, Unfit: cost.Unfit}
		t.doubt(o)
		t.Rows = append(t.Rows, []string{o.name, o.said, watts(o.metric), cost.cell(), num(price), gain.verdict("below the price", "above the price", o.metric.Boundary)})
	}
	if len(options) > 0 {
		e.add(t, "Capital is not in it: a machine that is paid for runs as long as it earns this.")
	}
}

func (e *evaluator) share() {
	c := calc{p: e.p}
	share := func(rate, difficulty string) float64 { return NetworkShare(c.get(rate), c.get(difficulty)) }
	now, before := share("own_hashrate", "network_difficulty"), share("own_hashrate_earlier", "network_difficulty_earlier")
	t := Table{ID: "share", Title: "Share of the network", Head: []string{"now, %", "earlier, %", "change, %"}, Rows: [][]string{{
		e.value("share", "site", "now", "%", "own rate ÷ (difficulty × 2^32 ÷ 600 s)", now*100, false, c.used...),
		e.value("share", "site", "earlier", "%", "the same, then", before*100, false, c.used...),
		e.value("share", "site", "change", "%", "now ÷ earlier − 1", (now/before-1)*100, false, c.used...),
	}}}
	if !math.IsNaN(before) {
		t.Notes = []string{"Above 0 the company grew faster than the network, below 0 it was diluted."}
	}
	e.add(t)
}

func (e *evaluator) switching(options []option) {
	t := Table{ID: "switching", Title: "Mining that is switched off when power is dear, $/MWh connected, before operations and capital", Head: []string{"candidate", "watts at", "always on", "switched", "worth of switching", "on, %"}}
	c := calc{p: e.p}
	uptime := c.get("mining_uptime")
	for _, o := range options {
		at := func(pick func(Switching) float64) func(float64) float64 {
			return func(x float64) float64 {
				return pick(Curtailment(o.running(x), e.p.Hours.Prices)) * uptime
			}
		}
		cell := func(column, formula string, pick func(Switching) float64) string {
			return e.of(o, t.ID, column, "$/MWh", formula, MWh, at(pick), append(slices.Clone(o.uses[0]), hourly)...).cell()
		}
		t.Rows = append(t.Rows, []string{
			o.name, watts(o.metric),
			cell("always", "mean of revenue − power price", func(s Switching) float64 { return s.Always }),
			cell("switched", "mean of max(0, revenue − power price)", func(s Switching) float64 { return s.Curtail }),
			cell("worth", "switched − always", Switching.Worth),
			e.of(o, t.ID, "on", "%", "periods in which revenue > power price", 100/uptime, at(func(s Switching) float64 { return s.On }), append(slices.Clone(o.uses[0]), hourly)...).cell(),
		})
	}
	if len(options) > 0 {
		e.add(t, append(e.p.Hours.Notes(), "Prices are taken as they turned out; who must decide before they are known gets less. Training contracts usually cannot be switched off.")...)
	}
}

// The grid of the break-even table.
var (
	powerGrid     = []float64{20, 30, 40, 50, 60, 70, 80, 90, 100} // $/MWh
	hashpriceGrid = []float64{0.5, 0.75, 1, 1.25, 1.5, 2}          // of today's
)

func (e *evaluator) breakEven() {
	c := calc{p: e.p}
	price, fee, pue := c.hashprice(), c.get("pool_fee"), c.get("pue_mining")
	t := Table{ID: "break-even", Title: "J/TH that just earns its power", Head: []string{"hashprice, $/PH/day"}, Notes: []string{
		"A machine below the figure earns its power at that price, one above it does not; operations and capital are not in it.",
	}}
	for _, p := range powerGrid {
		t.Head = append(t.Head, plain(p)+" $/MWh")
	}
	for _, g := range hashpriceGrid {
		row := []string{num(price * g * PHDay)}
		s := Series{ID: id(t.ID, plain(g)), Table: t.ID, Name: row[0] + " $/PH/day", X: "power price, $/MWh", Y: "J/TH"}
		for _, p := range powerGrid {
			v := BreakEvenEfficiency(price*g, p/MWh, pue, fee) / PerTH
			row = append(row, e.value(t.ID, plain(g), plain(p), "J/TH", "hashprice × (1 − pool fee) ÷ (power price × PUE)", v, false, c.used...))
			s.At, s.Value = append(s.At, p), append(s.Value, v)
		}
		t.Rows, e.Series = append(t.Rows, row), append(e.Series, s)
	}
	e.add(t)
}

// let is colocation at a rent in $/J, per connected joule.
func let(c *calc) (ledger func(rent float64) Ledger, capex float64, perRent float64) {
	occupancy, pue, operations := c.get("colocation_occupancy"), c.get("pue_colocation"), c.get("colocation_operations")
	capex = c.get("retrofit_capex") / pue
	capital := CapitalPerEnergy(capex, c.get("discount_rate"), c.get("retrofit_life"), 1)
	return func(rent float64) Ledger {
		return Ledger{ColocationRevenue(rent, occupancy, pue), 0, operations, capital}
	}, capex, occupancy / pue
}

func (e *evaluator) colocation() {
	c := &calc{p: e.p}
	ledger, _, _ := let(c)
	l := ledger(c.get("colocation_price"))
	value := func(column, formula string, v float64) string {
		return e.value("colocation", "site", column, "$/MWh", formula, v*MWh, false, c.used...)
	}
	t := Table{ID: "colocation", Title: "Colocation, $/MWh connected", Head: []string{"revenue", "operations", "capital of the retrofit", "margin"}, Rows: [][]string{{
		value("revenue", "rent × occupancy ÷ PUE", l.Revenue), value("operations", "as given", l.Operations),
		value("capital", "capex × r/(1−(1+r)^−n) ÷ 8760 h ÷ PUE", l.Capital), value("margin", "revenue − operations − capital", l.Margin()),
	}}, Notes: []string{noteConnected, "The tenant pays the power and brings the machines: neither is in it, unlike in mining and training."}}
	if _, margin := partOf("colocation").Lacks(e.p); len(margin) > 0 {
		t.Notes = append(t.Notes, "No margin, for there is no "+strings.Join(margin, "; no ")+".")
	}
	e.add(t)
}

func (e *evaluator) retrofit(options []option) {
	c := &calc{p: e.p}
	ledger, capex, perRent := let(c)
	rent := c.get("colocation_price")
	unit := colocationUnit()
	t := Table{ID: "retrofit", Title: "From mining to colocation, for each MW connected", Head: []string{"candidate", "watts at", "cash of mining, $/MWh", "rent that equals it, " + unit.Name, "rent of the sheet", "payback, years"}, Notes: []string{
		"The miners are taken as paid for. Where they do not earn power and operations they are off, and what is to be equalled is 0.",
	}}
	for _, o := range options {
		keys := slices.Concat(o.uses[0], o.uses[1], o.uses[2], c.used)
		kept := func(x float64) float64 { return max(0, o.ledger(x).Cash()) }
		costs := ledger(0)
		x := float64(o.metric.Value)
		t.Rows = append(t.Rows, []string{
			o.name, watts(o.metric),
			e.of(o, t.ID, "cash", "$/MWh", "max(0, revenue − power − operations)", MWh, kept, keys...).cell(),
			e.of(o, t.ID, "rent", unit.Name, "(cash of mining + operations + capital of the retrofit) × PUE ÷ occupancy", 1/unit.Factor,
				func(x float64) float64 { return Indifference(kept(x), costs.Operations+costs.Capital, perRent) }, keys...).cell(),
			num(rent / unit.Factor),
			e.value(t.ID, o.row(), "payback", "year", "retrofit ÷ (cash of colocation − cash of mining)", Payback(capex, (ledger(rent).Cash()-kept(x))*Year), o.modelled, keys...),
		})
	}
	e.add(t)
}

func colocationUnit() Unit {
	k, _ := keyOf("colocation_price")
	return k.Units[0]
}

// maxPairs bounds the table of indifference.
const maxPairs = 64

func (e *evaluator) indifference(mining, training []option) {
	t := Table{ID: "indifference", Title: "Training price at which training has the margin of mining", Head: []string{"training", "sold as", "mining", "unit"}}
	c := calc{p: e.p}
	price := c.hashprice()
	for _, g := range hashpriceGrid {
		t.Head = append(t.Head, num(price*g*PHDay)+" $/PH/day")
	}
	for _, o := range training {
		l := o.ledger(float64(o.metric.Value))
		for _, m := range mining {
			lm := m.ledger(float64(m.metric.Value))
			if len(t.Rows) == maxPairs || !finite(l.Margin()+lm.Margin()) {
				continue
			}
			unsure := o.modelled || m.modelled
			pair := o.row() + " against " + m.row()
			row := []string{o.name, o.sold, m.name, o.price.Name}
			s := Series{ID: id(t.ID, pair), Table: t.ID, Name: pair, X: "hashprice, $/PH/day", Y: o.price.Name}
			for _, g := range hashpriceGrid {
				at := lm
				at.Revenue *= g
				v := Indifference(at.Margin(), l.Power+l.Operations+l.Capital, o.perPrice) / o.price.Factor
				row = append(row, e.value(t.ID, pair, plain(g), o.price.Name, "(margin of mining + costs of training) ÷ revenue of training for a price of 1", v, unsure, slices.Concat(o.keys(), m.keys())...))
				s.At, s.Value = append(s.At, price*g*PHDay), append(s.Value, v)
			}
			t.Rows, e.Series = append(t.Rows, row), append(e.Series, s)
		}
	}
	if len(t.Rows) > 0 {
		e.add(t, "Above the figure, a connected MWh leaves more at training, below it at mining; each pays its own power, machines and operations.")
	}
}

func (e *evaluator) mullet(candidates []Candidate) {
	t := Table{ID: "mullet", Title: "Mining in the background of training, $ per node and 1000 hours", Head: []string{"candidate", "workload", "watts at", "hashes earn", "extra power costs", "training forgone", "left"}, Notes: []string{
		"From the marginal figures, without an interval: no verdict rests on it.",
	}}
	for _, d := range candidates {
		if d.Mullet == nil {
			continue
		}
		m := d.Mullet.CoRunCost
		i := slices.IndexFunc(d.Training, func(t Training) bool { return t.Workload == d.Mullet.Workload })
		if i < 0 || !known(d.Training[i].PerJoule) || !known(d.Training[i].Power) {
			continue
		}
		w := d.Training[i]
		o := train(e.p, d.Name, w, false)
		c := calc{p: e.p, names: []string{d.Name}}
		const during = 1000 * Hour
		earn := float64(m.HashesGained.Value) * c.hashprice() * (1 - c.get("pool_fee")) * during
		pue := c.get("pue_training")
		cost := float64(m.ExtraPower.Value) * pue * c.power() * during
		gone := (1 - float64(m.TrainingKept.Value)) * o.ledger(float64(w.PerJoule.Value)).Revenue * float64(w.Power.Value) * pue * during
		unsure := modelled(m.ExtraPower, w.Power)
		keys := slices.Concat(c.used, o.uses[0])
		value := func(column, formula string, v float64) string {
			return e.value(t.ID, d.Name, column, "$/1000 h", formula, v, unsure, keys...)
		}
		t.Rows = append(t.Rows, []string{
			d.Name, w.Workload, watts(m.ExtraPower), value("earn", "hash/s × hashprice × (1 − pool fee)", earn), value("power", "extra W × PUE × power price", cost),
			value("forgone", "(1 − training kept) × revenue of training", gone), value("left", "earn − power − forgone", earn-cost-gone),
		})
	}
	if len(t.Rows) > 0 {
		e.add(t)
	}
}

// reach says what the training compute that laws name would take. It is
// physics: only its cost needs prices.
func (e *evaluator) reach(candidates []Candidate) {
	t := Table{ID: "thresholds", Title: "What it takes to reach the training compute that laws name", Head: []string{"threshold", "FLOP", "candidate", "workload", "watts at", "node-hours", "MWh", "power, $", "or rent, $"}}
	c := calc{p: e.p}
	power, pue := c.power(), c.get("pue_training")
	if math.IsNaN(pue) {
		pue = 1
		t.Notes = append(t.Notes, "Energy is that of the nodes: the sheet has no pue_training.")
	}
	for _, law := range thresholds() {
		for _, d := range candidates {
			for _, w := range d.Training {
				if !known(w.FlopRate) || !known(w.Power) {
					continue
				}
				r := ToReach(law.FLOP, float64(w.FlopRate.Value), float64(w.Power.Value), pue, power)
				own := calc{p: e.p, names: []string{w.Workload, d.Name}}
				rent := own.get("gpu_hour_price") * own.get("gpus_per_node") * r.Time
				value := func(column, unit, formula string, v float64, watts bool) string {
					return e.value(t.ID, law.Name+" "+d.Name+" "+w.Workload, column, unit, formula, v, watts && modelled(w.Power), slices.Concat(c.used, own.used, []string{"measured FLOP/s", "measured W"})...)
				}
				t.Rows = append(t.Rows, []string{
					law.Name + " (" + law.Status(e.AsOf) + ")", plain(law.FLOP), d.Name, w.Workload, watts(w.Power),
					value("time", "node-hour", "FLOP ÷ FLOP/s", r.Time/Hour, false), value("energy", "MWh", "time × W × PUE", r.Energy/MWh, true), value("cost", "$", "energy × power price", r.Cost, true), value("rent", "$", "time × GPUs × rent", rent, false),
				})
			}
		}
		t.Notes = append(t.Notes, fmt.Sprintf("%s: more than %s FLOP; %s; %s. %s.", law.Name, plain(law.FLOP), law.Source, law.Status(e.AsOf), law.Note))
	}
	if len(t.Rows) > 0 {
		e.add(t)
	}
}
