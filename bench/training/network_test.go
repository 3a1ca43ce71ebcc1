package training

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The gradient written out in plain Go is that of the loss: central
// differences in fp64 say the same.
func TestReferenceGradient(t *testing.T) {
	set, err := digits(t.Context(), 2, 1, 11, trainStream)
	require.NoError(t, err)
	m := &model{weights: newWeights()}
	m.reset(random(11, weightStream, 0))
	r := newReference(m.weights, 0)
	x, rng := make([]float32, pixels), random(11, orderStream, 0)
	for i := range set.len() {
		set.pixels(i, x)
		var ink []int
		for j, v := range x {
			if v != 0 {
				ink = append(ink, j)
			}
		}
		var grad, none [2][]float64
		for l, w := range r.weights {
			grad[l], none[l] = make([]float64, len(w)), make([]float64, len(w))
		}
		label := int(set.labels[i])
		r.sample(x, label, grad)
		for range 10 {
			for layer, j := range []int{ink[rng.IntN(len(ink))]*hidden + rng.IntN(hidden), rng.IntN(hidden * classes)} {
				const h = 1e-5
				w := &r.weights[layer][j]
				*w += h
				up := r.sample(x, label, none)
				*w -= 2 * h
				down := r.sample(x, label, none)
				*w += h
				require.InDelta(t, (up-down)/(2*h), grad[layer][j], 1e-8, "layer %d weight %d", layer, j)
			}
		}
	}
}

// One step of the graph moves every weight as the reference does, averaged
// over all samples of all replicas.
func TestGraphGradient(t *testing.T) {
	const lr = 0.5
	set, err := digits(t.Context(), 2*batch, 2, 1, trainStream)
	require.NoError(t, err)
	const threads = 2
	m := newTestModel(t, threads, 4, lr)
	before := newWeights()
	for i := range before {
		copy(before[i], m.weights[i])
	}
	got, err := m.step(newStream(set, random(4, orderStream, 0)))
	require.NoError(t, err)

	all := newSamples(threads * batch)
	newStream(set, random(4, orderStream, 0)).next(all)
	ref := newReference(before, lr)
	require.InEpsilon(t, ref.step([]samples{all}), got, 1e-6)
	for layer := range before {
		worst, size := 0.0, 0.0
		for j, now := range m.weights[layer] {
			want := ref.weights[layer][j] - float64(before[layer][j])
			worst = max(worst, math.Abs(float64(now-before[layer][j])-want))
			size = max(size, math.Abs(want))
		}
		require.Greater(t, size, 1e-3, "layer %d moved", layer)
		require.Less(t, worst, 1e-4*size, "layer %d", layer)
	}
}

func TestRectify(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{-inf, -1, -1e-45, 0, 1e-45, 1, inf, nan}
	rectify(x, x)
	require.Equal(t, []float32{0, 0, 0, 0, 1e-45, 1, inf}, x[:7])
	require.True(t, math.IsNaN(float64(x[7])), "NaN must not vanish")
}

func TestSoftmax(t *testing.T) {
	p := make([]float64, 3)
	require.Equal(t, []float64{1, 0, 0}, softmax(p, []float32{1e30, 0, -1e30}), "no overflow")
	require.Equal(t, []float64{0.25, 0.25, 0.5}, func() []float64 {
		for i, v := range softmax(p, []float32{-80, -80, float32(-80 + math.Ln2)}) {
			p[i] = math.Round(v*1e6) / 1e6
		}
		return p
	}())
}
