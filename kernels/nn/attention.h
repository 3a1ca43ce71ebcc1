// Causal attention of heads at most W wide, by FlashAttention-2 (Dao 2023,
// arXiv:2307.08691): scores exist a tile of 32 queries × 32 keys at a time, the
// softmax goes along, and the backward pass computes them again. A row of qkv has
// the queries, the keys and the values of all heads.
//
// In the backward pass one kernel goes along a tile of keys and another along a
// tile of queries, instead of adding to dq atomically: two products more, and every
// sum in one order.
//
// Tiles are kept as in spot. A thread (x, y) of 16×16 has the scores of rows y and
// y + 16 with columns x and x + 16, and HELD quads of a 32×W sum.

#define PARTS (W / 4)
#define HELD (PARTS / 8)

FN u32 NAME(place)(u32 row, u32 part) { return row * PARTS + (part ^ (row & 7)); }

// Loads rows of a head, zero outside.
FN void NAME(tile)(IN_SHARED f32x4 *to, GLOBAL const E *from, u32 first, u32 seq, u32 stride, u32 width) {
	for (u32 h = 0; h < HELD; h++) {
		u32 i = THREAD + h * 256, r = i / PARTS, c = i % PARTS * 4;
		to[NAME(place)(r, c / 4)] = first + r < seq && c < width ? get4(from + (u64)(first + r) * stride + c) : (f32x4)(0.f);
	}
}

// s = a·bᵀ
FN void NAME(dots)(float s[2][2], IN_SHARED const f32x4 *a, IN_SHARED const f32x4 *b) {
	u32 x = THREAD % 16, y = THREAD / 16;
	for (u32 i = 0; i < 4; i++) s[i / 2][i % 2] = 0;
#pragma unroll 4
	for (u32 p = 0; p < PARTS; p++) {
		f32x4 r[2] = {a[NAME(place)(y, p)], a[NAME(place)(y + 16, p)]}, c[2] = {b[NAME(place)(x, p)], b[NAME(place)(x + 16, p)]};
		for (u32 i = 0; i < 4; i++)
			for (u32 e = 0; e < 4; e++) s[i / 2][i % 2] = FMA(r[i / 2][e], c[i % 2][e], s[i / 2][i % 2]);
	}
}

// sum += p·b
FN void NAME(times)(f32x4 *sum, IN_SHARED const f32x4 *p, IN_SHARED const f32x4 *b) {
#pragma unroll 4
	for (u32 q = 0; q < 8; q++)
		for (u32 h = 0; h < HELD; h++) {
			u32 i = THREAD + h * 256, row = i / PARTS;
			f32x4 w = p[row * 8 + (q ^ (row & 7))];
			for (u32 e = 0; e < 4; e++) sum[h] = FMA((f32x4)(w[e]), b[NAME(place)(q * 4 + e, i % PARTS)], sum[h]);
		}
}

FN void NAME(keep)(GLOBAL E *to, const f32x4 *sum, u32 first, u32 seq, u32 stride, u32 width) {
	for (u32 h = 0; h < HELD; h++) {
		u32 i = THREAD + h * 256, r = first + i / PARTS, c = i % PARTS * 4;
		if (r < seq && c < width) put4(to + (u64)r * stride + c, sum[h]);
	}
}

// scale is that of the scores times log₂ e. A block has 32 queries of a head; the
// last ones, which have the most keys, come first.
KERNEL(256) void NAME(attention)(GLOBAL E *y, GLOBAL float *lse, GLOBAL const E *qkv, u32 seq, u32 heads, u32 width, float scale) {
	ROOM;
	SHARED f32x4 q[32 * PARTS];
	SHARED f32x4 k[32 * PARTS];
	SHARED f32x4 v[32 * PARTS];
	SHARED f32x4 p[32 * 8];
	SHARED float factors[32];
	u32 x = THREAD % 16, row = THREAD / 16, top = ((seq - 1) / 32 - BLOCK_X) * 32, all = heads * width, batch = BLOCK_Y / heads, head = BLOCK_Y % heads;
	GLOBAL const E *from = qkv + (u64)batch * seq * 3 * all + head * width;
	float high[2] = {LOWEST, LOWEST}, sum[2] = {0, 0}, s[2][2];
	f32x4 o[HELD];
	for (u32 h = 0; h < HELD; h++) o[h] = (f32x4)(0.f);
	NAME(tile)(q, from, top, seq, 3 * all, width);
	for (u32 left = 0; left <= top; left += 32) {
		BARRIER;
		NAME(tile)(k, from + all, left, seq, 3 * all, width);
		NAME(tile)(v, from + 2 * all, left, seq, 3 * all, width);
		BARRIER;
		NAME(dots)(s, q, k);
		for (u32 i = 0; i < 2; i++) {
			for (u32 j = 0; j < 2; j++) s[i][j] = left + x + 16 * j <= top + row + 16 * i ? s[i][j] * scale : LOWEST;
			float most = MAX(MAX(s[i][0], s[i][1]), high[i]);
			for (u32 mask = 8; mask > 0; mask >>= 1) most = MAX(most, ACROSS(most, mask));
			float factor = EXP2(high[i] - most);
			high[i] = most;
			sum[i] *= factor;
			if (x == 0) factors[row + 16 * i] = factor;
			for (u32 j = 0; j < 2; j++) {
				float e = EXP2(s[i][j] - most);
				sum[i] += e;
				((IN_SHARED float *)p)[spot(row + 16 * i, x + 16 * j)] = e;
			}
		}
		BARRIER;
		for (u32 h = 0; h < HELD; h++) o[h] *= factors[(THREAD + h * 256) / PARTS];
		NAME(times)(o, p, v);
	}
	BARRIER;
	for (u32 i = 0; i < 2; i++) {
		for (u32 mask = 8; mask > 0; mask >>= 1) sum[i] += ACROSS(sum[i], mask);
		if (x == 0) {
			factors[row + 16 * i] = 1 / sum[i];
			u32 r = top + row + 16 * i;
			if (r < seq) lse[(u64)BLOCK_Y * seq + r] = (high[i] + LOG2(sum[i])) * LN2;
		}
	}
	BARRIER;
	for (u32 h = 0; h < HELD; h++) o[h] *= factors[(THREAD + h * 256) / PARTS];
	NAME(keep)(y + (u64)batch * seq * all + head * width, o, top, seq, all, width);
}

// dv = pᵀ·dy and dk = dsᵀ·q of 32 keys of a head, where ds = p·(dy·vᵀ − delta)·scale.
KERNEL(256) void NAME(attention_keys)(GLOBAL E *dqkv, GLOBAL const E *qkv, GLOBAL const float *lse, GLOBAL const float *delta, GLOBAL const E *dy, u32 seq, u32 heads, u32 width, float scale) {
	SHARED f32x4 q[32 * PARTS];
	SHARED f32x4 k[32 * PARTS];
	SHARED f32x4 v[32 * PARTS];
	SHARED f32x4 d[32 * PARTS];
	SHARED f32x4 p[32 * 8];
	SHARED f32x4 ds[32 * 8];
	u32 x = THREAD % 16, row = THREAD / 16, left = BLOCK_X * 32, all = heads * width, batch = BLOCK_Y / heads, head = BLOCK_Y % heads;
	u64 at = (u64)batch * seq * 3 * all + head * width;
	GLOBAL const E *from = qkv + at, *down = dy + (u64)batch * seq * all + head * width;
	float s[2][2], g[2][2];
	f32x4 dk[HELD], dv[HELD];
	for (u32 h = 0; h < HELD; h++) dk[h] = dv[h] = (f32x4)(0.f);
	NAME(tile)(k, from + all, left, seq, 3 * all, width);
	NAME(tile)(v, from + 2 * all, left, seq, 3 * all, width);
	for (u32 top = left; top < seq; top += 32) {
		BARRIER;
		NAME(tile)(q, from, top, seq, 3 * all, width);
		NAME(tile)(d, down, top, seq, all, width);
		BARRIER;
		NAME(dots)(s, k, q);
		NAME(dots)(g, v, d);
		for (u32 j = 0; j < 2; j++) {
			u32 r = top + x + 16 * j;
			u64 which = (u64)BLOCK_Y * seq + (r < seq ? r : 0);
			float l = lse[which] * LOG2E, off = delta[which];
			for (u32 i = 0; i < 2; i++) {
				float e = r < seq && left + row + 16 * i <= r ? EXP2(s[i][j] * scale - l) : 0;
				((IN_SHARED float *)p)[spot(row + 16 * i, x + 16 * j)] = e;
				((IN_SHARED float *)ds)[spot(row + 16 * i, x + 16 * j)] = e * (g[i][j] - off) * (scale * LN2);
			}
		}
		BARRIER;
		NAME(times)(dv, p, d);
		NAME(times)(dk, ds, q);
	}
	NAME(keep)(dqkv + at + all, dk, left, seq, 3 * all, width);
	NAME(keep)(dqkv + at + 2 * all, dv, left, seq, 3 * all, width);
}

// dq = ds·k of 32 queries of a head.
KERNEL(256) void NAME(attention_queries)(GLOBAL E *dqkv, GLOBAL const E *qkv, GLOBAL const float *lse, GLOBAL const float *delta, GLOBAL const E *dy, u32 seq, u32 heads, u32 width, float scale) {
	SHARED f32x4 q[32 * PARTS];
	SHARED f32x4 k[32 * PARTS];
	SHARED f32x4 v[32 * PARTS];
	SHARED f32x4 d[32 * PARTS];
	SHARED f32x4 ds[32 * 8];
	u32 x = THREAD % 16, row = THREAD / 16, top = ((seq - 1) / 32 - BLOCK_X) * 32, all = heads * width, batch = BLOCK_Y / heads, head = BLOCK_Y % heads;
	u64 at = (u64)batch * seq * 3 * all + head * width;
	GLOBAL const E *from = qkv + at;
	float s[2][2], g[2][2], l[2], off[2];
	for (u32 i = 0; i < 2; i++) {
		u32 r = top + row + 16 * i;
		u64 which = (u64)BLOCK_Y * seq + (r < seq ? r : 0);
		l[i] = lse[which] * LOG2E;
		off[i] = delta[which];
	}
	f32x4 dq[HELD];
	for (u32 h = 0; h < HELD; h++) dq[h] = (f32x4)(0.f);
	NAME(tile)(q, from, top, seq, 3 * all, width);
	NAME(tile)(d, dy + (u64)batch * seq * all + head * width, top, seq, all, width);
	for (u32 left = 0; left <= top; left += 32) {
		BARRIER;
		NAME(tile)(k, from + all, left, seq, 3 * all, width);
		NAME(tile)(v, from + 2 * all, left, seq, 3 * all, width);
		BARRIER;
		NAME(dots)(s, q, k);
		NAME(dots)(g, d, v);
		for (u32 i = 0; i < 2; i++)
			for (u32 j = 0; j < 2; j++) {
				float e = left + x + 16 * j <= top + row + 16 * i ? EXP2(s[i][j] * scale - l[i]) : 0;
				((IN_SHARED float *)ds)[spot(row + 16 * i, x + 16 * j)] = e * (g[i][j] - off[i]) * (scale * LN2);
			}
		BARRIER;
		NAME(times)(dq, ds, k);
	}
	NAME(keep)(dqkv + at, dq, top, seq, 3 * all, width);
}

#undef PARTS
#undef HELD
