// Products on the tensor cores of NVIDIA's GPUs since Ampere (sm_80): C = A·B, with
// the layouts, the parameters and the names of simt.cl. Sums are float32, of float64
// float64. Of TensorFloat-32 the last 13 bits do not count.
//
// A block of eight warps computes a tile of 128×128, each warp 64×32 of it, in
// steps of 64 bytes of k. Copies of two steps are under way while a third is
// multiplied.

#include "tensor.h"

#define ROWS 128
#define PARTS 4 // of a step
#define STAGES 3
#define STAGE (2 * ROWS * PARTS * 16)

SHARED static __attribute__((aligned(128))) unsigned char stages[STAGES * STAGE];

FN void load4(u32 *r, u32 at) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
FN void load4_transposed(u32 *r, u32 at) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
FN void load1(u32 *r, u32 at) { asm volatile("ld.shared.b32 %0, [%1];" : "=r"(*r) : "r"(at) : "memory"); }
FN void load1(double *r, u32 at) { asm volatile("ld.shared.f64 %0, [%1];" : "=d"(*r) : "r"(at) : "memory"); }
FN void load2(double *r, u32 at) { asm volatile("ld.shared.v2.f64 {%0,%1}, [%2];" : "=d"(r[0]), "=d"(r[1]) : "r"(at) : "memory"); }

// Where a part of a row lies in a stage whose rows run along k: two rows in 128
// bytes, their parts exchanged so that the eight rows that ldmatrix reads are in
// different banks.
FN u32 place(u32 row, u32 part) { return row * 64 + ((part ^ (row >> 1 & 3)) << 4); }

// The same where a row is one of k, with 128 elements of so many bytes: exchanged so
// that the rows of k that a warp reads at once are in different banks: eight of
// ldmatrix, four of neighbouring threads, and of float64 every other one.
template <u32 SIZE> FN u32 place_down(u32 k, u32 part) {
	u32 by = SIZE == 2 ? k & 7 : SIZE == 4 ? (k & 3) << 1 : (k >> 1 & 3) << 1;
	return k * 128 * SIZE + ((part ^ by) << 4);
}
template <u32 SIZE> FN u32 element_down(u32 k, u32 column) { return place_down<SIZE>(k, column * SIZE / 16) + column * SIZE % 16; }

// Copies a thread's parts of a step; zero outside of the matrix, which has so many
// rows along k, or columns.
template <u32 SIZE, bool DOWN> FN void load(u32 to, const u32x4 *from, u32 first, u32 count, u32 step, u32 k) {
#pragma unroll
	for (u32 i = 0; i < ROWS * PARTS / 256; i++) {
		u32 p = THREAD + i * 256;
		if (DOWN) {
			u32 r = p / (8 * SIZE), q = p % (8 * SIZE), row = step * (64 / SIZE) + r, part = first * SIZE / 16 + q, parts = count * SIZE / 16;
			bool inside = row < k && part < parts;
			copy16(to + place_down<SIZE>(r, q), from + (inside ? (u64)row * parts + part : 0), inside ? 16 : 0);
		} else {
			u32 r = p / PARTS, q = p % PARTS, part = step * PARTS + q, parts = k * SIZE / 16;
			bool inside = first + r < count && part < parts;
			copy16(to + place(r, q), from + (inside ? (u64)(first + r) * parts + part : 0), inside ? 16 : 0);
		}
	}
}

// The fragments of 16×8 sums by instructions that read 32 bytes of k, parts h and
// h + 1: registers of one instruction, and how a warp multiplies its part of a step.
// Thread t of a warp has row t/4 of eight of A, or column of B, and of k the 4 bytes
// t%4 of a part.
template <typename E, void multiply(float *, const u32 *, const u32 *)> struct quads {
	typedef E format;
	typedef float sum;
	enum { SIZE = sizeof(typename E::element), HIGH = 16, WIDE = 8, TALL = 2 }; // rows and columns of an instruction, rows of a thread
	sum sums[4][4][4];

	// 16 rows of A: those of a register, then eight more; then the next part.
	template <bool DOWN> FN void rows(u32 *r, u32 at, u32 row, u32 h, u32 lane) {
		if (!DOWN) load4(r, at + place(row + lane % 16, h + lane / 16));
		else if (SIZE == 2) load4_transposed(r, at + place_down<SIZE>(h * 8 + lane % 8 + lane / 16 * 8, row / 8 + lane / 8 % 2));
		else
#pragma unroll
			for (u32 e = 0; e < 4; e++) load1(r + e, at + element_down<SIZE>(h * 4 + lane % 4 + e / 2 * 4, row + lane / 4 + e % 2 * 8));
	}
	// 16 columns of B: both parts of eight, then those of eight more.
	template <bool DOWN> FN void columns(u32 *r, u32 at, u32 column, u32 h, u32 lane) {
		if (!DOWN) load4(r, at + place(column + lane % 8 + lane / 16 * 8, h + lane / 8 % 2));
		else if (SIZE == 2) load4_transposed(r, at + place_down<SIZE>(h * 8 + lane % 16, column / 8 + lane / 16));
		else
#pragma unroll
			for (u32 e = 0; e < 4; e++) load1(r + e, at + element_down<SIZE>(h * 4 + lane % 4 + e % 2 * 4, column + lane / 4 + e / 2 * 8));
	}
	template <bool DOWN_A, bool DOWN_B> FN void step(quads &s, u32 a, u32 b, u32 wm, u32 wn, u32 lane) {
#pragma unroll
		for (u32 h = 0; h < PARTS; h += 2) {
			u32 fa[4][4], fb[2][4];
#pragma unroll
			for (u32 i = 0; i < 4; i++) rows<DOWN_A>(fa[i], a, wm + i * 16, h, lane);
#pragma unroll
			for (u32 j = 0; j < 2; j++) columns<DOWN_B>(fb[j], b, wn + j * 16, h, lane);
#pragma unroll
			for (u32 i = 0; i < 4; i++)
#pragma unroll
				for (u32 j = 0; j < 4; j++) multiply(s.sums[i][j], fa[i], fb[j / 2] + j % 2 * 2);
		}
	}
};

FN void multiply_fp64(double *c, const double *a, const double *b) {
	asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};" : "+d"(c[0]), "+d"(c[1]) : "d"(*a), "d"(*b));
}

// The same for float64. An instruction takes four elements of k, one of each of
// four threads; which four is free as long as A and B agree. Thread t has
// elements 2t and 2t+1 of a step: one instruction takes the even ones, the next
// the odd ones, and a thread loads 16 bytes at a time.
struct doubles {
	typedef of_fp64 format;
	typedef double sum;
	enum { SIZE = 8, HIGH = 8, WIDE = 8, TALL = 1 };
	sum sums[8][4][2];
	template <bool DOWN> FN void rows(double *r, u32 at, u32 row, u32 lane) {
		if (!DOWN) load2(r, at + place(row + lane / 4, lane % 4));
		else
#pragma unroll
			for (u32 h = 0; h < 2; h++) load1(r + h, at + element_down<SIZE>(lane % 4 * 2 + h, row + lane / 4));
	}
	template <bool DOWN_A, bool DOWN_B> FN void step(doubles &s, u32 a, u32 b, u32 wm, u32 wn, u32 lane) {
		double fa[8][2], fb[4][2];
#pragma unroll
		for (u32 i = 0; i < 8; i++) rows<DOWN_A>(fa[i], a, wm + i * 8, lane);
#pragma unroll
		for (u32 j = 0; j < 4; j++) rows<DOWN_B>(fb[j], b, wn + j * 8, lane);
#pragma unroll
		for (u32 h = 0; h < 2; h++)
#pragma unroll
			for (u32 i = 0; i < 8; i++)
#pragma unroll
				for (u32 j = 0; j < 4; j++) multiply_fp64(s.sums[i][j], fa[i] + h, fb[j] + h);
	}
};

template <typename F, bool DOWN_A, bool DOWN_B>
FN void product(const u32x4 *a, const u32x4 *b, typename F::sum *c, const typename F::sum *start, u32 m, u32 n, u32 k, u32 stride, u32 how) {
	typedef typename F::sum sum;
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages;
	u32 lane = THREAD % 32, warp = THREAD / 32, wm = warp % 2 * 64, wn = warp / 2 * 32;
	u32x2 tile = grouped((n + ROWS - 1) / ROWS, (m + ROWS - 1) / ROWS);
	u32 top = tile.y * ROWS, left = tile.x * ROWS, steps = (k * F::SIZE + PARTS * 16 - 1) / (PARTS * 16);
	F s;
#pragma unroll
	for (u32 i = 0; i < sizeof(s.sums) / sizeof(sum); i++) ((sum *)s.sums)[i] = 0;
#pragma unroll
	for (u32 i = 0; i < STAGES - 1; i++) {
		if (i < steps) {
			load<F::SIZE, DOWN_A>(base + i * STAGE, a, top, m, i, k);
			load<F::SIZE, DOWN_B>(base + i * STAGE + STAGE / 2, b, left, n, i, k);
		}
		commit();
	}
	for (u32 l = 0; l < steps; l++) {
		asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
		BARRIER;
		if (l + STAGES - 1 < steps) { // into the stage that was multiplied before the barrier
			u32 to = base + (l + STAGES - 1) % STAGES * STAGE;
			load<F::SIZE, DOWN_A>(to, a, top, m, l + STAGES - 1, k);
			load<F::SIZE, DOWN_B>(to + STAGE / 2, b, left, n, l + STAGES - 1, k);
		}
		commit();
		u32 at = base + l % STAGES * STAGE;
		F::template step<DOWN_A, DOWN_B>(s, at, at + STAGE / 2, wm, wn, lane);
	}
	// Sums go by shared memory, where the stages were, so that a warp stores
	// neighbours: HIGH rows of both halves at a time. Eight elements between rows keep
	// them in different banks.
	__attribute__((address_space(3))) sum *staged = (__attribute__((address_space(3))) sum *)(__attribute__((address_space(3))) unsigned char *)stages;
	enum { WIDTH = ROWS + 8 };
#pragma nounroll
	for (u32 i = 0; i < 64 / F::HIGH; i++) {
		BARRIER;
#pragma unroll
		for (u32 e = 0; e < 64 / F::HIGH; e++) // i is not known, and registers have no index
			if (e == i)
#pragma unroll
				for (u32 j = 0; j < 32 / F::WIDE; j++)
#pragma unroll
					for (u32 h = 0; h < F::TALL * 2; h++)
						staged[(wm / 64 * F::HIGH + h / 2 * 8 + lane / 4) * WIDTH + wn + j * 8 + lane % 4 * 2 + h % 2] = s.sums[e][j][h];
		BARRIER;
#pragma nounroll
		for (u32 p = THREAD; p < F::HIGH * ROWS; p += 256) {
			u32 r = p / (ROWS / 2), x = p % (ROWS / 2) * 2;
			sum v[2] = {staged[r * WIDTH + x], staged[r * WIDTH + x + 1]};
			leave2<typename F::format, DOWN_B>(c, start, v, top + r / F::HIGH * 64 + i * F::HIGH + r % F::HIGH, left + x, m, n, stride, how);
		}
	}
}

// The peak: a warp multiplies what its registers hold, rounds times with each of
// eight accumulators. A thread has na words of a fragment of A in in, then nb of B,
// and leaves the total of the accumulators in out.
template <typename T, u32 count, typename E, u32 na, u32 nb, void multiply(T *, const E *, const E *)>
FN void peak(T *out, const E *in, u32 rounds) {
	E f[na + nb];
	T sums[8][count];
#pragma unroll
	for (u32 i = 0; i < na + nb; i++) f[i] = in[THREAD % 32 * (na + nb) + i];
#pragma unroll
	for (u32 i = 0; i < 8 * count; i++) ((T *)sums)[i] = i / count; // so that none is another's copy
	for (u32 l = 0; l < rounds; l++)
#pragma unroll
		for (u32 i = 0; i < 8; i++) multiply(sums[i], f, f + na);
#pragma unroll
	for (u32 i = 0; i < count; i++) {
		T total = 0;
#pragma unroll
		for (u32 j = 0; j < 8; j++) total += sums[j][i];
		out[(BLOCK_X * 256 + THREAD) * count + i] = total;
	}
}

#define LAYOUT(NAME, F, SUM, ENDS, DOWN_A, DOWN_B) \
KERNEL(256) void mma_##NAME##_##ENDS(const u32x4 *a, const u32x4 *b, SUM *c, const SUM *start, u32 m, u32 n, u32 k, u32 stride, u32 how) { \
	product<F, DOWN_A, DOWN_B>(a, b, c, start, m, n, k, stride, how); \
}
#define LAYOUTS(NAME, F, SUM) LAYOUT(NAME, F, SUM, nt, false, false) LAYOUT(NAME, F, SUM, nn, false, true) LAYOUT(NAME, F, SUM, tn, true, true)

#define MMA(NAME, SHAPE) \
FN void multiply_##NAME(float *c, const u32 *a, const u32 *b) { \
	asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
		: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); \
} \
typedef quads<of_##NAME, multiply_##NAME> quads_##NAME; \
LAYOUTS(NAME, quads_##NAME, float) \
KERNEL(256) void peak_##NAME(float *out, const u32 *in, u32 rounds) { peak<float, 4, u32, 4, 2, multiply_##NAME>(out, in, rounds); }

MMA(bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(fp16, "m16n8k16.row.col.f32.f16.f16.f32")
MMA(tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
LAYOUTS(fp64, doubles, double)
KERNEL(256) void peak_fp64(double *out, const double *in, u32 rounds) { peak<double, 2, double, 1, 1, multiply_fp64>(out, in, rounds); }
