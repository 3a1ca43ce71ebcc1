package chart_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/report/chart"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o777))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o666))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	if string(want) != got {
		t.Errorf("%s differs from what is drawn: look at it, then go test -update", path)
	}
}

func TestGolden(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(charts())) {
		golden(t, name+".html", string(charts()[name].SVG()))
	}
	golden(t, "chart.css", chart.CSS())
}

// A chart is at most this long, with both its drawings.
const limit = 130_000

// elements and attributes that a drawing may have.
var (
	elements   = []string{"div", "svg", "title", "desc", "g", "path", "circle", "text", "p", "ul", "li", "a"}
	attributes = []string{"class", "viewBox", "font-size", "role", "aria-labelledby", "xmlns", "id", "d", "cx", "cy", "r", "x", "y", "stroke-width", "stroke-dasharray", "textLength", "lengthAdjust", "width", "height", "aria-hidden", "href", "data-x", "data-y", "data-series", "data-level", "data-axis", "data-bar", "data-base", "data-cells"}
	prose      = []string{"text", "title", "desc", "p", "li", "a"} // may hold text
	numeric    = []string{"textLength", "cx", "cy", "r", "x", "y", "stroke-width", "font-size"}
	pathData   = regexp.MustCompile(`^[MLZ0-9 .-]*$`)
)

// check reads a chart strictly and holds it to what every chart promises.
func check(t testing.TB, c chart.Chart) string {
	t.Helper()
	got := string(c.SVG())
	require.LessOrEqual(t, len(got), limit, "size of %T", c)
	d := xml.NewDecoder(strings.NewReader(got))
	ids := map[string]string{}
	var refs []string
	var stack []string
	width := 0.0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch tok := tok.(type) {
		case xml.StartElement:
			name := tok.Name.Local
			require.Contains(t, elements, name)
			stack = append(stack, name)
			for _, a := range tok.Attr {
				require.Contains(t, attributes, a.Name.Local, "of %s", name)
				switch {
				case slices.Contains(numeric, a.Name.Local):
					v, err := strconv.ParseFloat(a.Value, 64)
					require.NoError(t, err, a.Name.Local)
					require.False(t, math.IsNaN(v) || math.IsInf(v, 0))
					if a.Name.Local == "font-size" {
						// The least a drawing is shown at: 640 px of 720, 358 of 380.
						shown := 640.0 / 720
						if width == 380 || name == "svg" && strings.Contains(fmt.Sprint(tok.Attr), "narrow") {
							shown = 358.0 / 380
						}
						require.GreaterOrEqual(t, v*shown, 11.0)
					}
				case a.Name.Local == "d":
					require.Regexp(t, pathData, a.Value)
				case a.Name.Local == "id":
					require.NotContains(t, ids, a.Value, "an id is there twice")
					ids[a.Value] = name
				case a.Name.Local == "aria-labelledby":
					refs = append(refs, strings.Fields(a.Value)...)
				case a.Name.Local == "viewBox":
					f := strings.Fields(a.Value)
					require.Len(t, f, 4)
					width, _ = strconv.ParseFloat(f[2], 64)
					h, err := strconv.ParseFloat(f[3], 64)
					require.NoError(t, err)
					require.True(t, h > 0 && h < 4000, "height %v", h)
				}
			}
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if n := len(stack); n > 0 && !slices.Contains(prose, stack[n-1]) {
				require.Empty(t, strings.TrimSpace(string(tok)))
			}
			for _, r := range string(tok) {
				require.False(t, r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069), "%U", r)
			}
		case xml.Comment, xml.Directive, xml.ProcInst:
			t.Fatalf("unexpected %T", tok)
		}
	}
	if strings.HasPrefix(got, `<div class="chart"><p>Nothing to show: `) {
		require.Empty(t, refs)
	} else {
		require.Len(t, refs, 4, "two drawings with a title and a description")
	}
	for _, r := range refs {
		require.Contains(t, []string{"title", "desc"}, ids[r])
	}
	require.Equal(t, got, string(c.SVG()), "the same chart, the same bytes")
	return got
}

func TestCharts(t *testing.T) {
	all := map[string]bool{}
	ids := regexp.MustCompile(` id="([^"]*)"`)
	for name, c := range charts() {
		got := check(t, c)
		if strings.Contains(got, "Nothing to show") {
			continue
		}
		require.Contains(t, got, "<text")
		found := ids.FindAllStringSubmatch(got, -1)
		require.NotEmpty(t, found, name)
		for _, m := range found {
			require.False(t, all[m[1]], "%s: id %s is that of another chart", name, m[1])
			all[m[1]] = true
		}
	}
}

func TestConcurrent(t *testing.T) {
	want := map[string]string{}
	for name, c := range charts() {
		want[name] = string(c.SVG())
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for name, c := range charts() {
				if string(c.SVG()) != want[name] {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
	wg.Wait()
}

// properties reads the values of the custom properties of one scheme.
func properties(css string) map[string]string {
	m := map[string]string{}
	for _, p := range regexp.MustCompile(`--chart-([a-z0-9]+):(#[0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
		m[p[1]] = p[2]
	}
	return m
}

// luminance is that of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	v, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	require.NoError(t, err)
	lin := func(c uint64) float64 {
		s := float64(c&255) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(v>>16) + 0.7152*lin(v>>8) + 0.0722*lin(v)
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestContrast(t *testing.T) {
	css := chart.CSS()
	parts := strings.Split(css, "@media")
	require.Len(t, parts, 3, "light, dark, print")
	require.Contains(t, parts[1], "prefers-color-scheme:dark")
	require.Equal(t, properties(parts[0]), properties(parts[2]), "print is light")
	for scheme, p := range map[string]map[string]string{"light": properties(parts[0]), "dark": properties(parts[1])} {
		require.Len(t, p, 20, scheme)
		for _, fore := range []string{"ink", "muted"} {
			for _, ground := range []string{"bg", "band", "tie"} {
				require.GreaterOrEqual(t, contrast(t, p[fore], p[ground]), 4.5, "%s: %s on %s", scheme, fore, ground)
			}
		}
		for _, ground := range []string{"deep", "up1", "up2", "up3", "dn1", "dn2", "dn3"} {
			require.GreaterOrEqual(t, contrast(t, p["ink"], p[ground]), 4.5, "%s: ink on %s", scheme, ground)
		}
		for _, hue := range []string{"a", "b", "c", "d", "e", "f"} {
			require.GreaterOrEqual(t, contrast(t, p[hue], p["bg"]), 4.5, "%s: %s", scheme, hue)
			require.GreaterOrEqual(t, contrast(t, p[hue], p["deep"]), 3.0, "%s: %s as a mark on a shade", scheme, hue)
		}
		for _, mark := range []struct{ hue, ground string }{{"a", "up3"}, {"b", "dn3"}, {"muted", "band"}} {
			require.GreaterOrEqual(t, contrast(t, p[mark.hue], p[mark.ground]), 2.9, "%s: the glyph %s on %s", scheme, mark.hue, mark.ground)
		}
		require.GreaterOrEqual(t, contrast(t, p["rule"], p["bg"]), 3.0, scheme)
	}
}

// Every class that a drawing uses is in the stylesheet.
func TestClasses(t *testing.T) {
	css := chart.CSS()
	require.NotContains(t, css, "url(")
	require.NotContains(t, css, "@import")
	for name, c := range charts() {
		found := regexp.MustCompile(`class="([^"]*)"`).FindAllStringSubmatch(string(c.SVG()), -1)
		require.NotEmpty(t, found, name)
		for _, m := range found {
			for class := range strings.FieldsSeq(m[1]) {
				require.Regexp(t, `\.`+regexp.QuoteMeta(class)+`[{ ]`, css, name)
			}
		}
	}
}

var nasty = []string{
	"", " ", "</svg><script>alert(1)</script>", `" onload="alert(1)`, "a\x00b\x1b[31m\x07", "\u202eevil\u2066", "\xff\xfe", "&amp;<![CDATA[", "javascript:alert(1)",
	"名前の長い候補者", "e\u0301\u0301\u0301\u0301", strings.Repeat("x", 1_000_000), strings.Repeat("long name ", 100_000), strings.Repeat("\u202e", 1000), strings.Repeat("W", 60),
}

var odd = []float64{0, math.Copysign(0, -1), 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 5e-324, 1e-300, 1e99, -1e99, 1e100, 1e21, 3.3, 1e-9, 12345678}

// every is one chart of each kind, made of one name and three numbers.
func every(name string, a, b, c float64, n int) []chart.Chart {
	h := chart.Head{ID: name, Title: name}
	ax := chart.Axis{Title: name, Unit: name, Factor: c, MinExp: -12, MaxExp: 21}
	free := ax
	free.Free = true
	hs := chart.Axis{Title: name, Unit: "H/s", MaxExp: 21}
	f := func(i int) chart.Figure {
		k := float64(i%7) + 1
		return chart.Figure{Value: a * k, Low: b * k, High: c * k, Modelled: i%2 == 0}
	}
	rk := chart.Ranking{Head: h, Axis: ax, Base: a, Margin: b, BaseText: name, Uses: []string{name, "mining"}}
	var points []chart.Point
	tr := chart.Trace{Head: h, Power: chart.Signal{Axis: ax}, Rate: chart.Signal{Axis: free}}
	mx := chart.Matrix{Head: h, Axis: ax, Across: name, Down: name, Better: name, Worse: name, Base: b}
	ln := chart.Lines{Head: h, X: free, Y: ax, Up: []chart.Level{{At: c, Name: name}, {At: a, Name: name}}}
	ll := chart.Lines{Head: h, X: hs, Y: hs}
	to := chart.Tornado{Head: h, Axis: free, Base: a, BaseText: name}
	hi := chart.History{Head: h, Axis: free}
	st := chart.Strip{Head: h, Axis: free, Rows: []chart.StripRow{{Name: name}, {Name: name}}}
	fl := chart.Racks{Head: h, Of: name, Racks: []chart.Rack{{Name: name}, {}, {}}}
	for i := range n {
		fl.Racks[i%2].Nodes = append(fl.Racks[i%2].Nodes, chart.RackNode{Name: name, Sigma: f(i).Value, Mark: chart.RackMark(i % 5), Note: name})
		st.Rows[i%2].Nodes = append(st.Rows[i%2].Nodes, chart.StripNode{Name: name, Figure: f(i), Outlier: i%5 == 4})
		rk.Rows = append(rk.Rows, chart.Ranked{Name: name, At: []chart.Rank{{Figure: f(i), First: i%3 == 0, Note: name}, {Figure: f(i + 2)}}, Reference: i == 1})
		points = append(points, chart.Point{Name: name, X: f(i), Y: f(i + 1), Note: name, Group: name + strconv.Itoa(i%9), Reference: i == 1})
		tr.Power.Points = append(tr.Power.Points, chart.Sample{T: a * float64(i), V: b}, chart.Sample{T: float64(i), V: c})
		tr.Rate.Points = append(tr.Rate.Points, chart.Sample{T: b, V: a * float64(i)})
		tr.Spans = append(tr.Spans, chart.Span{From: a * float64(i), To: b * float64(i), Name: name, Window: i%2 == 0}, chart.Span{From: float64(i), To: float64(i + 2), Name: name})
		mx.Columns, mx.Rows = append(mx.Columns, name), append(mx.Rows, name)
		mx.Cells = append(mx.Cells, []chart.Cell{{Value: f(i).Value, Better: true}, {Value: b}})
		s := chart.Series{Name: name, Modelled: i%2 == 0, Marks: i == 0, Points: []chart.LinePoint{{X: a, Y: b, Low: a, High: c}, {X: b, Y: c, Low: a, High: b}, {X: c, Y: a}, {X: 1, Y: 1}}}
		ln.Series, ll.Series = append(ln.Series, s), append(ll.Series, s)
		to.Rows = append(to.Rows, chart.Swing{Name: name, Low: b * float64(i), High: c})
		hi.Nights = append(hi.Nights, chart.Night{T: a * float64(i), Figure: f(i)}, chart.Night{T: b, Figure: f(i)}, chart.Night{T: 1e9 * float64(i), Figure: f(i)})
		hi.Levels = append(hi.Levels, chart.Stage{From: a, To: b, Value: c}, chart.Stage{From: b, To: c, Value: a})
		hi.Events = append(hi.Events, chart.Moment{T: a, Name: name}, chart.Moment{T: 1e9, Name: name})
	}
	return []chart.Chart{
		rk, tr, mx, ln, ll, to, hi, st, fl,
		chart.ThroughputPower{Head: h, Power: ax, Throughput: ax, Efficiency: ax, Points: points},
		chart.TwoUsePlane{Head: h, X: ax, Y: ax, UseX: name, UseY: name, Margin: b, Points: points},
		chart.Mullet{Head: h, Kept: ax, Gained: ax, Points: points},
	}
}

func TestHostile(t *testing.T) {
	for i, name := range nasty {
		for _, n := range []int{0, 1, 3} {
			for _, c := range every(name, 1.5, odd[i%len(odd)], 2, n) {
				got := check(t, c)
				require.NotContains(t, got, "<script")
				require.NotContains(t, got, "\u202e")
			}
		}
	}
	for i, a := range odd {
		for j, b := range odd {
			if (i+2*j)%3 != 0 { // a third of all pairs, each value in several
				continue
			}
			for _, c := range every("n", a, b, odd[(i*5+j*3)%len(odd)], 3) {
				check(t, c)
			}
		}
	}
}

func TestMany(t *testing.T) {
	for _, c := range every("a candidate of many", 3, 2, 4, 500) {
		got := check(t, c)
		switch c.(type) {
		case chart.Strip, chart.Racks:
			continue // they draw them all
		}
		if _, ok := c.(chart.Trace); !ok {
			require.Regexp(t, `more alike|not drawn|without room`, got, "%T", c)
		}
	}
	r := chart.Ranking{Uses: []string{"mining"}}
	for i := range 500 {
		r.Rows = append(r.Rows, chart.Ranked{Name: fmt.Sprintf("node %d", i), At: ranks(pm(float64(i), 1))})
	}
	got := check(t, r)
	require.Contains(t, got, "480 candidates not drawn")
	require.Contains(t, got, ">node 499<")
	require.NotContains(t, got, ">node 479<")
	r.Rows[7].Reference = true
	got = check(t, r)
	require.Contains(t, got, ">node 7<", "the reference is there, however it ranks")
	require.Contains(t, got, "480 candidates not drawn")
}

func TestLongTrace(t *testing.T) {
	tr := chart.Trace{Power: chart.Signal{Axis: watts}, Rate: chart.Signal{Axis: hashrate}}
	w := wobble(1)
	for i := range 200_000 {
		s := chart.Sample{T: float64(i) / 10, V: 400 + 100*w()}
		if i == 77_777 {
			s.V = 2000
		}
		tr.Power.Points, tr.Rate.Points = append(tr.Power.Points, s), append(tr.Rate.Points, s)
	}
	got := check(t, tr)
	require.Contains(t, got, "2.00 kW", "the spike is kept")
	require.Contains(t, got, "time, h")
}

// The most that each kind draws stays within the limit.
func TestFull(t *testing.T) {
	w := wobble(9)
	name := strings.Repeat("name & ", 12)
	var ln chart.Lines
	hi := chart.History{Axis: watts}
	gaps := chart.Trace{Power: chart.Signal{Axis: watts}, Rate: chart.Signal{Axis: hashrate}}
	for i := range 60_000 {
		v := chart.Sample{T: float64(i), V: 100 + w()}
		if i%2 == 0 || i/700%2 == 0 {
			v.V = nan
		}
		gaps.Power.Points, gaps.Rate.Points = append(gaps.Power.Points, v), append(gaps.Rate.Points, v)
	}
	for i := range 100 {
		gaps.Spans = append(gaps.Spans, chart.Span{From: float64(i) * 600, To: float64(i)*600 + 500, Name: name, Window: i%2 == 0})
		for _, n := range []int{16, 1000} {
			s := chart.Series{Name: name, Marks: true}
			for j := range n {
				v := 10 + w()
				s.Points = append(s.Points, chart.LinePoint{X: float64(j), Y: v, Low: v - 1, High: v + 1})
			}
			ln.Series = append(ln.Series, s)
		}
		for j := range 50 {
			hi.Nights = append(hi.Nights, chart.Night{T: 86400 * float64(50*i+j), Figure: pm(100+w(), 1)})
		}
		hi.Levels = append(hi.Levels, chart.Stage{From: 86400 * 50 * float64(i), To: 86400*50*float64(i+1) - 1, Value: 100})
		hi.Events = append(hi.Events, chart.Moment{T: 86400 * 50 * float64(i), Name: name})
	}
	few := hi
	few.Nights = hi.Nights[:100]
	for _, c := range []chart.Chart{ln, hi, few, gaps} {
		check(t, c)
	}
	for _, c := range every(name, 3, 2, 4, 100) {
		check(t, c)
	}
}

// Lines that would be drawn on each other are one, with all their names; what is not
// drawn has a link; a script finds the axes and the series that it may redraw.
func TestLines(t *testing.T) {
	line := func(id, name string, y float64) chart.Series {
		return chart.Series{ID: id, Name: name, Points: []chart.LinePoint{{X: 0, Y: y, Low: nan, High: nan}, {X: 10, Y: 2 * y, Low: nan, High: nan}}}
	}
	l := chart.Lines{Head: chart.Head{Table: "all"}, X: price, Y: outcome, Series: []chart.Series{line("", "north", 3), line("", "south", 3), line("", "west", 4), line("", "east", 3*(1+1e-9))}}
	got := check(t, l)
	require.Equal(t, 2, strings.Count(got, "<li>"))
	require.Contains(t, got, " north, south, east</li>")
	require.NotContains(t, got, "data-")
	require.NotContains(t, got, "not drawn")
	for i := range 9 {
		l.Series = append(l.Series, line("", fmt.Sprint("node ", i), float64(10+i)))
	}
	require.Contains(t, check(t, l), `5 more lines not drawn: <a href="#all">the table has all of them</a>.`)

	l.Series = []chart.Series{line("north", "north", 3), line("south", "south", 3)}
	l.Up = []chart.Level{{ID: "now", At: 5, Name: "as priced"}}
	got = check(t, l)
	require.Equal(t, 2, strings.Count(got, `data-series="south"`), "each series that a script redraws stays its own, in both drawings")
	require.Equal(t, 2, strings.Count(got, `data-level="now"`))
	for _, axis := range []string{"x", "y"} {
		found := regexp.MustCompile(` data-`+axis+`="([^"]*)"`).FindAllStringSubmatch(got, -1)
		require.Len(t, found, 2)
		var p0, p1, v0, v1 float64
		_, err := fmt.Sscan(found[0][1], &p0, &p1, &v0, &v1)
		require.NoError(t, err)
		// The line of north, by its own coordinates.
		d := regexp.MustCompile(`data-series="north"><path[^>]* d="M([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)"`).FindStringSubmatch(got)
		require.Len(t, d, 5)
		at := map[string][2]int{"x": {1, 3}, "y": {2, 4}}[axis]
		want := map[string][2]float64{"x": {0, 10}, "y": {3, 6}}[axis]
		for i := range 2 {
			px, err := strconv.ParseFloat(d[at[i]], 64)
			require.NoError(t, err)
			require.InDelta(t, want[i], v0+(px-p0)/(p1-p0)*(v1-v0), 0.02, axis)
		}
	}
}

// Series and groups differ in shape, not by colour alone.
func TestShapes(t *testing.T) {
	looks := func(c chart.Chart) (out []string) {
		for _, m := range regexp.MustCompile(`<li><svg[^>]*>(.*?)</svg>`).FindAllStringSubmatch(check(t, c), -1) {
			out = append(out, regexp.MustCompile(`class="[^"]*"`).ReplaceAllString(m[1], ""))
		}
		return out
	}
	for _, c := range []chart.Chart{charts()["lines"], charts()["throughput-log"], charts()["lines-mix"]} {
		got := looks(c)
		require.Greater(t, len(got), 2)
		slices.Sort(got)
		require.Len(t, slices.Compact(slices.Clone(got)), len(got), "%q", got)
	}
}

func TestNothing(t *testing.T) {
	got := check(t, chart.Ranking{Head: chart.Head{Empty: "no meter was found."}})
	require.Contains(t, got, "Nothing to show: no meter was found.")
	for _, c := range every("n", 1, 1, 1, 0) {
		require.Contains(t, check(t, c), "Nothing to show: ", "%T", c)
	}
}

func TestMarks(t *testing.T) {
	r := chart.Ranking{Axis: watts, Uses: []string{"mining"}, Rows: []chart.Ranked{{Name: "b", At: ranks(text(pm(1400, 20), "1.4000 kW"))}, {Name: "a", At: ranks(modelled(pm(1500, 20)))}}}
	got := check(t, r)
	require.Contains(t, got, ">~1.50 kW<")
	require.Contains(t, got, ">1.4000 kW<")
	require.Contains(t, got, "~1.50 kW (1.48 kW to 1.52 kW)", "the description has the interval")
	require.Less(t, strings.Index(got, ">a<"), strings.Index(got, ">b<"), "more is better")
}

func FuzzCharts(f *testing.F) {
	for i, n := range nasty {
		if len(n) < 1000 {
			f.Add(n, odd[i%len(odd)], odd[(i+3)%len(odd)], odd[(i+7)%len(odd)], uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, name string, a, b, c float64, n uint8) {
		for _, c := range every(name, a, b, c, int(n%12)) {
			check(t, c)
		}
	})
}

// A spark is small whatever it is made of, and draws nothing of nothing.
func TestSpark(t *testing.T) {
	require.Empty(t, chart.Spark(nil, nil))
	require.Empty(t, chart.Spark([]chart.Sample{{T: 1, V: nan}}, []float64{1}))
	var points []chart.Sample
	var at []float64
	w := wobble(2)
	for i := range 5000 {
		points, at = append(points, chart.Sample{T: float64(i) * 86400, V: 100 + w()}), append(at, float64(i)*86400)
	}
	for _, p := range [][]chart.Sample{points, points[:2], points[:1], {{T: 1e300, V: 1e300}, {T: -1e99, V: math.Inf(1)}, {T: 0, V: -1e99}}} {
		got := string(chart.Spark(p, at))
		require.Less(t, len(got), 4000)
		require.NoError(t, xml.Unmarshal([]byte(got), new(struct{})))
		require.NotRegexp(t, "NaN|Inf", got)
	}
	require.Equal(t, 1, strings.Count(string(chart.Spark(points, at[2500:2501])), "s-b"))
}
