// Package driver is processors behind the driver interface that CUDA and HIP
// share: HIP has CUDA's functions under names of its own. Packages cuda and hip
// say where each library is, how it describes its devices and how it names its
// errors; everything else is here.
package driver

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

// Code is a CUresult or a hipError_t. Their numbers are the same.
type Code int32

// Codes of which the meaning is used.
const (
	Success       Code = 0
	noDevice      Code = 100
	invalidDevice Code = 101
	reachable     Code = 704 // peer access is already enabled
)

// API is the functions of a library, by their names in CUDA and in HIP. Devices
// are numbers; modules and functions are pointers of the library; addresses are
// those of the device.
type API struct {
	Init         func(flags uint32) Code                                                                                   `c:"cuInit|hipInit"`
	Version      func(v *int32) Code                                                                                       `c:"cuDriverGetVersion|hipDriverGetVersion"`
	Count        func(n *int32) Code                                                                                       `c:"cuDeviceGetCount|hipGetDeviceCount"`
	Get          func(d *int32, ordinal int32) Code                                                                        `c:"cuDeviceGet|hipDeviceGet"`
	DeviceName   func(buf *byte, size int32, d int32) Code                                                                 `c:"cuDeviceGetName|hipDeviceGetName"`
	UUID         func(b *[16]byte, d int32) Code                                                                           `c:"cuDeviceGetUuid_v2|hipDeviceGetUuid,optional"`
	PCI          func(buf *byte, size int32, d int32) Code                                                                 `c:"cuDeviceGetPCIBusId|hipDeviceGetPCIBusId"`
	TotalMemory  func(bytes *uint64, d int32) Code                                                                         `c:"cuDeviceTotalMem_v2|hipDeviceTotalMem"`
	FreeMemory   func(free, total *uintptr) Code                                                                           `c:"cuMemGetInfo_v2|hipMemGetInfo"`
	Attribute    func(v *int32, what int32, d int32) Code                                                                  `c:"cuDeviceGetAttribute|hipDeviceGetAttribute"`
	Synchronize  func() Code                                                                                               `c:"cuCtxSynchronize|hipDeviceSynchronize"`
	Allocate     func(at *uint64, bytes uintptr) Code                                                                      `c:"cuMemAlloc_v2|hipMalloc"`
	Release      func(at uint64) Code                                                                                      `c:"cuMemFree_v2|hipFree"`
	AllocateHost func(at *unsafe.Pointer, bytes uintptr, flags uint32) Code                                                `c:"cuMemHostAlloc|hipHostMalloc"`
	ReleaseHost  func(at unsafe.Pointer) Code                                                                              `c:"cuMemFreeHost|hipHostFree"`
	ToDevice     func(to uint64, from unsafe.Pointer, bytes uintptr, stream uintptr) Code                                  `c:"cuMemcpyHtoDAsync_v2|hipMemcpyHtoDAsync"`
	ToHost       func(to unsafe.Pointer, from uint64, bytes uintptr, stream uintptr) Code                                  `c:"cuMemcpyDtoHAsync_v2|hipMemcpyDtoHAsync"`
	CanReach     func(can *int32, d, other int32) Code                                                                     `c:"cuDeviceCanAccessPeer|hipDeviceCanAccessPeer,optional"`
	Reach        func(other uintptr, flags uint32) Code                                                                    `c:"cuCtxEnablePeerAccess|hipDeviceEnablePeerAccess,optional"`
	ToPeer       func(to uint64, other uintptr, from uint64, own uintptr, bytes uintptr, stream uintptr) Code              `c:"cuMemcpyPeerAsync|hipMemcpyPeerAsync,optional"`
	LoadModule   func(m *uintptr, image *byte, n uint32, options *int32, values *uintptr) Code                             `c:"cuModuleLoadDataEx|hipModuleLoadDataEx"`
	Unload       func(m uintptr) Code                                                                                      `c:"cuModuleUnload|hipModuleUnload"`
	Function     func(f *uintptr, m uintptr, name string) Code                                                             `c:"cuModuleGetFunction|hipModuleGetFunction"`
	LaunchKernel func(f uintptr, gx, gy, gz, bx, by, bz, shared uint32, stream uintptr, params, extra unsafe.Pointer) Code `c:"cuLaunchKernel|hipModuleLaunchKernel"`
}

// Driver is a library that was loaded, and what it has of its own.
type Driver struct {
	*API
	Name   string // as its vendor writes it: CUDA
	Prefix string // of the IDs of its devices: cuda
	Vendor string // of its devices

	// Words returns the library's name and text for an error, empty if it has none.
	Words func(Code) (name, text string)

	// Describe adds to info what each library has in its own way: driver, UUID,
	// lanes and features, of which the first is the architecture that
	// [device.Program.For] takes.
	Describe func(info *device.Info, d int32, uuid [16]byte)

	// Enter makes a device the one that this thread's calls are for, and returns what
	// functions on two devices take for it: a context of CUDA, a number of HIP. Leave
	// ends that.
	Enter func(d int32) (own uintptr, err error)
	Leave func(d int32) error

	// Encode writes the 128 bytes by which a kernel copies boxes of a matrix at an
	// address, to a multiple of 64. It is nil if kernels cannot.
	Encode func(to *[16]uint64, at uint64, m device.Matrix) Code

	// Shared allows a kernel more than sharedWithoutOptIn bytes of shared memory.
	// It is nil if no kernel has to be allowed it.
	Shared func(kernel uintptr, bytes int32) Code

	// Compiles says that LoadModule compiles, and reports what it cannot compile.
	Compiles bool
}

// List loads a library and lists the devices that it lets this process use.
func List(load func() (*Driver, error)) ([]device.Info, error) {
	d, err := load()
	if err != nil {
		return nil, err
	}
	return d.List()
}

// Open loads a library and opens the device of an ID.
func Open(load func() (*Driver, error), id string) (device.Processor, error) {
	d, err := load()
	if err != nil {
		return nil, err
	}
	return d.Open(id)
}

// Numbers of cuda.h and of hip_runtime_api.h.
const (
	jitErrorLog, jitErrorLogSize = 5, 6
	sharedWithoutOptIn           = 48 << 10
)

// Error is an error of a driver.
type Error struct {
	Code       int
	Name, Text string // as the driver has them
	Doing      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d) in %s: %s", e.Name, e.Code, e.Doing, e.Text)
}

// Err returns the result of a call as an error.
func (d *Driver) Err(c Code, doing string, args ...any) error {
	if c == Success {
		return nil
	}
	name, text := d.Words(c)
	if name == "" {
		name = d.Name + " error"
	}
	if text == "" {
		text = "the driver has no text for it"
	}
	return &Error{int(c), name, text, fmt.Sprintf(doing, args...)}
}

// count initialises the library and returns how many devices it lets this process
// use.
func (d *Driver) count() (int, error) {
	var n int32
	// Without a device hipInit calls it invalid, and only counting says that there
	// is none.
	switch c := d.Init(0); {
	case c == noDevice, c == invalidDevice && d.Count(&n) == noDevice:
		return 0, nil
	case c != Success:
		return 0, d.Err(c, "initialising %s", d.Name)
	}
	if c := d.Count(&n); c != Success && c != noDevice {
		return 0, d.Err(c, "counting the devices of %s", d.Name)
	}
	return max(0, min(int(n), 1<<10)), nil
}

// List returns the GPUs that the driver lets this process use, in its own order.
func (d *Driver) List() ([]device.Info, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	list := make([]device.Info, n)
	for i := range list {
		if list[i], _, err = d.describe(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *Driver) describe(ordinal int) (info device.Info, handle int32, err error) {
	info = device.Info{ID: d.Prefix + ":" + strconv.Itoa(ordinal), Kind: device.GPU, Vendor: d.Vendor}
	if err := d.Err(d.Get(&handle, int32(ordinal)), "looking for %s", info.ID); err != nil {
		return info, 0, err
	}
	info.Name = foreign.Text(256, func(buf *byte, size uintptr) { d.DeviceName(buf, int32(size), handle) })
	info.PCI = address(foreign.Text(64, func(buf *byte, size uintptr) { d.PCI(buf, int32(size), handle) }))
	var bytes uint64
	if d.TotalMemory(&bytes, handle) == Success && bytes <= math.MaxInt64 {
		info.Memory = int64(bytes)
	}
	var uuid [16]byte
	if d.UUID == nil || d.UUID(&uuid, handle) != Success {
		uuid = [16]byte{}
	}
	d.Describe(&info, handle, uuid)
	return info, handle, nil
}

// address writes a PCI address as Linux does, with four digits of domain or more:
// some drivers write eight.
func address(text string) string {
	var domain, bus, slot, function uint32
	if n, _ := fmt.Sscanf(text, "%x:%x:%x.%x", &domain, &bus, &slot, &function); n != 4 {
		return ""
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", domain, bus, slot, function)
}

// Number is an attribute of a device, 0 if the driver does not know it.
func (d *Driver) Number(handle, what int32) int {
	var v int32
	if d.Attribute(&v, what, handle) != Success {
		return 0
	}
	return int(v)
}

// processor is an open GPU. Its driver is called by one thread, on which its
// device is the current one.
type processor struct {
	*Driver
	info    device.Info
	handle  int32
	own     uintptr // what functions on two devices take for this one
	entered bool
	calls   chan func()
	done    chan struct{}

	modules   map[*device.Program]module
	arguments foreign.Arguments
	launched  string // the kernels since the last time that the device was idle
	lost      error
}

// module is a loaded program. HIP reads the image as long as it is loaded.
type module struct {
	handle uintptr
	image  []byte
}

type buffer struct {
	at    uint64
	bytes int64
	part  bool
}

func (b *buffer) Size() int64 { return b.bytes }

type kernel struct {
	handle uintptr
	name   string
	shared int // what it may use beyond what it declares
}

func (k *kernel) Name() string { return k.name }

// Open opens the GPU of an ID. It implements [device.Native].
func (d *Driver) Open(id string) (device.Processor, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	ordinal, err := strconv.Atoi(strings.TrimPrefix(id, d.Prefix+":"))
	if err != nil || ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("no device %s: %s has %d here", id, d.Name, n)
	}
	info, handle, err := d.describe(ordinal)
	if err != nil {
		return nil, err
	}
	p := &processor{
		Driver: d, info: info, handle: handle,
		calls: make(chan func()), done: make(chan struct{}), modules: map[*device.Program]module{}, launched: nothing,
	}
	go p.serve()
	err = p.call(func() error {
		var err error
		p.own, err = d.Enter(handle)
		if p.entered = err == nil; !p.entered {
			return err
		}
		var free, total uintptr
		if d.FreeMemory(&free, &total) == Success && uint64(free) <= uint64(info.Memory) { // #nosec G115 -- Memory is not negative
			p.info.Free = int64(free) // #nosec G115 -- at most Memory
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// nothing was launched since the device was idle.
const nothing = "nothing"

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

// settle remembers an error after which the device cannot be used: of a launch,
// or of what waits for launches.
func (p *processor) settle(err error) error {
	if err != nil {
		p.lost = err
	} else {
		p.launched = nothing
	}
	return err
}

func (p *processor) Info() device.Info { return p.info }

// Address, Queue and Do implement [device.Native]. Everything is submitted to the
// default stream, whose handle is 0.
func (p *processor) Address(b device.Buffer) uintptr { return uintptr(b.(*buffer).at) }

func (p *processor) Queue() uintptr { return 0 }

func (p *processor) Do(name string, f func() error) error {
	return p.call(func() error {
		p.launched = name
		return f()
	})
}

func (p *processor) Alloc(bytes int64) (device.Buffer, error) {
	b := &buffer{bytes: bytes}
	return b, p.call(func() error {
		return p.Err(p.Allocate(&b.at, uintptr(bytes)), "allocating %d bytes on %s", bytes, p.info.ID)
	})
}

func (p *processor) Part(b device.Buffer, offset, bytes int64) (device.Buffer, error) {
	if err := device.CheckPart(b, offset, bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", p.info.ID, err)
	}
	return &buffer{b.(*buffer).at + uint64(offset), bytes, true}, nil
}

func (p *processor) Free(b device.Buffer) error {
	if b.(*buffer).part {
		return device.ErrPart
	}
	return p.call(func() error { return p.Err(p.Release(b.(*buffer).at), "freeing memory on %s", p.info.ID) })
}

func (p *processor) Host(bytes int64) (memory []byte, release func() error, err error) {
	var at unsafe.Pointer
	err = p.call(func() error {
		return p.Err(p.AllocateHost(&at, uintptr(bytes), 0), "allocating %d bytes of page-locked memory for %s", bytes, p.info.ID)
	})
	if err != nil {
		return nil, nil, err
	}
	return unsafe.Slice((*byte)(at), bytes), func() error {
		return p.call(func() error { return p.Err(p.ReleaseHost(at), "freeing page-locked memory of %s", p.info.ID) })
	}, nil
}

func (p *processor) Write(to device.Buffer, data []byte) error {
	return p.move(to, data, func(b *buffer) Code { return p.ToDevice(b.at, unsafe.Pointer(&data[0]), uintptr(len(data)), 0) })
}

func (p *processor) Read(data []byte, from device.Buffer) error {
	return p.move(from, data, func(b *buffer) Code { return p.ToHost(unsafe.Pointer(&data[0]), b.at, uintptr(len(data)), 0) })
}

// move copies and waits. CUDA promises that a thread sleeps while it waits in
// cuCtxSynchronize, but not while it does in cuMemcpyHtoD.
func (p *processor) move(b device.Buffer, data []byte, f func(*buffer) Code) error {
	if int64(len(data)) > b.Size() {
		return fmt.Errorf("copying %d bytes to or from a buffer of %d", len(data), b.Size())
	}
	return p.call(func() error {
		if len(data) == 0 {
			return nil
		}
		c := f(b.(*buffer))
		if c == Success {
			c = p.Synchronize()
		}
		return p.settle(p.Err(c, "copying %d bytes on %s after launch of %s", len(data), p.info.ID, p.launched))
	})
}

// Direct and Send implement [device.Peer].
func (p *processor) Direct(other device.Processor) (bool, error) {
	o, ok := other.(*processor)
	if !ok || o.Driver.Name != p.Driver.Name || o == p || p.CanReach == nil || p.Reach == nil || p.ToPeer == nil {
		return false, nil
	}
	for _, way := range [][2]*processor{{p, o}, {o, p}} {
		from, to := way[0], way[1]
		can := int32(0)
		err := from.call(func() error {
			c := from.CanReach(&can, from.handle, to.handle)
			if c == Success && can != 0 {
				if c = from.Reach(to.own, 0); c == reachable {
					c = Success
				}
			}
			return from.Err(c, "letting %s reach the memory of %s", from.info.ID, to.info.ID)
		})
		if err != nil || can == 0 {
			return false, err
		}
	}
	return true, nil
}

func (p *processor) Send(other device.Processor, to, from device.Buffer) error {
	o, ok := other.(*processor)
	if !ok || p.ToPeer == nil {
		return fmt.Errorf("%s cannot send to %s", p.info.ID, other.Info().ID)
	}
	if err := device.CheckSend(to, from); err != nil {
		return err
	}
	return p.call(func() error {
		c := p.ToPeer(to.(*buffer).at, o.own, from.(*buffer).at, p.own, uintptr(from.Size()), 0)
		if c == Success {
			c = p.Synchronize()
		}
		return p.settle(p.Err(c, "sending %d bytes from %s to %s after launch of %s", from.Size(), p.info.ID, o.info.ID, p.launched))
	})
}

func (p *processor) Kernel(program *device.Program, name string) (device.Kernel, error) {
	k := &kernel{name: name}
	return k, p.call(func() error {
		m, ok := p.modules[program]
		if !ok {
			var err error
			if m, err = p.load(program); err != nil {
				return err
			}
			p.modules[program] = m
		}
		return p.Err(p.Function(&k.handle, m.handle, name), "looking for kernel %s in program %s", name, program.Name)
	})
}

// load hands the driver a program: PTX, which it compiles, or a code object.
func (p *processor) load(program *device.Program) (m module, err error) {
	arch := p.info.Features[0]
	text, ok := program.For(arch)
	if !ok {
		return m, fmt.Errorf("program %s has no code for %s, which %s needs: it is for %s", program.Name, arch, p.info.ID, strings.Join(program.Architectures(), ", "))
	}
	m.image = append([]byte(text), 0)
	if !p.Compiles {
		return m, p.Err(p.LoadModule(&m.handle, &m.image[0], 0, nil, nil), "loading program %s on %s", program.Name, p.info.ID)
	}
	log := make([]byte, 8<<10)
	options := []int32{jitErrorLog, jitErrorLogSize}
	values := []uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))}
	var pin runtime.Pinner // the driver sees the log by an address that is no pointer to Go
	defer pin.Unpin()
	pin.Pin(&log[0])
	if err := p.Err(p.LoadModule(&m.handle, &m.image[0], uint32(len(options)), &options[0], &values[0]), "loading program %s on %s", program.Name, p.info.ID); err != nil {
		said, _, _ := strings.Cut(string(log), "\x00")
		if said != "" {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said))
		}
		return m, err
	}
	return m, nil
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
	words, first := make([]uint64, 0, 8), make([]int, len(l.Args))
	for i, arg := range l.Args {
		first[i] = len(words)
		switch arg := arg.(type) {
		case *buffer:
			words = append(words, arg.at)
		case uint32:
			words = append(words, uint64(arg))
		case float32:
			words = append(words, uint64(math.Float32bits(arg)))
		case device.Matrix:
			tensor, err := p.matrix(arg)
			if err != nil {
				return fmt.Errorf("argument %d of %s: %w", i, k.name, err)
			}
			words = append(words, tensor...)
		default:
			return fmt.Errorf("argument %d of %s is a %T", i, k.name, arg)
		}
	}
	if p.Shared != nil && l.Shared > max(k.shared, sharedWithoutOptIn) {
		if err := p.Err(p.Shared(k.handle, int32(l.Shared)), "giving %s %d bytes of shared memory", k.name, l.Shared); err != nil {
			return err
		}
		k.shared = l.Shared
	}
	p.arguments.Set(words, first)
	defer p.arguments.Release()
	p.launched = k.name
	params := unsafe.Pointer(unsafe.SliceData(p.arguments.Pointers))
	err := p.Err(p.LaunchKernel(k.handle, uint32(l.Blocks[0]), uint32(l.Blocks[1]), 1, uint32(l.BlockThreads()), 1, 1, uint32(l.Shared), 0, params, nil), "launch of %s on %s", k.name, p.info.ID)
	if err != nil {
		p.lost = err
	}
	return err
}

// matrix returns the words of an argument of that kind.
func (p *processor) matrix(m device.Matrix) ([]uint64, error) {
	b, ok := m.Buffer.(*buffer)
	switch {
	case p.Encode == nil:
		return nil, fmt.Errorf("%s has no tensor maps here", p.Name)
	case !ok || m.Rows < 1 || m.Bytes < 1 || int64(m.Rows) > b.bytes/int64(m.Bytes):
		return nil, fmt.Errorf("%d rows of %d bytes are not in the buffer", m.Rows, m.Bytes)
	}
	var room [16 + 7]uint64
	at := 0
	for uintptr(unsafe.Pointer(&room[at]))%64 != 0 {
		at++
	}
	to := (*[16]uint64)(room[at:])
	return to[:], p.Err(p.Encode(to, b.at, m), "encoding a tensor map of %d rows of %d bytes, %d rows a box", m.Rows, m.Bytes, m.Box)
}

func (p *processor) Sync() error {
	return p.call(func() error {
		return p.settle(p.Err(p.Synchronize(), "waiting on %s for launch of %s", p.info.ID, p.launched))
	})
}

func (p *processor) Close() error {
	result := make(chan error)
	p.calls <- func() {
		var errs []error
		if p.lost == nil {
			for _, m := range p.modules {
				errs = append(errs, p.Err(p.Unload(m.handle), "unloading a program"))
			}
		}
		if p.entered {
			errs = append(errs, p.Leave(p.handle))
		}
		if p.lost != nil {
			errs = slices.DeleteFunc(errs, func(error) bool { return true }) // the device was lost before
		}
		p.lost = fmt.Errorf("%s is closed", p.info.ID)
		result <- errors.Join(errs...)
	}
	err := <-result
	close(p.calls)
	<-p.done
	return err
}
