package chart_test

import (
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/report/chart"
)

// area is a rectangle of a drawing.
type area struct{ x0, y0, x1, y1 float64 }

func (a area) meets(b area) bool {
	return a.x0 < b.x1-0.05 && b.x0 < a.x1-0.05 && a.y0 < b.y1-0.05 && b.y0 < a.y1-0.05
}

// crossed reports whether the line from x0, y0 to x1, y1 runs through a: Liang and
// Barsky's clipping.
func (a area) crossed(x0, y0, x1, y1 float64) bool {
	from, to := 0.0, 1.0
	for _, c := range [][2]float64{{x0 - x1, x0 - a.x0}, {x1 - x0, a.x1 - x0}, {y0 - y1, y0 - a.y0}, {y1 - y0, a.y1 - y0}} {
		switch p, q := c[0], c[1]; {
		case p == 0 && q <= 0.05:
			return false
		case p < 0:
			from = max(from, q/p)
		case p > 0:
			to = min(to, q/p)
		}
	}
	return to-from > 1e-3
}

// element is one of an SVG drawing.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e element) number(name string, otherwise float64) float64 {
	if v, err := strconv.ParseFloat(e.attr(name), 64); err == nil {
		return v
	}
	return otherwise
}

// laid is what a drawing has: the areas of its texts, each as wide as the widest
// font makes it, and the lines of its marks. Grids and shaded grounds are no marks.
type laid struct {
	size  float64
	texts []area
	names []string
	lines [][4]float64
	of    []string // class of each line
}

func (l *laid) read(e element) {
	class := strings.Fields(e.attr("class"))
	ground := func(c string) bool {
		return slices.Contains([]string{"s-grid", "s-bg", "f-bg", "f-band", "f-tie", "f-deep", "f-up1", "f-up2", "f-up3", "f-dn1", "f-dn2", "f-dn3"}, c)
	}
	switch e.XMLName.Local {
	case "text":
		size, x, y := e.number("font-size", l.size), e.number("x", 0), e.number("y", 0)
		w := chart.Width(e.Text, size, slices.Contains(class, "b"))
		switch {
		case slices.Contains(class, "mid"):
			x -= w / 2
		case slices.Contains(class, "end"):
			x -= w
		}
		l.texts, l.names = append(l.texts, area{x, y - 0.76*size, x + w, y + 0.22*size}), append(l.names, e.Text)
	case "circle":
		x, y, r := e.number("cx", 0), e.number("cy", 0), e.number("r", 0)
		l.lines, l.of = append(l.lines, [4]float64{x - r, y, x + r, y}, [4]float64{x, y - r, x, y + r}), append(l.of, e.attr("class"), e.attr("class"))
	case "path":
		if !slices.ContainsFunc(class, func(c string) bool { return !ground(c) }) {
			return
		}
		var start, last [2]float64
		for _, sub := range strings.Split(strings.TrimPrefix(e.attr("d"), "M"), "M") {
			closed := strings.HasSuffix(sub, "Z")
			f := strings.Fields(strings.NewReplacer("L", " ", "Z", " ").Replace(sub))
			for i := 0; i+1 < len(f); i += 2 {
				x, _ := strconv.ParseFloat(f[i], 64)
				y, _ := strconv.ParseFloat(f[i+1], 64)
				if i == 0 {
					start = [2]float64{x, y}
				} else {
					l.lines, l.of = append(l.lines, [4]float64{last[0], last[1], x, y}), append(l.of, e.attr("class"))
				}
				last = [2]float64{x, y}
			}
			if closed {
				l.lines, l.of = append(l.lines, [4]float64{last[0], last[1], start[0], start[1]}), append(l.of, e.attr("class"))
			}
		}
	}
	for _, c := range e.Children {
		l.read(c)
	}
}

// misplaced lists the texts of a chart that leave its drawing, lie on each other or are
// crossed by a mark, and how many texts there are.
func misplaced(t testing.TB, markup string) (faults []string, texts int) {
	t.Helper()
	var root element
	require.NoError(t, xml.Unmarshal([]byte(markup), &root))
	for _, svg := range root.Children {
		if svg.XMLName.Local != "svg" {
			continue
		}
		l := laid{size: svg.number("font-size", math.NaN())}
		l.read(svg)
		var sheet area
		_, err := fmt.Sscan(svg.attr("viewBox"), &sheet.x0, &sheet.y0, &sheet.x1, &sheet.y1)
		require.NoError(t, err)
		say := func(i int, what string) {
			faults = append(faults, fmt.Sprintf("%s: %q %s", svg.attr("class"), l.names[i], what))
		}
		for i, a := range l.texts {
			if a.x0 < sheet.x0-0.1 || a.y0 < sheet.y0-0.1 || a.x1 > sheet.x1+0.1 || a.y1 > sheet.y1+0.1 {
				say(i, fmt.Sprintf("leaves the drawing: %.1f", a))
			}
			for j := range i {
				if a.meets(l.texts[j]) {
					say(i, fmt.Sprintf("lies on %q", l.names[j]))
				}
			}
			for j, k := range l.lines {
				if a.crossed(k[0], k[1], k[2], k[3]) {
					say(i, "is crossed by "+l.of[j])
				}
			}
		}
		texts += len(l.texts)
	}
	return faults, texts
}

// TestLayout: whatever the names are and however many, each text lies in its drawing, on
// no other text and on no mark.
func TestLayout(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(charts())) {
		faults, texts := misplaced(t, string(charts()[name].SVG()))
		require.Empty(t, faults, name)
		if name != "empty" && name != "history-none" {
			require.Greater(t, texts, 4, name)
		}
	}
	counts := []int{1, 3, 10, 60}
	if testing.Short() {
		counts = []int{3, 60}
	}
	for _, name := range []string{"node", strings.Repeat("W", 40), "rack 12, north, 2 × NVIDIA H200 NVL 141GB", strings.Repeat("名前の長い候補者", 5), "e\u0301\u202eevil</text>", ""} {
		for _, n := range counts {
			for i, c := range many(name, n) {
				faults, texts := misplaced(t, string(c.SVG()))
				require.Empty(t, faults, "%d %T of %d named %q", i, c, n, name)
				require.Positive(t, texts)
			}
		}
	}
}

// TestMisplaced: the faults that TestLayout looks for are found.
func TestMisplaced(t *testing.T) {
	for want, drawn := range map[string]string{
		"leaves the drawing": `<text x="180" y="20">some name</text>`,
		`lies on "other"`:    `<text x="10" y="20">other</text><text x="30" y="24">name</text>`,
		"is crossed by s-a":  `<text x="10" y="20">name</text><g><path class="s-a" d="M0 0L60 40"/></g>`,
		"is crossed by f-b":  `<text x="10" y="20">name</text><path class="f-b" d="M20 0L24 0 24 50 20 50Z"/>`,
		"is crossed by f-c":  `<text x="10" y="20">name</text><circle class="f-c" cx="20" cy="16" r="4"/>`,
	} {
		faults, _ := misplaced(t, `<div><svg class="wide" viewBox="0 0 200 60" font-size="13">`+drawn+`</svg></div>`)
		require.Len(t, faults, map[bool]int{true: 2, false: 1}[strings.HasSuffix(want, "f-b") || strings.HasSuffix(want, "f-c")], want)
		require.Contains(t, faults[0], want)
	}
	faults, texts := misplaced(t, `<div><svg class="wide" viewBox="0 0 200 60" font-size="13"><path class="s-grid" d="M0 16L200 16"/><text x="10" y="20">name</text></svg></div>`)
	require.Empty(t, faults)
	require.Equal(t, 1, texts)
}

// many is one chart of each kind, of n candidates with figures that lie close to
// each other and far apart.
func many(name string, n int) []chart.Chart {
	w := wobble(uint32(n))
	h := chart.Head{ID: "c", Title: name, Table: "t"}
	var rk chart.Ranking
	rk.Head, rk.Axis, rk.Base, rk.Margin, rk.BaseText = h, chart.Axis{Title: "work per joule against the reference", Unit: "%", Factor: 100}, 1, 0.02, name+" = 100 %, margin ± 2 %"
	rk.Uses = []string{"mining", name, "training-bf16-gpt-124m", "compute", "memory", "inference"}[:min(n, 6)]
	var power, plane []chart.Point
	ln := chart.Lines{Head: h, X: chart.Axis{Title: "power price, $/MWh", Free: true}, Y: chart.Axis{Title: "margin, $/MWh"}}
	to := chart.Tornado{Head: h, Axis: outcome, Base: 400, BaseText: "as priced: " + name}
	mx := chart.Matrix{Head: h, Axis: outcome, Across: "hash price, €/PH/d", Down: "power, €/kWh", Better: "pays", Worse: "costs"}
	hi := chart.History{Head: h, Axis: hashJoule}
	tr := trace()
	for i := range n {
		k := 1 + 0.8*w()
		if i%7 == 6 {
			k *= 20
		}
		who := name
		if n > 1 && name != "" {
			who = fmt.Sprint(name, " ", i)
		}
		rk.Rows = append(rk.Rows, chart.Ranked{Name: who, At: ranks(pm(k, 0.05), modelled(pm(k*1.1, 0.1)), pm(k*0.8, 0.1), pm(1.5*k, 0.01)), Reference: i == 0})
		power = append(power, chart.Point{Name: who, X: pm(300*k, 4), Y: pm(30e6*k*(1+0.3*w()), 1e6), Group: []string{"wall · measured · A", "wall · measured · C", ""}[i%3], Note: "+12 W", Reference: i == 0})
		plane = append(plane, chart.Point{Name: who, X: pm(1+0.8*w(), 0.02), Y: modelled(pm(1+0.8*w(), 0.03)), Reference: i == 0})
		s := chart.Series{Name: who, Modelled: i%2 == 0, Marks: i%3 == 0}
		for j := range 6 {
			s.Points = append(s.Points, chart.LinePoint{X: 20 + 20*float64(j), Y: 900*k - 300*w()*float64(j), Low: nan, High: nan})
		}
		ln.Series = append(ln.Series, s)
		ln.Up = append(ln.Up, chart.Level{At: 20 + 100*float64(i)/float64(n), Name: who})
		to.Rows = append(to.Rows, chart.Swing{Name: who, Low: 400 - 300*w(), High: 400 + 900*w()})
		mx.Rows, mx.Columns = append(mx.Rows, who), append(mx.Columns, who)
		var cells []chart.Cell
		for range n {
			cells = append(cells, chart.Cell{Value: 12345 * w(), Better: w() > 0})
		}
		mx.Cells = append(mx.Cells, cells)
		hi.Nights = append(hi.Nights, chart.Night{T: 1.767225600e9 + 86400*float64(i), Figure: pm(50e3*k, 500)})
		hi.Events = append(hi.Events, chart.Moment{T: 1.767225600e9 + 86400*float64(i), Name: who})
		tr.Spans = append(tr.Spans, chart.Span{From: float64(i) * 10, To: float64(i)*10 + 9, Name: who, Window: i%2 == 0})
	}
	return []chart.Chart{rk, ln, to, mx, hi, tr, fleet(name, 40*n, n), floor(name, n, 1+n%4), floor(name, 40*n, 1+n/8),
		chart.ThroughputPower{Head: h, Power: watts, Throughput: hashrate, Efficiency: hashJoule, Points: power},
		chart.TwoUsePlane{Head: h, X: index, Y: index, UseX: "mining", UseY: "training", Margin: 0.02, Points: plane},
		chart.Mullet{Head: h, Kept: percent, Gained: hashes, Points: power},
	}
}

// fleet are nodes of three kinds, of which the first few of each are outliers.
func fleet(name string, nodes, outliers int) chart.Strip {
	w := wobble(uint32(nodes))
	f := chart.Strip{Head: chart.Head{ID: "fleet", Title: "Work per joule of each node", Table: "t"}, Axis: hashJoule}
	for k := range 3 {
		row := chart.StripRow{Name: fmt.Sprint(name, " kind ", k)}
		for i := range nodes / 3 {
			v := 50e3 + 4e3*(w()+w()+w()) + 8e3*float64(k)
			n := chart.StripNode{Name: fmt.Sprint(name, " ", k, "-", i), Figure: chart.Figure{Value: v, Modelled: k == 2}, Outlier: i < outliers/3}
			if n.Outlier {
				n.Value *= 0.5 + w()
			}
			row.Nodes = append(row.Nodes, n)
		}
		f.Rows = append(f.Rows, row)
	}
	return f
}

// floor are the nodes of so many racks; some computed wrongly, are outliers or missing.
func floor(name string, nodes, racks int) chart.Racks {
	w := wobble(uint32(nodes))
	f := chart.Racks{Head: chart.Head{ID: "floor", Title: "The nodes of " + name, Table: "t"}, Of: name, Racks: make([]chart.Rack, racks)}
	for i := range nodes {
		k := &f.Racks[i*racks/nodes]
		k.Name = fmt.Sprint(name, " r", i*racks/nodes)
		n := chart.RackNode{Name: fmt.Sprint(name, "-", i), Sigma: 2 * (w() + w() + w()), Note: name}
		switch i % 29 {
		case 3:
			n.Mark = chart.Wrong
		case 5:
			n.Mark, n.Sigma = chart.Low, -9
		case 7:
			n.Mark, n.Sigma = chart.High, 9
		case 11:
			n.Mark, n.Sigma = chart.Missing, nan
		}
		k.Nodes = append(k.Nodes, n)
	}
	return f
}

// TestFloor: 10,000 nodes have a cell each, those that are marked a mark besides, and
// those of a kind the same shade, in less than 1 MB.
func TestFloor(t *testing.T) {
	for _, racks := range []int{1, 250, 5000} {
		f := floor("node", 10_000, racks)
		got := string(f.SVG())
		require.Less(t, len(got), 1_200_000)
		faults, _ := misplaced(t, got)
		require.Empty(t, faults)
		var root element
		require.NoError(t, xml.Unmarshal([]byte(got), &root))
		count := func(mark chart.RackMark) (n int) {
			for _, k := range f.Racks {
				for _, c := range k.Nodes {
					if c.Mark == mark {
						n++
					}
				}
			}
			return n
		}
		drawings := 0
		for _, svg := range root.Children {
			if svg.XMLName.Local != "svg" {
				continue
			}
			drawings++
			of := map[string]int{}
			var read func(element)
			read = func(e element) {
				of[e.attr("class")] += strings.Count(e.attr("d"), "M")
				for _, c := range e.Children {
					read(c)
				}
			}
			read(svg)
			require.Equal(t, 10_000-count(chart.Missing), of["s-deep"]+of["s-up2"]+of["s-up3"]+of["s-dn2"]+of["s-dn3"])
			require.Equal(t, count(chart.Missing), of["s-muted"])
			require.Equal(t, count(chart.Low), of["f-b"])
			require.Equal(t, count(chart.High), of["f-a"])
			require.Equal(t, count(chart.Wrong), of["f-ink"])
			require.GreaterOrEqual(t, of["s-dn3"], count(chart.Low))
		}
		require.Equal(t, 2, drawings)
		require.Contains(t, got, fmt.Sprintf("10000 nodes in %d rack", racks))
	}
	small := string(floor("node", 8, 1).SVG())
	for i := range 8 {
		require.Contains(t, small, fmt.Sprintf(">node-%d<", i), "few nodes have their names in their cells")
	}
	require.Contains(t, string(chart.Racks{}.SVG()), "there is no node")
}

// TestFleet: a strip of 10,000 nodes has a mark for each, in less than 1 MB, and names
// each outlier.
func TestFleet(t *testing.T) {
	f := fleet("node", 9999, 24)
	f.Rows = append(f.Rows, chart.StripRow{Name: "spare", Nodes: []chart.StripNode{{Name: "the last", Figure: chart.Figure{Value: 51e3}}}})
	got := string(f.SVG())
	require.Less(t, len(got), 1_000_000)
	faults, texts := misplaced(t, got)
	require.Empty(t, faults)
	require.Greater(t, texts, 20)
	var root element
	require.NoError(t, xml.Unmarshal([]byte(got), &root))
	drawings := 0
	for _, svg := range root.Children {
		if svg.XMLName.Local != "svg" {
			continue
		}
		drawings++
		marks, outliers := 0, 0
		for _, e := range svg.Children {
			switch class := e.attr("class"); {
			case e.XMLName.Local == "path" && (class == "s-a" || class == "s-f"):
				marks += strings.Count(e.attr("d"), "M")
			case e.XMLName.Local == "g":
				outliers++
			}
		}
		require.Equal(t, 10_000-24, marks)
		require.Equal(t, 24, outliers)
	}
	require.Equal(t, 2, drawings)
	for k := range 3 {
		for i := range 8 {
			require.Contains(t, got, fmt.Sprintf("node %d-%d ", k, i), "an outlier has its name and its figure beside it, or below the strip")
		}
	}
	require.NotContains(t, got, "node 1-8 ")
}
