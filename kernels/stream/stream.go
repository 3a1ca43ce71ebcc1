// Package stream is the triad of McCalpin's STREAM benchmark: a = b + s·c, over
// vectors of float64.
//
// The rows of [Table] all compute the same function, [Implementation.Triad]. The
// row generic is plain Go and the specification: a product that is rounded and
// then a sum that is rounded, never fused, so that all rows give the same bits.
//
//	b, c ──► load ──► s·c rounded ──► b + that, rounded ──► a
//	native rows   a 64-byte line at a time, from the first whole line of a to
//	              the last, written past the caches where the CPU can do so
//	generic       whatever is left at either end
//
// The package holds instructions only: it starts no goroutine, reads no clock
// and keeps no state; threads, timing and counting are the caller's. The build
// tag purego leaves out assembly.
package stream

import (
	"fmt"
	"math"
	"slices"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

// Bytes is the number of bytes counted for one element by the rule of STREAM: two
// loads and a store of 8 bytes. Lines that a cache fetches before writing to them
// do not count ("Memory Bandwidth and Machine Balance in Current High Performance
// Computers", IEEE TCCA Newsletter, 1995).
const Bytes = 24

// Implementation is one way to compute the triad. It is constant.
type Implementation struct {
	// triad is called with three slices of one length.
	triad func(a, b, c []float64, s float64)
}

// Table has the implementations.
var Table = kernels.Table[Implementation]{
	Name: "stream",
	Unit: "B",
	Rows: slices.Concat(native, []kernels.Row[Implementation]{
		{Name: "generic", Impl: Implementation{triadGeneric}},
	}),
	Check:  verify,
	Work:   work,
	ByRank: "first in rank: the gain of stores past the caches shows only with all threads at work",
}

// verify computes a few lines and what is left over, not aligned, with products
// that have to be rounded.
func verify(im Implementation) error {
	const at, n, s = 3, 1003, 1.1
	a, b, c := make([]float64, at+n), make([]float64, at+n), make([]float64, at+n)
	for i := range a {
		a[i], b[i], c[i] = math.NaN(), float64(i%1000), 1+float64(i%7)/7
	}
	im.Triad(a[at:], b[at:], c[at:], s)
	for i := at; i < at+n; i++ {
		product := s * c[i]
		if want := b[i] + float64(product); a[i] != want {
			return fmt.Errorf("a[%d] is %v, want %v + %v·%v = %v", i, a[i], b[i], s, c[i], want)
		}
	}
	return nil
}

// work goes through three arrays, each as large as the last-level caches, up to
// 16 MiB, and a little more, so that they do not lie a power of two apart. Larger
// caches hold them all: a trial at every start must not take the memory, and the
// rows are chosen by rank.
func work(_ device.Info, caches int64) func(Implementation) float64 {
	const chunk = 1 << 16
	n := int(min(max(caches/8, 250_000), 1<<21))/chunk*chunk + 3*chunk
	a, b, c := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		b[i], c[i] = float64(i%1000), 1+float64(i%7)/7
	}
	next := 0
	return func(im Implementation) float64 {
		im.Triad(a[next:next+chunk], b[next:next+chunk], c[next:next+chunk], 1.1)
		next = (next + chunk) % n
		return Bytes * chunk
	}
}

// Triad computes, for every i of a,
//
//	a[i] = b[i] + float64(s*c[i])
//
// with two roundings to nearest. The slices may have any alignment and any
// length; Triad panics if their lengths differ. a may be b or c, from the first
// element on; if it overlaps either otherwise, its contents afterwards are undefined.
// When Triad returns, its stores are ordered before those that follow, whether or
// not they bypassed the caches. A call can be preempted within about a
// millisecond.
func (im Implementation) Triad(a, b, c []float64, s float64) {
	if len(b) != len(a) || len(c) != len(a) {
		panic(fmt.Sprintf("stream: slices of %d, %d and %d elements: their lengths must be the same", len(a), len(b), len(c)))
	}
	im.triad(a, b, c, s)
}
