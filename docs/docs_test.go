// Package docs tests the pages: links, names and figures. Their commands are
// tested beside the commands, in cmd/perwatt.
package docs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/schema"
)

var update = flag.Bool("update", false, "write record-fields.md again")

var root = os.DirFS("..")

// page is a Markdown file without what stands in its code.
type page struct {
	text     string // with the lines of fenced blocks and the spans of code empty
	anchors  []string
	links    []string // targets, as written
	sections []string // with code, from one heading to the next
}

var (
	fence   = regexp.MustCompile("^ *(```+|~~~+)")
	heading = regexp.MustCompile(`^#{1,6} +(.+?) *#*$`)
	span    = regexp.MustCompile("(`+)[^`].*?(`+)")
	link    = regexp.MustCompile(`\]\(\s*<?([^)>\s]*)>?(?:\s+"[^"]*")?\s*\)`)
	labels  = regexp.MustCompile(`(?m)^ {0,3}\[[^\]^]+\]:\s*<?([^\s>]+)`)
	bare    = regexp.MustCompile(`https?://[^\s)>\]|"]+`)
)

// slug is the anchor that forges make of a heading: lower case, spaces to
// hyphens, other punctuation left out (github-slugger).
func slug(title string) string {
	title = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.ReplaceAll(title, "`", ""))
}

func read(text string) page {
	var p page
	var body, section strings.Builder
	inside := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := fence.FindStringSubmatch(line); m != nil && (inside == "" || strings.HasPrefix(m[1], inside)) {
			if inside == "" {
				inside = m[1]
			} else {
				inside = ""
			}
			line += "\n"
			section.WriteString(line)
			continue
		}
		if m := heading.FindStringSubmatch(line); m != nil && inside == "" {
			anchor := slug(m[1])
			for n := 1; slices.Contains(p.anchors, anchor); n++ {
				anchor = fmt.Sprintf("%s-%d", slug(m[1]), n)
			}
			p.anchors = append(p.anchors, anchor)
			p.sections = append(p.sections, section.String())
			section.Reset()
		}
		section.WriteString(line + "\n")
		if inside == "" {
			body.WriteString(span.ReplaceAllString(line, "") + "\n")
		}
	}
	p.sections, p.text = append(p.sections, section.String()), body.String()
	for _, pattern := range []*regexp.Regexp{link, labels} {
		for _, m := range pattern.FindAllStringSubmatch(p.text, -1) {
			p.links = append(p.links, m[1])
		}
	}
	return p
}

// pages reads every Markdown file of the tree that is not a fixture.
func pages(tree fs.FS) (map[string]page, error) {
	all := map[string]page{}
	return all, fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && (base == "testdata" || base == "bin" || base == "dist" || base == ".git"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		all[name] = read(string(text))
		return err
	})
}

// target is the file, or directory, that a relative link of a page leads to, with its anchor.
func target(from, to string) (file, anchor string) {
	to, anchor, _ = strings.Cut(to, "#")
	if to == "" {
		return from, anchor
	}
	return path.Join(path.Dir(from), to), anchor
}

// broken lists the links that lead nowhere, and the external ones that are not well formed.
func broken(tree fs.FS) (faults []string, err error) {
	all, err := pages(tree)
	for from, p := range all {
		fault := func(to, why string) { faults = append(faults, fmt.Sprintf("%s: %q %s", from, to, why)) }
		external := func(to string) {
			u, err := url.Parse(to)
			if err != nil || u.Scheme != "https" || !strings.Contains(u.Hostname(), ".") || strings.HasSuffix(u.Hostname(), ".") {
				fault(to, "is no https URL of a host")
			}
		}
		for _, to := range bare.FindAllString(p.text, -1) {
			external(strings.TrimRight(to, ".,;:"))
		}
		for _, to := range p.links {
			unescaped, err := url.PathUnescape(to)
			switch {
			case err != nil || to == "" || strings.HasPrefix(to, "/"):
				fault(to, "is no link")
				continue
			case strings.HasPrefix(to, "https://"), strings.HasPrefix(to, "http://"):
				continue // above
			case strings.Contains(to, ":"):
				if !strings.HasPrefix(to, "mailto:") {
					fault(to, "has a scheme that nothing follows")
				}
				continue
			}
			file, anchor := target(from, unescaped)
			if _, err := fs.Stat(tree, file); err != nil {
				fault(to, "does not exist")
			} else if there, ok := all[file]; anchor != "" && (!ok || !slices.Contains(there.anchors, anchor)) {
				fault(to, "has no such heading")
			}
		}
	}
	slices.Sort(faults)
	return faults, err
}

// unreachable lists the pages of docs that no chain of links from the index reaches.
func unreachable(tree fs.FS) (lost []string, err error) {
	all, err := pages(tree)
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if p, ok := all[name]; ok && !seen[name] {
			seen[name] = true
			for _, to := range p.links {
				file, _ := target(name, to)
				visit(file)
			}
		}
	}
	visit("docs/README.md")
	for name := range all {
		if strings.HasPrefix(name, "docs/") && !seen[name] {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	return lost, err
}

func TestLinks(t *testing.T) {
	faults, err := broken(root)
	require.NoError(t, err)
	require.Empty(t, faults)
	lost, err := unreachable(root)
	require.NoError(t, err)
	require.Empty(t, lost)
	all, err := pages(root)
	require.NoError(t, err)
	require.Greater(t, len(all), 20, "pages were found")
	require.Contains(t, all["README.md"].links, "docs/README.md")
}

// Every kind of broken link is found.
func TestBrokenLinks(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	tree := fstest.MapFS{
		"README.md":      file("[docs](docs/README.md)"),
		"docs/README.md": file("# Index\n\n[a](a.md), [b](b.md#two-words)\n\n```md\n[not](a-link.md)\n# No heading\n```\n\n`[nor](this.md)`\n"),
		"docs/a.md":      file("# A: `one`\n\n## Again\n\n## Again\n\n[up](../README.md) [here](#again-1) [A](#a-one)\n"),
		"docs/b.md":      file("# Two words\n\nSee https://example.org/x_y(z).\n\n[r]: https://example.org\n"),
	}
	faults, err := broken(tree)
	require.NoError(t, err)
	require.Empty(t, faults)
	lost, err := unreachable(tree)
	require.NoError(t, err)
	require.Empty(t, lost)

	for name, plant := range map[string]string{
		"no file":            "[x](nowhere.md)",
		"no heading":         "[x](a.md#nowhere)",
		"heading in a block": "[x](README.md#no-heading)",
		"no heading here":    "[x](#nowhere)",
		"third of two":       "[x](a.md#again-2)",
		"no page":            "[x](../docs/nowhere/)",
		"absolute":           "[x](/docs/a.md)",
		"empty":              "[x]()",
		"http":               "[x](http://example.org/)",
		"no host":            "[x](https:///path)",
		"a word":             "[x](https://localhost/)",
		"a space":            "see https://exa%20mple.org/",
		"scheme":             "[x](file:a.md)",
		"image":              "![x](no.png)",
		"reference":          "[x]: nowhere.md",
	} {
		t.Run(name, func(t *testing.T) {
			tree["docs/b.md"] = file("# Two words\n\n" + plant + "\n")
			faults, err := broken(tree)
			require.NoError(t, err)
			require.Len(t, faults, 1)
		})
	}
	tree["docs/b.md"] = file("# Two words\n")
	tree["docs/c/d.md"] = file("# D\n\n[up](../README.md)\n")
	lost, err = unreachable(tree)
	require.NoError(t, err)
	require.Equal(t, []string{"docs/c/d.md"}, lost)
}

var (
	rate    = regexp.MustCompile(`(?i)\d\s?[kMGT]?(hash|H|FLOP|tokens?|samples?|B)/(s|J)\b`)
	command = regexp.MustCompile("(?m)(`|^)(\\./bin/)?(perwatt |make [a-z]|go (test|run) |PERWATT_[A-Z]+=\\S+ (go|perwatt) )")
	machine = regexp.MustCompile(`(?i)\bv?CPUs?\b|threads\b|\bcores?\b|\bXeon\b|\bEPYC\b`)
)

// uncommanded lists the sections of a page with a rate that was measured, but no
// command that measures it or no machine.
func uncommanded(p page) (faults []string) {
	for _, s := range p.sections {
		if m := rate.FindString(s); m != "" && !(command.MatchString(s) && machine.MatchString(s)) {
			title, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
			faults = append(faults, fmt.Sprintf("%s: %s", title, m))
		}
	}
	return faults
}

// A rate stands in a section with the command that gives it and the machine that gave it.
func TestFigures(t *testing.T) {
	all, err := pages(root)
	require.NoError(t, err)
	met := 0
	for name, p := range all {
		if name == "README.md" || strings.HasPrefix(name, "docs/") {
			require.Empty(t, uncommanded(p), name)
			met += len(rate.FindAllString(strings.Join(p.sections, ""), -1))
		}
	}
	require.Positive(t, met, "figures were found")
	require.Len(t, uncommanded(read("# A\n\nIt does 12 MH/s on 2 vCPUs.\n\n# B\n\n`perwatt run`\n")), 1, "its command is elsewhere")
	require.Len(t, uncommanded(read("# A\n\nIt does 3.5 GB/J by `perwatt run`.\n")), 1, "no machine")
	require.Empty(t, uncommanded(read("# A\n\n80 ktokens/s on 2 vCPUs:\n\n```sh\nperwatt run\n```\n")))
}

// members writes the members of the objects of the schema as tables.
func members() ([]byte, error) {
	type node struct {
		Ref                  string           `json:"$ref"`
		Description          string           `json:"description"`
		Type                 any              `json:"type"`
		Const                any              `json:"const"`
		Enum                 []string         `json:"enum"`
		Required             []string         `json:"required"`
		Properties           map[string]*node `json:"properties"`
		AdditionalProperties *node            `json:"additionalProperties"`
		Items                *node            `json:"items"`
		Defs                 map[string]*node `json:"$defs"`
	}
	var top node
	if err := json.Unmarshal(schema.Record(), &top); err != nil {
		return nil, err
	}
	var kind func(n *node) string
	kind = func(n *node) string {
		name, isRef := strings.CutPrefix(n.Ref, "#/$defs/")
		switch {
		case isRef && top.Defs[name] != nil && top.Defs[name].Properties != nil:
			return fmt.Sprintf("[%s](#%s)", name, slug(name))
		case isRef && top.Defs[name] != nil && top.Defs[name].Enum != nil:
			return fmt.Sprintf("[%s](#words)", name)
		case isRef:
			return name
		case n.Items != nil:
			return "list of " + kind(n.Items)
		case n.AdditionalProperties != nil:
			return "map to " + kind(n.AdditionalProperties)
		case n.Const != nil:
			return fmt.Sprint(n.Const)
		case n.Enum != nil:
			return strings.Join(n.Enum, ", ")
		}
		switch t := n.Type.(type) {
		case []any:
			var words []string
			for _, w := range t {
				words = append(words, fmt.Sprint(w))
			}
			return strings.Join(words, " or ")
		case nil:
			return "any"
		default:
			return fmt.Sprint(t)
		}
	}
	cell := func(s string) string { return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`) }
	var b bytes.Buffer
	b.WriteString("# Members of a record\n\nEvery object of the schema that `perwatt schema` prints, generated from it\n" +
		"(`go test ./docs -run Fields -update`). [File format](file-format.md) explains them. \\* marks a member that is always there.\n")
	table := func(name string, n *node) {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		if n.Description != "" {
			fmt.Fprintf(&b, "%s\n\n", cell(n.Description))
		}
		b.WriteString("| member | type | meaning |\n|---|---|---|\n")
		for _, member := range slices.Sorted(keys(n.Properties)) {
			p, always := n.Properties[member], ""
			if slices.Contains(n.Required, member) {
				always = `\*`
			}
			fmt.Fprintf(&b, "| `%s`%s | %s | %s |\n", member, always, cell(kind(p)), cell(p.Description))
		}
	}
	table("Record", &top)
	for _, name := range slices.Sorted(keys(top.Defs)) {
		if n := top.Defs[name]; n.Properties != nil {
			table(name, n)
		}
	}
	b.WriteString("\n## Words\n\n| type | one of | meaning |\n|---|---|---|\n")
	for _, name := range slices.Sorted(keys(top.Defs)) {
		if n := top.Defs[name]; n.Enum != nil {
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", name, strings.Join(n.Enum, "`, `"), cell(n.Description))
		}
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("`, ``,"), []byte("`,")), nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestRecordFields(t *testing.T) {
	want, err := members()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile("record-fields.md", want, 0o644))
	}
	got, err := os.ReadFile("record-fields.md")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "go test ./docs -run Fields -update writes it again")
	require.Contains(t, string(got), "| `digest`\\* | [Digest](#digest) |")

	// The page that explains them names every member of the record.
	format, err := os.ReadFile("file-format.md")
	require.NoError(t, err)
	var top struct{ Properties map[string]any }
	require.NoError(t, json.Unmarshal(schema.Record(), &top))
	for member := range top.Properties {
		require.Regexp(t, "`"+member+"(\\[\\])?`", string(format))
	}
}

// The page of the method has each rule as verify --rules lists it.
func TestRules(t *testing.T) {
	text, err := os.ReadFile("method.md")
	require.NoError(t, err)
	findings := results.Derive(&results.Record{}).Validity.Findings
	require.Greater(t, len(findings), 10)
	listed := 0
	for _, f := range findings {
		require.Contains(t, string(text), fmt.Sprintf("| `%s` | %s | %s |\n", f.Rule, f.Asks, f.Source))
		listed++
	}
	_, rules, found := strings.Cut(string(text), "\n## Rules for ranking\n")
	require.True(t, found)
	rules, _, _ = strings.Cut(rules, "\n### ")
	require.Equal(t, listed, strings.Count(rules, "\n| `"), "and no other")
}

// The limits of the grades are those by which figures are graded.
func TestGrades(t *testing.T) {
	text, err := os.ReadFile("method.md")
	require.NoError(t, err)
	row := func(limits ...any) string {
		return fmt.Sprintf("| A | wall | ≤ %v %%, every term known | ≥ %v s |\n| B | wall | ≤ %v %%, every term known | ≥ %v s |\n| C | wall, supplies or BMC | ≤ %v %% of the known terms | |\n", limits...)
	}
	require.Contains(t, string(text), row(1, 600, 2, 300, 5))
	budget := func(percent float64) *results.Budget { return &results.Budget{Linear: results.Float(percent / 100)} }
	for _, c := range []struct {
		at      results.Boundary
		percent float64
		window  float64
		want    results.Grade
	}{
		{results.Wall, 1, 600, "A"},
		{results.Wall, 1, 599, "B"},
		{results.Wall, 1.01, 600, "B"},
		{results.Wall, 2, 300, "B"},
		{results.Wall, 2, 299, "C"},
		{results.Wall, 2.01, 300, "C"},
		{results.Chassis, 1, 600, "C"},
		{results.PSU, 5, 600, "C"},
		{results.PSU, 5.01, 600, "D"},
		{results.Package, 1, 600, "D"},
	} {
		require.Equal(t, c.want, results.GradeOf(c.at, results.Measured, budget(c.percent), c.window), "%v", c)
	}
	require.Equal(t, results.Grade("E"), results.GradeOf(results.Wall, results.Modelled, budget(1), 600))
}

var (
	place      = regexp.MustCompile("`([a-z_]+(?:/[a-zA-Z0-9_.-]+)+)`")
	identifier = regexp.MustCompile("`([a-z]+)\\.([A-Z][A-Za-z]*)(?:\\.([A-Z][A-Za-z]*))?[`(]")
)

// The pages on adding something name files and identifiers that exist.
func TestNames(t *testing.T) {
	all, err := pages(root)
	require.NoError(t, err)
	checked := 0
	for name, p := range all {
		if !strings.HasPrefix(name, "docs/adding-") {
			continue
		}
		text := strings.Join(p.sections, "")
		for _, m := range place.FindAllStringSubmatch(text, -1) {
			if room, _, _ := strings.Cut(m[1], "/"); slices.Contains([]string{"bench", "cmd", "docs", "harness", "kernels", "results"}, room) {
				require.NoError(t, exists(m[1]), name)
				checked++
			}
		}
		for _, m := range identifier.FindAllStringSubmatch(text, -1) {
			if m[1] == "x" || m[1] == "row" { // a kernel, and a variable
				continue
			}
			require.NoError(t, exported(m[1], m[2]), name)
			checked++
		}
	}
	require.Greater(t, checked, 60)
	require.Error(t, exists("kernels/nowhere"))
	require.Error(t, exported("power", "Nothing"))
	require.Error(t, exported("nowhere", "Meter"))
}

func exists(name string) error {
	_, err := fs.Stat(root, name)
	return err
}

// exported looks an identifier up in the packages of a name.
func exported(pkg, name string) error {
	dirs, err := packages(pkg)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		files, err := fs.Glob(root, dir+"/*.go")
		if err != nil {
			return err
		}
		for _, f := range files {
			text, err := fs.ReadFile(root, f)
			if err != nil {
				return err
			}
			if !bytes.Contains(text, []byte(name)) {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), f, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range file.Decls {
				if declares(d, name) {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("%s.%s is declared nowhere", pkg, name)
}

func declares(d ast.Decl, name string) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Name.Name == name // a method too: power.Meter and Spec.Poller are written alike
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.Name == name {
					return true
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, func(n *ast.Ident) bool { return n.Name == name }) {
					return true
				}
			}
		}
	}
	return false
}

// packages are the directories of a name that hold Go.
func packages(name string) (dirs []string, err error) {
	for _, room := range []string{"bench", "harness", "kernels", "results"} {
		err = fs.WalkDir(root, room, func(at string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && path.Base(at) == name {
				dirs = append(dirs, at)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return dirs, nil
}
