//go:build unix

package stream

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fenced returns a page of elements between two pages that cannot be accessed.
func fenced(t *testing.T) []float64 {
	page := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(mem)) })
	require.NoError(t, unix.Mprotect(mem[:page], unix.PROT_NONE))
	require.NoError(t, unix.Mprotect(mem[2*page:], unix.PROT_NONE))
	return unsafe.Slice((*float64)(unsafe.Pointer(&mem[page])), page/8)
}

// TestGuardPages makes a row that reads or writes beyond its slices crash.
func TestGuardPages(t *testing.T) {
	a, b, c := fenced(t), fenced(t), fenced(t)
	for i := range a {
		b[i], c[i] = float64(i), float64(i)+0.5
	}
	eachRow(t, func(t *testing.T, im Implementation) {
		for n := range 100 {
			first, last := a[:n], a[len(a)-n:]
			im.Triad(first, b[:n], c[:n], 2)
			check(t, first, b[:n], c[:n], 2, "at the start")
			im.Triad(last, b[len(b)-n:], c[len(c)-n:], 2)
			check(t, last, b[len(b)-n:], c[len(c)-n:], 2, "at the end")
			im.Triad(last, b[:n], c[len(c)-n:], 2)
			check(t, last, b[:n], c[len(c)-n:], 2, "at both")
		}
	})
}
