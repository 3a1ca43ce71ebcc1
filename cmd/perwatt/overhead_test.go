package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// BenchmarkThroughHarness compares the rate that a session reports with that
// of the same kernel in a bare loop, both per CPU-second and alternated, and
// says what sampling took of one core:
//
//	go test -run '^$' -bench ThroughHarness -benchtime 7x ./cmd/perwatt
func BenchmarkThroughHarness(b *testing.B) {
	var ratios, sampling []float64
	for b.Loop() {
		before := bare(b)
		code, stdout, stderr := perwatt(b, b.Context(), "run", "--preset", "smoke", "--uses", "mining", "--impl", "sha256d=stdlib",
			"--threads", "1", "--window", "3s", "--store", b.TempDir(), "--format", "json")
		require.Equal(b, exitOK, code, stderr)
		after := bare(b)
		rec := record(b, stdout)
		rate := rec.Summary.Rows[1].Metrics[results.CPUThroughput].Value
		ratios = append(ratios, float64(rate)/((before+after)/2))
		for _, r := range rec.Runs {
			p, _ := r.Phase(results.PhaseMeasure)
			used := r.Trace(results.HostSelf).Over(float64(p.From), float64(p.To))
			sampling = append(sampling, 100*float64(used/(p.To-p.From)))
		}
	}
	slices.Sort(ratios)
	slices.Sort(sampling)
	b.ReportMetric(ratios[len(ratios)/2], "harness/bare")
	b.ReportMetric(sampling[len(sampling)/2], "%core-sampling")
	b.ReportMetric(0, "ns/op")
}

// bare scans on this thread for about two seconds of its CPU time and returns
// hashes per CPU-second.
func bare(b *testing.B) float64 {
	im, err := sha256d.Lookup("stdlib")
	require.NoError(b, err)
	var job sha256d.Job
	job.Set(new(sha256d.Header), new(sha256d.Target))
	now := func() float64 {
		var ts unix.Timespec
		require.NoError(b, unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts))
		return float64(ts.Nano()) / 1e9
	}
	hashes, began := 0.0, now()
	for now()-began < 2 {
		im.Scan(nil, &job, 0, 1024)
		hashes += 1024
	}
	return hashes / (now() - began)
}
