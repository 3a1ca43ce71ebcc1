//go:build !purego

package sha256d

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/kerneltest"
)

func needARMv8(t *testing.T) {
	row, err := Table.ByName("armv8")
	require.NoError(t, err)
	if !row.Supported(kerneltest.CPU) {
		t.Skipf("this CPU lacks some of %v", row.Needs)
	}
}

// dismiss stops only where it must, which the results of Scan do not show.
func TestDismiss(t *testing.T) {
	needARMv8(t)
	var job Job
	h := realHeaders(t)["125552"] // its digest has 64 zero bits, those of its neighbours do not have 32
	job.Set(&h, &Target{})
	for before := range uint32(3 * lanes) {
		require.Equal(t, uint64(5-before/lanes), dismiss(&job.fixed, h.Nonce()-before, 5), "%d before the nonce", before)
	}
	require.Zero(t, dismiss(&job.fixed, h.Nonce()-3*lanes, 3), "the end is not in the range")
	require.Zero(t, dismiss(&job.fixed, h.Nonce()+1, 1000))

	r := source(t)
	for range 100 {
		h, first := randomHeader(r), uint32(r.Uint64())
		lowest := ^uint32(0)
		for i := range uint32(lanes) {
			h.SetNonce(first + i)
			digest := Sum(&h)
			lowest = min(lowest, binary.LittleEndian.Uint32(digest[28:]))
		}
		target := Target{}
		binary.LittleEndian.PutUint32(target[28:], lowest)
		job.Set(&h, &target)
		require.Equal(t, uint64(1), dismiss(&job.fixed, first, 1), "the lowest is the target")
		binary.LittleEndian.PutUint32(target[28:], lowest-1)
		job.Set(&h, &target)
		require.Zero(t, dismiss(&job.fixed, first, 1), "the lowest exceeds the target by one")
	}
}

// Ranges that take several calls of dismiss, some of which end early.
func TestScanARMv8Calls(t *testing.T) {
	needARMv8(t)
	r := source(t)
	h, rare := randomHeader(r), Target{31: 0x01} // met by one in 256
	var job Job
	for _, target := range []Target{rare, {}} {
		job.Set(&h, &target)
		for _, n := range []uint64{lanes * maxSteps, lanes*maxSteps + 1, 3*lanes*maxSteps - 1} {
			first := uint32(r.Uint64())
			require.Equal(t, reference(h, target, first, n), scanARMv8([]uint32{}, &job, first, n), "%d from %d", n, first)
		}
	}
}
