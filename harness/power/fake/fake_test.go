package fake

import (
	"errors"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

func TestConformance(t *testing.T) {
	channels := []results.Channel{Watts("inlet", results.Wall), Joules("package-0", results.Package)}
	for name, s := range map[string]Script{
		"follow":      Follow(Constant(400), Ramp(200)),
		"one failing": Follow(Constant(400), Ramp(200)).Fail(1, 0, time.Hour, errors.New("gone")),
		"list":        List([]float64{400, 1}, []float64{401, 2}, []float64{399, 3}, []float64{400, 4}),
	} {
		t.Run(name, func(t *testing.T) {
			powertest.TestMeter(t, func() (power.Meter, error) { return New("fake", s, channels...), nil })
		})
	}
}

func TestScripts(t *testing.T) {
	gone := errors.New("gone")
	at := func(t *testing.T, s Script, after time.Duration) (float64, error) {
		m := New("fake", s, Watts("inlet", results.Wall))
		time.Sleep(after)
		got, err := m.Read(t.Context())
		require.NoError(t, m.Close())
		require.True(t, m.Closed())
		require.EqualValues(t, 1, m.Reads())
		if err != nil {
			return 0, err
		}
		return got[0].Value, got[0].Err
	}
	synctest.Test(t, func(t *testing.T) {
		ramp := Follow(Ramp(100))
		for _, c := range []struct {
			name  string
			s     Script
			after time.Duration
			want  float64
			err   error
		}{
			{"ramp", ramp, 3 * time.Second, 300, nil},
			{"before it fails", ramp.Fail(0, 2*time.Second, 4*time.Second, gone), time.Second, 100, nil},
			{"failing", ramp.Fail(0, 2*time.Second, 4*time.Second, gone), 2 * time.Second, math.NaN(), gone},
			{"after it failed", ramp.Fail(0, 2*time.Second, 4*time.Second, gone), 4 * time.Second, 400, nil},
			{"before it vanishes", ramp.Vanish(2*time.Second, gone), time.Second, 100, nil},
			{"vanished", ramp.Vanish(2*time.Second, gone), 3 * time.Second, 0, gone},
			{"wrapped", ramp.Wrap(0, 250), 3 * time.Second, 50, nil},
			{"blocked", ramp.Block(time.Second, 9*time.Second), 2 * time.Second, 900, nil},
			{"not blocked", ramp.Block(time.Second, 9*time.Second), 9 * time.Second, 900, nil},
			{"an empty list", List(), 0, 0, io.EOF},
		} {
			got, err := at(t, c.s, c.after)
			require.ErrorIs(t, err, c.err, c.name)
			if math.IsNaN(c.want) {
				require.True(t, math.IsNaN(got), c.name)
			} else {
				require.Equal(t, c.want, got, c.name)
			}
		}
	})
}
