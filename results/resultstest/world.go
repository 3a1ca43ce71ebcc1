// Package resultstest makes records of machines that do not exist, for tests
// of what reads records: the truth behind every figure is known.
package resultstest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Node is a candidate.
type Node struct {
	Name    string
	CPU     string
	Idle    float64            // W
	Watts   map[string]float64 // by scenario
	Rates   map[string]float64 // by scenario/use, work a second
	Meter   string             // its source; nodes with one source share the meter
	Gain    float64            // relative, stated; 0 is not stated
	Error   float64            // relative, of every watt: what the meter gets wrong
	Between float64            // relative standard deviation between sessions
	Within  float64            // and between windows of one
	Drift   float64            // relative, of every rate over a session
	Slow    int                // one in so many windows of a use has three quarters of the rate and nine tenths of the watts; 0 for none
	Only    []string           // scenarios; nil is all but the control
	Cards   []results.Device   // beside the CPU; their scenarios are those of [UsesAt]
}

// Server is a plausible node: scale multiplies its rates.
func Server(name string, scale float64) Node {
	return Node{
		Name: name, CPU: "AMD EPYC 7543 32-Core Processor", Idle: 92, Meter: "pdu.example", Gain: 0.01, Between: 0.005, Within: 0.002,
		Watts: map[string]float64{"control": 236, "mining": 241, "training-mlp": 263, "compute": 278, "mullet": 271},
		Rates: map[string]float64{
			"control/control": 6.3e8 * scale, "mining/mining": 1.235e9 * scale, "training-mlp/training": 48_200 * scale, "compute/compute": 2.344e12 * scale,
			"mullet/training": 47_000 * scale, "mullet/mining": 4.1e7 * scale,
		},
	}
}

var order = []string{"idle", "mining", "training-mlp", "compute", "mullet"}

var uses = map[string][]results.Use{
	"control":           {{Use: "control", Workload: "hashscan", Impl: "stdlib", Role: results.Alone, Unit: results.Hash}},
	"mining":            {{Use: "mining", Workload: "hashscan", Impl: "shani", Role: results.Alone, Unit: results.Hash}},
	"training-mlp":      {{Use: "training", Workload: "training", Impl: "avx2", Role: results.Alone, Unit: results.Sample, FlopPerCount: 1.636e6, Params: map[string]string{"model": "mlp"}}},
	"training-gpt-mini": {{Use: "training", Workload: "training", Impl: "avx2", Role: results.Alone, Unit: results.Token, FlopPerCount: 5.6e6, Params: map[string]string{"model": "gpt-mini"}}},
	"compute":           {{Use: "compute", Workload: "matmul", Impl: "avx2", Role: results.Alone, Unit: results.FLOP, FlopPerCount: 1}},
	"mullet": {
		{Use: "training", Workload: "training", Impl: "avx2", Role: results.Foreground, Unit: results.Sample, FlopPerCount: 1.636e6, Params: map[string]string{"model": "mlp"}},
		{Use: "mining", Workload: "hashscan", Impl: "shani", Role: results.Background, Unit: results.Hash},
	},
}

// Session makes one complete record that keeps every rule: rounds of windows
// of 60 s, sampled every second. The same seed makes the same record.
func Session(n Node, number, rounds int, seed uint64) *results.Record {
	rng := rand.New(rand.NewPCG(seed, uint64(number))) // #nosec G115 G404 -- a made-up world is the same for the same seed
	order := order
	if n.Only != nil {
		order = n.Only
	}
	gain := results.Absent()
	if n.Gain > 0 {
		gain = results.Float(n.Gain)
	}
	start := time.Date(2026, 9, 14, 8, 30, 0, 0, time.UTC).Add(time.Duration(number) * 24 * time.Hour)
	rec := &results.Record{
		Schema: results.SchemaVersion, ID: fmt.Sprintf("01J8ZQ%08d%08d%04d", seed%1e8, crc(n.Name), number), Start: start, State: results.Complete,
		Tool: results.Tool{Name: "perwatt", Version: "test", Go: "go1.26"},
		Node: results.Node{Name: n.Name, OS: "linux", Kernel: "6.12.0", Arch: "amd64", Memory: 256 << 30,
			Devices:  []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Vendor: "AuthenticAMD", Model: n.CPU, Lanes: 64, Features: []string{"avx2", "sha_ni"}}},
			CPU:      results.CPU{Sockets: 1, Cores: 32, Clock: 2.8e9, Cache: []int64{32 << 10, 512 << 10, 256 << 20}},
			Settings: results.Settings{Governor: "performance", Turbo: "on", SMT: "on", CPUQuota: results.Absent(), CPUs: []int{}, PowerCap: results.Absent(), Load: 0.1}},
		Plan: results.Plan{Preset: "publish", Scenarios: slices.Clone(order), Rounds: rounds, Session: 1, Sessions: 1, Order: "ABBA", Threads: 64, Warmup: 30, Limit: 60, Window: 60, Interval: 1, Target: true,
			Meters: []string{"snmp:" + n.Meter}},
		Kernels: []results.Kernel{{Name: "sgemm", Device: results.CPUDevice, Chosen: "avx2", Why: "the fastest", Impls: []results.Impl{
			{Name: "avx2", Needs: []string{"avx2"}, Supported: true, Check: "ok", Rate: 8e10, Peak: 9e10, Unit: results.FLOP.Per(results.Second)}}}},
		Meters: []results.Meter{{Name: "snmp", Source: n.Meter, Period: 1, Channels: []results.Channel{{
			Name: "outlet3-power", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Measured, Total: results.Wall,
			Accuracy: results.Accuracy{Gain: gain, Resolution: 0.1, Source: "stated in the spec"}}}}},
		MeterProbes: []results.MeterProbe{}, Warnings: []results.Warning{},
	}
	rec.Node.Devices = append(rec.Node.Devices, n.Cards...)
	for _, c := range n.Cards {
		rec.Kernels = append(rec.Kernels, cardKernels(c.ID)...)
	}
	session := 1 + n.Between*rng.NormFloat64()
	t, last := 0.0, float64(rounds*len(order))*125
	for round := 1; round <= rounds; round++ {
		for i := range order {
			scenario := order[i]
			if round%2 == 0 {
				scenario = order[len(order)-1-i]
			}
			r := results.Run{Scenario: scenario, Round: round, Uses: []results.Use{}, Checks: []results.Check{}, Status: results.OK,
				Anchor: results.Anchor{T: results.Float(t), UTC: start.Add(time.Duration(t * 1e9))}}
			from, to := t+40, t+100
			r.Phases = []results.Phase{{Name: results.PhaseWarmup, From: results.Float(t + 8), To: results.Float(from)}, {Name: results.PhaseMeasure, From: results.Float(from), To: results.Float(to)}}
			trace := func(key results.TraceKey, unit results.Unit, kind results.Kind, f func(s float64) float64) {
				tr := results.Trace{Key: key, Unit: unit, Kind: kind}
				for s := 0.25; s < 110; s++ {
					tr.T, tr.V = append(tr.T, results.Float(t+s)), append(tr.V, results.Float(f(s)))
				}
				r.Traces = append(r.Traces, tr)
			}
			watts := n.Idle
			if w, ok := n.Watts[scenario]; ok {
				watts = w
			}
			watts *= (1 + n.Error) * (1 + n.Within*rng.NormFloat64()/4)
			slow := n.Slow > 0 && scenario != "idle" && (round+slices.Index(order, scenario))%n.Slow == 0
			if slow {
				watts *= 0.9
			}
			trace(results.MeterKey("snmp", "outlet3-power"), results.Watt, results.Gauge, func(s float64) float64 {
				if s < 8 && scenario != "idle" {
					return n.Idle
				}
				return watts * (1 + 0.001*rng.NormFloat64())
			})
			r.Traces[0].Boundary, r.Traces[0].Origin = results.Wall, results.Measured
			for _, u := range UsesAt(scenario) {
				u.Seed, u.Params = uint32(round), maps.Clone(u.Params)
				rate := n.Rates[scenario+"/"+u.Use] * session * (1 + n.Within*rng.NormFloat64()) * (1 + n.Drift*t/last)
				if slow {
					rate *= 0.75
				}
				r.Uses = append(r.Uses, u)
				trace(u.Key(results.TraceWork), u.Unit, results.Counter, func(s float64) float64 { return float64(int64(rate * s)) })
				trace(u.Key(results.TraceCPUTime), results.Second, results.Counter, func(s float64) float64 { return float64(u.Threads) / float64(len(UsesAt(scenario))) * s })
				r.Checks = append(r.Checks, results.Check{Use: u.Use, Device: u.Device, Name: "answers", OK: true})
			}
			busy := 0.2
			for _, u := range r.Uses {
				busy += float64(u.Threads) / float64(len(r.Uses))
			}
			trace(results.HostBusy, results.Second, results.Counter, func(s float64) float64 { return busy * s })
			trace(results.HostSteal, results.Second, results.Counter, func(float64) float64 { return 0 })
			trace(results.HarnessCPU, results.Second, results.Counter, func(s float64) float64 { return 0.1 * s })
			rec.Runs = append(rec.Runs, r)
			t += 125
		}
	}
	rec.End = start.Add(time.Duration(t * 1e9))
	rec.Summary = results.Derive(rec)
	return rec
}

// crc makes a number of a name.
func crc(s string) (n uint32) {
	for _, b := range []byte(s) {
		n = n*31 + uint32(b)
	}
	return n % 100_000_000
}
