package sgemm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/kerneltest"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/sgemm/shapes"
)

// product is one call of Gemm.
type product struct {
	impl                   string // named where no subtest does
	transA, transB         bool
	m, n, k                int
	padA, padB, padC, tail int // of the strides, and of C behind its last row
	alpha, beta            float32
	bias, relu             bool
	seed                   uint64
}

var canary = math.Float32frombits(0x7fc0dead)

// stored returns a random rows×cols matrix with NaN between its rows, so that
// a read outside of the matrix shows.
func stored(rng *rand.Rand, rows, cols, ld int) []float32 {
	if rows == 0 || cols == 0 {
		return nil
	}
	x := make([]float32, (rows-1)*ld+cols)
	for i := range x {
		x[i] = canary
		if i%ld < cols {
			x[i] = 2*rng.Float32() - 1
		}
	}
	return x
}

// check compares one call with sums in float64, and every element outside of
// C's window with what was there.
func check(t *testing.T, im sgemm.Implementation, p product) {
	t.Helper()
	rng := rand.New(rand.NewPCG(p.seed, 1))
	at := func(x []float32, ld int, trans bool, r, c int) float64 {
		if trans {
			r, c = c, r
		}
		return float64(x[r*ld+c])
	}
	matrix := func(trans bool, rows, cols, pad int) ([]float32, int) {
		if trans {
			rows, cols = cols, rows
		}
		ld := max(1, cols) + pad
		return stored(rng, rows, cols, ld), ld
	}
	a, lda := matrix(p.transA, p.m, p.k, p.padA)
	b, ldb := matrix(p.transB, p.k, p.n, p.padB)
	if p.alpha == 0 { // A and B must not even be read
		for _, x := range [][]float32{a, b} {
			for i := range x {
				x[i] = canary
			}
		}
	}
	ldc := max(1, p.n) + p.padC
	before := append(stored(rng, p.m, p.n, ldc), stored(rng, 1, p.tail, p.tail)...)
	if p.beta == 0 {
		for i := range before {
			before[i] = canary
		}
	}
	c := append([]float32(nil), before...)

	e := sgemm.Epilogue{ReLU: p.relu}
	if p.bias {
		e.Bias = append([]float32{}, stored(rng, 1, p.n, max(1, p.n))...)
	}
	im.GemmEpilogue(p.transA, p.transB, p.m, p.n, p.k, p.alpha, a, lda, b, ldb, p.beta, c, ldc, e)

	for i, got := range c {
		row, col := i/ldc, i%ldc
		if row >= p.m || col >= p.n {
			if math.Float32bits(got) != math.Float32bits(before[i]) {
				t.Fatalf("%+v: element %d outside of C was %v, became %v", p, i, before[i], got)
			}
			continue
		}
		want, size := 0.0, 0.0
		if p.alpha != 0 {
			for l := range p.k {
				v := float64(p.alpha) * at(a, lda, p.transA, row, l) * at(b, ldb, p.transB, l, col)
				want += v
				size += math.Abs(v)
			}
		}
		if p.beta != 0 {
			v := float64(p.beta) * float64(before[i])
			want += v
			size += math.Abs(v)
		}
		if p.bias {
			want += float64(e.Bias[col])
			size += math.Abs(float64(e.Bias[col]))
		}
		if p.relu {
			want = max(want, 0)
		}
		if bound := float64(p.k+3) * 0x1p-23 * size; !(math.Abs(float64(got)-want) <= bound) {
			t.Fatalf("%+v: C[%d,%d] is %v, want %v ± %v", p, row, col, got, want, bound)
		}
	}
}

// each runs a test for every row of the table. If some are required, the others
// are skipped: an emulator is slow.
func each(t *testing.T, f func(t *testing.T, im sgemm.Implementation)) {
	kerneltest.Each(t, &sgemm.Table, func(t *testing.T, row kernels.Row[sgemm.Implementation]) {
		if names := kerneltest.Required(); names != nil && !slices.Contains(names, row.Name) {
			t.Skip("others are required")
		}
		f(t, row.Impl)
	})
}

func TestKnown(t *testing.T) {
	each(t, func(t *testing.T, im sgemm.Implementation) {
		a := []float32{1, 2, 3, 4, 5, 6}    // 2×3
		b := []float32{7, 8, 9, 10, 11, 12} // 3×2
		c := []float32{1, 1, 1, 1}
		im.Gemm(false, false, 2, 2, 3, 2, a, 3, b, 2, -1, c, 2)
		require.Equal(t, []float32{115, 127, 277, 307}, c)
		c = []float32{canary, canary, canary, canary}
		im.Gemm(true, true, 2, 2, 3, 1, b, 2, a, 3, 0, c, 2) // (A·B)ᵀ = Bᵀ·Aᵀ
		require.Equal(t, []float32{58, 139, 64, 154}, c)
	})
}

func TestGemm(t *testing.T) {
	edges := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 150}
	scalars := []float32{0, 1, -1, 0.37, 2.5}
	each(t, func(t *testing.T, im sgemm.Implementation) {
		rng := rand.New(rand.NewPCG(7, 7))
		pick := func() int { return edges[rng.IntN(len(edges))] }
		products := 400
		if testing.Short() {
			products = 60
		}
		for i := range products {
			check(t, im, product{
				bias: rng.IntN(3) == 0, relu: rng.IntN(3) == 0,
				transA: i&1 != 0, transB: i&2 != 0,
				m: pick(), n: pick(), k: pick(),
				padA: rng.IntN(4), padB: rng.IntN(4), padC: rng.IntN(4), tail: rng.IntN(20),
				alpha: scalars[rng.IntN(len(scalars))], beta: scalars[rng.IntN(len(scalars))],
				seed: uint64(i),
			})
		}
	})
}

// Every height and width of a tile with what is left over beside it, packed and
// not, in one block along k and in several.
func TestEdges(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 7
	}
	each(t, func(t *testing.T, im sgemm.Implementation) {
		i := uint64(0)
		for m := 1; m <= 40; m += step {
			for n := 1; n <= 100; n += 1 + n/20*step {
				for _, k := range []int{1, 9, 34} {
					i++
					check(t, im, product{
						m: m, n: n, k: k, transA: i&1 != 0, transB: i&2 != 0, padA: int(i % 3), padB: int(i % 5), padC: int(i % 2), tail: 20,
						alpha: 1, beta: float32(i % 2), bias: i%3 == 0, relu: i%5 == 0, seed: i,
					})
				}
			}
		}
		for trans := range 4 {
			for _, s := range [][3]int{{13, 33, 700}, {100, 70, 321}, {205, 17, 40}, {7, 2100, 5}, {80, 40, 330}} {
				if testing.Short() {
					s[0], s[1], s[2] = min(s[0], 20), min(s[1], 70), min(s[2], 330)
				}
				check(t, im, product{m: s[0], n: s[1], k: s[2], transA: trans&1 != 0, transB: trans&2 != 0, alpha: 0.5, beta: 1, bias: true, relu: true, padC: 3})
			}
			for n := 1; n <= 16; n += step { // few columns, and rows that are more than are transposed at a time
				check(t, im, product{m: 1024 + 7*n, n: n, k: 40, transA: trans&1 != 0, transB: trans&2 != 0, alpha: 0.5, beta: float32(n % 3), relu: n%2 == 0, padA: n % 4, padC: 3, tail: 9})
			}
		}
	})
}

// NaN stays NaN, with every epilogue.
func TestNaNStays(t *testing.T) {
	each(t, func(t *testing.T, im sgemm.Implementation) {
		a, b, c := make([]float32, 20*4), make([]float32, 4*40), make([]float32, 20*40)
		a[5*4+2] = float32(math.NaN())
		im.GemmEpilogue(false, false, 20, 40, 4, 1, a, 4, b, 40, 0, c, 40, sgemm.Epilogue{Bias: make([]float32, 40), ReLU: true})
		for i, v := range c {
			require.Equal(t, i/40 == 5, math.IsNaN(float64(v)), i)
		}
	})
}

func TestSmallestShapes(t *testing.T) {
	each(t, func(t *testing.T, im sgemm.Implementation) {
		for i := range 4 * 4 * 4 * 16 {
			check(t, im, product{
				m: i % 4, n: i / 4 % 4, k: i / 16 % 4,
				transA: i/64&1 != 0, transB: i/64&2 != 0,
				alpha: float32(i / 64 >> 2 & 1), beta: float32(i / 64 >> 3 & 1),
				padC: 1, tail: 3,
			})
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint16(64), uint16(65), uint16(129), uint8(15), uint8(7), float32(1), float32(0), uint64(1))
	f.Add(uint16(1), uint16(10), uint16(300), uint8(1), uint8(255), float32(-2), float32(0.5), uint64(2))
	f.Fuzz(func(t *testing.T, m, n, k uint16, trans, pads uint8, alpha, beta float32, seed uint64) {
		// The bound holds where nothing overflows or is subnormal.
		tame := func(v float32) float32 {
			if s := math.Abs(float64(v)); v != 0 && !(s > 1e-6 && s < 1e6) {
				return 1
			}
			return v
		}
		p := product{
			transA: trans&1 != 0, transB: trans&2 != 0,
			m: int(m % 200), n: int(n % 200), k: int(k % 400),
			padA: int(pads & 3), padB: int(pads >> 2 & 3), padC: int(pads >> 4 & 3), tail: int(pads >> 6),
			alpha: tame(alpha), beta: tame(beta), bias: trans&4 != 0, relu: trans&8 != 0, seed: seed,
		}
		for _, row := range sgemm.Table.Supported(kerneltest.CPU) {
			p.impl = row.Name
			check(t, row.Impl, p)
		}
	})
}

// created counts the goroutines that f starts. The garbage collector, which has
// workers of its own, is off meanwhile.
func created(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

func TestNoGoroutines(t *testing.T) {
	const n, ld = 130, 256 // nine of gonum's blocks, and four
	x, c := make([]float32, ld*ld), make([]float32, ld*ld)
	require.NotZero(t, created(func() {
		gonum.Implementation{}.Sgemm(blas.NoTrans, blas.NoTrans, n, n, n, 1, x, ld, x, ld, 0, c, ld)
	}), "gonum by itself must show, or this test sees nothing")
	each(t, func(t *testing.T, im sgemm.Implementation) {
		for _, shape := range [][3]int{{n, n, n}, {1, n, n}, {n, 1, n}, {n, n, 1}, {64, ld, 64}, {129, 65, 2}} {
			for trans := range 4 {
				require.Zero(t, created(func() {
					im.Gemm(trans&1 != 0, trans&2 != 0, shape[0], shape[1], shape[2], 1, x, ld, x, ld, 0, c, ld)
				}), "%v, transposes %b", shape, trans)
			}
		}
	})
}

func TestBadArguments(t *testing.T) {
	type args struct {
		transA, transB       bool
		m, n, k, lenA, lda   int
		lenB, ldb, lenC, ldc int
		bias                 int
		panics               string
	}
	each(t, func(t *testing.T, im sgemm.Implementation) {
		for _, c := range []args{
			{m: -1, n: 1, k: 1, lda: 1, ldb: 1, ldc: 1, panics: "sgemm: negative dimension: m -1, n 1, k 1"},
			{m: 1, n: -1, k: 1, lda: 1, ldb: 1, ldc: 1, panics: "sgemm: negative dimension: m 1, n -1, k 1"},
			{m: 1, n: 1, k: -1, lda: 1, ldb: 1, ldc: 1, panics: "sgemm: negative dimension: m 1, n 1, k -1"},
			{m: 2, n: 3, k: 4, lda: 3, ldb: 3, ldc: 3, panics: "sgemm: lda is 3, below 4, the columns of a as stored"},
			{transA: true, m: 2, n: 3, k: 4, lda: 1, ldb: 3, ldc: 3, panics: "sgemm: lda is 1, below 2, the columns of a as stored"},
			{m: 2, n: 3, k: 4, lda: 4, ldb: 2, ldc: 3, panics: "sgemm: ldb is 2, below 3, the columns of b as stored"},
			{transB: true, m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 3, panics: "sgemm: ldb is 3, below 4, the columns of b as stored"},
			{m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 2, panics: "sgemm: ldc is 2, below 3, the columns of c as stored"},
			{m: 1, n: 2, k: 1, lda: 1, lenA: 1, ldb: 2, lenB: 2, ldc: 2, lenC: 2, bias: 1, panics: "sgemm: bias has 1 elements, C 2 columns"},
			{lda: 0, ldb: 1, ldc: 1, panics: "sgemm: lda is 0, below 1, the columns of a as stored"},
			{m: 2, n: 3, k: 4, lda: 5, lenA: 8, ldb: 3, lenB: 12, ldc: 3, lenC: 6, panics: "sgemm: a has 8 elements, too few for 2 rows of 4, 5 apart"},
			{transA: true, m: 2, n: 3, k: 4, lda: 2, lenA: 7, ldb: 3, lenB: 12, ldc: 3, lenC: 6, panics: "sgemm: a has 7 elements, too few for 4 rows of 2, 2 apart"},
			{m: 2, n: 3, k: 4, lda: 4, lenA: 8, ldb: 3, lenB: 11, ldc: 3, lenC: 6, panics: "sgemm: b has 11 elements, too few for 4 rows of 3, 3 apart"},
			{m: 2, n: 3, k: 4, lda: 4, lenA: 8, ldb: 3, lenB: 12, ldc: 3, lenC: 5, panics: "sgemm: c has 5 elements, too few for 2 rows of 3, 3 apart"},
			{m: 2, n: 3, k: 0, lda: 1, ldb: 3, ldc: 3, lenC: 5, panics: "sgemm: c has 5 elements, too few for 2 rows of 3, 3 apart"},
			{m: 1<<62 + 1, n: 1, k: 1, lda: 4, lenA: 1, ldb: 1, lenB: 1, ldc: 4, lenC: 1, panics: "sgemm: a has 1 elements, too few for 4611686018427387905 rows of 1, 4 apart"},
		} {
			call := func() {
				e := sgemm.Epilogue{}
				if c.bias > 0 {
					e.Bias = make([]float32, c.bias)
				}
				im.GemmEpilogue(c.transA, c.transB, c.m, c.n, c.k, 1, make([]float32, c.lenA), c.lda, make([]float32, c.lenB), c.ldb, 0, make([]float32, c.lenC), c.ldc, e)
			}
			require.PanicsWithValue(t, c.panics, call)
		}
		// Nothing to compute needs no elements; the least slices that do fit are enough.
		im.Gemm(false, false, 0, 3, 4, 1, nil, 4, nil, 3, 0, nil, 3)
		im.Gemm(false, false, 2, 0, 4, 1, nil, 4, nil, 1, 0, nil, 1)
		im.Gemm(false, false, 2, 3, 4, 1, make([]float32, 9), 5, make([]float32, 15), 4, 0, make([]float32, 8), 5)
		c := []float32{1, 2, 3, 4}
		im.Gemm(true, false, 2, 2, 0, 1, nil, 2, nil, 2, 3, c, 2)
		require.Equal(t, []float32{3, 6, 9, 12}, c)
	})
}

// BenchmarkGemm multiplies squares and the products of training.
func BenchmarkGemm(b *testing.B) {
	for _, row := range sgemm.Table.Supported(kerneltest.CPU) {
		for _, s := range slices.Concat(shapes.Peers, shapes.Training) {
			b.Run(fmt.Sprintf("impl=%s/%s", row.Name, s), func(b *testing.B) {
				x, lda, y, ldb, c, ldc := s.Operands(rand.New(rand.NewPCG(1, 1)).Float32)
				for b.Loop() {
					row.Impl.Gemm(s.TransA, s.TransB, s.M, s.N, s.K, 1, x, lda, y, ldb, s.Beta, c, ldc)
				}
				b.ReportMetric(s.FLOP()*float64(b.N)/b.Elapsed().Seconds(), "FLOP/s")
			})
		}
	}
}

// BenchmarkPeak measures the upper bound of every product.
func BenchmarkPeak(b *testing.B) {
	for _, row := range sgemm.Table.Supported(kerneltest.CPU) {
		if row.Peak == nil {
			continue
		}
		b.Run("impl="+row.Name, func(b *testing.B) {
			flop := 0.0
			for b.Loop() {
				flop += row.Peak(row.Impl)
			}
			b.ReportMetric(flop/b.Elapsed().Seconds(), "FLOP/s")
		})
	}
}
