//go:build !race

package stream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The race detector's instrumentation allocates, so this test is not for it.
func TestTriadDoesNotAllocate(t *testing.T) {
	eachRow(t, func(t *testing.T, im Implementation) {
		a, b, c := make([]float64, 100), make([]float64, 100), make([]float64, 100)
		require.Zero(t, testing.AllocsPerRun(10, func() { im.Triad(a, b, c, 3) }))
	})
}
