package results

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Version 1 of the record knew one device, the CPU of the node, and named
// traces by strings. It differs from the present version in these members:
//
//   - /sought is now /meter_probes.
//   - /node/cpu held vendor, model, threads and features. For mining hardware
//     it held its model, and /node/settings/microcode its firmware.
//   - /node/devices listed accelerators by kind, name and PCI address, and
//     mining hardware by the name it gave itself and its network address.
//   - /runs/N/traces/M/of was the name of a trace.
//   - Uses, kernels and checks had no device.
//   - /summary had other definitions. It is derived again from the traces.
type version1 struct {
	cpu     cpu1
	devices []device1
}

type cpu1 struct {
	Vendor   string   `json:"vendor"`
	Model    string   `json:"model"`
	Threads  int      `json:"threads"`
	Features []string `json:"features"`
	CPU
}

type device1 struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	ID   string `json:"id"`
}

// decodeVersion1 reads a record of version 1, without its summary.
func decodeVersion1(x *text) (*Record, error) {
	rec, v := new(Record), version1{}
	x.members = v.members
	err := x.walk(func(x *text) error { return x.decode(reflect.ValueOf(rec).Elem()) })
	if err == nil {
		v.upgrade(rec)
	}
	return rec, err
}

// members returns the members that a struct type had in version 1.
func (v *version1) members(t reflect.Type) []member {
	ms := slices.Clone(membersOf(t))
	at := func(name string) int { return slices.IndexFunc(ms, func(m member) bool { return m.name == name }) }
	drop := func(name string) { i := at(name); ms = slices.Delete(ms, i, i+1) }
	switch t {
	case reflect.TypeFor[Record]():
		ms[at("meter_probes")].name = "sought"
		ms[at("summary")].read = func(x *text, _ reflect.Value) error { return x.skip() }
	case reflect.TypeFor[Node]():
		ms[at("cpu")].read = func(x *text, _ reflect.Value) error { return x.decode(reflect.ValueOf(&v.cpu).Elem()) }
		ms[at("devices")].read = func(x *text, _ reflect.Value) error { return x.decode(reflect.ValueOf(&v.devices).Elem()) }
	case reflect.TypeFor[Use](), reflect.TypeFor[Kernel](), reflect.TypeFor[Check]():
		drop("device")
	case reflect.TypeFor[Trace]():
		key := &ms[at("key")]
		key.name = "of"
		key.read = func(x *text, field reflect.Value) error { // kept in the channel until all names are known
			return x.decode(field.FieldByName("Channel"))
		}
	}
	return ms
}

// upgrade makes devices and the keys of traces from what was read.
func (v *version1) upgrade(rec *Record) {
	n := &rec.Node
	n.CPU = v.cpu.CPU
	main := Device{ID: CPUDevice, Kind: KindCPU, Vendor: v.cpu.Vendor, Model: v.cpu.Model, Lanes: v.cpu.Threads, Features: v.cpu.Features}
	address := ""
	if i := slices.IndexFunc(v.devices, func(d device1) bool { return d.Kind == string(KindMiner) }); i >= 0 {
		main.ID, main.Kind, main.Firmware = MinerDevice, KindMiner, n.Settings.Microcode
		n.Settings.Microcode, address = "", v.devices[i].ID
	}
	n.Devices = []Device{main}
	count := map[DeviceKind]int{}
	for _, d := range v.devices {
		kind := KindAccelerator
		switch d.Kind {
		case string(KindMiner):
			continue
		case string(KindGPU):
			kind = KindGPU
		}
		n.Devices = append(n.Devices, Device{ID: fmt.Sprintf("%s:%d", kind, count[kind]), Kind: kind, Model: d.Name, PCI: d.ID})
		count[kind]++
	}
	for i := range rec.Kernels {
		rec.Kernels[i].Device = main.ID
	}
	meters := map[string]TraceKey{}
	for _, m := range rec.Meters {
		for _, c := range m.Channels {
			name := "meter/" + m.Name + "/" + c.Name
			meters[name] = cmp.Or(meters[name], MeterKey(m.Name, c.Name))
		}
	}
	for i := range rec.Runs {
		r := &rec.Runs[i]
		for j := range r.Uses {
			r.Uses[j].Device = main.ID
			if s := r.Uses[j].Shares; s != nil {
				s.Address = address
			}
		}
		for j := range r.Checks {
			r.Checks[j].Device = main.ID
		}
		for j := range r.Traces {
			key := &r.Traces[j].Key
			name := key.Channel
			if *key = meters[name]; key.Kind == "" {
				*key = keyOf1(name, main.ID)
			}
		}
		// What no version had a name for cannot be used for anything.
		r.Traces = slices.DeleteFunc(r.Traces, func(tr Trace) bool { return tr.Key.Kind == "" })
	}
}

// hostKeys1 are the names of traces that belong to no use and no meter.
var hostKeys1 = map[string]TraceKey{
	"host/steal": HostSteal, "host/busy": HostBusy, "host/self": HarnessCPU, "host/wall": HostWall, "cgroup/held": QuotaHeld,
	"host/memory-some": HostMemorySome, "host/memory-full": HostMemoryFull, "cgroup/memory-some": GroupMemorySome, "cgroup/memory-full": GroupMemoryFull,
	"suspended/harness": HarnessSuspended, "suspended/machine": MachineSuspended,
}

// keyOf1 is the key of a trace of the given name; the zero key if no such name
// was known.
func keyOf1(name, device string) TraceKey {
	switch name {
	case "host/clock":
		return TraceKey{Kind: TraceClock, Device: device}
	case "host/throttles":
		return TraceKey{Kind: TraceThrottles, Device: device}
	}
	if key, known := hostKeys1[name]; known {
		return key
	}
	kind, of, _ := strings.Cut(name, "/")
	switch kind {
	case "work", "suspended", "luck", "away", "breaks", "resumed":
		return UseKey(TraceKind(kind), of, device)
	case "cpu":
		return UseKey(TraceCPUTime, of, device)
	case "shares":
		if cut := strings.LastIndexByte(of, '/'); cut >= 0 { // no class has a slash in it
			key := UseKey(TraceShares, of[:cut], device)
			key.Channel = of[cut+1:]
			return key
		}
	case "meter":
		meter, channel, _ := strings.Cut(of, "/")
		return MeterKey(meter, channel)
	case "round-trip":
		return TraceKey{Kind: TraceRoundTrip, Meter: of}
	case "clock":
		return TraceKey{Kind: TraceClockOffset, Meter: of}
	}
	return TraceKey{}
}
