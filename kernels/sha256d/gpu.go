package sha256d

import (
	"embed"
	"encoding/binary"
	"slices"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh scan.cl sm_75
//go:generate ../device/clang.sh scan.cl gfx90a gfx942 gfx1100 gfx1201

//go:embed scan.cl scan.*.zst
var files embed.FS

// Program has the kernels for GPUs, described in scan.cl.
var Program = device.NewProgram(files, "scan")

// room is how many hits a launch can report. A range with more is scanned again
// in halves.
const room = 4096

// on returns a scan on a processor. Each call waits for the processor; ranges of
// some 2^28 nonces keep a large one busy. After an error of the processor the
// scan finds nothing: Sync of the processor returns that error.
func on(p device.Processor) (Scan, error) {
	kernel, err := p.Kernel(Program, "scan")
	if err != nil {
		return nil, err
	}
	in, err := p.Alloc(11 * 4)
	if err != nil {
		return nil, err
	}
	found, err := p.Alloc((1 + room) * 4)
	if err != nil {
		return nil, err
	}
	g := &onProcessor{Processor: p, kernel: kernel, in: in, found: found}
	return g.scan, nil
}

// onProcessor scans on a processor.
type onProcessor struct {
	device.Processor
	kernel    device.Kernel
	in, found device.Buffer
	words     [(1 + room) * 4]byte
}

func (g *onProcessor) scan(dst []uint32, job *Job, first uint32, n uint64) []uint32 {
	var in []byte
	for _, word := range job.mid {
		in = binary.LittleEndian.AppendUint32(in, word)
	}
	for _, word := range job.block[:3] {
		in = binary.LittleEndian.AppendUint32(in, word)
	}
	if g.Write(g.in, in) != nil {
		return dst
	}
	return g.find(dst, job, first, n)
}

// find appends the hits among n nonces of the job that the processor holds.
func (g *onProcessor) find(dst []uint32, job *Job, first uint32, n uint64) []uint32 {
	if n == 0 {
		return dst
	}
	// Up to 64 nonces a thread, so that what they have in common is computed once;
	// fewer for a range that would leave most of a device idle.
	each := min(max(n>>20, 1), 64)
	blocks := (n + each*device.Threads - 1) / (each * device.Threads)
	launch := device.Launch{
		Kernel: g.kernel, Blocks: [2]int{int(blocks), 1}, // #nosec G115 -- n is 2^32 at most
		Args: []any{g.in, g.found, uint32(room), first, uint32(each), job.top},
	}
	if g.Write(g.found, make([]byte, 4)) != nil || g.Submit(launch) != nil || g.Read(g.words[:], g.found) != nil {
		return dst
	}
	count := binary.LittleEndian.Uint32(g.words[:])
	if count > room {
		return g.find(g.find(dst, job, first, n/2), job, first+uint32(n/2), n-n/2)
	}
	from := len(dst)
	header := job.header
	for i := range int(count) {
		nonce := binary.LittleEndian.Uint32(g.words[4*(1+i):])
		if at := uint64(nonce - first); at >= n && at < blocks*each*device.Threads {
			continue // the last block went beyond the range
		}
		// The kernel compares the most significant word of a digest alone. What it
		// should not have reported by that word either is left for others to find.
		header.SetNonce(nonce)
		sum := Sum(&header)
		if binary.LittleEndian.Uint32(sum[28:]) != job.top || job.target.Met(sum) {
			dst = append(dst, nonce)
		}
	}
	slices.SortFunc(dst[from:], func(a, b uint32) int { return int(int64(a-first) - int64(b-first)) })
	return dst
}
