package training

import (
	"math/rand/v2"
	"sync"

	"github.com/perwatt/perwatt/kernels/vector"
)

// model is the network in training: the weights, and for each thread a replica that
// computes the gradients of its own batch.
type model struct {
	net      network
	weights  [][]float32
	replicas []*replica
	vec      *vector.Implementation
	losses   []float32 // of the replicas in the last step
}

// newModel builds the graphs of all replicas. They take no memory for data until bind.
func newModel(net network, batch, threads int, gemm gemmFunc, vec *vector.Implementation) (*model, error) {
	m := &model{net: net, vec: vec, losses: make([]float32, threads)}
	for range threads {
		r, err := newReplica(net, batch, &core{gemm: gemm, vec: vec})
		if err != nil {
			return nil, err
		}
		m.replicas = append(m.replicas, r)
	}
	return m, nil
}

// bind allocates the weights and binds the replicas to them.
func (m *model) bind() {
	for _, p := range m.net.params() {
		m.weights = append(m.weights, make([]float32, p.len()))
	}
	for _, r := range m.replicas {
		r.bind(m.weights)
	}
}

// reset draws new weights.
func (m *model) reset(rng *rand.Rand) {
	for i, p := range m.net.params() {
		for j := range m.weights[i] {
			m.weights[i][j] = float32(p.mean + p.deviation*rng.NormFloat64())
		}
	}
}

// products counts those of all replicas so far.
func (m *model) products() (all products) {
	for _, r := range m.replicas {
		all.add(r.products)
	}
	return
}

// next lets every replica read its part of the next samples.
func (m *model) next(from *stream) error {
	for _, r := range m.replicas {
		from.next(r.indices)
	}
	return m.each(func(_ int, r *replica) error {
		r.read(from.set, r.batch)
		return nil
	})
}

// step trains on the samples that the replicas hold and returns their mean loss before
// the update. The same weights and samples give the same bits: each replica sums over
// its own batch, and the gradients of the replicas are added in their order, whichever
// thread does it.
func (m *model) step(lr float64) (float32, error) {
	if err := m.each(func(i int, r *replica) (err error) {
		m.losses[i], err = r.compute()
		return err
	}); err != nil {
		return 0, err
	}
	n := len(m.replicas)
	by := float32(-lr / float64(n))
	_ = m.each(func(i int, _ *replica) error {
		for w, x := range m.weights {
			lo, hi := len(x)*i/n, len(x)*(i+1)/n
			// In blocks that fit the first-level cache, each for all replicas.
			for ; lo < hi; lo += 4096 {
				part := x[lo:min(lo+4096, hi)]
				for _, r := range m.replicas {
					m.vec.Axpy(part, r.grads[w].f[lo:], by)
				}
			}
		}
		return nil
	})
	mean := float32(0)
	for _, l := range m.losses {
		mean += l / float32(n)
	}
	return mean, nil
}

// accuracy returns the share of set that the network classifies correctly.
func (m *model) accuracy(set *dataset) (float64, error) {
	right := make([]int, len(m.replicas))
	err := m.each(func(i int, r *replica) error {
		for lo := i * r.batch; lo < set.len(); lo += len(m.replicas) * r.batch {
			n := min(r.batch, set.len()-lo)
			for j := range n {
				r.indices[j] = int32(lo + j) // #nosec G115 -- below the number of images, 60,000
			}
			r.read(set, n)
			good, err := r.right(n)
			if err != nil {
				return err
			}
			right[i] += good
		}
		return nil
	})
	sum := 0
	for _, n := range right {
		sum += n
	}
	return float64(sum) / float64(set.len()), err
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
