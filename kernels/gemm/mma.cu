// C = A·Bᵀ on the tensor cores of NVIDIA's GPUs since Ampere (sm_80): A is m×k,
// B is n×k, C is m×n, all by rows. Sums are float32, of float64 float64. A row is a
// whole number of parts of 16 bytes; k counts parts: 8 elements of bfloat16 or
// float16, 4 of TensorFloat-32, of which the last 13 bits do not count, 2 of
// float64.
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

// Where a part of a row lies in a stage: two rows in 128 bytes, their parts
// exchanged so that the eight rows that ldmatrix reads are in different banks.
FN u32 place(u32 row, u32 part) { return row * 64 + ((part ^ (row >> 1 & 3)) << 4); }

// Copies a thread's parts of a step; zero outside of the matrix.
FN void load(u32 to, const u32x4 *from, u32 first, u32 rows, u32 step, u32 k) {
#pragma unroll
	for (u32 i = 0; i < ROWS * PARTS / 256; i++) {
		u32 p = THREAD + i * 256, r = p / PARTS, q = p % PARTS, part = step * PARTS + q;
		bool inside = first + r < rows && part < k;
		copy16(to + place(r, q), from + (inside ? (u64)(first + r) * k + part : 0), inside ? 16 : 0);
	}
}

// The fragments of 16×8 sums by instructions that read 32 bytes of k: registers
// of one instruction, and how a warp multiplies its part of a step.
template <void multiply(float *, const u32 *, const u32 *)> struct quads {
	typedef float sum;
	enum { HIGH = 16, WIDE = 8, TALL = 2 }; // rows and columns of an instruction, rows of a thread
	sum sums[4][4][4];
	FN void step(quads &s, u32 a, u32 b, u32 lane) {
#pragma unroll
		for (u32 h = 0; h < PARTS; h += 2) {
			u32 fa[4][4], fb[2][4];
#pragma unroll
			for (u32 i = 0; i < 4; i++) load4(fa[i], a + place(i * 16 + lane % 16, h + lane / 16));
#pragma unroll
			for (u32 j = 0; j < 2; j++) load4(fb[j], b + place(j * 16 + lane % 8 + lane / 16 * 8, h + lane / 8 % 2));
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
FN void load2(double *r, u32 at) { asm volatile("ld.shared.v2.f64 {%0,%1}, [%2];" : "=d"(r[0]), "=d"(r[1]) : "r"(at) : "memory"); }

// The same for float64. An instruction takes four elements of k, one of each of
// four threads; which four is free as long as A and B agree. Thread t has
// elements 2t and 2t+1 of a step: one instruction takes the even ones, the next
// the odd ones, and a thread loads 16 bytes at a time.
struct doubles {
	typedef double sum;
	enum { HIGH = 8, WIDE = 8, TALL = 1 };
	sum sums[8][4][2];
	FN void step(doubles &s, u32 a, u32 b, u32 lane) {
		double fa[8][2], fb[4][2];
#pragma unroll
		for (u32 i = 0; i < 8; i++) load2(fa[i], a + place(i * 8 + lane / 4, lane % 4));
#pragma unroll
		for (u32 j = 0; j < 4; j++) load2(fb[j], b + place(j * 8 + lane / 4, lane % 4));
#pragma unroll
		for (u32 h = 0; h < 2; h++)
#pragma unroll
			for (u32 i = 0; i < 8; i++)
#pragma unroll
				for (u32 j = 0; j < 4; j++) multiply_fp64(s.sums[i][j], fa[i] + h, fb[j] + h);
	}
};

template <typename F> FN void product(const u32x4 *a, const u32x4 *b, typename F::sum *c, u32 m, u32 n, u32 k) {
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages;
	u32 lane = THREAD % 32, warp = THREAD / 32, wm = warp % 2 * 64, wn = warp / 2 * 32;
	u32x2 tile = grouped((n + ROWS - 1) / ROWS, (m + ROWS - 1) / ROWS);
	u32 top = tile.y * ROWS, left = tile.x * ROWS, steps = (k + PARTS - 1) / PARTS;
	F s;
#pragma unroll
	for (u32 i = 0; i < sizeof(s.sums) / sizeof(typename F::sum); i++) ((typename F::sum *)s.sums)[i] = 0;
#pragma unroll
	for (u32 i = 0; i < STAGES - 1; i++) {
		if (i < steps) {
			load(base + i * STAGE, a, top, m, i, k);
			load(base + i * STAGE + STAGE / 2, b, left, n, i, k);
		}
		commit();
	}
	for (u32 l = 0; l < steps; l++) {
		asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
		BARRIER;
		if (l + STAGES - 1 < steps) { // into the stage that was multiplied before the barrier
			u32 to = base + (l + STAGES - 1) % STAGES * STAGE;
			load(to, a, top, m, l + STAGES - 1, k);
			load(to + STAGE / 2, b, left, n, l + STAGES - 1, k);
		}
		commit();
		u32 at = base + l % STAGES * STAGE;
		F::step(s, at + wm * 64, at + STAGE / 2 + wn * 64, lane);
	}
#pragma unroll
	for (u32 i = 0; i < 64 / F::HIGH; i++)
#pragma unroll
		for (u32 j = 0; j < 32 / F::WIDE; j++)
#pragma unroll
			for (u32 h = 0; h < F::TALL; h++)
				store2(c, s.sums[i][j] + h * 2, top + wm + i * F::HIGH + h * 8 + lane / 4, left + wn + j * 8 + lane % 4 * 2, m, n);
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

#define MMA(NAME, SHAPE) \
FN void multiply_##NAME(float *c, const u32 *a, const u32 *b) { \
	asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
		: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); \
} \
KERNEL(256) void mma_##NAME(const u32x4 *a, const u32x4 *b, float *c, u32 m, u32 n, u32 k) { product<quads<multiply_##NAME>>(a, b, c, m, n, k); } \
KERNEL(256) void peak_##NAME(float *out, const u32 *in, u32 rounds) { peak<float, 4, u32, 4, 2, multiply_##NAME>(out, in, rounds); }

MMA(bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(fp16, "m16n8k16.row.col.f32.f16.f16.f32")
MMA(tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
KERNEL(256) void mma_fp64(const u32x4 *a, const u32x4 *b, double *c, u32 m, u32 n, u32 k) { product<doubles>(a, b, c, m, n, k); }
KERNEL(256) void peak_fp64(double *out, const double *in, u32 rounds) { peak<double, 2, double, 1, 1, multiply_fp64>(out, in, rounds); }
