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
	for y := range c.side {
		copy(padded[(y+1)*wide+c.in:][:row], x[y*row:])
	}
	if c.in == 1 {
		// With one channel only three elements are contiguous, too few per copy. With a
		// row for each filter position instead, whole image lines are.
		for place := range 9 {
			for y := range c.side {
				copy(seen[(place*c.side+y)*c.side:][:c.side], padded[(y+place/3)*wide+place%3:])
			}
		}
		return mat(seen, c.side*c.side).T()
	}
	for y := range c.side {
		for x := range c.side {
			for dy := range 3 {
				copy(seen[:3*c.in], padded[(y+dy)*wide+x*c.in:])
				seen = seen[3*c.in:]
			}
		}
	}
	return mat(c.seen.f, c.weights)
}

// gather adds up in dx, for each pixel, the gradients from all filter positions that
// cover it (col2im).
func (c *convolution) gather(dx []float32) {
	padded, seen := c.padded.f, c.seen.f
	row, wide := c.side*c.in, (c.side+2)*c.in
	clear(padded)
	for y := range c.side {
		for x := range c.side {
			for dy := range 3 {
				c.vec.Axpy(padded[(y+dy)*wide+x*c.in:][:3*c.in], seen, 1)
				seen = seen[3*c.in:]
			}
		}
	}
	for y := range c.side {
		copy(dx[y*row:][:row], padded[(y+1)*wide+c.in:])
		clear(padded[(y+1)*wide:][:c.in]) // the border
		clear(padded[(y+1)*wide+c.in+row:][:c.in])
	}
	clear(padded[:wide])
	clear(padded[(c.side+1)*wide:])
}

// pool writes the pooled activations of image i to y.
func (c *convolution) pool(y []float32, i int) {
	act, at := c.act.f, c.at.i[i*c.pooled():]
	c.each(func(to, a, b, d, e int) {
		c.vec.Pool(y[to:][:c.out], at[to:], act[a:], act[b:], act[d:], act[e:])
	})
}

// unpool sets the activations of image i to their gradients.
func (c *convolution) unpool(dy []float32, i int) {
	act, at := c.act.f, c.at.i[i*c.pooled():]
	c.each(func(to, a, b, d, e int) {
		c.vec.Unpool(act[a:][:c.out], act[b:], act[d:], act[e:], dy[to:], at[to:])
	})
}

// each calls f for each pooled pixel, with the offsets of that pixel and of the four
// from which it is pooled.
func (c *convolution) each(f func(to, a, b, d, e int)) {
	for y := range c.side / 2 {
		for x := range c.side / 2 {
			a, below := (2*y*c.side+2*x)*c.out, c.side*c.out
			f((y*(c.side/2)+x)*c.out, a, a+c.out, a+below, a+below+c.out)
		}
	}
}
