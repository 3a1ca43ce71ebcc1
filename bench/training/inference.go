package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

// Stage is a stage of inference by a language model.
type Stage string

// Stages. A sequence is a prompt, which is half of what the network can attend to, and as
// many generated tokens.
const (
	// Prefill computes the keys and values of prompts and the token that follows each.
	// Its tokens are those of the prompts. It is bound by arithmetic.
	Prefill Stage = "prefill"
	// Decode generates tokens, one of each sequence at a time. It is bound by memory: a
	// step reads all weights, and the keys and values of every token before it.
	Decode Stage = "decode"
)

// batches are the numbers of sequences that are inferred together by default.
var batches = []int{1, 8, 64}

// Stages lists what inference is measured at: each stage at each of some batches, as in
// decode-8. It is the same on every device.
func Stages(device.Info) (list []string) {
	for _, stage := range []Stage{Prefill, Decode} {
		for _, batch := range batches {
			list = append(list, fmt.Sprintf("%s-%d", stage, batch))
		}
	}
	return list
}

// inference is the workload of a stage at a batch. The weights are random, by a seed:
// they cost what others do, and are so large that attention is far from uniform. Each
// thread serves sequences of its own, with the weights of all.
type inference struct {
	info      bench.Info
	stage     Stage
	batch     int // sequences a thread
	format    nn.Format
	model     gpt
	engine    func() (decoding, error) // of a thread
	plan      decoding                 // that computes nothing
	available int64                    // bytes; 0 if that is not known
	servers   []*server                // nil unless prepared

	reference results.Check
	needed    []products // of what each server has done since Prepare
}

// Inference returns the workload in fp32 for cfg. Its options are stage (one of [Stages],
// by default decode-8; another number of sequences will do, up to 2²⁰), model (a language
// model of GPT-2's shape) and, on the CPU, vector (a row of kernels/vector). A
// configuration that does not fit the available memory is refused. Errors wrap
// [bench.ErrUsage].
func Inference(cfg bench.Config) (bench.Workload, error) { return infers(cfg, nn.FP32) }

// InferenceBF16 is [Inference] with weights and activations in bfloat16, on a processor
// only.
func InferenceBF16(cfg bench.Config) (bench.Workload, error) { return infers(cfg, nn.BF16) }

func infers(cfg bench.Config, format nn.Format) (bench.Workload, error) {
	w := &inference{format: format}
	if err := w.configure(cfg); err != nil {
		return nil, fmt.Errorf("inference: %w: %w", bench.ErrUsage, err)
	}
	return w, nil
}

// setStage takes a stage and a batch, as in decode-8.
func (w *inference) setStage(text string) error {
	stage, batch, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(batch)
	w.stage, w.batch = Stage(stage), n
	if err != nil || n < 1 || n > maxBatch || w.stage != Prefill && w.stage != Decode {
		return fmt.Errorf("stage=%s: it is %s or %s, and a number of sequences from 1 to %d, as in %s-8", text, Prefill, Decode, maxBatch, Decode)
	}
	return nil
}

func (w *inference) configure(cfg bench.Config) error {
	given := maps.Clone(cfg.Params)
	take := func(name string) string {
		value := given[name]
		delete(given, name)
		return value
	}
	stage, model, known := cmp.Or(take("stage"), "decode-8"), take("model"), []string{"stage", "model"}
	if err := w.setStage(stage); err != nil {
		return err
	}
	w.info = bench.Info{Name: "inference", Use: use("inference", w.format), Unit: results.Token, Seed: cfg.Seed}
	w.info.Params = map[string]string{"stage": stage, "batch": strconv.Itoa(w.batch), "precision": string(w.format)}
	if cfg.Device != nil && cfg.Device.Info().Processor() {
		on := cfg.Device.Info()
		row, err := gemm.Table(gemm.Precision(w.format)).Pick(on, cfg.Impl)
		if err != nil {
			return err
		}
		w.info.Device, w.info.Impl, w.info.Threads, w.available = on.ID, row.Name, 1, cmp.Or(on.Free, on.Memory)
		if model == "" && !on.Kind.Scheduled() {
			model = "gpt-124m"
		}
		w.plan = &cardDecoding{card: sizes(w.format, 1)}
		w.engine = func() (decoding, error) {
			p, ok := cfg.Device.(device.Processor)
			if !ok {
				return nil, fmt.Errorf("inference: device %s is not open", on.ID)
			}
			product, err := row.On(p)
			if err != nil {
				return nil, fmt.Errorf("inference: open %s: %w", row.Name, err)
			}
			return newCardDecoding(p, w.format, product)
		}
	} else {
		gemm, err := onCPU(cfg, w.format, &w.info)
		if err != nil {
			return err
		}
		passes, err := vector.Table.Pick(cpu.Info(), take(vector.Table.Name))
		if err != nil {
			return err
		}
		known = append(known, vector.Table.Name)
		w.info.Params[vector.Table.Name] = passes.Name
		w.available, _ = bench.MemoryAvailable("/")
		w.plan = &core{}
		w.engine = func() (decoding, error) { return &core{gemm: gemm, vec: passes.Impl}, nil }
	}
	if model == "" {
		model = "gpt-mini"
	}
	var err error
	if w.model, err = languageModel(model); err != nil {
		return fmt.Errorf("model=%s: %w", model, err)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		return fmt.Errorf("there is no option %s: known are %s", name, strings.Join(known, ", "))
	}
	w.info.Params["model"], w.info.Params["prompt"] = model, strconv.Itoa(w.model.seq/2)
	w.info.Params["global_batch"] = strconv.Itoa(w.info.Threads * w.batch)
	w.info.FlopPerCount, w.info.Formula = w.flop()
	if w.stage == Decode {
		w.info.Params["generated"] = strconv.Itoa(w.model.seq - w.model.seq/2)
		w.info.Params["bytes"] = w.bytes()
	}
	return w.fits()
}

// languageModel returns a language model by name.
func languageModel(name string) (gpt, error) {
	var known []string
	for _, n := range languageModels {
		l, _ := n.language()
		if n.name == name {
			return l, nil
		}
		known = append(known, n.name)
	}
	return gpt{}, fmt.Errorf("it is one of %s", strings.Join(known, ", "))
}

// places is the number of tokens that one attends to when it is generated, itself
// included, on average.
func (w *inference) places() float64 {
	return float64(w.model.seq/2+1+w.model.seq) / 2
}

// flop is the useful floating-point operations of a token: two a weight, and four a
// token attended to in each of the layers' columns. In prefill the head is computed for
// the last token of a prompt alone.
func (w *inference) flop() (float64, string) {
	l, n := w.model, w.model.size()
	lc := float64(l.layers) * float64(l.width)
	if w.stage == Decode {
		return 2*float64(n) + 4*lc*w.places(), fmt.Sprintf("2·%d + 4·%d·%d·%g", n, l.layers, l.width, w.places())
	}
	t, head := l.seq/2, int64(l.vocab)*int64(l.width)
	return 2*float64(n-head) + 2*float64(head)/float64(t) + 2*lc*float64(t+1),
		fmt.Sprintf("2·(%d - %d) + 2·%d÷%d + 2·%d·%d·(%d + 1)", n, head, head, t, l.layers, l.width, t)
}

// bytes is the traffic of memory for one generated token: the weights, which the
// sequences of a batch share, and the keys and values, which are read but for the last
// one, which is written. What is in a cache is in it.
func (w *inference) bytes() string {
	element := w.format.Size()
	l, n := w.model, w.model.size()
	return fmt.Sprintf("%.0f a token: %d·%d÷%d + 2·%d·%d·%d·%g", float64(element*n)/float64(w.batch)+2*float64(element)*float64(l.layers*l.width)*w.places(),
		element, n, w.batch, element, l.layers, l.width, w.places())
}

// fits returns an error if the configuration does not fit the available memory.
func (w *inference) fits() error {
	one, err := newServer(w.model, w.batch, w.plan)
	if err != nil {
		return err
	}
	need := int64(w.info.Threads)*one.bytes + w.format.Size()*w.model.size()
	if w.available > 0 && need > w.available {
		return fmt.Errorf("%s with %d threads and %d sequences each takes %s and %s are available: use fewer threads or a smaller batch",
			w.info.Params["model"], w.info.Threads, w.batch, bench.Size(need), bench.Size(w.available))
	}
	return nil
}

func (w *inference) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// weights draws the network: rows of matrices of norm about 1, so that every layer, head
// and token matters to the result.
func (l gpt) weights(seed uint32) (all [][]float32) {
	var lengths []int
	for _, p := range l.params() {
		lengths = append(lengths, p.len())
	}
	all = cpu.Floats(lengths...)
	for i, p := range l.params() {
		x := all[i]
		uniform(uint64(seed)<<16+uint64(i), x) // #nosec G115 -- an index
		scale := 0.1
		if p.rows > 1 {
			scale = math.Sqrt(3 / float64(p.cols))
		}
		for j, u := range x {
			x[j] = float32(p.mean + scale*float64(u))
		}
	}
	return all
}

// Prepare computes what Run will compute, once, and compares it with the forward pass of
// training.
func (w *inference) Prepare(ctx context.Context) error {
	w.servers, w.needed = nil, make([]products, w.info.Threads)
	drawn := w.model.weights(w.info.Seed)
	var weights []*value
	for i := range w.info.Threads {
		on, err := w.engine()
		if err != nil {
			return err
		}
		s, err := newServer(w.model, w.batch, on)
		if err != nil {
			return err
		}
		w.servers = append(w.servers, s)
		if i == 0 { // all threads read the same
			for j, p := range w.model.params() {
				weights = append(weights, newValue(active, p.rows, p.cols))
				if err := on.provide(weights[j]); err != nil {
					return err
				}
				on.upload(weights[j], nil, drawn[j])
			}
		}
		if err := s.bind(weights, drawn[1], uint64(w.info.Seed)<<16+1<<15+uint64(i)); err != nil { // #nosec G115 -- a thread
			return err
		}
	}
	worst, err := w.each(func(_ int, s *server) (float64, error) { return s.rehearse(ctx, w.stage) })
	if err != nil {
		return err
	}
	w.reference = w.judge("reference", worst)
	for _, s := range w.servers {
		*s.on.counted() = products{}
	}
	return nil
}

// rehearse infers every set once, keeps the answers, and returns how far they are from
// those of the forward pass of training.
func (s *server) rehearse(ctx context.Context, stage Stage) (worst float64, err error) {
	for set := sets - 1; set >= 0; set-- { // so that decode goes on with the prompts of set 0
		if err := s.ingest(set); err != nil {
			return 0, err
		}
		if stage == Prefill {
			s.learn(0)
		}
		off, err := s.difference()
		if err != nil {
			return 0, err
		}
		worst = larger(worst, off)
	}
	for range sets {
		for i := 1; stage == Decode && i <= s.seq-s.prompt; i++ {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			if err := s.step(); err != nil {
				return 0, err
			}
			s.learn(i)
		}
		off, err := s.difference()
		if err != nil {
			return 0, err
		}
		worst = larger(worst, off)
	}
	return worst, nil
}

// larger returns the larger of two numbers, of which NaN is the largest.
func larger(a, b float64) float64 {
	if math.IsNaN(a) || a > b {
		return a
	}
	return b
}

// looked is how many sequences are compared with training at a time, others each time.
const looked = 8

// difference returns how far the present answers are from the forward pass of training
// over the same tokens: the largest difference of the logit of a chosen token, of that to
// the largest logit, and of all logits of the last token (root mean square), relative to
// the root mean square of the logits.
func (s *server) difference() (worst float64, err error) {
	counted := *s.on.counted()
	defer func() { *s.on.counted() = counted }()
	// Decode goes on from the prompts of set 0. The answers to what was fed at the place
	// from are in a row of tokens.
	from, to, logits, prompts, row := s.prompt, s.n, s.decode.logits, s.prompts[0], 1
	if s.n == 0 {
		from, to, logits, prompts, row = s.prompt-1, s.prompt, s.prefill.logits, s.prompts[s.set], 0
	}
	last, trained := make([]float32, logits.len()), make([]float32, s.forward.logits.len())
	s.on.download(logits, nil, last)
	s.looks++
	for k := range min(s.batch, looked) {
		i := (s.looks*looked + k) % s.batch
		text := make([]int32, s.seq)
		copy(text, prompts[i*s.prompt:][:s.prompt])
		for j := s.prompt; j < to; j++ {
			text[j] = s.present.tokens[(j-s.prompt)*s.batch+i]
		}
		s.on.upload(s.forward.tokens, text, nil)
		if err := s.forward.run(s.on); err != nil {
			return 0, err
		}
		s.on.download(s.forward.logits, nil, trained)
		for place := from; place < to; place++ {
			want := trained[place*s.vocab:][:s.vocab]
			at := (place-from+row)*s.batch + i
			token, best := s.present.tokens[at], float64(s.present.best[at])
			size := 0.0
			for _, v := range want {
				size += float64(v) * float64(v)
			}
			size = math.Sqrt(size / float64(s.vocab))
			worst = larger(worst, math.Abs(best-float64(want[token]))/size)
			worst = larger(worst, float64(slices.Max(want)-want[token])/size)
			if place == to-1 {
				sum := 0.0
				for c, v := range last[i*s.vocab:][:s.vocab] {
					sum += (float64(v) - float64(want[c])) * (float64(v) - float64(want[c]))
				}
				worst = larger(worst, math.Sqrt(sum/float64(s.vocab))/size)
			}
		}
	}
	return worst, s.on.failed()
}

// tolerance is what the logits of inference may differ from those of training, relative
// to their root mean square. In fp32 they differ by 1e-5 or so, since sums are in another
// order; in bf16 a few roundings to 8 bits come out the other way.
func (w *inference) tolerance() float64 {
	if w.format == nn.BF16 {
		return 8e-2
	}
	return 2e-4
}

func (w *inference) judge(name string, worst float64) results.Check {
	return results.Check{
		Use: w.info.Use, Name: name, OK: worst <= w.tolerance(),
		Detail: fmt.Sprintf("logits are within %.1e of those of training's forward pass, relative to their root mean square; %.0e is allowed", worst, w.tolerance()),
	}
}

// each calls do for every server at once, waits for all, and returns the largest result.
func (w *inference) each(do func(i int, s *server) (float64, error)) (worst float64, err error) {
	got, errs := make([]float64, len(w.servers)), make([]error, len(w.servers))
	var wg sync.WaitGroup
	for i, s := range w.servers {
		wg.Go(func() { got[i], errs[i] = do(i, s) })
	}
	wg.Wait()
	for _, v := range got {
		worst = larger(worst, v)
	}
	return worst, errors.Join(errs...)
}

// Run infers. Tokens are counted when they, or those after a prompt, have been chosen.
func (w *inference) Run(ctx context.Context, done *bench.Counter) error {
	_, err := w.each(func(i int, s *server) (float64, error) {
		for ctx.Err() == nil {
			at, n := 0, uint64(w.batch*s.prompt) // #nosec G115 -- tokens in memory
			if w.stage == Decode {
				if err := s.step(); err != nil {
					return 0, err
				}
				at, n = s.n-s.prompt, uint64(w.batch) // #nosec G115 -- tokens in memory
			} else if err := s.ingest((s.set + 1) % sets); err != nil {
				return 0, err
			}
			s.compare(at)
			w.needed[i].add(s.products())
			done.Add(n)
		}
		return 0, nil
	})
	return err
}

// products are those of the last step of decode or, after a prompt, of prefill.
func (s *server) products() products {
	l, batch := s.gpt, int64(s.batch)
	rows, all := batch, products{}
	if s.n == 0 {
		rows = batch * int64(s.prompt)
		l.seq = s.prompt
		all = l.attention(batch) // forward, and twice as many backward
		all = products{all.calls / 3, all.flop / 3}
	} else {
		all = products{2 * batch * int64(l.heads) * int64(l.layers), 4 * batch * int64(l.layers) * int64(l.width) * int64(s.n)}
	}
	if s.on.fused() {
		all = products{}
	}
	d := int64(l.width)
	all.add(products{4*int64(l.layers) + 1, 2*rows*12*d*d*int64(l.layers) + 2*batch*d*int64(l.vocab)})
	return all
}

// Check judges all since Prepare: every token and its logit are those that Prepare
// verified, and the last ones are verified again.
func (w *inference) Check() []results.Check {
	forward := results.Check{Use: w.info.Use, Name: "forward"}
	same := results.Check{Use: w.info.Use, Name: "tokens", OK: true}
	count := results.Check{Use: w.info.Use, Name: "products", OK: true}
	if worst, err := w.each(func(_ int, s *server) (float64, error) { return s.difference() }); err != nil {
		forward.Detail = err.Error()
	} else {
		forward = w.judge("forward", worst)
	}
	var steps, wrong int64
	var got, want products
	for i, s := range w.servers {
		steps, wrong = steps+s.repeats, wrong+s.wrong
		got.add(*s.on.counted())
		want.add(w.needed[i])
	}
	same.OK = wrong == 0
	same.Detail = fmt.Sprintf("%d of %d steps chose other tokens or logits than those that were verified", wrong, steps)
	count.OK = got == want
	count.Detail = fmt.Sprintf("%d products of %d FLOP in all; the tokens needed %d of %d", got.calls, got.flop, want.calls, want.flop)
	return []results.Check{w.reference, forward, same, count}
}

// Close releases all memory.
func (w *inference) Close() error {
	var err error
	for _, s := range w.servers {
		err = errors.Join(err, s.on.release())
	}
	w.servers = nil
	return err
}
