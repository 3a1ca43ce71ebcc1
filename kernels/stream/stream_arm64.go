//go:build !purego

package stream

import "github.com/klauspost/cpuid/v2"

// native are the rows in assembly.
var native = []Implementation{
	{Name: "neon", Needs: []cpuid.FeatureID{cpuid.ASIMD}, triad: byLines(linesNEON)},
}

// linesNEON computes n lines of eight elements, n not 0:
//
//	for i := range 8 * n {
//		a[i] = b[i] + float64(s*c[i])
//	}
//
//go:noescape
func linesNEON(a, b, c *float64, n int, s float64)
