package training

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// processor is the device of a workload that is not the CPU.
type processor struct {
	device device.Device
	format nn.Format
	row    kernels.Row[*gemm.Product]
}

func (w *workload) configureProcessor(cfg bench.Config, format nn.Format) error {
	on := cfg.Device.Info()
	row, err := gemm.Table(gemm.Precision(format)).Pick(on, cfg.Impl)
	if err != nil {
		return err
	}
	w.card = &processor{cfg.Device, format, row}
	w.on, w.info.Impl, w.info.Threads = on, row.Name, 1
	w.info.Params["precision"] = string(format)
	return nil
}

// room is the share of a processor's memory that training plans with: drivers and
// libraries take some.
const room = 0.85

// quotedBytes is what the model that the field quotes takes in fp32, by plan.
var quotedBytes = sync.OnceValue(func() int64 {
	quoted := languageModels[1]
	need, err := (&processor{format: nn.FP32}).bytes(quoted, quoted.batch)
	if err != nil {
		panic(err) // a graph that cannot be built is a defect of this package
	}
	return need
})

// batchTokens is the most tokens of a step that is chosen by default, on a processor.
const batchTokens = 1 << 16

// defaultBatch is that of the model; on a processor the largest power of two whose tokens
// fit the memory, up to batchTokens.
func (w *workload) defaultBatch() string {
	n := w.net.batch
	if w.card != nil && !w.on.Kind.Scheduled() {
		for n = 1; 2*n*w.lm.seq <= batchTokens; n *= 2 {
			if need, err := w.card.bytes(w.net, 2*n); err != nil || float64(need) > room*float64(w.on.Memory) {
				break
			}
		}
	}
	return strconv.Itoa(n)
}

// bytes is what training takes of the processor's memory, by plan.
func (p *processor) bytes(net network, batch int) (int64, error) {
	c := sizes(p.format)
	r, err := newReplica(net, batch, c)
	if err != nil {
		return 0, err
	}
	return c.bytes(r), nil
}

func (p *processor) fits(w *workload) error {
	need, err := p.bytes(w.net, w.batch)
	if err == nil && w.on.Memory > 0 && need > w.on.Memory {
		err = fmt.Errorf("%s with batch=%d takes %d bytes and %s has %d: use a smaller batch", w.net.name, w.batch, need, w.on.ID, w.on.Memory)
	}
	return err
}

// build returns a model on the processor, with memory.
func (p *processor) build(net network, batch int) (*model, error) {
	on, ok := p.device.(device.Processor)
	if !ok {
		return nil, fmt.Errorf("training: device %s is not open", p.device.Info().ID)
	}
	product, err := p.row.On(on)
	if err != nil {
		return nil, fmt.Errorf("training: open %s: %w", p.row.Name, err)
	}
	c, err := newCard(on, p.format, product)
	if err != nil {
		return nil, err
	}
	m, err := newCardModel(net, batch, c)
	if err != nil {
		return nil, errors.Join(err, c.free())
	}
	return m, nil
}

// tolerance is how far losses may be from those of float64 over twenty steps.
func (w *workload) tolerance() float64 {
	if w.card != nil && w.card.format == nn.BF16 {
		return 2e-2 // of weights and activations with 8 bits of fraction
	}
	return referenceTolerance
}

// fixedText is documents of tokens that are drawn by SplitMix64, as simple as those of
// [uniform].
type fixedText struct{ vocab int }

func (f fixedText) sample(_ byte, i int, to []int32) float64 {
	state := uint64(400+i) * 0xd1342543de82ef95 // #nosec G115 -- the number of a document
	for j := range to {
		to[j] = int32(mix(&state) >> 40 % uint64(f.vocab)) // #nosec G115 -- below the vocabulary
	}
	return math.NaN()
}

// plainSteps is how many steps are compared with those of plain Go.
const plainSteps = 3

// compareLanguage compares the first losses of the small language model, whichever model
// is trained, with those that the kernels in plain Go find.
func (w *workload) compareLanguage(ctx context.Context) (results.Check, error) {
	c := results.Check{Use: w.info.Use, Name: "reference"}
	net := languageModels[0]
	l, _ := net.language()
	set := fixedText{l.vocab}
	losses := func(m *model, err error) (list []float64, _ error) {
		if err == nil {
			err = m.fix()
		}
		for at := 0; err == nil && len(list) < plainSteps; {
			if err = ctx.Err(); err != nil {
				break
			}
			var loss float32
			if at, err = m.documents(set, trainStream, at); err == nil {
				loss, err = m.step(net.lr)
			}
			list = append(list, float64(loss))
		}
		return list, err
	}
	plain, err := newPlain(net, 1)
	if err != nil {
		return c, err
	}
	want, err := losses(plain, nil)
	if err != nil {
		return c, err
	}
	m, err := w.build(net, 1, 1)
	got, err := losses(m, err)
	if w.card != nil && m != nil {
		err = errors.Join(err, m.card.free())
	}
	if err != nil {
		return c, err
	}
	worst := 0.0
	for i, want := range want {
		off := math.Abs(got[i]-want) / want
		if !(off <= w.tolerance()) {
			c.Detail = fmt.Sprintf("loss %d of %s is %.7g, want %.7g as plain Go computes it: %s multiplies wrongly, or a pass does", i+1, net.name, got[i], want, w.info.Impl)
			return c, nil
		}
		worst = max(worst, off)
	}
	c.OK = true
	c.Detail = fmt.Sprintf("the first %d losses of %s are within %.1e of those that plain Go computes", len(want), net.name, worst)
	return c, nil
}
