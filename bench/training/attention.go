package training

import (
	"math"

	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// attention is softmax(Q·Kᵀ ÷ √width)·V for every sample and head (Vaswani et al. 2017,
// arXiv:1706.03762). A row of x is a token: the queries of all heads, then the keys,
// then the values. A row of the result has the outputs of all heads.
func (b *builder) attention(x *gorgonia.Node, tokens, heads int) *gorgonia.Node {
	n, ld := rows(x)/tokens, cols(x)
	d := ld / 3
	width := d / heads
	scale := inverseRoot(width)
	square := tokens * tokens
	weights, dweights := b.numbers(n*heads*square), b.numbers(square)
	// each calls f for every sample and head, with the offset of its first token in x
	// and in the result, and with its attention weights.
	each := func(f func(q, y int, weights []float32)) {
		for i := range n {
			for h := range heads {
				f(i*tokens*ld+h*width, i*tokens*d+h*width, weights.f[(i*heads+h)*square:][:square])
			}
		}
	}
	none := sgemm.Epilogue{}
	m := rows(x)
	return b.apply(&op{name: "attention", also: []*value{weights},
		do: func(out *value, in []*value) {
			x, y := in[0].f, out.f
			each(func(q, to int, p []float32) {
				b.multiply(tokens, tokens, width, mat(x[q:], ld), mat(x[q+d:], ld).T(), 0, mat(p, tokens), none)
				for row := p; len(row) > 0; row = row[tokens:] {
					b.vec.Softmax(row[:tokens], row, scale)
				}
				b.multiply(tokens, width, tokens, mat(p, tokens), mat(x[q+2*d:], ld), 0, mat(y[to:], d), none)
			})
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "attention'", also: []*value{weights, dweights}, do: func(out *value, in []*value) {
				x, dy, dx := in[0].f, in[1].f, out.f
				each(func(q, to int, p []float32) {
					dp, dy := dweights.f, mat(dy[to:], d)
					b.multiply(tokens, width, tokens, mat(p, tokens).T(), dy, 0, mat(dx[q+2*d:], ld), none)
					b.multiply(tokens, tokens, width, dy, mat(x[q+2*d:], ld).T(), 0, mat(dp, tokens), none)
					for i := 0; i < square; i += tokens {
						row := dp[i:][:tokens]
						b.vec.SoftmaxGrad(row, p[i:], row, scale)
					}
					b.multiply(tokens, width, tokens, mat(dp, tokens), mat(x[q+d:], ld), 0, mat(dx[q:], ld), none)
					b.multiply(tokens, width, tokens, mat(dp, tokens).T(), mat(x[q:], ld), 0, mat(dx[q+d:], ld), none)
				})
			}}, m, ld, in[0], dy)}
		}}, m, d, x)
}

// inverseRoot is 1 ÷ √n: the scale of attention over heads that are n wide.
func inverseRoot(n int) float32 { return float32(1 / math.Sqrt(float64(n))) }

// layerNorm normalises each row of x + y to mean 0 and variance 1, times gain, plus
// bias (Ba et al. 2016, arXiv:1607.06450). It joins x and the branch y of r.
func (b *builder) layerNorm(r *residual, x, y, gain, bias *gorgonia.Node) *gorgonia.Node {
	m, n := rows(x), cols(x)
	normal, inverse := b.numbers(m*n), b.numbers(m) // normalised rows, and 1 ÷ their standard deviations before
	g := b.numbers(n)
	return b.apply(&op{name: "layer norm", also: []*value{normal, inverse}, wrt: []bool{false, true, true, true},
		do: func(out *value, in []*value) {
			x, y, gain, bias := in[0].f, in[1].f, in[2].f, in[3].f
			for i := range m {
				row := normal.f[i*n:][:n]
				b.vec.Combine(row, x[i*n:], y[i*n:], 1, 1, 0)
				mean := b.vec.Sum(row) / float32(n)
				variance := b.vec.Square(row, mean) / float32(n)
				r := float32(1 / math.Sqrt(float64(variance)+epsilon))
				inverse.f[i] = r
				b.vec.Affine(row, row, r, -mean*r)
				b.vec.ScaleShift(out.f[i*n:][:n], row, gain, bias)
			}
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			dx := b.apply(&op{name: "layer norm'", also: []*value{normal, inverse, g}, do: func(out *value, in []*value) {
				gain, dy, g := in[0].f, in[1].f, g.f
				for i := range m {
					row, r := normal.f[i*n:][:n], inverse.f[i]
					b.vec.Mul(g, dy[i*n:], gain)
					mean, along := b.vec.Sum(g)/float32(n), b.vec.Dot(g, row)/float32(n)
					b.vec.Combine(out.f[i*n:][:n], g, row, r, -r*along, -r*mean)
				}
			}}, m, n, in[2], dy)
			dgain := b.apply(&op{name: "layer norm' gain", also: []*value{normal}, do: func(out *value, in []*value) {
				clear(out.f)
				for i := range m {
					b.vec.MulAdd(out.f, in[0].f[i*n:], normal.f[i*n:])
				}
			}}, 1, n, dy)
			r.grad = dx
			return gorgonia.Nodes{nil, dx, dgain, b.sumRows(dy)}
		}}, m, n, x, y, gain, bias)
}
