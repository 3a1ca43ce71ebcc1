package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// A row says which library computes, and why it is not there.
func TestMachineLibraries(t *testing.T) {
	im := func(name string, supported bool, library, check string) results.Impl {
		return results.Impl{Name: name, Needs: []string{"cuda"}, Supported: supported, Library: library, Check: check, Rate: 1e12, Peak: results.Absent(), Unit: results.FLOP.Per(results.Second)}
	}
	var out strings.Builder
	require.NoError(t, WriteMachine(&out, Machine{Kernels: []results.Kernel{{Name: "gemm-bf16", Device: "cuda:0", Chosen: "cublaslt", Why: "the fastest", Impls: []results.Impl{
		im("cublaslt", true, "cuBLASLt 12.8.4", "ok"), im("simt", true, "", "ok"), im("mma", true, "", "1 is not 2"), im("wgmma", false, "", ""),
		im("rocblas", false, "", "librocblas.so.5: the library is not on this machine"),
	}}}}, Options{}))
	lines := strings.Split(out.String(), "\n")
	row := func(name string) string {
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) > 2 && fields[2] == name {
				return strings.Join(fields[3:], " ")
			}
		}
		return ""
	}
	require.Contains(t, row("cublaslt"), "(cuBLASLt 12.8.4) ← chosen cuda right")
	require.Contains(t, row("simt"), "cuda right")
	require.Contains(t, row("mma"), "WRONG: 1 is not 2")
	require.Contains(t, row("wgmma"), "not on this device")
	require.Contains(t, row("rocblas"), "not on this machine: librocblas.so.5: the library is not on this machine")
}

// The memory of each network stands by its parts, and what does not fit says why.
func TestMachineMemory(t *testing.T) {
	parts := results.MemoryParts{Weights: 1e6, Gradients: 2e6, Optimiser: 3e6, Activations: 4e6, Workspace: 5e6}
	var out strings.Builder
	require.NoError(t, WriteMachine(&out, Machine{Memory: []results.MemoryPlan{
		{Use: "training", Device: "cuda:0", Model: "gpt-mini", Batch: 64, MemoryParts: parts, Total: parts.Total(), Free: 20e9},
		{Use: "training", Device: "cuda:0", Model: "gpt-1.5b", Free: 20e9, Why: "it has 20 GB"},
	}}, Options{Width: 200}))
	require.Regexp(t, `gpt-mini +training +cuda:0 +64 +1\.000 +2\.000 +3\.000 +4\.000 +5\.000 +15\.00`, out.String())
	require.Contains(t, out.String(), "cuda:0 has 20.00 GB free.")
	require.Contains(t, out.String(), "training on cuda:0: it has 20 GB.")
}

// What the maker of a card states stands once a model, with its source, and a figure
// that it does not have is not there.
func TestSheetNotes(t *testing.T) {
	none := results.Absent()
	sheet := &results.Sheet{FP64: none, FP64Matrix: none, FP32: 91.6e12, TF32: 183e12, BF16: 362.05e12, FP16: 362.05e12, Memory: 864e9, Board: 350, Source: "the maker,\n\"a sheet\", 2023"}
	n := results.Node{Devices: []results.Device{
		{ID: "cpu", Kind: results.KindCPU, Model: "a CPU"},
		{ID: "cuda:0", Kind: results.KindGPU, Model: "NVIDIA L40S", Sheet: sheet}, {ID: "cuda:1", Kind: results.KindGPU, Model: "NVIDIA L40S", Sheet: sheet},
		{ID: "cuda:2", Kind: results.KindGPU, Model: "NVIDIA T400"},
	}}
	want := `Datasheet of NVIDIA L40S, dense, which nothing is divided by: fp32 91.60 TFLOP/s, tf32 183.0 TFLOP/s, bf16 362.0 TFLOP/s, fp16 362.0 TFLOP/s, memory 864.0 GB/s, board 350.0 W (the maker, "a sheet", 2023).`
	require.Equal(t, []string{want}, sheets(n))
	var out strings.Builder
	require.NoError(t, WriteMachine(&out, Machine{Node: n}, Options{Width: 400}))
	require.Equal(t, 1, strings.Count(out.String(), want))
	n.Devices = n.Devices[:1]
	require.Empty(t, sheets(n))
}

// The power limit of a card stands beside the one that it is shipped with; where no
// meter reads one there is no column.
func TestMachinePowerLimits(t *testing.T) {
	n := results.Node{Devices: []results.Device{
		{ID: "cuda:0", Kind: results.KindGPU, PowerLimit: &results.PowerLimit{Enforced: 450, Default: 700}},
		{ID: "cuda:1", Kind: results.KindGPU, PowerLimit: &results.PowerLimit{Enforced: 350, Default: results.Absent()}},
		{ID: "cuda:2", Kind: results.KindGPU},
	}}
	var out strings.Builder
	require.NoError(t, WriteMachine(&out, Machine{Node: n}, Options{Width: 200}))
	require.Regexp(t, `(?m)^cuda:0 .* 450\.0 W *\n.* 700\.0 W *$`, out.String())
	require.Regexp(t, `(?m)^cuda:1 .* 350\.0 W *$`, out.String())
	require.NotContains(t, out.String(), "NaN")
	n.Devices = n.Devices[2:]
	out.Reset()
	require.NoError(t, WriteMachine(&out, Machine{Node: n}, Options{Width: 200}))
	require.NotContains(t, out.String(), "power limit")
}
