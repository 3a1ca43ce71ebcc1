//go:build !linux

package sha256d

import "testing"

// startCycles counts nothing: only Linux lets a process count its own cycles.
func startCycles(*testing.B) func() (uint64, bool) {
	return func() (uint64, bool) { return 0, false }
}
