package economics

import (
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/stats"
)

// Candidate is a machine and what it was measured to do. A figure without a
// unit was not measured.
type Candidate struct {
	Name     string
	Mining   []Mining
	Training []Training // and other uses that are sold by the GPU-hour; a machine that trains is a node, one that only mines is an ASIC
	Mullets  []Mullet
}

// Mining is mining on the processors of a candidate, on its cards or by a miner.
type Mining struct {
	Device     string // names the cards; empty for the CPU and a miner
	Efficiency Figure // J/hash
	Power      Figure // W
}

// Training is one workload on a candidate.
type Training struct {
	Workload string // training-mlp, or a use that trains nothing, such as compute-bf16
	Device   string // names the cards; empty for the CPU
	GPUs     int    // that worked, by the record; without one there is no GPU-hour to sell
	PerJoule Figure // sample/J or token/J; without a unit where neither is sold
	Power    Figure // W
	FlopRate Figure // useful FLOP/s
}

// named is a workload with what it ran on.
func (t Training) named() string {
	if t.Device == "" {
		return t.Workload
	}
	return t.Workload + " on " + t.Device
}

// price is the key of the price of what training counts: a price of samples is never one
// of tokens.
func (t Training) price() string {
	if t.PerJoule.Unit == results.Token.Per(results.Joule) {
		return "token_price"
	}
	return "training_price"
}

// Mullet is a co-run: mining in the background of a workload.
type Mullet struct {
	Workload  string
	Device    string // as of the workload alone
	Shared    bool   // mining runs on the same cards, time-sliced
	CoRunCost results.CoRunCost
	Unfit     stats.Reason // why no verdict may rest on it
	UnfitWhy  string       // the same as a text
}

// nameLimit is the most of a name from a record, in runes: every lookup of a
// price makes a key of it.
const nameLimit = 80

// Candidates takes from a comparison the figures that prices apply to: those of
// each use alone and the cost of its co-runs, over all sessions.
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
						f.Unfit, f.UnfitWhy = unfit(g)
						return f
					}
					w := Training{Workload: results.Line(t.Scenario, nameLimit), Device: results.Line(r.Device, nameLimit), GPUs: gpus(r.On), Power: measured(results.Power), FlopRate: measured(results.FlopRate)}
					switch {
					case t.Use == "mining":
						e.Mining = append(e.Mining, Mining{w.Device, measured(results.EnergyPerWork), w.Power})
					case t.Trains():
						w.PerJoule = measured(results.WorkPerEnergy)
						e.Training = append(e.Training, w)
					case w.GPUs > 0 && (t.Use == "compute" || strings.HasPrefix(t.Use, "compute-")):
						e.Training = append(e.Training, w)
					}
				}
			}
		}
		for _, co := range cand.CoRuns() {
			m := Mullet{Workload: results.Line(co.Front, nameLimit), Device: results.Line(co.Device, nameLimit), Shared: co.Shared, CoRunCost: co.CoRunCost}
			m.Unfit, m.UnfitWhy = unfitInFront(c, cand.ID, co.Device)
			e.Mullets = append(e.Mullets, m)
		}
		out = append(out, e)
	}
	return out
}

// unfit is why no verdict may rest on the figures of a group, if it may not be ranked.
func unfit(g compare.Group) (reason stats.Reason, why string) {
	if g.Ranked {
		return "", ""
	}
	return g.Reason, results.Line("it is not ranked, "+g.Why, 400)
}

// unfitInFront is why no verdict may rest on the co-runs of a candidate with something
// in front on a device.
func unfitInFront(c *compare.Comparison, candidate, device string) (reason stats.Reason, why string) {
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			if t.Role == results.Foreground && !g.Ranked && slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return r.Candidate == candidate && r.Device == device }) {
				return unfit(g)
			}
		}
	}
	return "", ""
}

// gpus counts GPUs. A CPU behind OpenCL is none.
func gpus(on []results.DeviceCount) (n int) {
	for _, d := range on {
		if d.Kind == results.KindGPU {
			n += d.Count
		}
	}
	return n
}
