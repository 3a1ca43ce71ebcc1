//go:build unix && !linux

package store

import (
	"os"
	"testing"
)

func asNobody(t *testing.T, f func()) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	f()
}
