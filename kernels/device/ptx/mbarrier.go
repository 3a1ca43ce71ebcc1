package ptx

import (
	"math/bits"
	"slices"
	"strings"
)

// barriers has the instructions by which threads and bulk copies of one block
// wait for each other, and setmaxnreg, by which its warpgroups share registers.
var barriers = map[string]func(*operation) func(*warp, uint32){
	"mbarrier": mbarriers, "setmaxnreg": setmaxnreg,
}

// most is the largest number of arrivals, and of bytes, that an mbarrier counts.
// PTX ISA, "Contents of the mbarrier object".
const most = 1<<20 - 1

// mbarrier is an mbarrier object. It is kept here: what lies in shared memory is
// opaque.
type mbarrier struct {
	index          int // of its copies in knowledge
	count, pending int // arrivals of a phase, and those that it still waits for
	bytes          int // that it still waits for; below 0 if more have come than were expected
	phase          int // how many have completed
	by             int32
	at             uint32 // who initialised it, and when
	fenced         bool   // bulk copies may use it
	copies         []bulk // under way, in the order of issue
	arrived        knowledge
	released       knowledge // what those who wait for the last complete phase then know
}

// knowledge is up to which tick of the memory's clock a thread knows what others
// have done: each thread of the block by its index, and behind them the copies of
// each mbarrier. What was done before the tick is ordered before what the thread
// does now. It is shared, and therefore not changed.
type knowledge []uint32

func (k knowledge) of(i int) uint32 {
	if i < len(k) {
		return k[i]
	}
	return 0
}

func (k knowledge) join(other knowledge) knowledge {
	if len(k) < len(other) {
		k, other = other, k
	}
	for i, at := range other {
		if at > k[i] {
			k = slices.Clone(k)
			for ; i < len(other); i++ {
				k[i] = max(k[i], other[i])
			}
			return k
		}
	}
	return k
}

// with returns the knowledge of something more.
func (k knowledge) with(i int, at uint32) knowledge {
	k = append(slices.Clone(k), make(knowledge, max(0, i+1-len(k)))...)
	k[i] = max(k[i], at)
	return k
}

// mbarriers compiles the instructions of mbarrier objects in the block's own
// shared memory. Their default semantics are .release and .acquire at the scope of
// the block.
func mbarriers(op *operation) func(*warp, uint32) {
	name, local := strings.CutSuffix(op.name, ".shared::cta.b64")
	if !local {
		return nil
	}
	op.p.k.hasProxy = true
	word := types["b32"]
	switch {
	case name == "mbarrier.init" && op.want(2):
		at, count := op.p.address(op.args[0]), op.p.src(op.args[1], word)
		return func(w *warp, active uint32) {
			lanes(active, func(l int) { w.initialise(at.of(w, l), int(w.r[count][l]), l) })
		}
	case name == "mbarrier.inval" && op.want(1):
		at := op.p.address(op.args[0])
		return func(w *warp, active uint32) {
			lanes(active, func(l int) { w.invalidate(at.of(w, l), l) })
		}
	case name == "mbarrier.arrive" && len(op.args) >= 2 && len(op.args) <= 3 && op.args[0] == "_":
		at, count := op.p.address(op.args[1]), op.p.constant(1, word)
		if len(op.args) == 3 {
			count = op.p.src(op.args[2], word)
		}
		return func(w *warp, active uint32) {
			lanes(active, func(l int) { w.arrive(at.of(w, l), int(w.r[count][l]), 0, l) })
		}
	case name == "mbarrier.arrive.expect_tx" && op.want(3) && op.args[0] == "_":
		at, bytes := op.p.address(op.args[1]), op.p.src(op.args[2], word)
		return func(w *warp, active uint32) {
			lanes(active, func(l int) { w.arrive(at.of(w, l), 1, int(w.r[bytes][l]), l) })
		}
	case name == "mbarrier.try_wait.parity" && op.want(3):
		d, _ := op.p.pred(op.args[0])
		at, parity := op.p.address(op.args[1]), op.p.src(op.args[2], word)
		return func(w *warp, active uint32) {
			complete := uint32(0)
			lanes(active, func(l int) {
				if w.wait(at.of(w, l), w.r[parity][l], l) {
					complete |= 1 << l
				}
			})
			w.stalled |= active &^ complete
			w.set(d, active, complete)
		}
	}
	return nil
}

// initialise makes an mbarrier whose phases take count arrivals.
func (w *warp) initialise(at uint64, count, lane int) {
	c := w.cta
	p := w.reach(shared, at, 8, lane)
	if count < 1 || count > most {
		fault(IllegalUse, lane, "an mbarrier of %d arrivals: 1 to %d", count, most)
	}
	w.access(p, lane, true) // which finds a valid one
	for i := range p.cells {
		p.cells[i].barrier = true
	}
	c.made++
	c.barriers[at] = &mbarrier{index: c.threads + c.made - 1, count: count, pending: count, by: w.thread(lane), at: c.memory.clock}
}

// invalidate makes its memory usable for something else.
func (w *warp) invalidate(at uint64, lane int) {
	if b := w.mbarrier(at, lane); len(b.copies) > 0 {
		fault(Unordered, lane, "bulk copies of the mbarrier at %#x are under way", at)
	}
	p := w.reach(shared, at, 8, lane)
	for i := range p.cells {
		p.cells[i].barrier = false
	}
	w.access(p, lane, true)
	for i := range p.data {
		p.data[i] = poison
	}
	delete(w.cta.barriers, at)
}

// mbarrier finds the object at an address, which a thread may use once its
// initialisation is ordered before.
func (w *warp) mbarrier(at uint64, lane int) *mbarrier {
	w.reach(shared, at, 8, lane)
	b := w.cta.barriers[at]
	if b == nil {
		fault(IllegalUse, lane, "no mbarrier at %#x was initialised", at)
	}
	if b.by != w.thread(lane) && !w.ordered(b.by, b.at, lane) {
		fault(Race, lane, "%s initialised the mbarrier at %#x and no barrier lies between", w.cta.thread(b.by), at)
	}
	return b
}

// arrive counts arrivals of a thread, which expects bytes more. What the thread
// did before, and what it knows, is known to those who wait for the phase; of the
// other threads of its warp that is what they did before the warp's last barrier.
func (w *warp) arrive(at uint64, count, bytes, lane int) {
	b, c := w.mbarrier(at, lane), w.cta
	if b.bytes += bytes; bytes > most || b.bytes > most {
		fault(IllegalUse, lane, "the mbarrier at %#x expects %d bytes, more than %d", at, b.bytes, most)
	}
	if count < 1 || count > b.pending {
		fault(IllegalUse, lane, "%d arrivals at the mbarrier at %#x, whose phase waits for %d", count, at, b.pending)
	}
	c.memory.clock++
	first := w.id * 32
	k := w.known[lane].with(max(first+lane, min(first+31, c.threads-1)), 0)
	for i := first; i < min(first+32, c.threads); i++ {
		k[i] = max(k[i], w.met)
	}
	k[first+lane] = c.memory.clock
	w.known[lane] = k
	b.arrived = b.arrived.join(k)
	b.pending -= count
	c.events++
	b.settle()
}

// settle ends a phase that waits for nothing more.
func (b *mbarrier) settle() {
	if b.pending == 0 && b.bytes == 0 {
		b.phase++
		b.pending, b.released = b.count, b.arrived
	}
}

// wait reports whether the phase of a parity is complete: the current one is not,
// the one before it is. Bulk copies land now if the phase waits for nothing else,
// and no more of them than it waits for.
func (w *warp) wait(at uint64, parity uint32, lane int) bool {
	b, c := w.mbarrier(at, lane), w.cta
	if parity > 1 {
		fault(IllegalUse, lane, "the parity %d of a phase", parity)
	}
	for int(parity) == b.phase&1 && b.pending == 0 && b.bytes > 0 && len(b.copies) > 0 {
		c.land(b)
	}
	if int(parity) == b.phase&1 {
		return false
	}
	if w.known[lane] = w.known[lane].join(b.released); lane > 0 && slices.Equal(w.known[lane], w.known[lane-1]) {
		w.known[lane] = w.known[lane-1] // so that the next join has less to do
	}
	c.events++
	return true
}

// registersOfSM is how many registers of 32 bits a multiprocessor of compute
// capability 9.0 has (CUDA C++ Programming Guide, "Compute Capabilities").
const registersOfSM = 64 << 10

// setmaxnreg checks the number of registers that a warpgroup wants a thread to
// have. What cannot be had is found when the block ends.
func setmaxnreg(op *operation) func(*warp, uint32) {
	more := op.name == "setmaxnreg.inc.sync.aligned.u32"
	if !more && op.name != "setmaxnreg.dec.sync.aligned.u32" || !op.want(1) {
		return nil
	}
	n := op.p.fixed(op.args[0])
	if n < 24 || n > 256 || n%8 != 0 {
		op.p.fail("%d registers: 24 to 256, in steps of 8", n)
	}
	if op.p.k.Registers == 0 {
		op.p.fail("setmaxnreg needs .maxnreg, or .maxntid and .minnctapersm")
	}
	return func(w *warp, active uint32) {
		whole(active)
		if more && n < w.registers || !more && n > w.registers {
			fault(IllegalUse, 0, "from %d registers to %d", w.registers, n)
		}
		w.registers = n
	}
}

// end checks what is wrong only when a block has ended.
func (c *cta) end() {
	registers := 0
	for i, w := range c.warps {
		registers += 32 * w.registers
		if w.registers != c.warps[i&^3].registers {
			fault(IllegalUse, 0, "setmaxnreg of a part of a warpgroup")
		}
	}
	if registers > registersOfSM {
		fault(Deadlock, 0, "the block wants %d registers, and setmaxnreg waits until it has them", registers)
	}
	for at, b := range c.barriers {
		if len(b.copies) > 0 {
			fault(Unordered, 0, "bulk copies of the mbarrier at %#x are under way when the block ends", at)
		}
	}
}

// stuck ends a launch in which no thread can go on.
func (w *warp) stuck() {
	lane := bits.TrailingZeros32(w.stalled)
	w.current = &w.code[w.pc[lane]-1] // the instruction that returned false
	for at, b := range w.cta.barriers {
		if b.pending > 0 && b.pending < b.count || b.pending == 0 {
			fault(Deadlock, lane, "no thread goes on; the mbarrier at %#x waits for %d arrivals and %d bytes", at, b.pending, b.bytes)
		}
	}
	fault(Deadlock, lane, "no thread goes on, and nothing arrives at any mbarrier")
}
