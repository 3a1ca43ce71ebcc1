package matmul

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/results"
)

func open(t *testing.T, cfg bench.Config) *workload {
	t.Helper()
	w, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w.(*workload)
}

func config(n, threads int) bench.Config {
	return bench.Config{Impl: "generic", Device: cpu.Device{Threads: threads}, Seed: 5, Params: map[string]string{"n": strconv.Itoa(n)}}
}

// passes makes n passes over C in turn with every worker.
func (w *workload) passes(n int) (flop uint64) {
	for w.queue.Load() < uint64(n*w.blocks()) {
		for _, k := range w.workers {
			flop += w.step(k)
		}
	}
	return flop
}

func verdicts(checks []results.Check) map[string]bool {
	ok := map[string]bool{}
	for _, c := range checks {
		ok[c.Name] = c.OK
	}
	return ok
}

func TestInfo(t *testing.T) {
	best, err := sgemm.Table.Pick(cpu.Info(), "")
	require.NoError(t, err)
	w, err := New(bench.Config{})
	require.NoError(t, err)
	require.Equal(t, bench.Info{
		Name: "matmul", Use: "compute", Device: "cpu", Impl: best.Name, Unit: results.FLOP, Threads: 1,
		FlopPerCount: 1, Formula: "2·m·n·k", Params: map[string]string{"n": "4096"},
	}, w.Info())
}

func TestRefusals(t *testing.T) {
	n := func(v string) bench.Config { return bench.Config{Params: map[string]string{"n": v}} }
	for _, c := range []struct {
		cfg  bench.Config
		want string
	}{
		{bench.Config{Impl: "fpga"}, `no implementation "fpga": use one of `},
		{bench.Config{Device: cpu.Device{Threads: -1}}, "-1 threads: use 1 or more"},
		{bench.Config{Params: map[string]string{"m": "1"}}, `unknown option "m": the only one is n`},
		{n("0"), `n is "0": use a whole number from 1 to 65536`},
		{n("65537"), `n is "65537"`},
		{n("4e3"), `n is "4e3"`},
		{config(16, 2), "n=16 gives work to 1 threads, not 2: use a larger n or fewer threads"},
	} {
		_, err := New(c.cfg)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, c.want)
	}
}

// TestTooLarge needs a machine that cannot hold the largest matrices.
func TestTooLarge(t *testing.T) {
	need := 3 * 4 * int64(maxN) * int64(stride(maxN))
	if have, ok := bench.MemoryAvailable("/"); !ok || have >= need {
		t.Skipf("%d bytes are available, or nobody knows", have)
	}
	_, err := New(config(maxN, 1))
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, fmt.Sprintf("three matrices of n=%d take %s and ", maxN, bench.Size(need)))
}

// TestSteps holds each step to be counted, and blocks to tile C.
func TestSteps(t *testing.T) {
	for _, c := range []struct{ n, threads int }{{1, 1}, {16, 1}, {17, 2}, {64, 4}, {100, 1}, {150, 3}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			w := open(t, config(c.n, c.threads))
			w.block.K = 40
			require.GreaterOrEqual(t, w.blocks(), c.threads)
			require.NoError(t, w.Prepare(t.Context()))
			flop := w.passes(1)
			for _, k := range w.workers { // what is in hand belongs to this pass
				for k.l > 0 {
					flop += w.step(k)
				}
			}
			n := uint64(c.n)
			require.EqualValues(t, w.blocks(), w.queue.Load())
			require.Equal(t, 2*n*n*n, flop)
			for r := range c.n {
				for col, got := range w.c[r*w.ld:][:c.n] {
					want, bound := w.reference(r, col, 0, c.n, 1)
					if !(math.Abs(float64(got)-want) <= bound) {
						t.Fatalf("C[%d,%d] is %v, want %v ± %v", r, col, got, want, bound)
					}
				}
			}
			for _, k := range w.Check() {
				require.True(t, k.OK, k.Detail)
			}
		})
	}
}

// TestBroken has kernels that are wrong in every way that might look like
// speed, each of which must be found out within a few passes.
func TestBroken(t *testing.T) {
	right, err := sgemm.Table.ByName("generic")
	require.NoError(t, err)
	type call struct {
		m, n, k, lda, ldb, ldc int
		alpha, beta            float32
		a, b, c                []float32
	}
	multiply := func(x call) {
		right.Impl.Gemm(false, false, x.m, x.n, x.k, x.alpha, x.a, x.lda, x.b, x.ldb, x.beta, x.c, x.ldc)
	}
	window := func(x call, f func(v *float32)) {
		for i := range x.m {
			for j := range x.n {
				f(&x.c[i*x.ldc+j])
			}
		}
	}
	calls, first, memo := 0, 0, map[*float32][]float32{}
	for _, c := range []struct {
		name        string
		gemm        func(call)
		overwritten bool // what the check of that name must say
	}{
		{"does nothing", func(call) {}, false},
		{"skips every fifth call", func(x call) {
			if calls++; calls%5 != 0 {
				multiply(x)
			}
		}, false},
		{"rests after the first pass", func(x call) {
			if first++; first <= 9*2 { // blocks, calls a block
				multiply(x)
			}
		}, false},
		{"adds to what was there", func(x call) { x.beta = 1; multiply(x) }, false},
		{"leaves out the last row", func(x call) { x.m--; multiply(x) }, false},
		{"leaves out the last column", func(x call) { x.n--; multiply(x) }, false},
		{"clears instead", func(x call) { window(x, func(v *float32) { *v = 0 }) }, true},
		{"leaves out a term", func(x call) { x.k--; multiply(x) }, true},
		{"forgets alpha", func(x call) { x.alpha = 1; multiply(x) }, true},
		{"forgets the sum so far", func(x call) { x.beta = 0; multiply(x) }, true},
		{"is off by a thousandth", func(x call) { x.alpha *= 1.001; multiply(x) }, true},
		{"is wrong in one row", func(x call) { multiply(x); x.c[3*x.ldc] = 0; clear(x.c[3*x.ldc:][:x.n]) }, true},
		{"rounds to bfloat16", func(x call) {
			multiply(x)
			window(x, func(v *float32) { *v = math.Float32frombits(math.Float32bits(*v) &^ 0xffff) })
		}, true},
		{"remembers the first pass", func(x call) {
			seen, ok := memo[&x.c[0]]
			if !ok || x.beta != 0 {
				multiply(x)
				window(x, func(v *float32) { seen = append(seen, *v) })
				memo[&x.c[0]] = seen[len(seen)-x.m*x.n:]
				return
			}
			window(x, func(v *float32) { *v, seen = seen[0], seen[1:] })
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, config(136, 1))
			w.block.K = 80 // two calls a block
			require.NoError(t, w.Prepare(t.Context()))
			w.gemm = func(_, _ bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, cc []float32, ldc int) {
				c.gemm(call{m, n, k, lda, ldb, ldc, alpha, beta, a, b, cc})
			}
			w.passes(16)
			checks := w.Check()
			require.Equal(t, map[string]bool{"overwritten": c.overwritten, "values": false}, verdicts(checks), "%+v", checks)
			require.Contains(t, checks[1].Detail, " are wrong; the first: C[")
		})
	}
}

func TestPrepareRefusesWrongKernels(t *testing.T) {
	w := open(t, config(200, 1))
	right := w.gemm
	w.gemm = func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
		right(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		c[(m-1)*ldc+n-1] += 0.01
	}
	require.ErrorContains(t, w.Prepare(t.Context()), "matmul: sgemm generic is wrong on this machine: C[199,199] over the last 130 of k is ")

	w = open(t, config(200, 2))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Prepare(ended), context.Canceled)
}

// TestBlockInHand holds Run to take up what it left, Check to finish it, and
// no check to be good without an answer.
func TestBlockInHand(t *testing.T) {
	w := open(t, config(100, 1))
	w.block.K = 30
	require.ErrorContains(t, w.Run(t.Context(), bench.NewCounter()), "call Prepare first")
	require.NoError(t, w.Prepare(t.Context()))
	require.Equal(t, map[string]bool{"overwritten": false, "values": false}, verdicts(w.Check()))

	w.step(w.workers[0])
	w.step(w.workers[0])
	require.Equal(t, 60, w.workers[0].l)
	require.Equal(t, map[string]bool{"overwritten": true, "values": true}, verdicts(w.Check()))
	require.Equal(t, 1, w.workers[0].checked)
	require.Zero(t, w.workers[0].l)
}

func TestElements(t *testing.T) {
	one, two, other := open(t, config(64, 1)), open(t, config(64, 4)), open(t, config(64, 1))
	other.info.Seed++
	for _, w := range []*workload{one, two, other} {
		require.NoError(t, w.Prepare(t.Context()))
	}
	require.Equal(t, one.a, two.a, "threads must not change the data")
	require.Equal(t, one.b, two.b)
	require.NotEqual(t, one.a, one.b)
	require.NotEqual(t, one.a, other.a)
	sum := 0.0
	for i := range 100_000 {
		v := float64(element(42, i))
		if !(v >= -1 && v < 1 && v*0x1p23 == math.Trunc(v*0x1p23)) {
			t.Fatalf("element %d is %v", i, v)
		}
		sum += v
	}
	require.InDelta(t, 0, sum/100_000, 0.01, "the mean")
}
