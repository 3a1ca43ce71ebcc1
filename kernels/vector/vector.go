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
	"math"
	"slices"

	"github.com/perwatt/perwatt/kernels"
)

// Implementation is one set of passes. It is constant. The methods panic if an
// operand is shorter than the first one; the operands of a call must not overlap
// unless they are the same slice.
//
// The functions are called with a number of elements that is not 0; that of bytes is a
// multiple of block.
type Implementation struct {
	axpy        func(y, x *float32, n int, a float32)
	bytes       func(dst *float32, src *byte, n int, a float32)
	mask        func(dst, dy, y *float32, n int)
	copyRows    func(dst, src *float32, n, rows, ldd, lds int)
	addRows     func(dst, src *float32, n, rows, ldd, lds int)
	pool        func(dst *float32, at *int32, a, b, c, d *float32, n, rows, ldd, lds int)
	unpool      func(a, b, c, d, dy *float32, at *int32, n, rows, ldd, lds int)
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
	scale       func(dst, x *float32, n int, a float32)
	gelu        func(dst, x *float32, n int)
	geluGrad    func(dst, x, dy *float32, n int)
	normalize   func(dst, x, gain, bias *float32, n int, mean, inverse float32)
	normalGrads func(dgain, dbias, x, gain, dy *float32, n int, mean, inverse float32) (sum, along float32)
	normalGrad  func(dst, x, gain, dy *float32, n int, mean, inverse, a, b float32)
	squares     func(x *float32, n int) float64
	adamW       func(w, m, v, dw *float32, n int, scale, beta1, rest1, beta2, rest2, correct, epsilon, keep, rate float32)
}

const block = 16

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
	if n := len(y); n > 0 {
		im.axpy(&y[0], &x[0], n, a)
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
	if n := len(dst); n > 0 {
		im.mask(&dst[0], &dy[0], &y[0], n)
	}
}

// rectangle panics if an operand is too short for rows of n elements whose first ones
// are ld elements apart.
func rectangle(have, rows, n, ld int) { need(max(rows-1, 0)*ld+n, have) }

// CopyRows copies rows of n elements each, whose first ones are ldd elements apart in
// dst and lds in src: dst[r·ldd+i] = src[r·lds+i]. Rows of src may overlap, those of dst
// must not.
func (im *Implementation) CopyRows(dst []float32, ldd int, src []float32, lds, rows, n int) {
	if rows > 0 && n > 0 {
		rectangle(len(dst), rows, n, ldd)
		rectangle(len(src), rows, n, lds)
		im.copyRows(&dst[0], &src[0], n, rows, ldd, lds)
	}
}

// AddRows adds rows as [Implementation.CopyRows] copies them: dst[r·ldd+i] += src[r·lds+i].
// Rows of dst may overlap, and with ldd = 0 are one, to which all of src are added.
func (im *Implementation) AddRows(dst []float32, ldd int, src []float32, lds, rows, n int) {
	if rows > 0 && n > 0 {
		rectangle(len(dst), rows, n, ldd)
		rectangle(len(src), rows, n, lds)
		im.addRows(&dst[0], &src[0], n, rows, ldd, lds)
	}
}

// Pool takes the largest of each 2×2 pixels of two lines of an image, top and bottom, in
// each of the channels, which are innermost. A line has twice as many elements as dst.
// dst is that element, or 0 if it is negative, and at which it was: 0 and 1 in top, 2
// and 3 in bottom, the first of equals, or -1 if none is above 0. NaN counts as the
// largest.
func (im *Implementation) Pool(dst []float32, at []int32, top, bottom []float32, channels int) {
	need(len(dst), len(at), len(top)/2, len(bottom)/2)
	if pixels := whole(len(dst), channels); pixels > 0 {
		im.pool(&dst[0], &at[0], &top[0], &top[channels], &bottom[0], &bottom[channels], channels, pixels, channels, 2*channels)
	}
}

// Unpool is the gradient of Pool: of each 2×2 elements it sets the one that at names to
// dy and the others to 0. dy and at have half as many elements as a line.
func (im *Implementation) Unpool(top, bottom, dy []float32, at []int32, channels int) {
	need(len(dy), len(at), len(top)/2, len(bottom)/2)
	if pixels := whole(len(dy), channels); pixels > 0 {
		im.unpool(&top[0], &top[channels], &bottom[0], &bottom[channels], &dy[0], &at[0], channels, pixels, 2*channels, channels)
	}
}

// whole returns how many pixels have n elements, and panics if there is a part of one.
func whole(n, channels int) int {
	if n%channels != 0 {
		panic(fmt.Sprintf("vector: %d elements are no whole number of pixels with %d channels", n, channels))
	}
	return n / channels
}

// Softmax sets dst = exp(scale·x) ÷ Σ exp(scale·x), over at least one element; results
// below 2^-80 become 0, because subnormal numbers slow later products down. scale is
// not negative.
func (im *Implementation) Softmax(dst, x []float32, scale float32) {
	need(len(dst), len(x))
	n := len(dst)
	sum := im.exp(&dst[0], &x[0], n, scale, scale*im.max(&x[0], n))
	im.scale(&dst[0], &dst[0], n, 1/sum)
}

// SoftmaxGrad is the gradient of p, a result of [Implementation.Softmax]: it sets
// dst = scale·p·(dp - Σ p·dp).
func (im *Implementation) SoftmaxGrad(dst, p, dp []float32, scale float32) {
	need(len(dst), len(p), len(dp))
	d := im.Dot(p[:len(dst)], dp)
	if n := len(dst); n > 0 {
		im.softmaxGrad(&dst[0], &p[0], &dp[0], n, d, scale)
	}
}

// Sum returns Σ x.
func (im *Implementation) Sum(x []float32) float32 {
	if len(x) == 0 {
		return 0
	}
	return im.sum(&x[0], len(x))
}

// Square returns Σ (x - mean)².
func (im *Implementation) Square(x []float32, mean float32) float32 {
	if len(x) == 0 {
		return 0
	}
	return im.square(&x[0], len(x), mean)
}

// Dot returns Σ x·y.
func (im *Implementation) Dot(x, y []float32) float32 {
	need(len(x), len(y))
	if len(x) == 0 {
		return 0
	}
	return im.dot(&x[0], &y[0], len(x))
}

// Affine sets dst = a·x + b.
func (im *Implementation) Affine(dst, x []float32, a, b float32) {
	need(len(dst), len(x))
	if n := len(dst); n > 0 {
		im.affine(&dst[0], &x[0], n, a, b)
	}
}

// Mul sets dst = x·y, element by element.
func (im *Implementation) Mul(dst, x, y []float32) {
	need(len(dst), len(x), len(y))
	if n := len(dst); n > 0 {
		im.mul(&dst[0], &x[0], &y[0], n)
	}
}

// MulAdd adds: dst += x·y, element by element.
func (im *Implementation) MulAdd(dst, x, y []float32) {
	need(len(dst), len(x), len(y))
	if n := len(dst); n > 0 {
		im.fma(&dst[0], &x[0], &y[0], n)
	}
}

// ScaleShift sets dst = gain·x + bias, element by element.
func (im *Implementation) ScaleShift(dst, x, gain, bias []float32) {
	need(len(dst), len(x), len(gain), len(bias))
	if n := len(dst); n > 0 {
		im.scaleShift(&dst[0], &x[0], &gain[0], &bias[0], n)
	}
}

// Combine sets dst = a·x + b·y + c.
func (im *Implementation) Combine(dst, x, y []float32, a, b, c float32) {
	need(len(dst), len(x), len(y))
	if n := len(dst); n > 0 {
		im.combine(&dst[0], &x[0], &y[0], n, a, b, c)
	}
}

// Gelu sets y = x÷2·(1 + tanh(√(2÷π)·(x + 0.044715·x³))), the form of GELU that GPT-2 has
// (Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2). Below -8.67 y is 0 to within
// 1e-25·|x|, and not subnormal.
func (im *Implementation) Gelu(y, x []float32) {
	need(len(y), len(x))
	if n := len(y); n > 0 {
		im.gelu(&y[0], &x[0], n)
	}
}

// GeluGrad is the gradient of Gelu at x: it sets dx to dy times the derivative. dx may
// be x or dy.
func (im *Implementation) GeluGrad(dx, x, dy []float32) {
	need(len(dx), len(x), len(dy))
	if n := len(dx); n > 0 {
		im.geluGrad(&dx[0], &x[0], &dy[0], n)
	}
}

// LayerNorm normalises one row x of at least one element to mean 0 and variance 1 (Ba
// et al. 2016, arXiv:1607.06450): y = gain·(x - mean)·inverse + bias, where inverse is
// 1 ÷ √(variance of x + epsilon). It returns what [Implementation.LayerNormGrad] needs.
func (im *Implementation) LayerNorm(y, x, gain, bias []float32, epsilon float32) (mean, inverse float32) {
	need(len(y), len(x), len(gain), len(bias))
	n := len(y)
	mean = im.sum(&x[0], n) / float32(n)
	variance := im.square(&x[0], n, mean) / float32(n)
	inverse = float32(1 / math.Sqrt(float64(variance)+float64(epsilon)))
	im.normalize(&y[0], &x[0], &gain[0], &bias[0], n, mean, inverse)
	return mean, inverse
}

// LayerNormGrad is the gradient of [Implementation.LayerNorm] for one row, with the mean
// and inverse that it returned: it sets dx, and adds to dgain and dbias, which
// accumulate over rows. dx may be x or dy.
func (im *Implementation) LayerNormGrad(dx, dgain, dbias, x, gain, dy []float32, mean, inverse float32) {
	need(len(dx), len(dgain), len(dbias), len(x), len(gain), len(dy))
	n := len(dx)
	sum, along := im.normalGrads(&dgain[0], &dbias[0], &x[0], &gain[0], &dy[0], n, mean, inverse)
	im.normalGrad(&dx[0], &x[0], &gain[0], &dy[0], n, mean, inverse, sum/float32(n), along/float32(n))
}

// CrossEntropy returns -log softmax(x)[target], in nats, of the logits x of one row, and
// sets dx to its gradient times scale: scale·(softmax(x) - onehot(target)). dx may be x.
// Σ exp is summed to 1e-6; gradients below 2^-80 become 0, because subnormal numbers slow
// later products down. scale is not negative; target is an index of x.
func (im *Implementation) CrossEntropy(dx, x []float32, target int, scale float32) float64 {
	need(len(dx), len(x))
	n := len(dx)
	top, logit, sum := im.max(&x[0], n), x[:n][target], 0.0
	for i := 0; i < n; i += 256 { // so few float32 are added that no error shows
		sum += float64(im.exp(&dx[i], &x[i], min(256, n-i), 1, top))
	}
	im.scale(&dx[0], &dx[0], n, float32(float64(scale)/sum))
	dx[target] -= scale
	return math.Log(sum) - float64(logit) + float64(top)
}

// SumSquares returns Σ x², in float64.
func (im *Implementation) SumSquares(x []float32) float64 {
	if len(x) == 0 {
		return 0
	}
	return im.squares(&x[0], len(x))
}

// AdamW is the optimiser of Loshchilov and Hutter (2019, arXiv:1711.05101, algorithm 2)
// at one step. As in PyTorch, the decay of weights is scaled by Rate.
type AdamW struct {
	Rate         float64 // learning rate
	Beta1, Beta2 float64 // share that the moments keep in a step
	Epsilon      float64 // added to √(second moment)
	Decay        float64 // of weights; 0 for those that do not decay
	Correction1  float64 // 1 - Beta1 to the power of the step's number, from 1
	Correction2  float64 // 1 - Beta2 to that power
	Scale        float64 // of the gradient, from clipping; 1 for none
}

// AdamW updates the weights w and their moments m and v, at first 0, for the gradient g:
//
//	m = Beta1·m + (1-Beta1)·Scale·g
//	v = Beta2·v + (1-Beta2)·(Scale·g)²
//	w -= Rate·(m÷Correction1 ÷ (√(v÷Correction2) + Epsilon) + Decay·w)
//
// Roots and quotients are correctly rounded.
func (im *Implementation) AdamW(w, m, v, g []float32, a AdamW) {
	need(len(w), len(m), len(v), len(g))
	if n := len(w); n > 0 {
		im.adamW(&w[0], &m[0], &v[0], &g[0], n, float32(a.Scale), float32(a.Beta1), float32(1-a.Beta1), float32(a.Beta2), float32(1-a.Beta2),
			float32(1/a.Correction2), float32(a.Epsilon), float32(1-a.Rate*a.Decay), float32(a.Rate/a.Correction1))
	}
}
