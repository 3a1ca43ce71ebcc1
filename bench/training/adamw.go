package training

import (
	"math"

	"github.com/perwatt/perwatt/kernels/vector"
)

// The optimiser of language models, with the constants of GPT-3 (Brown et al. 2020,
// arXiv:2005.14165, appendix B). Matrices decay; biases and gains do not. All gradients
// together are scaled down to a norm of clip.
const (
	beta1, beta2 = 0.9, 0.95
	steady       = 1e-8 // added to the root of the second moment
	weightDecay  = 0.1
	clip         = 1.0
)

// decays reports whether the weights of p decay.
func (p param) decays() float64 {
	if p.rows > 1 {
		return weightDecay
	}
	return 0
}

// adamw is the optimiser of Loshchilov and Hutter (2019, arXiv:1711.05101) on the CPU.
type adamw struct {
	steps         int
	first, second [][]float32 // moments of each matrix of weights
	squares       []float64   // sum of the squares of the gradients, by thread
}

func (a *adamw) reset() {
	a.steps = 0
	for i := range a.first {
		clear(a.first[i])
		clear(a.second[i])
	}
}

// step updates the weights of m. As all sums, those of gradients have an order that
// depends on the number of replicas only.
func (a *adamw) step(m *model, lr float64) {
	n := len(m.replicas)
	part := func(x []float32, i int) []float32 { return x[len(x)*i/n : len(x)*(i+1)/n] }
	_ = m.each(func(i int, _ *replica) error {
		a.squares[i] = 0
		for w := range m.weights {
			sum := part(m.replicas[0].grads[w].f, i)
			for _, r := range m.replicas[1:] {
				m.vec.Axpy(sum, part(r.grads[w].f, i), 1)
			}
			a.squares[i] += m.vec.SumSquares(sum)
		}
		return nil
	})
	squares := 0.0
	for _, s := range a.squares {
		squares += s
	}
	a.steps++
	u := vector.AdamW{
		Rate: lr, Beta1: beta1, Beta2: beta2, Epsilon: steady,
		Correction1: 1 - math.Pow(beta1, float64(a.steps)), Correction2: 1 - math.Pow(beta2, float64(a.steps)),
		Scale: min(1, clip*float64(n)/math.Sqrt(squares)) / float64(n), // the gradient is the mean of the replicas
	}
	params := m.net.params()
	_ = m.each(func(i int, _ *replica) error {
		for w, x := range m.weights {
			u := u
			u.Decay = params[w].decays()
			m.vec.AdamW(part(x, i), part(a.first[w], i), part(a.second[w], i), part(m.replicas[0].grads[w].f, i), u)
		}
		return nil
	})
}
