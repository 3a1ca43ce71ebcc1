package training

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

// untrained returns a workload that is ready to train, without the reference.
func untrained(t *testing.T, model string, seed uint32, set *dataset) *workload {
	t.Helper()
	opened, err := New(bench.Config{Seed: seed, Params: map[string]string{"model": model}})
	require.NoError(t, err)
	w := opened.(*workload)
	w.train, w.language = set, w.source
	w.model, err = newModel(w.net, w.batch, w.info.Threads, w.gemm, w.vec)
	require.NoError(t, err)
	w.model.bind()
	w.fresh()
	return w
}

// No window of a sound network is void, however short: at every number of steps up to
// more than the loss needs to fall. PERWATT_STEPS sets that number, and takes nine seeds
// rather than three.
func TestNoShortWindowIsVoid(t *testing.T) {
	seeds, models, most := uint32(3), append(names(suite), "gpt-mini"), 80
	if testing.Short() {
		seeds, models, most = 2, models[:1], 24
	}
	if s := os.Getenv("PERWATT_STEPS"); s != "" {
		_, err := fmt.Sscan(s, &most)
		require.NoError(t, err)
		seeds = 9
	}
	for seed := range seeds {
		set, err := digits(t.Context(), 2048, 2, seed+1, trainStream)
		require.NoError(t, err)
		for _, model := range models {
			w := untrained(t, model, seed+1, set)
			for w.steps < most {
				_, err := w.step()
				require.NoError(t, err)
				if w.steps < w.net.falls {
					continue // the check would train on
				}
				c := w.checkLoss()
				require.True(t, c.OK, "%s, seed %d: %s", model, seed+1, c.Detail)
				switch w.steps {
				case 8, 11, 22, 64, 65, 130, 220, 390, 1300:
					t.Logf("%s, seed %d: %s", model, seed+1, c.Detail)
				}
			}
		}
	}
}

// A window that ends before the loss has fallen is judged after more steps, which are
// products that the steps needed.
func TestJudgedAfterMoreSteps(t *testing.T) {
	set, err := digits(t.Context(), 512, 2, 1, trainStream)
	require.NoError(t, err)
	w := untrained(t, "mlp", 1, set)
	w.net.falls = 12
	require.NoError(t, w.Run(&enough{t.Context(), 7}, bench.NewCounter()))
	require.Contains(t, verdict(t, w, "loss").Detail, "7 steps are too few")
	require.NoError(t, w.Run(&enough{t.Context(), 3}, bench.NewCounter()))
	c := verdict(t, w, "loss")
	require.True(t, c.OK, c.Detail)
	require.Contains(t, c.Detail, "of 12 steps; 2 of them after the run")
	require.True(t, verdict(t, w, "products").OK)
	require.NotContains(t, verdict(t, w, "loss").Detail, "after the run", "once is enough")
}

// A network that does not learn is found, whatever the window.
func TestDoesNotLearn(t *testing.T) {
	set, err := digits(t.Context(), 512, 2, 1, trainStream)
	require.NoError(t, err)
	for name, plant := range map[string]func(*workload){
		"weights are not updated": func(w *workload) { w.rate = 0 },
		"uphill":                  func(w *workload) { w.rate = -w.lr / 100 },
		"no gradients": func(w *workload) {
			for _, r := range w.model.replicas {
				good := r.core.gemm
				r.core.gemm = func(tA, tB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, e sgemm.Epilogue) {
					if tA {
						clear(c)
						return
					}
					good(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, e)
				}
			}
		},
	} {
		for _, model := range names(suite) {
			if testing.Short() && model != "mlp" {
				continue
			}
			for _, steps := range []int{8, 22} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, model, steps), func(t *testing.T) {
					w := untrained(t, model, 1, set)
					plant(w)
					require.NoError(t, w.Run(&enough{t.Context(), steps}, bench.NewCounter()))
					c := verdict(t, w, "loss")
					require.False(t, c.OK, c.Detail)
				})
			}
		}
	}
}
