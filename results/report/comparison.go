package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/stats"
)

// WriteComparison prints a comparison, and what the candidates earn if that is
// known, to w in a format of every page or as CSV. The bench form of a comparison is
// that of its records, [WriteBench]; its JSON form is itself.
func WriteComparison(w io.Writer, format Format, p Page, opt Options) error {
	return write(w, format, "a comparison", func() *table.Page { return comparisonPage(p) }, opt, map[Format]func(io.Writer) error{
		CSV: func(w io.Writer) error { return comparedValues(p).WriteCSV(w) },
	})
}

// WriteBench prints the windows of several records as Go benchmark lines.
func WriteBench(w io.Writer, records []*results.Record) error {
	var out bytes.Buffer
	bench := newBenchWriter(&out)
	for _, rec := range records {
		if err := bench.write(rec); err != nil {
			return fmt.Errorf("report: write record %s as bench: %w", results.Line(rec.ID, 40), err)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

func comparisonPage(of Page) *table.Page {
	c := of.Comparison
	p := &table.Page{
		Title: []string{results.Plural(len(c.Candidates), "candidate") + " compared", "reference " + results.Line(c.Reference, 40), "margin " + table.Percent(c.Margin)},
		Whole: len(c.Excluded) == 0,
	}
	v := verdictOf(of)
	p.Add(table.Table{Title: "Verdict", Notes: v.lines()})
	p.Add(warned("Warnings", c.Warnings))
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			p.Add(groupTable(t, g))
		}
	}
	for i := range p.Tables {
		if some, _ := p.Tables[i].Intervals(); some {
			p.Tables[i].Notes = append(p.Tables[i].Notes, "Brackets hold 95 % intervals.")
			break
		}
	}
	if _, why := c.Standing(); why != "" {
		p.Add(table.Table{Notes: []string{why}})
	}
	p.Add(exchange(c), mixes(c), comparedClaims(c))
	if of.Economics != nil {
		p.Add(earnings(of.Economics)...)
	}
	p.Add(differences(c), excluded(c))
	if of.Command != "" {
		p.Foot = append(p.Foot, of.Command)
	}
	for _, cand := range c.Candidates {
		for _, r := range cand.Records {
			p.Foot = append(p.Foot, fmt.Sprintf("%s: record %s, %s, sha256 %.12s", results.Line(cand.ID, 40), cmp.Or(results.Printable(r.File), results.Line(r.ID, 40)), minute(r.Start), results.Line(r.Digest, 64)))
		}
	}
	return p
}

// warned lists warnings, each with its remedy.
func warned(title string, all []results.Warning) table.Table {
	t := table.Table{Title: title, Tone: table.Caution}
	for _, w := range all {
		t.Add(results.Line(w.Code, table.NameLimit), results.Line(w.Text, table.TextLimit)+" → "+results.Line(w.Remedy, table.TextLimit))
	}
	return t
}

// provenanceOf prints boundary, origin and grade of the watts of a group.
func provenanceOf(g compare.Group) string {
	if g.Boundary == "" {
		return "no watts"
	}
	at := wattsAt(results.Provenance{Boundary: g.Boundary, Origin: g.Origin, Grade: g.Grade})
	if g.Together {
		at += ", together with other nodes"
	}
	return at
}

func groupTable(t compare.Table, g compare.Group) table.Table {
	out := table.Table{Title: fmt.Sprintf("%s, %s", results.Line(t.ID(), 60), provenanceOf(g))}
	if !g.Ranked {
		out.Title += ": not ranked, " + results.Line(g.Why, table.TextLimit)
	}
	indexed := len(g.Rows) > 1 && slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return !r.Index.Value.IsAbsent() })
	out.Columns = []table.Column{
		{Head: "place", Kind: table.Name, Weight: -1}, {Head: "candidate", Under: "kernel", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "sessions", Under: "× windows", Kind: table.Name, Weight: -1},
		{Head: "throughput"}, {Head: "power"}, {Head: "per joule", Weight: 2}, {Head: "energy per work", Weight: -1}, {Head: "of the FMA peak", Under: "its own", Weight: -1},
		{Head: "index", Under: "of work per joule", With: true, Weight: 2}, {Head: "verdict", Kind: table.Words, Weight: 2},
	}
	if t.Trains() {
		out.Columns[7].Under = "MFU"
		out.Notes = append(out.Notes, noteMFU)
	}
	scales := slices.ContainsFunc(g.Rows, func(r compare.Row) bool { _, ok := r.Figures[results.ScalingEfficiency]; return ok })
	if scales {
		out.Columns = append(out.Columns, table.Column{Head: "scaling efficiency", Under: "of one card alone", Weight: -1})
	}
	if slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return r.Independent }) {
		out.Notes = append(out.Notes, results.NoteIndependent)
	}
	if t.Use == "mining" && slices.ContainsFunc(g.Rows, func(r compare.Row) bool {
		return slices.ContainsFunc(r.On, func(d results.DeviceCount) bool { return d.Kind == results.KindGPU })
	}) {
		out.Notes = append(out.Notes, economics.NoteCards)
	}
	if indexed && slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return r.Device != "" }) {
		out.Notes = append(out.Notes, "An index is against the reference on the same device, or on one of the same kind, or else on its best.")
	}
	for _, r := range g.Rows {
		figure := func(metric string) table.Cell {
			m, ok := r.Figures[metric]
			if !ok {
				return nil
			}
			return table.Figure{Figure: m, ID: r.ID + "/" + metric}
		}
		place := table.Number{Value: results.Float(r.Tie), Print: table.Absent}
		if r.Tie > 0 {
			place.Print = table.Count(r.Tie)
		}
		line := []table.Cell{
			place, table.Text{Text: r.Candidate, Under: strings.TrimPrefix(r.Device+", "+r.Impl, ", ")}, table.Number{Value: results.Float(r.Sessions), Print: fmt.Sprintf("%d × %d", r.Sessions, perSession(r))},
			figure(results.Throughput), figure(results.Power), figure(results.WorkPerEnergy), figure(results.EnergyPerWork), figure(results.PeakFraction),
			nil, nil,
		}
		if !g.Ranked {
			line[0] = nil
		}
		if indexed {
			index := table.Figure{Figure: r.Index, ID: r.ID + "/index"}
			if index.Value.IsAbsent() {
				index.Why = cmp.Or(r.Verdict.Why, "no index in this group")
			}
			line[8], line[9] = index, text(r.Verdict.Word)
		}
		if scales {
			line = append(line, figure(results.ScalingEfficiency))
		}
		out.Row(line...)
		if r.Products != "" {
			out.Notes = append(out.Notes, fmt.Sprintf("%s: %s.", results.Line(r.Name(), 2*table.NameLimit), r.Products))
		}
		if r.Verdict.Why != "" && r.Verdict.Word != stats.NotRanked {
			out.Notes = append(out.Notes, fmt.Sprintf("%s: %s: %s", results.Line(r.Name(), 2*table.NameLimit), r.Verdict.Word, results.Line(r.Verdict.Why, table.TextLimit)))
		}
		if r.Outliers > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("%s: %d of %d windows lie beyond 1.5 interquartile ranges; none was dropped", results.Line(r.Name(), 2*table.NameLimit), r.Outliers, r.Windows))
		}
	}
	return out
}

func perSession(r compare.Row) int { return r.Windows / max(1, r.Sessions) }

func exchange(c *compare.Comparison) table.Table {
	if len(c.Exchange) == 0 {
		return table.Table{}
	}
	t := table.Table{
		ID: "exchange", Title: "Exchange between uses: hashes given up for one unit of training, on the same energy",
		Columns: []table.Column{{Head: "candidate", Kind: table.Name}, {Head: "training", Kind: table.Name}, {Head: "hashes given up"}, {Head: "against the reference"}},
		Notes:   []string{"Below 100 % a candidate gives up less mining for a unit of training than the reference does: its comparative advantage is in training."},
	}
	for _, e := range c.Exchange {
		advantage := e.Advantage
		if advantage.Value.IsAbsent() {
			advantage.Why = "the reference was not measured at both uses"
		}
		t.Row(table.Text{Text: e.Candidate, Under: e.Device}, table.Text{Text: e.Scenario}, table.Figure{Figure: e.Rate}, table.Figure{Figure: advantage})
	}
	return t
}

func mixes(c *compare.Comparison) table.Table {
	if len(c.Mixes) == 0 {
		return table.Table{}
	}
	t := table.Table{
		ID: "mixes", Title: "One kilowatt-hour, shared between mining and training",
		Columns: []table.Column{{Head: "candidate", Under: "training", Kind: table.Name}, {Head: "gives", Kind: table.Name}},
		Notes:   []string{"Both at once is the mullet as it was measured; the others are shares of the energy of each use alone."},
	}
	for _, p := range c.Mixes[0].Points {
		t.Columns = append(t.Columns, table.Column{Head: table.Percent(float64(p.Training)), Under: "to training"})
	}
	t.Columns = append(t.Columns, table.Column{Head: "both at once", Under: "measured"})
	for _, m := range c.Mixes {
		hashes := []table.Cell{table.Text{Text: m.Candidate, Under: strings.TrimSuffix(m.Scenario+" on "+m.Device, " on ")}, text("hashes")}
		samples := []table.Cell{hashes[0], text(table.ShapeOf(trained(m)).Symbol)}
		for _, p := range m.Points {
			hashes = append(hashes, table.Figure{Figure: p.Hashes})
			samples = append(samples, table.Figure{Figure: p.Samples})
		}
		if p := m.Mullet; p != nil {
			hashes, samples = append(hashes, table.Figure{Figure: p.Hashes}), append(samples, table.Figure{Figure: p.Samples})
		} else {
			hashes, samples = append(hashes, text(table.Absent)), append(samples, text(table.Absent))
		}
		t.Row(hashes...)
		t.Row(samples...)
	}
	return t
}

func differences(c *compare.Comparison) table.Table {
	t := table.Table{Title: "What differs besides the hardware under test"}
	for _, d := range c.Differences {
		var words []string
		for i, v := range d.Values {
			words = append(words, results.Line(c.Candidates[i].ID, table.NameLimit)+": "+cmp.Or(results.Line(v, 120), "not known"))
		}
		text := strings.Join(words, " · ")
		if d.Within {
			text += " (also between sessions of one candidate)"
		}
		t.Add(results.Line(d.Fact, 2*table.NameLimit), text)
	}
	t.Items = table.Limited(t.Items)
	return t
}

// comparedClaims lists what the miners of each candidate report of themselves.
func comparedClaims(c *compare.Comparison) table.Table {
	var rows []claimant
	for _, cand := range c.Candidates {
		for _, r := range cand.Claims {
			rows = append(rows, claimant{cand.ID, r})
		}
	}
	return claims(rows)
}

func excluded(c *compare.Comparison) table.Table {
	t := table.Table{Title: "Not used", Tone: table.Bad}
	for _, e := range c.Excluded {
		t.Add(results.Line(e.What, 3*table.NameLimit), e.Why)
	}
	t.Items = table.Limited(t.Items)
	return t
}

// comparedValues is every figure of a comparison, one a row.
func comparedValues(of Page) table.Table {
	c := of.Comparison
	t := table.Table{Columns: table.Named(
		"table", "candidate", "reference", "metric", "value", "low", "high", "unit", "instrument", "boundary", "origin", "grade", "ranked", "place", "verdict", "p", "sessions", "windows", "why",
	)}
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				put := func(metric string, i results.Figure) {
					t.Row(text(tb.ID()), text(r.Name()), text(c.Reference), text(metric), number(i.Value), number(i.Low), number(i.High), text(i.Unit), number(i.Instrument),
						text(g.Boundary), text(g.Origin), text(g.Grade), text(strconv.FormatBool(g.Ranked)), number(r.Tie), text(r.Verdict.Word), number(r.P),
						number(r.Sessions), number(r.Windows), text(cmp.Or(r.Verdict.Why, g.Why)))
				}
				for _, m := range []string{results.Throughput, results.Power, results.WorkPerEnergy, results.EnergyPerWork} {
					if i, ok := r.Figures[m]; ok {
						put(m, i)
					}
				}
				put("index", r.Index)
			}
		}
	}
	if of.Economics != nil {
		for f := range of.Economics.Figures() {
			t.Row(text("economics/"+f.Table), nil, nil, text(f.ID), number(f.Value), number(f.Low), number(f.High), text(f.Unit), nil, text(f.Boundary), text(f.Origin), text(f.Grade), nil, nil, nil, nil, nil, nil, text(f.Formula))
		}
	}
	return t
}

// trained is what the training of a mix counts: samples, or tokens.
func trained(m compare.Mix) results.Unit {
	if len(m.Points) == 0 || m.Points[0].Samples.Unit == "" {
		return results.Sample
	}
	return m.Points[0].Samples.Unit
}
