package training

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/gofont/gosmallcapsitalic"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

var update = flag.Bool("update", false, "write outlines.txt again")

// The faces, in the order that decides which one a random number means.
var faces = [][]byte{
	goregular.TTF, gobold.TTF, goitalic.TTF, gobolditalic.TTF, gomedium.TTF, gomediumitalic.TTF,
	gomono.TTF, gomonobold.TTF, gomonoitalic.TTF, gomonobolditalic.TTF, gosmallcaps.TTF, gosmallcapsitalic.TTF,
}

// TestOutlines holds the outlines against the fonts themselves, which take 2 MB.
func TestOutlines(t *testing.T) {
	var out strings.Builder
	out.WriteString("# Digits of the Go fonts in 1/4096 em, y down. Written by go test ./bench/training -run Outlines -update.\n")
	var buf sfnt.Buffer
	for _, ttf := range faces {
		face, err := sfnt.Parse(ttf)
		require.NoError(t, err)
		name, err := face.Name(&buf, sfnt.NameIDFull)
		require.NoError(t, err)
		for digit := range classes {
			index, err := face.GlyphIndex(&buf, rune('0'+digit))
			require.NoError(t, err)
			segments, err := face.LoadGlyph(&buf, index, fixed.Int26_6(4096), nil)
			require.NoError(t, err)
			fmt.Fprintf(&out, "%d %s:", digit, name)
			for _, s := range segments {
				n := map[sfnt.SegmentOp]int{sfnt.SegmentOpMoveTo: 1, sfnt.SegmentOpLineTo: 1, sfnt.SegmentOpQuadTo: 2}[s.Op]
				require.NotZero(t, n, "the Go fonts are TrueType")
				fmt.Fprintf(&out, " %c", "MLQ"[s.Op])
				for _, p := range s.Args[:n] {
					fmt.Fprintf(&out, " %d %d", p.X, p.Y)
				}
			}
			out.WriteString("\n")
		}
	}
	if *update {
		require.NoError(t, os.WriteFile("outlines.txt", []byte(out.String()), 0o644))
		return
	}
	require.Equal(t, out.String(), outlines, "run go test ./bench/training -run Outlines -update")
}
