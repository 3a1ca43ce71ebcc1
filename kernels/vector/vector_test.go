package vector

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/kerneltest"
)

var inf, nan = float32(math.Inf(1)), float32(math.NaN())

// each runs the test body for every row that this CPU supports.
func each(t *testing.T, body func(t *testing.T, im *Implementation)) {
	kerneltest.Each(t, &Table, func(t *testing.T, row kernels.Row[*Implementation]) { body(t, row.Impl) })
}

// The check finds every pass that is wrong.
func TestTable(t *testing.T) {
	var wrong []*Implementation
	add := func(change func(im *Implementation)) {
		im := generic
		change(&im)
		wrong = append(wrong, &im)
	}
	add(func(im *Implementation) { im.axpy = func(y, x *float32, n int, a float32) {} })
	add(func(im *Implementation) { im.bytes = func(dst *float32, src *byte, n int, a float32) {} })
	add(func(im *Implementation) { im.mask = func(dst, dy, y *float32, n int) { copy(of(dst, n), of(dy, n)) } })
	add(func(im *Implementation) {
		im.copyRows = func(dst, src *float32, n, rows, ldd, lds int) { generic.copyRows(dst, src, n, rows, ldd, 0) }
	})
	add(func(im *Implementation) {
		im.addRows = func(dst, src *float32, n, rows, ldd, lds int) { generic.addRows(dst, src, n, rows-1, ldd, lds) }
	})
	add(func(im *Implementation) {
		im.pool = func(dst *float32, at *int32, a, b, c, d *float32, n, rows, ldd, lds int) {
			generic.pool(dst, at, b, a, c, d, n, rows, ldd, lds)
		}
	})
	add(func(im *Implementation) {
		im.unpool = func(a, b, c, d, dy *float32, at *int32, n, rows, ldd, lds int) {
			generic.unpool(a, b, d, c, dy, at, n, rows, ldd, lds)
		}
	})
	add(func(im *Implementation) { im.max = func(x *float32, n int) float32 { return float32(math.NaN()) } })
	add(func(im *Implementation) {
		im.exp = func(dst, x *float32, n int, scale, shift float32) float32 {
			return 1.001 * generic.exp(dst, x, n, scale, shift)
		}
	})
	add(func(im *Implementation) { im.sum = func(x *float32, n int) float32 { return generic.sum(x, n-1) } })
	add(func(im *Implementation) {
		im.square = func(x *float32, n int, mean float32) float32 { return generic.dot(x, x, n) }
	})
	add(func(im *Implementation) { im.dot = func(x, y *float32, n int) float32 { return generic.dot(x, x, n) } })
	add(func(im *Implementation) {
		im.affine = func(dst, x *float32, n int, a, b float32) { generic.affine(dst, x, n, b, a) }
	})
	add(func(im *Implementation) { im.mul = func(dst, x, y *float32, n int) { generic.fma(dst, x, y, n) } })
	add(func(im *Implementation) { im.fma = func(dst, x, y *float32, n int) { generic.mul(dst, x, y, n) } })
	add(func(im *Implementation) {
		im.scaleShift = func(dst, x, gain, bias *float32, n int) { generic.scaleShift(dst, x, bias, gain, n) }
	})
	add(func(im *Implementation) {
		im.combine = func(dst, x, y *float32, n int, a, b, c float32) { generic.combine(dst, x, y, n, b, a, c) }
	})
	add(func(im *Implementation) {
		im.softmaxGrad = func(dst, p, dp *float32, n int, d, scale float32) { generic.softmaxGrad(dst, p, dp, n, 0, scale) }
	})
	add(func(im *Implementation) {
		im.scale = func(dst, x *float32, n int, a float32) { generic.affine(dst, x, n, a, a) }
	})
	add(func(im *Implementation) {
		im.gelu = func(dst, x *float32, n int) { // GELU's other approximation, x·σ(1.702·x)
			out := of(dst, n)
			for i, v := range of(x, n) {
				out[i] = float32(float64(v) / (1 + math.Exp(-1.702*float64(v))))
			}
		}
	})
	add(func(im *Implementation) {
		im.geluGrad = func(dst, x, dy *float32, n int) { generic.geluGrad(dst, dy, x, n) }
	})
	add(func(im *Implementation) {
		im.normalize = func(dst, x, gain, bias *float32, n int, mean, inverse float32) {
			generic.normalize(dst, x, bias, gain, n, mean, inverse)
		}
	})
	add(func(im *Implementation) {
		im.normalGrads = func(dgain, dbias, x, gain, dy *float32, n int, mean, inverse float32) (sum, along float32) {
			return generic.normalGrads(dgain, dbias, x, dy, gain, n, mean, inverse)
		}
	})
	add(func(im *Implementation) {
		im.normalGrad = func(dst, x, gain, dy *float32, n int, mean, inverse, a, b float32) {
			generic.normalGrad(dst, x, gain, dy, n, mean, inverse, a, 0)
		}
	})
	add(func(im *Implementation) {
		im.squares = func(x *float32, n int) float64 { return generic.squares(x, n-1) }
	})
	add(func(im *Implementation) {
		im.adamW = func(w, m, v, dw *float32, n int, scale, beta1, rest1, beta2, rest2, correct, epsilon, keep, rate float32) {
			generic.adamW(w, m, v, dw, n, scale, beta1, rest1, beta2, rest2, correct, epsilon, 1, rate)
		}
	})
	require.Len(t, wrong, reflect.TypeFor[Implementation]().NumField(), "one for each function")
	kerneltest.TestTable(t, &Table, wrong...)
}

// operands are slices of n elements, each at another alignment and followed by
// elements that must stay as they are.
func operands(rng *rand.Rand, n, count int) [][]float32 {
	out := make([][]float32, count)
	for i := range out {
		all := make([]float32, n+20)
		for j := range all {
			all[j] = float32(rng.NormFloat64())
		}
		out[i] = all[i%9:][:n]
	}
	return out
}

func clone(x []float32) []float32 { return append([]float32(nil), x...) }

// Every function against its definition in fp64, over all lengths of tails and
// over long operands.
func TestDefinitions(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, n := range append(seq(1, 70), 255, 256, 1000, 4096) {
			o := operands(rng, n, 8)
			x, y, g, b := o[0], o[1], o[2], o[3]
			a, c := float32(rng.NormFloat64()), float32(rng.NormFloat64())
			// want compares elementwise results, within a few roundings of their
			// terms.
			want := func(name string, got []float32, f func(i int) (value, size float64)) {
				t.Helper()
				require.Len(t, got, n)
				for i, v := range got {
					value, size := f(i)
					if !(math.Abs(float64(v)-value) <= 4*0x1p-24*size) {
						t.Fatalf("%s of %d: element %d is %v, want %v", name, n, i, v, value)
					}
				}
			}
			f := func(v float32) float64 { return float64(v) }
			terms := func(v ...float64) (sum, size float64) {
				for _, v := range v {
					sum += v
					size += math.Abs(v)
				}
				return
			}
			dst := clone(y)
			im.Axpy(dst, x, a)
			want("axpy", dst, func(i int) (float64, float64) { return terms(f(y[i]), f(a)*f(x[i])) })
			dst = make([]float32, n)
			im.Affine(dst, x, a, c)
			want("affine", dst, func(i int) (float64, float64) { return terms(f(a)*f(x[i]), f(c)) })
			im.Mul(dst, x, y)
			want("mul", dst, func(i int) (float64, float64) { return terms(f(x[i]) * f(y[i])) })
			dst = clone(g)
			im.MulAdd(dst, x, y)
			want("muladd", dst, func(i int) (float64, float64) { return terms(f(g[i]), f(x[i])*f(y[i])) })
			im.ScaleShift(dst, x, g, b)
			want("scaleshift", dst, func(i int) (float64, float64) { return terms(f(g[i])*f(x[i]), f(b[i])) })
			im.Combine(dst, x, y, a, c, 0.5)
			want("combine", dst, func(i int) (float64, float64) { return terms(f(a)*f(x[i]), f(c)*f(y[i]), 0.5) })
			im.Mask(dst, x, y)
			want("mask", dst, func(i int) (float64, float64) {
				if y[i] > 0 {
					return f(x[i]), 0
				}
				return 0, 0
			})

			sum := func(name string, got float32, f func(i int) float64) {
				t.Helper()
				value, size := 0.0, 0.0
				for i := range n {
					value += f(i)
					size += math.Abs(f(i))
				}
				require.InDelta(t, value, float64(got), float64(n+4)*0x1p-24*size, "%s of %d", name, n)
			}
			sum("sum", im.Sum(x), func(i int) float64 { return f(x[i]) })
			sum("dot", im.Dot(x, y), func(i int) float64 { return f(x[i]) * f(y[i]) })
			sum("square", im.Square(x, a), func(i int) float64 { return (f(x[i]) - f(a)) * (f(x[i]) - f(a)) })

			im.Softmax(dst, x, 3)
			total, p := 0.0, make([]float64, n)
			for i, v := range x {
				p[i] = math.Exp(3 * f(v))
				total += p[i]
			}
			for i, v := range dst {
				if !(math.Abs(float64(v)-p[i]/total) <= 1e-5*p[i]/total) {
					t.Fatalf("softmax of %d: element %d is %v, want %v", n, i, v, p[i]/total)
				}
			}
			im.SoftmaxGrad(g, dst, y, 3)
			dot := 0.0
			for i := range p {
				dot += p[i] / total * f(y[i])
			}
			for i, v := range g {
				if want := 3 * p[i] / total * (f(y[i]) - dot); !(math.Abs(float64(v)-want) <= 1e-5) {
					t.Fatalf("softmax' of %d: element %d is %v, want %v", n, i, v, want)
				}
			}
		}
	})
}

func seq(from, to int) (s []int) {
	for ; from < to; from++ {
		s = append(s, from)
	}
	return
}

// Passes that only select, and results for extreme operands, are the same in every
// row to the bit.
func TestExact(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(255 - i)
	}
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 2, -2, inf, -inf, nan, 1e-45, -1e-45, math.MaxFloat32}
	each(t, func(t *testing.T, im *Implementation) {
		rng := rand.New(rand.NewPCG(3, 4))
		for n := range 100 {
			o := operands(rng, n, 5)
			for _, x := range o {
				for i := range x {
					if rng.IntN(2) == 0 {
						x[i] = special[rng.IntN(len(special))]
					}
				}
			}
			bits := func(x []float32) (b []uint32) {
				for _, v := range x {
					b = append(b, math.Float32bits(v))
				}
				return
			}
			run := func(im *Implementation) (out []any) {
				dst, at := make([]float32, n), make([]int32, n)
				im.Mask(dst, o[0], o[1])
				out = append(out, bits(dst))
				im.Bytes(dst, all[n%7:][:n], 1.0/255)
				out = append(out, bits(dst))
				for _, channels := range []int{1, max(n, 1), n/3 + 1} {
					pooled := n / 2 / channels * channels
					im.Pool(dst[:pooled], at, o[0], o[1], channels)
					top, bottom := clone(o[2]), clone(o[3])
					im.Unpool(top, bottom, o[4][:pooled], at, channels)
					out = append(out, bits(dst), slices.Clone(at), bits(top), bits(bottom))
				}
				wide, all := clone(o[0]), clone(o[1])
				if rows := n / 7; rows > 0 {
					im.CopyRows(wide, 7, o[2], 3, rows, 5)
					im.AddRows(all, 0, o[3], 7, rows, 7)
					im.AddRows(all[7:], 2, o[4], 5, rows-1, 5)
				}
				for i, v := range all { // the sign of a sum that is no number is that of either term
					if v != v {
						all[i] = nan
					}
				}
				return append(out, bits(wide), bits(all))
			}
			require.Equal(t, run(&generic), run(im), n)
		}
	})
}

func TestPool(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		dst, at := make([]float32, 9), make([]int32, 9)
		im.Pool(dst, at, slices.Concat(
			[]float32{1, 1, -1, 0, 5, 5, nan, 1, 1},
			[]float32{2, 1, -2, 0, 5, 5, 1, nan, 1}), slices.Concat(
			[]float32{3, 1, -3, 0, 6, 5, 2, nan, 1},
			[]float32{4, 1, -4, 0, 6, 4, 3, 9, 2}), 9)
		require.Equal(t, []int32{3, 0, -1, -1, 2, 0, 0, 1, 3}, at)
		require.Equal(t, []float32{4, 1, 0, 0, 6, 5}, dst[:6])
		require.True(t, dst[6] != dst[6] && dst[7] != dst[7], "NaN must not vanish")

		// Two pixels of two channels.
		im.Pool(dst[:4], at, []float32{1, 20, 2, 10, 9, 1, 8, 2}, []float32{4, 0, 3, 0, 7, 3, 6, 4}, 2)
		require.Equal(t, []float32{4, 20, 9, 4}, dst[:4])
		require.Equal(t, []int32{2, 0, 0, 3}, at[:4])
		top, bottom := make([]float32, 8), make([]float32, 8)
		im.Unpool(top, bottom, []float32{1, 2, 3, 4}, at, 2)
		require.Equal(t, []float32{0, 2, 0, 0, 3, 0, 0, 0}, top)
		require.Equal(t, []float32{1, 0, 0, 0, 0, 0, 0, 4}, bottom)
	})
}

// Rows that overlap, as the windows of a convolution do, and rows that are one.
func TestRows(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		src := []float32{1, 2, 3, 4, 5}
		windows := make([]float32, 11)
		im.CopyRows(windows, 4, src, 1, 3, 3)
		require.Equal(t, []float32{1, 2, 3, 0, 2, 3, 4, 0, 3, 4, 5}, windows)
		sums := make([]float32, 5)
		im.AddRows(sums, 1, windows, 4, 3, 3)
		require.Equal(t, []float32{1, 4, 9, 8, 5}, sums)
		im.AddRows(sums, 0, windows, 4, 3, 3)
		require.Equal(t, []float32{7, 13, 21, 8, 5}, sums)
		im.CopyRows(sums, 0, nil, 0, 0, 3)
		im.AddRows(nil, 0, nil, 0, 3, 0)
		for n := 1; n < 70; n++ { // beside each row nothing changes
			const rows, gap = 3, 5
			o := operands(rand.New(rand.NewPCG(9, 9)), rows*(n+gap), 2)
			dst := clone(o[0])
			im.CopyRows(dst, n+gap, o[1], n+1, rows, n)
			for i, v := range dst {
				want := o[0][i]
				if r, j := i/(n+gap), i%(n+gap); j < n {
					want = o[1][r*(n+1)+j]
				}
				if v != want {
					t.Fatalf("element %d of rows of %d is %v, want %v", i, n, v, want)
				}
			}
		}
	})
}

func TestSoftmaxEdges(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		for _, n := range []int{1, 3, 8, 11, 64} {
			x, p := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i] = -1e30
			}
			x[n/2] = 1e30
			im.Softmax(p, x, 1)
			require.InDelta(t, 1, p[n/2], 1e-6, "no overflow")
			for i := range x {
				x[i] = -1000
			}
			x[n/2]++
			im.Softmax(p, x, 1)
			require.InEpsilon(t, 1/(1+float64(n-1)/math.E), p[n/2], 1e-5, "the largest of negative numbers")
			x[n-1] = nan
			im.Softmax(p, x, 1)
			for _, v := range p {
				require.True(t, v != v, "NaN must not vanish")
			}
		}
	})
}

func TestShortOperands(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		require.PanicsWithValue(t, "vector: an operand has 2 elements, the first 3", func() { im.Axpy(make([]float32, 3), make([]float32, 2), 1) })
		require.PanicsWithValue(t, "vector: an operand has 8 elements, the first 9", func() { im.Mask(make([]float32, 9), make([]float32, 9), make([]float32, 8)) })
		require.PanicsWithValue(t, "vector: an operand has 10 elements, the first 11", func() { im.CopyRows(make([]float32, 11), 4, make([]float32, 10), 4, 3, 3) })
		require.PanicsWithValue(t, "vector: an operand has 10 elements, the first 11", func() { im.AddRows(make([]float32, 10), 4, make([]float32, 11), 4, 3, 3) })
		require.PanicsWithValue(t, "vector: an operand has 7 elements, the first 8", func() {
			im.Pool(make([]float32, 8), make([]int32, 8), make([]float32, 16), make([]float32, 15), 4)
		})
		require.PanicsWithValue(t, "vector: 8 elements are no whole number of pixels with 3 channels", func() {
			im.Unpool(make([]float32, 16), make([]float32, 16), make([]float32, 8), make([]int32, 8), 3)
		})
	})
}

func FuzzVector(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200}, float32(1))
	f.Fuzz(func(t *testing.T, data []byte, a float32) {
		x := make([]float32, len(data)/4)
		for i := range x {
			x[i] = math.Float32frombits(uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24)
		}
		if len(x) == 0 {
			return
		}
		for _, row := range Table.Supported(kerneltest.CPU) {
			want, got := make([]float32, len(x)), make([]float32, len(x))
			generic.Affine(want, x, a, a)
			row.Impl.Affine(got, x, a, a)
			for i := range got {
				same := got[i] == want[i] || got[i] != got[i] && want[i] != want[i]
				off := math.Abs(float64(got[i]) - float64(want[i]))
				if !same && !(off <= 0x1p-22*(math.Abs(float64(a)*float64(x[i]))+math.Abs(float64(a)))) && !math.IsInf(float64(a*x[i]), 0) {
					t.Fatalf("%s: %v·%v + %v is %v, want %v", row.Name, a, x[i], a, got[i], want[i])
				}
			}
		}
	})
}
