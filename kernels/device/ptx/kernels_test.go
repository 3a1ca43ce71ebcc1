package ptx_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

var le = binary.LittleEndian

// f32 and its like write a number in a format, which holds it exactly.
type format struct {
	size int
	put  func([]byte, float64)
}

var (
	f32  = format{4, func(b []byte, v float64) { le.PutUint32(b, math.Float32bits(float32(v))) }}
	bf16 = format{2, func(b []byte, v float64) { le.PutUint16(b, uint16(math.Float32bits(float32(v))>>16)) }}
	f16  = format{2, func(b []byte, v float64) {
		bits := uint64(0)
		if v != 0 {
			bits = (math.Float64bits(v)>>52&0x7ff-1023+15)<<10 | math.Float64bits(v)>>42&0x3ff
		}
		if v < 0 {
			bits |= 1 << 15
		}
		le.PutUint16(b, uint16(bits))
	}}
)

// params lays out the parameters of a launch.
func params(k *ptx.Kernel, values ...any) []byte {
	var block []byte
	for i, p := range k.Params {
		block = append(block, make([]byte, p.Offset+p.Size-len(block))...)
		switch v := values[i].(type) {
		case uint64:
			le.PutUint64(block[p.Offset:], v)
		case uint32:
			le.PutUint32(block[p.Offset:], v)
		}
	}
	return block
}

// trials are those of every kernel, or a few for a short test.
func trials() []devicetest.Trial {
	list := devicetest.Trials(1)
	if testing.Short() {
		list = devicetest.Few(list)
	}
	return slices.DeleteFunc(list, func(t devicetest.Trial) bool { return t.Arch == "" })
}

func TestKernels(t *testing.T) {
	for _, trial := range trials() {
		t.Run(trial.Name, func(t *testing.T) {
			require.NoError(t, trial.Run(&ptx.Processor{Arch: trial.Arch}, trial.Program))
		})
	}
}

func TestScan(t *testing.T) { require.NoError(t, devicetest.Scan(&ptx.Processor{Arch: "sm_75"})) }

func TestHost(t *testing.T) { require.NoError(t, devicetest.Host(&ptx.Processor{Arch: "sm_75"})) }

func TestPeers(t *testing.T) {
	require.NoError(t, devicetest.Peers(&ptx.Processor{Arch: "sm_75"}, &ptx.Processor{Arch: "sm_75"}, true))
}

func TestSums(t *testing.T) {
	require.NoError(t, devicetest.Sums(2, &ptx.Processor{Arch: "sm_75"}, &ptx.Processor{Arch: "sm_75"}))
}

func TestParts(t *testing.T) { require.NoError(t, devicetest.Parts(&ptx.Processor{Arch: "sm_75"})) }

func BenchmarkScan(b *testing.B) {
	p := &ptx.Processor{Arch: "sm_75"}
	k, err := p.Kernel(sha256d.Program, "scan")
	require.NoError(b, err)
	in, err := p.Alloc(44)
	require.NoError(b, err)
	require.NoError(b, p.Write(in, devicetest.Input(devicetest.Genesis)))
	found, err := p.Alloc(64)
	require.NoError(b, err)
	require.NoError(b, p.Write(found, make([]byte, 64)))
	for b.Loop() {
		err := p.Submit(device.Launch{Kernel: k, Blocks: [2]int{4, 1}, Args: []any{in, found, uint32(15), uint32(0), uint32(8), uint32(0)}})
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.N)*4*256*8/b.Elapsed().Seconds(), "hash/s")
}
