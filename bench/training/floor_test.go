package training

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/results"
)

// again has the first document of a language only: a model can learn it by heart.
type again struct{ *language }

func (a again) sample(set byte, _ int, to []int32) float64 { return a.language.sample(set, 0, to) }

// A model of documents that it has seen comes below what the ideal predictor spends on
// them, and that is found; one of new documents does not.
func TestFloorOfLanguageModel(t *testing.T) {
	if testing.Short() {
		t.Skip("it trains for seconds, and TestLanguageModel does for less")
	}
	w := prepared(t, bench.Config{Seed: 4, Params: map[string]string{"model": "gpt-mini", "batch": "1"}}, nil)
	require.Equal(t, results.Token, w.Info().Unit)
	require.True(t, verdict(t, w, "reference").OK, verdict(t, w, "reference").Detail)
	require.Contains(t, verdict(t, w, "reference").Detail, "the first 20 losses are within")
	require.Equal(t, "no step, no loss", verdict(t, w, "floor").Detail)
	require.NoError(t, w.Run(&enough{t.Context(), 40}, bench.NewCounter()))
	c := verdict(t, w, "floor")
	require.True(t, c.OK, c.Detail)
	t.Log(c.Detail)

	require.NoError(t, w.fresh())
	w.language = again{w.source}
	w.rate = w.lr
	for range 150 {
		_, err := w.step()
		require.NoError(t, err)
	}
	c = verdict(t, w, "floor")
	t.Log(c.Detail)
	require.False(t, c.OK, c.Detail)
	require.Contains(t, c.Detail, "something leaks")
}

// The goal is so many nats above the floor; half of a guess for a text whose source is
// not known, which has no floor.
func TestGoalOfLanguageModel(t *testing.T) {
	of := func(params map[string]string) *workload {
		params["model"] = "gpt-mini"
		opened, err := New(bench.Config{Params: params})
		require.NoError(t, err)
		return opened.(*workload)
	}
	require.InDelta(t, newTestLanguage(t, 1, 512, 128).floor()+1.5, of(map[string]string{}).goal, 0.006)

	dir := t.TempDir()
	for _, name := range []string{"x_train.bin", "x_val.bin"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), tokenFile(counting(4000), nil), 0o600))
	}
	w := of(map[string]string{"dataset": dir})
	require.InDelta(t, math.Log(512)/2, w.goal, 0.006)
	require.NoError(t, w.Prepare(t.Context()))
	require.NoError(t, w.Run(&enough{t.Context(), 2}, bench.NewCounter()))
	for _, c := range w.Check() {
		require.NotEqual(t, "floor", c.Name)
		require.True(t, c.OK, c.Detail)
	}
	_, err := New(bench.Config{Params: map[string]string{"model": "gpt-mini", "dataset": filepath.Join(dir, "x_val.bin")}})
	require.ErrorContains(t, err, "token files of llm.c")
}

// gpt-mini learns the language to its goal, and all checks hold.
func TestLanguageModelReachesTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("trains on 130,000 tokens; TestLanguageModel does on a smaller model")
	}
	w := prepared(t, bench.Config{Seed: 2, Device: cpu.Device{Threads: 2}, Params: map[string]string{"model": "gpt-mini"}}, nil)
	target, err := w.Reach(t.Context(), bench.NewCounter())
	require.NoError(t, err)
	require.Equal(t, "loss", target.Metric)
	require.LessOrEqual(t, target.Reached, target.Goal)
	require.Equal(t, target.Steps*2*4*128, target.Samples)
	t.Logf("%+v", target)
	for _, c := range w.Check() {
		t.Logf("%s: %s", c.Name, c.Detail)
		require.True(t, c.OK, "%s: %s", c.Name, c.Detail)
	}
}
