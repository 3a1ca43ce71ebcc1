package nn_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/nn"
)

// Shapes that no kernel takes, and buffers that are too small, are errors, and nothing is
// submitted. That the passes are right is tested where inference is compared with training.
func TestCacheErrors(t *testing.T) {
	on := &counting{Processor: &ptx.Processor{Arch: "sm_75"}}
	c, err := nn.CacheWith(on, nn.FP32, nn.CachePrograms(nn.FP32))
	require.NoError(t, err)
	b, err := on.Alloc(1 << 10)
	require.NoError(t, err)
	require.NoError(t, on.Write(b, make([]byte, 1<<10)))
	shape := nn.CacheShape{Batch: 1, Heads: 2, Width: 8, Room: 10, Apart: 12}
	wide, long := shape, shape
	wide.Width, long.Room = 65, 13
	for want, err := range map[string]error{
		"nn: a cache {Batch:1 Heads:2 Width:65":        c.Keep(b, b, b, wide, 0, 1),
		"nn: a cache {Batch:1 Heads:2 Width:8 Room:13": c.Recall(b, b, b, b, long, 1),
		"nn: keep 2 tokens at place 9 of 10":           c.Keep(b, b, b, shape, 9, 2),
		"nn: keep 1 tokens at place -1 of 10":          c.Keep(b, b, b, shape, -1, 1),
		"nn: recall 11 of 10 places":                   c.Recall(b, b, b, b, shape, 11),
		"nn: cache_keep: buffer 2 of its arguments":    c.Keep(b, b, nil, shape, 0, 1),
		"nn: cache_last: buffer 1 of its arguments":    c.Last(b, b, 2, 9, 16),
		"nn: the last of every 0 rows":                 c.Last(b, b, 2, 0, 16),
		"nn: cache_greedy: buffer 2 of its arguments":  c.Greedy(b, b, b, 1, 257),
		"nn: the largest of 0×8 logits":                c.Greedy(b, b, b, 0, 8),
	} {
		require.ErrorContains(t, err, want)
	}
	require.Zero(t, on.launches)
	require.NoError(t, c.Recall(b, b, b, b, shape, 10))
	require.Equal(t, 1, on.launches)
}
