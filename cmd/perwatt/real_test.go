package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// TestRealChange measures on this machine, which must be otherwise idle: twelve
// short sessions, six with a kernel that is 5 % slower (the build tag slowscan),
// six beside a load of one busy thread for each CPU. The first must be charged to
// the code, the second to the machine. Only the dates of the records are made
// up: one a night.
//
// The kernel is that of the control, in one thread, so that what a neighbour
// takes it takes from both, and the windows are short, so that he takes it from
// neighbours in time. The ratio of the two may differ between sessions by about
// half a per cent: see results/track, TestShortHistory. PERWATT_REAL is their
// rounds: the more, the less it does.
func TestRealChange(t *testing.T) {
	rounds := os.Getenv("PERWATT_REAL")
	if rounds == "" {
		t.Skip("measures for a quarter of a minute a round: PERWATT_REAL=60 go test -run RealChange -v -timeout 60m ./cmd/perwatt")
	}
	build := func(revision, tags string) string {
		out := filepath.Join(t.TempDir(), "perwatt")
		cmd := exec.Command("go", "build", "-tags", tags, "-ldflags", "-X main.revision="+revision, "-o", out, ".")
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
		return out
	}
	plain, slow := build("aaaaaaaaaaaa", ""), build("bbbbbbbbbbbb", "slowscan")
	scratch := t.TempDir()
	first := time.Date(2026, 3, 1, 1, 30, 0, 0, time.UTC)
	session := func(night int, program string) *results.Record {
		cmd := exec.Command(program, "run", "--preset", "smoke", "--uses", "control,mining", "--threads", "1", "--impl", "sha256d=stdlib", "--rounds", rounds,
			"--settle", "1ms", "--warmup", "100ms", "--window", "100ms", "--interval", "20ms", "--limit", "100ms", "--meter", "none", "--store", scratch, "--format", "json")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		require.NoError(t, cmd.Run(), errs.String())
		rec, err := results.Read(&out, "session")
		require.NoError(t, err)
		rec.Start = first.AddDate(0, 0, night)
		rec.ID = ulid.MustNew(ulid.Timestamp(rec.Start), ulid.DefaultEntropy()).String()
		for _, r := range rec.Summary.Rows {
			if m, ok := r.Metrics[results.RelativeThroughput]; ok {
				t.Logf("night %2d: %s %.4g hash/s, %.4f [%.4f, %.4f] of the control's", night, r.Scenario,
					float64(r.Metrics[results.Throughput].Value), float64(m.Value), float64(m.Low), float64(m.High))
			}
		}
		return rec
	}
	store := func(records ...*results.Record) string {
		dir := t.TempDir()
		for _, rec := range records {
			raw, err := results.Seal(rec)
			require.NoError(t, err)
			month := filepath.Join(dir, rec.Start.Format("2006-01"))
			require.NoError(t, os.MkdirAll(month, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
		}
		return dir
	}
	var before, slower, loaded []*results.Record
	for n := range 12 {
		before = append(before, session(n, plain))
	}
	for n := range 6 {
		slower = append(slower, session(12+n, slow))
	}
	// One that sleeps is woken on whichever CPU is idle, and takes nothing.
	var stop atomic.Bool
	var load sync.WaitGroup
	for range runtime.NumCPU() {
		load.Go(func() {
			for !stop.Load() {
			}
		})
	}
	for n := range 6 {
		rec := session(12+n, plain)
		rec.Tool.Revision = "cccccccccccc" // somebody committed, too
		loaded = append(loaded, rec)
	}
	stop.Store(true)
	load.Wait()

	type finding struct{ Verdict, Cause, Since, At string }
	found := func(records []*results.Record) []finding {
		var v struct{ Findings []finding }
		code, out, errs := tracked(t, "--store", store(records...), "--night", first.AddDate(0, 0, 16).Format(time.DateOnly), "--format", "json")
		require.Equal(t, exitOK, code, errs)
		require.NoError(t, json.Unmarshal([]byte(out), &v), out)
		t.Log(out)
		return v.Findings
	}
	near := []string{"2026-03-11", "2026-03-12", "2026-03-13"} // nights begin the day before
	require.Empty(t, found(before))
	code := found(append(before[:12:12], slower...))
	require.Len(t, code, 1)
	require.Equal(t, "code", code[0].Cause)
	require.Equal(t, "aaaaaaaaaaaa..bbbbbbbbbbbb", code[0].At)
	require.Contains(t, near, code[0].Since)
	machine := found(append(before[:12:12], loaded...))
	require.Len(t, machine, 1)
	require.Equal(t, "machine", machine[0].Cause)
	require.Contains(t, near, machine[0].Since)
}
