package vector

import (
	"math"
	"unsafe"
)

// of returns the n elements from p on as a slice.
func of[T any](p *T, n int) []T { return unsafe.Slice(p, n) } // #nosec G103 -- callers are the plain Go counterparts of assembly, whose operands have n elements from p on by contract

// generic is the specification of every function, of any length.
var generic = Implementation{
	axpy: func(y, x *float32, n int, a float32) {
		ys, xs := of(y, n), of(x, n)
		for i, v := range xs {
			ys[i] += a * v
		}
	},
	bytes: func(dst *float32, src *byte, n int, a float32) {
		out := of(dst, n)
		for i, v := range of(src, n) {
			out[i] = a * float32(v)
		}
	},
	mask: func(dst, dy, y *float32, n int) {
		out, d := of(dst, n), of(dy, n)
		for i, v := range of(y, n) {
			// About half of all units are off, at random, so a branch would be
			// mispredicted. The bits of a positive number are a positive
			// integer: the sign of its negative, spread, is the mask.
			on := uint32(-int64(int32(math.Float32bits(v))) >> 63)
			out[i] = math.Float32frombits(math.Float32bits(d[i]) & on)
		}
	},
	pool: func(dst *float32, at *int32, a, b, c, d *float32, n int) {
		out, where := of(dst, n), of(at, n)
		from := [4][]float32{of(a, n), of(b, n), of(c, n), of(d, n)}
		for i := range out {
			out[i], where[i] = 0, -1
			for j := range from {
				if v := from[j][i]; !(v <= out[i]) {
					out[i], where[i] = v, int32(j)
				}
				if out[i] != out[i] {
					break
				}
			}
		}
	},
	unpool: func(a, b, c, d, dy *float32, at *int32, n int) {
		to := [4][]float32{of(a, n), of(b, n), of(c, n), of(d, n)}
		where, grad := of(at, n), of(dy, n)
		for j := range to {
			for i := range to[j] {
				if where[i] == int32(j) {
					to[j][i] = grad[i]
				} else {
					to[j][i] = 0
				}
			}
		}
	},
	max: func(x *float32, n int) float32 {
		top := *x
		for _, v := range of(x, n) {
			top = max(top, v)
		}
		return top
	},
	exp: func(dst, x *float32, n int, scale, shift float32) float32 {
		out, sum := of(dst, n), float32(0)
		for i, v := range of(x, n) {
			out[i] = float32(math.Exp(float64(scale*v - shift)))
			sum += out[i]
		}
		return sum
	},
	sum: func(x *float32, n int) float32 {
		sum := float32(0)
		for _, v := range of(x, n) {
			sum += v
		}
		return sum
	},
	square: func(x *float32, n int, mean float32) float32 {
		sum := float32(0)
		for _, v := range of(x, n) {
			sum += (v - mean) * (v - mean)
		}
		return sum
	},
	dot: func(x, y *float32, n int) float32 {
		ys, sum := of(y, n), float32(0)
		for i, v := range of(x, n) {
			sum += v * ys[i]
		}
		return sum
	},
	affine: func(dst, x *float32, n int, a, b float32) {
		out := of(dst, n)
		for i, v := range of(x, n) {
			out[i] = a*v + b
		}
	},
	mul: func(dst, x, y *float32, n int) {
		out, ys := of(dst, n), of(y, n)
		for i, v := range of(x, n) {
			out[i] = v * ys[i]
		}
	},
	fma: func(dst, x, y *float32, n int) {
		out, ys := of(dst, n), of(y, n)
		for i, v := range of(x, n) {
			out[i] += v * ys[i]
		}
	},
	scaleShift: func(dst, x, g, b *float32, n int) {
		out, gs, bs := of(dst, n), of(g, n), of(b, n)
		for i, v := range of(x, n) {
			out[i] = v*gs[i] + bs[i]
		}
	},
	combine: func(dst, x, y *float32, n int, a, b, c float32) {
		out, ys := of(dst, n), of(y, n)
		for i, v := range of(x, n) {
			out[i] = a*v + b*ys[i] + c
		}
	},
	softmaxGrad: func(dst, p, dp *float32, n int, d, scale float32) {
		out, ds := of(dst, n), of(dp, n)
		for i, v := range of(p, n) {
			out[i] = scale * v * (ds[i] - d)
		}
	},
}
