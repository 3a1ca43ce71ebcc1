package sgemm

import (
	"sync"
	"unsafe"

	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// blocked is the product of Goto and van de Geijn (ACM TOMS 34(3), 2008) as
// BLIS arranges it, around the micro-kernel of an instruction set. From the
// outermost loop in: columns of C that a packed block of B covers, steps along
// k, blocks of A that stay in the second-level cache, panels of B that stay in
// the first, and tiles of C, which stay in registers.
type blocked struct {
	mr, nr int // rows and columns of a tile
	// Blocks: mc × kc elements of A take half of a second-level cache, kc × nr
	// of B the better part of a first-level one. nc columns of B fit the third.
	mc, nc, kc int
	// Packing A does not pay for fewer columns of C than narrow, if A is stored
	// transposed, or than wide, if it is not, nor beyond unless its rows crowd one set
	// of the first-level cache. 0 is for a micro-kernel that reads packed A only.
	narrow, wide int
	// few: columns of C up to which its transpose is computed if A is stored transposed.
	few int
	// beside: if k is long and B packed, tiles are computed one beside the other, so that a
	// tile's rows of A stay in the first-level cache and panels of B in the second.
	beside bool
	tiles  []func(t *tiles) // by rows, from 1 to mr
	// packing is that of mr rows which also packs panels of B that it reads where they
	// lie, or nil.
	packing func(t *tiles)
	// edges are tiles of C's last columns, at most slim wide and t.cols in the
	// call. If masked, they read no further than that from B either.
	edges  []func(t *tiles)
	slim   int
	masked bool
	// panelsA and panelsB copy n rows to panels of mr and of nr columns, and
	// edge fewer columns to one panel. Distances are in bytes.
	panelsA, panelsB func(dst, src *float32, stride, n, panels, to int)
	edge             func(dst, src *float32, stride, n, width, to int)
	// transpose writes k columns, at least 8, of groups of eight rows, from bytes
	// apart, as rows, to bytes apart.
	transpose func(dst, src *float32, to, from, k, groups int)
	scratch   sync.Pool
}

const (
	size = 4 // bytes of an element

	short = 72 // rows of C up to which packing B does not pay
	flat  = 32 // length along k up to which a group of panels fits a first-level cache
	long  = 32 // length along k from which transposing few columns of C pays

	turned = 1024 // rows of C that are transposed at a time

	// together is the number of panels that are packed at a time: few enough for
	// a first-level cache to hold a line of each, and enough for each access to
	// a page to read a long part of a row.
	together = 8
)

// tall is the most rows of a block of A, which is then shorter along k.
func (g *blocked) tall() int { return max(g.mc, g.mc*g.kc/256) }

// blocks returns the rows of a block of A and its length along k. A product of
// few rows is one block high: each panel of B is then used once and the next one
// takes its place in the cache. A product that is slightly longer than a block is
// not cut. If A is streamed, since it is not packed and used by one panel of B alone,
// only the length of a call of a micro-kernel limits the rows.
func (g *blocked) blocks(m, k int, streamed bool) (rows, length int) {
	rows, length = g.mc, g.kc
	if streamed {
		rows = 8 * g.mc
	} else if m > g.mc && m <= g.tall() {
		rows, length = m, g.mc*g.kc/m&^7
	}
	if k <= length+length/4 {
		return rows, k
	}
	return rows, split(k, length, 8)
}

// split returns the length of the next of equal blocks of at most most, in
// multiples of grain, into which left is to be cut.
func split(left, most, grain int) int {
	n := (left + most - 1) / most
	return min(left, ((left+n-1)/n+grain-1)/grain*grain)
}

// tiles is a call of a micro-kernel: count tiles of C, one below or beside the other.
// Strides are in bytes.
type tiles struct {
	a      *float32
	rs, cs int // from row to row and from column to column of op(A)
	b      *float32
	bs     int // from row to row of op(B)
	c      *float32
	ldc    int
	k      int
	count  int
	bias   *float32 // nr elements to be added to each row, or nil
	// From what one tile needs to what the next one does.
	as, bt, ct, biast int
	relu              int      // 1: negative elements become 0
	cols              int      // columns of a tile at the edge
	to                *float32 // where a packing one writes the first panel, and the way to the next
	tot               int
	alpha             float32
	beta              float32 // 0: C is not read
	// Prefetch: each tile prefetches lines cache lines, stride bytes apart, from
	// next on, one every four steps along k; next advances by ahead bytes a tile.
	next                 uintptr
	lines, stride, ahead int
}

// scratch is the memory of one call.
type scratch struct {
	a, b []float32
	c    []float32 // the transpose of some rows of C
	raw  []float32 // the panels of B at hand where they lie, which the first tiles pack, or nil
	t    tiles
}

func (g *blocked) get() *scratch {
	if s, ok := g.scratch.Get().(*scratch); ok {
		return s
	}
	k := g.kc + g.kc/4
	a, b := ((g.mc+g.mr)*k+2*g.nr+15)&^15, k*g.nc
	c := g.few * turned
	x := cpu.HugePage(a + b + c)
	return &scratch{a: x[:a:a], b: x[a:][:b:b], c: x[a+b:]}
}

// side is a factor as vectors along k: the rows of op(A) or the columns of op(B).
// If along is set, the elements of a vector are contiguous.
type side struct {
	x     []float32
	ld    int
	along bool
}

// from returns the elements from number l of vector i on.
func (s side) from(i, l int) []float32 {
	if s.along {
		return s.x[i*s.ld+l:]
	}
	return s.x[l*s.ld+i:]
}

// crowded reports whether rows are multiples of so many bytes apart and share too few
// sets of a first-level cache.
func (s side) crowded(bytes int) bool { return s.ld*size%bytes == 0 }

// steps returns the distances in bytes from vector to vector and along k.
func (s side) steps() (int, int) {
	if s.along {
		return s.ld * size, size
	}
	return size, s.ld * size
}

// bring makes the next call with t prefetch the elements l to l+t.k of n vectors
// from i on, which need not exist.
func (s side) bring(t *tiles, i, n, l int) {
	vector, step := s.steps()
	t.next = address(s.x, (i*vector+l*step)/size)
	t.stride = s.ld * size
	each := (t.k + t.count - 1) / t.count // elements a tile
	if s.along {
		t.lines, t.ahead = n, min(64, each*size)
		return
	}
	t.lines, t.ahead = each, each*t.stride
	t.next += 60 // if a panel begins within a line, the panel before it has fetched that line
}

// bringPart makes the next call with t, one of calls of as many tiles, prefetch its part
// of the elements l to l+t.k of n vectors from i on. A tile brings a line of some rows.
func (s side) bringPart(t *tiles, i, n, l, call, calls int) {
	long, rows := n, t.k
	if s.along {
		long, rows = t.k, n
	}
	vector, step := s.steps()
	from := (i*vector + l*step) / size
	lines := (long*size + 63) / 64
	if (from|s.ld)*size%64 > 0 { // rows begin within a line
		lines++
	}
	lines += (t.count - lines%t.count) % t.count // so that each call is of the same rows
	parts := max(1, calls*t.count/lines)
	part, line := call*t.count/lines, call*t.count%lines
	if part >= parts {
		t.lines = 0
		return
	}
	t.lines, t.stride, t.ahead = (rows+parts-1)/parts, s.ld*size, 64
	t.next = address(s.x, from+part*t.lines*s.ld+line*16)
}

// product holds the arguments of Gemm.
type product struct {
	a, b    side
	m, n, k int
	c       []float32
	ldc     int
}

func (g *blocked) gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	s := g.get()
	defer g.scratch.Put(s)
	p := product{side{a, lda, !transA}, side{b, ldb, transB}, m, n, k, c, ldc}
	if beta == 0 {
		beta = 0 // replaces minus zero: the micro-kernel compares the bits
	}
	if transA && n <= g.few && m >= g.nr && k >= long && e.Bias == nil {
		g.transposed(s, &p, alpha, beta, e)
	} else {
		g.multiply(s, &p, alpha, beta, e)
	}
}

// transposed computes few columns of C as rows of Cᵀ = op(B)ᵀ·op(A)ᵀ, which fill
// vectors where those columns would fill a part of one. A must be stored transposed,
// so that such vectors lie in it.
func (g *blocked) transposed(s *scratch, p *product, alpha, beta float32, e Epilogue) {
	for i := 0; i < p.m; i += turned {
		rows, c := min(turned, p.m-i), p.c[i*p.ldc:]
		if beta != 0 {
			g.turn(s.c, c, turned, p.ldc, rows, p.n)
		}
		g.multiply(s, &product{p.b, side{p.a.from(i, 0), p.a.ld, false}, p.n, rows, p.k, s.c, turned}, alpha, beta, e)
		g.turn(c, s.c, p.ldc, turned, p.n, rows)
	}
}

// turn writes the transpose of rows × cols elements. Rows are from elements apart where
// they are read and to where they are written.
func (g *blocked) turn(dst, src []float32, to, from, rows, cols int) {
	if rows >= 8 && cols >= 8 {
		g.transpose(&dst[0], &src[0], to*size, from*size, cols, rows/8)
		rest := rows - 8 // the last eight, some of them once more
		g.transpose(&dst[rest], &src[rest*from], to*size, from*size, cols, 1)
		return
	}
	for i := range rows {
		for j, v := range src[i*from:][:cols] {
			dst[j*to+i] = v
		}
	}
}

// multiply computes a product as it stands.
func (g *blocked) multiply(s *scratch, p *product, alpha, beta float32, e Epilogue) {
	t, m, n, k := &s.t, p.m, p.n, p.k
	t.alpha = alpha
	high, length := g.blocks(m, k, n <= g.nr && !g.packs(p))
	for j := 0; j < n; {
		nc := split(n-j, g.nc, g.nr)
		t.beta = beta
		for l := 0; l < k; {
			t.k = min(length, k-l)
			last := Epilogue{}
			if l+t.k == k {
				last = e.from(j)
			}
			for i := 0; i < m; {
				rows := split(m-i, high, g.mr)
				g.block(s, p, window{i, rows, j, nc, l}, last)
				i += rows
			}
			l += t.k
			t.beta = 1
		}
		j += nc
	}
	*t = tiles{}
}

// packs reports whether blocks of A are packed.
func (g *blocked) packs(p *product) bool {
	if !p.a.along {
		return p.n > g.narrow
	}
	return p.n > g.wide && (g.wide == 0 || p.a.crowded(4<<10))
}

// packsB reports whether blocks of B are packed, but for an edge that is read whole.
// Rows that crowd a set of the first-level cache matter little to tiles that use
// them once, unless these are so low that they wait for a B that comes from afar.
func (g *blocked) packsB(p *product) bool {
	if p.b.along || p.m > short {
		return true
	}
	once := p.m <= g.slim && (2*p.m >= g.mr || p.n*p.k <= g.mc*g.kc)
	return !once && p.b.crowded(1<<10)
}

// window is the block at hand: rows of C from row i and nc columns from j on, and
// the sums from l on.
type window struct{ i, rows, j, nc, l int }

// block multiplies a block of A with one of B. The first in a column of blocks packs
// that of B.
func (g *blocked) block(s *scratch, p *product, w window, e Epilogue) {
	t, kc := &s.t, s.t.k
	top, packed := p.a.from(w.i, w.l), g.packs(p)
	t.rs, t.cs = p.a.steps()
	t.as = g.mr * t.rs
	if packed {
		g.packA(s.a, p.a, w.i, w.rows, w.l, kc)
		top, t.rs, t.cs, t.as = s.a, size, g.mr*size, g.mr*kc*size
	}
	direct := !g.packsB(p)
	for jj := 0; jj < w.nc; {
		panels := min(together, (w.nc-jj)/g.nr)
		width := panels * g.nr
		if panels == 0 { // the edge
			width = w.nc - jj
		}
		panel, bt := p.b.from(w.j+jj, w.l), g.nr*size
		t.bs = p.b.ld * size
		if !direct || panels == 0 && !g.masked {
			slot := jj / g.nr
			if w.rows == p.m {
				slot %= together
			}
			panel, bt, t.bs = s.b[slot*g.nr*kc:], g.nr*kc*size, g.nr*size
			switch {
			case w.i > 0:
			case g.packing != nil && panels > 0 && !p.b.along && g.height(w.rows, packed) == g.mr:
				s.raw = p.b.from(w.j+jj, w.l) // the first tiles pack it
			default:
				g.packB(panel, p.b, w.j+jj, width, w.l, kc)
			}
		}
		c := p.c[w.i*p.ldc+w.j+jj:]
		t.ldc = p.ldc * size
		switch last := e.from(jj); {
		case panels == 0:
			g.foresee(s, p, w, jj)
			for q := 0; q < width; q += g.slim {
				t.cols = min(g.slim, width-q)
				g.column(t, g.edges, w.rows, packed, top, panel[q:], c[q:], nil, 0, last.from(q))
			}
		case panels > 1 && kc <= flat || g.beside && kc > 4*flat && panels == together && !direct:
			g.row(s, p, w, jj, panels, bt, packed, top, panel, c, last)
		default:
			for q := range panels {
				g.foresee(s, p, w, jj+q*g.nr)
				raw := s.raw
				if raw != nil {
					raw = raw[q*g.nr:]
				}
				g.column(t, g.tiles, w.rows, packed, top, panel[q*bt/size:], c[q*g.nr:], raw, p.b.ld*size, last.from(q*g.nr))
			}
		}
		s.raw = nil
		jj += width
	}
}

// height returns the rows of the next tile of left rows. If A is not packed, the
// last two are about equally high: a low tile has too few sums under way to hide
// the latency of adding to them.
func (g *blocked) height(left int, packed bool) int {
	if left > g.mr && left < 2*g.mr && !packed {
		return (left + 1) / 2
	}
	return min(left, g.mr)
}

// column computes rows of C, tile below tile, with one panel of B. If raw is not nil, it
// is that panel where it lies, with rows rs bytes apart, which the first tile packs.
func (g *blocked) column(t *tiles, kernels []func(*tiles), rows int, packed bool, a, b, c, raw []float32, rs int, e Epilogue) {
	t.b, t.bt, t.ct, t.biast = &b[0], 0, g.mr*t.ldc, 0
	e.set(t)
	for row := 0; row < rows; {
		left := rows - row
		high := g.height(left, packed)
		t.a, t.c, t.count = &a[row*t.as/g.mr/size], &c[row*t.ldc/size], 1
		if raw != nil && row == 0 {
			lines, bs := t.lines, t.bs
			t.b, t.bs, t.to, t.lines = &raw[0], rs, &b[0], 0
			g.packing(t)
			t.b, t.bs, t.to, t.lines = &b[0], bs, nil, lines
			row += high
			continue
		}
		if high == g.mr {
			t.count = left / g.mr
			if left%g.mr > 0 && !packed {
				t.count = max(1, t.count-1)
			}
		}
		kernels[high-1](t)
		t.lines = 0
		row += high * t.count
	}
	t.bias, t.relu = nil, 0
}

// row computes the same rows of C with a group of panels of B, bt bytes apart, tile
// beside tile.
func (g *blocked) row(s *scratch, p *product, w window, jj, panels, bt int, packed bool, a, b, c []float32, e Epilogue) {
	t := &s.t
	as := t.as
	t.as, t.bt, t.ct, t.biast = 0, bt, g.nr*size, 0
	if e.Bias != nil {
		t.biast = g.nr * size
	}
	e.set(t)
	for row := 0; row < w.rows; {
		high := g.height(w.rows-row, packed)
		t.a, t.b, t.c, t.count = &a[row*as/g.mr/size], &b[0], &c[row*t.ldc/size], panels
		g.foreseeGroup(s, p, w, jj+panels*g.nr, row)
		if s.raw != nil && row == 0 {
			bs := t.bs
			t.b, t.bs, t.bt, t.to, t.tot = &s.raw[0], p.b.ld*size, g.nr*size, &b[0], bt
			g.packing(t)
			t.bs, t.bt, t.to = bs, bt, nil
		} else {
			g.tiles[high-1](t)
		}
		row += high
	}
	t.as, t.bias, t.relu, t.lines = as, nil, 0, 0
}

// foresee makes the tiles of a panel prefetch what is used next: during the first
// block of A, the panel of B that will be packed; later, the next packed panel or,
// if all panels fit the second-level cache, part of the next block of A.
func (g *blocked) foresee(s *scratch, p *product, w window, jj int) {
	t, next := &s.t, jj+g.nr
	t.count = max(1, w.rows/g.mr)
	share := (w.rows*g.nr + w.nc - 1) / w.nc
	switch {
	case w.i == 0 && next < w.nc:
		p.b.bring(t, w.j+next, g.nr, w.l)
	case w.i == 0:
		p.b.bring(t, w.j, g.nr, w.l+t.k)
	case w.nc > together*g.nr*2:
		if next >= w.nc {
			next = 0
		}
		t.next, t.stride = address(s.b, next*t.k), 64
		t.lines = (t.k*g.nr*size/64 + t.count - 1) / t.count
		t.ahead = t.lines * t.stride
	case w.i+w.rows < p.m:
		p.a.bring(t, w.i+w.rows+jj/g.nr*share, share, w.l)
	default:
		p.a.bring(t, jj/g.nr*share, share, w.l+t.k)
	}
}

// foreseeGroup makes the tiles of a row of them, one of many that use the same panels
// of B, prefetch a part of what comes after these panels: the group from column next
// on, to be packed or packed, the next block of A, or what the next step along k begins
// with.
func (g *blocked) foreseeGroup(s *scratch, p *product, w window, next, row int) {
	t, calls, call := &s.t, (w.rows+g.mr-1)/g.mr, row/g.mr
	below, l := w.i+w.rows, w.l+t.k
	switch {
	case t.k <= flat:
		t.lines = 0
	case next < w.nc && w.i > 0:
		t.lines, t.stride = (t.k*g.nr*size/64+calls-1)/calls, 64
		t.next, t.ahead = address(s.b, next*t.k+call*t.count*t.lines*64/size), t.lines*64
	case next < w.nc:
		p.b.bringPart(t, w.j+next, t.count*g.nr, w.l, call, calls)
	case below < p.m:
		p.a.bringPart(t, below, min(w.rows, p.m-below), w.l, call, calls)
	case l >= p.k:
		t.lines = 0
	case call%2 == 0:
		p.b.bringPart(t, w.j, t.count*g.nr, l, call/2, (calls+1)/2)
	default:
		p.a.bringPart(t, 0, w.rows, l, call/2, calls/2)
	}
}

// address returns where element n of x is, or would be, for a prefetch.
func address(x []float32, n int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(x))) + uintptr(n)*size // #nosec G103 G115 -- an address to prefetch, which may be any: it is never loaded from
}

// spread packs n rows of count columns of x to panels of width columns.
func (g *blocked) spread(copyPanels func(dst, src *float32, stride, n, panels, to int), width int, dst, x []float32, ld, count, n int) {
	to := n * width
	for full := count / width; full > 0; {
		some := min(full, together)
		copyPanels(&dst[0], &x[0], ld*size, n, some, to*size)
		dst, count, full = dst[some*to:], count-some*width, full-some
		if count > 0 {
			x = x[some*width:]
		}
	}
	if count > 0 {
		g.edge(&dst[0], &x[0], ld*size, n, count, width*size)
	}
}

// packA copies rows × kc elements of op(A), from row i and column l on, to
// panels of mr rows, column by column.
func (g *blocked) packA(dst []float32, a side, i, rows, l, kc int) {
	if !a.along {
		g.spread(g.panelsA, g.mr, dst, a.from(i, l), a.ld, rows, kc)
		return
	}
	for ; rows > 0; rows -= g.mr {
		panel := dst[:kc*g.mr+8]
		dst = dst[kc*g.mr:]
		// Eight rows at a time, so some too many. What they write is overwritten
		// by the rows before them, by the next columns and by the next panel.
		x, whole := a.from(i, l), 0
		if kc >= 8 && len(x) >= ((g.mr+7)&^7-1)*a.ld+kc {
			whole = kc
			for r := (g.mr - 1) &^ 7; r >= 0; r -= 8 {
				g.transpose(&panel[r], &x[r*a.ld], g.mr*size, a.ld*size, kc, 1)
			}
		}
		for r := range min(rows, g.mr) {
			for c, v := range x[r*a.ld:][whole:kc] {
				panel[(whole+c)*g.mr+r] = v
			}
		}
		i += g.mr
	}
}

// packB copies kc × count elements of op(B), from row l and column j on, to
// panels of nr columns; the last is padded with zeros.
func (g *blocked) packB(dst []float32, b side, j, count, l, kc int) {
	if !b.along {
		g.spread(g.panelsB, g.nr, dst, b.from(j, l), b.ld, count, kc)
		return
	}
	for ; count > 0; count -= g.nr {
		panel, x, width := dst[:kc*g.nr], b.from(j, l), min(count, g.nr)
		if width < g.nr {
			clear(panel)
		}
		whole := 0 // rows that are done eight at a time
		if groups := width / 8; groups > 0 && kc >= 8 {
			g.transpose(&panel[0], &x[0], g.nr*size, b.ld*size, kc, groups)
			whole = 8 * groups
		}
		for r := whole; r < width; r++ {
			for l, v := range x[r*b.ld:][:kc] {
				panel[l*g.nr+r] = v
			}
		}
		dst = dst[kc*g.nr:]
		j += g.nr
	}
}

// peak returns a row's Peak: loop(n) executes n times lanes fused multiply-adds.
func peak(loop func(n int), lanes int) func(Implementation) float64 {
	return func(Implementation) float64 {
		const n = 10_000 // some 20 µs
		loop(n)
		return 2 * n * float64(lanes)
	}
}
