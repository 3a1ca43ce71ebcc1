// Package gemm multiplies matrices on processors, in each precision that they
// have: C = A·B, of matrices by rows of which one or both may be stored as their
// transpose. The kernel of the CPU is sgemm.
//
// There is a table a precision, since products of different precisions are not
// the same work. Sums are float32, of fp64 float64.
package gemm

import (
	"embed"
	"errors"
	"fmt"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh simt.cl sm_75
//go:generate ../device/clang.sh simt.cl gfx90a gfx942 gfx1100 gfx1201
//go:generate ../device/clang.sh mma.cu sm_80
//go:generate ../device/clang.sh wgmma.cu sm_90a
//go:generate ../device/clang.sh mfma.cl gfx90a gfx942

//go:embed *.cl *.zst
var files embed.FS

// Programs for GPUs, each described in its source. Their kernels are named for
// the row and the precision: mma_bf16. Their peaks are peak_bf16.
var (
	SIMT  = device.NewProgram(files, "simt")
	MMA   = device.NewProgram(files, "mma")
	WGMMA = device.NewProgram(files, "wgmma")
	MFMA  = device.NewProgram(files, "mfma")
)

// Product multiplies matrices of a precision on a processor.
type Product struct {
	device.Processor
	Precision

	library string
	peak    func() float64 // work of one call; nil without such a loop
	do      func(Call) error
}

// Library is the name and the version of the vendor's library that multiplies:
// "cuBLASLt 12.8.4". It is empty for kernels of ours.
func (p *Product) Library() string { return p.library }

// Call is one product: C = A·B, C += A·B, or C = A·B + bias in every row. C is M×N,
// and the sum of each element has K terms. Matrices are by rows without gaps.
type Call struct {
	C, A, B device.Buffer
	M, N, K int

	// A is stored as M×K, with TransA as its transpose, K×M. B is stored as K×N,
	// with TransB as N×K. No row has both. Rows of what is stored are whole numbers
	// of 16 bytes. Elements are those of [Precision.Put].
	TransA, TransB bool

	Add  bool          // to what C holds
	Bias device.Buffer // of N elements in the format of C; nil for none, as with Add

	// Round stores C in the format of A, each sum rounded once: to the nearest, of
	// two the even one. Without it, elements are those of [Precision.Sum]. Only the
	// half types differ: C of [TF32] is float32.
	Round bool
}

// layout names how A and B are stored, as BLAS does for matrices by rows.
func (c Call) layout() layout {
	switch {
	case c.TransA:
		return tn
	case c.TransB:
		return nt
	}
	return nn
}

// layout is an index of what exists once for each layout.
type layout int

const (
	nt layout = iota
	nn
	tn
)

var layouts = [...]string{nt: "nt", nn: "nn", tn: "tn"}

// starts returns what the sums are added to and the elements between its rows: C,
// the bias, or any buffer if there is nothing.
func (c Call) starts() (from device.Buffer, stride int, any bool) {
	switch {
	case c.Add:
		return c.C, c.N, true
	case c.Bias != nil:
		return c.Bias, 0, true
	}
	return c.C, 0, false
}

// longest is the largest dimension: with it no count of bytes overflows, and no
// grid has more blocks than a driver takes (65,535 along y).
const longest = 1 << 22

// Do submits a product and does not wait. C must not overlap A, B or the bias. The
// error is the processor's, or says what is wrong with the call.
func (p *Product) Do(c Call) error {
	if c.TransA && c.TransB || c.Add && c.Bias != nil {
		return errors.New("gemm: a product takes TransA or TransB, and Add or Bias, not both")
	}
	rowA, rowB := c.K, c.N
	if c.TransA {
		rowA = c.M
	}
	if c.TransB {
		rowB = c.K
	}
	if min(c.M, c.N, c.K) < 1 || max(c.M, c.N, c.K) > longest || rowA*p.In()%16 != 0 || rowB*p.In()%16 != 0 {
		return fmt.Errorf("gemm: %v of %s: dimensions are 1 to %d, and rows of A and B whole numbers of 16 bytes", c, p.Precision, longest)
	}
	out := p.stored(c.Round).In()
	for _, x := range []struct {
		name           string
		b              device.Buffer
		rows, cols, by int
	}{{"A", c.A, c.M, c.K, p.In()}, {"B", c.B, c.N, c.K, p.In()}, {"C", c.C, c.M, c.N, out}, {"the bias", c.Bias, 1, c.N, out}} {
		if x.b == nil && x.name == "the bias" {
			continue
		}
		if want := int64(x.rows) * int64(x.cols) * int64(x.by); x.b.Size() < want {
			return fmt.Errorf("gemm: %s has %d bytes, want %d for %d×%d of %s", x.name, x.b.Size(), want, x.rows, x.cols, p.Precision)
		}
	}
	return p.do(c)
}

// Table returns the kernel of a precision, named gemm-bf16. Its rows run on
// processors alone.
func Table(p Precision) *kernels.Table[*Product] { return tables[p] }

var tables = func() map[Precision]*kernels.Table[*Product] {
	all := map[Precision]*kernels.Table[*Product]{}
	for _, p := range Precisions() {
		t := &kernels.Table[*Product]{Name: "gemm-" + string(p), Unit: "FLOP", Check: check, Work: work}
		for _, own := range owns {
			if tile, ok := own.tiles[p]; ok {
				t.Rows = append(t.Rows, kernels.Row[*Product]{
					Name: own.name, Needs: own.needs[p], Open: own.open(p, tile), Peak: func(p *Product) float64 { return p.peak() },
				})
			}
		}
		t.Rows = append(t.Rows, libraries(p)...)
		all[p] = t
	}
	return all
}()

// tile is what a block computes, as the kernel's source says.
type tile struct {
	rows, columns int
	shared        int  // bytes beyond what the kernel declares
	stays         int  // threads of a block that takes tiles until there are none, by boxes of A and B; 0: a block a tile
	along         bool // it has the layout nt alone, and mma computes the others
}

// own is a row with kernels of ours.
type own struct {
	name    string
	program *device.Program
	needs   map[Precision][]string
	tiles   map[Precision]tile
	ceiling func(Precision) ceiling
}

// owns are in order of rank. Those of AMD's and NVIDIA's units have not yet run on
// hardware.
var owns = []own{
	{
		"wgmma", WGMMA, each([]string{"wgmma", "tma"}, FP16, BF16, TF32), map[Precision]tile{
			FP16: {128, 256, stages, 384, false}, BF16: {128, 256, stages, 384, false}, TF32: {128, 256, stages, 384, true},
		}, wgmmaCeiling,
	},
	mma,
	{
		"mfma", MFMA, map[Precision][]string{FP16: {"mfma"}, BF16: {"mfma"}, TF32: {"mfma", "gfx942"}, FP32: {"mfma"}, FP64: {"mfma"}},
		each(tile{rows: 128, columns: 128}, Precisions()...), mfmaCeiling,
	},
	{"simt", SIMT, need("fp64", FP64), map[Precision]tile{
		FP64: {rows: 128, columns: 64}, FP32: {rows: 128, columns: 128}, BF16: {rows: 128, columns: 128}, FP16: {rows: 128, columns: 128},
	}, simtCeiling},
}

var mma = own{"mma", MMA, need("mma", FP16, BF16, TF32, FP64), each(tile{rows: 128, columns: 128}, FP16, BF16, TF32, FP64), mmaCeiling}

// stages are the bytes of four stages of wgmma, and of two mbarriers each.
const stages = 4*384*128 + 2*4*8

func each[T any](v T, list ...Precision) map[Precision]T {
	m := map[Precision]T{}
	for _, p := range list {
		m[p] = v
	}
	return m
}

func need(feature string, list ...Precision) map[Precision][]string {
	return each([]string{feature}, list...)
}

// open returns what opens the row on a processor.
func (o own) open(precision Precision, t tile) func(device.Processor) (*Product, error) {
	return func(p device.Processor) (*Product, error) {
		var kernels [len(layouts)]device.Kernel
		var other *Product
		for i, name := range layouts {
			var err error
			if t.along && layout(i) != nt {
				other, err = mma.open(precision, mma.tiles[precision])(p)
			} else {
				kernels[i], err = p.Kernel(o.program, o.name+"_"+string(precision)+"_"+name)
			}
			if err != nil {
				return nil, err
			}
		}
		return &Product{Processor: p, Precision: precision, peak: o.ceiling(precision).open(p, o.program), do: func(c Call) error {
			kernel := kernels[c.layout()]
			if kernel == nil {
				return other.do(c)
			}
			start, stride, started := c.starts()
			how := uint32(0) // STARTED and ROUNDED of the kernel's source
			if started {
				how = 1
			}
			if precision.stored(c.Round).In() == 2 {
				how |= 2
			}
			l := device.Launch{
				Kernel: kernel, Shared: t.shared, Threads: t.stays,
				Blocks: [2]int{(c.N + t.columns - 1) / t.columns, (c.M + t.rows - 1) / t.rows},
				Args:   []any{c.A, c.B, c.C, start, uint32(c.M), uint32(c.N), uint32(c.K), uint32(stride), how}, // #nosec G115 -- at most longest
			}
			if t.stays > 0 {
				l.Blocks = [2]int{min(l.Blocks[0]*l.Blocks[1], max(1, p.Info().Lanes)), 1}
				boxes := func(b device.Buffer, rows int, down bool, box int) device.Matrix {
					if down { // boxes of 64 k
						return device.Matrix{Buffer: b, Rows: c.K, Bytes: rows * precision.In(), Box: 64}
					}
					return device.Matrix{Buffer: b, Rows: rows, Bytes: c.K * precision.In(), Box: box}
				}
				l.Args[0], l.Args[1] = boxes(c.A, c.M, c.TransA, t.rows), boxes(c.B, c.N, !c.TransB, t.columns)
			}
			return p.Submit(l)
		}}, nil
	}
}
