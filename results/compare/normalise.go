package compare

import (
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

const kWh = 3.6e6 // J

// Exchange is the number of hashes that a candidate forgoes for a training sample
// (or token) on the same energy and the same device.
type Exchange struct {
	Candidate string         `json:"candidate"`
	Device    string         `json:"device,omitempty"` // as in [Row]
	Scenario  string         `json:"scenario"`         // of the training
	Rate      results.Figure `json:"rate"`             // hash/sample
	// Advantage is the ratio of the rate to the reference's. Below 1 the candidate
	// forgoes less mining for a unit of training: it has the comparative advantage
	// in training (Ricardo, 1817), even if it is slower at both.
	Advantage results.Figure `json:"advantage"`
	Origin    results.Origin `json:"origin"`
}

// Mix is the yield of one kilowatt-hour that is split between two uses.
type Mix struct {
	Candidate string         `json:"candidate"`
	Device    string         `json:"device,omitempty"` // as in [Row]
	Scenario  string         `json:"scenario"`         // of the training
	Origin    results.Origin `json:"origin"`
	Points    []Point        `json:"points"`
	Mullet    *Point         `json:"mullet,omitempty"` // both at once, as measured
}

// Point is one split of a kilowatt-hour.
type Point struct {
	Training results.Float  `json:"training"` // share of the energy, 0 to 1; null for a mullet, which does not split it
	Hashes   results.Figure `json:"hashes"`   // per kWh
	Samples  results.Figure `json:"samples"`  // per kWh
}

// times returns a figure times a constant.
func times(f results.Figure, by float64, unit results.Unit) results.Figure {
	scaled := func(v results.Float) results.Float { return finite(float64(v) * by) }
	f.Value, f.Low, f.High, f.Unit = scaled(f.Value), scaled(f.Low), scaled(f.High), unit
	return f
}

// attribute sets the boundary, origin and grade of a figure.
func attribute(f results.Figure, watts results.Provenance) results.Figure {
	f.Boundary, f.Origin, f.Grade = watts.Boundary, watts.Origin, watts.Grade
	return f
}

// measured returns the rows of a table that have watts, by candidate: one a device,
// the best first.
func (t *Table) measured() map[string][]*Row {
	out := map[string][]*Row{}
	for _, r := range t.rows() {
		if len(r.sessions) > 0 && !slices.ContainsFunc(out[r.Candidate], func(o *Row) bool { return o.Device == r.Device }) {
			out[r.Candidate] = append(out[r.Candidate], r)
		}
	}
	return out
}

// at returns the row on a device; nil if there is none.
func at(rows []*Row, device string) *Row {
	if i := slices.IndexFunc(rows, func(r *Row) bool { return r.Device == device }); i >= 0 {
		return rows[i]
	}
	return nil
}

// rate returns the exchange rate between two uses of a candidate. With one
// session it is that of the record, in which noise that a round adds to both
// uses cancels.
func (c *Comparison) rate(mining, training *Row, stated map[string]results.Figure) results.Figure {
	if len(mining.of) == 1 && len(training.of) == 1 && mining.of[0].record == training.of[0].record {
		if rate, ok := stated[training.of[0].windows[0].Scenario]; ok {
			return rate
		}
	}
	rate := of(stats.Quotient(mining.repeats, training.repeats), results.Hash.Per(training.of[0].windows[0].Use.Unit))
	return attribute(rate, mining.Figures[results.WorkPerEnergy].Provenance)
}

// exchanges returns the rates in a record, by the scenario of the training.
func exchanges(rec *results.Record) map[string]results.Figure {
	out := map[string]results.Figure{}
	for _, x := range rec.Summary.Exchange {
		if _, known := out[x.Scenario]; !known && !x.HashesPerSample.Value.IsAbsent() {
			out[x.Scenario] = stated(x.HashesPerSample)
		}
	}
	return out
}

// normalise relates the uses of each candidate to each other.
func (c *Comparison) normalise(ctx context.Context) error {
	i := slices.IndexFunc(c.Tables, func(t Table) bool { return t.Use == "mining" && t.Role == results.Alone })
	if i < 0 {
		return nil
	}
	mining, mullets := c.Tables[i].measured(), c.mullets()
	rates := map[string]map[string]results.Figure{} // of one record, by candidate
	for _, cand := range c.Candidates {
		if m := mining[cand.ID]; m != nil {
			rates[cand.ID] = exchanges(cand.records[m[0].of[0].record])
		}
	}
	for i := range c.Tables {
		t := &c.Tables[i]
		if !t.trains || t.Role != results.Alone {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		training := t.measured()
		for _, cand := range c.Candidates {
			for _, tr := range training[cand.ID] {
				m := at(mining[cand.ID], tr.Device)
				if m == nil {
					continue
				}
				e := Exchange{Candidate: cand.ID, Device: tr.Device, Scenario: t.Scenario, Origin: m.watts.Origin, Rate: c.rate(m, tr, rates[cand.ID])}
				reference := none()
				if of := like(training[c.Reference], tr); of != nil {
					if m := at(mining[c.Reference], of.Device); m != nil {
						reference = c.rate(m, of, rates[c.Reference])
					}
				}
				if e.Advantage = divide(e.Rate, reference); cand.ID == c.Reference {
					e.Advantage = attribute(none(), e.Rate.Provenance)
					e.Advantage.Value = 1
				}
				c.Exchange = append(c.Exchange, e)

				h, s := m.Figures[results.WorkPerEnergy], tr.Figures[results.WorkPerEnergy]
				mix := Mix{Candidate: cand.ID, Device: tr.Device, Scenario: t.Scenario, Origin: m.watts.Origin}
				for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
					mix.Points = append(mix.Points, Point{results.Float(share), times(h, (1-share)*kWh, results.Hash), times(s, share*kWh, t.Unit)})
				}
				mix.Mullet = mullets[trained{cand.ID, tr.Device, tr.model}]
				c.Mixes = append(c.Mixes, mix)
			}
		}
	}
	return nil
}

// divide returns the quotient of two independent figures: their relative widths
// add in quadrature on the log scale.
func divide(a, b results.Figure) results.Figure {
	half := func(i results.Figure) float64 { return math.Log(float64(i.High/i.Low)) / 2 }
	v, w := float64(a.Value/b.Value), math.Exp(math.Hypot(half(a), half(b)))
	return attribute(of(stats.Interval{Value: v, Low: v / w, High: v * w}, results.Ratio), a.Provenance)
}

// trained is a model on a device of a candidate.
type trained struct{ candidate, device, model string }

// mullets returns the yield of a kilowatt-hour with both uses at once, by the
// network in the foreground.
func (c *Comparison) mullets() map[trained]*Point {
	type side struct{ scenario, candidate string }
	back := map[side][]*Row{}
	for i := range c.Tables {
		if t := &c.Tables[i]; t.Role == results.Background && t.Unit == results.Hash {
			for id, rows := range t.measured() {
				back[side{t.Scenario, id}] = append(back[side{t.Scenario, id}], rows...)
			}
		}
	}
	out := map[trained]*Point{}
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Role != results.Foreground || !t.trains {
			continue
		}
		for id, rows := range t.measured() {
			for _, front := range rows {
				b := at(back[side{t.Scenario, id}], front.Device)
				if key := (trained{id, front.Device, front.model}); b != nil && out[key] == nil {
					out[key] = &Point{results.Absent(), times(b.Figures[results.WorkPerEnergy], kWh, results.Hash), times(front.Figures[results.WorkPerEnergy], kWh, t.Unit)}
				}
			}
		}
	}
	return out
}

// differ lists the facts in which the candidates differ.
func (c *Comparison) differ() {
	facts := map[string][]map[string]bool{} // by fact, by candidate, the distinct values
	var order []string
	set := func(ci int, fact, value string) {
		if facts[fact] == nil {
			facts[fact] = make([]map[string]bool, len(c.Candidates))
			order = append(order, fact)
		}
		if facts[fact][ci] == nil {
			facts[fact][ci] = map[string]bool{}
		}
		facts[fact][ci][value] = true
	}
	for ci := range c.Candidates {
		for _, rec := range c.Candidates[ci].records {
			flat(func(f, v string) { set(ci, f, v) }, "", reflect.ValueOf(rec.Node))
			set(ci, "perwatt", strings.TrimSpace(rec.Tool.Version+" "+rec.Tool.Revision))
			set(ci, "go", rec.Tool.Go)
			set(ci, "preset", rec.Plan.Preset)
			set(ci, "window", fmt.Sprintf("%g s", float64(rec.Plan.Window)))
			set(ci, "threads", fmt.Sprint(rec.Plan.Threads))
			set(ci, "nodes at once", fmt.Sprint(max(1, rec.Plan.Together())))
			for _, k := range rec.Kernels {
				set(ci, "kernel "+k.Name, k.Chosen)
			}
			if p := rec.Summary.PrimaryMeter; p != nil {
				set(ci, "meter", fmt.Sprintf("%s at the %s", p.Meter, p.Boundary))
			}
			for _, w := range rec.Warnings {
				set(ci, "warning "+w.Code, "yes")
			}
		}
	}
	for _, fact := range order {
		d := Difference{Fact: fact}
		same := true
		for _, distinct := range facts[fact] {
			values := slices.Sorted(maps.Keys(distinct))
			v := strings.Join(values, " / ")
			d.Within = d.Within || len(values) > 1
			same = same && (len(d.Values) == 0 || d.Values[0] == v)
			d.Values = append(d.Values, v)
		}
		if (!same || d.Within) && fact != "settings.load" && fact != "name" {
			c.Differences = append(c.Differences, d)
		}
	}
}

// flat calls set for every field of a struct, named by its path of JSON names.
func flat(set func(fact, value string), at string, v reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if at != "" {
			name = at + "." + name
		}
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			flat(set, name, f)
		case f.Kind() == reflect.Slice:
			var words []string
			for j := range f.Len() {
				words = append(words, printed(name, f.Index(j).Interface()))
			}
			set(name, strings.Join(words, ", "))
		default:
			set(name, printed(name, f.Interface()))
		}
	}
}

// printed is the fact of a name for a reader. All of int64 are sizes in bytes.
func printed(name string, fact any) string {
	switch x := fact.(type) {
	case results.Float:
		unit, ok := map[string]string{"cpu.clock": " GHz", "settings.power_cap": " W"}[name]
		if unit == " GHz" {
			x /= 1e9
		}
		switch {
		case x.IsAbsent():
			return "not known"
		case ok:
			return strconv.FormatFloat(float64(x), 'f', -1, 64) + unit
		}
		return fmt.Sprintf("%.6g", float64(x))
	case int64:
		if x <= 0 {
			return "not known"
		}
		unit, size := 0, float64(x)
		for ; size >= 1024 && unit < 4; unit++ {
			size /= 1024
		}
		return fmt.Sprintf("%.4g %s", size, []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
	case results.Device:
		words := []string{x.ID}
		for _, w := range []string{x.Model, x.Firmware, x.Driver, x.PCI, x.UUID} {
			if w != "" {
				words = append(words, w)
			}
		}
		if l := x.PowerLimit; l != nil {
			words = append(words, fmt.Sprintf("limited to %.0f W", float64(l.Enforced)))
		}
		return strings.Join(words, " ")
	}
	return fmt.Sprint(fact)
}

// CoRun is the cost of a co-run of a candidate, named as its rows are.
type CoRun struct {
	Front  string // scenario of the use in front alone: training-bf16-gpt-124m, compute-bf16
	Device string // as in [Row]
	Shared bool   // mining runs on the same cards, time-sliced
	results.CoRunCost
}

// CoRuns returns the costs of mining in the background over all sessions of a candidate,
// in the order of the first session that has them: that of training on the CPU first.
// Each figure is the mean of the sessions' own, with their Student's t interval: the
// session is the replicate. That of one session is as its record states it.
func (c *Candidate) CoRuns() (out []CoRun) {
	var of [][]results.CoRunCost
	for _, rec := range c.records {
		for _, co := range coRuns(rec) {
			i := slices.IndexFunc(out, func(o CoRun) bool { return o.Front == co.Front && o.Device == co.Device && o.Shared == co.Shared })
			if i < 0 {
				i = len(out)
				out, of = append(out, co), append(of, nil)
			}
			of[i] = append(of[i], co.CoRunCost)
		}
	}
	for i := range out {
		out[i].CoRunCost = overSessions(of[i])
	}
	return out
}

// coRuns are the costs of mining in the background in one session.
func coRuns(rec *results.Record) (out []CoRun) {
	if cost := rec.Summary.CoRunCost; cost != nil {
		for _, w := range rec.Summary.Windows() {
			if u := w.Use; u.Role == results.Foreground && u.Device == results.CPUDevice {
				out = append(out, CoRun{Front: u.Use + "-" + u.Params["model"], CoRunCost: *cost})
				break
			}
		}
	}
	places := rec.Places()
	for _, co := range rec.Summary.CoRuns {
		i := slices.IndexFunc(rec.Summary.Rows, func(r results.Row) bool { return r.Scenario == co.Scenario })
		front := co.Front
		if w := rec.Summary.Rows[i].Windows(); len(w) > 0 && w[0].Use.Trains() {
			front += "-" + w[0].Use.Params["model"]
		}
		out = append(out, CoRun{front, places[i].Name, co.Shared, co.CoRunCost})
	}
	return out
}

// overSessions is the cost of a co-run over several sessions.
func overSessions(of []results.CoRunCost) results.CoRunCost {
	mean := func(part func(*results.CoRunCost) results.Figure) results.Figure {
		var figures []results.Figure
		for i := range of {
			figures = append(figures, part(&of[i]))
		}
		return overFigures(figures)
	}
	out := results.CoRunCost{
		TrainingKept: mean(func(c *results.CoRunCost) results.Figure { return c.TrainingKept }),
		HashesGained: mean(func(c *results.CoRunCost) results.Figure { return c.HashesGained }),
		ExtraPower:   mean(func(c *results.CoRunCost) results.Figure { return c.ExtraPower }),
		ExtraEnergy:  mean(func(c *results.CoRunCost) results.Figure { return c.ExtraEnergy }),
		EnergyPer:    mean(func(c *results.CoRunCost) results.Figure { return c.EnergyPer }),
	}
	if e := &out.EnergyPer; !e.Value.IsAbsent() && out.ExtraPower.Low <= 0 {
		e.Value, e.Low, e.High, e.Reason = results.Absent(), results.Absent(), results.Absent(), results.Because(results.ReachesZero)
	}
	return out
}

// overFigures is the mean of the sessions' figures of one quantity. The watts of another
// boundary or origin than the first session's are left out: a mean over both is neither.
func overFigures(of []results.Figure) results.Figure {
	m := of[0]
	var xs []float64
	n := 0
	for _, f := range of {
		if f.Value.IsAbsent() || f.Boundary != m.Boundary || f.Origin != m.Origin {
			continue
		}
		if len(xs) == 0 {
			m = f
		}
		m.Grade = max(m.Grade, f.Grade)
		if f.Instrument.IsAbsent() || f.Instrument > m.Instrument {
			m.Instrument = f.Instrument
		}
		xs, n = append(xs, float64(f.Value)), n+f.N
	}
	if len(xs) < 2 {
		return m
	}
	i := stats.Mean(xs)
	m.Value, m.Low, m.High, m.N = results.Float(i.Value), results.Float(i.Low), results.Float(i.High), n
	return stated(m)
}
