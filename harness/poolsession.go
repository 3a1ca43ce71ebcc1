package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// PoolSession is one measuring session on a miner: an ASIC that mines against our pool.
// There is no worker process, and the machine that runs the pool is not measured. The
// miner runs on between windows, which follow one another without a gap.
//
// The plan's Warmup begins with the miner's first share. Settle follows, on jobs issued
// after the warm-up, so that earlier work does not count; the first window begins with
// a share of such a job. A window in which the miner's work is unknown fails; the
// others remain valid. If Rounds is 0, windows follow one another until Look returns
// true or the context ends.
type PoolSession struct {
	// Record holds the facts known before the session: tool, node, plan and meter
	// probes. Run adds the rest.
	Record *results.Record
	Load   bench.ShareWorkload
	Meters []power.Meter  // of this miner alone
	Claims []miner.Client // its own APIs
	Heart  *Heartbeat     // of this process; nil for none
	Every  time.Duration  // interval of looks; the record is saved at every 30th
	Save   func(*results.Record) error
	// Look gets a snapshot of the record, with the open window among its runs, and
	// returns whether the session may end. It must not keep the record.
	Look func(*results.Record) (enough bool)
}

const (
	savesAfter  = 30               // looks
	touchEvery  = 10 * time.Second // between samples of counters within a window; less in short windows
	claimsEvery = time.Minute      // between queries of a miner; less in short windows
)

// ErrNothing is wrapped by the error of a session on a miner that ended with nothing to
// record.
var ErrNothing = errors.New("nothing was measured")

// window is a measured interval; it is open while to is 0.
type window struct {
	from, to results.Float
	anchor   results.Anchor
	patience time.Time // deadline for the samples that close it
}

// poolSession is a running session.
type poolSession struct {
	*PoolSession
	clock   clock
	use     results.Use
	before  []results.Phase // the first window
	sampler *sampler
	done    *bench.Counter
	last    uint64  // count of done up to which total counts
	total   float64 // counts
	touched time.Time

	final   []results.Run
	windows []window // the windows after final: one or two closed ones, and the open one

	mu     sync.Mutex
	claims []results.Claim
}

// Run measures until the plan is carried out, Look returns true, or ctx ends, and
// leaves everything in r.Record. It returns nil if that could be saved. If ctx ends it,
// a session of open length is complete; any other is interrupted.
func (r *PoolSession) Run(ctx context.Context) error {
	rec := r.Record
	t0 := time.Now()
	rec.Start, rec.State = t0.UTC().Round(time.Microsecond), results.Running
	rec.Meters = Describe(r.Meters)
	m := &poolSession{PoolSession: r, done: bench.NewCounter(), clock: clock{t0: t0, origin: bench.Monotonic() - int64(time.Since(t0))}}
	prepare := results.Phase{Name: results.PhasePrepare, From: m.clock.now()}
	if err := r.Load.Prepare(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNothing, err)
	}
	prepare.To = m.clock.now()
	info, shares := r.Load.Info(), r.Load.Shares()
	m.use = useOf(info, Part{Use: info.Use, Role: results.Alone})
	m.use.Shares = &shares

	// The samples that close the last window are read after ctx has ended.
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.sampler = startSampler(reading, m.clock, rec.Plan.Interval.Duration(), r.Meters, nil, r.Heart)
	defer func() { stop(); m.sampler.stop() }()
	for i, d := range r.Claims {
		m.claims = append(m.claims, d.Info().Claim(info.Use))
		often := max(time.Second, min(claimsEvery, (rec.Plan.Window/3).Duration()))
		m.sampler.wait.Go(func() { m.sampler.every(reading, often, func() { m.listen(reading, d, i) }) })
	}

	warmup := results.Phase{Name: results.PhaseWarmup, From: m.clock.now()}
	wait := func(s results.Float) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := sleep(ctx, s.Duration()); err != nil {
				return fmt.Errorf("%w: the warm-up: %w", ErrNothing, err)
			}
			return nil
		}
	}
	if err := m.while(ctx, wait(rec.Plan.Warmup)); err != nil {
		return err
	}
	return m.while(ctx, func(ctx context.Context) error {
		if err := wait(rec.Plan.Settle)(ctx); err != nil {
			return err
		}
		m.before = []results.Phase{prepare, warmup}
		return m.measure(ctx)
	})
}

// while runs the load as long as f runs.
func (m *poolSession) while(ctx context.Context, f func(ctx context.Context) error) error {
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- m.Load.Run(run, m.done) }()
	err := f(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// listen queries the API of a miner.
func (m *poolSession) listen(ctx context.Context, d miner.Client, i int) {
	said, err := d.Read(ctx)
	if ctx.Err() != nil {
		return
	}
	s := said.Sample(m.clock.t0, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims[i].Samples = append(m.claims[i].Samples, s)
}

// measure takes windows one after another.
func (m *poolSession) measure(ctx context.Context) error {
	plan := m.Record.Plan
	start, err := m.Load.Begin(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNothing, err)
	}
	m.begin(m.start(start))
	look := time.NewTicker(m.Every)
	defer look.Stop()
	length := time.NewTicker(plan.Window.Duration())
	defer length.Stop()
	for looks, rounds := 1, 0; ; {
		select {
		case <-ctx.Done():
			if plan.Rounds > 0 || plan.Until != "" {
				return m.finish(results.Interrupted)
			}
			return m.finish(results.Complete)
		case <-length.C:
			if rounds++; rounds == plan.Rounds {
				return m.finish(results.Complete)
			}
			m.begin(m.end())
		case <-look.C:
			if time.Since(m.touched) >= min(touchEvery, (plan.Window/20).Duration()) {
				m.touch()
			}
			m.settle()
			m.stand(results.Running)
			if m.Look(m.Record) {
				return m.finish(results.Complete)
			}
			if looks++; looks%savesAfter == 0 {
				if err := m.Save(m.Record); err != nil {
					return fmt.Errorf("%w: %w", ErrSave, err)
				}
			}
		}
	}
}

// start records the state at the beginning of the first window and returns its time,
// from which the total counts.
func (m *poolSession) start(start bench.Start) results.Float {
	s := m.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	t := m.clock.of(start.At)
	m.last, m.before[1].To = start.Count, t
	s.counter(m.use.Key(results.TraceWork), m.use.Unit, t, 0, nil)
	m.counters(t, start.Counters)
	return t
}

// counters records the load's counters; the sampler must be locked.
func (m *poolSession) counters(t results.Float, values []bench.CounterValue) {
	for _, v := range values {
		key := m.use.Key(v.Kind)
		key.Channel = v.Class
		m.sampler.counter(key, v.Unit, t, v.Value, nil)
	}
}

// touch samples the counters and returns the time of the sample.
func (m *poolSession) touch() results.Float {
	s := m.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	var (
		count uint64
		at    int64
		told  []bench.CounterValue
	)
	for again := true; again; {
		m.done.Add(0)
		count, at, _ = m.done.Load()
		told = m.Load.Counters()
		now, _, _ := m.done.Load()
		again = now != count // a share came in between: it is counted in its class and not in the work
	}
	m.total += float64(count - m.last) // modulo 2^64
	m.last, m.touched = count, time.Now()
	t := m.clock.ofMonotonic(at)
	s.counter(m.use.Key(results.TraceWork), m.use.Unit, t, m.total, nil)
	m.counters(t, told)
	return t
}

func (m *poolSession) begin(t results.Float) {
	m.windows = append(m.windows, window{from: t, anchor: results.Anchor{T: m.clock.now(), UTC: time.Now().UTC().Round(time.Microsecond)}})
}

// end closes the open window and returns its end. It samples the count at that instant,
// so that each share belongs to one window.
func (m *poolSession) end() results.Float {
	slowest := time.Duration(0)
	for _, meter := range m.Meters {
		slowest = max(slowest, meter.Info().Period)
	}
	w := &m.windows[len(m.windows)-1]
	w.to, w.patience = m.touch(), time.Now().Add(drainLimit+2*slowest)
	return w.to
}

// settle turns a closed window into a run once all of its samples are there and the
// next window is long enough to stand alone.
func (m *poolSession) settle() {
	for len(m.windows) > 1 {
		w, open := m.windows[0], m.windows[len(m.windows)-1]
		waits := m.sampler.behind(w.to) && time.Now().Before(w.patience)
		if waits || len(m.windows) == 2 && m.clock.now()-open.from < m.Record.Plan.Window/2 {
			return
		}
		m.final = append(m.final, m.run(w.from, w.to, w.anchor, len(m.final)))
		m.windows = m.windows[1:]
		m.sampler.forget(w.to)
		m.mu.Lock()
		for i := range m.claims {
			m.claims[i].Samples = slices.Clone(around(m.claims[i].Samples, w.to, results.Float(math.Inf(1))))
		}
		m.mu.Unlock()
	}
}

// run returns the run of the i-th window.
func (m *poolSession) run(from, to results.Float, anchor results.Anchor, i int) results.Run {
	r := results.Run{
		Scenario: m.Record.Plan.Scenarios[0], Round: i + 1, Anchor: anchor, Uses: []results.Use{m.use}, Status: results.OK,
		Phases: []results.Phase{{Name: results.PhaseMeasure, From: from, To: to}}, Traces: m.sampler.between(from, to), Checks: []results.Check{},
	}
	if i == 0 {
		r.Phases = append(slices.Clone(m.before), r.Phases...)
	}
	// A class without shares needs no trace.
	r.Traces = slices.DeleteFunc(r.Traces, func(tr results.Trace) bool {
		return tr.Key.Kind == results.TraceShares && !slices.ContainsFunc(tr.V, func(v results.Float) bool { return v != 0 })
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.claims {
		if c.Samples = slices.Clone(around(c.Samples, from, to)); len(c.Samples) > 0 {
			r.Claims = append(r.Claims, c)
		}
	}
	return r
}

// around returns the samples of a window, and in addition the last one at or before its
// beginning and the first one at or after its end: their difference shows what the
// miner counted in it.
func around(said []results.SelfReportedSample, from, to results.Float) []results.SelfReportedSample {
	at := func(s results.SelfReportedSample, t results.Float) int { return cmp.Compare(s.T, t) }
	a, found := slices.BinarySearchFunc(said, from, at)
	if !found {
		a = max(0, a-1)
	}
	b, _ := slices.BinarySearchFunc(said, to, at)
	return said[a:min(len(said), b+1)]
}

// stand updates the record. Shares are checked over the whole session: if a check
// fails, no window counts.
func (m *poolSession) stand(state results.State) {
	rec := m.Record
	rec.State, rec.End = state, time.Now().UTC().Round(time.Microsecond)
	rec.Runs = slices.Clone(m.final)
	for _, w := range m.windows {
		if w.to == 0 { // up to the last instant at which every trace has a sample
			w.to = m.sampler.latest()
		}
		if w.to > w.from {
			rec.Runs = append(rec.Runs, m.run(w.from, w.to, w.anchor, len(rec.Runs)))
		}
	}
	if len(rec.Runs) > 0 {
		checks := m.Load.Check()
		for i := range checks {
			checks[i].Device = m.use.Device
		}
		rec.Runs[len(rec.Runs)-1].Checks = checks
		if bad := slices.IndexFunc(checks, func(c results.Check) bool { return !c.OK }); bad >= 0 {
			for i := range rec.Runs {
				rec.Runs[i].Status, rec.Runs[i].Error = results.Void, fmt.Sprintf("%s: %s", checks[bad].Name, checks[bad].Detail)
			}
		}
		for _, g := range m.Load.Gaps() {
			m.gap(g)
		}
	}
	rec.Summary = results.Derive(rec)
}

// gap marks the windows whose work it leaves unknown as failed.
func (m *poolSession) gap(g bench.Gap) {
	from, to := m.clock.of(g.From), m.clock.of(g.To)
	for i := range m.Record.Runs {
		r := &m.Record.Runs[i]
		w, _ := r.Phase(results.PhaseMeasure)
		apart := to <= w.From || from >= w.To
		whole := w.From <= from && to <= w.To
		if r.Status == results.OK && !apart && !(g.Late && whole) {
			r.Status, r.Error = results.Failed, fmt.Sprintf("from second %.6g: %s", float64(from), g.Why)
		}
	}
}

// finish closes the last window, waits for the samples around its end, and saves the
// record. A last window that is too short to stand alone becomes part of the one
// before it.
func (m *poolSession) finish(state results.State) error {
	m.end()
	if n := len(m.windows); n > 1 && m.windows[n-1].to-m.windows[n-1].from < m.Record.Plan.Window/2 {
		m.windows[n-2].to, m.windows[n-2].patience = m.windows[n-1].to, m.windows[n-1].patience
		m.windows = m.windows[:n-1]
	}
	last := m.windows[len(m.windows)-1]
	for m.sampler.behind(last.to) && time.Now().Before(last.patience) {
		time.Sleep(min(m.Record.Plan.Interval.Duration()/4, 50*time.Millisecond))
	}
	m.stand(state)
	if len(m.Record.Runs) == 0 {
		return fmt.Errorf("%w: the window was over as soon as it began", ErrNothing)
	}
	if err := m.Save(m.Record); err != nil {
		return fmt.Errorf("%w: %w", ErrSave, err)
	}
	return nil
}

// between returns the traces from the last sample at or before one instant to
// the first at or after another.
func (s *sampler) between(from, to results.Float) []results.Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []results.Trace
	for _, tr := range s.traces {
		a, found := slices.BinarySearch(tr.T, from)
		if !found && a > 0 {
			a--
		}
		b, _ := slices.BinarySearch(tr.T, to)
		b = min(b+1, len(tr.T))
		if a >= b {
			continue
		}
		cut := *tr
		cut.T, cut.V, cut.Errors = slices.Clone(tr.T[a:b]), slices.Clone(tr.V[a:b]), nil
		for _, gap := range tr.Errors {
			if gap.At >= cut.T[0] && gap.At <= cut.T[len(cut.T)-1] {
				cut.Errors = append(cut.Errors, gap)
			}
		}
		out = append(out, cut)
	}
	return out
}

// forget drops the samples that windows from an instant on do not need.
func (s *sampler) forget(before results.Float) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.traces {
		a, found := slices.BinarySearch(tr.T, before)
		if !found && a > 0 {
			a--
		}
		tr.T, tr.V = slices.Clone(tr.T[a:]), slices.Clone(tr.V[a:])
		tr.Errors = slices.DeleteFunc(tr.Errors, func(g results.Gap) bool { return len(tr.T) > 0 && cmp.Less(g.At, tr.T[0]) })
	}
}

// latest is the last instant at which all traces have a sample.
func (s *sampler) latest() results.Float {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := results.Absent()
	for _, tr := range s.traces {
		if n := len(tr.T); n > 0 && !aside(tr.Key) && !(tr.T[n-1] >= t) {
			t = tr.T[n-1]
		}
	}
	return t
}
