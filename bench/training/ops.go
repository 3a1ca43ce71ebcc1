package training

import (
	"hash"
	"hash/fnv"
	"io"
	"math"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// op is a Gorgonia operation on fp32 values that writes its result into memory
// of its own, the same at each step: the registers of Gorgonia's VM are
// dropped, and so allocated again, whenever it is reset. One op therefore
// belongs to one node of one graph.
//
// Those below are each one pass over their operands. Gorgonia's own Rectify is
// a comparison and a product with an allocation each, and its SoftMax starts a
// goroutine a row.
type op struct {
	name  string
	typ   []hm.Type    // of the inputs, then of the result
	shape tensor.Shape // of the result
	out   *tensor.Dense
	do    func(out *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error)
	diff  func(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error)
	wrt   []bool // which inputs diff is for
}

func (o *op) Arity() int                                            { return len(o.wrt) }
func (o *op) Type() hm.Type                                         { return hm.NewFnType(o.typ...) }
func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape, nil }
func (o *op) ReturnsPtr() bool                                      { return true }
func (o *op) CallsExtern() bool                                     { return false }
func (o *op) OverwritesInput() int                                  { return -1 }
func (o *op) WriteHash(h hash.Hash)                                 { io.WriteString(h, o.name) }
func (o *op) String() string                                        { return o.name }
func (o *op) DiffWRT(int) []bool                                    { return o.wrt }
func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.diff(in, out, grad)
}

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if o.out == nil && o.shape.Dims() > 0 {
		o.out = tensor.New(tensor.WithShape(o.shape...), tensor.Of(tensor.Float32))
	}
	return o.do(o.out, in)
}

// Types of the operands.
var (
	scalar hm.Type = tensor.Float32
	matrix hm.Type = gorgonia.TensorType{Dims: 2, Of: tensor.Float32}
	labels hm.Type = gorgonia.TensorType{Dims: 1, Of: tensor.Int32}
)

func floats(v gorgonia.Value) []float32 { return v.Data().([]float32) }

// product is op(A)·op(B), where op transposes if asked to, by the Sgemm that
// Gorgonia uses.
func product(transA, transB bool, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	m, n, name := a.Shape()[0], b.Shape()[1], "product"
	if transA {
		m, name = a.Shape()[1], name+" Aᵀ"
	}
	if transB {
		n, name = b.Shape()[0], name+" Bᵀ"
	}
	o := &op{name: name, typ: []hm.Type{matrix, matrix, matrix}, shape: tensor.Shape{m, n}, wrt: []bool{!transA && !transB, !transA && !transB}}
	o.do = func(out *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error) {
		a, b := in[0].(*tensor.Dense), in[1].(*tensor.Dense)
		if transA {
			if err := a.T(); err != nil {
				return nil, err
			}
			defer a.UT()
		}
		if transB {
			if err := b.T(); err != nil {
				return nil, err
			}
			defer b.UT()
		}
		return tensor.MatMul(a, b, tensor.WithReuse(out))
	}
	o.diff = func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		da, err := product(false, true, grad, in[1])
		if err != nil {
			return nil, err
		}
		db, err := product(true, false, in[0], grad)
		return gorgonia.Nodes{da, db}, err
	}
	return gorgonia.ApplyOp(o, a, b)
}

// relu is max(x, 0), and NaN of NaN.
func relu(x *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "relu", typ: []hm.Type{matrix, matrix}, shape: x.Shape(), wrt: []bool{true}}
	o.do = func(out *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error) {
		rectify(floats(out), floats(in[0]))
		return out, nil
	}
	o.diff = func(_ gorgonia.Nodes, y, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		dx, err := reluGrad(y, grad)
		return gorgonia.Nodes{dx}, err
	}
	return gorgonia.ApplyOp(o, x)
}

func rectify(dst, src []float32) {
	dst = dst[:len(src)]
	for i, x := range src {
		dst[i] = max(x, 0)
	}
}

// reluGrad is the gradient of relu: that of its result y where y is not zero.
func reluGrad(y, grad *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "relu'", typ: []hm.Type{matrix, matrix, matrix}, shape: y.Shape(), wrt: []bool{false, false}}
	o.do = func(out *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error) {
		y, dy, dx := floats(in[0]), floats(in[1]), floats(out)
		dy, dx = dy[:len(y)], dx[:len(y)]
		for i, v := range y {
			// Half of all units are off at random: a branch would be mispredicted.
			// The sign of minus a positive number's bits is a mask of ones.
			on := uint32(-int32(math.Float32bits(v)) >> 31)
			dx[i] = math.Float32frombits(math.Float32bits(dy[i]) & on)
		}
		return out, nil
	}
	return gorgonia.ApplyOp(o, y, grad)
}

// crossEntropy is the mean over the rows of -log softmax(logits)[label].
func crossEntropy(logits, label *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "cross entropy", typ: []hm.Type{matrix, labels, scalar}, shape: tensor.ScalarShape(), wrt: []bool{true, false}}
	classes := logits.Shape()[1]
	p := make([]float64, classes)
	o.do = func(_ *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error) {
		rows, loss := floats(in[0]), 0.0
		want := in[1].Data().([]int32)
		for i, l := range want {
			loss -= math.Log(softmax(p, rows[i*classes:][:classes])[l])
		}
		return gorgonia.NewF32(float32(loss / float64(len(want)))), nil
	}
	o.diff = func(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		d, err := crossEntropyGrad(in[0], in[1], grad)
		return gorgonia.Nodes{d, nil}, err
	}
	return gorgonia.ApplyOp(o, logits, label)
}

// tiny is a gradient far too small to move a weight. What is left of the sure
// samples of a network that has long learned enough is flushed to zero: the
// subnormal products that it would lead to take many times as long.
const tiny = 0x1p-80

// crossEntropyGrad is (softmax(logits) - onehot(label))·grad / rows,
// without what is tiny.
func crossEntropyGrad(logits, label, grad *gorgonia.Node) (*gorgonia.Node, error) {
	o := &op{name: "cross entropy'", typ: []hm.Type{matrix, labels, scalar, matrix}, shape: logits.Shape(), wrt: []bool{false, false, false}}
	classes := logits.Shape()[1]
	p := make([]float64, classes)
	o.do = func(out *tensor.Dense, in []gorgonia.Value) (gorgonia.Value, error) {
		rows, d := floats(in[0]), floats(out)
		want := in[1].Data().([]int32)
		scale := float64(in[2].Data().(float32)) / float64(len(want))
		for i, l := range want {
			softmax(p, rows[i*classes:][:classes])
			p[l]--
			for j, v := range p {
				g := float32(v * scale)
				if g > -tiny && g < tiny {
					g = 0
				}
				d[i*classes+j] = g
			}
		}
		return out, nil
	}
	return gorgonia.ApplyOp(o, logits, label, grad)
}

// softmax sets p to the probabilities that the logits in row stand for.
func softmax(p []float64, row []float32) []float64 {
	top, sum := row[0], 0.0
	for _, v := range row[1:] {
		top = max(top, v)
	}
	for j, v := range row {
		p[j] = math.Exp(float64(v - top))
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}
