// Package sgemm multiplies single-precision matrices: C = α·op(A)·op(B) + β·C.
//
// The rows of [Table] all compute the same function, [Implementation.Gemm]. The
// row generic is plain Go and the specification. The row gonum is the library
// that Gorgonia uses by default, as a baseline.
//
// The package holds instructions only: it starts no goroutine, reads no clock
// and keeps no state; threads, timing and counting are the caller's. To compute
// a product on several threads, call [Implementation.Gemm] concurrently on
// disjoint parts of C.
//
// The build tag purego leaves out the assembly of this package. (The tag of
// gonum is noasm.)
package sgemm

import (
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

// Implementation is one way to compute products. It is constant.
type Implementation struct {
	Block Block

	// gemm is called with valid arguments, m, n and k positive and alpha not 0.
	gemm gemmFunc
}

// Block is the size of a call, on a part of a far larger product, at which an
// implementation comes close to its full rate in a few milliseconds: the grain
// in which to share a product among threads. M and N are rows and columns of C.
type Block struct{ M, N, K int }

type gemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue)

// Table has the implementations.
var Table = kernels.Table[Implementation]{
	Name:  "sgemm",
	Unit:  "FLOP",
	Rows:  slices.Concat(native, portable()),
	Check: check,
	Work: func(device.Info, int64) func(Implementation) float64 {
		const n = 192
		a, b, c := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
		for i := range a {
			a[i], b[i] = float32(i%7)-3, float32(i%5)-2
		}
		return func(im Implementation) float64 {
			im.Gemm(false, false, n, n, n, 1, a, n, b, n, 0, c, n)
			return 2 * n * n * n
		}
	},
}

func portable() []kernels.Row[Implementation] {
	rows := []kernels.Row[Implementation]{
		{Name: "gonum", Impl: Implementation{Block{128, 128, 256}, gonumGemm}},
		{Name: "generic", Impl: Implementation{Block{64, 64, 512}, genericGemm}},
	}
	if runtime.GOARCH != "amd64" { // elsewhere gonum is plain Go too, and slower than generic
		slices.Reverse(rows)
	}
	return rows
}

// check multiplies small integers, whose products are exact in any order of
// summation, with sizes that are no multiple of a tile and several blocks along
// k.
func check(im Implementation) error {
	const m, n, k = 131, 149, 403
	a, b, c := make([]float32, m*k), make([]float32, n*k), make([]float32, m*n)
	for i := range a {
		a[i] = float32(i%7) - 3
	}
	for i := range b {
		b[i] = float32(i%5) - 2
	}
	for i := range c {
		c[i] = float32(math.NaN())
	}
	im.Gemm(false, true, m, n, k, 1, a, k, b, k, 0, c, n)
	for i := range m {
		for j := range n {
			want := float32(0)
			for l := range k {
				want += a[i*k+l] * b[j*k+l]
			}
			if got := c[i*n+j]; got != want {
				return fmt.Errorf("element %d,%d of a product of small integers is %v, want %v", i, j, got, want)
			}
		}
	}
	return nil
}

// Gemm computes C = alpha·op(A)·op(B) + beta·C, where op(X) is X, or its
// transpose if its flag is set. op(A) is m×k, op(B) k×n and C m×n:
//
//	for i in m, j in n: c[i·ldc+j] = alpha·Σ(l in k) op(A)[i,l]·op(B)[l,j] + beta·c[i·ldc+j]
//
// All three are row-major; lda, ldb and ldc are the distances, in elements,
// between the starts of successive rows as stored, so that A is k×m in memory
// if transA is set. Elements of C's slice between its rows are left alone.
//
// As in BLAS, beta = 0 overwrites C, NaN included, and alpha = 0 leaves A and
// B unread; k = 0 does both to the product. Implementations differ
// in the order of summation: each element is within (k+2)·2⁻²³·(|alpha|·Σ|a||b| + |beta·c|) of
// the exact value while nothing overflows or becomes subnormal. Where A has a
// zero and B a NaN or Inf, the result depends on the implementation.
//
// Gemm panics if a dimension is negative, a stride below the length of a row
// as stored, or a slice shorter than its matrix; with m or n zero it
// returns without looking at the slices. C must not overlap A or B. Concurrent
// calls are safe if no call touches what another writes. A call runs until its
// 2·m·n·k operations are done, but can be preempted within about a millisecond.
func (im Implementation) Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	im.GemmEpilogue(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, Epilogue{})
}

// GemmEpilogue is [Implementation.Gemm] followed by an epilogue on each element
// of C. It also panics if the bias does not have n elements.
func (im Implementation) GemmEpilogue(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	if m < 0 || n < 0 || k < 0 {
		panic(fmt.Sprintf("sgemm: negative dimension: m %d, n %d, k %d", m, n, k))
	}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if transA {
		rowsA, colsA = k, m
	}
	if transB {
		rowsB, colsB = n, k
	}
	checkStride("a", colsA, lda)
	checkStride("b", colsB, ldb)
	checkStride("c", n, ldc)
	e.check(n)
	if m == 0 || n == 0 {
		return
	}
	checkLength("a", rowsA, colsA, len(a), lda)
	checkLength("b", rowsB, colsB, len(b), ldb)
	checkLength("c", m, n, len(c), ldc)
	if k == 0 || alpha == 0 {
		scale(m, n, beta, c, ldc)
		e.apply(m, n, c, ldc)
		return
	}
	im.gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, e)
}

func checkStride(name string, cols, ld int) {
	if ld < max(1, cols) {
		panic(fmt.Sprintf("sgemm: ld%s is %d, below %d, the columns of %s as stored", name, ld, max(1, cols), name))
	}
}

// checkLength divides instead of multiplying, so that the product of absurd sizes
// cannot overflow into one that fits.
func checkLength(name string, rows, cols, length, ld int) {
	if rows == 0 || cols == 0 {
		return
	}
	if length < cols || (length-cols)/ld < rows-1 {
		panic(fmt.Sprintf("sgemm: %s has %d elements, too few for %d rows of %d, %d apart", name, length, rows, cols, ld))
	}
}

func scale(m, n int, beta float32, c []float32, ldc int) {
	if beta == 1 {
		return
	}
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if beta == 0 {
			clear(row)
			continue
		}
		for j := range row {
			row[j] *= beta
		}
	}
}
