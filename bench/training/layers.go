package training

import (
	"math"

	"gorgonia.org/gorgonia"
)

// param is a matrix of weights, whose elements are drawn from the normal distribution
// with this mean and deviation.
type param struct {
	rows, cols      int
	mean, deviation float64
}

func (p param) len() int { return p.rows * p.cols }

// weight returns a matrix drawn so that the layer keeps the variance of its inputs.
// Before a ReLU, which cuts off half, the variance of the weights is doubled (He et al.
// 2015, arXiv:1502.01852).
func weight(in, out int, relu bool) param {
	deviation := math.Sqrt(1 / float64(in))
	if relu {
		deviation *= math.Sqrt2
	}
	return param{in, out, 0, deviation}
}

func bias(n int) param { return param{1, n, 0, 0} }
func gain(n int) param { return param{1, n, 1, 0} }

// layer is a part of a network.
type layer interface {
	params() []param
	// products counts those of a step over batch samples: forward, for the gradients of
	// the weights and, unless the layer is the first, for those of its input.
	products(batch int64, first bool) products
	// forward adds the layer to a graph.
	forward(b *builder, x *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node
}

// passes is the work of a step in forward passes: one forward, one for the gradients of
// the weights, and one for those of the input unless the layer is the first.
func passes(first bool) int64 {
	if first {
		return 2
	}
	return 3
}

// fullyConnected is a layer without biases.
type fullyConnected struct {
	in, out int
	relu    bool
}

func (l fullyConnected) params() []param { return []param{weight(l.in, l.out, l.relu)} }

func (l fullyConnected) products(batch int64, first bool) products {
	return products{passes(first), passes(first) * batch * 2 * int64(l.in) * int64(l.out)}
}

func (l fullyConnected) forward(b *builder, x *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node {
	return b.dense(x, w[0], nil, l.relu)
}

// convolutional is a layer as [builder.convolution] describes it, over in
// channels of side × side pixels.
type convolutional struct{ side, in, out int }

func (l convolutional) params() []param { return []param{weight(9*l.in, l.out, true)} }

func (l convolutional) products(batch int64, first bool) products {
	return products{passes(first) * batch, passes(first) * batch * 2 * int64(l.side*l.side) * 9 * int64(l.in) * int64(l.out)}
}

func (l convolutional) forward(b *builder, x *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node {
	return b.convolution(x, w[0], l.side)
}

// encoder is a transformer's encoder block with biases and with the normalisation after
// the residual sums, as in Vaswani et al. 2017, followed by the mean over the tokens.
// Its operand has a row for each token.
type encoder struct{ tokens, width, heads, inner int }

func (l encoder) params() []param {
	d := l.width
	return []param{
		weight(d, 3*d, false), bias(3 * d), // queries, keys and values of all heads
		weight(d, d, false), bias(d), gain(d), bias(d),
		weight(d, l.inner, true), bias(l.inner),
		weight(l.inner, d, false), bias(d), gain(d), bias(d),
	}
}

func (l encoder) products(batch int64, first bool) products {
	t, d, n := int64(l.tokens), int64(l.width), passes(first)
	linear := products{n + 3 + 3 + 3, batch * 2 * t * d * (n*3*d + 3*d + 6*int64(l.inner))}
	linear.add(products{6 * batch * int64(l.heads), batch * 6 * 2 * t * t * d})
	return linear
}

func (l encoder) forward(b *builder, x *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node {
	r := &residual{builder: b}
	answers := b.attention(b.dense(r.fork(x), w[0], w[1], false), l.tokens, l.heads)
	x = b.layerNorm(r, x, b.dense(answers, w[2], w[3], false), w[4], w[5])
	r = &residual{builder: b}
	inner := b.dense(r.fork(x), w[6], w[7], true)
	x = b.layerNorm(r, x, b.dense(inner, w[8], w[9], false), w[10], w[11])
	return b.mean(x, l.tokens)
}

// classifier is the last layer, with biases.
type classifier struct{ in, out int }

func (l classifier) params() []param { return []param{weight(l.in, l.out, false), bias(l.out)} }

func (l classifier) products(batch int64, first bool) products {
	return fullyConnected{l.in, l.out, false}.products(batch, first)
}

func (l classifier) forward(b *builder, x *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node {
	return b.dense(x, w[0], w[1], false)
}
