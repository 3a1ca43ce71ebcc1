package training

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// replica is one graph of the network with its own virtual machines. It shares its
// weights with all replicas; its intermediate results are its own.
type replica struct {
	*builder
	net     network
	batch   int
	x       *value // samples, to be filled before compute: of a language model, tokens
	label   *value // of a language model, the tokens after those of x
	weights []*value
	logits  *value // nil for a language model
	loss    *value
	grads   []*value    // of the weights, which themselves stand for those that are not stored
	train   gorgonia.VM // loss and grads
	infer   gorgonia.VM // logits, or the loss of a language model
	indices []int32     // of the samples in their set
}

// newReplica builds the graph, which takes little memory.
func newReplica(net network, batch int, on engine) (*replica, error) {
	b := newBuilder(on)
	r := &replica{builder: b, net: net, batch: batch, x: newValue(active, batch*net.rows, net.cols), label: newValue(integer, 1, batch)}
	lm, isLM := net.language()
	if isLM {
		r.x, r.label = newValue(integer, 1, batch*lm.seq), newValue(integer, 1, batch*lm.seq)
	}
	at, label := b.input("x", r.x), b.input("label", r.label)
	var weights gorgonia.Nodes
	for i, p := range net.params() {
		r.weights = append(r.weights, newValue(active, p.rows, p.cols))
		r.weights[i].learned = true
		weights = append(weights, b.input(fmt.Sprint("w", i), r.weights[i]))
	}
	left := weights
	for _, l := range net.layers {
		n := len(l.params())
		at = l.forward(b, at, left[:n])
		left = left[n:]
	}
	var loss *gorgonia.Node
	if isLM {
		loss = b.tokenLoss(at, label)
		at = loss
	} else {
		loss = b.crossEntropy(at, label)
		r.logits = of(at)
		r.logits.lasting = true
	}
	grads, err := gorgonia.Grad(loss, weights...)
	if err != nil {
		return nil, fmt.Errorf("training: differentiate %s: %w", net.name, err)
	}
	r.loss = of(loss)
	for _, g := range grads {
		r.grads = append(r.grads, of(g))
	}
	r.loss.lasting = true
	if r.infer, err = b.compile(at); err != nil {
		return nil, err
	}
	if r.train, err = b.compile(append(gorgonia.Nodes{loss}, grads...)...); err != nil {
		return nil, err
	}
	for phase, vm := range map[int]gorgonia.VM{infer: r.infer, train: r.train} {
		if err := b.rehearse(phase, vm); err != nil {
			return nil, err
		}
	}
	b.plan(r.stored()...)
	b.bytes += 4 * (r.x.len() + r.label.len() + int64(batch))
	return r, nil
}

// stored returns the gradients that have memory of their own. The others have been added
// to the weights.
func (r *replica) stored() (list []*value) {
	for i, g := range r.grads {
		if g != r.weights[i] {
			list = append(list, g)
		}
	}
	return list
}

// bind allocates what the graph and its samples need, and binds it to weights, which it
// changes only if it descends.
func (r *replica) bind(weights [][]float32) {
	for i, w := range weights {
		r.weights[i].f = w
	}
	if r.x.kind == integer {
		r.x.i = make([]int32, r.x.len())
	} else {
		r.x.f = cpu.Floats(int(r.x.len()))[0]
	}
	r.label.i = make([]int32, r.label.len())
	r.indices = make([]int32, r.batch)
	r.allocate()
}

// read fills samples from those of set at the first n indices.
func (r *replica) read(set *dataset, n int) {
	size := r.net.rows * r.net.cols
	for i, j := range r.indices[:n] {
		r.net.read(r.vec, set.image(int(j)), r.x.f[i*size:][:size])
		r.label.i[i] = int32(set.labels[j])
	}
}

// compute runs the graph forward and backward over the samples; loss is then their mean
// loss, and grads are its gradients.
func (r *replica) compute() error {
	r.train.Reset()
	if err := r.train.RunAll(); err != nil {
		return fmt.Errorf("training: run graph: %w", err)
	}
	return nil
}

// inference runs the graph forward. It is not part of training, so its products are not
// counted.
func (r *replica) inference() error {
	counted := *r.on.counted()
	r.infer.Reset()
	if err := r.infer.RunAll(); err != nil {
		return fmt.Errorf("training: run graph: %w", err)
	}
	*r.on.counted() = counted
	return nil
}

// right returns how many of the first n samples the network classifies correctly.
func (r *replica) right(n int) (int, error) {
	if err := r.inference(); err != nil {
		return 0, err
	}
	right := 0
	for i, want := range r.label.i[:n] {
		best, row := 0, r.logits.f[i*classes:][:classes]
		for k, v := range row {
			if v > row[best] {
				best = k
			}
		}
		if best == int(want) {
			right++
		}
	}
	return right, nil
}
