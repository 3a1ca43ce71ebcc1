package ptx

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// exactly is a·b + c of finite numbers, rounded once.
func exactly(a, b, c float32) float32 {
	of := func(x float32) *big.Float { return new(big.Float).SetPrec(1024).SetFloat64(float64(x)) }
	p := of(a)
	p.Mul(p, of(b)).Add(p, of(c))
	sum, _ := p.Float32()
	return sum
}

// The assembly and plain Go round once: among numbers whose sums lie in the middle
// between two others, next to it, among the subnormal ones and beyond the largest.
func TestFMA(t *testing.T) {
	edges := []float32{
		0, 1, -1, 1.5, 0x1p-24, 0x1p-25, 1 + 0x1p-23, 1 - 0x1p-24, 0x1.000002p-24, 3, 0x1p12 + 1, 0x1.fffffep127,
		math.SmallestNonzeroFloat32, 0x1p-126, 0x1.fffffcp-127, 0x1p-75, 0x1.8p-75, 0x1p-100, -0x1.000002p-50, -0x1p-149,
	}
	r := rand.New(rand.NewPCG(1, 2))
	draw := func() float32 {
		if r.IntN(3) > 0 {
			return edges[r.IntN(len(edges))]
		}
		return math.Float32frombits(r.Uint32()&^(0xff<<23) | uint32(100+r.IntN(50))<<23) // #nosec G115 -- an exponent
	}
	for range 4000 {
		var a, b, c, x row
		for l := range a {
			a[l], b[l], c[l] = math.Float32bits(draw()), math.Float32bits(draw()), math.Float32bits(draw())
		}
		for name, f := range map[string]func(x, a, b, c *row){"fma32": fma32, "fmaGeneric": fmaGeneric} {
			x = c
			f(&x, &a, &b, &x) // as kernels sum: the result replaces the summand
			for l, got := range x {
				a, b, c := math.Float32frombits(a[l]), math.Float32frombits(b[l]), math.Float32frombits(c[l])
				if want := exactly(a, b, c); math.Float32frombits(got) != want {
					require.Failf(t, name, "%x·%x + %x is %x, want %x", a, b, c, math.Float32frombits(got), want)
				}
			}
		}
	}
}

// What is not finite stays so: the sign of a NaN and its payload are anyone's.
func TestFMANotFinite(t *testing.T) {
	inf, nan := math.Float32bits(float32(math.Inf(1))), math.Float32bits(float32(math.NaN()))
	for name, f := range map[string]func(x, a, b, c *row){"fma32": fma32, "fmaGeneric": fmaGeneric} {
		a, b, c := row{inf, 0, nan, 1, inf}, row{0x3f800000, inf, 0, 0, inf}, row{0, 0, 0, nan, 1<<31 | inf}
		var x row
		f(&x, &a, &b, &c)
		require.Equal(t, inf, x[0], name)
		for l := 1; l < 5; l++ {
			require.True(t, math.IsNaN(float64(math.Float32frombits(x[l]))), "%s, lane %d", name, l)
		}
	}
}
