// C = A·Bᵀ on the tensor cores of NVIDIA's GPUs since Ampere (sm_80): A is m×k,
// B is n×k, C is m×n of float32, all by rows. Sums are float32. A row is a whole
// number of parts of 16 bytes; k counts parts: 8 elements of bfloat16 or
// float16, 4 of TensorFloat-32, of which the last 13 bits do not count.
//
// A block of eight warps computes a tile of 128×128, each warp 64×32 of it, in
// steps of 64 bytes of k. Copies of two steps are under way while a third is
// multiplied.

#define ROWS 128
#define PARTS 4 // of a step
#define STAGES 3
#define STAGE (2 * ROWS * PARTS * 16)

FN void copy16(u32 to, const void *from, u32 bytes) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
FN void commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
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

#define MMA(NAME, SHAPE) \
FN void multiply_##NAME(float *c, const u32 *a, const u32 *b) { \
	asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
		: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1])); \
} \
KERNEL(256) void NAME(const u32x4 *a, const u32x4 *b, float *c, u32 m, u32 n, u32 k) { \
	SHARED __attribute__((aligned(128))) unsigned char stages[STAGES * STAGE]; \
	u32 base = (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; \
	u32 lane = THREAD % 32, warp = THREAD / 32, wm = warp % 2 * 64, wn = warp / 2 * 32; \
	u32 top = BLOCK_Y * ROWS, left = BLOCK_X * ROWS, steps = (k + PARTS - 1) / PARTS; \
	float sums[4][4][4]; \
	_Pragma("unroll") for (u32 i = 0; i < 64; i++) ((float *)sums)[i] = 0; \
	_Pragma("unroll") for (u32 s = 0; s < STAGES - 1; s++) { \
		if (s < steps) { \
			load(base + s * STAGE, a, top, m, s, k); \
			load(base + s * STAGE + STAGE / 2, b, left, n, s, k); \
		} \
		commit(); \
	} \
	for (u32 l = 0; l < steps; l++) { \
		asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory"); \
		BARRIER; \
		if (l + STAGES - 1 < steps) { /* into the stage that was multiplied before the barrier */ \
			u32 to = base + (l + STAGES - 1) % STAGES * STAGE; \
			load(to, a, top, m, l + STAGES - 1, k); \
			load(to + STAGE / 2, b, left, n, l + STAGES - 1, k); \
		} \
		commit(); \
		u32 at = base + l % STAGES * STAGE, bt = at + STAGE / 2; \
		_Pragma("unroll") for (u32 h = 0; h < PARTS; h += 2) { \
			u32 fa[4][4], fb[2][4]; \
			_Pragma("unroll") for (u32 i = 0; i < 4; i++) load4(fa[i], at + place(wm + i * 16 + lane % 16, h + lane / 16)); \
			_Pragma("unroll") for (u32 j = 0; j < 2; j++) load4(fb[j], bt + place(wn + j * 16 + lane % 8 + lane / 16 * 8, h + lane / 8 % 2)); \
			_Pragma("unroll") for (u32 i = 0; i < 4; i++) \
				_Pragma("unroll") for (u32 j = 0; j < 4; j++) multiply_##NAME(sums[i][j], fa[i], fb[j / 2] + j % 2 * 2); \
		} \
	} \
	_Pragma("unroll") for (u32 i = 0; i < 4; i++) \
		_Pragma("unroll") for (u32 j = 0; j < 4; j++) \
			_Pragma("unroll") for (u32 h = 0; h < 2; h++) { \
				u32 r = top + wm + i * 16 + h * 8 + lane / 4, x = left + wn + j * 8 + lane % 4 * 2; \
				if (r < m && x < n) c[(u64)r * n + x] = sums[i][j][h * 2]; \
				if (r < m && x + 1 < n) c[(u64)r * n + x + 1] = sums[i][j][h * 2 + 1]; \
			} \
}

MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(mma_fp16, "m16n8k16.row.col.f32.f16.f16.f32")
MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
