package nn_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// trials are those of this package's kernels.
func trials(t *testing.T, on device.Processor) {
	for _, trial := range devicetest.Trials(1) {
		if strings.HasPrefix(trial.Name, "nn_") {
			t.Run(trial.Name, func(t *testing.T) { require.NoError(t, trial.Run(on, trial.Program)) })
		}
	}
}

// Every pass, in both formats, is its definition in float64.
func TestInterpreter(t *testing.T) { trials(t, &ptx.Processor{Arch: "sm_75"}) }

func TestOpenCL(t *testing.T) {
	list, err := opencl.List()
	if os.Getenv("PERWATT_PEERS") != "required" && (errors.Is(err, foreign.ErrAbsent) || err == nil && len(list) == 0) {
		t.Skip("no OpenCL driver: install pocl-opencl-icd")
	}
	require.NoError(t, err)
	p, err := opencl.Open(list[0].ID)
	require.NoError(t, err)
	trials(t, p)
	require.NoError(t, p.Close())
}
