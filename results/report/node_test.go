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
