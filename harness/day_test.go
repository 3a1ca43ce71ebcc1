package harness

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// TestADayOfWrapsAndGaps reads a counter of 65 533 J, which wraps every 109 s
// at 600 W, once a second for 24 hours. Ten times the instrument is gone for a
// minute, ten times it starts again from 0. Where there was no gap no energy
// is lost or made; across one there is none.
func TestADayOfWrapsAndGaps(t *testing.T) {
	const (
		day   = 24 * time.Hour
		watts = 600.0
		width = 65_533.0
	)
	type gap struct{ from, to float64 }
	var gaps []gap
	var memory [2]runtime.MemStats
	var tr results.Trace
	synctest.Test(t, func(t *testing.T) {
		t0 := time.Now()
		restarted := 0.0
		spec, err := power.ParseSpec("snmp:pdu,max=1000", power.Common)
		require.NoError(t, err)
		hour := func(s float64) (n int, into float64) { return int(s / 4320), math.Mod(s, 4320) } // a twentieth of a day
		m, err := spec.Poller(power.Info{Source: "pdu", Channels: []results.Channel{{
			Name: "energy", Unit: results.Joule, Kind: results.Counter, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()},
		}}}, []power.Bound{{Range: width}}, func(context.Context) ([]power.Quantity, error) {
			s := time.Since(t0).Seconds()
			n, into := hour(s)
			if n%2 == 1 && into >= 2000 && into < 2060 {
				return nil, errors.New("gone")
			}
			if n%2 == 0 && into >= 2000 && into < 2001 {
				restarted = s
			}
			return []power.Quantity{{Value: math.Mod(watts*(s-restarted), width)}}, nil
		}, nil)
		require.NoError(t, err)
		clock := clock{t0: t0, origin: bench.Monotonic()}
		runtime.GC()
		runtime.ReadMemStats(&memory[0])
		s := startSampler(t.Context(), clock, time.Second, []power.Meter{m}, nil, nil)
		time.Sleep(day + 500*time.Millisecond)
		tr = s.stop()[0]
	})
	runtime.GC()
	runtime.ReadMemStats(&memory[1])
	require.Len(t, tr.T, 24*3600+1)
	require.LessOrEqual(t, len(tr.Errors), 20)
	grown := int64(memory[1].HeapAlloc) - int64(memory[0].HeapAlloc)
	require.Less(t, grown, int64(4*16*len(tr.T)), "two columns, room to grow, and nothing else")

	open := -1.0
	for i, v := range tr.V {
		switch at := float64(tr.T[i]); {
		case v.IsAbsent() && open < 0:
			open = at
		case !v.IsAbsent() && open >= 0:
			gaps = append(gaps, gap{open, at})
			open = -1
		}
	}
	require.Len(t, gaps, 20)
	from := 0.0
	for _, g := range append(gaps, gap{from: 24*3600 + 1}) {
		got, want := float64(tr.Over(from, g.from-1)), watts*(g.from-1-from)
		require.InEpsilon(t, want, got, 1e-9, "from %v s to %v s", from, g.from-1)
		if g.to > 0 {
			require.True(t, tr.Over(g.from-2, g.to+2).IsAbsent(), "across the gap at %v s", g.from)
		}
		from = g.to
	}
	runtime.KeepAlive(tr)
}
