package bench

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Cell is the memory of a [Counter]: it may lie in a page that two processes
// map. All words are accessed atomically.
type Cell struct {
	seq   uint64 // odd while a writer is inside
	count uint64
	at    int64
}

// Counter is the total of finished work and the monotonic instant at which it
// was reached, readable as one consistent pair by another process.
//
// It is a sequence lock: writers of one process exclude each other by a mutex,
// readers never block a writer and retry while one is inside.
type Counter struct {
	mu   sync.Mutex
	cell *Cell
}

// NewCounter returns a counter with memory of its own.
func NewCounter() *Counter { return CounterAt(new(Cell)) }

// CounterAt returns a counter over cell, which must be 8-byte aligned. Only
// one process may add to a cell.
func CounterAt(cell *Cell) *Counter { return &Counter{cell: cell} }

// Add records that n more units of work are finished, now.
func (c *Counter) Add(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seq := atomic.AddUint64(&c.cell.seq, 1)
	atomic.StoreInt64(&c.cell.at, Monotonic())
	atomic.AddUint64(&c.cell.count, n)
	atomic.StoreUint64(&c.cell.seq, seq+1)
}

// Load returns the total and the instant, in nanoseconds of [Monotonic], at
// which it was reached; both are zero before the first Add. ok is false if the
// writer died or was stopped while it was inside.
func (c *Counter) Load() (count uint64, at int64, ok bool) {
	for try := 0; try < 10_000; try++ {
		seq := atomic.LoadUint64(&c.cell.seq)
		if seq&1 == 0 {
			count, at = atomic.LoadUint64(&c.cell.count), atomic.LoadInt64(&c.cell.at)
			if atomic.LoadUint64(&c.cell.seq) == seq {
				return count, at, true
			}
		}
		if try%100 == 99 {
			runtime.Gosched()
		}
	}
	return 0, 0, false
}
