package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMemAvailable(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"MemTotal:       24603540 kB\nMemFree:  1 kB\nMemAvailable:   24105772 kB\nBuffers: 7 kB\n", 24105772 << 10, true},
		{"MemAvailable: 9007199254740991 kB\n", 9007199254740991 << 10, true},
		{"MemAvailable: 9007199254740992 kB\n", 0, false},
		{"MemAvailable: -5 kB\n", 0, false},
		{"MemTotal: 24603540 kB\n", 0, false},
		{"", 0, false},
	} {
		path := filepath.Join(t.TempDir(), "meminfo")
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
		got, ok := memAvailable(path)
		require.Equal(t, c.ok, ok, c.text)
		if ok {
			require.Equal(t, c.want, got)
		}
	}
	_, ok := memAvailable("testdata/there-is-none")
	require.False(t, ok)
}

func FuzzMeminfo(f *testing.F) {
	f.Add("MemTotal: 24603540 kB\nMemAvailable:   24105772 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseMeminfo(strings.NewReader(text))
		require.True(t, !ok || got >= 0 && strings.Contains(text, "MemAvailable:"))
	})
}

func TestFits(t *testing.T) {
	require.NoError(t, Fits("nothing", 0, ""))
	if _, ok := memAvailable("/proc/meminfo"); ok {
		require.ErrorContains(t, Fits("all", 1<<62, "use less"), "all takes 4611686018427387904 bytes and ")
	}
}
