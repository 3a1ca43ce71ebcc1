package report

import (
	"fmt"
	"io"
	"slices"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/site"
)

// What is printed of a fleet, at most: some tens of lines whatever its size.
const (
	printedNodes = 12 // outliers, and nodes with wrong answers, each
	printedRacks = 12
)

// WriteFleet prints what the records of a fleet tell to w in a format of every page, or
// as CSV: every figure of every node, one a line. The JSON form of an analysis is itself.
func WriteFleet(w io.Writer, format Format, p FleetPage, opt Options) error {
	return write(w, format, "the report of a fleet", func() *table.Page { return printedFleet(p) }, opt, map[Format]func(io.Writer) error{
		CSV: func(w io.Writer) error { return fleetValues(p.Analysis).WriteCSV(w) },
	})
}

// printedFleet has the tables of the page of a fleet without what it draws.
func printedFleet(p FleetPage) *table.Page {
	a := p.Analysis
	f := fleet{Analysis: a, worst: worstPoints(a)}
	of := f.verdict()
	page := &table.Page{
		Title: []string{"Fleet " + results.Line(a.Roster.Name, 60), things(len(a.Nodes), "node"), results.Line(a.Roster.Engine, 40)},
		State: of.Head, Whole: !a.Faults() && a.Counts[site.Missing] == 0,
	}
	notes := table.Table{}
	for _, s := range of.Sentences {
		line := ""
		for _, part := range s {
			line += part.Text
		}
		notes.Notes = append(notes.Notes, line)
	}
	racks, switches := f.notable("rack", a.Racks), f.notable("switch", a.Switches)
	page.Add(notes,
		titled("Wrong answers", table.Bad, firstOf(f.wrong(), printedNodes, "node")),
		titled("Completion", 0, f.completion()),
		titled("Nodes without a figure", table.Caution, firstOf(f.missing(), printedNodes, "reason")),
		titled("Outliers", table.Bad, firstOf(f.off(), printedNodes, "node")),
		titled("Racks", 0, racks), titled("What the meters of racks read", 0, firstOf(f.facility(), 3*printedRacks, "row")), titled("Switches", 0, switches),
		titled("Equal nodes", 0, firstOf(f.spread(), printedNodes, "figure")),
		titled("What the site delivers and draws", 0, f.totals()),
	)
	if len(a.Mix) > 0 {
		page.Add(titled("What the power of the site is best spent on", 0, f.mix()))
	}
	if a.Economics != nil {
		page.Add(warned("", a.Economics.Warnings))
	}
	page.Add(warned("Warnings", a.Warnings))
	if p.Command != "" {
		page.Foot = []string{p.Command}
	}
	return page
}

func titled(title string, tone table.Tone, t table.Table) table.Table {
	t.Title, t.Tone = title, tone
	return t
}

// firstOf keeps the first rows of a table and counts the others.
func firstOf(t table.Table, most int, what string) table.Table {
	if n := len(t.Rows) - most; n > 0 {
		t.Rows = t.Rows[:most]
		t.Notes = append(slices.Clip(t.Notes), fmt.Sprintf("and %s: --format csv and json have all of them", results.Plural(n, "more "+what)))
	}
	return t
}

// notable are the racks of which something is to be said; the others are counted.
func (f *fleet) notable(what string, all []site.Rack) table.Table {
	var some []site.Rack
	for _, r := range all {
		if _, off := f.offMost(&r); off > 0 || r.Power != "" && r.Power != site.Within || len(all) <= printedRacks {
			some = append(some, r)
		}
	}
	if len(all) < 2 && len(some) > 0 && some[0].Power == "" {
		return table.Table{} // the rack is the site
	}
	t := firstOf(f.racks("", what, some), printedRacks, what)
	if n := len(all) - len(some); n > 0 && len(some) > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s not listed: nothing is off there as a whole.", results.Plural(n, what)))
	}
	return t
}

// fleetValues is every figure of every node, one a row, and a row for a node without any.
func fleetValues(a *site.Analysis) table.Table {
	t := table.Table{Columns: table.Named("node", "rack", "switch", "state", "conclusion", "why", "machine", "scenario", "use", "device", "impl", "threads", "metric",
		"value", "low", "high", "unit", "boundary", "origin", "grade", "median", "deviation", "score", "limit", "of_figure")}
	type at struct{ figure, point int }
	of := make([][]at, len(a.Nodes))
	for i := range a.Figures {
		for j, p := range a.Figures[i].Points {
			of[p.Node] = append(of[p.Node], at{i, j})
		}
	}
	for i := range a.Nodes {
		n := &a.Nodes[i]
		start := []table.Cell{text(n.Name), text(n.Rack), text(n.Switch), text(n.State), text(n.Health), text(n.Why), text(n.Hardware)}
		if len(of[i]) == 0 {
			t.Row(append(start, make([]table.Cell, len(t.Columns)-len(start))...)...)
		}
		for _, x := range of[i] {
			d := &a.Figures[x.figure]
			p := &d.Points[x.point]
			t.Row(append(slices.Clone(start), text(d.Scenario), text(d.Use), text(d.Device), text(d.Impl), number(d.Threads), text(d.Metric),
				number(p.Value), number(p.Low), number(p.High), text(d.Unit), text(d.Boundary), text(d.Origin), text(d.Grade),
				number(d.Median), number(p.Deviation), number(p.Score), number(d.Limit), text(p.Health))...)
		}
	}
	return t
}
