package hashscan

import (
	"fmt"

	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// doubt is the probability below which a number of hits is not put down to chance.
// A laboratory with a million runs a year has one false alarm in a thousand years.
const doubt = 1e-9

// tally counts what was scanned and the results.
type tally struct {
	hashes, shares uint64 // in the headers of the thread: scanned, and reported as hits
	planted, found uint64 // known nonces
	rehashed       uint64 // hits that were verified, of either kind
	wrong          uint64 // hits that do not meet the target, or are out of range or order
	example        string // of a wrong hit
}

// verify checks that each hit of a scan is in the range, in order, reported once,
// and a hit by crypto/sha256.
func (t *tally) verify(h sha256d.Header, target sha256d.Target, first uint32, n uint64, hits []uint32) {
	next := uint64(0)
	for _, nonce := range hits {
		t.rehashed++
		at := uint64(nonce - first) // modulo 2^32, as the range is
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

// checks judges t; a share takes perShare hashes on average.
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
