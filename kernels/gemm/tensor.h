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
