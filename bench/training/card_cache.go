package training

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/nn"
)

// cardDecoding is a processor that infers. It has not yet run on hardware.
type cardDecoding struct {
	*card
	cache *nn.Cache
}

var _ decoding = (*cardDecoding)(nil)

func newCardDecoding(p device.Processor, format nn.Format, product *gemm.Product) (*cardDecoding, error) {
	c, err := newCard(p, format, product)
	if err != nil {
		return nil, err
	}
	cache, err := nn.CacheWith(c.on, format, nn.CachePrograms(format))
	if err != nil {
		return nil, fmt.Errorf("training: %w", err)
	}
	return &cardDecoding{c, cache}, nil
}

// nothing is a float32 that is no number, and so is each half of it as a bfloat16.
var nothing = math.Float32frombits(0x7fc07fc0)

func (c *cardDecoding) provide(list ...*value) error {
	total := int64(0)
	for _, v := range list {
		v.at, v.size = total, v.len()*c.element(v.kind)
		total += (v.size + device.PartAlign - 1) / device.PartAlign * device.PartAlign
	}
	all := c.alloc(total)
	for _, v := range list {
		v.buf = c.part(all, v.at, v.size)
		if c.err == nil && v.kind != integer && v.size%4 == 0 {
			c.check(c.passes.Fill(v.buf, nothing, int(v.size/4)))
		}
	}
	return c.err
}

func (c *cardDecoding) upload(v *value, tokens []int32, numbers []float32) {
	var bytes []byte
	for _, t := range tokens {
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(t)) // #nosec G115 -- an index of the vocabulary
	}
	for _, x := range numbers {
		bits := math.Float32bits(x)
		if c.element(v.kind) == 2 {
			bytes = binary.LittleEndian.AppendUint16(bytes, uint16((bits+0x7fff+bits>>16&1)>>16)) // #nosec G115 -- 16 bits
			continue
		}
		bytes = binary.LittleEndian.AppendUint32(bytes, bits)
	}
	if c.err == nil {
		c.check(c.on.Write(v.buf, bytes))
	}
}

func (c *cardDecoding) download(v *value, tokens []int32, numbers []float32) {
	size := int(c.element(v.kind))
	bytes := make([]byte, size*(len(tokens)+len(numbers)))
	if c.err == nil {
		c.check(c.on.Read(bytes, v.buf))
	}
	for i := range tokens {
		tokens[i] = int32(binary.LittleEndian.Uint32(bytes[4*i:])) // #nosec G115 -- bits; what is no token has other logits
	}
	for i := range numbers {
		if size == 2 {
			numbers[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(bytes[2*i:])) << 16)
			continue
		}
		numbers[i] = math.Float32frombits(binary.LittleEndian.Uint32(bytes[4*i:]))
	}
}

func (c *cardDecoding) allot(b *builder) error {
	shared := c.alloc(b.shared)
	for _, v := range b.used(active, number) {
		v.buf = c.part(shared, v.at, v.size)
	}
	return c.err
}

func (c *cardDecoding) release() error { return c.free() }
func (c *cardDecoding) fused() bool    { return true }

func (c *cache) shape() nn.CacheShape {
	width := c.values.cols
	return nn.CacheShape{Batch: c.keys.rows / c.heads / width, Heads: c.heads, Width: width, Room: c.room, Apart: c.apart()}
}

func (c *cardDecoding) keep(to *cache, qkv *value, at, seq int) {
	if c.err == nil {
		c.check(c.cache.Keep(to.keys.buf, to.values.buf, qkv.buf, to.shape(), at, seq))
	}
}

func (c *cardDecoding) recall(y, _ *value, from *cache, qkv *value, n int) {
	if c.err == nil {
		c.check(c.cache.Recall(y.buf, from.keys.buf, from.values.buf, qkv.buf, from.shape(), n))
	}
}

func (c *cardDecoding) last(y, x *value, seq int) {
	if c.err == nil {
		c.check(c.cache.Last(y.buf, x.buf, y.rows, seq, y.cols))
	}
}

func (c *cardDecoding) greedy(tokens, best, logits *value) {
	if c.err == nil {
		c.check(c.cache.Greedy(tokens.buf, best.buf, logits.buf, logits.rows, logits.cols))
	}
}
