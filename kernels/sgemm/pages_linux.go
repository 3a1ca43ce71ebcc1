package sgemm

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages, which Linux gives by default only to who asks.
func adviseHuge(x []float32) {
	mem := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*size) // #nosec G103 -- the same memory as bytes
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)                                      // advice only
}
