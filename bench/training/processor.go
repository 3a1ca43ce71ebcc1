package training

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
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
