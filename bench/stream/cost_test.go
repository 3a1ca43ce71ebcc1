//go:build unix && !race

package stream

import (
	"context"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
)

// busy is a device of which each operation takes 10 ms, and computes nothing.
type busy struct {
	*gpu
	left  int // operations until done is called
	done  func()
	until time.Time // when the last operation ends
	spin  bool      // the driver does not sleep while it waits
	waits int
}

const operationTime = 10 * time.Millisecond

func (b *busy) start() {
	if now := time.Now(); b.until.Before(now) {
		b.until = now
	}
	b.until = b.until.Add(operationTime)
	if b.left--; b.left == 0 {
		b.done()
	}
}

func (b *busy) wait() error {
	if !b.spin && time.Now().Before(b.until) {
		b.waits++
		time.Sleep(time.Until(b.until))
	}
	for time.Now().Before(b.until) {
	}
	return nil
}

func (b *busy) Submit(launches ...device.Launch) error {
	for _, l := range launches {
		if name := l.Kernel.Name(); name == "triad" || name == "copy" {
			b.start()
		}
	}
	return nil
}

func (b *busy) Write(device.Buffer, []byte) error {
	b.start()
	return b.wait()
}

func (b *busy) Read(_ []byte, from device.Buffer) error {
	if from.Size() > maxBatch*sampleBytes {
		b.start()
	}
	return b.wait()
}

// While the device is busy, the host costs at most 2 % of a core, without what it
// costs on this machine to fall asleep and wake up once a batch of operations that
// are submitted, or once a copy to or from the host. The race detector costs more
// than that, so that the test is not for it.
func TestCostOfHost(t *testing.T) {
	operations := 100
	if testing.Short() {
		operations = 30
	}
	cost := func(which string, spin bool) float64 {
		g := interpreter()
		p := on(t, g, which, 1<<16)
		require.NoError(t, p.Prepare(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		slow := &busy{gpu: g, left: operations, done: cancel, spin: spin}
		p.v.Processor, p.batch = slow, int(batchTime/operationTime)
		debug.FreeOSMemory() // what Prepare left is not collected while the device is busy
		began := benchtest.CPUTime(t)
		require.NoError(t, p.Run(ctx, bench.NewCounter()))
		spent := benchtest.CPUTime(t) - began
		made := operations - slow.left
		if which == use || which == useCopy {
			require.LessOrEqual(t, slow.waits, made/p.batch+1)
		} else {
			require.LessOrEqual(t, slow.waits, made)
		}
		began = benchtest.CPUTime(t)
		for range slow.waits {
			time.Sleep(operationTime)
		}
		asleep := benchtest.CPUTime(t) - began
		whole := time.Duration(made) * operationTime
		t.Logf("%s: %v in %v of work, of which %v to sleep %d times", which, spent, whole, asleep, slow.waits)
		return float64(spent-asleep) / float64(whole)
	}
	for which := range uses {
		require.LessOrEqual(t, cost(which, false), 0.02, which)
	}
	require.Greater(t, cost(use, true), 0.02, "a driver that does not sleep is found")
}
