package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/chart"
)

// What candidates earn, in every form of a report: package economics computes
// it, and its typed tables are printed here like all others.

// WritePrices prints a checked price sheet as text.
func WritePrices(w io.Writer, tables []economics.Table, warnings []results.Warning, opt Options) error {
	p := &page{title: []string{"Price sheet"}, state: plural(len(warnings), "warning"), whole: len(warnings) == 0}
	for _, t := range tables {
		p.parts = append(p.parts, moneyPart(t))
	}
	p.parts = append(p.parts, warningsParts(warnings)...)
	return flush(w, p, opt)
}

// ExplainEconomics writes a figure of economics as JSON: as it is printed in
// the tables, its value, its formula, and its inputs likewise. It reports
// whether there is such a figure.
func ExplainEconomics(w io.Writer, r *economics.Result, id string) (bool, error) {
	type printed struct {
		economics.Input
		Printed string `json:"printed"`
	}
	x, ok := r.Explain(id)
	if !ok {
		return false, nil
	}
	out := struct {
		economics.Figure
		Printed string    `json:"printed"`
		Inputs  []printed `json:"inputs"`
	}{Figure: x.Figure, Printed: Figure(x.Figure.Figure), Inputs: []printed{}}
	for _, in := range x.Inputs {
		out.Inputs = append(out.Inputs, printed{in, Figure(in.Figure)})
	}
	return true, WriteJSON(w, "  ", out)
}

// moneyParts is what the candidates earn, for a page without sections.
func moneyParts(r *economics.Result) (parts []part) {
	if r.Banner != "" {
		parts = append(parts, part{notes: []string{results.Line(r.Banner, textLimit)}})
	}
	parts = append(parts, warningsParts(r.Warnings)...)
	for _, t := range r.Tables {
		parts = append(parts, moneyPart(t))
	}
	return parts
}

func warningsParts(warnings []results.Warning) []part {
	var p part
	for _, w := range warnings {
		p.items = append(p.items, item{results.Line(w.Code, nameLimit), results.Line(w.Text+" → "+w.Remedy, textLimit)})
	}
	if len(p.items) == 0 {
		return nil
	}
	return []part{p}
}

// moneyPart lays out a table of economics.
func moneyPart(t economics.Table) part {
	s := &tableBuilder{part: part{title: results.Line(t.Title, textLimit)}}
	for j, of := range t.Columns {
		c := column{head: cell{value: results.Line(of.Head, 80)}, kind: name}
		if of.At != nil {
			c.head.value, _ = Split(*of.At)
		}
		units := map[results.Unit]bool{} // of the trade, which take no prefix
		for _, row := range t.Rows {
			if f := row[j].Figure; f != nil {
				c.kind = figure
				if shapeOf(f.Unit).max > 0 {
					units[""] = true
				}
				units[f.Unit] = true
			}
		}
		one := len(units) == 1 // it stands in the head
		for _, row := range t.Rows {
			x := s.moneyCell(row[j])
			if f := row[j].Figure; one && f != nil {
				unit := results.Line(string(f.Unit), 24)
				c.head.under, x.value = unit, strings.TrimSuffix(x.value, " "+unit)
			}
			c.cells = append(c.cells, x)
		}
		s.columns = append(s.columns, c)
	}
	var notes []string
	for _, n := range t.Notes {
		notes = append(notes, results.Line(n, textLimit))
	}
	return *s.done(notes...)
}

func (s *tableBuilder) moneyCell(c economics.Cell) cell {
	switch {
	case c.Figure != nil:
		x := s.cell(c.Figure.Figure)
		x.id = results.Line(c.Figure.ID, 200)
		return x
	case c.Watts != nil:
		return cell{value: wattsAt(*c.Watts)}
	case c.Verdict == economics.NoVerdict:
		return cell{value: absent}
	case c.Verdict != "":
		return cell{value: string(c.Verdict)}
	}
	return cell{value: results.Line(c.Text, textLimit)}
}

// wattsAt is where the watts of a row were measured, how, and how well.
func wattsAt(p results.Provenance) string {
	if p.Boundary == "" {
		return absent
	}
	return results.Line(fmt.Sprintf("%s · %s · %s", p.Boundary, p.Origin, p.Grade), 3*nameLimit)
}

func money(p Page) section {
	s := section{ID: "economics", Title: "What it earns"}
	if p.Economics == nil {
		s.Lead = []string{"No price sheet was given: hashes and samples per joule are what was measured, and what they are worth is left out. perwatt prices --example writes a sheet to fill in."}
		return s
	}
	if p.Economics.Banner != "" {
		s.Lead = append(s.Lead, "⚠ "+results.Line(p.Economics.Banner, textLimit))
	}
	s.Lead = append(s.Lead, "Mining, colocation and owned training each have a cost boundary of their own and never share a column. Figures marked ~ rest on watts that were not measured.")
	for _, w := range warningsParts(p.Economics.Warnings) {
		s.Blocks = append(s.Blocks, blockOf("", w))
	}
	for _, t := range p.Economics.Tables {
		if t.ID == sheetID {
			continue
		}
		if charts := moneyCharts(p, t); len(charts) > 0 {
			s.Blocks = append(s.Blocks, block{Charts: charts})
		}
		b := blockOf(word(t.ID), moneyPart(t))
		b.Fold = len(t.Rows) > foldedRows
		s.Blocks = append(s.Blocks, b)
	}
	from := block{Title: "Where these figures come from", Fold: true, Table: &htmlTable{ID: "economics-figures", Cols: []col{{Head: "figure"}, {Head: "value", Number: true}, {Head: "formula"}, {Head: "inputs"}}}}
	n := 0
	for f := range p.Economics.Figures() {
		if n++; n > figuresMost {
			continue
		}
		value, bounds := Split(f.Figure)
		from.Table.Rows = append(from.Table.Rows, []td{
			{Text: results.Line(f.ID, 200), Label: "figure", Figure: results.Line(f.ID, 200)}, {Text: value, Under: bounds, Label: "value", Number: true, Sort: exact(f.Value)},
			{Text: results.Line(f.Formula, textLimit), Label: "formula"}, {Text: results.Line(strings.Join(f.Inputs, ", "), textLimit), Label: "inputs"},
		})
	}
	if n > figuresMost {
		from.Notes = append(from.Notes, fmt.Sprintf("%d more: perwatt explain economics/… prints any of them.", n-figuresMost))
	}
	s.Blocks = append(s.Blocks, from)
	return s
}

const foldedRows = 16 // beyond which a table of economics is folded

const figuresMost = 400 // of economics that a page lists

const sheetID = "prices" // of the table that is the price sheet

func prices(p Page) section {
	s := section{ID: "price-sheet", Title: "Price sheet"}
	if p.Economics != nil {
		if t, ok := p.Economics.Table(sheetID); ok {
			s.Blocks = append(s.Blocks, blockOf(word(t.ID), moneyPart(t)))
		}
	}
	return s
}

// moneyCharts draws the curves of a table: what training would have to earn,
// the efficiency that just pays, what a margin hangs on.
func moneyCharts(p Page, t economics.Table) (out []picture) {
	lines := chart.Lines{Head: chart.Head{ID: "m-" + word(t.ID), Title: results.Line(t.Title, 120)}}
	for i, s := range p.Economics.Series {
		if s.Table != t.ID {
			continue
		}
		if len(s.Low) > 0 {
			if strings.HasPrefix(s.Name, p.Comparison.Reference) { // the others are in the table
				out = append(out, tornado(p, t, s, fmt.Sprintf("m-%s-%d", word(t.ID), i))...)
			}
			continue
		}
		lines.X, lines.Y = chart.Axis{Title: results.Line(s.X, 60), Free: true}, chart.Axis{Title: results.Line(s.Y, 60)}
		line := chart.Series{Name: seriesName(s)}
		for j := range s.At {
			line.Points = append(line.Points, chart.LinePoint{X: s.At[j], Y: s.Value[j], Low: math.NaN(), High: math.NaN()})
		}
		lines.Series = append(lines.Series, line)
	}
	switch {
	case len(lines.Series) == 0:
	case t.ID == "break-even":
		return append(out, breakEven(p, t)...)
	default:
		out = append(out, pictured(lines.Head, lines)...)
	}
	return out
}

// seriesName is the name of a curve, or the value for which it holds.
func seriesName(s economics.Series) string {
	if s.Of != nil {
		return Figure(*s.Of)
	}
	return s.Name
}

// tornado shows a series whose values are margins at the low and the high end
// of each input.
func tornado(p Page, t economics.Table, s economics.Series, id string) []picture {
	c := chart.Tornado{Head: chart.Head{ID: id, Title: results.Line(t.Title+": "+s.Name, 120)}, Axis: chart.Axis{Title: results.Line(s.Y, 60), Free: true}}
	base, ok := p.Economics.Figure(strings.Replace(s.ID, "-tornado/", "/", 1) + "/margin")
	if !ok || base.Value.IsAbsent() {
		return nil
	}
	value, _ := Split(base.Figure)
	c.Base, c.BaseText = float64(base.Value), "as priced: "+value
	for i := range s.Names {
		if i < len(s.Low) && i < len(s.Value) && i < tornadoMost {
			c.Rows = append(c.Rows, chart.Swing{Name: s.Names[i], Low: s.Low[i], High: s.Value[i]})
		}
	}
	if len(c.Rows) == 0 {
		return nil
	}
	return pictured(c.Head, c)
}

const tornadoMost = 8 // inputs that are drawn; the table has them all

// breakEven shades the efficiency that just earns its power by whether the
// best candidate of the page that may be ranked, or the best machine as
// published, is under it.
func breakEven(p Page, t economics.Table) []picture {
	who, best := p.Economics.BestMiner()
	limit := float64(best.Value) / economics.PerTH
	m := chart.Matrix{
		Head: chart.Head{ID: "m-break-even", Title: fmt.Sprintf("%s, against %s at %s", results.Line(t.Title, 80), results.Line(who, 40), Quantity(best.Value, best.Unit))},
		Axis: chart.Axis{Title: "J/TH", Unit: ""}, Across: "power price, $/MWh", Down: "hashprice, $/PH/day", Base: limit,
		Better: "earns its power", Worse: "does not", No: "cannot tell",
	}
	for _, s := range p.Economics.Series {
		if s.Table != t.ID {
			continue
		}
		if len(m.Columns) == 0 {
			for _, x := range s.At {
				m.Columns = append(m.Columns, fmt.Sprintf("%g", x))
			}
		}
		m.Rows = append(m.Rows, Quantity(s.Of.Value, ""))
		var row []chart.Cell
		for _, v := range s.Value {
			sign := -1
			if v >= limit {
				sign = 1
			}
			row = append(row, chart.Cell{Figure: chart.Figure{Value: v, Low: math.NaN(), High: math.NaN()}, Sign: sign})
		}
		m.Cells = append(m.Cells, row)
	}
	return pictured(m.Head, m)
}
