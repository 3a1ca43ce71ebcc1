// Benchmarks of every use with every implementation that a device of this machine
// supports; the CPU, unlike others, is not named. Without a GPU there are rows of
// the CPU alone; a CPU behind OpenCL is measured only by its name:
//
//	go test -run '^$' -bench . ./bench
//	PERWATT_METER=rapl go test -run '^$' -bench Mining -count 10 ./bench | benchstat -
//	PERWATT_DEVICE=opencl:0 go test -run '^$' -bench Compute ./bench
//
// The lines say where the watts come from, so that benchstat never compares
// two kinds of them, and which direction of each unit is better.
package bench_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/all"
	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/power"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	"github.com/perwatt/perwatt/kernels/device"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
)

var meterSpec = flag.String("meter", cmp.Or(os.Getenv("PERWATT_METER"), "auto"), "meter to read in benchmarks, as in perwatt run; default $PERWATT_METER, else auto")

var deviceSpec = flag.String("device", cmp.Or(os.Getenv("PERWATT_DEVICE"), devices.Auto), "device to benchmark, as in perwatt run; default $PERWATT_DEVICE, else auto")

// op is what one iteration of a benchmark is, in counts: enough that b.N stays
// within what package testing allows.
var op = map[results.Unit]int{results.Hash: 1, results.Sample: 1, results.FLOP: 1000, results.Byte: 1000}

func BenchmarkMining(b *testing.B)   { benchmarkUse(b, "mining") }
func BenchmarkTraining(b *testing.B) { benchmarkUse(b, "training") }
func BenchmarkCompute(b *testing.B)  { benchmarkUse(b, "compute") }
func BenchmarkMemory(b *testing.B)   { benchmarkUse(b, "memory") }

// directions tells benchstat, once, which way each unit is better.
var directions = sync.OnceFunc(func() {
	for _, unit := range []string{"hash/s", "samples/s", "FLOP/s", "B/s", "hash/J", "samples/J", "FLOP/J", "B/J"} {
		fmt.Printf("Unit %s better=higher\n", unit)
	}
	for _, unit := range []string{"W", "J/TH", "J/sample", "J/GFLOP", "J/GB"} {
		fmt.Printf("Unit %s better=lower\n", unit)
	}
})

// subject is a device with the kernels that were chosen for it.
type subject struct {
	on      device.Device
	kernels []results.Kernel
}

// processors opens the devices beside the CPU that the flag selects, once for all
// benchmarks, and tries their kernels.
var processors = sync.OnceValues(func() (of []subject, err error) {
	on, err := selected()
	if err != nil {
		return nil, err
	}
	for _, info := range on {
		if !info.Processor() {
			continue
		}
		p, err := devices.Open(device.Config{Info: info})
		if err != nil {
			return nil, err
		}
		kernels, err := all.Kernels(context.Background(), p, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", info.ID, err)
		}
		of = append(of, subject{p, kernels})
	}
	return of, nil
})

// selected are the devices that the flag names, of those that drivers find.
var selected = sync.OnceValues(func() ([]device.Info, error) {
	var found []device.Found
	for _, d := range devices.Drivers() {
		found = append(found, devices.Probe(d))
	}
	return devices.Select(*deviceSpec, devices.Merge(found...))
})

// subjects are the devices to benchmark, the CPU first and with all of GOMAXPROCS.
func subjects(b *testing.B) (of []subject) {
	on, err := selected()
	require.NoError(b, err)
	for _, info := range on {
		if !info.Processor() {
			cpu := devices.Describe(device.Config{Info: info, Threads: runtime.GOMAXPROCS(0)})
			kernels, err := all.Kernels(b.Context(), cpu, nil, nil)
			require.NoError(b, err)
			of = append(of, subject{cpu, kernels})
		}
	}
	others, err := processors()
	require.NoError(b, err)
	return append(of, others...)
}

// benchmarkUse runs the use of a name, and those that are the same with another
// precision or another path of memory, compute-bf16 or memory-upload, wherever they
// run.
func benchmarkUse(b *testing.B, family string) {
	meters, _, err := powerall.Open(b.Context(), []string{*meterSpec}, powerall.Roots{})
	require.NoError(b, err)
	b.Cleanup(func() {
		for _, m := range meters {
			require.NoError(b, m.Close())
		}
	})
	host, err := os.Hostname()
	require.NoError(b, err)
	head := results.Derive(&results.Record{Meters: harness.Describe(meters)}).PrimaryMeter
	source, boundary, grade := "none", "none", "none"
	if head != nil {
		source, boundary = head.Meter, string(head.Boundary)
		grade = string(results.GradeOf(head.Boundary, head.Origin, nil, 1))
	}
	of, rows := subjects(b), 0
	for _, s := range of {
		info := s.on.Info()
		for _, use := range all.Uses() {
			name, kind, kinds := strings.Cut(use.Name, "-")
			if name != family || !all.Runs(use.Name, info) {
				continue
			}
			models := all.Models(use.Name, info)
			if len(models) == 0 {
				models = []string{""}
			}
			k := s.kernels[slices.IndexFunc(s.kernels, func(k results.Kernel) bool { return k.Name == use.Kernels(info)[0] && k.Device == info.ID })]
			for i, model := range models {
				for _, im := range k.Impls {
					// Networks beyond the first only by the row that would be chosen: the
					// slow ones take minutes to show that they multiply rightly.
					if !im.Supported || i > 0 && im.Name != k.Chosen {
						continue
					}
					// testing prints a benchmark's name before it runs; between two
					// benchmarks is the place for what they do not share.
					chosen := "no"
					if im.Name == k.Chosen {
						chosen = "yes"
					}
					fmt.Printf("node: %s\nimpl: %s\nchosen: %s\npower-source: %s\npower-boundary: %s\npower-grade: %s\n", host, im.Name, chosen, source, boundary, grade)
					if info.Processor() {
						fmt.Printf("device-model: %s\n", results.Line(info.Name, 80))
					} else if len(of) > 1 { // no longer that of the benchmark before
						fmt.Print("device-model:\n")
					}
					directions()
					rows++
					cfg := all.Config(use.Name, info, s.kernels)
					cfg.Impl, cfg.Device, cfg.Seed = im.Name, s.on, 1
					var labels []string
					if kinds { // as [report] writes it
						labels = append(labels, map[string]string{"compute": "precision", "training": "precision", "memory": "path"}[name]+"="+kind)
					}
					if model != "" {
						cfg.Params["model"] = model
						labels = append(labels, "model="+model)
					}
					if info.Processor() {
						labels = append(labels, "device="+info.ID)
					}
					b.Run(strings.Join(append(labels, "impl="+im.Name), "/"), func(b *testing.B) {
						w, err := use.New(cfg)
						require.NoError(b, err)
						defer w.Close()
						require.NoError(b, w.Prepare(b.Context()))
						measure(b, w, info, meters)
						for _, c := range w.Check() {
							require.True(b, c.OK, "%s: %s", c.Name, c.Detail)
						}
					})
				}
			}
		}
	}
	if rows == 0 {
		b.Skipf("no device of %s runs it", *deviceSpec)
	}
}

// measure runs w until it has finished b.N operations after a start that is
// not counted, reads the meters meanwhile, and reports what the record's own
// arithmetic makes of it.
func measure(b *testing.B, w bench.Workload, on device.Info, meters []power.Meter) {
	info := w.Info()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	counter, ended := bench.NewCounter(), make(chan error, 1)
	t0, origin := time.Now(), bench.Monotonic()
	run := results.Run{Status: results.OK, Uses: []results.Use{{Use: info.Use, Device: info.Device, Unit: info.Unit}}}
	work := &results.Trace{Key: run.Uses[0].Key(results.TraceWork), Unit: info.Unit, Kind: results.Counter}
	traces := map[results.TraceKey]*results.Trace{}
	readMeters := func() {
		for _, m := range meters {
			readings, err := m.Read(ctx)
			require.NoError(b, err)
			for i, c := range m.Info().Channels {
				key := results.MeterKey(m.Info().Name, c.Name)
				if traces[key] == nil {
					traces[key] = &results.Trace{Key: key, Unit: c.Unit, Kind: c.Kind}
				}
				r, tr := readings[i], traces[key]
				v := results.Float(r.Value)
				if r.Err != nil {
					v = results.Absent()
				}
				tr.T, tr.V = append(tr.T, results.Float(r.At.Sub(t0).Seconds())), append(tr.V, v)
			}
		}
	}
	readMeters() // before the first count, as after the last
	go func() { ended <- w.Run(ctx, counter) }()
	next := time.Now().Add(100 * time.Millisecond)
	var first uint64
	for target := uint64(b.N * op[info.Unit]); ; time.Sleep(time.Millisecond) {
		select {
		case err := <-ended:
			b.Fatalf("%s stopped by itself: %v", info.Name, err)
		default:
		}
		if time.Now().After(next) {
			readMeters()
			next = time.Now().Add(100 * time.Millisecond)
		}
		count, at, ok := counter.Load()
		t := results.Float(float64(at-origin) / 1e9)
		if !ok || count == 0 || len(work.T) > 0 && t <= work.T[len(work.T)-1] {
			continue
		}
		if len(work.T) == 0 {
			first = count
			b.ResetTimer()
		}
		work.T, work.V = append(work.T, t), append(work.V, results.Float(count))
		if len(work.T) > 1 && count-first >= target {
			break
		}
	}
	b.StopTimer()
	readMeters()
	cancel()
	require.NoError(b, <-ended)

	run.Phases = []results.Phase{{Name: results.PhaseMeasure, From: work.T[0], To: work.T[len(work.T)-1]}}
	run.Traces = append(run.Traces, *work)
	for _, tr := range traces {
		run.Traces = append(run.Traces, *tr)
	}
	rec := &results.Record{Meters: harness.Describe(meters), Runs: []results.Run{run}}
	rec.Node.Devices = []results.Device{{ID: on.ID, Kind: results.DeviceKind(on.Kind), Model: on.Name, PCI: on.PCI, UUID: on.UUID}}
	rec.Summary = results.Derive(rec)
	win := rec.Summary.Windows()[0]
	many, per, scale := string(info.Unit), "J/sample", 1.0
	switch info.Unit {
	case results.Sample:
		many = "samples"
	case results.Hash:
		per, scale = "J/TH", 1e12
	case results.FLOP:
		per, scale = "J/GFLOP", 1e9
	case results.Byte:
		per, scale = "J/GB", 1e9
	}
	report := func(v results.Float, unit string) {
		if !v.IsAbsent() {
			b.ReportMetric(float64(v), unit)
		}
	}
	report(win.Throughput(), many+"/s")
	report(win.Power(), "W")
	report(win.Work/win.Energy, many+"/J")
	report(win.Energy/win.Work*results.Float(scale), per)
	b.ReportMetric(0, "ns/op") // an operation has no meaning beside the count
}
