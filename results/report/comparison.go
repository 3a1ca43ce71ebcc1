package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/stats"
)

// WriteComparison prints a comparison, and what the candidates earn if that is
// known, to w as text, Markdown or CSV. The bench form of a comparison is that
// of its records, [WriteBench]; its JSON form is itself.
func WriteComparison(w io.Writer, format Format, p Page, opt Options) error {
	var out bytes.Buffer
	switch format {
	case Text:
		writeText(&out, comparisonPage(p), opt)
	case Markdown:
		writeMarkdown(&out, comparisonPage(p))
	case CSV:
		if err := comparisonCSV(&out, p); err != nil {
			return err
		}
	default:
		return fmt.Errorf("report: a comparison has no form %q here", results.Line(string(format), 40))
	}
	_, err := w.Write(out.Bytes())
	return err
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

func comparisonPage(of Page) *page {
	c := of.Comparison
	p := &page{
		title: []string{fmt.Sprintf("%s compared", plural(len(c.Candidates), "candidate")), "reference " + results.Line(c.Reference, 40), "margin " + percent(c.Margin)},
		state: Conclusion(c), whole: len(c.Excluded) == 0,
	}
	if w := warnings(c); w != nil {
		p.parts = append(p.parts, *w)
	}
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			p.parts = append(p.parts, groupPart(t, g))
		}
	}
	for _, part := range []*part{exchangePart(c), mixPart(c), claimsPart(c)} {
		if part != nil {
			p.parts = append(p.parts, *part)
		}
	}
	if of.Economics != nil {
		p.parts = append(p.parts, moneyParts(of.Economics)...)
	}
	for _, part := range []*part{differencePart(c), excludedPart(c)} {
		if part != nil {
			p.parts = append(p.parts, *part)
		}
	}
	if of.Command != "" {
		p.foot = append(p.foot, results.Printable(of.Command))
	}
	for _, cand := range c.Candidates {
		for _, r := range cand.Records {
			p.foot = append(p.foot, fmt.Sprintf("%s: record %s, %s, sha256 %.12s", results.Line(cand.ID, 40), cmp.Or(results.Printable(r.File), results.Line(r.ID, 40)), results.Line(r.Start, 24), results.Line(r.Digest, 64)))
		}
	}
	return p
}

// warnings are the doubts about what is compared.
func warnings(c *compare.Comparison) *part {
	if len(c.Warnings) == 0 {
		return nil
	}
	p := &part{title: "Warnings", tone: caution}
	for _, w := range c.Warnings {
		p.items = append(p.items, item{results.Line(w.Code, nameLimit), results.Line(w.Text, textLimit) + " → " + results.Line(w.Remedy, textLimit)})
	}
	p.items = limited(p.items)
	return p
}

// PrimaryMeter is the comparison in one sentence.
func Conclusion(c *compare.Comparison) string {
	if len(c.Candidates) == 1 {
		return alone(c)
	}
	var said []string
	for _, cand := range c.Candidates {
		if cand.ID != c.Reference {
			if s := sentence(c, cand.ID); s != "" {
				said = append(said, s)
			}
		}
	}
	if len(said) == 0 {
		return "Nothing can be ranked: no two candidates have measured watts of one boundary and grade that keep the rules."
	}
	if len(said) > 4 {
		said = append(said[:4:4], fmt.Sprintf("%d more in the tables", len(said)-4))
	}
	return "Work per joule against " + results.Line(c.Reference, 40) + ": " + strings.Join(said, "; ") + "."
}

// alone is what one candidate does per joule at each use.
func alone(c *compare.Comparison) string {
	var said []string
	source := ""
	for _, t := range c.Tables {
		if t.Role != results.Alone {
			continue
		}
		for _, g := range t.Groups {
			for _, r := range g.Rows {
				if i, ok := r.Figures[results.WorkPerEnergy]; ok {
					value, _ := Split(i)
					said, source = append(said, value+" at "+results.Line(t.ID(), 40)), provenanceOf(g)
				}
			}
		}
	}
	who := results.Line(c.Reference, 40)
	if len(said) == 0 {
		return who + " was measured without watts: there is throughput only."
	}
	return fmt.Sprintf("%s gives %s (%s).", who, strings.Join(said, ", "), source)
}

// sentence is what can be said of a candidate over all its uses.
func sentence(c *compare.Comparison, candidate string) string {
	uses := map[stats.Verdict][]string{}
	span := map[stats.Verdict][2]float64{}
	total := 0
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			for _, r := range g.Rows {
				w := r.Verdict.Word
				if r.Candidate != candidate || w == stats.NotRanked || w == stats.Reference {
					continue
				}
				total++
				v := 100 * (float64(r.Index.Value) - 1)
				s, ok := span[w]
				if !ok {
					s = [2]float64{v, v}
				}
				span[w] = [2]float64{min(s[0], v), max(s[1], v)}
				uses[w] = append(uses[w], results.Line(t.ID(), 40))
			}
		}
	}
	var parts []string
	for _, w := range []stats.Verdict{stats.Better, stats.NoWorse, stats.Worse, stats.CannotTell} {
		if len(uses[w]) == 0 {
			continue
		}
		at := "at " + strings.Join(uses[w], ", ")
		if n := len(uses[w]); n == total && n > 1 {
			at = fmt.Sprintf("at all %d uses", n)
		} else if n > 3 {
			at = fmt.Sprintf("at %d of %d uses", n, total)
		}
		part := string(w) + " " + at
		if w == "better" || w == "worse" {
			part += fmt.Sprintf(" (%+.1f to %+.1f %%)", span[w][0], span[w][1])
			if len(uses[w]) == 1 {
				part = fmt.Sprintf("%s %s (%+.1f %%)", w, at, span[w][0])
			}
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	return results.Line(candidate, 40) + " is " + strings.ReplaceAll(strings.Join(parts, ", "), "cannot tell", "not told apart")
}

// provenanceOf says where the watts of a group are from.
func provenanceOf(g compare.Group) string {
	if g.Boundary == "" {
		return "no watts"
	}
	return fmt.Sprintf("%s · %s · %s", g.Boundary, g.Origin, g.Grade)
}

func groupPart(t compare.Table, g compare.Group) part {
	s := &tableBuilder{part: part{title: fmt.Sprintf("%s, %s", results.Line(t.ID(), 60), provenanceOf(g))}}
	if !g.Ranked {
		s.title += ": not ranked, " + results.Line(g.Why, textLimit)
	}
	var places, names, counts, verdicts []cell
	var peaks []*results.Figure
	figures := []struct{ metric, head string }{
		{results.Throughput, "throughput"}, {results.Power, "power"}, {results.WorkPerEnergy, "per joule"}, {results.EnergyPerWork, "energy per work"},
	}
	grid := make([][]*results.Figure, len(figures)+1)
	var notes []string
	for _, r := range g.Rows {
		place := absent
		if r.Tie > 0 {
			place = strconv.Itoa(r.Tie)
		}
		places = append(places, cell{value: place})
		names = append(names, cell{value: results.Line(r.Candidate, nameLimit), under: results.Line(r.Impl, nameLimit)})
		counts = append(counts, cell{value: fmt.Sprintf("%d × %d", r.Sessions, perSession(r))})
		for j, f := range figures {
			var m *results.Figure
			if i, ok := r.Figures[f.metric]; ok {
				made := i
				m = &made
			}
			grid[j] = append(grid[j], m)
		}
		index := r.Index
		if index.Value.IsAbsent() {
			index.Why = cmp.Or(r.Verdict.Why, "no index in this group")
		}
		grid[len(figures)] = append(grid[len(figures)], &index)
		verdicts = append(verdicts, cell{value: string(r.Verdict.Word)})
		var peak *results.Figure
		if i, ok := r.Figures[results.PeakFraction]; ok {
			made := i
			peak = &made
		}
		peaks = append(peaks, peak)
		if r.Verdict.Why != "" && r.Verdict.Word != stats.NotRanked {
			notes = append(notes, fmt.Sprintf("%s: %s: %s", results.Line(r.Candidate, nameLimit), r.Verdict.Word, results.Line(r.Verdict.Why, textLimit)))
		}
		if r.Outliers > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d of %d windows lie beyond 1.5 interquartile ranges; none was dropped", results.Line(r.Candidate, nameLimit), r.Outliers, r.Windows))
		}
	}
	if g.Ranked {
		s.text(name, "place", "", places)
	}
	s.text(name, "candidate", "kernel", names)
	s.text(name, "sessions", "× windows", counts)
	for j, f := range figures {
		s.explained(g.Rows, f.metric, func() { s.figure(f.head, interval, grid[j]) })
	}
	s.figure("of the FMA peak", "its own", peaks)
	if len(g.Rows) > 1 && slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return !r.Index.Value.IsAbsent() }) {
		s.explained(g.Rows, "index", func() { s.figure("index", "of work per joule", grid[len(figures)]) })
		s.text(name, "verdict", "", verdicts)
	}
	return *s.done(notes...)
}

// explained names the figures of the column that add adds, if it adds one.
func (s *tableBuilder) explained(rows []compare.Row, metric string, add func()) {
	n := len(s.columns)
	if add(); len(s.columns) == n {
		return
	}
	cells := s.columns[n].cells
	for i := range cells {
		if cells[i].sort != "" {
			cells[i].id = results.Line(rows[i].ID+"/"+metric, 200)
		}
	}
}

func perSession(r compare.Row) int { return r.Windows / max(1, r.Sessions) }

func exchangePart(c *compare.Comparison) *part {
	if len(c.Exchange) == 0 {
		return nil
	}
	s := &tableBuilder{part: part{title: "Exchange between uses: hashes given up for one sample, on the same energy"}}
	var names, scenarios []cell
	var rates, advantages []*results.Figure
	for _, e := range c.Exchange {
		names = append(names, cell{value: results.Line(e.Candidate, nameLimit)})
		scenarios = append(scenarios, cell{value: results.Line(e.Scenario, nameLimit)})
		r, a := e.Rate, e.Advantage
		if a.Value.IsAbsent() {
			a.Why = "the reference was not measured at both uses"
		}
		rates, advantages = append(rates, &r), append(advantages, &a)
	}
	s.text(name, "candidate", "", names)
	s.text(name, "training", "", scenarios)
	s.figure("hashes a sample", interval, rates)
	s.figure("against the reference", interval, advantages)
	return s.done("Below 100 % a candidate gives up less mining for a unit of training than the reference does: its comparative advantage is in training.")
}

func mixPart(c *compare.Comparison) *part {
	if len(c.Mixes) == 0 {
		return nil
	}
	s := &tableBuilder{part: part{title: "One kilowatt-hour, shared between mining and training"}}
	var names []cell
	heads := []string{}
	for _, p := range c.Mixes[0].Points {
		heads = append(heads, percent(float64(p.Training)))
	}
	grid := make([][]cell, len(heads)+1)
	for _, m := range c.Mixes {
		names = append(names, cell{value: results.Line(m.Candidate, nameLimit), under: results.Line(m.Scenario, nameLimit)})
		both := func(p *compare.Point) cell {
			if p == nil {
				return cell{value: absent}
			}
			hashes, _ := Split(p.Hashes)
			samples, _ := Split(p.Samples)
			return cell{value: hashes, under: samples, sort: exact(p.Hashes.Value)}
		}
		for j := range heads {
			grid[j] = append(grid[j], both(&m.Points[j]))
		}
		grid[len(heads)] = append(grid[len(heads)], both(m.Mullet))
	}
	s.text(name, "candidate", "training", names)
	for j, h := range heads {
		s.columns = append(s.columns, column{head: cell{value: h, under: "to training"}, cells: grid[j], kind: figure})
	}
	s.columns = append(s.columns, column{head: cell{value: "both at once", under: "measured"}, cells: grid[len(heads)], kind: figure})
	return s.done("Hashes, and under them samples, of one kilowatt-hour. Both at once is the mullet as it was measured; the others are shares of the energy of each use alone.")
}

func differencePart(c *compare.Comparison) *part {
	if len(c.Differences) == 0 {
		return nil
	}
	p := &part{title: "What differs besides the hardware under test"}
	for _, d := range c.Differences {
		var words []string
		for i, v := range d.Values {
			words = append(words, results.Line(c.Candidates[i].ID, nameLimit)+": "+cmp.Or(results.Line(v, 120), "not known"))
		}
		text := strings.Join(words, " · ")
		if d.Within {
			text += " (also between sessions of one candidate)"
		}
		p.items = append(p.items, item{results.Line(d.Fact, 2*nameLimit), text})
	}
	p.items = limited(p.items)
	return p
}

// claimsPart lists what the devices of each candidate say of themselves.
func claimsPart(c *compare.Comparison) *part {
	var rows []claimant
	for _, cand := range c.Candidates {
		for _, r := range cand.Claims {
			rows = append(rows, claimant{cand.ID, r})
		}
	}
	return claims(rows)
}

func excludedPart(c *compare.Comparison) *part {
	if len(c.Excluded) == 0 {
		return nil
	}
	p := &part{title: "Not used", tone: bad}
	for _, e := range c.Excluded {
		p.items = append(p.items, item{results.Line(e.What, 3*nameLimit), results.Line(e.Why, textLimit)})
	}
	p.items = limited(p.items)
	return p
}

func comparisonCSV(out io.Writer, of Page) error {
	c := of.Comparison
	w := csv.NewWriter(out)
	w.Write([]string{"table", "candidate", "reference", "metric", "value", "low", "high", "unit", "instrument", "boundary", "origin", "grade", "ranked", "place", "verdict", "p", "sessions", "windows", "why"}) // #nosec G104 -- the error is kept for Flush
	put := func(i results.Figure, p results.Float, row ...string) {
		for j := range row {
			row[j] = inert(results.Line(row[j], textLimit))
		}
		row[4], row[5], row[6], row[8], row[15] = exact(i.Value), exact(i.Low), exact(i.High), exact(i.Instrument), exact(p)
		w.Write(row) // #nosec G104 -- the error is kept for Flush
	}
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			for _, r := range g.Rows {
				line := func(metric string, i results.Figure) {
					put(i, r.P, t.ID(), r.Candidate, c.Reference, metric, "", "", "", string(i.Unit), "", string(g.Boundary), string(g.Origin), string(g.Grade),
						strconv.FormatBool(g.Ranked), strconv.Itoa(r.Tie), string(r.Verdict.Word), "", strconv.Itoa(r.Sessions), strconv.Itoa(r.Windows), cmp.Or(r.Verdict.Why, g.Why))
				}
				for _, m := range []string{results.Throughput, results.Power, results.WorkPerEnergy, results.EnergyPerWork} {
					if i, ok := r.Figures[m]; ok {
						line(m, i)
					}
				}
				line("index", r.Index)
			}
		}
	}
	if of.Economics != nil {
		for f := range of.Economics.Figures() {
			put(results.Figure{Value: f.Value, Low: f.Low, High: f.High, Provenance: results.Provenance{Instrument: results.Absent()}}, results.Absent(), "economics/"+f.Table, "", "", f.ID, "", "", "", string(f.Unit), "", string(f.Boundary), string(f.Origin), string(f.Grade), "", "", "", "", "", "", f.Formula)
		}
	}
	w.Flush()
	return w.Error()
}

// WriteExplanation prints where a figure comes from.
func WriteExplanation(w io.Writer, e compare.Explanation, opt Options) error {
	value, bounds := Split(e.Value)
	p := &page{title: []string{results.Line(e.Figure, 160)}, state: strings.TrimSpace(value + " " + bounds), whole: true}
	p.parts = append(p.parts, part{title: "Formula", notes: []string{results.Line(e.Formula, textLimit)}})
	s := &tableBuilder{part: part{title: "Windows"}}
	var records, runs, spans []cell
	var work, energy []cell
	for _, in := range e.Inputs {
		records = append(records, cell{value: results.Line(cmp.Or(in.File, in.Record), 3*nameLimit), under: results.Line(in.Digest, 13)})
		runs = append(runs, cell{value: fmt.Sprintf("%s/%d", results.Line(in.Scenario, nameLimit), in.Round)})
		spans = append(spans, cell{value: fmt.Sprintf("%.6g–%.6g s", float64(in.From), float64(in.To))})
		work = append(work, cell{value: fmt.Sprintf("%.6g", float64(in.Work))})
		j := absent
		if !in.Energy.IsAbsent() {
			j = fmt.Sprintf("%.6g J", float64(in.Energy))
		}
		energy = append(energy, cell{value: j})
	}
	if len(e.Inputs) > 0 {
		s.text(name, "record", "sha256", records)
		s.text(name, "run", "", runs)
		s.text(name, "window", "", spans)
		s.text(figure, "work", "counts", work)
		s.text(figure, "energy", "", energy)
	}
	var notes []string
	for _, n := range e.Notes {
		notes = append(notes, results.Line(n, textLimit))
	}
	p.parts = append(p.parts, *s.done(notes...))
	return flush(w, p, opt)
}
