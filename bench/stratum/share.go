package stratum

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// Class is what became of a line that was meant to be a share.
type Class uint8

const (
	Accepted     Class = iota
	Stale              // good, but of a job that a clean one had replaced
	Duplicate          // handed in before
	Low                // its digest misses the difficulty of its job
	Wrong              // its digest is like any other's: other work than that of the job, or an error of the chip
	Unknown            // of a job that this connection was never given, or long ago
	Mask               // rolls bits of the version that it may not
	Time               // its time lies before the job's or two hours after
	Extranonce         // its extranonce2 has another size than it was told
	Malformed          // anything else that is no share
	Unauthorised       // in the name of another worker, or before there was any
	classes
)

// class says how a class is answered, and named in records and tables.
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

// noise is a difficulty that one digest in a thousand meets by chance: 2^-22
// of the 2^32 hashes of difficulty 1.
const noise = 0x1p-22

// maxSeen bounds what is remembered of one job's shares; more than a hundred
// times what comes in its life.
const maxSeen = 1 << 16

// submission are the parameters of mining.submit as they were sent: the text
// of the extranonce2, and the others in JSON. Without version bits, bits is nil.
type submission struct{ extranonce2, ntime, nonce, bits []byte }

// judge says what a share of job j is worth, by crypto/sha256. luck is the
// natural logarithm of how many times over it meets the difficulty, which of
// honest work is exponential with mean 1; it means something in a share that
// is accepted or stale only.
func (j *job) judge(ours []byte, size int, mask uint32, s submission, now time.Time) (c Class, luck float64) {
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
