package gemm_test

import (
	"testing"

	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/gemm"
)

func TestPlantedFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute, and several under the race detector, which has nothing to find here")
	}
	devicetest.TestFaults(t, gemm.SIMT, gemm.MMA, gemm.WGMMA, gemm.Verify)
}
