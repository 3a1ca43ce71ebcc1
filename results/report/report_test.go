package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	pretty "github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/resultstest"
)

var update = flag.Bool("update", false, "write the golden files")

func printed(t testing.TB, rec *results.Record, format Format, opt Options) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, Write(&out, format, rec, opt))
	return out.String()
}

func TestGolden(t *testing.T) {
	for name, s := range sessions {
		rec := s.record()
		for file, width := range map[string]int{"text": 0, "80.text": 80, "markdown": 0, "csv": 0, "bench": 0} {
			t.Run(name+"."+file, func(t *testing.T) {
				format := Format(strings.TrimPrefix(file, "80."))
				got := printed(t, rec, format, Options{Width: width, Path: "results/node7 2026-09-14.json"})
				path := filepath.Join("testdata", name+"."+file)
				if *update {
					require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err, "make it with go test -update")
				require.Equal(t, string(want), got)
				require.Equal(t, got, printed(t, s.record(), format, Options{Width: width, Path: "results/node7 2026-09-14.json"}))
			})
		}
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	for name, s := range sessions {
		rec := s.record()
		for _, width := range []int{80, 100, 111, 120, 200} {
			for line := range strings.Lines(printed(t, rec, Text, Options{Width: width})) {
				require.LessOrEqual(t, pretty.StringWidth(strings.TrimSuffix(line, "\n")), width, "%s: %s", name, line)
			}
		}
	}
}

// Every figure that rests on a modelled watt carries ~, and no other does.
func TestTilde(t *testing.T) {
	rests := regexp.MustCompile(`^(power|net power|per joule|energy per work|extra|marginal energy|work|net work|energy)\b`)
	modelled, measured := 0, 0
	var heads []string
	for line := range strings.Lines(printed(t, sessions["modelled"].record(), Markdown, Options{})) {
		if !strings.HasPrefix(line, "| ") {
			heads = nil
			continue
		}
		cells := strings.Split(line, " | ")
		if heads == nil {
			heads = cells
		}
		for i, c := range cells {
			switch c = strings.TrimSuffix(strings.TrimPrefix(c, "| "), " |\n"); {
			case !regexp.MustCompile(`^(\\~)?[0-9]`).MatchString(c) || heads[i] == "n":
			case rests.MatchString(heads[i]):
				require.Contains(t, c, `\~`, heads[i])
				modelled++
			default:
				require.NotContains(t, c, `\~`, heads[i])
				measured++
			}
		}
	}
	require.Greater(t, modelled, 40)
	require.Greater(t, measured, 20)
	for _, format := range []Format{Text, Markdown} {
		require.Contains(t, printed(t, sessions["modelled"].record(), format, Options{}), "~")
		require.NotContains(t, printed(t, sessions["measured"].record(), format, Options{}), "~")
	}
}

func TestState(t *testing.T) {
	for state, want := range map[results.State]string{
		results.Complete: "complete", results.Interrupted: "INTERRUPTED, 36 of 36 planned runs good",
		results.Running: "INCOMPLETE: still running, or killed, 36 of 36 planned runs good", "odd": "INCOMPLETE: state odd",
	} {
		rec := sessions["modelled"].record()
		rec.State = state
		head, _, _ := strings.Cut(printed(t, rec, Text, Options{}), "\n\n")
		require.Contains(t, head, want)
		rec.Runs = rec.Runs[:29]
		head, _, _ = strings.Cut(printed(t, rec, Text, Options{}), "\n\n")
		require.Contains(t, head, "29 of 36 planned runs good", state)
	}
}

func TestAbsentFiguresSayWhy(t *testing.T) {
	rec := sessions["measured"].record()
	m := rec.Summary.Rows[1].Metrics
	for name, why := range map[string]string{results.NetPower: "idle was not measured", results.WorkPerEnergy: ""} {
		x := m[name]
		x.Value, x.Why = results.Absent(), why
		m[name] = x
	}
	rec.Summary.CoRunCost.EnergyPer = results.Figure{Value: results.Absent(), Unit: "J/hash", Reason: results.Because(results.ReachesZero)}
	out := printed(t, rec, Text, Options{})
	for _, want := range []string{
		"–²", "² idle was not measured", "–³", "³ no reason is recorded", "not resolvable¹", "¹ the interval of the extra power reaches zero",
	} {
		require.Contains(t, out, want)
	}
}

func TestWarningsAreGrouped(t *testing.T) {
	rec := sessions["measured"].record()
	rec.Warnings = []results.Warning{
		{Code: "b", Text: "took 1.5 %", Remedy: "stop it", Run: "mining/1"},
		{Code: "a", Text: "once", Remedy: "never mind"},
		{Code: "b", Text: "took 12 %", Remedy: "stop it", Run: "mining/2"},
		{Code: "b", Text: "gave nothing", Remedy: "start it"},
	}
	rec.Summary.Flags = nil
	require.Contains(t, printed(t, rec, Text, Options{}), `
Warnings
  b ×2  took 1.5 % (mining/1 and 1 more like it) → stop it
  b     gave nothing → start it
  a     once → never mind
`)
	rec.Warnings = nil
	for i := range 100 {
		rec.Warnings = append(rec.Warnings, results.Warning{Code: strconv.Itoa(i % 50)})
	}
	require.Contains(t, printed(t, rec, Text, Options{}), "10 more in the record")
	require.NotContains(t, printed(t, sessions["none"].record(), Text, Options{}), "Runs not used")
}

func TestFoot(t *testing.T) {
	rec := sessions["smoke"].record()
	require.Contains(t, printed(t, rec, Text, Options{}), "Record 01J8ZQ4M9Y4T7N6V5X3C2B1A0Z, sha256 9f2b61c04d7e: not kept.\n")
	for path, want := range map[string]string{
		"a/b.json": "verify a/b.json\n", "a  b.json": "verify 'a  b.json'\n", "it's": `verify 'it'\''s'` + "\n", "-x": "verify ./-x\n", "$(id)": "verify '$(id)'\n",
	} {
		require.Contains(t, printed(t, rec, Text, Options{Path: path}), want)
	}
}

func TestColor(t *testing.T) {
	rec := sessions["interrupted"].record()
	rec.Node.Name = "\x1b[31mred"
	painted := printed(t, rec, Text, Options{Color: true})
	require.Contains(t, painted, "\x1b[1;31mINTERRUPTED")
	require.Equal(t, printed(t, rec, Text, Options{}), sgr.ReplaceAllString(painted, ""))
}

// benchstat must be able to read every line, and see each window.
func TestBenchIsRead(t *testing.T) {
	for name, s := range sessions {
		rec := s.record()
		r := benchfmt.NewReader(strings.NewReader(printed(t, rec, Bench, Options{})), name)
		good, repeats := 0, map[string]int{}
		for r.Scan() {
			switch x := r.Result().(type) {
			case *benchfmt.Result:
				good++
				repeats[x.Name.String()]++
				require.Equal(t, "node7", x.GetConfig("node"))
				for _, v := range x.Values {
					require.NotZero(t, r.Units().GetBetter(v.Unit), v.Unit)
				}
			case *benchfmt.SyntaxError:
				t.Errorf("%s: %v", name, x)
			}
		}
		require.NoError(t, r.Err())
		windows := rec.Summary.Windows()
		if len(rec.Meters) == 0 { // idle has nothing to say then
			windows = slices.DeleteFunc(slices.Clone(windows), func(w *results.Window) bool { return w.Use.Use == "idle" })
		}
		require.Equal(t, len(windows), good, name)
		if name == "measured" {
			require.Equal(t, map[string]int{
				"Idle": 10, "Mining-64": 10, "Training/model=mlp-64": 10, "Training/model=cnn-64": 10, "Compute-64": 10, "Mullet/use=training/model=mlp-64": 10, "Mullet/use=mining-64": 10,
			}, repeats)
		}
	}
	a, b := printed(t, sessions["measured"].record(), Bench, Options{}), printed(t, sessions["modelled"].record(), Bench, Options{})
	require.Contains(t, a, "power-source: pdu\npower-boundary: wall\npower-origin: measured\npower-grade: C\n")
	require.Contains(t, b, "power-source: model\npower-boundary: wall\npower-origin: modelled\npower-grade: E\n")
}

func TestCSVIsTidy(t *testing.T) {
	rec := sessions["modelled"].record()
	rec.Node.Name = `=HYPERLINK("http://x","y")`
	rec.Summary.Rows[0].Impl = "\t\n +1"
	rec.Summary.Rows[1].Impl = "-1"
	rec.Summary.Rows[2].Impl = `@a,"b"`
	out := printed(t, rec, CSV, Options{})
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	require.NoError(t, err)
	impls := map[string]bool{}
	for _, row := range rows[1:] {
		require.Equal(t, `'=HYPERLINK("http://x","y")`, row[1])
		impls[row[7]] = true
	}
	require.Subset(t, slices.Collect(maps.Keys(impls)), []string{"'+1", "'-1", `'@a,"b"`})
	metrics := 0
	for _, r := range rec.Summary.Rows {
		metrics += len(r.Metrics)
	}
	require.Len(t, rows, 1+metrics+2*len(rec.Summary.Yields)+5+len(rec.Summary.Exchange))
	m := rec.Summary.Rows[1].Metrics[results.Power]
	require.Contains(t, out, ",power,"+table.Exact(m.Value)+","+table.Exact(m.Low)+","+table.Exact(m.High)+",W,6,wall,modelled,E,0.5,")
}

func TestMarkdownIsEscaped(t *testing.T) {
	rec := sessions["smoke"].record()
	rec.Node.Name = "1. <img src=x> |a|`b`**c** $x$ @d #1 ~e~\n# f \\"
	rec.Node.Devices[0].Model = "[x](https://x.example/)"
	rec.Summary.Rows[1].Impl = "|<b>|\n| x"
	out := printed(t, rec, Markdown, Options{})
	require.True(t, strings.HasPrefix(out, "**1. &lt;img src=x&gt; \\|a\\|\\`b\\`\\*\\*c\\*\\* \\$x\\$ &#64;d \\#1 \\~e…** · "), out)
	require.Contains(t, out, `[x]\(https\://x.example/)`)
	require.Contains(t, out, `| mining · \|&lt;b&gt;\| \| x |`)
	require.Contains(t, printed(t, sessions["modelled"].record(), Markdown, Options{}), `| \~241.1 [240.3, 241.8] | wall ±50 % · modelled · E |`)
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats() {
		got, err := ParseFormat(string(f))
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	_, err := ParseFormat("pdf")
	require.EqualError(t, err, `format "pdf" is not known: use text, markdown, csv, json, bench`)
	_, err = ParseFormat("\x1b[31m")
	require.NotContains(t, err.Error(), "\x1b")
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteErrors(t *testing.T) {
	rec := sessions["smoke"].record()
	for _, f := range []Format{Text, Markdown, CSV, Bench} {
		require.ErrorIs(t, Write(closed{}, f, rec, Options{}), os.ErrClosed)
	}
	for _, f := range []Format{JSON, "pdf"} {
		var out bytes.Buffer
		err := Write(&out, f, rec, Options{})
		require.Error(t, err)
		require.False(t, errors.Is(err, os.ErrClosed))
		require.Zero(t, out.Len())
	}
}

func TestEmptyRecord(t *testing.T) {
	out := printed(t, &results.Record{}, Text, Options{})
	require.Contains(t, out, "INCOMPLETE")
	require.Contains(t, out, "No figures: no run of this session was good.")
	for _, f := range []Format{Markdown, CSV, Bench} {
		printed(t, &results.Record{}, f, Options{})
	}
}

var sgr = regexp.MustCompile(`\x1b\[(0|1|2|1;31|1;33)m`)

// scramble replaces about half of the strings and numbers in v.
func scramble(v reflect.Value, r *rand.Rand, s string, x float64, n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scramble(v.Elem(), r, s, x, n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				scramble(v.Field(i), r, s, x, n)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			scramble(v.Index(i), r, s, x, n)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			scramble(e, r, s, x, n)
			v.SetMapIndex(k, e)
		}
	case reflect.String:
		if r.IntN(2) == 0 {
			v.SetString(s)
		}
	case reflect.Float64:
		if r.IntN(2) == 0 {
			v.SetFloat(x)
		}
	case reflect.Int, reflect.Int64:
		if r.IntN(2) == 0 {
			v.SetInt(n)
		}
	}
}

func FuzzWrite(f *testing.F) {
	for i, s := range []string{
		"", "\x1b[2J\x1b]0;title\x07", "a\r\nBenchmarkX 1 1 W", "\u202Egnp.exe", "|`<script>alert(1)</script>`|", "=cmd|'/c calc'!A0",
		strings.Repeat("W", 2000), strings.Repeat("字", 300), "\xff\xfe", "\u0300\u0300\u0300", "key: value", "~~x~~", "e\u0085\u2028f",
	} {
		f.Add(uint64(i), s, []float64{0, 1e-30, 1e30, -1, math.NaN(), math.Inf(1), 999.96}[i%7], int64(i*i)-7, 20*i, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, s string, x float64, n int64, width int, color bool) {
		names := slices.Sorted(maps.Keys(sessions))
		rec := sessions[names[seed%uint64(len(names))]].record()
		scramble(reflect.ValueOf(rec), rand.New(rand.NewPCG(seed, 1)), s, x, n)
		opt := Options{Width: width % 300, Color: color, Path: s}
		for _, format := range []Format{Text, Markdown, CSV, Bench} {
			out := printed(t, rec, format, opt)
			require.Equal(t, out, printed(t, rec, format, opt))
			if format == Text && color {
				out = sgr.ReplaceAllString(out, "")
			}
			require.True(t, utf8.ValidString(out))
			for _, r := range out {
				if r != '\n' && (unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029') {
					t.Fatalf("%s: %U reached the output", format, r)
				}
			}
			switch format {
			case CSV:
				_, err := csv.NewReader(strings.NewReader(out)).ReadAll()
				require.NoError(t, err)
			case Bench:
				b := benchfmt.NewReader(strings.NewReader(out), "fuzz")
				for b.Scan() {
					if e, ok := b.Result().(*benchfmt.SyntaxError); ok {
						t.Fatalf("%v in %q", e, out)
					}
				}
				require.NoError(t, b.Err())
			}
		}
	})
}

// benchstat itself, of the version in go.mod, groups candidates by where their
// watts come from, and its medians are ours to the last digit.
func TestBenchstatAgrees(t *testing.T) {
	var records []*results.Record
	for i, name := range []string{"north", "south", "east"} {
		for s := range 3 {
			rec := resultstest.Session(resultstest.Server(name, 1+float64(i)/50), s, 4, uint64(i+1))
			if name == "east" { // metered at its supplies
				for m := range rec.Meters {
					for c := range rec.Meters[m].Channels {
						rec.Meters[m].Channels[c].Boundary, rec.Meters[m].Channels[c].Total = results.PSU, results.PSU
					}
				}
				for r := range rec.Runs {
					for k := range rec.Runs[r].Traces {
						if tr := &rec.Runs[r].Traces[k]; tr.Boundary != "" {
							tr.Boundary = results.PSU
						}
					}
				}
				rec.Summary = results.Derive(rec)
			}
			records = append(records, rec)
		}
	}
	var lines bytes.Buffer
	require.NoError(t, WriteBench(&lines, records))
	ours := map[string][]float64{} // by boundary, implementation, node, benchmark and unit
	in := benchfmt.NewReader(&lines, "")
	file := filepath.Join(t.TempDir(), "bench.txt")
	require.NoError(t, os.WriteFile(file, lines.Bytes(), 0o600))
	for in.Scan() {
		if x, ok := in.Result().(*benchfmt.Result); ok {
			for _, v := range x.Values {
				k := strings.Join([]string{x.GetConfig("power-boundary"), x.GetConfig("impl"), x.GetConfig("node"), string(x.Name.Base()), v.Unit}, " ")
				ours[k] = append(ours[k], v.Value)
			}
		}
	}
	cmd := exec.Command("go", "tool", "benchstat", "-format", "csv", "-row", ".name", "-col", "node", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())

	seen := 0
	var boundary, impl string // of the tables that follow
	var nodes []string
	var unit string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if b, ok := strings.CutPrefix(line, "power-boundary: "); ok {
			boundary = b
			continue
		}
		if i, ok := strings.CutPrefix(line, "impl: "); ok {
			impl = i
			continue
		}
		f := strings.Split(line, ",")
		switch {
		case len(f) < 3 || f[0] == "geomean":
		case f[0] == "" && slices.Contains(f, "CI"):
			unit = f[1]
		case f[0] == "":
			nodes = f
		default:
			for i, node := range nodes {
				if node == "" || i >= len(f) || f[i] == "" {
					continue
				}
				k := strings.Join([]string{boundary, impl, node, f[0], unit}, " ")
				require.Contains(t, ours, k, "a table mixes provenances:\n%s", out)
				median, _, _ := results.MedianInterval(ours[k])
				require.Equal(t, strconv.FormatFloat(median, 'g', -1, 64), f[i], k)
				seen++
			}
		}
	}
	require.Equal(t, len(ours), seen, "%s", out)
}

// Of many records the page counts what they keep, and shows the first of each
// candidate.
func TestManyRecords(t *testing.T) {
	var records []*results.Record
	for s := range 2 * disclosedMost {
		records = append(records, resultstest.Session(resultstest.Server("north", 1), s, 6, 1), resultstest.Session(resultstest.Server("south", 1.03), s, 6-s%2*4, 2))
	}
	few, many := string(rendered(t, pageOf(t, records[:12]))), string(rendered(t, pageOf(t, records)))
	require.Equal(t, 12, strings.Count(few, `id="rules-`))
	require.NotContains(t, few, "rules-all")
	require.Equal(t, 3, strings.Count(many, `id="rules-`), "of all, and of the first of two candidates")
	require.Contains(t, many, "46 records are counted above")
	broken := 0
	for _, r := range records {
		if !r.Summary.Validity.Valid {
			broken++
		}
	}
	require.Equal(t, disclosedMost, broken)
	row := regexp.MustCompile(`(?s)<tr><td class="key[^"]*"[^>]*>repeats<.*?</tr>\s*(<tr class="rest">.*?</tr>)?`).FindString(many)
	require.Contains(t, row, `data-sort="36">36</td>`)
	require.Contains(t, row, `data-sort="12">12</td>`)
	require.Contains(t, row, " and 6 more")
	require.Less(t, len(many), 2*len(few))
}

// What the candidates earn stands in every form of a report.
func TestEconomicsInEveryForm(t *testing.T) {
	p := pageOf(t, market())
	var md, values bytes.Buffer
	require.NoError(t, WriteComparison(&md, Markdown, p, Options{}))
	require.NoError(t, WriteComparison(&values, CSV, p, Options{}))
	rows, err := csv.NewReader(&values).ReadAll()
	require.NoError(t, err)
	got := map[string]string{}
	for _, r := range rows {
		got[r[3]] = r[4]
	}
	figures := 0
	for f := range p.Economics.Figures() {
		figures++
		require.Equal(t, table.Exact(f.Value), got[f.ID], f.ID)
	}
	require.Greater(t, figures, 100)
	page := string(rendered(t, p))
	for _, g := range p.Economics.Tables {
		require.Contains(t, md.String(), "\n**"+strings.ReplaceAll(g.Title, "$", `\$`)+"**\n")
		require.Equal(t, len(g.Stripped().Rows) > 0, strings.Contains(page, `<table id="`+word(g.ID)+`"`), g.ID)
	}
	require.Contains(t, md.String(), p.Economics.Banner)
}

// A record that may not be ranked neither earns nor loses, in no form.
func TestUnfitRecordHasNoVerdictInMoney(t *testing.T) {
	verdict := regexp.MustCompile(`\b(earns|loses)\b|(above|below) the price`)
	forms := func(rounds int) map[string]string {
		p := pageOf(t, twoNodes(rounds)) // fewer than six break the rules
		out := map[string]string{"html": string(rendered(t, p))}
		for _, f := range []Format{Text, Markdown, CSV} {
			var b bytes.Buffer
			require.NoError(t, WriteComparison(&b, f, p, Options{Width: 300}))
			out[string(f)] = b.String()
		}
		return out
	}
	// A cell of the tables, not a word of a note or of a title.
	cell := regexp.MustCompile(`(?:[>|] *|\s{2,})(earns|loses|above the price|below the price) *(?:[<|]|\s{2,})`)
	for form, text := range forms(6) {
		if form != string(CSV) {
			require.Regexp(t, cell, text, form)
		}
	}
	for form, text := range forms(5) {
		require.NotRegexp(t, cell, text, form)
		if form != string(CSV) {
			require.Contains(t, text, "No verdict rests on north: it is not ranked, breaks the publish rules: repeats", form)
		} else {
			require.NotRegexp(t, verdict, text, form)
		}
	}
}

// Two rows of one use say what tells them apart, and only that.
func TestRowsAreToldApart(t *testing.T) {
	row := func(workload, impl string, threads int) results.Row {
		return results.Row{RowKey: results.RowKey{Scenario: "Get", Use: "get", Workload: workload, Impl: impl, Threads: threads, Role: results.Alone}}
	}
	for name, c := range map[string]struct {
		rows []results.Row
		want []string
	}{
		"one":          {[]results.Row{row("example.com/kv", "avx2", 4)}, []string{"avx2"}},
		"two packages": {[]results.Row{row("example.com/kv", "", 4), row("example.com/ht", "", 4)}, []string{"example.com/kv", "example.com/ht"}},
		"-cpu 1,4":     {[]results.Row{row("example.com/kv", "", 1), row("example.com/kv", "", 4)}, []string{"1 thread", "4 threads"}},
		"all":          {[]results.Row{row("a", "x", 1), row("b", "y", 2)}, []string{"a, x, 1 thread", "b, y, 2 threads"}},
	} {
		var got []string
		for _, c := range madeOf(new(results.Node), c.rows, true) {
			require.Equal(t, "get", c.Text)
			got = append(got, c.Under)
		}
		require.Equal(t, c.want, got, name)
	}
}
