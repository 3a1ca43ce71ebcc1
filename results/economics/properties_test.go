package economics

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// randomUse is a use of a kind at random terms within the limits of their keys, and a
// metric with an interval.
func randomUse(rng *rand.Rand, kind Kind) (Terms, measure) {
	around := func(v float64) float64 { return v * math.Exp(2*rng.Float64()-1) }
	var t Terms
	for i := range t {
		t[i] = math.NaN()
	}
	t[BitcoinPrice], t[Difficulty], t[Subsidy], t[Fees] = around(1e5), around(150e12), 3.125, around(0.02)
	if rng.IntN(2) == 0 {
		t[Hashprice] = around(45 / PHDay)
	}
	t[Fee], t[Share], t[PUE], t[Power], t[Operations] = rng.Float64()/4, 0.1+0.9*rng.Float64(), 1+rng.Float64(), around(50/MWh), around(5/MWh)
	t[Infrastructure], t[Life], t[Rate], t[Growth] = around(0.35), 1+9*rng.Float64(), rng.Float64()/4, rng.Float64()-0.5
	x := 0.0
	switch kind {
	case MiningASIC:
		x, t[Machine], t[Watts] = around(2e-11), around(15e-12), around(3500)
	case MiningNode:
		x, t[Machine], t[Watts] = around(4e-8), around(3e5), around(900)
	case Sold:
		x, t[Machine], t[Watts], t[Sale] = around(20), around(3e5), around(1e4), around(0.03e-6)
	case Rented:
		x, t[Machine], t[GPUs], t[Sale] = around(1e4), around(3e5), 8, around(2.6/Hour)
	}
	return t, measure{x, x * (1 - 0.2*rng.Float64()), x * (1 + 0.2*rng.Float64()), 0.05 * rng.Float64()}
}

// TestEconomicsHolds: what every price does to every use, whatever the prices are.
func TestEconomicsHolds(t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 8))
	sold := 0
	for range 2000 {
		for _, kind := range []Kind{MiningASIC, MiningNode, Sold, Rented} {
			terms, m := randomUse(rng, kind)
			margin := func(t Terms) float64 { return columnOf("margin", kind, t, m.Value) }
			with := func(term Term, v float64) Terms {
				changed := terms
				changed[term] = v
				return changed
			}
			base := margin(terms)
			require.False(t, math.IsNaN(base))

			// A dearer input never helps, a dearer product never harms.
			up := 1 + rng.Float64()
			for _, cost := range []Term{Power, Operations, Machine, Infrastructure, Rate} {
				require.LessOrEqual(t, margin(with(cost, terms[cost]*up)), base, "kind %d, term %d", kind, cost)
			}
			require.Less(t, margin(with(Power, terms[Power]*up)), base)
			product := []Term{Sale}
			if Mines(kind) {
				if product = []Term{BitcoinPrice}; !math.IsNaN(terms[Hashprice]) {
					product = []Term{Hashprice}
				} else {
					require.Less(t, margin(with(Difficulty, terms[Difficulty]*up)), base)
				}
			}
			for _, price := range product {
				require.Greater(t, margin(with(price, terms[price]*up)), base, "kind %d, term %d", kind, price)
			}
			share := min(1, terms[Share]*up)
			revenue := func(t Terms) float64 { return columnOf("revenue", kind, t, m.Value) }
			require.GreaterOrEqual(t, revenue(with(Share, share)), revenue(terms))
			if !Mines(kind) { // a node draws its power sold or not
				require.GreaterOrEqual(t, margin(with(Share, share)), base)
				sold++
			} else if breakEvenOf(kind, terms, m.Value) > terms[Power] { // and a miner only where it earns it
				require.GreaterOrEqual(t, margin(with(Share, share)), base)
			}

			// At the price at which it breaks even nothing is left: of the price of training
			// after all costs, of that of power after power.
			even := breakEvenOf(kind, terms, m.Value)
			scale := math.Abs(revenue(terms)) + columnOf("capital", kind, terms, m.Value) + terms[Operations]
			if Mines(kind) {
				require.InDelta(t, 0, columnOf("after-power", kind, with(Power, even), m.Value)/scale, 1e-12)
			} else {
				require.InDelta(t, 0, margin(with(Sale, even))/scale, 1e-9)
			}
			// … and of the hashprice after power and operations, and after capital.
			if Mines(kind) {
				require.InDelta(t, 0, columnOf("cash", kind, with(Hashprice, columnOf("hashprice/cash", kind, terms, m.Value)), m.Value)/scale, 1e-9)
				require.InDelta(t, 0, margin(with(Hashprice, columnOf("hashprice/margin", kind, terms, m.Value)))/scale, 1e-9)
			}

			// A machine that returns its price within its life has cash, and one that has a
			// margin returns it within its life.
			payback, cash := columnOf("payback", kind, terms, m.Value), columnOf("cash", kind, terms, m.Value)
			require.Positive(t, payback)
			require.Equal(t, cash > 0, !math.IsInf(payback, 1))
			if base > 0 {
				require.LessOrEqual(t, payback, terms[Life]*(1+1e-9))
			}

			// A figure is in its interval.
			for _, names := range followed {
				for _, column := range names {
					if f := spanning(m, func(x float64) float64 { return columnOf(column, kind, terms, x) }); !math.IsNaN(f.Low) {
						require.LessOrEqual(t, f.Low, f.Value, column)
						require.GreaterOrEqual(t, f.High, f.Value, column)
					}
				}
			}
		}
	}
	require.Equal(t, 4000, sold)
}

// TestCoRunHolds: what is left of mining behind training falls with the power price and
// with what is lost in front, rises with the hashprice, and is in its interval.
func TestCoRunHolds(t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 9))
	for range 2000 {
		terms, m := randomUse(rng, Sold)
		terms[PoolFee] = rng.Float64() / 4
		spread := func(v float64) measure {
			return measure{v, v * (1 - rng.Float64()/5), v * (1 + rng.Float64()/5), rng.Float64() / 20}
		}
		parts := []measure{spread(2e13), spread(100), spread(0.9), m}
		left := func(t Terms, of []measure) measure {
			return quadrature(func(v []float64) float64 { return coRunOf("mullet/left", Sold, t, v) }, of)
		}
		base := left(terms, parts)
		require.LessOrEqual(t, base.Low, base.Value)
		require.GreaterOrEqual(t, base.High, base.Value)
		dear, well := terms, terms
		dear[Power] *= 2
		well[Hashprice] = 2 * hashpriceOf(terms)
		require.Less(t, left(dear, parts).Value, base.Value)
		require.Greater(t, left(well, parts).Value, base.Value)
		less := []measure{parts[0], parts[1], spread(0.8), m}
		require.Less(t, left(terms, less).Value, base.Value)
	}
}

// Every column of a table that follows is computed by a formula and has its unit.
func TestFollowedAreComputed(t *testing.T) {
	rng := rand.New(rand.NewPCG(24, 10))
	for table, names := range followed {
		for _, name := range names {
			require.Contains(t, columns, name)
			terms, m := randomUse(rng, Sold)
			for _, set := range []Term{OwnRate, NetworkGrowth, Rent, Occupancy, LetPUE, LetOperations, Retrofit, RetrofitLife, GPUs, GPUHour, Power, Operations} {
				terms[set] = 1e-12
			}
			terms[Hashprice], terms[Growth], terms[PoolFee] = 1, 0, 0
			v := columnOf(name, Sold, terms, m.Value)
			if table == "mullet" {
				v = coRunOf(name, Sold, terms, []float64{1, 1, 1, 1})
			}
			require.False(t, math.IsNaN(v) && !strings.HasPrefix(name, "irr"), name)
		}
	}
	require.Equal(t, results.Float(1), results.Float(columnOf("hashprice/now", MiningASIC, Terms{Hashprice: 1}, 1)))
}
