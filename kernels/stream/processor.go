package stream

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh stream.cl sm_75
//go:generate ../device/clang.sh stream.cl gfx90a gfx942 gfx1100 gfx1201

//go:embed stream.cl stream.*.zst
var files embed.FS

// Program has the kernels for GPUs, described in stream.cl.
var Program = device.NewProgram(files, "stream")

// Bytes of a word, which each of these operations counts for a word of a vector:
// two reads and a write, or one of each, by the rule of STREAM.
const (
	TriadBytes = 3 * wordBytes
	CopyBytes  = 2 * wordBytes
	wordBytes  = 4
)

// Samples is how many words [Vectors.Sample] saves.
const Samples = device.Threads

// Processors has the implementations for processors. What is timed is the triad
// of float32, with one rounding; the peak is reading alone.
var Processors = kernels.Table[*Vectors]{
	Name: "stream",
	Unit: "B",
	Rows: []kernels.Row[*Vectors]{{
		Name: "simt",
		Open: func(p device.Processor) (*Vectors, error) { return Open(p, Program) },
		Peak: func(v *Vectors) float64 {
			return v.timed(wordBytes, func(o *operands) error { return v.Readout(o.sums, o.b, o.words) })
		},
	}},
	Check: func(v *Vectors) error {
		for _, parts := range []int{device.Threads, 700, 1} { // whole blocks, and not
			if err := v.Verify(parts); err != nil {
				return err
			}
		}
		return nil
	},
	Work: func(device.Info, int64) func(*Vectors) float64 {
		return func(v *Vectors) float64 {
			return v.timed(TriadBytes, func(o *operands) error { return v.Triad(o.a, o.b, o.c, 1.5, o.words) })
		}
	},
}

// Vectors computes on vectors of words of 32 bits in the memory of a processor. A
// vector is the beginning of a buffer and has a multiple of 4 words, at most 2^31.
// Methods submit their work and do not wait for it, unless they return a result.
type Vectors struct {
	device.Processor
	copy, triad, readout, fill, differ, differTriad, sample device.Kernel
	trial                                                   *operands
}

// Open loads the kernels of a program, which is [Program] but in tests.
func Open(p device.Processor, program *device.Program) (*Vectors, error) {
	v := &Vectors{Processor: p}
	for name, k := range map[string]*device.Kernel{
		"copy": &v.copy, "triad": &v.triad, "readout": &v.readout, "fill": &v.fill,
		"differ": &v.differ, "differ_triad": &v.differTriad, "sample": &v.sample,
	} {
		var err error
		if *k, err = p.Kernel(program, name); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// each launches a kernel with a thread for each 16 bytes of a vector, and the
// number of these as the last argument.
func (v *Vectors) each(k device.Kernel, words int, args ...any) error {
	parts := words / 4
	return v.Submit(device.Launch{
		Kernel: k, Blocks: [2]int{(parts + device.Threads - 1) / device.Threads, 1}, Args: append(args, uint32(parts)), // #nosec G115 -- 2^29 at most
	})
}

// Copy computes a = b.
func (v *Vectors) Copy(a, b device.Buffer, words int) error { return v.each(v.copy, words, a, b) }

// Triad computes a = b + s·c of float32, rounded once.
func (v *Vectors) Triad(a, b, c device.Buffer, s float32, words int) error {
	return v.each(v.triad, words, a, b, c, s)
}

// readoutParts is how many parts of 16 bytes a block reads.
const readoutParts = 16 * device.Threads

// Readout reads a vector. Word i of sums, of [Sums] words, becomes the exclusive
// or of the i-th 64 KiB of it.
func (v *Vectors) Readout(sums, b device.Buffer, words int) error {
	return v.Submit(device.Launch{
		Kernel: v.readout, Blocks: [2]int{Sums(words), 1}, Args: []any{sums, b, uint32(readoutParts), uint32(words / 4)}, // #nosec G115 -- 2^29 at most
	})
}

// Sums is the number of words that [Vectors.Readout] writes for a vector.
func Sums(words int) int { return (words/4 + readoutParts - 1) / readoutParts }

// Pattern is the contents of a vector: word i is a hash of i and of a key. The
// hash has no state, so that the host knows any word of gigabytes that it does not
// hold.
type Pattern struct{ key, random, fixed uint32 }

// Words is a pattern of random bits.
func Words(key uint32) Pattern { return Pattern{key, math.MaxUint32, 0} }

// Floats is a pattern of random float32 in [1, 2).
func Floats(key uint32) Pattern { return Pattern{key, 1<<23 - 1, 0x3f800000} }

// At returns word i.
func (p Pattern) At(i uint32) uint32 { return hash(i^p.key)&p.random | p.fixed }

// hash is that of stream.cl.
func hash(x uint32) uint32 {
	x = (x ^ x>>16) * 0x21f0aaad
	x = (x ^ x>>15) * 0xd35a2d97
	return x ^ x>>15
}

// TriadAt returns word i of the triad of two patterns of [Floats].
func TriadAt(b, c Pattern, s float32, i uint32) uint32 {
	x, y := math.Float32frombits(b.At(i)), math.Float32frombits(c.At(i))
	// A product of two float32 in [1, 2) has 48 bits, and its sum with another
	// float32 in [1, 2) has 49: float64 holds both, so that only the end rounds.
	return math.Float32bits(float32(float64(x) + float64(s)*float64(y)))
}

// Fill writes a pattern.
func (v *Vectors) Fill(x device.Buffer, p Pattern, words int) error {
	return v.each(v.fill, words, x, p.key, p.random, p.fixed)
}

// Differ waits and returns how many words of x differ from a pattern.
func (v *Vectors) Differ(x device.Buffer, p Pattern, words int) (int, error) {
	return v.count(func(wrong device.Buffer) error {
		return v.each(v.differ, words, wrong, x, p.key, p.random, p.fixed)
	})
}

// DifferTriad waits and returns how many words of a differ from [TriadAt] of b, c
// and s in [1, 2).
func (v *Vectors) DifferTriad(a device.Buffer, b, c Pattern, s float32, words int) (int, error) {
	return v.count(func(wrong device.Buffer) error {
		return v.each(v.differTriad, words, wrong, a, s, b.key, c.key, b.random, b.fixed)
	})
}

// count returns what submit counts in a buffer.
func (v *Vectors) count(submit func(wrong device.Buffer) error) (int, error) {
	wrong, err := v.Alloc(wordBytes)
	if err != nil {
		return 0, err
	}
	var word [wordBytes]byte
	if err = v.Write(wrong, word[:]); err == nil {
		if err = submit(wrong); err == nil {
			err = v.Read(word[:], wrong)
		}
	}
	return int(binary.LittleEndian.Uint32(word[:])), errors.Join(err, v.Free(wrong))
}

// Sample saves [Samples] words of x, those at the places of the key taken, from word
// at·Samples of saved on, and inverts the words at the places of the key next: they
// are wrong until something computes them again. x has [Samples] words at least.
func (v *Vectors) Sample(saved device.Buffer, at int, x device.Buffer, taken, next uint32, words int) error {
	return v.Submit(device.Launch{
		Kernel: v.sample, Blocks: [2]int{1, 1}, Args: []any{saved, uint32(at), x, taken, next, uint32(words)}, // #nosec G115 -- numbers of words
	})
}

// Place is the place of a key in section t of a vector, of [Samples] sections of
// one size, or one more.
func Place(words int, key uint32, t int) int {
	from, to := words*t/Samples, words*(t+1)/Samples
	return from + int(uint64(hash(uint32(t)^key))*uint64(to-from)>>32) // #nosec G115 -- t and the result are small
}

// Verify compares the results of every kernel, over a number of parts of 16 bytes,
// with what the host computes.
func (v *Vectors) Verify(parts int) (err error) {
	n := 4 * parts
	var buffers []device.Buffer
	defer func() {
		for _, b := range buffers {
			err = errors.Join(err, v.Free(b))
		}
	}()
	do := func(step error) {
		if err == nil {
			err = step
		}
	}
	// vector allocates words that no kernel writes by chance.
	vector := func(words []uint32) device.Buffer {
		if err != nil {
			return nil
		}
		b, failed := v.Alloc(int64(wordBytes * len(words)))
		if do(failed); failed == nil {
			buffers = append(buffers, b)
			do(v.Write(b, encode(words)))
		}
		return b
	}
	blank := func(n int) []uint32 {
		words := make([]uint32, n)
		for i := range words {
			words[i] = math.MaxUint32
		}
		return words
	}
	// is compares a vector with what it must be.
	is := func(name string, x device.Buffer, words int, want func(i int) uint32) []byte {
		data := make([]byte, wordBytes*words)
		if err == nil {
			err = v.Read(data, x)
		}
		for i := 0; i < words && err == nil; i++ {
			if got := binary.LittleEndian.Uint32(data[wordBytes*i:]); got != want(i) {
				err = fmt.Errorf("%s: word %d of %d is %#x, want %#x", name, i, words, got, want(i))
			}
		}
		return data
	}
	counts := func(name string, want, got int, failed error) {
		if do(failed); err == nil && got != want {
			err = fmt.Errorf("%s of %d words counts %d wrong ones, want %d", name, n, got, want)
		}
	}

	// Numbers of which no sum and no product is rounded.
	random := rand.New(rand.NewPCG(5, uint64(n))) // #nosec G404 -- test data; n is a number of words
	hb, hc := make([]uint32, n), make([]uint32, n)
	for i := range hb {
		hb[i], hc[i] = math.Float32bits(float32(random.IntN(1<<20))), math.Float32bits(float32(random.IntN(1<<20)))
	}
	a, b, c, sums, saved := vector(blank(n)), vector(hb), vector(hc), vector(blank(Sums(n))), vector(blank(3*Samples))
	if err != nil {
		return err
	}
	do(v.Copy(a, b, n))
	is("copy", a, n, func(i int) uint32 { return hb[i] })
	do(v.Triad(a, b, c, 3, n))
	is("triad", a, n, func(i int) uint32 {
		return math.Float32bits(math.Float32frombits(hb[i]) + 3*math.Float32frombits(hc[i]))
	})
	do(v.Readout(sums, b, n))
	is("readout", sums, Sums(n), func(i int) (sum uint32) {
		for _, word := range hb[4*readoutParts*i : min(4*readoutParts*(i+1), n)] {
			sum ^= word
		}
		return sum
	})

	pb, pc, pw := Floats(random.Uint32()), Floats(random.Uint32()), Words(random.Uint32())
	const s = 1 + 0x1p-20
	do(v.Fill(b, pb, n))
	do(v.Fill(c, pc, n))
	is("fill", b, n, func(i int) uint32 { return pb.At(uint32(i)) }) // #nosec G115 -- an index
	do(v.Triad(a, b, c, s, n))
	answers := is("triad", a, n, func(i int) uint32 { return TriadAt(pb, pc, s, uint32(i)) }) // #nosec G115 -- an index
	do(v.Fill(c, pw, n))
	words := is("fill", c, n, func(i int) uint32 { return pw.At(uint32(i)) }) // #nosec G115 -- an index

	// No word is wrong, then each of the last four, by one bit, then all.
	for bad := -1; bad <= 4; bad++ {
		from, to := n-1-bad, n-bad
		switch bad {
		case -1:
			from, to = n, n
		case 4:
			from, to = 0, n
		}
		flip := func() {
			for i := from; i < to; i++ {
				answers[wordBytes*i] ^= 1
				words[wordBytes*i] ^= 1
			}
		}
		flip()
		do(v.Write(a, answers))
		do(v.Write(c, words))
		flip()
		if err != nil {
			return err
		}
		got, failed := v.DifferTriad(a, pb, pc, s, n)
		counts("differ_triad", to-from, got, failed)
		got, failed = v.Differ(c, pw, n)
		counts("differ", to-from, got, failed)
	}
	if err != nil || n < Samples {
		return err
	}
	key, next := random.Uint32(), random.Uint32()
	do(v.Write(c, words))
	do(v.Sample(saved, 1, c, key, next, n))
	is("sample", saved, 3*Samples, func(i int) uint32 {
		if i < Samples || i >= 2*Samples {
			return math.MaxUint32
		}
		return pw.At(uint32(Place(n, key, i-Samples))) // #nosec G115 -- a place
	})
	inverted := map[int]bool{}
	for t := range Samples {
		inverted[Place(n, next, t)] = true
	}
	is("sample", c, n, func(i int) uint32 {
		if inverted[i] {
			return ^pw.At(uint32(i)) // #nosec G115 -- an index
		}
		return pw.At(uint32(i)) // #nosec G115 -- an index
	})
	return err
}

func encode(words []uint32) []byte {
	data := make([]byte, 0, wordBytes*len(words))
	for _, word := range words {
		data = binary.LittleEndian.AppendUint32(data, word)
	}
	return data
}

// operands are the vectors of a trial. They stay until the processor is closed.
type operands struct {
	a, b, c, sums device.Buffer
	words         int
}

// timed submits an operation on vectors of 4 MiB for each lane of the processor
// twice, waits, and returns how many bytes it counts. On vectors of any size a
// multiprocessor reads some 10 GB/s at least, so that this takes some milliseconds
// at most. If the processor is lost, the little that is returned is no rate.
func (v *Vectors) timed(bytes int, submit func(*operands) error) float64 {
	if v.trial == nil {
		o := &operands{words: max(v.Info().Lanes, 1) << 20}
		if memory := v.Info().Memory; memory > 0 {
			o.words = min(o.words, int(memory/32/wordBytes)&^3)
		}
		var errs [4]error
		size := int64(wordBytes * o.words)
		o.a, errs[0] = v.Alloc(size)
		o.b, errs[1] = v.Alloc(size)
		o.c, errs[2] = v.Alloc(size)
		o.sums, errs[3] = v.Alloc(int64(wordBytes * Sums(o.words)))
		if errors.Join(errs[:]...) != nil || errors.Join(v.Fill(o.b, Floats(1), o.words), v.Fill(o.c, Floats(2), o.words)) != nil {
			return 1
		}
		v.trial = o
	}
	if errors.Join(submit(v.trial), submit(v.trial), v.Sync()) != nil {
		return 1
	}
	return float64(2 * bytes * v.trial.words)
}
