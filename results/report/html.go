package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
)

// A page is one file: no request leaves it, nothing in it needs its script,
// and its policy would stop whatever a record could smuggle in. Same input,
// same bytes: it knows no clock.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// Page is what goes into a report.
type Page struct {
	Comparison *compare.Comparison
	Records    []*results.Record // in the order of the command line
	Economics  *economics.Result // nil without a price sheet
	Command    string            // that makes this page again
	Tool       string            // name, version and revision of the program
	Links      []Link            // to other pages, where there are others
}

// Link leads to another page of the same place. Href is trusted.
type Link struct{ Text, Href string }

// view is what the template shows.
type view struct {
	Title, Headline, Sub string
	Badges               []badge
	Links                []Link // to other pages
	Sections             []section
	Filter               string // what the rows can be filtered by; empty for no filter
	Nights               bool   // there are histories to zoom
	Foot                 []string
	Policy               string
	Style                template.CSS
	Script               template.JS
}

// write writes the page. The policy names the style and the script: nothing
// else in the page can be either.
func (v view) write(w io.Writer) error {
	for i := range v.Sections {
		shorten(v.Sections[i].Blocks)
	}
	v.Style, v.Script = template.CSS(pageCSS+chartCSS()), template.JS(pageJS) // #nosec G203 -- embedded in the program
	if v.Nights {
		v.Style, v.Script = v.Style+template.CSS(plotCSS), template.JS(plotJS+"\n"+siteJS)+v.Script // #nosec G203 -- embedded in the program
	}
	form := "'none'"
	if slices.ContainsFunc(v.Sections, func(s section) bool { return s.Action != "" }) {
		form = "'self'"
	}
	v.Policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action %s", digest(string(v.Style)), digest(string(v.Script)), form)
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		return fmt.Errorf("report: write the page: %w", err)
	}
	_, err := w.Write(results.PrintableText(out.Bytes()))
	return err
}

// badge is a quality of the evidence: its tone is good, fair or poor, which
// its sign says too.
type badge struct{ Tone, Sign, Text, About string }

type section struct {
	ID, Title      string
	Lead           []string
	Blocks         []block
	Action, Button string // of a form around the blocks, if there is one
}

// block is a chart, or a table, or a list.
type block struct {
	Title  string
	Charts []picture
	Table  *htmlTable
	Items  []item2
	Notes  []string
	Blocks []block
	Fold   bool // closed until it is opened; printed open
}

type item2 struct{ About, Text string }

// mostListed is how many rows of a table, or items of a list, a page holds.
const mostListed = 5000

// shorten leaves out of tables and lists what a browser would not show in time,
// and says so.
func shorten(blocks []block) {
	for i := range blocks {
		b := &blocks[i]
		if t := b.Table; t != nil && len(t.Rows) > mostListed {
			b.Notes = append(b.Notes, fmt.Sprintf("The first %d of %d rows: perwatt show, compare and track with --format csv or json have all of them.", mostListed, len(t.Rows)))
			t.Rows = t.Rows[:mostListed]
		}
		if n := len(b.Items); n > mostListed {
			b.Notes = append(b.Notes, fmt.Sprintf("The first %d of %d.", mostListed, n))
			b.Items = b.Items[:mostListed]
		}
		shorten(b.Blocks)
	}
}

type htmlTable struct {
	ID   string
	Cols []col
	Rows [][]td
}

type col struct {
	Head, Under string
	Number      bool
}

type td struct {
	Text, Under, Sort, Figure, Label string
	Number                           bool
	Href                             string // that the text leads to
	Choice                           string // value of a box to tick before the text
	Chart                            template.HTML
}

// WriteHTML writes the page.
func WriteHTML(w io.Writer, p Page) error {
	if p.Comparison == nil || len(p.Records) == 0 {
		return fmt.Errorf("report: a page needs records")
	}
	return view{
		Title: "What does this hardware deliver per watt?", Headline: Conclusion(p.Comparison), Sub: sub(p), Badges: badges(p), Links: p.Links, Filter: "candidate",
		Sections: slices.DeleteFunc([]section{
			doubtful(p), uses(p), sweeps(p), across(p), traces(p), money(p), claimed(p), differences(p), disclosure(p), prices(p), sources(p), glossary(),
		}, func(s section) bool { return len(s.Blocks) == 0 && len(s.Lead) == 0 }),
		Foot: []string{results.Line(p.Tool, 120)},
	}.write(w)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// Command writes the words of a command for a POSIX shell.
func Command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; !plainWord.MatchString(w) {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// digest names a style or script in a Content-Security-Policy.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func sub(p Page) string {
	c := p.Comparison
	sessions := 0
	for _, cand := range c.Candidates {
		sessions += len(cand.Records)
	}
	when := day(p, false)
	if last := day(p, true); last != when {
		when += " to " + last
	}
	return fmt.Sprintf("%s in %s, %s. Reference %s, margin %s, fixed beforehand; intervals are 95 %%, seed %d.",
		plural(len(c.Candidates), "candidate"), plural(sessions, "session"), when, results.Line(c.Reference, 40), percent(c.Margin), c.Seed)
}

// day is the first or the last on which something was measured.
func day(p Page, last bool) string {
	out := ""
	for _, r := range p.Records {
		d := r.Start.UTC().Format("2006-01-02")
		if out == "" || (d < out) != last && d != out {
			out = d
		}
	}
	return out
}

func badges(p Page) (out []badge) {
	add := func(ok bool, fair bool, text, about string) {
		b := badge{"good", "✓", text, about}
		switch {
		case ok:
		case fair:
			b.Tone, b.Sign = "fair", "!"
		default:
			b.Tone, b.Sign = "poor", "✕"
		}
		out = append(out, b)
	}
	valid, interleaved, steady, covered, measured := 0, 0, 0, 0, 0
	grades := map[results.Grade]bool{}
	least := 1 << 30
	for _, cand := range p.Comparison.Candidates {
		least = min(least, len(cand.Records))
	}
	for _, r := range p.Records {
		s := r.Summary
		if s.Validity.Valid {
			valid++
		}
		if r.Plan.Order == "ABBA" && r.Plan.Rounds > 1 {
			interleaved++
		}
		if !slices.ContainsFunc(s.Flags, func(w results.Warning) bool { return w.Code == "not-steady" }) {
			steady++
		}
		head, ok := results.PrimaryMeterOf(r)
		if ok && head.Origin == results.Measured {
			measured++
		}
		for _, c := range s.Coverage {
			if ok && c.Meter == head.Meter && c.Share >= 0.99 {
				covered++
			}
		}
		for _, row := range s.Rows {
			if g := row.Metrics[results.Power].Grade; g != "" {
				grades[g] = true
			}
		}
	}
	n := len(p.Records)
	var named []string
	for g := range grades {
		named = append(named, string(g))
	}
	slices.Sort(named)
	of := func(k int) string { return fmt.Sprintf("%d of %d", k, n) }
	add(measured == n, measured > 0, "watts measured in "+of(measured), "the others are modelled, declared or absent, and are not ranked")
	add(len(named) == 1 && named[0] < "D", len(named) > 0 && named[len(named)-1] < "E", "power grade "+cmp.Or(strings.Join(named, ", "), "none"), "A wall ≤ 1 % over 600 s … E modelled or declared")
	add(valid == n, valid > 0, "valid "+of(valid), "by the publish rules, listed under method")
	add(least >= 5, least >= 3, plural(least, "session")+" or more each", "5 show how much sessions differ; 3 is the least for a verdict")
	add(interleaved == n, interleaved > 0, "interleaved "+of(interleaved), "rounds in alternating order, so that drift does not look like a difference")
	add(steady == n, steady > n/2, "steady "+of(steady), "every use had settled before its window")
	add(covered == n, covered > 0, "metered throughout "+of(covered), "99 % of the windows' time lies between readings")
	return out
}

// tableOf lays columns out for the page.
func tableOf(id string, columns []column) *htmlTable {
	if len(columns) == 0 {
		return nil
	}
	t := &htmlTable{ID: id}
	for _, c := range columns {
		t.Cols = append(t.Cols, col{c.head.value, c.head.under, c.kind == figure || c.kind == powered})
	}
	for i := range columns[0].cells {
		var row []td
		for j, c := range columns {
			x := c.cells[i]
			row = append(row, td{Text: x.value, Under: x.under, Sort: x.sort, Figure: x.id, Label: c.head.value, Number: t.Cols[j].Number})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func blockOf(id string, p part) block {
	b := block{Title: p.title, Table: tableOf(id, p.columns), Notes: p.notes}
	for _, it := range p.items {
		b.Items = append(b.Items, item2{it.about, it.text})
	}
	return b
}

// doubtful holds the doubts about what is compared.
func doubtful(p Page) section {
	s := section{ID: "warnings", Title: "Warnings"}
	if w := warnings(p.Comparison); w != nil {
		w.title = ""
		s.Blocks = append(s.Blocks, blockOf("warnings", *w))
	}
	return s
}

// What a page draws of one comparison: a browser shows no more than that.
const (
	mostUses      = 300 // a chart and a table each
	mostTrainings = 30  // against mining
)

// uses holds a ranking and a table for each use.
func uses(p Page) section {
	s := section{ID: "uses", Title: "At each use", Lead: []string{"Work per joule decides; beside it stand the throughput and the watts that it is made of. An index is against the reference, and includes what the meters add."}}
	if len(p.Records) == 1 { // nothing to rank: one table says it all
		s.Lead = []string{"Work per joule decides; beside it stand the throughput and the watts that it is made of."}
		for i, part := range []*part{figures(p.Records[0]), yields(p.Records[0]), arithmetic(p.Records[0]), targets(p.Records[0]), beside(p.Records[0])} {
			if part != nil {
				s.Blocks = append(s.Blocks, blockOf(fmt.Sprintf("one-%d", i), *part))
			}
		}
		return s
	}
	tables := p.Comparison.Tables
	if n := len(tables); n > mostUses {
		tables = tables[:mostUses]
		s.Lead = append(s.Lead, fmt.Sprintf("The first %d of %d are shown: perwatt compare has all of them.", mostUses, n))
	}
	for ti, t := range tables {
		charts := append(rankingChart(p, t, fmt.Sprintf("rank%d", ti)), throughputPowerChart(p, t, fmt.Sprintf("tp%d", ti))...)
		if len(charts) > 0 {
			s.Blocks = append(s.Blocks, block{Charts: charts})
		}
		for gi, g := range t.Groups {
			s.Blocks = append(s.Blocks, blockOf(fmt.Sprintf("use-%d-%d", ti, gi), groupPart(t, g)))
		}
	}
	return s
}

// across normalises between uses.
func across(p Page) section {
	s := section{ID: "across", Title: "From one use to another"}
	charts, left := planeCharts(p)
	if len(charts) > 0 {
		s.Blocks = append(s.Blocks, block{Charts: charts})
	}
	for i, part := range []*part{exchangePart(p.Comparison), mixPart(p.Comparison)} {
		if part != nil {
			s.Blocks = append(s.Blocks, blockOf(fmt.Sprintf("across-%d", i), *part))
		}
	}
	if charts := mulletChart(p); len(charts) > 0 {
		s.Blocks = append(s.Blocks, block{Charts: charts})
	}
	if m := mullets(p); m != nil {
		s.Blocks = append(s.Blocks, blockOf("mullets", *m))
	}
	if len(s.Blocks) > 0 {
		s.Lead = []string{"What a kilowatt-hour gives at each use, at which rate a machine turns one into the other, and what both at once gave."}
	}
	if left > 0 {
		s.Lead = append(s.Lead, fmt.Sprintf("The first %d trainings are drawn, and %d are not: the table has all of them.", mostTrainings, left))
	}
	return s
}

// mullets has a row for each session in which mining ran behind training.
func mullets(p Page) *part {
	s := &tableBuilder{part: part{title: "Mining behind training, against training alone, paired by round"}}
	var names, sessions []cell
	grid := make([][]*results.Figure, 5)
	var all [][]*results.Figure
	for _, c := range p.Comparison.Candidates {
		for i, src := range c.Records {
			k := slices.IndexFunc(p.Records, func(r *results.Record) bool { return r.ID == src.ID })
			if k < 0 || p.Records[k].Summary.CoRunCost == nil {
				continue
			}
			m := p.Records[k].Summary.CoRunCost
			row := []*results.Figure{&m.TrainingKept, &m.HashesGained, &m.ExtraPower, &m.ExtraEnergy, &m.EnergyPer}
			for j := range grid {
				grid[j] = append(grid[j], row[j])
			}
			all = append(all, row)
			names = append(names, cell{value: results.Line(c.ID, nameLimit)})
			sessions = append(sessions, cell{value: fmt.Sprint(i + 1)})
		}
	}
	if len(names) == 0 {
		return nil
	}
	s.text(name, "candidate", "", names)
	s.text(name, "session", "", sessions)
	s.counts(all)
	for j, head := range []string{"training kept", "hashes gained", "extra power", "extra energy", "energy per hash gained"} {
		if s.figure(head, interval, grid[j]); j == 2 {
			s.sources(all)
		}
	}
	return s.done()
}

func traces(p Page) section {
	s := section{ID: "traces", Title: "What the instruments saw"}
	if charts := traceCharts(p); len(charts) > 0 {
		s.Blocks = append(s.Blocks, block{Charts: charts})
	}
	if len(s.Blocks) > 0 {
		s.Lead = []string{"Power and rate of one run of each candidate; the measured window is shaded."}
	}
	return s
}

// claimed is what devices say of themselves.
func claimed(p Page) section {
	s := section{ID: "claims", Title: "What devices say of themselves"}
	if part := claimsPart(p.Comparison); part != nil {
		s.Blocks = append(s.Blocks, blockOf("claimed", *part))
	}
	return s
}

func differences(p Page) section {
	s := section{ID: "environment", Title: "What else differs"}
	if d := differencePart(p.Comparison); d != nil {
		s.Lead = []string{"Facts in which the candidates are not alike, and which may explain a gap besides the hardware under test."}
		b := block{Table: &htmlTable{ID: "differences", Cols: []col{{Head: "fact"}}}}
		for _, c := range p.Comparison.Candidates {
			b.Table.Cols = append(b.Table.Cols, col{Head: results.Line(c.ID, 40)})
		}
		for _, d := range p.Comparison.Differences {
			row := []td{{Text: results.Line(d.Fact, 60), Label: "fact"}}
			for i, v := range d.Values {
				row = append(row, td{Text: cmp.Or(results.Line(v, 160), "not known"), Label: results.Line(p.Comparison.Candidates[i].ID, 40)})
			}
			b.Table.Rows = append(b.Table.Rows, row)
		}
		s.Blocks = append(s.Blocks, b)
	}
	return s
}

// disclosure says how it was measured, and holds every record to the rules.
func disclosure(p Page) section {
	s := section{ID: "method", Title: "Method and disclosure", Lead: []string{
		"Each use runs in a process of its own; its work is counted beside the meter on one clock, and rate and energy come from the same window of the same run. Rounds alternate in order. An efficiency is a sum of work over a sum of energy, its interval a cluster bootstrap over sessions, or that of a ratio estimator over the windows where there is one session.",
		"Verdicts: better if the interval of the index, meters included, lies above 1; no worse if above 1 less the margin; worse if below 1; else it cannot be told, with what would settle it. P-values are Welch's over sessions, adjusted over the whole comparison (Benjamini and Hochberg). Outliers are counted, never dropped.",
	}}
	if x := excludedPart(p.Comparison); x != nil {
		s.Blocks = append(s.Blocks, blockOf("excluded", *x))
	}
	shown := disclosed(p)
	if len(shown) < len(p.Records) {
		s.Blocks = append(s.Blocks, ruleCounts(p.Records))
	}
	for i, r := range shown {
		s.Blocks = append(s.Blocks, recordBlock(i, r))
	}
	if n := len(p.Records) - len(shown); n > 0 {
		s.Blocks = append(s.Blocks, block{Notes: []string{fmt.Sprintf("%d records are counted above and not shown one by one: perwatt report FILE shows any of them alone, and perwatt verify --rules publish FILE its rules.", n)}})
	}
	return s
}

const disclosedMost = 24 // records that a page shows one by one

// disclosed returns the records that are shown one by one: all, or of many the
// first of each candidate.
func disclosed(p Page) []*results.Record {
	if len(p.Records) <= disclosedMost {
		return p.Records
	}
	firsts := map[string]bool{}
	for _, c := range p.Comparison.Candidates {
		firsts[c.Records[0].ID] = true
	}
	shown := slices.DeleteFunc(slices.Clone(p.Records), func(r *results.Record) bool { return !firsts[r.ID] })
	return shown[:min(len(shown), disclosedMost)]
}

// ruleCounts says of each rule how many records keep it, and which do not.
func ruleCounts(records []*results.Record) block {
	const named = 6
	b := block{Title: "The rules over all records", Table: &htmlTable{ID: "rules-all", Cols: []col{
		{Head: "rule"}, {Head: "asked"}, {Head: "by"}, {Head: "kept", Number: true}, {Head: "broken", Number: true}, {Head: "not applicable", Number: true}, {Head: "broken in"},
	}}}
	type count struct {
		asks, source          string
		kept, broken, without int
		in                    []string
	}
	var order []string
	counts := map[string]*count{}
	for _, r := range records {
		for _, f := range r.Summary.Validity.Findings {
			c := counts[f.Rule]
			if c == nil {
				c = &count{asks: f.Asks, source: f.Source}
				counts[f.Rule], order = c, append(order, f.Rule)
			}
			switch f.Outcome {
			case results.Pass:
				c.kept++
			case results.Fail:
				c.broken++
				c.in = append(c.in, results.Line(r.ID, 40))
			default:
				c.without++
			}
		}
	}
	for _, rule := range order {
		c := counts[rule]
		in := strings.Join(c.in[:min(len(c.in), named)], ", ")
		if n := len(c.in) - named; n > 0 {
			in += fmt.Sprintf(" and %d more", n)
		}
		row := []td{{Text: results.Line(rule, nameLimit), Label: "rule"}, {Text: results.Line(c.asks, textLimit), Label: "asked"}, {Text: results.Line(c.source, textLimit), Label: "by"}}
		for i, n := range []int{c.kept, c.broken, c.without} {
			row = append(row, td{Text: strconv.Itoa(n), Label: b.Table.Cols[3+i].Head, Number: true, Sort: strconv.Itoa(n)})
		}
		b.Table.Rows = append(b.Table.Rows, append(row, td{Text: cmp.Or(in, "none"), Label: "broken in"}))
	}
	return b
}

// recordBlock says how one record was made, how uncertain it is, and which
// rules it keeps.
func recordBlock(i int, r *results.Record) block {
	about := block{Title: fmt.Sprintf("%s, %s", results.Line(r.Node.Name, 40), results.Line(r.ID, 40)), Fold: true}
	plan := r.Plan
	about.Items = append(about.Items,
		item2{"plan", results.Line(fmt.Sprintf("%s: %d rounds of %s, order %s, windows of %g s after a warm-up of %g s or more, sampled every %g s, seed %d",
			plan.Preset, plan.Rounds, strings.Join(plan.Scenarios, ", "), cmp.Or(plan.Order, "as planned"), float64(plan.Window), float64(plan.Warmup), float64(plan.Interval), plan.Seed), textLimit)},
	)
	for _, m := range r.Meters {
		var channels []string
		for _, c := range m.Channels {
			channels = append(channels, fmt.Sprintf("%s (%s · %s, %s)", c.Name, c.Boundary, c.Origin, accuracy(c.Accuracy, c.Unit)))
		}
		if len(channels) > 6 {
			channels = append(channels[:6:6], fmt.Sprintf("%d more", len(m.Channels)-6))
		}
		about.Items = append(about.Items, item2{"meter", results.Line(m.Name+" at "+m.Source+": "+strings.Join(channels, "; "), textLimit)})
		for _, n := range m.Notes[:min(len(m.Notes), 12)] {
			about.Items = append(about.Items, item2{"", results.Line(n, textLimit)})
		}
	}
	for _, c := range r.Summary.Coverage {
		if c.Interval.IsAbsent() {
			continue
		}
		text := fmt.Sprintf("%s: a reading every %s, longest %s, %s of the time, at least %d a window", c.Meter, Quantity(c.Interval, results.Second), Quantity(c.Longest, results.Second), percent(float64(c.Share)), c.Readings)
		if !c.RoundTrip.IsAbsent() {
			text += ", round trip up to " + Quantity(c.RoundTrip, results.Second)
		}
		about.Items = append(about.Items, item2{"coverage", results.Line(text, textLimit)})
	}
	if d := recordWarnings(r); d != nil {
		for _, it := range d.items {
			about.Items = append(about.Items, item2{it.about, it.text})
		}
	}
	about.Blocks = []block{budgetBlock(i, r), rulesBlock(i, r)}
	return about
}

// budgetBlock lists what is uncertain of each power and efficiency.
func budgetBlock(i int, r *results.Record) block {
	b := block{Title: "Uncertainty", Table: &htmlTable{ID: fmt.Sprintf("budget-%d", i)}}
	names := []string{results.Repeats, results.Gain, results.Quantisation, results.Timing, results.Sampling}
	b.Table.Cols = []col{{Head: "scenario"}, {Head: "use"}, {Head: "figure"}}
	for _, n := range names {
		b.Table.Cols = append(b.Table.Cols, col{Head: n, Number: true})
	}
	b.Table.Cols = append(b.Table.Cols, col{Head: "in quadrature", Number: true}, col{Head: "linear", Under: "meter alone", Number: true})
	uses := madeOf(r.Summary.Rows, false)
	for i, row := range r.Summary.Rows {
		for _, name := range []string{results.Power, results.NetPower, results.WorkPerEnergy} {
			m, ok := row.Metrics[name]
			if !ok || m.Budget == nil {
				continue
			}
			line := []td{{Text: results.Line(row.Scenario, nameLimit), Label: "scenario"}, {Text: uses[i].value, Under: uses[i].under, Label: "use"}, {Text: strings.ReplaceAll(name, "_", " "), Label: "figure"}}
			for _, n := range names {
				x := td{Text: "unknown", Label: n, Number: true}
				for _, t := range m.Budget.Terms {
					if t.Name == n {
						x.Text, x.Sort = percent(float64(t.HalfWidth)), exact(t.HalfWidth)
						if t.Shared {
							x.Under = "cancels on one meter"
						}
					}
				}
				line = append(line, x)
			}
			line = append(line, td{Text: PlusMinus(m), Sort: exact(m.Budget.Quadrature), Label: "in quadrature", Number: true}, td{Text: percent(float64(m.Budget.Linear)), Sort: exact(m.Budget.Linear), Label: "linear", Number: true})
			b.Table.Rows = append(b.Table.Rows, line)
		}
	}
	return b
}

func rulesBlock(i int, r *results.Record) block {
	v := r.Summary.Validity
	verdict := "Valid"
	if !v.Valid {
		verdict = "INVALID"
	}
	b := block{Title: fmt.Sprintf("%s for ranking by the %s rules", verdict, results.Line(v.Rules, nameLimit)), Table: &htmlTable{
		ID: fmt.Sprintf("rules-%d", i), Cols: []col{{Head: "outcome"}, {Head: "rule"}, {Head: "found"}, {Head: "asked"}, {Head: "by"}},
	}}
	for _, f := range v.Findings {
		b.Table.Rows = append(b.Table.Rows, []td{
			{Text: results.Line(string(f.Outcome), nameLimit), Label: "outcome"}, {Text: results.Line(f.Rule, nameLimit), Label: "rule"}, {Text: results.Line(f.Figure, textLimit), Label: "found"},
			{Text: results.Line(f.Asks, textLimit), Label: "asked"}, {Text: results.Line(f.Source, textLimit), Label: "by"},
		})
	}
	return b
}

func sources(p Page) section {
	s := section{ID: "records", Title: "Records", Lead: []string{"Every figure can be made again from these: perwatt verify checks them, perwatt explain FIGURE names the windows behind a figure, and this page comes of"}}
	s.Blocks = append(s.Blocks, block{Items: []item2{{"command", results.Printable(p.Command)}}})
	b := block{Table: &htmlTable{ID: "records-table", Cols: []col{{Head: "candidate"}, {Head: "record"}, {Head: "start"}, {Head: "state"}, {Head: "sha256"}}}}
	for _, c := range p.Comparison.Candidates {
		for _, r := range c.Records {
			b.Table.Rows = append(b.Table.Rows, []td{
				{Text: results.Line(c.ID, 40), Label: "candidate"}, {Text: cmp.Or(results.Printable(r.File), results.Line(r.ID, 40)), Label: "record"}, {Text: results.Line(r.Start, 30), Label: "start"},
				{Text: results.Line(r.State, nameLimit), Label: "state"}, {Text: results.Line(r.Digest, 64), Label: "sha256"},
			})
		}
	}
	s.Blocks = append(s.Blocks, b)
	return s
}

func glossary() section {
	return section{ID: "glossary", Title: "Words", Blocks: []block{{Items: []item2{
		{"boundary", "where the watts were counted: the wall, the supplies, the node as its controller reports it, the board, the CPU packages, a card. Two boundaries are never ranked against each other."},
		{"grade", "A: at the wall within 1 %, over 600 s. B: at the wall within 2 %, over 300 s. C: telemetry of a controller or supply, or a shorter window. D: counters of components. E: modelled or declared, never ranked."},
		{"~", "before a figure that no instrument measured."},
		{"index", "work per joule against the reference, which is 1."},
		{"mullet", "training in front, mining in the back: both at once on one node, mining where training leaves time."},
		{"J/TH", "joules for 10¹² hashes: the same number as watts per TH/s, and what makers of miners quote."},
		{"session", "one start of perwatt run on one node; it holds rounds of windows. Sessions are the replicates."},
		{"window", "the measured part of a run, after it has settled."},
	}}}}
}
