package nvml

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// code is an nvmlReturn_t.
type code int32

const (
	success         code = 0
	uninitialized   code = 1
	notSupported    code = 3
	noPermission    code = 4
	driverNotLoaded code = 9
	libraryNotFound code = 12
	noSuchFunction  code = 13
	lost            code = 15
	blocked         code = 17 // by the operating system or cgroups
	mismatch        code = 18
	noGPU           code = 28
)

// device is an nvmlDevice_t: an opaque pointer of the library.
type device uintptr

// fieldValue is nvmlFieldValue_t. Its timestamp is that of the CPU at the call,
// not that of the sensor, and says nothing about the age of the value.
type fieldValue struct {
	field  uint32
	_      uint32   // scope: 0 is the card
	_      [2]int64 // timestamp and latency, µs
	kind   uint32
	result code
	value  [8]byte // a union, of the type in kind
}

// pciInfo is nvmlPciInfo_t.
type pciInfo struct {
	_                   [16]byte // an address with a domain of 16 bits
	domain, bus, device uint32
	_, _                uint32   // ids
	_                   [32]byte // the address as text
}

// Numbers of nvml.h: nvmlClockType_t, nvmlTemperatureSensors_t,
// nvmlMemoryErrorType_t and nvmlEccCounterType_t.
const (
	clockSM, clockMemory               = 1, 2
	sensorGPU                          = 0
	errorsCorrected, errorsUncorrected = 0, 1
	sinceLoaded                        = 0
)

// Fields of nvml.h, NVML_FI_DEV_….
const (
	fieldEnergy  = 83  // mJ since the driver was loaded
	fieldAverage = 185 // mW
	fieldInstant = 186 // mW
)

// library holds the functions of libnvidia-ml, by the names and prototypes of
// nvml.h 13.4.92 (the library exports the versioned names; the header renames
// them). An older library lacks some, which are then nil. Only the first four are
// always needed.
type library struct {
	Init     func() code                    `c:"nvmlInit_v2"`
	Shutdown func() code                    `c:"nvmlShutdown"`
	Count    func(n *uint32) code           `c:"nvmlDeviceGetCount_v2"`
	ByIndex  func(i uint32, d *device) code `c:"nvmlDeviceGetHandleByIndex_v2"`

	ErrorString func(code) string                                  `c:"nvmlErrorString,optional"`
	ByUUID      func(uuid string, d *device) code                  `c:"nvmlDeviceGetHandleByUUID,optional"`
	UUID        func(d device, buf *byte, size uint32) code        `c:"nvmlDeviceGetUUID,optional"`
	Name        func(d device, buf *byte, size uint32) code        `c:"nvmlDeviceGetName,optional"`
	Driver      func(buf *byte, size uint32) code                  `c:"nvmlSystemGetDriverVersion,optional"`
	Energy      func(d device, mJ *uint64) code                    `c:"nvmlDeviceGetTotalEnergyConsumption,optional"`
	Fields      func(d device, n int32, values *fieldValue) code   `c:"nvmlDeviceGetFieldValues,optional"`
	Power       func(d device, mW *uint32) code                    `c:"nvmlDeviceGetPowerUsage,optional"`
	Enforced    func(d device, mW *uint32) code                    `c:"nvmlDeviceGetEnforcedPowerLimit,optional"`
	Limit       func(d device, mW *uint32) code                    `c:"nvmlDeviceGetPowerManagementLimit,optional"`
	Reasons     func(d device, mask *uint64) code                  `c:"nvmlDeviceGetCurrentClocksEventReasons,optional"`
	ReasonsOld  func(d device, mask *uint64) code                  `c:"nvmlDeviceGetCurrentClocksThrottleReasons,optional"`
	MIG         func(d device, current *uint32, next *uint32) code `c:"nvmlDeviceGetMigMode,optional"`
	Virtual     func(d device, mode *uint32) code                  `c:"nvmlDeviceGetVirtualizationMode,optional"`

	PCI         func(d device, at *pciInfo) code                          `c:"nvmlDeviceGetPciInfo_v3,optional"`
	Clock       func(d device, of uint32, mhz *uint32) code               `c:"nvmlDeviceGetClockInfo,optional"`
	Temperature func(d device, sensor uint32, celsius *uint32) code       `c:"nvmlDeviceGetTemperature,optional"`
	Default     func(d device, mW *uint32) code                           `c:"nvmlDeviceGetPowerManagementDefaultLimit,optional"`
	Errors      func(d device, uncorrected, since uint32, n *uint64) code `c:"nvmlDeviceGetTotalEccErrors,optional"`
}

// absent is a [power.ErrAbsent] whose text says so already.
type absent struct{ error }

func (a absent) Unwrap() []error { return []error{a.error, power.ErrAbsent} }

// load binds the functions of the library at path.
func load(path string) (*library, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("not read on %s: %w", runtime.GOOS, power.ErrAbsent)
	}
	l := &library{}
	err := foreign.Bind(l, path)
	if errors.Is(err, foreign.ErrAbsent) {
		err = absent{err}
	}
	return l, err
}

// nvmlError is a code with the library's own text.
type nvmlError struct {
	code  code
	words string
}

func (e *nvmlError) Error() string { return fmt.Sprintf("%s (NVML error %d)", e.words, e.code) }

// is reports whether err is one of the given codes of the library.
func is(err error, codes ...code) bool {
	e, ok := errors.AsType[*nvmlError](err)
	return ok && slices.Contains(codes, e.code)
}

// err returns the result of a call as an error.
func (l *library) err(c code) error {
	switch {
	case c == success:
		return nil
	case c == noSuchFunction || l.ErrorString == nil:
		return &nvmlError{c, "this library has no such function"}
	}
	return &nvmlError{c, l.ErrorString(c)}
}

// refusal is the error for a library or a card that was found but does not work:
// absent, or refused with the remedy.
func refusal(doing string, err error) error {
	err = fmt.Errorf("%s: %w", doing, err)
	switch {
	case is(err, driverNotLoaded, libraryNotFound, noGPU):
		return fmt.Errorf("%w: %w", err, power.ErrAbsent)
	case is(err, mismatch):
		return fmt.Errorf("%w: the driver was updated and the old one is still loaded; reboot, or unload the nvidia modules and load them again; in a container, mount the host's own libnvidia-ml.so.1", err)
	case is(err, noPermission, blocked):
		return fmt.Errorf("%w: let this user, and its cgroup, open /dev/nvidiactl and /dev/nvidia0 and following (in a container: start it with the GPUs)", err)
	}
	return err
}

// one calls a function that fills in one value; an older library may lack it.
func one[T any](l *library, f func(device, *T) code, d device) (v T, err error) {
	if f == nil {
		return v, l.err(noSuchFunction)
	}
	return v, l.err(f(d, &v))
}

// what calls one of the functions that take a number and fill in a value.
func what[T any](l *library, f func(device, uint32, *T) code, d device, of uint32) (v T, err error) {
	if f == nil {
		return v, l.err(noSuchFunction)
	}
	return v, l.err(f(d, of, &v))
}

// on binds a function that fills in a buffer to a card.
func on(f func(device, *byte, uint32) code, d device) func(*byte, uint32) code {
	if f == nil {
		return nil
	}
	return func(buf *byte, size uint32) code { return f(d, buf, size) }
}

// text calls a function that fills in a buffer; an older library may lack it.
func text(l *library, f func(buf *byte, size uint32) code) (string, error) {
	if f == nil {
		return "", l.err(noSuchFunction)
	}
	var buf [96]byte // NVML_DEVICE_NAME_V2_BUFFER_SIZE, the longest of them
	if err := l.err(f(&buf[0], uint32(len(buf)))); err != nil {
		return "", err
	}
	s, _, _ := bytes.Cut(buf[:], []byte{0})
	return string(s), nil
}
