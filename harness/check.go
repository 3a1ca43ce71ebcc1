package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Check steps the load on this machine and measures how meters follow.
type Check struct {
	Meters   []power.Meter
	Device   device.Config // on which the load runs
	Use      string
	Config   bench.Config // of the load
	Worker   func() *exec.Cmd
	Step     time.Duration // of idle, of full load, and of idle again
	Interval time.Duration // between readings, whatever period the meters state
	Progress func(phase string, left time.Duration)
}

// Run takes the load from idle to full and back, each for c.Step, and returns how each
// channel followed. If ctx ends it returns the error.
func (c Check) Run(ctx context.Context) (results.LoadStep, error) {
	none := results.LoadStep{}
	host, err := openHost(here)
	if err != nil {
		return none, err
	}
	defer host.times.close()
	t0 := time.Now()
	clock := clock{t0: t0, origin: bench.Monotonic() - int64(time.Since(t0))}
	p, err := start(c.Use, c.Device.Info, c.Worker)
	if err != nil {
		return none, err
	}
	defer p.close()
	if _, err := p.ask(ctx, order{Do: "open", Use: c.Use, Device: &c.Device, Config: &c.Config}, prepareLimit); err != nil {
		p.kill()
		return none, err
	}
	eager := make([]power.Meter, len(c.Meters))
	for i, m := range c.Meters {
		eager[i] = restless{m}
	}
	s := startSampler(ctx, clock, c.Interval, eager, host, nil)
	var on, off results.Float
	err = func() error {
		c.Progress("idle", 3*c.Step)
		if err := sleep(ctx, c.Step); err != nil {
			return err
		}
		c.Progress("full load", 2*c.Step)
		if _, err := p.ask(ctx, order{Do: "run"}, stopLimit); err != nil {
			return err
		}
		on = clock.now()
		if err := sleep(ctx, c.Step); err != nil {
			return err
		}
		if _, err := p.ask(ctx, order{Do: "stop"}, stopLimit); err != nil {
			return err
		}
		off = clock.now()
		c.Progress("idle again", c.Step)
		return sleep(ctx, c.Step)
	}()
	traces := s.stop()
	if err != nil {
		p.kill()
		return none, err
	}
	out := results.LoadStep{Busy: results.Absent()}
	for i := range traces {
		if tr := &traces[i]; tr.Key == results.HostBusy && len(tr.T) > 0 {
			from := float64(tr.T[0])
			out.Busy = tr.Over(from, float64(on)-0.1) / results.Float((float64(on)-0.1-from)*float64(runtime.NumCPU()))
		}
	}
	for _, m := range c.Meters {
		info := m.Info()
		for _, ch := range info.Channels {
			key := results.MeterKey(info.Name, ch.Name)
			tr := results.Trace{Key: key, Unit: ch.Unit, Kind: ch.Kind, Boundary: ch.Boundary, Origin: ch.Origin}
			for _, seen := range traces {
				if seen.Key == key {
					tr = seen
				}
			}
			r := results.Respond(&tr, float64(on), float64(off))
			r.Meter, r.Channel = info.Name, ch.Name
			out.Channels = append(out.Channels, r)
		}
	}
	if len(out.Channels) == 0 {
		return none, errors.New("harness: check: no meter to check")
	}
	return out, nil
}

// restless is a meter without a period, which is read at every interval.
type restless struct{ power.Meter }

func (r restless) Info() power.Info {
	info := r.Meter.Info()
	info.Period = 0
	return info
}

// Watch reads each meter every interval, or every period if that is longer, until ctx
// ends. It passes each set of readings to show, one call at a time.
func Watch(ctx context.Context, meters []power.Meter, interval time.Duration, show func(m power.Info, got []power.Reading, err error)) {
	s := &sampler{interval: interval}
	for _, m := range meters {
		info := m.Info()
		s.wait.Go(func() {
			s.every(ctx, max(interval, info.Period), func() {
				got, err := m.Read(ctx)
				if ctx.Err() != nil {
					return
				}
				if err == nil && len(got) != len(info.Channels) {
					err = fmt.Errorf("meter %s gave %d readings for %d channels", info.Name, len(got), len(info.Channels))
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				show(info, got, err)
			})
		})
	}
	s.wait.Wait()
}
