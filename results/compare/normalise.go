package compare

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

const kWh = 3.6e6 // J

// Exchange is the rate at which a candidate turns mining into training on the
// same energy: hashes given up for a sample.
type Exchange struct {
	Candidate string   `json:"candidate"`
	Scenario  string   `json:"scenario"` // of the training
	Rate      Interval `json:"rate"`     // hash/sample
	// Advantage is the rate against the reference's: below 1 the candidate
	// gives up less mining for a unit of training, and so has the comparative
	// advantage in training (Ricardo, 1817), whatever it does better outright.
	Advantage Interval       `json:"advantage"`
	Origin    results.Origin `json:"origin"`
}

// Mix is what one kilowatt-hour gives where it is shared between two uses.
type Mix struct {
	Candidate string         `json:"candidate"`
	Scenario  string         `json:"scenario"` // of the training
	Origin    results.Origin `json:"origin"`
	Points    []Point        `json:"points"`
	Mullet    *Point         `json:"mullet,omitempty"` // both at once, as measured
}

// Point is one sharing of a kilowatt-hour.
type Point struct {
	Training results.Float `json:"training"` // share of the energy, 0 to 1; null of the mullet, which does not split it
	Hashes   results.Float `json:"hashes"`   // per kWh
	Samples  results.Float `json:"samples"`  // per kWh
}

// normalise relates the uses of each candidate to each other.
func (c *Comparison) normalise() {
	find := func(t *Table, candidate string) (*Row, results.Origin) {
		for gi := range t.Groups {
			for ri := range t.Groups[gi].Rows {
				if r := &t.Groups[gi].Rows[ri]; r.Candidate == candidate && len(r.sessions) > 0 {
					return r, t.Groups[gi].Origin
				}
			}
		}
		return nil, ""
	}
	var mining *Table
	for i := range c.Tables {
		if t := &c.Tables[i]; t.Use == "mining" && t.Role == results.Alone {
			mining = t
		}
	}
	if mining == nil {
		return
	}
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.Use != "training" || t.Role != results.Alone {
			continue
		}
		refM, _ := find(mining, c.Reference)
		refT, _ := find(t, c.Reference)
		for _, cand := range c.Candidates {
			m, origin := find(mining, cand.ID)
			tr, _ := find(t, cand.ID)
			if m == nil || tr == nil {
				continue
			}
			rate := stats.Quotient(m.sessions, tr.sessions, c.Seed)
			e := Exchange{Candidate: cand.ID, Scenario: t.Scenario, Origin: origin, Rate: of(rate, results.Hash.Per(results.Sample)), Advantage: of(stats.Interval{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}, results.Ratio)}
			if refM != nil && refT != nil {
				ref := stats.Quotient(refM.sessions, refT.sessions, c.Seed)
				e.Advantage = of(divide(rate, ref), results.Ratio)
				if cand.ID == c.Reference {
					e.Advantage = of(stats.Interval{Value: 1, Low: math.NaN(), High: math.NaN()}, results.Ratio)
				}
			}
			c.Exchange = append(c.Exchange, e)

			h, s := m.sessions.Ratio()*kWh, tr.sessions.Ratio()*kWh
			mix := Mix{Candidate: cand.ID, Scenario: t.Scenario, Origin: origin}
			for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
				mix.Points = append(mix.Points, Point{results.Float(share), finite((1 - share) * h), finite(share * s)})
			}
			mix.Mullet = c.mullet(cand, t.Scenario)
			c.Mixes = append(c.Mixes, mix)
		}
	}
}

// divide is the quotient of two independent intervals: their relative widths
// add in quadrature, on the log scale.
func divide(a, b stats.Interval) stats.Interval {
	v := a.Value / b.Value
	half := func(i stats.Interval) float64 { return math.Log(i.High/i.Low) / 2 }
	w := math.Exp(math.Hypot(half(a), half(b)))
	return stats.Interval{Value: v, Low: v / w, High: v * w}
}

// mullet is what both uses at once gave a kilowatt-hour, if the network in the
// foreground was that of the scenario.
func (c *Comparison) mullet(cand Candidate, scenario string) *Point {
	var hashes, samples, joules float64
	for _, rec := range cand.records {
		model := ""
		for _, r := range rec.Runs {
			if r.Scenario == scenario && len(r.Uses) == 1 {
				model = r.Uses[0].Params["model"]
			}
		}
		for _, w := range results.Windows(rec) {
			e := float64(w.Energy)
			if math.IsNaN(e) || math.IsNaN(float64(w.Work)) {
				continue
			}
			switch {
			case w.Use.Role == results.Foreground && w.Use.Params["model"] == model:
				samples += float64(w.Work)
				joules += e
			case w.Use.Role == results.Background:
				hashes += float64(w.Work)
			}
		}
	}
	if joules == 0 || hashes == 0 {
		return nil
	}
	return &Point{results.Absent(), finite(hashes / joules * kWh), finite(samples / joules * kWh)}
}

// differ lists the facts in which the candidates differ.
func (c *Comparison) differ() {
	facts := map[string][][]string{} // by fact, by candidate, the distinct values
	var order []string
	set := func(ci int, fact, value string) {
		if facts[fact] == nil {
			facts[fact] = make([][]string, len(c.Candidates))
			order = append(order, fact)
		}
		if !slices.Contains(facts[fact][ci], value) {
			facts[fact][ci] = append(facts[fact][ci], value)
		}
	}
	for ci := range c.Candidates {
		for _, rec := range c.Candidates[ci].records {
			flat(func(f, v string) { set(ci, f, v) }, "", reflect.ValueOf(rec.Node))
			set(ci, "perwatt", strings.TrimSpace(rec.Tool.Version+" "+rec.Tool.Revision))
			set(ci, "go", rec.Tool.Go)
			set(ci, "preset", rec.Plan.Preset)
			set(ci, "window", fmt.Sprintf("%g s", float64(rec.Plan.Window)))
			set(ci, "threads", fmt.Sprint(rec.Plan.Threads))
			for _, k := range rec.Kernels {
				set(ci, "kernel "+k.Name, k.Chosen)
			}
			if h, ok := results.HeadlineOf(rec.Meters); ok {
				set(ci, "meter", fmt.Sprintf("%s at the %s", h.Meter, h.Boundary))
			}
			for _, w := range rec.Warnings {
				set(ci, "warning "+w.Code, "yes")
			}
		}
	}
	for _, fact := range order {
		d := Difference{Fact: fact}
		same := true
		for _, values := range facts[fact] {
			sort.Strings(values)
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

// flat walks a struct and gives every fact its path of JSON names.
func flat(set func(fact, value string), at string, v reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if at != "" {
			name = at + "." + name
		}
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			flat(set, name, f)
		case f.Type() == reflect.TypeFor[results.Float]():
			if x := results.Float(f.Float()); !x.IsAbsent() {
				set(name, fmt.Sprintf("%.6g", float64(x)))
			} else {
				set(name, "not known")
			}
		case f.Kind() == reflect.Slice:
			var words []string
			for j := range f.Len() {
				words = append(words, fmt.Sprint(f.Index(j).Interface()))
			}
			set(name, strings.Join(words, " "))
		default:
			set(name, fmt.Sprint(f.Interface()))
		}
	}
}
