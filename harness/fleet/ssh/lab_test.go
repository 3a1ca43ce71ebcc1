package ssh

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/harness/fleet/ssh/sshtest"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// The test binary stands in for perwatt on the hosts: its first argument says so, its
// second what it does.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "run" {
		os.Exit(m.Run())
	}
	store := os.Args[len(os.Args)-1]
	switch os.Args[2] {
	case "record":
		at := slices.Index(os.Args, "--fleet") + 1
		place, err := fleet.ParsePlace(os.Args[at])
		if place.Node == "liar" {
			place.Node = "n1"
		}
		rec := fleettest.Record(fleet.Job{Fleet: place.Run, Node: site.Node{Name: place.Node}, Attempt: place.Attempt}, time.Now().Add(-6*time.Second), time.Now())
		rec.Plan.Labels = map[string]string{"args": strings.Join(os.Args[3:at-1], "\n")}
		if _, bad := fleettest.Write(store, rec); err != nil || bad != nil {
			os.Exit(9)
		}
		fmt.Fprintln(os.Stderr, "measured")
	case "fail":
		fmt.Fprintln(os.Stderr, "perwatt: no \x1b[31mmeter\x1b[0m")
		os.Exit(3)
	case "stay":
		time.Sleep(10 * time.Minute) // it is ended by the test
	}
	os.Exit(0)
}

// lab is a number of hosts, and an engine's jobs on them.
type lab struct {
	*sshtest.Lab
	t *testing.T
}

func newLab(t *testing.T) *lab { return &lab{sshtest.New(t), t} }

func (l *lab) engine(o Options) *Engine {
	o.Nodes, o.Options = l.Nodes, l.Options()
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	o.Quiet = 2 * time.Second
	e, err := New(o)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { e.Close() })
	return e
}

// installed gives hosts the binary, so that it is not copied to each.
func (l *lab) installed(e *Engine, nodes ...string) {
	for _, name := range nodes {
		bin := l.Path(name + "/.cache/perwatt/bin")
		require.NoError(l.t, os.MkdirAll(bin, 0o700))
		self, err := os.Executable()
		require.NoError(l.t, err)
		require.NoError(l.t, os.Symlink(self, filepath.Join(bin, "perwatt-"+e.digest)))
	}
}

func (l *lab) job(node string, attempt int, args ...string) fleet.Job {
	dir := l.Path(fmt.Sprintf("fetched/%s/%d", node, attempt))
	require.NoError(l.t, os.MkdirAll(dir, 0o755))
	return fleet.Job{Fleet: "lab", Node: site.Node{Name: node}, Attempt: attempt, Dir: dir,
		Args: append(append([]string{"run"}, args...), "--fleet", fmt.Sprintf("run=lab,node=%s,attempt=%d", node, attempt))}
}

// countClients puts an ssh before the real one that writes down when it begins and ends,
// and returns how many there were at a time.
func (l *lab) countClients() func() int {
	real := powertest.Peer(l.t, "ssh", "openssh-client")
	l.Write("clients/ssh", fmt.Sprintf("#!/bin/sh\necho + >>%[1]s\n%[2]s \"$@\"\ncode=$?\necho - >>%[1]s\nexit $code\n", l.Path("clients/log"), real))
	l.t.Setenv("PATH", l.Path("clients")+":"+os.Getenv("PATH"))
	return func() int {
		now, most := 0, 0
		for _, c := range string(l.Read("clients/log")) {
			switch c {
			case '+':
				now++
			case '-':
				now--
			}
			most = max(most, now)
		}
		return most
	}
}

// record is what was fetched of a job.
func (l *lab) record(j fleet.Job) *results.Record {
	files, err := filepath.Glob(filepath.Join(j.Dir, "*", "*.json"))
	require.NoError(l.t, err)
	require.Len(l.t, files, 1)
	f, err := results.LoadFile(files[0])
	require.NoError(l.t, err)
	require.Empty(l.t, f.Verify())
	return f.Record
}

func (l *lab) submit(e *Engine, j fleet.Job) fleet.Job {
	id, err := e.Submit(l.t.Context(), j)
	require.NoError(l.t, err)
	j.ID = id
	return j
}

// reach asks until all jobs are in a phase.
func (l *lab) reach(e *Engine, phase fleet.Phase, jobs ...fleet.Job) map[string]fleet.JobState {
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	var known map[string]fleet.JobState
	defer func() {
		if l.t.Failed() {
			l.t.Log(known)
		}
	}()
	sshtest.Eventually(l.t, fmt.Sprintf("phase %d of %v", phase, ids), func() bool {
		var err error
		known, err = e.Jobs(l.t.Context(), ids)
		require.NoError(l.t, err)
		for _, id := range ids {
			if state, ok := known[id]; !ok || state.Phase != phase {
				return false
			}
		}
		return true
	})
	return known
}

// Eight hosts on real sshds: what they are, jobs from their submission to their records,
// and a process that ends while they run.
func TestHosts(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: the short form has TestHostsThatHarm")
	}
	l := newLab(t)
	l.Host("n1", "")
	l.Host("n2", `echo "Welcome to n2!"; eval "$SSH_ORIGINAL_COMMAND"`) // start-up files that print
	l.Host("n3", `export XDG_CACHE_HOME="$HOME/cache"; eval "$SSH_ORIGINAL_COMMAND"`)
	for _, n := range []string{"n4", "n5", "n6"} {
		l.Host(n, "")
	}
	l.Write("n7/bin/date", "#!/bin/sh\nexec /bin/date -d '60 seconds' \"$@\"\n") // one machine has one clock: its date is off
	l.Host("n7", "")
	l.Write("n8/bin/uname", "#!/bin/sh\n[ \"$1\" = -m ] && echo riscv128 || exec /bin/uname \"$@\"\n")
	l.Host("n8", "")
	clients := l.countClients()
	e := l.engine(Options{Parallel: 4})
	l.installed(e, "n4", "n5", "n6")

	hosts, err := e.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, hosts, 8)
	name, err := os.Hostname()
	require.NoError(t, err)
	for i, h := range hosts {
		require.Equal(t, l.Nodes[i].Name, h.Name)
		if h.Name == "n8" {
			require.Contains(t, h.Absent, "its machine is riscv128 and the binary is for")
			require.Contains(t, h.More, "n8")
			require.False(t, h.Idle)
			continue
		}
		require.Empty(t, h.Absent, h.Name)
		require.True(t, h.Idle)
		require.Equal(t, name, h.Host)
		off := 0.0
		if h.Name == "n7" {
			off = 60
		}
		require.InDelta(t, off, h.Clock.Offset, h.Clock.Within+1e-6, h.Name) // the clocks are one
		require.Greater(t, h.Clock.Within, 0.0)
	}

	// What a shell could interpret arrives as it is; a time to begin as the node's clock has it.
	odd := `'"$(id)` + "`id`\\ \n;&|<>*?!~#é"
	var ran []fleet.Job
	for _, n := range []string{"n1", "n2", "n7"} {
		ran = append(ran, l.submit(e, l.job(n, 1, "record", odd, "--at", "2026-11-30T12:00:00Z")))
	}
	failed, killed, cancelled := l.submit(e, l.job("n3", 1, "fail")), l.submit(e, l.job("n4", 1, "stay")), l.submit(e, l.job("n5", 1, "stay"))
	l.reach(e, fleet.Ended, append(ran, failed)...)
	l.reach(e, fleet.Started, killed, cancelled)
	for _, j := range append(ran, failed) {
		require.NoError(t, e.Fetch(t.Context(), j))
		require.NoError(t, e.Fetch(t.Context(), j), "a second time")
	}
	for _, j := range ran {
		args := l.record(j).Plan.Labels["args"]
		begins := args[strings.LastIndexByte(args, '\n')+1:]
		require.Equal(t, odd+"\n--at\n"+begins, args)
		at, err := time.Parse(time.RFC3339, begins)
		require.NoError(t, err)
		off := at.Sub(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)).Seconds()
		if j.Node.Name == "n7" {
			off -= 60
		}
		require.InDelta(t, 0, off, 5, "the clocks are one, but for the delays of a slow machine")
		require.NoFileExists(t, filepath.Join(j.Dir, ".part"))
	}
	reason, more := e.Explain(t.Context(), failed)
	require.Equal(t, "perwatt run ended with code 3: perwatt: no �[31mmeter�[0m", reason)
	require.Contains(t, more, "n3/cache/perwatt/fleet/lab/n3/1/log")
	out, err := exec.Command("sh", "-c", more).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "no \x1b[31mmeter", "the command says more")

	// The same attempt again starts nothing: its answer may have been lost.
	again := l.submit(e, l.job("n1", 1, "fail"))
	state := l.reach(e, fleet.Ended, again)[again.ID]
	require.Equal(t, "exit code 0", state.Reason)

	// This process ends; the jobs go on, and another one finds them.
	require.NoError(t, e.Close())
	e = l.engine(Options{Parallel: 4})
	l.reach(e, fleet.Started, killed, cancelled)
	sshtest.Eventually(t, "asked", func() bool {
		states := l.reach(e, fleet.Started, killed, cancelled)
		return states[killed.ID].Reason == "" && states[cancelled.ID].Reason == ""
	})
	pid := strings.Fields(string(l.Read("n4/.cache/perwatt/fleet/lab/n4/1/pid")))[0]
	require.NoError(t, exec.Command("kill", "-s", "KILL", "--", "-"+pid).Run())
	require.Equal(t, "killed", l.reach(e, fleet.Ended, killed)[killed.ID].Reason)
	reason, _ = e.Explain(t.Context(), killed)
	require.Contains(t, reason, "it was killed on the host")
	require.NoError(t, e.Cancel(t.Context(), []string{cancelled.ID, failed.ID}))
	pid = strings.Fields(string(l.Read("n5/.cache/perwatt/fleet/lab/n5/1/pid")))[0]
	require.Error(t, exec.Command("kill", "-0", "--", "-"+pid).Run(), "its process group is gone")
	require.Equal(t, "cancelled", l.reach(e, fleet.Ended, cancelled)[cancelled.ID].Reason)
	require.Equal(t, "3\n", string(l.Read("n3/cache/perwatt/fleet/lab/n3/1/code")), "what ended before stays")

	// A job that its host does not know was not started, and does not count.
	require.True(t, l.reach(e, fleet.Ended, fleet.Job{ID: "lab/n6/1"})["lab/n6/1"].Again)
	// A host that was restarted since.
	boot := l.Read("n5/.cache/perwatt/fleet/lab/n5/1/pid")
	l.Write("n6/.cache/perwatt/fleet/lab/n6/2/pid", strings.ReplaceAll(string(boot), "-", "0"))
	require.Equal(t, "restarted", l.reach(e, fleet.Ended, fleet.Job{ID: "lab/n6/2"})["lab/n6/2"].Reason)

	most := clients()
	require.LessOrEqual(t, most, 4, "clients at a time")
	require.Greater(t, most, 1)
	entries, err := os.ReadDir(l.Path("n1/.cache/perwatt/bin"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "the binary was copied once, and nothing is left of the copying")
}

// What one host does costs no other: one that is down, one that is not who it was, one
// that stops after it was probed, and hostile ones.
func TestHostsThatHarm(t *testing.T) {
	l := newLab(t)
	l.Host("good", "")
	l.At("down", powertest.FreePort(t, "tcp"))
	l.Host("stops", `[ -e "$HOME/probed" ] && exec cat >/dev/null; >"$HOME/probed"; eval "$SSH_ORIGINAL_COMMAND"`)
	l.Write("line/bin/uname", "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x\n")
	l.Host("line", "")
	l.Host("noise", "yes no")
	l.Write("escape/bin/uname", "#!/bin/sh\n[ \"$1\" = -n ] && printf '\\033]0;title\\007\\n' || exec /bin/uname \"$@\"\n")
	l.Host("escape", "")
	l.Write("gigabyte/bin/tar", "#!/bin/sh\nexec cat "+l.Write("bomb", bomb(t))+" /dev/zero\n")
	l.Host("gigabyte", "")
	l.Host("twin", "")
	l.Alias("other")
	l.Host("stranger", "")
	known := strings.SplitAfter(l.Known.String(), "\n")
	l.Known.Reset()
	l.Known.WriteString(strings.Join(known[:len(known)-2], "")) // the key of the last one is not known
	e := l.engine(Options{})

	hosts, err := e.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, hosts, 10)
	absent := map[string]fleet.Host{}
	for _, h := range hosts {
		absent[h.Name] = h
	}
	for name, want := range map[string]string{
		"good": "", "stops": "", "escape": "", "gigabyte": "", "twin": "",
		"down":     "Connection refused",
		"line":     "its answer is a line of more than 4096 bytes",
		"noise":    "its shell prints more than 1048576 bytes at start",
		"stranger": "Host key verification failed.",
	} {
		h := absent[name]
		require.Equal(t, want == "", h.Idle, name)
		if want == "" {
			require.Empty(t, h.Absent, name)
			continue
		}
		require.Contains(t, h.Absent, want, name)
		require.Equal(t, "ssh -F "+l.Path("config")+" "+name+" -v true", h.More)
		require.Nil(t, h.Clock)
	}
	require.Equal(t, "�]0;title�", absent["escape"].Host)
	twin := absent["other"]
	require.Equal(t, "it is the machine of twin by another name: it would be measured twice", twin.Absent)
	require.False(t, twin.Idle)
	out, err := exec.Command("sh", "-c", twin.More).Output()
	require.NoError(t, err)
	require.Regexp(t, bootID, strings.TrimSpace(string(out)), "the command says what both have")

	stops := l.submit(e, l.job("stops", 1, "record"))
	good, large := l.submit(e, l.job("good", 1, "record")), l.submit(e, l.job("gigabyte", 1, "record"))
	l.reach(e, fleet.Ended, good, large)
	l.reach(e, fleet.Queued, stops) // it holds a client, and nobody else
	require.NoError(t, e.Fetch(t.Context(), good))
	require.Equal(t, "good", l.record(good).Plan.Fleet.Node)
	err = e.Fetch(t.Context(), large)
	var refusal fleet.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Contains(t, refusal.Reason, "more than 256 MiB")
	left, err := os.ReadDir(large.Dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no more of it is kept than its beginning")
	require.Equal(t, left[0].Name(), refusal.File)
	info, err := left[0].Info()
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(1<<20))

	// A job on a host that no longer answers stays what it was.
	id := "lab/down/1"
	sshtest.Eventually(t, "no answer", func() bool {
		known, err := e.Jobs(t.Context(), []string{id})
		require.NoError(t, err)
		return known[id].Phase == fleet.Started && strings.Contains(known[id].Reason, "Connection refused")
	})
	var but fleet.Unconfirmed
	require.ErrorAs(t, e.Cancel(t.Context(), []string{id, good.ID}), &but)
	require.Regexp(t, "^jobs may go on where their end was not confirmed: down: .*Connection refused$", but.Reason)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, e.Fetch(ctx, good), context.Canceled)
	require.NoError(t, e.Close()) // it waits for no host
}

// Hosts that hang: one that accepts a connection and says nothing, one that lets the user
// in and says nothing, one that stops in the middle of its answer. A time-out ends each.
func TestHostsThatHang(t *testing.T) {
	l := newLab(t)
	l.Silent("silent")
	l.Host("hangs", "exec cat >/dev/null")
	l.Write("stops/bin/uname", "#!/bin/sh\n[ \"$1\" = -n ] && exec cat || exec /bin/uname \"$@\"\n")
	l.Host("stops", "")
	e := l.engine(Options{Timeout: 4 * time.Second, Connect: 2 * time.Second})
	hosts, err := e.Nodes(t.Context())
	require.NoError(t, err)
	for _, h := range hosts {
		require.Regexp(t, "no answer within 4s|timed out", h.Absent, h.Name)
		require.False(t, h.Idle)
	}
	j := l.submit(e, l.job("hangs", 1, "record"))
	require.Equal(t, "not started", l.reach(e, fleet.Ended, j)[j.ID].Reason)
	reason, more := e.Explain(t.Context(), j)
	require.Regexp(t, "^it was not started: (no answer within 4s|.*timed out)", reason)
	require.Contains(t, more, "tail -n 50 ")
}

// What every engine must do.
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: the short form has TestHostsThatHarm")
	}
	l := newLab(t)
	l.Host("n1", "")
	l.At("down", powertest.FreePort(t, "tcp"))
	fleettest.TestEngine(t, fleettest.Suite{Engine: l.engine(Options{}), Args: []string{"record"}, Long: []string{"stay"}, Period: 300 * time.Millisecond})
}

// A fleet of eight: records decide, the clock that is off is said, and each that fails is
// nodesOf takes the names of the nodes of records.
type nodesOf chan string

func (n nodesOf) Take(f *results.File) error { n <- f.Record.Plan.Fleet.Node; return nil }
func (nodesOf) Settle() error                { return nil }

// named with its reason while the others are done. A second start does nothing.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: the short form has TestHostsThatHarm")
	}
	l := newLab(t)
	for _, n := range []string{"n1", "n2", "n3", "liar"} {
		l.Host(n, "")
	}
	l.Write("skewed/bin/date", "#!/bin/sh\nexec /bin/date -d '60 seconds' \"$@\"\n")
	l.Host("skewed", "")
	l.Write("gigabyte/bin/tar", "#!/bin/sh\nexec cat "+l.Write("bomb", bomb(t))+" /dev/zero\n")
	l.Host("gigabyte", "")
	l.At("down", powertest.FreePort(t, "tcp"))
	l.Silent("silent")
	e := l.engine(Options{Connect: 5 * time.Second})
	l.installed(e, "n1", "n2", "n3", "liar", "skewed", "gigabyte")
	hosts, err := e.Nodes(t.Context())
	require.NoError(t, err)
	f, err := fleet.New(l.Path("store/fleet/lab"), site.Roster{Name: "lab", Start: time.Now(), Engine: "ssh", Args: []string{"record"}, Limit: 600, Sessions: 1, Attempts: 1, Nodes: l.Nodes})
	require.NoError(t, err)
	defer f.Close()
	kept := make(nodesOf, 100)
	run := func() int {
		n, err := f.Run(t.Context(), fleet.Options{Engine: e, Hosts: hosts, Window: 8, Period: 300 * time.Millisecond, Patience: time.Hour,
			Store: kept, Update: func(fleet.Progress) {}, Say: func(s string) { t.Log(s) }})
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 6, run())
	require.Equal(t, 0, run(), "a second start does nothing")
	close(kept)
	var nodes []string
	for n := range kept {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	require.Equal(t, []string{"n1", "n2", "n3", "skewed"}, nodes)

	became := map[string]site.Outcome{}
	for _, o := range f.Outcomes() {
		became[o.Node] = o
	}
	for name, want := range map[string]struct {
		state  site.State
		reason string
	}{
		"n1": {site.Done, ""}, "n2": {site.Done, ""}, "n3": {site.Done, ""}, "skewed": {site.Done, ""},
		"liar":     {site.Refused, "it claims to be of the node \"n1\""},
		"gigabyte": {site.Refused, "more than 256 MiB"},
		"down":     {site.Absent, "Connection refused"},
		"silent":   {site.Absent, "timed out"},
	} {
		o := became[name]
		require.Equal(t, want.state, o.State, "%s: %s", name, o.Reason)
		require.Contains(t, o.Reason, want.reason, name)
		if o.State != site.Done {
			require.NotEmpty(t, o.More, "a command says more of %s", name)
		}
	}
	head, err := os.ReadFile(l.Path("store/fleet/lab/" + became["gigabyte"].Attempts[0].Aside))
	require.NoError(t, err, "what is refused is kept aside")
	require.True(t, strings.HasPrefix(bomb(t), string(head[:1024])))
	require.InDelta(t, 60, became["skewed"].Clock.Offset, became["skewed"].Clock.Within+1e-6)
	require.InDelta(t, 0, became["n1"].Clock.Offset, became["n1"].Clock.Within+1e-6)
}
