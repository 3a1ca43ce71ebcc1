package harness

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/fake"
	"github.com/perwatt/perwatt/results"
)

func TestCheck(t *testing.T) {
	var load atomic.Bool
	m := fake.New("plug", func(context.Context, time.Duration) ([]power.Reading, error) {
		watts := 200 + float64(time.Now().UnixMicro()%7)/10
		if load.Load() {
			watts += 300
		}
		return []power.Reading{{Value: watts}}, nil
	}, fake.Watts("input", results.Wall))
	s := newSession(t)
	c := Check{
		Meters: []power.Meter{m}, Device: testCPU, Use: "mining", Worker: s.Worker,
		Step: time.Second, Interval: 20 * time.Millisecond,
		Progress: func(phase string, _ time.Duration) { load.Store(phase == "full load") },
	}
	got, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, got.Channels, 1)
	r := got.Channels[0]
	require.True(t, r.Seen, "%+v", r)
	require.Equal(t, "plug", r.Meter)
	require.InDelta(t, 200, float64(r.Idle), 5)
	require.InDelta(t, 500, float64(r.Full), 5)
	require.Less(t, float64(r.Delay), 0.5)
	require.False(t, got.Busy.IsAbsent())

	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(string, time.Duration) { cancel() }
	_, err = c.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
