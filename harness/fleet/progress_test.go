package fleet_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
)

// The time left never rises, and is right: for nodes that measure at the same time in
// several turns, for nodes of one machine that wait for one another though their jobs run,
// for an engine that starts what there is room for, and after an interruption.
func TestTimeLeft(t *testing.T) {
	number := func(name string) (n int) {
		for _, c := range name[1:] {
			n = 10*n + int(c-'0')
		}
		return n
	}
	for name, c := range map[string]struct {
		nodes, window int
		does          func(n int) fleettest.Job
		late          time.Duration // when a second process takes over
	}{
		"turns": {120, 24, func(n int) fleettest.Job {
			return fleettest.Job{Takes: 10*time.Minute + time.Duration(n%24)*time.Second}
		}, 0},
		"one machine": {40, 200, func(n int) fleettest.Job { return fleettest.Job{Takes: time.Duration(n) * 10 * time.Minute} }, 0},
		"a few at once": {80, 400, func(n int) fleettest.Job {
			return fleettest.Job{Queued: time.Duration((n-1)/5) * 10 * time.Minute, Takes: 10 * time.Minute}
		}, 0},
		"resumed": {40, 200, func(n int) fleettest.Job { return fleettest.Job{Takes: time.Duration(n) * 10 * time.Minute} }, 95 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, c.nodes, func(name string, _ int) fleettest.Job { return c.does(number(name)) })
				r := w.Roster("test")
				r.Limit = 1e6
				f, err := fleet.New(w.dir, r)
				require.NoError(t, err)
				o := w.options()
				o.Window, o.Patience = c.window, 1000*time.Hour
				if c.late > 0 {
					ctx, cancel := context.WithTimeout(t.Context(), c.late)
					defer cancel()
					_, err := f.Run(ctx, o)
					require.ErrorIs(t, err, fleet.ErrLeft)
					require.NoError(t, f.Close())
					f, err = fleet.Open(w.dir)
					require.NoError(t, err)
				}
				defer f.Close()
				type said struct {
					at   time.Time
					done int
					left time.Duration
				}
				var all []said
				o.Update = func(p fleet.Progress) {
					if p.Left > 0 {
						all = append(all, said{time.Now(), p.Done, p.Left})
					}
				}
				began := time.Now()
				_, err = f.Run(t.Context(), o)
				require.NoError(t, err)
				end, least := time.Now(), time.Duration(1<<62)
				for _, s := range all {
					require.LessOrEqual(t, s.left, least+least/10, "it rises at %v, with %d done", s.at.Sub(began), s.done)
					least = min(least, s.left)
					if s.done > c.nodes/4 {
						require.InDelta(t, end.Sub(s.at).Minutes(), s.left.Minutes(), 12, "with %d done", s.done)
					}
				}
				require.NotEmpty(t, all)
				require.Less(t, all[0].at.Sub(began), end.Sub(began)/2, "it is said early")
			})
		})
	}
}
