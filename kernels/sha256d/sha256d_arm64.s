//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// Four nonces go through the same code at once, so that each waits for its
// SHA256H while the others use the one pipe there is for it. Words stand as
// SHA-256 has them: only the nonce and the last word are turned around.
//
//	lane             0      1      2       3
//	words a b c d    V0     V6     V12     V18
//	words e f g h    V1     V7     V13     V19
//	schedule         V2-5   V8-11  V14-17  V20-23
//	schedule + k     V24    V25    V26     V27
//	a b c d kept     V28    V29    V30     V31
//
// One pipe runs SHA256H, SHA256H2, SHA256SU0 and SHA256SU1, one a cycle (LLVM's
// models of Neoverse N1, N2 and V2, after Arm's optimisation guides), so their
// number is the bound: 49 in the header's second block and 54 in its digest,
// 103 cycles a hash. The other 62 vector instructions fit beside them on a
// second pipe, and constants are loaded where they are used, by pipes that have
// nothing else to do. With a latency of 4 and a register copied before, a lane
// is ready for its next four rounds after 6 cycles; the four lanes keep the pipe
// busy for 8 and more. llvm-mca makes it 104 on these cores.

// Padding of a block of 80 bytes and of 32, alone and with k added.
DATA pad<>+0x00(SB)/8, $0x0000000080000000 // words 4 to 7 of the first, 8 to 11 of the second
DATA pad<>+0x08(SB)/8, $0x0000000000000000
DATA pad<>+0x10(SB)/8, $0x0000000000000000 // words 12 to 15 of the first
DATA pad<>+0x18(SB)/8, $0x0000028000000000
DATA pad<>+0x20(SB)/8, $0x0000000000000000 // words 12 to 15 of the second
DATA pad<>+0x28(SB)/8, $0x0000010000000000
DATA pad<>+0x30(SB)/8, $0x59f111f1b956c25b // words 4 to 7 of the first, with k
DATA pad<>+0x38(SB)/8, $0xab1c5ed5923f82a4
DATA pad<>+0x40(SB)/8, $0x80deb1fe72be5d74 // words 12 to 15 of the first, with k
DATA pad<>+0x48(SB)/8, $0xc19bf3f49bdc06a7
DATA pad<>+0x50(SB)/8, $0x12835b015807aa98 // words 8 to 11 of the second, with k
DATA pad<>+0x58(SB)/8, $0x550c7dc3243185be
DATA pad<>+0x60(SB)/8, $0x80deb1fe72be5d74 // words 12 to 15 of the second, with k
DATA pad<>+0x68(SB)/8, $0xc19bf2749bdc06a7
GLOBL pad<>(SB), RODATA|NOPTR, $0x70

// NONCE starts a lane with nonce R1+i: the state after round 3, in which words
// a and e have grown by the nonce, and schedule words 16 to 19. It takes σ0 of
// the nonce in general registers, which spares a SHA256SU0.
#define NONCE(i, F, V, A, E, WF, W) \
	ADDW	$i, R1, R9; \
	REVW	R9, R9; \
	FMOVS	R9, F; \
	RORW	$7, R9, R10; \
	EORW	R9@>18, R10, R10; \
	EORW	R9>>3, R10, R10; \
	ADDW	R7, R10, R10; \
	ADDW	R8, R9, R9; \
	ORR	R9<<32, R10, R10; \
	FMOVQ	fixed_w(R0), WF; \
	VMOV	R10, W.D[1]; \
	VADD	V28.S4, V.S4, A.S4; \
	VADD	V29.S4, V.S4, E.S4

// LOAD puts a vector into all lanes.
#define LOAD(at, a, b, c, d) \
	FMOVQ	at, a; \
	FMOVQ	at, b; \
	FMOVQ	at, c; \
	FMOVQ	at, d

// PLUS adds a vector to one of each lane, which gives a, b, c and d.
#define PLUS(at, s, t, u, v, a, b, c, d) \
	FMOVQ	at, F27; \
	VADD	V27.S4, s.S4, a.S4; \
	VADD	V27.S4, t.S4, b.S4; \
	VADD	V27.S4, u.S4, c.S4; \
	VADD	V27.S4, v.S4, d.S4

// KEEP saves a b c d, which SHA256H overwrites and SHA256H2 needs.
#define KEEP \
	VMOV	V0.B16, V28.B16; \
	VMOV	V6.B16, V29.B16; \
	VMOV	V12.B16, V30.B16; \
	VMOV	V18.B16, V31.B16

// HASH runs four rounds, given the schedule with k added and a b c d kept.
#define HASH(s, t, u, v, a, b, c, d) \
	SHA256H	s.S4, V1, V0; \
	SHA256H	t.S4, V7, V6; \
	SHA256H	u.S4, V13, V12; \
	SHA256H	v.S4, V19, V18; \
	SHA256H2	s.S4, a, V1; \
	SHA256H2	t.S4, b, V7; \
	SHA256H2	u.S4, c, V13; \
	SHA256H2	v.S4, d, V19

#define ROUNDS \
	KEEP; \
	HASH(V24, V25, V26, V27, V28, V29, V30, V31)

// PADROUNDS runs four rounds in which the schedule is constant.
#define PADROUNDS(at) \
	FMOVQ	at, F24; \
	KEEP; \
	HASH(V24, V24, V24, V24, V28, V29, V30, V31)

// LASTn run rounds i to i+3, whose schedule words are the n-th of each lane.
#define LAST0(i)	PLUS((4*i)(R3), V2, V8, V14, V20, V24, V25, V26, V27); ROUNDS
#define LAST1(i)	PLUS((4*i)(R3), V3, V9, V15, V21, V24, V25, V26, V27); ROUNDS
#define LAST2(i)	PLUS((4*i)(R3), V4, V10, V16, V22, V24, V25, V26, V27); ROUNDS
#define LAST3(i)	PLUS((4*i)(R3), V5, V11, V17, V23, V24, V25, V26, V27); ROUNDS

// SIGMA0 and SIGMA1 are the first and second half of the schedule.
#define SIGMA0(s, t, u, v, a, b, c, d) \
	SHA256SU0	s.S4, a.S4; \
	SHA256SU0	t.S4, b.S4; \
	SHA256SU0	u.S4, c.S4; \
	SHA256SU0	v.S4, d.S4

#define SIGMA1(s8, t8, u8, v8, s4, t4, u4, v4, a, b, c, d) \
	SHA256SU1	s4.S4, s8.S4, a.S4; \
	SHA256SU1	t4.S4, t8.S4, b.S4; \
	SHA256SU1	u4.S4, u8.S4, c.S4; \
	SHA256SU1	v4.S4, v8.S4, d.S4

#define SIGMA1_0	SIGMA1(V4, V10, V16, V22, V5, V11, V17, V23, V2, V8, V14, V20)
#define SIGMA1_1	SIGMA1(V5, V11, V17, V23, V2, V8, V14, V20, V3, V9, V15, V21)
#define SIGMA1_2	SIGMA1(V2, V8, V14, V20, V3, V9, V15, V21, V4, V10, V16, V22)
#define SIGMA1_3	SIGMA1(V3, V9, V15, V21, V4, V10, V16, V22, V5, V11, V17, V23)

// NEXTn do as LASTn, and replace the schedule words by those 16 later.
#define NEXT0(i) \
	LAST0(i); \
	SIGMA0(V3, V9, V15, V21, V2, V8, V14, V20); \
	SIGMA1_0

#define NEXT1(i) \
	LAST1(i); \
	SIGMA0(V4, V10, V16, V22, V3, V9, V15, V21); \
	SIGMA1_1

#define NEXT2(i) \
	LAST2(i); \
	SIGMA0(V5, V11, V17, V23, V4, V10, V16, V22); \
	SIGMA1_2

#define NEXT3(i) \
	LAST3(i); \
	SIGMA0(V2, V8, V14, V20, V5, V11, V17, V23); \
	SIGMA1_3

// ROUNDS16TO59 runs what is the same in both hashes.
#define ROUNDS16TO59 \
	NEXT0(16); \
	NEXT1(20); \
	NEXT2(24); \
	NEXT3(28); \
	NEXT0(32); \
	NEXT1(36); \
	NEXT2(40); \
	NEXT3(44); \
	LAST0(48); \
	LAST1(52); \
	LAST2(56)

// DISMISS leaves the loop if the lane whose words e f g h are given passes.
#define DISMISS(E) \
	VMOV	E.S[3], R9; \
	ADDW	R11, R9, R9; \
	REVW	R9, R9; \
	CMPW	R6, R9; \
	BLS	done

// func dismiss(f *fixed, first uint32, steps uint64) (left uint64)
TEXT ·dismiss(SB), NOSPLIT, $16-32
	MOVD	f+0(FP), R0
	MOVWU	first+8(FP), R1
	MOVD	steps+16(FP), R2
	MOVD	$·k(SB), R3
	MOVD	$pad<>(SB), R4
	MOVD	$·initial(SB), R5
	MOVWU	fixed_top(R0), R6
	MOVWU	(fixed_w+8)(R0), R7
	MOVWU	(fixed_w+12)(R0), R8
	MOVWU	28(R5), R11

	// What words 12 to 16 give to words 28 to 31: σ0 of the length to 30.
	MOVWU	(fixed_w+16)(R0), R9
	MOVD	$0x00a00055, R10
	ORR	R9<<32, R10, R10
	MOVD	ZR, w28-16(SP)
	MOVD	R10, w30-8(SP)

loop:
	// The header's second block, from round 4 on.
	FMOVQ	fixed_start(R0), F28
	FMOVQ	(fixed_start+16)(R0), F29
	NONCE(0, F24, V24, V0, V1, F2, V2)
	NONCE(1, F25, V25, V6, V7, F8, V8)
	NONCE(2, F26, V26, V12, V13, F14, V14)
	NONCE(3, F27, V27, V18, V19, F20, V20)

	PADROUNDS(0x30(R4))
	LOAD(0x00(R4), F3, F9, F15, F21)
	FMOVQ	0x10(R4), F24
	SIGMA1(V24, V24, V24, V24, V2, V8, V14, V20, V3, V9, V15, V21)

	PADROUNDS((4*8)(R3))
	VMOVI	$0, V4.B16
	VMOVI	$0, V10.B16
	VMOVI	$0, V16.B16
	VMOVI	$0, V22.B16
	SIGMA1_2

	PADROUNDS(0x40(R4))
	LOAD(w28-16(SP), F5, F11, F17, F23)
	SIGMA1_3

	ROUNDS16TO59
	LAST3(60)

	// Its digest, as far as word 7, which is word 4 after round 60.
	PLUS(fixed_mid(R0), V0, V6, V12, V18, V2, V8, V14, V20)
	PLUS((fixed_mid+16)(R0), V1, V7, V13, V19, V3, V9, V15, V21)

	LOAD((R5), F0, F6, F12, F18)
	LOAD(16(R5), F1, F7, F13, F19)
	FMOVQ	(R5), F28
	PLUS((R3), V2, V8, V14, V20, V24, V25, V26, V27)
	HASH(V24, V25, V26, V27, V28, V28, V28, V28)
	FMOVQ	0x00(R4), F24
	FMOVQ	0x20(R4), F25
	SIGMA0(V3, V9, V15, V21, V2, V8, V14, V20)
	SIGMA1(V24, V24, V24, V24, V25, V25, V25, V25, V2, V8, V14, V20)

	LAST1(4)
	FMOVQ	0x00(R4), F24
	FMOVQ	0x20(R4), F25
	SIGMA0(V24, V24, V24, V24, V3, V9, V15, V21)
	SIGMA1(V25, V25, V25, V25, V2, V8, V14, V20, V3, V9, V15, V21)

	PADROUNDS(0x50(R4))
	LOAD(0x00(R4), F4, F10, F16, F22)
	SIGMA1_2

	PADROUNDS(0x60(R4))
	LOAD(0x20(R4), F5, F11, F17, F23)
	SIGMA0(V2, V8, V14, V20, V5, V11, V17, V23)
	SIGMA1_3

	ROUNDS16TO59
	PLUS((4*60)(R3), V5, V11, V17, V23, V24, V25, V26, V27)
	SHA256H2	V24.S4, V0, V1
	SHA256H2	V25.S4, V6, V7
	SHA256H2	V26.S4, V12, V13
	SHA256H2	V27.S4, V18, V19
	DISMISS(V1)
	DISMISS(V7)
	DISMISS(V13)
	DISMISS(V19)

	ADDW	$const_lanes, R1, R1
	SUBS	$1, R2, R2
	BNE	loop

done:
	MOVD	R2, left+24(FP)
	RET
