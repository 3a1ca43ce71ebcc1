// Command asm writes the amd64 rows of package sgemm: sgemm_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
package main

import (
	"fmt"
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	_ "github.com/perwatt/perwatt/kernels/sgemm" // loaded below
)

// isa is an instruction set: its vectors, and the rows of a full tile, which
// with two vectors a row leave registers for two vectors of B and one or two
// elements of A.
type isa struct {
	name   string
	width  int // bytes of a vector
	rows   int
	vector func() reg.VecVirtual
}

func main() {
	// The package is loaded for the layout of its structures, and without
	// assembly it is complete even when the generated files are gone.
	if err := os.Setenv("GOFLAGS", "-tags=purego"); err != nil {
		log.Fatal(err)
	}
	Package("github.com/perwatt/perwatt/kernels/sgemm")
	Constraint(buildtags.Not("purego"))
	for _, s := range []isa{{"AVX2", 32, 6, YMM}, {"AVX512", 64, 12, ZMM}} {
		for rows := 1; rows <= s.rows; rows++ {
			s.tiles(rows)
		}
		s.copyRows()
		s.peak()
	}
	transpose()
	copyPanel("copyPanel6", 6)
	copyPanel("copyPanel12", 12)
	Generate()
}

// tiles writes the micro-kernel: tiles of rows × two vectors of C, one below
// the other, which share their columns of B.
func (s isa) tiles(rows int) {
	name := fmt.Sprintf("tiles%s%d", s.name, rows)
	TEXT(name, 0, "func(t *tiles)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes t.count tiles of %d×%d elements of C.", name, rows, s.width/2))
	t := Dereference(Param("t"))
	load := func(name string) reg.GPVirtual { return Load(t.Field(name), GP64()).(reg.GPVirtual) }
	at := func(name string) operand.Mem {
		c, err := t.Field(name).Resolve()
		if err != nil {
			log.Fatal(name, ": ", err)
		}
		return c.Addr
	}
	a, rs, cs := load("a"), load("rs"), load("cs")
	bs, c, ldc := load("bs"), load("c"), load("ldc")
	count := load("count")

	// Three rows of A share a pointer: its own, and those one and two strides on.
	p := make([]reg.GPVirtual, (rows+2)/3)
	element := func(i int) operand.Mem {
		m := operand.Mem{Base: p[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = rs, uint8(i%3)
		}
		return m
	}
	acc := make([][2]reg.VecVirtual, rows)
	b0, b1 := s.vector(), s.vector()
	for i := range acc {
		acc[i] = [2]reg.VecVirtual{s.vector(), s.vector()}
	}

	Label("tile")
	for i := range acc {
		for _, v := range acc[i] {
			if s.width == 64 {
				VPXORD(v, v, v)
			} else {
				VXORPS(v, v, v)
			}
		}
	}
	for j := range p {
		p[j] = GP64()
		if j == 0 {
			MOVQ(a, p[0])
			continue
		}
		LEAQ(operand.Mem{Base: p[j-1], Index: rs, Scale: 2}, p[j])
		ADDQ(rs, p[j])
	}
	// C is needed when the sums are complete; by then it has come.
	pc := GP64()
	MOVQ(c, pc)
	for i := range rows {
		PREFETCHT0(operand.Mem{Base: pc})
		PREFETCHT0(operand.Mem{Base: pc, Disp: 2*s.width - 4})
		if i < rows-1 {
			ADDQ(ldc, pc)
		}
	}
	b, k := GP64(), GP64()
	MOVQ(at("b"), b)
	MOVQ(at("k"), k)

	step := func() {
		VMOVUPS(operand.Mem{Base: b}, b0)
		VMOVUPS(operand.Mem{Base: b, Disp: s.width}, b1)
		ADDQ(bs, b)
		for i := range rows {
			x := s.vector()
			VBROADCASTSS(element(i), x)
			if i%3 == 2 || i == rows-1 {
				ADDQ(cs, p[i/3])
			}
			VFMADD231PS(b0, x, acc[i][0])
			VFMADD231PS(b1, x, acc[i][1])
		}
	}
	const unroll = 4
	SUBQ(operand.Imm(unroll), k)
	JLT(operand.LabelRef("rest"))
	Label("four")
	for range unroll {
		step()
	}
	SUBQ(operand.Imm(unroll), k)
	JGE(operand.LabelRef("four"))
	Label("rest")
	ADDQ(operand.Imm(unroll), k)
	JZ(operand.LabelRef("summed"))
	Label("one")
	step()
	DECQ(k)
	JNZ(operand.LabelRef("one"))

	Label("summed")
	each := func(f func(i, j int, v reg.VecVirtual)) {
		for i := range acc {
			for j, v := range acc[i] {
				f(i, j, v)
			}
		}
	}
	scalar := s.vector()
	VBROADCASTSS(at("alpha"), scalar)
	each(func(_, _ int, v reg.VecVirtual) { VMULPS(scalar, v, v) })

	row := func(j int) operand.Mem { return operand.Mem{Base: pc, Disp: j * s.width} }
	CMPL(at("beta"), operand.Imm(0))
	JEQ(operand.LabelRef("biased"))
	MOVQ(c, pc)
	VBROADCASTSS(at("beta"), scalar)
	each(func(i, j int, v reg.VecVirtual) {
		VFMADD231PS(row(j), scalar, v)
		if j == 1 && i < rows-1 {
			ADDQ(ldc, pc)
		}
	})

	Label("biased")
	bias := GP64()
	MOVQ(at("bias"), bias)
	TESTQ(bias, bias)
	JZ(operand.LabelRef("rectified"))
	each(func(_, j int, v reg.VecVirtual) {
		VADDPS(operand.Mem{Base: bias, Disp: j * s.width}, v, v)
	})

	Label("rectified")
	CMPQ(at("relu"), operand.Imm(0))
	JEQ(operand.LabelRef("store"))
	zero := s.vector()
	if s.width == 64 {
		VPXORD(zero, zero, zero)
	} else {
		VXORPS(zero, zero, zero)
	}
	each(func(_, _ int, v reg.VecVirtual) { VMAXPS(v, zero, v) }) // of zero and NaN the last is taken: NaN stays

	Label("store")
	each(func(_, j int, v reg.VecVirtual) {
		VMOVUPS(v, operand.Mem{Base: c, Disp: j * s.width})
		if j == 1 {
			ADDQ(ldc, c)
		}
	})
	ADDQ(at("as"), a)
	DECQ(count)
	JNZ(operand.LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// copyRows writes the packing of a panel of B that is stored row by row.
func (s isa) copyRows() {
	name := "copyRows" + s.name
	TEXT(name, 0, "func(dst, src *float32, stride, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies n rows of %d elements, stride bytes apart, one after the other.", name, s.width/2))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	v, w := s.vector(), s.vector()
	Label("row")
	VMOVUPS(operand.Mem{Base: src}, v)
	VMOVUPS(operand.Mem{Base: src, Disp: s.width}, w)
	ADDQ(stride, src)
	VMOVUPS(v, operand.Mem{Base: dst})
	VMOVUPS(w, operand.Mem{Base: dst, Disp: s.width})
	ADDQ(operand.Imm(uint64(2*s.width)), dst)
	DECQ(n)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// copyPanel writes the packing of a panel of A that is stored transposed.
func copyPanel(name string, width int) {
	TEXT(name, 0, "func(dst, src *float32, stride, n int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies n rows of %d elements, stride bytes apart, one after the other.", name, width))
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	Label("row")
	for off := 0; off < width; {
		v, m := XMM(), operand.Mem{Disp: 4 * off}
		from, to := m, m
		from.Base, to.Base = src, dst
		if width-off >= 4 {
			VMOVUPS(from, v)
			VMOVUPS(v, to)
			off += 4
			continue
		}
		VMOVQ(from, v)
		VMOVQ(v, to)
		off += 2
	}
	ADDQ(stride, src)
	ADDQ(operand.Imm(uint64(4*width)), dst)
	DECQ(n)
	JNZ(operand.LabelRef("row"))
	RET()
}

// transpose writes the packing of a panel of B that is stored transposed: eight
// of its columns, which are rows in memory, in squares of 8×8.
func transpose() {
	TEXT("transpose8", 0, "func(dst, src *float32, to, from, n int)")
	Pragma("noescape")
	Doc("transpose8 writes the transpose of 8 rows of 8·n elements, from bytes apart,",
		"as rows of 8, to bytes apart.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	to, from, n := Load(Param("to"), GP64()), Load(Param("from"), GP64()), Load(Param("n"), GP64())
	src3, src6, to3 := GP64(), GP64(), GP64()
	LEAQ(operand.Mem{Base: from, Index: from, Scale: 2}, src3)
	LEAQ(operand.Mem{Base: src, Index: src3, Scale: 2}, src6)
	ADDQ(src, src3)
	LEAQ(operand.Mem{Base: to, Index: to, Scale: 2}, to3)
	base := []reg.Register{src, src3, src6}
	Label("square")
	row := func(i int) operand.Mem {
		m := operand.Mem{Base: base[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = from, uint8(i%3)
		}
		return m
	}
	// Halves of rows i and i+4 share a vector, so that what is left is a
	// transpose of 4×4 in each half.
	var r [8]reg.VecVirtual
	for i := range 4 {
		for half := range 2 {
			v := YMM()
			lo, hi := row(i), row(i+4)
			lo.Disp, hi.Disp = 16*half, 16*half
			VMOVUPS(lo, v.AsX())
			VINSERTF128(operand.Imm(1), hi, v, v)
			r[4*half+i] = v
		}
	}
	out := dst
	for half := range 2 {
		q := r[4*half:][:4]
		var u [4]reg.VecVirtual
		for i := range u {
			u[i] = YMM()
		}
		VUNPCKLPS(q[1], q[0], u[0])
		VUNPCKHPS(q[1], q[0], u[1])
		VUNPCKLPS(q[3], q[2], u[2])
		VUNPCKHPS(q[3], q[2], u[3])
		for j := range 4 {
			v := YMM()
			if j%2 == 0 {
				VUNPCKLPD(u[2+j/2], u[j/2], v)
			} else {
				VUNPCKHPD(u[2+j/2], u[j/2], v)
			}
			m := operand.Mem{Base: out}
			switch j {
			case 1, 2:
				m.Index, m.Scale = to, uint8(j)
			case 3:
				m.Index, m.Scale = to3, 1
			}
			VMOVUPS(v, m)
		}
		LEAQ(operand.Mem{Base: out, Index: to, Scale: 4}, out)
	}
	for _, p := range base {
		ADDQ(operand.Imm(32), p)
	}
	DECQ(n)
	JNZ(operand.LabelRef("square"))
	VZEROUPPER()
	RET()
}

// chains of fused multiply-adds hide a latency of four cycles at two a cycle,
// and five at two with room to spare.
const chains = 12

// peak writes a loop of nothing but independent fused multiply-adds.
func (s isa) peak() {
	name := "peak" + s.name
	TEXT(name, 0, "func(n int)")
	Doc(fmt.Sprintf("%s makes n times %d fused multiply-adds on vectors of %d elements.", name, chains, s.width/4))
	n := Load(Param("n"), GP64())
	x := s.vector()
	acc := make([]reg.VecVirtual, chains)
	for i := range acc {
		acc[i] = s.vector()
	}
	for _, v := range append(acc, x) {
		if s.width == 64 {
			VPXORD(v, v, v)
		} else {
			VXORPS(v, v, v)
		}
	}
	Label("loop")
	for _, v := range acc {
		VFMADD231PS(x, x, v)
	}
	DECQ(n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
