package results

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// twoDevices is a record in whose compute and control runs a GPU does the same
// use at the same time as the CPU, ten times as fast, with the same kernel. The
// GPU's worker was stopped in round 2, its kernel is timed at ten times the rate,
// and only the CPU has a measured peak.
func twoDevices() *Record {
	const gpu = "gpu:0"
	w := newWorld()
	w.scenarios = []string{"idle", "control", "compute"}
	rec := w.record()
	rec.Node.Devices = append(rec.Node.Devices, Device{ID: gpu, Kind: KindGPU, Model: "H200"})
	kernel := rec.Kernels[1]
	kernel.Device, kernel.Impls = gpu, []Impl{{Name: "gonum", Rate: 4e10, Peak: Absent(), Unit: "FLOP/s"}}
	rec.Kernels = append(rec.Kernels, kernel)
	for i := range rec.Runs {
		r := &rec.Runs[i]
		if r.Scenario == "idle" {
			continue
		}
		cpu := r.Uses[0]
		other := cpu
		other.Device = gpu
		r.Uses = []Use{cpu, other}
		for _, kind := range []TraceKind{TraceWork, TraceCPUTime} {
			tr := *r.Trace(cpu.Key(kind))
			tr.Key, tr.V = other.Key(kind), slices.Clone(tr.V)
			for k := range tr.V {
				tr.V[k] *= map[TraceKind]Float{TraceWork: 10, TraceCPUTime: 0.02}[kind]
			}
			r.Traces = append(r.Traces, tr)
		}
		r.Traces = append(r.Traces, Trace{Key: TraceKey{Kind: TraceThrottles, Device: gpu}, Unit: Ratio, Kind: Counter, T: []Float{r.Anchor.T, r.Anchor.T + 4}, V: []Float{0, 3}})
		r.Checks = []Check{{Use: cpu.Use, Device: CPUDevice, Name: "values", OK: true}, {Use: cpu.Use, Device: gpu, Name: "values", OK: true}}
		if r.Scenario == "compute" && r.Round == 2 {
			r.step(other.Key(TraceSuspended), Counter, 1.5, 2.5, 1)
		}
	}
	return rec
}

// Two workloads of one use on two devices in one run are two of everything: no
// trace, row, figure or flag of one is taken for that of the other.
func TestTwoDevicesOfOneUse(t *testing.T) {
	rec, err := Read(bytes.NewReader(sealed(t, complete(twoDevices()))), "two devices")
	require.NoError(t, err)
	s := Derive(rec)
	rows := map[string]Row{}
	for i, r := range s.Rows {
		if r.Scenario == "compute" {
			rows[r.Device] = r
		}
		require.Equal(t, r.Device == "", r.Use == "idle")
		require.Equal(t, i, slices.IndexFunc(s.Rows, func(o Row) bool { return o.windows[0].row() == r.windows[0].row() }), "no other row has its key")
	}
	require.Len(t, rows, 2)
	cpu, gpu := rows[CPUDevice].Metrics, rows["gpu:0"].Metrics
	near(t, float64(10*cpu[Throughput].Value), gpu[Throughput].Value)
	near(t, float64(500*cpu[CPUThroughput].Value), gpu[CPUThroughput].Value)
	near(t, float64(cpu[KernelFraction].Value), gpu[KernelFraction].Value)
	near(t, float64(cpu[RelativeThroughput].Value), gpu[RelativeThroughput].Value) // each to the control on its own device
	require.False(t, cpu[PeakFraction].Value.IsAbsent())
	require.True(t, gpu[PeakFraction].Value.IsAbsent(), "the peak of the CPU is not that of the GPU")

	var devices []string
	for _, y := range s.Yields {
		devices = append(devices, y.Scenario+" "+y.Device)
	}
	require.Equal(t, []string{"control cpu", "control gpu:0", "compute cpu", "compute gpu:0"}, devices)
	require.Equal(t, []Check{{Use: "compute", Device: CPUDevice, Name: "values", OK: true}, {Use: "compute", Device: "gpu:0", Name: "values", OK: true}}, rec.Runs[2].Checks)

	flags := func(code string) (texts []string) {
		for _, f := range s.Flags {
			if f.Code == code {
				texts = append(texts, f.Run+": "+f.Text)
			}
		}
		return texts
	}
	require.Len(t, flags("suspended"), 1)
	require.True(t, strings.HasPrefix(flags("suspended")[0], "compute/2: the worker of compute on gpu:0 (H200) was stopped for 1.00 s"), flags("suspended"))
	require.Contains(t, flags("throttled"), "compute/1: gpu:0 (H200) slowed down for heat 3 times")
}

// The clock of a card is held against its own median in the scenario, for work of
// another kind has another clock.
func TestClockOfADevice(t *testing.T) {
	rec := twoDevices()
	for i := range rec.Runs {
		if r := &rec.Runs[i]; r.Scenario != "idle" {
			hz := Float(1.5e9)
			if r.Scenario == "control" {
				hz = 1.9e9
			}
			if r.Scenario == "compute" && r.Round == 3 {
				hz = 1.2e9
			}
			r.Traces = append(r.Traces, Trace{Key: TraceKey{Kind: TraceClock, Device: "gpu:0"}, Unit: Hertz, Kind: Gauge, T: []Float{r.Anchor.T}, V: []Float{hz}})
		}
	}
	var moved []string
	for _, f := range Derive(rec).Flags {
		if f.Code == "clock-moved" {
			moved = append(moved, f.Run+": "+f.Text)
		}
	}
	require.Equal(t, []string{"compute/3: the clock of gpu:0 (H200) was -20.0 % off the scenario's median of 1.50 GHz"}, moved)
}

// complete gives a record the members that a file must have.
func complete(rec *Record) *Record {
	rec.Schema, rec.ID, rec.State, rec.End = SchemaVersion, "01KDYBS1CY0000000000000000", Complete, rec.Start
	for i := range rec.Runs {
		for j := range rec.Runs[i].Traces {
			if tr := &rec.Runs[i].Traces[j]; tr.Unit == "" {
				tr.Unit = Ratio
			}
		}
	}
	return rec
}

// Names may hold what separated them once: each key is found again in a file.
func TestTraceKeysSurvive(t *testing.T) {
	keys := []TraceKey{
		MeterKey("pdu/1", "outlet"), MeterKey("pdu", "1/outlet"),
		UseKey(TraceWork, "mining/fast", CPUDevice), UseKey(TraceWork, "mining", "cpu/fast"), UseKey(TraceWork, "mining", CPUDevice), UseKey(TraceWork, "harness", CPUDevice),
		{Kind: TraceRoundTrip, Meter: "pdu/1"}, {Kind: TraceClockOffset, Meter: "pdu/1"},
		UseKey(TraceSuspended, "harness", CPUDevice),
		{Kind: TraceShares, Use: "mining", Device: MinerDevice, Channel: "low/difficulty"},
	}
	for _, kind := range traceKinds {
		keys = append(keys, TraceKey{Kind: kind})
	}
	rec := complete(newWorld().record())
	rec.Runs = rec.Runs[:1]
	rec.Runs[0].Traces = nil
	for i, key := range keys {
		rec.Runs[0].Traces = append(rec.Runs[0].Traces, Trace{Key: key, Unit: Ratio, Kind: Gauge, T: []Float{1}, V: []Float{Float(i)}})
	}
	got, err := Read(bytes.NewReader(sealed(t, rec)), "keys")
	require.NoError(t, err)
	for i, key := range keys {
		require.Equal(t, Float(i), got.Runs[0].Trace(key).V[0], key)
	}
	require.Nil(t, got.Runs[0].Trace(TraceKey{Kind: TraceMeter, Meter: "pdu/1/outlet"}))
}

func TestHardware(t *testing.T) {
	n := Node{Devices: []Device{
		{ID: CPUDevice, Kind: KindCPU, Model: " AMD  EPYC 7543", Lanes: 64},
		{ID: "gpu:0", Kind: KindGPU, Model: "H200", PCI: "0000:01:00.0", UUID: "a", Driver: "1"},
		{ID: "gpu:1", Kind: KindGPU, Model: "H200", PCI: "0000:02:00.0", UUID: "b", Driver: "2"},
		{ID: "accelerator:0", Kind: KindAccelerator, Model: "H200"},
		{ID: "accelerator:1", Kind: KindAccelerator},
	}}
	require.Equal(t, []DeviceCount{{KindCPU, "AMD EPYC 7543", 1}, {KindGPU, "H200", 2}, {KindAccelerator, "H200", 1}, {KindAccelerator, "", 1}}, n.Hardware())
	require.Equal(t, "AMD EPYC 7543 + 2 × H200 + H200", n.Models())
	require.Equal(t, 64, n.Threads())
	require.Equal(t, "b", n.Device("gpu:1").UUID)
	require.Zero(t, n.Device("gpu:2"))
	require.Empty(t, new(Node).Models())

	rec := complete(newWorld().record())
	rec.Node.Devices = append(rec.Node.Devices, rec.Node.Devices[0])
	_, err := Seal(rec)
	require.ErrorContains(t, err, `/node/devices/1/id: "cpu" is the id of another device, too`)
}
