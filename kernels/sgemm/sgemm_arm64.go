//go:build !purego

package sgemm

import (
	"unsafe"

	"github.com/perwatt/perwatt/kernels"
)

// neon always packs both factors, because its micro-kernel loads elements of A as
// vectors. Its blocks are sized for the caches of Neoverse: 64 KiB at the first
// level and 512 KiB at the second.
var neon = &blocked{
	mr: 12, nr: 8, mc: 168, nc: 2048, kc: 384,
	panelsA: copyPanels12, panelsB: copyPanels8, edge: copyEdge, transpose: transpose8,
	tiles: []func(*tiles){
		tilesNEON1, tilesNEON2, tilesNEON3, tilesNEON4, tilesNEON5, tilesNEON6,
		tilesNEON7, tilesNEON8, tilesNEON9, tilesNEON10, tilesNEON11, tilesNEON12,
	},
}

// native are the rows in assembly.
var native = []kernels.Row[Implementation]{{
	Name: "neon", Needs: []string{"ASIMD"},
	Impl: Implementation{Block{1008, 1024, 384}, neon.gemm}, Peak: peak(peakNEON, 24*4),
}}

// tilesNEON1 to tilesNEON12 compute t.count tiles of 1 to 12 rows of 8 elements of
// C. They read twelve elements of A in each step along k, t.cs bytes apart; t.rs
// must be that of packed panels.
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
