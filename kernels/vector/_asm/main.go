// Command asm writes the amd64 rows of package vector: vector_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set.
type isa struct {
	name  string
	lanes int
}

// Predicates of VCMPPS (Intel SDM vol. 2, CMPPS, table 3-1).
const (
	notLess        = 21 // or a NaN
	notLessOrEqual = 22 // or a NaN
	ordered        = 7  // no NaN
)

func main() {
	Constraint(buildtags.Not("purego"))
	for _, set := range []isa{{"AVX2", 8}, {"AVX512", 16}} {
		passes(set)
	}
	Generate()
}

// passes writes the functions of an instruction set.
func passes(set isa) {
	pass := func(name, doc, elements, numbers, results string, body func(p *loop)) {
		write(set, name, doc, elements, numbers, results, body)
	}
	pass("axpy", "y[i] += a·x[i]", "y, x *float32", "a float32", "", func(p *loop) {
		p.each(func() {
			y := p.load("y")
			VFMADD231PS(p.at("x"), p.number("a"), y)
			p.store("y", y)
		})
	})
	pass("bytes", "dst[i] = a·src[i]; n is a multiple of 16", "dst *float32, src *byte", "a float32", "", func(p *loop) {
		p.each(func() {
			v := p.vec()
			VPMOVZXBD(p.at("src"), v)
			VCVTDQ2PS(v, v)
			VMULPS(p.number("a"), v, v)
			p.store("dst", v)
		})
	})
	pass("mask", "dst[i] = dy[i] if y[i] > 0, else 0", "dst, dy, y *float32", "", "", func(p *loop) {
		zero := p.zero()
		p.each(func() {
			on, dy := p.mask(), p.load("dy")
			VPCMPGTD(zero, p.load("y"), on) // as floats they compare alike
			p.keep(on, dy, dy)
			p.store("dst", dy)
		})
	})
	pass("copyRows", "dst[i] = src[i]", "dst:ldd, src:lds *float32", "", "", func(p *loop) {
		p.each(func() { p.store("dst", p.load("src")) })
	})
	pass("addRows", "dst[i] += src[i]", "dst:ldd, src:lds *float32", "", "", func(p *loop) {
		p.each(func() {
			v := p.load("src")
			VADDPS(p.at("dst"), v, v)
			p.store("dst", v)
		})
	})
	pass("pool", "dst[i] = max(a[i], b[i], c[i], d[i], 0), at[i] the place of it", "dst:ldd *float32, at:ldd *int32, a:lds, b:lds, c:lds, d:lds *float32", "", "", func(p *loop) {
		places := p.indices()
		none := p.copy(integer(0xffffffff))
		p.each(func() {
			top, at := p.zero(), p.copy(none)
			for j, from := range []string{"a", "b", "c", "d"} {
				// "Not less or equal", so that NaN is taken, and stays.
				v, more := p.load(from), p.mask()
				VCMPPS(operand.Imm(notLessOrEqual), top, v, more)
				if j > 0 {
					number := p.mask()
					VCMPPS(operand.Imm(ordered), top, top, number)
					p.and(number, more)
				}
				p.blend(more, v, top)
				p.blend(more, places[j], at)
			}
			p.store("dst", top)
			p.store("at", at)
		})
	})
	pass("unpool", "a[i], b[i], c[i] or d[i] = dy[i], as at[i] says, and the others 0", "a:ldd, b:ldd, c:ldd, d:ldd, dy:lds *float32, at:lds *int32", "", "", func(p *loop) {
		places := p.indices()
		p.each(func() {
			dy, at := p.load("dy"), p.load("at")
			for j, to := range []string{"a", "b", "c", "d"} {
				here, v := p.mask(), p.vec()
				VPCMPEQD(places[j], at, here)
				p.keep(here, dy, v)
				p.store(to, v)
			}
		})
	})
	pass("affine", "dst[i] = a·x[i] + b", "dst, x *float32", "a, b float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("x")
			VFMADD213PS(p.number("b"), p.number("a"), v)
			p.store("dst", v)
		})
	})
	pass("scale", "dst[i] = a·x[i], or 0 if that is less than 2^-80", "dst, x *float32", "a float32", "", func(p *loop) {
		tiny := constant(0x1p-80)
		p.each(func() {
			v, some := p.load("x"), p.mask()
			VMULPS(p.number("a"), v, v)
			VCMPPS(operand.Imm(notLess), tiny, v, some)
			p.keep(some, v, v)
			p.store("dst", v)
		})
	})
	pass("mul", "dst[i] = x[i]·y[i]", "dst, x, y *float32", "", "", func(p *loop) {
		p.each(func() {
			v := p.load("x")
			VMULPS(p.at("y"), v, v)
			p.store("dst", v)
		})
	})
	pass("fma", "dst[i] += x[i]·y[i]", "dst, x, y *float32", "", "", func(p *loop) {
		p.each(func() {
			v := p.load("dst")
			VFMADD231PS(p.at("y"), p.load("x"), v)
			p.store("dst", v)
		})
	})
	pass("scaleShift", "dst[i] = gain[i]·x[i] + bias[i]", "dst, x, gain, bias *float32", "", "", func(p *loop) {
		p.each(func() {
			v := p.load("bias")
			VFMADD231PS(p.at("gain"), p.load("x"), v)
			p.store("dst", v)
		})
	})
	pass("combine", "dst[i] = a·x[i] + b·y[i] + c", "dst, x, y *float32", "a, b, c float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("y")
			VFMADD213PS(p.number("c"), p.number("b"), v)
			VFMADD231PS(p.at("x"), p.number("a"), v)
			p.store("dst", v)
		})
	})
	pass("softmaxGrad", "dst[i] = scale·p[i]·(dp[i] - d)", "dst, p, dp *float32", "d, scale float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("dp")
			VSUBPS(p.number("d"), v, v)
			VMULPS(p.at("p"), v, v)
			VMULPS(p.number("scale"), v, v)
			p.store("dst", v)
		})
	})
	pass("normalize", "dst[i] = gain[i]·(x[i] - mean)·inverse + bias[i]", "dst, x, gain, bias *float32", "mean, inverse float32", "", func(p *loop) {
		p.each(func() {
			v := p.load("x")
			VSUBPS(p.number("mean"), v, v)
			VMULPS(p.number("inverse"), v, v)
			VFMADD213PS(p.at("bias"), p.load("gain"), v)
			p.store("dst", v)
		})
	})
	pass("normalGrads", "with h[i] = (x[i] - mean)·inverse: dgain[i] += dy[i]·h[i], dbias[i] += dy[i], and the sums of gain[i]·dy[i] and of gain[i]·dy[i]·h[i]",
		"dgain, dbias, x, gain, dy *float32", "mean, inverse float32", "sum, along float32", func(p *loop) {
			p.reduce(1, 0, VADDPS, func(sums []reg.VecVirtual) {
				h, dy, v := p.load("x"), p.load("dy"), p.vec()
				VSUBPS(p.number("mean"), h, h)
				VMULPS(p.number("inverse"), h, h)
				VADDPS(p.at("dbias"), dy, v)
				p.store("dbias", v)
				v = p.load("dgain")
				VFMADD231PS(h, dy, v)
				p.store("dgain", v)
				VMULPS(p.at("gain"), dy, dy) // 0 where there is no element
				VADDPS(dy, sums[0], sums[0])
				VFMADD231PS(h, dy, sums[1])
			})
		})
	pass("normalGrad", "dst[i] = inverse·(gain[i]·dy[i] - a - b·(x[i] - mean)·inverse)", "dst, x, gain, dy *float32", "mean, inverse, a, b float32", "", func(p *loop) {
		p.each(func() {
			h, v := p.load("x"), p.load("gain")
			VSUBPS(p.number("mean"), h, h)
			VMULPS(p.number("inverse"), h, h)
			VFMSUB132PS(p.at("dy"), p.number("a"), v)
			VFNMADD231PS(p.number("b"), h, v)
			VMULPS(p.number("inverse"), v, v)
			p.store("dst", v)
		})
	})
	pass("adamW", "g = scale·dw[i], m[i] = beta1·m[i] + rest1·g, v[i] = beta2·v[i] + rest2·g², w[i] = keep·w[i] - rate·m[i]/(√(correct·v[i]) + epsilon)",
		"w, m, v, dw *float32", "scale, beta1, rest1, beta2, rest2, correct, epsilon, keep, rate float32", "", func(p *loop) {
			p.each(func() {
				g, m, v := p.load("dw"), p.load("m"), p.load("v")
				VMULPS(p.number("scale"), g, g)
				VMULPS(p.number("beta1"), m, m)
				VFMADD231PS(p.number("rest1"), g, m)
				p.store("m", m)
				VMULPS(g, g, g)
				VMULPS(p.number("beta2"), v, v)
				VFMADD231PS(p.number("rest2"), g, v)
				p.store("v", v)
				VMULPS(p.number("correct"), v, v)
				VSQRTPS(v, v)
				VADDPS(p.number("epsilon"), v, v)
				VMULPS(p.number("rate"), m, m)
				VDIVPS(v, m, m)
				w := p.load("w")
				VFMSUB132PS(p.number("keep"), m, w)
				p.store("w", w)
			})
		})
	pass("gelu", "dst[i] = x[i]/(1 + exp(-2u)) with u = √(2/π)·(x[i] + 0.044715·x[i]³)", "dst, x *float32", "", "", func(p *loop) {
		p.each(func() {
			x := p.load("x")
			p.atLeast(-geluEnd, x)
			e, _ := p.decay(x)
			VADDPS(constant(1), e, e)
			VDIVPS(e, x, x)
			p.store("dst", x)
		})
	})
	pass("geluGrad", "dst[i] = dy[i]·s·(1 + x[i]·(1 - s)·(2u)') with s = 1/(1 + exp(-2u))", "dst, x, dy *float32", "", "", func(p *loop) {
		p.each(func() {
			x := p.load("x")
			p.atLeast(-geluEnd, x)
			e, square := p.decay(x)
			p.atMost(geluEnd, x)
			s, slope, whole := p.copy(constant(1)), p.copy(constant(geluSlope)), p.vec()
			VADDPS(s, e, whole)
			VDIVPS(whole, s, s)
			VFMADD213PS(constant(geluLinear), square, slope)
			VMULPS(x, slope, slope)
			VMULPS(s, e, e) // 1 - s, without cancellation
			VFMADD213PS(constant(1), e, slope)
			VMULPS(p.at("dy"), s, s)
			VMULPS(slope, s, s)
			p.store("dst", s)
		})
	})

	pass("max", "the largest x[i]", "x *float32", "", "float32", func(p *loop) {
		p.reduce(4, float32(math.Inf(-1)), VMAXPS, func(top []reg.VecVirtual) {
			x := p.load("x")
			p.absent(x, top[0])
			VMAXPS(x, top[0], top[0])
		})
	})
	pass("sum", "the sum of x[i]", "x *float32", "", "float32", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum []reg.VecVirtual) { VADDPS(p.at("x"), sum[0], sum[0]) })
	})
	pass("square", "the sum of (x[i] - mean)²", "x *float32", "mean float32", "float32", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum []reg.VecVirtual) {
			x := p.load("x")
			p.absent(x, p.number("mean"))
			VSUBPS(p.number("mean"), x, x)
			VFMADD231PS(x, x, sum[0])
		})
	})
	pass("squares", "the sum of x[i]²", "x *float32", "", "float64", func(p *loop) {
		p.reduce(4, 0, VADDPD, func(sum []reg.VecVirtual) {
			x, low, high := p.load("x"), p.vec(), p.vec()
			VCVTPS2PD(p.half(x, 0), low)
			VFMADD231PD(low, low, sum[0])
			VCVTPS2PD(p.half(x, 1), high)
			VFMADD231PD(high, high, sum[0])
		})
	})
	pass("dot", "the sum of x[i]·y[i]", "x, y *float32", "", "float32", func(p *loop) {
		p.reduce(4, 0, VADDPS, func(sum []reg.VecVirtual) { VFMADD231PS(p.at("y"), p.load("x"), sum[0]) })
	})
	pass("exp", "dst[i] = exp(scale·x[i] - shift), at least 2^-126, and the sum of them", "dst, x *float32", "scale, shift float32", "float32", func(p *loop) {
		// The sum is a small part of the work, and more chains would take registers.
		p.reduce(1, 0, VADDPS, func(sum []reg.VecVirtual) {
			x := p.load("x")
			VFMSUB213PS(p.number("shift"), p.number("scale"), x)
			p.atLeast(-87.33, x)
			y := p.exp(x)
			p.store("dst", y)
			p.absent(y, p.zero())
			VADDPS(y, sum[0], sum[0])
		})
	})
}

// GELU of x is x/(1 + exp(-2u)), where 2u is geluLinear·x + geluCubic·x³ and its
// derivative geluLinear + geluSlope·x². At geluEnd, 2u is 60: beyond it and its negative
// the result is x, and 0, to less than 1e-25.
var geluLinear, geluCubic, geluSlope = float32(2 * math.Sqrt(2/math.Pi)), float32(2 * math.Sqrt(2/math.Pi) * 0.044715), float32(6 * math.Sqrt(2/math.Pi) * 0.044715)

const geluEnd = 8.67

// decay returns exp(-2u) of GELU for x, at most geluEnd, and the square of that.
func (p *loop) decay(x reg.VecVirtual) (e, square reg.VecVirtual) {
	v, z := p.copy(x), p.copy(constant(-geluCubic))
	p.atMost(geluEnd, v)
	square = p.vec()
	VMULPS(v, v, square)
	VFMADD213PS(constant(-geluLinear), square, z)
	VMULPS(v, z, z)
	return p.exp(z), square
}

// exp returns exp(x) for x from -87.33 to 88, by the method of Cephes' expf: x = n·ln 2 + r
// with |r| ≤ ln 2 ÷ 2, a polynomial for e^r, and n put in the exponent. x is lost.
func (p *loop) exp(x reg.VecVirtual) reg.VecVirtual {
	n, t, y := p.vec(), p.vec(), p.copy(constant(1.9875691500e-4))
	VMULPS(constant(math.Log2E), x, n)
	VCVTPS2DQ(n, n)
	VCVTDQ2PS(n, t)
	VFNMADD231PS(constant(0.693359375), t, x)
	VFNMADD231PS(constant(-2.12194440e-4), t, x)
	for _, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5} {
		VFMADD213PS(constant(c), x, y)
	}
	VMULPS(x, x, t)
	VFMADD213PS(x, t, y)
	VADDPS(constant(1), y, y)
	VPADDD(integer(127), n, n)
	VPSLLD(operand.Imm(23), n, n)
	VMULPS(n, y, y)
	return y
}

// loop is a function under construction: over n elements of its operands, a vector at a
// time, and at last over the rest under a mask.
type loop struct {
	isa
	from    map[string]reg.GPVirtual // the end of an operand
	bytes   map[string]bool          // and whether it consists of bytes
	strides map[string]reg.GPVirtual // and what leads to its next row, in bytes
	rows    reg.GPVirtual            // if there are strides
	numbers map[string]reg.VecVirtual
	results []string      // their types
	index   reg.GPVirtual // from -n, in elements, to 0
	disp    int           // bytes beyond
	rest    operand.Op    // the mask of the elements of the last vector, or nil
	whole   bool          // n has no rest
}

// write writes a function: elements and numbers declare its parameters before and
// after n. Operands with a stride, which stands behind a colon, have rows of n elements.
func write(set isa, name, doc, elements, numbers, results string, body func(p *loop)) {
	p := &loop{isa: set, from: map[string]reg.GPVirtual{}, bytes: map[string]bool{}, strides: map[string]reg.GPVirtual{}, numbers: map[string]reg.VecVirtual{}}
	signature, strided := "", strings.Contains(elements, ":")
	for _, o := range strings.Split(elements, ",") {
		operand, kind, _ := strings.Cut(strings.TrimSpace(o), " ")
		operand, _, _ = strings.Cut(operand, ":")
		signature += operand + " " + kind + ","
	}
	signature = "func(" + signature + " n int"
	if strided {
		signature += ", rows, ldd, lds int"
		doc += ", for rows of n elements, whose first ones are ldd elements apart in the first operands and lds in the last ones"
	}
	if numbers != "" {
		signature += ", " + numbers
	}
	signature += ")"
	if results != "" {
		signature += " (" + results + ")"
	}
	TEXT(name+set.name, 0, signature)
	Pragma("noescape")
	Doc(name + set.name + " is " + doc + "; n is not 0.")
	for range strings.Count(results, ",") + min(len(results), 1) {
		p.results = append(p.results, results[strings.LastIndex(results, " ")+1:])
	}
	if strided {
		p.rows = Load(Param("rows"), GP64()).(reg.GPVirtual)
		for _, stride := range []string{"ldd", "lds"} {
			p.strides[stride] = Load(Param(stride), GP64()).(reg.GPVirtual)
			SHLQ(operand.Imm(2), p.strides[stride])
		}
	}
	p.index = Load(Param("n"), GP64()).(reg.GPVirtual)
	for _, o := range strings.Split(elements, ",") {
		name, kind, _ := strings.Cut(strings.TrimSpace(o), " ")
		name, stride, _ := strings.Cut(name, ":")
		if kind == "*byte" {
			p.bytes[name], p.whole = true, true
		}
		p.from[name] = Load(Param(name), GP64()).(reg.GPVirtual)
		if strided {
			p.strides[name] = p.strides[stride]
		}
		LEAQ(p.memory(name), p.from[name])
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
		p.numbers[o] = p.vec()
		VBROADCASTSS(at.Addr, p.numbers[o])
	}
	body(p)
}

func (p *loop) vec() reg.VecVirtual {
	if p.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

// mask returns a new mask: a vector, or a mask register.
func (p *loop) mask() operand.Op {
	if p.lanes == 16 {
		return K()
	}
	return YMM()
}

func (p *loop) memory(name string) operand.Mem {
	m := operand.Mem{Base: p.from[name], Index: p.index, Scale: 4, Disp: p.disp}
	if p.bytes[name] {
		m.Scale, m.Disp = 1, p.disp/4
	}
	return m
}

// at is an operand in memory, or a copy of its last elements.
func (p *loop) at(name string) operand.Op {
	if p.rest != nil {
		return p.load(name)
	}
	return p.memory(name)
}

// load returns elements; where there is none, it is 0.
func (p *loop) load(name string) reg.VecVirtual {
	if p.rest == nil {
		return p.copy(p.memory(name))
	}
	v := p.vec()
	if p.lanes == 16 {
		VMOVUPS_Z(p.memory(name), p.rest, v)
	} else {
		VMASKMOVPS(p.memory(name), p.rest, v)
	}
	return v
}

func (p *loop) store(name string, v reg.VecVirtual) {
	switch {
	case p.rest == nil:
		VMOVUPS(v, p.memory(name))
	case p.lanes == 16:
		VMOVUPS(v, p.rest, p.memory(name))
	default:
		VMASKMOVPS(v, p.rest, p.memory(name))
	}
}

func (p *loop) number(name string) reg.VecVirtual { return p.numbers[name] }

func (p *loop) copy(from operand.Op) reg.VecVirtual {
	v := p.vec()
	VMOVUPS(from, v)
	return v
}

func (p *loop) zero() reg.VecVirtual {
	v := p.vec()
	if p.lanes == 16 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
	return v
}

// half returns the lower or upper half of v.
func (p *loop) half(v reg.VecVirtual, i int) operand.Op {
	if p.lanes == 16 {
		y := YMM()
		VEXTRACTF64X4(operand.Imm(uint64(i)), v, y)
		return y
	}
	x := XMM()
	VEXTRACTF128(operand.Imm(uint64(i)), v, x)
	return x
}

// keep sets dst to v where mask is set, and 0 elsewhere.
func (p *loop) keep(mask operand.Op, v, dst reg.VecVirtual) {
	if p.lanes == 16 {
		VMOVAPS_Z(v, mask, dst)
	} else {
		VANDPS(mask, v, dst)
	}
}

// blend sets dst to v where mask is set.
func (p *loop) blend(mask operand.Op, v, dst reg.VecVirtual) {
	if p.lanes == 16 {
		VMOVAPS(v, mask, dst)
	} else {
		VBLENDVPS(mask, v, dst, dst)
	}
}

func (p *loop) and(mask, dst operand.Op) {
	if p.lanes == 16 {
		KANDW(mask, dst, dst)
	} else {
		VANDPS(mask, dst, dst)
	}
}

// absent sets v to other where there is no element.
func (p *loop) absent(v, other reg.VecVirtual) {
	if p.rest != nil {
		all := p.copy(other)
		p.blend(p.rest, v, all)
		VMOVUPS(all, v)
	}
}

// atLeast and atMost keep NaN: MAX and MIN return the first of avo's operands if either
// is NaN.
func (p *loop) atLeast(limit float32, x reg.VecVirtual) { VMAXPS(x, p.copy(constant(limit)), x) }
func (p *loop) atMost(limit float32, x reg.VecVirtual)  { VMINPS(x, p.copy(constant(limit)), x) }

// run emits body for all elements: for several vectors at a time, by their number, as
// long as there are so many, then for each, then for the rest.
func (p *loop) run(several int, body func(i int)) {
	NEGQ(p.index)
	repeat := func(label string, count int) {
		step := operand.Imm(uint64(count * p.lanes))
		ADDQ(step, p.index)
		JG(operand.LabelRef("no_" + label))
		Label(label)
		for i := range count {
			p.disp = (i - count) * p.lanes * 4
			body(i)
		}
		p.disp = 0
		ADDQ(step, p.index)
		JLE(operand.LabelRef(label))
		Label("no_" + label)
		SUBQ(step, p.index)
	}
	if several > 1 {
		repeat("several", several)
	}
	repeat("one", 1)
	if p.whole {
		return
	}
	JZ(operand.LabelRef("done"))
	table := GP64()
	if p.rest = p.mask(); p.lanes == 16 {
		LEAQ(restWords(), table)
		KMOVW(operand.Mem{Base: table, Index: p.index, Scale: 2, Disp: 32}, p.rest)
	} else {
		LEAQ(restLanes(), table)
		VMOVUPS(operand.Mem{Base: table, Index: p.index, Scale: 4, Disp: 32}, p.rest)
	}
	body(0)
	p.rest = nil
	Label("done")
}

// each emits body for every vector of every row.
func (p *loop) each(body func()) {
	if p.rows != nil {
		Label("row")
		Load(Param("n"), p.index)
	}
	p.run(1, func(int) { body() })
	if p.rows != nil {
		for _, o := range slices.Sorted(maps.Keys(p.from)) {
			ADDQ(p.strides[o], p.from[o])
		}
		DECQ(p.rows)
		JNZ(operand.LabelRef("row"))
	}
	VZEROUPPER()
	RET()
}

// reduce accumulates each result in several chains, since additions of one wait for each
// other, and returns their combination by join.
func (p *loop) reduce(chains int, start float32, join func(...operand.Op), body func(sums []reg.VecVirtual)) {
	sums := make([][]reg.VecVirtual, chains)
	for i := range sums {
		for range p.results {
			sums[i] = append(sums[i], p.copy(constant(start)))
		}
	}
	p.run(chains, func(i int) { body(sums[i]) })
	for r, kind := range p.results {
		all := sums[0][r]
		for _, s := range sums[1:] {
			join(s[r], all, all)
		}
		if p.lanes == 16 {
			high := YMM()
			VEXTRACTF64X4(operand.Imm(1), all, high)
			join(high, all.AsY(), all.AsY())
		}
		low, high := all.AsX(), XMM()
		VEXTRACTF128(operand.Imm(1), all.AsY(), high)
		join(high, low, low)
		VMOVHLPS(low, low, high)
		join(high, low, low)
		if kind == "float32" {
			VMOVSHDUP(low, high)
			join(high, low, low)
		}
		Store(low, ReturnIndex(r))
	}
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
		for i := range 16 {
			DATA(4*i, operand.U32(v))
		}
		constants[v] = m
	}
	return m
}

var lanes, words operand.Mem

// restLanes is a vector of ones and one of zeros: the eight elements that end r elements
// into the zeros are the mask of 8 - r.
func restLanes() operand.Mem {
	if lanes.Symbol.Name == "" {
		lanes = GLOBL("rest_lanes", NOPTR|RODATA)
		for i := range 16 {
			DATA(4*i, operand.U32(int32(i-8)>>31))
		}
	}
	return lanes
}

// restWords are the masks of 16 to 1 elements.
func restWords() operand.Mem {
	if words.Symbol.Name == "" {
		words = GLOBL("rest_words", NOPTR|RODATA)
		for i := range 16 {
			DATA(2*i, operand.U16(0xffff>>i))
		}
	}
	return words
}

// indices returns vectors of the indices of Pool's operands.
func (p *loop) indices() (v [4]reg.VecVirtual) {
	for i := range v {
		v[i] = p.copy(integer(uint32(i)))
	}
	return
}
