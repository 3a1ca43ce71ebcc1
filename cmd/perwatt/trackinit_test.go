package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/track"
)

// awkward has what sh, cron, systemd, YAML and patterns take for their own.
const awkward = `it's 100% "of" $HOME \n a[b]*`

// initialised is a directory with what track --init writes.
func initialised(t *testing.T, store string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), awkward)
	require.NoError(t, os.Mkdir(dir, 0o755))
	code, out, errs := tracked(t, "--init", dir, "--store", store)
	require.Equal(t, exitOK, code, errs)
	require.Equal(t, len(nightlyFiles), strings.Count(out, "wrote "), out)
	return dir
}

// tool for a test: without it the test is skipped, unless PERWATT_PEERS is "required".
func needs(t *testing.T, program, debian string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		why := program + " is not here: Debian's package " + debian + " has it"
		require.NotEqual(t, "required", os.Getenv("PERWATT_PEERS"), why)
		t.Skip(why)
	}
	return path
}

func TestTrackInit(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store "+awkward)
	dir := initialised(t, store)
	for _, f := range nightlyFiles {
		text := read(t, filepath.Join(dir, f.to))
		require.NotContains(t, text, "<%", f.to)
		require.NotContains(t, text, "<no value>", f.to)
		info, err := os.Stat(filepath.Join(dir, f.to))
		require.NoError(t, err)
		require.Equal(t, f.mode&0o100, info.Mode()&0o100, f.to)
	}
	_, err := os.Stat(store)
	require.ErrorIs(t, err, os.ErrNotExist, "the first session makes the store")
	rules, err := os.Open(filepath.Join(dir, "perwatt/perwatt-track.toml"))
	require.NoError(t, err)
	defer rules.Close()
	_, err = track.ReadRules(rules)
	require.NoError(t, err)

	// A file that is there stays as it is, and what differs is said.
	edited := filepath.Join(dir, "perwatt/perwatt-track.toml")
	text := read(t, edited)
	mine := strings.Replace(text, "least = 0.01 ", "least = 0.02 ", 1)
	require.NotEqual(t, text, mine)
	require.NoError(t, os.WriteFile(edited, []byte(mine), 0o600))
	gone := filepath.Join(dir, "perwatt/crontab")
	require.NoError(t, os.Remove(gone))
	code, out, errs := tracked(t, "--init", dir, "--store", store)
	require.Equal(t, exitOK, code, errs)
	require.Equal(t, mine, read(t, edited))
	require.NotEmpty(t, read(t, gone))
	require.Equal(t, 1, strings.Count(out, "wrote "), out)
	require.Equal(t, len(nightlyFiles)-2, strings.Count(out, "same "), out)
	require.Regexp(t, `(?m)^  − +2  least = 0\.02 .*\n  \+ +2  least = 0\.01 `, out)
	require.Equal(t, 2, strings.Count(out, " least = "), out)

	// The commands to go on with are what a shell can run.
	_, commands, ok := strings.Cut(out, "Next, ")
	require.True(t, ok)
	var words []string
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "sh ") {
			raw, err := exec.Command("sh", "-c", `printf '%s\n' `+line).Output()
			require.NoError(t, err)
			words = strings.Split(strings.TrimSpace(string(raw)), "\n")
		}
	}
	require.Equal(t, []string{"sh", filepath.Join(dir, "perwatt/nightly.sh")}, words)

	// So is the line of cron, which takes \% for % and nothing else.
	line := regexp.MustCompile(`(?m)^30 1 \* \* \* (.*)$`).FindStringSubmatch(read(t, gone))
	require.NotNil(t, line)
	require.NotRegexp(t, `(^|[^\\])%`, line[1])
	raw, err := exec.Command("sh", "-c", `printf '%s\n' `+strings.ReplaceAll(line[1], `\%`, "%")).Output()
	require.NoError(t, err)
	require.Equal(t, "/bin/sh\n"+filepath.Join(dir, "perwatt/nightly.sh")+"\n", string(raw))

	// What cannot be done is refused, and nothing is written.
	outside, inside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(inside, "perwatt")))
	for name, argv := range map[string][]string{
		"must be a directory":  {"--init", edited},
		"that exists":          {"--init", filepath.Join(dir, "none")},
		"--gate is of no use":  {"--init", t.TempDir(), "--gate"},
		"control characters":   {"--init", t.TempDir(), "--store", "a\nExecStart=/bin/false"},
		"--init: mkdirat":      {"--init", inside},
		"--init needs a value": {"--init"},
	} {
		code, out, errs := tracked(t, argv...)
		require.Equal(t, exitUsage, code, name)
		require.Empty(t, out, name)
		require.Contains(t, errs, name)
	}
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is written through a link")
}

func TestInstallable(t *testing.T) {
	for _, c := range []struct {
		version, revision, ref string
		ok                     bool
	}{
		{"1.2.3", "0123456789ab", "v1.2.3", true},
		{"v1.2.3", "", "v1.2.3", true},
		{"devel", "0123456789ab+", "0123456789ab", true},
		{"devel", "", "latest", false},
	} {
		ref, ok := installable(results.Tool{Version: c.version, Revision: c.revision})
		require.Equal(t, c.ref, ref)
		require.Equal(t, c.ok, ok)
	}
}

func TestDiffering(t *testing.T) {
	require.Empty(t, differing("a\nb\n", "a\nb\n"))
	require.Equal(t, []string{"  −    2  b", "  +    2  x", "  +    3  y"}, differing("a\nb\nc\n", "a\nx\ny\nc\n"))
	require.Equal(t, []string{"  +    2  b"}, differing("a\n", "a\nb\n"))
	require.Len(t, differing("", strings.Repeat("x\n", 50)), 11)
}

// systemd accepts service and timer, of any path, without a word.
func TestNightlyUnits(t *testing.T) {
	analyze := needs(t, "systemd-analyze", "systemd")
	dir := filepath.Join(initialised(t, filepath.Join(t.TempDir(), awkward)), "perwatt")
	// The name of a directory of units has no such letters; the paths in them have.
	units := t.TempDir()
	for _, name := range []string{"perwatt-nightly.service", "perwatt-nightly.timer"} {
		require.NoError(t, os.WriteFile(filepath.Join(units, name), []byte(read(t, filepath.Join(dir, name))), 0o644))
	}
	verify := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", filepath.Join(units, "perwatt-nightly.service"), filepath.Join(units, "perwatt-nightly.timer"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := verify()
	require.NoError(t, err, out)
	require.Empty(t, out)
	require.Equal(t, `"it's 100%% \"of\" $HOME \\n a[b]*"`, quoteUnit(awkward)) // systemd.syntax(7), systemd.unit(5) "Specifiers"

	service := filepath.Join(units, "perwatt-nightly.service")
	require.NoError(t, os.WriteFile(service, []byte(strings.ReplaceAll(read(t, service), "ProtectSystem=", "ProtectSytem=")), 0o644))
	out, _ = verify()
	require.Contains(t, out, "ProtectSytem", "a fault is found")
}

// lately keeps sessions of a node, one a day, the last a minute ago; the last has
// so many times the hash rate.
func lately(t *testing.T, dir string, days int, last float64) {
	t.Helper()
	north := resultstest.Server("north", 1)
	north.Only = []string{"idle", "control", "mining"}
	north.Between, north.Within = 0.004, 0.004
	for i := range days {
		if i == days-1 {
			north.Rates["mining/mining"] *= last
		}
		rec := resultstest.Session(north, i, 2, 7)
		rec.Start = time.Now().UTC().Add(-time.Minute).AddDate(0, 0, i+1-days)
		rec.ID = ulid.MustNew(ulid.Timestamp(rec.Start), ulid.DefaultEntropy()).String()
		rec.Plan.Labels = map[string]string{"job": "nightly"}
		raw, err := results.Seal(rec)
		require.NoError(t, err)
		month := filepath.Join(dir, rec.Start.Format("2006-01"))
		require.NoError(t, os.MkdirAll(month, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
	}
}

// The workflow's own steps, in a repository of somebody: go install puts a program
// there whose measurements are made before, and which is perwatt for the rest.
func TestNightlyWorkflow(t *testing.T) {
	real, err := exec.LookPath("perwatt")
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		days int
		last float64
		ran  int
		busy bool
		code int
		says string // an annotation
		not  string
		// short is whether it is part of the short form.
		short bool
	}{
		{name: "a quiet night", days: 12, last: 1, not: "::warning"},
		{name: "the first night", days: 1, last: 1, says: "::notice title=perwatt track::.*learning: night 1 of 8", not: "::(warning|error)", short: true},
		{name: "worse", days: 14, last: 0.7, code: exitGate, says: "::error title=perwatt::worse than the nights before", short: true},
		{name: "no run gave a result", days: 0, ran: exitData, code: exitData, says: "::error title=perwatt::no measurement tonight", short: true},
		{name: "some did not", days: 12, last: 1, ran: exitGate, code: exitData, says: "::error title=perwatt::no measurement tonight"},
		{name: "another session", days: 12, last: 1, busy: true, code: 75, says: "::error title=perwatt::another session", short: true},
		{name: "interrupted", days: 12, last: 1, ran: exitInterrupted, code: exitInterrupted, says: "::error title=perwatt::exit code 130"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && !c.short {
				t.Skip("in the full form")
			}
			t.Parallel()
			store := filepath.Join(t.TempDir(), awkward)
			require.NoError(t, os.Mkdir(store, 0o755))
			repo := initialised(t, store)
			made := t.TempDir()
			lately(t, made, c.days, c.last)

			bin, runner := t.TempDir(), t.TempDir()
			fake := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = run ]; then\n\tcp -r %s/. \"$PERWATT_STORE\"\n\texit %d\nfi\nexec %s \"$@\"\n", results.Command(made), c.ran, results.Command(real))
			require.NoError(t, os.WriteFile(filepath.Join(bin, "installed"), []byte(fake), 0o755))
			ref, _ := installable(tool())
			gocmd := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'install -trimpath github.com/perwatt/perwatt/cmd/perwatt@%s' ] || exit 9\nmkdir -p \"$GOBIN\" && cp %s/installed \"$GOBIN/perwatt\"\n", ref, results.Command(bin))
			require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte(gocmd), 0o755))
			if c.busy {
				held := exec.Command("flock", filepath.Join(store, ".nightly.lock"), "sh", "-c", "echo held; exec cat")
				in, err := held.StdinPipe()
				require.NoError(t, err)
				out, err := held.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, held.Start())
				defer held.Wait()
				defer in.Close()
				_, err = out.Read(make([]byte, 5))
				require.NoError(t, err)
			}

			code, said := act(t, repo, runner, bin)
			require.Equal(t, c.code, code, said)
			if c.says != "" {
				require.Regexp(t, "(?m)^"+c.says, said)
			}
			if c.not != "" {
				require.NotRegexp(t, "(?m)^"+c.not, said)
			}
			if c.busy || c.ran == exitInterrupted {
				return
			}
			// Pages and metrics are there after a bad night too.
			if c.days > 0 {
				overview := read(t, filepath.Join(repo, "perwatt/site/index.html"))
				require.Contains(t, overview, "What changed?")
				require.Equal(t, c.days == 1, strings.Contains(overview, ">· learning: night 1 of 8<"), "neither good nor a warning")
				require.Contains(t, read(t, filepath.Join(runner, "summary")), "tracking")
				failing := "0"
				if c.code == exitGate {
					failing = "[1-9]"
				}
				require.Regexp(t, "(?m)^perwatt_track_regressions "+failing+"$", read(t, filepath.Join(repo, "perwatt/site/perwatt.prom")))
			}
		})
	}
}

// act runs the steps of the workflow that have a command, as a runner does: bash -e
// in the repository, PATH with what earlier steps added (docs.github.com,
// "Workflow syntax", jobs.<job_id>.steps[*].shell).
func act(t *testing.T, repo, runner, bin string) (code int, said string) {
	t.Helper()
	var w struct {
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn []string `yaml:"runs-on"`
			Steps  []struct {
				Name, Uses, If, Run string
				With                map[string]any
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(read(t, filepath.Join(repo, ".github/workflows/perwatt.yml"))))
	require.NoError(t, dec.Decode(&w))
	require.Contains(t, w.On, "schedule")
	require.Equal(t, map[string]string{"contents": "read"}, w.Permissions)
	require.Len(t, w.Jobs, 1)
	job := w.Jobs["measure"]
	require.Contains(t, job.RunsOn, "self-hosted")
	path := bin + ":" + os.Getenv("PATH")
	ran := 0
	for _, s := range job.Steps {
		require.True(t, (s.Run == "") != (s.Uses == ""), "%+v", s)
		require.NotContains(t, s.Run, "${{", "an expression in a script is code of whoever sets it")
		if s.Uses != "" {
			require.Regexp(t, `^actions/[a-z-]+@v\d+$`, s.Uses)
			continue
		}
		if code != 0 {
			continue
		}
		ran++
		cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", s.Run)
		cmd.Dir = repo
		added, _ := os.ReadFile(filepath.Join(runner, "path"))
		for _, p := range strings.Fields(string(added)) {
			path = p + ":" + path
		}
		cmd.Env = append(os.Environ(), "PATH="+path, "RUNNER_TEMP="+runner, "GITHUB_PATH="+filepath.Join(runner, "path"), "GITHUB_STEP_SUMMARY="+filepath.Join(runner, "summary"))
		out, err := cmd.CombinedOutput()
		said += string(out)
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			code = failed.ExitCode()
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, 2, ran)
	return code, said
}

// Prometheus accepts rules and textfile, alerts fire on a planted regression and on
// no other night, and every query of the dashboard finds something in the textfile.
func TestNightlyAlerts(t *testing.T) {
	promtool := needs(t, "promtool", "prometheus")
	dir := t.TempDir()
	nights(t, dir, resultstest.Server("north", 1), 34, func(n int, node *resultstest.Node) string {
		if n >= 26 {
			node.Rates["mining/mining"] *= 0.95
		}
		return "aaaaaaaaaaaa"
	})
	export := func(n int) string {
		code, out, errs := tracked(t, "--store", dir, "--night", night(n), "--format", "prometheus")
		require.Equal(t, exitOK, code, errs)
		return out
	}
	check := func(stdin string, argv ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), promtool, argv...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	quiet, bad := export(25), ""
	for n := 26; !strings.Contains(bad, "perwatt_track_regressions 1\n"); n++ {
		require.Less(t, n, 34, "no night failed")
		bad = export(n)
	}
	missing := export(36) // no session since night 33
	for _, text := range []string{quiet, bad, missing} {
		out, err := check(text, "check", "metrics")
		require.NoError(t, err, out)
		require.Empty(t, out)
	}

	where := filepath.Join(initialised(t, dir), "perwatt")
	rules := filepath.Join(t.TempDir(), "alerts.yml") // the names of rule files are patterns
	require.NoError(t, os.WriteFile(rules, []byte(read(t, filepath.Join(where, "perwatt-alerts.yml"))), 0o644))
	out, err := check("", "check", "rules", "--lint-fatal", rules)
	require.NoError(t, err, out)

	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	type query struct {
		Expr    string   `yaml:"expr"`
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	type alert struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	}
	type alarm struct {
		Name string  `yaml:"alertname"`
		At   string  `yaml:"eval_time"`
		Want []alert `yaml:"exp_alerts"`
	}
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type test struct {
		Interval string   `yaml:"interval"`
		Input    []series `yaml:"input_series"`
		Alarms   []alarm  `yaml:"alert_rule_test,omitempty"`
		Queries  []query  `yaml:"promql_expr_test,omitempty"`
	}
	// scraped is a textfile as node_exporter serves it for 50 hours; the clock of a
	// test begins at 0.
	scraped := func(text string) (out []series) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			at := strings.LastIndex(line, " ")
			name, labels, _ := strings.Cut(line[:at], "{")
			v, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
			require.NoError(t, err, line)
			if name == "perwatt_track_last_start_seconds" {
				v = 0
			}
			out = append(out, series{strings.TrimSuffix(name+`{instance="rack3",`+labels, ",") + map[bool]string{true: "}"}[labels == ""], strconv.FormatFloat(v, 'f', -1, 64) + "+0x300"})
		}
		return out
	}
	fires := func(name, at, summary string) alarm {
		a := alarm{Name: name, At: at, Want: []alert{}}
		if summary != "" {
			labels := map[string]string{"severity": "warning"}
			if strings.HasPrefix(summary, "rack3") {
				labels["instance"] = "rack3"
			}
			a.Want = append(a.Want, alert{labels, map[string]string{"summary": summary, "description": described(t, rules, name)}})
		}
		return a
	}
	suite := struct {
		Rules []string `yaml:"rule_files"`
		Each  string   `yaml:"evaluation_interval"`
		Tests []test   `yaml:"tests"`
	}{[]string{rules}, "10m", []test{
		{"10m", scraped(quiet), []alarm{fires("PerwattRegression", "1h", ""), fires("PerwattNodeMissing", "1h", ""), fires("PerwattNoMeasurement", "35h", ""), fires("PerwattNoMetrics", "3h", ""),
			fires("PerwattNoMeasurement", "37h", "rack3: no session for 1d 13h 0m 0s")}, nil},
		{"10m", scraped(bad), []alarm{fires("PerwattRegression", "1h", "rack3: 1 new regressions in work per joule, throughput or power"), fires("PerwattNodeMissing", "1h", "")}, nil},
		{"10m", scraped(missing), []alarm{fires("PerwattNodeMissing", "1h", "rack3: 1 nodes that measured in the last two weeks did not tonight")}, nil},
		{"10m", []series{}, []alarm{fires("PerwattNoMetrics", "1h", ""), fires("PerwattNoMetrics", "3h", "Prometheus has no metrics of perwatt")}, nil},
		{"10m", scraped(bad), nil, []query{}},
	}}

	var dashboard struct {
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			}
		}
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	dec := json.NewDecoder(strings.NewReader(read(t, filepath.Join(where, "perwatt-dashboard.json"))))
	require.NoError(t, dec.Decode(&dashboard))
	require.False(t, dec.More())
	var variables []string
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		variables = append(variables, "$"+v.Name, ".*")
		m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Query.(map[string]any)["query"].(string))
		require.NotNil(t, m)
		require.Regexp(t, `(?m)^`+m[1]+`\{.*\b`+m[2]+`="`, bad)
	}
	chosen := strings.NewReplacer(variables...)
	queries, ids := &suite.Tests[len(suite.Tests)-1].Queries, map[int]bool{}
	for _, p := range dashboard.Panels {
		require.NotEmpty(t, p.Targets, p.Title)
		require.False(t, ids[p.ID], "two panels have one number")
		ids[p.ID] = true
		for _, target := range p.Targets {
			expr := chosen.Replace(target.Expr)
			require.NotContains(t, expr, "$", p.Title)
			*queries = append(*queries, query{"count(" + expr + ") > bool 0", "1h", []sample{{"{}", 1}}})
		}
	}
	require.Len(t, *queries, 7)
	passes := func() (string, error) {
		raw, err := yaml.Marshal(suite)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "test.yml")
		require.NoError(t, os.WriteFile(file, raw, 0o644))
		return check("", "test", "rules", file)
	}
	out, err = passes()
	require.NoError(t, err, out)

	// A query that names what the textfile has not is found.
	(*queries)[0].Expr = `count(perwatt_track_value{metric="work_per_joule"}) > bool 0`
	out, err = passes()
	require.Error(t, err)
	require.Contains(t, out, "work_per_joule")
}

// described is the description of an alert.
func described(t *testing.T, rules, name string) string {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.NewDecoder(bytes.NewReader([]byte(read(t, rules)))).Decode(&file))
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == name {
				return r.Annotations["description"]
			}
		}
	}
	t.Fatal("no alert " + name)
	return ""
}
