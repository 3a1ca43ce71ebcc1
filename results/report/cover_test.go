package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// A reader sees what the watts of a node with cards leave out, which cards idle,
// and why a use has none.
func TestWattsOfCards(t *testing.T) {
	n := resultstest.EightCards("north")
	print := func(meters ...resultstest.Instrument) (*results.Record, string) {
		rec := resultstest.Metered(resultstest.Session(n, 1, 6, 1), meters...)
		var b bytes.Buffer
		require.NoError(t, Write(&b, Text, rec, Options{Width: 400}))
		return rec, b.String()
	}
	rec, text := print(resultstest.Packages(), resultstest.Cards(n.Cards))
	require.Contains(t, text, "Watts by the meters nvml + rapl; ")
	require.Contains(t, text, "Watts at cards + packages are a lower bound of the node's power: fans, other memory, boards and the losses of the supply are not in them.")
	require.Contains(t, text, "cuda:7, idle")
	require.Regexp(t, `compute-bf16@cuda:0 +nvml +6 +700\.0 +card .*\n +cuda:0 +\[700`, text)
	require.NotContains(t, text, "device-unmetered")

	// The chart adds the two meters, which are read at different instants.
	run := &rec.Runs[2]
	require.Equal(t, "compute-bf16@cuda:0", run.Scenario)
	points := slopes(run, rec.Summary.PrimaryMeter, float64(run.Anchor.T))
	require.Greater(t, len(points), 400, "at each instant at which one was read")
	for i, p := range points {
		require.InDelta(t, 7*resultstest.CardIdle+resultstest.CardBusy+resultstest.PackageIdle, p.V, 1e-3)
		require.True(t, i == 0 || p.T > points[i-1].T)
	}

	_, text = print(resultstest.Packages())
	require.Contains(t, text, "meter rapl is at the package, and cuda:0 (NVIDIA H200) is outside of it: add --meter nvml (NVIDIA) or hwmon (AMD, Intel), or a meter of the node")
	require.Contains(t, text, "there are no watts for what ran on it, nor on 1 more device → add --meter nvml")
	require.NotContains(t, strings.ReplaceAll(text, results.OwnKernels, ""), "lower bound")
	require.Equal(t, 1, strings.Count(text, "device-unmetered "))

	only := n
	only.Only = []string{"idle", "compute-bf16@cuda:0"}
	n = only
	rec, text = print(resultstest.Packages())
	require.Nil(t, rec.Summary.PrimaryMeter)
	require.Contains(t, text, "no-power")
	require.NotContains(t, text, "unknown meter")
}
