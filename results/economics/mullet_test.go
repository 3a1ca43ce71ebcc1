package economics

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// coRun is a GPU node with mining behind training: a fast miner, so that it can pay.
func coRun(hashes, watts, kept Figure) []Candidate {
	c := candidates()[1:2]
	c[0].Mullets[0].CoRunCost = results.CoRunCost{HashesGained: hashes.Figure, ExtraPower: watts.Figure, TrainingKept: kept.Figure}
	return c
}

func mulletOf(t *testing.T, c []Candidate, p Prices) (left Figure, verdict Profitability) {
	t.Helper()
	r := Evaluate(c, p, day(asOf))
	table, ok := r.Table("mullet")
	require.True(t, ok)
	require.Len(t, table.Rows, 1)
	return *table.Rows[0][column(table, "left")].Figure, table.Rows[0][column(table, "verdict")].Verdict
}

// The interval of what is left is that of its parts in quadrature, and the verdict
// follows from it under the rules of every verdict.
func TestMulletHasAnInterval(t *testing.T) {
	wall := func(v, part float64, unit results.Unit) Figure {
		return measured(v, part, unit, results.Wall, results.Measured)
	}
	p := sheet(t)
	perHash := lookupFor(&p).hashprice() * 0.98
	const thousand = 1000 * Hour
	hashes, watts, kept := wall(2e14, 0.01, "hash/s"), wall(3500, 0.02, results.Watt), wall(0.999, 0.0005, results.Ratio)
	left, verdict := mulletOf(t, coRun(hashes, watts, kept), p)
	revenue := 0.03e-6 * 20 * 10200 * 0.8 * thousand // 20 samples/J at 10.2 kW, 80 % sold
	earn, power := 2e14*perHash*thousand, 3500*1.3*40/MWh*thousand
	require.InEpsilon(t, earn-power-0.001*revenue, float64(left.Value), 1e-9)
	half := math.Sqrt(math.Pow(0.01*earn, 2) + math.Pow(0.02*power, 2) + math.Pow(0.0005*0.999*revenue, 2) + math.Pow(0.001*0.02*revenue, 2))
	require.InEpsilon(t, half, float64(left.High-left.Value), 1e-9)
	require.InEpsilon(t, half, float64(left.Value-left.Low), 1e-9)
	require.Equal(t, Earns, verdict)

	noInterval := hashes
	noInterval.Low, noInterval.High = results.Absent(), results.Absent()
	inside := watts
	inside.Boundary = results.CardsPackages
	modelled := watts
	modelled.Origin, modelled.Grade = results.Modelled, "E"
	unfit := coRun(hashes, watts, kept)
	unfit[0].Mullets[0].Unfit, unfit[0].Mullets[0].UnfitWhy = "breaks-rules", "it is not ranked"
	for _, c := range []struct {
		name string
		in   []Candidate
		want Profitability
	}{
		{"it loses", coRun(wall(1e9, 0.01, "hash/s"), watts, kept), Loses},
		{"the interval holds 0", coRun(hashes, watts, wall(0.999, 0.1, results.Ratio)), CannotTell},
		{"no interval", coRun(noInterval, watts, kept), CannotTell},
		{"watts inside the node show no gain", coRun(hashes, inside, kept), CannotTell},
		{"modelled watts", coRun(hashes, modelled, kept), NoVerdict},
		{"a record that may not be ranked", unfit, NoVerdict},
	} {
		_, verdict := mulletOf(t, c.in, p)
		require.Equal(t, c.want, verdict, c.name)
	}
}

// Hours off are paid: by the credit for what is not drawn, in mining alone and behind
// training.
func TestCurtailmentCredit(t *testing.T) {
	p := sheet(t)
	p.Hours = hours(t)
	paid := sheet(t, "curtailment_credit,500,$/MWh,2026-01-12,test,")
	paid.Hours = p.Hours
	r, with := Evaluate(candidates(), p, day(asOf)), Evaluate(candidates(), paid, day(asOf))
	// No hour leaves 500 $/MWh: everything is off, and paid.
	require.InEpsilon(t, 500*0.95, value(t, with, "economics/switching/asic/switched"), 1e-9)
	require.Zero(t, value(t, with, "economics/switching/asic/on"))
	require.Equal(t, value(t, r, "economics/switching/asic/always"), value(t, with, "economics/switching/asic/always"))
	require.Zero(t, value(t, r, "economics/mullet/gpu-node/switched"), "behind training it loses in every hour, and is off")
	require.InEpsilon(t, 500*0.1*1.3, value(t, with, "economics/mullet/gpu-node/switched"), 1e-9, "100 W behind a PUE of 1.3 for 1000 h")
	f, _ := with.Figure("economics/mullet/gpu-node/switched")
	require.Contains(t, f.Inputs, "curtailment_credit")
	require.Contains(t, f.Inputs, hourly)
}

// A faster card at the same rent makes cheaper tokens, by the hour and as one's own; what
// they cost is the price at which they break even without a marketplace's fee.
func TestCostOfWork(t *testing.T) {
	cost := func(speed float64, gpus int, column string) float64 {
		c := candidates()[1:2]
		c[0].Training[0].PerJoule, c[0].Training[0].GPUs = measured(20*speed, 0.02, "token/J", results.Wall, results.Measured), gpus
		r := Evaluate(c, sheet(t), day(asOf))
		return value(t, r, "economics/work/gpu-node-mlp/"+column)
	}
	// 204,000 tokens/s on eight cards at 2.60 $ an hour.
	require.InEpsilon(t, 8*2.60/3600/0.204, cost(1, 8, "rent"), 1e-9)
	require.InEpsilon(t, cost(1, 8, "rent")/2, cost(2, 8, "rent"), 1e-9)
	require.InEpsilon(t, cost(1, 8, "rent")/4, cost(1, 2, "rent"), 1e-9)
	require.InEpsilon(t, cost(1, 8, "all")/2, cost(2, 8, "all"), 1e-9)
	require.InEpsilon(t, 40*1.3/0.8/3600/20, cost(1, 8, "power"), 1e-9)
	r := whole(t)
	require.InEpsilon(t, value(t, r, "economics/training/gpu-node-samples-mlp/break-even"), value(t, r, "economics/work/gpu-node-mlp/all"), 1e-9)
	c := candidates()[1:2]
	c[0].Training[0].GPUs = 0
	table := Evaluate(c, sheet(t), day(asOf)).Tables
	for _, x := range table {
		if x.ID == "work" {
			require.Nil(t, x.Rows[0][len(x.Rows[0])-1].Figure, "a node without GPUs has no GPU-hour")
		}
	}
}
