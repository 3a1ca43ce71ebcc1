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
	"github.com/perwatt/perwatt/results"
)

// processor is the device of a workload that is not the CPU: one, or several that train
// one model.
type processor struct {
	members []device.Device
	format  nn.Format
	row     kernels.Row[*gemm.Product]
}

func (w *workload) configureProcessor(cfg bench.Config, format nn.Format) error {
	on := cfg.Device.Info()
	row, err := gemm.Table(gemm.Precision(format)).Pick(on, cfg.Impl)
	if err != nil {
		return err
	}
	w.card = &processor{[]device.Device{cfg.Device}, format, row}
	if g, ok := cfg.Device.(device.Group); ok {
		w.card.members = g.Members
		w.info.Use = ParallelUse(format)
		if w.info.Params["all_reduce"], err = way(g.Members); err != nil {
			return err
		}
	}
	w.on, w.info.Impl, w.info.Threads = on, row.Name, len(w.card.members)
	w.info.Params["precision"] = string(format)
	return nil
}

// room is the share of a processor's memory that training plans with: kernels and
// libraries take some. Where the driver says what is free, roomOfFree is that of it.
const room, roomOfFree = 0.85, 0.95

// planned is what training may take of a processor's memory by default.
func planned(on device.Info) float64 {
	if on.Free > 0 {
		return roomOfFree * float64(on.Free)
	}
	return room * float64(on.Memory)
}

// quotedBytes is what the model that the field quotes takes in fp32, by plan.
var quotedBytes = sync.OnceValue(func() int64 {
	quoted := languageModels[1]
	need, err := (&processor{format: nn.FP32, members: make([]device.Device, 1)}).memory(quoted, quoted.batch)
	if err != nil {
		panic(err) // a graph that cannot be built is a defect of this package
	}
	return need.Total()
})

// batchTokens is the most tokens of a step that is chosen by default, on a processor.
const batchTokens = 1 << 16

// defaultBatch is that of the model; on a processor the largest power of two whose tokens
// fit the memory, up to batchTokens.
func (w *workload) defaultBatch() string {
	n := w.net.batch
	if w.card != nil && !w.on.Kind.Scheduled() {
		for n = 1; 2*n*w.lm.seq <= batchTokens; n *= 2 {
			// A card alone has the batch that it has among several, so that their rates can
			// be compared: it leaves the room that those need to sum their gradients.
			several := processor{members: make([]device.Device, 2), format: w.card.format}
			if need, err := several.memory(w.net, 2*n); err != nil || float64(need.Total()) > planned(w.on) {
				break
			}
		}
	}
	return strconv.Itoa(n)
}

// memory is what training takes of each processor's, by plan.
func (p *processor) memory(net network, batch int) (m results.MemoryParts, err error) {
	c := sizes(p.format, len(p.members))
	r, err := newReplica(net, batch, c)
	if err != nil {
		return m, err
	}
	return c.memory(r), nil
}

func (p *processor) fits(w *workload) (results.MemoryParts, error) {
	m, err := p.memory(w.net, w.batch)
	if err != nil {
		return m, err
	}
	return m, refused(w.on, m.Total(), fmt.Sprintf("%s with batch=%d", w.net.name, w.batch))
}

// refused returns an error if a processor has not, or has not free, the bytes that what
// takes.
func refused(on device.Info, bytes int64, what string) error {
	switch {
	case on.Free > 0 && bytes > on.Free:
		return fmt.Errorf("%s takes %s and %s has %s, of which %s are free: use a smaller batch, or end what else uses it", what, bench.Size(bytes), on.ID, bench.Size(on.Memory), bench.Size(on.Free))
	case on.Memory > 0 && bytes > on.Memory:
		return fmt.Errorf("%s takes %s and %s has %s: use a smaller batch", what, bench.Size(bytes), on.ID, bench.Size(on.Memory))
	}
	return nil
}

// build returns a model on the processors, with memory.
func (p *processor) build(net network, batch int) (*model, error) {
	var cards []*card
	for _, d := range p.members {
		on, ok := d.(device.Processor)
		if !ok {
			return nil, fmt.Errorf("training: device %s is not open", d.Info().ID)
		}
		product, err := p.row.On(on)
		if err != nil {
			return nil, fmt.Errorf("training: open %s: %w", p.row.Name, err)
		}
		c, err := newCard(on, p.format, product)
		if err != nil {
			return nil, err
		}
		cards = append(cards, c)
	}
	m, err := newCardModel(net, batch, cards...)
	if err != nil {
		return nil, errors.Join(err, m.free())
	}
	return m, nil
}
