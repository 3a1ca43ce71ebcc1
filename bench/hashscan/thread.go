package hashscan

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// plantEvery is the time from one call with a known nonce in its range to the
// next, about.
const plantEvery = time.Second

var known = sha256d.Known()

// thread is the state of one goroutine and its results. Threads share nothing.
type thread struct {
	scan   sha256d.Scan
	target sha256d.Target
	chunk  uint64 // hashes per call
	every  uint64 // calls from one with a known nonce to the next
	nonces uint64 // per header

	headers headers
	header  sha256d.Header
	job     sha256d.Job
	next    uint64 // nonce of the header
	calls   uint64
	random  *rand.Rand // places the known nonces

	hits []uint32
	tally
}

func newThread(w *workload, id uint32, chunk uint64) *thread {
	return &thread{
		scan: w.scan, target: w.target, chunk: chunk, every: uint64(plantEvery / w.call), nonces: w.nonces,
		headers: headers{seed: w.info.Seed, thread: id},
		next:    w.nonces,                                               // so that work takes the first header
		random:  rand.New(rand.NewPCG(uint64(w.info.Seed), uint64(id))), // #nosec G404 -- where a known nonce is planted: drawn again from the same seed
		hits:    make([]uint32, 0, 1024),
	}
}

// run scans until ctx ends or the device is lost, and counts after each call.
func (t *thread) run(ctx context.Context, done *bench.Counter, lost func() error) {
	for first := true; ctx.Err() == nil; first = false {
		if first || t.calls%t.every == 0 {
			t.plant()
		} else {
			t.work()
		}
		if lost() != nil {
			return
		}
		t.calls++
		done.Add(t.chunk)
	}
}

// work scans the next chunk of this thread's headers.
func (t *thread) work() {
	for left := t.chunk; left > 0; {
		if t.next == t.nonces {
			t.header, t.next = t.headers.take(), 0
			t.job.Set(&t.header, &t.target)
		}
		first, n := uint32(t.next), min(left, t.nonces-t.next) // #nosec G115 -- next < nonces, 1<<32 at most: a new header was taken if not
		t.hits = t.scan(t.hits[:0], &t.job, first, n)
		t.hashes += n
		t.shares += uint64(len(t.hits))
		t.verify(t.header, t.target, first, n, t.hits)
		t.next += n
		left -= n
	}
}

// plant scans a chunk with a known nonce at a random place. It is not part of the
// statistics of the hits, since that hit is not due to chance.
func (t *thread) plant() {
	header := known[t.random.IntN(len(known))]
	nonce := header.Nonce()
	first := nonce - uint32(t.random.Uint64N(t.chunk)) // #nosec G115 -- a nonce wraps; the chunk is at most 1<<32
	var job sha256d.Job
	job.Set(&header, &t.target)
	t.hits = t.scan(t.hits[:0], &job, first, t.chunk)
	t.planted++
	if slices.Contains(t.hits, nonce) {
		t.found++
	}
	t.verify(header, t.target, first, t.chunk, t.hits)
}

// headers is an endless sequence of distinct headers, which differ between seeds
// and between threads.
type headers struct {
	seed, thread uint32
	extranonce   uint32 // of the coming header
	rolled       uint32 // seconds by which its time is rolled
	root         [32]byte
}

// What all headers have in common. The time may be rolled by up to two hours
// (Bitcoin Core, MAX_FUTURE_BLOCK_TIME); then the merkle root must change.
const (
	version   = 0x20000000
	nbits     = 0x1703a30c
	ntime     = 1_700_000_000
	ntimeSpan = 7200
)

// take returns the next header.
func (h *headers) take() sha256d.Header {
	if h.rolled == 0 {
		// Stands for the root over a coinbase transaction with the extranonce: as
		// random and as distinct.
		h.root = digest(h.seed, h.thread, h.extranonce)
	}
	header := sha256d.NewHeader(version, digest(h.seed), h.root, ntime+h.rolled, nbits)
	if h.rolled++; h.rolled == ntimeSpan {
		h.rolled = 0
		h.extranonce++
	}
	return header
}

func digest(words ...uint32) [32]byte {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return sha256.Sum256(b)
}
