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
	code, out, _ = tracked(t, "--store", t.TempDir(), "--gate")
	require.Equal(t, exitData, code)
	require.Contains(t, out, "No data: ")
	require.NotContains(t, out, "Nothing changed.")
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
				if tr := &rec.Runs[r].Traces[k]; strings.HasPrefix(tr.Of, "work/") && rec.Runs[r].Scenario == "mining" {
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
		{"slow by accident", 0.3, 0.02, "", exitOK, "is no worse than usual, the first time was"},
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
