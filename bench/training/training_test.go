package training

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

// prepared opens and prepares a workload over a small set of digits, kept as
// MNIST's files are; edit may change it before it is prepared.
func prepared(t *testing.T, cfg bench.Config, edit func(*workload)) *workload {
	t.Helper()
	if cfg.Params == nil {
		cfg.Params = map[string]string{"dataset": smallSet(t)}
	}
	opened, err := New(cfg)
	require.NoError(t, err)
	w := opened.(*workload)
	if edit != nil {
		edit(w)
	}
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	require.NoError(t, w.Prepare(t.Context()))
	return w
}

// bestRow multiplies as this CPU does best.
func bestRow(t *testing.T) gemmFunc {
	t.Helper()
	row, err := sgemm.Table.Pick(cpu.Info(), "")
	require.NoError(t, err)
	return row.Impl.GemmEpilogue
}

// bestVector is the row of kernels/vector that is chosen by rank.
func bestVector(t *testing.T) *vector.Implementation {
	t.Helper()
	row, err := vector.Table.Pick(cpu.Info(), "")
	require.NoError(t, err)
	return row.Impl
}

// testBatch is small: gonum multiplies in these tests.
const testBatch = 64

// newTestModel returns a fresh perceptron that multiplies with gonum's row.
func newTestModel(t *testing.T, threads int, seed uint32) *model {
	t.Helper()
	row, err := sgemm.Table.ByName("gonum")
	require.NoError(t, err)
	m, err := newModel(suite[0], testBatch, threads, row.Impl.GemmEpilogue, bestVector(t))
	require.NoError(t, err)
	m.bind()
	require.NoError(t, m.reset(random(seed, weightStream, 0)))
	return m
}

// gpu is a card of 16 GB that is not opened.
var gpu = device.Unopened{About: device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "fake", Memory: 16e9, Lanes: 1 << 14, Features: []string{"mma", "fp64"}}}

func TestConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		name string
		cfg  bench.Config
		want string
	}{
		{"implementation", bench.Config{Impl: "abacus"}, "gonum"},
		{"threads", bench.Config{Device: cpu.Device{Threads: -1}}, "-1 threads"},
		{"many threads", bench.Config{Device: cpu.Device{Threads: maxThreads + 1}}, "use 1 to"},
		{"option", bench.Config{Params: map[string]string{"epochs": "3"}}, "no option epochs: known are model, vector, batch, dataset, goal, lr"},
		{"batch", bench.Config{Params: map[string]string{"batch": "0"}}, "batch=0: it is a number of samples"},
		{"vector", bench.Config{Params: map[string]string{"vector": "abacus"}}, `vector=abacus: vector: no implementation "abacus": use one of `},
		{"model", bench.Config{Params: map[string]string{"model": "gpt"}}, "model=gpt: it is one of mlp, mlp-big, cnn, transformer, gpt-mini, "},
		{"network on a card", bench.Config{Device: gpu, Params: map[string]string{"model": "cnn"}}, "model=cnn: it runs on a CPU only: on a GPU it is one of gpt-mini, gpt-124m, gpt-1.5b"},
		{"vector on a card", bench.Config{Device: gpu, Params: map[string]string{"vector": "generic"}}, "no option vector: known are model, batch, dataset, goal, lr"},
		{"too large for a card", bench.Config{Device: gpu, Params: map[string]string{"model": "gpt-1.5b"}}, "gpt-1.5b with batch=1 takes "},
		{"loss", bench.Config{Params: map[string]string{"model": "gpt-mini", "goal": "30"}}, "goal=30: it is a held-out loss"},
		{"digits for a language model", bench.Config{Params: map[string]string{"model": "gpt-mini", "dataset": "digits"}}, "dataset=digits: it is language"},
		{"goal 0", bench.Config{Params: map[string]string{"goal": "0"}}, "goal=0"},
		{"goal above 1", bench.Config{Params: map[string]string{"goal": "97"}}, "goal=97"},
		{"goal NaN", bench.Config{Params: map[string]string{"goal": "NaN"}}, "goal=NaN"},
		{"lr", bench.Config{Params: map[string]string{"lr": "-0.1"}}, "lr=-0.1"},
		{"lr infinite", bench.Config{Params: map[string]string{"lr": "Inf"}}, "lr=Inf"},
		{"no such directory", bench.Config{Params: map[string]string{"dataset": file + "s"}}, "no such file"},
		{"no directory", bench.Config{Params: map[string]string{"dataset": file}}, "directory with the files of MNIST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.cfg)
			require.ErrorIs(t, err, bench.ErrUsage)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestInfo(t *testing.T) {
	w, err := New(bench.Config{Impl: "gonum", Device: cpu.Device{Threads: 3}, Seed: 5, Params: map[string]string{"lr": "0.5", "vector": "generic"}})
	require.NoError(t, err)
	require.Equal(t, bench.Info{
		Name: "training", Use: "training", Device: "cpu", Impl: "gonum", Unit: results.Sample, Threads: 3,
		FlopPerCount: 1636352, Formula: "2·(2·784·512) + 3·(2·512·10)", Seed: 5,
		Params: map[string]string{
			"model": "mlp", "optimiser": "sgd, lr × 0.1 from the goal on", "batch": "256", "global_batch": "768",
			"dataset": "digits", "goal": "0.97", "lr": "0.5", "vector": "generic",
		},
	}, w.Info())
}

// enough is a context that ends after it was asked a number of times: Run asks
// once a step.
type enough struct {
	context.Context
	steps int
}

func (c *enough) Err() error {
	if c.steps == 0 {
		return context.Canceled
	}
	c.steps--
	return nil
}

func verdict(t *testing.T, w *workload, name string) results.Check {
	t.Helper()
	checks := w.Check()
	i := slices.IndexFunc(checks, func(c results.Check) bool { return c.Name == name })
	require.GreaterOrEqual(t, i, 0, "no check %s", name)
	return checks[i]
}

// The whole course: the digits are learned, everything is counted, and the
// checks are content.
func TestReachesTarget(t *testing.T) {
	w := prepared(t, bench.Config{Impl: "gonum", Device: cpu.Device{Threads: 2}, Seed: 3}, func(w *workload) { w.goal = 0.85 })
	require.Equal(t, "target phase left out", verdict(t, w, "target").Detail)
	done := bench.NewCounter()
	target, err := w.Reach(t.Context(), done)
	require.NoError(t, err)
	require.Equal(t, "accuracy", target.Metric)
	require.GreaterOrEqual(t, target.Reached, target.Goal)
	require.Equal(t, target.Steps*2*256, target.Samples)
	accuracy, err := w.model.accuracy(w.heldOut)
	require.NoError(t, err)
	require.Equal(t, float64(target.Reached), accuracy, "Run goes on from the state that reached the goal")
	count, _, _ := done.Load()
	require.EqualValues(t, target.Samples, count)

	require.NoError(t, w.Run(&enough{t.Context(), 2}, done))
	count, _, _ = done.Load()
	require.EqualValues(t, target.Samples+2*2*256, count)
	require.EqualValues(t, (target.Steps+2)*2*5, w.model.products().calls, "looking is not counted")
	for _, c := range w.Check() {
		require.True(t, c.OK, "%s: %s", c.Name, c.Detail)
		t.Logf("%s: %s", c.Name, c.Detail)
	}

	clear(w.model.weights[1]) // what was reached and then lost is no result
	require.False(t, verdict(t, w, "target").OK)
}

func TestReachGivesUp(t *testing.T) {
	w := prepared(t, bench.Config{Impl: "gonum"}, func(w *workload) { w.limit = 2 })
	_, err := w.Reach(t.Context(), bench.NewCounter())
	require.ErrorContains(t, err, "reach accuracy 0.97: still at 0.")
	require.ErrorContains(t, err, "after 2 steps: set a lower goal")

	_, err = w.Reach(&enough{t.Context(), 1}, bench.NewCounter())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "after 1 steps")
}

// The losses depend on the seed and the number of threads, to the last bit,
// and on nothing else.
func TestDeterminism(t *testing.T) {
	set, err := digits(t.Context(), 1024, 2, 1, trainStream)
	require.NoError(t, err)
	losses := func(threads int, seed uint32) (l []float32) {
		m := newTestModel(t, threads, seed)
		from := newStream(set, random(seed, orderStream, 0))
		for range 4 {
			require.NoError(t, m.next(from))
			loss, err := m.step(0.4)
			require.NoError(t, err)
			l = append(l, loss)
		}
		return append(l, m.weights[0][0], m.weights[1][classes*512-1])
	}
	one, two := losses(1, 7), losses(2, 7)
	require.Equal(t, one, losses(1, 7))
	require.Equal(t, two, losses(2, 7))
	require.NotEqual(t, one, two)
	require.NotEqual(t, one, losses(1, 8))
}

// Kernels that compute something else are found out before anything is
// measured, and nothing can be reached with them.
func TestBrokenKernel(t *testing.T) {
	type args struct {
		tA, tB    bool
		m, n, k   int
		beta      float32
		ldc       int
		before, c []float32
	}
	// off makes what a product adds one hundredth too large.
	off := func(g args) {
		for i := range g.m {
			for j := range g.n {
				at := i*g.ldc + j
				g.c[at] += 0.01 * (g.c[at] - g.beta*g.before[at])
			}
		}
	}
	for name, spoil := range map[string]func(args){
		"nothing but zeros": func(g args) { clear(g.c) },
		"last row missing":  func(g args) { clear(g.c[(g.m-1)*g.ldc:][:g.n]) },
		"hidden gradient off": func(g args) {
			if g.tB {
				off(g)
			}
		},
		"weight gradient off": func(g args) {
			if g.tA {
				off(g)
			}
		},
		"not a number": func(g args) { g.c[0] = float32(math.NaN()) },
	} {
		for _, model := range names(suite) {
			if testing.Short() && model != "mlp" {
				continue
			}
			t.Run(model+"/"+name, func(t *testing.T) {
				good := bestRow(t)
				w := prepared(t, bench.Config{Device: cpu.Device{Threads: 2}, Params: map[string]string{"dataset": smallSet(t), "model": model}}, func(w *workload) {
					w.gemm = func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e sgemm.Epilogue) {
						before := slices.Clone(c[:(m-1)*ldc+n])
						good(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, e)
						spoil(args{tA, tB, m, n, k, beta, ldc, before, c})
					}
				})
				c := verdict(t, w, "reference")
				t.Log(c.Detail)
				require.False(t, c.OK)
				require.Contains(t, c.Detail, "multiplies wrongly")
				_, err := w.Reach(t.Context(), bench.NewCounter())
				require.ErrorContains(t, err, c.Detail)
			})
		}
	}
	t.Run("does nothing", func(t *testing.T) {
		w := prepared(t, bench.Config{Impl: "gonum"}, func(w *workload) {
			w.gemm = func(bool, bool, int, int, int, float32, []float32, int, []float32, int, float32, []float32, int, sgemm.Epilogue) {
			}
		})
		require.False(t, verdict(t, w, "reference").OK)
		require.NoError(t, w.Run(&enough{t.Context(), 8}, bench.NewCounter()))
		require.False(t, verdict(t, w, "loss").OK)
	})
}

// A kernel that goes wrong later is found out as well.
func TestLateNaN(t *testing.T) {
	w := prepared(t, bench.Config{Impl: "gonum"}, nil)
	c := w.model.replicas[0].core
	good := c.gemm
	c.gemm = func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e sgemm.Epilogue) {
		good(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, e)
		c[0] = float32(math.NaN())
	}
	require.NoError(t, w.Run(&enough{t.Context(), 1}, bench.NewCounter()))
	require.Equal(t, results.Check{Use: "training", Name: "loss", Detail: "not finite from step 1 on"}, verdict(t, w, "loss"))
	_, err := w.Reach(t.Context(), bench.NewCounter())
	require.ErrorContains(t, err, "loss is NaN at step 1: try a lower learning rate than lr=0.3")
}

// idle is a virtual machine that is told to run and does nothing, as Gorgonia's
// LispMachine when it is reset and run again.
type idle struct{ gorgonia.VM }

func (idle) RunAll() error { return nil }

func TestIdleMachine(t *testing.T) {
	w := prepared(t, bench.Config{Impl: "gonum"}, nil)
	require.True(t, verdict(t, w, "products").OK)
	w.model.replicas[0].train = idle{w.model.replicas[0].train}
	require.NoError(t, w.Run(&enough{t.Context(), 8}, bench.NewCounter()))
	c := verdict(t, w, "products")
	require.False(t, c.OK)
	require.Contains(t, c.Detail, "the steps needed 40 of")
	require.False(t, verdict(t, w, "loss").OK)
}

func TestPrepareStops(t *testing.T) {
	for _, params := range []map[string]string{nil, {"dataset": smallSet(t)}} {
		w, err := New(bench.Config{Params: params})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, w.Prepare(ctx), context.Canceled)
		require.NoError(t, w.Close())
	}
}

// Every network follows the reference, with one replica and with two, and also
// where the batch asked for is not that of the reference.
func TestReference(t *testing.T) {
	models := names(suite)
	if testing.Short() {
		models = models[:1]
	}
	for _, model := range models {
		for _, threads := range []int{1, 2} {
			w := prepared(t, bench.Config{Device: cpu.Device{Threads: threads}, Params: map[string]string{"dataset": smallSet(t), "model": model}}, nil)
			c := verdict(t, w, "reference")
			t.Log(model, threads, c.Detail)
			require.True(t, c.OK, c.Detail)
			require.Contains(t, c.Detail, "the first 20 losses")
		}
	}
	w := prepared(t, bench.Config{Params: map[string]string{"dataset": smallSet(t), "batch": "8"}, Again: true}, nil)
	require.True(t, verdict(t, w, "reference").OK)
	require.Contains(t, verdict(t, w, "reference").Detail, "the first 5 losses", "where all were compared before")
	require.NoError(t, w.Run(&enough{t.Context(), 3}, bench.NewCounter()))
	require.True(t, verdict(t, w, "products").OK)
}

// What would not fit is refused before any of it is taken.
func TestTooLarge(t *testing.T) {
	for _, model := range AllModels() {
		_, err := New(bench.Config{Device: cpu.Device{Threads: maxThreads}, Params: map[string]string{"model": model, "batch": "1000000"}})
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, model+" with 1024 threads and batch=1000000 takes ")
		require.ErrorContains(t, err, "B and ")
	}
}

// The bytes that are said to be needed are those that are taken.
func TestBytes(t *testing.T) {
	for _, net := range append(suite[:len(suite):len(suite)], languageModels[0]) {
		t.Run(net.name, func(t *testing.T) {
			m, err := newModel(net, net.batch, 1, bestRow(t), bestVector(t))
			require.NoError(t, err)
			r := m.replicas[0]
			// Until nothing more is freed: what sgemm keeps in a pool outlives one collection,
			// and what waits for a finalizer any number of them on a busy machine.
			heap := func() int64 {
				var m runtime.MemStats
				for was, same := int64(0), 0; same < 3; time.Sleep(time.Millisecond) {
					runtime.GC()
					runtime.ReadMemStats(&m)
					now := int64(m.HeapAlloc)
					if same++; max(now-was, was-now) > 1<<14 {
						was, same = now, 0
					}
				}
				return int64(m.HeapAlloc)
			}
			taken := -heap()
			m.bind()
			if l, ok := net.language(); ok {
				_, err := m.documents(fixedText{1, l.vocab}, trainStream, 0)
				require.NoError(t, err)
			} else {
				r.fixed(0)
			}
			_, err = m.step(0)
			require.NoError(t, err)
			taken += heap()
			require.InEpsilon(t, r.bytes+net.state().Total(), taken, 0.05)
			runtime.KeepAlive(m)
		})
	}
}

// Formulas as printed say what the layers count.
func TestFormulas(t *testing.T) {
	for name, want := range map[string]float64{
		"mlp":         2*(2*784*512) + 3*(2*512*10),
		"mlp-big":     2*(2*784*2048) + 3*(2*2048*2048+2*2048*10),
		"cnn":         2*(2*784*9*32) + 3*(2*196*288*64+2*3136*128+2*128*10),
		"transformer": 2*64*256*(2*768+3*256+6*1024) + 6*(2*64*64*256) + 3*(2*256*10),
	} {
		net, err := lookup(name, false)
		require.NoError(t, err)
		require.Equal(t, want, net.flop(), name)
		require.NotEmpty(t, net.formula)
	}
}

// GPT-2 has 124,439,808 weights in its smallest form and 1,557,611,200 in its largest,
// with 50,257 tokens; ours have 47 more. llm.c takes 803 MFLOP a token for the former.
func TestSizesOfGPT2(t *testing.T) {
	for name, want := range map[string]int64{"gpt-124m": 124439808 + 47*768, "gpt-1.5b": 1557611200 + 47*1600} {
		net, err := lookup(name, false)
		require.NoError(t, err)
		l, _ := net.language()
		require.Equal(t, want, l.size(), name)
	}
	require.InDelta(t, 803e6, languageModels[1].flop(), 1e6)
	require.Equal(t, "6·124475904 + 6·12·768·1024", languageModels[1].formula)
}
