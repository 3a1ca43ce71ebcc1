package training

import (
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/perwatt/perwatt/kernels/sgemm"
)

// op is a Gorgonia operation on fp32 matrices that writes its result into its own
// memory, the same at each step. (Gorgonia's VM drops its registers at each reset and
// would allocate them again.) An op therefore belongs to one node of one graph.
type op struct {
	name       string
	typ        hm.Type
	rows, cols int // of the result; 0 for a scalar
	arity      int
	out        *tensor.Dense
	do         func(out []float32, in []gorgonia.Value)
	diff       diff
	wrt        []bool // the inputs for which diff returns gradients
}

// diff adds to the graph the gradients with respect to in, given the op's result y and
// the gradient of that.
type diff func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes

func (o *op) Arity() int                                            { return o.arity }
func (o *op) Type() hm.Type                                         { return o.typ }
func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape(), nil }
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

func (o *op) shape() tensor.Shape {
	if o.rows == 0 {
		return tensor.ScalarShape()
	}
	return tensor.Shape{o.rows, o.cols}
}

func (o *op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if o.rows == 0 {
		var x [1]float32
		o.do(x[:], in)
		return gorgonia.NewF32(x[0]), nil
	}
	if o.out == nil {
		o.out = tensor.New(tensor.WithShape(o.rows, o.cols), tensor.Of(tensor.Float32))
	}
	o.do(floats(o.out), in)
	return o.out, nil
}

func floats(v gorgonia.Value) []float32 { return v.Data().([]float32) }

// builder adds ops to a graph.
type builder struct {
	*core
	g *gorgonia.ExprGraph
	// workspaces is the size of the ops' buffers besides their results, in elements;
	// they are allocated at first use.
	workspaces int
}

// workspace returns a function that returns the same n elements each time.
func (b *builder) workspace(n int) func() []float32 {
	b.workspaces += n
	var x []float32
	return func() []float32 {
		if x == nil {
			x = make([]float32, n)
		}
		return x
	}
}

// apply adds a node of o to the graph. A graph that cannot be built is a
// defect of this package.
func (b *builder) apply(o *op, in ...*gorgonia.Node) *gorgonia.Node {
	var types []hm.Type
	for _, n := range in {
		types = append(types, n.Type())
		o.wrt = append(o.wrt, o.diff != nil && n.Dtype() == tensor.Float32)
	}
	var result hm.Type = tensor.Float32
	if o.rows > 0 {
		result = gorgonia.TensorType{Dims: 2, Of: tensor.Float32}
	}
	o.arity, o.typ = len(in), hm.NewFnType(append(types, result)...)
	n, err := gorgonia.ApplyOp(o, in...)
	if err != nil {
		panic(fmt.Sprintf("training: graph: %s: %v", o.name, err))
	}
	return n
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
	return b.apply(&op{name: "product " + t, rows: m, cols: n, do: func(out []float32, in []gorgonia.Value) {
		b.multiply(m, n, k, matrix{floats(in[0]), cols(x), t == "a"}, matrix{floats(in[1]), cols(y), t == "b"}, 0, mat(out, n), sgemm.Epilogue{})
	}}, x, y)
}

// dense is a fully connected layer: x·w, plus bias unless that is nil, then max(·, 0)
// if relu is set.
func (b *builder) dense(x, w, bias *gorgonia.Node, relu bool) *gorgonia.Node {
	o := &op{name: "dense", rows: rows(x), cols: cols(w)}
	if relu {
		o.name += " relu"
	}
	in := []*gorgonia.Node{x, w}
	if bias != nil {
		in = append(in, bias)
	}
	m, n, k := rows(x), cols(w), cols(x)
	o.do = func(out []float32, in []gorgonia.Value) {
		e := sgemm.Epilogue{ReLU: relu}
		if len(in) > 2 {
			e.Bias = floats(in[2])
		}
		b.multiply(m, n, k, mat(floats(in[0]), k), mat(floats(in[1]), n), 0, mat(out, n), e)
	}
	o.diff = func(in gorgonia.Nodes, y, dy *gorgonia.Node) gorgonia.Nodes {
		if relu {
			dy = b.apply(&op{name: "relu'", rows: m, cols: n, do: func(out []float32, in []gorgonia.Value) {
				b.vec.Mask(out, floats(in[1]), floats(in[0]))
			}}, y, dy)
		}
		grads := gorgonia.Nodes{b.product("b", dy, in[1]), b.product("a", in[0], dy)}
		if len(in) > 2 {
			grads = append(grads, b.sumRows(dy))
		}
		return grads
	}
	return b.apply(o, in...)
}

// sumRows is the sum of all rows: the gradient of what was added to each.
func (b *builder) sumRows(x *gorgonia.Node) *gorgonia.Node {
	n := cols(x)
	return b.apply(&op{name: "sum rows", rows: 1, cols: n, do: func(out []float32, in []gorgonia.Value) {
		clear(out)
		for x := floats(in[0]); len(x) > 0; x = x[n:] {
			b.vec.Axpy(out, x, 1)
		}
	}}, x)
}

// mean is the mean of each group of rows.
func (b *builder) mean(x *gorgonia.Node, group int) *gorgonia.Node {
	m, n := rows(x)/group, cols(x)
	return b.apply(&op{name: "mean", rows: m, cols: n,
		do: func(out []float32, in []gorgonia.Value) {
			clear(out)
			x := floats(in[0])
			for i := range m * group {
				b.vec.Axpy(out[i/group*n:][:n], x[i*n:], 1/float32(group))
			}
		},
		diff: func(_ gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "mean'", rows: m * group, cols: n, do: func(out []float32, in []gorgonia.Value) {
				dy := floats(in[0])
				for i := range m * group {
					b.vec.Affine(out[i*n:][:n], dy[i/group*n:], 1/float32(group), 0)
				}
			}}, dy)}
		}}, x)
}

// crossEntropy is the mean over the rows of -log softmax(logits)[label].
func (b *builder) crossEntropy(logits, label *gorgonia.Node) *gorgonia.Node {
	m, n := rows(logits), cols(logits)
	var p []float64 // probabilities, from forward to backward
	b.workspaces += 2 * m * n
	return b.apply(&op{name: "cross entropy",
		do: func(out []float32, in []gorgonia.Value) {
			if p == nil {
				p = make([]float64, m*n)
			}
			x, loss := floats(in[0]), 0.0
			for i, l := range in[1].Data().([]int32) {
				row := p[i*n:][:n]
				softmax(row, x[i*n:])
				loss -= math.Log(row[l])
			}
			out[0] = float32(loss / float64(m))
		},
		diff: func(in gorgonia.Nodes, _, dy *gorgonia.Node) gorgonia.Nodes {
			return gorgonia.Nodes{b.apply(&op{name: "cross entropy'", rows: m, cols: n, do: func(out []float32, in []gorgonia.Value) {
				scale := float64(in[1].Data().(float32)) / float64(m)
				for i, l := range in[0].Data().([]int32) {
					row := p[i*n:][:n]
					row[l]--
					for j, v := range row {
						g := float32(v * scale)
						if g > -tiny && g < tiny {
							g = 0
						}
						out[i*n+j] = g
					}
				}
			}}, in[1], dy), nil}
		}}, logits, label)
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
