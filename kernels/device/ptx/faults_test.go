package ptx_test

import (
	"testing"

	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/kernels/stream"
)

// Faults in scan and stream are found. Packages gemm and nn have the same test for their
// kernels.
func TestPlantedFaults(t *testing.T) {
	devicetest.TestFaults(t, sha256d.Program, stream.Program)
}
