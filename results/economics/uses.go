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
	terms Terms
	from  [terms]string // the keys of the prices in terms; empty for the others
}

// lookupFor is a lookup without any term yet.
func lookupFor(p *Prices, names ...string) *lookup {
	l := &lookup{p: p, names: names}
	for i := range l.terms {
		l.terms[i] = math.NaN()
	}
	return l
}

func (l *lookup) find(key string) (found string, v float64) {
	v = math.NaN()
	if x, ok := l.p.Find(key, l.names...); ok {
		key, v = x.Key, x.SI
	}
	if !slices.Contains(l.keys, key) {
		l.keys = append(l.keys, key)
	}
	return key, v
}

func (l *lookup) get(key string) float64 {
	_, v := l.find(key)
	return v
}

// set makes a price a term.
func (l *lookup) set(t Term, key string) { l.from[t], l.terms[t] = l.find(key) }

// take returns the keys asked for since the last call.
func (l *lookup) take() []string {
	keys := l.keys
	l.keys = nil
	return keys
}

// setHashprice sets the terms of the revenue of a hash.
func (l *lookup) setHashprice() {
	if l.p.has("hashprice") {
		l.set(Hashprice, "hashprice")
		return
	}
	l.set(Difficulty, "network_difficulty")
	l.set(Subsidy, "block_subsidy")
	l.set(Fees, "block_fees")
	l.set(BitcoinPrice, "bitcoin_price")
}

// hashprice is the revenue of a hash in $: as published, or computed.
func (l *lookup) hashprice() float64 {
	l.setHashprice()
	return hashpriceOf(l.terms)
}

// setPower sets the price of power: that of the sheet, or the mean of the series.
func (l *lookup) setPower() {
	if l.p.has("power_price") || l.p.Hours == nil {
		l.set(Power, "power_price")
		return
	}
	l.keys = append(l.keys, hourly)
	l.from[Power], l.terms[Power] = hourly, l.p.Hours.Mean()
}

// power is the price of power in $/J.
func (l *lookup) power() float64 {
	l.setPower()
	return l.terms[Power]
}

// use is one way in which one machine earns money.
type use struct {
	candidate, product string
	metric             Figure             // on which revenue depends
	watts              results.Provenance // of the watts in it
	node               bool               // mining on a machine that is not made for it
	card               bool               // … by its cards
	kind               Kind
	terms              Terms
	from               [terms]string // the keys of the prices in terms
	sale               Unit          // training: the price's
	published          bool          // by its maker, instead of measured
	power              []string      // the ID of the machine's watts, where they are known
	revenueKeys        []string
	powerKeys          []string
	operationsKeys     []string
	capitalKeys        []string
}

func (u use) row() string { return strings.TrimSuffix(u.candidate+" "+u.product, " ") }
func (u use) keys() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(u.revenueKeys, u.powerKeys, u.operationsKeys, u.capitalKeys))))
}

// machineKeys are the inputs of what one machine earns and costs.
func (u use) machineKeys() []string { return append(u.keys(), u.power...) }
func (u use) value() float64        { return float64(u.metric.Value) }

// ledger is the ledger for a value of the metric, per connected joule.
func (u use) ledger(x float64) Ledger { return ledgerOf(u.kind, u.terms, x) }

// running is the revenue of a joule drawn by a miner, in $/J.
func (u use) running(x float64) float64 { return breakEvenOf(u.kind, u.terms, x) }

// column is a figure of a ledger or an investment, in SI units.
func (u use) column(name string) func(x float64) float64 {
	return func(x float64) float64 { return columnOf(name, u.kind, u.terms, x) }
}

// priced limits a price at which training is sold.
func (u use) priced() limit {
	key, _, _ := strings.Cut(u.from[Sale], ".")
	return priced(key)
}

// under is the use with the price of one key changed, in SI units.
func (u use) under(key string, v float64) use {
	for i, from := range u.from {
		if from == key {
			u.terms[i] = v
		}
	}
	return u
}

// mine is mining on a candidate: an ASIC, whose price is by its hashrate, or a
// node, which has a price as a whole.
func mine(p *Prices, d Candidate, m Mining) use {
	l := lookupFor(p, d.Name)
	u := use{candidate: d.Name, metric: m.Efficiency, watts: m.Efficiency.Provenance, node: len(d.Training) > 0 || m.Device != "", card: m.Device != ""}
	if u.card {
		u.product = "on " + m.Device
	}
	if u.node {
		u.kind = MiningNode
	}
	l.setHashprice()
	l.set(Fee, "pool_fee")
	l.set(Share, "mining_uptime")
	l.set(PUE, "pue_mining")
	u.revenueKeys = l.take()
	l.setPower()
	u.powerKeys = append(l.take(), "mining_uptime")
	l.set(Operations, "mining_operations")
	u.operationsKeys = l.take()
	if known(m.Power) {
		l.terms[Watts], u.power = float64(m.Power.Value), []string{m.Power.ID}
	}
	switch {
	case !u.node:
		l.set(Machine, "asic_price")
	case known(m.Power):
		l.set(Machine, "node_price")
	}
	l.set(Infrastructure, "mining_capex")
	l.set(Life, "mining_life")
	l.set(Rate, "discount_rate")
	u.capitalKeys = append(l.take(), "pue_mining")
	u = u.at(l, "mining_growth")
	l.setNetwork()
	l.setLetting()
	u.terms, u.from = l.terms, l.from
	return u
}

// setNetwork sets the terms of the network and of the company's share of it.
func (l *lookup) setNetwork() {
	for t, key := range map[Term]string{BitcoinPrice: "bitcoin_price", Difficulty: "network_difficulty", Subsidy: "block_subsidy", Fees: "block_fees", OwnRate: "own_hashrate"} {
		l.set(t, key)
	}
	l.setNetworkGrowth()
}

// setNetworkGrowth sets the terms of the growth of the network: that of the sheet, or
// that since the earlier difficulty.
func (l *lookup) setNetworkGrowth() {
	now, ok := l.p.Find("network_difficulty")
	earlier, too := l.p.Find("network_difficulty_earlier")
	if l.p.has("network_growth") || !ok || !too {
		l.set(NetworkGrowth, "network_growth")
		return
	}
	l.set(Difficulty, "network_difficulty")
	l.set(Earlier, "network_difficulty_earlier")
	l.terms[Between] = between(now, earlier)
}

// setLetting sets the terms of letting the site.
func (l *lookup) setLetting() {
	l.set(Occupancy, "colocation_occupancy")
	l.set(LetPUE, "pue_colocation")
	l.set(LetOperations, "colocation_operations")
	l.set(Retrofit, "retrofit_capex")
	l.set(Rate, "discount_rate")
	l.set(RetrofitLife, "retrofit_life")
	l.set(Rent, "colocation_price")
}

// letting is letting the site to tenants who bring their machines, and the keys of its
// prices.
func letting(p *Prices) (use, []string) {
	l := lookupFor(p)
	l.setLetting()
	l.set(Life, "retrofit_life")
	return use{candidate: "site", watts: noWatts, kind: Letting, terms: l.terms, from: l.from}, l.keys
}

// at is the use with the terms of a lookup. Its revenue changes by a key, or else
// stays.
func (u use) at(l *lookup, growth string) use {
	if l.terms[Growth] = 0; l.p.has(growth) {
		l.set(Growth, growth)
	}
	u.terms, u.from = l.terms, l.from
	return u
}

// rented is the number of GPUs of a workload that are rented out.
func (l *lookup) rented(t Training) float64 {
	l.setGPUs(t)
	return rentedGPUs(l.terms)
}

func (l *lookup) setGPUs(t Training) {
	l.terms[GPUs] = float64(t.GPUs)
	if _, ok := l.p.Find("gpus_per_node", l.names...); ok {
		l.set(GPUsPerNode, "gpus_per_node")
	}
}

// train is owned training that is sold by the sample or by the token, or a workload of GPUs that is
// sold by the GPU-hour.
func train(p *Prices, name string, t Training, rent bool) use {
	l := lookupFor(p, t.Workload, name)
	l.set(Share, "training_utilisation")
	l.set(Fee, "marketplace_fee")
	l.set(PUE, "pue_training")
	u := use{candidate: name}
	if known(t.Power) {
		l.terms[Watts], u.power = float64(t.Power.Value), []string{t.Power.ID}
	}
	if rent {
		l.set(Sale, "gpu_hour_price")
		l.setGPUs(t)
		u.kind, u.product, u.metric, u.sale, u.watts = Rented, "GPU-hours, "+t.named(), t.Power, quoted("gpu_hour_price"), t.Power.Provenance
	} else {
		key := t.price()
		counted := map[string]string{"training_price": "samples, ", "token_price": "tokens, "}[key]
		l.set(Sale, key)
		u.kind, u.product, u.metric, u.sale, u.watts = Sold, counted+t.named(), t.PerJoule, quoted(key), weakest(t.PerJoule, t.Power)
	}
	u.revenueKeys = l.take()
	l.setPower()
	u.powerKeys = l.take()
	l.set(Operations, "training_operations")
	u.operationsKeys = l.take()
	l.set(Machine, "node_price")
	l.set(Infrastructure, "training_capex")
	l.set(Life, "training_life")
	l.set(Rate, "discount_rate")
	u.capitalKeys = append(l.take(), "pue_training")
	return u.at(l, "training_growth")
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

// measuredBy is a figure with NaN for what is absent.
func measuredBy(f results.Figure) measure {
	return measure{float64(f.Value), float64(f.Low), float64(f.High), float64(f.Instrument)}
}

// rectangular makes half of a 95 % interval of an instrument's bound.
const rectangular = stats.Rectangular

// judge concludes from the side of 0 on which an interval lies. Nothing follows
// from watts that were not measured, and no gain from watts that leave out a
// part of the node.
func judge(f results.Figure, unfit stats.Reason, gain, loss Profitability) Profitability {
	return sideOf(float64(f.Value), float64(f.Low), float64(f.High), isMeasured(f.Provenance) && unfit == "", !partial(f.Boundary), gain, loss)
}
