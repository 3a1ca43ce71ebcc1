package training

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// watched counts what goes through a processor.
type watched struct {
	device.Processor
	writes, reads, submits, launches int
	bytes                            int64 // allocated
}

func (w *watched) Write(to device.Buffer, data []byte) error {
	w.writes++
	return w.Processor.Write(to, data)
}

func (w *watched) Read(data []byte, from device.Buffer) error {
	w.reads++
	return w.Processor.Read(data, from)
}

func (w *watched) Submit(launches ...device.Launch) error {
	w.submits++
	w.launches += len(launches)
	return w.Processor.Submit(launches...)
}

func (w *watched) Alloc(bytes int64) (device.Buffer, error) {
	w.bytes += bytes
	return w.Processor.Alloc(bytes)
}

// cards are the processors that this machine has: the interpreter, and PoCL where it is
// installed; in the short form that alone.
func cards(t *testing.T) map[string]device.Processor {
	list := map[string]device.Processor{"interpreter": &ptx.Processor{Arch: "sm_80"}}
	found, err := opencl.List()
	if os.Getenv("PERWATT_PEERS") != "required" && (errors.Is(err, foreign.ErrAbsent) || err == nil && len(found) == 0) {
		t.Log("no OpenCL driver: install pocl-opencl-icd")
		return list
	}
	require.NoError(t, err)
	p, err := opencl.Open(found[0].ID)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	list["opencl"] = p
	if testing.Short() {
		delete(list, "interpreter") // minutes under the race detector
	}
	return list
}

// onCard returns a model on a processor, whose products are those of a row.
func onCard(t *testing.T, p device.Processor, net network, batch int, format nn.Format, row string) *model {
	t.Helper()
	of, err := gemm.Table(gemm.Precision(format)).Pick(p.Info(), row)
	require.NoError(t, err)
	product, err := of.On(p)
	require.NoError(t, err)
	c, err := newCard(p, format, product)
	require.NoError(t, err)
	m, err := newCardModel(net, batch, c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.free()) })
	return m
}

// A language model on a processor has the losses of the CPU, in both formats, and a step
// copies nothing but the loss. gpt-mini takes seconds a step where the arithmetic is
// interpreted; PERWATT_LOSSES sets how many.
func TestCard(t *testing.T) {
	for name, p := range cards(t) {
		net, batch, steps := small, 2, 3
		if !testing.Short() {
			net, batch, steps = languageModels[0], 1, 20
			if name == "interpreter" {
				steps = 2
				if s := os.Getenv("PERWATT_LOSSES"); s != "" {
					_, err := fmt.Sscan(s, &steps)
					require.NoError(t, err)
				}
			}
		}
		for format, bound := range map[nn.Format]float64{nn.FP32: 5e-5, nn.BF16: 2e-2} {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				cpu, set := newGPT(t, net, batch, 1)
				w := &watched{Processor: p}
				card := onCard(t, w, net, batch, format, "simt")
				require.InEpsilon(t, card.cards[0].memory(card.replicas[0]).Total(), w.bytes, 0.01)
				require.NoError(t, cpu.fix())
				require.NoError(t, card.fix())
				var first, last float32
				at, worst := 0, 0.0
				for step := range steps {
					_, err := cpu.documents(set, trainStream, at)
					require.NoError(t, err)
					at, err = card.documents(set, trainStream, at)
					require.NoError(t, err)
					want, err := cpu.step(0.02)
					require.NoError(t, err)
					w.writes, w.reads, w.submits, w.launches = 0, 0, 0, 0
					got, err := card.step(0.02)
					require.NoError(t, err)
					require.Zero(t, w.writes)
					require.Equal(t, 1, w.reads, "the loss")
					require.InEpsilon(t, want, got, bound, "step %d", step)
					if step == 0 {
						first = got
					}
					last = got
					worst = max(worst, float64(max(got/want, want/got)-1))
				}
				require.Greater(t, max(first-last, last-first), float32(0.001), "the weights change")
				t.Logf("losses within %.1e; %d launches a step in %d calls", worst, w.launches, w.submits)
				l, _ := net.language()
				one := l.linear(int64(batch))
				require.Equal(t, products{one.calls * int64(steps), one.flop * int64(steps)}, card.products())
				want, err := cpu.heldOutLoss(set, 2)
				require.NoError(t, err)
				got, err := card.heldOutLoss(set, 2)
				require.NoError(t, err)
				require.InEpsilon(t, want, got, bound)
			})
		}
	}
}

// On a card of so much memory the default is the largest model of the field that fits,
// with as many tokens a step as fit.
func TestCardDefaults(t *testing.T) {
	for _, c := range []struct {
		memory       int64
		model, batch string
		open         func(bench.Config) (bench.Workload, error)
		use          string
	}{
		{141e9, "gpt-124m", "64", BF16, "training-bf16"},
		{24e9, "gpt-124m", "32", BF16, "training-bf16"},
		{24e9, "gpt-124m", "16", New, "training"},
		{2e9, "gpt-mini", "256", New, "training"},
	} {
		on := gpu
		on.About.Memory = c.memory
		w, err := c.open(bench.Config{Device: on})
		require.NoError(t, err)
		info := w.Info()
		require.Equal(t, c.model, info.Params["model"])
		require.Equal(t, c.batch, info.Params["batch"], "%s in %d bytes", c.model, c.memory)
		require.Equal(t, c.use, info.Use)
		require.Equal(t, results.Token, info.Unit)
	}
	_, err := BF16(bench.Config{})
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, "training-bf16 runs on a GPU only")
}

// The whole workload of a small language model on a processor and on the CPU: it learns
// until its goal, and every check holds.
func TestLanguageModel(t *testing.T) {
	models := languageModels
	t.Cleanup(func() { languageModels = models })
	languageModels = append(slices.Clip(models), small)
	list := map[string]bench.Config{"cpu": {Device: cpu.Device{Threads: 2}}}
	if !testing.Short() {
		for name, p := range cards(t) {
			if name == "interpreter" {
				continue // Prepare's losses of gpt-mini would take minutes; TestCard has its first
			}
			list[name] = bench.Config{Device: p, Impl: "simt"}
		}
	}
	for name, cfg := range list {
		t.Run(name, func(t *testing.T) {
			cfg.Params = map[string]string{"model": "gpt-small", "goal": "2.8", "batch": "4", "lr": "0.02"}
			opened, err := New(cfg)
			require.NoError(t, err)
			w := opened.(*workload)
			require.NoError(t, w.Prepare(t.Context()))
			done := bench.NewCounter()
			target, err := w.Reach(t.Context(), done)
			require.NoError(t, err)
			require.Equal(t, "loss", target.Metric)
			require.LessOrEqual(t, float64(target.Reached), 2.8)
			require.NoError(t, w.Run(&enough{t.Context(), 2}, done))
			count, _, _ := done.Load()
			require.EqualValues(t, w.steps*w.info.Threads*4*16, count, "tokens")
			for _, c := range w.Check() {
				t.Log(c.Name, c.OK, c.Detail)
				require.True(t, c.OK, c.Detail)
			}
			require.NoError(t, w.Close())
		})
	}
}
