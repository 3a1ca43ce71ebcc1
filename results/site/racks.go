package site

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// places of a node, by which it has neighbours.
const (
	rackOf = iota
	switchOf
)

func (n Node) place(by int) string {
	if by == rackOf {
		return n.Rack
	}
	return n.Switch
}

// fewestInRack is how many nodes of a rack are compared with those of others.
const fewestInRack = 4

// offRacks takes from the nodes of a rack that is off as a whole by how much it is, so
// that its nodes are judged among themselves; by switch, where no racks are known.
func (a *analyst) offRacks(d *Distribution, logs []float64) {
	at := len(a.off[rackOf]) - 1
	a.off[rackOf][at], a.off[switchOf][at] = a.rackFigures(d, logs, rackOf), a.rackFigures(d, logs, switchOf)
	by := rackOf
	if len(a.off[rackOf][at]) == 0 {
		by = switchOf
	}
	for i, p := range d.Points {
		if f := a.off[by][at][a.Nodes[p.Node].place(by)]; f.Off {
			logs[i] -= math.Log1p(float64(f.Deviation))
		}
	}
}

// rackFigures compares each rack that has enough nodes with the others.
func (a *analyst) rackFigures(d *Distribution, logs []float64, by int) map[string]RackFigure {
	in, values := map[string][]float64{}, map[string][]float64{}
	for i, p := range d.Points {
		if name := a.Nodes[p.Node].place(by); name != "" {
			in[name], values[name] = append(in[name], logs[i]), append(values[name], float64(p.Value))
		}
	}
	maps.DeleteFunc(in, func(_ string, of []float64) bool { return len(of) < fewestInRack })
	if len(in) < 2 {
		return nil
	}
	names := slices.Sorted(maps.Keys(in))
	var medians, within []float64
	for _, name := range names {
		slices.Sort(in[name])
		m := middle(in[name])
		medians = append(medians, m)
		for _, x := range in[name] {
			within = append(within, x-m)
		}
	}
	n, racks := float64(len(within)), float64(len(in))
	s := SpreadOf(within, a.figures[d.Hardware], d.half())
	scale := s.Scale * math.Sqrt(n/(n-racks)) // of each rack its median was taken away
	sorted := slices.Sorted(slices.Values(medians))
	out := map[string]RackFigure{}
	for i, name := range names {
		// The median of the racks is that of most, though some are off; of two racks
		// neither is right.
		center := middle(sorted)
		if len(in) == 2 {
			center = medians[1-i]
		}
		from, m := medians[i]-center, float64(len(in[name]))
		slices.Sort(values[name])
		f := RackFigure{N: len(in[name]), Median: results.Float(middle(values[name])), Deviation: results.Float(math.Expm1(from)), Score: results.Absent()}
		f.Off = math.Abs(from) > math.Log1p(a.Margin)
		if scale > 0 {
			// The median of m normal values varies by √(π/2m) of their standard deviation.
			f.Score = results.Float(from / (scale * math.Sqrt(math.Pi/2*(1/m+1/max(1, n-m)))))
			f.Off = f.Off && math.Abs(float64(f.Score)) > s.Sigmas
		}
		out[name] = f
	}
	return out
}

// places returns what is said of the racks, or of the switches.
func (a *analyst) places(by int, budgets map[string]float64) (out []Rack) {
	in := map[string][]int{}
	for i, n := range a.Nodes {
		if name := n.place(by); name != "" {
			in[name] = append(in[name], i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		r := Rack{Name: name, Nodes: len(in[name]), Counts: map[Health]int{}, Figures: []RackFigure{}, Budget: results.Absent()}
		for _, i := range in[name] {
			r.Counts[a.Nodes[i].Health]++
			if len(a.measured[i].sessions) > 0 {
				r.Measured++
			}
		}
		for i, of := range a.off[by] {
			if f, ok := of[name]; ok {
				f.Figure = i
				r.Figures = append(r.Figures, f)
			}
		}
		r.Watts = a.watts(in[name])
		if by == rackOf {
			a.facility(&r, in[name])
		}
		if w, ok := budgets[name]; ok {
			r.Budget = results.Float(w)
		} else if w, ok := budgets[""]; ok {
			r.Budget = results.Float(w)
		}
		if !r.Budget.IsAbsent() {
			r.judgePower()
		}
		out = append(out, r)
	}
	return out
}

// powers are the watts of a node, one a scenario: those of the node as a whole, which
// each of its uses has there.
func (m *measured) powers() map[string]value {
	out := map[string]value{}
	for k, v := range m.values {
		if k.metric == results.Power && v.Value > out[k.scenario].Value {
			out[k.scenario] = v
		}
	}
	return out
}

// provenance is where the watts of a node were measured.
func (a *analyst) provenance(node int) results.Provenance {
	m := &a.measured[node]
	return results.Provenance{Boundary: m.group.Boundary, Origin: m.origin, Grade: m.grade, Instrument: results.Absent()}
}

// sum adds figures: their intervals are those of independent repeats.
type sum struct {
	value, squares float64
	n              int
	results.Provenance
}

func (s *sum) add(v, low, high results.Float, of results.Provenance) {
	half := float64(high-low) / 2
	s.value, s.squares, s.n = s.value+float64(v), s.squares+half*half, s.n+1
	of.Grade = max(of.Grade, s.Grade)
	s.Provenance = of
}

func (s *sum) figure(u results.Unit) results.Figure {
	half := math.Sqrt(s.squares)
	return results.Figure{Value: results.Float(s.value), Low: results.Float(s.value - half), High: results.Float(s.value + half), Unit: u, N: s.n, Provenance: s.Provenance}
}

// sumKey is what may be added up: watts at one boundary and of one origin.
type sumKey struct {
	boundary results.Boundary
	origin   results.Origin
}

// compare orders as the totals of a node are quoted: measured before modelled before
// declared, then the outermost boundary first.
func (k sumKey) compare(o sumKey) int {
	origins := []results.Origin{results.Measured, results.Modelled, results.Declared}
	return cmp.Or(cmp.Compare(slices.Index(origins, k.origin), slices.Index(origins, o.origin)),
		cmp.Compare(slices.Index(results.Boundaries(), k.boundary), slices.Index(results.Boundaries(), o.boundary)))
}

// sums adds up the power of nodes by boundary and origin, for each scenario.
func (a *analyst) sums(nodes []int) map[sumKey]map[string]*sum {
	sums := map[sumKey]map[string]*sum{}
	for _, i := range nodes {
		if len(a.measured[i].sessions) == 0 {
			continue
		}
		p := a.provenance(i)
		for scenario, v := range a.measured[i].powers() {
			k := sumKey{p.Boundary, p.Origin}
			if sums[k] == nil {
				sums[k] = map[string]*sum{}
			}
			if sums[k][scenario] == nil {
				sums[k][scenario] = &sum{}
			}
			sums[k][scenario].add(v.Value, v.Low, v.High, p)
		}
	}
	return sums
}

// watts are the sums of nodes, one a boundary and origin, each at the scenario that most
// of the nodes ran and that draws most.
func (a *analyst) watts(nodes []int) (out []RackWatts) {
	sums := a.sums(nodes)
	for _, k := range slices.SortedFunc(maps.Keys(sums), sumKey.compare) {
		best := ""
		for _, scenario := range slices.Sorted(maps.Keys(sums[k])) {
			if s, o := sums[k][scenario], sums[k][best]; o == nil || cmp.Or(cmp.Compare(s.n, o.n), cmp.Compare(s.value, o.value)) > 0 {
				best = scenario
			}
		}
		s := sums[k][best]
		out = append(out, RackWatts{s.figure(results.Watt), best, s.n})
	}
	return out
}

// facility finds what the rack's own meter read: at the scenario that most of its nodes
// measured at the same time, and that draws most.
func (a *analyst) facility(r *Rack, nodes []int) {
	for i := range a.opt.Racks {
		p := &a.opt.Racks[i]
		if p.Rack == r.Name && (r.Facility == nil || cmp.Or(cmp.Compare(p.Nodes, r.Facility.Nodes), cmp.Compare(p.Power.Value, r.Facility.Power.Value)) > 0) {
			r.Facility = p
		}
	}
	p := r.Facility
	if p == nil {
		return
	}
	var at *sum
	sums := a.sums(nodes)
	for _, k := range slices.SortedFunc(maps.Keys(sums), sumKey.compare) {
		if s := sums[k][p.Scenario]; s != nil {
			at = s
			r.AtFacility = append(r.AtFacility, RackWatts{s.figure(results.Watt), p.Scenario, s.n})
		}
	}
	switch {
	case at == nil:
		r.BeyondWhy = "no node has watts of its own"
	case p.Nodes < r.Nodes:
		r.BeyondWhy = fmt.Sprintf("%d of %d nodes measured at the same time", p.Nodes, r.Nodes)
	case len(r.AtFacility) > 1:
		r.BeyondWhy = "the watts of its nodes are of several boundaries or origins"
	case at.Origin != results.Measured:
		r.BeyondWhy = fmt.Sprintf("the watts of its nodes are %s", at.Origin)
	case at.n < r.Nodes:
		r.BeyondWhy = fmt.Sprintf("%d of %d nodes have watts", at.n, r.Nodes)
	default:
		low, high := p.bounds()
		half := math.Hypot((high-low)/2, noNaN(math.Sqrt(at.squares)))
		d := float64(p.Power.Value) - at.value
		r.Beyond = &results.Figure{Value: results.Float(d), Low: results.Float(d - half), High: results.Float(d + half), Unit: results.Watt, N: p.Power.N,
			Provenance: results.Provenance{Boundary: p.Power.Boundary, Origin: p.Power.Origin, Grade: max(p.Power.Grade, at.Grade), Instrument: results.Absent()}}
	}
}

// noNaN is 0 for what is not known.
func noNaN(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// What a verdict on a budget is of.
const (
	ByFacility = "rack's meter"
	ByNodes    = "sum of nodes"
)

// judgePower compares the watts of a rack with its budget. Its own meter counts, if it
// read the rack while all nodes measured at the same time. If they did not, the meter can
// show that the rack exceeds the budget, and not that it is within it.
func (r *Rack) judgePower() {
	budget := float64(r.Budget)
	if p := r.Facility; p != nil && p.Power.Origin == results.Measured {
		low, high := p.bounds()
		r.PowerBy = ByFacility
		switch {
		case low > budget:
			r.Power = Over
			return
		case p.Nodes == r.Nodes && high > budget:
			r.Power, r.PowerWhy = Unsettled, "the interval reaches the budget"
			return
		case p.Nodes == r.Nodes:
			r.Power = Within
			return
		}
	}
	r.PowerBy = ByNodes
	r.Power, r.PowerWhy = r.within()
}

// within compares the sum of the nodes of a rack with its budget. What was not measured is
// not judged. A sum that leaves out nodes or parts of them is less than the rack draws: it
// can exceed the budget, and not be within it.
func (r *Rack) within() (v BudgetVerdict, why string) {
	low, high, nodes, parts := 0.0, 0.0, 0, results.Boundary("")
	var added []string
	for _, w := range r.Watts {
		if w.Origin != results.Measured {
			continue
		}
		nodes += w.Nodes
		added = append(added, fmt.Sprintf("%s of %s", w.Boundary, results.Plural(w.Nodes, "node")))
		at := [2]results.Float{w.Low, w.High}
		if w.Low.IsAbsent() {
			at = [2]results.Float{w.Value, w.Value}
		}
		low, high = low+float64(at[0]), high+float64(at[1])
		if w.Boundary != results.Wall && w.Boundary != results.PSU && w.Boundary != results.Chassis {
			parts = w.Boundary
		}
	}
	budget := float64(r.Budget)
	switch {
	case nodes == 0 && len(r.Watts) > 0:
		return Unmeasured, fmt.Sprintf("its watts are %s", r.Watts[0].Origin)
	case nodes == 0:
		return Unmeasured, "there are no watts"
	case low > budget:
		v = Over
	case nodes < r.Nodes:
		return Unsettled, fmt.Sprintf("%d of %d nodes were measured", nodes, r.Nodes)
	case parts != "":
		return Unsettled, fmt.Sprintf("watts at the %s leave out a part of the node", parts)
	case high > budget:
		return Unsettled, "the interval reaches the budget"
	default:
		v = Within
	}
	if len(added) > 1 {
		why = "added up: " + strings.Join(added, ", ")
	}
	return v, why
}

// use is what a total is of.
type use struct {
	scenario, use, device string
	unit                  results.Unit
}

func useOf(k *store.Key) use { return use{k.Scenario, k.Use, k.Device, k.Unit} }
