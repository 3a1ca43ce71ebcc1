package matmul

import (
	"math"

	"github.com/perwatt/perwatt/bench"
)

// Elements of A and B are a function of the seed and of their index, so a check
// needs no second copy and does not read the matrices: it also detects when they
// were overwritten. They use the whole significand, since the power of a
// multiplier depends on its operands' bits.

// poison is the value of an element until it is computed.
var poison = float32(math.NaN())

// stream returns the state of one of the generators of a seed.
func stream(seed uint32, which byte) uint64 { return bench.Hash64(uint64(seed), uint64(which)) }

// element returns the i-th element, row by row, of the matrix that state
// generates: uniform in [-1, 1), a multiple of 2⁻²³.
func element(state uint64, i int) float32 {
	return float32(int32(bench.Hash64(state, uint64(i))>>40)-1<<23) * 0x1p-23 // #nosec G115 -- i is an index
}

func fill(row []float32, state uint64, first int) {
	for i := range row {
		row[i] = element(state, first+i)
	}
}

// reference returns the sum over l from l0 to l1 of alpha·A[row,l]·B[l,col] in
// float64, and a bound on the error of a sum in fp32 in any order of
// summation: γ·Σ|alpha·a·b| with γ = x/(1-x), x = (terms + 2)·2⁻²⁴ (Higham,
// "Accuracy and Stability of Numerical Algorithms", §3.1; the two are for
// alpha).
func (w *workload) reference(row, col, l0, l1 int, alpha float32) (want, bound float64) {
	sa, sb := stream(w.info.Seed, 'a'), stream(w.info.Seed, 'b')
	size := 0.0
	for l := l0; l < l1; l++ {
		v := float64(element(sa, row*w.n+l)) * float64(element(sb, l*w.n+col))
		want += v
		size += math.Abs(v)
	}
	x := float64(l1-l0+2) * 0x1p-24
	return float64(alpha) * want, float64(alpha) * size * x / (1 - x)
}
