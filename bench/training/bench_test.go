//go:build unix

package training

import (
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

// BenchmarkStep is one step, by network and implementation, of a replica for each of -cpu.
func BenchmarkStep(b *testing.B) {
	for _, model := range AllModels() {
		for _, row := range sgemm.Table.Supported(cpu.Info()) {
			b.Run("model="+model+"/impl="+row.Name, func(b *testing.B) {
				opened, err := New(bench.Config{Impl: row.Name, Device: cpu.Device{Threads: runtime.GOMAXPROCS(0)}, Params: map[string]string{"model": model}})
				require.NoError(b, err)
				w := opened.(*workload)
				defer w.Close()
				require.NoError(b, w.Prepare(b.Context()))
				b.ReportAllocs()
				began := benchtest.CPUTime(b)
				for b.Loop() {
					_, err := w.step()
					require.NoError(b, err)
				}
				samples := float64(b.N * w.counts())
				b.ReportMetric(samples/(benchtest.CPUTime(b)-began).Seconds(), "samples/cpu-s")
				b.ReportMetric(samples/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}

// BenchmarkReach is the way to the target.
func BenchmarkReach(b *testing.B) {
	w, err := New(bench.Config{Device: cpu.Device{Threads: runtime.GOMAXPROCS(0)}})
	require.NoError(b, err)
	defer w.Close()
	require.NoError(b, w.Prepare(b.Context()))
	steps := 0
	for b.Loop() {
		target, err := w.(*workload).Reach(b.Context(), bench.NewCounter())
		require.NoError(b, err)
		steps += target.Steps
	}
	b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
}

// BenchmarkPrepare is what comes before the first sample.
func BenchmarkPrepare(b *testing.B) {
	for b.Loop() {
		w, err := New(bench.Config{Device: cpu.Device{Threads: runtime.GOMAXPROCS(0)}})
		require.NoError(b, err)
		require.NoError(b, w.Prepare(b.Context()))
		require.NoError(b, w.Close())
	}
}

// BenchmarkTape is what Gorgonia costs an op that does nothing.
func BenchmarkTape(b *testing.B) {
	for _, net := range slices.Concat(suite, languageModels) {
		b.Run("model="+net.name, func(b *testing.B) {
			r, err := newReplica(net, 4, &core{})
			require.NoError(b, err)
			launches := 0
			r.rehearsal = func(*op) { launches++ }
			b.ReportAllocs()
			began := benchtest.CPUTime(b)
			for b.Loop() {
				r.train.Reset()
				require.NoError(b, r.train.RunAll())
			}
			took := float64((benchtest.CPUTime(b) - began).Nanoseconds())
			b.ReportMetric(took/float64(launches), "cpu-ns/launch")
			b.ReportMetric(took/float64(b.N), "cpu-ns/step") // of mlp and cnn, whose ops are few
		})
	}
}
