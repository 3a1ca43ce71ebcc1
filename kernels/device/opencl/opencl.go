// Package opencl is the devices that OpenCL drivers offer, for GPUs that neither
// CUDA nor HIP reaches. It follows the OpenCL 1.2 specification, and cl.h and
// cl_ext.h of Khronos for constants.
//
// An OpenCL driver may offer the CPU (PoCL does). Such a device is of kind CPU
// and must be named to be used.
package opencl

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/foreign"
)

// code is a cl_int that a function returns.
type code int32

// codes are the names of cl.h for what can happen here.
var codes = map[code]string{
	-1: "CL_DEVICE_NOT_FOUND", -2: "CL_DEVICE_NOT_AVAILABLE", -3: "CL_COMPILER_NOT_AVAILABLE", -4: "CL_MEM_OBJECT_ALLOCATION_FAILURE",
	-5: "CL_OUT_OF_RESOURCES", -13: "CL_MISALIGNED_SUB_BUFFER_OFFSET", -6: "CL_OUT_OF_HOST_MEMORY", -11: "CL_BUILD_PROGRAM_FAILURE", -14: "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
	-30: "CL_INVALID_VALUE", -34: "CL_INVALID_CONTEXT", -36: "CL_INVALID_COMMAND_QUEUE", -38: "CL_INVALID_MEM_OBJECT", -42: "CL_INVALID_BINARY",
	-43: "CL_INVALID_BUILD_OPTIONS", -44: "CL_INVALID_PROGRAM", -45: "CL_INVALID_PROGRAM_EXECUTABLE", -46: "CL_INVALID_KERNEL_NAME",
	-48: "CL_INVALID_KERNEL", -49: "CL_INVALID_ARG_INDEX", -50: "CL_INVALID_ARG_VALUE", -51: "CL_INVALID_ARG_SIZE", -52: "CL_INVALID_KERNEL_ARGS",
	-54: "CL_INVALID_WORK_GROUP_SIZE", -55: "CL_INVALID_WORK_ITEM_SIZE", -61: "CL_INVALID_BUFFER_SIZE", -1001: "CL_PLATFORM_NOT_FOUND_KHR",
}

// err names what failed.
func (c code) err(doing string) error {
	if c == 0 {
		return nil
	}
	name := codes[c]
	if name == "" {
		name = "OpenCL error"
	}
	return fmt.Errorf("%s (%d) in %s", name, c, doing)
}

const (
	platformNotFound code = -1001
	deviceNotFound   code = -1
)

// library is the functions of libOpenCL. Handles are pointers of the library.
type library struct {
	Platforms func(n uint32, ids *uintptr, count *uint32) code                                                                                        `c:"clGetPlatformIDs"`
	Devices   func(platform uintptr, kind uint64, n uint32, ids *uintptr, count *uint32) code                                                         `c:"clGetDeviceIDs"`
	Info      func(device uintptr, what uint32, size uintptr, value unsafe.Pointer, got *uintptr) code                                                `c:"clGetDeviceInfo"`
	Context   func(properties unsafe.Pointer, n uint32, devices *uintptr, notify, data uintptr, err *code) uintptr                                    `c:"clCreateContext"`
	Queue     func(context, device uintptr, properties uint64, err *code) uintptr                                                                     `c:"clCreateCommandQueue"`
	Program   func(context uintptr, n uint32, text **byte, sizes *uintptr, err *code) uintptr                                                         `c:"clCreateProgramWithSource"`
	Build     func(program uintptr, n uint32, devices *uintptr, options string, notify, data uintptr) code                                            `c:"clBuildProgram"`
	BuildInfo func(program, device uintptr, what uint32, size uintptr, value unsafe.Pointer, got *uintptr) code                                       `c:"clGetProgramBuildInfo"`
	Kernel    func(program uintptr, name string, err *code) uintptr                                                                                   `c:"clCreateKernel"`
	Arg       func(kernel uintptr, i uint32, size uintptr, value unsafe.Pointer) code                                                                 `c:"clSetKernelArg"`
	Buffer    func(context uintptr, flags uint64, size uintptr, host unsafe.Pointer, err *code) uintptr                                               `c:"clCreateBuffer"`
	SubBuffer func(buffer uintptr, flags uint64, kind uint32, region unsafe.Pointer, err *code) uintptr                                               `c:"clCreateSubBuffer"`
	Write     func(queue, buffer uintptr, wait uint32, offset, size uintptr, from unsafe.Pointer, n uint32, events, event uintptr) code               `c:"clEnqueueWriteBuffer"`
	Read      func(queue, buffer uintptr, wait uint32, offset, size uintptr, to unsafe.Pointer, n uint32, events, event uintptr) code                 `c:"clEnqueueReadBuffer"`
	Map       func(queue, buffer uintptr, wait uint32, flags uint64, offset, size uintptr, n uint32, events, event uintptr, err *code) unsafe.Pointer `c:"clEnqueueMapBuffer"`
	Unmap     func(queue, buffer uintptr, at unsafe.Pointer, n uint32, events, event uintptr) code                                                    `c:"clEnqueueUnmapMemObject"`
	Launch    func(queue, kernel uintptr, dims uint32, offset, global, local *uintptr, n uint32, events, event uintptr) code                          `c:"clEnqueueNDRangeKernel"`
	Flush     func(queue uintptr) code                                                                                                                `c:"clFlush"`
	Finish    func(queue uintptr) code                                                                                                                `c:"clFinish"`
	FreeMem   func(uintptr) code                                                                                                                      `c:"clReleaseMemObject"`
	FreeKern  func(uintptr) code                                                                                                                      `c:"clReleaseKernel"`
	FreeProg  func(uintptr) code                                                                                                                      `c:"clReleaseProgram"`
	FreeQueue func(uintptr) code                                                                                                                      `c:"clReleaseCommandQueue"`
	FreeCtx   func(uintptr) code                                                                                                                      `c:"clReleaseContext"`
}

// Numbers of cl.h and cl_ext.h.
const (
	typeCPU, typeAll                                  = 1 << 1, 0xffffffff
	infoType, infoUnits, infoMemory, infoExtensions   = 0x1000, 0x1002, 0x101f, 0x1030
	infoName, infoVendor, infoDriver, infoLocalMemory = 0x102b, 0x102c, 0x102d, 0x1023
	infoUUID, infoPCI                                 = 0x106a, 0x410f // cl_khr_device_uuid, cl_khr_pci_bus_info
	infoBusNV, infoSlotNV, infoDomainNV               = 0x4008, 0x4009, 0x400a
	infoTopologyAMD                                   = 0x4037
	buildLog                                          = 0x1183
	memReadWrite, memAllocHost, bufferRegion          = 1, 1 << 4, 0x1220
	mapRead, mapWrite                                 = 1, 2
)

var libraries = []string{"libOpenCL.so.1", "libOpenCL.so"}

// Missing returns why there is no OpenCL, without loading it; nil if there is one, or
// may be.
func Missing() error { return foreign.Missing(libraries...) }

// found is a device and the handle that the library has for it.
type found struct {
	device.Info
	handle uintptr
}

// enumerate loads the library and lists the devices of every platform.
func enumerate() (*library, []found, error) {
	l := &library{}
	if err := foreign.Bind(l, libraries...); err != nil {
		return nil, nil, err
	}
	var platforms [64]uintptr
	var n uint32
	if c := l.Platforms(uint32(len(platforms)), &platforms[0], &n); c != 0 {
		if c == platformNotFound {
			return l, nil, nil
		}
		return nil, nil, c.err("clGetPlatformIDs")
	}
	var list []found
	for _, platform := range platforms[:min(int(n), len(platforms))] {
		var devices [64]uintptr
		var n uint32
		if c := l.Devices(platform, typeAll, uint32(len(devices)), &devices[0], &n); c != 0 {
			if c == deviceNotFound {
				continue
			}
			return nil, nil, c.err("clGetDeviceIDs")
		}
		for _, handle := range devices[:min(int(n), len(devices))] {
			list = append(list, found{l.describe(handle, len(list)), handle})
		}
	}
	return l, list, nil
}

// List returns the devices of this machine, named opencl:0, opencl:1 and so on.
// The error wraps [foreign.ErrAbsent] if there is no library.
func List() ([]device.Info, error) {
	_, list, err := enumerate()
	infos := make([]device.Info, len(list))
	for i, f := range list {
		infos[i] = f.Info
	}
	return infos, err
}

// textMost is the largest size in bytes of a text that is read, with its final zero. A
// list of extensions can have several thousand, and a log of the compiler more.
const textMost = 1 << 20

// textOf is the text that a query of the library returns, which is asked for its size
// first: into less than it needs, a driver writes nothing.
func textOf(query func(size uintptr, to unsafe.Pointer, got *uintptr) code) string {
	var size uintptr
	if query(0, nil, &size) != 0 || size == 0 || size > textMost {
		return ""
	}
	return foreign.Text(int(size)+1, func(buf *byte, _ uintptr) { query(size, unsafe.Pointer(buf), nil) })
}

// describe asks a device what it is. What it does not know stays empty.
func (l *library) describe(handle uintptr, index int) device.Info {
	text := func(what uint32) string {
		return textOf(func(size uintptr, to unsafe.Pointer, got *uintptr) code { return l.Info(handle, what, size, to, got) })
	}
	number := func(what uint32, size int) (v uint64, ok bool) {
		c := l.Info(handle, what, uintptr(size), unsafe.Pointer(&v), nil)
		return v, c == 0
	}
	info := device.Info{
		ID: "opencl:" + strconv.Itoa(index), Kind: device.GPU, Vendor: text(infoVendor), Name: text(infoName), Driver: "OpenCL " + text(infoDriver),
	}
	if kind, ok := number(infoType, 8); ok && kind&typeCPU != 0 {
		info.Kind = device.CPU
		info.Name += " (a CPU, through OpenCL)"
	}
	if v, ok := number(infoMemory, 8); ok && v <= math.MaxInt64 {
		info.Memory = int64(v)
	}
	if v, ok := number(infoUnits, 4); ok {
		info.Lanes = int(v)
	}
	info.Features = []string{"opencl"}
	for extension := range strings.FieldsSeq(text(infoExtensions)) {
		if extension == "cl_khr_fp64" || extension == "cl_khr_fp16" {
			info.Features = append(info.Features, strings.TrimPrefix(extension, "cl_khr_"))
		}
	}
	info.PCI, info.UUID = l.address(handle), l.uuid(handle)
	return info
}

// address is the PCI address, by whichever extension the driver has.
func (l *library) address(handle uintptr) string {
	var b [24]byte
	u32 := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	ask := func(what uint32, size uintptr) bool {
		return l.Info(handle, what, size, unsafe.Pointer(&b[0]), nil) == 0
	}
	format := func(domain, bus, device, function uint32) string {
		return fmt.Sprintf("%04x:%02x:%02x.%x", domain, bus, device, function)
	}
	switch {
	case ask(infoPCI, 16): // domain, bus, device, function
		return format(u32(0), u32(1), u32(2), u32(3))
	case ask(infoTopologyAMD, 24) && u32(0) == 1: // a type, 17 bytes of nothing, bus, device, function
		return format(0, uint32(b[21]), uint32(b[22]), uint32(b[23]))
	case ask(infoBusNV, 4):
		bus := u32(0)
		domain, slot := uint32(0), uint32(0)
		if ask(infoDomainNV, 4) {
			domain = u32(0)
		}
		if ask(infoSlotNV, 4) {
			slot = u32(0)
		}
		return format(domain, bus, slot>>3, slot&7)
	}
	return ""
}

func (l *library) uuid(handle uintptr) string {
	var b [16]byte
	if l.Info(handle, infoUUID, 16, unsafe.Pointer(&b[0]), nil) != 0 || b == [16]byte{} {
		return ""
	}
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// processor is an open device.
type processor struct {
	*library
	found
	context, queue uintptr
	programs       map[*device.Program]uintptr
	kernels        []*kernel
	lost           error
}

// buffer is a memory object, or a part of one: a sub-buffer, which the driver
// forgets when it is released. Sub-buffers have none of their own.
type buffer struct {
	handle uintptr
	size   int64
	whole  *buffer // of a part
	from   int64   // where a part begins in it
	parts  []uintptr
}

func (b *buffer) Size() int64 { return b.size }

type kernel struct {
	handle uintptr
	name   string
}

func (k *kernel) Name() string { return k.name }

// Open opens the device of an ID.
func Open(id string) (device.Processor, error) {
	l, list, err := enumerate()
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if f.ID != id {
			continue
		}
		p := &processor{library: l, found: f, programs: map[*device.Program]uintptr{}}
		var c code
		if p.context = l.Context(nil, 1, &f.handle, 0, 0, &c); c != 0 {
			return nil, c.err("clCreateContext")
		}
		if p.queue = l.Queue(p.context, f.handle, 0, &c); c != 0 {
			l.FreeCtx(p.context)
			return nil, c.err("clCreateCommandQueue")
		}
		return p, nil
	}
	return nil, fmt.Errorf("no device %s: OpenCL has %d here", id, len(list))
}

func (p *processor) Info() device.Info { return p.found.Info }

// note remembers an error after which nothing of the device can be relied on.
func (p *processor) note(err error) error {
	if err != nil {
		p.lost = err
	}
	return err
}

// Address, Queue and Do implement [device.Native]. OpenCL has no current context:
// any thread may call it.
func (p *processor) Address(b device.Buffer) uintptr { return b.(*buffer).handle }

func (p *processor) Queue() uintptr { return p.queue }

func (p *processor) Do(_ string, f func() error) error {
	if p.lost != nil {
		return p.lost
	}
	return f()
}

func (p *processor) Alloc(bytes int64) (device.Buffer, error) {
	if p.lost != nil {
		return nil, p.lost
	}
	var c code
	handle := p.Buffer(p.context, memReadWrite, uintptr(bytes), nil, &c)
	if c != 0 {
		return nil, c.err(fmt.Sprintf("clCreateBuffer of %d bytes", bytes))
	}
	return &buffer{handle: handle, size: bytes}, nil
}

func (p *processor) Free(b device.Buffer) error {
	whole := b.(*buffer)
	if whole.whole != nil {
		return device.ErrPart
	}
	var errs []error
	for _, handle := range append(whole.parts, whole.handle) {
		errs = append(errs, p.FreeMem(handle).err("clReleaseMemObject"))
	}
	return errors.Join(errs...)
}

func (p *processor) Part(b device.Buffer, offset, bytes int64) (device.Buffer, error) {
	if p.lost != nil {
		return nil, p.lost
	}
	if err := device.CheckPart(b, offset, bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", p.ID, err)
	}
	whole := b.(*buffer)
	if whole.whole != nil {
		whole, offset = whole.whole, offset+whole.from
	}
	region := [2]uintptr{uintptr(offset), uintptr(bytes)}
	var c code
	handle := p.SubBuffer(whole.handle, memReadWrite, bufferRegion, unsafe.Pointer(&region), &c)
	if c != 0 {
		return nil, c.err(fmt.Sprintf("clCreateSubBuffer of %d bytes at %d", bytes, offset))
	}
	whole.parts = append(whole.parts, handle)
	return &buffer{handle: handle, size: bytes, whole: whole, from: offset}, nil
}

// Host maps a buffer that the driver keeps in memory of the host: for NVIDIA's
// and AMD's that memory is page-locked.
func (p *processor) Host(bytes int64) (memory []byte, release func() error, err error) {
	if p.lost != nil {
		return nil, nil, p.lost
	}
	var c code
	handle := p.Buffer(p.context, memReadWrite|memAllocHost, uintptr(bytes), nil, &c)
	if c != 0 {
		return nil, nil, c.err(fmt.Sprintf("clCreateBuffer of %d bytes of the host", bytes))
	}
	at := p.Map(p.queue, handle, 1, mapRead|mapWrite, 0, uintptr(bytes), 0, 0, 0, &c)
	if c != 0 {
		p.FreeMem(handle)
		return nil, nil, c.err(fmt.Sprintf("clEnqueueMapBuffer of %d bytes", bytes))
	}
	return unsafe.Slice((*byte)(at), bytes), func() error {
		return errors.Join(p.Unmap(p.queue, handle, at, 0, 0, 0).err("clEnqueueUnmapMemObject"), p.Finish(p.queue).err("clFinish"), p.FreeMem(handle).err("clReleaseMemObject"))
	}, nil
}

func (p *processor) Write(to device.Buffer, data []byte) error {
	return p.move(p.library.Write, to, data, "writing")
}

func (p *processor) Read(data []byte, from device.Buffer) error {
	return p.move(p.library.Read, from, data, "reading")
}

func (p *processor) move(f func(queue, buffer uintptr, wait uint32, offset, size uintptr, host unsafe.Pointer, n uint32, events, event uintptr) code, b device.Buffer, data []byte, doing string) error {
	switch {
	case p.lost != nil:
		return p.lost
	case int64(len(data)) > b.Size():
		return fmt.Errorf("%s %d bytes of a buffer of %d", doing, len(data), b.Size())
	case len(data) == 0:
		return nil
	}
	return p.note(f(p.queue, b.(*buffer).handle, 1, 0, uintptr(len(data)), unsafe.Pointer(&data[0]), 0, 0, 0).err(doing + " memory"))
}

func (p *processor) Kernel(program *device.Program, name string) (device.Kernel, error) {
	if p.lost != nil {
		return nil, p.lost
	}
	handle, ok := p.programs[program]
	if !ok {
		var err error
		if handle, err = p.build(program); err != nil {
			return nil, err
		}
		p.programs[program] = handle
	}
	var c code
	k := &kernel{p.library.Kernel(handle, name, &c), name}
	if c != 0 {
		return nil, c.err("clCreateKernel " + name)
	}
	p.kernels = append(p.kernels, k)
	return k, nil
}

// build compiles the source of a program.
func (p *processor) build(program *device.Program) (uintptr, error) {
	if program.Source == "" {
		return 0, fmt.Errorf("program %s has no source in OpenCL C", program.Name)
	}
	text, size := []byte(program.Source), uintptr(len(program.Source))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&text[0])
	first := &text[0]
	var c code
	handle := p.library.Program(p.context, 1, &first, &size, &c)
	if c != 0 {
		return 0, c.err("clCreateProgramWithSource")
	}
	if c := p.Build(handle, 1, &p.handle, "-cl-std=CL1.2", 0, 0); c != 0 {
		log := textOf(func(size uintptr, to unsafe.Pointer, got *uintptr) code {
			return p.BuildInfo(handle, p.handle, buildLog, size, to, got)
		})
		p.FreeProg(handle)
		return 0, fmt.Errorf("%w: %s", c.err("building "+program.Name), log)
	}
	return handle, nil
}

func (p *processor) Submit(launches ...device.Launch) error {
	if p.lost != nil {
		return p.lost
	}
	for _, l := range launches {
		if err := p.launch(l); err != nil {
			return p.note(err)
		}
	}
	return p.note(p.Flush(p.queue).err("clFlush"))
}

func (p *processor) launch(l device.Launch) error {
	k := l.Kernel.(*kernel)
	if l.Shared != 0 {
		return errors.New("OpenCL has no shared memory beyond what a kernel declares")
	}
	for i, arg := range l.Args {
		var v uint64
		size := uintptr(4)
		switch arg := arg.(type) {
		case *buffer:
			v, size = uint64(arg.handle), unsafe.Sizeof(arg.handle)
		case uint32:
			v = uint64(arg)
		case float32:
			v = uint64(math.Float32bits(arg))
		default:
			return fmt.Errorf("argument %d of %s is a %T", i, k.name, arg)
		}
		if c := p.Arg(k.handle, uint32(i), size, unsafe.Pointer(&v)); c != 0 {
			return c.err(fmt.Sprintf("argument %d of %s", i, k.name))
		}
	}
	threads := uintptr(l.BlockThreads())
	local := [2]uintptr{threads, 1}
	global := [2]uintptr{uintptr(l.Blocks[0]) * threads, uintptr(l.Blocks[1])}
	return p.library.Launch(p.queue, k.handle, 2, nil, &global[0], &local[0], 0, 0, 0).err("launch of " + k.name)
}

func (p *processor) Sync() error {
	if p.lost != nil {
		return p.lost
	}
	return p.note(p.Finish(p.queue).err("clFinish"))
}

func (p *processor) Close() error {
	p.Finish(p.queue)
	for _, k := range p.kernels {
		p.FreeKern(k.handle)
	}
	for _, handle := range p.programs {
		p.FreeProg(handle)
	}
	p.FreeQueue(p.queue)
	p.FreeCtx(p.context)
	p.lost = errors.New("the device is closed")
	return nil
}
