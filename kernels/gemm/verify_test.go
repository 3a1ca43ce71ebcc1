package gemm_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/gemm"
)

// Elements are uniform in (-1, 1), are held exactly, and have all bits of their
// significand.
func TestElements(t *testing.T) {
	kept := map[gemm.Precision]int{gemm.FP64: 52, gemm.FP32: 23, gemm.TF32: 10, gemm.BF16: 7, gemm.FP16: 10}
	for _, p := range gemm.Precisions() {
		const n = 100_000
		var sum, squares, negative float64
		bits := make([]int, 52)
		for i := range uint64(n) {
			v := p.Element(7, i)
			var b [8]byte
			p.Put(b[:], v)
			require.Equal(t, v, p.At(b[:]), "%s holds it exactly", p)
			if !(math.Abs(v) >= 0x1p-8 && math.Abs(v) < 1) {
				t.Fatalf("%s: element %d is %v", p, i, v)
			}
			sum, squares = sum+v, squares+v*v
			if v < 0 {
				negative++
			}
			for bit := range bits {
				bits[bit] += int(math.Float64bits(v) >> (51 - bit) & 1)
			}
		}
		// Six standard deviations of a fair coin, and of the mean of uniform numbers.
		coin, mean := 6*math.Sqrt(n)/2, 6/math.Sqrt(3*n)
		require.InDelta(t, n/2, negative, coin, p)
		require.InDelta(t, 0, sum/n, mean, p)
		require.InDelta(t, 1./3, squares/n, mean, p)
		for bit, ones := range bits {
			if bit < kept[p] {
				require.InDelta(t, n/2, ones, coin, "%s: bit %d", p, bit)
			} else {
				require.Zero(t, ones)
			}
		}
		require.NotEqual(t, p.Element(7, 0), p.Element(8, 0))
	}
}

// Places are in their stripe and in every row and column of it.
func TestPlaces(t *testing.T) {
	const rows, n = 37, 5
	require.Equal(t, 3, gemm.Stripes(rows))
	seen := map[[2]int]bool{}
	for seed := range uint32(4000) {
		for s := range gemm.Stripes(rows) {
			row, column := gemm.Place(seed, s, rows, n)
			require.Equal(t, s, row/gemm.Stripe)
			require.Less(t, row, rows)
			require.Less(t, column, n)
			seen[[2]int{row, column}] = true
		}
	}
	require.Len(t, seen, rows*n)
}
