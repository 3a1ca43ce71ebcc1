// Package all is the explicit list of the devices that this program can compute
// on. A new kind of device is a folder and a line in the list of drivers.
//
// A driver is called by [Probe] and [Open] only, each in a child process of its
// own: a driver that dies takes nothing else with it. [Missing] calls none.
package all

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/device/cuda"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/hip"
	"github.com/perwatt/perwatt/kernels/device/opencl"
)

// Names of several devices.
const (
	Auto = "auto" // the CPU and every GPU
	All  = "all"  // the same
	GPUs = "gpu"  // every GPU
)

type driver struct {
	name    string
	list    func() ([]device.Info, error)
	open    func(id string) (device.Processor, error)
	missing func() error
}

// drivers in the order of preference: a card that two of them reach is the first
// one's.
var drivers = []driver{
	{"cuda", cuda.List, cuda.Open, cuda.Missing},
	{"hip", hip.List, hip.Open, hip.Missing},
	{"opencl", opencl.List, opencl.Open, opencl.Missing},
}

// Drivers lists the names of the drivers.
func Drivers() (names []string) {
	for _, d := range drivers {
		names = append(names, d.name)
	}
	return names
}

// Probe asks a driver for its devices.
func Probe(name string) device.Found {
	f := device.Found{Driver: name}
	i := slices.IndexFunc(drivers, func(d driver) bool { return d.name == name })
	if i < 0 {
		f.Why = fmt.Sprintf("no driver is named %q: use one of %s", name, strings.Join(Drivers(), ", "))
		return f
	}
	list, err := drivers[i].list()
	switch {
	case err != nil:
		f.Why, f.Absent = err.Error(), errors.Is(err, foreign.ErrAbsent)
	case len(list) == 0:
		f.Why = device.NoDevice
	}
	f.Devices = list
	return f
}

// Missing returns the answer of a driver whose library is not on this machine, without
// loading anything; ok is false if it is, or may be.
func Missing(name string) (f device.Found, ok bool) {
	for _, d := range drivers {
		if d.name != name {
			continue
		}
		if err := d.missing(); err != nil {
			return device.Found{Driver: name, Absent: true, Why: err.Error()}, true
		}
	}
	return f, false
}

// Merge returns the devices of this machine, the CPU first, of what the drivers
// found, each of which answers once. One card that two drivers reach, by its PCI
// address or UUID, is one device.
func Merge(found ...device.Found) []device.Info {
	out := []device.Info{cpu.Info()}
	for _, d := range drivers {
		first := len(out)
		for _, f := range found {
			if f.Driver != d.name {
				continue
			}
			for _, info := range f.Devices {
				if !slices.ContainsFunc(out[:first], func(seen device.Info) bool { return same(seen, info) }) {
					out = append(out, info)
				}
			}
		}
	}
	return out
}

// same reports whether two drivers mean one card. Drivers write a UUID with
// different prefixes. Parts of a card (MIG) share its address, but two drivers
// need not have the same parts: the card is the first one's.
func same(a, b device.Info) bool {
	bare := func(uuid string) string { return strings.TrimPrefix(strings.ToLower(uuid), "gpu-") }
	return a.PCI != "" && strings.EqualFold(a.PCI, b.PCI) || a.UUID != "" && bare(a.UUID) == bare(b.UUID)
}

// Select returns the devices of names, which commas divide, among those of this
// machine: in the order of the machine, each once. A CPU behind a driver is there
// only by its own name.
func Select(names string, there []device.Info) ([]device.Info, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		on, err := named(name, there)
		if err != nil {
			return nil, err
		}
		for _, d := range on {
			wanted[d.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(there), func(d device.Info) bool { return !wanted[d.ID] }), nil
}

func named(name string, there []device.Info) ([]device.Info, error) {
	gpus := slices.DeleteFunc(slices.Clone(there), func(d device.Info) bool { return d.Kind != device.GPU })
	switch name {
	case Auto, All:
		return append([]device.Info{cpu.Info()}, gpus...), nil
	case GPUs:
		if len(gpus) == 0 {
			return nil, errors.New("no GPU found that perwatt can compute on: perwatt node says what was looked for")
		}
		return gpus, nil
	}
	if i := slices.IndexFunc(there, func(d device.Info) bool { return d.ID == name }); i >= 0 {
		return there[i : i+1], nil
	}
	return nil, fmt.Errorf("no device %q that perwatt can compute on: use %s", name, strings.Join(Names(there), ", "))
}

// Names lists what [Select] takes.
func Names(there []device.Info) []string {
	names := []string{Auto, All}
	for i, d := range there {
		if d.Kind == device.GPU && !slices.Contains(names, GPUs) {
			names = slices.Insert(names, 2, GPUs)
		}
		names = append(names, there[i].ID)
	}
	return names
}

// Describe returns a device without asking its driver: to validate a
// configuration for it.
func Describe(c device.Config) device.Device {
	if len(c.Members) > 0 {
		g := device.Group{About: c.Info}
		for _, m := range c.Members {
			g.Members = append(g.Members, device.Unopened{About: m})
		}
		return g
	}
	if c.Processor() {
		return device.Unopened{About: c.Info}
	}
	return cpu.Device{Threads: c.Threads}
}

// Open opens a device of this machine. Processors are closed by their Close, and the
// members of a group each by its own.
func Open(c device.Config) (device.Device, error) {
	if len(c.Members) > 0 {
		g := device.Group{About: c.Info}
		for _, m := range c.Members {
			one, err := Open(device.Config{Info: m})
			if err != nil {
				return nil, err
			}
			g.Members = append(g.Members, one)
		}
		return g, nil
	}
	if c.ID == cpu.ID {
		return cpu.Device{Threads: c.Threads}, nil
	}
	name, _, _ := strings.Cut(c.ID, ":")
	for _, d := range drivers {
		if d.name == name {
			return d.open(c.ID)
		}
	}
	return nil, fmt.Errorf("open device %q: there is none on this machine", c.ID)
}
