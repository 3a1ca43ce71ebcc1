package ptx

import (
	"math/bits"
	"slices"
	"strings"
)

// movement has the instructions that move values between registers and memory.
var movement = map[string]func(*operation) func(*warp, uint32){
	"mov": mov, "cvta": cvta, "ld": ld, "st": st, "atom": atom, "red": atom,
}

// special are the registers that say which thread this is, by what they read.
var special = map[string]func(w *warp, lane int) uint32{
	"%tid.x": func(w *warp, l int) uint32 { return w.tid[0][l] }, "%tid.y": func(w *warp, l int) uint32 { return w.tid[1][l] }, "%tid.z": func(w *warp, l int) uint32 { return w.tid[2][l] },
	"%ntid.x": func(w *warp, _ int) uint32 { return w.cta.size[0] }, "%ntid.y": func(w *warp, _ int) uint32 { return w.cta.size[1] }, "%ntid.z": func(w *warp, _ int) uint32 { return w.cta.size[2] },
	"%ctaid.x": func(w *warp, _ int) uint32 { return w.cta.id[0] }, "%ctaid.y": func(w *warp, _ int) uint32 { return w.cta.id[1] }, "%ctaid.z": func(w *warp, _ int) uint32 { return w.cta.id[2] },
	"%nctaid.x": func(w *warp, _ int) uint32 { return w.cta.n[0] }, "%nctaid.y": func(w *warp, _ int) uint32 { return w.cta.n[1] }, "%nctaid.z": func(w *warp, _ int) uint32 { return w.cta.n[2] },
	"%laneid": func(_ *warp, l int) uint32 { return uint32(l) },
}

func mov(op *operation) func(*warp, uint32) {
	if !op.want(2) {
		return nil
	}
	t := op.typ()
	to, from := op.args[0], op.args[1]
	if read := special[from]; read != nil {
		d := op.p.dst(to, t)
		return func(w *warp, active uint32) { lanes(active, func(l int) { w.r[d][l] = read(w, l) }) }
	}
	switch {
	case t.kind == 'p':
		d, _ := op.p.pred(to)
		s, not := op.p.pred(from)
		return func(w *warp, active uint32) { w.set(d, active, w.test(s, not)) }
	case to[0] == '{' || from[0] == '{':
		return pack(op, t, to, from)
	}
	d, s := op.p.dst(to, t), op.p.src(from, t)
	return func(w *warp, active uint32) { copyRegister(w, d, s, t, active) }
}

// value is what a lane has in a register of type t, assign sets it.
func (w *warp) value(at, lane int, t typ) uint64 {
	if t.wide() {
		return w.d[at][lane]
	}
	return uint64(w.r[at][lane])
}

func (w *warp) assign(at, lane int, t typ, v uint64) {
	if t.wide() {
		w.d[at][lane] = v
	} else {
		w.r[at][lane] = uint32(v)
	}
}

// pack splits a register into the halves {low, high}, or joins them.
func pack(op *operation, t typ, to, from string) func(*warp, uint32) {
	half := types[map[int]string{32: "b16", 64: "b32"}[t.bits]]
	split := to[0] == '{'
	whole, parts := from, vector(to)
	if !split {
		whole, parts = to, vector(from)
	}
	if half.bits == 0 || len(parts) != 2 {
		return nil
	}
	n := half.bits
	mask := uint64(1)<<n - 1
	if split {
		s, low, high := op.p.src(whole, t), op.p.dst(parts[0], half), op.p.dst(parts[1], half)
		return func(w *warp, active uint32) {
			lanes(active, func(l int) {
				v := w.value(s, l, t)
				w.r[low][l], w.r[high][l] = uint32(v&mask), uint32(v>>n&mask)
			})
		}
	}
	d, low, high := op.p.dst(whole, t), op.p.src(parts[0], half), op.p.src(parts[1], half)
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			w.assign(d, l, t, uint64(w.r[low][l])&mask|uint64(w.r[high][l])<<n)
		})
	}
}

// cvta converts between generic addresses and those of a state space.
func cvta(op *operation) func(*warp, uint32) {
	if !op.want(2) {
		return nil
	}
	t := op.typ()
	d, s := op.p.dst(op.args[0], t), op.p.src(op.args[1], t)
	to := op.has("to")
	inShared, inParam := op.has("shared"), op.has("param")
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			v := w.d[s][l]
			switch {
			case inShared && to:
				v -= window
			case inShared:
				v += window
			case inParam && to:
				v -= paramWindow
			case inParam:
				v += paramWindow
			}
			w.d[d][l] = v
		})
	}
}

// address is [base+offset].
type address struct {
	at     int // register; wide says of which size
	wide   bool
	offset uint64
}

func (p *parser) address(text string) (a address) {
	inner, ok := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !ok || !closed {
		p.fail("not an address: %s", text)
		return a
	}
	base, offset, sum := strings.Cut(inner, "+")
	base = strings.TrimSpace(base)
	if sum {
		a.offset = p.number(strings.TrimSpace(offset), types["b64"])
	}
	if r, ok := p.regs[base]; ok {
		a.at, a.wide = r.at, r.typ.wide()
		if r.typ.bits < 32 {
			p.fail("an address of %d bits", r.typ.bits)
		}
		return a
	}
	a.at, a.wide = p.constant(p.number(base, types["b64"]), types["b64"]), true
	return a
}

func (a address) of(w *warp, lane int) uint64 {
	if a.wide {
		return w.d[a.at][lane] + a.offset
	}
	return uint64(w.r[a.at][lane]) + a.offset
}

// space is the state space of a memory instruction.
func (op *operation) space() space {
	switch {
	case op.has("global"):
		return global
	case op.has("shared") || op.has("shared::cta"):
		return shared
	}
	return generic
}

// count is how many elements a memory instruction moves.
func (op *operation) count() int {
	switch {
	case op.has("v2"):
		return 2
	case op.has("v4"):
		return 4
	}
	return 1
}

func ld(op *operation) func(*warp, uint32) {
	if !op.want(2) {
		return nil
	}
	t, n := op.typ(), op.count()
	d := op.p.dsts(op.args[0], t)
	if len(d) != n || t.kind == 'p' {
		return nil
	}
	if op.has("param") {
		return op.parameter(d, t)
	}
	if op.has("const") || op.has("local") {
		return nil
	}
	from, at := op.space(), op.p.address(op.args[1])
	size, word := t.size(), types["b32"]
	if t.size() == 4 {
		t = word
	}
	part := from == shared && t == word && n == 4 // of 16 bytes
	return func(w *warp, active uint32) {
		c := w.cta
		// Lanes that read one address after another share what the first of them found.
		last, shares, lane := uint64(0), false, 0
		for ; active != 0; active &= active - 1 {
			l := bits.TrailingZeros32(active)
			address := at.of(w, l)
			if shares && address == last {
				for _, d := range d {
					w.assign(d, l, t, w.value(d, lane, t))
				}
				continue
			}
			if part && address%16 == 0 && address/16 < uint64(len(c.shared)/16) && c.unmarked(address) {
				b := c.shared[address:][:16]
				w.r[d[0]][l], w.r[d[1]][l], w.r[d[2]][l], w.r[d[3]][l] = le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:])
				continue
			}
			p := w.reach(from, address, n*size, l)
			w.access(p, l, false)
			for i, d := range d {
				if t == word {
					w.r[d][l] = le.Uint32(p.data[4*i:])
					continue
				}
				w.load(d, l, p.data[i*size:], t)
			}
			shares = address == last && w.shares(p)
			last, lane = address, l
		}
	}
}

// parameter loads from the parameters of the launch.
func (op *operation) parameter(d []int, t typ) func(*warp, uint32) {
	name, offset, _ := strings.Cut(strings.Trim(op.args[1], "[]"), "+")
	param, known := op.p.params[strings.TrimSpace(name)]
	if !known {
		op.p.fail("no parameter %s", name)
		return nil
	}
	from := 0
	if offset != "" {
		from = op.p.fixed(strings.TrimSpace(offset))
	}
	if from < 0 || from+len(d)*t.size() > param.Size {
		op.p.fail("parameter %s has %d bytes", name, param.Size)
		return nil
	}
	from += param.Offset
	return func(w *warp, active uint32) {
		for i, d := range d {
			first := bits.TrailingZeros32(active)
			w.load(d, first, w.cta.params[from+i*t.size():], t)
			v := w.value(d, first, t)
			lanes(active, func(l int) { w.assign(d, l, t, v) })
		}
	}
}

// load sets a register from memory: s8 and s16 extend their sign.
func (w *warp) load(d, lane int, b []byte, t typ) {
	switch {
	case t.wide():
		w.d[d][lane] = le.Uint64(b)
	case t.size() == 4:
		w.r[d][lane] = le.Uint32(b)
	case t.size() == 2 && t.kind == 's':
		w.r[d][lane] = uint32(int16(le.Uint16(b)))
	case t.size() == 2:
		w.r[d][lane] = uint32(le.Uint16(b))
	case t.kind == 's':
		w.r[d][lane] = uint32(int8(b[0]))
	default:
		w.r[d][lane] = uint32(b[0])
	}
}

func (w *warp) store(b []byte, s, lane int, t typ) {
	switch {
	case t.wide():
		le.PutUint64(b, w.d[s][lane])
	case t.size() == 4:
		le.PutUint32(b, w.r[s][lane])
	case t.size() == 2:
		le.PutUint16(b, uint16(w.r[s][lane]))
	default:
		b[0] = byte(w.r[s][lane])
	}
}

func st(op *operation) func(*warp, uint32) {
	if !op.want(2) || op.has("param") || op.has("local") {
		return nil
	}
	t, n := op.typ(), op.count()
	to, at := op.space(), op.p.address(op.args[0])
	s := op.p.srcs(op.args[1], t)
	if len(s) != n || t.kind == 'p' {
		return nil
	}
	size := t.size()
	return func(w *warp, active uint32) {
		for ; active != 0; active &= active - 1 {
			l := bits.TrailingZeros32(active)
			p := w.reach(to, at.of(w, l), n*size, l)
			w.access(p, l, true)
			w.written(p, l)
			for i, s := range s {
				if size == 4 {
					le.PutUint32(p.data[4*i:], w.r[s][l])
					continue
				}
				w.store(p.data[i*size:], s, l, t)
			}
		}
	}
}

// atom is a read, a computation and a write that nothing comes between; red has
// no result.
func atom(op *operation) func(*warp, uint32) {
	t := op.typ()
	args := op.args
	d := -1
	if op.mods[0] == "atom" {
		if len(args) < 3 {
			return nil
		}
		d, args = op.p.dst(args[0], t), args[1:]
	}
	i := slices.IndexFunc(op.mods, func(mod string) bool { return atoms[mod] != nil })
	swap := op.has("cas")
	if i < 0 && !swap || len(args) != 2 && !(swap && len(args) == 3) || t.size() < 4 || t.lanes != 1 {
		return nil
	}
	at, b := op.p.address(args[0]), op.p.src(args[1], t)
	in := op.space()
	c := b
	f := func(old, compare, v uint64) uint64 {
		if old == compare {
			return v
		}
		return old
	}
	if swap {
		c = op.p.src(args[2], t)
	} else {
		name := op.mods[i]
		f = func(old, v, _ uint64) uint64 { return atoms[name](old, v, t) }
	}
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			p := w.reach(in, at.of(w, l), t.size(), l)
			if p.cells[0].wrote == 0 && !p.known() {
				fault(Uninitialised, l, "nothing has written these bytes")
			}
			w.touch(p, atomical, l, true)
			var old uint64
			if t.wide() {
				old = le.Uint64(p.data)
				le.PutUint64(p.data, f(old, w.value(b, l, t), w.value(c, l, t)))
			} else {
				old = uint64(le.Uint32(p.data))
				le.PutUint32(p.data, uint32(f(old, w.value(b, l, t), w.value(c, l, t))))
			}
			if d >= 0 {
				w.assign(d, l, t, old)
			}
		})
	}
}

// atoms are the operations of atom and red.
var atoms = map[string]func(old, v uint64, t typ) uint64{
	"add": func(old, v uint64, t typ) uint64 {
		if t.kind == 'f' {
			return encode(decode(old, t)+decode(v, t), t)
		}
		return old + v
	},
	"min":  func(old, v uint64, t typ) uint64 { return extreme(old, v, t, true) },
	"max":  func(old, v uint64, t typ) uint64 { return extreme(old, v, t, false) },
	"and":  func(old, v uint64, _ typ) uint64 { return old & v },
	"or":   func(old, v uint64, _ typ) uint64 { return old | v },
	"xor":  func(old, v uint64, _ typ) uint64 { return old ^ v },
	"exch": func(_, v uint64, _ typ) uint64 { return v },
	"inc": func(old, v uint64, _ typ) uint64 {
		if old >= v {
			return 0
		}
		return old + 1
	},
}

func extreme(a, b uint64, t typ, least bool) uint64 {
	less := a < b
	if t.kind == 's' {
		shift := 64 - t.bits
		less = int64(a<<shift) < int64(b<<shift)
	}
	if less == least {
		return a
	}
	return b
}
