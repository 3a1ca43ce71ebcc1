package harness

import (
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/cpuid/v2"
	"github.com/stretchr/testify/require"
)

// Both chains make exactly the operations that they are timed for.
func TestChainsCompute(t *testing.T) {
	for _, n := range []int{16, 48, 1600} {
		product, sum := uint32(3), uint64(3)
		for i := range n {
			product *= 5
			if i%2 == 0 {
				sum ^= 5
			} else {
				sum += 5
			}
		}
		require.Equal(t, product, multiplyChain(n, 3, 5))
		require.Equal(t, sum, addChain(n, 3, 5))
	}
	require.Zero(t, chunkCycles/3%16)
	require.Zero(t, chunkCycles%16)
}

// quickest is the shortest of several timings.
func quickest(f func()) float64 {
	best := time.Duration(1<<63 - 1)
	for range probeChunks {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best.Seconds()
}

// eventually tries a comparison of two timings until it holds: a loaded
// machine spoils some tries, a wrong chain spoils all of them.
func eventually(t *testing.T, low, high float64, ratio func() float64) {
	t.Helper()
	var seen []float64
	for range 50 {
		r := ratio()
		if low <= r && r <= high {
			return
		}
		seen = append(seen, r)
	}
	t.Errorf("the ratio was never within %.2f and %.2f: %.2f", low, high, seen)
}

// Twice the length takes twice the time, and no operation overlaps the next:
// three single-cycle ones take as long as one multiplication.
func TestChainsAreChains(t *testing.T) {
	eventually(t, 1.9, 2.1, func() float64 {
		return quickest(func() { chain(2 * chunkCycles) }) / quickest(func() { chain(chunkCycles) })
	})
	if runtime.GOARCH != "amd64" || hypervisorNames[cpuid.CPU.HypervisorVendorString] == emulator {
		t.Log("the latency of a multiplication is not known on this processor: not compared")
		return
	}
	eventually(t, 2.8, 3.2, func() float64 {
		return quickest(func() { runtime.KeepAlive(multiplyChain(chunkCycles/3, 3, 5)) }) /
			quickest(func() { runtime.KeepAlive(addChain(chunkCycles/3, 3, 5)) })
	})
}

func TestProbeClock(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := affinity(0)
	require.NoError(t, err)
	for _, cpus := range [][]int{nil, before, {before[0], maxCPU}} {
		hz, err := ProbeClock(cpus)
		require.NoError(t, err)
		require.Greater(t, hz, 1e7)
		require.Less(t, hz, 1e10, "no processor is that fast: the chain was broken up")
		after, err := affinity(0)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	_, err = ProbeClock([]int{maxCPU})
	require.ErrorContains(t, err, "8191")
}

func TestSpread(t *testing.T) {
	require.Equal(t, []int{0, 16, 32, 48}, spread(seq(64), 4))
	require.Equal(t, []int{0, 1, 2, 3}, spread(seq(5), 4))
	require.Equal(t, []int{7}, spread([]int{7}, 4))
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func BenchmarkProbeClock(b *testing.B) {
	var sum float64
	for b.Loop() {
		hz, err := ProbeClock(nil)
		require.NoError(b, err)
		sum += hz
	}
	b.ReportMetric(sum/float64(b.N), "Hz")
}
