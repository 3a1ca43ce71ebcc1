//go:build unix

package store

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// writeForEver keeps record after record, each saved once before it is
// finished, and says so.
func writeForEver(_, dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		rec := night(1, time.Now().UTC().Truncate(time.Microsecond), 1, 1e9)
		rec.ID, rec.State = ulid.Make().String(), results.Running
		d, err := s.Create(rec.ID, rec.Start.AddDate(0, -i%3, 0), i%2 == 0)
		if err != nil {
			return err
		}
		if _, err := d.save(rec); err != nil {
			return err
		}
		rec.State = results.Complete
		if _, err := d.commit(rec); err != nil {
			return err
		}
		fmt.Println("done", rec.ID)
		time.Sleep(20 * time.Millisecond)
	}
}

// readForEver opens the index, asks it, and closes it.
func readForEver(_, dir string) error {
	for {
		x, err := OpenIndex(context.Background(), dir)
		if err != nil {
			return err
		}
		n := 0
		for s, err := range x.Series(context.Background(), Filter{Metric: results.Throughput}) {
			if err != nil {
				return err
			}
			n += len(s.Points)
		}
		if len(x.Notes()) > 0 {
			return fmt.Errorf("after %d points: %q", n, x.Notes())
		}
		x.Close()
		fmt.Println("read", n)
	}
}

// TestKillAtRandom ends two writers and two readers with SIGKILL, 200 times at
// random, and starts them again. No record that was said to be kept is lost,
// none is half-written, and the index holds them all.
func TestKillAtRandom(t *testing.T) {
	kills, pause := 200, 80*time.Millisecond
	if testing.Short() {
		kills = 20
	}
	dir := t.TempDir()
	kept := map[string]bool{}
	reads := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := func(role string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+role, childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		wg.Go(func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				mu.Lock()
				if id, ok := strings.CutPrefix(lines.Text(), "done "); ok && len(id) == ulid.EncodedSize {
					kept[id] = true
				} else if strings.HasPrefix(lines.Text(), "read ") {
					reads++
				} else if strings.HasPrefix(lines.Text(), "error") {
					t.Error(role, lines.Text())
				}
				mu.Unlock()
			}
			cmd.Wait()
		})
		return cmd
	}
	roles := []string{"write for ever", "write for ever", "read for ever", "read for ever"}
	children := make([]*exec.Cmd, len(roles))
	for i, role := range roles {
		children[i] = start(role)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	working := func() bool { // on a busy machine a child may be killed before it has done a thing
		mu.Lock()
		defer mu.Unlock()
		return len(kept) > 0 && reads > 0
	}
	for n := 0; n < kills || !working() && n < 3*kills; n++ {
		if n >= kills { // give them more time
			pause = min(pause*5/4, 10*time.Second)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(2 * pause))))
		i := rng.IntN(len(roles))
		children[i].Process.Kill()
		children[i] = start(roles[i])
	}
	for _, c := range children {
		c.Process.Kill()
	}
	wg.Wait()
	require.NotEmpty(t, kept)
	require.NotZero(t, reads)

	finished := map[string]bool{}
	entries, err := List(dir)
	require.NoError(t, err)
	for _, e := range entries {
		f, err := results.LoadFile(e.Path)
		require.NoError(t, err)
		require.Empty(t, f.Verify(), e.Path)
		if !e.Partial {
			finished[e.ID] = true
		}
	}
	for id := range kept {
		require.True(t, finished[id], id)
	}
	x, err := OpenIndex(t.Context(), dir)
	require.NoError(t, err)
	defer x.Close()
	require.Empty(t, x.Notes())
	require.NoError(t, x.Check(t.Context()))
	require.Empty(t, x.Notes())
	indexed := 0
	for _, h := range all(t, x.Records(t.Context(), Filter{})) {
		require.Empty(t, h.Error)
		if h.State == results.Complete {
			require.True(t, finished[h.ID])
			indexed++
		}
	}
	require.Equal(t, len(finished), indexed)
	for _, s := range all(t, x.Series(t.Context(), Filter{Scenario: "mining", Metric: results.Throughput})) {
		require.Len(t, s.Points, indexed)
	}
	t.Logf("%d kills, %d records kept, %d reads of the index", kills, len(kept), reads)
}

// BenchmarkIndex puts night after night of groups into a new index: the tables
// alone, and from record files, where reading and verifying them takes the time.
func BenchmarkIndex(b *testing.B) {
	for _, groups := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("tables/groups=%d", groups), func(b *testing.B) {
			nights := max(4, min(1825, 400_000/(20*groups)))
			points := 0
			var spent time.Duration
			for b.Loop() {
				s, err := Open(b.TempDir())
				require.NoError(b, err)
				x, err := OpenIndex(b.Context(), s.dir)
				require.NoError(b, err)
				began := time.Now()
				n, err := x.Fill(groups, 20, nights)
				require.NoError(b, err)
				spent += time.Since(began)
				points += n
				x.Close()
			}
			b.ReportMetric(float64(points)/spent.Seconds(), "points/s")
		})
	}
	for _, groups := range []int{10, 100} {
		b.Run(fmt.Sprintf("files/groups=%d", groups), func(b *testing.B) {
			s, err := Open(b.TempDir())
			require.NoError(b, err)
			for n := range 2000 / groups {
				for g := range groups {
					keep(b, s, night(g, epoch.AddDate(0, 0, n), 6, 1e9))
				}
			}
			points := 0
			for b.Loop() {
				os.Remove(s.dir + "/" + indexName)
				x, err := OpenIndex(b.Context(), s.dir)
				require.NoError(b, err)
				points = 0
				for _, s := range all(b, x.Series(b.Context(), Filter{})) {
					points += len(s.Points)
				}
				x.Close()
			}
			b.ReportMetric(float64(points*b.N)/b.Elapsed().Seconds(), "points/s")
			b.ReportMetric(2000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkOpenCurrent opens an index to which there is nothing to add: a scan
// of the directories of months that may yet change, a look at those that have
// settled. What the files hold does not matter.
func BenchmarkOpenCurrent(b *testing.B) {
	const records = 20_000
	s, err := Open(b.TempDir())
	require.NoError(b, err)
	for i := range records {
		month, err := s.month(epoch.AddDate(0, i%12, 0))
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(month+"/"+ulid.Make().String()+plain, []byte("x"), 0o644))
	}
	for _, age := range []time.Duration{0, 2 * settles} {
		months, _, err := months(s.dir)
		require.NoError(b, err)
		for _, m := range months {
			at := time.Now().Add(-age)
			require.NoError(b, os.Chtimes(s.dir+"/"+m, at, at))
		}
		x, err := OpenIndex(b.Context(), s.dir)
		require.NoError(b, err)
		x.Close()
		b.Run(fmt.Sprintf("settled=%v", age > settles), func(b *testing.B) {
			for b.Loop() {
				x, err := OpenIndex(b.Context(), s.dir)
				require.NoError(b, err)
				x.Close()
			}
			b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// Fill writes nights of groups of series, as those of a session are called,
// through the same writer as records from files, and of each but the control's
// its ratio to that. Nothing changes in them.
func (x *Index) Fill(groups, series, nights int) (points int, err error) {
	scenarios := []string{"control", "mining", "training", "compute-f32", "memory", "mullet", "idle"}
	metrics := []string{results.Throughput, results.Power, results.WorkPerEnergy}
	relative := []string{results.RelativeThroughput, results.RelativePower, results.RelativeWorkPerEnergy}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < nights; {
		err := x.transact(context.Background(), func(tx *sql.Tx) error {
			w := x.newWriter(context.Background(), tx)
			for wrote := 0; n < nights && wrote < most; n++ {
				for g := range groups {
					at := epoch.AddDate(0, 0, n)
					id := ulid.MustNew(uint64(at.UnixMilli())+uint64(g), ulid.DefaultEntropy()).String()
					group := Group{ID: fmt.Sprintf("g%04d", g), CPU: fmt.Sprint("CPU ", g), Meter: "snmp", Boundary: results.Wall}
					r := read{entry: Entry{Path: x.dir + "/2026-01/" + id + plain}, group: group, header: Header{ID: id, Start: at, State: results.Complete, Group: group.ID, Env: Environment{Revision: fmt.Sprint(n / 7)}}, points: map[Key]results.Figure{}}
					for s := range series {
						v := results.Float(1e9 * math.Exp(0.01*rng.NormFloat64()))
						r.points[Key{Group: group.ID, Scenario: scenarios[s/3], Metric: metrics[s%3]}] = results.Figure{Value: v, Low: 0.99 * v, High: 1.01 * v, N: 6}
						if v /= 1e9; s >= len(metrics) {
							r.points[Key{Group: group.ID, Scenario: scenarios[s/3], Metric: relative[s%3]}] = results.Figure{Value: v, Low: 0.99 * v, High: 1.01 * v, N: 6}
						}
					}
					if err := w.add(&r); err != nil {
						return err
					}
					wrote += len(r.points)
					points += len(r.points)
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	// The month of the files has settled: nobody looks for them.
	if err := errors.Join(os.MkdirAll(x.dir+"/2026-01", 0o755), os.Chtimes(x.dir+"/2026-01", epoch, epoch)); err != nil {
		return 0, err
	}
	_, err = x.db.Exec("INSERT INTO months (month, modified, amendments, others) VALUES ('2026-01', ?, '[]', '{}')", epoch.UnixNano())
	return points, err
}
