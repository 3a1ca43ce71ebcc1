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
	copyRows: func(dst, src *float32, n, rows, ldd, lds int) {
		out, in := of(dst, (rows-1)*ldd+n), of(src, (rows-1)*lds+n)
		for r := range rows {
			copy(out[r*ldd:][:n], in[r*lds:])
		}
	},
	addRows: func(dst, src *float32, n, rows, ldd, lds int) {
		out, in := of(dst, (rows-1)*ldd+n), of(src, (rows-1)*lds+n)
		for r := range rows {
			to := out[r*ldd:][:n]
			for i, v := range in[r*lds:][:n] {
				to[i] += v
			}
		}
	},
	pool: func(dst *float32, at *int32, a, b, c, d *float32, n, rows, ldd, lds int) {
		out, where := of(dst, (rows-1)*ldd+n), of(at, (rows-1)*ldd+n)
		size := (rows-1)*lds + n
		from := [4][]float32{of(a, size), of(b, size), of(c, size), of(d, size)}
		for r := range rows {
			for i := r * ldd; i < r*ldd+n; i++ {
				out[i], where[i] = 0, -1
				for j := range from {
					if v := from[j][i+r*(lds-ldd)]; !(v <= out[i]) {
						out[i], where[i] = v, int32(j)
					}
					if out[i] != out[i] {
						break
					}
				}
			}
		}
	},
	unpool: func(a, b, c, d, dy *float32, at *int32, n, rows, ldd, lds int) {
		size := (rows-1)*ldd + n
		to := [4][]float32{of(a, size), of(b, size), of(c, size), of(d, size)}
		where, grad := of(at, (rows-1)*lds+n), of(dy, (rows-1)*lds+n)
		for r := range rows {
			for j := range to {
				for i := r * lds; i < r*lds+n; i++ {
					to[j][i+r*(ldd-lds)] = 0
					if where[i] == int32(j) {
						to[j][i+r*(ldd-lds)] = grad[i]
					}
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
		out, sum := of(dst, n), 0.0
		for i, v := range of(x, n) {
			out[i] = float32(math.Exp(float64(scale*v - shift)))
			sum += float64(out[i])
		}
		return float32(sum)
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
	scale: func(dst, x *float32, n int, a float32) {
		out := of(dst, n)
		for i, v := range of(x, n) {
			if out[i] = a * v; out[i] < tiny {
				out[i] = 0
			}
		}
	},
	gelu: func(dst, x *float32, n int) {
		out := of(dst, n)
		for i, v := range of(x, n) {
			v = max(v, -geluEnd)
			s, _ := sigmoid(v)
			out[i] = float32(float64(v) * s)
		}
	},
	geluGrad: func(dst, x, dy *float32, n int) {
		out, d := of(dst, n), of(dy, n)
		for i, v := range of(x, n) {
			v = max(min(v, geluEnd), -geluEnd)
			s, slope := sigmoid(v)
			// 1 - s is the sigmoid of -v.
			other, _ := sigmoid(-v)
			out[i] = float32(float64(d[i]) * s * (1 + float64(v)*other*slope))
		}
	},
	normalize: func(dst, x, gain, bias *float32, n int, mean, inverse float32) {
		out, gs, bs := of(dst, n), of(gain, n), of(bias, n)
		for i, v := range of(x, n) {
			out[i] = gs[i]*((v-mean)*inverse) + bs[i]
		}
	},
	normalGrads: func(dgain, dbias, x, gain, dy *float32, n int, mean, inverse float32) (sum, along float32) {
		dgs, dbs, gs, ds := of(dgain, n), of(dbias, n), of(gain, n), of(dy, n)
		for i, v := range of(x, n) {
			normal := (v - mean) * inverse
			dgs[i] += ds[i] * normal
			dbs[i] += ds[i]
			sum += gs[i] * ds[i]
			along += gs[i] * ds[i] * normal
		}
		return sum, along
	},
	normalGrad: func(dst, x, gain, dy *float32, n int, mean, inverse, a, b float32) {
		out, gs, ds := of(dst, n), of(gain, n), of(dy, n)
		for i, v := range of(x, n) {
			out[i] = inverse * (gs[i]*ds[i] - a - b*((v-mean)*inverse))
		}
	},
	squares: func(x *float32, n int) float64 {
		sum := 0.0
		for _, v := range of(x, n) {
			sum += float64(v) * float64(v)
		}
		return sum
	},
	adamW: func(w, m, v, dw *float32, n int, scale, beta1, rest1, beta2, rest2, correct, epsilon, keep, rate float32) {
		ws, ms, vs := of(w, n), of(m, n), of(v, n)
		for i, d := range of(dw, n) {
			d *= scale
			ms[i] = beta1*ms[i] + rest1*d
			vs[i] = beta2*vs[i] + rest2*(d*d)
			ws[i] = keep*ws[i] - rate*ms[i]/(float32(math.Sqrt(float64(correct*vs[i])))+epsilon)
		}
	},
}

// tiny is a weight of softmax, or a gradient, far too small to matter.
const tiny = 0x1p-80

// geluEnd is where the argument of GELU's sigmoid is 60: beyond it and its negative GELU
// is x, and 0, to less than 1e-25.
const geluEnd = 8.67

// sigmoid returns the factor of x in GELU, (1 + tanh(u))÷2 = 1÷(1 + exp(-2u)) with
// u = √(2÷π)·(x + 0.044715·x³), and the derivative of 2u.
func sigmoid(x float32) (s, slope float64) {
	v, k := float64(x), 2*math.Sqrt(2/math.Pi)
	return 1 / (1 + math.Exp(-k*(v+0.044715*v*v*v))), k * (1 + 3*0.044715*v*v)
}
