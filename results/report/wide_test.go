package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report/table"
)

// TestComparisonPageIsBounded: of hundreds of uses and trainings a page shows
// some, and says how many there are.
func TestComparisonPageIsBounded(t *testing.T) {
	page := func(n int) Page {
		c := &compare.Comparison{Reference: "a", Candidates: []compare.Candidate{{ID: "a"}, {ID: "b"}}}
		for i := range n {
			c.Tables = append(c.Tables, compare.Table{Scenario: fmt.Sprint("s", i), Use: "training", Groups: []compare.Group{{Rows: []compare.Row{{Candidate: "a"}}}}})
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

// TestTablesOfPagesAreBounded: whatever a page is of, no table or list of it is
// longer than a browser can show, and it says how long it would be.
func TestTablesOfPagesAreBounded(t *testing.T) {
	write := func(n int) string {
		b := block{Table: table.Table{Columns: table.Named("x")}}
		for i := range n {
			b.Row(text(fmt.Sprint("row ", i)))
			b.Add("", fmt.Sprint("item ", i))
		}
		var out strings.Builder
		require.NoError(t, view{Sections: []section{{ID: "s", Blocks: []block{{Blocks: []block{b}}}}}}.write(&out))
		return out.String()
	}
	require.NotContains(t, write(table.MostListed), "The first")
	long := write(table.MostListed + 5)
	require.Equal(t, table.MostListed, strings.Count(long, ">row "))
	require.Equal(t, table.MostListed, strings.Count(long, ">item "))
	require.Contains(t, long, "The first 5000 of 5005 rows")
	require.Contains(t, long, "The first 5000 of 5005.")
}
