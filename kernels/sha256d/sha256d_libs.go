package sha256d

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"

	simd "github.com/minio/sha256-simd"
)

// scanStdlib hashes the header's first 64 bytes once and restores that state for
// every nonce; the second hash is a call of its own.
func scanStdlib(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	h := sha256.New()
	h.Write(j.header[:64])
	var buf [128]byte // longer than any state of crypto/sha256
	mid, err := h.(encoding.BinaryAppender).AppendBinary(buf[:0])
	if err != nil {
		panic("sha256d: keep the midstate: " + err.Error())
	}
	back := h.(encoding.BinaryUnmarshaler)
	tail := [16]byte(j.header[64:])
	var sum [sha256.Size]byte
	for ; n > 0; first, n = first+1, n-1 {
		if err := back.UnmarshalBinary(mid); err != nil {
			panic("sha256d: return to the midstate: " + err.Error())
		}
		binary.LittleEndian.PutUint32(tail[nonceAt-64:], first)
		h.Write(tail[:])
		h.Sum(sum[:0])
		if j.target.Met(sha256.Sum256(sum[:])) {
			dst = append(dst, first)
		}
	}
	return dst
}

// scanMinio computes two full sums: the library cannot restore a midstate.
func scanMinio(dst []uint32, j *Job, first uint32, n uint64) []uint32 {
	h := j.header
	for ; n > 0; first, n = first+1, n-1 {
		binary.LittleEndian.PutUint32(h[nonceAt:], first)
		once := simd.Sum256(h[:])
		if j.target.Met(simd.Sum256(once[:])) {
			dst = append(dst, first)
		}
	}
	return dst
}
