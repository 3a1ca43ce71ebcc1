package ptx

import (
	"cmp"
	"math"
	"math/bits"
)

// arithmetic has the instructions that compute in registers.
var arithmetic = map[string]func(*operation) func(*warp, uint32){
	"add": compute, "sub": compute, "mul": compute, "mad": compute, "fma": compute, "div": compute, "rem": compute,
	"min": compute, "max": compute, "neg": compute, "abs": compute,
	"and": compute, "or": compute, "xor": compute, "not": compute, "shl": compute, "shr": compute,
	"popc": compute, "clz": compute, "brev": compute, "bfe": compute,
	"rcp": compute, "sqrt": compute, "rsqrt": compute, "ex2": compute, "lg2": compute, "tanh": compute,
	"lop3": lop3, "shf": shf, "prmt": prmt,
	"setp": setp, "selp": selp, "cvt": cvt,
}

// compute compiles an instruction whose operands are all of one type, except
// for the wide products and the shifts.
func compute(op *operation) func(*warp, uint32) {
	t := op.typ()
	if t.kind == 'p' {
		return logic(op)
	}
	if len(op.args) < 2 || len(op.args) > 4 {
		return nil
	}
	root := op.mods[0]
	from, to := t, t
	switch {
	case op.has("wide"):
		to = typ{t.kind, 2 * t.bits, 1}
	case root == "popc" || root == "clz":
		to = types["u32"]
	}
	d := op.p.dst(op.args[0], to)
	var src []int
	var of []typ // their types
	for i, arg := range op.args[1:] {
		operand := from
		switch {
		case i == 1 && (root == "shl" || root == "shr"), i > 0 && root == "bfe":
			operand = types["u32"]
		case i == 2:
			operand = to // of mad.wide
		}
		src, of = append(src, op.p.src(arg, operand)), append(of, operand)
	}
	if fast := rows[op.name]; fast != nil {
		return fast(d, src)
	}
	f := scalar(op, t)
	if f == nil {
		return nil
	}
	for len(src) < 3 {
		src, of = append(src, op.p.constant(0, from)), append(of, from)
	}
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			w.assign(d, l, to, f(w.value(src[0], l, of[0]), w.value(src[1], l, of[1]), w.value(src[2], l, of[2])))
		})
	}
}

// rows are the instructions that matter for speed, over whole registers.
var rows = map[string]func(d int, s []int) func(*warp, uint32){
	"add.s32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] + b[l]
		}
	}),
	"xor.b32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] ^ b[l]
		}
	}),
	"and.b32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] & b[l]
		}
	}),
	"or.b32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] | b[l]
		}
	}),
	"shl.b32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] << b[l]
		}
	}),
	"shr.u32": two(func(x, a, b *row) {
		for l := range x {
			x[l] = a[l] >> b[l]
		}
	}),
	"add.f32": two(add32), "add.rn.f32": two(add32), "mul.f32": two(mul32), "mul.rn.f32": two(mul32),
	"fma.rn.f32": func(d int, s []int) func(*warp, uint32) {
		return merged(d, func(w *warp, x *row) { fma32(x, &w.r[s[0]], &w.r[s[1]], &w.r[s[2]]) })
	},
	"add.s64": func(d int, s []int) func(*warp, uint32) {
		return merged64(d, func(w *warp, x *row64) {
			a, b := &w.d[s[0]], &w.d[s[1]]
			for l := range x {
				x[l] = a[l] + b[l]
			}
		})
	},
	"shl.b64": func(d int, s []int) func(*warp, uint32) {
		return merged64(d, func(w *warp, x *row64) {
			a, b := &w.d[s[0]], &w.r[s[1]]
			for l := range x {
				x[l] = a[l] << b[l]
			}
		})
	},
	"mul.wide.u32": func(d int, s []int) func(*warp, uint32) {
		return merged64(d, func(w *warp, x *row64) {
			a, b := &w.r[s[0]], &w.r[s[1]]
			for l := range x {
				x[l] = uint64(a[l]) * uint64(b[l])
			}
		})
	},
}

func add32(x, a, b *row) {
	for l := range x {
		x[l] = math.Float32bits(math.Float32frombits(a[l]) + math.Float32frombits(b[l]))
	}
}

func mul32(x, a, b *row) {
	for l := range x {
		x[l] = math.Float32bits(math.Float32frombits(a[l]) * math.Float32frombits(b[l]))
	}
}

func two(f func(x, a, b *row)) func(d int, s []int) func(*warp, uint32) {
	return func(d int, s []int) func(*warp, uint32) {
		if len(s) != 2 {
			return nil
		}
		return merged(d, func(w *warp, x *row) { f(x, &w.r[s[0]], &w.r[s[1]]) })
	}
}

// merged writes a register with what f computes for every lane, in the active
// ones.
func merged(d int, f func(w *warp, x *row)) func(*warp, uint32) {
	return func(w *warp, active uint32) {
		if active == all {
			f(w, &w.r[d])
			return
		}
		var x row
		f(w, &x)
		lanes(active, func(l int) { w.r[d][l] = x[l] })
	}
}

// merged64 is [merged] of a register of 64 bits.
func merged64(d int, f func(w *warp, x *row64)) func(*warp, uint32) {
	return func(w *warp, active uint32) {
		if active == all {
			f(w, &w.d[d])
			return
		}
		var x row64
		f(w, &x)
		lanes(active, func(l int) { w.d[d][l] = x[l] })
	}
}

// scalar returns the function of one lane, on bits; nil if there is none.
func scalar(op *operation, t typ) func(a, b, c uint64) uint64 {
	switch t.kind {
	case 'f', 'h':
		if t.lanes == 2 {
			half := t
			half.lanes = 1
			if f := float(op, half); f != nil {
				return func(a, b, c uint64) uint64 {
					return f(a&0xffff, b&0xffff, c&0xffff)&0xffff | f(a>>16, b>>16, c>>16)<<16
				}
			}
			return nil
		}
		return float(op, t)
	case 'u', 's', 'b':
		return integer(op, t)
	}
	return nil
}

// integer returns an operation on integers of t.bits.
func integer(op *operation, t typ) func(a, b, c uint64) uint64 {
	n := uint64(t.bits)
	mask := uint64(math.MaxUint64) >> (64 - n)
	signed := t.kind == 's'
	ext := func(v uint64) int64 { return int64(v<<(64-n)) >> (64 - n) }
	value := func(v uint64) uint64 { return v & mask }
	if signed {
		value = func(v uint64) uint64 { return uint64(ext(v)) }
	}
	product := func(a, b uint64) (high, low uint64) { // of n bits each
		if n < 64 {
			p := value(a) * value(b)
			return p >> n & mask, p
		}
		if high, low = bits.Mul64(a, b); signed {
			high -= uint64(int64(a)>>63)&b + uint64(int64(b)>>63)&a
		}
		return high, low
	}
	switch op.mods[0] {
	case "add":
		return func(a, b, _ uint64) uint64 { return a + b }
	case "sub":
		return func(a, b, _ uint64) uint64 { return a - b }
	case "mul", "mad":
		switch {
		case op.has("lo"):
			return func(a, b, c uint64) uint64 { return a*b + c }
		case op.has("hi"):
			return func(a, b, c uint64) uint64 { h, _ := product(a, b); return h + c }
		case op.has("wide") && n < 64:
			return func(a, b, c uint64) uint64 { return value(a)*value(b) + c }
		}
	case "div", "rem":
		return func(a, b, _ uint64) uint64 {
			switch {
			case value(b) == 0:
				return mask // unspecified; what GPUs return for a division
			case signed && op.mods[0] == "div":
				return uint64(ext(a) / ext(b))
			case signed:
				return uint64(ext(a) % ext(b))
			case op.mods[0] == "div":
				return value(a) / value(b)
			}
			return value(a) % value(b)
		}
	case "min", "max":
		less := op.mods[0] == "min"
		return func(a, b, _ uint64) uint64 {
			smaller := value(a) < value(b)
			if signed {
				smaller = ext(a) < ext(b)
			}
			if smaller == less {
				return a
			}
			return b
		}
	case "neg":
		return func(a, _, _ uint64) uint64 { return -a }
	case "abs":
		return func(a, _, _ uint64) uint64 { return uint64(max(ext(a), -ext(a))) }
	case "and":
		return func(a, b, _ uint64) uint64 { return a & b }
	case "or":
		return func(a, b, _ uint64) uint64 { return a | b }
	case "xor":
		return func(a, b, _ uint64) uint64 { return a ^ b }
	case "not":
		return func(a, _, _ uint64) uint64 { return ^a & mask }
	case "shl":
		return func(a, b, _ uint64) uint64 { return a << min(b, n) & mask }
	case "shr":
		return func(a, b, _ uint64) uint64 {
			if signed {
				return uint64(ext(a)>>min(b, n)) & mask
			}
			return value(a) >> min(b, n)
		}
	case "popc":
		return func(a, _, _ uint64) uint64 { return uint64(bits.OnesCount64(a & mask)) }
	case "clz":
		return func(a, _, _ uint64) uint64 { return uint64(bits.LeadingZeros64(a&mask)) - (64 - n) }
	case "brev":
		return func(a, _, _ uint64) uint64 { return bits.Reverse64(a) >> (64 - n) }
	case "bfe":
		if signed {
			return nil
		}
		return func(a, pos, count uint64) uint64 { return a & mask >> min(pos&0xff, 63) & (1<<min(count&0xff, 63) - 1) }
	}
	return nil
}

// decode and encode are the numbers of a floating-point type. Encoding rounds
// to nearest, ties to even.
func decode(v uint64, t typ) float64 {
	switch {
	case t.bits == 64:
		return math.Float64frombits(v)
	case t.bits == 32:
		return float64(math.Float32frombits(uint32(v)))
	case t.kind == 'h':
		return float64(math.Float32frombits(uint32(v) << 16))
	}
	return float64(half(uint16(v)))
}

func encode(x float64, t typ) uint64 {
	switch {
	case t.bits == 64:
		return math.Float64bits(x)
	case t.kind == 't':
		return uint64(narrow(x, 10, math.RoundToEven))
	case t.bits == 32:
		return uint64(math.Float32bits(float32(x)))
	case t.kind == 'h':
		return uint64(narrow(x, 7, math.RoundToEven) >> 16)
	}
	return uint64(toHalf(x))
}

// narrow rounds to the exponents of float32 and keep bits of fraction, in the
// bits of a float32.
func narrow(x float64, keep int, round func(float64) float64) uint32 {
	if x == 0 || x != x || math.IsInf(x, 0) {
		return math.Float32bits(float32(x))
	}
	_, exp := math.Frexp(x) // of a fraction in [0.5, 1)
	unit := max(exp-1, -126) - keep
	return math.Float32bits(float32(math.Ldexp(round(math.Ldexp(x, -unit)), unit)))
}

// half is the value of a binary16, toHalf the nearest one.
func half(v uint16) float32 {
	sign, exp, frac := float64(1), int(v>>10&31), float64(v&1023)
	if v>>15 != 0 {
		sign = -1
	}
	switch exp {
	case 0:
		return float32(sign * math.Ldexp(frac, -24))
	case 31:
		if frac != 0 {
			return float32(math.NaN())
		}
		return float32(math.Inf(int(sign)))
	}
	return float32(sign * math.Ldexp(1024+frac, exp-25))
}

func toHalf(x float64) uint16 {
	sign := uint16(0)
	if math.Signbit(x) {
		sign = 1 << 15
	}
	a := math.Abs(x)
	switch {
	case x != x:
		return 0x7fff
	case a >= 65520:
		return sign | 31<<10
	case a < 1.0/(1<<14):
		return sign | uint16(math.RoundToEven(math.Ldexp(a, 24)))
	}
	_, exp := math.Frexp(a)
	n := uint16(math.RoundToEven(math.Ldexp(a, 11-exp))) // 1024 to 2048
	return sign | (uint16(exp+14)<<10 + n - 1024)
}

// float returns an operation on numbers of a floating-point type. Approximations
// are computed exactly and rounded; a GPU's differ by some units in the last
// place, so what uses them is compared with a tolerance.
func float(op *operation, t typ) func(a, b, c uint64) uint64 {
	ftz := func(v uint64) uint64 { return v }
	if op.has("ftz") && t.bits == 32 {
		ftz = func(v uint64) uint64 {
			if v&0x7f800000 == 0 {
				return v & 0x80000000
			}
			return v
		}
	}
	wrap := func(f func(a, b, c float64) float64) func(a, b, c uint64) uint64 {
		return func(a, b, c uint64) uint64 {
			return ftz(encode(f(decode(ftz(a), t), decode(ftz(b), t), decode(ftz(c), t)), t))
		}
	}
	sign := uint64(1) << (t.bits - 1)
	switch op.mods[0] {
	case "add":
		return wrap(func(a, b, _ float64) float64 { return a + b })
	case "sub":
		return wrap(func(a, b, _ float64) float64 { return a - b })
	case "mul":
		return wrap(func(a, b, _ float64) float64 { return a * b })
	case "fma", "mad":
		if t.bits == 64 {
			return wrap(math.FMA)
		}
		return wrap(func(a, b, c float64) float64 { return odd(a*b, c) }) // the product is exact
	case "div":
		return wrap(func(a, b, _ float64) float64 { return a / b })
	case "rcp":
		return wrap(func(a, _, _ float64) float64 { return 1 / a })
	case "sqrt":
		return wrap(func(a, _, _ float64) float64 { return math.Sqrt(a) })
	case "rsqrt":
		return wrap(func(a, _, _ float64) float64 { return 1 / math.Sqrt(a) })
	case "ex2":
		return wrap(func(a, _, _ float64) float64 { return math.Exp2(a) })
	case "lg2":
		return wrap(func(a, _, _ float64) float64 { return math.Log2(a) })
	case "tanh":
		return wrap(func(a, _, _ float64) float64 { return math.Tanh(a) })
	case "min", "max":
		least := op.mods[0] == "min"
		return wrap(func(a, b, _ float64) float64 {
			switch {
			case a != a: // the other one, if that is a number
				return b
			case b != b:
				return a
			case least:
				return min(a, b)
			}
			return max(a, b)
		})
	case "neg":
		return func(a, _, _ uint64) uint64 { return a ^ sign }
	case "abs":
		return func(a, _, _ uint64) uint64 { return a &^ sign }
	}
	return nil
}

// logic compiles an operation on predicates.
func logic(op *operation) func(*warp, uint32) {
	if len(op.args) < 2 {
		return nil
	}
	d, _ := op.p.pred(op.args[0])
	a, notA := op.p.pred(op.args[1])
	b, notB := a, false
	if len(op.args) > 2 {
		b, notB = op.p.pred(op.args[2])
	}
	f := map[string]func(a, b uint32) uint32{
		"and": func(a, b uint32) uint32 { return a & b }, "or": func(a, b uint32) uint32 { return a | b },
		"xor": func(a, b uint32) uint32 { return a ^ b }, "not": func(a, _ uint32) uint32 { return ^a },
	}[op.mods[0]]
	if f == nil {
		return nil
	}
	return func(w *warp, active uint32) { w.set(d, active, f(w.test(a, notA), w.test(b, notB))) }
}

// test is a predicate by lane, set writes it in the active lanes.
func (w *warp) test(at int, not bool) uint32 {
	if not {
		return ^w.p[at]
	}
	return w.p[at]
}

func (w *warp) set(at int, active, v uint32) { w.p[at] = w.p[at]&^active | v&active }

func lop3(op *operation) func(*warp, uint32) {
	if !op.want(5) {
		return nil
	}
	t := op.typ()
	d, a, b, c := op.p.dst(op.args[0], t), op.p.src(op.args[1], t), op.p.src(op.args[2], t), op.p.src(op.args[3], t)
	table := uint32(op.p.fixed(op.args[4]))
	return merged(d, func(w *warp, x *row) {
		for l := range x {
			v := uint32(0)
			for i := range uint32(8) {
				if table>>i&1 != 0 {
					v |= (w.r[a][l] ^ (i>>2&1 - 1)) & (w.r[b][l] ^ (i>>1&1 - 1)) & (w.r[c][l] ^ (i&1 - 1))
				}
			}
			x[l] = v
		}
	})
}

// shf shifts the 64 bits b:a.
func shf(op *operation) func(*warp, uint32) {
	if !op.want(4) || len(op.mods) != 4 {
		return nil
	}
	t := op.typ()
	d, a, b, n := op.p.dst(op.args[0], t), op.p.src(op.args[1], t), op.p.src(op.args[2], t), op.p.src(op.args[3], t)
	left, wrap := op.mods[1] == "l", op.mods[2] == "wrap"
	if left && wrap && a == b {
		return two(func(x, a, n *row) {
			for l := range x {
				x[l] = bits.RotateLeft32(a[l], int(n[l]&31))
			}
		})(d, []int{a, n})
	}
	return merged(d, func(w *warp, x *row) {
		for l := range x {
			v, by := uint64(w.r[b][l])<<32|uint64(w.r[a][l]), w.r[n][l]
			if by = min(by, 32); wrap {
				by = w.r[n][l] & 31
			}
			if left {
				x[l] = uint32(v << by >> 32)
			} else {
				x[l] = uint32(v >> by)
			}
		}
	})
}

// prmt picks four of eight bytes.
func prmt(op *operation) func(*warp, uint32) {
	if !op.want(4) || len(op.mods) != 2 {
		return nil
	}
	t := op.typ()
	d, a, b, c := op.p.dst(op.args[0], t), op.p.src(op.args[1], t), op.p.src(op.args[2], t), op.p.src(op.args[3], t)
	return merged(d, func(w *warp, x *row) {
		for l := range x {
			v, pick, r := uint64(w.r[b][l])<<32|uint64(w.r[a][l]), w.r[c][l], uint32(0)
			for i := range 4 {
				n := uint32(v >> (8 * (pick >> (4 * i) & 7)) & 0xff)
				if pick>>(4*i)&8 != 0 { // its sign, in each bit
					n = -(n >> 7) & 0xff
				}
				r |= n << (8 * i)
			}
			x[l] = r
		}
	})
}

// setp compares, and combines with another predicate.
func setp(op *operation) func(*warp, uint32) {
	if len(op.args) != 3 && len(op.args) != 4 || len(op.mods) < 3 {
		return nil
	}
	t := op.typ()
	d, _ := op.p.pred(op.args[0])
	a, b := op.p.src(op.args[1], t), op.p.src(op.args[2], t)
	test := comparison(op.mods[1], t)
	if test == nil {
		return nil
	}
	join := func(v, _ uint32) uint32 { return v }
	q, not := 0, false
	if len(op.args) == 4 {
		q, not = op.p.pred(op.args[3])
		switch op.mods[2] {
		case "and":
			join = func(v, with uint32) uint32 { return v & with }
		case "or":
			join = func(v, with uint32) uint32 { return v | with }
		case "xor":
			join = func(v, with uint32) uint32 { return v ^ with }
		default:
			return nil
		}
	}
	return func(w *warp, active uint32) {
		v := uint32(0)
		lanes(active, func(l int) {
			if test(w.value(a, l, t), w.value(b, l, t)) {
				v |= 1 << l
			}
		})
		if len(w.p) > q {
			v = join(v, w.test(q, not))
		}
		w.set(d, active, v)
	}
}

// comparison returns a test on bits.
func comparison(name string, t typ) func(a, b uint64) bool {
	if t.kind == 'f' || t.kind == 'h' {
		ordered := map[string]bool{"eq": true, "ne": true, "lt": true, "le": true, "gt": true, "ge": true}[name]
		unordered := map[string]string{"equ": "eq", "neu": "ne", "ltu": "lt", "leu": "le", "gtu": "gt", "geu": "ge"}[name]
		switch {
		case name == "num":
			return func(a, b uint64) bool { x, y := decode(a, t), decode(b, t); return x == x && y == y }
		case name == "nan":
			return func(a, b uint64) bool { x, y := decode(a, t), decode(b, t); return x != x || y != y }
		case ordered:
			unordered = name
		case unordered == "":
			return nil
		}
		return func(a, b uint64) bool {
			x, y := decode(a, t), decode(b, t)
			if x != x || y != y {
				return !ordered
			}
			return holds(unordered, cmp.Compare(x, y))
		}
	}
	signed := map[string]string{"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
	if unsigned, ok := signed[name]; ok {
		name, t.kind = unsigned, 'u'
	}
	if !holds(name, -1) && !holds(name, 0) && !holds(name, 1) {
		return nil
	}
	shift := 64 - t.bits
	if t.kind == 's' {
		return func(a, b uint64) bool { return holds(name, cmp.Compare(int64(a<<shift), int64(b<<shift))) }
	}
	return func(a, b uint64) bool { return holds(name, cmp.Compare(a<<shift, b<<shift)) }
}

// holds reports whether a relation is true of numbers that compare as c.
func holds(name string, c int) bool {
	switch name {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	case "lt":
		return c < 0
	case "le":
		return c <= 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	}
	return false
}

func selp(op *operation) func(*warp, uint32) {
	if !op.want(4) {
		return nil
	}
	t := op.typ()
	d, a, b := op.p.dst(op.args[0], t), op.p.src(op.args[1], t), op.p.src(op.args[2], t)
	q, not := op.p.pred(op.args[3])
	return func(w *warp, active uint32) {
		first := w.test(q, not)
		copyRegister(w, d, a, t, active&first)
		copyRegister(w, d, b, t, active&^first)
	}
}

func copyRegister(w *warp, d, s int, t typ, active uint32) {
	switch {
	case active == all && t.wide():
		w.d[d] = w.d[s]
		return
	case active == all:
		w.r[d] = w.r[s]
		return
	}
	lanes(active, func(l int) { w.assign(d, l, t, w.value(s, l, t)) })
}

// cvt converts between types: cvt.rn.f32.u32, cvt.rn.bf16x2.f32.
func cvt(op *operation) func(*warp, uint32) {
	if len(op.types) != 2 {
		return nil
	}
	to, from := op.types[0], op.types[1]
	if to.lanes == 2 { // the first operand is the upper half
		if !op.want(3) || from.bits != 32 {
			return nil
		}
		d, high, low := op.p.dst(op.args[0], to), op.p.src(op.args[1], from), op.p.src(op.args[2], from)
		to.lanes = 1
		return merged(d, func(w *warp, x *row) {
			for l := range x {
				x[l] = uint32(encode(decode(uint64(w.r[high][l]), from), to)<<16 | encode(decode(uint64(w.r[low][l]), from), to))
			}
		})
	}
	if !op.want(2) || from.lanes != 1 {
		return nil
	}
	d, s := op.p.dst(op.args[0], to), op.p.src(op.args[1], from)
	f := conversion(op, to, from)
	if f == nil {
		return nil
	}
	return func(w *warp, active uint32) {
		lanes(active, func(l int) { w.assign(d, l, to, f(w.value(s, l, from))) })
	}
}

func conversion(op *operation, to, from typ) func(uint64) uint64 {
	isFloat := func(t typ) bool { return t.kind == 'f' || t.kind == 'h' || t.kind == 't' }
	shift := 64 - from.bits
	mask := uint64(math.MaxUint64) >> (64 - to.bits)
	switch {
	case to.kind == 't' && op.has("rna"): // ties away from zero
		return func(v uint64) uint64 { return uint64(narrow(decode(v, from), 10, math.Round)) }
	case isFloat(to) && isFloat(from):
		if !op.has("rn") && to.bits < from.bits {
			return nil
		}
		return func(v uint64) uint64 { return encode(decode(v, from), to) }
	case isFloat(to) && from.kind == 's':
		return func(v uint64) uint64 { return encode(float64(int64(v<<shift)>>shift), to) } // one rounding for up to 53 bits
	case isFloat(to):
		return func(v uint64) uint64 { return encode(float64(v<<shift>>shift), to) }
	case isFloat(from):
		round := map[string]func(float64) float64{"rzi": math.Trunc, "rni": math.RoundToEven, "rmi": math.Floor, "rpi": math.Ceil}[op.mods[1]]
		if round == nil {
			return nil
		}
		low, high := 0.0, math.Ldexp(1, to.bits)
		if to.kind == 's' {
			low, high = -math.Ldexp(1, to.bits-1), math.Ldexp(1, to.bits-1)
		}
		return func(v uint64) uint64 { // saturates
			x := round(decode(v, from))
			switch {
			case x != x:
				return 0
			case x < low && to.kind == 's':
				return 1 << (to.bits - 1)
			case x < low:
				return 0
			case x >= high && to.kind == 's':
				return mask >> 1
			case x >= high:
				return mask
			case to.kind == 's':
				return uint64(int64(x)) & mask
			}
			return uint64(x)
		}
	case op.has("sat"):
		return nil
	case from.kind == 's':
		return func(v uint64) uint64 { return uint64(int64(v<<shift)>>shift) & mask }
	}
	return func(v uint64) uint64 { return v << shift >> shift & mask }
}
