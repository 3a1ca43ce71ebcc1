package ssh

import (
	"archive/tar"
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

func TestReadHosts(t *testing.T) {
	nodes, err := parseHosts(strings.NewReader(`
# the lab
n1 rack=R1 switch=S1
  root@10.0.0.2	rack=R1 # by address
ssh://op@n3.example:2222
2001:db8::4
`))
	require.NoError(t, err)
	require.Equal(t, []site.Node{{Name: "n1", Rack: "R1", Switch: "S1"}, {Name: "root@10.0.0.2", Rack: "R1"}, {Name: "op@n3.example:2222"}, {Name: "2001:db8::4"}}, nodes)
	var to []string
	for _, n := range nodes {
		to = append(to, Destination(n.Name))
	}
	require.Equal(t, []string{"n1", "root@10.0.0.2", "ssh://op@n3.example:2222", "2001:db8::4"}, to)

	for _, text := range []string{"\ufeffn1\r\nn2\r\n", "\xff\xfen\x001\x00\r\x00\n\x00n\x002\x00", "n1\nn2"} { // as editors save it
		nodes, err := parseHosts(strings.NewReader(text))
		require.NoError(t, err, "%q", text)
		require.Equal(t, []site.Node{{Name: "n1"}, {Name: "n2"}}, nodes)
	}
	for _, c := range []struct{ text, want string }{
		{"", "no hosts"},
		{"n1\n-oProxyCommand=id", `line 2: "-oProxyCommand=id" is no destination`},
		{"ssh://-oProxyCommand=id", "line 1: "},
		{"root@-oProxyCommand=id", "line 1: "},
		{"n1;id", "line 1: "},
		{"../n1", "line 1: "},
		{".", "line 1: "},
		{"n1\x1b[0m", "line 1: "},
		{"n\u202e1", "line 1: "},
		{"n1\n\nssh://n1", "line 3: n1 is on line 1 already"},
		{"n1 shelf=3", `line 1: unknown label "shelf"`},
		{"n1 rack", `line 1: "rack" is not KEY=VALUE`},
		{"n1 rack=\x1b[0m", "is not KEY=VALUE"},
		{"n1\nn2 rack=" + strings.Repeat("x", 2000), "line 2: longer than 1024 bytes"},
	} {
		_, err := parseHosts(strings.NewReader(c.text))
		require.ErrorContains(t, err, c.want, "%q", c.text)
	}
}

func FuzzReadHosts(f *testing.F) {
	f.Add("n1 rack=R1\nssh://a@b:22 # x")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, _ := parseHosts(strings.NewReader(text))
		for _, n := range nodes {
			if strings.HasPrefix(Destination(n.Name), "-") || strings.Contains(n.Name, "@-") || strings.ContainsAny(n.Name, "/ \t\n'\"$`\\;&|<>") || n.Name == ".." {
				t.Fatalf("%q is a node", n.Name)
			}
			if got, ok := split(id(fleet.Job{Fleet: "run", Node: n, Attempt: 7})); !ok || got != n.Name {
				t.Fatalf("%q is %q after all", n.Name, got)
			}
		}
	})
}

// No byte that a shell interprets reaches it: real shells print what they were given.
func FuzzCommand(f *testing.F) {
	var every strings.Builder
	for b := byte(1); b < 128; b++ {
		every.WriteByte(b)
	}
	for _, s := range []string{"", "'", "''\\''", "$(id)`id`", "-n", "a\nb\n", every.String(), "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) || len(s) > 10_000 {
			t.Skip("no argument holds it")
		}
		for _, shell := range []string{"sh", "bash"} {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			out, err := exec.Command(shell, "-c", "printf %s "+results.Command(s)).Output()
			if err != nil || string(out) != s {
				t.Fatalf("%s prints %q for %q: %v", shell, out, s, err)
			}
		}
	})
}

// The line that login shells see means the same to all of them: csh expands ! and ends
// at a line break even between single quotes, fish interprets \' and \\ there.
func TestBootstrapIsForAnyShell(t *testing.T) {
	require.Equal(t, 2, strings.Count(bootstrap, "'"))
	require.NotContains(t, bootstrap, "!")
	require.NotContains(t, bootstrap, "\n")
	require.NotContains(t, bootstrap, `\`)
	shells := 0
	for _, shell := range []string{"sh", "bash", "dash", "csh", "tcsh", "fish", "zsh", "ksh"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		shells++
		cmd := exec.Command(path, "-c", bootstrap) // #nosec G204 -- a test
		script := "read -r x; echo \"got $x\"\n"
		cmd.Stdin = strings.NewReader(fmt.Sprintf("%d\n%sdata\nmore\n", len(script), script))
		out, err := cmd.Output()
		require.NoError(t, err, shell)
		require.Equal(t, "got data\n", string(out), shell)
	}
	require.Greater(t, shells, 0)
}

// The clock of a node is where the exchange says, whatever the delays, and the half-width
// holds for delays of any asymmetry.
func TestClockExchange(t *testing.T) {
	for _, c := range []struct {
		name            string
		off             time.Duration
		there, back     time.Duration
		unit            time.Duration
		within, between float64
	}{
		{"equal delays", 60 * time.Second, 10 * time.Millisecond, 10 * time.Millisecond, 1, 0.011, 1e-6},
		{"all the delay on the way there", -5 * time.Second, 40 * time.Millisecond, 0, 1, 0.021, 0.021},
		{"all the delay on the way back", 250 * time.Millisecond, 0, 40 * time.Millisecond, 1, 0.021, 0.021},
		{"a date without fractions", 3 * time.Second, time.Millisecond, time.Millisecond, time.Second, 0.502, 0.502},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				theirs, ours := io.Pipe()
				answers, theirEnd := io.Pipe()
				go func() {
					for in, i := bufio.NewScanner(theirs), 0; in.Scan(); i++ {
						time.Sleep(c.there + time.Duration(i%3)*time.Second) // some rounds are slow
						now := time.Now().Add(c.off)
						if c.unit == time.Second {
							fmt.Fprintf(theirEnd, "%d.N\n", now.Unix())
						} else {
							fmt.Fprintf(theirEnd, "%d.%09d\n", now.Unix(), now.Nanosecond())
						}
						time.Sleep(c.back)
					}
				}()
				// The answer is under way while its sender sleeps.
				clock, err := exchange(ours, bufio.NewReader(&late{answers, c.back}))
				ours.Close()
				require.NoError(t, err)
				require.LessOrEqual(t, clock.Within, c.within)
				require.InDelta(t, c.off.Seconds(), clock.Offset, min(c.between, clock.Within+1e-6))
			})
		})
	}
	for _, bad := range []string{"", "noon", "-1.000000000", "99999999999999999999", "1e9"} {
		_, _, err := parseTime(bad)
		require.Error(t, err, bad)
	}
}

// late delivers what it reads after a delay.
type late struct {
	r io.Reader
	d time.Duration
}

func (l *late) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	time.Sleep(l.d)
	return n, err
}

func TestCorrectedStart(t *testing.T) {
	args := []string{"run", "--at", "2026-11-30T12:00:00Z", "--fleet", "run=a"}
	require.Equal(t, []string{"run", "--at", "2026-11-30T12:01:00.5Z", "--fleet", "run=a"}, corrected(args, &site.Clock{Offset: 60.5}))
	require.Equal(t, []string{"run", "--at", "2026-11-30T11:59:57Z", "--fleet", "run=a"}, corrected(args, &site.Clock{Offset: -3}))
	require.Equal(t, args, corrected(args, nil))
	require.Equal(t, args, corrected(args, &site.Clock{Offset: math.Inf(1)}))
	require.Equal(t, []string{"run", "--at"}, corrected([]string{"run", "--at"}, &site.Clock{Offset: 1}))
}

func FuzzState(f *testing.F) {
	for _, s := range []string{"unknown", "queued", "running", "gone", "restarted", "ended 0", "ended 3", "ended cancelled", "ended 256", "ended", "\x1b[0m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		state, detail, err := parseState(s)
		if err == nil && state.Phase == fleet.Ended && (state.Reason == "" || detail == "") {
			t.Fatalf("%q ended for no reason", s)
		}
		if strings.ContainsAny(state.Reason+detail, "\x1b\n") {
			t.Fatalf("%q is shown as %q, %q", s, state.Reason, detail)
		}
	})
}

type file struct {
	name string
	kind byte
	size int64 // in the header
	text string
}

func archive(t testing.TB, end bool, files ...file) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if f.kind == 0 {
			f.kind = tar.TypeReg
		}
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Size: max(f.size, int64(len(f.text))), Mode: 0o600}
		if f.kind != tar.TypeReg {
			h.Size, h.Linkname = 0, "/etc/passwd"
		}
		require.NoError(t, w.WriteHeader(h))
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if end {
		require.NoError(t, w.Close())
	}
	return b.String()
}

// bomb is an archive that goes on for a gigabyte.
func bomb(t testing.TB) string {
	return archive(t, false, file{name: "log", text: "all is well\n"}, file{name: "store/2026-11/01.json", size: 1 << 30})
}

func TestUnpack(t *testing.T) {
	const record = "store/2026-11/01KB.json"
	for _, c := range []struct {
		name, archive, want string
	}{
		{"an attempt", archive(t, true, file{name: "log", text: "ok\n"}, file{name: record, text: "{}"}, file{name: "store/2026-11/01KC.json.zst", text: "z"}), ""},
		{"nothing", "", ""},
		{"a path that climbs out", archive(t, true, file{name: "../../01.json", text: "{}"}), "which is no file of an attempt"},
		{"one that climbs out of the store", archive(t, true, file{name: "store/2026-11/../../../01.json"}), "which is no file of an attempt"},
		{"an absolute path", archive(t, true, file{name: "/etc/passwd"}), "which is no file of an attempt"},
		{"a link", archive(t, true, file{name: record, kind: tar.TypeSymlink}), "which is no file of an attempt"},
		{"a hard link", archive(t, true, file{name: record, kind: tar.TypeLink}), "which is no file of an attempt"},
		{"a FIFO", archive(t, true, file{name: record, kind: tar.TypeFifo}), "which is no file of an attempt"},
		{"escape sequences", archive(t, true, file{name: "store/2026-11/\x1b[2J.json"}), `"store/2026-11/�[2J.json", which is no`},
		{"a hidden file", archive(t, true, file{name: "store/2026-11/.ssh.json"}), "which is no file of an attempt"},
		{"a name twice", archive(t, true, file{name: record, text: "1"}, file{name: record, text: "2"}), "twice"},
		{"a gigabyte", bomb(t), "more than 1 MiB"},
		{"many that are large together", archive(t, true, file{name: record, text: strings.Repeat("x", 800<<10)}, file{name: "log", text: strings.Repeat("x", 300<<10)}), "more than 1 MiB"},
		{"too many files", many(t), "more than 1000 files"},
		{"text", strings.Repeat("login: ", 200), "no tar archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "part")
			err := unpackAtMost(strings.NewReader(c.archive), dir, 1<<20)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var refusal fleet.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Contains(t, refusal.Reason, c.want)
			require.NotContains(t, refusal.Reason, "\x1b")
		})
	}
	require.Error(t, unpackAtMost(strings.NewReader(archive(t, false, file{name: record, size: 100})), filepath.Join(t.TempDir(), "part"), 1<<20), "a connection that broke")
}

func many(t *testing.T) string {
	var files []file
	for i := range 1001 {
		files = append(files, file{name: fmt.Sprintf("store/2026-11/%04d.json", i)})
	}
	return archive(t, true, files...)
}

// A record that is there stays as it is; the log may have grown.
func TestPlaceOverwritesNoRecord(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"first", "second"} {
		part := filepath.Join(dir, ".part")
		require.NoError(t, unpack(strings.NewReader(archive(t, true, file{name: "log", text: text}, file{name: "store/2026-11/1.json", text: text})), part))
		require.NoError(t, place(part, dir))
		require.NoError(t, os.RemoveAll(part))
	}
	for name, want := range map[string]string{"log": "second", "2026-11/1.json": "first"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Binary: "/etc/hostname"})
	require.ErrorContains(t, err, "is no program for Linux")
	_, err = New(Options{Parallel: -1})
	require.ErrorContains(t, err, "1 to 1024")
	_, err = New(Options{Nodes: []site.Node{{Name: "-oProxyCommand=id"}}})
	require.ErrorContains(t, err, "is no destination")

	e, err := New(Options{Nodes: []site.Node{{Name: "n1"}}})
	require.NoError(t, err)
	defer e.Close()
	for _, j := range []fleet.Job{{Fleet: "a", Node: site.Node{Name: "n2"}, Attempt: 1}, {Fleet: "a/b", Node: site.Node{Name: "n1"}, Attempt: 1}, {Fleet: "..", Node: site.Node{Name: "n1"}, Attempt: 1}, {Fleet: "a", Node: site.Node{Name: "n1"}}} {
		_, err := e.Submit(t.Context(), j)
		require.ErrorAs(t, err, &fleet.Refusal{}, "%+v", j)
	}
}
