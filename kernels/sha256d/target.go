package sha256d

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

// Target is a 256-bit little-endian integer, as a digest is. A digest meets it
// if it is not greater.
type Target [32]byte

// Met reports whether digest ≤ t.
func (t *Target) Met(digest [32]byte) bool {
	for i := 24; i >= 0; i -= 8 {
		d, t := binary.LittleEndian.Uint64(digest[i:]), binary.LittleEndian.Uint64(t[i:])
		if d != t {
			return d < t
		}
	}
	return true
}

// Hashes returns how many digests it takes on average to meet t:
// 2^256 / (t + 1), at least 1.
func (t *Target) Hashes() float64 {
	return 0x1p256 / (float(*t) + 1)
}

// one is difficulty 1, 0xffff·2^208.
const one = 0xffff * 0x1p208

// Difficulty returns 0xffff·2^208 divided by the digest, or by a target as an
// integer: the hardest difficulty that it meets. It is infinite for zero.
func Difficulty(digest [32]byte) float64 { return one / float(digest) }

// float returns the little-endian integer v to within two units in the last
// place.
func float(v [32]byte) float64 {
	f := 0.0
	for i := 24; i >= 0; i -= 8 {
		f = f*0x1p64 + float64(binary.LittleEndian.Uint64(v[i:]))
	}
	return f
}

// TargetFromDifficulty returns ⌊0xffff·2^208 / d⌋, exactly, and all ones for d
// so small that this has more than 256 bits. It refuses a d that is not
// positive and finite.
func TargetFromDifficulty(d float64) (Target, error) {
	if !(d > 0) || math.IsInf(d, 0) {
		return Target{}, fmt.Errorf("sha256d: difficulty %v is not positive and finite", d)
	}
	frac, exp := math.Frexp(max(d, 0x1p-64)) // at 2^-64 the target has long been all ones
	quotient := new(big.Int).Lsh(big.NewInt(0xffff), 208)
	divisor := big.NewInt(int64(frac * 0x1p53)) // d = divisor · 2^(exp-53), exactly
	if shift := exp - 53; shift >= 0 {
		divisor.Lsh(divisor, uint(shift))
	} else {
		quotient.Lsh(quotient, uint(-shift))
	}
	return fromBig(quotient.Quo(quotient, divisor)), nil
}

// fromBig returns v as a target, all ones if it has more than 256 bits.
func fromBig(v *big.Int) Target {
	var t Target
	if v.BitLen() > 256 {
		for i := range t {
			t[i] = 0xff
		}
		return t
	}
	v.FillBytes(t[:])
	for i, j := 0, len(t)-1; i < j; i, j = i+1, j-1 {
		t[i], t[j] = t[j], t[i]
	}
	return t
}

// TargetFromCompact expands nbits, the form in which a header carries the
// network target: 8 bits of length in bytes, then a sign and the 23 most
// significant bits (Bitcoin Core, arith_uint256::SetCompact). It refuses
// targets that are negative, zero or longer than 256 bits.
func TargetFromCompact(nbits uint32) (Target, error) {
	size, word := int(nbits>>24), nbits&0x7fffff
	if size < 3 {
		word >>= 8 * (3 - size)
	}
	switch {
	case word == 0:
		return Target{}, fmt.Errorf("sha256d: compact target %08x is zero", nbits)
	case nbits&0x800000 != 0:
		return Target{}, fmt.Errorf("sha256d: compact target %08x is negative", nbits)
	case bits.Len32(word)+8*(size-3) > 256:
		return Target{}, fmt.Errorf("sha256d: compact target %08x is longer than 256 bits", nbits)
	}
	return fromBig(new(big.Int).Lsh(big.NewInt(int64(word)), uint(8*max(size-3, 0)))), nil
}
