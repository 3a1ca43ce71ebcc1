package minertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// dev keeps the contract until a test breaks one clause of it.
type dev struct {
	info         func(call int) miner.Info
	read         func(a *miner.Answer) error
	close        error
	deaf, undead bool

	infos  int
	closed bool
}

func (d *dev) Info() miner.Info {
	d.infos++
	return d.info(d.infos)
}

func (d *dev) Read(ctx context.Context) (miner.Answer, error) {
	switch {
	case d.closed && !d.undead:
		return miner.Answer{}, errors.New("closed")
	case ctx.Err() != nil && !d.deaf:
		return miner.Answer{}, ctx.Err()
	}
	a := miner.Answer{At: time.Now(), Figures: []results.SelfReportedField{
		{Of: results.ReportedRate, Name: "MHS av", Value: results.SelfReport(1), Unit: "hash/s"},
		{Of: results.ReportedPower, Name: "Power", Value: results.SelfReport(1), Unit: "W", Boundary: results.PSU, Origin: results.Measured},
	}}
	err := d.read(&a)
	return a, err
}

func (d *dev) Close() error {
	d.closed = true
	return d.close
}

func good() *dev {
	return &dev{
		info: func(int) miner.Info { return miner.Info{Name: "n", API: "a", Source: "s"} },
		read: func(*miner.Answer) error { return nil },
	}
}

// TestEveryClauseIsHeld: a device that breaks one clause is caught, by that
// clause.
func TestEveryClauseIsHeld(t *testing.T) {
	figure := func(f func(s []results.SelfReportedField)) func(*dev) {
		return func(d *dev) {
			d.read = func(a *miner.Answer) error {
				f(a.Figures)
				return nil
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*dev)
		want  string // empty for a device that is good
	}{
		"good":      {func(*dev) {}, ""},
		"no source": {func(d *dev) { d.info = func(int) miner.Info { return miner.Info{Name: "n", API: "a"} } }, "info needs"},
		"info changes": {func(d *dev) {
			i := d.info(0)
			d.info = func(n int) miner.Info { i.Model = strings.Repeat("x", n); return i }
		}, "info changed"},
		"a terminal's colour": {func(d *dev) { i := d.info(0); i.Model = "\x1b[31m"; d.info = func(int) miner.Info { return i } }, "info has control characters"},
		"read fails":          {func(d *dev) { d.read = func(*miner.Answer) error { return errors.New("x") } }, "read: x"},
		"deaf to the context": {func(d *dev) { d.deaf = true }, "context that has ended"},
		"wall clock":          {func(d *dev) { d.read = func(a *miner.Answer) error { a.At = a.At.Round(0); return nil } }, "no monotonic part"},
		"of another time":     {func(d *dev) { d.read = func(a *miner.Answer) error { a.At = a.At.Add(time.Hour); return nil } }, "outside the read"},
		"close fails":         {func(d *dev) { d.close = errors.New("x") }, "close, time 1"},
		"reads after close":   {func(d *dev) { d.undead = true }, "read after close"},
		"no name":             {figure(func(s []results.SelfReportedField) { s[0].Name = "" }), "no plain name"},
		"a name of two lines": {figure(func(s []results.SelfReportedField) { s[0].Name = "a\nb" }), "no plain name"},
		"GH/s":                {figure(func(s []results.SelfReportedField) { s[0].Unit = "GH/s" }), `in "GH/s"`},
		"no such quantity":    {figure(func(s []results.SelfReportedField) { s[0].Of = "speed" }), `of "speed"`},
		"no value":            {figure(func(s []results.SelfReportedField) { s[0].Value = results.SelfReported{} }), "without a value"},
		"below 0":             {figure(func(s []results.SelfReportedField) { s[0].Value = results.SelfReport(-1) }), "below 0"},
		"some watts":          {figure(func(s []results.SelfReportedField) { s[1].Origin = "" }), "not said what they are"},
		"a measured rate":     {figure(func(s []results.SelfReportedField) { s[0].Origin = results.Measured }), "no boundary and no origin"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good()
			c.spoil(d)
			err := errors.Join(check(t.Context(), d)...)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// TestEveryFaultIsSeen: a device that takes what it should refuse, or that
// does not come back, fails the suite by the fault's own rule.
func TestEveryFaultIsSeen(t *testing.T) {
	const answer = `{"rate":7,"more":{"other":3}}`
	rig := func(read func(v miner.Value, raw string, s *miner.Collector) error) Rig {
		return Rig{
			Kind: "x", Options: miner.Common, Of: "get", Member: "rate", Figure: "rate", Answers: map[string]string{"get": answer},
		}.reading(read)
	}
	for name, c := range map[string]struct {
		fault string
		read  func(v miner.Value, raw string, s *miner.Collector) error
		want  string
	}{
		"nan is 0": {"nan", func(v miner.Value, _ string, s *miner.Collector) error {
			n, _, _ := v.At("rate").Number("")
			s.Report("rate", n, miner.Rate(1, results.SelfReported{}))
			return nil
		}, "neither right nor absent"},
		"nothing is refused": {"nan", func(v miner.Value, _ string, s *miner.Collector) error {
			s.Take("other", v.At("more", "other"), miner.MHz)
			if n, said, _ := v.At("rate").Number(""); said {
				s.Report("rate", n, miner.Rate(1, results.SelfReported{}))
			}
			return nil
		}, "nothing says that rate is refused"},
		"one bad value fails all": {"null", func(v miner.Value, _ string, s *miner.Collector) error {
			if v.At("rate").Absent() {
				return errors.New("no rate")
			}
			s.Take("rate", v.At("rate"), miner.Rate(1, results.SelfReported{}))
			return nil
		}, "the read failed"},
		"half is enough": {"cut short", func(_ miner.Value, raw string, s *miner.Collector) error {
			if strings.HasPrefix(raw, `{"rate":7`) {
				s.Report("rate", 7, miner.Rate(1, results.SelfReported{}))
			}
			return nil
		}, "left no trace"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, errors.Join(rig(c.read).suffer(t, faults[c.fault])...), c.want)
		})
	}
}

// reading makes the rig's device one that is read in process.
func (r Rig) reading(read func(v miner.Value, raw string, s *miner.Collector) error) Rig {
	var answer Answer
	r.Serve = func(_ testing.TB, a Answer) string {
		answer = a
		return "x"
	}
	r.Open = func(_ context.Context, s endpoint.Spec) (miner.Client, error) {
		return miner.New(s, miner.Info{Source: "x"}, func(_ context.Context, sheet *miner.Collector) (string, error) {
			reply := answer("get")
			raw := reply.Body
			if reply.How == Cut {
				raw = raw[:len(raw)/2]
			}
			v, _ := miner.Parse([]byte(raw))
			return "", read(v, raw, sheet)
		}, nil), nil
	}
	return r
}
