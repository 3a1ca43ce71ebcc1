package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/devicetest"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/nn"
)

// Every pass, in both formats, is its definition in float64. Package opencl runs the
// same trials by PoCL and Oclgrind, package ptx plants faults.
func TestPasses(t *testing.T) {
	tried := 0
	for _, trial := range devicetest.Trials(1) {
		if strings.HasPrefix(trial.Name, "nn_") {
			tried++
			t.Run(trial.Name, func(t *testing.T) {
				t.Parallel()
				require.NoError(t, trial.Run(&ptx.Processor{Arch: trial.Arch}, trial.Program))
			})
		}
	}
	require.NotZero(t, tried)
}

// counting counts what is submitted.
type counting struct {
	*ptx.Processor
	launches int
}

func (c *counting) Submit(list ...device.Launch) error {
	c.launches += len(list)
	return c.Processor.Submit(list...)
}

// Sizes that no kernel takes, and buffers that are too small, are errors, and nothing
// is submitted.
func TestErrors(t *testing.T) {
	on := &counting{Processor: &ptx.Processor{Arch: "sm_75"}}
	_, err := nn.Open(on, "fp8")
	require.ErrorContains(t, err, `no passes in format "fp8"`)
	p, err := nn.Open(on, nn.BF16)
	require.NoError(t, err)
	require.Equal(t, nn.BF16, p.Format())
	b, err := on.Alloc(1 << 10)
	require.NoError(t, err)
	require.NoError(t, on.Write(b, make([]byte, 1<<10)))
	huge := math.MaxInt / 2
	for want, err := range map[string]error{
		"nn: embed of 1×12: dimensions are":                                p.Embed(b, b, b, b, 1, 1, 12),
		"nn: embed of 0×8":                                                 p.Embed(b, b, b, b, 0, 1, 8),
		"nn: embed, places of -1×8":                                        p.Embed(b, b, b, b, 1, -1, 8),
		"nn: embed: buffer 0 of its arguments has 1024 bytes, want 1040":   p.Embed(b, b, b, b, 65, 1, 8),
		"nn: embed_grad: buffer 0 of its arguments has 1024 bytes, want 1": p.EmbedGrad(b, b, b, b, 1, 1, 8, 40),
		"nn: the gradient of embed of 1×8000000000":                        p.EmbedGrad(b, b, b, b, 1, 1, 8_000_000_000, 1),
		"nn: layer norm of 9223372036854775807":                            p.LayerNorm(b, b, b, b, b, b, math.MaxInt, 8),
		"nn: layer_norm: buffer 3 of its arguments has 0 bytes, want 128":  p.LayerNorm(b, b, b, nil, b, b, 8, 8),
		"nn: layer_norm_sums: buffer 0 of its arguments has 1024 bytes":    p.LayerNormGrad(b, b, b, b, b, b, b, b, b, 1, 264),
		"nn: gelu of 7 elements":                                           p.Gelu(b, b, 7),
		"nn: the gradient of gelu of 4611686018427387903 elements":         p.GeluGrad(b, b, b, huge),
		"nn: add of -8 elements":                                           p.Add(b, b, b, -8),
		"nn: add bias of 16777216×1024":                                    p.AddBias(b, b, 1<<24, 1<<10),
		"nn: the sum of rows of 1×1":                                       p.SumRows(b, b, b, 1, 1),
		"nn: attention of 1×1 tokens, 1 heads of 72":                       p.Attention(b, b, b, 1, 1, 1, 72),
		"nn: attention of 1×1 tokens, 1 heads of 12":                       p.Attention(b, b, b, 1, 1, 1, 12),
		"nn: attention of 4096×1 tokens, 4096 heads of 8":                  p.Attention(b, b, b, 4096, 1, 4096, 8),
		"nn: attention of 16384×16384 tokens":                              p.AttentionGrad(b, b, b, b, b, b, 16384, 16384, 1, 8),
		"nn: attention32: buffer 2 of its arguments has 1024 bytes":        p.Attention(b, b, b, 1, 32, 1, 8),
		"nn: cross entropy of 1×50257":                                     p.CrossEntropy(b, b, b, b, 1, 50257, 1),
		"nn: the mean of 0 losses":                                         p.Mean(b, b, 0),
		"nn: the sum of squares of 12 elements":                            p.SumSquares(b, b, b, 12),
		"nn: adamw: buffer 5 of its arguments has 0 bytes, want 4":         p.AdamW(b, b, b, b, b, nil, 8, nn.Update{}),
		"nn: convert of 0 elements":                                        p.Convert(b, b, 0),
		"nn: fill of 4611686018427387903 elements":                         p.Fill(b, 0, huge),
	} {
		require.ErrorContains(t, err, want)
	}
	require.Zero(t, on.launches)
	require.NoError(t, p.Gelu(b, b, 8))
	require.Equal(t, 1, on.launches)
}

func TestFormatSize(t *testing.T) {
	require.Equal(t, int64(4), nn.FP32.Size())
	require.Equal(t, int64(2), nn.BF16.Size())
}
