package economics

import (
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// The mullet: training in front, mining in the background of the same node.

func (e *evaluator) mullet(candidates []Candidate) {
	t := Table{ID: "mullet", Title: "Mining in the background of training, $ per node and 1000 hours", Columns: heads("candidate", "workload", "watts at", "hashes earn", "extra power costs", "training forgone", "left", "verdict"), Notes: []string{
		"From the cost of the co-run over the candidate's sessions. The interval is that of its hashes, its watts and what is kept in front, each alone, in quadrature.",
	}}
	if e.p.Hours != nil {
		t.Columns = slices.Insert(t.Columns, 7, Column{Head: "left, switched"})
		t.note("Switched, mining in the background is off in the hours in which it leaves less than the curtailment credit for its power.")
	}
	for _, d := range candidates {
		for _, co := range d.Mullets {
			e.behind(&t, d, co)
		}
	}
	if len(t.Rows) > 0 {
		e.append(t)
		e.mulletOrNot(t)
	}
}

// behind adds the co-run of a candidate to a table. What is forgone in front is the
// revenue of its samples or tokens, or else of its GPU-hours.
func (e *evaluator) behind(t *Table, d Candidate, co Mullet) {
	m := co.CoRunCost
	i := slices.IndexFunc(d.Training, func(t Training) bool { return t.Workload == co.Workload && t.Device == co.Device })
	if i < 0 || !known(d.Training[i].Power) {
		return
	}
	w := d.Training[i]
	rent := !known(w.PerJoule) || w.GPUs > 0 && !e.p.has(w.price())
	if rent && w.GPUs == 0 {
		return
	}
	u := train(e.p, d.Name, w, rent)
	l := lookupFor(e.p, d.Name)
	perHash, pue := l.hashprice()*(1-l.get("pool_fee")), l.get("pue_training")
	power, credit := l.power(), l.credit()
	inputs := slices.Concat(l.keys, u.revenueKeys, []string{w.Power.ID, u.metric.ID})
	who, what := d.Name, w.named()
	if co.Device != "" {
		who += " " + what
	}
	if co.Shared {
		who, what = who+" shared", what+", time-sliced"
	}
	extra := Figure{Figure: m.ExtraPower}
	parts := []results.Figure{m.HashesGained, m.ExtraPower, m.TrainingKept, u.metric.Figure}
	figure := func(column, formula string, f func(hashes, watts, kept, forgone float64) float64, more ...string) Cell {
		in := quadrature(func(v []float64) float64 {
			return f(v[0]*perHash, v[1]*pue, v[2], (1-v[2])*u.ledger(v[3]).Revenue*float64(w.Power.Value)*pue)
		}, parts)
		return Cell{Figure: e.add(Figure{
			ID: id(t.ID, who, column), Table: t.ID, Figure: interval(in.Value, in.Low, in.High, running), Formula: formula, Inputs: slices.Concat(inputs, more), Unfit: co.Unfit, UnfitWhy: co.UnfitWhy,
		}, weakest(extra, w.Power), unknown)}
	}
	left := figure("left", "earn − power − forgone", func(earn, watts, _, forgone float64) float64 { return earn - watts*power - forgone })
	row := []Cell{
		label(d.Name), label(what), watts(extra),
		figure("earn", "hash/s × hashprice × (1 − pool fee)", func(earn, _, _, _ float64) float64 { return earn }),
		figure("power", "extra W × PUE × power price", func(_, watts, _, _ float64) float64 { return watts * power }),
		figure("forgone", "(1 − kept in front) × revenue in front", func(_, _, _, forgone float64) float64 { return forgone }), left,
		judged(judge(left.Figure.Figure, left.Figure.Unfit, Earns, Loses)),
	}
	if left.Figure.Unfit != "" {
		t.note("No verdict rests on %s: %s.", d.Name, left.Figure.UnfitWhy)
	}
	if h := e.p.Hours; h != nil {
		row = slices.Insert(row, 7, figure("switched", "mean of max(extra W × PUE × curtailment credit, earn − extra W × PUE × price of the hour − forgone)", func(earn, watts, _, forgone float64) float64 {
			if watts <= 0 {
				return math.NaN() // nothing is drawn that could be switched off
			}
			return curtailment((earn-forgone)/watts, credit, h.Prices).Curtail * watts
		}, hourly))
	}
	t.Rows = append(t.Rows, row)
}

// quadrature is f of figures, with the interval that follows from moving each to its
// ends with the others fixed: that of the repeats, widened by what the instrument adds.
// Without an interval of a figure on which f depends there is none.
func quadrature(f func(v []float64) float64, figures []results.Figure) measure {
	at := make([]float64, len(figures))
	for i, m := range figures {
		at[i] = float64(m.Value)
	}
	value := f(at)
	var down, up float64
	for i, m := range figures {
		moved := slices.Clone(at)
		moved[i]++
		if f(moved) == value {
			continue
		}
		var low, high float64
		for _, end := range []results.Float{m.Low, m.High} {
			add := 0.0
			if !m.Instrument.IsAbsent() {
				add = at[i] * float64(m.Instrument) * stats.Rectangular
			}
			d := float64(end) - at[i]
			moved[i] = at[i] + math.Copysign(math.Hypot(d, add), d)
			by := f(moved) - value
			low, high = min(low, by), max(high, by)
		}
		down, up = math.Hypot(down, low), math.Hypot(up, high)
	}
	return measure{value, value - down, value + up, math.NaN()}
}
