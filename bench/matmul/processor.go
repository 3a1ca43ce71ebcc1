package matmul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/results"
)

const (
	// factors is how many matrices B there are. One of them is written anew for a
	// product now and then: once among the first soon, and then each time among the
	// next often. That takes less than 0.1 % of the time of so many products.
	factors = 3
	soon    = 4
	often   = 32

	// A panel is that many rows of A and C, which one launch multiplies. It takes no
	// longer than longest, since a launch is counted when it has ended, unless the
	// least panel, a tile or two high, does.
	leastRows = 256
	longest   = 100 * time.Millisecond

	// batch is how long the launches take that are submitted at a time. The processor
	// is idle between two batches, for some 0.1 ms.
	batch       = 50 * time.Millisecond
	mostInBatch = 1024
)

// product is the workload on a processor: C = A·Bᵀ. See verify.go for what is
// checked.
type product struct {
	info      bench.Info
	on        device.Device
	precision gemm.Precision
	row       kernels.Row[*gemm.Product]
	n, k      int // order of the matrices; length of a row of A and B
	rows      int // of a panel; 0 until it is measured

	gemm    *gemm.Product // nil unless prepared
	kernels *gemm.Verifier
	b       [factors]device.Buffer
	streams [factors]uint64 // the generators of what the matrices B hold
	fresh   uint64          // the product that has a matrix B written anew
	written uint64          // how often that was drawn; 0 until Prepare ends
	panels  []panel
	taken   device.Buffer // elements that Exchange took, of up to room launches
	room    int
	vectors vectors
	memory  []device.Buffer // all of the above
	launch  uint64          // number of launches of the product since Prepare began
	size    int             // launches in the next batch

	verification
}

// panel is some rows of A and C.
type panel struct {
	a, c      device.Buffer
	top, rows int
	seed      uint32 // of the places that are poisoned
	b         uint64 // the generator of the B that C is the product with
	pending   bool   // C was not looked at yet
}

// In returns the constructor of the workload in a precision. It runs on a
// processor only, except fp32, which is that of [New].
func In(precision gemm.Precision) func(bench.Config) (bench.Workload, error) {
	return func(cfg bench.Config) (bench.Workload, error) {
		onProcessor := cfg.Device != nil && cfg.Device.Info().Processor()
		if !onProcessor && precision == gemm.FP32 {
			return New(cfg)
		}
		w := &product{on: cfg.Device, precision: precision}
		err := fmt.Errorf("%s runs on a GPU only", use(precision))
		if onProcessor {
			err = w.configure(cfg)
		} else if cfg.Device != nil {
			err = fmt.Errorf("%w, not on %s", err, cfg.Device.Info().ID)
		}
		if err != nil {
			return nil, fmt.Errorf("matmul: %w: %w", bench.ErrUsage, err)
		}
		return w, nil
	}
}

// use is what the product in a precision is a use of.
func use(precision gemm.Precision) string {
	if precision == gemm.FP32 {
		return "compute"
	}
	return "compute-" + string(precision)
}

func (w *product) configure(cfg bench.Config) error {
	on := w.on.Info()
	var err error
	if w.row, err = gemm.Table(w.precision).Pick(on, cfg.Impl); err != nil {
		return err
	}
	if w.n, err = order(cfg.Params, w.defaultOrder(on)); err != nil {
		return err
	}
	part := 16 / w.precision.In()
	w.k = (w.n + part - 1) / part * part
	if need := w.need(w.n); on.Memory > 0 && need > on.Memory {
		return fmt.Errorf("five matrices of n=%d take %s and %s has %s: use a smaller n", w.n, bench.Size(need), on.ID, bench.Size(on.Memory))
	}
	w.info = bench.Info{
		Name: "matmul", Use: use(w.precision), Device: on.ID, Impl: w.row.Name,
		Unit: results.FLOP, FlopPerCount: 1, Formula: "2·m·n·k",
		Threads: 1, Seed: cfg.Seed,
		Params: map[string]string{"n": strconv.Itoa(w.n), "precision": string(w.precision), "data": "random"},
	}
	if w.k > w.n {
		w.info.Params["k"] = fmt.Sprintf("%d, padded with zeros to %d", w.n, w.k)
	}
	return nil
}

// need returns the bytes of A, C and the matrices B for an order.
func (w *product) need(n int) int64 {
	return int64(n) * int64(n) * int64((1+factors)*w.precision.In()+w.precision.Out())
}

// defaultOrder is 8192 on a large card, 4096 in fp64; less on one with few
// multiprocessors, so that a product is some ms of work, or with little memory.
// Four times less a lane, in each dimension, is for a CPU behind a driver.
func (w *product) defaultOrder(on device.Info) int {
	n, flop := 8192, 1<<34
	if w.precision == gemm.FP64 {
		n = 4096
	}
	if on.Kind.Scheduled() {
		flop >>= 4
	}
	for n > 512 && (2*n*n*n > flop*max(1, on.Lanes) || on.Memory > 0 && w.need(n) > on.Memory/2) {
		n /= 2
	}
	return n
}

func (w *product) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare checks the implementation against known answers, fills the operands and
// checks a first product.
func (w *product) Prepare(ctx context.Context) error {
	p, ok := w.on.(device.Processor)
	if !ok {
		return fmt.Errorf("matmul: prepare: device %s is not open", w.info.Device)
	}
	multiply, err := w.row.On(p)
	if err != nil {
		return fmt.Errorf("matmul: open %s: %w", w.info.Impl, err)
	}
	// What a lost device does not compute is not the kernel's fault.
	if err := gemm.Table(w.precision).Check(multiply); err != nil {
		return errors.Join(p.Sync(), w.refuse(err.Error()))
	}
	w.gemm = multiply
	if w.kernels, err = gemm.NewVerifier(multiply); err == nil {
		err = w.allocate(ctx)
	}
	if err != nil {
		return fmt.Errorf("matmul: prepare n=%d on %s: %w", w.n, w.info.Device, err)
	}
	for i := range w.panels {
		if err := w.kernels.Poison(w.panels[i].c, w.panels[i].rows, w.n); err != nil {
			return fmt.Errorf("matmul: %w", err)
		}
		if err := w.multiply(); err != nil {
			return fmt.Errorf("matmul: %w", err)
		}
	}
	for _, check := range w.Check() {
		if !check.OK {
			return errors.Join(p.Sync(), w.refuse(check.Name+": "+check.Detail))
		}
	}
	w.verification, w.size = verification{}, 1
	w.fresh = w.launch/uint64(len(w.panels)) + w.draw(soon)
	return ctx.Err()
}

func (w *product) refuse(why string) error {
	return fmt.Errorf("matmul: %s %s is wrong on %s: %s: use another implementation", gemm.Table(w.precision).Name, w.info.Impl, w.info.Device, why)
}

// alloc allocates memory that Close gives back.
func (w *product) alloc(bytes int) (device.Buffer, error) {
	b, err := w.gemm.Alloc(int64(bytes))
	if err == nil {
		w.memory = append(w.memory, b)
	}
	return b, err
}

// matrix allocates rows of A or B and fills them.
func (w *product) matrix(top, rows int, generator uint64) (device.Buffer, error) {
	b, err := w.alloc(rows * w.k * w.precision.In())
	if err != nil {
		return nil, err
	}
	return b, w.kernels.Fill(b, top, rows, w.n, w.k, generator)
}

// allocate makes the matrices and cuts A and C into panels.
func (w *product) allocate(ctx context.Context) error {
	var err error
	for i := range w.b {
		w.streams[i] = stream(w.info.Seed, factorStream(i))
		if w.b[i], err = w.matrix(0, w.n, w.streams[i]); err != nil {
			return err
		}
	}
	if w.rows == 0 {
		if w.rows, err = w.measure(); err != nil {
			return err
		}
	}
	for top := 0; top < w.n; top += w.rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := panel{top: top, rows: min(w.rows, w.n-top)}
		if p.a, err = w.matrix(top, p.rows, stream(w.info.Seed, 'a')); err != nil {
			return err
		}
		if p.c, err = w.alloc(p.rows * w.n * w.precision.Out()); err != nil {
			return err
		}
		w.panels = append(w.panels, p)
	}
	stripes := gemm.Stripes(w.rows)
	w.room = max(1, min(mostInBatch, 1<<18/stripes))
	if w.taken, err = w.alloc(w.room * stripes * w.precision.Out()); err != nil {
		return err
	}
	return w.vectors.allocate(w)
}

// measure returns how many rows of a product take no longer than a launch
// should.
func (w *product) measure() (int, error) {
	first := len(w.memory)
	rows := min(w.n, leastRows)
	a, err := w.matrix(0, rows, stream(w.info.Seed, 'a'))
	if err != nil {
		return 0, err
	}
	c, err := w.alloc(rows * w.n * w.precision.Out())
	if err != nil {
		return 0, err
	}
	var took time.Duration
	for range 2 { // the first one may load code
		if err := w.gemm.Sync(); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := errors.Join(w.gemm.Do(gemm.Call{C: c, A: a, B: w.b[0], M: rows, N: w.n, K: w.k, TransB: true}), w.gemm.Sync()); err != nil {
			return 0, err
		}
		took = max(time.Since(began), 1)
	}
	for _, b := range w.memory[first:] {
		if err := w.gemm.Free(b); err != nil {
			return 0, err
		}
	}
	w.memory = w.memory[:first]
	most := int(min(float64(rows)*float64(longest)/float64(took), float64(w.n)))
	if most < w.n {
		most = max(rows, most/leastRows*leastRows)
	}
	return most, nil
}

// next returns the panel of the next launch.
func (w *product) next() *panel { return &w.panels[w.launch%uint64(len(w.panels))] }

// factor returns which B a launch multiplies by: the same for all panels of a
// product.
func (w *product) factor(launch uint64) int {
	return int(bench.Hash64(stream(w.info.Seed, 'f'), launch/uint64(len(w.panels))) % factors) // #nosec G115 -- below factors
}

// multiply submits the product of the next panel.
func (w *product) multiply() error {
	p, i := w.next(), w.factor(w.launch)
	if w.written > 0 && w.launch == w.fresh*uint64(len(w.panels)) {
		w.fresh += w.draw(often)
		w.streams[i] = bench.Hash64(stream(w.info.Seed, factorStream(i)), w.written)
		if err := w.kernels.Fill(w.b[i], 0, w.n, w.n, w.k, w.streams[i]); err != nil {
			return err
		}
	}
	p.b, p.pending = w.streams[i], true
	w.launch++
	return w.gemm.Do(gemm.Call{C: p.c, A: p.a, B: w.b[i], M: p.rows, N: w.n, K: w.k, TransB: true})
}

// draw returns after how many products of at most most a matrix B is written anew:
// the seed says it, and no device can know.
func (w *product) draw(most uint64) uint64 {
	w.written++
	return 1 + bench.Hash64(stream(w.info.Seed, 'n'), w.written)%most
}

// Run computes until ctx ends.
func (w *product) Run(ctx context.Context, done *bench.Counter) error {
	if w.gemm == nil {
		return errors.New("matmul: run: nothing is prepared: call Prepare first")
	}
	for ctx.Err() == nil {
		if err := w.step(done); err != nil {
			return fmt.Errorf("matmul: run on %s: %w", w.info.Device, err)
		}
	}
	return nil
}

// step submits a batch of launches, and counts their operations when all have
// ended. While the processor works it looks at what the batch before took.
func (w *product) step(done *bench.Counter) error {
	began := time.Now()
	size := min(w.size, w.room)
	looks := make([]look, 0, size)
	var flop uint64
	for i := range size {
		p := w.next()
		at, err := w.exchange(p, i)
		if err != nil {
			return err
		}
		looks = append(looks, at)
		if err := w.multiply(); err != nil {
			return err
		}
		flop += 2 * uint64(p.rows) * uint64(w.n) * uint64(w.n) // #nosec G115 -- dimensions, positive
	}
	w.collect()
	if err := w.gemm.Sync(); err != nil {
		return err
	}
	done.Add(flop)
	took := max(time.Since(began), 1)
	w.size = int(max(1, min(float64(size)*float64(batch)/float64(took), 2*float64(size))))
	return w.read(looks)
}

// Close gives the memory back.
func (w *product) Close() error {
	var errs []error
	if w.gemm != nil && w.gemm.Sync() == nil { // of a lost device there is nothing to give back
		for _, b := range w.memory {
			errs = append(errs, w.gemm.Free(b))
		}
	}
	w.gemm, w.kernels, w.panels, w.memory, w.launch, w.written = nil, nil, nil, nil, 0, 0
	return errors.Join(errs...)
}

// factorStream names the generator of a matrix B; 'a', 'f', 'n', 'p', 'r' and 's' are
// others.
func factorStream(i int) byte { return byte('B' + i) } // #nosec G115 -- below factors

// tolerance returns what the root mean square of the errors of sums of k products
// of such elements is below. Their partial sums after l products are some √l/3.
//
// A sum in fp32 or fp64 that is rounded to nearest after each product errs by
// 0.14·k·u, with u = 2⁻²⁴ or 2⁻⁵³: k independent errors of a third of u²
// (variance) times the partial sum. The tolerance is 7 times that.
//
// Tensor cores cut off, so that errors of a sum have one sign while it keeps its
// own, and they do so after at least four products (Fasi et al., "Numerical behavior
// of NVIDIA tensor cores", 2021): 0.018·k^1.5·2⁻²³, of which the tolerance is 3.5
// times. Rounding in these precisions errs by less.
//
// A product that is done in a lower precision, or in which one element of 256 is
// off by 1 %, is beyond it for every n up to 16384.
func tolerance(p gemm.Precision, k int) float64 {
	switch p {
	case gemm.FP64:
		return 0x1p-53 * float64(k)
	case gemm.FP32:
		return 0x1p-24 * float64(k)
	}
	return 0x1p-23 * math.Pow(float64(k), 1.5) / 16
}
