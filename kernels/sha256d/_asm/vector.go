package main

import (
	"log"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector writes the rows that compute one nonce a lane, of one or two vectors. Rounds and words are
// numbered as in FIPS 180-4.
//
// The first hash needs rounds 4 to 63 and the second rounds 1 to 60: the word
// that is added in round 3 or in round 0 only changes a and e of a known state,
// and round 60 yields the last word of the digest. Constants are in the file or,
// if they depend on the header, written to the frame first.
//
// The rounds from 32 on are a loop of 8 or 16, which the first hash runs to its
// end and the second as often as it fits. The loop keeps the code short: with
// AVX2 it would otherwise exceed the cache for decoded instructions. For the same
// reason, values are operands in memory rather than loaded where possible, and
// the two newest words of the schedule stay in registers.
type vector struct {
	name    string
	lanes   int
	streams int // vectors of nonces, whose instructions alternate
	s       int // the stream that instructions are written for
	bytes   int // of a vector
	width   int // bytes of a constant: of one word, broadcast as it is added, or of a vector
	reg     []reg.VecPhysical
	lasting int               // registers from here on are temporary
	free    []reg.VecPhysical // temporary registers that are not in use
	block   int               // rounds of the copy that is run again and again
	ahead   int               // a word is computed before the round that comes so many rounds earlier

	consts *table
	known  map[uint32]operand.Mem
	rounds operand.Mem     // constants of rounds 16 to 63
	frame  operand.Mem     // the schedule or, if that is in registers, copies; then constants of the header
	used   int             // bytes of the frame
	limit  int             // its size
	half   [2]reg.Register // where the halves of the schedule are in memory
}

// slots is how many constants of the header the frame takes.
const slots = 26

func avx2() {
	v := &vector{name: "AVX2", lanes: 8, streams: 1, bytes: 32, width: 32, half: halves, reg: []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}}
	v.lasting, v.block, v.ahead = 12, 8, 1
	v.scan()
}

// zmm are the registers of AVX-512.
var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

func avx512() {
	v := &vector{name: "AVX512", lanes: 16, streams: 1, bytes: 64, width: 4, reg: zmm}
	v.lasting, v.block = 24, 16
	v.scan()
}

// avx512x2 takes two vectors of nonces through the same rounds. Zen 5 starts four
// vector instructions a cycle and each result takes two cycles: one vector alone
// leaves it waiting. There are registers for both states and their newest words; the
// rest of the schedules is in memory.
func avx512x2() {
	v := &vector{name: "AVX512X2", lanes: 16, streams: 2, bytes: 64, width: 4, half: halves, reg: zmm}
	v.lasting, v.block, v.ahead = 20, 8, 1
	v.scan()
}

// wide reports whether there is AVX-512: rotates, logic of three operands, and
// 32 registers.
func (v *vector) wide() bool { return v.lanes == 16 }

// resident reports whether the schedule is in registers.
func (v *vector) resident() bool { return v.half[0] == nil }

// each calls f for one stream after the other.
func (v *vector) each(f func()) {
	for v.s = range v.streams {
		f()
	}
}

func (v *vector) scan() {
	v.free = slices.Clone(v.reg[v.lasting:])

	// Constants of the file.
	v.known = map[uint32]operand.Mem{}
	v.consts = newTable("vector" + v.name)
	v.rounds = v.constant(k[16])
	for _, c := range k[17:] {
		v.constant(c)
	}
	count, reverse := make([]uint32, v.lanes*v.streams), make([]uint32, v.lanes)
	for i := range count {
		count[i] = uint32(i)
	}
	for i := range reverse {
		reverse[i] = [...]uint32{0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f}[i%4]
	}
	counts, swap := v.consts.add(count...), v.consts.add(reverse...)

	TEXT("candidates"+v.name, 0, "func(hits *[32]uint64, f *fixed, first uint32, n int)")
	Pragma("noescape")
	document("candidates"+v.name, v.lanes*v.streams)
	field := fields()
	hits, nonce, n := reg.RDI, reg.ESI, reg.RDX
	Load(Param("hits"), hits)
	Load(Param("first"), nonce)
	Load(Param("n"), n)

	// Constants of the header.
	size := 16 * v.streams * v.bytes
	if v.resident() {
		size = 8 * v.bytes
	}
	v.limit = size + slots*v.width
	v.frame, v.used = frame(v.limit, 64), size
	var mid, start, w [8]operand.Mem
	for i := range mid {
		mid[i] = v.slot(field("mid", i), 0)
	}
	for i := range start[:7] {
		start[i] = v.slot(field("start", i), 0)
	}
	for i := range w[:5] {
		w[i] = v.slot(field("w", i), 0)
	}
	top := v.slot(field("top"), 0)
	kw := map[int]operand.Mem{ // constants of rounds, plus the word
		4:  v.slot(field("start", 7), k[4]+one), // and h
		5:  v.slot(field("start", 6), k[5]),     // and h
		6:  v.slot(field("start", 5), k[6]),     // and h
		15: v.constant(k[15] + length1),
		16: v.slot(field("w", 0), k[16]),
		17: v.slot(field("w", 1), k[17]),
	}
	for t := 7; t < 15; t++ {
		kw[t] = v.constant(k[t])
	}

	rest := 32 + (61-32)/v.block*v.block     // first round of the second hash that has a copy of its own
	at, stop, end := reg.R8, reg.R9, reg.R10 // places in v.rounds
	LEAQ(v.rounds.Offset((64-16)*v.width), end)

	if !v.resident() {
		LEAQ(v.frame.Offset(middle), v.half[0])
		LEAQ(v.frame.Offset(size/2+middle), v.half[1])
	}

	Label("scan" + v.name)
	v.each(func() {
		s := v.state(4)
		x := v.temp()
		if v.wide() {
			VPBROADCASTD(nonce, x)
		} else {
			VMOVD(nonce, x.AsX())
			VPBROADCASTD(x.AsX(), x)
		}
		VPADDD(counts.Offset(v.s*v.bytes), x, x)
		VPSHUFB(swap, x, x)
		v.plus(start[0], x, s[0])
		v.plus(start[4], x, s[4])
		for _, i := range []int{1, 2, 3, 5, 6} {
			v.load(start[i], s[i])
		}
		for i := range 2 {
			v.set(16+i, func(dst reg.VecPhysical) { v.load(w[i], dst) })
		}
		v.set(18, func(dst reg.VecPhysical) {
			v.sigma(dst, x, shift, 7, 18, 3)
			v.plus(w[2], dst, dst)
		})
		v.set(19, func(dst reg.VecPhysical) { v.plus(w[3], x, dst) })
		v.done(x)
		v.begin(4)
	})
	word := func(t int) {
		switch t {
		case 20:
			v.word(t, sum{back2: true, plus: v.constant(one)})
		case 21:
			v.word(t, sum{back2: true})
		case 22:
			v.word(t, sum{back2: true, plus: v.constant(length1)})
		case 30:
			v.word(t, sum{back2: true, back7: true, plus: v.constant(sigma0(length1))})
		case 31:
			v.word(t, sum{back2: true, back7: true, plus: w[4]})
		case 23, 24, 25, 26, 27, 28, 29:
			v.word(t, sum{back2: true, back7: true})
		default:
			if t >= 32 {
				v.word(t, all)
			}
		}
	}
	for t := 4; t < 32; t++ {
		v.each(func() {
			word(t + v.ahead)
			if t < 18 {
				v.round(t, kw[t], options{known: true, h: t < 7})
			} else {
				v.round(t, v.constant(k[t]), options{})
			}
		})
	}
	LEAQ(v.rounds.Offset((32-16)*v.width), at)
	MOVQ(end, stop)

	Label("full" + v.name)
	for i := range v.block {
		v.each(func() {
			v.word(32+v.ahead+i, all)
			v.round(32+i, operand.Mem{Base: at, Disp: i * v.width}, options{})
		})
	}
	v.turn()
	ADDQ(operand.I32(v.block*v.width), at) // #nosec G115 -- a block of rows, 64 bytes at most each
	CMPQ(at, stop)
	JNE(operand.LabelRef("full" + v.name))
	CMPQ(stop, end)
	JNE(operand.LabelRef("last" + v.name))

	// The digest of the header is the second message.
	v.each(func() {
		for i, r := range v.state(64) {
			v.set(i, func(dst reg.VecPhysical) { v.plus(mid[i], r, dst) })
		}
		s := v.state(1)
		x := v.get(0)
		v.plus(v.constant(first[0]), x, s[0])
		v.plus(v.constant(first[4]), x, s[4])
		v.done(x)
		for _, i := range []int{1, 2, 3, 5, 6} {
			v.load(v.constant(first[i]), s[i])
		}
		v.begin(1)
	})
	word = func(t int) {
		switch t {
		case 16:
			v.word(t, sum{back15: true, back16: true})
		case 17:
			v.word(t, sum{back15: true, back16: true, plus: v.constant(sigma1(length2))})
		case 18, 19, 20, 21:
			v.word(t, sum{back2: true, back15: true, back16: true})
		case 22:
			v.word(t, sum{back2: true, back15: true, back16: true, plus: v.constant(length2)})
		case 23:
			v.word(t, sum{back2: true, back7: true, back16: true, plus: v.constant(sigma0(one))})
		case 24:
			v.word(t, sum{back2: true, back7: true, plus: v.constant(one)})
		case 30:
			v.word(t, sum{back2: true, back7: true, plus: v.constant(sigma0(length2))})
		case 31:
			v.word(t, sum{back2: true, back7: true, back15: true, plus: v.constant(length2)})
		case 25, 26, 27, 28, 29:
			v.word(t, sum{back2: true, back7: true})
		default:
			if t >= 32 {
				v.word(t, all)
			}
		}
	}
	for t := 1; t < 32; t++ {
		v.each(func() {
			word(t + v.ahead)
			switch {
			case t < 4:
				v.round(t, v.constant(k[t]+first[8-t]), options{h: true})
			case t < 8:
				v.round(t, v.constant(k[t]), options{})
			case t < 16:
				v.round(t, v.constant(k[t]+map[int]uint32{8: one, 15: length2}[t]), options{known: true})
			default:
				v.round(t, v.constant(k[t]), options{})
			}
		})
	}
	LEAQ(v.rounds.Offset((32-16)*v.width), at)
	LEAQ(v.rounds.Offset((rest-16)*v.width), stop)
	JMP(operand.LabelRef("full" + v.name))

	Label("last" + v.name)
	v.turn() // back: three times eight rounds were run
	for t := rest; t < 61; t++ {
		v.each(func() {
			if t+v.ahead < 61 {
				v.word(t+v.ahead, all)
			}
			v.round(t, v.constant(k[t]), options{half: t > 56})
		})
	}
	v.each(func() {
		x := v.state(61)[4]
		v.plus(v.constant(initial[7]), x, x)
		VPSHUFB(swap, x, x)
		if v.wide() {
			VPCMPUD_BCST(operand.Imm(2), top, x, reg.K1)
			KMOVW(reg.K1, operand.Mem{Base: hits, Disp: 2 * v.s})
		} else {
			y := v.temp()
			VPMINUD(top, x, y)
			VPCMPEQD(x, y, y)
			VMOVMSKPS(y, reg.EAX)
			MOVB(reg.AL, operand.Mem{Base: hits})
			v.done(y)
		}
	})
	nonces := uint64(v.lanes * v.streams) // #nosec G115 -- 8, 16 or 32
	ADDQ(operand.Imm(nonces/8), hits)
	ADDL(operand.Imm(nonces), nonce)
	SUBQ(operand.Imm(nonces), n)
	JNE(operand.LabelRef("scan" + v.name))
	VZEROUPPER()
	RET()
}

// constant returns where a constant of the file is, alike in each lane.
func (v *vector) constant(c uint32) operand.Mem {
	at, ok := v.known[c]
	if !ok {
		words := make([]uint32, v.width/4)
		for i := range words {
			words[i] = c
		}
		at = v.consts.add(words...)
		v.known[c] = at
	}
	return at
}

// slot writes the word at from, plus c, to the frame and returns where it is.
func (v *vector) slot(from operand.Mem, c uint32) operand.Mem {
	at := v.frame.Offset(v.used)
	if v.used += v.width; v.used > v.limit {
		log.Fatal("more constants of the header than slots")
	}
	MOVL(from, reg.EAX)
	if c != 0 {
		ADDL(operand.U32(c), reg.EAX)
	}
	if v.wide() {
		MOVL(reg.EAX, at)
		return at
	}
	VMOVD(reg.EAX, reg.X15)
	VPBROADCASTD(reg.X15, reg.Y15)
	VMOVDQA(reg.Y15, at)
	return at
}

// load sets every lane to a constant.
func (v *vector) load(at operand.Mem, dst reg.VecPhysical) {
	if v.wide() {
		VPBROADCASTD(at, dst)
	} else {
		VMOVDQA(at, dst)
	}
}

// plus adds a constant.
func (v *vector) plus(at operand.Mem, x, dst reg.VecPhysical) {
	if v.wide() {
		VPADDD_BCST(at, x, dst)
	} else {
		VPADDD(at, x, dst)
	}
}

// temp takes a temporary register, which the caller returns with done.
func (v *vector) temp() reg.VecPhysical {
	r := v.free[0]
	v.free = v.free[1:]
	return r
}

// done returns r if it is a temporary register.
func (v *vector) done(r reg.VecPhysical) {
	if slices.Index(v.reg, r) >= v.lasting {
		v.free = append(v.free, r)
	}
}

// state returns the registers of a to h before round t.
func (v *vector) state(t int) (s [8]reg.VecPhysical) {
	for i := range s {
		s[i] = v.reg[8*v.s+(i-t)&7]
	}
	return s
}

// set computes word t of the schedule.
func (v *vector) set(t int, compute func(dst reg.VecPhysical)) {
	dst := v.home(t)
	compute(dst)
	if !v.resident() {
		v.move(dst, v.place(t))
	}
}

// get returns a register with word t, to be returned with done.
func (v *vector) get(t int) reg.VecPhysical {
	if v.resident() {
		return v.home(t)
	}
	r := v.temp()
	v.move(v.place(t), r)
	return r
}

// home is the register of word t, which it shares with the words 16 before and
// after or, if the schedule is in memory, with those 2 before and after.
func (v *vector) home(t int) reg.VecPhysical {
	if v.resident() {
		return v.reg[8+t&15]
	}
	return v.reg[v.lasting-2*v.streams+2*v.s+t&1]
}

// move loads, stores or copies a vector.
func (v *vector) move(from, to operand.Op) {
	if v.wide() {
		VMOVDQA32(from, to)
	} else {
		VMOVDQA(from, to)
	}
}

// middle is where a register points to in 8 words of the schedule: offsets from
// there fit a byte.
const middle = 128

// halves are the registers that point to the halves of the schedule.
var halves = [2]reg.Register{reg.R11, reg.R12}

// place is the memory of word t if the schedule is in memory.
func (v *vector) place(t int) operand.Mem {
	return operand.Mem{Base: v.half[t>>3&1], Disp: (t&7*v.streams+v.s)*v.bytes - middle}
}

// turn makes the code of a word refer to the word 8 after it.
func (v *vector) turn() {
	if !v.resident() {
		XCHGQ(v.half[0], v.half[1])
	}
}

// operand is word t, wherever it is.
func (v *vector) operand(t int) operand.Op {
	if v.resident() {
		return v.home(t)
	}
	return v.place(t)
}

// newest is word t in a round. If the schedule is in memory, registers still hold the
// words that were computed last, but not those of the message.
func (v *vector) newest(t int) operand.Op {
	if t < 16 {
		return v.operand(t)
	}
	return v.home(t)
}

// shift marks the last rotation of sigma as a shift.
const shift = true

// sigma sets dst to the exclusive or of x rotated right by p, q and r.
func (v *vector) sigma(dst, x reg.VecPhysical, shift bool, p, q, r uint64) {
	if v.wide() {
		a, b := v.temp(), v.temp()
		defer v.done(a)
		defer v.done(b)
		VPRORD(operand.Imm(p), x, a)
		VPRORD(operand.Imm(q), x, b)
		if shift {
			VPSRLD(operand.Imm(r), x, dst)
		} else {
			VPRORD(operand.Imm(r), x, dst)
		}
		VPTERNLOGD(operand.Imm(0x96), a, b, dst)
		return
	}
	a, b, c := dst, v.temp(), v.temp()
	defer v.done(b)
	defer v.done(c)
	if dst == x {
		a = v.temp()
		defer v.done(a)
	}
	VPSRLD(operand.Imm(p), x, a)
	VPSLLD(operand.Imm(32-p), x, b)
	VPXOR(a, b, a)
	VPSRLD(operand.Imm(q), x, b)
	VPSLLD(operand.Imm(32-q), x, c)
	VPXOR(b, c, b)
	VPXOR(a, b, a)
	VPSRLD(operand.Imm(r), x, b)
	if !shift {
		VPSLLD(operand.Imm(32-r), x, c)
		VPXOR(b, c, b)
	}
	VPXOR(a, b, dst)
}

// sum is the set of terms of a word of the schedule; the others are zero or part
// of the constant plus.
type sum struct {
	back2, back7, back15, back16 bool
	plus                         operand.Mem
}

// all are the terms in general.
var all = sum{back2: true, back7: true, back15: true, back16: true}

// word computes word t. The newest word goes in last, because the sum waits for
// it, unless to begin with it saves a copy.
func (v *vector) word(t int, s sum) {
	v.set(t, func(dst reg.VecPhysical) {
		begun := s.back16 && v.resident() // word t takes the register of word t-16
		add := func(x operand.Op) { VPADDD(x, dst, dst) }
		sigma := func(x reg.VecPhysical, p, q, r uint64) {
			y := dst
			if begun {
				y = v.temp()
			}
			v.sigma(y, x, shift, p, q, r)
			v.done(x)
			if begun {
				add(y)
				v.done(y)
			}
			begun = true
		}
		if !v.resident() && s.back2 && s.back15 {
			dst = v.temp() // the register of word t is that of word t-2
		}
		if s.back15 {
			sigma(v.get(t-15), 7, 18, 3)
		}
		newest := s.back2
		if newest && !begun {
			sigma(v.home(t-2), 17, 19, 10)
			newest = false
		}
		if s.back16 && !v.resident() {
			add(v.place(t - 16))
		}
		if s.back7 {
			add(v.operand(t - 7))
		}
		if s.plus.Base != nil {
			v.plus(s.plus, dst, dst)
		}
		switch {
		case !newest:
		case v.resident():
			sigma(v.home(t-2), 17, 19, 10)
		default:
			x := v.home(t)
			v.sigma(x, x, shift, 17, 19, 10)
			VPADDD(dst, x, x)
			v.done(dst)
		}
	})
}

// options are special cases of a round.
type options struct {
	known bool // the word is part of the constant
	h     bool // so is h
	half  bool // a is not needed any more
}

// begin prepares what round t takes from the round before.
func (v *vector) begin(t int) {
	v.each(func() {
		s := v.state(t)
		if !v.wide() {
			VPXOR(s[1], s[2], v.reg[8+t&1])
			return
		}
		for _, e := range s[4:7] {
			v.store(e)
		}
	})
}

// round runs round t, with the constant at c.
func (v *vector) round(t int, c operand.Mem, o options) {
	s := v.state(t)
	a, b, cc, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	switch {
	case o.known && o.h:
		v.load(c, h)
	case o.known:
		v.plus(c, h, h)
	case o.h:
		x := v.get(t)
		v.plus(c, x, h)
		v.done(x)
	case v.resident():
		x := v.temp()
		v.plus(c, v.home(t), x)
		VPADDD(x, h, h)
		v.done(x)
	default:
		v.plus(c, h, h)
		VPADDD(v.newest(t), h, h)
	}
	x := v.temp()
	if v.wide() {
		VMOVDQA32(v.copy(g), x)
		VPTERNLOGD(operand.Imm(0xb8), f, e, x) // e selects f, else x
	} else {
		VPXOR(f, g, x)
		VPAND(e, x, x)
		VPXOR(g, x, x)
	}
	VPADDD(x, h, h)
	v.done(x)
	x = v.temp()
	v.sigma(x, e, !shift, 6, 11, 25)
	VPADDD(x, h, h)
	v.done(x)
	VPADDD(h, d, d)
	v.store(d)
	if o.half {
		return
	}
	if v.wide() {
		x = v.temp()
		VMOVDQA32(cc, x)
		VPTERNLOGD(operand.Imm(0xe8), a, b, x)
		VPADDD(x, h, h)
		v.done(x)
	} else {
		before, now := v.reg[8+t&1], v.reg[8+(t+1)&1]
		VPXOR(a, b, now)
		VPAND(now, before, before)
		VPXOR(b, before, before)
		VPADDD(before, h, h)
	}
	x = v.temp()
	v.sigma(x, a, !shift, 2, 13, 22)
	VPADDD(x, h, h)
	v.done(x)
}

// store keeps a copy of e in memory for when it is g, if memory has no schedule to
// keep. Logic of three operands overwrites one of them, and copies between registers
// are not free: with all of them by register a hash takes 1.5 cycles longer on Ice
// Lake.
func (v *vector) store(e reg.VecPhysical) {
	if v.resident() {
		VMOVDQA32(e, v.copy(e))
	}
}

func (v *vector) copy(e reg.VecPhysical) operand.Op {
	if !v.resident() {
		return e
	}
	return v.frame.Offset(64 * slices.Index(v.reg, e))
}
