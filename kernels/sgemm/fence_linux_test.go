package sgemm_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// fenced returns n elements followed by a page that cannot be read.
func fenced(t *testing.T, n int) []float32 {
	t.Helper()
	page := unix.Getpagesize()
	length := (4*n + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, length+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
	require.NoError(t, unix.Mprotect(m[length:], unix.PROT_NONE))
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(m[length-4*n:length]))), n)
}

// Slices end at the end of a page, and the next page is not accessible: reading or
// writing past the end of an operand faults.
func TestNothingBeyond(t *testing.T) {
	each(t, func(t *testing.T, im sgemm.Implementation) {
		rng := rand.New(rand.NewPCG(3, 3))
		sizes := []int{1, 3, 5, 6, 7, 8, 10, 13, 16, 17, 23, 33, 48, 65, 78}
		shapes := [][3]int{{100, 310, 9}, {300, 70, 8}, {7, 320, 390}, {80, 301, 21}, {70, 10, 40}, {35, 3, 33}}
		for len(shapes) < 60 {
			shapes = append(shapes, [3]int{sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))], sizes[rng.IntN(len(sizes))]})
		}
		if testing.Short() {
			shapes = shapes[2:16]
		}
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			t.Run(fmt.Sprintf("%dx%dx%d", m, n, k), func(t *testing.T) {
				for trans := range 4 {
					pad := rng.IntN(3)
					operand := func(trans bool, rows, cols int) ([]float32, int) {
						if trans {
							rows, cols = cols, rows
						}
						return fenced(t, (rows-1)*(cols+pad)+cols), cols + pad
					}
					a, lda := operand(trans&1 != 0, m, k)
					b, ldb := operand(trans&2 != 0, k, n)
					c, ldc := operand(false, m, n)
					for _, e := range []sgemm.Epilogue{{}, {Bias: fenced(t, n)}} {
						im.GemmEpilogue(trans&1 != 0, trans&2 != 0, m, n, k, 1, a, lda, b, ldb, float32(trans>>1), c, ldc, e)
					}
				}
			})
		}
	})
}
