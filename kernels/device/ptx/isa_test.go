package ptx_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/ptx"
)

// The layouts here are written from the text of the PTX ISA 8.5 and from
// nothing in this package or in a kernel. groupID is laneid >> 2 and
// threadID_in_group is laneid % 4.

// program is a kernel of one warp: each lane loads words from in, executes body
// and stores results in out. Registers %in0… and %out0… are 32 bits.
func program(in, out int, body string) string {
	var b strings.Builder
	b.WriteString(".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 b)\n{\n")
	fmt.Fprintf(&b, ".reg .b32 %%in<%d>;\n.reg .b32 %%out<%d>;\n.reg .b32 %%t<8>;\n.reg .b64 %%x<8>;\n.reg .pred %%q<2>;\n", in+1, out+1)
	b.WriteString(".shared .align 1024 .b8 s[49152];\n")
	b.WriteString("ld.param.b64 %x0, [a];\nld.param.b64 %x1, [b];\nmov.u32 %t0, %tid.x;\n")
	fmt.Fprintf(&b, "mad.wide.u32 %%x2, %%t0, %d, %%x0;\nmad.wide.u32 %%x3, %%t0, %d, %%x1;\n", 4*in, 4*out)
	for i := range in {
		fmt.Fprintf(&b, "ld.global.b32 %%in%d, [%%x2+%d];\n", i, 4*i)
	}
	b.WriteString(body)
	for i := range out {
		fmt.Fprintf(&b, "st.global.b32 [%%x3+%d], %%out%d;\n", 4*i, i)
	}
	b.WriteString("ret;\n}\n")
	return b.String()
}

// execute runs a program for a number of threads; in and out are by thread.
func execute(t *testing.T, text string, threads, in, out int, words []uint32) []uint32 {
	m, err := ptx.Parse(text)
	require.NoError(t, err)
	k := m.Kernels["k"]
	var memory ptx.Memory
	a, b := memory.Alloc(4*threads*max(in, 1)), memory.Alloc(4*threads*out)
	var data []byte
	for _, v := range words {
		data = le.AppendUint32(data, v)
	}
	require.True(t, memory.Write(a, data))
	require.NoError(t, k.Launch(&memory, ptx.Config{Grid: [3]uint32{1, 1, 1}, Block: [3]uint32{uint32(threads), 1, 1}, Params: params(k, a, b)}))
	result := make([]byte, 4*threads*out)
	require.True(t, memory.Read(result, b))
	got := make([]uint32, threads*out)
	for i := range got {
		got[i] = le.Uint32(result[4*i:])
	}
	return got
}

// registers names a list of them.
func registers(name string, from, to int) string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%%%s%d", name, i))
	}
	return "{" + strings.Join(list, ",") + "}"
}

// matrices of small integers, which every format holds.
func random(rows, columns int, seed uint64) [][]float64 {
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([][]float64, rows)
	for i := range x {
		x[i] = make([]float64, columns)
		for j := range x[i] {
			x[i][j] = float64(r.IntN(31) - 15)
		}
	}
	return x
}

func product(a, b, c [][]float64) [][]float64 {
	d := make([][]float64, len(a))
	for i := range d {
		d[i] = make([]float64, len(b[0]))
		for j := range d[i] {
			d[i][j] = c[i][j]
			for k := range b {
				d[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return d
}

// word packs elements into a register, the first one in the low bits.
func word(f format, values ...float64) uint32 {
	var b [4]byte
	for i, v := range values {
		f.put(b[i*f.size:], v)
	}
	return le.Uint32(b[:])
}

func TestMMA16(t *testing.T) { // "Matrix fragments for mma.m16n8k16 with floating point type"
	for name, f := range map[string]format{"bf16": bf16, "f16": f16} {
		a, b, c := random(16, 16, 1), random(16, 8, 2), random(16, 8, 3)
		var in []uint32
		for lane := range 32 {
			group, thread := lane>>2, lane%4
			element := func(i int) float64 { // a_i
				row, col := group+8, thread*2+i&1
				if 0 <= i && i < 2 || 4 <= i && i < 6 {
					row = group
				}
				if i >= 4 {
					col += 8
				}
				return a[row][col]
			}
			for i := 0; i < 8; i += 2 {
				in = append(in, word(f, element(i), element(i+1)))
			}
			element = func(i int) float64 { // b_i
				row := thread*2 + i&1
				if i >= 2 {
					row += 8
				}
				return b[row][group]
			}
			for i := 0; i < 4; i += 2 {
				in = append(in, word(f, element(i), element(i+1)))
			}
			for i := range 4 { // c_i
				row := group
				if i >= 2 {
					row = group + 8
				}
				in = append(in, word(f32, c[row][thread*2+i&1]))
			}
		}
		body := "mma.sync.aligned.m16n8k16.row.col.f32." + name + "." + name + ".f32 " +
			registers("out", 0, 4) + "," + registers("in", 0, 4) + "," + registers("in", 4, 6) + "," + registers("in", 6, 10) + ";\n"
		got := execute(t, program(10, 4, body), 32, 10, 4, in)
		checkAccumulators(t, got, product(a, b, c))
	}
}

// checkAccumulators compares c_i of m16n8: row groupID for i < 2 and groupID + 8
// otherwise, column threadID_in_group·2 + (i & 1).
func checkAccumulators(t *testing.T, got []uint32, want [][]float64) {
	t.Helper()
	for lane := range 32 {
		for i := range 4 {
			row := lane >> 2
			if i >= 2 {
				row += 8
			}
			require.Equal(t, want[row][lane%4*2+i&1], float64(math.Float32frombits(got[lane*4+i])), "lane %d, register %d", lane, i)
		}
	}
}

func TestMMA8(t *testing.T) { // "Matrix fragments for mma.m16n8k8", .tf32
	a, b, c := random(16, 8, 4), random(8, 8, 5), random(16, 8, 6)
	var in []uint32
	for lane := range 32 {
		group, thread := lane>>2, lane%4
		for i := range 4 {
			row, col := group, thread // row: groupID for a0 and a2, groupID + 8 for a1 and a3
			if i == 1 || i == 3 {
				row = group + 8
			}
			if i >= 2 {
				col = thread + 4
			}
			in = append(in, word(f32, a[row][col]))
		}
		in = append(in, word(f32, b[thread][group]), word(f32, b[thread+4][group]))
		for i := range 4 {
			in = append(in, word(f32, c[group+i/2*8][thread*2+i&1]))
		}
	}
	in[0] |= 1<<13 - 1 // the low 13 bits do not count
	body := "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 " +
		registers("out", 0, 4) + "," + registers("in", 0, 4) + "," + registers("in", 4, 6) + "," + registers("in", 6, 10) + ";\n"
	checkAccumulators(t, execute(t, program(10, 4, body), 32, 10, 4, in), product(a, b, c))
}

func TestMMADouble(t *testing.T) { // "Matrix fragments for mma.m8n8k4 with .f64"
	a, b, c := random(8, 4, 7), random(4, 8, 8), random(8, 8, 9)
	var in []uint32
	for lane := range 32 {
		group, thread := lane>>2, lane%4
		for _, v := range []float64{a[group][thread], b[thread][group], c[group][thread*2], c[group][thread*2+1]} {
			bits := math.Float64bits(v)
			in = append(in, uint32(bits), uint32(bits>>32))
		}
	}
	body := ".reg .b64 %d<6>;\n"
	for i := range 4 {
		body += fmt.Sprintf("mov.b64 %%d%d, {%%in%d,%%in%d};\n", i, 2*i, 2*i+1)
	}
	body += "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%d4,%d5},{%d0},{%d1},{%d2,%d3};\n" +
		"mov.b64 {%out0,%out1}, %d4;\nmov.b64 {%out2,%out3}, %d5;\n"
	got := execute(t, program(8, 4, body), 32, 8, 4, in)
	want := product(a, b, c)
	for lane := range 32 {
		for i := range 2 {
			bits := uint64(got[lane*4+2*i]) | uint64(got[lane*4+2*i+1])<<32
			require.Equal(t, want[lane>>2][lane%4*2+i], math.Float64frombits(bits))
		}
	}
}

func TestLdmatrix(t *testing.T) { // "ldmatrix": threads 0–7 address the rows of the first matrix, 8–15 of the second …
	var in []uint32
	for lane := range 32 {
		for i := range 4 { // row lane%8 of matrix lane/8: elements matrix·64 + row·8 + column
			e := uint32(lane*8 + 2*i)
			in = append(in, e|(e+1)<<16)
		}
	}
	for _, trans := range []bool{false, true} {
		mod := ""
		if trans {
			mod = ".trans"
		}
		body := "mov.u32 %t1, s;\nshl.b32 %t2, %t0, 4;\nadd.s32 %t1, %t1, %t2;\n" +
			"st.shared.v4.b32 [%t1], " + registers("in", 0, 4) + ";\nbar.sync 0;\n" +
			"ldmatrix.sync.aligned.m8n8.x4" + mod + ".shared.b16 " + registers("out", 0, 4) + ", [%t1];\n"
		got := execute(t, program(4, 4, body), 32, 4, 4, in)
		for lane := range 32 {
			for matrix := range 4 {
				// A thread holds two elements of row laneid/4, columns 2·(laneid%4) and the
				// next; with .trans the matrix is loaded in column-major form.
				element := func(row, col int) uint32 {
					if trans {
						row, col = col, row
					}
					return uint32(matrix*64 + row*8 + col)
				}
				want := element(lane/4, lane%4*2) | element(lane/4, lane%4*2+1)<<16
				require.Equal(t, want, got[lane*4+matrix], "trans %v, lane %d, matrix %d", trans, lane, matrix)
			}
		}
	}
}

// swizzled is where a byte of a K-major matrix lies by the 128-byte swizzling
// mode: an atom is 8 rows of 128 bytes, in which bits 4 to 6 of an address are
// exchanged with bits 7 to 9 by exclusive or.
func swizzled(row, byte int) int {
	at := row/8*1024 + row%8*128 + byte
	return at ^ at>>7&7<<4
}

func TestWGMMA(t *testing.T) { // "Register fragments and shared memory matrix layouts", m64nNk16 and m64nNk8
	for _, form := range []struct {
		kinds string
		f     format
		k     int
		end   string
	}{{"k16.f32.bf16.bf16", bf16, 16, ",0,0"}, {"k16.f32.f16.f16", f16, 16, ",0,0"}, {"k8.f32.tf32.tf32", f32, 8, ""}} {
		for _, n := range []int{8, 24, 128} {
			for _, add := range []bool{false, true} {
				a, b, c := random(64, form.k, 10), random(form.k, n, 11), random(64, n, 12)
				// Shared memory: A at 0, B at 16 KiB; thread t stores bytes 256t to 256t+255.
				var shared [32768]byte
				for row := range 64 {
					for k := range form.k {
						form.f.put(shared[swizzled(row, k*form.f.size):], a[row][k])
					}
				}
				for col := range n {
					for k := range form.k {
						form.f.put(shared[16384+swizzled(col, k*form.f.size):], b[k][col])
					}
				}
				regs := n / 2
				in := 64 + regs
				var words []uint32
				for thread := range 128 {
					for i := range 64 {
						words = append(words, le.Uint32(shared[thread*256+4*i:]))
					}
					for i := range regs { // d_i: row groupID + 8·((i/2)%2) of the warp's 16, column (i/4)·8 + threadID·2 + (i & 1)
						lane := thread % 32
						words = append(words, word(f32, c[thread/32*16+lane>>2+i/2%2*8][i/4*8+lane%4*2+i&1]))
					}
				}
				body := "mov.u32 %t1, s;\nshl.b32 %t2, %t0, 8;\nadd.s32 %t1, %t1, %t2;\n"
				for i := range 64 {
					body += fmt.Sprintf("st.shared.b32 [%%t1+%d], %%in%d;\n", 4*i, i)
				}
				for i := range regs {
					body += fmt.Sprintf("mov.b32 %%out%d, %%in%d;\n", i, 64+i)
				}
				test := map[bool]string{true: "eq", false: "ne"}[add]
				// Stride 1024 bytes between groups of eight rows, swizzling mode 1.
				body += "fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp." + test + ".s32 %q0, 0, 0;\n" +
					fmt.Sprintf("mov.b64 %%x4, %d;\nadd.s64 %%x5, %%x4, 1024;\n", uint64(1)<<62|64<<32|1<<16) +
					"wgmma.fence.sync.aligned;\n" +
					fmt.Sprintf("wgmma.mma_async.sync.aligned.m64n%d%s %s, %%x4, %%x5, %%q0, 1, 1%s;\n", n, form.kinds, registers("out", 0, regs), form.end) +
					"wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
				got := execute(t, program(in, regs, body), 128, in, regs, words)
				if !add {
					c = make([][]float64, 64)
					for i := range c {
						c[i] = make([]float64, n)
					}
				}
				want := product(a, b, c)
				for thread := range 128 {
					lane := thread % 32
					for i := range regs {
						row, col := thread/32*16+lane>>2+i/2%2*8, i/4*8+lane%4*2+i&1
						require.Equal(t, want[row][col], float64(math.Float32frombits(got[thread*regs+i])), "%s n %d thread %d register %d", form.kinds, n, thread, i)
					}
				}
			}
		}
	}
}
