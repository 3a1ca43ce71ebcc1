package gemm

import (
	"math"
	"slices"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh verify.cl sm_75
//go:generate ../device/clang.sh verify.cl gfx90a gfx942 gfx1100 gfx1201

// Verify fills operands, poisons places of C and makes Freivalds' check. It is
// described in its source.
var Verify = device.NewProgram(files, "verify")

// layout is how an element of A or B is stored: its width in bits, the stored bits
// of its fraction, those of them that are random, and the bias of its exponent.
func (p Precision) layout() (width, stored, kept, bias uint32) {
	switch p {
	case FP64:
		return 64, 52, 52, 1023
	case FP32:
		return 32, 23, 23, 127
	case TF32:
		return 32, 23, 10, 127
	case BF16:
		return 16, 7, 7, 127
	}
	return 16, 10, 10, 15
}

// splitMix returns the i-th output, from 0, of SplitMix64 with the given state.
func splitMix(state, i uint64) uint64 {
	z := state + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Element returns the i-th element, row by row, of the matrix that state
// generates: uniform in (-1, 1), at least 2⁻⁸ in magnitude, with a random
// significand, and held exactly by the precision. The power of a multiplier
// depends on its operands' bits.
func (p Precision) Element(state, i uint64) float64 {
	_, _, kept, _ := p.layout()
	h := splitMix(state, i)
	exponent := uint64(1022)
	for bit := 62; bit > 55 && h>>bit&1 == 0; bit-- {
		exponent--
	}
	return math.Float64frombits(h>>63<<63 | exponent<<52 | h<<12>>(64-kept)<<(52-kept))
}

// Stripe is how many rows of C share a poisoned place: no tile of a kernel is
// lower.
const Stripe = 16

// Stripes returns the number of stripes of so many rows, the last one of what
// remains.
func Stripes(rows int) int { return (rows + Stripe - 1) / Stripe }

// Place returns the place in a stripe of a matrix of rows×n that seed chooses.
func Place(seed uint32, stripe, rows, n int) (row, column int) {
	h := splitMix(uint64(seed), uint64(stripe)) // #nosec G115 -- an index
	top := Stripe * stripe
	return top + int(h>>32)%min(Stripe, rows-top), int(h & math.MaxUint32 % uint64(n)) // #nosec G115 -- below 1<<32
}

// Verifier is the kernels of [Verify] on the processor of a product. Its methods
// submit launches and do not wait. Rows of A and B are k elements long, which is
// a whole number of 16 bytes.
type Verifier struct {
	device.Processor
	Precision
	fill, exchange     device.Kernel
	columns, residuals device.Kernel // nil without float64
}

// NewVerifier loads the kernels.
func NewVerifier(p *Product) (*Verifier, error) {
	v := &Verifier{Processor: p.Processor, Precision: p.Precision}
	names := map[string]*device.Kernel{"fill": &v.fill, "exchange": &v.exchange}
	if slices.Contains(p.Info().Features, "fp64") {
		names["columns"], names["residuals"] = &v.columns, &v.residuals
	}
	for name, kernel := range names {
		var err error
		if *kernel, err = p.Kernel(Verify, name); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (v *Verifier) launch(k device.Kernel, blocks int, args ...any) error {
	return v.Submit(device.Launch{Kernel: k, Blocks: [2]int{blocks, 1}, Args: args})
}

// Fill makes rows of A or B from row top on of the matrix of n columns that state
// generates; zeros follow the n elements of a row.
func (v *Verifier) Fill(to device.Buffer, top, rows, n, k int, state uint64) error {
	width, stored, kept, bias := v.layout()
	return v.launch(v.fill, rows, to, uint32(k*v.In()/4), uint32(top), uint32(n), uint32(state), uint32(state>>32), width, stored, kept, bias, uint32(0)) // #nosec G115 -- dimensions and halves
}

// Poison makes a NaN of every element of C, rows×n.
func (v *Verifier) Poison(c device.Buffer, rows, n int) error {
	return v.launch(v.fill, rows, c, uint32(n*v.Out()/4), uint32(0), uint32(0), uint32(0), uint32(0), uint32(32), uint32(0), uint32(0), uint32(0), uint32(math.MaxUint32)) // #nosec G115 -- a dimension
}

// Exchange copies the elements of C, rows×n, at the places that old chooses to
// taken, from its element first on, one a stripe; then it makes NaNs of those
// that chosen chooses.
func (v *Verifier) Exchange(c, taken device.Buffer, first, rows, n int, old, chosen uint32) error {
	blocks := (Stripes(rows) + device.Threads - 1) / device.Threads
	return v.launch(v.exchange, blocks, c, taken, uint32(first), uint32(rows), uint32(n), uint32(v.Out()/8), old, chosen) // #nosec G115 -- dimensions
}

// Doubles reports whether the processor has float64, which Columns and Residuals
// need.
func (v *Verifier) Doubles() bool { return v.columns != nil }

// Columns makes y = Bᵀ·r, k numbers of float64, of B, n×k, and r, n numbers of
// float32.
func (v *Verifier) Columns(y, b, r device.Buffer, n, k int) error {
	width, stored, _, bias := v.layout()
	return v.launch(v.columns, (k+device.Threads-1)/device.Threads, y, b, r, uint32(n), uint32(k), width, stored, bias) // #nosec G115 -- dimensions
}

// Residuals makes d = A·y - C·r, a number of float64 a row, of A, rows×k, and C,
// rows×n.
func (v *Verifier) Residuals(d, a, c, r, y device.Buffer, rows, n, k int) error {
	width, stored, _, bias := v.layout()
	return v.launch(v.residuals, rows, d, a, c, r, y, uint32(n), uint32(k), uint32(v.Out()/8), width, stored, bias) // #nosec G115 -- dimensions
}
