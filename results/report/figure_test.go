package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

func TestChartFigure(t *testing.T) {
	m := results.Figure{Value: 0.0000173, Low: 0.0000171, High: 0.0000175, Unit: results.Joule.Per(results.Hash), Provenance: results.Provenance{Origin: results.Modelled}}
	got := chartFigure(m)
	require.Equal(t, chart.Figure{Value: 0.0000173, Low: 0.0000171, High: 0.0000175, Modelled: true, Text: "~17.3 MJ/TH [17.1, 17.5]"}, got)

	m = results.Figure{Value: 12, Low: results.Absent(), High: results.Absent(), Unit: results.Watt, Provenance: results.Provenance{Origin: results.Measured}}
	got = chartFigure(m)
	require.Equal(t, "12.00 W", got.Text)
	require.False(t, got.Modelled)
	require.True(t, math.IsNaN(got.Low))
}

// A chart whose figures have no text of their own prints the units of the
// tables.
func TestAxis(t *testing.T) {
	for _, u := range []results.Unit{results.Watt, results.Hash.Per(results.Second), results.Joule.Per(results.Hash), results.Ratio, results.Sample.Per(results.Joule)} {
		a := axis("x", u)
		s := table.ShapeOf(u)
		require.Equal(t, chart.Axis{Title: "x", Unit: s.Symbol, Factor: s.Factor, MinExp: s.Min, MaxExp: s.Max}, a)
		v := 1234.5 / s.Factor
		r := chart.Ranking{Axis: a, Rows: []chart.Ranked{{Name: "a", Figure: chart.Figure{Value: v}}}}
		want := ""
		switch u {
		case results.Ratio:
			want = ">1234 %<"
		default:
			want = ">1.23 k" + s.Symbol + "<"
		}
		require.Contains(t, string(r.SVG()), want)
	}
}
