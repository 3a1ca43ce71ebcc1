//go:build !purego

package stream

import "github.com/klauspost/cpuid/v2"

//go:generate sh -c "cd _asm && go run -tags purego . -out ../stream_amd64.s -stubs ../stubs_amd64.go -pkg stream"

// native are the rows in assembly.
var native = []Implementation{
	{Name: "avx512", Needs: []cpuid.FeatureID{cpuid.AVX512F}, triad: byLines(linesAVX512)},
	{Name: "avx2", Needs: []cpuid.FeatureID{cpuid.AVX2}, triad: byLines(linesAVX2)},
}
