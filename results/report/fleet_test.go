package report

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/site/sitetest"
)

func printedOf(t testing.TB, format Format, f sitetest.Fleet, opt site.Options) (string, *site.Analysis) {
	t.Helper()
	r, outcomes, sessions, groups := f.Make()
	a := site.Analyse(r, outcomes, sessions, groups, opt)
	var out bytes.Buffer
	require.NoError(t, WriteFleet(&out, format, FleetPage{Analysis: a}, Options{Width: 160}))
	return out.String(), a
}

func TestAFleetOfAnySizeIsSomeTensOfLines(t *testing.T) {
	for _, nodes := range []int{10, 500, 10_000} {
		if nodes > 1000 && testing.Short() {
			continue
		}
		text, a := printedOf(t, Text, sitetest.Mixed(nodes), site.Options{Budgets: map[string]float64{"": 1}})
		require.Less(t, strings.Count(text, "\n"), 250, "%d nodes", nodes)
		require.NotContains(t, text, "NaN")
		named := 0
		for _, n := range a.Nodes {
			if n.Health == site.Wrong && strings.Contains(text, n.Name) {
				named++
			}
		}
		require.Equal(t, min(a.Counts[site.Wrong], printedNodes), min(named, printedNodes), "wrong answers are named")
		require.Less(t, strings.Index(text, "computes wrongly")+strings.Index(text, "compute wrongly"), strings.Index(text, "Completion"), "and come first")
	}
}

func TestTheCSVOfAFleetHasEveryFigureOfEveryNode(t *testing.T) {
	text, a := printedOf(t, CSV, sitetest.Mixed(50), site.Options{})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	figures, bare := 0, 0
	of := map[int]bool{}
	for _, d := range a.Figures {
		figures += len(d.Points)
		for _, p := range d.Points {
			of[p.Node] = true
		}
	}
	for i := range a.Nodes {
		if !of[i] {
			bare++
		}
	}
	require.Equal(t, 1+figures+bare, len(rows))
}

func TestTheMixOfASite(t *testing.T) {
	on := time.Date(2026, 9, 14, 0, 0, 0, 0, time.UTC)
	prices, err := economics.Parse(strings.NewReader(economics.Example()), on)
	require.NoError(t, err)
	text, a := printedOf(t, Text, sitetest.Fleet{Nodes: 40, TwoKinds: true}, site.Options{Prices: prices, AsOf: on})
	require.Len(t, a.Mix, 2)
	require.Contains(t, text, "best spent on")
	for _, b := range a.Mix {
		require.False(t, b.Margin.Value.IsAbsent())
		require.Contains(t, text, string(b.Verdict))
	}
}

// What the meter of a rack reads stands beside the sum of its nodes, each with its
// boundary, and the difference only where both are of the same nodes.
func TestTheMeterOfARackStandsBesideItsNodes(t *testing.T) {
	meter := func(rack string, nodes int, watts results.Float) site.RackPower {
		return site.RackPower{Rack: rack, Scenario: "compute", Nodes: nodes, Meter: "pdu", Power: results.Figure{Value: watts, Low: watts - 20, High: watts + 20, Unit: results.Watt, N: 6,
			Provenance: results.Provenance{Boundary: results.Wall, Origin: results.Measured, Grade: "B", Instrument: 0.01}}}
	}
	opt := site.Options{Budgets: map[string]float64{"": 2400}, Racks: []site.RackPower{meter("r01", 8, 2500), meter("r02", 5, 1800)}}
	for _, format := range []Format{Text, Markdown} {
		text, a := printedOf(t, format, sitetest.Fleet{Nodes: 24, PerRack: 8}, opt)
		require.Equal(t, []site.BudgetVerdict{site.Over, site.Within, site.Within}, []site.BudgetVerdict{a.Racks[0].Power, a.Racks[1].Power, a.Racks[2].Power})
		for _, want := range []string{"What the meters of racks read", "rack's meter", "sum of nodes", "beyond the nodes", "switches, fans, losses", "5 of 8 nodes measured at the same time", "r01 (2,500 W of 2,400 W)", "wall"} {
			require.Contains(t, text, want)
		}
		require.Equal(t, 1, strings.Count(text, "switches, fans, losses"))
	}
	var page bytes.Buffer
	_, a := printedOf(t, Text, sitetest.Fleet{Nodes: 24, PerRack: 8}, opt)
	require.NoError(t, WriteFleetHTML(&page, FleetPage{Analysis: a}))
	require.Contains(t, page.String(), "beyond the nodes")
}

// A fleet of which the healthy nodes have heavy tails is said to be one, and its nodes in
// the tail are no outliers.
func TestTailsAreSaid(t *testing.T) {
	text, a := printedOf(t, Text, sitetest.Fleet{Nodes: 1000, Tails: 4}, site.Options{})
	require.Contains(t, text, "of 1,000 healthy nodes lie beyond the limit")
	require.Greater(t, a.Counts[site.CannotTell], 4*a.Counts[site.Outlier])
	text, _ = printedOf(t, Text, sitetest.Fleet{Nodes: 1000}, site.Options{})
	require.NotContains(t, text, "healthy nodes lie beyond")
}
