package ptx

import (
	"math"
	"math/bits"
)

type (
	row   = [32]uint32 // a register of 32 bits, by lane
	row64 = [32]uint64
)

const all = math.MaxUint32 // every lane

// DefaultSteps is how many instructions a thread may execute in one launch
// before the launch times out.
const DefaultSteps = 1 << 28

// Config is how a kernel is launched.
type Config struct {
	Grid, Block [3]uint32 // blocks, and threads a block
	Shared      int       // bytes of shared memory beyond what the kernel declares
	Params      []byte    // laid out as Kernel.Params says
	Steps       int64     // that a thread may execute; 0 means [DefaultSteps]
}

// cta is a block of threads ("cooperative thread array").
type cta struct {
	memory *Memory
	shared []byte
	cells  []cell // of shared memory
	params []byte
	id, n  [3]uint32 // index of the block, blocks of the grid
	size   [3]uint32
	first  int32 // number of its first thread in the grid, from 1
	warps  []*warp

	threads  int
	barriers map[uint64]*mbarrier // by address
	made     int                  // mbarriers
	fetched  []uint32             // when each warp's wgmma last read each 16 bytes of shared memory; nil without mbarriers and wgmma
	loaded   []loads              // the same for its threads
	quiet    []uint32             // for each 16 bytes of shared memory, the time at which any thread may read them and leave no trace
	events   int                  // what threads may wait for at mbarriers
	still    bool                 // nothing happened since every warp was given a turn
	factors                       // of the mma that a warp executes

	launched, began, met uint32 // on the memory's clock: the launch, the block, its last barrier
}

// warp is 32 threads in lockstep.
type warp struct {
	*kernelState
	cta     *cta
	id      int
	pc      [32]int
	live    uint32
	waiting uint32 // at the block's barrier
	parked  uint32 // before an instruction that threads execute together
	stalled uint32 // by an mbarrier, until the other warps have had a turn
	steps   int64  // executed in the block
	known   [32]knowledge
	tid     [3]row
	met     uint32 // the last barrier of the warp, on the memory's clock
	last    *block // of global memory that was accessed
	current *inst
	code    []inst

	registers int // a thread, by setmaxnreg; 0 if the kernel does not limit them
	async
	tensors
}

// kernelState holds the registers of a warp.
type kernelState struct {
	r []row
	d []row64
	p []uint32 // predicates, a bit a lane
}

// Launch runs a kernel block by block, in order. The error is a *Fault.
func (k *Kernel) Launch(m *Memory, c Config) (err error) {
	var w *warp
	defer func() {
		switch f := recover().(type) {
		case nil:
		case *Fault:
			f.Kernel = k.Name
			if w != nil {
				f.Block, f.Thread = w.cta.id, w.id*32+f.Thread
				f.Line, f.Text = w.current.line, w.current.text
			}
			err = f
		default:
			panic(f)
		}
	}()
	threads := k.fits(c)
	steps := c.Steps
	if steps == 0 {
		steps = DefaultSteps
	}
	warps := k.warps(c.Block, threads)
	m.clock++
	launched, blocks := m.clock, int32(0)
	b := &cta{
		memory: m, params: c.Params, n: c.Grid, size: c.Block, warps: warps, launched: launched,
		shared: make([]byte, k.Shared+c.Shared), threads: threads, barriers: map[uint64]*mbarrier{},
	}
	b.cells, b.quiet = make([]cell, (len(b.shared)+1)/2), make([]uint32, (len(b.shared)+15)/16)
	if k.hasProxy {
		b.fetched = make([]uint32, (len(b.shared)+15)/16*len(warps))
		b.loaded = make([]loads, len(b.fetched))
	}
	for z := range c.Grid[2] {
		for y := range c.Grid[1] {
			for x := range c.Grid[0] {
				m.clock++
				b.id, b.first, b.began, b.met = [3]uint32{x, y, z}, 1+blocks*int32(threads), m.clock, m.clock
				blocks++
				for n := copy(b.shared, poisoned); n < len(b.shared); n *= 2 {
					copy(b.shared[n:], b.shared[:n])
				}
				clear(b.cells)
				clear(b.fetched)
				clear(b.loaded)
				clear(b.barriers)
				b.made, b.still = 0, false
				for _, w = range warps {
					w.reset(k, b, threads)
				}
				for b.living() {
					events, stalled := b.events, (*warp)(nil)
					for _, w = range warps {
						if w.run(steps); w.stalled != 0 {
							stalled = w
						}
					}
					switch {
					case stalled == nil: // every thread that lives stands at the barrier
						m.clock++
						b.met = m.clock
						for _, w := range warps {
							w.waiting = 0
						}
					case b.events == events && b.still:
						w = stalled
						w.stuck()
					}
					b.still = stalled != nil && b.events == events
				}
				b.end()
			}
		}
	}
	return nil
}

// fits reports a launch that a device would refuse, and returns the threads of
// a block.
func (k *Kernel) fits(c Config) int {
	threads, blocks := uint64(1), uint64(1)
	for i := range 3 {
		threads = min(threads, 1<<31) * uint64(c.Block[i])
		blocks = min(blocks, 1<<31) * uint64(c.Grid[i])
	}
	params := 0
	for _, p := range k.Params {
		params = max(params, p.Offset+p.Size)
	}
	switch {
	case threads == 0 || threads > 1024:
		fault(Resources, 0, "%d threads a block", threads)
	case k.MaxThreads > 0 && threads > uint64(k.MaxThreads):
		fault(Resources, 0, "%d threads a block, more than the %d of .maxntid", threads, k.MaxThreads)
	case blocks == 0 || blocks > math.MaxInt32/threads:
		fault(Resources, 0, "%d blocks", blocks)
	case c.Shared < 0 || k.Shared+c.Shared > maxShared:
		fault(Resources, 0, "%d bytes of shared memory", k.Shared+c.Shared)
	case len(c.Params) < params:
		fault(Resources, 0, "%d bytes of parameters, want %d", len(c.Params), params)
	}
	return int(threads)
}

// warps returns the warps of a block, whose constants are set.
func (k *Kernel) warps(block [3]uint32, threads int) []*warp {
	warps := make([]*warp, (threads+31)/32)
	for i := range warps {
		w := &warp{id: i, code: k.code, kernelState: &kernelState{r: make([]row, k.rows), d: make([]row64, k.wides), p: make([]uint32, k.preds)}}
		for v, at := range k.const32 {
			for l := range 32 {
				w.r[at][l] = v
			}
		}
		for v, at := range k.const64 {
			for l := range 32 {
				w.d[at][l] = v
			}
		}
		for l := range 32 {
			t := uint32(i*32 + l)
			w.tid[0][l], w.tid[1][l], w.tid[2][l] = t%block[0], t/block[0]%block[1], t/block[0]/block[1]
		}
		warps[i] = w
	}
	return warps
}

// reset starts a warp in a block.
func (w *warp) reset(k *Kernel, b *cta, threads int) {
	w.cta, w.live, w.waiting, w.parked, w.pc, w.last, w.met = b, all, 0, 0, [32]int{}, nil, 0
	w.stalled, w.steps, w.known, w.registers = 0, 0, [32]knowledge{}, k.Registers
	if n := threads - w.id*32; n < 32 {
		w.live = 1<<n - 1
	}
	w.async, w.tensors = async{}, tensors{accs: k.accs, proxy: k.hasProxy}
	w.current = &k.code[0]
}

func (c *cta) living() bool {
	for _, w := range c.warps {
		if w.live != 0 {
			return true
		}
	}
	return false
}

// run goes on until every thread of the warp waits or has ended. The threads
// that are furthest behind go first, so that they join the others where their
// ways meet. Instructions that threads execute together are put off until all
// of them are there, or none of the others can come. A thread whose mbarrier is
// not complete asks again in the warp's next turn.
func (w *warp) run(limit int64) {
	code := w.code
	for w.stalled = 0; ; {
		ready, late := w.live&^w.waiting&^w.parked&^w.stalled, false
		if ready == 0 {
			if w.parked == 0 || w.stalled != 0 && !w.cta.still {
				return
			}
			ready, late = w.parked, true
			w.cta.events++
		}
		pc, next, active := math.MaxInt, math.MaxInt, uint32(0)
		for rest := ready; rest != 0; rest &= rest - 1 {
			l := bits.TrailingZeros32(rest)
			switch at := w.pc[l]; {
			case at < pc:
				pc, active, next = at, 1<<l, pc
			case at == pc:
				active |= 1 << l
			case at < next:
				next = at
			}
		}
		w.parked &^= active
		// A straight run up to where other threads stand.
		for going := true; going; {
			in := &code[pc]
			if in.together && !late && active != w.live {
				w.parked |= active
				w.stand(active, pc)
				break
			}
			late, w.current = false, in
			pc++
			if going = !in.ends && pc < next; !going {
				w.stand(active, pc)
			}
			do := active
			if in.guard >= 0 {
				do &= w.test(in.guard, in.not)
			}
			if do != 0 {
				in.run(w, do)
			}
			w.steps++
		}
		if w.steps > limit {
			fault(Timeout, 0, "more than %d instructions without an end", limit)
		}
	}
}

// stand notes where threads go on.
func (w *warp) stand(active uint32, pc int) {
	for ; active != 0; active &= active - 1 {
		w.pc[bits.TrailingZeros32(active)] = pc
	}
}

// lanes calls f for each active lane.
func lanes(active uint32, f func(lane int)) {
	for ; active != 0; active &= active - 1 {
		f(bits.TrailingZeros32(active))
	}
}

// whole reports an instruction that all threads of a warp must execute together.
func whole(active uint32) {
	if active != all {
		fault(IllegalUse, bits.TrailingZeros32(active), "%d of the 32 threads of the warp execute it", bits.OnesCount32(active))
	}
}
