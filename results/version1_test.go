package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// version1Golden is a record of version 1 with every member set. It is never
// rewritten.
const version1Golden = "testdata/record-v1.json"

// A record of version 1 is verified as it was written, keeps every member that
// both versions have, and has no summary until one is derived.
func TestReadVersion1(t *testing.T) {
	f, err := LoadFile(version1Golden)
	require.NoError(t, err)
	require.Empty(t, f.Verify())
	require.Zero(t, f.Record.Summary, "it is derived where it is needed")
	require.Empty(t, f.Check(Derive(f.Record)), "that of version 1 had other definitions")

	raw := f.Raw // its traces have names that never existed
	for n := 0; bytes.Contains(raw, []byte(`"of": "text`)); n++ {
		raw = bytes.Replace(raw, []byte(`"of": "text`), fmt.Appendf(nil, `"of": "work/%d`, n), 1)
	}
	rec, err := Read(bytes.NewReader(raw), "v1")
	require.NoError(t, err)
	var want, got map[string]any
	require.NoError(t, json.Unmarshal(raw, &want))
	require.NoError(t, json.Unmarshal(sealed(t, rec), &got))
	want["meter_probes"] = want["sought"]
	delete(want, "sought")
	cpu, devices := want["node"].(map[string]any)["cpu"].(map[string]any), got["node"].(map[string]any)["devices"].([]any)
	device := devices[0].(map[string]any)
	for now, then := range map[string]string{"vendor": "vendor", "model": "model", "lanes": "threads", "features": "features"} {
		require.Equal(t, cpu[then], device[now], now)
		delete(cpu, then)
	}
	require.Len(t, devices, 1+len(want["node"].(map[string]any)["devices"].([]any)))
	strip(want, "schema", "digest", "summary", "devices", "of")
	strip(got, "schema", "digest", "summary", "devices", "key", "device")
	for _, r := range want["runs"].([]any) { // claims have a device in both
		for _, c := range r.(map[string]any)["claims"].([]any) {
			delete(c.(map[string]any), "device")
		}
	}
	require.Equal(t, want, got)
}

// strip deletes members wherever they stand, but not of the figures of claims,
// which are of something in both versions.
func strip(v any, names ...string) {
	switch v := v.(type) {
	case map[string]any:
		for _, n := range names {
			delete(v, n)
		}
		for k, e := range v {
			if k != "said" {
				strip(e, names...)
			}
		}
	case []any:
		for _, e := range v {
			strip(e, names...)
		}
	}
}

// What version 1 wrote by name is found by key.
func TestKeysOfVersion1(t *testing.T) {
	cpu := func(kind TraceKind, use string) TraceKey { return UseKey(kind, use, CPUDevice) }
	for name, want := range map[string]TraceKey{
		"work/mining":             cpu(TraceWork, "mining"),
		"work/a/b":                cpu(TraceWork, "a/b"),
		"cpu/mining":              cpu(TraceCPUTime, "mining"),
		"suspended/mining":        cpu(TraceSuspended, "mining"),
		"suspended/harness":       HarnessSuspended,
		"suspended/machine":       MachineSuspended,
		"shares/mining/accepted":  {Kind: TraceShares, Use: "mining", Device: CPUDevice, Channel: ShareAccepted},
		"shares/a/b/low":          {Kind: TraceShares, Use: "a/b", Device: CPUDevice, Channel: "low"},
		"luck/mining":             cpu(TraceLuck, "mining"),
		"away/mining":             cpu(TraceAway, "mining"),
		"breaks/mining":           cpu(TraceBreaks, "mining"),
		"resumed/mining":          cpu(TraceResumed, "mining"),
		"meter/rapl/package-0":    MeterKey("rapl", "package-0"),
		"meter/pdu/bank/outlet":   MeterKey("pdu/bank", "outlet"), // as the record's meters have it
		"meter/other/bank/outlet": MeterKey("other", "bank/outlet"),
		"round-trip/pdu/bank":     {Kind: TraceRoundTrip, Meter: "pdu/bank"},
		"clock/pdu":               {Kind: TraceClockOffset, Meter: "pdu"},
		"host/clock":              {Kind: TraceClock, Device: CPUDevice},
		"host/throttles":          {Kind: TraceThrottles, Device: CPUDevice},
		"host/steal":              HostSteal,
		"host/busy":               HostBusy,
		"host/self":               HarnessCPU,
		"host/wall":               HostWall,
		"host/memory-some":        HostMemorySome,
		"host/memory-full":        HostMemoryFull,
		"cgroup/memory-some":      GroupMemorySome,
		"cgroup/memory-full":      GroupMemoryFull,
		"cgroup/held":             QuotaHeld,
	} {
		rec := &Record{
			Meters: []Meter{{Name: "pdu/bank", Channels: []Channel{{Name: "outlet"}}}},
			Runs:   []Run{{Traces: []Trace{{Key: TraceKey{Channel: "host/no-such-quantity"}}, {Key: TraceKey{Channel: name}}}}},
		}
		new(version1).upgrade(rec)
		require.Len(t, rec.Runs[0].Traces, 1, "what never was is dropped")
		require.Equal(t, want, rec.Runs[0].Traces[0].Key, name)
	}
}

// Version 1 kept mining hardware where it kept the CPU.
func TestMinerOfVersion1(t *testing.T) {
	v := version1{cpu: cpu1{Model: "Antminer S19"}, devices: []device1{{Kind: "miner", Name: "S19/2.1", ID: "192.0.2.7"}}}
	rec := &Record{
		Node: Node{Settings: Settings{Microcode: "2.1"}},
		Runs: []Run{{Uses: []Use{{Use: "mining", Shares: &Shares{}}}, Checks: []Check{{Use: "mining"}}, Traces: []Trace{{Key: TraceKey{Channel: "work/mining"}}}}},
	}
	v.upgrade(rec)
	require.Equal(t, []Device{{ID: MinerDevice, Kind: KindMiner, Model: "Antminer S19", Firmware: "2.1"}}, rec.Node.Devices)
	require.Empty(t, rec.Node.Settings.Microcode)
	r := rec.Runs[0]
	require.Equal(t, "192.0.2.7", r.Uses[0].Shares.Address)
	require.NotNil(t, r.Trace(r.Uses[0].Key(TraceWork)))
	require.Equal(t, MinerDevice, r.Checks[0].Device)

	v = version1{cpu: cpu1{Model: "AMD EPYC 7543", Threads: 64}, devices: []device1{{"gpu", "H200", "0000:01:00.0"}, {"fpga", "U50", "0000:02:00.0"}, {"gpu", "H200", "0000:03:00.0"}}}
	rec = new(Record)
	v.upgrade(rec)
	var ids []string
	for _, d := range rec.Node.Devices {
		ids = append(ids, strings.Join([]string{d.ID, string(d.Kind), d.Model, d.PCI}, " "))
	}
	require.Equal(t, []string{"cpu cpu AMD EPYC 7543 ", "gpu:0 gpu H200 0000:01:00.0", "accelerator:0 accelerator U50 0000:02:00.0", "gpu:1 gpu H200 0000:03:00.0"}, ids)
	require.Equal(t, 64, rec.Node.Threads())
}

// A record of the present version is no record of version 1, and the reverse.
func TestVersionsAreNotMixed(t *testing.T) {
	old, err := os.ReadFile(version1Golden)
	require.NoError(t, err)
	now := sealed(t, filled())
	for _, c := range []struct {
		raw      []byte
		from, to string
		want     string
	}{{old, `"schema": 1`, `"schema": 2`, "/node/devices/0/kind"}, {now, `"schema": 2`, `"schema": 1`, "missing"}} {
		require.True(t, bytes.Contains(c.raw, []byte(c.from)), c.from)
		_, err := Read(bytes.NewReader(bytes.Replace(c.raw, []byte(c.from), []byte(c.to), 1)), "x")
		require.ErrorContains(t, err, c.want)
	}
}
