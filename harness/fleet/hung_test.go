package fleet_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results/site"
)

// A node that hangs and does not answer a cancellation holds up neither the next attempt of
// a node that was given up with it, nor the queries, nor Ctrl-C; in the end it is given up.
func TestNodeThatCannotBeCancelled(t *testing.T) {
	does := func(name string, attempt int) fleettest.Job {
		j := fleettest.Job{Takes: time.Minute}
		switch name {
		case node(2):
			j.Hangs, j.Deaf = true, 2*time.Minute
		case node(3):
			j.Hangs = attempt == 1
		}
		return j
	}
	const limit = 15 * time.Minute // of a job, and what the engine has to end it
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, does)
		r := w.Roster("test")
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), limit+time.Minute)
		defer cancel()
		_, err = f.Run(ctx, w.options())
		require.ErrorIs(t, err, fleet.ErrLeft)
		require.Equal(t, limit+time.Minute, time.Since(began), "Ctrl-C ends it at once")
		require.InDelta(t, time.Since(began)/(5*time.Second), w.Queries, 4, "one query a period, meanwhile too")
		all := w.outcomes(t)
		require.Len(t, all[node(3)].Attempts, 2, "it was given up with the other, and did not wait for it")
		require.Len(t, all[node(2)].Attempts, 1)
		require.NoError(t, f.Close())

		_, err = w.resume(t)
		require.NoError(t, err)
		require.Less(t, time.Since(began), 2*limit+10*time.Minute)
		require.Equal(t, map[string]site.State{node(1): site.Done, node(2): site.Failed, node(3): site.Done}, statesOf(w.outcomes(t)))
		require.Equal(t, "it did not end within 10m0s", w.outcomes(t)[node(2)].Reason)
		require.Contains(t, w.said, "jobs may go on where no node answered")
	})
}

// A user who cancels is told of such nodes, and the measurement can be resumed.
func TestCancelUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(n string, _ int) fleettest.Job {
			j := fleettest.Job{Hangs: true}
			if n == node(2) {
				j.Deaf = time.Minute
			}
			return j
		})
		f, err := fleet.New(w.dir, w.Roster("test"))
		require.NoError(t, err)
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = f.Run(ctx, w.options())
		require.ErrorIs(t, err, fleet.ErrLeft)
		n, err := f.Cancel(t.Context(), w)
		require.ErrorContains(t, err, "jobs may go on where no node answered: 1 job still in flight, which another cancel tries again")
		require.Equal(t, 3, n)
		require.Equal(t, map[site.State]int{site.Waiting: 2, site.Running: 1}, states(w.outcomes(t)))
		n, err = f.Cancel(t.Context(), w) // it still does not answer
		require.ErrorContains(t, err, "1 job still in flight")
		require.Equal(t, 1, n)
	})
}

// An engine that takes its time to say why jobs failed holds up no other.
func TestSlowExplanations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 100, func(n string, _ int) fleettest.Job {
			if n <= node(50) {
				return fleettest.Job{Fails: "NODE_FAIL", Slow: 2 * time.Minute}
			}
			return fleettest.Job{Takes: time.Minute}
		})
		began := time.Now()
		last := time.Time{}
		r := w.Roster("test")
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		defer f.Close()
		o := w.options()
		o.Update = func(p fleet.Progress) {
			if p.Done == 50 && last.IsZero() {
				last = time.Now()
			}
		}
		_, err = f.Run(t.Context(), o)
		require.NoError(t, err)
		require.Less(t, last.Sub(began), 90*time.Second, "the good nodes are done when they are")
		require.Equal(t, "NODE_FAIL", w.outcomes(t)[node(1)].Reason)
	})
}

// A node that does not answer when its job has ended is asked again: its record comes, and
// it need not measure twice. One that answers after it was given up gives its record to the
// next start.
func TestNodeAwayAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(n string, _ int) fleettest.Job {
			return fleettest.Job{Takes: time.Minute, Away: map[string]time.Duration{node(1): 30 * time.Second, node(2): time.Hour}[n]}
		})
		_, err := w.start(t, t.Context(), func(r *site.Roster) { r.Attempts = 1 })
		require.NoError(t, err)
		require.Equal(t, map[string]site.State{node(1): site.Done, node(2): site.Failed, node(3): site.Done}, statesOf(w.outcomes(t)))
		require.Contains(t, w.outcomes(t)[node(2)].Reason, "what it left could not be brought here: fetch from n00002: the node does not answer")
		require.Less(t, w.Fetched, 20, "it is not asked all the time")
		time.Sleep(time.Hour)
		n, err := w.resume(t)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, site.Done, w.outcomes(t)[node(2)].State)
		require.Len(t, w.records, 3)
	})
}

// Where no more jobs may be submitted than a few, each is submitted when there is room: the
// engine is not asked for all the others each time, nor are their names written down.
func TestLimitOfJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 200, func(string, int) fleettest.Job { return fleettest.Job{Takes: 10 * time.Minute} })
		w.Limit = 10
		began := time.Now()
		n, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 200, n)
		require.Equal(t, map[site.State]int{site.Done: 200}, states(w.outcomes(t)))
		for name, times := range w.Submits() {
			require.Equal(t, 1, times, name)
		}
		require.Less(t, time.Since(began), 20*12*time.Minute, "the room is used")
		journal, err := os.ReadFile(filepath.Join(w.dir, "journal.jsonl"))
		require.NoError(t, err)
		require.Less(t, len(journal), 200*2000)
		require.Less(t, len(w.said), 400)
	})
}
