package harness

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// driver is a meter of cards that report what of returns at the nth look, from 1.
type driver struct {
	ramp
	looks atomic.Int64
	of    func(look int64) []power.Card
}

func (d *driver) Cards(context.Context) []power.Card { return d.of(d.looks.Add(1)) }

func working(card string, hz results.Float) power.Card {
	c := power.UnknownCard(card)
	c.Clock, c.Limit, c.Held = hz, 500, []string{results.HeldByPower}
	return c
}

// TestStateOfCards: each device has the state of its own card, from one meter; a card
// that is lost has gaps with the reason, and no zeros; a card that is no device of the
// node leaves no trace; nobody looks after the last run.
func TestStateOfCards(t *testing.T) {
	first := &driver{ramp: ramp{t0: time.Now()}}
	first.of = func(look int64) []power.Card {
		b := working("0000:3b:00.0", 2e9)
		b.MemoryClock, b.Temperature, b.Default, b.Uncorrected, b.Corrected = 2.6e9, 350, 700, 1, 0
		if look > 4 {
			b = power.UnknownCard(b.Card)
			b.Err = errors.New("GPU is lost")
		}
		return []power.Card{working("0000:18:00.0", 1e9), b, working("0000:86:00.0", 3e9)}
	}
	second := &driver{ramp: ramp{t0: time.Now()}, of: func(int64) []power.Card {
		return []power.Card{working("0000:3b:00.0", 9e9), working("GPU-40000000-0000-0000-0000-000000000000", 4e9)}
	}}
	s := newSession(t, "idle", "mining")
	s.Meters = []power.Meter{first, &ramp{t0: time.Now()}, second}
	shared := append(s.Record.Node.Devices,
		results.Device{ID: "cuda:0", Kind: results.KindGPU, PCI: "0000:3b:00.0"},
		results.Device{ID: "cuda:1", Kind: results.KindGPU, PCI: "0000:18:00.0"},
		results.Device{ID: "opencl:0", Kind: results.KindGPU, UUID: "40000000-0000-0000-0000-000000000000"})
	s.Record.Node.Devices = shared
	require.NoError(t, s.Run(t.Context()))
	looks := first.looks.Load()
	require.Greater(t, looks, int64(4))

	limits := map[string]results.PowerLimit{}
	for _, d := range s.Record.Node.Devices {
		if d.PowerLimit != nil {
			limits[d.ID] = *d.PowerLimit
		}
	}
	require.Equal(t, results.PowerLimit{Enforced: 500, Default: 700}, limits["cuda:0"])
	require.Len(t, limits, 3)
	for _, d := range shared {
		require.Nil(t, d.PowerLimit, "another session has its own")
	}

	lost := 0
	for i, r := range s.Record.Runs {
		require.Equal(t, results.OK, r.Status, r.Error)
		for id, hz := range map[string]results.Float{"cuda:0": 2e9, "cuda:1": 1e9, "opencl:0": 4e9} {
			of := func(kind results.TraceKind, channel string) *results.Trace {
				return r.Trace(results.TraceKey{Kind: kind, Device: id, Channel: channel})
			}
			clock := of(results.TraceClock, "")
			require.NotNil(t, clock, id)
			require.Equal(t, results.Hertz, clock.Unit)
			for k, v := range clock.V {
				require.True(t, v == hz || v.IsAbsent() && id == "cuda:0", "%s: %v", id, v)
				if v.IsAbsent() {
					lost++
					gap := results.Gap{At: clock.T[k], Error: "GPU is lost"}
					require.True(t, slices.Contains(clock.Errors, gap) || clock.Errors[len(clock.Errors)-1].At < gap.At, "a trace keeps the first reasons")
				}
			}
			if id == "cuda:0" && i == 0 {
				require.Equal(t, results.Float(350), of(results.TraceTemperature, "").V[0])
				require.Equal(t, results.Float(2.6e9), of(results.TraceMemoryClock, "").V[0])
				require.Equal(t, results.Float(1), of(results.TraceECC, results.ECCUncorrected).V[0])
				require.Equal(t, results.Float(0), of(results.TraceECC, results.ECCCorrected).V[0])
				require.Equal(t, results.Float(1), of(results.TraceHeldBack, results.HeldByPower).V[0])
				require.Equal(t, results.Float(0), of(results.TraceHeldBack, results.HeldByHeat).V[0])
			}
			if id != "cuda:0" {
				require.Nil(t, of(results.TraceTemperature, ""), "what is not reported has no trace")
				require.Nil(t, of(results.TraceECC, results.ECCUncorrected))
			}
		}
		require.False(t, slices.ContainsFunc(r.Traces, func(tr results.Trace) bool { return slices.Contains(tr.V, 3e9) || slices.Contains(tr.V, 9e9) }))
	}
	require.NotZero(t, lost)
	time.Sleep(100 * time.Millisecond)
	require.Equal(t, looks, first.looks.Load(), "nobody looks any more")
}
