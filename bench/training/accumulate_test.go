package training

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
)

// A kernel whose accumulators are bfloat16 is found in each format, in whichever layout
// it is; the sound kernels are right.
func TestSums(t *testing.T) {
	text, ok := gemm.SIMT.For("sm_80")
	require.True(t, ok)
	for _, c := range []struct {
		format     nn.Format
		row, fault string // the kernel with the fault; "" for none
	}{
		{nn.BF16, "mma", ""}, {nn.BF16, "simt", "simt_bf16_nn"},
		{nn.BF16, "simt", ""}, {nn.BF16, "simt", "simt_bf16_nt"}, {nn.BF16, "simt", "simt_bf16_tn"}, {nn.FP32, "simt", ""}, {nn.FP32, "simt", "simt_fp32_nn"},
	} {
		if testing.Short() && c.row == "simt" {
			continue
		}
		t.Run(string(c.format)+" "+c.row+" "+c.fault, func(t *testing.T) {
			p := &ptx.Processor{Arch: "sm_80"}
			if c.fault != "" {
				// What each sum of the kernel has come to loses its lower half.
				kernel := regexp.MustCompile(`(?s)\.visible \.entry ` + c.fault + `\(.*?\n}\n`)
				sum := regexp.MustCompile(`(fma\.rn\.f32\s+(%r\d+),[^;]*;)`)
				broken := kernel.ReplaceAllStringFunc(text, func(body string) string {
					return sum.ReplaceAllString(body, "$1\n\tand.b32 $2, $2, -65536;")
				})
				require.NotEqual(t, text, broken)
				m, err := ptx.Parse(broken)
				require.NoError(t, err)
				p.Load(gemm.SIMT, m)
			}
			wrong, err := onCard(t, p, small, 1, c.format, c.row).cards[0].checkSums()
			require.NoError(t, err)
			if c.fault == "" {
				require.Empty(t, wrong)
				return
			}
			require.Contains(t, wrong, "is not accumulated in float32")
		})
	}
}
