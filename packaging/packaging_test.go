// Package packaging holds what a release needs beside the program: the image, the
// notices of packages, and the tests of all that. It has no code of its own.
package packaging

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var (
	binary = flag.String("binary", "", "perwatt to make a Debian package of, from bin/manual and .goreleaser.yaml")
	deb    = flag.String("deb", "", "Debian package to try, which goreleaser made")
	root   = flag.String("root", "", "root of a clean Debian to install the package in (default: an empty directory)")
)

// content is a file of a package, as nfpm reads it.
type content struct {
	Src, Dst, Packager string
}

// release is what these tests read of .goreleaser.yaml.
type release struct {
	Builds []struct {
		Main         string
		Goos, Goarch []string
		Env, Ldflags []string
	}
	Nfpms []struct {
		PackageName string `yaml:"package_name"`
		Maintainer  string
		Description string
		Section     string
		Priority    string
		Homepage    string
		Release     string
		Formats     []string
		Scripts     map[string]string
		Contents    []content
		Overrides   map[string]struct{ Dependencies []string }
	}
	Dockers []struct {
		Dockerfile string
		ExtraFiles []string `yaml:"extra_files"`
	} `yaml:"dockers_v2"`
	Archives []struct {
		Files []struct{ Src string }
	}
}

func readRelease(t *testing.T) (r release) {
	text, err := os.ReadFile("../.goreleaser.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &r))
	require.Len(t, r.Builds, 1)
	require.Len(t, r.Nfpms, 1)
	return r
}

// A release names files of the tree, and variables of the program: one that is
// not there would be found on the day of the release.
func TestRelease(t *testing.T) {
	r := readRelease(t)
	require.Equal(t, []string{"amd64", "arm64"}, r.Builds[0].Goarch)
	require.Contains(t, r.Builds[0].Env, "CGO_ENABLED=0")
	source, err := os.ReadFile("../cmd/perwatt/version.go")
	require.NoError(t, err)
	vars := regexp.MustCompile(`(?m)^var (.*) string$`).FindSubmatch(source)
	require.NotNil(t, vars)
	set := 0
	for _, flag := range r.Builds[0].Ldflags {
		if name, ok := strings.CutPrefix(flag, "-X main."); ok {
			name, _, _ = strings.Cut(name, "=")
			require.Contains(t, strings.Split(string(vars[1]), ", "), name)
			set++
		}
	}
	require.Equal(t, 3, set)

	var names []string
	for _, c := range r.Nfpms[0].Contents {
		names = append(names, c.Src)
		require.NotRegexp(t, `/(systemd|init\.d|cron)`, c.Dst, "a package starts nothing")
	}
	for _, f := range r.Archives[0].Files {
		names = append(names, f.Src)
	}
	names = append(names, r.Dockers[0].ExtraFiles...)
	names = append(names, r.Dockers[0].Dockerfile)
	for _, name := range names {
		if strings.HasPrefix(name, "bin/manual/") {
			continue // TestPackage installs what make manual writes
		}
		found, err := filepath.Glob("../" + strings.ReplaceAll(name, "**/", ""))
		require.NoError(t, err)
		require.NotEmpty(t, found, name)
	}
	require.Empty(t, r.Nfpms[0].Scripts, "a package starts nothing")
}

// What a forge runs is pinned by commits and may write nothing, but for the one
// job that makes a release. Text that others wrote is no part of a script.
func TestWorkflows(t *testing.T) {
	type job struct {
		Permissions map[string]string
		Timeout     int `yaml:"timeout-minutes"`
		Steps       []struct{ Uses, Run string }
	}
	var writes []string
	seen := map[string]bool{}
	require.NoError(t, filepath.WalkDir("../.github", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yml" && filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var any map[string]any
		require.NoError(t, yaml.Unmarshal(text, &any), name)
		seen[filepath.Base(name)] = true
		if filepath.Base(filepath.Dir(name)) != "workflows" {
			return nil
		}
		for line := range strings.Lines(string(text)) {
			if _, uses, ok := strings.Cut(line, "uses:"); ok {
				require.Regexp(t, `^ [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n$`, uses, "%s: an action is pinned by its commit, with its version behind", name)
			}
		}
		require.NotContains(t, string(text), "pull_request_target", "%s would give secrets to foreign code", name)
		var w struct {
			Permissions map[string]string
			Jobs        map[string]job
		}
		require.NoError(t, yaml.Unmarshal(text, &w), name)
		require.Equal(t, map[string]string{"contents": "read"}, w.Permissions, name)
		for id, j := range w.Jobs {
			require.NotZero(t, j.Timeout, "%s: %s", name, id)
			for scope, may := range j.Permissions {
				if may == "write" {
					writes = append(writes, filepath.Base(name)+" "+scope)
				}
			}
			for _, s := range j.Steps {
				require.NotContains(t, s.Run, "${{", "%s: values come to a script by its environment", name)
			}
		}
		return nil
	}))
	for _, name := range []string{"ci.yml", "release.yml", "dependabot.yml", "bug.yml", "feature.yml"} {
		require.True(t, seen[name], "no %s", name)
	}
	slices.Sort(writes)
	require.Equal(t, []string{"release.yml contents", "release.yml packages"}, writes)
}

// The package is installed by dpkg in a root where nothing is, and used there as
// its users do: the program, its manual, its completions, its notices.
func TestPackage(t *testing.T) {
	file := *deb
	switch {
	case file != "":
	case *binary != "":
		file = pack(t)
	default:
		t.Skip("makes and installs a Debian package: make package-check")
	}
	control := output(t, "dpkg-deb", "--info", file)
	require.NotRegexp(t, `(?m)^ .* (preinst|postinst|prerm|postrm|config)\b`, control, "nothing runs when it is installed")
	require.Contains(t, control, "Depends: libc6")
	require.Contains(t, control, "Architecture: "+runtime.GOARCH)

	dir, how := *root, []string{"chroot", *root, "/usr/bin/perwatt"}
	if dir != "" {
		t.Log("installed in a clean Debian, and run by chroot")
		put := filepath.Join(dir, "perwatt.deb")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(put, text, 0o600))
		output(t, "chroot", dir, "dpkg", "--install", "/perwatt.deb")
		require.Empty(t, output(t, "chroot", dir, "dpkg", "--verify", "perwatt"))
		require.NoFileExists(t, filepath.Join(dir, "usr/local/go"), "a clean root has no Go")
	} else {
		t.Log("installed in an empty directory, and run by path with this machine's glibc")
		dir = t.TempDir()
		how = []string{filepath.Join(dir, "usr/bin/perwatt")}
		if os.Geteuid() == 0 {
			for _, d := range []string{"updates", "info", "triggers"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "var/lib/dpkg", d), 0o755))
			}
			require.NoError(t, os.WriteFile(filepath.Join(dir, "var/lib/dpkg/status"), nil, 0o600))
			output(t, "dpkg", "--root="+dir, "--force-depends", "--install", file) // libc6 is no package of this root
		} else {
			output(t, "dpkg-deb", "-x", file, dir)
		}
	}

	store := "PERWATT_STORE=" + filepath.Join(t.TempDir(), "store")
	perwatt := func(args ...string) string {
		return output(t, "env", slices.Concat([]string{store}, how, args)...)
	}
	version := perwatt("version")
	t.Log(strings.TrimSpace(version))
	require.Regexp(t, `^perwatt (devel|v\d\S*) [0-9a-f]{12}\+? \d{4}-\d\d-\d\d go1\.\S+ linux/`+runtime.GOARCH+"\n$", version)
	require.Contains(t, perwatt("node"), "CPU")
	require.Contains(t, perwatt("version", "--licenses"), "END OF TERMS AND CONDITIONS")
	if *root != "" {
		t.Log(perwatt("run", "--preset", "smoke", "--store", "/store"))
		require.Contains(t, perwatt("ls", "--store", "/store"), " complete ")
	}

	pages, err := filepath.Glob(filepath.Join(dir, "usr/share/man/man1/perwatt*.1.gz"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 25)
	if _, err := exec.LookPath("mandoc"); err == nil {
		for _, page := range pages {
			require.Empty(t, lint(t, "mandoc", "-T", "lint", "-W", "error", page))
		}
	} else if _, err := exec.LookPath("groff"); err == nil {
		for _, page := range pages {
			// As lintian does: man-db alone hides what groff warns of.
			require.Empty(t, lint(t, "env", "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=80", "man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page))
		}
	} else {
		t.Log("skipped: the typesetting of man pages, without mandoc or groff")
	}
	for shell, script := range map[string]string{"bash": "bash-completion/completions/perwatt", "zsh": "zsh/vendor-completions/_perwatt", "fish": "fish/vendor_completions.d/perwatt.fish"} {
		script = filepath.Join(dir, "usr/share", script)
		require.FileExists(t, script)
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("skipped: completion by %s, which is not here", shell)
			continue
		}
		output(t, shell, "-n", script)
	}
	// What bash offers for "perwatt ver", from the installed script and program.
	offered := output(t, "bash", "-c", `PATH=$1:$PATH; . "$2"
		_get_comp_words_by_ref() { :; }; _init_completion() { words=(perwatt ver); cword=1; cur=ver; prev=perwatt; }
		__ltrim_colon_completions() { :; }
		COMP_TYPE=9 COMP_LINE="perwatt ver" COMP_WORDBREAKS=" "; __start_perwatt; printf '%s\n' "${COMPREPLY[@]}"`,
		"bash", filepath.Join(dir, "usr/bin"), filepath.Join(dir, "usr/share/bash-completion/completions/perwatt"))
	require.Contains(t, offered, "version")
	require.Contains(t, offered, "verify")

	docs := filepath.Join(dir, "usr/share/doc/perwatt")
	for _, name := range []string{"copyright", "NOTICE.gz", "changelog.gz", "changelog.Debian.gz", "README.md", "docs/method.md"} {
		require.FileExists(t, filepath.Join(docs, name))
	}
	require.Contains(t, output(t, "gzip", "-dc", filepath.Join(docs, "NOTICE.gz")), "github.com/spf13/cobra")
}

// pack makes a package of the same files, in the same places, as goreleaser
// would, with the tool that every Debian has.
func pack(t *testing.T) string {
	n := readRelease(t).Nfpms[0]
	tree := t.TempDir()
	put := func(src, dst string) {
		text, err := os.ReadFile(src)
		require.NoError(t, err)
		mode := fs.FileMode(0o644)
		if dst == "/usr/bin/perwatt" {
			mode = 0o755
		}
		dst = filepath.Join(tree, dst)
		require.NoError(t, os.MkdirAll(filepath.Dir(dst), 0o755))
		require.NoError(t, os.WriteFile(dst, text, mode))
	}
	put(*binary, "/usr/bin/perwatt")
	for _, c := range n.Contents {
		if c.Packager == "rpm" {
			continue
		}
		found, err := filepath.Glob("../" + c.Src)
		require.NoError(t, err)
		require.NotEmpty(t, found, "%s: of make manual?", c.Src)
		for _, src := range found {
			dst := c.Dst
			if strings.HasSuffix(dst, "/") {
				dst += filepath.Base(src)
			}
			put(src, dst)
		}
	}
	var control bytes.Buffer
	short, long, _ := strings.Cut(n.Description, "\n")
	for _, line := range []string{
		"Package: " + n.PackageName, "Version: 0.0.0-" + n.Release, "Architecture: " + runtime.GOARCH, "Maintainer: " + n.Maintainer, "Section: " + n.Section, "Priority: " + n.Priority,
		"Homepage: " + n.Homepage, "Depends: " + strings.Join(n.Overrides["deb"].Dependencies, ", "), "Description: " + short, " " + strings.ReplaceAll(long, "\n", "\n "),
	} {
		control.WriteString(line + "\n")
	}
	require.NoError(t, os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "DEBIAN/control"), control.Bytes(), 0o644))
	file := filepath.Join(t.TempDir(), "perwatt.deb")
	output(t, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, file)
	return file
}

// output is what a command prints; it must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s %q: %s%s", name, args, &out, &errs)
	return out.String()
}

// lint is what a command complains of.
func lint(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &out
	if name == "mandoc" {
		cmd.Stdout = &out
	}
	err := cmd.Run()
	if out.Len() == 0 {
		require.NoError(t, err)
	}
	return out.String()
}
