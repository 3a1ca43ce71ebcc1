package sgemm

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The tiles of all calls together prefetch every line of a block, and little else.
func TestBlocksAreBroughtWhole(t *testing.T) {
	for _, along := range []bool{false, true} {
		for _, c := range []struct{ ld, i, n, l, k, count, calls int }{
			{1024, 348, 348, 0, 256, 8, 29}, {784, 0, 264, 264, 264, 8, 22}, {2048, 512, 256, 0, 256, 8, 40}, {300, 16, 256, 32, 200, 8, 16}, {512, 0, 112, 0, 130, 8, 12},
		} {
			s := side{make([]float32, 1<<21), c.ld, along}
			start := address(s.x, 0)
			brought := map[uintptr]bool{}
			for call := range c.calls {
				m := tiles{k: c.k, count: c.count}
				s.bringPart(&m, c.i, c.n, c.l, call, c.calls)
				for tile := range c.count {
					for line := range min(m.lines, c.k/4) { // a micro-kernel prefetches one in four steps
						brought[(m.next+uintptr(tile*m.ahead+line*m.stride)-start)/64] = true
					}
				}
			}
			wanted := map[uintptr]bool{}
			for v := range c.n {
				for l := range c.k {
					wanted[(address(s.from(c.i+v, c.l+l), 0)-start)/64] = true
				}
			}
			for line := range wanted {
				require.True(t, brought[line], "along %v, %+v: line %d", along, c, line)
			}
			require.LessOrEqual(t, len(brought), 2*len(wanted), "along %v, %+v", along, c)
		}
	}
}
