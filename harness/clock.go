package harness

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// The clock probe: 4 CPUs × 12 chunks × 0.4 million cycles are 7 ms at 2.8 GHz.
const (
	probeCPUs   = 4
	probeChunks = 12
	chunkCycles = 48 * 8333 // a whole number of rounds of either chain
)

// ProbeClock measures the clock that the CPUs really run at under a light load, in Hz:
// the rate of a chain of operations, each of which waits for the one before and takes a
// known number of cycles. It needs no privilege and works in a guest, where the kernel
// shows the nominal clock at best.
//
// It probes up to four of cpus, spread evenly, on a thread that is pinned to each in
// turn; if cpus is empty, up to four of those that the process may use. On each CPU the
// fastest of several chunks of about 0.15 ms counts, to exclude preemption and stolen
// time. It returns the median over the CPUs. On an otherwise idle machine it takes less
// than 10 ms.
//
// It does not see a clock that changes within a chunk. On a core whose hardware sibling
// is busy the reading may be low by a few percent.
func ProbeClock(cpus []int) (hz float64, err error) {
	// If the affinity cannot be restored, the thread stays locked and ends with its
	// goroutine.
	runtime.LockOSThread()
	allowed, err := affinity(0)
	if err != nil {
		runtime.UnlockOSThread()
		return 0, err
	}
	if len(cpus) == 0 {
		cpus = allowed
	}
	var rates []float64
	var failed error
	for _, cpu := range spread(cpus, probeCPUs) {
		if err := setThreadAffinity(0, []int{cpu}); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		best := time.Duration(1<<63 - 1)
		for range probeChunks {
			start := time.Now()
			chain(chunkCycles)
			best = min(best, time.Since(start))
		}
		rates = append(rates, chunkCycles/best.Seconds())
	}
	if err := setThreadAffinity(0, allowed); err != nil {
		failed = errors.Join(failed, err)
	} else {
		runtime.UnlockOSThread()
	}
	if len(rates) == 0 {
		return 0, fmt.Errorf("harness: probe the clock: none of the CPUs %v can be used: %w", cpus, failed)
	}
	slices.Sort(rates)
	return (rates[(len(rates)-1)/2] + rates[len(rates)/2]) / 2, nil
}

// spread picks at most n of the CPUs, evenly and in order.
func spread(cpus []int, n int) []int {
	if len(cpus) <= n {
		return cpus
	}
	out := make([]int, n)
	for i := range out {
		out[i] = cpus[i*len(cpus)/n]
	}
	return out
}

// chain keeps the processor busy for the given number of cycles, as closely
// as a loop over a fixed number of operations can.
//
// On amd64 it is made of 32-bit multiplications, 3 cycles each on every Intel
// core since Nehalem, on Atom-derived cores since Goldmont and on AMD since
// Zen (uops.info, "IMUL (R32, R32)"; Agner Fog, Instruction tables); 64-bit
// ones take 4 on the first Zen and 5 on Intel's efficient cores. They leave a
// hardware sibling most of the core and suffer less from it than a chain of
// single-cycle operations would. Elsewhere the latency of a multiplication is
// between 2 and 5 cycles, and the chain is made of exclusive-or and addition
// in turn, 1 cycle each.
func chain(cycles int) {
	if runtime.GOARCH == "amd64" {
		runtime.KeepAlive(multiplyChain(cycles/3, 3, 5))
	} else {
		runtime.KeepAlive(addChain(cycles, 3, 5))
	}
}

// multiplyChain makes n dependent multiplications, n rounded up to 16. The
// factor is an argument so that the compiler cannot fold them.
//
//go:noinline
func multiplyChain(n int, x, y uint32) uint32 {
	for ; n > 0; n -= 16 {
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
		x *= y
	}
	return x
}

// addChain makes n dependent single-cycle operations, n rounded up to 16, of
// two kinds in turn that neither the compiler nor a processor can merge.
//
//go:noinline
func addChain(n int, x, y uint64) uint64 {
	for ; n > 0; n -= 16 {
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
		x ^= y
		x += y
	}
	return x
}
