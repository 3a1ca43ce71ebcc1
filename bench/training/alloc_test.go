//go:build !race

// The race detector has pools forget what they hold, and so count as allocated.

package training

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Steps take no memory to speak of once the first is done.
func TestStepsAllocateLittle(t *testing.T) {
	for _, net := range append(suite[:len(suite):len(suite)], languageModels[0]) {
		t.Run(net.name, func(t *testing.T) {
			m, err := newModel(net, 8, 1, bestRow(t), bestVector(t))
			require.NoError(t, err)
			m.bind()
			require.NoError(t, m.fix())
			if l, ok := net.language(); ok {
				_, err := m.documents(fixedText{1, l.vocab}, trainStream, 0)
				require.NoError(t, err)
			} else {
				m.replicas[0].fixed(0)
			}
			step := func() {
				_, err := m.step(0.01)
				require.NoError(t, err)
			}
			step()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const steps = 20
			for range steps {
				step()
			}
			runtime.ReadMemStats(&after)
			require.Less(t, (after.TotalAlloc-before.TotalAlloc)/steps, uint64(1<<20))
			t.Logf("%d bytes a step", (after.TotalAlloc-before.TotalAlloc)/steps)
		})
	}
}
