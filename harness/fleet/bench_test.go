package fleet_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
)

// BenchmarkGrowth shows how a measurement grows with its nodes: what the scheduler takes of
// an engine that answers at once, and what collecting takes where all records came while
// nobody watched, into a real store: those of the simulated nodes, of 5 kB, and metered ones
// of 56 kB, each of idling and mining in two rounds, at an outlet that was read every second.
// The jobs take no time, so that the times are ours alone. One iteration is a fleet:
// -benchtime 1x.
func BenchmarkGrowth(b *testing.B) {
	for _, nodes := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			for range b.N {
				growth(b, nodes)
			}
		})
	}
}

func growth(b *testing.B, nodes int) {
	collect(b, nodes, "", nil)
	collect(b, nodes, "metered-", metered)

	// A whole measurement in windows of 200, with a query a period.
	e := fleettest.New(nodes, nil)
	g, err := fleet.New(filepath.Join(b.TempDir(), "g"), e.Roster("growth"))
	require.NoError(b, err)
	defer g.Close()
	began := time.Now()
	var k kept
	o := fleet.Options{Engine: e, Store: &k, Window: 200, Period: 200 * time.Millisecond, Patience: time.Hour, Say: func(string) {}, Update: func(fleet.Progress) {}}
	_, err = g.Run(b.Context(), o)
	require.NoError(b, err)
	b.ReportMetric(float64(e.Queries)/max(1, time.Since(began).Seconds()/o.Period.Seconds()), "queries/period")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/1e6, "MB") // of the whole process, with the simulated engine
}

// collect submits to all nodes, which leave records, and collects these.
func collect(b *testing.B, nodes int, what string, write func(fleet.Job, *results.Record) error) {
	st, err := store.Open(b.TempDir())
	require.NoError(b, err)
	e := fleettest.New(nodes, func(string, int) fleettest.Job { return fleettest.Job{Write: write} })
	began, cpu := time.Now(), processor()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	f, err := fleet.New(fleet.Dir(st.Place(), "growth"), e.Roster("growth"))
	require.NoError(b, err)
	defer f.Close()
	o := fleet.Options{Engine: e, Store: taker{st}, Window: nodes, Period: time.Hour, Patience: time.Hour, Say: func(string) {}, Update: func(fleet.Progress) {
		if len(e.Submits()) == nodes {
			cancel()
		}
	}}
	_, err = f.Run(ctx, o)
	require.ErrorIs(b, err, fleet.ErrLeft)
	b.ReportMetric(float64(nodes)/time.Since(began).Seconds(), "submissions/s")
	b.ReportMetric(float64(nodes)/(processor()-cpu), "submissions/cpu-s")
	require.NoError(b, e.Settle())

	began, cpu = time.Now(), processor()
	sum, err := f.Collect(b.Context(), taker{st}, func(int, int) {})
	require.NoError(b, err)
	require.Equal(b, nodes, sum.Records)
	b.ReportMetric(time.Since(began).Seconds(), what+"collect-s")
	b.ReportMetric(processor()-cpu, what+"collect-cpu-s")
}

// taker is a store that takes each record once.
type taker struct{ *store.Store }

func (t taker) Take(f *results.File) error {
	_, err := t.Store.Take(f)
	return err
}

// metered writes a record of the size that a metered node sends in place of a simulated one.
func metered(job fleet.Job, simulated *results.Record) error {
	n := resultstest.Server(job.Node.Name, 1)
	n.Only = []string{"idle", "mining"}
	rec := resultstest.Session(n, 1, 2, 1)
	rec.ID, rec.Start, rec.End, rec.Plan.Fleet = simulated.ID, simulated.Start, simulated.End, simulated.Plan.Fleet
	_, err := fleettest.Write(job.Dir, rec)
	return err
}

// processor is the CPU time of this process, in s.
func processor() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
