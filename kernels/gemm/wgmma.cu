// Products on the tensor cores of Hopper (sm_90a): C = A·B, with the layouts, the
// parameters and the names of simt.cl; A and B are tensor maps. wgmma transposes
// elements of 16 bits alone, so that TensorFloat-32 has nt alone. It has not yet run
// on hardware.
//
// A block stays on its multiprocessor and takes tiles of 128×256 until there are
// none: the host starts one block a multiprocessor. A tile goes in steps of 128
// bytes of k, each of which is a stage of 48 kB in shared memory: 128 lines of A
// and 256 of B, as wgmma reads them. Of its three warpgroups
//   - the first has one thread that has tensor maps copy a step into the next free
//     stage, up to four ahead, over the ends of tiles too;
//   - the other two multiply 64×256 each, and while they store a tile the next
//     one's stages fill.
// A stage is full when its bytes are there (mbarrier complete_tx), and free when
// the eight warps that multiply have each said so.
//
// Registers, of 65,536: 384 threads start with 168. The copying warpgroup leaves
// all but 40 a thread, so that the others can have 232: (40 + 2·232)·128 = 64,512,
// of which 128 are its sums. No assembler of NVIDIA's has counted them.

#include "tensor.h"

#define TOP 128
#define LEFT 256
#define PARTS 8 // of a step
#define STAGES 4
#define STAGE ((TOP + LEFT) * PARTS * 16)

FN u32 place(u32 row, u32 part) { return row * 128 + ((part ^ (row & 7)) << 4); }

// The descriptor of a matrix in shared memory, swizzled by 128 bytes: along k, eight
// lines every 1024 bytes. Down k, a line has 64 elements of one k, eight k are every
// 1024 bytes, and the next 64 elements after BOX bytes.
#define BOX (64 * 128)
FN u64 describe(u32 at, bool down) { return (u64)((at & 0x3ffff) >> 4) | (down ? BOX >> 4 : 1ul) << 16 | 64ul << 32 | 1ul << 62; }

// A tensor map of elements of 4 bytes, whatever the precision.
struct alignas(64) Map {
	u64 opaque[16];
};
#define MAP const Map __attribute__((grid_constant))

FN void initialise(u32 barrier, u32 arrivals) {
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
FN void arrive(u32 barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }
FN void expect(u32 barrier, u32 bytes) {
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
FN void wait(u32 barrier, u32 parity) {
	u32 complete;
	do {
		asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p; }"
			: "=r"(complete) : "r"(barrier), "r"(parity) : "memory");
	} while (!complete);
}
FN void copy(u32 to, const Map *from, u32 x, u32 y, u32 barrier) {
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
		::"r"(to), "l"(from), "r"(x), "r"(y), "r"(barrier) : "memory");
}

// Copies lines of a step: along k a box of them, down k boxes of 64 elements by 64 k.
template <u32 LINES, bool DOWN> FN void fetch(u32 to, const Map *from, u32 first, u32 step, u32 barrier) {
	if (!DOWN) return copy(to, from, step * PARTS * 4, first, barrier);
#pragma unroll
	for (u32 i = 0; i < LINES / 64; i++) copy(to + i * BOX, from, (first + i * 64) / 2, step * 64, barrier);
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

#define WGMMA(NAME, LAYOUT, FORMAT, DOWN_A, DOWN_B, SHAPE, END) \
FN void multiply_##NAME##_##LAYOUT(float *d, u64 a, u64 b, u32 add) { \
	asm volatile("{ .reg .pred p; setp.ne.b32 p, %130, 0; wgmma.mma_async.sync.aligned.m64n256" SHAPE \
		" {" N120 ",%120,%121,%122,%123,%124,%125,%126,%127}, %128, %129, p, 1, 1" END "; }" \
		: O32(0), O32(32), O32(64), O32(96) : "l"(a), "l"(b), "r"(add) : "memory"); \
} \
extern "C" __attribute__((global, launch_bounds(384, 1))) void wgmma_##NAME##_##LAYOUT(MAP a, MAP b, float *c, const float *start, u32 m, u32 n, u32 k, u32 stride, u32 how) { \
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; \
	u32 full = base + STAGES * STAGE, empty = full + STAGES * 8; \
	u32 lane = THREAD % 32, group = THREAD / 128; \
	u32 across = (n + LEFT - 1) / LEFT, down = (m + TOP - 1) / TOP, steps = (k * sizeof(FORMAT::element) + 127) / 128; \
	if (THREAD == 0) { \
		for (u32 s = 0; s < STAGES; s++) { \
			initialise(full + s * 8, 1); \
			initialise(empty + s * 8, 8); \
		} \
		asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); \
	} \
	BARRIER; \
	u32 step = 0; /* of all tiles: its stage is step % STAGES, and that stage's phase step / STAGES */ \
	if (group == 0) { \
		asm volatile("setmaxnreg.dec.sync.aligned.u32 40;"); \
		if (THREAD != 0) return; \
		for (u32 t = BLOCK_X; t < across * down; t += __nvvm_read_ptx_sreg_nctaid_x()) { \
			u32x2 tile = nth(t, across, down, 16); \
			for (u32 l = 0; l < steps; l++, step++) { \
				u32 s = step % STAGES; \
				wait(empty + s * 8, step / STAGES & 1 ^ 1); /* at once, of a stage that was never full */ \
				expect(full + s * 8, STAGE); \
				fetch<TOP, DOWN_A>(base + s * STAGE, &a, tile.y * TOP, l, full + s * 8); \
				fetch<LEFT, DOWN_B>(base + s * STAGE + TOP * 128, &b, tile.x * LEFT, l, full + s * 8); \
			} \
		} \
		return; \
	} \
	asm volatile("setmaxnreg.inc.sync.aligned.u32 232;"); \
	float sums[128]; \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) sums[i] = 0; \
	for (u32 t = BLOCK_X; t < across * down; t += __nvvm_read_ptx_sreg_nctaid_x()) { \
		u32x2 tile = nth(t, across, down, 16); \
		for (u32 l = 0; l < steps; l++, step++) { \
			u32 s = step % STAGES, at = base + s * STAGE + (group - 1) * 64 * 128, bt = base + s * STAGE + TOP * 128; \
			wait(full + s * 8, step / STAGES & 1); \
			asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); \
			_Pragma("unroll") for (u32 h = 0; h < 4; h++) \
				multiply_##NAME##_##LAYOUT(sums, describe(at + h * (DOWN_A ? 2048 : 32), DOWN_A), describe(bt + h * (DOWN_B ? 2048 : 32), DOWN_B), l + h); \
			asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); \
			asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory"); \
			if (l > 0 && lane == 0) arrive(empty + (step - 1) % STAGES * 8); \
		} \
		finish(sums); \
		if (lane == 0) arrive(empty + (step - 1) % STAGES * 8); \
		u32 top = tile.y * TOP + (THREAD / 32 - 4) * 16 + lane / 4, left = tile.x * LEFT + lane % 4 * 2; \
		_Pragma("nounroll") for (u32 j = 0; j < 32; j += 8) { /* the first 32 sums, then the rest move up */ \
			_Pragma("unroll") for (u32 i = 0; i < 16; i++) \
				leave2<FORMAT, DOWN_B>(c, start, sums + i * 2, top + i % 2 * 8, left + (j + i / 2) * 8, m, n, stride, how); \
			_Pragma("unroll") for (u32 i = 0; i < 96; i++) sums[i] = sums[i + 32]; \
		} \
	} \
}

// The peak: two warpgroups multiply 64 and 64 rows by 256 that lie in shared memory,
// rounds times 128 bytes of k. in has the 128 rows and the 256; a thread leaves
// the total of its sums in out.
#define PEAK(NAME) \
KERNEL(256) void peak_##NAME(float *out, const u32x4 *in, u32 rounds) { \
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; \
	float sums[128], total = 0; \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) sums[i] = 0; \
	_Pragma("unroll") for (u32 i = 0; i < STAGE / 16 / 256; i++) { \
		u32 p = THREAD + i * 256; \
		*(u32x4 *)(stages + place(p / PARTS, p % PARTS)) = in[p]; \
	} \
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); \
	BARRIER; \
	u32 at = base + THREAD / 128 * 64 * 128, bt = base + TOP * 128; \
	for (u32 l = 0; l < rounds; l++) { \
		asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); \
		_Pragma("unroll") for (u32 h = 0; h < 4; h++) multiply_##NAME##_nt(sums, describe(at + h * 32, false), describe(bt + h * 32, false), 1); \
	} \
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); \
	finish(sums); \
	_Pragma("unroll") for (u32 i = 0; i < 128; i++) total += sums[i]; \
	out[BLOCK_X * 256 + THREAD] = total; \
}

#define LAYOUTS(NAME, FORMAT, SHAPE) \
	WGMMA(NAME, nt, FORMAT, false, false, SHAPE, ", 0, 0") \
	WGMMA(NAME, nn, FORMAT, false, true, SHAPE, ", 0, 1") \
	WGMMA(NAME, tn, FORMAT, true, true, SHAPE, ", 1, 1") \
	PEAK(NAME)
LAYOUTS(bf16, of_bf16, "k16.f32.bf16.bf16")
LAYOUTS(fp16, of_fp16, "k16.f32.f16.f16")
WGMMA(tf32, nt, of_tf32, false, false, "k8.f32.tf32.tf32", "")
PEAK(tf32)
