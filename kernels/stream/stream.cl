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
