package chart

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
)

func TestOf(t *testing.T) {
	m := results.Figure{Value: 0.0000173, Low: 0.0000171, High: 0.0000175, Unit: results.Joule.Per(results.Hash), Provenance: results.Provenance{Origin: results.Modelled}}
	require.Equal(t, Figure{Value: 0.0000173, Low: 0.0000171, High: 0.0000175, Modelled: true, Text: "~17.3 MJ/TH", Interval: "[17.1, 17.5]"}, Of(m))

	m = results.Figure{Value: 12, Low: results.Absent(), High: results.Absent(), Unit: results.Watt, Provenance: results.Provenance{Origin: results.Measured}}
	got := Of(m)
	require.Equal(t, "12.00 W", got.Text)
	require.False(t, got.Modelled)
	require.True(t, math.IsNaN(got.Low))
}

// A chart whose figures have no text of their own prints the units of the
// tables.
func TestAxisOf(t *testing.T) {
	for u, want := range map[results.Unit]string{
		results.Watt: ">1,230 W<", results.Hash.Per(results.Second): ">1.23 kH/s<", results.Joule.Per(results.Hash): ">1.23 kJ/TH<",
		results.Ratio: ">1,230 %<", results.Sample.Per(results.Joule): ">1.23 ksamples/J<",
	} {
		a := AxisOf("x", u)
		r := Ranking{Axis: a, Uses: []string{"b"}, Rows: []Ranked{{Name: "a", At: []Rank{{Figure: Figure{Value: 1234.5 / table.ShapeOf(u).Factor}}}}}}
		require.Contains(t, string(r.SVG()), want)
	}
}
