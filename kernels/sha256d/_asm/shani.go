package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// streams is how many nonces are computed at a time. SHA256RNDS2 has a latency
// of four cycles: with two streams a CPU that can start one every cycle waits.
const streams = 4

// stream is one nonce in progress. The instructions take the state as two
// vectors, {f e b a} and {h g d c} from the lowest lane up.
type stream struct {
	abef, cdgh reg.VecPhysical
	msg        reg.VecPhysical // the newest four words of the schedule
	start, m4  operand.Mem     // abef after round 3, words 16 to 19
	ring       [4]operand.Mem  // older words, four by four
}

// shani scans with the SHA extensions, which have the legacy encoding only. Unless
// vex is set, all other instructions have it too, because a CPU can have SHA and
// no AVX; memory operands must then be aligned. The three operands of VEX save a
// tenth of the instructions.
//
// Two rounds are one instruction that takes its two words, constants added, in
// the low half of X0. The state before round 4 needs the nonce only in a and e,
// so the first hash has 30 of them. The second hash is the same one round out
// of step: the digest's first word goes into a and e, the schedule is cut at
// words 1, 5, 9, …, and 30 instructions end exactly after round 60, the
// first that yields the last word of the digest.
func shani(name string, vex bool) {
	consts := newTable(name + "constants")
	var k1, k2 [64]operand.Mem // constants from round t on, words of padding added
	for t := 4; t < 64; t += 4 {
		w := [64]uint32{4: one, 15: length1}
		k1[t] = consts.add(k[t]+w[t], k[t+1]+w[t+1], k[t+2]+w[t+2], k[t+3]+w[t+3]) // #nosec G602 -- t goes up to 60 in steps of 4
		k1[t+2] = k1[t].Offset(8)                                                  // #nosec G602 -- t goes up to 60 in steps of 4
	}
	for t := 1; t < 61; t += 4 { // word 8 is in the vector of words 5 to 8
		k2[t] = consts.add(k[t], k[t+1], k[t+2], k[t+3])
		k2[t+2] = k2[t].Offset(8)
	}
	zero := consts.add(0, 0, 0, 0)
	pad8 := consts.add(one, 0, 0, 0)
	pad15 := consts.add(0, 0, 0, length2)
	spread := consts.add(0x80808080, 0x03020100, 0x80808080, 0x03020100)
	abef0 := consts.add(first[5], first[4], first[1], first[0])
	cdgh0 := consts.add(first[7], first[6], first[3], first[2])
	last := consts.add(initial[7], initial[7], initial[7], initial[7])
	swap := consts.add(0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f)

	TEXT(name, 0, "func(hits *[32]uint64, f *fixed, first uint32, n int)")
	Pragma("noescape")
	document(name, 2*streams)
	field := fields()
	hits, nonce, n := reg.RDI, reg.ESI, reg.RDX
	Load(Param("hits"), hits)
	Load(Param("first"), nonce)
	Load(Param("n"), n)

	const vector = 16
	if vex {
		VZEROUPPER() // otherwise SHA instructions after YMM code of others would stall
	}
	local, used := frame((2*streams+4*streams+6)*vector, vector), 0
	slot := func() operand.Mem {
		used += vector
		return local.Offset(used - vector)
	}

	// Constants of this header, in the order of the vectors.
	fill := func(at operand.Mem, words ...operand.Op) {
		for i, w := range words {
			if _, ok := w.(operand.Mem); ok {
				MOVL(w, reg.EAX)
				w = reg.EAX
			}
			MOVL(w, at.Offset(4*i))
		}
	}
	abefMid, cdghMid, cdghStart, m5, m7, top := slot(), slot(), slot(), slot(), slot(), slot()
	fill(abefMid, field("mid", 5), field("mid", 4), field("mid", 1), field("mid", 0))
	fill(cdghMid, field("mid", 7), field("mid", 6), field("mid", 3), field("mid", 2))
	fill(cdghStart, field("start", 7), field("start", 6), field("start", 3), field("start", 2))
	fill(m5, operand.U32(one), operand.U32(0), operand.U32(length1), field("w", 0))
	fill(m7, operand.U32(0), operand.U32(0), operand.U32(sigma0(length1)), field("w", 4))
	fill(top, field("top"), field("top"), field("top"), field("top"))

	xmm := []reg.VecPhysical{reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15}
	x0, free := xmm[0], xmm[1:]
	take := func() (r reg.VecPhysical) {
		r, free = free[0], free[1:]
		return r
	}
	give := func(r reg.VecPhysical) { free = append(free, r) }

	var all [streams]*stream
	for i := range all {
		s := &stream{abef: take(), cdgh: take(), msg: take(), start: slot(), m4: slot()}
		for j := range s.ring {
			s.ring[j] = slot()
		}
		fill(s.start, field("start", 5), operand.U32(0), field("start", 1))
		fill(s.m4, field("w", 0), field("w", 1))
		all[i] = s
	}

	// The scalar units compute the nonce's terms, an iteration ahead.
	a, e, w18, w19 := reg.R8L, reg.R9L, reg.R10L, reg.R11L
	MOVL(field("start", 0), a)
	MOVL(field("start", 4), e)
	MOVL(field("w", 2), w18)
	MOVL(field("w", 3), w19)
	prepare := func(s *stream, i int) {
		x, y, z := reg.EAX, reg.ECX, reg.R12L
		LEAL(operand.Mem{Base: nonce, Disp: i}, x)
		BSWAPL(x)
		MOVL(x, y)
		RORL(operand.Imm(7), y)
		MOVL(x, z)
		RORL(operand.Imm(18), z)
		XORL(z, y)
		MOVL(x, z)
		SHRL(operand.Imm(3), z)
		XORL(z, y)
		ADDL(w18, y)
		MOVL(y, s.m4.Offset(8))
		LEAL(operand.Mem{Base: x, Index: w19, Scale: 1}, y)
		MOVL(y, s.m4.Offset(12))
		LEAL(operand.Mem{Base: x, Index: e, Scale: 1}, y)
		MOVL(y, s.start.Offset(4))
		ADDL(a, x)
		MOVL(x, s.start.Offset(12))
	}

	rnds := func(s *stream) {
		SHA256RNDS2(x0, s.abef, s.cdgh)
		s.abef, s.cdgh = s.cdgh, s.abef
	}
	// same runs the two rounds from t on for which no word depends on the nonce.
	same := func(at operand.Mem) {
		MOVQ(at, x0)
		for _, s := range all {
			rnds(s)
		}
	}
	// add sets sum to a + b.
	add := func(a operand.Mem, b, sum reg.VecPhysical) {
		if vex {
			VPADDD(a, b, sum)
			return
		}
		MOVOA(a, sum)
		PADDD(b, sum)
	}
	// four runs four rounds with the stream's newest words.
	four := func(s *stream, at operand.Mem) {
		add(at, s.msg, x0)
		rnds(s)
		PSHUFD(operand.Imm(0x0e), x0, x0)
		rnds(s)
	}
	// next replaces the newest words by the four after them, given their sum
	// without sigma1, which it takes over.
	next := func(s *stream, sum reg.VecPhysical) {
		SHA256MSG2(s.msg, sum)
		give(s.msg)
		s.msg = sum
	}
	// before returns the words one place before the newest, after those at.
	before := func(s *stream, at operand.Mem) reg.VecPhysical {
		u := take()
		if vex {
			VPALIGNR(operand.Imm(4), at, s.msg, u)
			return u
		}
		MOVOA(s.msg, u)
		PALIGNR(operand.Imm(4), at, u)
		return u
	}
	// seventh adds to the sum the words of seven before: the newest, after
	// those at, less one.
	seventh := func(s *stream, at operand.Mem, sum reg.VecPhysical) {
		u := before(s, at)
		PADDD(u, sum)
		give(u)
	}
	load := func(at operand.Mem) reg.VecPhysical {
		r := take()
		MOVOA(at, r)
		return r
	}
	// full is the schedule in general: oldest four, next four, then at.
	full := func(s *stream, oldest, next4, at operand.Mem) {
		sum := load(oldest)
		SHA256MSG1(next4, sum)
		seventh(s, at, sum)
		next(s, sum)
	}

	// groups emits the schedule and the rounds of groups of four words, for one
	// stream after the other. Rounds that come late help CPUs that wait for
	// nothing else, because their words are then ready.
	groups := func(from, to int, words, rounds func(s *stream, g int)) {
		late := 0
		if vex {
			late = streams - 1
		}
		for t := from * streams; t < to*streams+late; t++ {
			if t < to*streams {
				words(all[t%streams], t/streams)
			}
			if u := t - late; u >= from*streams {
				rounds(all[u%streams], u/streams)
			}
		}
	}

	for i, s := range all {
		prepare(s, i)
	}
	i := reg.R13
	XORQ(i, i)
	acc := reg.R14L
	XORL(acc, acc)

	Label("loop")
	ADDL(operand.Imm(streams), nonce)
	for _, s := range all {
		MOVOA(s.start, s.abef)
		MOVOA(cdghStart, s.cdgh)
		MOVOA(s.m4, s.msg)
	}
	for t := 4; t < 16; t += 2 {
		same(k1[t])
	}
	place := func(s *stream, g int) operand.Mem { // words 4g to 4g+3 of the first hash
		if g == 4 {
			return s.m4
		}
		return s.ring[g%4]
	}
	groups(4, 16, func(s *stream, g int) {
		switch {
		case g == 5:
			next(s, load(m5))
		case g == 6:
			next(s, before(s, s.m4))
		case g == 7:
			sum := before(s, place(s, 5))
			PADDD(m7, sum)
			next(s, sum)
		case g > 7:
			full(s, place(s, g-4), place(s, g-3), place(s, g-2))
		}
		if 5 <= g && g <= 13 {
			MOVOA(s.msg, place(s, g))
		}
	}, func(s *stream, g int) { four(s, k1[4*g]) })
	for i, s := range all {
		prepare(s, i)
	}

	for _, s := range all {
		PADDD(abefMid, s.abef)
		PADDD(cdghMid, s.cdgh)
		low := s.msg // words 0 to 3
		MOVOA(s.abef, low)
		SHUFPS(operand.Imm(0xbb), s.cdgh, low)
		SHUFPS(operand.Imm(0x11), s.cdgh, s.abef)
		high := s.abef // words 4 to 7

		g3 := take() // words 13 to 16; word 16 is w0 + sigma0(w1)
		MOVOA(low, g3)
		SHA256MSG1(high, g3)
		PALIGNR(operand.Imm(4), pad15, g3)
		MOVOA(g3, s.ring[3])
		give(g3)

		g1 := take() // words 5 to 8
		MOVOA(pad8, g1)
		PALIGNR(operand.Imm(4), high, g1)
		MOVOA(g1, s.ring[1])
		give(g1)

		g0 := take() // words 1 to 4
		MOVOA(high, g0)
		PALIGNR(operand.Imm(4), low, g0)
		MOVOA(g0, s.ring[0])

		MOVOA(low, s.abef)
		PSHUFB(spread, s.abef)
		PADDD(abef0, s.abef)
		MOVOA(cdgh0, s.cdgh)
		give(s.msg)
		s.msg = g0
		four(s, k2[1])
	}
	for _, s := range all {
		MOVOA(s.ring[1], s.msg)
		four(s, k2[5])
	}
	same(k2[9])
	same(k2[11])
	same(k2[13])
	for _, s := range all {
		MOVOA(s.ring[3], s.msg)
		MOVOA(k2[13], x0)
		PADDD(s.msg, x0)
		PSHUFD(operand.Imm(0x0e), x0, x0)
		rnds(s)
	}
	groups(4, 15, func(s *stream, g int) { // words 4g+1 to 4g+4
		switch g {
		case 4:
			sum := load(s.ring[0])
			SHA256MSG1(s.ring[1], sum)
			next(s, sum)
		case 5:
			sum := load(s.ring[1])
			SHA256MSG1(zero, sum)
			seventh(s, s.ring[3], sum)
			next(s, sum)
		case 6:
			next(s, before(s, s.ring[0]))
		default:
			full(s, s.ring[g%4], s.ring[(g+1)%4], s.ring[(g+2)%4])
		}
		if g < 13 {
			MOVOA(s.msg, s.ring[g%4])
		}
	}, func(s *stream, g int) { four(s, k2[4*g+1]) })

	PUNPCKLLQ(all[1].abef, all[0].abef)
	PUNPCKLLQ(all[3].abef, all[2].abef)
	PUNPCKHQDQ(all[2].abef, all[0].abef)
	x, y := all[0].abef, all[1].abef
	PADDD(last, x)
	PSHUFB(swap, x)
	MOVOA(x, y)
	PMINUD(top, y)
	PCMPEQL(x, y)
	MOVMSKPS(y, reg.EAX)
	SHRL(operand.Imm(4), acc)
	SHLL(operand.Imm(4), reg.EAX)
	ORL(reg.EAX, acc)
	MOVQ(i, reg.RAX)
	SHRQ(operand.Imm(3), reg.RAX)
	MOVB(reg.R14B, operand.Mem{Base: hits, Index: reg.RAX, Scale: 1})
	ADDQ(operand.Imm(streams), i)
	CMPQ(i, n)
	JNE(operand.LabelRef("loop"))
	RET()
}
