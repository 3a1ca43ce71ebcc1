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
	machine := t[Machine] / wattsOf(kind, t, x)
	if kind == MiningASIC {
		machine = t[Machine] / x
	}
	return (machine + t[Infrastructure]) / t[PUE]
}

// ledgerOf is the ledger at a value x of the metric, per connected joule.
func ledgerOf(kind Kind, t Terms, x float64) Ledger {
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

// flowsOf is the cash of a use as an investment, in $/W at the ends of years.
func flowsOf(kind Kind, t Terms, x float64) []float64 {
	l := ledgerOf(kind, t, x)
	return flows(capexOf(kind, t, x), l.Revenue*Year, (l.Power+l.Operations)*Year, t[Growth], t[Life])
}

// columnOf is the figure in a column of the ledgers and of the investments, in SI
// units, at a value x of the metric.
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
	}
	return math.NaN()
}

// outside reports whether a value is beyond limits, but for rounding.
func outside(v, low, high float64) bool {
	const rounding = 1e-9
	return v < low-rounding*math.Abs(low) || v > high+rounding*math.Abs(high)
}

// leftOut reports whether tables leave out a figure v of a column: it has no sale to
// rest on, or a value that nothing could reach. The limits are of the price at which
// the use breaks even. All in SI units.
//
//lint:ignore U1000 it is translated to JavaScript, where the limits of [Cell.within] are data
func leftOut(column string, kind Kind, t Terms, x, v, low, high float64) bool {
	switch column {
	case "margin", "after-power", "daily":
		return revenueOf(kind, t, x) == 0
	case "break-even":
		return outside(v, low, high)
	case "payback":
		return outside(v, 0, t[Life])
	case "irr":
		return outside(v, -1, 1/soonest)
	}
	return false
}

// measure is a measured value with its interval, and what the instrument adds to
// it as a part of the value; NaN is what is not known.
type measure struct{ Value, Low, High, Instrument float64 }

// bound is one end of the interval, widened by the instrument in quadrature.
func (m measure) bound(end float64) float64 {
	d := end - m.Value
	if !math.IsNaN(m.Instrument) {
		add := m.Value * m.Instrument * rectangular
		wide := math.Sqrt(d*d + add*add)
		if d < 0 {
			wide = -wide
		}
		d = wide
	}
	return max(m.Value+d, m.Value*1e-9)
}

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
