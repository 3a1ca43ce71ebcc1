// scan hashes Bitcoin block headers twice with SHA-256 (FIPS 180-4), one for
// each nonce, and counts those whose hash may be below a target.
//
// The compiler removes what no result needs: of the second hash only one word
// is compared, which is complete after 61 of the 64 rounds; of the first, what
// does not depend on the nonce is computed once for a thread's nonces.

#define S(x, a, b, c) (ROTATE(x, 32 - a) ^ ROTATE(x, 32 - b) ^ ROTATE(x, 32 - c))
#define G(x, a, b, c) (ROTATE(x, 32 - a) ^ ROTATE(x, 32 - b) ^ ((x) >> c))
#define CH(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))
#define MAJ(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))

// A round, which gives d and h their new values and leaves the others where they
// are: the next round takes the eight in turn.
#define R(a, b, c, d, e, f, g, h, k, w) { \
	u32 t = h + S(e, 6, 11, 25) + CH(e, f, g) + k + (w); \
	d += t; \
	h = t + S(a, 2, 13, 22) + MAJ(a, b, c); }
#define R8(i, k0, k1, k2, k3, k4, k5, k6, k7, W) \
	R(a, b, c, d, e, f, g, h, k0, W(i)) R(h, a, b, c, d, e, f, g, k1, W(i + 1)) \
	R(g, h, a, b, c, d, e, f, k2, W(i + 2)) R(f, g, h, a, b, c, d, e, k3, W(i + 3)) \
	R(e, f, g, h, a, b, c, d, k4, W(i + 4)) R(d, e, f, g, h, a, b, c, k5, W(i + 5)) \
	R(c, d, e, f, g, h, a, b, k6, W(i + 6)) R(b, c, d, e, f, g, h, a, k7, W(i + 7))
// The message word of a round: as given, and from the sixteen before.
#define GIVEN(i) w[i]
#define NEXT(i) (w[(i) & 15] += G(w[((i) + 1) & 15], 7, 18, 3) + w[((i) + 9) & 15] + G(w[((i) + 14) & 15], 17, 19, 10))
#define ROUNDS \
	R8(0, 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, GIVEN) \
	R8(8, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, GIVEN) \
	R8(16, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, NEXT) \
	R8(24, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, NEXT) \
	R8(32, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, NEXT) \
	R8(40, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, NEXT) \
	R8(48, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, NEXT) \
	R8(56, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2, NEXT)
#define SWAP(x) (((x) & 0xff) << 24 | ((x) & 0xff00) << 8 | ((x) >> 8 & 0xff00) | (x) >> 24)

// in is the state after the header's first 64 bytes, then its next 12 bytes as
// three words. Thread i of the grid tries the nonces first + i·each to first +
// i·each + each − 1. A nonce is a hit if the last four bytes of its hash, as a
// little-endian number, are at most limit. found[0] counts hits; the first room
// of them follow, in any order.
KERNEL(256) void scan(GLOBAL const u32 *in, GLOBAL u32 *found, u32 room, u32 first, u32 each, u32 limit) {
	u32 from = first + (BLOCK_X * 256 + THREAD) * each;
	for (u32 n = 0; n < each; n++) {
		u32 nonce = from + n;
		u32 w[16] = {in[8], in[9], in[10], SWAP(nonce), 0x80000000u, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 640};
		u32 a = in[0], b = in[1], c = in[2], d = in[3], e = in[4], f = in[5], g = in[6], h = in[7];
		ROUNDS
		w[0] = a + in[0]; w[1] = b + in[1]; w[2] = c + in[2]; w[3] = d + in[3];
		w[4] = e + in[4]; w[5] = f + in[5]; w[6] = g + in[6]; w[7] = h + in[7];
		w[8] = 0x80000000u;
		w[9] = w[10] = w[11] = w[12] = w[13] = w[14] = 0;
		w[15] = 256;
		a = 0x6a09e667; b = 0xbb67ae85; c = 0x3c6ef372; d = 0xa54ff53a;
		e = 0x510e527f; f = 0x9b05688c; g = 0x1f83d9ab; h = 0x5be0cd19;
		ROUNDS
		h += 0x5be0cd19;
		if (SWAP(h) <= limit) {
			u32 at = COUNT(found);
			if (at < room) found[1 + at] = nonce;
		}
	}
}
