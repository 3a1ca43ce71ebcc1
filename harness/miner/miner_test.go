package miner

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// TestStamp: an answer is of the middle of the time that the asking took.
func TestStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		d := New(endpoint.Spec{Kind: "x"}, Info{Source: "here"}, func(ctx context.Context, s *Collector) (string, error) {
			time.Sleep(2 * time.Second)
			s.Report("r", 1, Rate(1e9, results.SelfReported{}))
			return "eco\x1b", nil
		}, nil)
		time.Sleep(3 * time.Second)
		a, err := d.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "eco", a.Mode)
		st := a.Sample(start, nil)
		require.Equal(t, []results.Float{4, 1}, []results.Float{st.T, st.Slack})
		require.Len(t, st.Figures, 1)
		st = Answer{}.Sample(start, errors.New("gone"))
		require.Equal(t, results.Float(5), st.T)
		require.True(t, st.Slack.IsAbsent())
		require.Equal(t, []string{"gone"}, st.Refused)
		require.NotNil(t, st.Figures)
		c := d.Info().Claim("mining")
		require.Equal(t, results.Claim{Device: "here", Use: "mining", API: "x", Source: "here", Samples: []results.SelfReportedSample{}}, c)
	})
}

// TestNothingIsNoAnswer: a device that says nothing that is known is not one.
func TestNothingIsNoAnswer(t *testing.T) {
	d := New(endpoint.Spec{Kind: "x"}, Info{Source: "here"}, func(context.Context, *Collector) (string, error) { return "", nil }, nil)
	_, err := d.Read(t.Context())
	require.EqualError(t, err, "x: read here: it reports nothing that is known here")
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		form     Form
		in, want []float64
	}{
		{Rate(1e9, results.SelfReported{}), []float64{0, 1, 1e9}, []float64{0, 1e9, 1e18}},
		{Watts(results.PSU, results.Measured), []float64{0.5, 3000, 1e6}, []float64{0.5, 3000, 1e6}},
		{Celsius, []float64{-60, 0.5, 200}, []float64{213.15, 273.65, 473.15}},
		{RPM, []float64{6000}, []float64{100}},
		{MHz, []float64{600}, []float64{6e8}},
		{Difficulty(results.ReportedAccepted), []float64{0, 1}, []float64{0, 1 << 32}},
	} {
		var s Collector
		for i, n := range c.in {
			require.InEpsilon(t, 1+c.want[i], 1+s.Report("x", n, c.form), 1e-12, "%s %v: %v", c.form.Of, n, s.Refused)
		}
		require.Empty(t, s.Refused, c.form.Of)
	}
	for _, c := range []struct {
		form Form
		in   []float64
	}{
		{Rate(1e9, results.SelfReported{}), []float64{-1, 1e10}},
		{Watts(results.PSU, results.Measured), []float64{0, -1, 1e7}},
		{Celsius, []float64{-128, 999}},
		{RPM, []float64{-1, 1e6}},
		{MHz, []float64{-1, 1e9}},
		{Average(1e9, math.NaN()), []float64{1}},
		{Form{Of: "no such quantity"}, []float64{1}},
	} {
		for _, n := range c.in {
			var s Collector
			s.Report("x", n, c.form)
			require.Empty(t, s.Figures, "%s %v", c.form.Of, n)
			require.Len(t, s.Refused, 1)
		}
	}
}

// TestBlank: 0 is what an empty place says of what cannot be 0, and is neither
// a figure nor refused.
func TestBlank(t *testing.T) {
	var s Collector
	for _, f := range []Form{Celsius, RPM, MHz, {Of: results.ReportedNominal}, Difficulty(results.ReportedDifficulty)} {
		require.True(t, math.IsNaN(s.Report("x", 0, f)), f.Of)
	}
	require.Empty(t, s.Figures)
	require.Empty(t, s.Refused)
	s.Report("x", 0, Rate(1, results.SelfReported{}))
	require.Len(t, s.Figures, 1, "it hashes nothing")
}

// TestTwoClocks: what runs for longer than another part of it is no reason to
// leave its average out.
func TestTwoClocks(t *testing.T) {
	for _, clocks := range [][]float64{{32260, 32273}, {32273, 32260}, {32260}} {
		var s Collector
		s.Report("av", 1, Average(1, 32273))
		for _, c := range clocks {
			s.Report("up", c, Form{Of: results.ReportedElapsed})
		}
		s.settle()
		require.Equal(t, len(clocks) == 1, len(s.Refused) > 0)
	}
}

// TestPowerNote: it says what was read.
func TestPowerNote(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"Power Mode":"Normal","power_ok":true}`:           "its answers hold no power field: watts need a meter",
		`{"chain_power":"1167.5 W (AB)"}`:                         "no figure of the power that it draws: its answers hold chain_power 1167.5 W (AB), and nothing says that this is it: watts need a meter",
		`{"Power":"0"}`:                                           "no figure of the power that it draws: its answers hold Power 0, and nothing says that this is it: watts need a meter",
		`{"l":[{"chain_power1":1135,"o":{"consumption":"58W"}}]}`: "no figure of the power that it draws: its answers hold chain_power1 1135, consumption 58W, and nothing says that this is it: watts need a meter",
	} {
		v, err := Parse([]byte(text))
		require.NoError(t, err)
		s := Collector{}
		s.Report("limit", 3500, Watts(results.PSU, results.Declared))
		require.Equal(t, want, s.PowerNote("measured", v), text)
		s.Report("power", 3000, Watts(results.PSU, results.Measured))
		require.Equal(t, "power: measured", s.PowerNote("measured", v), text)
	}
}

// TestYoung: an average over a longer time than the miner runs is none.
func TestYoung(t *testing.T) {
	var s Collector
	s.Report("5m", 1, Rate(1, results.SelfReport(300)))
	s.Report("1m", 1, Rate(1, results.SelfReport(60)))
	s.Report("now", 1, Rate(1, results.SelfReported{}))
	s.Report("av", 1, Rate(1, results.SelfReport(60)))
	s.Report("up", 60, Form{Of: results.ReportedElapsed})
	s.settle()
	var names []string
	for _, f := range s.Figures {
		names = append(names, f.Name)
	}
	require.Equal(t, []string{"1m", "now", "av", "up"}, names)
	require.Equal(t, []string{"5m: it is an average over 300 s of a miner that runs for 60 s"}, s.Refused)
}

// TestFull: who says too much is cut off, and says so once.
func TestFull(t *testing.T) {
	var s Collector
	for range 1000 {
		s.Report("x", 1, MHz)
		s.Refuse("%d", len(s.Figures)+len(s.Refused))
	}
	require.Len(t, s.Figures, maxFigures)
	require.Len(t, s.Refused, maxRefused)
}

// TestWire: each request has the timeout for itself and a connection of its
// own, and who asks is heard.
func TestWire(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // it is silent until the other side is gone
				_, _ = c.Write([]byte("hal"))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	all := func(r io.Reader) ([]byte, error) { return io.ReadAll(r) }
	none := func(r io.Reader) ([]byte, error) {
		_, err := io.ReadAll(r)
		return nil, err
	}
	w := Wire{Address: l.Addr().String(), Timeout: 50 * time.Millisecond}
	_, err = w.Query(t.Context(), nil, all)
	require.ErrorContains(t, err, "an incomplete answer, 3 bytes")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = w.Query(t.Context(), nil, none)
	require.ErrorContains(t, err, "no answer within 50ms")
	ctx, cancel := context.WithCancel(t.Context())
	w.Timeout = time.Hour
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = w.Query(ctx, nil, all)
	require.ErrorIs(t, err, context.Canceled)
}
