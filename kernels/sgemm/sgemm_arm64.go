//go:build !purego

package sgemm

import (
	"sync"
	"unsafe"

	"github.com/perwatt/perwatt/kernels"
)

// neon always packs both factors, because its micro-kernel loads elements of A as
// vectors. Its blocks are sized for the caches of Neoverse: 64 KiB at the first
// level and 512 KiB at the second.
var neon = &blocked{
	mr: 12, nr: 8, mc: 168, nc: 2048, kc: 384,
	panelsA: copyPanels12, panelsB: copyPanels8, edge: copyEdge, transpose: transpose,
	tiles: []func(*tiles){
		tilesNEON1, tilesNEON2, tilesNEON3, tilesNEON4, tilesNEON5, tilesNEON6,
		tilesNEON7, tilesNEON8, tilesNEON9, tilesNEON10, tilesNEON11, tilesNEON12,
	},
	edges: []func(*tiles){
		edge(1), edge(2), edge(3), edge(4), edge(5), edge(6), edge(7), edge(8), edge(9), edge(10), edge(11), edge(12),
	},
	slim: 8,
}

// whole is where a tile at the edge of C is computed before its part of C is copied.
var whole = sync.Pool{New: func() any { return new([12 * 8]float32) }}

// edge returns what computes tiles of rows × t.cols elements, for want of masks
// with tiles of eight columns, of which C gets the first.
func edge(rows int) func(*tiles) {
	return func(t *tiles) {
		kernel := [...]func(*tiles){
			tilesNEON1, tilesNEON2, tilesNEON3, tilesNEON4, tilesNEON5, tilesNEON6,
			tilesNEON7, tilesNEON8, tilesNEON9, tilesNEON10, tilesNEON11, tilesNEON12,
		}[rows-1]
		sums := whole.Get().(*[12 * 8]float32)
		defer whole.Put(sums)
		was := *t
		ldc := was.ldc / size
		c := unsafe.Slice(was.c, (was.count*rows-1)*ldc+was.cols) // #nosec G103 -- as in the assembly: the rows of all tiles, the last cols long
		e := Epilogue{ReLU: was.relu != 0}
		if was.bias != nil {
			e.Bias = unsafe.Slice(was.bias, was.cols) // #nosec G103 -- an element for each column
		}
		t.c, t.ldc, t.count, t.beta, t.bias, t.relu = &sums[0], 8*size, 1, 0, nil, 0
		for i := range was.count {
			if i > 0 {
				t.a = (*float32)(unsafe.Add(unsafe.Pointer(t.a), t.as)) // #nosec G103 -- the next tile's rows, of which there are count
				t.next += uintptr(t.ahead)
				c = c[rows*ldc:]
			}
			kernel(t)
			merge(c, ldc, sums[:], rows, was.cols, was.beta)
			e.apply(rows, was.cols, c, ldc)
		}
		*t = was
	}
}

// merge sets a window of C to sums + beta·C.
func merge(c []float32, ldc int, sums []float32, rows, width int, beta float32) {
	for r := range rows {
		to, from := c[r*ldc:][:width], sums[8*r:][:width]
		if beta == 0 {
			copy(to, from)
			continue
		}
		for i, v := range from {
			to[i] = v + beta*to[i]
		}
	}
}

// native are the rows in assembly.
var native = []kernels.Row[Implementation]{{
	Name: "neon", Needs: []string{"ASIMD"},
	Impl: Implementation{Block{1008, 1024, 384}, neon.gemm}, Peak: peak(peakNEON, 24*4),
}}

// tilesNEON1 to tilesNEON12 compute t.count tiles of 1 to 12 rows of 8 elements of
// C. They read one element of A for each row, and up to three more, in each step
// along k, t.cs bytes apart; t.rs must be that of packed panels.
//
//go:noescape
func tilesNEON1(t *tiles)

//go:noescape
func tilesNEON2(t *tiles)

//go:noescape
func tilesNEON3(t *tiles)

//go:noescape
func tilesNEON4(t *tiles)

//go:noescape
func tilesNEON5(t *tiles)

//go:noescape
func tilesNEON6(t *tiles)

//go:noescape
func tilesNEON7(t *tiles)

//go:noescape
func tilesNEON8(t *tiles)

//go:noescape
func tilesNEON9(t *tiles)

//go:noescape
func tilesNEON10(t *tiles)

//go:noescape
func tilesNEON11(t *tiles)

//go:noescape
func tilesNEON12(t *tiles)

// peakNEON executes n times 24 fused multiply-adds on vectors of 4 elements.
func peakNEON(n int)

// copyPanels8 copies n rows of panels·8 elements, stride bytes apart, to panels
// that are to bytes apart and in which rows are contiguous.
//
//go:noescape
func copyPanels8(dst, src *float32, stride, n, panels, to int)

// copyPanels12 does the same with rows of panels·12 elements.
//
//go:noescape
func copyPanels12(dst, src *float32, stride, n, panels, to int)

// transpose8 transposes 8 rows of 8·n elements, from bytes apart, to rows of 8
// elements, to bytes apart.
//
//go:noescape
func transpose8(dst, src *float32, to, from, n int)

// transpose writes k columns of groups of 8 rows as rows; the last square begins
// too early if 8 does not divide k, and overwrites columns with the same again.
func transpose(dst, src *float32, to, from, k, groups int) {
	for g := range groups {
		d := unsafe.Add(unsafe.Pointer(dst), 32*g)     // #nosec G103 -- as in the assembly: k rows of 8·groups, to apart
		s := unsafe.Add(unsafe.Pointer(src), 8*from*g) // #nosec G103 -- as in the assembly: 8·groups rows of k, from apart
		transpose8((*float32)(d), (*float32)(s), to, from, k/8)
		if last := k - 8; k%8 > 0 {
			transpose8((*float32)(unsafe.Add(d, last*to)), (*float32)(unsafe.Add(s, last*size)), to, from, 1) // #nosec G103 -- 8 of the k columns
		}
	}
}

// copyEdge copies n rows of width elements, stride bytes apart, to rows of to
// bytes and fills the rest of each row with zeros.
func copyEdge(dst, src *float32, stride, n, width, to int) {
	out := unsafe.Slice(dst, n*to/size)              // #nosec G103 -- as in the assembly: n rows, to apart
	in := unsafe.Slice(src, (n-1)*stride/size+width) // #nosec G103 -- as in the assembly: n rows, stride apart, the last width long
	for r := range n {
		row := out[r*to/size:][:to/size]
		clear(row[copy(row, in[r*stride/size:][:width]):])
	}
}
