//go:build !purego

package sgemm

import (
	"github.com/perwatt/perwatt/kernels"
)

//go:generate sh -c "cd _asm && go run -tags purego . -out ../sgemm_amd64.s -stubs ../stubs_amd64.go -pkg sgemm"

var (
	avx2 = &blocked{
		mr: 6, nr: 16, mc: 174, nc: 2048, kc: 384, narrow: 64, wide: 300, few: 12,
		panelsA: copyPanels6, panelsB: copyPanels16, edge: copyEdgeAVX2, transpose: transpose8,
		packing: packingAVX2,
		tiles:   []func(*tiles){tilesAVX21, tilesAVX22, tilesAVX23, tilesAVX24, tilesAVX25, tilesAVX26},
		edges:   []func(*tiles){edgesAVX21, edgesAVX22, edgesAVX23, edgesAVX24, edgesAVX25, edgesAVX26},
		slim:    16,
	}
	avx512 = &blocked{
		mr: 12, nr: 32, mc: 480, nc: 2048, kc: 256, narrow: 64, wide: 300, few: 12, beside: true,
		panelsA: copyPanels12, panelsB: copyPanels32, edge: copyEdgeAVX512, transpose: transpose8,
		packing: packingAVX512,
		tiles: []func(*tiles){
			tilesAVX5121, tilesAVX5122, tilesAVX5123, tilesAVX5124, tilesAVX5125, tilesAVX5126,
			tilesAVX5127, tilesAVX5128, tilesAVX5129, tilesAVX51210, tilesAVX51211, tilesAVX51212,
		},
		edges: []func(*tiles){
			edgesAVX5121, edgesAVX5122, edgesAVX5123, edgesAVX5124, edgesAVX5125, edgesAVX5126,
			edgesAVX5127, edgesAVX5128, edgesAVX5129, edgesAVX51210, edgesAVX51211, edgesAVX51212,
		},
		slim: 16, masked: true,
	}
)

// native are the rows in assembly.
var native = []kernels.Row[Implementation]{
	{
		Name: "avx512", Needs: []string{"AVX512F"},
		Impl: Implementation{Block{960, 1024, 256}, avx512.gemm}, Peak: peak(peakAVX512, 12*16),
	},
	{
		Name: "avx2", Needs: []string{"AVX2", "FMA3"},
		Impl: Implementation{Block{870, 1024, 384}, avx2.gemm}, Peak: peak(peakAVX2, 12*8),
	},
}
