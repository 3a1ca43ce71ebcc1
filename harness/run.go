package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	watched, enough := context.WithCancel(ctx)
	r.sampler.sampleCards(watched, plan.Window.Duration(), r.s.Meters, r.s.cards)
	err := r.phases(ctx)
	enough()
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
		for _, u := range r.rec.Uses {
			if why := r.rec.Wrong(u); why != "" && u.Error == "" {
				r.rec.Status, r.rec.Error = results.Void, u.Use+": "+why
				break
			}
		}
	}
	for i, part := range r.scenario.Parts {
		r.s.right[part.work()] = r.rec.Status == results.OK && r.rec.Uses[i].Error == ""
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
	checks := make([][]results.Check, len(r.procs))
	err := r.each(ctx, func(i int, p *process) error {
		a, err := p.ask(ctx, order{Do: "stop"}, stopLimit)
		checks[i] = a.Checks
		return err
	})
	if err != nil {
		return err
	}
	for i, u := range r.rec.Uses {
		for _, c := range checks[i] {
			if c.Use, c.Device = u.Use, u.Device; u.Error == "" {
				r.rec.Checks = append(r.rec.Checks, c)
			}
		}
	}
	r.disown()
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

// each calls f for every worker that has not failed: for those of equal cards at the
// same time, and for one use after the other. A card that fails is taken out of the
// run; the error is one that ends it.
func (r *run) each(ctx context.Context, f func(i int, p *process) error) error {
	parts := r.scenario.Parts
	for from, to := 0, 0; from < len(parts); from = to {
		for to = from; to < len(parts) && parts[to].with(parts[from]); to++ {
		}
		errs := make([]error, to-from)
		var wait sync.WaitGroup
		for i := from; i < to; i++ {
			if r.rec.Uses[i].Error == "" {
				wait.Go(func() { errs[i-from] = f(i, r.procs[i]) })
			}
		}
		wait.Wait()
		for i, err := range errs {
			if err == nil {
				continue
			}
			if err := r.lose(ctx, from+i, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// with reports whether two parts are the same use in the same role, as equal cards
// have it.
func (p Part) with(q Part) bool { return p.Use == q.Use && p.Role == q.Role }

// lose takes a worker that failed out of the run, and with it what else uses its
// card, which now has the card to itself. It returns the error if the run cannot go
// on: no other card has the same use.
func (r *run) lose(ctx context.Context, i int, err error) error {
	parts := r.scenario.Parts
	others := slices.ContainsFunc(parts, func(p Part) bool { return p.with(parts[i]) && p.Device.ID != parts[i].Device.ID })
	if ctx.Err() != nil || !others {
		return err
	}
	r.leaveOut(i, err.Error())
	var whys []string
	for j, p := range parts {
		if p.with(parts[i]) {
			why := r.rec.Uses[j].Error
			if why == "" {
				return nil
			}
			whys = append(whys, fmt.Sprintf("%s: %s", p.Device.ID, why))
		}
	}
	return fmt.Errorf("every card failed: %s", strings.Join(whys, "; "))
}

// leaveOut takes a use out of the run, and what else uses its card.
func (r *run) leaveOut(i int, why string) {
	parts := r.scenario.Parts
	for j, p := range parts {
		switch use := &r.rec.Uses[j]; {
		case p.Device.ID != parts[i].Device.ID || use.Error != "":
			continue
		case j == i:
			use.Error = why
		default:
			use.Error = "its card was left out: " + why
		}
		r.procs[j].kill()
		r.sampler.drop(r.procs[j])
	}
}

// disown takes the cards out of the run that gave wrong answers. Where no card of a
// use was right, all stay, and the run is void.
func (r *run) disown() {
	parts := r.scenario.Parts
	for i := range parts {
		right := false
		for j, p := range parts {
			u := r.rec.Uses[j]
			right = right || p.with(parts[i]) && u.Error == "" && r.rec.Wrong(u) == ""
		}
		if why := r.rec.Wrong(r.rec.Uses[i]); why != "" && right && r.rec.Uses[i].Error == "" {
			r.leaveOut(i, why)
		}
	}
}

// prepare starts the workers and lets them prepare.
func (r *run) prepare(ctx context.Context) error {
	for _, part := range r.scenario.Parts {
		p, err := start(part.Use, part.Device, r.s.Worker)
		if err != nil {
			r.rec.Uses = []results.Use{}
			return err
		}
		r.procs = append(r.procs, p)
		r.rec.Uses = append(r.rec.Uses, results.Use{Use: part.Use, Device: part.Device.ID, Role: part.Role, FlopPerCount: results.Absent()})
	}
	err := r.each(ctx, func(i int, p *process) error {
		part := r.scenario.Parts[i]
		cfg, on := r.s.Config(part), r.s.on(part)
		// No seed is used twice, and all derive from the plan's.
		cfg.Seed = r.s.Record.Plan.Seed + r.s.seeds + uint32(i) // #nosec G115 -- it may wrap: 2^32 runs are not made
		cfg.Again = r.s.right[part.work()]
		a, err := p.ask(ctx, order{Do: "open", Use: part.Use, Device: &on, Config: &cfg}, prepareLimit)
		if a.Info != nil {
			r.rec.Uses[i] = useOf(*a.Info, part)
			p.unit = a.Info.Unit
		}
		switch {
		case err != nil:
			return err
		case a.Info == nil:
			return fmt.Errorf("%s: the worker did not say what it is", part.Use)
		}
		r.sampler.watch(p)
		if part.Role != results.Background || !p.on.Kind.Scheduled() {
			return nil
		}
		if _, err := p.ask(ctx, order{Do: "demote"}, stopLimit); err != nil {
			return err
		}
		// The foreground comes first in every scenario that has a background.
		if front := r.procs[0]; front.on.Kind.Scheduled() {
			if w, ok := schedulingWarning(r.s.Roots, front.pid, p.pid); ok {
				r.s.warn(w)
			}
		}
		return nil
	})
	if r.describe(); err != nil { // and the run ends
		r.rec.Uses = slices.DeleteFunc(r.rec.Uses, func(u results.Use) bool { return u.Workload == "" })
	}
	return err
}

// describe describes the uses of cards that failed before they said what they run, by
// an equal card's that did.
func (r *run) describe() {
	for i := range r.rec.Uses {
		u := &r.rec.Uses[i]
		for j, p := range r.scenario.Parts {
			if like := r.rec.Uses[j]; u.Workload == "" && like.Workload != "" && p.with(r.scenario.Parts[i]) {
				like.Device, like.Error, like.Seed, like.Target = u.Device, u.Error, 0, nil
				*u = like
			}
		}
	}
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
	run := func(background bool) error {
		return r.each(ctx, func(i int, p *process) error {
			if (r.rec.Uses[i].Role == results.Background) != background {
				return nil
			}
			_, err := p.ask(ctx, order{Do: "run"}, stopLimit)
			return err
		})
	}
	if err := run(true); err != nil {
		return err
	}
	reaches := make([]bool, len(r.rec.Uses))
	for i, u := range r.rec.Uses {
		elsewhere := plan.TargetAlone && u.Role == results.Foreground && r.s.alone(r.scenario.Parts[i])
		reaches[i] = plan.Target && u.Trains() && u.Role != results.Background && !elsewhere
	}
	if slices.Contains(reaches, true) {
		end := r.begin(results.PhaseTarget)
		err := r.each(ctx, func(i int, p *process) error {
			if !reaches[i] {
				return nil
			}
			a, err := p.ask(ctx, order{Do: "reach"}, reachLimit)
			r.rec.Uses[i].Target = a.Target
			return err
		})
		if err != nil {
			return err
		}
		end()
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
		if u.Role == results.Background || u.Error != "" {
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

// watchFor waits for d. It takes out of the run what dies, and a foreground use that
// makes no progress; the error is one that ends the run.
func (r *run) watchFor(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(stallLimit / looks)
	defer look.Stop()
	still, last := make([]int, len(r.procs)), make([]int64, len(r.procs)) // looks without progress, and the time of the last count
	died := make(chan int, len(r.procs))
	quit := make(chan struct{})
	defer close(quit)
	for i, p := range r.procs {
		go func() {
			select {
			case <-p.ended:
				died <- i
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
		case i := <-died:
			if r.rec.Uses[i].Error != "" { // known, and killed for it
				continue
			}
			if err := r.lose(ctx, i, r.procs[i].death()); err != nil {
				return err
			}
		case <-look.C:
			for i, p := range r.procs {
				if r.rec.Uses[i].Error != "" {
					continue
				}
				if _, at, _ := p.counter.Load(); at != last[i] {
					still[i], last[i] = 0, at
					continue
				}
				if still[i]++; r.rec.Uses[i].Role == results.Background || still[i] < looks {
					continue
				}
				if err := r.lose(ctx, i, fmt.Errorf("%s: the worker hangs%s: no work finished for %v", p.use, p.standing(), stallLimit)); err != nil {
					return err
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
