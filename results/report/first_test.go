package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// unfolded counts the words and charts of a page that are seen before anything is
// opened.
func unfolded(t *testing.T, page []byte) (words, charts int) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch {
		case n.Type == html.TextNode:
			words += len(strings.Fields(n.Data))
			return
		case n.Data == "svg":
			charts++
			return
		case slices.Contains(n.Attr, html.Attribute{Key: "class", Val: "printed"}): // on paper alone
			return
		case n.Data == "script" || n.Data == "style" || n.Data == "head":
			return
		}
		closed := n.Data == "details" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "open" })
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if !closed || c.Data == "summary" {
				walk(c)
			}
		}
	}
	walk(root)
	return words, charts
}

// TestFirstScreen: what is seen before anything is opened fits a board's minute.
func TestFirstScreen(t *testing.T) {
	for name, records := range map[string][]*results.Record{"winner": clearWinner(), "nothing": nothingToRank(), "kinds": threeKinds()} {
		p := pageOf(t, records)
		page := rendered(t, p)
		words, charts := unfolded(t, page)
		require.Less(t, words, 900, name)
		require.Greater(t, words, 300, "the count must have read the page")
		require.LessOrEqual(t, charts, 6, name)
		require.Contains(t, string(page), `id="filter"`)
		require.NotRegexp(t, `<summary>[0-9]+ more</summary>`, string(page), "what is folded has a name")
		for _, l := range verdictOf(p).lines() {
			require.NotEmpty(t, l)
		}
		require.Equal(t, page, rendered(t, p), "the same input gives the same bytes")
	}
}

// TestVerdict: the answer in words to the questions that readers bring.
func TestVerdict(t *testing.T) {
	compute := func(name string, scale float64) resultstest.Node {
		n := resultstest.Server(name, scale)
		n.Only = []string{"idle", "compute"}
		return n
	}
	trains, computes := compute("trains", 1), compute("computes", 1)
	trains.Only, computes.Only = []string{"idle", "training-mlp", "compute"}, []string{"idle", "training-mlp", "compute"}
	trains.Rates["training-mlp/training"] *= 1.3
	computes.Rates["compute/compute"] *= 1.3
	mines := resultstest.Server("mines", 1)
	mines.Only = []string{"idle", "mining"}
	var many []resultstest.Node
	for i := range 60 {
		many = append(many, compute(fmt.Sprintf("m%02d", i), 1+float64(i*i*i)/100))
	}
	for _, x := range []struct {
		name    string
		records []*results.Record
		says    []string
		not     []string
	}{
		{"winner", clearWinner(), []string{"Most work per joule: south (AMD EPYC 7543) at every use (training-mlp and compute).", "more work per joule than north"}, []string{"mining", "west"}},
		{"nothing", nothingToRank(), []string{"Nothing can be ranked: the candidates' watts were modelled or declared, not measured.", "What would settle it: a meter at the wall"}, []string{"earns most"}},
		{"kinds", threeKinds(), []string{"gpu-node (2 × NVIDIA H200) at compute and training-bf16-gpt-124m; asic (Simulated ASIC) at mining.", "times", "the work per joule of cpu-node", "asic earns most, with mining"}, []string{"cpu-node is better", "training-mlp"}},
		{"two winners", sessionsOf(3, trains, computes), []string{"trains (AMD EPYC 7543) at training-mlp; computes (AMD EPYC 7543) at compute."}, []string{"every use"}},
		{"all tied", sessionsOf(5, compute("a", 1), compute("b", 1), compute("c", 1)), []string{"within the margin of 2 %"}, []string{"Most work"}},
		{"one session each", sessionsOf(1, compute("a", 1), compute("b", 1.02)), []string{"Cannot tell", "4 more sessions of each would settle it"}, []string{"Most work"}},
		{"one candidate", sessionsOf(3, compute("a", 1)), []string{"Fit to be ranked", "a (AMD EPYC 7543) gives", "at compute"}, []string{"leads"}},
		{"one record", sessionsOf(1, compute("a", 1)), []string{"To be trusted: passes all", "Best on a: compute ", "GFLOP/J"}, []string{"rival", "Cannot tell", "reference"}},
		{"one record of modelled watts", nothingToRank()[:1], []string{"Not to be trusted: the rates are measured, the watts are modelled", "Best on guest-a: ", "What would help most: read a meter"}, []string{"rival", "Cannot tell", "reference"}},
		{"the reference is measured at no such use", sessionsOf(3, mines, compute("b", 1), compute("c", 1.2)), []string{"Most work per joule: c ("}, nil},
		{"sixty", sessionsOf(3, many...), []string{"Most work per joule: m59 ("}, []string{"m00"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := pageOf(t, x.records)
			said := strings.Join(verdictOf(p).lines(), "\n")
			for _, want := range x.says {
				require.Contains(t, said, want)
			}
			for _, no := range x.not {
				require.NotContains(t, said, no)
			}
			if len(p.Comparison.Candidates) == 1 {
				require.NotContains(t, string(rendered(t, p)), `id="filter"`, "there is nothing to choose from")
			}
			if len(x.records) == 1 {
				require.Empty(t, verdictOf(p).More, "all of it is in sight")
				_, why, first := trust(x.records[0])
				require.Contains(t, said, why, "the words of a run's last lines")
				require.Contains(t, said, first)
				require.Contains(t, said, bestOf(x.records[0]))
				for _, m := range matrices(p) {
					require.NotContains(t, fmt.Sprint(m), "rival")
					require.NotContains(t, fmt.Sprint(m), "reference")
				}
			}
			var text bytes.Buffer
			require.NoError(t, WriteComparison(&text, Text, p, Options{}))
			require.Less(t, strings.Index(text.String(), "Verdict"), strings.Index(text.String(), "place"))
			if x.name == "sixty" {
				require.Len(t, matrices(p), 2)
				require.Equal(t, "m59", matrices(p)[0].Rows[0].Name)
				require.Len(t, matrices(p)[0].Rows, shownMost)
			}
		})
	}
}
