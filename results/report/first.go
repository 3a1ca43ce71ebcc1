package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/stats"
)

// The first screen of a page on records: the verdict, the systems under test, and
// what each gives at each use. Whatever else the page has lies below it, folded where
// it passes or repeats.

// first is what the template shows of it.
type first struct {
	Verdict  verdict
	Systems  []block
	Matrix   []matrix // the first is shown, the others are folded
	Evidence evidence
	Printed  string // what is not, and how to get it
}

func firstScreen(p Page) *first {
	return &first{Verdict: verdictOf(p), Systems: systems(p), Matrix: matrices(p), Evidence: evidenceOf(p), Printed: "What is folded is not printed. Open it first, or ask for it: perwatt explain FIGURE for a formula, perwatt show FILE for a record, perwatt verify --rules publish FILE for the rules, perwatt prices --check FILE for the price sheet."}
}

// shownMost is how many candidates the first screen shows; the others are folded.
const shownMost = 10

// systems describes the candidates, the best first.
func systems(p Page) []block {
	head := func(n int) table.Table {
		return table.Table{ID: fmt.Sprintf("systems-%d", n), Columns: []table.Column{
			{Head: "candidate", Kind: table.Name, Limit: 40}, {Head: "cards or miner", Kind: table.Words, Weight: 1}, {Head: "processors", Kind: table.Words}, {Head: "memory", Kind: table.Words, Weight: -1},
			{Head: "meter", Kind: table.Words}, {Head: "watts at", Kind: table.Words, Weight: 1}, {Head: "sessions", Kind: table.Words, Weight: -1}, {Head: "price", Kind: table.Words, Weight: 2},
		}}
	}
	t := head(0)
	var rest table.Table
	for i, id := range bestFirst(p.Comparison) {
		c := &p.Comparison.Candidates[slices.IndexFunc(p.Comparison.Candidates, func(c compare.Candidate) bool { return c.ID == id })]
		cards, cpus := hardware(&c.Node)
		to := &t
		if i >= shownMost {
			if to = &rest; i == shownMost {
				rest = head(1)
				rest.Title = fmt.Sprintf("%d more systems", len(p.Comparison.Candidates)-shownMost)
			}
		}
		to.Row(table.Text{Text: c.ID, At: "candidate/" + c.ID}, orNil(cards), orNil(cpus), memoryOf(c.Node.Memory),
			table.Text{Text: cmp.Or(results.Line(c.Meter.Name, 40), "none"), Under: results.Line(c.Meter.Source, 60)},
			wattsOf(p.Comparison, c.ID), table.Text{Text: fmt.Sprint(len(c.Records)), Under: daysOf(c)}, priceOf(p.Economics, c))
	}
	return full(block{Table: t}, block{Table: rest, Fold: true})
}

// income is what a candidate earns with one thing that it sells; that of which the
// margin is the highest is shown.
type income struct {
	Margin, Daily phrase
	Best          bool
	value         results.Float
}

func orNil(s string) table.Cell {
	if s == "" {
		return nil
	}
	return text(s)
}

func memoryOf(bytes int64) table.Cell {
	if bytes <= 0 {
		return nil
	}
	return text(gib(bytes))
}

// daysOf are the first and the last day of a candidate's sessions.
func daysOf(c *compare.Candidate) string {
	var days []string
	for _, r := range c.Records {
		days = append(days, r.Start[:min(len(r.Start), len("2006-01-02"))])
	}
	least, most := slices.Min(days), slices.Max(days)
	if most != least {
		return least + " to " + most
	}
	return least
}

// wattsOf are the boundaries and grades of the watts of a candidate's uses.
func wattsOf(c *compare.Comparison, candidate string) table.Cell {
	var at, origins []string
	for _, t := range c.Tables {
		for _, g := range t.Groups {
			if g.Boundary == "" || !slices.ContainsFunc(g.Rows, func(r compare.Row) bool { return r.Candidate == candidate }) {
				continue
			}
			if s := fmt.Sprintf("%s · %s", g.Boundary, g.Grade); !slices.Contains(at, s) {
				at = append(at, s)
			}
			if s := string(g.Origin); !slices.Contains(origins, s) {
				origins = append(origins, s)
			}
		}
	}
	if len(at) == 0 {
		return text("nowhere")
	}
	return table.Text{Text: strings.Join(at, ", "), Under: strings.Join(origins, ", ")}
}

// priceOf is the price of a machine, as the sheet quotes it.
func priceOf(r *economics.Result, c *compare.Candidate) table.Cell {
	if r == nil {
		return nil
	}
	key := "node_price"
	if slices.ContainsFunc(c.Node.Devices, func(d results.Device) bool { return d.Kind == results.KindMiner }) {
		key = "asic_price"
	}
	t, _ := r.Table(sheetID)
	for _, k := range []string{key + "." + c.ID, key} {
		for _, row := range t.Rows {
			if strings.EqualFold(row[0].Text, k) {
				price, err := strconv.ParseFloat(row[1].Text, 64)
				if err != nil {
					return nil
				}
				return table.Text{Text: table.Quantity(results.Float(price), results.Unit(machinePrice(row[2].Text))), Price: row[0].Text}
			}
		}
	}
	return nil
}

// machinePrice is the unit of the price of one machine, which a table of machines names
// once.
func machinePrice(unit string) string { return strings.TrimSuffix(unit, "/node") }

// bestFirst orders the candidates: by how often they lead at the uses that decide,
// then by how near they come to it.
func bestFirst(c *compare.Comparison) []string {
	type rank struct {
		id      string
		led     int
		far     float64 // sum of (place − 1) ÷ competitors
		compete int
	}
	ranks := make([]rank, len(c.Candidates))
	for i, cand := range c.Candidates {
		ranks[i].id = cand.ID
		for j := range c.Choices {
			x := &c.Choices[j]
			competing := x.Competing()
			k := slices.IndexFunc(competing, func(p compare.Place) bool { return p.Candidate == cand.ID })
			if !x.Decides() || k < 0 {
				continue
			}
			ranks[i].compete++
			if ranks[i].far += float64(competing[k].Place-1) / float64(len(competing)); competing[k].Place == 1 {
				ranks[i].led++
			}
		}
	}
	results.SortStable(ranks, func(a, b rank) int {
		mean := func(r rank) float64 { return r.far / float64(max(1, r.compete)) }
		return cmp.Or(cmp.Compare(b.led, a.led), cmp.Compare(min(1, b.compete), min(1, a.compete)), cmp.Compare(mean(a), mean(b)))
	})
	var out []string
	for _, r := range ranks {
		out = append(out, r.id)
	}
	return out
}

// matrix has a row for each candidate and a column for each use.
type matrix struct {
	ID, Title string
	Uses      []string
	Rows      []matrixRow
	Notes     []string
	several   bool // candidates are compared
}

type matrixRow struct {
	Name, Hardware string
	Cells          []matrixCell
}

// matrixCell is a candidate at a use.
type matrixCell struct {
	Use, Sort string
	Value     phrase // work per joule
	Quoted    phrase // J/TH of a miner
	Device    string
	Tone      string // of the verdict, as of a badge; empty where there is none
	Sign      string
	Word      string // two words at most
	Why       string // of the word
	Note      string // its mark
	Index     phrase
	Money     []income
}

// usesAcross is how many uses stand side by side.
const usesAcross = 6

// matrices are what each candidate gives at each use: the uses that decide first. What
// the first screen has no room for follows.
func matrices(p Page) (out []matrix) {
	c := p.Comparison
	var uses []*compare.Choice
	for _, decides := range []bool{true, false} {
		for i := range c.Choices {
			if x := &c.Choices[i]; x.Decides() == decides && len(x.Places) > 0 {
				uses = append(uses, x)
			}
		}
	}
	order := bestFirst(c)
	var earned map[string][]earning
	figures := map[string]economics.Figure{}
	if p.Economics != nil {
		earned = earningsOf(p.Economics)
		for f := range p.Economics.Figures() {
			figures[f.ID] = f
		}
	}
	for u := 0; u < len(uses) || u == 0; u += usesAcross {
		for r := 0; r < len(order); r += shownMost {
			if r >= 2*shownMost {
				break // the second has all the others
			}
			across, down := uses[u:min(u+usesAcross, len(uses))], order[r:]
			if r == 0 {
				down = order[:min(shownMost, len(order))]
			}
			m := matrix{ID: fmt.Sprintf("matrix-%d-%d", u/usesAcross, r/shownMost), several: len(order) > 1}
			switch {
			case u > 0 && r > 0:
				m.Title = fmt.Sprintf("%s, and %s", results.Plural(len(across), "more use"), results.Plural(len(down), "more candidate"))
			case u > 0:
				m.Title = results.Plural(len(across), "more use")
			case r > 0:
				m.Title = results.Plural(len(down), "more candidate")
			}
			for _, x := range across {
				m.Uses = append(m.Uses, useName(x))
			}
			for _, id := range down {
				k := slices.IndexFunc(c.Candidates, func(c compare.Candidate) bool { return c.ID == id })
				row := matrixRow{Name: results.Line(id, 40), Hardware: hardwareOf(&c.Candidates[k].Node)}
				for _, x := range across {
					row.Cells = append(row.Cells, m.cell(x, id, earned, figures))
				}
				m.Rows = append(m.Rows, row)
			}
			out = append(out, m)
		}
	}
	out[0].Notes = append(out[0].Notes, basis(p))
	return out
}

// basis says what was compared and how.
func basis(p Page) string {
	c := p.Comparison
	sessions := 0
	for i := range c.Candidates {
		sessions += len(c.Candidates[i].Records)
	}
	if len(c.Candidates) == 1 {
		return fmt.Sprintf("%s. Intervals are 95 %%, seed %d.", results.Plural(sessions, "session"), c.Seed)
	}
	return fmt.Sprintf("%s in %s. The index is work per joule against %s, the reference, each machine by its best device. The margin is %s, fixed beforehand; intervals are 95 %%, seed %d.",
		results.Plural(len(c.Candidates), "candidate"), results.Plural(sessions, "session"), results.Line(c.Reference, 40), table.Percent(c.Margin), c.Seed)
}

// verdictWords are the signs and words of the first at a use.
var verdictWords = map[compare.Outcome]struct{ tone, sign, word, why string }{
	compare.Best:       {"good", "▲", "best", "more work per joule than every other, interval included"},
	compare.Level:      {"fair", "=", "level", "no other is worse by more than the margin"},
	compare.CannotTell: {"fair", "?", "cannot tell", "not told from another"},
	compare.Only:       {"", "●", "no rival", "no other whole machine was measured and ranked at this use"},
}

// unplacedWords are the two words for a candidate that does not compete.
var unplacedWords = map[stats.Reason]string{
	stats.NoPower: "no watts", compare.CPUAlone: "CPU only", compare.NoMiner: "a control", compare.OtherBoundary: "other meter",
}

func (m *matrix) cell(x *compare.Choice, id string, earned map[string][]earning, figures map[string]economics.Figure) matrixCell {
	cell := matrixCell{Use: useName(x)}
	k := slices.IndexFunc(x.Places, func(p compare.Place) bool { return p.Candidate == id })
	if k < 0 {
		cell.Value.Text, cell.Word = table.Absent, "not measured"
		return cell
	}
	p := &x.Places[k]
	named := func(f results.Figure, figure string) phrase {
		value, _ := table.Split(f)
		return phrase{Text: value, ID: results.Line(figure, 200)}
	}
	cell.Value.Text, cell.Device = table.Absent, results.Line(p.Device, 60)
	if f, ok := p.Figure(results.WorkPerEnergy); ok && !f.Value.IsAbsent() {
		cell.Value, cell.Sort = named(f, p.Row+"/"+results.WorkPerEnergy), table.Exact(f.Value)
	}
	if f, ok := p.Figure(results.EnergyPerWork); ok && !f.Value.IsAbsent() && f.Unit == results.Joule.Per(results.Hash) && mines(x) {
		cell.Quoted = named(f, p.Row+"/"+results.EnergyPerWork)
	}
	switch w, ok := verdictWords[x.Outcome]; {
	case p.Place == 0:
		cell.Word, cell.Why = cmp.Or(unplacedWords[p.Reason], "not ranked"), table.Sentence(p.Why, table.TextLimit)
		cell.Note = m.note(cell.Word, cell.Why)
	case p.Place > 1:
		cell.Tone, cell.Sign, cell.Word, cell.Why = "poor", "▼", "less", "less work per joule than the best, interval included"
	case ok && (x.Outcome != compare.Only || m.several):
		cell.Tone, cell.Sign, cell.Word, cell.Why = w.tone, w.sign, w.word, w.why
	}
	if x.Control {
		cell.Tone, cell.Sign = "", ""
		if p.Reason == "" {
			cell.Word, cell.Why = "a control", "nobody buys this machine to mine"
		}
	}
	if id := p.IndexID(); id != "" && !p.Index.Value.IsAbsent() && len(x.Competing()) > 1 {
		cell.Index = named(p.Index, id)
	}
	if x.Control || p.Reason == compare.NoMiner {
		return cell
	}
	best := -1
	shown := func(f economics.Figure) bool { return !f.Value.IsAbsent() && f.Status == "" }
	for _, e := range earned[p.Row] {
		money := income{Margin: named(e.margin.Figure, e.margin.ID), value: e.margin.Value}
		if daily, ok := figures[e.id+"/daily"]; ok {
			money.Daily, money.Daily.Absent = named(daily.Figure, daily.ID), !shown(daily)
		}
		if cell.Money = append(cell.Money, money); shown(e.margin) && (best < 0 || money.value > cell.Money[best].value) {
			best = len(cell.Money) - 1
		}
	}
	if best >= 0 {
		cell.Money[best].Best = true
	}
	return cell
}

// note adds a note once, and returns its mark.
func (m *matrix) note(word, why string) string {
	n := word + ": " + why + "."
	i := slices.IndexFunc(m.Notes, func(s string) bool { return strings.HasSuffix(s, " "+n) })
	if i < 0 {
		i = len(m.Notes)
		m.Notes = append(m.Notes, mark(i+1)+" "+n)
	}
	return mark(i + 1)
}

// mark numbers a note.
func mark(n int) string {
	return strings.Map(func(r rune) rune { return []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[r-'0'] }, fmt.Sprint(n))
}

// evidence is what the records are worth: what passes is folded.
type evidence struct {
	Text           string
	Passed, Failed []badge
}

func evidenceOf(p Page) (e evidence) {
	all := badges(p)
	for _, b := range all {
		if b.Tone == "good" {
			e.Passed = append(e.Passed, b)
		} else {
			e.Failed = append(e.Failed, b)
		}
	}
	e.Text = fmt.Sprintf("Evidence: %d of %d checks pass", len(e.Passed), len(all))
	return e
}
