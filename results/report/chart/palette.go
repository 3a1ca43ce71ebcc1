package chart

import (
	"fmt"
	"image/color"
	"strings"
)

// ink is a colour by its purpose. It is a class in the SVG; the stylesheet
// holds the values.
type ink string

// The inks.
const (
	paper ink = "bg"
	text  ink = "ink"   // names, values
	muted ink = "muted" // axes and notes
	rule  ink = "rule"  // axis lines, brackets
	grid  ink = "grid"
	band  ink = "band" // a shaded range: a margin, a phase
	tied  ink = "tie"  // behind rows that cannot be told apart
	deep  ink = "deep" // a shaded range within a band

	// Series, also as text.
	hueA ink = "a"
	hueB ink = "b"
	hueC ink = "c"
	hueD ink = "d"
	hueE ink = "e"
	hueF ink = "f"

	// Backgrounds of cells, from faint to strong, for better and worse.
	up1   ink = "up1"
	up2   ink = "up2"
	up3   ink = "up3"
	down1 ink = "dn1"
	down2 ink = "dn2"
	down3 ink = "dn3"
)

var hues = []ink{hueA, hueB, hueC, hueD, hueE, hueF}

// hue is the ink of series i.
func hue(i int) ink { return hues[i%len(hues)] }

// palette holds every ink in both schemes. Hues differ in lightness too, for
// colour-blind readers and for print.
var palette = []struct {
	ink         ink
	light, dark string
}{
	{paper, "#ffffff", "#15181c"},
	{text, "#1b1f24", "#eceff3"},
	{muted, "#5a626c", "#a3adb8"},
	{rule, "#8a929c", "#6f7984"},
	{grid, "#e6e9ed", "#2a2f36"},
	{band, "#f1f3f6", "#1f242a"},
	{tied, "#eef2f8", "#202833"},
	{deep, "#dfe6ef", "#2b3440"},
	{hueA, "#0b5cad", "#74b5f5"},
	{hueB, "#b8420f", "#f59a63"},
	{hueC, "#00705a", "#4fcfac"},
	{hueD, "#7d3f98", "#d09bea"},
	{hueE, "#7a5b00", "#d9b84e"},
	{hueF, "#4d5966", "#b4bfcb"},
	{up1, "#e8f1fa", "#182636"},
	{up2, "#cfe3f6", "#1c3652"},
	{up3, "#aed0f0", "#214a75"},
	{down1, "#fbeee6", "#2e2219"},
	{down2, "#f8dcc9", "#4a2f1d"},
	{down3, "#f2c3a3", "#6b3f20"},
}

// RGBA makes ink a color.Color, as vg.Canvas wants. Nothing reads the values.
func (i ink) RGBA() (r, g, b, a uint32) { return color.Black.RGBA() }

// CSS returns the part of a page's stylesheet that charts need: the custom
// properties --chart-… in a light and a dark scheme, the classes that use them,
// and the rule that shows the wide or the narrow drawing. A page may override
// the properties after it.
func CSS() string {
	var light, dark, classes strings.Builder
	for _, p := range palette {
		fmt.Fprintf(&light, "--chart-%s:%s;", p.ink, p.light)
		fmt.Fprintf(&dark, "--chart-%s:%s;", p.ink, p.dark)
		fmt.Fprintf(&classes, ".chart .f-%[1]s{fill:var(--chart-%[1]s)}.chart .s-%[1]s{stroke:var(--chart-%[1]s)}\n", p.ink)
	}
	return ":root{" + light.String() + "}\n" +
		"@media (prefers-color-scheme:dark){:root{" + dark.String() + "}}\n" +
		"@media print{:root{" + light.String() + "}.chart{break-inside:avoid;print-color-adjust:exact;-webkit-print-color-adjust:exact}}\n" +
		`.chart{container:chart/inline-size}
.chart>svg{display:block;overflow:visible;width:100%;height:auto;max-width:860px;font-family:"Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;text-rendering:geometricPrecision}
.chart>svg.narrow{max-width:480px}
.chart>.narrow{display:none}
@container chart (max-width:639px){.chart>.wide{display:none}.chart>.narrow{display:block}}
.chart p,.chart ul{margin:.3rem 0;color:var(--chart-muted);font-size:.82rem;line-height:1.4;overflow-wrap:anywhere}
.chart ul{padding:0;list-style:none;color:var(--chart-ink)}
.chart li{display:inline-block;margin:0 1rem 0 0}
.chart li svg{width:28px;height:14px;vertical-align:middle}
.chart path,.chart circle{fill:none}
.chart .b{font-weight:700}
.chart .mid{text-anchor:middle}.chart .end{text-anchor:end}
.chart .h{paint-order:stroke;stroke:var(--chart-bg);stroke-width:3px;stroke-linejoin:round}
` + classes.String()
}
