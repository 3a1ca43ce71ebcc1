package docs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	miner "github.com/perwatt/perwatt/harness/miner/all"
	power "github.com/perwatt/perwatt/harness/power/all"
)

// Each meter that a spec can name has a row, and each API of a miner the row of its help.
func TestKinds(t *testing.T) {
	rows := func(page, heading string) string {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		_, table, found := strings.Cut(string(text), heading)
		require.True(t, found, page)
		table, _, _ = strings.Cut(table, "\n\n")
		return table
	}
	meters := rows("meters.md", "\n| meter | boundary | source | best grade |")
	for _, k := range power.Kinds() {
		require.Regexp(t, "\n\\| `"+k.Name+"[`:]", meters)
	}
	require.Equal(t, len(power.Kinds()), strings.Count(meters, "\n| `"), "and no other")
	apis := rows("mining-pool.md", "\n| kind | miners |")
	for _, k := range miner.Kinds() {
		require.Contains(t, apis, "\n| `"+k.Name+"` | "+k.Help+" |")
	}
	require.Equal(t, len(miner.Kinds()), strings.Count(apis, "\n| `"), "and no other")
}
