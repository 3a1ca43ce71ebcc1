package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/site"
)

// What a host beside the nodes recorded is joined to their records once, and compare
// reads the joined one.
func TestFleetCollectPower(t *testing.T) {
	t.Chdir(t.TempDir())
	rec := resultstest.Session(resultstest.Server("n1", 1), 1, 1, 3)
	f, err := fleet.New(fleet.Dir("kept", "f"), site.Roster{Version: site.RosterVersion, Name: "f", Start: rec.Start.Add(-time.Minute), Engine: "ssh", Args: []string{}, Sessions: 1, Attempts: 1, Limit: 600,
		Nodes: []site.Node{{Name: "n1", Rack: "r1"}}})
	require.NoError(t, err)
	require.NoError(t, f.Close())

	within, meter := results.Float(0.01), rec.Meters[0]
	lines := []results.RecordingLine{
		{At: rec.Start.Add(-time.Hour), Begin: &results.RecordingBegin{Version: results.RecordingVersion, Host: "admin", Interval: 1, Meters: []string{"snmp:pdu"}}},
		{At: rec.Start.Add(-time.Hour), Open: &meter}, {At: rec.Start, ClockError: &within},
	}
	rec.Plan.Fleet, rec.Meters = &results.Fleet{Run: "f", Node: "n1", Attempt: 1}, []results.Meter{}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		r.Anchor.ClockError = &within
		for k, s := range r.Traces[0].T {
			lines = append(lines, results.RecordingLine{At: rec.Start.Add(s.Duration()), Meter: meter.Name, Channel: meter.Channels[0].Name, Value: &r.Traces[0].V[k]})
		}
		r.Traces = slices.Clone(r.Traces[1:])
	}
	rec.Summary = results.Derive(rec)
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	var tape []byte
	for _, l := range lines {
		tape, err = l.AppendTo(tape)
		require.NoError(t, err)
	}
	for name, text := range map[string][]byte{"record.json": raw, "power.jsonl": tape, "nodes.csv": []byte("node,meter\nn1,snmp\n"), "bad.csv": []byte("node,meter\nn7,snmp\n"), "racks.csv": []byte("node,meter\nrack=r1,snmp\n")} {
		require.NoError(t, os.WriteFile(name, text, 0o600))
	}
	code, _, stderr := perwatt(t, t.Context(), "fleet", "collect", "f", "record.json", "--store", "kept")
	require.Equal(t, exitOK, code, stderr)

	for _, c := range []struct {
		argv []string
		code int
		want string
	}{
		{[]string{"--power", "power.jsonl"}, exitUsage, "give both"},
		{[]string{"--power", "power.jsonl", "--map", "bad.csv"}, exitUsage, "line 2: node n7 is not in the roster"},
		{[]string{"--power", "record.json", "--map", "nodes.csv"}, exitData, "line 1"},
		{[]string{"--power", "none.jsonl", "--map", "nodes.csv"}, exitUsage, "none.jsonl"},
	} {
		code, _, stderr := perwatt(t, t.Context(), append([]string{"fleet", "collect", "f", "--store", "kept"}, c.argv...)...)
		require.Equal(t, c.code, code, stderr)
		require.Contains(t, stderr, c.want)
	}
	for _, want := range []string{"joined to 1 record, to 0 before, 0 without", "joined to 0 records, to 1 before, 0 without"} {
		code, stdout, stderr := perwatt(t, t.Context(), "fleet", "collect", "f", "--store", "kept", "--power", "power.jsonl", "--map", "nodes.csv")
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, want)
	}
	files, err := filepath.Glob("kept/20*/*")
	require.NoError(t, err)
	require.Len(t, files, 3, "the record, the joined one, and the amendment")
	code, stdout, stderr := perwatt(t, t.Context(), "ls", "--store", "kept")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "superseded")

	for range 2 { // the rack has one node, and its meter sees no more
		code, stdout, stderr = perwatt(t, t.Context(), "fleet", "collect", "f", "--store", "kept", "--power", "power.jsonl", "--map", "racks.csv")
		require.Equal(t, exitOK, code, stderr)
		require.Contains(t, stdout, "power of racks: 1 joined, 0 without")
	}
	code, stdout, stderr = perwatt(t, t.Context(), "fleet", "report", "f", "--store", "kept", "--budget", "r1=100W", "--budget", "r9=1kW")
	require.Equal(t, exitGate, code, stderr)
	for _, want := range []string{"What the meters of racks read", "beyond the nodes", "by the rack's meter", "no such rack"} {
		require.Contains(t, stdout, want)
	}
	require.NoError(t, os.WriteFile("kept/fleet/f/racks.json", []byte("{"), 0o600))
	code, _, stderr = perwatt(t, t.Context(), "fleet", "report", "f", "--store", "kept")
	require.Equal(t, exitData, code)
	require.Contains(t, stderr, "racks.json")
}
