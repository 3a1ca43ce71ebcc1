package nn_test

import (
	"testing"

	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/nn"
)

func TestPlantedFaults(t *testing.T) {
	devicetest.TestFaults(t, nn.Programs(nn.FP32), nn.Programs(nn.BF16), nn.Tensor)
}
