package hashscan

import (
	"fmt"

	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// doubt is the probability below which a number of hits is not chance. A
// laboratory that makes a million runs a year errs once in a thousand years.
const doubt = 1e-9

// tally is what was scanned and what came of it.
type tally struct {
	hashes, shares uint64 // in the headers of the thread: scanned, and reported as hits
	planted, found uint64 // known nonces
	rehashed       uint64 // hits that were verified, of either kind
	wrong          uint64 // hits that are not, or not in their place
	example        string // of a wrong hit
}

// verify holds each hit of a scan to be in the range, in order, not twice, and
// a hit by crypto/sha256.
func (t *tally) verify(h sha256d.Header, target sha256d.Target, first uint32, n uint64, hits []uint32) {
	next := uint64(0)
	for _, nonce := range hits {
		t.rehashed++
		at := uint64(nonce - first) // modulo 2^32, as the range goes
		h.SetNonce(nonce)
		if sum := sha256d.Sum(&h); at < next || at >= n || !target.Met(sum) {
			t.wrong++
			if t.example == "" {
				t.example = fmt.Sprintf("; the first is nonce %d in a scan of %d from %d, digest %x", nonce, n, first, sum)
			}
		}
		next = at + 1
	}
}

func (t *tally) add(u tally) {
	t.hashes += u.hashes
	t.shares += u.shares
	t.planted += u.planted
	t.found += u.found
	t.rehashed += u.rehashed
	t.wrong += u.wrong
	if t.example == "" {
		t.example = u.example
	}
}

// Check implements bench.Workload: planted, rehash and hit-count.
func (w *workload) Check() []results.Check {
	var sum tally
	for _, t := range w.threads {
		sum.add(t.tally)
	}
	return sum.checks(w.target.Hashes())
}

// checks judges t, where it takes perShare hashes on average to make a share.
func (t *tally) checks(perShare float64) []results.Check {
	expected := float64(t.hashes) / perShare
	p := results.PoissonProbability(t.shares, expected)
	return []results.Check{
		{
			Use: use, Name: "planted", OK: t.planted > 0 && t.found == t.planted,
			Detail: fmt.Sprintf("%d of %d known nonces found", t.found, t.planted),
		},
		{
			Use: use, Name: "rehash", OK: t.wrong == 0,
			Detail: fmt.Sprintf("%d of %d hits wrong by crypto/sha256%s", t.wrong, t.rehashed, t.example),
		},
		{
			Use: use, Name: "hit-count", OK: p >= doubt,
			Detail: fmt.Sprintf("%d hits in %d hashes, %.1f expected, two-sided probability %.2g", t.shares, t.hashes, expected, p),
		},
	}
}
