//go:build unix

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// limited is a command that keeps the setting it is given in a file, and a
// meter that reads it as watts.
func limited(t *testing.T) (apply, meter, log string) {
	dir := t.TempDir()
	script := filepath.Join(dir, "limit.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nset -e\ncd "+dir+"\necho \"$@\" >> log\n[ \"$1\" != 666 ] || { echo no such limit >&2; exit 3; }\necho \"$1 W\" > new\nmv new watts\n"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "watts"), []byte("1 W\n"), 0o600))
	return script + " {}", "exec:cat " + filepath.Join(dir, "watts") + ",boundary=wall,period=50ms", filepath.Join(dir, "log")
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

// Each setting is applied before it is measured, forth and back again; the page
// draws energy against watts, and no history takes the settings for nights.
func TestSweep(t *testing.T) {
	if testing.Short() {
		t.Skip("a session a power limit")
	}
	apply, meter, log := limited(t)
	dir := t.TempDir()
	page := filepath.Join(dir, "caps.html")
	if keep := os.Getenv("PERWATT_WRITE_PAGES"); keep != "" {
		page = filepath.Join(keep, "sweep.html")
	}
	// After a setting is applied, the idle window begins when settle is over: two
	// readings of the meter, delayed by other work, must not reach back beyond it.
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining", "--settle", "1s", "--window", "500ms", "--warmup", "500ms", "--sessions", "2", "--threads", "1",
		"--store", dir, "--meter", meter, "--steps", "150,200,300", "--apply", apply, "--report", page)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "150\n200\n300\n300\n200\n150\n", read(t, log))
	require.Contains(t, stdout, "setting 200, 2 of 3")
	require.Contains(t, stderr, "setting 150 stays as --apply left it")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 6)
	for _, f := range files {
		rec, err := results.LoadFile(f)
		require.NoError(t, err)
		s := rec.Record.Plan.Setting
		require.InDelta(t, map[string]float64{"150": 150, "200": 200, "300": 300}[s.Value], float64(rec.Record.Summary.Rows[0].Metrics[results.Power].Value), 1e-6)
		require.Equal(t, apply, s.Apply)
		require.Len(t, s.Sweep, 26)
	}
	html := read(t, page)
	require.Regexp(t, `Energy per work against watts at mining`, html)
	for _, setting := range []string{"150", "200", "300"} {
		require.Regexp(t, ` at `+setting+`<`, html)
	}
	code, stdout, stderr = perwatt(t, t.Context(), append([]string{"compare"}, files...)...)
	require.Equal(t, exitOK, code, stderr)
	require.Regexp(t, ` at 300 .* 2 × 1`, stdout)
	code, _, _ = tracked(t, "--store", dir, "--gate")
	require.Equal(t, exitData, code, "a sweep is no night")
}

func TestSweepThatFails(t *testing.T) {
	apply, meter, _ := limited(t)
	args := []string{"run", "--preset", "smoke", "--uses", "mining", "--window", "200ms", "--warmup", "200ms", "--interval", "20ms", "--threads", "1", "--store", t.TempDir(), "--meter", meter, "--apply", apply}
	code, _, stderr := perwatt(t, t.Context(), append(args, "--steps", "150,666,200")...)
	require.Equal(t, exitData, code)
	require.Contains(t, stderr, `setting 666 was not applied: exit status 3: the command printed "no such limit"; what was measured before is kept: `)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	code, _, stderr = perwatt(t, ctx, append(args, "--steps", "1,2", "--apply", "sleep 60{}")...)
	require.Equal(t, exitInterrupted, code, stderr)

	for _, c := range []struct{ steps, apply, want string }{
		{"", "x {}", "there are none"}, {"1,2", "", "--steps needs --apply"}, {"1,2", "true", "it has no {}"}, {"1,1", "true {}", "each setting once"},
		{"1,\x1b[2J", "true {}", "up to 40 characters of text"}, {"1,2", "/nowhere/limit {}", "/nowhere/limit"},
	} {
		args := append([]string{}, args[:len(args)-2]...)
		if c.steps != "" {
			args = append(args, "--steps", c.steps)
		}
		if c.apply != "" {
			args = append(args, "--apply", c.apply)
		}
		code, _, stderr := perwatt(t, t.Context(), args...)
		require.Equal(t, exitUsage, code, "%v", c)
		require.Contains(t, stderr, c.want)
	}
}

// A device that mines goes through the settings while it stays connected, a
// record for each.
func TestPoolSweep(t *testing.T) {
	t.Parallel()
	apply, meter, log := limited(t)
	p := play(t, "--duration", "2s", "--meter", meter, "--steps", "1000,3000", "--apply", apply+" {worker}")
	p.miner("rig.1", random())
	code := <-p.ended
	require.Equal(t, exitOK, code, &p.stderr)
	require.Equal(t, "1000 rig.1\n3000 rig.1\n", read(t, log))
	require.Contains(t, p.stdout.String(), "rig.1 at 3000")
	require.Contains(t, p.stderr.String(), `setting 3000 of worker "rig.1" stays`)
	files, err := filepath.Glob(filepath.Join(p.dir, "*", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for i, want := range []float64{1000, 3000} {
		rec, err := results.LoadFile(files[i])
		require.NoError(t, err)
		require.Equal(t, results.Complete, rec.Record.State)
		require.Equal(t, i+1, rec.Record.Plan.Setting.Number)
		m := rec.Record.Summary.Rows[0].Metrics
		require.InDelta(t, want, float64(m[results.Power].Value), 1e-6)
		require.Positive(t, float64(m[results.Throughput].Value))
	}
}
