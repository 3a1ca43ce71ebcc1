package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report/chart"
)

// swept is a candidate at a setting of a sweep, at one use and boundary.
type swept struct {
	machine, setting string
	power, energy    results.Figure
}

// sweeps draws energy per work against power, over the settings at which a machine
// was measured.
func sweeps(p Page) section {
	s := sectionOf("sweep", "At each setting", "One command measured a machine at several settings, one after the other. The figures of each are among those of its use, as a candidate of their own.")
	candidates := map[string]*compare.Candidate{}
	for i := range p.Comparison.Candidates {
		candidates[p.Comparison.Candidates[i].ID] = &p.Comparison.Candidates[i]
	}
	for ti, t := range p.Comparison.Tables {
		// Groups of one provenance that break different rules are not ranked with
		// each other; they are settings of one machine all the same.
		var kinds []compare.Group
		for _, g := range t.Groups {
			i := slices.IndexFunc(kinds, func(k compare.Group) bool { return provenanceOf(k) == provenanceOf(g) })
			if i < 0 {
				i, kinds = len(kinds), append(kinds, compare.Group{Boundary: g.Boundary, Origin: g.Origin, Grade: g.Grade})
			}
			kinds[i].Rows = append(kinds[i].Rows, g.Rows...)
		}
		for gi, g := range kinds {
			var points []swept
			for _, r := range g.Rows {
				c := candidates[r.Candidate]
				pow, ok1 := r.Figures[results.Power]
				per, ok2 := r.Figures[results.EnergyPerWork]
				if c != nil && c.Setting != "" && ok1 && ok2 {
					points = append(points, swept{c.Machine, c.Setting, pow, per})
				}
			}
			l := chart.Lines{
				Head: chart.Head{ID: fmt.Sprintf("sweep-%d-%d", ti, gi), Title: fmt.Sprintf("Energy per work against watts at %s, %s", results.Line(t.ID(), 60), provenanceOf(g)), Table: useTable(ti)},
				X:    chart.AxisOf("power", results.Watt), Y: chart.AxisOf("energy per work", results.Joule.Per(t.Unit)),
			}
			results.SortStable(points, func(a, b swept) int {
				return cmp.Or(cmp.Compare(a.machine, b.machine), cmp.Compare(a.power.Value, b.power.Value))
			})
			for i, x := range points {
				if i == 0 || points[i-1].machine != x.machine {
					l.Series = append(l.Series, chart.Series{Name: results.Line(x.machine, 40), Modelled: g.Origin != results.Measured, Marks: true})
				}
				line := &l.Series[len(l.Series)-1]
				line.Points = append(line.Points, chart.LinePoint{X: float64(x.power.Value), Y: float64(x.energy.Value), Low: float64(x.energy.Low), High: float64(x.energy.High)})
				l.Up = append(l.Up, chart.Level{At: float64(x.power.Value), Name: results.Line(x.setting, 20)})
			}
			if len(l.Series) > 1 { // marks of several machines could not be told apart
				l.Up = nil
			}
			if len(points) > 1 {
				s.Blocks = append(s.Blocks, block{Charts: pictured(l.Head, l)})
			}
		}
	}
	return s
}
