package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/site"
)

// The page of a fleet, for who accepts its racks: which nodes compute wrongly, are
// outliers or have no figure, and what racks and the site deliver and draw. Package site
// decides all of it.

// FleetPage is what goes into the page of a fleet.
type FleetPage struct {
	Analysis *site.Analysis
	Command  string // that makes this page again
	Tool     string // name, version and revision of the program
	Links    []Link // to other pages, where there are others
}

// What the page of a fleet shows: nobody reads more, and JSON and CSV have all.
const (
	fleetNamed  = 6       // nodes named in a sentence
	fleetListed = 24      // nodes named in a cell
	fleetShown  = 20      // rows of a table before the others are folded
	fleetRacks  = 64      // of racks, which are read on paper too
	fleetRows   = 1000    // rows of a table in all
	fleetMarks  = 100_000 // nodes drawn in strips, of about 35 bytes each
)

// WriteFleetHTML writes the page of a fleet.
func WriteFleetHTML(w io.Writer, p FleetPage) error {
	a := p.Analysis
	if a == nil || len(a.Nodes) == 0 {
		return fmt.Errorf("report: the page of a fleet needs nodes")
	}
	f := fleet{Analysis: a, worst: worstPoints(a)}
	verdict, switches := f.verdict(), section{}
	if len(a.Switches) > 1 {
		switches = sectionOf("switches", "Switches", "", f.firstRows(f.racks("switches-table", "switch", a.Switches), fleetShown, "switch")...)
	}
	sub := fmt.Sprintf("%s, %s", results.Line(a.Roster.Engine, 40), things(len(a.Nodes), "node"))
	if len(a.Racks) > 0 {
		sub += " in " + things(len(a.Racks), "rack")
	}
	return view{
		Kind: "Fleet", Title: "Is every node of this fleet what it should be?", Headline: verdict.Head, Sub: fmt.Sprintf("%s, from %s: %s.", results.Line(a.Roster.Name, 60), results.Minute(a.Roster.Start), sub), Links: here(p.Links, Link{Text: "Fleet", Href: "#main"}),
		First: &first{Verdict: verdict, Printed: "What is folded is not printed. Open it first, or ask for it: perwatt fleet report with --format csv or json has every figure of every node, and perwatt show RECORD the record of one."},
		Sections: []section{
			sectionOf("completion", "Completion", "", block{Table: f.completion()}),
			sectionOf("totals", "What the site delivers and draws", "", block{Table: f.totals()}),
			sectionOf("warnings", "Warnings", "", block{Table: warned("", a.Warnings)}),
			sectionOf("wrong", "Wrong answers", "A node that computes wrongly is worse than a slow one.", f.firstRows(f.wrong(), fleetShown, "node")...),
			sectionOf("off", "Outliers and doubtful nodes", "", f.firstRows(f.off(), fleetShown, "node")...),
			sectionOf("floor", "The site, node by node", "", block{Charts: f.floor()}),
			sectionOf("missing", "Nodes without a figure", "", f.firstRows(f.missing(), fleetShown, "reason")...),
			sectionOf("racks", "Racks", "", f.firstRows(f.racks("racks-table", "rack", a.Racks), fleetRacks, "rack")...),
			sectionOf("rack-meters", "What the meters of racks read", "", f.firstRows(f.facility(), fleetRacks, "row")...),
			switches,
			f.uses(),
			sectionOf("mix", "What the power of the site is best spent on", "", block{Table: f.mix()}),
			folded(f.method(), "how a node becomes an outlier, and how often a healthy one does"),
			folded(f.origin(p.Command), "what was measured, and what makes this page again"),
		},
		Foot: []string{results.Line(p.Tool, 120)},
	}.write(w)
}

// firstRows is a table of which the rows after so many are folded.
func (f *fleet) firstRows(t table.Table, most int, what string) []block {
	n := len(t.Rows)
	if n > fleetRows {
		t.Notes = append(slices.Clip(t.Notes), things(n-fleetRows, "more "+what)+": perwatt fleet report with --format csv or json has all of them.")
	}
	if n <= most {
		return []block{{Table: t}}
	}
	rest := t
	rest.ID, rest.Title, rest.Notes = t.ID+"-more", things(n-most, "more "+what), nil
	t.Rows, rest.Rows = t.Rows[:most], t.Rows[most:min(n, fleetRows)]
	return []block{{Table: t}, {Table: rest, Fold: true}}
}

// fleet is an analysis while its page is made.
type fleet struct {
	*site.Analysis
	worst []offPoint // by node
}

// offPoint is the figure of a node that is worst: the worst conclusion, and of those the
// one that is furthest off.
type offPoint struct {
	figure *site.Distribution // nil if the node has none
	*site.Point
}

func worstPoints(a *site.Analysis) []offPoint {
	out := make([]offPoint, len(a.Nodes))
	rank := map[site.Health]int{}
	for i, h := range site.Healths() {
		rank[h] = i
	}
	for i := range a.Figures {
		d := &a.Figures[i]
		for j := range d.Points {
			p := &d.Points[j]
			if o := out[p.Node]; o.figure == nil || cmp.Or(cmp.Compare(rank[p.Health], rank[o.Health]), -cmp.Compare(far(p), far(o.Point))) < 0 {
				out[p.Node] = offPoint{d, p}
			}
		}
	}
	return out
}

// far is how far a figure is off; below counts before above.
func far(p *site.Point) float64 {
	switch d := float64(p.Deviation); {
	case math.IsNaN(d):
		return math.Inf(-1)
	case d > 0:
		return d - 1e-9
	default:
		return -d
	}
}

// of are the nodes of a conclusion, those that are furthest off first.
func (f *fleet) of(h site.Health) (nodes []int) {
	for i := range f.Nodes {
		if f.Nodes[i].Health == h {
			nodes = append(nodes, i)
		}
	}
	if h == site.Outlier || h == site.CannotTell {
		results.SortStable(nodes, func(i, j int) int {
			size := func(n int) float64 {
				if f.worst[n].figure == nil {
					return 0
				}
				return far(f.worst[n].Point)
			}
			return -cmp.Compare(size(i), size(j))
		})
	}
	return nodes
}

func (f *fleet) name(i int) string { return results.Line(f.Nodes[i].Name, 40) }

// named are the first names, and how many more there are.
func (f *fleet) named(nodes []int, most int) string {
	var out []string
	for _, i := range nodes[:min(len(nodes), most)] {
		out = append(out, f.name(i))
	}
	return strings.Join(out, ", ") + more(len(nodes)-most)
}

// scenarioName is the use of a figure in a sentence.
func scenarioName(scenario, use, device string) string {
	name := results.UseWords(scenario)
	if use != "" && use != scenario && !strings.HasPrefix(scenario, use) {
		name += ", " + results.UseWords(use)
	}
	if device != "" && device != results.CPUDevice && !strings.Contains(scenario, device) {
		name += " on " + device
	}
	return results.Line(name, 80)
}

func figureUse(d *site.Distribution) string { return scenarioName(d.Scenario, d.Use, d.Device) }

// metricWords names a figure: work per joule, throughput.
func metricWords(metric string) string {
	if metric == results.WorkPerEnergy {
		return "work per joule"
	}
	return strings.ReplaceAll(results.Line(metric, 40), "_", " ")
}

// things is a number of things in a sentence: 1 node, 10,000 nodes.
func things(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "ch") {
		what += "e"
	}
	return table.Count(n) + " " + what + "s"
}

// count is a sentence of one thing, or of so many.
func count(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return table.Count(n) + " " + several
}

// verdict is what the operator takes away in two or three sentences.
func (f *fleet) verdict() verdict {
	n, wrong, missing, outliers, open := len(f.Nodes), f.of(site.Wrong), f.of(site.Missing), f.of(site.Outlier), f.of(site.CannotTell)
	over, unsettled, unjudged, budgets := f.budgets()
	measured := n - len(missing)
	v := verdict{Tone: "good", Sign: "✓", Head: fmt.Sprintf("All %s were measured, and none is an outlier.", things(n, "node"))}
	switch {
	case len(wrong) > 0:
		v.Tone, v.Sign = "poor", "✕"
		v.Head = fmt.Sprintf("%s: %s.", count(len(wrong), "node computes wrongly", "nodes compute wrongly"), f.named(wrong, fleetNamed))
	case len(over) > 0:
		v.Tone, v.Sign = "poor", "✕"
		v.Head = fmt.Sprintf("%s more than budgeted: %s.", count(len(over), "rack draws", "racks draw"), few(over))
	case len(outliers) > 0:
		v.Tone, v.Sign = "poor", "✕"
		v.Head = fmt.Sprintf("%s: %s.", count(len(outliers), "node is an outlier", "nodes are outliers"), f.named(outliers, fleetNamed))
	case len(missing) > 0:
		v.Tone, v.Sign = "fair", "!"
		v.Head = fmt.Sprintf("%s of %s %s no figure yet.", table.Count(len(missing)), things(n, "node"), map[bool]string{true: "has", false: "have"}[len(missing) == 1])
		if measured == 0 {
			v.Tone, v.Sign, v.Head = "poor", "✕", fmt.Sprintf("None of %s has a figure.", things(n, "node"))
		}
	case f.Faults():
		v.Tone, v.Sign, v.Head = "fair", "!", fmt.Sprintf("All %s were measured; not all racks or levels are alike.", things(n, "node"))
	case f.Counts[site.Good] == 0:
		v.Tone, v.Sign, v.Head = "fair", "?", fmt.Sprintf("All %s were measured; there are too few equal ones to judge any.", things(n, "node"))
	case len(open) > 0:
		v.Tone, v.Sign, v.Head = "fair", "?", fmt.Sprintf("All %s were measured; of %s it cannot be told whether they are outliers.", things(n, "node"), table.Count(len(open)))
	}
	say := func(format string, args ...any) {
		v.Sentences = append(v.Sentences, sentence{{Text: fmt.Sprintf(format, args...)}})
	}
	if measured > 0 {
		text := fmt.Sprintf("%s of %s were measured", table.Count(measured), things(n, "node"))
		if missing == nil {
			text = fmt.Sprintf("All %s were measured", things(n, "node"))
		}
		if len(outliers) > 0 {
			text += fmt.Sprintf("; %s: %s", count(len(outliers), "is an outlier", "are outliers"), f.offNames(outliers))
		} else if len(wrong) > 0 {
			text += "; none of the others is an outlier"
		}
		if len(open) > 0 {
			text += fmt.Sprintf("; of %s it cannot be told (measure again, with more rounds)", table.Count(len(open)))
		}
		if !strings.HasPrefix(v.Head, text) {
			say("%s.", text)
		}
	}
	if off := f.offRacks(); len(off) > 0 {
		say("Off as a whole: %s.", few(off))
	}
	if len(missing) > 0 {
		var reasons []string
		for _, g := range f.reasons() {
			reasons = append(reasons, fmt.Sprintf("%s (%s)", g.reason, table.Count(len(g.nodes))))
		}
		say("%s no figure: %s. perwatt fleet resume %s measures what is missing.", count(len(missing), "node has", "nodes have"), few(reasons), results.Line(f.Roster.Name, 60))
	}
	switch {
	case budgets == 0:
	case len(over) > 0 && len(wrong) > 0: // the head does not say it
		say("Over the budget of power: %s.", few(over))
	case len(over) > 0:
	case len(unsettled)+unjudged == 0:
		say("The power of %s is within budget.", map[bool]string{true: "the rack", false: "all " + things(budgets, "rack")}[budgets == 1])
	case budgets == len(unsettled)+unjudged:
		say("Whether the power of %s is within budget cannot be told: the table of racks says why.", map[bool]string{true: "the rack", false: things(budgets, "rack")}[budgets == 1])
	default:
		say("The power of %s of %s is within budget; of the others it cannot be told.", table.Count(budgets-len(unsettled)-unjudged), things(budgets, "rack"))
	}
	return v
}

// few names the first of many, cleaned.
func few(all []string) string {
	const most = 3
	return results.Line(strings.Join(all[:min(len(all), most)], "; ")+more(len(all)-most), table.TextLimit)
}

// offNames are outliers, each with its worst figure.
func (f *fleet) offNames(nodes []int) string {
	var out []string
	for _, i := range nodes[:min(len(nodes), mostNamed)] {
		text := f.name(i)
		if o := f.worst[i]; o.figure != nil && o.Health == site.Outlier {
			text += fmt.Sprintf(" (%s at %s)", results.Signed(float64(o.Deviation)), figureUse(o.figure))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ") + more(len(nodes)-mostNamed)
}

// budgets are the racks that draw more than they may, those of which it cannot be told,
// how many have watts that are not judged, and how many have a budget.
func (f *fleet) budgets() (over, unsettled []string, unjudged, all int) {
	for _, r := range f.Racks {
		switch r.Power {
		case "":
			continue
		case site.Over:
			text := results.Line(r.Name, 40)
			if r.PowerBy == site.ByFacility {
				text += fmt.Sprintf(" (%s of %s)", table.One(alone(r.Facility.Power)), table.Quantity(r.Budget, results.Watt))
			} else if len(r.Watts) > 0 {
				text += fmt.Sprintf(" (%s of %s)", table.One(alone(r.Watts[0].Figure)), table.Quantity(r.Budget, results.Watt))
			}
			over = append(over, text)
		case site.Unsettled:
			unsettled = append(unsettled, r.Name)
		case site.Unmeasured:
			unjudged++
		}
		all++
	}
	return over, unsettled, unjudged, all
}

// alone is a figure without its interval.
func alone(f results.Figure) results.Figure {
	f.Low, f.High = results.Absent(), results.Absent()
	return f
}

// offRacks are the racks and switches that are off as a whole, each where it is most.
func (f *fleet) offRacks() (out []string) {
	racks := f.Racks
	if len(racks) == 0 {
		racks = f.Switches
	}
	for i := range racks {
		if x, n := f.offMost(&racks[i]); n > 0 {
			d := &f.Figures[x.Figure]
			out = append(out, fmt.Sprintf("%s (%s at %s)", results.Line(racks[i].Name, 40), results.Signed(float64(x.Deviation)), figureUse(d)))
		}
	}
	return out
}

// offMost is the figure in which a rack is furthest off, and how many are off.
func (f *fleet) offMost(r *site.Rack) (most site.RackFigure, n int) {
	for _, x := range r.Figures {
		if !x.Off || x.Figure >= len(f.Figures) {
			continue
		}
		if n++; n == 1 || math.Abs(float64(x.Deviation)) > math.Abs(float64(most.Deviation)) {
			most = x
		}
	}
	return most, n
}

// conclusions says what each conclusion means, and which sign it has.
var conclusions = map[site.Health]struct{ sign, means string }{
	site.Wrong:      {"✕", "its answers are not those of the reference: take it out of service"},
	site.Missing:    {"!", "no record, or none of a use that its equals have"},
	site.Outlier:    {"▼", "a figure is further from those of equal nodes than chance explains"},
	site.CannotTell: {"?", "it may be an outlier, but its own interval reaches the others (measure it again), or healthy nodes reach as far"},
	site.NotJudged:  {"–", "there are too few equal nodes to judge it by"},
	site.Good:       {"✓", "measured, and like its equals"},
}

// completion counts the nodes of each conclusion.
func (f *fleet) completion() table.Table {
	t := table.Table{ID: "completion-table", Columns: []table.Column{{Head: "conclusion", Kind: table.Name}, {Head: "nodes", Weight: 2}, {Head: "of all"}, {Head: "which", Kind: table.Words, Weight: 2}, {Head: "means", Kind: table.Words}}}
	for _, h := range site.Healths() {
		nodes := f.of(h)
		if len(nodes) == 0 {
			continue
		}
		var which table.Cell
		if h != site.Good {
			which = text(f.named(nodes, fleetListed/2))
		}
		share := float64(len(nodes)) / float64(len(f.Nodes))
		t.Row(text(conclusions[h].sign+" "+string(h)), table.Whole(len(nodes)), table.Number{Value: results.Float(share), Print: table.Percent(share)}, which, text(conclusions[h].means))
	}
	return t
}

// totals are the sums over the site, one row a use.
func (f *fleet) totals() table.Table {
	t := table.Table{ID: "totals-table", WattsAt: true, Columns: []table.Column{{Head: "use", Kind: table.Name, Limit: 80}, {Head: "throughput", Under: "all nodes", Weight: 2}, {Head: "power", Weight: 2}, {Head: "work per joule", Weight: 2}, {Head: "nodes", Under: "with watts", Weight: 1}}}
	for _, x := range f.Totals {
		row := func(w *site.RackWatts, first bool) {
			var rate, power, per table.Cell
			nodes := table.Number{Value: results.Float(x.Nodes), Print: table.Count(x.Nodes), Under: "0"}
			if first {
				rate, per = table.Figure{Figure: x.Rate}, table.Of(x.PerEnergy)
			}
			if w != nil {
				power, nodes.Under = table.Figure{Figure: w.Figure}, table.Count(w.Nodes)
			}
			t.Row(text(scenarioName(x.Scenario, x.Use, x.Device)), rate, power, per, nodes)
		}
		if len(x.Power) == 0 {
			row(nil, true)
		}
		for i := range x.Power {
			row(&x.Power[i], i == 0)
		}
	}
	return t
}

// wrong has a row for each node that computes wrongly.
func (f *fleet) wrong() table.Table {
	t := table.Table{ID: "wrong-table", Columns: []table.Column{{Head: "node", Kind: table.Name, Limit: 40}, {Head: "rack", Kind: table.Name}, {Head: "what", Kind: table.Words, Weight: 2}, {Head: "look with", Kind: table.Words}}}
	for _, i := range f.of(site.Wrong) {
		n := &f.Nodes[i]
		t.Row(nodeCell(n), orNil(n.Rack), text(table.Sentence(n.Why, table.TextLimit)), orNil(n.More))
	}
	return t
}

// nodeCell names a node; the address of the page leads to it.
func nodeCell(n *site.NodeResult) table.Cell { return table.Text{Text: n.Name, At: "node/" + n.Name} }

// off has a row for each node that is an outlier or may be one, and for each of those
// that are off for another reason than a figure.
func (f *fleet) off() table.Table {
	t := table.Table{ID: "off-table", Columns: []table.Column{
		{Head: "node", Kind: table.Name, Limit: 40}, {Head: "rack", Kind: table.Name}, {Head: "deviation", Under: "standard deviations", With: true, Weight: 2}, {Head: "at", Kind: table.Words, Weight: 2},
		{Head: "value", Weight: 1}, {Head: "equal nodes", Under: "median", Weight: 1}, {Head: "conclusion", Kind: table.Words, Weight: 1}, {Head: "what else differs", Kind: table.Words}, {Head: "look with", Kind: table.Words, Weight: -2},
	}}
	for _, i := range slices.Concat(f.of(site.Outlier), f.of(site.CannotTell)) {
		n, o := &f.Nodes[i], f.worst[i]
		row := []table.Cell{nodeCell(n), orNil(n.Rack), nil, nil, nil, nil, text(conclusions[n.Health].sign + " " + string(n.Health)), nil, orNil(n.More)}
		if o.figure == nil || o.Health != site.Outlier && o.Health != site.CannotTell {
			row[7] = text(table.Sentence(n.Why, table.TextLimit))
		} else {
			deviation := table.Number{Value: o.Deviation, Print: results.Signed(float64(o.Deviation))}
			if !o.Score.IsAbsent() {
				deviation.Under = strings.Replace(table.Round(float64(o.Score), 2), "-", "−", 1) + " σ"
			}
			row[2], row[3] = deviation, text(figureUse(o.figure)+", "+metricWords(o.figure.Metric))
			row[4], row[5] = table.Figure{Figure: pointFigure(o.figure, o.Point)}, table.Figure{Figure: of(o.figure, o.figure.Median)}
			row[7] = orNil(strings.Join(o.Differs, ", "))
		}
		t.Row(row...)
	}
	return t
}

// of is a value in the unit of a distribution, without an interval.
func of(d *site.Distribution, v results.Float) results.Figure {
	return results.Figure{Value: v, Low: results.Absent(), High: results.Absent(), Unit: d.Unit, Provenance: d.Provenance}
}

func pointFigure(d *site.Distribution, p *site.Point) results.Figure {
	x := of(d, p.Value)
	x.Low, x.High = p.Low, p.High
	return x
}

// reason is why nodes have no figure.
type reason struct {
	reason string
	nodes  []int
}

// reasons groups the nodes without a figure, the most frequent reason first.
func (f *fleet) reasons() (out []reason) {
	at := map[string]int{}
	for _, i := range f.of(site.Missing) {
		n := &f.Nodes[i]
		// What names the node in its own reason does not part it from the others.
		why := cmp.Or(results.Line(n.Why, 160), string(n.State))
		if len(n.Name) > 2 {
			why = strings.ReplaceAll(why, results.Line(n.Name, 160), "it")
		}
		j, ok := at[why]
		if !ok {
			j = len(out)
			at[why], out = j, append(out, reason{reason: why})
		}
		out[j].nodes = append(out[j].nodes, i)
	}
	results.SortStable(out, func(a, b reason) int { return cmp.Compare(len(b.nodes), len(a.nodes)) })
	return out
}

// missing has a row for each reason for which nodes have no figure.
func (f *fleet) missing() table.Table {
	t := table.Table{ID: "missing-table", Columns: []table.Column{
		{Head: "reason", Kind: table.Name, Limit: 160}, {Head: "nodes"}, {Head: "which", Kind: table.Words, Weight: 1}, {Head: "state", Kind: table.Words, Weight: -1}, {Head: "more of the first", Kind: table.Words, Weight: 2},
	}}
	all := f.reasons()
	for _, g := range all {
		states := map[site.State]bool{}
		var names []string
		for _, i := range g.nodes {
			if s := f.Nodes[i].State; !states[s] {
				states[s], names = true, append(names, string(s))
			}
		}
		t.Row(text(g.reason), table.Whole(len(g.nodes)), text(f.named(g.nodes, fleetListed)), text(strings.Join(names, ", ")), orNil(f.Nodes[g.nodes[0]].More))
	}
	if len(all) > 0 {
		t.Notes = append(t.Notes, "perwatt fleet resume "+results.Line(f.Roster.Name, 60)+" measures what is missing and nothing else.")
	}
	return t
}

// floor draws the nodes by rack.
func (f *fleet) floor() []picture {
	c := chart.Racks{Head: chart.Head{ID: "floor-chart", Title: "Each node by its figure that is furthest off", Table: "off-table"}, Of: "the figure of each that is furthest from the median of its equals"}
	at := map[string]int{}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		place := cmp.Or(n.Rack, n.Switch)
		j, ok := at[place]
		if !ok {
			j = len(c.Racks)
			at[place], c.Racks = j, append(c.Racks, chart.Rack{Name: place})
		}
		node := chart.RackNode{Name: n.Name, Sigma: math.NaN()}
		if o := f.worst[i]; o.figure != nil && !o.Score.IsAbsent() {
			node.Sigma = float64(o.Score)
			node.Note = fmt.Sprintf("%s at %s", results.Signed(float64(o.Deviation)), figureUse(o.figure))
		}
		switch n.Health {
		case site.Wrong:
			node.Mark, node.Note = chart.Wrong, n.Why
		case site.Missing:
			node.Mark, node.Note = chart.Missing, n.Why
		case site.Outlier:
			if node.Mark = chart.Low; node.Sigma > 0 {
				node.Mark = chart.High
			}
		}
		c.Racks[j].Nodes = append(c.Racks[j].Nodes, node)
	}
	if unnamed, ok := at[""]; ok && len(c.Racks) > 1 {
		c.Racks[unnamed].Name = "no rack known"
	}
	return pictured(c.Head, c)
}

// lookWords are one node of a conclusion, and several.
var lookWords = map[site.Health][2]string{site.Wrong: {"wrong", "wrong"}, site.Outlier: {"outlier", "outliers"}, site.Missing: {"missing", "missing"}, site.CannotTell: {"cannot tell", "cannot tell"}}

// racks has a row for each rack, or switch: those that are to be looked at first.
func (f *fleet) racks(id, what string, all []site.Rack) table.Table {
	t := table.Table{ID: id, WattsAt: true, Columns: []table.Column{
		{Head: what, Kind: table.Name, Limit: 40}, {Head: "nodes", Under: "measured", Weight: 1}, {Head: "to look at", Kind: table.Words, Weight: 2}, {Head: "as a whole", Under: "against the others", Weight: 1}, {Head: "at", Kind: table.Words},
		{Head: "power", Weight: 2}, {Head: "budget", Weight: 2}, {Head: "within", Kind: table.Words, Weight: 2},
	}}
	bad := func(r *site.Rack) int {
		_, off := f.offMost(r)
		switch {
		case r.Power == site.Over:
			return 4
		case r.Counts[site.Wrong] > 0:
			return 3
		case off > 0:
			return 2
		case r.Counts[site.Outlier]+r.Counts[site.Missing] > 0:
			return 1
		}
		return 0
	}
	racks := slices.Clone(all)
	results.SortStable(racks, func(a, b site.Rack) int { return cmp.Compare(bad(&b), bad(&a)) })
	for i := range racks {
		r := &racks[i]
		var look []string
		for _, h := range []site.Health{site.Wrong, site.Outlier, site.Missing, site.CannotTell} {
			if n := r.Counts[h]; n > 0 {
				look = append(look, count(n, lookWords[h][0], lookWords[h][1]))
			}
		}
		row := []table.Cell{text(r.Name), table.Number{Value: results.Float(r.Nodes), Print: table.Count(r.Nodes), Under: table.Count(r.Measured)}, text(strings.Join(look, ", ")), nil, nil, nil, nil, nil}
		if x, n := f.offMost(r); n > 0 {
			row[3], row[4] = table.Number{Value: x.Deviation, Print: results.Signed(float64(x.Deviation))}, text(figureUse(&f.Figures[x.Figure]))
			if n > 1 {
				row[4] = table.Text{Text: figureUse(&f.Figures[x.Figure]), Under: results.Plural(n-1, "more figure")}
			}
		}
		if len(r.Watts) > 0 {
			row[5] = table.Figure{Figure: r.Watts[0].Figure}
		}
		if r.Power != "" {
			sign := map[site.BudgetVerdict]string{site.Within: "✓ ", site.Over: "✕ over", site.Unsettled: "? ", site.Unmeasured: "– "}[r.Power]
			word := strings.TrimSuffix(sign+string(r.Power), string(site.Over)) // "over" stands in the sign
			why := r.PowerWhy
			if r.Facility != nil {
				why = strings.TrimSuffix("by the "+r.PowerBy+"; "+why, "; ")
			}
			row[6], row[7] = table.Number{Value: r.Budget, Print: table.Quantity(r.Budget, results.Watt)}, table.Text{Text: word, Under: why}
		}
		t.Row(row...)
		for _, w := range r.Watts[min(1, len(r.Watts)):] { // at another boundary, or not measured
			t.Row(text(r.Name), nil, nil, nil, nil, table.Figure{Figure: w.Figure}, nil, nil)
		}
	}
	if slices.ContainsFunc(racks, func(r site.Rack) bool { return len(r.Watts) > 0 }) {
		t.Notes = append(t.Notes, "Watts are the sum of the nodes that have them, at the use that draws most.")
	}
	return t
}

// facility has what the meters of racks read beside the sum of the nodes at the same use,
// and the difference. Each row has the boundary of its own watts.
func (f *fleet) facility() table.Table {
	t := table.Table{ID: "rack-meters-table", WattsAt: true, Columns: []table.Column{{Head: "rack", Kind: table.Name, Limit: 40}, {Head: "watts of", Kind: table.Words, Weight: 2}, {Head: "power", Weight: 2}, {Head: "nodes", Under: "of the rack", Weight: 2}, {Head: "use", Kind: table.Words, Weight: 1}, {Head: "of the meter", Weight: 1}, {Head: "", Kind: table.Words, Weight: 1}}}
	for i := range f.Racks {
		r := &f.Racks[i]
		p := r.Facility
		if p == nil {
			continue
		}
		row := func(of string, watts results.Figure, nodes int, why string) {
			t.Row(text(r.Name), text(of), table.Figure{Figure: watts}, table.Number{Value: results.Float(nodes), Print: table.Count(nodes), Under: table.Count(r.Nodes)}, text(scenarioName(p.Scenario, "", "")),
				table.Number{Value: watts.Value / p.Power.Value, Print: table.Percent(float64(watts.Value / p.Power.Value))}, text(why))
		}
		row("rack's meter", p.Power, p.Nodes, r.BeyondWhy)
		for _, w := range r.AtFacility {
			row("sum of nodes", w.Figure, w.Nodes, "")
		}
		if r.Beyond != nil {
			row("beyond the nodes", *r.Beyond, p.Nodes, "switches, fans, losses")
		}
	}
	if len(t.Rows) > 0 {
		t.Notes = append(t.Notes, "The rack's meter counts all that it feeds while its nodes measure at the same time.")
	}
	return t
}

// uses draws and tables the figures of each use over equal nodes.
func (f *fleet) uses() section {
	s := section{ID: "uses", Title: "Each use, over equal nodes"}
	type key struct{ scenario, use, device, metric string }
	var order []key
	in := map[key][]*site.Distribution{}
	for i := range f.Figures {
		d := &f.Figures[i]
		k := key{d.Scenario, d.Use, d.Device, d.Metric}
		if in[k] == nil {
			order = append(order, k)
		}
		in[k] = append(in[k], d)
	}
	results.SortStable(order, func(a, b key) int { // work per joule is what is bought
		return cmp.Compare(len(b.metric), len(a.metric)) * map[bool]int{true: 1, false: 0}[a.metric != b.metric]
	})
	marks, undrawn := 0, 0
	var b block
	for n, k := range order {
		first := in[k][0]
		nodes := 0
		for _, d := range in[k] {
			nodes += len(d.Points)
		}
		if marks += nodes; marks > fleetMarks && len(b.Charts) > 0 {
			undrawn++
			continue
		}
		b.Charts = append(b.Charts, f.strip(fmt.Sprintf("strip-%d", n), first, in[k])...)
	}
	if undrawn > 0 {
		s.Lead = append(s.Lead, fmt.Sprintf("The first %d of %d figures are drawn: the table has all of them.", len(b.Charts), len(order)))
	}
	s.add(b)
	s.add(f.firstRows(f.spread(), fleetRacks, "figure")...)
	return s
}

// strip draws the nodes of a use, a row for each kind of machine.
func (f *fleet) strip(id string, first *site.Distribution, all []*site.Distribution) []picture {
	c := chart.Strip{Head: chart.Head{ID: id, Title: results.Line(figureUse(first)+": "+metricWords(first.Metric), 160), Table: "spread-table"}, Axis: chart.Axis{Title: "against the median of equal nodes", Unit: "%", Factor: 100}}
	for _, d := range all {
		row := chart.StripRow{Name: strings.TrimSpace("median " + table.Quantity(d.Median, d.Unit) + ", " + d.Hardware + " " + wattsShort(d.Provenance))}
		for j := range d.Points {
			p := &d.Points[j]
			n := chart.StripNode{Name: f.Nodes[p.Node].Name, Figure: chart.Figure{Value: float64(p.Value/d.Median) - 1, Modelled: d.Origin != "" && d.Origin != results.Measured}, Outlier: p.Health == site.Outlier}
			if n.Outlier {
				n.Text = results.Signed(n.Value)
			}
			row.Nodes = append(row.Nodes, n)
		}
		c.Rows = append(c.Rows, row)
	}
	return pictured(c.Head, c)
}

// wattsShort is the boundary of watts, as a suffix.
func wattsShort(p results.Provenance) string {
	if p.Boundary == "" {
		return ""
	}
	return "· " + wattsAt(p)
}

// spread has a row for each figure over equal nodes.
func (f *fleet) spread() table.Table {
	t := table.Table{ID: "spread-table", WattsAt: true, Columns: []table.Column{
		{Head: "use", Under: "machine", Kind: table.Name, Limit: 120}, {Head: "figure", Kind: table.Words, Weight: 1}, {Head: "nodes", Weight: 1}, {Head: "median", Weight: 2}, {Head: "first to last quarter", Weight: 1}, {Head: "1 % to 99 %", Weight: -1}, {Head: "least to most", Weight: -1},
		{Head: "spread", Under: "1 σ", Weight: 2}, {Head: "outlier beyond", Under: "σ", Weight: 2}, {Head: "healthy beyond", Under: "of 1,000, at most", Weight: -1}, {Head: "found if slower by", Under: "in 99 of 100", Weight: 1}, {Head: "outliers", Weight: 2}, {Head: "levels and shape", Kind: table.Words, Weight: -1},
	}}
	for i := range f.Figures {
		d := &f.Figures[i]
		outliers := 0
		for _, p := range d.Points {
			if p.Health == site.Outlier {
				outliers++
			}
		}
		between := func(low, high results.Float) table.Cell {
			if low.IsAbsent() || high.IsAbsent() {
				return nil
			}
			return table.Number{Value: low, Print: table.Quantity(low, d.Unit) + " – " + table.Quantity(high, d.Unit)}
		}
		row := []table.Cell{table.Text{Text: figureUse(d), Under: d.Hardware}, text(metricWords(d.Metric)), table.Whole(d.N), table.Figure{Figure: of(d, d.Median)}, between(d.Q1, d.Q3), between(d.P1, d.P99), between(d.Low, d.High)}
		if d.Why != "" {
			row = append(row, nil, text("not judged"), nil, nil, nil, text(d.Why))
		} else {
			var levels []string
			for _, l := range d.Levels {
				levels = append(levels, strings.TrimSpace(fmt.Sprintf("%s at %s %s", results.Plural(l.N, "node"), table.Quantity(l.Median, d.Unit), strings.TrimSpace(l.By+" "+l.Value))))
			}
			row = append(row, table.Number{Value: d.Spread, Print: table.Percent(float64(d.Spread))}, table.Number{Value: d.Limit, Print: "± " + table.Percent(float64(d.Limit)), Under: table.Round(float64(d.Sigmas), 3)}, perThousand(d.FalselyAtMost), table.Number{Value: d.Finds, Print: table.Percent(float64(d.Finds))}, table.Whole(outliers), orNil(strings.Join(append(levels, shapeWords(d)...), "; ")))
		}
		t.Row(row...)
	}
	return t
}

// perThousand is a part of healthy nodes; empty where nothing is known of it.
func perThousand(part results.Float) table.Cell {
	if part.IsAbsent() {
		return nil
	}
	return table.Number{Value: part, Print: table.Round(1000*float64(part), 2)}
}

// shapeWords say of a figure whose healthy values are not spread normally what that means.
func shapeWords(d *site.Distribution) (words []string) {
	if !d.Step.IsAbsent() {
		words = append(words, fmt.Sprintf("in steps of %s: a smaller spread is not seen", table.Percent(float64(d.Step))))
	}
	switch {
	case d.Shape == "":
		return words
	case d.Shape == site.Flat:
		return append(words, "flatter than a normal spread: two levels may lie close together")
	case d.Falsely.IsAbsent():
		return append(words, d.Shape+": a part of the nodes may be at a level of its own")
	}
	return append(words, fmt.Sprintf("%s: about %s of 1,000 healthy nodes lie beyond the limit; an outlier only below −%s or above +%s",
		d.Shape, table.Round(1000*float64(d.Falsely), 2), table.Percent(float64(d.TailLow)), table.Percent(float64(d.TailHigh))))
}

// mix is the use at which each kind of machine leaves most.
func (f *fleet) mix() table.Table {
	t := table.Table{ID: "mix-table", Columns: []table.Column{{Head: "machine", Kind: table.Name, Limit: 120}, {Head: "nodes"}, {Head: "best at", Kind: table.Words, Weight: 2}, {Head: "margin", Weight: 2}, {Head: "one machine", Weight: 1}, {Head: "verdict", Kind: table.Words, Weight: 2}}}
	for _, b := range f.Mix {
		t.Row(text(b.Hardware), table.Whole(b.Nodes), text(b.Use), table.Figure{Figure: b.Margin.Figure}, table.Figure{Figure: b.Daily}, table.Text{Text: string(b.Verdict), Under: b.Why})
	}
	if len(t.Rows) == 0 {
		t.Notes = []string{"No price sheet was given: perwatt fleet report --prices FILE adds what each kind of machine is best used for, and perwatt prices --example writes a sheet to fill in."}
	}
	return t
}

// method says how nodes were judged.
func (f *fleet) method() section {
	return sectionOf("method", "How nodes were judged", "", block{Table: table.Table{Items: []table.Item{
		{About: "equal nodes", Text: "have the same hardware, scenario, use, device, kernel and number of threads, and, where watts are in the figure, the same meter, boundary, origin and grade. Only equal nodes are compared, five at least."},
		{About: "outlier", Text: fmt.Sprintf("A node is an outlier where its work per joule or its throughput lies further from the median of its equals than the limit of the table: the larger of the margin, %s, fixed beforehand, and a number of standard deviations that depends on how many nodes there are. The standard deviation is that of the nodes nearest the median, so that bad nodes neither widen it nor hide each other.", table.Percent(f.Margin))},
		{About: "false outliers", Text: "At most 1 in 10,000 healthy nodes is called an outlier, over all figures by which it is judged, where their values are spread normally. From 16 nodes on that is tested (L-skewness and L-kurtosis, at 1 % each). Where it is not so, the table of figures says how many healthy nodes lie beyond the limit: those of which the tails are the reason cannot be told, and are no outliers. Few nodes do not show their tails, so that more healthy nodes may be called outliers: the table says of each figure how many of 1,000 at most, with the longest tails that its nodes do not exclude (both ratios at the end of an interval of 99.8 %, tails of a Student's t of 2 degrees of freedom at most). Measure an outlier again before you act on it."},
		{About: "what is found", Text: "The table of figures says how much slower than it would be a node must be to be found in 99 of 100 fleets with as many nodes and the same spread."},
		{About: "cannot tell", Text: "A node that would be an outlier, but whose own interval over its windows reaches the others: measure it again, with more rounds. Or one that lies no further off than the tails of the healthy nodes reach: see what the nodes at the end have in common."},
		{About: "levels", Text: "Where nodes gather about several values, as after an update of firmware of a part of them, each is judged against its own, and the levels are named."},
		{About: "racks", Text: "The median of a rack is compared with that of the other nodes: a rack may be off as a whole, although none of its nodes is an outlier."},
		{About: "watts", Text: "Watts of several boundaries are not added. A rack's own meter is what its budget is judged by, if all nodes of the rack measured at the same time. Watts that were not measured are marked ~ and never judged against a budget; a sum over some of the nodes may exceed the budget, but not be within it."},
	}}})
}

// origin says what was measured.
func (f *fleet) origin(command string) section {
	r := &f.Roster
	t := table.Table{}
	t.Add("measurement", r.Name)
	t.Add("started", results.Minute(r.Start))
	t.Add("engine", r.Engine)
	t.Add("on each node", results.Command(append([]string{"perwatt"}, r.Args...)...))
	if len(r.Options) > 0 {
		t.Add("options of the engine", results.Command(r.Options...))
	}
	if f.Together > 0 {
		t.Add("together", "The nodes of a rack measured at the same time.")
	}
	t.Add("attempts", fmt.Sprintf("%d a node at most", r.Attempts))
	if command != "" {
		t.Add("this page", command)
	}
	return sectionOf("origin", "What was measured", "", block{Table: t})
}
