package training

import (
	"context"
	_ "embed"
	"fmt"
	"image"
	idraw "image/draw"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/image/vector"
)

// Samples in the rendered sets.
const (
	trainSize   = 8192
	heldOutSize = 1024
)

// outlines has a line for each digit in each face of the Go fonts: the digit, the face, and
// its outline as the path of an SVG would be, of M, L and Q with absolute places.
//
//go:embed outlines.txt
var outlines string

// glyph is the outline of a digit, y down; x and y are the centre and height is that of the
// bounding box of its points, in the same unit.
type glyph struct {
	segments []segment
	x, y     float64
	height   float64
}

// segment draws on from where the last one ended: to one point by M (nothing is drawn) and
// L, past one to another by Q.
type segment struct {
	op     byte
	points [2]point
}

type point struct{ x, y float64 }

// glyphs returns each digit in each face.
func glyphs() (digits [classes][]glyph, err error) {
	for line := range strings.Lines(outlines) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		title, path, _ := strings.Cut(line, ":")
		var g glyph
		lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
		for words := strings.Fields(path); len(words) > 0; {
			s := segment{op: words[0][0]}
			n := 1
			if s.op == 'Q' {
				n = 2
			}
			for i := range s.points[:n] {
				if _, err := fmt.Sscan(words[1+2*i]+" "+words[2+2*i], &s.points[i].x, &s.points[i].y); err != nil {
					return digits, fmt.Errorf("training: outline of %s: %w", title, err)
				}
				p := s.points[i]
				lo = point{min(lo.x, p.x), min(lo.y, p.y)}
				hi = point{max(hi.x, p.x), max(hi.y, p.y)}
			}
			g.segments = append(g.segments, s)
			words = words[1+2*n:]
		}
		g.x, g.y, g.height = (lo.x+hi.x)/2, (lo.y+hi.y)/2, hi.y-lo.y
		d := title[0] - '0'
		digits[d] = append(digits[d], g)
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
	at := func(p point) (float32, float32) {
		x, y := (p.x-g.x)/g.height, (p.y-g.y)/g.height
		x, y = wide*(x+slant*y), high*y
		return float32(dx + cos*x - sin*y), float32(dy + sin*x + cos*y)
	}
	r.Reset(side, side)
	for _, s := range g.segments {
		ax, ay := at(s.points[0])
		switch s.op {
		case 'M':
			r.ClosePath()
			r.MoveTo(ax, ay)
		case 'L':
			r.LineTo(ax, ay)
		case 'Q':
			bx, by := at(s.points[1])
			r.QuadTo(ax, ay, bx, by)
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
