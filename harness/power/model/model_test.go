package model

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

// stat writes a /proc/stat of n CPUs. The fields are user nice system idle
// iowait irq softirq steal guest guest_nice, in ticks.
func stat(n int, fields string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cpu  %s\n", fields)
	for i := range n {
		fmt.Fprintf(&b, "cpu%d %s\n", i, fields)
	}
	fmt.Fprintf(&b, "intr 12345%s\nctxt 1990473\nbtime 1062191376\nprocesses 2915\nprocs_running 1\nprocs_blocked 0\nsoftirq 183433 0 21755 12 39 1137 231459 8 2 1 0\n", strings.Repeat(" 0 7", 4*n))
	return b.String()
}

const iceLake = `processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 106
model name	: Intel(R) Xeon(R) Processor @ 2.80GHz
stepping	: 6

processor	: 1
vendor_id	: GenuineIntel
cpu family	: 6
model		: 0
`

const graviton = `processor	: 0
BogoMIPS	: 2100.00
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x1
CPU part	: 0xd40
CPU revision	: 1
`

func plant(t testing.TB, stat, cpuinfo string) string {
	t.Helper()
	proc := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(proc, "stat"), []byte(stat), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(proc, "cpuinfo"), []byte(cpuinfo), 0o644))
	return proc
}

func TestConformance(t *testing.T) {
	proc := plant(t, stat(4, "100 0 50 9000 3 0 1 7 0 0"), iceLake)
	powertest.TestMeter(t, func() (power.Meter, error) { return Open(proc) })
	if _, err := os.Stat("/proc/stat"); err == nil {
		powertest.TestMeter(t, func() (power.Meter, error) { return Open("/proc") })
	}
}

func TestAbsent(t *testing.T) {
	_, err := Open(t.TempDir())
	require.ErrorIs(t, err, power.ErrAbsent)
	_, err = Open(plant(t, "intr 5\n", iceLake))
	require.ErrorContains(t, err, "not the line of all CPUs")
	require.NotErrorIs(t, err, power.ErrAbsent)
}

func TestInfo(t *testing.T) {
	m, err := Open(plant(t, stat(8, "0 0 0 0 0 0 0 0 0 0"), iceLake))
	require.NoError(t, err)
	defer m.Close()
	c := m.Info().Channels[0]
	require.Equal(t, results.Modelled, c.Origin)
	require.Equal(t, results.Wall, c.Boundary)
	require.Equal(t, results.Wall, c.Total)
	require.Equal(t, results.Float(0.5), c.Accuracy.Gain)
	notes := strings.Join(m.Info().Notes, "\n")
	for _, want := range []string{"modelled, not measured: 8 CPUs (Intel(R) Xeon(R) Processor @ 2.80GHz, Ice Lake)", "6.134 W to 30.06 W, ± 50 %", Source, "AC watts of a whole server", "stolen time are not"} {
		require.Contains(t, notes, want)
	}
}

// steps is a /proc/stat that changes at every read; the last one stays.
type steps []any

func (s *steps) ReadAt(p []byte, off int64) (int, error) {
	step := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	if err, ok := step.(error); ok {
		return 0, err
	}
	return strings.NewReader(step.(string)).ReadAt(p, off)
}

// TestEnergy: four CPUs that idle at 1 W and are busy at 3 W, a read a second.
func TestEnergy(t *testing.T) {
	at := func(fields string) string { return stat(4, fields) }
	for _, c := range []struct {
		name  string
		steps steps
		want  string
	}{
		{"idle", steps{at("0 0 0 0 0 0 0 0 0 0"), at("0 0 0 400 0 0 0 0 0 0")}, "0 4"},
		{"all busy", steps{at("0 0 0 0 0 0 0 0 0 0"), at("400 0 0 0 0 0 0 0 0 0")}, "0 12"},
		{"one busy in every way", steps{at("0 0 0 0 0 0 0 0 0 0"), at("20 20 20 300 0 20 20 0 0 0")}, "0 6"},
		{"waiting for I/O is idle", steps{at("0 0 0 0 0 0 0 0 0 0"), at("0 0 0 200 200 0 0 0 0 0")}, "0 4"},
		{"stolen time is somebody else's", steps{at("0 0 0 0 0 0 0 0 0 0"), at("0 0 0 100 0 0 0 300 0 0")}, "0 4"},
		{"guest time is in user already", steps{at("0 0 0 0 0 0 0 0 0 0"), at("100 0 0 300 0 0 0 0 100 0")}, "0 6"},
		{"iowait may fall", steps{at("100 0 0 0 50 0 0 0 0 0"), at("200 0 0 0 40 0 0 0 0 0")}, "0 6"},
		{"a tick back is not counted twice", steps{at("100 0 0 0 0 0 0 0 0 0"), at("200 0 0 0 0 0 0 0 0 0"), at("199 0 0 0 0 0 0 0 0 0"), at("200 0 0 0 0 0 0 0 0 0")}, "0 6 10 14"},
		{"a reset is a gap", steps{at("1000 0 0 0 0 0 0 0 0 0"), at("5 0 0 0 0 0 0 0 0 0"), at("5 0 0 0 0 0 0 0 0 0"), at("105 0 0 0 0 0 0 0 0 0")}, "0 gap 0 6"},
		{"more busy than there is time", steps{at("0 0 0 0 0 0 0 0 0 0"), at("900 0 0 0 0 0 0 0 0 0"), at("1000 0 0 0 0 0 0 0 0 0"), at("1000 0 0 0 0 0 0 0 0 0")}, "0 gap 0 4"},
		{"a failed read is not bridged", steps{at("0 0 0 0 0 0 0 0 0 0"), syscall.EIO, at("400 0 0 0 0 0 0 0 0 0"), at("400 0 0 0 0 0 0 0 0 0")}, "0 gap 0 4"},
		{"garbage", steps{at("0 0 0 0 0 0 0 0 0 0"), "cpu  x\n", at("0 0 0 0 0 0 0 0 0 0")}, "0 gap 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMeter("stat", &c.steps, func() error { return nil }, 4, cpu{})
				m.min, m.max = 1, 3
				var got []string
				for range strings.Fields(c.want) {
					r, err := m.Read(t.Context())
					require.NoError(t, err)
					if r[0].Err != nil {
						require.True(t, math.IsNaN(r[0].Value))
						got = append(got, "gap")
					} else {
						got = append(got, fmt.Sprint(r[0].Value))
					}
					time.Sleep(time.Second)
				}
				require.Equal(t, c.want, strings.Join(got, " "))
			})
		})
	}
}

func TestArch(t *testing.T) {
	intel := func(model, stepping int) cpu {
		return cpu{vendor: "GenuineIntel", family: 6, model: model, stepping: stepping}
	}
	amd := func(family, model int) cpu { return cpu{vendor: "AuthenticAMD", family: family, model: model} }
	for _, c := range []struct {
		cpu  cpu
		want string
	}{
		{intel(45, 7), "Sandy Bridge"}, {intel(62, 4), "Ivy Bridge"}, {intel(63, 2), "Haswell"}, {intel(79, 1), "Broadwell"}, {intel(86, 3), "Broadwell"},
		{intel(85, 4), "Skylake"}, {intel(85, 5), "Cascade Lake"}, {intel(85, 7), "Cascade Lake"},
		{intel(158, 9), "unknown"}, {intel(158, 10), "Coffee Lake"},
		{intel(106, 6), "Ice Lake"}, {intel(108, 1), "Ice Lake"}, {intel(143, 8), "Sapphire Rapids"}, {intel(207, 2), "Emerald Rapids"}, {intel(173, 1), "Granite Rapids"}, {intel(174, 1), "Granite Rapids"},
		{intel(183, 1), "unknown"},
		{amd(23, 0x01), "EPYC 1st Gen"}, {amd(23, 0x31), "EPYC 2nd Gen"}, {amd(25, 0x01), "EPYC 3rd Gen"}, {amd(25, 0x11), "EPYC 4th Gen"}, {amd(25, 0xa0), "EPYC 4th Gen"},
		{amd(25, 0x21), "unknown"}, {amd(26, 0x02), "EPYC 5th Gen"},
		{parseCPU(strings.NewReader(iceLake)), "Ice Lake"},
		{parseCPU(strings.NewReader(graviton)), "Neoverse"},
		{cpu{implementer: 0x61, model: 0xd40}, "unknown"},
		{cpu{}, "unknown"},
	} {
		r := lookup(c.cpu)
		require.Equal(t, c.want, r.arch, "%+v", c.cpu)
		require.Greater(t, r.min, 0.0)
		require.Greater(t, r.max, r.min)
	}
}

// TestStandIns: coefficients that are not the CPU's own claim less, and say so.
func TestStandIns(t *testing.T) {
	for _, c := range []struct {
		cpu      cpu
		min, max float64
		note     string
	}{
		{cpu{vendor: "AuthenticAMD", family: 26}, 0.7391, 2.282, "EPYC 4th Gen stands in"},
		{cpu{implementer: 0x41, model: 0xd0c}, 0.4743, 1.693, "repeats EPYC 2nd Gen"},
		{cpu{}, 0.9763, 4.0347, "the mean of its rows"},
	} {
		r := lookup(c.cpu)
		require.Equal(t, 1.0, r.gain)
		require.InDelta(t, c.min, r.min, 5e-4)
		require.InDelta(t, c.max, r.max, 5e-4)
		require.Contains(t, r.note, c.note)
		require.Contains(t, newMeter("stat", nil, nil, 1, c.cpu).info.Notes, r.note)
	}
	require.Equal(t, 0.5, lookup(cpu{vendor: "GenuineIntel", family: 6, model: 106}).gain)
}

func TestParseStatRefuses(t *testing.T) {
	for _, text := range []string{
		"", "\n", "cpu", "cpu \n", "cpu0 1 2 3 4 5 6 7\n", "cpu  1 2 3 4 5 6\n", "cpu  1 2 3 4 5 6 7", "cpu  1 2 3 4 5 -6 7\n", "cpu  1 2 x 4 5 6 7\n",
		"cpu  1 2 3 4 5 6 \x00\n", "cpu  18446744073709551615 2 3 4 5 6 7\n", "cpu  " + strings.Repeat("1", 400) + " 2 3 4 5 6 7\n",
	} {
		_, err := parseStat([]byte(text))
		require.Error(t, err, "%q", text)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat(2, "100 0 50 9000 3 0 1 7 0 0")))
	f.Add([]byte("cpu  1 2 3 4 5 6 7\n"))
	f.Add([]byte("cpu  9223372036854775807 9223372036854775807 3 4 5 6 7\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if busy, err := parseStat(text); err == nil && busy < 0 {
			t.Errorf("%q: busy for %v", text, busy)
		}
		if n := countCPUs(text); n > len(text) {
			t.Errorf("%q: %d CPUs", text, n)
		}
	})
}

func FuzzParseCPU(f *testing.F) {
	f.Add([]byte(iceLake))
	f.Add([]byte(graviton))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r := lookup(parseCPU(bytes.NewReader(text))); !(r.min > 0 && r.max > r.min && r.gain > 0) {
			t.Errorf("%q: %+v", text, r)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	if _, err := os.Stat("/proc/stat"); err != nil {
		b.Skip("no /proc/stat here")
	}
	m, err := Open("/proc")
	require.NoError(b, err)
	defer m.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStat is why this package parses the first line by itself.
func BenchmarkStat(b *testing.B) {
	proc := plant(b, stat(128, "100 0 50 9000 3 0 1 7 0 0"), iceLake)
	b.Run("first line", func(b *testing.B) {
		m, err := Open(proc)
		require.NoError(b, err)
		defer m.Close()
		for b.Loop() {
			if _, err := m.Read(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procfs", func(b *testing.B) {
		pfs, err := procfs.NewFS(proc)
		require.NoError(b, err)
		for b.Loop() {
			if _, err := pfs.Stat(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
