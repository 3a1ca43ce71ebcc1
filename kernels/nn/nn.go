// Package nn has the passes of a transformer, forward and backward, on processors:
// all but its matrix products, which package gemm has. The passes of the CPU are in
// package vector.
//
// The model is GPT-2's: pre-norm, GELU in its tanh form, learned positions, causal
// attention, tied embeddings; its optimiser is AdamW. Weights and activations are of
// one [Format]; statistics, losses, gradients of weights, moments and masters are
// float32, and every kernel computes in float32. Sums have a fixed order, so that a
// step gives the same bits every time on the same device.
//
// Nothing here has run on hardware yet: the kernels are tried by an interpreter of
// PTX, by PoCL and by Oclgrind. The kernels for every GPU use no matrix instructions;
// those of attention for NVIDIA's tensor cores do.
package nn

import (
	"embed"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh fp32.cl sm_75
//go:generate ../device/clang.sh fp32.cl gfx90a gfx942 gfx1100 gfx1201
//go:generate ../device/clang.sh bf16.cl sm_75
//go:generate ../device/clang.sh bf16.cl gfx90a gfx942 gfx1100 gfx1201

//go:generate ../device/clang.sh attention.cu sm_80

//go:embed *.cl *.h *.zst
var files embed.FS

// Format is the format of weights and activations.
type Format string

// Formats.
const (
	FP32 Format = "fp32"
	BF16 Format = "bf16"
)

// Size returns the bytes of an element.
func (f Format) Size() int64 {
	if f == BF16 {
		return 2
	}
	return 4
}

var programs = map[Format]*device.Program{FP32: device.NewProgram(files, "fp32"), BF16: device.NewProgram(files, "bf16")}

// Programs are the kernels of a format, described in passes.h.
func Programs(f Format) *device.Program { return programs[f] }

// Tensor has the kernels of attention of [BF16] on the tensor cores of NVIDIA's GPUs,
// described in attention.cu. [Open] takes them where a processor has feature mma.
var Tensor = device.NewProgram(files, "attention")

// Kernels of a program, in the order of passes.h.
var kernels = []string{
	"embed", "embed_grad", "places_grad", "layer_norm", "layer_norm_grad", "sum_rows", "sum_strips", "layer_norm_sums",
	"gelu", "gelu_grad", "add", "add_bias", "cross_entropy", "sum", "sum_squares", "adamw", "convert", "fill", "attention_delta",
	"attention32", "attention_keys32", "attention_queries32", "attention64", "attention_keys64", "attention_queries64",
}

var tensors = []string{"mma_attention", "mma_attention_keys", "mma_attention_queries"}

// Passes computes on a processor. Its methods submit launches and do not wait.
//
// Matrices are by rows without gaps, and a row is a whole number of 16 bytes in the
// format: its columns are a multiple of 4 in [FP32] and of 8 in [BF16], and so is
// every count n, unless the method says otherwise. A buffer holds what a method reads
// or writes from its beginning. A result may share its buffer with an operand of the
// same shape only where the method says so. Errors are the processor's, or say which
// size is wrong or which buffer is too small; then nothing was submitted.
type Passes struct {
	on      device.Processor
	format  Format
	program *device.Program
	tensor  *device.Program // nil: attention is computed without tensor cores
	kernels map[string]device.Kernel
}

// Open loads the passes of a format, which can take seconds.
func Open(p device.Processor, f Format) (*Passes, error) {
	list := kernels
	var tensor *device.Program
	if f == BF16 && slices.Contains(p.Info().Features, "mma") {
		list, tensor = slices.Concat(kernels, tensors), Tensor
	}
	n, err := With(p, f, programs[f], tensor)
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		if _, err := n.kernel(name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// With is [Open] with the kernels of other programs, for tests; without tensor,
// attention is that of program. A kernel is loaded when it is first used.
func With(p device.Processor, f Format, program, tensor *device.Program) (*Passes, error) {
	if program == nil {
		return nil, fmt.Errorf("nn: no passes in format %q: there are %s and %s", f, FP32, BF16)
	}
	return &Passes{on: p, format: f, program: program, tensor: tensor, kernels: map[string]device.Kernel{}}, nil
}

// Format returns the format of weights and activations.
func (p *Passes) Format() Format { return p.format }

func (p *Passes) kernel(name string) (device.Kernel, error) {
	if k, ok := p.kernels[name]; ok {
		return k, nil
	}
	program := p.program
	if strings.HasPrefix(name, "mma_") {
		program = p.tensor
	}
	k, err := p.on.Kernel(program, name)
	if err == nil {
		p.kernels[name] = k
	}
	return k, err
}

// need is an argument that is a buffer of at least so many bytes.
type need struct {
	b     device.Buffer
	bytes int64
}

// of is a buffer of elements in the format, f32 of float32 or of uint32.
func (p *Passes) of(b device.Buffer, n int) need { return need{b, int64(n) * p.format.Size()} }

func f32(b device.Buffer, n int) need { return need{b, 4 * int64(n)} }

// call is a launch of a kernel: each argument is a need, an int or a float32.
type call struct {
	kernel string
	x, y   int // blocks
	args   []any
}

// submit checks the arguments of calls and submits these, or none.
func (p *Passes) submit(calls ...call) error {
	list := make([]device.Launch, len(calls))
	for i, c := range calls {
		k, err := p.kernel(c.kernel)
		if err != nil {
			return err
		}
		if c.x > math.MaxInt32 || c.y > math.MaxUint16 {
			return fmt.Errorf("nn: %s: %d×%d blocks", c.kernel, c.x, c.y)
		}
		list[i] = device.Launch{Kernel: k, Blocks: [2]int{c.x, c.y}, Args: make([]any, len(c.args))}
		for j, arg := range c.args {
			switch arg := arg.(type) {
			case need:
				if arg.b == nil || arg.b.Size() < arg.bytes {
					return fmt.Errorf("nn: %s: buffer %d of its arguments has %d bytes, want %d", c.kernel, j, size(arg.b), arg.bytes)
				}
				list[i].Args[j] = arg.b
			case int:
				list[i].Args[j] = uint32(arg) // #nosec G115 -- limit sees to it
			case float32:
				list[i].Args[j] = arg
			}
		}
	}
	return p.on.Submit(list...)
}

func size(b device.Buffer) int64 {
	if b == nil {
		return 0
	}
	return b.Size()
}

// V is how many elements are in 16 bytes.
func (p *Passes) v() int { return int(16 / p.format.Size()) }

// limit is the largest dimension, and largest the largest number of elements of a
// matrix: no index of a kernel's overflows.
const (
	limit   = 1 << 24
	largest = 1 << 33
)

// matrix reports sizes that a method does not take.
func (p *Passes) matrix(what string, rows, cols int) error {
	if min(rows, cols) < 1 || max(rows, cols) > limit || cols%p.v() != 0 || rows*cols > largest {
		return fmt.Errorf("nn: %s of %d×%d: dimensions are 1 to %d, their product at most %d, and a row a multiple of %d elements", what, rows, cols, limit, largest, p.v())
	}
	return nil
}

func (p *Passes) vector(what string, n int) error {
	if n < 1 || n > largest || n%p.v() != 0 {
		return fmt.Errorf("nn: %s of %d elements: a multiple of %d, at most %d", what, n, p.v(), largest)
	}
	return nil
}

func groups(n, each int) int { return (n + each - 1) / each }

// each is a call with a thread for each 16 bytes of n elements, and the number of
// these as the last argument.
func (p *Passes) each(kernel string, n int, args ...any) call {
	parts := n / p.v()
	return call{kernel, groups(parts, device.Threads), 1, append(args, parts)}
}

// Embed computes y[r] = table[tokens[r]] + places[r mod seq]: y is rows×cols, table
// has as many rows of cols as its buffer holds, places is seq×cols, and tokens are
// uint32. A token that the table does not have gives NaN.
func (p *Passes) Embed(y, tokens, table, places device.Buffer, rows, seq, cols int) error {
	if err := p.matrix("embed", rows, cols); err != nil {
		return err
	}
	if err := p.matrix("embed, places", seq, cols); err != nil {
		return err
	}
	vocab := min(limit, int(size(table)/(int64(cols)*p.format.Size())))
	return p.submit(p.each("embed", rows*cols, p.of(y, rows*cols), f32(tokens, rows), p.of(table, cols), p.of(places, seq*cols), vocab, seq, cols))
}

// EmbedGrad adds each row of dy, rows×cols, to row tokens[r] of dtable, vocab×cols of
// float32, and sets row i of dplaces, seq×cols of float32, to the sum of dy's rows i,
// i+seq, …. Tokens beyond vocab count for nothing in dtable.
func (p *Passes) EmbedGrad(dtable, dplaces, tokens, dy device.Buffer, rows, seq, cols, vocab int) error {
	for _, n := range []int{rows, seq, vocab} {
		if err := p.matrix("the gradient of embed", n, cols); err != nil {
			return err
		}
	}
	quads := seq * cols / 4
	return p.submit(
		call{"embed_grad", groups(vocab, 32), 1, []any{f32(dtable, vocab*cols), f32(tokens, rows), p.of(dy, rows*cols), rows, cols, vocab}},
		call{"places_grad", groups(quads, device.Threads), 1, []any{f32(dplaces, seq*cols), p.of(dy, rows*cols), rows, seq, cols, quads}},
	)
}

// LayerNorm computes y = (x − mean)·rstd·gain + bias by rows, where mean and rstd =
// 1/√(variance + 10⁻⁵) are of a row of x and are kept, float32, for
// [Passes.LayerNormGrad]. y and x are rows×cols, gain and bias cols in the format.
func (p *Passes) LayerNorm(y, mean, rstd, x, gain, bias device.Buffer, rows, cols int) error {
	if err := p.matrix("layer norm", rows, cols); err != nil {
		return err
	}
	return p.submit(call{"layer_norm", groups(rows, 8), 1, []any{
		p.of(y, rows*cols), f32(mean, rows), f32(rstd, rows), p.of(x, rows*cols), p.of(gain, cols), p.of(bias, cols), rows, cols,
	}})
}

// strips is into how many strips of how many rows the sum of columns is split.
func strips(rows int) (n, each int) {
	each = max(32, groups(rows, 128))
	return groups(rows, each), each
}

// total is the call that sums n strips, from the first on.
func total(to, strips need, first, n, cols int) call {
	return call{"sum_strips", groups(cols, 128), 1, []any{to, strips, first, first + n, cols}}
}

// LayerNormGrad computes the gradients of [Passes.LayerNorm]: dx in the format, dgain
// and dbias in float32. It sets them. dx may be dy. scratch has
// [Passes.LayerNormScratch] bytes.
func (p *Passes) LayerNormGrad(dx, dgain, dbias, x, mean, rstd, gain, dy, scratch device.Buffer, rows, cols int) error {
	if err := p.matrix("the gradient of layer norm", rows, cols); err != nil {
		return err
	}
	n, each := strips(rows)
	sums := f32(scratch, 2*n*cols)
	return p.submit(
		call{"layer_norm_sums", groups(cols, 128), n, []any{sums, p.of(x, rows*cols), f32(mean, rows), f32(rstd, rows), p.of(dy, rows*cols), n, rows, cols, each}},
		total(f32(dgain, cols), sums, 0, n, cols), total(f32(dbias, cols), sums, n, n, cols),
		call{"layer_norm_grad", groups(rows, 8), 1, []any{p.of(dx, rows*cols), p.of(x, rows*cols), f32(mean, rows), f32(rstd, rows), p.of(gain, cols), p.of(dy, rows*cols), rows, cols}},
	)
}

// LayerNormScratch returns the bytes of scratch of [Passes.LayerNormGrad].
func (p *Passes) LayerNormScratch(rows, cols int) int64 {
	return 2 * p.SumRowsScratch(rows, cols)
}

// Gelu computes y = x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2 of n elements. y may be x.
func (p *Passes) Gelu(y, x device.Buffer, n int) error {
	if err := p.vector("gelu", n); err != nil {
		return err
	}
	return p.submit(p.each("gelu", n, p.of(y, n), p.of(x, n)))
}

// GeluGrad computes dx, the gradient of [Passes.Gelu] at x times dy. dx may be dy or x.
func (p *Passes) GeluGrad(dx, x, dy device.Buffer, n int) error {
	if err := p.vector("the gradient of gelu", n); err != nil {
		return err
	}
	return p.submit(p.each("gelu_grad", n, p.of(dx, n), p.of(x, n), p.of(dy, n)))
}

// Add computes y = a + b of n elements. y may be a or b.
func (p *Passes) Add(y, a, b device.Buffer, n int) error {
	if err := p.vector("add", n); err != nil {
		return err
	}
	return p.submit(p.each("add", n, p.of(y, n), p.of(a, n), p.of(b, n)))
}

// AddBias adds bias, cols in the format, to each row of y, rows×cols.
func (p *Passes) AddBias(y, bias device.Buffer, rows, cols int) error {
	if err := p.matrix("add bias", rows, cols); err != nil {
		return err
	}
	return p.submit(p.each("add_bias", rows*cols, p.of(y, rows*cols), p.of(bias, cols), cols))
}

// SumRows sets db, cols of float32, to the sum of the rows of dy, rows×cols in the
// format. scratch has [Passes.SumRowsScratch] bytes.
func (p *Passes) SumRows(db, dy, scratch device.Buffer, rows, cols int) error {
	if err := p.matrix("the sum of rows", rows, cols); err != nil {
		return err
	}
	n, each := strips(rows)
	partial := f32(scratch, n*cols)
	return p.submit(
		call{"sum_rows", groups(cols, 128), n, []any{partial, p.of(dy, rows*cols), rows, cols, each}},
		total(f32(db, cols), partial, 0, n, cols),
	)
}

// SumRowsScratch returns the bytes of scratch of [Passes.SumRows].
func (p *Passes) SumRowsScratch(rows, cols int) int64 {
	n, _ := strips(rows)
	return 4 * int64(n) * int64(cols)
}

// Widest is the widest head of attention.
const Widest = 64

// attention returns how the kernels for heads of a width are named, their grid, and
// the factor of scores: 1/√width, with log₂ e.
func (p *Passes) attention(batch, seq, heads, width int) (format string, x, y int, scale float32, err error) {
	switch {
	case min(batch, seq, heads, width) < 1 || max(batch, seq, heads) > limit || batch*heads > math.MaxUint16 || width > Widest || width%p.v() != 0:
		return "", 0, 0, 0, fmt.Errorf("nn: attention of %d×%d tokens, %d heads of %d: a head is a multiple of %d and at most %d wide, and there are at most %d heads in all", batch, seq, heads, width, p.v(), Widest, math.MaxUint16)
	case batch*seq > limit:
		return "", 0, 0, 0, fmt.Errorf("nn: attention of %d×%d tokens: at most %d", batch, seq, limit)
	}
	if err := p.matrix("attention", batch*seq, 3*heads*width); err != nil {
		return "", 0, 0, 0, err
	}
	format, rows := "%s32", 32
	switch {
	case p.tensor != nil:
		format, rows = "mma_%s", 128
	case width > 32:
		format = "%s64"
	}
	return format, groups(seq, rows), batch * heads, float32(math.Log2E / math.Sqrt(float64(width))), nil
}

// Attention computes causal attention: with queries q, keys k and values v of a head,
// seq×width each, y = softmax(q·kᵀ/√width)·v, where query i sees keys 0 to i. A row of
// qkv, of batch·seq rows, has the queries of all heads, then the keys, then the
// values; a row of y has all heads. lse, batch×heads×seq of float32, is the logarithm
// of the sum of the exponentials of each query's scores, for
// [Passes.AttentionGrad]. A head is at most [Widest] wide.
func (p *Passes) Attention(y, lse, qkv device.Buffer, batch, seq, heads, width int) error {
	format, blocks, all, scale, err := p.attention(batch, seq, heads, width)
	if err != nil {
		return err
	}
	n := batch * seq * heads * width
	return p.submit(call{fmt.Sprintf(format, "attention"), blocks, all, []any{p.of(y, n), f32(lse, all*seq), p.of(qkv, 3*n), seq, heads, width, scale}})
}

// AttentionGrad computes dqkv, of qkv's shape, from dy, of y's. qkv, y and lse are
// those of [Passes.Attention]. scratch has [Passes.AttentionScratch] bytes.
func (p *Passes) AttentionGrad(dqkv, qkv, y, lse, dy, scratch device.Buffer, batch, seq, heads, width int) error {
	format, blocks, all, scale, err := p.attention(batch, seq, heads, width)
	if err != nil {
		return err
	}
	n, pairs := batch*seq*heads*width, batch*seq*heads
	args := []any{p.of(dqkv, 3*n), p.of(qkv, 3*n), f32(lse, pairs), f32(scratch, pairs), p.of(dy, n), seq, heads, width, scale}
	return p.submit(
		call{"attention_delta", groups(pairs, 32), 1, []any{f32(scratch, pairs), p.of(y, n), p.of(dy, n), seq, heads, width, pairs}},
		call{fmt.Sprintf(format, "attention_keys"), blocks, all, args},
		call{fmt.Sprintf(format, "attention_queries"), blocks, all, args},
	)
}

// AttentionScratch returns the bytes of scratch of [Passes.AttentionGrad].
func (p *Passes) AttentionScratch(batch, seq, heads, width int) int64 {
	return 4 * int64(batch) * int64(seq) * int64(heads)
}

// CrossEntropy computes the loss of each row of logits, rows×vocab, against its
// target, a uint32: losses, float32 in nats, and dlogits = scale·(softmax − 1 at the
// target), which may be logits. A target beyond vocab gives a loss of NaN.
func (p *Passes) CrossEntropy(losses, dlogits, logits, targets device.Buffer, rows, vocab int, scale float32) error {
	if err := p.matrix("cross entropy", rows, vocab); err != nil {
		return err
	}
	n := rows * vocab
	return p.submit(call{"cross_entropy", rows, 1, []any{f32(losses, rows), p.of(dlogits, n), p.of(logits, n), f32(targets, rows), vocab, scale}})
}

// Mean sets loss, a float32, to the mean of n losses; any n.
func (p *Passes) Mean(loss, losses device.Buffer, n int) error {
	if n < 1 || n > limit {
		return fmt.Errorf("nn: the mean of %d losses: 1 to %d", n, limit)
	}
	return p.submit(call{"sum", 1, 1, []any{f32(loss, 1), f32(losses, n), 1 / float32(n), n}})
}

// squareBlocks is how many blocks sum squares: some for each multiprocessor.
func squareBlocks(n int) int { return min(1024, groups(n/4, 4*device.Threads)) }

// SumSquares sets out, a float32, to Σx² of n float32. scratch has
// [Passes.SumSquaresScratch] bytes.
func (p *Passes) SumSquares(out, x, scratch device.Buffer, n int) error {
	if err := p.vector("the sum of squares", n); err != nil {
		return err
	}
	blocks := squareBlocks(n)
	return p.submit(
		call{"sum_squares", blocks, 1, []any{f32(scratch, blocks), f32(x, n), blocks, n / 4}},
		call{"sum", 1, 1, []any{f32(out, 1), f32(scratch, blocks), float32(1), blocks}},
	)
}

// SumSquaresScratch returns the bytes of scratch of [Passes.SumSquares].
func (p *Passes) SumSquaresScratch(n int) int64 { return 4 * int64(squareBlocks(n)) }

// Update is a step of AdamW: "Decoupled Weight Decay Regularization" (Loshchilov and
// Hutter, 2019), with Rate the learning rate after its schedule.
type Update struct {
	Rate, Beta1, Beta2, Epsilon, Decay float32

	Correction1, Correction2 float32 // 1 − Beta1ᵗ and 1 − Beta2ᵗ in step t, from 1
	Clip                     float32 // the norm that gradients are scaled down to
}

// AdamW updates n weights: w in the format, and master, the moments m and v, and grad
// in float32. norm2 is a float32, the square of the norm of all gradients: they are
// multiplied by min(1, Clip/√norm2). Of [FP32] w and master may be one buffer.
func (p *Passes) AdamW(w, master, m, v, grad, norm2 device.Buffer, n int, u Update) error {
	if err := p.vector("AdamW", n); err != nil {
		return err
	}
	return p.submit(p.each("adamw", n, p.of(w, n), f32(master, n), f32(m, n), f32(v, n), f32(grad, n), f32(norm2, 1),
		u.Rate, u.Beta1, u.Beta2, u.Epsilon, u.Decay, u.Correction1, u.Correction2, u.Clip))
}

// Convert rounds n float32 to the format.
func (p *Passes) Convert(y, x device.Buffer, n int) error {
	if err := p.vector("convert", n); err != nil {
		return err
	}
	return p.submit(p.each("convert", n, p.of(y, n), f32(x, n)))
}

// Fill sets n float32 to a value; any n.
func (p *Passes) Fill(x device.Buffer, value float32, n int) error {
	if n < 1 || n > largest/4 {
		return fmt.Errorf("nn: fill of %d elements: 1 to %d", n, largest/4)
	}
	return p.submit(call{"fill", groups(n, device.Threads), 1, []any{f32(x, n), value, n}})
}
