package gemm_test

import (
	"testing"

	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/gemm"
)

func TestPlantedFaults(t *testing.T) {
	devicetest.TestFaults(t, gemm.SIMT, gemm.MMA, gemm.WGMMA, gemm.Verify)
}
