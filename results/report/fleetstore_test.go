//go:build unix

package report_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// BenchmarkFleetStore is perwatt fleet report over a store of real records, in its steps:
// all records into a new index, the same index opened again, analysis, text and page. Of
// 10,000 nodes the last four are to take 5 s, the page 5 MB and the process 500 MB at most.
func BenchmarkFleetStore(b *testing.B) {
	for _, nodes := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			dir := b.TempDir()
			roster, outcomes := stored(b, dir, nodes)
			took := func(step string, do func()) {
				began, before := time.Now(), usage(b)
				do()
				after := usage(b)
				b.ReportMetric(time.Since(began).Seconds(), step+"-s")
				b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/1e9, step+"-cpu-s")
			}
			for b.Loop() {
				old, err := filepath.Glob(filepath.Join(dir, "index.sqlite*"))
				require.NoError(b, err)
				for _, f := range old {
					require.NoError(b, os.Remove(f))
				}
				var x *store.Index
				var a *site.Analysis
				took("index", func() {
					x, err = store.OpenIndex(context.Background(), dir)
					require.NoError(b, err)
					require.NoError(b, x.Close())
				})
				took("open", func() {
					x, err = store.OpenIndex(context.Background(), dir)
					require.NoError(b, err)
				})
				took("analysis", func() {
					a, err = site.Read(context.Background(), x, roster, outcomes, site.Options{})
					require.NoError(b, err)
				})
				require.NoError(b, x.Close())
				require.Equal(b, nodes, a.Counts[site.Good]+a.Counts[site.Outlier], "%v", a.Counts)
				var text, page bytes.Buffer
				took("text", func() {
					require.NoError(b, report.WriteFleet(&text, report.Text, report.FleetPage{Analysis: a}, report.Options{}))
				})
				took("page", func() {
					require.NoError(b, report.WriteFleetHTML(&page, report.FleetPage{Analysis: a}))
				})
				b.ReportMetric(float64(page.Len())/1e6, "MB/page")
				b.ReportMetric(float64(usage(b).Maxrss)/1e3, "MB") // KiB on Linux; of the whole process
			}
		})
	}
}

func usage(b *testing.B) (u syscall.Rusage) {
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u
}

// stored writes the records of a fleet of equal nodes, spread by 1 %, into a store.
func stored(b *testing.B, dir string, nodes int) (site.Roster, []site.Outcome) {
	roster := fleettest.New(nodes, nil).Roster("stored")
	random := rand.New(rand.NewPCG(1, 2))
	month := filepath.Join(dir, roster.Start.UTC().Format("2006-01"))
	require.NoError(b, os.Mkdir(month, 0o755))
	var outcomes []site.Outcome
	for i, n := range roster.Nodes {
		began := roster.Start.Add(time.Duration(i) * time.Second)
		rec := fleettest.Record(fleet.Job{Fleet: roster.Name, Node: n, Attempt: 1}, began, began.Add(10*time.Second))
		own := 1 + 0.01*random.NormFloat64()
		work := &rec.Runs[0].Traces[0]
		for k := range work.V {
			work.V[k] *= results.Float(own)
		}
		rec.Summary = results.Derive(rec)
		raw, err := results.Seal(rec)
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
		outcomes = append(outcomes, site.Outcome{Node: n.Name, State: site.Done, Attempts: []site.Attempt{{Number: 1, Job: "1", Start: began, End: began.Add(10 * time.Second), Records: []string{rec.ID}}}})
	}
	return roster, outcomes
}
