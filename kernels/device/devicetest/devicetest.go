// Package devicetest tries the kernels for GPUs on a device: a card, a driver
// for CPUs, or an interpreter. Answers are compared bit for bit with
// crypto/sha256 and with sums in float64.
package devicetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/kernels/stream"
)

// Trial is a use of some kernels of a program.
type Trial struct {
	Name    string
	Program *device.Program
	Kernels []string
	Arch    string // of NVIDIA, at least: sm_80; empty if it is for others
	F64     bool   // it needs float64
	Family  string // trials of a family check alike, kernels that have much of their text in common

	// Run uses the kernels of a program that may differ from Program. The error
	// is that of the device, or says which answer is wrong.
	Run func(device.Processor, *device.Program) error
}

// Few are trials that between them go every way: for short tests.
func Few(trials []Trial) []Trial {
	return slices.DeleteFunc(trials, func(t Trial) bool {
		return !slices.Contains([]string{
			"scan", "stream", "verify", "simt_fp32_nt", "simt_bf16_tn", "mma_bf16_nt", "mma_bf16_nn", "wgmma_bf16_nt", "nn_fp32_layer_norm_grad", "nn_bf16_attention64",
		}, t.Name)
	})
}

// Of are those trials that try kernels of one of the programs.
func Of(trials []Trial, programs ...*device.Program) []Trial {
	return slices.DeleteFunc(trials, func(t Trial) bool { return !slices.Contains(programs, t.Program) })
}

// Trials are those of every kernel. Larger is how many times larger the inputs
// are than an interpreter has time for; 0 is for a simulator that is slower yet.
func Trials(larger int) []Trial {
	list := []Trial{
		{Name: "scan", Family: "scan", Program: sha256d.Program, Kernels: []string{"scan"}, Arch: "sm_75", Run: scans(larger)},
		{Name: "verify", Family: "verify", Program: gemm.Verify, Kernels: []string{"fill", "exchange", "columns", "residuals"}, Arch: "sm_75", F64: true, Run: verifies(larger)},
		{Name: "stream", Family: "stream", Program: stream.Program, Kernels: []string{"copy", "triad", "readout", "fill", "differ", "differ_triad", "sample"}, Arch: "sm_75", Run: streams(larger)},
	}
	for _, g := range []tiled{
		{gemm.SIMT, "simt_fp32", "sm_75", f32, f32, 128, 128, 0},
		{gemm.SIMT, "simt_fp64", "sm_75", f64, f64, 128, 64, 0},
		{gemm.SIMT, "simt_fp16", "sm_75", f16, f32, 128, 128, 0},
		{gemm.SIMT, "simt_bf16", "sm_75", bf16, f32, 128, 128, 0},
		{gemm.MMA, "mma_bf16", "sm_80", bf16, f32, 128, 128, 0},
		{gemm.MMA, "mma_fp16", "sm_80", f16, f32, 128, 128, 0},
		{gemm.MMA, "mma_tf32", "sm_80", f32, f32, 128, 128, 0},
		{gemm.MMA, "mma_fp64", "sm_80", f64, f64, 128, 128, 0},
		{gemm.MFMA, "mfma_bf16", "", bf16, f32, 128, 128, 0},
		{gemm.MFMA, "mfma_fp16", "", f16, f32, 128, 128, 0},
		{gemm.MFMA, "mfma_tf32", "", f32, f32, 128, 128, 0},
		{gemm.MFMA, "mfma_fp32", "", f32, f32, 128, 128, 0},
		{gemm.MFMA, "mfma_fp64", "", f64, f64, 128, 128, 0},
		{gemm.WGMMA, "wgmma_bf16", "sm_90", bf16, f32, 128, 256, 4*384*128 + 64},
		{gemm.WGMMA, "wgmma_fp16", "sm_90", f16, f32, 128, 256, 4*384*128 + 64},
		{gemm.WGMMA, "wgmma_tf32", "sm_90", f32, f32, 128, 256, 4*384*128 + 64},
	} {
		if larger == 0 && slow(g.name) {
			continue
		}
		layouts := []string{"nt", "nn", "tn"}
		if g.name == "wgmma_tf32" || larger == 0 && g.name != "simt_bf16" && g.name != "mfma_tf32" {
			layouts = layouts[:1] // the others are mma's, or differ in no word but the type
		}
		for _, layout := range layouts {
			name := g.name + "_" + layout
			list = append(list, Trial{
				Name: name, Family: g.program.Name, Program: g.program, Kernels: []string{name}, Arch: g.arch, F64: g.in.size == 8,
				Run: func(p device.Processor, program *device.Program) error {
					for _, s := range g.shapes(layout, larger) {
						if err := g.product(p, program, name, layout, s); err != nil {
							return err
						}
					}
					return nil
				},
			})
		}
	}
	for _, g := range peaks() {
		if larger == 0 && slow(g.row+"_"+g.precision) {
			continue
		}
		list = append(list, Trial{Name: g.row + "_peak_" + g.precision, Family: g.row + "_peak", Program: g.program, Kernels: []string{"peak_" + g.precision}, Arch: g.arch, F64: g.in.size == 8, Run: g.run})
	}
	return append(list, passes(larger)...)
}

// slow reports a kernel of whose kind a simulator runs another one: it takes
// seconds for each of those whose instructions are computed by loops.
func slow(name string) bool {
	if strings.HasPrefix(name, "nn_") { // tiles of another width, or another format in and out
		return strings.HasPrefix(name, "nn_bf16") && name != "nn_bf16_layer_norm" || strings.HasSuffix(name, "64")
	}
	return strings.HasPrefix(name, "mfma") && name != "mfma_tf32" && name != "mfma_fp64"
}

var le = binary.LittleEndian

// bench is a processor and the first error of it.
type bench struct {
	device.Processor
	program *device.Program
	err     error
	buffers []device.Buffer
}

func (b *bench) note(err error) {
	if b.err == nil {
		b.err = err
	}
}

// with returns a buffer that holds data.
func (b *bench) with(data []byte) device.Buffer {
	if b.err != nil {
		return nil
	}
	buffer, err := b.Alloc(int64(len(data)))
	if b.note(err); err == nil {
		b.buffers = append(b.buffers, buffer)
		b.note(b.Write(buffer, data))
	}
	return buffer
}

func (b *bench) launch(name string, x, y, shared int, args ...any) {
	b.submit(name, device.Launch{Blocks: [2]int{x, y}, Shared: shared, Args: args})
}

func (b *bench) submit(name string, l device.Launch) {
	if b.err != nil {
		return
	}
	var err error
	l.Kernel, err = b.Kernel(b.program, name)
	if b.note(err); err == nil {
		b.note(b.Submit(l))
	}
}

func (b *bench) read(buffer device.Buffer, n int) []byte {
	data := make([]byte, n)
	if b.err == nil {
		b.note(b.Read(data, buffer))
	}
	return data
}

// done frees the buffers and returns the error.
func (b *bench) done() error {
	for _, buffer := range b.buffers {
		if err := b.Free(buffer); b.err == nil {
			b.err = err
		}
	}
	return b.err
}

// blank is memory that no kernel leaves as it is.
func blank(n int) []byte { return bytes.Repeat([]byte{0xff}, n) }

// Genesis is the header of Bitcoin's first block.
var Genesis, _ = hex.DecodeString("0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c")

// Input is what the kernel scan takes of a header.
func Input(header []byte) []byte {
	digest := sha256.New()
	digest.Write(header[:64])
	state, _ := digest.(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary() // never fails
	var in []byte
	for i := range 8 { // after a magic number of 4 bytes
		in = le.AppendUint32(in, binary.BigEndian.Uint32(state[4+4*i:]))
	}
	for i := range 3 {
		in = le.AppendUint32(in, binary.BigEndian.Uint32(header[64+4*i:]))
	}
	return in
}

// scan returns the hits, sorted, and how many were counted.
func scan(p device.Processor, program *device.Program, header []byte, first uint32, blocks, each, room int, limit uint32) (hits []uint32, count int, err error) {
	b := &bench{Processor: p, program: program}
	in := b.with(Input(header))
	found := b.with(append(make([]byte, 4), blank(4*room)...))
	b.launch("scan", blocks, 1, 0, in, found, uint32(room), first, uint32(each), limit)
	data := b.read(found, 4+4*room)
	count = int(le.Uint32(data))
	for i := range min(count, room) {
		hits = append(hits, le.Uint32(data[4+4*i:]))
	}
	slices.Sort(hits)
	return hits, count, b.done()
}

// scans finds the genesis block, and every nonce of a random header as
// crypto/sha256 has it.
func scans(larger int) func(device.Processor, *device.Program) error {
	return func(p device.Processor, program *device.Program) error {
		nonce := le.Uint32(Genesis[76:])
		hits, _, err := scan(p, program, Genesis, nonce-100, 1, 1, 4, 0)
		if err != nil {
			return err
		}
		if !slices.Equal(hits, []uint32{nonce}) {
			return fmt.Errorf("scan: hits %d, want that of the genesis block, %d", hits, nonce)
		}
		header := make([]byte, 80)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range header {
			header[i] = byte(random.Uint32())
		}
		const limit = 1 << 28
		blocks, each := max(1, 2*larger), 2
		n := uint32(blocks * each * device.Threads)
		first := math.MaxUint32 - n/2 // goes on at 0
		var want []uint32
		for i := range n {
			le.PutUint32(header[76:], first+i)
			digest := sha256.Sum256(header)
			if digest = sha256.Sum256(digest[:]); le.Uint32(digest[28:]) <= limit {
				want = append(want, first+i)
			}
		}
		slices.Sort(want)
		hits, count, err := scan(p, program, header, first, blocks, each, int(n), limit)
		if err != nil {
			return err
		}
		if !slices.Equal(hits, want) || count != len(want) {
			return fmt.Errorf("scan: of %d nonces %d hits, counted %d, want %d", n, len(hits), count, len(want))
		}
		// More hits than there is room for are counted and not written.
		if hits, count, err = scan(p, program, header, first, blocks, each, 5, limit); err != nil {
			return err
		}
		if len(hits) != 5 || count != len(want) {
			return fmt.Errorf("scan: of %d hits, %d counted and %d written, want 5", len(want), count, len(hits))
		}
		return nil
	}
}

// format is how a number is written.
type format struct {
	size int
	put  func([]byte, float64)
}

var (
	f32  = format{4, func(b []byte, v float64) { le.PutUint32(b, math.Float32bits(float32(v))) }}
	f64  = format{8, func(b []byte, v float64) { le.PutUint64(b, math.Float64bits(v)) }}
	bf16 = format{2, half(7, 1023-127)}
	f16  = format{2, half(10, 1023-15)}
)

// half writes a number that is normal in the format, or 0: a sign, an exponent that
// is less than that of float64 by so much, and so many bits of fraction. It rounds
// to the nearest, and to the even one of two: a carry out of the fraction adds to
// the exponent.
func half(fraction int, less uint64) func([]byte, float64) {
	return func(b []byte, v float64) {
		bits := math.Float64bits(v) &^ (1 << 63)
		if v != 0 {
			off := 52 - fraction
			bits -= less << 52
			bits = (bits + 1<<(off-1) - 1 + bits>>off&1) >> off
		}
		if v < 0 {
			bits |= 1 << 15
		}
		le.PutUint16(b, uint16(bits))
	}
}

// tiled is a kernel that multiplies, one for each layout.
type tiled struct {
	program       *device.Program
	name, arch    string
	in, out       format
	rows, columns int // of the tile of a block
	shared        int // bytes
}

// shape is the dimensions of a product, what its sums are added to, and whether
// they are stored in the format of A.
type shape struct {
	m, n, k          int
	add, bias, round bool
}

// shapes are next to nothing, whole tiles, and tiles that no dimension fills.
// Dimensions that are rows of A or B are whole numbers of 16 bytes.
func (g tiled) shapes(layout string, larger int) []shape {
	step := 16 / g.in.size
	whole := func(n int) int { return (n + step - 1) / step * step }
	var shapes []shape
	switch {
	case larger == 0:
		shapes = []shape{{m: 7, n: 5, k: 5 * step}}
	case g.arch == "": // each instruction is computed by a loop
		shapes = []shape{{m: 7, n: 5, k: 5 * step, bias: true, round: true}, {m: 131, n: 130, k: 9*step - 1, add: true}}
		if layout == "nt" {
			shapes = append(shapes, shape{m: 65, n: 33, k: step, add: true, round: true})
		}
	default:
		for i := range 12 { // every way that a block leaves a tile
			s := shape{m: 21, n: 70 - i/6, k: 3*step - 1, round: i%2 == 1, add: i/2%3 == 1, bias: i/2%3 == 2}
			if layout == "nt" || i < 6 { // other rows of C are of an even length
				shapes = append(shapes, s)
			}
		}
		shapes = append(shapes, shape{m: 7, n: 5, k: 1}, shape{m: g.rows - 3, n: g.columns + 3, k: 41*step - 1, add: true})
		if layout == "nt" { // the others differ in what they read
			shapes[len(shapes)-1].m += 6
			shapes = append(shapes, shape{m: g.rows, n: g.columns, k: 10 * step})
		}
	}
	if larger > 1 && g.arch != "" {
		side := min(larger, 8) // the reference takes its time
		shapes = append(shapes, shape{m: side * 37, n: side * 41, k: side * 4 * step})
	}
	for i := range shapes {
		s := &shapes[i]
		if layout != "tn" {
			s.k = whole(s.k)
		} else {
			s.m = whole(s.m)
		}
		if layout == "nn" || layout == "tn" {
			s.n = whole(s.n)
		}
	}
	return shapes
}

// product compares every element of a product. Elements are multiples of 1/16
// below 8, which every format holds and whose sums no order of adding rounds.
func (g tiled) product(p device.Processor, program *device.Program, name, layout string, s shape) error {
	m, n, k := s.m, s.n, s.k
	random := rand.New(rand.NewPCG(3, uint64(m)))
	stored := g.out
	if s.round {
		stored = g.in
	}
	matrix := func(count int, f format) ([]byte, []float64) {
		data, values := make([]byte, count*f.size), make([]float64, count)
		for i := range values {
			values[i] = float64(random.IntN(255)-127) / 16
			f.put(data[i*f.size:], values[i])
		}
		return data, values
	}
	ab, x := matrix(m*k, g.in)
	bb, y := matrix(n*k, g.in)
	b := &bench{Processor: p, program: program}
	cb, start, stride, how := blank(m*n*stored.size), make([]float64, n), 0, uint32(0)
	switch {
	case s.add:
		cb, start = matrix(m*n, stored)
		stride, how = n, 1
	case s.bias:
		how = 1
	}
	c := b.with(cb)
	from := c
	if s.bias {
		var data []byte
		data, start = matrix(n, stored)
		from = b.with(data)
	}
	if s.round {
		how |= 2
	}
	ad, bd := b.with(ab), b.with(bb)
	args := []any{ad, bd, c, from, uint32(m), uint32(n), uint32(k), uint32(stride), how}
	l := device.Launch{Blocks: [2]int{(n + g.columns - 1) / g.columns, (m + g.rows - 1) / g.rows}, Shared: g.shared, Args: args}
	if g.program.Name == "wgmma" { // a block takes one tile after the other
		l.Blocks, l.Threads = [2]int{max(1, l.Blocks[0]*l.Blocks[1]/2), 1}, 384
		l.Args[0] = device.Matrix{Buffer: ad, Rows: m, Bytes: k * g.in.size, Box: g.rows}
		l.Args[1] = device.Matrix{Buffer: bd, Rows: n, Bytes: k * g.in.size, Box: g.columns}
		if layout == "tn" {
			l.Args[0] = device.Matrix{Buffer: ad, Rows: k, Bytes: m * g.in.size, Box: 64}
		}
		if layout != "nt" {
			l.Args[1] = device.Matrix{Buffer: bd, Rows: k, Bytes: n * g.in.size, Box: 64}
		}
	}
	b.submit(name, l)
	result := b.read(c, m*n*stored.size)
	if err := b.done(); err != nil {
		return err
	}
	rowA, columnA, rowB, columnB := k, 1, k, 1 // how far apart neighbours across k and along it are
	if layout == "tn" {
		rowA, columnA = 1, m
	}
	if layout == "tn" || layout == "nn" {
		rowB, columnB = 1, n
	}
	want := make([]byte, stored.size)
	for i := range m {
		for j := range n {
			sum := start[i*stride+j]
			for l := range k {
				sum += x[i*rowA+l*columnA] * y[j*rowB+l*columnB]
			}
			stored.put(want, sum)
			if at := (i*n + j) * stored.size; !bytes.Equal(result[at:at+stored.size], want) {
				return fmt.Errorf("%s of %+v: element %d,%d is %x, want %x (%g)", name, s, i, j, result[at:at+stored.size], want, sum)
			}
		}
	}
	return nil
}

// streams runs the kernels of STREAM over lengths that fill blocks and that do
// not.
func streams(larger int) func(device.Processor, *device.Program) error {
	return func(p device.Processor, program *device.Program) error {
		v, err := stream.Open(p, program)
		if err != nil {
			return err
		}
		for _, parts := range []int{device.Threads, 700 * max(1, larger), 1} {
			if err := v.Verify(parts); err != nil {
				return err
			}
		}
		return nil
	}
}

// Pack compresses code as that of a program is.
func Pack(text string) device.Code {
	w, err := zstd.NewWriter(nil)
	if err != nil { // no option was given
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll([]byte(text), nil)
}
