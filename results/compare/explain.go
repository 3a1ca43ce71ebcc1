package compare

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// Explanation is the formula and the inputs of a figure.
type Explanation struct {
	Figure  string         `json:"figure"`
	Value   results.Figure `json:"value"`
	Origin  results.Origin `json:"origin,omitempty"` // of the watts in it
	Formula string         `json:"formula"`
	Inputs  []Input        `json:"inputs"`
	Notes   []string       `json:"notes"`
}

// Input is one window of a figure.
type Input struct {
	Record   string        `json:"record"`
	File     string        `json:"file,omitempty"`
	Digest   string        `json:"digest"`
	Scenario string        `json:"scenario"`
	Round    int           `json:"round"`
	From     results.Float `json:"from"` // s of the record's clock
	To       results.Float `json:"to"`
	Work     results.Float `json:"work"`
	Energy   results.Float `json:"energy"` // J
}

// ErrFigure is wrapped when there is no figure of that name.
var ErrFigure = errors.New("no such figure")

// formulas are the definitions of figures.
var formulas = map[string]string{
	results.Throughput:        "sum of work ÷ sum of seconds, over all windows; interval: of one session a ratio estimator's, of several a cluster bootstrap's",
	results.Power:             "sum of energy ÷ sum of seconds, over all windows",
	results.WorkPerEnergy:     "sum of work ÷ sum of energy, over all windows",
	results.EnergyPerWork:     "sum of energy ÷ sum of work, over all windows",
	results.FlopRate:          "sum of work × useful FLOP per count ÷ sum of seconds, over all windows",
	results.PeakFraction:      "FLOP rate ÷ peak FLOP rate of the device",
	results.ScalingEfficiency: "throughput of several cards that train one model ÷ (cards × throughput of one of them alone, in the same session and with the same batch)",
	"index":                   "work per energy of the candidate ÷ that of the reference; the instruments' uncertainty is added in quadrature, without what cancels on a shared meter",
	MachineIndex:              "the same of both machines as a whole: each by its best device at the use",
	"exchange":                "work per energy of mining ÷ work per energy of training, of one candidate",
	"advantage":               "exchange rate of the candidate ÷ that of the reference",
}

// named are the metrics of a row that have names, in their order.
var named = []string{results.Throughput, results.Power, results.WorkPerEnergy, results.EnergyPerWork, results.FlopRate, results.PeakFraction, results.ScalingEfficiency}

// figures yields the name of every figure, in the order of the comparison, with a
// function that explains it.
func (c *Comparison) figures() iter.Seq2[string, func(*Explanation)] {
	return func(yield func(string, func(*Explanation)) bool) {
		for i := range c.Tables {
			t := &c.Tables[i]
			for g, r := range t.rows() {
				explain := func(e *Explanation, f results.Figure) {
					e.Value, e.Origin = f, f.Origin
					e.inputs(c, r)
					if !g.Ranked {
						e.Notes = append(e.Notes, "not ranked: "+g.Why)
					}
				}
				for _, m := range named {
					if f, ok := r.Figures[m]; ok && !yield(r.ID+"/"+m, func(e *Explanation) { explain(e, f) }) {
						return
					}
				}
				if !r.Index.Value.IsAbsent() && !yield(r.ID+"/index", func(e *Explanation) {
					for _, ref := range t.rows() {
						if ref.ID == r.ref && ref != r {
							e.inputs(c, ref)
						}
					}
					e.Notes = append(e.Notes, fmt.Sprintf("verdict: %s: %s", r.Verdict.Word, r.Verdict.Why))
					explain(e, r.Index)
				}) {
					return
				}
			}
		}
		for p := range c.machineIndexes {
			if !yield(p.IndexID(), func(e *Explanation) {
				e.Value, e.Origin = p.Index, p.Index.Origin
				if p.of != p.row {
					e.inputs(c, p.of)
				}
				e.inputs(c, p.row)
			}) {
				return
			}
		}
		for _, x := range c.Exchange {
			name := x.Candidate + "/" + x.Scenario
			if x.Device != "" {
				name += "/" + x.Device
			}
			if !yield(name+"/exchange", func(e *Explanation) {
				e.Value, e.Origin = x.Rate, x.Origin
				e.uses(c, x.Candidate, x.Scenario, x.Device)
			}) || !yield(name+"/advantage", func(e *Explanation) {
				e.Value, e.Origin = x.Advantage, x.Origin
				e.uses(c, c.Reference, x.Scenario, x.Device)
				e.uses(c, x.Candidate, x.Scenario, x.Device)
			}) {
				return
			}
		}
	}
}

// Figures lists the names of all figures, in the order of the comparison.
func (c *Comparison) Figures() (ids []string) {
	for id := range c.figures() {
		ids = append(ids, id)
	}
	return ids
}

// Explanations yields the name of every figure, in the order of the comparison, with
// what returns its explanation.
func (c *Comparison) Explanations() iter.Seq2[string, func() Explanation] {
	return func(yield func(string, func() Explanation) bool) {
		for id, explain := range c.figures() {
			if !yield(id, func() Explanation {
				e := Explanation{Figure: id, Formula: formulas[id[strings.LastIndexByte(id, '/')+1:]], Inputs: []Input{}, Notes: []string{}}
				explain(&e)
				return e
			}) {
				return
			}
		}
	}
}

// Explain returns the records, windows and formula behind a figure.
func (c *Comparison) Explain(id string) (Explanation, error) {
	for name, explained := range c.Explanations() {
		if name == id {
			return explained(), nil
		}
	}
	return Explanation{}, fmt.Errorf("compare: %w as %.120q: perwatt compare --format json and the page name them", ErrFigure, id)
}

// uses adds the windows of a candidate's training and of its mining on a device, or
// on that of its own which is held against it.
func (e *Explanation) uses(c *Comparison, candidate, scenario, device string) {
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Role != results.Alone || t.Scenario != scenario && t.Use != "mining" {
			continue
		}
		if r := like(t.measured()[candidate], &Row{Device: device}); r != nil {
			e.inputs(c, r)
		}
	}
}

// inputs adds the windows of a row.
func (e *Explanation) inputs(c *Comparison, r *Row) {
	cand := &c.Candidates[slices.IndexFunc(c.Candidates, func(cand Candidate) bool { return cand.ID == r.Candidate })]
	for _, x := range r.of {
		rec := cand.records[x.record]
		for _, w := range x.windows {
			from, to := w.Span()
			e.Inputs = append(e.Inputs, Input{
				Record: rec.ID, File: cand.Records[x.record].File, Digest: rec.Digest.Record, Scenario: w.Scenario, Round: w.Round,
				From: from, To: to, Work: finite(float64(w.Work)), Energy: finite(float64(w.Energy)),
			})
		}
	}
}
