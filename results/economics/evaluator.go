package economics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Units of results that no price is quoted in; those of prices are in [Keys].
var (
	perMWh   = Unit{"$/MWh", 1 / MWh}
	perMW    = Unit{"$/MW", 1e-6}
	yearlyMW = Unit{"$/MW/year", 1e-6 / Year}
	percent  = Unit{"%", 0.01}
	perBTC   = Unit{"$/BTC", 1}
	perTH    = Unit{"J/TH", PerTH}
	daily    = Unit{"$/day", 1 / Day}
	dollars  = Unit{"$", 1}
	running  = Unit{"$/1000 h", 1 / (1000 * Hour)}

	difficulties = Unit{"T", 1e12}
)

// Evaluate computes what each candidate earns and costs at each use. A missing
// price leaves out what needs it, and a warning or the figure's reason names
// it. Candidates keep their order: nothing is ranked.
func Evaluate(candidates []Candidate, p Prices, asOf time.Time) Result {
	e := &evaluator{Result: Result{AsOf: asOf, Questions: []Question{}, Banner: p.banner(asOf), Warnings: p.Warnings(asOf), inputs: map[string]Input{}, prices: &p}, p: &p, ids: map[string]int{}, unfit: map[string]Figure{}}
	e.sheet()
	var mining, plates, training []use
	trained := false
	for _, c := range candidates {
		for _, m := range c.Mining {
			e.measure(m.Efficiency, m.Power)
			if known(m.Efficiency) {
				mining = append(mining, mine(&p, c, m))
			}
		}
		for _, t := range c.Training {
			e.measure(t.PerJoule, t.Power, t.FlopRate)
			trained = trained || known(t.PerJoule) || known(t.Power)
			if known(t.PerJoule) && p.has(t.price()) {
				training = append(training, train(&p, c.Name, t, false))
			}
			if known(t.Power) && p.has("gpu_hour_price") && t.GPUs > 0 {
				training = append(training, train(&p, c.Name, t, true))
			}
		}
	}
	for _, n := range nameplates() {
		e.measure(n.Efficiency, n.power())
		m := Mining{Efficiency: n.Efficiency, Power: n.power()}
		u := mine(&p, Candidate{Name: n.Model}, m)
		u.published = true
		plates = append(plates, u)
	}
	miners := slices.Concat(mining, plates)
	e.choose(miners)

	if e.has("mining") {
		e.ledger("mining", "Mining, $/MWh connected", mining)
		e.ledger("mining-published", "Mining with machines as their makers publish them, $/MWh connected", plates)
		e.investment("mining-investment", "Mining as an investment, for each MW connected", "mining_growth", mining)
		e.tornado("mining-tornado", "What the margin of mining depends on, $/MWh connected", mining)
	}
	asics := slices.DeleteFunc(slices.Clone(miners), func(u use) bool { return u.node })
	if e.has("bitcoin") {
		e.bitcoin(miners)
	}
	if e.has("hashprice") {
		e.hashprices(miners)
	}
	if e.has("squeeze") {
		e.squeeze(asics)
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
		e.unsold(candidates)
		e.investment("training-investment", "Owned training as an investment, for each MW connected", "training_growth", training)
		e.tornado("training-tornado", "What the margin of training depends on, $/MWh connected", training)
	}
	if trained && e.has("work") {
		e.costOfWork(candidates)
	}
	if trained && e.has("indifference") {
		e.indifference(asics, training)
	}
	if e.has("retrofit") {
		e.retrofit(asics)
	}
	if e.has("grow") {
		e.grow()
	}
	if slices.ContainsFunc(candidates, func(c Candidate) bool { return len(c.Mullets) > 0 }) && e.has("mullet") {
		e.mullet(candidates)
	}
	e.thresholds(candidates)
	e.Series = slices.DeleteFunc(e.Series, func(s Series) bool {
		return slices.ContainsFunc(slices.Concat(s.At, s.Value, s.Low), func(v float64) bool { return !finite(v) })
	})
	e.Tables = append(e.Tables, p.sheet(asOf))
	return e.Result
}

type evaluator struct {
	Result
	p   *Prices
	ids map[string]int // how often each was used

	unfit map[string]Figure // measured figures on which no verdict may rest
}

// has reports whether a part can be computed, and warns if it cannot.
func (e *evaluator) has(part string) bool {
	t := partOf(part)
	missing := e.p.lacks(t.needs)
	if len(missing) == 0 {
		return true
	}
	e.Warnings = append(e.Warnings, results.Warning{
		Code: "missing-price", Text: fmt.Sprintf("%q is left out: there is no %s", t.title, strings.Join(missing, "; no ")),
		Remedy: "add it to the price sheet: perwatt prices --example shows the line",
	})
	return false
}

// sheet makes inputs of the prices.
func (e *evaluator) sheet() {
	for _, x := range e.p.Sheet {
		f := bare(results.Figure{Value: results.Float(x.Value), Low: results.Float(x.Low), High: results.Float(x.High), Unit: results.Unit(x.Unit)})
		e.inputs[x.Key] = Input{x.Key, f, x.AsOf.Format(time.DateOnly), x.Source, true}
	}
	if h := e.p.Hours; h != nil {
		e.inputs[hourly] = Input{hourly, number(h.Mean(), h.unit()), h.End().Format(time.DateOnly), "mean of the series", false}
	}
}

// measure makes inputs of measured figures.
func (e *evaluator) measure(figures ...Figure) {
	for _, f := range figures {
		if f.Unit == "" {
			continue
		}
		if e.inputs[f.ID] = (Input{Name: f.ID, Figure: f.Figure}); f.Unfit != "" {
			e.unfit[f.ID] = f
		}
	}
}

// choose finds the most efficient miner of those that may be judged, and of all that
// may be ranked or are published where none may. A node mines as a control.
func (e *evaluator) choose(uses []use) {
	for _, u := range uses {
		f := u.metric
		better := e.best.Unit == "" || f.Judged() && !e.best.Judged() || f.Judged() == e.best.Judged() && f.Value < e.best.Value
		if !u.node && f.Unfit == "" && better {
			e.miner, e.best = u.candidate, f
		}
	}
}

// number is a figure without an interval: v, which is in SI units, in a unit of
// the trade.
func number(v float64, unit Unit) results.Figure { return interval(v, math.NaN(), math.NaN(), unit) }

func interval(v, low, high float64, unit Unit) results.Figure {
	return bare(results.Figure{
		Value: results.Float(v / unit.Factor), Low: results.Float(low / unit.Factor), High: results.Float(high / unit.Factor), Unit: results.Unit(unit.Name),
	})
}

// bare is f without watts, infinite numbers, and the unit of a plain number.
func bare(f results.Figure) results.Figure {
	for _, v := range []*results.Float{&f.Value, &f.Low, &f.High} {
		if !finite(float64(*v)) {
			*v = results.Absent()
		}
	}
	f.Instrument = results.Absent()
	if f.Unit == results.Ratio {
		f.Unit = ""
	}
	return f
}

// quote is a price in the unit of its row.
func quote(v float64, unit Unit) Cell {
	f := number(v, unit)
	if f.Value.IsAbsent() {
		f.Reason = results.Reason{Status: NoPrice, Why: "it is not in the price sheet"}
	}
	return shown(Figure{Figure: f, Quoted: true})
}

// add completes a computed figure: its ID is made unique, and it takes the
// provenance of the watts on which it rests. If it is absent it gets a reason:
// the prices it lacks, or otherwise.
func (e *evaluator) add(f Figure, watts results.Provenance, otherwise results.Reason) *Figure {
	f.Provenance, f.Instrument = watts, results.Absent()
	if e.ids[f.ID]++; e.ids[f.ID] > 1 { // two candidates of one name
		f.ID = fmt.Sprintf("%s/%d", f.ID, e.ids[f.ID])
	}
	var inputs, missing []string
	for _, name := range f.Inputs {
		to := &inputs
		if _, ok := e.inputs[name]; !ok {
			to = &missing
		}
		if of, ok := e.unfit[name]; ok && f.Unfit == "" {
			f.Unfit, f.UnfitWhy = of.Unfit, of.UnfitWhy
		}
		if !slices.Contains(*to, name) {
			*to = append(*to, name)
		}
	}
	f.Inputs = inputs
	if f.Value.IsAbsent() {
		f.Low, f.High = results.Absent(), results.Absent()
		if f.Reason = otherwise; len(missing) > 0 {
			f.Reason = results.Reason{Status: NoPrice, Why: "the price sheet has no " + strings.Join(missing, ", ")}
		}
	}
	return &f
}

// Why a figure of economics is absent.
const (
	NoPrice    results.FigureStatus = "no-price"     // a price is missing
	NoBasis    results.FigureStatus = "no-basis"     // it does not follow from what was measured
	NoGPU      results.FigureStatus = "no-gpu"       // GPU-hours of what has no GPU
	NoPayback  results.FigureStatus = "no-payback"   // there is no cash to return the capital
	NoZeroRate results.FigureStatus = "no-zero-rate" // no rate brings the NPV to 0
	Beyond     results.FigureStatus = "beyond"       // it has a value that nothing could reach: tables leave it out
)

var (
	unknown    = results.Reason{Status: NoBasis, Why: "it does not follow from what was measured"}
	noGPU      = results.Reason{Status: NoGPU, Why: "no GPU in the record"}
	never      = results.Reason{Status: NoPayback, Why: "no cash in the first year to pay it back"}
	noZeroRate = results.Reason{Status: NoZeroRate, Why: "no rate brings the NPV to 0"}
)

// number adds a figure without an interval; otherwise is the reason if v is not
// finite though no price is missing.
func (e *evaluator) number(table, row, column string, unit Unit, formula string, v float64, watts results.Provenance, otherwise results.Reason, inputs ...string) Cell {
	return Cell{Figure: e.add(Figure{ID: id(table, row, column), Table: table, Figure: number(v, unit), Formula: formula, Inputs: inputs}, watts, otherwise)}
}

// of adds a figure that follows from the metric of a use by f, which is in SI
// units.
func (e *evaluator) of(u use, table, column string, unit Unit, formula string, f func(x float64) float64, keys ...string) *Figure {
	m := spanning(measuredBy(u.metric.Figure), f)
	return e.add(Figure{
		ID: id(table, u.row(), column), Table: table, Figure: interval(m.Value, m.Low, m.High, unit), Unfit: u.metric.Unfit, UnfitWhy: u.metric.UnfitWhy, Formula: formula, Inputs: append(slices.Clone(keys), u.metric.ID),
	}, u.watts, unknown)
}

// column adds a figure of [columnOf], which follows prices that are tried.
func (e *evaluator) column(u use, table, column string, unit Unit, formula string, keys ...string) Cell {
	f := e.of(u, table, column, unit, formula, u.column(columnIn(table, column)), keys...)
	e.follow(u, f.ID, column)
	return Cell{Figure: f}
}

// price adds a price beside the figures of a use, which follows as well.
func (e *evaluator) price(u use, table string, unit Unit, formula string, keys ...string) Cell {
	const column = "now"
	c := e.number(table, u.row(), column, unit, formula, u.column(columnIn(table, column))(u.value()), noWatts, unknown, keys...)
	e.follow(u, c.Figure.ID, column)
	return c
}

// single is column for a figure without the interval of the metric. otherwise is as in
// [evaluator.number].
func (e *evaluator) single(u use, table, column string, unit Unit, formula string, otherwise results.Reason, keys ...string) Cell {
	c := e.number(table, u.row(), column, unit, formula, u.column(columnIn(table, column))(u.value()), u.watts, otherwise, keys...)
	e.follow(u, c.Figure.ID, column)
	return c
}
