package fleet_test

import (
	"slices"
	"strings"
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

// The nodes of a rack get one common start, and one that does not start in time is left
// behind: the rack does not wait for it, and it is tried again without the others.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := map[string][]string{} // value of --at by rack, of each job
		places := map[string]results.Fleet{}
		var mu sync.Mutex // of both
		began := time.Now()
		w := newWorld(t, 25, func(name string, attempt int) fleettest.Job {
			j := fleettest.Job{Takes: 3 * time.Minute, Write: func(job fleet.Job, rec *results.Record) error {
				at := slices.Index(job.Args, "--at")
				place, err := fleet.ParsePlace(job.Args[slices.Index(job.Args, "--fleet")+1])
				require.NoError(t, err)
				start := ""
				if at > 0 {
					start = job.Args[at+1]
				}
				mu.Lock()
				starts[job.Node.Rack] = append(starts[job.Node.Rack], start)
				places[job.Node.Name] = place
				mu.Unlock()
				rec.Plan.Fleet = &place
				_, err = fleettest.Write(job.Dir, rec)
				return err
			}}
			j.Never = name == node(3) && attempt == 1
			return j
		})
		_, err := w.start(t, t.Context(), func(r *site.Roster) { r.Together, r.Lead = true, 60 })
		require.NoError(t, err)
		require.Equal(t, map[site.State]int{site.Done: 25}, states(w.outcomes(t)))
		require.Less(t, time.Since(began), 20*time.Minute, "the bad node did not hold up its rack for its patience")
		for rack, all := range starts {
			slices.Sort(all)
			switch rack {
			case "r0001": // the one that came late, alone
				require.Len(t, all, 10)
				require.Empty(t, all[0])
				all = all[1:]
			case "r0003":
				require.Len(t, all, 5)
			}
			require.Len(t, slices.Compact(all), 1, "%s began at one time", rack)
			at, err := time.Parse(time.RFC3339, all[0])
			require.NoError(t, err)
			require.GreaterOrEqual(t, at.Sub(began), time.Minute)
		}
		require.Equal(t, 10, places[node(1)].Together)
		require.Equal(t, 5, places[node(25)].Together)
		require.Zero(t, places[node(3)].Together, "its second attempt was alone")
		require.Equal(t, 2, places[node(3)].Attempt)
		require.True(t, strings.Contains(w.outcomes(t)[node(3)].Attempts[0].Reason, "began together"))
		require.Greater(t, w.outcomes(t)[node(3)].Attempts[1].Start, time.Time{})
	})
}
