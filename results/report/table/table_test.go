package table

import (
	"bytes"
	"encoding/csv"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// of is a figure with an interval of so much to each side, 0 for none.
func of(value, half float64, unit results.Unit, origin results.Origin) Figure {
	m := results.Figure{Value: results.Float(value), Low: results.Float(value - half), High: results.Float(value + half), Unit: unit, N: 6, Provenance: results.Provenance{Origin: origin}}
	if half == 0 {
		m.Low, m.High = results.Absent(), results.Absent()
	}
	return Figure{Figure: m}
}

// Figures of a column share a prefix, which stands in the head; what it cannot
// show keeps its own.
func TestColumnHasOneScale(t *testing.T) {
	const rate = "hash/s"
	for name, c := range map[string]struct {
		cells []Cell
		head  string
		want  []string
	}{
		"alike":                   {[]Cell{of(1.2e9, 2e6, rate, ""), of(3.4e9, 0, rate, "")}, "x|GH/s", []string{"1.200|[1.198, 1.202]", "3.400|"}},
		"most are smaller":        {[]Cell{of(41e6, 0, rate, ""), of(52e6, 0, rate, ""), of(1.2e9, 0, rate, "")}, "x|MH/s", []string{"41.00|", "52.00|", "1,200|"}},
		"most are larger":         {[]Cell{of(3e6, 4e4, rate, ""), of(2e9, 0, rate, ""), of(1.2e9, 0, rate, ""), of(400e9, 0, rate, "")}, "x|GH/s", []string{"0.00300|[0.00296, 0.00304]", "2.000|", "1.200|", "400.0|"}},
		"a million apart":         {[]Cell{of(100e12, 0, rate, ""), of(90e12, 0, rate, ""), of(12e6, 1e5, rate, "")}, "x|TH/s", []string{"100.0|", "90.00|", "12.0 MH/s|[11.9, 12.1]"}},
		"a million the other way": {[]Cell{of(12e6, 0, rate, ""), of(11e6, 0, rate, ""), of(100e12, 0, rate, "")}, "x|MH/s", []string{"12.00|", "11.00|", "100.0 TH/s|"}},
		"beyond all prefixes":     {[]Cell{of(12e6, 0, rate, ""), of(1e40, 0, rate, "")}, "x|MH/s", []string{"12.00|", "1.000×10⁴⁰ H/s|"}},
		"two units":               {[]Cell{of(1.2e9, 0, rate, ""), of(48210, 0, "sample/s", "")}, "x|", []string{"1.200 GH/s|", "48.21 ksamples/s|"}},
		"zero, absent, nothing":   {[]Cell{of(0, 0, rate, ""), Figure{Figure: results.Figure{Value: results.Absent(), Unit: "W"}}, nil, of(5e9, 0, rate, "")}, "x|GH/s", []string{"0|", "–¹|", "|", "5.000|"}},
		"watts stay watts":        {[]Cell{of(90, 0, "W", results.Measured), of(3250, 0, "W", results.Modelled)}, "x|W", []string{"90.00|", "~3,250|"}},
		"a unit of the trade":     {[]Cell{of(949600000, 0, "$/MW", ""), of(1186000000, 0, "$/MW", ""), of(-2, 0, "$/MW", "")}, "x|$/MW", []string{"950 M|", "1.19 bn|", "−2.00|"}},
		"amounts of money":        {[]Cell{of(949600000, 0, "$", ""), of(-42_812, 150, "$", results.Modelled), of(0, 0, "$", "")}, "x|", []string{"$950 M|", "~−$42.8 k|[−$43.0 k, −$42.7 k]", "$0|"}},
		"tens are not known":      {[]Cell{of(12345, 320, "J", "")}, "x|kJ", []string{"12.3|[12.0, 12.7]"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := Table{Columns: []Column{{Head: "x"}}}
			for _, c := range c.cells {
				table.Row(c)
			}
			columns, _ := table.layout()
			require.Len(t, columns, 1)
			require.Equal(t, c.head, columns[0].head.value+"|"+columns[0].head.under)
			var got []string
			for _, x := range columns[0].cells {
				got = append(got, x.value+"|"+x.under)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// The digits of a figure are the same with every prefix that its column has.
func FuzzScaleKeepsDigits(f *testing.F) {
	f.Add(41e6, 9e4, 1.2e9)
	f.Add(12345.0, 320.0, 1.0)
	f.Add(-0.5, 0.002, 1e-3)
	f.Fuzz(func(t *testing.T, v, half, beside float64) {
		m, other := of(v, half, "J", ""), of(beside, 0, "J", "")
		s := scaleOf(m.Figure, other.Figure, other.Figure)
		if !(half > 0) || s.powers || !s.fits(m.Figure) || s.fits(m.Figure) && ownScale(m.Figure).powers {
			return // no interval, or the column's scale does not fit the figure
		}
		digits := func(s scale) string {
			value, _ := s.print(m.Figure)
			value = strings.Map(func(r rune) rune {
				if strings.ContainsRune("−.~,", r) {
					return -1
				}
				return r
			}, value)
			return strings.Trim(value, "0")
		}
		require.Equal(t, digits(ownScale(m.Figure)), digits(s))
	})
}

func example() *Page {
	t := Table{
		ID: "t", Title: "Figures | of\x1b[31m", Counts: true, WattsAt: true, Notes: []string{"A note."},
		Columns: []Column{{Head: "name", Under: "kernel", Kind: Name}, {Head: "rate"}, {Head: "power", Under: "gross"}, {Head: "left out"}, {Head: "verdict", Kind: Words}, {Head: "at", Kind: Words}},
	}
	watts := of(241, 0.5, "W", results.Measured)
	watts.Boundary, watts.Grade, watts.ID = results.Wall, "C", "north/power"
	absent := Figure{Figure: results.Figure{Value: results.Absent(), Unit: "W"}}
	absent.Why = "idle was not measured"
	at := Time(time.Date(2026, 9, 14, 8, 30, 0, 0, time.UTC))
	t.Row(Text{Text: "=north", Under: "avx2"}, of(-1.5e9, 1e7, "hash/s", ""), watts, nil, Text{Text: "better"}, at)
	t.Row(Text{Text: "<south>", Href: "south.html"}, of(2e9, 0, "hash/s", ""), absent, nil, Text{Text: "worse"}, nil)
	t.Add("about", "an item")
	p := &Page{Title: []string{"title"}, State: "complete", Whole: true, Foot: []string{"perwatt verify 'a  b'"}}
	p.Add(t, Table{})
	return p
}

func TestWriters(t *testing.T) {
	var text, markdown, values bytes.Buffer
	require.NoError(t, example().WriteText(&text, 100, false))
	require.Equal(t, `title · complete

Figures | of�[31m
name     n            rate        power, W  watts at      verdict  at
kernel                GH/s           gross  origin/grade
───────────────────────────────────────────────────────────────────────────────────────
=north   6           −1.50           241.0  wall          better   2026-09-14 08:30 UTC
avx2        [−1.51, −1.49]  [240.5, 241.5]  measured · C
<south>  6           2.000              –¹                worse
A note.
¹ idle was not measured
  about  an item

perwatt verify 'a  b'
`, text.String())
	require.NoError(t, example().writeMarkdown(&markdown))
	require.Equal(t, `**title** · complete

**Figures \| of�[31m**

| name · kernel | n | rate · GH/s | power, W · gross | watts at · origin/grade | verdict | at |
| :-- | :-- | --: | --: | :-- | :-- | :-- |
| =north · avx2 | 6 | −1.50 [−1.51, −1.49] | 241.0 [240.5, 241.5] | wall · measured · C | better | 2026-09-14 08:30 UTC |
| &lt;south&gt; | 6 | 2.000 | –¹ |  | worse |  |

- A note.
- ¹ idle was not measured
- **about** an item

perwatt verify 'a  b'
`, markdown.String())
	p := example()
	require.NoError(t, p.Tables[0].WriteCSV(&values))
	require.Equal(t, `name,rate,power,left out,verdict,at
'=north,-1.5e+09,241,,better,2026-09-14T08:30:00Z
<south>,2e+09,,,worse,
`, values.String())
	html := string(p.Tables[0].HTML())
	for _, want := range []string{
		`<th scope="col" class="num">power, W<small>gross</small></th>`, `<td data-label="rate, GH/s" class="num top" data-sort="-1.5e+09">−1.50<small>[−1.51, −1.49]</small></td>`,
		`data-figure="north/power">241.0`, `<a href="south.html">&lt;south&gt;</a>`, `<p class="note">¹ idle was not measured</p>`, `<dt>about</dt><dd>an item</dd>`,
	} {
		require.Contains(t, html, want)
	}
	require.NotContains(t, html, "left out")
}

// Whoever reads a page sees a true minus; whoever copies a command or a date, or
// reads CSV, gets what was there.
func TestMinus(t *testing.T) {
	for text, want := range map[string]string{
		"idle power moved by -3.0 % [-4, -2]": "idle power moved by −3.0 % [−4, −2]",
		"-0.04 %":                             "−0.04 %",
		"sees 1.235e+04 W at (1.5e-05 J)":     "sees 12,350 W at (1.5×10⁻⁵ J)",
		"of 9.9e+14 FLOP/s, p = 1e-05":        "of 9.9×10¹⁴ FLOP/s, p = 1×10⁻⁵",
		"moved by -1.2e+03 W":                 "moved by −1,200 W",
		"record 2e-01ab, 5e+3":                "record 2e-01ab, 5e+3",
		"since 2026-09-14, record a-1.json":   "since 2026-09-14, record a-1.json",
		"run --settle 5s -o x":                "run --settle 5s -o x",
	} {
		require.Equal(t, want, Sentence(text, TextLimit))
		table := Table{Items: []Item{{About: "about", Text: text}}, Notes: []string{text}}
		require.Equal(t, 2, strings.Count(string(table.HTML()), ">"+whole(want)+"<"))
	}
	require.Equal(t, "−4.0 °C", Celsius(269.15))
	require.Equal(t, "−3×10⁻⁵", Round(-3e-5, 2))
	require.Equal(t, "-3e-05", Exact(-3e-5))
}

// No cell of CSV is a formula, whichever sign parts cells where it is opened, and a
// number stays one.
func FuzzNoFormula(f *testing.F) {
	for _, s := range []string{"=1+1", "+1", "-1+1|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "a;=1", `a;"=1`, "a;\t=1", `"=1`, "a;b; -2", "-2.5", "-1e+09", "a,=1", "''=1", "a\n=1", ";;=1", "+5 %"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		table := Table{Columns: Named("a", "b", "c", "d"), Bare: true}
		table.Row(Text{Text: s}, Number{Value: -2.5}, Number{Value: results.Float(math.Inf(-1))}, Text{Text: "x" + s})
		var out bytes.Buffer
		require.NoError(t, table.WriteCSV(&out))
		for _, comma := range ",;\t" {
			r := csv.NewReader(strings.NewReader(out.String()))
			r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
			rows, err := r.ReadAll()
			require.NoError(t, err)
			for _, cells := range rows {
				for _, c := range cells {
					requireNoFormula(t, c)
				}
			}
			if comma == ',' {
				require.Equal(t, []string{"-2.5", ""}, rows[0][1:3])
			}
		}
	})
}

// requireNoFormula refuses what a spreadsheet evaluates.
func requireNoFormula(t testing.TB, cell string) {
	t.Helper()
	if _, err := strconv.ParseFloat(cell, 64); err != nil {
		require.NotRegexp(t, `^[\s"]*[=+\-@＝＋－＠]|^[\t\r]`, cell)
	}
}

// A script can sort by every number of a page.
func TestSortable(t *testing.T) {
	for value, want := range map[results.Float]string{1.5: "1.5", -2e9: "-2e+09", results.Float(math.Inf(1)): "Infinity", results.Float(math.Inf(-1)): "-Infinity"} {
		table := Table{Columns: []Column{{Head: "x"}}}
		table.Row(Number{Value: value})
		require.Contains(t, string(table.HTML()), `data-sort="`+want+`"`)
	}
}
