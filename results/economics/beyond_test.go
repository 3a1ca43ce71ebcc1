package economics

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// What nothing could reach is left out of the tables with one line; its value stays for
// programs, with the reason. Each case is one that a page printed once.
func TestBeyond(t *testing.T) {
	slow := func() []Candidate { // a server without cards
		c := candidates()[1:2]
		w := &c[0].Training[0]
		w.GPUs, w.FlopRate, w.Power = 0, measured(8e10, 0.01, perSecond, "", results.Measured), measured(300, 0.01, results.Watt, results.Wall, results.Measured)
		c[0].Mining[0].Efficiency = measured(3.2e-7, 0.02, perHash, results.Wall, results.Measured)
		return c
	}
	asic := func() []Candidate {
		c := candidates()[:1]
		c[0].Mining[0].Power = measured(3500, 0.01, results.Watt, results.Wall, results.Measured)
		return c
	}
	for _, c := range []struct {
		name, figure, why string
		in                []Candidate
		prices            Prices
		stays             string // a figure of the same table that is not left out
	}{
		{"3.5e10 node-hours", "economics/thresholds/eu-ai-act-systemic-risk-gpu-node-mlp/time", "beyond what 10000 machines do in a life of 4 years", slow(), sheet(t), ""},
		{"and the energy of that time", "economics/thresholds/california-sb-53-gpu-node-mlp/energy", "10000 machines", slow(), without(sheet(t), "training_life"), ""},
		{"883714417 $/BTC", "economics/bitcoin/gpu-node/cost", "beyond any bitcoin_price, from 1 to 100,000,000 $/BTC", slow(), sheet(t), "economics/bitcoin/antminer-s21/cost"},
		{"a payback after the end", "economics/mining-investment/asic/payback", "beyond the life of what is paid for, 4 years", asic(), sheet(t, "asic_price.asic,40,$/TH,2026-01-12,test,"), "economics/mining-investment/asic/capex"},
		{"a rate of 10^6 %", "economics/mining-investment/asic/irr", "within a month", asic(), with(with(sheet(t), "asic_price", 0), "mining_capex", 100), "economics/mining-investment/asic/cash"},
		{"a margin where nothing is sold", "economics/training/gpu-node-gpu-hours-mlp/margin", "sells nothing", candidates()[1:2], with(sheet(t), "training_utilisation", 0), "economics/training/gpu-node-gpu-hours-mlp/power"},
		{"an empty site", "economics/colocation/site/margin", "sells nothing", nil, with(sheet(t), "colocation_occupancy", 0), "economics/colocation/site/operations"},
		{"a price below any", "economics/indifference/gpu-node-gpu-hours-mlp-against-asic/1", "beyond any gpu_hour_price", candidates()[:2], with(with(with(with(sheet(t), "power_price", -1000), "node_price", 0), "training_capex", 0), "mining_uptime", 1), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Evaluate(c.in, c.prices, day(asOf))
			f, ok := r.Figure(c.figure)
			require.True(t, ok)
			require.False(t, f.Value.IsAbsent(), "programs have it")
			require.Equal(t, Beyond, f.Status)
			require.Contains(t, f.Why, c.why)
			raw, err := json.Marshal(f)
			require.NoError(t, err)
			require.Contains(t, string(raw), `"status":"beyond"`)
			table, _ := r.Table(f.Table)
			require.Len(t, slices.DeleteFunc(slices.Clone(table.Notes), func(n string) bool { return !strings.Contains(n, " left out: ") }), 1, "one line")
			printed := false
			for _, row := range table.Stripped().Rows {
				for _, cell := range row {
					printed = printed || cell.Figure != nil && cell.Figure.ID == c.stays
					if cell.Figure != nil && cell.Figure.ID == c.figure {
						require.True(t, cell.LeftOut())
					}
				}
			}
			require.Equal(t, c.stays != "", printed)
			at := column(table, "verdict")
			for _, row := range table.Rows {
				if strings.Contains(f.Why, "sells nothing") && at >= 0 {
					require.Equal(t, NoVerdict, row[at].Verdict)
				}
			}
		})
	}
	// What a site can do stays.
	r := Evaluate(candidates(), sheet(t), day(asOf))
	f, ok := r.Figure("economics/thresholds/california-sb-53-gpu-node-mlp/time")
	require.True(t, ok)
	require.Empty(t, f.Status)
}

// with is a sheet with the general price of a key in the key's first unit.
func with(p Prices, key string, v float64) Prices {
	p.Sheet = slices.Clone(p.Sheet)
	i := slices.IndexFunc(p.Sheet, func(x Price) bool { return x.Key == key })
	p.Sheet[i].Value, p.Sheet[i].SI = v, v*p.Sheet[i].factor
	return p
}

// Only what may be judged has a machine to be held against; a processor is no miner.
func TestBestMiner(t *testing.T) {
	in := candidates()
	in[1].Mining[0].Efficiency = measured(1e-12, 0.02, perHash, results.Wall, results.Measured)
	r := Evaluate(in, sheet(t), day(asOf))
	name, best := r.BestMiner()
	require.Equal(t, "ASIC", name, "though others publish less")
	require.True(t, best.Judged())
	for _, spoil := range []func(f *Figure){
		func(f *Figure) { f.Unfit = "breaks-rules" },
		func(f *Figure) { f.Origin = results.Modelled },
		func(f *Figure) { f.Boundary = results.Board },
	} {
		in := candidates()
		spoil(&in[0].Mining[0].Efficiency)
		r := Evaluate(in, sheet(t), day(asOf))
		name, best := r.BestMiner()
		require.Equal(t, "Antminer S21 XP", name)
		require.False(t, best.Judged())
	}
}

// Whatever rests on a figure that may not be ranked says so.
func TestUnfitFollows(t *testing.T) {
	in := candidates()
	in[1].Training[0].Power.Unfit, in[1].Training[0].Power.UnfitWhy = "breaks-rules", "it is not ranked"
	in[1].Training[0].Power.ID = "GPU node W"
	r := Evaluate(in, sheet(t), day(asOf))
	n := 0
	for f := range r.Figures() {
		if slices.Contains(f.Inputs, "GPU node W") {
			n++
			require.Equal(t, "it is not ranked", f.UnfitWhy, f.ID)
		}
	}
	require.Greater(t, n, 10)
}
