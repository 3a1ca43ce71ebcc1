package hashscan

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

func TestUsage(t *testing.T) {
	for _, cfg := range []bench.Config{
		{Params: map[string]string{"nonces": "0"}},
		{Params: map[string]string{"nonces": "-1"}},
		{Params: map[string]string{"nonces": "1e6"}},
		{Params: map[string]string{"nonces": "4294967297"}},
		{Params: map[string]string{"nonces": ""}},
		{Device: cpu.Device{Threads: maxThreads + 1}},
	} {
		_, err := New(cfg)
		require.ErrorIs(t, err, bench.ErrUsage, "%+v", cfg)
	}
	w, err := New(bench.Config{})
	require.NoError(t, err)
	require.ErrorContains(t, w.Run(context.Background(), bench.NewCounter()), "Prepare comes first")
}

func TestPrepareIsInterrupted(t *testing.T) {
	w, err := New(bench.Config{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, w.Prepare(ctx), context.Canceled)
}

// fault is a way to be wrong.
type fault struct {
	name    string
	voids   string // the check that must fail
	corrupt func(sha256d.Scan) sha256d.Scan
}

var broken = []fault{
	{"scans a part of each range", "hit-count", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			return s(dst, job, first, n-n/8)
		}
	}},
	{"skips one lane of four", "hit-count", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			return slices.DeleteFunc(s(dst, job, first, n), func(nonce uint32) bool { return (nonce-first)%4 == 3 })
		}
	}},
	{"finds nothing", "planted", func(sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, _ *sha256d.Job, _ uint32, _ uint64) []uint32 { return dst }
	}},
	{"misses the known nonces alone", "planted", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			return slices.DeleteFunc(s(dst, job, first, n), func(nonce uint32) bool {
				return slices.ContainsFunc(known, func(h sha256d.Header) bool { return h.Nonce() == nonce })
			})
		}
	}},
	{"reports a nonce that is none", "rehash", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			for i, hits := 0, s(nil, job, first, n); ; i++ { // the first that is not a hit
				if nonce := first + uint32(i); i == len(hits) || hits[i] != nonce {
					return append(append(dst, nonce), hits...)
				}
			}
		}
	}},
	{"reports hits twice", "rehash", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			for _, nonce := range s(nil, job, first, n) {
				dst = append(dst, nonce, nonce)
			}
			return dst
		}
	}},
	{"reports hits out of order", "rehash", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			dst = s(dst, job, first, n)
			slices.Reverse(dst)
			return dst
		}
	}},
	{"goes past the end of the range", "rehash", func(s sha256d.Scan) sha256d.Scan {
		return func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			return s(dst, job, first, n+n/8)
		}
	}},
}

// prepared returns a workload whose shares are so frequent that little work
// tells. It was right when it was prepared; corrupt, if not nil, changes that.
func prepared(t *testing.T, cfg bench.Config, corrupt func(sha256d.Scan) sha256d.Scan) *workload {
	w, err := open(cfg)
	require.NoError(t, err)
	w.target[29], w.target[30], w.target[31] = 0xff, 0xff, 0x1f // one in 8
	require.NoError(t, w.Prepare(context.Background()))
	for _, th := range w.threads {
		th.chunk = 5000 // so that a test does the same on any machine
		if corrupt != nil {
			th.scan = corrupt(th.scan)
		}
	}
	return w
}

// runFor lets w run until its counter has reached hashes.
func runFor(t *testing.T, w *workload, done *bench.Counter, hashes uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, th := range w.threads {
		inner := th.scan
		th.scan = func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			if count, _, ok := done.Load(); ok && count >= hashes {
				cancel()
			}
			return inner(dst, job, first, n)
		}
		defer func() { th.scan = inner }()
	}
	require.NoError(t, w.Run(ctx, done))
}

func TestChecks(t *testing.T) {
	for _, c := range append(slices.Clone(broken), fault{name: "is right"}) {
		t.Run(c.name, func(t *testing.T) {
			w := prepared(t, bench.Config{Device: cpu.Device{Threads: 2}, Params: map[string]string{"nonces": "10000"}}, c.corrupt)
			defer w.Close()
			done := bench.NewCounter()
			runFor(t, w, done, 100_000)
			failed := map[string]string{}
			for _, check := range w.Check() {
				if !check.OK {
					failed[check.Name] = check.Detail
				}
			}
			if c.voids == "" {
				require.Empty(t, failed)
			} else {
				require.Contains(t, failed, c.voids)
			}
		})
	}
	w := prepared(t, bench.Config{}, nil)
	require.False(t, w.Check()[0].OK, "nothing was scanned: no known nonce was found")
}

func TestPrepareRefusesTheWrong(t *testing.T) {
	for _, c := range broken {
		w, err := open(bench.Config{Impl: "generic"})
		require.NoError(t, err)
		w.tamper = c.corrupt
		require.ErrorContains(t, w.Prepare(context.Background()), "generic is wrong on cpu", c.name)
	}
}

// What is counted is what the kernel was given, nothing twice, over several
// runs, and each run begins with known nonces.
func TestCountIsWhatWasScanned(t *testing.T) {
	type asked struct {
		header sha256d.Header
		first  uint32
		n      uint64
	}
	const nonces = 3000
	w := prepared(t, bench.Config{Device: cpu.Device{Threads: 3}, Params: map[string]string{"nonces": fmt.Sprint(nonces)}}, nil)
	defer w.Close()
	var mu sync.Mutex
	var all []asked
	var total uint64
	for _, th := range w.threads {
		inner := th.scan
		th.scan = func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
			mu.Lock()
			total += n
			if th.next < th.nonces && uint32(th.next) == first {
				all = append(all, asked{th.header, first, n})
			}
			mu.Unlock()
			return inner(dst, job, first, n)
		}
	}
	done := bench.NewCounter()
	const runs = 3
	for i := range uint64(runs) {
		runFor(t, w, done, (i+1)*20_000)
	}
	count, _, ok := done.Load()
	require.True(t, ok)
	require.Equal(t, total, count)

	var sum tally
	covered := map[sha256d.Header]uint64{}
	for _, th := range w.threads {
		sum.add(th.tally)
	}
	for _, a := range all {
		require.Equal(t, covered[a.header], uint64(a.first), "a header is scanned from zero on, without gap or overlap")
		covered[a.header] += a.n
		require.LessOrEqual(t, covered[a.header], uint64(nonces))
	}
	require.GreaterOrEqual(t, sum.planted, uint64(runs), "a plant in each run")
	require.Equal(t, count, sum.hashes+sum.planted*w.threads[0].chunk)
}

func TestHeaders(t *testing.T) {
	seen := map[sha256d.Header]bool{}
	roots := map[string]int{}
	for _, h := range []headers{{seed: 1}, {seed: 1, thread: 1}, {seed: 2}, {seed: 2, thread: 1}} {
		again := h
		for range 2*ntimeSpan + 1 {
			header := h.take()
			if header != again.take() {
				t.Fatal("the same seed gives different headers")
			}
			if seen[header] {
				t.Fatal("a header comes twice")
			}
			seen[header] = true
			roots[string(header[36:68])]++
		}
	}
	require.Len(t, roots, 4*3)
	for _, n := range roots {
		require.LessOrEqual(t, n, ntimeSpan, "time is rolled by two hours at most")
	}
}

func TestPlantsMove(t *testing.T) {
	w := prepared(t, bench.Config{}, nil)
	defer w.Close()
	th := w.threads[0]
	offsets := map[uint32]bool{}
	inner := th.scan
	th.scan = func(dst []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
		offsets[first] = true
		return inner(dst, job, first, n)
	}
	for range 50 {
		th.plant()
	}
	require.Greater(t, len(offsets), 40)
	require.Equal(t, uint64(50), th.found)
}
