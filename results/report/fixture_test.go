package report

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// session builds a record run by run, as a harness would have left it. The
// figures are made up; the summary is derived from the traces.
type session struct {
	rounds int
	window float64 // s
	meter  *results.Meter
	target bool
	broken func(scenario string, round int) (results.Status, string, []results.Check) // nil: all runs are good
	stop   int                                                                        // runs after which the session ends; 0: none
}

var (
	start     = time.Date(2026, 9, 14, 8, 30, 5, 0, time.UTC)
	scenarios = []string{"idle", "mining", "training-mlp", "training-cnn", "compute", "mullet"}
	watts     = map[string]float64{"idle": 92, "mining": 241, "training-mlp": 263, "training-cnn": 259, "compute": 278, "mullet": 271}

	mining   = results.Use{Use: "mining", Device: results.CPUDevice, Workload: "hashscan", Impl: "shani", Role: results.Alone, Threads: 64, Unit: results.Hash, FlopPerCount: results.Absent()}
	training = results.Use{Use: "training", Device: results.CPUDevice, Workload: "training", Impl: "avx2", Role: results.Alone, Threads: 64, Unit: results.Sample, FlopPerCount: 1_636_000, Params: map[string]string{"model": "mlp"}}
	convolve = results.Use{Use: "training", Device: results.CPUDevice, Workload: "training", Impl: "avx2", Role: results.Alone, Threads: 64, Unit: results.Sample, FlopPerCount: 24_995_328, Params: map[string]string{"model": "cnn"}}
	compute  = results.Use{Use: "compute", Device: results.CPUDevice, Workload: "matmul", Impl: "avx2", Role: results.Alone, Threads: 64, Unit: results.FLOP, FlopPerCount: 1}
	rates    = map[string]float64{
		"mining/mining": 1.2345e9, "training-mlp/training": 48_210, "training-cnn/training": 9_120, "compute/compute": 2.345e12,
		"mullet/training": 46_980, "mullet/mining": 4.1e7,
	}
)

func in(u results.Use, r results.Role) results.Use {
	u.Role = r
	return u
}

func usesOf(scenario string) []results.Use {
	return map[string][]results.Use{
		"mining": {mining}, "training-mlp": {training}, "training-cnn": {convolve}, "compute": {compute},
		"mullet": {in(training, results.Foreground), in(mining, results.Background)},
	}[scenario]
}

var (
	pdu = &results.Meter{Name: "pdu", Source: "snmp://192.0.2.7/outlet/4", Channels: []results.Channel{{
		Name: "outlet4", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Measured,
		Accuracy: results.Accuracy{Gain: 0.01, Resolution: 1}, Total: results.Wall,
	}}}
	modelled = &results.Meter{Name: "model", Source: "/proc/stat", Channels: []results.Channel{{
		Name: "node", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Modelled,
		Accuracy: results.Accuracy{Gain: 0.5, Resolution: results.Absent()}, Total: results.Wall,
	}}}
)

// wobble is a fixed disturbance of a few parts in a thousand.
func wobble(scenario string, round int) float64 {
	return 1 + 0.004*math.Sin(float64(round)*2.4+float64(len(scenario)))
}

func (s session) record() *results.Record {
	rec := &results.Record{
		Schema: results.SchemaVersion, ID: "01J8ZQ4M9Y4T7N6V5X3C2B1A0Z", Start: start,
		State: results.Complete, Tool: results.Tool{Name: "perwatt", Version: "v0.1.0", Go: "go1.26.0"},
		Node: results.Node{
			Name: "node7", OS: "linux", Kernel: "6.12.43", Arch: "amd64", Memory: 256 << 30,
			Devices:  []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Model: "AMD EPYC 7543 32-Core Processor", Lanes: 64}},
			CPU:      results.CPU{Sockets: 1, Cores: 32, Clock: 2.8e9},
			Settings: results.Settings{Governor: "performance", Microcode: "0xa0011d5", CPUQuota: results.Absent(), PowerCap: results.Absent(), Load: 0.1},
		},
		Plan: results.Plan{
			Preset: "quick", Scenarios: scenarios, Rounds: s.rounds, Session: 1, Sessions: 1, Order: "ABBA", Threads: 64,
			Warmup: 2, Window: results.Float(s.window), Interval: 1, Target: s.target,
		},
		Kernels: []results.Kernel{{Name: "sgemm", Device: results.CPUDevice, Chosen: "avx2", Impls: []results.Impl{
			{Name: "avx2", Supported: true, Rate: 80.4e9, Peak: 87.9e9, Unit: "FLOP/s"},
			{Name: "gonum", Supported: true, Rate: 9.7e9, Peak: results.Absent(), Unit: "FLOP/s"},
		}}},
		Warnings: []results.Warning{{Code: "governor", Text: "the clock is free to move: governor is performance, turbo is on", Remedy: "fix the frequency for a comparison"}},
		Digest:   results.Digest{Form: "sha256-jcs-parts", Record: "9f2b61c04d7ea1835ce0b6f2a7d9e4183c5b60718fd2e94ab6c3d10f57e8249a"},
	}
	if s.meter != nil {
		rec.Meters = []results.Meter{*s.meter}
	}
	t := 0.0
	for round := 1; round <= s.rounds; round++ {
		for i := range scenarios {
			scenario := scenarios[i]
			if round%2 == 0 {
				scenario = scenarios[len(scenarios)-1-i]
			}
			if s.stop > 0 && len(rec.Runs) == s.stop {
				rec.State = results.Interrupted
				continue
			}
			rec.Runs = append(rec.Runs, s.run(scenario, round, t))
			t += 5 + s.window
		}
	}
	rec.End = rec.Start.Add(time.Duration(t) * time.Second)
	rec.Summary = results.Derive(rec)
	return rec
}

func (s session) run(scenario string, round int, at float64) results.Run {
	r := results.Run{
		Scenario: scenario, Round: round, Uses: usesOf(scenario), Status: results.OK,
		Anchor: results.Anchor{T: results.Float(at), UTC: start.Add(time.Duration(at * float64(time.Second)))},
	}
	if s.broken != nil {
		if status, why, checks := s.broken(scenario, round); status != "" {
			r.Status, r.Error, r.Checks = status, why, checks
			return r
		}
	}
	end := at + 4 + s.window
	phase := func(name string, from, to float64) {
		r.Phases = append(r.Phases, results.Phase{Name: name, From: results.Float(from), To: results.Float(to)})
	}
	trace := func(key results.TraceKey, unit results.Unit, kind results.Kind, rate float64) {
		tr := results.Trace{Key: key, Unit: unit, Kind: kind}
		for x := at; x <= end; x++ {
			tr.T = append(tr.T, results.Float(x))
			if kind == results.Counter {
				tr.V = append(tr.V, results.Float(rate*(x-at)))
			} else {
				tr.V = append(tr.V, results.Float(rate))
			}
		}
		r.Traces = append(r.Traces, tr)
	}
	if s.target {
		for i, u := range r.Uses {
			if u.Use == "training" {
				r.Uses[i].Target = &results.Target{Metric: "accuracy", Goal: 0.95, Reached: 0.9523, Steps: 412 + 3*round, Samples: 64 * (412 + 3*round)}
				phase(results.PhaseTarget, at, at+0.61+0.01*float64(round%3))
			}
		}
	}
	phase(results.PhaseWarmup, at+1, at+3)
	phase(results.PhaseMeasure, at+3, at+3+s.window)
	busy := 0.0
	for _, u := range r.Uses {
		trace(u.Key(results.TraceWork), u.Unit, results.Counter, rates[scenario+"/"+u.Use]*wobble(scenario+u.Use, round))
		trace(u.Key(results.TraceCPUTime), results.Second, results.Counter, float64(u.Threads)/float64(len(r.Uses)))
		busy = float64(u.Threads)
	}
	stolen := 0.0
	if scenario == "compute" {
		stolen = 0.64 * (1 + float64(round)/2)
	}
	trace(results.HostSteal, results.Second, results.Counter, stolen)
	trace(results.HostBusy, results.Second, results.Counter, busy+0.1)
	trace(results.HarnessCPU, results.Second, results.Counter, 0.02)
	trace(results.TraceKey{Kind: results.TraceClock, Device: results.CPUDevice}, results.Hertz, results.Gauge, 3.1e9)
	if s.meter != nil {
		c := s.meter.Channels[0]
		trace(results.MeterKey(s.meter.Name, c.Name), c.Unit, c.Kind, watts[scenario]*wobble("watts"+scenario, round))
	}
	return r
}

// broken fails runs in each way there is.
func broken(scenario string, round int) (results.Status, string, []results.Check) {
	switch fmt.Sprint(scenario, round) {
	case "mining2":
		return results.Void, "", []results.Check{
			{Use: "mining", Device: results.CPUDevice, Name: "known-header", OK: true},
			{Use: "mining", Device: results.CPUDevice, Name: "nonces", Detail: "nonce 0x9962e301 does not solve the genesis header"},
		}
	case "training3":
		return results.Failed, "worker training: killed (signal 9) after 2.1 s: the kernel's log may name the OOM killer", nil
	case "compute4":
		return results.Stopped, "interrupt", nil
	}
	return "", "", nil
}

var sessions = map[string]session{
	"measured":    {rounds: 10, window: 10, meter: pdu, target: true},
	"modelled":    {rounds: 6, window: 10, meter: modelled, target: true},
	"smoke":       {rounds: 1, window: 1, meter: pdu},
	"interrupted": {rounds: 6, window: 10, meter: pdu, target: true, broken: broken, stop: 18},
	"none":        {rounds: 6, window: 10, target: true},
}

func TestFixturesAreWhatTheyClaim(t *testing.T) {
	for name, s := range sessions {
		require.Len(t, s.record().Summary.Rows, 7, name)
	}
	require.Equal(t, results.Grade("C"), sessions["measured"].record().Summary.Rows[1].Metrics[results.Power].Grade)
	require.NotNil(t, sessions["modelled"].record().Summary.CoRunCost)
	require.Equal(t, results.Grade("E"), sessions["modelled"].record().Summary.Rows[1].Metrics[results.Power].Grade)
	require.True(t, sessions["none"].record().Summary.Rows[1].Metrics[results.Power].Value.IsAbsent())
	require.Equal(t, results.Interrupted, sessions["interrupted"].record().State)
}
