// The passes of a transformer but its matrix products, in the words of dialect.h,
// for elements E of which V are in 16 bytes. Rows are whole parts of 16 bytes, so
// that a thread moves a part at a time. Statistics, losses, gradients of weights
// and the optimiser's state are float32, and so is all arithmetic. Every sum has
// one order: no float is added atomically.

#define LANE (THREAD % 32)
#define WARP (THREAD / 32)
#define QUADS (V / 4)
#define EACH(i) for (u32 i = 0; i < V; i++)
#define AT(v, i) v[(i) / 4][(i) % 4]
#define LOWEST bits_f32(0xff7fffffu)
#define NOT_A_NUMBER bits_f32(0x7fc00000u)
#define LOG2E 1.44269504f // log₂ e
#define LN2 0.693147181f

// The sum of x over a warp, and over the block by an array of 8 that nothing else
// uses before the next barrier. Every thread gets it.
#define WARP_SUM(x) \
	for (u32 mask = 16; mask > 0; mask >>= 1) x += ACROSS(x, mask)
#define BLOCK_SUM(x, parts) \
	WARP_SUM(x); \
	if (LANE == 0) parts[WARP] = x; \
	BARRIER; \
	x = parts[0] + parts[1] + parts[2] + parts[3] + parts[4] + parts[5] + parts[6] + parts[7]

// y[r] = table[tokens[r]] + places[r mod seq]. A token that the table does not have
// gives no number.
KERNEL(256) void embed(GLOBAL E *y, GLOBAL const u32 *tokens, GLOBAL const E *table, GLOBAL const E *places, u32 vocab, u32 seq, u32 cols, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	u32 row = i / (cols / V), c = i % (cols / V) * V, token = tokens[row];
	f32x4 a[QUADS], b[QUADS];
	load(a, places + (u64)(row % seq) * cols + c);
	if (token < vocab) load(b, table + (u64)token * cols + c);
	else EACH(j) AT(b, j) = NOT_A_NUMBER;
	EACH(j) AT(a, j) += AT(b, j);
	store(y + (u64)i * V, a);
}

// dtable[tokens[r]] += dy[r], in the order of r. A block has 32 rows of the table. It
// goes over the tokens 4,096 at a time and lists which are of its rows; each warp
// then adds those of four rows, so that an element is added to by one thread.
KERNEL(256) void embed_grad(GLOBAL float *dtable, GLOBAL const u32 *tokens, GLOBAL const E *dy, u32 rows, u32 cols, u32 vocab) {
	SHARED u32 list[4096];
	SHARED u32 counts[256];
	u32 t = THREAD, first = BLOCK_X * 32, own = vocab - first < 32 ? vocab - first : 32;
	for (u32 from = 0; from < rows; from += 4096) {
		u32 found = 0, n = 0;
		for (u32 i = 0; i < 16; i++) {
			u32 r = from + t * 16 + i;
			if (r < rows && tokens[r] - first < own) {
				found |= 1u << i;
				n++;
			}
		}
		counts[t] = n;
		for (u32 step = 1; step < 256; step <<= 1) {
			BARRIER;
			u32 before = t < step ? 0 : counts[t - step];
			BARRIER;
			counts[t] += before;
		}
		u32 to = counts[t] - n;
		for (u32 i = 0; i < 16; i++) {
			u32 r = t * 16 + i;
			if (found >> i & 1) list[to++] = (tokens[from + r] - first) << 12 | r;
		}
		BARRIER;
		u32 total = counts[255];
		for (u32 i = 0; i < total; i++) {
			u32 row = list[i] >> 12, r = from + (list[i] & 4095);
			if (row % 8 != WARP) continue;
			for (u32 c = LANE * 4; c < cols; c += 128) {
				GLOBAL f32x4 *sum = (GLOBAL f32x4 *)(dtable + (u64)(first + row) * cols + c);
				*sum += get4(dy + (u64)r * cols + c);
			}
		}
		BARRIER;
	}
}

// dplaces[p] = the sum of dy[p], dy[p + seq], … n counts the quads of dplaces.
KERNEL(256) void places_grad(GLOBAL float *dplaces, GLOBAL const E *dy, u32 rows, u32 seq, u32 cols, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= n) return;
	u32 c = i % (cols / 4) * 4;
	f32x4 sum = (f32x4)(0.f);
	for (u32 r = i / (cols / 4); r < rows; r += seq) sum += get4(dy + (u64)r * cols + c);
	((GLOBAL f32x4 *)dplaces)[i] = sum;
}

// y = (x − mean)·rstd·gain + bias, by rows, a warp each; rstd = 1/√(variance + 10⁻⁵).
KERNEL(256) void layer_norm(GLOBAL E *y, GLOBAL float *mean, GLOBAL float *rstd, GLOBAL const E *x, GLOBAL const E *gain, GLOBAL const E *bias, u32 rows, u32 cols) {
	ROOM;
	u32 row = BLOCK_X * 8 + WARP;
	u32 end = row < rows ? cols : 0;
	GLOBAL const E *from = x + (u64)row * cols;
	f32x4 v[QUADS], g[QUADS], b[QUADS];
	float sum = 0, squares = 0;
	for (u32 c = LANE * V; c < end; c += 32 * V) {
		load(v, from + c);
		EACH(i) sum += AT(v, i);
	}
	WARP_SUM(sum);
	float middle = sum / cols;
	for (u32 c = LANE * V; c < end; c += 32 * V) {
		load(v, from + c);
		EACH(i) squares += (AT(v, i) - middle) * (AT(v, i) - middle);
	}
	WARP_SUM(squares);
	float factor = 1 / SQRT(squares / cols + 1e-5f);
	if (end && LANE == 0) {
		mean[row] = middle;
		rstd[row] = factor;
	}
	for (u32 c = LANE * V; c < end; c += 32 * V) {
		load(v, from + c);
		load(g, gain + c);
		load(b, bias + c);
		EACH(i) AT(v, i) = (AT(v, i) - middle) * factor * AT(g, i) + AT(b, i);
		store(y + (u64)row * cols + c, v);
	}
}

// dx = rstd·(g − the mean of g − x̂·the mean of g·x̂), where g = dy·gain and
// x̂ = (x − mean)·rstd.
KERNEL(256) void layer_norm_grad(GLOBAL E *dx, GLOBAL const E *x, GLOBAL const float *mean, GLOBAL const float *rstd, GLOBAL const E *gain, GLOBAL const E *dy, u32 rows, u32 cols) {
	ROOM;
	u32 row = BLOCK_X * 8 + WARP;
	u32 end = row < rows ? cols : 0;
	u64 at = (u64)row * cols;
	float middle = end ? mean[row] : 0, factor = end ? rstd[row] : 0, sum = 0, along = 0;
	f32x4 v[QUADS], g[QUADS], d[QUADS];
	for (u32 c = LANE * V; c < end; c += 32 * V) {
		load(v, x + at + c);
		load(g, gain + c);
		load(d, dy + at + c);
		EACH(i) {
			sum += AT(d, i) * AT(g, i);
			along += AT(d, i) * AT(g, i) * (AT(v, i) - middle) * factor;
		}
	}
	WARP_SUM(sum);
	WARP_SUM(along);
	for (u32 c = LANE * V; c < end; c += 32 * V) {
		load(v, x + at + c);
		load(g, gain + c);
		load(d, dy + at + c);
		EACH(i) AT(v, i) = factor * (AT(d, i) * AT(g, i) - sum / cols - (AT(v, i) - middle) * factor * (along / cols));
		store(dx + at + c, v);
	}
}

// What follows sums columns over strips of rows, first of each strip and then of
// the strips. A block has 128 columns, a thread four of them in every eighth row.
#define STRIP(row, from, end) \
	u32 c = BLOCK_X * 128 + LANE * 4; \
	if (c < cols) \
		for (u32 row = (from) + WARP; row < (end); row += 8)
#define STRIP_SUM(to, sum) \
	parts[THREAD] = sum; \
	BARRIER; \
	if (WARP == 0 && c < cols) { \
		for (u32 w = 1; w < 8; w++) sum += parts[w * 32 + LANE]; \
		*(GLOBAL f32x4 *)((to) + (u64)BLOCK_Y * cols + c) = sum; \
	}

KERNEL(256) void sum_rows(GLOBAL float *sums, GLOBAL const E *dy, u32 rows, u32 cols, u32 each) {
	SHARED f32x4 parts[256];
	f32x4 sum = (f32x4)(0.f);
	u32 from = BLOCK_Y * each, end = from + each < rows ? from + each : rows;
	STRIP(r, from, end) sum += get4(dy + (u64)r * cols + c);
	STRIP_SUM(sums, sum)
}

KERNEL(256) void sum_strips(GLOBAL float *sums, GLOBAL const float *strips, u32 from, u32 end, u32 cols) {
	SHARED f32x4 parts[256];
	f32x4 sum = (f32x4)(0.f);
	STRIP(r, from, end) sum += *(GLOBAL const f32x4 *)(strips + (u64)r * cols + c);
	STRIP_SUM(sums, sum)
}

// dgain = Σ dy·x̂ of each strip, and then dbias = Σ dy of each.
KERNEL(256) void layer_norm_sums(GLOBAL float *sums, GLOBAL const E *x, GLOBAL const float *mean, GLOBAL const float *rstd, GLOBAL const E *dy, u32 strips, u32 rows, u32 cols, u32 each) {
	SHARED f32x4 parts[256];
	f32x4 gain = (f32x4)(0.f), bias = (f32x4)(0.f);
	u32 from = BLOCK_Y * each, end = from + each < rows ? from + each : rows;
	STRIP(r, from, end) {
		f32x4 d = get4(dy + (u64)r * cols + c);
		gain += d * (get4(x + (u64)r * cols + c) - mean[r]) * rstd[r];
		bias += d;
	}
	STRIP_SUM(sums, gain)
	BARRIER;
	STRIP_SUM(sums + (u64)strips * cols, bias)
}

// GELU in its tanh form: x·(1 + tanh u)/2 = x/(1 + e^−2u), u = √(2/π)·(x + 0.044715·x³).
#define GELU_SLOPE 0.797884561f
FN float gate(float x) { return 1 / (1 + EXP2(-2 * LOG2E * GELU_SLOPE * (x + 0.044715f * x * x * x))); }

KERNEL(256) void gelu(GLOBAL E *y, GLOBAL const E *x, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	f32x4 v[QUADS];
	load(v, x + (u64)i * V);
	EACH(j) AT(v, j) *= gate(AT(v, j));
	store(y + (u64)i * V, v);
}

KERNEL(256) void gelu_grad(GLOBAL E *dx, GLOBAL const E *x, GLOBAL const E *dy, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	f32x4 v[QUADS], d[QUADS];
	load(v, x + (u64)i * V);
	load(d, dy + (u64)i * V);
	EACH(j) {
		float w = AT(v, j), g = gate(w);
		AT(d, j) *= g + w * g * (1 - g) * 2 * GELU_SLOPE * (1 + 3 * 0.044715f * w * w);
	}
	store(dx + (u64)i * V, d);
}

KERNEL(256) void add(GLOBAL E *y, GLOBAL const E *a, GLOBAL const E *b, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	f32x4 v[QUADS], w[QUADS];
	load(v, a + (u64)i * V);
	load(w, b + (u64)i * V);
	EACH(j) AT(v, j) += AT(w, j);
	store(y + (u64)i * V, v);
}

KERNEL(256) void add_bias(GLOBAL E *y, GLOBAL const E *bias, u32 cols, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	f32x4 v[QUADS], w[QUADS];
	load(v, y + (u64)i * V);
	load(w, bias + i % (cols / V) * V);
	EACH(j) AT(v, j) += AT(w, j);
	store(y + (u64)i * V, v);
}

// A block a row: losses = log Σ e^logits − the target's logit, dlogits =
// scale·(softmax − 1 at the target). A target that is none gives no number.
KERNEL(256) void cross_entropy(GLOBAL float *losses, GLOBAL E *dlogits, GLOBAL const E *logits, GLOBAL const u32 *targets, u32 vocab, float scale) {
	ROOM;
	SHARED float tops[8];
	SHARED float sums[8];
	SHARED float own; // the target's logit
	u64 at = (u64)BLOCK_X * vocab;
	u32 target = targets[BLOCK_X];
	f32x4 v[QUADS];
	float top = LOWEST, sum = 0;
	if (THREAD == 0 && target >= vocab) own = NOT_A_NUMBER;
	for (u32 c = THREAD * V; c < vocab; c += 256 * V) {
		load(v, logits + at + c);
		float high = top;
		EACH(i) high = MAX(high, AT(v, i));
		sum *= EXP2((top - high) * LOG2E);
		top = high;
		EACH(i) sum += EXP2((AT(v, i) - top) * LOG2E);
		if (target - c < V) EACH(i) if (c + i == target) own = AT(v, i);
	}
	float high = top;
	for (u32 mask = 16; mask > 0; mask >>= 1) high = MAX(high, ACROSS(high, mask));
	if (LANE == 0) tops[WARP] = high;
	BARRIER;
	for (u32 w = 0; w < 8; w++) high = MAX(high, tops[w]);
	sum *= EXP2((top - high) * LOG2E);
	BLOCK_SUM(sum, sums);
	if (THREAD == 0) losses[BLOCK_X] = high - own + LOG2(sum) * LN2;
	for (u32 c = THREAD * V; c < vocab; c += 256 * V) {
		load(v, logits + at + c);
		EACH(i) AT(v, i) = scale * (EXP2((AT(v, i) - high) * LOG2E) / sum - (c + i == target ? 1.f : 0.f));
		store(dlogits + at + c, v);
	}
}

// total = factor·the sum of x, by one block.
KERNEL(256) void sum(GLOBAL float *total, GLOBAL const float *x, float factor, u32 n) {
	ROOM;
	SHARED float parts[8];
	float s = 0;
	for (u32 i = THREAD; i < n; i += 256) s += x[i];
	BLOCK_SUM(s, parts);
	if (THREAD == 0) total[0] = factor * s;
}

// A block leaves the sum of the squares of its quads of x: each 256 in blocks·256.
KERNEL(256) void sum_squares(GLOBAL float *sums, GLOBAL const f32x4 *x, u32 blocks, u32 quads) {
	ROOM;
	SHARED float parts[8];
	float s = 0;
	for (u32 i = BLOCK_X * 256 + THREAD; i < quads; i += blocks * 256) {
		f32x4 v = x[i];
		s += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
	}
	BLOCK_SUM(s, parts);
	if (THREAD == 0) sums[BLOCK_X] = s;
}

// AdamW (Loshchilov and Hutter 2019, algorithm 2, with the schedule in rate) of
// gradients that are scaled down to a norm of clip; square is their norm's.
KERNEL(256) void adamw(GLOBAL E *w, GLOBAL float *master, GLOBAL float *m, GLOBAL float *v, GLOBAL const float *grad, GLOBAL const float *square,
	float rate, float beta1, float beta2, float epsilon, float decay, float correction1, float correction2, float clip, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	float norm = SQRT(square[0]), scale = norm > clip ? clip / norm : 1;
	f32x4 updated[QUADS];
	for (u32 q = 0; q < QUADS; q++) {
		u32 at = i * QUADS + q;
		f32x4 g = ((GLOBAL const f32x4 *)grad)[at] * scale;
		f32x4 first = ((GLOBAL f32x4 *)m)[at] * beta1 + g * (1 - beta1);
		f32x4 second = ((GLOBAL f32x4 *)v)[at] * beta2 + g * g * (1 - beta2);
		f32x4 old = ((GLOBAL f32x4 *)master)[at];
		((GLOBAL f32x4 *)m)[at] = first;
		((GLOBAL f32x4 *)v)[at] = second;
		for (u32 e = 0; e < 4; e++) old[e] -= rate * (first[e] / correction1 / (SQRT(second[e] / correction2) + epsilon) + decay * old[e]);
		((GLOBAL f32x4 *)master)[at] = old;
		updated[q] = old;
	}
	store(w + (u64)i * V, updated);
}

KERNEL(256) void convert(GLOBAL E *y, GLOBAL const f32x4 *x, u32 parts) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= parts) return;
	f32x4 v[QUADS];
	for (u32 q = 0; q < QUADS; q++) v[q] = x[i * QUADS + q];
	store(y + (u64)i * V, v);
}

KERNEL(256) void fill(GLOBAL float *x, float value, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i < n) x[i] = value;
}

// A quad of a thread's eight lanes each: delta = Σ dy·y over a head of a row.
KERNEL(256) void attention_delta(GLOBAL float *delta, GLOBAL const E *y, GLOBAL const E *dy, u32 seq, u32 heads, u32 width, u32 n) {
	ROOM;
	u32 i = BLOCK_X * 32 + THREAD / 8, row = i / heads;
	float sum = 0;
	if (i < n)
		for (u32 c = THREAD % 8 * 4; c < width; c += 32) {
			f32x4 p = get4(y + (u64)i * width + c) * get4(dy + (u64)i * width + c);
			sum += p.x + p.y + p.z + p.w;
		}
	for (u32 mask = 4; mask > 0; mask >>= 1) sum += ACROSS(sum, mask);
	if (i < n && THREAD % 8 == 0) delta[((u64)(row / seq) * heads + i % heads) * seq + row % seq] = sum;
}

// A tile of 32×32 floats by rows, in parts of 16 bytes that are exchanged within a
// row, so that threads that read one part of eight rows use all banks.
FN u32 spot(u32 row, u32 col) { return row * 32 + (((col >> 2) ^ (row & 7)) << 2) + (col & 3); }

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(name) JOIN(name, W)

#define W 32
#include "attention.h"
#undef W
#define W 64
#include "attention.h"
