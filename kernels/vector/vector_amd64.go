//go:build !purego

package vector

import (
	"github.com/perwatt/perwatt/kernels"
)

//go:generate sh -c "cd _asm && go run . -out ../vector_amd64.s -stubs ../stubs_amd64.go -pkg vector"

// native are the rows in assembly.
var native = []kernels.Row[*Implementation]{
	{Name: "avx512", Needs: []string{"AVX512F"}, Impl: &Implementation{
		axpy:        axpyAVX512,
		bytes:       bytesAVX512,
		mask:        maskAVX512,
		copyRows:    copyRowsAVX512,
		addRows:     addRowsAVX512,
		pool:        poolAVX512,
		unpool:      unpoolAVX512,
		max:         maxAVX512,
		exp:         expAVX512,
		sum:         sumAVX512,
		square:      squareAVX512,
		dot:         dotAVX512,
		affine:      affineAVX512,
		mul:         mulAVX512,
		fma:         fmaAVX512,
		scaleShift:  scaleShiftAVX512,
		combine:     combineAVX512,
		softmaxGrad: softmaxGradAVX512,
		scale:       scaleAVX512,
		gelu:        geluAVX512,
		geluGrad:    geluGradAVX512,
		normalize:   normalizeAVX512,
		normalGrads: normalGradsAVX512,
		normalGrad:  normalGradAVX512,
		squares:     squaresAVX512,
		adamW:       adamWAVX512,
	}},
	{Name: "avx2", Needs: []string{"AVX2", "FMA3"}, Impl: &Implementation{
		axpy:        axpyAVX2,
		bytes:       bytesAVX2,
		mask:        maskAVX2,
		copyRows:    copyRowsAVX2,
		addRows:     addRowsAVX2,
		pool:        poolAVX2,
		unpool:      unpoolAVX2,
		max:         maxAVX2,
		exp:         expAVX2,
		sum:         sumAVX2,
		square:      squareAVX2,
		dot:         dotAVX2,
		affine:      affineAVX2,
		mul:         mulAVX2,
		fma:         fmaAVX2,
		scaleShift:  scaleShiftAVX2,
		combine:     combineAVX2,
		softmaxGrad: softmaxGradAVX2,
		scale:       scaleAVX2,
		gelu:        geluAVX2,
		geluGrad:    geluGradAVX2,
		normalize:   normalizeAVX2,
		normalGrads: normalGradsAVX2,
		normalGrad:  normalGradAVX2,
		squares:     squaresAVX2,
		adamW:       adamWAVX2,
	}},
}
