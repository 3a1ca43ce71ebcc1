package training

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// op is an operation of the graph: it belongs to one node of one graph, and its
// result is the same value at each step.
type op struct {
	*builder
	name  string
	typ   hm.Type
	arity int
	in    []*value // as Gorgonia handed them to the present run
	out   *value
	also  []*value // what do uses besides: saved for the gradient, or scratch
	do    func(out *value, in []*value)
	diff  diff
	wrt   []bool // the inputs for which diff returns gradients
}

// diff adds to the graph the gradients with respect to in, given the op's result y and
// the gradient of that.
type diff func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes

func (o *op) Arity() int                                            { return o.arity }
func (o *op) Type() hm.Type                                         { return o.typ }
func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.out.Shape(), nil }
func (o *op) ReturnsPtr() bool                                      { return true }
func (o *op) CallsExtern() bool                                     { return false }
func (o *op) OverwritesInput() int                                  { return -1 }
func (o *op) WriteHash(h hash.Hash)                                 { io.WriteString(h, o.name) } // #nosec G104 -- a hash takes everything
func (o *op) String() string                                        { return o.name }
func (o *op) DiffWRT(int) []bool                                    { return o.wrt }
func (o *op) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.diff(in, y, dy), nil
}

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// Do runs the op on the handles in. The 1 from which Gorgonia differentiates arrives as
// a number.
func (o *op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	for i, x := range in {
		switch x := x.(type) {
		case *value:
			o.in[i] = x
		case *gorgonia.F32:
			if o.in[i] == nil {
				o.in[i] = &value{foreign: true, f: make([]float32, 1)}
			}
			o.in[i].f[0] = float32(*x)
		default:
			return nil, fmt.Errorf("training: %s: operand %d is a %T", o.name, i, x)
		}
	}
	switch {
	case o.rehearsal != nil:
		o.rehearsal(o)
	case o.do != nil:
		o.do(o.out, o.in)
	}
	return o.out, o.on.failed()
}

// newBuilder returns the builder of an empty graph.
func newBuilder(on engine) *builder {
	c, _ := on.(*core)
	return &builder{core: c, on: on, g: gorgonia.NewGraph()}
}

// builder adds ops to a graph.
type builder struct {
	*core     // nil on a processor, which has but the passes of an engine
	on        engine
	g         *gorgonia.ExprGraph
	ops       int
	values    []*value
	rehearsal func(*op) // is called instead of op.do, unless it is nil

	own    []*value // gradients, which what trains the network reads
	shared int64    // bytes of what is placed
	bytes  int64    // of everything that is allocated
}

// value adds a value to those that are placed.
func (b *builder) value(k kind, rows, cols int) *value {
	v := newValue(k, rows, cols)
	v.lasting = k == integer || k == double
	b.values = append(b.values, v)
	return v
}

// numbers returns n numbers that last as long as the ops that use them: they are to be
// named in op.also.
func (b *builder) numbers(n int) *value { return b.value(number, 1, max(1, n)) }

// input adds an input to the graph; the memory of v is the caller's.
func (b *builder) input(name string, v *value) *gorgonia.Node {
	v.foreign = true
	n := gorgonia.NewMatrix(b.g, gorgonia.Float32, gorgonia.WithShape(v.rows, v.cols), gorgonia.WithName(name))
	if err := gorgonia.Let(n, v); err != nil {
		panic(fmt.Sprintf("training: graph: %s: %v", name, err))
	}
	return n
}

// of returns the value of a node.
func of(n *gorgonia.Node) *value {
	if o, ok := n.Op().(*op); ok {
		return o.out
	}
	return n.Value().(*value)
}

// learned reports whether n has a gradient. The 1 from which Gorgonia differentiates is
// no value.
func learned(n *gorgonia.Node) bool {
	if _, ok := n.Op().(*op); ok {
		return of(n).learned
	}
	v, ok := n.Value().(*value)
	return ok && v.learned
}

// apply adds a node of o to the graph, whose result has rows and cols, 0 for a scalar.
// A graph that cannot be built is a defect of this package.
func (b *builder) apply(o *op, rows, cols int, in ...*gorgonia.Node) *gorgonia.Node {
	b.ops++
	o.builder, o.name = b, fmt.Sprint(o.name, " ", b.ops) // Gorgonia merges ops of the same name and operands
	if o.out == nil {
		o.out = b.value(active, rows, cols)
	}
	var types []hm.Type
	for _, n := range in {
		types = append(types, n.Type())
		o.out.learned = o.out.learned || learned(n)
	}
	if o.wrt == nil {
		for range in {
			o.wrt = append(o.wrt, o.diff != nil)
		}
	}
	o.arity, o.in, o.typ = len(in), make([]*value, len(in)), hm.NewFnType(append(types, o.out.Type())...)
	n, err := gorgonia.ApplyOp(o, in...)
	if err != nil {
		panic(fmt.Sprintf("training: graph: %s: %v", o.name, err))
	}
	return n
}

// residual is a value that is used twice: by a branch, and beside it by the op that
// joins the two. Left to itself Gorgonia would add the gradients of both, by an op that
// looks into values. So the joining op is not differentiable with respect to the value
// and leaves that gradient here; the branch is differentiated later and adds it.
type residual struct {
	*builder
	grad *gorgonia.Node
}

// fork returns x for use by the branch. The joining op uses x itself.
func (r *residual) fork(x *gorgonia.Node) *gorgonia.Node {
	m, n := rows(x), cols(x)
	return r.apply(&op{name: "fork", out: of(x), diff: func(_ gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{r.apply(&op{name: "add", do: func(out *value, in []*value) {
			r.on.add(out, in[0], in[1])
		}}, m, n, dy, r.grad)}
	}}, m, n, x)
}

// compile returns a machine that computes the roots. Only the nodes that these need are
// compiled: Grad also derives the gradients of samples, which are up to a quarter of
// the work.
func (b *builder) compile(roots ...*gorgonia.Node) (gorgonia.VM, error) {
	sub := b.g.SubgraphRoots(roots...)
	program, locations, err := gorgonia.Compile(sub)
	if err != nil {
		return nil, fmt.Errorf("training: compile graph: %w", err)
	}
	return gorgonia.NewTapeMachine(sub, gorgonia.WithPrecompiled(program, locations)), nil
}

// rehearse runs a machine without its arithmetic to learn when each value is in use.
func (b *builder) rehearse(phase int, vm gorgonia.VM) error {
	launch := 0
	b.rehearsal = func(o *op) {
		launch++
		for _, list := range [][]*value{o.in, o.also, {o.out}} {
			for _, v := range list {
				if u := &v.uses[phase]; u.first == 0 {
					*u = span{launch, launch}
				} else {
					u.last = launch
				}
			}
		}
	}
	defer func() { b.rehearsal = nil }()
	vm.Reset()
	if err := vm.RunAll(); err != nil {
		return fmt.Errorf("training: rehearse graph: %w", err)
	}
	return nil
}

// used returns the values of some kinds that are in use in a phase and whose memory is
// the graph's.
func (b *builder) used(kinds ...kind) (list []*value) {
	for _, v := range b.values {
		if slices.Contains(kinds, v.kind) && !v.foreign && v.uses != [phases]span{} {
			list = append(list, v)
		}
	}
	return list
}

func rows(n *gorgonia.Node) int { return n.Shape()[0] }
func cols(n *gorgonia.Node) int { return n.Shape()[1] }

// product is x·y; t may be "a" or "b" to transpose x or y.
func (b *builder) product(t string, x, y *gorgonia.Node) *gorgonia.Node {
	m, k, n := rows(x), cols(x), cols(y)
	if t == "a" {
		m, k = k, m
	}
	if t == "b" {
		n = rows(y)
	}
	lx, ly := cols(x), cols(y)
	return b.apply(&op{name: "product " + t, do: func(out *value, in []*value) {
		b.multiply(m, n, k, matrix{in[0].f, lx, t == "a"}, matrix{in[1].f, ly, t == "b"}, 0, mat(out.f, n), sgemm.Epilogue{})
	}}, m, n, x, y)
}

// dense is a fully connected layer: x·w, plus bias unless that is nil, then max(·, 0)
// if relu is set.
func (b *builder) dense(x, w, bias *gorgonia.Node, relu bool) *gorgonia.Node {
	o := &op{name: "dense"}
	if relu {
		o.name += " relu"
	}
	in := []*gorgonia.Node{x, w}
	if bias != nil {
		in = append(in, bias)
	}
	m, n, k := rows(x), cols(w), cols(x)
	o.do = func(out *value, in []*value) {
		e := sgemm.Epilogue{ReLU: relu}
		if len(in) > 2 {
			e.Bias = in[2].f
		}
		b.multiply(m, n, k, mat(in[0].f, k), mat(in[1].f, n), 0, mat(out.f, n), e)
	}
	o.diff = func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
		if relu {
			dy = b.apply(&op{name: "relu'", do: func(out *value, in []*value) {
				b.vec.Mask(out.f, in[1].f, in[0].f)
			}}, m, n, y, dy)
		}
		dx := b.product("b", dy, in[1])
		grads := gorgonia.Nodes{dx, b.gradWeights(in[0], in[1], dx, dy)}
		if len(in) > 2 {
			grads = append(grads, b.sumRows(dy))
		}
		return grads
	}
	return b.apply(o, m, n, in...)
}

// gradWeights is the gradient of the weights w of a dense layer, xᵀ·dy, or where the
// replica descends the weights themselves, to which it is added when dx, if that is
// needed, has been computed from those of this step.
func (b *builder) gradWeights(x, w, dx, dy *gorgonia.Node) *gorgonia.Node {
	if !b.descends {
		return b.product("a", x, dy)
	}
	m, n, k := rows(w), cols(w), rows(x)
	in := []*gorgonia.Node{x, dy, w}
	if learned(x) {
		in = append(in, dx)
	}
	return b.apply(&op{name: "descend", out: of(w), do: func(out *value, in []*value) {
		b.multiplyBy(b.rate, m, n, k, mat(in[0].f, m).T(), mat(in[1].f, n), 1, mat(out.f, n), sgemm.Epilogue{})
	}}, m, n, in...)
}

// sumRows is the sum of all rows: the gradient of what was added to each.
func (b *builder) sumRows(x *gorgonia.Node) *gorgonia.Node {
	n := cols(x)
	return b.apply(&op{name: "sum rows", do: func(out *value, in []*value) {
		clear(out.f)
		for x := in[0].f; len(x) > 0; x = x[n:] {
			b.vec.Axpy(out.f, x, 1)
		}
	}}, 1, n, x)
}

// mean is the mean of each group of rows.
func (b *builder) mean(x *gorgonia.Node, group int) *gorgonia.Node {
	m, n := rows(x)/group, cols(x)
	return b.apply(&op{name: "mean",
		do: func(out *value, in []*value) {
			clear(out.f)
			for i := range m * group {
				b.vec.Axpy(out.f[i/group*n:][:n], in[0].f[i*n:], 1/float32(group))
			}
		},
		diff: func(_ gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "mean'", do: func(out *value, in []*value) {
				for i := range m * group {
					b.vec.Affine(out.f[i*n:][:n], in[0].f[i/group*n:], 1/float32(group), 0)
				}
			}}, m*group, n, dy)}
		}}, m, n, x)
}

// crossEntropy is the mean over the rows of -log softmax(logits)[label].
func (b *builder) crossEntropy(logits, label *gorgonia.Node) *gorgonia.Node {
	m, n := rows(logits), cols(logits)
	p := b.value(double, m, n) // probabilities, from forward to backward
	return b.apply(&op{name: "cross entropy", also: []*value{p}, wrt: []bool{true, false},
		do: func(out *value, in []*value) {
			x, loss := in[0].f, 0.0
			for i, l := range in[1].i {
				row := p.d[i*n:][:n]
				softmax(row, x[i*n:])
				loss -= math.Log(row[l])
			}
			out.f[0] = float32(loss / float64(m))
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "cross entropy'", also: []*value{p}, do: func(out *value, in []*value) {
				scale := float64(in[1].f[0]) / float64(m)
				for i, l := range in[0].i {
					row := p.d[i*n:][:n]
					row[l]--
					for j, v := range row {
						g := float32(v * scale)
						if g > -tiny && g < tiny {
							g = 0
						}
						out.f[i*n+j] = g
					}
				}
			}}, m, n, in[1], dy), nil}
		}}, 0, 0, logits, label)
}

// tiny is a gradient far too small to change a weight. Smaller ones, as of confident
// samples late in training, are flushed to zero: they would lead to subnormal products,
// which take many times as long.
const tiny = 0x1p-80

// softmax sets p to the softmax of the logits in row.
func softmax(p []float64, row []float32) {
	top, sum := row[0], 0.0
	for _, v := range row[:len(p)] {
		top = max(top, v)
	}
	for j, v := range row[:len(p)] {
		p[j] = math.Exp(float64(v - top))
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
}
