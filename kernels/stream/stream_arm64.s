//go:build !purego

#include "textflag.h"

// What Go's assembler does not know (Arm Architecture Reference Manual, C7.2).
#define FMUL2D(m, n, d) WORD $(0x6e60dc00 | m<<16 | n<<5 | d)
#define FADD2D(m, n, d) WORD $(0x4e60d400 | m<<16 | n<<5 | d)

// STNP stores the pair Q(t), Q(u) at Rn + 16·i with the hint that it will not
// be read soon.
#define STNP(t, u, i, n) WORD $(0xac000000 | i<<15 | u<<10 | n<<5 | t)

// func linesNEON(a, b, c *float64, n int, s float64)
TEXT ·linesNEON(SB), NOSPLIT, $0-40
	MOVD	a+0(FP), R0
	MOVD	b+8(FP), R1
	MOVD	c+16(FP), R2
	MOVD	n+24(FP), R3
	FMOVD	s+32(FP), F0
	VDUP	V0.D[0], V0.D2

next:
	VLD1.P	64(R2), [V1.D2, V2.D2, V3.D2, V4.D2]
	VLD1.P	64(R1), [V5.D2, V6.D2, V7.D2, V8.D2]
	FMUL2D(0, 1, 1)
	FMUL2D(0, 2, 2)
	FMUL2D(0, 3, 3)
	FMUL2D(0, 4, 4)
	FADD2D(1, 5, 1)
	FADD2D(2, 6, 2)
	FADD2D(3, 7, 3)
	FADD2D(4, 8, 4)
	STNP(1, 2, 0, 0)
	STNP(3, 4, 2, 0)
	ADD	$64, R0
	SUB	$1, R3
	CBNZ	R3, next
	RET
