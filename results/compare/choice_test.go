package compare

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/stats"
)

func choice(t *testing.T, c *Comparison, table string) Choice {
	t.Helper()
	i := slices.IndexFunc(c.Choices, func(x Choice) bool { return x.Table == table })
	require.GreaterOrEqual(t, i, 0, table)
	return c.Choices[i]
}

func place(t *testing.T, x Choice, candidate string) Place {
	t.Helper()
	i := slices.IndexFunc(x.Places, func(p Place) bool { return p.Candidate == candidate })
	require.GreaterOrEqual(t, i, 0, candidate)
	return x.Places[i]
}

// placesOf are the places in words: south 1, north 2, west other-boundary.
func placesOf(x Choice) (out []string) {
	for _, p := range x.Places {
		out = append(out, p.Candidate+" "+cmp.Or(string(p.Reason), fmt.Sprint(p.Place)))
	}
	return out
}

// altered are sessions that somebody changed.
func altered(n resultstest.Node, k int, seed uint64, f func(r *results.Record)) []*results.Record {
	out := sessions(n, k, seed)
	for _, r := range out {
		f(r)
		r.Summary = results.Derive(r)
	}
	return out
}

func atChassis(r *results.Record) {
	r.Meters[0].Channels[0].Boundary, r.Meters[0].Channels[0].Total = results.Chassis, results.Chassis
}

func modelled(r *results.Record) { r.Meters[0].Channels[0].Origin = results.Modelled }

func miner(name string, k int) (out []*results.Record) {
	for n := range k {
		r, _ := resultstest.Device{Name: name, Rate: 45.5, Window: 600, Windows: 6, Sample: 1}.Record(rand.New(rand.NewPCG(7, uint64(n))))
		r.ID = fmt.Sprintf("01KDYBS1CY%016d", n)
		r.Start, r.End = r.Start.AddDate(0, 0, n), r.End.AddDate(0, 0, n)
		r.Summary = results.Derive(r)
		out = append(out, r)
	}
	return out
}

func TestChoice(t *testing.T) {
	server := func(name string, scale float64) resultstest.Node {
		n := resultstest.Server(name, scale)
		n.Only = []string{"idle", "compute"}
		return n
	}
	steady := func(name string, scale float64) resultstest.Node {
		n := server(name, scale)
		n.Between = 0.001
		return n
	}
	of := func(n resultstest.Node, meter string) resultstest.Node {
		n.Meter = meter
		return n
	}
	trains := server("trains", 1)
	trains.Only = []string{"idle", "training-mlp", "compute"}
	trains.Rates["training-mlp/training"] *= 1.3
	computes := server("computes", 1)
	computes.Only = trains.Only
	computes.Rates["compute/compute"] *= 1.3
	mines := server("mines", 1)
	mines.Only = []string{"idle", "mining"}
	for _, x := range []struct {
		name    string
		records [][]*results.Record
		use     string
		outcome Outcome
		places  []string
		settle  stats.Decision // without its text
	}{
		{"a winner", [][]*results.Record{sessions(server("north", 1), 5, 1), sessions(server("south", 1.12), 5, 2), sessions(server("west", 0.93), 5, 3)}, "compute", Best, []string{"south 1", "north 2", "west 3"}, stats.Decision{}},
		{"two winners, at one use", [][]*results.Record{sessions(trains, 5, 1), sessions(computes, 5, 2)}, "training-mlp", Best, []string{"trains 1", "computes 2"}, stats.Decision{}},
		{"two winners, at another", [][]*results.Record{sessions(trains, 5, 1), sessions(computes, 5, 2)}, "compute", Best, []string{"computes 1", "trains 2"}, stats.Decision{}},
		{"all alike", [][]*results.Record{sessions(steady("a", 1), 5, 1), sessions(steady("b", 1), 5, 2), sessions(steady("c", 1), 5, 3)}, "compute", Level, []string{"a 1", "c 1", "b 1"}, stats.Decision{}},
		{"a meter each", [][]*results.Record{sessions(of(steady("a", 1), "one"), 5, 1), sessions(of(steady("b", 1.012), "two"), 5, 2), sessions(of(steady("c", 0.8), "three"), 5, 3)}, "compute", CannotTell, []string{"b 1", "a 1", "c 3"},
			stats.Decision{Word: stats.CannotTell, Reason: stats.MeterLimited, Meter: true}},
		{"one session each", [][]*results.Record{sessions(server("a", 1), 1, 1), sessions(server("b", 1.02), 1, 2)}, "compute", CannotTell, []string{"b 1", "a 1"}, stats.Decision{Word: stats.CannotTell, Reason: stats.WideInterval, Sessions: 4}},
		{"one candidate", [][]*results.Record{sessions(server("north", 1), 5, 1)}, "compute", Only, []string{"north 1"}, stats.Decision{}},
		{"no meter", [][]*results.Record{altered(server("a", 1), 2, 1, modelled), altered(server("b", 1.2), 2, 2, modelled)}, "compute", Unranked, []string{"b not-measured", "a not-measured"}, stats.Decision{}},
		{"one of two has a meter", [][]*results.Record{sessions(server("a", 1), 2, 1), altered(server("b", 1.2), 2, 2, modelled)}, "compute", Only, []string{"a 1", "b not-measured"}, stats.Decision{}},
		{"two boundaries, one each", [][]*results.Record{sessions(server("a", 1), 3, 1), altered(server("b", 1.2), 3, 2, atChassis)}, "compute", Apart, []string{"b other-boundary", "a other-boundary"}, stats.Decision{}},
		{"two boundaries, two and one", [][]*results.Record{altered(server("a", 2), 3, 1, atChassis), sessions(server("b", 1), 3, 2), sessions(server("c", 1.2), 3, 3)}, "compute", Best, []string{"c 1", "b 2", "a other-boundary"}, stats.Decision{}},
		{"the reference has no such use", [][]*results.Record{sessions(mines, 5, 1), sessions(server("b", 1), 5, 2), sessions(server("c", 1.2), 5, 3)}, "compute", Best, []string{"c 1", "b 2"}, stats.Decision{}},
		{"mining is all there is", [][]*results.Record{sessions(mines, 5, 1)}, "mining", Only, []string{"mines 1"}, stats.Decision{}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := compared(t, Options{Seed: 1}, x.records...)
			got := choice(t, c, x.use)
			require.Equal(t, x.outcome, got.Outcome)
			require.Equal(t, x.places, placesOf(got))
			require.True(t, got.Decides())
			if x.outcome == CannotTell {
				require.NotEmpty(t, got.Settle.Why)
			}
			got.Settle.Why = ""
			require.Equal(t, x.settle, got.Settle)
			require.Equal(t, len(got.Competing()) > 1, !got.Lead.Value.IsAbsent())
			for _, p := range got.Places {
				require.Equal(t, p.Reason != "", p.Why != "")
				if !p.Index.Value.IsAbsent() {
					e, err := c.Explain(p.IndexID())
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint(p.Index), fmt.Sprint(e.Value)) // NaN is NaN
				}
			}
		})
	}

	c := compared(t, Options{Seed: 1}, sessions(resultstest.Server("north", 1), 2, 1), sessions(resultstest.Server("south", 1.12), 2, 2))
	x := choice(t, c, "training-mlp")
	require.InDelta(t, 1.12, float64(x.Lead.Value), 0.02)
	require.Less(t, float64(x.Lead.Low), float64(x.Lead.Value))
	south, _ := row(t, c, "training-mlp", "south")
	require.Equal(t, south.Index, place(t, x, "south").Index, "one machine, one device: its index is that of the row")
	require.False(t, slices.ContainsFunc(c.Choices, func(x Choice) bool { return x.Table == "mullet/training" }), "a co-run is no use to choose for")
	require.False(t, func() bool { x := choice(t, c, "mining"); return x.Decides() }(), "servers mine as a control")
}

// TestChoiceOfKinds: a machine competes as a whole, by its best device.
func TestChoiceOfKinds(t *testing.T) {
	cards := resultstest.CardServer("gpu", 1)
	cards.Also("training-bf16-gpt-124m@cuda:0-1", 1450, map[string]float64{"training-bf16": 610_000})
	c := compared(t, Options{Seed: 1}, sessions(cards, 2, 1), sessions(resultstest.Server("cpu", 1), 2, 2), miner("asic", 2))

	mining := choice(t, c, "mining")
	require.Equal(t, Only, mining.Outcome)
	require.True(t, mining.Decides())
	require.Equal(t, []string{"asic 1", "gpu no-miner", "cpu no-miner"}, placesOf(mining))
	require.Equal(t, "2 × NVIDIA H200", mining.Places[1].Device)

	compute := choice(t, c, "compute")
	require.Equal(t, Best, compute.Outcome)
	require.Equal(t, []string{"gpu 1", "cpu 2"}, placesOf(compute))
	require.Equal(t, "2 × NVIDIA H200", compute.Places[0].Device)
	require.InDelta(t, 2*3.5e13/1400/(2.344e12/278), float64(compute.Lead.Value), 0.06)
	cpu := place(t, compute, "cpu")
	r, _ := row(t, c, "compute", "cpu")
	require.Greater(t, float64(r.Index.Value), 1.5, "CPU against CPU")
	require.InDelta(t, 1/float64(compute.Lead.Value), float64(cpu.Index.Value), 1e-12, "machine against machine")
	require.Equal(t, r.ID+"/machine_index", cpu.IndexID())
	require.Contains(t, c.Figures(), cpu.IndexID())
	e, err := c.Explain(cpu.IndexID())
	require.NoError(t, err)
	require.Len(t, e.Inputs, 2*2*6, "the windows of both")

	mlp := choice(t, c, "training-mlp")
	require.True(t, mlp.Aside, "a language model stands for training")
	require.Equal(t, []string{"cpu 1", "gpu cpu-alone"}, placesOf(mlp))
	gpt := choice(t, c, "training-bf16-gpt-124m")
	require.Equal(t, Only, gpt.Outcome)
	require.True(t, gpt.Decides())
}

// TestChoiceOfMany: the best of sixty is told from each of the others or shares its
// place with it, and whoever does not compete takes nobody's.
func TestChoiceOfMany(t *testing.T) {
	var all [][]*results.Record
	for i := range 60 {
		n := resultstest.Server(fmt.Sprintf("m%02d", i), 1+float64(i*i)/5000)
		n.Only = []string{"idle", "compute"}
		all = append(all, sessions(n, 2, uint64(i+1)))
	}
	x := choice(t, compared(t, Options{Seed: 1}, all...), "compute")
	require.Len(t, x.Competing(), 60)
	require.NotEqual(t, Only, x.Outcome)
	for i, p := range x.Places {
		lead := float64(x.Places[0].row.Figures[results.WorkPerEnergy].Value / p.row.Figures[results.WorkPerEnergy].Value)
		switch {
		case lead > 1.1:
			require.Equal(t, i+1, p.Place, lead)
		case lead < 1.005:
			require.Equal(t, 1, p.Place, lead)
		}
	}
}
