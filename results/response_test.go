package results

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRespond steps a load from 200 W to 500 W and back, 20 s each, and watches
// it through instruments that are known.
func TestRespond(t *testing.T) {
	const on, off, end = 20.0, 40.0, 60.0
	load := func(x float64) float64 {
		if x >= on && x < off {
			return 500
		}
		return 200
	}
	energy := func(x float64) float64 { return 200*x + 300*(min(max(x, on), off)-on) }
	rng := rand.New(rand.NewPCG(5, 6))

	// A PDU: new every second, 2 s late, steps of 10 W.
	pdu := Trace{Unit: Watt, Kind: Gauge}
	noise := make([]float64, 121)
	for i := range noise {
		noise[i] = 3 * rng.NormFloat64()
	}
	for x := 0.05; x < end; x += 0.1 {
		k := math.Floor(x)
		pdu.Add(Float(x), Float(math.Round((load(k-2)+2*noise[int(k)])/10)*10), nil)
	}
	r := Respond(&pdu, on, off)
	require.True(t, r.Seen)
	require.InDelta(t, 200, float64(r.Idle), 10)
	require.InDelta(t, 500, float64(r.Full), 10)
	require.InDelta(t, 2, float64(r.Delay), 0.2)
	require.InDelta(t, 2, float64(r.Fall), 0.2)
	require.EqualValues(t, 10, r.Step)
	require.Greater(t, float64(r.Noise), 2.0)
	require.GreaterOrEqual(t, float64(r.Interval), 0.99)
	require.LessOrEqual(t, float64(r.Interval), 3.1)

	// A plug: new every 500 ms, at once, 0.1 W.
	plug := Trace{Unit: Watt, Kind: Gauge}
	for x := 0.05; x < end; x += 0.1 {
		k := math.Floor(x * 2)
		plug.Add(Float(x), Float(math.Round((load(k/2)+noise[int(k)])*10)/10), nil)
	}
	r = Respond(&plug, on, off)
	require.InDelta(t, 0.5, float64(r.Interval), 0.01)
	require.InDelta(t, 3, float64(r.Noise), 1)
	require.Less(t, float64(r.Delay), 0.2)
	require.Less(t, float64(r.Stale), 0.7)

	// A counter of 1 kJ: its power is known between its steps.
	counter := Trace{Unit: Joule, Kind: Counter}
	for x := 0.05; x < end; x += 0.1 {
		counter.Add(Float(x), Float(math.Floor(energy(x)/1000)*1000), nil)
	}
	r = Respond(&counter, on, off)
	require.True(t, r.Seen)
	require.EqualValues(t, 1000, r.Step)
	require.InDelta(t, 500, float64(r.Full), 30)
	require.InDelta(t, 5, float64(r.Stale), 0.3, "1 kJ at 200 W")

	// One that does not move, one that is noise, and one that fails.
	for name, f := range map[string]func(x float64) float64{
		"frozen": func(float64) float64 { return 230 },
		"noise":  func(float64) float64 { return 230 + 3*rng.NormFloat64() },
		"failed": func(float64) float64 { return math.NaN() },
	} {
		tr := Trace{Unit: Watt, Kind: Gauge}
		for x := 0.05; x < end; x += 0.1 {
			tr.Add(Float(x), Float(f(x)), nil)
		}
		r := Respond(&tr, on, off)
		require.False(t, r.Seen, name)
		require.True(t, r.Delay.IsAbsent(), name)
	}
}
