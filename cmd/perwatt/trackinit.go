package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/perwatt/perwatt/results"
)

// nightly has the templates of what track --init writes. Actions are in <% %>:
// workflows and alert rules have {{ }} of their own.
//
//go:embed nightly
var nightly embed.FS

// nightlyFiles are what track --init writes, in the order in which it prints them.
var nightlyFiles = []struct {
	template, to string
	mode         fs.FileMode
	what         string
}{
	{"nightly.sh", "perwatt/nightly.sh", 0o755, "one night: measure, compare, write pages and metrics"},
	{"perwatt-track.toml", "perwatt/perwatt-track.toml", 0o644, "rules: what fails, what is not followed"},
	{"crontab", "perwatt/crontab", 0o644, "a line for cron"},
	{"perwatt-nightly.service", "perwatt/perwatt-nightly.service", 0o644, "a unit of systemd"},
	{"perwatt-nightly.timer", "perwatt/perwatt-nightly.timer", 0o644, "its timer"},
	{"workflow.yml", ".github/workflows/perwatt.yml", 0o644, "a workflow for a self-hosted runner"},
	{"perwatt-alerts.yml", "perwatt/perwatt-alerts.yml", 0o644, "alert rules of Prometheus"},
	{"perwatt-dashboard.json", "perwatt/perwatt-dashboard.json", 0o644, "a dashboard of Grafana"},
	{"gitignore", "perwatt/.gitignore", 0o644, "what git leaves out"},
}

// nightlySite is what the templates are filled with.
type nightlySite struct {
	Store, Dir, Script string // absolute paths
	Bin                string // the directory of this program
	User               string // who runs the unit
	Tool               string // this program, its version and revision
	Ref                string // the version of this program, as go install names it
	Go                 string // the release of Go that built this program, without "go"
}

// initialise writes what runs perwatt every night into dir. It creates files and
// replaces none.
func initialise(cmd *cobra.Command, dir string, in storeFlag) error {
	var other string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "init" && f.Name != "store" {
			other = f.Name
		}
	})
	if other != "" {
		return usagef("--init writes files, and --%s is of no use to it: edit what it wrote", other)
	}
	site, pinned, err := newNightlySite(dir, in)
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usagef("--init %s: it must be a directory that exists: that of your repository, or an empty one", dir)
	}
	root, err := os.OpenRoot(dir) // no link leads out of it
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--init: %w", err)}
	}
	defer root.Close()
	var rows [][]string
	var kept []string
	for _, f := range nightlyFiles {
		text, err := site.fill(f.template)
		if err != nil {
			return err
		}
		state, differs, err := create(root, f.to, text, f.mode)
		if err != nil {
			return exit{exitUsage, fmt.Errorf("--init: %w", err)}
		}
		rows = append(rows, []string{state, filepath.Join(dir, f.to), f.what})
		if differs != nil {
			kept = append(append(kept, filepath.Join(dir, f.to)+" is kept. This perwatt would write + for −:"), differs...)
		}
	}
	out := cmd.OutOrStdout()
	if err := columns(out, rows...); err != nil {
		return err
	}
	for _, line := range kept {
		say(out, "%s", line)
	}
	if !pinned {
		say(cmd.ErrOrStderr(), "perwatt: this program knows no version or revision of its own: the workflow installs %s; name a release there", site.Ref)
	}
	site.next(out)
	return nil
}

// next prints how to go on.
func (s *nightlySite) next(out io.Writer) {
	in := func(name string) string { return results.Command(filepath.Join(s.Dir, name)) }
	for _, line := range []string{
		"",
		"Next, on the machine that is to be measured:",
		"  # the first night, a few minutes",
		"  sh " + results.Command(s.Script),
		"  # every night; git push starts the workflow instead",
		"  sudo systemctl link " + in("perwatt-nightly.service") + " && sudo systemctl enable --now " + in("perwatt-nightly.timer"),
		"  # or with cron",
		"  (crontab -l; cat " + in("crontab") + ") | crontab -",
	} {
		say(out, "%s", line)
	}
}

// newNightlySite finds what the templates are filled with; pinned is false if this
// program does not know which version it is.
func newNightlySite(dir string, in storeFlag) (s *nightlySite, pinned bool, err error) {
	where, err := in.dir()
	if err != nil {
		return nil, false, err
	}
	t := tool()
	s = &nightlySite{Tool: toolName(), Go: strings.TrimPrefix(t.Go, "go")}
	s.Ref, pinned = installable(t)
	self, err := os.Executable()
	if err != nil {
		return nil, false, fmt.Errorf("--init: find this program: %w", err)
	}
	s.Bin = filepath.Dir(self)
	s.User = strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		s.User = u.Username
	}
	for _, p := range []struct {
		flag, path string
		to         *string
	}{{"store", where, &s.Store}, {"init", filepath.Join(dir, "perwatt"), &s.Dir}} {
		if *p.to, err = filepath.Abs(p.path); err != nil {
			return nil, false, fmt.Errorf("--%s: %w", p.flag, err)
		}
		// It stands in files of five syntaxes, in comments too.
		if !utf8.ValidString(*p.to) || strings.ContainsFunc(*p.to, unicode.IsControl) {
			return nil, false, usagef("--%s %.200q: control characters have no place in scripts and units: name it by another path", p.flag, p.path)
		}
	}
	s.Script = filepath.Join(s.Dir, "nightly.sh")
	return s, pinned, nil
}

// installable is what go install builds this program from: its version, or its
// revision without local changes.
func installable(t results.Tool) (ref string, ok bool) {
	revision := strings.TrimSuffix(t.Revision, "+")
	switch {
	case t.Version != "devel" && t.Version != "":
		return "v" + strings.TrimPrefix(t.Version, "v"), true
	case revision != "":
		return revision, true
	}
	return "latest", false
}

func (s *nightlySite) fill(name string) ([]byte, error) {
	text, err := nightly.ReadFile("nightly/" + name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("<%", "%>").Funcs(template.FuncMap{
		"sh": results.Command, "unit": quoteUnit, "cron": quoteCron,
		"argument": func(s string) string { return strings.ReplaceAll(quoteUnit(s), "$", "$$") }, // of ExecStart
	}).Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, s)
	return out.Bytes(), err
}

// quoteCron quotes a word of sh in crontab(5), where % ends a command.
func quoteCron(s string) string { return strings.ReplaceAll(results.Command(s), "%", `\%`) }

// quoteUnit quotes a word of a unit file (systemd.syntax(7), "Quoting"), where %
// begins a specifier.
func quoteUnit(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(s) + `"`
}

// create writes a file that is not there. Of one that is, differs has the lines
// that are not those of text; it is nil if there are none.
func create(root *os.Root, name string, text []byte, mode fs.FileMode) (state string, differs []string, err error) {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", nil, err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		was, err := root.ReadFile(name)
		if err != nil || !bytes.Equal(was, text) {
			return "kept", differing(string(was), string(text)), err
		}
		return "same", nil, nil
	case err != nil:
		return "", nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", nil, errors.Join(err, root.Remove(name)) // part of a file would be kept the next time
	}
	return "wrote", nil, nil
}

// differing lists the lines between the first and the last that differ, those of
// a file with − and those of another with +, at most ten of each.
func differing(was, is string) (lines []string) {
	const most = 10
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	for len(a) > from && len(b) > from && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	for _, side := range []struct {
		mark  string
		lines []string
	}{{"−", a[from:]}, {"+", b[from:]}} {
		for i, line := range side.lines {
			if i == most {
				lines = append(lines, fmt.Sprintf("  %s and %s more", side.mark, results.Plural(len(side.lines)-most, "line")))
				break
			}
			lines = append(lines, fmt.Sprintf("  %s %4d  %s", side.mark, from+i+1, results.Line(line, 200)))
		}
	}
	return lines
}
