// Command asm writes the amd64 rows of package sha256d: sha256d_amd64.s and
// stubs_amd64.go. Run it by go generate in that package.
//
// Each row is one function. It computes the most significant word of the double
// SHA-256 of a header with many nonces and writes one bit for each nonce.
// Registers are allocated by hand; avo places and checks the rest.
package main

import (
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"

	_ "github.com/perwatt/perwatt/kernels/sha256d" // loaded below
)

func main() {
	// The package is loaded for the layout of its structures, and without
	// assembly it is complete even when the generated files are gone.
	if err := os.Setenv("GOFLAGS", "-tags=purego"); err != nil {
		log.Fatal(err)
	}
	Package("github.com/perwatt/perwatt/kernels/sha256d")
	Constraint(buildtags.Not("purego"))

	avx512x2()
	avx512()
	shani("candidatesSHANI", true)
	shani("candidatesSHANISSE", false)
	avx2()
	Generate()
}
