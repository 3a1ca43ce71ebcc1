package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Instruments is what is known of meters before anything is measured.
type Instruments struct {
	Sought []results.MeterProbe `json:"sought"`
	Meters []results.Meter      `json:"meters"`
	First  map[string]string    `json:"first"`           // what each channel said, by the name of its trace
	Named  [][2]string          `json:"named,omitempty"` // forms of the kinds that need an address, and their help
}

// WriteInstruments prints m.
func WriteInstruments(w io.Writer, m Instruments, opt Options) error {
	p := &page{title: []string{"Meters"}, whole: true, state: plural(len(m.Meters), "meter") + " open"}
	looked := part{title: "Looked for"}
	for _, s := range m.Sought {
		looked.items = append(looked.items, item{results.Line(s.Meter, nameLimit), results.Line(s.State, nameLimit) + ": " + results.Line(s.Detail, textLimit)})
	}
	if len(looked.items) > 0 {
		p.parts = append(p.parts, looked)
	}
	for _, meter := range m.Meters {
		opened := part{title: results.Line(meter.Name, nameLimit) + ": " + results.Line(meter.Source, textLimit)}
		for _, c := range meter.Channels {
			facts := []string{fmt.Sprintf("%s · %s", c.Boundary, c.Origin)}
			if c.Total != "" {
				facts = append(facts, "in the total")
			}
			facts = append(facts, accuracy(c.Accuracy, c.Unit), results.Line(m.First[results.MeterOf(meter.Name, c.Name)], textLimit))
			opened.items = append(opened.items, item{results.Line(c.Name, 2*nameLimit), strings.Join(slices.DeleteFunc(facts, func(s string) bool { return s == "" }), ", ")})
		}
		if meter.Period > 0 {
			opened.notes = append(opened.notes, "New every "+Quantity(meter.Period, results.Second)+".")
		}
		for _, n := range meter.Notes {
			opened.items = append(opened.items, item{"", results.Line(n, textLimit)})
		}
		p.parts = append(p.parts, opened)
	}
	if len(m.Named) > 0 {
		named := part{title: "Asked for by name, with --meter (perwatt meters --help has their options)"}
		for _, n := range m.Named {
			named.items = append(named.items, item{n[0], n[1]})
		}
		p.parts = append(p.parts, named)
	}
	return flush(w, p, opt)
}

func flush(w io.Writer, p *page, opt Options) error {
	var out bytes.Buffer
	writeText(&out, p, opt)
	_, err := w.Write(out.Bytes())
	return err
}

func accuracy(a results.Accuracy, unit results.Unit) string {
	var facts []string
	switch {
	case a.Gain.IsAbsent():
		facts = append(facts, "accuracy not stated")
	case a.Offset > 0:
		facts = append(facts, "±"+percent(float64(a.Gain))+" ± "+Quantity(a.Offset, results.Watt))
	default:
		facts = append(facts, "±"+percent(float64(a.Gain)))
	}
	if !a.Resolution.IsAbsent() {
		facts = append(facts, "steps of "+Quantity(a.Resolution, unit))
	}
	return strings.Join(facts, ", ")
}

// WriteLoadStep prints how meters followed a step of the load.
func WriteLoadStep(w io.Writer, step results.LoadStep, opt Options) error {
	rs := step.Channels
	p := &page{title: []string{"Load stepped: idle, full, idle"}, whole: true, state: plural(len(rs), "channel")}
	s := &tableBuilder{}
	var meters, seen, readings []cell
	columns := []struct {
		head, under string
		unit        func(r results.Response) results.Unit
		get         func(r results.Response) results.Float
	}{
		{"idle", "median", inWatts, func(r results.Response) results.Float { return r.Idle }},
		{"full", "median", inWatts, func(r results.Response) results.Float { return r.Full }},
		{"delay", "to half", inSeconds, func(r results.Response) results.Float { return r.Delay }},
		{"fall", "to half", inSeconds, func(r results.Response) results.Float { return r.Fall }},
		{"rise", "10–90 %", inSeconds, func(r results.Response) results.Float { return r.Rise }},
		{"noise", "at idle", inWatts, func(r results.Response) results.Float { return r.Noise }},
		{"step", "smallest", func(r results.Response) results.Unit { return r.Unit }, func(r results.Response) results.Float { return r.Step }},
		{"new every", "median", inSeconds, func(r results.Response) results.Float { return r.Interval }},
		{"same for", "at most", inSeconds, func(r results.Response) results.Float { return r.Stale }},
	}
	grid := make([][]cell, len(columns))
	for _, r := range rs {
		meters = append(meters, cell{value: results.Line(r.Meter, nameLimit), under: results.Line(r.Channel, nameLimit)})
		see := "yes"
		if !r.Seen {
			see = "NO"
		}
		seen = append(seen, cell{value: see, under: results.Line(string(r.Boundary)+" · "+string(r.Origin), nameLimit)})
		readings = append(readings, cell{value: fmt.Sprint(r.Readings), under: fmt.Sprintf("%d failed", r.Errors)})
		mark := ""
		if r.Origin != results.Measured {
			mark = "~"
		}
		for j, c := range columns {
			text := absent
			if v := c.get(r); !v.IsAbsent() {
				text = Quantity(v, c.unit(r))
				if c.unit(r) == results.Watt {
					text = mark + text
				}
			}
			grid[j] = append(grid[j], cell{value: text})
		}
	}
	s.text(name, "meter", "channel", meters)
	s.text(name, "sees the load", "", seen)
	s.text(name, "readings", "", readings)
	for j, c := range columns {
		s.text(figure, c.head, c.under, grid[j])
	}
	notes := []string{"Delays are from this machine's own start and end of the load; a counter's power is known between two of its steps."}
	for _, r := range rs {
		if !r.Seen {
			notes = append(notes, fmt.Sprintf("%s %s does not see the load: check the outlet, the address and the scale, or take longer (--step).", results.Line(r.Meter, nameLimit), results.Line(r.Channel, nameLimit)))
			continue
		}
		if slow := max(r.Delay, r.Fall, r.Rise, r.Interval); slow > 0 {
			notes = append(notes, fmt.Sprintf("%s %s: give windows of %s or more, ten times its slowest response; resolution=%.3g,period=%v would say what was seen.",
				results.Line(r.Meter, nameLimit), results.Line(r.Channel, nameLimit), Quantity(10*slow, results.Second), float64(r.Step), r.Interval.Duration().Round(time.Millisecond)))
		}
	}
	if step.Busy > 0.05 {
		notes = append(notes, fmt.Sprintf("This machine was not idle: %s of its CPU time was used before the load began. Stop what else runs and check again.", percent(float64(step.Busy))))
	}
	p.parts = append(p.parts, *s.done(notes...))
	return flush(w, p, opt)
}

func inWatts(results.Response) results.Unit   { return results.Watt }
func inSeconds(results.Response) results.Unit { return results.Second }

// Watcher prints readings as they come, one a line.
type Watcher struct {
	w     io.Writer
	json  bool
	last  map[string]reading
	moved map[string]bool // since it was first read
}

// reading is the first of a counter, or the last at which it had moved.
type reading struct {
	at    time.Time
	value float64
	stood bool // since before it was first read: the power from there is not known
}

// NewWatcher prints to w, as text or as one JSON object a line.
func NewWatcher(w io.Writer, json bool) *Watcher {
	return &Watcher{w: w, json: json, last: map[string]reading{}, moved: map[string]bool{}}
}

// Reading prints one reading, or why there is none. Of a counter it prints
// the mean power since it last moved, and none where it has not.
func (w *Watcher) Reading(meter string, c results.Channel, at time.Time, slack time.Duration, value float64, err error) {
	of := results.MeterOf(meter, c.Name)
	mean := results.Absent()
	last, known := w.last[of]
	stands := known && err == nil && c.Kind == results.Counter && value == last.value
	switch {
	case err != nil:
		delete(w.last, of)
		delete(w.moved, of)
	case stands:
		w.last[of] = reading{last.at, value, last.stood || !w.moved[of]}
	default:
		if known && c.Kind == results.Counter && !last.stood && at.After(last.at) {
			mean = results.Float((value - last.value) / at.Sub(last.at).Seconds())
		}
		w.last[of], w.moved[of] = reading{at, value, false}, known
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
		said = "– " + results.Line(err.Error(), textLimit)
	case c.Kind == results.Counter && !mean.IsAbsent():
		said = mark + Quantity(mean, results.Watt) + " mean since it last moved"
	case stands:
		said = fmt.Sprintf("has not moved for %.3g s", at.Sub(last.at).Seconds())
	case c.Kind == results.Counter:
		said = "counting from here"
	default:
		said = mark + Quantity(results.Float(value), c.Unit)
	}
	if slack > 0 {
		said += fmt.Sprintf("  (round trip %v)", (2 * slack).Round(10*time.Microsecond))
	}
	fmt.Fprintf(w.w, "%s  %-28s %-18s %s\n", at.Format("15:04:05.000"), results.Line(meter, nameLimit)+" "+results.Line(c.Name, nameLimit),
		results.Line(cmp.Or(string(c.Boundary), "?")+" · "+string(c.Origin), nameLimit), said)
}
