package power

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

var (
	joules = results.Channel{Name: "energy", Unit: results.Joule, Kind: results.Counter, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1}}
	watts = results.Channel{Name: "power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Total: results.Wall, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 0.1}}
)

// scripted is a remote whose instrument is a variable and whose clock is turned
// by hand.
type scripted struct {
	t    time.Time
	trip time.Duration
	q    Quantity
	err  error
	m    *Poller
}

func script(t *testing.T, c results.Channel, b Bound, options string) *scripted {
	t.Helper()
	s := &scripted{t: time.Now()}
	spec, err := ParseSpec("snmp:pdu"+options, Common)
	require.NoError(t, err)
	spec.Now = func() time.Time { return s.t }
	s.m, err = spec.Poller(Info{Source: "pdu", Channels: []results.Channel{c}}, []Bound{b}, func(ctx context.Context) ([]Quantity, error) {
		s.t = s.t.Add(s.trip)
		return []Quantity{s.q}, s.err
	}, nil)
	require.NoError(t, err)
	return s
}

// say has the instrument say a value after d.
func (s *scripted) say(t *testing.T, d time.Duration, v float64) (float64, error) {
	t.Helper()
	s.t, s.q.Value = s.t.Add(d), v
	out, err := s.m.Read(t.Context())
	if err != nil {
		return math.NaN(), err
	}
	return out[0].Value, out[0].Err
}

// TestErrorAsZero: no number stands for "none".
func TestErrorAsZero(t *testing.T) {
	s := script(t, watts, Bound{Watts: 3000}, "")
	for _, v := range []float64{0, -1, math.NaN(), math.Inf(1), 3001} {
		got, err := s.say(t, time.Second, v)
		require.Error(t, err, "%v", v)
		require.True(t, math.IsNaN(got))
	}
	s.q.Err = errors.New("null")
	_, err := s.say(t, time.Second, 500)
	require.ErrorContains(t, err, "null")
	s.q.Err = nil
	got, err := s.say(t, time.Second, 500)
	require.NoError(t, err)
	require.Equal(t, 500.0, got)
}

// TestCounterWithBadReadings: energy counted while nobody could read it is not known,
// and a counter that reads 0 has not counted. Readings are a second apart.
func TestCounterWithBadReadings(t *testing.T) {
	type reading struct {
		raw, want float64 // J
		err       string
	}
	for _, c := range []struct {
		name     string
		bound    Bound
		options  string
		readings []reading
	}{
		{"zeros and less", Bound{Watts: 1000}, "", []reading{
			{5000, 0, ""}, {5500, 500, ""},
			{0, 0, "reset"}, {0, 0, "fell to 0"}, {0, 0, "fell to 0"}, {161993, 500, ""}, // a new base: nothing of the jump is added
			{162443, 950, ""}, {-1, 0, "below 0"}, {162943, 950, ""},
		}},
		// Nor is 0 a base from which everything ever counted would follow, at plausible watts.
		{"zeros after a start at 0", Bound{}, "", []reading{
			{0, 0, ""}, {700, 700, ""}, {1400, 1400, ""},
			{0, 0, "reset"}, {0, 0, "reset"}, {0, 0, "reset"}, {8500, 1400, ""}, {9200, 2100, ""},
		}},
		{"a jump beyond the most that it can see", Bound{}, ",max=1000", []reading{
			{0, 0, ""}, {1e6, 0, "more than 1000 W allow: a gap"}, {1e6 + 700, 0, ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := script(t, joules, c.bound, c.options)
			for i, r := range c.readings {
				got, err := s.say(t, time.Second, r.raw)
				if r.err != "" {
					require.ErrorContains(t, err, r.err, i)
					continue
				}
				require.NoError(t, err, i)
				require.Equal(t, r.want, got, i)
			}
		})
	}
}

// TestWrap: a fall is a wrap only if the range is known and the watts are
// plausible.
func TestWrap(t *testing.T) {
	known := script(t, joules, Bound{Watts: 1000, Range: 65_533}, "")
	_, err := known.say(t, 0, 65_000)
	require.NoError(t, err)
	got, err := known.say(t, time.Second, 67)
	require.NoError(t, err)
	require.Equal(t, 600.0, got)
	_, err = known.say(t, time.Second, 30_000) // 29 933 J in a second
	require.ErrorContains(t, err, "more than 1000 W allow")

	unknown := script(t, joules, Bound{Watts: 1000}, "")
	_, err = unknown.say(t, 0, 65_000)
	require.NoError(t, err)
	_, err = unknown.say(t, time.Second, 67)
	require.ErrorContains(t, err, "a reset, a gap")

	slow := script(t, joules, Bound{Watts: 1000, Range: 65_533}, "")
	_, err = slow.say(t, 0, 1000)
	require.NoError(t, err)
	_, err = slow.say(t, 2*time.Minute, 2000) // 65 533 J more could have gone by
	require.ErrorContains(t, err, "wrapped unseen")
}

// TestDeadCounter: one that stays at 0 counts nothing, which is not 0 W; it may
// begin later.
func TestDeadCounter(t *testing.T) {
	s := script(t, joules, Bound{}, "")
	_, err := s.say(t, 0, 0)
	require.NoError(t, err)
	for range 5 {
		_, err = s.say(t, time.Second, 0)
		require.ErrorContains(t, err, "counted nothing")
	}
	for i, want := range []float64{0, 700, 1400} {
		got, err := s.say(t, time.Second, 700*float64(i+1))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// TestBelievable: less than the boundary's least or more than its most is no
// reading, and the scale
// that would fit is named; min= and max= say what else is believed, and what was not
// measured is held to nothing.
func TestBelievable(t *testing.T) {
	for _, c := range []struct {
		name    string
		at      results.Boundary
		origin  results.Origin
		options string
		watts   float64
		says    string // empty if it is believed
	}{
		{"a denormal", results.Wall, results.Measured, "", 2.1e-37, "below the least that is plausible at the wall boundary (1 W)"},
		{"milliwatts made watts twice", results.Wall, results.Measured, "", 0.412, "412 W would fit"},
		{"kilowatts", results.Chassis, results.Measured, "", 0.62, "620 W would fit"},
		{"microwatts", results.Board, results.Measured, "", 0.00062, "620 W would fit"},
		{"milliwatts of a board", results.Board, results.Measured, "", 0.02732, "27.32 W would fit"},
		{"milliwatts of a card", results.Card, results.Measured, "", 0.001, "1 W would fit"},
		{"milliwatts of a package", results.Package, results.Measured, "", 0.065, "65 W would fit"},
		{"milliwatts taken for watts", results.Wall, results.Measured, "", 412_000, "412 W would fit"},
		{"milliwatts of an idle card taken for watts", results.Card, results.Measured, "", 30_250, "30.25 W would fit"},
		{"milliwatts of a package taken for watts", results.Package, results.Measured, "", 15_800, "15.8 W would fit"},
		{"milliwatts of the memory taken for watts", results.Memory, results.Measured, "", 8_200, "8.2 W would fit"},
		{"eight cards", results.Card, results.Measured, "", 9_800, ""},
		{"more than that, as the spec says", results.Card, results.Measured, ",max=40000", 30_250, ""},
		{"microwatts taken for watts", results.PSU, results.Measured, "", 230e6, "230 W would fit"},
		{"0xFFFFFFFF mW", results.PSU, results.Measured, "", 4294967.295, "above the most that is plausible at the psu boundary"},
		{"a small computer", results.Wall, results.Measured, "", 2.7, ""},
		{"a rail", results.Board, results.Measured, "", 0.35, ""},
		{"a smaller one, as the spec says", results.Wall, results.Measured, ",min=0.3", 0.4, ""},
		{"less than the spec says", results.Wall, results.Measured, ",min=100", 40, "below the least that is plausible at the wall boundary (100 W)"},
		{"a share of a host", results.Wall, results.Modelled, "", 0.4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ch := watts
			ch.Boundary, ch.Origin = c.at, c.origin
			_, err := script(t, ch, Bound{}, c.options).say(t, 0, c.watts)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

// TestCounterByTheMinute: one that is brought up to date once a minute may rise
// by a minute's energy between two readings, and by no more.
func TestCounterByTheMinute(t *testing.T) {
	s := script(t, joules, Bound{Watts: 1000, Stale: time.Hour}, "")
	for i := range 180 {
		got, err := s.say(t, time.Second, 500+float64(i/60)*42_000) // 700 W
		require.NoError(t, err, "%d s", i)
		require.Equal(t, float64(i/60)*42_000, got)
	}
	_, err := s.say(t, time.Second, 500+3*42_000+30_000)
	require.ErrorContains(t, err, "in 1m0s, more than 1000 W allow")
	_, err = s.say(t, time.Second, 160_000)
	require.NoError(t, err)
	_, err = s.say(t, time.Second, 170_000)
	require.ErrorContains(t, err, "in 1s, more than 1000 W allow", "a new base is not an old one")
}

// TestStuckAtAnAbsurdValue: what was not believed is not believed for being
// said again, and does not count as having used nothing.
func TestStuckAtAnAbsurdValue(t *testing.T) {
	s := script(t, joules, Bound{Watts: 1000}, "")
	_, err := s.say(t, 0, 5000)
	require.NoError(t, err)
	for range 3 {
		_, err = s.say(t, time.Second, 1e9)
		require.Error(t, err)
	}
	got, err := s.say(t, time.Second, 7800)
	require.NoError(t, err)
	require.Zero(t, got)
	got, err = s.say(t, time.Second, 8500)
	require.NoError(t, err)
	require.Equal(t, 700.0, got)
}

// TestFrozenCounter: agents and caches go on serving what is no longer there.
func TestFrozenCounter(t *testing.T) {
	s := script(t, joules, Bound{}, "")
	for range 60 {
		_, err := s.say(t, time.Second, 5000)
		require.NoError(t, err)
	}
	_, err := s.say(t, 2*time.Second, 5000)
	require.ErrorContains(t, err, "stale")
	_, err = s.say(t, time.Second, 5000)
	require.ErrorContains(t, err, "stale", "saying it again does not make it fresh")
	got, err := s.say(t, time.Second, 5700)
	require.NoError(t, err)
	require.Zero(t, got, "what it missed is not known")

	coarse := joules
	coarse.Accuracy.Resolution = 360_000 // 0.1 kWh: a step takes 10 hours at 10 W
	s = script(t, coarse, Bound{}, "")
	for range 9 {
		_, err := s.say(t, time.Hour, 5000)
		require.NoError(t, err)
	}
	_, err = s.say(t, 3*time.Hour, 5000)
	require.ErrorContains(t, err, "stale")
}

// TestFrozenGauge: a fine gauge never says the same for minutes; a coarse one
// may.
func TestFrozenGauge(t *testing.T) {
	s := script(t, watts, Bound{}, "")
	for range 60 {
		_, err := s.say(t, time.Second, 512.3)
		require.NoError(t, err)
	}
	_, err := s.say(t, 2*time.Second, 512.3)
	require.ErrorContains(t, err, "stale: it has reported 512.3 W for")

	s = script(t, watts, Bound{}, ",resolution=10")
	for range 60 {
		_, err := s.say(t, time.Minute, 510)
		require.NoError(t, err)
	}
}

// TestPace: how long a counter may stand is learnt from it. One that keeps its
// pace has stopped after ten times as long, be that a millisecond's or that of
// a virtual one, and what it counted until it is found out is a gap.
func TestPace(t *testing.T) {
	for _, pace := range []time.Duration{100 * time.Millisecond, 1030 * time.Millisecond, 5 * time.Second} {
		t.Run(pace.String(), func(t *testing.T) {
			tr := Track{Channel: joules, Bound: Bound{Moves: true}}
			at := time.Now()
			const poll = 10 * time.Millisecond
			stand := func(joules float64, d time.Duration) (last float64, err error) {
				for end := at.Add(d); at.Before(end) && err == nil; at = at.Add(poll) {
					last, err = tr.Take(Quantity{Value: joules}, at)
				}
				return last, err
			}
			for i := range 5 {
				got, err := stand(100+40*float64(i), pace)
				require.NoError(t, err)
				require.Equal(t, 40*float64(i), got)
			}
			_, err := stand(260, max(8*pace, time.Second-pace))
			require.NoError(t, err, "it may take its time")
			_, err = stand(260, max(2*pace, time.Second))
			require.ErrorContains(t, err, "stale")
			got, err := stand(9000, poll)
			require.NoError(t, err)
			require.Equal(t, 160.0, got, "a new base")
		})
	}
}

// TestRepeatedTimestamp: a value that the instrument took before the last
// reading is not another reading, and one that it took an hour ago is none.
func TestRepeatedTimestamp(t *testing.T) {
	s := script(t, watts, Bound{}, ",resolution=1")
	s.q.Taken = time.Unix(1000, 0)
	_, err := s.say(t, time.Second, 512)
	require.NoError(t, err)
	for range 60 {
		_, err = s.say(t, time.Second, 512)
		require.ErrorIs(t, err, ErrNoNews)
	}
	_, err = s.say(t, time.Second, 512)
	require.ErrorContains(t, err, "stale")
	s.q.Taken = time.Unix(1005, 0)
	got, err := s.say(t, time.Second, 512)
	require.NoError(t, err)
	require.Equal(t, 512.0, got)
}

// TestNotOurClock: a reading holds at the middle of the request, give or take
// half of it, whatever the instrument's clock says; setting that clock back
// changes nothing.
func TestNotOurClock(t *testing.T) {
	s := script(t, joules, Bound{}, "")
	s.trip = 300 * time.Millisecond
	s.q.Taken = time.Unix(5000, 0)
	began := s.t
	s.q.Value = 100
	out, err := s.m.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, began.Add(150*time.Millisecond), out[0].At)
	require.Equal(t, 150*time.Millisecond, out[0].Slack)
	require.Equal(t, time.Unix(5000, 0), out[0].Clock)
	s.q.Taken = time.Unix(1400, 0)
	got, err := s.say(t, time.Second, 800)
	require.NoError(t, err)
	require.Equal(t, 700.0, got)
}

// TestUnasked: what an instrument says of its own accord is stamped when it
// came in, and its silence is no news until it is too long.
func TestUnasked(t *testing.T) {
	s := script(t, watts, Bound{}, ",resolution=10")
	s.trip = 300 * time.Millisecond
	s.q.Err = ErrNoNews
	_, err := s.say(t, 0, 0)
	require.NotErrorIs(t, err, ErrNoNews)
	require.ErrorContains(t, err, "nothing yet")
	for range 120 { // the same value in every line is not silence
		s.q = Quantity{Value: 510, At: s.t.Add(-time.Second)}
		out, err := s.m.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, out[0].Err)
		require.Equal(t, s.q.At, out[0].At)
		require.Zero(t, out[0].Slack)
		s.t = s.t.Add(time.Second)
	}
	s.q = Quantity{Err: ErrNoNews}
	for range 40 {
		_, err = s.say(t, time.Second, 0)
		require.ErrorIs(t, err, ErrNoNews)
	}
	for range 2 {
		_, err = s.say(t, time.Minute, 0)
		require.ErrorContains(t, err, "stale: it has sent nothing new for")
	}
}

func TestTimeout(t *testing.T) {
	spec, err := ParseSpec("snmp:pdu,timeout=20ms", Common)
	require.NoError(t, err)
	m, err := spec.Poller(Info{Source: "pdu", Channels: []results.Channel{joules}}, []Bound{{}}, func(ctx context.Context) ([]Quantity, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, nil)
	require.NoError(t, err)
	_, err = m.Read(t.Context())
	require.ErrorContains(t, err, "snmp: read pdu: no answer within 20ms")
}
