//go:build unix

package store

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestSessions(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	require.NoError(t, err)
	alone, together, wrong := night(1, epoch, 6, 1e9), night(1, epoch.AddDate(0, 0, 1), 6, 1e9), night(1, epoch.AddDate(0, 0, 2), 6, 1e9)
	together.Plan.Fleet = &results.Fleet{Run: "f", Node: "n1", Attempt: 1, Together: 32}
	run := &wrong.Runs[1]
	run.Status, run.Error = results.Void, "mining: the hash differs"
	run.Checks = []results.Check{{Use: "mining", Device: results.CPUDevice, Name: "block 125552", Detail: "the hash differs"}}
	wrong.Kernels = []results.Kernel{{Name: "sha256d", Device: results.CPUDevice, Impls: []results.Impl{
		{Name: "avx512", Supported: true, Check: "a wrong digest", Rate: results.Absent(), Peak: results.Absent()},
		{Name: "armv8", Check: "no sha2", Rate: results.Absent(), Peak: results.Absent()},
		{Name: "generic", Supported: true, Check: "ok", Rate: results.Absent(), Peak: results.Absent()}}}}
	wrong.Summary = results.Derive(wrong)
	keep(t, s, alone, together, wrong)
	x := index(t, s)

	got, err := x.Sessions(t.Context(), []string{wrong.ID, alone.ID, alone.ID, "01NONE", together.ID}, results.Throughput)
	require.NoError(t, err)
	require.Len(t, got, 3)
	headers := all(t, x.Records(t.Context(), Filter{}))
	for i, of := range got { // in the order of their identifiers, which is that of time
		require.Equal(t, headers[i], of.Header)
		require.Len(t, of.Figures, 1)
		f := of.Figures[0]
		require.Equal(t, []any{"mining", "mining", results.CPUDevice, "shani", 64, results.Throughput, results.Unit("hash/s")}, []any{f.Scenario, f.Use, f.Device, f.Impl, f.Threads, f.Metric, f.Unit})
		require.InEpsilon(t, 1e9, float64(f.Value), 1e-9)
	}
	require.Empty(t, got[0].Wrong)
	require.Equal(t, "kernel sha256d/avx512 on cpu: a wrong digest; mining: wrong answers: block 125552: the hash differs", got[2].Wrong)

	// What was measured together is a series of its own: nothing compares it with what
	// the same node gave alone.
	require.NotEqual(t, got[0].Group, got[1].Group)
	require.Equal(t, got[0].Group, got[2].Group)
	series := all(t, x.Series(t.Context(), Filter{Scenario: "mining", Metric: results.Throughput}))
	require.Len(t, series, 2)
	groups, err := x.Groups(t.Context())
	require.NoError(t, err)
	require.Equal(t, groups[got[0].Group].Name()+" together", groups[got[1].Group].Name())
	require.Equal(t, "rgrdwvlk", got[0].Group, "what was measured alone keeps its group")
}
