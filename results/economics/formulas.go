package economics

import (
	"cmp"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
)

// Quoted units in SI ones.
const (
	Hour  = 3600.0     // s
	Day   = 24 * Hour  // s
	Year  = 365 * Day  // s, the 8760 hours of the trade
	Month = Year / 12  // s, 730 hours
	KWh   = 1e3 * Hour // J
	MWh   = 1e6 * Hour // J
	TH    = 1e12       // hash
	PHDay = 1e15 * Day // hash: a day of 1 PH/s
	PerTH = 1 / TH     // J/TH in J/hash

	work  = 1 << 32 // hashes a unit of difficulty
	block = 600.0   // s, for which the protocol aims
)

// bitcoinPerHash is the revenue of a hash before the pool's fee, in BTC/hash.
//
//	[BTC/block] / ([1]·[hash]) per block = [BTC/hash]
//
// Difficulty·2^32 hashes find one block on average (Bitcoin Core, GetBlockProof
// and the difficulty-1 target 0xffff·2^208); reward is subsidy and fees.
func bitcoinPerHash(difficulty, reward float64) float64 { return reward / (difficulty * work) }

// hashprice is the revenue of a hash in $/hash; × [PHDay] gives $/PH/day.
//
//	[BTC/hash]·[$/BTC] = [$/hash]
//
// Luxor's definition: the expected value of a unit of hashrate for a day.
func hashprice(difficulty, reward, price float64) float64 {
	return bitcoinPerHash(difficulty, reward) * price
}

// impliedDifficulty is the difficulty at which a hash earns hashprice in $/hash.
func impliedDifficulty(hashprice, reward, price float64) float64 {
	return reward * price / (hashprice * work)
}

// networkRate is the hashrate in hash/s that finds a block in ten minutes.
func networkRate(difficulty float64) float64 { return difficulty * work / block }

// networkShare is the share of the network of a hashrate in hash/s.
func networkShare(rate, difficulty float64) float64 { return rate / networkRate(difficulty) }

// miningRevenue is the revenue of mining in $/J of connected site power.
//
//	[$/hash] / ([J/hash]·[1]) · [1]·[1] = [$/J]
//
// hashprice·1000/(24·J/TH·PUE)·(1−fee)·uptime in $/MWh, as Luxor tabulates it.
func miningRevenue(hashprice, joulePerHash, pue, fee, uptime float64) float64 {
	return breakEvenPower(hashprice, joulePerHash, pue, fee) * uptime
}

// breakEvenPower is the power price in $/J at which mining just pays for its
// power. It is independent of uptime: a machine that is off neither earns nor
// draws.
//
//	[$/hash] / ([J/hash]·[1]) · [1] = [$/J]
func breakEvenPower(hashprice, joulePerHash, pue, fee float64) float64 {
	return hashprice / (joulePerHash * pue) * (1 - fee)
}

// breakEvenEfficiency is the J/hash at which a machine just pays for its power.
func breakEvenEfficiency(hashprice, power, pue, fee float64) float64 {
	if power <= 0 {
		return math.Inf(1) // any machine pays for free power
	}
	return hashprice / (power * pue) * (1 - fee)
}

// rentRevenue is the revenue of a node rented by the GPU, in $/J of site power.
//
//	[$/(GPU·s)]·[GPU]·[1]·[1] / ([W]·[1]) = [$/J]
func rentRevenue(rent, gpus, utilisation, fee, watts, pue float64) float64 {
	return rent * gpus * utilisation * (1 - fee) / (watts * pue)
}

// sampleRevenue is the revenue of training sold by the sample, in $/J of site
// power; of tokens likewise.
//
//	[$/sample]·[sample/J]·[1]·[1] / [1] = [$/J]
func sampleRevenue(price, samplesPerJoule, utilisation, fee, pue float64) float64 {
	return price * samplesPerJoule * utilisation * (1 - fee) / pue
}

// colocationRevenue is the revenue of letting the site, in $/J of site power. The
// tenant pays for power and brings the machines, so neither is included.
//
//	[$/(W·s)]·[1] / [1] = [$/J]
func colocationRevenue(rent, occupancy, pue float64) float64 { return rent * occupancy / pue }

// capitalRecovery is the yearly payment on a loan of 1 over a number of years, in
// 1/year: r/(1−(1+r)^−n), and 1/n for r = 0.
func capitalRecovery(rate, years float64) float64 {
	if rate == 0 {
		return 1 / years
	}
	return rate / -math.Expm1(-years*math.Log1p(rate))
}

// capitalPerEnergy spreads capex in $/W over the energy of the depreciation
// period, in $/J: the connected energy for an uptime of 1, the energy drawn for
// less.
//
//	[$/W]·[1/year] / ([s/year]·[1]) = [$/J]
func capitalPerEnergy(capex, rate, years, uptime float64) float64 {
	return capex * capitalRecovery(rate, years) / (Year * uptime)
}

// Ledger is the revenue and the costs of one connected joule, in $/J. An unknown
// part is NaN, and so is everything computed from it.
type Ledger struct{ Revenue, Power, Operations, Capital float64 }

// AfterPower is revenue − power.
func (l Ledger) AfterPower() float64 { return l.Revenue - l.Power }

// Cash is revenue − power − operations, with capital sunk.
func (l Ledger) Cash() float64 { return l.AfterPower() - l.Operations }

// Margin is revenue − power − operations − capital.
func (l Ledger) Margin() float64 { return l.Cash() - l.Capital }

// costPerBitcoin is the cost of power and operations for one bitcoin, in $/BTC,
// to be compared with its price. Power is in $/J drawn, operations in $/J
// connected.
//
//	[J/hash]·[1]·([$/J] + [$/J]/[1]) / ([BTC/hash]·[1]) = [$/BTC]
func costPerBitcoin(joulePerHash, pue, power, operations, uptime, bitcoinPerHash, fee float64) float64 {
	return joulePerHash * pue * (power + operations/uptime) / (bitcoinPerHash * (1 - fee))
}

// switching is the value of being able to switch off.
type switching struct {
	Always  float64 // $/J, running through every period
	Curtail float64 // $/J connected, off whenever that pays more
	On      float64 // part of the time, 0 to 1
}

// Worth is the gain by curtailment, in $/J.
func (s switching) Worth() float64 { return s.Curtail - s.Always }

// curtailment compares running always with being off in each period in which running
// leaves less than the credit for the energy that is not drawn: revenue is that of a
// running machine, and no period leaves less than max(revenue − power price, credit). All
// in $/J; NaN without prices.
func curtailment(revenue, credit float64, prices []float64) switching {
	var s switching
	for _, p := range prices {
		left := revenue - p
		s.Always += left
		s.Curtail += max(left, credit)
		if left > credit {
			s.On++
		}
	}
	n := float64(len(prices))
	return switching{s.Always / n, s.Curtail / n, s.On / n}
}

// payback is the time in years in which yearly cash in $/W returns capex in $/W;
// +Inf if it never does.
func payback(capex, cash float64) float64 {
	if cash <= 0 && capex > 0 {
		return math.Inf(1)
	}
	return capex / cash
}

// flows is the cash of an investment at the ends of years 0, 1, 2 …: capex is
// paid first, revenue changes by growth per year, costs are constant. A partial
// last year counts partially. All in $/W.
func flows(capex, revenue, costs, growth, years float64) []float64 {
	flows := []float64{-capex}
	for y := 0.0; y < years; y++ {
		flows = append(flows, (revenue*math.Pow(1+growth, y)-costs)*min(1, years-y))
	}
	return flows
}

// npv is the present value of yearly flows, the first of them now.
func npv(rate float64, flows []float64) float64 {
	sum := 0.0
	for i := len(flows) - 1; i >= 0; i-- {
		sum = sum/(1+rate) + flows[i]
	}
	return sum
}

// irr is the rate, from −99 % to 1,000,000 %, at which the NPV of the flows is 0,
// for flows that change sign once; NaN if there is none.
func irr(flows []float64) float64 {
	low, high := -0.99, 1e4
	at := npv(low, flows)
	if !(at*npv(high, flows) <= 0) || at == 0 {
		return math.NaN()
	}
	for range 200 {
		mid := (low + high) / 2
		if v := npv(mid, flows); v == 0 {
			return mid
		} else if (v > 0) == (at > 0) {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// swing is an input with its range.
type swing struct {
	Name             string
	Value, Low, High float64
}

// bar is the margin at both ends of one input, the others fixed.
type bar struct {
	swing
	AtLow, AtHigh float64
}

// tornado moves each input to its low and its high end and returns the margins,
// the widest bar first.
func tornado(swings []swing, margin func([]float64) float64) []bar {
	values := make([]float64, len(swings))
	for i, s := range swings {
		values[i] = s.Value
	}
	bars := make([]bar, len(swings))
	for i, s := range swings {
		at := func(v float64) float64 {
			moved := slices.Clone(values)
			moved[i] = v
			return margin(moved)
		}
		bars[i] = bar{s, at(s.Low), at(s.High)}
	}
	results.SortStable(bars, func(a, b bar) int {
		return cmp.Compare(math.Abs(b.AtHigh-b.AtLow), math.Abs(a.AtHigh-a.AtLow))
	})
	return bars
}

// indifference is the price at which training, after its own costs, has a given
// margin; perPrice is its revenue at a price of 1. Margin and costs in $/J.
//
//	[$/J] / ([$/J]/[$/unit]) = [$/unit]
func indifference(margin, costs, perPrice float64) float64 { return (margin + costs) / perPrice }

// reach returns what one node of rate FLOP/s and a power in W needs for a number
// of FLOP: the time in s, the energy in J at the site, and the cost of that
// energy in $. Several nodes divide the time and need the same energy.
func reach(flop, rate, watts, pue, power float64) (time, energy, cost float64) {
	time = flop / rate
	energy = time * watts * pue
	return time, energy, energy * power
}
