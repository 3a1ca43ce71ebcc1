package fleettest

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
)

// Record is the small, finished record of a job: a window of mining without a meter, from
// start to end of the session by the node's clock. Its identifier follows from the job.
func Record(job fleet.Job, start, end time.Time) *results.Record {
	start, end = start.UTC(), end.UTC()
	var id ulid.ULID
	sum := sha256.Sum256(fmt.Append(nil, job.Fleet, job.Node.Name, job.Attempt))
	id.SetTime(uint64(max(0, start.UnixMilli()))) // #nosec G104 G115 -- 48 bits last until 10889
	id.SetEntropy(sum[:10])                       // #nosec G104 -- 10 bytes, as it asks
	rec := &results.Record{
		Schema: results.SchemaVersion, ID: id.String(), Start: start, End: end, State: results.Complete,
		Tool: results.Tool{Name: "perwatt", Version: "test", Go: "go1.26"},
		Node: results.Node{Name: job.Node.Name, OS: "linux", Kernel: "6.12.0", Arch: "amd64", Memory: 64 << 30,
			Devices:  []results.Device{{ID: results.CPUDevice, Kind: results.KindCPU, Model: "Simulated", Lanes: 8}},
			CPU:      results.CPU{Sockets: 1, Cores: 8, Clock: results.Absent(), Cache: []int64{}},
			Settings: results.Settings{CPUQuota: results.Absent(), CPUs: []int{}, PowerCap: results.Absent(), Load: results.Absent()}},
		Plan: results.Plan{Preset: "smoke", Scenarios: []string{"mining"}, Rounds: 1, Session: 1, Sessions: 1, Order: "ABBA", Threads: 8, Warmup: 1, Limit: 1, Window: 5, Interval: 1, Meters: []string{"none"},
			Fleet: &results.Fleet{Run: job.Fleet, Node: job.Node.Name, Attempt: job.Attempt, Together: job.Together}},
		Kernels: []results.Kernel{}, Meters: []results.Meter{}, MeterProbes: []results.MeterProbe{}, Warnings: []results.Warning{},
	}
	use := results.Use{Use: "mining", Device: results.CPUDevice, Workload: "hashscan", Impl: "shani", Role: results.Alone, Threads: 8, Unit: results.Hash}
	work := results.Trace{Key: use.Key(results.TraceWork), Unit: results.Hash, Kind: results.Counter}
	for t := range 8 {
		work.T, work.V = append(work.T, results.Float(t)), append(work.V, results.Float(1_000_000*t))
	}
	rec.Runs = []results.Run{{
		Scenario: "mining", Round: 1, Uses: []results.Use{use}, Status: results.OK,
		Phases: []results.Phase{{Name: results.PhaseWarmup, From: 0, To: 1}, {Name: results.PhaseMeasure, From: 1, To: 6}},
		Traces: []results.Trace{work}, Anchor: results.Anchor{T: 0, UTC: start},
		Checks: []results.Check{{Use: "mining", Device: results.CPUDevice, Name: "answers", OK: true}},
	}}
	rec.Summary = results.Derive(rec)
	return rec
}
