package report

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
)

// Settings stay in one picture though each breaks rules of its own; another
// meter's have their own.
func TestSweepAcrossGroups(t *testing.T) {
	c := &compare.Comparison{}
	table := compare.Table{Scenario: "mining", Use: "mining", Unit: results.Hash}
	for i, g := range []compare.Group{{Grade: "C", Ranked: true}, {Grade: "C", Why: "stolen time"}, {Grade: "C", Why: "not steady"}, {Grade: "A", Ranked: true}} {
		id := string(rune('a' + i))
		c.Candidates = append(c.Candidates, compare.Candidate{ID: id, Machine: "rig", Setting: id})
		g.Boundary, g.Origin = results.Wall, results.Measured
		g.Rows = []compare.Row{{Candidate: id, Figures: map[string]results.Figure{results.Power: {Value: 150}, results.EnergyPerWork: {Value: 2e-8}}}}
		table.Groups = append(table.Groups, g)
	}
	c.Tables = []compare.Table{table}
	s := sweeps(Page{Comparison: c})
	require.Len(t, s.Blocks, 1)
	require.Contains(t, string(s.Blocks[0].Charts[0].SVG), "Energy per work against watts at mining, wall · measured · C")
}
