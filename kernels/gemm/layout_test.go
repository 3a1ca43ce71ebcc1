package gemm_test

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/gemm"
)

// mfma is where an MFMA instruction has the elements of A[i][k], B[k][j] and D[i][j]:
// in which lane, and at which element of what the lane has.
//
// Source: AMD Matrix Instruction Calculator 1.3.2 (github.com/ROCm/
// amd_matrix_instruction_calculator, commit 2ef91896), the "Matrix element to register
// mapping with no modifiers" of --detail-instruction for CDNA 2 and for CDNA 3, which
// are the same. They go from the element to the lane; mfma.cl goes the other way.
type mfma struct {
	name    string            // AMD's, of CDNA 3
	opcode  map[string]uint32 // "VOP3P Opcode", by what the code is for
	m, n, k int
	ab      func(i, k int) (lane, element int) // of A[i][k], and of B[k][i]
	d       func(i, j int) (lane, element int)
	loops   [2]int // how many the source has in the loop of the product, and of the peak
}

var (
	// "C or D[i][j] GPR: 4 * floor(i / 8) + (i % 4), Lane: (32 * floor(i / 4)) % 64 + j"
	d32 = func(i, j int) (int, int) { return 32*(i/4)%64 + j, 4*(i/8) + i%4 }
	// "A[i][k] GPR: (floor(k / 2) % 2).[16*(k % 2)+15 : 16*(k % 2)], Lane: 32 * floor(k / 4) + i"
	ab16 = func(i, k int) (int, int) { return 32*(k/4) + i, 2*(k/2%2) + k%2 }

	instructions = map[gemm.Precision]mfma{
		gemm.BF16: {"v_mfma_f32_32x32x8_bf16", map[string]uint32{"gfx90a": 0x66, "gfx942": 0x60}, 32, 32, 8, ab16, d32, [2]int{16, 8}}, // of CDNA 2: v_mfma_f32_32x32x8bf16_1k
		gemm.FP16: {"v_mfma_f32_32x32x8_f16", both(0x4c), 32, 32, 8, ab16, d32, [2]int{16, 8}},
		// "A[i][k] GPR: (k % 2), Lane: 32 * floor(k / 2) + i"
		gemm.TF32: {"v_mfma_f32_32x32x4_xf32", map[string]uint32{"gfx942": 0x3f}, 32, 32, 4, func(i, k int) (int, int) { return 32*(k/2) + i, k % 2 }, d32, [2]int{16, 8}},
		// "A[i][k] GPR: 0, Lane: 32 * k + i"
		gemm.FP32: {"v_mfma_f32_32x32x2_f32", both(0x44), 32, 32, 2, func(i, k int) (int, int) { return 32*k + i, 0 }, d32, [2]int{32, 16}},
		// "A[i][k] GPR: [1:0], Lane: 16 * k + i"; "D[i][j] GPR: [2*floor(i / 4)+1 : 2*floor(i / 4)], Lane: 16 * (i % 4) + j"
		gemm.FP64: {"v_mfma_f64_16x16x4_f64", both(0x6e), 16, 16, 4,
			func(i, k int) (int, int) { return 16*k + i, 0 }, func(i, j int) (int, int) { return 16*(i%4) + j, i / 4 }, [2]int{32, 8}},
	}
)

func both(opcode uint32) map[string]uint32 {
	return map[string]uint32{"gfx90a": opcode, "gfx942": opcode}
}

// probe is a kernel of one block that executes multiply_NAME of mfma.cl once: a lane has
// 16 bytes of A and of B in in, and its sums, which it starts from, in out.
const probe = `
KERNEL(256) void probe(GLOBAL %[2]s *out, GLOBAL const u32x4 *in) {
	EMULATION;
	%[3]s sums;
	for (u32 v = 0; v < %[4]d; v++) sums[v] = out[THREAD * %[4]d + v];
	sums = multiply_%[1]s(sums, in[THREAD * 2], in[THREAD * 2 + 1] HELD);
	for (u32 v = 0; v < %[4]d; v++) out[THREAD * %[4]d + v] = sums[v];
}`

// layout compares each instruction that a call of multiply_NAME stands for with the
// product that its table gives, in every wave of a block: the other instructions of the
// call multiply zeros.
func layout(p device.Processor, source string, precision gemm.Precision) error {
	in := instructions[precision]
	sum, sums, count := "float", "f32x16", 16
	if precision == gemm.FP64 {
		sum, sums, count = "double", "f64x4", 4
	}
	source, _, _ = strings.Cut(source, "#define TILE") // the kernels take long to compile
	program := &device.Program{Name: "probe", Source: source + fmt.Sprintf(probe, precision, sum, sums, count)}
	kernel, err := p.Kernel(program, "probe")
	if err != nil {
		return err
	}
	const waves, lanes = 4, 64
	operands, err := p.Alloc(waves * lanes * 32)
	if err != nil {
		return err
	}
	out, err := p.Alloc(int64(waves * lanes * count * precision.Out()))
	if err != nil {
		return err
	}
	result := map[int]gemm.Precision{4: gemm.FP32, 8: gemm.FP64}[precision.Out()]
	each := in.m * in.k / lanes // elements a lane
	random := rand.New(rand.NewPCG(9, uint64(len(precision))))
	number := func() float64 { return float64(random.IntN(31) - 15) }
	for first := 0; first*precision.In() < 16; first += each {
		data, acc := make([]byte, operands.Size()), make([]byte, out.Size())
		var want [waves][32][32]float64
		for w := range waves {
			var a, b [32][8]float64
			// Where A is zero, B need not be.
			for at := w * lanes * 32; at < (w+1)*lanes*32; at += precision.In() {
				if at%32 >= 16 {
					precision.Put(data[at:], number())
				}
			}
			for i := range in.m {
				for k := range in.k {
					lane, element := in.ab(i, k)
					a[i][k], b[i][k] = number(), number()
					at := (w*lanes+lane)*32 + (first+element)*precision.In()
					precision.Put(data[at:], a[i][k])
					precision.Put(data[at+16:], b[i][k])
				}
			}
			for i := range in.m {
				for j := range in.n {
					c := number()
					lane, element := in.d(i, j)
					result.Put(acc[((w*lanes+lane)*count+element)*precision.Out():], c)
					for k := range in.k {
						c += a[i][k] * b[j][k]
					}
					want[w][i][j] = c
				}
			}
		}
		if err := p.Write(operands, data); err != nil {
			return err
		}
		if err := p.Write(out, acc); err != nil {
			return err
		}
		if err := p.Submit(device.Launch{Kernel: kernel, Blocks: [2]int{1, 1}, Args: []any{out, operands}}); err != nil {
			return err
		}
		if err := p.Read(acc, out); err != nil {
			return err
		}
		for w := range waves {
			for i := range in.m {
				for j := range in.n {
					lane, element := in.d(i, j)
					if got := precision.Sum(acc[((w*lanes+lane)*count+element)*precision.Out():]); got != want[w][i][j] {
						return fmt.Errorf("%s: D[%d][%d], in element %d of lane %d of wave %d, is %v, want %v", in.name, i, j, element, lane, w, got, want[w][i][j])
					}
				}
			}
		}
	}
	return nil
}

// Each table has every element of A, B and D in a place of its own and fills them all.
func TestLayoutTables(t *testing.T) {
	for precision, in := range instructions {
		for _, c := range []struct {
			rows, columns, each int
			at                  func(i, k int) (int, int)
		}{{in.m, in.k, in.m * in.k / 64, in.ab}, {in.m, in.n, in.m * in.n / 64, in.d}} {
			seen := map[[2]int]bool{}
			for i := range c.rows {
				for k := range c.columns {
					lane, element := c.at(i, k)
					require.True(t, lane >= 0 && lane < 64 && element >= 0 && element < c.each, "%s %d %d", precision, i, k)
					seen[[2]int{lane, element}] = true
				}
			}
			require.Len(t, seen, 64*c.each, precision)
		}
	}
}

// The instructions that mfma.cl computes where there are none have AMD's layouts, and a
// layout that differs is found.
func TestLayouts(t *testing.T) {
	list, err := opencl.List()
	if (err != nil || len(list) == 0) && os.Getenv("PERWATT_PEERS") != "required" {
		t.Skip("no OpenCL driver: install pocl-opencl-icd")
	}
	require.NoError(t, err)
	require.NotEmpty(t, list)
	p, err := opencl.Open(list[0].ID)
	require.NoError(t, err)
	defer p.Close()
	for precision := range instructions {
		require.NoError(t, layout(p, gemm.MFMA.Source, precision))
	}
	for _, fault := range []struct {
		precision gemm.Precision
		old, new  string
	}{
		{gemm.BF16, "DOT(8 * (v / 4) + 4 * (lane / 32) + v % 4, 32", "DOT(16 * (lane / 32) + v, 32"},
		{gemm.FP32, "DOT(8 * (v / 4) + 4 * (lane / 32) + v % 4, 32", "DOT(8 * (v / 4) + v % 4 * 2 + lane / 32, 32"},
		{gemm.FP64, "DOT(4 * v + lane / 16, 16", "DOT(v + lane / 16 * 4, 16"},
		{gemm.FP16, "c = emulate32(c, a, b, EACH HELD)", "c = emulate32(c, b, a, EACH HELD)"},
		{gemm.FP16, "b[e] = VALUE(y, i + e)", "b[e] = VALUE(y, i + (e ^ 2))"},
		{gemm.BF16, "held[1][wave + l + lane % SIDE][e]", "held[1][wave + l + lane % SIDE][e ^ 1]"},
		{gemm.TF32, "for (u32 l = 0; l < 64; l += SIDE)", "for (u32 l = 0; l < SIDE; l += SIDE)"},
		{gemm.BF16, "held[0][wave + l", "held[0][l"},
	} {
		if testing.Short() && fault.precision != gemm.FP32 {
			continue
		}
		broken := strings.ReplaceAll(gemm.MFMA.Source, fault.old, fault.new)
		require.NotEqual(t, gemm.MFMA.Source, broken, fault.old)
		require.ErrorContains(t, layout(p, broken, fault.precision), "D[", fault.new)
	}
}

// The code objects have the instructions whose layouts these are, as often as the source
// has them in its loops, and none that multiplies matrices in another form.
func TestInstructions(t *testing.T) {
	for arch, code := range gemm.MFMA.Code {
		file, err := elf.NewFile(strings.NewReader(code.Text()))
		require.NoError(t, err)
		symbols, err := file.Symbols()
		require.NoError(t, err)
		kernels := map[string]bool{}
		for _, s := range symbols {
			if elf.ST_TYPE(s.Info) != elf.STT_FUNC {
				continue
			}
			row, precision, _ := strings.Cut(s.Name, "_")
			precision, _, _ = strings.Cut(precision, "_") // without the layout
			in := instructions[gemm.Precision(precision)]
			section := file.Sections[s.Section]
			text := make([]byte, s.Size)
			_, err := section.ReadAt(text, int64(s.Value-section.Addr)) // #nosec G115 -- a file of ours
			require.NoError(t, err)
			got := map[uint32]int{}
			// VOP3P-MAI: bits 31 to 23 of the first word of two are 0b110100111, and 22 to
			// 16 the opcode; 0x58 and 0x59 move accumulators ("AMD Instinct MI300
			// Instruction Set Architecture", VOP3P; other VOP3P opcodes are below 0x3e).
			for at := 0; at+8 <= len(text); at += 4 {
				word := binary.LittleEndian.Uint32(text[at:])
				if op := word >> 16 & 0x7f; word>>23 == 0x1a7 && op >= 0x3e && op != 0x58 && op != 0x59 {
					got[op]++
				}
			}
			want := in.loops[map[string]int{"mfma": 0, "peak": 1}[row]]
			require.Equal(t, map[uint32]int{in.opcode[arch]: want}, got, "%s of %s", s.Name, arch)
			kernels[s.Name] = true
		}
		for precision, in := range instructions {
			_, has := in.opcode[arch]
			for _, name := range []string{"mfma_%s_nt", "mfma_%s_nn", "mfma_%s_tn", "peak_%s"} {
				require.Equal(t, has, kernels[fmt.Sprintf(name, precision)], "%s of %s", precision, arch)
			}
		}
	}
}
