// The words in which kernels for GPUs are written: C that is OpenCL C 1.2 for
// the drivers that compile it when it runs, and CUDA C or HIP for clang, which
// compiles it to PTX and to AMD code objects beforehand (see clang.sh).
//
// A kernel says KERNEL(threads) void name(GLOBAL ...): threads is the size of
// its blocks, which are one-dimensional. GLOBAL and IN_SHARED say where a pointer
// points, SHARED declares a variable of the block.
//
// ACROSS(x, mask) is the float x of the thread whose number differs in the bits of
// mask, 1 to 31, in kernels that say ROOM first. All threads of the block reach it:
// OpenCL C 1.2 has no exchange between lanes, so that it meets barriers there. EXP2 and
// LOG2 are approximations, of some units in the last place.

#if defined(__OPENCL_C_VERSION__)

typedef ushort u16;
typedef uint u32;
typedef ulong u64;
typedef float4 f32x4;
#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
typedef double2 f64x2;
#define HAS_F64
#endif
typedef uint2 u32x2;
typedef uint4 u32x4;
#define KERNEL(threads) __kernel __attribute__((reqd_work_group_size(threads, 1, 1)))
#define GLOBAL __global
#define SHARED __local
#define IN_SHARED __local
#define FN static inline
#define THREAD ((u32)get_local_id(0))
#define BLOCK_X ((u32)get_group_id(0))
#define BLOCK_Y ((u32)get_group_id(1))
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define ROTATE(x, n) rotate((u32)(x), (u32)(n))
#define COUNT(p) atomic_inc(p)
#define FMA(a, b, c) fma(a, b, c)
FN float f16(u16 v) { return vload_half(0, (const half *)&v); }
FN u16 f16_bits(float v) {
	u16 bits;
	vstore_half_rte(v, 0, (half *)&bits);
	return bits;
}
FN float bits_f32(u32 v) { return as_float(v); }
#ifdef HAS_F64
FN double bits_f64(u64 v) { return as_double(v); }
#endif
FN u32 f32_bits(float v) { return as_uint(v); }
#define EXP2(x) native_exp2(x)
#define LOG2(x) native_log2(x)
#define SQRT(x) sqrt(x)
#define MAX(x, y) fmax(x, y)
#define ROOM SHARED float room[256]
#define ACROSS(x, mask) across(room, x, mask)
FN float across(__local float *room, float x, u32 mask) {
	room[THREAD] = x;
	BARRIER;
	x = room[THREAD ^ mask];
	BARRIER;
	return x;
}

#else

#define HAS_F64
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef float f32x4 __attribute__((ext_vector_type(4)));
typedef double f64x2 __attribute__((ext_vector_type(2)));
typedef u32 u32x2 __attribute__((ext_vector_type(2)));
typedef u32 u32x4 __attribute__((ext_vector_type(4)));
#define GLOBAL
#define SHARED __attribute__((shared))
#define IN_SHARED
#define FN static inline __attribute__((device, always_inline))
#define ROTATE(x, n) __builtin_rotateleft32(x, n)
#define FMA(a, b, c) __builtin_elementwise_fma(a, b, c)
FN float f16(u16 v) { return (float)__builtin_bit_cast(_Float16, v); }
FN u16 f16_bits(float v) { return __builtin_bit_cast(u16, (_Float16)v); }
FN float bits_f32(u32 v) { return __builtin_bit_cast(float, v); }
FN double bits_f64(u64 v) { return __builtin_bit_cast(double, v); }
FN u32 f32_bits(float v) { return __builtin_bit_cast(u32, v); }
#define MAX(x, y) __builtin_fmaxf(x, y)
#define ROOM

#ifdef __AMDGCN__
#define KERNEL(threads) extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads)))
#define THREAD __builtin_amdgcn_workitem_id_x()
#define BLOCK_X __builtin_amdgcn_workgroup_id_x()
#define BLOCK_Y __builtin_amdgcn_workgroup_id_y()
#define BARRIER (__builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup"), __builtin_amdgcn_s_barrier(), __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup"))
#define COUNT(p) __hip_atomic_fetch_add(p, 1u, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT)
#define EXP2(x) __builtin_amdgcn_exp2f(x)
#define LOG2(x) __builtin_amdgcn_logf(x)
#define SQRT(x) __builtin_sqrtf(x)
#define ACROSS(x, mask) bits_f32(__builtin_amdgcn_ds_bpermute((THREAD ^ (mask)) % __builtin_amdgcn_wavefrontsize() * 4, f32_bits(x)))
#else
#define KERNEL(threads) extern "C" __attribute__((global, launch_bounds(threads)))
#define THREAD __nvvm_read_ptx_sreg_tid_x()
#define BLOCK_X __nvvm_read_ptx_sreg_ctaid_x()
#define BLOCK_Y __nvvm_read_ptx_sreg_ctaid_y()
#define BARRIER __syncthreads()
#define COUNT(p) ((u32)__nvvm_atom_add_gen_i((int *)(p), 1))
#define EXP2(x) __nvvm_ex2_approx_f(x)
#define LOG2(x) __nvvm_lg2_approx_f(x)
#define SQRT(x) __nvvm_sqrt_rn_f(x)
#define ACROSS(x, mask) __nvvm_shfl_sync_bfly_f32(0xffffffffu, x, mask, 31)
#endif

#endif

FN float bf16(u16 v) { return bits_f32((u32)v << 16); }
// The nearest of a format, of two the even one. A NaN stays one.
FN u16 bf16_bits(float v) {
	u32 bits = f32_bits(v);
	return v != v ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// The bfloat16 nearest to v, of two the even one, in the low half of a word.
FN u32 to_bf16(float v) {
	u32 bits = f32_bits(v);
	return v != v ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// Tile number id of x × y: high rows of tiles at a time, column by column, so that
// blocks that run at the same time share what they read.
FN u32x2 nth(u32 id, u32 x, u32 y, u32 high) {
	u32 first = id / (high * x) * high, rows = y - first < high ? y - first : high;
	u32x2 tile;
	tile.x = id % (high * x) / rows;
	tile.y = first + id % (high * x) % rows;
	return tile;
}

// The tile of a block among x × y tiles.
FN u32x2 grouped(u32 x, u32 y) { return nth(BLOCK_Y * x + BLOCK_X, x, y, 8); }
