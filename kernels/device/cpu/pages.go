package cpu

import "unsafe"

const (
	size = 4              // bytes of a float32
	line = 64 / size      // of a cache
	page = 2 << 20 / size // a huge one
)

// Floats returns arrays of so many zeros in one block of memory, each from a cache line
// on, and asks for huge pages (2 MiB), of which the system may give none. Addresses in
// small pages are translated anew for every row of a large matrix; and these have
// arbitrary physical addresses, so that what would fit a second-level cache shares sets
// of it in one process and not in the next.
func Floats(lengths ...int) [][]float32 {
	total := 0
	for _, n := range lengths {
		total += lines(n)
	}
	x := make([]float32, total+line)
	x = x[ahead(x, line):]
	if total >= page {
		adviseHuge(x)
	}
	arrays := make([][]float32, len(lengths))
	for i, n := range lengths {
		arrays[i], x = x[:n:n], x[lines(n):]
	}
	return arrays
}

// HugePage returns n zeros that begin a huge page, if the system gives any: n may be a
// part of one. It takes up to a page more than that.
func HugePage(n int) []float32 {
	x := Floats(max(n, page) + page)[0]
	return x[ahead(x, page):][:n:n]
}

// lines rounds up to whole cache lines.
func lines(n int) int { return (n + line - 1) / line * line }

// ahead returns how many elements of x come before the first one at a multiple of so
// many.
func ahead(x []float32, multiple int) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(x))) / size % uintptr(multiple)) // #nosec G103 G115 -- an address taken modulo a page; nothing is made of it
}
