// Package training is the machine-learning workload: a small suite of networks
// (perceptrons, a convolutional network, a transformer's encoder) that learn to
// recognise digits by plain SGD in fp32, and language models of GPT-2's shape that learn
// a generated language by AdamW. Each is a Gorgonia graph whose matrix products are
// computed by a row of kernels/sgemm and whose other passes by a row of kernels/vector.
// Language models run on processors too, in fp32 and bf16, by kernels/gemm and
// kernels/nn; that has not yet run on hardware.
//
// It is data-parallel. Each thread has a replica: its own graph and virtual machine
// over shared weights. In a step every replica takes its own batch; then the gradients
// are averaged, in a fixed order, and the weights updated once. So the losses depend on
// the seed and the number of threads only.
//
// Gorgonia differentiates, orders and runs the graph. The ops of the nodes are
// implemented here: Gorgonia's own allocate their results at every step, start
// goroutines, pass over memory twice where once is enough, and multiply at about a
// tenth of the machine's speed.
//
// The rules follow those of MLPerf Training: every run can have its own seed; steps,
// time and energy to target count only once a held-out accuracy is reached; and only
// useful operations are counted, by a printed formula. The first losses must match
// those of another program (reference.py), every product must have been computed, and
// the loss must fall.
//
// The digits are rendered from outlines of the Go fonts, rotated, slanted, scaled, shifted and
// speckled at random, so that nothing has to be downloaded. MNIST, or another set in
// its format, can be used instead.
//
// This package does not read clocks. Its figures do not carry over to networks that do
// not fit one machine, where memory and the interconnect matter more.
package training

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/kernels/sgemm"
	"github.com/perwatt/perwatt/kernels/vector"
	"github.com/perwatt/perwatt/results"
)

const (
	maxThreads = 1024
	// maxSteps is where Reach gives up: some seventy times the steps that the rendered
	// digits need, and three times those of MNIST.
	maxSteps = 2000
	maxBatch = 1 << 20
	// decay multiplies the learning rate once the goal is reached. At the full rate
	// about one step in fifty disturbs cnn for a few steps, which would make the check
	// of its accuracy meaningless.
	decay = 0.1
)

// option is a parameter that can be set. The model comes first, since the defaults of
// the others depend on it.
type option struct {
	name string
	auto func(w *workload) string // default value
	set  func(w *workload, value string) error
}

// of reports whether w has the option.
func (o option) of(w *workload) bool { return w.card == nil || o.name != vector.Table.Name }

var options = []option{
	{"model", func(w *workload) string { return Models(w.on)[0] }, func(w *workload, value string) (err error) {
		if w.net, err = lookup(value, w.card != nil); err == nil {
			w.lm, w.text = w.net.language()
		}
		return err
	}},
	{vector.Table.Name, func(w *workload) string {
		row, _ := vector.Table.Pick(w.on, "") // set returns the error if there is none
		return row.Name
	}, func(w *workload, value string) error {
		row, err := vector.Table.Pick(w.on, value)
		w.vec = row.Impl
		return err
	}},
	{"batch", (*workload).defaultBatch, func(w *workload, value string) (err error) {
		if w.batch, err = strconv.Atoi(value); err != nil || w.batch < 1 || w.batch > maxBatch {
			return fmt.Errorf("it is a number of samples a thread and step from 1 to %d", maxBatch)
		}
		return nil
	}},
	{"dataset", func(w *workload) string {
		if w.text {
			return "language"
		}
		return "digits"
	}, func(w *workload, value string) (err error) {
		switch {
		case w.text && value == "language":
			w.source, err = newLanguage(w.info.Seed, w.lm.vocab, w.lm.seq)
			return err
		case !w.text && value == "digits":
			return nil
		}
		want := "it is digits, or a directory with the files of MNIST"
		if w.text {
			want = "it is language, which is generated, or a directory with token files of llm.c"
		}
		at, err := os.Stat(value)
		if err == nil && !at.IsDir() {
			return errors.New(want)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", want, err)
		}
		w.dir = value
		return nil
	}},
	{"goal", (*workload).defaultGoal, func(w *workload, value string) (err error) {
		w.goal, err = strconv.ParseFloat(value, 64)
		switch {
		case w.text && (err != nil || !(w.goal > 0 && w.goal <= 20)):
			return errors.New("it is a held-out loss in nats a token, above 0, at most 20")
		case !w.text && (err != nil || !(w.goal > 0 && w.goal <= 1)):
			return errors.New("it is a held-out accuracy above 0, at most 1")
		}
		return nil
	}},
	{"lr", func(w *workload) string { return fmt.Sprint(w.net.lr) }, func(w *workload, value string) (err error) {
		if w.lr, err = strconv.ParseFloat(value, 32); err != nil || !(w.lr > 0 && w.lr <= 1) {
			return errors.New("it is a learning rate above 0, at most 1")
		}
		return nil
	}},
}

type workload struct {
	info  bench.Info
	on    device.Info
	net   network
	lm    gpt  // if text is set
	text  bool // net is a language model
	batch int  // samples a replica and step
	gemm  gemmFunc
	vec   *vector.Implementation
	card  *processor // nil on the CPU
	dir   string     // of the files of MNIST; "" for rendered digits
	goal  float64
	lr    float64 // until the goal is reached
	rate  float64 // of the next step
	limit int     // steps at which Reach gives up

	memory results.MemoryParts

	model          *model // unbound unless prepared
	train, heldOut *dataset
	from           *stream
	language       text
	source         *language // of which language is; nil for files of tokens
	document       int       // number of the next one to train on

	again     bool // the losses were compared in full earlier in the session
	reference results.Check
	allReduce results.Check // of several cards
	computed  int64         // steps of all replicas together
	reached   *results.Target

	// Since the weights were drawn:
	steps  int
	first  float64
	recent [16]float64 // losses of the last steps, at their number modulo 16
	broken int         // the first step whose loss was not finite; 0 for none
}

// New returns the workload in fp32 for cfg. Its options are model (one of [Models]), vector (a row of kernels/vector, by default the first by
// rank; not on a processor), batch (samples a thread and step; documents of a language
// model), dataset ("digits", or a directory with the files of MNIST; "language" for a
// language model), goal (the held-out accuracy, or loss in nats a token, to reach) and lr
// (the learning rate); the defaults depend on the model. A configuration that does not
// fit the available memory is refused. Errors wrap [bench.ErrUsage].
func New(cfg bench.Config) (bench.Workload, error) { return alone(cfg, nn.FP32) }

// BF16 is [New] with weights and activations in bfloat16, on a processor only. Sums,
// gradients of weights, and what the optimiser keeps are fp32.
func BF16(cfg bench.Config) (bench.Workload, error) { return alone(cfg, nn.BF16) }

// alone opens the workload on one device.
func alone(cfg bench.Config, format nn.Format) (bench.Workload, error) {
	if _, several := cfg.Device.(device.Group); several {
		return nil, fmt.Errorf("training: %w: %s runs on one device: %s trains one model on several", bench.ErrUsage, use(results.Training, format), ParallelUse(format))
	}
	return open(cfg, format)
}

func open(cfg bench.Config, format nn.Format) (bench.Workload, error) {
	w, err := configure(cfg, format)
	if err != nil {
		return nil, fmt.Errorf("training: %w: %w", bench.ErrUsage, err)
	}
	return w, nil
}

// use is what training, or inference, in a format is a use of.
func use(name string, format nn.Format) string {
	if format == nn.FP32 {
		return name
	}
	return name + "-" + string(format)
}

// onCPU chooses what multiplies on the CPU, and says so in info.
func onCPU(cfg bench.Config, format nn.Format, info *bench.Info) (gemmFunc, error) {
	on, err := cpu.Of(cfg.Device)
	switch {
	case err != nil:
		return nil, err
	case format != nn.FP32:
		return nil, fmt.Errorf("%s runs on a GPU only", info.Use)
	case on.Threads > maxThreads:
		return nil, fmt.Errorf("%d threads: use 1 to %d, or 0 for one", on.Threads, maxThreads)
	}
	row, err := sgemm.Table.Pick(on.Info(), cfg.Impl)
	if err != nil {
		return nil, err
	}
	info.Device, info.Impl, info.Threads = on.Info().ID, row.Name, on.Threads
	return row.Impl.GemmEpilogue, nil
}

func (w *workload) configureCPU(cfg bench.Config, format nn.Format) (err error) {
	w.on = cpu.Info()
	w.gemm, err = onCPU(cfg, format, &w.info)
	return err
}

func configure(cfg bench.Config, format nn.Format) (*workload, error) {
	w := &workload{limit: maxSteps, again: cfg.Again, info: bench.Info{
		Name: results.Training, Use: use(results.Training, format), Unit: results.Sample, Seed: cfg.Seed,
		Params: map[string]string{"optimiser": fmt.Sprintf("sgd, lr × %v from the goal on", decay)},
	}}
	choose := w.configureCPU
	if cfg.Device != nil && cfg.Device.Info().Processor() {
		choose = w.configureProcessor
	}
	if err := choose(cfg, format); err != nil {
		return nil, err
	}
	w.info.Device = w.on.ID
	given := maps.Clone(cfg.Params)
	var names []string
	for _, o := range options {
		if !o.of(w) {
			continue
		}
		value, ok := given[o.name]
		if !ok {
			value = o.auto(w)
		}
		if err := o.set(w, value); err != nil {
			return nil, fmt.Errorf("%s=%s: %w", o.name, value, err)
		}
		w.info.Params[o.name] = value
		delete(given, o.name)
		names = append(names, o.name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		return nil, fmt.Errorf("there is no option %s: known are %s", name, strings.Join(names, ", "))
	}
	if w.net.warmup > 0 {
		w.info.Params["optimiser"] = fmt.Sprintf("sgd, lr rises in %d steps, × %v from the goal on", w.net.warmup, decay)
	}
	if w.text {
		w.limit *= 10
		w.info.Unit = results.Token
		w.info.Params["optimiser"] = fmt.Sprintf("AdamW, betas %v and %v, decay %v, norm clipped at %v, lr rises in %d steps, × %v from the goal on", beta1, beta2, weightDecay, clip, w.net.warmup, decay)
	}
	w.info.FlopPerCount, w.info.Formula = w.net.flop(), w.net.formula
	w.info.Params["global_batch"] = strconv.Itoa(w.info.Threads * w.batch)
	return w, w.fits()
}

// defaultGoal is the accuracy of a network; of a language model the loss that is so many
// nats above the floor or, where the text's source is not known, half of what a guess
// costs.
func (w *workload) defaultGoal() string {
	switch {
	case !w.text:
		return fmt.Sprint(w.net.goal)
	case w.source == nil:
		return fmt.Sprintf("%.2f", math.Log(float64(w.lm.vocab))/2)
	}
	return fmt.Sprintf("%.2f", w.source.floor()+w.net.goal)
}

// counts is how many samples, or tokens, a step trains on.
func (w *workload) counts() int {
	n := w.info.Threads * w.batch
	if w.text {
		n *= w.lm.seq
	}
	return n
}

// fits plans the memory, and returns an error if the configuration does not fit.
func (w *workload) fits() (err error) {
	if w.card != nil {
		w.memory, err = w.card.fits(w)
		return err
	}
	one, err := newReplica(w.net, w.batch, newCore(w.net, w.info.Threads, nil, nil))
	if err != nil {
		return err
	}
	each := func(bytes int64) int64 { // what is beyond count does not fit either
		return int64(w.info.Threads) * min(bytes, math.MaxInt64/8/int64(w.info.Threads))
	}
	w.memory = w.net.state()
	w.memory.Gradients, w.memory.Activations = each(one.kept()), each(one.shared)
	w.memory.Workspace = each(one.bytes - one.kept() - one.shared)
	if have, ok := bench.MemoryAvailable("/"); ok && w.memory.Total() > have {
		return fmt.Errorf("%s with %d threads and batch=%d takes %s and %s are available: use fewer threads or a smaller batch",
			w.net.name, w.info.Threads, w.batch, bench.Size(w.memory.Total()), bench.Size(have))
	}
	return nil
}

// Memory implements [bench.Planned].
func (w *workload) Memory() results.MemoryParts { return w.memory }

func (w *workload) Info() bench.Info {
	info := w.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare loads the data, builds the replicas, and compares a few steps with the
// reference, which it then undoes.
func (w *workload) Prepare(ctx context.Context) (err error) {
	switch {
	case w.text:
		w.language, err = w.source, nil
		if w.dir != "" {
			w.language, err = loadTokens(ctx, w.dir, w.lm.vocab, w.lm.seq)
		}
	case w.dir != "":
		w.train, w.heldOut, err = loadMNIST(ctx, w.dir)
	default:
		if w.train, err = digits(ctx, trainSize, w.info.Threads, w.info.Seed, trainStream); err == nil {
			w.heldOut, err = digits(ctx, heldOutSize, w.info.Threads, w.info.Seed, heldOutStream)
		}
	}
	if err != nil {
		return err
	}
	if w.text {
		w.reference, err = w.compare(ctx)
	}
	if err == nil {
		w.model, err = w.build(w.net, w.batch, w.info.Threads)
	}
	if err == nil && !w.text {
		w.reference, err = w.compare(ctx)
	}
	if err == nil && w.parallel() {
		w.allReduce, err = w.compareCards(ctx)
	}
	if err != nil {
		return err
	}
	for _, r := range w.model.replicas {
		*r.on.counted() = products{}
	}
	return w.fresh()
}

// build returns a model with memory, on the workload's device.
func (w *workload) build(net network, batch, threads int) (*model, error) {
	if w.card != nil {
		return w.card.build(net, batch)
	}
	m, err := newModel(net, batch, threads, w.gemm, w.vec)
	if err == nil {
		m.bind()
	}
	return m, err
}

// fresh resets training to its start.
func (w *workload) fresh() error {
	if !w.text {
		w.from = newStream(w.train, random(w.info.Seed, orderStream, 0))
	}
	w.document = 0
	w.rate = w.lr
	w.steps, w.first, w.broken = 0, 0, 0
	return w.model.reset(random(w.info.Seed, weightStream, 0))
}

// parallel reports whether several cards train the model.
func (w *workload) parallel() bool { return w.card != nil && len(w.card.members) > 1 }

// step trains on the next batch of every replica and returns the mean loss.
func (w *workload) step() (float64, error) {
	var err error
	if w.parallel() {
		w.model.alarm = time.After(stepLimit)
		defer func() { w.model.alarm = nil }()
	}
	if w.text {
		w.document, err = w.model.documents(w.language, trainStream, w.document)
	} else {
		err = w.model.next(w.from)
	}
	if err != nil {
		return 0, err
	}
	mean, err := w.model.step(warmed(w.rate, w.steps, w.net.warmup))
	if err != nil {
		return 0, err
	}
	loss := float64(mean)
	w.computed += int64(w.info.Threads)
	w.steps++
	if w.steps == 1 {
		w.first = loss
	}
	if w.broken == 0 && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		w.broken = w.steps
	}
	w.recent[w.steps%len(w.recent)] = loss
	return loss, nil
}

// warmed is the learning rate after so many steps: it rises to rate in equal parts.
func warmed(rate float64, steps, warmup int) float64 {
	return rate * min(1, float64(steps+1)/float64(max(warmup, 1)))
}

// Run continues training. Samples are counted when the weights have been updated with
// their gradients.
func (w *workload) Run(ctx context.Context, done *bench.Counter) error {
	for ctx.Err() == nil {
		if _, err := w.step(); err != nil {
			return err
		}
		done.Add(uint64(w.counts())) // #nosec G115 -- samples of a step, which are in memory
	}
	return nil
}

// quality is the held-out accuracy or, of a language model, loss. Documents differ in how
// hard they are: what the ideal predictor spends on those that are held out beyond the
// floor, in the mean, is taken off.
func (w *workload) quality() (float64, error) {
	if !w.text {
		return w.model.accuracy(w.heldOut)
	}
	loss, err := w.model.heldOutLoss(w.language, heldOutDocuments)
	if w.source != nil {
		each := w.info.Threads * w.batch
		loss -= w.ideal(heldOutStream, 0, (heldOutDocuments+each-1)/each*each) - w.source.floor()
	}
	return loss, err
}

// ideal is what the ideal predictor spends on the documents from one number to another,
// in nats a token.
func (w *workload) ideal(set byte, from, to int) (nats float64) {
	document := make([]int32, w.lm.seq+1)
	for i := from; i < to; i++ {
		nats += w.language.sample(set, i, document)
	}
	return nats / float64((to-from)*w.lm.seq)
}

// heldOutDocuments is at least how many documents the held-out loss is the mean over.
const heldOutDocuments = 64

// hopeless is how far above the goal the loss of a step is, in nats a token, where no test
// is worth its time. The documents of a step are new to the model, as those that are held
// out are; the losses of two batches differ by a tenth of this.
const hopeless = 0.5

// metric is the name of the quality.
func (w *workload) metric() string {
	if w.text {
		return "loss"
	}
	return "accuracy"
}

// reaches reports whether a quality is that of the goal, or falls short by at most slack.
func (w *workload) reaches(quality, slack float64) bool {
	if w.text {
		return quality <= w.goal+slack
	}
	return quality >= w.goal-slack
}

// Reach trains new weights until the held-out accuracy, or loss, is at the goal, which it
// tests every few steps. The tests are part of the time to target but not of the work.
func (w *workload) Reach(ctx context.Context, done *bench.Counter) (results.Target, error) {
	if !w.reference.OK {
		return results.Target{}, fmt.Errorf("training: reach %s %v: the network is not trained as it should be: %s", w.metric(), w.goal, w.reference.Detail)
	}
	if err := w.fresh(); err != nil {
		return results.Target{}, err
	}
	w.reached = nil
	held := heldOutDocuments
	if !w.text {
		held = w.heldOut.len()
	}
	every := max(1, held/(w.info.Threads*w.batch)) // a test takes at most half as long as the training between two
	quality := 0.0
	for w.steps < w.limit {
		if err := ctx.Err(); err != nil {
			return results.Target{}, fmt.Errorf("training: reach %s %v: stopped at %v after %d steps: %w", w.metric(), w.goal, quality, w.steps, err)
		}
		loss, err := w.step()
		if err != nil {
			return results.Target{}, err
		}
		done.Add(uint64(w.counts())) // #nosec G115 -- samples of a step, which are in memory
		if w.broken > 0 {
			return results.Target{}, fmt.Errorf("training: reach %s %v: loss is %v at step %d: try a lower learning rate than lr=%s", w.metric(), w.goal, loss, w.steps, w.info.Params["lr"])
		}
		if w.steps%every != 0 || w.text && loss > w.goal+hopeless {
			continue
		}
		if quality, err = w.quality(); err != nil {
			return results.Target{}, err
		}
		if w.reaches(quality, 0) {
			w.rate = decay * w.lr
			w.reached = &results.Target{
				Metric: w.metric(), Goal: results.Float(w.goal), Reached: results.Float(quality),
				Steps: w.steps, Samples: w.steps * w.counts(),
			}
			return *w.reached, nil
		}
	}
	return results.Target{}, fmt.Errorf("training: reach %s %v: still at %v after %d steps: set a lower goal, or another learning rate than lr=%s", w.metric(), w.goal, quality, w.steps, w.info.Params["lr"])
}

// Check judges the training since Prepare, or since Reach if it was called.
func (w *workload) Check() []results.Check {
	loss := w.checkLoss() // may train on, so that the products are counted after it
	checks := []results.Check{w.reference, w.checkProducts(), loss, w.checkTarget()}
	if w.parallel() {
		checks = append(checks, w.allReduce, w.checkReplicas())
	}
	if w.source != nil {
		checks = append(checks, w.checkFloor())
	}
	return checks
}

// checkProducts compares the products that were computed with those that the steps
// need: a broken graph may do nothing, very fast.
func (w *workload) checkProducts() results.Check {
	var got products
	if w.model != nil {
		got = w.model.products()
	}
	one := w.net.products(w.batch)
	if w.card != nil { // attention is one pass there
		one = w.lm.linear(int64(w.batch))
	}
	want := products{one.calls * w.computed, one.flop * w.computed}
	return results.Check{
		Use: w.info.Use, Name: "products", OK: got == want,
		Detail: fmt.Sprintf("%d products of %d FLOP in all; the steps needed %d of %d", got.calls, got.flop, want.calls, want.flop),
	}
}

// checkLoss requires a finite loss and, after enough steps, one that has fallen. A
// network that needs more steps to show it is trained on, which counts as no work.
func (w *workload) checkLoss() results.Check {
	c := results.Check{Use: w.info.Use, Name: "loss"}
	const enough = 8
	measured := w.steps
	for w.broken == 0 && measured >= enough && w.steps < w.net.falls {
		if _, err := w.step(); err != nil {
			c.Detail = err.Error()
			return c
		}
	}
	if w.broken > 0 {
		c.Detail = fmt.Sprintf("not finite from step %d on", w.broken)
		return c
	}
	if w.steps < enough {
		c.OK = true
		c.Detail = fmt.Sprintf("finite; %d steps are too few to judge its fall", w.steps)
		return c
	}
	n, mean := min(len(w.recent), w.steps/2), 0.0
	for i := range n {
		mean += w.recent[(w.steps-i)%len(w.recent)] / float64(n)
	}
	c.OK = mean < 0.9*min(w.first, math.Log(w.net.outcomes())) // that of one who knows nothing
	c.Detail = fmt.Sprintf("%.4g at first, %.4g over the last %d of %d steps", w.first, mean, n, w.steps)
	if w.steps > measured {
		c.Detail += fmt.Sprintf("; %d of them after the run, since its loss falls late", w.steps-measured)
	}
	return c
}

// checkFloor requires that the last losses are not below what the ideal predictor, which
// knows the language, spends on the same documents: a model that is better has seen what
// it predicts. Every document is new to the model when its loss is taken, so the chance
// that an honest model spends n nats less than the ideal one on them all is at most e⁻ⁿ
// (Markov's inequality: the likelihood ratio has the mean 1).
func (w *workload) checkFloor() results.Check {
	c := results.Check{Use: w.info.Use, Name: "floor"}
	n := min(len(w.recent), w.steps)
	if n == 0 {
		c.OK, c.Detail = true, "no step, no loss"
		return c
	}
	loss := 0.0
	for i := range n {
		loss += w.recent[(w.steps-i)%len(w.recent)] / float64(n)
	}
	const chance = 30 // nats: 1 in 10¹³
	least := w.ideal(trainStream, w.document-n*w.info.Threads*w.batch, w.document)
	slack := chance/float64(n*w.counts()) + 1e-5*least // and rounding
	c.OK = loss >= least-slack
	c.Detail = fmt.Sprintf("%.4g nats a token over the last %d steps; the ideal predictor spends %.4g on the same text, %.4g in the mean", loss, n, least, w.source.floor())
	if !c.OK {
		c.Detail += ": something leaks"
	}
	return c
}

// checkTarget requires an accuracy that is still about that of the goal. It fluctuates
// by a point or two.
func (w *workload) checkTarget() results.Check {
	c := results.Check{Use: w.info.Use, Name: "target", OK: true, Detail: "target phase left out"}
	if w.reached != nil {
		quality, err := w.quality()
		if err != nil {
			quality = math.NaN()
		}
		c.OK = w.reaches(quality, 0.05)
		c.Detail = fmt.Sprintf("held-out %s %.4f after %d steps, %.4f when %d had reached the goal of %v", w.metric(), quality, w.steps, float64(w.reached.Reached), w.reached.Steps, w.goal)
	}
	return c
}

// Close releases all memory.
func (w *workload) Close() error {
	if w.model != nil {
		if err := w.model.free(); err != nil {
			return err
		}
	}
	w.model, w.train, w.heldOut, w.from = nil, nil, nil, nil
	return nil
}
