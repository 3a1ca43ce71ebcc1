// Package hashscan is mining as a workload: every thread scans block headers of
// its own for shares, without a pause and without a pool. One count is one
// double SHA-256 of a header.
//
// It verifies that the hashes were computed. crypto/sha256 hashes each hit again;
// every run must find nonces that are known to be hits; and the number of hits
// must be plausible, by Poisson statistics, for the hashes that were counted, which
// detects a kernel that skips nonces. The workload does not talk to a pool or look
// for blocks.
package hashscan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

const (
	use        = "mining"
	maxThreads = 4096

	// Nonces scanned of each header. With many headers the figures, power above
	// all, do not depend on the bits of one.
	defaultNonces = 1 << 24
	maxNonces     = 1 << 32

	// call is the duration of one call of the kernel. It cannot be preempted, and
	// the counter lags by as much. A processor is idle between two calls, for
	// some 0.1 ms, so that its calls are longer.
	call          = time.Millisecond
	processorCall = 50 * time.Millisecond
)

// share is the target of the shares, one in 2^17 hashes: frequent enough to judge
// the kernel within seconds, and too rare to cost time. A GPU is a hundred times
// faster than a thread, and has one in 2^22.
var (
	share          = below(0x7fff)
	processorShare = below(0x3ff)
)

// below is the target whose four most significant bytes are top.
func below(top uint32) (t sha256d.Target) {
	for i := range t {
		t[i] = 0xff
	}
	binary.LittleEndian.PutUint32(t[28:], top)
	return t
}

// workload implements bench.Workload.
type workload struct {
	info    bench.Info
	row     kernels.Row[sha256d.Scan]
	on      device.Device
	tamper  func(sha256d.Scan) sha256d.Scan
	scan    sha256d.Scan // from Prepare on
	target  sha256d.Target
	call    time.Duration // of the kernel
	nonces  uint64        // per header
	threads []*thread     // from Prepare to Close
}

// New returns the workload. Its implementations are the rows of
// [sha256d.Table]; its option is nonces, how many nonces of a header
// are scanned before the next header is taken, 1 to 2^32.
func New(cfg bench.Config) (bench.Workload, error) {
	w, err := open(cfg)
	if err != nil {
		return nil, err
	}
	w.tamper = tampered
	return w, nil
}

// Control returns the workload whose rate stands for the machine when figures are
// tracked over time: the scan by crypto/sha256, whichever implementation is
// configured. This project does not change that code, so a change of the rate
// comes from the machine or from the Go release, which the record names.
func Control(cfg bench.Config) (bench.Workload, error) {
	cfg.Impl = "stdlib"
	w, err := open(cfg)
	if err != nil {
		return nil, err
	}
	w.info.Use = "control"
	return w, nil
}

func open(cfg bench.Config) (*workload, error) {
	w := &workload{target: share, call: call, nonces: defaultNonces, tamper: func(scan sha256d.Scan) sha256d.Scan { return scan }}
	threads := 1
	if cfg.Device != nil && cfg.Device.Info().Processor() {
		w.on, w.target, w.call, w.nonces = cfg.Device, processorShare, processorCall, maxNonces
	} else {
		on, err := cpu.Of(cfg.Device)
		if err == nil && on.Threads > maxThreads {
			err = fmt.Errorf("%d threads: use 1 to %d, or 0 for one", on.Threads, maxThreads)
		}
		if err != nil {
			return nil, fmt.Errorf("hashscan: %w: %w", bench.ErrUsage, err)
		}
		w.on, threads = on, on.Threads
	}
	var err error
	if w.row, err = sha256d.Table.Pick(w.on.Info(), cfg.Impl); err != nil {
		return nil, fmt.Errorf("hashscan: %w: %w", bench.ErrUsage, err)
	}
	for _, key := range slices.Sorted(maps.Keys(cfg.Params)) {
		if key != "nonces" {
			return nil, fmt.Errorf("hashscan: %w: unknown option %q: known is nonces", bench.ErrUsage, key)
		}
		n, err := strconv.ParseUint(cfg.Params[key], 10, 64)
		if err != nil || n < 1 || n > maxNonces {
			return nil, fmt.Errorf("hashscan: %w: nonces=%q: use a number from 1 to %d", bench.ErrUsage, cfg.Params[key], uint64(maxNonces))
		}
		w.nonces = n
	}
	w.info = bench.Info{
		Name:    "hashscan",
		Use:     use,
		Device:  w.on.Info().ID,
		Impl:    w.row.Name,
		Unit:    results.Hash,
		Threads: threads,
		Params:  map[string]string{"nonces": strconv.FormatUint(w.nonces, 10)},
		Seed:    cfg.Seed,
	}
	return w, nil
}

// Info implements bench.Workload.
func (w *workload) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare checks the kernel against known answers and finds how many hashes it
// makes in one call.
func (w *workload) Prepare(ctx context.Context) error {
	scan, err := w.row.On(w.on)
	if err != nil {
		return fmt.Errorf("hashscan: open %s: %w", w.info.Impl, err)
	}
	w.scan = w.tamper(scan)
	// What a lost device does not find is not the kernel's fault.
	if err := sha256d.Table.Check(w.scan); err != nil {
		return errors.Join(w.lost(), fmt.Errorf("hashscan: %s is wrong on %s: %w: use another implementation", w.info.Impl, w.info.Device, err))
	}
	chunk, err := w.calibrate(ctx)
	if err != nil {
		return fmt.Errorf("hashscan: time %s: %w", w.info.Impl, err)
	}
	w.threads = make([]*thread, w.info.Threads)
	for i := range w.threads {
		w.threads[i] = newThread(w, uint32(i), chunk)
	}
	return nil
}

// lost is the error after which a processor no longer works.
func (w *workload) lost() error {
	if p, ok := w.on.(device.Processor); ok {
		return p.Sync()
	}
	return nil
}

// calibrate returns how many hashes scan makes in the time of one call.
func (w *workload) calibrate(ctx context.Context) (uint64, error) {
	var job sha256d.Job
	job.Set(&known[0], &w.target)
	var hits []uint32
	timed := func(n uint64) time.Duration {
		start := time.Now()
		hits = w.scan(hits[:0], &job, 0, n)
		return max(time.Since(start), 1)
	}
	n := uint64(1 << 10)
	for ; timed(n) < w.call && n < maxNonces/2; n *= 2 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	best := timed(n)
	for range 4 { // interruptions only make it slower
		best = min(best, timed(n))
	}
	return max(min(uint64(float64(n)*float64(w.call)/float64(best)), maxNonces), 1), errors.Join(w.lost(), ctx.Err())
}

// Run implements bench.Workload.
func (w *workload) Run(ctx context.Context, done *bench.Counter) error {
	if w.threads == nil {
		return errors.New("hashscan: run: Prepare comes first")
	}
	var running sync.WaitGroup
	for _, t := range w.threads {
		running.Go(func() { t.run(ctx, done, w.lost) })
	}
	running.Wait()
	return w.lost()
}

// Close implements bench.Workload.
func (w *workload) Close() error {
	w.threads = nil
	return nil
}
