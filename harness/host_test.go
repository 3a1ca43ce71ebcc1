package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseTimes(t *testing.T) {
	for _, c := range []struct {
		line         string
		busy, stolen uint64
	}{
		// user 100 and nice 10 hold the guests' 90 and 5 already.
		{"cpu  100 10 20 5000 700 3 4 50 90 5\ncpu0 1 1 1 1\n", 137, 50},
		{"cpu 1 2 3 4\n", 6, 0}, // as of Linux 2.4
		{"cpu  1 2 3 4 5 6 7\n", 19, 0},
	} {
		busy, stolen, err := parseTimes([]byte(c.line))
		require.NoError(t, err, c.line)
		require.Equal(t, c.busy, busy, c.line)
		require.Equal(t, c.stolen, stolen, c.line)
	}
	for _, bad := range []string{"", "cpu", "cpu  1 2 3\n", "cpu0 1 2 3 4\n", "cpu  1 2 x 4\n", "cpu  -1 2 3 4\n",
		"cpu  1 2 3 4", // the end of the line was cut off
		"cpu  100000000000000000 2 3 4\n", "cpu  1 2 3 4 5 -6\n"} {
		_, _, err := parseTimes([]byte(bad))
		require.Error(t, err, bad)
	}
}

func FuzzParseTimes(f *testing.F) {
	f.Add([]byte("cpu  100 10 20 5000 700 3 4 50 90 5\n"))
	f.Add([]byte("cpu  99999999999999999 99999999999999999 99999999999999999 9 9 99999999999999999 99999999999999999 9\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		busy, stolen, err := parseTimes(b)
		if err == nil {
			require.Less(t, busy, uint64(5e17))
			require.Less(t, stolen, uint64(1e17))
		}
	})
}

// What the kernel lets slip back does not come out going backwards, and
// jitter of iowait does not come out at all.
func TestHostTimesNeverDecrease(t *testing.T) {
	dir := t.TempDir()
	write := func(line string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "stat"), []byte(line+"\n"), 0o644))
	}
	write("cpu 100 0 0 500 70 0 0 20")
	h, err := openHostTimes(dir)
	require.NoError(t, err)
	defer h.close()
	for _, step := range []struct {
		line         string
		busy, stolen float64
	}{
		{"cpu 100 0 0 500 70 0 0 20", 1, 0.2},
		{"cpu 100 0 0 505 60 0 0 20", 1, 0.2},
		{"cpu 099 0 0 505 60 0 0 19", 1, 0.2},
		{"cpu 101 0 0 505 60 0 0 21", 1.01, 0.21},
	} {
		write(step.line)
		busy, stolen, err := h.read()
		require.NoError(t, err)
		require.Equal(t, step.busy, busy, step.line)
		require.Equal(t, step.stolen, stolen, step.line)
	}
	write("nonsense")
	_, _, err = h.read()
	require.Error(t, err)
	_, err = openHostTimes(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Work that this process does shows in the machine's busy time.
func TestHostTimesSeeWork(t *testing.T) {
	h, err := openHostTimes(here.Proc)
	require.NoError(t, err)
	defer h.close()
	first, _, err := h.read()
	require.NoError(t, err)
	start, err := selfCPU()
	require.NoError(t, err)
	for busy := first; busy < first+0.02; {
		chain(chunkCycles)
		busy, _, err = h.read()
		require.NoError(t, err)
		used, err := selfCPU()
		require.NoError(t, err)
		require.Less(t, used-start, 5*time.Second, "5 s of CPU time and /proc/stat has not seen 20 ms")
	}
}

func TestProcessCPU(t *testing.T) {
	before, err := selfCPU()
	require.NoError(t, err)
	chain(chunkCycles)
	between, err := processCPU(os.Getpid())
	require.NoError(t, err)
	after, err := selfCPU()
	require.NoError(t, err)
	require.Less(t, before, between)
	require.LessOrEqual(t, between, after)

	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	child, err := processCPU(cmd.Process.Pid)
	require.NoError(t, err)
	require.GreaterOrEqual(t, child, time.Duration(0))
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	_, err = processCPU(cmd.Process.Pid)
	require.Error(t, err, "a process that was waited for has no clock")
	for _, pid := range []int{0, -1, 1 << 40} {
		_, err = processCPU(pid)
		require.Error(t, err)
	}
}

func BenchmarkHostTimes(b *testing.B) {
	h, err := openHostTimes(here.Proc)
	require.NoError(b, err)
	defer h.close()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := h.read(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProcessCPU(b *testing.B) {
	pid := os.Getpid()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := processCPU(pid); err != nil {
			b.Fatal(err)
		}
	}
}
