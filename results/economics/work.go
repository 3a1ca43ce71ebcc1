package economics

import (
	"cmp"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// costOfWork is what a million samples or tokens costs to make on each candidate, and
// what it costs by the GPU-hour at the rent of the sheet: at one rent the faster card
// makes them cheaper.
func (e *evaluator) costOfWork(candidates []Candidate) {
	t := Table{ID: "work", Title: "What a million samples or tokens costs to make", Columns: heads("workload", "candidate", "measured", "watts at", "power", "operations", "capital", "in all", "by the GPU-hour")}
	type made struct {
		name string
		Training
	}
	var all []made
	for _, c := range candidates {
		for _, w := range c.Training {
			if known(w.PerJoule) && known(w.Power) {
				all = append(all, made{c.Name, w})
			}
		}
	}
	results.SortStable(all, func(a, b made) int { return cmp.Compare(a.Workload, b.Workload) })
	for _, w := range all {
		u := train(e.p, w.name, w.Training, false)
		u.product = w.named() // sold or not
		l := lookupFor(e.p, w.Workload, w.name)
		l.terms, l.from = u.terms, u.from
		l.set(GPUHour, "gpu_hour_price")
		l.rented(w.Training)
		u.terms, u.from = l.terms, l.from
		figure := func(column, formula string, keys []string) Cell {
			return e.column(u, t.ID, column, u.sale, formula, append(slices.Clone(keys), "training_utilisation", "pue_training")...)
		}
		row := []Cell{
			label(w.Workload), label(nameOn(w.name, w.Device)), shown(u.metric), watts(u.metric),
			figure("power", "power price × PUE ÷ (samples/J × utilisation)", u.powerKeys),
			figure("operations", "operations × PUE ÷ (samples/J × utilisation)", u.operationsKeys),
			figure("capital", "capital × PUE ÷ (samples/J × utilisation)", slices.Concat(u.capitalKeys, u.power)),
			figure("all", "power + operations + capital", slices.Concat(u.powerKeys, u.operationsKeys, u.capitalKeys, u.power)),
			{},
		}
		if w.GPUs > 0 {
			row[8] = e.column(u, t.ID, "rent", u.sale, "rent × GPUs ÷ (samples/J × W)", slices.Concat(l.keys, u.power)...)
		}
		for i, c := range row {
			if c.Figure != nil && c.Figure.Formula != "" {
				row[i] = c.within(u.priced(), u.sale)
			}
		}
		t.unfit(u)
		t.Rows = append(t.Rows, row)
	}
	if len(t.Rows) > 0 {
		e.append(t, noteInterval, "Own machines pay for the hours in which they are not sold; rented ones cost only while they work. Samples and tokens of one workload are alike, those of two are not.")
	}
}

// nameOn is a candidate with the cards on which it ran.
func nameOn(candidate, device string) string {
	if device == "" {
		return candidate
	}
	return candidate + " on " + device
}
