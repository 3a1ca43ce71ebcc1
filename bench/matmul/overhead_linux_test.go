package matmul

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

// BenchmarkOverhead compares the workload with the bare calls of the kernel
// that it is made of, in operations per CPU-second, which a neighbour on the
// machine disturbs less than wall time: the median of alternated pairs. A
// ratio of 1 means that queue, counter and checks cost nothing.
func BenchmarkOverhead(b *testing.B) {
	for _, row := range sgemm.Table.Supported(cpu.Info()) {
		b.Run(row.Name, func(b *testing.B) {
			opened, err := New(bench.Config{Impl: row.Name})
			if err != nil {
				b.Fatal(err)
			}
			defer opened.Close()
			w := opened.(*workload)
			if err := w.Prepare(b.Context()); err != nil {
				b.Fatal(err)
			}
			var ratios, rates []float64
			for b.Loop() {
				done, at := bench.NewCounter(), w.queue.Load()
				began := benchtest.CPUTime(b).Seconds()
				ctx, cancel := context.WithTimeout(b.Context(), 300*time.Millisecond)
				if err := w.Run(ctx, done); err != nil {
					b.Fatal(err)
				}
				cancel()
				flop, _, _ := done.Load()
				rate := float64(flop) / (benchtest.CPUTime(b).Seconds() - began)
				w.Check() // finish the block in hand: the bare calls write C, too

				began = benchtest.CPUTime(b).Seconds()
				bare := w.bare(at, flop) / (benchtest.CPUTime(b).Seconds() - began)
				ratios, rates = append(ratios, rate/bare), append(rates, rate)
			}
			b.ReportMetric(median(rates), "FLOP/cpu-s")
			b.ReportMetric(median(ratios), "of-bare")
		})
	}
}

// bare makes the calls that the workload makes for the blocks from ticket on,
// until flop operations are done, and nothing else.
func (w *workload) bare(ticket, flop uint64) float64 {
	var sum uint64
	for ; sum < flop; ticket++ {
		block := int(ticket % uint64(w.blocks()))
		i, j := block/w.columns()*w.block.M, block%w.columns()*w.block.N
		m, n := min(w.block.M, w.n-i), min(w.block.N, w.n-j)
		for l := 0; l < w.n && sum < flop; l += w.block.K {
			kk, beta := min(w.block.K, w.n-l), float32(min(l, 1))
			w.gemm(false, false, m, n, kk, 1, w.a[i*w.ld+l:], w.ld, w.b[l*w.ld+j:], w.ld, beta, w.c[i*w.ld+j:], w.ld)
			sum += 2 * uint64(m) * uint64(n) * uint64(kk)
		}
	}
	return float64(sum)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// While a processor works the host does not: at most 2 % of a core. A neighbour on
// the machine makes a second dearer, so that the best of some counts.
func TestHostIsIdle(t *testing.T) {
	on := &sleeper{Processor: interpreter("sm_80")}
	w := opened(t, on, gemm.BF16, 64)
	require.NoError(t, w.Prepare(t.Context()))
	best := math.Inf(1)
	for try := 0; try < 5 && best > 0.02; try++ {
		on.launches, on.syncs = 0, 0
		written := w.written
		ctx, cancel := context.WithCancel(t.Context())
		on.slept = func() {
			if on.launches >= 100 {
				cancel()
			}
		}
		done, began := bench.NewCounter(), benchtest.CPUTime(t).Seconds()
		require.NoError(t, w.Run(ctx, done))
		best = min(best, (benchtest.CPUTime(t).Seconds()-began)/(0.010*float64(on.launches)))
		flop, _, _ := done.Load()
		products := (on.launches - int(w.written-written)) / 2 // an exchange each, and a B that is written anew
		require.EqualValues(t, products*2*64*64*64, flop)
		require.LessOrEqual(t, on.syncs, on.launches/2, "several launches at a time")
		require.GreaterOrEqual(t, on.syncs, on.launches/32, "and not too many")
	}
	t.Logf("%.2f %% of a core", 100*best)
	require.LessOrEqual(t, best, 0.02)
}

// sleeper is a processor that takes 10 ms a launch and computes nothing, from when
// slept is set.
type sleeper struct {
	device.Processor
	pending, launches, syncs int
	slept                    func()
}

func (s *sleeper) Submit(launches ...device.Launch) error {
	if s.slept == nil {
		return s.Processor.Submit(launches...)
	}
	s.pending += len(launches)
	return nil
}

func (s *sleeper) Sync() error {
	if s.slept != nil {
		time.Sleep(time.Duration(s.pending) * 10 * time.Millisecond)
		s.launches, s.pending, s.syncs = s.launches+s.pending, 0, s.syncs+1
		s.slept()
	}
	return nil
}

// BenchmarkPrepare shows what stands before the first answer.
func BenchmarkPrepare(b *testing.B) {
	w, err := New(bench.Config{Device: cpu.Device{Threads: 2}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := w.Prepare(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
