// Package hip is AMD's GPUs through HIP, the runtime of ROCm, in libamdhip64.
// Kernels come as code objects for the architecture of the GPU.
//
// Functions and numbers are those of hip_runtime_api.h of ROCm 5 to 7. It has not
// yet run on hardware: tests have a stand-in for the library.
package hip

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/driver"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// libraries are where the runtime is looked for: by the loader, which a package
// of a distribution or ROCm's own ldconfig file suffices for, and where ROCm is
// installed without that.
var libraries = func() (list []string) {
	for _, folder := range []string{"", "/opt/rocm/lib/"} {
		for _, version := range []string{"7", "6", "5"} {
			list = append(list, folder+"libamdhip64.so."+version)
		}
	}
	return list
}()

// library is the functions of libamdhip64. ROCm 6 has two layouts of a device's
// properties and a name for each.
type library struct {
	driver.API
	ErrorName  func(c driver.Code) *byte                          `c:"hipGetErrorName"`
	ErrorText  func(c driver.Code) *byte                          `c:"hipGetErrorString"`
	Set        func(d int32) driver.Code                          `c:"hipSetDevice"`
	Flags      func(flags uint32) driver.Code                     `c:"hipSetDeviceFlags"`
	Properties func(p *[propertiesRoom]byte, d int32) driver.Code `c:"hipGetDevicePropertiesR0600|hipGetDeviceProperties"`
}

// Numbers of hip_runtime_api.h.
const (
	attributeProcessors = 63   // hipDeviceAttributeMultiprocessorCount
	blockingSync        = 4    // hipDeviceScheduleBlockingSync
	propertiesRoom      = 8192 // hipDeviceProp_t has 792 bytes in ROCm 5 and 1,472 since
	nameBytes           = 256  // its first member, which anything may be in
)

// load loads the library.
func load() (*driver.Driver, error) {
	l := &library{}
	if err := foreign.Bind(l, libraries...); err != nil {
		return nil, err
	}
	d := &driver.Driver{API: &l.API, Name: "HIP", Prefix: "hip", Vendor: "AMD"}
	d.Words = func(c driver.Code) (string, string) {
		return foreign.String(l.ErrorName(c)), foreign.String(l.ErrorText(c))
	}
	d.Describe = func(info *device.Info, handle int32, uuid [16]byte) {
		info.UUID = unique(uuid)
		var version int32
		if l.Version(&version) == driver.Success {
			info.Driver = fmt.Sprintf("HIP %d.%d", version/10_000_000, version%10_000_000/100_000)
		}
		info.Lanes = d.Number(handle, attributeProcessors)
		arch := ""
		if properties := new([propertiesRoom]byte); l.Properties(properties, handle) == driver.Success {
			arch = architecture(properties[nameBytes:])
		}
		info.Features = []string{arch, "hip", "fp64"}
		if arch == "gfx90a" || arch == "gfx942" {
			info.Features = append(info.Features, "mfma")
		}
	}
	d.Enter = func(handle int32) (number uintptr, err error) {
		if err := d.Err(l.Set(handle), "hipSetDevice of hip:%d", handle); err != nil {
			return 0, err
		}
		// A thread that waits for the GPU leaves its core to others. A runtime that
		// cannot do that still computes.
		l.Flags(blockingSync)
		return uintptr(handle), nil
	}
	d.Leave = func(int32) error { return nil } // hipSetDevice holds nothing
	return d, nil
}

var gfx = regexp.MustCompile(`(gfx[0-9a-f]{3,5})[:\x00]`)

// architecture finds gcnArchName ("gfx942:sramecc+:xnack-") in a device's
// properties, whose layout differs between versions of ROCm, and cuts the
// settings: code objects here run with any.
func architecture(properties []byte) string {
	if m := gfx.FindSubmatch(properties); m != nil {
		return string(m[1])
	}
	return ""
}

// unique writes the UUID of a GPU. HIP has 16 hexadecimal digits of its serial
// number as text, as ROCm's other tools show it.
func unique(uuid [16]byte) string {
	switch {
	case uuid == [16]byte{}:
		return ""
	case len(bytes.Trim(uuid[:], "0123456789abcdef")) == 0:
		return "GPU-" + string(uuid[:])
	}
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
}

// List returns the GPUs that the runtime lets this process use, named hip:0,
// hip:1 and so on in its order, which HIP_VISIBLE_DEVICES and
// ROCR_VISIBLE_DEVICES change. The error wraps [foreign.ErrAbsent] if there is no
// runtime.
func List() ([]device.Info, error) { return driver.List(load) }

// Open opens the GPU of an ID.
func Open(id string) (device.Processor, error) { return driver.Open(load, id) }

// Missing returns why there is no runtime, without loading it; nil if there is one, or may
// be.
func Missing() error { return foreign.Missing(libraries...) }
