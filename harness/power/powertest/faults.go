package powertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// RigWatts is the power that the simulated load of a [Rig] draws from second 0 on, in
// W.
const RigWatts = 700

// Faults are the ways in which an instrument can fail in the middle of a run.
var Faults = []string{
	"time-out",    // it does not answer in time
	"wrong type",  // it answers with something other than a number of that kind
	"negative",    // it gives −1 or another value below 0
	"nan",         // it gives NaN, infinity, null or nothing instead of a number
	"zero",        // it gives 0 for a figure that cannot be 0
	"absurd jump", // it gives a million times the true value
	"vanish",      // it disappears, and returns as it was
	"restart",     // it disappears, and returns with its counters at 0
	"clock step",  // its own clock is set an hour back
}

// Rig is an instrument that the suite can break: a simulated endpoint, or a tree of
// files.
type Rig struct {
	// Open opens the meter under test, with now as its clock and a short timeout, which
	// the suite has to wait for.
	Open func(now func() time.Time) (power.Meter, error)
	// Set makes the instrument show the true values at t after the start: RigWatts, and
	// an energy of RigWatts × t. It ends any fault.
	Set func(t time.Duration)
	// Break has, by fault, a function that starts the fault at t; the next Set ends it.
	Break map[string]func(t time.Duration)
	// Cannot has, by fault, the reason why this instrument cannot have it.
	Cannot map[string]string
}

// TestFaults injects each of [Faults] for three readings in the middle of 20 that are a
// second apart, and checks one rule: over any interval the meter's energy is right, to
// the channel's resolution, or absent. Before the fault and after its end it must be
// present.
func TestFaults(t *testing.T, make func(t *testing.T) Rig) {
	t.Helper()
	for _, fault := range Faults {
		t.Run(fault, func(t *testing.T) {
			rig := make(t)
			if why := rig.Cannot[fault]; why != "" {
				t.Skip(why)
			}
			breaks := rig.Break[fault]
			if breaks == nil {
				t.Fatalf("the rig neither breaks this way nor says why it cannot")
			}
			for _, err := range suffer(t.Context(), rig, breaks) {
				t.Error(err)
			}
		})
	}
}

const (
	steps      = 20
	faultFrom  = 8
	faultUntil = 11 // the first good reading again
)

func suffer(ctx context.Context, rig Rig, breaks func(time.Duration)) (wrong []error) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	start, t := time.Now(), time.Duration(0)
	rig.Set(0)
	m, err := rig.Open(func() time.Time { return start.Add(t) })
	if err != nil {
		return []error{fmt.Errorf("open: %w", err)}
	}
	defer m.Close()
	channels := m.Info().Channels
	traces := make([]results.Trace, len(channels))
	for i, c := range channels {
		traces[i] = results.Trace{Key: results.MeterKey("", c.Name), Unit: c.Unit, Kind: c.Kind}
	}
	for i := range steps {
		t = time.Duration(i) * time.Second
		if i >= faultFrom && i < faultUntil {
			breaks(t)
		} else {
			rig.Set(t)
		}
		got, err := m.Read(ctx)
		for j := range traces {
			r := power.Reading{At: start.Add(t), Err: err}
			if err == nil {
				r = got[j]
			}
			if errors.Is(r.Err, power.ErrNoNews) {
				continue
			}
			traces[j].Add(results.Float(r.At.Sub(start).Seconds()), results.Float(r.Value), r.Err)
		}
	}
	for j, tr := range traces {
		c := channels[j]
		step := float64(c.Accuracy.Resolution)
		if !(step > 0) {
			step = 0
		}
		for a := range steps {
			for b := a + 1; b < steps; b++ {
				got := float64(tr.Over(float64(a), float64(b)))
				want := RigWatts * float64(b-a)
				allowed := 1e-6*want + 2*step // a counter is a step off at either end
				if c.Kind == results.Gauge {
					allowed = 1e-6*want + step*float64(b-a)
				}
				inFault := b >= faultFrom && a < faultUntil
				switch {
				case math.IsNaN(got) && !inFault:
					bad("channel %s: no energy from %d s to %d s, where nothing was wrong: %v", c.Name, a, b, tr.Errors)
				case !math.IsNaN(got) && math.Abs(got-want) > allowed:
					bad("channel %s: %.6g J from %d s to %d s instead of %.6g: neither right nor absent", c.Name, got, a, b, want)
				}
				if len(wrong) > 4 {
					return wrong
				}
			}
		}
	}
	return wrong
}
