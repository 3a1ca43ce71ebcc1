package gemm

import (
	"encoding/binary"
	"math"
)

// Precision is the format of the elements of A and B.
type Precision string

// Precisions. TF32 is TensorFloat-32: float32 of whose fraction 10 bits count.
const (
	FP64 Precision = "fp64"
	FP32 Precision = "fp32"
	TF32 Precision = "tf32"
	BF16 Precision = "bf16"
	FP16 Precision = "fp16"
)

// Precisions lists them.
func Precisions() []Precision { return []Precision{FP64, FP32, TF32, BF16, FP16} }

// In returns the bytes of an element of A or B.
func (p Precision) In() int {
	switch p {
	case FP64:
		return 8
	case FP32, TF32:
		return 4
	}
	return 2
}

// Out returns the bytes of an element of C: float64 for [FP64], else float32.
func (p Precision) Out() int {
	if p == FP64 {
		return 8
	}
	return 4
}

// stored returns the format of C's elements: that of the sums, or of A if they are
// rounded. Elements of [TF32] are stored as float32, of which all bits count.
func (p Precision) stored(round bool) Precision {
	switch {
	case p == FP64, round && p.In() == 2:
		return p
	}
	return FP32
}

// nearest returns the element that is nearest to v.
func (p Precision) nearest(v float64) float64 {
	var element [8]byte
	p.Put(element[:], v)
	return p.At(element[:])
}

var le = binary.LittleEndian

// Put writes an element of A or B: the nearest to v that the precision has, of
// two the even one. What is too large becomes an infinity; a NaN is one bit
// pattern of many.
func (p Precision) Put(to []byte, v float64) {
	switch p {
	case FP64:
		le.PutUint64(to, math.Float64bits(v))
	case FP32:
		le.PutUint32(to, math.Float32bits(float32(v)))
	case TF32:
		le.PutUint32(to, round(v, 13)<<13)
	case BF16:
		le.PutUint16(to, uint16(round(v, 16))) // #nosec G115 -- 16 bits remain
	case FP16:
		le.PutUint16(to, half(v))
	}
}

// At reads an element of A or B.
func (p Precision) At(from []byte) float64 {
	switch p {
	case FP64:
		return math.Float64frombits(le.Uint64(from))
	case FP32, TF32:
		return float64(math.Float32frombits(le.Uint32(from)))
	case BF16:
		return float64(math.Float32frombits(uint32(le.Uint16(from)) << 16))
	}
	h := le.Uint16(from)
	exponent, fraction := int(h>>10&31), float64(h&0x3ff)
	v := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 31 && fraction != 0:
		return math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(fraction, -24)
	}
	return math.Copysign(v, 1-2*float64(h>>15))
}

// Sum reads an element of C.
func (p Precision) Sum(from []byte) float64 {
	if p == FP64 {
		return math.Float64frombits(le.Uint64(from))
	}
	return float64(math.Float32frombits(le.Uint32(from)))
}

// Bound returns how far an element of C may be from the exact sum of k products
// whose magnitudes sum to magnitude, whatever the order of its additions.
//
// An addition errs by at most 2⁻²³ of the larger of what it adds and of its sum:
// tensor cores cut off where other units round ("Numerical behavior of NVIDIA
// tensor cores", Fasi et al. 2021), and they cut each product too. That is
// 2·k·2⁻²³·magnitude at worst. Of random terms of both signs the partial sums
// grow with √k: eight times √k·2⁻²³·magnitude is some eight standard
// deviations, and an element in which one product of thousands is missing is mostly outside.
func (p Precision) Bound(k int, magnitude float64) float64 {
	unit := 0x1p-23
	if p == FP64 {
		unit = 0x1p-52
	}
	return min(2*float64(k), 8*math.Sqrt(float64(k))) * unit * magnitude
}

// round returns the first bits of v as a float32: all but the last off, rounded
// to nearest even.
func round(v float64, off int) uint32 {
	f := float32(v)
	bits := math.Float32bits(f)
	if f != f {
		return 0x7fffffff >> off
	}
	// Rounding twice can differ from rounding once where the first step ends in a
	// tie of the second.
	last, tie := uint32(1)<<off-1, uint32(1)<<(off-1)
	if bits&last == tie && float64(f) != v {
		if away := math.Abs(v) > math.Abs(float64(f)); away {
			return bits>>off + 1
		}
		return bits >> off
	}
	return (bits + last>>1 + bits>>off&1) >> off
}

// half returns v as an IEEE 754 binary16.
func half(v float64) uint16 {
	sign := uint16(math.Float64bits(v) >> 48 & 0x8000)
	v = math.Abs(v)
	switch {
	case v != v:
		return 0x7fff
	case v >= 65520:
		return sign | 0x7c00
	case v < 0x1p-14: // a multiple of 2⁻²⁴; 1024 of them are the first normal number
		return sign | uint16(math.RoundToEven(v*0x1p24))
	}
	fraction, exponent := math.Frexp(v)                                          // in [0.5, 1)
	return sign | uint16(int(math.RoundToEven(fraction*2048))+(exponent+13)<<10) // #nosec G115 -- below 0x7c00
}
