package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

// picture is a chart with its caption.
type picture struct {
	Caption string
	SVG     template.HTML
	Data    template.HTML // JSON for the page's script
}

func pictured(h chart.Head, c chart.Chart) []picture {
	return []picture{{Caption: h.Title, SVG: c.SVG()}}
}

func chartCSS() string { return chart.CSS() }

// rankingChart ranks whole machines by their index: a column for each use at which two
// or more of them have one, those that decide first.
func rankingChart(p Page) []picture {
	c := p.Comparison
	r := chart.Ranking{
		Head: chart.Head{ID: "rank", Title: "Work per joule at each use, whole machines", Note: "Each machine by its best device."},
		Axis: chart.AxisOf("work per joule against the reference", results.Ratio), Base: 1, Margin: c.Margin,
		BaseText: fmt.Sprintf("%s = 100 %%, margin ± %s", results.Line(c.Reference, 40), table.Percent(c.Margin)),
	}
	for _, cand := range c.Candidates {
		r.Rows = append(r.Rows, chart.Ranked{Name: cand.ID, Reference: cand.ID == c.Reference})
	}
	for _, decides := range []bool{true, false} {
		for i := range c.Choices {
			x := &c.Choices[i]
			known := 0
			at := make([]chart.Rank, len(r.Rows))
			for j, row := range r.Rows {
				at[j] = chart.Rank{Figure: chart.Of(results.Figure{Value: results.Absent(), Low: results.Absent(), High: results.Absent()}), Note: "not measured"}
				k := slices.IndexFunc(x.Places, func(p compare.Place) bool { return p.Candidate == row.Name })
				if k < 0 {
					continue
				}
				place := &x.Places[k]
				at[j] = chart.Rank{Figure: chart.Of(place.Index), First: place.Place == 1, Note: cmp.Or(place.Why, place.Device)}
				if !place.Index.Value.IsAbsent() {
					known++
				}
			}
			if x.Decides() != decides || known < 2 {
				continue
			}
			r.Uses = append(r.Uses, x.Table)
			for j := range r.Rows {
				r.Rows[j].At = append(r.Rows[j].At, at[j])
			}
		}
	}
	if len(r.Uses) == 0 {
		return nil
	}
	return pictured(r.Head, r)
}

// throughputPowerChart plots the candidates of a use by throughput and power.
// tableID is the id of the table that has all of them.
func throughputPowerChart(p Page, t compare.Table, id, tableID string) []picture {
	c := chart.ThroughputPower{
		Head:  chart.Head{ID: id, Title: "Throughput against watts at " + results.Line(t.ID(), 60), Table: tableID},
		Power: chart.AxisOf("power", results.Watt), Throughput: chart.AxisOf("throughput", t.Unit.Per(results.Second)), Efficiency: chart.AxisOf("work per joule", t.Unit.Per(results.Joule)),
	}
	for _, g := range t.Groups {
		for _, r := range g.Rows {
			thr, ok1 := r.Figures[results.Throughput]
			pow, ok2 := r.Figures[results.Power]
			if !ok1 || !ok2 {
				continue
			}
			c.Points = append(c.Points, chart.Point{Name: r.Name(), X: chart.Of(pow), Y: chart.Of(thr), Group: provenanceOf(g), Reference: r.Candidate == p.Comparison.Reference})
		}
	}
	if len(c.Points) < 2 {
		return nil
	}
	return pictured(c.Head, c)
}

// planeCharts plot mining against each training, relative to the reference, and
// say how many trainings are left out.
func planeCharts(p Page) (out []picture, left int) {
	c := p.Comparison
	// index is the work per joule against the reference, as the tables print it, or the
	// quotient where they have no index.
	efficiency := func(scenario, candidate string) (per, index results.Figure) {
		for _, t := range c.Tables {
			if t.Scenario != scenario || t.Use != "mining" && !t.Trains() || t.Role != results.Alone {
				continue
			}
			for _, g := range t.Groups {
				for _, r := range g.Rows {
					if i, ok := r.Figures[results.WorkPerEnergy]; ok && r.Candidate == candidate && r.Device == "" {
						i.Origin = g.Origin
						return i, r.Index
					}
				}
			}
		}
		none := results.Figure{Value: results.Absent(), Low: results.Absent(), High: results.Absent()}
		return none, none
	}
	seen := map[string]bool{}
	for n, m := range c.Mixes {
		if seen[m.Scenario] {
			continue
		}
		seen[m.Scenario] = true
		if len(seen) > mostTrainings {
			left++
			continue
		}
		refX, _ := efficiency("mining", c.Reference)
		refY, _ := efficiency(m.Scenario, c.Reference)
		relative := func(scenario, candidate string, ref results.Figure) chart.Figure {
			i, index := efficiency(scenario, candidate)
			if index.Value.IsAbsent() {
				index = results.Figure{Value: i.Value / ref.Value, Low: i.Low / ref.Value, High: i.High / ref.Value, Unit: results.Ratio, Provenance: results.Provenance{Origin: i.Origin}}
			}
			return chart.Of(index)
		}
		plane := chart.TwoUsePlane{
			Head: chart.Head{ID: fmt.Sprintf("plane%d", n), Title: "Mining against " + results.Line(m.Scenario, 40) + ", both per joule"},
			X:    chart.AxisOf("mining per joule against the reference", results.Ratio), Y: chart.AxisOf(results.Line(m.Scenario, 40)+" per joule against the reference", results.Ratio),
			UseX: "mining", UseY: results.Line(m.Scenario, 40), Margin: c.Margin,
		}
		for _, cand := range c.Candidates {
			at := chart.Point{Name: cand.ID, X: relative("mining", cand.ID, refX), Y: relative(m.Scenario, cand.ID, refY), Reference: cand.ID == c.Reference}
			if at.X.Value == at.X.Value && at.Y.Value == at.Y.Value {
				plane.Points = append(plane.Points, at)
			}
		}
		if len(plane.Points) > 1 {
			out = append(out, pictured(plane.Head, plane)...)
		}
		out = append(out, mixChart(p, m.Scenario, fmt.Sprintf("mix%d", n))...)
	}
	return out, left
}

// mixChart plots what a kilowatt-hour yields if mining and training share it,
// and what it yielded in a co-run.
func mixChart(p Page, scenario, id string) []picture {
	unit := results.Sample
	for _, m := range p.Comparison.Mixes {
		if m.Scenario == scenario {
			unit = trained(m)
		}
	}
	c := chart.Lines{
		Head: chart.Head{ID: id, Title: "One kilowatt-hour, shared between mining and " + results.Line(scenario, 40), Table: "mixes"},
		X:    chart.AxisOf("hashes", results.Hash), Y: chart.AxisOf(table.ShapeOf(unit).Symbol, unit),
	}
	for _, m := range p.Comparison.Mixes {
		if m.Scenario != scenario {
			continue
		}
		m.Candidate = strings.TrimSuffix(m.Candidate+", "+m.Device, ", ")
		s := chart.Series{Name: m.Candidate, Modelled: m.Origin != results.Measured}
		for _, pt := range m.Points {
			s.Points = append(s.Points, chart.LinePoint{X: float64(pt.Hashes.Value), Y: float64(pt.Samples.Value), Low: math.NaN(), High: math.NaN()})
		}
		c.Series = append(c.Series, s)
		if m.Mullet != nil && m.Candidate == p.Comparison.Reference { // the others are in the table
			c.Series = append(c.Series, chart.Series{Name: m.Candidate + ", both at once", Modelled: s.Modelled, Marks: true,
				Points: []chart.LinePoint{{X: float64(m.Mullet.Hashes.Value), Y: float64(m.Mullet.Samples.Value), Low: math.NaN(), High: math.NaN()}}})
		}
	}
	if slices.ContainsFunc(c.Series, func(s chart.Series) bool { return len(s.Points) == 1 }) {
		c.Head.Note = "The line is to switch: a share of the kilowatt-hour goes to mining, the rest to training. The mark is the mullet, both at once: above the line it beats switching, below the line it loses to it."
	}
	return pictured(c.Head, c)
}

// mulletChart plots the hashes gained against what is kept in front, in co-runs: one
// chart behind training on the CPU, one behind the work of cards.
func mulletChart(p Page) (out []picture) {
	training := chart.Mullet{
		Head: chart.Head{ID: "mullet", Title: "Mining behind training: hashes gained against training kept", Table: "mullets"},
		Kept: chart.AxisOf("training kept", results.Ratio), Gained: chart.AxisOf("hashes gained", results.Hash.Per(results.Second)),
	}
	cards := chart.Mullet{
		Head: chart.Head{ID: "mullet-cards", Title: "Mining behind the work of cards: hashes gained against what is kept in front", Table: "co-runs"},
		Kept: chart.AxisOf("kept in front", results.Ratio), Gained: training.Gained,
	}
	for i := range p.Comparison.Candidates {
		c := &p.Comparison.Candidates[i]
		for _, co := range c.CoRuns() {
			note := "extra watts not resolvable"
			if !co.ExtraPower.Value.IsAbsent() && co.EnergyPer.Status == results.Known {
				value, _ := table.Split(co.ExtraPower)
				note = "extra " + value
			}
			to, point := &training, c.ID
			if co.Device != "" {
				to, point = &cards, c.ID+", "+results.Line(co.Front+" on "+co.Device, 40)
			}
			to.Points = append(to.Points, chart.Point{Name: point, X: chart.Of(co.TrainingKept), Y: chart.Of(co.HashesGained), Note: note, Reference: c.ID == p.Comparison.Reference})
		}
	}
	for _, c := range []chart.Mullet{training, cards} {
		if len(c.Points) > 0 {
			out = append(out, pictured(c.Head, c)...)
		}
	}
	return out
}

// useTable is the id of the first table of use i of a comparison, if the page has it.
func useTable(i int) string {
	if i >= mostUses {
		return ""
	}
	return fmt.Sprintf("use-%d-0", i)
}

// candidatesByRecord maps the IDs of records to those of their candidates.
func candidatesByRecord(p Page) map[string]string {
	of := map[string]string{}
	for _, c := range p.Comparison.Candidates {
		for _, r := range c.Records {
			of[r.ID] = c.ID
		}
	}
	return of
}

// The most candidates with a trace.
const traceCandidates = 4

// tracedRun is a run that is drawn: of a record by its number, at a use that its candidate
// is ranked by.
type tracedRun struct {
	record    int
	candidate string
	run       *results.Run
	use       *results.Use
}

// tracedRuns are those of the first candidates, one each.
func tracedRuns(p Page) (out []tracedRun) {
	of := candidatesByRecord(p)
	drawn := map[string]bool{}
	for n, r := range p.Records {
		candidate, known := of[r.ID]
		if len(out) == traceCandidates {
			break
		}
		if !known || drawn[candidate] {
			continue
		}
		if run, use := shownRun(p.Comparison, r, candidate); run != nil {
			drawn[candidate] = true
			out = append(out, tracedRun{n, candidate, run, use})
		}
	}
	return out
}

// Traced are the numbers of the records of which a page draws a run, and needs the
// samples.
func Traced(p Page) (out []int) {
	for _, t := range tracedRuns(p) {
		out = append(out, t.record)
	}
	return out
}

// traceCharts plot a run of each candidate.
func traceCharts(p Page) (out []picture) {
	for _, t := range tracedRuns(p) {
		run := t.run
		c := chart.Trace{
			Head:  chart.Head{ID: fmt.Sprintf("trace%d", t.record), Title: fmt.Sprintf("%s, %s, round %d", results.Line(t.candidate, 40), results.Line(run.Scenario, 40), run.Round), Empty: "no meter was read"},
			Power: chart.Signal{Axis: chart.AxisOf("power", results.Watt)}, Rate: chart.Signal{Axis: chart.AxisOf(results.Line(t.use.Use, 30)+" rate", t.use.Unit.Per(results.Second))},
		}
		t0 := float64(run.Anchor.T)
		if head := p.Records[t.record].Summary.PrimaryMeter; head != nil {
			c.Power.Points = slopes(run, head, t0)
		}
		if tr := run.Trace(t.use.Key(results.TraceWork)); tr != nil {
			c.Rate.Points = sampled(tr, t0)
		}
		for _, ph := range run.Phases {
			c.Spans = append(c.Spans, chart.Span{From: float64(ph.From) - t0, To: float64(ph.To) - t0, Name: ph.Name, Window: ph.Name == results.PhaseMeasure})
		}
		out = append(out, pictured(c.Head, c)...)
	}
	return out
}

// shownRun returns the run of a record that shows its candidate at work, and its use
// there: if there is one, at a use that decides and at which the candidate competes,
// else at one at which it stands as a whole machine, else any; training first, then
// mining.
func shownRun(c *compare.Comparison, r *results.Record, candidate string) (*results.Run, *results.Use) {
	places := r.Places()
	first := func(table string) int {
		t := slices.IndexFunc(c.Tables, func(t compare.Table) bool { return t.ID() == table })
		switch {
		case t >= 0 && c.Tables[t].Trains():
			return 0
		case t >= 0 && c.Tables[t].Use == "mining":
			return 1
		}
		return 2
	}
	choices := slices.SortedStableFunc(slices.Values(c.Choices), func(a, b compare.Choice) int { return cmp.Compare(first(a.Table), first(b.Table)) })
	for _, fits := range []func(*compare.Choice, *compare.Place) bool{
		func(x *compare.Choice, at *compare.Place) bool { return x.Decides() && at.Place > 0 },
		func(x *compare.Choice, at *compare.Place) bool {
			return x.Decides() && at.Reason != compare.CPUAlone && at.Reason != compare.NoMiner
		},
		func(*compare.Choice, *compare.Place) bool { return true },
	} {
		for i := range choices {
			x := &choices[i]
			t := slices.IndexFunc(c.Tables, func(t compare.Table) bool { return t.ID() == x.Table })
			k := slices.IndexFunc(x.Places, func(at compare.Place) bool { return at.Candidate == candidate })
			if t < 0 || k < 0 || !fits(x, &x.Places[k]) {
				continue
			}
			for j, row := range r.Summary.Rows {
				if places[j].Base != c.Tables[t].Scenario || places[j].Name != x.Places[k].Device || row.Use != c.Tables[t].Use {
					continue
				}
				for n := range r.Runs {
					run := &r.Runs[n]
					if u := slices.IndexFunc(run.Uses, func(u results.Use) bool { return u.Use == row.Use }); u >= 0 && run.Scenario == row.Scenario && run.Status == results.OK {
						return run, &run.Uses[u]
					}
				}
			}
		}
	}
	return nil, nil
}

// slopes sums the power of the primary meter's channels over a run. Of two meters,
// which are not read at the same instants, it adds the latest reading of each.
func slopes(run *results.Run, head *results.PrimaryMeter, t0 float64) (out []chart.Sample) {
	traces := make(map[results.TraceKey]*results.Trace, len(run.Traces)) // a search a channel takes long in a hostile record
	for i := range run.Traces {
		traces[run.Traces[i].Key] = &run.Traces[i]
	}
	sums, meters := map[string]map[float64]float64{}, []string(nil)
	for i := range head.Channels {
		key := head.Key(i)
		tr := traces[key]
		if tr == nil {
			return nil
		}
		if sums[key.Meter] == nil {
			sums[key.Meter], meters = map[float64]float64{}, append(meters, key.Meter)
		}
		for _, s := range sampled(tr, t0) {
			sums[key.Meter][s.T] += s.V
		}
	}
	switch len(meters) {
	case 1:
		for _, t := range slices.Sorted(maps.Keys(sums[meters[0]])) {
			out = append(out, chart.Sample{T: t, V: sums[meters[0]][t]})
		}
	case 2:
		a, b := sums[meters[0]], sums[meters[1]]
		first, second, readA, readB := 0.0, 0.0, false, false
		for _, t := range slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))))) {
			if v, ok := a[t]; ok {
				first, readA = v, true
			}
			if v, ok := b[t]; ok {
				second, readB = v, true
			}
			if readA && readB {
				out = append(out, chart.Sample{T: t, V: first + second})
			}
		}
	}
	return out
}

// sampled returns the samples of a gauge or the slopes of a counter.
func sampled(tr *results.Trace, t0 float64) (out []chart.Sample) {
	for i := range tr.T {
		t, v := float64(tr.T[i]), float64(tr.V[i])
		if tr.Kind == results.Counter {
			if i == 0 {
				continue
			}
			v = (v - float64(tr.V[i-1])) / (t - float64(tr.T[i-1]))
		}
		out = append(out, chart.Sample{T: t - t0, V: v})
	}
	return out
}
