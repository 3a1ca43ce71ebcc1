// Package sha256d scans block headers: it finds the nonces for which the
// double SHA-256 of an 80-byte header, read as a little-endian integer, does
// not exceed a target.
//
// The rows of [Table] all compute the same function, [Scan]. The row generic is
// plain Go and the specification; the others are compared with it and with
// crypto/sha256. The rows stdlib and minio are libraries, as a baseline.
//
// The package holds instructions only: it reads no clock and no files, starts
// no goroutine and logs nothing. It has no pools and no shares and does not
// choose headers.
package sha256d

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device"
)

// Header is a serialised block header: version, digest of the previous block,
// merkle root, time, compact target and nonce, integers little-endian (Bitcoin
// developer reference, "Block Headers").
type Header [80]byte

// Offsets of the fields of a Header.
const (
	prevAt  = 4
	rootAt  = 36
	timeAt  = 68
	bitsAt  = 72
	nonceAt = 76
)

// NewHeader serialises a header with nonce zero. The digests prev and root are
// in the order in which SHA-256 gives them, which is the reverse of how block
// explorers print them; time is in seconds of Unix time.
func NewHeader(version uint32, prev, root [32]byte, time, nbits uint32) Header {
	var h Header
	binary.LittleEndian.PutUint32(h[:], version)
	copy(h[prevAt:], prev[:])
	copy(h[rootAt:], root[:])
	binary.LittleEndian.PutUint32(h[timeAt:], time)
	binary.LittleEndian.PutUint32(h[bitsAt:], nbits)
	return h
}

// Nonce returns the header's nonce.
func (h *Header) Nonce() uint32 { return binary.LittleEndian.Uint32(h[nonceAt:]) }

// SetNonce sets the header's nonce.
func (h *Header) SetNonce(n uint32) { binary.LittleEndian.PutUint32(h[nonceAt:], n) }

// Bits returns the network target in compact form; see [TargetFromCompact].
func (h *Header) Bits() uint32 { return binary.LittleEndian.Uint32(h[bitsAt:]) }

// Sum returns the double SHA-256 of h by crypto/sha256: the reference, and the
// way to verify one header.
func Sum(h *Header) [32]byte {
	once := sha256.Sum256(h[:])
	return sha256.Sum256(once[:])
}

// Job is a header and a target prepared for scanning: everything that does not
// depend on the nonce, computed once. The zero Job is not ready: call Set.
// Any number of goroutines may scan one Job while none sets it.
type Job struct {
	header Header
	target Target
	state  [8]uint32  // state after rounds 0, 1 and 2 of the second block
	block  [18]uint32 // second block: schedule words 0 to 17, that of the nonce (3) zero
	fixed
}

// fixed is what assembly reads of a Job.
type fixed struct {
	mid   [8]uint32 // state after the header's first 64 bytes
	start [8]uint32 // state after rounds 0 to 3 of the second block, before the nonce's word is added to words 0 and 4
	w     [5]uint32 // schedule words 16 to 19 and 31, without the terms of the nonce and of words 18 to 30
	top   uint32    // most significant word of the target
}

// Set prepares j for every nonce of h, whose own nonce does not matter, and
// for digests that do not exceed t. It does not allocate.
func (j *Job) Set(h *Header, t *Target) {
	j.header, j.target = *h, *t
	j.header.SetNonce(0)
	j.top = binary.LittleEndian.Uint32(t[28:])

	var w [64]uint32
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(j.header[4*i:])
	}
	expand(&w, 16, 64)
	j.mid = add(initial, rounds(initial, k[:], w[:]))

	for i := range 4 {
		w[i] = binary.BigEndian.Uint32(j.header[64+4*i:])
	}
	clear(w[4:16])
	w[4], w[15] = 1<<31, 8*80 // padding: a one bit, and the length in bits
	expand(&w, 16, 18)        // these two do not depend on word 3, the nonce
	copy(j.block[:], w[:])
	j.state = rounds(j.mid, k[:3], w[:3])

	j.start = rounds(j.state, k[3:4], w[3:4])
	clear(w[18:]) // terms that are left out of the sums below are zero
	expand(&w, 18, 20)
	copy(j.w[:4], w[16:20])
	clear(w[18:20])
	expand(&w, 31, 32)
	j.w[4] = w[31]
}

// Scan appends to dst, in scan order, every nonce of first, first+1, …
// first+n-1 (modulo 2^32) whose digest meets the job's target, and returns the
// extended slice. n is at most 2^32; beyond it nonces repeat. It does not
// allocate while dst has the capacity. It takes no context, so a caller chooses
// n for as long as it can wait; assembly, which cannot be preempted, is called
// for less than a millisecond at a time.
//
//	for ; n > 0; first, n = first+1, n-1 {
//		header.SetNonce(first)
//		if target.Met(Sum(&header)) {
//			dst = append(dst, first)
//		}
//	}
type Scan func(dst []uint32, job *Job, first uint32, n uint64) []uint32

// Table has the implementations of [Scan].
var Table = kernels.Table[Scan]{
	Name: "sha256d",
	Unit: "hash",
	Rows: slices.Concat(native, []kernels.Row[Scan]{
		{Name: "stdlib", Impl: scanStdlib},
		{Name: "minio", Impl: scanMinio},
		{Name: "generic", Impl: scanGeneric},
		{Name: "simt", Open: on},
	}),
	Check: check,
	Work: func(on device.Info, _ int64) func(Scan) float64 {
		var job Job
		job.Set(new(Header), new(Target)) // no digest meets target zero
		n := uint64(4096)
		if on.Processor() {
			n = uint64(max(on.Lanes, 1)) << 16 // about a millisecond of a GPU
		}
		return func(scan Scan) float64 {
			scan(nil, &job, 0, n)
			return float64(n)
		}
	},
}
