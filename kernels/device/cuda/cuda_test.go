package cuda_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cuda"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// The driver is loaded once a process, so all tests share its cards: those of
// tests that lose a card have one of their own.
var cards = []*fakecuda.Card{
	{Name: "Fake Turing", PCI: "00000000:01:00.0", UUID: [16]byte{0xab, 1}, Memory: 1 << 30, Major: 7, Minor: 5, Link: 1},
	{Name: "Fake Ampere", PCI: "00000000:02:00.0", UUID: [16]byte{0xab, 2}, Memory: 1 << 30, Major: 8, Minor: 0, Link: 1},
	{Name: "Fake Hopper", PCI: "00000000:03:00.0", UUID: [16]byte{0xab, 3}, Memory: 1 << 30, Major: 9, Minor: 0},
	{Name: "for an illegal address", PCI: "00000000:04:00.0", Memory: 1 << 20, Major: 7, Minor: 5},
	{Name: "for a loss", PCI: "00000000:05:00.0", Memory: 1 << 20, Major: 7, Minor: 5},
	{Name: "for an endless kernel", PCI: "00000000:06:00.0", Memory: 1 << 20, Major: 7, Minor: 5, Steps: 1000},
	{Name: "too old", PCI: "00000000:07:00.0", Memory: 1 << 20, Major: 6, Minor: 1},
	{Name: "for a late error", PCI: "00000000:08:00.0", Memory: 1 << 20, Major: 7, Minor: 5, Late: true},
	{Name: "for another", PCI: "00000000:09:00.0", Memory: 1 << 20, Major: 7, Minor: 5, Late: true},
	{Name: "for a peer that is lost", PCI: "00000000:0a:00.0", Memory: 1 << 20, Major: 7, Minor: 5, Late: true},
}

var driver *fakecuda.Driver

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fakecuda")
	if err != nil {
		panic(err)
	}
	code := 1
	defer func() { os.RemoveAll(dir); os.Exit(code) }()
	if _, err := exec.LookPath("cc"); err != nil && os.Getenv("PERWATT_PEERS") != "required" {
		fmt.Println("no C compiler: the driver's stand-in cannot be built")
		code = 0
		return
	}
	library, err := fakecuda.Build(dir)
	if err != nil {
		panic(err)
	}
	if driver, err = fakecuda.Serve(dir, cards...); err != nil {
		panic(err)
	}
	os.Setenv("PERWATT_FAKE_CUDA", driver.Socket)
	cuda.Use(library)
	code = m.Run()
}

func open(t *testing.T, i int) device.Processor {
	p, err := cuda.Open(fmt.Sprintf("cuda:%d", i))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestList(t *testing.T) {
	list, err := cuda.List()
	require.NoError(t, err)
	require.Len(t, list, len(cards))
	require.Equal(t, device.Info{
		ID: "cuda:2", Kind: device.GPU, Vendor: "NVIDIA", Name: "Fake Hopper", PCI: "0000:03:00.0", UUID: "GPU-ab030000-0000-0000-0000-000000000000",
		Driver: "CUDA 12.4", Memory: 1 << 30, Lanes: 1, Features: []string{"sm_90", "cuda", "fp64", "mma", "wgmma", "tma"},
	}, list[2])
	_, err = cuda.Open("cuda:99")
	require.ErrorContains(t, err, "no device cuda:99: CUDA has 10 here")
}

// An open card says what is free, which is what others have not taken.
func TestFreeMemory(t *testing.T) {
	first := open(t, 1)
	before := first.Info().Free
	require.Positive(t, before)
	b, err := first.Alloc(10 << 20)
	require.NoError(t, err)
	require.Equal(t, before-10<<20, open(t, 1).Info().Free)
	require.NoError(t, first.Free(b))
	require.Equal(t, before, open(t, 1).Info().Free)
}

func TestAbsent(t *testing.T) {
	cuda.Use("libcuda-that-is-not-here.so.1")
	defer cuda.Use(driver.Socket[:len(driver.Socket)-len("cuda")] + "libcuda.so.1")
	_, err := cuda.List()
	require.ErrorIs(t, err, foreign.ErrAbsent)
}

// The whole way: Go, the driver's functions, PTX, answers.
func TestKernels(t *testing.T) {
	trials := devicetest.Trials(1)
	if testing.Short() {
		trials = devicetest.Few(trials)
	}
	for i, arch := range []string{"sm_75", "sm_80", "sm_90"} {
		p := open(t, i)
		for _, trial := range trials {
			if trial.Arch == arch {
				t.Run(trial.Name, func(t *testing.T) { require.NoError(t, trial.Run(p, trial.Program)) })
			}
		}
	}
}

func TestScan(t *testing.T) { require.NoError(t, devicetest.Scan(open(t, 0))) }

func TestParts(t *testing.T) { require.NoError(t, devicetest.Parts(open(t, 0))) }

func TestPeers(t *testing.T) {
	a, b, unlinked := open(t, 0), open(t, 1), open(t, 2)
	require.NoError(t, devicetest.Peers(a, b, true))
	require.NoError(t, devicetest.Peers(b, a, true))
	require.NoError(t, devicetest.Peers(a, unlinked, false), "the driver goes through the host")

	lost := open(t, 9)
	from, err := a.Alloc(64)
	require.NoError(t, err)
	to, err := lost.Alloc(64)
	require.NoError(t, err)
	cards[9].Fail(0, 719)
	require.Error(t, launch(lost, to, to, 1))
	require.ErrorContains(t, a.(device.Peer).Send(lost, to, from), "CUDA_ERROR_LAUNCH_FAILED (719) in sending 64 bytes from cuda:0 to cuda:9")
}

func TestSums(t *testing.T) {
	require.NoError(t, devicetest.Sums(2, open(t, 0), open(t, 1)))
	require.NoError(t, devicetest.Sums(1, open(t, 0), open(t, 1), open(t, 2)), "two go through the host")
}

func TestHost(t *testing.T) {
	p := open(t, 0)
	require.NoError(t, devicetest.Host(p))
	_, _, err := p.Host(1 << 60)
	require.ErrorContains(t, err, "CUDA_ERROR_OUT_OF_MEMORY (2) in allocating 1152921504606846976 bytes of page-locked memory for cuda:0: out of memory")
	_, release, err := p.Host(8)
	require.NoError(t, err)
	require.NoError(t, release())
	require.ErrorContains(t, release(), "CUDA_ERROR_INVALID_VALUE (1) in freeing page-locked memory of cuda:0", "it went back to the driver")
}

// boxes launches a kernel that takes boxes of a matrix in a new buffer, of which
// some may be wrong. A launch that is refused loses no device.
func boxes(t *testing.T, p device.Processor, m device.Matrix) error {
	b, err := p.Alloc(1024)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Free(b)) }()
	k, err := p.Kernel(gemm.WGMMA, "wgmma_bf16_nt")
	require.NoError(t, err)
	m.Buffer = b
	return p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Threads: 384, Shared: 4*384*128 + 64, Args: []any{m, m, b, b, uint32(1), uint32(1), uint32(1), uint32(1), uint32(0)}})
}

func TestMatrix(t *testing.T) {
	p := open(t, 2)
	for _, c := range []struct {
		m    device.Matrix
		want string
	}{
		{device.Matrix{Rows: 65, Bytes: 16, Box: 128}, "argument 0 of wgmma_bf16_nt: 65 rows of 16 bytes are not in the buffer"},
		{device.Matrix{Rows: 1 << 62, Bytes: 16, Box: 128}, "are not in the buffer"},
		{device.Matrix{Rows: 0, Bytes: 16, Box: 128}, "0 rows"},
		{device.Matrix{Rows: 1, Bytes: 24, Box: 128}, "CUDA_ERROR_INVALID_VALUE (1) in encoding a tensor map of 1 rows of 24 bytes, 128 rows a box: invalid argument"},
		{device.Matrix{Rows: 1, Bytes: 16, Box: 257}, "257 rows a box: invalid argument"},
		{device.Matrix{Rows: 1, Bytes: 16, Box: -1}, "invalid argument"},
	} {
		require.ErrorContains(t, boxes(t, p, c.m), c.want)
	}
}

// A driver from before CUDA 12 cannot make tensor maps: the row that needs them is
// not for its devices, and says why.
func TestNoTensorMaps(t *testing.T) {
	old, err := fakecuda.Build(t.TempDir(), "-DCUDA11")
	require.NoError(t, err)
	cuda.Use(old)
	defer cuda.Use(driver.Socket[:len(driver.Socket)-len("cuda")] + "libcuda.so.1")
	p := open(t, 2)
	require.Equal(t, []string{"sm_90", "cuda", "fp64", "mma", "wgmma"}, p.Info().Features)
	_, err = gemm.Table(gemm.BF16).Pick(p.Info(), "wgmma")
	require.ErrorContains(t, err, "implementation wgmma needs wgmma tma, but device cuda:2 lacks tma")
	require.ErrorContains(t, boxes(t, p, device.Matrix{Rows: 1, Bytes: 16, Box: 128}), "argument 0 of wgmma_bf16_nt: CUDA has no tensor maps here")
}

// launch starts scan with arguments of which some may be wrong.
func launch(p device.Processor, in, found device.Buffer, each uint32) error {
	k, err := p.Kernel(sha256d.Program, "scan")
	if err != nil {
		return err
	}
	return errors.Join(p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{in, found, uint32(1), uint32(0), each, uint32(0)}}), p.Sync())
}

func TestErrors(t *testing.T) {
	p := open(t, 0)
	_, err := p.Alloc(1 << 31)
	require.ErrorContains(t, err, "CUDA_ERROR_OUT_OF_MEMORY (2) in allocating 2147483648 bytes on cuda:0: out of memory")
	_, err = p.Kernel(&device.Program{Name: "broken", Code: map[string]device.Code{"sm_75": devicetest.Pack(".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k()\n{\nfrob.b32 %r1;\n}\n")}}, "k")
	require.ErrorContains(t, err, "CUDA_ERROR_INVALID_PTX (218) in loading program broken on cuda:0: a PTX JIT compilation failed: ptx: line 6")
	_, err = p.Kernel(sha256d.Program, "scam")
	require.ErrorContains(t, err, "CUDA_ERROR_NOT_FOUND (500) in looking for kernel scam in program scan")
	b, err := p.Alloc(64)
	require.NoError(t, err)
	require.ErrorContains(t, p.Write(b, make([]byte, 65)), "65 bytes to or from a buffer of 64")
	require.NoError(t, p.Free(b))

	_, err = open(t, 6).Kernel(sha256d.Program, "scan")
	require.ErrorContains(t, err, "program scan has no code for sm_61, which cuda:6 needs: it is for gfx1100, gfx1201, gfx90a, gfx942, sm_75")
}

// A GPU is at work when a launch returns: what goes wrong shows at the next wait,
// which says after what.
func TestLate(t *testing.T) {
	for card, want := range map[int]string{
		7: "CUDA_ERROR_LAUNCH_FAILED (719) in waiting on cuda:7 for launch of scan: unspecified launch failure",
		8: "CUDA_ERROR_LAUNCH_FAILED (719) in copying 64 bytes on cuda:8 after launch of scan: unspecified launch failure",
	} {
		p := open(t, card)
		in, err := p.Alloc(44)
		require.NoError(t, err)
		found, err := p.Alloc(64)
		require.NoError(t, err)
		k, err := p.Kernel(sha256d.Program, "scan")
		require.NoError(t, err)
		cards[card].Fail(0, 719)
		require.NoError(t, p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{in, found, uint32(1), uint32(0), uint32(1), uint32(0)}}))
		wait := p.Sync
		if card == 8 {
			wait = func() error { return p.Read(make([]byte, 64), found) }
		}
		require.EqualError(t, wait(), want)
		require.EqualError(t, p.Submit(), want, "every later call says what happened")
	}
}

// After a fault of a kernel the context is lost, and says by what.
func TestLost(t *testing.T) {
	for card, want := range map[int]string{
		3: "CUDA_ERROR_ILLEGAL_ADDRESS (700) in launch of scan on cuda:3: an illegal memory access was encountered",
		4: "CUDA_ERROR_ECC_UNCORRECTABLE (214) in launch of scan on cuda:4: uncorrectable ECC error encountered",
		5: "CUDA_ERROR_LAUNCH_TIMEOUT (702) in launch of scan on cuda:5: the launch timed out and was terminated",
	} {
		p := open(t, card)
		in, err := p.Alloc(44)
		require.NoError(t, err)
		found, err := p.Alloc(64)
		require.NoError(t, err)
		require.NoError(t, p.Write(in, devicetest.Input(devicetest.Genesis)))
		require.NoError(t, p.Write(found, make([]byte, 64)))
		each := uint32(1)
		switch card {
		case 3:
			require.NoError(t, p.Free(in))
		case 4:
			require.NoError(t, launch(p, in, found, 1))
			cards[4].Fail(1, 214)
			require.NoError(t, launch(p, in, found, 1))
		case 5:
			each = 1000
		}
		require.ErrorContains(t, launch(p, in, found, each), want)
		_, err = p.Alloc(4)
		require.ErrorContains(t, err, want, "every later call says what happened")
		require.ErrorContains(t, p.Sync(), want)
	}
}
