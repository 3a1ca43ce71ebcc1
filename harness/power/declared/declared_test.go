package declared

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

func open(text string) (power.Meter, error) {
	s, err := power.ParseSpec("declared:"+text, Options)
	if err != nil {
		return nil, err
	}
	return Open(s)
}

func TestConformance(t *testing.T) {
	powertest.TestMeter(t, func() (power.Meter, error) { return open("350,boundary=psu") })
}

func TestSpec(t *testing.T) {
	for _, c := range []struct {
		text     string
		watts    float64
		boundary results.Boundary
	}{
		{"350", 350, results.Wall},
		{"412.5", 412.5, results.Wall},
		{"3.5e2,boundary=psu", 350, results.PSU},
		{"1e7,boundary=node", 1e7, results.Chassis},
		{"65,boundary=package", 65, results.Package},
		{"65,boundary=board", 65, results.Board},
	} {
		m, err := open(c.text)
		require.NoError(t, err, c.text)
		require.Equal(t, c.boundary, m.Info().Channels[0].Total)
		got, err := m.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.watts, got[0].Value)
	}
	for _, text := range []string{
		"", "0", "-0", "-350", "1e-400", "10000000.1", "1e8", "1e999", "inf", "+Inf", "NaN", "0x1p8", "1_000", " 350", "350 ", "350W", "3,5",
		"350,", "350,boundary", "350,boundary=", "350,boundary=card", "350,boundary=memory", "350,boundary=rack", "350,boundary=wall,boundary=psu", "350,volts=230",
	} {
		_, err := open(text)
		require.ErrorIs(t, err, endpoint.ErrSpec, "%q", text)
	}
}

func TestDeclared(t *testing.T) {
	m, err := open("350")
	require.NoError(t, err)
	c := m.Info().Channels[0]
	require.Equal(t, results.Declared, c.Origin)
	require.True(t, c.Accuracy.Gain.IsAbsent())
	require.Contains(t, m.Info().Notes[0], "declared, not measured: 350 W at the wall boundary")
}

func BenchmarkRead(b *testing.B) {
	m, err := open("350")
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
