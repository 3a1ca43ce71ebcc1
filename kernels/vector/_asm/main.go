// Command asm writes the amd64 rows of package vector: vector_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
package main

import (
	"fmt"
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	Constraint(buildtags.Not("purego"))

	pass("axpy", "y[i] += a·x[i]", "y, x *float32", "a float32", func(p *loop) {
		p.each(func() {
			y := p.load("y")
			VFMADD231PS(p.at("x"), p.number("a"), y)
			p.store("y", y)
		})
	})
	pass("bytes", "dst[i] = a·src[i]", "dst *float32, src *byte", "a float32", func(p *loop) {
		p.each(func() {
			v := YMM()
			VPMOVZXBD(p.at("src"), v)
			VCVTDQ2PS(v, v)
			VMULPS(p.number("a"), v, v)
			p.store("dst", v)
		})
	})
	pass("mask", "dst[i] = dy[i] if y[i] > 0, else 0", "dst, dy, y *float32", "", func(p *loop) {
		zero := YMM()
		VPXOR(zero, zero, zero)
		p.each(func() {
			on := YMM()
			VPCMPGTD(zero, p.load("y"), on) // as floats they compare alike
			VPAND(p.at("dy"), on, on)
			p.store("dst", on)
		})
	})
	pass("pool", "dst[i] = max(a[i], b[i], c[i], d[i], 0), at[i] the place of it", "dst *float32, at *int32, a, b, c, d *float32", "", func(p *loop) {
		places := indices()
		p.each(func() {
			top, at := YMM(), YMM()
			VXORPS(top, top, top)
			VPCMPEQD(at, at, at)
			for j, from := range []string{"a", "b", "c", "d"} {
				// "Not less or equal", so that NaN is taken, and stays.
				v, more := p.load(from), YMM()
				VCMPPS(operand.Imm(22), top, v, more)
				if j > 0 {
					ordered := YMM()
					VCMPPS(operand.Imm(7), top, top, ordered)
					VANDPS(ordered, more, more)
				}
				VBLENDVPS(more, v, top, top)
				VBLENDVPS(more, places[j], at, at)
			}
			p.store("dst", top)
			p.store("at", at)
		})
	})
	pass("unpool", "a[i], b[i], c[i] or d[i] = dy[i], as at[i] says, and the others 0", "a, b, c, d, dy *float32, at *int32", "", func(p *loop) {
		places := indices()
		p.each(func() {
			dy, at := p.load("dy"), p.load("at")
			for j, to := range []string{"a", "b", "c", "d"} {
				here := YMM()
				VPCMPEQD(places[j], at, here)
				VPAND(dy, here, here)
				p.store(to, here)
			}
		})
	})
	pass("affine", "dst[i] = a·x[i] + b", "dst, x *float32", "a, b float32", func(p *loop) {
		p.each(func() {
			v := p.load("x")
			VFMADD213PS(p.number("b"), p.number("a"), v)
			p.store("dst", v)
		})
	})
	pass("mul", "dst[i] = x[i]·y[i]", "dst, x, y *float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("x")
			VMULPS(p.at("y"), v, v)
			p.store("dst", v)
		})
	})
	pass("fma", "dst[i] += x[i]·y[i]", "dst, x, y *float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("dst")
			VFMADD231PS(p.at("y"), p.load("x"), v)
			p.store("dst", v)
		})
	})
	pass("scaleShift", "dst[i] = gain[i]·x[i] + bias[i]", "dst, x, gain, bias *float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("bias")
			VFMADD231PS(p.at("gain"), p.load("x"), v)
			p.store("dst", v)
		})
	})
	pass("combine", "dst[i] = a·x[i] + b·y[i] + c", "dst, x, y *float32", "a, b, c float32", func(p *loop) {
		p.each(func() {
			v := p.load("y")
			VFMADD213PS(p.number("c"), p.number("b"), v)
			VFMADD231PS(p.at("x"), p.number("a"), v)
			p.store("dst", v)
		})
	})
	pass("softmaxGrad", "dst[i] = scale·p[i]·(dp[i] - d)", "dst, p, dp *float32", "d, scale float32", func(p *loop) {
		p.each(func() {
			v := p.load("dp")
			VSUBPS(p.number("d"), v, v)
			VMULPS(p.at("p"), v, v)
			VMULPS(p.number("scale"), v, v)
			p.store("dst", v)
		})
	})

	pass("max", "the largest x[i]", "x *float32", "", func(p *loop) {
		p.reduce(4, float32(math.Inf(-1)), VMAXPS, func(top reg.VecVirtual) { VMAXPS(p.at("x"), top, top) })
	})
	pass("sum", "the sum of x[i]", "x *float32", "", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum reg.VecVirtual) { VADDPS(p.at("x"), sum, sum) })
	})
	pass("square", "the sum of (x[i] - mean)²", "x *float32", "mean float32", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum reg.VecVirtual) {
			v := p.load("x")
			VSUBPS(p.number("mean"), v, v)
			VFMADD231PS(v, v, sum)
		})
	})
	pass("dot", "the sum of x[i]·y[i]", "x, y *float32", "", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum reg.VecVirtual) { VFMADD231PS(p.at("y"), p.load("x"), sum) })
	})
	// The method of Cephes' expf: x = n·ln 2 + r with |r| ≤ ln 2 ÷ 2, a
	// polynomial for e^r, and n put in the exponent.
	pass("exp", "dst[i] = exp(scale·x[i] - shift), at least 2^-126, and the sum of them", "dst, x *float32", "scale, shift float32", func(p *loop) {
		low, log2e, ln2high, ln2low := constant(-87.33), constant(math.Log2E), constant(0.693359375), constant(-2.12194440e-4)
		one, bias := constant(1), integer(127)
		polynomial := []operand.Mem{
			constant(1.9875691500e-4), constant(1.3981999507e-3), constant(8.3334519073e-3),
			constant(4.1665795894e-2), constant(1.6666665459e-1), constant(0.5),
		}
		// The sum is a small part of the work, and more chains would take registers.
		p.reduce(1, 0, VADDPS, func(sum reg.VecVirtual) {
			x, n, t, y := p.load("x"), YMM(), YMM(), YMM()
			VFMSUB213PS(p.number("shift"), p.number("scale"), x)
			VMOVUPS(low, t)
			VMAXPS(x, t, x) // MAX returns its last operand if either is NaN: NaN stays
			VMULPS(log2e, x, n)
			VCVTPS2DQ(n, n)
			VCVTDQ2PS(n, t)
			VFNMADD231PS(ln2high, t, x)
			VFNMADD231PS(ln2low, t, x)
			VMOVUPS(polynomial[0], y)
			for _, c := range polynomial[1:] {
				VFMADD213PS(c, x, y)
			}
			VMULPS(x, x, t)
			VFMADD213PS(x, t, y)
			VADDPS(one, y, y)
			VPADDD(bias, n, n)
			VPSLLD(operand.Imm(23), n, n)
			VMULPS(n, y, y)
			p.store("dst", y)
			VADDPS(y, sum, sum)
		})
	})
	Generate()
}

// loop is a function under construction: over n elements of its operands, eight
// at a time.
type loop struct {
	from    map[string]reg.GPVirtual // the end of an operand
	bytes   map[string]bool          // and whether it consists of bytes
	numbers map[string]reg.VecVirtual
	index   reg.GPVirtual // from -n, in elements, to 0
	disp    int           // bytes beyond
}

// pass writes a function: elements and numbers declare its parameters before and
// after n.
func pass(name, doc, elements, numbers string, body func(p *loop)) {
	signature := "func(" + elements + ", n int"
	if numbers != "" {
		signature += ", " + numbers
	}
	signature += ")"
	switch name {
	case "max", "sum", "square", "dot", "exp":
		signature += " float32"
	}
	TEXT(name+"AVX2", 0, signature)
	Pragma("noescape")
	Doc(name + "AVX2 is " + doc + "; n is a multiple of 8, and not 0.")
	p := &loop{from: map[string]reg.GPVirtual{}, bytes: map[string]bool{}, numbers: map[string]reg.VecVirtual{}}
	p.index = Load(Param("n"), GP64()).(reg.GPVirtual)
	for _, o := range strings.Split(elements, ",") {
		p.bytes[strings.Fields(o)[0]] = strings.HasSuffix(o, "*byte")
		o = strings.Fields(o)[0]
		p.from[o] = Load(Param(o), GP64()).(reg.GPVirtual)
		LEAQ(p.at(o), p.from[o])
	}
	for _, o := range strings.Split(numbers, ",") {
		if o == "" {
			continue
		}
		o = strings.Fields(o)[0]
		at, err := Param(o).Resolve()
		if err != nil {
			panic(err)
		}
		p.numbers[o] = YMM()
		VBROADCASTSS(at.Addr, p.numbers[o])
	}
	NEGQ(p.index)
	body(p)
}

func (p *loop) at(name string) operand.Mem {
	m := operand.Mem{Base: p.from[name], Index: p.index, Scale: 4, Disp: p.disp}
	if p.bytes[name] {
		m.Scale, m.Disp = 1, p.disp/4
	}
	return m
}

func (p *loop) load(name string) reg.VecVirtual {
	v := YMM()
	VMOVUPS(p.at(name), v)
	return v
}

func (p *loop) store(name string, v reg.VecVirtual) { VMOVUPS(v, p.at(name)) }
func (p *loop) number(name string) reg.VecVirtual   { return p.numbers[name] }

// each emits body for every eight elements.
func (p *loop) each(body func()) {
	Label("eight")
	body()
	ADDQ(operand.Imm(8), p.index)
	JNZ(operand.LabelRef("eight"))
	VZEROUPPER()
	RET()
}

// reduce accumulates in several chains, since additions of one wait for each
// other, and returns their combination by join.
func (p *loop) reduce(chains int, start float32, join func(...operand.Op), body func(sum reg.VecVirtual)) {
	sums := make([]reg.VecVirtual, chains)
	for i := range sums {
		sums[i] = YMM()
		VMOVUPS(constant(start), sums[i])
	}
	if chains > 1 {
		ADDQ(operand.Imm(uint64(8*chains)), p.index)
		JG(operand.LabelRef("rest"))
		Label("many")
		for i, s := range sums {
			p.disp = (i - chains) * 32
			body(s)
		}
		p.disp = 0
		ADDQ(operand.Imm(uint64(8*chains)), p.index)
		JLE(operand.LabelRef("many"))
		Label("rest")
		SUBQ(operand.Imm(uint64(8*chains)), p.index)
		JZ(operand.LabelRef("join"))
	}
	Label("eight")
	body(sums[0])
	ADDQ(operand.Imm(8), p.index)
	JNZ(operand.LabelRef("eight"))
	Label("join")
	for _, s := range sums[1:] {
		join(s, sums[0], sums[0])
	}
	low, high := sums[0].AsX(), XMM()
	VEXTRACTF128(operand.Imm(1), sums[0], high)
	join(high, low, low)
	VMOVHLPS(low, low, high)
	join(high, low, low)
	VMOVSHDUP(low, high)
	join(high, low, low)
	Store(low, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// constants are vectors of one value, by its bits.
var constants = map[uint32]operand.Mem{}

func constant(v float32) operand.Mem { return integer(math.Float32bits(v)) }

func integer(v uint32) operand.Mem {
	m, ok := constants[v]
	if !ok {
		m = GLOBL(fmt.Sprintf("x%08x", v), NOPTR|RODATA)
		for i := range 8 {
			DATA(4*i, operand.U32(v))
		}
		constants[v] = m
	}
	return m
}

// indices returns vectors of the indices of Pool's operands.
func indices() (v [4]reg.VecVirtual) {
	for i := range v {
		v[i] = YMM()
		VMOVUPS(integer(uint32(i)), v[i])
	}
	return
}
