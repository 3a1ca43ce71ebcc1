package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/serve"
	"github.com/perwatt/perwatt/results/store"
)

// figureHeads are the columns whose figures every command prints, by the name
// of the metric.
var figureHeads = map[string]string{
	results.Throughput: "throughput", results.Power: "power", results.WorkPerEnergy: "per joule", results.EnergyPerWork: "energy per work", results.PeakFraction: "of the FMA peak",
}

// grid is a table as it is read from a page, whatever its form: two lines of
// each head and of each cell.
type grid struct {
	title string
	heads [][2]string
	rows  [][][2]string
}

var (
	unitPattern = `(?:[pnµmkMGTPEZ]?(?:H|samples|tokens|FLOP|B|J|W|s|steps|shares)(?:/[A-Za-z]+)?|%)`
	unitOfHead  = regexp.MustCompile(`(?:^|, )(` + unitPattern + `)$`)
	withUnit    = regexp.MustCompile(` ` + unitPattern + `\*?$`)
	reasons     = regexp.MustCompile(`[⁰¹²³⁴⁵⁶⁷⁸⁹]+`)
)

// seen is a figure as a reader sees it: ~, number, unit, the mark of a reason
// and the interval, whether the unit stands beside the number or in the head of
// the column.
func seen(head, cell [2]string) string {
	value := reasons.ReplaceAllString(cell[0], "*") // which numbers its note has is up to the table
	for _, h := range head {
		if m := unitOfHead.FindStringSubmatch(h); m != nil && value != "" && !strings.HasPrefix(value, "–") && !withUnit.MatchString(value) {
			number, mark := strings.CutSuffix(value, "*")
			value = number + " " + m[1]
			if mark {
				value += "*"
			}
		}
	}
	return strings.TrimSpace(value + " " + cell[1])
}

// column is the place of the column of that name, or -1.
func (g grid) column(name string) int {
	return slices.IndexFunc(g.heads, func(h [2]string) bool { return h[0] == name || unitOfHead.ReplaceAllString(h[0], "") == name })
}

// figuresOf are the figures of the tables of a record or of a comparison with one
// candidate, by use and head.
func figuresOf(t *testing.T, grids []grid) map[[2]string]string {
	t.Helper()
	out, shared := map[[2]string]string{}, map[string]bool{} // scenarios, by several uses
	for _, g := range grids {
		for _, row := range g.rows {
			id, _, _ := strings.Cut(g.title, ", ")
			if at := g.column("scenario"); at >= 0 {
				id = row[at][0]
				if shared[id] = shared[id] || row[at][1] != ""; shared[id] { // below it stands the role
					id += "/" + row[g.column("use")][0]
				}
			}
			for _, head := range figureHeads {
				at := g.column(head)
				if at < 0 || row[at][0] == "" {
					continue
				}
				figure := seen(g.heads[at], row[at])
				if known, ok := out[[2]string{id, head}]; ok {
					require.Equal(t, known, figure, "%s, %s", id, head)
				}
				out[[2]string{id, head}] = figure
			}
		}
	}
	return out
}

// markdownGrids reads a page in Markdown.
func markdownGrids(page string) (grids []grid) {
	title, within := "", false
	for line := range strings.Lines(page) {
		line = strings.NewReplacer(`\~`, "~", `\_`, "_").Replace(strings.TrimSpace(line))
		row, ok := strings.CutPrefix(line, "| ")
		if !ok {
			within = false
			if t, ok := strings.CutPrefix(line, "**"); ok {
				title, _, _ = strings.Cut(t, "**")
			}
			continue
		}
		var cells [][2]string
		for c := range strings.SplitSeq(strings.TrimSuffix(row, " |"), " | ") {
			if at := strings.Index(c, " ["); within && at >= 0 { // the interval follows the number
				cells = append(cells, [2]string{c[:at], c[at+1:]})
				continue
			}
			value, under, _ := strings.Cut(strings.TrimSpace(c), " · ")
			cells = append(cells, [2]string{value, under})
		}
		switch {
		case !within:
			grids, within = append(grids, grid{title: title, heads: cells}), true
		case !strings.HasPrefix(cells[0][0], ":-"):
			grids[len(grids)-1].rows = append(grids[len(grids)-1].rows, cells)
		}
	}
	return grids
}

// htmlGrids reads a page.
func htmlGrids(t *testing.T, page string) (grids []grid) {
	t.Helper()
	type text struct {
		Text  string `xml:",chardata"`
		Link  string `xml:"a"`
		Small string `xml:"small"`
	}
	type cell struct {
		text
		Rest []struct { // the columns that gave way
			Head string `xml:"dt"`
			Cell text   `xml:"dd"`
		} `xml:"dl>div"`
	}
	lines := func(cells []cell) (out [][2]string) {
		for _, c := range cells {
			out = append(out, [2]string{strings.TrimSpace(c.Link + c.Text), c.Small})
		}
		return out
	}
	title := ""
	for _, part := range regexp.MustCompile(`(?s)<h3>.*?</h3>|<summary>.*?</summary>|<table.*?</table>`).FindAllString(page, -1) {
		if !strings.HasPrefix(part, "<table") {
			title = html.UnescapeString(strings.TrimSuffix(strings.TrimSuffix(part[strings.Index(part, ">")+1:], "</h3>"), "</summary>"))
			continue
		}
		var parsed struct {
			Heads []cell `xml:"thead>tr>th"`
			Rows  []struct {
				Class string `xml:"class,attr"`
				Cells []cell `xml:"td"`
			} `xml:"tbody>tr"`
		}
		require.NoError(t, xml.Unmarshal([]byte(part), &parsed), part)
		g := grid{title: title, heads: lines(parsed.Heads)}
		for _, r := range parsed.Rows {
			if r.Class != "rest" {
				g.rows = append(g.rows, lines(r.Cells))
				continue
			}
			last := len(g.rows) - 1 // they stand below their row
			for _, x := range r.Cells[0].Rest {
				head, unit, _ := strings.Cut(x.Head, ", ")
				at := slices.Index(g.heads, [2]string{head, unit})
				if at < 0 {
					at = len(g.heads)
					g.heads = append(g.heads, [2]string{head, unit})
				}
				for len(g.rows[last]) <= at {
					g.rows[last] = append(g.rows[last], [2]string{})
				}
				g.rows[last][at] = lines([]cell{{text: x.Cell}})[0]
			}
		}
		for i := range g.rows {
			for len(g.rows[i]) < len(g.heads) {
				g.rows[i] = append(g.rows[i], [2]string{})
			}
		}
		grids = append(grids, g)
	}
	return grids
}

// textGrids reads a page for a terminal. Columns are found by their heads: those of
// figures are flush right, the first two flush left.
func textGrids(page string) (grids []grid) {
	lines := strings.Split(page, "\n")
	title := ""
	left := func(line string, at int) string { // what begins there
		r := []rune(line)
		if at >= len(r) || at > 0 && r[at-1] != ' ' {
			return ""
		}
		text, _, _ := strings.Cut(string(r[at:]), "  ")
		return strings.TrimSpace(text)
	}
	right := func(line string, end int) string { // what ends there
		r := []rune(line)
		if end > len(r) || end < len(r) && r[end] != ' ' {
			return ""
		}
		text := string(r[:end])
		return strings.TrimSpace(text[strings.LastIndex("  "+text, "  "):])
	}
	for i, rule := range lines {
		if rule == "" || strings.Trim(rule, "─") != "" {
			continue
		}
		top := i - 1
		for top > 0 && lines[top-1] != "" && !strings.HasPrefix(lines[top], "scenario") && !strings.HasPrefix(lines[top], "candidate") && !strings.HasPrefix(lines[top], "place") {
			top--
		}
		first := top
		for first > 0 && lines[first-1] != "" {
			first--
		}
		if first < top { // a title may take several lines
			title = lines[first]
		}
		under := ""
		if top+1 < i {
			under = lines[top+1]
		}
		g := grid{title: title}
		var ends []int // of the columns that are flush right; the others begin at -n-1
		for _, at := range regexp.MustCompile(`\S+(?: \S+)*`).FindAllStringIndex(lines[top], -1) {
			head := lines[top][at[0]:at[1]]
			begin, end := utf8.RuneCountInString(lines[top][:at[0]]), utf8.RuneCountInString(lines[top][:at[1]])
			switch head {
			case "scenario", "use", "candidate":
				g.heads, ends = append(g.heads, [2]string{head, left(under, begin)}), append(ends, -begin-1)
			default:
				g.heads, ends = append(g.heads, [2]string{head, right(under, end)}), append(ends, end)
			}
		}
		figure := regexp.MustCompile(`^(~?−?[0-9]|–$|–[⁰¹²³⁴⁵⁶⁷⁸⁹]|not resolvable)`)
		parse := func(line string) (cells []string, begins bool) {
			for h, end := range ends {
				if end < 0 {
					cells = append(cells, left(line, -end-1))
					continue
				}
				c := right(line, end)
				begins = begins || figure.MatchString(c) && slices.Contains(slices.Collect(maps.Values(figureHeads)), unitOfHead.ReplaceAllString(g.heads[h][0], ""))
				if !figure.MatchString(c) && !strings.HasPrefix(c, "[") {
					c = ""
				}
				cells = append(cells, c)
			}
			return cells, begins
		}
		// A note may follow a row that nothing stands under: it runs across the columns.
		prose := func(line string) bool {
			return len(ends) > 1 && ends[1] < 0 && utf8.RuneCountInString(left(line, 0)) >= -ends[1]-1
		}
		for k := i + 1; k < len(lines) && lines[k] != ""; k++ {
			cells, begins := parse(lines[k])
			if !begins {
				continue
			}
			row := make([][2]string, len(cells))
			for h, c := range cells {
				row[h][0] = c
			}
			if under, another := parse(lines[k+1]); !another && !prose(lines[k+1]) {
				for h, c := range under {
					row[h][1] = c
				}
			}
			g.rows = append(g.rows, row)
		}
		grids = append(grids, g)
	}
	return grids
}

// A row that nothing stands under, with a note right after the table.
func TestNoteIsNoRow(t *testing.T) {
	grids := textGrids(`Useful fp32 arithmetic
scenario      use       n     rate  of the FMA peak
                           GFLOP/s  measured at start
─────────────────────────────────────────────────────
training-mlp  training  6      120             60 %
Of training, the fraction of the FMA peak is one.

`)
	require.Len(t, grids, 1)
	require.Len(t, grids[0].rows, 1)
	require.Equal(t, [2]string{"training-mlp", ""}, grids[0].rows[0][0])
}

func csvRows(t *testing.T, text string) (rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	for _, line := range all[1:] {
		r := map[string]string{}
		for i, c := range line {
			r[all[0][i]] = c
		}
		rows = append(rows, r)
	}
	return rows
}

// Whatever figure two commands print of one record, they print the same
// characters, in every form.
//
// It begins with a session of this machine, with a counter of 1234.5 W; made-up
// records have what such a session has not.
func TestOneFigureIsOneString(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine computes for a long time: in the full form only")
	}
	t.Run("a session of this machine", func(t *testing.T) {
		dir := t.TempDir()
		page := filepath.Join(dir, "run.html")
		code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining,training", "--model", "mlp", "--rounds", "6", "--threads", "1", "--window", "300ms", "--warmup", "100ms", "--limit", "100ms",
			"--settle", "20ms", "--interval", "20ms", "--meter", "exec:joules 1234.5,boundary=wall,accuracy=1%,period=20ms,name=plug", "--store", filepath.Join(dir, "store"), "--format", "markdown", "--report", page)
		require.Equal(t, exitOK, code, stderr)
		files, err := filepath.Glob(filepath.Join(dir, "store", "*", "*.json"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		rec, err := results.ReadFile(files[0])
		require.NoError(t, err)
		ran := figuresOf(t, markdownGrids(stdout))
		require.Equal(t, ran, oneString(t, rec, filepath.Join(dir, "store"), files[0]))
		require.Equal(t, ran, figuresOf(t, htmlGrids(t, read(t, page))))
		require.Regexp(t, `^[0-9]`, ran[[2]string{"mining", "throughput"}])
	})
	server := func(rounds, slow int, within float64, edit func(*results.Record)) func() *results.Record {
		return func() *results.Record {
			n := resultstest.Server("north", 1)
			n.Slow, n.Within = slow, within
			rec := resultstest.Session(n, 1, rounds, 3)
			if edit != nil {
				edit(rec)
				rec.Summary = results.Derive(rec)
			}
			return rec
		}
	}
	for name, make := range map[string]func() *results.Record{
		"two slow of eight": server(8, 4, 0.002, nil),
		"two slow of six":   server(6, 3, 0.002, nil),
		"wild":              server(12, 5, 0.3, nil),
		"no interval":       server(4, 4, 0.002, nil),
		"a gap in a slow window": server(8, 4, 0.002, func(r *results.Record) {
			for i := range r.Runs {
				if x := &r.Runs[i]; x.Scenario == "mining" && x.Round == 3 {
					tr := x.Trace(results.MeterKey("snmp", "outlet3-power"))
					for j := range tr.V {
						tr.V[j] = results.Absent()
					}
				}
			}
		}),
		"no watts":       server(8, 4, 0.002, func(r *results.Record) { r.Meters = nil }),
		"modelled watts": server(8, 4, 0.002, func(r *results.Record) { r.Meters[0].Channels[0].Origin = results.Modelled }),
		"a miner of a pool": func() *results.Record {
			rec, _ := resultstest.Device{Name: "s21", Rate: 3, Window: 300, Windows: 8, Sample: 5, Stale: 0.01, Swing: 0.4}.Record(rand.New(rand.NewPCG(1, 2)))
			rec.Summary = results.Derive(rec)
			return rec
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := make()
			raw, err := results.Seal(rec)
			require.NoError(t, err)
			dir := t.TempDir()
			file := filepath.Join(dir, rec.Start.Format("2006-01"), rec.ID+".json")
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, raw, 0o644))
			require.NotEmpty(t, oneString(t, rec, dir, file))
		})
	}
}

// oneString compares what every command prints of the one record of a store, and
// returns the figures as a reader sees them.
func oneString(t *testing.T, rec *results.Record, dir, file string) map[[2]string]string {
	out := func(argv ...string) string {
		t.Helper()
		code, stdout, stderr := perwatt(t, t.Context(), argv...)
		require.Equal(t, exitOK, code, "%v: %s", argv, stderr)
		return stdout
	}
	show := func(format report.Format) string {
		return out("show", rec.ID, "--store", dir, "--format", string(format))
	}
	compared := func(format report.Format) string { return out("compare", file, "--format", string(format)) }
	page := func(kind string) string {
		name := filepath.Join(t.TempDir(), "page."+kind)
		out("report", file, "-o", name)
		return read(t, name)
	}

	require.Equal(t, show(report.Bench), compared(report.Bench))
	require.Equal(t, compared(report.CSV), strings.TrimPrefix(page("csv"), "\ufeff"))

	// JSON: to the last digit.
	var c compare.Comparison
	require.NoError(t, json.Unmarshal([]byte(compared(report.JSON)), &c))
	s := record(t, show(report.JSON)).Summary
	same := func(m, i results.Figure, what string) {
		t.Helper()
		got, err := json.Marshal(i)
		require.NoError(t, err)
		m.Budget = nil
		want, err := json.Marshal(m)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got), what)
	}
	figures := 0
	for _, tb := range c.Tables {
		for _, r := range s.Rows {
			if r.Scenario != tb.Scenario || r.Use != tb.Use || r.Role != tb.Role {
				continue
			}
			for metric, i := range tb.Groups[0].Rows[0].Figures {
				figures++
				same(r.Metrics[metric], i, tb.ID()+" "+metric)
			}
		}
	}
	require.NotZero(t, figures)
	require.Len(t, c.Exchange, len(s.Exchange))
	for i, x := range s.Exchange {
		same(x.HashesPerSample, c.Exchange[i].Rate, "exchange")
	}

	// Pages: to the character, in every form.
	shown, held := show(report.Markdown), compared(report.Markdown)
	mine, theirs := figuresOf(t, markdownGrids(shown)), figuresOf(t, markdownGrids(held))
	require.Equal(t, mine, figuresOf(t, textGrids(show(report.Text))))
	require.Equal(t, mine, figuresOf(t, htmlGrids(t, page("html"))))
	require.Equal(t, theirs, figuresOf(t, textGrids(compared(report.Text))))
	require.Equal(t, theirs, figuresOf(t, markdownGrids(page("md"))))
	for of, got := range theirs {
		require.Equal(t, mine[of], got, of)
	}
	require.NotEmpty(t, theirs)
	for _, g := range markdownGrids(held) {
		for _, row := range g.rows {
			at := g.column("hashes given up")
			if strings.HasPrefix(g.title, "Exchange between uses") {
				number, unit, _ := strings.Cut(row[at][0], " ")
				require.Contains(t, strings.ReplaceAll(shown, `\~`, "~"), "gives "+joinedBySpace(number, row[at][1], strings.TrimSuffix(cmp.Or(unit, unitOfHead.FindString(g.heads[at][1])), "/sample"))+" at mining")
			}
			if strings.HasPrefix(g.title, "One kilowatt-hour, shared") {
				for _, y := range markdownGrids(shown) {
					for _, given := range y.rows {
						if !strings.HasPrefix(y.title, "One kilowatt-hour gives") {
							continue
						}
						whole, share := seen(y.heads[y.column("work")], given[y.column("work")]), ""
						switch gives := row[g.column("gives")][0]; {
						case given[0][0] == "mining" && gives == "hashes":
							share = "0 %"
						case given[0][0] == "training-mlp" && gives == "samples":
							share = "100 %"
						default:
							continue
						}
						require.Equal(t, whole, seen(g.heads[g.column(share)], row[g.column(share)]))
					}
				}
			}
		}
	}

	// CSV: to the last digit, and what is printed is that, rounded.
	metrics := map[string]map[string]string{}
	for _, r := range csvRows(t, show(report.CSV)) {
		id := r["scenario"]
		if r["role"] != string(results.Alone) {
			id += "/" + r["use"]
		}
		metrics[id+" "+r["metric"]] = r
		if figure, ok := mine[[2]string{id, figureHeads[r["metric"]]}]; ok {
			requireRounded(t, r, figure)
		}
	}
	agrees := func(id string, r map[string]string, columns ...string) {
		if want, ok := metrics[id+" "+r["metric"]]; ok {
			for _, column := range columns {
				require.Equal(t, want[column], r[column], "%s %s %s", id, r["metric"], column)
			}
		}
	}
	for _, r := range csvRows(t, compared(report.CSV)) {
		agrees(r["table"], r, "value", "low", "high", "unit", "instrument")
	}

	// The history.
	night := rec.Start.Add(-12 * time.Hour).Format(time.DateOnly)
	tracked := func(argv ...string) string {
		return out(append([]string{"track", "--store", dir, "--night", night}, argv...)...)
	}
	for _, r := range csvRows(t, tracked("--format", "csv")) {
		agrees(r["scenario"], r, "value", "low", "high", "unit")
	}
	newest := map[string]string{} // by scenario, use and metric, of the textfile
	for line := range strings.Lines(tracked("--format", "prometheus")) {
		if m := sampleOf.FindStringSubmatch(line); m != nil && m[1] == m[2] {
			newest[m[1]+" "+m[3]] = m[4]
			agrees(m[1], map[string]string{"metric": m[3], "value": m[4]}, "value")
		}
	}
	require.NotEmpty(t, newest)
	actions := t.TempDir()
	tracked("--format", "gha-benchmark", "-o", actions)
	var entries []struct {
		Name, Unit string
		Value      float64
	}
	for _, name := range []string{"bigger-is-better.json", "smaller-is-better.json"} {
		require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(actions, name))), &entries))
		for _, e := range entries {
			m := regexp.MustCompile(`: ([a-z ]+) at ([^, (]+)(?: \(.*\))?, [^,]+$`).FindStringSubmatch(e.Name)
			if m == nil { // a scenario of several uses
				continue
			}
			want, err := strconv.ParseFloat(newest[m[2]+" "+strings.ReplaceAll(m[1], " ", "_")], 64)
			require.NoError(t, err, e.Name)
			scale, ok := scales[strings.TrimSuffix(e.Unit, "/s")]
			require.True(t, ok, e.Unit)
			require.InEpsilon(t, want, e.Value*scale, 1e-12, e.Name)
			delete(newest, m[2]+" "+strings.ReplaceAll(m[1], " ", "_"))
		}
	}
	require.Empty(t, newest, "both have the same figures")

	// The pages of the history, as files and from the server.
	site := t.TempDir()
	tracked("-o", site)
	pages, err := filepath.Glob(filepath.Join(site, "*.html"))
	require.NoError(t, err)
	require.Len(t, pages, 2)
	get := served(t, dir, rec.Start.Add(time.Hour))
	history := map[[2]string]string{}
	for _, name := range pages {
		for from, page := range map[string]string{"file": read(t, name), "server": get("/" + filepath.Base(name))} {
			found := 0
			for _, g := range htmlGrids(t, page) {
				for _, row := range g.rows {
					metric, use, ok := strings.Cut(g.title, " at ")
					at := g.column("value")
					if filepath.Base(name) == "index.html" {
						at, ok = g.column("now"), true
						metric, use = row[g.column("figure")][0], row[g.column("use")][0]
					}
					if scenario, _, _ := strings.Cut(use, ", "); ok && at >= 0 {
						head := figureHeads[strings.ReplaceAll(metric, " ", "_")]
						of := [2]string{scenario, head}
						if want, ok := mine[of]; ok {
							found++
							history[of] = want
							require.Equal(t, want, seen(g.heads[at], row[at]), "%s of the %s: %s", name, from, g.title)
						}
					}
				}
			}
			require.NotZero(t, found, "%s of the %s", name, from)
		}
	}
	require.NotEmpty(t, history)

	// A record and a comparison from the server.
	for _, path := range []string{"/record.html?id=" + rec.ID, "/report.html?r=" + rec.ID} {
		require.Equal(t, mine, figuresOf(t, htmlGrids(t, get(path))), path)
	}

	// Where each comes from.
	for _, tb := range c.Tables {
		r := tb.Groups[0].Rows[0]
		for metric := range r.Figures {
			figure := theirs[[2]string{tb.ID(), figureHeads[metric]}]
			if figure == "" || strings.HasPrefix(figure, "–") {
				continue
			}
			m := readFigure.FindStringSubmatch(figure)
			require.NotNil(t, m, figure)
			title, _, _ := strings.Cut(out("explain", r.ID+"/"+metric, file), "\n\n")
			require.Contains(t, strings.ReplaceAll(title, "\n", " · "), " · "+joinedBySpace(m[1]+m[2], m[5], m[3]))
		}
	}
	return mine
}

// sampleOf parts a line of the textfile: scenario, use, metric and value.
var sampleOf = regexp.MustCompile(`^perwatt_track_value\{.*scenario="([^"]*)",use="([^"]*)",.*metric="([^"]*)",.*\} (\S+)\n`)

// served returns what gets a page of perwatt serve at a time.
func served(t *testing.T, dir string, now time.Time) (get func(path string) string) {
	t.Helper()
	x, err := store.OpenIndex(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { x.Close() })
	s := serve.New(x)
	s.Now = func() time.Time { return now }
	return func(path string) string {
		t.Helper()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		require.Equal(t, http.StatusOK, w.Code, path)
		return w.Body.String()
	}
}

// What perwatt node prints is what its JSON has, rounded, and it names a machine as
// perwatt show does, with the memory of the page of a record.
func TestNodeIsOneString(t *testing.T) {
	rec := resultstest.Session(resultstest.Server("north", 1), 1, 6, 3)
	m := report.Machine{Node: rec.Node}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, unit := range []results.Unit{results.Hash.Per(results.Second), results.FLOP.Per(results.Second), results.Byte.Per(results.Second)} {
		k := results.Kernel{Name: "kernel-of-" + string(unit), Device: results.CPUDevice}
		for i := range 20 {
			k.Impls = append(k.Impls, results.Impl{Name: fmt.Sprintf("row%d", i), Supported: true, Check: "ok", Rate: results.Float(math.Pow(10, 1+14*rng.Float64())), Unit: unit})
		}
		m.Kernels = append(m.Kernels, k)
	}
	var text, raw strings.Builder
	require.NoError(t, report.WriteMachine(&text, m, report.Options{}))
	require.NoError(t, report.WriteJSON(&raw, "", m))
	var exact struct {
		Kernels []struct {
			Name  string
			Impls []struct {
				Name string
				Rate json.Number
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(raw.String()), &exact))
	rows := 0
	for _, k := range exact.Kernels {
		for _, im := range k.Impls {
			line := regexp.MustCompile(`(?m)^` + k.Name + ` +cpu +` + im.Name + ` +nothing +right +(\S+ \S+)$`).FindStringSubmatch(text.String())
			require.NotNil(t, line, "%s %s in %s", k.Name, im.Name, text.String())
			requireRounded(t, map[string]string{"value": im.Rate.String()}, line[1])
			rows++
		}
	}
	require.Equal(t, 60, rows)

	title, _, _ := strings.Cut(text.String(), "\n")
	require.Equal(t, "north · AMD EPYC 7543 32-Core Processor · 64 threads · 256 GiB", title)
	dir := t.TempDir()
	data, err := results.Seal(rec)
	require.NoError(t, err)
	file := filepath.Join(dir, rec.Start.Format("2006-01"), rec.ID+".json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, data, 0o644))
	code, shown, errs := perwatt(t, t.Context(), "show", rec.ID, "--store", dir)
	require.Equal(t, exitOK, code, errs)
	require.True(t, strings.HasPrefix(shown, title+" · "), shown)
	page := served(t, dir, rec.Start.Add(time.Hour))("/record.html?id=" + rec.ID)
	require.Contains(t, page, ">256 GiB<")
}

// A change is one string wherever it is told: in the text, in its cause, in
// annotations, on pages, as files and from the server; JSON and the textfile have it
// to the last digit.
func TestOneChangeIsOneString(t *testing.T) {
	for name, factor := range map[string]float64{"worse": 0.95, "better": 1.06, "many times": 21} {
		dir, site := t.TempDir(), t.TempDir()
		nights(t, dir, resultstest.Server("north", 1), 20, func(n int, node *resultstest.Node) string {
			if n >= 14 {
				node.Rates["mining/mining"] *= factor
			}
			return "aaaaaaaaaaaa"
		})
		out := func(argv ...string) string {
			code, stdout, errs := tracked(t, append([]string{"--store", dir, "--night", night(19)}, argv...)...)
			require.Equal(t, exitOK, code, errs)
			return stdout
		}
		var v struct {
			Findings []struct {
				Figures []struct {
					Metric          string
					Size, Low, High float64
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out("--format", "json")), &v))
		require.Len(t, v.Findings, 1, name)
		// By hand: the difference in percent to a tenth, with its sign.
		percent := func(x float64) string {
			s := fmt.Sprintf("%+.1f %%", 100*(x-1))
			if whole, rest, _ := strings.Cut(s, "."); len(whole) > 4 { // +2000
				s = whole[:len(whole)-3] + "," + whole[len(whole)-3:] + "." + rest
			}
			return strings.Replace(s, "-", "−", 1)
		}
		want, exact := map[string]bool{}, map[string]string{}
		for _, f := range v.Findings[0].Figures {
			want[percent(f.Size)+" ["+percent(f.Low)+", "+percent(f.High)+"]"] = true
			exact[f.Metric] = strconv.FormatFloat(f.Size, 'g', -1, 64)
		}
		require.Len(t, exact, 2, "throughput and work per energy")
		told := regexp.MustCompile(`[+−][0-9.,]+ % \[[^\]]*\]`)
		get := served(t, dir, time.Date(2026, 10, 3, 9, 0, 0, 0, time.UTC))
		out("-o", site)
		pages, err := filepath.Glob(filepath.Join(site, "group-*.html"))
		require.NoError(t, err)
		require.Len(t, pages, 1)
		for where, text := range map[string]string{
			"text": strings.Join(strings.Fields(out()), " "), "markdown": out("--format", "markdown"), "github": strings.ReplaceAll(out("--format", "github"), "%25", "%"),
			"overview": read(t, filepath.Join(site, "index.html")), "group": read(t, pages[0]), "server": get("/"), "server's group": get("/" + filepath.Base(pages[0])),
		} {
			text = regexp.MustCompile(`%<small>\[`).ReplaceAllString(text, "% [")
			seen := told.FindAllString(text, -1)
			require.NotEmpty(t, seen, "%s: %s", name, where)
			for _, s := range seen {
				require.Contains(t, want, s, "%s: %s", name, where)
			}
		}
		changes := map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^perwatt_track_change\{.*metric="([^"]*)".*\} (\S+)$`).FindAllStringSubmatch(out("--format", "prometheus"), -1) {
			changes[m[1]] = m[2]
		}
		require.Equal(t, exact, changes, name)
	}
}

// readFigure parts a figure: ~, number, unit, the mark of a reason and interval.
var readFigure = regexp.MustCompile(`^(~?)(\S+)(?: ([^\[*]*?[^ \[*]))?(\*)?(?: (\[.*))?$`)

func joinedBySpace(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}

// requireRounded wants a printed figure to be that of a row of CSV, to half of its
// last digit, with ~ if and only if it was not measured.
func requireRounded(t *testing.T, row map[string]string, figure string) {
	t.Helper()
	if strings.HasPrefix(figure, "–") {
		require.Empty(t, row["value"], figure)
		return
	}
	m := readFigure.FindStringSubmatch(figure)
	require.NotNil(t, m, figure)
	require.Equal(t, row["origin"] != "" && row["origin"] != string(results.Measured), m[1] == "~", figure)
	near := func(exact, printed string) {
		t.Helper()
		want, err := strconv.ParseFloat(exact, 64)
		require.NoError(t, err, figure)
		scale, ok := scales[strings.TrimSuffix(m[3], "/s")]
		require.True(t, ok, "%q of %s", m[3], figure)
		digits := strings.NewReplacer(",", "", "−", "-").Replace(printed)
		got, err := strconv.ParseFloat(digits, 64)
		require.NoError(t, err, figure)
		half := 0.5 // of the last digit
		if _, decimals, ok := strings.Cut(digits, "."); ok {
			half *= math.Pow10(-len(decimals))
		} else {
			half *= math.Pow10(len(digits) - len(strings.TrimRight(digits, "0")))
		}
		require.InDelta(t, want/scale, got, half*1.0001, "%s for %s", figure, exact)
	}
	near(row["value"], m[2])
	if m[5] == "" {
		require.Empty(t, row["low"], figure)
		return
	}
	low, high, _ := strings.Cut(strings.Trim(m[5], "[])"), ", ")
	near(row["low"], low)
	if high != "∞" {
		near(row["high"], high)
	}
}

// scales are the SI values of printed units, less "/s".
var scales = func() map[string]float64 {
	out := map[string]float64{"%": 0.01, "W": 1, "shares": 1, "steps": 1}
	for prefix, factor := range map[string]float64{"p": 1e-12, "n": 1e-9, "µ": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21} {
		for _, unit := range []string{"H", "samples", "tokens", "FLOP", "B"} {
			out[prefix+unit], out[prefix+unit+"/J"] = factor, factor
		}
		out[prefix+"J/TH"], out[prefix+"J/GFLOP"], out[prefix+"J/GB"], out[prefix+"J/sample"], out[prefix+"J/token"], out[prefix+"W"] = factor/1e12, factor/1e9, factor/1e9, factor, factor, factor
	}
	return out
}()
