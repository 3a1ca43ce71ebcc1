package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documented is a line of a page that readers type.
type documented struct {
	at   string // page and line
	text string // without comments
	run  bool   // whether it stands in a block: a line in running text is only looked up
}

var (
	codeFence   = regexp.MustCompile("^ *```+ *([a-z]*)")
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	shellRemark = regexp.MustCompile(`(^|\s+)#( .*|$)`)
	typed       = regexp.MustCompile(`^((\./bin/)?perwatt|make [a-z]+|go (test|tool|run|install|build)|PERWATT_[A-Z]+=\S+ (go|perwatt))( |$)`)
)

// commandsOf returns the commands of a page: each line of its shell blocks, with
// what backslashes join, and the spans of its text that begin like one.
func commandsOf(name, text string) (out []documented) {
	inside, language, joined := false, "", ""
	for n, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, n+1)
		if m := codeFence.FindStringSubmatch(line); m != nil {
			inside, language = !inside, m[1]
			continue
		}
		switch {
		case inside && slices.Contains([]string{"sh", "bash", "shell", "console"}, language):
			line = joined + strings.TrimPrefix(line, "$ ")
			if before, ok := strings.CutSuffix(line, `\`); ok {
				joined = before
				continue
			}
			joined = ""
			if line = strings.TrimSpace(shellRemark.ReplaceAllString(line, "")); line != "" {
				out = append(out, documented{at, line, true})
			}
		case !inside:
			for _, m := range codeSpan.FindAllStringSubmatch(strings.ReplaceAll(line, `\|`, "|"), -1) {
				if typed.MatchString(m[1]) {
					out = append(out, documented{at, m[1], false})
				}
			}
		}
	}
	return out
}

// simple splits a line of a shell into the words of its simple commands. It knows
// quotes, and the operators that the pages use.
func simple(line string) (commands [][]string, err error) {
	var words []string
	var word strings.Builder
	begun, quote, target := false, rune(0), false
	end := func() {
		if begun && !target {
			words = append(words, word.String())
		}
		if begun {
			target = false
		}
		word.Reset()
		begun = false
	}
	next := func() {
		if end(); len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote != 0:
			word.WriteRune(r)
		case r == ' ':
			end()
		case r == '|' || r == ';' || r == '&':
			next()
		case r == '>' || r == '<':
			end()
			target = true
		case r == '`' || r == '(' || r == ')':
			return nil, fmt.Errorf("%q in a command", r)
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if next(); quote != 0 {
		return nil, errors.New("a quote that does not end")
	}
	return commands, nil
}

// lookUp reports what is wrong with a command of a page: a subcommand, flag, target
// of make, package, test or benchmark that does not exist, or a value that its flag refuses.
func lookUp(text string) error {
	commands, err := simple(text)
	if err != nil {
		return err
	}
	if len(commands) == 0 {
		return errors.New("no command")
	}
	for _, words := range commands {
		for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
			words = words[1:]
		}
		if len(words) == 0 {
			continue
		}
		program, rest := words[0], words[1:]
		switch program {
		case "perwatt", "./bin/perwatt":
			err = asked(rest)
		case "make":
			err = target(rest)
		case "go":
			err = golang(rest)
		case "benchstat":
			err = flags(rest, benchstatFlags)
		case "cd", "git", "sudo", "curl", "jq", "mkdir", "systemctl", "crontab", "promtool", "sha256sum", "apt":
		default:
			err = fmt.Errorf("no program %q is known to the pages", program)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
		}
	}
	return nil
}

// asked asks the command itself for help: its flags are parsed before that.
func asked(words []string) error {
	path := 0
	for path < len(words) && regexp.MustCompile(`^[a-z]+$`).MatchString(words[path]) {
		path++
	}
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), slices.Insert(slices.Clone(words), path, "--help"), &stdout, &stderr); code != exitOK {
		return fmt.Errorf("exit code %d: %s", code, stderr.String())
	}
	_, usage, _ := strings.Cut(stdout.String(), "Usage:\n  perwatt")
	usage, _, _ = strings.Cut(usage, "\n")
	found := 0
	for _, word := range strings.Fields(usage) {
		if found < path && word == words[found] {
			found++
			continue
		}
		break
	}
	if path > found && (found == 0 || strings.Contains(stdout.String(), "\nAvailable Commands:\n")) {
		return fmt.Errorf("no command %q", words[found])
	}
	return nil
}

func target(words []string) error {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		return err
	}
	for _, w := range words {
		if !strings.Contains(w, "=") && !strings.HasPrefix(w, "-") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(w)+`:`).Match(makefile) {
			return fmt.Errorf("the Makefile has no target %q", w)
		}
	}
	return nil
}

// The flags that the pages use of other programs, and whether a value follows.
var (
	goTestFlags    = map[string]bool{"run": true, "bench": true, "benchtime": true, "count": true, "timeout": true, "cpu": true, "v": false, "race": false, "short": false, "update": false, "meter": true, "device": true}
	benchstatFlags = map[string]bool{"row": true, "col": true, "table": true, "filter": true, "ignore": true, "format": true, "alpha": true}
)

func flags(words []string, known map[string]bool) error {
	for i := 0; i < len(words); i++ {
		name, dash := strings.CutPrefix(words[i], "-")
		name, _, joined := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if !dash || words[i] == "-" {
			continue
		}
		value, ok := known[name]
		if !ok {
			return fmt.Errorf("unknown flag -%s", name)
		}
		if value && !joined {
			i++
		}
	}
	return nil
}

func golang(words []string) error {
	if len(words) == 0 {
		return errors.New("no subcommand")
	}
	verb, words := words[0], words[1:]
	switch verb {
	case "build", "install", "run":
		return nil
	case "tool":
		if len(words) == 0 || !slices.Contains([]string{"benchstat", "staticcheck"}, words[0]) {
			return fmt.Errorf("go.mod has no tool %v", words)
		}
		return flags(words[1:], benchstatFlags)
	case "test":
	default:
		return fmt.Errorf("no subcommand %q", verb)
	}
	if err := flags(words, goTestFlags); err != nil {
		return err
	}
	var packages []string
	patterns := map[string]string{}
	for i := 0; i < len(words); i++ {
		name, dash := strings.CutPrefix(words[i], "-")
		switch {
		case !dash && strings.HasPrefix(words[i], "./"):
			packages = append(packages, path.Join("../..", words[i]))
		case !dash && words[i] == ".":
			packages = append(packages, "../..")
		case dash && goTestFlags[name] && i+1 < len(words):
			i++
			patterns[name] = words[i]
		}
	}
	for flag, prefix := range map[string]string{"run": "(Test|Example)", "bench": "Benchmark"} {
		if pattern, ok := patterns[flag]; ok && pattern != "^$" && len(packages) > 0 {
			if err := declared(packages, prefix, pattern); err != nil {
				return err
			}
		}
	}
	for _, p := range packages {
		if _, err := os.Stat(strings.TrimSuffix(p, "/...")); err != nil {
			return err
		}
	}
	return nil
}

// declared reports a pattern of -run or -bench that matches no function of the packages.
func declared(packages []string, prefix, pattern string) error {
	top, _, _ := strings.Cut(pattern, "/")
	match, err := regexp.Compile(top)
	if err != nil {
		return err
	}
	function := regexp.MustCompile(`(?m)^func (` + prefix + `\w*)\(`)
	for _, p := range packages {
		dir, deep := strings.CutSuffix(p, "/...")
		hit := errors.New("found")
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && name != dir && !deep:
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(name)
			for _, m := range function.FindAllSubmatch(text, -1) {
				if match.Match(m[1]) {
					return hit
				}
			}
			return err
		})
		if errors.Is(err, hit) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return fmt.Errorf("%q matches no function of %v", pattern, packages)
}

// exempt is the lines that a pattern matches, and why they are an exception.
type exempt struct {
	line *regexp.Regexp
	why  string
}

// lookedUp are the lines of blocks that are not run, each with the reason.
var lookedUp = []exempt{
	{regexp.MustCompile(`^([A-Z_]+=\S+ )*(make|go) `), "builds, and measures for minutes"},
	{regexp.MustCompile(`^perwatt run( --preset (quick|publish)| --label| --report|$)`), "measures for minutes"},
	{regexp.MustCompile(`^perwatt run .*--preset smoke`), "measures for 20 s; the store of this test is made by a shorter one"},
	{regexp.MustCompile(`^perwatt run .*--rounds 60`), "measures for 42 s"},
	{regexp.MustCompile(`(snmp|plug|redfish|modbus):`), "needs an instrument"},
	{regexp.MustCompile(`--meter (nvml|rapl)|--device gpu`), "needs a GPU, or counters that a machine need not have"},
	{regexp.MustCompile(`^perwatt meters model --check`), "steps the load for seconds; TestStories does"},
	{regexp.MustCompile(`^perwatt pool`), "needs a miner"},
	{regexp.MustCompile(`^perwatt serve`), "serves until it is ended"},
	{regexp.MustCompile(`fleet run --on|fleet resume`), "needs Slurm, or hosts to log in to"},
	{regexp.MustCompile(`^perwatt fleet collect (acceptance --power|NAME)`), "needs a recording, or records that came by hand; TestFleetCollectPower has them"},
}

// exits are the exit codes other than 0 that lines have here.
var exits = []struct {
	line *regexp.Regexp
	code int
	why  string
}{
	{regexp.MustCompile(`--rules publish`), exitGate, "declared watts break a rule"},
	{regexp.MustCompile(`^perwatt fleet (report|collect)`), exitData, "the nodes of the printed fleet have no records yet"},
}

func pagesOfDocs(t *testing.T) (all []documented) {
	names := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../*/README.md", "../../*/*/README.md", "../../CONTRIBUTING.md"} {
		more, err := filepath.Glob(pattern)
		require.NoError(t, err)
		names = append(names, more...)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all = append(all, commandsOf(strings.TrimPrefix(name, "../../"), string(text))...)
	}
	return all
}

// Every command on a page has a subcommand, flags, values, targets, tests and packages that exist.
func TestDocumentedCommands(t *testing.T) {
	all := pagesOfDocs(t)
	require.Greater(t, len(all), 100)
	for _, l := range all {
		if err := lookUp(l.text); err != nil {
			t.Errorf("%s: %v", l.at, err)
		}
	}
	for _, rule := range lookedUp {
		require.True(t, slices.ContainsFunc(all, func(l documented) bool { return l.run && rule.line.MatchString(l.text) }),
			"no line is like %s, which is looked up because it %s", rule.line, rule.why)
	}
	for _, rule := range exits {
		require.True(t, slices.ContainsFunc(all, func(l documented) bool { return l.run && rule.line.MatchString(l.text) }), "no line is like %s", rule.line)
	}
}

// A mistake in any block or sentence is found.
func TestDocumentedMistakes(t *testing.T) {
	for _, good := range []string{
		"perwatt run --preset smoke", "perwatt fleet run --on slurm -- --account=x", "perwatt compare *.json --format bench | benchstat -col node /dev/stdin",
		"make run", "go test -run '^$' -bench Mining/impl=avx2 -count 6 ./bench > new.txt", "PERWATT_STORE=x perwatt ls && perwatt track --gate",
	} {
		require.NoError(t, lookUp(good))
	}
	for _, bad := range []string{
		"perwatt runn", "perwatt run --useS mining", "perwatt run --rounds six", "perwatt fleet statsu", "perwatt fleet run --onn slurm -- --account=x",
		"perwatt compare *.json --referense north", "perwatt prices --example > prices.csv && perwatt prices --chek prices.csv",
		"perwatt ls | perwat show", "make runn", "make build nightlyy", "go test -run '^$' -bench Minning ./bench", "go test -bench . -cuont 6 ./bench",
		"go test -run Layers ./cmd/perwat", "go tool benchstaat a b", "benchstat -colum node a", "PERWATT_STORE=x perwatt lss", "perwatt show 'x",
	} {
		require.Error(t, lookUp(bad), bad)
	}
	page := "`perwatt run --x` and\n\n```sh\n# a remark\nperwatt ls --y \\\n  --z 1   # all\n```\n```text\nperwatt no\n```\n| `perwatt a \\| b` |\n"
	require.Equal(t, []documented{{"p:1", "perwatt run --x", false}, {"p:6", "perwatt ls --y   --z 1", true}, {"p:11", "perwatt a | b", false}}, commandsOf("p", page))
}

// Every line of a block runs, in one directory with the records of two candidates,
// unless it is one of lookedUp.
func TestDocumentedCommandsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs perwatt some fifty times")
	}
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	typeIn := func(line string) (string, int) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PERWATT_STORE="+store, "BMC=secret")
		out, err := cmd.CombinedOutput()
		if bad := new(exec.ExitError); err != nil && !errors.As(err, &bad) {
			t.Fatalf("%s: %v", line, err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	setUp := func(line string) string {
		out, code := typeIn(line)
		require.Equal(t, exitOK, code, "%s\n%s", line, out)
		return out
	}
	for _, session := range []string{"north", "south"} {
		setUp("perwatt run --preset smoke --uses control,mining --impl sha256d=generic --threads 1 --meter declared:350 --rounds 3" +
			" --settle 1ms --warmup 100ms --limit 100ms --window 150ms --interval 20ms --label job=nightly --label site=north --label candidate=" + session)
		setUp("ls -t store/*/*.json | head -n 1 | xargs -I{} cp {} " + session + "-1.json")
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hosts.txt"), []byte("n1 rack=R1\nn2 rack=R1\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "old-bench.txt"), []byte("goos: linux\nbuilder: x\ncommit: 0123456789abcdef\ncommit-time: 2026-01-31T00:00:00Z\nBenchmarkOld-2 10 1000 ns/op\n"), 0o644))
	setUp("perwatt fleet run --print ansible --hosts hosts.txt --name acceptance")
	ids := regexp.MustCompile(`(?m)^\s*([0-7][0-9A-HJKMNP-TV-Z]{9,})`).FindStringSubmatch(setUp("perwatt ls"))
	require.NotNil(t, ids)
	// The pages have words for what has another name here.
	standIns := strings.NewReplacer("01KDYBS1CY", ids[1], "/var/lib/perwatt", store)

	seen, ran := map[string]bool{}, 0
	for _, l := range pagesOfDocs(t) {
		line := standIns.Replace(l.text)
		if !l.run || seen[line] || slices.ContainsFunc(lookedUp, func(x exempt) bool { return x.line.MatchString(line) }) {
			continue
		}
		seen[line] = true
		// Without a name a measurement has that of the second of its start.
		line = strings.Replace(line, "fleet run --print", fmt.Sprintf("fleet run --name printed-%d --print", ran), 1)
		want := exitOK
		for _, rule := range exits {
			if rule.line.MatchString(line) {
				want = rule.code
			}
		}
		if out, code := typeIn(line); code != want {
			t.Errorf("%s: %s\nexit code %d, want %d\n%s", l.at, line, code, want, out)
		}
		ran++
	}
	require.Greater(t, ran, 20)
}
