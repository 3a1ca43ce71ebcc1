package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// together are sessions of a node that measured with so many at once, or alone.
func together(name string, nodes, sessions int, seed uint64) (out []*results.Record) {
	for i := range sessions {
		r := resultstest.Session(resultstest.Server(name, 1), i+1, 6, seed)
		r.Start, r.End = r.Start.Add(time.Duration(seed)*1000*time.Hour), r.End.Add(time.Duration(seed)*1000*time.Hour)
		if nodes > 0 {
			r.Plan.Fleet = &results.Fleet{Run: "acceptance", Node: name, Attempt: 1, Together: nodes}
		}
		out = append(out, r)
	}
	return out
}

// Each table says in which group of it a candidate is, and how it is judged.
func TestTogetherIsAnotherMeasurement(t *testing.T) {
	for _, c := range []struct {
		name       string
		sessions   [][]*results.Record
		candidates []string
		groups     int
		verdict    string // of the last candidate: a part of the reason
		warning    string
	}{
		{"one node, alone and together", [][]*results.Record{together("a", 0, 3, 1), together("a", 32, 3, 2)}, []string{"a", "a together"}, 2, "another measurement", ""},
		{"two nodes, one together", [][]*results.Record{together("a", 0, 3, 1), together("b", 32, 3, 2)}, []string{"a", "b together"}, 2, "another measurement", ""},
		{"two nodes together", [][]*results.Record{together("a", 32, 3, 1), together("b", 32, 3, 2)}, []string{"a together", "b together"}, 1, "", ""},
		{"with other numbers", [][]*results.Record{together("a", 16, 3, 1), together("b", 32, 3, 2)}, []string{"a together", "b together"}, 1, "", "a together was measured with 16 nodes at once, b together with 32"},
		{"one with both numbers", [][]*results.Record{together("a", 16, 3, 1), together("a", 32, 3, 2)}, []string{"a together"}, 1, "", "a together was measured with 16 nodes at once, a together with 32"},
		{"a rack of one is alone", [][]*results.Record{together("a", 0, 3, 1), together("b", 1, 3, 2)}, []string{"a", "b"}, 1, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var records []*results.Record
			for _, of := range c.sessions {
				records = append(records, of...)
			}
			got, err := New(t.Context(), records, nil, Options{Seed: 1})
			require.NoError(t, err)
			var ids []string
			for _, cand := range got.Candidates {
				ids = append(ids, cand.ID)
			}
			require.Equal(t, c.candidates, ids)
			for _, table := range got.Tables {
				require.Len(t, table.Groups, c.groups, table.ID())
				for _, g := range table.Groups {
					for _, r := range g.Rows {
						require.Equal(t, strings.HasSuffix(r.Candidate, " together"), g.Together)
						if r.Candidate != got.Reference {
							require.Contains(t, r.Verdict.Why, c.verdict)
							require.Equal(t, c.groups > 1, r.Index.Value.IsAbsent(), fmt.Sprint(r.Index))
						}
					}
				}
			}
			var warnings []string
			for _, w := range got.Warnings {
				warnings = append(warnings, w.Text)
			}
			if c.warning == "" {
				require.Empty(t, warnings)
			} else {
				require.Contains(t, strings.Join(warnings, "\n"), c.warning)
			}
		})
	}
}
