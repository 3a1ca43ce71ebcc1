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
		s.ones()
		for rows := 1; rows <= s.rows; rows++ {
			s.tiles(rows, whole)
			s.tiles(rows, masked)
		}
		s.tiles(s.rows, packing)
		copyPanels(s.rows)
		copyPanels(s.width / 2)
		s.copyEdge()
		s.peak()
	}
	transpose()
	Generate()
}

// edge is the number of columns of a tile at the right edge of C, where a mask
// keeps loads and stores within the matrices.
const edge = 16

// ones writes what masks are made of: as many ones as two vectors have elements,
// then zeros.
func (s isa) ones() {
	GLOBL("ones"+s.name, attr.RODATA|attr.NOPTR)
	for i := range s.width {
		DATA(4*i, operand.U32(uint32(i/(s.width/2)-1))) // #nosec G115 -- first ones, then zeros
	}
}

// mask returns the address of a mask whose first n elements are set. It overwrites n.
func (s isa) mask(n reg.GPVirtual) operand.Mem {
	at := GP64()
	LEAQ(operand.NewDataAddr(operand.NewStaticSymbol("ones"+s.name), 2*s.width), at)
	SHLQ(operand.Imm(2), n)
	SUBQ(n, at)
	return operand.Mem{Base: at}
}

// variant is a kind of micro-kernel.
type variant int

const (
	whole   variant = iota
	masked          // for the edge: a mask keeps loads and stores within the matrices
	packing         // stores the rows of B that it loads
)

// tiles writes the micro-kernel: tiles of rows × two vectors of C, one below
// the other, which share their columns of B; at an edge, of at most 16 columns.
func (s isa) tiles(rows int, is variant) {
	name, width, vectors := fmt.Sprintf("tiles%s%d", s.name, rows), s.width/2, 2
	masked := is == masked
	switch {
	case masked:
		name, width, vectors = fmt.Sprintf("edges%s%d", s.name, rows), edge, edge*4/s.width
	case is == packing:
		name = "packing" + s.name
	}
	TEXT(name, 0, "func(t *tiles)")
	Pragma("noescape")
	switch is {
	case whole:
		Doc(fmt.Sprintf("%s computes t.count tiles of %d×%d elements of C.", name, rows, width))
	case packing:
		Doc(fmt.Sprintf("%s computes t.count tiles of %d×%d elements of C and copies the rows of B that", name, rows, width),
			"they use to t.to, one after the other.")
	default:
		Doc(fmt.Sprintf("%s computes t.count tiles of %d×t.cols elements of C, at most %d wide.", name, rows, width))
	}
	t := Dereference(Param("t"))
	load := func(name string) reg.GPVirtual { return Load(t.Field(name), GP64()).(reg.GPVirtual) }
	at := func(name string) operand.Mem {
		c, err := t.Field(name).Resolve()
		if err != nil {
			log.Fatal(name, ": ", err)
		}
		return c.Addr
	}
	// With AVX-512 a mask stays in its register. AVX2 has no register left for one
	// while it sums: there B is packed, and masks are for C and the bias.
	var k1 reg.OpmaskVirtual
	masks := AllocLocal(2 * s.width)
	if masked {
		from := s.mask(load("cols"))
		for i := range vectors {
			from.Disp = i * s.width
			m := s.vector()
			if s.width == 64 {
				k1 = K()
				VMOVDQU32(from, m)
				VPTESTMD(m, m, k1)
			} else {
				VMOVDQU(from, m)
				VMOVDQU(m, masks.Offset(i*s.width))
			}
		}
	}
	// get loads vector j of a row of B or C or of the bias under the mask, if there is one.
	get := func(m operand.Mem, j int, v reg.VecVirtual) {
		switch {
		case !masked:
			VMOVUPS(m, v)
		case s.width == 64:
			VMOVUPS_Z(m, k1, v)
		default:
			VMOVDQU(masks.Offset(j*s.width), v)
			VMASKMOVPS(m, v, v)
		}
	}

	rs, cs, bs, stride := load("rs"), load("cs"), load("bs"), load("stride")
	// Pointers that advance from tile to tile are kept on the stack: in t, the
	// garbage collector would see one that points behind the last tile.
	frame := AllocLocal(56)
	moving := map[string]operand.Mem{}
	names := []string{"a", "b", "c", "bias", "next", "count"}
	if is == packing {
		names = append(names, "to")
	}
	for i, name := range names {
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
	acc, b := make([][]reg.VecVirtual, rows), make([]reg.VecVirtual, vectors)
	for j := range b {
		b[j] = s.vector()
	}
	for i := range acc {
		for range vectors {
			acc[i] = append(acc[i], s.vector())
		}
	}

	Label("tile")
	for i := range acc {
		for _, v := range acc[i] {
			s.zero(v)
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
		if !masked {
			PREFETCHT0(operand.Mem{Base: pc, Disp: 2*s.width - 4})
		}
		if i < rows-1 {
			ADDQ(ldc, pc)
		}
	}
	pb, k, next, lines := GP64(), GP64(), GP64(), GP64()
	MOVQ(moving["b"], pb)
	MOVQ(at("k"), k)
	MOVQ(moving["next"], next)
	MOVQ(at("lines"), lines)
	var to reg.GPVirtual
	if is == packing {
		to = GP64()
		MOVQ(moving["to"], to)
	}

	step := func() {
		for j, v := range b {
			if m := (operand.Mem{Base: pb, Disp: j * s.width}); s.width == 64 {
				get(m, j, v)
			} else {
				VMOVUPS(m, v) // packed, and padded with zeros
			}
			if is == packing {
				PREFETCHT0(operand.Mem{Base: pb, Index: bs, Scale: 8, Disp: j * s.width})
				VMOVUPS(v, operand.Mem{Base: to, Disp: j * s.width})
			}
		}
		ADDQ(bs, pb)
		if is == packing {
			ADDQ(operand.Imm(uint64(2*s.width)), to) // #nosec G115 -- two vectors
		}
		for i := range rows {
			if vectors == 1 {
				VFMADD231PS_BCST(element(i), b[0], acc[i][0])
			} else {
				x := s.vector()
				VBROADCASTSS(element(i), x)
				for j, v := range b {
					VFMADD231PS(v, x, acc[i][j])
				}
			}
			if i%3 == 2 || i == rows-1 {
				ADDQ(cs, p[i/3])
			}
		}
	}
	const unroll = 4
	SUBQ(operand.Imm(unroll), k)
	JLT(operand.LabelRef("rest"))
	Label("four")
	PREFETCHT1(operand.Mem{Base: next})
	ADDQ(stride, next)
	DECQ(lines)
	CMOVQLE(pb, next) // already in the cache
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
	CMPL(at("alpha"), operand.Imm(0x3f800000)) // 1
	JEQ(operand.LabelRef("scaled"))
	VBROADCASTSS(at("alpha"), scalar)
	each(func(_, _ int, v reg.VecVirtual) { VMULPS(scalar, v, v) })
	Label("scaled")

	row := func(j int) operand.Mem { return operand.Mem{Base: pc, Disp: j * s.width} }
	CMPL(at("beta"), operand.Imm(0))
	JEQ(operand.LabelRef("biased"))
	MOVQ(moving["c"], pc)
	VBROADCASTSS(at("beta"), scalar)
	each(func(i, j int, v reg.VecVirtual) {
		if masked {
			x := s.vector()
			get(row(j), j, x)
			VFMADD231PS(x, scalar, v)
		} else {
			VFMADD231PS(row(j), scalar, v)
		}
		if j == vectors-1 && i < rows-1 {
			ADDQ(ldc, pc)
		}
	})

	Label("biased")
	bias := GP64()
	MOVQ(moving["bias"], bias)
	TESTQ(bias, bias)
	JZ(operand.LabelRef("rectified"))
	for j, v := range b {
		get(operand.Mem{Base: bias, Disp: j * s.width}, j, v)
	}
	each(func(_, j int, v reg.VecVirtual) { VADDPS(b[j], v, v) })

	Label("rectified")
	CMPQ(at("relu"), operand.Imm(0))
	JEQ(operand.LabelRef("store"))
	zero := s.vector()
	s.zero(zero)
	each(func(_, _ int, v reg.VecVirtual) { VMAXPS(v, zero, v) }) // MAX returns its last operand if either is NaN: NaN stays

	Label("store")
	MOVQ(moving["c"], pc)
	if masked && s.width < 64 {
		for j, v := range b {
			VMOVDQU(masks.Offset(j*s.width), v)
		}
	}
	each(func(i, j int, v reg.VecVirtual) {
		switch {
		case !masked:
			VMOVUPS(v, row(j))
		case s.width == 64:
			VMOVUPS(v, k1, row(j))
		default:
			VMASKMOVPS(v, b[j], row(j))
		}
		if j == vectors-1 && i < rows-1 {
			ADDQ(ldc, pc)
		}
	})
	advance := [][2]string{{"as", "a"}, {"bt", "b"}, {"ct", "c"}, {"biast", "bias"}, {"ahead", "next"}}
	if is == packing {
		advance = append(advance, [2]string{"tot", "to"})
	}
	for _, f := range advance {
		MOVQ(at(f[0]), pc)
		ADDQ(pc, moving[f[1]])
	}
	DECQ(moving["count"])
	JNZ(operand.LabelRef("tile"))
	VZEROUPPER()
	RET()
}

func (s isa) zero(v reg.VecVirtual) {
	if s.width == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
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
	TEXT(name, 0, "func(dst, src *float32, stride, n, width, to int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies n rows of width elements, at most %d, stride bytes apart, to rows of %d,", name, s.width/2, s.width/2),
		"to bytes apart, which it fills up with zeros.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	to := Load(Param("to"), GP64())
	at := s.mask(Load(Param("width"), GP64()).(reg.GPVirtual))
	v, mask := [2]reg.VecVirtual{}, [2]reg.VecVirtual{}
	k := [2]reg.OpmaskVirtual{}
	for i := range v {
		v[i], mask[i], k[i] = s.vector(), s.vector(), K()
		if s.width == 64 {
			VMOVDQU32(at.Offset(s.width*i), mask[i])
			VPTESTMD(mask[i], mask[i], k[i])
		} else {
			VMOVDQU(at.Offset(s.width*i), mask[i])
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
// of its columns at a time, which are rows in memory, in squares of 8×8.
func transpose() {
	TEXT("transpose8", 0, "func(dst, src *float32, to, from, k, groups int)")
	Pragma("noescape")
	Doc("transpose8 writes the transposes of groups of 8 rows of k elements, at least 8, from",
		"bytes apart, as rows of 8, to bytes apart. Groups of rows become columns side by side.")
	to, from := Load(Param("to"), GP64()), Load(Param("from"), GP64())
	from3, to3, tail, back := GP64(), GP64(), GP64(), GP64()
	LEAQ(operand.Mem{Base: from, Index: from, Scale: 2}, from3)
	LEAQ(operand.Mem{Base: to, Index: to, Scale: 2}, to3)
	// If 8 does not divide k, the last square begins tail columns too early, which
	// it writes once more.
	Load(Param("k"), tail)
	NEGQ(tail)
	ANDQ(operand.Imm(7), tail)
	MOVQ(tail, back)
	IMULQ(to, back)

	Label("group")
	dst, src, src3, src6, k := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("k"), k)
	LEAQ(operand.Mem{Base: src, Index: from3, Scale: 1}, src3)
	LEAQ(operand.Mem{Base: src, Index: from3, Scale: 2}, src6)
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
	SUBQ(operand.Imm(8), k)
	JZ(operand.LabelRef("done"))
	CMPQ(k, operand.Imm(8))
	JGE(operand.LabelRef("square"))
	SUBQ(back, dst)
	SHLQ(operand.Imm(2), tail)
	for _, p := range base {
		SUBQ(tail, p)
	}
	SHRQ(operand.Imm(2), tail)
	ADDQ(tail, k)
	JMP(operand.LabelRef("square"))
	Label("done")
	LEAQ(operand.Mem{Base: src, Index: from3, Scale: 2}, src)
	LEAQ(operand.Mem{Base: src, Index: from, Scale: 2}, src)
	Load(Param("k"), k)
	SHLQ(operand.Imm(2), k)
	SUBQ(k, src)
	MOVQ(src, argument("src"))
	ADDQ(operand.Imm(32), argument("dst"))
	DECQ(argument("groups"))
	JNZ(operand.LabelRef("group"))
	VZEROUPPER()
	RET()
}

// argument returns the place of an argument on the stack.
func argument(name string) operand.Mem {
	c, err := Param(name).Resolve()
	if err != nil {
		log.Fatal(name, ": ", err)
	}
	return c.Addr
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
		s.zero(v)
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
