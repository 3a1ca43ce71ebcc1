// The kernels of STREAM (McCalpin) on a device, as BabelStream has them: each
// thread moves 16 bytes. n counts these parts of 16 bytes.

KERNEL(256) void copy(GLOBAL u32x4 *a, GLOBAL const u32x4 *b, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i < n) a[i] = b[i];
}

// a = b + s·c, of float32.
KERNEL(256) void triad(GLOBAL f32x4 *a, GLOBAL const f32x4 *b, GLOBAL const f32x4 *c, float s, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i < n) a[i] = FMA((f32x4)(s), c[i], b[i]);
}

// The peak of reading: block i reads parts i·each to i·each + each − 1 and
// leaves the exclusive or of all their words in sums[i].
KERNEL(256) void readout(GLOBAL u32 *sums, GLOBAL const u32x4 *b, u32 each, u32 n) {
	SHARED u32 part[256];
	u32 t = THREAD, from = BLOCK_X * each, sum = 0;
	for (u32 i = t; i < each && from + i < n; i += 256) {
		u32x4 v = b[from + i];
		sum ^= v.x ^ v.y ^ v.z ^ v.w;
	}
	part[t] = sum;
	for (u32 step = 128; step > 0; step >>= 1) {
		BARRIER;
		if (t < step) part[t] ^= part[t + step];
	}
	if (t == 0) sums[BLOCK_X] = part[0];
}

// What follows makes and checks the data. A word of it is a hash of its index
// and of a key, of which the bits in random are kept and those in fixed are set.
// The hash is "16 21f0aaad 15 d35a2d97 15" of github.com/skeeto/hash-prospector.
FN u32 hash(u32 x) {
	x = (x ^ x >> 16) * 0x21f0aaadu;
	x = (x ^ x >> 15) * 0xd35a2d97u;
	return x ^ x >> 15;
}

#define WORD(i, key) (hash((i) ^ (key)) & random | fixed)

KERNEL(256) void fill(GLOBAL u32x4 *x, u32 key, u32 random, u32 fixed, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD, w = 4 * i;
	if (i < n) {
		u32x4 v = {WORD(w, key), WORD(w + 1, key), WORD(w + 2, key), WORD(w + 3, key)};
		x[i] = v;
	}
}

// Adds to wrong[0] how many words of x are not those of fill.
KERNEL(256) void differ(GLOBAL u32 *wrong, GLOBAL const u32x4 *x, u32 key, u32 random, u32 fixed, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD, w = 4 * i;
	if (i < n) {
		u32x4 v = x[i];
		if (v.x != WORD(w, key)) COUNT(wrong);
		if (v.y != WORD(w + 1, key)) COUNT(wrong);
		if (v.z != WORD(w + 2, key)) COUNT(wrong);
		if (v.w != WORD(w + 3, key)) COUNT(wrong);
	}
}

#define TRIAD(i) f32_bits(FMA(s, bits_f32(WORD(i, c)), bits_f32(WORD(i, b))))

// Adds to wrong[0] how many elements of a are not b + s·c, bit for bit, where b
// and c are the keys of what fill wrote.
KERNEL(256) void differ_triad(GLOBAL u32 *wrong, GLOBAL const u32x4 *a, float s, u32 b, u32 c, u32 random, u32 fixed, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD, w = 4 * i;
	if (i < n) {
		u32x4 v = a[i];
		if (v.x != TRIAD(w)) COUNT(wrong);
		if (v.y != TRIAD(w + 1)) COUNT(wrong);
		if (v.z != TRIAD(w + 2)) COUNT(wrong);
		if (v.w != TRIAD(w + 3)) COUNT(wrong);
	}
}

// The words of x fall into 256 sections, one a thread of one block. A thread
// saves one word of its section, the place of key taken, in saved[256·at + its
// number], and inverts another, the place of key next. words is 256 at least.
#define PLACE(key) (from + (u32)((u64)hash(t ^ (key)) * (to - from) >> 32))

KERNEL(256) void sample(GLOBAL u32 *saved, u32 at, GLOBAL u32 *x, u32 taken, u32 next, u32 words) {
	u32 t = THREAD, from = (u32)((u64)words * t >> 8), to = (u32)((u64)words * (t + 1) >> 8);
	saved[256 * at + t] = x[PLACE(taken)];
	x[PLACE(next)] ^= 0xffffffffu;
}
