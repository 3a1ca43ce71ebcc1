// Package cpu is the device that this process runs on.
package cpu

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/perwatt/perwatt/kernels/device"
)

// ID is the name of the device. All processors of a machine are one device.
const ID = "cpu"

// Info identifies the CPU. Lanes is the number of logical CPUs that this process
// may use. Features have the names of klauspost/cpuid and are those that the
// operating system lets programs use.
func Info() device.Info {
	return device.Info{
		ID: ID, Kind: device.CPU, Vendor: cpuid.CPU.VendorString, Name: strings.TrimSpace(cpuid.CPU.BrandName),
		Lanes: runtime.NumCPU(), Features: cpuid.CPU.FeatureSet(),
	}
}

// Device is the CPU, computing on a number of threads. The zero value computes on
// one.
type Device struct {
	Threads int // 0 means one
}

// Info implements [device.Device].
func (Device) Info() device.Info { return Info() }

// Of returns d, which must be a CPU, with at least one thread; nil is the CPU
// with one thread. It is how a workload that runs on CPUs only opens its
// configuration.
func Of(d device.Device) (Device, error) {
	c, ok := d.(Device)
	switch {
	case d != nil && !ok:
		on := d.Info()
		return Device{}, fmt.Errorf("device %s is of kind %s: this workload has implementations for devices of kind %s only", on.ID, on.Kind, device.CPU)
	case c.Threads < 0:
		return Device{}, fmt.Errorf("%d threads: use 1 or more, or 0 for one", c.Threads)
	}
	return Device{Threads: max(c.Threads, 1)}, nil
}
