package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
)

// trainsTogether is a node whose two cards train one model, beside one of them alone if
// asked, or else a model each.
func trainsTogether(name string, perSecond float64, together, alone bool) resultstest.Node {
	n := resultstest.CardServer(name, 1)
	n.Only = []string{"idle", "compute-bf16@cuda:0"}
	if alone {
		n.Also("training-bf16-gpt-124m@cuda:0", 900, map[string]float64{"training-bf16": 3e5})
	}
	if together {
		n.Also("training-parallel-bf16-gpt-124m@cuda:0-1", 1650, map[string]float64{"training-parallel-bf16": perSecond})
	} else {
		n.Also("training-bf16-gpt-124m@cuda:0-1", 1700, map[string]float64{"training-bf16": perSecond / 2})
	}
	return n
}

// The tables have the scaling efficiency, or say why there is none; where cards train a
// model each, every table with their sum says so.
func TestScaling(t *testing.T) {
	print := func(n resultstest.Node) string {
		var out strings.Builder
		require.NoError(t, report.Write(&out, report.Text, resultstest.Session(n, 1, 6, 1), report.Options{Width: 2000}))
		return out.String()
	}
	both := print(trainsTogether("north", 5.4e5, true, true))
	_, after, found := strings.Cut(both, "One model on several cards")
	require.True(t, found, both)
	require.Regexp(t, `training-parallel-bf16-gpt-124m@cuda:0-1\s.*\s(89\.[5-9]|90\.[0-5])\d*\n`, after)
	require.Contains(t, after, "Scaling efficiency is the throughput ÷ (cards × that of one of them alone")
	require.Contains(t, strings.Join(strings.Fields(after), " "), "Training one model on several cards has not yet run on hardware.")
	require.NotContains(t, both, results.NoteIndependent)

	one := print(trainsTogether("north", 5.4e5, true, false))
	require.Contains(t, one, "no scaling efficiency: one card alone was not measured in this session")

	independent := print(trainsTogether("north", 5.4e5, false, true))
	require.NotContains(t, independent, "One model on several cards")
	require.GreaterOrEqual(t, strings.Count(independent, results.NoteIndependent), 4, "the figures, the cards, the kilowatt-hour and the arithmetic")
}

// A comparison has it as a column, of one session and of several, with an explanation;
// and says of which rows the cards trained a model each.
func TestScalingCompared(t *testing.T) {
	for sessions := 1; sessions <= 2; sessions++ {
		var records []*results.Record
		for i, perSecond := range []float64{5.4e5, 4.8e5} {
			for session := range sessions {
				records = append(records, resultstest.Session(trainsTogether([]string{"north", "south"}[i], perSecond, true, true), session+1, 6, uint64(10*i+session+1)))
			}
		}
		records = append(records, resultstest.Session(trainsTogether("east", 5e5, false, true), 1, 6, 99))
		c, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
		require.NoError(t, err)
		found := map[string]bool{}
		for _, table := range c.Tables {
			for _, g := range table.Groups {
				for _, r := range g.Rows {
					f, ok := r.Figures[results.ScalingEfficiency]
					parallel := strings.HasPrefix(table.Use, "training-parallel")
					require.Equal(t, parallel, ok, r.ID)
					require.Equal(t, strings.HasPrefix(r.ID, "east/training-bf16-gpt-124m") && strings.Contains(r.ID, "2 ×"), r.Independent, r.ID)
					if !ok {
						continue
					}
					found[r.Candidate] = true
					want := map[string]float64{"north": 0.9, "south": 0.8}[r.Candidate]
					require.InDelta(t, want, float64(f.Value), 0.03, "%d sessions", sessions)
					require.False(t, f.Low.IsAbsent())
					e, err := c.Explain(r.ID + "/" + results.ScalingEfficiency)
					require.NoError(t, err)
					require.Contains(t, e.Formula, "of one of them alone")
					require.NotEmpty(t, e.Inputs)
				}
			}
		}
		require.Equal(t, map[string]bool{"north": true, "south": true}, found)
		var out strings.Builder
		require.NoError(t, report.WriteComparison(&out, report.Text, report.Page{Comparison: c}, report.Options{Width: 2000}))
		require.Contains(t, out.String(), "scaling efficiency")
		require.Contains(t, out.String(), results.NoteIndependent)
	}
}

// A machine with equal cards says how they train.
func TestEqualCardsOfMachine(t *testing.T) {
	node := resultstest.Session(trainsTogether("north", 5e5, true, true), 1, 6, 1).Node
	for usable, want := range map[string]bool{"cpu cuda:0 cuda:1": true, "cpu cuda:0": false} {
		var out strings.Builder
		require.NoError(t, report.WriteMachine(&out, report.Machine{Node: node, Usable: strings.Fields(usable)}, report.Options{Width: 2000}))
		require.Equal(t, want, strings.Contains(out.String(), "cuda:0-1: equal cards train a model each in training, and one model together in training-parallel"), usable)
	}
}
