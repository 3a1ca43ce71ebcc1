// Inference with a cache, in bfloat16.

typedef u16 E;
FN float get(GLOBAL const E *from) { return bits_f32((u32)*from << 16); }
FN void put(GLOBAL E *to, float v) { *to = to_bf16(v); }

#include "cache.h"
