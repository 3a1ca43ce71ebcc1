//go:build unix

package hashscan

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// BenchmarkOverhead compares the workload with its kernel in a bare loop, in
// hashes per CPU-second of this process, which neighbours disturb less than
// the clock. The two are alternated; the median of their ratios is what the
// workload delivers of its kernel.
func BenchmarkOverhead(b *testing.B) {
	for _, row := range sha256d.Table.Supported(cpu.Info()) {
		b.Run("impl="+row.Name, func(b *testing.B) {
			w, err := open(bench.Config{Impl: row.Name})
			require.NoError(b, err)
			defer w.Close()
			require.NoError(b, w.Prepare(context.Background()))
			chunk := w.threads[0].chunk
			var job sha256d.Job
			job.Set(&known[0], &share)

			workload := func() float64 {
				done := bench.NewCounter()
				ctx, cancel := context.WithTimeout(context.Background(), stretch)
				defer cancel()
				start := benchtest.CPUTime(b)
				require.NoError(b, w.Run(ctx, done))
				spent := benchtest.CPUTime(b) - start
				count, _, ok := done.Load()
				require.True(b, ok)
				return float64(count) / spent.Seconds()
			}
			next := uint32(0)
			bare := func() float64 {
				var count uint64
				start := benchtest.CPUTime(b)
				for began := time.Now(); time.Since(began) < stretch; count += chunk {
					row.Impl(nil, &job, next, chunk)
					next += uint32(chunk)
				}
				return float64(count) / (benchtest.CPUTime(b) - start).Seconds()
			}
			var whole, alone, ratio []float64
			for b.Loop() {
				var x, y float64
				if len(ratio)%2 == 0 {
					x, y = workload(), bare()
				} else {
					y, x = bare(), workload()
				}
				whole, alone, ratio = append(whole, x), append(alone, y), append(ratio, x/y)
			}
			b.ReportMetric(median(whole), "hash/cpu-s")
			b.ReportMetric(median(alone), "bare-hash/cpu-s")
			b.ReportMetric(median(ratio), "ratio")
		})
	}
}

// stretch is how long each of the two is run at a time: long beside what it
// costs to start a goroutine.
const stretch = 200 * time.Millisecond

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
