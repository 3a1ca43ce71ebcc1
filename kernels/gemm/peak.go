package gemm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/perwatt/perwatt/kernels/device"
)

// ceiling is a kernel that computes on registers, or on shared memory for wgmma,
// and nothing else: peak_bf16(out, in, rounds).
type ceiling struct {
	kernel string
	in     []byte
	out    Precision // its Out is that of what a thread leaves
	each   int       // how many a thread leaves
	shared int       // bytes

	blocks, rounds int // blocks a lane, and rounds of each: about a millisecond
	adds           int // multiply-adds of a block in a round
}

// small returns random integers from −3 to 3: with them every sum is exact, in
// each precision and any order.
func (p Precision) small(count int) []byte {
	random := rand.New(rand.NewPCG(6, 21)) // #nosec G404 -- the same for every row
	data := make([]byte, count*p.In())
	for i := range count {
		p.Put(data[i*p.In():], float64(random.IntN(7)-3))
	}
	return data
}

// simtCeiling is what the multiply-adds of a thread allow, which work on float32
// for the half types too.
func simtCeiling(p Precision) ceiling {
	if p != FP64 {
		p = FP32
	}
	in := make([]byte, 2*p.In())
	p.Put(in, 1)
	p.Put(in[p.In():], 5)
	return ceiling{"peak_" + string(p), in, p, 1, 0, 8, 2048, 256 * 4 * 4 * 16 / p.In()}
}

func mmaCeiling(p Precision) ceiling {
	c := ceiling{"peak_" + string(p), p.small(32 * 6 * 4 / p.In()), p, 4, 0, 8, 2048, 8 * 8 * 16 * 8 * 32 / p.In()}
	if p == FP64 {
		c.in, c.each, c.adds = p.small(32*2), 2, 8*8*8*8*4
	}
	return c
}

func wgmmaCeiling(p Precision) ceiling {
	return ceiling{"peak_" + string(p), p.small(384 * 128 / p.In()), p, 1, 384 * 128, 4, 512, 128 * 256 * 128 / p.In()}
}

func mfmaCeiling(p Precision) ceiling {
	c := ceiling{"peak_" + string(p), p.small(64 * 32 / p.In()), p, 16, 0, 8, 2048, 4 * 4 * 32 * 32 * 2 * 16 / p.In()}
	if p == FP64 {
		c.each, c.adds = 4, 4*4*16*16*4*2
	}
	return c
}

// open returns a function that runs the kernel and returns its FLOP, or 0 if the
// processor fails or the sums are not those of so many rounds. The kernel is
// compiled, and its sums are checked, by the first call.
func (c ceiling) open(p device.Processor, program *device.Program) func() float64 {
	lanes := max(1, p.Info().Lanes)
	if lanes == 1 {
		c.rounds /= 64 // an interpreter
	}
	blocks, rounds := lanes*c.blocks, c.rounds
	var launch device.Launch
	prepare := sync.OnceValue(func() error {
		kernel, err := p.Kernel(program, c.kernel)
		if err != nil {
			return err
		}
		in, err := p.Alloc(int64(len(c.in)))
		if err != nil {
			return err
		}
		if err := p.Write(in, c.in); err != nil {
			return err
		}
		out, err := p.Alloc(int64(blocks * device.Threads * c.each * c.out.Out()))
		if err != nil {
			return err
		}
		launch = device.Launch{Kernel: kernel, Blocks: [2]int{blocks, 1}, Shared: c.shared, Args: []any{out, in, uint32(rounds)}} // #nosec G115 -- a constant
		return c.check(p, launch, out)
	})
	return func() float64 {
		if prepare() != nil || p.Submit(launch) != nil || p.Sync() != nil {
			return 0
		}
		return 2 * float64(blocks) * float64(rounds) * float64(c.adds)
	}
}

// check runs no round, one, and all of them: each round adds the same to every
// sum, and most sums change.
func (c ceiling) check(p device.Processor, launch device.Launch, out device.Buffer) error {
	run := func(rounds uint32) ([]float64, error) {
		launch := launch
		launch.Args = []any{launch.Args[0], launch.Args[1], rounds}
		data := make([]byte, out.Size())
		if err := errors.Join(p.Submit(launch), p.Read(data, out)); err != nil {
			return nil, err
		}
		sums := make([]float64, len(data)/c.out.Out())
		for i := range sums {
			sums[i] = c.out.Sum(data[i*c.out.Out():])
		}
		return sums, nil
	}
	none, err := run(0)
	if err != nil {
		return err
	}
	one, err := run(1)
	if err != nil {
		return err
	}
	every, err := run(launch.Args[2].(uint32))
	if err != nil {
		return err
	}
	changed := 0
	for i, sum := range every {
		if want := none[i] + float64(launch.Args[2].(uint32))*(one[i]-none[i]); sum != want {
			return fmt.Errorf("%s: sum %d is %v, want %v", c.kernel, i, sum, want)
		}
		if one[i] != none[i] {
			changed++
		}
	}
	if 2*changed < len(every) {
		return fmt.Errorf("%s: %d of %d sums change", c.kernel, changed, len(every))
	}
	return nil
}
