package sgemm

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// gonumBlock is the size of the blocks into which gonum's Sgemm splits a product
// of at least four blocks of C (blas/gonum/gonum.go, blockSize and minParBlock).
const gonumBlock = 64

// gonumGemm computes the block products that gonum's Sgemm computes, in the same
// order, but in one goroutine. From four blocks of C on, Sgemm starts goroutines;
// called for one block at a time, it starts none. Smaller products are one call,
// as in Sgemm.
func gonumGemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	defer e.apply(m, n, c, ldc)
	tA, tB := blas.NoTrans, blas.NoTrans
	if transA {
		tA = blas.Trans
	}
	if transB {
		tB = blas.Trans
	}
	var g gonum.Implementation
	if blocks(m)*blocks(n) < 4 {
		g.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	for i := 0; i < m; i += gonumBlock {
		for j := 0; j < n; j += gonumBlock {
			beta := beta
			for l := 0; l < k; l += gonumBlock {
				offA, offB := i*lda+l, l*ldb+j
				if transA {
					offA = l*lda + i
				}
				if transB {
					offB = j*ldb + l
				}
				g.Sgemm(tA, tB, min(gonumBlock, m-i), min(gonumBlock, n-j), min(gonumBlock, k-l),
					alpha, a[offA:], lda, b[offB:], ldb, beta, c[i*ldc+j:], ldc)
				beta = 1
			}
		}
	}
}

func blocks(n int) int { return (n + gonumBlock - 1) / gonumBlock }
