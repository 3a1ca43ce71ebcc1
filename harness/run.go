package harness

import (
	"context"
	"fmt"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/results"
)

// run takes one scenario through its phases, once.
type run struct {
	s        *Session
	host     *host
	clock    clock
	scenario Scenario
	phase    func(name string)

	rec     results.Run
	sampler *sampler
	procs   []*process
}

// do runs the scenario and leaves the outcome, a failure too, in r.rec.
func (r *run) do(ctx context.Context) {
	plan := r.s.Record.Plan
	r.sampler = startSampler(ctx, r.clock, plan.Interval.Duration(), r.s.Meters, r.host, r.s.heart)
	err := r.phases(ctx)
	for i := range r.rec.Phases {
		if ph := &r.rec.Phases[i]; ph.To < ph.From { // cut short: it ends where the run does
			ph.To = r.clock.now()
		}
	}
	r.rec.Traces = r.sampler.stop() // before the counter pages that it reads are unmapped
	r.s.learn(r.rec.Traces)
	for _, p := range r.procs {
		if err != nil {
			p.kill()
		}
		p.close()
	}
	switch {
	case ctx.Err() != nil:
		r.rec.Status, r.rec.Error = results.Stopped, "the session was stopped during this run"
	case err != nil:
		r.rec.Status, r.rec.Error = results.Failed, err.Error()
	default:
		r.rec.Status = results.OK
		for _, c := range r.rec.Checks {
			if !c.OK {
				r.rec.Status = results.Void
				r.rec.Error = fmt.Sprintf("%s: wrong answers: %s: %s", c.Use, c.Name, c.Detail)
				break
			}
		}
	}
}

// begin opens a phase and returns the function that closes it.
func (r *run) begin(name string) func() {
	r.phase(name)
	i := len(r.rec.Phases)
	r.rec.Phases = append(r.rec.Phases, results.Phase{Name: name, From: r.clock.now()})
	return func() { r.rec.Phases[i].To = r.clock.now() }
}

func (r *run) phases(ctx context.Context) error {
	plan := r.s.Record.Plan
	end := r.begin(results.PhaseSettle)
	if err := sleep(ctx, plan.Settle.Duration()); err != nil {
		return err
	}
	r.probe()
	if len(r.scenario.Parts) == 0 {
		if err := r.awaitMeters(ctx); err != nil {
			return err
		}
	}
	end()

	if len(r.scenario.Parts) > 0 {
		end = r.begin(results.PhasePrepare)
		if err := r.prepare(ctx); err != nil {
			return err
		}
		end()
		if err := r.reachAndWarmUp(ctx); err != nil {
			return err
		}
	}

	end = r.begin(results.PhaseMeasure)
	if err := r.watchFor(ctx, plan.Window.Duration()); err != nil {
		return err
	}
	end()
	edge := r.rec.Phases[len(r.rec.Phases)-1].To

	end = r.begin(results.PhaseCool)
	if err := r.drain(ctx, edge); err != nil {
		return err
	}
	for i, p := range r.procs {
		a, err := p.ask(ctx, order{Do: "stop"}, stopLimit)
		if err != nil {
			return err
		}
		for _, c := range a.Checks {
			c.Use, c.Device = r.rec.Uses[i].Use, r.rec.Uses[i].Device
			r.rec.Checks = append(r.rec.Checks, c)
		}
	}
	r.sampler.sampleWork()
	r.probe() // while the cores still run at their speed under load
	end()
	return nil
}

// probe records the figures that are taken between windows only.
func (r *run) probe() {
	for _, d := range r.s.Devices {
		if !d.Kind.Scheduled() {
			continue
		}
		if hz, err := ProbeClock(d.CPUs); err == nil {
			r.sampler.note(results.TraceKey{Kind: results.TraceClock, Device: d.ID}, results.Hertz, results.Gauge, r.clock.now(), hz)
		}
		if n := throttles(r.s.Roots); !n.IsAbsent() {
			r.sampler.note(results.TraceKey{Kind: results.TraceThrottles, Device: d.ID}, results.Ratio, results.Counter, r.clock.now(), float64(n))
		}
	}
}

// prepare starts the workers one after the other and lets them prepare.
func (r *run) prepare(ctx context.Context) error {
	for i, part := range r.scenario.Parts {
		cfg, on := r.s.Config(part), r.s.on(part)
		// No seed is used twice, and all derive from the plan's.
		cfg.Seed = r.s.Record.Plan.Seed + uint32(maxParts*len(r.s.Record.Runs)+i) // #nosec G115 -- it may wrap: 2^32 runs are not made
		p, err := start(part.Use, on.Info, r.s.Worker)
		if err != nil {
			return err
		}
		r.procs = append(r.procs, p)
		a, err := p.ask(ctx, order{Do: "open", Use: part.Use, Device: &on, Config: &cfg}, prepareLimit)
		if a.Info != nil {
			r.rec.Uses = append(r.rec.Uses, useOf(*a.Info, part))
		}
		if err != nil {
			return err
		}
		if a.Info == nil {
			return fmt.Errorf("%s: the worker did not say what it is", part.Use)
		}
		p.unit = a.Info.Unit
		r.sampler.watch(p)
		if part.Role == results.Background && p.on.Kind.Scheduled() {
			if _, err := p.ask(ctx, order{Do: "demote"}, stopLimit); err != nil {
				return err
			}
			// The foreground comes first in every scenario that has a background.
			if front := r.procs[0]; front.on.Kind.Scheduled() {
				if w, ok := schedulingWarning(r.s.Roots, front.pid, p.pid); ok {
					r.s.warn(w)
				}
			}
		}
	}
	return nil
}

func useOf(info bench.Info, part Part) results.Use {
	u := results.Use{
		Use: part.Use, Device: info.Device, Workload: info.Name, Impl: info.Impl, Role: part.Role, Threads: info.Threads, Unit: info.Unit,
		FlopPerCount: results.Absent(), Formula: info.Formula, Params: info.Params, Seed: info.Seed,
	}
	if info.FlopPerCount > 0 {
		u.FlopPerCount = results.Float(info.FlopPerCount)
	}
	return u
}

// reachAndWarmUp starts the background, takes the foreground to its target if the plan
// has one, and then waits for steady state.
func (r *run) reachAndWarmUp(ctx context.Context) error {
	plan := r.s.Record.Plan
	going := make([]bool, len(r.procs))
	run := func(background bool) error {
		for i, p := range r.procs {
			if (r.rec.Uses[i].Role == results.Background) == background && !going[i] {
				if _, err := p.ask(ctx, order{Do: "run"}, stopLimit); err != nil {
					return err
				}
				going[i] = true
			}
		}
		return nil
	}
	if err := run(true); err != nil {
		return err
	}
	if plan.Target {
		for i, p := range r.procs {
			if going[i] || r.rec.Uses[i].Use != "training" {
				continue
			}
			end := r.begin(results.PhaseTarget)
			a, err := p.ask(ctx, order{Do: "reach"}, reachLimit)
			if err != nil {
				return err
			}
			end()
			r.rec.Uses[i].Target = a.Target
		}
	}
	end := r.begin(results.PhaseWarmup)
	if err := run(false); err != nil {
		return err
	}
	began := time.Now()
	for wait := plan.Warmup.Duration(); ; wait = (plan.Warmup / 5).Duration() {
		if err := r.watchFor(ctx, wait); err != nil {
			return err
		}
		if r.steady() || time.Since(began) >= plan.Limit.Duration() {
			break // a run that is not steady in time is kept: the summary flags it
		}
	}
	if err := r.awaitMeters(ctx); err != nil {
		return err
	}
	end()
	return nil
}

// awaitMeters waits, for at most the length of a window, until every counter that
// stands still between readings has moved: its joules are known from its last move
// before the window on. A slower counter gives no figure for the window anyway.
func (r *run) awaitMeters(ctx context.Context) error {
	limit := time.Now().Add(min(r.patience(), r.s.Record.Plan.Window.Duration()))
	for r.sampler.still(r.s.paces) && time.Now().Before(limit) {
		if err := r.watchFor(ctx, r.s.Record.Plan.Interval.Duration()/4); err != nil {
			return err
		}
	}
	return nil
}

// patience is the longest wait for meters at a window's edge. It follows from the
// periods that they state and from those that were observed, the latter up to the
// length of a window.
func (r *run) patience() time.Duration {
	slowest, pace := time.Duration(0), r.sampler.pace()
	for _, m := range r.s.Meters {
		slowest = max(slowest, m.Info().Period)
	}
	for _, p := range r.s.paces {
		pace = max(pace, p)
	}
	return max(drainLimit+2*slowest, min(pace*3/2, r.s.Record.Plan.Window.Duration()))
}

// steady tests the last stretch of each foreground use, of the length of the planned
// warm-up.
func (r *run) steady() bool {
	for _, u := range r.rec.Uses {
		if u.Role == results.Background {
			continue
		}
		tr := r.sampler.snapshot(u.Key(results.TraceWork))
		if tr == nil {
			return false
		}
		last := float64(tr.T[len(tr.T)-1])
		if ok, _, _ := results.Steady(tr, last, float64(r.s.Record.Plan.Warmup)); !ok {
			return false
		}
	}
	return true
}

// watchFor waits for d. It returns an error if a worker dies or a foreground use makes
// no progress.
func (r *run) watchFor(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(stallLimit / looks)
	defer look.Stop()
	still, last := make([]int, len(r.procs)), make([]int64, len(r.procs)) // looks without progress, and the time of the last count
	died := make(chan *process, len(r.procs))
	quit := make(chan struct{})
	defer close(quit)
	for _, p := range r.procs {
		go func() {
			select {
			case <-p.ended:
				died <- p
			case <-quit:
			}
		}()
	}
	for {
		select {
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case p := <-died:
			return p.death()
		case <-look.C:
			for i, p := range r.procs {
				if _, at, _ := p.counter.Load(); at != last[i] {
					still[i], last[i] = 0, at
					continue
				}
				if still[i]++; r.rec.Uses[i].Role != results.Background && still[i] >= looks {
					return fmt.Errorf("%s: the worker hangs%s: no work finished for %v", p.use, p.standing(), stallLimit)
				}
			}
		}
	}
}

// drainLimit is how long a window waits for the sample that closes it.
const drainLimit = 3 * time.Second

// drain keeps sampling until every trace has a sample at or after the edge of the
// window, or patience ends. A starved background may have none before it is stopped.
// Without such a sample the figure of a trace is absent, not wrong.
func (r *run) drain(ctx context.Context, edge results.Float) error {
	for limit := time.Now().Add(r.patience()); r.sampler.behind(edge) && time.Now().Before(limit); {
		if err := r.watchFor(ctx, r.s.Record.Plan.Interval.Duration()/4); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
