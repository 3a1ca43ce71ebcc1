package results_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestNearest(t *testing.T) {
	known := []string{"idle", "control", "mining", "training", "training-bf16", "compute", "memory", "mullet", "sha256d", "cpu"}
	for _, c := range []struct{ name, want string }{
		{"minning", "mining"},
		{"mnining", "mining"}, // two letters swapped
		{"MINING", "mining"},
		{"trainig", "training"},
		{"train", "training"}, // a beginning
		{"sha", "sha256d"},
		{"mulet", "mullet"},
		{"cpy", "cpu"},
		{"gaming", ""},
		{"gpu", "cpu"}, // whoever calls it has asked for gpu before
		{"xyz", ""},
		{"", ""},
		{"m", ""},
		{strings.Repeat("mining", 100), ""},
	} {
		require.Equal(t, c.want, results.Nearest(c.name, known), "%q", c.name)
	}
	require.Equal(t, "; did you mean mining?", results.DidYouMean("minin", known))
	require.Empty(t, results.DidYouMean("quantum", known))
}
