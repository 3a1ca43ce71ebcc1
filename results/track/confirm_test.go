package track

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
)

// What is measured again is named as perwatt run takes it, in its precision.
func TestNamed(t *testing.T) {
	n := resultstest.CardServer("north", 1)
	n.Only = []string{"idle", "mining", "mining@cuda:0", "mullet@cuda:0"}
	n.Also("training-gpt-mini", 263, map[string]float64{"training": 40_000})
	n.Also("training-gpt-mini@cuda:0", 800, map[string]float64{"training": 2e6})
	n.Also("training-bf16-gpt-124m@cuda:0-1", 900, map[string]float64{"training-bf16": 3e5})
	rec := resultstest.Session(n, 1, 1, 1)
	want := map[string]string{
		"idle": "idle", "mining": "mining", "mining@cuda:0": "mining@cuda:0", "mullet@cuda:0": "mullet@cuda:0", "training-gpt-mini": "training",
		"training-gpt-mini@cuda:0": "training@cuda:0", "training-bf16-gpt-124m@cuda:0-1": "training-bf16@cuda:0-1",
	}
	for i, at := range rec.Places() {
		scenario := rec.Summary.Rows[i].Scenario
		require.Equal(t, want[scenario], named(rec, store.Key{Scenario: at.Scenario()}), scenario)
	}
}
