package vector

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// gelu64 and its derivative, as the paper and the calculus have them.
func gelu64(x float64) (y, slope float64) {
	k := math.Sqrt(2 / math.Pi)
	t := math.Tanh(k * (x + 0.044715*x*x*x))
	return x / 2 * (1 + t), (1+t)/2 + x/2*(1-t*t)*k*(1+3*0.044715*x*x)
}

// layerNorm64 returns the normalised row and 1 ÷ its standard deviation.
func layerNorm64(x []float32, epsilon float64) (h []float64, inverse float64) {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	inverse = 1 / math.Sqrt(variance+epsilon)
	for _, v := range x {
		h = append(h, (float64(v)-mean)*inverse)
	}
	return h, inverse
}

func softmax64(x []float32) (p []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, float64(v))
	}
	for _, v := range x {
		p = append(p, math.Exp(float64(v)-top))
		sum += p[len(p)-1]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// The passes of a transformer against their definitions in fp64, over all lengths of
// tails and over long operands.
func TestTransformer(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, n := range append(seq(1, 70), 127, 255, 256, 257, 1000, 5003) {
			o := operands(rng, n, 6)
			x, dy, gain, bias := o[0], o[1], o[2], o[3]
			near := func(pass string, got []float32, tolerance float64, want func(i int) float64) {
				t.Helper()
				for i, v := range got {
					if w := want(i); !(math.Abs(float64(v)-w) <= tolerance*(1+math.Abs(w))) {
						t.Fatalf("%s of %d: element %d is %v, want %v", pass, n, i, v, w)
					}
				}
			}
			f := func(v float32) float64 { return float64(v) }
			dst := make([]float32, n)

			im.Gelu(dst, x)
			near("gelu", dst, 2e-7, func(i int) float64 { y, _ := gelu64(f(x[i])); return y })
			im.GeluGrad(dst, x, dy)
			near("gelu'", dst, 1e-6, func(i int) float64 { _, s := gelu64(f(x[i])); return f(dy[i]) * s })

			if n > 2 {
				h, inverse64 := layerNorm64(x, 1e-5)
				mean, inverse := im.LayerNorm(dst, x, gain, bias, 1e-5)
				require.InEpsilon(t, inverse64, f(inverse), 1e-5)
				near("layer norm", dst, 1e-5, func(i int) float64 { return f(gain[i])*h[i] + f(bias[i]) })
				dgain, dbias := clone(o[4]), clone(o[5])
				im.LayerNormGrad(dst, dgain, dbias, x, gain, dy, mean, inverse)
				sum, along := 0.0, 0.0
				for i, h := range h {
					sum += f(gain[i]) * f(dy[i]) / float64(n)
					along += f(gain[i]) * f(dy[i]) * h / float64(n)
				}
				near("layer norm'", dst, 2e-5*inverse64, func(i int) float64 {
					return inverse64 * (f(gain[i])*f(dy[i]) - sum - h[i]*along)
				})
				near("layer norm' gain", dgain, 1e-5, func(i int) float64 { return f(o[4][i]) + f(dy[i])*h[i] })
				near("layer norm' bias", dbias, 1e-6, func(i int) float64 { return f(o[5][i]) + f(dy[i]) })
			}

			p, target := softmax64(x), rng.IntN(n)
			loss := im.CrossEntropy(dst, x, target, 0.25)
			require.InDelta(t, -math.Log(p[target]), loss, 1e-6, "loss of %d", n)
			for i, v := range dst {
				want := 0.25 * p[i]
				if i == target {
					want -= 0.25
				}
				require.InDelta(t, want, float64(v), 1e-6*(0.25*p[i])+0x1p-24*0.25, "cross entropy' of %d: element %d", n, i)
			}

			squares := 0.0
			for _, v := range x {
				squares += f(v) * f(v)
			}
			require.InEpsilon(t, squares, im.SumSquares(x), 1e-14, "squares of %d", n)

			a := AdamW{Rate: 0.02, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-3, Decay: 0.1, Scale: 0.5}
			w, m, v := clone(x), make([]float32, n), make([]float32, n)
			for step := 1.0; step < 4; step++ {
				a.Correction1, a.Correction2 = 1-math.Pow(a.Beta1, step), 1-math.Pow(a.Beta2, step)
				w0, m0, v0 := clone(w), clone(m), clone(v)
				g := o[int(step)]
				im.AdamW(w, m, v, g, a)
				moments := func(i int) (m, v float64) {
					g := 0.5 * f(g[i])
					return 0.9*f(m0[i]) + 0.1*g, 0.95*f(v0[i]) + 0.05*g*g
				}
				near("adamw's first moment", m, 2e-7, func(i int) float64 { m, _ := moments(i); return m })
				near("adamw's second moment", v, 2e-7, func(i int) float64 { _, v := moments(i); return v })
				near("adamw", w, 2e-7, func(i int) float64 {
					m, v := moments(i)
					return f(w0[i]) - 0.02*(m/a.Correction1/(math.Sqrt(v/a.Correction2)+1e-3)+0.1*f(w0[i]))
				})
			}
		}
	})
}

// Over their whole range: the tails of GELU are neither cut nor subnormal, and NaN and
// infinities come out as the limits are.
func TestGelu(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		var x []float32
		for v := float32(-12); v < 12; v += 0x1p-6 {
			x = append(x, v)
		}
		x = append(x, 1e-30, -1e-30, 1e15, -1e15, math.MaxFloat32, -math.MaxFloat32, 0)
		y, d, one := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
		im.Affine(one, y, 0, 1)
		im.Gelu(y, x)
		im.GeluGrad(d, x, one)
		for i, x := range x {
			want, slope := gelu64(float64(x))
			if math.Abs(float64(x)) > 1e14 {
				want, slope = max(float64(x), 0), max(math.Copysign(1, float64(x)), 0)
			}
			require.InDelta(t, want, float64(y[i]), 2e-7*math.Abs(want)+1e-8, "gelu(%v)", x)
			require.InDelta(t, slope, float64(d[i]), 1e-6, "gelu'(%v)", x)
			if x < -1 {
				require.Less(t, y[i], float32(0), "gelu(%v)", x)
				require.Greater(t, y[i], -float32(0.2), "gelu(%v)", x)
				require.NotZero(t, y[i]*0x1p-24, "gelu(%v) is subnormal", x)
			}
		}
		x = []float32{nan, inf, -inf}
		im.Gelu(y[:3], x)
		im.GeluGrad(d[:3], x, one)
		require.True(t, y[0] != y[0] && d[0] != d[0], "NaN must not vanish")
		require.Equal(t, []float32{inf, 1}, []float32{y[1], d[1]})
		require.InDelta(t, 0, float64(y[2]), 1e-24)
		require.InDelta(t, 0, float64(d[2]), 1e-20)
	})
}

// Losses of certain and of hopeless rows are finite, sums over a vocabulary are good to
// 1e-6, gradients are never subnormal, and a row may be overwritten.
func TestCrossEntropy(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		const n = 50304
		spreads := []float32{0x1p-20, 20, 0, 1, 5}
		if testing.Short() {
			spreads = spreads[:2]
		}
		for _, spread := range spreads {
			rng := rand.New(rand.NewPCG(7, 8))
			x := make([]float32, n)
			for i := range x {
				x[i] = spread * float32(rng.NormFloat64())
			}
			p := softmax64(x)
			for _, target := range []int{0, n / 3, n - 1} {
				dx := clone(x)
				loss, total := im.CrossEntropy(dx, dx, target, 1), 0.0
				require.InDelta(t, -math.Log(p[target]), loss, 1e-6, "loss of rows that spread by %v", spread)
				for i, v := range dx {
					total += float64(v)
					if v != 0 && math.Abs(float64(v)) < 0x1p-80 {
						t.Fatalf("%v is subnormal, or will be", v)
					}
					if i != target && !(math.Abs(float64(v)-p[i]) <= 1e-5*p[i]+0x1p-80) {
						t.Fatalf("gradient %d of rows that spread by %v is %v, want %v", i, spread, v, p[i])
					}
				}
				require.InDelta(t, 0, total, 1e-5, "the gradient adds up to 0")
			}
		}
		x, dx := []float32{100, -100, 0}, make([]float32, 3)
		require.InDelta(t, 0, im.CrossEntropy(dx, x, 0, 1), 1e-12)
		require.InDelta(t, 200, im.CrossEntropy(dx, x, 1, 1), 1e-5)
		require.Equal(t, []float32{1, -1, 0}, dx)
		x[2] = nan
		require.True(t, math.IsNaN(im.CrossEntropy(dx, x, 0, 1)))
		require.True(t, dx[0] != dx[0] && dx[2] != dx[2], "NaN must not vanish")
		require.Panics(t, func() { im.CrossEntropy(dx, x, 3, 1) }, "no such target")
	})
}

// A weight with gradients of one size moves by the rate, whatever the size, and decays.
func TestAdamW(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		for _, size := range []float32{1e-3, 1, 1e3} {
			w, m, v := []float32{1, 1}, make([]float32, 2), make([]float32, 2)
			a := AdamW{Rate: 0.001, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, Scale: 1}
			for step := 1.0; step <= 100; step++ {
				a.Correction1, a.Correction2 = 1-math.Pow(0.9, step), 1-math.Pow(0.95, step)
				im.AdamW(w, m, v, []float32{size, -size}, a)
			}
			require.InDelta(t, 0.9, float64(w[0]), 1e-4)
			require.InDelta(t, 1.1, float64(w[1]), 1e-4)
		}
		w, zero := []float32{2}, []float32{0}
		im.AdamW(w, clone(zero), clone(zero), zero, AdamW{Rate: 0.5, Beta1: 0.9, Beta2: 0.95, Epsilon: 1e-8, Decay: 0.1, Scale: 1, Correction1: 1, Correction2: 1})
		require.InDelta(t, 1.9, float64(w[0]), 1e-6, "no gradient, but decay")
	})
}
