//go:build unix

package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// excessive is a record whose meters and runs, each by each, make more work than
// a record can be worth.
func excessive() *results.Record {
	rec := night(1, epoch, 1, 1e9)
	for i := range 6000 {
		m := rec.Meters[0]
		m.Name = fmt.Sprint("m", i)
		r := rec.Runs[0]
		r.Round, r.Traces = i+2, nil
		rec.Meters, rec.Runs = append(rec.Meters, m), append(rec.Runs, r)
	}
	return rec
}

// TestExcessiveRecord: a record that makes too much work costs its own row, which
// says why, and is not tried again until it is another file.
func TestExcessiveRecord(t *testing.T) {
	s, _, _ := history(t, 3)
	rec := excessive()
	rec.ID = night(1, epoch.AddDate(0, 0, 5), 1, 1).ID
	keep(t, s, rec)
	x := index(t, s)
	hs := all(t, x.Records(t.Context(), Filter{}))
	require.Len(t, hs, 4)
	bad := hs[3]
	require.Equal(t, unreadable, bad.State)
	require.Contains(t, bad.Error, "6001 channels of meters")
	require.Contains(t, bad.Error, "a record of its size may make no more")
	require.Len(t, rates(t, x, Filter{}), 3)

	writes := x.writes
	require.NoError(t, x.Update(t.Context()))
	require.Equal(t, writes, x.writes)
	_, err := x.Read(t.Context(), bad)
	require.ErrorContains(t, err, "6001 channels of meters")
}

// TestInterruptedLoad: what is read when the context ends is not held to be
// unreadable.
func TestInterruptedLoad(t *testing.T) {
	s, _, paths := history(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	entries, err := List(s.dir)
	require.NoError(t, err)
	require.Equal(t, paths[0], entries[0].Path)
	_, ok := load(ctx, &results.Reader{}, entries[0], nil)
	require.False(t, ok)
}

// TestInterruptedOpen: whenever the context ends while an index is opened, the error says
// so, also where SQLite calls off a query with an error of its own.
func TestInterruptedOpen(t *testing.T) {
	s, _, _ := history(t, 1)
	errs := 0
	for after := time.Duration(0); ; after += 200 * time.Microsecond {
		require.NoError(t, os.RemoveAll(filepath.Join(s.dir, indexName)))
		ctx, cancel := context.WithTimeout(t.Context(), after)
		x, err := OpenIndex(ctx, s.dir)
		cancel()
		if err == nil {
			require.NoError(t, x.Close())
			require.Greater(t, errs, 1)
			return
		}
		errs++
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}
