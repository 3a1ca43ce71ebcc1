package training

import (
	"context"
	"fmt"
	"image"
	idraw "image/draw"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

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
	"golang.org/x/image/vector"
)

// Samples in the rendered sets.
const (
	trainSize   = 8192
	heldOutSize = 1024
)

// glyph is the outline of a digit, y down; centre and height are those of its
// bounding box, in the same 26.6 fixed-point units.
type glyph struct {
	segments sfnt.Segments
	x, y     float64
	height   float64
}

// glyphs returns each digit in each face of the Go fonts.
func glyphs() (digits [classes][]glyph, err error) {
	faces := [][]byte{
		goregular.TTF, gobold.TTF, goitalic.TTF, gobolditalic.TTF, gomedium.TTF, gomediumitalic.TTF,
		gomono.TTF, gomonobold.TTF, gomonoitalic.TTF, gomonobolditalic.TTF, gosmallcaps.TTF, gosmallcapsitalic.TTF,
	}
	var buf sfnt.Buffer
	for _, ttf := range faces {
		face, err := sfnt.Parse(ttf)
		if err != nil {
			return digits, fmt.Errorf("training: parse a Go font: %w", err)
		}
		for d := range digits {
			index, err := face.GlyphIndex(&buf, rune('0'+d))
			if err != nil {
				return digits, fmt.Errorf("training: find digit %d in a Go font: %w", d, err)
			}
			loaded, err := face.LoadGlyph(&buf, index, fixed.I(1024), nil) // large, so that rounding does not matter
			if err != nil {
				return digits, fmt.Errorf("training: load digit %d of a Go font: %w", d, err)
			}
			box := loaded.Bounds()
			digits[d] = append(digits[d], glyph{
				segments: slices.Clone(loaded), // the buffer is reused
				x:        float64(box.Min.X+box.Max.X) / 2,
				y:        float64(box.Min.Y+box.Max.Y) / 2,
				height:   float64(box.Max.Y - box.Min.Y),
			})
		}
	}
	return digits, nil
}

// digits renders n images of the digits 0 to 9 in turn, each with a random face, size,
// slant, place and ink, on speckled paper. Every image has its own random generator, so
// that the set does not depend on the number of threads.
func digits(ctx context.Context, n, threads int, seed uint32, which byte) (*dataset, error) {
	faces, err := glyphs()
	if err != nil {
		return nil, err
	}
	set := &dataset{images: make([]byte, n*pixels), labels: make([]byte, n)}
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			r := vector.NewRasterizer(side, side)
			for i := t; i < n && ctx.Err() == nil; i += threads {
				set.labels[i] = byte(i % classes) // #nosec G115 -- below classes, which is 10
				rng := random(seed, which, i)
				of := faces[i%classes]
				draw(set.images[i*pixels:][:pixels], of[rng.IntN(len(of))], r, rng)
			}
		})
	}
	wg.Wait()
	return set, ctx.Err()
}

// draw renders g into the paper of one image.
func draw(paper []byte, g glyph, r *vector.Rasterizer, rng *rand.Rand) {
	within := func(lo, hi float64) float64 { return lo + (hi-lo)*rng.Float64() }
	turn, slant := within(-0.15, 0.15), within(-0.2, 0.2)
	high := within(18, 22)
	wide := high * within(0.8, 1.2)
	dx, dy := side/2+within(-1.5, 1.5), side/2+within(-1.5, 1.5)
	ink := within(0.7, 1)

	sin, cos := math.Sincos(turn)
	at := func(p fixed.Point26_6) (float32, float32) {
		x, y := (float64(p.X)-g.x)/g.height, (float64(p.Y)-g.y)/g.height
		x, y = wide*(x+slant*y), high*y
		return float32(dx + cos*x - sin*y), float32(dy + sin*x + cos*y)
	}
	r.Reset(side, side)
	for _, s := range g.segments {
		ax, ay := at(s.Args[0])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			r.ClosePath()
			r.MoveTo(ax, ay)
		case sfnt.SegmentOpLineTo:
			r.LineTo(ax, ay)
		case sfnt.SegmentOpQuadTo:
			bx, by := at(s.Args[1])
			r.QuadTo(ax, ay, bx, by)
		case sfnt.SegmentOpCubeTo:
			bx, by := at(s.Args[1])
			cx, cy := at(s.Args[2])
			r.CubeTo(ax, ay, bx, by, cx, cy)
		}
	}
	r.ClosePath()
	r.DrawOp = idraw.Src
	r.Draw(&image.Alpha{Pix: paper, Stride: side, Rect: image.Rect(0, 0, side, side)}, image.Rect(0, 0, side, side), image.Opaque, image.Point{})
	for i, v := range paper {
		paper[i] = byte(float64(v) * ink)
	}
	for range speckles {
		paper[rng.IntN(pixels)] = byte(rng.UintN(256)) // #nosec G115 -- below 256
	}
}

// speckles is how many pixels of an image are overwritten with noise.
const speckles = 20
