package stream_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	workload "github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/opencl"
)

// TestOpenCL needs an OpenCL driver, such as Debian's pocl-opencl-icd, which
// PERWATT_PEERS=required demands.
func TestOpenCL(t *testing.T) {
	list, err := opencl.List()
	if os.Getenv("PERWATT_PEERS") != "required" && (errors.Is(err, foreign.ErrAbsent) || err == nil && len(list) == 0) {
		t.Skip("no OpenCL driver: install pocl-opencl-icd")
	}
	require.NoError(t, err)
	require.NotEmpty(t, list)
	p, err := opencl.Open(list[0].ID)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for use, open := range map[string]func(bench.Config) (bench.Workload, error){
		"memory": workload.New, "memory-copy": workload.Copy, "memory-upload": workload.Upload, "memory-download": workload.Download,
	} {
		t.Run(use, func(t *testing.T) {
			benchtest.TestWorkload(t, open, bench.Config{Device: p, Seed: 11, Params: map[string]string{"n": "200004"}})
		})
	}
}
