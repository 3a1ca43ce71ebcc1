package sgemm

import (
	"sync"
	"unsafe"
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
	// transposed, or than wide, if it is not.
	narrow, wide int
	tiles        []func(t *tiles) // by rows, from 1 to mr
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
// not cut.
func (g *blocked) blocks(m, k int) (rows, length int) {
	rows, length = g.mc, g.kc
	if m > g.mc && m <= g.tall() {
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

// tiles is a call of a micro-kernel: count tiles of C, one below the other.
// Strides are in bytes.
type tiles struct {
	a      *float32
	rs, cs int // from row to row and from column to column of op(A)
	as     int // from the rows of one tile to those of the next
	b      *float32
	bs     int // from row to row of op(B)
	c      *float32
	ldc    int
	k      int
	count  int
	bias   *float32 // nr elements to be added to each row, or nil
	relu   int      // 1: negative elements become 0
	cols   int      // columns of a tile at the edge
	alpha  float32
	beta   float32 // 0: C is not read
	// Prefetch: each tile prefetches lines cache lines, stride bytes apart, from
	// next on, one every four steps along k; next advances by ahead bytes a tile.
	next                 uintptr
	lines, stride, ahead int
}

// scratch is the memory of one call.
type scratch struct {
	a, b []float32
	t    tiles
}

func (g *blocked) get() *scratch {
	if s, ok := g.scratch.Get().(*scratch); ok {
		return s
	}
	k := g.kc + g.kc/4
	return &scratch{a: aligned((g.mc+g.mr)*k + 2*g.nr), b: aligned(k * g.nc)}
}

// aligned returns n elements, the first of which begins a cache line.
func aligned(n int) []float32 {
	x := make([]float32, n+15)
	off := int(-uintptr(unsafe.Pointer(&x[0])) & 63 / 4) // #nosec G103 -- an address taken modulo a line; nothing is made of it
	return x[off:][:n:n]
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
	t.next = uintptr(unsafe.Pointer(unsafe.SliceData(s.x))) + uintptr(i*vector+l*step) // #nosec G103 -- an address to prefetch, which may be any: it is never loaded from
	t.stride = s.ld * size
	each := (t.k + t.count - 1) / t.count // elements a tile
	if s.along {
		t.lines, t.ahead = n, min(64, each*size)
		return
	}
	t.lines, t.ahead = each, each*t.stride
	t.next += 60 // if a panel begins within a line, the panel before it has fetched that line
}

// product holds the arguments of Gemm.
type product struct {
	a, b side
	m, n int
	c    []float32
	ldc  int
}

func (g *blocked) gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	s := g.get()
	defer g.scratch.Put(s)
	p := product{side{a, lda, !transA}, side{b, ldb, transB}, m, n, c, ldc}
	t := &s.t
	t.alpha = alpha
	if beta == 0 {
		beta = 0 // replaces minus zero: the micro-kernel compares the bits
	}
	high, length := g.blocks(m, k)
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
				g.block(s, &p, i, rows, j, nc, l, last)
				i += rows
			}
			l += t.k
			t.beta = 1
		}
		j += nc
	}
	*t = tiles{}
}

// block multiplies a block of A, rows from row i and column l on, with one of B,
// nc columns from j on. The first in a column of blocks packs that of B.
func (g *blocked) block(s *scratch, p *product, i, rows, j, nc, l int, e Epilogue) {
	t, kc := &s.t, s.t.k
	top, packed := p.a.from(i, l), p.n > g.wide || p.n > g.narrow && !p.a.along
	t.rs, t.cs = p.a.steps()
	t.as = g.mr * t.rs
	if packed {
		g.packA(s.a, p.a, i, rows, l, kc)
		top, t.rs, t.cs, t.as = s.a, size, g.mr*size, g.mr*kc*size
	}
	// Rows that are multiples of 1 KiB apart share too few sets of a first-level cache.
	direct := p.m <= short && !p.b.along && p.b.ld*size%1024 != 0
	for jj := 0; jj < nc; jj += g.nr {
		width := min(g.nr, nc-jj)
		var panel []float32
		if direct && (width == g.nr || g.masked) {
			panel, t.bs = p.b.from(j+jj, l), p.b.ld*size
		} else {
			slot := jj / g.nr
			if rows == p.m {
				slot %= together
			}
			panel, t.bs = s.b[slot*g.nr*kc:], g.nr*size
			if i == 0 && (direct || slot%together == 0) {
				g.packB(panel, p.b, j+jj, min(nc-jj, together*g.nr), l, kc)
			}
		}
		g.foresee(s, p, i, rows, j, jj, nc, l)
		to := p.c[i*p.ldc+j+jj:]
		if width == g.nr {
			g.column(t, g.tiles, rows, packed, top, panel, to, p.ldc, e.from(jj))
			continue
		}
		for w := 0; w < width; w += g.slim {
			t.cols = min(g.slim, width-w)
			g.column(t, g.edges, rows, packed, top, panel[w:], to[w:], p.ldc, e.from(jj+w))
		}
	}
}

// column computes rows of C with micro-kernels of the highest tiles that fit. If A
// is not packed, the last two are about equally high: a low tile has too few sums
// under way to hide the latency of adding to them.
func (g *blocked) column(t *tiles, kernels []func(*tiles), rows int, packed bool, a, b, c []float32, ldc int, e Epilogue) {
	t.b, t.ldc = &b[0], ldc*size
	e.set(t)
	full, left := rows/g.mr, rows%g.mr
	if left > 0 && full > 0 && !packed {
		full, left = full-1, left+g.mr
	}
	if full > 0 {
		t.a, t.c, t.count = &a[0], &c[0], full
		kernels[g.mr-1](t)
	}
	for t.lines = 0; left > 0; {
		high := left
		if left > g.mr {
			high = (left + 1) / 2
		}
		row := rows - left
		t.a, t.c, t.count = &a[row*t.as/g.mr/size], &c[row*ldc], 1
		kernels[high-1](t)
		left -= high
	}
	t.bias, t.relu = nil, 0
}

// foresee makes the tiles of a panel prefetch what is used next: during the first
// block of A, the panel of B that will be packed; later, the next packed panel or,
// if all panels fit the second-level cache, part of the next block of A.
func (g *blocked) foresee(s *scratch, p *product, i, rows, j, jj, nc, l int) {
	t, next := &s.t, jj+g.nr
	t.count = max(1, rows/g.mr)
	share := (rows*g.nr + nc - 1) / nc
	switch {
	case i == 0 && next < nc:
		p.b.bring(t, j+next, g.nr, l)
	case i == 0:
		p.b.bring(t, j, g.nr, l+t.k)
	case nc > together*g.nr*2:
		if next >= nc {
			next = 0
		}
		t.next, t.stride = uintptr(unsafe.Pointer(&s.b[next*t.k])), 64 // #nosec G103 -- an address to prefetch, never loaded from
		t.lines = (t.k*g.nr*size/64 + t.count - 1) / t.count
		t.ahead = t.lines * t.stride
	case i+rows < p.m:
		p.a.bring(t, i+rows+jj/g.nr*share, share, l)
	default:
		p.a.bring(t, jj/g.nr*share, share, l+t.k)
	}
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
