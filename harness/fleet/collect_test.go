package fleet_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// stopping is a store on a disk that ends what is done after some records, or fails once.
type stopping struct {
	*store.Store
	left atomic.Int64
	stop func()
	fail error
}

func (s *stopping) Settle() error {
	if err := s.fail; err != nil {
		s.fail = nil
		return err
	}
	return s.Store.Settle()
}

func (s *stopping) Take(f *results.File) error {
	if s.left.Add(-1) == 0 {
		s.stop()
	}
	if _, err := s.Store.Take(f); !errors.Is(err, store.ErrKept) {
		return err
	}
	return nil
}

// TestCollectStopped: wherever collecting is stopped, nothing half-written stays in the store,
// and the next time takes every record once.
func TestCollectStopped(t *testing.T) {
	const nodes = 40
	full := errors.New("no space left")
	for after, with := range map[int64]error{0: full, 1: context.Canceled, 7: context.Canceled, nodes: context.Canceled} {
		st, err := store.Open(t.TempDir())
		require.NoError(t, err)
		e := fleettest.New(nodes, nil)
		ctx, cancel := context.WithCancel(t.Context())
		f, err := fleet.New(fleet.Dir(st.Place(), "stopped"), e.Roster("stopped"))
		require.NoError(t, err)
		_, err = f.Run(ctx, fleet.Options{Engine: e, Store: &stopping{Store: st, stop: cancel}, Window: nodes, Period: time.Hour, Patience: time.Hour, Say: func(string) {}, Update: func(fleet.Progress) {
			if len(e.Submits()) == nodes {
				cancel()
			}
		}})
		require.ErrorIs(t, err, fleet.ErrLeft)
		require.NoError(t, e.Settle())
		found := func() (records int) {
			require.NoError(t, filepath.WalkDir(st.Place(), func(path string, d fs.DirEntry, err error) error {
				require.NotContains(t, path, ".tmp")
				if strings.HasSuffix(path, ".json") && !strings.Contains(path, "/fleet/") {
					records++
				}
				return err
			}))
			return records
		}

		ctx, cancel = context.WithCancel(t.Context())
		s := &stopping{Store: st, stop: cancel}
		if s.left.Store(after); after == 0 {
			s.fail = with
		}
		sum, err := f.Collect(ctx, s, func(int, int) {})
		require.ErrorIs(t, err, with)
		require.GreaterOrEqual(t, found(), sum.Records)
		last := 0
		again, err := f.Collect(t.Context(), &stopping{Store: st, stop: cancel}, func(done, of int) {
			require.Equal(t, last+1, done)
			require.Equal(t, nodes, of)
			last = done
		})
		require.NoError(t, err)
		require.Equal(t, nodes, last)
		require.Equal(t, nodes, sum.Records+again.Records)
		require.Equal(t, nodes, found())
		require.NoError(t, f.Close())
	}
}

// TestCollectByHand: files that came by hand are judged many at a time, each for the node and
// the attempt that it names, and taken once, beside hostile ones.
func TestCollectByHand(t *testing.T) {
	const nodes = 700
	st, err := store.Open(t.TempDir())
	require.NoError(t, err)
	e := fleettest.New(nodes, nil)
	f, err := fleet.New(fleet.Dir(st.Place(), "hand"), e.Roster("hand"))
	require.NoError(t, err)
	defer f.Close()
	dir := t.TempDir()
	for i := range nodes {
		began := time.Now()
		_, err := fleettest.Write(dir, fleettest.Record(fleet.Job{Fleet: "hand", Node: e.Hosts[i].Node, Attempt: 1}, began, began.Add(time.Second)))
		require.NoError(t, err)
	}
	_, err = fleettest.Write(dir, fleettest.Record(fleet.Job{Fleet: "hand", Node: site.Node{Name: "stranger"}, Attempt: 1}, time.Now(), time.Now()))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.json"), []byte("{"), 0o600))
	for n := range 2 {
		sum, err := f.Collect(t.Context(), &stopping{Store: st, stop: func() {}}, func(int, int) {}, dir, dir)
		require.NoError(t, err)
		require.Equal(t, []int{nodes, 0}[n], sum.Records)
		require.Len(t, sum.Files, 4, "%v", sum.Files)
	}
	for _, o := range f.Outcomes() {
		require.Equal(t, site.Done, o.State, o.Node)
	}
}
