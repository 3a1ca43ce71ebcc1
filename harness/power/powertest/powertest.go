// Package powertest is the conformance suite of [power.Meter]: the contract that every
// meter keeps, whatever it reads.
package powertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// TestMeter checks the meters that open returns against the contract. It opens two of
// them and reads a few times without waiting.
func TestMeter(t *testing.T, open func() (power.Meter, error)) {
	t.Helper()
	if err := check(t.Context(), open); err != nil {
		t.Error(err)
	}
}

const reads = 4

// check returns everything that is wrong with a meter.
func check(ctx context.Context, open func() (power.Meter, error)) (all error) {
	bad := func(format string, args ...any) { all = errors.Join(all, fmt.Errorf(format, args...)) }
	m, err := open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	info := m.Info()
	if info.Name == "" || info.Source == "" || info.Period < 0 || len(info.Channels) == 0 {
		bad("info needs a name, a source, a period that is not negative and a channel: %+v", info)
	}
	names := map[string]bool{}
	for _, c := range info.Channels {
		if c.Name == "" || names[c.Name] {
			bad("channel name %q is empty or not unique", c.Name)
		}
		names[c.Name] = true
		if !(c.Kind == results.Counter && c.Unit == results.Joule || c.Kind == results.Gauge && c.Unit == results.Watt) {
			bad("channel %s is neither a counter in J nor a gauge in W: %s in %s", c.Name, c.Kind, c.Unit)
		}
		if !slices.Contains(results.Boundaries(), c.Boundary) || c.Total != "" && !slices.Contains(results.Boundaries(), c.Total) {
			bad("channel %s has no known boundary or total: %q, %q", c.Name, c.Boundary, c.Total)
		}
		if !slices.Contains([]results.Origin{results.Measured, results.Modelled, results.Declared}, c.Origin) {
			bad("channel %s has no known origin: %q", c.Name, c.Origin)
		}
		for _, f := range []results.Float{c.Accuracy.Gain, c.Accuracy.Resolution} {
			if !f.IsAbsent() && !(f > 0 && !math.IsInf(float64(f), 0)) {
				bad("channel %s claims an accuracy that is neither absent nor above 0: %v", c.Name, c.Accuracy)
			}
		}
	}
	var last []power.Reading
	for range reads {
		before := time.Now()
		got, err := m.Read(ctx)
		after := time.Now()
		if err != nil {
			bad("read: %w", err)
			break
		}
		if len(got) != len(info.Channels) {
			bad("read gave %d readings for %d channels", len(got), len(info.Channels))
			break
		}
		if last == nil {
			last = make([]power.Reading, len(got))
		}
		for i, r := range got {
			c := info.Channels[i]
			switch {
			case r.At == r.At.Round(0):
				bad("channel %s: time %v has no monotonic part", c.Name, r.At)
			case r.At.Before(before) || r.At.After(after):
				bad("channel %s: time %v lies outside the read, %v to %v", c.Name, r.At, before, after)
			case r.At.Before(last[i].At):
				bad("channel %s: time %v is before the last, %v", c.Name, r.At, last[i].At)
			}
			switch v := r.Value; {
			case r.Slack < 0:
				bad("channel %s: a slack below 0: %v", c.Name, r.Slack)
			case errors.Is(r.Err, power.ErrNoNews):
				if last[i].At.IsZero() {
					bad("channel %s: no news at the first reading", c.Name)
				}
				continue
			case r.Err != nil:
				if v != 0 && !math.IsNaN(v) {
					bad("channel %s: a failed reading looks like a value: %v", c.Name, v)
				}
				if r.Err.Error() == "" {
					bad("channel %s: the error says nothing", c.Name)
				}
				last[i].At = r.At
				continue
			case math.IsNaN(v) || math.IsInf(v, 0) || v < 0:
				bad("channel %s: %v is no value, and there is no error", c.Name, v)
			case c.Kind == results.Gauge && v == 0:
				bad("channel %s: 0 W is never an answer", c.Name)
			case c.Kind == results.Counter && v < last[i].Value:
				bad("channel %s: the counter fell from %v to %v", c.Name, last[i].Value, v)
			}
			last[i] = power.Reading{At: r.At, Value: r.Value}
		}
	}
	if now := m.Info(); fmt.Sprint(now) != fmt.Sprint(info) { // fields that are NaN do not compare equal
		bad("info changed from %+v to %+v", info, now)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Read(over); !errors.Is(err, context.Canceled) {
		bad("read with a context that has ended: got error %v, want %v", err, context.Canceled)
	}
	for i := range 2 {
		if err := m.Close(); err != nil {
			bad("close, time %d: %w", i+1, err)
		}
	}
	if _, err := m.Read(ctx); err == nil {
		bad("read after close: no error")
	}
	if again, err := open(); err != nil {
		bad("open again after close: %w", err)
	} else if err := again.Close(); err != nil {
		bad("close a meter that was never read: %w", err)
	}
	return all
}
