//go:build !purego

package ptx

import "golang.org/x/sys/cpu"

//go:generate sh -c "cd _asm && go run . -out ../fma_amd64.s -stubs ../stubs_amd64.go -pkg ptx"

var hasFMA = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// fma32 is a·b + c in every lane, rounded once.
func fma32(x, a, b, c *row) {
	if hasFMA {
		fmaAVX2(&x[0], &a[0], &b[0], &c[0])
		return
	}
	fmaGeneric(x, a, b, c)
}
