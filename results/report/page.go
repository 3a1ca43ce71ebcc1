package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// page is what the text and the Markdown form show, cleaned and scaled but not
// laid out.
type page struct {
	title []string // of the machine and the plan
	state string
	whole bool // every planned run is there and good
	parts []part
	foot  []string
}

type part struct {
	title   string
	columns []column
	notes   []string // about the columns
	short   bool     // a figure has no interval
	tone    tone
	items   []item
}

type tone int

const (
	plain tone = iota
	caution
	bad
)

// item is a line of a list: what it is about, and the rest.
type item struct{ about, text string }

// column is one quantity over all rows of a part.
type column struct {
	head  cell
	cells []cell
	kind  kind
	with  bool // the next column belongs beside it
}

type kind int

const (
	figure  kind = iota
	name         // tells the rows apart: repeated where a table is broken
	source       // of the watts: stands beside every column that rests on them
	powered      // a figure that rests on watts
)

// cell is a value and what belongs under it: an interval, a role.
type cell struct {
	value, under string
	sort         string // the bare number, for a page that can be sorted
	id           string // of a figure that can be explained
}

// The most of a name, a sentence and a list that is printed.
const (
	nameLimit = 24
	textLimit = 400
	listLimit = 40
)

func newPage(rec *results.Record, opt Options) *page {
	p := &page{title: title(rec)}
	p.state, p.whole = state(rec)
	said := false
	for _, part := range []*part{
		figures(rec), shares(rec), marginal(rec), yields(rec), arithmetic(rec), targets(rec), beside(rec), claims(claimsOf(rec)), unused(rec), recordWarnings(rec), validity(rec),
	} {
		if part == nil {
			continue
		}
		if part.short && !said {
			said = true
			part.notes = append(part.notes, fmt.Sprintf("No interval: needs ≥ %d rounds.", fewest))
		}
		p.parts = append(p.parts, *part)
	}
	p.foot = foot(rec, opt)
	return p
}

func title(rec *results.Record) []string {
	n, plan := rec.Node, rec.Plan
	t := []string{results.Line(n.Name, 40), results.Line(n.CPU.Model, 60), ""}
	if n.CPU.Threads > 0 { // a device of which that is not known has none
		t[2] = plural(n.CPU.Threads, "thread")
	}
	if n.Memory > 0 {
		t = append(t, fmt.Sprintf("%.3g GiB", float64(n.Memory)/(1<<30)))
	}
	rounds := plan.Rounds
	if rounds == 0 { // as many as it took
		rounds = len(rec.Runs)
	}
	t = append(t, fmt.Sprintf("%s: %s × %s", results.Line(plan.Preset, nameLimit), plural(rounds, "round"), seconds(plan.Window)))
	if s := plan.Setting; s != nil {
		t = append(t, fmt.Sprintf("setting %s, %d of %d", results.Line(s.Value, 40), s.Number, s.Of))
	}
	if plan.Sessions > 1 {
		t = append(t, fmt.Sprintf("session %d of %d", plan.Session, plan.Sessions))
	}
	t = append(t, rec.Start.UTC().Format("2006-01-02 15:04 UTC"))
	return slices.DeleteFunc(t, func(s string) bool { return s == "" })
}

func seconds(f results.Float) string {
	if f.IsAbsent() {
		return absent
	}
	return strconv.FormatFloat(float64(f), 'g', 4, 64) + " s"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// state says how far the session came; whole is false if anything is missing.
func state(rec *results.Record) (s string, whole bool) {
	planned, good := len(rec.Plan.Scenarios)*rec.Plan.Rounds, 0
	if planned == 0 {
		planned = len(rec.Runs)
	}
	for _, r := range rec.Runs {
		if r.Status == results.OK {
			good++
		}
	}
	switch rec.State {
	case results.Complete:
		if good == len(rec.Runs) && good == planned {
			return "complete", true
		}
		s = "complete"
	case results.Interrupted:
		s = "INTERRUPTED"
	case results.Running:
		s = "INCOMPLETE: still running, or killed"
	default:
		s = "INCOMPLETE: state " + results.Line(string(rec.State), nameLimit)
	}
	return fmt.Sprintf("%s, %d of %s good", s, good, plural(planned, "planned run")), false
}

// sheet collects the columns and the notes of one part.
type tableBuilder struct{ part }

// note returns the mark of a note, which is added once.
func (s *tableBuilder) note(text string) string {
	i := slices.Index(s.notes, text)
	if i < 0 {
		i = len(s.notes)
		s.notes = append(s.notes, text)
	}
	return superscript(i + 1)
}

func superscript(n int) string {
	return strings.Map(func(d rune) rune { return []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[d-'0'] }, strconv.Itoa(n))
}

const interval = "95 % interval"

// figure adds a column of metrics; nil is a metric that the row does not have.
// A column in which no row has a metric is left out.
func (s *tableBuilder) figure(value, under string, metrics []*results.Figure) {
	c := column{head: cell{value: value, under: under}, kind: figure}
	some, bounds := false, false
	for _, m := range metrics {
		if m == nil {
			c.cells = append(c.cells, cell{})
			continue
		}
		some = true
		if m.Boundary != "" || m.Origin != "" {
			c.kind = powered
		}
		x := s.cell(*m)
		bounds = bounds || x.under != ""
		c.cells = append(c.cells, x)
	}
	if under == interval && !bounds {
		c.head.under = ""
	}
	if some {
		s.columns = append(s.columns, c)
	}
}

func (s *tableBuilder) cell(m results.Figure) cell {
	if m.Value.IsAbsent() {
		why := cmp.Or(results.Line(m.Why, textLimit), "no reason is recorded")
		if m.Status.Unresolved() {
			return cell{value: "not resolvable" + s.note(why)}
		}
		return cell{value: absent + s.note(why)}
	}
	value, bounds := Split(m)
	if m.Why != "" {
		value += s.note(results.Line(m.Why, textLimit))
	}
	s.short = s.short || bounds == ""
	return cell{value: value, under: bounds, sort: exact(m.Value)}
}

func (s *tableBuilder) text(k kind, value, under string, cells []cell) {
	s.columns = append(s.columns, column{head: cell{value: value, under: under}, cells: cells, kind: k})
}

// sources adds the provenance of the watts, from the first metric of each row
// that has one; it adds nothing if none has.
func (s *tableBuilder) sources(rows [][]*results.Figure) {
	cells := make([]cell, len(rows))
	some := false
	for i, row := range rows {
		for _, m := range row {
			if m != nil && m.Origin != "" && cells[i] == (cell{}) {
				some = true
				cells[i] = cell{value: results.Line(strings.TrimSpace(string(m.Boundary)+" "+PlusMinus(*m)), nameLimit), under: results.Line(fmt.Sprintf("%s · %s", m.Origin, m.Grade), nameLimit)}
			}
		}
	}
	if some {
		s.text(source, "watts at", "origin/grade", cells)
	}
}

// counts adds the number of windows behind each row.
func (s *tableBuilder) counts(rows [][]*results.Figure) {
	cells := make([]cell, len(rows))
	for i, row := range rows {
		lo, hi := math.MaxInt, 0
		for _, m := range row {
			if m != nil && m.N > 0 {
				lo, hi = min(lo, m.N), max(hi, m.N)
			}
		}
		if cells[i].value = strconv.Itoa(hi); lo < hi {
			cells[i].value = fmt.Sprintf("%d–%d", lo, hi)
		}
	}
	s.text(name, "n", "", cells)
}

const fewest = 6 // rounds from which a figure has an interval

func (s *tableBuilder) done(notes ...string) *part {
	for i, n := range s.notes {
		s.notes[i] = superscript(i+1) + " " + n
	}
	s.notes = append(notes, s.notes...)
	return &s.part
}

func figures(rec *results.Record) *part {
	rows := rec.Summary.Rows
	if len(rows) == 0 {
		return &part{notes: []string{"No figures: no run of this session was good."}}
	}
	metered := slices.ContainsFunc(rows, func(r results.Row) bool {
		m := metricOf(r, results.Power)
		return m != nil && m.Origin != ""
	})
	if !metered { // idle has nothing to show
		rows = slices.DeleteFunc(slices.Clone(rows), func(r results.Row) bool { return r.Use == "idle" })
	}
	var scenarios []cell
	uses := madeOf(rows, true)
	all := make([][]*results.Figure, len(rows))
	columns := []struct{ metric, head, under string }{
		{results.Throughput, "throughput", interval},
		{results.Power, "power", "gross"},
		{results.NetPower, "net power", "above idle"},
		{results.WorkPerEnergy, "per joule", interval},
		{results.EnergyPerWork, "energy per work", interval},
	}
	grid := make([][]*results.Figure, len(columns))
	shared := false
	for i, r := range rows {
		role := string(r.Role)
		if r.Role == results.Alone {
			role = ""
		}
		shared = shared || role != ""
		scenarios = append(scenarios, cell{value: results.Line(r.Scenario, nameLimit), under: results.Line(role, nameLimit)})
		for j, c := range columns {
			m := metricOf(r, c.metric)
			grid[j] = append(grid[j], m)
			all[i] = append(all[i], m)
		}
	}
	s := &tableBuilder{}
	s.text(name, "scenario", "role", scenarios)
	s.text(name, "use", "kernel", uses)
	s.counts(all)
	for j, c := range columns {
		if j > 0 && !metered {
			continue
		}
		s.figure(c.head, c.under, grid[j])
		switch c.metric {
		case results.Power:
			s.sources(all)
		case results.WorkPerEnergy:
			s.columns[len(s.columns)-1].with = true
		}
	}
	var notes []string
	if metered {
		notes = append(notes, instrument(rec, all)...)
		if shared {
			notes = append(notes, "Uses that share a scenario are each charged the energy of the whole node.")
		}
	} else {
		why := "the record does not say why"
		for _, m := range grid[1] {
			if m != nil && m.Why != "" {
				why = results.Line(m.Why, textLimit)
				break
			}
		}
		notes = append(notes, "No watts, and nothing per watt: "+why+".")
	}
	return s.done(notes...)
}

// madeOf names the uses of rows, with their kernels below if asked; what tells
// two rows of one use apart (package, kernel, threads) stands below too.
func madeOf(rows []results.Row, kernels bool) []cell {
	type use struct {
		scenario, use string
		role          results.Role
	}
	type several struct {
		first                     results.Row
		workloads, impls, threads bool
	}
	uses := map[use]*several{}
	for _, r := range rows {
		k := use{r.Scenario, r.Use, r.Role}
		if uses[k] == nil {
			uses[k] = &several{first: r}
		}
		u := uses[k]
		u.workloads = u.workloads || r.Workload != u.first.Workload
		u.impls = u.impls || r.Impl != u.first.Impl
		u.threads = u.threads || r.Threads != u.first.Threads
	}
	cells := make([]cell, len(rows))
	for i, r := range rows {
		var under []string
		u := uses[use{r.Scenario, r.Use, r.Role}]
		if u.workloads {
			under = append(under, results.Line(r.Workload, 2*nameLimit))
		}
		if (kernels || u.impls) && r.Impl != "" {
			under = append(under, results.Line(r.Impl, nameLimit))
		}
		if u.threads {
			under = append(under, plural(r.Threads, "thread"))
		}
		cells[i] = cell{value: results.Line(r.Use, nameLimit), under: strings.Join(under, ", ")}
	}
	return cells
}

func metricOf(r results.Row, name string) *results.Figure {
	if m, ok := r.Metrics[name]; ok {
		return &m
	}
	return nil
}

// instrument says which meter the watts are from and how far it can be off.
func instrument(rec *results.Record, rows [][]*results.Figure) []string {
	head, ok := results.PrimaryMeterOf(rec)
	meter := "of an unknown meter"
	if ok {
		meter = "by the " + results.Line(head.Meter, nameLimit) + " meter"
	}
	const power = 1 // of the columns of figures
	guessed := false
	parts := map[string]float64{} // the largest of each term
	unstated := map[string]bool{}
	for _, row := range rows {
		for i, m := range row {
			if m == nil || m.Origin == "" {
				continue
			}
			guessed = guessed || m.Origin != results.Measured
			if i != power || m.Budget == nil {
				continue
			}
			for _, t := range m.Budget.Terms {
				parts[t.Name] = max(parts[t.Name], float64(t.HalfWidth))
			}
			for _, u := range m.Budget.Unstated {
				unstated[u] = true
			}
		}
	}
	var terms []string
	for _, name := range []string{results.Gain, results.Quantisation, results.Timing, results.Sampling} {
		switch h := parts[name]; {
		case unstated[name]:
			terms = append(terms, name+" unknown")
		case h > 0:
			terms = append(terms, name+" "+percent(h))
		}
	}
	read := ""
	for _, c := range rec.Summary.Coverage {
		if ok && c.Meter == head.Meter && !c.Interval.IsAbsent() {
			read = fmt.Sprintf(", read every %s, %s of the time", Quantity(c.Interval, results.Second), percent(float64(c.Share)))
			if !c.RoundTrip.IsAbsent() {
				read += ", round trip up to " + Quantity(c.RoundTrip, results.Second)
			}
		}
	}
	notes := []string{fmt.Sprintf("Watts %s%s.", meter, read)}
	if len(terms) > 0 {
		notes = append(notes, "Intervals are from repeats alone. ± is the power's, and adds the meter's in quadrature: "+strings.Join(terms, ", ")+" at most; ≥ where a part is unknown.")
	}
	if guessed {
		notes = append(notes, "~ was not measured: grade E, never ranked, no verdict rests on it.")
	}
	return notes
}

// PlusMinus is the relative uncertainty of a figure with watts in it, all
// terms in quadrature; ≥ if some are unknown, empty if it has no budget.
func PlusMinus(m results.Figure) string {
	switch b := m.Budget; {
	case b == nil || b.Quadrature.IsAbsent():
		return ""
	case len(b.Unstated) > 0:
		return "≥" + percent(float64(b.Quadrature))
	default:
		return "±" + percent(float64(b.Quadrature))
	}
}

func percent(ratio float64) string {
	digits := 2
	switch {
	case ratio >= 10:
		return strconv.FormatFloat(100*ratio, 'f', 0, 64) + " %"
	case ratio >= 0.1:
		digits = 3
	}
	return strconv.FormatFloat(100*ratio, 'g', digits, 64) + " %"
}

// beside lists what every meter saw, if there is more than the headline.
func beside(rec *results.Record) *part {
	rows := rec.Summary.Meters
	many := false
	for _, r := range rows {
		many = many || r.Meter != rows[0].Meter || r.Channel != rows[0].Channel || r.Power.Boundary != rows[0].Power.Boundary
	}
	if !many {
		return nil
	}
	s := &tableBuilder{part: part{title: "Meters beside each other"}}
	var scenarios, meters []cell
	var power []*results.Figure
	all := make([][]*results.Figure, len(rows))
	for i := range rows {
		r := &rows[i]
		scenarios = append(scenarios, cell{value: results.Line(r.Scenario, nameLimit)})
		meters = append(meters, cell{value: results.Line(r.Meter, nameLimit), under: results.Line(r.Channel, nameLimit)})
		power, all[i] = append(power, &r.Power), []*results.Figure{&r.Power}
	}
	s.text(name, "scenario", "", scenarios)
	s.text(name, "meter", "", meters)
	s.counts(all)
	s.figure("power", interval, power)
	s.sources(all)
	return s.done("The first of a scenario is quoted above: measured before modelled, then the outermost boundary.")
}

// validity says why a record may not be ranked.
func validity(rec *results.Record) *part {
	v := rec.Summary.Validity
	if v.Valid || len(v.Findings) == 0 {
		return nil
	}
	p := &part{tone: caution}
	for _, f := range v.Findings {
		if f.Outcome == results.Fail {
			p.items = append(p.items, item{results.Line(f.Rule, nameLimit), results.Line(f.Figure, textLimit)})
		}
	}
	p.title = fmt.Sprintf("INVALID for ranking: fails %d of the %s of the %s set", len(p.items), plural(len(v.Findings), "rule"), results.Line(v.Rules, nameLimit))
	return p
}

// Findings prints every rule with what became of it.
func Findings(w io.Writer, v results.Validity, opt Options) error {
	verdict := "VALID for ranking"
	if !v.Valid {
		verdict = "INVALID for ranking"
	}
	p := &page{title: []string{results.Line(v.Rules, nameLimit) + " rules"}, state: verdict, whole: v.Valid}
	part := part{}
	for _, f := range v.Findings {
		part.items = append(part.items, item{
			results.Line(strings.Replace(string(f.Outcome), "not applicable", "n.a.", 1), nameLimit) + " " + results.Line(f.Rule, nameLimit),
			results.Line(fmt.Sprintf("%s. Asked: %s (%s)", f.Figure, f.Asks, f.Source), textLimit),
		})
	}
	p.parts = append(p.parts, part)
	return flush(w, p, opt)
}

func marginal(rec *results.Record) *part {
	m := rec.Summary.CoRunCost
	if m == nil {
		return nil
	}
	s := &tableBuilder{part: part{title: "Mullet: mining in the background of training, against training alone"}}
	all := [][]*results.Figure{{&m.TrainingKept, &m.HashesGained, &m.ExtraPower, &m.ExtraEnergy, &m.EnergyPer}}
	s.counts(all)
	s.figure("training kept", interval, all[0][:1])
	s.figure("hashes gained", interval, all[0][1:2])
	s.figure("extra power", interval, all[0][2:3])
	s.sources(all)
	s.figure("extra energy", interval, all[0][3:4])
	s.figure("marginal energy", "per hash gained", all[0][4:5])
	return s.done()
}

func yields(rec *results.Record) *part {
	ys := rec.Summary.Yields
	s := &tableBuilder{part: part{title: "One kilowatt-hour gives"}}
	var scenarios []cell
	var rows []results.Row
	var gross, net []*results.Figure
	all := make([][]*results.Figure, len(ys))
	some := false
	for i := range ys {
		y := &ys[i]
		some = some || !y.PerKWh.Value.IsAbsent()
		scenarios = append(scenarios, cell{value: results.Line(y.Scenario, nameLimit)})
		rows = append(rows, results.Row{Scenario: y.Scenario, Use: y.Use, Workload: y.Workload, Impl: y.Impl, Threads: y.Threads, Role: y.Role})
		gross, net = append(gross, &y.PerKWh), append(net, &y.Net)
		all[i] = []*results.Figure{&y.PerKWh, &y.Net}
	}
	if some {
		s.text(name, "scenario", "", scenarios)
		s.text(name, "use", "", madeOf(rows, false))
		s.counts(all)
		s.figure("work", "all energy counted", gross)
		s.figure("net work", "idle taken off", net)
		s.sources(all)
	}
	var notes []string
	for _, x := range rec.Summary.Exchange {
		m := x.HashesPerSample
		if m.Value.IsAbsent() {
			continue
		}
		some = true
		from := ""
		if m.Origin != "" {
			from = fmt.Sprintf(" (%s)", results.Line(fmt.Sprintf("%s · %s · %s", m.Boundary, m.Origin, m.Grade), 3*nameLimit))
		}
		notes = append(notes, fmt.Sprintf("Exchange rate: the energy of one sample of %s gives %s at mining%s, n=%d.",
			results.Line(x.Scenario, nameLimit), strings.TrimSuffix(Figure(m), "/sample"), from, m.N))
	}
	if !some {
		return nil
	}
	return s.done(notes...)
}

// arithmetic says how well the floating-point units were used.
func arithmetic(rec *results.Record) *part {
	s := &tableBuilder{part: part{title: "Useful fp32 arithmetic"}}
	s.metrics(rec, []metricColumn{
		{results.FlopRate, "rate", interval},
		{results.KernelFraction, "of the kernel", "alone, at start"},
		{results.PeakFraction, "of the FMA peak", "measured at start"},
	})
	return s.ifAny()
}

// targets says what it took to train to a quality.
func targets(rec *results.Record) *part {
	s := &tableBuilder{part: part{title: "Training to target"}}
	rows := s.metrics(rec, []metricColumn{
		{results.StepsToTarget, "steps", interval},
		{results.TimeToTarget, "time", interval},
		{results.EnergyToTarget, "energy", interval},
	})
	var goals []cell
	for _, r := range rows {
		goals = append(goals, goal(rec, r))
	}
	if p := s.ifAny(); p != nil {
		s.columns = slices.Insert(s.columns, 2, column{head: cell{value: "goal", under: "held out"}, cells: goals, kind: name})
		return p
	}
	return nil
}

type metricColumn struct{ metric, head, under string }

// metrics adds a row for each of the summary that has any of these metrics,
// and returns those rows.
func (s *tableBuilder) metrics(rec *results.Record, columns []metricColumn) (rows []results.Row) {
	var scenarios []cell
	var all [][]*results.Figure
	grid := make([][]*results.Figure, len(columns))
	for _, r := range rec.Summary.Rows {
		row := make([]*results.Figure, len(columns))
		some := false
		for j, c := range columns {
			row[j] = metricOf(r, c.metric)
			if m := row[j]; m != nil && m.Origin == "" && m.Unit == results.Joule && m.Value.IsAbsent() {
				row[j] = nil // the table has said that there are no watts
			}
			some = some || row[j] != nil
		}
		if !some {
			continue
		}
		scenarios = append(scenarios, cell{value: results.Line(r.Scenario, nameLimit)})
		rows, all = append(rows, r), append(all, row)
		for j := range columns {
			grid[j] = append(grid[j], row[j])
		}
	}
	if len(rows) == 0 {
		return nil
	}
	s.text(name, "scenario", "", scenarios)
	s.text(name, "use", "", madeOf(rows, false))
	s.counts(all)
	for j, c := range columns {
		s.figure(c.head, c.under, grid[j])
	}
	s.sources(all)
	return rows
}

// ifAny returns the part, or nil if it has no columns.
func (s *tableBuilder) ifAny() *part {
	if len(s.columns) == 0 {
		return nil
	}
	return s.done()
}

// goal says to what quality the runs behind a row were trained.
func goal(rec *results.Record, row results.Row) cell {
	for _, r := range rec.Runs {
		for _, u := range r.Uses {
			if t := u.Target; t != nil && r.Scenario == row.Scenario && u.Use == row.Use {
				return cell{value: fmt.Sprintf("%s ≥ %s", results.Line(t.Metric, nameLimit), strconv.FormatFloat(float64(t.Goal), 'g', 4, 64))}
			}
		}
	}
	return cell{}
}

func unused(rec *results.Record) *part {
	p := &part{tone: bad}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		if r.Status == results.OK {
			continue
		}
		var why []string
		if r.Error != "" {
			why = append(why, results.Line(r.Error, textLimit))
		}
		for _, c := range r.Checks {
			if !c.OK {
				why = append(why, results.Line(fmt.Sprintf("check %s of %s failed: %s", results.Line(c.Name, nameLimit), results.Line(c.Use, nameLimit), c.Detail), textLimit))
			}
		}
		if len(why) == 0 {
			why = []string{"no reason is recorded"}
		}
		p.items = append(p.items, item{
			fmt.Sprintf("%s, round %d: %s", results.Line(r.Scenario, nameLimit), r.Round, results.Line(string(r.Status), nameLimit)),
			strings.Join(why, "; "),
		})
	}
	if len(p.items) == 0 {
		return nil
	}
	p.title = fmt.Sprintf("Runs not used: %d of %d", len(p.items), len(rec.Runs))
	p.items = limited(p.items)
	return p
}

func limited(items []item) []item {
	if more := len(items) - listLimit; more > 0 {
		return append(items[:listLimit:listLimit], item{"…", fmt.Sprintf("%d more in the record", more)})
	}
	return items
}

var number = regexp.MustCompile(`[-+]?[0-9][0-9.]*`)

// doubts groups warnings that differ in nothing but their numbers and runs.
func recordWarnings(rec *results.Record) *part {
	type group struct {
		results.Warning
		runs []string
		n    int
	}
	var groups []*group
	seen := map[[3]string]*group{}
	for _, w := range slices.Concat(rec.Warnings, rec.Summary.Flags) {
		w = results.Warning{
			Code: cmp.Or(results.Line(w.Code, nameLimit), "unnamed"), Text: results.Line(w.Text, textLimit), Remedy: results.Line(w.Remedy, textLimit), Run: results.Line(w.Run, nameLimit+8),
		}
		key := [3]string{w.Code, number.ReplaceAllString(w.Text, "#"), w.Remedy}
		g := seen[key]
		if g == nil {
			g = &group{Warning: w}
			seen[key] = g
			groups = append(groups, g)
		}
		if g.n++; w.Run != "" {
			g.runs = append(g.runs, w.Run)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	first := map[string]int{}
	for i, g := range groups {
		if _, ok := first[g.Code]; !ok {
			first[g.Code] = i
		}
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return first[a.Code] - first[b.Code] })
	p := &part{title: "Warnings", tone: caution}
	for _, g := range groups {
		it := item{about: g.Code, text: g.Text}
		if g.n > 1 {
			it.about = fmt.Sprintf("%s ×%d", g.Code, g.n)
		}
		if len(g.runs) > 0 {
			it.text += " (" + g.runs[0]
			if n := len(g.runs) - 1; n > 0 {
				it.text += fmt.Sprintf(" and %d more like it", n)
			}
			it.text += ")"
		}
		if g.Remedy != "" {
			it.text += " → " + g.Remedy
		}
		p.items = append(p.items, it)
	}
	p.items = limited(p.items)
	return p
}

func foot(rec *results.Record, opt Options) []string {
	id := results.Line(rec.ID, 40)
	digest := results.Line(rec.Digest.Record, 13)
	if digest = strings.TrimSuffix(digest, "…"); digest != "" {
		digest = ", sha256 " + digest
	}
	if opt.Path == "" {
		return []string{"Record " + id + digest + ": not kept."}
	}
	path := results.Printable(opt.Path)
	return []string{"Record " + path + digest, "Check it: " + quoted(results.Printable(cmp.Or(opt.Program, "perwatt"))) + " verify " + quoted(path)}
}

var bare = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,][A-Za-z0-9_./:@%+,=-]*$`)

// quoted writes a word for a POSIX shell.
func quoted(s string) string {
	if bare.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
