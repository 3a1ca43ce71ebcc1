package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/results"
)

// Uses of a processor besides the triad.
const (
	useCopy     = "memory-copy"
	useUpload   = "memory-upload"
	useDownload = "memory-download"
)

const (
	wordBytes = 4
	minWords  = 4 * stream.Samples
	maxWords  = 1 << 31 // 8 GiB an array

	// leastWords is BabelStream's default.
	leastWords = 1 << 25

	// transferWords is 256 MiB: two of them are the 512 MiB of nvbandwidth's
	// buffer.
	transferWords = 1 << 26

	// A batch of operations is counted at once, after about 50 ms.
	batchTime = 50 * time.Millisecond
	maxBatch  = 64

	// headWords is how much of each array the host reads back and compares.
	headWords = 1 << 12
)

// processor implements bench.Workload for a processor.
type processor struct {
	info  bench.Info
	on    device.Device
	row   kernels.Row[*stream.Vectors]
	words int // of each array
	bytes int // counted for a word

	v               *stream.Vectors // nil unless prepared
	a, b, c, saved  device.Buffer   // those that the use needs
	host            [][]byte        // arrays of the host that the device copies
	free            []func() error
	pa, pb, pc      stream.Pattern
	places          uint32 // the key of the places of a launch follows from it
	launch          uint32 // number of the next operation
	batch           int    // operations that are submitted at a time
	fresh, finished []byte // words sampled by the batch that was submitted, and by the one before
	sampled, wrong  uint64
	example         string
}

// Copy returns the workload that copies in the memory of a processor: a = b and
// a = c in turn. 8 bytes are counted for a word, a read and a write.
func Copy(cfg bench.Config) (bench.Workload, error) { return choose(cfg, useCopy) }

// Upload returns the workload that copies page-locked memory of the host to a
// processor, as nvbandwidth does: what is counted is what is copied.
func Upload(cfg bench.Config) (bench.Workload, error) { return choose(cfg, useUpload) }

// Download returns the workload that copies from a processor to page-locked memory
// of the host.
func Download(cfg bench.Config) (bench.Workload, error) { return choose(cfg, useDownload) }

// configureProcessor validates a configuration for a processor, which may not be
// open yet.
func configureProcessor(cfg bench.Config, use string) (*processor, error) {
	on := cfg.Device.Info()
	row, err := stream.Processors.Pick(on, cfg.Impl)
	if err != nil {
		return nil, err
	}
	words := processorWords(on)
	bytes, arrays, host := stream.TriadBytes, 3, 0
	switch use {
	case useCopy:
		bytes = stream.CopyBytes
	case useUpload:
		words, bytes, arrays, host = min(words, transferWords), wordBytes, 1, 2
	case useDownload:
		words, bytes, arrays, host = min(words, transferWords), wordBytes, 2, 1
	}
	for key, value := range cfg.Params {
		if key != "n" {
			return nil, fmt.Errorf("unknown option %q: the only one is n", key)
		}
		if words, err = strconv.Atoi(value); err != nil || words < minWords || words > maxWords || words%4 != 0 {
			return nil, fmt.Errorf("n is %q: use a multiple of 4 from %d to %d", value, minWords, maxWords)
		}
	}
	size := wordBytes * int64(words)
	if need := int64(arrays) * size; on.Memory > 0 && need > on.Memory {
		return nil, fmt.Errorf("n=%d takes %s of the memory of %s, which has %s: use a smaller n", words, bench.Size(need), on.ID, bench.Size(on.Memory))
	}
	if have, ok := bench.MemoryAvailable("/"); ok && int64(host)*size > have {
		return nil, fmt.Errorf("n=%d takes %s of the host and %s are available: leave %s out of the uses, or use a smaller n", words, bench.Size(int64(host)*size), bench.Size(have), use)
	}
	return &processor{
		on: cfg.Device, row: row, words: words, bytes: bytes,
		info: bench.Info{
			Name: "stream", Use: use, Device: on.ID, Impl: row.Name, Unit: results.Byte, Threads: 1, Seed: cfg.Seed,
			Params: map[string]string{"n": strconv.Itoa(words)},
		},
	}, nil
}

// processorWords returns the length of an array of 4-byte words that no cache of a
// processor holds. STREAM wants four times the last-level cache. Drivers do not
// report all of these caches, but no GPU has more than 1/128 of its memory (AMD's
// RX 6900 XT: 128 MiB and 16 GiB), so that 1/32 of it is enough. From 4 GiB on that
// is at least BabelStream's 2^25 elements, which a CPU behind OpenCL has too: a
// virtual machine may hide its caches.
func processorWords(on device.Info) int {
	switch {
	case on.Kind == device.CPU:
		return int(max(4*LastLevelCaches()/wordBytes, leastWords)) &^ 3
	case on.Memory == 0:
		return leastWords
	}
	return int(min(max(on.Memory/32/wordBytes, minWords), maxWords)) &^ 3
}

// Info implements bench.Workload.
func (p *processor) Info() bench.Info {
	info := p.info
	info.Params = maps.Clone(info.Params)
	return info
}

// Prepare opens and checks the kernels, fills the arrays on the device, and times
// a few operations.
func (p *processor) Prepare(ctx context.Context) error {
	err := p.Close()
	if err == nil {
		err = p.prepare(ctx)
	}
	if err != nil {
		return fmt.Errorf("stream: prepare %s on %s: %w", p.info.Use, p.info.Device, err)
	}
	return nil
}

func (p *processor) prepare(ctx context.Context) error {
	on, ok := p.on.(device.Processor)
	if !ok {
		return errors.New("the device is not open")
	}
	v, err := p.row.Open(on)
	if err != nil {
		return err
	}
	if err := stream.Processors.Check(v); err != nil {
		if lost := v.Sync(); lost != nil {
			return lost // what a lost device does not compute is not the kernel's fault
		}
		return fmt.Errorf("%s is wrong on this device: %w", p.info.Impl, err)
	}
	key := func(which byte) uint32 { return uint32(bench.Hash64(uint64(p.info.Seed), uint64(which)) >> 32) } // #nosec G115 -- 32 bits are left
	pattern := stream.Words
	if p.info.Use == use {
		pattern = stream.Floats
	}
	p.v, p.pa, p.pb, p.pc, p.places = v, pattern(key('a')), pattern(key('b')), pattern(key('c')), key('p')
	p.launch, p.sampled, p.wrong, p.example = 0, 0, 0, ""
	p.fresh, p.finished = make([]byte, maxBatch*sampleBytes), make([]byte, maxBatch*sampleBytes)

	var errs []error
	buffer := func(bytes int) device.Buffer {
		b, err := v.Alloc(int64(bytes))
		if errs = append(errs, err); err == nil {
			p.free = append(p.free, func() error { return v.Free(b) })
		}
		return b
	}
	filled := func(pattern stream.Pattern) device.Buffer {
		b := buffer(wordBytes * p.words)
		if errors.Join(errs...) == nil {
			errs = append(errs, v.Fill(b, pattern, p.words))
		}
		return b
	}
	locked := func(pattern stream.Pattern) []byte {
		memory, release, err := v.Host(int64(wordBytes * p.words))
		if errs = append(errs, err); err == nil {
			p.free = append(p.free, release)
			for i := range p.words {
				binary.LittleEndian.PutUint32(memory[wordBytes*i:], pattern.At(uint32(i))) // #nosec G115 -- maxWords at most
			}
		}
		return memory
	}
	switch p.info.Use {
	case useUpload:
		p.a, p.host = filled(p.pa), [][]byte{locked(p.pb), locked(p.pc)}
	case useDownload:
		p.b, p.c, p.host = filled(p.pb), filled(p.pc), [][]byte{locked(p.pa)}
	default:
		p.a, p.b, p.c = filled(p.pa), filled(p.pb), filled(p.pc)
	}
	p.saved = buffer(maxBatch * sampleBytes)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := p.sample(0, p.place(0), p.place(0)); err != nil {
		return err
	}
	best := time.Duration(1<<63 - 1)
	p.batch = 1
	for range 4 { // the first one is slow, and interruptions make any of them so
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		if err := errors.Join(p.submit(), p.wait()); err != nil {
			return err
		}
		best = min(best, time.Since(began))
		p.compare(p.launch - 1)
	}
	if p.wrong > 0 {
		return fmt.Errorf("%s is wrong on this device: %d of %d words%s", p.info.Impl, p.wrong, p.sampled, p.example)
	}
	p.sampled = 0 // of what is not counted
	p.batch = int(min(max(batchTime/max(best, 1), 1), maxBatch))
	return nil
}

const sampleBytes = wordBytes * stream.Samples

// place is the key of the places that are inverted before a launch, and sampled
// after it.
func (p *processor) place(launch uint32) uint32 {
	return uint32(bench.Hash64(uint64(p.places), uint64(launch)) >> 32) // #nosec G115 -- 32 bits are left
}

// want is word i of the result of a launch. Two launches in succession differ in
// every word but by chance, so that an old answer is not a right one: the triad
// has another s, and the copies alternate between two sources.
func (p *processor) want(launch uint32, i int) uint32 {
	if p.info.Use == use {
		return stream.TriadAt(p.pb, p.pc, float32(scalar(uint64(launch))), uint32(i)) // #nosec G115 -- maxWords at most
	}
	return p.source(launch).At(uint32(i)) // #nosec G115 -- maxWords at most
}

// source is what a launch copies.
func (p *processor) source(launch uint32) stream.Pattern {
	return [2]stream.Pattern{p.pb, p.pc}[launch%2]
}

// submit submits a batch, of which each operation is followed by a sample of its
// result. A copy to or from the host is waited for.
func (p *processor) submit() error {
	for at := range p.batch {
		from := [2]device.Buffer{p.b, p.c}[p.launch%2]
		var err error
		switch p.info.Use {
		case use:
			err = p.v.Triad(p.a, p.b, p.c, float32(scalar(uint64(p.launch))), p.words)
		case useCopy:
			err = p.v.Copy(p.a, from, p.words)
		case useUpload:
			err = p.v.Write(p.a, p.host[p.launch%2])
		case useDownload:
			err = p.v.Read(p.host[0], from)
		}
		if err == nil {
			err = p.sample(at, p.place(p.launch), p.place(p.launch+1))
		}
		if err != nil {
			return err
		}
		p.launch++
	}
	return nil
}

// sample saves words of the result, as number at of the batch, and inverts others,
// which the next operation must make right.
func (p *processor) sample(at int, taken, next uint32) error {
	if p.info.Use != useDownload {
		return p.v.Sample(p.saved, at, p.a, taken, next, p.words)
	}
	for t := range stream.Samples {
		copy(p.fresh[sampleBytes*at+wordBytes*t:], p.host[0][wordBytes*stream.Place(p.words, taken, t):][:wordBytes])
		word := p.host[0][wordBytes*stream.Place(p.words, next, t):]
		binary.LittleEndian.PutUint32(word, ^binary.LittleEndian.Uint32(word))
	}
	return nil
}

// wait waits for the batch and takes its samples.
func (p *processor) wait() error {
	var err error
	if p.info.Use != useDownload {
		err = p.v.Read(p.fresh[:p.batch*sampleBytes], p.saved)
	}
	p.fresh, p.finished = p.finished, p.fresh
	return err
}

// compare compares the samples of the batch that was waited for, whose first launch
// is given.
func (p *processor) compare(first uint32) {
	for at := range p.batch {
		launch := first + uint32(at) // #nosec G115 -- maxBatch at most
		for t := range stream.Samples {
			i := stream.Place(p.words, p.place(launch), t)
			p.sampled++
			if got, want := binary.LittleEndian.Uint32(p.finished[sampleBytes*at+wordBytes*t:]), p.want(launch, i); got != want {
				if p.wrong++; p.example == "" {
					p.example = fmt.Sprintf("; the first: word %d is %#08x after operation %d, want %#08x", i, got, launch, want)
				}
			}
		}
	}
}

// Run implements bench.Workload. The device gets the next batch before the samples
// of the last one are compared.
func (p *processor) Run(ctx context.Context, done *bench.Counter) error {
	if p.v == nil {
		return errors.New("stream: run: nothing is prepared: call Prepare first")
	}
	if ctx.Err() != nil {
		return nil
	}
	err := p.submit()
	for more := true; more && err == nil; {
		if err = p.wait(); err != nil {
			break
		}
		done.Add(uint64(p.batch * p.bytes * p.words)) // #nosec G115 -- a number of bytes
		first := p.launch - uint32(p.batch)           // #nosec G115 -- maxBatch at most
		if more = ctx.Err() == nil; more {
			err = p.submit()
		}
		p.compare(first)
	}
	if err != nil {
		return fmt.Errorf("stream: %s on %s: %w", p.info.Use, p.info.Device, err)
	}
	return nil
}

// array is one that Check compares: on the device, or on the host.
type array struct {
	name     string
	buffer   device.Buffer
	host     []byte
	want     func(i int) uint32
	differ   func() (int, error) // counts the wrong words on the device
	inverted bool                // words are, for a launch that did not come
}

// arrays lists those that a number of launches leave.
func (p *processor) arrays() []array {
	last := p.launch - 1
	given := func(name string, b device.Buffer, pattern stream.Pattern) array {
		return array{
			name: name, buffer: b, want: func(i int) uint32 { return pattern.At(uint32(i)) }, // #nosec G115 -- maxWords at most
			differ: func() (int, error) { return p.v.Differ(b, pattern, p.words) },
		}
	}
	result := array{
		name: "a", buffer: p.a, want: func(i int) uint32 { return p.want(last, i) }, inverted: true,
		differ: func() (int, error) { return p.v.Differ(p.a, p.source(last), p.words) },
	}
	switch p.info.Use {
	case use:
		result.differ = func() (int, error) {
			return p.v.DifferTriad(p.a, p.pb, p.pc, float32(scalar(uint64(last))), p.words)
		}
	case useUpload:
		return []array{result}
	case useDownload:
		result.host, result.differ = p.host[0], nil
	}
	return []array{result, given("b", p.b, p.pb), given("c", p.c, p.pc)}
}

// survey returns what is wrong with an array, or "". The device counts its wrong
// words, which must be those that were inverted and no others: that shows as well
// that it counts. The host compares the beginning of the array, or all of it where
// it is the host's.
func (p *processor) survey(a array) (string, error) {
	head := a.host
	if head == nil {
		head = make([]byte, wordBytes*min(p.words, headWords))
		if err := p.v.Read(head, a.buffer); err != nil {
			return "", err
		}
	}
	inverted := map[int]bool{}
	for t := range stream.Samples {
		if a.inverted {
			inverted[stream.Place(p.words, p.place(p.launch), t)] = true
		}
	}
	for i := range len(head) / wordBytes {
		want := a.want(i)
		if inverted[i] {
			want = ^want
		}
		if got := binary.LittleEndian.Uint32(head[wordBytes*i:]); got != want {
			return fmt.Sprintf("; %s[%d] is %#08x, want %#08x", a.name, i, got, want), nil
		}
	}
	if a.differ == nil {
		return "", nil
	}
	if n, err := a.differ(); err != nil || n != len(inverted) {
		return fmt.Sprintf("; of %s the device counts %d wrong words, want the %d that were inverted", a.name, n, len(inverted)), err
	}
	return "", nil
}

// Check implements bench.Workload: the check sampled covers every operation, and
// arrays all words now in memory.
func (p *processor) Check() []results.Check {
	sampled := results.Check{
		Use: p.info.Use, Name: "sampled", OK: p.sampled > 0 && p.wrong == 0,
		Detail: fmt.Sprintf("%d of %d words that were inverted before an operation, %d each, are wrong after it%s", p.wrong, p.sampled, stream.Samples, p.example),
	}
	whole := results.Check{Use: p.info.Use, Name: "arrays", OK: p.v != nil && p.sampled > 0}
	if whole.OK {
		for _, a := range p.arrays() {
			wrong, err := p.survey(a)
			if err != nil {
				wrong = "; " + err.Error()
			}
			whole.OK = whole.OK && wrong == ""
			whole.Detail += wrong
		}
	}
	whole.Detail = fmt.Sprintf("all words of arrays of %d after %d operations%s", p.words, p.launch, whole.Detail)
	return []results.Check{sampled, whole}
}

// Close implements bench.Workload. It leaves the device open. That a lost device
// does not take its memory back is no news.
func (p *processor) Close() error {
	if p.v == nil {
		return nil
	}
	lost := p.v.Sync()
	var errs []error
	for _, free := range slices.Backward(p.free) {
		errs = append(errs, free())
	}
	p.v, p.free = nil, nil
	if lost != nil {
		return nil
	}
	return errors.Join(errs...)
}
