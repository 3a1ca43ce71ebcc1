package economics

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Figures that others have published, to the digits that they print.
func TestPublished(t *testing.T) {
	hashprice := func(v float64) float64 { return v / PHDay }
	alone, _, _ := reach(1e26, 1e15, 1e4, 1, 0)
	_, site, _ := reach(1e26, 1e15, 1e4, 1.3, 0)
	for _, c := range []struct {
		name      string
		got, want float64
		within    float64 // half of the last digit printed
	}{
		{"Luxor 2026-01-12, 17 J/TH, $/MWh", miningRevenue(hashprice(39.53), 17*PerTH, 1, 0, 1) * MWh, 96.9, 0.05},
		{"Luxor 2026-01-12, 21.96 J/TH, $/MWh", miningRevenue(hashprice(39.53), 21.96*PerTH, 1, 0, 1) * MWh, 75.0, 0.05},
		{"Luxor 2026-01-12, 32.3 J/TH, $/MWh", miningRevenue(hashprice(39.53), 32.3*PerTH, 1, 0, 1) * MWh, 51.0, 0.05},
		{"CoinShares, $30 and 21.5 J/TH, $/kWh", breakEvenPower(hashprice(30), 21.5*PerTH, 1, 0) * KWh, 0.0581, 0.00005},
		{"8 GPUs at 2.60, 80 %, 10.2 kW, PUE 1.3, $/MWh", rentRevenue(2.60/Hour, 8, 0.8, 0, 10200, 1.3) * MWh, 1255, 0.5},
		{"samples: p·3.6/(J/sample), $/kWh", sampleRevenue(2e-6, 1/0.5, 1, 0, 1) * KWh, 2 * 3.6 / 0.5, 1e-12},
		{"CRF of 10 % over 10 years (annuity tables)", capitalRecovery(0.10, 10), 0.162745, 5e-7},
		{"CRF of 5 % over 30 years (annuity tables)", capitalRecovery(0.05, 30), 0.065051, 5e-7},
		{"CRF of nothing", capitalRecovery(0, 4), 0.25, 0},
		{"a network of difficulty 146.47 T, EH/s", networkRate(146.47e12) / 1e18, 1048.47, 0.005},
		{"colocation at $130/kW/month, full, PUE 1, $/MWh", colocationRevenue(130e-3/Month, 1, 1) * MWh, 130e3 / 730, 1e-9},
		{"capital: $1M/MW at 10 % over 10 years, 90 % of the time, $/MWh", capitalPerEnergy(1, 0.10, 10, 0.9) * MWh, 1e6 * 0.16274539 / (8760 * 0.9), 1e-5},
		{"NPV of 100 and 110 in a year at 10 %", npv(0.10, []float64{100, 110}), 200, 1e-12},
		{"IRR of −100, 60, 60 (annuity tables: 13.066 %)", irr([]float64{-100, 60, 60}), 0.13066, 5e-6},
		{"1e26 FLOP at 1 PFLOP/s, node-years", alone / Year, 1e11 / 31536000, 1e-6},
		{"1e26 FLOP at 1e11 FLOP/J, PUE 1.3, MWh", site / MWh, 1.3e15 / 3.6e9, 1e-6},
	} {
		require.InDelta(t, c.want, c.got, c.within, c.name)
	}
}

// The page of 2026-01-12 prints a difficulty of 148.26 T beside a hashprice
// that belongs to 146.47 T: 1.2 % apart, and so above what is let pass.
func TestHashpriceAgainstDifficulty(t *testing.T) {
	said := hashprice(146.47e12, 3.145, 1e5)
	require.InDelta(t, 146.47e12, impliedDifficulty(said, 3.145, 1e5), 1)
	off := said/hashprice(148.26e12, 3.145, 1e5) - 1
	require.InDelta(t, 0.0122, off, 0.00005)
	require.Greater(t, off, hashpriceOff)
}

func TestCurtailment(t *testing.T) {
	s := curtailment(5, 0, []float64{3, 9, -2, 5})
	require.Equal(t, switching{Always: 1.25, Curtail: 2.25, On: 0.5}, s)
	require.Equal(t, 1.0, s.Worth())
	require.True(t, math.IsNaN(curtailment(5, 0, nil).Always))
	// Hours off are paid 3: the machine runs where it leaves 7, and is off in three of four.
	require.Equal(t, switching{Always: 1.25, Curtail: 4, On: 0.25}, curtailment(5, 3, []float64{3, 9, -2, 5}))
}

func TestPaybackAndFlows(t *testing.T) {
	require.Equal(t, 4.0, payback(8, 2))
	require.True(t, math.IsInf(payback(8, -1), 1))
	require.True(t, math.IsNaN(payback(math.NaN(), -1)))
	require.Equal(t, []float64{-10, 4, 1.5, 0.0625}, flows(10, 5, 1, -0.5, 2.25), "the third year counts a quarter")
}

func TestTornado(t *testing.T) {
	bars := tornado([]swing{{"narrow", 1, 0.9, 1.1}, {"wide", 2, 1, 3}}, func(v []float64) float64 { return v[0] - 2*v[1] })
	require.Equal(t, "wide", bars[0].Name)
	require.Equal(t, []float64{-1, -5}, []float64{bars[0].AtLow, bars[0].AtHigh})
	require.InDelta(t, -3.1, bars[1].AtLow, 1e-12)
}

// What must hold for any prices.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	in := func(lo, hi float64) float64 { return lo * math.Pow(hi/lo, r.Float64()) }
	const eps = 1e-9
	for range 2000 {
		h, j, pue, fee, up := in(1, 1000)/PHDay, in(5, 1e5)*PerTH, in(1, 2), r.Float64()*0.1, in(0.1, 1)
		power, ops, capex, rate, life := in(1, 500)/MWh, in(0.1, 50)/MWh, in(0.01, 20), r.Float64()*0.5, in(0.5, 20)
		ledger := func(h, power float64) Ledger {
			return Ledger{miningRevenue(h, j, pue, fee, up), power * up, ops, capitalPerEnergy(capex, rate, life, 1)}
		}
		l := ledger(h, power)

		require.Greater(t, ledger(h*1.01, power).Margin(), l.Margin(), "margin grows with the hashprice")
		require.Less(t, ledger(h, power*1.01).Margin(), l.Margin(), "margin falls with the power price")
		require.Greater(t, l.Cash(), l.Margin(), "capital costs")

		even := breakEvenPower(h, j, pue, fee)
		require.InDelta(t, 0, ledger(h, even).AfterPower()/l.Revenue, eps, "power at its break-even price is just earned")
		require.InEpsilon(t, j, breakEvenEfficiency(h, even, pue, fee), eps, "so it is by this very machine")

		perHash := in(1e-25, 1e-21)
		own := costPerBitcoin(j, pue, power, ops, up, perHash, fee)
		require.InDelta(t, 0, ledger(own*perHash, power).Cash()/power, 1e-6, "a bitcoin at its cost leaves no cash")

		// Payments of the capital recovery factor repay the loan.
		n := math.Ceil(life)
		loan := []float64{-1}
		for range int(n) {
			loan = append(loan, capitalRecovery(rate, n))
		}
		require.InDelta(t, 0, npv(rate, loan), 1e-9, "the annuity of a loan is worth the loan")
		require.InDelta(t, rate, irr(loan), 1e-6, "and its rate is the loan's")

		f := flows(capex, capex*in(0.1, 5), capex*in(0.01, 0.09), r.Float64()*0.3, n)
		if irr := irr(f); !math.IsNaN(irr) {
			require.InDelta(t, 0, npv(irr, f)/capex, 1e-6, "NPV at IRR is 0")
		}
		require.GreaterOrEqual(t, npv(0.1, f), npv(0.2, f), "later money is worth less")

		prices := make([]float64, 50)
		for i := range prices {
			prices[i] = r.NormFloat64() * power
		}
		s := curtailment(even, 0, prices)
		require.GreaterOrEqual(t, s.Worth(), 0.0, "the freedom to switch off is never worth less than nothing")
		require.GreaterOrEqual(t, s.Curtail, 0.0)
		paid := curtailment(even, in(0.1, 50)/MWh, prices)
		require.GreaterOrEqual(t, paid.Curtail, s.Curtail, "a credit is never worth less than nothing")
		require.LessOrEqual(t, paid.On, s.On, "and keeps no machine running")

		perPrice := sampleRevenue(1, in(1, 1e5), 0.8, 0.1, pue)
		costs := power + ops + capex/Year
		p := indifference(l.Margin(), costs, perPrice)
		require.InDelta(t, l.Margin(), p*perPrice-costs, eps*(math.Abs(l.Margin())+costs), "at the price of indifference the margins are equal")

		d := in(1, 1e15)
		require.InEpsilon(t, 1, networkShare(networkRate(d), d), eps)
		require.InEpsilon(t, 600, 1/(networkRate(d)*bitcoinPerHash(d, 1)), eps, "the whole network finds a block in ten minutes")
	}
}
