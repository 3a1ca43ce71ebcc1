package report

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report/table"
)

// The view of one record.

const fewest = 6 // rounds that an interval needs

func recordPage(rec *results.Record, opt Options) *table.Page {
	p := &table.Page{Title: title(rec), Foot: foot(rec, opt)}
	p.State, p.Whole = state(rec)
	p.Add(figures(rec))
	if why := compare.StandingOf(rec); why != "" {
		p.Add(table.Table{Notes: []string{why}})
	}
	p.Add(
		cards(rec), scaling(rec), shares(rec), marginal(rec), behindCards(rec), yields(rec), arithmetic(rec), targets(rec), allMeters(rec),
		claims(claimsOf(rec)), unused(rec), lost(rec), recordWarnings(rec), validity(rec),
	)
	return p
}

func title(rec *results.Record) []string {
	n, plan := rec.Node, rec.Plan
	t := []string{results.Line(n.Name, 40), results.Line(n.Models(), 60), ""}
	if threads := n.Threads(); threads > 0 { // a miner has none
		t[2] = results.Plural(threads, "thread")
	}
	if n.Memory > 0 {
		t = append(t, gib(n.Memory))
	}
	rounds := plan.Rounds
	if rounds == 0 { // as many as it took
		rounds = len(rec.Runs)
	}
	t = append(t, fmt.Sprintf("%s: %s × %s s", results.Line(plan.Preset, table.NameLimit), results.Plural(rounds, "round"), table.Round(float64(plan.Window), 4)))
	if s := plan.Setting; s != nil {
		t = append(t, fmt.Sprintf("setting %s, %d of %d", results.Line(s.Value, 40), s.Number, s.Of))
	}
	if n := plan.Together(); n > 0 {
		t = append(t, fmt.Sprintf("%d nodes together", n))
	}
	if plan.Sessions > 1 {
		t = append(t, fmt.Sprintf("session %d of %d", plan.Session, plan.Sessions))
	}
	t = append(t, results.Minute(rec.Start))
	return slices.DeleteFunc(t, func(s string) bool { return s == "" })
}

func gib(bytes int64) string { return table.Round(float64(bytes)/(1<<30), 3) + " GiB" }

// state is how far the session came; whole is false if anything is missing.
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
	missing := rec.Lost()
	switch rec.State {
	case results.Complete:
		if good == len(rec.Runs) && good == planned && missing == 0 {
			return "complete", true
		}
		s = "complete"
	case results.Interrupted:
		s = "INTERRUPTED"
	case results.Running:
		s = "INCOMPLETE: still running, or killed"
	default:
		s = "INCOMPLETE: state " + results.Line(string(rec.State), table.NameLimit)
	}
	s = fmt.Sprintf("%s, %d of %s good", s, good, results.Plural(planned, "planned run"))
	if missing > 0 {
		s += fmt.Sprintf(", %s of a card missing", results.Plural(missing, "result"))
	}
	return s, false
}

// metric is the column of a metric of a summary.
type metric struct{ name, head, under string }

// metrics is a table of the rows that have one of the metrics, and returns these
// rows too. The kernels stand below the uses if asked.
func metrics(rec *results.Record, title string, rows []results.Row, kernels bool, columns ...metric) (t table.Table, kept []results.Row) {
	t = table.Table{Title: title, Counts: true, WattsAt: true, Columns: []table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "use", Kind: table.Name, Limit: 4 * table.NameLimit}}}
	if kernels {
		t.Columns[0].Under, t.Columns[1].Under = "role", "kernel"
	}
	for _, c := range columns {
		t.Columns = append(t.Columns, table.Column{Head: c.head, Under: c.under, With: c.name == results.WorkPerEnergy})
	}
	for _, r := range rows {
		line, some := []table.Cell{scenario(r, kernels), nil}, false
		for _, c := range columns {
			m := metricOf(r, c.name)
			if m != nil && m.Origin == "" && m.Unit == results.Joule && m.Value.IsAbsent() {
				m = nil // the first table has said that there are no watts
			}
			some = some || m != nil
			line = append(line, table.Of(m))
		}
		if some {
			t.Row(line...)
			kept = append(kept, r)
		}
	}
	for i, use := range madeOf(&rec.Node, kept, kernels) {
		t.Rows[i][1] = use
	}
	t.Notes = independent(kept)
	return t, kept
}

// independent are the notes of a table with these rows about cards that each train a
// model.
func independent(rows []results.Row) []string {
	if slices.ContainsFunc(rows, func(r results.Row) bool { return r.Independent() }) {
		return []string{results.NoteIndependent}
	}
	return nil
}

// scaling shows cards that train one model.
func scaling(rec *results.Record) table.Table {
	rows := slices.DeleteFunc(slices.Clone(rec.Summary.Rows), func(r results.Row) bool { return !r.Parallel() })
	t, _ := metrics(rec, "One model on several cards", rows, false,
		metric{results.Throughput, "throughput", "of all cards"}, metric{results.ScalingEfficiency, "scaling efficiency", ""})
	if len(t.Rows) == 0 {
		return t
	}
	t.Notes = append(t.Notes, "Scaling efficiency is the throughput ÷ (cards × that of one of them alone with the same batch, measured in this session). Training one model on several cards has not yet run on hardware.")
	for i := range rows {
		row := &rows[i]
		for use := range usesBehind(rec, *row) {
			way := results.Line(use.Params["all_reduce"], table.TextLimit)
			note := fmt.Sprintf("%s: gradients are summed by our own all-reduce, not the vendor's: %s.", results.Line(rec.Node.UseName(row.Use, row.Device), 4*table.NameLimit), way)
			if way != "" && !slices.Contains(t.Notes, note) {
				t.Notes = append(t.Notes, note)
			}
		}
		if m := row.Metrics[results.ScalingEfficiency]; m.Value.IsAbsent() {
			t.Notes = append(t.Notes, fmt.Sprintf("%s: no scaling efficiency: %s.", row.Scenario, results.Line(m.Why, table.TextLimit)))
		}
	}
	return t
}

func scenario(r results.Row, role bool) table.Text {
	x := table.Text{Text: r.Scenario}
	if role && r.Role != results.Alone {
		x.Under = string(r.Role)
	}
	if c := r.Cards; role && c != nil {
		x.Under = strings.TrimPrefix(x.Under+", "+ofCards(c), ", ")
	}
	return x
}

// ofCards says how many cards a row sums: "4 cards", "3 of 4 cards".
func ofCards(c *results.CardSum) string {
	if c.Gave == c.Of {
		return results.Plural(c.Of, "card")
	}
	return fmt.Sprintf("%d of %s", c.Gave, results.Plural(c.Of, "card"))
}

// whole are the rows without those of one card of several, which [cards] lists.
func whole(rows []results.Row) []results.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r results.Row) bool { return r.PartOf != "" })
}

// cards has the throughput of each card of those that worked together, below their
// sum with the slowest of them, and what each drew where a meter knows.
func cards(rec *results.Record) table.Table {
	t := table.Table{
		Title: "Equal cards together", Counts: true,
		Columns: []table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "use", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "cards", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "throughput"}, {Head: "slowest", Under: "of the median"}},
		Notes:   []string{"Watts are in the row of all cards together: no meter has a channel of one of these cards."},
	}
	own := slices.ContainsFunc(rec.Summary.Rows, func(r results.Row) bool { return r.PartOf != "" && r.Metrics[results.Power].Origin != "" })
	if own {
		t.WattsAt = true
		t.Columns = append(t.Columns, table.Column{Head: "power", Under: "of the card"}, table.Column{Head: "per joule", Under: "of the card"})
		t.Notes[0] = "The watts of a card are its own, at its boundary; those of all cards together are above."
	}
	for _, r := range rec.Summary.Rows {
		var on, slowest table.Cell
		var watts, perJoule *results.Figure
		switch c := r.Cards; {
		case c != nil:
			on, slowest = table.Text{Text: ofCards(c)}, table.Text{Text: results.Line(c.Slowest, table.NameLimit), Under: table.Percent(float64(c.Share))}
		case r.PartOf != "":
			on, watts, perJoule = table.Text{Text: results.Line(r.Device, table.NameLimit)}, metricOf(r, results.Power), metricOf(r, results.WorkPerEnergy)
		default:
			continue
		}
		line := []table.Cell{table.Text{Text: r.Scenario}, table.Text{Text: results.Line(r.Use, table.NameLimit)}, on, table.Of(metricOf(r, results.Throughput)), slowest}
		if own {
			line = append(line, table.Of(watts), table.Of(perJoule))
		}
		t.Row(line...)
	}
	if len(t.Rows) == 0 {
		t.Notes = nil
	}
	t.Notes = append(t.Notes, independent(rec.Summary.Rows)...)
	return t
}

// lost lists the cards that gave no result in runs that went on with others.
func lost(rec *results.Record) table.Table {
	type card struct{ scenario, use, device string }
	type loss struct {
		why       string
		n, rounds int
	}
	all, order := map[card]*loss{}, []card(nil)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		if r.Status != results.OK {
			continue
		}
		for _, u := range r.Uses {
			k := card{r.Scenario, u.Use, u.Device}
			l := all[k]
			if l == nil {
				l = new(loss)
				all[k], order = l, append(order, k)
			}
			if l.rounds++; u.Error != "" {
				l.n, l.why = l.n+1, cmp.Or(l.why, u.Error)
			}
		}
	}
	t := table.Table{Title: "Cards that gave no result", Tone: table.Bad}
	for _, k := range order {
		if l := all[k]; l.n > 0 {
			t.Add(fmt.Sprintf("%s, %s: %d of %s", results.Line(k.scenario, table.NameLimit), results.Line(rec.Node.UseName(k.use, k.device), 2*table.NameLimit), l.n, results.Plural(l.rounds, "round")), results.Line(l.why, table.TextLimit))
		}
	}
	t.Items = table.Limited(t.Items)
	return t
}

func metricOf(r results.Row, name string) *results.Figure {
	if m, ok := r.Metrics[name]; ok {
		return &m
	}
	return nil
}

func figures(rec *results.Record) table.Table {
	rows := whole(rec.Summary.Rows)
	if len(rows) == 0 {
		return table.Table{Notes: []string{"No figures: no run of this session was good."}}
	}
	columns := []metric{
		{results.Throughput, "throughput", ""}, {results.Power, "power", "gross"}, {results.NetPower, "net power", "above idle"},
		{results.WorkPerEnergy, "per joule", ""}, {results.EnergyPerWork, "energy per work", ""},
	}
	watts, why := false, ""
	for _, r := range rows {
		if m := metricOf(r, results.Power); m != nil {
			if watts = watts || m.Origin != ""; r.Use != "idle" {
				why = cmp.Or(why, results.Line(m.Why, table.TextLimit))
			}
		}
	}
	if !watts {
		columns = columns[:1]
		rows = slices.DeleteFunc(slices.Clone(rows), func(r results.Row) bool { return r.Use == "idle" }) // it has no throughput
	}
	t, _ := metrics(rec, "", rows, true, columns...)
	t.Notes = append(intervals(&t), t.Notes...)
	if !watts {
		t.Notes = append(t.Notes, "No watts, and nothing per watt: "+cmp.Or(why, "the record does not say why")+".")
		return t
	}
	t.Notes = append(t.Notes, instrument(rec)...)
	if slices.ContainsFunc(rows, func(r results.Row) bool {
		return r.Use == "mining" && rec.Node.Device(r.Device).Kind == results.KindGPU
	}) {
		t.Notes = append(t.Notes, economics.NoteCards)
	}
	if slices.ContainsFunc(rows, func(r results.Row) bool { return r.Role != results.Alone }) {
		t.Notes = append(t.Notes, "Uses that share a scenario are each charged the energy of the whole node.")
	}
	return t
}

// intervals explains the brackets of a table, and why some are missing.
func intervals(t *table.Table) (notes []string) {
	some, all := t.Intervals()
	if some {
		notes = append(notes, "Brackets hold 95 % intervals, from repeats alone.")
	}
	if !all {
		notes = append(notes, fmt.Sprintf("No interval: needs ≥ %d rounds.", fewest))
	}
	return notes
}

// madeOf names the uses of rows. Below stand the device, unless it is the CPU or a
// miner, the kernels, if asked, and whatever distinguishes two rows of one use.
func madeOf(n *results.Node, rows []results.Row, kernels bool) []table.Text {
	type use struct {
		scenario, use string
		role          results.Role
	}
	of := func(r results.Row) (use, variant) {
		device := results.Line(r.Device, table.NameLimit)
		if n.ModelOf(r.Device) != "" && beside(r.Device) {
			device = "on " + n.DeviceName(r.Device)
		}
		return use{r.Scenario, r.Use, r.Role}, variant{device, results.Line(r.Workload, 2*table.NameLimit), results.Line(r.Impl, table.NameLimit), r.Threads}
	}
	vary := varieties[use]{}
	for _, r := range rows {
		vary.add(of(r))
	}
	cells := make([]table.Text, len(rows))
	for i, r := range rows {
		u, v := of(r)
		vary := *vary[u]
		vary.impl, vary.device = vary.impl || kernels, vary.device || beside(r.Device)
		cells[i] = table.Text{Text: results.Line(results.UseWords(r.Use), table.NameLimit), Under: vary.words(v)}
	}
	return cells
}

// beside reports whether a device is one beside the CPU, and no miner.
func beside(id string) bool {
	return id != "" && id != results.CPUDevice && id != results.MinerDevice
}

// variant is what can distinguish two rows or two series of one use.
type variant struct {
	device, workload, impl string
	threads                int
}

// variety is in which of these the variants of a use differ.
type variety struct {
	first                           variant
	device, workload, impl, threads bool
}

// varieties are those of uses.
type varieties[Use comparable] map[Use]*variety

func (all varieties[Use]) add(u Use, v variant) {
	y := all[u]
	if y == nil {
		y = &variety{first: v}
		all[u] = y
	}
	y.device = y.device || v.device != y.first.device
	y.workload = y.workload || v.workload != y.first.workload
	y.impl = y.impl || v.impl != y.first.impl
	y.threads = y.threads || v.threads != y.first.threads
}

// words names v by what distinguishes it from the other variants of its use.
func (y variety) words(v variant) string {
	var words []string
	for _, x := range []struct {
		differs bool
		word    string
	}{{y.device, v.device}, {y.workload, v.workload}, {y.impl, v.impl}, {y.threads, results.Plural(v.threads, "thread")}} {
		if x.differs && x.word != "" {
			words = append(words, x.word)
		}
	}
	return strings.Join(words, ", ")
}

// instrument describes the meter of the watts and its uncertainty.
func instrument(rec *results.Record) []string {
	head := rec.Summary.PrimaryMeter
	meter := "of an unknown meter"
	switch {
	case head == nil:
	case len(head.Meters) > 0:
		meter = "by the meters " + results.Line(head.Meter, table.NameLimit)
	default:
		meter = "by the " + results.Line(head.Meter, table.NameLimit) + " meter"
	}
	guessed := false
	parts := map[string]float64{} // largest half-width of each term, relative
	unstated := map[string]bool{}
	for _, row := range whole(rec.Summary.Rows) {
		for _, m := range row.Metrics {
			guessed = guessed || m.Origin != "" && m.Origin != results.Measured
		}
		m := row.Metrics[results.Power]
		if m.Budget == nil || m.Origin == "" {
			continue
		}
		for _, t := range m.Budget.Terms {
			parts[t.Name] = max(parts[t.Name], float64(t.HalfWidth))
		}
		for _, u := range m.Budget.Unstated {
			unstated[u] = true
		}
	}
	var terms []string
	for _, name := range []string{results.Gain, results.Quantisation, results.Timing, results.Sampling} {
		switch h := parts[name]; {
		case unstated[name]:
			terms = append(terms, name+" unknown")
		case h > 0:
			terms = append(terms, name+" "+table.Percent(h))
		}
	}
	read := ""
	for _, c := range rec.Summary.Coverage {
		if head != nil && head.Has(c.Meter) && !c.Interval.IsAbsent() {
			if len(head.Meters) > 0 {
				read += "; " + results.Line(c.Meter, table.NameLimit)
			} else {
				read = ","
			}
			read += fmt.Sprintf(" read every %s, %s of the time", table.Quantity(c.Interval, results.Second), table.Percent(float64(c.Share)))
			if !c.RoundTrip.IsAbsent() {
				read += ", round trip up to " + table.Quantity(c.RoundTrip, results.Second)
			}
		}
	}
	notes := []string{fmt.Sprintf("Watts %s%s.", meter, read)}
	if len(terms) > 0 {
		notes = append(notes, "± is the uncertainty of the power, with the meter's terms in quadrature: "+strings.Join(terms, ", ")+" at most; ≥ where a part is unknown.")
	}
	if guessed {
		notes = append(notes, "~ was not measured: grade E, never ranked, no verdict rests on it.")
	}
	return notes
}

// allMeters lists the readings of every meter, if there is more than the primary one.
func allMeters(rec *results.Record) table.Table {
	rows := rec.Summary.Meters
	t := table.Table{
		Title: "Meters beside each other", Counts: true, WattsAt: true,
		Columns: []table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "meter", Kind: table.Name}, {Head: "power"}},
		Notes:   []string{"The first of a scenario is quoted above: measured before modelled, then the outermost boundary."},
	}
	switch {
	case rec.Summary.PrimaryMeter == nil:
		t.Notes[0] = "None is quoted above: the reason is there."
	case slices.ContainsFunc(rec.Summary.Flags, func(w results.Warning) bool { return w.Code == "device-unmetered" }):
		t.Notes[0] = "The first of a scenario is quoted above, if it covers the devices that worked: measured before modelled, then the outermost boundary."
	}
	worked := map[[2]string]bool{} // scenario and device
	for _, r := range rec.Summary.Rows {
		for _, id := range results.CardsOf(r.Device) {
			worked[[2]string{r.Scenario, id}] = true
		}
	}
	many := false
	for _, r := range rows {
		many = many || r.Meter != rows[0].Meter || r.Channel != rows[0].Channel || r.Power.Boundary != rows[0].Power.Boundary
		under := r.Channel
		if r.Device != "" { // the channel is in --format csv and json
			under = r.Device
			if !worked[[2]string{r.Scenario, r.Device}] {
				under += ", idle"
			}
		}
		t.Row(table.Text{Text: r.Scenario}, table.Text{Text: r.Meter, Under: under}, table.Figure{Figure: r.Power})
	}
	if !many {
		return table.Table{}
	}
	return t
}

// validity lists the rules that keep a record from being ranked.
func validity(rec *results.Record) table.Table {
	v := rec.Summary.Validity
	if v.Valid || len(v.Findings) == 0 {
		return table.Table{}
	}
	t := table.Table{Tone: table.Caution}
	for _, f := range v.Findings {
		if f.Outcome == results.Fail {
			t.Add(results.Line(f.Rule, table.NameLimit), f.Figure)
		}
	}
	t.Title = fmt.Sprintf("INVALID for ranking: fails %d of the %s of the %s set", len(t.Items), results.Plural(len(v.Findings), "rule"), results.Line(v.Rules, table.NameLimit))
	return t
}

// Findings prints every rule with its outcome.
func Findings(w io.Writer, v results.Validity, opt Options) error {
	p := &table.Page{Title: []string{results.Line(v.Rules, table.NameLimit) + " rules"}, State: "VALID for ranking", Whole: v.Valid}
	if !v.Valid {
		p.State = "INVALID for ranking"
	}
	var t table.Table
	for _, f := range v.Findings {
		outcome := string(f.Outcome)
		if f.Outcome == results.NotApplicable {
			outcome = "n.a."
		}
		t.Add(results.Line(outcome, table.NameLimit)+" "+results.Line(f.Rule, table.NameLimit), fmt.Sprintf("%s. Asked: %s (%s)", f.Figure, f.Asks, f.Source))
	}
	p.Add(t)
	return p.WriteText(w, opt.Width, opt.Color)
}

// coRun are the columns of [coRunCells].
var coRun = []table.Column{{Head: "training kept"}, {Head: "hashes gained"}, {Head: "extra power"}, {Head: "extra energy"}, {Head: "marginal energy"}}

func coRunCells(m *results.CoRunCost) []table.Cell {
	return []table.Cell{table.Of(&m.TrainingKept), table.Of(&m.HashesGained), table.Of(&m.ExtraPower), table.Of(&m.ExtraEnergy), table.Of(&m.EnergyPer)}
}

func marginal(rec *results.Record) table.Table {
	if rec.Summary.CoRunCost == nil {
		return table.Table{}
	}
	return table.Table{Title: "Mullet: mining in the background of training, against training alone", Counts: true, WattsAt: true, Columns: coRun, Rows: [][]table.Cell{coRunCells(rec.Summary.CoRunCost)}}
}

// behindCards has a row for each scenario with a card in front and mining behind it.
func behindCards(rec *results.Record) table.Table {
	t := table.Table{Title: "Mining behind the work of cards, against that work alone", Counts: true, WattsAt: true,
		Columns: append([]table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "in front", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "front kept"}}, coRun[1:]...)}
	for i := range rec.Summary.CoRuns {
		c := &rec.Summary.CoRuns[i]
		x := table.Text{Text: c.Scenario}
		if c.Shared {
			x.Under = "time-sliced"
		}
		t.Row(append([]table.Cell{x, table.Text{Text: results.Line(rec.Node.UseName(c.Front, c.Device), 4*table.NameLimit)}}, coRunCells(&c.CoRunCost)...)...)
	}
	return t
}

func yields(rec *results.Record) table.Table {
	t := table.Table{
		Title: "One kilowatt-hour gives", Counts: true, WattsAt: true,
		Columns: []table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "use", Kind: table.Name, Limit: 4 * table.NameLimit}, {Head: "work", Under: "all energy counted"}, {Head: "net work", Under: "idle taken off"}},
	}
	var rows []results.Row
	some := false
	for i := range rec.Summary.Yields {
		y := &rec.Summary.Yields[i]
		some = some || !y.PerKWh.Value.IsAbsent()
		rows = append(rows, results.Row{RowKey: y.RowKey})
		t.Row(table.Text{Text: y.Scenario}, nil, table.Of(&y.PerKWh), table.Of(&y.Net))
	}
	for i, use := range madeOf(&rec.Node, rows, false) {
		t.Rows[i][1] = use
	}
	if some {
		t.Notes = independent(rec.Summary.Rows)
	} else {
		t.Columns, t.Rows = nil, nil
	}
	for _, x := range rec.Summary.Exchange {
		m := x.HashesPerSample
		if m.Value.IsAbsent() {
			continue
		}
		one, from := strings.TrimPrefix(string(m.Unit), "hash/"), ""
		if m.Origin != "" {
			from = " (" + wattsAt(m.Provenance) + ")"
		}
		t.Notes = append(t.Notes, fmt.Sprintf("Exchange rate: the energy of one %s of %s gives %s at mining%s, n=%d.",
			one, results.Line(x.Scenario, 2*table.NameLimit), strings.TrimSuffix(table.One(m), "/"+one), from, m.N))
	}
	return t
}

// arithmetic shows how well the floating-point units were used.
func arithmetic(rec *results.Record) table.Table {
	title := "Useful fp32 arithmetic"
	if slices.ContainsFunc(rec.Summary.Rows, func(r results.Row) bool { return r.Metrics[results.FlopRate].Unit != "" && r.Precision() != "fp32" }) {
		title = "Useful arithmetic: each precision against a peak of its own, and never against another"
	}
	t, rows := metrics(rec, title, whole(rec.Summary.Rows), false,
		metric{results.FlopRate, "rate", ""}, metric{results.KernelFraction, "of the kernel", "alone, at start"}, metric{results.PeakFraction, "of the FMA peak", "measured at start"})
	if len(t.Rows) == 0 {
		return t
	}
	trains := false
	for i := range rows {
		row := &rows[i]
		trains = trains || row.Trains()
		by := rec.Products(row)
		note := fmt.Sprintf("%s: %s.", results.Line(rec.Node.UseName(row.Use, row.Device), 4*table.NameLimit), by)
		if by != "" && !slices.Contains(t.Notes, note) { // it is the same for several models
			t.Notes = append(t.Notes, note)
		}
	}
	if trains {
		t.Notes = append(t.Notes, noteMFU)
	}
	t.Notes = append(t.Notes, sheets(rec.Node)...)
	return t
}

// noteMFU says what the fraction of the FMA peak of training is.
const noteMFU = "Of training, the fraction of the FMA peak is the model FLOP utilisation (MFU, Chowdhery et al. 2022, arXiv:2204.02311): it counts the operations of the model's formula alone."

// targets shows what training to a quality took.
func targets(rec *results.Record) table.Table {
	t, rows := metrics(rec, "Training to target", rec.Summary.Rows, false,
		metric{results.StepsToTarget, "steps", ""}, metric{results.TimeToTarget, "time", ""}, metric{results.EnergyToTarget, "energy", ""})
	t.Columns = slices.Insert(t.Columns, 2, table.Column{Head: "goal", Under: "held out", Kind: table.Name, Limit: 2 * table.NameLimit})
	for i, r := range rows {
		t.Rows[i] = slices.Insert(t.Rows[i], 2, goal(rec, r))
	}
	if rec.Plan.TargetAlone && len(rows) > 0 {
		t.Notes = append(t.Notes, "A mullet has no target phase in this plan: the runs that train the same network alone show that it learns. In the mullet its loss must fall, as in every run.")
	}
	return t
}

// usesBehind are the uses of a record's runs that a row is of.
func usesBehind(rec *results.Record, row results.Row) iter.Seq[results.Use] {
	return func(yield func(results.Use) bool) {
		for _, r := range rec.Runs {
			for _, u := range r.Uses {
				if r.Scenario == row.Scenario && u.Use == row.Use && u.Device == row.Device && !yield(u) {
					return
				}
			}
		}
	}
}

// goal is the quality to which the runs behind a row were trained.
func goal(rec *results.Record, row results.Row) table.Cell {
	for u := range usesBehind(rec, row) {
		if t := u.Target; t != nil {
			sign := "≥"
			if t.Metric == "loss" {
				sign = "≤"
			}
			return table.Text{Text: fmt.Sprintf("%s %s %s", results.Line(t.Metric, table.NameLimit), sign, table.Round(float64(t.Goal), 4))}
		}
	}
	return nil
}

// shares shows how many of the shares behind a record's rates were accepted.
func shares(rec *results.Record) table.Table {
	t, rows := metrics(rec, "Shares: proofs of work, each hashed again, that the rate is counted in", rec.Summary.Rows, false,
		metric{results.ShareCount, "accepted", ""}, metric{results.StaleShare, "stale", "of the good"}, metric{results.RefusedShare, "refused", "of all"},
		metric{results.Connected, "connected", "of the time"}, metric{results.ConnectedThroughput, "while connected", ""})
	t.Columns = append(t.Columns, table.Column{Head: "difficulty", Under: "agent", Limit: table.NameLimit})
	for i, row := range rows {
		var x table.Cell
		for u := range usesBehind(rec, row) {
			if u.Shares != nil {
				x = table.Number{Value: u.Shares.Difficulty, Print: table.Round(float64(u.Shares.Difficulty), 6), Under: u.Shares.Agent}
			}
		}
		t.Rows[i] = append(t.Rows[i], x)
	}
	if len(rows) > 0 {
		t.Notes = []string{"The interval of a rate is the exact one of a Poisson count (Garwood) over all windows; stale and refused shares count for nothing."}
	}
	return t
}

func unused(rec *results.Record) table.Table {
	t := table.Table{Tone: table.Bad}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		if r.Status == results.OK {
			continue
		}
		var why []string
		if r.Error != "" {
			why = append(why, results.Line(r.Error, table.TextLimit))
		}
		for _, c := range r.Checks {
			if !c.OK {
				why = append(why, results.Line(fmt.Sprintf("check %s of %s failed: %s", results.Line(c.Name, table.NameLimit), results.Line(c.Use, table.NameLimit), c.Detail), table.TextLimit))
			}
		}
		if len(why) == 0 {
			why = []string{"no reason is recorded"}
		}
		t.Add(fmt.Sprintf("%s, round %d: %s", results.Line(r.Scenario, table.NameLimit), r.Round, results.Line(string(r.Status), table.NameLimit)), strings.Join(why, "; "))
	}
	t.Title = fmt.Sprintf("Runs not used: %d of %d", len(t.Items), len(rec.Runs))
	t.Items = table.Limited(t.Items)
	return t
}

// recordWarnings lists the warnings of a record: the first of each code and remedy,
// with the number of the others. Those of one code are together.
func recordWarnings(rec *results.Record) table.Table {
	type group struct {
		results.Warning
		runs []string
		n    int
	}
	var groups []*group
	seen, order := map[[2]string]*group{}, map[string]int{}
	for _, w := range slices.Concat(rec.Warnings, rec.Summary.Flags) {
		w = results.Warning{
			Code: cmp.Or(results.Line(w.Code, table.NameLimit), "unnamed"), Text: results.Line(w.Text, table.TextLimit), Remedy: results.Line(w.Remedy, table.TextLimit), Run: results.Line(w.Run, table.NameLimit+8),
		}
		key := [2]string{w.Code, w.Remedy}
		g := seen[key]
		if g == nil {
			g = &group{Warning: w}
			seen[key], groups = g, append(groups, g)
			if order[w.Code] == 0 {
				order[w.Code] = len(groups)
			}
		}
		if g.n++; w.Run != "" {
			g.runs = append(g.runs, w.Run)
		}
	}
	results.SortStable(groups, func(a, b *group) int { return order[a.Code] - order[b.Code] })
	t := table.Table{Title: "Warnings", Tone: table.Caution}
	for _, g := range groups {
		about, text := g.Code, g.Text
		if g.n > 1 {
			about = fmt.Sprintf("%s ×%d", g.Code, g.n)
		}
		if len(g.runs) > 0 {
			text += " (" + g.runs[0]
			if n := len(g.runs) - 1; n > 0 {
				text += fmt.Sprintf(" and %d more like it", n)
			}
			text += ")"
		}
		if g.Remedy != "" {
			text += " → " + g.Remedy
		}
		t.Add(about, text)
	}
	t.Items = table.Limited(t.Items)
	return t
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
	file := results.Printable(opt.Path)
	if strings.HasPrefix(file, "-") { // no option
		file = "./" + file
	}
	return []string{"Record " + results.Printable(opt.Path) + digest, "Check it: " + results.Command(results.Printable(cmp.Or(opt.Program, "perwatt")), "verify", file)}
}
