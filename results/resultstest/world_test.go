package resultstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// TestSessionKeepsTheRules: what tests rank must be fit to be ranked.
func TestSessionKeepsTheRules(t *testing.T) {
	rec := Session(Server("node7", 1), 1, 6, 1)
	for _, f := range rec.Summary.Validity.Findings {
		require.NotEqual(t, results.Fail, f.Outcome, "%s: %s", f.Rule, f.Figure)
	}
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	if dir := os.Getenv("PERWATT_WRITE_RECORDS"); dir != "" { // to look at pages of machines that do not exist
		for i, n := range []Node{Server("north", 1), Server("south", 1.031), Server("west", 0.9), Server("east", 1.004)} {
			if n.Name == "west" {
				n.Meter, n.CPU = "pdu-west.example", "Intel Xeon Platinum 8380"
				n.Watts = map[string]float64{"mining": 301, "training-mlp": 283, "compute": 298, "mullet": 300}
			}
			for s := range 5 {
				raw, err := results.Seal(Session(n, s, 6, uint64(i+1)))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, n.Name+"-"+string(rune('1'+s))+".json"), raw, 0o644))
			}
		}
	}
	require.NotEmpty(t, raw)
}
