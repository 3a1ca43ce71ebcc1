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

func codes(rec *results.Record) string {
	var all []string
	for _, w := range rec.Summary.Flags {
		all = append(all, w.Code)
	}
	return strings.Join(all, " ")
}
