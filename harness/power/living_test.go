package power

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// timed is a meter whose channels say what functions of the time say.
type timed struct {
	channels []results.Channel
	says     []func(s float64) (float64, error)
	began    time.Time
}

func (m *timed) Info() Info { return Info{Name: "m", Source: "here", Channels: m.channels} }

func (m *timed) Read(context.Context) (out []Reading, err error) {
	if m.began.IsZero() {
		m.began = time.Now()
	}
	for _, say := range m.says {
		v, err := say(time.Since(m.began).Seconds())
		out = append(out, Reading{At: time.Now(), Value: v, Err: err})
	}
	return out, nil
}

func (m *timed) Close() error { return nil }

// TestLiving: one good reading, or a counter that moved, in each place of some
// total.
func TestLiving(t *testing.T) {
	gauge := func(at results.Boundary, place string) results.Channel {
		return results.Channel{Name: place + "-p", Kind: results.Gauge, Boundary: at, Total: at, Place: place}
	}
	counter := func(at results.Boundary, place string) results.Channel {
		return results.Channel{Name: place + "-e", Kind: results.Counter, Boundary: at, Total: at, Place: place}
	}
	part := results.Channel{Name: "rail", Kind: results.Gauge, Boundary: results.Board}
	good := func(float64) (float64, error) { return 100, nil }
	moves := func(s float64) (float64, error) { return float64(int(s / 1.03)), nil }
	stands := func(float64) (float64, error) { return 7, nil }
	refused := func(float64) (float64, error) { return 0, errors.New("4294967 W is above the most") }
	silent := func(float64) (float64, error) { return 0, ErrNoNews }
	type say = func(float64) (float64, error)
	for _, c := range []struct {
		name     string
		channels []results.Channel
		says     []say
		why      string // empty if it lives
	}{
		{"a gauge", []results.Channel{gauge(results.PSU, "")}, []say{good}, ""},
		{"a counter that is renewed each second", []results.Channel{counter(results.Package, "")}, []say{moves}, ""},
		{"a counter that stands", []results.Channel{counter(results.Package, "")}, []say{stands}, "did not move in 2.5s"},
		{"a gauge that is refused", []results.Channel{gauge(results.PSU, "")}, []say{refused}, "above the most"},
		{"one of two places", []results.Channel{counter(results.Package, "a"), counter(results.Package, "b")}, []say{moves, stands}, "b-e: the counter did not move"},
		{"a dead counter and its power", []results.Channel{counter(results.Wall, "a"), gauge(results.Wall, "a")}, []say{stands, good}, ""},
		{"another total", []results.Channel{gauge(results.PSU, ""), counter(results.Package, "")}, []say{refused, moves}, ""},
		{"a part lives", []results.Channel{gauge(results.PSU, ""), part}, []say{refused, good}, "above the most"},
		{"cards alone", []results.Channel{gauge(results.PSU, ""), gauge(results.Cards, "")}, []say{refused, good}, "above the most"},
		{"nothing new", []results.Channel{gauge(results.PSU, "")}, []say{silent}, "no channel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := Living(t.Context(), &timed{channels: c.channels, says: c.says})
				if c.why == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, c.why)
			})
		})
	}
}
