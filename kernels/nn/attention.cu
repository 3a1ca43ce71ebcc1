// Causal attention of bfloat16 on the tensor cores of NVIDIA's GPUs since Ampere
// (sm_80), with the arguments of attention.h's kernels: FlashAttention-2 (Dao 2023,
// arXiv:2307.08691), where scores never leave the registers of a warp.
//
// A warp has 16 rows of a block's 128 and goes along tiles of 64 columns, of which
// the next is copied while one is used: queries along keys, and in one of the two
// backward kernels keys along queries. Heads are up to 64 wide, and computed as 64.
// Probabilities and their gradients are rounded to bfloat16 where they are
// multiplied; sums are float32.

#include "../gemm/tensor.h"

#define TILE (64 * 128) // bytes: 64 rows of 64 elements
#define LOWEST bits_f32(0xff7fffffu)
#define LOG2E 1.44269504f
#define LN2 0.693147181f
#define LANE (THREAD % 32)

SHARED static __attribute__((aligned(128))) unsigned char stages[4 * TILE];

FN u32 shared(void) { return (u32)(u64)(__attribute__((address_space(3))) unsigned char *)stages; }

// Where a part of 16 bytes of a row lies: the parts of eight rows, which ldmatrix
// reads at once, are in different banks.
FN u32 place(u32 row, u32 part) { return row * 128 + ((part ^ (row & 7)) << 4); }

// Copies rows of a head; zero outside.
template <u32 count> FN void copy(u32 to, const u16 *from, u32 first, u32 seq, u32 stride, u32 width) {
#pragma unroll
	for (u32 i = 0; i < count / 32; i++) {
		u32 p = THREAD + i * 256, r = p / 8, q = p % 8;
		bool inside = first + r < seq && q * 8 < width;
		copy16(to + place(r, q), from + (inside ? (u64)(first + r) * stride + q * 8 : 0), inside ? 16 : 0);
	}
}

FN void wait(void) { asm volatile("cp.async.wait_group 0;" ::: "memory"); }

FN void load4(u32 *r, u32 at) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
FN void load4_transposed(u32 *r, u32 at) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
FN void multiply(float *c, const u32 *a, const u32 *b) {
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		: "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FN u32 pair(float low, float high) {
	u32 r;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
	return r;
}

// The fragments of a warp's 16 rows, 64 wide.
struct rows {
	u32 r[4][4];
};
FN void fetch(rows &a, u32 at) {
#pragma unroll
	for (u32 h = 0; h < 4; h++) load4(a.r[h], at + place(THREAD / 32 * 16 + LANE % 16, 2 * h + LANE / 16));
}

// s = a·bᵀ, with 16 rows of a tile from the first on.
FN void scores(float s[2][4], const rows &a, u32 at, u32 first) {
#pragma unroll
	for (u32 i = 0; i < 8; i++) s[i / 4][i % 4] = 0;
#pragma unroll
	for (u32 h = 0; h < 4; h++) {
		u32 b[4];
		load4(b, at + place(first + LANE % 8 + LANE / 16 * 8, 2 * h + LANE / 8 % 2));
		multiply(s[0], a.r[h], b);
		multiply(s[1], a.r[h], b + 2);
	}
}

// sum += s·b, with the same 16 rows of a tile: the sums of a product are laid out as
// the fragments of the left side of another.
FN void along(float sum[8][4], const float s[2][4], u32 at, u32 first) {
	u32 p[4] = {pair(s[0][0], s[0][1]), pair(s[0][2], s[0][3]), pair(s[1][0], s[1][1]), pair(s[1][2], s[1][3])};
#pragma unroll
	for (u32 h = 0; h < 4; h++) {
		u32 b[4];
		load4_transposed(b, at + place(first + LANE % 16, 2 * h + LANE / 16));
		multiply(sum[2 * h], p, b);
		multiply(sum[2 * h + 1], p, b + 2);
	}
}

// Stores the 16×64 sums of a warp, times a factor for each half of the rows.
FN void keep(u16 *to, const float sum[8][4], float upper, float lower, u32 first, u32 seq, u32 stride, u32 width) {
	u32 row = first + THREAD / 32 * 16 + LANE / 4;
#pragma unroll
	for (u32 n = 0; n < 8; n++)
#pragma unroll
		for (u32 i = 0; i < 2; i++) {
			float factor = i ? lower : upper;
			if (row + 8 * i < seq && n * 8 < width) *(u32 *)(to + (u64)(row + 8 * i) * stride + n * 8 + LANE % 4 * 2) = pair(sum[n][2 * i] * factor, sum[n][2 * i + 1] * factor);
		}
}

KERNEL(256) void mma_attention(u16 *y, float *lse, const u16 *qkv, u32 seq, u32 heads, u32 width, float scale) {
	u32 top = ((seq - 1) / 128 - BLOCK_X) * 128, all = heads * width, batch = BLOCK_Y / heads, head = BLOCK_Y % heads, base = shared();
	u32 row = top + THREAD / 32 * 16 + LANE / 4, last = row - LANE / 4 + 15, end = top + 128 < seq ? top + 128 : seq;
	const u16 *from = qkv + (u64)batch * seq * 3 * all + head * width;
	float high[2] = {LOWEST, LOWEST}, sum[2] = {0, 0}, o[8][4] = {};
	rows q;
	copy<128>(base + 2 * TILE, from, top, seq, 3 * all, width);
	copy<64>(base, from + all, 0, seq, 3 * all, width);
	copy<64>(base + TILE, from + 2 * all, 0, seq, 3 * all, width);
	commit();
	wait();
	BARRIER;
	fetch(q, base + 2 * TILE);
	for (u32 left = 0; left < end; left += 64) {
		u32 at = base + left / 64 % 2 * 2 * TILE, next = base + (1 - left / 64 % 2) * 2 * TILE;
		wait();
		BARRIER;
		if (left + 64 < end) { // over what was used before the barrier
			copy<64>(next, from + all, left + 64, seq, 3 * all, width);
			copy<64>(next + TILE, from + 2 * all, left + 64, seq, 3 * all, width);
		}
		commit();
		if (left > last) continue;
		float s[8][4];
#pragma unroll
		for (u32 n = 0; n < 4; n++) scores(s + 2 * n, q, at, 16 * n);
#pragma unroll
		for (u32 i = 0; i < 2; i++) { // rows row and row + 8
			float most = high[i];
#pragma unroll
			for (u32 n = 0; n < 16; n++) {
				float *v = &s[n / 2][2 * i + n % 2];
				*v = left + n / 2 * 8 + LANE % 4 * 2 + n % 2 <= row + 8 * i ? *v * scale : LOWEST;
				most = MAX(most, *v);
			}
			most = MAX(most, ACROSS(most, 1));
			most = MAX(most, ACROSS(most, 2));
			float factor = EXP2(high[i] - most);
			high[i] = most;
			sum[i] *= factor;
#pragma unroll
			for (u32 n = 0; n < 16; n++) {
				float *v = &s[n / 2][2 * i + n % 2];
				*v = EXP2(*v - most);
				sum[i] += *v;
				o[n / 2][2 * i + n % 2] *= factor;
			}
		}
#pragma unroll
		for (u32 n = 0; n < 4; n++) along(o, s + 2 * n, at + TILE, 16 * n);
	}
#pragma unroll
	for (u32 i = 0; i < 2; i++) {
		sum[i] += ACROSS(sum[i], 1);
		sum[i] += ACROSS(sum[i], 2);
		if (LANE % 4 == 0 && row + 8 * i < seq) lse[(u64)BLOCK_Y * seq + row + 8 * i] = (high[i] + LOG2(sum[i])) * LN2;
	}
	keep(y + (u64)batch * seq * all + head * width, o, 1 / sum[0], 1 / sum[1], top, seq, all, width);
}

// One kernel has 128 keys as rows and goes along queries, the other queries and goes
// along keys. Of the rows a warp has k and v, or q and dy; of a tile there are q and
// dy, or k and v.
template <bool keys> FN void grad(u16 *dqkv, const u16 *qkv, const float *lse, const float *delta, const u16 *dy, u32 seq, u32 heads, u32 width, float scale) {
	u32 tiles = (seq - 1) / 128, top = (keys ? BLOCK_X : tiles - BLOCK_X) * 128, all = heads * width, batch = BLOCK_Y / heads, head = BLOCK_Y % heads, base = shared();
	u32 row = top + THREAD / 32 * 16 + LANE / 4, first = row - LANE / 4, end = keys || top + 128 > seq ? seq : top + 128;
	u64 at = (u64)batch * seq * 3 * all + head * width, stats = (u64)BLOCK_Y * seq;
	const u16 *q = qkv + at, *d = dy + (u64)batch * seq * all + head * width;
	const u16 *k = q + all, *v = q + 2 * all;
	rows a, b;
	copy<128>(base, keys ? k : q, top, seq, 3 * all, width);
	copy<128>(base + 2 * TILE, keys ? v : d, top, seq, keys ? 3 * all : all, width);
	commit();
	wait();
	BARRIER;
	fetch(a, base);
	fetch(b, base + 2 * TILE);
	BARRIER;
	float l[2] = {0, 0}, off[2] = {0, 0}, da[8][4] = {}, db[8][4] = {};
	if (!keys)
#pragma unroll
		for (u32 i = 0; i < 2; i++) {
			u32 r = row + 8 * i < seq ? row + 8 * i : 0;
			l[i] = lse[stats + r] * LOG2E;
			off[i] = delta[stats + r];
		}
	u32 begin = keys ? top : 0;
	copy<64>(base, keys ? q : k, begin, seq, 3 * all, width);
	copy<64>(base + TILE, keys ? d : v, begin, seq, keys ? all : 3 * all, width);
	commit();
	for (u32 left = begin; left < end; left += 64) {
		u32 stage = base + (left - begin) / 64 % 2 * 2 * TILE, next = base + (1 - (left - begin) / 64 % 2) * 2 * TILE;
		wait();
		BARRIER;
		if (left + 64 < end) { // over what was used before the barrier
			copy<64>(next, keys ? q : k, left + 64, seq, 3 * all, width);
			copy<64>(next + TILE, keys ? d : v, left + 64, seq, keys ? all : 3 * all, width);
		}
		commit();
		for (u32 n = 0; n < 64; n += 16) {
			if (keys ? left + n + 15 < first : left + n > first + 15) continue;
			float s[2][4], g[2][4];
			scores(s, a, stage, n);
			scores(g, b, stage + TILE, n);
#pragma unroll
			for (u32 i = 0; i < 8; i++) {
				u32 r = row + i / 2 % 2 * 8, c = left + n + i / 4 * 8 + LANE % 4 * 2 + i % 2, half = i / 2 % 2;
				float *e = &s[i / 4][i % 4], *h = &g[i / 4][i % 4], own = l[half], less = off[half];
				if (keys) {
					own = lse[stats + (c < seq ? c : 0)] * LOG2E;
					less = delta[stats + (c < seq ? c : 0)];
				}
				*e = (keys ? c < seq && r <= c : c <= r) ? EXP2(*e * scale - own) : 0;
				*h = *e * (*h - less) * (scale * LN2);
			}
			along(da, g, stage, n);
			if (keys) along(db, s, stage + TILE, n);
		}
	}
	keep(dqkv + at + (keys ? all : 0), da, 1, 1, top, seq, 3 * all, width);
	if (keys) keep(dqkv + at + 2 * all, db, 1, 1, top, seq, 3 * all, width);
}

KERNEL(256) void mma_attention_keys(u16 *dqkv, const u16 *qkv, const float *lse, const float *delta, const u16 *dy, u32 seq, u32 heads, u32 width, float scale) {
	grad<true>(dqkv, qkv, lse, delta, dy, seq, heads, width, scale);
}
KERNEL(256) void mma_attention_queries(u16 *dqkv, const u16 *qkv, const float *lse, const float *delta, const u16 *dy, u32 seq, u32 heads, u32 width, float scale) {
	grad<false>(dqkv, qkv, lse, delta, dy, seq, heads, width, scale);
}
