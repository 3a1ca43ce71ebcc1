package opencl_test

import (
	"errors"
	"os"
	"os/exec"
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

// larger is how much larger inputs are: 1024 for 10⁶ digests, 0 in a simulator.
func larger() int {
	switch {
	case os.Getenv("OCLGRIND_DATA_RACES") != "":
		return 0
	case testing.Short():
		return 4
	}
	return 1024
}

func TestKernels(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		size := larger()
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

func TestScan(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		require.NoError(t, devicetest.Scan(p))
		require.NoError(t, p.Close())
	}
}

// Two contexts of one device go through the host.
func TestSums(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		q, err := opencl.Open(d.ID)
		require.NoError(t, err)
		require.NoError(t, devicetest.Sums(0, p, q))
		require.NoError(t, errors.Join(p.Close(), q.Close()))
	}
}

func TestParts(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		require.NoError(t, devicetest.Parts(p))
		require.NoError(t, p.Close())
	}
}

func TestHost(t *testing.T) {
	for _, d := range devices(t) {
		p, err := opencl.Open(d.ID)
		require.NoError(t, err)
		require.NoError(t, devicetest.Host(p))
		_, _, err = p.Host(0)
		require.ErrorContains(t, err, "CL_INVALID_BUFFER_SIZE (-61) in clCreateBuffer of 0 bytes of the host")
		require.NoError(t, p.Close())
		_, _, err = p.Host(8)
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

// Oclgrind simulates a device and reports data races and accesses out of bounds,
// which a CPU's driver does not notice.
func TestOclgrind(t *testing.T) {
	const library = "/usr/lib/oclgrind/liboclgrind-rt-icd.so"
	if _, err := os.Stat(library); err != nil {
		require.NotEqual(t, "required", os.Getenv("PERWATT_PEERS"), "install oclgrind")
		t.Skip("install oclgrind")
	}
	vendors := t.TempDir()
	require.NoError(t, os.WriteFile(vendors+"/oclgrind.icd", []byte(library), 0o600))
	run := func(test string) string {
		cmd := exec.Command(os.Args[0], "-test.run", test, "-test.v")                                                                                  // #nosec G204 -- this test
		cmd.Env = append(os.Environ(), "OCL_ICD_VENDORS="+vendors, "OCLGRIND_DATA_RACES=1", "OCLGRIND_NUM_THREADS=2", "OCLGRIND_LOCAL_MEM_SIZE=65536") // as CDNA has it
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	out := run("TestKernels")
	require.Contains(t, out, "PASS: TestKernels/opencl:0/simt_fp64")
	for _, word := range []string{"race", "Invalid", "error"} {
		require.NotContains(t, out, word)
	}
	require.Contains(t, run("TestBrokenKernels"), "race", "what is wrong is found")
}

// For TestOclgrind: a race and nothing else.
func TestBrokenKernels(t *testing.T) {
	if larger() != 0 {
		t.Skip("runs in TestOclgrind")
	}
	p, err := opencl.Open("opencl:0")
	require.NoError(t, err)
	k, err := p.Kernel(&device.Program{Name: "race", Source: "__kernel void f(__global uint *x) { x[0] = get_local_id(0) + x[get_local_id(0) & 1]; }"}, "f")
	require.NoError(t, err)
	b, err := p.Alloc(64)
	require.NoError(t, err)
	require.NoError(t, p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{b}}))
	require.NoError(t, p.Sync())
}
