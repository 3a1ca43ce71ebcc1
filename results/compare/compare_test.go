package compare

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/stats"
)

func sessions(n resultstest.Node, k int, seed uint64) (out []*results.Record) {
	for i := range k {
		out = append(out, resultstest.Session(n, i, 6, seed))
	}
	return out
}

func row(t *testing.T, c *Comparison, table, candidate string) (Row, Group) {
	t.Helper()
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				if tb.ID() == table && r.Candidate == candidate {
					return r, g
				}
			}
		}
	}
	t.Fatalf("no row %s of %s", candidate, table)
	return Row{}, Group{}
}

func compared(t *testing.T, opt Options, groups ...[]*results.Record) *Comparison {
	t.Helper()
	var all []*results.Record
	for _, g := range groups {
		all = append(all, g...)
	}
	c, err := New(t.Context(), all, nil, opt)
	require.NoError(t, err)
	return c
}

func TestKnownWorld(t *testing.T) {
	c := compared(t, Options{Seed: 1}, sessions(resultstest.Server("north", 1), 5, 1), sessions(resultstest.Server("south", 1.05), 5, 2), sessions(resultstest.Server("east", 0.95), 5, 3))
	require.Len(t, c.Candidates, 3)
	require.Equal(t, "north", c.Reference)
	south, g := row(t, c, "mining", "south")
	require.True(t, g.Ranked)
	require.Equal(t, results.Wall, g.Boundary)
	require.InDelta(t, 1.05, float64(south.Index.Value), 0.01)
	require.True(t, south.Shared, "one PDU read both")
	require.Equal(t, stats.Better, south.Verdict.Word)
	require.Equal(t, 1, south.Tie)
	east, _ := row(t, c, "mining", "east")
	require.Equal(t, stats.Worse, east.Verdict.Word)
	require.Equal(t, 5, east.Sessions)
	require.Equal(t, 30, east.Windows)
	require.InDelta(t, 1.235e9*0.95/241, float64(east.Figures[results.WorkPerEnergy].Value), 5e4)
	require.InDelta(t, 1/float64(east.Figures[results.WorkPerEnergy].Value), float64(east.Figures[results.EnergyPerWork].Value), 1e-20)
	require.Len(t, c.Exchange, 3)
	for _, e := range c.Exchange {
		require.InDelta(t, 1, float64(e.Advantage.Value), 0.01, "scaled alike, nobody has a comparative advantage")
	}
	require.Len(t, c.Mixes[0].Points, 5)
	require.NotNil(t, c.Mixes[0].Mullet)
	require.InDelta(t, 47_000/271.*kWh, float64(c.Mixes[0].Mullet.Samples.Value), 2e6)
}

// TestSeparateMeters: what cancels on one meter does not on two.
func TestSeparateMeters(t *testing.T) {
	north, south := resultstest.Server("north", 1), resultstest.Server("south", 1.012)
	north.Between, south.Between = 0.001, 0.001
	one := compared(t, Options{Seed: 1}, sessions(north, 5, 1), sessions(south, 5, 2))
	south.Meter = "pdu-south.example"
	two := compared(t, Options{Seed: 1}, sessions(north, 5, 1), sessions(south, 5, 2))
	a, _ := row(t, one, "mining", "south")
	b, _ := row(t, two, "mining", "south")
	require.Equal(t, stats.Better, a.Verdict.Word, a.Verdict.Why)
	require.False(t, b.Shared)
	require.Greater(t, float64(b.Index.High-b.Index.Low), 3*float64(a.Index.High-a.Index.Low))
	require.NotEqual(t, stats.Better, b.Verdict.Word)
	south.Gain = 0
	unstated := compared(t, Options{Seed: 1}, sessions(north, 5, 1), sessions(south, 5, 2))
	d, _ := row(t, unstated, "mining", "south")
	require.Equal(t, stats.CannotTell, d.Verdict.Word)
	require.True(t, d.Verdict.Meter)
}

// TestNeverMixed: boundaries, grades, modelled watts and broken rules stand
// apart.
func TestNeverMixed(t *testing.T) {
	spoil := func(name string, f func(r *results.Record)) []*results.Record {
		out := sessions(resultstest.Server(name, 2), 3, 7)
		for _, r := range out {
			f(r)
			r.Summary = results.Derive(r)
		}
		return out
	}
	channel := func(r *results.Record) *results.Channel { return &r.Meters[0].Channels[0] }
	moved := sessions(resultstest.Server("moved", 2), 3, 7) // its first session at another boundary
	channel(moved[0]).Boundary, channel(moved[0]).Total = results.Chassis, results.Chassis
	moved[0].Summary = results.Derive(moved[0])
	c := compared(t, Options{Seed: 1}, sessions(resultstest.Server("north", 1), 3, 1), moved,
		spoil("node", func(r *results.Record) { channel(r).Boundary, channel(r).Total = results.Chassis, results.Chassis }),
		spoil("guessed", func(r *results.Record) { channel(r).Origin = results.Modelled }),
		spoil("short", func(r *results.Record) { r.State = results.Interrupted }),
	)
	for _, x := range []struct {
		name   string
		reason stats.Reason
		why    string
	}{
		{"guessed", stats.NotMeasured, "were not measured"},
		{"short", stats.BreaksRules, "breaks the publish rules: complete"},
		{"moved", stats.MixedMeters, "sessions of different meters"},
	} {
		r, g := row(t, c, "mining", x.name)
		require.False(t, g.Ranked, x.name)
		require.Contains(t, g.Why, x.why)
		require.Equal(t, x.reason, g.Reason)
		require.Equal(t, stats.Decision{Word: stats.NotRanked, Reason: g.Reason, Why: g.Why}, r.Verdict)
		require.Zero(t, r.Tie)
	}
	r, g := row(t, c, "mining", "node")
	require.True(t, g.Ranked)
	require.Equal(t, stats.NotRanked, r.Verdict.Word, "no reference of that boundary")
	require.Equal(t, stats.NoReference, r.Verdict.Reason)
	require.True(t, r.Index.Value.IsAbsent())
}

func TestNothingIsDroppedInSilence(t *testing.T) {
	rs := sessions(resultstest.Server("north", 1), 2, 1)
	rs[1].Runs[1].Status, rs[1].Runs[1].Error = results.Failed, "the worker died"
	c, err := New(t.Context(), append(rs, rs[0]), []string{"a.json", "b.json", "again.json"}, Options{})
	require.NoError(t, err)
	text := fmt.Sprint(c.Excluded)
	require.Contains(t, text, "again.json")
	require.Contains(t, text, "the worker died")
	for i := range rs {
		for j := range rs[i].Runs {
			rs[i].Runs[j].Status = results.Void
		}
	}
	_, err = New(t.Context(), rs, nil, Options{})
	require.ErrorIs(t, err, ErrNothing)
}

// TestUnits: a use that is counted in another unit is not put beside the rest.
func TestUnits(t *testing.T) {
	rs := append(sessions(resultstest.Server("north", 1), 1, 1), sessions(resultstest.Server("south", 1), 1, 2)...)
	for i := range rs[1].Runs {
		for j := range rs[1].Runs[i].Uses {
			if u := &rs[1].Runs[i].Uses[j]; u.Use == "mining" {
				u.Unit = results.Sample
			}
		}
	}
	rs[1].Summary = results.Derive(rs[1])
	c := compared(t, Options{}, rs)
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				require.False(t, tb.Use == "mining" && r.Candidate == "south", tb.ID())
			}
		}
	}
	require.Contains(t, fmt.Sprint(c.Excluded), "mining is counted in sample, not in hash as before")
	require.Len(t, c.Excluded, 2, "once for each table")
}

func TestReference(t *testing.T) {
	rs := append(sessions(resultstest.Server("north", 1), 1, 1), sessions(resultstest.Server("south", 1), 1, 2)...)
	for _, ref := range []string{"south", rs[1].ID, "s.json"} {
		c, err := New(t.Context(), rs, []string{"n.json", "s.json"}, Options{Reference: ref})
		require.NoError(t, err)
		require.Equal(t, "south", c.Reference)
	}
	_, err := New(t.Context(), rs, nil, Options{Reference: "west"})
	require.ErrorContains(t, err, "north, south")
	_, err = New(t.Context(), rs, nil, Options{Margin: 2})
	require.ErrorContains(t, err, "margin")
}

func TestDifferences(t *testing.T) {
	south := sessions(resultstest.Server("south", 1), 1, 2)
	south[0].Node.Settings.Governor = "powersave"
	c := compared(t, Options{}, sessions(resultstest.Server("north", 1), 1, 1), south)
	found := false
	for _, d := range c.Differences {
		if d.Fact == "settings.governor" {
			found = true
			require.Equal(t, []string{"performance", "powersave"}, d.Values)
		}
		require.NotEqual(t, "cpu.model", d.Fact)
	}
	require.True(t, found)
}

// A fact is for people: with its unit, and no dump of a structure.
func TestPrintedFacts(t *testing.T) {
	for _, c := range []struct {
		name string
		fact any
		want string
	}{
		{"cpu.clock", results.Float(2.8e9), "2.8 GHz"},
		{"cpu.clock", results.Absent(), "not known"},
		{"settings.power_cap", results.Float(12_345), "12345 W"},
		{"settings.cpu_quota", results.Float(1.5), "1.5"},
		{"memory", int64(256 << 30), "256 GiB"},
		{"memory", int64(0), "not known"},
		{"cpu.cache", int64(48 << 10), "48 KiB"},
		{"devices", results.Device{ID: "gpu:0", Kind: results.KindGPU, Vendor: "v", Model: "NVIDIA H200", Driver: "cuda 12.4", Lanes: 132, PowerLimit: &results.PowerLimit{Enforced: 500}}, "gpu:0 NVIDIA H200 cuda 12.4 limited to 500 W"},
		{"settings.cpus", 3, "3"},
	} {
		require.Equal(t, c.want, printed(c.name, c.fact), "%s %v", c.name, c.fact)
	}
}

// TestEveryFigureIsExplained: each names the records and windows it came from,
// and they give it again.
func TestEveryFigureIsExplained(t *testing.T) {
	c := compared(t, Options{Seed: 1}, sessions(resultstest.Server("north", 1), 2, 1), sessions(resultstest.Server("south", 1.05), 2, 2))
	ids := c.Figures()
	require.Greater(t, len(ids), 40)
	for _, id := range ids {
		e, err := c.Explain(id)
		require.NoError(t, err, id)
		require.NotEmpty(t, e.Formula, id)
		if !e.Value.Value.IsAbsent() {
			require.NotEmpty(t, e.Inputs, id)
		}
		if strings.HasSuffix(id, "/"+results.WorkPerEnergy) {
			var work, energy float64
			for _, in := range e.Inputs {
				work += float64(in.Work)
				energy += float64(in.Energy)
			}
			require.InEpsilon(t, work/energy, float64(e.Value.Value), 1e-12, id)
		}
	}
	_, err := c.Explain("north/mining/mining/nothing")
	require.ErrorIs(t, err, ErrFigure)
}

// TestWorldIsCovered: over simulated comparisons of records, drift and meters
// included, the interval of the index covers the truth as often as it says.
func TestWorldIsCovered(t *testing.T) {
	n := 60
	if testing.Short() {
		n = 12
	}
	covered, total, false2 := 0, 0, 0
	for i := range n {
		a, b := resultstest.Server("a", 1), resultstest.Server("b", 1)
		a.Drift, b.Drift = 0.02, 0.02
		c := compared(t, Options{Seed: uint64(i)}, sessions(a, 4, uint64(2*i)), sessions(b, 4, uint64(2*i+1)))
		for _, table := range []string{"mining", "training-mlp", "compute"} {
			r, _ := row(t, c, table, "b")
			total++
			if float64(r.Index.Low) <= 1 && 1 <= float64(r.Index.High) {
				covered++
			}
			if r.Verdict.Word == stats.Better {
				false2++
			}
		}
	}
	t.Logf("covered %d of %d, falsely better %d", covered, total, false2)
	// Uses of one session share what is wrong with it: a third as many are independent.
	require.GreaterOrEqual(t, float64(covered), float64(total)*(0.95-3*math.Sqrt(0.95*0.05/float64(n))))
	require.LessOrEqual(t, float64(false2), float64(total)*(0.025+3*math.Sqrt(0.025*0.975/float64(n))))
}

// manyUses is a record of a node that mined, trained so many models, each alone
// and beside mining.
func manyUses(n int) *results.Record {
	rec := resultstest.Session(resultstest.Server("wide", 1), 1, 2, 1)
	runs := rec.Runs
	for i := range n {
		model := fmt.Sprint("m", i)
		for _, r := range runs {
			if r.Scenario != "training-mlp" && r.Scenario != "mullet" {
				continue
			}
			r.Scenario = fmt.Sprint(r.Scenario, "-", i)
			if r.Round == 1 {
				rec.Plan.Scenarios = append(rec.Plan.Scenarios, r.Scenario)
			}
			r.Uses = slices.Clone(r.Uses)
			r.Uses[0].Params = map[string]string{"model": model}
			rec.Runs = append(rec.Runs, r)
		}
	}
	rec.Summary = results.Derive(rec)
	return rec
}

// TestManyUses: each of many models has its own exchange rate and its own
// mullet, and a comparison ends when its context does.
func TestManyUses(t *testing.T) {
	const models = 60
	rec := manyUses(models)
	c, err := New(t.Context(), []*results.Record{rec}, nil, Options{})
	require.NoError(t, err)
	require.Len(t, c.Exchange, 1+models)
	for i, x := range c.Exchange {
		require.Equal(t, float64(rec.Summary.Exchange[i].HashesPerSample.Value), float64(x.Rate.Value))
		require.NotNil(t, c.Mixes[i].Mullet)
	}
	allocated := func(rec *results.Record) float64 {
		return testing.AllocsPerRun(1, func() { New(t.Context(), []*results.Record{rec}, nil, Options{}) })
	}
	require.Less(t, allocated(manyUses(2*models)), 2.1*allocated(rec), "of twice as much, twice the work")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = New(ctx, []*results.Record{rec}, nil, Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func BenchmarkManyUses(b *testing.B) {
	for _, n := range []int{100, 400} {
		rec := manyUses(n)
		b.Run(fmt.Sprint("models=", n), func(b *testing.B) {
			for b.Loop() {
				_, err := New(b.Context(), []*results.Record{rec}, nil, Options{})
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{50, 500} {
		var all []*results.Record
		for i := range n {
			all = append(all, resultstest.Session(resultstest.Server(fmt.Sprintf("node%d", i%20), 1), i, 2, uint64(i)))
		}
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := New(b.Context(), all, nil, Options{Seed: 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Where a record has several rows of a use, each is compared with its like, and
// its figures are those of its row.
func TestRowsOfOneUseAreComparedApart(t *testing.T) {
	var records []*results.Record
	for i, name := range []string{"north", "south"} {
		n := resultstest.Server(name, 1+float64(i)/10)
		n.Only = []string{"idle", "mining"}
		r := resultstest.Session(n, i, 12, 1)
		for j := range r.Runs {
			if x := &r.Runs[j]; x.Scenario == "mining" && x.Round%2 == 0 {
				x.Uses[0].Threads = 1
			}
		}
		r.Summary = results.Derive(r)
		records = append(records, r)
	}
	c, err := New(t.Context(), records, nil, Options{})
	require.NoError(t, err)
	require.Len(t, c.Tables, 2)
	for i, threads := range []int{64, 1} {
		tb := &c.Tables[i]
		require.Equal(t, fmt.Sprintf("mining (threads=%d)", threads), tb.ID())
		for _, cand := range c.Candidates {
			require.Len(t, tb.measured()[cand.ID], 1)
			r := tb.measured()[cand.ID][0]
			for _, row := range cand.records[0].Summary.Rows {
				if row.Use == "mining" && row.Threads == threads {
					require.Equal(t, stated(row.Metrics[results.Throughput]).Value, r.Figures[results.Throughput].Value)
				}
			}
			e, err := c.Explain(r.ID + "/throughput")
			require.NoError(t, err)
			require.Len(t, e.Inputs, 6)
		}
	}
}

// TestNotDerived: figures that were read from a file have no windows to compare.
func TestNotDerived(t *testing.T) {
	rec := sessions(resultstest.Server("north", 1), 1, 1)[0]
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	read, err := results.Read(bytes.NewReader(raw), "north.json")
	require.NoError(t, err)
	_, err = New(t.Context(), []*results.Record{read}, nil, Options{})
	require.ErrorContains(t, err, "was read and not derived")
}

// Cards are compared by what they are and not by their numbers: with the same model
// if the reference has it, else with a card, and never with a card that works beside
// others. Precisions are never in one table, and fp32 on a card and on the CPU are.
func TestCardsAreCompared(t *testing.T) {
	north, south, old := resultstest.CardServer("north", 1), resultstest.CardServer("south", 1.2), resultstest.Server("old", 0.9)
	only := []string{"idle", "mining", "compute", "mining@cuda:0", "compute-bf16@cuda:0", "mullet@cuda:0"}
	north.Only = append(slices.Clone(only), "compute@cuda:0")
	south.Only = append(slices.Clone(only), "compute@cuda:0")
	for rate, n := range map[float64]*resultstest.Node{3.6e13: &north, 4e13: &south} {
		n.Rates["compute@cuda:0/compute"], n.Watts["compute@cuda:0"] = rate, 870
	}
	// In the south the same card has another number.
	south.Cards = []results.Device{north.Cards[1], north.Cards[0]}
	south.Cards[0].ID, south.Cards[1].ID = "cuda:0", "cuda:1"
	records := slices.Concat(sessions(north, 3, 1), sessions(south, 3, 2), sessions(old, 3, 3))
	c, err := New(t.Context(), records, nil, Options{Seed: 1})
	require.NoError(t, err)
	tables := map[string][]string{}
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				tables[tb.ID()] = append(tables[tb.ID()], r.Name()+" against "+r.ref)
			}
		}
	}
	const h200 = "gpu NVIDIA H200"
	require.Equal(t, []string{
		"south, NVIDIA H200 against north/compute/compute/" + h200, "north, NVIDIA H200 against north/compute/compute/" + h200,
		"old against north/compute/compute", "south against north/compute/compute", "north against north/compute/compute",
	}, tables["compute"])
	require.Len(t, tables["compute-bf16"], 2)
	require.Len(t, tables["mining"], 5)
	require.Len(t, tables["mullet@gpu/mining"], 2)
	require.Len(t, tables["mullet@gpu/compute-bf16"], 2)
	require.NotContains(t, tables, "mullet@gpu/training")
	require.Contains(t, tables, "mullet/mining", "behind training on the CPU: another table")
	for _, id := range c.Figures() {
		_, err := c.Explain(id)
		require.NoError(t, err)
	}

	// A node without a card against one with: the reference's best, by name.
	c, err = New(t.Context(), records, nil, Options{Seed: 1, Reference: "old"})
	require.NoError(t, err)
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				if tb.ID() == "compute" {
					require.Equal(t, "old/compute/compute", r.ref, r.ID)
				}
			}
		}
	}
}

// TestCardsAndPackagesStandApart: one node is metered at its cards and packages,
// another at its packages, a third at the wall. None is ranked against another, and
// the first has its two meters as one.
func TestCardsAndPackagesStandApart(t *testing.T) {
	metered := func(name string, seed uint64, meters func(n resultstest.Node) []resultstest.Instrument) (out []*results.Record) {
		n := resultstest.EightCards(name)
		n.Only = []string{"idle", "mining"}
		for i := range 2 {
			out = append(out, resultstest.Metered(resultstest.Session(n, i, 6, seed), meters(n)...))
		}
		return out
	}
	c := compared(t, Options{Seed: 1},
		metered("north", 1, func(n resultstest.Node) []resultstest.Instrument {
			return []resultstest.Instrument{resultstest.Packages(), resultstest.Cards(n.Cards)}
		}),
		metered("south", 2, func(resultstest.Node) []resultstest.Instrument {
			return []resultstest.Instrument{resultstest.Packages()}
		}),
		metered("east", 3, func(resultstest.Node) []resultstest.Instrument {
			return []resultstest.Instrument{resultstest.Outlet(8)}
		}))
	for name, at := range map[string]results.Boundary{"north": results.CardsPackages, "south": results.Package, "east": results.Wall} {
		r, g := row(t, c, "mining", name)
		require.Equal(t, at, g.Boundary)
		require.Len(t, g.Rows, 1)
		require.True(t, r.Index.Value.IsAbsent() || name == c.Reference, "%s has an index to another boundary", name)
	}
	i := slices.IndexFunc(c.Candidates, func(c Candidate) bool { return c.ID == "north" })
	require.Equal(t, "nvml + rapl", c.Candidates[i].Meter.Name)
	require.Len(t, c.Candidates[i].Meter.Channels, 10)
}

// Precisions and models are never in one table, and each is related to mining as
// training is, on the device where it ran.
func TestTrainingsAreNotMixed(t *testing.T) {
	north, south := resultstest.CardServer("north", 1), resultstest.CardServer("south", 1.2)
	for _, n := range []*resultstest.Node{&north, &south} {
		n.Only = []string{"idle", "mining", "mining@cuda:0"}
		n.Also("training-gpt-mini", 263, map[string]float64{"training": 40_000})
		n.Also("training-gpt-mini@cuda:0", 800, map[string]float64{"training": 2e6})
		n.Also("training-bf16-gpt-mini@cuda:0", 820, map[string]float64{"training-bf16": 5e6})
		n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": 3e5})
		n.Also("mullet-training@cuda:0", 950, map[string]float64{"training-bf16": 2.9e5, "mining": 1e9})
	}
	c, err := New(t.Context(), slices.Concat(sessions(north, 3, 1), sessions(south, 3, 2)), nil, Options{Seed: 1})
	require.NoError(t, err)
	rows := map[string]int{}
	for _, tb := range c.Tables {
		for _, g := range tb.Groups {
			for _, r := range g.Rows {
				rows[tb.ID()]++
				if tb.Trains() {
					require.Equal(t, results.Unit("token/J"), r.Figures[results.WorkPerEnergy].Unit)
					for _, x := range r.of {
						require.Equal(t, tb.Use, x.windows[0].Use.Use)
						require.Equal(t, r.model, x.windows[0].Use.Params["model"])
					}
				}
			}
		}
	}
	require.Equal(t, []int{4, 2, 2}, []int{rows["training-gpt-mini"], rows["training-bf16-gpt-mini"], rows["training-bf16-gpt-124m"]})
	exchange := map[string]int{}
	for _, x := range c.Exchange {
		require.Equal(t, results.Unit("hash/token"), x.Rate.Unit)
		require.False(t, x.Rate.Value.IsAbsent())
		exchange[x.Scenario]++
	}
	require.Equal(t, map[string]int{"training-gpt-mini": 4, "training-bf16-gpt-mini": 2, "training-bf16-gpt-124m": 2}, exchange)
	require.Equal(t, "training-bf16-gpt-124m", c.Candidates[0].CoRuns()[0].Front)
	for _, m := range c.Mixes {
		require.Equal(t, results.Token, m.Points[0].Samples.Unit)
	}
}

// TestCoRunsOverSessions: the cost of a co-run is that of all sessions, and its interval
// shows how they scatter.
func TestCoRunsOverSessions(t *testing.T) {
	of := sessions(resultstest.Server("north", 2), 4, 1)
	one := compared(t, Options{Seed: 1}, of[:1]).Candidates[0].CoRuns()
	require.Equal(t, fmt.Sprint(*of[0].Summary.CoRunCost), fmt.Sprint(one[0].CoRunCost), "one session is as its record states it")
	sum := 0.0
	for i, by := range []results.Float{1, 0.5, 2, 1.5} {
		m := *of[i].Summary.CoRunCost
		m.HashesGained.Value *= by
		sum += float64(m.HashesGained.Value)
		of[i].Summary.CoRunCost = &m
	}
	of[3].Summary.CoRunCost.ExtraPower = results.Figure{Value: results.Absent(), Unit: results.Watt, Reason: results.Because(results.NoPair)}
	all := compared(t, Options{Seed: 1}, of).Candidates[0].CoRuns()
	require.Len(t, all, len(one))
	gained := all[0].HashesGained
	require.InEpsilon(t, sum/4, float64(gained.Value), 1e-12)
	require.Less(t, float64(gained.Low), 0.7*float64(gained.Value), "the sessions differ by a factor of four")
	require.Equal(t, one[0].HashesGained.N*4, gained.N)
	require.InEpsilon(t, float64(of[0].Summary.CoRunCost.ExtraPower.Value+of[1].Summary.CoRunCost.ExtraPower.Value+of[2].Summary.CoRunCost.ExtraPower.Value)/3, float64(all[0].ExtraPower.Value), 1e-12, "three of four sessions have it")

	of[2].Summary.CoRunCost.ExtraPower.Boundary = results.Package
	mixed := compared(t, Options{Seed: 1}, of).Candidates[0].CoRuns()
	require.InEpsilon(t, float64(of[0].Summary.CoRunCost.ExtraPower.Value+of[1].Summary.CoRunCost.ExtraPower.Value)/2, float64(mixed[0].ExtraPower.Value), 1e-12, "watts of another boundary are left out")
}
