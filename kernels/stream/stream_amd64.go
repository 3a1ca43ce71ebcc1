//go:build !purego

package stream

import (
	"github.com/perwatt/perwatt/kernels"
)

//go:generate sh -c "cd _asm && go run -tags purego . -out ../stream_amd64.s -stubs ../stubs_amd64.go -pkg stream"

// native are the rows in assembly.
var native = []kernels.Row[Implementation]{
	{Name: "avx512", Needs: []string{"AVX512F"}, Impl: Implementation{byLines(linesAVX512)}},
	{Name: "avx2", Needs: []string{"AVX2"}, Impl: Implementation{byLines(linesAVX2)}},
}
