// Inference with a cache of keys and values. Of a sequence and head, keys has a row of
// apart elements for each of the width of a key, so that threads beside each other read
// keys beside each other, and values has a row of width for each of room places. A row
// of qkv has the queries, the keys and the values of all heads. No buffer has 2³²
// elements.

#define PLACES 4096

// Stores the keys and values of rows of qkv, seq consecutive tokens of each sequence,
// from a place on.
KERNEL(256) void cache_keep(GLOBAL E *keys, GLOBAL E *values, GLOBAL const E *qkv, u32 at, u32 seq, u32 heads, u32 width, u32 apart, u32 room, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i >= n) return;
	u32 all = heads * width, r = i / all, c = i % all;
	u32 head = r / seq * heads + c / width, place = at + r % seq;
	GLOBAL const E *row = qkv + (r * 3 * all + c);
	keys[(head * width + c % width) * apart + place] = row[all];
	values[(head * room + place) * width + c % width] = row[2 * all];
}

// y = softmax(q·kᵀ·scale)·v over the first n places, where scale is that of the scores
// times log₂ e. A block has a query of a head.
KERNEL(256) void cache_recall(GLOBAL E *y, GLOBAL const E *keys, GLOBAL const E *values, GLOBAL const E *qkv, u32 heads, u32 width, u32 apart, u32 room, u32 n, float scale) {
	SHARED float p[PLACES];
	SHARED float q[64];
	SHARED float part[256];
	u32 t = THREAD, all = heads * width, pair = BLOCK_X, sequence = pair / heads, head = pair % heads;
	GLOBAL const E *k = keys + pair * width * apart, *v = values + pair * room * width;
	if (t < width) q[t] = get(qkv + (sequence * 3 * all + head * width + t));
	BARRIER;
	float most = bits_f32(0xff7fffffu), sum = 0;
	for (u32 j = t; j < n; j += 256) {
		float s = 0;
		for (u32 c = 0; c < width; c++) s = FMA(q[c], get(k + (c * apart + j)), s);
		p[j] = s * scale;
		most = MAX(most, p[j]);
	}
	part[t] = most;
	for (u32 step = 128; step > 0; step >>= 1) {
		BARRIER;
		if (t < step) part[t] = MAX(part[t], part[t + step]);
	}
	BARRIER;
	most = part[0];
	BARRIER;
	for (u32 j = t; j < n; j += 256) {
		p[j] = EXP2(p[j] - most);
		sum += p[j];
	}
	part[t] = sum;
	for (u32 step = 128; step > 0; step >>= 1) {
		BARRIER;
		if (t < step) part[t] += part[t + step];
	}
	BARRIER;
	sum = part[0];
	BARRIER;
	float o = 0;
	u32 c = t % 64;
	if (c < width)
		for (u32 j = t / 64; j < n; j += 4) o = FMA(p[j], get(v + (j * width + c)), o);
	part[t] = o;
	BARRIER;
	if (t < width) put(y + (sequence * all + head * width + t), (part[t] + part[t + 64] + part[t + 128] + part[t + 192]) / sum);
}

// y[i] = x[i·seq + seq - 1], rows of cols.
KERNEL(256) void cache_last(GLOBAL E *y, GLOBAL const E *x, u32 seq, u32 cols, u32 n) {
	u32 i = BLOCK_X * 256 + THREAD;
	if (i < n) y[i] = x[(i / cols * seq + seq - 1) * cols + i % cols];
}

// tokens is the place of the largest of each row of logits, the first of equals, and
// best that logit.
KERNEL(256) void cache_greedy(GLOBAL u32 *tokens, GLOBAL float *best, GLOBAL const E *logits, u32 vocab) {
	SHARED float high[256];
	SHARED u32 places[256];
	u32 t = THREAD, at = 0;
	float most = bits_f32(0xff800000u);
	GLOBAL const E *row = logits + BLOCK_X * vocab;
	for (u32 j = t; j < vocab; j += 256) {
		float v = get(row + j);
		if (v > most) most = v, at = j;
	}
	high[t] = most;
	places[t] = at;
	for (u32 step = 128; step > 0; step >>= 1) {
		BARRIER;
		if (t < step && (high[t + step] > high[t] || high[t + step] == high[t] && places[t + step] < places[t])) {
			high[t] = high[t + step];
			places[t] = places[t + step];
		}
	}
	BARRIER;
	if (t == 0) tokens[BLOCK_X] = places[0], best[BLOCK_X] = high[0];
}
