package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// written writes files below a directory of its own, and returns it as roots.
func written(t *testing.T, files map[string]string) Roots {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return Roots{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Root: dir}
}

const (
	mountV2  = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n"
	mountV1  = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	pressure = "some avg10=0.12 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n"
)

func TestStrain(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  map[results.TraceKey]float64 // last value of each trace
	}{
		{"nothing of it", map[string]string{"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/\n"}, nil},
		{"version 2, nested: that above holds back", map[string]string{
			"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a/b/c\n", "proc/pressure/memory": pressure,
			"sys/fs/cgroup/cpu.stat":              "usage_usec 7\nuser_usec 3\n",
			"sys/fs/cgroup/a/cpu.stat":            "usage_usec 7\nnr_periods 9\nnr_throttled 4\nthrottled_usec 3000000\nnr_bursts 0\n",
			"sys/fs/cgroup/a/b/cpu.stat":          "usage_usec 7\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
			"sys/fs/cgroup/a/b/c/cpu.stat":        "usage_usec 7\nnr_throttled 1\nthrottled_usec 250000\n",
			"sys/fs/cgroup/a/b/c/memory.pressure": strings.ReplaceAll(pressure, "2500000", "1000000"),
			"sys/fs/cgroup/a/other/cpu.stat":      "throttled_usec 99000000\n",
		}, map[results.TraceKey]float64{results.QuotaHeld: 3.25, results.HostMemorySome: 2.5, results.HostMemoryFull: 0.5, results.GroupMemorySome: 1, results.GroupMemoryFull: 0.5}},
		{"version 1", map[string]string{
			"proc/self/mountinfo": mountV1, "proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a/b\n",
			"sys/fs/cgroup/cpu,cpuacct/a/b/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 1500000000\n",
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.stat":   "nr_periods 9\nnr_throttled 4\nthrottled_time 500000000\n",
		}, map[results.TraceKey]float64{results.QuotaHeld: 2}},
		{"pressure of a kernel that was told to keep none", map[string]string{"proc/self/mountinfo": "", "proc/self/cgroup": "", "proc/pressure/memory": ""}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := written(t, c.files).strain()
			s := &sampler{clock: clock{t0: time.Now()}, index: map[results.TraceKey]*results.Trace{}}
			s.sampleStrain(&x)
			got := map[results.TraceKey]float64{}
			for _, tr := range s.traces {
				require.Equal(t, results.Second, tr.Unit)
				require.Equal(t, results.Counter, tr.Kind)
				got[tr.Key] = float64(tr.V[len(tr.V)-1])
			}
			if c.want == nil {
				c.want = map[results.TraceKey]float64{}
			}
			require.Equal(t, c.want, got)
		})
	}
}

// A group that is removed in mid-run is a gap, not a quota that holds nothing.
func TestStrainOfAGroupThatIsRemoved(t *testing.T) {
	r := written(t, map[string]string{"proc/self/mountinfo": mountV2, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.stat": "throttled_usec 5\n"})
	x := r.strain()
	s := &sampler{clock: clock{t0: time.Now()}, index: map[results.TraceKey]*results.Trace{}}
	s.sampleStrain(&x)
	require.NoError(t, os.RemoveAll(filepath.Join(r.Sys, "fs/cgroup/a")))
	time.Sleep(time.Millisecond)
	s.sampleStrain(&x)
	tr := s.traces[0]
	require.True(t, tr.V[1].IsAbsent())
	require.Contains(t, tr.Errors[0].Error, "was the control group removed?")
}

func FuzzStrain(f *testing.F) {
	f.Add(pressure)
	f.Add("throttled_usec 18446744073709551615\nthrottled_time -1\n")
	f.Add("some total=99999999999999999999\nfull total=\n\n total=1")
	f.Fuzz(func(t *testing.T, s string) {
		held, _ := parseHeld(s)
		some, full, _ := parsePressure(s)
		for _, v := range []float64{held, some, full} {
			require.True(t, v >= 0 && v < 1e14)
		}
		require.GreaterOrEqual(t, parseDelay(s), time.Duration(0))
	})
}
