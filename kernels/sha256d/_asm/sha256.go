package main

import (
	"fmt"
	"log"
	"math/bits"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// k are the constants of the rounds (FIPS 180-4, 4.2.2).
var k = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

// initial is the state before the first block (FIPS 180-4, 5.3.3).
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

const (
	one     = 1 << 31 // the padding's first word
	length1 = 8 * 80  // word 15 of the header's second block, in bits
	length2 = 8 * 32  // word 15 of the block that holds the digest
)

// sigma0 is the function of the message schedule (FIPS 180-4, 4.1.2).
func sigma0(x uint32) uint32 {
	return bits.RotateLeft32(x, -7) ^ bits.RotateLeft32(x, -18) ^ x>>3
}

func sigma1(x uint32) uint32 {
	return bits.RotateLeft32(x, -17) ^ bits.RotateLeft32(x, -19) ^ x>>10
}

// first is the state after round 0 of the second hash, for a word zero. The
// word is to be added to a and e, which are first[0] and first[4].
var first = func() [8]uint32 {
	a, b, c, d, e, f, g, h := initial[0], initial[1], initial[2], initial[3], initial[4], initial[5], initial[6], initial[7]
	s1 := bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)
	t1 := h + s1 + (g ^ e&(f^g)) + k[0]
	s0 := bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)
	return [8]uint32{t1 + s0 + (a&b ^ c&(a^b)), a, b, c, d + t1, e, f, g}
}()

// table collects constants in one symbol. The linker aligns a symbol of 32
// bytes or more to 32 bytes.
type table struct {
	at  operand.Mem
	len int
}

func newTable(name string) *table {
	return &table{at: GLOBL(name, attr.RODATA|attr.NOPTR)}
}

// add appends words and returns where they are.
func (t *table) add(words ...uint32) operand.Mem {
	at := t.at.Offset(t.len)
	for ; len(words) > 1; words = words[2:] {
		DATA(t.len, operand.U64(uint64(words[0])|uint64(words[1])<<32))
		t.len += 8
	}
	if len(words) > 0 {
		DATA(t.len, operand.U32(words[0]))
		t.len += 4
	}
	return at
}

// document writes the doc comment of a function.
func document(name string, lanes int) {
	Doc(name+" writes one bit of hits for each of n nonces from first on: may its",
		"digest meet the target?",
		"",
		"	for i := range n {",
		"		header.SetNonce(first + uint32(i))",
		"		sum := Sum(&header)",
		"		hits.setBit(i, binary.LittleEndian.Uint32(sum[28:]) <= f.top)",
		"	}",
		"",
		fmt.Sprintf("n is a positive multiple of %d and at most 2048.", lanes))
}

// fields returns a function that returns the address of a word of the parameter f.
func fields() func(name string, index ...int) operand.Mem {
	f := Dereference(Param("f"))
	return func(name string, index ...int) operand.Mem {
		c := f.Field(name)
		for _, i := range index {
			c = c.Index(i)
		}
		at, err := c.Resolve()
		if err != nil {
			log.Fatal(name, ": ", err)
		}
		return at.Addr
	}
}

// frame reserves memory at a multiple of align, to which the stack is not
// aligned, and keeps its address in BX.
func frame(size, align int) operand.Mem {
	LEAQ(AllocLocal(size+align-8), reg.RBX)
	ADDQ(operand.Imm(uint64(align-1)), reg.RBX) // #nosec G115 -- a constant, 64 at most
	ANDQ(operand.I32(-align), reg.RBX)          // #nosec G115 -- a constant, 64 at most
	return operand.Mem{Base: reg.RBX}
}
