//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// A tile of 12×8 elements of C is in V8 to V31, row i in V8+2i and V9+2i. Each
// step along k takes five vectors, twelve elements of a column of A in V0 to V2
// and eight of a row of B in V3 and V4, for 24 multiply-adds, which take one
// element of A each. Go's assembler has no such instruction, nor arithmetic on
// vectors of floats: the encodings below are from the Arm Architecture Reference
// Manual, and numbers of registers their arguments.

// FMLA Vd.4S, Vn.4S, Vm.S[lane]
#define FMLA(d, n, m, lane) WORD $(0x4f801000 | ((lane)&1)<<21 | (m)<<16 | ((lane)>>1)<<11 | (n)<<5 | (d))

// FMUL Vd.4S, Vn.4S, Vm.4S
#define FMUL(d, n, m) WORD $(0x6e20dc00 | (m)<<16 | (n)<<5 | (d))

// FADD Vd.4S, Vn.4S, Vm.4S
#define FADD(d, n, m) WORD $(0x4e20d400 | (m)<<16 | (n)<<5 | (d))

// FMAX Vd.4S, Vn.4S, Vm.4S: NaN stays
#define FMAX(d, n, m) WORD $(0x4e20f400 | (m)<<16 | (n)<<5 | (d))

// MOVI Vd.4S, #0
#define ZERO(d) WORD $(0x4f000400 | (d))

// LD1 {Vd.4S, Vd+1.4S}, [Xn]
#define LD2(d, n) WORD $(0x4c40a800 | (n)<<5 | (d))

// ST1 {Vd.4S, Vd+1.4S}, [Xn]
#define ST2(d, n) WORD $(0x4c00a800 | (n)<<5 | (d))

// What is done to row i of a tile. R10 goes through the rows of C, R6 apart.
#define CLEAR(i) \
	ZERO(8+2*(i)); \
	ZERO(9+2*(i)); \
	PRFM (R10), PSTL1KEEP; \
	ADD  R6, R10

#define STEP(i) \
	FMLA(8+2*(i), 3, (i)>>2, (i)&3); \
	FMLA(9+2*(i), 4, (i)>>2, (i)&3)

#define ALPHA(i) \
	FMUL(8+2*(i), 8+2*(i), 5); \
	FMUL(9+2*(i), 9+2*(i), 5)

#define BETA(i) \
	LD2(3, 10); \
	ADD R6, R10; \
	FMLA(8+2*(i), 3, 6, 0); \
	FMLA(9+2*(i), 4, 6, 0)

#define BIAS(i) \
	FADD(8+2*(i), 8+2*(i), 3); \
	FADD(9+2*(i), 9+2*(i), 4)

#define RELU(i) \
	FMAX(8+2*(i), 8+2*(i), 7); \
	FMAX(9+2*(i), 9+2*(i), 7)

#define STORE(i) \
	ST2(8+2*(i), 10); \
	ADD R6, R10

#define EACH1(f) f(0)
#define EACH2(f) EACH1(f); f(1)
#define EACH3(f) EACH2(f); f(2)
#define EACH4(f) EACH3(f); f(3)
#define EACH5(f) EACH4(f); f(4)
#define EACH6(f) EACH5(f); f(5)
#define EACH7(f) EACH6(f); f(6)
#define EACH8(f) EACH7(f); f(7)
#define EACH9(f) EACH8(f); f(8)
#define EACH10(f) EACH9(f); f(9)
#define EACH11(f) EACH10(f); f(10)
#define EACH12(f) EACH11(f); f(11)

// What a step needs of A for up to 4, 8 and 12 rows. By LLVM's models a load of three
// vectors takes longer than the multiply-adds of a few rows.
#define A4 VLD1 (R11), [V0.S4]
#define A8 VLD1 (R11), [V0.S4, V1.S4]
#define A12 VLD1 (R11), [V0.S4, V1.S4, V2.S4]

// TILES is the micro-kernel for a number of rows, which is that of EACH. What is
// needed next is left to the CPU to foresee.
#define TILES(EACH, A) \
	MOVD  t+0(FP), R0; \
	MOVD  tiles_a(R0), R1; \
	MOVD  tiles_cs(R0), R2; \
	MOVD  tiles_as(R0), R3; \
	MOVD  tiles_b(R0), R16; \
	MOVD  tiles_bs(R0), R4; \
	MOVD  tiles_c(R0), R5; \
	MOVD  tiles_ldc(R0), R6; \
	MOVD  tiles_count(R0), R7; \
	MOVD  tiles_bias(R0), R14; \
	MOVD  tiles_relu(R0), R15; \
	MOVWU tiles_alpha(R0), R8; \
	VDUP  R8, V5.S4; \
	MOVWU tiles_beta(R0), R8; \
tile: \
	MOVD R5, R10; \
	EACH(CLEAR); \
	MOVD R1, R11; \
	MOVD R16, R12; \
	MOVD tiles_k(R0), R13; \
step: \
	A; \
	VLD1 (R12), [V3.S4, V4.S4]; \
	ADD  R2, R11; \
	ADD  R4, R12; \
	SUBS $1, R13; \
	EACH(STEP); \
	BNE  step; \
	EACH(ALPHA); \
	CBZW R8, biased; \
	VDUP R8, V6.S4; \
	MOVD R5, R10; \
	EACH(BETA); \
biased: \
	CBZ  R14, rectified; \
	VLD1 (R14), [V3.S4, V4.S4]; \
	EACH(BIAS); \
rectified: \
	CBZ R15, store; \
	ZERO(7); \
	EACH(RELU); \
store: \
	MOVD R5, R10; \
	EACH(STORE); \
	ADD  R3, R1; \
	MOVD tiles_bt(R0), R10; \
	ADD  R10, R16; \
	MOVD tiles_ct(R0), R10; \
	ADD  R10, R5; \
	MOVD tiles_biast(R0), R10; \
	ADD  R10, R14; \
	SUBS $1, R7; \
	BNE  tile; \
	RET

// func tilesNEON1(t *tiles)
TEXT ·tilesNEON1(SB), NOSPLIT, $0-8
	TILES(EACH1, A4)

// func tilesNEON2(t *tiles)
TEXT ·tilesNEON2(SB), NOSPLIT, $0-8
	TILES(EACH2, A4)

// func tilesNEON3(t *tiles)
TEXT ·tilesNEON3(SB), NOSPLIT, $0-8
	TILES(EACH3, A4)

// func tilesNEON4(t *tiles)
TEXT ·tilesNEON4(SB), NOSPLIT, $0-8
	TILES(EACH4, A4)

// func tilesNEON5(t *tiles)
TEXT ·tilesNEON5(SB), NOSPLIT, $0-8
	TILES(EACH5, A8)

// func tilesNEON6(t *tiles)
TEXT ·tilesNEON6(SB), NOSPLIT, $0-8
	TILES(EACH6, A8)

// func tilesNEON7(t *tiles)
TEXT ·tilesNEON7(SB), NOSPLIT, $0-8
	TILES(EACH7, A8)

// func tilesNEON8(t *tiles)
TEXT ·tilesNEON8(SB), NOSPLIT, $0-8
	TILES(EACH8, A8)

// func tilesNEON9(t *tiles)
TEXT ·tilesNEON9(SB), NOSPLIT, $0-8
	TILES(EACH9, A12)

// func tilesNEON10(t *tiles)
TEXT ·tilesNEON10(SB), NOSPLIT, $0-8
	TILES(EACH10, A12)

// func tilesNEON11(t *tiles)
TEXT ·tilesNEON11(SB), NOSPLIT, $0-8
	TILES(EACH11, A12)

// func tilesNEON12(t *tiles)
TEXT ·tilesNEON12(SB), NOSPLIT, $0-8
	TILES(EACH12, A12)

#define CLEARED(i) \
	ZERO(8+2*(i)); \
	ZERO(9+2*(i))

#define CHAIN(i) \
	FMLA(8+2*(i), 3, 0, 0); \
	FMLA(9+2*(i), 4, 0, 0)

// func peakNEON(n int)
TEXT ·peakNEON(SB), NOSPLIT, $0-8
	MOVD n+0(FP), R0
	ZERO(0)
	ZERO(3)
	ZERO(4)
	EACH12(CLEARED)

loop:
	EACH12(CHAIN)
	SUBS $1, R0
	BNE  loop
	RET

// func copyPanels8(dst, src *float32, stride, n, panels, to int)
TEXT ·copyPanels8(SB), NOSPLIT, $0-48
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD stride+16(FP), R2
	MOVD n+24(FP), R3
	MOVD panels+32(FP), R4
	MOVD to+40(FP), R5

row:
	MOVD R0, R6
	MOVD R1, R7
	MOVD R4, R8

panel:
	VLD1.P 32(R7), [V0.S4, V1.S4]
	VST1   [V0.S4, V1.S4], (R6)
	ADD    R5, R6
	SUBS   $1, R8
	BNE    panel
	ADD    R2, R1
	ADD    $32, R0
	SUBS   $1, R3
	BNE    row
	RET

// func copyPanels12(dst, src *float32, stride, n, panels, to int)
TEXT ·copyPanels12(SB), NOSPLIT, $0-48
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD stride+16(FP), R2
	MOVD n+24(FP), R3
	MOVD panels+32(FP), R4
	MOVD to+40(FP), R5

row:
	MOVD R0, R6
	MOVD R1, R7
	MOVD R4, R8

panel:
	VLD1.P 48(R7), [V0.S4, V1.S4, V2.S4]
	VST1   [V0.S4, V1.S4, V2.S4], (R6)
	ADD    R5, R6
	SUBS   $1, R8
	BNE    panel
	ADD    R2, R1
	ADD    $48, R0
	SUBS   $1, R3
	BNE    row
	RET

// FOUR loads four elements of each of four rows.
#define FOUR(a, b, c, d) \
	VLD1 (R6), [a.S4]; \
	ADD  R3, R6; \
	VLD1 (R6), [b.S4]; \
	ADD  R3, R6; \
	VLD1 (R6), [c.S4]; \
	ADD  R3, R6; \
	VLD1 (R6), [d.S4]; \
	ADD  R3, R6

// TURN writes the columns of a, b, c, d to e, f, g, h.
#define TURN(a, b, c, d, e, f, g, h) \
	VZIP1 c.S4, a.S4, V16.S4; \
	VZIP2 c.S4, a.S4, V17.S4; \
	VZIP1 d.S4, b.S4, V18.S4; \
	VZIP2 d.S4, b.S4, V19.S4; \
	VZIP1 V18.S4, V16.S4, e.S4; \
	VZIP2 V18.S4, V16.S4, f.S4; \
	VZIP1 V19.S4, V17.S4, g.S4; \
	VZIP2 V19.S4, V17.S4, h.S4

// func transpose8(dst, src *float32, to, from, n int)
TEXT ·transpose8(SB), NOSPLIT, $0-40
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD to+16(FP), R2
	MOVD from+24(FP), R3
	MOVD n+32(FP), R4
	LSL  $1, R4

columns: // four of them
	MOVD R1, R6
	FOUR(V0, V1, V2, V3)
	FOUR(V4, V5, V6, V7)
	// A row of the result is in two registers of which one follows the other.
	TURN(V0, V1, V2, V3, V8, V10, V12, V14)
	TURN(V4, V5, V6, V7, V9, V11, V13, V15)
	VST1 [V8.S4, V9.S4], (R0)
	ADD  R2, R0
	VST1 [V10.S4, V11.S4], (R0)
	ADD  R2, R0
	VST1 [V12.S4, V13.S4], (R0)
	ADD  R2, R0
	VST1 [V14.S4, V15.S4], (R0)
	ADD  R2, R0
	ADD  $16, R1
	SUBS $1, R4
	BNE  columns
	RET
