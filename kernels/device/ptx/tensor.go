package ptx

import (
	"fmt"
	"math"
	"strings"
)

// tensor has the instructions by which a warp, or four of them, multiply
// matrices together.
var tensor = map[string]func(*operation) func(*warp, uint32){
	"ldmatrix": ldmatrix, "mma": mma, "wgmma": wgmma,
}

// ldmatrix loads one, two or four 8×8 matrices of 16-bit elements. Lane i has
// the address of row i%8 of matrix i/8; lane l gets elements 2(l%4) and 2(l%4)+1
// of row l/4 of each, or with .trans of column l/4.
func ldmatrix(op *operation) func(*warp, uint32) {
	number := map[string]int{"x1": 1, "x2": 2, "x4": 4}
	if len(op.mods) < 6 || !op.want(2) || !strings.HasPrefix(op.name, "ldmatrix.sync.aligned.m8n8.x") || op.space() != shared || op.typ() != types["b16"] {
		return nil
	}
	d, at := op.p.dsts(op.args[0], types["b32"]), op.p.address(op.args[1])
	if len(d) != number[op.mods[4]] {
		return nil
	}
	trans := op.has("trans")
	return func(w *warp, active uint32) {
		whole(active)
		for j, d := range d {
			var rows [8][]byte
			for i := range rows {
				p := w.reach(shared, at.of(w, j*8+i), 16, j*8+i)
				w.access(p, j*8+i, false)
				rows[i] = p.data
			}
			for l := range 32 {
				low, high := [2]int{l / 4, l % 4 * 2}, [2]int{l / 4, l%4*2 + 1}
				if trans {
					low, high = [2]int{low[1], low[0]}, [2]int{high[1], high[0]}
				}
				w.r[d][l] = uint32(le.Uint16(rows[low[0]][2*low[1]:])) | uint32(le.Uint16(rows[high[0]][2*high[1]:]))<<16
			}
		}
	}
}

// fragments says where the elements of a matrix are: element i of lane l is at
// row and column at(l, i). PTX ISA, "Matrix fragments for mma".
type fragments struct {
	count int // elements a lane
	at    func(lane, i int) (row, column int)
}

// places is where each element of each lane is.
func (f fragments) places() (at [32][8][2]uint8) {
	for l := range at {
		for i := range f.count {
			row, column := f.at(l, i)
			at[l][i] = [2]uint8{uint8(row), uint8(column)}
		}
	}
	return at
}

// shape is a form of mma.
type shape struct {
	m, n, k     int
	a, b, c     fragments
	in, out     typ
	perRegister int // elements of a and b
}

// accumulators of 16×8: rows l/4 and l/4+8, columns 2(l%4) and the next.
var quad = fragments{4, func(l, i int) (int, int) { return l/4 + i/2*8, l%4*2 + i%2 }}

var mmas = map[string]shape{
	"m16n8k16.row.col.f32.bf16.bf16.f32": halves(types["bf16"]),
	"m16n8k16.row.col.f32.f16.f16.f32":   halves(types["f16"]),
	"m16n8k8.row.col.f32.tf32.tf32.f32": {m: 16, n: 8, k: 8,
		a:  fragments{4, func(l, i int) (int, int) { return l/4 + i%2*8, l%4 + i/2*4 }},
		b:  fragments{2, func(l, i int) (int, int) { return l%4 + i*4, l / 4 }},
		c:  quad,
		in: types["tf32"], out: types["f32"], perRegister: 1},
	"m8n8k4.row.col.f64.f64.f64.f64": {m: 8, n: 8, k: 4,
		a:  fragments{1, func(l, _ int) (int, int) { return l / 4, l % 4 }},
		b:  fragments{1, func(l, _ int) (int, int) { return l % 4, l / 4 }},
		c:  fragments{2, func(l, i int) (int, int) { return l / 4, l%4*2 + i }},
		in: types["f64"], out: types["f64"], perRegister: 1},
}

func halves(t typ) shape {
	return shape{m: 16, n: 8, k: 16,
		a:  fragments{8, func(l, i int) (int, int) { return l/4 + i/2%2*8, l%4*2 + i%2 + i/4*8 }},
		b:  fragments{4, func(l, i int) (int, int) { return l%4*2 + i%2 + i/2*8, l / 4 }},
		c:  quad,
		in: t, out: types["f32"], perRegister: 2}
}

// carrier is the type of the registers that hold elements of a type.
func carrier(t typ) typ {
	if t.wide() {
		return types["b64"]
	}
	return types["b32"]
}

// element is the number at index i of what lane l holds in registers.
func (w *warp) element(regs []int, l, i, perRegister int, t typ) float64 {
	if t.kind == 'h' { // bf16: the upper half of a float32
		return float64(math.Float32frombits(w.r[regs[i/2]][l] << (16 * (1 - i%2)) &^ 0xffff))
	}
	v := w.value(regs[i/perRegister], l, t)
	return operand(v>>(i%perRegister*16), t)
}

// operand is the value of the low bits of v; of a tf32, the last 13 bits do not
// count.
func operand(v uint64, t typ) float64 {
	switch {
	case t.kind == 't':
		v &^= 1<<13 - 1
	case t.bits == 16:
		v &= 0xffff
	}
	return decode(v, t)
}

func mma(op *operation) func(*warp, uint32) {
	form, ok := strings.CutPrefix(op.name, "mma.sync.aligned.")
	s, known := mmas[form]
	if !ok || !known || !op.want(4) {
		return nil
	}
	d := op.p.dsts(op.args[0], carrier(s.out))
	a, b, c := op.p.srcs(op.args[1], carrier(s.in)), op.p.srcs(op.args[2], carrier(s.in)), op.p.srcs(op.args[3], carrier(s.out))
	if len(d) != s.c.count || len(c) != s.c.count || len(a)*s.perRegister != s.a.count || len(b)*s.perRegister != s.b.count {
		return nil
	}
	inA, inB, inC := s.a.places(), s.b.places(), s.c.places()
	return func(w *warp, active uint32) {
		whole(active)
		f := &w.cta.factors
		for l := range 32 {
			for i := range s.a.count {
				at := inA[l][i]
				f.x[at[0]&15][at[1]&15] = w.element(a, l, i, s.perRegister, s.in)
			}
			for i := range s.b.count {
				at := inB[l][i]
				f.y[at[0]&15][at[1]&7] = w.element(b, l, i, s.perRegister, s.in)
			}
		}
		for m := range s.m {
			f.sums[m] = f.row(m, s.k)
		}
		for l := range 32 {
			var v [4]uint64 // d may have the registers of c in another order
			for i, c := range c {
				at := inC[l][i]
				v[i] = encode(decode(w.value(c, l, s.out), s.out)+f.sums[at[0]&15][at[1]&7], s.out)
			}
			for i, d := range d {
				w.assign(d, l, s.out, v[i])
			}
		}
	}
}

// factors are the matrices that an mma multiplies, and their product: x by its rows, y
// by its, so that a row of sums is made at a time.
type factors struct {
	x       [16][16]float64
	y, sums [16][8]float64
}

// row is a row of x·y. A GPU does not say in which order it adds and rounds.
func (f *factors) row(m, k int) [8]float64 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	for k, x := range f.x[m][:k] {
		y := &f.y[k]
		s0 += x * y[0]
		s1 += x * y[1]
		s2 += x * y[2]
		s3 += x * y[3]
		s4 += x * y[4]
		s5 += x * y[5]
		s6 += x * y[6]
		s7 += x * y[7]
	}
	return [8]float64{s0, s1, s2, s3, s4, s5, s6, s7}
}

// dot is c + x·y. A GPU does not say in which order it adds and rounds.
func dot(c uint64, x, y []float64, t typ) uint64 {
	sum := 0.0
	for k := range x {
		sum += x[k] * y[k]
	}
	return encode(decode(c, t)+sum, t)
}

// tensors is the wgmma that a warp has issued.
type tensors struct {
	accs   []int // registers that the kernel accumulates in
	proxy  bool
	groups [][]product // the last one is not committed yet
	flying map[int]*flight
	fenced map[int]row // what accumulators held at the last wgmma.fence
}

// flight is an accumulator that a wgmma will write. Until then the register
// holds a NaN, so that whoever reads it is wrong.
type flight struct {
	value row
	count int
}

var nan = func() (r row) {
	for l := range r {
		r[l] = 0x7fc0dead
	}
	return r
}()

// product is a wgmma that has not been waited for.
type product struct {
	d          []int
	a, b       operandTile
	accumulate bool
}

// operandTile is a matrix in shared memory, its rows along k.
type operandTile struct {
	rows   [][]float64
	places []place // what is marked as being read, 16 bytes each
}

// wgmma compiles the instructions of a warpgroup: each of its four warps has 16
// of the 64 rows of the result.
func wgmma(op *operation) func(*warp, uint32) {
	op.p.k.hasProxy = true
	switch op.name {
	case "wgmma.fence.sync.aligned":
		return func(w *warp, active uint32) {
			whole(active)
			w.fenced = map[int]row{}
			for _, at := range w.accs {
				w.fenced[at] = w.r[at]
			}
		}
	case "wgmma.commit_group.sync.aligned":
		return func(w *warp, active uint32) {
			whole(active)
			w.groups = append(w.groups, nil)
		}
	case "wgmma.wait_group.sync.aligned":
		if !op.want(1) {
			return nil
		}
		keep := op.p.fixed(op.args[0])
		return func(w *warp, active uint32) {
			whole(active)
			for len(w.groups) > keep+1 {
				for _, product := range w.groups[0] {
					w.multiply(product)
				}
				w.groups = w.groups[1:]
			}
		}
	}
	form, ok := strings.CutPrefix(op.name, "wgmma.mma_async.sync.aligned.")
	var n, k int
	if _, err := fmt.Sscanf(form, "m64n%dk%d.", &n, &k); !ok || err != nil || n < 8 || n > 256 || n%8 != 0 || len(op.args) != 8 && len(op.args) != 6 {
		return nil
	}
	_, kinds, _ := strings.Cut(form, ".")
	in, known := map[string]typ{"f32.bf16.bf16": types["bf16"], "f32.f16.f16": types["f16"], "f32.tf32.tf32": types["tf32"]}[kinds]
	if !known || k*in.bits != 256 || (len(op.args) == 8) != (in.bits == 16) {
		return nil
	}
	var down [2]bool // A, B: lines of shared memory run down k, of formats of 16 bits
	for i, arg := range op.args[4:] {
		switch v := op.p.fixed(arg); {
		case i < 2 && v != 1: // no negation
			return nil
		case i >= 2 && v != 0 && v != 1:
			return nil
		case i >= 2:
			down[i-2] = v == 1
		}
	}
	d := op.p.dsts(op.args[0], types["f32"])
	a, b := op.p.src(op.args[1], types["b64"]), op.p.src(op.args[2], types["b64"])
	scale, not := op.p.pred(op.args[3])
	if len(d) != n/2 {
		return nil
	}
	op.p.k.accs = append(op.p.k.accs, d...)
	return func(w *warp, active uint32) {
		whole(active)
		if accumulate := w.test(scale, not); accumulate != 0 && accumulate != all {
			fault(IllegalUse, 0, "scale-d is not the same in all threads")
		}
		if w.flying == nil {
			w.flying = map[int]*flight{}
		}
		for _, at := range d {
			f := w.flying[at]
			if f == nil {
				if held, ok := w.fenced[at]; !ok || held != w.r[at] {
					fault(Unordered, 0, "no wgmma.fence since the registers that it accumulates in were written")
				}
				f = &flight{value: w.r[at]}
				w.flying[at], w.r[at] = f, nan
			}
			f.count++
		}
		p := product{d: d, accumulate: w.test(scale, not) != 0,
			a: w.tile(w.d[a][0], w.id%4*16, 16, k, in, down[0]), b: w.tile(w.d[b][0], 0, n, k, in, down[1])}
		if len(w.groups) == 0 {
			w.groups = append(w.groups, nil)
		}
		last := len(w.groups) - 1
		w.groups[last] = append(w.groups[last], p)
	}
}

// tile finds rows of a matrix by its descriptor: lines of 128 bytes, eight
// lines with their 16-byte parts exchanged (swizzle mode 1, 128 bytes). PTX ISA,
// "Matrix descriptor format". It notes that the tile will be read.
func (w *warp) tile(descriptor uint64, first, count, k int, t typ, down bool) operandTile {
	if descriptor>>62 != 1 || descriptor>>49&7 != 0 {
		fault(IllegalUse, 0, "descriptor %#x: only swizzling by 128 bytes with base offset 0 is implemented", descriptor)
	}
	start, stride := descriptor&0x3fff<<4, descriptor>>32&0x3fff<<4
	size := t.size()
	bytes := make([][]byte, count)
	var tile operandTile
	part := func(at uint64) []byte {
		at ^= at >> 7 & 7 << 4
		p := w.reach(shared, at, 16, 0)
		w.fetch(p)
		tile.places = append(tile.places, p)
		return p.data
	}
	for i := range bytes {
		r := uint64(first + i)
		for at := 0; at < k*size && !down; at += 16 {
			bytes[i] = append(bytes[i], part(start+r/8*stride+r%8*128+uint64(at))...)
		}
	}
	// Down k, a line has 64 elements of one k. Lines of 8 k are together, the next 8
	// are a stride away, and the next 64 elements a leading dimension (PTX ISA, "Strides"
	// of wgmma).
	leading := descriptor >> 16 & 0x3fff << 4
	for l := uint64(0); l < uint64(k) && down; l++ {
		for i := 0; i < count; i += 8 {
			r := uint64(first + i)
			data := part(start + r/64*leading + r%64*2 + l/8*stride + l%8*128)
			for j := range 8 {
				bytes[i+j] = append(bytes[i+j], data[2*j:2*j+2]...)
			}
		}
	}
	// The bytes cannot change until the product is computed: whoever writes
	// them before faults.
	for _, line := range bytes {
		values := make([]float64, k)
		for i := range values {
			v := uint64(le.Uint16(line[i*size:]))
			if size == 4 {
				v = uint64(le.Uint32(line[i*size:]))
			}
			values[i] = operand(v, t)
		}
		tile.rows = append(tile.rows, values)
	}
	return tile
}

// multiply computes a product and hands the accumulators back.
func (w *warp) multiply(p product) {
	for i, at := range p.d {
		f := w.flying[at]
		for l := range 32 {
			row, col := l/4+i/2%2*8, i/4*8+l%4*2+i%2
			c := uint64(f.value[l])
			if !p.accumulate {
				c = 0
			}
			f.value[l] = uint32(dot(c, p.a.rows[row], p.b.rows[col], types["f32"]))
		}
		if f.count--; f.count > 0 {
			continue
		}
		if w.r[at] != nan {
			fault(Unordered, 0, "an accumulator was written while a wgmma used it")
		}
		w.r[at], w.fenced[at] = f.value, f.value
		delete(w.flying, at)
	}
	for _, tile := range [][]place{p.a.places, p.b.places} {
		for _, p := range tile {
			w.fetched(p)
		}
	}
}
