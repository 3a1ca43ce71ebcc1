package gemm_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// Every row of every precision has a right answer on a GPU that an interpreter
// stands for, and a trial's work is counted.
func TestRows(t *testing.T) {
	want := map[gemm.Precision][]string{
		gemm.FP64: {"mma", "simt"}, gemm.FP32: {"simt"}, gemm.TF32: {"wgmma", "mma"}, gemm.BF16: {"wgmma", "mma", "simt"}, gemm.FP16: {"wgmma", "mma", "simt"},
	}
	for _, precision := range gemm.Precisions() {
		table := gemm.Table(precision)
		require.Equal(t, "gemm-"+string(precision), table.Name)
		p := &ptx.Processor{Arch: "sm_90"}
		var names []string
		work := table.Work(p.Info(), 0)
		for _, row := range table.Supported(p.Info()) {
			names = append(names, row.Name)
			t.Run(table.Name+"/"+row.Name, func(t *testing.T) {
				if testing.Short() && precision != gemm.BF16 && row.Name != "mma" {
					t.Skip("as bf16")
				}
				product, err := row.On(p)
				require.NoError(t, err)
				require.NoError(t, table.Check(product))
				if !testing.Short() {
					require.Equal(t, 2*128.*128*128, work(product))
					require.Positive(t, row.Peak(product))
				}
			})
		}
		require.Equal(t, want[precision], names)
	}
	// What a card lacks is not run on it.
	for arch, rows := range map[string]int{"sm_75": 1, "sm_80": 2, "sm_90": 3} {
		require.Len(t, gemm.Table(gemm.BF16).Supported((&ptx.Processor{Arch: arch}).Info()), rows)
	}
	require.Empty(t, gemm.Table(gemm.FP64).Supported(device.Info{Driver: "OpenCL", Features: []string{"wgmma", "gfx942"}}))
}

// The rows for every GPU, on whatever OpenCL has here.
func TestOpenCL(t *testing.T) {
	list, err := opencl.List()
	if testing.Short() || (err != nil || len(list) == 0) && os.Getenv("PERWATT_PEERS") != "required" {
		t.Skip("a short test, or no OpenCL driver: install pocl-opencl-icd")
	}
	require.NoError(t, err)
	require.NotEmpty(t, list)
	p, err := opencl.Open(list[0].ID)
	require.NoError(t, err)
	defer p.Close()
	for _, precision := range []gemm.Precision{gemm.FP64, gemm.FP32, gemm.BF16, gemm.FP16} {
		t.Run(string(precision), func(t *testing.T) {
			table := gemm.Table(precision)
			row, err := table.Pick(p.Info(), "simt")
			require.NoError(t, err)
			product, err := row.On(p)
			require.NoError(t, err)
			require.NoError(t, table.Check(product))
			require.Positive(t, table.Work(p.Info(), 0)(product))
			require.Positive(t, row.Peak(product))
		})
	}
}

// host multiplies on the host, in the processor's memory. The call and the
// matrices that it gets may be changed before and the product after.
func host(t *testing.T, p device.Processor, precision gemm.Precision, change func(x, y, z []float64, c *gemm.Call)) *gemm.Product {
	read := func(b device.Buffer, count int, format gemm.Precision) []float64 {
		data, values := make([]byte, count*format.In()), make([]float64, count)
		require.NoError(t, p.Read(data, b))
		for i := range values {
			values[i] = format.At(data[i*format.In():])
		}
		return values
	}
	return gemm.With(p, precision, func(c gemm.Call) error {
		format := gemm.FP32
		if precision == gemm.FP64 || c.Round && precision.In() == 2 {
			format = precision
		}
		m, n, k := c.M, c.N, c.K
		x, y := read(c.A, m*k, precision), read(c.B, n*k, precision)
		change(x, y, nil, &c)
		z := make([]float64, m*n)
		if c.Add {
			z = read(c.C, m*n, format)
		}
		for i := range m {
			if c.Bias != nil {
				copy(z[i*n:], read(c.Bias, n, format))
			}
			for j := range n {
				for l := range k {
					a, b := x[i*k+l:], y[l*n+j:]
					if c.TransA {
						a = x[l*m+i:]
					}
					if c.TransB {
						b = y[j*k+l:]
					}
					z[i*n+j] += a[0] * b[0]
				}
			}
		}
		change(nil, nil, z, &c)
		data := make([]byte, m*n*format.In())
		for i, v := range z {
			format.Put(data[i*format.In():], v)
		}
		return p.Write(c.C, data)
	})
}

// The check refuses what goes wrong with such kernels.
func TestWrongProducts(t *testing.T) {
	for _, precision := range gemm.Precisions() {
		if testing.Short() && precision != gemm.FP32 && precision != gemm.BF16 {
			continue
		}
		table, p := gemm.Table(precision), &ptx.Processor{}
		require.NoError(t, table.Check(host(t, p, precision, func(_, _, _ []float64, _ *gemm.Call) {})))
		var old []float64
		coarse := map[gemm.Precision]gemm.Precision{gemm.FP64: gemm.FP32, gemm.FP32: gemm.TF32, gemm.TF32: gemm.BF16, gemm.BF16: "", gemm.FP16: gemm.BF16}[precision]
		for name, change := range map[string]func(x, y, z []float64, c *gemm.Call){
			"one element a tile": func(_, _, z []float64, _ *gemm.Call) {
				if z != nil {
					z[len(z)-1] = 0
				}
			},
			"the first term of a row": func(x, _, _ []float64, _ *gemm.Call) {
				if x != nil {
					x[0] = 0
				}
			},
			"the last terms": func(x, _, _ []float64, c *gemm.Call) {
				for i := 0; x != nil && i < c.M; i++ {
					x[(i+1)*c.K-1] = 0
				}
			},
			"rows exchanged": func(_, y, _ []float64, c *gemm.Call) {
				if y != nil {
					y[0], y[c.K] = y[c.K], y[0]
				}
			},
			"an old answer": func(_, _, z []float64, _ *gemm.Call) {
				if z != nil {
					if old == nil {
						old = append(old, z...)
					}
					copy(z, old)
				}
			},
			"nn as if it were nt": func(_, _, _ []float64, c *gemm.Call) {
				c.TransB = !c.TransA
			},
			"tn as if it were nn": func(_, _, _ []float64, c *gemm.Call) {
				c.TransA = false
			},
			"C not added in one layout": func(_, _, _ []float64, c *gemm.Call) {
				c.Add = c.Add && !c.TransA
			},
			"a bias left out where C is rounded": func(_, _, _ []float64, c *gemm.Call) {
				if c.Round {
					c.Bias = nil
				}
			},
			"a bias of a neighbour": func(_, _, _ []float64, c *gemm.Call) {
				if c.Bias != nil {
					data := make([]byte, c.Bias.Size())
					require.NoError(t, p.Read(data, c.Bias))
					copy(data[precision.In():], data)
					require.NoError(t, p.Write(c.Bias, data))
				}
			},
			"C cut off instead of rounded": func(_, _, z []float64, c *gemm.Call) {
				off, half := map[gemm.Precision]int{gemm.BF16: 45, gemm.FP16: 42}[precision] // bits of float64 that the format lacks
				for i := range z {
					if !half { // is not rounded: no fault to plant
						z[i] = 0
					} else if c.Round {
						z[i] = math.Float64frombits(math.Float64bits(z[i]) >> off << off)
					}
				}
			},
			"a lower precision": func(x, y, z []float64, _ *gemm.Call) {
				if coarse == "" { // sums that are rounded to the operands' precision
					x, y = nil, nil
					for i := range z {
						z[i] = float64(math.Float32frombits(math.Float32bits(float32(z[i])) &^ 0xffff))
					}
				}
				for _, values := range [][]float64{x, y} {
					for i := range values {
						var b [8]byte
						coarse.Put(b[:], values[i])
						values[i] = coarse.At(b[:])
					}
				}
			},
		} {
			require.ErrorContains(t, table.Check(host(t, p, precision, change)), "want", "%s: %s", precision, name)
		}
		require.ErrorContains(t, table.Check(gemm.With(p, precision, func(gemm.Call) error { return nil })), "is NaN", "no work")
		good := host(t, p, precision, func(_, _, _ []float64, _ *gemm.Call) {})
		require.ErrorContains(t, table.Check(gemm.With(p, precision, func(c gemm.Call) error {
			if err := good.Do(c); err != nil {
				return err
			}
			data := make([]byte, c.M*c.N*precision.Out()+4)
			require.NoError(t, p.Read(data, c.C))
			clear(data[len(data)-4:])
			return p.Write(c.C, data)
		})), "writes beyond", precision)
		require.Zero(t, table.Work(p.Info(), 0)(gemm.With(&ptx.Processor{}, precision, func(gemm.Call) error { return errors.ErrUnsupported })))
	}
}

// Sizes that a kernel must not see.
func TestSizes(t *testing.T) {
	p := &ptx.Processor{}
	b, err := p.Alloc(1024)
	require.NoError(t, err)
	calls := 0
	product := gemm.With(p, gemm.BF16, func(gemm.Call) error { calls++; return nil })
	call := func(m, n, k int, change func(*gemm.Call)) error {
		c := gemm.Call{C: b, A: b, B: b, M: m, N: n, K: k, TransB: true}
		change(&c)
		return product.Do(c)
	}
	nt := func(*gemm.Call) {}
	nn := func(c *gemm.Call) { c.TransB = false }
	tn := func(c *gemm.Call) { c.TransA, c.TransB = true, false }
	for _, s := range [][3]int{{0, 1, 8}, {1, -1, 8}, {1, 1, 0}, {1, 1, 9}, {1, 1, 4}, {1 << 23, 1, 8}, {1, 1, 1 << 40}} {
		require.ErrorContains(t, call(s[0], s[1], s[2], nt), "dimensions")
	}
	require.ErrorContains(t, call(8, 9, 8, nn), "8×9·8 nn of bf16: dimensions")
	require.ErrorContains(t, call(8, 8, 9, nn), "dimensions")
	require.ErrorContains(t, call(9, 8, 8, tn), "dimensions")
	require.ErrorContains(t, call(8, 9, 8, tn), "dimensions")
	require.ErrorContains(t, call(65, 1, 8, nt), "A has 1024 bytes, want 1040 for 65×8 of bf16")
	require.ErrorContains(t, call(1, 65, 8, nt), "B has")
	require.ErrorContains(t, call(17, 16, 8, nt), "C has 1024 bytes, want 1088")
	short, err := p.Alloc(30)
	require.NoError(t, err)
	require.ErrorContains(t, call(8, 8, 8, func(c *gemm.Call) { c.Bias = short }), "the bias has 30 bytes, want 32")
	for _, change := range []func(*gemm.Call){func(c *gemm.Call) { c.TransA = true }, func(c *gemm.Call) { c.Add, c.Bias = true, b }} {
		require.ErrorContains(t, call(8, 8, 8, change), "not both")
	}
	require.Zero(t, calls)
	require.NoError(t, call(16, 16, 32, nt))
	require.NoError(t, call(8, 8, 1, tn))
	require.NoError(t, call(1, 8, 8, nn))
	require.NoError(t, call(17, 16, 8, func(c *gemm.Call) { c.Round = true }))
	require.NoError(t, call(8, 8, 8, func(c *gemm.Call) { c.Bias, c.Round = short, true }))
	require.Equal(t, 5, calls)
}

// An element is the nearest that its format has, and of two the even one.
func TestRounding(t *testing.T) {
	// By size: how many bits an element has, and its next larger neighbour.
	next := map[gemm.Precision]uint32{gemm.TF32: 1 << 13, gemm.BF16: 1, gemm.FP16: 1}
	random := rand.New(rand.NewPCG(1, 2))
	for precision, step := range next {
		at := func(bits uint32) float64 {
			return precision.At([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
		}
		put := func(v float64) (bits uint32) {
			var b [4]byte
			precision.Put(b[:], v)
			return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		}
		largest := map[gemm.Precision]uint32{gemm.TF32: 0x7f7fe000, gemm.BF16: 0x7f7f, gemm.FP16: 0x7bff}[precision]
		for range 10_000 {
			low := random.Uint32N(largest) / step * step
			a, b := at(low), at(low+step)
			require.Less(t, a, b)
			require.Equal(t, low, put(a), "%s %#x", precision, low)
			middle := (a + b) / 2
			even := low
			if low/step%2 == 1 {
				even = low + step
			}
			for v, want := range map[float64]uint32{
				middle: even, math.Nextafter(middle, 0): low, math.Nextafter(middle, math.Inf(1)): low + step, a + (b-a)*random.Float64()*0.499: low,
			} {
				require.Equal(t, want, put(v), "%s %v between %v and %v", precision, v, a, b)
				sign := uint32(1) << (8*precision.In() - 1)
				require.Equal(t, want|sign, put(-v), "%s %v", precision, -v)
			}
		}
		require.True(t, math.IsInf(at(put(1e300)), 1))
		require.True(t, math.IsInf(at(put(math.Inf(-1))), -1))
		require.True(t, math.IsNaN(at(put(math.NaN()))))
		require.Equal(t, uint32(0), put(0))
	}
	// IEEE 754 binary16: 1 is 0x3c00, 65,504 is the largest, 2⁻²⁴ the least.
	for v, want := range map[float64]byte{1: 0x3c, 65504: 0x7b, 0x1p-24: 0, -2: 0xc0} {
		var b [2]byte
		gemm.FP16.Put(b[:], v)
		require.Equal(t, want, b[1])
		require.Equal(t, v, gemm.FP16.At(b[:]))
	}
}
