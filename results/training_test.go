package results_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// trainer is a node that trains on its CPU and on its first card, in two precisions.
func trainer(perSecond float64) resultstest.Node {
	n := resultstest.CardServer("north", 1)
	n.Only = []string{"idle", "mining", "mining@cuda:0", "compute-bf16@cuda:0"}
	n.Also("training-gpt-mini", 263, map[string]float64{"training": 40_000})
	n.Also("training-gpt-mini@cuda:0", 800, map[string]float64{"training": 2e6})
	n.Also("training-bf16-gpt-mini@cuda:0", 820, map[string]float64{"training-bf16": 5e6})
	n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": perSecond})
	n.Also("mullet-training@cuda:0", 950, map[string]float64{"training-bf16": perSecond * 0.98, "mining": 1e9})
	return n
}

func rowOf(t *testing.T, rec *results.Record, scenario string) results.Row {
	i := slices.IndexFunc(rec.Summary.Rows, func(r results.Row) bool { return r.Scenario == scenario })
	require.GreaterOrEqual(t, i, 0, scenario)
	return rec.Summary.Rows[i]
}

// Training in bf16 is training: it has an exchange rate, a cost of mining behind it,
// and a warning where no target was reached. Each precision is held against its peak.
func TestTrainingInEachPrecision(t *testing.T) {
	rec := resultstest.Session(trainer(3e5), 1, 6, 1)
	exchange := map[string]results.Unit{}
	for _, x := range rec.Summary.Exchange {
		exchange[x.Scenario] = x.HashesPerSample.Unit
	}
	trained := []string{"training-bf16-gpt-124m@cuda:0", "training-bf16-gpt-mini@cuda:0", "training-gpt-mini", "training-gpt-mini@cuda:0"}
	require.Equal(t, trained, slices.Sorted(maps.Keys(exchange)))
	for scenario, flopPerToken := range map[string]float64{"training-gpt-mini": 5.6e6, "training-gpt-mini@cuda:0": 5.6e6, "training-bf16-gpt-mini@cuda:0": 5.6e6, "training-bf16-gpt-124m@cuda:0": 8.03e8} {
		require.Equal(t, results.Unit("hash/token"), exchange[scenario])
		peak := map[string]float64{"training-gpt-mini": 64 * 9e10, "training-gpt-mini@cuda:0": 5e13}[scenario]
		if peak == 0 {
			peak = 7.5e14 // of bf16
		}
		m := rowOf(t, rec, scenario).Metrics
		require.Equal(t, results.Unit("token/s"), m[results.Throughput].Unit)
		require.InEpsilon(t, float64(m[results.Throughput].Value)*flopPerToken/peak, float64(m[results.PeakFraction].Value), 1e-9, scenario)
	}
	require.Len(t, rec.Summary.CoRuns, 1)
	require.Equal(t, "training-bf16", rec.Summary.CoRuns[0].Front)
	require.InDelta(t, 0.98, float64(rec.Summary.CoRuns[0].TrainingKept.Value), 0.01)

	n := trainer(3e5)
	n.Only = []string{"idle", "training-bf16-gpt-124m@cuda:0"}
	rec = resultstest.Session(n, 1, 6, 1)
	require.NotContains(t, codes(rec), "no-target")
	rec.Plan.Target = false
	rec.Summary = results.Derive(rec)
	require.Contains(t, codes(rec), "no-target")
}

// More of the peak than anybody reaches is doubted on a GPU, and not on a CPU, whose
// caches hold what a GPU's memory has to bring.
func TestMFU(t *testing.T) {
	for perSecond, doubted := range map[float64]bool{3e5: false, 5e5: false, 5.3e5: true} { // of 7.5e14 FLOP/s: 32, 54 and 57 %
		n := trainer(perSecond)
		n.Rates["training-gpt-mini/training"] = 7e5 // 68 % of the CPU's
		n.Only = []string{"idle", "training-gpt-mini", "training-bf16-gpt-124m@cuda:0"}
		rec := resultstest.Session(n, 1, 6, 1)
		require.Equal(t, doubted, strings.Contains(codes(rec), "mfu-high"), perSecond)
		for _, w := range rec.Summary.Flags {
			if w.Code == "mfu-high" {
				require.Contains(t, w.Text, "training-bf16-gpt-124m@cuda:0 reached 57 % of the FMA peak (MFU)")
				require.NotEmpty(t, w.Remedy)
			}
		}
		n.Rates["training-bf16-gpt-124m@cuda:0-1/training-bf16"], n.Watts["training-bf16-gpt-124m@cuda:0-1"] = perSecond, 1700
		n.Only = []string{"idle", "training-bf16-gpt-124m@cuda:0-1"}
		require.Equal(t, doubted, strings.Count(codes(resultstest.Session(n, 1, 6, 1)), "mfu-high") == 1, "once for both cards")
	}
}

// What multiplied is named with its version; own kernels are a lower bound of the
// card, unless a library was tried and was no faster.
func TestProducts(t *testing.T) {
	n := trainer(3e5)
	n.Only = append(n.Only, "compute-bf16@cuda:0-1")
	rec := resultstest.Session(n, 1, 6, 1)
	of := func(scenario string) string {
		row := rowOf(t, rec, scenario)
		return rec.Products(&row)
	}
	const trained = "training-bf16-gpt-124m@cuda:0"
	for _, scenario := range []string{trained, "training-gpt-mini@cuda:0", "compute-bf16@cuda:0", "compute-bf16@cuda:0-1"} {
		require.Equal(t, results.OwnKernels, of(scenario), scenario)
	}
	for _, scenario := range []string{"training-gpt-mini", "mining", "mining@cuda:0", "idle"} {
		require.Empty(t, of(scenario), scenario)
	}
	kernels := slices.Clone(rec.Kernels)
	at := slices.IndexFunc(kernels, func(k results.Kernel) bool { return k.Name == "gemm-bf16" && k.Device == "cuda:0" })
	own := kernels[at].Impls[0]
	try := func(impls ...results.Impl) {
		rec.Kernels = slices.Clone(kernels)
		rec.Kernels[at].Impls = impls
	}
	library := results.Impl{Name: "cublaslt", Library: "cuBLASLt 12.8.4", Rate: own.Rate * 1.2, Check: "ok"}
	try(own, library)
	require.Equal(t, results.OwnKernels, of(trained), "own kernels were asked for, and the library is faster")
	library.Rate = own.Rate * 0.9
	try(own, library)
	require.Equal(t, "own kernels, no slower than cuBLASLt 12.8.4", of(trained))
	own.Library = "cuBLASLt 12.8.4"
	try(own)
	require.Equal(t, "cuBLASLt 12.8.4", of(trained))
	require.Equal(t, "cuBLASLt 12.8.4; "+results.OwnKernels, of("compute-bf16@cuda:0-1"))
	require.Equal(t, results.OwnKernels, of("training-gpt-mini@cuda:0"), "in fp32 another kernel multiplies")
	try()
	require.Empty(t, of(trained))
}

func codes(rec *results.Record) string {
	var all []string
	for _, w := range rec.Summary.Flags {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}

// together is a session in which two cards train one model, at some rate, beside one card
// alone, at 300,000 tokens/s, and beside two with a model each.
func together(t *testing.T, perSecond float64) *results.Record {
	n := trainer(3e5)
	n.Only = []string{"idle", "mining", "mining@cuda:0-1", "compute-bf16@cuda:0"}
	n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": 3e5})
	n.Also("training-bf16-gpt-124m@cuda:0-1", 1700, map[string]float64{"training-bf16": 2.9e5})
	n.Also("training-parallel-bf16-gpt-124m@cuda:0-1", 1650, map[string]float64{"training-parallel-bf16": perSecond})
	return resultstest.Session(n, 1, 6, 1)
}

// Scaling efficiency is the rate of two cards over twice that of one alone, with an
// interval; nothing else has one.
func TestScalingEfficiency(t *testing.T) {
	const parallel = "training-parallel-bf16-gpt-124m@cuda:0-1"
	rec := together(t, 5.4e5)
	row := rowOf(t, rec, parallel)
	require.Equal(t, "bf16", row.Precision())
	e := row.Metrics[results.ScalingEfficiency]
	require.InDelta(t, 0.9, float64(e.Value), 0.01)
	require.Equal(t, results.Ratio, e.Unit)
	require.Equal(t, 6, e.N)
	require.Less(t, e.Low, e.Value)
	require.Greater(t, e.High, e.Value)
	require.Less(t, float64(e.High-e.Low), 0.05)
	// By hand, of all windows.
	var rate [2]float64
	for i, scenario := range []string{parallel, "training-bf16-gpt-124m@cuda:0"} {
		work, seconds := 0.0, 0.0
		one := rowOf(t, rec, scenario)
		for _, w := range one.Windows() {
			work, seconds = work+float64(w.Work), seconds+float64(w.Duration)
		}
		rate[i] = work / seconds
	}
	require.InEpsilon(t, rate[0]/(2*rate[1]), float64(e.Value), 1e-12)
	for _, r := range rec.Summary.Rows {
		if r.Scenario != parallel {
			require.NotContains(t, r.Metrics, results.ScalingEfficiency, r.Scenario)
		}
	}
	require.NotContains(t, codes(rec), "scaling-high")
	require.Contains(t, codes(together(t, 6.6e5)), "scaling-high")

	// The peak, the watts and the price of a token are those of both cards.
	require.InEpsilon(t, rate[0]*8.03e8/(2*7.5e14), float64(row.Metrics[results.PeakFraction].Value), 1e-9)
	require.InDelta(t, 1650, float64(row.Metrics[results.Power].Value), 5)
	require.Nil(t, row.Cards)
	for _, p := range rec.Places() {
		if p.Base == "training-parallel-bf16-gpt-124m" {
			require.Equal(t, "2 × gpu NVIDIA H200", p.Cards)
			require.Equal(t, p.Cards, p.Device)
			require.False(t, p.Part)
			require.Equal(t, 2, p.On[0].Count)
		}
	}
	require.True(t, slices.ContainsFunc(rec.Summary.Exchange, func(x results.Exchange) bool { return x.Scenario == parallel }))
	require.Equal(t, "parallel training bf16 on cuda:0-1 (NVIDIA H200)", rec.Node.UseName(row.Use, row.Device))

	for name, change := range map[string]func(r *results.Run){
		"another batch":     func(r *results.Run) { r.Uses[0].Params["batch"] = "7" },
		"another model":     func(r *results.Run) { r.Uses[0].Params["model"] = "gpt-mini" },
		"other kernels":     func(r *results.Run) { r.Uses[0].Impl = "simt" },
		"another card":      func(r *results.Run) { r.Uses[0].Device = "cuda:7" },
		"another precision": func(r *results.Run) { r.Uses[0].Use = "training" },
	} {
		other := together(t, 5.4e5)
		for i := range other.Runs {
			if other.Runs[i].Scenario == "training-bf16-gpt-124m@cuda:0" {
				change(&other.Runs[i])
			}
		}
		other.Summary = results.Derive(other)
		e := rowOf(t, other, parallel).Metrics[results.ScalingEfficiency]
		require.True(t, e.Value.IsAbsent(), name)
		require.Contains(t, e.Why, "one card alone was not measured in this session", name)
	}
}

// A meter that sees one of the cards sees not all that train a model together.
func TestWattsOfAllCards(t *testing.T) {
	rec := together(t, 5.4e5)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		for j := range r.Traces {
			if r.Traces[j].Key.Kind == results.TraceMeter {
				r.Traces[j].Boundary = results.Card
			}
		}
	}
	for i := range rec.Meters {
		for j := range rec.Meters[i].Channels {
			c := &rec.Meters[i].Channels[j]
			c.Boundary, c.Total, c.Card = results.Card, results.Cards, "0000:1b:00.0"
		}
	}
	rec.Summary = results.Derive(rec)
	require.True(t, rowOf(t, rec, "training-parallel-bf16-gpt-124m@cuda:0-1").Metrics[results.WorkPerEnergy].Value.IsAbsent())
}
