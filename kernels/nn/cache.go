package nn

import (
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh cache-fp32.cl sm_75
//go:generate ../device/clang.sh cache-fp32.cl gfx90a gfx942 gfx1100 gfx1201
//go:generate ../device/clang.sh cache-bf16.cl sm_75
//go:generate ../device/clang.sh cache-bf16.cl gfx90a gfx942 gfx1100 gfx1201

var cachePrograms = map[Format]*device.Program{FP32: device.NewProgram(files, "cache-fp32"), BF16: device.NewProgram(files, "cache-bf16")}

// CachePrograms are the kernels of a [Cache] in a format, described in cache.h.
func CachePrograms(f Format) *device.Program { return cachePrograms[f] }

// Cache computes what inference does with the keys and values of earlier tokens, which
// it keeps in two buffers a layer: see [CacheShape]. Its methods are as those of
// [Passes], but rows have any number of elements. It has not yet run on hardware.
type Cache struct{ passes *Passes }

// CacheWith loads the kernels of a program that is one of [CachePrograms].
func CacheWith(p device.Processor, f Format, program *device.Program) (*Cache, error) {
	passes, err := With(p, f, program, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"cache_keep", "cache_recall", "cache_last", "cache_greedy"} {
		if _, err := passes.kernel(name); err != nil {
			return nil, err
		}
	}
	return &Cache{passes}, nil
}

// CacheShape is that of the keys and values of a layer. Keys has Width rows of Apart
// elements for each sequence and head, an element a place; values has Room rows of Width
// elements. Room is at most [CachePlaces] and Apart, and Width at most [Widest].
type CacheShape struct{ Batch, Heads, Width, Room, Apart int }

// CachePlaces is the most tokens of a sequence.
const CachePlaces = 4096

func (s CacheShape) keys() int   { return s.Batch * s.Heads * s.Width * s.Apart }
func (s CacheShape) values() int { return s.Batch * s.Heads * s.Width * s.Room }

func (s CacheShape) check() error {
	if min(s.Batch, s.Heads, s.Width, s.Room) < 1 || s.Width > Widest || s.Room > min(CachePlaces, s.Apart) || max(s.Batch, s.Heads, s.Apart) > math.MaxUint16 || s.keys() > math.MaxUint32 {
		return fmt.Errorf("nn: a cache %+v: a head is at most %d wide, and there are 1 to %d places, in rows that are as long", s, Widest, CachePlaces)
	}
	return nil
}

// Keep stores the keys and values of qkv, rows for seq consecutive tokens of each
// sequence, the first of them at a place.
func (c *Cache) Keep(keys, values, qkv device.Buffer, s CacheShape, at, seq int) error {
	if err := s.check(); err != nil {
		return err
	}
	n := s.Batch * s.Heads * s.Width * seq
	if at < 0 || seq < 1 || at > s.Room-seq || 3*n > math.MaxUint32 {
		return fmt.Errorf("nn: keep %d tokens at place %d of %d", seq, at, s.Room)
	}
	p := c.passes
	return p.submit(call{"cache_keep", groups(n, device.Threads), 1, []any{
		p.of(keys, s.keys()), p.of(values, s.values()), p.of(qkv, 3*n), at, seq, s.Heads, s.Width, s.Apart, s.Room, n,
	}})
}

// Recall computes the attention of one query a sequence, in qkv, over the first n places:
// y = softmax(q·kᵀ/√width)·v.
func (c *Cache) Recall(y, keys, values, qkv device.Buffer, s CacheShape, n int) error {
	if err := s.check(); err != nil {
		return err
	}
	if n < 1 || n > s.Room {
		return fmt.Errorf("nn: recall %d of %d places", n, s.Room)
	}
	p, all := c.passes, s.Batch*s.Heads*s.Width
	return p.submit(call{"cache_recall", s.Batch * s.Heads, 1, []any{
		p.of(y, all), p.of(keys, s.keys()), p.of(values, s.values()), p.of(qkv, 3*all), s.Heads, s.Width, s.Apart, s.Room, n, float32(math.Log2E / math.Sqrt(float64(s.Width))),
	}})
}

// Last sets row i of y, rows×cols, to row i·seq + seq − 1 of x.
func (c *Cache) Last(y, x device.Buffer, rows, seq, cols int) error {
	if min(rows, seq, cols) < 1 || max(rows, seq, cols) > math.MaxUint16 || rows*seq*cols > math.MaxUint32 {
		return fmt.Errorf("nn: the last of every %d rows, %d×%d", seq, rows, cols)
	}
	p := c.passes
	return p.submit(call{"cache_last", groups(rows*cols, device.Threads), 1, []any{p.of(y, rows*cols), p.of(x, rows*seq*cols), seq, cols, rows * cols}})
}

// Greedy sets tokens, uint32, to the place of the largest of each row of logits, the
// first of equals, and best, float32, to that logit.
func (c *Cache) Greedy(tokens, best, logits device.Buffer, rows, vocab int) error {
	if min(rows, vocab) < 1 || max(rows, vocab) > limit || rows*vocab > math.MaxUint32 {
		return fmt.Errorf("nn: the largest of %d×%d logits", rows, vocab)
	}
	p := c.passes
	return p.submit(call{"cache_greedy", rows, 1, []any{f32(tokens, rows), f32(best, rows), p.of(logits, rows*vocab), vocab}})
}
