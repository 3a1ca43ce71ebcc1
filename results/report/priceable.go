package report

import (
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
)

// Priceable is what a comparison measured, as prices are laid on it: the
// figures of all sessions together, each with its boundary and origin. What
// only a single record has (the mullet's margins) is that of a candidate's
// first.
func Priceable(c *compare.Comparison, records []*results.Record) economics.Input {
	in := economics.Input{Print: func(m results.Figure) string {
		value, _ := Split(m)
		return value
	}}
	first := map[string]*results.Record{}
	for _, cand := range c.Candidates {
		for _, r := range records {
			if len(cand.Records) > 0 && r.ID == cand.Records[0].ID {
				first[cand.ID] = r
			}
		}
	}
	for _, cand := range c.Candidates {
		e := economics.Candidate{Name: results.Line(cand.ID, 80)}
		rec := first[cand.ID]
		for _, t := range c.Tables {
			if t.Role != results.Alone {
				continue
			}
			for _, g := range t.Groups {
				for _, r := range g.Rows {
					if r.Candidate != cand.ID {
						continue
					}
					figure := func(name string) results.Figure {
						i, ok := r.Figures[name]
						if !ok {
							return results.Figure{}
						}
						m := metricFrom(i, g.Origin)
						m.Boundary, m.Grade, m.N = g.Boundary, g.Grade, r.Windows
						return m
					}
					unfit := ""
					if !g.Ranked {
						unfit = "it is not ranked, " + results.Line(g.Why, textLimit)
					}
					switch t.Use {
					case "mining":
						e.Unfit = unfit
						e.Mining, e.MiningPower = figure(results.EnergyPerWork), figure(results.Power)
					case "training":
						e.Training = append(e.Training, economics.Training{Workload: results.Line(t.Scenario, 80), PerJoule: figure(results.WorkPerEnergy), Power: figure(results.Power), FlopRate: figure(results.FlopRate), Unfit: unfit})
					}
				}
			}
		}
		if rec != nil && rec.Summary.CoRunCost != nil {
			if model := mulletModel(rec); model != "" {
				e.Mullet = &economics.Mullet{Workload: "training-" + results.Line(model, 80), CoRunCost: *rec.Summary.CoRunCost}
			}
		}
		in.Candidates = append(in.Candidates, e)
	}
	return in
}

// mulletModel is the network in the foreground of a record's mullet.
func mulletModel(rec *results.Record) string {
	for _, r := range rec.Runs {
		for _, u := range r.Uses {
			if u.Role == results.Foreground {
				return u.Params["model"]
			}
		}
	}
	return ""
}
