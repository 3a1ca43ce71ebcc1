//go:build !purego

package sha256d

import (
	_ "embed"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed sha256d_amd64.s
var assembly string

// Code after a row may be of the legacy encoding, which is slow, by hundreds of
// cycles on some CPUs, while upper halves of registers are in use. And a row
// must get by with what it says it needs.
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
			require.False(t, uses(vex), "a CPU can have SHA and no AVX")
		case "candidatesAVX2":
			require.True(t, uses(upper))
			require.False(t, uses(evex))
		case "candidatesAVX512":
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
