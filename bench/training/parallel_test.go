package training

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/opencl"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// pairs are pairs of equal processors: interpreters, which write into each other's
// memory, and contexts of one OpenCL device, which do not.
func pairs(t *testing.T) map[string][]device.Processor {
	list := map[string][]device.Processor{}
	for name, p := range cards(t) {
		other := device.Processor(&ptx.Processor{Arch: "sm_80"})
		if name == "opencl" {
			var err error
			other, err = opencl.Open(p.Info().ID)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, other.Close()) })
		}
		list[name] = []device.Processor{p, other}
	}
	return list
}

// pair is the faster of them.
func pair(t *testing.T) []device.Processor {
	list := pairs(t)
	if on, ok := list["opencl"]; ok {
		return on
	}
	return list["interpreter"]
}

// onCards is [onCard] with a replica on each processor.
func onCards(t *testing.T, on []device.Processor, net network, batch int, format nn.Format) *model {
	t.Helper()
	row, err := gemm.Table(gemm.Precision(format)).Pick(on[0].Info(), "simt")
	require.NoError(t, err)
	p := &processor{format: format, row: row}
	for _, d := range on {
		p.members = append(p.members, d)
	}
	m, err := p.build(net, batch)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.free()) })
	return m
}

// Two cards with a batch each have the losses of two threads of the CPU, whose gradients
// are added by another program; and their weights have the same bits.
func TestParallelCards(t *testing.T) {
	for name, on := range pairs(t) {
		for format, bound := range map[nn.Format]float64{nn.FP32: 5e-5, nn.BF16: 2e-2} {
			t.Run(name+"/"+string(format), func(t *testing.T) {
				cpu, set := newGPT(t, small, 2, 2)
				m := onCards(t, on, small, 2, format)
				require.Equal(t, map[string]int{"interpreter": 2, "opencl": 0}[name], m.ring.Direct())
				require.NoError(t, cpu.fix())
				require.NoError(t, m.fix())
				at, steps := 0, 6
				if name == "interpreter" {
					steps = 2
				}
				for step := range steps {
					_, err := cpu.documents(set, trainStream, at)
					require.NoError(t, err)
					at, err = m.documents(set, trainStream, at)
					require.NoError(t, err)
					want, err := cpu.step(0.02)
					require.NoError(t, err)
					got, err := m.step(0.02)
					require.NoError(t, err)
					require.InEpsilon(t, want, got, bound, "step %d", step)
					for i := range m.losses {
						require.InEpsilon(t, cpu.losses[i], m.losses[i], bound, "step %d, card %d", step, i)
					}
				}
				require.Equal(t, steps*2*2, at)
				other, err := m.same(math.MaxInt64)
				require.NoError(t, err)
				require.Empty(t, other)
				want, err := cpu.heldOutLoss(set, 4)
				require.NoError(t, err)
				got, err := m.heldOutLoss(set, 4)
				require.NoError(t, err)
				require.InEpsilon(t, want, got, bound)

				// One bit of one weight.
				bits := make([]byte, 4)
				c := m.cards[1]
				require.NoError(t, c.on.Read(bits, c.all.masters))
				bits[0] ^= 1
				require.NoError(t, c.on.Write(c.all.masters, bits))
				other, err = m.same(math.MaxInt64)
				require.NoError(t, err)
				require.Equal(t, c.on.Info().ID, other)
			})
		}
	}
}

// miscopying is a processor of which a ring's copies go wrong. It is no peer, so that
// they go through the host; they are known by their size. Of two cards, each sends what
// is to be added and then a sum.
type miscopying struct {
	device.Processor
	fault         string
	chunk         int
	reads, writes int
	held          []byte
}

func (p *miscopying) Read(data []byte, from device.Buffer) error {
	err := p.Processor.Read(data, from)
	if len(data) != p.chunk {
		return err
	}
	if p.reads++; p.reads%2 == 0 {
		return err
	}
	switch p.fault {
	case "a chunk left out":
		clear(data)
	case "a stale gradient":
		now := slices.Clone(data)
		copy(data, p.held)
		p.held = now
	}
	return err
}

func (p *miscopying) Write(to device.Buffer, data []byte) error {
	if len(data) == p.chunk {
		if p.writes++; p.writes%2 == 0 && p.fault == "a card without the sum" {
			return nil
		}
	}
	return p.Processor.Write(to, data)
}

// The gradients, losses and weights of several cards are those of one with all documents,
// and each fault in their sum is found.
func TestFaultsOfAllReduce(t *testing.T) {
	on, formats := pair(t), map[nn.Format]float64{nn.FP32: referenceTolerance, nn.BF16: 2e-2}
	if testing.Short() {
		delete(formats, nn.FP32)
	}
	for format, tolerance := range formats {
		for _, fault := range []string{"", "a chunk left out", "a stale gradient", "a sum, not a mean", "a card without the sum"} {
			t.Run(string(format)+"/"+fault, func(t *testing.T) {
				bad := &miscopying{Processor: on[1], fault: fault}
				m := onCards(t, []device.Processor{&miscopying{Processor: on[0]}, bad}, small, 1, format)
				bad.chunk = int(m.cards[0].all.n / 2 * 4)
				one := onCard(t, on[0], small, 2, format, "simt")
				if fault == "a sum, not a mean" {
					for _, c := range m.cards {
						c.cards = 1
					}
				}
				detail, wrong, err := m.agrees(t.Context(), one, tolerance, (&processor{format: format}).gradientTolerance())
				require.NoError(t, err)
				t.Log(detail, wrong)
				require.Equal(t, fault != "", wrong != "")
				wrong, err = m.exact()
				require.NoError(t, err)
				require.Equal(t, fault != "" && fault != "a sum, not a mean", wrong != "", wrong)
			})
		}
	}
}

// named is a processor that does something else before a copy of a size from it, and
// counts these copies.
type named struct {
	device.Processor
	id     string
	size   int
	before func() error
	copies atomic.Int32
}

func (n *named) Info() device.Info {
	info := n.Processor.Info()
	info.ID = n.id
	return info
}

func (n *named) Read(data []byte, from device.Buffer) error {
	if len(data) != n.size {
		return n.Processor.Read(data, from)
	}
	if n.before != nil {
		if err := n.before(); err != nil {
			return err
		}
	}
	defer n.copies.Add(1)
	return n.Processor.Read(data, from)
}

// parallel is a workload on two cards that is prepared, but for the losses of the
// reference: they take minutes where there is no GPU. The second card can be made to fail
// in a sum; the first is returned.
func parallel(t *testing.T, before func() error) (*workload, *named) {
	t.Helper()
	models := languageModels
	t.Cleanup(func() { languageModels = models })
	languageModels = []network{small}
	on := pair(t)
	a, b := &named{Processor: on[0], id: "card:0"}, &named{Processor: on[1], id: "card:1", before: before}
	about := a.Info()
	about.ID = "card:0-1"
	opened, err := Parallel(nn.FP32)(bench.Config{Impl: "simt", Seed: 1, Device: device.Group{About: about, Members: []device.Device{a, b}}, Params: map[string]string{
		"model": "gpt-small", "goal": "2.8", "batch": "4", "lr": "0.02",
	}})
	require.NoError(t, err)
	w := opened.(*workload)
	w.language, w.reference = w.source, results.Check{OK: true}
	w.model, err = w.build(w.net, w.batch, w.info.Threads)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	a.size = int(w.model.cards[1].all.n / 2 * 4)
	b.size = a.size
	return w, a
}

// The whole workload on two cards: tokens of both are counted, and every check holds.
func TestParallelWorkload(t *testing.T) {
	w, _ := parallel(t, nil)
	info := w.Info()
	require.Equal(t, "training-parallel", info.Use)
	require.Equal(t, "card:0-1", info.Device)
	require.Equal(t, 2, info.Threads)
	require.Equal(t, "8", info.Params["global_batch"])
	require.Equal(t, "ring, through the host", info.Params["all_reduce"])
	var err error
	w.allReduce, err = w.compareCards(t.Context())
	require.NoError(t, err)
	require.True(t, w.allReduce.OK, w.allReduce.Detail)
	for _, r := range w.model.replicas {
		*r.on.counted() = products{}
	}
	require.NoError(t, w.fresh())
	done := bench.NewCounter()
	require.NoError(t, w.Run(&enough{t.Context(), 16}, done))
	count, _, _ := done.Load()
	require.EqualValues(t, w.steps*2*4*16, count, "tokens")
	checks := map[string]results.Check{}
	for _, c := range w.Check() {
		t.Log(c.Name, c.OK, c.Detail)
		require.True(t, c.OK, c.Detail)
		checks[c.Name] = c
	}
	require.Contains(t, checks, "all-reduce")
	require.Contains(t, checks, "replicas")
}

// A card that fails in a sum, and one that never answers, end the training with the
// card's name. Nothing is called on it any more.
func TestCardLost(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		var w *workload
		var other *named
		sums, alarm, release := 0, make(chan time.Time, 1), make(chan struct{})
		w, other = parallel(t, func() error {
			switch sums++; {
			case sums < 3: // in the first step
				require.NotNil(t, w.model.alarm)
				return nil
			case !hangs:
				return errors.New("CUDA_ERROR_LAUNCH_FAILED (719) on card:1")
			}
			for other.copies.Load() < 3 { // and the other card waits
				runtime.Gosched()
			}
			alarm <- time.Time{}
			<-release
			return errors.New("released")
		})
		t.Cleanup(func() { close(release) })
		require.NoError(t, w.fresh())
		_, err := w.step()
		require.NoError(t, err)
		require.Nil(t, w.model.alarm)
		_, err = w.model.documents(w.language, trainStream, w.document)
		require.NoError(t, err)
		w.model.alarm = alarm
		_, err = w.model.step(0.01)
		require.ErrorContains(t, err, "card:1")
		require.Equal(t, hangs, strings.Contains(err.Error(), "did not answer in time"), err)
		_, again := w.step()
		require.Equal(t, err, again)
		_, err = w.quality()
		require.Equal(t, again, err)
		require.Equal(t, 3, sums)
		require.NoError(t, w.Close())
	}
}

// Cards that are late are named, and those that answered are not; the limit is that of a
// step, or longer.
func TestMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{replicas: make([]*replica, 4)}
		for i := range m.replicas {
			m.cards = append(m.cards, &card{on: &queue{Processor: &named{Processor: &ptx.Processor{}, id: fmt.Sprint("card:", i)}}})
		}
		require.NoError(t, m.each(func(int, *replica) error { time.Sleep(patience - time.Second); return nil }))
		release := make(chan struct{})
		defer close(release)
		err := m.each(func(i int, _ *replica) error {
			if i%2 == 1 {
				<-release
			}
			return nil
		})
		require.EqualError(t, err, "training: card:1 and card:3 did not answer in time, while the other cards waited for it")
		require.NoError(t, m.free())
	})
	require.Less(t, stepLimit, 10*time.Second, "the harness waits as long for a count")
}

func TestParallelRefused(t *testing.T) {
	two := []device.Device{gpu, gpu}
	for _, cfg := range []bench.Config{{}, {Device: gpu}, {Device: device.Group{About: gpu.About, Members: two[:1]}}} {
		_, err := Parallel(nn.BF16)(cfg)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, "training-parallel-bf16 runs on two or more equal GPUs")
	}
	group := device.Group{About: gpu.About, Members: two}
	_, err := New(bench.Config{Device: group})
	require.ErrorIs(t, err, bench.ErrUsage)
	w, err := Parallel(nn.BF16)(bench.Config{Device: group})
	require.NoError(t, err)
	alone, err := BF16(bench.Config{Device: gpu})
	require.NoError(t, err)
	require.Equal(t, alone.Info().Params["batch"], w.Info().Params["batch"], "by default a card has the same batch, so that rates can be compared")
	require.ErrorContains(t, w.Prepare(t.Context()), "is not open")
}
