package sha256d

import (
	"encoding/binary"
	"math/bits"
)

// scanGeneric is the specification. It hashes only the second block of each
// header, from round 3 on, and of the second hash first the last word, the most
// significant one. That rules out all nonces but those that may meet the target.
func scanGeneric(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	var w, v [64]uint32 // schedules of the header's second block and of its digest
	copy(w[:], j.block[:])
	v[8], v[15] = 1<<31, 8*32 // padding
	for ; n > 0; first, n = first+1, n-1 {
		w[3] = bits.ReverseBytes32(first)
		expand(&w, 18, 64)
		once := add(j.mid, rounds(j.state, k[3:], w[3:]))

		copy(v[:], once[:])
		expand(&v, 16, 61)
		// Rounds 61 to 63 only pass word 4 on, to become word 7.
		s := rounds(initial, k[:61], v[:61])
		if bits.ReverseBytes32(initial[7]+s[4]) > j.top {
			continue
		}
		expand(&v, 61, 64)
		if j.target.Met(bytes(add(initial, rounds(s, k[61:], v[61:])))) {
			dst = append(dst, first)
		}
	}
	return dst
}

// expand computes words from..to-1 of the message schedule (FIPS 180-4, 6.2.2
// step 1).
func expand(w *[64]uint32, from, to int) {
	for t := from; t < to; t++ {
		a, b := w[(t-2)&63], w[(t-15)&63] // the mask spares a bounds check
		s1 := bits.RotateLeft32(a, -17) ^ bits.RotateLeft32(a, -19) ^ a>>10
		s0 := bits.RotateLeft32(b, -7) ^ bits.RotateLeft32(b, -18) ^ b>>3
		w[t&63] = s1 + w[(t-7)&63] + s0 + w[(t-16)&63]
	}
}

// rounds runs one round on s for each constant in k and word in w, which are
// of equal length (FIPS 180-4, 6.2.2 step 3).
func rounds(s [8]uint32, k, w []uint32) [8]uint32 {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	w = w[:len(k)]
	for i := range k {
		s1 := bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)
		t1 := h + s1 + (g ^ e&(f^g)) + k[i] + w[i] // #nosec G602 -- w is as long as k: see above
		s0 := bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)
		t2 := s0 + (a&b ^ c&(a^b))
		a, b, c, d, e, f, g, h = t1+t2, a, b, c, d+t1, e, f, g
	}
	return [8]uint32{a, b, c, d, e, f, g, h}
}

// add returns the sums word by word.
func add(s, t [8]uint32) [8]uint32 {
	for i := range s {
		s[i] += t[i]
	}
	return s
}

// bytes returns a state as the digest that it is.
func bytes(s [8]uint32) (digest [32]byte) {
	for i, word := range s {
		binary.BigEndian.PutUint32(digest[4*i:], word)
	}
	return digest
}

// initial is the state before the first block (FIPS 180-4, 5.3.3).
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

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
