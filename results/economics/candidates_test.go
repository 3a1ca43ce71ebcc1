package economics

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/resultstest"
)

// The figures that prices apply to are those of the comparison, to the last
// digit, and each can be explained there.
func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		unfit  string
	}{
		{"ranked", 6, ""},
		{"too few rounds", 5, "it is not ranked, breaks the publish rules: repeats"},
	} {
		t.Run(c.name, func(t *testing.T) {
			records := []*results.Record{resultstest.Session(resultstest.Server("north", 1), 1, c.rounds, 1), resultstest.Session(resultstest.Server("south", 1.05), 1, c.rounds, 2)}
			held, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
			require.NoError(t, err)
			candidates := Candidates(held)
			require.Len(t, candidates, 2)
			for i, got := range candidates {
				require.Equal(t, held.Candidates[i].ID, got.Name)
				require.NotEmpty(t, got.Training)
				require.Len(t, got.Mining, 1)
				figures := []Figure{got.Mining[0].Efficiency, got.Mining[0].Power}
				for _, tr := range got.Training {
					figures = append(figures, tr.PerJoule, tr.Power, tr.FlopRate)
				}
				for _, f := range figures {
					e, err := held.Explain(f.ID)
					require.NoError(t, err)
					require.Equal(t, fmt.Sprintf("%+v", e.Value), fmt.Sprintf("%+v", f.Figure), f.ID) // NaN is not equal to itself
					require.Equal(t, c.unfit, f.UnfitWhy, f.ID)
					require.Equal(t, c.unfit == "", f.Unfit == "", f.ID)
					require.Empty(t, f.Formula, "a measured figure is an input")
				}
				require.Len(t, got.Mullets, 1, "the sessions have a co-run")
				require.Equal(t, records[i].Summary.CoRunCost.HashesGained.Value, got.Mullets[0].CoRunCost.HashesGained.Value)
				require.Contains(t, []string{got.Training[0].Workload, got.Training[len(got.Training)-1].Workload}, got.Mullets[0].Workload)
			}
		})
	}
}
