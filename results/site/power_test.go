package site_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// powered is a fleet of one node whose wall meter another host recorded.
type powered struct {
	dir      string
	store    *store.Store
	whole    *results.Record // with the meter read in place
	roster   site.Roster
	outcomes []site.Outcome
	lines    []results.RecordingLine
}

// fleetOfOne measures a node whose clock is ahead of the submitting host by so many
// seconds. The recording is on the submitting host.
func fleetOfOne(t *testing.T, ahead float64) *powered {
	p := &powered{dir: t.TempDir(), whole: resultstest.Session(resultstest.Server("n1", 1), 1, 1, 7)}
	st, err := store.Open(p.dir)
	require.NoError(t, err)
	p.store = st
	rec := *p.whole
	rec.Plan.Fleet = &results.Fleet{Run: "f", Node: "n1", Attempt: 1}
	rec.Meters, rec.Runs = []results.Meter{}, slices.Clone(rec.Runs)
	p.line(results.RecordingLine{At: rec.Start.Add(-time.Hour), Begin: &results.RecordingBegin{Version: 1, Host: "admin", Interval: 1, Meters: []string{"snmp:pdu"}}})
	p.line(results.RecordingLine{At: rec.Start.Add(-time.Hour), Open: &p.whole.Meters[0]})
	ofNode := time.Duration(ahead * 1e9)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		tr := r.Traces[0]
		require.Equal(t, results.TraceMeter, tr.Key.Kind)
		for k, s := range tr.T {
			p.line(results.RecordingLine{At: rec.Start.Add(time.Duration(s * 1e9)), Meter: "snmp", Channel: tr.Key.Channel, Value: &tr.V[k]})
		}
		r.Traces = r.Traces[1:]
		r.Anchor.UTC = r.Anchor.UTC.Add(ofNode)
	}
	begin, end := rec.Start, rec.End // by the submitting host
	rec.Start, rec.End = rec.Start.Add(ofNode), rec.End.Add(ofNode)
	rec.Summary = results.Derive(&rec)
	d, err := st.Create(rec.ID, rec.Start, false)
	require.NoError(t, err)
	_, err = d.Keep(&rec)
	require.NoError(t, err)
	p.roster = site.Roster{Name: "f", Start: begin.Add(-10 * time.Second), Nodes: []site.Node{{Name: "n1"}, {Name: "n2"}}}
	p.outcomes = []site.Outcome{{Node: "n1", State: site.Done, Attempts: []site.Attempt{{Number: 1, Job: "7", Start: begin.Add(-2 * time.Second), End: end.Add(3 * time.Second), Records: []string{rec.ID}}}}, {Node: "n2", State: site.Failed}}
	return p
}

func (p *powered) line(l results.RecordingLine) { p.lines = append(p.lines, l) }

func (p *powered) tape(t *testing.T) *site.Tape {
	var raw []byte
	for _, l := range p.lines {
		var err error
		raw, err = l.AppendTo(raw)
		require.NoError(t, err)
	}
	tape, err := site.ReadTape("power.jsonl", bytes.NewReader(raw), int64(len(raw)))
	require.NoError(t, err)
	return tape
}

func (p *powered) join(t *testing.T, host string) []site.PowerJoined {
	x, err := store.OpenIndex(t.Context(), p.dir)
	require.NoError(t, err)
	defer x.Close()
	feeds, err := site.ReadPowerMap(strings.NewReader("node,meter\nn1,snmp\n"), p.roster)
	require.NoError(t, err)
	out, _, err := site.JoinPower(t.Context(), p.store, x, p.roster, p.outcomes, feeds, []*site.Tape{p.tape(t)}, host, func(int, int) {})
	require.NoError(t, err)
	require.Len(t, out, 1)
	return out
}

// mining is the mean power of mining in the store's one record that is not excluded.
func (p *powered) mining(t *testing.T) results.Figure {
	x, err := store.OpenIndex(t.Context(), p.dir)
	require.NoError(t, err)
	defer x.Close()
	entries, err := store.List(p.dir)
	require.NoError(t, err)
	for _, e := range entries {
		h, err := x.Find(t.Context(), e.ID)
		require.NoError(t, err)
		if h.Excluded == "" {
			require.Empty(t, h.Error)
			rec, err := results.ReadFile(h.Path)
			require.NoError(t, err)
			for _, row := range rec.Summary.Rows {
				if row.Scenario == "mining" {
					return row.Metrics[results.Power]
				}
			}
		}
	}
	t.Fatal("no record")
	return results.Figure{}
}

func (p *powered) wanted() results.Figure {
	for _, row := range p.whole.Summary.Rows {
		if row.Scenario == "mining" {
			return row.Metrics[results.Power]
		}
	}
	return results.Figure{}
}

func TestJoinPowerOnce(t *testing.T) {
	for _, ahead := range []float64{0, 60, -3600} {
		p := fleetOfOne(t, ahead)
		p.outcomes[0].Clock = &site.Clock{Offset: ahead, Within: 0.01}
		if ahead > 0 { // a meter that has something new at any time
			m := *p.lines[1].Open
			m.Period = results.Absent()
			p.lines[1].Open = &m
		}
		out := p.join(t, "admin")
		require.NoError(t, out[0].Err)
		require.NotEmpty(t, out[0].New)
		require.False(t, out[0].Before)
		got, want := p.mining(t), p.wanted()
		require.InEpsilon(t, float64(want.Value), float64(got.Value), 1e-5, "a clock %g s ahead", ahead)
		require.Equal(t, want.Provenance.Boundary, got.Provenance.Boundary)
		require.Equal(t, want.Provenance.Grade, got.Provenance.Grade)

		files := func() string {
			var b strings.Builder
			entries, err := os.ReadDir(p.dir)
			require.NoError(t, err)
			for _, e := range entries {
				if in, err := os.ReadDir(p.dir + "/" + e.Name()); err == nil && len(e.Name()) == len("2026-09") {
					for _, f := range in {
						b.WriteString(f.Name() + "\n")
					}
				}
			}
			return b.String()
		}
		before := files()
		again := p.join(t, "admin")
		require.True(t, again[0].Before)
		require.Equal(t, out[0].New, again[0].New)
		require.Equal(t, before, files(), "doing it twice changes nothing")
	}
}

// The report on a fleet uses the record with the power.
func TestTheReportHasTheJoinedPower(t *testing.T) {
	p := fleetOfOne(t, 0)
	p.outcomes[0].Clock = &site.Clock{}
	joined := p.join(t, "admin")[0].New
	x, err := store.OpenIndex(t.Context(), p.dir)
	require.NoError(t, err)
	defer x.Close()
	a, err := site.Read(t.Context(), x, p.roster, p.outcomes, site.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{joined}, a.Nodes[0].Records)
	require.NotEqual(t, joined, p.outcomes[0].Attempts[0].Records[0], "the journal says what was measured")
	watts := 0
	for _, d := range a.Figures {
		if d.Metric == results.WorkPerEnergy {
			watts++
		}
	}
	require.Positive(t, watts)
}

// A call that was cut off between the record and its amendment is carried on.
func TestJoinPowerIsCarriedOn(t *testing.T) {
	p := fleetOfOne(t, 0)
	p.outcomes[0].Clock = &site.Clock{}
	first := p.join(t, "admin")[0].New
	months, err := os.ReadDir(p.dir)
	require.NoError(t, err)
	removed := 0
	for _, m := range months {
		in, _ := os.ReadDir(p.dir + "/" + m.Name())
		for _, f := range in {
			if strings.HasSuffix(f.Name(), ".amend.json") {
				require.NoError(t, os.Remove(p.dir+"/"+m.Name()+"/"+f.Name()))
				removed++
			}
		}
	}
	require.Equal(t, 1, removed)
	out := p.join(t, "admin")[0]
	require.NoError(t, out.Err)
	require.Equal(t, first, out.New)
	require.False(t, out.Before)
	entries, err := store.List(p.dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

func TestJoinPowerNeedsClocks(t *testing.T) {
	seconds := func(s float64) *results.Float { f := results.Float(s); return &f }
	for _, c := range []struct {
		name  string
		ahead float64
		host  string
		clock *site.Clock
		set   func(*powered)
		want  string // of the error; empty if it is joined
	}{
		{"bounded by the job", 60, "admin", nil, func(*powered) {}, ""},
		{"bounded too loosely", 60, "admin", nil, func(p *powered) { p.outcomes[0].Attempts[0].Start = p.roster.Start.Add(-time.Hour) }, "a window of 60 s needs ±6 s"},
		{"another host", 0, "login", &site.Clock{Within: 0.01}, func(*powered) {}, "nothing tells how the clock of admin"},
		{"by hand, bounded by nothing", 0, "admin", nil, func(p *powered) { p.outcomes[0].Attempts[0].Job = "" }, "nothing tells how the clock of admin"},
		{"measured and wrong", 60, "admin", &site.Clock{Offset: 0, Within: 0.01}, func(*powered) {}, "contradict each other by 5"},
		{"the recording ends before", 0, "admin", &site.Clock{Within: 0.01}, func(p *powered) { p.lines = p.lines[:2] }, "has no reading of meter"},
		{"set between two runs", 0, "admin", &site.Clock{Within: 0.01}, func(p *powered) {
			p.line(results.RecordingLine{At: p.between(), Step: seconds(40)})
		}, "known to ±40.1 s against that of the node, since it was set by 40 s meanwhile"},
		{"set back before the node began, after its clock was read", 0, "admin", &site.Clock{Within: 0.01}, func(p *powered) {
			p.outcomes[0].Attempts[0].Job = ""
			p.line(results.RecordingLine{At: p.roster.Start.Add(-35 * time.Second), Step: seconds(-40)})
		}, "since it was set by 40 s meanwhile"},
		{"set by little between two runs", 0, "admin", &site.Clock{Within: 0.01}, func(p *powered) {
			p.line(results.RecordingLine{At: p.between(), Step: seconds(0.3)})
		}, ""},
		{"set long after", 0, "admin", &site.Clock{Within: 0.01}, func(p *powered) {
			p.line(results.RecordingLine{At: p.whole.End.Add(time.Hour), Step: seconds(-40)})
		}, ""},
		{"another host, both kept, one set", 0, "login", nil, func(p *powered) {
			for s := 0; s < 4000; s += 60 {
				p.line(results.RecordingLine{At: p.whole.Start.Add(time.Duration(s) * time.Second), ClockError: seconds(0.02)})
			}
			p.line(results.RecordingLine{At: p.between(), Step: seconds(40)})
			p.anchors(t, 0.03)
		}, "known to ±40"},
		{"another host, both kept", 0, "login", nil, func(p *powered) {
			for s := 0; s < 4000; s += 60 {
				p.line(results.RecordingLine{At: p.whole.Start.Add(time.Duration(s) * time.Second), ClockError: seconds(0.02)})
			}
			p.anchors(t, 0.03)
		}, ""},
		{"another host, one kept", 0, "login", nil, func(p *powered) {
			p.line(results.RecordingLine{At: p.whole.Start, ClockError: seconds(0.02)})
		}, "nothing tells"},
	} {
		p := fleetOfOne(t, c.ahead)
		p.outcomes[0].Clock = c.clock
		c.set(p)
		out := p.join(t, c.host)[0]
		if c.want != "" {
			require.ErrorContains(t, out.Err, c.want, c.name)
			require.Empty(t, out.New, c.name)
			require.True(t, p.mining(t).Value.IsAbsent(), c.name)
			continue
		}
		require.NoError(t, out.Err, c.name)
		got, want := p.mining(t), p.wanted()
		within := 0.0
		for _, term := range got.Budget.Terms {
			within += float64(term.HalfWidth)
		}
		require.InEpsilon(t, float64(want.Value), float64(got.Value), within, c.name)
	}
}

// between is a time at which no run was measured.
func (p *powered) between() time.Time {
	_, end, _ := p.whole.Runs[1].Span()
	begin, _, _ := p.whole.Runs[2].Span()
	return p.whole.Start.Add(time.Duration((end + begin) / 2 * 1e9))
}

// anchors gives every run of the record in the store an error of its clock.
func (p *powered) anchors(t *testing.T, within float64) {
	entries, err := store.List(p.dir)
	require.NoError(t, err)
	rec, err := results.ReadFile(entries[0].Path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(entries[0].Path))
	for i := range rec.Runs {
		w := results.Float(within)
		rec.Runs[i].Anchor.ClockError = &w
	}
	d, err := p.store.Create(rec.ID, rec.Start, false)
	require.NoError(t, err)
	_, err = d.Keep(rec)
	require.NoError(t, err)
}

func TestPowerMap(t *testing.T) {
	roster := site.Roster{Name: "f", Nodes: []site.Node{{Name: "n1"}, {Name: "n2"}}}
	feeds, err := site.ReadPowerMap(strings.NewReader("\ufeffnode,meter,channel\r\n# the first rack\nn1, pdu-a,3\nn1,pdu-b,3\n\"n2\",bmc2,\n"), roster)
	require.NoError(t, err)
	require.Equal(t, []site.PowerFeed{{Node: "n1", Meter: "pdu-a", Channel: "3", Line: 3}, {Node: "n1", Meter: "pdu-b", Channel: "3", Line: 4}, {Node: "n2", Meter: "bmc2", Line: 5}}, feeds)
	// As spreadsheets save it: all that TestSheetsOfSpreadsheets of prices has is read here too.
	const excel = "node;meter;channel\r\nn1;\u00a0pdu-a\u200b;3;;\r\n;;;;\r\nn2;bmc2;;\r\n"
	var utf16 []byte
	for _, r := range "\ufeff" + excel {
		utf16 = append(utf16, byte(r), byte(r>>8))
	}
	for _, text := range []string{excel, string(utf16), strings.ReplaceAll(excel, ";", "\t")} {
		feeds, err := site.ReadPowerMap(strings.NewReader(text), roster)
		require.NoError(t, err, text)
		require.Equal(t, []site.PowerFeed{{Node: "n1", Meter: "pdu-a", Channel: "3", Line: 2}, {Node: "n2", Meter: "bmc2", Line: 4}}, feeds, text)
	}
	for _, c := range []struct{ text, want string }{
		{"", "EOF"},
		{"n1,pdu\n", "line 1: it must be the header"},
		{"meter,node\n", "line 1: it must be the header"},
		{"node,meter\nn3,pdu\n", "line 2: node n3 is not in the roster of f"},
		{"node,meter\nrack=r1,pdu\n", "line 2: rack r1 is not in the roster of f"},
		{"node,meter\nn1,\n", "line 2: no meter"},
		{"node,meter\nn1,pdu\nn1,pdu\n", "line 3: meter pdu is that of node n1 in line 2"},
		{"node,meter\nn1,pdu,3\n", "line 2: 3 columns"},
		{"node,meter\n\"n1,pdu\n", "line 2"},
		{"node,meter\nn\x1b[31m,pdu\n", "line 2: node n\ufffd[31m"},
	} {
		_, err := site.ReadPowerMap(strings.NewReader(c.text), roster)
		require.ErrorContains(t, err, c.want, c.text)
	}

	// A host goes by its short name and that with its domain, in any case.
	roster = site.Roster{Name: "f", Nodes: []site.Node{{Name: "cn1.a.net"}, {Name: "cn2.a.net"}, {Name: "cn2.b.net"}, {Name: "gpu-01", Host: "gh1.a.net"}, {Name: "rack=7"}}}
	for _, c := range []struct{ name, want string }{ // a reason has a blank
		{"cn1.a.net", "cn1.a.net"}, {"CN1.A.NET", "cn1.a.net"}, {"cn1", "cn1.a.net"}, {"Cn1", "cn1.a.net"},
		{"cn1.b.net", "node cn1.b.net is not in the roster of f; did you mean cn1.a.net?"},
		{"cn2", "node cn2 may be cn2.a.net or cn2.b.net in the roster of f: give the whole name"}, {"cn2.b.net", "cn2.b.net"},
		{"gpu-01", "gpu-01"}, {"GPU-01.a.net", "gpu-01"}, {"gh1", "gpu-01"}, {"gh1.a.net", "gpu-01"}, {"gh1.b.net", "is not in the roster"},
		{"rack=7", "rack=7"},
	} {
		feeds, err := site.ReadPowerMap(strings.NewReader("node,meter\n"+c.name+",pdu\n"), roster)
		if strings.Contains(c.want, " ") {
			require.ErrorContains(t, err, c.want, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, []site.PowerFeed{{Node: c.want, Meter: "pdu", Line: 2}}, feeds, c.name)
	}

	p := fleetOfOne(t, 0)
	again := p.whole.Meters[0]
	again.Name = "again"
	p.line(results.RecordingLine{At: p.whole.Start, Open: &again})
	x, err := store.OpenIndex(t.Context(), p.dir)
	require.NoError(t, err)
	defer x.Close()
	for _, c := range []struct{ row, want string }{
		{"n1,other,", "line 2: no recording has opened a meter \"other\""},
		{"n1,snmq,", "line 2: no recording has opened a meter \"snmq\"; did you mean snmp?"},
		{"n1,snmp,4", "line 2: meter \"snmp\" has no channel \"4\""},
		{"n1,snmp,\nn2,again,", "line 3: meters \"again\" and \"snmp\" are one instrument"},
	} {
		feeds, err := site.ReadPowerMap(strings.NewReader(fmt.Sprintf("node,meter,channel\n%s\n", c.row)), p.roster)
		require.NoError(t, err)
		_, _, err = site.JoinPower(t.Context(), p.store, x, p.roster, p.outcomes, feeds, []*site.Tape{p.tape(t)}, "admin", func(int, int) {})
		require.ErrorContains(t, err, c.want)
	}
}

func FuzzPowerMap(f *testing.F) {
	f.Add("node,meter,channel\nn1,pdu,3\n")
	f.Fuzz(func(t *testing.T, text string) {
		feeds, err := site.ReadPowerMap(strings.NewReader(text), site.Roster{Nodes: []site.Node{{Name: "n1"}}})
		if err == nil {
			for _, feed := range feeds {
				require.Equal(t, "n1", feed.Node)
			}
		}
	})
}
