package stratum

import (
	"encoding/binary"
	"math"

	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// Class is the verdict on a submitted share.
type Class uint8

const (
	Accepted     Class = iota
	Stale              // good, but for a job that a clean job had replaced
	Duplicate          // submitted before
	Low                // its digest misses the difficulty of its job
	Wrong              // its digest is random: the device hashed other work than that job, or its chip made an error
	Unknown            // for a job that this connection never got, or got too long ago
	Mask               // rolls version bits outside the mask
	Time               // its time is before the job's, or more than two hours after
	Extranonce         // its extranonce2 has the wrong size
	Malformed          // anything else that is not a share
	Unauthorised       // for another worker, or before any was authorised
	classes
)

// class holds the name of each class in records and tables, and the error with which it
// is answered.
var class = [classes]struct {
	name  string
	error string // of the answer: code and text
}{
	Accepted:     {results.ShareAccepted, ""},
	Stale:        {results.ShareStale, `21,"Stale job"`},
	Duplicate:    {"duplicate", `22,"Duplicate share"`},
	Low:          {"low", `23,"Low difficulty share"`},
	Wrong:        {"wrong", `23,"Low difficulty share: the digest is not that of this job"`},
	Unknown:      {"unknown", `21,"Job not found"`},
	Mask:         {"mask", `20,"Version bits outside the mask"`},
	Time:         {"time", `20,"Time out of range"`},
	Extranonce:   {"extranonce", `20,"Wrong size of extranonce2"`},
	Malformed:    {"malformed", `20,"Malformed share"`},
	Unauthorised: {"unauthorised", `24,"Unauthorised worker"`},
}

// String names the class as records do.
func (c Class) String() string { return class[c].name }

// noise is a difficulty that one random digest in a thousand meets: 2^-22, at 2^32
// hashes for difficulty 1.
const noise = 0x1p-22

// maxSeen bounds the remembered shares of one job: more than a hundred times those in
// its lifetime.
const maxSeen = 1 << 16

// submission holds the parameters of mining.submit: the extranonce2 as text, the others
// as JSON. bits is nil if there are no version bits.
type submission struct{ extranonce2, ntime, nonce, bits []byte }

// judge checks a share of job j with crypto/sha256. luck is ln(achieved difficulty ÷
// required difficulty), which is exponential with mean 1 for honest work; it is valid
// for accepted and stale shares only.
func (j *job) judge(ours []byte, size int, mask uint32, s submission) (c Class, luck float64) {
	var theirs [maxTheirs]byte
	var words [3]uint32 // time, nonce, version bits
	for i, raw := range [][]byte{s.ntime, s.nonce, s.bits} {
		if i == 2 && raw == nil {
			break
		}
		var ok bool
		if words[i], ok = number32(raw); !ok {
			return Malformed, 0
		}
	}
	switch {
	case !fromHex(theirs[:size], s.extranonce2):
		if len(s.extranonce2) == 2*size {
			return Malformed, 0
		}
		return Extranonce, 0
	case words[2]&^mask != 0:
		return Mask, 0
	case words[0] < j.ntime || words[0] > j.ntime+ntimeSpan:
		return Time, 0
	}
	if s.bits == nil {
		mask = 0 // a share without version bits has those of the job
	}
	h := j.header(ours, theirs[:size], mask, words[2], words[0], words[1])
	digest := sha256d.Sum(&h)
	if !j.target.Met(digest) {
		if sha256d.Difficulty(digest) < min(noise, j.difficulty/2) {
			return Wrong, 0
		}
		return Low, 0
	}
	first := binary.LittleEndian.Uint64(digest[:])
	if _, again := j.seen[first]; again || len(j.seen) == maxSeen {
		return Duplicate, 0
	}
	if j.seen == nil {
		j.seen = map[uint64]struct{}{}
	}
	j.seen[first] = struct{}{}
	luck = math.Log(sha256d.Difficulty(digest) / j.difficulty)
	if !j.dead.IsZero() {
		return Stale, luck
	}
	return Accepted, luck
}
