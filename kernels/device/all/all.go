// Package all is the explicit list of the devices that this program can compute
// on. A new kind of device is a folder and a line in [List] and in [Open].
package all

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// Names of several devices.
const (
	Auto = "auto" // what this program would choose
	All  = "all"
)

// List returns the devices of this machine, the CPU first.
func List() []device.Info { return []device.Info{cpu.Info()} }

// Select returns the devices of a name: [Auto], [All] or the ID of one. Auto is
// the CPU.
func Select(name string) ([]device.Info, error) {
	there := List()
	switch name {
	case All:
		return there, nil
	case Auto:
		return there[:1], nil
	}
	ids := make([]string, len(there))
	for i, d := range there {
		if ids[i] = d.ID; d.ID == name {
			return there[i : i+1], nil
		}
	}
	return nil, fmt.Errorf("no device %q on this machine: use %s", name, strings.Join(slices.Concat([]string{Auto, All}, ids), ", "))
}

// Open opens a device of this machine.
func Open(c device.Config) (device.Device, error) {
	if c.ID == cpu.ID {
		return cpu.Device{Threads: c.Threads}, nil
	}
	return nil, fmt.Errorf("open device %q: there is none on this machine", c.ID)
}
