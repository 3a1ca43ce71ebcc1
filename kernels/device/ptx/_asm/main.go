// Command asm writes fma_amd64.s and stubs_amd64.go of package ptx. Run it by go generate
// in that package.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
)

func main() {
	Constraint(buildtags.Not("purego"))
	TEXT("fmaAVX2", NOSPLIT, "func(x, a, b, c *uint32)")
	Pragma("noescape")
	Doc("fmaAVX2 computes the 32 lanes of a register of a warp, each rounded once:", "", "\tfor l := range 32 {", "\t\tx[l] = a[l]·b[l] + c[l]", "\t}", "")
	x, a, b, c := Load(Param("x"), GP64()), Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("c"), GP64())
	const bytes, lanes = 4, 8
	for at := 0; at < 32*bytes; at += lanes * bytes {
		v, w := YMM(), YMM()
		VMOVUPS(operand.Mem{Base: a, Disp: at}, v)
		VMOVUPS(operand.Mem{Base: b, Disp: at}, w)
		VFMADD213PS(operand.Mem{Base: c, Disp: at}, w, v)
		VMOVUPS(v, operand.Mem{Base: x, Disp: at})
	}
	VZEROUPPER()
	RET()
	Generate()
}
