package powertest

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// meter keeps the contract until a test breaks one clause of it.
type meter struct {
	info   func(call int) power.Info
	read   func(call int, out []power.Reading) ([]power.Reading, error)
	closes []error

	infos, reads, closed int
	deaf                 bool // to the context
	undead               bool // after Close
}

func (m *meter) Info() power.Info {
	m.infos++
	return m.info(m.infos)
}

func (m *meter) Read(ctx context.Context) ([]power.Reading, error) {
	if m.closed > 0 && !m.undead {
		return nil, errors.New("closed")
	}
	if ctx.Err() != nil && !m.deaf {
		return nil, ctx.Err()
	}
	m.reads++
	now := time.Now()
	return m.read(m.reads, []power.Reading{{At: now, Value: 100}, {At: now, Value: float64(m.reads)}})
}

func (m *meter) Close() error {
	m.closed++
	if m.closed <= len(m.closes) {
		return m.closes[m.closed-1]
	}
	return nil
}

func good() *meter {
	absent := results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}
	info := power.Info{Name: "m", Source: "s", Channels: []results.Channel{
		{Name: "w", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured, Accuracy: absent},
		{Name: "j", Unit: results.Joule, Kind: results.Counter, Boundary: results.Package, Origin: results.Measured, Accuracy: absent},
	}}
	return &meter{
		info: func(int) power.Info { return info },
		read: func(_ int, out []power.Reading) ([]power.Reading, error) { return out, nil },
	}
}

// TestEveryClauseIsHeld: a meter that breaks one clause is caught, by that
// clause.
func TestEveryClauseIsHeld(t *testing.T) {
	channel := func(f func(*results.Channel)) func(*meter) {
		return func(m *meter) {
			info := m.info(0)
			f(&info.Channels[1])
			m.info = func(int) power.Info { return info }
		}
	}
	reading := func(f func(call int, r []power.Reading)) func(*meter) {
		return func(m *meter) {
			m.read = func(call int, out []power.Reading) ([]power.Reading, error) {
				f(call, out)
				return out, nil
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*meter)
		want  string // empty for a meter that is good
	}{
		"good":             {func(*meter) {}, ""},
		"a failed reading": {reading(func(_ int, r []power.Reading) { r[0].Value, r[0].Err = math.NaN(), errors.New("gone") }), ""},
		"no source":        {func(m *meter) { i := m.info(0); i.Source = ""; m.info = func(int) power.Info { return i } }, "info needs"},
		"info changes": {func(m *meter) {
			i := m.info(0)
			m.info = func(n int) power.Info { i.Period = time.Duration(n); return i }
		}, "info changed"},
		"name twice":           {channel(func(c *results.Channel) { c.Name = "w" }), "not unique"},
		"counter in watts":     {channel(func(c *results.Channel) { c.Unit = results.Watt }), "neither a counter in J nor a gauge in W"},
		"no boundary":          {channel(func(c *results.Channel) { c.Boundary = "" }), "no known boundary"},
		"no origin":            {channel(func(c *results.Channel) { c.Origin = "" }), "no known origin"},
		"a perfect instrument": {channel(func(c *results.Channel) { c.Accuracy.Gain = 0 }), "neither absent nor above 0"},
		"a reading is missing": {func(m *meter) { m.read = func(_ int, r []power.Reading) ([]power.Reading, error) { return r[:1], nil } }, "1 readings for 2 channels"},
		"read fails": {func(m *meter) {
			m.read = func(int, []power.Reading) ([]power.Reading, error) { return nil, errors.New("x") }
		}, "read: x"},
		"wall clock":            {reading(func(_ int, r []power.Reading) { r[0].At = r[0].At.Round(0) }), "no monotonic part"},
		"stamped later":         {reading(func(_ int, r []power.Reading) { r[0].At = r[0].At.Add(time.Hour) }), "outside the read"},
		"stamped before":        {reading(func(_ int, r []power.Reading) { r[0].At = r[0].At.Add(-time.Hour) }), "outside the read"},
		"0 W":                   {reading(func(_ int, r []power.Reading) { r[0].Value = 0 }), "0 W is never an answer"},
		"negative power":        {reading(func(_ int, r []power.Reading) { r[0].Value = -1 }), "is no value"},
		"NaN and no error":      {reading(func(_ int, r []power.Reading) { r[1].Value = math.NaN() }), "is no value"},
		"a falling counter":     {reading(func(n int, r []power.Reading) { r[1].Value = float64(100 - n) }), "the counter fell"},
		"an error with a value": {reading(func(_ int, r []power.Reading) { r[0].Err = errors.New("gone") }), "looks like a value"},
		"an error of no words":  {reading(func(_ int, r []power.Reading) { r[0].Value, r[0].Err = 0, errors.New("") }), "says nothing"},
		"deaf to the context":   {func(m *meter) { m.deaf = true }, "context that has ended"},
		"close fails":           {func(m *meter) { m.closes = []error{errors.New("x")} }, "close, time 1"},
		"close fails again":     {func(m *meter) { m.closes = []error{nil, errors.New("x")} }, "close, time 2"},
		"reads after close":     {func(m *meter) { m.undead = true }, "read after close"},
		"a counter after a gap": {reading(func(n int, r []power.Reading) {
			if n == 2 {
				r[1].Value, r[1].Err = math.NaN(), errors.New("gone")
			} else if n == 3 {
				r[1].Value = 0.5
			}
		}), "the counter fell"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check(t.Context(), func() (power.Meter, error) {
				m := good()
				c.spoil(m)
				return m, nil
			})
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
	require.ErrorContains(t, check(t.Context(), func() (power.Meter, error) { return nil, power.ErrAbsent }), "open")
}
