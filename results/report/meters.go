package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

// Instruments is what is known of the meters before anything is measured.
type Instruments struct {
	MeterProbes []results.MeterProbe         `json:"meter_probes"`
	Meters      []results.Meter              `json:"meters"`
	First       map[string]map[string]string `json:"first"`           // first reading of each channel, or why there is none, by meter and channel
	Named       [][2]string                  `json:"named,omitempty"` // syntax and help of the kinds that need an address
}

// WriteInstruments prints the meters that were looked for, and those that are open.
func WriteInstruments(w io.Writer, m Instruments, opt Options) error {
	p := &table.Page{Title: []string{"Meters"}, Whole: true, State: results.Plural(len(m.Meters), "meter") + " open"}
	p.Add(table.Table{Title: "Looked for", Items: probed(m.MeterProbes)})
	for _, meter := range m.Meters {
		opened := table.Table{Title: results.Line(meter.Name, table.NameLimit) + ": " + results.Line(meter.Source, table.TextLimit)}
		for _, c := range meter.Channels {
			facts := []string{fmt.Sprintf("%s · %s", c.Boundary, c.Origin)}
			if c.Total != "" {
				facts = append(facts, "in the total")
			}
			facts = append(facts, accuracy(c.Accuracy, c.Unit), results.Line(m.First[meter.Name][c.Name], table.TextLimit))
			opened.Add(results.Line(c.Name, 2*table.NameLimit), strings.Join(slices.DeleteFunc(facts, func(s string) bool { return s == "" }), ", "))
		}
		if meter.Period > 0 {
			opened.Notes = append(opened.Notes, "New every "+table.Quantity(meter.Period, results.Second)+".")
		}
		for _, n := range meter.Notes {
			opened.Add("", results.Line(n, table.TextLimit))
		}
		p.Add(opened)
	}
	named := table.Table{Title: "Asked for by name, with --meter (perwatt meters --help has their options)"}
	for _, n := range m.Named {
		named.Add(n[0], n[1])
	}
	p.Add(named)
	return p.WriteText(w, opt.Width, opt.Color)
}

// probed lists the meters that were looked for, and what was found.
func probed(all []results.MeterProbe) (items []table.Item) {
	for _, s := range all {
		items = append(items, table.Item{About: results.Line(s.Meter, table.NameLimit), Text: results.Line(s.State, table.NameLimit) + ": " + results.Line(s.Detail, table.TextLimit)})
	}
	return items
}

func accuracy(a results.Accuracy, unit results.Unit) string {
	var facts []string
	switch {
	case a.Gain.IsAbsent():
		facts = append(facts, "accuracy not stated")
	case a.Offset > 0:
		facts = append(facts, "±"+table.Percent(float64(a.Gain))+" ± "+table.Quantity(a.Offset, results.Watt))
	default:
		facts = append(facts, "±"+table.Percent(float64(a.Gain)))
	}
	if !a.Resolution.IsAbsent() {
		facts = append(facts, "steps of "+table.Quantity(a.Resolution, unit))
	}
	if a.Duty != nil {
		facts = append(facts, "sees "+table.Percent(float64(*a.Duty))+" of the time")
	}
	return strings.Join(facts, ", ")
}

// WriteLoadStep prints the response of each channel to a step of the load.
func WriteLoadStep(w io.Writer, step results.LoadStep, opt Options) error {
	rs := step.Channels
	p := &table.Page{Title: []string{"Load stepped: idle, full, idle"}, Whole: true, State: results.Plural(len(rs), "channel")}
	t := table.Table{Columns: []table.Column{
		{Head: "meter", Under: "channel", Kind: table.Name}, {Head: "sees the load", Kind: table.Name}, {Head: "readings", Kind: table.Name},
		{Head: "idle", Under: "median"}, {Head: "full", Under: "median"}, {Head: "delay", Under: "to half"}, {Head: "fall", Under: "to half"}, {Head: "rise", Under: "10–90 %"},
		{Head: "noise", Under: "at idle"}, {Head: "step", Under: "smallest"}, {Head: "new every", Under: "median"}, {Head: "same for", Under: "at most"},
	}}
	for _, r := range rs {
		seen := "yes"
		if !r.Seen {
			seen = "NO"
		}
		watts := func(v results.Float) table.Cell { return quantity(v, results.Watt, r.Origin != results.Measured) }
		seconds := func(v results.Float) table.Cell { return quantity(v, results.Second, false) }
		t.Row(table.Text{Text: r.Meter, Under: r.Channel}, table.Text{Text: seen, Under: string(r.Boundary) + " · " + string(r.Origin)},
			table.Number{Value: results.Float(r.Readings), Print: table.Count(r.Readings), Under: table.Count(r.Errors) + " failed"},
			watts(r.Idle), watts(r.Full), seconds(r.Delay), seconds(r.Fall), seconds(r.Rise), watts(r.Noise),
			quantity(r.Step, r.Unit, r.Unit == results.Watt && r.Origin != results.Measured), seconds(r.Interval), seconds(r.Stale))
	}
	notes := []string{"Delays are from this machine's own start and end of the load; a counter's power is known between two of its steps."}
	for _, r := range rs {
		if !r.Seen {
			notes = append(notes, fmt.Sprintf("%s %s does not see the load: check the outlet, the address and the scale, or take longer (--step).", results.Line(r.Meter, table.NameLimit), results.Line(r.Channel, table.NameLimit)))
			continue
		}
		if slow := max(r.Delay, r.Fall, r.Rise, r.Interval); slow > 0 {
			notes = append(notes, fmt.Sprintf("%s %s: give windows of %s or more, ten times its slowest response; resolution=%.3g,period=%v would say what was seen.",
				results.Line(r.Meter, table.NameLimit), results.Line(r.Channel, table.NameLimit), table.Quantity(10*slow, results.Second), float64(r.Step), r.Interval.Duration().Round(time.Millisecond)))
		}
	}
	if step.Busy > 0.05 {
		notes = append(notes, fmt.Sprintf("This machine was not idle: %s of its CPU time was used before the load began. Stop what else runs and check again.", table.Percent(float64(step.Busy))))
	}
	t.Notes = notes
	p.Add(t)
	return p.WriteText(w, opt.Width, opt.Color)
}

// quantity is the cell of a value without an interval: – if it is absent.
func quantity(v results.Float, u results.Unit, modelled bool) table.Cell {
	if v.IsAbsent() {
		return text(table.Absent)
	}
	m := results.Figure{Value: v, Low: results.Absent(), High: results.Absent(), Unit: u}
	if modelled {
		m.Origin = results.Modelled
	}
	return table.Figure{Figure: m}
}

// Watcher prints readings as they arrive, one a line.
type Watcher struct {
	w     io.Writer
	json  bool
	last  map[results.TraceKey]reading
	moved map[results.TraceKey]bool // the counter has moved since its first reading
}

// reading is the last reading of a counter at which it had moved, or its first.
type reading struct {
	at    time.Time
	value float64
	stood bool // it is the first, and the counter stood after it: when it last moved is unknown, and so is the power since
}

// NewWatcher returns a watcher that prints to w, as text or as one JSON object a
// line.
func NewWatcher(w io.Writer, json bool) *Watcher {
	return &Watcher{w: w, json: json, last: map[results.TraceKey]reading{}, moved: map[results.TraceKey]bool{}}
}

// Reading prints one reading, or err if there is none. Of a counter it prints the
// mean power since it last moved, in watts, if it has moved again. slack is half
// the round trip of the reading.
func (w *Watcher) Reading(meter string, c results.Channel, at time.Time, slack time.Duration, value float64, err error) {
	key := results.MeterKey(meter, c.Name)
	mean := results.Absent()
	last, known := w.last[key]
	stands := known && err == nil && c.Kind == results.Counter && value == last.value
	switch {
	case err != nil:
		delete(w.last, key)
		delete(w.moved, key)
	case stands:
		w.last[key] = reading{last.at, value, last.stood || !w.moved[key]}
	default:
		if known && c.Kind == results.Counter && !last.stood && at.After(last.at) {
			mean = results.Float((value - last.value) / at.Sub(last.at).Seconds())
		}
		w.last[key], w.moved[key] = reading{at, value, false}, known
	}
	if w.json {
		v := results.Float(value)
		why := ""
		if err != nil {
			v, why = results.Absent(), err.Error()
		}
		WriteJSON(w.w, "", struct { // #nosec G104 -- the writer keeps its first error for the end of the command
			Time      time.Time     `json:"time"`
			Meter     string        `json:"meter"`
			Channel   string        `json:"channel"`
			Value     results.Float `json:"value"`
			Unit      results.Unit  `json:"unit"`
			Mean      results.Float `json:"mean_power"`
			RoundTrip results.Float `json:"round_trip"`
			Error     string        `json:"error,omitempty"`
		}{at.UTC().Round(time.Millisecond), meter, c.Name, v, c.Unit, mean, results.Float(2 * slack.Seconds()), why})
		return
	}
	mark := ""
	if c.Origin != results.Measured {
		mark = "~"
	}
	said := ""
	switch {
	case err != nil:
		said = "– " + results.Line(err.Error(), table.TextLimit)
	case c.Kind == results.Counter && !mean.IsAbsent():
		said = mark + table.Quantity(mean, results.Watt) + " mean since it last moved"
	case stands:
		said = "has not moved for " + table.Round(at.Sub(last.at).Seconds(), 3) + " s"
	case c.Kind == results.Counter:
		said = "counting from here"
	default:
		said = mark + table.Quantity(results.Float(value), c.Unit)
	}
	if slack > 0 {
		said += fmt.Sprintf("  (round trip %v)", (2 * slack).Round(10*time.Microsecond))
	}
	fmt.Fprintf(w.w, "%s  %-28s %-18s %s\n", at.Format("15:04:05.000"), results.Line(meter, table.NameLimit)+" "+results.Line(c.Name, table.NameLimit),
		results.Line(cmp.Or(string(c.Boundary), "?")+" · "+string(c.Origin), table.NameLimit), said)
}
