// Products without matrix instructions, for every GPU: C = A·B, with C m×n by rows.
// An operand is stored along k or down k. Along k, a row is one of C's rows or
// columns: A is m×k, B is n×k. Down k, a row is one of k: A is k×m, B is k×n. Rows
// of A and B are whole parts of 16 bytes. Sums of the half types are float32.
//
// The names end as BLAS has the layouts, by rows: nt has both operands along k, nn
// has B down k, tn has both down k.
//
// With STARTED in how, sums are added to start: element s of row r is
// start[r·stride + s], in the format of C. With ROUNDED, C has elements of A's format.
//
// A block of 256 threads computes a tile of 16·TM × 16·TN. Each thread has TM×TN
// sums, in four corners so that neighbours read neighbouring words. Tiles of A
// and B are kept by columns, two of each: while one is used, the next is fetched
// into registers and then stored in the other.

#define STARTED 1
#define ROUNDED 2

#define PART(ELEM, V) struct __attribute__((aligned(sizeof(ELEM) * V))) part_##ELEM { ELEM v[V]; }

#define TILE(NAME, DOWN_A, DOWN_B, ELEM, V, SUM, QUAD, S, VALUE, NEAREST, TM, TN, BK) \
KERNEL(256) void NAME(GLOBAL const ELEM *a, GLOBAL const ELEM *b, GLOBAL SUM *c, GLOBAL const SUM *start, u32 m, u32 n, u32 k, u32 stride, u32 how) { \
	SHARED QUAD at[2][BK][(16 * TM + 4) / S]; \
	SHARED QUAD bt[2][BK][(16 * TN + 4) / S]; \
	struct part_##ELEM an[TM * BK / V / 16], bn[TN * BK / V / 16]; \
	u32 t = THREAD, x = t % 16, y = t / 16; \
	u32x2 tile = grouped((n + 16 * TN - 1) / (16 * TN), (m + 16 * TM - 1) / (16 * TM)); \
	u32 top = tile.y * 16 * TM, left = tile.x * 16 * TN; \
	SUM sums[TM][TN]; \
	_Pragma("unroll") for (u32 i = 0; i < TM; i++) \
		_Pragma("unroll") for (u32 j = 0; j < TN; j++) sums[i][j] = 0; \
	FETCH(an, a, top, m, TM, 0, DOWN_A, ELEM, V, BK) \
	FETCH(bn, b, left, n, TN, 0, DOWN_B, ELEM, V, BK) \
	STORE(at[0], an, TM, DOWN_A, SUM, VALUE, V, BK) \
	STORE(bt[0], bn, TN, DOWN_B, SUM, VALUE, V, BK) \
	BARRIER; \
	for (u32 l = 0; l < k; l += BK) { \
		u32 now = l / BK % 2; \
		FETCH(an, a, top, m, TM, l + BK, DOWN_A, ELEM, V, BK) \
		FETCH(bn, b, left, n, TN, l + BK, DOWN_B, ELEM, V, BK) \
		_Pragma("unroll") for (u32 q = 0; q < BK; q++) { \
			QUAD av[TM / S], bv[TN / S]; \
			_Pragma("unroll") for (u32 i = 0; i < TM; i += S) av[i / S] = at[now][q][CORNER(i, y, TM) / S]; \
			_Pragma("unroll") for (u32 j = 0; j < TN; j += S) bv[j / S] = bt[now][q][CORNER(j, x, TN) / S]; \
			_Pragma("unroll") for (u32 i = 0; i < TM; i++) \
				_Pragma("unroll") for (u32 j = 0; j < TN; j++) sums[i][j] = FMA(av[i / S][i % S], bv[j / S][j % S], sums[i][j]); \
		} \
		STORE(at[1 - now], an, TM, DOWN_A, SUM, VALUE, V, BK) \
		STORE(bt[1 - now], bn, TN, DOWN_B, SUM, VALUE, V, BK) \
		BARRIER; \
	} \
	_Pragma("nounroll") for (u32 i = 0; i < TM; i++) { /* 16 rows at a time, where the tile of A was */ \
		_Pragma("unroll") for (u32 h = 0; h < TM; h++) \
			if (h == i) { \
				_Pragma("unroll") for (u32 j = 0; j < TN; j++) ((IN_SHARED SUM *)at)[y * 16 * TN + CORNER(j, x, TN)] = sums[h][j]; \
			} \
		BARRIER; \
		_Pragma("nounroll") for (u32 p = t; p < 256 * TN; p += 256) { \
			u32 r = top + CORNER(i, p / (16 * TN), TM), s = left + p % (16 * TN); \
			u64 to = (u64)r * n + s, from = (u64)r * stride + s; \
			SUM sum = ((IN_SHARED SUM *)at)[p]; \
			if (r >= m || s >= n) continue; \
			if (how & STARTED) sum += how & ROUNDED ? VALUE(((GLOBAL const ELEM *)start)[from]) : start[from]; \
			if (how & ROUNDED) ((GLOBAL ELEM *)c)[to] = NEAREST(sum); \
			else c[to] = sum; \
		} \
		BARRIER; \
	} \
}

// The i-th row or column of a thread that is at of 16.
#define CORNER(i, at, T) ((i) / (T / 2) * 8 * T + (at) * (T / 2) + (i) % (T / 2))

// Fetches a thread's parts of a tile, k from l to l + BK; zero outside.
#define FETCH(to, from, first, rows, T, l, DOWN, ELEM, V, BK) \
	_Pragma("unroll") for (u32 i = 0; i < T * BK / V / 16; i++) { \
		u32 p = t + i * 256; \
		u32 r = first + (DOWN ? p % (16 * T / V) * V : p / (BK / V)), q = (l) + (DOWN ? p / (16 * T / V) : p % (BK / V) * V); \
		if (r < rows && q < k) to[i] = *(GLOBAL const struct part_##ELEM *)(from + (DOWN ? (u64)q * rows + r : (u64)r * k + q)); \
		else _Pragma("unroll") for (u32 j = 0; j < V; j++) to[i].v[j] = 0; \
	}
#define STORE(to, from, T, DOWN, SUM, VALUE, V, BK) \
	_Pragma("unroll") for (u32 i = 0; i < T * BK / V / 16; i++) \
		_Pragma("unroll") for (u32 j = 0; j < V; j++) { \
			u32 p = t + i * 256, q = DOWN ? p / (16 * T / V) : p % (BK / V) * V + j, r = DOWN ? p % (16 * T / V) * V + j : p / (BK / V); \
			((IN_SHARED SUM *)to[q])[r] = VALUE(from[i].v[j]); \
		}
#define SAME(v) (v)

// Writes a bias of n elements in a row of C, each row by a block: for libraries,
// which then add to C.
#define SPREAD(NAME, ELEM) \
KERNEL(256) void NAME(GLOBAL ELEM *c, GLOBAL const ELEM *bias, u32 n) { \
	for (u32 x = THREAD; x < n; x += 256) c[(u64)BLOCK_X * n + x] = bias[x]; \
}

// The peak: four multiply-adds a round with each of sums[i][j], which start
// differently so that none is another's copy. in is the factor and the summand.
#define PEAK(NAME, SUM, QUAD, S) \
KERNEL(256) void NAME(GLOBAL SUM *out, GLOBAL const SUM *in, u32 rounds) { \
	QUAD sums[4], a = (QUAD)(in[0]), b = (QUAD)(in[1]); \
	SUM total = 0; \
	_Pragma("unroll") for (u32 i = 0; i < 4; i++) \
		_Pragma("unroll") for (u32 j = 0; j < S; j++) sums[i][j] = THREAD + i * S + j; \
	for (u32 l = 0; l < rounds; l++) \
		_Pragma("unroll") for (u32 q = 0; q < 4; q++) \
			_Pragma("unroll") for (u32 i = 0; i < 4; i++) sums[i] = FMA(sums[i], a, b); \
	_Pragma("unroll") for (u32 i = 0; i < 4; i++) \
		_Pragma("unroll") for (u32 j = 0; j < S; j++) total += sums[i][j]; \
	out[BLOCK_X * 256 + THREAD] = total; \
}

SPREAD(spread_2, u16)
SPREAD(spread_4, u32)
SPREAD(spread_8, u64)
PART(float, 4);
PART(u16, 4);
#define LAYOUTS(NAME, ...) TILE(NAME##_nt, 0, 0, __VA_ARGS__) TILE(NAME##_nn, 0, 1, __VA_ARGS__) TILE(NAME##_tn, 1, 1, __VA_ARGS__)
LAYOUTS(simt_fp32, float, 4, float, f32x4, 4, SAME, SAME, 8, 8, 8)
LAYOUTS(simt_fp16, u16, 4, float, f32x4, 4, f16, f16_bits, 8, 8, 8)
LAYOUTS(simt_bf16, u16, 4, float, f32x4, 4, bf16, bf16_bits, 8, 8, 8)
PEAK(peak_fp32, float, f32x4, 4)
#ifdef HAS_F64
PEAK(peak_fp64, double, f64x2, 2)
PART(double, 2);
LAYOUTS(simt_fp64, double, 2, double, f64x2, 2, SAME, SAME, 8, 4, 8)
#endif
