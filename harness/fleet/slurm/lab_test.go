package slurm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/slurm/slurmtest"
	"github.com/perwatt/perwatt/results/site"
)

// node stands for perwatt on a node: it leaves a record, waits if its arguments say so,
// and fails on n3.
const node = `#!/bin/sh
all=$*
[ "$1 $2" = "run wait" ] && { trap 'kill $!; exit 9' TERM; sleep 600 & wait; }
[ "$1 $2" = "run until" ] && { touch begun; until [ -e ../go ]; do sleep 0.2; done; }
while [ "$1" != --store ]; do shift; done
echo "on $(hostname)"
echo "args $all"
mkdir -p "$2/2026-11" && hostname >"$2/2026-11/01KBABCDEFGHJKMNPQRSTVWXYZ.json"
[ "$(hostname)" != n3 ] || { echo "no such card" >&2; exit 1; }
`

// The engine against real Slurm: what it understands of the nodes, and its jobs with and
// without a shared file system.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("four nodes of Slurm: in the full form only")
	}
	lab := slurmtest.Up(t, 4)
	ctx := t.Context()
	control := func(args ...string) {
		t.Helper()
		out, err := exec.Command("scontrol", args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "perwatt")
	require.NoError(t, os.WriteFile(binary, []byte(node), 0o755))
	engine := func(o Options) *Engine {
		o.Fleet, o.Dir, o.Binary = "x", dir, binary
		e, err := New(o)
		require.NoError(t, err)
		return e
	}
	control("update", "nodename=n1", "state=drain", "reason=fan | is slow\nn2|down|and|loud|")

	t.Run("nodes", func(t *testing.T) {
		hosts, err := engine(Options{Partition: "all"}).Nodes(ctx)
		require.NoError(t, err)
		require.Len(t, hosts, 4)
		require.Regexp(t, `^drained: fan \| is slow n2\|down\|and\|loud\| \(root, 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\)$`, hosts[0].Absent)
		require.Equal(t, "scontrol show node n1", hosts[0].More)
		require.False(t, hosts[0].Idle)
		require.Equal(t, []fleet.Host{
			{Node: site.Node{Name: "n2", Host: "n2", Switch: "leaf1"}, Idle: true},
			{Node: site.Node{Name: "n3", Host: "n3", Switch: "leaf2"}, Idle: true},
			{Node: site.Node{Name: "n4", Host: "n4", Switch: "leaf2"}, Idle: true},
		}, hosts[1:])
		hosts, err = engine(Options{Nodes: "n[3-4],n2"}).Nodes(ctx)
		require.NoError(t, err)
		require.Len(t, hosts, 3)
		_, err = engine(Options{Nodes: "n[3-5]"}).Nodes(ctx)
		require.EqualError(t, err, `slurm: --nodes n[3-5]: there is no node "n5" in this cluster`)
		_, err = engine(Options{Partition: "nope"}).Nodes(ctx)
		require.EqualError(t, err, "slurm: partition nope has no nodes")
	})

	job := func(t *testing.T, e *Engine, name string, attempt int, args ...string) fleet.Job {
		t.Helper()
		j := fleet.Job{Fleet: "x", Node: site.Node{Name: name}, Attempt: attempt, Args: append([]string{"run"}, args...), Limit: 90 * time.Second}
		var err error
		j.Dir, err = os.MkdirTemp(dir, "it's "+name)
		require.NoError(t, err)
		j.ID, err = e.Submit(ctx, j)
		require.NoError(t, err)
		return j
	}
	rack := func(t *testing.T, e *Engine, attempt int, lead time.Duration, names ...string) (jobs []fleet.Job) {
		t.Helper()
		args := []string{"run"}
		if last := names[len(names)-1]; last == "until" {
			names, args = names[:len(names)-1], append(args, last)
		}
		for _, name := range names {
			j := fleet.Job{Fleet: "x", Node: site.Node{Name: name}, Attempt: attempt, Together: len(names), Args: args, Limit: 90 * time.Second}
			var err error
			j.Dir, err = os.MkdirTemp(dir, "it's "+name)
			require.NoError(t, err)
			jobs = append(jobs, j)
		}
		id, err := e.Allocate(ctx, jobs, lead)
		require.NoError(t, err)
		for i := range jobs {
			jobs[i].ID = id
		}
		return jobs
	}
	until := func(t *testing.T, e *Engine, j fleet.Job, want fleet.Phase) fleet.JobState {
		t.Helper()
		for range 600 {
			jobs, err := e.Jobs(ctx, []string{j.ID})
			require.NoError(t, err)
			s, ok := jobs[j.ID]
			require.True(t, ok, "job %s is not in %v", j.ID, jobs)
			require.Equal(t, site.Attempt{Job: j.Node.Name, Number: j.Attempt}, site.Attempt{Job: s.Node, Number: s.Attempt})
			if s.Phase == want {
				return s
			}
			require.Less(t, s.Phase, want)
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("job %s does not get there", j.ID)
		return fleet.JobState{}
	}
	record := func(j fleet.Job) string {
		b, _ := os.ReadFile(filepath.Join(j.Dir, "2026-11", "01KBABCDEFGHJKMNPQRSTVWXYZ.json"))
		return string(b)
	}
	for _, shared := range []bool{true, false} {
		t.Run(map[bool]string{true: "shared", false: "unshared"}[shared], func(t *testing.T) {
			// The user's options change neither the node nor the name.
			e := engine(Options{Partition: "all", Unshared: !shared, Options: []string{"-w", "n4", "-J", "other", "--begin=now"}})
			good, bad, long := job(t, e, "n2", 1), job(t, e, "n3", 1), job(t, e, "n4", 1, "wait")

			until(t, e, good, fleet.Ended)
			require.NoError(t, e.Fetch(ctx, good))
			require.Equal(t, "n2\n", record(good))
			require.Equal(t, "on n2", lastOf(t, good, "on "))

			s := until(t, e, bad, fleet.Ended)
			require.NotEmpty(t, s.Reason)
			require.NoError(t, e.Fetch(ctx, bad))
			require.Equal(t, "n3\n", record(bad), "what a failed job leaves comes too")
			reason, more := e.Explain(ctx, bad)
			require.Contains(t, reason, "exit code 1:0")
			require.Contains(t, reason+lastOf(t, bad, "no such"), "no such card")
			require.Equal(t, "cat "+quote(filepath.Join(bad.Dir, "log")), more)

			// It goes on while nobody watches, and ends when it is told to.
			until(t, e, long, fleet.Started)
			again := engine(Options{Unshared: !shared})
			until(t, again, long, fleet.Started)
			require.NoError(t, again.Cancel(ctx, []string{long.ID}))
			require.Equal(t, "CANCELLED", until(t, again, long, fleet.Ended).Reason)
			require.NoError(t, again.Fetch(ctx, long))
			require.Empty(t, record(long))
			reason, _ = again.Explain(ctx, long)
			require.True(t, strings.HasPrefix(reason, "CANCELLED"), reason)

			queue, err := e.queue(ctx)
			require.NoError(t, err)
			for _, q := range queue {
				require.NotEqual(t, fleet.Started, phase(q.state), "%+v", q)
			}
		})
	}

	t.Run("a waiting job", func(t *testing.T) {
		e := engine(Options{})
		j := job(t, e, "n1", 2)
		require.Eventually(t, func() bool {
			return strings.Contains(until(t, e, j, fleet.Queued).Reason, "ReqNodeNotAvail")
		}, time.Minute, 100*time.Millisecond)
		require.NoError(t, e.Cancel(ctx, []string{j.ID}))
		until(t, e, j, fleet.Ended)
	})

	t.Run("a directory that the node does not have", func(t *testing.T) {
		e := engine(Options{})
		j := fleet.Job{Node: site.Node{Name: "n2"}, Attempt: 3, Dir: filepath.Join(dir, "not", "there")}
		var err error
		j.ID, err = e.Submit(ctx, j)
		require.NoError(t, err)
		s := until(t, e, j, fleet.Ended)
		require.True(t, s.Again, "%+v", s)
		require.Contains(t, s.Reason, "n2 does not share "+dir)
	})

	// A job finds out by itself what its node shares: here n4 has an empty directory of the
	// same name. Its attempt does not count, and the next goes another way.
	t.Run("a node that does not share", func(t *testing.T) {
		lab.Do(t, "hide", "n4", dir)
		t.Cleanup(func() { lab.Do(t, "show", "n4", dir) })
		e := engine(Options{})
		good, j := job(t, e, "n2", 5), job(t, e, "n4", 5)
		require.True(t, until(t, e, j, fleet.Ended).Again)
		require.False(t, until(t, e, good, fleet.Ended).Again)
		next := job(t, e, "n4", 6)
		require.False(t, until(t, e, next, fleet.Ended).Again)
		require.NoError(t, e.Fetch(ctx, next))
		require.Equal(t, "n4\n", record(next))
		more := job(t, e, "n2", 6)
		until(t, e, more, fleet.Ended)
		require.NoFileExists(t, filepath.Join(more.Dir, archiveEnd), "the others go on as they did")
		for i := range 2 { // a rack with such a node, and where no node is known to share
			if i == 1 {
				e = engine(Options{})
				require.True(t, until(t, e, job(t, e, "n4", 7), fleet.Ended).Again)
			}
			jobs := rack(t, e, 7+i, time.Second, "n2", "n4")
			until(t, e, jobs[0], fleet.Ended)
			for _, j := range jobs {
				require.NoError(t, e.Fetch(ctx, j))
				require.Equal(t, j.Node.Name+"\n", record(j))
			}
		}
	})

	// One job for the nodes of a rack: they get one time to begin. One that fails or is cut
	// off leaves the others alone, and what it said is in its own log.
	for _, shared := range []bool{true, false} {
		t.Run(map[bool]string{true: "a rack", false: "a rack, unshared"}[shared], func(t *testing.T) {
			e := engine(Options{Unshared: !shared})
			began := time.Now()
			jobs := rack(t, e, 11, 90*time.Second, "n2", "n3", "n4")
			again := engine(Options{Unshared: !shared})
			until(t, again, jobs[0], fleet.Ended)
			starts := map[string]bool{}
			for _, j := range jobs {
				require.NoError(t, e.Fetch(ctx, j))
				require.Equal(t, j.Node.Name+"\n", record(j))
				_, at, ok := strings.Cut(lastOf(t, j, "args "), "--at ")
				require.True(t, ok)
				at, _, _ = strings.Cut(at, " ")
				starts[at] = true
				begins, err := time.Parse(time.RFC3339, at)
				require.NoError(t, err)
				require.Greater(t, begins.Sub(began), 89*time.Second)
				require.NoFileExists(t, filepath.Join(j.Dir, fleet.Note), "each has all of its node")
			}
			require.Len(t, starts, 1)
			reason, more := e.Explain(ctx, jobs[1])
			require.Regexp(t, `exit code 1.*: no such card$`, reason, "whichever of srun and the node wrote last")
			require.Equal(t, "cat "+quote(filepath.Join(jobs[1].Dir, "log")), more)
		})
	}
	t.Run("a rack that loses a node", func(t *testing.T) {
		e := engine(Options{})
		jobs := rack(t, e, 12, time.Second, "n2", "n4", "until")
		until(t, e, jobs[0], fleet.Started)
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(jobs[1].Dir, "begun"))
			return err == nil
		}, time.Minute, 50*time.Millisecond)
		lab.Do(t, "cut", "n4")
		control("update", "nodename=n4", "state=down", "reason=power") // which Slurm finds out in half a minute
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
		until(t, e, jobs[0], fleet.Ended)
		require.Equal(t, "n2\n", record(jobs[0]), "the others go on")
		require.Empty(t, record(jobs[1]))
		reason, _ := e.Explain(ctx, jobs[1])
		require.Contains(t, reason, "Node failure on n4")
		lab.Do(t, "join", "n4")
	})

	t.Run("refusals", func(t *testing.T) {
		for option, want := range map[string]bool{"--gres=gpu:1": true, "--partition=nope": true, "--reservation=r": true, "--frob": true, "--mem=1T": true, "-tx": true} {
			for _, shared := range []bool{true, false} {
				e := engine(Options{Unshared: !shared, Options: []string{option}})
				j := fleet.Job{Node: site.Node{Name: "n2"}, Attempt: 9, Dir: t.TempDir()}
				_, err := e.Submit(ctx, j)
				require.Error(t, err, option)
				require.Equal(t, want, errors.As(err, new(fleet.Refusal)), "%s: %v", option, err)
			}
		}
	})

	t.Run("forgotten", func(t *testing.T) {
		e := engine(Options{})
		reason, more := e.Explain(ctx, fleet.Job{ID: "999999", Dir: t.TempDir()})
		require.Equal(t, "Slurm no longer knows job 999999 and keeps no account of it", reason)
		require.Empty(t, more)
		require.Error(t, e.Cancel(ctx, []string{"-u root"}))
	})

	t.Run("the controller is restarted", func(t *testing.T) {
		e := engine(Options{})
		j := job(t, e, "n2", 4, "wait")
		until(t, e, j, fleet.Started)
		lab.Do(t, "controller")
		until(t, e, j, fleet.Started)
		require.NoError(t, e.Cancel(ctx, []string{j.ID}))
		until(t, e, j, fleet.Ended)
	})
}

// TestLabMany prints what many nodes cost: PERWATT_LAB_NODES=64 go test -v -run LabMany
// ./harness/fleet/slurm. They share one machine, so that its rates are a lower bound.
func TestLabMany(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("PERWATT_LAB_NODES"))
	if err != nil {
		t.Skip("PERWATT_LAB_NODES is not set to a number of nodes")
	}
	began := time.Now()
	slurmtest.Up(t, n)
	t.Logf("%d nodes are up after %.1f s", n, time.Since(began).Seconds())
	dir := t.TempDir()
	binary := filepath.Join(dir, "perwatt")
	require.NoError(t, os.WriteFile(binary, []byte(node), 0o755))
	e, err := New(Options{Fleet: "many", Dir: dir, Binary: binary})
	require.NoError(t, err)
	hosts, err := e.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, hosts, n)
	began = time.Now()
	for _, h := range hosts {
		j := fleet.Job{Node: h.Node, Attempt: 1, Args: []string{"run"}, Dir: filepath.Join(dir, h.Name), Limit: time.Minute}
		require.NoError(t, os.Mkdir(j.Dir, 0o755))
		_, err := e.Submit(t.Context(), j)
		require.NoError(t, err)
	}
	t.Logf("%.0f jobs submitted a second", float64(n)/time.Since(began).Seconds())
	queries, took := 0, time.Duration(0)
	for ended := 0; ended < n; queries++ {
		ended = 0
		asked := time.Now()
		jobs, err := e.Jobs(t.Context(), nil)
		require.NoError(t, err)
		took += time.Since(asked)
		require.Len(t, jobs, n)
		for _, s := range jobs {
			if s.Phase == fleet.Ended {
				ended++
			}
		}
		time.Sleep(time.Second)
	}
	records, err := filepath.Glob(filepath.Join(dir, "*", "2026-11", "*.json"))
	require.NoError(t, err)
	require.Len(t, records, n)
	t.Logf("%d queries, of %.0f ms each, until all had ended", queries, took.Seconds()*1e3/float64(queries))
	out, err := exec.Command("ps", "-C", "munged,slurmctld,slurmd", "-o", "rss=").Output()
	require.NoError(t, err)
	sum := 0
	for f := range strings.FieldsSeq(string(out)) {
		kib, err := strconv.Atoi(f)
		require.NoError(t, err)
		sum += kib
	}
	t.Logf("munged, slurmctld and the slurmds have %d MiB resident", sum/1024)
}

// lastOf returns the last line of a job's log that begins so.
func lastOf(t *testing.T, j fleet.Job, begins string) (last string) {
	b, err := os.ReadFile(filepath.Join(j.Dir, fleet.Log))
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, begins) {
			last = strings.TrimSpace(line)
		}
	}
	return last
}

// A command that does not answer, or that says too much, is ended.
func TestCommand(t *testing.T) {
	e := &Engine{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.command(ctx, "", "sh", "-c", "sleep 600 & wait")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = e.command(t.Context(), "", "sh", "-c", "head -c 70000000 /dev/zero")
	require.ErrorContains(t, err, "bytes of output")
	_, err = e.command(t.Context(), "", "sh", "-c", "echo \"no\nway\" >&2; head -c 100000 /dev/zero >&2; exit 2")
	require.ErrorContains(t, err, "slurm: sh: no way")
	require.Less(t, len(err.Error()), 2100)
	out, err := e.command(t.Context(), "in", "cat")
	require.NoError(t, err)
	require.Equal(t, "in", out)
}
