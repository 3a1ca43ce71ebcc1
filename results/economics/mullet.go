package economics

import (
	"math"
	"slices"
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
		at := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Head == "verdict" })
		var options []Option
		for _, row := range t.Rows {
			o := Option{Name: "behind " + row[1].Text + " on " + row[0].Text, Why: row[6].Figure.Why, Verdict: row[at].Verdict}
			for _, c := range row[6:at] {
				o.of(c.Figure)
			}
			options = append(options, o)
		}
		e.ask("Mullet or not, on this power contract?", t.ID, options)
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
	l.terms, l.from = u.terms, u.from
	l.setHashprice()
	l.set(PoolFee, "pool_fee")
	l.set(PUE, "pue_training")
	l.setPower()
	credit := l.credit()
	l.terms[Watts] = float64(w.Power.Value)
	u.terms, u.from = l.terms, l.from
	inputs := slices.Concat(l.keys, u.revenueKeys, []string{w.Power.ID, u.metric.ID})
	who, what := d.Name, w.named()
	if co.Device != "" {
		who += " " + what
	}
	if co.Shared {
		who, what = who+" shared", what+", time-sliced"
	}
	extra := Figure{Figure: m.ExtraPower}
	parts := []measure{measuredBy(m.HashesGained), measuredBy(m.ExtraPower), measuredBy(m.TrainingKept), measuredBy(u.metric.Figure)}
	of := func(column string, v []float64) float64 { return coRunOf(t.ID+"/"+column, u.kind, u.terms, v) }
	figure := func(column, formula string, f func(v []float64) float64, more ...string) Cell {
		in := quadrature(f, parts)
		return Cell{Figure: e.add(Figure{
			ID: id(t.ID, who, column), Table: t.ID, Figure: interval(in.Value, in.Low, in.High, running), Formula: formula, Inputs: slices.Concat(inputs, more), Unfit: co.Unfit, UnfitWhy: co.UnfitWhy,
		}, weakest(extra, w.Power), unknown)}
	}
	plain := func(column, formula string) Cell {
		return figure(column, formula, func(v []float64) float64 { return of(column, v) })
	}
	left := plain("left", "earn − power − forgone")
	row := []Cell{
		label(d.Name), label(what), watts(extra), plain("earn", "hash/s × hashprice × (1 − pool fee)"), plain("power", "extra W × PUE × power price"), plain("forgone", "(1 − kept in front) × revenue in front"), left,
		{Verdict: judge(left.Figure.Figure, left.Figure.Unfit, Earns, Loses), Of: left.Figure.ID},
	}
	e.uses = append(e.uses, evaluated{use: u, ids: []string{starred(left.Figure.ID, "left")}, parts: parts, left: left.Figure, against: -1})
	if left.Figure.Unfit != "" {
		t.note("No verdict rests on %s: %s.", d.Name, left.Figure.UnfitWhy)
	}
	if h := e.p.Hours; h != nil {
		row = slices.Insert(row, 7, figure("switched", "mean of max(extra W × PUE × curtailment credit, earn − extra W × PUE × price of the hour − forgone)", func(v []float64) float64 {
			watts := v[1] * u.terms[PUE]
			if watts <= 0 {
				return math.NaN() // nothing is drawn that could be switched off
			}
			return curtailment((of("earn", v)-of("forgone", v))/watts, credit, h.Prices).Curtail * watts
		}, hourly))
	}
	t.Rows = append(t.Rows, row)
}
