package sha256d

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cycles counts the cycles of work on this thread, which neighbours disturb far
// less than wall time. Where user cycles cannot be counted, as in many guests, it
// estimates them as the CPU time of the work times the clock rate, measured by a
// chain of dependent operations on the same thread before and after it.
type cycles struct {
	b        *testing.B
	fd       int // of the counter, negative if there is none
	count    uint64
	rate     float64   // of the chain after the last work, in Hz
	estimate []float64 // cycles a hash, of each piece of work
}

// newCycles returns a counter for the thread that calls it, which is locked.
func newCycles(b *testing.B) *cycles {
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{
		Type:   unix.PERF_TYPE_HARDWARE,
		Size:   uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config: unix.PERF_COUNT_HW_CPU_CYCLES,
		Bits:   unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return &cycles{b: b, fd: -1, rate: chainRate(b)}
	}
	b.Cleanup(func() { _ = unix.Close(fd) }) // only read from
	return &cycles{b: b, fd: fd}
}

// of runs work, which computes the given number of hashes. Only work counts
// towards the time of the benchmark.
func (c *cycles) of(hashes uint64, work func()) {
	if c.fd >= 0 {
		before := c.read()
		work()
		c.count += c.read() - before
		return
	}
	start := threadTime(c.b)
	work()
	spent := threadTime(c.b) - start
	c.b.StopTimer()
	before := c.rate
	c.rate = chainRate(c.b)
	c.estimate = append(c.estimate, spent*(before+c.rate)/2/float64(hashes))
	c.b.StartTimer()
}

// report reports the cycles per hash of all the work. The estimate, a median, has
// a unit name of its own.
func (c *cycles) report(hashes uint64) {
	if c.fd >= 0 {
		c.b.ReportMetric(float64(c.count)/float64(hashes), "cycles/hash")
		return
	}
	slices.Sort(c.estimate)
	c.b.ReportMetric(c.estimate[len(c.estimate)/2], "chain-cycles/hash")
}

func (c *cycles) read() uint64 {
	var buf [8]byte
	n, err := unix.Read(c.fd, buf[:])
	require.NoError(c.b, err)
	require.Equal(c.b, len(buf), n)
	return binary.NativeEndian.Uint64(buf[:])
}

// threadTime returns the CPU time of this thread in seconds.
func threadTime(b *testing.B) float64 {
	var ts unix.Timespec
	require.NoError(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return float64(ts.Sec) + 1e-9*float64(ts.Nsec)
}

// chainRate returns the clock of this thread's CPU in Hz: the rate of operations
// that take one cycle and each wait for the one before.
func chainRate(b *testing.B) float64 {
	const n = 1 << 19              // some 0.2 ms: long beside the reading of the time
	x, y := uint64(3), uint64(b.N) // not a constant: some CPUs add those for nothing
	start := threadTime(b)
	for range n / 8 {
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
	}
	runtime.KeepAlive(x)
	return n / (threadTime(b) - start)
}
