package economics

import (
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
)

// Candidate is a machine and what it was measured to do. A figure without a
// unit was not measured.
type Candidate struct {
	Name        string
	Mining      Figure     // J/hash
	MiningPower Figure     // W
	Training    []Training // a machine that trains is a node, one that only mines is an ASIC
	Mullet      *Mullet
}

// Training is one workload on a candidate.
type Training struct {
	Workload string
	PerJoule Figure // sample/J
	Power    Figure // W
	FlopRate Figure // useful FLOP/s
}

// Mullet is a co-run: mining in the background of a training workload.
type Mullet struct {
	Workload  string
	CoRunCost results.CoRunCost
}

// nameLimit is the most of a name from a record, in runes: every lookup of a
// price makes a key of it.
const nameLimit = 80

// Candidates takes from a comparison the figures that prices apply to: those of
// each use alone, over all sessions. The cost of a co-run is that of a
// candidate's first session.
func Candidates(c *compare.Comparison) []Candidate {
	var out []Candidate
	for i := range c.Candidates {
		cand := &c.Candidates[i]
		e := Candidate{Name: results.Line(cand.ID, nameLimit)}
		for _, t := range c.Tables {
			if t.Role != results.Alone {
				continue
			}
			for _, g := range t.Groups {
				for _, r := range g.Rows {
					if r.Candidate != cand.ID {
						continue
					}
					measured := func(name string) Figure {
						m, ok := r.Figures[name]
						if !ok {
							return Figure{}
						}
						f := Figure{ID: r.ID + "/" + name, Figure: m}
						if !g.Ranked {
							f.Unfit, f.UnfitWhy = g.Reason, results.Line("it is not ranked, "+g.Why, 400)
						}
						return f
					}
					switch t.Use {
					case "mining":
						e.Mining, e.MiningPower = measured(results.EnergyPerWork), measured(results.Power)
					case "training":
						e.Training = append(e.Training, Training{results.Line(t.Scenario, nameLimit), measured(results.WorkPerEnergy), measured(results.Power), measured(results.FlopRate)})
					}
				}
			}
		}
		if model, cost := cand.CoRun(); model != "" && cost != nil {
			e.Mullet = &Mullet{results.Line("training-"+model, nameLimit), *cost}
		}
		out = append(out, e)
	}
	return out
}
