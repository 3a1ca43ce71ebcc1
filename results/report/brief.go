package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// The short view of one record: what a run prints at its end. A line a use, then the best
// of each, whether it can be trusted, and where everything else is.

// WriteBrief prints the short view of a record to w: in 80 columns one table, whatever the
// meter, with what newcomers ask about grades, control and candidates below it.
func WriteBrief(w io.Writer, rec *results.Record, opt Options) error {
	p := &table.Page{Title: title(rec)}
	p.State, p.Whole = state(rec)
	t := briefFigures(rec)
	trusted, why, first := trust(rec)
	last := table.Table{Tone: table.Caution}
	if trusted {
		last.Tone = table.Plain
	}
	if best := bestOf(rec); best != "" {
		last.Add("Best", best)
	}
	verdict := "no: "
	if trusted {
		verdict = "yes: "
	}
	verdict += why
	if first != "" {
		verdict += " → " + first
	}
	if n := len(recordWarnings(rec).Items); n > 1 {
		verdict += fmt.Sprintf(" (%d warnings in all)", n)
	}
	last.Add("Trust", verdict)
	program := results.Printable(cmp.Or(opt.Program, "perwatt"))
	p.Add(t, lost(rec), unused(rec), last)
	p.Foot = []string{"Record " + results.Line(rec.ID, 40) + ": not kept."}
	if opt.Path != "" {
		show := []string{program, "show", results.Line(rec.ID, 40)}
		if opt.Store != "" {
			show = append(show, "--store", results.Printable(opt.Store))
		}
		p.Foot = []string{"Record " + results.Printable(opt.Path), "Show all: " + results.Command(show...)}
	}
	return p.WriteText(w, opt.Width, opt.Color)
}

// briefFigures has a row for each use: its rate and its work per joule.
func briefFigures(rec *results.Record) table.Table {
	rows := slices.DeleteFunc(whole(rec.Summary.Rows), func(r results.Row) bool { return r.Use == "idle" })
	if len(rows) == 0 {
		return table.Table{Notes: []string{"No figures: no run of this session was good."}}
	}
	watts := slices.ContainsFunc(rows, func(r results.Row) bool {
		return !r.Metrics[results.WorkPerEnergy].Value.IsAbsent() && r.Metrics[results.WorkPerEnergy].Unit != ""
	})
	t := table.Table{WattsAt: watts, Columns: []table.Column{{Head: "scenario", Kind: table.Name, Limit: 2 * table.NameLimit}, {Head: "throughput"}}}
	if watts {
		t.Columns = append(t.Columns, table.Column{Head: "power", Under: "gross"}, table.Column{Head: "per joule"})
	}
	control, guessed := false, false
	for _, r := range rows {
		name := table.Text{Text: r.Scenario}
		if r.Role != results.Alone {
			name.Under = results.Line(results.UseWords(r.Use), table.NameLimit)
		}
		cells := []table.Cell{name, table.Of(metricOf(r, results.Throughput))}
		if watts {
			cells = append(cells, table.Of(metricOf(r, results.Power)), table.Of(metricOf(r, results.WorkPerEnergy)))
		}
		t.Row(cells...)
		control = control || r.Use == "control"
		origin := r.Metrics[results.Power].Origin
		guessed = guessed || origin != "" && origin != results.Measured
	}
	t.Notes = intervals(&t)
	if watts {
		t.Notes = append(t.Notes, gradesNote)
	}
	if guessed {
		t.Notes = append(t.Notes, "~ was not measured.")
	}
	if control {
		t.Notes = append(t.Notes, "control is mining by Go's own SHA-256, a yardstick: a change of it is one of the machine and not of our kernels.")
	}
	if rec.Plan.Labels["candidate"] == "" {
		t.Notes = append(t.Notes, "--label candidate=NAME names this machine in compare and report.")
	}
	return t
}

// gradesNote says what the grades of watts are: see [results.GradeOf].
const gradesNote = "Grades of watts: A known to 1 % at the wall over 10 minutes, B to 2 % over 5, C to 5 % at wall, supply or BMC, D measured elsewhere or less well, E not measured and never ranked."

// bestOf is the best figure of each use: per joule, or the rate where there are no watts.
// Each network that is trained is a use of its own, since their samples differ.
func bestOf(rec *results.Record) string {
	type choice struct {
		use    string
		figure results.Figure
		on     string
	}
	var best []choice
	for _, r := range whole(rec.Summary.Rows) {
		m := r.Metrics[results.WorkPerEnergy]
		if m.Unit == "" || m.Value.IsAbsent() {
			m = r.Metrics[results.Throughput]
		}
		if r.Use == "idle" || r.Use == "control" || r.Role != results.Alone || m.Unit == "" || m.Value.IsAbsent() {
			continue
		}
		name, device, _ := strings.Cut(r.Scenario, "@")
		c := choice{results.Line(name, 2*table.NameLimit), m, results.Line(device, table.NameLimit)}
		i := slices.IndexFunc(best, func(b choice) bool { return b.use == c.use && b.figure.Unit == m.Unit })
		switch {
		case i < 0:
			best = append(best, c)
		case m.Value > best[i].figure.Value:
			best[i] = c
		}
	}
	var words []string
	for _, b := range best {
		value, _ := table.Split(b.figure)
		on := ""
		if b.on != "" {
			on = " on " + b.on
		}
		words = append(words, b.use+" "+value+on)
	}
	return strings.Join(words, " · ")
}

// warningsThatVoid are those that take the worth from figures, the gravest first.
var warningsThatVoid = []string{
	"card-wrong", "emulated", "second-run", "suspended", "other-load", "stolen-time", "quota-throttled", "memory-pressure", "low-memory",
	"meter-blind", "meters-disagree", "device-unmetered", "clock-step", "throttled", "ecc-errors", "mfu-high", "scaling-high", "above-datasheet", "window-left-out", "energy-gap",
}

// trust says whether the figures of a record can be trusted, why, and what would help
// most; the last is empty if nothing is amiss.
func trust(rec *results.Record) (yes bool, why, first string) {
	v := rec.Summary.Validity
	failed := slices.DeleteFunc(slices.Clone(v.Findings), func(f results.Finding) bool { return f.Outcome != results.Fail })
	if v.Valid {
		return true, fmt.Sprintf("passes all %s of the %s set", results.Plural(len(v.Findings), "rule"), results.Line(v.Rules, table.NameLimit)), ""
	}
	if n := rec.Count(results.Void); n > 0 {
		return false, fmt.Sprintf("%s gave wrong answers", results.Plural(n, "run")), "see the reasons above; try another --impl, or suspect the hardware"
	}
	if good := rec.Count(results.OK); good < len(rec.Runs) {
		return false, fmt.Sprintf("%d of %s gave no result", len(rec.Runs)-good, results.Plural(len(rec.Runs), "run")), "see the reasons above"
	}
	all := slices.Concat(rec.Warnings, rec.Summary.Flags)
	for _, code := range warningsThatVoid {
		if i := slices.IndexFunc(all, func(w results.Warning) bool { return w.Code == code }); i >= 0 {
			return false, results.Line(all[i].Text, table.TextLimit), results.Line(all[i].Remedy, table.TextLimit)
		}
	}
	metered, guessed := false, results.Origin("")
	for _, r := range whole(rec.Summary.Rows) {
		if o := r.Metrics[results.Power].Origin; o == results.Measured {
			metered = true
		} else if o != "" {
			guessed = o
		}
	}
	const meter = "read a meter: perwatt meters lists what is here, and --meter snmp:PDU,outlet=3 or redfish:BMC reads one beside"
	switch {
	case !metered && guessed != "":
		return false, fmt.Sprintf("the rates are measured, the watts are %s (grade E) and rank nothing", guessed), meter
	case !metered:
		return false, "the rates are measured, and there are no watts", meter
	case slices.ContainsFunc(failed, func(f results.Finding) bool { return f.Rule == "repeats" }):
		return false, "an order of magnitude: too few windows for an interval", "run the quick preset, or --rounds 6"
	case slices.ContainsFunc(failed, func(f results.Finding) bool { return f.Rule == "duration" }):
		return false, fmt.Sprintf("good to choose by, not to publish: fails %d of the %s of the %s set", len(failed), results.Plural(len(v.Findings), "rule"), results.Line(v.Rules, table.NameLimit)), "run --preset publish: its windows last 600 s"
	}
	names := make([]string, len(failed))
	for i, f := range failed {
		names[i] = results.Line(f.Rule, table.NameLimit)
	}
	return false, "fails the rules " + strings.Join(names, ", "), "see Warnings in perwatt show: each has its remedy"
}
