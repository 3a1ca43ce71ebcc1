package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io"
	"iter"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
)

// Where a figure comes from: the command perwatt explain and the panel of a page say
// the same, since both take it from [measuredFrom] and [pricedFrom].

// recordsNamed is how many records of a figure are listed; its windows, which the
// command prints, name them all.
const recordsNamed = 12

// measuredFrom lists the formula, the provenance and the records of a measured figure.
func measuredFrom(e compare.Explanation) []table.Item {
	items := []table.Item{{About: "formula", Text: e.Formula}}
	if e.Value.Boundary != "" {
		items = append(items, table.Item{About: "watts", Text: wattsAt(e.Value.Provenance)})
	}
	type sum struct {
		name, digest string
		windows      int
		work, energy results.Float
	}
	var sums []sum
	at := map[string]int{}
	for _, in := range e.Inputs {
		i, ok := at[in.Record]
		if !ok {
			i = len(sums)
			at[in.Record], sums = i, append(sums, sum{name: cmp.Or(in.File, in.Record), digest: in.Digest})
		}
		s := &sums[i]
		s.windows++
		s.work += in.Work
		s.energy += in.Energy // absent if one window has none
	}
	for _, s := range sums[:min(len(sums), recordsNamed)] {
		text := fmt.Sprintf("%s, sha256 %.12s: %s, %s counts", results.Line(s.name, 3*table.NameLimit), results.Line(s.digest, 64), results.Plural(s.windows, "window"), table.Round(float64(s.work), 6))
		if !s.energy.IsAbsent() {
			text += ", " + table.Round(float64(s.energy), 6) + " J"
		}
		items = append(items, table.Item{About: "record", Text: text})
	}
	if n := len(sums) - recordsNamed; n > 0 {
		items = append(items, table.Item{About: "record", Text: fmt.Sprintf("%d more", n)})
	}
	for _, n := range e.Notes {
		items = append(items, table.Item{About: "note", Text: table.Sentence(n, table.TextLimit)})
	}
	return items
}

// pricedFrom lists the formula and the inputs of a figure of economics.
func pricedFrom(x economics.Explanation) []table.Item {
	items := []table.Item{{About: "formula", Text: x.Formula}}
	if x.Boundary != "" {
		items = append(items, table.Item{About: "watts", Text: wattsAt(x.Provenance)})
	}
	for _, in := range x.Inputs {
		text := input(in)
		if in.AsOf != "" {
			text += ", of " + results.Line(in.AsOf, 24)
		}
		if in.Source != "" {
			text += ": " + results.Line(in.Source, table.TextLimit)
		}
		items = append(items, table.Item{About: results.Line(in.Name, 80), Text: text})
	}
	if x.UnfitWhy != "" {
		items = append(items, table.Item{About: "note", Text: "No verdict rests on it: " + results.Line(x.UnfitWhy, table.TextLimit)})
	}
	return items
}

// input prints a price as its sheet has it, and what was measured as the tables do.
func input(in economics.Input) string {
	if in.Quoted {
		return table.Quoted(in.Value, in.Unit)
	}
	return table.One(in.Figure)
}

// WriteExplanation prints where a measured figure comes from.
func WriteExplanation(w io.Writer, e compare.Explanation, opt Options) error {
	p := &table.Page{Title: []string{e.Figure}, State: table.One(e.Value), Whole: true}
	t := table.Table{Title: "Windows", Columns: []table.Column{
		{Head: "record", Under: "sha256", Kind: table.Name, Limit: 3 * table.NameLimit}, {Head: "run", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "window", Kind: table.Name}, {Head: "work", Under: "counts"}, {Head: "energy", Under: "J"},
	}}
	for _, in := range e.Inputs {
		var energy table.Cell = text(table.Absent)
		if !in.Energy.IsAbsent() {
			energy = table.Number{Value: in.Energy, Print: table.Round(float64(in.Energy), 6)}
		}
		t.Row(table.Text{Text: cmp.Or(in.File, in.Record), Under: results.Line(in.Digest, 13)}, table.Text{Text: fmt.Sprintf("%s/%d", results.Line(in.Scenario, table.NameLimit), in.Round)},
			table.Text{Text: table.Round(float64(in.From), 6) + "–" + table.Round(float64(in.To), 6) + " s"}, table.Number{Value: in.Work, Print: table.Round(float64(in.Work), 6)}, energy)
	}
	p.Add(table.Table{Title: "Where it comes from", Items: measuredFrom(e)}, t)
	return p.WriteText(w, opt.Width, opt.Color)
}

// WriteEconomicsExplanation prints where a figure of economics comes from. It reports
// whether there is such a figure.
func WriteEconomicsExplanation(w io.Writer, r *economics.Result, id string, opt Options) (bool, error) {
	x, ok := r.Explain(id)
	if !ok {
		return false, nil
	}
	p := &table.Page{Title: []string{x.ID}, State: table.One(x.Figure.Figure), Whole: true}
	p.Add(table.Table{Title: "Where it comes from", Items: pricedFrom(x)})
	return true, p.WriteText(w, opt.Width, opt.Color)
}

// ExplainEconomics writes a figure of economics as JSON, with its formula and its
// inputs, each with its value and as the tables print it. It reports whether there
// is such a figure.
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
	}{Figure: x.Figure, Printed: table.One(x.Figure.Figure), Inputs: []printed{}}
	for _, in := range x.Inputs {
		out.Inputs = append(out.Inputs, printed{in, input(in)})
	}
	return true, WriteJSON(w, "  ", out)
}

// explainedMost bounds the explanations in a page, in bytes. Of what is beyond, the
// page has the command that explains it.
const explainedMost = 120_000

// explanations yields what explains the figures of a page, the measured ones first.
func (p Page) explanations() iter.Seq2[string, []table.Item] {
	return func(yield func(string, []table.Item) bool) {
		for id, explained := range p.Comparison.Explanations() {
			if !yield(id, measuredFrom(explained())) {
				return
			}
		}
		if p.Economics == nil {
			return
		}
		for x := range p.Economics.Explanations() {
			if !yield(x.ID, pricedFrom(x)) {
				return
			}
		}
	}
}

// explained is the explanations as JSON for the page's script, in a script element
// that no browser runs. A line that several figures share is there once.
func explained(p Page) template.HTML {
	data := struct {
		Lines [][2]string               `json:"lines"`
		Texts [][]int                   `json:"texts"` // each of lines
		Of    map[string]map[string]int `json:"of"`    // a figure's name, up to its last slash and behind it → its text
	}{Lines: [][2]string{}, Texts: [][]int{}, Of: map[string]map[string]int{}}
	known, texts, size := map[table.Item]int{}, map[string]int{}, 0
	for id, items := range p.explanations() {
		var at []int
		for _, it := range items {
			i, ok := known[it]
			if !ok {
				i = len(data.Lines)
				known[it], data.Lines = i, append(data.Lines, [2]string{it.About, it.Text})
				size += len(it.About) + len(it.Text) + 8
			}
			at = append(at, i)
			size += 5
		}
		if size += len(id) + 8; size > explainedMost {
			break
		}
		id = results.Line(id, table.FigureLimit)
		cut := strings.LastIndexByte(id, '/') + 1
		if data.Of[id[:cut]] == nil {
			data.Of[id[:cut]] = map[string]int{}
		}
		key := fmt.Sprint(at)
		text, ok := texts[key]
		if !ok {
			text = len(data.Texts)
			texts[key], data.Texts = text, append(data.Texts, at)
		}
		data.Of[id[:cut]][id[cut:]] = text
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, "", data); err != nil { // it escapes <, > and &
		return ""
	}
	return template.HTML(`<script type="application/json" id="explained">` + strings.TrimSpace(out.String()) + `</script>`) // #nosec G203 -- the encoder escapes < > & in what is foreign, and JSON is not run
}
