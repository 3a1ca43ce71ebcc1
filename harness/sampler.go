package harness

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// sampler collects the traces of one run: one goroutine a meter, and one for
// work counters, worker CPU times and the host. It stores what it was given
// and when; gaps stay gaps.
type sampler struct {
	clock    clock
	interval time.Duration
	cancel   context.CancelFunc
	wait     sync.WaitGroup

	mu     sync.Mutex
	traces []*results.Trace
	index  map[string]*results.Trace
	procs  []*process
}

func startSampler(ctx context.Context, c clock, interval time.Duration, meters []power.Meter, host *hostTimes) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{clock: c, interval: interval, cancel: cancel, index: map[string]*results.Trace{}}
	for _, m := range meters {
		s.wait.Go(func() { s.sampleMeter(ctx, m) })
	}
	s.wait.Go(func() { s.every(ctx, interval, func() { s.sampleHost(host) }) })
	return s
}

// every calls f now and on each tick, until ctx ends. Ticks that were missed
// are not made up for: a sample is worth its own instant only.
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
	names := make([]string, len(info.Channels))
	for i, c := range info.Channels {
		names[i] = results.MeterOf(info.Name, c.Name)
	}
	s.every(ctx, max(s.interval, info.Period), func() {
		readings, err := m.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && len(readings) != len(names) {
			err = errors.New("the meter returned another number of channels than it has")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, c := range info.Channels {
			r := power.Reading{At: time.Now(), Err: err}
			if err == nil {
				r = readings[i]
			}
			if r.Err == nil && (math.IsNaN(r.Value) || math.IsInf(r.Value, 0)) {
				r.Err = errors.New("the meter returned a value that is not a number")
			}
			tr := s.trace(results.Trace{Of: names[i], Unit: c.Unit, Kind: c.Kind, Boundary: c.Boundary, Origin: c.Origin})
			s.add(tr, s.clock.of(r.At), r.Value, r.Err)
		}
	})
}

func (s *sampler) sampleHost(h *hostTimes) {
	now := time.Now()
	busy, stolen, err := h.read()
	t := s.clock.of(now)
	self, selfErr := selfCPU()
	s.mu.Lock()
	s.counter(results.HostBusy, results.Second, t, busy, err)
	s.counter(results.HostSteal, results.Second, t, stolen, err)
	s.counter(results.HostSelf, results.Second, t, self.Seconds(), selfErr)
	s.mu.Unlock()
	s.sampleWork()
}

// sampleWork reads the work counter and the CPU time of every worker.
func (s *sampler) sampleWork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		cpu, err := processCPU(p.pid)
		s.counter(results.CPUOf(p.use), results.Second, s.clock.now(), cpu.Seconds(), err)
		if count, at, ok := p.counter.Load(); ok && at != 0 {
			s.counter(results.WorkOf(p.use), p.unit, s.clock.ofMonotonic(at), float64(count), nil)
		}
	}
}

func (s *sampler) counter(of string, unit results.Unit, t results.Float, v float64, err error) {
	s.add(s.trace(results.Trace{Of: of, Unit: unit, Kind: results.Counter}), t, v, err)
}

// trace returns the trace named tr.Of, made like tr if it is new.
func (s *sampler) trace(tr results.Trace) *results.Trace {
	if s.index[tr.Of] == nil {
		s.traces = append(s.traces, &tr)
		s.index[tr.Of] = &tr
	}
	return s.index[tr.Of]
}

// maxErrors bounds what one trace says about its gaps; the nulls say the rest.
const maxErrors = 20

// add appends a sample. One that is no later than the last is no news; a
// counter that fell is a gap, since nobody knows what it did in between.
func (s *sampler) add(tr *results.Trace, t results.Float, v float64, err error) {
	value := results.Float(v)
	if n := len(tr.T); n > 0 {
		if !(t > tr.T[n-1]) {
			return
		}
		if last := tr.V[n-1]; err == nil && tr.Kind == results.Counter && value < last {
			err = fmt.Errorf("the counter fell from %v to %v", last, value)
		}
	}
	if err != nil {
		value = results.Absent()
		if len(tr.Errors) < maxErrors {
			tr.Errors = append(tr.Errors, results.Gap{At: t, Error: err.Error()})
		}
	}
	tr.T, tr.V = append(tr.T, t), append(tr.V, value)
}

// watch adds a worker to what is sampled.
func (s *sampler) watch(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = append(s.procs, p)
}

// snapshot returns a copy of a trace so far, or nil.
func (s *sampler) snapshot(of string) *results.Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	tr := s.index[of]
	if tr == nil {
		return nil
	}
	c := *tr
	c.T, c.V = slices.Clone(tr.T), slices.Clone(tr.V)
	return &c
}

// behind names a trace that has no sample at or after t yet, or "".
func (s *sampler) behind(t results.Float) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tr := range s.traces {
		if noted := tr.Of == results.HostClock || tr.Of == results.HostThrottles; !noted && tr.T[len(tr.T)-1] < t {
			return tr.Of
		}
	}
	return ""
}

// note records a value that was taken between windows rather than sampled.
func (s *sampler) note(of string, unit results.Unit, kind results.Kind, t results.Float, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(s.trace(results.Trace{Of: of, Unit: unit, Kind: kind}), t, v, nil)
}

// stop ends all sampling and returns the traces.
func (s *sampler) stop() []results.Trace {
	s.cancel()
	s.wait.Wait()
	out := make([]results.Trace, len(s.traces))
	for i, tr := range s.traces {
		out[i] = *tr
	}
	return out
}
