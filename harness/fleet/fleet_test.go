package fleet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// kept is a store in memory. It refuses what a store refuses.
type kept struct {
	mu      sync.Mutex
	records map[string]string // digest by identifier
	again   int
}

func (k *kept) Take(f *results.File) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.records == nil {
		k.records = map[string]string{}
	}
	switch digest, there := k.records[f.Record.ID]; {
	case !there:
		k.records[f.Record.ID] = f.Record.Digest.Record
	case digest != f.Record.Digest.Record:
		return fleet.ErrTaken
	default:
		k.again++
	}
	return nil
}

func (*kept) Settle() error { return nil }

// world is a fleet on simulated nodes, and what was said of it.
type world struct {
	*fleettest.Engine
	kept
	dir  string
	said []string
	last fleet.Progress
}

func newWorld(t *testing.T, nodes int, does func(string, int) fleettest.Job) *world {
	return &world{Engine: fleettest.New(nodes, does), dir: filepath.Join(t.TempDir(), "fleet", "test")}
}

func (w *world) options() fleet.Options {
	return fleet.Options{Engine: w, Store: &w.kept, Window: 200, Period: 5 * time.Second, Patience: time.Hour,
		Update: func(p fleet.Progress) { w.last = p }, Say: func(s string) { w.said = append(w.said, s) }}
}

// start begins the measurement and runs it until ctx ends.
func (w *world) start(t *testing.T, ctx context.Context, change func(*site.Roster)) (int, error) {
	t.Helper()
	r := w.Roster("test")
	if change != nil {
		change(&r)
	}
	f, err := fleet.New(w.dir, r)
	require.NoError(t, err)
	defer f.Close()
	return f.Run(ctx, w.options())
}

// resume goes on with it.
func (w *world) resume(t *testing.T) (int, error) {
	t.Helper()
	f, err := fleet.Open(w.dir)
	require.NoError(t, err)
	defer f.Close()
	return f.Run(t.Context(), w.options())
}

// outcomes reads what became of the nodes from the journal, by the name of the node.
func (w *world) outcomes(t *testing.T) map[string]site.Outcome {
	t.Helper()
	r, all, err := fleet.Read(w.dir)
	require.NoError(t, err)
	out := map[string]site.Outcome{}
	for i, o := range all {
		require.Equal(t, r.Nodes[i].Name, o.Node)
		out[o.Node] = o
	}
	return out
}

func states(all map[string]site.Outcome) map[site.State]int {
	n := map[site.State]int{}
	for _, o := range all {
		n[o.State]++
	}
	return n
}

func statesOf(all map[string]site.Outcome) map[string]site.State {
	out := map[string]site.State{}
	for n, o := range all {
		out[n] = o.State
	}
	return out
}

func node(i int) string { return fmt.Sprintf("n%05d", i) }

func TestEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleettest.TestEngine(t, fleettest.Suite{Engine: fleettest.New(3, func(_ string, attempt int) fleettest.Job {
			return fleettest.Job{Queued: time.Second, Takes: 3 * time.Second, Hangs: attempt == 2}
		}), Period: time.Second})
	})
}

// TestEveryWayOut: each way in which a node can end, once.
func TestEveryWayOut(t *testing.T) {
	does := map[string]map[int]fleettest.Job{
		node(1): {1: {Fails: "NODE_FAIL"}}, // and the second attempt succeeds
		node(2): {1: {Fails: "OUT_OF_MEMORY"}, 2: {Fails: "FAILED, exit code 1"}},
		node(3): {1: {Never: true}},
		node(4): {1: {Hangs: true}, 2: {Hangs: true}},
		node(5): {1: {Gone: true, Fails: "x"}, 2: {Gone: true, Fails: "x"}},
		node(6): {1: {Refuse: "Invalid account"}},
		node(8): {1: {Fails: "NODE_FAIL", Late: 20 * time.Second}, 2: {Takes: time.Minute}},
		node(9): {1: {Lost: true, Takes: time.Minute}},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9, func(n string, attempt int) fleettest.Job { return does[n][attempt] })
		w.Hosts[6].Idle, w.Hosts[6].Absent, w.Hosts[6].More = false, "drained: fan (root)", "scontrol show node n00007"
		n, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		all := w.outcomes(t)
		require.Equal(t, map[string]site.State{
			node(1): site.Done, node(2): site.Failed, node(3): site.Failed, node(4): site.Failed, node(5): site.Lost,
			node(6): site.Failed, node(7): site.Absent, node(8): site.Done, node(9): site.Done,
		}, statesOf(all))
		require.Equal(t, 1+1+2+1+2+2+2, n, "a job that Submit did not name is not counted")
		require.Equal(t, 1, w.Submits()[node(9)], "a job that was taken without an answer is found again")
		require.Zero(t, w.Submits()[node(7)])
		require.Equal(t, "drained: fan (root)", all[node(7)].Reason)
		require.Equal(t, "scontrol show node n00007", all[node(7)].More)
		require.Equal(t, "FAILED, exit code 1", all[node(2)].Reason)
		require.Equal(t, "OUT_OF_MEMORY", all[node(2)].Attempts[0].Reason)
		require.Contains(t, all[node(2)].More, "sacct -j ")
		require.Equal(t, "it did not start within 1h0m0s: Resources", all[node(3)].Reason)
		require.Equal(t, "it did not end within 10m0s", all[node(4)].Reason)
		require.Equal(t, "Invalid account", all[node(6)].Reason)
		require.Len(t, all[node(6)].Attempts, 1, "what is refused for good is not tried again")
		require.Empty(t, all[node(1)].Reason)
		require.Len(t, all[node(1)].Attempts[1].Records, 1)
		require.Len(t, all[node(8)].Attempts[0].Records, 1, "the late record of the first attempt")
		require.Len(t, all[node(8)].Attempts[1].Records, 1, "and that of the second")
		require.Len(t, w.records, 4)
		require.Equal(t, fleet.Progress{Done: 3, Lost: 6}, w.last)

		// A second start has nothing to do, but for the node that is back.
		w.Hosts[6].Absent, w.Hosts[6].Idle = "", true
		n, err = w.resume(t)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, site.Done, w.outcomes(t)[node(7)].State)
		asked := w.Queries
		n, err = w.resume(t)
		require.NoError(t, err)
		require.Zero(t, n, "a third does nothing")
		require.Equal(t, asked, w.Queries)
		require.Len(t, w.records, 5)
	})
}

// TestInterrupted: Ctrl-C leaves the jobs running, and the next start takes up each of
// them, and no other.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 50, func(string, int) fleettest.Job { return fleettest.Job{Takes: time.Minute} })
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		r := w.Roster("test")
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		_, err = fleet.Open(w.dir)
		require.ErrorIs(t, err, fleet.ErrHeld)
		require.ErrorContains(t, err, fmt.Sprintf("process %d of user %d", os.Getpid(), os.Getuid()))
		o := w.options()
		o.Window = 20
		n, err := f.Run(ctx, o)
		require.ErrorIs(t, err, fleet.ErrLeft)
		require.Equal(t, 40, n)
		require.NoError(t, f.Close())
		require.Equal(t, map[site.State]int{site.Done: 20, site.Running: 20, site.Waiting: 10}, states(w.outcomes(t)))
		require.Equal(t, 20, w.Most)

		n, err = w.resume(t)
		require.NoError(t, err)
		require.Equal(t, 10, n)
		require.Equal(t, map[site.State]int{site.Done: 50}, states(w.outcomes(t)))
		for name, times := range w.Submits() {
			require.Equal(t, 1, times, name)
		}
		_, err = fleet.New(w.dir, r)
		require.ErrorContains(t, err, "is there already", "a roster is written once")
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(_ string, attempt int) fleettest.Job { return fleettest.Job{Hangs: attempt == 1} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := w.start(t, ctx, nil)
		require.ErrorIs(t, err, fleet.ErrLeft)
		f, err := fleet.Open(w.dir)
		require.NoError(t, err)
		n, err := f.Cancel(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		n, err = f.Cancel(t.Context(), w)
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, f.Close())
		require.Equal(t, "cancelled", w.outcomes(t)[node(1)].Reason)
		_, err = w.resume(t)
		require.NoError(t, err)
		all := w.outcomes(t)
		require.Equal(t, map[site.State]int{site.Done: 3}, states(all))
		require.Equal(t, 2, all[node(1)].Attempts[1].Number)
	})
}

// TestEngineAway: while the engine does not answer, nothing is decided, and it is asked
// less and less often.
func TestEngineAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, func(string, int) fleettest.Job { return fleettest.Job{Takes: 10 * time.Second} })
		began := time.Now()
		w.Down = func(now time.Time) bool { d := now.Sub(began); return d > time.Second && d < time.Hour }
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, map[site.State]int{site.Done: 5}, states(w.outcomes(t)))
		require.Less(t, w.Queries, 60, "one every two minutes, in the end")
		require.Greater(t, w.Queries, 25)
		require.Contains(t, w.said[0], "unable to contact the controller")
		require.Contains(t, w.said, "the engine answers again")

		// An engine that refuses every job is not asked a hundred times.
		w = newWorld(t, 100, func(string, int) fleettest.Job { return fleettest.Job{Refuse: "Invalid account"} })
		_, err = w.start(t, t.Context(), nil)
		require.ErrorContains(t, err, "the engine refuses the jobs: Invalid account")
		require.Equal(t, map[site.State]int{site.Failed: 3, site.Waiting: 97}, states(w.outcomes(t)))

		// One that takes no job for a while has none of them twice.
		w = newWorld(t, 100, nil)
		began = time.Now()
		w.Down = func(now time.Time) bool { d := now.Sub(began); return d < 10*time.Minute }
		r := w.Roster("test")
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		defer f.Close()
		o := w.options()
		o.Hosts = w.Hosts
		n, err := f.Run(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, 100, n)
		for name, times := range w.Submits() {
			require.Equal(t, 1, times, name)
		}
		require.Len(t, w.outcomes(t)[node(1)].Attempts, 1)
	})
}

// TestScale: each node is submitted once, no more are in flight than the window, and
// there is one query a period, however many nodes there are.
func TestScale(t *testing.T) {
	nodes := 10_000
	if testing.Short() {
		nodes = 1500
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, nodes, func(string, int) fleettest.Job {
			return fleettest.Job{Queued: 2 * time.Second, Takes: 2 * time.Minute}
		})
		for i := range w.Hosts {
			w.Hosts[i].Idle = i >= nodes/2
		}
		n, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, nodes, n)
		require.Len(t, w.Submits(), nodes)
		require.Equal(t, nodes, len(w.records))
		require.Zero(t, w.again)
		for name, times := range w.Submits() {
			require.Equal(t, 1, times, name)
		}
		require.LessOrEqual(t, w.Most, 200)
		periods := int(time.Since(began)/(5*time.Second)) + 1
		require.InDelta(t, periods, w.Queries, 2)
		all := w.outcomes(t)
		require.Equal(t, map[site.State]int{site.Done: nodes}, states(all))
		var first, last time.Time // idle nodes went first
		for _, o := range all {
			if at := o.Attempts[0].Start; o.Node > node(nodes/2) && at.After(last) {
				last = at
			} else if o.Node <= node(nodes/2) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
		require.False(t, first.Before(last))
	})
}

func TestRosterRefused(t *testing.T) {
	for _, bad := range []func(*site.Roster){
		func(r *site.Roster) { r.Nodes = nil },
		func(r *site.Roster) { r.Nodes[1].Name = "../../etc" },
		func(r *site.Roster) { r.Nodes[1].Name = ".." },
		func(r *site.Roster) { r.Nodes[1].Name = "-oProxyCommand=x" },
		func(r *site.Roster) { r.Nodes[1].Name = "a,attempt=7" },
		func(r *site.Roster) { r.Nodes[1].Name = "a\x1b[2J" },
		func(r *site.Roster) { r.Nodes[1].Name = r.Nodes[0].Name },
		func(r *site.Roster) { r.Name = "../x" },
		func(r *site.Roster) { r.Attempts = 0 },
		func(r *site.Roster) { r.Sessions = 0 },
		func(r *site.Roster) { r.Limit = 0 },
	} {
		r := fleettest.New(2, nil).Roster("test")
		bad(&r)
		_, err := fleet.New(filepath.Join(t.TempDir(), "x"), r)
		require.Error(t, err, "%+v", r)
	}
}

func TestParsePlace(t *testing.T) {
	p, err := fleet.ParsePlace("run=a,node=n1,attempt=2,together=16")
	require.NoError(t, err)
	require.Equal(t, results.Fleet{Run: "a", Node: "n1", Attempt: 2, Together: 16}, p)
	for _, bad := range []string{"", "run=a", "run=a,node=n1", "run=a,node=n1,attempt=0", "run=a,node=n1,attempt=1,attempt=2", "run=a,node=n1,attempt=1,x=2", "run=../a,node=n1,attempt=1", "run=a,node=/,attempt=1", "run=a,node=n1,attempt=1,together=1"} {
		_, err := fleet.ParsePlace(bad)
		require.Error(t, err, bad)
	}
}
