// Package matmul is the workload of dense arithmetic: the product of two n×n
// matrices that do not fit the caches, repeated. It is the yardstick for what a
// machine computes per joule if only the kernel limits it: operations per second
// and per joule of the same window, as in the Green500, whose HPL is dominated by
// the same product in fp64.
//
// On the CPU it is in fp32. C is cut into blocks that threads take from a queue. A
// block takes several calls of the kernel along k, each counted when it is done: a
// few milliseconds of work, so that the counter is fine-grained and Run ends soon
// after its context, even in plain Go.
//
// On a processor it is in one of the precisions of kernels/gemm, each a use of its
// own. A launch multiplies the whole of A, or a panel of its rows where that takes
// long; it is counted when the processor has ended it.
//
// Answers are checked. In every block, and in every 16 rows of a launch, one element,
// which the kernel cannot know, is poisoned with NaN before and recomputed in float64
// after, on a processor a sample of them. Each pass over C scales the product by
// another factor, or multiplies by another B. So skipped work and answers from an
// earlier pass are both detected. The last product of a processor is checked as a
// whole, too.
//
// This package neither times nor multiplies: the harness, kernels/sgemm and
// kernels/gemm do.
package matmul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/results"
)

const (
	defaultN = 4096  // three matrices of 64 MiB
	maxN     = 65536 // three matrices of 16 GiB
)

type gemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

type workload struct {
	info  bench.Info
	n, ld int
	block sgemm.Block
	gemm  gemmFunc

	a, b, c []float32
	place   uint64        // state that chooses the element of a block to check
	queue   atomic.Uint64 // blocks handed out, over all passes
	busy    []atomic.Bool // blocks of C that a worker holds
	workers []*worker     // nil unless prepared
}

// New returns the workload for cfg. Its one parameter is n, the order of the
// matrices, 1 to 65536, by default 4096 on the CPU; they must fit the memory that
// is available. On a processor it is that of [In] for fp32. Errors wrap
// [bench.ErrUsage].
func New(cfg bench.Config) (bench.Workload, error) {
	if cfg.Device != nil && cfg.Device.Info().Processor() {
		return In(gemm.FP32)(cfg)
	}
	w, err := configure(cfg)
	if err != nil {
		return nil, fmt.Errorf("matmul: %w: %w", bench.ErrUsage, err)
	}
	return w, nil
}

func configure(cfg bench.Config) (*workload, error) {
	on, err := cpu.Of(cfg.Device)
	if err != nil {
		return nil, err
	}
	row, err := sgemm.Table.Pick(on.Info(), cfg.Impl)
	if err != nil {
		return nil, err
	}
	n, err := order(cfg.Params, defaultN)
	if err != nil {
		return nil, err
	}
	w := &workload{
		n:     n,
		ld:    stride(n),
		block: sgemm.Block{M: min(row.Impl.Block.M, n), N: min(row.Impl.Block.N, n), K: row.Impl.Block.K},
		gemm:  row.Impl.Gemm,
	}
	need := 3 * int64(n) * int64(w.ld) * 4
	if have, ok := bench.MemoryAvailable("/"); ok && need > have {
		return nil, fmt.Errorf("three matrices of n=%d take %s and %s are available: use a smaller n", n, bench.Size(need), bench.Size(have))
	}
	for w.blocks() < on.Threads && max(w.block.M, w.block.N) > 16 {
		if w.block.M >= w.block.N {
			w.block.M = (w.block.M + 1) / 2
		} else {
			w.block.N = (w.block.N + 1) / 2
		}
	}
	if most := w.blocks(); most < on.Threads {
		return nil, fmt.Errorf("n=%d gives work to %d threads, not %d: use a larger n or fewer threads", n, most, on.Threads)
	}
	w.info = bench.Info{
		Name: "matmul", Use: "compute", Device: cpu.ID, Impl: row.Name,
		Unit: results.FLOP, FlopPerCount: 1, Formula: "2·m·n·k",
		Threads: on.Threads, Seed: cfg.Seed,
		Params: map[string]string{"n": strconv.Itoa(n)},
	}
	return w, nil
}

// order returns the parameter n, the only one.
func order(params map[string]string, n int) (int, error) {
	for key, value := range params {
		if key != "n" {
			return 0, fmt.Errorf("unknown option %q: the only one is n", key)
		}
		var err error
		if n, err = strconv.Atoi(value); err != nil || n < 1 || n > maxN {
			return 0, fmt.Errorf("n is %q: use a whole number from 1 to %d", value, maxN)
		}
	}
	return n, nil
}

// stride returns the distance between rows, in elements: whole cache lines of 64
// bytes and one more, since rows a power of two apart share few sets of every
// cache.
func stride(n int) int { return (n+15)/16*16 + 16 }

func (w *workload) rows() int    { return (w.n + w.block.M - 1) / w.block.M }
func (w *workload) columns() int { return (w.n + w.block.N - 1) / w.block.N }
func (w *workload) blocks() int  { return w.rows() * w.columns() }

func (w *workload) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare fills the matrices and checks the kernel on the last corner of C, with a
// k so short that reduced precision is detected.
func (w *workload) Prepare(ctx context.Context) error {
	size := w.n * w.ld
	x := cpu.Floats(size, size, size)
	w.a, w.b, w.c = x[0], x[1], x[2]
	w.busy = make([]atomic.Bool, w.blocks())
	w.queue.Store(0)
	w.place = stream(w.info.Seed, 'p')
	w.workers = make([]*worker, w.info.Threads)
	each(w.workers, func(id int) {
		w.workers[id] = new(worker)
		sa, sb := stream(w.info.Seed, 'a'), stream(w.info.Seed, 'b')
		for r := id; r < w.n && ctx.Err() == nil; r += len(w.workers) {
			fill(w.a[r*w.ld:][:w.n], sa, r*w.n)
			fill(w.b[r*w.ld:][:w.n], sb, r*w.n)
			for j := range w.n {
				w.c[r*w.ld+j] = poison // touches the pages, too
			}
		}
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("matmul: fill three matrices of n=%d: %w", w.n, err)
	}
	m, n, k := min(w.n, 67), min(w.n, 65), min(w.n, 130)
	i, j, l := w.n-m, w.n-n, w.n-k
	w.gemm(false, false, m, n, k, 1, w.a[i*w.ld+l:], w.ld, w.b[l*w.ld+j:], w.ld, 0, w.c[i*w.ld+j:], w.ld)
	for r := i; r < w.n; r++ {
		for c := j; c < w.n; c++ {
			want, bound := w.reference(r, c, l, w.n, 1)
			if got := float64(w.c[r*w.ld+c]); !(math.Abs(got-want) <= bound) {
				return fmt.Errorf("matmul: sgemm %s is wrong on this machine: C[%d,%d] over the last %d of k is %v, want %v ± %v: use another implementation",
					w.info.Impl, r, c, k, got, want, bound)
			}
		}
	}
	return nil
}

// Run computes until ctx ends. The next Run, or Check, finishes the blocks in
// progress.
func (w *workload) Run(ctx context.Context, done *bench.Counter) error {
	if w.workers == nil {
		return errors.New("matmul: run: nothing is prepared: call Prepare first")
	}
	each(w.workers, func(id int) {
		for ctx.Err() == nil {
			done.Add(w.step(w.workers[id]))
		}
	})
	return nil
}

// Check finishes the blocks that Run left, so that all counted work is checked,
// and reports on all blocks so far. Without any block it is not OK.
func (w *workload) Check() []results.Check {
	each(w.workers, func(id int) {
		for w.workers[id].l > 0 {
			w.step(w.workers[id])
		}
	})
	var all worker
	for _, k := range w.workers {
		all.checked += k.checked
		all.poisoned += k.poisoned
		all.wrong += k.wrong
		all.worst = max(all.worst, k.worst)
		if all.first == "" {
			all.first = k.first
		}
	}
	overwritten := results.Check{
		Use: w.info.Use, Name: "overwritten", OK: all.checked > 0 && all.poisoned == 0,
		Detail: fmt.Sprintf("%d of %d poisoned elements, one a block, were overwritten", all.checked-all.poisoned, all.checked),
	}
	values := results.Check{
		Use: w.info.Use, Name: "values", OK: all.checked > 0 && all.wrong == 0,
		Detail: fmt.Sprintf("%d elements, one a block, agree with float64; largest error %.2g of its bound", all.checked, all.worst),
	}
	if all.wrong > 0 {
		values.Detail = fmt.Sprintf("%d of %d elements, one a block, are wrong; the first: %s", all.wrong, all.checked, all.first)
	}
	return []results.Check{overwritten, values}
}

func (w *workload) Close() error {
	w.a, w.b, w.c, w.busy, w.workers = nil, nil, nil, nil, nil
	return nil
}

// worker is the state of one computing goroutine and its results. It outlives a
// Run, as its unfinished block does.
type worker struct {
	block      int // of C, row by row
	i, j, m, n int // its window
	l          int // progress along k; 0 between blocks
	alpha      float32
	row, col   int // the element that is poisoned and checked

	checked, poisoned, wrong int     // elements
	worst                    float64 // error ÷ bound of those that are right
	first                    string  // wrong element
}

// step makes one call of the kernel and returns its operations, 2·m·n·k.
func (w *workload) step(k *worker) uint64 {
	beta := float32(1)
	if k.l == 0 {
		beta = 0
		w.take(k)
	}
	kk := min(w.block.K, w.n-k.l)
	w.gemm(false, false, k.m, k.n, kk, k.alpha, w.a[k.i*w.ld+k.l:], w.ld, w.b[k.l*w.ld+k.j:], w.ld, beta, w.c[k.i*w.ld+k.j:], w.ld)
	if k.l += kk; k.l == w.n {
		w.verify(k)
		w.busy[k.block].Store(false)
		k.l = 0
	}
	return 2 * uint64(k.m) * uint64(k.n) * uint64(kk) // #nosec G115 -- sizes of a block, positive
}

// take assigns to k the next block from the queue that no other worker still holds
// from the pass before. There are at least as many blocks as workers, so one is
// free.
func (w *workload) take(k *worker) {
	ticket := w.queue.Add(1) - 1
	for !w.busy[ticket%uint64(len(w.busy))].CompareAndSwap(false, true) {
		ticket = w.queue.Add(1) - 1
	}
	pass := ticket / uint64(len(w.busy))
	k.block = int(ticket % uint64(len(w.busy))) // #nosec G115 -- below a length
	k.i, k.j = k.block/w.columns()*w.block.M, k.block%w.columns()*w.block.N
	k.m, k.n = min(w.block.M, w.n-k.i), min(w.block.N, w.n-k.j)
	k.alpha = 1 + float32(pass%1024)/1024 // exact
	h := bench.Hash64(w.place, ticket)
	k.row, k.col = k.i+int(h>>32%uint64(k.m)), k.j+int(h&math.MaxUint32%uint64(k.n)) // #nosec G115 -- sizes of a block, positive, and what is below them
	w.c[k.row*w.ld+k.col] = poison
}

// verify compares the element of k's block that was poisoned.
func (w *workload) verify(k *worker) {
	got := float64(w.c[k.row*w.ld+k.col])
	want, bound := w.reference(k.row, k.col, 0, w.n, k.alpha)
	k.checked++
	if math.IsNaN(got) {
		k.poisoned++
	}
	if off := math.Abs(got-want) / max(bound, math.SmallestNonzeroFloat64); off <= 1 {
		k.worst = max(k.worst, off)
		return
	}
	k.wrong++
	if k.first == "" {
		k.first = fmt.Sprintf("C[%d,%d] is %v, want %v ± %v", k.row, k.col, got, want, bound)
	}
}

// each calls f concurrently for every worker's index and waits for all calls.
func each(workers []*worker, f func(id int)) {
	var wg sync.WaitGroup
	for id := range workers {
		wg.Go(func() { f(id) })
	}
	wg.Wait()
}
