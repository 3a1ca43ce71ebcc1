package training

import (
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
)

// Sizes of the products by which accumulators are checked: m×n sums of so many terms.
const sumRows, sumCols, sumTerms = 16, 16, 2048

// checkSums multiplies matrices of the whole numbers from 1 to 3, in each layout that a
// step does, and says which product is wrong. Sums have 13 bits or more, so that every
// order of adding them in float32 is exact, and an accumulator of bfloat16, which has 8
// bits, is found: the losses alone would not tell it from bfloat16 weights. What is stored
// in the elements of the weights may be off by one unit in the last place, since libraries
// round twice where they share out a sum.
func (c *card) checkSums() (wrong string, err error) {
	a, b := make([]float32, sumRows*sumTerms), make([]float32, sumCols*sumTerms)
	state := uint64(7)
	for _, list := range [][]float32{a, b} {
		for i := range list {
			list[i] = float32(1 + mix(&state)%3)
		}
	}
	precision := gemm.Precision(c.format)
	put := func(rows int, x []float32, transposed bool) []byte {
		cols, each := len(x)/rows, precision.In()
		data := make([]byte, len(x)*each)
		for i := range x {
			from := i
			if transposed {
				from = i%rows*cols + i/rows
			}
			precision.Put(data[i*each:], float64(x[from]))
		}
		return data
	}
	size := c.format.Size()
	call := gemm.Call{M: sumRows, N: sumCols, K: sumTerms, A: c.alloc(int64(len(a)) * size), B: c.alloc(int64(len(b)) * size), C: c.alloc(4 * sumRows * sumCols)}
	for _, l := range []gemm.Call{{TransB: true, Round: true}, {Round: true}, {TransA: true}} {
		call.TransA, call.TransB, call.Round = l.TransA, l.TransB, l.Round
		if c.err != nil {
			return "", c.err
		}
		c.check(c.on.Write(call.A, put(sumRows, a, l.TransA)))
		c.check(c.on.Write(call.B, put(sumCols, b, !l.TransB)))
		c.multiply(call)
		stored, slack := gemm.FP32, 0.0
		if l.Round && c.format != nn.FP32 {
			stored, slack = precision, 1.0/128
		}
		data := make([]byte, stored.In()*sumRows*sumCols)
		if c.err == nil {
			c.check(c.on.Read(data, call.C))
		}
		if c.err != nil {
			return "", c.err
		}
		for i := range sumRows * sumCols {
			want := 0.0
			for k := range sumTerms {
				want += float64(a[i/sumCols*sumTerms+k]) * float64(b[i%sumCols*sumTerms+k])
			}
			if got := stored.At(data[i*stored.In():]); !(math.Abs(got-want) <= slack*want) {
				return fmt.Sprintf("a sum of %d products of whole numbers is %v, want %v: it is not accumulated in float32", sumTerms, got, want), nil
			}
		}
	}
	return "", nil
}
