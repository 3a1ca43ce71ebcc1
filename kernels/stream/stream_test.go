package stream

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/kerneltest"
)

// eachRow runs body on every row that the CPU supports.
func eachRow(t *testing.T, body func(t *testing.T, im Implementation)) {
	kerneltest.Each(t, &Table, func(t *testing.T, row kernels.Row[Implementation]) { body(t, row.Impl) })
}

func TestTable(t *testing.T) {
	kerneltest.TestTable(t, &Table,
		Implementation{func(a, b, c []float64, s float64) {}},
		Implementation{func(a, b, c []float64, s float64) { // leaves out what does not fill a line
			n := len(a) / 8 * 8
			triadGeneric(a[:n], b[:n], c[:n], s)
		}},
		Implementation{func(a, b, c []float64, s float64) { // rounds once
			for i := range a {
				a[i] = math.FMA(s, c[i], b[i])
			}
		}},
	)
}

// extremes are values whose sums and products round, overflow, vanish or are
// not numbers.
var extremes = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, 1.0 / 3, math.Pi, 1 + 0x1p-52, -1 - 0x1p-52, 0x1p-537, 0x1p53, 1e300, -1e300,
	math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1022, math.Inf(1), math.Inf(-1), math.NaN(),
}

// values returns n values, extreme or random, the same for the same source.
func values(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		if v[i] = extremes[r.IntN(len(extremes))]; r.IntN(3) > 0 {
			v[i] = math.Ldexp(r.Float64()-0.5, r.IntN(60))
		}
	}
	return v
}

// same compares bits. All NaNs are the same: which one results depends on the
// order of operands, which the compiler chooses.
func same(x, y float64) bool {
	return math.Float64bits(x) == math.Float64bits(y) || x != x && y != y
}

// check compares a with the documented expression and names the first place
// where they differ.
func check(t *testing.T, a, b, c []float64, s float64, about string) {
	t.Helper()
	for i := range a {
		product := s * c[i]
		if want := b[i] + float64(product); !same(a[i], want) {
			t.Fatalf("%s: a[%d] = %v (%#x), want %v + %v·%v = %v (%#x)", about, i, a[i], math.Float64bits(a[i]), b[i], s, c[i], want, math.Float64bits(want))
		}
	}
}

// TestTriad tests every alignment of the three slices to each other and to a
// line, with every length of a few lines, and that nothing around a changes.
func TestTriad(t *testing.T) {
	longest := 5 * 8
	if testing.Short() {
		longest = 2*8 + 7
	}
	eachRow(t, func(t *testing.T, im Implementation) {
		const margin = 8
		r := rand.New(rand.NewPCG(1, 2))
		room := longest + 3*margin
		b, c := values(r, room), values(r, room)
		a, guard := make([]float64, room), math.Float64frombits(0x7ff8dead00000000)
		for at := range 8 * 8 * 8 {
			atA, atB, atC := at%8, at/8%8, at/64
			for n := range longest + 1 {
				for i := range a {
					a[i] = guard
				}
				s := extremes[r.IntN(len(extremes))]
				x, y, z := a[margin+atA:][:n], b[atB:][:n], c[atC:][:n]
				im.Triad(x, y, z, s)
				check(t, x, y, z, s, fmt.Sprintf("n=%d, a+%d, b+%d, c+%d", n, atA, atB, atC))
				for i := range a {
					if (i < margin+atA || i >= margin+atA+n) && math.Float64bits(a[i]) != math.Float64bits(guard) {
						t.Fatalf("n=%d, a+%d: wrote %v at %d", n, atA, a[i], i-margin-atA)
					}
				}
			}
		}
	})
}

// TestKnownAnswers has answers that a fused multiply-add would not give.
func TestKnownAnswers(t *testing.T) {
	eachRow(t, func(t *testing.T, im Implementation) {
		const n = 50
		a, b, c := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			b[i], c[i] = -1, 1+0x1p-30
		}
		im.Triad(a, b, c, 1-0x1p-30) // the product is 1 - 2⁻⁶⁰, which rounds to 1
		require.Equal(t, make([]float64, n), a)
		im.Triad(a, b, c, 3)
		require.Equal(t, slices.Repeat([]float64{2 + 3*0x1p-30}, n), a)
	})
}

// TestLong takes slices that need several calls of assembly.
func TestLong(t *testing.T) {
	eachRow(t, func(t *testing.T, im Implementation) {
		n := 1<<16 + 15 // one call, a line, and both ends
		r := rand.New(rand.NewPCG(3, 4))
		a, b, c := make([]float64, n), values(r, n), values(r, n)
		im.Triad(a[1:], b[1:], c[:n-1], 1.5)
		check(t, a[1:], b[1:], c[:n-1], 1.5, "long")
		require.Zero(t, a[0])
	})
}

func TestInPlace(t *testing.T) {
	eachRow(t, func(t *testing.T, im Implementation) {
		for _, n := range []int{1, 8, 100, 1000} {
			r := rand.New(rand.NewPCG(5, 6))
			b, c := values(r, n), values(r, n)
			a := slices.Clone(b)
			im.Triad(a, a, c, 0.7)
			check(t, a, b, c, 0.7, "a is b")
			a = slices.Clone(c)
			im.Triad(a, b, a, 0.7)
			check(t, a, b, c, 0.7, "a is c")
		}
	})
}

func TestRefusals(t *testing.T) {
	eachRow(t, func(t *testing.T, im Implementation) {
		three, four := make([]float64, 3), make([]float64, 4)
		require.PanicsWithValue(t, "stream: slices of 3, 4 and 3 elements: their lengths must be the same", func() { im.Triad(three, four, three, 1) })
		require.PanicsWithValue(t, "stream: slices of 3, 3 and 4 elements: their lengths must be the same", func() { im.Triad(three, three, four, 1) })
		im.Triad(nil, []float64{}, nil, 1)
	})
}

func FuzzTriad(f *testing.F) {
	f.Add([]byte("some bytes that make a few vectors of three and more elements each of them"), 1.5, uint8(3))
	f.Add([]byte{}, math.Inf(1), uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, s float64, at uint8) {
		n := len(raw) / 16
		b, c := make([]float64, n), make([]float64, n)
		for i := range n {
			b[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[16*i:]))
			c[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[16*i+8:]))
		}
		for _, row := range Table.Supported(kerneltest.CPU) {
			a := make([]float64, n+8)[at%8:][:n]
			row.Impl.Triad(a, b, c, s)
			check(t, a, b, c, s, row.Name)
		}
	})
}

// BenchmarkTriad runs each row over arrays of 128 MiB and counts bytes by the rule
// of STREAM. The arrays are in small pages unless the system uses large ones by
// itself; bench/stream requests large ones.
func BenchmarkTriad(b *testing.B) {
	const n, chunk = 1<<24 + 3<<17, 1 << 17 // not a power of two apart
	x, y, z := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		x[i], y[i], z[i] = 1, 2, float64(i)
	}
	for _, row := range Table.Supported(kerneltest.CPU) {
		b.Run(row.Name, func(b *testing.B) {
			b.SetBytes(chunk * Bytes)
			at := 0
			for b.Loop() {
				row.Impl.Triad(x[at:at+chunk], y[at:at+chunk], z[at:at+chunk], 3)
				at = (at + chunk) % n
			}
		})
	}
}
