package matmul

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/results"
)

// gpu is a processor with a fault in the kernels of the product, from when it is
// set.
type gpu struct {
	device.Processor
	without string // a feature that it does not tell
	fault   func(l device.Launch, run func(device.Launch)) error
}

func (g *gpu) Info() device.Info {
	info := g.Processor.Info()
	info.Features = slices.DeleteFunc(slices.Clone(info.Features), func(f string) bool { return f == g.without })
	return info
}

func (g *gpu) Submit(launches ...device.Launch) error {
	for _, l := range launches {
		ours := strings.Contains(" fill exchange columns residuals ", " "+l.Kernel.Name()+" ")
		if g.fault == nil || ours {
			if err := g.Processor.Submit(l); err != nil {
				return err
			}
			continue
		}
		var failed error
		if err := g.fault(l, func(l device.Launch) { failed = g.Processor.Submit(l) }); err != nil || failed != nil {
			return fmt.Errorf("%w, %w", err, failed)
		}
	}
	return nil
}

func interpreter(arch string) *gpu { return &gpu{Processor: &ptx.Processor{Arch: arch}} }

func opened(t *testing.T, on device.Device, p gemm.Precision, n int) *product {
	w, err := In(p)(bench.Config{Device: on, Seed: 3, Params: map[string]string{"n": strconv.Itoa(n)}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w.(*product)
}

// steps runs n launches.
func (w *product) steps(t *testing.T, n int) (flop uint64) {
	done := bench.NewCounter()
	for range n {
		w.size = 1
		require.NoError(t, w.step(done))
	}
	flop, _, _ = done.Load()
	return flop
}

func good(t *testing.T, checks []results.Check) {
	t.Helper()
	require.Equal(t, map[string]bool{"overwritten": true, "values": true, "product": true}, verdicts(checks), "%+v", checks)
}

func TestProcessor(t *testing.T) {
	config := func(arch, n string) bench.Config {
		return bench.Config{Device: interpreter(arch), Seed: 3, Params: map[string]string{"n": n}}
	}
	if !testing.Short() {
		benchtest.TestWorkload(t, New, config("sm_75", "40"))
	}
	benchtest.TestWorkload(t, In(gemm.BF16), config("sm_80", "17"))
}

// Every precision runs, with rows that are not whole parts of 16 bytes, in panels.
func TestPrecisions(t *testing.T) {
	for i, p := range gemm.Precisions() {
		if testing.Short() && i > 0 {
			break
		}
		t.Run(string(p), func(t *testing.T) {
			const n = 75
			w := opened(t, interpreter("sm_80"), p, n)
			w.rows = 32
			require.NoError(t, w.Prepare(t.Context()))
			require.Len(t, w.panels, 3)
			for _, c := range w.Check() {
				require.False(t, c.OK, "nothing was computed after Prepare")
				require.Equal(t, "no product was computed", c.Detail)
			}
			require.EqualValues(t, 2*(32+32+11+32)*n*n, w.steps(t, 4), "whole panels, without the padding")
			checks := w.Check()
			good(t, checks)
			require.EqualValues(t, 9, w.launch, "Prepare's, those of the run, and the rest of the second product")
			require.Equal(t, 2*5, w.checked, "stripes of two products")
			require.Equal(t, w.checked, w.compared)
			require.Equal(t, 1, w.products)
			again := w.Check()
			require.Equal(t, checks, again)
			w.steps(t, 1)
			good(t, w.Check())
			require.Equal(t, 3*5, w.checked)
			require.Equal(t, 2, w.products)
			require.Equal(t, w.info, w.Info())
		})
	}
}

// on reads, changes and writes C after a launch of the product.
func on(t *testing.T, w *product, l device.Launch, change func(c []float64)) {
	size, format := w.precision.Out(), gemm.FP32
	if size == 8 {
		format = gemm.FP64
	}
	buffer := l.Args[2].(device.Buffer)
	data := make([]byte, buffer.Size())
	require.NoError(t, w.gemm.Read(data, buffer))
	c := make([]float64, len(data)/size)
	for i := range c {
		c[i] = w.precision.Sum(data[i*size:])
	}
	change(c)
	for i, v := range c {
		format.Put(data[i*size:], v)
	}
	require.NoError(t, w.gemm.Write(buffer, data))
}

// terms returns the sum over some of k of the last launch's element, of operands
// that are changed before.
func (w *product) terms(row, column, from int, change func(float64) float64) (sum float64) {
	sa, sb := stream(w.info.Seed, 'a'), w.streams[w.factor(w.launch-1)]
	for l := from; l < w.n; l++ {
		sum += change(w.precision.Element(sa, uint64(row*w.n+l))) * change(w.precision.Element(sb, uint64(column*w.n+l)))
	}
	return sum
}

func same(v float64) float64 { return v }

// A kernel that was right at first and then is not voids the run.
func TestProcessorFaults(t *testing.T) {
	g, n := interpreter("sm_75"), 136
	if testing.Short() {
		n = 24 // one tile
	}
	testFaults(t, g, opened(t, g, gemm.FP32, n))
}

func TestPoCL(t *testing.T) {
	list, err := opencl.List()
	if err != nil || len(list) == 0 {
		require.NotEqual(t, "required", os.Getenv("PERWATT_PEERS"))
		t.Skipf("no OpenCL driver: install pocl-opencl-icd: %v", err)
	}
	p, err := opencl.Open(list[0].ID)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	for _, precision := range gemm.Precisions() {
		if len(gemm.Table(precision).Supported(p.Info())) == 0 {
			continue
		}
		t.Run(string(precision), func(t *testing.T) {
			benchtest.TestWorkload(t, In(precision), bench.Config{Device: p, Params: map[string]string{"n": "300"}})
			g := &gpu{Processor: p}
			testFaults(t, g, opened(t, g, precision, 136))
		})
		if testing.Short() {
			break
		}
	}
}

func testFaults(t *testing.T, g *gpu, w *product) {
	n := w.n
	require.NoError(t, w.Prepare(t.Context()))
	after := func(change func(c []float64)) func(device.Launch, func(device.Launch)) error {
		return func(l device.Launch, run func(device.Launch)) error {
			run(l)
			on(t, w, l, change)
			return nil
		}
	}
	each := func(c []float64, f func(i, j int, v float64) float64) {
		for i := range c {
			c[i] = f(i/n, i%n, c[i])
		}
	}
	var old []float64
	lower := func(v float64) float64 { // 11 bits less of the significand
		bits := map[gemm.Precision]uint64{gemm.FP64: 52 - 29, gemm.FP32: 29 + 13, gemm.TF32: 42 + 3, gemm.BF16: 45 + 3, gemm.FP16: 42 + 3}[w.precision]
		return math.Float64frombits(math.Float64bits(v) &^ (1<<bits - 1))
	}
	type fault struct {
		name  string
		finds []string // the checks that must find it
		fault func(device.Launch, func(device.Launch)) error
	}
	faults := []fault{
		{"no fault", nil, nil},
		{"does nothing", []string{"overwritten", "values", "product"}, func(device.Launch, func(device.Launch)) error { return nil }},
		{"skips the lowest rows", []string{"overwritten", "values", "product"}, func(l device.Launch, run func(device.Launch)) error {
			l.Args = slices.Clone(l.Args)
			l.Args[4] = uint32(n - 8)
			run(l)
			return nil
		}},
		{"skips a step of k", []string{"values", "product"}, after(func(c []float64) {
			each(c, func(i, j int, v float64) float64 { return v - w.terms(i, j, n-8, same) })
		})},
		{"repeats an old answer", []string{"values"}, after(func(c []float64) {
			if old == nil {
				old = slices.Clone(c)
			}
			copy(c, old)
		})},
		{"is wrong in one lane", []string{"product"}, after(func(c []float64) {
			for i := 77; i < len(c); i += 256 {
				c[i] *= 1.01
			}
		})},
		{"NaN", []string{"overwritten", "values", "product"}, after(func(c []float64) {
			each(c, func(int, int, float64) float64 { return math.NaN() })
		})},
		{"skips the last column of tiles", []string{"product"}, func(l device.Launch, run func(device.Launch)) error {
			l.Blocks[0]--
			run(l)
			return nil
		}},
		{"skips a term of some rows", []string{"product"}, after(func(c []float64) {
			each(c, func(i, j int, v float64) float64 {
				if i%16 == 9 {
					v -= w.terms(i, j, n-1, same)
				}
				return v
			})
		})},
		{"is wrong in one element", []string{"product"}, after(func(c []float64) { c[n+5] += 0.02 })},
		{"one NaN", []string{"product"}, after(func(c []float64) { c[len(c)/2] = math.NaN() })},
		{"infinities", []string{"values", "product"}, after(func(c []float64) {
			each(c, func(int, int, float64) float64 { return math.Inf(1) })
		})},
		{"exchanges rows", []string{"product"}, after(func(c []float64) {
			for j := range n {
				c[j], c[n+j] = c[n+j], c[j]
			}
		})},
		{"multiplies in a lower precision", []string{"values", "product"}, after(func(c []float64) {
			each(c, func(i, j int, v float64) float64 {
				if (i+j)%8 == 0 {
					v = w.terms(i, j, 0, lower)
				}
				return v
			})
		})},
		{"changes an operand, too", []string{"values"}, func(l device.Launch, run func(device.Launch)) error {
			require.NoError(t, w.gemm.Write(w.panels[0].a, make([]byte, w.panels[0].a.Size())))
			run(l)
			return nil
		}},
	}
	if testing.Short() {
		faults = faults[:slices.IndexFunc(faults, func(f fault) bool { return f.name == "NaN" })+1]
	}
	for _, c := range faults {
		if !t.Run(c.name, func(t *testing.T) {
			g.fault, w.verification = c.fault, verification{}
			w.steps(t, 7)
			checks := w.Check()
			if c.finds == nil {
				good(t, checks)
			}
			got := verdicts(checks)
			for _, check := range c.finds {
				require.False(t, got[check], "%s: %+v", check, checks)
			}
		}) {
			return
		}
	}
}

// A device that keeps an answer for each operand is found by those that are written
// anew: soon after Prepare, and again and again.
func TestKeptAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute under the race detector")
	}
	g := interpreter("sm_75")
	w := opened(t, g, gemm.FP32, 20)
	require.NoError(t, w.Prepare(t.Context()))
	for _, c := range []struct {
		keep     bool
		products int
	}{{false, 2 * often}, {true, 2 * often}, {false, 1}, {true, 3 * often}} {
		kept := map[device.Buffer][]float64{}
		g.fault = func(l device.Launch, run func(device.Launch)) error {
			run(l)
			on(t, w, l, func(c []float64) {
				b := l.Args[1].(device.Buffer)
				if kept[b] == nil {
					kept[b] = slices.Clone(c)
				}
				copy(c, kept[b])
			})
			return nil
		}
		if !c.keep {
			g.fault = nil
		}
		before := w.written
		w.verification = verification{}
		w.steps(t, c.products)
		checks := w.Check()
		if !c.keep {
			good(t, checks)
			continue
		}
		require.Greater(t, w.written, before)
		require.False(t, verdicts(checks)["values"], "%+v", checks)
	}

	// The first is any of the first products, by the seed.
	firsts := map[uint64]int{}
	for seed := range uint32(40) {
		w := &product{info: bench.Info{Seed: seed}}
		firsts[w.draw(soon)]++
	}
	require.Len(t, firsts, soon)
}

// A device that is lost ends the run with what the driver said, and no figure is
// good.
func TestProcessorLost(t *testing.T) {
	g := interpreter("sm_75")
	w := opened(t, g, gemm.FP32, 20)
	require.NoError(t, w.Prepare(t.Context()))
	g.fault = func(l device.Launch, run func(device.Launch)) error {
		l.Args = slices.Clone(l.Args)
		l.Args[4] = uint32(1 << 20)
		run(l)
		return nil
	}
	err := w.Run(t.Context(), bench.NewCounter())
	require.ErrorContains(t, err, "matmul: run on ptx: ")
	require.ErrorContains(t, err, "illegal address")
	for _, c := range w.Check() {
		require.False(t, c.OK)
		require.Contains(t, c.Detail, "ptx: ")
		require.Contains(t, c.Detail, "illegal address")
	}
	require.NoError(t, w.Close())
}

// A kernel that is wrong from the first is refused, with what is wrong.
func TestPrepareOnProcessor(t *testing.T) {
	g := interpreter("sm_75")
	w := opened(t, g, gemm.FP32, 20)
	require.ErrorContains(t, w.Run(t.Context(), bench.NewCounter()), "call Prepare first")
	g.fault = func(l device.Launch, run func(device.Launch)) error {
		if l.Args[4] == uint32(20) { // not those of the table's check
			l.Blocks[0] = 1
			l.Args = slices.Clone(l.Args)
			l.Args[4] = uint32(19)
		}
		run(l)
		return nil
	}
	require.ErrorContains(t, w.Prepare(t.Context()), "matmul: gemm-fp32 simt is wrong on ptx: product: 1 of 1 whole products differ from A·(Bᵀ·r)")

	g.fault = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, opened(t, g, gemm.FP32, 20).Prepare(ended), context.Canceled)
	described := opened(t, device.Unopened{About: g.Info()}, gemm.FP32, 20)
	require.ErrorContains(t, described.Prepare(t.Context()), "matmul: prepare: device ptx is not open")
}

// The host's check is the device's, for devices without float64.
func TestWithoutDoubles(t *testing.T) {
	g := interpreter("sm_75")
	with := opened(t, g, gemm.FP32, 21)
	with.rows = 16
	require.NoError(t, with.Prepare(t.Context()))
	r := make([]float64, 21)
	for j := range r {
		r[j] = float64(1 - j%3%2*2)
	}
	other := (with.factor(0) + 1) % factors
	onDevice, err := with.onDevice(r, other)
	require.NoError(t, err)
	onHost, err := with.onHost(r, other)
	require.NoError(t, err)
	require.Greater(t, math.Abs(onHost[0]), 1e-3, "C is that of another B")
	require.InDeltaSlice(t, onHost, onDevice, 1e-11)

	g.without = "fp64"
	w := opened(t, g, gemm.FP32, 21)
	require.NoError(t, w.Prepare(t.Context()))
	require.False(t, w.kernels.Doubles())
	w.steps(t, 2)
	good(t, w.Check())
	g.fault = func(l device.Launch, run func(device.Launch)) error {
		run(l)
		on(t, w, l, func(c []float64) { c[50] += 0.01 })
		return nil
	}
	w.steps(t, 2)
	require.False(t, verdicts(w.Check())["product"])
}

func TestProcessorInfo(t *testing.T) {
	card := device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "CUDA 13.0", Memory: 141 << 30, Lanes: 132, Features: []string{"sm_90", "fp64", "mma", "wgmma", "tma"}}
	for _, c := range []struct {
		precision gemm.Precision
		on        device.Info
		impl, n   string
	}{
		{gemm.FP32, card, "simt", "8192"},
		{gemm.BF16, card, "wgmma", "8192"},
		{gemm.FP64, card, gemm.Table(gemm.FP64).Supported(card)[0].Name, "4096"},
		{gemm.BF16, device.Info{ID: "cuda:1", Driver: "CUDA", Memory: 8 << 30, Lanes: 20, Features: []string{"mma"}}, "mma", "4096"},
		{gemm.FP32, device.Info{ID: "cuda:1", Driver: "CUDA", Memory: 1 << 30, Lanes: 132}, "simt", "4096"},
		{gemm.FP32, device.Info{ID: "opencl:0", Kind: device.CPU, Driver: "OpenCL", Memory: 8 << 30, Lanes: 2}, "simt", "1024"},
		{gemm.FP32, device.Info{ID: "opencl:0", Kind: device.GPU, Driver: "OpenCL"}, "simt", "2048"},
	} {
		w, err := In(c.precision)(bench.Config{Device: device.Unopened{About: c.on}, Seed: 4})
		require.NoError(t, err)
		require.Equal(t, bench.Info{
			Name: "matmul", Use: use(c.precision), Device: c.on.ID, Impl: c.impl, Unit: results.FLOP, Threads: 1, Seed: 4,
			FlopPerCount: 1, Formula: "2·m·n·k", Params: map[string]string{"n": c.n, "precision": string(c.precision), "data": "random"},
		}, w.Info())
	}
	fp32, err := New(bench.Config{Device: device.Unopened{About: card}, Params: map[string]string{"n": "6"}})
	require.NoError(t, err)
	require.Equal(t, "compute", fp32.Info().Use)
	require.Equal(t, "6, padded with zeros to 8", fp32.Info().Params["k"])
	onCPU, err := In(gemm.FP32)(bench.Config{Device: cpu.Device{Threads: 1}})
	require.NoError(t, err)
	require.Equal(t, "cpu", onCPU.Info().Device)

	card.Memory = 1 << 30
	for _, c := range []struct {
		precision gemm.Precision
		cfg       bench.Config
		want      string
	}{
		{gemm.BF16, bench.Config{}, "compute-bf16 runs on a GPU only"},
		{gemm.FP64, bench.Config{Device: cpu.Device{Threads: 1}}, "compute-fp64 runs on a GPU only, not on cpu"},
		{gemm.FP32, bench.Config{Device: device.Unopened{About: card}, Impl: "wgmma"}, `no implementation "wgmma"`},
		{gemm.FP32, bench.Config{Device: device.Unopened{About: card}, Impl: "avx2"}, "avx2"},
		{gemm.FP32, bench.Config{Device: device.Unopened{About: card}, Params: map[string]string{"m": "1"}}, `unknown option "m": the only one is n`},
		{gemm.FP32, bench.Config{Device: device.Unopened{About: card}, Params: map[string]string{"n": "65537"}}, `n is "65537": use a whole number from 1 to 65536`},
		{gemm.FP32, bench.Config{Device: device.Unopened{About: card}, Params: map[string]string{"n": "8192"}}, "five matrices of n=8192 take 1.342 GB and cuda:0 has 1.074 GB: use a smaller n"},
	} {
		_, err := In(c.precision)(c.cfg)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, c.want)
	}
}

// The sample is of all launches alike, however many there were.
func TestSample(t *testing.T) {
	const launches, stripes = 100, 1000
	w := &product{precision: gemm.FP32, n: 7, k: 1 << 20, rows: stripes * gemm.Stripe, panels: make([]panel, 1)}
	w.panels[0].rows = w.rows
	for launch := range launches {
		w.looks = []look{{p: &w.panels[0]}, {p: &w.panels[0], ignore: true}}
		w.data = make([]byte, 2*stripes*4)
		for s := range 2 * stripes {
			gemm.FP32.Put(w.data[4*s:], float64(launch+s/stripes*1000))
		}
		if launch == 50 {
			gemm.FP32.Put(w.data, math.NaN())
		}
		w.collect()
	}
	require.Equal(t, launches*stripes, w.checked)
	require.Equal(t, 1, w.poisoned)
	require.Len(t, w.sample, 64)
	early := 0
	for _, e := range w.sample {
		require.Less(t, e.value, float64(launches))
		if e.value < launches/2 {
			early++
		}
	}
	require.InDelta(t, 32, early, 20, "five standard deviations")
}

// The tolerance stands well above the errors of each way to add, and below those
// of what must be found, at the default n.
func TestTolerance(t *testing.T) {
	const k, elements = 8192, 64
	round := func(v float64) float64 { return float64(float32(v)) }
	cut := func(v float64) float64 { // to the 24 bits of float32
		return math.Float64frombits(math.Float64bits(v) &^ (1<<29 - 1))
	}
	less := func(bits int) func(float64) float64 { // rounded to nearest
		return func(v float64) float64 {
			return math.Float64frombits((math.Float64bits(v) + 1<<(bits-1)) &^ (1<<bits - 1))
		}
	}
	for _, c := range []struct {
		name      string
		precision gemm.Precision
		operand   func(float64) float64
		after     int // products between roundings
		round     func(float64) float64
		off       float64 // of one sum in 256
		low, high float64 // times the tolerance
	}{
		{"fp32 rounds", gemm.FP32, same, 1, round, 0, 0.05, 0.3},
		{"tf32 cut after four", gemm.TF32, same, 4, cut, 0, 0.1, 0.5},
		{"bf16 cut after eight", gemm.BF16, same, 8, cut, 0, 0.05, 0.3},
		{"fp16 rounds", gemm.FP16, same, 1, round, 0, 0, 0.1},
		{"fp32 in tf32", gemm.FP32, less(29 + 13), 4, cut, 0, 3, 1e9},
		{"tf32 in bf16", gemm.TF32, less(42 + 3), 8, cut, 0, 3, 1e9},
		{"fp32 off by 1 %", gemm.FP32, same, 1, round, 0.01, 3, 1e9},
		{"bf16 off by 1 %", gemm.BF16, same, 8, cut, 0.01, 2, 1e9},
	} {
		squares := 0.0
		for e := range uint64(elements) {
			sum, part, want := 0.0, 0.0, 0.0
			for l := range uint64(k) {
				a, b := c.precision.Element(e, l), c.precision.Element(e+1000, l)
				want += a * b
				part += c.operand(a) * c.operand(b)
				if (l+1)%uint64(c.after) == 0 {
					sum, part = c.round(sum+part), 0
				}
			}
			squares += (sum-want)*(sum-want) + want*c.off*want*c.off/256
		}
		got := math.Sqrt(squares/elements) / tolerance(c.precision, k)
		t.Logf("%s: %.3g of the tolerance", c.name, got)
		require.True(t, got >= c.low && got <= c.high, "%s: errors are %v times the tolerance", c.name, got)
	}
}
