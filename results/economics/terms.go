package economics

import "math"

// What follows from the terms of a use is computed here, and nowhere else: the
// tables take it from these functions, and so does the page in a browser, for
// which javascript_test.go translates them. They take numbers and return
// numbers, in SI units; NaN is what is not known.

// Terms are the prices, conditions and counts on which one use of one machine
// depends, by [Term], in SI units; NaN is what is not known.
type Terms [terms]float64

// Term is an index of [Terms].
type Term = int

// The terms. Those of mining and of training have different keys in a sheet.
const (
	Hashprice      Term = iota // $/hash as published; NaN where the next four give it
	BitcoinPrice               // $/BTC
	Difficulty                 // 1
	Subsidy                    // BTC/block
	Fees                       // BTC/block
	Sale                       // $/sample, $/token or $/(GPU·s)
	GPUs                       // that worked, by the record
	GPUsPerNode                // that are rented out, by the sheet; NaN for all
	Fee                        // 1, of revenue: the pool's or the marketplace's
	Share                      // 1, of the time: uptime of miners, utilisation of nodes
	PUE                        // 1
	Power                      // $/J drawn
	Operations                 // $/J connected
	Machine                    // $/(hash/s) of an ASIC, or $/node
	Infrastructure             // $/W of machines
	Life                       // year
	Rate                       // 1/year
	Growth                     // 1/year, of revenue
	Watts                      // W of the machine at this use
	PoolFee                    // 1, of the hashes behind a training
	GPUHour                    // $/(GPU·s), where the work is also sold otherwise
	OwnRate                    // hash/s of the company
	NetworkGrowth              // 1/year as given; NaN where the next two give it
	Earlier                    // 1, the difficulty at an earlier date
	Between                    // s from that date to that of the difficulty
	Rent                       // $/(W·s) of a tenant's load
	Occupancy                  // 1, of the site that is let
	LetPUE                     // 1, of tenants
	LetOperations              // $/J connected
	Retrofit                   // $/W of servers
	RetrofitLife               // year
	terms          = iota
)

// Kind is how a machine earns.
type Kind = int

// The kinds of uses, with the metric on which each depends.
const (
	MiningASIC Kind = iota // J/hash
	MiningNode             // J/hash
	Sold                   // sample/J or token/J
	Rented                 // W
	Letting                // none: of the site, to tenants who bring their machines
)

// Mines reports whether a kind is mining.
func Mines(kind Kind) bool { return kind == MiningASIC || kind == MiningNode }

// hashpriceOf is the revenue of a hash in $: as published, or computed.
func hashpriceOf(t Terms) float64 {
	if !math.IsNaN(t[Hashprice]) {
		return t[Hashprice]
	}
	return hashprice(t[Difficulty], t[Subsidy]+t[Fees], t[BitcoinPrice])
}

// rentedGPUs is the number of GPUs that are rented out: those that worked, unless the
// sheet has fewer.
func rentedGPUs(t Terms) float64 {
	if t[GPUsPerNode] < t[GPUs] {
		return t[GPUsPerNode]
	}
	return t[GPUs]
}

// revenueOf is the revenue at a value x of the metric, in $/J connected.
func revenueOf(kind Kind, t Terms, x float64) float64 {
	switch kind {
	case Sold:
		return sampleRevenue(t[Sale], x, t[Share], t[Fee], t[PUE])
	case Rented:
		return rentRevenue(t[Sale], rentedGPUs(t), t[Share], t[Fee], x, t[PUE])
	case Letting:
		return colocationRevenue(t[Rent], t[Occupancy], t[LetPUE])
	}
	return miningRevenue(hashpriceOf(t), x, t[PUE], t[Fee], t[Share])
}

// wattsOf is the power of the machine at a value x of the metric, in W.
func wattsOf(kind Kind, t Terms, x float64) float64 {
	if kind == Rented {
		return x
	}
	return t[Watts]
}

// siteWattsOf is the site power that one machine connects, in W.
func siteWattsOf(kind Kind, t Terms, x float64) float64 { return wattsOf(kind, t, x) * t[PUE] }

// capexOf is the price of machine and infrastructure in $/W of site power.
func capexOf(kind Kind, t Terms, x float64) float64 {
	if kind == Letting {
		return retrofitOf(t)
	}
	machine := t[Machine] / wattsOf(kind, t, x)
	if kind == MiningASIC {
		machine = t[Machine] / x
	}
	return (machine + t[Infrastructure]) / t[PUE]
}

// ledgerOf is the ledger at a value x of the metric, per connected joule.
func ledgerOf(kind Kind, t Terms, x float64) Ledger {
	if kind == Letting {
		return letOf(t, t[Rent])
	}
	power := t[Power]
	if Mines(kind) {
		power = power * t[Share]
	}
	return Ledger{revenueOf(kind, t, x), power, t[Operations], capitalPerEnergy(capexOf(kind, t, x), t[Rate], t[Life], 1)}
}

// breakEvenOf is the price at which a use just pays: for mining the power price
// in $/J that a running machine earns, for training its price, in its unit, that
// pays for power, operations and capital.
func breakEvenOf(kind Kind, t Terms, x float64) float64 {
	if Mines(kind) {
		return breakEvenPower(hashpriceOf(t), x, t[PUE], t[Fee])
	}
	return equalPrice(0, kind, t, x)
}

// equalPrice is the price at which training has a margin in $/J, in its unit.
func equalPrice(margin float64, kind Kind, t Terms, x float64) float64 {
	l := ledgerOf(kind, t, x)
	return indifference(margin, l.Power+l.Operations+l.Capital, l.Revenue/t[Sale])
}

// crossoverOf is the price at which training has the margin of a use of another
// machine, whose kind, terms and metric follow, with times its revenue.
func crossoverOf(kind Kind, t Terms, x float64, otherKind Kind, other Terms, y float64, times float64) float64 {
	l := ledgerOf(otherKind, other, y)
	return equalPrice(l.Margin()+l.Revenue*(times-1), kind, t, x)
}

// efficiencyOf is the J/hash that just pays for power at a price in $/J, with times the
// revenue of a hash.
func efficiencyOf(t Terms, times, power float64) float64 {
	return breakEvenEfficiency(hashpriceOf(t)*times, power, t[PUE], t[Fee])
}

// guess is the part of a price by which it is moved where the sheet has no range.
const guess = 0.1

// rangeOf are the ends between which a price is moved, Low and High: those of the sheet,
// or so much less and more as guess says, within what the key allows; NaN is no end.
func rangeOf(price, low, high, least, most float64) measure {
	if math.IsNaN(low) {
		d := math.Abs(price) * guess
		return measure{price, max(least, price-d), min(most, price+d), math.NaN()}
	}
	return measure{price, low, high, math.NaN()}
}

// flowsOf is the cash of a use as an investment, in $/W at the ends of years.
func flowsOf(kind Kind, t Terms, x float64) []float64 {
	l := ledgerOf(kind, t, x)
	return flows(capexOf(kind, t, x), l.Revenue*Year, (l.Power+l.Operations)*Year, t[Growth], t[Life])
}

// squeezeOf is the growth of the network, as a part of what it is, at which the revenue
// of a hash just pays for power and operations.
func squeezeOf(l Ledger) float64 { return l.Revenue/(l.Power+l.Operations) - 1 }

// networkGrowthOf is the growth of the network in 1/year: as given, or since an earlier
// difficulty.
func networkGrowthOf(t Terms) float64 {
	if !math.IsNaN(t[NetworkGrowth]) {
		return t[NetworkGrowth]
	}
	return math.Pow(t[Difficulty]/t[Earlier], Year/t[Between]) - 1
}

// squeezedAfter is the time in years in which a network that grows by rate a year has
// grown by growth; NaN where it never has, or had before.
func squeezedAfter(growth, rate float64) float64 {
	if !(growth > 0 && rate > 0) {
		return math.NaN()
	}
	return math.Log1p(growth) / math.Log1p(rate)
}

// letOf is the ledger of letting the site at a rent in $/(W·s), per connected joule.
func letOf(t Terms, rent float64) Ledger {
	return Ledger{colocationRevenue(rent, t[Occupancy], t[LetPUE]), 0, t[LetOperations], capitalPerEnergy(retrofitOf(t), t[Rate], t[RetrofitLife], 1)}
}

// retrofitOf is the price of converting the site in $/W of site power.
func retrofitOf(t Terms) float64 { return t[Retrofit] / t[LetPUE] }

// columnOf is the figure in a column of a table, in SI units, at a value x of the
// metric. The columns of ledgers and investments have one name in all of them; those of
// other tables have the table's before theirs.
func columnOf(column string, kind Kind, t Terms, x float64) float64 {
	l := ledgerOf(kind, t, x)
	switch column {
	case "revenue":
		return l.Revenue
	case "power":
		return l.Power
	case "after-power":
		return l.AfterPower()
	case "operations":
		return l.Operations
	case "capital":
		return l.Capital
	case "margin":
		return l.Margin()
	case "daily":
		return l.Margin() * siteWattsOf(kind, t, x)
	case "break-even":
		return breakEvenOf(kind, t, x)
	case "capex":
		return capexOf(kind, t, x)
	case "machine":
		return capexOf(kind, t, x) * siteWattsOf(kind, t, x)
	case "cash":
		return l.Cash()
	case "payback":
		return payback(capexOf(kind, t, x), l.Cash()*Year)
	case "npv":
		return npv(t[Rate], flowsOf(kind, t, x))
	case "irr":
		return irr(flowsOf(kind, t, x))
	case "hashprice/cash":
		return indifference(0, l.Power+l.Operations, l.Revenue/hashpriceOf(t))
	case "hashprice/margin":
		return indifference(0, l.Power+l.Operations+l.Capital, l.Revenue/hashpriceOf(t))
	case "hashprice/now":
		return hashpriceOf(t)
	case "bitcoin/cost":
		return costPerBitcoin(x, t[PUE], t[Power], t[Operations], t[Share], bitcoinPerHash(t[Difficulty], t[Subsidy]+t[Fees]), t[Fee])
	case "bitcoin/now":
		return t[BitcoinPrice]
	case "squeeze/growth":
		return squeezeOf(l)
	case "squeeze/difficulty":
		return t[Difficulty] * (1 + squeezeOf(l))
	case "squeeze/after":
		return squeezedAfter(squeezeOf(l), networkGrowthOf(t))
	case "squeeze/share":
		return networkShare(t[OwnRate], t[Difficulty]) / (1 + squeezeOf(l))
	case "work/power":
		return l.Power / sampleRevenue(1, x, t[Share], 0, t[PUE])
	case "work/operations":
		return l.Operations / sampleRevenue(1, x, t[Share], 0, t[PUE])
	case "work/capital":
		return l.Capital / sampleRevenue(1, x, t[Share], 0, t[PUE])
	case "work/all":
		return (l.Power + l.Operations + l.Capital) / sampleRevenue(1, x, t[Share], 0, t[PUE])
	case "work/rent":
		return t[GPUHour] * rentedGPUs(t) / (x * t[Watts])
	case "retrofit/cash":
		return max(0, l.Cash())
	case "retrofit/rent":
		costs := letOf(t, 0)
		return indifference(max(0, l.Cash()), costs.Operations+costs.Capital, t[Occupancy]/t[LetPUE])
	case "retrofit/now":
		return t[Rent]
	case "retrofit/payback":
		tenant := letOf(t, t[Rent])
		return payback(retrofitOf(t), (tenant.Cash()-max(0, l.Cash()))*Year)
	}
	return math.NaN()
}

// coRunOf is the figure in a column of the table of co-runs, in W or $/s: v are the
// hash/s behind a training, the W that they add, what is kept in front as a part, and the
// metric of the training, of a kind and terms.
func coRunOf(column string, kind Kind, t Terms, v []float64) float64 {
	earn, power := v[0]*(hashpriceOf(t)*(1-t[PoolFee])), v[1]*t[PUE]*t[Power]
	forgone := (1 - v[2]) * revenueOf(kind, t, v[3]) * t[Watts] * t[PUE]
	switch column {
	case "mullet/earn":
		return earn
	case "mullet/power":
		return power
	case "mullet/forgone":
		return forgone
	}
	return earn - power - forgone
}

// outside reports whether a value is beyond limits, but for rounding.
func outside(v, low, high float64) bool {
	const rounding = 1e-9
	return v < low-rounding*math.Abs(low) || v > high+rounding*math.Abs(high)
}

// leftOut reports whether tables leave out a figure v of a column: it has no sale to
// rest on, or a value that nothing could reach: low and high are the limits that do not
// follow from the terms, NaN for none. All in SI units.
//
//lint:ignore U1000 it is translated to JavaScript, where the limits of [Cell.within] are data
func leftOut(column string, kind Kind, t Terms, x, v, low, high float64) bool {
	switch column {
	case "margin", "after-power", "daily":
		return revenueOf(kind, t, x) == 0
	case "payback", "squeeze/after":
		return outside(v, 0, t[Life])
	case "retrofit/payback":
		return outside(v, 0, t[RetrofitLife])
	case "irr":
		return outside(v, -1, 1/soonest)
	}
	return outside(v, low, high)
}

// measure is a measured value with its interval, and what the instrument adds to
// it as a part of the value; NaN is what is not known.
type measure struct{ Value, Low, High, Instrument float64 }

// widened is how far one end of the interval is from the value, with what the instrument
// adds in quadrature.
func (m measure) widened(end float64) float64 {
	d := end - m.Value
	if !math.IsNaN(m.Instrument) {
		add := m.Value * m.Instrument * rectangular
		wide := math.Sqrt(d*d + add*add)
		if d < 0 {
			wide = -wide
		}
		d = wide
	}
	return d
}

// bound is one end of the interval, widened by the instrument, of a value above 0.
func (m measure) bound(end float64) float64 { return max(m.Value+m.widened(end), m.Value*1e-9) }

// follow is f at the value of m and over its interval: that of the repeats,
// widened by what the instrument adds. The bounds are NaN without an interval of m.
func follow(m measure, f func(x float64) float64) measure {
	out := measure{f(m.Value), math.NaN(), math.NaN(), math.NaN()}
	if math.IsNaN(m.Low) || math.IsNaN(m.High) {
		return out
	}
	a, b := f(m.bound(m.Low)), f(m.bound(m.High))
	out.Low, out.High = min(a, b), max(a, b)
	return out
}

// spanning is f over the interval of m, without an interval where it does not
// depend on the metric.
func spanning(m measure, f func(x float64) float64) measure {
	out := follow(m, f)
	if out.Low == out.High && f(2*m.Value) == out.Value {
		out.Low, out.High = math.NaN(), math.NaN()
	}
	return out
}

// quadrature is f of several measures, with the interval that follows from moving each to
// its ends with the others fixed: that of the repeats, widened by what the instrument
// adds. Without an interval of a measure on which f depends there is none.
func quadrature(f func(v []float64) float64, of []measure) measure {
	at := []float64{}
	for _, m := range of {
		at = append(at, m.Value)
	}
	value := f(at)
	down, up := 0.0, 0.0
	for i, m := range of {
		if f(moved(at, i, m.Value+1)) != value {
			low, high := 0.0, 0.0
			for _, end := range []float64{m.Low, m.High} {
				by := f(moved(at, i, m.Value+m.widened(end))) - value
				low, high = min(low, by), max(high, by)
			}
			down, up = math.Sqrt(down*down+low*low), math.Sqrt(up*up+high*high)
		}
	}
	return measure{value, value - down, value + up, math.NaN()}
}

// moved is v with another value at i.
func moved(v []float64, i int, value float64) []float64 {
	out := []float64{}
	for k, x := range v {
		if k == i {
			out = append(out, value)
		} else {
			out = append(out, x)
		}
	}
	return out
}

// sideOf says on which side of 0 an interval lies. counts is false where no verdict
// may rest on the watts, and gains where they leave out a part of the node.
func sideOf(value, low, high float64, counts, gains bool, gain, loss Profitability) Profitability {
	switch {
	case !counts || math.IsNaN(value):
		return NoVerdict
	case low > 0 && gains:
		return gain
	case high < 0:
		return loss
	}
	return CannotTell
}

// verdictIn is the verdict that rests on a figure of a column, in a unit of a factor to
// SI, and its interval; empty for a column on which none rests. The arguments after it
// are those of [sideOf].
//
//lint:ignore U1000 it is translated to JavaScript
func verdictIn(column string, t Terms, factor, value, low, high float64, counts, gains bool) Profitability {
	switch column {
	case "margin", "mullet/left":
		return sideOf(value, low, high, counts, gains, Earns, Loses)
	case "hashprice/cash":
		now := hashpriceOf(t) / factor
		return sideOf(now-value, now-high, now-low, counts, gains, BelowPrice, AbovePrice)
	case "bitcoin/cost":
		now := t[BitcoinPrice] / factor
		return sideOf(now-value, now-high, now-low, counts, gains, BelowPrice, AbovePrice)
	}
	return ""
}
