package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

// What candidates earn, in every form of a report: package economics computes it,
// and its tables become those of package table here.

// WritePrices prints a checked price sheet as text.
func WritePrices(w io.Writer, tables []economics.Table, warnings []results.Warning, opt Options) error {
	p := &table.Page{Title: []string{"Price sheet"}, State: results.Plural(len(warnings), "warning"), Whole: len(warnings) == 0}
	for _, t := range tables {
		p.Add(moneyTable(t))
	}
	p.Add(warned("", warnings))
	return p.WriteText(w, opt.Width, opt.Color)
}

// earnings returns what the candidates earn, for a page without sections.
func earnings(r *economics.Result) []table.Table {
	tables := []table.Table{{}, warned("", r.Warnings), questions(r)}
	if r.Banner != "" {
		tables[0].Notes = []string{r.Banner}
	}
	for _, t := range r.Tables {
		tables = append(tables, moneyTable(t))
	}
	return tables
}

// questions lists the answers that prices give, each with the title of its table.
func questions(r *economics.Result) table.Table {
	t := table.Table{ID: "economics-questions", Title: "What the prices answer"}
	for _, q := range r.Questions {
		answer := ""
		for _, c := range q.Answer {
			if c.Figure != nil {
				value, _ := table.Split(c.Figure.Figure)
				answer += value
			} else {
				answer += c.Text
			}
		}
		behind, _ := r.Table(q.Table)
		t.Items = append(t.Items, table.Item{About: q.Question, Text: answer + " Table: " + behind.Title + ".", Answer: q.Table})
	}
	return t
}

// moneyTable converts a table of economics.
func moneyTable(t economics.Table) table.Table {
	t = t.Stripped()
	out := table.Table{ID: word(t.ID), Title: t.Title, Notes: t.Notes}
	for j, of := range t.Columns {
		c := table.Column{Head: of.Head, Kind: table.Name, Limit: table.TextLimit}
		if slices.ContainsFunc(t.Rows, func(row []economics.Cell) bool { return row[j].Figure != nil }) {
			c.Kind = table.Value
		}
		for _, row := range t.Rows {
			c.Weight = cmp.Or(c.Weight, weightOf(row[j]))
		}
		out.Columns = append(out.Columns, c)
	}
	for _, row := range t.Rows {
		var line []table.Cell
		for j, c := range row {
			if t.ID == sheetID && t.Columns[j].Head == "value" {
				c.Text = typed.ReplaceAllStringFunc(c.Text, table.Typeset)
			}
			cell := moneyCell(c)
			if n, ok := cell.(table.Number); ok && strings.HasSuffix(t.ID, "-tornado") {
				n.End = map[string]string{"low": "from", "high": "to"}[t.Columns[j].Head]
				cell = n
			}
			line = append(line, cell)
		}
		out.Row(line...)
	}
	return out
}

// weightOf is the weight of a column with such a cell: what decides stays in sight.
func weightOf(c economics.Cell) int {
	switch {
	case c.Verdict != "", c.Figure != nil && (strings.HasSuffix(c.Figure.ID, "/margin") || strings.HasSuffix(c.Figure.ID, "/daily")):
		return 2
	case c.Watts != nil:
		return -1
	}
	return 0
}

func moneyCell(c economics.Cell) table.Cell {
	switch {
	case c.LeftOut():
		return table.Text{Text: table.Absent, ID: c.Figure.ID}
	case c.Figure != nil && c.Figure.Quoted && !c.Figure.Value.IsAbsent():
		return table.Number{Value: c.Figure.Value, Print: table.Quoted(c.Figure.Value, c.Figure.Unit)}
	case c.Figure != nil:
		return table.Figure{Figure: c.Figure.Figure, ID: c.Figure.ID}
	case c.Watts != nil:
		return text(wattsAt(*c.Watts))
	case c.Verdict == economics.NoVerdict:
		return table.Text{Text: table.Absent, Of: c.Of}
	case c.Verdict != "":
		return table.Text{Text: string(c.Verdict), Of: c.Of}
	}
	return text(c.Text)
}

// typed matches a number as a price sheet has it.
var typed = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

// wattsAt prints boundary, origin and grade of watts.
func wattsAt(p results.Provenance) string {
	if p.Boundary == "" {
		return table.Absent
	}
	return results.Line(fmt.Sprintf("%s · %s · %s", p.Boundary, p.Origin, p.Grade), 3*table.NameLimit)
}

func money(p Page) section {
	s := section{ID: "economics", Title: "What it earns"}
	if p.Economics == nil {
		s.add(block{Table: table.Table{Notes: []string{"No price sheet was given: the page has hashes, samples and tokens per joule, but not what they are worth. perwatt prices --example writes a sheet to fill in."}}})
		return s
	}
	if p.Economics.Banner != "" {
		s.Lead = append(s.Lead, "⚠ "+p.Economics.Banner)
	}
	s.Lead = append(s.Lead, "Mining, colocation and owned training each have a cost boundary of their own: where they stand side by side, each row says what its margin pays for. Figures marked ~ rest on watts that were not measured.")
	p.briefly(&s)
	s.add(block{Table: questions(p.Economics)})
	behind := block{Table: table.Table{Title: "The tables and charts behind it"}, Fold: true}
	if n := len(p.Economics.Warnings); n > 0 {
		s.add(block{Table: warned(results.Plural(n, "warning")+" about the prices", p.Economics.Warnings), Fold: true})
	}
	for _, t := range p.Economics.Tables {
		if t.ID == sheetID {
			continue
		}
		if n := len(t.Rows); n > moneyRows {
			t.Rows = t.Rows[:moneyRows]
			t.Notes = append(slices.Clip(t.Notes), fmt.Sprintf("The first %d of %d rows: perwatt compare with --prices and --format csv has all of them.", moneyRows, n))
		}
		behind.Blocks = append(behind.Blocks, full(block{Charts: moneyCharts(p, t), Table: moneyTable(t), Fold: true})...)
	}
	s.add(behind)
	return s
}

const moneyRows = 60 // of a table of economics that a page shows

const sheetID = "prices" // of the table that is the price sheet

func prices(p Page) section {
	s := section{ID: "price-sheet", Title: "Price sheet"}
	if p.Economics != nil {
		if t, ok := p.Economics.Table(sheetID); ok {
			s.add(block{Table: moneyTable(t)})
		}
	}
	return s
}

// moneyCharts draws the curves of a table: the price that training needs, the
// break-even efficiency, and the inputs that a margin depends on.
func moneyCharts(p Page, t economics.Table) (out []picture) {
	var axes []string // of prices in one unit each
	lines := map[string]*chart.Lines{}
	for i, s := range p.Economics.Series {
		if s.Table != t.ID {
			continue
		}
		if len(s.Low) > 0 {
			if strings.HasPrefix(s.Name+" ", p.Comparison.Reference+" ") { // the others are in the table
				out = append(out, tornado(p, t, s, fmt.Sprintf("m-%s-%d", word(t.ID), i))...)
			}
			continue
		}
		of := lines[s.Y]
		if of == nil {
			name := "m-" + word(t.ID)
			if len(axes) > 0 {
				name += fmt.Sprint("-", len(axes)+1)
			}
			of = &chart.Lines{Head: chart.Head{ID: name, Title: results.Line(t.Title, 120), Table: word(t.ID)}, X: chart.Axis{Title: results.Line(s.X, 60), Free: true}, Y: chart.Axis{Title: results.Line(s.Y, 60), Free: true}}
			axes, lines[s.Y] = append(axes, s.Y), of
		}
		if k := slices.IndexFunc(of.Series, func(o chart.Series) bool {
			return slices.EqualFunc(o.Points, s.Value, func(p chart.LinePoint, v float64) bool { return p.Y == v })
		}); k >= 0 { // one line for both, which a script splits where they part
			of.Series[k].ID, of.Series[k].Name = of.Series[k].ID+" "+s.ID, of.Series[k].Name+", "+s.Name
			continue
		}
		line := chart.Series{ID: s.ID, Name: s.Name}
		for j := range s.At {
			line.Points = append(line.Points, chart.LinePoint{X: s.At[j], Y: s.Value[j], Low: math.NaN(), High: math.NaN()})
		}
		of.Series = append(of.Series, line)
	}
	if t.ID == "break-even" && len(axes) > 0 {
		return append(out, breakEven(p, t)...)
	}
	for _, y := range axes {
		out = append(out, pictured(lines[y].Head, *lines[y])...)
	}
	return out
}

// tornado draws the margins at the low and the high end of each input.
func tornado(p Page, t economics.Table, s economics.Series, id string) []picture {
	c := chart.Tornado{Head: chart.Head{ID: id, Title: results.Line(t.Title+": "+s.Name, 120), Table: word(t.ID)}, Axis: chart.Axis{Title: results.Line(s.Y, 60), Free: true}}
	base, ok := p.Economics.Figure(strings.Replace(s.ID, "-tornado/", "/", 1) + "/margin")
	if !ok || base.Value.IsAbsent() {
		return nil
	}
	value, _ := table.Split(base.Figure)
	c.Base, c.BaseText, c.BaseID = float64(base.Value), "as priced: "+value, base.ID
	for i := range s.Names {
		if i < len(s.Low) && i < len(s.Value) && i < tornadoMost {
			c.Rows = append(c.Rows, chart.Swing{ID: s.Rows[i], Name: strings.ReplaceAll(s.Names[i], "_", " "), Low: s.Low[i], High: s.Value[i]})
		}
	}
	if len(c.Rows) == 0 {
		return nil
	}
	return pictured(c.Head, c)
}

const tornadoMost = 8 // inputs that are drawn; the table has them all

// breakEven shades the efficiency that just earns its power by whether the best
// machine, ranked on the page or as published, is below it: a verdict only where its
// watts carry one.
func breakEven(p Page, t economics.Table) []picture {
	who, best := p.Economics.BestMiner()
	if best.Value.IsAbsent() {
		return nil // nothing is below or above it
	}
	limit := float64(best.Value) / economics.PerTH
	m := chart.Matrix{
		Head: chart.Head{ID: "m-break-even", Title: fmt.Sprintf("%s, against %s at %s", results.Line(t.Title, 80), results.Line(who, 40), table.Quantity(best.Value, best.Unit)), Table: word(t.ID)},
		Axis: chart.AxisOf("", "J/TH"), Across: "power price, $/MWh", Down: "hashprice, times that of the sheet", Base: limit,
		Better: "earns its power", Worse: "does not", Live: true,
	}
	if !best.Judged() {
		m.Better, m.Worse = "above what is published or not ranked", "below it"
	}
	for _, s := range p.Economics.Series {
		if s.Table != t.ID {
			continue
		}
		if len(m.Columns) == 0 {
			for _, x := range s.At {
				m.Columns = append(m.Columns, table.Round(x, 6))
			}
		}
		m.Rows = append(m.Rows, strings.TrimSuffix(s.Name, " × hashprice")+" ×")
		var row []chart.Cell
		for _, v := range s.Value {
			row = append(row, chart.Cell{Value: v, Better: v >= limit})
		}
		m.Cells = append(m.Cells, row)
	}
	return pictured(m.Head, m)
}
