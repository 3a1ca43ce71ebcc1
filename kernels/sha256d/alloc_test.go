//go:build !race

package sha256d

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/kerneltest"
)

// The race detector's instrumentation allocates, so this test is not for it.
func TestScanDoesNotAllocate(t *testing.T) {
	h := randomHeader(source(t))
	var job Job
	require.Zero(t, testing.AllocsPerRun(10, func() { job.Set(&h, &allOnes) }))
	dst := make([]uint32, 0, 100)
	for _, row := range Table.Supported(kerneltest.CPU) {
		require.Zero(t, testing.AllocsPerRun(10, func() { row.Impl(dst, &job, 0, 100) }), row.Name)
	}
}
