//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/harness/fleet/slurm"
	"github.com/perwatt/perwatt/harness/fleet/slurm/slurmtest"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// labFaults is an environment variable: with it perwatt has, on some nodes of the lab,
// the faults of bad nodes.
const labFaults = "PERWATT_TEST_LAB_FAULTS"

// faulty is perwatt on a node of the lab. On n2 it fails; on n3 the first attempt does not
// end; on n4 the kernel gives right answers to the known questions only.
func faulty() {
	host, _ := os.Hostname()
	if self, err := os.Executable(); err == nil && os.Getenv(labFaults) == "1" && len(os.Args) > 1 && os.Args[1] == "run" {
		// The nodes of the lab are one machine. In a network of its own each has its own
		// lock, as a node has, and they measure side by side.
		if unshare, err := exec.LookPath("unshare"); err == nil && os.Setenv(labFaults, "apart") == nil {
			_ = syscall.Exec(unshare, append([]string{"unshare", "--net", self}, os.Args[1:]...), os.Environ()) // #nosec G204 -- a test
		}
	}
	switch {
	case os.Getenv(labFaults) == "":
	case host == "n2" && len(os.Args) > 1 && os.Args[1] == "run":
		os.Stderr.WriteString("perwatt: no such card\n")
		os.Exit(1)
	case host == "n3" && slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "run=acceptance,node=n3,attempt=1") }):
		os.Args = append(os.Args, "--rounds=10000")
	case host == "n4":
		for i := range sha256d.Table.Rows {
			row := &sha256d.Table.Rows[i]
			if right := row.Impl; right != nil {
				row.Impl = func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
					before := len(dst)
					if dst = right(dst, job, first, n); n != 1000 && n != 2001 && len(dst) > before {
						dst = dst[:before]
					}
					return dst
				}
			}
		}
	}
	main()
}

// A fleet on real Slurm: one node is drained, one fails, one is cut off in mid-run and
// comes back, one computes wrongly; the controller is restarted, the user interrupts and
// goes on.
func TestFleetSlurm(t *testing.T) {
	if testing.Short() {
		t.Skip("eight nodes of Slurm for a minute or two: in the full form only")
	}
	lab := slurmtest.Up(t, 8)
	out, err := exec.Command("scontrol", "update", "nodename=n1", "state=drain", "reason=fan").CombinedOutput()
	require.NoError(t, err, string(out))
	perwatt, err := exec.LookPath("perwatt") // testscript put it there: this very program
	require.NoError(t, err)
	store := filepath.Join(t.TempDir(), "store")
	dir := fleet.Dir(store, "acceptance")
	start := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd, said := exec.Command(perwatt, append([]string{"fleet"}, args...)...), new(bytes.Buffer)
		cmd.Env = append(os.Environ(), labFaults+"=1", "PERWATT_STORE="+store)
		cmd.Stdout, cmd.Stderr = said, said
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd, said
	}
	code := func(cmd *exec.Cmd) int {
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	await := func(what string, until func() bool) {
		t.Helper()
		for range 1500 {
			if until() {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		journal, _ := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
		t.Fatalf("%s: it did not come to that; the journal:\n%s", what, journal)
	}
	outcomes := func() map[string]site.Outcome {
		_, list, err := fleet.Read(dir)
		require.NoError(t, err)
		byNode := map[string]site.Outcome{}
		for _, o := range list {
			byNode[o.Node] = o
		}
		return byNode
	}
	jobs := func() int {
		out, err := exec.Command("squeue", "-h", "-t", "all", "-n", "perwatt:acceptance", "-o", "%i").Output()
		require.NoError(t, err)
		return bytes.Count(out, []byte("\n"))
	}

	brief := []string{"--uses", "mining", "--device", "cpu", "--impl", "sha256d=generic", "--meter", "none", "--rounds", "1", "--sessions", "1",
		"--settle", "0s", "--warmup", "100ms", "--limit", "1s", "--window", "500ms", "--interval", "20ms"}
	first, said := start(slices.Concat([]string{"run", "--on", "slurm", "--partition", "all", "--name", "acceptance", "--period", "500ms"},
		brief, []string{"--", "--begin=now"})...)
	partial := func() []string {
		names, _ := filepath.Glob(filepath.Join(dir, "nodes", "n3", "1", "*", "*.partial.json"))
		return names
	}
	await("n3 has measured something", func() bool {
		if len(partial()) == 0 && errors.Is(first.Process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			t.Fatal(said.String())
		}
		return len(partial()) > 0
	})
	lab.Do(t, "cut", "n3")
	lab.Do(t, "controller")
	require.NoError(t, first.Process.Signal(os.Interrupt))
	require.Equal(t, exitInterrupted, code(first), said.String())
	require.Contains(t, said.String(), "fleet resume")

	second, said := start("resume", "acceptance", "--period", "500ms")
	// The suite of engines, without a shared file system, on a node that is as it should be: meanwhile the
	// controller gives up n3, which does not answer.
	await("the controller has heard from n5 again", func() bool {
		out, _ := exec.Command("sinfo", "-h", "-n", "n5", "-o", "%T").Output()
		state := strings.TrimSpace(string(out))
		return slices.Contains([]string{"idle", "allocated", "mixed", "completing"}, state) // with * it is not responding
	})
	t.Run("unshared", func(t *testing.T) {
		e, err := slurm.New(slurm.Options{Fleet: "suite", Dir: store, Nodes: "n5", Binary: perwatt, Unshared: true})
		require.NoError(t, err)
		fleettest.TestEngine(t, fleettest.Suite{Engine: e, Dir: t.TempDir(), Args: brief, Long: append(slices.Clone(brief), "--rounds=10000"), Period: 200 * time.Millisecond})
	})
	await("n3 is down", func() bool {
		out, _ := exec.Command("sinfo", "-h", "-n", "n3", "-o", "%T").Output()
		return strings.HasPrefix(string(out), "down")
	})
	lab.Do(t, "join", "n3")
	require.Equal(t, exitData, code(second), said.String())

	got := outcomes()
	require.Len(t, got, 8)
	require.Equal(t, site.Absent, got["n1"].State)
	require.Contains(t, got["n1"].Reason, "drained: fan (root")
	require.Equal(t, "scontrol show node n1", got["n1"].More)
	require.Empty(t, got["n1"].Attempts)
	require.Equal(t, site.Failed, got["n2"].State)
	require.Contains(t, got["n2"].Reason, "no such card")
	require.Len(t, got["n2"].Attempts, 2)
	for _, n := range []string{"n3", "n4", "n5", "n6", "n7", "n8"} {
		o := got[n]
		require.Equal(t, site.Done, o.State, "%+v", o)
		want := 1
		if n == "n3" {
			want = 2
		}
		require.Len(t, o.Attempts, want, n)
		require.Len(t, o.Attempts[want-1].Records, 1, n)
		paths, _ := filepath.Glob(filepath.Join(store, "*", o.Attempts[want-1].Records[0]+".json*"))
		require.Len(t, paths, 1, "the record is in the store")
		f, err := results.LoadFile(paths[0])
		require.NoError(t, err)
		require.Empty(t, f.Verify())
		require.Equal(t, &results.Fleet{Run: "acceptance", Node: n, Attempt: want}, f.Record.Plan.Fleet)
		wrong := 0
		for _, run := range f.Record.Runs {
			for _, c := range run.Checks {
				if !c.OK {
					wrong++
				}
			}
		}
		require.Equal(t, n == "n4", wrong > 0, "%s: %d answers wrong", n, wrong)
	}
	require.Len(t, partial(), 1, "what the first attempt of n3 measured is kept")
	all, _ := filepath.Glob(filepath.Join(store, "20*", "*"))
	require.Len(t, all, 6)

	before := jobs()
	third, said := start("resume", "acceptance", "--period", "500ms")
	require.Equal(t, exitData, code(third), said.String())
	require.Contains(t, said.String(), "nothing was submitted")
	require.Equal(t, before, jobs())
	require.Equal(t, got, outcomes())

	report, said := start("report", "acceptance")
	require.Equal(t, exitGate, code(report), said.String())
	require.Contains(t, said.String(), "1 node computes wrongly: n4.")

	// A site that starts the jobs in its own way gets a script that Slurm takes.
	hosts := filepath.Join(t.TempDir(), "hosts")
	require.NoError(t, os.WriteFile(hosts, []byte("n5\nn6\n"), 0o600))
	print, said := start(slices.Concat([]string{"run", "--print", "sbatch", "--hosts", hosts, "--name", "printed"}, brief)...)
	require.Equal(t, exitOK, code(print), said.String())
	out, err = exec.Command("sbatch", "--test-only", "-w", "n5", filepath.Join(store, "fleet", "printed", "print", "node.sbatch")).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "to start at")

	// A rack in one job: its nodes measure at the same time, each says of how many it is one,
	// and a node that fails is named with the others.
	rack := fleet.Dir(store, "rack")
	together, said := start(slices.Concat([]string{"run", "--on", "slurm", "--together", "--rack", "leaf1", "--lead", "8s", "--name", "rack", "--period", "500ms", "--attempts", "1"}, brief)...)
	require.Equal(t, exitData, code(together), said.String())
	r, list, err := fleet.Read(rack)
	require.NoError(t, err)
	require.True(t, r.Together)
	require.Equal(t, []site.State{site.Absent, site.Failed, site.Done, site.Done}, []site.State{list[0].State, list[1].State, list[2].State, list[3].State}, said.String())
	var ends [2]time.Time // the last start and the first end
	ids := map[string]bool{}
	for i, o := range list[2:] {
		require.Equal(t, "of the 3 nodes of leaf1 that were to begin together, without a record: n2", o.Attempts[0].Note)
		ids[o.Attempts[0].Job] = true
		paths, _ := filepath.Glob(filepath.Join(store, "*", o.Attempts[0].Records[0]+".json*"))
		require.Len(t, paths, 1)
		rec, err := results.ReadFile(paths[0])
		require.NoError(t, err)
		require.Equal(t, 3, rec.Plan.Together())
		if ends[0].Before(rec.Start) {
			ends[0] = rec.Start
		}
		if i == 0 || rec.End.Before(ends[1]) {
			ends[1] = rec.End
		}
	}
	require.True(t, ends[0].Before(ends[1]), "they measure side by side")
	require.Len(t, ids, 1, "they have one job")
}
