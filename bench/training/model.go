package training

import (
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/blas/gonum"
)

// model is the network in training: weights, and a replica for each thread
// that computes gradients of a batch of its own.
type model struct {
	weights  [2][]float32 // pixels × hidden, hidden × classes
	replicas []*replica
	gemm     gemmFunc
	lr       float32
	losses   []float32 // of each replica in the step
}

func newModel(threads int, lr float32, gemm gemmFunc) (*model, error) {
	m := &model{weights: newWeights(), gemm: gemm, lr: lr, losses: make([]float32, threads)}
	for range threads {
		r, err := newReplica(m.weights)
		if err != nil {
			return nil, err
		}
		m.replicas = append(m.replicas, r)
	}
	return m, nil
}

func newWeights() [2][]float32 {
	return [2][]float32{make([]float32, pixels*hidden), make([]float32, hidden*classes)}
}

// reset draws fresh weights: normal, with the variance that keeps that of the
// signal (He et al. 2015, arXiv:1502.01852).
func (m *model) reset(rng *rand.Rand) {
	for i, in := range []int{pixels, hidden} {
		sd := math.Sqrt(2 / float64(in))
		for j := range m.weights[i] {
			m.weights[i][j] = float32(rng.NormFloat64() * sd)
		}
	}
}

// step trains on the next len(replicas)·batch samples and returns their mean
// loss before the update. The same weights and samples give the same bits:
// each replica adds up its own batch, and the replicas' gradients are added in
// their order, by whichever thread.
func (m *model) step(from *stream) (float32, error) {
	for _, r := range m.replicas {
		from.next(r.samples)
	}
	if err := m.each(func(i int, r *replica) (err error) {
		m.losses[i], err = r.compute()
		return err
	}); err != nil {
		return 0, err
	}
	threads, mean := len(m.replicas), float32(0)
	for _, l := range m.losses {
		mean += l / float32(threads)
	}
	return mean, m.each(func(i int, _ *replica) error {
		var blas gonum.Implementation
		for layer, w := range m.weights {
			lo, hi := i*len(w)/threads, (i+1)*len(w)/threads
			for _, r := range m.replicas {
				blas.Saxpy(hi-lo, -m.lr/float32(threads), r.gradient(layer)[lo:hi], 1, w[lo:hi], 1)
			}
		}
		return nil
	})
}

// accuracy returns the fraction of set that the network labels rightly.
func (m *model) accuracy(set *dataset) float64 {
	threads, right := len(m.replicas), make([]int, len(m.replicas))
	m.each(func(i int, r *replica) error {
		for lo := i * batch; lo < set.len(); lo += threads * batch {
			n := min(batch, set.len()-lo)
			for j := range n {
				set.pixels(lo+j, r.x[j*pixels:][:pixels])
			}
			m.gemm(false, false, n, hidden, pixels, 1, r.x, pixels, m.weights[0], hidden, 0, r.h, hidden)
			rectify(r.h, r.h)
			m.gemm(false, false, n, classes, hidden, 1, r.h, hidden, m.weights[1], classes, 0, r.y, classes)
			for j := range n {
				best, row := 0, r.y[j*classes:][:classes]
				for k, v := range row {
					if v > row[best] {
						best = k
					}
				}
				if best == int(set.labels[lo+j]) {
					right[i]++
				}
			}
		}
		return nil
	})
	sum := 0
	for _, n := range right {
		sum += n
	}
	return float64(sum) / float64(set.len())
}

// each calls do for every replica at once and waits for all of them. It
// returns the first error in the order of the replicas.
func (m *model) each(do func(i int, r *replica) error) error {
	errs := make([]error, len(m.replicas))
	var wg sync.WaitGroup
	for i, r := range m.replicas[1:] {
		wg.Go(func() { errs[i+1] = do(i+1, r) })
	}
	errs[0] = do(0, m.replicas[0])
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
