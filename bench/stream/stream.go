// Package stream is memory bandwidth as a workload: the triad a = b + s·c of
// McCalpin's STREAM, repeated over three arrays that no cache holds, since most
// programs are bound by memory and not by arithmetic.
//
// It keeps STREAM's run rules: 8-byte elements; 24 bytes counted for each, which
// the loop reads and writes, without the traffic that caches add; and arrays of at
// least four times the last-level caches of the CPUs that it may use, and of at
// least a million elements. Each thread is bound to a CPU and has its own part of
// every array. It touches the pages of that part first, so that they are in memory
// near it. Unlike in STREAM, threads do not wait for each other between passes: the
// figure is the throughput of all threads, not of the slowest.
//
// All work is checked. In each stretch of about a millisecond one element, which
// the kernel cannot know, is poisoned with NaN before and compared, bit for bit,
// after. Each pass has another s, so that answers from an earlier pass are detected.
// At the end every element of all three arrays is compared with its expected
// value.
//
// On a processor the triad is of float32 in the memory of the device, as in
// BabelStream. What the device copies within its memory, from the host and to it is
// measured as well: see [Copy], [Upload] and [Download]. The device fills the arrays
// with random bits, which no power saving can avoid to move. Before each operation 256
// of the words that it must compute are inverted, and compared after. At the end the
// device counts the words that are wrong, which must be those inverted last and no
// others, and the host compares the beginning of each array.
//
// This package neither times nor adds: the harness and kernels/stream do.
package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/results"
)

const (
	use  = "memory"
	maxN = 1 << 40
	line = 8 // elements of a cache line

	// chunk is the number of elements that are counted at a time: 3 MiB, which take
	// 0.15 ms at the 20 GB/s of one fast core, and 1.5 ms at 2 GB/s a thread.
	chunk = 1 << 17
)

// workload implements bench.Workload.
type workload struct {
	info    bench.Info
	n       int // elements of each array
	triad   func(a, b, c []float64, s float64)
	release func()    // frees the arrays; nil unless prepared
	threads []*thread // nil unless prepared
}

// New returns the triad for cfg. Its one parameter is n, the elements of
// each array, by default the least that STREAM's rules require on this machine;
// for a CPU Info also has the size of the last-level caches, as llc. Arrays that the
// available memory cannot hold are refused. Errors wrap [bench.ErrUsage].
func New(cfg bench.Config) (bench.Workload, error) { return choose(cfg, use) }

// choose returns the workload of a use, of which a CPU has the triad alone.
func choose(cfg bench.Config, which string) (w bench.Workload, err error) {
	switch {
	case cfg.Device != nil && cfg.Device.Info().Processor():
		w, err = configureProcessor(cfg, which)
	case which == use:
		w, err = configure(cfg)
	default:
		id := cpu.ID
		if cfg.Device != nil {
			id = cfg.Device.Info().ID
		}
		err = fmt.Errorf("%s is measured on GPUs, and device %s is none", which, id)
	}
	if err != nil {
		return nil, fmt.Errorf("stream: %w: %w", bench.ErrUsage, err)
	}
	return w, nil
}

func configure(cfg bench.Config) (*workload, error) {
	on, err := cpu.Of(cfg.Device)
	if err != nil {
		return nil, err
	}
	row, err := stream.Table.Pick(on.Info(), cfg.Impl)
	if err != nil {
		return nil, err
	}
	llc := LastLevelCaches()
	n := elements(llc)
	for key, value := range cfg.Params {
		if key != "n" {
			return nil, fmt.Errorf("unknown option %q: the only one is n", key)
		}
		if n, err = strconv.Atoi(value); err != nil || n < line || n > maxN {
			return nil, fmt.Errorf("n is %q: use a whole number from %d to %d", value, line, maxN)
		}
	}
	if n/line < on.Threads {
		return nil, fmt.Errorf("n=%d gives work to %d threads, not %d: use a larger n or fewer threads", n, n/line, on.Threads)
	}
	need := 3 * 8 * int64(n)
	if have, ok := bench.MemoryAvailable("/"); ok && need > have {
		return nil, fmt.Errorf("three arrays of n=%d for %s of last-level cache take %s and %s are available: leave %s out of the uses, or use a smaller n",
			n, bench.Size(llc), bench.Size(need), bench.Size(have), use)
	}
	return &workload{
		n: n, triad: row.Impl.Triad,
		info: bench.Info{
			Name: "stream", Use: use, Device: cpu.ID, Impl: row.Name, Unit: results.Byte, Threads: on.Threads, Seed: cfg.Seed,
			Params: map[string]string{"n": strconv.Itoa(n), "llc": strconv.FormatInt(llc, 10)},
		},
	}, nil
}

// elements returns the length of an array for llc bytes of last-level cache.
func elements(llc int64) int { return int(max(4*llc/8, 1_000_000)) }

// LastLevelCaches returns the size in bytes of the last-level caches of the CPUs
// that this process may use.
func LastLevelCaches() int64 { return lastLevelCaches("/sys", allowedCPUs()) }

// Info implements bench.Workload.
func (w *workload) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare fills the arrays, each thread its own part, and checks the kernel on the
// first elements of it, which are not aligned.
func (w *workload) Prepare(ctx context.Context) error {
	if err := w.Close(); err != nil {
		return err
	}
	arrays, release, err := allocate(w.n)
	if err != nil {
		return fmt.Errorf("stream: allocate three arrays of n=%d: %w", w.n, err)
	}
	w.release = release
	for id := range w.info.Threads {
		from, to := w.bound(id), w.bound(id+1)
		w.threads = append(w.threads, newThread(id, w.info.Seed, from, arrays[0][from:to], arrays[1][from:to], arrays[2][from:to]))
	}
	w.each(func(t *thread) { t.fill(ctx) })
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stream: fill three arrays of n=%d: %w", w.n, err)
	}
	wrong := make([]error, len(w.threads))
	w.each(func(t *thread) { wrong[t.id] = t.try(w.triad) })
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("stream: %s is wrong on this machine: %w: use another implementation", w.info.Impl, err)
	}
	return nil
}

// bound returns the first element of a thread's part, which begins a cache line.
func (w *workload) bound(id int) int {
	if id == w.info.Threads {
		return w.n
	}
	return w.n / line * id / w.info.Threads * line
}

// Run implements bench.Workload. The next Run goes on where this one stops.
func (w *workload) Run(ctx context.Context, done *bench.Counter) error {
	if w.threads == nil {
		return errors.New("stream: run: nothing is prepared: call Prepare first")
	}
	w.each(func(t *thread) {
		for ctx.Err() == nil {
			done.Add(stream.Bytes * uint64(t.step(w.triad))) // #nosec G115 -- a count of elements
		}
	})
	return nil
}

// Check implements bench.Workload: the check sampled covers every counted stretch,
// and arrays all elements now in memory.
func (w *workload) Check() []results.Check {
	w.each((*thread).survey)
	var all tally
	for _, t := range w.threads {
		all.add(t.tally)
	}
	sampled := results.Check{
		Use: use, Name: "sampled", OK: all.steps > 0 && all.wrong == 0,
		Detail: fmt.Sprintf("%d of %d poisoned elements, one a stretch, are wrong%s", all.wrong, all.steps, all.example),
	}
	arrays := results.Check{
		Use: use, Name: "arrays", OK: all.computed > 0 && all.bad == 0,
		Detail: fmt.Sprintf("%d of 3·%d elements in memory are wrong, %d of them are answers%s", all.bad, w.n, all.computed, all.badExample),
	}
	return []results.Check{sampled, arrays}
}

// Close implements bench.Workload.
func (w *workload) Close() error {
	for _, t := range w.threads {
		close(t.work)
		<-t.ended
	}
	w.threads = nil
	if w.release != nil {
		w.release()
		w.release = nil
	}
	return nil
}

// each calls f on every thread and waits for all calls.
func (w *workload) each(f func(*thread)) {
	var wg sync.WaitGroup
	for _, t := range w.threads {
		wg.Add(1)
		t.work <- func() {
			defer wg.Done()
			f(t)
		}
	}
	wg.Wait()
}
