//go:build !purego

package sha256d

import (
	"github.com/perwatt/perwatt/kernels"
)

// native are the rows in assembly. A CPU with SHA2 has ASIMD.
var native = []kernels.Row[Scan]{
	{Name: "armv8", Needs: []string{"SHA2"}, Impl: scanARMv8},
}

const (
	// lanes is the number of nonces that dismiss tests together.
	lanes = 4

	// maxSteps bounds a call of dismiss to 8192 nonces: 0.3 ms at 100 cycles
	// each and 3 GHz, about a millisecond on cores at half of both.
	maxSteps = 2048
)

// scanARMv8 passes the nonces at which dismiss stops, and those at the end that
// do not fill its lanes, to scanGeneric.
func scanARMv8(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	for n >= lanes {
		steps := min(n/lanes, maxSteps)
		left := dismiss(&j.fixed, first, steps)
		first += uint32(lanes * (steps - left))
		n -= lanes * (steps - left)
		if left > 0 {
			dst = scanGeneric(dst, j, first, lanes)
			first, n = first+lanes, n-lanes
		}
	}
	return scanGeneric(dst, j, first, n)
}

// dismiss tests four nonces in each of steps steps and stops at the first four
// with a digest whose most significant word does not exceed f.top. It returns the
// number of steps left, that one included, or 0 if there is no such digest. steps
// is not 0.
//
//	for ; steps > 0; first, steps = first+lanes, steps-1 {
//		for nonce := first; nonce != first+lanes; nonce++ {
//			header.SetNonce(nonce)
//			if sum := Sum(&header); binary.LittleEndian.Uint32(sum[28:]) <= f.top {
//				return steps
//			}
//		}
//	}
//	return 0
//
//go:noescape
func dismiss(f *fixed, first uint32, steps uint64) (left uint64)
