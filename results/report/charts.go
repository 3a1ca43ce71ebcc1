package report

import (
	"html/template"

	"github.com/perwatt/perwatt/results/compare"
)

func chartCSS() string                                                      { return "" }
func rankingChart(p Page, t compare.Table, id string) template.HTML         { return "" }
func throughputPowerChart(p Page, t compare.Table, id string) template.HTML { return "" }
func planeCharts(p Page) []template.HTML                                    { return nil }
func mulletChart(p Page) template.HTML                                      { return "" }
func traceCharts(p Page) []template.HTML                                    { return nil }
