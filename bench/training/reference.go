package training

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/results"
)

// reference.json holds the first losses of every network, from fixed weights on
// fixed samples, as PyTorch computes them in fp64. They are made by
//
//	python3 reference.py > reference.json
//
//go:embed reference.json
var referenceJSON []byte

// reference holds the results of another program.
type reference struct {
	Program  string
	Networks map[string]struct {
		Batch  int
		Rate   float64 // learning rate
		Losses []float64
	}
}

// Losses in fp32 drift from those in fp64: over twenty steps by a relative 1e-7 or so,
// and by 1e-5 where a ReLU near 0 or a near tie in pooling comes out the other way.
const referenceTolerance = 5e-5

// referenceBatches is the number of batches, used in turn.
const referenceBatches = 4

// uniform fills x with numbers of the form k/2²³ from -1 to 1, from SplitMix64 (Steele
// et al., OOPSLA 2014) with a key. It is simple enough to be reimplemented in another
// language.
func uniform(key uint64, x []float32) {
	state := key * 0xd1342543de82ef95
	for i := range x {
		x[i] = float32(int64(mix(&state)>>40)-1<<23) / (1 << 23)
	}
}

func mix(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fix sets the weights of the reference.
func (m *model) fix() error {
	return m.draw(func(i int, p param, x []float32) {
		uniform(uint64(100+i), x)           // #nosec G115 -- the number of a matrix
		scale := p.deviation * math.Sqrt(3) // of a uniform distribution
		if scale == 0 {
			scale = 0.1
		}
		for j, u := range x {
			x[j] = float32(p.mean + scale*float64(u))
		}
	})
}

// fixed loads batch i of the reference into the replica.
func (r *replica) fixed(i int) {
	uniform(uint64(200+i), r.x.f)               // #nosec G115 -- the number of a batch
	state := uint64(300+i) * 0xd1342543de82ef95 // #nosec G115 -- the number of a batch
	for j := range r.label.i {
		r.label.i[j] = int32(mix(&state) >> 40 % classes)
	}
}

// compare trains the steps of the reference, every replica on the same samples, and
// compares the losses.
func (w *workload) compare(ctx context.Context) (results.Check, error) {
	c := results.Check{Use: w.info.Use, Name: "reference"}
	var ref reference
	if err := json.Unmarshal(referenceJSON, &ref); err != nil {
		return c, fmt.Errorf("training: reference: %w", err)
	}
	want, m := ref.Networks[w.net.name], w.model
	if want.Batch != w.batch {
		var err error
		if m, err = newModel(w.net, want.Batch, 1, w.gemm, w.vec); err != nil {
			return c, err
		}
		m.bind()
	}
	if err := m.fix(); err != nil {
		return c, err
	}
	worst := 0.0
	for i, loss := range want.Losses {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		_ = m.each(func(_ int, r *replica) error {
			r.fixed(i % referenceBatches)
			return nil
		})
		if _, err := m.step(want.Rate); err != nil {
			return c, err
		}
		for _, got := range m.losses {
			off := math.Abs(float64(got)-loss) / loss
			if !(off <= referenceTolerance) {
				c.Detail = fmt.Sprintf("loss %d is %.7g, want %.7g as %s computed it in fp64: sgemm=%s multiplies wrongly, or the graph is not this network", i+1, got, loss, ref.Program, w.info.Impl)
				return c, nil
			}
			worst = max(worst, off)
		}
	}
	c.OK = true
	c.Detail = fmt.Sprintf("the first %d losses are within %.1e of those that %s computed in fp64", len(want.Losses), worst, ref.Program)
	return c, nil
}
