package all

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/device/foreign"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/results"
)

func TestChoose(t *testing.T) {
	row := func(name string, check error, count float64) kernels.Candidate {
		return kernels.Candidate{Name: name, Supported: true, Check: func() error { return check }, Library: func() string { return "BLAS of " + name }, Work: func() float64 { return count }}
	}
	absent := kernels.Candidate{Name: "absent", Needs: []string{"WINGS"}}
	rows := []kernels.Candidate{absent, row("wrong", errors.New("2 + 2 is 5"), 1e9), row("slow", nil, 1), row("fast", nil, 1e6),
		row("gone", fmt.Errorf("libsums.so.1: %w", foreign.ErrAbsent), 1e9)}
	for _, c := range []struct {
		name          string
		rows          []kernels.Candidate
		byRank, force string
		chosen, why   string
		err           string
		usage         bool
	}{
		{name: "fastest", rows: rows, chosen: "fast", why: whyFastest},
		{name: "by rank", rows: rows, byRank: "because", chosen: "slow", why: "because"},
		{name: "asked for", rows: rows, byRank: "because", force: "fast", chosen: "fast", why: "asked for"},
		{name: "asked for and wrong", rows: rows, force: "wrong", err: "sums=wrong gives wrong answers on this device: 2 + 2 is 5"},
		{name: "asked for and not found", rows: rows, force: "absent", err: "absent lacks WINGS", usage: true},
		{name: "asked for without its library", rows: rows, force: "gone", err: "sums=gone does not run on this device: libsums.so.1: the library is not on this machine", usage: true},
		{name: "none is right", rows: rows[:2], byRank: "because", err: "kernel sums: no implementation gives right answers on this device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			find := func(name string) error {
				if name == "absent" {
					return errors.New("absent lacks WINGS")
				}
				return nil
			}
			k, err := choose(t.Context(), kernels.Trial{Kernel: "sums", Unit: "FLOP", ByRank: c.byRank, Rows: c.rows, Find: find}, c.force)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.Equal(t, c.usage, errors.Is(err, bench.ErrUsage))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.chosen, k.Chosen)
			require.Equal(t, c.why, k.Why)
			require.True(t, k.Impls[0].Rate.IsAbsent())
			require.Equal(t, "2 + 2 is 5", k.Impls[1].Check)
			require.Empty(t, k.Impls[1].Library)
			require.Greater(t, k.Impls[3].Rate, k.Impls[2].Rate)
			require.Equal(t, "BLAS of fast", k.Impls[3].Library)
			require.False(t, k.Impls[4].Supported)
			require.Equal(t, "libsums.so.1: the library is not on this machine", k.Impls[4].Check)
			require.True(t, k.Impls[4].Rate.IsAbsent())
		})
	}
}

// Beside busy neighbours a process runs for 3 ms and waits for many more. At whatever
// point of that the trial begins, the choice is the same, and rows about as fast as
// each other are chosen by rank.
func TestChooseBesideNeighbours(t *testing.T) {
	const runs = 3 * time.Millisecond
	for _, c := range []struct {
		name   string
		took   []time.Duration // of a stretch of work of each row
		chosen string
	}{
		{"twice as fast", []time.Duration{200_000, 100_000, 400_000}, "row 1"},
		{"8 % faster", []time.Duration{108_000, 100_000, 400_000}, "row 1"},
		{"3 % faster", []time.Duration{103_000, 100_000, 101_000}, "row 0"},
		{"slow rows", []time.Duration{1_500_000, 700_000}, "row 1"},
	} {
		for i := range 2 * 15 { // ms since the process began to run
			since, waits := i%15, []time.Duration{12 * time.Millisecond, 300 * time.Millisecond}[i/15]
			synctest.Test(t, func(t *testing.T) {
				began := time.Now().Add(-time.Duration(since) * time.Millisecond)
				run := func(d time.Duration) {
					for d > 0 {
						if at := time.Since(began) % (runs + waits); at < runs {
							step := min(d, runs-at)
							time.Sleep(step)
							d -= step
						} else {
							time.Sleep(runs + waits - at)
						}
					}
				}
				trial := kernels.Trial{Kernel: "sums", Unit: "FLOP"}
				for i, took := range c.took {
					trial.Rows = append(trial.Rows, kernels.Candidate{Name: fmt.Sprint("row ", i), Supported: true, Check: func() error { return nil },
						Library: func() string { return "" }, Work: func() float64 { run(took); return 1 }})
				}
				k, err := choose(t.Context(), trial, "")
				require.NoError(t, err)
				require.Equal(t, c.chosen, k.Chosen, "%s, waits of %v, %d ms after it began to run", c.name, waits, since)
			})
		}
	}
}

// The first in rank is disturbed as long as the first passes last, and chosen all the same;
// a row that is truly faster is chosen, too.
func TestChooseAfterADisturbance(t *testing.T) {
	for want, disturbed := range map[string]time.Duration{"first": 50 * time.Millisecond, "second": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			row := func(name string, took func() time.Duration) kernels.Candidate {
				return kernels.Candidate{Name: name, Supported: true, Check: func() error { return nil }, Library: func() string { return "" },
					Work: func() float64 { time.Sleep(took()); return 1 }}
			}
			k, err := choose(t.Context(), kernels.Trial{Kernel: "sums", Unit: "FLOP", Rows: []kernels.Candidate{
				row("first", func() time.Duration {
					if time.Since(began) < disturbed {
						return 200 * time.Microsecond
					}
					return 90 * time.Microsecond
				}),
				row("second", func() time.Duration { return 120 * time.Microsecond }),
				row("third", func() time.Duration { return time.Millisecond }),
			}}, "")
			require.NoError(t, err)
			require.Equal(t, want, k.Chosen)
			require.Greater(t, k.Impls[slices.IndexFunc(k.Impls, func(im results.Impl) bool { return im.Name == want })].Rate, k.Impls[2].Rate)
		})
	}
}

// A process may be stopped for longer than an interpreter takes: a row of the CPU is timed
// again all the same.
func TestChooseAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		row := func(name string, took time.Duration) kernels.Candidate {
			return kernels.Candidate{Name: name, Supported: true, Check: func() error { return nil }, Library: func() string { return "" }, Work: func() float64 {
				if !stopped {
					time.Sleep(time.Minute)
				}
				stopped = true
				time.Sleep(took)
				return 1
			}}
		}
		k, err := choose(t.Context(), kernels.Trial{Kernel: "sums", Unit: "FLOP", Rows: []kernels.Candidate{row("fast", 100*time.Microsecond), row("slow", time.Millisecond)}}, "")
		require.NoError(t, err)
		require.Equal(t, "fast", k.Chosen)
	})
}

// A trial comes with every start: its operands must not take the memory, however large
// the caches are.
func TestTrialMemory(t *testing.T) {
	on := device.Unopened{About: cpu.Info()}
	for _, table := range tables {
		if !table.RunsOn(on.Info()) {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		trial := table.Trial(on, 1<<40)
		for _, row := range trial.Rows {
			if row.Supported {
				require.NoError(t, row.Check())
				row.Work()
			}
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), table.ID())
	}
}

func TestForced(t *testing.T) {
	card := device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "CUDA 12.4"}
	both := []device.Info{cpu.Info(), card}
	for _, c := range []struct {
		force map[string]string
		err   string
	}{
		{map[string]string{"abacus": "beads"}, `unknown kernel "abacus": known are sha256d, sgemm, `},
		{map[string]string{"vector": "beads"}, `vector: no implementation "beads": use one of `},
	} {
		_, err := Forced(both, c.force)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, c.err)
	}
	_, err := Forced([]device.Info{card}, map[string]string{"vector": "generic"})
	require.ErrorContains(t, err, "kernel vector has no implementation on the devices of the session")
	// Each device takes what it can run.
	got, err := Forced(both, map[string]string{"sha256d": "stdlib", "vector": "generic"})
	require.NoError(t, err)
	require.Equal(t, map[string]map[string]string{"cpu": {"sha256d": "stdlib", "vector": "generic"}, "cuda:0": {}}, got)
}

func TestRuns(t *testing.T) {
	card := device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "CUDA 12.4"}
	for _, use := range []string{"control", "mining", "training", "compute", "memory"} {
		require.True(t, Runs(use, cpu.Info()), use)
	}
	require.False(t, Runs("compute-bf16", cpu.Info()))
	require.True(t, Runs("compute", card))
	require.True(t, Runs("compute-bf16", card))
	require.False(t, Runs("compute-tf32", card), "without tensor cores")
	require.True(t, Runs("mining", card))
	require.False(t, Runs("control", card))
	require.True(t, Runs("training", card))
	require.True(t, Runs("training-bf16", card))
	require.False(t, Runs("training-bf16", cpu.Info()))
	require.False(t, Runs("knitting", cpu.Info()))
}

// Every network that a device trains has a plan of its memory, or the reason why it does
// not fit what is free there.
func TestMemoryPlans(t *testing.T) {
	card := device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "CUDA 12.4", Memory: 16e9, Free: 12e9, Features: []string{"mma"}}
	describe := func(c device.Config) device.Device {
		if c.Processor() {
			return device.Unopened{About: c.Info}
		}
		return cpu.Device{Threads: c.Threads}
	}
	plans := map[string]results.MemoryPlan{}
	for _, p := range MemoryPlans([]device.Info{cpu.Info(), card}, describe) {
		plans[p.Use+" "+p.Device+" "+p.Model] = p
		if p.Why == "" {
			require.Positive(t, p.Batch)
			require.Equal(t, p.Weights+p.Gradients+p.Optimiser+p.Activations+p.Workspace, p.Total)
			require.Less(t, p.Weights, p.Total)
		}
	}
	require.Len(t, plans, len(AllModels())+2*3)
	const n = 124_475_904 // parameters of gpt-124m; buffers are a little longer
	for use, bytes := range map[string]int64{"training": 4, "training-bf16": 2} {
		p := plans[use+" cuda:0 gpt-124m"]
		require.InEpsilon(t, bytes*n, p.Weights, 1e-3)
		require.InEpsilon(t, 4*n, p.Gradients, 1e-3)
		require.InEpsilon(t, map[string]int64{"training": 8, "training-bf16": 12}[use]*n, p.Optimiser, 1e-3)
		require.LessOrEqual(t, p.Total, card.Free)
		require.Equal(t, card.Free, p.Free)
		p = plans[use+" cuda:0 gpt-1.5b"]
		require.Zero(t, p.Total)
		require.Contains(t, p.Why, "cuda:0 has 16 GB, of which 12 GB are free")
	}
}

// A processor's kernels are opened, checked and timed; the CPU's are not its.
func TestKernelsOfProcessor(t *testing.T) {
	on := &ptx.Processor{Arch: "sm_75"}
	got, err := Kernels(t.Context(), on, nil, []string{"sha256d", "vector"})
	require.NoError(t, err)
	i := slices.IndexFunc(got, func(k results.Kernel) bool { return k.Name == "sha256d" })
	require.Equal(t, "simt", got[i].Chosen)
	require.Equal(t, "ok", got[i].Impls[0].Check)
	require.Positive(t, float64(got[i].Impls[0].Rate))
	require.False(t, slices.ContainsFunc(got, func(k results.Kernel) bool { return k.Name == "vector" || k.Device != on.Info().ID }))
}
