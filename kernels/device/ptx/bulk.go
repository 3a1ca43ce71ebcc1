package ptx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// paramWindow is where a launch's parameters lie among generic addresses: where
// no address of a process can be.
const paramWindow = 1 << 59

// TensorMap is a matrix in global memory of which bulk copies take boxes: what
// cuTensorMapEncodeTiled is told. Its first dimension is the one that lies dense.
type TensorMap struct {
	Address uint64
	Size    [2]uint64 // elements
	Stride  uint64    // bytes from one row to the next
	Box     [2]uint32 // elements
	Element uint32    // bytes of one: 1, 2, 4 or 8
	Swizzle uint32    // CUtensorMapSwizzle: none, or by 32, 64 or 128 bytes
}

// check reports which of the limits of cuTensorMapEncodeTiled is not kept. CUDA
// driver API, "Tensor Map Object Management".
func (m TensorMap) check() error {
	inner := uint64(m.Box[0]) * uint64(m.Element)
	switch {
	case m.Element != 1 && m.Element != 2 && m.Element != 4 && m.Element != 8:
		return fmt.Errorf("elements of %d bytes", m.Element)
	case m.Address%16 != 0:
		return fmt.Errorf("the address %#x is not a multiple of 16", m.Address)
	case min(m.Size[0], m.Size[1]) < 1 || max(m.Size[0], m.Size[1]) > 1<<32:
		return fmt.Errorf("%d×%d elements: 1 to 2³² in each dimension", m.Size[0], m.Size[1])
	case m.Stride%16 != 0 || m.Stride >= 1<<40 || m.Stride < m.Size[0]*uint64(m.Element):
		return fmt.Errorf("a stride of %d bytes for %d elements", m.Stride, m.Size[0])
	case min(m.Box[0], m.Box[1]) < 1 || max(m.Box[0], m.Box[1]) > 256:
		return fmt.Errorf("a box of %d×%d: 1 to 256 in each dimension", m.Box[0], m.Box[1])
	case inner%16 != 0:
		return fmt.Errorf("a box %d bytes wide, which is not a multiple of 16", inner)
	case m.Swizzle > 3:
		return fmt.Errorf("swizzle mode %d", m.Swizzle)
	case m.Swizzle > 0 && inner > 16<<m.Swizzle:
		return fmt.Errorf("a box %d bytes wide, swizzled by %d", inner, 16<<m.Swizzle)
	case m.Swizzle > 0 && inner < 16<<m.Swizzle:
		return fmt.Errorf("a box narrower than its swizzle is not implemented: %d bytes", inner)
	}
	return nil
}

// Encode returns the 128 bytes that a kernel is given. NVIDIA's own are opaque;
// these mean something to this package alone. The error says which limit of the
// driver is not kept.
func (m TensorMap) Encode() (data [128]byte, err error) {
	if err = m.check(); err != nil {
		return data, err
	}
	err = binary.Write(bytes.NewBuffer(data[:0]), le, m)
	le.PutUint32(data[124:], crc32.ChecksumIEEE(data[:124]))
	return data, err
}

// decode is the reverse of Encode.
func (m *TensorMap) decode(data []byte) error {
	if len(data) != 128 || le.Uint32(data[124:]) != crc32.ChecksumIEEE(data[:124]) {
		return errors.New("not a tensor map")
	}
	return errors.Join(binary.Read(bytes.NewReader(data), le, m), m.check())
}

// bulk is a copy from global to shared memory that counts at an mbarrier.
type bulk struct {
	parts []transfer // of 16 bytes
	bytes int
}

// bulkCopy compiles cp.async.bulk, of bytes that follow each other, and
// cp.async.bulk.tensor.2d, of a box. Both belong to the async proxy. The shared
// memory of a cluster is the block's own: there are no clusters.
func bulkCopy(op *operation) func(*warp, uint32) {
	op.p.k.hasProxy = true
	word := types["b32"]
	switch op.name {
	case "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes":
		if !op.want(4) {
			return nil
		}
		to, from := op.p.address(op.args[0]), op.p.address(op.args[1])
		size, at := op.p.src(op.args[2], word), op.p.address(op.args[3])
		return func(w *warp, active uint32) {
			lanes(active, func(l int) {
				n := uint64(w.r[size][l])
				if n == 0 || n%16 != 0 || n > most {
					fault(IllegalUse, l, "a bulk copy of %d bytes: a multiple of 16", n)
				}
				var parts []transfer
				for i := uint64(0); i < n; i += 16 {
					p := w.reach(global, from.of(w, l)+i, 16, l)
					w.access(p, l, false)
					parts = append(parts, transfer{to: w.reach(shared, to.of(w, l)+i, 16, l), from: p.data})
				}
				w.issue(at.of(w, l), parts, l)
			})
		}
	case "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes":
		if !op.want(3) {
			return nil
		}
		to, at := op.p.address(op.args[0]), op.p.address(op.args[2])
		inner, closed := strings.CutSuffix(strings.TrimPrefix(op.args[1], "["), "]")
		parts := list(inner)
		if !closed || len(parts) != 2 {
			return nil
		}
		tensor, x := op.p.address("["+parts[0]+"]"), op.p.srcs(parts[1], word)
		if len(x) != 2 {
			return nil
		}
		return func(w *warp, active uint32) {
			lanes(active, func(l int) {
				m := w.tensorMap(tensor.of(w, l), l)
				w.issue(at.of(w, l), w.box(m, to.of(w, l), int64(int32(w.r[x[0]][l])), int64(int32(w.r[x[1]][l])), l), l)
			})
		}
	}
	return nil
}

// tensorMap reads the tensor map at a generic address, of a parameter or of
// global memory. Reads of it are by a proxy of its own: a map that a kernel wrote
// needs a fence that is not implemented.
func (w *warp) tensorMap(at uint64, lane int) (m TensorMap) {
	var data []byte
	if at%64 != 0 {
		fault(Misaligned, lane, "the tensor map at %#x is not at a multiple of 64", at)
	}
	if params := w.cta.params; at >= paramWindow && at-paramWindow+128 <= uint64(len(params)) {
		data = params[at-paramWindow:][:128]
	} else if b := w.cta.memory.find(at, 128); b == nil {
		fault(IllegalAddress, lane, "a tensor map at %#x is neither in the parameters nor in global memory", at)
	} else if !b.came(at-b.at, 128) {
		fault(Unordered, lane, "the host has not written the tensor map at %#x", at)
	} else {
		data = b.data[at-b.at:][:128]
	}
	if err := m.decode(data); err != nil {
		fault(IllegalUse, lane, "at %#x: %v", at, err)
	}
	return m
}

// box lists the parts of a box whose first element is x, y: what is outside of the
// matrix is zero. A row follows the one before it in shared memory, and the
// number of a part within its group of 2, 4 or 8 is exchanged with those bits of
// the address that count lines of 128 bytes. CUDA C++ Programming Guide, "The TMA
// swizzle patterns".
func (w *warp) box(m TensorMap, to uint64, x, y int64, lane int) (parts []transfer) {
	if to%128 != 0 {
		fault(Misaligned, lane, "a box at %#x of shared memory, which is not a multiple of 128", to)
	}
	size, width := int64(m.Element), int64(m.Box[0])*int64(m.Element)
	end := int64(m.Size[0]) * size // bytes of a row
	for row := range int64(m.Box[1]) {
		for byte := int64(0); byte < width; byte += 16 {
			at := to + uint64(row*width+byte)
			at ^= at >> 7 & (1<<m.Swizzle - 1) << 4
			t := transfer{to: w.reach(shared, at, 16, lane)}
			first := x*size + byte // of the part in its row
			from, until := max(first, 0), min(first+16, end)
			if r := y + row; r >= 0 && uint64(r) < m.Size[1] && from < until {
				p := w.global(m.Address+uint64(r)*m.Stride+uint64(from), int(until-from), lane)
				w.access(p, lane, false)
				t.from, t.skip = p.data, int(from-first)
			}
			parts = append(parts, t)
		}
	}
	return parts
}

// issue begins a copy. Until it lands nobody may use the bytes that it writes.
func (w *warp) issue(at uint64, parts []transfer, lane int) {
	b := w.mbarrier(at, lane)
	if !b.fenced {
		fault(Unordered, lane, "no fence.mbarrier_init since the mbarrier at %#x was initialised", at)
	}
	for _, t := range parts {
		for i := range t.to.cells {
			if t.to.cells[i].plain {
				fault(Unordered, lane, "no fence.proxy.async since shared memory at %#x was written", t.to.at)
			}
		}
		w.unloaded(t.to, lane)
		w.access(t.to, lane, true)
		for i := range t.to.cells {
			t.to.cells[i].plain = false
			t.to.cells[i].copies++
		}
	}
	b.copies = append(b.copies, bulk{parts, 16 * len(parts)})
}

// land carries out the first copy of an mbarrier and counts its bytes.
func (c *cta) land(b *mbarrier) {
	first := b.copies[0]
	b.copies = b.copies[1:]
	for _, t := range first.parts {
		for i := range t.to.cells {
			cell := &t.to.cells[i]
			cell.copies--
			cell.writer, cell.wrote = copied-int32(b.index), c.memory.clock
		}
		t.land()
	}
	c.memory.clock++
	b.arrived = b.arrived.with(b.index, c.memory.clock)
	b.bytes -= first.bytes
	c.events++
	b.settle()
}
