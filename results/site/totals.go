package site

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
)

// rates returns the throughputs of a node, one a scenario and use: of cards together
// their sum, not each on its own.
func (m *measured) rates() map[use]value {
	type at struct{ scenario, use string }
	whole := map[at]bool{}
	for k := range m.values {
		if _, cards, _ := strings.Cut(k.scenario, "@"); cards != "" && cards == k.device {
			whole[at{k.scenario, k.use}] = true
		}
	}
	out := map[use]value{}
	for k, v := range m.values {
		if !judged(k) || k.metric != results.Throughput {
			continue
		}
		if _, cards, _ := strings.Cut(k.scenario, "@"); whole[at{k.scenario, k.use}] && k.device != cards {
			continue
		}
		if u := useOf(v.Key); v.Value > out[u].Value {
			out[u] = v
		}
	}
	return out
}

// total adds up what the fleet delivers and draws.
func (a *analyst) total() {
	nodes := make([]int, len(a.Nodes))
	for i := range nodes {
		nodes[i] = i
	}
	a.Totals = append(a.Totals, a.totals(nodes)...)
}

// totals adds up what nodes deliver and draw, one a use.
func (a *analyst) totals(nodes []int) (out []Total) {
	type site struct {
		rate  sum
		power map[sumKey]*sum
		both  sum // the rates of nodes with watts
	}
	sites := map[use]*site{}
	for _, i := range nodes {
		m := &a.measured[i]
		if len(m.sessions) == 0 {
			continue
		}
		powers := m.powers()
		p := a.provenance(i)
		for u, v := range m.rates() {
			s := sites[u]
			if s == nil {
				s = &site{power: map[sumKey]*sum{}}
				sites[u] = s
			}
			s.rate.add(v.Value, v.Low, v.High, results.Provenance{Instrument: results.Absent()})
			w, ok := powers[u.scenario]
			if !ok {
				continue
			}
			s.both.add(v.Value, v.Low, v.High, p)
			at := sumKey{p.Boundary, p.Origin}
			if s.power[at] == nil {
				s.power[at] = &sum{}
			}
			s.power[at].add(w.Value, w.Low, w.High, p)
		}
	}
	for _, u := range slices.SortedFunc(maps.Keys(sites), func(x, y use) int {
		return cmp.Or(cmp.Compare(x.use, y.use), cmp.Compare(x.scenario, y.scenario), cmp.Compare(x.device, y.device), cmp.Compare(x.unit, y.unit))
	}) {
		s := sites[u]
		t := Total{Scenario: u.scenario, Use: u.use, Device: u.device, Nodes: s.rate.n, Rate: s.rate.figure(u.unit)}
		for _, at := range slices.SortedFunc(maps.Keys(s.power), sumKey.compare) {
			t.Power = append(t.Power, RackWatts{s.power[at].figure(results.Watt), u.scenario, s.power[at].n})
		}
		if len(t.Power) == 1 {
			per := over(s.both.figure(u.unit), t.Power[0].Figure)
			t.PerEnergy = &per
		}
		out = append(out, t)
	}
	return out
}

// over is a rate ÷ a power, whose repeats are taken to be independent.
func over(rate, watts results.Figure) results.Figure {
	v := float64(rate.Value / watts.Value)
	half := math.Hypot(halfWidth(rate.Value, rate.Low, rate.High), halfWidth(watts.Value, watts.Low, watts.High))
	work, _, _ := strings.Cut(string(rate.Unit), "/")
	return results.Figure{Value: results.Float(v), Low: results.Float(v * math.Exp(-half)), High: results.Float(v * math.Exp(half)), Unit: results.Unit(work).Per(results.Joule), N: rate.N, Provenance: watts.Provenance}
}

// earn applies the prices: what each kind of machine leaves at each use, and at which
// of them it leaves most.
func (a *analyst) earn() {
	if a.opt.Prices == nil {
		return
	}
	kinds := map[string][]int{}
	for i, n := range a.Nodes {
		if n.Hardware != "" && n.Health != Wrong { // what computes wrongly earns nothing
			kinds[n.Hardware] = append(kinds[n.Hardware], i)
		}
	}
	var candidates []economics.Candidate
	names := slices.Sorted(maps.Keys(kinds))
	for i, name := range names {
		c := a.candidate(name, kinds[name])
		if slices.ContainsFunc(candidates, func(o economics.Candidate) bool { return o.Name == c.Name }) { // as far as it is printed
			c = a.candidate(fmt.Sprintf("%d: %s", i+1, name), kinds[name])
		}
		candidates = append(candidates, c)
	}
	r := economics.Evaluate(candidates, *a.opt.Prices, a.opt.AsOf)
	a.Economics = &r
	rows := r.Model(math.MaxInt).Rows
	for i, c := range candidates {
		if b, ok := best(&r, rows, c); ok {
			b.Hardware, b.Nodes = names[i], len(kinds[names[i]])
			a.Mix = append(a.Mix, b)
		}
	}
}

// candidate is one machine of a kind as the nodes of it are on average.
func (a *analyst) candidate(name string, nodes []int) economics.Candidate {
	c := economics.Candidate{Name: results.Line(name, 80)}
	for _, t := range a.totals(nodes) {
		base, cards, _ := strings.Cut(t.Scenario, "@")
		if t.PerEnergy == nil || !strings.HasPrefix(base, t.Use) { // one of several uses at once
			continue
		}
		figure := func(metric string, f results.Figure) economics.Figure {
			return economics.Figure{ID: strings.Join([]string{c.Name, t.Scenario, metric}, "/"), Figure: f}
		}
		each := scaled(t.Power[0].Figure, 1/float64(t.Power[0].Nodes))
		per := *t.PerEnergy
		switch {
		case t.Use == "mining":
			work, _, _ := strings.Cut(string(per.Unit), "/")
			inverse := per
			inverse.Value, inverse.Low, inverse.High, inverse.Unit = 1/per.Value, 1/per.High, 1/per.Low, results.Joule.Per(results.Unit(work))
			c.Mining = append(c.Mining, economics.Mining{Device: cards, Efficiency: figure(results.EnergyPerWork, inverse), Power: figure(results.Power, each)})
		case strings.HasPrefix(t.Use, results.Training):
			c.Training = append(c.Training, economics.Training{Workload: base, Device: cards, GPUs: gpus(cards), PerJoule: figure(results.WorkPerEnergy, per), Power: figure(results.Power, each)})
		case strings.HasPrefix(t.Use, "compute") && gpus(cards) > 0:
			c.Training = append(c.Training, economics.Training{Workload: base, Device: cards, GPUs: gpus(cards), Power: figure(results.Power, each)})
		}
	}
	return c
}

// gpus is the number of GPUs in the name of cards: 8 of "8 × gpu NVIDIA H200".
func gpus(cards string) int {
	count, rest, several := strings.Cut(cards, " × ")
	if !several {
		rest, count = cards, "1"
	}
	n, err := strconv.Atoi(count)
	if err != nil || !strings.HasPrefix(rest, string(results.KindGPU)) {
		return 0
	}
	return n
}

// scaled is a figure times a constant above 0.
func scaled(f results.Figure, by float64) results.Figure {
	f.Value, f.Low, f.High = f.Value*results.Float(by), f.Low*results.Float(by), f.High*results.Float(by)
	return f
}

// best returns the use at which a candidate leaves most.
func best(r *economics.Result, rows []economics.ModelRow, c economics.Candidate) (b Best, ok bool) {
	var second *Best
	for _, row := range rows {
		if row.Published || row.Candidate != c.Name {
			continue
		}
		margin, found := r.Figure(strings.Replace(row.Ledger, "*", "margin", 1))
		if !found || margin.Value.IsAbsent() {
			continue
		}
		daily, _ := r.Figure(strings.Replace(row.Ledger, "*", "daily", 1))
		x := Best{Use: strings.TrimSpace("mining " + row.Product), Margin: margin, Daily: daily.Figure, Verdict: row.Verdict}
		if !economics.Mines(row.Kind) {
			x.Use = row.Product
		}
		switch {
		case !ok:
			b, ok = x, true
		case margin.Value > b.Margin.Value:
			b, second = x, &Best{Use: b.Use, Margin: b.Margin}
		case second == nil || margin.Value > second.Margin.Value:
			second = &x
		}
	}
	if ok && second != nil && b.Verdict == economics.Earns && !(b.Margin.Low > second.Margin.High) {
		b.Verdict, b.Why = economics.CannotTell, "its interval reaches that of "+second.Use
	}
	if ok && b.Margin.Value < 0 {
		b.Why = "off is better: no use leaves anything"
	}
	return b, ok
}
