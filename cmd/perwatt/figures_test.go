package main

import (
	"encoding/csv"
	"encoding/json"
	"html"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
)

// grids reads the tables of a page in Markdown: by title, the rows, by the
// first line of their heads. A unit that stands in a head is put after the
// numbers of its column.
func grids(page string) map[string][]map[string]string {
	out := map[string][]map[string]string{}
	title := ""
	var head, units []string
	for line := range strings.Lines(page) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `\~`, "~")
		row, ok := strings.CutPrefix(line, "| ")
		if !ok {
			head, units = nil, nil
			if t, ok := strings.CutPrefix(line, "**"); ok {
				title, _, _ = strings.Cut(t, "**")
			}
			continue
		}
		cells := strings.Split(strings.TrimSuffix(row, " |"), " | ")
		switch {
		case head == nil:
			for _, c := range cells {
				c, under, _ := strings.Cut(c, " · ")
				head = append(head, strings.TrimSpace(c))
				units = append(units, unitOfHead.FindString(under))
			}
		case !strings.HasPrefix(cells[0], ":-"):
			r := map[string]string{}
			for i, c := range cells {
				r[head[i]] = strings.TrimSpace(c)
				if m := printedInterval.FindStringSubmatch(r[head[i]]); m != nil && units[i] != "" && m[2] == "" && m[1] != "–" && m[1] != "" {
					r[head[i]] = strings.TrimSpace(m[1] + " " + units[i] + " " + m[3])
				}
			}
			out[title] = append(out[title], r)
		}
	}
	return out
}

var unitOfHead = regexp.MustCompile(`([pnµmkMGTPEZ]?(H|samples|FLOP|B|J|W|s|steps|shares)(/[A-Za-z]+)?|%)$`)

var printedInterval = regexp.MustCompile(`^(\S+) ?(.*?) ?(\[[^]]*[])])?$`)

// printed parts a figure: its number, its unit and its interval.
func printed(t *testing.T, figure string) (number, unit, bounds string) {
	t.Helper()
	m := printedInterval.FindStringSubmatch(figure)
	require.NotNil(t, m, figure)
	return m[1], m[2], m[3]
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
func TestOneFigureIsOneString(t *testing.T) {
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
			oneString(t, make())
		})
	}
}

func oneString(t *testing.T, rec *results.Record) {
	dir := t.TempDir()
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	file := filepath.Join(dir, "store", rec.Start.Format("2006-01"), rec.ID+".json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, raw, 0o644))
	out := func(argv ...string) string {
		t.Helper()
		code, stdout, stderr := perwatt(t, t.Context(), argv...)
		require.Equal(t, exitOK, code, "%v: %s", argv, stderr)
		return stdout
	}
	show := func(format report.Format) string {
		return out("show", rec.ID, "--store", filepath.Join(dir, "store"), "--format", string(format))
	}
	compared := func(format report.Format) string { return out("compare", file, "--format", string(format)) }
	page := func(kind string) string {
		name := filepath.Join(dir, "page."+kind)
		out("report", file, "-o", name)
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(raw)
	}

	require.Equal(t, show(report.Bench), compared(report.Bench))
	require.Equal(t, compared(report.CSV), page("csv"))

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

	// Tables: to the character.
	shown, held := show(report.Markdown), compared(report.Markdown)
	mine, theirs := grids(shown), grids(held)
	require.Equal(t, theirs, grids(page("md")))
	text, other, web := show(report.Text), compared(report.Text), html.UnescapeString(page("html"))
	seen := 0
	for title, rows := range theirs {
		id, _, _ := strings.Cut(title, ", ")
		for _, r := range mine[firstTitle(mine)] {
			scenario, role, _ := strings.Cut(r["scenario"], " · ")
			use, _, _ := strings.Cut(r["use"], " · ")
			if role != "" {
				scenario += "/" + use
			}
			if scenario != id {
				continue
			}
			for _, head := range []string{"throughput", "power", "per joule", "energy per work"} {
				want, ok := r[head]
				if got, there := rows[0][head]; there && ok && got != "–" && !strings.HasPrefix(want, "–") {
					require.Equal(t, want, got, "%s, %s", id, head)
					number, unit, bounds := printed(t, got)
					for _, form := range []string{text, other, web} {
						require.Contains(t, form, number)
						require.Contains(t, form, unit)
						require.Contains(t, form, bounds)
					}
					seen++
				}
			}
		}
		for _, r := range mine["Useful fp32 arithmetic"] {
			if want := r["of the FMA peak"]; r["scenario"] == id && want != "" {
				require.Equal(t, want, rows[0]["of the FMA peak"], id)
			}
		}
	}
	require.NotZero(t, seen)
	for _, r := range theirs["Exchange between uses: hashes given up for one sample, on the same energy"] {
		number, _, bounds := printed(t, r["hashes a sample"])
		require.Contains(t, strings.ReplaceAll(shown, `\~`, "~"), "gives "+strings.TrimSpace(number+" "+bounds)+" ")
	}
	for _, r := range theirs["One kilowatt-hour, shared between mining and training"] {
		for _, y := range mine["One kilowatt-hour gives"] {
			switch {
			case y["scenario"] == "mining" && r["gives"] == "hashes":
				require.Equal(t, y["work"], r["0 %"])
			case y["scenario"] == "training-mlp" && r["gives"] == "samples":
				require.Equal(t, y["work"], r["100 %"])
			}
		}
	}

	// CSV, and the history.
	metrics := map[string]map[string]string{}
	for _, r := range csvRows(t, show(report.CSV)) {
		id := r["scenario"]
		if r["role"] != string(results.Alone) {
			id += "/" + r["use"]
		}
		metrics[id+" "+r["metric"]] = r
	}
	for _, r := range csvRows(t, compared(report.CSV)) {
		want, ok := metrics[r["table"]+" "+r["metric"]]
		for _, column := range []string{"value", "low", "high", "unit", "instrument"} {
			if ok {
				require.Equal(t, want[column], r[column], "%s %s %s", r["table"], r["metric"], column)
			}
		}
	}
	night := rec.Start.Add(-12 * time.Hour).Format(time.DateOnly)
	for _, r := range csvRows(t, out("track", "--store", filepath.Join(dir, "store"), "--night", night, "--format", "csv")) {
		id := r["scenario"]
		if want, ok := metrics[id+" "+r["metric"]]; ok {
			for _, column := range []string{"value", "low", "high", "unit"} {
				require.Equal(t, want[column], r[column], "%s %s %s", id, r["metric"], column)
			}
		}
	}
	site := filepath.Join(dir, "site")
	out("track", "--store", filepath.Join(dir, "store"), "--night", night, "-o", site)
	pages, err := filepath.Glob(filepath.Join(site, "group*.html"))
	require.NoError(t, err)
	require.Len(t, pages, 1)
	history, err := os.ReadFile(pages[0])
	require.NoError(t, err)
	for _, r := range mine[firstTitle(mine)] {
		for _, head := range []string{"throughput", "power", "per joule"} {
			if strings.HasPrefix(r[head], "–") || r[head] == "" || strings.HasPrefix(r["scenario"], "idle") {
				continue
			}
			number, unit, bounds := printed(t, r[head])
			require.Contains(t, html.UnescapeString(string(history)), number, head)
			require.Contains(t, html.UnescapeString(string(history)), unit, head)
			require.Contains(t, string(history), bounds)
		}
	}
	for _, tb := range c.Tables {
		for _, r := range mine[firstTitle(mine)] {
			if want := r["per joule"]; r["scenario"] == tb.ID() && want != "" && !strings.HasPrefix(want, "–") {
				number, unit, bounds := printed(t, want)
				require.Contains(t, out("explain", tb.Groups[0].Rows[0].ID+"/"+results.WorkPerEnergy, file), strings.TrimSpace(number+" "+strings.TrimSpace(bounds+" "+unit)))
			}
		}
	}
}

// firstTitle is that of the table with the figures of a record.
func firstTitle(of map[string][]map[string]string) string {
	for title, rows := range of {
		if _, ok := rows[0]["net power"]; ok {
			return title
		}
	}
	for title, rows := range of {
		if _, ok := rows[0]["throughput"]; ok {
			return title
		}
	}
	return ""
}
