// Package cpu is the device that this process runs on.
package cpu

import (
	"runtime"

	"github.com/klauspost/cpuid/v2"

	"github.com/perwatt/perwatt/kernels/device"
)

// ID is the name of the device.
const ID = "cpu"

// Info identifies the CPU. Features have the names of klauspost/cpuid and are
// those that the operating system lets programs use.
func Info() device.Info {
	return device.Info{
		ID: ID, Kind: device.CPU, Vendor: cpuid.CPU.VendorString, Name: cpuid.CPU.BrandName,
		Lanes: runtime.NumCPU(), Features: cpuid.CPU.FeatureSet(),
	}
}
