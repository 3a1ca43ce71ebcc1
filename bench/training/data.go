package training

import "math/rand/v2"

// dataset is a set of labelled 28×28 images, one byte per pixel, 0 for blank paper.
type dataset struct {
	images []byte
	labels []byte // 0–9
}

func (d *dataset) len() int { return len(d.labels) }

// image returns the pixels of image i.
func (d *dataset) image(i int) []byte { return d.images[i*pixels:][:pixels] }

// stream is an endless sequence of a set's samples: all in one random order, then all
// in another, and so on.
type stream struct {
	set  *dataset
	rng  *rand.Rand
	perm []int32
	at   int
}

func newStream(set *dataset, rng *rand.Rand) *stream {
	s := &stream{set: set, rng: rng, perm: make([]int32, set.len())}
	for i := range s.perm {
		s.perm[i] = int32(i)
	}
	s.at = len(s.perm)
	return s
}

// next fills to with the indices of the next samples.
func (s *stream) next(to []int32) {
	for i := range to {
		if s.at == len(s.perm) {
			s.rng.Shuffle(len(s.perm), func(a, b int) { s.perm[a], s.perm[b] = s.perm[b], s.perm[a] })
			s.at = 0
		}
		to[i] = s.perm[s.at]
		s.at++
	}
}

// Streams of random numbers, distinct for all seeds.
const (
	trainStream = iota
	heldOutStream
	weightStream
	orderStream
	languageStream
)

// random returns the generator of one stream; where its elements are drawn in parallel,
// each has a generator of its own.
func random(seed uint32, which byte, element int) *rand.Rand {
	key := [32]byte{0: byte(seed), 1: byte(seed >> 8), 2: byte(seed >> 16), 3: byte(seed >> 24), 4: which} // #nosec G115 -- the bytes of the seed
	for i := range 8 {
		key[8+i] = byte(element >> (8 * i)) // #nosec G115 -- the bytes of the index
	}
	return rand.New(rand.NewChaCha8(key)) // #nosec G404 -- data and weights that are the same for the same seed
}
