package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
)

// requirePrintable refuses text with what does not print.
func requirePrintable(t testing.TB, what, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), what)
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && !results.Prints(r) }); i >= 0 {
		t.Fatalf("%s: %+q does not print", what, text[max(0, i-400):min(len(text), i+10)])
	}
}

// requireHarmless refuses what a terminal or a log of CI would take for a
// command. Lines that begin with :: must be annotations of ours, fully escaped.
func requireHarmless(t testing.TB, what, text string, annotated bool) {
	t.Helper()
	requirePrintable(t, what, text)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if annotated && strings.HasPrefix(line, "::") {
			require.Regexp(t, `^::(error|warning|notice) title=([^%:,]|%3A|%2C|%25)*::([^%]|%25)*$`, line, what)
		} else {
			require.NotRegexp(t, `^\s*::`, line, what)
		}
		require.NotRegexp(t, `##[A-Za-z]*\[`, line, what)
	}
}

// hostileName is resultstest.Hostile as far as a file may be called so.
var hostileName = strings.NewReplacer("\x00", "", "/", "∕").Replace(resultstest.Hostile[:120] + "\u202e\u2066\U000E0041\ufeff\u009b2J\xff")

// TestForeignText: whatever text stands in a record, a price sheet, an
// amendment, rules, benchmark text, an argument or the name of a file, no
// command prints anything of it but text, in any format.
func TestForeignText(t *testing.T) {
	if testing.Short() {
		t.Skip("no goroutines of ours")
	}
	const hostile = resultstest.Hostile
	store, dir := t.TempDir(), filepath.Join(t.TempDir(), hostileName)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		return name
	}
	var files []string
	var first *results.Record
	for i, n := range []resultstest.Node{resultstest.Server("north", 1), resultstest.Server("south", 1.05)} {
		n.Only = []string{"idle", "control", "mining"}
		for night := range 12 {
			if night == 9 { // tracked as a change
				n.Rates["mining/mining"] *= 0.9
			}
			rec := resultstest.Session(n, night, 2, uint64(i))
			rec.Plan.Labels = map[string]string{"a": "b"}
			rec.Warnings = []results.Warning{{Code: "a", Text: "b", Remedy: "c"}}
			rec.Meters[0].Notes = []string{"n"}
			if night == 11 {
				rec.Runs[1].Status, rec.Runs[1].Error = results.Failed, "e"
			}
			resultstest.Plant(rec, func(string) string { return hostile })
			raw, err := results.Seal(rec)
			require.NoError(t, err)
			month := filepath.Join(store, rec.Start.Format("2006-01"))
			require.NoError(t, os.MkdirAll(month, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
			if night > 9 {
				files = append(files, write(rec.ID+hostileName[:40]+".json", string(raw)))
			}
			if first == nil {
				first, err = results.Read(bytes.NewReader(raw), "first")
				require.NoError(t, err)
			}
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(store, hostileName+".json"), nil, 0o644)) // a stranger in the store
	broken := write("broken.json", `{"`+hostile+`": "`+hostile+`"}`)
	altered := write("altered.json", strings.Replace(string(must(t, os.ReadFile, files[0])), `"round": 2`, `"round": 3`, 1))
	sheet := write("prices.csv", economics.Example())
	bad := write("bad.csv", "key,value,unit,as_of,source,note\n\""+strings.ReplaceAll(hostile, `"`, `""`)+"\",1,2,3,4,5\npool_fee,1,::error::x,2026-01-01,s,n\n")
	rules := write("rules.toml", "[[ignore]]\n\""+hostile)
	text := write("bench.txt", "goos: linux\npkg: "+hostile+"\nnode: "+hostile+"\ncpu: x\u202e\u009b2J\nBenchmarkX\u202e\u009b/##[group]-8 10 100 ns/op\n--- FAIL: Benchmark\u009b2J\n")

	t.Setenv("GITHUB_STEP_SUMMARY", filepath.Join(dir, "page-summary.md"))
	type call struct {
		argv []string
		code int // -1 for any
	}
	calls := []call{
		{[]string{hostile}, exitUsage}, {[]string{"help", hostile}, -1}, {[]string{"run", "--preset", hostile}, exitUsage}, {[]string{"run", "--uses", hostile}, exitUsage},
		{[]string{"run", "--model", hostile}, exitUsage}, {[]string{"run", "--" + hostile}, exitUsage}, {[]string{"run", "--window", hostile}, exitUsage}, {[]string{"run", "--impl", "x=" + hostile, "--store", t.TempDir()}, -1},
		{[]string{"run", "--meter", hostile, "--store", t.TempDir()}, exitUsage}, {[]string{"pool", "--map", hostile + "=x", "--store", t.TempDir()}, -1}, {[]string{"pool", "--device", hostile, "--store", t.TempDir()}, -1},
		{[]string{"meters", hostile}, exitUsage}, {[]string{"meters", "declared:350,name=" + hostile}, -1}, {[]string{"meters", "declared:350,boundary=" + hostile}, exitUsage},
		{[]string{"meters", "exec:cat " + broken}, -1}, {[]string{"meters", "redfish:https://" + hostile}, -1},
		{[]string{"serve", "--store", store, "--listen", hostile}, exitUsage},
		{[]string{"show", hostile, "--store", store}, -1}, {[]string{"show", first.ID, "--format", hostile, "--store", store}, exitUsage},
		{[]string{"verify", "--rules", "publish", files[0], broken, altered, filepath.Join(dir, "none"), hostile}, exitData},
		{[]string{"index", "--store", store}, -1}, {[]string{"index", "--store", broken}, -1}, {[]string{"ls", "--store", filepath.Join(dir, "none")}, -1},
		{[]string{"ls", "--store", store, "--since", hostile}, exitUsage}, {[]string{"ls", "--store", store, "--label", hostile}, -1},
		{[]string{"amend", first.ID, "--exclude", hostile, "--store", store}, -1}, {[]string{"amend", first.ID + "/" + hostile + "/1", "--exclude", "x", "--store", store}, exitUsage},
		{[]string{"event", "--at", "2026-09-20", hostile, "--store", store}, -1}, {[]string{"event", "--at", hostile, "x", "--store", store}, exitUsage}, {[]string{"event", "--node", hostile, "--at", "2026-09-20", "x", "--store", store}, exitUsage},
		{[]string{"ls", "--store", store}, -1}, {[]string{"ls", "--store", store, "--format", "json"}, -1}, {[]string{"show", first.ID[:20], "--store", store}, -1},
		{[]string{"import", text, "--at", "2026-01-31", "--label", "a=" + hostile, "--store", filepath.Join(dir, "imported")}, -1}, {[]string{"import", broken, hostile, "--store", t.TempDir()}, exitData},
		{[]string{"prices", "--check", sheet, "--as-of", "2026-02-01"}, exitOK}, {[]string{"prices", "--check", bad}, exitUsage}, {[]string{"prices", "--check", sheet, "--hours", bad, "--as-of", "2026-02-01"}, exitUsage}, {[]string{"prices", "--check", hostile}, exitUsage},
		{append([]string{"compare", "--reference", hostile}, files...), exitUsage}, {append([]string{"compare", hostile}, files...), exitData}, {[]string{"compare", broken}, exitData}, {[]string{"compare", altered}, exitData},
		{append([]string{"explain", hostile}, files...), exitUsage}, {append([]string{"explain", "economics/" + hostile, "--prices", sheet, "--as-of", "2026-02-01"}, files...), exitUsage},
		{append([]string{"report", "-o", filepath.Join(dir, hostile)}, files...), exitUsage},
		{[]string{"track", "--store", store, "--rules", rules}, exitUsage}, {[]string{"track", "--store", store, "--node", hostile, "--gate"}, exitData}, {[]string{"track", "--store", store, "--night", hostile}, exitUsage},
		{[]string{"track", "--store", store, "-o", filepath.Join(dir, "site")}, exitOK}, {[]string{"track", "--store", store, "-o", filepath.Join(dir, "actions"), "--format", "gha-benchmark"}, exitOK},
	}
	for _, f := range report.Formats() {
		calls = append(calls, call{[]string{"show", first.ID, "--store", store, "--format", string(f)}, exitOK}, call{append([]string{"compare", "--format", string(f), "--prices", sheet, "--as-of", "2026-02-01"}, files...), exitOK})
	}
	for _, format := range trackFormats {
		if f := string(format); format != report.Action {
			calls = append(calls, call{[]string{"track", "--store", store, "--gate", "--format", f}, -1}, call{[]string{"track", "--store", store, "--format", f, "-o", filepath.Join(dir, "page."+f)}, exitOK})
		}
	}
	for _, ext := range []string{".html", ".md", ".csv"} {
		calls = append(calls, call{append([]string{"report", "-o", filepath.Join(dir, "page"+ext), "--prices", sheet, "--as-of", "2026-02-01"}, files...), exitOK})
	}
	called := func(c call) (out string) {
		t.Helper()
		what := fmt.Sprintf("%.300q", c.argv)
		code, out, errs := perwatt(t, t.Context(), c.argv...)
		if c.code >= 0 {
			require.Equal(t, c.code, code, "%s: %s", what, errs)
		}
		requireHarmless(t, what+": standard output", out, slices.Contains(c.argv, "github"))
		requireHarmless(t, what+": standard error", errs, false)
		require.NotContains(t, errs, "\t", what)
		for line := range strings.Lines(errs) {
			require.Regexp(t, `^(perwatt: |meters: |checking )`, line, what)
		}
		return out
	}
	for _, c := range calls {
		called(c)
	}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasPrefix(d.Name(), "page") || strings.Contains(name, "/site/") || strings.Contains(name, "/actions/")) {
			raw, err := os.ReadFile(name)
			requirePrintable(t, d.Name(), strings.TrimPrefix(string(raw), "\ufeff")) // the mark of an encoding, at the start of CSV
			return err
		}
		return err
	}))

	// JSON is of the same values, and a record still the one that was sealed.
	printed, err := results.Load(strings.NewReader(called(call{[]string{"show", first.ID, "--store", store, "--format", "json"}, exitOK})), "shown")
	require.NoError(t, err)
	require.Empty(t, printed.Verify())
	for _, part := range []string{"/node", "/plan", "/meters", "/warnings", "/runs/1"} { // the summary is made again
		require.Equal(t, first.Digest.Parts[part], printed.Record.Digest.Parts[part], part)
	}
	var c compare.Comparison
	require.NoError(t, json.Unmarshal([]byte(called(call{append([]string{"compare", "--format", "json"}, files...), exitOK})), &c))
	require.Contains(t, c.Reference, "\u202e")
	figures := c.Figures()
	for i := 0; i < len(figures); i += 9 {
		called(call{append([]string{"explain", figures[i]}, files...), exitOK})
		called(call{append([]string{"explain", figures[i], "--format", "json"}, files...), exitOK})
	}
}

func must[A, B any](t testing.TB, f func(A) (B, error), a A) B {
	t.Helper()
	b, err := f(a)
	require.NoError(t, err)
	return b
}

// TestOutlet: what passes the last door, however it is cut into writes.
func TestOutlet(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		color, own     bool
	}{
		{name: "text stays", in: "Größe\t5 % 🔥 שלום\n", want: "Größe\t5 % 🔥 שלום\n"},
		{name: "no end of line", in: "a\u202e", want: "a�"},
		{name: "controls", in: "a\x1b[2J\u009b2J\rb\x07\n", want: "a�[2J�2J�b�\n"},
		{name: "colours are not for a file", in: "\x1b[1mx\x1b[0m\n", want: "�[1mx�[0m\n"},
		{name: "colours on a terminal, and no more", color: true, in: "\x1b[1;31mx\x1b[0m\x1b[2J\x1b]0;t\x07\n", want: "\x1b[1;31mx\x1b[0m�[2J�]0;t�\n"},
		{name: "commands of GitHub", in: "::error::x\n \t ::stop-commands::x\na ::error::x\n", want: "�:error::x\n \t �:stop-commands::x\na ::error::x\n"},
		{name: "commands anywhere", in: "a ##[group]b ##vso[x] ##teamcity[y]\n## head [x]\n", want: "a �#[group]b �#vso[x] �#teamcity[y]\n## head [x]\n"},
		{name: "annotations of ours", own: true, in: "::error::x ##[group]\n", want: "::error::x �#[group]\n"},
		{name: "broken UTF-8", in: "\xff\xed\xa0\x80\n", want: "����\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.in); size++ {
				var out bytes.Buffer
				o := &outlet{to: &out, color: c.color, commands: c.own}
				for piece := range slices.Chunk([]byte(c.in), size) {
					n, err := o.Write(piece)
					require.NoError(t, err)
					require.Equal(t, len(piece), n)
				}
				require.NoError(t, o.flush())
				require.Equal(t, c.want, out.String(), size)
			}
		})
	}
}

// FuzzOutlet: no bytes become anything but text and colours, and JSON that
// prints passes as it is.
func FuzzOutlet(f *testing.F) {
	f.Add([]byte(resultstest.Hostile), byte(3))
	f.Add([]byte(":::x\n\t::x\n####[x##a[##b["), byte(1))
	f.Fuzz(func(t *testing.T, b []byte, size byte) {
		for _, color := range []bool{false, true} {
			var out bytes.Buffer
			o := &outlet{to: &out, color: color}
			for piece := range slices.Chunk(b, int(size)+1) {
				_, err := o.Write(piece)
				require.NoError(t, err)
			}
			require.NoError(t, o.flush())
			text := out.String()
			if color {
				text = regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(text, "")
			}
			requirePrintable(t, "", text)
			if !color { // of a terminal, which is no log
				requireHarmless(t, "", text, false)
			}
		}
		var out bytes.Buffer
		require.NoError(t, report.WriteJSON(&out, "", string(b)))
		var passed bytes.Buffer
		_, err := (&outlet{to: &passed}).Write(out.Bytes())
		require.NoError(t, err)
		require.Equal(t, out.String(), passed.String())
	})
}

// TestComplain: each error that was joined has its line, with what was said of
// all; a line break in what somebody said makes none.
func TestComplain(t *testing.T) {
	file := &fs.PathError{Op: "open", Path: "a\n::error::b", Err: fs.ErrNotExist}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"one", errors.New("no"), "perwatt: no\n"},
		{"joined", exit{exitUsage, fmt.Errorf("f.csv: %w", errors.Join(errors.New("line 1"), file))}, "perwatt: f.csv: line 1\nperwatt: f.csv: open a�::error::b: file does not exist\n"},
		{"in turn", errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))), "perwatt: a\nperwatt: b\nperwatt: c\n"},
		{"one sentence about two", fmt.Errorf("%w: %w", fs.ErrExist, file), "perwatt: file already exists: open a�::error::b: file does not exist\n"},
		{"in the middle", fmt.Errorf("a %w b", errors.New("x\ny")), "perwatt: a x�y b\n"},
		{"long", errors.New(strings.Repeat("é", 2*mostSaid)), "perwatt: " + strings.Repeat("é", mostSaid-len("perwatt: ")) + "…\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			complain(&out, c.err)
			require.Equal(t, c.want, out.String())
		})
	}
}

// TestOneDoor: nothing is printed but through an outlet: only output.go knows
// what is behind it, and lines are written by say, columns and package report.
func TestOneDoor(t *testing.T) {
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	seen := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || name == "output.go" {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			x, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := x.X.(*ast.Ident)
			if !ok {
				return true
			}
			seen++
			switch called := of.Name + "." + x.Sel.Name; {
			case regexp.MustCompile(`^(fmt\.Print|log\.(Print|Fatal|Panic)|tabwriter\.)`).MatchString(called):
				t.Errorf("%s: %s: print with say, columns or package report", set.Position(n.Pos()), called)
			case strings.HasPrefix(called, "os.Std") && name != "main.go" && name != "limits.go": // which start run
				t.Errorf("%s: %s: commands write to the outlets that run makes of it", set.Position(n.Pos()), called)
			}
			return true
		})
		ast.Inspect(file, func(n ast.Node) bool {
			x, ok := n.(*ast.CallExpr)
			if !ok || len(x.Args) == 0 {
				return true
			}
			f, ok := x.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(f.Sel.Name, "Fprint") {
				return true
			}
			if to, ok := x.Args[0].(*ast.UnaryExpr); !ok || to.Op != token.AND { // &b, a builder
				t.Errorf("%s: %s: print with say, columns or package report", set.Position(n.Pos()), f.Sel.Name)
			}
			return true
		})
	}
	require.Greater(t, seen, 1000)
}
