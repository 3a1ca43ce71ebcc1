package main

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// TestSecondRun: two runs at the same time are not kept apart unless one is told
// to wait, but the records of both say who the other was, and neither is valid.
func TestSecondRun(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	wait, signal := launch(t, "run 2/100", append(longRun, first)...)
	code, _, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining", "--window", "100ms", "--warmup", "100ms", "--settle", "0s", "--interval", "20ms", "--meter", "none", "--store", second)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "another perwatt run measured on this machine at the same time: process ")
	require.Contains(t, stderr, "perwatt run --wait")
	code, _, stderr = perwatt(t, t.Context(), "run", "--alone", "--fleet", "run=f,node=n1,attempt=1", "--wait", "10ms", "--meter", "none", "--store", filepath.Join(second, "no"))
	require.Equal(t, exitData, code, stderr)
	require.Contains(t, stderr, "--alone: nothing is measured: another perwatt run measures on this machine: process ")
	signal(syscall.SIGINT)
	_, _, said := wait()
	for _, dir := range []string{first, second} {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
		require.NoError(t, err)
		require.Len(t, files, 1, said)
		rec, err := results.ReadFile(files[0])
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(rec.Warnings, func(w results.Warning) bool { return w.Code == "second-run" && w.Run != "" }), "%v", rec.Warnings)
		at := slices.IndexFunc(rec.Summary.Validity.Findings, func(f results.Finding) bool { return f.Rule == "undisturbed" })
		require.Equal(t, results.Fail, rec.Summary.Validity.Findings[at].Outcome)
		require.Contains(t, rec.Summary.Validity.Findings[at].Figure, "second-run")
	}
	code, _, stderr = perwatt(t, t.Context(), "run", "--wait", "-1s", "--store", second)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--wait -1s: must be from 0 to 168h")
}
