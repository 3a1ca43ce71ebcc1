package training

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// engine is what computes the passes of a language model, on handles: [core] on the
// CPU, card on a processor. Matrices have a row for each token, all of the first
// sample first. A pass that fails, and every later one, leaves its results as they are.
type engine interface {
	// element is the bytes of an element of a kind, and align what the place of a value
	// is a multiple of.
	element(k kind) int64
	align() int64
	// failed is the error of the first pass that failed, and counted the products so far.
	failed() error
	counted() *products
	// number returns the one number of v.
	number(v *value) (float32, error)

	// embed sets row r of y to table[tokens[r]] + places[r mod seq].
	embed(y, tokens, table, places *value, seq int)
	// embedGrad adds to dtable and sets dplaces.
	embedGrad(dplaces, dtable, tokens, dy *value, seq int)
	// layerNorm normalises rows: y = gain·(x - mean)·inverse + bias.
	layerNorm(y, mean, inverse, x, gain, bias *value)
	layerNormGrad(dx, dgain, dbias, x, mean, inverse, gain, dy, scratch *value)
	// linear sets y = x·wᵀ, plus bias unless that is nil.
	linear(y, x, w, bias *value)
	// linearGrad sets dx = dy·w, and linearGradWeights dw = dyᵀ·x.
	linearGrad(dx, dy, w *value)
	linearGradWeights(dw, dy, x *value)
	sumRows(sum, x, scratch *value)
	gelu(y, x *value)
	geluGrad(dx, x, dy *value)
	add(y, a, b *value)
	// attention is causal: a row of qkv has the queries of all heads, then the keys,
	// then the values. saved is for the gradient.
	attention(y, saved, qkv *value, seq, heads int)
	attentionGrad(dqkv, qkv, y, saved, dy, scratch *value, seq, heads int)
	// tokenLoss sets loss to the mean of losses, -log softmax(logits)[target] of each
	// row, and logits to their gradient.
	tokenLoss(loss, losses, logits, targets *value)

	// How many numbers of scratch and of saved state the gradients take.
	layerNormScratch(rows, cols int) int
	sumRowsScratch(rows, cols int) int
	attentionState(samples, seq, heads, width int) (saved, scratch int)
}

// gpt is the network of GPT-2 (Radford et al. 2019): a decoder whose blocks normalise
// what enters them, learned places, GELU in its tanh form, and a head that shares its
// weights with the embedding. The matrix of a linear layer has a row for each output.
type gpt struct{ layers, width, heads, seq, vocab int }

func (l gpt) params() []param {
	const deviation = 0.02
	matrix := func(rows, cols int, deviation float64) param { return param{rows, cols, 0, deviation} }
	d := l.width
	out := deviation / math.Sqrt(2*float64(l.layers)) // of what is added to the residual stream
	all := []param{matrix(l.vocab, d, deviation), matrix(l.seq, d, deviation)}
	for range l.layers {
		all = append(all,
			gain(d), bias(d), matrix(3*d, d, deviation), bias(3*d), matrix(d, d, out), bias(d),
			gain(d), bias(d), matrix(4*d, d, deviation), bias(4*d), matrix(d, 4*d, out), bias(d),
		)
	}
	return append(all, gain(d), bias(d))
}

// size is the number of weights, those of the head counted once.
func (l gpt) size() (n int64) {
	for _, p := range l.params() {
		n += int64(p.len())
	}
	return n
}

// flop is the useful floating-point operations of a token: two a weight forward and
// four backward, and those of causal attention, which sees half of the tokens on
// average. (The head's weights count; so do, as in llm.c, the few that multiply nothing.)
func (l gpt) flop() (float64, string) {
	n := l.size()
	return float64(6*n + 6*int64(l.layers)*int64(l.width)*int64(l.seq)),
		fmt.Sprintf("6·%d + 6·%d·%d·%d", n, l.layers, l.width, l.seq)
}

// products counts those of all linear layers and, where it is three passes, attention.
func (l gpt) products(batch int64, _ bool) products {
	all := l.linear(batch)
	all.add(l.attention(batch))
	return all
}

func (l gpt) linear(batch int64) products {
	d, rows := int64(l.width), batch*int64(l.seq)
	return products{3 * (4*int64(l.layers) + 1), 6 * rows * d * (12*d*int64(l.layers) + int64(l.vocab))}
}

func (l gpt) attention(batch int64) (all products) {
	strips(l.seq, func(lo, hi int) {
		all.add(products{6, 6 * 2 * int64(hi-lo) * int64(hi) * int64(l.width/l.heads)})
	})
	heads := batch * int64(l.heads) * int64(l.layers)
	return products{heads * all.calls, heads * all.flop}
}

func (l gpt) forward(b *builder, tokens *gorgonia.Node, w []*gorgonia.Node) *gorgonia.Node {
	return l.logits(b, tokens, w, l.seq, func(_ int, qkv *gorgonia.Node) *gorgonia.Node {
		return b.causal(qkv, l.seq, l.heads)
	}, func(x *gorgonia.Node) *gorgonia.Node { return x })
}

// logits is the network with another attention, that of layer i over qkv. seq is how
// many places w has, and pick chooses the rows of x that the head is for.
func (l gpt) logits(b *builder, tokens *gorgonia.Node, w []*gorgonia.Node, seq int, attend func(i int, qkv *gorgonia.Node) *gorgonia.Node, pick func(x *gorgonia.Node) *gorgonia.Node) *gorgonia.Node {
	table := &tied{builder: b, weights: w[0]}
	x := table.embed(tokens, w[1], seq)
	w = w[2:]
	for i := range l.layers {
		r := &residual{builder: b}
		y := b.linear(b.norm(r.fork(x), w[0], w[1]), w[2], w[3])
		x = r.join(x, b.linear(attend(i, y), w[4], w[5]))
		r = &residual{builder: b}
		y = b.gelu(b.linear(b.norm(r.fork(x), w[6], w[7]), w[8], w[9]))
		x = r.join(x, b.linear(y, w[10], w[11]))
		w = w[12:]
	}
	return table.head(b.norm(pick(x), w[0], w[1]))
}

// join adds a branch to what it was forked from.
func (r *residual) join(x, branch *gorgonia.Node) *gorgonia.Node {
	return r.apply(&op{name: "join", wrt: []bool{false, true},
		do: func(out *value, in []*value) { r.on.add(out, in[0], in[1]) },
		diff: func(_ gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			r.grad = dy
			return gorgonia.Nodes{nil, dy}
		}}, rows(x), cols(x), x, branch)
}

// tied is a table of weights that is used twice, as embedding and as head. To Gorgonia
// only the head is differentiable with respect to it; the embedding, which is
// differentiated later, adds to that gradient in place.
type tied struct {
	*builder
	weights, grad *gorgonia.Node
}

func (t *tied) embed(tokens, places *gorgonia.Node, seq int) *gorgonia.Node {
	width := cols(t.weights)
	return t.apply(&op{name: "embed", wrt: []bool{false, false, true},
		do: func(out *value, in []*value) { t.on.embed(out, in[0], in[1], in[2], seq) },
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{nil, nil, t.apply(&op{name: "embed'", out: t.value(number, seq, width),
				do: func(out *value, in []*value) { t.on.embedGrad(out, in[0], in[1], in[2], seq) },
			}, seq, width, t.grad, in[0], dy)}
		}}, cols(tokens), width, tokens, t.weights, places)
}

func (t *tied) head(x *gorgonia.Node) *gorgonia.Node {
	return t.project(x, t.weights, nil, func(dw *gorgonia.Node) { t.grad = dw })
}

// linear is a fully connected layer: x·wᵀ + bias.
func (b *builder) linear(x, w, bias *gorgonia.Node) *gorgonia.Node {
	return b.project(x, w, bias, func(*gorgonia.Node) {})
}

// project is x·wᵀ, plus bias unless that is nil, and its gradients: three products.
// It calls graded with the gradient of w.
func (b *builder) project(x, w, bias *gorgonia.Node, graded func(dw *gorgonia.Node)) *gorgonia.Node {
	m, k, n := rows(x), cols(x), rows(w)
	in := []*gorgonia.Node{x, w}
	if bias != nil {
		in = append(in, bias)
	}
	return b.apply(&op{name: "linear",
		do: func(out *value, in []*value) {
			var bias *value
			if len(in) > 2 {
				bias = in[2]
			}
			b.on.linear(out, in[0], in[1], bias)
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			dx := b.apply(&op{name: "linear'", do: func(out *value, in []*value) { b.on.linearGrad(out, in[0], in[1]) }}, m, k, dy, in[1])
			dw := b.apply(&op{name: "linear' weights", out: b.value(number, n, k), do: func(out *value, in []*value) {
				b.on.linearGradWeights(out, in[0], in[1])
			}}, n, k, dy, in[0])
			graded(dw)
			grads := gorgonia.Nodes{dx, dw}
			if len(in) > 2 {
				scratch := b.numbers(b.on.sumRowsScratch(m, n))
				grads = append(grads, b.apply(&op{name: "linear' bias", out: b.value(number, 1, n), also: []*value{scratch}, do: func(out *value, in []*value) {
					b.on.sumRows(out, in[0], scratch)
				}}, 1, n, dy))
			}
			return grads
		}}, m, n, in...)
}

// norm normalises each row of x to mean 0 and variance 1, times gain, plus bias (Ba et
// al. 2016, arXiv:1607.06450).
func (b *builder) norm(x, gain, bias *gorgonia.Node) *gorgonia.Node {
	m, n := rows(x), cols(x)
	mean, inverse := b.numbers(m), b.numbers(m)
	return b.apply(&op{name: "norm", also: []*value{mean, inverse},
		do: func(out *value, in []*value) { b.on.layerNorm(out, mean, inverse, in[0], in[1], in[2]) },
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			scratch := b.numbers(b.on.layerNormScratch(m, n))
			dgain, dbias := b.value(number, 1, n), b.value(number, 1, n)
			dx := b.apply(&op{name: "norm'", also: []*value{mean, inverse, scratch, dgain, dbias}, do: func(out *value, in []*value) {
				b.on.layerNormGrad(out, dgain, dbias, in[0], mean, inverse, in[1], in[2], scratch)
			}}, m, n, in[0], in[1], dy)
			return gorgonia.Nodes{dx, b.second(dgain, dx), b.second(dbias, dx)}
		}}, m, n, x, gain, bias)
}

// second is another result of the op that computes n.
func (b *builder) second(v *value, n *gorgonia.Node) *gorgonia.Node {
	return b.apply(&op{name: "second result", out: v}, v.rows, v.cols, n)
}

func (b *builder) gelu(x *gorgonia.Node) *gorgonia.Node {
	m, n := rows(x), cols(x)
	return b.apply(&op{name: "gelu",
		do: func(out *value, in []*value) { b.on.gelu(out, in[0]) },
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "gelu'", do: func(out *value, in []*value) {
				b.on.geluGrad(out, in[0], in[1])
			}}, m, n, in[0], dy)}
		}}, m, n, x)
}

// causal is attention in which a token sees itself and those before it.
func (b *builder) causal(x *gorgonia.Node, seq, heads int) *gorgonia.Node {
	m, n := rows(x), cols(x)
	d := n / 3
	saves, takes := b.on.attentionState(m/seq, seq, heads, d/heads)
	saved, scratch := b.numbers(saves), b.numbers(takes)
	return b.apply(&op{name: "attention", also: []*value{saved},
		do: func(out *value, in []*value) { b.on.attention(out, saved, in[0], seq, heads) },
		diff: func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "attention'", also: []*value{saved, scratch}, do: func(out *value, in []*value) {
				b.on.attentionGrad(out, in[0], in[1], saved, in[2], scratch, seq, heads)
			}}, m, n, in[0], y, dy)}
		}}, m, d, x)
}

// tokenLoss is the mean over the rows of -log softmax(logits)[target]. It leaves the
// gradient of the logits in their place, so nothing else may use them.
func (b *builder) tokenLoss(logits, targets *gorgonia.Node) *gorgonia.Node {
	m, n := rows(logits), cols(logits)
	losses := b.numbers(m)
	return b.apply(&op{name: "token loss", out: b.value(number, 0, 0), also: []*value{losses}, wrt: []bool{true, false},
		do: func(out *value, in []*value) { b.on.tokenLoss(out, losses, in[0], in[1]) },
		diff: func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "token loss'", out: of(logits)}, m, n, y), nil}
		}}, 0, 0, logits, targets)
}
