package perwatt

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write NOTICE and NOTICE.gz again")

// targets are the systems that perwatt is built for.
var targets = []string{"amd64", "arm64"}

// licenses are the ones that are recognised by their words (see words), each a
// pattern for the whole text. What else a file says makes it unrecognised: a
// person reads it, and it goes to reviewed or is not linked.
var licenses = []struct {
	spdx string
	text *regexp.Regexp
}{
	{"MIT", pattern(`permission is hereby granted free of charge to any person obtaining a copy of this software and associated documentation
files the software to deal in the software without restriction including without limitation the rights to use copy modify merge publish
distribute sublicense and or sell copies of the software and to permit persons to whom the software is furnished to do so subject to the
following conditions the above copyright notice and this permission notice shall be included in all copies or substantial portions of
the software the software is provided as is without warranty of any kind express or implied including but not limited to the warranties
of merchantability fitness for a particular purpose and noninfringement in no event shall the authors or copyright holders be liable for
any claim damages or other liability whether in an action of contract tort or otherwise arising from out of or in connection with the
software or the use or other dealings in the software( http www opensource org licenses mit license php)?`)},
	{"BSD-2-Clause", pattern(bsdConditions + bsdDisclaimer)},
	{"BSD-3-Clause", pattern(bsdConditions + `
(3 )?neither the names? of( \w+){1,12} nor the names of( \w+){1,3} contributors may be used to endorse or promote products derived from this
software without specific prior written permission` + bsdDisclaimer)},
	{"Apache-2.0", apache()},
	{goPatents, pattern(`additional ip rights grant patents this implementation means the copyrightable works distributed by google as part of
the go project google hereby grants to you a perpetual worldwide non exclusive no charge royalty free irrevocable except as stated in
this section patent license to make have made use offer to sell sell import transfer and otherwise run modify and propagate the contents
of this implementation of go where such license applies only to those patent claims both currently owned or controlled by google and
acquired in the future licensable by google that are necessarily infringed by this implementation of go this grant does not include
claims that would be infringed only as a consequence of further modification of this implementation if you or your agent or exclusive
licensee institute or order or agree to the institution of patent litigation against any entity including a cross claim or counterclaim
in a lawsuit alleging that this implementation of go or any code incorporated within this implementation of go constitutes direct or
contributory patent infringement or inducement of patent infringement then any patent rights granted to you under this license for this
implementation of go shall terminate as of the date such litigation is filed`)},
}

// goPatents is a grant that comes with a licence; alone it permits no copying.
const goPatents = "patent grant of the Go project"

const bsdConditions = `redistribution and use in source and binary forms with or without modification are permitted provided that the following
conditions are met (1 )?redistributions of source code must retain the above copyright notice this list of conditions and the following
disclaimer (2 )?redistributions in binary form must reproduce the above copyright notice this list of conditions and the following disclaimer
in the documentation and or other materials provided with the distribution`

const bsdDisclaimer = `
this software is provided by the( \w+){1,6} as is and any express or implied warranties including but not limited to the implied warranties
of merchantability and fitness for a particular purpose are disclaimed in no event shall( \w+){1,6} be liable for any direct indirect
incidental special exemplary or consequential damages including but not limited to procurement of substitute goods or services loss of use
data or profits or business interruption however caused and on any theory of liability whether in contract strict liability or tort including
negligence or otherwise arising in any way out of the use of this software even if advised of the possibility of such damage`

// pattern is a whole text, after its title if it has one.
func pattern(text string) *regexp.Regexp {
	return regexp.MustCompile(`^(?:(?:the )?(?:mit|bsd(?: [23] clause)?) license(?: (?:mit|expat))? )?(` + strings.Join(strings.Fields(text), " ") + `)$`)
}

// apache is our own licence, with or without the appendix on how to apply it.
func apache() *regexp.Regexp {
	text, appendix, _ := strings.Cut(words(License), "end of terms and conditions ")
	return regexp.MustCompile("^(" + strings.TrimSpace(text) + ")( end of terms and conditions( " + appendix + ")?)?$")
}

// reviewed are the texts that no pattern matches. Each was read; its digest says
// which text that was, so that a changed one is read again. A text without a
// licence is left out of NOTICE.
var reviewed = map[string]struct{ digest, spdx string }{
	"codeberg.org/go-fonts/liberation/LICENSE-SIL": {"f45cc618951f", "OFL-1.1"}, // the fonts are shipped unchanged, not sold by themselves
	// Apache, then what C++, Python and R sources of Arrow come with, of which the Go packages hold nothing but code of Go's own.
	"github.com/apache/arrow/go/arrow/LICENSE.txt": {"b9bb118a7b52", "Apache-2.0 AND BSD-3-Clause"},
	"github.com/awalterschulze/gographviz/LICENSE": {"03b783ad6039", "Apache-2.0 AND BSD-3-Clause"},
	"github.com/gogo/protobuf/LICENSE":             {"3f571768c0ba", "BSD-3-Clause"}, // with a description of the project
	"github.com/gosnmp/gosnmp/LICENSE":             {"28b63cdfceda", "BSD-2-Clause AND BSD-3-Clause"},
	"github.com/klauspost/compress/LICENSE":        {"0d9e582ee4bf", "BSD-3-Clause AND Apache-2.0 AND MIT"},
	// Of the translation; what is translated is SQLite, whose authors disclaim copyright.
	"github.com/ncruces/go-sqlite3-wasm/v6/LICENSE":                 {"13219037ddf6", "MIT-0"},
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Bogaert-LICENSE":       {"19912b29acb8", "disclaimer"}, // of integrate/quad, which is not linked
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Boost-LICENSE":         {"c9bff7573892", "BSL-1.0"},
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/MT19937-64-LICENSE":    {"c9c37150f4da", "BSD-3-Clause"}, // with a description of the program
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/MT19937-LICENSE":       {"b92dad20b731", "BSD-3-Clause"}, // with a description of the program
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Oxford-LICENSE":        {"f90fe7f24a63", "BSD-3-Clause"}, // its notice takes two lines
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Sun-LICENSE":           {"1fad26590385", "SunPro"},
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/W3C-BSD-LICENSE":       {"5531609b9501", "BSD-3-Clause"},   // speaks of works for source code
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/W3C-TestSuite-LICENSE": {"aa82ad47b727", "W3C test suite"}, // of test data, which is not linked
}

// copyleft are the words of licences whose terms a program under the Apache
// License, shipped as a binary, does not meet.
var copyleft = regexp.MustCompile(`gnu (affero |lesser |library )?general public|\b[al]?gpl\b|mozilla public license|eclipse public license|common development and distribution|server side public|business source license|commons clause|\bby (nc|sa|nd)\b|attribution (non ?commercial|share ?alike|no ?deriv)`)

// A work is a module, or another thing with a licence of its own, that is linked.
type work struct {
	name, version string
	texts         []text
}

// A text is one licence file of a work.
type text struct {
	file    string // relative to the work
	spdx    string
	notices []string // its copyright lines
	body    string   // what remains
	key     string   // texts of one key share one copy
}

var (
	copyrightLine = regexp.MustCompile(`^[\s*#>]*(Copyright\b|\([cC]\) ?\d|© ?\d|All rights reserved)`)
	placeholder   = regexp.MustCompile(`Copyright [\[{]yyyy`)
	control       = regexp.MustCompile(`[^\P{C}\n\t\f]`)
	licenseFile   = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying|^copyright|^notice|^patents|^third[-_ ]?party|^(ofl|ftl)\b`)
)

// words is a text without its copyright lines, its case and its punctuation.
func words(s string) string {
	var kept []string
	for line := range strings.Lines(s) {
		if !copyrightLine.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(strings.FieldsFunc(strings.ToLower(strings.Join(kept, "")), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9')
	}), " ")
}

// classify says which licence the file of a work holds. ok is false for a text
// that is left out.
func classify(name, file, content string) (t text, ok bool, err error) {
	if !utf8.ValidString(content) { // then it is ISO 8859-1
		runes := make([]rune, len(content))
		for i := range len(content) {
			runes[i] = rune(content[i])
		}
		content = string(runes)
	}
	content = strings.ReplaceAll(strings.TrimPrefix(content, "\ufeff"), "\r\n", "\n")
	if c := control.FindString(content); c != "" {
		return t, false, fmt.Errorf("%s: %s holds the control character %+q, which a terminal may obey: it is not to be printed; do without the module", name, file, c)
	}
	t = text{file: file, body: content, key: content}
	plain := words(content)
	for _, l := range licenses {
		if !l.text.MatchString(plain) {
			continue
		}
		var rest []string
		for line := range strings.Lines(content) {
			switch {
			case !copyrightLine.MatchString(line):
				rest = append(rest, line)
			case !placeholder.MatchString(line):
				t.notices = append(t.notices, strings.TrimSpace(line))
			}
		}
		t.spdx, t.body = l.spdx, strings.Join(rest, "")
		t.key = l.text.FindStringSubmatch(plain)[1]
		if l.spdx == "Apache-2.0" {
			t.body = "The text is that of perwatt's own licence, in the file LICENSE.\n"
		}
		return t, true, nil
	}
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:6])
	if r, found := reviewed[path.Join(name, file)]; found && r.digest == digest {
		t.spdx = r.spdx
		return t, r.spdx != "", nil
	}
	if m := copyleft.FindString(plain); m != "" {
		return t, false, fmt.Errorf("%s: %s (digest %s) speaks of %q: perwatt, one binary under the Apache License, does not meet such terms; do without the module, or read the text and say in reviewed why they do not bind", name, file, digest, m)
	}
	if strings.HasPrefix(strings.ToLower(path.Base(file)), "notice") {
		t.spdx = "notice"
		return t, true, nil
	}
	return t, false, fmt.Errorf("%s: %s (digest %s) is no licence that is recognised: read it, and put it into reviewed if perwatt meets its terms; it begins %.80q", name, file, digest, plain)
}

// collect reads the licence files in dirs of a work whose root is root: the root
// itself and every directory down to what is linked, and the directories there
// that are named for licences.
func collect(name, version string, root fs.FS, dirs []string) (work, error) {
	w := work{name: name, version: version}
	files := map[string]bool{}
	for _, dir := range dirs {
		for ; ; dir = path.Dir(dir) {
			entries, err := fs.ReadDir(root, dir)
			if err != nil {
				return w, fmt.Errorf("%s: %w", name, err)
			}
			for _, e := range entries {
				at := path.Join(dir, e.Name())
				switch {
				case !licenseFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go"):
				case !e.IsDir():
					files[at] = true
				default:
					inside, err := fs.ReadDir(root, at)
					if err != nil {
						return w, fmt.Errorf("%s: %w", name, err)
					}
					for _, e := range inside {
						if !e.IsDir() && !strings.HasSuffix(e.Name(), ".go") {
							files[path.Join(at, e.Name())] = true
						}
					}
				}
			}
			if dir == "." {
				break
			}
		}
	}
	var problems []error
	licensed := false
	for _, file := range slices.Sorted(maps.Keys(files)) {
		content, err := fs.ReadFile(root, file)
		if err != nil {
			return w, fmt.Errorf("%s: %w", name, err)
		}
		t, ok, err := classify(name, file, string(content))
		problems = append(problems, err)
		if ok {
			w.texts = append(w.texts, t)
			licensed = licensed || t.spdx != goPatents && t.spdx != "notice"
		}
	}
	if err := errors.Join(problems...); err != nil {
		return w, err
	}
	if !licensed {
		return w, fmt.Errorf("%s has no licence: nobody may copy it; do without it, or ask its author for one", name)
	}
	return w, nil
}

// linked are the works in the program of package dir, and the modules that go.mod
// names besides.
func linked(dir string) (works []work, unlinked []string, err error) {
	type module struct {
		Path, Version, Dir string
		Main               bool
		Replace            *module
	}
	type pkg struct {
		Dir             string
		GoFiles, SFiles []string
		Module          *module
	}
	modules, dirs := map[string]module{}, map[string]map[string]bool{}
	var problems []error
	seen := map[string]bool{}
	for _, arch := range targets {
		out, err := command(dir, []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=0"}, "list", "-deps", "-json=Dir,GoFiles,SFiles,Module", ".")
		if err != nil {
			return nil, nil, err
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p pkg
			if err := d.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				return nil, nil, fmt.Errorf("read the packages of %s: %w", dir, err)
			}
			if p.Module == nil || p.Module.Main {
				continue
			}
			m := *p.Module
			if r := m.Replace; r != nil {
				m.Dir, m.Version = r.Dir, strings.TrimSpace("replaced by "+r.Path+" "+r.Version)
			}
			rel, err := filepath.Rel(m.Dir, p.Dir)
			if err != nil {
				return nil, nil, err
			}
			if modules[m.Path] = m; dirs[m.Path] == nil {
				dirs[m.Path] = map[string]bool{}
			}
			dirs[m.Path][filepath.ToSlash(rel)] = true
			for _, file := range append(p.GoFiles, p.SFiles...) {
				if file = filepath.Join(p.Dir, file); !seen[file] {
					seen[file] = true
					problems = append(problems, source(file))
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		m := modules[name]
		w, err := collect(name, m.Version, os.DirFS(m.Dir), slices.Sorted(maps.Keys(dirs[name])))
		works, problems = append(works, w), append(problems, err)
	}

	out, err := command(dir, nil, "mod", "edit", "-json")
	if err != nil {
		return nil, nil, err
	}
	var mod struct{ Require []module }
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, nil, fmt.Errorf("read go.mod: %w", err)
	}
	for _, m := range mod.Require {
		if _, ok := modules[m.Path]; !ok {
			unlinked = append(unlinked, m.Path+" "+m.Version)
		}
	}
	return works, unlinked, errors.Join(problems...)
}

// source refuses a file whose first lines put it under another licence than its
// module's.
func source(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	first, err := io.ReadAll(io.LimitReader(f, 1024))
	if m := copyleft.FindString(words(string(first))); err == nil && m != "" {
		err = fmt.Errorf("%s speaks of %q: perwatt, one binary under the Apache License, does not meet such terms; do without its package", name, m)
	}
	return err
}

// command is the output of the go command.
func command(dir string, env []string, arg ...string) ([]byte, error) {
	cmd := exec.Command("go", arg...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s in %s: %w: %s", strings.Join(arg, " "), dir, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// ours are the works of others that are in this tree or come with Go.
func ours() (works []work, err error) {
	goroot, err := command(".", nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	std, err := collect("Go standard library and runtime", "of the release that built the program", os.DirFS(strings.TrimSpace(string(goroot))), []string{"."})
	works, problems := append(works, std), []error{err}
	walk := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") || base == "testdata" || name == "bin" || name == "dist"):
			return fs.SkipDir // not built
		case d.IsDir() || path.Dir(name) == "." || !licenseFile.MatchString(base) || strings.HasSuffix(base, ".go"):
			return nil
		}
		root, err := fs.Sub(os.DirFS("."), path.Dir(name))
		if err != nil {
			return err
		}
		w, err := collect(path.Dir(name), "in this tree", root, []string{"."})
		works, problems = append(works, w), append(problems, err)
		return nil
	})
	return works, errors.Join(append(problems, walk)...)
}

const head = `perwatt
Copyright 2026 The perwatt Authors

perwatt is licensed under the Apache License, Version 2.0, in the file LICENSE.
The program contains the works below, each under its own licence. It prints this
file and its licence with: perwatt version --licenses

"make generate" writes this file from the licence files of the works themselves.
`

// notice is the file: a table of the works, then each text once, with the notices
// of all who share it.
func notice(works []work, unlinked []string) string {
	var b strings.Builder
	b.WriteString(head)
	section := func(title string) { fmt.Fprintf(&b, "\n%s\n%s\n\n", title, strings.Repeat("=", len(title))) }
	section("Linked into the program (linux/amd64, linux/arm64)")
	type user struct{ name, notices string }
	type group struct {
		spdx, body string
		users      []user
	}
	groups := map[string]*group{}
	for _, w := range works {
		spdx := map[string]bool{}
		for _, t := range w.texts {
			spdx[t.spdx] = true
			key := t.spdx + "\n" + t.key
			g := groups[key]
			if g == nil {
				g = &group{spdx: t.spdx, body: t.body}
				groups[key] = g
			}
			u := user{name: w.name + ", " + t.file}
			for _, n := range t.notices {
				u.notices += "    " + n + "\n"
			}
			g.users = append(g.users, u)
		}
		fmt.Fprintf(&b, "%s %s: %s\n", w.name, w.version, strings.Join(slices.Sorted(maps.Keys(spdx)), ", "))
	}
	section("Named in go.mod, not linked: for tests, tools and other systems")
	for _, m := range unlinked {
		fmt.Fprintln(&b, m)
	}
	for _, g := range slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.spdx, b.spdx), cmp.Compare(a.users[0].name, b.users[0].name))
	}) {
		section(g.spdx)
		for _, u := range g.users {
			fmt.Fprintf(&b, "%s\n%s", u.name, u.notices)
		}
		b.WriteString("\n")
		for line := range strings.Lines(strings.Trim(g.body, "\n") + "\n") {
			b.WriteString(strings.TrimRight(line, " \t\f\n") + "\n")
		}
	}
	return b.String()
}

func TestNotice(t *testing.T) {
	works, unlinked, err := linked("cmd/perwatt")
	require.NoError(t, err)
	others, err := ours()
	require.NoError(t, err)
	want := notice(append(works, others...), unlinked)
	if *update {
		require.NoError(t, os.WriteFile("NOTICE", []byte(want), 0o644))
		var packed bytes.Buffer
		to, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		require.NoError(t, err)
		_, err = to.Write([]byte(want))
		require.NoError(t, errors.Join(err, to.Close()))
		require.NoError(t, os.WriteFile("NOTICE.gz", packed.Bytes(), 0o644))
		return
	}
	file, err := os.ReadFile("NOTICE")
	require.NoError(t, err)
	require.Equal(t, string(file), Notice(), "make generate writes both")
	got := strings.Split(Notice(), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("NOTICE, line %d: %q, but go.mod and the licence files of its modules say %q: make generate, and read what changes", i+1, append(got, "end")[min(i, len(got))], line)
		}
	}
	require.Len(t, Notice(), len(want))
}

// mit is a licence as modules have it.
func mit(holder string) string {
	_, text, _ := strings.Cut(uplot, "Leon Sorokin\n")
	return "MIT License\n\nCopyright (c) 2020 " + holder + "\n" + text
}

//go:embed results/report/uplot/LICENSE
var uplot string

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		spdx, err           string
		notices             []string
	}{
		{name: "MIT", file: "LICENSE", content: mit("Ann"), spdx: "MIT", notices: []string{"Copyright (c) 2020 Ann"}},
		{name: "MIT in other lines and quotes", file: "LICENSE.md", content: strings.ReplaceAll(strings.Join(strings.SplitAfter(mit("Ann"), ", "), "\r\n"), `"`, "``"), spdx: "MIT", notices: []string{"Copyright (c) 2020 Ann"}},
		{name: "MIT in ISO 8859-1", file: "LICENSE", content: strings.Replace(mit("Ann"), "(c)", "\xa9", 1), spdx: "MIT", notices: []string{"Copyright © 2020 Ann"}},
		{name: "Apache", file: "LICENSE", content: License, spdx: "Apache-2.0"},
		{name: "Apache of a holder", file: "LICENSE", content: strings.Replace(License, "[yyyy] [name of copyright owner]", "2020 Ann", 1), spdx: "Apache-2.0", notices: []string{"Copyright 2020 Ann"}},
		{name: "Apache's notice", file: "NOTICE.txt", content: "Thing\nCopyright 2020 Ann\n", spdx: "notice"},
		{name: "notice of copyleft", file: "NOTICE", content: "Parts are under the GNU Lesser General\nPublic License.", err: "gnu lesser general public"},
		{name: "GPL", file: "COPYING", content: "GNU GENERAL PUBLIC LICENSE\nVersion 3", err: "gnu general public"},
		{name: "MPL", file: "LICENSE", content: "Mozilla Public License, version 2.0", err: "mozilla public license"},
		{name: "GPL by its identifier", file: "LICENSE", content: "SPDX-License-Identifier: AGPL-3.0-only", err: "agpl"},
		{name: "CC with a condition", file: "LICENSE", content: "Creative Commons Attribution-NonCommercial 4.0", err: "attribution noncommercial"},
		{name: "MIT with a condition", file: "LICENSE", content: mit("Ann") + "\nThe Software shall be used for Good, not Evil.", err: "no licence that is recognised"},
		{name: "MIT with Commons Clause", file: "LICENSE", content: "Commons Clause License Condition v1.0\n" + mit("Ann"), err: "commons clause"},
		{name: "Apache with a word less", file: "LICENSE", content: strings.Replace(License, "irrevocable", "revocable", 1), err: "no licence that is recognised"},
		{name: "MIT after a control character", file: "LICENSE", content: mit("Ann\x1b]0;x\a"), err: "control character"},
		{name: "MIT after a C1 control", file: "LICENSE", content: mit("Ann\u009b2J"), err: "control character"},
		{name: "empty", file: "LICENSE", err: "no licence that is recognised"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok, err := classify("example.org/dep", c.file, c.content)
			require.Equal(t, c.err == "", ok)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.spdx, got.spdx)
			require.Equal(t, c.notices, got.notices)
		})
	}
	// What was read was another text.
	_, _, err := classify("github.com/gosnmp/gosnmp", "LICENSE", "GNU GENERAL PUBLIC LICENSE\nVersion 3")
	require.ErrorContains(t, err, "gnu general public")
}

func TestCollect(t *testing.T) {
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	_, patents, _ := strings.Cut(Notice(), "\nAdditional IP Rights Grant")
	patents, _, _ = strings.Cut("Additional IP Rights Grant"+patents, " is filed.")
	tree := fstest.MapFS{
		"LICENSE":               file(mit("root")),
		"a/COPYING":             file(mit("a")),
		"a/b/b.go":              file("package b"),
		"a/b/license.go":        file("package b"),
		"c/LICENSE":             file("GNU General Public License"), // no package of it is linked
		"LICENSES/Other.txt":    file(mit("other")),
		"bare/bare.go":          file("package bare"),
		"grant/PATENTS":         file(patents + " is filed."),
		"grant/p/p.go":          file("package p"),
		"onlynotice/NOTICE.txt": file("Copyright 2020 Ann"),
	}
	w, err := collect("dep", "v1", tree, []string{"a/b"})
	require.NoError(t, err)
	var files []string
	for _, text := range w.texts {
		files = append(files, text.file)
	}
	require.Equal(t, []string{"LICENSE", "LICENSES/Other.txt", "a/COPYING"}, files)

	_, err = collect("dep", "v1", tree, []string{"c"})
	require.ErrorContains(t, err, "dep: c/LICENSE")
	for _, dir := range []string{"bare", "grant", "onlynotice"} {
		root, err := fs.Sub(tree, dir)
		require.NoError(t, err)
		_, err = collect("dep", "v1", root, []string{"."})
		require.ErrorContains(t, err, "dep has no licence")
	}
}

// A program's NOTICE follows its go.mod and what its modules say.
func TestLinked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(content), 0o644))
	}
	gomod := "module example.org/app\n\ngo 1.26.0\n\nrequire (\n\texample.org/dep v1.2.3\n\texample.org/tool v1.0.0\n\texample.org/arm v1.0.0\n)\n"
	write("app/go.mod", gomod+"\nreplace example.org/dep => ../dep\n\nreplace example.org/tool => ../tool\n\nreplace example.org/arm => ../arm\n")
	write("app/main.go", "package main\n\nimport \"example.org/dep/in\"\n\nfunc main() { in.F() }\n")
	write("app/main_arm64.go", "package main\n\nimport _ \"example.org/arm\"\n")
	write("app/main_test.go", "package main\n\nimport _ \"example.org/tool\"\n")
	write("dep/go.mod", "module example.org/dep\n")
	write("dep/in/in.go", "package in\n\nfunc F() {}\n")
	write("tool/go.mod", "module example.org/tool\n")
	write("tool/tool.go", "package tool\n")
	write("arm/go.mod", "module example.org/arm\n")
	write("arm/arm.go", "package arm\n")
	write("arm/LICENSE", mit("Cho"))

	made := func() (string, error) {
		works, unlinked, err := linked(filepath.Join(dir, "app"))
		return notice(works, unlinked), err
	}
	_, err := made()
	require.ErrorContains(t, err, "example.org/dep has no licence")

	write("dep/LICENSE", mit("Ann"))
	first, err := made()
	require.NoError(t, err)
	for _, part := range []string{"example.org/dep replaced by ../dep: MIT\n", "example.org/arm replaced by ../arm: MIT\n", "\nexample.org/tool v1.0.0\n", "Copyright (c) 2020 Ann\n", "Copyright (c) 2020 Cho\n"} {
		require.Contains(t, first, part)
	}
	require.Equal(t, 1, strings.Count(first, "Permission is hereby granted"), "one text for both")

	write("dep/LICENSE", mit("Bob"))
	second, err := made()
	require.NoError(t, err)
	require.NotEqual(t, first, second)

	write("dep/in/COPYING", "GNU GENERAL PUBLIC LICENSE")
	_, err = made()
	require.ErrorContains(t, err, `example.org/dep: in/COPYING`)
	require.NoError(t, os.Remove(filepath.Join(dir, "dep/in/COPYING")))

	write("dep/in/other.go", "// SPDX-License-Identifier: LGPL-2.1-or-later\n\npackage in\n")
	_, err = made()
	require.ErrorContains(t, err, `other.go speaks of "lgpl"`)
	require.NoError(t, os.Remove(filepath.Join(dir, "dep/in/other.go")))

	write("app/main.go", "package main\n\nfunc main() {}\n")
	third, err := made()
	require.NoError(t, err)
	require.Contains(t, third, "\nexample.org/dep v1.2.3\n", "named in go.mod, not linked")
	require.NotContains(t, third, "Ann")
}
