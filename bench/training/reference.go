package training

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/kernels/sgemm"
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
	Networks map[string]trajectory
}

// trajectory is the losses of a network that is trained from fixed weights on fixed
// samples.
type trajectory struct {
	Batch  int     // samples, of a language model documents
	Rate   float64 // learning rate
	Warmup int     // steps in which the rate rises to that
	Losses []float64
}

// Losses in fp32 drift from those in fp64: over twenty steps by a relative 1e-7 or so,
// and by 1e-5 where a ReLU near 0 or a near tie in pooling comes out the other way.
const referenceTolerance = 5e-5

// few is how many losses are compared where an earlier run of the session has compared
// all: by the fifth every planted fault shows (TestFaultsOfLanguageModel).
const few = 5

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
		switch _, language := m.net.language(); {
		case scale == 0:
			scale = 0.1
		case language:
			// With the weights that training starts from, attention is so nearly uniform
			// that a wrong one would hardly change the losses.
			scale *= 5
		}
		for j, u := range x {
			x[j] = float32(p.mean + scale*float64(u))
		}
	})
}

// fixed loads batch i of the reference into every replica.
func (m *model) fixed(i int) error {
	l, language := m.net.language()
	return m.each(func(k int, r *replica) error {
		if language {
			return m.read(k, fixedText{r.batch, l.vocab}, heldOutStream, i*r.batch, 0)
		}
		r.fixed(i)
		return nil
	})
}

// fixedText has the documents of the reference, so many in a batch: tokens drawn
// uniformly.
type fixedText struct{ batch, vocabulary int }

func (f fixedText) sample(_ byte, i int, to []int32) float64 {
	state := uint64(300+i/f.batch) * 0xd1342543de82ef95               // #nosec G115 -- the number of a batch
	state += uint64(i%f.batch) * uint64(len(to)) * 0x9e3779b97f4a7c15 // #nosec G115 -- the documents before it
	for j := range to {
		to[j] = int32(mix(&state) >> 40 % uint64(f.vocabulary)) // #nosec G115 -- below the vocabulary
	}
	return math.NaN()
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
// compares the losses. Of language models it is the small one, whichever is trained.
func (w *workload) compare(ctx context.Context) (c results.Check, err error) {
	c = results.Check{Use: w.info.Use, Name: "reference"}
	var ref reference
	if err := json.Unmarshal(referenceJSON, &ref); err != nil {
		return c, fmt.Errorf("training: reference: %w", err)
	}
	net, m := w.net, w.model
	if w.text {
		net = languageModels[0]
	}
	want := ref.Networks[net.name]
	if w.text || want.Batch != w.batch {
		if m, err = w.build(net, want.Batch, 1); err != nil {
			return c, err
		}
		defer func() { err = errors.Join(err, m.free()) }()
	}
	for _, on := range m.cards {
		if c.Detail, err = on.checkSums(); c.Detail != "" || err != nil {
			c.Detail = fmt.Sprintf("%s=%s: %s", w.kernel(), w.info.Impl, c.Detail)
			return c, err
		}
	}
	if w.again {
		want.Losses = want.Losses[:few]
	}
	worst, wrong, err := m.follow(ctx, want, w.tolerance())
	if err != nil {
		return c, err
	}
	if c.OK = wrong == ""; !c.OK {
		c.Detail = fmt.Sprintf("%s as %s computed it in fp64: %s=%s multiplies wrongly, or the graph is not this network", wrong, ref.Program, w.kernel(), w.info.Impl)
		return c, nil
	}
	c.Detail = fmt.Sprintf("the first %d losses are within %.1e of those that %s computed in fp64", len(want.Losses), worst, ref.Program)
	return c, nil
}

// kernel is what multiplies.
func (w *workload) kernel() string {
	if w.card != nil {
		return "gemm-" + string(w.card.format)
	}
	return sgemm.Table.Name
}

// tolerance is how far losses may be from those of fp64 over twenty steps.
func (w *workload) tolerance() float64 {
	if w.card != nil && w.card.format == nn.BF16 {
		return 2e-2 // of weights and activations with 8 bits of fraction
	}
	return referenceTolerance
}

// follow trains the steps of a reference and returns the largest relative distance of a
// loss from those there. At the first one beyond the tolerance it stops and says which
// it is.
func (m *model) follow(ctx context.Context, want trajectory, tolerance float64) (worst float64, wrong string, err error) {
	if err := m.fix(); err != nil {
		return 0, "", err
	}
	for i, loss := range want.Losses {
		if err := ctx.Err(); err != nil {
			return 0, "", err
		}
		if err := m.fixed(i % referenceBatches); err != nil {
			return 0, "", err
		}
		if _, err := m.step(warmed(want.Rate, i, want.Warmup)); err != nil {
			return 0, "", err
		}
		for _, got := range m.losses {
			off := math.Abs(float64(got)-loss) / loss
			if !(off <= tolerance) {
				return off, fmt.Sprintf("loss %d is %.7g, want %.7g", i+1, got, loss), nil
			}
			worst = max(worst, off)
		}
	}
	return worst, "", nil
}
