package economics

import (
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/stats"
)

// lookup finds prices for one candidate and remembers which it asked for. A
// missing price is NaN, and so is everything computed from it.
type lookup struct {
	p     *Prices
	names []string
	keys  []string
}

func (l *lookup) get(key string) float64 {
	v := math.NaN()
	if x, ok := l.p.Find(key, l.names...); ok {
		key, v = x.Key, x.SI
	}
	if !slices.Contains(l.keys, key) {
		l.keys = append(l.keys, key)
	}
	return v
}

// take returns the keys asked for since the last call.
func (l *lookup) take() []string {
	keys := l.keys
	l.keys = nil
	return keys
}

// hashprice is the revenue of a hash in $: as published, or computed.
func (l *lookup) hashprice() float64 {
	if l.p.has("hashprice") {
		return l.get("hashprice")
	}
	return hashprice(l.get("network_difficulty"), l.get("block_subsidy")+l.get("block_fees"), l.get("bitcoin_price"))
}

// power is the price of power in $/J: that of the sheet, or the mean of the
// series.
func (l *lookup) power() float64 {
	if l.p.has("power_price") || l.p.Hours == nil {
		return l.get("power_price")
	}
	l.keys = append(l.keys, hourly)
	return l.p.Hours.Mean()
}

// use is one way in which one machine earns money.
type use struct {
	candidate, product string
	metric             Figure                  // on which revenue depends
	watts              results.Provenance      // of the watts in it
	node               bool                    // mining on a machine that is not made for it
	card               bool                    // … by its cards
	ledger             func(x float64) Ledger  // for a value of the metric, per connected joule
	running            func(x float64) float64 // mining: revenue of a joule drawn, $/J
	capex              func(x float64) float64 // $/W of site power
	perPrice           float64                 // training: revenue at a price of 1, at the metric's value
	sale               Unit                    // training: the price's
	life, rate         float64
	revenueKeys        []string
	powerKeys          []string
	operationsKeys     []string
	capitalKeys        []string
	under              func(p *Prices) use // the same under other prices
}

func (u use) row() string { return strings.TrimSuffix(u.candidate+" "+u.product, " ") }
func (u use) keys() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys, u.capitalKeys))))
}
func (u use) value() float64 { return float64(u.metric.Value) }

// mine is mining on a candidate: an ASIC, whose price is by its hashrate, or a
// node, which has a price as a whole.
func mine(p *Prices, d Candidate, m Mining) use {
	l := lookup{p: p, names: []string{d.Name}}
	price, fee, uptime, pue := l.hashprice(), l.get("pool_fee"), l.get("mining_uptime"), l.get("pue_mining")
	u := use{
		candidate: d.Name, metric: m.Efficiency, watts: m.Efficiency.Provenance, node: len(d.Training) > 0 || m.Device != "", card: m.Device != "",
		under: func(p *Prices) use { return mine(p, d, m) },
	}
	if u.card {
		u.product = "on " + m.Device
	}
	u.revenueKeys = l.take()
	power := l.power()
	u.powerKeys = append(l.take(), "mining_uptime")
	operations := l.get("mining_operations")
	u.operationsKeys = l.take()
	machine := func(x float64) float64 { return math.NaN() } // $/W
	switch {
	case !u.node:
		asic := l.get("asic_price")
		machine = func(x float64) float64 { return asic / x }
	case known(m.Power):
		node := l.get("node_price") / float64(m.Power.Value)
		machine = func(float64) float64 { return node }
	}
	infrastructure := l.get("mining_capex")
	u.life, u.rate = l.get("mining_life"), l.get("discount_rate")
	u.capitalKeys = append(l.take(), "pue_mining")
	u.running = func(x float64) float64 { return breakEvenPower(price, x, pue, fee) }
	u.capex = func(x float64) float64 { return (machine(x) + infrastructure) / pue }
	u.ledger = func(x float64) Ledger {
		return Ledger{miningRevenue(price, x, pue, fee, uptime), power * uptime, operations, capitalPerEnergy(u.capex(x), u.rate, u.life, 1)}
	}
	return u
}

// rented is the number of GPUs of a workload that are rented out: those that worked,
// unless the sheet has fewer.
func (l *lookup) rented(t Training) float64 {
	n := float64(t.GPUs)
	if l.p.has("gpus_per_node") {
		if most := l.get("gpus_per_node"); most < n {
			n = most
		}
	}
	return n
}

// train is owned training that is sold by the sample or by the token, or a workload of GPUs that is
// sold by the GPU-hour.
func train(p *Prices, name string, t Training, rent bool) use {
	l := lookup{p: p, names: []string{t.Workload, name}}
	sold, fee, pue := l.get("training_utilisation"), l.get("marketplace_fee"), l.get("pue_training")
	u := use{candidate: name, under: func(p *Prices) use { return train(p, name, t, rent) }}
	var revenue func(x float64) float64
	var sale float64
	if rent {
		var gpus float64
		sale, gpus = l.get("gpu_hour_price"), l.rented(t)
		u.product, u.metric, u.sale, u.watts = "GPU-hours, "+t.named(), t.Power, quoted("gpu_hour_price"), t.Power.Provenance
		revenue = func(x float64) float64 { return rentRevenue(sale, gpus, sold, fee, x, pue) }
	} else {
		key := t.price()
		counted := map[string]string{"training_price": "samples, ", "token_price": "tokens, "}[key]
		sale = l.get(key)
		u.product, u.metric, u.sale, u.watts = counted+t.named(), t.PerJoule, quoted(key), weakest(t.PerJoule, t.Power)
		revenue = func(x float64) float64 { return sampleRevenue(sale, x, sold, fee, pue) }
	}
	u.perPrice = revenue(u.value()) / sale
	u.revenueKeys = l.take()
	power := l.power()
	u.powerKeys = l.take()
	operations := l.get("training_operations")
	u.operationsKeys = l.take()
	node, infrastructure := l.get("node_price"), l.get("training_capex")
	u.life, u.rate = l.get("training_life"), l.get("discount_rate")
	u.capitalKeys = append(l.take(), "pue_training")
	u.capex = func(x float64) float64 {
		w := float64(t.Power.Value)
		if rent {
			w = x
		}
		if !known(t.Power) {
			w = math.NaN()
		}
		return (node/w + infrastructure) / pue
	}
	u.ledger = func(x float64) Ledger {
		return Ledger{revenue(x), power, operations, capitalPerEnergy(u.capex(x), u.rate, u.life, 1)}
	}
	return u
}

// let is colocation: its ledger at a rent in $/(W·s), per connected joule.
func let(l *lookup) (ledger func(rent float64) Ledger, capex, perRent float64) {
	occupancy, pue, operations := l.get("colocation_occupancy"), l.get("pue_colocation"), l.get("colocation_operations")
	capex = l.get("retrofit_capex") / pue
	capital := capitalPerEnergy(capex, l.get("discount_rate"), l.get("retrofit_life"), 1)
	return func(rent float64) Ledger {
		return Ledger{colocationRevenue(rent, occupancy, pue), 0, operations, capital}
	}, capex, occupancy / pue
}

// isMeasured reports whether the watts were measured and of a grade that counts.
func isMeasured(p results.Provenance) bool { return p.Origin == results.Measured && p.Grade != "E" }

// weakest is the provenance of the first figure whose watts were not measured,
// or of the first figure.
func weakest(figures ...Figure) results.Provenance {
	for _, f := range figures {
		if !isMeasured(f.Provenance) {
			return f.Provenance
		}
	}
	return figures[0].Provenance
}

// partial reports whether watts at a boundary leave out a part of the node.
func partial(b results.Boundary) bool {
	return slices.Contains([]results.Boundary{results.Board, results.CardsPackages, results.Package, results.Cards, results.Card, results.Memory}, b)
}

// known reports whether a figure can be computed with.
func known(f Figure) bool { return f.Unit != "" && f.Value > 0 && finite(float64(f.Value)) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// span is f at the value of m and over its interval: that of the repeats,
// widened in quadrature by what the instrument adds. Without an interval of m
// the bounds are NaN.
func span(m results.Figure, f func(float64) float64) (v, lo, hi float64) {
	x := float64(m.Value)
	wide := func(bound results.Float) float64 {
		d := float64(bound) - x
		if !m.Instrument.IsAbsent() {
			d = math.Copysign(math.Hypot(d, x*float64(m.Instrument)*stats.Rectangular), d)
		}
		return math.Max(x+d, x*1e-9)
	}
	if m.Low.IsAbsent() || m.High.IsAbsent() {
		return f(x), math.NaN(), math.NaN()
	}
	a, b := f(wide(m.Low)), f(wide(m.High))
	return f(x), min(a, b), max(a, b)
}

// judge concludes from the side of 0 on which an interval lies. Nothing follows
// from watts that were not measured, and no gain from watts that leave out a
// part of the node.
func judge(f results.Figure, unfit stats.Reason, gain, loss Profitability) Profitability {
	switch {
	case !isMeasured(f.Provenance) || unfit != "" || f.Value.IsAbsent():
		return NoVerdict
	case f.Low > 0 && !partial(f.Boundary):
		return gain
	case f.High < 0:
		return loss
	}
	return CannotTell
}
