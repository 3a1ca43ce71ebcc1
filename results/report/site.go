package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

// The library that zooms (MIT licence, beside it), and what hands it the nights.
var (
	//go:embed uplot/uPlot.iife.min.js
	plotJS string
	//go:embed uplot/uPlot.min.css
	plotCSS string
	//go:embed site.js
	siteJS string
)

// Site is what a store says over time: an overview, and a page for each group
// of nodes.
type Site struct {
	Groups  []SiteGroup
	Changes []SiteChange // of all groups, the latest first
	Silent  string       // why there may be no changes: no data, or too few nights; else empty
	Failing bool         // the night fails the gate
	Sub     string       // what was looked at: nights, groups, until when
	Tool    string
	Links   []Link // besides those to the overview
}

// Tone says how a state or a change is to be taken: good, fair or poor.
type Tone string

const (
	Good Tone = "good"
	Fair Tone = "fair"
	Poor Tone = "poor"
)

func (t Tone) sign() string {
	switch t {
	case Good:
		return "✓"
	case Poor:
		return "✕"
	}
	return "!"
}

// SiteGroup is a group of nodes.
type SiteGroup struct {
	ID, Name string
	Nodes    int // their number
	Series   []History
	Changes  []SiteChange // the latest first
	Silent   string       // as of [Site]
	Events   []SiteEvent  // oldest first
}

// History is one figure of a node of a group over time.
type History struct {
	Node                                  string
	Variant                               string // what tells it from others of its use
	Scenario, Use, Workload, Impl, Metric string
	Threads                               int
	Unit                                  results.Unit
	Headline                              bool // the figure that stands for its use in the overview
	State                                 string
	Tone                                  Tone
	Quiet                                 bool        // there is nothing to tell of it
	Notable                               bool        // it changed, or may have
	Nights                                []SiteNight // oldest first
	Levels                                []SiteLevel
	Changes                               []SiteChange // oldest first
	Ratio                                 *History     // the same over the control: by it a change is judged; nil if none
}

// figures are the series, each followed by its ratio to the control.
func (g *SiteGroup) figures() (out []History) {
	for _, h := range g.Series {
		if out = append(out, h); h.Ratio != nil {
			out = append(out, *h.Ratio)
		}
	}
	return out
}

// on names the node of a figure where the group has several.
func (g *SiteGroup) on(h History) string {
	if g.Nodes > 1 {
		return " on " + cmp.Or(h.Node, "a node without a name")
	}
	return ""
}

// eventsOf are those of the node of a figure.
func (g *SiteGroup) eventsOf(h History) (out []SiteEvent) {
	for _, e := range g.Events {
		if e.Node == "" || e.Node == h.Node {
			out = append(out, e)
		}
	}
	return out
}

// besides puts the same figure of two nodes side by side.
func besides(a, b History) int {
	key := func(h History) []string { return []string{h.Scenario, h.Use, h.Workload, h.Impl} }
	return cmp.Or(slices.Compare(key(a), key(b)), cmp.Compare(a.Threads, b.Threads), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Unit, b.Unit))
}

// What the page of a group draws: a browser shows no more than that.
const (
	mostNodes  = 8   // of a group, of which every figure is drawn
	mostDrawn  = 500 // figures
	mostEvents = 500
)

// drawn are the figures that a page shows, and how many there would be: of many
// nodes those of which there is something to tell, and of many figures these
// first.
func (g *SiteGroup) drawn() (drawn []History, of int) {
	all := g.figures()
	if g.Nodes > mostNodes {
		all = slices.DeleteFunc(all, func(h History) bool { return !h.Notable })
	}
	if of = len(all); of > mostDrawn {
		slices.SortStableFunc(all, func(a, b History) int {
			switch {
			case a.Notable == b.Notable:
				return 0
			case a.Notable:
				return -1
			}
			return +1
		})
		all = all[:mostDrawn]
		slices.SortStableFunc(all, besides)
	}
	return all, of
}

// SiteNight is one session's figure. An excluded one is left out before.
type SiteNight struct {
	Start            time.Time
	Value, Low, High results.Float
	Modelled         bool
	Record, Revision string
}

// SiteLevel is a stretch without a change, first and last night included.
type SiteLevel struct {
	From, To time.Time
	Value    float64
}

// SiteEvent is something that is known to have happened to the machines.
type SiteEvent struct {
	At   time.Time
	Node string // empty for all
	Text string
}

// SiteChange is a step of a figure. Size is the new level over the old.
type SiteChange struct {
	Group, GroupID, Figure string // Figure names the series for a reader
	Where                  string // which nodes of the group; empty where it has one
	Since, From, To        time.Time
	Size, Low, High        results.Float
	P                      results.Float
	Tone                   Tone
	What, At, Do           string // what it is, the commits or the event, what to do
}

// place names the group and the nodes of a change.
func (c *SiteChange) place() string {
	if c.Where == "" {
		return c.Group
	}
	return c.Group + ", " + c.Where
}

// GroupFile is the name of a group's page.
func GroupFile(id string) string { return "group-" + word(id) + ".html" }

const overviewFile = "index.html"

// WriteOverview writes the page that says what changed, and how every group
// stands at every use.
func WriteOverview(w io.Writer, s Site) error {
	v := view{Title: "What changed?", Headline: results.Line(s.headline(), table.TextLimit), Sub: results.Line(s.Sub, table.TextLimit), Links: s.Links, Filter: "group", Foot: []string{results.Line(s.Tool, 120)}}
	if len(s.Changes) > 0 {
		v.Sections = append(v.Sections, section{ID: "changed", Title: "Changes", Blocks: []block{{Table: changeTable("changes", s.Changes, true)}}})
	}
	t := table.Table{ID: "groups", Columns: []table.Column{{Head: "group", Kind: table.Words}, {Head: "use", Kind: table.Words}, {Head: "figure", Kind: table.Name}, {Head: "now"}, {Head: "the last nights", Kind: table.Words}, {Head: "state", Kind: table.Words}, {Head: "last change", Kind: table.Words}}}
	rows := 0
	for _, g := range s.Groups {
		for _, h := range g.Series {
			if h.Headline {
				rows++
			}
		}
	}
	fold := rows > mostRows
	for _, g := range s.Groups {
		var quiet []string
		for _, h := range g.Series {
			if !h.Headline {
				continue
			}
			if fold && h.Quiet && len(h.Changes) == 0 {
				quiet = append(quiet, useName(h)+g.on(h))
				continue
			}
			var now table.Cell = text("")
			var spark table.Text
			if n := len(h.Nights); n > 0 {
				now = table.Figure{Figure: nightMetric(h, h.Nights[n-1])}
				spark.Chart = chart.Spark(samples(h.Nights[max(0, n-sparkNights):]), steps(h.Changes))
			}
			last := "none"
			if n := len(h.Changes); n > 0 {
				c := h.Changes[n-1]
				last = c.Since.UTC().Format(time.DateOnly) + ", " + stepText(c)
			}
			t.Row(table.Text{Text: results.Line(g.Name, 80), Under: results.Line(strings.TrimPrefix(g.on(h), " on "), 60), Href: GroupFile(g.ID)}, table.Text{Text: results.Line(useName(h), 60), Under: results.Line(h.Variant, 120)},
				text(strings.ReplaceAll(h.Metric, "_", " ")), now, spark, text(h.Tone.sign()+" "+results.Line(h.State, 120)), text(last))
		}
		if len(quiet) > 0 {
			t.Row(table.Text{Text: results.Line(g.Name, 80), Href: GroupFile(g.ID)}, table.Text{Text: results.Plural(len(quiet), "use"), Under: results.Line(strings.Join(quiet, "; "), table.TextLimit)}, nil, nil, nil, text(Good.sign()+" steady"), text("none"))
		}
	}
	all := section{ID: "all", Title: "All groups", Blocks: []block{{Table: t}}}
	if fold {
		all.Lead = []string{"The uses of a group of which there is nothing to tell share a row; the page of the group shows each."}
	}
	if len(t.Rows) == 0 {
		all = section{ID: "all", Title: "All groups", Lead: []string{"There is nothing to show yet: perwatt run --store adds a session, and a few nights of them make a history."}}
	}
	v.Sections = append(v.Sections, all)
	return v.write(w)
}

const (
	sparkNights = 90
	mostRows    = 1000 // that a browser shows at once, and anybody looks through
)

// headline says in a sentence or two how the store stands.
func (s *Site) headline() string {
	said := siteHeadline(s.Changes, s.Silent)
	switch {
	case !s.Failing:
		return said
	case len(s.Changes) == 0:
		return strings.TrimSpace("REGRESSION tonight, of one night so far. " + s.Silent)
	}
	return "REGRESSION tonight. " + said
}

func siteHeadline(changes []SiteChange, silent string) string {
	count := map[Tone]int{}
	for _, c := range changes {
		count[c.Tone]++
	}
	var said []string
	for _, x := range []struct {
		tone Tone
		noun string
	}{{Poor, "regression"}, {Good, "improvement"}, {Fair, "other change"}} {
		if n := count[x.tone]; n > 0 {
			said = append(said, results.Plural(n, x.noun))
		}
	}
	switch {
	case len(said) > 0:
		return strings.TrimSpace(strings.Join(said, ", ") + ". " + silent)
	case silent != "":
		return silent
	}
	return "Nothing changed."
}

func stepText(c SiteChange) string {
	if c.Size.IsAbsent() {
		return results.Line(c.What, 80)
	}
	return table.Signed(float64(c.Size)-1) + " " + bounds(c)
}

// bounds is the interval of a step.
func bounds(c SiteChange) string {
	return fmt.Sprintf("[%s, %s]", table.Signed(float64(c.Low)-1), table.Signed(float64(c.High)-1))
}

func useName(h History) string {
	name := h.Use
	if h.Scenario != h.Use {
		name = h.Scenario + ", " + h.Use
	}
	return name
}

// madeBy names what did the work, where there was any.
func madeBy(h History) string {
	by := cmp.Or(h.Impl, h.Workload)
	if h.Threads > 0 {
		by = strings.TrimPrefix(by+", "+results.Plural(h.Threads, "thread"), ", ")
	}
	if by != "" {
		by = ", " + by
	}
	return by
}

func changeTable(id string, changes []SiteChange, groups bool) table.Table {
	t := table.Table{ID: id, Columns: []table.Column{
		{Head: "since", Under: "between", Kind: table.Words}, {Head: "group", Kind: table.Words}, {Head: "figure", Kind: table.Words}, {Head: "change", Under: "95 % interval"}, {Head: "what", Kind: table.Words}, {Head: "at", Kind: table.Words}, {Head: "p"}, {Head: "to do", Kind: table.Words},
	}}
	several := slices.ContainsFunc(changes, func(c SiteChange) bool { return c.Where != "" })
	if !groups {
		t.Columns[1].Head = "nodes"
	}
	for _, c := range changes {
		span := strings.ReplaceAll(c.From.UTC().Format(time.DateOnly)+" – "+c.To.UTC().Format(time.DateOnly), "-", "\u2011") // dates stay whole
		if c.From.Equal(c.To) {
			span = ""
		}
		var change, p table.Cell = text(c.What), text(table.Absent)
		if !c.Size.IsAbsent() {
			change = table.Number{Value: c.Size, Print: table.Signed(float64(c.Size) - 1), Under: bounds(c)}
		}
		if !c.P.IsAbsent() {
			p = table.Number{Value: c.P, Print: table.Round(float64(c.P), 1)}
		}
		var group table.Cell
		switch {
		case groups:
			group = table.Text{Text: results.Line(c.Group, 80), Under: c.Where, Href: GroupFile(c.GroupID)}
		case several:
			group = text(c.Where)
		}
		t.Row(table.Text{Text: c.Since.UTC().Format(time.DateOnly), Under: span}, group, text(results.Line(c.Figure, 80)), change, text(c.Tone.sign()+" "+results.Line(c.What, table.TextLimit)), text(results.Line(c.At, 160)), p, text(c.Do))
	}
	return t
}

func nightMetric(h History, n SiteNight) results.Figure {
	m := results.Figure{Value: n.Value, Low: n.Low, High: n.High, Unit: h.Unit}
	if n.Modelled {
		m.Origin = results.Modelled
	}
	return m
}

func seconds64(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func samples(nights []SiteNight) []chart.Sample {
	out := make([]chart.Sample, len(nights))
	for i, n := range nights {
		out[i] = chart.Sample{T: seconds64(n.Start), V: float64(n.Value)}
	}
	return out
}

func steps(changes []SiteChange) (at []float64) {
	for _, c := range changes {
		at = append(at, seconds64(c.Since))
	}
	return at
}

// WriteGroup writes the page of a group: every figure night by night. With
// script the figures zoom together; without, each is a picture.
func WriteGroup(w io.Writer, s Site, g SiteGroup) error {
	sessions, last := map[string]int{}, time.Time{} // by node
	for _, h := range g.Series {
		sessions[h.Node] = max(sessions[h.Node], len(h.Nights))
		if n := len(h.Nights); n > 0 && h.Nights[n-1].Start.After(last) {
			last = h.Nights[n-1].Start
		}
	}
	total := 0
	for _, n := range sessions {
		total += n
	}
	of := results.Plural(total, "session")
	if g.Nodes > 1 {
		of += " of " + results.Plural(g.Nodes, "node")
	}
	if g.Nodes > mostNodes {
		of += ", of which those are drawn that changed (perwatt track --node NAME -o DIR draws one)"
	}
	v := view{
		Title: results.Line(g.Name, 120), Headline: results.Line(siteHeadline(g.Changes, g.Silent), table.TextLimit), Foot: []string{results.Line(s.Tool, 120)}, Nights: true,
		Sub: fmt.Sprintf("%s, the last on %s.", of, last.UTC().Format("2006-01-02 15:04 UTC")), Links: append([]Link{{Text: "← All groups", Href: overviewFile}}, s.Links...),
	}
	if len(g.Changes) > 0 {
		v.Sections = append(v.Sections, section{ID: "changed", Title: "Changes", Blocks: []block{{Table: changeTable("changes", g.Changes, false)}}})
	}
	drawn, all := g.drawn()
	if len(drawn) < all {
		v.Sub += fmt.Sprintf(" %d of its %d figures are drawn, those that changed first; perwatt track --format csv has all of them.", len(drawn), all)
	}
	older := max(0, len(g.Events)-mostEvents)
	g.Events = g.Events[older:]
	uses, explained := map[string]int{}, false // the section of a use
	for i, h := range drawn {
		at, ok := uses[useName(h)]
		if !ok {
			at = len(v.Sections)
			uses[useName(h)] = at
			v.Sections = append(v.Sections, section{ID: "use-" + word(useName(h)), Title: results.Line(useName(h), 80), Blocks: []block{{}}})
		}
		title := strings.ReplaceAll(h.Metric, "_", " ")
		var events []chart.Moment
		for _, e := range g.eventsOf(h) {
			events = append(events, chart.Moment{T: seconds64(e.At), Name: e.Text})
		}
		c := chart.History{Head: chart.Head{ID: fmt.Sprintf("night-%d", i), Title: results.Line(title+" at "+useName(h)+g.on(h), 160)}, Axis: chart.AxisOf(title, h.Unit), Events: events}
		c.Axis.Free = true
		for _, n := range h.Nights {
			c.Nights = append(c.Nights, chart.Night{T: seconds64(n.Start), Figure: chart.Of(nightMetric(h, n))})
		}
		for _, l := range h.Levels {
			c.Levels = append(c.Levels, chart.Stage{From: seconds64(l.From), To: seconds64(l.To), Value: l.Value})
		}
		if h.Ratio != nil && !explained {
			explained = true
			v.Sections[at].Lead = []string{"Relative figures are to the control, round by round of each session: what noise the two have in common is not in them, and changes are judged by them."}
		}
		b := &v.Sections[at].Blocks[0]
		b.Charts = append(b.Charts, picture{Caption: results.Line(title+g.on(h)+madeBy(h), 160) + ": " + h.Tone.sign() + " " + results.Line(h.State, 120), SVG: c.SVG(), Data: nightData(h, g.eventsOf(h))})
	}
	if len(g.Events) > 0 {
		b := block{}
		for _, e := range slices.Backward(g.Events) {
			b.Add(e.At.UTC().Format("2006-01-02 15:04"), e.Text)
		}
		left := ""
		if older > 0 {
			left = fmt.Sprintf(" %d older ones are left out.", older)
		}
		v.Sections = append(v.Sections, section{ID: "events", Title: "What happened to the machines", Lead: []string{"Known from the records, or said by hand (perwatt event). A figure is not held against what came before one of these." + left}, Blocks: []block{b}})
	}
	v.Sections = append(v.Sections, latest(g, drawn))
	return v.write(w)
}

// latest is the table behind the charts: the last nights of each figure.
func latest(g SiteGroup, drawn []History) section {
	const nights = 14
	s := section{ID: "nights", Title: "The last nights, in numbers", Lead: []string{fmt.Sprintf("The last %d of each figure; perwatt track --format csv has all of them.", nights)}}
	for i, h := range drawn {
		t := table.Table{ID: fmt.Sprintf("last-%d", i), Title: results.Line(strings.ReplaceAll(h.Metric, "_", " ")+" at "+useName(h)+g.on(h)+madeBy(h), 160),
			Columns: []table.Column{{Head: "start (UTC)", Kind: table.Words}, {Head: "value"}, {Head: "revision", Kind: table.Words}, {Head: "record", Kind: table.Words}}}
		for j := len(h.Nights) - 1; j >= max(0, len(h.Nights)-nights); j-- {
			n := h.Nights[j]
			t.Row(table.Time(n.Start), table.Figure{Figure: nightMetric(h, n)}, text(results.Line(n.Revision, 13)), text(results.Line(n.Record, 40)))
		}
		s.Blocks = append(s.Blocks, block{Fold: true, Table: t})
	}
	return s
}

// nightData is what the script draws: JSON, in a script element that no
// browser runs.
func nightData(h History, events []SiteEvent) template.HTML {
	type moment struct {
		T float64 `json:"t"`
		N string  `json:"n"`
	}
	shape := table.ShapeOf(h.Unit)
	d := struct {
		Unit   string          `json:"unit"`
		Factor float64         `json:"factor"` // from v to the unit
		T      []float64       `json:"t"`      // s
		V      []results.Float `json:"v"`
		Low    []results.Float `json:"low"`
		High   []results.Float `json:"high"`
		Rev    []string        `json:"rev"` // named once each
		At     []int           `json:"at"`  // of a night in rev
		Levels [][3]float64    `json:"levels"`
		Events []moment        `json:"events"`
	}{Unit: shape.Symbol, Factor: shape.Factor, T: []float64{}, V: []results.Float{}, Levels: [][3]float64{}, Events: []moment{}}
	known := map[string]int{}
	for _, n := range h.Nights {
		d.T = append(d.T, math.Round(seconds64(n.Start)))
		d.V, d.Low, d.High = append(d.V, digits6(n.Value)), append(d.Low, digits6(n.Low)), append(d.High, digits6(n.High))
		i, ok := known[n.Revision]
		if !ok {
			i = len(d.Rev)
			known[n.Revision], d.Rev = i, append(d.Rev, results.Line(n.Revision, 13))
		}
		d.At = append(d.At, i)
	}
	for _, l := range h.Levels {
		d.Levels = append(d.Levels, [3]float64{math.Round(seconds64(l.From)), math.Round(seconds64(l.To)), l.Value})
	}
	for _, e := range events {
		d.Events = append(d.Events, moment{math.Round(seconds64(e.At)), results.Line(e.Text, 80)})
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, "", d); err != nil { // it escapes <, > and &
		return "" // a level that is no number: the picture stays
	}
	return template.HTML(`<script type="application/json" class="nights">` + strings.TrimSpace(out.String()) + `</script>`) // #nosec G203 -- the encoder escapes < > & in what is foreign, and JSON is not run
}

// digits6 is as much of a figure as can be seen: six digits.
func digits6(f results.Float) results.Float {
	x := float64(f)
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return results.Float(math.NaN())
	}
	k := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	return results.Float(math.Round(x*k) / k)
}
