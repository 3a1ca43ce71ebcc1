package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
)

// TestComparisonPageIsBounded: of hundreds of uses and trainings a page shows
// some, and says how many there are.
func TestComparisonPageIsBounded(t *testing.T) {
	page := func(n int) Page {
		c := &compare.Comparison{Reference: "a", Candidates: []compare.Candidate{{ID: "a"}, {ID: "b"}}}
		for i := range n {
			c.Tables = append(c.Tables, compare.Table{Scenario: fmt.Sprint("s", i), Use: "training", Groups: []compare.Group{{}}})
			c.Mixes = append(c.Mixes, compare.Mix{Candidate: "a", Scenario: fmt.Sprint("s", i)})
		}
		return Page{Comparison: c, Records: []*results.Record{{}, {}}}
	}
	few := uses(page(3))
	require.Len(t, few.Blocks, 3)
	require.NotContains(t, strings.Join(few.Lead, " "), "are shown")
	many := uses(page(mostUses + 50))
	require.Len(t, many.Blocks, mostUses)
	require.Contains(t, strings.Join(many.Lead, " "), "The first 300 of 350 are shown")

	_, left := planeCharts(page(3))
	require.Zero(t, left)
	charts, left := planeCharts(page(mostTrainings + 20))
	require.Equal(t, 20, left)
	require.LessOrEqual(t, len(charts), 2*mostTrainings)
}
