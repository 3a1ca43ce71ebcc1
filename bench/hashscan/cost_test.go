//go:build unix && !race

package hashscan

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
)

// busy is a device of which each launch takes 10 ms and finds nothing.
type busy struct {
	*gpu
	left  int // launches until done is called
	done  func()
	until time.Time // when the last launch ends
}

func (b *busy) Submit(launches ...device.Launch) error {
	b.until = time.Now().Add(10 * time.Millisecond * time.Duration(len(launches)))
	if b.left -= len(launches); b.left <= 0 {
		b.done()
	}
	return nil
}

func (b *busy) Write(device.Buffer, []byte) error { return nil }

func (b *busy) Read(data []byte, _ device.Buffer) error {
	time.Sleep(time.Until(b.until))
	clear(data)
	return nil
}

// While the device is busy, the host costs at most 2 % of a core, without what it
// costs on this machine to fall asleep and wake up once a launch. The race detector
// costs more than that, so that the test is not for it.
func TestCostOfHost(t *testing.T) {
	const launches = 100
	w, err := open(bench.Config{Device: interpreter()})
	require.NoError(t, err)
	require.NoError(t, w.Prepare(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slow := &busy{gpu: interpreter(), left: launches, done: cancel}
	w.on = slow
	scan, err := w.row.On(slow)
	require.NoError(t, err)
	w.threads[0].scan, w.threads[0].chunk = scan, 1<<26
	began := benchtest.CPUTime(t)
	require.NoError(t, w.Run(ctx, bench.NewCounter()))
	spent := benchtest.CPUTime(t) - began
	began = benchtest.CPUTime(t)
	for range launches {
		time.Sleep(10 * time.Millisecond)
	}
	asleep := benchtest.CPUTime(t) - began
	t.Logf("%v in %d launches of 10 ms, of which %v to sleep", spent, launches-slow.left, asleep)
	require.LessOrEqual(t, float64(spent-asleep), 0.02*float64(launches)*float64(10*time.Millisecond))
}
