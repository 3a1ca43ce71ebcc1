package report

import (
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/chart"
	"github.com/perwatt/perwatt/results/report/table"
)

// axis is the axis of a chart that counts in u, with the unit and the
// prefixes that the tables use.
func axis(title string, u results.Unit) chart.Axis {
	s := table.ShapeOf(u)
	return chart.Axis{Title: title, Unit: s.Symbol, Factor: s.Factor, MinExp: s.Min, MaxExp: s.Max}
}

// chartFigure is a metric as a chart draws it: its text is that of the tables,
// its place that of its value and interval.
func chartFigure(m results.Figure) chart.Figure {
	value, bounds := table.Split(m)
	text := value
	if bounds != "" {
		text += " " + bounds
	}
	return chart.Figure{
		Value: float64(m.Value), Low: float64(m.Low), High: float64(m.High),
		Modelled: strings.HasPrefix(value, "~"), Text: text,
	}
}
