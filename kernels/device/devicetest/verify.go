package devicetest

import (
	"bytes"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// verifies compares operands bit for bit, poisoned places, and both halves of
// Freivalds' check, with what the host computes.
func verifies(larger int) func(device.Processor, *device.Program) error {
	return func(p device.Processor, program *device.Program) error {
		for i, f := range []struct {
			gemm.Precision
			width, stored, kept, bias uint32 // IEEE 754-2019, table 3.5; bfloat16 and TensorFloat-32
			rows, n                   int
		}{
			{gemm.BF16, 16, 7, 7, 127, 37, 45}, {gemm.FP64, 64, 52, 52, 1023, 18, 259}, {gemm.FP16, 16, 10, 10, 15, 16, 8},
			{gemm.TF32, 32, 23, 10, 127, 5, 30}, {gemm.FP32, 32, 23, 23, 127, 3, 1},
		} {
			if larger == 0 {
				f.n = min(f.n, 21)
			}
			if err := verify(p, program, f.Precision, f.width, f.stored, f.kept, f.bias, f.rows, f.n, 0x1234_5678_9abc_def0+uint64(i)); err != nil {
				return fmt.Errorf("verify %s: %w", f.Precision, err)
			}
		}
		return nil
	}
}

func verify(p device.Processor, program *device.Program, precision gemm.Precision, width, stored, kept, bias uint32, rows, n int, state uint64) error {
	const top = 3
	part := 16 / precision.In()
	k, wide := (n+part-1)/part*part, precision.Out()/8
	words := uint32(k * precision.In() / 4)
	b := &bench{Processor: p, program: program}
	matrix := func(top, rows int) (data []byte, values []float64) {
		data, values = make([]byte, rows*k*precision.In()), make([]float64, rows*k)
		for i := range values {
			if row, l := i/k, i%k; l < n {
				values[i] = precision.Element(state, uint64((top+row)*n+l))
				precision.Put(data[i*precision.In():], values[i])
			}
		}
		return data, values
	}
	fill := func(top, rows int, want []byte) device.Buffer {
		to := b.with(blank(len(want)))
		b.launch("fill", rows, 1, 0, to, words, uint32(top), uint32(n), uint32(state), uint32(state>>32), width, stored, kept, bias, uint32(0))
		if got := b.read(to, len(want)); b.err == nil && !bytes.Equal(got, want) {
			b.note(fmt.Errorf("fill differs: %x, want %x", got[:16], want[:16]))
		}
		return to
	}
	wantA, a := matrix(top, rows)
	wantB, f := matrix(0, n)
	bufferA, bufferB := fill(top, rows, wantA), fill(0, n, wantB)

	// C is A·2, cut to n columns, with elements of its own format.
	out := gemm.FP32
	if wide == 1 {
		out = gemm.FP64
	}
	c, cv := make([]byte, rows*n*precision.Out()), make([]float64, rows*n)
	for i := range cv {
		cv[i] = 2 * a[i/n*k+i%n]
		out.Put(c[i*precision.Out():], cv[i])
	}
	bufferC := b.with(c)

	r, signs := make([]float64, n), make([]byte, 4*n)
	for j := range r {
		r[j] = float64(1 - j%3/2*2)
		gemm.FP32.Put(signs[4*j:], r[j])
	}
	bufferR, y, d := b.with(signs), b.with(blank(8*k)), b.with(blank(8*rows))
	b.launch("columns", (k+255)/256, 1, 0, y, bufferB, bufferR, uint32(n), uint32(k), width, stored, bias)
	b.launch("residuals", rows, 1, 0, d, bufferA, bufferC, bufferR, y, uint32(n), uint32(k), uint32(wide), width, stored, bias)
	gotY, gotD := b.read(y, 8*k), b.read(d, 8*rows)
	if b.err == nil {
		wantY := make([]float64, k)
		for l := range wantY {
			for j := range n {
				wantY[l] += r[j] * f[j*k+l]
			}
			if got := gemm.FP64.At(gotY[8*l:]); !(math.Abs(got-wantY[l]) <= 1e-12) {
				b.note(fmt.Errorf("columns: %d of %d is %v, want %v", l, k, got, wantY[l]))
			}
		}
		for i := range rows {
			want := 0.0
			for l := range k {
				want += a[i*k+l] * wantY[l]
			}
			for j := range n {
				want -= cv[i*n+j] * r[j]
			}
			if got := gemm.FP64.At(gotD[8*i:]); !(math.Abs(got-want) <= 1e-10) {
				b.note(fmt.Errorf("residuals: %d of %d is %v, want %v", i, rows, got, want))
			}
		}
	}

	// The second part of taken gets what the first exchange poisoned: still NaN
	// where nothing was written.
	stripes, size := gemm.Stripes(rows), precision.Out()
	taken := b.with(blank(2 * stripes * size))
	for i, seeds := range [][2]uint32{{1, 2}, {2, 3}} {
		b.launch("exchange", (stripes+255)/256, 1, 0, bufferC, taken, uint32(i*stripes), uint32(rows), uint32(n), uint32(wide), seeds[0], seeds[1])
	}
	got := b.read(taken, 2*stripes*size)
	want := blank(2 * stripes * size)
	poison := func(seed uint32, take []byte) {
		for s := range stripes {
			row, column := gemm.Place(seed, s, rows, n)
			at := (row*n + column) * size
			copy(take[s*size:(s+1)*size], c[at:at+size])
		}
		for s := range stripes {
			row, column := gemm.Place(seed+1, s, rows, n)
			copy(c[(row*n+column)*size:][:size], blank(size))
		}
	}
	poison(1, want)
	poison(2, want[stripes*size:])
	after := b.read(bufferC, len(c))
	switch err := b.done(); {
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return fmt.Errorf("exchange took %x, want %x", got, want)
	case !bytes.Equal(after, c):
		return fmt.Errorf("exchange poisoned other places of %d×%d", rows, n)
	}
	return nil
}
