package training

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
)

func (m table) transposed() table {
	out := newTable(m.cols, m.rows)
	m.each(func(i, j int, v float64) float64 { out.add(j, i, v); return 0 })
	return out
}

func (m table) plus(n table) table {
	return m.each(func(i, j int, v float64) float64 { return v + n.at(i%n.rows, j) })
}

func gelu(x table) table {
	return x.each(func(_, _ int, v float64) float64 {
		return v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
	})
}

func embedded(tokens []int32, words, places table) table {
	out := newTable(len(tokens), words.cols)
	return out.each(func(i, j int, _ float64) float64 {
		return words.at(int(tokens[i]), j) + places.at(i%places.rows, j)
	})
}

// Tokens of two samples of four; one occurs three times, and some never.
var someTokens = []int32{3, 0, 3, 6, 1, 3, 0, 5}

func tokensOf(b *builder) *gorgonia.Node {
	v := newValue(integer, 1, len(someTokens))
	v.i = someTokens
	return b.input("tokens", v)
}

// Every op of a language model, and its definition in fp64.
var gptDefinitions = []definition{
	{"linear", [][2]int{{5, 12}, {7, 12}, {1, 7}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.linear(in[0], in[1], in[2]) },
		func(in []table) table { return in[0].times(in[1].transposed()).plus(in[2]) }},
	{"norm", [][2]int{{4, 13}, {1, 13}, {1, 13}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.norm(in[0], in[1], in[2]) },
		func(in []table) table { return normed(in[0], newTable(4, 13), in[1], in[2]) }},
	{"gelu", [][2]int{{5, 21}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.gelu(in[0]) },
		func(in []table) table { return gelu(in[0]) }},
	{"causal attention", [][2]int{{2 * 9, 3 * 2 * 5}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.causal(in[0], 9, 2) },
		func(in []table) table { return seen(in[0], 9, 2, func(i, j int) bool { return j <= i }) }},
	{"causal attention of two strips", [][2]int{{70, 3 * 3}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node { return b.causal(in[0], 70, 1) },
		func(in []table) table { return seen(in[0], 70, 1, func(i, j int) bool { return j <= i }) }},
	{"residual", [][2]int{{6, 8}, {8, 8}, {8, 8}, {1, 8}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node {
			r, x := &residual{builder: b}, b.linear(in[0], in[1], nil)
			return b.gelu(r.join(x, b.linear(r.fork(x), in[2], in[3])))
		},
		func(in []table) table {
			x := in[0].times(in[1].transposed())
			return gelu(x.plus(x.times(in[2].transposed()).plus(in[3])))
		}},
	{"tied embedding", [][2]int{{7, 8}, {4, 8}},
		func(b *builder, in []*gorgonia.Node) *gorgonia.Node {
			table := &tied{builder: b, weights: in[0]}
			return table.head(b.gelu(table.embed(tokensOf(b), in[1], 4)))
		},
		func(in []table) table {
			return gelu(embedded(someTokens, in[0], in[1])).times(in[0].transposed())
		}},
}

func TestTokenLoss(t *testing.T) {
	const vocab = 19
	b := newBuilder(&core{gemm: bestRow(t), vec: bestVector(t)})
	n := len(someTokens)
	x, w := newValue(active, n, 8), newValue(active, vocab, 8)
	exact := map[*value]table{}
	for _, v := range []*value{x, w} {
		v.f = make([]float32, v.len())
		uniform(uint64(v.rows), v.f)
		exact[v] = newTable(v.rows, v.cols)
		for i := range v.f {
			exact[v].x[i] = float64(v.f[i])
		}
	}
	weights := b.input("w", w)
	loss := b.tokenLoss(b.linear(b.input("x", x), weights, nil), tokensOf(b))
	grads, err := gorgonia.Grad(loss, weights)
	require.NoError(t, err)
	vm := b.ready(t, loss, grads[0])
	for range 2 {
		require.NoError(t, vm.RunAll())
		f := func() (sum float64) {
			logits := exact[x].times(exact[w].transposed())
			for i, token := range someTokens {
				sum -= math.Log(softened(logits.row(i))[token]) / float64(n)
			}
			return
		}
		require.InEpsilon(t, f(), of(loss).f[0], 1e-6)
		var slopes []float64
		for i := range exact[w].x {
			slopes = append(slopes, slope(&exact[w].x[i], f))
		}
		require.Less(t, distance(of(grads[0]).f, slopes), 1e-5)
		vm.Reset()
	}
}
