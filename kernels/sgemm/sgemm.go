// Package sgemm multiplies single-precision matrices: C = α·op(A)·op(B) + β·C.
//
// It is a table of implementations of that one function. Each row names the
// CPU features it needs, and a caller can ask for any row by name, so that a
// benchmark measures what it says it measures. The row generic is plain Go
// and the specification of the others. gonum is the library that Gorgonia
// uses unless told otherwise, as the baseline to beat.
//
// The package holds instructions only: it starts no goroutine, reads no clock
// and keeps no state, so that threads, time and counting stay with the caller.
// A product is spread over threads by calling [Implementation.Gemm]
// concurrently on disjoint parts of C.
//
// The build tag purego leaves out assembly of this package. (That of gonum has
// a tag of its own, noasm.)
package sgemm

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Implementation is one row of the table.
type Implementation struct {
	Name  string
	Needs []cpuid.FeatureID // all of them; none for portable rows
	Block Block

	// gemm is called with valid arguments, m, n and k positive and alpha not 0.
	gemm gemmFunc
	// peak makes some fused multiply-adds on registers and returns their number
	// of operations; nil if the row has no instructions of its own.
	peak func() float64
}

// Block is the size of a call, on a part of a far larger product, at which a
// row comes close to its full rate in a few milliseconds: the grain in which
// to share a product among threads. M and N are rows and columns of C.
type Block struct{ M, N, K int }

type gemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue)

// table is in order of rank: the first supported row is the one to take.
var table = func() []Implementation {
	rows := []Implementation{
		{Name: "gonum", Block: Block{128, 128, 256}, gemm: gonumGemm},
		{Name: "generic", Block: Block{64, 64, 512}, gemm: genericGemm},
	}
	if runtime.GOARCH != "amd64" { // where gonum is plain Go too, and the slower of the two
		slices.Reverse(rows)
	}
	return append(slices.Clone(native), rows...)
}()

// Implementations returns every row of this build in order of rank, supported
// or not.
func Implementations() []Implementation { return slices.Clone(table) }

// Best returns the first row that this CPU supports.
func Best() Implementation {
	return table[slices.IndexFunc(table, Implementation.Supported)] // generic is supported everywhere
}

// Lookup returns the row of that name, supported or not. The error lists the
// names there are.
func Lookup(name string) (Implementation, error) {
	var names []string
	for _, im := range table {
		if im.Name == name {
			return im, nil
		}
		names = append(names, im.Name)
	}
	return Implementation{}, fmt.Errorf("sgemm: no implementation %q: use one of %s", name, strings.Join(names, ", "))
}

// Pick returns the named row, or [Best] for no name. One that this CPU cannot
// run is an error, as is a name that is not known.
func Pick(name string) (Implementation, error) {
	if name == "" {
		return Best(), nil
	}
	im, err := Lookup(name)
	if err == nil && !im.Supported() {
		err = fmt.Errorf("implementation %s needs %v, which this CPU lacks", im.Name, im.Needs)
	}
	return im, err
}

// Supported reports whether this CPU has what the row needs.
func (im Implementation) Supported() bool { return cpuid.CPU.Supports(im.Needs...) }

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
// B unread; k = 0 does both to the product. The order of summation is the
// row's own: each element is within (k+2)·2⁻²³·(|alpha|·Σ|a||b| + |beta·c|) of
// the exact value while nothing overflows or becomes subnormal. Where A has a
// zero, it is up to the row whether NaN or Inf at its counterpart in B shows.
//
// Gemm panics if a dimension is negative, a stride below the length of a row
// as stored, or a slice shorter than its matrix; with m or n zero there is
// nothing to do and slices are not looked at. C must not overlap A or B. Calls
// may be concurrent if what one writes no other touches. A call takes as long
// as its 2·m·n·k operations do, but can be preempted within about a millisecond.
func (im Implementation) Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	im.GemmEpilogue(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, Epilogue{})
}

// GemmEpilogue is [Implementation.Gemm] with something done to each element of
// C when it is complete. It also panics if the bias does not have n elements.
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

// Peak makes some microseconds of the row's fused multiply-adds, as many at a
// time as the CPU can have under way, on registers alone, and returns how many
// operations they were: what no product can surpass. It returns 0 for a row
// without instructions of its own.
func (im Implementation) Peak() float64 {
	if im.peak == nil {
		return 0
	}
	return im.peak()
}

func checkStride(name string, cols, ld int) {
	if ld < max(1, cols) {
		panic(fmt.Sprintf("sgemm: ld%s is %d, below %d, the columns of %s as stored", name, ld, max(1, cols), name))
	}
}

// checkLength divides where one would multiply: a product of absurd sizes
// must not wrap around into one that fits.
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
