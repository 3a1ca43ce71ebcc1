package power

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

func known() []endpoint.Option { return slices.Concat(Common, endpoint.Login, endpoint.WebOptions) }

func TestOptions(t *testing.T) {
	wall := results.Channel{Name: "input", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}}
	for options, want := range map[string]results.Channel{
		"":               {Boundary: results.Wall, Total: results.Wall, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",boundary=node": {Boundary: results.Chassis, Total: results.Chassis, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",boundary=card": {Boundary: results.Card, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",part=yes":      {Boundary: results.Wall, Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}},
		",accuracy=0.5%+2W,resolution=0.1": {Boundary: results.Wall, Total: results.Wall,
			Accuracy: results.Accuracy{Gain: 0.005, Offset: 2, Resolution: 0.1, Source: "stated in the spec"}},
	} {
		s, err := ParseSpec("snmp:x"+options, known())
		require.NoError(t, err)
		got, err := s.Channel(wall)
		require.NoError(t, err, options)
		require.Equal(t, want.Boundary, got.Boundary, options)
		require.Equal(t, want.Total, got.Total, options)
		require.Equal(t, want.Accuracy.Gain.IsAbsent(), got.Accuracy.Gain.IsAbsent())
		require.Equal(t, want.Accuracy.Offset, got.Accuracy.Offset)
		require.Equal(t, want.Accuracy.Resolution, got.Accuracy.Resolution)
	}
	for _, options := range []string{
		"boundary=rack", "part=maybe", "accuracy=1", "accuracy=%", "accuracy=0%", "accuracy=-1%", "accuracy=nan%", "accuracy=1%+2", "accuracy=1%+0W", "resolution=0", "resolution=inf",
		"max=0", "max=-1", "period=0s", "period=2", "timeout=1h", "timeout=-1s",
	} {
		s, err := ParseSpec("snmp:x,"+options, known())
		require.NoError(t, err)
		_, err = s.Poller(Info{Channels: []results.Channel{wall}}, []Bound{{}}, nil, nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, options)
		key, _, _ := strings.Cut(options, "=")
		require.ErrorContains(t, err, key)
	}
	for options, most := range map[string]*results.Float{"": nil, ",max=80000": new(results.Float(80_000))} {
		s, err := ParseSpec("snmp:x"+options, known())
		require.NoError(t, err)
		p, err := s.Poller(Info{Channels: []results.Channel{wall}}, []Bound{{Watts: 60_000}}, nil, nil)
		require.NoError(t, err)
		require.Equal(t, most, p.Info().Channels[0].Most, "what the spec says is for readers of a recording, too")
	}
}

func FuzzSpec(f *testing.F) {
	for _, s := range []string{"rapl", "snmp:pdu,outlet=3", "redfish:https://bmc,password=env:X", "a:b,password=x", "exec:a,b=c,name=d", "prometheus:http://u:p@h?q=a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text, known())
		if err != nil {
			require.ErrorIs(t, err, endpoint.ErrSpec)
			return
		}
		_, _ = s.Address("1")
		_, err = s.Poller(Info{Channels: []results.Channel{{Kind: results.Gauge}}, Period: time.Second}, []Bound{{}}, nil, nil)
		if err != nil {
			require.ErrorIs(t, err, endpoint.ErrSpec)
		}
	})
}
