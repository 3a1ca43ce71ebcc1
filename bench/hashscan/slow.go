//go:build slowscan

package hashscan

import "github.com/perwatt/perwatt/kernels/sha256d"

// tampered makes every twentieth nonce be scanned twice: a build with the tag
// slowscan is what a slower kernel looks like, to see that it is found. The
// control is left alone.
func tampered(scan sha256d.Scan) sha256d.Scan {
	return func(hits []uint32, job *sha256d.Job, first uint32, n uint64) []uint32 {
		hits = scan(hits, job, first, n)
		kept := len(hits)
		return scan(hits, job, first, n/20)[:kept]
	}
}
