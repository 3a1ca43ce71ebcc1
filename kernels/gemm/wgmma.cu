// C = A·Bᵀ on the tensor cores of Hopper (sm_90a), with the operands and sums of
// mma.cu.
//
// A block of two warpgroups computes a tile of 128×256, each of them 64×256, in
// steps of 128 bytes of k. Stages lie in shared memory as wgmma reads them: lines
// of 128 bytes, whose parts of 16 bytes are exchanged in groups of eight lines.
// While one step is multiplied, the copies of the next two are under way.

#include "tensor.h"

#define TOP 128
#define LEFT 256
#define PARTS 8 // of a step
#define STAGES 4
#define STAGE ((TOP + LEFT) * PARTS * 16)

FN u32 place(u32 row, u32 part) { return row * 128 + ((part ^ (row & 7)) << 4); }

// The descriptor of a matrix in shared memory: eight lines every 1024 bytes,
// swizzled by 128 bytes.
FN u64 describe(u32 at) { return (u64)((at & 0x3ffff) >> 4) | 1ul << 16 | 64ul << 32 | 1ul << 62; }

// Copies a thread's parts of a step; zero outside of the matrix.
template <u32 count> FN void load(u32 to, const u32x4 *from, u32 first, u32 rows, u32 step, u32 k) {
#pragma unroll
	for (u32 i = 0; i < count * PARTS / 256; i++) {
		u32 p = THREAD + i * 256, r = p / PARTS, q = p % PARTS, part = step * PARTS + q;
		bool inside = first + r < rows && part < k;
		copy16(to + place(r, q), from + (inside ? (u64)(first + r) * k + part : 0), inside ? 16 : 0);
	}
}

extern "C" {
extern __attribute__((aligned(1024))) SHARED unsigned char stages[];
}

// Waits for every wgmma. The compiler may not read a sum before that.
FN void finish(float *sums) {
	asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
	for (u32 i = 0; i < 128; i++) asm volatile("" : "+f"(sums[i])::"memory");
}

#define O8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define O32(i) O8(i), O8(i + 8), O8(i + 16), O8(i + 24)
#define N10(t) "%" t "0,%" t "1,%" t "2,%" t "3,%" t "4,%" t "5,%" t "6,%" t "7,%" t "8,%" t "9"
#define N120 N10("") "," N10("1") "," N10("2") "," N10("3") "," N10("4") "," N10("5") "," N10("6") "," N10("7") "," N10("8") "," N10("9") "," N10("10") "," N10("11")

#define WGMMA(NAME, SHAPE, END) \
FN void multiply_##NAME(float *d, u64 a, u64 b, u32 add) { \
	asm volatile("{ .reg .pred p; setp.ne.b32 p, %130, 0; wgmma.mma_async.sync.aligned.m64n256" SHAPE \
		" {" N120 ",%120,%121,%122,%123,%124,%125,%126,%127}, %128, %129, p, 1, 1" END "; }" \
		: O32(0), O32(32), O32(64), O32(96) : "l"(a), "l"(b), "r"(add) : "memory"); \
} \
KERNEL(256) void wgmma_##NAME(const u32x4 *a, const u32x4 *b, float *c, u32 m, u32 n, u32 k) { \
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; \
	u32 lane = THREAD % 32, group = THREAD / 128; \
	u32x2 tile = grouped((n + LEFT - 1) / LEFT, (m + TOP - 1) / TOP); \
	u32 top = tile.y * TOP, left = tile.x * LEFT, steps = (k + PARTS - 1) / PARTS; \
	float sums[128]; \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) sums[i] = 0; \
	_Pragma("unroll") for (u32 s = 0; s < STAGES - 2; s++) { \
		if (s < steps) { \
			load<TOP>(base + s * STAGE, a, top, m, s, k); \
			load<LEFT>(base + s * STAGE + TOP * 128, b, left, n, s, k); \
		} \
		commit(); \
	} \
	for (u32 l = 0; l < steps; l++) { \
		asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 3) : "memory"); \
		asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); \
		BARRIER; \
		u32 at = base + l % STAGES * STAGE + group * 64 * 128, bt = base + l % STAGES * STAGE + TOP * 128; \
		asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); \
		_Pragma("unroll") for (u32 h = 0; h < 4; h++) multiply_##NAME(sums, describe(at + h * 32), describe(bt + h * 32), l + h); \
		asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); \
		if (l + STAGES - 2 < steps) { /* into the stage whose wgmma ended before the barrier */ \
			u32 to = base + (l + STAGES - 2) % STAGES * STAGE; \
			load<TOP>(to, a, top, m, l + STAGES - 2, k); \
			load<LEFT>(to + TOP * 128, b, left, n, l + STAGES - 2, k); \
		} \
		commit(); \
		asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory"); \
	} \
	finish(sums); \
	_Pragma("unroll") for (u32 j = 0; j < 32; j++) \
		_Pragma("unroll") for (u32 h = 0; h < 2; h++) \
			store2(c, sums + j * 4 + h * 2, top + THREAD / 32 * 16 + h * 8 + lane / 4, left + j * 8 + lane % 4 * 2, m, n); \
} \
/* The peak: two warpgroups multiply 64 and 64 rows by 256 that lie in shared memory, \
   rounds times 128 bytes of k. in has the 128 rows and the 256; a thread leaves \
   the total of its sums in out. */ \
KERNEL(256) void peak_##NAME(float *out, const u32x4 *in, u32 rounds) { \
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; \
	float sums[128], total = 0; \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) sums[i] = 0; \
	load<TOP>(base, in, 0, TOP, 0, PARTS); \
	load<LEFT>(base + TOP * 128, in + TOP * PARTS, 0, LEFT, 0, PARTS); \
	commit(); \
	asm volatile("cp.async.wait_group 0;" ::: "memory"); \
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); \
	BARRIER; \
	u32 at = base + THREAD / 128 * 64 * 128, bt = base + TOP * 128; \
	for (u32 l = 0; l < rounds; l++) { \
		asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); \
		_Pragma("unroll") for (u32 h = 0; h < 4; h++) multiply_##NAME(sums, describe(at + h * 32), describe(bt + h * 32), 1); \
	} \
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); \
	finish(sums); \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) total += sums[i]; \
	out[BLOCK_X * 256 + THREAD] = total; \
}

WGMMA(bf16, "k16.f32.bf16.bf16", ", 0, 0")
WGMMA(fp16, "k16.f32.f16.f16", ", 0, 0")
WGMMA(tf32, "k8.f32.tf32.tf32", "")
