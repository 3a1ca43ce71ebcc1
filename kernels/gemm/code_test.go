package gemm_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// notes returns the values of a key in the metadata of a code object, one a
// kernel. They are MessagePack: an integer below 128 is a byte, 0xcc and 0xcd go
// before one of 8 and of 16 bits, and 0xa0 + n before n bytes of text (LLVM: "User
// Guide for AMDGPU Backend", code object V5 metadata).
func notes(code, key string) (values []string) {
	for _, at := range regexp.MustCompile(regexp.QuoteMeta(key)).FindAllStringIndex(code, -1) {
		rest := code[at[1]:]
		switch b := rest[0]; {
		case b < 0x80:
			values = append(values, fmt.Sprint(b))
		case b == 0xcc:
			values = append(values, fmt.Sprint(rest[1]))
		case b == 0xcd:
			values = append(values, fmt.Sprint(int(rest[1])<<8|int(rest[2])))
		case b >= 0xa0 && b < 0xc0:
			values = append(values, rest[1:1+b-0xa0])
		default:
			values = append(values, fmt.Sprintf("%#x", b))
		}
	}
	return values
}

// No kernel for AMD's GPUs keeps anything in scratch memory, and each of the
// programs that have no interpreter here has the kernels that its rows ask for.
func TestCodeObjects(t *testing.T) {
	objects := 0
	for _, program := range []*device.Program{gemm.SIMT, gemm.MFMA} {
		for arch, compressed := range program.Code {
			if !strings.HasPrefix(arch, "gfx") {
				continue
			}
			code := compressed.Text()
			objects++
			kernels := len(notes(code, ".symbol"))
			for _, key := range []string{".private_segment_fixed_size", ".vgpr_spill_count", ".sgpr_spill_count"} {
				values := notes(code, key)
				require.Len(t, values, kernels, "%s %s", arch, key)
				for _, v := range values {
					require.Equal(t, "0", v, "%s of %s for %s", key, program.Name, arch)
				}
			}
			names := notes(code, ".symbol")
			for _, precision := range gemm.Precisions() {
				info := device.Info{Driver: "HIP", Features: []string{arch, "fp64", "mfma"}}
				for _, row := range gemm.Table(precision).Supported(info) {
					if row.Name == program.Name {
						for _, layout := range []string{"nt", "nn", "tn"} {
							require.Contains(t, names, row.Name+"_"+string(precision)+"_"+layout+".kd", arch)
						}
						if row.Name == "mfma" {
							require.Contains(t, names, "peak_"+string(precision)+".kd", arch)
						}
					}
				}
			}
		}
	}
	require.Equal(t, 6, objects)
}

// The compiler has left each peak's instructions in its loop: of PTX, between the
// label that the last branch goes back to and that branch.
func TestPeakLoops(t *testing.T) {
	for _, c := range []struct {
		program             *device.Program
		arch, kernel, instr string
		count               int
	}{
		{gemm.SIMT, "sm_75", "peak_fp32", "fma.rn.f32", 64},
		{gemm.SIMT, "sm_75", "peak_fp64", "fma.rn.f64", 32},
		{gemm.MMA, "sm_80", "peak_bf16", "mma.sync", 8},
		{gemm.MMA, "sm_80", "peak_fp16", "mma.sync", 8},
		{gemm.MMA, "sm_80", "peak_tf32", "mma.sync", 8},
		{gemm.MMA, "sm_80", "peak_fp64", "mma.sync", 8},
		{gemm.WGMMA, "sm_90", "peak_bf16", "wgmma.mma_async", 4},
		{gemm.WGMMA, "sm_90", "peak_fp16", "wgmma.mma_async", 4},
		{gemm.WGMMA, "sm_90", "peak_tf32", "wgmma.mma_async", 4},
	} {
		text, ok := c.program.For(c.arch)
		require.True(t, ok)
		_, text, _ = strings.Cut(text, ".entry "+c.kernel+"(")
		text, _, _ = strings.Cut(text, ".entry ")
		var loop string
		for _, branch := range regexp.MustCompile(`bra\S*\s+(\$\w+);`).FindAllStringSubmatchIndex(text, -1) {
			name := text[branch[2]:branch[3]]
			if label := strings.Index(text, "\n"+name+":"); label < branch[0] && label >= 0 {
				require.Empty(t, loop, "one loop")
				loop = text[label:branch[0]]
			}
		}
		require.Equal(t, c.count, strings.Count(loop, c.instr), "%s %s", c.kernel, c.instr)
		require.Zero(t, strings.Count(loop, "ld.")+strings.Count(loop, "st."), c.kernel)
	}
}
