//go:build !purego

package sha256d

import (
	_ "embed"
	"encoding/binary"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/kerneltest"
)

//go:embed sha256d_amd64.s
var assembly string

// A row that uses upper halves of vector registers must clear them before it
// returns: legacy-encoded code that follows would be slow, by hundreds of cycles
// on some CPUs. And a row must use no instructions beyond its needs.
func TestInstructions(t *testing.T) {
	upper := regexp.MustCompile(`\b[YZ][0-9]+\b`)
	vex := regexp.MustCompile(`^\tV[A-Z]`)
	evex := regexp.MustCompile(`\bZ[0-9]+\b|\b[XY](1[6-9]|2[0-9]|3[01])\b|\bK[0-7]\b|\.BCST|VPTERNLOG|VPROR|VMOVDQ[AU](32|64)`)
	functions := strings.Split(assembly, "\nTEXT ·")[1:]
	require.Len(t, functions, len(native))
	for _, f := range functions {
		name, _, _ := strings.Cut(f, "(")
		body, _, _ := strings.Cut(f, "\nDATA") // constants of the next
		lines := strings.Split(body, "\n")
		uses := func(r *regexp.Regexp) bool {
			for _, line := range lines {
				if r.MatchString(line) {
					return true
				}
			}
			return false
		}
		switch name {
		case "candidatesSHANI":
			require.True(t, uses(vex))
			require.False(t, uses(upper))
			require.False(t, uses(evex))
		case "candidatesSHANISSE":
			require.False(t, uses(vex), "a CPU can have SHA and no AVX")
		case "candidatesAVX2":
			require.True(t, uses(upper))
			require.False(t, uses(evex))
		case "candidatesAVX512", "candidatesAVX512X2":
			require.True(t, uses(evex))
		default:
			require.Fail(t, "which row is that?", name)
		}
		returns := 0
		for i, line := range lines {
			if line == "\tRET" {
				returns++
				if uses(upper) {
					require.Equal(t, "\tVZEROUPPER", lines[i-1], name)
				}
			}
		}
		require.NotZero(t, returns, name)
	}
}

// The assembly reports exactly the candidates. The row would drop one too many, at
// the cost of hashing it again, so Scan does not show it.
func TestCandidates(t *testing.T) {
	functions := map[string]func(hits *[32]uint64, f *fixed, first uint32, n int){
		"avx512": candidatesAVX512, "avx512x2": candidatesAVX512X2, "avx2": candidatesAVX2, "shani": candidatesSHANI, "shani-sse": candidatesSHANISSE,
	}
	require.Len(t, functions, len(native))
	h := randomHeader(source(t))
	for _, row := range native {
		t.Run(row.Name, func(t *testing.T) {
			if !row.Supported(kerneltest.CPU) {
				t.Skipf("this CPU lacks some of %v", row.Needs)
			}
			for _, top := range []uint32{0, 1 << 24, 1 << 31, 1<<32 - 1} {
				const n, first = 2048, 1<<32 - 999
				var job Job
				job.Set(&h, &allOnes)
				job.top = top
				var got, want [n / 64]uint64
				functions[row.Name](&got, &job.fixed, first, n)
				for i := range uint32(n) {
					h := h
					h.SetNonce(first + i)
					if digest := Sum(&h); binary.LittleEndian.Uint32(digest[28:]) <= top {
						want[i/64] |= 1 << (i % 64)
					}
				}
				require.Equal(t, want, got, "top word %#x", top)
			}
		})
	}
}
