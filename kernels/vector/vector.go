// Package vector is the arithmetic of training other than matrix products: fp32
// passes over contiguous elements, each of which reads every operand once.
//
// The rows of [Table] compute the same functions; the row generic is plain Go
// and the specification. Assembly may differ from it in the order of summation,
// and by the polynomial that it uses for exp. Nothing here allocates. A pass over
// operands that fit a cache returns within a millisecond; callers divide longer
// ones.
package vector

import (
	"fmt"
	"slices"

	"github.com/perwatt/perwatt/kernels"
)

// Implementation is one set of passes. It is constant. The methods panic if an
// operand is shorter than the first one; the operands of a call must not overlap
// unless they are the same slice.
//
// The functions are called with a number of elements that is a multiple of
// block and not 0.
type Implementation struct {
	axpy        func(y, x *float32, n int, a float32)
	bytes       func(dst *float32, src *byte, n int, a float32)
	mask        func(dst, dy, y *float32, n int)
	pool        func(dst *float32, at *int32, a, b, c, d *float32, n int)
	unpool      func(a, b, c, d, dy *float32, at *int32, n int)
	max         func(x *float32, n int) float32
	exp         func(dst, x *float32, n int, scale, shift float32) float32
	sum         func(x *float32, n int) float32
	square      func(x *float32, n int, mean float32) float32
	dot         func(x, y *float32, n int) float32
	affine      func(dst, x *float32, n int, a, b float32)
	mul         func(dst, x, y *float32, n int)
	fma         func(dst, x, y *float32, n int)
	scaleShift  func(dst, x, gain, bias *float32, n int)
	combine     func(dst, x, y *float32, n int, a, b, c float32)
	softmaxGrad func(dst, p, dp *float32, n int, d, scale float32)
}

const block = 8

// Table has the implementations.
var Table = kernels.Table[*Implementation]{
	Name:  "vector",
	Unit:  "B",
	Rows:  slices.Concat(native, []kernels.Row[*Implementation]{{Name: "generic", Impl: &generic}}),
	Check: check,
	Work:  work,
}

// need panics if an operand is too short.
func need(n int, operands ...int) {
	for _, have := range operands {
		if have < n {
			panic(fmt.Sprintf("vector: an operand has %d elements, the first %d", have, n))
		}
	}
}

// Axpy adds: y += a·x.
func (im *Implementation) Axpy(y, x []float32, a float32) {
	need(len(y), len(x))
	n := len(y) &^ (block - 1)
	if n > 0 {
		im.axpy(&y[0], &x[0], n, a)
	}
	if n < len(y) {
		generic.axpy(&y[n], &x[n], len(y)-n, a)
	}
}

// Bytes sets dst = a·src.
func (im *Implementation) Bytes(dst []float32, src []byte, a float32) {
	need(len(dst), len(src))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.bytes(&dst[0], &src[0], n, a)
	}
	if n < len(dst) {
		generic.bytes(&dst[n], &src[n], len(dst)-n, a)
	}
}

// Mask is the gradient of y = max(x, 0): it sets dst = dy where y > 0, and 0
// elsewhere.
func (im *Implementation) Mask(dst, dy, y []float32) {
	need(len(dst), len(dy), len(y))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.mask(&dst[0], &dy[0], &y[0], n)
	}
	if n < len(dst) {
		generic.mask(&dst[n], &dy[n], &y[n], len(dst)-n)
	}
}

// Pool sets dst = max(a, b, c, d, 0) and at to the index of the operand that was
// the largest: 0 to 3, the first of equals, or -1 if none is above 0. NaN counts
// as the largest.
func (im *Implementation) Pool(dst []float32, at []int32, a, b, c, d []float32) {
	need(len(dst), len(at), len(a), len(b), len(c), len(d))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.pool(&dst[0], &at[0], &a[0], &b[0], &c[0], &d[0], n)
	}
	if n < len(dst) {
		generic.pool(&dst[n], &at[n], &a[n], &b[n], &c[n], &d[n], len(dst)-n)
	}
}

// Unpool is the gradient of Pool: it sets the operand with index at to dy and the
// others to 0.
func (im *Implementation) Unpool(a, b, c, d, dy []float32, at []int32) {
	need(len(a), len(b), len(c), len(d), len(dy), len(at))
	n := len(a) &^ (block - 1)
	if n > 0 {
		im.unpool(&a[0], &b[0], &c[0], &d[0], &dy[0], &at[0], n)
	}
	if n < len(a) {
		generic.unpool(&a[n], &b[n], &c[n], &d[n], &dy[n], &at[n], len(a)-n)
	}
}

// Softmax sets dst = exp(scale·x) ÷ Σ exp(scale·x), over at least one element.
// scale is not negative.
func (im *Implementation) Softmax(dst, x []float32, scale float32) {
	need(len(dst), len(x))
	x = x[:len(dst)]
	n := len(dst) &^ (block - 1)
	top := x[0]
	if n > 0 {
		top = im.max(&x[0], n)
	}
	if n < len(x) {
		top = max(top, generic.max(&x[n], len(x)-n))
	}
	sum, shift := float32(0), scale*top
	if n > 0 {
		sum = im.exp(&dst[0], &x[0], n, scale, shift)
	}
	if n < len(x) {
		sum += generic.exp(&dst[n], &x[n], len(x)-n, scale, shift)
	}
	im.Affine(dst, dst, 1/sum, 0)
}

// SoftmaxGrad is the gradient of p, a result of [Implementation.Softmax]: it sets
// dst = scale·p·(dp - Σ p·dp).
func (im *Implementation) SoftmaxGrad(dst, p, dp []float32, scale float32) {
	need(len(dst), len(p), len(dp))
	d := im.Dot(p[:len(dst)], dp)
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.softmaxGrad(&dst[0], &p[0], &dp[0], n, d, scale)
	}
	if n < len(dst) {
		generic.softmaxGrad(&dst[n], &p[n], &dp[n], len(dst)-n, d, scale)
	}
}

// Sum returns Σ x.
func (im *Implementation) Sum(x []float32) float32 {
	n, sum := len(x)&^(block-1), float32(0)
	if n > 0 {
		sum = im.sum(&x[0], n)
	}
	if n < len(x) {
		sum += generic.sum(&x[n], len(x)-n)
	}
	return sum
}

// Square returns Σ (x - mean)².
func (im *Implementation) Square(x []float32, mean float32) float32 {
	n, sum := len(x)&^(block-1), float32(0)
	if n > 0 {
		sum = im.square(&x[0], n, mean)
	}
	if n < len(x) {
		sum += generic.square(&x[n], len(x)-n, mean)
	}
	return sum
}

// Dot returns Σ x·y.
func (im *Implementation) Dot(x, y []float32) float32 {
	need(len(x), len(y))
	n, sum := len(x)&^(block-1), float32(0)
	if n > 0 {
		sum = im.dot(&x[0], &y[0], n)
	}
	if n < len(x) {
		sum += generic.dot(&x[n], &y[n], len(x)-n)
	}
	return sum
}

// Affine sets dst = a·x + b.
func (im *Implementation) Affine(dst, x []float32, a, b float32) {
	need(len(dst), len(x))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.affine(&dst[0], &x[0], n, a, b)
	}
	if n < len(dst) {
		generic.affine(&dst[n], &x[n], len(dst)-n, a, b)
	}
}

// Mul sets dst = x·y, element by element.
func (im *Implementation) Mul(dst, x, y []float32) {
	need(len(dst), len(x), len(y))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.mul(&dst[0], &x[0], &y[0], n)
	}
	if n < len(dst) {
		generic.mul(&dst[n], &x[n], &y[n], len(dst)-n)
	}
}

// MulAdd adds: dst += x·y, element by element.
func (im *Implementation) MulAdd(dst, x, y []float32) {
	need(len(dst), len(x), len(y))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.fma(&dst[0], &x[0], &y[0], n)
	}
	if n < len(dst) {
		generic.fma(&dst[n], &x[n], &y[n], len(dst)-n)
	}
}

// ScaleShift sets dst = gain·x + bias, element by element.
func (im *Implementation) ScaleShift(dst, x, gain, bias []float32) {
	need(len(dst), len(x), len(gain), len(bias))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.scaleShift(&dst[0], &x[0], &gain[0], &bias[0], n)
	}
	if n < len(dst) {
		generic.scaleShift(&dst[n], &x[n], &gain[n], &bias[n], len(dst)-n)
	}
}

// Combine sets dst = a·x + b·y + c.
func (im *Implementation) Combine(dst, x, y []float32, a, b, c float32) {
	need(len(dst), len(x), len(y))
	n := len(dst) &^ (block - 1)
	if n > 0 {
		im.combine(&dst[0], &x[0], &y[0], n, a, b, c)
	}
	if n < len(dst) {
		generic.combine(&dst[n], &x[n], &y[n], len(dst)-n, a, b, c)
	}
}
