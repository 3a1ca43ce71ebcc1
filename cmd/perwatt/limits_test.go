package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// under returns a command that runs perwatt in a shell that has set limits.
func under(t *testing.T, limits string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "perwatt")
	require.NoError(t, os.Symlink(exe, name))
	cmd = exec.Command("/bin/sh", append([]string{"-c", limits + ` || exit 77; exec "$0" "$@"`, name}, args...)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// TestLimits: whatever the system limits, perwatt works or says in a sentence
// which limit it was. It never ends in a dump of Go's runtime.
func TestLimits(t *testing.T) {
	store := t.TempDir()
	for name, c := range map[string]struct {
		limits string
		args   []string
		code   int // -1: as the machine has it, 0 or 3
		want   string
	}{
		"address space":            {"ulimit -v 1048576", []string{"ls", "--store", store}, -1, ""},
		"of what takes much":       {"ulimit -v 1048576", []string{"node"}, -1, ""},
		"data":                     {"ulimit -d 250000", []string{"node"}, -1, ""},
		"stack":                    {"ulimit -s 128", []string{"ls", "--store", store}, -1, ""},
		"files":                    {"ulimit -n 10", []string{"ls", "--store", store}, -1, ""},
		"length of a file":         {"ulimit -f 1", []string{"schema"}, exitData, "(RLIMIT_FSIZE): raise ulimit -f"},
		"a wrong command":          {"ulimit -d 8000000", []string{"rum"}, exitUsage, `unknown command "rum"`},
		"a limit that matters not": {"ulimit -d 8000000", []string{"version"}, exitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := under(t, c.limits, c.args...)
			if c.limits == "ulimit -f 1" {
				file, err := os.Create(filepath.Join(t.TempDir(), "out"))
				require.NoError(t, err)
				defer file.Close()
				cmd.Stdout = file
			}
			_ = cmd.Run() // its exit code says it
			said := stderr.String()
			if strings.Contains(said, "ThreadSanitizer") {
				t.Skip("the race detector takes more")
			}
			if cmd.ProcessState.ExitCode() == 77 {
				t.Skip("the limit cannot be set:", said)
			}
			if strings.Contains(said, "runtime.main()") && !strings.Contains(said, "main.main()") {
				t.Skip("here Go's runtime does not come as far as perwatt")
			}
			require.NotContains(t, said+stdout.String(), "goroutine ")
			if c.code >= 0 {
				require.Equal(t, c.code, cmd.ProcessState.ExitCode(), said)
				require.Contains(t, said, c.want)
				return
			}
			switch cmd.ProcessState.ExitCode() {
			case exitOK:
			case exitData:
				require.Contains(t, said, "raise ulimit", said)
			default:
				t.Fatalf("%v: %s", cmd.ProcessState, said)
			}
		})
	}
}

// TestInterruptedUnderLimits: an interrupt reaches perwatt once, and nothing is
// left of it, whichever of the two processes it is sent to.
func TestInterruptedUnderLimits(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		group  bool
		code   int
	}{"to one": {syscall.SIGTERM, false, exitInterrupted}, "to all": {syscall.SIGINT, true, exitInterrupted}, "killed": {syscall.SIGKILL, false, -1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, _, stderr := under(t, "ulimit -d 8000000", "serve", "--listen", "127.0.0.1:0", "--store", t.TempDir())
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			up := make(chan struct{})
			cmd.Stderr = &trigger{on: "http://", do: func() { close(up) }}
			cmd.Stdout = cmd.Stderr
			require.NoError(t, cmd.Start())
			select {
			case <-up:
			case <-time.After(20 * time.Second):
				cmd.Process.Kill()
				t.Fatal("it is not up: ", stderr)
			}
			pid := cmd.Process.Pid
			if c.group {
				pid = -pid
			}
			require.NoError(t, syscall.Kill(pid, c.signal))
			cmd.WaitDelay = 10 * time.Second
			require.NotErrorIs(t, cmd.Wait(), exec.ErrWaitDelay, "something of it holds its output")
			if c.code >= 0 {
				require.Contains(t, []int{exitOK, c.code}, cmd.ProcessState.ExitCode())
			}
		})
	}
}
