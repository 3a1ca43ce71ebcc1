package training

import (
	"errors"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
)

// gemmFunc is the method Gemm of a row of kernels/sgemm.
type gemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

// countingBLAS is gonum's BLAS with Sgemm replaced by the chosen row, and
// every call of it counted: a graph that did nothing would otherwise look
// like a very fast one.
type countingBLAS struct {
	gonum.Implementation
	gemm  gemmFunc
	calls atomic.Int64
	flop  atomic.Int64
}

// Sgemm computes C = alpha·op(A)·op(B) + beta·C, all row-major.
func (b *countingBLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, bb []float32, ldb int, beta float32, c []float32, ldc int) {
	b.gemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, bb, ldb, beta, c, ldc)
	b.calls.Add(1)
	b.flop.Add(2 * int64(m) * int64(n) * int64(k))
}

// Gorgonia knows one BLAS a process, so one prepared workload has it at a time.
var (
	hookMu sync.Mutex
	hooked *countingBLAS
)

var errHooked = errors.New("another training workload is prepared in this process, and Gorgonia has one BLAS for all: close that one first, or use another process")

// hook makes Gorgonia multiply with b until b.unhook.
func (b *countingBLAS) hook() error {
	hookMu.Lock()
	defer hookMu.Unlock()
	if hooked != nil {
		return errHooked
	}
	hooked = b
	gorgonia.Use(b)
	return nil
}

// unhook gives Gorgonia its own BLAS back, if b is what it has.
func (b *countingBLAS) unhook() {
	hookMu.Lock()
	defer hookMu.Unlock()
	if hooked == b {
		hooked = nil
		gorgonia.Use(gonum.Implementation{})
	}
}
