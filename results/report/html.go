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
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
)

// A page is one file that makes no request and is legible without its script. Its
// Content-Security-Policy blocks whatever a record could smuggle in. It reads no
// clock: the same input gives the same bytes.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed links.js
	linksJS string
)

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"plural": results.Plural, "unbroken": table.Unbroken}).Parse(pageHTML))

// Page is what goes into a report.
type Page struct {
	Comparison *compare.Comparison
	Records    []*results.Record // in the order of the command line
	Economics  *economics.Result // nil without a price sheet
	Command    string            // that makes this page again
	Tool       string            // name, version and revision of the program
	Links      []Link            // to other pages, where there are others

	left int // candidates that are not shown here, see [Page.brief]
}

// Link leads to a page of the same place. Href is trusted. Here marks the page that
// it is on.
type Link struct {
	Text, Href string
	Here       bool
}

// here marks the link to the page itself. A page that the links do not name comes last.
func here(links []Link, self Link) []Link {
	links = slices.Clone(links)
	for i := range links {
		if links[i].Href == self.Href {
			links[i].Here = true
			return links
		}
	}
	if len(links) == 0 {
		return nil // a page alone
	}
	self.Here = true
	return append(links, self)
}

// view is what the template shows.
type view struct {
	Kind                 string // of page, such as comparison
	Title, Headline, Sub string
	First                *first // screen of a page on records
	Links                []Link // to other pages
	Sections             []section
	Filter               string // what the rows can be filtered by; empty for no filter
	Nights               bool   // there are histories to zoom
	Foot                 []string
	Explained            template.HTML // where the figures come from: data of the script
	Policy               string
	Style                template.CSS
	Script               template.JS
}

// write writes the page. The policy allows only the style and the script that it
// names by their digests.
func (v view) write(w io.Writer) error {
	v.Sections = slices.DeleteFunc(v.Sections, func(s section) bool { return len(s.Blocks) == 0 })
	v.Style, v.Script = template.CSS(pageCSS+table.CSS+chartCSS()), template.JS(pageJS+"\n"+linksJS) // #nosec G203 -- embedded in the program
	if v.Nights {
		v.Style, v.Script = v.Style+template.CSS(plotCSS), template.JS(plotJS+"\n"+nightsJS)+v.Script // #nosec G203 -- embedded in the program
	}
	if slices.ContainsFunc(v.Sections, func(s section) bool { return s.ID == triedID }) {
		v.Script += template.JS("\n" + formulasJS + "\n" + whatIfJS) // #nosec G203 -- embedded in the program
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

// badge grades one aspect of the evidence. Tone is good, fair or poor; Sign shows
// the same without colour. About is what the grade means, and what betters it.
type badge struct{ Tone, Sign, Text, About string }

// section is a title and blocks below it. A page leaves out one without blocks.
type section struct {
	ID, Title      string
	Lead           []string
	Blocks         []block
	Action, Button string // of a form around the blocks, if there is one
	Fold, Open     bool   // it is closed until somebody opens it, unless Open
	Why            string // it is folded: what it has, or that it passes
}

// sectionOf is a section with a sentence, if there is one, and the blocks that
// have something to show.
func sectionOf(id, title, lead string, blocks ...block) section {
	s := section{ID: id, Title: title, Blocks: full(blocks...)}
	if lead != "" {
		s.Lead = []string{lead}
	}
	return s
}

func (s *section) add(blocks ...block) { s.Blocks = append(s.Blocks, full(blocks...)...) }

// block is charts and a table, with the table's title.
type block struct {
	Markup template.HTML // above the charts
	Charts []picture
	table.Table
	Blocks []block
	Fold   bool // closed until it is opened
}

// folded is a section that is closed until somebody opens it.
func folded(s section, why string) section {
	s.Fold, s.Why = true, why
	return s
}

// untitled is a table whose title that of its section says.
func untitled(t table.Table) table.Table {
	t.Title = ""
	return t
}

// full are the blocks that have something to show.
func full(blocks ...block) []block {
	return slices.DeleteFunc(blocks, func(b block) bool { return len(b.Markup)+len(b.Charts)+len(b.Blocks) == 0 && b.Empty() })
}

// WriteHTML writes the page.
func WriteHTML(w io.Writer, p Page) error {
	if p.Comparison == nil || len(p.Records) == 0 {
		return fmt.Errorf("report: a page needs records")
	}
	kind := "Comparison"
	if len(p.Records) == 1 {
		kind = "Record"
	}
	filter := ""
	if len(p.Comparison.Candidates) > 1 {
		filter = "candidate"
	}
	screen, brief := firstScreen(p), p.brief()
	return view{
		Kind: kind, Title: "What does this hardware deliver per watt?", Headline: screen.Verdict.Head, First: screen, Links: here(p.Links, Link{Text: kind, Href: "#main"}), Filter: filter,
		Sections: []section{
			sectionOf("warnings", "Warnings", "", block{Table: warned("", p.Comparison.Warnings)}),
			sectionOf("excluded", "Not used", "", block{Table: untitled(excluded(p.Comparison))}),
			money(brief), folded(whatIf(p), "the margins at prices that you try"), uses(brief), folded(sweeps(p), "one machine at several settings"), folded(across(brief), "what a kilowatt-hour gives, the rate of exchange, and both at once"),
			folded(sectionOf("traces", "What the instruments saw", "Power and rate of one run of each candidate; the measured window is shaded.", block{Charts: traceCharts(p)}), "power and rate over one run of each"),
			folded(sectionOf("claims", "What devices say of themselves", "", block{Table: comparedClaims(p.Comparison)}), "no figure of this page rests on it"),
			folded(sectionOf("environment", "What else differs", "Facts in which the candidates are not alike, and which may explain a gap besides the hardware under test.", block{Table: differing(p.Comparison)}), results.Plural(len(p.Comparison.Differences), "fact")),
			disclosure(p), folded(prices(p), "each with its day and source"), folded(sources(p), results.Plural(len(p.Records), "record")+", with what makes this page again"), folded(glossary(), "what they mean here"),
		},
		Foot: []string{results.Line(p.Tool, 120)}, Explained: explained(brief),
	}.write(w)
}

// What a page shows below its first screen: a candidate has a row of a kilobyte or two in
// every table, and of many nobody reads all.
const (
	rankedMost  = 20        // candidates that are shown all
	rankedFirst = shownMost // of more
)

// brief is the page with only the best candidates and the reference, where there are
// many. The matrix of the first screen has them all.
func (p Page) brief() Page {
	c := *p.Comparison
	if len(c.Candidates) <= rankedMost {
		return p
	}
	shown := map[string]bool{c.Reference: true}
	for _, id := range bestFirst(&c)[:rankedFirst] {
		shown[id] = true
	}
	c.Candidates = kept(c.Candidates, func(x compare.Candidate) bool { return shown[x.ID] })
	p.left = len(p.Comparison.Candidates) - len(c.Candidates)
	c.Tables = slices.Clone(c.Tables)
	for i := range c.Tables {
		t := &c.Tables[i]
		t.Groups = slices.Clone(t.Groups)
		for j := range t.Groups {
			t.Groups[j].Rows = kept(t.Groups[j].Rows, func(r compare.Row) bool { return shown[r.Candidate] })
		}
		t.Groups = kept(t.Groups, func(g compare.Group) bool { return len(g.Rows) > 0 })
	}
	c.Tables = kept(c.Tables, func(t compare.Table) bool { return len(t.Groups) > 0 })
	c.Exchange = kept(c.Exchange, func(e compare.Exchange) bool { return shown[e.Candidate] })
	c.Mixes = kept(c.Mixes, func(m compare.Mix) bool { return shown[m.Candidate] })
	records := map[string]bool{}
	for _, x := range c.Candidates {
		for _, r := range x.Records {
			records[r.ID] = true
		}
	}
	p.Records = kept(p.Records, func(r *results.Record) bool { return records[r.ID] })
	if p.Economics != nil {
		e := *p.Economics
		all := map[string]bool{}
		for _, x := range p.Comparison.Candidates {
			all[x.ID] = true
		}
		e.Tables = slices.Clone(e.Tables)
		for i := range e.Tables {
			e.Tables[i].Rows = kept(e.Tables[i].Rows, func(row []economics.Cell) bool {
				return !slices.ContainsFunc(row, func(x economics.Cell) bool { return all[x.Text] && !shown[x.Text] })
			})
		}
		p.Economics = &e
	}
	p.Comparison = &c
	return p
}

func kept[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !keep(x) })
}

// briefly says what a section leaves out.
func (p Page) briefly(s *section) {
	if p.left > 0 {
		s.Lead = append(s.Lead, fmt.Sprintf("%s, the best and the reference: the matrix above has the %d others too, and perwatt compare with --format csv or json every figure.", results.Plural(len(p.Comparison.Candidates), "candidate"), p.left))
	}
}

// digest names a style or script in a Content-Security-Policy.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
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
	least, most := 0, 0
	for i, cand := range p.Comparison.Candidates {
		n := len(cand.Records)
		if most = max(most, n); i == 0 || n < least {
			least = n
		}
	}
	each := results.Plural(least, "session") + " each"
	if most > least {
		each = fmt.Sprintf("%d or more sessions each", least)
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
		head := s.PrimaryMeter
		if head != nil && head.Origin == results.Measured {
			measured++
		}
		read, all := false, true
		for _, c := range s.Coverage {
			if head != nil && head.Has(c.Meter) {
				read, all = true, all && c.Share >= 0.99
			}
		}
		if read && all {
			covered++
		}
		for _, row := range whole(s.Rows) {
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
	add(measured == n, measured > 0, "watts measured in "+of(measured), "watts that are modelled, declared or absent are not ranked; perwatt meters shows what could be read")
	add(len(named) == 1 && named[0] < "D", len(named) > 0 && named[len(named)-1] < "E", "power grade "+cmp.Or(strings.Join(named, ", "), "none"), "A at the wall within 1 % over 600 s, to E modelled or declared; unlike grades are not ranked with each other")
	add(valid == n, valid > 0, "valid "+of(valid), "by the publish rules (perwatt verify --rules publish FILE), which perwatt run --preset publish keeps")
	add(least >= 5, least >= 3, each, "5 show how much sessions differ; perwatt run --sessions 5 measures so many")
	add(interleaved == n, interleaved > 0, "interleaved "+of(interleaved), "rounds in alternating order, so that drift does not look like a difference")
	add(steady == n, steady > n/2, "steady "+of(steady), "every use had settled before its window")
	add(covered == n, covered > 0, "metered throughout "+of(covered), "99 % of the windows' time lies between readings")
	return out
}

// What a page draws of one comparison: a browser shows no more than that.
const (
	mostUses      = 300 // a chart and a table each
	mostTrainings = 30  // against mining
)

// uses has a ranking of whole machines, and a table for each use, folded.
func uses(p Page) section {
	s := section{ID: "uses", Title: "At each use"}
	if _, why := p.Comparison.Standing(); why != "" {
		s.Lead = append(s.Lead, why)
	}
	if len(p.Records) == 1 { // nothing to rank: one table says it all
		for i, of := range []func(*results.Record) table.Table{figures, yields, arithmetic, targets, allMeters} {
			t := of(p.Records[0])
			t.ID = fmt.Sprintf("one-%d", i)
			s.add(block{Table: t, Fold: t.Title != ""})
		}
		return s
	}
	p.briefly(&s)
	tables := p.Comparison.Tables
	if n := len(tables); n > mostUses {
		tables = tables[:mostUses]
		s.Lead = append(s.Lead, fmt.Sprintf("The first %d of %d are shown: perwatt compare has all of them.", mostUses, n))
	}
	s.add(block{Charts: rankingChart(p)})
	for ti, t := range tables {
		b := block{Table: table.Table{Title: results.Line(t.ID(), 60)}, Fold: true, Charts: throughputPowerChart(p, t, fmt.Sprintf("tp%d", ti), useTable(ti))}
		for gi, g := range t.Groups {
			grouped := groupTable(t, g)
			grouped.ID = fmt.Sprintf("use-%d-%d", ti, gi)
			b.Blocks = append(b.Blocks, block{Table: grouped})
		}
		s.add(b)
	}
	return s
}

// across compares between uses.
func across(p Page) section {
	charts, left := planeCharts(p)
	s := sectionOf("across", "From one use to another", "What a kilowatt-hour gives at each use, at which rate a machine turns one into the other, and what both at once gave.",
		block{Charts: charts}, block{Table: exchange(p.Comparison)}, block{Table: mixes(p.Comparison)}, block{Charts: mulletChart(p)}, block{Table: mullets(p)}, block{Table: comparedCards(p)})
	p.briefly(&s)
	if left > 0 {
		s.Lead = append(s.Lead, fmt.Sprintf("The first %d trainings are drawn, and %d are not: the table has all of them.", mostTrainings, left))
	}
	return s
}

// mullets has a row for each session in which mining ran behind training.
func mullets(p Page) table.Table {
	t := table.Table{
		ID: "mullets", Title: "Mining behind training, against training alone, paired by round", Counts: true, WattsAt: true,
		Columns: append([]table.Column{{Head: "candidate", Kind: table.Name}, {Head: "session", Kind: table.Name}}, coRun...),
	}
	for _, c := range p.Comparison.Candidates {
		for i, src := range sessionsShown(&t, p, c) {
			k := slices.IndexFunc(p.Records, func(r *results.Record) bool { return r.ID == src.ID })
			if k >= 0 && p.Records[k].Summary.CoRunCost != nil {
				t.Row(append([]table.Cell{text(c.ID), table.Whole(i + 1)}, coRunCells(p.Records[k].Summary.CoRunCost)...)...)
			}
		}
	}
	return t
}

// comparedCards has a row for each session in which mining ran behind a card's work.
func comparedCards(p Page) table.Table {
	t := table.Table{
		ID: "co-runs", Title: "Mining behind the work of cards, against that work alone, paired by round", Counts: true, WattsAt: true,
		Columns: append([]table.Column{{Head: "candidate", Kind: table.Name}, {Head: "session", Kind: table.Name}, {Head: "in front", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "front kept"}}, coRun[1:]...),
	}
	for _, c := range p.Comparison.Candidates {
		for i, src := range sessionsShown(&t, p, c) {
			k := slices.IndexFunc(p.Records, func(r *results.Record) bool { return r.ID == src.ID })
			if k < 0 {
				continue
			}
			for j := range p.Records[k].Summary.CoRuns {
				co := &p.Records[k].Summary.CoRuns[j]
				front := table.Text{Text: p.Records[k].Node.UseName(co.Front, co.Device), Under: "mining on the CPU"}
				if co.Shared {
					front.Under = "mining on the same card, time-sliced"
				}
				t.Row(append([]table.Cell{text(c.ID), table.Whole(i + 1), front}, coRunCells(&co.CoRunCost)...)...)
			}
		}
	}
	return t
}

// sessionsShown returns the sessions of a candidate that have a row each in t: of many
// sessions the first of each candidate.
func sessionsShown(t *table.Table, p Page, c compare.Candidate) []compare.Source {
	const most = 80 // rows
	n := max(1, most/len(p.Comparison.Candidates))
	if len(c.Records) <= n {
		return c.Records
	}
	if note := fmt.Sprintf("The first %s of each candidate: perwatt show has the figures of any record.", results.Plural(n, "session")); !slices.Contains(t.Notes, note) {
		t.Notes = append(t.Notes, note)
	}
	return c.Records[:n]
}

// differing has a row for each fact in which the candidates differ; of many candidates,
// one for each value of it, with those that have it.
func differing(c *compare.Comparison) table.Table {
	t := table.Table{ID: "differences", Columns: []table.Column{{Head: "fact", Kind: table.Name, Limit: 60}}}
	many := len(c.Candidates) > besideMost
	if many {
		t.Columns = append(t.Columns, table.Column{Head: "value", Kind: table.Words, Limit: 160}, table.Column{Head: "candidates", Kind: table.Words})
	} else {
		for _, cand := range c.Candidates {
			t.Columns = append(t.Columns, table.Column{Head: results.Line(cand.ID, 40), Kind: table.Words, Limit: 160})
		}
	}
	for _, d := range c.Differences {
		row, had := []table.Cell{text(d.Fact)}, map[string][]string{}
		var values []string
		for i, v := range d.Values {
			v = cmp.Or(v, "not known")
			if row = append(row, text(v)); had[v] == nil {
				values = append(values, v)
			}
			had[v] = append(had[v], results.Line(c.Candidates[i].ID, 40))
		}
		if !many {
			t.Row(row...)
			continue
		}
		for _, v := range values {
			who := had[v]
			if left := len(who) - namedMost; left > 0 {
				who = append(who[:namedMost:namedMost], fmt.Sprintf("%d more", left))
			}
			t.Row(row[0], text(v), text(strings.Join(who, ", ")))
		}
	}
	return t
}

const (
	besideMost = 4  // candidates with a column each
	namedMost  = 12 // candidates named in a cell
)

// disclosure describes the method and checks every record against the rules.
func disclosure(p Page) section {
	s := section{ID: "method", Title: "Method and disclosure", Lead: []string{
		"Each use runs in a process of its own; its work is counted beside the meter on one clock, and rate and energy come from the same window of the same run. Rounds alternate in order. An efficiency is a sum of work over a sum of energy, its interval a cluster bootstrap over sessions, or that of a ratio estimator over the windows where there is one session.",
		"Verdicts: better if the interval of the index, meters included, lies above 100 %; no worse if above 100 % less the margin; worse if below 100 %; else it cannot be told, with what would settle it. P-values are Welch's over sessions, adjusted over the whole comparison (Benjamini and Hochberg). Outliers are counted, never dropped.",
	}}
	kept := 0
	for _, r := range p.Records {
		if r.Summary.Validity.Valid {
			kept++
		}
	}
	s.Fold, s.Open, s.Why = true, kept < len(p.Records), fmt.Sprintf("%d of %s keep the publish rules", kept, results.Plural(len(p.Records), "record"))
	shown := disclosed(p)
	left := len(p.Records) - len(shown)
	if left > 0 {
		s.add(block{Table: ruleCounts(p.Records)})
	}
	for i, r := range shown {
		s.add(recordBlock(i, r))
	}
	if left > 0 {
		s.add(block{Table: table.Table{Notes: []string{fmt.Sprintf("%d records are counted above and not shown one by one: perwatt report FILE shows any of them alone, and perwatt verify --rules publish FILE its rules.", left)}}})
	}
	return s
}

const disclosedMost = 12 // records that a page shows one by one; a third of that of many candidates

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
	if len(p.Comparison.Candidates) > rankedMost {
		return shown[:min(len(shown), disclosedMost/3)]
	}
	return shown[:min(len(shown), disclosedMost)]
}

// ruleCounts has for each rule how many records keep it, and which break it.
func ruleCounts(records []*results.Record) table.Table {
	const named = 6
	t := table.Table{ID: "rules-all", Title: "The rules over all records", Columns: []table.Column{
		{Head: "rule", Kind: table.Name}, {Head: "asked", Kind: table.Words}, {Head: "by", Kind: table.Words}, {Head: "kept"}, {Head: "broken"}, {Head: "not applicable"}, {Head: "broken in", Kind: table.Words},
	}}
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
		t.Row(text(rule), text(c.asks), text(c.source), table.Whole(c.kept), table.Whole(c.broken), table.Whole(c.without), text(cmp.Or(in, "none")))
	}
	return t
}

// recordBlock has the plan, the meters, the warnings, the uncertainty and the
// rules of one record.
func recordBlock(i int, r *results.Record) block {
	t := table.Table{Title: fmt.Sprintf("%s, %s", results.Line(r.Node.Name, 40), results.Line(r.ID, 40))}
	plan := r.Plan
	t.Add("plan", fmt.Sprintf("%s: %s of %s, order %s, windows of %s s after a warm-up of %s s or more, sampled every %s s, seed %d",
		plan.Preset, results.Plural(plan.Rounds, "round"), strings.Join(plan.Scenarios, ", "), cmp.Or(plan.Order, "as planned"),
		table.Round(float64(plan.Window), 4), table.Round(float64(plan.Warmup), 4), table.Round(float64(plan.Interval), 4), plan.Seed))
	for _, m := range r.Meters {
		var channels []string
		for _, c := range m.Channels {
			channels = append(channels, fmt.Sprintf("%s (%s · %s, %s)", c.Name, c.Boundary, c.Origin, accuracy(c.Accuracy, c.Unit)))
		}
		if len(channels) > 6 {
			channels = append(channels[:6:6], fmt.Sprintf("%d more", len(m.Channels)-6))
		}
		t.Add("meter", results.Line(m.Name+" at "+m.Source+": "+strings.Join(channels, "; "), table.TextLimit))
		for _, n := range m.Notes[:min(len(m.Notes), 12)] {
			t.Add("", results.Line(n, table.TextLimit))
		}
	}
	for _, c := range r.Summary.Coverage {
		if c.Interval.IsAbsent() {
			continue
		}
		text := fmt.Sprintf("%s: a reading every %s, longest %s, %s of the time, at least %d a window",
			c.Meter, table.Quantity(c.Interval, results.Second), table.Quantity(c.Longest, results.Second), table.Percent(float64(c.Share)), c.Readings)
		if !c.RoundTrip.IsAbsent() {
			text += ", round trip up to " + table.Quantity(c.RoundTrip, results.Second)
		}
		t.Add("coverage", results.Line(text, table.TextLimit))
	}
	t.Items = append(t.Items, recordWarnings(r).Items...)
	return block{Table: t, Fold: true, Blocks: full(block{Table: budget(i, r)}, block{Table: rules(i, r)})}
}

// budget lists the terms of the uncertainty of each power and efficiency.
func budget(i int, r *results.Record) table.Table {
	names := []string{results.Repeats, results.Gain, results.Quantisation, results.Timing, results.Sampling}
	t := table.Table{ID: fmt.Sprintf("budget-%d", i), Title: "Uncertainty", Columns: []table.Column{{Head: "scenario", Kind: table.Name}, {Head: "use", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "figure", Kind: table.Name}}}
	for _, n := range names {
		t.Columns = append(t.Columns, table.Column{Head: n})
	}
	t.Columns = append(t.Columns, table.Column{Head: "in quadrature"}, table.Column{Head: "linear", Under: "meter alone"})
	uses := madeOf(&r.Node, r.Summary.Rows, false)
	for i, row := range r.Summary.Rows {
		for _, name := range []string{results.Power, results.NetPower, results.WorkPerEnergy} {
			m, ok := row.Metrics[name]
			if !ok || m.Budget == nil {
				continue
			}
			line := []table.Cell{text(row.Scenario), uses[i], text(strings.ReplaceAll(name, "_", " "))}
			for _, n := range names {
				var x table.Cell = text("unknown")
				for _, term := range m.Budget.Terms {
					if term.Name == n {
						share := table.Number{Value: term.HalfWidth, Print: table.Percent(float64(term.HalfWidth))}
						if term.Shared {
							share.Under = "cancels on one meter"
						}
						x = share
					}
				}
				line = append(line, x)
			}
			t.Row(append(line, table.Number{Value: m.Budget.Quadrature, Print: table.PlusMinus(m)}, table.Number{Value: m.Budget.Linear, Print: table.Percent(float64(m.Budget.Linear))})...)
		}
	}
	return t
}

func rules(i int, r *results.Record) table.Table {
	v := r.Summary.Validity
	verdict := "Valid"
	if !v.Valid {
		verdict = "INVALID"
	}
	t := table.Table{ID: fmt.Sprintf("rules-%d", i), Title: fmt.Sprintf("%s for ranking by the %s rules", verdict, results.Line(v.Rules, table.NameLimit)), Columns: table.Named("outcome", "rule", "found", "asked", "by")}
	for _, f := range v.Findings {
		t.Row(text(f.Outcome), text(f.Rule), text(table.Sentence(f.Figure, table.TextLimit)), text(f.Asks), text(f.Source))
	}
	return t
}

func sources(p Page) section {
	t := table.Table{ID: "records-table", Columns: []table.Column{{Head: "candidate", Kind: table.Words, Limit: 40}, {Head: "record", Kind: table.Words}, {Head: "start", Kind: table.Words}, {Head: "state", Kind: table.Name, Weight: -1}, {Head: "sha256", Kind: table.Words}}}
	for _, c := range p.Comparison.Candidates {
		for _, r := range c.Records {
			t.Row(text(c.ID), table.Text{Text: cmp.Or(results.Printable(r.File), results.Line(r.ID, 40)), At: "record/" + r.ID}, text(minute(r.Start)), text(r.State), text(results.Line(fmt.Sprintf("%.16s", r.Digest), 64)))
		}
	}
	s := sectionOf("records", "Records", "Every figure can be made again from these: perwatt verify checks them, perwatt explain FIGURE names the windows behind a figure, and this command makes this page:", block{Table: t})
	s.Lead = append(s.Lead, results.Printable(p.Command))
	return s
}

// minute is an instant of RFC 3339 as a reader expects it.
func minute(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return results.Line(at, 30)
	}
	return results.Minute(t)
}

func glossary() section {
	return sectionOf("glossary", "Words", "", block{Table: table.Table{Items: []table.Item{
		{About: "boundary", Text: "where the watts were counted: the wall, the supplies, the node as its controller reports it, the board, the CPU packages, the cards or one of them. Cards and packages together are a lower bound of the node. Two boundaries are never ranked against each other."},
		{About: "grade", Text: "A: at the wall within 1 %, over 600 s. B: at the wall within 2 %, over 300 s. C: telemetry of a controller or supply, or a shorter window. D: counters of components. E: modelled or declared, never ranked."},
		{About: "~", Text: "before a figure that no instrument measured."},
		{About: "index", Text: "work per joule against the reference, which is 100 %."},
		{About: "mullet", Text: "training in front, mining in the back: both at once on one node, mining where training leaves time. With a card, a matrix product runs on it in front, and mining behind on the CPU."},
		{About: "J/TH", Text: "joules for 10¹² hashes: the same number as watts per TH/s, and what makers of miners quote."},
		{About: "session", Text: "one start of perwatt run on one node; it holds rounds of windows. Sessions are the replicates."},
		{About: "window", Text: "the measured part of a run, after it has settled."},
	}}})
}
