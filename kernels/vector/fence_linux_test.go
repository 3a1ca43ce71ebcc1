package vector

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fenced returns a function that returns slices of n elements, each followed by a page
// that cannot be read.
func fenced[T any](t *testing.T, count int) func(n int) []T {
	t.Helper()
	page := unix.Getpagesize()
	m, err := unix.Mmap(-1, 0, 2*count*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(m)) })
	for i := range count {
		require.NoError(t, unix.Mprotect(m[(2*i+1)*page:][:page], unix.PROT_NONE))
	}
	next := 0
	return func(n int) []T {
		end := (2*(next%count) + 1) * page
		next++
		size := int(unsafe.Sizeof(*new(T)))
		return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m[end-size*n:]))), n)
	}
}

// Operands end at the end of a page, and the next page is not accessible: reading or
// writing past the end of one faults.
func TestNothingBeyond(t *testing.T) {
	each(t, func(t *testing.T, im *Implementation) {
		floats, places, bytes := fenced[float32](t, 8), fenced[int32](t, 1), fenced[byte](t, 1)
		for n := 1; n < 100; n++ {
			f := func() []float32 { return floats(n) }
			for name, run := range map[string]func(){
				"axpy":          func() { im.Axpy(f(), f(), 1) },
				"bytes":         func() { im.Bytes(f(), bytes(n), 1) },
				"mask":          func() { im.Mask(f(), f(), f()) },
				"pool":          func() { im.Pool(f(), places(n), floats(2*n), floats(2*n), n) },
				"unpool":        func() { im.Unpool(floats(2*n), floats(2*n), f(), places(n), n) },
				"copyrows":      func() { im.CopyRows(floats(3*n+2), n+1, floats(n+2), 1, 3, n) },
				"addrows":       func() { im.AddRows(f(), 0, floats(5*n), 2*n, 3, n) },
				"softmax":       func() { im.Softmax(f(), f(), 1) },
				"softmaxgrad":   func() { im.SoftmaxGrad(f(), f(), f(), 1) },
				"sum":           func() { im.Sum(f()) },
				"square":        func() { im.Square(f(), 1) },
				"dot":           func() { im.Dot(f(), f()) },
				"affine":        func() { im.Affine(f(), f(), 1, 1) },
				"mul":           func() { im.Mul(f(), f(), f()) },
				"muladd":        func() { im.MulAdd(f(), f(), f()) },
				"scaleshift":    func() { im.ScaleShift(f(), f(), f(), f()) },
				"combine":       func() { im.Combine(f(), f(), f(), 1, 1, 1) },
				"gelu":          func() { im.Gelu(f(), f()) },
				"gelugrad":      func() { im.GeluGrad(f(), f(), f()) },
				"layernorm":     func() { im.LayerNorm(f(), f(), f(), f(), 1) },
				"layernormgrad": func() { im.LayerNormGrad(f(), f(), f(), f(), f(), f(), 1, 1) },
				"crossentropy":  func() { im.CrossEntropy(f(), f(), 0, 1) },
				"sumsquares":    func() { im.SumSquares(f()) },
				"adamw":         func() { im.AdamW(f(), f(), f(), f(), AdamW{Correction2: 1, Epsilon: 1, Correction1: 1}) },
			} {
				require.NotPanics(t, run, "%s of %d", name, n)
			}
		}
	})
}
