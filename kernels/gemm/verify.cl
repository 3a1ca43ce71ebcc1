// What a workload needs beside the product: operands, poisoned places, and
// Freivalds' check (R. Freivalds, "Probabilistic machines can use less running
// time", 1977), for every GPU. Matrices are by rows; k and n are row lengths.
//
// A format of A and B is its width in bits, the stored bits of its fraction and
// the bias of its exponent. The words of C are 32 bits, two of them an element
// if wide.

// The i-th output of SplitMix64.
FN u64 hash(u64 state, u64 i) {
	u64 z = state + (i + 1) * 0x9e3779b97f4a7c15ul;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ul;
	z = (z ^ z >> 27) * 0x94d049bb133111ebul;
	return z ^ z >> 31;
}

// The i-th element: uniform in (-1, 1), the first kept bits of its fraction random.
FN u64 element(u64 state, u64 i, u32 width, u32 stored, u32 kept, u32 bias) {
	u64 h = hash(state, i);
	u32 exponent = bias - 1;
	for (u32 bit = 62; bit > 55 && !(h >> bit & 1); bit--) exponent--;
	u64 fraction = (h & 0xffffffffffffful) >> (52 - kept) << (stored - kept);
	return h >> 63 << (width - 1) | (u64)exponent << stored | fraction;
}

// Fills rows of so many words, each row by a block: n elements, and zeros behind
// them. The first row is row top of the matrix that state generates. The bits of
// set are set in every word.
KERNEL(256) void fill(GLOBAL u32 *to, u32 words, u32 top, u32 n, u32 low, u32 high, u32 width, u32 stored, u32 kept, u32 bias, u32 set) {
	u64 state = (u64)high << 32 | low, row = (u64)(top + BLOCK_X) * n;
	for (u32 w = THREAD; w < words; w += 256) {
		u32 at = width == 64 ? w / 2 : width == 32 ? w : 2 * w;
		u64 v = at < n ? element(state, row + at, width, stored, kept, bias) : 0;
		if (width == 16 && at + 1 < n) v |= element(state, row + at + 1, width, stored, kept, bias) << 16;
		if (w % 2 == 1 && width == 64) v >>= 32;
		to[(u64)BLOCK_X * words + w] = (u32)v | set;
	}
}

// One element of each 16 rows of C, by a thread: copies the one that old chose
// to taken, and makes a NaN of the one that chosen chooses.
FN u64 place(u32 seed, u32 stripe, u32 rows, u32 n) {
	u64 h = hash(seed, stripe);
	u32 top = 16 * stripe, left = rows - top;
	return (u64)(top + (u32)(h >> 32) % (left < 16 ? left : 16)) * n + (u32)h % n;
}
KERNEL(256) void exchange(GLOBAL u32 *c, GLOBAL u32 *taken, u32 first, u32 rows, u32 n, u32 wide, u32 old, u32 chosen) {
	u32 stripe = BLOCK_X * 256 + THREAD;
	if (stripe >= (rows + 15) / 16) return;
	u64 from = place(old, stripe, rows, n) << wide, to = place(chosen, stripe, rows, n) << wide, at = (u64)(first + stripe) << wide;
	taken[at] = c[from];
	if (wide) taken[at + 1] = c[from + 1];
	c[to] = 0xffffffff;
	if (wide) c[to + 1] = 0xffffffff;
}

#ifdef HAS_F64
// The i-th element of A or B.
FN double value(GLOBAL const u32 *m, u64 i, u32 width, u32 stored, u32 bias) {
	if (width == 64) return bits_f64(((GLOBAL const u64 *)m)[i]);
	u32 v = width == 32 ? m[i] : m[i / 2] >> i % 2 * 16 & 0xffff;
	u32 size = v & ((1u << (width - 1)) - 1);
	if (size == 0) return 0;
	return bits_f64((u64)(v >> (width - 1)) << 63 | (((u64)size << (52 - stored)) + ((u64)(1023 - bias) << 52)));
}

// y = Bᵀ·r, with B n×k: a thread has a column.
KERNEL(256) void columns(GLOBAL double *y, GLOBAL const u32 *b, GLOBAL const float *r, u32 n, u32 k, u32 width, u32 stored, u32 bias) {
	u32 l = BLOCK_X * 256 + THREAD;
	if (l >= k) return;
	double sum = 0;
	for (u32 j = 0; j < n; j++) sum = FMA((double)r[j], value(b, (u64)j * k + l, width, stored, bias), sum);
	y[l] = sum;
}

// d = A·y - C·r, with C m×n: a block has a row.
KERNEL(256) void residuals(GLOBAL double *d, GLOBAL const u32 *a, GLOBAL const u32 *c, GLOBAL const float *r, GLOBAL const double *y, u32 n, u32 k, u32 wide, u32 width, u32 stored, u32 bias) {
	SHARED double sums[256];
	double sum = 0;
	for (u32 l = THREAD; l < k; l += 256) sum = FMA(value(a, (u64)BLOCK_X * k + l, width, stored, bias), y[l], sum);
	for (u32 j = THREAD; j < n; j += 256) {
		u64 at = (u64)BLOCK_X * n + j;
		double v = wide ? bits_f64(((GLOBAL const u64 *)c)[at]) : (double)bits_f32(c[at]);
		sum = FMA(-v, (double)r[j], sum);
	}
	sums[THREAD] = sum;
	for (u32 step = 128; step > 0; step /= 2) {
		BARRIER;
		if (THREAD < step) sums[THREAD] += sums[THREAD + step];
	}
	if (THREAD == 0) d[BLOCK_X] = sums[0];
}
#endif
