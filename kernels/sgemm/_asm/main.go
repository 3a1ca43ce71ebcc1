// Command asm writes the amd64 rows of package sgemm: sgemm_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	_ "github.com/perwatt/perwatt/kernels/sgemm" // loaded below
)

// isa is an instruction set: its vectors, and the number of rows of a full tile.
// With two vectors a row, that leaves registers for two vectors of B and one or
// two elements of A.
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
		copyPanels(s.rows)
		copyPanels(s.width / 2)
		s.copyEdge()
		s.peak()
	}
	transpose()
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
	rs, cs, bs, stride := load("rs"), load("cs"), load("bs"), load("stride")
	// Pointers that advance from tile to tile are kept on the stack: in t, the
	// garbage collector would see one that points behind the last tile.
	frame := AllocLocal(32)
	moving := map[string]operand.Mem{}
	for i, name := range []string{"a", "c", "next", "count"} {
		moving[name] = frame.Offset(8 * i)
		MOVQ(load(name), moving[name])
	}

	// Three rows of A share a pointer: the row at it, and those one and two strides on.
	p := make([]reg.GPVirtual, (rows+2)/3)
	element := func(i int) operand.Mem {
		m := operand.Mem{Base: p[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = rs, uint8(i%3) // #nosec G115 -- 0, 1 or 2
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
			MOVQ(moving["a"], p[0])
			continue
		}
		LEAQ(operand.Mem{Base: p[j-1], Index: rs, Scale: 2}, p[j])
		ADDQ(rs, p[j])
	}
	// C is needed when the sums are complete; prefetch it now.
	pc, ldc := GP64(), load("ldc")
	MOVQ(moving["c"], pc)
	for i := range rows {
		PREFETCHT0(operand.Mem{Base: pc})
		PREFETCHT0(operand.Mem{Base: pc, Disp: 2*s.width - 4})
		if i < rows-1 {
			ADDQ(ldc, pc)
		}
	}
	b, k, next, lines := GP64(), GP64(), GP64(), GP64()
	MOVQ(at("b"), b)
	MOVQ(at("k"), k)
	MOVQ(moving["next"], next)
	MOVQ(at("lines"), lines)

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
	PREFETCHT1(operand.Mem{Base: next})
	ADDQ(stride, next)
	DECQ(lines)
	CMOVQLE(b, next) // already in the cache
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
	ldc = load("ldc")
	scalar := s.vector()
	VBROADCASTSS(at("alpha"), scalar)
	each(func(_, _ int, v reg.VecVirtual) { VMULPS(scalar, v, v) })

	row := func(j int) operand.Mem { return operand.Mem{Base: pc, Disp: j * s.width} }
	CMPL(at("beta"), operand.Imm(0))
	JEQ(operand.LabelRef("biased"))
	MOVQ(moving["c"], pc)
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
	each(func(_, _ int, v reg.VecVirtual) { VMAXPS(v, zero, v) }) // MAX returns its last operand if either is NaN: NaN stays

	Label("store")
	MOVQ(moving["c"], pc)
	each(func(_, j int, v reg.VecVirtual) {
		VMOVUPS(v, operand.Mem{Base: pc, Disp: j * s.width})
		if j == 1 {
			ADDQ(ldc, pc)
		}
	})
	MOVQ(pc, moving["c"])
	for _, f := range [][2]string{{"as", "a"}, {"ahead", "next"}} {
		MOVQ(at(f[0]), pc)
		ADDQ(pc, moving[f[1]])
	}
	DECQ(moving["count"])
	JNZ(operand.LabelRef("tile"))
	VZEROUPPER()
	RET()
}

// copyPanels writes the packing of a matrix that is stored row by row.
func copyPanels(width int) {
	name := fmt.Sprintf("copyPanels%d", width)
	TEXT(name, 0, "func(dst, src *float32, stride, n, panels, to int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies n rows of panels·%d elements, stride bytes apart, to as many", name, width),
		"panels, to bytes apart, in which rows lie one after the other.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	to := Load(Param("to"), GP64())
	Label("row")
	d, s, panels := GP64(), GP64(), GP64()
	MOVQ(dst, d)
	MOVQ(src, s)
	Load(Param("panels"), panels)
	Label("panel")
	for off := 0; off < width; {
		from, into := operand.Mem{Base: s, Disp: 4 * off}, operand.Mem{Base: d, Disp: 4 * off}
		switch x, y, z := XMM(), YMM(), ZMM(); {
		case width >= 32:
			VMOVUPS(from, z)
			VMOVUPS(z, into)
			off += 16
		case width-off >= 8:
			VMOVUPS(from, y)
			VMOVUPS(y, into)
			off += 8
		case width-off >= 4:
			VMOVUPS(from, x)
			VMOVUPS(x, into)
			off += 4
		default:
			VMOVQ(from, x)
			VMOVQ(x, into)
			off += 2
		}
	}
	ADDQ(operand.Imm(uint64(4*width)), s) // #nosec G115 -- a width is 4 to 16 elements
	ADDQ(to, d)
	DECQ(panels)
	JNZ(operand.LabelRef("panel"))
	ADDQ(stride, src)
	ADDQ(operand.Imm(uint64(4*width)), dst) // #nosec G115 -- a width is 4 to 16 elements
	DECQ(n)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// copyEdge writes the packing of columns that do not fill a panel.
func (s isa) copyEdge() {
	name := "copyEdge" + s.name
	ones := GLOBL("ones"+s.name, attr.RODATA|attr.NOPTR)
	for i := range s.width {
		DATA(4*i, operand.U32(uint32(i/(s.width/2)-1))) // #nosec G115 -- first ones, then zeros
	}
	TEXT(name, 0, "func(dst, src *float32, stride, n, width, to int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies n rows of width elements, at most %d, stride bytes apart, to rows of %d,", name, s.width/2, s.width/2),
		"to bytes apart, which it fills up with zeros.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	to, width := Load(Param("to"), GP64()), Load(Param("width"), GP64())
	at := GP64()
	LEAQ(ones.Offset(2*s.width), at)
	SHLQ(operand.Imm(2), width)
	SUBQ(width, at)
	v, mask := [2]reg.VecVirtual{}, [2]reg.VecVirtual{}
	k := [2]reg.OpmaskVirtual{}
	for i := range v {
		v[i], mask[i], k[i] = s.vector(), s.vector(), K()
		if s.width == 64 {
			VMOVDQU32(operand.Mem{Base: at, Disp: s.width * i}, mask[i])
			VPTESTMD(mask[i], mask[i], k[i])
		} else {
			VMOVDQU(operand.Mem{Base: at, Disp: s.width * i}, mask[i])
		}
	}
	Label("row")
	for i := range v {
		m := operand.Mem{Base: src, Disp: s.width * i}
		if s.width == 64 {
			VMOVUPS_Z(m, k[i], v[i])
		} else {
			VMASKMOVPS(m, mask[i], v[i])
		}
		VMOVUPS(v[i], operand.Mem{Base: dst, Disp: s.width * i})
	}
	ADDQ(stride, src)
	ADDQ(to, dst)
	DECQ(n)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
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
			m.Index, m.Scale = from, uint8(i%3) // #nosec G115 -- 0, 1 or 2
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
