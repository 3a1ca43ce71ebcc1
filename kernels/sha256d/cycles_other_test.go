//go:build !linux

package sha256d

import "testing"

// cycles counts nothing: only Linux lets a thread read its own cycles or CPU time.
type cycles struct{}

func newCycles(*testing.B) *cycles { return &cycles{} }

func (*cycles) of(_ uint64, work func()) { work() }

func (*cycles) report(uint64) {}
