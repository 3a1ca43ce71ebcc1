// Package fake is a scripted meter for tests of code that reads meters: values
// over time, errors, a meter that vanishes, blocks, or violates the contract. No
// command can open it.
package fake

import (
	"context"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Script returns the readings at time t after opening. Readings without a time
// get the time at which the script returns.
type Script func(ctx context.Context, t time.Duration) ([]power.Reading, error)

// Meter is a [power.Meter] that follows a script. Reads and Closed may be called
// from any goroutine.
type Meter struct {
	info   power.Info
	script Script
	start  time.Time
	reads  atomic.Int64
	closed atomic.Bool
}

// New returns a meter whose time starts now.
func New(name string, script Script, channels ...results.Channel) *Meter {
	return &Meter{info: power.Info{Name: name, Source: "script", Channels: channels}, script: script, start: time.Now()}
}

// Watts is a measured gauge that is the total of its boundary.
func Watts(name string, b results.Boundary) results.Channel {
	return results.Channel{Name: name, Unit: results.Watt, Kind: results.Gauge, Boundary: b, Total: b, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
}

// Joules is a measured counter that is the total of its boundary.
func Joules(name string, b results.Boundary) results.Channel {
	c := Watts(name, b)
	c.Unit, c.Kind = results.Joule, results.Counter
	return c
}

// Info implements [power.Meter].
func (m *Meter) Info() power.Info { return m.info }

// Read implements [power.Meter].
func (m *Meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.closed.Load() {
		return nil, os.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.reads.Add(1)
	out, err := m.script(ctx, time.Since(m.start))
	for i := range out {
		if out[i].At.IsZero() {
			out[i].At = time.Now()
		}
	}
	return out, err
}

// Close implements [power.Meter].
func (m *Meter) Close() error {
	m.closed.Store(true)
	return nil
}

// Reads returns how often the script was called.
func (m *Meter) Reads() int64 { return m.reads.Load() }

// Closed reports whether the meter was closed.
func (m *Meter) Closed() bool { return m.closed.Load() }

// Constant is the power of a load that never changes, in W.
func Constant(watts float64) func(t float64) float64 {
	return func(float64) float64 { return watts }
}

// Ramp is the energy counter of a constant load of that many W, in J.
func Ramp(watts float64) func(t float64) float64 {
	return func(t float64) float64 { return watts * t }
}

// Follow returns for each channel a function of the time in seconds.
func Follow(values ...func(t float64) float64) Script {
	return func(_ context.Context, t time.Duration) ([]power.Reading, error) {
		out := make([]power.Reading, len(values))
		for i, v := range values {
			out[i].Value = v(t.Seconds())
		}
		return out, nil
	}
}

// List returns one row per read, with one value per channel, and then io.EOF.
func List(rows ...[]float64) Script {
	return func(context.Context, time.Duration) ([]power.Reading, error) {
		if len(rows) == 0 {
			return nil, io.EOF
		}
		out := make([]power.Reading, len(rows[0]))
		for i, v := range rows[0] {
			out[i].Value = v
		}
		rows = rows[1:]
		return out, nil
	}
}

// Fail makes one channel fail from one time until another.
func (s Script) Fail(channel int, from, to time.Duration, err error) Script {
	return func(ctx context.Context, t time.Duration) ([]power.Reading, error) {
		out, e := s(ctx, t)
		if e == nil && t >= from && t < to {
			out[channel].Value, out[channel].Err = math.NaN(), err
		}
		return out, e
	}
}

// Vanish makes the whole meter fail from then on.
func (s Script) Vanish(from time.Duration, err error) Script {
	return func(ctx context.Context, t time.Duration) ([]power.Reading, error) {
		if t >= from {
			return nil, err
		}
		return s(ctx, t)
	}
}

// Block makes a read that starts in the interval last until its end, or until
// the context ends; the readings are those of the interval's end.
func (s Script) Block(from, to time.Duration) Script {
	return func(ctx context.Context, t time.Duration) ([]power.Reading, error) {
		if t >= from && t < to {
			timer := time.NewTimer(to - t)
			defer timer.Stop()
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-timer.C:
				t = to
			}
		}
		return s(ctx, t)
	}
}

// Wrap takes one channel modulo a range: a meter that violates the rule that
// counters never decrease.
func (s Script) Wrap(channel int, modulus float64) Script {
	return func(ctx context.Context, t time.Duration) ([]power.Reading, error) {
		out, err := s(ctx, t)
		if err == nil {
			out[channel].Value = math.Mod(out[channel].Value, modulus)
		}
		return out, err
	}
}
