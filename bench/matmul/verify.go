package matmul

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/results"
)

// Three checks look at the answers of a processor.
//
// Before each launch one element of every 16 rows, which the kernel cannot know, is
// poisoned with NaN; after it no NaN may be left. This finds skipped work.
//
// A sample of these elements is recomputed in float64. The host does that in Check,
// since it is part of the power that is measured while it works. Successive products
// have different matrices B, so that this finds old answers, too; a B that is written
// anew at a moment that the seed draws finds the answers of a device that kept one
// for each.
//
// Freivalds' check of the last product compares C·r with A·(Bᵀ·r) for a random r of
// ±1. By Hoeffding's inequality a difference is below 8 times the root of the sum of
// the squared errors of its row, except once in 10¹³; their mean square over the rows
// is that of the errors of all elements.

// beyond is how many times the tolerance an error may be.
const beyond = 8

// recomputed limits the work of the host: elements of the sample × k.
const recomputed = 1 << 23

// verification is what was found so far.
type verification struct {
	looks []look // that were read and not collected
	data  []byte // what they took

	checked, poisoned int      // elements that were looked at, and those of them that are NaN
	drawn             uint64   // elements since the sample was last recomputed
	sample            []sample // of them

	compared, wrong int     // elements of samples
	worst           float64 // error ÷ bound of those that are right
	first           string  // wrong element

	products, different int    // that Freivalds' check looked at, and found wrong
	residual            string // of the last one that is right, or the first that is not
}

// sample is an element of C.
type sample struct {
	b           uint64 // the generator of B
	row, column int
	value       float64
}

// look is where the elements are that a launch took.
type look struct {
	p      *panel
	seed   uint32
	b      uint64 // the generator of B
	ignore bool   // nothing was computed since the last look
}

// exchange takes the poisoned elements of a panel to the i-th part of taken and
// poisons those of the next launch.
func (w *product) exchange(p *panel, i int) (look, error) {
	at := look{p, p.seed, p.b, !p.pending}
	p.seed = uint32(bench.Hash64(stream(w.info.Seed, 'p'), w.launch)) // #nosec G115 -- half of it
	p.pending = false
	return at, w.kernels.Exchange(p.c, w.taken, i*gemm.Stripes(w.rows), p.rows, w.n, at.seed, p.seed)
}

// read copies what was taken, for collect.
func (w *product) read(looks []look) error {
	w.looks, w.data = looks, make([]byte, len(looks)*gemm.Stripes(w.rows)*w.precision.Out())
	return w.gemm.Read(w.data, w.taken)
}

// collect looks at what was read last.
func (w *product) collect() {
	part := gemm.Stripes(w.rows) * w.precision.Out()
	most := max(64, recomputed/w.k)
	for i, at := range w.looks {
		if at.ignore {
			continue
		}
		for s := range gemm.Stripes(at.p.rows) {
			v := w.precision.Sum(w.data[i*part+s*w.precision.Out():])
			w.checked++
			if math.IsNaN(v) {
				w.poisoned++
			}
			// Every element is in the sample with the same probability.
			slot := len(w.sample)
			if w.drawn++; slot == most {
				slot = int(min(bench.Hash64(stream(w.info.Seed, 's'), w.drawn)%w.drawn, uint64(most))) // #nosec G115 -- at most most
			}
			if slot == most {
				continue
			}
			row, column := gemm.Place(at.seed, s, at.p.rows, w.n)
			e := sample{at.b, at.p.top + row, column, v}
			if slot == len(w.sample) {
				w.sample = append(w.sample, e)
			} else {
				w.sample[slot] = e
			}
		}
	}
	w.looks = nil
}

// Check finishes the product in progress and reports on all so far. Without any
// product it is not OK, nor after an error of the processor, which it names.
func (w *product) Check() []results.Check {
	err := w.finish()
	checks := []results.Check{
		{
			Name: "overwritten", OK: w.poisoned == 0,
			Detail: fmt.Sprintf("%d of %d poisoned elements, one in %d rows of each product, were overwritten", w.checked-w.poisoned, w.checked, gemm.Stripe),
		}, {
			Name: "values", OK: w.wrong == 0,
			Detail: fmt.Sprintf("%d elements, a sample of those, agree with float64; largest error %.2g of its bound", w.compared, w.worst),
		}, {
			Name: "product", OK: w.different == 0,
			Detail: fmt.Sprintf("%d of %d whole products agree with A·(Bᵀ·r); the last: %s", w.products, w.products, w.residual),
		},
	}
	if w.wrong > 0 {
		checks[1].Detail = fmt.Sprintf("%d of %d elements, a sample of those, are wrong; the first: %s", w.wrong, w.compared, w.first)
	}
	if w.different > 0 {
		checks[2].Detail = fmt.Sprintf("%d of %d whole products differ from A·(Bᵀ·r); the first: %s", w.different, w.products, w.residual)
	}
	for i := range checks {
		checks[i].Use = w.info.Use
		if err != nil {
			checks[i].OK, checks[i].Detail = false, fmt.Sprintf("%s: %v", w.info.Device, err)
		} else if w.products == 0 {
			checks[i].OK, checks[i].Detail = false, "no product was computed"
		}
	}
	return checks
}

// finish looks at what was not looked at yet.
func (w *product) finish() error {
	if w.gemm == nil {
		return errors.New("nothing is prepared")
	}
	pending := false
	for i := range w.panels {
		pending = pending || w.panels[i].pending
	}
	if !pending {
		return w.gemm.Sync()
	}
	w.collect()
	one := func(p *panel) error { // what a panel has is taken
		at, err := w.exchange(p, 0)
		if err == nil {
			err = w.read([]look{at})
		}
		w.collect()
		return err
	}
	for w.launch%uint64(len(w.panels)) != 0 {
		if err := errors.Join(one(w.next()), w.multiply()); err != nil {
			return err
		}
	}
	if err := w.freivalds(); err != nil {
		return err
	}
	for i := range w.panels {
		if err := one(&w.panels[i]); err != nil {
			return err
		}
	}
	for _, e := range w.sample {
		w.compare(e)
	}
	w.sample, w.drawn = w.sample[:0], 0
	return nil
}

// compare recomputes an element.
func (w *product) compare(e sample) {
	sa, sb := stream(w.info.Seed, 'a'), e.b
	want := 0.0
	for l := range w.n {
		want += w.precision.Element(sa, uint64(e.row*w.n+l)) * w.precision.Element(sb, uint64(e.column*w.n+l)) // #nosec G115 -- indices
	}
	bound := beyond * tolerance(w.precision, w.n)
	w.compared++
	if off := math.Abs(e.value-want) / bound; off <= 1 {
		w.worst = max(w.worst, off)
		return
	}
	w.wrong++
	if w.first == "" {
		w.first = fmt.Sprintf("C[%d,%d] is %v, want %v ± %.2g", e.row, e.column, e.value, want, bound)
	}
}

// freivalds checks the whole product that the panels hold.
func (w *product) freivalds() error {
	last := w.launch - 1
	state, r := bench.Hash64(stream(w.info.Seed, 'r'), last), make([]float64, w.n)
	for j := range r {
		r[j] = 1 - 2*float64(bench.Hash64(state, uint64(j/64))>>(j%64)&1) // #nosec G115 -- an index
	}
	residuals := w.onHost
	if w.kernels.Doubles() {
		residuals = w.onDevice
	}
	d, err := residuals(r, w.factor(last))
	if err != nil {
		return err
	}
	squares, largest := 0.0, 0.0
	for _, v := range d {
		squares += v * v
		largest = max(largest, math.Abs(v)) // NaN if one is
	}
	single := beyond * tolerance(w.precision, w.n) * math.Sqrt(float64(w.n))
	all, most := math.Sqrt(squares/float64(w.n)/float64(len(d))), tolerance(w.precision, w.n)
	w.products++
	right := all <= most && largest <= single
	if w.different == 0 {
		w.residual = fmt.Sprintf("errors of %.2g (root mean square; %.2g is allowed), at most %.2g in a row (an error of one element by more than %.2g is found)", all, most, largest, single)
	}
	if !right {
		w.different++
	}
	return nil
}

// onDevice returns A·(Bᵀ·r) - C·r.
func (w *product) onDevice(r []float64, factor int) ([]float64, error) {
	words := make([]byte, 4*len(r))
	for j, v := range r {
		gemm.FP32.Put(words[4*j:], v)
	}
	if err := errors.Join(w.gemm.Write(w.vectors.r, words), w.kernels.Columns(w.vectors.y, w.b[factor], w.vectors.r, w.n, w.k)); err != nil {
		return nil, err
	}
	d := make([]float64, 0, w.n)
	for i := range w.panels {
		p := &w.panels[i]
		data := make([]byte, 8*p.rows)
		if err := errors.Join(
			w.kernels.Residuals(w.vectors.d, p.a, p.c, w.vectors.r, w.vectors.y, p.rows, w.n, w.k),
			w.gemm.Read(data, w.vectors.d)); err != nil {
			return nil, err
		}
		for row := range p.rows {
			d = append(d, gemm.FP64.At(data[8*row:]))
		}
	}
	return d, nil
}

// vectors are those of Freivalds' check.
type vectors struct{ r, y, d device.Buffer }

func (v *vectors) allocate(w *product) error {
	if !w.kernels.Doubles() {
		return nil
	}
	var errs [3]error
	v.r, errs[0] = w.alloc(4 * w.n)
	v.y, errs[1] = w.alloc(8 * w.k)
	v.d, errs[2] = w.alloc(8 * w.rows)
	return errors.Join(errs[:]...)
}

// onHost is [product.onDevice] for a device without float64. It makes A and B
// again.
func (w *product) onHost(r []float64, factor int) ([]float64, error) {
	sa, sb := stream(w.info.Seed, 'a'), w.streams[factor]
	y := make([]float64, w.n)
	var mu sync.Mutex
	spread(w.n, func(from, to int) {
		part := make([]float64, w.n)
		for j := from; j < to; j++ {
			for l := range part {
				part[l] += r[j] * w.precision.Element(sb, uint64(j*w.n+l)) // #nosec G115 -- an index
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for l, v := range part {
			y[l] += v
		}
	})
	d := make([]float64, w.n)
	for i := range w.panels {
		p := &w.panels[i]
		data := make([]byte, p.rows*w.n*w.precision.Out())
		if err := w.gemm.Read(data, p.c); err != nil {
			return nil, err
		}
		spread(p.rows, func(from, to int) {
			for row := from; row < to; row++ {
				sum := 0.0
				for l, v := range y {
					sum += w.precision.Element(sa, uint64((p.top+row)*w.n+l)) * v // #nosec G115 -- an index
				}
				for j, v := range r {
					sum -= w.precision.Sum(data[(row*w.n+j)*w.precision.Out():]) * v
				}
				d[p.top+row] = sum
			}
		})
	}
	return d, nil
}

// spread calls f concurrently for parts of n items and waits for all calls.
func spread(n int, f func(from, to int)) {
	var wg sync.WaitGroup
	parts := min(n, runtime.GOMAXPROCS(0))
	for i := range parts {
		wg.Go(func() { f(i*n/parts, (i+1)*n/parts) })
	}
	wg.Wait()
}
