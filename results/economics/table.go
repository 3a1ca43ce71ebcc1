package economics

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// Result is what the candidates earn at the prices of a sheet. It is typed to
// the last cell: whoever prints it chooses digits, signs and marks.
type Result struct {
	AsOf      time.Time         `json:"as_of"`
	Banner    string            `json:"banner,omitempty"` // to be printed above everything else
	Warnings  []results.Warning `json:"warnings"`
	Questions []Question        `json:"questions"` // that the tables answer, in their order
	Tables    []Table           `json:"tables"`
	Series    []Series          `json:"series"`

	inputs map[string]Input // by name
	best   Figure           // of the most efficient miner, as BestMiner returns it
	miner  string
	prices *Prices
	uses   []evaluated
	grid   *use // whose terms those of the break-even table are; nil without one
	pairs  []pair
}

// Table is one table of a result.
type Table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Columns []Column `json:"columns"`
	Rows    [][]Cell `json:"rows"` // one cell per column
	Notes   []string `json:"notes,omitempty"`
}

// Column is the head of a column.
type Column struct {
	Head string `json:"head,omitempty"`
}

// Cell holds one of its fields, or nothing.
type Cell struct {
	Text    string              `json:"text,omitempty"`
	Figure  *Figure             `json:"figure,omitempty"`
	Watts   *results.Provenance `json:"watts,omitempty"` // where the watts of the row were measured
	Verdict Profitability       `json:"verdict,omitempty"`
	Of      string              `json:"-"` // ID of the figure on which a verdict rests, where it follows from the sign of that
}

// Profitability is the side of 0 on which a gain lies. A [stats.Verdict] compares
// a candidate with a reference; this compares one machine with its costs.
type Profitability string

const (
	Earns      Profitability = "earns" // a margin above 0
	Loses      Profitability = "loses"
	BelowPrice Profitability = "below the price" // a cost that the price covers
	AbovePrice Profitability = "above the price"
	CannotTell Profitability = "cannot tell" // the interval holds 0
	NoVerdict  Profitability = "none"        // the figure is unknown, or no verdict may rest on it
)

// Figure is one number and what it was made of. Its unit is the one in which
// the trade quotes it, such as $/MWh, unless it is measured.
type Figure struct {
	ID    string `json:"id,omitempty"`    // economics/TABLE/ROW/COLUMN, or that of a measured figure; empty for a price
	Table string `json:"table,omitempty"` // ID of the table
	// The interval is that of the measurement alone, instrument included. The
	// provenance is that of the watts on which the figure rests.
	results.Figure
	Unfit    stats.Reason `json:"unfit_reason,omitempty"` // why no verdict may rest on it
	UnfitWhy string       `json:"unfit,omitempty"`        // the same as a text
	Quoted   bool         `json:"-"`                      // a price, known to every digit
	Formula  string       `json:"formula,omitempty"`      // empty for what is measured or a price
	Inputs   []string     `json:"inputs,omitempty"`       // names of the prices and measured figures in it
}

// Judged reports whether a gain or a loss may be concluded from a figure: its watts were
// measured, leave out no part of the node, and may be ranked.
func (f Figure) Judged() bool {
	return isMeasured(f.Provenance) && !partial(f.Boundary) && f.Unfit == ""
}

// Input is a price or a measured figure.
type Input struct {
	Name string `json:"name"`
	results.Figure
	AsOf   string `json:"as_of,omitempty"` // day of a price
	Source string `json:"source,omitempty"`
	Quoted bool   `json:"-"` // a price, known to every digit
}

// Explanation is a figure with its inputs.
type Explanation struct {
	Figure
	Inputs []Input `json:"inputs"`
}

// Series is a curve to be drawn.
type Series struct {
	ID    string    `json:"id"`
	Table string    `json:"table"` // ID of the table with its numbers
	Name  string    `json:"name"`
	X     string    `json:"x"` // axis titles, with units
	Y     string    `json:"y"`
	At    []float64 `json:"at"`
	Value []float64 `json:"value"`
	// For a tornado: the inputs, and the margins at their low ends. Value holds
	// the margins at the high ends.
	Names []string  `json:"names,omitempty"`
	Rows  []string  `json:"-"` // IDs of the figures of the inputs, up to the last slash
	Low   []float64 `json:"low,omitempty"`
}

// Table returns a table by its ID.
func (r *Result) Table(id string) (Table, bool) {
	i := slices.IndexFunc(r.Tables, func(t Table) bool { return t.ID == id })
	if i < 0 {
		return Table{}, false
	}
	return r.Tables[i], true
}

// Figures yields the figures that were computed, table by table: each where it was
// computed, not where it is shown again.
func (r *Result) Figures() iter.Seq[Figure] {
	return func(yield func(Figure) bool) {
		for _, t := range r.Tables {
			for _, row := range t.Rows {
				for _, c := range row {
					if c.Figure != nil && c.Figure.Formula != "" && c.Figure.Table == t.ID && !yield(*c.Figure) {
						return
					}
				}
			}
		}
	}
}

// Figure returns a computed figure by its ID.
func (r *Result) Figure(id string) (Figure, bool) {
	for f := range r.Figures() {
		if f.ID == id {
			return f, true
		}
	}
	return Figure{}, false
}

// Explanations yields the figures that were computed, each with its inputs.
func (r *Result) Explanations() iter.Seq[Explanation] {
	return func(yield func(Explanation) bool) {
		for f := range r.Figures() {
			if !yield(r.explained(f)) {
				return
			}
		}
	}
}

// Explain returns a computed figure with its inputs.
func (r *Result) Explain(id string) (Explanation, bool) {
	f, ok := r.Figure(id)
	return r.explained(f), ok
}

func (r *Result) explained(f Figure) Explanation {
	x := Explanation{Figure: f, Inputs: []Input{}}
	for _, name := range f.Inputs {
		x.Inputs = append(x.Inputs, r.inputs[name])
	}
	return x
}

// BestMiner returns the least J/hash of the miners that may be judged, or else of those
// that may be ranked or that a maker publishes, and the machine's name. Processors and
// cards that mine are no miners.
func (r *Result) BestMiner() (name string, efficiency Figure) { return r.miner, r.best }

func label(s string) Cell { return Cell{Text: s} }
func watts(f Figure) Cell { return Cell{Watts: &f.Provenance} }
func shown(f Figure) Cell { return Cell{Figure: &f} }
func heads(h ...string) []Column {
	var out []Column
	for _, s := range h {
		out = append(out, Column{Head: s})
	}
	return out
}

// id joins parts to the ID of a figure or series.
func id(parts ...string) string {
	slugs := []string{"economics"}
	for _, p := range parts {
		slugs = append(slugs, slug(p))
	}
	return strings.Join(slugs, "/")
}
