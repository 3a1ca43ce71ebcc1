package fleet_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
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
		require.Equal(t, "of the 10 nodes of r0001 that were to begin together, without a record: n00003", w.outcomes(t)[node(1)].Attempts[0].Note)
		require.Empty(t, w.outcomes(t)[node(25)].Attempts[0].Note)
		require.Greater(t, w.outcomes(t)[node(3)].Attempts[1].Start, time.Time{})
	})
}

// An engine that can start several nodes by itself gets a rack as one job. It waits for a
// node that is missing, and the user is told; in the end the rack is measured without the
// node, which is absent. A node that fails is named with the records of the others.
func TestTogetherInOneJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(24 * time.Hour)
		w := newWorld(t, 30, nil)
		w.Does = func(name string, attempt int) fleettest.Job {
			j := fleettest.Job{Queued: 3 * time.Minute, Takes: time.Minute}
			switch {
			case name == node(3):
				j.Never = true
				w.Hosts[2].Absent, w.Hosts[2].More = "drained: fan (root)", "scontrol show node n00003"
			case name == node(15) && attempt == 1:
				j.Fails = "no such card"
			}
			return j
		}
		for i := range 10 {
			w.Hosts[i].Rack, w.Hosts[i].Switch = "", "leaf1" // as some engines know it
			w.Hosts[20+i].Rack = "r0002"                     // and one of twenty
		}
		r := w.Roster("test")
		r.Together, r.Lead = true, 60
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		defer f.Close()
		o := w.options()
		o.Engine, o.Patience, o.Window = fleettest.Allocating{Engine: w.Engine}, 30*time.Minute, 1
		n, err := f.Run(t.Context(), o)
		require.NoError(t, err)
		require.Less(t, time.Now(), back)
		require.Equal(t, 10+9+20+1, n)
		all := w.outcomes(t)
		require.Equal(t, map[site.State]int{site.Done: 29, site.Absent: 1}, states(all))
		require.Equal(t, "drained: fan (root)", all[node(3)].Reason)
		require.Contains(t, w.said, "the 10 nodes of leaf1 wait until they can begin together: Resources")
		require.Contains(t, w.said, "the 10 nodes of leaf1 did not begin together within 30m0s: Resources: measured without n00003")
		for i, k := range map[int]int{1: 9, 2: 9, 10: 9, 11: 20, 14: 20, 30: 20} {
			at := all[node(i)].Attempts
			rec, err := results.ReadFile(filepath.Join(w.dir, "nodes", node(i), strconv.Itoa(at[len(at)-1].Number), at[len(at)-1].Start.Format("2006-01"), at[len(at)-1].Records[0]+".json"))
			require.NoError(t, err)
			require.Equal(t, k, rec.Plan.Fleet.Together, node(i))
		}
		require.Equal(t, []string{"of the 20 nodes of r0002 that were to begin together, without a record: n00015", ""}, []string{all[node(30)].Attempts[0].Note, all[node(1)].Attempts[1].Note})
		require.Len(t, all[node(15)].Attempts, 2)
	})
}

// A rack whose submission was cut off is found again as a whole, by its first node.
func TestTogetherFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, func(string, int) fleettest.Job {
			return fleettest.Job{Takes: time.Minute}
		})
		r := w.Roster("test")
		r.Together, r.Lead = true, 60
		f, err := fleet.New(w.dir, r)
		require.NoError(t, err)
		defer f.Close()
		o := w.options()
		o.Engine = lost{fleettest.Allocating{Engine: w.Engine}}
		_, err = f.Run(t.Context(), o)
		require.NoError(t, err)
		require.Equal(t, map[site.State]int{site.Done: 4}, states(w.outcomes(t)))
		require.Equal(t, map[string]int{node(1): 1, node(2): 1, node(3): 1, node(4): 1}, w.Submits())
	})
}

// lost takes every allocation, and answers none.
type lost struct{ fleettest.Allocating }

func (l lost) Allocate(ctx context.Context, jobs []fleet.Job, lead time.Duration) (string, error) {
	_, err := l.Allocating.Allocate(ctx, jobs, lead)
	return "", errors.Join(err, errors.New("timed out"))
}
