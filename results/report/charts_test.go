package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// TestShownRun: the traces of a page are those of uses that its candidates are ranked
// by, not of a control.
func TestShownRun(t *testing.T) {
	for _, x := range []struct {
		name    string
		records []*results.Record
		want    map[string]string // scenario, by candidate
	}{
		{"winner", clearWinner(), map[string]string{"north": "training-mlp", "south": "training-mlp", "west": "training-mlp"}},
		{"kinds", threeKinds(), map[string]string{"gpu-node": "training-bf16-gpt-124m@cuda:0-1", "cpu-node": "compute", "asic": "mining"}},
		{"nothing", nothingToRank(), map[string]string{"guest-a": "training-mlp", "guest-b": "training-mlp", "guest-c": "training-mlp"}},
	} {
		p := pageOf(t, x.records)
		of, got := candidatesByRecord(p), map[string]string{}
		for _, r := range p.Records {
			run, use := shownRun(p.Comparison, r, of[r.ID])
			require.NotNil(t, run, x.name)
			require.NotNil(t, use)
			got[of[r.ID]] = run.Scenario
		}
		require.Equal(t, x.want, got, x.name)
		require.Len(t, traceCharts(p), len(got))
	}
}

// TestRankingChart: one chart ranks whole machines at all uses that several have.
func TestRankingChart(t *testing.T) {
	p := pageOf(t, clearWinner())
	charts := rankingChart(p)
	require.Len(t, charts, 1)
	drawn := string(charts[0].SVG)
	for _, x := range p.Comparison.Choices {
		require.Contains(t, drawn, ">"+x.Table+"<")
	}
	require.Equal(t, 1, strings.Count(string(rendered(t, p)), `id="rank-wide-title"`))
	require.Empty(t, rankingChart(pageOf(t, nothingToRank())), "what is not ranked")
	kinds := string(rankingChart(pageOf(t, threeKinds()))[0].SVG)
	require.Contains(t, kinds, ">compute<")
	require.NotContains(t, kinds, ">mining<", "of which the miner alone is ranked")
	require.NotContains(t, kinds, ">training", "which no two whole machines have")
}

// TestMixChart: the chart says how to read the mullet against switching.
func TestMixChart(t *testing.T) {
	charts, _ := planeCharts(pageOf(t, clearWinner()))
	all := ""
	for _, c := range charts {
		all += string(c.SVG)
	}
	require.Contains(t, all, "The mark is the mullet, both at once: above the line it beats switching, below the line it loses to it.")
	require.Contains(t, all, "better at both")
	require.Contains(t, all, "worse at both")
	require.Contains(t, all, ">better at training-mlp, worse at<")
}
