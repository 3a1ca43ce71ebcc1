package fleet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results/site"
)

// deaf is an engine on which some nodes do not answer a cancellation.
type deaf struct{ *fleettest.Engine }

func (d deaf) Cancel(context.Context, []string) error {
	return fleet.Unconfirmed{Reason: "jobs may go on on n00002"}
}

// A node that hangs and does not answer is given up, and the fleet comes to its end.
func TestNodeThatCannotBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(node string, _ int) fleettest.Job {
			return fleettest.Job{Takes: time.Minute, Hangs: node == "n00002"}
		})
		r := w.Roster("test")
		r.Attempts = 1
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		defer f.Close()
		o := w.options()
		o.Engine = deaf{w.Engine}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		n, err := f.Run(ctx, o)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, []site.State{site.Done, site.Failed, site.Done}, []site.State{f.Outcomes()[0].State, f.Outcomes()[1].State, f.Outcomes()[2].State})
		require.Contains(t, w.said, "jobs may go on on n00002")
	})
}

// A user who cancels is told of such nodes, and the measurement can be resumed.
func TestCancelUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(string, int) fleettest.Job { return fleettest.Job{Hangs: true} })
		f, err := fleet.New(w.dir, w.Roster("test"))
		require.NoError(t, err)
		defer f.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = f.Run(ctx, w.options())
		require.ErrorIs(t, err, fleet.ErrLeft)
		n, err := f.Cancel(t.Context(), deaf{w.Engine})
		require.ErrorContains(t, err, "n00002")
		require.Equal(t, 3, n)
		for _, o := range f.Outcomes() {
			require.Equal(t, site.Waiting, o.State)
		}
	})
}
