package ptx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

var le = binary.LittleEndian

// space is a state space.
type space byte

const (
	generic space = iota
	global
	shared
)

func (s space) String() string { return [...]string{"generic", "global", "shared"}[s] }

// window is where shared memory lies among generic addresses: where no address
// of a process can be.
const window = 1 << 60

// poison fills memory that nothing has written: a NaN in every format.
const poison = 0xff

var poisoned = bytes.Repeat([]byte{poison}, 1<<10)

// Memory is the global memory of a device. Several goroutines may read, write and run
// kernels on it if none allocates or frees, and if no two are at one page of 512 bytes.
type Memory struct {
	blocks []block // by address
	next   uint64
	clock  uint32 // ticks at each barrier and each block of each launch
}

// block is an allocation.
type block struct {
	at    uint64
	data  []byte
	cells []cell   // one for two bytes, made when a launch first touches the block
	known []uint16 // bytes at the beginning of each page that did not come from a kernel
}

// page is how far parts of an allocation are apart: a device.PartAlign. The host
// writes whole parts from their beginning.
const page = 512

// Alloc allocates n bytes and returns their address. Whoever reads them before
// they are written gets 0xff, and a kernel a fault. No other allocation begins
// within 256 bytes behind them.
func (m *Memory) Alloc(n int) (address uint64) {
	if m.next == 0 {
		m.next = 0x7f00_0000_0000
	}
	data := bytes.Repeat([]byte{poison}, n)
	address = m.next
	m.next += uint64(n+511) &^ 255
	m.blocks = append(m.blocks, block{at: address, data: data, known: make([]uint16, (n+page-1)/page)})
	return address
}

// Write copies data to an address, and Read from one. They report whether an
// allocation holds all of it.
func (m *Memory) Write(address uint64, data []byte) bool {
	b := m.find(address, len(data))
	if b == nil {
		return false
	}
	at := int(address - b.at)
	copy(b.data[at:], data)
	for end := at + len(data); at < end; {
		i, from := at/page, at%page
		to := min(page, from+end-at)
		if from <= int(b.known[i]) {
			b.known[i] = max(b.known[i], uint16(to))
		}
		at += to - from
	}
	return true
}

// Read is described at Write.
func (m *Memory) Read(data []byte, address uint64) bool {
	b := m.find(address, len(data))
	if b == nil {
		return false
	}
	copy(data, b.data[address-b.at:])
	return true
}

// Free takes the allocation at an address away and reports whether there was
// one.
func (m *Memory) Free(address uint64) bool {
	n := len(m.blocks)
	m.blocks = slices.DeleteFunc(m.blocks, func(b block) bool { return b.at == address })
	return len(m.blocks) < n
}

// came reports whether bytes, at most a page of them, did not come from a kernel.
func (b *block) came(at, n uint64) bool {
	if rest := page - at%page; n > rest {
		return b.known[at/page] == page && b.came(at+rest, n-rest)
	}
	return at%page+n <= uint64(b.known[at/page])
}

// find returns the allocation that holds n bytes at an address.
func (m *Memory) find(address uint64, n int) *block {
	i := sort.Search(len(m.blocks), func(i int) bool { return m.blocks[i].at > address }) - 1
	if i < 0 {
		return nil
	}
	b := &m.blocks[i]
	if off := address - b.at; off > uint64(len(b.data)) || uint64(len(b.data))-off < uint64(n) {
		return nil
	}
	return b
}

// cell remembers who last accessed two bytes of memory, and when.
type cell struct {
	writer, reader int32  // thread of the grid, from 1; several is more than one
	wrote, read    uint32 // on the memory's clock
	copies         uint16 // asynchronous copies that will write it
	products       uint16 // wgmma that will read it
	plain          bool   // written since by the generic proxy, without a fence of the async proxy
	barrier        bool   // a part of an mbarrier
}

const (
	several  = -1
	atomical = -2 // an atomic access, by whichever thread
	copied   = -3 // bulk copies of the mbarrier of index 0; those of the next are -4
)

// place is memory that an access reaches.
type place struct {
	data  []byte
	cells []cell
	at    uint64 // in shared memory, or in the block of global memory
	block *block // nil for shared memory
}

// known reports that none of the place has to come from a kernel.
func (p *place) known() bool { return p.block != nil && p.block.came(p.at, uint64(len(p.data))) }

// Fault is why a launch ended.
type Fault struct {
	Kind   FaultKind
	Kernel string
	Block  [3]uint32
	Thread int // in its block
	Line   int // of the text
	Text   string
	Why    string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("ptx: %s: %s: %s, in thread %d of block %d,%d,%d at line %d: %s", f.Kernel, f.Kind, f.Why, f.Thread, f.Block[0], f.Block[1], f.Block[2], f.Line, f.Text)
}

// FaultKind is a kind of fault. The first ones are those that a GPU reports.
type FaultKind string

// Kinds of faults.
const (
	IllegalAddress FaultKind = "illegal address"
	Misaligned     FaultKind = "misaligned address"
	IllegalUse     FaultKind = "illegal instruction" // a collective instruction by a part of a warp, a descriptor that is not known
	Timeout        FaultKind = "timeout"
	Resources      FaultKind = "launch out of resources"
	Race           FaultKind = "data race"
	Unordered      FaultKind = "unordered asynchronous access"
	Deadlock       FaultKind = "deadlock"
	Uninitialised  FaultKind = "uninitialised read"
)

// fault ends the launch; run recovers it and completes it.
func fault(kind FaultKind, lane int, format string, args ...any) {
	panic(&Fault{Kind: kind, Thread: lane, Why: fmt.Sprintf(format, args...)})
}

// reach returns the n bytes at an address of a state space.
func (w *warp) reach(s space, address uint64, n, lane int) place {
	if address%uint64(n) != 0 {
		fault(Misaligned, lane, "%#x is not a multiple of %d", address, n)
	}
	if s == generic && address >= window {
		s, address = shared, address-window
	}
	if s == shared {
		c := w.cta
		if address > uint64(len(c.shared)) || uint64(len(c.shared))-address < uint64(n) {
			fault(IllegalAddress, lane, "%d bytes at %#x are not in the %d bytes of shared memory", n, address, len(c.shared))
		}
		return place{data: c.shared[address : address+uint64(n)], cells: c.cells[address/2 : (address+uint64(n)+1)/2], at: address}
	}
	return w.global(address, n, lane)
}

// global returns bytes of global memory.
func (w *warp) global(address uint64, n, lane int) place {
	b := w.last
	if b == nil || address < b.at || address-b.at > uint64(len(b.data)) || uint64(len(b.data))-(address-b.at) < uint64(n) {
		if b = w.cta.memory.find(address, n); b == nil {
			fault(IllegalAddress, lane, "%d bytes at %#x of global memory are in no allocation", n, address)
		}
		if b.cells == nil {
			b.cells = make([]cell, (len(b.data)+1)/2)
		}
		w.last = b
	}
	at := address - b.at
	return place{data: b.data[at : at+uint64(n)], cells: b.cells[at/2 : (at+uint64(n)+1)/2], at: at, block: b}
}

// thread is the number of a lane's thread in the grid, from 1.
func (w *warp) thread(lane int) int32 { return w.cta.first + int32(w.id*32+lane) }

// before reports whether an access at a time of the clock is ordered before all that the
// block does now, whoever made it: it was in an earlier launch, or before the block's
// last barrier.
func (c *cta) before(at uint32) bool { return at < c.launched || at >= c.began && at < c.met }

// ordered reports whether an access at a time of the clock by another thread, or
// by a bulk copy, is ordered before one that a lane makes now.
func (w *warp) ordered(by int32, at uint32, lane int) bool {
	c := w.cta
	switch {
	case c.before(at):
		return true
	case at < c.began:
		return false // another block of this launch
	}
	first := w.thread(0)
	switch {
	case by >= first && by < first+32 && at < w.met:
		return true
	case by <= copied:
		return w.known[lane].of(int(copied-by)) > at
	case by >= c.first && by < c.first+int32(c.threads):
		return w.known[lane].of(int(by-c.first)) > at
	}
	return false
}

// access notes that a thread reads or writes a place, or reports a race.
func (w *warp) access(p place, lane int, write bool) {
	w.touch(p, w.thread(lane), lane, write)
}

func (w *warp) touch(p place, me int32, lane int, write bool) {
	b := w.cta
	now := b.memory.clock
	if p.block == nil && b.fetched != nil {
		if write {
			w.unfetched(p, lane)
		} else {
			b.loaded[int(p.at/16)*len(b.warps)+w.id].note(now, b.met, lane)
		}
	}
	if !write && p.block == nil && b.unmarked(p.at) {
		return
	}
	for i := range p.cells {
		c := &p.cells[i]
		if c.copies|c.products != 0 || c.barrier || c.wrote != 0 && c.writer != me && !b.before(c.wrote) || write && c.read != 0 && c.reader != me && !b.before(c.read) {
			w.check(c, me, lane, write)
		}
		if write {
			c.writer, c.wrote, c.plain = me, now, true
			continue
		}
		if c.wrote == 0 && !p.known() {
			fault(Uninitialised, lane, "nothing has written these bytes")
		}
		if c.reader != me && c.read != 0 && !b.before(c.read) && !w.ordered(c.reader, c.read, lane) {
			c.reader = several
		} else {
			c.reader = me
		}
		c.read = now
	}
	if len(p.data) == 16 && !write && p.block == nil && w.shares(p) {
		b.quiet[p.at/16] = now
	}
}

// unmarked reports that any thread may read 16 bytes of shared memory now and leave no
// trace: what several threads read at one time cannot be written until the clock ticks.
func (c *cta) unmarked(at uint64) bool {
	return c.quiet[at/16] == c.memory.clock && c.fetched == nil
}

// shares reports that what a lane has just read may be read by any other lane of the
// warp, and that this would leave no other trace.
func (w *warp) shares(p place) bool {
	b := w.cta
	if p.block == nil && b.fetched != nil {
		return false
	}
	for i := range p.cells {
		if c := &p.cells[i]; c.reader != several || c.read != b.memory.clock || c.wrote != 0 && !b.before(c.wrote) {
			return false
		}
	}
	return true
}

// check reports what another access to two bytes is in the way of one.
func (w *warp) check(c *cell, me int32, lane int, write bool) {
	switch {
	case c.barrier:
		fault(IllegalUse, lane, "these bytes are an mbarrier")
	case c.copies > 0:
		fault(Unordered, lane, "an asynchronous copy to these bytes has not been waited for")
	case write && c.products > 0:
		fault(Unordered, lane, "a wgmma that reads these bytes has not been waited for")
	case c.wrote != 0 && c.writer != me && !w.ordered(c.writer, c.wrote, lane):
		fault(Race, lane, "%s wrote these bytes and no barrier lies between", w.cta.thread(c.writer))
	case write && c.read != 0 && c.reader != me && !w.ordered(c.reader, c.read, lane):
		fault(Race, lane, "%s read these bytes and no barrier lies between", w.cta.thread(c.reader))
	}
}

// fetch notes that a wgmma of the warp begins to read a place, of 16 bytes, and
// fetched that it has.
func (w *warp) fetch(p place) {
	for i := range p.cells {
		c := &p.cells[i]
		w.check(c, w.thread(0), 0, false)
		switch {
		case c.wrote == 0:
			fault(Uninitialised, 0, "nothing has written these bytes")
		case c.plain:
			fault(Unordered, 0, "no fence.proxy.async since shared memory at %#x was written", p.at)
		}
		c.products++
	}
}

func (w *warp) fetched(p place) {
	for i := range p.cells {
		p.cells[i].products--
	}
	w.cta.fetched[int(p.at/16)*len(w.cta.warps)+w.id] = w.cta.memory.clock
}

// unfetched reports a wgmma that has read a place and is not ordered before the
// write that a lane makes now.
func (w *warp) unfetched(p place, lane int) {
	n := len(w.cta.warps)
	for at := p.at / 16; at <= (p.at+uint64(len(p.data))-1)/16; at++ {
		for by, when := range w.cta.fetched[int(at)*n:][:n] {
			if when == 0 || by == w.id || when < w.cta.met {
				continue
			}
			seen := uint32(0)
			for i := range min(32, w.cta.threads-by*32) { // by any thread of the warp, which read together
				seen = max(seen, w.known[lane].of(by*32+i))
			}
			if seen <= when {
				fault(Race, lane, "a wgmma of warp %d read these bytes and no barrier lies between", by)
			}
		}
	}
}

// loads are the threads of a warp that have read 16 bytes, and when the last one
// did: a cell remembers one reader, and before a bulk copy each must be ordered.
type loads struct{ when, lanes uint32 }

func (l *loads) note(now, met uint32, lane int) {
	if l.when < met {
		l.lanes = 0
	}
	l.when, l.lanes = now, l.lanes|1<<lane
}

// unloaded reports a thread that has read 16 bytes and is not ordered before the
// bulk copy that a lane issues now, and forgets the others.
func (w *warp) unloaded(p place, lane int) {
	n := len(w.cta.warps)
	for by, l := range w.cta.loaded[int(p.at/16)*n:][:n] {
		lanes(l.lanes, func(reader int) {
			if t := w.cta.warps[by].thread(reader); t != w.thread(lane) && !w.ordered(t, l.when, lane) {
				fault(Race, lane, "%s read these bytes and no barrier lies between", w.cta.thread(t))
			}
		})
	}
	clear(w.cta.loaded[int(p.at/16)*n:][:n])
	for i := range p.cells {
		p.cells[i].read = 0
	}
}

// thread names a thread of the grid.
func (c *cta) thread(n int32) string {
	switch {
	case n == several:
		return "another thread"
	case n == atomical:
		return "an atomic operation"
	case n <= copied:
		return "a bulk copy"
	}
	size := int32(c.size[0] * c.size[1] * c.size[2])
	return fmt.Sprintf("thread %d of block number %d", (n-1)%size, (n-1)/size)
}
