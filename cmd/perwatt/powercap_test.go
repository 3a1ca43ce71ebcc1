package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// zone is a counter of a powercap tree that counts a constant power.
type zone struct {
	dir, name string
	watts     float64
	start     uint64 // µJ
}

const zoneRange = 262_143_328_850 // µJ, of a real package zone

// tree is a powercap tree that is kept going until the test ends.
type tree struct {
	sys   string
	zones []zone

	mu      sync.Mutex
	at      []time.Time // of each round of writes
	written [][]float64 // J since the start, by zone
}

// between returns what a zone counted from one instant to another.
func (p *tree) between(z int, a, b time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := func(t time.Time) float64 {
		i, _ := slices.BinarySearchFunc(p.at, t, time.Time.Compare)
		return p.written[max(0, i-1)][z]
	}
	return value(b) - value(a)
}

// powercap makes a tree of two packages with memory; the second package wraps
// within its first second.
func powercap(t *testing.T) *tree {
	t.Helper()
	p := &tree{sys: t.TempDir()}
	sys := p.sys
	zones := []zone{
		{"intel-rapl:0", "package-0", 90, 5_000_000},
		{"intel-rapl:0:0", "dram", 10, 7_000_000},
		{"intel-rapl:1", "package-1", 70, zoneRange - 60_000_000},
		{"intel-rapl:1:0", "dram", 5, 9_000_000},
		{"intel-rapl:1:1", "core", 40, 1_000_000},
	}
	p.zones = zones
	var files []*os.File
	for _, z := range zones {
		dir := filepath.Join(sys, "class/powercap", z.dir)
		require.NoError(t, os.MkdirAll(dir, 0o777))
		for name, text := range map[string]string{"name": z.name, "max_energy_range_uj": fmt.Sprint(uint64(zoneRange)), "energy_uj": fmt.Sprintf("%015d\n", z.start)} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666))
		}
		f, err := os.OpenFile(filepath.Join(dir, "energy_uj"), os.O_WRONLY, 0)
		require.NoError(t, err)
		files = append(files, f)
	}
	stop, began := make(chan struct{}), time.Now()
	var wait sync.WaitGroup
	wait.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			now, row := time.Now(), make([]float64, len(zones))
			for i, z := range zones {
				row[i] = z.watts * now.Sub(began).Seconds()
				// One write of the same length: a reader never sees half of it.
				_, _ = files[i].WriteAt(fmt.Appendf(nil, "%015d\n", (z.start+uint64(row[i]*1e6))%zoneRange), 0)
			}
			p.mu.Lock()
			p.at, p.written = append(p.at, time.Now()), append(p.written, row)
			p.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		close(stop)
		wait.Wait()
		for _, f := range files {
			f.Close()
		}
	})
	return p
}

// perwatt runs the program in this process; workers are this test binary.
func perwatt(t testing.TB, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func record(t testing.TB, stdout string) *results.Record {
	t.Helper()
	rec, err := results.Read(bytes.NewBufferString(stdout), "standard output")
	require.NoError(t, err)
	return rec
}

func TestPowercapTreeIsMeasured(t *testing.T) {
	p := powercap(t)
	code, stdout, stderr := perwatt(t, t.Context(), "run", "--preset", "smoke", "--uses", "mining", "--threads", "1", "--window", "4s",
		"--sysfs", p.sys, "--store", t.TempDir(), "--format", "json")
	require.Equal(t, exitOK, code, stderr)
	rec := record(t, stdout)
	require.Len(t, rec.Summary.Rows, 2)
	for _, row := range rec.Summary.Rows {
		m := row.Metrics[results.Power]
		require.Equal(t, results.Measured, m.Origin)
		require.Equal(t, results.Package, m.Boundary)
		require.Equal(t, results.Grade("D"), m.Grade)
	}
	// Packages and memory, once each, through a wrap: what was counted is what
	// the tree counted.
	parts := map[string]int{"package-0": 0, "package-0-dram": 1, "package-1": 2, "package-1-dram": 3}
	for _, c := range rec.Meters[0].Channels {
		_, in := parts[c.Name]
		require.Equal(t, in, c.Total == results.Package, c.Name)
	}
	for _, r := range rec.Runs {
		var got, want float64
		for name, zone := range parts {
			tr := r.Trace(results.MeterKey("rapl", name))
			require.NotNil(t, tr, name)
			n := len(tr.T) - 1
			at := func(i int) time.Time { return rec.Start.Add(time.Duration(tr.T[i] * 1e9)) }
			got += float64(tr.V[n] - tr.V[0])
			want += p.between(zone, at(0), at(n))
		}
		t.Logf("%s: %.3f J read, %.3f J in the tree", r.Scenario, got, want)
		require.InEpsilon(t, want, got, 0.005, r.Scenario)
	}
}

func TestPowercapZoneVanishes(t *testing.T) {
	p := powercap(t)
	var stdout bytes.Buffer
	stderr := &trigger{on: "idle     ok", do: func() { // then mining has its three seconds
		time.AfterFunc(time.Second, func() { os.RemoveAll(filepath.Join(p.sys, "class/powercap", p.zones[1].dir)) })
	}}
	code := run(t.Context(), []string{"run", "--preset", "smoke", "--uses", "mining", "--threads", "1", "--window", "3s",
		"--sysfs", p.sys, "--store", t.TempDir(), "--format", "json"}, &stdout, stderr)
	require.Equal(t, exitOK, code, stderr)
	rec := record(t, stdout.String())
	codes := map[string]bool{}
	for _, w := range rec.Summary.Flags {
		codes[w.Code] = true
	}
	require.True(t, codes["energy-gap"], "%v", rec.Summary.Flags)
	mining := rec.Summary.Rows[1].Metrics
	require.True(t, mining[results.Power].Value.IsAbsent(), "a zone less is not a watt less: %v", mining[results.Power])
	require.NotEmpty(t, mining[results.Power].Why)
	require.Greater(t, mining[results.Throughput].Value, results.Float(0))
}

// trigger does something once when what is written to it says so.
type trigger struct {
	on string
	do func()

	mu   sync.Mutex
	buf  bytes.Buffer
	once sync.Once
}

func (g *trigger) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := g.buf.Write(b)
	if strings.Contains(g.buf.String(), g.on) {
		g.once.Do(g.do)
	}
	return n, err
}

func (g *trigger) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.String()
}

// Root reads every file: the refusal is tested where the tests run as a user,
// and by a helper process without privileges where they run as root.
func TestPowercapPermission(t *testing.T) {
	sys := powercap(t).sys
	require.NoError(t, filepath.WalkDir(sys, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "energy_uj" {
			return os.Chmod(path, 0o400)
		}
		return err
	}))
	var stdout, stderr bytes.Buffer
	cmd := selfCommand("node", "--meter", "rapl", "--sysfs", sys)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if os.Getuid() == 0 {
		// The folders of go test are its user's alone: the way to the tree and to
		// this program is opened, and no other folder touched.
		for _, path := range []string{sys, cmd.Path} {
			for dir := path; strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
				require.NoError(t, os.Chmod(dir, 0o755))
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	require.Error(t, cmd.Run())
	require.Equal(t, exitData, cmd.ProcessState.ExitCode(), stderr.String())
	require.Contains(t, stderr.String(), "energy_uj")
	require.Contains(t, stderr.String(), "permission denied")
	require.Regexp(t, "chmod|udev", stderr.String())
}
