package sgemm

import (
	"sync"
	"unsafe"

	"github.com/klauspost/cpuid/v2"
)

// blocked is the product of Goto and van de Geijn (ACM TOMS 34(3), 2008) as
// BLIS arranges it, around the micro-kernel of an instruction set. From the
// outermost loop in: columns of C that a packed block of B covers, steps along
// k, blocks of A that stay in the second-level cache, panels of B that stay in
// the first, and tiles of C, which stay in registers.
type blocked struct {
	mr, nr int              // rows and columns of a tile
	tiles  []func(t *tiles) // by rows, from 1 to mr
	// rows and panel copy n rows of nr and of mr elements, stride bytes
	// apart, one after the other.
	rows, panel func(dst, src *float32, stride, n int)
	// transpose writes 8·n columns of eight rows, from bytes apart, as rows,
	// to bytes apart.
	transpose func(dst, src *float32, to, from, n int)
	scratch   sync.Pool
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
	alpha  float32
	beta   float32 // 0: C is not read
}

// Sizes of blocks, for the caches of the last ten years' cores: a panel of B of
// goodKC × nr elements takes half of a first-level cache of 32 KiB. A product
// that is only a little longer is not cut.
const (
	goodKC = 256
	maxKC  = 320
	maxNC  = 2048
	maxMC  = 192
)

// mc is the number of rows of A whose block takes half of the second-level
// cache, at most maxMC, a multiple of all tiles' rows.
var mc = func() int {
	l2 := cpuid.CPU.Cache.L2
	if l2 <= 0 {
		l2 = 512 << 10
	}
	return max(48, min(maxMC, l2/2/(size*goodKC)/48*48))
}()

// scratch is the memory of one call.
type scratch struct {
	a, b, c []float32
	t       tiles
}

// Columns up to which A is not packed: what packing would save is then used
// too rarely. Rows up to which B is not.
const (
	narrow = 64
	short  = 72
)

func (g *blocked) get() *scratch {
	if s, ok := g.scratch.Get().(*scratch); ok {
		return s
	}
	return &scratch{a: aligned(maxMC*maxKC + 8), b: aligned(maxKC * maxNC), c: aligned(maxMC * g.nr)}
}

// aligned returns n elements that begin with a cache line.
func aligned(n int) []float32 {
	x := make([]float32, n+15)
	off := int(-uintptr(unsafe.Pointer(&x[0])) & 63 / 4)
	return x[off:][:n:n]
}

const size = 4 // bytes of an element

// split returns the length of the next of equal blocks of at most most, in
// multiples of grain, into which left is to be cut.
func split(left, most, grain int) int {
	n := (left + most - 1) / most
	return min(left, ((left+n-1)/n+grain-1)/grain*grain)
}

func (g *blocked) gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e Epilogue) {
	s := g.get()
	defer g.scratch.Put(s)
	t := &s.t
	t.alpha = alpha
	if beta == 0 {
		beta = 0 // minus zero, of which the micro-kernel sees the bits
	}
	for j := 0; j < n; {
		nc := split(n-j, maxNC, g.nr)
		t.beta = beta
		for l := 0; l < k; {
			kc := k
			if k > maxKC {
				kc = split(k-l, goodKC, 8)
			}
			last := Epilogue{}
			if l+kc == k {
				last = e.from(j)
			}
			strided := !transB && m <= short
			whole := nc // columns that need not be packed
			if strided {
				whole = nc / g.nr * g.nr
				g.packB(s.b, transB, b, ldb, j+whole, nc-whole, l, kc)
			} else {
				g.packB(s.b, transB, b, ldb, j, nc, l, kc)
				whole = 0
			}
			for i := 0; i < m; {
				rows := split(m-i, mc, g.mr)
				g.block(s, transA, rows, nc, kc, a, lda, i, l, b, ldb, j, whole, c[i*ldc+j:], ldc, n > narrow, last)
				i += rows
			}
			l += kc
			t.beta = 1
		}
		j += nc
	}
	*t = tiles{}
}

// block multiplies a block of A of rows × kc, from row i and column l of op(A)
// on, with a block of B of kc × nc. Its first columns, whole of them, lie in b
// from column j on and the rest packed.
func (g *blocked) block(s *scratch, transA bool, rows, nc, kc int, a []float32, lda, i, l int, b []float32, ldb, j, whole int, c []float32, ldc int, packed bool, e Epilogue) {
	t, full := &s.t, rows/g.mr
	t.k = kc
	switch {
	case packed:
		t.rs, t.cs, t.as = size, g.mr*size, g.mr*kc*size
		g.packA(s.a, transA, a, lda, i, rows, l, kc)
		t.a = &s.a[0]
	case transA:
		t.rs, t.cs, t.as = size, lda*size, g.mr*size
		t.a = &a[l*lda+i]
	default:
		t.rs, t.cs, t.as = lda*size, size, g.mr*lda*size
		t.a = &a[i*lda+l]
	}
	top, beta := t.a, t.beta
	for jj := 0; jj < nc; jj += g.nr {
		if jj < whole {
			t.b, t.bs = &b[l*ldb+j+jj], ldb*size
		} else {
			t.b, t.bs = &s.b[(jj-whole)*kc], g.nr*size
		}
		width := min(g.nr, nc-jj)
		to, stride := c[jj:], ldc
		last := e.from(jj)
		if width < g.nr { // a tile beside C, of which what belongs there is copied
			to, stride, t.beta = s.c, g.nr, 0
		} else {
			last.set(t)
		}
		t.ldc = stride * size
		if full > 0 {
			t.a, t.c, t.count = top, &to[0], full
			g.tiles[g.mr-1](t)
		}
		if left := rows - full*g.mr; left > 0 {
			t.a = (*float32)(unsafe.Add(unsafe.Pointer(top), full*t.as))
			t.c, t.count = &to[full*g.mr*stride], 1
			g.tiles[left-1](t)
		}
		if width < g.nr {
			t.beta = beta
			merge(c[jj:], ldc, s.c, g.nr, rows, width, beta)
			last.apply(rows, width, c[jj:], ldc)
		}
		t.bias, t.relu = nil, 0
	}
}

// merge sets a window of C to sums + beta·C.
func merge(c []float32, ldc int, sums []float32, ld, rows, width int, beta float32) {
	for r := range rows {
		to, from := c[r*ldc:][:width], sums[r*ld:][:width]
		if beta == 0 {
			copy(to, from)
			continue
		}
		for i, v := range from {
			to[i] = v + beta*to[i]
		}
	}
}

// packA copies rows × kc elements of op(A), from row i and column l on, to
// panels of mr rows, column by column.
func (g *blocked) packA(dst []float32, trans bool, a []float32, lda, i, rows, l, kc int) {
	for ; rows > 0; rows -= g.mr {
		panel, height := dst[:kc*g.mr+8], min(rows, g.mr)
		dst = dst[kc*g.mr:]
		switch {
		case trans && height == g.mr:
			g.panel(&panel[0], &a[l*lda+i], lda*size, kc)
		case trans:
			for q := range kc {
				copy(panel[q*g.mr:][:height], a[(l+q)*lda+i:])
			}
		default:
			q := 0
			if last := i + (g.mr+7)&^7 - 1; len(a) >= last*lda+l+kc {
				// Eight rows at a time, and so some too many: what they leave
				// behind is overwritten by the rows before them, by the next
				// columns and by the next panel.
				q = kc &^ 7
				for r := (g.mr - 1) &^ 7; r >= 0 && q > 0; r -= 8 {
					g.transpose(&panel[r], &a[(i+r)*lda+l], g.mr*size, lda*size, q/8)
				}
			}
			for r := range height {
				for c, v := range a[(i+r)*lda+l:][q:kc] {
					panel[(q+c)*g.mr+r] = v
				}
			}
		}
		i += g.mr
	}
}

// packB copies kc × nc elements of op(B), from row l and column j on, to
// panels of nr columns, the last filled up with zeros.
func (g *blocked) packB(dst []float32, trans bool, b []float32, ldb, j, nc, l, kc int) {
	for ; nc > 0; nc -= g.nr {
		panel := dst[:kc*g.nr]
		dst = dst[kc*g.nr:]
		width := min(nc, g.nr)
		switch {
		case !trans && width == g.nr:
			g.rows(&panel[0], &b[l*ldb+j], ldb*size, kc)
		case !trans:
			for q := range kc {
				row := panel[q*g.nr:][:g.nr]
				copy(row[:width], b[(l+q)*ldb+j:])
				clear(row[width:])
			}
		default:
			g.transposed(panel, b[j*ldb+l:], ldb, width, kc)
		}
		j += g.nr
	}
}

// transposed packs one panel of width columns that are rows of b.
func (g *blocked) transposed(panel, b []float32, ldb, width, kc int) {
	if width < g.nr {
		clear(panel)
	}
	for r := 0; r < width; r += 8 {
		q := 0
		if width-r >= 8 && kc >= 8 {
			g.transpose(&panel[r], &b[r*ldb], g.nr*size, ldb*size, kc/8)
			q = kc &^ 7
		}
		for rr := r; rr < min(r+8, width); rr++ {
			for l, v := range b[rr*ldb+q:][:kc-q] {
				panel[(q+l)*g.nr+rr] = v
			}
		}
	}
}
