package training

import (
	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// convolution is a layer of 3×3 filters over square images, padded with zeros, then
// max(x, 0), then the maximum of each 2×2 pixels. A row of its operand is an image,
// pixel by pixel with the channels innermost. A row of the weights is a position in the
// filter (row, column, input channel), a column an output channel.
//
// It processes one image at a time, as a product with a matrix that has a row for each
// pixel, with all inputs of the filter there (im2col). So the data between product and
// pooling stay in the second-level cache.
type convolution struct {
	*core
	side, in, out int
	weights       int    // rows of w
	padded        *value // (side + 2)² pixels of the operand; those at the border stay 0
	seen          *value // side² × weights
	act           *value // side² × out
	at            *value // for each pooled element, which of the four it came from
}

func (b *builder) convolution(x, w *gorgonia.Node, side int) *gorgonia.Node {
	in, out := cols(x)/(side*side), cols(w)
	c := &convolution{core: b.core, side: side, in: in, out: out, weights: 9 * in,
		padded: b.numbers((side + 2) * (side + 2) * in),
		seen:   b.numbers(side * side * 9 * in),
		act:    b.numbers(side * side * out),
	}
	c.padded.lasting = true
	n, wide := rows(x), cols(x)
	c.at = b.value(integer, n, c.pooled())
	all := []*value{c.padded, c.seen, c.act, c.at}
	return b.apply(&op{name: "convolution 3×3, relu, max-pool 2×2", also: all,
		do: func(y *value, in []*value) {
			x, w := in[0].f, mat(in[1].f, c.out)
			for i := range n {
				c.multiply(side*side, c.out, c.weights, c.look(part(x, n, i)), w, 0, mat(c.act.f, c.out), sgemm.Epilogue{})
				c.pool(part(y.f, n, i), i)
			}
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			dx := b.apply(&op{name: "convolution' image", also: all, do: func(dx *value, in []*value) {
				w, dy := mat(in[0].f, c.out), in[1].f
				for i := range n {
					c.unpool(part(dy, n, i), i)
					c.multiply(side*side, c.weights, c.out, mat(c.act.f, c.out), w.T(), 0, mat(c.seen.f, c.weights), sgemm.Epilogue{})
					c.gather(part(dx.f, n, i))
				}
			}}, n, wide, in[1], dy)
			dw := b.apply(&op{name: "convolution' weights", also: all, do: func(dw *value, in []*value) {
				x, dy := in[0].f, in[1].f
				for i := range n {
					c.unpool(part(dy, n, i), i)
					c.multiply(c.weights, c.out, side*side, c.look(part(x, n, i)).T(), mat(c.act.f, c.out), min(float32(i), 1), mat(dw.f, c.out), sgemm.Epilogue{})
				}
			}}, c.weights, c.out, in[0], dy)
			return gorgonia.Nodes{dx, dw}
		}}, n, c.pooled(), x, w)
}

// part is row i of n.
func part(x []float32, n, i int) []float32 { return x[i*len(x)/n : (i+1)*len(x)/n] }

// pooled is the number of elements of an image after pooling.
func (c *convolution) pooled() int { return c.side / 2 * (c.side / 2) * c.out }

// look returns the matrix of all inputs of the filter in the image x (im2col).
func (c *convolution) look(x []float32) matrix {
	padded, seen := c.padded.f, c.seen.f
	row, wide := c.side*c.in, (c.side+2)*c.in
	c.vec.CopyRows(padded[wide+c.in:], wide, x, row, c.side, row)
	if c.in == 1 {
		// With one channel only three elements are contiguous, too few per copy. With a
		// row for each filter position instead, whole image lines are.
		for place := range 9 {
			c.vec.CopyRows(seen[place*c.side*c.side:], c.side, padded[place/3*wide+place%3:], wide, c.side, c.side)
		}
		return mat(seen, c.side*c.side).T()
	}
	c.windows(func(padded, seen []float32) {
		c.vec.CopyRows(seen, c.weights, padded, c.in, c.side, 3*c.in)
	})
	return mat(seen, c.weights)
}

// windows calls f for each line of the image and each line of the filter, with the
// elements from those on that the first pixel's filter covers there, and with their
// place in seen. The next pixel's are c.in further, and c.weights.
func (c *convolution) windows(f func(padded, seen []float32)) {
	for y := range c.side {
		for dy := range 3 {
			f(c.padded.f[(y+dy)*(c.side+2)*c.in:], c.seen.f[y*c.side*c.weights+dy*3*c.in:])
		}
	}
}

// gather adds up in dx, for each pixel, the gradients from all filter positions that
// cover it (col2im).
func (c *convolution) gather(dx []float32) {
	padded := c.padded.f
	row, wide := c.side*c.in, (c.side+2)*c.in
	clear(padded)
	c.windows(func(padded, seen []float32) {
		c.vec.AddRows(padded, c.in, seen, c.weights, c.side, 3*c.in)
	})
	c.vec.CopyRows(dx, row, padded[wide+c.in:], wide, c.side, row)
	for y := range c.side + 2 { // the border
		clear(padded[y*wide:][:c.in])
		clear(padded[(y+1)*wide-c.in:][:c.in])
	}
	clear(padded[:wide])
	clear(padded[(c.side+1)*wide:])
}

// pool writes the pooled activations of image i to y.
func (c *convolution) pool(y []float32, i int) {
	c.lines(i, func(to int, top, bottom []float32, at []int32) {
		c.vec.Pool(y[to:][:len(at)], at, top, bottom, c.out)
	})
}

// unpool sets the activations of image i to their gradients.
func (c *convolution) unpool(dy []float32, i int) {
	c.lines(i, func(to int, top, bottom []float32, at []int32) {
		c.vec.Unpool(top, bottom, dy[to:][:len(at)], at, c.out)
	})
}

// lines calls f for each pooled line of image i, with its offset in the pooled image, the
// two lines from which it is pooled, and where the largest of them were.
func (c *convolution) lines(i int, f func(to int, top, bottom []float32, at []int32)) {
	pooled, line := c.side/2*c.out, c.side*c.out
	for y := range c.side / 2 {
		act := c.act.f[2*y*line:]
		f(y*pooled, act[:line], act[line:][:line], c.at.i[i*c.pooled()+y*pooled:][:pooled])
	}
}
