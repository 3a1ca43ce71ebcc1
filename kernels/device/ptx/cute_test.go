package ptx_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The layouts here are another hand's than those of isa_test.go: NVIDIA's own, as CUTLASS
// has them for its kernels (github.com/NVIDIA/cutlass, commit 7107b055, include/cute:
// atom/mma_traits_sm80.hpp, atom/copy_traits_sm75.hpp, atom/mma_traits_sm90_gmma.hpp,
// arch/mma_sm90_desc.hpp and swizzle.hpp). Each is given by the shapes and strides there,
// and only this file knows how to read them.

// mode is a CuTe layout of one dimension: an index counts through the shape, the first
// extent fastest, and each of its coordinates moves by a stride (CuTe documentation,
// "Layout": coordinates are colexicographic).
type mode struct{ shape, stride []int }

func (m mode) at(index int) (offset int) {
	for i, extent := range m.shape {
		offset += index % extent * m.stride[i]
		index /= extent
	}
	return offset
}

// pair maps a thread and a value that it holds to an offset.
type pair struct{ thread, value mode }

func (p pair) at(thread, value int) int { return p.thread.at(thread) + p.value.at(value) }

// count is how many values a thread holds.
func (p pair) count() int {
	n := 1
	for _, extent := range p.value.shape {
		n *= extent
	}
	return n
}

// Layouts of fragments: thread and value to row + rows·column, of A (M×K), of B (N×K),
// and of C (M×N).
var (
	cute16x8   = pair{mode{[]int{4, 8}, []int{32, 1}}, mode{[]int{2, 2}, []int{16, 8}}} // SM80_16x8_Row
	cute8x8    = pair{mode{[]int{4, 8}, []int{16, 1}}, mode{[]int{2}, []int{8}}}        // SM80_8x8_Row
	cute8x4    = pair{mode{[]int{4, 8}, []int{8, 1}}, mode{[]int{1}, []int{0}}}         // SM80_8x4
	cuteHalves = [2]pair{                                                               // MMA_Traits<SM80_16x8x16_F16F16F16F16_TN>, of which those of bf16 and of float sums inherit
		{mode{[]int{4, 8}, []int{32, 1}}, mode{[]int{2, 2, 2}, []int{16, 8, 128}}},
		{mode{[]int{4, 8}, []int{16, 1}}, mode{[]int{2, 2}, []int{8, 64}}},
	}
)

func TestCuteMMA(t *testing.T) {
	double := format{8, func(b []byte, v float64) { le.PutUint64(b, math.Float64bits(v)) }}
	for _, c := range []struct {
		form     string
		in, out  format
		m, n, k  int
		a, b, cd pair
	}{
		{"m16n8k16.row.col.f32.bf16.bf16.f32", bf16, f32, 16, 8, 16, cuteHalves[0], cuteHalves[1], cute16x8},
		{"m16n8k16.row.col.f32.f16.f16.f32", f16, f32, 16, 8, 16, cuteHalves[0], cuteHalves[1], cute16x8},
		{"m16n8k8.row.col.f32.tf32.tf32.f32", f32, f32, 16, 8, 8, // MMA_Traits<SM80_16x8x8_F32TF32TF32F32_TN>
			pair{mode{[]int{4, 8}, []int{16, 1}}, mode{[]int{2, 2}, []int{8, 64}}},
			pair{mode{[]int{4, 8}, []int{8, 1}}, mode{[]int{2}, []int{32}}}, cute16x8},
		{"m8n8k4.row.col.f64.f64.f64.f64", double, double, 8, 8, 4, cute8x4, cute8x4, cute8x8}, // MMA_Traits<SM80_8x8x4_F64F64F64F64_TN>
	} {
		a, b, sums := random(c.m, c.k, 21), random(c.k, c.n, 22), random(c.m, c.n, 23)
		var words []uint32
		held := 0
		for thread := range 32 {
			var bytes []byte
			add := func(f format, p pair, rows int, element func(row, column int) float64) {
				for value := range p.count() {
					at := p.at(thread, value)
					bytes = append(bytes, make([]byte, f.size)...)
					f.put(bytes[len(bytes)-f.size:], element(at%rows, at/rows))
				}
			}
			add(c.in, c.a, c.m, func(m, k int) float64 { return a[m][k] })
			add(c.in, c.b, c.n, func(n, k int) float64 { return b[k][n] })
			add(c.out, c.cd, c.m, func(m, n int) float64 { return sums[m][n] })
			held = len(bytes) / 4
			for i := range held {
				words = append(words, le.Uint32(bytes[4*i:]))
			}
		}
		// Operands in registers: of 32 bits, or for float64 of 64.
		na, nb, nc := c.a.count()*c.in.size/4, c.b.count()*c.in.size/4, c.cd.count()*c.out.size/4
		body, name := "", "in"
		if c.in.size == 8 {
			name = "d"
			body = fmt.Sprintf(".reg .b64 %%d<%d>;\n", held)
			for i := range held / 2 {
				body += fmt.Sprintf("mov.b64 %%d%d, {%%in%d,%%in%d};\n", i, 2*i, 2*i+1)
			}
			na, nb, nc = na/2, nb/2, nc/2
		}
		into := "out"
		if c.in.size == 8 {
			into = "e"
			body += fmt.Sprintf(".reg .b64 %%e<%d>;\n", nc)
		}
		body += "mma.sync.aligned." + c.form + " " + registers(into, 0, nc) + "," + registers(name, 0, na) + "," + registers(name, na, na+nb) + "," + registers(name, na+nb, na+nb+nc) + ";\n"
		outs := nc
		if c.in.size == 8 {
			for i := range nc {
				body += fmt.Sprintf("mov.b64 {%%out%d,%%out%d}, %%e%d;\n", 2*i, 2*i+1, i)
			}
			outs = 2 * nc
		}
		got := execute(t, program(held, outs, body), 32, held, outs, words)
		want := product(a, b, sums)
		for thread := range 32 {
			for value := range c.cd.count() {
				at := c.cd.at(thread, value)
				sum := float64(math.Float32frombits(got[thread*outs+value%outs]))
				if c.in.size == 8 {
					sum = math.Float64frombits(uint64(got[thread*outs+2*value]) | uint64(got[thread*outs+2*value+1])<<32)
				}
				require.Equal(t, want[at%c.m][at/c.m], sum, "%s: value %d of thread %d", c.form, value, thread)
			}
		}
	}
}

// Copy_Traits<SM75_U32x4_LDSM_N> and the others: which bit of the rows that the threads
// address a bit of a thread's registers is.
func TestCuteLdmatrix(t *testing.T) {
	for _, c := range []struct {
		form     string
		number   int
		src, dst pair
	}{
		{"x1", 1, pair{mode{[]int{8, 4}, []int{128, 0}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{32}, []int{32}}, mode{[]int{32}, []int{1}}}},
		{"x2", 2, pair{mode{[]int{16, 2}, []int{128, 0}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{32}, []int{32}}, mode{[]int{32, 2}, []int{1, 1024}}}},
		{"x4", 4, pair{mode{[]int{32}, []int{128}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{32}, []int{32}}, mode{[]int{32, 4}, []int{1, 1024}}}},
		{"x1.trans", 1, pair{mode{[]int{8, 4}, []int{128, 0}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{4, 8}, []int{256, 16}}, mode{[]int{16, 2}, []int{1, 128}}}},
		{"x2.trans", 2, pair{mode{[]int{16, 2}, []int{128, 0}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{4, 8}, []int{256, 16}}, mode{[]int{16, 2, 2}, []int{1, 128, 1024}}}},
		{"x4.trans", 4, pair{mode{[]int{32}, []int{128}}, mode{[]int{128}, []int{1}}}, pair{mode{[]int{4, 8}, []int{256, 16}}, mode{[]int{16, 2, 4}, []int{1, 128, 1024}}}},
	} {
		// Each half word of what the threads store is its own number.
		var in []uint32
		for e := uint32(0); e < 32*8; e += 2 {
			in = append(in, e|(e+1)<<16)
		}
		body := "mov.u32 %t1, s;\nshl.b32 %t2, %t0, 4;\nadd.s32 %t1, %t1, %t2;\n" +
			"st.shared.v4.b32 [%t1], " + registers("in", 0, 4) + ";\nbar.sync 0;\n" +
			"ldmatrix.sync.aligned.m8n8." + c.form + ".shared.b16 " + registers("out", 0, c.number) + ", [%t1];\n"
		got := execute(t, program(4, c.number, body), 32, 4, c.number, in)
		for thread := range 32 {
			for half := range 2 * c.number {
				bit := c.dst.at(thread, 16*half)
				source := -1 // half word of shared memory
				for owner := range 32 {
					for first := 0; first < 128; first += 16 {
						if c.src.at(owner, first) == bit && source < 0 {
							source = owner*8 + first/16
						}
					}
				}
				require.Equal(t, uint32(source), got[thread*c.number+half/2]>>(half%2*16)&0xffff, "%s: half %d of thread %d", c.form, half, thread)
			}
		}
	}
}

// wgmma with both operands in shared memory, each along k or down k:
// GMMA::Layout_K_SW128_Atom, GMMA::Layout_MN_SW128_Atom, GMMA::CLayout_64xN and
// GmmaDescriptor.
func TestCuteWGMMA(t *testing.T) {
	// Swizzle<3,4,3>: three bits from bit 4 + 3 on are added without carry to those from bit 4 on.
	swizzle := func(at int) int { return at ^ at&(7<<(4+3))>>3 }
	// Layout_K_SW128_Atom_Bits is 8 rows of 1024 bits; the next 8 rows are a stride away.
	const stride = 2048 // bytes: any multiple of an atom's
	place := func(row, byte int) int {
		return swizzle(mode{[]int{8, 1 << 20}, []int{1024 / 8, stride}}.at(row) + byte)
	}
	// Layout_MN_SW128_Atom_Bits is 1024 bits of a column by 8 columns. make_gmma_desc has
	// it in parts of 16 bytes as ((8,n),(8,k)):((1,LBO),(8,SBO)).
	const leading = 3 * 2048 // bytes: any multiple that leaves room for what lies between
	placeDown := func(row, k int) int {
		return swizzle(mode{[]int{64, 1 << 20}, []int{2, leading}}.at(row) + mode{[]int{8, 1 << 20}, []int{128, stride}}.at(k))
	}
	descriptor := func(start int, down bool) uint64 {
		d := uint64(start>>4) | // start_address_, bits 0 to 13, without its last four
			stride>>4<<32 | // stride_byte_offset_, bits 32 to 45: from eight rows, or columns, to the next
			1<<62 // layout_type_, bits 62 and 63: B128
		if down {
			return d | leading>>4<<16 // leading_byte_offset_, bits 16 to 29
		}
		return d | 1<<16 // 1 where rows are along k and swizzled
	}
	for _, form := range []struct {
		kinds string
		f     format
		k     int
		end   string
	}{
		{"k16.f32.bf16.bf16", bf16, 16, ",0,0"}, {"k16.f32.f16.f16", f16, 16, ",0,0"}, {"k8.f32.tf32.tf32", f32, 8, ""},
		{"k16.f32.bf16.bf16", bf16, 16, ",0,1"}, {"k16.f32.f16.f16", f16, 16, ",1,0"}, {"k16.f32.bf16.bf16", bf16, 16, ",1,1"},
	} {
		downA, downB := strings.HasPrefix(form.end, ",1"), strings.HasSuffix(form.end, "1") // tnspA, tnspB: GMMA::Major::MN
		for _, n := range []int{8, 40, 128} {
			cd := pair{mode{[]int{4, 8, 4}, []int{128, 1, 16}}, mode{[]int{2, 2, n / 8}, []int{64, 8, 512}}}
			for part := range 4 { // of a line of 128 bytes: DescriptorIterator adds 32 bytes to the address
				a, b, c := random(64, form.k, 31), random(form.k, n, 32), random(64, n, 33)
				const operandB = 16 << 10
				var shared [65536]byte
				put := func(base, row, k int, down bool, v float64) {
					at := place(row, part*32+k*form.f.size)
					if down {
						at = placeDown(row, k)
					}
					form.f.put(shared[base+at:], v)
				}
				begin := func(base int, down bool) uint64 {
					if down {
						return descriptor(base, down)
					}
					return descriptor(base+part*32, down)
				}
				for k := range form.k {
					for m := range 64 {
						put(0, m, k, downA, a[m][k])
					}
					for column := range n {
						put(operandB, column, k, downB, b[k][column])
					}
				}
				// Thread t stores bytes 384t to 384t + 383.
				const each, threads = 384, 128
				regs := cd.count()
				in := each/4 + regs
				var words []uint32
				for thread := range threads {
					for i := range each / 4 {
						words = append(words, le.Uint32(shared[thread*each+4*i:]))
					}
					for value := range regs {
						at := cd.at(thread, value)
						words = append(words, word(f32, c[at%64][at/64]))
					}
				}
				body := fmt.Sprintf("mov.u32 %%t1, s;\nmad.lo.s32 %%t1, %%t0, %d, %%t1;\n", each)
				for i := range each / 4 {
					body += fmt.Sprintf("st.shared.b32 [%%t1+%d], %%in%d;\n", 4*i, i)
				}
				for i := range regs {
					body += fmt.Sprintf("mov.b32 %%out%d, %%in%d;\n", i, each/4+i)
				}
				body += "fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp.eq.s32 %q0, 0, 0;\n" +
					fmt.Sprintf("mov.b64 %%x4, %d;\nmov.b64 %%x5, %d;\n", begin(0, downA), begin(operandB, downB)) +
					"wgmma.fence.sync.aligned;\n" +
					fmt.Sprintf("wgmma.mma_async.sync.aligned.m64n%d%s %s, %%x4, %%x5, %%q0, 1, 1%s;\n", n, form.kinds, registers("out", 0, regs), form.end) +
					"wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
				got := execute(t, program(in, regs, body), threads, in, regs, words)
				want := product(a, b, c)
				for thread := range threads {
					for value := range regs {
						at := cd.at(thread, value)
						require.Equal(t, want[at%64][at/64], float64(math.Float32frombits(got[thread*regs+value])), "%s%s n %d: value %d of thread %d", form.kinds, form.end, n, value, thread)
					}
				}
			}
		}
	}
}
