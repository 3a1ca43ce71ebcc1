// Command asm writes the amd64 rows of package stream: stream_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
package main

import (
	"fmt"
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	_ "github.com/perwatt/perwatt/kernels/stream" // loaded below
)

const lineBytes = 64

func main() {
	// Without assembly the package is complete even when the generated files
	// are gone.
	if err := os.Setenv("GOFLAGS", "-tags=purego"); err != nil {
		log.Fatal(err)
	}
	Package("github.com/perwatt/perwatt/kernels/stream")
	Constraint(buildtags.Not("purego"))
	lines("linesAVX512", ZMM, 64)
	lines("linesAVX2", YMM, 32)
	Generate()
}

// lines writes a row whose vectors are width bytes. The stores go past the
// caches, so that no line of a is fetched only to be overwritten, and fill one
// line after the other, as the buffers that combine them need. Both sources are
// read forward, which hardware prefetchers detect: on Zen 3, prefetch instructions
// 512 to 2048 bytes ahead made it 8 to 25 % slower.
func lines(name string, vector func() reg.VecVirtual, width int) {
	TEXT(name, NOSPLIT, "func(a, b, c *float64, n int, s float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes n lines of eight elements, n not 0, those of a aligned to 64 bytes:", name),
		"", "\tfor i := range 8 * n {", "\t\ta[i] = b[i] + float64(s*c[i])", "\t}", "")
	a, b, c := Load(Param("a"), GP64()), Load(Param("b"), GP64()), Load(Param("c"), GP64())
	n := Load(Param("n"), GP64())
	s := vector()
	from, err := Param("s").Resolve()
	if err != nil {
		log.Fatal(err)
	}
	VBROADCASTSD(from.Addr, s)

	Label("next")
	var v []reg.VecVirtual
	for at := 0; at < lineBytes; at += width {
		x := vector()
		VMULPD(operand.Mem{Base: c, Disp: at}, s, x)
		VADDPD(operand.Mem{Base: b, Disp: at}, x, x)
		v = append(v, x)
	}
	for i, x := range v {
		VMOVNTPD(x, operand.Mem{Base: a, Disp: i * width})
	}
	for _, p := range []reg.Register{a, b, c} {
		ADDQ(operand.Imm(lineBytes), p)
	}
	DECQ(n)
	JNE(operand.LabelRef("next"))
	// Non-temporal stores are not ordered.
	SFENCE()
	VZEROUPPER()
	RET()
}
