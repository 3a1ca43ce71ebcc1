package opencl_test

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/opencl"
)

// devices are those of the drivers here: PoCL's CPU where Debian's
// pocl-opencl-icd is installed, which PERWATT_PEERS=required demands.
func devices(t *testing.T) []device.Info {
	list, err := opencl.List()
	if os.Getenv("PERWATT_PEERS") != "required" && (errors.Is(err, foreign.ErrAbsent) || err == nil && len(list) == 0) {
		t.Skip("no OpenCL driver: install pocl-opencl-icd")
	}
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list
}

func TestList(t *testing.T) {
	for i, d := range devices(t) {
		require.Equal(t, "opencl:"+strconv.Itoa(i), d.ID)
		require.NotEmpty(t, d.Name)
		require.NotEmpty(t, d.Vendor)
		require.NotEmpty(t, d.Driver)
		require.Positive(t, d.Memory)
		require.Positive(t, d.Lanes)
		t.Logf("%+v", d)
	}
}

// Larger is how much larger inputs are: 1024 for 10⁶ digests. PERWATT_LARGER
// makes it smaller for a simulator such as Oclgrind.
func larger(t *testing.T) int {
	if text, ok := os.LookupEnv("PERWATT_LARGER"); ok {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	if testing.Short() {
		return 4
	}
	return 1024
}

func TestKernels(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		size := larger(t)
		for _, trial := range devicetest.Trials(size) {
			if trial.Program.Source == "" {
				continue // for one vendor's instructions
			}
			t.Run(d.ID+"/"+trial.Name, func(t *testing.T) {
				require.NoError(t, trial.Run(p, trial.Program))
			})
		}
		require.NoError(t, p.Close())
		_, err = p.Alloc(4)
		require.ErrorContains(t, err, "closed")
	}
}

// Errors have the driver's name for them, and what was being done.
func TestErrors(t *testing.T) {
	p, err := opencl.Open(devices(t)[0].ID)
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Kernel(&device.Program{Name: "broken", Source: "__kernel void f(__global int *x) { *x = y; }"}, "f")
	require.ErrorContains(t, err, "CL_BUILD_PROGRAM_FAILURE (-11) in building broken")
	require.ErrorContains(t, err, "y")
	good := &device.Program{Name: "good", Source: "__kernel void f(__global int *x) { *x = 1; }"}
	_, err = p.Kernel(good, "g")
	require.ErrorContains(t, err, "CL_INVALID_KERNEL_NAME (-46) in clCreateKernel g")
	_, err = p.Kernel(&device.Program{Name: "none"}, "f")
	require.ErrorContains(t, err, "program none has no source in OpenCL C")
	_, err = opencl.Open("opencl:99")
	require.ErrorContains(t, err, "no device opencl:99")
	b, err := p.Alloc(8)
	require.NoError(t, err)
	require.ErrorContains(t, p.Write(b, make([]byte, 9)), "9 bytes of a buffer of 8")
	k, err := p.Kernel(good, "f")
	require.NoError(t, err)
	require.ErrorContains(t, p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{b, uint32(1)}}), "CL_INVALID_ARG_INDEX (-49) in argument 1 of f")
	require.ErrorContains(t, p.Sync(), "CL_INVALID_ARG_INDEX", "the device is lost")
}
