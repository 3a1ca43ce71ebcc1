package devicetest

import (
	"fmt"
	"math/rand/v2"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// peak is a kernel that does nothing but multiply.
type peak struct {
	program   *device.Program
	row       string
	precision string
	arch      string
	in, out   format
	count     int // elements of in
	each      int // sums that a thread leaves
	shared    int // bytes

	// sum is a thread's sum i of no round, and what a round adds to it.
	sum func(in []float64, thread, i int) (start, step float64)
}

// at is where element i of a lane is in a matrix.
type at func(lane, i int) (row, column int)

// fragments are the sums of warps, or waves, of which every lane has, one after
// the other, its elements of A and of B: na and nb of them, B's from index behind.
func fragments(lanes, per, na, behind, nb, accumulators int, a, b, c at) func([]float64, int, int) (float64, float64) {
	return func(in []float64, thread, i int) (start, step float64) {
		var x, y [32][32]float64
		for l := range lanes {
			for e := range na {
				row, k := a(l, e)
				x[row][k] = in[l*per+e]
			}
			for e := range nb {
				k, column := b(l, e)
				y[k][column] = in[l*per+behind+e]
			}
		}
		row, column := c(thread%lanes, i)
		for k := range y {
			step += x[row][k] * y[k][column]
		}
		for j := range accumulators {
			start += float64(j)
		}
		return start, step * float64(accumulators)
	}
}

// The layouts are those of the PTX ISA 8.5, "Matrix fragments for mma" with
// groupID l/4 and threadID_in_group l%4, and of AMD's CDNA 3 ISA.
func peaks() (list []peak) {
	for _, g := range []struct {
		name    string
		in, out format
	}{{"bf16", bf16, f32}, {"fp16", f16, f32}, {"tf32", f32, f32}, {"fp32", f32, f32}, {"fp64", f64, f64}} {
		size := g.in.size
		if g.name == "fp32" || g.name == "fp64" {
			chains := 64 / size
			list = append(list, peak{gemm.SIMT, "simt", g.name, "sm_75", g.in, g.out, 2, 1, 0, func(in []float64, thread, _ int) (start, step float64) {
				for j := range chains {
					start += float64(thread + j)
				}
				if in[0] != 1 {
					panic("the sums are linear in the rounds for a factor of 1")
				}
				return start, float64(4*chains) * in[1]
			}})
		}
		c := func(l, i int) (int, int) { return l/4 + i/2*8, l%4*2 + i%2 }
		count, each := 32*24/size, 4
		sum := fragments(32, 12, 8, 8, 4, 8,
			func(l, i int) (int, int) { return l/4 + i/2%2*8, l%4*2 + i%2 + i/4*8 },
			func(l, i int) (int, int) { return l%4*2 + i%2 + i/2*8, l / 4 }, c)
		switch g.name {
		case "tf32":
			sum = fragments(32, 6, 4, 4, 2, 8,
				func(l, i int) (int, int) { return l/4 + i%2*8, l%4 + i/2*4 },
				func(l, i int) (int, int) { return l%4 + i*4, l / 4 }, c)
		case "fp64":
			count, each = 32*2, 2
			sum = fragments(32, 2, 1, 1, 1, 8,
				func(l, _ int) (int, int) { return l / 4, l % 4 },
				func(l, _ int) (int, int) { return l % 4, l / 4 }, c)
		}
		if g.name != "fp32" {
			list = append(list, peak{gemm.MMA, "mma", g.name, "sm_80", g.in, g.out, count, each, 0, sum})
		}
		side, per := 32, 16/size
		each = 16
		c = func(l, v int) (int, int) { return 8*(v/4) + 4*(l/32) + v%4, l % 32 }
		if g.name == "fp64" {
			side, each = 16, 4
			c = func(l, v int) (int, int) { return 4*v + l/16, l % 16 }
		}
		list = append(list, peak{gemm.MFMA, "mfma", g.name, "", g.in, g.out, 64 * 2 * per, each, 0, fragments(64, 2*per, per, per, per, 4,
			func(l, i int) (int, int) { return l % side, l/side*per + i },
			func(l, i int) (int, int) { return l/side*per + i, l % side }, c)})
		if g.name == "fp32" || g.name == "fp64" {
			continue
		}
		k := 128 / size
		list = append(list, peak{gemm.WGMMA, "wgmma", g.name, "sm_90", g.in, g.out, 384 * k, 1, 384 * 128, func(in []float64, thread, _ int) (start, step float64) {
			for j := range 128 { // of a warp's 16 rows: l/4 and 8 more, and all columns of which 8 repeat
				row, column := thread/32*16+thread%32/4+j/2%2*8, j/4*8+thread%4*2+j%2
				for l := range k {
					step += in[row*k+l] * in[(128+column)*k+l]
				}
			}
			return 0, step
		}})
	}
	return list
}

// run compares every sum of three rounds; all are exact.
func (g peak) run(p device.Processor, program *device.Program) error {
	const blocks, rounds = 2, 3
	random := rand.New(rand.NewPCG(8, uint64(g.count)))
	data, values := make([]byte, g.count*g.in.size), make([]float64, g.count)
	for i := range values {
		if values[i] = float64(random.IntN(7) - 3); g.row == "simt" {
			values[i] = float64(1 + 4*i)
		}
		g.in.put(data[i*g.in.size:], values[i])
	}
	b := &bench{Processor: p, program: program}
	n := device.Threads * g.each
	out := b.with(blank(blocks * n * g.out.size))
	b.launch("peak_"+g.precision, blocks, 1, g.shared, out, b.with(data), uint32(rounds))
	result := b.read(out, blocks*n*g.out.size)
	if err := b.done(); err != nil {
		return err
	}
	for i := range n {
		start, step := g.sum(values, i/g.each, i%g.each)
		want := make([]byte, g.out.size)
		g.out.put(want, start+rounds*step)
		for block := range blocks {
			if at := (block*n + i) * g.out.size; string(result[at:at+g.out.size]) != string(want) {
				return fmt.Errorf("peak of %s for %s: sum %d of block %d is %x, want %x (%g)", g.row, g.precision, i, block, result[at:at+g.out.size], want, start+rounds*step)
			}
		}
	}
	return nil
}
