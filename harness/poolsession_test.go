package harness

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// elsewhere is a device that hands in a share a millisecond, of 100 hashes.
type elsewhere struct {
	mu      sync.Mutex // of shares and the count together
	shares  atomic.Int64
	runs    atomic.Int64
	wrong   atomic.Bool
	never   bool
	offset  uint64 // of the counter, at the beginning
	refused int64
	silent  bool        // it never begins
	gaps    []bench.Gap // what is not known
	done    *bench.Counter
}

func (e *elsewhere) Info() bench.Info {
	return bench.Info{Name: "stratum", Use: "mining", Device: results.MinerDevice, Impl: "device", Unit: results.Hash, Threads: 1}
}

func (e *elsewhere) Shares() results.Shares {
	return results.Shares{Difficulty: 1, Work: 100, Agent: "test/1"}
}

func (e *elsewhere) Prepare(ctx context.Context) error {
	if e.never {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// Begin is when the next share comes.
func (e *elsewhere) Begin(ctx context.Context) (bench.Start, error) {
	if e.silent {
		<-ctx.Done()
		return bench.Start{}, ctx.Err()
	}
	for n := e.shares.Load(); ; time.Sleep(100 * time.Microsecond) {
		e.mu.Lock()
		if e.shares.Load() > n {
			defer e.mu.Unlock()
			count, _, _ := e.done.Load()
			return bench.Start{At: time.Now(), Count: count, Counters: e.told()}, nil
		}
		e.mu.Unlock()
	}
}

func (e *elsewhere) Gaps() []bench.Gap { return e.gaps }

func (e *elsewhere) Run(ctx context.Context, done *bench.Counter) error {
	if e.runs.Add(1) == 1 {
		done.Add(e.offset)
	}
	e.mu.Lock()
	e.done = done
	e.mu.Unlock()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			e.mu.Lock()
			e.shares.Add(1)
			done.Add(100)
			e.mu.Unlock()
		}
	}
}

func (e *elsewhere) Counters() []bench.CounterValue {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told()
}

// shares is the key of a class of shares.
func shares(class string) results.TraceKey {
	return results.TraceKey{Kind: results.TraceShares, Use: "mining", Device: results.MinerDevice, Channel: class}
}

func (e *elsewhere) told() []bench.CounterValue {
	return []bench.CounterValue{
		{Kind: results.TraceShares, Class: "accepted", Unit: results.Share, Value: float64(e.shares.Load())},
		{Kind: results.TraceShares, Class: "duplicate", Unit: results.Share, Value: float64(e.refused)},
		{Kind: results.TraceShares, Class: "low", Unit: results.Share},
		{Kind: results.TraceAway, Unit: results.Second},
	}
}

func (e *elsewhere) Check() []results.Check {
	return []results.Check{{Use: "mining", Name: "luck", OK: !e.wrong.Load(), Detail: "it cheats"}}
}

func (e *elsewhere) Close() error { return nil }

// boast is a device that says of itself what it likes.
type boast struct{ n int }

func (*boast) Info() miner.Info { return miner.Info{Name: "boast", API: "cgminer", Model: "S0"} }
func (*boast) Close() error     { return nil }
func (b *boast) Read(context.Context) (miner.Answer, error) {
	if b.n++; b.n > 1 {
		return miner.Answer{}, errors.New("gone")
	}
	return miner.Answer{At: time.Now(), Figures: []results.SelfReportedField{{Of: results.ReportedRate, Name: "GHS", Value: results.SelfReport(1e6), Unit: "hash/s"}}}, nil
}

func newRemote(t *testing.T, e *elsewhere) (r *PoolSession, saved *[]results.State) {
	saved = new([]results.State)
	return &PoolSession{
		Record: &results.Record{
			Schema: results.SchemaVersion, ID: "01KDYBS1CY0000000000000000", Runs: []results.Run{},
			Plan: results.Plan{Preset: "pool", Scenarios: []string{"mining"}, Rounds: 3, Session: 1, Sessions: 1, Warmup: 0.05, Settle: 0.02, Window: 0.4, Interval: 0.02},
		},
		Load: e, Meters: []power.Meter{&ramp{t0: time.Now()}}, Every: 20 * time.Millisecond,
		Save: func(rec *results.Record) error {
			*saved = append(*saved, rec.State)
			_, err := results.Seal(rec)
			return err
		},
		Look: func(*results.Record) bool { return false },
	}, saved
}

// whole holds what must be true of every session that measured.
func whole(t *testing.T, e *elsewhere, rec *results.Record) {
	t.Helper()
	require.NotEmpty(t, rec.Runs)
	first, _ := rec.Runs[0].Phase(results.PhaseMeasure)
	last := first
	sum := results.Float(0)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		p, ok := r.Phase(results.PhaseMeasure)
		require.True(t, ok)
		require.Equal(t, i+1, r.Round)
		if i > 0 {
			require.Equal(t, last.To, p.From, "no time between windows")
		}
		last = p
		n := r.Trace(results.UseKey(results.TraceWork, "mining", results.MinerDevice)).Over(float64(p.From), float64(p.To))
		require.Equal(t, n, 100*r.Trace(shares("accepted")).Over(float64(p.From), float64(p.To)), "both counters at one instant")
		require.Equal(t, math.Round(float64(n)), float64(n), "no share is cut in two")
		sum += n
		require.Nil(t, r.Trace(shares("low")), "of what never came")
		require.Equal(t, &results.Shares{Difficulty: 1, Work: 100, Agent: "test/1"}, r.Uses[0].Shares)
	}
	require.InDelta(t, 100*float64(e.shares.Load()), float64(sum), 100*300, "all but the warm-up")
	span := float64(last.To - first.From)
	require.InEpsilon(t, float64(sum)/span, float64(rec.Summary.Rows[0].Metrics[results.Throughput].Value), 1e-6)
	for _, w := range rec.Summary.Windows() {
		require.InEpsilon(t, 100*w.Duration, float64(w.Energy), 0.02, "the meter was read on both sides of every window")
	}
}

func TestRemote(t *testing.T) {
	e := &elsewhere{refused: 3, offset: math.MaxUint64 - 60_000} // the count wraps
	r, saved := newRemote(t, e)
	b := &boast{}
	r.Claims = []miner.Client{b}
	open := 0
	r.Look = func(rec *results.Record) bool {
		if rec.State == results.Running && len(rec.Runs) > 0 {
			open++
			p, _ := rec.Runs[len(rec.Runs)-1].Phase(results.PhaseMeasure)
			require.Greater(t, p.To, p.From)
			require.NotEmpty(t, rec.Summary.Rows)
		}
		return false
	}
	require.NoError(t, r.Run(t.Context()))
	rec := r.Record
	require.Equal(t, results.Complete, rec.State)
	require.Len(t, rec.Runs, 3)
	whole(t, e, rec)
	require.Positive(t, open, "it was shown as it went on")
	require.Equal(t, []string{"prepare", "warmup", "measure"}, []string{rec.Runs[0].Phases[0].Name, rec.Runs[0].Phases[1].Name, rec.Runs[0].Phases[2].Name})
	require.Len(t, rec.Runs[1].Phases, 1)
	require.Equal(t, int64(2), e.runs.Load(), "what counts is handed out after the warm-up")
	require.Equal(t, results.Complete, (*saved)[len(*saved)-1])
	require.Equal(t, results.Running, (*saved)[0], "kept while it goes on")
	require.NotNil(t, rec.Runs[0].Trace(shares("duplicate")))
	require.GreaterOrEqual(t, b.n, 2, "asked at the beginning and again")
	var said []results.SelfReportedSample
	for _, run := range rec.Runs {
		for _, c := range run.Claims {
			require.Equal(t, "boast", c.Device)
			require.Equal(t, "mining", c.Use)
			said = append(said, c.Samples...)
		}
	}
	require.NotEmpty(t, said)
	require.Equal(t, []string{"gone"}, said[len(said)-1].Refused)
	for _, run := range rec.Runs {
		require.Equal(t, results.OK, run.Status)
	}
	require.Len(t, rec.Runs[2].Checks, 1)
}

// TestAround: a window has its answers, and one at or beyond each end.
func TestAround(t *testing.T) {
	var said []results.SelfReportedSample
	for _, at := range []results.Float{10, 20, 30, 40} {
		said = append(said, results.SelfReportedSample{T: at})
	}
	for _, c := range []struct{ from, to, first, last results.Float }{
		{15, 35, 10, 40}, {20, 30, 20, 30}, {5, 45, 10, 40}, {21, 29, 20, 30}, {35, results.Float(math.Inf(1)), 30, 40}, {50, 60, 40, 40}, {0, 5, 10, 10},
	} {
		got := around(said, c.from, c.to)
		require.Equal(t, []results.Float{c.first, c.last}, []results.Float{got[0].T, got[len(got)-1].T}, c)
	}
	require.Empty(t, around(nil, 1, 2))
}

// TestRemoteIsInterrupted: a last window of less than half the planned length
// is a part of the one before it. Each session is cancelled in a certain part of
// a window; one whose end came late, on a busy machine, is run again.
func TestRemoteIsInterrupted(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		until  string
		in     int           // the window in which it is cancelled
		from   results.Float // the part of the planned length that has passed by then
		to     results.Float // the part within which it must have ended
		state  results.State
		runs   int
	}{
		{"early in the first", 10, "", 1, 0.2, 0.9, results.Interrupted, 1},
		{"early in the second", 10, "", 2, 0, 0.45, results.Interrupted, 1},
		{"late in the second", 10, "", 2, 0.55, 0.9, results.Interrupted, 2},
		{"early in the second, until a width", 0, "2%", 2, 0, 0.45, results.Interrupted, 1},
		{"early in the second, with no end of its own", 0, "", 2, 0, 0.45, results.Complete, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 {
				e := new(elsewhere)
				r, _ := newRemote(t, e)
				r.Record.Plan.Rounds, r.Record.Plan.Until = c.rounds, c.until
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				opened := results.Absent()
				r.Look = func(rec *results.Record) bool {
					if n := len(rec.Runs); n > c.in {
						cancel()
					} else if n == c.in {
						if p, _ := rec.Runs[n-1].Phase(results.PhaseMeasure); p.To-p.From >= c.from*rec.Plan.Window {
							opened = p.From
							cancel()
						}
					}
					return false
				}
				require.NoError(t, r.Run(ctx))
				require.Equal(t, c.state, r.Record.State)
				whole(t, e, r.Record)
				end, ok := r.Record.Runs[len(r.Record.Runs)-1].Phase(results.PhaseMeasure)
				require.True(t, ok)
				if end.To-opened < c.to*r.Record.Plan.Window {
					require.Len(t, r.Record.Runs, c.runs)
					return
				}
			}
			t.Fatal("the machine was too busy to end a session in time, 20 times over")
		})
	}
}

func TestRemoteHasSeenEnough(t *testing.T) {
	e := new(elsewhere)
	r, _ := newRemote(t, e)
	r.Record.Plan.Rounds, r.Record.Plan.Until = 0, "8%"
	r.Look = func(rec *results.Record) bool {
		return len(rec.Summary.Rows) > 0 && rec.Summary.Rows[0].Metrics[results.Throughput].HalfWidth() <= 0.08
	}
	require.NoError(t, r.Run(t.Context()))
	require.Equal(t, results.Complete, r.Record.State)
	whole(t, e, r.Record)
}

// A device that is found out in its last window has none that counts.
func TestRemoteIsVoid(t *testing.T) {
	e := new(elsewhere)
	r, _ := newRemote(t, e)
	r.Look = func(rec *results.Record) bool {
		if len(rec.Runs) == 3 {
			e.wrong.Store(true)
		}
		return false
	}
	require.NoError(t, r.Run(t.Context()))
	require.Len(t, r.Record.Runs, 3)
	for _, run := range r.Record.Runs {
		require.Equal(t, results.Void, run.Status)
		require.Equal(t, "luck: it cheats", run.Error)
	}
	require.Empty(t, r.Record.Summary.Rows)
	require.False(t, r.Record.Summary.Validity.Valid)
}

// A window in which it is not known what the device did has no figure, and the
// others stand; one that holds a silence and the shares of it is known.
func TestRemoteGaps(t *testing.T) {
	second := func(s float64) time.Duration { return time.Duration(s * 1e9) }
	for _, c := range []struct {
		name     string
		from, to float64 // s of the first window's beginning
		late     bool
		failed   []bool
	}{
		{"in the second window", 0.5, 0.6, false, []bool{false, true, false}},
		{"over an edge", 0.3, 0.5, false, []bool{true, true, false}},
		{"over all", -1, 9, false, []bool{true, true, true}},
		{"before", -1, -0.1, false, []bool{false, false, false}},
		{"late, within a window", 0.5, 0.6, true, []bool{false, false, false}},
		{"late, over an edge", 0.3, 0.5, true, []bool{true, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := new(elsewhere)
			r, _ := newRemote(t, e)
			set := false
			r.Look = func(rec *results.Record) bool {
				if len(rec.Runs) == 0 { // a slow machine has no sample of the window yet
					return false
				}
				if p, ok := rec.Runs[0].Phase(results.PhaseMeasure); ok && !set {
					begun := rec.Start.Add(second(float64(p.From)))
					e.gaps, set = []bench.Gap{{From: begun.Add(second(c.from)), To: begun.Add(second(c.to)), Late: c.late, Why: "no share came"}}, true
				}
				return false
			}
			require.NoError(t, r.Run(t.Context()))
			require.Len(t, r.Record.Runs, 3)
			known := 0
			for i, failed := range c.failed {
				run := r.Record.Runs[i]
				if failed {
					require.Equal(t, results.Failed, run.Status)
					require.Contains(t, run.Error, "no share came")
				} else {
					require.Equal(t, results.OK, run.Status)
					known++
				}
			}
			if known == 0 {
				require.Empty(t, r.Record.Summary.Rows)
			} else {
				require.Equal(t, known, r.Record.Summary.Rows[0].Metrics[results.Throughput].N)
			}
		})
	}
}

func TestRemoteMeasuredNothing(t *testing.T) {
	for _, never := range []bool{true, false} {
		r, saved := newRemote(t, &elsewhere{never: never})
		r.Record.Plan.Warmup = 3600
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, r.Run(ctx), ErrNothing)
		require.Empty(t, *saved, "who only knocked leaves no record")
	}
	// A device that falls silent in its warm-up has no window that begins.
	r, saved := newRemote(t, &elsewhere{silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Run(ctx), ErrNothing)
	require.Empty(t, *saved)
	r, _ = newRemote(t, new(elsewhere))
	r.Save = func(*results.Record) error { return errors.New("disk full") }
	require.ErrorIs(t, r.Run(t.Context()), ErrSave)
}

// A meter that fails leaves a gap, and rate and watts are of the other windows.
func TestRemoteMeterFails(t *testing.T) {
	e := new(elsewhere)
	r, _ := newRemote(t, e)
	n := 0
	r.Meters = []power.Meter{&ramp{t0: time.Now(), fail: func(int) error {
		if n++; n > 10 && n < 14 {
			return errors.New("timeout")
		}
		return nil
	}}}
	require.NoError(t, r.Run(t.Context()))
	require.Len(t, r.Record.Runs, 3)
	m := r.Record.Summary.Rows[0].Metrics
	require.Less(t, m[results.Power].N, 3)
	require.Equal(t, m[results.Power].N, m[results.Throughput].N)
	require.True(t, slices.ContainsFunc(r.Record.Summary.Flags, func(w results.Warning) bool { return w.Code == "window-left-out" }))
}
