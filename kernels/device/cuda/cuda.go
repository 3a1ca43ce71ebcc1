// Package cuda is NVIDIA's GPUs through their driver, libcuda. Nothing else of
// NVIDIA's is needed: kernels come as PTX, which the driver compiles.
//
// Functions and numbers are those of cuda.h 12.4. A driver older than that of
// CUDA 11 lacks some and is refused by name.
package cuda

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// libraries are where the driver is looked for.
var libraries = []string{"libcuda.so.1"}

// code is a CUresult.
type code int32

const (
	success     code = 0
	noDevice    code = 100
	outOfMemory code = 2
)

// library is the functions of libcuda. Devices are numbers; contexts, modules
// and functions are pointers of the library; addresses are those of the device.
type library struct {
	Init          func(flags uint32) code                                                                                   `c:"cuInit"`
	Version       func(v *int32) code                                                                                       `c:"cuDriverGetVersion"`
	ErrorName     func(c code, text **byte) code                                                                            `c:"cuGetErrorName"`
	ErrorText     func(c code, text **byte) code                                                                            `c:"cuGetErrorString"`
	Count         func(n *int32) code                                                                                       `c:"cuDeviceGetCount"`
	Get           func(d *int32, ordinal int32) code                                                                        `c:"cuDeviceGet"`
	DeviceName    func(buf *byte, size int32, d int32) code                                                                 `c:"cuDeviceGetName"`
	UUID          func(b *[16]byte, d int32) code                                                                           `c:"cuDeviceGetUuid_v2,optional"`
	PCI           func(buf *byte, size int32, d int32) code                                                                 `c:"cuDeviceGetPCIBusId"`
	TotalMemory   func(bytes *uint64, d int32) code                                                                         `c:"cuDeviceTotalMem_v2"`
	Attribute     func(v *int32, what int32, d int32) code                                                                  `c:"cuDeviceGetAttribute"`
	Flags         func(d int32, flags uint32) code                                                                          `c:"cuDevicePrimaryCtxSetFlags_v2"`
	Retain        func(context *uintptr, d int32) code                                                                      `c:"cuDevicePrimaryCtxRetain"`
	ReleaseDevice func(d int32) code                                                                                        `c:"cuDevicePrimaryCtxRelease_v2"`
	Current       func(context uintptr) code                                                                                `c:"cuCtxSetCurrent"`
	Synchronize   func() code                                                                                               `c:"cuCtxSynchronize"`
	Allocate      func(at *uint64, bytes uintptr) code                                                                      `c:"cuMemAlloc_v2"`
	Release       func(at uint64) code                                                                                      `c:"cuMemFree_v2"`
	AllocateHost  func(at *unsafe.Pointer, bytes uintptr, flags uint32) code                                                `c:"cuMemHostAlloc"`
	ReleaseHost   func(at unsafe.Pointer) code                                                                              `c:"cuMemFreeHost"`
	ToDevice      func(to uint64, from unsafe.Pointer, bytes uintptr, stream uintptr) code                                  `c:"cuMemcpyHtoDAsync_v2"`
	ToHost        func(to unsafe.Pointer, from uint64, bytes uintptr, stream uintptr) code                                  `c:"cuMemcpyDtoHAsync_v2"`
	LoadModule    func(m *uintptr, image *byte, n uint32, options *int32, values *uintptr) code                             `c:"cuModuleLoadDataEx"`
	Unload        func(m uintptr) code                                                                                      `c:"cuModuleUnload"`
	Function      func(f *uintptr, m uintptr, name string) code                                                             `c:"cuModuleGetFunction"`
	SetAttribute  func(f uintptr, what, value int32) code                                                                   `c:"cuFuncSetAttribute"`
	LaunchKernel  func(f uintptr, gx, gy, gz, bx, by, bz, shared uint32, stream uintptr, params, extra unsafe.Pointer) code `c:"cuLaunchKernel"`
}

// Numbers of cuda.h.
const (
	attributeProcessors, attributeMajor, attributeMinor = 16, 75, 76
	attributeSharedOptIn                                = 97
	functionShared                                      = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
	jitErrorLog, jitErrorLogSize                        = 5, 6
	blockingSync                                        = 4 // a thread that waits sleeps
	sharedWithoutOptIn                                  = 48 << 10
)

// Error is an error of the driver.
type Error struct {
	Code       int
	Name, Text string // as the driver has them
	Doing      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d) in %s: %s", e.Name, e.Code, e.Doing, e.Text)
}

// err returns the result of a call as an error.
func (l *library) err(c code, doing string, args ...any) error {
	if c == success {
		return nil
	}
	text := func(f func(code, **byte) code, unknown string) string {
		var p *byte
		if f(c, &p) != success || p == nil {
			return unknown
		}
		n := 0
		for n < 1024 && *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
			n++
		}
		return string(unsafe.Slice(p, n))
	}
	return &Error{int(c), text(l.ErrorName, "CUDA error"), text(l.ErrorText, "the driver has no text for it"), fmt.Sprintf(doing, args...)}
}

// begin loads the library and initialises it.
func begin() (*library, int, error) {
	l := &library{}
	if err := foreign.Bind(l, libraries...); err != nil {
		return nil, 0, err
	}
	if c := l.Init(0); c == noDevice {
		return l, 0, nil
	} else if c != success {
		return nil, 0, l.err(c, "cuInit")
	}
	var n int32
	if c := l.Count(&n); c != success && c != noDevice {
		return nil, 0, l.err(c, "cuDeviceGetCount")
	}
	return l, int(n), nil
}

// List returns the GPUs that the driver lets this process use, named cuda:0,
// cuda:1 and so on in the driver's order, which CUDA_VISIBLE_DEVICES changes. The
// error wraps [foreign.ErrAbsent] if there is no driver.
func List() ([]device.Info, error) {
	l, n, err := begin()
	if err != nil {
		return nil, err
	}
	list := make([]device.Info, n)
	for i := range list {
		if list[i], err = l.describe(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (l *library) describe(ordinal int) (device.Info, error) {
	info := device.Info{ID: "cuda:" + strconv.Itoa(ordinal), Kind: device.GPU, Vendor: "NVIDIA"}
	var d int32
	if err := l.err(l.Get(&d, int32(ordinal)), "cuDeviceGet of %s", info.ID); err != nil {
		return info, err
	}
	info.Name = foreign.Text(256, func(buf *byte, size uintptr) { l.DeviceName(buf, int32(size), d) })
	info.PCI = strings.ToLower(foreign.Text(64, func(buf *byte, size uintptr) { l.PCI(buf, int32(size), d) }))
	var uuid [16]byte
	if l.UUID != nil && l.UUID(&uuid, d) == success {
		info.UUID = fmt.Sprintf("GPU-%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	}
	var version int32
	if l.Version(&version) == success {
		info.Driver = fmt.Sprintf("CUDA %d.%d", version/1000, version%1000/10)
	}
	var bytes uint64
	if l.TotalMemory(&bytes, d) == success && bytes <= math.MaxInt64 {
		info.Memory = int64(bytes)
	}
	attribute := func(what int32) int {
		var v int32
		if l.Attribute(&v, what, d) != success {
			return 0
		}
		return int(v)
	}
	major, minor := attribute(attributeMajor), attribute(attributeMinor)
	info.Lanes = attribute(attributeProcessors)
	info.Features = append(info.Features, fmt.Sprintf("sm_%d%d", major, minor), "fp64")
	if major >= 8 {
		info.Features = append(info.Features, "mma")
	}
	if major == 9 {
		info.Features = append(info.Features, "wgmma")
	}
	return info, nil
}

// processor is an open GPU. Its driver is called by one thread, on which its
// context is current.
type processor struct {
	*library
	info    device.Info
	ordinal int32
	arch    string
	calls   chan func()
	done    chan struct{}

	context   uintptr
	modules   map[*device.Program]uintptr
	arguments foreign.Arguments
	launched  string // the kernels since the last time that the device was idle
	lost      error
}

type buffer struct {
	at    uint64
	bytes int64
}

func (b *buffer) Size() int64 { return b.bytes }

type kernel struct {
	handle uintptr
	name   string
	shared int // what it may use beyond what it declares
}

func (k *kernel) Name() string { return k.name }

// Open opens the GPU of an ID.
func Open(id string) (device.Processor, error) {
	l, n, err := begin()
	if err != nil {
		return nil, err
	}
	ordinal, err := strconv.Atoi(strings.TrimPrefix(id, "cuda:"))
	if err != nil || ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("no device %s: CUDA has %d here", id, n)
	}
	info, err := l.describe(ordinal)
	if err != nil {
		return nil, err
	}
	p := &processor{
		library: l, info: info, arch: info.Features[0],
		calls: make(chan func()), done: make(chan struct{}), modules: map[*device.Program]uintptr{}, launched: "nothing",
	}
	go p.serve()
	err = p.call(func() error {
		if err := l.err(l.Get(&p.ordinal, int32(ordinal)), "cuDeviceGet of %s", id); err != nil {
			return err
		}
		// While the GPU works, the thread that waits for it costs nothing. A
		// context that exists already keeps its flags.
		l.Flags(p.ordinal, blockingSync)
		if err := l.err(l.Retain(&p.context, p.ordinal), "cuDevicePrimaryCtxRetain of %s", id); err != nil {
			return err
		}
		return l.err(l.Current(p.context), "cuCtxSetCurrent of %s", id)
	})
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// serve makes the calls of the driver.
func (p *processor) serve() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	defer close(p.done)
	for f := range p.calls {
		f()
	}
}

// call has the thread of the device do something, unless the device is lost.
func (p *processor) call(f func() error) error {
	result := make(chan error)
	p.calls <- func() {
		if p.lost != nil {
			result <- p.lost
			return
		}
		result <- f()
	}
	return <-result
}

// settle remembers an error after which the context cannot be used: of a launch,
// or of what waits for launches.
func (p *processor) settle(err error) error {
	if err != nil {
		p.lost = err
	} else {
		p.launched = "nothing"
	}
	return err
}

func (p *processor) Info() device.Info { return p.info }

func (p *processor) Alloc(bytes int64) (device.Buffer, error) {
	b := &buffer{bytes: bytes}
	return b, p.call(func() error {
		return p.err(p.Allocate(&b.at, uintptr(bytes)), "allocating %d bytes on %s", bytes, p.info.ID)
	})
}

func (p *processor) Free(b device.Buffer) error {
	return p.call(func() error { return p.err(p.library.Release(b.(*buffer).at), "freeing memory on %s", p.info.ID) })
}

func (p *processor) Host(bytes int64) (memory []byte, release func() error, err error) {
	var at unsafe.Pointer
	err = p.call(func() error {
		return p.err(p.AllocateHost(&at, uintptr(bytes), 0), "allocating %d bytes of page-locked memory for %s", bytes, p.info.ID)
	})
	if err != nil {
		return nil, nil, err
	}
	return unsafe.Slice((*byte)(at), bytes), func() error {
		return p.call(func() error { return p.err(p.ReleaseHost(at), "freeing page-locked memory of %s", p.info.ID) })
	}, nil
}

func (p *processor) Write(to device.Buffer, data []byte) error {
	return p.move(to, data, func(b *buffer) code { return p.ToDevice(b.at, unsafe.Pointer(&data[0]), uintptr(len(data)), 0) })
}

func (p *processor) Read(data []byte, from device.Buffer) error {
	return p.move(from, data, func(b *buffer) code { return p.ToHost(unsafe.Pointer(&data[0]), b.at, uintptr(len(data)), 0) })
}

// move copies and waits. The driver promises that a thread sleeps while it waits
// in cuCtxSynchronize (see blockingSync), but not while it does in cuMemcpyHtoD.
func (p *processor) move(b device.Buffer, data []byte, f func(*buffer) code) error {
	if int64(len(data)) > b.Size() {
		return fmt.Errorf("copying %d bytes to or from a buffer of %d", len(data), b.Size())
	}
	return p.call(func() error {
		if len(data) == 0 {
			return nil
		}
		c := f(b.(*buffer))
		if c == success {
			c = p.Synchronize()
		}
		return p.settle(p.err(c, "copying %d bytes on %s after launch of %s", len(data), p.info.ID, p.launched))
	})
}

func (p *processor) Kernel(program *device.Program, name string) (device.Kernel, error) {
	k := &kernel{name: name}
	return k, p.call(func() error {
		module, ok := p.modules[program]
		if !ok {
			var err error
			if module, err = p.load(program); err != nil {
				return err
			}
			p.modules[program] = module
		}
		return p.err(p.Function(&k.handle, module, name), "looking for kernel %s in program %s", name, program.Name)
	})
}

// load has the driver compile the PTX of a program.
func (p *processor) load(program *device.Program) (module uintptr, err error) {
	text, ok := program.For(p.arch)
	if !ok {
		return 0, fmt.Errorf("program %s has no code for %s, which %s needs: it is for %s", program.Name, p.arch, p.info.ID, strings.Join(program.Architectures(), ", "))
	}
	image := append([]byte(text), 0)
	log := make([]byte, 8<<10)
	options := []int32{jitErrorLog, jitErrorLogSize}
	values := []uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))}
	var pin runtime.Pinner // the driver sees the log by an address that is no pointer to Go
	defer pin.Unpin()
	pin.Pin(&log[0])
	if err := p.err(p.LoadModule(&module, &image[0], uint32(len(options)), &options[0], &values[0]), "loading program %s on %s", program.Name, p.info.ID); err != nil {
		said, _, _ := strings.Cut(string(log), "\x00")
		if said != "" {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said))
		}
		return 0, err
	}
	return module, nil
}

func (p *processor) Submit(launches ...device.Launch) error {
	return p.call(func() error {
		for _, l := range launches {
			if err := p.launch(l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *processor) launch(l device.Launch) error {
	k := l.Kernel.(*kernel)
	values := make([]uint64, len(l.Args))
	for i, arg := range l.Args {
		switch arg := arg.(type) {
		case *buffer:
			values[i] = arg.at
		case uint32:
			values[i] = uint64(arg)
		case float32:
			values[i] = uint64(math.Float32bits(arg))
		default:
			return fmt.Errorf("argument %d of %s is a %T", i, k.name, arg)
		}
	}
	if l.Shared > max(k.shared, sharedWithoutOptIn) {
		if err := p.err(p.SetAttribute(k.handle, functionShared, int32(l.Shared)), "giving %s %d bytes of shared memory", k.name, l.Shared); err != nil {
			return err
		}
		k.shared = l.Shared
	}
	p.arguments.Set(values)
	defer p.arguments.Release()
	p.launched = k.name
	params := unsafe.Pointer(unsafe.SliceData(p.arguments.Pointers))
	err := p.err(p.LaunchKernel(k.handle, uint32(l.Blocks[0]), uint32(l.Blocks[1]), 1, device.Threads, 1, 1, uint32(l.Shared), 0, params, nil), "launch of %s on %s", k.name, p.info.ID)
	if err != nil {
		p.lost = err
	}
	return err
}

func (p *processor) Sync() error {
	return p.call(func() error {
		return p.settle(p.err(p.Synchronize(), "waiting on %s for launch of %s", p.info.ID, p.launched))
	})
}

func (p *processor) Close() error {
	result := make(chan error)
	p.calls <- func() {
		var errs []error
		if p.lost == nil {
			for _, module := range p.modules {
				errs = append(errs, p.err(p.Unload(module), "unloading a program"))
			}
		}
		if p.context != 0 {
			errs = append(errs, p.err(p.ReleaseDevice(p.ordinal), "closing %s", p.info.ID))
		}
		if p.lost != nil {
			errs = slices.DeleteFunc(errs, func(error) bool { return true }) // the context was lost before
		}
		p.lost = fmt.Errorf("%s is closed", p.info.ID)
		result <- errors.Join(errs...)
	}
	err := <-result
	close(p.calls)
	<-p.done
	return err
}
