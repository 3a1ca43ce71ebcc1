package stream

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/stream"
)

// BenchmarkOverhead compares the workload with the bare calls of the kernel
// that it is made of, on the same arrays and threads: the median of alternated
// pairs. A ratio of 1 means that counter and samples cost nothing.
func BenchmarkOverhead(b *testing.B) {
	const stretch = 200 * time.Millisecond
	opened, err := New(bench.Config{})
	require.NoError(b, err)
	defer opened.Close()
	w := opened.(*workload)
	require.NoError(b, w.Prepare(b.Context()))
	whole := func() float64 {
		done := bench.NewCounter()
		ctx, cancel := context.WithTimeout(b.Context(), stretch)
		defer cancel()
		began := time.Now()
		require.NoError(b, w.Run(ctx, done))
		count, _, _ := done.Load()
		return float64(count) / time.Since(began).Seconds()
	}
	bare := func() (rate float64) {
		w.each(func(t *thread) {
			at, elements := t.next, 0
			began := time.Now()
			for time.Since(began) < stretch {
				to := min(at+chunk, len(t.a))
				w.triad(t.a[at:to], t.b[at:to], t.c[at:to], 1.5)
				elements += to - at
				at = to % len(t.a)
			}
			rate = float64(stream.Bytes*elements) / time.Since(began).Seconds()
		})
		return rate
	}
	var rates, ratios []float64
	for b.Loop() {
		var x, y float64
		if len(ratios)%2 == 0 {
			x, y = whole(), bare()
		} else {
			y, x = bare(), whole()
		}
		rates, ratios = append(rates, x), append(ratios, x/y)
	}
	b.ReportMetric(median(rates), "B/s")
	b.ReportMetric(median(ratios), "of-bare")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
