package site_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/site"
	"github.com/perwatt/perwatt/results/store"
)

// rack is two nodes of a rack, with wall meters of their own, and what a meter of the
// whole rack read meanwhile on the host that submits: the nodes and so many watts more.
type rack struct {
	dir      string
	roster   site.Roster
	outcomes []site.Outcome
	tape     []byte
}

// rackOfTwo starts the second node late by so many seconds. Its clock is a minute ahead.
func rackOfTwo(t *testing.T, late, more float64) *rack {
	k := &rack{dir: t.TempDir()}
	st, err := store.Open(k.dir)
	require.NoError(t, err)
	add := func(at time.Time, by float64) time.Time { return at.Add(time.Duration(by * 1e9)) }
	var start time.Time
	total := map[int]float64{} // W, by second
	for i, name := range []string{"n1", "n2"} {
		rec := resultstest.Session(resultstest.Server(name, 1), 1, 1, uint64(7+i))
		start = rec.Start
		begins, ahead := late*float64(i), 60*float64(i)
		last := 0
		for _, r := range rec.Runs {
			for n, s := range r.Traces[0].T {
				second := int(float64(s) + begins)
				if n == 0 { // what it drew between its runs
					for ; last < second; last++ {
						total[last] += 92
					}
				}
				total[second] += float64(r.Traces[0].V[n])
				last = second + 1
			}
		}
		rec.Plan.Fleet = &results.Fleet{Run: "f", Node: name, Attempt: 1, Together: 2}
		rec.Start, rec.End = add(rec.Start, begins+ahead), add(rec.End, begins+ahead)
		for n := range rec.Runs {
			rec.Runs[n].Anchor.UTC = add(rec.Runs[n].Anchor.UTC, begins+ahead)
		}
		rec.Summary = results.Derive(rec)
		d, err := st.Create(rec.ID, rec.Start, false)
		require.NoError(t, err)
		_, err = d.Keep(rec)
		require.NoError(t, err)
		k.roster.Nodes = append(k.roster.Nodes, site.Node{Name: name, Rack: "r 1"})
		k.outcomes = append(k.outcomes, site.Outcome{Node: name, State: site.Done, Clock: &site.Clock{Offset: ahead, Within: 0.01},
			Attempts: []site.Attempt{{Number: 1, Job: "7", Start: add(start, begins-2), End: add(start, begins+3600), Records: []string{rec.ID}}}})
	}
	k.roster.Name, k.roster.Start, k.roster.Together = "f", add(start, -10), true
	line := func(l results.RecordingLine) {
		k.tape, err = l.AppendTo(k.tape)
		require.NoError(t, err)
	}
	line(results.RecordingLine{At: start, Begin: &results.RecordingBegin{Version: 1, Host: "admin", Interval: 1, Meters: []string{"snmp:pdu"}}})
	line(results.RecordingLine{At: start, Open: &results.Meter{Name: "pdu", Source: "pdu", Period: 1, Channels: []results.Channel{{
		Name: "inlet", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Measured, Total: results.Wall, Accuracy: results.Accuracy{Gain: 0.01, Resolution: 0.1}}}}})
	last := 0
	for s := range total {
		last = max(last, s)
	}
	for s := range last {
		v := results.Float(total[s] + more)
		line(results.RecordingLine{At: add(start, float64(s)+0.25), Meter: "pdu", Channel: "inlet", Value: &v})
	}
	return k
}

// report joins the meter of the rack, keeps it, reads it again and reports.
func (k *rack) report(t *testing.T, budget float64) (*site.Analysis, site.RackJoined) {
	x, err := store.OpenIndex(t.Context(), k.dir)
	require.NoError(t, err)
	defer x.Close()
	feeds, err := site.ReadPowerMap(strings.NewReader("node,meter\nrack=r 1,pdu\n"), k.roster)
	require.NoError(t, err)
	tape, err := site.ReadTape("power.jsonl", bytes.NewReader(k.tape), int64(len(k.tape)))
	require.NoError(t, err)
	records, racks, err := site.JoinPower(t.Context(), nil, x, k.roster, k.outcomes, feeds, []*site.Tape{tape}, "admin", func(int, int) {})
	require.NoError(t, err)
	require.Empty(t, records)
	require.Len(t, racks, 1)
	opt := site.Options{Budgets: map[string]float64{"": budget}}
	if racks[0].Err == nil {
		require.NoError(t, site.KeepRackPower(k.dir, k.roster, racks))
		opt.Racks, err = site.ReadRackPower(k.dir, k.roster)
		require.NoError(t, err)
	}
	a, err := site.Read(t.Context(), x, k.roster, k.outcomes, opt)
	require.NoError(t, err)
	require.Len(t, a.Racks, 1)
	return a, racks[0]
}

func TestTheMeterOfARack(t *testing.T) {
	k := rackOfTwo(t, 3, 150)
	a, joined := k.report(t, 600) // the nodes draw 556 W, and the rack 706 W
	require.NoError(t, joined.Err)
	require.Empty(t, joined.Note)
	require.Len(t, joined.Power, 5, "one a scenario")
	r := a.Racks[0]
	require.Equal(t, "compute", r.Facility.Scenario)
	require.Equal(t, 2, r.Facility.Nodes)
	p := r.Facility.Power
	require.InDelta(t, 2*278+150, float64(p.Value), 4)
	require.Equal(t, []any{results.Wall, results.Measured}, []any{p.Boundary, p.Origin})
	require.NotEmpty(t, p.Grade)
	require.InDelta(t, 0.01, float64(p.Instrument), 0.003)
	require.Len(t, r.AtFacility, 1)
	require.InDelta(t, 2*278, float64(r.AtFacility[0].Value), 4)
	require.InDelta(t, 150, float64(r.Beyond.Value), 1, "of windows that the clocks align")
	require.Greater(t, float64(r.Beyond.High-r.Beyond.Low), 2*0.009*700, "the instrument is in it")
	require.Equal(t, site.Over, r.Power, "the sum of the nodes is within")
	require.Equal(t, site.ByFacility, r.PowerBy)
	require.True(t, a.Faults())
	a, _ = k.report(t, 705)
	require.Equal(t, site.Unsettled, a.Racks[0].Power)
	a, _ = k.report(t, 730)
	require.Equal(t, site.Within, a.Racks[0].Power)
	require.Len(t, a.Warnings, 1, "the clock")

	before, err := os.ReadFile(filepath.Join(k.dir, "racks.json"))
	require.NoError(t, err)
	k.report(t, 730)
	again, err := os.ReadFile(filepath.Join(k.dir, "racks.json"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(again))
}

// A meter of a rack whose nodes did not measure at once can show that the budget is
// exceeded, and nothing else.
func TestTheMeterOfARackWhoseNodesTookTurns(t *testing.T) {
	k := rackOfTwo(t, 700, 150)
	a, _ := k.report(t, 600)
	r := a.Racks[0]
	require.Equal(t, 1, r.Facility.Nodes)
	require.InDelta(t, 278+92+150, float64(r.Facility.Power.Value), 30)
	require.Nil(t, r.Beyond)
	require.Equal(t, "1 of 2 nodes measured at the same time", r.BeyondWhy)
	require.Equal(t, []any{site.Within, site.ByNodes}, []any{r.Power, r.PowerBy})
	a, _ = k.report(t, 300)
	require.Equal(t, []any{site.Over, site.ByFacility}, []any{a.Racks[0].Power, a.Racks[0].PowerBy})
}

func TestAMeterOfARackThatReadsLessThanItsNodes(t *testing.T) {
	k := rackOfTwo(t, 0, -100)
	a, _ := k.report(t, 1000)
	require.Len(t, a.Warnings, 2)
	require.Equal(t, "rack-meter", a.Warnings[1].Code)
}

func TestAMeterOfARackThatReadNothing(t *testing.T) {
	k := rackOfTwo(t, 0, 150)
	lines := bytes.SplitAfter(k.tape, []byte("\n"))
	k.tape = bytes.Join(lines[:2], nil)
	a, joined := k.report(t, 1000)
	require.ErrorContains(t, joined.Err, "has no reading of meter")
	require.Nil(t, a.Racks[0].Facility)

	// A gap in the window stays one.
	at, err := time.Parse(time.RFC3339Nano, string(lines[460][len(`{"at":"`):][:len("2026-09-15T08:37:38.25Z")]))
	require.NoError(t, err, "within the fourth run")
	lines[460], err = (&results.RecordingLine{At: at, Meter: "pdu", Channel: "inlet", Error: "timed out"}).AppendTo(nil)
	require.NoError(t, err)
	k.tape = bytes.Join(lines, nil)
	_, joined = k.report(t, 1000)
	require.NoError(t, joined.Err)
	require.Len(t, joined.Power, 4)
	require.Contains(t, joined.Note, "compute: ")
}

func TestThePowerOfRacksIsReadWithLimits(t *testing.T) {
	dir := t.TempDir()
	r := site.Roster{Name: "f", Nodes: []site.Node{{Name: "n1", Rack: "r1"}}}
	all, err := site.ReadRackPower(dir, r)
	require.NoError(t, err)
	require.Nil(t, all)
	good := `{"version":1,"racks":[{"rack":"r1","scenario":"mining","nodes":1,"meter":"pdu","power":{"value":700,"low":null,"high":null,"unit":"W","n":2,"boundary":"wall","origin":"measured","grade":"B","instrument":0.01},"recordings":[]}]}`
	for _, c := range []struct{ from, to, want string }{
		{"", "", ""},
		{`"r1"`, `"r2\u001b[31m"`, `entry 1: rack "r2\x1b[31m" is not in the roster`},
		{`"nodes":1`, `"nodes":2`, "2 nodes of rack"},
		{`"nodes":1`, `"nodes":-1`, "-1 nodes of rack"},
		{`"value":700`, `"value":-700`, "no power"},
		{`"value":700`, `"value":null`, "no power"},
		{`"unit":"W"`, `"unit":"J"`, "no power"},
		{`"wall"`, `"elsewhere"`, "no boundary"},
		{`"version":1`, `"version":2`, "version 2"},
		{`]}`, ``, "racks.json"},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "racks.json"), []byte(strings.Replace(good, c.from, c.to, 1)), 0o600))
		all, err := site.ReadRackPower(dir, r)
		if c.want == "" {
			require.NoError(t, err)
			require.Len(t, all, 1)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}

func TestTheMapNamesRacks(t *testing.T) {
	roster := site.Roster{Name: "f", Nodes: []site.Node{{Name: "n1", Rack: "r1"}, {Name: "n2", Rack: "r1"}, {Name: "n3"}}}
	feeds, err := site.ReadPowerMap(strings.NewReader("node,meter,channel\nrack=r1,pdu-a,\nrack=r1,pdu-b,\nn1,pdu-a,1\nn2,pdu-a,2\n"), roster)
	require.NoError(t, err, "a meter of a rack may have those of its nodes")
	require.Equal(t, site.PowerFeed{Rack: "r1", Meter: "pdu-a", Line: 2}, feeds[0])
	for _, c := range []struct{ rows, want string }{
		{"rack=r2,pdu,\n", "line 2: rack r2 is not in the roster of f"},
		{"rack=,pdu,\n", "line 2: node is not in the roster"},
		{"n1,pdu,1\nn2,pdu,1\n", "line 3: meter pdu is that of node n1 in line 2: its watts would be counted twice"},
		{"n1,pdu,\nn2,pdu,1\n", "line 3: meter pdu is that of node n1"},
		{"n1,pdu,1\nn2,pdu,\n", "line 3: meter pdu is that of node n1"},
		{"rack=r1,pdu,\nrack=r1,pdu,1\n", "line 3: meter pdu is that of rack r1"},
	} {
		_, err := site.ReadPowerMap(strings.NewReader("node,meter,channel\n"+c.rows), roster)
		require.ErrorContains(t, err, c.want, c.rows)
	}
}
