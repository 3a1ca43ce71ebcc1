//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/ssh/sshtest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// A rack over SSH begins at one time. Ctrl-C leaves the jobs running on their hosts; another
// process takes them up, and each host is measured once. A host that is listed by two names
// is measured once, too.
func TestFleetSSH(t *testing.T) {
	if testing.Short() {
		t.Skip("two hosts measure for half a minute: in the full form only")
	}
	l := sshtest.New(t)
	apart := ""
	if exec.Command("unshare", "--net", "true").Run() == nil {
		apart = `exec unshare --net sh -c "$SSH_ORIGINAL_COMMAND"` // with a lock of its own, as a machine has; else one waits for the other
	}
	l.Host("n1", apart)
	l.Host("n2", apart)
	l.Alias("again")
	perwatt, err := exec.LookPath("perwatt") // testscript put it there: this very program
	require.NoError(t, err)
	image, err := os.ReadFile(perwatt)
	require.NoError(t, err)
	for _, n := range []string{"n1", "n2"} { // that they need not be copied within the lead
		bin := l.Path(n + "/.cache/perwatt/bin")
		require.NoError(t, os.MkdirAll(bin, 0o700))
		require.NoError(t, os.Symlink(perwatt, filepath.Join(bin, fmt.Sprintf("perwatt-%x", sha256.Sum256(image)))))
	}
	store := l.Path("store")
	dir := fleet.Dir(store, "acceptance")
	start := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd, said := exec.Command(perwatt, append([]string{"fleet"}, args...)...), new(bytes.Buffer)
		cmd.Env = append(os.Environ(), "PERWATT_STORE="+store)
		cmd.Stdout, cmd.Stderr = said, said
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd, said
	}
	code := func(cmd *exec.Cmd) int {
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	events := func(event string) int {
		journal, _ := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
		return bytes.Count(journal, []byte(`"event":"`+event+`"`))
	}
	hosts := l.Write("hosts", "n1 rack=R1\nn2 rack=R1\nagain rack=R1\n")
	first, said := start(slices.Concat([]string{"run", "--on", "ssh", "--hosts", hosts, "--name", "acceptance", "--period", "500ms", "--together", "--lead", "12s",
		"--uses", "mining", "--device", "cpu", "--impl", "sha256d=generic", "--meter", "none", "--rounds", "1", "--sessions", "1",
		"--settle", "0s", "--warmup", "100ms", "--limit", "2s", "--window", "1s", "--interval", "20ms", "--"}, l.Options())...)
	defer func() {
		if t.Failed() {
			journal, _ := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
			t.Logf("%s\n%s", said, journal)
		}
	}()
	sshtest.Eventually(t, "both run", func() bool { return events("began") >= 2 })
	require.NoError(t, first.Process.Signal(os.Interrupt))
	require.Equal(t, exitInterrupted, code(first), said.String())
	require.Contains(t, said.String(), "perwatt fleet resume acceptance goes on, perwatt fleet cancel acceptance ends them")
	running := 0
	for _, n := range []string{"n1", "n2"} {
		at := n + "/.cache/perwatt/fleet/acceptance/" + n + "/1/"
		if _, err := os.Stat(l.Path(at + "code")); err == nil {
			continue
		}
		pid := strings.Fields(string(l.Read(at + "pid")))[0]
		require.NoError(t, exec.Command("kill", "-0", "--", "-"+pid).Run(), "the job of %s goes on", n)
		running++
	}
	require.Positive(t, running)

	require.NoError(t, os.Remove(filepath.Join(dir, binaryName))) // as where perwatt ended while it was copied
	second, said := start("resume", "acceptance", "--period", "500ms")
	require.Equal(t, exitData, code(second), said.String())
	_, list, err := fleet.Read(dir)
	require.NoError(t, err)
	require.Equal(t, []site.State{site.Done, site.Done, site.Absent}, []site.State{list[0].State, list[1].State, list[2].State}, said.String())
	var at *results.Record
	for i, o := range list[:2] {
		require.Len(t, o.Attempts, 1, o.Node)
		require.Len(t, o.Attempts[0].Records, 1, o.Node)
		require.Empty(t, o.Attempts[0].Note, o.Node)
		paths, _ := filepath.Glob(filepath.Join(store, "*", o.Attempts[0].Records[0]+".json*"))
		require.Len(t, paths, 1)
		rec, err := results.ReadFile(paths[0])
		require.NoError(t, err)
		require.Equal(t, 2, rec.Plan.Together())
		if i == 0 {
			at = rec
			continue
		}
		require.True(t, apart == "" || rec.Start.Before(at.End) && at.Start.Before(rec.End), "they measure side by side")
	}
	require.Equal(t, "it is the machine of n2 by another name: it would be measured twice", list[2].Reason)
	require.Equal(t, 2, events("submitting"), "nothing was submitted again")
	third, said := start("resume", "acceptance", "--period", "500ms")
	require.Equal(t, exitData, code(third), said.String())
	require.Contains(t, said.String(), "nothing was submitted")
}
