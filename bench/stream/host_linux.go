package stream

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const maxCPUs = 1 << 13 // CONFIG_NR_CPUS ends there

// allowedCPUs lists the CPUs that this thread may run on.
func allowedCPUs() (cpus []int) {
	set := unix.NewCPUSet(maxCPUs)
	if unix.SchedGetaffinityDynamic(0, set) != nil {
		return nil
	}
	for cpu := range maxCPUs {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// bind locks the goroutine to its thread and the thread to one of the CPUs that it
// may run on, the id-th. If the system refuses, the scheduler chooses.
func bind(id int) {
	runtime.LockOSThread()
	if cpus := allowedCPUs(); len(cpus) > 0 {
		set := unix.NewCPUSet(maxCPUs)
		set.Set(cpus[id%len(cpus)])
		_ = unix.SchedSetaffinityDynamic(0, set)
	}
}

// allocate returns three arrays of n elements, in large pages if the system has
// any: with small pages the prefetchers stop every 4 KiB, and address translation
// takes a tenth of the time or more. Release unmaps them.
func allocate(n int) (arrays [3][]float64, release func(), err error) {
	const large = 2 << 20
	// Each array begins at a large page, but not a power of two after the one
	// before: on Zen 3 that takes an eighth longer, since addresses that differ in
	// one bit conflict in its caches.
	size := (8*n+large-1)&^(large-1) + 3*large
	mem, err := unix.Mmap(-1, 0, 3*size+large, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return arrays, nil, err
	}
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)               // advice only
	start := int(-uintptr(unsafe.Pointer(&mem[0])) % large) // #nosec G103 -- an address taken modulo a page; nothing is made of it
	for i := range arrays {
		arrays[i] = unsafe.Slice((*float64)(unsafe.Pointer(&mem[start+i*size])), n) // #nosec G103 -- start+3*size+8*n is within mem, and start and size are multiples of a page
	}
	return arrays, func() { _ = unix.Munmap(mem) }, nil // it is ours and mapped: this cannot fail
}
