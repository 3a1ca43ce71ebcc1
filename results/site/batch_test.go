package site

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// What is held at a time is bounded, however many records there are, and all are joined
// once, those of one time together.
func TestBatches(t *testing.T) {
	start := time.Date(2026, 9, 15, 8, 30, 0, 0, time.UTC)
	tape := &Tape{interval: 1}
	var tasks []*task
	for i := range 100 {
		at := start.Add(time.Duration(i*37%100) * time.Minute)
		meter := results.Meter{Period: results.Absent(), Channels: make([]results.Channel, 2)}
		tasks = append(tasks, &task{at: i, requests: []*request{{tape: tape, from: at, to: at.Add(10 * time.Minute), feed: results.Feed{Meter: meter}}}})
	}
	tasks = append(tasks, &task{at: 100}) // one that asks for nothing
	for most, want := range map[float64]int{1e9: 1, 12_000: 10, 1: 101} {
		seen, last := map[int]bool{}, time.Time{}
		got := batches(tasks, most)
		require.Len(t, got, want, "%g", most)
		for _, batch := range got {
			sum := 0.0
			for _, task := range batch {
				seen[task.at] = true
				sum += task.held()
				if len(task.requests) > 0 {
					require.False(t, task.requests[0].from.Before(last))
					last = task.requests[0].from
				}
			}
			require.LessOrEqual(t, sum, max(most, 1200))
		}
		require.Len(t, seen, 101)
	}
	require.Empty(t, batches(nil, 1))
}
