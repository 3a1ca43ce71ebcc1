package resultstest

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Device is one that mines against a pool and makes shares at a rate. Now and
// then it is gone, and a part of its shares comes too late. It draws 3 kW.
type Device struct {
	Name    string
	Rate    float64 // shares/s
	Window  float64 // s
	Windows int
	Sample  float64 // s
	Stale   float64 // share of its shares
	Gone    float64 // breaks per s
	Each    float64 // s of a break, on average
	Swing   float64 // of its rate, relative, to and fro in 100 s
	Refused float64 // per s: duplicates
}

// ShareWork is what one of its shares stands for, in hashes.
const ShareWork = 4295032833 * 1024.

const swingTime = 100. // s

// Record makes a session on the device, its windows one after the other, and
// says for how long it was gone, in s. To the pool it is away until it hands in
// a share again.
func (d Device) Record(r *rand.Rand) (rec *results.Record, away float64) {
	start := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	rec = &results.Record{Schema: results.SchemaVersion, ID: "01KDYBS1CY0000000000000000", Start: start, End: start, State: results.Complete,
		Tool: results.Tool{Name: "perwatt", Version: "test", Go: "go1.26"},
		Node: results.Node{
			Name: d.Name, CPU: results.CPU{Clock: results.Absent()},
			Devices:  []results.Device{{ID: results.MinerDevice, Kind: results.KindMiner, Model: "Simulated ASIC"}},
			Settings: results.Settings{CPUQuota: results.Absent(), PowerCap: results.Absent(), Load: results.Absent()},
		},
		Plan:   results.Plan{Preset: "pool", Scenarios: []string{"mining"}, Rounds: d.Windows, Window: results.Float(d.Window)},
		Meters: []results.Meter{{Name: "plug", Channels: []results.Channel{{Name: "w", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Measured, Total: results.Wall, Accuracy: results.Accuracy{Gain: 0.01, Resolution: 1e-3}}}}},
	}
	end := d.Window * float64(d.Windows)
	type span struct{ from, to float64 }
	var breaks []span
	if d.Gone > 0 {
		for t := r.ExpFloat64() / d.Gone; t < end; t += r.ExpFloat64() / d.Gone {
			to := min(end, t+r.ExpFloat64()*d.Each)
			breaks, t = append(breaks, span{t, to}), to
		}
	}
	var accepted, stale, refused []float64
	for t, most := 0.0, d.Rate*(1+d.Swing); ; {
		if t += r.ExpFloat64() / most; t >= end {
			break
		}
		out := slices.ContainsFunc(breaks, func(s span) bool { return s.from <= t && t < s.to })
		switch now := d.Rate * (1 + d.Swing*math.Copysign(1, math.Sin(2*math.Pi*t/swingTime))); {
		case out || r.Float64()*most > now:
		case r.Float64() < d.Stale:
			stale = append(stale, t)
		default:
			accepted = append(accepted, t)
		}
	}
	if d.Refused > 0 {
		for t := r.ExpFloat64() / d.Refused; t < end; t += r.ExpFloat64() / d.Refused {
			refused = append(refused, t)
		}
	}
	until := func(of []float64, t float64) results.Float {
		n, _ := slices.BinarySearch(of, t)
		return results.Float(n)
	}
	var back []float64 // the first share after each break
	for i, b := range breaks {
		away += b.to - b.from
		first := end
		for _, of := range [][]float64{accepted, stale} {
			if k, _ := slices.BinarySearch(of, b.to); k < len(of) {
				first = min(first, of[k])
			}
		}
		breaks[i].to = first
		switch { // who goes before it has handed in a share was never back
		case i > 0 && breaks[i-1].to >= b.from:
			breaks[i].from = first
		case first < end:
			back = append(back, first)
		}
	}
	for w := range d.Windows {
		from := float64(w) * d.Window
		run := results.Run{Scenario: "mining", Round: w + 1, Status: results.OK, Phases: []results.Phase{{Name: results.PhaseMeasure, From: results.Float(from), To: results.Float(from + d.Window)}},
			Anchor: results.Anchor{T: results.Float(from), UTC: start.Add(time.Duration(from * 1e9))},
			Uses:   []results.Use{{Use: "mining", Device: results.MinerDevice, Workload: "stratum", Impl: "device", Role: results.Alone, Threads: 1, Unit: results.Hash, FlopPerCount: results.Absent(), Shares: &results.Shares{Difficulty: 1024, Work: ShareWork, Agent: "sim/1"}}}}
		use := &run.Uses[0]
		shares := func(class string) results.TraceKey {
			key := use.Key(results.TraceShares)
			key.Channel = class
			return key
		}
		traces := []results.Trace{
			{Key: use.Key(results.TraceWork), Unit: results.Hash, Kind: results.Counter},
			{Key: shares(results.ShareAccepted), Unit: results.Share, Kind: results.Counter},
			{Key: shares(results.ShareStale), Unit: results.Share, Kind: results.Counter},
			{Key: shares("duplicate"), Unit: results.Share, Kind: results.Counter},
			{Key: use.Key(results.TraceAway), Unit: results.Second, Kind: results.Counter},
			{Key: use.Key(results.TraceBreaks), Unit: results.Ratio, Kind: results.Counter},
			{Key: use.Key(results.TraceResumed), Unit: results.Share, Kind: results.Counter},
			{Key: results.MeterKey("plug", "w"), Unit: results.Watt, Kind: results.Gauge, Boundary: results.Wall, Origin: results.Measured},
		}
		for i := range int(d.Window/d.Sample) + 1 {
			t := from + float64(i)*d.Sample
			gone, n := 0.0, 0
			for _, b := range breaks {
				if b.from < t {
					gone += min(t, b.to) - b.from
					n++
				}
			}
			a := until(accepted, t)
			for j, v := range []results.Float{a * ShareWork, a, until(stale, t), until(refused, t), results.Float(gone), results.Float(n), until(back, t), 3000} {
				traces[j].Add(results.Float(t), v, nil)
			}
		}
		run.Traces = traces
		rec.Runs = append(rec.Runs, run)
	}
	return rec, away
}
