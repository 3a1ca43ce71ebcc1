package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

const workerEnv = "PERWATT_TEST_WORKER"

// TestMain lets the test binary be its own worker.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		if err := Worker(context.Background(), openFixed, openScripted); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testWork are the uses of sessions in tests, where a CPU has no precision but fp32,
// and a GPU no control. Both train the models.
func testWork(models ...string) Work {
	training := []string{"training", "training-bf16"}
	onCards := []string{"training-bf16", "compute-bf16", "memory-copy"}
	runs := func(use string, on device.Info) bool {
		if on.Kind == device.CPU {
			return !slices.Contains(onCards, use)
		}
		return use != "control"
	}
	return Work{
		Uses: []string{"control", "mining", "training", "training-bf16", "compute", "memory", "compute-bf16", "memory-copy"},
		Variants: func(use string, on device.Info) []string {
			if slices.Contains(training, use) && runs(use, on) {
				return models
			}
			return nil
		},
		Runs: func(use string, on device.Info) bool { return !slices.Contains(training, use) && runs(use, on) },
	}
}

// testCPU and testGPU are devices that scripted workloads run on.
var (
	testCPU = device.Config{Info: device.Info{ID: "cpu", Kind: device.CPU}, Threads: 1, CPUs: []int{0}}
	testGPU = device.Config{Info: device.Info{ID: "cuda:0", Kind: device.GPU}}
)

// fixed is the device that it was configured as.
type fixed struct{ device.Config }

func (f fixed) Info() device.Info { return f.Config.Info }

func openFixed(c device.Config) (device.Device, error) { return fixed{c}, nil }

// scripted is a workload that finishes one unit a millisecond, however seldom
// a busy machine lets it run, or misbehaves as its parameters say.
type scripted struct {
	use string
	cfg bench.Config
}

func openScripted(use string, cfg bench.Config) (bench.Workload, error) {
	if cfg.Params["refuse"] != "" {
		return nil, fmt.Errorf("%w: told to refuse", bench.ErrUsage)
	}
	return &scripted{use, cfg}, nil
}

func (s *scripted) Info() bench.Info {
	name := "scripted"
	if strings.HasPrefix(s.use, "training") {
		name = results.Training
	}
	params := map[string]string{"again": strconv.FormatBool(s.cfg.Again)}
	maps.Copy(params, s.cfg.Params)
	return bench.Info{Name: name, Use: s.use, Device: s.cfg.Device.Info().ID, Impl: "test", Unit: results.Hash, Threads: 1, Seed: s.cfg.Seed, Params: params}
}

func (s *scripted) Prepare(context.Context) error {
	if s.cfg.Params["unprepared"] != "" {
		return errors.New("no memory for it")
	}
	return nil
}

func (s *scripted) Reach(ctx context.Context, done *bench.Counter) (results.Target, error) {
	for range 20 {
		time.Sleep(time.Millisecond)
		done.Add(1)
	}
	return results.Target{Metric: "accuracy", Goal: 0.9, Reached: 0.95, Steps: 20, Samples: 20}, ctx.Err()
}

func (s *scripted) Run(ctx context.Context, done *bench.Counter) error {
	began := time.Now()
	for said := int64(0); ; {
		now := time.Since(began).Milliseconds()
		done.Add(uint64(now - said))
		said = now
		late := now > 100 || ctx.Err() != nil // where a busy machine let it run but once
		switch {
		case late && s.cfg.Params["panic"] != "":
			panic("the kernel went astray")
		case late && s.cfg.Params["exit"] != "":
			return errors.New("device lost")
		case late && s.cfg.Params["hang"] != "":
			select {}
		case ctx.Err() != nil && s.cfg.Params["fall"] != "":
			return errors.New("device lost at the last launch")
		case ctx.Err() != nil:
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *scripted) Check() []results.Check {
	return []results.Check{{Name: "answer", OK: s.cfg.Params["wrong"] == "", Detail: "41 instead of 42"}}
}

func (s *scripted) Close() error { return nil }

// ramp is a meter that counts 100 J a second; fail is called with each reading.
type ramp struct {
	t0   time.Time
	read int
	fail func(n int) error
}

func (r *ramp) Info() power.Info {
	return power.Info{Name: "ramp", Channels: []results.Channel{
		{Name: "total", Unit: results.Joule, Kind: results.Counter, Boundary: results.Wall, Origin: results.Measured, Total: results.Wall},
	}}
}

func (r *ramp) Read(context.Context) ([]power.Reading, error) {
	r.read++
	now := time.Now()
	out := power.Reading{At: now, Value: 100 * now.Sub(r.t0).Seconds()}
	if r.fail != nil {
		out.Err = r.fail(r.read)
	}
	return []power.Reading{out}, nil
}

func (r *ramp) Close() error { return nil }

func newSession(t *testing.T, names ...string) *Session {
	t.Helper()
	return newSessionOn(t, []device.Config{testCPU}, names...)
}

func newSessionOn(t *testing.T, devices []device.Config, names ...string) *Session {
	t.Helper()
	var infos []device.Info
	for _, d := range devices {
		infos = append(infos, d.Info)
	}
	sc, err := Scenarios(names, infos, testWork("mlp"))
	require.NoError(t, err)
	rec := &results.Record{Plan: results.Plan{
		Rounds: 1, Settle: 0.01, Warmup: 0.1, Limit: 0.1, Window: 0.3, Interval: 0.02, Seed: 7,
	}}
	rec.Node.Devices = []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Lanes: 2}}
	for _, s := range sc {
		rec.Plan.Scenarios = append(rec.Plan.Scenarios, s.Name)
	}
	return &Session{
		Record: rec, Scenarios: sc, Meters: []power.Meter{&ramp{t0: time.Now()}},
		Devices: devices,
		Config:  func(Part) bench.Config { return bench.Config{} },
		Worker: func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), workerEnv+"=1")
			return cmd
		},
		Save:     func(*results.Record) error { return nil },
		Progress: func(Progress) {},
	}
}

// params makes the uses named misbehave.
func (s *Session) params(use, key string) {
	old := s.Config
	s.Config = func(p Part) bench.Config {
		c := old(p)
		if p.Use == use {
			c.Params = map[string]string{key: "1"}
		}
		return c
	}
}

// orphans lists live processes that this test binary started as workers.
func orphans(t *testing.T) (pids []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == fmt.Sprint(os.Getpid()) {
			pids = append(pids, string(b))
		}
	}
	return pids
}

func TestSessionMeasures(t *testing.T) {
	s := newSession(t)
	s.Record.Plan.Rounds, s.Record.Plan.Target, s.Record.Plan.Window = 2, true, 1
	saves := 0
	s.Save = func(rec *results.Record) error {
		if saves++; saves < 12 {
			require.Equal(t, results.Running, rec.State)
		}
		return nil
	}
	require.NoError(t, s.Run(t.Context()))
	rec := s.Record
	require.Equal(t, results.Complete, rec.State)
	require.Equal(t, 14, saves, "after every run")
	var order []string
	seeds, done := map[uint32]bool{}, map[string]bool{}
	for _, r := range rec.Runs {
		require.Equal(t, results.OK, r.Status, "%s: %s", r.Scenario, r.Error)
		order = append(order, r.Scenario)
		for _, u := range r.Uses {
			require.False(t, seeds[u.Seed], "a seed is used once")
			seeds[u.Seed] = true
			require.Equal(t, strconv.FormatBool(done[u.Use]), u.Params["again"], "%s was right before: less is checked", u.Use)
			done[u.Use] = true
			require.Equal(t, u.Use == "training", u.Target != nil)
			rate := r.Trace(u.Key(results.TraceWork)).Over(float64(measured(t, r).From), float64(measured(t, r).To))
			require.Greater(t, rate, results.Float(10))
		}
		joules := r.Trace(results.MeterKey("ramp", "total")).Over(float64(measured(t, r).From), float64(measured(t, r).To))
		require.InEpsilon(t, 100*float64(measured(t, r).To-measured(t, r).From), float64(joules), 1e-4, "one clock for work, watts and phases")
		for i := 1; i < len(r.Phases); i++ {
			require.GreaterOrEqual(t, r.Phases[i].From, r.Phases[i-1].To)
		}
	}
	forward := []string{"idle", "control", "mining", "training-mlp", "compute", "memory", "mullet"}
	backward := slices.Clone(forward)
	slices.Reverse(backward)
	require.Equal(t, append(forward, backward...), order)
	require.Len(t, rec.Summary.Rows, 8)
	require.Empty(t, orphans(t))
}

func measured(t *testing.T, r results.Run) results.Phase {
	t.Helper()
	p, ok := r.Phase(results.PhaseMeasure)
	require.True(t, ok)
	return p
}

// Whatever a worker does, its run ends with the reason in the record, the
// session goes on, and no process stays.
func TestSessionSurvivesItsWorkers(t *testing.T) {
	patience := stallLimit
	stallLimit = 1500 * time.Millisecond // well above what a busy machine keeps a worker waiting
	t.Cleanup(func() { stallLimit = patience })
	for _, c := range []struct {
		param  string
		status results.Status
		why    []string
	}{
		{"refuse", results.Failed, []string{"mining", "told to refuse"}},
		{"unprepared", results.Failed, []string{"mining", "no memory for it"}},
		{"panic", results.Failed, []string{"mining", "the worker died", "exit status 2", "the kernel went astray"}},
		{"exit", results.Failed, []string{"mining", "device lost"}},
		{"hang", results.Failed, []string{"mining", "hangs", "no work finished"}},
		{"wrong", results.Void, []string{"mining", "wrong answers", "41 instead of 42"}},
	} {
		t.Run(c.param, func(t *testing.T) {
			s := newSession(t, "mining", "compute")
			if c.param == "hang" {
				s.Record.Plan.Window = 3
			}
			s.params("mining", c.param)
			require.NoError(t, s.Run(t.Context()))
			require.Len(t, s.Record.Runs, 3)
			bad := s.Record.Runs[1]
			require.Equal(t, c.status, bad.Status)
			for _, w := range c.why {
				require.Contains(t, bad.Error, w)
			}
			require.Equal(t, results.OK, s.Record.Runs[2].Status, s.Record.Runs[2].Error)
			require.Equal(t, map[string]bool{"mining  cpu": false, "compute  cpu": true}, s.right)
			require.Empty(t, orphans(t))
			require.False(t, slices.ContainsFunc(s.Record.Summary.Rows, func(r results.Row) bool { return r.Use == "mining" }))
		})
	}
}

func TestSessionSurvivesKilledWorker(t *testing.T) {
	s := newSession(t, "mullet")
	s.Progress = func(p Progress) {
		if p.Scenario == "mullet" && p.Phase == results.PhaseMeasure {
			for _, stat := range orphans(t) {
				pid := 0
				_, _ = fmt.Sscan(stat, &pid)
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
				break
			}
		}
	}
	require.NoError(t, s.Run(t.Context()))
	require.Equal(t, results.Failed, s.Record.Runs[1].Status)
	require.Contains(t, s.Record.Runs[1].Error, "signal: killed")
	require.Empty(t, orphans(t))
}

// With TargetAlone a mullet has no target phase where the session trains the same alone,
// and has one where that is left to it.
func TestSessionReachesAlone(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  map[string]bool // whether a scenario's training has a target
	}{
		{[]string{"training", "mullet"}, map[string]bool{"training-mlp": true, "mullet": false}},
		{[]string{"mullet"}, map[string]bool{"mullet": true}},
	} {
		s := newSession(t, c.names...)
		s.Record.Plan.Target, s.Record.Plan.TargetAlone = true, true
		require.NoError(t, s.Run(t.Context()))
		got := map[string]bool{}
		for _, r := range s.Record.Runs {
			require.Equal(t, results.OK, r.Status, "%s: %s", r.Scenario, r.Error)
			_, phase := r.Phase(results.PhaseTarget)
			for _, u := range r.Uses {
				if u.Trains() {
					got[r.Scenario] = u.Target != nil
					require.Equal(t, u.Target != nil, phase)
				}
			}
		}
		require.Equal(t, c.want, got)
	}
}

func TestSessionStopsInEveryPhase(t *testing.T) {
	for _, phase := range []string{results.PhaseSettle, results.PhasePrepare, results.PhaseTarget, results.PhaseWarmup, results.PhaseMeasure, results.PhaseCool} {
		t.Run(phase, func(t *testing.T) {
			s := newSession(t, "training")
			s.Record.Plan.Rounds, s.Record.Plan.Target = 3, true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.Progress = func(p Progress) {
				if p.Run == 2 && p.Phase == phase {
					cancel()
				}
			}
			require.NoError(t, s.Run(ctx))
			require.Equal(t, results.Interrupted, s.Record.State)
			require.Len(t, s.Record.Runs, 3)
			require.Equal(t, results.OK, s.Record.Runs[1].Status)
			require.Equal(t, results.Stopped, s.Record.Runs[2].Status)
			for _, p := range s.Record.Runs[2].Phases {
				require.GreaterOrEqual(t, p.To, p.From, p.Name)
			}
			require.Len(t, s.Record.Summary.Rows, 2, "what is finished is kept")
			require.Empty(t, orphans(t))
		})
	}
}

// A signal that comes between two runs ends the session as one in a run does,
// and the record that was kept last says so.
func TestSessionStopsBetweenRuns(t *testing.T) {
	for _, at := range []string{"saved", "told"} {
		t.Run(at, func(t *testing.T) {
			s := newSession(t, "training")
			s.Record.Plan.Rounds = 3
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			kept := results.State("")
			s.Save = func(rec *results.Record) error {
				if kept = rec.State; at == "saved" {
					cancel()
				}
				return nil
			}
			s.Progress = func(p Progress) {
				if p.Ended != nil && at == "told" {
					cancel()
				}
			}
			require.NoError(t, s.Run(ctx))
			require.Equal(t, results.Interrupted, s.Record.State)
			require.Equal(t, results.Interrupted, kept)
			require.Equal(t, results.OK, s.Record.Runs[0].Status)
			require.Equal(t, results.Stopped, s.Record.Runs[len(s.Record.Runs)-1].Status)
			require.Empty(t, orphans(t))
		})
	}
}

func TestSessionEndsWhenNothingCanBeKept(t *testing.T) {
	s := newSession(t, "mining")
	s.Save = func(rec *results.Record) error {
		if len(rec.Runs) == 2 {
			return syscall.ENOSPC
		}
		return nil
	}
	s.Record.Plan.Rounds = 4
	err := s.Run(t.Context())
	require.ErrorIs(t, err, ErrSave)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Len(t, s.Record.Runs, 2)
}

func TestMeterThatVanishesCostsItsWattsOnly(t *testing.T) {
	s := newSession(t, "mining")
	s.Meters = []power.Meter{&ramp{t0: time.Now(), fail: func(n int) error {
		if n > 25 {
			return errors.New("unplugged")
		}
		return nil
	}}}
	require.NoError(t, s.Run(t.Context()))
	m := s.Record.Summary.Rows[1].Metrics
	require.False(t, m[results.Throughput].Value.IsAbsent())
	require.True(t, m[results.Power].Value.IsAbsent())
	require.True(t, slices.ContainsFunc(s.Record.Summary.Flags, func(w results.Warning) bool { return w.Code == "energy-gap" }))
	require.Contains(t, s.Record.Runs[1].Trace(results.MeterKey("ramp", "total")).Errors[0].Error, "unplugged")
}

// Without a window's far edge there is no figure: a meter that blocks is
// neither waited for without end nor extrapolated.
func TestMeterThatBlocks(t *testing.T) {
	s := newSession(t)
	s.Scenarios = s.Scenarios[:1]
	s.Meters = []power.Meter{&stuck{}}
	began := time.Now()
	require.NoError(t, s.Run(t.Context()))
	require.Less(t, time.Since(began), 30*time.Second)
	require.True(t, s.Record.Summary.Rows[0].Metrics[results.Power].Value.IsAbsent())
}

type stuck struct{ ramp }

func (s *stuck) Read(ctx context.Context) ([]power.Reading, error) {
	if s.read++; s.read < 5 {
		return []power.Reading{{At: time.Now(), Value: float64(s.read)}}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestMicro(t *testing.T) {
	require.Equal(t, results.Float(1.234568), micro(1.2345678))
	require.False(t, math.Signbit(float64(micro(0))))
}

// What sampling costs: 100 samples are ten seconds of a session at 10 Hz.
func BenchmarkSampling(b *testing.B) {
	h, err := openHost(here)
	require.NoError(b, err)
	defer h.times.close()
	p := &process{use: "mining", on: testCPU.Info, pid: os.Getpid(), counter: bench.NewCounter()}
	s := &sampler{clock: clock{t0: time.Now(), origin: bench.Monotonic()}, index: map[results.TraceKey]*results.Trace{}, procs: []*process{p}}
	before, err := selfCPU()
	require.NoError(b, err)
	for b.Loop() {
		p.counter.Add(1)
		s.sampleHost(h)
	}
	after, err := selfCPU()
	require.NoError(b, err)
	b.ReportMetric(100*10*(after-before).Seconds()/float64(b.N), "%core-at-10Hz")
}

// TestWaitsForMoves: around a window a counter is waited for that stands between
// readings, by its own pace; one that never moves, a gauge and what the harness
// itself counts are not.
func TestWaitsForMoves(t *testing.T) {
	trace := func(key results.TraceKey, kind results.Kind, v ...results.Float) *results.Trace {
		tr := &results.Trace{Key: key, Kind: kind}
		for i, v := range v {
			tr.T, tr.V = append(tr.T, results.Float(i)/10), append(tr.V, v)
		}
		return tr
	}
	rapl := results.MeterKey("rapl", "package-0")
	for _, c := range []struct {
		name          string
		tr            *results.Trace
		paces         map[results.TraceKey]time.Duration
		still, behind bool // at 0.35 s
		pace          time.Duration
	}{
		{"fast", trace(rapl, results.Counter, 1, 2, 3, 4, 5), nil, false, false, 0},
		{"stands", trace(rapl, results.Counter, 1, 1, 1, 1, 1), nil, true, false, 0},
		{"moved before the edge", trace(rapl, results.Counter, 1, 1, 2, 2, 2), nil, false, true, 0},
		{"moved after it", trace(rapl, results.Counter, 1, 2, 2, 2, 3), nil, false, false, 300 * time.Millisecond},
		{"one reading of what is fast", trace(rapl, results.Counter, 1), nil, false, true, 0},
		{"one reading of what stands", trace(rapl, results.Counter, 1), map[results.TraceKey]time.Duration{rapl: 0}, true, true, 0},
		{"a gauge", trace(rapl, results.Gauge, 5, 5, 5, 5, 5), nil, false, false, 0},
		{"work of a starved use", trace(results.UseKey(results.TraceWork, "mining", results.CPUDevice), results.Counter, 1, 1, 1, 1, 1), nil, false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sampler{traces: []*results.Trace{c.tr}}
			require.Equal(t, c.still, s.still(c.paces))
			require.Equal(t, c.behind, s.behind(0.35))
			require.Equal(t, c.pace, s.pace())
		})
	}
}

// What the operating system schedules has CPU time and the clock of its cores;
// what a device works through by itself has neither.
func TestOnlyScheduledDevicesHaveClockAndCPUTime(t *testing.T) {
	for _, c := range []struct {
		on        device.Config
		scheduled bool
	}{{testCPU, true}, {testGPU, false}} {
		t.Run(c.on.ID, func(t *testing.T) {
			s := newSessionOn(t, []device.Config{c.on}, "mining")
			require.NoError(t, s.Run(t.Context()))
			r := s.Record.Runs[1]
			require.Equal(t, results.OK, r.Status, r.Error)
			require.NotNil(t, r.Trace(results.UseKey(results.TraceWork, "mining", c.on.ID)))
			require.Equal(t, c.scheduled, r.Trace(results.UseKey(results.TraceCPUTime, "mining", c.on.ID)) != nil)
			require.Equal(t, c.scheduled, r.Trace(results.TraceKey{Kind: results.TraceClock, Device: c.on.ID}) != nil)
		})
	}
}
