package stream

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/results"
)

type kernel = func(a, b, c []float64, s float64)

func config(n, threads int) bench.Config {
	return bench.Config{Impl: "generic", Device: cpu.Device{Threads: threads}, Seed: 5, Params: map[string]string{"n": strconv.Itoa(n)}}
}

func open(t *testing.T, cfg bench.Config) *workload {
	t.Helper()
	w, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w.(*workload)
}

// steps makes n steps of every thread.
func (w *workload) steps(n int) {
	w.each(func(t *thread) {
		for range n {
			t.step(w.triad)
		}
	})
}

func verdicts(checks []results.Check) map[string]bool {
	ok := map[string]bool{}
	for _, c := range checks {
		ok[c.Name] = c.OK
	}
	return ok
}

var (
	good    = map[string]bool{"sampled": true, "arrays": true}
	nothing = map[string]bool{"sampled": false, "arrays": false}
)

func TestInfo(t *testing.T) {
	best, err := stream.Table.Pick(cpu.Info(), "")
	require.NoError(t, err)
	w, err := New(bench.Config{Device: cpu.Device{Threads: 2}, Seed: 7})
	require.NoError(t, err)
	got := w.Info()
	llc, err := strconv.Atoi(got.Params["llc"])
	require.NoError(t, err)
	require.Equal(t, bench.Info{
		Name: "stream", Use: "memory", Device: "cpu", Impl: best.Name, Unit: results.Byte, Threads: 2, Seed: 7,
		Params: map[string]string{"n": strconv.Itoa(elements(LastLevelCaches())), "llc": got.Params["llc"]},
	}, got)
	n, err := strconv.Atoi(got.Params["n"])
	require.NoError(t, err)
	require.GreaterOrEqual(t, 8*n, 4*llc, "run rule of STREAM")
	require.GreaterOrEqual(t, n, 1_000_000)
	require.Equal(t, 1_000_000, elements(1<<20), "however small the caches")
}

func TestRefusals(t *testing.T) {
	n := func(v string) bench.Config { return bench.Config{Params: map[string]string{"n": v}} }
	for _, c := range []struct {
		cfg  bench.Config
		want string
	}{
		{bench.Config{Impl: "fpga"}, `no implementation "fpga": use one of `},
		{bench.Config{Device: cpu.Device{Threads: -1}}, "-1 threads: use 1 or more"},
		{bench.Config{Params: map[string]string{"m": "1"}}, `unknown option "m": the only one is n`},
		{n("7"), `n is "7": use a whole number from 8 to 1099511627776`},
		{n("1e6"), `n is "1e6"`},
		{config(30, 4), "n=30 gives work to 3 threads, not 4: use a larger n or fewer threads"},
		{n("1099511627776"), " take 26.39 TB and "},
	} {
		_, err := New(c.cfg)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, c.want)
	}
}

// TestParts holds threads to have all elements between them, each one's on
// lines of its own, and the same values however many they are.
func TestParts(t *testing.T) {
	one := open(t, config(1003, 1))
	require.NoError(t, one.Prepare(t.Context()))
	for _, threads := range []int{2, 3, 125} {
		w := open(t, config(1003, threads))
		require.NoError(t, w.Prepare(t.Context()))
		var b, c []float64
		for _, k := range w.threads {
			require.Zero(t, k.from%line)
			require.Equal(t, len(b), k.from)
			require.NotEmpty(t, k.a)
			b, c = append(b, k.b...), append(c, k.c...)
		}
		require.Equal(t, one.threads[0].b, b)
		require.Equal(t, one.threads[0].c, c)
		require.NotEqual(t, b, c)
	}
	for i := range 10_000 {
		if v := value(42, i); !(v >= 1 && v < 2) {
			t.Fatalf("element %d is %v", i, v)
		}
	}
}

// TestSteps holds each step to be counted and every element to be right after
// each of them, which Check must agree with.
func TestSteps(t *testing.T) {
	w := open(t, config(2*chunk+17, 1))
	require.NoError(t, w.Prepare(t.Context()))
	require.Equal(t, nothing, verdicts(w.Check()))
	k := w.threads[0]
	var got []int
	for range 7 {
		w.each(func(k *thread) { got = append(got, k.step(w.triad)) })
		require.Equal(t, good, verdicts(w.Check()))
	}
	require.Equal(t, []int{chunk, chunk, 17, chunk, chunk, 17, chunk}, got)
	for i, v := range k.a {
		pass := uint64(1)
		if i < chunk {
			pass = 2
		}
		if want := k.b[i] + float64(scalar(pass)*k.c[i]); v != want {
			t.Fatalf("a[%d] is %v, want %v", i, v, want)
		}
	}
	require.Equal(t, []float64{1, 1 + 0x1p-20, 2 - 0x1p-20, 1}, []float64{scalar(0), scalar(1), scalar(1<<20 - 1), scalar(1 << 20)})
}

func TestRunCounts(t *testing.T) {
	w := open(t, config(chunk+chunk/2, 1))
	require.ErrorContains(t, w.Run(t.Context(), bench.NewCounter()), "call Prepare first")
	require.NoError(t, w.Prepare(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	right := w.triad
	w.triad = func(a, b, c []float64, s float64) {
		if right(a, b, c, s); calls == 4 {
			cancel()
		}
		calls++
	}
	done := bench.NewCounter()
	require.NoError(t, w.Run(ctx, done))
	count, _, _ := done.Load()
	require.EqualValues(t, 24*4*chunk, count, "five stretches, of which each second is half of one")
}

// TestBroken has kernels that are wrong in every way that might look like
// speed, each of which must be found out within a few passes.
func TestBroken(t *testing.T) {
	generic, err := stream.Table.ByName("generic")
	require.NoError(t, err)
	right := generic.Impl.Triad
	calls, memo := 0, map[*float64][]float64{}
	for _, c := range []struct {
		name   string
		triad  kernel
		checks map[string]bool
	}{
		{"does nothing", func(_, _, _ []float64, _ float64) {}, nothing},
		{"skips every fifth call", func(a, b, c []float64, s float64) {
			if calls++; calls%5 != 0 {
				right(a, b, c, s)
			}
		}, map[string]bool{"sampled": false, "arrays": true}},
		{"computes half", func(a, b, c []float64, s float64) {
			n := len(a) / 2
			right(a[:n], b[:n], c[:n], s)
		}, nothing},
		{"leaves out the last element", func(a, b, c []float64, s float64) {
			n := len(a) - 1
			right(a[:n], b[:n], c[:n], s)
		}, map[string]bool{"sampled": true, "arrays": false}},
		{"forgets s", func(a, b, c []float64, _ float64) { right(a, b, c, 1) }, nothing},
		{"remembers the first pass", func(a, b, c []float64, s float64) {
			if memo[&a[0]] == nil {
				right(a, b, c, s)
				memo[&a[0]] = slices.Clone(a)
			}
			copy(a, memo[&a[0]])
		}, nothing},
		{"computes in single precision", func(a, b, c []float64, s float64) {
			for i := range a {
				a[i] = float64(float32(b[i]) + float32(s)*float32(c[i]))
			}
		}, nothing},
		{"is off by one bit in a place", func(a, b, c []float64, s float64) {
			right(a, b, c, s)
			a[len(a)/3] *= 1 + 0x1p-52
		}, map[string]bool{"sampled": true, "arrays": false}},
		{"overwrites b", func(a, b, c []float64, s float64) {
			right(a, b, c, s)
			b[len(b)-1] = a[len(b)-1]
		}, nothing},
		{"overwrites c at the end", func(a, b, c []float64, s float64) {
			right(a, b, c, s)
			if s == scalar(11) {
				c[0] = 0
			}
		}, map[string]bool{"sampled": true, "arrays": false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, config(7000, 2))
			require.NoError(t, w.Prepare(t.Context()))
			w.triad = c.triad
			for range 12 { // in turn: the kernels above have state of their own
				for _, k := range w.threads {
					k.step(w.triad)
				}
			}
			checks := w.Check()
			if c.name == "overwrites b" { // what comes of it is sampled only by chance
				checks = checks[1:]
				c.checks = map[string]bool{"arrays": false}
			}
			require.Equal(t, c.checks, verdicts(checks), "%+v", checks)
			for _, k := range checks {
				if !k.OK {
					require.Contains(t, k.Detail, "; the first: ")
				}
			}
		})
	}
}

// TestWildStore finds what was written where nothing was to be computed yet.
func TestWildStore(t *testing.T) {
	w := open(t, config(2*chunk, 1))
	require.NoError(t, w.Prepare(t.Context()))
	w.steps(1)
	w.threads[0].a[chunk+5] = 3
	checks := w.Check()
	require.Equal(t, map[string]bool{"sampled": true, "arrays": false}, verdicts(checks))
	require.Contains(t, checks[1].Detail, fmt.Sprintf("1 of 3·%d elements in memory are wrong, %d of them are answers; the first: a[%d] is 3, want NaN", 2*chunk, chunk, chunk+5))
}

func TestPrepareRefusesWrongKernels(t *testing.T) {
	w := open(t, config(8000, 2))
	right := w.triad
	w.triad = func(a, b, c []float64, s float64) {
		right(a, b, c, s)
		a[len(a)-1] = 0
	}
	require.ErrorContains(t, w.Prepare(t.Context()), "stream: generic is wrong on this machine: a[1002] is 0, want ")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Prepare(ended), context.Canceled)
	w.triad = right
	require.NoError(t, w.Prepare(t.Context()), "again")
	w.steps(1)
	require.Equal(t, good, verdicts(w.Check()))
}

func TestLastLevelCaches(t *testing.T) {
	index := func(level, kind, size, shared string) map[string]string {
		return map[string]string{"level": level, "type": kind, "size": size, "shared_cpu_list": shared}
	}
	for _, c := range []struct {
		name string
		cpus map[int][]map[string]string // its caches by index
		use  []int
		want int64
	}{
		{"one for two CPUs", map[int][]map[string]string{
			0: {index("1", "Data", "32K", "0"), index("2", "Unified", "512K", "0"), index("3", "Unified", "32768K", "0-1")},
			1: {index("1", "Data", "32K", "1"), index("2", "Unified", "512K", "1"), index("3", "Unified", "32768K", "0-1")},
		}, []int{0, 1}, 32 << 20},
		{"two sockets, one used", map[int][]map[string]string{
			0: {index("3", "Unified", "98304K", "0")}, 1: {index("3", "Unified", "98304K", "1")},
		}, []int{1}, 96 << 20},
		{"two sockets", map[int][]map[string]string{
			0: {index("3", "Unified", "98304K", "0")}, 1: {index("3", "Unified", "98304K", "1")},
		}, []int{0, 1}, 192 << 20},
		{"no third level", map[int][]map[string]string{
			0: {index("1", "Data", "32K", "0"), index("1", "Instruction", "48K", "0"), index("2", "Unified", "1024K", "0-3")},
		}, []int{0}, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			sys := t.TempDir()
			for cpu, caches := range c.cpus {
				for i, files := range caches {
					dir := filepath.Join(sys, fmt.Sprintf("devices/system/cpu/cpu%d/cache/index%d", cpu, i))
					require.NoError(t, os.MkdirAll(dir, 0o700))
					for _, name := range slices.Collect(maps.Keys(files)) {
						require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(files[name]+"\n"), 0o600))
					}
				}
			}
			require.Equal(t, c.want, lastLevelCaches(sys, c.use))
		})
	}
	require.Positive(t, lastLevelCaches(t.TempDir(), []int{0}), "of what the processor says, or what is assumed")
	require.EqualValues(t, 48<<20, fromCPUID(2<<20, 48<<20))
	require.EqualValues(t, hiddenCache, fromCPUID(1<<20, -1), "a guest that sees two levels")
	require.EqualValues(t, unknownCache, fromCPUID(-1, -1))
}

func FuzzSize(f *testing.F) {
	f.Add("32768K")
	f.Add("1099511627775K")
	f.Fuzz(func(t *testing.T, text string) { require.GreaterOrEqual(t, parseSize(text), int64(0)) })
}
