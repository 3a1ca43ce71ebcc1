// Package cuda is NVIDIA's GPUs through their driver, libcuda. Nothing else of
// NVIDIA's is needed: kernels come as PTX, which the driver compiles.
//
// Functions and numbers are those of cuda.h 12.4. A driver older than that of
// CUDA 11 lacks some and is refused by name; one older than that of CUDA 12 has no
// tensor maps, and its devices lack the feature tma.
package cuda

import (
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/driver"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// libraries are where the driver is looked for.
var libraries = []string{"libcuda.so.1"}

// library is the functions of libcuda. A context is a pointer of the library.
type library struct {
	driver.API
	ErrorName     func(c driver.Code, text **byte) driver.Code   `c:"cuGetErrorName"`
	ErrorText     func(c driver.Code, text **byte) driver.Code   `c:"cuGetErrorString"`
	Flags         func(d int32, flags uint32) driver.Code        `c:"cuDevicePrimaryCtxSetFlags_v2"`
	Retain        func(context *uintptr, d int32) driver.Code    `c:"cuDevicePrimaryCtxRetain"`
	ReleaseDevice func(d int32) driver.Code                      `c:"cuDevicePrimaryCtxRelease_v2"`
	Current       func(context uintptr) driver.Code              `c:"cuCtxSetCurrent"`
	SetAttribute  func(f uintptr, what, value int32) driver.Code `c:"cuFuncSetAttribute"`
	EncodeTiled   encodeTiled                                    `c:"cuTensorMapEncodeTiled,optional"` // since CUDA 12
}

// encodeTiled makes a tensor map of a matrix in global memory. size, box and each
// have an entry a dimension, the dense one first; strides has one less.
type encodeTiled func(to *[16]uint64, kind int32, rank uint32, at uint64, size, strides *uint64, box, each *uint32, interleave, swizzle, promotion, fill int32) driver.Code

// Numbers of cuda.h.
const (
	attributeProcessors, attributeMajor, attributeMinor = 16, 75, 76
	functionShared                                      = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	blockingSync                                        = 4 // a thread that waits sleeps

	tensorWords             = 2 // CU_TENSOR_MAP_DATA_TYPE_UINT32
	tensorSwizzle128        = 3 // CU_TENSOR_MAP_SWIZZLE_128B
	tensorPromote128        = 2 // CU_TENSOR_MAP_L2_PROMOTION_L2_128B
	tensorPlain, tensorZero = 0, 0
)

// encode makes the tensor map of a matrix. Its elements are words of 4 bytes
// whatever they hold: the unit copies bits.
func (f encodeTiled) encode(to *[16]uint64, at uint64, m device.Matrix) driver.Code {
	size, stride := [2]uint64{uint64(m.Bytes) / 4, uint64(m.Rows)}, uint64(m.Bytes) // #nosec G115 -- above 0
	box, each := [2]uint32{device.BoxBytes / 4, uint32(m.Box)}, [2]uint32{1, 1}     // #nosec G115 -- the driver refuses what is no box
	return f(to, tensorWords, 2, at, &size[0], &stride, &box[0], &each[0], tensorPlain, tensorSwizzle128, tensorPromote128, tensorZero)
}

// load loads the library.
func load() (*driver.Driver, error) {
	l := &library{}
	if err := foreign.Bind(l, libraries...); err != nil {
		return nil, err
	}
	text := func(f func(driver.Code, **byte) driver.Code, c driver.Code) string {
		var p *byte
		if f(c, &p) != driver.Success {
			return ""
		}
		return foreign.String(p)
	}
	d := &driver.Driver{API: &l.API, Name: "CUDA", Prefix: "cuda", Vendor: "NVIDIA", Compiles: true}
	d.Words = func(c driver.Code) (string, string) { return text(l.ErrorName, c), text(l.ErrorText, c) }
	d.Describe = func(info *device.Info, handle int32, uuid [16]byte) {
		if uuid != [16]byte{} {
			prefix := "GPU"
			if strings.Contains(info.Name, " MIG ") { // a part of a card, which nvidia-smi names so
				prefix = "MIG"
			}
			info.UUID = prefix + fmt.Sprintf("-%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
		}
		var version int32
		if l.Version(&version) == driver.Success {
			info.Driver = fmt.Sprintf("CUDA %d.%d", version/1000, version%1000/10)
		}
		info.Lanes = d.Number(handle, attributeProcessors)
		major, minor := d.Number(handle, attributeMajor), d.Number(handle, attributeMinor)
		info.Features = []string{fmt.Sprintf("sm_%d%d", major, minor), "cuda", "fp64"}
		if major >= 8 {
			info.Features = append(info.Features, "mma")
		}
		if major == 9 {
			info.Features = append(info.Features, "wgmma")
		}
		if major >= 9 && l.EncodeTiled != nil {
			info.Features = append(info.Features, "tma")
		}
	}
	if l.EncodeTiled != nil {
		d.Encode = l.EncodeTiled.encode
	}
	d.Enter = func(handle int32) (context uintptr, err error) {
		// While the GPU works, the thread that waits for it costs nothing. A
		// context that exists already keeps its flags.
		l.Flags(handle, blockingSync)
		if err := d.Err(l.Retain(&context, handle), "cuDevicePrimaryCtxRetain of cuda:%d", handle); err != nil {
			return 0, err
		}
		if err = d.Err(l.Current(context), "cuCtxSetCurrent of cuda:%d", handle); err != nil {
			l.ReleaseDevice(handle)
		}
		return context, err
	}
	d.Leave = func(handle int32) error {
		return d.Err(l.ReleaseDevice(handle), "cuDevicePrimaryCtxRelease of cuda:%d", handle)
	}
	d.Shared = func(kernel uintptr, bytes int32) driver.Code { return l.SetAttribute(kernel, functionShared, bytes) }
	return d, nil
}

// List returns the GPUs that the driver lets this process use, named cuda:0,
// cuda:1 and so on in the driver's order, which CUDA_VISIBLE_DEVICES changes. The
// error wraps [foreign.ErrAbsent] if there is no driver.
func List() ([]device.Info, error) { return driver.List(load) }

// Open opens the GPU of an ID.
func Open(id string) (device.Processor, error) { return driver.Open(load, id) }

// Missing returns why there is no driver, without loading it; nil if there is one, or may
// be.
func Missing() error { return foreign.Missing(libraries...) }
