package training

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// replica is one graph of the network with its own virtual machines. It shares its
// weights with all replicas; its intermediate results are its own.
type replica struct {
	*core
	net     network
	batch   int
	x       []float32 // samples, to be filled before compute
	label   []int32
	inputs  gorgonia.Nodes // x, label, then the weights
	loss    *gorgonia.Node
	logits  *gorgonia.Node
	grads   gorgonia.Nodes
	train   gorgonia.VM // loss and grads
	infer   gorgonia.VM // logits
	bytes   int64       // allocated by bind and the first step
	indices []int32     // of the samples in their set
}

// newReplica builds the graph, which takes little memory.
func newReplica(net network, batch int, c *core) (*replica, error) {
	r := &replica{core: c, net: net, batch: batch}
	b := &builder{core: c, g: gorgonia.NewGraph()}
	x := gorgonia.NewMatrix(b.g, gorgonia.Float32, gorgonia.WithShape(batch*net.rows, net.cols), gorgonia.WithName("x"))
	label := gorgonia.NewVector(b.g, tensor.Int32, gorgonia.WithShape(batch), gorgonia.WithName("label"))
	r.inputs = gorgonia.Nodes{x, label}
	for i, p := range net.params() {
		r.inputs = append(r.inputs, gorgonia.NewMatrix(b.g, gorgonia.Float32, gorgonia.WithShape(p.rows, p.cols), gorgonia.WithName(fmt.Sprint("w", i))))
	}
	weights, at := r.inputs[2:], x
	for _, l := range net.layers {
		n := len(l.params())
		at = l.forward(b, at, weights[:n])
		weights = weights[n:]
	}
	r.logits = at
	r.loss = b.crossEntropy(r.logits, label)
	var err error
	if r.grads, err = gorgonia.Grad(r.loss, r.inputs[2:]...); err != nil {
		return nil, fmt.Errorf("training: differentiate %s: %w", net.name, err)
	}

	// Grad also derives the gradient of x, which is useless and up to a quarter of the
	// work; only the nodes that the loss and these gradients need are compiled.
	if r.infer, _, err = machine(b.g, r.logits); err != nil {
		return nil, err
	}
	var nodes gorgonia.Nodes
	if r.train, nodes, err = machine(b.g, append(gorgonia.Nodes{r.loss}, r.grads...)...); err != nil {
		return nil, err
	}
	elements := int64(b.workspaces)
	for _, n := range nodes {
		elements += int64(n.Shape().TotalSize())
	}
	for _, p := range net.params() {
		elements -= int64(p.len()) // shared
	}
	r.bytes = 4 * elements
	return r, nil
}

// machine compiles the nodes that the roots need, and returns them.
func machine(g *gorgonia.ExprGraph, roots ...*gorgonia.Node) (gorgonia.VM, gorgonia.Nodes, error) {
	sub := g.SubgraphRoots(roots...)
	program, locations, err := gorgonia.Compile(sub)
	if err != nil {
		return nil, nil, fmt.Errorf("training: compile graph: %w", err)
	}
	return gorgonia.NewTapeMachine(sub, gorgonia.WithPrecompiled(program, locations)), sub.AllNodes(), nil
}

// bind allocates the samples and binds the graph to them and to weights, which the
// graph only reads.
func (r *replica) bind(weights [][]float32) error {
	r.x, r.label = make([]float32, r.batch*r.net.rows*r.net.cols), make([]int32, r.batch)
	r.indices = make([]int32, r.batch)
	for i, n := range r.inputs {
		var of any
		switch i {
		case 0:
			of = r.x
		case 1:
			of = r.label
		default:
			of = weights[i-2]
		}
		v := tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(of))
		if err := gorgonia.Let(n, v); err != nil {
			return fmt.Errorf("training: bind %s: %w", n.Name(), err)
		}
	}
	return nil
}

// read fills samples from those of set at the first n indices.
func (r *replica) read(set *dataset, n int) {
	size := r.net.rows * r.net.cols
	for i, j := range r.indices[:n] {
		r.net.read(r.vec, set.image(int(j)), r.x[i*size:][:size])
		r.label[i] = int32(set.labels[j])
	}
}

// compute runs the graph forward and backward over the samples. It returns the mean
// loss; gradient then returns its gradients.
func (r *replica) compute() (float32, error) {
	r.train.Reset()
	if err := r.train.RunAll(); err != nil {
		return 0, fmt.Errorf("training: run graph: %w", err)
	}
	return r.loss.Value().Data().(float32), nil
}

// gradient returns the gradient of weight matrix i after compute.
func (r *replica) gradient(i int) []float32 { return floats(r.grads[i].Value()) }

// right returns how many of the first n samples the network classifies correctly. It is
// not part of training, so its products are not counted.
func (r *replica) right(n int) (int, error) {
	counted := r.products
	r.infer.Reset()
	if err := r.infer.RunAll(); err != nil {
		return 0, fmt.Errorf("training: run graph: %w", err)
	}
	r.products = counted
	logits, right := floats(r.logits.Value()), 0
	for i, want := range r.label[:n] {
		best, row := 0, logits[i*classes:][:classes]
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
