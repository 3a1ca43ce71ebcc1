// The passes of a transformer whose weights and activations are float32.

typedef float E;
#define V 4 // elements in 16 bytes

FN f32x4 get4(GLOBAL const E *from) { return *(GLOBAL const f32x4 *)from; }
FN void put4(GLOBAL E *to, f32x4 v) { *(GLOBAL f32x4 *)to = v; }
FN void load(f32x4 *to, GLOBAL const E *from) { to[0] = get4(from); }
FN void store(GLOBAL E *to, const f32x4 *v) { put4(to, v[0]); }

#include "passes.h"
