package power

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// TestProve: what opens is what reads: within the time of a reading, and to a
// value of a total that is believed.
func TestProve(t *testing.T) {
	watt := func(total results.Boundary) results.Channel {
		return results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: total}
	}
	lost := errors.New("lost")
	for name, c := range map[string]struct {
		takes    time.Duration
		err      error
		channels []results.Channel
		got      []Quantity
		want     string
	}{
		"good":                   {0, nil, []results.Channel{watt(results.Wall)}, []Quantity{{Value: 5}}, ""},
		"slow":                   {time.Second, nil, []results.Channel{watt(results.Wall)}, []Quantity{{Value: 5}}, "a reading takes longer than 500ms: give a longer timeout="},
		"lost":                   {0, lost, []results.Channel{watt(results.Wall)}, nil, "lost"},
		"nothing":                {0, nil, []results.Channel{watt(results.Wall)}, []Quantity{{Err: lost}}, "power: lost"},
		"beyond belief":          {0, nil, []results.Channel{watt(results.Wall)}, []Quantity{{Value: 1e9}}, "plausible"},
		"one of two":             {0, nil, []results.Channel{watt(results.Wall), watt(results.Wall)}, []Quantity{{Err: lost}, {Value: 5}}, ""},
		"none in a total":        {0, nil, []results.Channel{watt(results.Wall), watt("")}, []Quantity{{Err: lost}, {Value: 5}}, "power: lost"},
		"none is, and one reads": {0, nil, []results.Channel{watt(""), watt("")}, []Quantity{{Err: lost}, {Value: 5}}, ""},
		"fewer":                  {0, nil, []results.Channel{watt(results.Wall), watt("")}, []Quantity{{Value: 5}}, "it returned 1 values, not 2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := ParseSpec("x,timeout=500ms", append([]endpoint.Option{}, Common...))
				require.NoError(t, err)
				m, err := s.Poller(Info{Channels: c.channels}, make([]Bound, len(c.channels)), func(ctx context.Context) ([]Quantity, error) {
					select {
					case <-time.After(c.takes):
						return c.got, c.err
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}, nil)
				require.NoError(t, err)
				if err = m.Prove(t.Context()); c.want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.want)
				}
			})
		})
	}
}
