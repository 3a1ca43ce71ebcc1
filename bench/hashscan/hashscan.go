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
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/perwatt/perwatt/bench"
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
	// the counter lags by as much.
	call = time.Millisecond
)

// share is the target of the shares, one in 2^17 hashes: frequent enough to judge
// the kernel within seconds, and too rare to cost time.
var share = sha256d.Target{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00, 0x00,
}

// workload implements bench.Workload.
type workload struct {
	info    bench.Info
	scan    sha256d.Scan
	target  sha256d.Target
	nonces  uint64    // per header
	threads []*thread // from Prepare to Close
}

// New returns the workload. Its implementations are the rows of
// [sha256d.Table]; its option is nonces, how many nonces of a header
// are scanned before the next header is taken, 1 to 2^32.
func New(cfg bench.Config) (bench.Workload, error) {
	w, err := open(cfg)
	if err != nil {
		return nil, err
	}
	w.scan = tampered(w.scan)
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
	on, err := cpu.Of(cfg.Device)
	if err == nil && on.Threads > maxThreads {
		err = fmt.Errorf("%d threads: use 1 to %d, or 0 for one", on.Threads, maxThreads)
	}
	if err != nil {
		return nil, fmt.Errorf("hashscan: %w: %w", bench.ErrUsage, err)
	}
	row, err := sha256d.Table.Pick(on.Info(), cfg.Impl)
	if err != nil {
		return nil, fmt.Errorf("hashscan: %w: %w", bench.ErrUsage, err)
	}
	w := &workload{scan: row.Impl, target: share, nonces: defaultNonces}
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
		Device:  cpu.ID,
		Impl:    row.Name,
		Unit:    results.Hash,
		Threads: on.Threads,
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
// makes in about a millisecond.
func (w *workload) Prepare(ctx context.Context) error {
	if err := sha256d.Table.Check(w.scan); err != nil {
		return fmt.Errorf("hashscan: %s is wrong on this CPU: %w: use another implementation", w.info.Impl, err)
	}
	chunk, err := calibrate(ctx, w.scan)
	if err != nil {
		return fmt.Errorf("hashscan: time %s: %w", w.info.Impl, err)
	}
	w.threads = make([]*thread, w.info.Threads)
	for i := range w.threads {
		w.threads[i] = newThread(w, uint32(i), chunk)
	}
	return nil
}

// calibrate returns how many hashes scan makes in the time of one call.
func calibrate(ctx context.Context, scan sha256d.Scan) (uint64, error) {
	var job sha256d.Job
	job.Set(&known[0], &share)
	var hits []uint32
	timed := func(n uint64) time.Duration {
		start := time.Now()
		hits = scan(hits[:0], &job, 0, n)
		return max(time.Since(start), 1)
	}
	n := uint64(1 << 10)
	for ; timed(n) < call && n < maxNonces/2; n *= 2 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	best := timed(n)
	for range 4 { // interruptions only make it slower
		best = min(best, timed(n))
	}
	return max(min(uint64(float64(n)*float64(call)/float64(best)), maxNonces), 1), ctx.Err()
}

// Run implements bench.Workload.
func (w *workload) Run(ctx context.Context, done *bench.Counter) error {
	if w.threads == nil {
		return errors.New("hashscan: run: Prepare comes first")
	}
	var running sync.WaitGroup
	for _, t := range w.threads {
		running.Go(func() { t.run(ctx, done) })
	}
	running.Wait()
	return nil
}

// Close implements bench.Workload.
func (w *workload) Close() error {
	w.threads = nil
	return nil
}
