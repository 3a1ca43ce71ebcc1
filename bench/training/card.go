package training

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/allreduce"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// card is an engine: a processor. Everything of a step is in its memory and happens
// there: weights, their moments, the tokens of many steps. Only the loss comes back.
//
// It has not yet run on hardware.
type card struct {
	on      *queue
	passes  *nn.Passes
	product *gemm.Product
	format  nn.Format
	cards   int // that train one model
	err     error
	count   products

	buffers        []device.Buffer // all that were allocated
	matrices       []state         // of each matrix of weights
	groups         [2]group        // those that decay, and the others
	all            group           // both
	norm2, scratch device.Buffer
	steps          int

	batches [ahead + 1][2]device.Buffer // tokens and targets; the last is held out
	left    int                         // batches of which no step has trained yet
}

// ahead is how many batches are uploaded at a time: a step copies nothing from the host.
const ahead = 64

// state is what is kept of weights, in float32 but for what passes multiply by, which is
// in the format. Of fp32 the two are the same.
type state struct{ weights, masters, gradients, first, second device.Buffer }

// group is the state of consecutive weights, n of them.
type group struct {
	state
	n int64
}

// queue is a processor that hands launches on when it is told to, many in one call of
// the driver.
type queue struct {
	device.Processor
	waiting []device.Launch
}

func (q *queue) Submit(launches ...device.Launch) error {
	q.waiting = append(q.waiting, launches...)
	return nil
}

func (q *queue) flush() error {
	if len(q.waiting) == 0 {
		return nil
	}
	err := q.Processor.Submit(q.waiting...)
	clear(q.waiting)
	q.waiting = q.waiting[:0]
	return err
}

func (q *queue) Read(data []byte, from device.Buffer) error {
	if err := q.flush(); err != nil {
		return err
	}
	return q.Processor.Read(data, from)
}

func (q *queue) Write(to device.Buffer, data []byte) error {
	if err := q.flush(); err != nil {
		return err
	}
	return q.Processor.Write(to, data)
}

// sizes returns an engine that knows what values take and computes nothing: enough to
// plan a graph for a processor.
func sizes(format nn.Format, cards int) *card {
	return &card{format: format, passes: new(nn.Passes), cards: cards}
}

// newCard returns the engine on a processor, with its kernels loaded.
func newCard(p device.Processor, format nn.Format, product *gemm.Product) (*card, error) {
	q := &queue{Processor: p}
	passes, err := nn.Open(q, format)
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	return &card{on: q, passes: passes, product: product, format: format, cards: 1}, nil
}

func (c *card) element(k kind) int64 {
	if k == active {
		return c.format.Size()
	}
	return 4
}

func (c *card) align() int64       { return device.PartAlign }
func (c *card) failed() error      { return c.err }
func (c *card) counted() *products { return &c.count }
func (c *card) check(err error) {
	if c.err == nil {
		c.err = err
	}
}

// multiply submits a product after everything that waits.
func (c *card) multiply(call gemm.Call) {
	if c.err != nil {
		return
	}
	if c.check(c.on.flush()); c.err != nil {
		return
	}
	c.check(c.product.Do(call))
	c.count.add(products{1, 2 * int64(call.M) * int64(call.N) * int64(call.K)})
}

func (c *card) embed(y, tokens, table, places *value, seq int) {
	c.check(c.passes.Embed(y.buf, tokens.buf, table.buf, places.buf, y.rows, seq, y.cols))
}

func (c *card) embedGrad(dplaces, dtable, tokens, dy *value, seq int) {
	c.check(c.passes.EmbedGrad(dtable.buf, dplaces.buf, tokens.buf, dy.buf, dy.rows, seq, dy.cols, dtable.rows))
}

func (c *card) layerNorm(y, mean, inverse, x, gain, bias *value) {
	c.check(c.passes.LayerNorm(y.buf, mean.buf, inverse.buf, x.buf, gain.buf, bias.buf, x.rows, x.cols))
}

func (c *card) layerNormGrad(dx, dgain, dbias, x, mean, inverse, gain, dy, scratch *value) {
	c.check(c.passes.LayerNormGrad(dx.buf, dgain.buf, dbias.buf, x.buf, mean.buf, inverse.buf, gain.buf, dy.buf, scratch.buf, x.rows, x.cols))
}

func (c *card) linear(y, x, w, bias *value) {
	call := gemm.Call{C: y.buf, A: x.buf, B: w.buf, M: y.rows, N: y.cols, K: x.cols, TransB: true, Round: true}
	if bias != nil {
		call.Bias = bias.buf
	}
	c.multiply(call)
}

func (c *card) linearGrad(dx, dy, w *value) {
	c.multiply(gemm.Call{C: dx.buf, A: dy.buf, B: w.buf, M: dx.rows, N: dx.cols, K: dy.cols, Round: true})
}

func (c *card) linearGradWeights(dw, dy, x *value) {
	c.multiply(gemm.Call{C: dw.buf, A: dy.buf, B: x.buf, M: dw.rows, N: dw.cols, K: dy.rows, TransA: true})
}

func (c *card) sumRows(sum, x, scratch *value) {
	c.check(c.passes.SumRows(sum.buf, x.buf, scratch.buf, x.rows, x.cols))
}

func (c *card) gelu(y, x *value) { c.check(c.passes.Gelu(y.buf, x.buf, x.Size())) }

func (c *card) geluGrad(dx, x, dy *value) {
	c.check(c.passes.GeluGrad(dx.buf, x.buf, dy.buf, x.Size()))
}

func (c *card) add(y, a, b *value) { c.check(c.passes.Add(y.buf, a.buf, b.buf, y.Size())) }

func (c *card) attention(y, saved, qkv *value, seq, heads int) {
	c.check(c.passes.Attention(y.buf, saved.buf, qkv.buf, y.rows/seq, seq, heads, y.cols/heads))
}

func (c *card) attentionGrad(dqkv, qkv, y, saved, dy, scratch *value, seq, heads int) {
	c.check(c.passes.AttentionGrad(dqkv.buf, qkv.buf, y.buf, saved.buf, dy.buf, scratch.buf, y.rows/seq, seq, heads, y.cols/heads))
}

// tokenLoss sets loss to the mean over the tokens of this card. The gradients are those
// of the mean over all cards: their sum needs no factor.
func (c *card) tokenLoss(loss, losses, logits, targets *value) {
	c.check(c.passes.CrossEntropy(losses.buf, logits.buf, logits.buf, targets.buf, logits.rows, logits.cols, 1/float32(c.cards*logits.rows)))
	c.check(c.passes.Mean(loss.buf, losses.buf, logits.rows))
}

func (c *card) layerNormScratch(rows, cols int) int {
	return int(c.passes.LayerNormScratch(rows, cols) / 4)
}
func (c *card) sumRowsScratch(rows, cols int) int {
	return int(c.passes.SumRowsScratch(rows, cols) / 4)
}
func (c *card) attentionState(samples, seq, heads, width int) (saved, scratch int) {
	return samples * seq * heads, int(c.passes.AttentionScratch(samples, seq, heads, width) / 4)
}

// layout returns where each matrix begins among all weights, how many of these decay,
// which come first, and how many there are, all in elements. Each begins where a part of
// a buffer can.
func (c *card) layout(params []param) (at []int64, decaying, all int64) {
	at = make([]int64, len(params))
	each := device.PartAlign / c.format.Size()
	for _, decays := range []bool{true, false} {
		for i, p := range params {
			if (p.decays() > 0) == decays {
				at[i] = all
				all += (int64(p.len()) + each - 1) / each * each
			}
		}
		if decays {
			decaying = all
		}
	}
	return at, decaying, all
}

// memory is what training of r takes.
func (c *card) memory(r *replica) results.MemoryParts {
	_, _, all := c.layout(r.net.params())
	m := results.MemoryParts{
		Weights: all * c.format.Size(), Gradients: all * 4, Optimiser: all * 2 * 4, Activations: r.shared,
		Workspace: int64(len(c.batches))*2*slot(r) + device.PartAlign + c.passes.SumSquaresScratch(int(all)),
	}
	m.Workspace += allreduce.Memory(c.cards, all)
	if c.format != nn.FP32 {
		m.Optimiser += all * 4
	}
	return m
}

func (c *card) alloc(bytes int64) device.Buffer {
	if c.err != nil {
		return nil
	}
	b, err := c.on.Alloc(bytes)
	if c.check(err); err == nil {
		c.buffers = append(c.buffers, b)
	}
	return b
}

func (c *card) part(b device.Buffer, at, bytes int64) device.Buffer {
	if c.err != nil {
		return nil
	}
	part, err := c.on.Part(b, at, bytes)
	c.check(err)
	return part
}

// of returns the state of n weights from the one at on.
func (c *card) of(s state, at, n int64) state {
	w := c.format.Size()
	return state{c.part(s.weights, at*w, n*w), c.part(s.masters, at*4, n*4), c.part(s.gradients, at*4, n*4), c.part(s.first, at*4, n*4), c.part(s.second, at*4, n*4)}
}

// bind allocates what training of r takes, and binds r to it.
func (c *card) bind(r *replica) error {
	params := r.net.params()
	at, decaying, all := c.layout(params)
	s := state{weights: c.alloc(all * c.format.Size()), gradients: c.alloc(all * 4), first: c.alloc(all * 4), second: c.alloc(all * 4)}
	if s.masters = s.weights; c.format != nn.FP32 {
		s.masters = c.alloc(all * 4)
	}
	c.all = group{s, all}
	c.groups = [2]group{{c.of(s, 0, decaying), decaying}, {c.of(s, decaying, all-decaying), all - decaying}}
	for _, b := range []device.Buffer{s.masters, s.gradients} { // between matrices there are zeros, and stay
		c.fill(b, all)
	}
	for i, p := range params {
		one := c.of(s, at[i], int64(p.len()))
		c.matrices = append(c.matrices, one)
		r.weights[i].buf, r.grads[i].buf = one.weights, one.gradients
	}
	shared := c.alloc(r.shared)
	for _, v := range r.used(active, number) {
		v.buf = c.part(shared, v.at, v.size)
	}
	c.norm2, c.scratch = c.alloc(device.PartAlign), c.alloc(c.passes.SumSquaresScratch(int(all)))
	for k := range 2 {
		b := c.alloc(int64(len(c.batches)) * slot(r))
		for i := range c.batches {
			c.batches[i][k] = c.part(b, int64(i)*slot(r), 4*r.x.len())
		}
	}
	return c.err
}

// slot is the bytes from one batch to the next of tokens.
func slot(r *replica) int64 {
	return (4*r.x.len() + device.PartAlign - 1) / device.PartAlign * device.PartAlign
}

func (c *card) fill(b device.Buffer, n int64) {
	if c.err == nil {
		c.check(c.passes.Fill(b, 0, int(n)))
	}
}

// reset prepares for the first step with new weights.
func (c *card) reset() {
	c.steps, c.left = 0, 0
	c.fill(c.all.first, c.all.n)
	c.fill(c.all.second, c.all.n)
}

// set sets a matrix of weights.
func (c *card) set(i int, x []float32) {
	bytes := make([]byte, 0, 4*len(x))
	for _, v := range x {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	s := c.matrices[i]
	if c.check(c.on.Write(s.masters, bytes)); c.err == nil && c.format != nn.FP32 {
		c.check(c.passes.Convert(s.weights, s.masters, len(x)))
	}
}

// read has the replica of this card hold its part of a batch of documents, of which from
// is the number of the first; the next batch is apart documents on. Those of many steps
// are uploaded at a time.
func (c *card) read(r *replica, set text, which byte, from, apart int) error {
	tokens, targets := make([]int32, r.x.len()), make([]int32, r.label.len())
	upload := func(slot, from int) {
		r.documents(set, which, from, tokens, targets)
		c.put(slot, tokens, targets)
	}
	slot := ahead
	switch {
	case which == heldOutStream:
		upload(slot, from)
	case c.left == 0:
		for i := range ahead {
			upload(i, from+i*apart)
		}
		c.left = ahead
		fallthrough
	default:
		slot = ahead - c.left
		c.left--
	}
	r.x.buf, r.label.buf = c.batches[slot][0], c.batches[slot][1]
	return c.err
}

// put uploads tokens and targets of one batch.
func (c *card) put(i int, tokens, targets []int32) {
	for k, list := range [][]int32{tokens, targets} {
		bytes := make([]byte, 0, 4*len(list))
		for _, t := range list {
			bytes = binary.LittleEndian.AppendUint32(bytes, uint32(t)) // #nosec G115 -- an index of the vocabulary
		}
		c.check(c.on.Write(c.batches[i][k], bytes))
	}
}

// update is a step of AdamW on all weights.
func (c *card) update(lr float64) {
	c.steps++
	if c.err != nil {
		return
	}
	c.check(c.passes.SumSquares(c.norm2, c.all.gradients, c.scratch, int(c.all.n)))
	u := nn.Update{
		Rate: float32(lr), Beta1: beta1, Beta2: beta2, Epsilon: steady, Decay: weightDecay, Clip: clip,
		Correction1: float32(1 - math.Pow(beta1, float64(c.steps))), Correction2: float32(1 - math.Pow(beta2, float64(c.steps))),
	}
	for _, g := range c.groups {
		c.check(c.passes.AdamW(g.weights, g.masters, g.first, g.second, g.gradients, c.norm2, int(g.n), u))
		u.Decay = 0
	}
}

// number reads the one number of v, when everything before it is done.
func (c *card) number(v *value) (float32, error) {
	var bytes [4]byte
	if c.err == nil {
		c.check(c.on.Read(bytes[:], v.buf))
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(bytes[:])), c.err
}

// free gives all memory back.
func (c *card) free() error {
	for _, b := range c.buffers {
		c.check(c.on.Free(b))
	}
	c.buffers = nil
	return c.err
}
