package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/benchtest"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/device/ptx"
	"github.com/perwatt/perwatt/kernels/stream"
	"github.com/perwatt/perwatt/results"
)

// gpu is an interpreter of the kernels, with a fault from when it is set.
type gpu struct {
	*ptx.Processor
	fault      string
	host       []*byte // memory that Host returned
	operations int     // that were measured
	before     any     // what the operation before took
	stop       func()  // called in the operation of number last
	last       int
	waiting    func() // called before samples are read
}

// operate does an operation that is measured, on a part of its work: from its
// inputs, or others.
func (g *gpu) operate(inputs any, do func(inputs any, part float64) error) error {
	last := g.before
	if g.operations++; g.operations == g.last {
		g.stop()
	}
	g.before = inputs
	switch g.fault {
	case "does nothing":
		return nil
	case "skips every fifth":
		if g.operations%5 == 0 {
			return nil
		}
	case "skips work":
		return do(inputs, 0.5)
	case "repeats an old answer":
		return do(last, 1)
	case "is beyond its memory":
		return g.crash()
	}
	return do(inputs, 1)
}

// crash loses the device.
func (g *gpu) crash() error {
	k, err := g.Kernel(stream.Program, "fill")
	if err != nil {
		return err
	}
	b, err := g.Alloc(16)
	if err != nil {
		return err
	}
	return g.Processor.Submit(device.Launch{Kernel: k, Blocks: [2]int{1, 1}, Args: []any{b, uint32(0), uint32(0), uint32(0), uint32(2)}})
}

// damage spoils a result.
func (g *gpu) damage(data []byte) {
	switch g.fault {
	case "is wrong in one lane":
		for i := 16 * 5; i < len(data); i += 16 * device.Threads {
			for j := range 4 {
				data[i+4*j] ^= 1
			}
		}
	case "is wrong in one element", "changes its source":
		data[len(data)/3&^3]++
	case "is wrong at the beginning":
		data[4*100] ^= 1
	}
}

// spoil does so in the memory of the device.
func (g *gpu) spoil(b device.Buffer) error {
	data := make([]byte, b.Size())
	if err := g.Processor.Read(data, b); err != nil {
		return err
	}
	g.damage(data)
	return g.Processor.Write(b, data)
}

func (g *gpu) Submit(launches ...device.Launch) error {
	for _, l := range launches {
		l.Args = slices.Clone(l.Args)
		switch name := l.Kernel.Name(); {
		case name == "triad" || name == "copy":
			err := g.operate(l.Args[1:], func(inputs any, part float64) error {
				l.Args = append(l.Args[:1:1], inputs.([]any)...)
				l.Blocks[0] = int(float64(l.Blocks[0])*part + 0.5)
				return g.Processor.Submit(l)
			})
			spoiled := l.Args[0]
			if g.fault == "changes its source" {
				spoiled = l.Args[1]
			}
			if err == nil && g.fault != "" {
				err = g.spoil(spoiled.(device.Buffer))
			}
			if err != nil {
				return err
			}
			continue
		case name == "sample" && g.fault == "inverts nothing":
			continue
		case (name == "differ" || name == "differ_triad") && g.fault == "counts nothing":
			continue
		case name == "fill" && l.Blocks[0] > 3 && g.fault == "fills large arrays with one value":
			l.Args[2] = uint32(0)
		}
		if err := g.Processor.Submit(l); err != nil {
			return err
		}
	}
	return nil
}

func (g *gpu) Host(bytes int64) ([]byte, func() error, error) {
	memory, release, err := g.Processor.Host(bytes)
	if err == nil {
		g.host = append(g.host, &memory[0])
	}
	return memory, release, err
}

func (g *gpu) Write(to device.Buffer, data []byte) error {
	if !slices.Contains(g.host, &data[0]) {
		return g.Processor.Write(to, data)
	}
	err := g.operate(data, func(inputs any, part float64) error {
		data := inputs.([]byte)
		return g.Processor.Write(to, data[:int(float64(len(data))*part)])
	})
	if err == nil && g.fault != "" {
		err = g.spoil(to)
	}
	return err
}

func (g *gpu) Read(data []byte, from device.Buffer) error {
	if !slices.Contains(g.host, &data[0]) {
		if g.waiting != nil {
			g.waiting()
		}
		return g.Processor.Read(data, from)
	}
	err := g.operate(from, func(inputs any, part float64) error {
		return g.Processor.Read(data[:int(float64(len(data))*part)], inputs.(device.Buffer))
	})
	g.damage(data)
	return err
}

func interpreter() *gpu { return &gpu{Processor: &ptx.Processor{Arch: "sm_75"}} }

// uses are those of a processor.
var uses = map[string]func(bench.Config) (bench.Workload, error){use: New, useCopy: Copy, useUpload: Upload, useDownload: Download}

// on is a workload on a device, not prepared.
func on(t *testing.T, d device.Device, which string, words int) *processor {
	t.Helper()
	w, err := uses[which](bench.Config{Device: d, Seed: 7, Params: map[string]string{"n": strconv.Itoa(words)}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	return w.(*processor)
}

// batches does what Run does, for a number of batches of two operations.
func (p *processor) batches(n int) error {
	p.batch = 2
	for range n {
		if err := p.submit(); err != nil {
			return err
		}
		if err := p.wait(); err != nil {
			return err
		}
		p.compare(p.launch - 2)
	}
	return nil
}

func TestProcessor(t *testing.T) {
	for which, open := range uses {
		t.Run(which, func(t *testing.T) {
			for _, n := range []string{"1024", "10004"} {
				benchtest.TestWorkload(t, open, bench.Config{Device: interpreter(), Impl: "simt", Seed: 3, Params: map[string]string{"n": n}})
			}
		})
	}
}

// Choosing a workload calls no driver.
func TestProcessorInfo(t *testing.T) {
	card := device.Info{ID: "cuda:3", Kind: device.GPU, Driver: "CUDA 12.4", Memory: 80 << 30, Lanes: 132}
	for which, n := range map[string]int{use: 80 << 30 / 32 / 4, useCopy: 80 << 30 / 32 / 4, useUpload: 1 << 26, useDownload: 1 << 26} {
		w, err := uses[which](bench.Config{Device: device.Unopened{About: card}, Seed: 7})
		require.NoError(t, err)
		require.Equal(t, bench.Info{
			Name: "stream", Use: which, Device: "cuda:3", Impl: "simt", Unit: results.Byte, Threads: 1, Seed: 7, Params: map[string]string{"n": strconv.Itoa(n)},
		}, w.Info())
		require.Equal(t, nothing, verdicts(w.Check()), "nothing was done")
		require.ErrorContains(t, w.Run(t.Context(), bench.NewCounter()), "call Prepare first")
		require.NoError(t, w.Close())
	}
	for memory, want := range map[int64]int{4 << 30: 1 << 25, 0: 1 << 25, 1 << 20: 1 << 13, 1: minWords, 1 << 40: maxWords} {
		card.Memory = memory
		require.Equal(t, want, processorWords(card), "%d bytes", memory)
	}
	card.Kind = device.CPU
	require.Equal(t, int(max(LastLevelCaches(), 1<<25))&^3, processorWords(card), "four times the caches of a CPU behind OpenCL")
}

func TestProcessorRefusals(t *testing.T) {
	small := device.Unopened{About: device.Info{ID: "cuda:0", Kind: device.GPU, Driver: "CUDA 12.4", Memory: 1 << 20}}
	n := func(v string) bench.Config {
		return bench.Config{Device: small, Params: map[string]string{"n": v}}
	}
	for _, c := range []struct {
		use  string
		cfg  bench.Config
		want string
	}{
		{useCopy, bench.Config{}, "memory-copy is measured on GPUs, and device cpu is none"},
		{use, bench.Config{Device: small, Impl: "generic"}, `no implementation "generic": use one of simt`},
		{use, bench.Config{Impl: "simt"}, `no implementation "simt"`},
		{use, bench.Config{Device: small, Params: map[string]string{"m": "1"}}, `unknown option "m": the only one is n`},
		{use, n("1020"), `n is "1020": use a multiple of 4 from 1024 to 2147483648`},
		{use, n("1026"), `n is "1026"`},
		{use, n("1e6"), `n is "1e6"`},
		{use, n("100000"), "n=100000 takes 1.2 MB of the memory of cuda:0, which has 1.049 MB: use a smaller n"},
		{useDownload, n("200000"), "n=200000 takes 1.6 MB of the memory of cuda:0"},
	} {
		_, err := uses[c.use](c.cfg)
		require.ErrorIs(t, err, bench.ErrUsage)
		require.ErrorContains(t, err, c.want)
	}
	w, err := New(bench.Config{Device: small})
	require.NoError(t, err)
	require.ErrorContains(t, w.Prepare(t.Context()), "on cuda:0: the device is not open")
}

// A device that was right at first and then is not voids the run, and so does a
// check that does not work.
func TestProcessorFaults(t *testing.T) {
	for _, which := range slices.Sorted(maps.Keys(uses)) {
		for fault, want := range map[string]map[string]bool{
			"":                        good,
			"does nothing":            nothing,
			"skips work":              nothing,
			"skips every fifth":       {"sampled": false, "arrays": true},
			"repeats an old answer":   nothing,
			"is wrong in one lane":    nothing,
			"is wrong in one element": {"sampled": true, "arrays": false},
			"changes its source":      {"sampled": true, "arrays": false},
			"inverts nothing":         nothing,
			"counts nothing":          {"sampled": true, "arrays": false},
		} {
			if which == useDownload && (fault == "inverts nothing" || fault == "counts nothing") ||
				(which == useUpload || which == useDownload) && fault == "changes its source" {
				continue // the host does these, or no kernel
			}
			t.Run(which+"/"+fault, func(t *testing.T) {
				g, words := interpreter(), 1<<14
				if fault == "is wrong in one element" && !testing.Short() {
					words = 1 << 20
				}
				p := on(t, g, which, words)
				require.NoError(t, p.Prepare(t.Context()))
				g.fault = fault
				require.NoError(t, p.batches(3))
				checks := p.Check()
				require.Equal(t, want, verdicts(checks), "%+v", checks)
			})
		}
	}
}

// The host looks for itself.
func TestProcessorHead(t *testing.T) {
	for which := range uses {
		g := interpreter()
		p := on(t, g, which, 1<<14)
		require.NoError(t, p.Prepare(t.Context()))
		g.fault = "is wrong at the beginning"
		require.NoError(t, p.batches(1))
		require.Contains(t, p.Check()[1].Detail, "; a[100] is ", which)
	}
}

// What is counted is what was done, over several runs that end soon.
func TestProcessorCounts(t *testing.T) {
	for which, bytes := range map[string]int{use: 12, useCopy: 8, useUpload: 4, useDownload: 4} {
		g := interpreter()
		p := on(t, g, which, 1<<14)
		require.NoError(t, p.Prepare(t.Context()))
		prepared, done := g.operations, bench.NewCounter()
		p.batch = 3
		g.waiting = func() {
			count, _, _ := done.Load()
			require.EqualValues(t, (g.operations-prepared-p.batch)*bytes<<14, count, "%s: what is waited for is not finished", which)
		}
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			g.last, g.stop = g.operations+7, cancel
			require.NoError(t, p.Run(ctx, done))
			require.LessOrEqual(t, g.operations, g.last+2*p.batch, "%s: after its context ended", which)
			count, _, _ := done.Load()
			require.EqualValues(t, (g.operations-prepared)*bytes<<14, count, which)
		}
		g.waiting = nil
		require.Equal(t, good, verdicts(p.Check()))
	}
}

// Data of which few bits change would save power.
func TestProcessorFills(t *testing.T) {
	for _, which := range []string{use, useCopy, useDownload} { // the host fills what is uploaded
		g := interpreter()
		g.fault = "fills large arrays with one value"
		require.ErrorContains(t, on(t, g, which, 1<<14).Prepare(t.Context()), "simt is wrong on this device: 1024 of 1024 words", which)
	}
}

// A device that is lost ends the run with what the driver said.
func TestProcessorLost(t *testing.T) {
	for which := range uses {
		g := interpreter()
		p := on(t, g, which, 1<<14)
		require.NoError(t, p.Prepare(t.Context()))
		g.fault = "is beyond its memory"
		err := p.Run(t.Context(), bench.NewCounter())
		require.ErrorContains(t, err, fmt.Sprintf("stream: %s on ptx: ", which))
		require.ErrorContains(t, err, "illegal address")
		require.NoError(t, p.Close())
	}
}
