package device

import (
	"errors"
	"fmt"
)

// Processor is a device that has memory of its own and runs kernels that are
// sent to it: a GPU. The errors of its methods have the name and the number that
// the driver gives them, and what was being done. After an error of a launch the
// processor is lost to this process: every later call returns that error.
//
// One goroutine at a time calls a processor.
type Processor interface {
	Device

	// Alloc allocates memory of the device, filled with anything.
	Alloc(bytes int64) (Buffer, error)

	// Free gives memory back, with its parts. What was submitted before may still
	// use it.
	Free(Buffer) error

	// Part returns the bytes of a buffer from an offset on as a buffer of their own,
	// which is valid while the whole is and is not freed. The offset is a multiple of
	// [PartAlign]. A part has parts too.
	Part(b Buffer, offset, bytes int64) (Buffer, error)

	// Host allocates memory of this process that Write and Read copy at full speed:
	// the driver keeps its pages in place, so that the device reads and writes them
	// itself. It is filled with anything. release gives it back, before Close and
	// once; the slice must not be used afterwards.
	Host(bytes int64) (memory []byte, release func() error, err error)

	// Write copies data to the beginning of a buffer, and Read copies from it,
	// after everything that was submitted before. Both wait until the copy is done.
	Write(to Buffer, data []byte) error
	Read(data []byte, from Buffer) error

	// Kernel returns a kernel of a program, which is compiled or loaded when one
	// of its kernels is first asked for. That can take seconds.
	Kernel(p *Program, name string) (Kernel, error)

	// Submit hands launches to the device, which runs them in order, and returns
	// before they have ended.
	Submit(launches ...Launch) error

	// Sync waits until everything that was submitted has ended.
	Sync() error

	// Close gives everything back.
	Close() error
}

// Native is a processor whose driver's own handles are known, for libraries of its
// vendor.
type Native interface {
	Processor

	// Address is what the driver calls a buffer: its address in the memory of the
	// device, or a cl_mem of OpenCL.
	Address(Buffer) uintptr

	// Queue is what the driver calls the order of what was submitted: a stream, 0
	// for the default one, or a cl_command_queue.
	Queue() uintptr

	// Do calls f on the thread of the device, on which its context is current, and
	// returns f's error. A later call that waits for what f submits has name in its
	// error. f must not call the processor's other methods but Address and Queue.
	Do(name string, f func() error) error
}

// Peer is a processor that writes into the memory of others of its driver.
type Peer interface {
	Processor

	// Direct reports whether the device can reach the memory of another, and that one
	// its memory, over a link or bus, without a copy in memory of the host. If so, it
	// lets them. Neither has work that was submitted.
	Direct(other Processor) (bool, error)

	// Send copies a buffer to the beginning of a buffer of another processor, after
	// everything that was submitted before to this one, and waits until the copy is
	// done. It does not wait for the other, whose calls may go on meanwhile: the caller
	// knows that what was submitted there does not use the bytes.
	Send(other Processor, to, from Buffer) error
}

// CheckSend reports buffers of which one does not fit the other.
func CheckSend(to, from Buffer) error {
	if from.Size() > to.Size() {
		return fmt.Errorf("copying %d bytes to a buffer of %d", from.Size(), to.Size())
	}
	return nil
}

// Buffer is memory of a processor.
type Buffer interface{ Size() int64 }

// PartAlign is what the offset of a part is a multiple of, in bytes: the strictest
// CL_DEVICE_MEM_BASE_ADDR_ALIGN of the OpenCL drivers that we know (NVIDIA's).
const PartAlign = 512

// CheckPart reports a part that a buffer does not have.
func CheckPart(b Buffer, offset, bytes int64) error {
	if offset < 0 || offset%PartAlign != 0 || bytes < 1 || offset > b.Size()-bytes {
		return fmt.Errorf("no part of %d bytes at %d of a buffer of %d: the offset is a multiple of %d", bytes, offset, b.Size(), PartAlign)
	}
	return nil
}

// ErrPart is the error of freeing a part of a buffer.
var ErrPart = errors.New("a part of a buffer is freed with the whole")

// Kernel is a kernel that was loaded on a processor.
type Kernel interface{ Name() string }

// Threads is how many threads a block has, in every kernel of this program whose
// launches do not say otherwise.
const Threads = 256

// Launch is a run of a kernel over a grid of blocks.
type Launch struct {
	Kernel  Kernel
	Blocks  [2]int // along x and y, at least one each
	Threads int    // a block; 0 means [Threads]
	Shared  int    // bytes of shared memory beyond what the kernel declares
	Args    []any  // each a Buffer, Matrix, uint32 or float32, as the kernel's parameters are
}

// BlockThreads is how many threads a block of the launch has.
func (l Launch) BlockThreads() int {
	if l.Threads == 0 {
		return Threads
	}
	return l.Threads
}

// BoxBytes is the width of a box of a [Matrix].
const BoxBytes = 128

// Matrix is an argument by which a kernel has the device copy boxes of a matrix
// to shared memory: NVIDIA's tensor map, for devices with the feature tma. A box
// is BoxBytes wide and Box rows high. Its rows follow each other in shared memory,
// swizzled by 128 bytes, and what is outside of the matrix is zero.
type Matrix struct {
	Buffer     // at least Rows·Bytes
	Rows   int // 1 to 2³²
	Bytes  int // of a row, without a gap to the next: a multiple of 16 below 2³⁴
	Box    int // rows, 1 to 256
}
