package training

import "github.com/perwatt/perwatt/kernels/sgemm"

// core is an engine: the CPU.
var _ engine = (*core)(nil)

func (c *core) element(k kind) int64 {
	if k == double {
		return 8
	}
	return 4
}

func (c *core) align() int64                     { return 64 } // a cache line
func (c *core) failed() error                    { return nil }
func (c *core) counted() *products               { return &c.products }
func (c *core) number(v *value) (float32, error) { return v.f[0], nil }

func (c *core) embed(y, tokens, table, places *value, seq int) {
	n := y.cols
	for r, t := range tokens.i {
		c.vec.Combine(y.f[r*n:][:n], table.f[int(t)*n:], places.f[r%seq*n:], 1, 1, 0)
	}
}

func (c *core) embedGrad(dplaces, dtable, tokens, dy *value, seq int) {
	n := dy.cols
	clear(dplaces.f)
	for r, t := range tokens.i {
		c.vec.Axpy(dplaces.f[r%seq*n:][:n], dy.f[r*n:], 1)
		c.vec.Axpy(dtable.f[int(t)*n:][:n], dy.f[r*n:], 1)
	}
}

// epsilon is added to the variance of a row, as PyTorch does.
const epsilon = 1e-5

func (c *core) layerNorm(y, mean, inverse, x, gain, bias *value) {
	n := x.cols
	for i := range x.rows {
		mean.f[i], inverse.f[i] = c.vec.LayerNorm(y.f[i*n:][:n], x.f[i*n:][:n], gain.f, bias.f, epsilon)
	}
}

func (c *core) layerNormGrad(dx, dgain, dbias, x, mean, inverse, gain, dy, _ *value) {
	n := x.cols
	clear(dgain.f)
	clear(dbias.f)
	for i := range x.rows {
		c.vec.LayerNormGrad(dx.f[i*n:][:n], dgain.f, dbias.f, x.f[i*n:][:n], gain.f, dy.f[i*n:][:n], mean.f[i], inverse.f[i])
	}
}

func (c *core) layerNormScratch(int, int) int { return 0 }

func (c *core) linear(y, x, w, bias *value) {
	e := sgemm.Epilogue{}
	if bias != nil {
		e.Bias = bias.f
	}
	c.multiply(y.rows, y.cols, x.cols, mat(x.f, x.cols), mat(w.f, w.cols).T(), 0, mat(y.f, y.cols), e)
}

func (c *core) linearGrad(dx, dy, w *value) {
	c.multiply(dx.rows, dx.cols, dy.cols, mat(dy.f, dy.cols), mat(w.f, w.cols), 0, mat(dx.f, dx.cols), sgemm.Epilogue{})
}

func (c *core) linearGradWeights(dw, dy, x *value) {
	c.multiply(dw.rows, dw.cols, dy.rows, mat(dy.f, dy.cols).T(), mat(x.f, x.cols), 0, mat(dw.f, dw.cols), sgemm.Epilogue{})
}

func (c *core) sumRows(sum, x, _ *value) {
	clear(sum.f)
	for x := x.f; len(x) > 0; x = x[len(sum.f):] {
		c.vec.Axpy(sum.f, x, 1)
	}
}

func (c *core) sumRowsScratch(int, int) int { return 0 }

func (c *core) gelu(y, x *value)          { c.vec.Gelu(y.f, x.f) }
func (c *core) geluGrad(dx, x, dy *value) { c.vec.GeluGrad(dx.f, x.f, dy.f) }
func (c *core) add(y, a, b *value)        { c.vec.Combine(y.f, a.f, b.f, 1, 1, 0) }

// attentionState is the attention weights, and a strip of their gradients.
func (c *core) attentionState(samples, seq, heads, _ int) (saved, scratch int) {
	return samples * heads * seq * seq, strip(seq) * seq
}

// strip is how many queries are multiplied at a time. Those of one strip see at most
// the keys up to its end, so a causal product of many strips is about half as much
// work; products of few rows are slower.
func strip(seq int) int { return max(64, seq/8) }

// strips calls f for each strip of queries, the last one first.
func strips(seq int, f func(lo, hi int)) {
	each := strip(seq)
	for lo := (seq - 1) / each * each; lo >= 0; lo -= each {
		f(lo, min(lo+each, seq))
	}
}

// heads calls f for every sample and head, with the offsets of its first query in
// qkv, of its first result, and of its attention weights.
func (v *value) heads(seq, heads int, f func(q, y, p int)) {
	width := v.cols / 3 / heads
	for i := range v.rows / seq {
		for h := range heads {
			f(i*seq*v.cols+h*width, i*seq*v.cols/3+h*width, (i*heads+h)*seq*seq)
		}
	}
}

func (c *core) attention(y, saved, qkv *value, seq, heads int) {
	ld, d := qkv.cols, y.cols
	width := d / heads
	scale := inverseRoot(width)
	none := sgemm.Epilogue{}
	qkv.heads(seq, heads, func(q, to, at int) {
		strips(seq, func(lo, hi int) {
			p := saved.f[at+lo*seq:][:(hi-lo)*seq]
			c.multiply(hi-lo, hi, width, mat(qkv.f[q+lo*ld:], ld), mat(qkv.f[q+d:], ld).T(), 0, mat(p, seq), none)
			for i := lo; i < hi; i++ {
				row := p[(i-lo)*seq:][:hi]
				c.vec.Softmax(row[:i+1], row[:i+1], scale)
				clear(row[i+1:])
			}
			c.multiply(hi-lo, width, hi, mat(p, seq), mat(qkv.f[q+2*d:], ld), 0, mat(y.f[to+lo*d:], d), none)
		})
	})
}

func (c *core) attentionGrad(dqkv, qkv, _, saved, dy, scratch *value, seq, heads int) {
	ld, d := qkv.cols, dy.cols
	width := d / heads
	scale := inverseRoot(width)
	none := sgemm.Epilogue{}
	qkv.heads(seq, heads, func(q, to, at int) {
		add := float32(0) // the last strip, which comes first, is the one that all keys are in
		strips(seq, func(lo, hi int) {
			n, p, dp := hi-lo, saved.f[at+lo*seq:][:(hi-lo)*seq], scratch.f[:(hi-lo)*seq]
			queries, keys, values := q+lo*ld, q+d, q+2*d
			dy := mat(dy.f[to+lo*d:], d)
			c.multiply(hi, width, n, mat(p, seq).T(), dy, add, mat(dqkv.f[values:], ld), none)
			c.multiply(n, hi, width, dy, mat(qkv.f[values:], ld).T(), 0, mat(dp, seq), none)
			for i := range n {
				row := dp[i*seq:][:hi]
				c.vec.SoftmaxGrad(row, p[i*seq:], row, scale)
			}
			c.multiply(n, width, hi, mat(dp, seq), mat(qkv.f[keys:], ld), 0, mat(dqkv.f[queries:], ld), none)
			c.multiply(hi, width, n, mat(dp, seq).T(), mat(qkv.f[queries:], ld), add, mat(dqkv.f[keys:], ld), none)
			add = 1
		})
	})
}

func (c *core) tokenLoss(loss, losses, logits, targets *value) {
	n, sum := logits.cols, 0.0
	for i, t := range targets.i {
		row := logits.f[i*n:][:n]
		l := c.vec.CrossEntropy(row, row, int(t), 1/float32(logits.rows))
		losses.f[i] = float32(l)
		sum += l
	}
	loss.f[0] = float32(sum / float64(logits.rows))
}
