package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages, which Linux gives by default only to who asks, for all
// that x touches: what lies beside it in the heap may get some too.
func adviseHuge(x []float32) {
	const whole = page * size
	start := uintptr(unsafe.Pointer(unsafe.SliceData(x))) // #nosec G103 -- an address to advise on: nothing is read or written there
	end := (start + uintptr(len(x))*size + whole - 1) &^ (whole - 1)
	start &^= whole - 1
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_HUGEPAGE) // advice only
}
