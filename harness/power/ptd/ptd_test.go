package ptd

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local)

func dial(t *testing.T, s *stub, options string, now func() time.Time) (power.Meter, error) {
	spec, err := power.ParseSpec("ptd:"+s.address+options, Options)
	if err != nil {
		return nil, err
	}
	spec.Now = now
	return Open(t.Context(), spec)
}

// quick has a period that the tests can wait for.
const quick = ",period=50ms,timeout=600ms"

func TestConformance(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	powertest.TestMeter(t, func() (power.Meter, error) { return dial(t, s, quick, nil) })
}

func TestFaults(t *testing.T) {
	powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
		s := serve(t)
		gone := false
		watts := func(w string) func(time.Duration) {
			return func(d time.Duration) { s.once(line(noon.Add(d), w)) }
		}
		vanish := func(time.Duration) { gone = true; s.stop() }
		return powertest.Rig{
			Open: func(now func() time.Time) (power.Meter, error) { return dial(t, s, quick, now) },
			Set: func(d time.Duration) {
				if gone {
					gone = false
					s.start(t)
				}
				s.always(line(noon.Add(d), "700.000000"))
			},
			Break: map[string]func(time.Duration){
				"time-out":    func(time.Duration) { s.set(func() { s.hold = 300 * time.Millisecond }) },
				"wrong type":  func(time.Duration) { s.once("Time," + noon.Format(layouts[0]) + ",Temp,29.687500") },
				"negative":    watts("-1.000000"),
				"nan":         watts("nan"),
				"zero":        watts("0.000000"),
				"absurd jump": watts("700000000.000000"),
				"vanish":      vanish,
				"restart":     vanish, // its measurement is over, as after a restart
				"clock step":  func(d time.Duration) { s.always(line(noon.Add(d-time.Hour), "700.000000")) },
			},
		}
	})
}

// TestSession is the order of what is said.
func TestSession(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	m, err := dial(t, s, ",amps=5,volts=auto", nil)
	require.NoError(t, err)
	require.Equal(t, "Hello Identify Stop RR SR,A,5 SR,V,Auto Go,1000,0,perwatt RL,1 Uncertainty", strings.Join(s.commands(), " "))
	info := m.Info()
	require.Equal(t, time.Second, info.Period)
	c := info.Channels[0]
	require.Equal(t, results.Float(0.009201), c.Accuracy.Gain)
	require.Contains(t, c.Accuracy.Source, "PTDaemon")
	require.Equal(t, results.Wall, c.Total)
	require.Equal(t, []string{
		`analyser "YokogawaWT330 YOKOGAWA;WT333;C2SF14011V;F1.01EM", accepted by SPEC, calibrated "12-Jan-2026", read by PTDaemon "1.10.0-ed9a21d2-20220817"`,
		"the range of the current is 5 A",
		"the range of the voltage is automatic: there are no samples while it changes; volts= sets one",
	}, info.Notes)
	s.once(line(noon.Add(time.Second), "413.250000"))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, 413.25, got[0].Value)
	require.Equal(t, noon.Add(time.Second), got[0].Clock)
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, got[0].Err, power.ErrNoNews)
	require.NoError(t, m.Close())
	require.Equal(t, "RL,1 RL,1 Stop SR,A,Auto SR,V,300", strings.Join(s.commands(), " "), "the ranges are set back")
}

// TestErrorAsZero: −1 is how it says that it had no value.
func TestErrorAsZero(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "-1.000000"))
	_, err := dial(t, s, quick, nil)
	require.ErrorContains(t, err, "first sample: it says Watts,-1, for the analyser had no value: is the current or the voltage beyond its range?")
	s.always(line(noon, "412.500000"))
	m, err := dial(t, s, quick, nil)
	require.NoError(t, err)
	defer m.Close()
	s.once(line(noon, "-1.000000"))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, got[0].Err, "had no value")
	require.True(t, math.IsNaN(got[0].Value))
}

// TestRepeatedSample: a sample that was read before is no news.
func TestRepeatedSample(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	m, err := dial(t, s, quick, nil)
	require.NoError(t, err)
	defer m.Close()
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, got[0].Err, power.ErrNoNews)
}

// TestLateAnswer: what comes after it was given up answers nothing.
func TestLateAnswer(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	m, err := dial(t, s, quick, nil)
	require.NoError(t, err)
	defer m.Close()
	s.set(func() { s.hold, s.steady = 100*time.Millisecond, line(noon, "9.000000") })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = m.Read(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s.always(line(noon.Add(time.Second), "500.000000"))
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, 500.0, got[0].Value)
}

// TestUncertaintyUnknown: −1 is no accuracy.
func TestUncertaintyUnknown(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	for _, u := range []string{"-1.000000,-1.000000,-1.000000,1,0,0,1", "0.006,0.006,0.006,2,0,1,1", "-1,-1,-1,1,0,0,0", "0,0,0,0,0,0,0"} {
		s.set(func() { s.uncertain = u })
		m, err := dial(t, s, quick, nil)
		require.NoError(t, err)
		require.NoError(t, m.Close())
		require.True(t, m.Info().Channels[0].Accuracy.Gain.IsAbsent(), u)
		require.Empty(t, m.Info().Channels[0].Accuracy.Source)
	}
	m, err := dial(t, s, quick+",accuracy=0.2%", nil)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	require.Equal(t, results.Float(0.002), m.Info().Channels[0].Accuracy.Gain)
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*stub)
		options string
		want    string
	}{
		"not a daemon":           {func(s *stub) { s.hello = "220 mail\x1b[2J" }, quick, `no PTDaemon: it says "220 mail\x1b[2J" to Hello`},
		"a thermometer":          {func(s *stub) { s.identify = strings.Replace(analyser, "mode=power", "mode=temperature", 1) }, quick, `no AC power analyser but "mode=temperature": give the port of the one that does`},
		"no watts":               {func(s *stub) { s.identify = strings.Replace(analyser, "1000,1", "1000,0", 1) }, quick, "measures no watts"},
		"a long line":            {func(s *stub) { s.identify = strings.Repeat("x", 5000) }, quick, "Identify: a line of more than 4096 bytes"},
		"no line":                {func(s *stub) { s.end = "" }, quick, "Hello: context deadline exceeded"},
		"a range it has not":     {func(s *stub) { s.refuse = true }, quick + ",amps=7", `it says "Error in parameter" to SR,A,7: is that a range of the analyser`},
		"ranges of many":         {func(s *stub) { s.identify = strings.Replace(analyser, "power,1,1,1", "power,1,1,3", 1) }, quick + ",amps=5", "at the analyser"},
		"no sample":              {func(s *stub) { s.steady = "" }, quick, "first sample: none came: does the analyser measure?"},
		"no time for an answer":  {func(*stub) {}, ",timeout=1s", "timeout=1s: must be longer than the 1s between samples"},
		"bad ranges":             {func(s *stub) { s.ranges[0] = "maybe" }, quick, "is no answer to RR"},
		"an answer of something": {func(s *stub) { s.steady = "Temperature,29.6" }, quick, "is no sample: it lacks Time"},
		"a bad range":            {func(*stub) {}, ",amps=-1", "amps=-1"},
		"a bad period":           {func(*stub) {}, ",period=1ms", "period=1ms"},
		"a bad boundary":         {func(*stub) {}, quick + ",boundary=rack", "boundary=rack"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.always(line(noon, "412.500000"))
			s.set(func() { c.spoil(s) })
			_, err := dial(t, s, c.options, nil)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
	s := serve(t)
	s.stop()
	_, err := dial(t, s, quick, nil)
	require.ErrorContains(t, err, "refused; does the PTDaemon run there")
}

// TestAnotherAnalyser: what is said of one holds for no other.
func TestAnotherAnalyser(t *testing.T) {
	s := serve(t)
	s.always(line(noon, "412.500000"))
	m, err := dial(t, s, quick, nil)
	require.NoError(t, err)
	defer m.Close()
	s.stop()
	_, err = m.Read(t.Context())
	require.Error(t, err)
	s.set(func() { s.identify = strings.Replace(analyser, "C2SF14011V", "C3VD30030E", 1) })
	s.start(t)
	_, err = m.Read(t.Context())
	require.ErrorContains(t, err, "another analyser answers now")
}

func TestParseIdentity(t *testing.T) {
	id, err := parseIdentity(analyser)
	require.NoError(t, err)
	require.Equal(t, identity{"YokogawaWT330 YOKOGAWA;WT333;C2SF14011V;F1.01EM", "1.10.0-ed9a21d2-20220817", "12-Jan-2026", time.Second, true, true, 1}, id)
	for _, bad := range []string{"", "mode=power", strings.Replace(analyser, ",1000,", ",0,", 1), strings.Replace(analyser, "power,1,1,1", "power,1,1,x", 1), strings.Replace(analyser, "mode=power,1,1,1,0,0,12-Jan-2026,", "mode=power,", 1)} {
		_, err := parseIdentity(bad)
		require.Error(t, err, bad)
	}
}

// TestParseSample reads lines from the logs of mlcommons/power-dev.
func TestParseSample(t *testing.T) {
	for text, want := range map[string]sample{
		"Time,01-10-2023 20:46:01.787,Watts,23.850000,Volts,247.920000,Amps,0.198110,PF,0.485500,Mark,2023-01-10_20-42-56_testing": {time.Date(2023, 1, 10, 20, 46, 1, 787e6, time.Local), 23.85},
		"Time,28-12-2020 15:21:14.682,Watts,22.950000,Volts,228.570000,Amps,0.206430,PF,0.486400":                                  {time.Date(2020, 12, 28, 15, 21, 14, 682e6, time.Local), 22.95},
		"Time,11-13-2020 22:38:59.240,Watts,272.930000,Volts,-1.000000,Amps,-1.000000,PF,-1.000000,Watts,91.060000,Volts,120.95":   {time.Date(2020, 11, 13, 22, 38, 59, 240e6, time.Local), 272.93},
		"Time,03-18-2021 16:30:51.243,Watts,-1.000000,Volts,121.610000,Amps,-1.000000,PF,-1.000000,Mark,x":                         {time.Date(2021, 3, 18, 16, 30, 51, 243e6, time.Local), -1},
	} {
		got, err := parseSample(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{
		"", "Time", "Time,", "Time,01-10-2023 20:46:01.787", "Time,2023-01-10T20:46:01.787,Watts,1,Volts,1,Amps,1,PF,1",
		"Time,01-10-2023 20:46:01.787,Watts,nan,Volts,1,Amps,1,PF,1", "Time,01-10-2023 20:46:01.787,Watts,1,Volts,1,Amps,inf,PF,1",
		"Time,01-10-2023 20:46:01.787,Watts,1,Volts,1,Amps,1", "Time,01-10-2023 20:46:01.787,Volts,1,Watts,1,Amps,1,PF,1", "Watts,23.492803,8.410000,24.560000,692,0,692",
	} {
		_, err := parseSample(bad)
		require.Error(t, err, bad)
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{analyser, line(noon, "1.5"), "Ranges,1,0.200000,0,300.000000", "Last 1 samples", "No unread samples", "Uncertainty,0.006264,0.006105,0.009201,692,0,692,0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := parseIdentity(text); err == nil && (id.interval <= 0 || id.channels < 1) {
			t.Errorf("%q: %+v", text, id)
		}
		if s, err := parseSample(text); err == nil && (math.IsNaN(s.watts) || math.IsInf(s.watts, 0) || s.taken.IsZero()) {
			t.Errorf("%q: %+v", text, s)
		}
		if g, err := parseUncertainty(text); err == nil && !g.IsAbsent() && !(g > 0 && g < 1) {
			t.Errorf("%q: %v", text, g)
		}
		if r, err := parseRanges(text); err == nil && len(r) > 2 {
			t.Errorf("%q: %v", text, r)
		}
		_, _ = parseHead(text)
	})
}
