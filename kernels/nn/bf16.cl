// The passes of a transformer whose weights and activations are bfloat16.

typedef u16 E;
#define V 8 // elements in 16 bytes

FN f32x4 halves(u32 a, u32 b) {
	f32x4 v = {bits_f32(a << 16), bits_f32(a & 0xffff0000u), bits_f32(b << 16), bits_f32(b & 0xffff0000u)};
	return v;
}
FN u32 pair(float a, float b) { return to_bf16(a) | to_bf16(b) << 16; }
FN f32x4 get4(GLOBAL const E *from) {
	u32x2 w = *(GLOBAL const u32x2 *)from;
	return halves(w.x, w.y);
}
FN void put4(GLOBAL E *to, f32x4 v) {
	u32x2 w = {pair(v.x, v.y), pair(v.z, v.w)};
	*(GLOBAL u32x2 *)to = w;
}
FN void load(f32x4 *to, GLOBAL const E *from) {
	u32x4 w = *(GLOBAL const u32x4 *)from;
	to[0] = halves(w.x, w.y);
	to[1] = halves(w.z, w.w);
}
FN void store(GLOBAL E *to, const f32x4 *v) {
	u32x4 w = {pair(v[0].x, v[0].y), pair(v[0].z, v[0].w), pair(v[1].x, v[1].y), pair(v[1].z, v[1].w)};
	*(GLOBAL u32x4 *)to = w;
}

#include "passes.h"
