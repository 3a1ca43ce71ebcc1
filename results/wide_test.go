package results

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// wide is a record of one scenario and round after the other, every one of two
// seconds, which the cases of [wideRecords] make wide in one direction.
func wide() *Record {
	return &Record{
		Schema: SchemaVersion, ID: "01KDYBS1CY0000000000000000", Start: time.Unix(1.7e9, 0).UTC(), End: time.Unix(1.7e9, 0).UTC(), State: Complete,
		Node: Node{Devices: []Device{{ID: CPUDevice, Kind: KindCPU, Lanes: 2}}, CPU: CPU{Clock: Absent()}, Settings: Settings{CPUQuota: Absent(), PowerCap: Absent(), Load: Absent()}},
		Plan: Plan{Rounds: 1, Warmup: 1, Window: 1, Interval: 1},
	}
}

// run adds a run of these uses, each with its counter, and returns it.
func (r *Record) run(scenario string, round int, uses ...Use) *Run {
	if round == 1 {
		r.Plan.Scenarios = append(r.Plan.Scenarios, scenario)
	}
	r.Plan.Rounds = max(r.Plan.Rounds, round)
	run := Run{Scenario: scenario, Round: round, Anchor: Anchor{T: Float(3 * len(r.Runs)), UTC: r.Start.Add(time.Duration(3*len(r.Runs)) * time.Second)}, Uses: uses, Status: OK,
		Phases: []Phase{{PhaseWarmup, 0, 1}, {PhaseMeasure, 1, 2}}}
	for _, u := range uses {
		run.Traces = append(run.Traces, Trace{Key: u.Key(TraceWork), Unit: u.Unit, Kind: Counter, T: []Float{0, 1, 2, 3}, V: []Float{0, 100, 200, 300}})
	}
	r.Runs = append(r.Runs, run)
	return &r.Runs[len(r.Runs)-1]
}

// meter adds a meter of one channel, which is a part of the total of total.
func (r *Record) meter(name string, total Boundary) {
	r.Meters = append(r.Meters, Meter{Name: name, Period: Absent(), Channels: []Channel{wideChannel("w", total)}})
}

func wideChannel(name string, total Boundary) Channel {
	return Channel{Name: name, Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured, Total: total, Accuracy: Accuracy{Gain: 0.01, Resolution: 0.1}}
}

// read adds what a channel of watts said.
func (r *Run) read(meter, channel string) {
	w := Float(50 + 50*len(r.Uses))
	r.Traces = append(r.Traces, Trace{Key: MeterKey(meter, channel), Unit: Watt, Kind: Gauge, Boundary: Wall, Origin: Measured, T: []Float{0, 1, 1.5, 2, 3}, V: []Float{w, w + 1, w + 2, w + 1, w}})
}

// readOften is read with n readings.
func (r *Run) readOften(meter, channel string, n int) {
	r.read(meter, channel)
	tr := &r.Traces[len(r.Traces)-1]
	tr.T, tr.V = nil, nil
	for i := range n {
		tr.T, tr.V = append(tr.T, Float(i)/Float(n)*3), append(tr.V, Float(i%7))
	}
}

func wideUse(use string) Use {
	return Use{Use: use, Device: CPUDevice, Workload: "hashscan", Impl: "generic", Role: Alone, Unit: Hash, FlopPerCount: Absent()}
}

// wideRecords are records that hold n of something. Those of which n times n
// things would have to be looked at are refused, from some n on.
var wideRecords = []struct {
	name    string
	of      func(n int, rec *Record)
	refused bool
}{
	{"scenarios", func(n int, rec *Record) {
		rec.meter("m", Wall)
		for i := range n {
			rec.run(fmt.Sprint("s", i), 1, wideUse("mining")).read("m", "w")
		}
	}, false},
	{"scenarios whose names differ late", func(n int, rec *Record) {
		for i := range n {
			rec.run(strings.Repeat("long/", 40)+fmt.Sprint(i), 1, wideUse("mining"))
		}
	}, false},
	{"scenarios that are planned twice and not run", func(n int, rec *Record) {
		rec.run("mining", 1, wideUse("mining"))
		for range n {
			rec.Plan.Scenarios = append(rec.Plan.Scenarios, "mining", "other")
		}
	}, false},
	{"scenarios out of the plan", func(n int, rec *Record) {
		for i := range n {
			rec.run(fmt.Sprint("s", i), 1, wideUse("mining"))
		}
		rec.Plan.Scenarios = []string{"else"}
	}, false},
	{"scenarios and a control", func(n int, rec *Record) {
		rec.meter("m", Wall)
		for i := range n {
			rec.run(fmt.Sprint("s", i), 1, wideUse("mining")).read("m", "w")
			rec.run(Control, i+1, wideUse(Control)).read("m", "w")
		}
	}, false},
	{"rounds", func(n int, rec *Record) {
		rec.meter("m", Wall)
		for i := range n {
			rec.run("idle", i+1).read("m", "w")
			rec.run("mining", i+1, wideUse("mining")).read("m", "w")
		}
	}, false},
	{"rounds whose meter is silent", func(n int, rec *Record) {
		rec.meter("m", Wall)
		for i := range n {
			rec.run("mining", i+1, wideUse("mining"))
		}
	}, false},
	{"meters", func(n int, rec *Record) {
		for i := range n {
			rec.meter(fmt.Sprint("m", i), Wall)
		}
		rec.run("idle", 1)
		mining := rec.run("mining", 1, wideUse("mining"))
		for i := range n {
			rec.Runs[0].read(fmt.Sprint("m", i), "w")
			mining.read(fmt.Sprint("m", i), "w")
		}
	}, true},
	{"meters that are read by nobody", func(n int, rec *Record) {
		for i := range n {
			rec.meter(fmt.Sprint("m", i), Wall)
		}
		for i := range n {
			rec.run("mining", i+1, wideUse("mining"))
		}
	}, true},
	{"meters of one name", func(n int, rec *Record) {
		for range n {
			rec.meter("m", Wall)
		}
		run := rec.run("mining", 1, wideUse("mining"))
		run.readOften("m", "w", n)
	}, true},
	{"meters of parts, and rows", func(n int, rec *Record) {
		for i := range n {
			rec.meter(fmt.Sprint("m", i), "")
			rec.run(fmt.Sprint("s", i), 1, wideUse("mining"))
		}
	}, true},
	{"channels", func(n int, rec *Record) {
		rec.meter("m", Wall)
		run := rec.run("mining", 1, wideUse("mining"))
		run.read("m", "w")
		for i := range n {
			rec.Meters[0].Channels = append(rec.Meters[0].Channels, wideChannel(fmt.Sprint("c", i), Wall))
			run.read("m", fmt.Sprint("c", i))
		}
	}, false},
	{"channels of one place", func(n int, rec *Record) {
		rec.meter("m", Wall)
		for i := range n {
			c := wideChannel(fmt.Sprint("c", i), Wall)
			c.Place = "outlet"
			rec.Meters[0].Channels = append(rec.Meters[0].Channels, c)
			rec.run("mining", i+1, wideUse("mining")).read("m", c.Name)
		}
	}, true},
	{"uses", func(n int, rec *Record) {
		var uses []Use
		for i := range n {
			uses = append(uses, wideUse(fmt.Sprint("u", i)))
		}
		rec.run("all", 1, uses...)
	}, false},
	{"uses of one name", func(n int, rec *Record) {
		run := rec.run("all", 1, wideUse("mining"))
		tr := &run.Traces[0]
		tr.T, tr.V = nil, nil
		for i := range n {
			run.Uses = append(run.Uses, wideUse("mining"))
			tr.T, tr.V = append(tr.T, Float(i)/Float(n)*3), append(tr.V, Float(i))
		}
	}, true},
	{"uses with shares", func(n int, rec *Record) {
		var uses []Use
		for i := range n {
			u := wideUse(fmt.Sprint("u", i))
			u.Shares = &Shares{Difficulty: 1, Work: 1}
			uses = append(uses, u)
		}
		run := rec.run("all", 1, uses...)
		for _, u := range uses {
			for _, class := range []string{ShareAccepted, ShareStale} {
				run.Traces = append(run.Traces, Trace{Key: TraceKey{Kind: TraceShares, Use: u.Use, Device: u.Device, Channel: class}, Unit: Share, Kind: Counter, T: []Float{0, 1, 2, 3}, V: []Float{0, 1, 2, 3}})
			}
		}
	}, false},
	{"uses with more shares than can be", func(n int, rec *Record) {
		for i := range n {
			u := wideUse("mining")
			u.Shares = &Shares{Difficulty: 1, Work: 1.1e-7}
			rec.run(fmt.Sprint("s", i), 1, u)
		}
	}, true},
	{"claims of more shares than can be", func(n int, rec *Record) {
		run := rec.run("mining", 1, wideUse("mining"))
		for i := range n {
			run.Claims = append(run.Claims, Claim{Device: fmt.Sprint("d", i), Samples: []SelfReportedSample{
				{T: 1, Figures: []SelfReportedField{{Of: ReportedShares, Name: "a", Value: SelfReport(0), Unit: Share}, {Of: ReportedRate, Name: "r", Value: SelfReport(1), Unit: Hash.Per(Second)}, {Of: ReportedDifficulty, Name: "d", Value: SelfReport(1), Unit: Hash}}},
				{T: 2, Figures: []SelfReportedField{{Of: ReportedShares, Name: "a", Value: SelfReport(9e8), Unit: Share}, {Of: ReportedRate, Name: "r", Value: SelfReport(1), Unit: Hash.Per(Second)}, {Of: ReportedDifficulty, Name: "d", Value: SelfReport(1), Unit: Hash}}},
			}})
		}
	}, true},
	{"uses with a target", func(n int, rec *Record) {
		rec.meter("m", Wall)
		var uses []Use
		for i := range n {
			u := wideUse(fmt.Sprint("u", i))
			u.Target = &Target{Steps: 5}
			uses = append(uses, u)
		}
		run := rec.run("all", 1, uses...)
		run.readOften("m", "w", n)
	}, true},
	{"traces", func(n int, rec *Record) {
		run := rec.run("mining", 1, wideUse("mining"))
		for i := range n {
			run.read("m", fmt.Sprint("c", i))
		}
	}, false},
	{"points", func(n int, rec *Record) {
		rec.meter("m", Wall)
		run := rec.run("mining", 1, wideUse("mining"))
		run.read("m", "w")
		tr := &run.Traces[len(run.Traces)-1]
		tr.T, tr.V = nil, nil
		for i := range 100 * n {
			tr.T, tr.V = append(tr.T, Float(i)/Float(100*n)*3), append(tr.V, Float(i%7))
		}
	}, false},
	{"errors of a trace", func(n int, rec *Record) {
		rec.meter("m", Wall)
		run := rec.run("mining", 1, wideUse("mining"))
		run.read("m", "w")
		tr := &run.Traces[len(run.Traces)-1]
		tr.V[2] = Absent()
		for i := range n {
			tr.Errors = append(tr.Errors, Gap{Float(10 + i), "timeout"})
			rec.Runs[0].Uses = append(rec.Runs[0].Uses, wideUse(fmt.Sprint("u", i)))
		}
	}, false},
	{"phases", func(n int, rec *Record) {
		run := rec.run("mining", 1, wideUse("mining"))
		run.Phases = nil
		for i := range n {
			run.Phases = append(run.Phases, Phase{fmt.Sprint("p", i), 0, 1})
			run.Uses = append(run.Uses, wideUse(fmt.Sprint("u", i)))
		}
		run.Phases = append(run.Phases, Phase{PhaseMeasure, 1, 2})
	}, false},
	{"implementations, and rows", func(n int, rec *Record) {
		rec.Kernels = []Kernel{{Name: "sgemm", Device: CPUDevice}}
		for i := range n {
			rec.Kernels[0].Impls = append(rec.Kernels[0].Impls, Impl{Name: fmt.Sprint("i", i), Rate: 1, Peak: 1, Unit: FLOP.Per(Second)})
			u := wideUse("compute")
			u.Impl, u.Unit, u.FlopPerCount = fmt.Sprint("i", i), FLOP, 1
			rec.run(fmt.Sprint("s", i), 1, u)
		}
	}, false},
	{"models that are trained", func(n int, rec *Record) {
		rec.meter("m", Wall)
		rec.run("mining", 1, wideUse("mining")).read("m", "w")
		for i := range n {
			u := wideUse("training")
			u.Unit, u.Params = Sample, map[string]string{"model": fmt.Sprint("m", i)}
			rec.run(fmt.Sprint("training-", i), 1, u).read("m", "w")
		}
	}, false},
	{"uses, and what was suspended", func(n int, rec *Record) {
		run := rec.run("all", 1)
		for i := range n {
			run.Uses = append(run.Uses, wideUse(fmt.Sprint("u", i)))
			run.Traces = append(run.Traces, Trace{Key: UseKey(TraceSuspended, fmt.Sprint("u", i), CPUDevice), Unit: Second, Kind: Counter, T: []Float{0, 1, 2}, V: []Float{0, 0, 1}})
		}
	}, true},
	{"claims", func(n int, rec *Record) {
		run := rec.run("mining", 1, wideUse("mining"))
		for i := range n {
			run.Uses = append(run.Uses, wideUse(fmt.Sprint("u", i)))
			run.Claims = append(run.Claims, Claim{Device: fmt.Sprint("d", i), Use: fmt.Sprint("u", i), Samples: []SelfReportedSample{{T: 1.5, Figures: []SelfReportedField{{Of: ReportedRate, Name: "ghs", Value: SelfReport(1), Unit: Hash.Per(Second)}}}}})
		}
	}, false},
	{"answers and figures of a claim", func(n int, rec *Record) {
		c := Claim{Device: "d", Use: "mining", Samples: []SelfReportedSample{{T: 1}}}
		for i := range n {
			c.Samples[0].Figures = append(c.Samples[0].Figures, SelfReportedField{Of: ReportedPower, Name: "w", Value: SelfReport(1), Unit: Watt, Over: SelfReport(1e6)})
			c.Samples = append(c.Samples, SelfReportedSample{T: 1 + Float(i+1)/Float(n), Figures: []SelfReportedField{{Of: ReportedPower, Name: "w", Value: SelfReport(1), Unit: Watt, Over: SelfReport(1e6)}}})
		}
		rec.run("mining", 1, wideUse("mining")).Claims = []Claim{c}
	}, false},
	{"warnings, labels, checks and meters that were looked for", func(n int, rec *Record) {
		rec.Plan.Labels = map[string]string{}
		run := rec.run("mining", 1, wideUse("mining"))
		for i := range n {
			rec.Warnings = append(rec.Warnings, Warning{Code: "late", Text: fmt.Sprint(i)})
			rec.Plan.Labels[fmt.Sprint("label", i)] = "x"
			rec.MeterProbes = append(rec.MeterProbes, MeterProbe{Meter: fmt.Sprint("m", i), State: "refused"})
			run.Checks = append(run.Checks, Check{Use: "mining", Device: CPUDevice, Name: fmt.Sprint(i), OK: true})
		}
	}, false},
	{"flags of one kind", func(n int, rec *Record) {
		for i := range n {
			rec.run("mining", i+1, wideUse("mining")).Anchor.UTC = rec.Start.Add(time.Duration(i) * time.Hour)
		}
	}, false},
	{"one long name, and rows", func(n int, rec *Record) {
		var uses []Use
		for i := range n {
			uses = append(uses, wideUse(fmt.Sprint("u", i)))
		}
		rec.run(strings.Repeat("s", 100*n), 1, uses...)
	}, true},
	{"cards, their channels and the uses on them", func(n int, rec *Record) {
		rec.meter("m", Cards)
		rec.Meters[0].Channels = nil
		for i := range n {
			id, name := fmt.Sprint("cuda:", i), fmt.Sprint("c", i)
			rec.Node.Devices = append(rec.Node.Devices, Device{ID: id, Kind: KindGPU, Model: "H200", PCI: id})
			c := wideChannel(name, Cards)
			c.Boundary, c.Card = Card, id
			rec.Meters[0].Channels = append(rec.Meters[0].Channels, c)
			u := wideUse("mining")
			u.Device = id
			run := rec.run(fmt.Sprint("s", i), 1, u)
			run.read("m", name)
		}
	}, true},
	{"devices that no meter covers", func(n int, rec *Record) {
		rec.meter("m", Package)
		rec.run("mining", 1, wideUse("mining")).read("m", "w")
		for i := range n {
			u := wideUse("mining")
			u.Device = fmt.Sprint("cuda:", i)
			rec.Node.Devices = append(rec.Node.Devices, Device{ID: u.Device, Kind: KindGPU, Model: strings.Repeat("H200 ", 20)})
			rec.run(fmt.Sprint("s", i), 1, u).read("m", "w")
		}
	}, true},
	{"cards that are no devices", func(n int, rec *Record) {
		for i := range n {
			rec.meter(fmt.Sprint("m", i), Cards)
			rec.Meters[i].Channels[0].Card = fmt.Sprint("card", i)
			rec.Meters[i].Channels[0].Boundary = Card
		}
		u := wideUse("mining")
		u.Device = "cuda:0"
		rec.run("mining", 1, u)
	}, false},
	{"one long text", func(n int, rec *Record) {
		rec.run("mining", 1, wideUse("mining"))
		rec.Warnings = []Warning{{Code: "late", Text: strings.Repeat("é", 1000*n)}}
	}, false},
}

// attempt derives the summary of a record that holds n of something.
func attempt(ctx context.Context, of func(int, *Record), n int) (e *effort, err error) {
	rec := wide()
	of(n, rec)
	e = bounded(ctx, rec)
	defer caught(&err)
	derive(e)
	return e, nil
}

// TestWorkGrowsWithTheRecord: of twice as much, twice the work; and where it
// would grow faster, no more than the record is worth.
func TestWorkGrowsWithTheRecord(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine computes for a long time: in the full form only")
	}
	for _, c := range wideRecords {
		t.Run(c.name, func(t *testing.T) {
			if c.refused {
				_, err := attempt(t.Context(), c.of, 6000)
				require.ErrorContains(t, err, "record 01KDYBS1CY0000000000000000: its")
				require.ErrorContains(t, err, "600", "the count")
				require.ErrorContains(t, err, "a record of its size may make no more")
				return
			}
			once, err := attempt(t.Context(), c.of, 1000)
			require.NoError(t, err)
			twice, err := attempt(t.Context(), c.of, 2000)
			require.NoError(t, err)
			require.Less(t, twice.spent, 2*once.spent+once.spent/10)
			require.Less(t, twice.spent, twice.most-leastSteps, "more of it is not refused either")
		})
	}
}

// TestWorkEndsWithTheContext: whatever a record holds, what is computed from it
// looks at the context again and again.
func TestWorkEndsWithTheContext(t *testing.T) {
	for _, c := range wideRecords {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			e, err := attempt(ctx, c.of, 2000)
			require.ErrorIs(t, err, context.Canceled)
			require.Less(t, e.spent, often)
		})
	}
	rec := wide()
	wideRecords[0].of(2000, rec)
	e := bounded(t.Context(), rec)
	asked := 0
	e.ended = func() error {
		if asked++; asked > 5 {
			return context.DeadlineExceeded
		}
		return nil
	}
	err := func() (err error) {
		defer caught(&err)
		derive(e)
		return nil
	}()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, e.spent, 7*often)
}

// TestSessionsAreWorthTheirWork: no record of a session comes near what it may
// cost, neither one of long windows nor one of many instruments.
func TestSessionsAreWorthTheirWork(t *testing.T) {
	long := newWorld()
	long.rounds = 40
	rivals := long.record()
	for i := range 8 {
		m := Meter{Name: fmt.Sprint("rivals", i), Period: 1}
		for _, c := range []string{"energy", "power", "apparent"} {
			ch := wideChannel(c, Wall)
			ch.Place = "outlet"
			m.Channels = append(m.Channels, ch)
			for j := range rivals.Runs {
				tr := *rivals.Runs[j].Trace(MeterKey("m", "b"))
				tr.Key = MeterKey(m.Name, c)
				trips := tr
				trips.Key = TraceKey{Kind: TraceRoundTrip, Meter: m.Name}
				rivals.Runs[j].Traces = append(rivals.Runs[j].Traces, tr, trips)
			}
		}
		rivals.Meters = append(rivals.Meters, m)
	}
	for name, rec := range map[string]*Record{"a session": newWorld().record(), "forty rounds": long.record(), "eight meters of three channels of one place": rivals, "a publishable one": publishable(), "readings": session(30, 600)} {
		t.Run(name, func(t *testing.T) {
			e := bounded(t.Context(), rec)
			derive(e)
			require.Less(t, 2*(e.spent-leastSteps), e.most-leastSteps)
			t.Logf("%.1f steps a value", float64(e.spent)/float64(rec.counts().values))
		})
	}
}

// TestNamesInOrder: names are in the order of UTF-16, whatever they are made of.
func TestNamesInOrder(t *testing.T) {
	letters := []rune("aé\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff")
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		w := make([]rune, rng.IntN(4))
		for i := range w {
			w[i] = letters[rng.IntN(len(letters))]
		}
		return string(w)
	}
	for range 20_000 {
		a, b := word(), word()
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		require.Equal(t, want, compareNames(a, b), "%q %q", a, b)
	}
	one, other := strings.Repeat("é", 1000)+"a", strings.Repeat("é", 1000)+"b"
	require.Zero(t, testing.AllocsPerRun(10, func() { compareNames(one, other) }))
}

// TestMembersAreBounded: no object of a record has as many members, known or not,
// and nothing is written that would not be read.
func TestMembersAreBounded(t *testing.T) {
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%d":0,`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	raw := strings.TrimSuffix(strings.TrimSpace(string(sealed(t, session(1, 3)))), "}")
	_, err := Load(strings.NewReader(raw+`,"extra":{`+members(1000)+`}}`), "x")
	require.NoError(t, err)
	_, err = Load(strings.NewReader(raw+`,"extra":{`+members(maxMembers+1)+`}}`), "x")
	require.EqualError(t, err, "results: read x: /extra: more than 262144 members: no session has as many")
	_, err = Seal(&Record{Schema: SchemaVersion, State: Running, Runs: make([]Run, maxMembers)})
	require.ErrorContains(t, err, "/runs: 262144 of them, and a record holds no more than 262128")
	rec := session(1, 3)
	size := len(sealed(t, rec))
	_, err = seal(rec, size)
	require.NoError(t, err)
	_, err = seal(rec, size-1)
	require.ErrorContains(t, err, "keep it in several records")
}

// TestMismatchesAreBounded: of a record of which nothing is right, the first
// mismatches are named and the rest are counted.
func TestMismatchesAreBounded(t *testing.T) {
	raw := strings.TrimSuffix(strings.TrimSpace(string(sealed(t, session(1, 3)))), "}")
	ms, err := verify([]byte(raw + `,"extra":[1.0` + strings.Repeat(",1.0", 2*mostMismatches) + `]}`))
	require.NoError(t, err)
	require.Len(t, ms, mostMismatches+1)
	require.Equal(t, "/extra/0: altered: the number 1.0 should be written 1", ms[0].String())
	require.Equal(t, "/: and 1002 more", ms[mostMismatches].String())

	rows := make([]Row, 2*mostMismatches)
	f := File{Record: &Record{Summary: Summary{Rows: rows}}} // all of one name
	ms = f.Check(Summary{})
	require.Len(t, ms, mostMismatches+1)
	require.Equal(t, "/summary: and 1000 more", ms[mostMismatches].String())
	ms = (&File{Record: &Record{}}).Check(Summary{Rows: rows})
	require.Len(t, ms, mostMismatches+1)
}

func BenchmarkDerive(b *testing.B) {
	many := wide()
	wideRecords[0].of(2000, many)
	for name, rec := range map[string]*Record{"session": newWorld().record(), "readings": session(30, 6000), "scenarios": many} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := DeriveWithin(b.Context(), rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
