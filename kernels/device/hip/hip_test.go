package hip_test

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/devicetest/fakecuda"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/hip"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/kernels/stream"
)

// The library is loaded once a process, so all tests share its cards: those of
// tests that lose a card have one of their own.
var cards = []*fakecuda.Card{
	{Name: "Fake Instinct", PCI: "0000:c1:00.0", UUID: [16]byte([]byte("60bd8b8d3e4fa425")), Memory: 1 << 30, Arch: "gfx942:sramecc+:xnack-", Link: 1},
	{Name: "gfx90a:sramecc+:xnack-", PCI: "0001:03:00.0", UUID: [16]byte{0xab, 1}, Memory: 1 << 30, Arch: "gfx90a:sramecc+:xnack-", Link: 1},
	{Name: "Fake Radeon", PCI: "0000:04:00.0", Memory: 1 << 30, Arch: "gfx1100"},
	{Name: "for an illegal address", PCI: "0000:05:00.0", Memory: 1 << 20, Arch: "gfx942"},
	{Name: "for a launch failure", PCI: "0000:06:00.0", Memory: 1 << 20, Arch: "gfx942"},
	{Name: "for a loss", PCI: "0000:07:00.0", Memory: 1 << 20, Arch: "gfx1201"},
	{Name: "too old", PCI: "0000:08:00.0", Memory: 1 << 20, Arch: "gfx803"},
	{Name: "says nothing", PCI: "?", Memory: 1 << 20},
}

var programs = []*device.Program{sha256d.Program, stream.Program, gemm.SIMT, nn.Programs(nn.FP32), nn.Programs(nn.BF16)}

var library string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fakehip")
	if err != nil {
		panic(err)
	}
	code := 1
	defer func() { os.RemoveAll(dir); os.Exit(code) }()
	if _, err := exec.LookPath("cc"); err != nil && os.Getenv("PERWATT_PEERS") != "required" {
		fmt.Println("no C compiler: the library's stand-in cannot be built")
		code = 0
		return
	}
	if library, err = fakecuda.BuildHIP(dir); err != nil {
		panic(err)
	}
	driver, err := fakecuda.ServeHIP(dir, programs, cards...)
	if err != nil {
		panic(err)
	}
	os.Setenv("PERWATT_FAKE_HIP", driver.Socket)
	hip.Use(library)
	code = m.Run()
}

func open(t *testing.T, i int) device.Processor {
	p, err := hip.Open(fmt.Sprintf("hip:%d", i))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestList(t *testing.T) {
	// ROCm 5 has an older layout of the properties, in which a name may look like
	// an architecture too.
	old, err := fakecuda.BuildHIP(t.TempDir(), "-DROCM5")
	require.NoError(t, err)
	defer hip.Use(library)
	for _, path := range []string{library, old} {
		hip.Use(path)
		list, err := hip.List()
		require.NoError(t, err)
		require.Len(t, list, len(cards))
		require.Equal(t, device.Info{
			ID: "hip:0", Kind: device.GPU, Vendor: "AMD", Name: "Fake Instinct", PCI: "0000:c1:00.0", UUID: "GPU-60bd8b8d3e4fa425",
			Driver: "HIP 6.3", Memory: 1 << 30, Lanes: 1, Features: []string{"gfx942", "hip", "fp64", "mfma"},
		}, list[0])
		require.Equal(t, "gfx90a:sramecc+:xnack-", list[1].Name)
		require.Equal(t, "0001:03:00.0", list[1].PCI)
		require.Equal(t, "GPU-ab010000-0000-0000-0000-000000000000", list[1].UUID)
		require.Equal(t, []string{"gfx90a", "hip", "fp64", "mfma"}, list[1].Features)
		require.Equal(t, []string{"gfx1100", "hip", "fp64"}, list[2].Features)
		require.Empty(t, list[2].UUID)
		require.Empty(t, list[7].PCI)
		require.Empty(t, list[7].Features[0])
	}
	_, err = hip.Open("hip:99")
	require.ErrorContains(t, err, "no device hip:99: HIP has 8 here")
}

func TestPeers(t *testing.T) {
	require.NoError(t, devicetest.Peers(open(t, 0), open(t, 1), true))
	require.NoError(t, devicetest.Peers(open(t, 1), open(t, 2), false), "the driver goes through the host")
}

func TestSums(t *testing.T) { require.NoError(t, devicetest.Sums(2, open(t, 0), open(t, 1))) }

func TestArchitecture(t *testing.T) {
	for properties, want := range map[string]string{
		"\x01\x00gfx942:sramecc+:xnack-\x00": "gfx942",
		"\xffgfx1100\x00":                    "gfx1100",
		"gfx90a:":                            "gfx90a",
		"gfx942":                             "", // no end
		"gfx\x00":                            "",
		"gfx9423456789\x00":                  "",
		"GFX942\x00":                         "",
		"":                                   "",
	} {
		require.Equal(t, want, hip.Architecture([]byte(properties)), "%q", properties)
	}
}

func TestAbsent(t *testing.T) {
	hip.Use("libamdhip64-that-is-not-here.so.7")
	defer hip.Use(library)
	_, err := hip.List()
	require.ErrorIs(t, err, foreign.ErrAbsent)
	_, err = hip.Open("hip:0")
	require.ErrorIs(t, err, foreign.ErrAbsent)
}

// A machine may have the library and no card of AMD's.
func TestNoDevice(t *testing.T) {
	alone, err := fakecuda.BuildHIP(t.TempDir())
	require.NoError(t, err)
	t.Setenv("PERWATT_FAKE_HIP", "")
	hip.Use(alone)
	defer hip.Use(library)
	list, err := hip.List()
	require.NoError(t, err)
	require.Empty(t, list)
	_, err = hip.Open("hip:0")
	require.EqualError(t, err, "no device hip:0: HIP has 0 here")
}

// The whole way: Go, the library's functions, a code object by the architecture,
// answers.
func TestKernels(t *testing.T) {
	trials := devicetest.Trials(1)
	if testing.Short() {
		trials = devicetest.Few(trials)
	}
	ran := 0
	for i, arch := range []string{"gfx942", "gfx90a", "gfx1100"} {
		p := open(t, i)
		for _, trial := range trials {
			if i > 0 && strings.HasPrefix(trial.Name, "nn_") {
				continue // many, and one card shows how arguments go
			}
			if slices.Contains(programs, trial.Program) {
				require.Contains(t, slices.Collect(maps.Keys(trial.Program.Code)), arch)
				t.Run(arch+"/"+trial.Name, func(t *testing.T) { require.NoError(t, trial.Run(p, trial.Program)) })
				ran++
			}
		}
	}
	require.GreaterOrEqual(t, ran, 9)
}

func TestScan(t *testing.T) { require.NoError(t, devicetest.Scan(open(t, 0))) }

func TestParts(t *testing.T) { require.NoError(t, devicetest.Parts(open(t, 0))) }

func TestHost(t *testing.T) { require.NoError(t, devicetest.Host(open(t, 0))) }

// launch starts scan with arguments of which some may be wrong.
func launch(p device.Processor, in, found device.Buffer) error {
	k, err := p.Kernel(sha256d.Program, "scan")
	if err != nil {
		return err
	}
	return errors.Join(p.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{in, found, uint32(1), uint32(0), uint32(1), uint32(0)}}), p.Sync())
}

func TestErrors(t *testing.T) {
	p := open(t, 0)
	_, err := p.Alloc(1 << 31)
	require.EqualError(t, err, "hipErrorOutOfMemory (2) in allocating 2147483648 bytes on hip:0: out of memory")
	_, err = p.Kernel(&device.Program{Name: "broken", Code: map[string]device.Code{"gfx942": devicetest.Pack("no code object")}}, "k")
	require.EqualError(t, err, "hipErrorInvalidImage (200) in loading program broken on hip:0: device kernel image is invalid")
	other := &device.Program{Name: "scan", Code: map[string]device.Code{"gfx942": sha256d.Program.Code["gfx90a"]}}
	_, err = p.Kernel(other, "scan")
	require.EqualError(t, err, "hipErrorNoBinaryForGpu (209) in loading program scan on hip:0: no kernel image is available for execution on the device")
	_, err = p.Kernel(sha256d.Program, "scam")
	require.EqualError(t, err, "hipErrorNotFound (500) in looking for kernel scam in program scan: named symbol not found")

	_, err = open(t, 6).Kernel(sha256d.Program, "scan")
	require.ErrorContains(t, err, "program scan has no code for gfx803, which hip:6 needs: it is for gfx1100, gfx1201, gfx90a, gfx942, sm_75")
}

// After a fault of a kernel the device is lost, and says by what.
func TestLost(t *testing.T) {
	for card, want := range map[int]string{
		3: "hipErrorIllegalAddress (700) in launch of scan on hip:3: an illegal memory access was encountered",
		4: "hipErrorLaunchFailure (719) in launch of scan on hip:4: unspecified launch failure",
		5: "hipErrorInvalidDevice (101) in launch of scan on hip:5: invalid device ordinal",
	} {
		p := open(t, card)
		in, err := p.Alloc(44)
		require.NoError(t, err)
		found, err := p.Alloc(64)
		require.NoError(t, err)
		require.NoError(t, p.Write(in, devicetest.Input(devicetest.Genesis)))
		require.NoError(t, p.Write(found, make([]byte, 64)))
		require.NoError(t, launch(p, in, found))
		switch card {
		case 3:
			require.NoError(t, p.Free(in))
		case 4:
			cards[4].Fail(0, 719)
		case 5:
			cards[5].Fail(0, 101)
		}
		require.ErrorContains(t, launch(p, in, found), want)
		_, err = p.Alloc(4)
		require.ErrorContains(t, err, want, "every later call says what happened")
		require.ErrorContains(t, p.Sync(), want)
		_, err = hip.Open(p.Info().ID)
		require.ErrorContains(t, err, strings.Replace(want, "launch of scan on", "hipSetDevice of", 1))
	}
}

// Parameters are laid out in a code object as in PTX, by which the stand-in takes
// them: so they are what AMD's own library would take. The layout of a code object
// is in a note (LLVM, "User Guide for AMDGPU Backend", code object V3 metadata).
func TestParameters(t *testing.T) {
	for _, program := range programs {
		text, ok := program.For("sm_80")
		require.True(t, ok)
		module, err := ptx.Parse(text)
		require.NoError(t, err)
		for arch, object := range program.Code {
			if !strings.HasPrefix(arch, "gfx") {
				continue
			}
			file, err := elf.NewFile(strings.NewReader(object.Text()))
			require.NoError(t, err)
			note, err := file.Section(".note").Data()
			require.NoError(t, err)
			require.Equal(t, "AMDGPU\x00", string(note[12:19]))
			metadata, _ := unpack(note[20:])
			kernels := metadata.(map[string]any)["amdhsa.kernels"].([]any)
			require.Len(t, kernels, len(module.Kernels), "%s for %s", program.Name, arch)
			for _, k := range kernels {
				k := k.(map[string]any)
				want := module.Kernels[k[".name"].(string)]
				require.NotNil(t, want)
				var got, params []string
				for _, arg := range k[".args"].([]any) {
					arg := arg.(map[string]any)
					got = append(got, fmt.Sprint(arg[".offset"], "+", arg[".size"]))
				}
				for _, param := range want.Params {
					params = append(params, fmt.Sprint(param.Offset, "+", param.Size))
				}
				require.Equal(t, params, got, "%s of %s for %s", want.Name, program.Name, arch)
				require.Equal(t, device.Threads, k[".max_flat_workgroup_size"])
			}
		}
	}
}

// unpack decodes a value of MessagePack, as far as such notes have them, and
// returns what follows it.
func unpack(b []byte) (any, []byte) {
	number := func(bytes int) (n int) {
		for _, x := range b[:bytes] {
			n = n<<8 | int(x)
		}
		b = b[bytes:]
		return n
	}
	text := func(n int) (any, []byte) { return string(b[:n]), b[n:] }
	list := func(n int) (any, []byte) {
		values := make([]any, n)
		for i := range values {
			values[i], b = unpack(b)
		}
		return values, b
	}
	table := func(n int) (any, []byte) {
		values := map[string]any{}
		for range n {
			var key, value any
			key, b = unpack(b)
			value, b = unpack(b)
			values[key.(string)] = value
		}
		return values, b
	}
	switch tag := number(1); {
	case tag < 0x80:
		return tag, b
	case tag < 0x90:
		return table(tag & 15)
	case tag < 0xa0:
		return list(tag & 15)
	case tag < 0xc0:
		return text(tag & 31)
	case tag == 0xc2, tag == 0xc3:
		return tag == 0xc3, b
	case tag >= 0xcc && tag <= 0xce:
		return number(1 << (tag - 0xcc)), b
	case tag == 0xd9:
		return text(number(1))
	case tag == 0xdc:
		return list(number(2))
	case tag == 0xde:
		return table(number(2))
	default:
		panic(fmt.Sprintf("unpack: %#x", tag))
	}
}
