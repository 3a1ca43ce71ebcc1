package compare

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

func TestStanding(t *testing.T) {
	node := func(name string, trainings ...string) *results.Record {
		n := resultstest.CardServer(name, 1)
		n.Only = []string{"idle", "mining"}
		for _, s := range trainings {
			n.Also(s, 800, map[string]float64{"training": 1e4, "training-bf16": 1e5})
		}
		return resultstest.Session(n, 1, 6, uint64(len(name)))
	}
	const large, mini = "training-bf16-gpt-124m@cuda:0", "training-gpt-mini"
	for _, x := range []struct {
		name           string
		a, b           []string
		scenario, says string
	}{
		{"digits alone", []string{"training-mlp"}, []string{"training-mlp"}, "", ""},
		{"GPUs", []string{mini, large}, []string{large, mini}, "training-bf16-gpt-124m", "on GPUs"},
		{"CPUs", []string{mini, "training-mlp"}, []string{mini}, mini, "on CPUs"},
		{"a GPU and a CPU with a model in common", []string{large, mini}, []string{mini}, mini, "on CPUs"},
		{"the small model, of one on a GPU", []string{mini}, []string{mini + "@cuda:0"}, "", "neither was measured of all candidates"},
		{"nothing in common", []string{large}, []string{mini}, "", "not ranked over all candidates: they have no model in common"},
		{"a model in two precisions", []string{"training-bf16-gpt-mini@cuda:0"}, []string{mini + "@cuda:0"}, "", "no model in common in one precision"},
		{"one does not train", []string{large}, nil, "training-bf16-gpt-124m", "on GPUs"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, err := New(t.Context(), []*results.Record{node("north", x.a...), node("south1", x.b...)}, nil, Options{Seed: 1})
			require.NoError(t, err)
			scenario, says := c.Standing()
			require.Equal(t, x.scenario, scenario)
			if require.Contains(t, says, x.says); x.says == "" {
				require.Empty(t, says)
			}
		})
	}
}
