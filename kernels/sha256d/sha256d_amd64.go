//go:build !purego

package sha256d

import (
	"math/bits"

	"github.com/perwatt/perwatt/kernels"
)

//go:generate sh -c "cd _asm && go run -tags purego . -out ../sha256d_amd64.s -stubs ../stubs_amd64.go -pkg sha256d"

// native are the rows in assembly.
var native = []kernels.Row[Scan]{
	{Name: "avx512x2", Needs: []string{"AVX512F", "AVX512BW", "AVX512VL"}, Impl: scanAVX512X2},
	{Name: "avx512", Needs: []string{"AVX512F", "AVX512BW", "AVX512VL"}, Impl: scanAVX512},
	{Name: "shani", Needs: []string{"SHA", "SSE4", "SSSE3", "AVX"}, Impl: scanSHANI},
	{Name: "shani-sse", Needs: []string{"SHA", "SSE4", "SSSE3"}, Impl: scanSHANISSE},
	{Name: "avx2", Needs: []string{"AVX2", "BMI2"}, Impl: scanAVX2},
}

func scanAVX512X2(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var c candidates
	for n > 0 {
		step := min(n, maxStep)
		candidatesAVX512X2((*[32]uint64)(&c), &j.fixed, first, roundUp(step, 32))
		dst = c.verify(dst, j, first, step)
		first, n = first+uint32(step), n-step
	}
	return dst
}

func scanAVX512(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var c candidates
	for n > 0 {
		step := min(n, maxStep)
		candidatesAVX512((*[32]uint64)(&c), &j.fixed, first, roundUp(step, 16))
		dst = c.verify(dst, j, first, step)
		first, n = first+uint32(step), n-step
	}
	return dst
}

func scanSHANI(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var c candidates
	for n > 0 {
		step := min(n, maxStep)
		candidatesSHANI((*[32]uint64)(&c), &j.fixed, first, roundUp(step, 8))
		dst = c.verify(dst, j, first, step)
		first, n = first+uint32(step), n-step
	}
	return dst
}

func scanSHANISSE(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var c candidates
	for n > 0 {
		step := min(n, maxStep)
		candidatesSHANISSE((*[32]uint64)(&c), &j.fixed, first, roundUp(step, 8))
		dst = c.verify(dst, j, first, step)
		first, n = first+uint32(step), n-step
	}
	return dst
}

func scanAVX2(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var c candidates
	for n > 0 {
		step := min(n, maxStep)
		candidatesAVX2((*[32]uint64)(&c), &j.fixed, first, roundUp(step, 8))
		dst = c.verify(dst, j, first, step)
		first, n = first+uint32(step), n-step
	}
	return dst
}

// candidates has a bit for each nonce of a call of assembly.
type candidates [32]uint64

// maxStep bounds a call of assembly: some 0.1 ms.
const maxStep = 64 * uint64(len(candidates{}))

// roundUp returns the least multiple of lanes, a power of two, that is not
// less than n.
func roundUp(n, lanes uint64) int { return int((n + lanes - 1) &^ (lanes - 1)) }

// verify appends to dst those of n candidates from first on that meet the target.
// It drops bits beyond n, and digests that equal the target in the top word and
// exceed it in a lower one.
func (c *candidates) verify(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	for i := uint64(0); i < n; i += 64 {
		word := c[i/64]
		if left := n - i; left < 64 {
			word &= 1<<left - 1
		}
		for ; word != 0; word &= word - 1 {
			dst = scanGeneric(dst, j, first+uint32(i)+uint32(bits.TrailingZeros64(word)), 1)
		}
	}
	return dst
}
