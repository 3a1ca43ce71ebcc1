package training

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// newGPT returns a fresh language model of few layers, and its language.
func newGPT(t *testing.T, net network, batch, threads int) (*model, text) {
	t.Helper()
	m, err := newModel(net, batch, threads, bestRow(t), bestVector(t))
	require.NoError(t, err)
	m.bind()
	require.NoError(t, m.reset(random(1, weightStream, 0)))
	l, ok := net.language()
	require.True(t, ok)
	set, err := newLanguage(1, l.vocab, l.seq)
	require.NoError(t, err)
	return m, set
}

// small has every part of a language model and is quick.
var small = gpt{2, 16, 2, 16, 32}.network("gpt-small", 4, 3e-3, 5, 2)

// The update is that of the paper, in fp64, with the gradients of all replicas in their
// mean, clipped by their norm, and with decay of matrices only.
func TestAdamW(t *testing.T) {
	for _, threads := range []int{1, 3} {
		m, set := newGPT(t, small, 2, threads)
		params := m.net.params()
		var w, first, second [][]float64
		for _, x := range m.weights {
			exact := make([]float64, len(x))
			for i, v := range x {
				exact[i] = float64(v)
			}
			w, first, second = append(w, exact), append(first, make([]float64, len(x))), append(second, make([]float64, len(x)))
		}
		clipped := 0
		for step := 1; step <= 4; step++ {
			_, err := m.documents(set, trainStream, step)
			require.NoError(t, err)
			var grads [][][]float32
			before := append([][]float32{}, m.weights...)
			for i := range before {
				before[i] = append([]float32{}, m.weights[i]...)
			}
			require.NoError(t, m.each(func(_ int, r *replica) error { return r.compute() }))
			for _, r := range m.replicas {
				var g [][]float32
				for _, v := range r.grads {
					g = append(g, append([]float32{}, v.f...))
				}
				grads = append(grads, g)
			}
			const rate = 0.01
			_, err = m.step(rate)
			require.NoError(t, err)
			norm := 0.0
			mean := make([][]float64, len(w))
			for i := range w {
				mean[i] = make([]float64, len(w[i]))
				for j := range mean[i] {
					for _, g := range grads {
						mean[i][j] += float64(g[i][j]) / float64(threads)
					}
					norm += mean[i][j] * mean[i][j]
				}
			}
			scale := 1.0
			if norm = math.Sqrt(norm); norm > 1 {
				scale = 1 / norm
				clipped++
			}
			for i := range w {
				off := 0.0
				for j := range w[i] {
					g := scale * mean[i][j]
					first[i][j] = 0.9*first[i][j] + 0.1*g
					second[i][j] = 0.95*second[i][j] + 0.05*g*g
					decay := 0.0
					if params[i].rows > 1 {
						decay = 0.1
					}
					w[i][j] = float64(before[i][j]) - rate*(first[i][j]/(1-math.Pow(0.9, float64(step)))/(math.Sqrt(second[i][j]/(1-math.Pow(0.95, float64(step))))+1e-8)+decay*float64(before[i][j]))
					off = max(off, math.Abs(w[i][j]-float64(m.weights[i][j])))
				}
				require.Less(t, off, 1e-2*rate, "weights %d in step %d", i, step)
			}
		}
		t.Logf("%d replicas: %d of 4 steps clipped", threads, clipped)
		require.Positive(t, clipped)
	}
}

// A language model learns its language, on one replica as on two, and what it learns is
// that language.
func TestGPTLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("TestLanguageModel learns too")
	}
	for _, threads := range []int{1, 2} {
		m, set := newGPT(t, small, 8, threads)
		before, err := m.heldOutLoss(set, 32)
		require.NoError(t, err)
		require.InDelta(t, math.Log(32), before, 0.1, "who knows nothing")
		at, loss := 0, float32(0)
		for range 60 / threads {
			at, err = m.documents(set, trainStream, at)
			require.NoError(t, err)
			loss, err = m.step(0.02)
			require.NoError(t, err)
		}
		after, err := m.heldOutLoss(set, 32)
		require.NoError(t, err)
		t.Logf("%d replicas: %.3f to %.3f, in training %.3f; the floor is %.3f", threads, before, after, loss, set.(*language).floor())
		require.Less(t, after, before-0.7)
		require.Greater(t, after, set.(*language).floor())
		steps := int64(60 / threads * threads)
		one := m.net.products(8)
		require.Equal(t, products{one.calls * steps, one.flop * steps}, m.products())
	}
}
