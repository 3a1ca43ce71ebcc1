package compare

import (
	"errors"
	"fmt"
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

// Input is one window that went into a figure.
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
	results.Throughput:    "sum of work ÷ sum of seconds, over all windows; interval: of one session a ratio estimator's, of several a cluster bootstrap's",
	results.Power:         "sum of energy ÷ sum of seconds, over all windows",
	results.WorkPerEnergy: "sum of work ÷ sum of energy, over all windows",
	results.EnergyPerWork: "sum of energy ÷ sum of work, over all windows",
	results.FlopRate:      "sum of work × useful FLOP per count ÷ sum of seconds, over all windows",
	results.PeakFraction:  "FLOP rate ÷ peak FLOP rate of the device",
	"index":               "work per energy of the candidate ÷ that of the reference; the instruments' uncertainty is added in quadrature, without what cancels on a shared meter",
	"exchange":            "work per energy of mining ÷ work per energy of training, of one candidate",
	"advantage":           "exchange rate of the candidate ÷ that of the reference",
}

// Figures lists the names of all figures, in the order of the comparison.
func (c *Comparison) Figures() (ids []string) {
	for ti := range c.Tables {
		for _, g := range c.Tables[ti].Groups {
			for _, r := range g.Rows {
				for _, m := range []string{results.Throughput, results.Power, results.WorkPerEnergy, results.EnergyPerWork, results.FlopRate, results.PeakFraction} {
					if _, ok := r.Figures[m]; ok {
						ids = append(ids, r.ID+"/"+m)
					}
				}
				if !r.Index.Value.IsAbsent() {
					ids = append(ids, r.ID+"/index")
				}
			}
		}
	}
	for _, e := range c.Exchange {
		ids = append(ids, e.Candidate+"/"+e.Scenario+"/exchange", e.Candidate+"/"+e.Scenario+"/advantage")
	}
	return ids
}

// Explain names the records, windows and formula behind a figure.
func (c *Comparison) Explain(id string) (Explanation, error) {
	e := Explanation{Figure: id, Inputs: []Input{}, Notes: []string{}}
	last := strings.LastIndexByte(id, '/')
	if last < 0 || !slices.Contains(c.Figures(), id) {
		return e, fmt.Errorf("compare: %w as %.120q: perwatt compare --format json and the page name them", ErrFigure, id)
	}
	row, metric := id[:last], id[last+1:]
	e.Formula = formulas[metric]
	if metric == "exchange" || metric == "advantage" {
		for _, x := range c.Exchange {
			if x.Candidate+"/"+x.Scenario != row {
				continue
			}
			e.Value, e.Origin = x.Rate, x.Origin
			if metric == "advantage" {
				e.Value = x.Advantage
				e.uses(c, c.Reference, x.Scenario)
			}
			e.uses(c, x.Candidate, x.Scenario)
		}
		return e, nil
	}
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			for i := range g.Rows {
				r := &g.Rows[i]
				if r.ID != row {
					continue
				}
				e.Value, e.Origin = r.Figures[metric], r.Figures[metric].Origin
				if metric == "index" {
					e.Value, e.Origin = r.Index, r.Index.Origin
					if ref, _ := t.row(c.Reference); ref != nil && ref != r {
						e.inputs(c, ref)
					}
					e.Notes = append(e.Notes, fmt.Sprintf("verdict: %s: %s", r.Verdict.Word, r.Verdict.Why))
				}
				e.inputs(c, r)
				if !g.Ranked {
					e.Notes = append(e.Notes, "not ranked: "+g.Why)
				}
			}
		}
	}
	return e, nil
}

// uses adds the windows of a candidate's training and of its mining.
func (e *Explanation) uses(c *Comparison, candidate, scenario string) {
	for i := range c.Tables {
		t := &c.Tables[i]
		if r, _ := t.row(candidate); r != nil && t.Role == results.Alone && (t.Scenario == scenario || t.Use == "mining") {
			e.inputs(c, r)
		}
	}
}

// inputs adds the windows of a row.
func (e *Explanation) inputs(c *Comparison, r *Row) {
	for _, cand := range c.Candidates {
		if cand.ID != r.Candidate {
			continue
		}
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
}
