package economics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// Table is ready to be shown.
type Table struct {
	ID    string     `json:"id"`
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
	Notes []string   `json:"notes,omitempty"`
}

// Figure is one number of a table, and what it was made of.
type Figure struct {
	ID       string        `json:"id"`    // economics/TABLE/ROW/COLUMN: the same for the same input
	Table    string        `json:"table"` // its ID
	Value    results.Float `json:"value"`
	Low      results.Float `json:"low"` // of the measurement alone; null if there is no interval
	High     results.Float `json:"high"`
	Unit     string        `json:"unit"`
	Modelled bool          `json:"modelled"`        // not measured: marked ~, no verdict
	Unfit    string        `json:"unfit,omitempty"` // why no verdict may rest on it; empty if one may
	Formula  string        `json:"formula"`
	Inputs   []string      `json:"inputs"` // price keys and measured figures
}

// Series is a curve to be drawn.
type Series struct {
	ID    string    `json:"id"`
	Table string    `json:"table"` // where its numbers stand
	Name  string    `json:"name"`
	X     string    `json:"x"` // what the axes are, with units
	Y     string    `json:"y"`
	At    []float64 `json:"at"`
	Value []float64 `json:"value"`
	// Of a tornado: the inputs, and the margins at their low ends; Value is at
	// the high ones.
	Names []string  `json:"names,omitempty"`
	Low   []float64 `json:"low,omitempty"`
}

const absent = "–"

// num prints four significant digits.
func num(v float64) string { return fixed(v, decimals(v)) }

func decimals(v float64) int {
	if v = math.Abs(v); v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return max(0, 3-int(math.Floor(math.Log10(v))))
}

func fixed(v float64, decimals int) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return absent
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case a != 0 && (a < 1e-4 || a >= 1e9):
		return strconv.FormatFloat(v, 'e', 3, 64)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// plain prints a value as somebody would type it.
func plain(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// cell prints a figure: ~96.89 [95.01, 98.80].
func (f Figure) cell() string {
	v, lo, hi := float64(f.Value), float64(f.Low), float64(f.High)
	if math.IsNaN(v) {
		return absent
	}
	d := decimals(v)
	s := fixed(v, d)
	if f.Modelled {
		s = "~" + s
	}
	if !math.IsNaN(lo) && !math.IsNaN(hi) && lo != hi {
		s += fmt.Sprintf(" [%s, %s]", fixed(lo, d), fixed(hi, d))
	}
	return s
}

// verdict says on which side of 0 an interval lies: nothing of what was not
// measured or is not known, and no gain from watts that are not the node's.
func (f Figure) verdict(above, below string, at results.Boundary) string {
	switch {
	case f.Modelled || f.Unfit != "" || f.Value.IsAbsent():
		return absent
	case f.Low > 0 && !inside(at):
		return above
	case f.High < 0:
		return below
	}
	return "cannot tell"
}

// doubt notes why no verdict rests on an option, if none does.
func (t *Table) doubt(o option) {
	if o.unfit == "" {
		return
	}
	if n := fmt.Sprintf("No verdict rests on %s: %s.", o.name, o.unfit); !slices.Contains(t.Notes, n) {
		t.Notes = append(t.Notes, n)
	}
}

// plainly prints a measured figure in the unit that the tables quote.
func plainly(m results.Figure) string {
	switch m.Unit {
	case results.Joule.Per(results.Hash):
		return num(float64(m.Value)/PerTH) + " J/TH"
	case results.Sample.Per(results.Joule):
		return num(float64(m.Value)) + " samples/J"
	}
	return num(float64(m.Value)) + " " + string(m.Unit)
}

// inside reports whether watts at a boundary leave out a part of the node.
func inside(b results.Boundary) bool {
	return slices.Contains([]results.Boundary{results.Board, results.Package, results.Card, results.Memory}, b)
}

// watts says where the watts of a metric were counted, and how.
func watts(m results.Figure) string {
	if m.Boundary == "" {
		return absent
	}
	return fmt.Sprintf("%s · %s · %s", m.Boundary, m.Origin, m.Grade)
}

func modelled(ms ...results.Figure) bool {
	return slices.ContainsFunc(ms, func(m results.Figure) bool { return m.Grade == "E" || m.Origin != results.Measured })
}

// known reports whether there is a figure to work with.
func known(m results.Figure) bool { return m.Unit != "" && m.Value > 0 && finite(float64(m.Value)) }

// span is f over the value of m and its interval: that of the repeats, widened
// in quadrature by what the instrument adds.
func span(m results.Figure, f func(float64) float64) (v, lo, hi float64) {
	x := float64(m.Value)
	wide := func(bound results.Float) float64 {
		d := float64(bound) - x
		if !m.Instrument.IsAbsent() {
			d = math.Copysign(math.Hypot(d, x*float64(m.Instrument)*stats.Rectangular), d)
		}
		return math.Max(x+d, x*1e-9)
	}
	a, b := f(wide(m.Low)), f(wide(m.High))
	return f(x), min(a, b), max(a, b)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func id(parts ...string) string {
	slugs := []string{"economics"}
	for _, p := range parts {
		slugs = append(slugs, Slug(p))
	}
	return strings.Join(slugs, "/")
}
