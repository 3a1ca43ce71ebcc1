package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// init lets the test binary be a daemon: it leaves session, process group and
// parent, then notes its number and stays.
func init() {
	note := os.Getenv("PERWATT_TEST_DAEMON")
	if note == "" || os.Args[0] == supervisorName {
		return
	}
	if len(os.Args) == 1 { // the first of two forks
		cmd := exec.Command("/proc/self/exe", "daemon")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if cmd.Start() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.WriteFile(note+".new", []byte(fmt.Sprint(os.Getpid())), 0o600) != nil || os.Rename(note+".new", note) != nil {
		os.Exit(1)
	}
	time.Sleep(time.Minute)
	os.Exit(0)
}

// daemon is a shell command that leaves a daemon behind and waits until it is
// up; its number is in the file note.
func daemon(t *testing.T, note string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return fmt.Sprintf("[ -e %[2]s ] || { PERWATT_TEST_DAEMON=%[2]s %[1]s >/dev/null 2>&1 </dev/null; until [ -e %[2]s ]; do sleep 0.01; done; }", exe, note)
}

// TestDaemons: what a command starts ends with it, however the command ends and
// however far it went from it: to another session and another parent.
func TestDaemons(t *testing.T) {
	const lasting, options = "; echo 5 W; sleep 60", ",boundary=wall,timeout=5s,period=50ms"
	for name, c := range map[string]struct {
		then, want string
		do         func(m interface{ Close() error }, cancel func())
	}{
		"the command ends":  {then: "; echo 5 W" + options},
		"the meter closes":  {then: lasting + options, do: func(m interface{ Close() error }, _ func()) { _ = m.Close() }},
		"the context ends":  {then: lasting + options, do: func(_ interface{ Close() error }, cancel func()) { cancel() }},
		"it is too slow":    {then: "; sleep 60,boundary=wall,timeout=300ms", want: "it printed no line and was killed"},
		"it is no meter":    {then: "; echo 5 A; sleep 60" + options, want: "is no reading"},
		"the command fails": {then: "; exit 3" + options, want: "exit status 3"},
		"it is killed":      {then: "; kill -9 $$" + options, want: "signal: killed"},
		"its group ends":    {then: "; kill -9 0" + options, want: "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			note := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m, err := dial(ctx, daemon(t, note)+c.then, nil)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
			} else {
				require.NoError(t, err)
				defer m.Close()
			}
			if c.do != nil {
				c.do(m, cancel)
			}
			if _, err := os.Stat(note); err != nil && name == "it is too slow" {
				t.Skip("on this loaded machine it was killed before it left anything")
			}
			goes(t, note)
		})
	}
}

// TestDiesWithUs: all of it ends also when perwatt is killed and can no longer
// end it.
func TestDiesWithUs(t *testing.T) {
	if note := os.Getenv("PERWATT_TEST_PID"); note != "" {
		_, err := dial(t.Context(), daemon(t, note)+"; echo $$ > "+note+"2; echo 5 W; while :; do sleep 1; done,boundary=wall,timeout=5s", nil)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(note+"3", nil, 0o600))
		time.Sleep(time.Minute)
		return
	}
	note := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiesWithUs$")
	cmd.Env = append(os.Environ(), "PERWATT_TEST_PID="+note)
	require.NoError(t, cmd.Start())
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(note + "3"); err == nil || time.Now().After(until) {
			break
		}
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	goes(t, note)
	goes(t, note+"2")
}

// TestForks: what goes on starting others is overtaken.
func TestForks(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "fork")
	// Each notes itself, and starts one that takes its place.
	require.NoError(t, os.WriteFile(script, []byte("echo $$ >> "+dir+"/pids; [ -e "+dir+"/stop ] || sh "+script+" &\nsleep 0.1\n"), 0o600))
	defer os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600) // nothing goes on if the test fails
	m, err := dial(t.Context(), "for i in 1 2 3 4; do sh "+script+" & done; until [ $(wc -l < "+dir+"/pids) -gt 8 ]; do sleep 0.01; done; echo 5 W; sleep 60,boundary=wall,timeout=60s,period=50ms", nil)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, m.Close())
	require.Less(t, time.Since(began), patience*2)
	left, err := os.ReadFile(filepath.Join(dir, "pids"))
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond)
	later, err := os.ReadFile(filepath.Join(dir, "pids"))
	require.NoError(t, err)
	require.Equal(t, len(left), len(later), "they go on")
	require.Greater(t, strings.Count(string(left), "\n"), 8)
}

// TestSupervisorKilled: without its supervisor a meter has no readings, and says why.
func TestSupervisorKilled(t *testing.T) {
	m := opened(t, "echo 5 W; kill -9 $PPID; sleep 60,boundary=wall,timeout=5s,period=200ms")
	_, err := m.Read(t.Context())
	if err == nil { // what it had printed before
		_, err = m.Read(t.Context())
	}
	require.ErrorContains(t, err, "the supervisor of the command ended: signal: killed")
}

// TestSignals: the command has signals as it would have them of a shell.
func TestSignals(t *testing.T) {
	m := opened(t, "(kill -TERM $(sh -c 'echo $PPID'); echo 4 W); (kill -INT $(sh -c 'echo $PPID'); echo 3 W); echo 5 W"+quick)
	require.Equal(t, 5.0, read(t, m).Value)
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("42 (sh) S 7 42 42 0 -1"))
	f.Add([]byte("42 (a) R 1 (b) Z) S 7 42 0"))
	f.Fuzz(func(t *testing.T, stat []byte) { _, _ = parseStat(stat) })
}

func TestStat(t *testing.T) {
	for stat, want := range map[string]process{
		"42 (sh) S 7 41 40 0 -1":      {pid: 42, parent: 7, group: 41},
		"42 (a) R 1 (b) Z) S 7 41 40": {pid: 42, parent: 7, group: 41},
		"42 (a\nb c) S 7 41":          {pid: 42, parent: 7, group: 41},
		"42 () R 1 42":                {pid: 42, parent: 1, group: 42},
	} {
		got, err := parseStat([]byte(stat))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, stat := range []string{"", "42", "42 (sh)", "42 (sh) S 7", "42 (sh) S x 7", "x (sh) S 7 7"} {
		_, err := parseStat([]byte(stat))
		require.Error(t, err, stat)
	}
}
