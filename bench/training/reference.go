package training

import (
	"math"
	"sync"
)

// reference is the same network and optimiser written out in plain Go and
// fp64, without a graph, a BLAS or anything else of what it is there to check.
// It passes over pixels without ink, which add nothing, and so is not slow.
type reference struct {
	weights [2][]float64
	lr      float64
}

func newReference(weights [2][]float32, lr float64) *reference {
	r := &reference{lr: lr}
	for i, w := range weights {
		r.weights[i] = make([]float64, len(w))
		for j, v := range w {
			r.weights[i][j] = float64(v)
		}
	}
	return r
}

// step trains on all batches together, with a thread for each, and returns the
// mean loss before the update.
func (r *reference) step(batches []samples) float64 {
	type part struct {
		loss float64
		grad [2][]float64
	}
	parts, n := make([]part, len(batches)), 0.0
	var wg sync.WaitGroup
	for i, b := range batches {
		n += float64(len(b.label))
		wg.Go(func() {
			p := &parts[i]
			for layer, w := range r.weights {
				p.grad[layer] = make([]float64, len(w))
			}
			for j, l := range b.label {
				p.loss += r.sample(b.x[j*pixels:][:pixels], int(l), p.grad)
			}
		})
	}
	wg.Wait()
	loss := 0.0
	for _, p := range parts {
		loss += p.loss / n
		for layer, w := range r.weights {
			for j, g := range p.grad[layer] {
				w[j] -= r.lr * g / n
			}
		}
	}
	return loss
}

// sample returns the loss of one sample and adds its gradient to grad.
func (r *reference) sample(x []float32, label int, grad [2][]float64) float64 {
	var h, dh [hidden]float64
	var y [classes]float64
	for i, v := range x {
		if v != 0 {
			axpy(&h, float64(v), (*[hidden]float64)(r.weights[0][i*hidden:]))
		}
	}
	for i, v := range h {
		h[i] = math.Max(v, 0)
		for j, w := range r.weights[1][i*classes:][:classes] {
			y[j] += h[i] * w
		}
	}
	top, sum := math.Inf(-1), 0.0
	for _, v := range y {
		top = math.Max(top, v)
	}
	for _, v := range y {
		sum += math.Exp(v - top)
	}
	loss := top + math.Log(sum) - y[label]
	for j, v := range y {
		y[j] = math.Exp(v-top) / sum // from here on the gradient of y
	}
	y[label]--
	for i, v := range h {
		for j, w := range r.weights[1][i*classes:][:classes] {
			grad[1][i*classes+j] += v * y[j]
			if v > 0 {
				dh[i] += w * y[j]
			}
		}
	}
	for i, v := range x {
		if v != 0 {
			axpy((*[hidden]float64)(grad[0][i*hidden:]), float64(v), &dh)
		}
	}
	return loss
}

func axpy(y *[hidden]float64, a float64, x *[hidden]float64) {
	for i := range y {
		y[i] += a * x[i]
	}
}
