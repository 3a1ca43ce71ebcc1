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
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// uPlot, which zooms the histories (MIT licence, beside it), and the script that
// gives it the nights.
var (
	//go:embed uplot/uPlot.iife.min.js
	plotJS string
	//go:embed uplot/uPlot.min.css
	plotCSS string
	//go:embed nights.js
	nightsJS string
)

// figures returns the series, each followed by its ratio to the control.
func (g *group) figures() (out []history) {
	for _, h := range g.series {
		if out = append(out, h); h.ratio != nil {
			out = append(out, *h.ratio)
		}
	}
	return out
}

// on names the node of a figure where the group has several.
func (g *group) on(h *history) string {
	if g.nodes > 1 {
		return " on " + cmp.Or(h.Node, "a node without a name")
	}
	return ""
}

// eventsOf returns the events of the node of a figure.
func (g *group) eventsOf(h *history) (out []store.Event) {
	for _, e := range g.events {
		if e.Node == "" || e.Node == h.Node {
			out = append(out, e)
		}
	}
	return out
}

// event describes an event, with its node where there are several.
func (g *group) event(e store.Event) string {
	text := e.Kind + ": " + track.What(e)
	if e.Node != "" && g.nodes > 1 {
		text = e.Node + ": " + text
	}
	return text
}

// besides orders series so that the same figure of two nodes is side by side.
func besides(a, b history) int {
	key := func(h history) []string { return []string{h.Scenario, h.Use, h.Device, h.Workload, h.Impl} }
	return cmp.Or(slices.Compare(key(a), key(b)), cmp.Compare(a.Threads, b.Threads), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Unit, b.Unit))
}

// What the page of a group draws: a browser shows no more than that.
const (
	mostNodes  = 8   // of a group, of which every figure is drawn
	mostDrawn  = 500 // figures
	mostEvents = 500
)

// drawn returns the figures that a page draws, and how many there are to draw: in a
// group of many nodes only the notable ones; of too many figures these first.
func (g *group) drawn() (drawn []history, of int) {
	all := g.figures()
	if g.nodes > mostNodes {
		all = slices.DeleteFunc(all, func(h history) bool { return !h.notable })
	}
	if of = len(all); of > mostDrawn {
		results.SortStable(all, func(a, b history) int {
			switch {
			case a.notable == b.notable:
				return 0
			case a.notable:
				return -1
			}
			return +1
		})
		all = all[:mostDrawn]
		results.SortStable(all, besides)
	}
	return all, of
}

// groupFile is the name of a group's page.
func groupFile(id string) string { return "group-" + word(id) + ".html" }

const (
	overviewFile = "index.html"
	overviewText = "What changed"
)

// home is the links of a page below the overview, which lead back to it.
func (t *Tracking) home() []Link {
	if slices.ContainsFunc(t.Links, func(l Link) bool { return l.Href == overviewFile }) {
		return t.Links
	}
	return append([]Link{{Text: overviewText, Href: overviewFile}}, t.Links...)
}

// WriteOverview writes the page with what changed, and the state of every group at
// every use.
func (t *Tracking) WriteOverview(w io.Writer) error {
	v := view{Kind: "Tracking", Title: "What changed?", Headline: results.Line(t.headline(), table.TextLimit), Sub: results.Line(t.sub()+".", table.TextLimit), Links: here(t.Links, Link{Text: overviewText, Href: overviewFile}), Foot: []string{results.Line(t.Tool, 120)}}
	if len(t.groups) > 1 {
		v.Filter = "group"
	}
	v.Sections = append(v.Sections, sectionOf("changed", "Changes", "", block{Table: t.changes(t.Report.Findings, true)}))
	all := table.Table{ID: "groups", Columns: []table.Column{{Head: "group", Kind: table.Words, Limit: 80}, {Head: "use", Kind: table.Words}, {Head: "figure", Kind: table.Name}, {Head: "now"}, {Head: "the last nights", Kind: table.Words}, {Head: "state", Kind: table.Words, Limit: 120}, {Head: "last change", Kind: table.Words}}}
	rows := 0
	for _, g := range t.groups {
		for _, h := range g.series {
			if h.headline {
				rows++
			}
		}
	}
	fold := rows > mostRows
	for _, g := range t.groups {
		var quiet []string
		for i := range g.series {
			h := &g.series[i]
			if !h.headline {
				continue
			}
			if fold && h.quiet && len(h.changes) == 0 {
				quiet = append(quiet, useOf(h.Key)+g.on(h))
				continue
			}
			var now, spark table.Cell
			if n := len(h.points); n > 0 {
				now = table.Figure{Figure: h.figure(h.points[n-1])}
				spark = table.Chart(chart.Spark(samples(h.points[max(0, n-sparkNights):]), steps(h.changes)))
			}
			last := "none"
			if n := len(h.changes); n > 0 {
				last = date(h.changes[n-1].Night) + ", " + track.Relative(h.changes[n-1].Size)
			}
			all.Row(table.Text{Text: g.name, Under: strings.TrimPrefix(g.on(h), " on "), Href: groupFile(g.id)}, table.Text{Text: results.Line(useOf(h.Key), 60), Under: results.Line(t.variant(h.Key), 120)},
				text(h.metric()), now, spark, text(string(h.tone)+" "+h.state), text(last))
		}
		if len(quiet) > 0 {
			all.Row(table.Text{Text: g.name, Href: groupFile(g.id)}, table.Text{Text: results.Plural(len(quiet), "use"), Under: strings.Join(quiet, "; ")}, nil, nil, nil, text(good+" steady"), text("none"))
		}
	}
	lead := ""
	if fold {
		lead = "The uses of a group of which there is nothing to tell share a row; the page of the group shows each."
	}
	if len(all.Rows) == 0 {
		all.Notes = []string{"There is nothing to show yet: perwatt run --store adds a session, and a few nights of them make a history."}
	}
	v.Sections = append(v.Sections, sectionOf("all", "All groups", lead, block{Table: all}))
	return v.write(w)
}

const (
	sparkNights = 90
	mostRows    = 1000 // that a browser shows at once, and anybody looks through
)

// madeBy names what did the work, where there was any.
func madeBy(h *history) string {
	by := cmp.Or(h.Impl, h.Workload)
	if h.Threads > 0 {
		by = strings.TrimPrefix(by+", "+results.Plural(h.Threads, "thread"), ", ")
	}
	if by != "" {
		by = ", " + by
	}
	return by
}

// changes has a row for each finding. On the page of a group a column has the nodes,
// if there are several, instead of the group.
func (t *Tracking) changes(found []track.Finding, groups bool) table.Table {
	out := table.Table{ID: "changes", Columns: []table.Column{
		{Head: "since", Under: "between", Kind: table.Words}, {Head: "group", Kind: table.Words, Limit: 80}, {Head: "figure", Kind: table.Words, Limit: 80}, {Head: "change", Under: "95 % interval"}, {Head: "what", Kind: table.Words}, {Head: "at", Kind: table.Words, Limit: 160}, {Head: "p"}, {Head: "to do", Kind: table.Words},
	}}
	if !groups {
		out.Columns[1].Head = "nodes"
	}
	for i := range found {
		f := &found[i]
		size := f.Primary().Change.Size
		span := ""
		if f.From != f.To {
			span = strings.ReplaceAll(date(f.From)+" – "+date(f.To), "-", "\u2011") // dates stay whole
		}
		var place table.Cell
		if nodes := t.nodesOf(f); groups {
			place = table.Text{Text: t.groupOf(f), Under: nodes, Href: groupFile(f.Primary().Key.Group)}
		} else if nodes != "" {
			place = text(nodes)
		}
		out.Row(table.Text{Text: date(f.Night), Under: span}, place, text(t.figureName(f.Primary().Key)), table.Number{Value: results.Float(size.Value), Print: results.Signed(size.Value - 1), Under: track.Bounds(size)},
			text(string(toneOf(f.Verdict))+" "+what(f)), text(f.At()), table.Number{Value: results.Float(f.P), Print: table.Round(f.P, 1)}, text(f.Do()))
	}
	return out
}

func seconds64(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func samples(points []store.Point) []chart.Sample {
	out := make([]chart.Sample, len(points))
	for i, p := range points {
		out[i] = chart.Sample{T: seconds64(p.Start), V: float64(p.Value)}
	}
	return out
}

func steps(changes []track.Change) (at []float64) {
	for _, c := range changes {
		at = append(at, seconds64(track.Date(c.Night)))
	}
	return at
}

// GroupPage is the page of a group: every figure night by night. With script the
// figures zoom together; without, each is a picture.
type GroupPage struct {
	t *Tracking
	g *group
}

// File is the name of the page, to which the overview links.
func (p *GroupPage) File() string { return groupFile(p.g.id) }

// Write writes the page.
func (p *GroupPage) Write(w io.Writer) error {
	t, g := p.t, p.g
	sessions, last := map[string]int{}, time.Time{} // by node
	for _, h := range g.series {
		sessions[h.Node] = max(sessions[h.Node], len(h.points))
		if n := len(h.points); n > 0 && h.points[n-1].Start.After(last) {
			last = h.points[n-1].Start
		}
	}
	total := 0
	for _, n := range sessions {
		total += n
	}
	of := results.Plural(total, "session")
	if g.nodes > 1 {
		of += " of " + results.Plural(g.nodes, "node")
	}
	if g.nodes > mostNodes {
		of += ", of which those are drawn that changed (perwatt track --node NAME -o DIR draws one)"
	}
	v := view{
		Kind: "Tracking", Title: results.Line(g.name, 120), Headline: results.Line(summary(g.found, g.silent), table.TextLimit), Foot: []string{results.Line(t.Tool, 120)}, Nights: true,
		Sub: fmt.Sprintf("%s, the last on %s.", of, results.Minute(last)), Links: here(t.home(), Link{Text: "Group", Href: groupFile(g.id)}),
	}
	if len(t.groups) > 1 {
		v.Filter = "group"
	}
	v.Sections = append(v.Sections, sectionOf("changed", "Changes", "", block{Table: t.changes(g.found, false)}))
	drawn, all := g.drawn()
	if len(drawn) < all {
		v.Sub += fmt.Sprintf(" %d of its %d figures are drawn, those that changed first; perwatt track --format csv has all of them.", len(drawn), all)
	}
	older := max(0, len(g.events)-mostEvents)
	g.events = g.events[older:]
	uses, explained := map[string]int{}, false // the section of a use
	for i := range drawn {
		h := &drawn[i]
		use := useOf(h.Key)
		at, ok := uses[use]
		if !ok {
			at = len(v.Sections)
			uses[use] = at
			v.Sections = append(v.Sections, section{ID: "use-" + word(use), Title: results.Line(use, 80), Blocks: []block{{}}})
		}
		if h.ratio != nil && !explained {
			explained = true
			v.Sections[at].Lead = []string{"Relative figures are to the control, round by round of each session: what noise the two have in common is not in them, and changes are judged by them."}
		}
		b := &v.Sections[at].Blocks[0]
		b.Charts = append(b.Charts, t.picture(g, h, fmt.Sprintf("night-%d", i)))
	}
	if len(g.events) > 0 {
		b := block{}
		for _, e := range slices.Backward(g.events) {
			b.Add(results.Minute(e.At), g.event(e))
		}
		left := ""
		if older > 0 {
			left = fmt.Sprintf(" %d older ones are left out.", older)
		}
		v.Sections = append(v.Sections, section{ID: "events", Title: "What happened to the machines", Lead: []string{"Known from the records, or entered by hand (perwatt event). A figure is not compared with what came before one of these." + left}, Blocks: []block{b}})
	}
	v.Sections = append(v.Sections, latest(g, drawn))
	return v.write(w)
}

// picture draws the nights of a figure.
func (t *Tracking) picture(g *group, h *history, id string) picture {
	events := g.eventsOf(h)
	c := chart.History{Head: chart.Head{ID: id, Title: results.Line(h.metric()+" at "+useOf(h.Key)+g.on(h), 160)}, Axis: chart.AxisOf(h.metric(), h.Unit), Levels: t.levels(h)}
	c.Axis.Free = true
	for _, e := range events {
		c.Events = append(c.Events, chart.Moment{T: seconds64(e.At), Name: g.event(e)})
	}
	for _, p := range h.points {
		c.Nights = append(c.Nights, chart.Night{T: seconds64(p.Start), Figure: chart.Of(h.figure(p))})
	}
	return picture{Caption: results.Line(h.metric()+g.on(h)+madeBy(h), 160) + ": " + string(h.tone) + " " + results.Line(h.state, 120), SVG: c.SVG(), Data: nightData(h, c.Levels, c.Events)}
}

// latest is the table behind the charts: the last nights of each figure.
func latest(g *group, drawn []history) section {
	const nights = 14
	s := section{ID: "nights", Title: "The last nights, in numbers", Lead: []string{fmt.Sprintf("The last %d of each figure; perwatt track --format csv has all of them.", nights)}}
	for i := range drawn {
		h := &drawn[i]
		t := table.Table{ID: fmt.Sprintf("last-%d", i), Title: results.Line(h.metric()+" at "+useOf(h.Key)+g.on(h)+madeBy(h), 160),
			Columns: []table.Column{{Head: "start (UTC)", Kind: table.Words}, {Head: "value"}, {Head: "revision", Kind: table.Words}, {Head: "record", Kind: table.Words}}}
		for j := len(h.points) - 1; j >= max(0, len(h.points)-nights); j-- {
			p := h.points[j]
			t.Row(table.Time(p.Start), table.Figure{Figure: h.figure(p)}, text(results.Line(p.Env.Revision, 13)), text(results.Line(p.Record, 40)))
		}
		s.Blocks = append(s.Blocks, block{Fold: true, Table: t})
	}
	return s
}

// nightData is what the script draws: JSON, in a script element that no
// browser runs.
func nightData(h *history, levels []chart.Stage, events []chart.Moment) template.HTML {
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
	for _, p := range h.points {
		d.T = append(d.T, math.Round(seconds64(p.Start)))
		d.V, d.Low, d.High = append(d.V, digits6(p.Value)), append(d.Low, digits6(p.Low)), append(d.High, digits6(p.High))
		i, ok := known[p.Env.Revision]
		if !ok {
			i = len(d.Rev)
			known[p.Env.Revision], d.Rev = i, append(d.Rev, results.Line(p.Env.Revision, 13))
		}
		d.At = append(d.At, i)
	}
	for _, l := range levels {
		d.Levels = append(d.Levels, [3]float64{math.Round(l.From), math.Round(l.To), l.Value})
	}
	for _, e := range events {
		d.Events = append(d.Events, moment{math.Round(e.T), results.Line(e.Name, 80)})
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, "", d); err != nil { // it escapes <, > and &
		return "" // a level that is no number: the picture stays
	}
	return template.HTML(`<script type="application/json" class="nights">` + strings.TrimSpace(out.String()) + `</script>`) // #nosec G203 -- the encoder escapes < > & in what is foreign, and JSON is not run
}

// digits6 rounds to six digits, more than can be seen; what is infinite is absent.
func digits6(f results.Float) results.Float {
	if math.IsInf(float64(f), 0) {
		return results.Absent()
	}
	x, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', 6, 64), 64)
	return results.Float(x)
}
