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
	scale := float32(1 / math.Sqrt(float64(width)))
	square := tokens * tokens
	weights, dweights := b.workspace(n*heads*square), b.workspace(square)
	// each calls f for every sample and head, with the offset of its first token in x
	// and in the result, and with its attention weights.
	each := func(f func(q, y int, weights []float32)) {
		for i := range n {
			for h := range heads {
				f(i*tokens*ld+h*width, i*tokens*d+h*width, weights()[(i*heads+h)*square:][:square])
			}
		}
	}
	none := sgemm.Epilogue{}
	return b.apply(&op{name: "attention", rows: rows(x), cols: d,
		do: func(y []float32, in []gorgonia.Value) {
			x := floats(in[0])
			each(func(q, to int, p []float32) {
				b.multiply(tokens, tokens, width, mat(x[q:], ld), mat(x[q+d:], ld).T(), 0, mat(p, tokens), none)
				for row := p; len(row) > 0; row = row[tokens:] {
					b.vec.Softmax(row[:tokens], row, scale)
				}
				b.multiply(tokens, width, tokens, mat(p, tokens), mat(x[q+2*d:], ld), 0, mat(y[to:], d), none)
			})
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "attention'", rows: rows(x), cols: ld, do: func(dx []float32, in []gorgonia.Value) {
				x, dy := floats(in[0]), floats(in[1])
				each(func(q, to int, p []float32) {
					dp, dy := dweights(), mat(dy[to:], d)
					b.multiply(tokens, width, tokens, mat(p, tokens).T(), dy, 0, mat(dx[q+2*d:], ld), none)
					b.multiply(tokens, tokens, width, dy, mat(x[q+2*d:], ld).T(), 0, mat(dp, tokens), none)
					for i := 0; i < square; i += tokens {
						row := dp[i:][:tokens]
						b.vec.SoftmaxGrad(row, p[i:], row, scale)
					}
					b.multiply(tokens, width, tokens, mat(dp, tokens), mat(x[q+d:], ld), 0, mat(dx[q:], ld), none)
					b.multiply(tokens, width, tokens, mat(dp, tokens).T(), mat(x[q:], ld), 0, mat(dx[q+d:], ld), none)
				})
			}}, in[0], dy)}
		}}, x)
}

// layerNorm normalises each row of x + y to mean 0 and variance 1, times gain, plus
// bias (Ba et al. 2016, arXiv:1607.06450).
func (b *builder) layerNorm(x, y, gain, bias *gorgonia.Node) *gorgonia.Node {
	const epsilon = 1e-5
	m, n := rows(x), cols(x)
	normal, inverse := b.workspace(m*n), b.workspace(m) // normalised rows, and 1 ÷ their standard deviations before
	g := b.workspace(n)
	return b.apply(&op{name: "layer norm", rows: m, cols: n,
		do: func(out []float32, in []gorgonia.Value) {
			x, y, gain, bias := floats(in[0]), floats(in[1]), floats(in[2]), floats(in[3])
			for i := range m {
				row := normal()[i*n:][:n]
				b.vec.Combine(row, x[i*n:], y[i*n:], 1, 1, 0)
				mean := b.vec.Sum(row) / float32(n)
				variance := b.vec.Square(row, mean) / float32(n)
				r := float32(1 / math.Sqrt(float64(variance)+epsilon))
				inverse()[i] = r
				b.vec.Affine(row, row, r, -mean*r)
				b.vec.ScaleShift(out[i*n:][:n], row, gain, bias)
			}
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			dx := b.apply(&op{name: "layer norm'", rows: m, cols: n, do: func(dx []float32, in []gorgonia.Value) {
				gain, dy := floats(in[0]), floats(in[1])
				for i := range m {
					row, g, r := normal()[i*n:][:n], g(), inverse()[i]
					b.vec.Mul(g, dy[i*n:], gain)
					mean, along := b.vec.Sum(g)/float32(n), b.vec.Dot(g, row)/float32(n)
					b.vec.Combine(dx[i*n:][:n], g, row, r, -r*along, -r*mean)
				}
			}}, in[2], dy)
			dgain := b.apply(&op{name: "layer norm' gain", rows: 1, cols: n, do: func(out []float32, in []gorgonia.Value) {
				dy := floats(in[0])
				clear(out)
				for i := range m {
					b.vec.MulAdd(out, dy[i*n:], normal()[i*n:])
				}
			}}, dy)
			return gorgonia.Nodes{dx, dx, dgain, b.sumRows(dy)}
		}}, x, y, gain, bias)
}
