package training

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sgemm"
)

// decoding is an engine that infers as well: it keeps the keys and values of the tokens
// so far, so that one more token costs one row of every product.
type decoding interface {
	engine
	// provide gives values memory of their own, which holds no numbers.
	provide(list ...*value) error
	// upload and download copy tokens or numbers, those of list that are not nil.
	upload(v *value, tokens []int32, numbers []float32)
	download(v *value, tokens []int32, numbers []float32)
	// allot gives what a graph has planned its memory.
	allot(b *builder) error
	// fused reports that attention has no products that are counted.
	fused() bool
	// release gives back what provide and allot took.
	release() error
	// keep stores the keys and values of qkv, which has rows for seq consecutive tokens
	// of each sequence, the first of them at a place.
	keep(c *cache, qkv *value, at, seq int)
	// recall sets y to the attention of one query a sequence, in qkv, over the first n
	// places of its cache.
	recall(y, scratch *value, c *cache, qkv *value, n int)
	// last sets y to the last of every seq rows of x.
	last(y, x *value, seq int)
	// greedy sets tokens to the index of the largest of each row of logits, the first of
	// equals, and best to that logit.
	greedy(tokens, best, logits *value)
}

var _ decoding = (*core)(nil)

// cache has the keys and values of one layer, for room tokens of each sequence. Of a
// sequence and head, keys has a row for each element of a key, so that a query times all
// keys reads rows, and values has a row for each token.
type cache struct {
	keys, values *value
	heads, room  int
}

// apart is the elements from row to row of keys. Rows that are multiples of 1 KiB apart
// would share few sets of a first-level cache.
func (c *cache) apart() int { return c.keys.cols }

func newCache(batch, room int, l gpt) *cache {
	width := l.width / l.heads
	return &cache{newValue(active, batch*l.heads*width, room+16), newValue(active, batch*l.heads*room, width), l.heads, room}
}

func (c *core) provide(list ...*value) error {
	var numbers []*value
	var lengths []int
	for _, v := range list {
		if v.kind == integer {
			v.i = make([]int32, v.len())
			continue
		}
		numbers, lengths = append(numbers, v), append(lengths, int(v.len()))
	}
	for i, x := range cpu.Floats(lengths...) {
		for j := range x {
			x[j] = float32(math.NaN()) // so that what was not stored shows
		}
		numbers[i].f = x
	}
	return nil
}

func (c *core) upload(v *value, tokens []int32, numbers []float32) {
	copy(v.i, tokens)
	copy(v.f, numbers)
}

func (c *core) download(v *value, tokens []int32, numbers []float32) {
	copy(tokens, v.i)
	copy(numbers, v.f)
}

func (c *core) allot(b *builder) error { b.allocate(); return nil }
func (c *core) release() error         { return nil }
func (c *core) fused() bool            { return false }

// become makes v a handle of the memory of w.
func (v *value) become(w *value) { v.f, v.i, v.buf = w.f, w.i, w.buf }

func (c *core) keep(to *cache, qkv *value, at, seq int) {
	d := qkv.cols / 3
	width, apart := d/to.heads, to.apart()
	for r := range qkv.rows {
		place := at + r%seq
		for h := range to.heads {
			head := r/seq*to.heads + h
			key := qkv.f[r*qkv.cols+d+h*width:][:width]
			for j, x := range key {
				to.keys.f[(head*width+j)*apart+place] = x
			}
			copy(to.values.f[(head*to.room+place)*width:][:width], qkv.f[r*qkv.cols+2*d+h*width:])
		}
	}
}

func (c *core) recall(y, scratch *value, from *cache, qkv *value, n int) {
	width, apart := y.cols/from.heads, from.apart()
	scale, p := inverseRoot(width), scratch.f[:n]
	for i := range y.rows {
		for h := range from.heads {
			head := i*from.heads + h
			c.multiply(1, n, width, mat(qkv.f[i*qkv.cols+h*width:], qkv.cols), mat(from.keys.f[head*width*apart:], apart), 0, mat(p, n), sgemm.Epilogue{})
			c.vec.Softmax(p, p, scale)
			c.multiply(1, width, n, mat(p, n), mat(from.values.f[head*from.room*width:], width), 0, mat(y.f[i*y.cols+h*width:], y.cols), sgemm.Epilogue{})
		}
	}
}

func (c *core) last(y, x *value, seq int) {
	c.vec.CopyRows(y.f, y.cols, x.f[(seq-1)*x.cols:], seq*x.cols, y.rows, y.cols)
}

func (c *core) greedy(tokens, best, logits *value) {
	for r := range logits.rows {
		row, at := logits.f[r*logits.cols:][:logits.cols], 0
		for j, v := range row {
			if v > row[at] {
				at = j
			}
		}
		tokens.i[r], best.f[r] = int32(at), row[at] // #nosec G115 -- an index of the vocabulary
	}
}

// program is the ops of a graph in the order in which Gorgonia runs them. A network that
// infers runs them from here: a step may take less time than Gorgonia's part of it.
type program []*op

func (p program) run(on engine) error {
	for _, o := range p {
		if o.do != nil {
			o.do(o.out, o.in)
		}
	}
	return on.failed()
}

// program compiles what computes n, which lasts until the next run, and plans its memory.
func (b *builder) program(n *gorgonia.Node) (list program, err error) {
	of(n).lasting = true
	vm, err := b.compile(n)
	if err != nil {
		return nil, err
	}
	if err := b.rehearse(infer, vm); err != nil {
		return nil, err
	}
	b.rehearsal = func(o *op) { list = append(list, o) }
	defer func() { b.rehearsal = nil }()
	vm.Reset()
	if err := vm.RunAll(); err != nil {
		return nil, fmt.Errorf("training: rehearse graph: %w", err)
	}
	b.plan()
	return list, nil
}

// inputs adds tokens and weights to a graph. places are those of seq tokens.
func (l gpt) inputs(b *builder, tokens int, places *value) (at *value, in *gorgonia.Node, weights []*value, nodes []*gorgonia.Node) {
	at = newValue(integer, 1, tokens)
	in = b.input("tokens", at)
	for i, p := range l.params() {
		v := newValue(active, p.rows, p.cols)
		if i == 1 {
			v = places
		}
		weights = append(weights, v)
		nodes = append(nodes, b.input(fmt.Sprint("w", i), v))
	}
	return
}

// server infers with one network for batch sequences at a time. Each begins with a
// prompt of half of the network's tokens; the other half is generated, each token the one
// with the largest logit.
type server struct {
	gpt
	on            decoding
	batch, prompt int
	weights       [3][]*value // of each graph; all have the same memory
	caches        []*cache

	prefill, decode, forward struct {
		*builder
		program
		tokens, logits *value
	}
	here   *value   // the place that a step of decode is at
	places []*value // of all generated tokens
	n      int      // tokens in the caches, with that of the step

	// The tokens at each place of the sequences, from the prompt's end on, and the logit
	// of each where it was chosen: that of place i+1 by what is fed at place i.
	tokens, best []*value
	present      answers       // what is in them
	prompts      [sets][]int32 // of all sequences
	first        [sets][]int32 // the first tokens that decode is fed
	expected     [sets]answers // of what this server does again and again
	set          int           // of the present sequences
	looks        int           // how often they were compared with training
	repeats      int64         // steps, or prompts, after those of expected
	wrong        int64         // of these, the ones with other answers
	bytes        int64         // of its memory, but for the weights
}

// sets is how many different prompts, or first tokens, take turns: with one alone, what
// is left over from the time before would do for what was not computed.
const sets = 2

// answers are tokens and their logits.
type answers struct {
	tokens []int32
	best   []float32
}

func (a answers) equal(tokens []int32, best []float32) bool {
	for i, t := range tokens {
		if a.tokens[i] != t || a.best[i] != best[i] {
			return false
		}
	}
	return true
}

// newServer builds the graphs of prefill, of decode and, for the checks, that of training.
func newServer(l gpt, batch int, on decoding) (s *server, err error) {
	s = &server{gpt: l, on: on, batch: batch, prompt: l.seq / 2, here: newValue(active, 1, l.width)}
	for range l.seq - s.prompt + 1 {
		s.tokens, s.best = append(s.tokens, newValue(integer, 1, batch)), append(s.best, newValue(number, 1, batch))
		s.places = append(s.places, newValue(active, 1, l.width))
	}
	for range l.layers {
		s.caches = append(s.caches, newCache(batch, l.seq, l))
	}

	var in *gorgonia.Node
	var w []*gorgonia.Node
	p, d, f := &s.prefill, &s.decode, &s.forward
	all := newValue(active, l.seq, l.width)

	p.builder = newBuilder(on)
	p.tokens, in, s.weights[0], w = l.inputs(p.builder, batch*s.prompt, all)
	logits := l.logits(p.builder, in, w, s.prompt, func(i int, qkv *gorgonia.Node) *gorgonia.Node {
		y := p.causal(qkv, s.prompt, l.heads)
		attend := y.Op().(*op).do
		y.Op().(*op).do = func(out *value, in []*value) {
			attend(out, in)
			on.keep(s.caches[i], in[0], 0, s.prompt)
		}
		return y
	}, func(x *gorgonia.Node) *gorgonia.Node {
		return p.apply(&op{name: "last", do: func(out *value, in []*value) { on.last(out, in[0], s.prompt) }}, batch, l.width, x)
	})
	p.logits = of(logits)
	if p.program, err = p.builder.program(logits); err != nil {
		return nil, err
	}

	d.builder = newBuilder(on)
	d.tokens, in, s.weights[1], w = l.inputs(d.builder, batch, s.here)
	logits = l.logits(d.builder, in, w, 1, func(i int, qkv *gorgonia.Node) *gorgonia.Node {
		scratch := d.numbers(l.seq)
		return d.apply(&op{name: "recall", also: []*value{scratch}, do: func(out *value, in []*value) {
			on.keep(s.caches[i], in[0], s.n-1, 1)
			on.recall(out, scratch, s.caches[i], in[0], s.n)
		}}, batch, l.width, qkv)
	}, func(x *gorgonia.Node) *gorgonia.Node { return x })
	d.logits = of(logits)
	if d.program, err = d.builder.program(logits); err != nil {
		return nil, err
	}

	f.builder = newBuilder(on)
	f.tokens, in, s.weights[2], w = l.inputs(f.builder, l.seq, newValue(active, l.seq, l.width))
	logits = l.forward(f.builder, in, w)
	f.logits = of(logits)
	if f.program, err = f.builder.program(logits); err != nil {
		return nil, err
	}
	s.bytes = p.bytes + d.bytes + f.bytes
	for _, v := range s.memory() {
		s.bytes += (v.len()*on.element(v.kind) + on.align() - 1) / on.align() * on.align()
	}
	return s, nil
}

// memory is the values besides those of graphs and the weights.
func (s *server) memory() []*value {
	list := slices.Concat(s.tokens, s.best, s.places, []*value{s.prefill.tokens, s.forward.tokens})
	for _, c := range s.caches {
		list = append(list, c.keys, c.values)
	}
	return list
}

// bind allocates what the graphs need, and draws prompts from a key of the server.
// weights are those of all servers on the engine, and places the numbers of their second.
func (s *server) bind(weights []*value, places []float32, key uint64) error {
	for _, list := range s.weights {
		for i, w := range weights {
			if list[i] != s.here {
				list[i].become(w)
			}
		}
	}
	if err := s.on.provide(s.memory()...); err != nil {
		return err
	}
	for i, v := range s.places[:s.seq-s.prompt] {
		s.on.upload(v, nil, places[(s.prompt+i)*s.width:][:s.width])
	}
	for _, b := range []*builder{s.prefill.builder, s.decode.builder, s.forward.builder} {
		if err := s.on.allot(b); err != nil {
			return err
		}
	}
	state := key * 0xd1342543de82ef95
	draw := func(n int) []int32 {
		list := make([]int32, n)
		for i := range list {
			list[i] = int32(mix(&state) >> 40 % uint64(s.vocab)) // #nosec G115 -- an index of the vocabulary
		}
		return list
	}
	n := len(s.tokens) * s.batch
	s.present = answers{make([]int32, n), make([]float32, n)}
	for i := range sets {
		s.prompts[i], s.first[i] = draw(s.batch*s.prompt), draw(s.batch)
		s.expected[i] = answers{make([]int32, n), make([]float32, n)}
	}
	return s.on.failed()
}

// step decodes one more token of each sequence. After the last place the sequences begin
// again behind their prompts, with other first tokens.
func (s *server) step() error {
	if s.n == 0 || s.n == s.seq {
		s.set = (s.set + 1) % sets
		s.n = s.prompt
		copy(s.present.tokens, s.first[s.set])
		s.on.upload(s.tokens[0], s.first[s.set], nil)
	}
	i := s.n - s.prompt
	s.n++
	s.here.become(s.places[i])
	s.decode.tokens.become(s.tokens[i])
	if err := s.decode.run(s.on); err != nil {
		return err
	}
	return s.choose(s.decode.logits, i+1)
}

// ingest computes the caches of the prompts of a set and the tokens that follow them.
func (s *server) ingest(set int) error {
	s.set, s.n = set, 0
	s.on.upload(s.prefill.tokens, s.prompts[set], nil)
	if err := s.prefill.run(s.on); err != nil {
		return err
	}
	return s.choose(s.prefill.logits, 0)
}

// choose sets the tokens at a place after the prompt, and reads them, as who serves must.
func (s *server) choose(logits *value, i int) error {
	lo, hi := i*s.batch, (i+1)*s.batch
	s.on.greedy(s.tokens[i], s.best[i], logits)
	s.on.download(s.tokens[i], s.present.tokens[lo:hi], nil)
	s.on.download(s.best[i], nil, s.present.best[lo:hi])
	return s.on.failed()
}

// compare counts the present answers at a place: whether they are those of expected.
func (s *server) compare(i int) {
	lo, hi := i*s.batch, (i+1)*s.batch
	want := s.expected[s.set]
	s.repeats++
	if !(answers{want.tokens[lo:hi], want.best[lo:hi]}).equal(s.present.tokens[lo:hi], s.present.best[lo:hi]) {
		s.wrong++
	}
}

// learn makes the present answers at a place those that are expected.
func (s *server) learn(i int) {
	lo, hi := i*s.batch, (i+1)*s.batch
	copy(s.expected[s.set].tokens[lo:hi], s.present.tokens[lo:])
	copy(s.expected[s.set].best[lo:hi], s.present.best[lo:])
}
