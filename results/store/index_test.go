//go:build unix

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// night makes the record of one night of a machine that does not exist:
// rounds of idle and of mining, at about rate hash/s and 200 W.
func night(node int, at time.Time, rounds int, rate float64) *results.Record {
	var entropy [10]byte
	copy(entropy[:], fmt.Sprintf("%010d", node))
	var u ulid.ULID
	u.SetTime(uint64(at.UnixMilli()))
	u.SetEntropy(entropy[:])
	rec := &results.Record{
		Schema: results.SchemaVersion, ID: u.String(), Start: at, End: at, State: results.Complete,
		Tool: results.Tool{Name: "perwatt", Version: "test", Revision: "abc", Go: "go1.26"},
		Node: results.Node{Name: fmt.Sprint("node", node), OS: "linux", Kernel: "6.12.0", Memory: 251 << 30,
			Devices:  []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Model: fmt.Sprintf("AMD EPYC %d 32-Core Processor", 7000+node), Lanes: 64}},
			CPU:      results.CPU{Sockets: 1, Cores: 32},
			Settings: results.Settings{Governor: "performance", CPUQuota: results.Absent(), PowerCap: results.Absent()}},
		Plan: results.Plan{Scenarios: []string{"idle", "mining"}, Rounds: rounds},
		Meters: []results.Meter{{Name: "snmp", Source: "pdu.example", Channels: []results.Channel{{
			Name: "outlet3", Unit: results.Joule, Kind: results.Counter, Boundary: results.Wall, Origin: results.Measured, Total: results.Wall,
			Accuracy: results.Accuracy{Gain: 0.01, Resolution: 1}}}}},
	}
	t := results.Float(0)
	for round := 1; round <= rounds; round++ {
		for _, scenario := range rec.Plan.Scenarios {
			watts, uses := results.Float(90), []results.Use(nil)
			trace := func(key results.TraceKey, unit results.Unit, perSecond results.Float) results.Trace {
				return results.Trace{Key: key, Unit: unit, Kind: results.Counter, T: []results.Float{t, t + 60}, V: []results.Float{0, 60 * perSecond}}
			}
			var traces []results.Trace
			if scenario == "mining" {
				watts = 200
				uses = []results.Use{{Use: "mining", Device: results.CPUDevice, Workload: "hashscan", Impl: "shani", Role: results.Alone, Threads: 64, Unit: results.Hash, FlopPerCount: results.Absent()}}
				traces = append(traces, trace(results.UseKey(results.TraceWork, "mining", results.CPUDevice), results.Hash, results.Float(rate)), trace(results.UseKey(results.TraceCPUTime, "mining", results.CPUDevice), results.Second, 64))
			}
			rec.Runs = append(rec.Runs, results.Run{Scenario: scenario, Round: round, Uses: uses, Status: results.OK,
				Phases: []results.Phase{{Name: results.PhaseMeasure, From: t, To: t + 60}},
				Traces: append(traces, trace(results.MeterKey("snmp", "outlet3"), results.Joule, watts))})
			t += 60
		}
	}
	rec.Summary = results.Derive(rec)
	return rec
}

var epoch = time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC)

// keep commits records and returns their paths.
func keep(t testing.TB, s *Store, records ...*results.Record) (paths []string) {
	t.Helper()
	for _, rec := range records {
		d, err := s.Create(rec.ID, rec.Start, false)
		require.NoError(t, err)
		path, err := d.commit(rec)
		require.NoError(t, err)
		paths = append(paths, path)
	}
	return paths
}

// history is a store of one node's nights.
func history(t testing.TB, nights int) (s *Store, records []*results.Record, paths []string) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "a store?mode=ro#%41 [1]"))
	require.NoError(t, err)
	for i := range nights {
		records = append(records, night(1, epoch.AddDate(0, 0, i), 6, 1e9+float64(i)))
	}
	return s, records, keep(t, s, records...)
}

func index(t testing.TB, s *Store) *Index {
	t.Helper()
	x, err := OpenIndex(t.Context(), s.dir)
	require.NoError(t, err)
	t.Cleanup(func() { x.Close() })
	return x
}

func all[T any](t testing.TB, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		require.NoError(t, err)
		out = append(out, v)
	}
	return out
}

func rates(t testing.TB, x *Index, f Filter) (values []float64) {
	t.Helper()
	f.Metric, f.Scenario = results.Throughput, "mining"
	for _, s := range all(t, x.Series(t.Context(), f)) {
		for _, p := range s.Points {
			values = append(values, float64(p.Value))
		}
	}
	return values
}

func TestIndex(t *testing.T) {
	s, records, paths := history(t, 3)
	x := index(t, s)
	require.Empty(t, x.Notes())
	require.FileExists(t, filepath.Join(s.dir, indexName))

	headers := all(t, x.Records(t.Context(), Filter{}))
	require.Len(t, headers, 3)
	for i, h := range headers {
		rec := records[i]
		require.Equal(t, Header{
			ID: rec.ID, Path: paths[i], Start: rec.Start, State: results.Complete, Digest: rec.Digest.Record, Valid: rec.Summary.Validity.Valid,
			Group: groupOf(rec).ID, Env: environmentOf(rec), Grade: "C",
		}, h)
	}
	groups, err := x.Groups(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]Group{headers[0].Group: groupOf(records[0])}, groups)
	require.Equal(t, "AMD EPYC 7001 1×32c/64t 256 GiB snmp/wall", groups[headers[0].Group].Name())

	// Every figure of the summary is a point, with its interval.
	n := 0
	for _, series := range all(t, x.Series(t.Context(), Filter{})) {
		require.Len(t, series.Points, 3)
		for i, p := range series.Points {
			for _, row := range records[i].Summary.Rows {
				if row.Scenario == series.Scenario {
					m := row.Metrics[series.Metric]
					want := fmt.Sprint(m.Value, m.Low, m.High, m.N, m.Unit, records[i].ID, records[i].Start)
					require.Equal(t, want, fmt.Sprint(p.Value, p.Low, p.High, p.N, series.Unit, p.Record, p.Start))
				}
			}
			require.Equal(t, "abc", p.Env.Revision)
		}
		n++
	}
	require.Greater(t, n, 6)

	// The index of a second reader is the same, and a new night is seen by both.
	keep(t, s, night(1, epoch.AddDate(0, 0, 3), 6, 2e9))
	y := index(t, s)
	require.Equal(t, []float64{1e9, 1e9 + 1, 1e9 + 2, 2e9}, rates(t, y, Filter{}))
	require.NoError(t, x.Update(t.Context()))
	require.Equal(t, rates(t, y, Filter{}), rates(t, x, Filter{}))
	require.Equal(t, []float64{1e9 + 2, 2e9}, rates(t, x, Filter{Since: epoch.AddDate(0, 0, 2)}))
	require.Empty(t, rates(t, x, Filter{Group: "other"}))

	// What is gone from the directory is gone from the index.
	require.NoError(t, os.Remove(paths[1]))
	require.NoError(t, x.Update(t.Context()))
	require.Equal(t, []float64{1e9, 1e9 + 2, 2e9}, rates(t, x, Filter{}))
	y.Close() // nobody's index is taken from under them
	require.NoError(t, x.Rebuild(t.Context()))
	require.Equal(t, []float64{1e9, 1e9 + 2, 2e9}, rates(t, x, Filter{}))

	h, err := x.Find(t.Context(), strings.ToLower(records[0].ID[:9]))
	require.NoError(t, err)
	require.Equal(t, records[0].ID, h.ID)
	_, err = x.Find(t.Context(), records[0].ID[:2])
	require.ErrorContains(t, err, "give more of it")
	for _, none := range []string{"", "ZZ", "' OR 1=1 --", "%"} {
		_, err = x.Find(t.Context(), none)
		require.ErrorIs(t, err, ErrNoRecord)
	}
}

// A series is of one device, one package and one number of threads: figures of
// others are none of its nights.
func TestSeriesOfOneWorkload(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	for i, change := range []func(*results.Use){
		func(*results.Use) {},
		func(u *results.Use) { u.Threads = 32 },
		func(u *results.Use) { u.Workload = "example.com/other" },
		func(u *results.Use) { u.Device = "gpu:0" },
	} {
		rec := night(1, epoch.AddDate(0, 0, i), 6, 1e9+float64(i))
		for j := range rec.Runs {
			for k := range rec.Runs[j].Uses {
				before := rec.Runs[j].Uses[k].Device
				change(&rec.Runs[j].Uses[k])
				for l := range rec.Runs[j].Traces {
					if key := &rec.Runs[j].Traces[l].Key; key.Device == before {
						key.Device = rec.Runs[j].Uses[k].Device
					}
				}
			}
		}
		keep(t, s, rec)
	}
	x := index(t, s)
	var got []string
	for _, s := range all(t, x.Series(t.Context(), Filter{Use: "mining", Metric: results.Throughput})) {
		require.Len(t, s.Points, 1)
		got = append(got, fmt.Sprint(s.Device, " ", s.Workload, " ", s.Threads, " ", s.Points[0].Value))
		require.NoError(t, x.Keep(t.Context(), Filter{}, map[Key]Kept{s.Key: {epoch.AddDate(0, 0, 9), fmt.Sprint(s.Device, s.Threads)}}))
	}
	require.Equal(t, []string{"cpu example.com/other 64 1.000000002e+09", "cpu hashscan 32 1.000000001e+09", "cpu hashscan 64 1e+09", "gpu:0 hashscan 64 1.000000003e+09"}, got)
	kept, err := x.Kept(t.Context(), groupOf(night(1, epoch, 1, 1)).ID, Filter{})
	require.NoError(t, err)
	require.Len(t, kept, 4)
	for k, v := range kept {
		require.Equal(t, fmt.Sprint(k.Device, k.Threads), v.Text)
	}
}

func TestSessionsThatRun(t *testing.T) {
	s, _, _ := history(t, 1)
	rec := night(1, epoch.AddDate(0, 0, 1), 6, 2e9)
	rec.State = results.Running
	d, err := s.Create(rec.ID, rec.Start, true)
	require.NoError(t, err)
	_, err = d.save(rec)
	require.NoError(t, err)
	x := index(t, s)
	require.Equal(t, results.Running, all(t, x.Records(t.Context(), Filter{}))[1].State)
	require.Equal(t, []float64{1e9}, rates(t, x, Filter{}))
	rec.State = results.Complete
	_, err = d.commit(rec)
	require.NoError(t, err)
	require.NoError(t, x.Update(t.Context()))
	require.Equal(t, []float64{1e9, 2e9}, rates(t, x, Filter{}))
}

func TestAmendments(t *testing.T) {
	s, records, _ := history(t, 3)
	x := index(t, s)
	said, path, err := s.Amend(Amendment{Exclude: records[0].ID, Reason: "the door was open"})
	require.NoError(t, err)
	require.FileExists(t, path)
	_, _, err = s.Amend(Amendment{Exclude: records[1].ID, Scenario: "mining", Round: 2, Reason: "a backup ran"})
	require.NoError(t, err)
	require.NoError(t, x.Update(t.Context()))

	require.Equal(t, []float64{1e9 + 1, 1e9 + 2}, rates(t, x, Filter{}))
	require.Equal(t, []float64{1e9, 1e9 + 1, 1e9 + 2}, rates(t, x, Filter{Excluded: true}))
	hs := all(t, x.Records(t.Context(), Filter{Excluded: true}))
	require.Equal(t, "the door was open", hs[0].Excluded)
	require.Equal(t, said.ID, hs[0].Amended)
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 2)
	for _, series := range all(t, x.Series(t.Context(), Filter{Metric: results.Throughput})) {
		require.Equal(t, 5, series.Points[0].N, "one window of six is excluded")
		require.Equal(t, 6, series.Points[1].N)
	}
	require.Len(t, x.Amendments(), 2)
	require.Equal(t, said, x.Amendments()[0])

	for _, bad := range []Amendment{
		{Exclude: records[0].ID},
		{Exclude: records[0].ID, Reason: " \n"},
		{Exclude: "../x", Reason: "r"},
		{Exclude: records[0].ID, At: epoch, Reason: "r"},
		{Exclude: records[0].ID, Scenario: "idle", Reason: "r"},
		{Reason: "r"},
		{At: epoch, Reason: strings.Repeat("x", maxReason+1)},
	} {
		_, _, err := s.Amend(bad)
		require.Error(t, err, bad)
	}

	// One that is damaged is named, and the rest is applied.
	require.NoError(t, os.WriteFile(path, []byte(`{"id":`), 0o644))
	require.NoError(t, x.Update(t.Context()))
	require.Contains(t, strings.Join(x.Notes(), "\n"), path)
	require.Contains(t, strings.Join(x.Notes(), "\n"), "it is not applied")
	require.Len(t, rates(t, x, Filter{}), 3)
}

func TestEvents(t *testing.T) {
	s, _, _ := history(t, 2)
	for i, change := range []func(*results.Record){
		func(r *results.Record) { r.Node.Kernel = "6.13.0" },
		func(r *results.Record) { r.Node.Kernel, r.Tool.Revision = "6.13.0", "def" }, // the code is no event
		func(r *results.Record) { r.Node.Kernel, r.Meters[0].Channels[0].Accuracy.Gain = "6.13.0", 0.005 },
		func(r *results.Record) {
			r.Node.Kernel, r.Meters[0].Channels[0].Accuracy.Gain = "6.13.0", 0.005
			r.Plan.Labels = map[string]string{"runner": "m5.large", "job": "nightly"}
		},
	} {
		rec := night(1, epoch.AddDate(0, 0, 2+i), 6, 1e9)
		change(rec)
		keep(t, s, rec)
	}
	_, _, err := s.Amend(Amendment{At: epoch.Add(30 * time.Hour), Reason: "new power supply"})
	require.NoError(t, err)
	x := index(t, s)
	events, err := x.Events(t.Context(), Filter{})
	require.NoError(t, err)
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprint(e.At.Format("01-02 "), e.Kind, ": ", e.From, " → ", e.To, e.Text))
	}
	require.Equal(t, []string{
		"01-02 by hand:  → new power supply",
		"01-03 kernel: linux 6.12.0 → linux 6.13.0",
		"01-05 calibration: outlet3 ±0.01 ±0 W step 1  → outlet3 ±0.005 ±0 W step 1 ",
		"01-06 surroundings:  → runner m5.large",
	}, got)
	require.Len(t, rates(t, x, Filter{}), 6, "one group all the while")
}

// sibling makes a night of a node of the one group.
func sibling(name string, day int, change ...func(*results.Record)) *results.Record {
	rec := night(1, epoch.AddDate(0, 0, day), 6, 1e9+float64(len(name)))
	rec.ID = ulid.MustNew(uint64(rec.Start.UnixMilli()), ulid.DefaultEntropy()).String()
	rec.Node.Name = name
	for _, f := range change {
		f(rec)
	}
	return rec
}

// Each node of a group has series of its own, and what was kept of one does not
// hang on another's nights.
func TestSiblings(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	for day := range 3 {
		keep(t, s, sibling("a", day), sibling("bb", day))
	}
	// A machine whose name does not last has a label.
	keep(t, s, sibling("01f9c3", 0, func(r *results.Record) { r.Plan.Labels = map[string]string{NodeLabel: "ccc"} }),
		sibling("77ab02", 1, func(r *results.Record) { r.Plan.Labels = map[string]string{NodeLabel: "ccc"} }))
	x := index(t, s)
	got := func() (got []string) {
		for _, s := range all(t, x.Series(t.Context(), Filter{Scenario: "mining", Metric: results.Throughput})) {
			for _, p := range s.Points {
				require.Equal(t, s.Node, p.Env.Node)
			}
			got = append(got, fmt.Sprint(s.Node, " ", len(s.Points), " ", s.Points[0].Value))
		}
		return got
	}
	require.Equal(t, []string{"a 3 1.000000001e+09", "bb 3 1.000000002e+09", "ccc 2 1.000000006e+09"}, got())

	kept := func() map[string]Kept {
		of := map[string]Kept{}
		all, err := x.Kept(t.Context(), groupOf(sibling("a", 0)).ID, Filter{})
		require.NoError(t, err)
		for k, v := range all {
			of[k.Node] = v
		}
		return of
	}
	for _, s := range all(t, x.Series(t.Context(), Filter{Scenario: "mining", Metric: results.Throughput})) {
		require.NoError(t, x.Keep(t.Context(), Filter{}, map[Key]Kept{s.Key: {epoch.AddDate(0, 0, 9), s.Node}}))
	}
	for node, k := range kept() {
		require.Equal(t, node, k.Text)
	}
	require.Len(t, kept(), 3)
	late := sibling("bb", 1)
	keep(t, s, late)
	require.NoError(t, x.Update(t.Context()))
	require.NotContains(t, kept(), "bb", "a night that comes late")
	require.Len(t, kept(), 2, "is nothing to the others")
}

// What changes on a node is an event of that node, and one that is new to its
// group is held against no other, unless it takes the only one's place.
func TestEventsOfNodes(t *testing.T) {
	kernel := func(version string) func(*results.Record) {
		return func(r *results.Record) { r.Node.Kernel = version }
	}
	for name, c := range map[string]struct {
		records []*results.Record
		want    []string
	}{
		"one of two is updated": {[]*results.Record{sibling("a", 0), sibling("b", 0), sibling("a", 1), sibling("b", 1, kernel("7")), sibling("a", 2), sibling("b", 2, kernel("7"))},
			[]string{"b kernel linux 6.12.0 → linux 7"}},
		"a new one, and it is another": {[]*results.Record{sibling("a", 0), sibling("a", 3), sibling("b", 4, kernel("7")), sibling("a", 4)}, nil},
		"the only one is called otherwise": {[]*results.Record{sibling("a", 0), sibling("a", 1), sibling("a", 2), sibling("b", 3), sibling("b", 4)},
			[]string{"b node a → b"}},
		"and is updated": {[]*results.Record{sibling("a", 0), sibling("a", 2), sibling("b", 3, kernel("7"))},
			[]string{"b node a → b", "b kernel linux 6.12.0 → linux 7"}},
		"one of two is replaced":     {[]*results.Record{sibling("a", 0), sibling("b", 0), sibling("a", 2), sibling("b", 2), sibling("a", 5), sibling("c", 5)}, nil},
		"both are":                   {[]*results.Record{sibling("a", 0), sibling("b", 0), sibling("a", 2), sibling("b", 2), sibling("c", 5), sibling("d", 5)}, nil},
		"another name every night":   {[]*results.Record{sibling("a", 0), sibling("b", 1), sibling("c", 2), sibling("d", 3)}, nil},
		"it is away and comes again": {[]*results.Record{sibling("a", 0), sibling("a", 2), sibling("b", 3), sibling("a", 4)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.TempDir())
			require.NoError(t, err)
			for i, rec := range c.records { // in this order within a day
				rec.Start = rec.Start.Add(time.Duration(i) * time.Minute)
			}
			keep(t, s, c.records...)
			events, err := index(t, s).Events(t.Context(), Filter{})
			require.NoError(t, err)
			var got []string
			for _, e := range events {
				got = append(got, fmt.Sprint(e.Node, " ", e.Kind, " ", e.From, " → ", e.To))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Another card is another machine; its firmware, its driver and where it is plugged
// in are not.
func TestGroupHasDevices(t *testing.T) {
	with := func(devices ...results.Device) Group {
		rec := night(1, epoch, 1, 1)
		rec.Node.Devices = append(rec.Node.Devices, devices...)
		return groupOf(rec)
	}
	h200 := results.Device{ID: "gpu:0", Kind: results.KindGPU, Model: "NVIDIA H200", PCI: "0000:17:00.0", UUID: "a", Driver: "570", Firmware: "96.00"}
	moved, second, other := h200, h200, h200
	moved.ID, moved.PCI, moved.UUID, moved.Driver, moved.Firmware = "gpu:3", "0000:65:00.0", "b", "580", "97.00"
	second.ID = "gpu:1"
	other.Model = "NVIDIA H100"
	ids := map[string]string{}
	for name, g := range map[string]Group{"no card": with(), "one card": with(h200), "two cards": with(h200, second), "another card": with(other), "card and other": with(h200, other)} {
		require.Empty(t, ids[g.ID], "%s is not %s", name, ids[g.ID])
		ids[g.ID] = name
	}
	require.Equal(t, with(h200), with(moved))
	require.Contains(t, with(h200, second).Name(), "32c/64t + 2 × NVIDIA H200 256 GiB snmp/wall")

	for memory, want := range map[int64]string{7 << 29: " 3.5 GiB ", 23<<30 + 1: " 24 GiB ", 100 << 30: " 104 GiB ", 1007 << 30: " 1,024 GiB ", 12 << 40: " 12,288 GiB "} {
		rec := night(1, epoch, 1, 1)
		rec.Node.Memory = memory
		require.Contains(t, groupOf(rec).Name(), want)
	}

	miner := func(model, firmware string) *results.Record {
		rec := night(1, epoch, 1, 1)
		rec.Node.CPU, rec.Node.Memory = results.CPU{}, 0
		rec.Node.Devices = []results.Device{{ID: results.MinerDevice, Kind: results.KindMiner, Model: model, Firmware: firmware}}
		return rec
	}
	s19 := miner("Antminer S19", "1.0")
	require.Equal(t, "Antminer S19 snmp/wall", groupOf(s19).Name())
	require.NotEqual(t, groupOf(s19).ID, groupOf(miner("Antminer S21", "1.0")).ID)
	updated := miner("Antminer S19", "1.1")
	require.Equal(t, groupOf(s19), groupOf(updated))
	before, after := environmentOf(s19), environmentOf(updated)
	events := changes(&before, &after)
	require.Len(t, events, 1)
	require.Equal(t, "firmware 1.0 1.1", strings.Join([]string{events[0].Kind, events[0].From, events[0].To}, " "))
}

func TestGroupIsStable(t *testing.T) {
	rec := night(1, epoch, 1, 1)
	want := groupOf(rec)
	rec.Node.Name, rec.Node.Kernel, rec.Node.Memory = "other", "7.0", 250<<30
	rec.Node.Devices[0].Model = " AMD  EPYC 7001 32-Core Processor "
	rec.Meters[0].Source, rec.Node.Settings.Governor = "10.0.0.9", "powersave"
	require.Equal(t, want, groupOf(rec))
	rec.Meters = nil
	rec.Summary = results.Derive(rec)
	require.NotEqual(t, want.ID, groupOf(rec).ID)
	for have, want := range map[int64]int64{0: 0, 1: 1, 15: 15, 251: 256, 256: 256, 94: 96, 376: 384, 503: 512, 755: 768, 31: 32} {
		require.Equal(t, want<<30, installed(have<<30), have)
	}
}

// What was imported is of one machine whatever its benchmarks are called, and of
// another where the text says so.
func TestGroupOfImports(t *testing.T) {
	group := func(text string) Group {
		records, _, err := ReadBench(strings.NewReader(text), "b.txt", Bench{At: epoch})
		require.NoError(t, err)
		return groupOf(records[0])
	}
	const head = "goos: linux\ngoarch: amd64\ncpu: Sample CPU\n"
	want := group(head + "BenchmarkA 10 100 ns/op\n")
	for _, names := range []string{"BenchmarkA-8 10 100 ns/op\n", "BenchmarkA/n-64 10 100 ns/op\n", "BenchmarkA 10 100 ns/op\nBenchmarkA-4 10 100 ns/op\n",
		"BenchmarkB/size-16 10 100 ns/op\nBenchmarkA-8 10 100 ns/op\n", "pkg: example.com/other\nBenchmarkA-16 10 100 ns/op\n"} {
		require.Equal(t, want, group(head+names), names)
	}
	require.Equal(t, "Sample no meter", want.Name())
	require.NotEqual(t, want.ID, group(strings.Replace(head, "Sample", "Other", 1)+"BenchmarkA 10 100 ns/op\n").ID)
	arm := group("goos: linux\ngoarch: arm64\nBenchmarkA 10 100 ns/op\n")
	require.Equal(t, "unknown CPU arm64 no meter", arm.Name())
	require.NotEqual(t, arm.ID, group("goos: linux\ngoarch: amd64\nBenchmarkA 10 100 ns/op\n").ID)
}

// TestHostileText puts text into every place that can hold it.
func TestHostileText(t *testing.T) {
	s, _, _ := history(t, 0)
	for i, evil := range []string{`'; DROP TABLE records; --`, `"`, "\x00", `$."a'`, "\u202e", `%_*`, strings.Repeat("x", 1<<16)} {
		rec := night(1, epoch.AddDate(0, 0, i), 6, 1e9)
		rec.Node.Name, rec.Node.Devices[0].Model, rec.Node.Kernel, rec.Meters[0].Source = evil, evil, evil, evil
		rec.Plan.Labels = map[string]string{evil: evil, "a": "b"}
		for j := range rec.Runs {
			for k := range rec.Runs[j].Uses {
				rec.Runs[j].Uses[k].Impl, rec.Runs[j].Uses[k].Workload = evil, evil
			}
		}
		keep(t, s, rec)
		x := index(t, s)
		hs := all(t, x.Records(t.Context(), Filter{Labels: map[string]string{evil: evil, "a": "b"}}))
		require.Len(t, hs, 1)
		require.Equal(t, evil, hs[0].Env.Node)
		require.Empty(t, all(t, x.Records(t.Context(), Filter{Labels: map[string]string{evil: "other"}})))
		require.Len(t, rates(t, x, Filter{Group: hs[0].Group}), 1)
		require.Empty(t, rates(t, x, Filter{Group: evil, Use: evil}))
		x.Close()
	}
}

func TestUnreadableRecords(t *testing.T) {
	s, records, paths := history(t, 4)
	raw, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(paths[0], []byte("garbage"), 0o644))
	require.NoError(t, os.WriteFile(paths[1], raw[:len(raw)/2], 0o644))
	require.NoError(t, os.WriteFile(paths[2], []byte(strings.Replace(string(raw), `"abc"`, `"abd"`, 1)), 0o644))
	x := index(t, s)
	hs := all(t, x.Records(t.Context(), Filter{}))
	for i, want := range []string{"neither JSON nor zstd", "cut off", "/tool", ""} {
		require.Equal(t, records[i].ID, hs[i].ID)
		require.Contains(t, hs[i].Error, want)
		require.Equal(t, want != "", hs[i].State == unreadable)
	}
	require.Equal(t, []float64{1e9 + 3}, rates(t, x, Filter{}))
	require.NoError(t, os.WriteFile(paths[1], raw, 0o644))
	require.NoError(t, x.Update(t.Context()))
	require.Equal(t, []float64{1e9 + 1, 1e9 + 3}, rates(t, x, Filter{}))
}

func soon(t *testing.T) {
	old := patience
	patience = 200 * time.Millisecond
	t.Cleanup(func() { patience = old })
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
}

func TestDamagedIndex(t *testing.T) {
	s, _, _ := history(t, 40)
	file := filepath.Join(s.dir, indexName)
	x := index(t, s)
	want := rates(t, x, Filter{})
	_, err := x.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	x.Close()
	good, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, damage := range map[string]func() error{
		"garbage":   func() error { return os.WriteFile(file, []byte(strings.Repeat("garbage", 9999)), 0o644) },
		"truncated": func() error { return os.Truncate(file, int64(len(good)/2)) },
		"empty":     func() error { return os.Truncate(file, 0) },
		"absent":    func() error { return os.Remove(file) },
		"pages": func() error {
			return os.WriteFile(file, append(good[:8192:8192], make([]byte, len(good)-8192)...), 0o644)
		},
		"leftovers": func() error {
			return errors.Join(os.Remove(file), os.WriteFile(file+"-wal", good, 0o644), os.WriteFile(file+"-shm", good, 0o644))
		},
		"a table missing": func() error { return execute(file, "DROP TABLE points") },
		"a wrong type":    func() error { return execute(file, "UPDATE records SET start = 'x'; UPDATE points SET figures = 'x'") },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, good, 0o644))
			require.NoError(t, damage())
			x := index(t, s)
			require.Equal(t, want, rates(t, x, Filter{}))
			require.NoError(t, x.Check(t.Context()))
			require.Len(t, all(t, x.Records(t.Context(), Filter{})), 40)
			require.Equal(t, file, x.file)
			if name != "empty" && name != "absent" && name != "leftovers" {
				require.Contains(t, strings.Join(x.Notes(), "\n"), file+" was damaged and is built again")
			}
			x.Close()
			y := index(t, s)
			require.Empty(t, y.Notes(), "once is enough")
			require.Equal(t, want, rates(t, y, Filter{}))
			y.Close()
		})
	}
	t.Run("deleted under a reader", func(t *testing.T) {
		soon(t)
		x := index(t, s)
		require.NoError(t, os.Remove(file))
		y := index(t, s)
		require.Equal(t, want, rates(t, y, Filter{}))
		require.NotEqual(t, file, y.file, "the rest of the old one is still in use")
		require.Equal(t, want, rates(t, x, Filter{}))
	})
}

func execute(file, query string) error {
	db, err := sql.Open("sqlite3", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(file))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(query)
	return err
}

// TestLockedIndex: a reader is not kept waiting for ever, and does without.
func TestLockedIndex(t *testing.T) {
	soon(t)
	s, _, _ := history(t, 2)
	x := index(t, s)
	keep(t, s, night(1, epoch.AddDate(0, 0, 5), 6, 3e9))
	tx, err := x.db.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	y := index(t, s)
	require.Equal(t, []float64{1e9, 1e9 + 1, 3e9}, rates(t, y, Filter{}))
	require.Contains(t, strings.Join(y.Notes(), "\n"), "locked")
	require.Contains(t, y.file, "cache")
}

func TestReadOnlyStore(t *testing.T) {
	s, _, _ := history(t, 2)
	for dir := s.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	require.NoError(t, os.Chmod(s.dir, 0o555))
	t.Cleanup(func() { os.Chmod(s.dir, 0o755) })
	cache := t.TempDir()
	require.NoError(t, os.Chmod(cache, 0o777))
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	for where, mode := range map[string]os.FileMode{cache: 0o777, "memory": 0o555} {
		require.NoError(t, os.RemoveAll(filepath.Join(cache, "perwatt")))
		require.NoError(t, os.Chmod(cache, mode))
		asNobody(t, func() {
			x, err := OpenIndex(t.Context(), s.dir)
			require.NoError(t, err)
			defer x.Close()
			require.Equal(t, []float64{1e9, 1e9 + 1}, rates(t, x, Filter{}))
			notes := strings.Join(x.Notes(), "\n")
			require.Contains(t, notes, filepath.Join(s.dir, indexName)+" cannot be used: ")
			require.Contains(t, notes, "the index is in "+where)
		})
	}
	require.NoFileExists(t, filepath.Join(s.dir, indexName))
	_, err := OpenIndex(t.Context(), filepath.Join(cache, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A month to which nothing came for long is not read again, but whatever comes
// to it, goes from it or is said of it is seen, and the check sees all.
func TestSettledMonths(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	var ids []string
	for i := range 4 {
		rec := night(i, epoch.AddDate(0, i/2, i), 6, 1e9)
		keep(t, s, rec)
		ids = append(ids, rec.ID)
	}
	settle := func() {
		for _, m := range []string{"2026-01", "2026-02"} {
			old := time.Now().Add(-2 * settles)
			require.NoError(t, os.Chtimes(filepath.Join(s.dir, m), old, old))
		}
	}
	settle()
	x, err := OpenIndex(t.Context(), s.dir)
	require.NoError(t, err)
	defer x.Close()
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 4)
	known, err := x.settled(t.Context())
	require.NoError(t, err)
	require.Len(t, known, 2)
	for m, s := range known {
		require.NotZero(t, s.modified, m)
	}
	errors := func() (bad []string) {
		for _, h := range all(t, x.Records(t.Context(), Filter{Excluded: true})) {
			if h.Error != "" {
				bad = append(bad, h.ID)
			}
		}
		return bad
	}

	// In place, as nobody should.
	path := filepath.Join(s.dir, "2026-01", ids[0]+plain)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(s.dir, "2026-01", ids[0]+packed)
	}
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte("{}"), 0o644))
	require.NoError(t, x.Update(t.Context()))
	require.Empty(t, errors(), "not looked through")
	require.NoError(t, x.Check(t.Context()))
	require.Equal(t, ids[:1], errors())
	require.NoError(t, os.WriteFile(path, whole, 0o644))
	require.NoError(t, x.Check(t.Context()))
	require.Empty(t, errors())

	// An amendment lies in the month in which it is said.
	settle()
	require.NoError(t, x.Update(t.Context()))
	_, said, err := s.Amend(Amendment{Exclude: ids[1], Reason: "somebody else's job"})
	require.NoError(t, err)
	require.NoError(t, x.Update(t.Context()))
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 3)
	old := time.Now().Add(-2 * settles)
	require.NoError(t, os.Chtimes(filepath.Dir(said), old, old))
	for range 2 { // the second time all has settled, the amendment too
		require.NoError(t, x.Update(t.Context()))
		require.Len(t, x.Amendments(), 1)
		require.Len(t, all(t, x.Records(t.Context(), Filter{})), 3)
	}
	require.NoError(t, os.Remove(said))
	require.NoError(t, x.Update(t.Context()))
	require.Empty(t, x.Amendments())
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 4)

	// What comes late, and what goes.
	settle()
	require.NoError(t, x.Update(t.Context()))
	keep(t, s, night(7, epoch.AddDate(0, 0, 7), 6, 1e9))
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "2026-02")))
	require.NoError(t, x.Update(t.Context()))
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 3)
	require.NoError(t, os.Chmod(path, 0o644))
	require.NoError(t, os.Remove(path))
	require.NoError(t, x.Update(t.Context()))
	require.Len(t, all(t, x.Records(t.Context(), Filter{})), 2)
}

// What was kept of a series is forgotten when its past changes, and only then.
func TestKept(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	for i := range 3 {
		keep(t, s, night(1, epoch.AddDate(0, 0, 2*i), 6, 1e9))
	}
	x, err := OpenIndex(t.Context(), s.dir)
	require.NoError(t, err)
	defer x.Close()
	series := all(t, x.Series(t.Context(), Filter{Metric: results.Throughput}))
	require.NotEmpty(t, series)
	key, labelled := series[0].Key, Filter{Labels: map[string]string{"a": "b c", "d": "e"}}
	put := func() {
		require.NoError(t, x.Keep(t.Context(), Filter{}, map[Key]Kept{key: {epoch.AddDate(0, 0, 3), "found"}}))
	}
	got := func(f Filter) map[Key]Kept {
		k, err := x.Kept(t.Context(), key.Group, f)
		require.NoError(t, err)
		return k
	}
	put()
	require.Equal(t, map[Key]Kept{key: {epoch.AddDate(0, 0, 3), "found"}}, got(Filter{}))
	require.Empty(t, got(labelled))
	require.NoError(t, x.Keep(t.Context(), labelled, map[Key]Kept{key: {epoch, "other"}}))
	require.Equal(t, "other", got(labelled)[key].Text)
	require.Equal(t, "found", got(Filter{})[key].Text)

	keep(t, s, night(1, epoch.AddDate(0, 0, 7), 6, 1e9))
	require.NoError(t, x.Update(t.Context()))
	require.Len(t, got(Filter{}), 1, "a night that is later")
	keep(t, s, night(2, epoch, 6, 1e9))
	require.NoError(t, x.Update(t.Context()))
	require.Len(t, got(Filter{}), 1, "another group")
	late := night(1, epoch.AddDate(0, 0, 1), 6, 1e9)
	keep(t, s, late)
	require.NoError(t, x.Update(t.Context()))
	require.Empty(t, got(Filter{}), "a night that comes late")
	put()
	_, _, err = s.Amend(Amendment{Exclude: late.ID, Reason: "a backup ran"})
	require.NoError(t, err)
	require.NoError(t, x.Update(t.Context()))
	require.Empty(t, got(Filter{}), "a night that is excluded")
}

// A row that does not fit into its page takes pages of its own: the figures of
// a session must not.
func TestIndexIsSmall(t *testing.T) {
	s, err := Open(t.TempDir())
	require.NoError(t, err)
	x := index(t, s)
	points, err := x.Fill(10, 20, 200)
	require.NoError(t, err)
	require.Equal(t, 10*200*(20+17), points)
	_, err = x.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	info, err := os.Stat(x.Place())
	require.NoError(t, err)
	require.Less(t, info.Size()/int64(points), int64(45), "bytes a figure")
}

// What is read whole has all of its runs, whether the index has just taken it in,
// had it before, or leaves some of them out.
func TestWhole(t *testing.T) {
	s, records, _ := history(t, 2)
	_, _, err := s.Amend(Amendment{Exclude: records[1].ID, Scenario: "mining", Round: 2, Reason: "a backup ran"})
	require.NoError(t, err)
	for _, state := range []string{"new", "known"} {
		for i, want := range records {
			if state == "new" {
				require.NoError(t, os.RemoveAll(filepath.Join(s.dir, indexName)))
			}
			derived := 0
			results.OnDerive = func(rec *results.Record) {
				if rec.ID == want.ID {
					derived++
				}
			}
			x, err := OpenIndexFor(t.Context(), s.dir, strings.ToLower(want.ID))
			require.NoError(t, err)
			h, err := x.Find(t.Context(), want.ID)
			require.NoError(t, err)
			got, err := x.Whole(t.Context(), h)
			results.OnDerive = nil
			require.NoError(t, err)
			require.Len(t, got.Runs, len(want.Runs), "%s %d", state, i)
			require.Len(t, got.Summary.Windows(), len(want.Summary.Windows()), "%s %d", state, i)
			if amended := i == 1; !amended {
				require.Equal(t, 1, derived, state)
			}
			require.NoError(t, x.Close())
		}
	}
}

// A driver that numbers its cards the other way round, or another card at the same
// number: the series follows the card.
func TestSeriesOfCards(t *testing.T) {
	keys := func(change func([]results.Device)) (out []string) {
		rec := night(1, epoch, 1, 1)
		cards := []results.Device{{ID: "cuda:0", Kind: results.KindGPU, Model: "NVIDIA H200", PCI: "0000:1b:00.0"}, {ID: "cuda:1", Kind: results.KindGPU, Model: "NVIDIA L4", PCI: "0000:3b:00.0"}}
		change(cards)
		rec.Node.Devices = append(rec.Node.Devices, cards...)
		for j := range rec.Runs {
			for k := range rec.Runs[j].Uses {
				before := rec.Runs[j].Uses[k].Device
				rec.Runs[j].Scenario += "@cuda:0"
				rec.Runs[j].Uses[k].Device = "cuda:0"
				for l := range rec.Runs[j].Traces {
					if key := &rec.Runs[j].Traces[l].Key; key.Device == before {
						key.Device = "cuda:0"
					}
				}
			}
		}
		rec.Summary = results.Derive(rec)
		st, err := Open(t.TempDir())
		require.NoError(t, err)
		keep(t, st, rec)
		for _, s := range all(t, index(t, st).Series(t.Context(), Filter{Metric: results.Throughput})) {
			out = append(out, s.Scenario+" | "+s.Device)
		}
		return out
	}
	first := keys(func([]results.Device) {})
	require.Contains(t, first, "mining@gpu NVIDIA H200 | gpu NVIDIA H200")
	require.Equal(t, first, keys(func(cards []results.Device) { cards[0].PCI, cards[0].UUID = "0000:9b:00.0", "another" }), "the same model in another slot")
	require.Contains(t, keys(func(cards []results.Device) { cards[0].Model = "NVIDIA L4" }), "mining@gpu NVIDIA L4 | gpu NVIDIA L4")
	require.Contains(t, keys(func(cards []results.Device) { cards[0].Kind, cards[0].Model = results.KindCPU, "X" }), "mining@cpu X (a CPU, through OpenCL) | cpu X (a CPU, through OpenCL)")
}
