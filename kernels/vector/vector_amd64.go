//go:build !purego

package vector

import (
	"github.com/perwatt/perwatt/kernels"
)

//go:generate sh -c "cd _asm && go run . -out ../vector_amd64.s -stubs ../stubs_amd64.go -pkg vector"

// native are the rows in assembly. Most passes are bound by loads and stores,
// which wider vectors do not speed up, so there is no row for AVX-512.
var native = []kernels.Row[*Implementation]{{
	Name: "avx2", Needs: []string{"AVX2", "FMA3"},
	Impl: &Implementation{
		axpy: axpyAVX2, bytes: bytesAVX2, mask: maskAVX2, pool: poolAVX2, unpool: unpoolAVX2,
		max: maxAVX2, exp: expAVX2, sum: sumAVX2, square: squareAVX2, dot: dotAVX2,
		affine: affineAVX2, mul: mulAVX2, fma: fmaAVX2, scaleShift: scaleShiftAVX2,
		combine: combineAVX2, softmaxGrad: softmaxGradAVX2,
	},
}}
