package main

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/harness"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// BenchmarkThroughHarness compares the rate that a session reports with that
// of the same kernel in a bare loop, both per CPU-second. The two share one
// CPU, so that the scheduler alternates them every few milliseconds and the
// clock, the neighbours and the temperature are the same for both:
//
//	go test -run '^$' -bench ThroughHarness -benchtime 9x ./cmd/perwatt
func BenchmarkThroughHarness(b *testing.B) {
	node, err := harness.Fingerprint(harness.Roots{}, devices.Merge())
	require.NoError(b, err)
	var ratios []float64
	for b.Loop() {
		loop := startBare(b, node.Settings.CPUs[0])
		code, stdout, stderr := perwatt(b, b.Context(), "run", "--preset", "smoke", "--uses", "mining", "--impl", "sha256d=stdlib",
			"--threads", "1", "--window", "5s", "--store", b.TempDir(), "--format", "json")
		samples := loop()
		require.Equal(b, exitOK, code, stderr)
		rec := record(b, stdout)
		p, _ := rec.Runs[1].Phase(results.PhaseMeasure)
		from, to := rec.Start.Add(time.Duration(p.From*1e9)), rec.Start.Add(time.Duration(p.To*1e9))
		bare := slices.DeleteFunc(samples, func(s bareSample) bool { return s.at.Before(from) || s.at.After(to) })
		first, last := bare[0], bare[len(bare)-1]
		rate := rec.Summary.Rows[1].Metrics[results.CPUThroughput].Value
		ratios = append(ratios, float64(rate)/((last.hashes-first.hashes)/(last.cpu-first.cpu)))
	}
	b.Logf("harness/bare, in order: %.4f", ratios)
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "harness/bare")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHarness says what the whole harness takes of one core while it
// watches a window, sampling at 10 Hz:
//
//	go test -run '^$' -bench 'Harness$' -benchtime 5x ./cmd/perwatt
func BenchmarkHarness(b *testing.B) {
	var cost []float64
	for b.Loop() {
		code, stdout, stderr := perwatt(b, b.Context(), "run", "--preset", "smoke", "--uses", "mining", "--threads", "1",
			"--window", "5s", "--store", b.TempDir(), "--format", "json")
		require.Equal(b, exitOK, code, stderr)
		for _, r := range record(b, stdout).Runs {
			p, _ := r.Phase(results.PhaseMeasure)
			used := r.Trace(results.HarnessCPU).Over(float64(p.From), float64(p.To))
			cost = append(cost, 100*float64(used/(p.To-p.From)))
		}
	}
	slices.Sort(cost)
	b.ReportMetric(cost[len(cost)/2], "%core")
	b.ReportMetric(0, "ns/op")
}

// bareSample is how far a bare loop has come: hashes, and the CPU time of its
// thread in seconds.
type bareSample struct {
	at          time.Time
	hashes, cpu float64
}

// startBare scans on one thread of the given CPU until the returned function
// is called.
func startBare(b *testing.B, cpu int) (stop func() []bareSample) {
	im, err := sha256d.Table.ByName("stdlib")
	require.NoError(b, err)
	quit, out := make(chan struct{}), make(chan []bareSample)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends pinned
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			panic(err)
		}
		var job sha256d.Job
		job.Set(new(sha256d.Header), new(sha256d.Target))
		var samples []bareSample
		for hashes := 0.0; ; {
			var ts unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
				panic(err)
			}
			samples = append(samples, bareSample{time.Now(), hashes, float64(ts.Nano()) / 1e9})
			select {
			case <-quit:
				out <- samples
				return
			default:
			}
			im.Impl(nil, &job, 0, 4096)
			hashes += 4096
		}
	}()
	return func() []bareSample { close(quit); return <-out }
}
