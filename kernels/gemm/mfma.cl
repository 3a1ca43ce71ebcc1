// Products on the matrix cores of AMD's CDNA 2 and 3 (gfx90a, gfx942): C = A·B, with
// the layouts, the parameters and the names of simt.cl. Sums are float32, of float64
// float64.
//
// A block of four waves of 64 lanes computes a tile of 128×128, each wave 64×64
// of it, in steps of 64 bytes of k. While a step is multiplied, the next is
// fetched into registers.
//
// It has not yet run on hardware. In OpenCL C, which has no such instructions,
// each is computed from its layout, so that all the rest runs on any device: for
// tests.

#ifdef __OPENCL_C_VERSION__

typedef float16 f32x16;
typedef double4 f64x4;

// What the lanes hold of A and B.
#define EMULATION SHARED double held[2][256][4]
#define HELD , held
#define HOLDS , IN_SHARED double (*held)[256][4]

// The layouts of "AMD Instinct MI300 Instruction Set Architecture", dense matrices
// of one block; layout_test.go holds them to AMD's own tables. Lane l has each elements of k of row l%side of A, from l/side·each
// on, and of column l%side of B. Register v of its sums is in column l%side, and
// in row 8·(v/4) + 4·(l/32) + v%4 of 32 or, of float64, row 4·v + l/16 of 16.
#define HOLD(A, B, EACH) \
	BARRIER; \
	for (u32 e = 0; e < EACH; e++) held[0][THREAD][e] = A[e], held[1][THREAD][e] = B[e]; \
	BARRIER;
#define DOT(ROW, SIDE, EACH) \
	for (u32 l = 0; l < 64; l += SIDE) \
		for (u32 e = 0; e < EACH; e++) sum += held[0][wave + l + (ROW)][e] * held[1][wave + l + lane % SIDE][e];
FN f32x16 emulate32(f32x16 c, const float *a, const float *b, u32 each HOLDS) {
	u32 lane = THREAD % 64, wave = THREAD - lane;
	HOLD(a, b, each)
	for (u32 v = 0; v < 16; v++) {
		double sum = c[v];
		DOT(8 * (v / 4) + 4 * (lane / 32) + v % 4, 32, each)
		c[v] = sum;
	}
	return c;
}
FN f64x4 multiply_fp64(f64x4 c, u32x4 x, u32x4 y HOLDS) {
	u32 lane = THREAD % 64, wave = THREAD - lane;
	f64x2 p = as_double2(x), q = as_double2(y);
	for (u32 i = 0; i < 2; i++) {
		double a[1] = {p[i]}, b[1] = {q[i]};
		HOLD(a, b, 1)
		for (u32 v = 0; v < 4; v++) {
			double sum = c[v];
			DOT(4 * v + lane / 16, 16, 1)
			c[v] = sum;
		}
	}
	return c;
}
#define MULTIPLY32(NAME, PER, EACH, VALUE) \
FN f32x16 multiply_##NAME(f32x16 c, u32x4 x, u32x4 y HOLDS) { \
	for (u32 i = 0; i < PER; i += EACH) { \
		float a[EACH], b[EACH]; \
		for (u32 e = 0; e < EACH; e++) a[e] = VALUE(x, i + e), b[e] = VALUE(y, i + e); \
		c = emulate32(c, a, b, EACH HELD); \
	} \
	return c; \
}
#define WORD(x, i) (x[(i) / 2] >> (i) % 2 * 16 & 0xffff)
#define BF16(x, i) bf16(WORD(x, i))
#define FP16(x, i) f16(WORD(x, i))
#define FP32(x, i) bits_f32(x[i])
#define TF32(x, i) bits_f32(x[i] & ~0x1fffu)
MULTIPLY32(bf16, 8, 4, BF16)
MULTIPLY32(fp16, 8, 4, FP16)
MULTIPLY32(tf32, 4, 2, TF32)
MULTIPLY32(fp32, 4, 1, FP32)
#define HAS_XF32

#else

#define EMULATION
#define HELD
typedef float f32x2 __attribute__((ext_vector_type(2)));
typedef float f32x16 __attribute__((ext_vector_type(16)));
typedef double f64x4 __attribute__((ext_vector_type(4)));
typedef short s16x4 __attribute__((ext_vector_type(4)));
typedef _Float16 f16x4 __attribute__((ext_vector_type(4)));

// An instruction takes as many elements of k from each half, or each quarter, of
// the lanes; which ones is free as long as A and B agree. A lane has parts of
// 16 bytes, which several instructions take in turn.
#define HALVES(NAME, TYPE, BUILTIN) \
FN f32x16 multiply_##NAME(f32x16 c, u32x4 a, u32x4 b) { \
	c = BUILTIN(__builtin_bit_cast(TYPE, a.xy), __builtin_bit_cast(TYPE, b.xy), c, 0, 0, 0); \
	return BUILTIN(__builtin_bit_cast(TYPE, a.zw), __builtin_bit_cast(TYPE, b.zw), c, 0, 0, 0); \
}
HALVES(bf16, s16x4, __builtin_amdgcn_mfma_f32_32x32x8bf16_1k)
HALVES(fp16, f16x4, __builtin_amdgcn_mfma_f32_32x32x8f16)
#ifdef __gfx942__
HALVES(tf32, f32x2, __builtin_amdgcn_mfma_f32_32x32x4_xf32)
#define HAS_XF32
#endif
FN f32x16 multiply_fp32(f32x16 c, u32x4 a, u32x4 b) {
#pragma unroll
	for (u32 i = 0; i < 4; i++) c = __builtin_amdgcn_mfma_f32_32x32x2f32(bits_f32(a[i]), bits_f32(b[i]), c, 0, 0, 0);
	return c;
}
FN f64x4 multiply_fp64(f64x4 c, u32x4 a, u32x4 b) {
	f64x2 x = __builtin_bit_cast(f64x2, a), y = __builtin_bit_cast(f64x2, b);
	c = __builtin_amdgcn_mfma_f64_16x16x4f64(x.x, y.x, c, 0, 0, 0);
	return __builtin_amdgcn_mfma_f64_16x16x4f64(x.y, y.y, c, 0, 0, 0);
}

#endif

#define TILE 128
#define PARTS 4 // of a step
#define STARTED 1
#define ROUNDED 2

// Where a part of a row of k lies in shared memory: exchanged so that eight rows of
// one part are in different banks.
FN u32 place(u32 row, u32 part) { return row * PARTS + (part ^ (row >> 1 & 3)); }

// Fetches a thread's two parts of a step, of elements of SIZE bytes; zero outside of
// the matrix. Down k, where a row of the step has 8·SIZE parts, neighbours take
// neighbouring k, and of 2 bytes a thread takes two k, so that it stores whole words.
#define FETCH(to, from, first, rows, step, SIZE, DOWN) \
	_Pragma("unroll") for (u32 i = 0; i < 2; i++) { \
		u32 p = THREAD + i * 256; \
		to[i] = (u32x4)(0); \
		if (DOWN) { \
			u32 q = (step) * (64 / SIZE) + (SIZE == 2 ? THREAD % 16 * 2 + i : p % (64 / SIZE)); \
			u32 part = first * SIZE / 16 + (SIZE == 2 ? THREAD / 16 : p / (64 / SIZE)), parts = rows * SIZE / 16; \
			if (q < k && part < parts) to[i] = from[(u64)q * parts + part]; \
		} else { \
			u32 r = first + p / PARTS, part = (step) * PARTS + p % PARTS, parts = k * SIZE / 16; \
			if (r < rows && part < parts) to[i] = from[(u64)r * parts + part]; \
		} \
	}

// Stores them along k, whatever they were stored along.
FN void store(IN_SHARED u32x4 *to, const u32x4 *from, u32 size, u32 down) {
	IN_SHARED u32 *words = (IN_SHARED u32 *)to;
	u32 t = THREAD;
	if (!down) {
_Pragma("unroll")
		for (u32 i = 0; i < 2; i++) to[place((t + i * 256) / PARTS, t % PARTS)] = from[i];
	} else if (size == 2) {
_Pragma("unroll")
		for (u32 j = 0; j < 8; j++)
			words[place(t / 16 * 8 + j, t % 16 / 4) * 4 + t % 4] = (from[0][j / 2] >> j % 2 * 16 & 0xffff) | from[1][j / 2] >> j % 2 * 16 << 16;
	} else {
_Pragma("unroll")
		for (u32 j = 0; j < 8; j++) {
			u32 p = t + j / 4 * 256, k = p % (64 / size), each = size / 4; // words of an element
			words[place(p / (64 / size) * (16 / size) + j % 4 / each, k * each / 4) * 4 + k * each % 4 + j % each] = from[j / 4][j % 4];
		}
	}
}

// SIDE is that of an instruction's sums, of which a lane has COUNT.
#define MFMA(NAME, LAYOUT, DOWN_A, DOWN_B, ELEM, VALUE, NEAREST, SUM, SUMS, SIDE, COUNT, ROW) \
KERNEL(256) void mfma_##NAME##_##LAYOUT(GLOBAL const u32x4 *a, GLOBAL const u32x4 *b, GLOBAL SUM *c, GLOBAL const SUM *start, u32 m, u32 n, u32 k, u32 stride, u32 how) { \
	SHARED u32x4 as[2][TILE * PARTS], bs[2][TILE * PARTS]; \
	EMULATION; \
	u32x4 an[2], bn[2]; \
	u32 lane = THREAD % 64, wm = THREAD / 64 % 2 * 64, wn = THREAD / 128 * 64; \
	u32x2 tile = grouped((n + TILE - 1) / TILE, (m + TILE - 1) / TILE); \
	u32 top = tile.y * TILE, left = tile.x * TILE, steps = (k * sizeof(ELEM) + 63) / 64; \
	SUMS sums[64 / SIDE][64 / SIDE]; \
	_Pragma("unroll") for (u32 i = 0; i < 64 / SIDE; i++) \
		_Pragma("unroll") for (u32 j = 0; j < 64 / SIDE; j++) sums[i][j] = (SUMS)(0); \
	FETCH(an, a, top, m, 0, sizeof(ELEM), DOWN_A) \
	FETCH(bn, b, left, n, 0, sizeof(ELEM), DOWN_B) \
	for (u32 l = 0; l < steps; l++) { \
		store(as[l % 2], an, sizeof(ELEM), DOWN_A); /* multiplied before the last barrier */ \
		store(bs[l % 2], bn, sizeof(ELEM), DOWN_B); \
		FETCH(an, a, top, m, l + 1, sizeof(ELEM), DOWN_A) \
		FETCH(bn, b, left, n, l + 1, sizeof(ELEM), DOWN_B) \
		BARRIER; \
		_Pragma("unroll") for (u32 h = 0; h < PARTS; h += 64 / SIDE) { \
			u32x4 fa[64 / SIDE], fb[64 / SIDE]; \
			_Pragma("unroll") for (u32 i = 0; i < 64 / SIDE; i++) fa[i] = as[l % 2][place(wm + i * SIDE + lane % SIDE, h + lane / SIDE)]; \
			_Pragma("unroll") for (u32 i = 0; i < 64 / SIDE; i++) fb[i] = bs[l % 2][place(wn + i * SIDE + lane % SIDE, h + lane / SIDE)]; \
			_Pragma("unroll") for (u32 i = 0; i < 64 / SIDE; i++) \
				_Pragma("unroll") for (u32 j = 0; j < 64 / SIDE; j++) sums[i][j] = multiply_##NAME(sums[i][j], fa[i], fb[j] HELD); \
		} \
	} \
	_Pragma("nounroll") for (u32 e = 0; e < 64 / SIDE * (64 / SIDE); e++) { \
		SUMS s = sums[0][0]; \
		_Pragma("unroll") for (u32 i = 1; i < 64 / SIDE * (64 / SIDE); i++) \
			if (i == e) s = sums[i / (64 / SIDE)][i % (64 / SIDE)]; \
		_Pragma("unroll") for (u32 v = 0; v < COUNT; v++) { \
			u32 r = top + wm + e / (64 / SIDE) * SIDE + (ROW), x = left + wn + e % (64 / SIDE) * SIDE + lane % SIDE; \
			u64 to = (u64)r * n + x, from = (u64)r * stride + x; \
			SUM sum = s[v]; \
			if (r >= m || x >= n) continue; \
			if (how & STARTED) sum += how & ROUNDED ? VALUE(((GLOBAL const ELEM *)start)[from]) : start[from]; \
			if (how & ROUNDED) ((GLOBAL ELEM *)c)[to] = NEAREST(sum); \
			else c[to] = sum; \
		} \
	} \
}
#define LAYOUTS(NAME, ...) MFMA(NAME, nt, 0, 0, __VA_ARGS__) MFMA(NAME, nn, 0, 1, __VA_ARGS__) MFMA(NAME, tn, 1, 1, __VA_ARGS__)

// The peak: a wave multiplies what its registers hold, rounds times with each of
// four accumulators. A lane has its parts of A and B in in, and leaves the
// total of the accumulators in out.
#define PEAK(NAME, SUM, SUMS, COUNT) \
KERNEL(256) void peak_##NAME(GLOBAL SUM *out, GLOBAL const u32x4 *in, u32 rounds) { \
	EMULATION; \
	SUMS sums[4]; \
	u32x4 a = in[THREAD % 64 * 2], b = in[THREAD % 64 * 2 + 1]; \
	_Pragma("unroll") for (u32 i = 0; i < 4; i++) sums[i] = (SUMS)((SUM)i); \
	for (u32 l = 0; l < rounds; l++) \
		_Pragma("unroll") for (u32 i = 0; i < 4; i++) sums[i] = multiply_##NAME(sums[i], a, b HELD); \
	_Pragma("unroll") for (u32 v = 0; v < COUNT; v++) out[(BLOCK_X * 256 + THREAD) * COUNT + v] = sums[0][v] + sums[1][v] + sums[2][v] + sums[3][v]; \
}

#define SAME(v) (v)
#define ROW32 (8 * (v / 4) + 4 * (lane / 32) + v % 4)
LAYOUTS(bf16, u16, bf16, bf16_bits, float, f32x16, 32, 16, ROW32)
LAYOUTS(fp16, u16, f16, f16_bits, float, f32x16, 32, 16, ROW32)
LAYOUTS(fp32, float, SAME, SAME, float, f32x16, 32, 16, ROW32)
PEAK(bf16, float, f32x16, 16)
PEAK(fp16, float, f32x16, 16)
PEAK(fp32, float, f32x16, 16)
#ifdef HAS_XF32
LAYOUTS(tf32, float, SAME, SAME, float, f32x16, 32, 16, ROW32)
PEAK(tf32, float, f32x16, 16)
#endif
#ifdef HAS_F64
LAYOUTS(fp64, double, SAME, SAME, double, f64x4, 16, 4, 4 * v + lane / 16)
PEAK(fp64, double, f64x4, 4)
#endif
