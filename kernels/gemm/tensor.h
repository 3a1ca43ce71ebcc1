// What the kernels for NVIDIA's tensor cores have in common.

FN void copy16(u32 to, const void *from, u32 bytes) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
FN void commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Stores two neighbours in a row of C, of which the second may be outside: at
// once where rows begin on even elements.
template <typename T> FN void store2(T *c, const T *v, u32 r, u32 x, u32 m, u32 n) {
	typedef T pair __attribute__((ext_vector_type(2)));
	if (r >= m || x >= n) return;
	T *to = c + (u64)r * n + x;
	if (n % 2 == 0) {
		*(pair *)to = (pair){v[0], v[1]};
		return;
	}
	to[0] = v[0];
	if (x + 1 < n) to[1] = v[1];
}

// What the sums of a product are added to and how they are stored, in how, as in
// simt.cl.
#define STARTED 1
#define ROUNDED 2

// Formats of elements: of A and B, and of the sums.
struct of_bf16 {
	typedef u16 element;
	typedef float sum;
	FN float value(u16 v) { return bf16(v); }
	FN u16 nearest(float v) { return bf16_bits(v); }
};
struct of_fp16 {
	typedef u16 element;
	typedef float sum;
	FN float value(u16 v) { return f16(v); }
	FN u16 nearest(float v) { return f16_bits(v); }
};
template <typename T> struct same {
	typedef T element;
	typedef T sum;
	FN T value(T v) { return v; }
	FN T nearest(T v) { return v; }
};
typedef same<float> of_tf32;
typedef same<double> of_fp64;

// Stores two neighbours in row r of C, of which both or, if n can be odd, the
// second may be outside.
template <typename E, bool EVEN> FN void leave2(typename E::sum *c, const typename E::sum *start, typename E::sum *v, u32 r, u32 x, u32 m, u32 n, u32 stride, u32 how) {
	typedef typename E::element element;
	bool rounded = sizeof(element) == 2 && how & ROUNDED;
	if (r >= m || x >= n) return;
	if (how & STARTED)
#pragma unroll
		for (u32 i = 0; i < 2; i++)
			if (EVEN || x + i < n) {
				u64 from = (u64)r * stride + x + i;
				v[i] += rounded ? E::value(((const element *)start)[from]) : start[from];
			}
	__builtin_assume(!EVEN || n % 2 == 0);
	if (rounded) {
		element e[2] = {E::nearest(v[0]), E::nearest(v[1])};
		store2((element *)c, e, r, x, m, n);
	} else store2(c, v, r, x, m, n);
}
