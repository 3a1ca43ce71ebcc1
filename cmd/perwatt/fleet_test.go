package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// TestFleetByHand: a record of perwatt run --fleet is collected by hand into the store that
// all other commands read, and status says which node is missing.
func TestFleetByHand(t *testing.T) {
	dir, hand := t.TempDir(), t.TempDir()
	f, err := fleet.New(fleet.Dir(dir, "hand"), site.Roster{
		Name: "hand", Start: time.Now(), Engine: "print", Args: []string{"--uses=mining"}, Sessions: 1, Attempts: 1, Limit: 60,
		Nodes: []site.Node{{Name: "n1"}, {Name: "n2"}},
	})
	require.NoError(t, err)
	code, _, stderr := perwatt(t, t.Context(), "fleet", "collect", "--store", dir)
	require.Equal(t, exitData, code)
	require.Contains(t, stderr, "another perwatt fleet works on it")
	require.NoError(t, f.Close())
	code, _, stderr = perwatt(t, t.Context(), "run", "--fleet", "run=hand,node=n1,attempt=1", "--alone", "--wait", "1m", "--preset", "smoke", "--uses", "mining", "--meter", "none",
		"--rounds", "1", "--settle", "0s", "--warmup", "100ms", "--window", "200ms", "--interval", "20ms", "--store", hand)
	require.Equal(t, exitOK, code, stderr)
	ended, end := context.WithCancel(t.Context())
	end()
	code, _, stderr = perwatt(t, ended, "fleet", "collect", "hand", hand, "--store", dir)
	require.Equal(t, exitInterrupted, code)
	require.Contains(t, stderr, "interrupted: 0 records taken; the same command takes the rest")
	for range 2 {
		code, stdout, stderr := perwatt(t, t.Context(), "fleet", "collect", "hand", hand, "--store", dir)
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, "n2    waiting")
	}
	entries, err := store.List(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	came, err := filepath.Glob(filepath.Join(hand, "*", "*.json"))
	require.NoError(t, err)
	sent, err := os.ReadFile(came[0])
	require.NoError(t, err)
	there, err := os.ReadFile(entries[0].Path)
	require.NoError(t, err)
	require.Equal(t, sent, there, "byte by byte")
	rec, err := results.ReadFile(entries[0].Path)
	require.NoError(t, err)
	require.Equal(t, &results.Fleet{Run: "hand", Node: "n1", Attempt: 1}, rec.Plan.Fleet)

	code, stdout, stderr := perwatt(t, t.Context(), "fleet", "status", "--store", dir, "--format", "json")
	require.Equal(t, exitOK, code, stderr)
	var s struct{ Outcomes []site.Outcome }
	require.NoError(t, json.Unmarshal([]byte(stdout), &s))
	require.Equal(t, []site.State{site.Done, site.Waiting}, []site.State{s.Outcomes[0].State, s.Outcomes[1].State})
	require.Equal(t, rec.ID, s.Outcomes[0].Attempts[0].Records[0])
	code, stdout, _ = perwatt(t, t.Context(), "ls", "--store", dir)
	require.Equal(t, exitOK, code)
	require.NotContains(t, stdout, "fleet", "its directory is no stranger")

	require.NoError(t, os.WriteFile(filepath.Join(hand, "x.json"), []byte("{}"), 0o600))
	code, _, stderr = perwatt(t, t.Context(), "fleet", "collect", "hand", filepath.Join(hand, "x.json"), "--store", dir)
	require.Equal(t, exitData, code)
	require.Contains(t, stderr, "x.json: ")
}

// TestFleetUsage: what cannot be meant is refused before anything is written.
func TestFleetUsage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for want, argv := range map[string][]string{
		`--on "": must be slurm or ssh`:          {"run"},
		`--on "x": must be slurm or ssh`:         {"run", "--on", "x"},
		"--on ssh needs --hosts":                 {"run", "--on", "ssh"},
		"--hosts has no meaning with --on slurm": {"run", "--on", "slurm", "--hosts", "h"},
		"it holds a secret":                      {"run", "--on", "slurm", "--meter", "redfish:https://bmc,password=hunter2"},
		"--export: it holds a secret":            {"run", "--on", "slurm", "--", "--export=TOKEN=hunter2"},
		"options of the engine follow --":        {"run", "--on", "slurm", "n1"},
		"is no name for a measurement":           {"run", "--on", "slurm", "--name", "../x"},
		"--in-flight 0: must be":                 {"run", "--on", "slurm", "--in-flight", "0"},
		`unknown preset "x"`:                     {"run", "--on", "slurm", "--preset", "x"},
		"unknown flag: --alone":                  {"run", "--on", "slurm", "--alone"},
		`"..x" is no name for a measurement`:     {"status", "..x"},
	} {
		code, _, stderr := perwatt(t, t.Context(), append([]string{"fleet", argv[0], "--store", dir}, argv[1:]...)...)
		require.Equal(t, exitUsage, code, stderr)
		require.Contains(t, stderr, want)
		require.NotContains(t, stderr, "hunter2")
	}
	code, _, stderr := perwatt(t, t.Context(), "fleet", "status", "--store", dir)
	require.Equal(t, exitData, code)
	require.Contains(t, stderr, "has no measurement of a fleet")
	left, err := os.ReadDir(filepath.Join(dir, "fleet"))
	require.ErrorIs(t, err, os.ErrNotExist, "%v", left)
}
