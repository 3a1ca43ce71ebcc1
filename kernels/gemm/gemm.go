// Package gemm multiplies matrices on processors, in each precision that they
// have: C = A·Bᵀ, with A m×k, B n×k and C m×n, all by rows. The kernel of the CPU
// is sgemm.
//
// There is a table a precision, since products of different precisions are not
// the same work. Sums are float32, of fp64 float64.
package gemm

import (
	"embed"
	"fmt"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh simt.cl sm_75
//go:generate ../device/clang.sh simt.cl gfx90a gfx942 gfx1100 gfx1201
//go:generate ../device/clang.sh mma.cu sm_80
//go:generate ../device/clang.sh wgmma.cu sm_90a
//go:generate ../device/clang.sh mfma.cl gfx90a gfx942

//go:embed *.cl *.ptx *.co
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

	library  string
	peak     func() float64 // work of one call; nil without such a loop
	multiply func(c, a, b device.Buffer, m, n, k int) error
}

// Library is the name and the version of the vendor's library that multiplies:
// "cuBLASLt 12.8.4". It is empty for kernels of ours.
func (p *Product) Library() string { return p.library }

// longest is the largest dimension: with it no count of bytes overflows, and no
// grid has more blocks than a driver takes (65,535 along y).
const longest = 1 << 22

// Multiply submits C = A·Bᵀ and does not wait. A is m×k, B is n×k, C is m×n, all
// by rows without gaps; elements are those of [Precision.Put] and
// [Precision.Sum]. A row of A or B is a whole number of 16 bytes. C must not
// overlap A or B. The error is the processor's, or says which size is wrong.
func (p *Product) Multiply(c, a, b device.Buffer, m, n, k int) error {
	if min(m, n, k) < 1 || max(m, n, k) > longest || k*p.In()%16 != 0 {
		return fmt.Errorf("gemm: %d×%d·%d of %s: dimensions are 1 to %d, and k a whole number of 16 bytes", m, n, k, p.Precision, longest)
	}
	for _, x := range []struct {
		name           string
		b              device.Buffer
		rows, cols, by int
	}{{"A", a, m, k, p.In()}, {"B", b, n, k, p.In()}, {"C", c, m, n, p.Out()}} {
		if want := int64(x.rows) * int64(x.cols) * int64(x.by); x.b.Size() < want {
			return fmt.Errorf("gemm: %s has %d bytes, want %d for %d×%d of %s", x.name, x.b.Size(), want, x.rows, x.cols, p.Precision)
		}
	}
	return p.multiply(c, a, b, m, n, k)
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
	shared        int // bytes beyond what the kernel declares
	unit          int // bytes of k that its parameter counts
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
	{"wgmma", WGMMA, need("wgmma", FP16, BF16, TF32), each(tile{128, 256, 4 * 384 * 128, 16}, FP16, BF16, TF32), wgmmaCeiling},
	{"mma", MMA, need("mma", FP16, BF16, TF32, FP64), each(tile{128, 128, 0, 16}, FP16, BF16, TF32, FP64), mmaCeiling},
	{
		"mfma", MFMA, map[Precision][]string{FP16: {"mfma"}, BF16: {"mfma"}, TF32: {"mfma", "gfx942"}, FP32: {"mfma"}, FP64: {"mfma"}},
		each(tile{128, 128, 0, 16}, Precisions()...), mfmaCeiling,
	},
	{"simt", SIMT, need("fp64", FP64), map[Precision]tile{
		FP64: {128, 64, 0, 8}, FP32: {128, 128, 0, 4}, BF16: {128, 128, 0, 2}, FP16: {128, 128, 0, 2},
	}, simtCeiling},
}

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
		kernel, err := p.Kernel(o.program, o.name+"_"+string(precision))
		if err != nil {
			return nil, err
		}
		peak := o.ceiling(precision).open(p, o.program)
		return &Product{Processor: p, Precision: precision, peak: peak, multiply: func(c, a, b device.Buffer, m, n, k int) error {
			return p.Submit(device.Launch{
				Kernel: kernel, Shared: t.shared,
				Blocks: [2]int{(n + t.columns - 1) / t.columns, (m + t.rows - 1) / t.rows},
				Args:   []any{a, b, c, uint32(m), uint32(n), uint32(k * precision.In() / t.unit)}, // #nosec G115 -- at most longest·8
			})
		}}, nil
	}
}
