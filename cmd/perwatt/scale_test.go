package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/resultstest"
)

// BenchmarkFiles is perwatt compare and perwatt report on files of ten runs
// each, of twenty nodes.
func BenchmarkFiles(b *testing.B) {
	dir := b.TempDir()
	var files []string
	for _, n := range []int{50, 500, 5000} {
		if n > 500 && testing.Short() {
			continue
		}
		for i := len(files); i < n; i++ {
			raw, err := results.Seal(resultstest.Session(resultstest.Server(fmt.Sprintf("node%02d", i%20), 1+float64(i%20)/100), i, 2, uint64(i)))
			require.NoError(b, err)
			files = append(files, filepath.Join(dir, fmt.Sprintf("%04d.json", i)))
			require.NoError(b, os.WriteFile(files[i], raw, 0o644))
		}
		a := against{margin: 0.02, seed: 1}
		b.Run(fmt.Sprintf("compare/records=%d", n), func(b *testing.B) {
			began := benchtest.CPUTime(b)
			for b.Loop() {
				_, _, err := a.load(b.Context(), nil, files)
				require.NoError(b, err)
			}
			b.ReportMetric((benchtest.CPUTime(b)-began).Seconds()*1e3/float64(b.N*n), "CPU-ms/record")
		})
		b.Run(fmt.Sprintf("report/records=%d", n), func(b *testing.B) {
			began := benchtest.CPUTime(b)
			for b.Loop() {
				page, _, err := a.load(b.Context(), nil, files)
				require.NoError(b, err)
				for _, i := range report.Traced(page) {
					require.NoError(b, results.ReadSamples(page.Records[i], files[i]))
				}
				var out bytes.Buffer
				require.NoError(b, report.WriteHTML(&out, page))
				b.ReportMetric(float64(out.Len()), "B/page")
			}
			b.ReportMetric((benchtest.CPUTime(b)-began).Seconds()*1e3/float64(b.N*n), "CPU-ms/record")
		})
	}
}
