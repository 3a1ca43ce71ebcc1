package training

import (
	"fmt"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/perwatt/perwatt/kernels/device"
)

// kind is what the elements of a value are.
type kind int

const (
	active  kind = iota // activations and weights: of the precision of the network
	number              // float32
	integer             // int32
	double              // float64
)

// value is what an op of the graph reads or writes: a handle of memory. Gorgonia
// passes handles on and never looks behind one, so the memory can be anywhere. In
// the graph every value is of Gorgonia's type Float32.
type value struct {
	kind       kind
	rows, cols int // 0 for a scalar
	typ        hm.Type
	learned    bool // it is a weight or depends on one: it has a gradient

	// Memory is placed by use: values that are never needed at the same time share
	// some. A lasting value has its own. That of a foreign one is not the graph's.
	lasting, foreign bool
	uses             [phases]span
	at, size         int64 // offset and length in bytes

	f   []float32
	i   []int32
	d   []float64
	buf device.Buffer // on a processor
}

// phases of a graph: [infer] and [train] run one at a time, over the same memory.
const (
	infer = iota
	train
	phases
)

// span is the time in a phase, in launches from 1 on, in which a value is in use;
// the zero span is none.
type span struct{ first, last int }

func (s span) overlaps(t span) bool {
	return s.first > 0 && t.first > 0 && s.first <= t.last && t.first <= s.last
}

// newValue returns a value without memory.
func newValue(k kind, rows, cols int) *value {
	v := &value{kind: k, rows: rows, cols: cols, typ: tensor.Float32}
	if rows > 0 {
		v.typ = gorgonia.TensorType{Dims: 2, Of: tensor.Float32}
	}
	return v
}

// len is the number of elements.
func (v *value) len() int64 { return max(1, int64(v.rows)*int64(v.cols)) }

// meets reports whether v and w are ever in use at the same time.
func (v *value) meets(w *value) bool {
	if v.lasting || w.lasting {
		return true
	}
	for p := range phases {
		if v.uses[p].overlaps(w.uses[p]) {
			return true
		}
	}
	return false
}

// What Gorgonia asks of a value.

func (v *value) Shape() tensor.Shape {
	if v.rows == 0 {
		return tensor.ScalarShape()
	}
	return tensor.Shape{v.rows, v.cols}
}
func (v *value) Size() int           { return int(v.len()) }
func (v *value) Dtype() tensor.Dtype { return tensor.Float32 }
func (v *value) Type() hm.Type       { return v.typ }
func (v *value) MemSize() uintptr    { return 4 * uintptr(v.len()) }

// What would look behind the handle. Gorgonia does so in ops, solvers and traces of
// its own, of which none is used.

func (v *value) Data() any                 { panic("training: Gorgonia read a value") }
func (v *value) Uintptr() uintptr          { panic("training: Gorgonia took the address of a value") }
func (v *value) Format(fmt.State, rune)    { panic("training: Gorgonia printed a value") }
func (v *value) Clone() (any, error)       { panic("training: Gorgonia cloned a value") }
func (v *value) CopyTo(any) error          { panic("training: Gorgonia copied a value") }
func (v *value) ZeroValue() gorgonia.Value { panic("training: Gorgonia cleared a value") }

var _ gorgonia.Value = (*value)(nil)
