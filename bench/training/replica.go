package training

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The network: 28×28 pixels, one hidden layer of rectified units, ten classes,
// no biases. Every matrix of it is a product that Sgemm computes.
const (
	pixels  = 28 * 28
	hidden  = 512
	classes = 10
	batch   = 256 // samples a replica and step
)

// gemmCalls is the number of products in one step of a replica.
const gemmCalls = 5

// usefulFlop is what one sample needs: a product forward and one for the
// gradient of the weights at each layer, and one for the gradient of what
// enters the layer at each but the first.
const (
	formula    = "2·(2·784·512) + 3·(2·512·10)"
	usefulFlop = 2*(2*pixels*hidden) + 3*(2*hidden*classes)
)

// replica is one graph of the network with a virtual machine of its own. Its
// weights are those of all replicas; what it computes on the way is its own.
type replica struct {
	samples // batch of them, to be filled before compute
	vm      gorgonia.VM
	loss    *gorgonia.Node
	grads   gorgonia.Nodes
	h, y    []float32 // hidden units and logits of score
}

// newReplica builds the graph over weights (pixels × hidden, hidden ×
// classes), which it reads and never writes.
func newReplica(weights [2][]float32) (*replica, error) {
	r := &replica{
		samples: newSamples(batch),
		h:       make([]float32, batch*hidden),
		y:       make([]float32, batch*classes),
	}
	g := gorgonia.NewGraph()
	input := func(name string, of any, shape ...int) *gorgonia.Node {
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(of))
		return gorgonia.NodeFromAny(g, v, gorgonia.WithName(name))
	}
	x := input("x", r.x, batch, pixels)
	label := input("label", r.label, batch)
	w1 := input("w1", weights[0], pixels, hidden)
	w2 := input("w2", weights[1], hidden, classes)

	h, err := product(false, false, x, w1)
	if err != nil {
		return nil, fmt.Errorf("training: build graph: hidden layer: %w", err)
	}
	if h, err = relu(h); err != nil {
		return nil, fmt.Errorf("training: build graph: relu: %w", err)
	}
	logits, err := product(false, false, h, w2)
	if err != nil {
		return nil, fmt.Errorf("training: build graph: output layer: %w", err)
	}
	if r.loss, err = crossEntropy(logits, label); err != nil {
		return nil, fmt.Errorf("training: build graph: loss: %w", err)
	}
	if r.grads, err = gorgonia.Grad(r.loss, w1, w2); err != nil {
		return nil, fmt.Errorf("training: differentiate: %w", err)
	}

	// Grad also derives the gradient of x, a quarter of the work and of no
	// use; only what the loss and these gradients need is compiled.
	sub := g.SubgraphRoots(append(gorgonia.Nodes{r.loss}, r.grads...)...)
	prog, loc, err := gorgonia.Compile(sub)
	if err != nil {
		return nil, fmt.Errorf("training: compile graph: %w", err)
	}
	r.vm = gorgonia.NewTapeMachine(sub, gorgonia.WithPrecompiled(prog, loc))
	return r, nil
}

// compute runs the graph forward and backward over x and label. It returns
// the mean loss; the gradients of it are then in gradient.
func (r *replica) compute() (float32, error) {
	r.vm.Reset()
	if err := r.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("training: run graph: %w", err)
	}
	return r.loss.Value().Data().(float32), nil
}

// gradient returns what compute left for weight matrix i.
func (r *replica) gradient(i int) []float32 { return floats(r.grads[i].Value()) }
