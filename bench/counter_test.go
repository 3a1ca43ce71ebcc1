package bench

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCounter(t *testing.T) {
	c := NewCounter()
	count, at, ok := c.Load()
	require.True(t, ok)
	require.Zero(t, count)
	require.Zero(t, at)

	before := Monotonic()
	c.Add(3)
	c.Add(4)
	after := Monotonic()
	count, at, ok = c.Load()
	require.True(t, ok)
	require.Equal(t, uint64(7), count)
	require.GreaterOrEqual(t, at, before)
	require.LessOrEqual(t, at, after)
}

// On a clock that stands still between additions, count and instant determine
// each other; a torn pair would break the relation.
func TestCounterPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter()
		start := Monotonic()
		var writer sync.WaitGroup
		writer.Go(func() {
			for range 2000 {
				time.Sleep(time.Microsecond)
				c.Add(1000)
			}
		})
		for range 2000 {
			time.Sleep(time.Microsecond)
			if count, at, ok := c.Load(); ok && count > 0 {
				require.Equal(t, int64(count), at-start)
			}
		}
		writer.Wait()
		count, at, ok := c.Load()
		require.True(t, ok)
		require.Equal(t, uint64(2_000_000), count)
		require.Equal(t, int64(2_000_000), at-start)
	})
}

// Writers exclude each other, and a reader sees neither the count nor the
// instant go back, nor one move without the other.
func TestCounterUnderLoad(t *testing.T) {
	const writers, adds = 4, 20_000
	cell := new(Cell)
	c, reader := CounterAt(cell), CounterAt(cell) // as two processes would have them
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for range adds {
				c.Add(3)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		running.Wait()
	}()
	var lastCount uint64
	var lastAt int64
	for looking := true; looking; {
		select {
		case <-finished:
			looking = false
		default:
		}
		count, at, ok := reader.Load()
		if !ok {
			continue
		}
		if count < lastCount || at < lastAt || count%3 != 0 || (count > 0) != (at > 0) {
			t.Fatalf("read %d at %d after %d at %d", count, at, lastCount, lastAt)
		}
		lastCount, lastAt = count, at
	}
	require.Equal(t, uint64(3*writers*adds), lastCount)
}

// A writer that died inside leaves the pair unreadable, and Load says so.
func TestCounterOfDeadWriter(t *testing.T) {
	cell := &Cell{seq: 7, count: 1, at: 2}
	_, _, ok := CounterAt(cell).Load()
	require.False(t, ok)
}

func TestMonotonicDoesNotGoBack(t *testing.T) {
	last := Monotonic()
	for range 10_000 {
		now := Monotonic()
		require.GreaterOrEqual(t, now, last)
		last = now
	}
}
