package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// nights keeps sessions of a node, one a night, the first on 2026-09-14. change
// is called before each.
func nights(t testing.TB, dir string, node resultstest.Node, n int, change func(night int, node *resultstest.Node) (revision string)) {
	t.Helper()
	seeded(t, dir, node, 7, n, change)
}

func seeded(t testing.TB, dir string, node resultstest.Node, seed uint64, n int, change func(night int, node *resultstest.Node) (revision string)) {
	t.Helper()
	node.Only = []string{"idle", "control", "mining"}
	node.Between, node.Within = 0.004, 0.004
	for i := range n {
		now := node
		now.Rates, now.Watts = map[string]float64{}, map[string]float64{}
		for k, v := range node.Rates {
			now.Rates[k] = v
		}
		for k, v := range node.Watts {
			now.Watts[k] = v
		}
		revision := change(i, &now)
		if revision == "" { // no session
			continue
		}
		rec := resultstest.Session(now, i, 2, seed)
		rec.Tool.Revision = revision
		raw, err := results.Seal(rec)
		require.NoError(t, err)
		month := filepath.Join(dir, rec.Start.Format("2006-01"))
		require.NoError(t, os.MkdirAll(month, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
	}
}

func tracked(t testing.TB, argv ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"track"}, argv...), &out, &err)
	return code, out.String(), err.String()
}

const firstNight = "2026-09-13" // a session of 08:30 UTC is of the night before

func night(n int) string {
	day, _ := time.Parse(time.DateOnly, firstNight)
	return day.AddDate(0, 0, n).Format(time.DateOnly)
}

// A kernel that became slower is found, dated and charged to the commit; the
// gate fails on the night that shows it and on no other.
func TestTrackFindsTheCommit(t *testing.T) {
	dir := t.TempDir()
	nights(t, dir, resultstest.Server("north", 1), 34, func(n int, node *resultstest.Node) string {
		if n < 26 {
			return "aaaaaaaaaaaa"
		}
		node.Rates["mining/mining"] *= 0.95
		return "bbbbbbbbbbbb"
	})
	failed := []string{}
	for n := 20; n < 34; n++ {
		code, out, errs := tracked(t, "--store", dir, "--gate", "--night", night(n))
		switch code {
		case exitOK:
		case exitGate:
			failed = append(failed, night(n))
			require.Contains(t, errs, "regression")
			require.Contains(t, out, "git log aaaaaaaaaaaa..bbbbbbbbbbbb")
		default:
			t.Fatal(code, out, errs)
		}
		if n < 26 {
			require.Contains(t, out, "Nothing changed.", night(n))
		}
	}
	require.Len(t, failed, 1, "once, not every night")
	require.LessOrEqual(t, failed[0], night(30))

	code, out, _ := tracked(t, "--store", dir, "--night", night(33))
	require.Equal(t, exitOK, code, "without --gate it only says so")
	require.Contains(t, out, "since "+night(26))
	require.Contains(t, out, "code: ")
	require.Regexp(t, `−[45]\.\d % \[−[56]\.\d %, −[345]\.\d %\]`, out)

	t.Run("forms", func(t *testing.T) {
		at := []string{"--store", dir, "--night", failed[0], "--format"}
		_, out, _ := tracked(t, append(at, "github")...)
		require.Regexp(t, `(?m)^::error title=regression%3A AMD EPYC.*::−\d`, out)
		_, out, _ = tracked(t, append(at, "junit")...)
		var suite struct {
			Tests, Failures int `xml:",attr"`
			Cases           []struct {
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
			} `xml:"testcase"`
		}
		require.NoError(t, xml.Unmarshal([]byte(strings.ReplaceAll(strings.ReplaceAll(out, "tests=", "Tests="), "failures=", "Failures=")), &suite))
		require.Len(t, suite.Cases, suite.Tests)
		require.NotZero(t, suite.Failures)
		_, out, _ = tracked(t, append(at, "prometheus")...)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(out))
		require.NoError(t, err, out)
		require.NotEmpty(t, families["perwatt_track_value"].Metric)
		require.Equal(t, 1.0, families["perwatt_track_regressions"].Metric[0].GetGauge().GetValue())
		_, out, _ = tracked(t, append(at, "csv")...)
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		require.NoError(t, err)
		seen := 26
		for night(seen) < failed[0] {
			seen++
		}
		require.Equal(t, (seen+1)*(7+4)+1, len(rows), "every night so far of idle's watts and of three figures of two uses, and of four ratios to the control")
		_, out, _ = tracked(t, append(at, "bench")...)
		in := benchfmt.NewReader(strings.NewReader(out), "")
		lines := 0
		for in.Scan() {
			if _, ok := in.Result().(*benchfmt.Result); ok {
				lines++
			}
		}
		require.NoError(t, in.Err())
		require.Equal(t, 7, lines)
		_, out, _ = tracked(t, append(at, "json")...)
		var v struct {
			Failing  bool
			Findings []struct{ Cause, At string }
		}
		require.NoError(t, json.Unmarshal([]byte(out), &v))
		require.True(t, v.Failing)
		require.Equal(t, "code", v.Findings[0].Cause)
		files := t.TempDir()
		code, _, errs := tracked(t, append(at, "gha-benchmark", "-o", files)...)
		require.Equal(t, exitOK, code, errs)
		for name, n := range map[string]int{"bigger-is-better.json": 4, "smaller-is-better.json": 3} {
			raw, err := os.ReadFile(filepath.Join(files, name))
			require.NoError(t, err)
			var entries []struct {
				Name, Unit string
				Value      float64
			}
			require.NoError(t, json.Unmarshal(raw, &entries))
			require.Len(t, entries, n, name)
		}
		site := t.TempDir()
		code, out, errs = tracked(t, "--store", dir, "--night", failed[0], "-o", site)
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, filepath.Join(site, "index.html"))
		pages, err := filepath.Glob(filepath.Join(site, "*.html"))
		require.NoError(t, err)
		require.Len(t, pages, 2)
		summary := filepath.Join(t.TempDir(), "summary.md")
		t.Setenv("GITHUB_STEP_SUMMARY", summary)
		tracked(t, append(at, "github")...)
		raw, err := os.ReadFile(summary)
		require.NoError(t, err)
		require.Contains(t, string(raw), "REGRESSION")
	})

	t.Run("rules", func(t *testing.T) {
		rules := filepath.Join(t.TempDir(), "rules.toml")
		for text, want := range map[string]int{
			"least = 0.2\n": exitOK, "[[limit]]\nuse = \"mining\"\nleast = 0.001\n": exitGate, "[[ignore]]\nuse = \"min*\"\nreason = \"it is known\"\n": exitOK,
			"least = 2\n": exitUsage, "[[ignore]]\nuse = \"mining\"\n": exitUsage, "lest = 0.1\n": exitUsage, "least = \n": exitUsage,
		} {
			require.NoError(t, os.WriteFile(rules, []byte(text), 0o644))
			code, _, errs := tracked(t, "--store", dir, "--gate", "--night", failed[0], "--rules", rules)
			require.Equal(t, want, code, text+errs)
		}
	})

	code, out, errs := tracked(t, "--store", dir, "--audit", "--night", night(33))
	require.Equal(t, exitOK, code, errs)
	require.Contains(t, out, "pairs of neighbouring nights")
}

// Night after night, each of which remembers the ones before, is what a first
// look at the same nights finds; what comes late is not missed.
func TestTrackRemembers(t *testing.T) {
	dir := t.TempDir()
	step := func(n int, node *resultstest.Node) string {
		if n%11 == 3 {
			return ""
		}
		if n >= 20 {
			node.Rates["mining/mining"] *= 0.94
		}
		if n >= 31 {
			node.Rates["mining/mining"] *= 1.08
		}
		return fmt.Sprintf("%012d", n/4)
	}
	nights(t, dir, resultstest.Server("north", 1), 40, step)
	look := func(n int) string {
		code, out, errs := tracked(t, "--store", dir, "--night", night(n), "--format", "json")
		require.Equal(t, exitOK, code, errs)
		return out
	}
	forget := func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			os.Remove(filepath.Join(dir, "index.sqlite"+suffix))
		}
	}
	var remembered []string
	for n := 9; n < 40; n++ {
		remembered = append(remembered, look(n))
	}
	every := 1
	if testing.Short() {
		every = 7
	}
	for n := 39; n >= 9; n -= every {
		forget()
		require.Equal(t, look(n), remembered[n-9], night(n))
	}
	before := look(39)
	records, err := filepath.Glob(filepath.Join(dir, "2026-10", "*.json"))
	require.NoError(t, err)
	require.Equal(t, exitOK, run(t.Context(), []string{"amend", strings.TrimSuffix(filepath.Base(records[3]), ".json"), "--exclude", "a backup ran", "--store", dir}, io.Discard, os.Stderr))
	require.Equal(t, exitOK, run(t.Context(), []string{"event", "--at", night(25), "new fans", "--store", dir}, io.Discard, os.Stderr))
	after := look(39)
	require.NotEqual(t, before, after)
	forget()
	require.Equal(t, look(39), after)
}

// A slower machine is not the code's fault, whatever was committed that night.
func TestTrackFindsTheMachine(t *testing.T) {
	dir := t.TempDir()
	nights(t, dir, resultstest.Server("north", 1), 34, func(n int, node *resultstest.Node) string {
		if n >= 26 {
			node.Rates["mining/mining"] *= 0.95
			node.Rates["control/control"] *= 0.95
		}
		return fmt.Sprintf("%012d", n)
	})
	_, out, _ := tracked(t, "--store", dir, "--night", night(33))
	require.Contains(t, out, "machine: ")
	require.NotContains(t, out, "git log")
}

// Where sessions differ by more than the step is large, and the control with
// them, the ratio of the two tells, and the page shows it.
func TestTrackOnANoisyMachine(t *testing.T) {
	dir, site := t.TempDir(), t.TempDir()
	if keep := os.Getenv("PERWATT_WRITE_PAGES"); keep != "" {
		site = filepath.Join(keep, "noisy")
	}
	nights(t, dir, resultstest.Server("north", 1), 34, func(n int, node *resultstest.Node) string {
		node.Between = 0.06
		if n < 26 {
			return "aaaaaaaaaaaa"
		}
		node.Rates["mining/mining"] *= 0.95
		return "bbbbbbbbbbbb"
	})
	code, out, errs := tracked(t, "--store", dir, "--night", night(33), "-o", site)
	require.Equal(t, exitOK, code, errs)
	require.Contains(t, out, "1 regression.")
	require.Contains(t, out, night(26))
	require.Contains(t, out, "git log aaaaaaaaaaaa..bbbbbbbbbbbb: it moved against the control")
	pages, err := filepath.Glob(filepath.Join(site, "group-*.html"))
	require.NoError(t, err)
	require.Len(t, pages, 1)
	page := read(t, pages[0])
	require.Contains(t, page, "relative throughput, shani")
	require.NotContains(t, page, "relative throughput, stdlib")
}

// A night without figures never passes, and few nights say so.
func TestTrackWithoutData(t *testing.T) {
	dir := t.TempDir()
	nights(t, dir, resultstest.Server("north", 1), 12, func(n int, node *resultstest.Node) string {
		if n == 10 {
			return ""
		}
		return "aaaaaaaaaaaa"
	})
	code, out, errs := tracked(t, "--store", dir, "--gate", "--night", night(10))
	require.Equal(t, exitData, code)
	require.Contains(t, out, "No data since "+night(9))
	require.Contains(t, errs, "measured nothing")
	code, _, errs = tracked(t, "--store", dir, "--gate", "--night", night(11))
	require.Equal(t, exitOK, code, errs)
	code, out, _ = tracked(t, "--store", dir, "--gate", "--night", night(3))
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "Learning: night 4 of 8.")
	require.NotContains(t, out, "Nothing changed.")
	_, out, _ = tracked(t, "--store", dir, "--format", "github", "--night", night(3))
	require.Contains(t, out, "::notice title=perwatt track::")
	require.Contains(t, out, "learning: night 4 of 8")
	require.NotContains(t, out, "::warning", "too little history is no fault")
	code, out, _ = tracked(t, "--store", t.TempDir(), "--gate")
	require.Equal(t, exitData, code)
	require.Contains(t, out, "No data: ")
	require.NotContains(t, out, "Nothing changed.")
	for form, want := range map[string]string{"json": `"headline": "No data: `, "markdown": "No data: ", "github": "::warning title=perwatt track::No data: "} {
		_, out, _ = tracked(t, "--store", t.TempDir(), "--format", form)
		require.Contains(t, out, want, form)
	}
	// Nodes that are silent for ten days.
	_, out, _ = tracked(t, "--store", dir, "--night", night(21))
	require.Contains(t, out, "No data since "+night(11)+" (")
	require.Contains(t, out, "node north: no data since "+night(11)+", 10 nights ago")
	for form, want := range map[string]string{"json": `"no_data_since": "` + night(11), "markdown": "No data since " + night(11), "github": "node north: no data since " + night(11), "junit": "no data since " + night(11)} {
		_, out, _ = tracked(t, "--store", dir, "--night", night(21), "--format", form)
		require.Contains(t, out, want, form)
		require.NotContains(t, out, "Nothing changed", form)
	}
	site := t.TempDir()
	tracked(t, "--store", dir, "--night", night(21), "-o", site)
	pages, err := filepath.Glob(filepath.Join(site, "*.html"))
	require.NoError(t, err)
	require.Len(t, pages, 2)
	for _, page := range pages {
		require.Contains(t, read(t, page), "No data since "+night(11), page)
	}
	code, _, _ = tracked(t, "--store", dir)
	require.Equal(t, exitOK, code, "without --gate nothing fails")
}

// Three nodes of one model differ by 10 %. What moves on one of them is found
// there and the others are left alone; what moves on all is found once.
func TestTrackSiblings(t *testing.T) {
	for want, moves := range map[string]struct {
		nodes []string
		by    float64
	}{
		"node south":  {[]string{"south"}, 0.95},
		"all 3 nodes": {[]string{"north", "south", "west"}, 0.97},
	} {
		dir, site := t.TempDir(), t.TempDir()
		if keep := os.Getenv("PERWATT_WRITE_PAGES"); keep != "" {
			site = filepath.Join(keep, want)
		}
		for i, server := range []resultstest.Node{resultstest.Server("north", 1), resultstest.Server("south", 1.05), resultstest.Server("west", 0.95)} {
			seeded(t, dir, server, uint64(20+i), 34, func(n int, node *resultstest.Node) string {
				if n >= 26 && slices.Contains(moves.nodes, server.Name) {
					node.Rates["mining/mining"] *= moves.by
				}
				return "a"
			})
		}
		var failed []string
		for n := 25; n < 34; n++ {
			code, out, errs := tracked(t, "--store", dir, "--gate", "--night", night(n))
			if code != exitOK {
				require.Equal(t, exitGate, code, errs)
				require.Contains(t, out, ", "+want+"\n", "as soon as it is found")
				failed = append(failed, night(n))
			}
		}
		require.Len(t, failed, 1, "once, however many nodes show it when")
		require.LessOrEqual(t, failed[0], night(31))
		_, out, errs := tracked(t, "--store", dir, "--night", night(33), "--format", "json")
		var v struct {
			Headline string
			Findings []struct {
				Cause, Where, Since string
				Figures             []struct{ Node, Scenario string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &v), errs)
		require.Len(t, v.Findings, 1, want)
		f := v.Findings[0]
		require.Equal(t, want, f.Where)
		require.Equal(t, night(26), f.Since)
		require.Equal(t, "cannot be told", f.Cause, "neither the control nor a commit")
		for _, p := range f.Figures {
			require.Equal(t, "mining", p.Scenario)
			require.Contains(t, moves.nodes, p.Node)
		}
		_, out, _ = tracked(t, "--store", dir, "--night", night(33), "-o", site)
		require.Contains(t, out, " · "+v.Headline)
		require.Contains(t, out, ", "+want+"\n")
		index := read(t, filepath.Join(site, "index.html"))
		require.Contains(t, index, v.Headline)
		require.Contains(t, index, "<small>"+want+"</small>")
		pages, err := filepath.Glob(filepath.Join(site, "group-*.html"))
		require.NoError(t, err)
		require.Len(t, pages, 1, "one group")
		page := read(t, pages[0])
		require.Contains(t, page, v.Headline)
		for _, node := range []string{"north", "south", "west"} {
			require.Contains(t, page, "relative throughput on "+node+", shani")
		}
	}
}

// Two packages with one name of a benchmark, and one benchmark at two numbers of
// threads, are histories of their own, each named where it changed.
func TestTrackTellsSeriesApart(t *testing.T) {
	dir, site := t.TempDir(), t.TempDir()
	t.Setenv("PERWATT_STORE", dir)
	var text strings.Builder
	for n := range 24 {
		slow := 1.0
		if n >= 16 {
			slow = 1.1
		}
		off := float64(n * 7 % 5) // ns
		fmt.Fprintf(&text, "goos: linux\ncpu: Sample CPU\ncommit-time: %sT20:00:00Z\n", night(n))
		fmt.Fprintf(&text, "pkg: example.com/kv\nBenchmarkGet-2 1000 %g ns/op\nBenchmarkGet-4 1000 %g ns/op\n", 1000+off, 600*slow+off)
		fmt.Fprintf(&text, "pkg: example.com/ht\nBenchmarkGet-2 1000 %g ns/op\nBenchmarkGet-4 1000 %g ns/op\n", 4000+off, 2000+off)
	}
	file := filepath.Join(t.TempDir(), "bench.txt")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	require.Equal(t, exitOK, run(t.Context(), []string{"import", file, "--node", "n"}, io.Discard, io.Discard))
	_, out, errs := tracked(t, "--night", night(23), "-o", site)
	require.Contains(t, out, "1 regression.", errs)
	require.Contains(t, out, "of throughput at Get, get (example.com/kv, 4 threads) since "+night(16))
	index := read(t, filepath.Join(site, "index.html"))
	for _, of := range []string{"example.com/kv, 2 threads", "example.com/kv, 4 threads", "example.com/ht, 2 threads", "example.com/ht, 4 threads"} {
		require.Contains(t, index, "<small>"+of+"</small>")
	}
}

// One night that is far off is a suspicion, and no verdict.
func TestTrackSuspects(t *testing.T) {
	for off, want := range map[float64]int{0.96: exitOK, 0.85: exitGate, 1.3: exitOK} {
		dir := t.TempDir()
		nights(t, dir, resultstest.Server("north", 1), 21, func(n int, node *resultstest.Node) string {
			if n == 20 {
				node.Rates["mining/mining"] *= off
			}
			return "aaaaaaaaaaaa"
		})
		code, out, errs := tracked(t, "--store", dir, "--gate", "--night", night(20))
		require.Equal(t, want, code, "%v: %s%s", off, out, errs)
		require.Contains(t, out, "than expected", off)
	}
}

func TestTrackUsage(t *testing.T) {
	for _, argv := range [][]string{{"--format", "xml"}, {"--format", "gha-benchmark"}, {"--night", "yesterday"}, {"--confirm", "--night", "2026-01-01"}, {"--rules", "/nowhere"}, {"file"}} {
		var errs bytes.Buffer
		require.Equal(t, exitUsage, run(t.Context(), append([]string{"track", "--store", t.TempDir()}, argv...), io.Discard, &errs), argv)
		require.NotEmpty(t, errs.String())
	}
}

// What is suspicious is measured again before it fails: a night that was slow
// by accident passes, one that is slow each time does not, and what another
// machine measured cannot be told here.
func TestTrackConfirms(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for half a minute")
	}
	scratch := t.TempDir()
	session := selfCommand("run", "--preset", "smoke", "--uses", "mining,control", "--meter", "none", "--store", scratch, "--format", "json",
		"--threads", "1", "--rounds", "2", "--settle", "20ms", "--warmup", "250ms", "--limit", "300ms", "--window", "500ms", "--interval", "50ms", "--model", "cnn")
	raw, err := session.Output()
	require.NoError(t, err)
	tonight := time.Now().UTC()
	// scaled is that session n nights ago, with so many times its hashes.
	scaled := func(n int, factor float64, node string) *results.Record {
		rec, err := results.Read(bytes.NewReader(raw), "session")
		require.NoError(t, err)
		rec.Start = tonight.AddDate(0, 0, -n)
		rec.ID = ulid.MustNew(ulid.Timestamp(rec.Start), ulid.DefaultEntropy()).String()
		if node != "" {
			rec.Node.Name = node
		}
		for r := range rec.Runs {
			for k := range rec.Runs[r].Traces {
				if tr := &rec.Runs[r].Traces[k]; tr.Key.Kind == results.TraceWork && rec.Runs[r].Scenario == "mining" {
					for i := range tr.V {
						tr.V[i] = results.Float(math.Floor(float64(tr.V[i]) * factor))
					}
				}
			}
		}
		rec.Summary = results.Derive(rec)
		return rec
	}
	for _, c := range []struct {
		name         string
		before, last float64
		node         string
		code         int
		want         string
	}{
		{"slow by accident", 0.3, 0.02, "", exitOK, "is no worse than usual, unlike the first time"},
		{"slow each time", 4, 1, "", exitGate, "is still"},
		{"another machine", 4, 1, "elsewhere", exitGate, "cannot be measured again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for n := 12; n >= 0; n-- {
				factor := c.last
				if n > 0 {
					factor = c.before * (1 + 0.1*float64(n%3-1)) // a busy machine: up to a third either way is usual
				}
				raw, err := results.Seal(scaled(n, factor, c.node))
				require.NoError(t, err)
				rec, err := results.Read(bytes.NewReader(raw), "")
				require.NoError(t, err)
				month := filepath.Join(dir, rec.Start.Format("2006-01"))
				require.NoError(t, os.MkdirAll(month, 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
			}
			code, out, errs := tracked(t, "--store", dir, "--gate", "--confirm")
			require.Equal(t, c.code, code, out+errs)
			require.Contains(t, out, c.want)
			if c.node != "" {
				return
			}
			files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
			require.NoError(t, err)
			require.Len(t, files, 14)
			again, err := results.LoadFile(slices.MaxFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) }))
			require.NoError(t, err)
			was, is := scaled(0, 1, "").Plan, again.Record.Plan
			is.Seed, is.Scenarios, is.Impls = was.Seed, was.Scenarios, was.Impls // the kernels that were chosen are named
			require.Equal(t, was, is, "measured as at first")
		})
	}
}

// benchmarks keeps so many nights of a benchmark, the last of which began at a
// time; line is called before each and returns how long an operation took, in
// ns, and configuration lines.
func benchmarks(t testing.TB, dir string, last time.Time, n int, line func(night int) (ns float64, config string)) {
	t.Helper()
	var text strings.Builder
	for i := range n {
		ns, config := line(i)
		if ns == 0 {
			continue
		}
		ns *= 1 + 0.002*math.Sin(float64(i*i)) // which repeats in no pattern
		fmt.Fprintf(&text, "goos: linux\ncpu: Sample CPU\npkg: example.com/kv\ncommit: r%04d\ntime: %s\n%sBenchmarkGet-2 1000 %g ns/op\n",
			i, last.AddDate(0, 0, i-n+1).UTC().Format(time.RFC3339), config, ns)
	}
	file := filepath.Join(t.TempDir(), "bench.txt")
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o644))
	var errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"import", file, "--node", "n", "--store", dir}, io.Discard, &errs), errs.String())
}

// from is a benchmark that takes 1 µs, and so many times that from a night on.
func from(night int, factor float64) func(int) (float64, string) {
	return func(n int) (float64, string) {
		if n >= night {
			return 1000 * factor, ""
		}
		return 1000, ""
	}
}

func rulesFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rules.toml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	return name
}

// A regression fails the gate of one night, by the rules of track --init too,
// whether each night is judged as it comes, some of them, or all long after.
func TestTrackFailsOnce(t *testing.T) {
	for name, factor := range map[string]float64{"a little": 1.03, "more": 1.09, "twice": 2} {
		dir := t.TempDir()
		last := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
		benchmarks(t, dir, last, 50, from(38, factor))
		night := func(n int) string { return last.AddDate(0, 0, n-50).Format(time.DateOnly) }
		gate := func(n int) bool {
			code, out, errs := tracked(t, "--store", dir, "--gate", "--rules", "nightly/perwatt-track.toml", "--night", night(n))
			require.Contains(t, []int{exitOK, exitGate}, code, out+errs)
			return code == exitGate
		}
		var failed []int
		for n := 36; n < 50; n++ {
			if gate(n) {
				failed = append(failed, n)
			}
		}
		require.Len(t, failed, 1, name)
		require.LessOrEqual(t, failed[0], 41, name)
		for _, n := range []int{49, failed[0], 38, failed[0] + 1} {
			require.Equal(t, n == failed[0], gate(n), "%s: judged again, night %d", name, n)
		}
		_, out, _ := tracked(t, "--store", dir, "--night", night(49), "--format", "json")
		var v struct{ Findings []struct{ Failed string } }
		require.NoError(t, json.Unmarshal([]byte(out), &v))
		require.Len(t, v.Findings, 1)
		if failed[0] > 38 { // not by one night
			require.Equal(t, night(failed[0]), v.Findings[0].Failed, name)
		}
	}
}

// What was committed is no cause where no control shows it; what else changed
// on that night is.
func TestTrackCauseNeedsEvidence(t *testing.T) {
	for name, c := range map[string]struct{ before, after, cause, at string }{
		"nothing but commits": {"", "", "unknown, the session had no control", ""},
		"the toolchain":       {"toolchain: go1.25.1\n", "toolchain: go1.26.0\n", "known event", "Go go1.25.1 → go1.26.0"},
		"the runner":          {"runner: m5.large\n", "runner: m5.xlarge\n", "known event", "surroundings runner m5.large → runner m5.xlarge"},
		"its image":           {"image: ubuntu-22.04\n", "image: ubuntu-24.04\n", "known event", "surroundings image ubuntu-22.04 → image ubuntu-24.04"},
	} {
		dir := t.TempDir()
		last := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
		benchmarks(t, dir, last, 40, func(n int) (float64, string) {
			if n >= 30 {
				return 1060, c.after
			}
			return 1000, c.before
		})
		_, out, errs := tracked(t, "--store", dir, "--night", last.AddDate(0, 0, -1).Format(time.DateOnly), "--format", "json")
		var v struct {
			Findings []struct{ Cause, At, Do string }
		}
		require.NoError(t, json.Unmarshal([]byte(out), &v), errs)
		require.Len(t, v.Findings, 1, name)
		require.Equal(t, c.cause, v.Findings[0].Cause, name)
		require.NotContains(t, out, "against the control", name)
		if c.at != "" {
			require.Equal(t, c.at, v.Findings[0].At, name)
		}
	}
}

// --confirm measures again what can fail by the rules, and says of what it
// cannot measure that it did not.
func TestTrackConfirmObeysTheRules(t *testing.T) {
	for name, c := range map[string]struct {
		slower float64
		rules  string
		code   int
		says   string
	}{
		"less than the rules ask": {1.03, "least = 0.05\n", exitOK, "less than fails the gate by the rules"},
		"far less than they ask":  {1.5, "least = 0.5\n", exitOK, "less than fails the gate by the rules"},
		"ignored":                 {1.5, "[[ignore]]\nuse = \"get\"\nreason = \"a test\"\n", exitOK, "1 series not followed"},
		"one night proves little": {1.03, "", exitOK, "cannot be measured again, and one session fails nothing"},
		"far off":                 {1.5, "", exitGate, "cannot be measured again, and it fails as it is"},
	} {
		dir := t.TempDir()
		benchmarks(t, dir, time.Now().Add(-time.Minute), 40, from(39, c.slower))
		code, out, errs := tracked(t, "--store", dir, "--gate", "--confirm", "--rules", rulesFile(t, c.rules))
		require.Equal(t, c.code, code, name+": "+out+errs)
		out = strings.Join(strings.Fields(out), " ")
		require.Contains(t, out, c.says, name)
		require.NotContains(t, out+errs, "measured again:", name)
		require.NotContains(t, errs, "second", name)
	}
}

// The night of a job is that of its gate, at whatever hour it runs, early and
// late; a night without a job has none.
func TestTrackNightOfTheJob(t *testing.T) {
	for _, c := range []struct {
		start string // of the last session, UTC
		sway  time.Duration
		ends  string // when its gate runs
	}{
		{"11:45", 0, "12:15"}, {"11:59", 0, "12:00"}, {"12:00", 5 * time.Minute, "12:20"}, {"10:00", 0, "13:00"}, {"13:50", time.Hour, "14:30"},
		{"23:50", 20 * time.Minute, "23:59"}, {"02:00", 0, "02:30"}, {"08:30", 0, "11:30"}, {"18:00", time.Hour, "23:00"},
	} {
		dir := t.TempDir()
		start, err := time.Parse("2006-01-02 15:04", "2026-03-01 "+c.start)
		require.NoError(t, err)
		ends, err := time.Parse("2006-01-02 15:04", "2026-03-01 "+c.ends)
		require.NoError(t, err)
		for i := range 2 { // one early, one late
			benchmarks(t, dir, start.Add(time.Duration(2*i-1)*c.sway), 24, func(n int) (float64, string) {
				if n%2 != i || n == 15 {
					return 0, ""
				}
				return 1000, ""
			})
		}
		x, err := store.OpenIndex(t.Context(), dir)
		require.NoError(t, err)
		cal, now, err := track.LatestNight(t.Context(), x, store.Filter{}, ends)
		require.NoError(t, err)
		_, later, err := track.LatestNight(t.Context(), x, store.Filter{}, ends.Add(24*time.Hour))
		require.NoError(t, err)
		require.Equal(t, now+1, later, "%s: the next job did not come", c.start)
		require.NoError(t, x.Close())
		for n := 14; n < 17; n++ {
			want := exitOK
			if n == 15 {
				want = exitData
			}
			code, out, errs := tracked(t, "--store", dir, "--gate", "--night", track.Date(now-23+n).Format(time.DateOnly))
			require.Equal(t, want, code, "%s, from %d:00, night %d: %s%s", c.start, cal.Begin, n, out, errs)
			if want == exitData {
				require.Contains(t, errs, "from ")
			}
		}
	}
}

// An old finding is no news, but no reason to say that nothing changed; the
// text, the page and JSON agree.
func TestTrackSaysOneThing(t *testing.T) {
	last := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		nights, step int
		factor       float64
		headline     string
	}{
		"nothing":                  {60, 100, 1.08, "Nothing changed."},
		"lately":                   {60, 50, 1.08, "1 regression."},
		"long ago":                 {60, 15, 1.08, "1 regression."},
		"long ago, for the better": {60, 15, 0.92, "1 improvement."},
		"tonight, far off":         {60, 59, 1.5, "REGRESSION tonight, of one night so far."},
		"tonight, when found":      {60, 57, 1.08, "REGRESSION tonight. 1 regression."},
	} {
		dir, site := t.TempDir(), t.TempDir()
		benchmarks(t, dir, last, c.nights, from(c.step, c.factor))
		at := []string{"--store", dir, "--night", last.AddDate(0, 0, -1).Format(time.DateOnly)}
		_, out, errs := tracked(t, append(at, "--format", "json")...)
		var v struct {
			Headline string
			Failing  bool
		}
		require.NoError(t, json.Unmarshal([]byte(out), &v), errs)
		require.Equal(t, c.headline, v.Headline, name)
		_, text, _ := tracked(t, append(at, "-o", site)...)
		require.Contains(t, text, " · "+c.headline+"\n", name)
		require.Contains(t, read(t, filepath.Join(site, "index.html")), c.headline, name)
		_, markdown, _ := tracked(t, append(at, "--format", "markdown")...)
		require.Contains(t, markdown, c.headline, name)
		code, _, _ := tracked(t, append(at, "--gate")...)
		require.Equal(t, v.Failing, code == exitGate, name)
		require.Equal(t, v.Failing, strings.Contains(c.headline, "REGRESSION"), name)
	}
}
