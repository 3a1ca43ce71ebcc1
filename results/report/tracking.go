package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// The forms of what changed that other programs read, besides [Formats].
const (
	GitHub     Format = "github"        // workflow commands: annotations
	JUnit      Format = "junit"         // XML, a test case a series
	Action     Format = "gha-benchmark" // JSON of benchmark-action/github-action-benchmark
	Prometheus Format = "prometheus"    // text for the textfile collector
)

// Tracking is the state of a store on one night. Add takes one group after another,
// and of its nights keeps only those that the overview draws; Report is set last.
type Tracking struct {
	track.Calendar
	Night  int
	Tool   string
	Links  []Link                 // of every page, besides those from one to another
	Page   func(*GroupPage) error // called with each group while its nights are there; may be nil
	Nights io.Writer              // gets a line of CSV for every night; may be nil
	Report *track.Report          // set after the last group was added
	Said   []string               // further warnings: sessions measured again, or missing

	groups []*group
	byID   map[string]*group
	vary   varieties[store.Key] // of uses, by useKey
	begun  bool                 // Nights has its line of heads
}

// group is a node group as it stands.
type group struct {
	id, name string
	nodes    int // their number
	series   []history
	found    []track.Finding // of this group alone, the latest first
	silent   string          // why there may be no findings, see [Tracking.silent]
	events   []store.Event   // oldest first
}

// history is one figure of a node: a series, or its ratio to the control.
type history struct {
	store.Key                // of the series, with the figure's metric and unit
	points    []store.Point  // oldest first
	watts     bool           // the figure contains watts
	changes   []track.Change // oldest first
	state     string
	tone      tone
	headline  bool     // it represents its use in the overview
	quiet     bool     // there is nothing to report
	notable   bool     // it changed, or may have
	ratio     *history // to the control: changes are judged by it; nil if none
}

// figure is the figure of one night.
func (h *history) figure(p store.Point) results.Figure {
	m := results.Figure{Value: p.Value, Low: p.Low, High: p.High, Unit: h.Unit}
	if h.watts && p.Env.Origin != string(results.Measured) {
		m.Origin = results.Modelled
	}
	return m
}

// metric is the name of the figure in prose: work per energy.
func (h *history) metric() string { return strings.ReplaceAll(h.Metric, "_", " ") }

// tone is the severity of a state or a finding, and the sign that is printed for it.
type tone string

const (
	good  tone = "✓"
	fair  tone = "!"
	poor  tone = "✕"
	blank tone = "·" // too little history to judge: neither good nor a reason to act
)

func toneOf(v track.Verdict) tone {
	switch v {
	case track.Regression:
		return poor
	case track.Improvement:
		return good
	}
	return fair
}

// Add takes in a group while its points are there.
func (t *Tracking) Add(s *track.Group) error {
	if t.byID == nil {
		t.byID, t.vary = map[string]*group{}, varieties[store.Key]{}
	}
	g := &group{id: s.ID, name: s.Name(), nodes: len(s.Nodes), events: s.Events, found: track.Findings(s.Judged)}
	t.groups, t.byID[g.id] = append(t.groups, g), g
	g.silent = t.silent(*s)
	newest := map[store.Key]int{} // night of a use on a node
	for i := range s.Judged {
		j := &s.Judged[i]
		k := useKey(j.Key)
		t.vary.add(k, variantOf(j.Key))
		k.Node = j.Key.Node
		newest[k] = max(newest[k], j.Last)
	}
	headline := map[store.Key]int{} // where in the series that of a use is, on a node
	for i := range s.Judged {
		j := &s.Judged[i]
		words, verdict := j.State(t.Night)
		k := j.Key
		h := history{Key: k, points: s.Points[k], watts: k.Metric != results.Throughput, changes: j.Changes, state: words, tone: toneOf(verdict)}
		switch {
		case verdict != "" || j.Watch.Mood != track.Quiet:
		case j.Watch.Young:
			h.tone = blank
		default:
			h.tone, h.quiet = good, true
		}
		h.notable = len(h.changes) > 0 || j.Watch.Mood == track.Suspicious
		use := k
		use.Metric, use.Unit = "", ""
		of := useKey(k)
		of.Node = k.Node
		if t.Night-j.Last > since && j.Last < newest[of] {
			// Another series replaced it long ago.
		} else if at, ok := headline[use]; !ok || preference[h.Metric] < preference[g.series[at].Metric] {
			if ok {
				g.series[at].headline = false
			}
			headline[use], h.headline = len(g.series), true
		}
		if r, ok := s.Ratios[k]; ok {
			ratio := h
			ratio.Metric, ratio.Unit, ratio.points = r.Metric, r.Unit, r.Points
			h.ratio = &ratio
		}
		g.series = append(g.series, h)
	}
	results.SortStable(g.series, besides)
	if err := t.csv(g); err != nil {
		return err
	}
	if t.Page != nil {
		if err := t.Page(&GroupPage{t, g}); err != nil {
			return err
		}
	}
	// The overview shows the last nights of the headlines: the rest may go.
	for i := range g.series {
		h := &g.series[i]
		keep := 1
		if h.headline {
			keep = sparkNights
		}
		h.points, h.ratio = slices.Clone(h.points[max(0, len(h.points)-keep):]), nil
	}
	return nil
}

// preference orders metrics: the first one that a use has represents it.
var preference = map[string]int{results.WorkPerEnergy: 1, results.Throughput: 2, results.Power: 3}

// levels returns the stretches between changes, each at the median of its nights.
func (t *Tracking) levels(h *history) (out []chart.Stage) {
	from := 0
	for i := 0; i <= len(h.changes); i++ {
		to := len(h.points)
		if i < len(h.changes) {
			to, _ = slices.BinarySearchFunc(h.points, h.changes[i].Night, func(p store.Point, at int) int { return cmp.Compare(t.Calendar.Night(p.Start), at) })
		}
		if to > from {
			var values []float64
			for _, p := range h.points[from:to] {
				values = append(values, float64(p.Value))
			}
			median, _, _ := results.MedianInterval(values)
			out = append(out, chart.Stage{From: seconds64(h.points[from].Start), To: seconds64(h.points[to-1].Start), Value: median})
		}
		from = max(from, to)
	}
	return out
}

// sub is the number of groups and the night that are reported.
func (t *Tracking) sub() string {
	return fmt.Sprintf("%s, up to the night of %s", results.Plural(len(t.groups), "group"), t.Begins(t.Night).Format("2006-01-02, which began at 15:04 UTC"))
}

// headline is the outcome of the night in a sentence or two.
func (t *Tracking) headline() string {
	silent := t.silent(t.Report.Groups...)
	said := summary(t.Report.Findings, silent)
	switch {
	case !t.Report.Fails():
		return said
	case len(t.Report.Findings) == 0:
		return strings.TrimSpace("REGRESSION tonight, of one night so far. " + silent)
	}
	return "REGRESSION tonight. " + said
}

// summary counts findings, or gives the reason why there are none.
func summary(found []track.Finding, silent string) string {
	count := map[tone]int{}
	for _, f := range found {
		count[toneOf(f.Verdict)]++
	}
	var said []string
	for _, x := range []struct {
		tone tone
		noun string
	}{{poor, "regression"}, {good, "improvement"}, {fair, "other change"}} {
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

// groupOf names the groups of a finding.
func (t *Tracking) groupOf(f *track.Finding) string {
	name := t.name(f.Primary().Key.Group)
	if n := len(f.Groups) - 1; n > 0 {
		name += fmt.Sprintf(" and %s more", results.Plural(n, "group"))
	}
	return name
}

// nodesOf names the nodes of a finding; it is empty if its group has only one.
func (t *Tracking) nodesOf(f *track.Finding) string {
	if len(f.Groups) > 1 || t.several(f.Primary().Key.Group) {
		return f.Where()
	}
	return ""
}

// place names the groups and the nodes of a finding.
func (t *Tracking) place(f *track.Finding) string {
	if nodes := t.nodesOf(f); nodes != "" {
		return t.groupOf(f) + ", " + nodes
	}
	return t.groupOf(f)
}

// told is what changed, by how much and since when.
func (t *Tracking) told(f *track.Finding) string {
	p := f.Primary()
	return fmt.Sprintf("%s of %s since %s", track.Relative(p.Change.Size), results.Line(t.figureName(p.Key), 160), date(f.Night))
}

// what is the cause of a finding and what it shows.
func what(f *track.Finding) string { return string(f.Cause) + ": " + f.What() }

func date(night int) string { return track.Date(night).Format(time.DateOnly) }

// name is that of a group.
func (t *Tracking) name(group string) string {
	if g := t.byID[group]; g != nil {
		return g.name
	}
	return group
}

// several reports whether a group has several nodes.
func (t *Tracking) several(group string) bool {
	g := t.byID[group]
	return g != nil && g.nodes > 1
}

// at names a group, and one of its nodes if it has several.
func (t *Tracking) at(group, node string) string {
	if t.several(group) {
		return t.name(group) + ", node " + node
	}
	return t.name(group)
}

// figureName names a series for a reader, but for its group and node.
func (t *Tracking) figureName(k store.Key) string {
	name := strings.ReplaceAll(k.Metric, "_", " ") + " at " + useOf(k)
	if v := t.variant(k); v != "" {
		name += " (" + v + ")"
	}
	return name
}

// useKey is what the series of one use have in common.
func useKey(k store.Key) store.Key {
	return store.Key{Group: k.Group, Scenario: k.Scenario, Use: k.Use}
}

func variantOf(k store.Key) variant { return variant{k.Device, k.Workload, k.Impl, k.Threads} }

// variant tells a series from others of its use.
func (t *Tracking) variant(k store.Key) string {
	if y := t.vary[useKey(k)]; y != nil {
		return y.words(variantOf(k))
	}
	return ""
}

func useOf(k store.Key) string {
	if k.Scenario != k.Use {
		return k.Scenario + ", " + k.Use
	}
	return k.Use
}

// notes returns what is reported of the night besides findings: warnings, which
// need action, and notices.
func (t *Tracking) notes() (warnings, notices []string) {
	for _, s := range t.Report.Suspicions() {
		word := "better"
		if s.Worse {
			word = "worse"
		}
		against := "of the nights before"
		if s.Watch.Young {
			against = "of the few nights before"
		}
		then := "measure again (--confirm does)"
		switch {
		case s.Fails() && s.Watch.Twice:
			then = "both of the last two sessions say so"
		case s.Fails():
			then = "more than 10 %, and beyond chance"
		case s.Worse && s.Small:
			then = "less than fails the gate by the rules"
		case s.Worse && s.Old:
			then = "as on the nights before, which failed the gate"
		}
		warnings = append(warnings, fmt.Sprintf("%s: %s is %s, %s than expected %s (%s): %s",
			t.at(s.Key.Group, s.Key.Node), t.figureName(s.Key), results.Signed(s.Watch.Size.Value-1), word, against, band95(s.Watch), then))
	}
	for i := range t.Report.Groups {
		for _, n := range t.Report.Groups[i].Silent(t.Night) {
			if t.Night-n.Last <= since && (n.Nights > 1 || len(t.Report.Groups[i].Nodes) == 1) {
				warnings = append(warnings, fmt.Sprintf("%s, node %s: no data since %s, %s ago", t.name(n.Group), cmp.Or(n.Node, "without a name"), date(n.Last), results.Plural(t.Night-n.Last, "night")))
			}
		}
	}
	for i := range t.Report.Groups {
		g := &t.Report.Groups[i]
		if n := g.Fleeting(); n > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: %d of its %s have figures of one night each, and a history of none can be told: where the name of a machine does not last, name it (perwatt run --label %s=NAME)",
				t.name(g.ID), n, results.Plural(len(g.Nodes), "node"), store.NodeLabel))
		}
	}
	warnings = append(warnings, t.Said...)
	if n := len(t.Report.Ignored); n > 0 {
		notices = append(notices, fmt.Sprintf("%d series not followed, as the rules ask", n))
	}
	return warnings, append(notices, t.learning()...)
}

// learning lists the nodes whose history is too short to be judged, and how much of
// it is missing.
func (t *Tracking) learning() (out []string) {
	for _, g := range t.Report.Groups {
		type stage struct{ node, words string }
		count := map[stage]int{}
		var stages []stage
		for i := range g.Judged {
			j := &g.Judged[i]
			if !j.Watch.Young || j.Watch.Mood == track.Missing {
				continue
			}
			s := stage{j.Key.Node, j.Learning()}
			if j.Instead != "" {
				s.words = useOf(j.Key) + ": " + s.words
			}
			if count[s]++; count[s] == 1 {
				stages = append(stages, s)
			}
		}
		for _, s := range stages {
			out = append(out, fmt.Sprintf("%s: %s (%s): only what is more than 10 %% off is told", t.at(g.ID, s.node), s.words, results.Plural(count[s], "figure")))
		}
	}
	return out
}

func band95(w track.Watch) string {
	if w.Young {
		return "no interval yet"
	}
	return fmt.Sprintf("%s to %s would be usual", results.Signed(w.Size.Low-1), results.Signed(w.Size.High-1))
}

// since is for how many nights a finding has a table of its own in text.
const since = track.Horizon

// WriteTracking prints what changed. Old findings, of more than 40 nights ago,
// have a line each. The CSV was written as the groups came, see [Tracking].
func WriteTracking(w io.Writer, format Format, t *Tracking, opt Options) error {
	return write(w, format, "what changed", t.page, opt, map[Format]func(io.Writer) error{
		JSON: t.json, CSV: func(io.Writer) error { return nil }, Bench: t.bench, GitHub: t.github, JUnit: t.junit, Prometheus: t.prometheus,
	})
}

func (t *Tracking) page() *table.Page {
	p := &table.Page{Title: []string{"tracking", t.sub()}, State: t.headline(), Whole: !t.Report.Fails()}
	old := 0
	for i := range t.Report.Findings {
		f := &t.Report.Findings[i]
		if t.Night-f.Night > since {
			old++
			continue
		}
		span := ""
		if f.From != f.To {
			span = fmt.Sprintf(" (between %s and %s)", date(f.From), date(f.To))
		}
		text := fmt.Sprintf("%s%s, p %s", t.told(f), span, table.Round(f.P, 1))
		if at := f.At(); at != "" {
			text += ", at " + results.Line(at, 160)
		}
		p.Add(table.Table{
			Title: fmt.Sprintf("%s %s at %s", toneOf(f.Verdict), f.Verdict, results.Line(t.place(f), 160)),
			Items: []table.Item{{About: "what", Text: text}, {About: "cause", Text: what(f)}, {About: "to do", Text: f.Do()}},
		})
	}
	warnings, notices := t.notes()
	notes := append(warnings, notices...)
	if old > 0 {
		notes = append(notes, t.before(old)...)
	}
	p.Add(table.Table{Notes: notes})
	return p
}

// silent is the reason why groups may have no findings: there are no data of
// tonight, or every history is too short. It is empty if findings were possible.
func (t *Tracking) silent(groups ...track.Group) string {
	var last *track.Node
	judged, learns, words := false, 0, ""
	nodes, absent := 0, 0
	for i := range groups {
		g := &groups[i]
		for k := range g.Nodes {
			n := &g.Nodes[k]
			if last == nil || n.Last > last.Last {
				last = n
			}
			if n.Measured || n.Expected {
				nodes++
			}
		}
		for _, n := range g.Silent(t.Night) {
			if n.Expected {
				absent++
			}
		}
		for k := range g.Judged {
			switch j := &g.Judged[k]; {
			case j.Watch.Mood == track.Missing:
			case !j.Watch.Young:
				judged = true
			case j.Watch.Before >= learns:
				learns, words = j.Watch.Before, j.Learning()
			}
		}
	}
	switch {
	case last == nil:
		return "No data: no session that was asked for has ended (perwatt run --store adds one)."
	case last.Last < t.Night:
		return fmt.Sprintf("No data since %s (%s, node %s).", date(last.Last), t.name(last.Group), cmp.Or(last.Node, "without a name"))
	case !judged && words != "":
		return upper(words) + "."
	case absent > 0:
		return fmt.Sprintf("No data tonight of %d of %s.", absent, results.Plural(nodes, "node"))
	}
	return ""
}

// before lists the last n findings, those older than since, a line each and the
// latest first, at most 20.
func (t *Tracking) before(n int) (lines []string) {
	const most = 20
	old := t.Report.Findings[len(t.Report.Findings)-n:]
	for i := range old[:min(n, most)] {
		f := &old[i]
		lines = append(lines, fmt.Sprintf("%s %s: %s, which is no news", toneOf(f.Verdict), t.place(f), t.told(f)))
	}
	if n > most {
		lines = append(lines, fmt.Sprintf("%d more are older: -o and --format json have them", n-most))
	}
	return lines
}

func (t *Tracking) json(out io.Writer) error {
	type figure struct {
		Group, Node, Scenario, Use, Device, Workload, Impl, Metric string
		Threads                                                    int
		Size, Low, High, P                                         results.Float
		Since, From, To                                            string
	}
	type node struct {
		Group string `json:"group"`
		Node  string `json:"node"`
		Since string `json:"no_data_since,omitempty"` // of one that is absent: its last night
	}
	type finding struct {
		Verdict track.Verdict `json:"verdict"`
		Cause   track.Cause   `json:"cause"`
		Since   string        `json:"since"`
		From    string        `json:"from"`
		To      string        `json:"to"`
		P       results.Float `json:"p"`
		At      string        `json:"at,omitempty"`
		Do      string        `json:"do"`
		New     bool          `json:"new"`
		Failing bool          `json:"failing"`
		Failed  string        `json:"failed,omitempty"` // the night whose gate it failed, once
		Groups  []string      `json:"groups"`
		Nodes   []node        `json:"nodes"`
		Where   string        `json:"where"`
		Figures []figure      `json:"figures"`
	}
	names := make(map[string]string, len(t.groups))
	for _, g := range t.groups {
		names[g.id] = g.name
	}
	warnings, notices := t.notes()
	v := struct {
		Night    string            `json:"night"`
		Began    time.Time         `json:"began"`
		Headline string            `json:"headline"`
		Valid    bool              `json:"valid"`
		Failing  bool              `json:"failing"`
		Groups   map[string]string `json:"groups"`
		Absent   []node            `json:"absent"`
		Findings []finding         `json:"findings"`
		Notes    []string          `json:"notes"`
	}{date(t.Night), t.Begins(t.Night), t.headline(), t.Report.Valid(), t.Report.Fails(), names, []node{}, []finding{}, append(append([]string{}, warnings...), notices...)}
	for _, n := range t.Report.Absent() {
		v.Absent = append(v.Absent, node{n.Group, n.Node, date(n.Last)})
	}
	for i := range t.Report.Findings {
		f := &t.Report.Findings[i]
		x := finding{f.Verdict, f.Cause, date(f.Night), date(f.From), date(f.To), results.Float(f.P), f.At(), f.Do(), f.Shown() == t.Night, false, "", f.Groups, nil, f.Where(), nil}
		if night, ok := t.Report.Failed(f); ok {
			x.Failed, x.Failing = date(night), night == t.Night
		}
		for _, n := range f.Nodes {
			x.Nodes = append(x.Nodes, node{Group: n.Group, Node: n.Node})
		}
		for _, p := range f.Parts {
			c := p.Change
			x.Figures = append(x.Figures, figure{p.Key.Group, p.Key.Node, p.Key.Scenario, p.Key.Use, p.Key.Device, p.Key.Workload, p.Key.Impl, p.Key.Metric, p.Key.Threads,
				results.Float(c.Size.Value), results.Float(c.Size.Low), results.Float(c.Size.High), results.Float(c.P), date(c.Night), date(c.From), date(c.To)})
		}
		v.Findings = append(v.Findings, x)
	}
	return WriteJSON(out, "\t", v)
}

// csv writes the nights of a group, one value a line.
func (t *Tracking) csv(g *group) error {
	if t.Nights == nil {
		return nil
	}
	lines := table.Table{Bare: t.begun, Columns: table.Named("group", "name", "node", "scenario", "use", "device", "workload", "impl", "threads", "metric", "unit", "start", "value", "low", "high", "level", "revision", "record")}
	t.begun = true
	for _, h := range g.figures() {
		levels, at := t.levels(&h), 0
		for _, p := range h.points {
			for at < len(levels)-1 && seconds64(p.Start) > levels[at].To {
				at++
			}
			level := results.Absent()
			if at < len(levels) {
				level = results.Float(levels[at].Value)
			}
			lines.Row(text(g.id), text(g.name), text(h.Node), text(h.Scenario), text(h.Use), text(h.Device), text(h.Workload), text(h.Impl), number(h.Threads), text(h.Metric), text(h.Unit),
				table.Time(p.Start), number(p.Value), number(p.Low), number(p.High), number(level), text(p.Env.Revision), text(p.Record))
		}
	}
	return lines.WriteCSV(t.Nights)
}

// latestOf calls f for each series that has a figure of this night.
func (t *Tracking) latestOf(f func(g *group, h *history, p store.Point)) {
	for _, g := range t.groups {
		for k := range g.series {
			h := &g.series[k]
			if n := len(h.points); n > 0 && t.Calendar.Night(h.points[n-1].Start) == t.Night {
				f(g, h, h.points[n-1])
			}
		}
	}
}

// bench prints this night's figures as Go benchmark lines.
func (t *Tracking) bench(out io.Writer) error {
	w := newBenchWriter(out)
	var err error
	t.latestOf(func(g *group, h *history, p store.Point) {
		s := table.ShapeOf(h.Unit)
		line := &benchfmt.Result{Name: benchfmt.Name(upper(word(h.Scenario)) + "/use=" + word(h.Use)), Iters: 1, Values: []benchfmt.Value{{Value: float64(p.Value) * s.Factor, Unit: word(s.Symbol)}}}
		line.Config = configured(100, "group", g.id, "node", cmp.Or(h.Node, unknown), "impl", cmp.Or(h.Impl, "none"), "commit", cmp.Or(p.Env.Revision, unknown))
		err = cmp.Or(err, w.lines(line))
	})
	return err
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// github prints workflow commands. GitHub shows ten annotations of a kind for
// a step: if there are more, the tenth has their number.
func (t *Tracking) github(out io.Writer) error {
	const most = 10
	count := map[string]int{}
	say := func(kind, title, text string) {
		if count[kind]++; count[kind] < most {
			fmt.Fprintf(out, "::%s title=%s::%s\n", kind, property(results.Line(title, 120)), message(results.Line(text, 1000)))
		}
	}
	for i := range t.Report.Findings {
		f := &t.Report.Findings[i]
		if t.Night-f.Night > since {
			continue
		}
		kind := "notice"
		switch {
		case t.Report.Failing(f):
			kind = "error"
		case f.Verdict == track.Regression:
			kind = "warning"
		}
		say(kind, fmt.Sprintf("%s: %s", f.Verdict, t.place(f)), fmt.Sprintf("%s. %s %s. %s", t.told(f), f.Cause, f.At(), f.Do()))
	}
	warnings, notices := t.notes()
	if len(t.Report.Groups) == 0 {
		warnings = append(warnings, t.silent())
	}
	for _, n := range warnings {
		say("warning", "perwatt track", n)
	}
	for _, n := range notices {
		say("notice", "perwatt track", n)
	}
	for _, kind := range []string{"error", "warning", "notice"} {
		if n := count[kind] - most + 1; n > 0 {
			fmt.Fprintf(out, "::%s title=perwatt track::%d more are in the summary\n", kind, n)
		}
	}
	return nil
}

// Escapes of workflow commands: actions/toolkit, packages/core/src/command.ts.
var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace
)

// junit writes a test case for each series, with the verdict of the gate.
func (t *Tracking) junit(out io.Writer) error {
	type text struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string `xml:"classname,attr"`
		Name    string `xml:"name,attr"`
		Failure *text  `xml:"failure,omitempty"`
		Skipped *text  `xml:"skipped,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	s := suite{Name: "perwatt track " + date(t.Night)}
	for _, g := range t.Report.Groups {
		for _, j := range g.Judged {
			c := testcase{Class: results.Line(t.at(g.ID, j.Key.Node), 100), Name: results.Line(t.figureName(j.Key)+", "+cmp.Or(j.Key.Impl, j.Key.Workload, "no workload"), 160)}
			s.Tests++
			for i := range t.Report.Findings {
				f := &t.Report.Findings[i]
				if t.Report.Failing(f) && slices.ContainsFunc(f.Parts, func(p track.Part) bool { return p.Key == j.Key }) {
					c.Failure = &text{results.Line(f.What(), table.TextLimit), results.Line(fmt.Sprintf("%s since %s. %s. %s", f.Cause, date(f.Night), f.At(), f.Do()), table.TextLimit)}
				}
			}
			switch {
			case c.Failure != nil:
				s.Failures++
			case j.Watch.Mood == track.Missing:
				s.Skipped++
				words, _ := j.State(t.Night)
				c.Skipped = &text{Message: words}
			}
			s.Cases = append(s.Cases, c)
		}
	}
	raw, err := xml.MarshalIndent(s, "", "\t")
	fmt.Fprintf(out, "%s%s\n", xml.Header, raw)
	return err
}

// prometheus writes the exposition format without timestamps, as the textfile
// collector wants it.
func (t *Tracking) prometheus(out io.Writer) error {
	labels := func(pairs ...string) string {
		var s []string
		for i := 0; i < len(pairs); i += 2 {
			s = append(s, fmt.Sprintf(`%s="%s"`, pairs[i], labelled(results.Line(pairs[i+1], 120))))
		}
		return "{" + strings.Join(s, ",") + "}"
	}
	of := func(g *group, h *history) string {
		return labels("group", g.id, "node", h.Node, "scenario", h.Scenario, "use", h.Use, "device", h.Device, "workload", h.Workload, "impl", h.Impl, "threads", strconv.Itoa(h.Threads), "metric", h.Metric, "unit", string(h.Unit))
	}
	head := func(name, help string) { fmt.Fprintf(out, "# HELP %s %s\n# TYPE %[1]s gauge\n", name, help) }
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	head("perwatt_track_value", "The newest figure, in SI base units.")
	t.latestOf(func(g *group, h *history, p store.Point) {
		fmt.Fprintf(out, "perwatt_track_value%s %s\n", of(g, h), number(float64(p.Value)))
	})
	head("perwatt_track_change", "The last change of a series: the new level over the old.")
	for _, g := range t.groups {
		for k := range g.series {
			if n := len(g.series[k].changes); n > 0 {
				fmt.Fprintf(out, "perwatt_track_change%s %s\n", of(g, &g.series[k]), number(g.series[k].changes[n-1].Size.Value))
			}
		}
	}
	head("perwatt_track_last_start_seconds", "Start of the newest session of a node, Unix time.")
	for _, g := range t.groups {
		last := map[string]time.Time{}
		for _, h := range g.series {
			if n := len(h.points); n > 0 && h.points[n-1].Start.After(last[h.Node]) {
				last[h.Node] = h.points[n-1].Start
			}
		}
		for _, node := range slices.Sorted(maps.Keys(last)) {
			fmt.Fprintf(out, "perwatt_track_last_start_seconds%s %d\n", labels("group", g.id, "node", node, "name", g.name), last[node].Unix())
		}
	}
	head("perwatt_track_regressions", "Regressions that fail the gate tonight.")
	fmt.Fprintf(out, "perwatt_track_regressions %d\n", t.Report.Regressions())
	head("perwatt_track_nodes_missing", "Nodes that measured in the last two weeks and not tonight.")
	fmt.Fprintf(out, "perwatt_track_nodes_missing %d\n", len(t.Report.Absent()))
	return nil
}

var labelled = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace

// WriteAction writes this night's figures of one direction for
// benchmark-action/github-action-benchmark: its tool customBiggerIsBetter or
// customSmallerIsBetter.
func (t *Tracking) WriteAction(w io.Writer, better track.Direction) error {
	type entry struct {
		Name  string  `json:"name"`
		Unit  string  `json:"unit"`
		Value float64 `json:"value"`
		Range string  `json:"range,omitempty"`
		Extra string  `json:"extra"`
	}
	entries := []entry{}
	t.latestOf(func(g *group, h *history, p store.Point) {
		if (h.Metric == results.Power) != (better == track.Lower) {
			return
		}
		s := table.ShapeOf(h.Unit)
		e := entry{Name: results.Line(fmt.Sprintf("%s: %s, %s", t.at(g.id, h.Node), t.figureName(h.Key), cmp.Or(h.Impl, h.Workload, "no workload")), 200),
			Unit: s.Symbol, Value: float64(p.Value) * s.Factor, Extra: results.Line(fmt.Sprintf("record %s, revision %s", p.Record, cmp.Or(p.Env.Revision, "unknown")), table.TextLimit)}
		if !p.Low.IsAbsent() && !p.High.IsAbsent() {
			e.Range = fmt.Sprintf("[%.6g, %.6g]", float64(p.Low)*s.Factor, float64(p.High)*s.Factor)
		}
		entries = append(entries, e)
	})
	return WriteJSON(w, "\t", entries)
}

// WriteAudit prints the false alarms of the detectors over a history.
func WriteAudit(w io.Writer, a track.Audit) error {
	round := table.Round
	_, err := fmt.Fprintf(w, `%d nights of all series; %d pairs of neighbouring nights of one revision and epoch
guard: suspicious in %d of the pairs, %s [%s, %s] (0.2 %% by design)
changes with no commit and no event: %d, %s [%s, %s] for each series and year (0.05 at most by design)
changes for the worse %d, for the better %d: so uneven by chance with p = %s
`, a.Nights, a.Pairs, a.Guard, table.Percent(a.Rate.Value), table.Percent(a.Rate.Low), table.Percent(a.Rate.High),
		a.Raised, round(a.PerYear.Value, 3), round(a.PerYear.Low, 3), round(a.PerYear.High, 3), a.Worse, a.Better, round(a.Symmetry, 2))
	return err
}
