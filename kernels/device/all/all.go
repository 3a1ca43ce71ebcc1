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

// IDs lists the devices of this machine by their IDs.
func IDs() (ids []string) {
	for _, d := range List() {
		ids = append(ids, d.ID)
	}
	return ids
}

// Names lists what [Select] takes: [Auto], [All] and the ID of each device.
func Names() []string { return append([]string{Auto, All}, IDs()...) }

// Select returns the devices of a name. Auto is the CPU.
func Select(name string) ([]device.Info, error) {
	there := List()
	switch i := slices.IndexFunc(there, func(d device.Info) bool { return d.ID == name }); {
	case name == All:
		return there, nil
	case name == Auto:
		return there[:1], nil
	case i >= 0:
		return there[i : i+1], nil
	}
	return nil, fmt.Errorf("no device %q that perwatt can compute on: use %s", name, strings.Join(Names(), ", "))
}

// Open opens a device of this machine.
func Open(c device.Config) (device.Device, error) {
	if c.ID == cpu.ID {
		return cpu.Device{Threads: c.Threads}, nil
	}
	return nil, fmt.Errorf("open device %q: there is none on this machine", c.ID)
}
