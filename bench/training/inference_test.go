package training

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

// stages are both stages, at a batch each.
var stages = []struct {
	stage Stage
	batch int
}{{Prefill, 2}, {Decode, 3}}

// at is the option for a stage and a batch.
func at(stage Stage, batch int) map[string]string {
	return map[string]string{"stage": fmt.Sprintf("%s-%d", stage, batch)}
}

func TestInferenceConformance(t *testing.T) {
	for _, s := range stages {
		t.Run(string(s.stage), func(t *testing.T) {
			if testing.Short() && s.stage == Decode {
				t.Skip("prefill has the same goroutines and takes a tenth of the time")
			}
			benchtest.TestWorkload(t, Inference, bench.Config{Device: cpu.Device{Threads: 2}, Seed: 9, Params: at(s.stage, s.batch)})
		})
	}
}

// littleGPT is a network that infers in microseconds.
var littleGPT = gpt{layers: 2, width: 32, heads: 4, seq: 12, vocab: 40}

// inferring returns a prepared workload of littleGPT on an engine.
func inferring(t *testing.T, stage Stage, batch int, on decoding) *inference {
	t.Helper()
	opened, err := Inference(bench.Config{Seed: 5, Params: at(stage, batch)})
	require.NoError(t, err)
	w := opened.(*inference)
	w.model, w.engine = littleGPT, func() (decoding, error) { return on, nil }
	require.NoError(t, w.Prepare(context.Background()))
	return w
}

// times infers n times and returns what was counted.
func (w *inference) times(t *testing.T, n int) uint64 {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := bench.NewCounter()
	for range n { // Run stops after the step in which its context ends
		ctx, cancel := context.WithCancel(ctx)
		on := w.servers[0].on.(*faulty)
		on.chosen = cancel
		require.NoError(t, w.Run(ctx, done))
	}
	count, _, _ := done.Load()
	return count
}

// faulty is the CPU with a fault.
type faulty struct {
	*core
	fault  string // "" for none
	keeps  int
	chosen func() // is called when tokens are chosen; nil for nothing
}

func (f *faulty) embed(y, tokens, table, places *value, seq int) {
	if f.fault == "place" && seq == 1 {
		places = &value{f: make([]float32, len(places.f))}
	}
	f.core.embed(y, tokens, table, places, seq)
}

func (f *faulty) keep(c *cache, qkv *value, at, seq int) {
	f.keeps++
	switch {
	case f.fault == "stale" && at == 8: // what was there before stays
		return
	case f.fault == "stale layer" && at == 7 && f.keeps%2 == 0: // of the second layer alone
		return
	case f.fault == "off by one" && at > 0:
		at--
	case f.fault == "sequence" && seq == 1: // the first one's place is the last one's
		swapped := *qkv
		swapped.f = append(append([]float32{}, qkv.f[len(qkv.f)-qkv.cols:]...), qkv.f[qkv.cols:]...)
		qkv = &swapped
	}
	f.core.keep(c, qkv, at, seq)
}

func (f *faulty) recall(y, scratch *value, c *cache, qkv *value, n int) {
	switch f.fault {
	case "one less":
		n--
	case "first place":
		shifted := *c.values
		shifted.f = append(make([]float32, shifted.cols), shifted.f[shifted.cols:]...)
		c = &cache{c.keys, &shifted, c.heads, c.room}
	}
	f.core.recall(y, scratch, c, qkv, n)
	if f.fault == "head" {
		width := y.cols / c.heads
		for r := range y.rows {
			clear(y.f[r*y.cols+2*width:][:width])
		}
	}
}

func (f *faulty) last(y, x *value, seq int) {
	if f.fault == "last" {
		seq--
	}
	f.core.last(y, x, seq)
}

func (f *faulty) greedy(tokens, best, logits *value) {
	f.core.greedy(tokens, best, logits)
	if f.fault == "second" {
		tokens.i[0] = (tokens.i[0] + 1) % int32(logits.cols)
	}
	if f.chosen != nil {
		f.chosen()
	}
}

func newFaulty(t *testing.T, fault string) *faulty {
	return &faulty{core: &core{gemm: bestRow(t), vec: bestVector(t)}, fault: fault}
}

func failing(checks []results.Check) (names []string) {
	for _, c := range checks {
		if !c.OK {
			names = append(names, c.Name)
		}
	}
	return names
}

// A cache that is wrong is found where it is so from the start, by the forward pass of
// training, and where it becomes so later, by the tokens that were verified.
func TestInferenceFaults(t *testing.T) {
	for fault, stage := range map[string]Stage{
		"place": Decode, "stale": Decode, "stale layer": Decode, "off by one": Decode, "sequence": Decode,
		"one less": Decode, "first place": Decode, "head": Decode, "second": Decode, "last": Prefill,
	} {
		t.Run(fault, func(t *testing.T) {
			if testing.Short() && fault != "head" && fault != "last" {
				t.Skip("one fault of each stage shows that the checks look")
			}
			w := inferring(t, stage, 3, newFaulty(t, fault))
			require.Equal(t, []string{"reference", "forward"}, failing(w.Check()), "from the start")

			on := newFaulty(t, "")
			w = inferring(t, stage, 3, on)
			w.times(t, 7)
			require.Empty(t, failing(w.Check()))
			on.fault = fault
			w.times(t, 11)
			require.Contains(t, failing(w.Check()), "tokens", "later")
		})
	}
	t.Run("second in prefill", func(t *testing.T) {
		w := inferring(t, Prefill, 2, newFaulty(t, "second"))
		require.Contains(t, failing(w.Check()), "reference")
	})
}

// Tokens that were not computed are not counted as such: the products are missing, and
// those of the time before are not the answers.
func TestInferenceOfNothing(t *testing.T) {
	for _, s := range stages {
		w := inferring(t, s.stage, s.batch, newFaulty(t, ""))
		w.servers[0].prefill.program, w.servers[0].decode.program = nil, nil
		w.times(t, 3)
		require.Subset(t, failing(w.Check()), []string{"tokens", "products"})
	}
}

// What is counted are the tokens of prompts, and those that are generated, of all
// sequences; a window may end anywhere.
func TestInferenceCounts(t *testing.T) {
	for _, s := range stages {
		w := inferring(t, s.stage, s.batch, newFaulty(t, ""))
		each := map[Stage]int{Prefill: s.batch * littleGPT.seq / 2, Decode: s.batch}[s.stage]
		for n := range 15 {
			require.Equal(t, uint64(n*each), w.times(t, n)) // #nosec G115 -- a few
			require.Empty(t, failing(w.Check()))
		}
		for _, c := range w.Check() {
			t.Log(c.Name, c.Detail)
		}
	}
}

// Every row computes what the forward pass of training does with the same row.
func TestInferenceRows(t *testing.T) {
	for _, row := range sgemm.Table.Supported(cpu.Info()) {
		for _, passes := range vector.Table.Supported(cpu.Info()) {
			for _, s := range stages {
				w := inferring(t, s.stage, s.batch, &faulty{core: &core{gemm: row.Impl.GemmEpilogue, vec: passes.Impl}})
				w.times(t, 9)
				require.Empty(t, failing(w.Check()), "%s, %s", row.Name, passes.Name)
				t.Log(row.Name, passes.Name, w.Check()[0].Detail)
			}
		}
	}
}

// The formula is what products need, but for the weights that multiply nothing.
func TestInferenceFlop(t *testing.T) {
	if testing.Short() {
		t.Skip("it multiplies in one goroutine for a second")
	}
	for _, s := range stages {
		opened, err := Inference(bench.Config{Seed: 5, Params: at(s.stage, s.batch)})
		require.NoError(t, err)
		w := opened.(*inference)
		on := newFaulty(t, "")
		w.engine = func() (decoding, error) { return on, nil }
		require.NoError(t, w.Prepare(context.Background()))
		n := w.times(t, map[Stage]int{Prefill: 1, Decode: w.model.seq / 2}[s.stage]) // a whole sequence
		want := w.Info().FlopPerCount * float64(n)
		if s.stage == Prefill { // the causal products of a strip are whole
			d := float64(w.model.layers * w.model.width)
			want += float64(n) * 2 * d * float64(w.model.seq/2-1)
		}
		require.InEpsilon(t, want, on.flop, 0.03)
		require.Less(t, float64(on.flop), want)
	}
}

func TestInferenceRefuses(t *testing.T) {
	_, err := Inference(bench.Config{Params: map[string]string{"model": "mlp"}})
	require.ErrorIs(t, err, bench.ErrUsage)
	require.ErrorContains(t, err, "gpt-mini, gpt-124m")
	_, err = Inference(bench.Config{Params: map[string]string{"model": "gpt-1.5b", "stage": "decode-1048576"}})
	require.ErrorContains(t, err, "use fewer threads or a smaller batch")
	for _, stage := range []string{"decode", "decode-0", "decode-1048577", "encode-8", "prefill-8-8", "-8", "decode-eight"} {
		_, err = Inference(bench.Config{Params: map[string]string{"stage": stage}})
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, "stage="+stage+": it is prefill or decode, and a number of sequences")
	}
}

// staleCard does not store one token of decode.
type staleCard struct{ *cardDecoding }

func (s staleCard) keep(c *cache, qkv *value, at, seq int) {
	if at != 5 {
		s.cardDecoding.keep(c, qkv, at, seq)
	}
}

// A network infers on a processor as it trains there, in both formats; a token that is
// missing from the cache is found.
func TestInferenceOnCard(t *testing.T) {
	for name, p := range cards(t) {
		for _, format := range []nn.Format{nn.FP32, nn.BF16} {
			for _, s := range stages {
				if testing.Short() && s.stage == Prefill {
					continue // whose passes decode needs, too
				}
				t.Run(name+"/"+string(format)+"/"+string(s.stage), func(t *testing.T) {
					opened, err := infers(bench.Config{Seed: 5, Device: p, Impl: "simt", Params: map[string]string{"model": "gpt-mini", "stage": fmt.Sprintf("%s-2", s.stage)}}, format)
					require.NoError(t, err)
					w := opened.(*inference)
					w.model = gpt{layers: 1, width: 16, heads: 2, seq: 8, vocab: 32}
					require.NoError(t, w.Prepare(t.Context()))
					require.NoError(t, w.Run(&enough{t.Context(), 6}, bench.NewCounter()))
					for _, c := range w.Check() {
						t.Log(c.Name, c.Detail)
						require.True(t, c.OK, c.Detail)
					}
					require.NoError(t, w.Close())
					if s.stage == Decode {
						engine := w.engine
						w.engine = func() (decoding, error) {
							on, err := engine()
							return staleCard{on.(*cardDecoding)}, err
						}
						require.NoError(t, w.Prepare(t.Context()))
						require.Equal(t, []string{"reference", "forward"}, failing(w.Check()))
						require.NoError(t, w.Close())
					}
				})
			}
		}
	}
}

// On a card the model is the one that the field quotes, where it fits; bf16 is not for
// CPUs.
func TestInferenceOfCards(t *testing.T) {
	on := gpu
	on.About.Memory = 24e9
	w, err := InferenceBF16(bench.Config{Device: on, Params: at(Decode, 64)})
	require.NoError(t, err)
	require.Equal(t, "inference-bf16", w.Info().Use)
	require.Equal(t, []string{"decode-64", "64"}, []string{w.Info().Params["stage"], w.Info().Params["batch"]})
	require.Equal(t, "gpt-124m", w.Info().Params["model"])
	on.About.Memory = 1e9
	_, err = InferenceBF16(bench.Config{Device: on, Params: at(Decode, 64)})
	require.ErrorIs(t, err, bench.ErrUsage)
	_, err = InferenceBF16(bench.Config{})
	require.ErrorContains(t, err, "runs on a GPU only")
}
