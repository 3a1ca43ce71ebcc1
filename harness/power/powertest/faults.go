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

// RigWatts is what the simulated load of a [Rig] draws, in W, from second 0.
const RigWatts = 700

// Faults are what can go wrong with an instrument in the middle of a run.
var Faults = []string{
	"time-out",    // it does not answer in time
	"wrong type",  // it answers with something that is no number of that kind
	"negative",    // it says −1 or another value below 0
	"nan",         // it says NaN, infinity, null or nothing where a number belongs
	"zero",        // it says 0 for what cannot be 0
	"absurd jump", // it says a million times what is true
	"vanish",      // it goes away, and comes back as it was
	"restart",     // it goes away, and its counters come back from 0
	"clock step",  // its own clock is set an hour back
}

// Rig is an instrument that the suite can break: a peer, or a tree of files.
type Rig struct {
	// Open opens the meter under test. Its clock is now, and its timeout
	// short, for the suite waits for it.
	Open func(now func() time.Time) (power.Meter, error)
	// Set has the instrument say what is true t after the start: RigWatts, and
	// RigWatts × t of energy. It ends any fault.
	Set func(t time.Duration)
	// Break has it suffer a fault at t; by the next Set it is whole again.
	Break map[string]func(t time.Duration)
	// Cannot says why a fault cannot befall this instrument.
	Cannot map[string]string
}

// TestFaults breaks an instrument in each way of [Faults], for three readings
// in the middle of 20 that are a second apart, and holds what the meter makes
// of it to one rule: the energy of any stretch is right, to the channel's
// resolution, or absent. Before the fault and after its end it is there.
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
