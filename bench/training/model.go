package training

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/perwatt/perwatt/kernels/allreduce"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

// model is the network in training: the weights, and for each thread a replica that
// computes the gradients of its own batch.
type model struct {
	net      network
	weights  [][]float32
	replicas []*replica
	vec      *vector.Implementation
	losses   []float32        // of the replicas in the last step
	adamw    *adamw           // nil for plain SGD, and on a card
	cards    []*card          // of the replicas; nil on the CPU
	ring     *allreduce.Ring  // of several cards
	alarm    <-chan time.Time // when cards that work at the same time have waited too long; nil: after patience
	lost     error            // of several cards: the model is of no further use
}

// newModel builds the graphs of all replicas. They take no memory for data until bind.
func newModel(net network, batch, threads int, gemm gemmFunc, vec *vector.Implementation) (*model, error) {
	m := &model{net: net, vec: vec, losses: make([]float32, threads)}
	if _, ok := net.language(); ok {
		m.adamw = &adamw{squares: make([]float64, threads)}
	}
	for range threads {
		r, err := newReplica(net, batch, newCore(net, threads, gemm, vec))
		if err != nil {
			return nil, err
		}
		m.replicas = append(m.replicas, r)
	}
	return m, nil
}

// newCardModel is newModel on processors, with memory. The error leaves the model to be
// freed.
func newCardModel(net network, batch int, cards ...*card) (*model, error) {
	m := &model{net: net, losses: make([]float32, len(cards)), cards: cards}
	for _, c := range cards {
		c.cards = len(cards)
		r, err := newReplica(net, batch, c)
		if err != nil {
			return m, err
		}
		if err := c.bind(r); err != nil {
			return m, err
		}
		m.replicas = append(m.replicas, r)
	}
	return m, m.join()
}

// bind allocates the weights and binds the replicas to them.
func (m *model) bind() {
	var lengths []int
	for _, p := range m.net.params() {
		lengths = append(lengths, p.len())
	}
	m.weights = cpu.Floats(lengths...)
	for _, r := range m.replicas {
		r.bind(m.weights)
	}
	if m.adamw != nil {
		m.adamw.first, m.adamw.second = cpu.Floats(lengths...), cpu.Floats(lengths...)
	}
}

// state is the bytes of weights and of what the optimiser keeps of each, on the CPU.
func (n network) state() (m results.MemoryParts) {
	for _, p := range n.params() {
		m.Weights += 4 * int64(p.len())
	}
	if _, ok := n.language(); ok {
		m.Optimiser = 2 * m.Weights
	}
	return m
}

// reset draws new weights.
func (m *model) reset(rng *rand.Rand) error {
	return m.draw(func(_ int, p param, x []float32) {
		for j := range x {
			x[j] = float32(p.mean + p.deviation*rng.NormFloat64())
		}
	})
}

// draw sets all weights, and what the optimiser keeps of them, to those with which f
// fills x.
func (m *model) draw(f func(i int, p param, x []float32)) error {
	if m.adamw != nil {
		m.adamw.reset()
	}
	for _, c := range m.cards {
		c.reset()
	}
	for i, p := range m.net.params() {
		if m.cards == nil {
			f(i, p, m.weights[i])
			continue
		}
		x := make([]float32, p.len())
		f(i, p, x)
		err := m.each(func(k int, _ *replica) error {
			m.cards[k].set(i, x)
			return m.cards[k].err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// products counts those of all replicas so far.
func (m *model) products() (all products) {
	for _, r := range m.replicas {
		all.add(*r.on.counted())
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
	err := m.each(func(_ int, r *replica) error {
		if r.core != nil {
			r.rate = float32(-lr)
		}
		return r.compute()
	})
	if err != nil {
		return 0, err
	}
	number := func(i int, r *replica) (err error) {
		m.losses[i], err = r.on.number(r.loss)
		return err
	}
	if m.cards != nil {
		if err := m.reduce(); err != nil {
			return 0, err
		}
		err := m.each(func(i int, r *replica) error {
			m.cards[i].update(lr)
			return number(i, r)
		})
		return m.meanLoss(), err
	}
	if m.adamw != nil {
		m.adamw.step(m, lr)
	} else {
		m.descend(lr)
	}
	for i, r := range m.replicas {
		if err := number(i, r); err != nil {
			return 0, err
		}
	}
	return m.meanLoss(), nil
}

// meanLoss is that of the replicas.
func (m *model) meanLoss() (mean float32) {
	for _, l := range m.losses {
		mean += l / float32(len(m.losses))
	}
	return mean
}

// descend is a step of plain SGD by the gradients that are stored.
func (m *model) descend(lr float64) {
	n := len(m.replicas)
	by := float32(-lr / float64(n))
	_ = m.each(func(i int, _ *replica) error {
		for w, x := range m.weights {
			if m.replicas[0].grads[w] == m.replicas[0].weights[w] {
				continue
			}
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
}

// documents lets every replica of a language model read its part of the next documents,
// of which from is the number of the first, and returns that of the first one after them.
// A card uploads those of many steps at a time, so from must go on where the last call
// ended, unless the weights were drawn anew.
func (m *model) documents(set text, which byte, from int) (next int, err error) {
	batch := m.replicas[0].batch
	all := len(m.replicas) * batch
	return from + all, m.each(func(i int, r *replica) error {
		return m.read(i, set, which, from+i*batch, all)
	})
}

// read lets replica i read a batch of documents, of which from is the number of the first.
// On a card it may read later ones too, which are apart documents on.
func (m *model) read(i int, set text, which byte, from, apart int) error {
	r := m.replicas[i]
	if m.cards != nil {
		return m.cards[i].read(r, set, which, from, apart)
	}
	r.documents(set, which, from, r.x.i, r.label.i)
	return nil
}

// documents fills tokens and targets with the replica's batch, of which from is the
// number of the first document.
func (r *replica) documents(set text, which byte, from int, tokens, targets []int32) {
	seq := len(tokens) / r.batch
	document := make([]int32, seq+1)
	for i := range r.batch {
		set.sample(which, from+i, document)
		copy(tokens[i*seq:][:seq], document)
		copy(targets[i*seq:][:seq], document[1:])
	}
}

// heldOutLoss is the mean loss of a language model over the first documents of set that
// are held out, at least n.
func (m *model) heldOutLoss(set text, n int) (float64, error) {
	sum, batches := 0.0, 0
	for at := 0; at < n; batches++ {
		var err error
		if at, err = m.documents(set, heldOutStream, at); err != nil {
			return 0, err
		}
		err = m.each(func(i int, r *replica) (err error) {
			if err = r.inference(); err == nil {
				m.losses[i], err = r.on.number(r.loss)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		for _, l := range m.losses {
			sum += float64(l) / float64(len(m.losses))
		}
	}
	return sum / float64(batches), nil
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
	if len(m.cards) > 1 {
		return m.meet(do)
	}
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
