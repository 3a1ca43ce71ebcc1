package harness

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// sampler collects the traces of one run: one goroutine per meter, one for the host,
// and one for work counters and worker CPU times. It stores values with their times and
// fills no gaps.
type sampler struct {
	clock    clock
	began    results.Float
	heart    *Heartbeat
	interval time.Duration
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu     sync.Mutex
	traces []*results.Trace
	index  map[results.TraceKey]*results.Trace
	procs  []*process
	ended  []*process // of uses that failed
}

// startSampler samples meters and, unless they are nil, the host and the heartbeat's
// findings.
func startSampler(ctx context.Context, c clock, interval time.Duration, meters []power.Meter, host *host, heart *Heartbeat) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{clock: c, began: c.now(), heart: heart, interval: interval, cancel: cancel, index: map[results.TraceKey]*results.Trace{}}
	heart.tell(s, true)
	for _, m := range meters {
		s.wait.Go(func() { s.sampleMeter(ctx, m) })
	}
	if host != nil {
		s.wait.Go(func() { s.every(ctx, interval, func() { s.sampleHost(host) }) })
		s.wait.Go(func() { s.every(ctx, interval, s.sampleWork) })
	}
	return s
}

// every calls f now and on each tick, until ctx ends. Missed ticks are not made up for,
// since a sample only holds for its own instant.
func (s *sampler) every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sampler) sampleMeter(ctx context.Context, m power.Meter) {
	info := m.Info()
	s.every(ctx, max(s.interval, info.Period), func() {
		readings, err := m.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && len(readings) != len(info.Channels) {
			err = errors.New("the meter returned another number of channels than it has")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, c := range info.Channels {
			r := power.Reading{At: time.Now(), Err: err}
			if err == nil {
				r = readings[i]
			}
			if errors.Is(r.Err, power.ErrNoNews) {
				continue
			}
			if r.Err == nil && (math.IsNaN(r.Value) || math.IsInf(r.Value, 0)) {
				r.Err = errors.New("the meter returned a value that is not a number")
			}
			t := s.clock.of(r.At)
			s.trace(results.Trace{Key: results.MeterKey(info.Name, c.Name), Unit: c.Unit, Kind: c.Kind, Boundary: c.Boundary, Origin: c.Origin}).Add(t, results.Float(r.Value), r.Err)
			s.timing(info.Name, t, r)
		}
	})
}

// timing records the uncertainty of a reading's time, and the offset of the
// instrument's own clock. All channels of a request share them.
func (s *sampler) timing(meter string, t results.Float, r power.Reading) {
	if r.Slack > 0 {
		s.trace(results.Trace{Key: results.TraceKey{Kind: results.TraceRoundTrip, Meter: meter}, Unit: results.Second, Kind: results.Gauge}).Add(t, micro(2*r.Slack.Seconds()), nil)
	}
	if !r.Clock.IsZero() {
		off := r.Clock.Sub(r.At.Round(0)).Seconds() // compares wall clocks
		s.trace(results.Trace{Key: results.TraceKey{Kind: results.TraceClockOffset, Meter: meter}, Unit: results.Second, Kind: results.Gauge}).Add(t, results.Float(math.Round(off*1e6)/1e6), nil)
	}
}

func (s *sampler) sampleHost(h *host) {
	now := time.Now()
	busy, stolen, err := h.times.read()
	t := s.clock.of(now)
	self, selfErr := selfCPU()
	s.mu.Lock()
	self += s.driving()
	s.counter(results.HostBusy, results.Second, t, busy, err)
	s.counter(results.HostSteal, results.Second, t, stolen, err)
	s.counter(results.HarnessCPU, results.Second, t, self.Seconds(), selfErr)
	s.mu.Unlock()
	s.sampleStrain(&h.strain)
}

// driving is the CPU time of the workers of devices that work by themselves: what it
// takes to drive them is a cost of the harness, and no load of others. A worker that
// has ended keeps what it had at its last reading.
func (s *sampler) driving() (sum time.Duration) {
	for _, p := range s.procs {
		if cpu, err := processCPU(p.pid); err == nil && !p.on.Kind.Scheduled() {
			p.drove = max(p.drove, cpu)
		}
	}
	for _, p := range slices.Concat(s.procs, s.ended) {
		sum += p.drove
	}
	return sum
}

// sampleWork reads the work counter and the CPU time of every worker.
func (s *sampler) sampleWork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		if p.on.Kind.Scheduled() {
			cpu, err := processCPU(p.pid)
			s.counter(p.key(results.TraceCPUTime), results.Second, s.clock.now(), cpu.Seconds(), err)
		}
		if count, at, ok := p.counter.Load(); ok && at != 0 {
			s.counter(p.key(results.TraceWork), p.unit, s.clock.ofMonotonic(at), float64(count), nil)
		}
	}
}

func (s *sampler) counter(key results.TraceKey, unit results.Unit, t results.Float, v float64, err error) {
	s.trace(results.Trace{Key: key, Unit: unit, Kind: results.Counter}).Add(t, results.Float(v), err)
}

// trace returns the trace with the key of tr, and adds tr if there is none.
func (s *sampler) trace(tr results.Trace) *results.Trace {
	if s.index[tr.Key] == nil {
		s.traces = append(s.traces, &tr)
		s.index[tr.Key] = &tr
	}
	return s.index[tr.Key]
}

// watch adds a worker to the sampled ones.
func (s *sampler) watch(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = append(s.procs, p)
}

// drop takes a worker out of those that are sampled; nothing is waited for in its
// traces.
func (s *sampler) drop(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = slices.DeleteFunc(s.procs, func(q *process) bool { return q == p })
	s.ended = append(s.ended, p)
}

// snapshot returns a copy of a trace so far, or nil.
func (s *sampler) snapshot(key results.TraceKey) *results.Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	tr := s.index[key]
	if tr == nil {
		return nil
	}
	c := *tr
	c.T, c.V = slices.Clone(tr.T), slices.Clone(tr.V)
	return &c
}

// aside reports whether a trace need not have samples at the edges of windows.
func aside(k results.TraceKey) bool {
	switch k.Kind {
	case results.TraceClock, results.TraceThrottles, results.TraceMemoryClock, results.TraceTemperature, results.TraceHeldBack, results.TraceECC,
		results.TraceRoundTrip, results.TraceClockOffset:
		return true
	}
	return false
}

// behind reports whether a trace has no sample at or after t yet. For the counter
// of a meter only a sample at which it had moved counts, because between moves its
// energy is unknown; a counter that never moved is not waited for.
func (s *sampler) behind(t results.Float) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.traces {
		n := len(tr.T)
		if aside(tr.Key) || n == 0 || slices.ContainsFunc(s.ended, func(p *process) bool { return tr.Key == p.key(tr.Key.Kind) }) {
			continue
		}
		last := tr.T[n-1]
		if at, moved := lastMove(tr); moved && tr.Key.Kind == results.TraceMeter {
			last = at
		}
		if last < t {
			return true
		}
	}
	return false
}

// still reports whether a meter's counter has not moved since the run began, of those
// that stand still between readings in this run or did in an earlier one.
func (s *sampler) still(paces map[results.TraceKey]time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.traces {
		if tr.Kind != results.Counter || tr.Key.Kind != results.TraceMeter {
			continue
		}
		_, known := paces[tr.Key]
		if _, moved := lastMove(tr); !moved && (len(tr.T) > 1 || known) {
			return true
		}
	}
	return false
}

// pace is the longest time between two moves of a meter's counter in this run, of the
// counters that stand still between readings.
func (s *sampler) pace() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.traces {
		if tr.Kind == results.Counter && tr.Key.Kind == results.TraceMeter {
			if pace, stands := paceOf(tr); stands {
				longest = max(longest, pace)
			}
		}
	}
	return longest
}

// lastMove returns the time of the sample at which a counter had last moved, and
// whether it moved at all.
func lastMove(tr *results.Trace) (at results.Float, moved bool) {
	for i := len(tr.T) - 1; i > 0 && tr.Kind == results.Counter; i-- {
		if tr.V[i] > tr.V[i-1] {
			return tr.T[i], true
		}
	}
	return 0, false
}

// note records a value that is taken once, and not sampled.
func (s *sampler) note(key results.TraceKey, unit results.Unit, kind results.Kind, t results.Float, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace(results.Trace{Key: key, Unit: unit, Kind: kind}).Add(t, results.Float(v), nil)
}

// stop ends all sampling and returns the traces.
func (s *sampler) stop() []results.Trace {
	s.heart.tell(s, false)
	s.cancel()
	s.wait.Wait()
	out := make([]results.Trace, len(s.traces))
	for i, tr := range s.traces {
		out[i] = *tr
	}
	return out
}
