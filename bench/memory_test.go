package bench

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemoryAvailable(t *testing.T) {
	const meminfo = "MemTotal:       24603540 kB\nMemFree:  1 kB\nMemAvailable:   24105772 kB\nBuffers: 7 kB\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		ok    bool
	}{
		{"system", map[string]string{"proc/meminfo": meminfo}, 24105772 << 10, true},
		{"most", map[string]string{"proc/meminfo": "MemAvailable: 9007199254740991 kB\n"}, 9007199254740991 << 10, true},
		{"too much", map[string]string{"proc/meminfo": "MemAvailable: 9007199254740992 kB\n"}, 0, false},
		{"negative", map[string]string{"proc/meminfo": "MemAvailable: -5 kB\n"}, 0, false},
		{"not said", map[string]string{"proc/meminfo": "MemTotal: 24603540 kB\nMemAvailable:"}, 0, false},
		{"nothing", nil, 0, false},
		{"limited above the own group", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "5000\n",
			"sys/fs/cgroup/a/memory.max": "100000\n", "sys/fs/cgroup/a/memory.current": "60000\n",
			"sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 50000\n",
		}, 90000, true},
		{"container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/kubepods/pod7\n",
			"sys/fs/cgroup/memory.max": "100000\n", "sys/fs/cgroup/memory.current": "60000\n",
		}, 40000, true},
		{"over its limit", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "100000\n", "sys/fs/cgroup/memory.current": "100001\n",
		}, 0, true},
		{"version 1", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "7:cpu,cpuacct:/x\n6:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "100000\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "60000\n",
			"sys/fs/cgroup/memory/x/memory.stat":         "total_inactive_file 1000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 41000, true},
		{"no meminfo", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100000\n"}, 100000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range c.files {
				require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
			}
			got, ok := MemoryAvailable(root)
			require.Equal(t, c.ok, ok)
			if ok {
				require.Equal(t, c.want, got)
			}
		})
	}
}

func FuzzMeminfo(f *testing.F) {
	f.Add([]byte("MemTotal: 24603540 kB\nMemAvailable:   24105772 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseField(text, "MemAvailable:")
		require.True(t, got >= 0 && got < 1<<53)
		if ok {
			require.Contains(t, string(text), "MemAvailable:")
		}
	})
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1024: "1.024 kB", 999_949: "999.9 kB", 999_951: "1 MB",
		51_739_404_936: "51.74 GB", math.MaxInt64: "9.223 EB",
	} {
		require.Equal(t, want, Size(bytes))
	}
}
