package stratum

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"time"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

const (
	branches = 10 // as in a block of about a thousand transactions

	// versionMask are the bits of a version that devices may roll (BIP 320).
	versionMask = 0x1fffe000
	version     = 0x20000000

	// nbits is a network difficulty of 2^62, thirty thousand times that of
	// 2026: no share is a block. It is the largest that firmware can hold in a
	// signed integer of 64 bits.
	nbits = 0x1503fffc

	// ntimeSpan is how far a device may roll the time of a job, in s.
	ntimeSpan = 7200

	subsidy = 312_500_000 // satoshi, for blocks 840,000 to 1,049,999
)

// template is the block that the jobs of one moment share; it is invented and is part
// of no chain. It does not change once it is made.
type template struct {
	made         time.Time
	coinb1       []byte // up to the extranonces
	coinb2       []byte // after them
	branch       [][32]byte
	version      uint32
	nbits, ntime uint32
	notify       []byte // as JSON: the parameters of mining.notify between prevhash and clean
}

// newTemplate invents a block whose coinbase has room for two extranonces, the second
// of size bytes. The coinbase is well formed: version, one input that spends no output,
// a script with height (BIP 34), name and extranonces, an output of the subsidy to a
// random key hash, and a witness commitment (BIP 141).
func newTemplate(now time.Time, size int) *template {
	t := &template{made: now, branch: make([][32]byte, branches), version: version, nbits: nbits, ntime: uint32(now.Unix())} // #nosec G115 -- a block has 32 bits for its time, until 2106
	noise := make([]byte, 20+32+32*branches)
	_, _ = rand.Read(noise) // never fails: see crypto/rand
	take := func(n int) (b []byte) { b, noise = noise[:n], noise[n:]; return b }

	const name = "/perwatt/"
	const halving, height = 1_713_571_767, 840_000 // when block 840,000 was found
	script := push(nil, number(height+max(0, now.Unix()-halving)/600))
	script = push(script, []byte(name))
	script = append(script, byte(own+size)) // #nosec G115 -- 4 and 4 to 8 bytes; the push of the extranonces, which follow
	b := binary.LittleEndian.AppendUint32(nil, 2)
	b = append(b, 1)
	b = append(b, make([]byte, 32)...)
	b = append(b, 0xff, 0xff, 0xff, 0xff, byte(len(script)+own+size)) // #nosec G115 -- some 30 bytes
	t.coinb1 = append(b, script...)

	b = append([]byte{}, 0xff, 0xff, 0xff, 0xff, 2)
	b = binary.LittleEndian.AppendUint64(b, subsidy)
	b = append(b, 22, 0, 20) // OP_0 and a hash: P2WPKH
	b = append(b, take(20)...)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = append(b, 38, 0x6a, 36, 0xaa, 0x21, 0xa9, 0xed) // OP_RETURN and the commitment
	b = append(b, take(32)...)
	t.coinb2 = append(b, 0, 0, 0, 0)
	for i := range t.branch {
		copy(t.branch[i][:], take(32))
	}
	t.describe()
	return t
}

// describe writes the part of mining.notify that is the same for all devices.
func (t *template) describe() {
	var b bytes.Buffer
	fmt.Fprintf(&b, `"%x","%x",[`, t.coinb1, t.coinb2)
	for i, h := range t.branch {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x"`, h)
	}
	fmt.Fprintf(&b, `],"%08x","%08x","%08x"`, t.version, t.nbits, t.ntime)
	t.notify = b.Bytes()
}

// push appends a push of at most 75 bytes to a script.
func push(script, data []byte) []byte { return append(append(script, byte(len(data))), data...) } // #nosec G115 -- 75 at most

// number encodes a positive number as in a script: little-endian, with a sign bit.
func number(n int64) (b []byte) {
	b = binary.LittleEndian.AppendUint64(nil, uint64(n)) // #nosec G115 -- positive
	return b[:bits.Len64(uint64(n))/8+1]                 // #nosec G115 -- positive
}

// root returns the Merkle root for the extranonces.
func (t *template) root(extranonce1, extranonce2 []byte) [32]byte {
	var space [512]byte
	b := append(append(append(append(space[:0], t.coinb1...), extranonce1...), extranonce2...), t.coinb2...)
	h := twice(b)
	for i := range t.branch {
		var pair [64]byte
		copy(pair[:32], h[:])
		copy(pair[32:], t.branch[i][:])
		h = twice(pair[:])
	}
	return h
}

func twice(b []byte) [32]byte {
	once := sha256.Sum256(b)
	return sha256.Sum256(once[:])
}

// job is a template as issued to one connection.
type job struct {
	*template
	id         string // unique in a server: 1 to 8 hexadecimal digits
	prev       *prev
	difficulty float64        // of its shares
	target     sha256d.Target // that difficulty
	issued     time.Time
	epoch      uint64              // when it was issued: see [Server.epochs]
	dead       time.Time           // when a clean job took its place; zero while it has none
	seen       map[uint64]struct{} // the first 8 bytes of the digests of its shares
	extranonce [maxTheirs]byte
	merkle     [32]byte // of that extranonce, if it is known
	known      bool
}

// prev is the digest of the previous block, as sent in mining.notify and as hashed.
type prev struct {
	told [64]byte
	hash [32]byte
}

// newPrev invents a digest like that of a block: its most significant bytes are zero.
func newPrev() *prev {
	p := new(prev)
	_, _ = rand.Read(p.hash[:22])
	hex.Encode(p.told[:], swapped(p.hash[:]))
	return p
}

// swapped reverses the bytes of each 32-bit word.
func swapped(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i^3] = b[i]
	}
	return out
}

// header returns the block header that the device claims to have hashed. rolled holds
// the version bits within mask (BIP 310).
func (j *job) header(extranonce1, extranonce2 []byte, mask, rolled, ntime, nonce uint32) sha256d.Header {
	if !j.known || !bytes.Equal(j.extranonce[:len(extranonce2)], extranonce2) {
		copy(j.extranonce[:], extranonce2)
		j.merkle, j.known = j.root(extranonce1, extranonce2), true
	}
	h := sha256d.NewHeader(j.version&^mask|rolled&mask, j.prev.hash, j.merkle, ntime, j.nbits)
	h.SetNonce(nonce)
	return h
}
