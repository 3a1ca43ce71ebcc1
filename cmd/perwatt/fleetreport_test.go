package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// simulated measures nodes that do not exist, and returns the store.
func simulated(t *testing.T, nodes int, does func(node string, attempt int) fleettest.Job) string {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(dir)
	require.NoError(t, err)
	e := fleettest.New(nodes, does)
	r := site.Roster{Name: "acceptance", Start: time.Now(), Engine: "simulated", Args: []string{"run"}, Sessions: 1, Attempts: 1, Limit: 60}
	for _, h := range e.Hosts {
		r.Nodes = append(r.Nodes, h.Node)
	}
	f, err := fleet.New(fleet.Dir(dir, r.Name), r)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Run(t.Context(), fleet.Options{Engine: e, Store: keeper{st}, Window: 50, Period: time.Millisecond, Patience: time.Minute, Update: func(fleet.Progress) {}, Say: func(string) {}})
	require.NoError(t, err)
	return dir
}

// off is a node whose record is changed before it is written.
func off(change func(*results.Record)) fleettest.Job {
	return fleettest.Job{Write: func(job fleet.Job, rec *results.Record) error {
		change(rec)
		rec.Summary = results.Derive(rec)
		_, err := fleettest.Write(job.Dir, rec)
		return err
	}}
}

func TestFleetReport(t *testing.T) {
	wrong := off(func(r *results.Record) {
		r.Runs[0].Status, r.Runs[0].Error, r.Runs[0].Checks[0].OK = results.Void, "mining: wrong answers", false
	})
	slow := off(func(r *results.Record) {
		for i := range r.Runs[0].Traces[0].V {
			r.Runs[0].Traces[0].V[i] *= 0.9
		}
	})
	for _, c := range []struct {
		name   string
		does   map[string]fleettest.Job
		code   int
		counts map[site.Health]int
		named  []string
	}{
		{"all good", nil, 0, map[site.Health]int{site.Good: 12}, nil},
		{"one missing", map[string]fleettest.Job{"n00003": {Fails: "NODE_FAIL"}}, exitData, map[site.Health]int{site.Good: 11, site.Missing: 1}, []string{"n00003", "NODE_FAIL"}},
		{"one slow", map[string]fleettest.Job{"n00007": slow}, exitGate, map[site.Health]int{site.Good: 11, site.Outlier: 1}, []string{"n00007", "−10.0 %"}},
		{"something of everything", map[string]fleettest.Job{"n00003": {Fails: "NODE_FAIL"}, "n00005": wrong, "n00007": slow}, exitGate,
			map[site.Health]int{site.Good: 9, site.Missing: 1, site.Wrong: 1, site.Outlier: 1}, []string{"n00003", "n00005", "n00007"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := simulated(t, 12, func(node string, _ int) fleettest.Job { return c.does[node] })
			code, text, errs := perwatt(t, t.Context(), "fleet", "report", "--store", dir)
			require.Equal(t, c.code, code, errs)
			for _, name := range c.named {
				require.Contains(t, text, name)
			}
			code, text, _ = perwatt(t, t.Context(), "fleet", "report", "acceptance", "--store", dir, "--format", "json")
			require.Equal(t, c.code, code)
			var a site.Analysis
			require.NoError(t, json.Unmarshal([]byte(text), &a))
			require.Equal(t, c.counts, a.Counts)

			page := filepath.Join(t.TempDir(), "fleet.html")
			code, _, errs = perwatt(t, t.Context(), "fleet", "report", fleet.Dir(dir, "acceptance"), "-o", page)
			require.Equal(t, c.code, code, errs)
			body, err := os.ReadFile(page)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(body), "<!doctype html>") || strings.HasPrefix(string(body), "<!DOCTYPE html>"))
		})
	}
}

func TestFleetReportUsage(t *testing.T) {
	for _, argv := range [][]string{{"--budget", "12"}, {"--budget", "r1=-3kW"}, {"--budget", "=3kW"}, {"--budget", "r1=NaNW"}, {"--margin", "2"}, {"--as-of", "2026-01-01"}, {"-o", "x.pdf"}} {
		code, _, errs := perwatt(t, t.Context(), append([]string{"fleet", "report", "--store", t.TempDir()}, argv...)...)
		require.Equal(t, exitUsage, code, "%v: %s", argv, errs)
	}
	code, _, errs := perwatt(t, t.Context(), "fleet", "report", "--store", t.TempDir(), "--budget", "12kW", "--budget", "rack=3=900W")
	require.Equal(t, exitData, code, errs)
}
