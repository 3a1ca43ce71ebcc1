package training

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// text is where the samples of a language model come from. A sample is a row of tokens,
// one more than the model's context: token i is what the model is to predict from those
// before it.
type text interface {
	// sample fills to with sample i of a set (trainStream or heldOutStream). It returns
	// the nats that the ideal predictor, which knows the source, spends on all tokens
	// after the first; NaN where the source is not known.
	sample(set byte, i int, to []int32) (ideal float64)
}

// language is a generated language. A sample is a document of its own, which begins with
// an ordinary token and goes on by a Markov chain: each ordinary token has eight
// successors, with probabilities 1/2, 1/4 … 1/128, 1/128. At each step, with probability
// 1/16, comes a marker instead. After a marker comes that marker's phrase of 16 tokens:
// the first time a new one, a uniformly drawn token and the chain from there; each later
// time the same one again. The chain then goes on from the phrase's last token.
//
// So about a third of the tokens of a context of 128 are free to whoever remembers what
// followed the last marker of that kind, and nothing else predicts them. A context has a
// marker for every 128 tokens: in one of 1024, 250 tokens lie between two markers of the
// same kind, in the mean.
//
// Every token is drawn from a distribution that is known, given those before it in the
// document, and that has a simple entropy. [language.floor] follows.
type language struct {
	seed    uint32
	context int
	words   int // ordinary tokens: 0 to words-1; markers follow
	markers int
	order   []int32           // a permutation of the words
	offsets [successors]int32 // distinct: order[(w+offsets[j]) mod words] is successor j of w
}

const (
	successors   = 8
	phraseLength = 16
	markOneIn    = 16
	wordsApart   = 128 // tokens of the context for each marker
)

// Of a step of the chain, in nats: the closed form of Σ 2⁻ʲ·j·ln 2 over the successors,
// the last of which has the probability of the one before it.
var chainEntropy = (2 - math.Ldexp(1, 2-successors)) * math.Ln2

// newLanguage draws the language of a seed. The vocabulary is the number of all tokens,
// markers included; the last marker is its last token. Languages of the same vocabulary
// and context have the same floor.
func newLanguage(seed uint32, vocabulary, context int) (*language, error) {
	l := &language{seed: seed, context: context, markers: max(1, context/wordsApart)}
	l.words = vocabulary - l.markers
	if context < 1 || l.words < successors {
		return nil, fmt.Errorf("training: a language of %d tokens for a context of %d: it needs %d tokens at least", vocabulary, context, successors+l.markers)
	}
	rng := random(seed, languageStream, 0)
	l.order = make([]int32, l.words)
	for i := range l.order {
		l.order[i] = int32(i) // #nosec G115 -- below the vocabulary
	}
	rng.Shuffle(l.words, func(i, j int) { l.order[i], l.order[j] = l.order[j], l.order[i] })
	for i := range l.offsets {
		for {
			l.offsets[i] = rng.Int32N(int32(l.words)) // #nosec G115 -- below the vocabulary
			if !slices.Contains(l.offsets[:i], l.offsets[i]) {
				break
			}
		}
	}
	return l, nil
}

// successor is number j of word w.
func (l *language) successor(w int32, j int) int32 {
	return l.order[(int(w)+int(l.offsets[j]))%l.words]
}

// drawn returns which successor 64 random bits choose, and how many nats it costs.
func drawn(random uint64) (j int, nats float64) {
	j = min(bits.TrailingZeros64(random), successors-1)
	return j, float64(min(j+1, successors-1)) * math.Ln2
}

func (l *language) sample(set byte, i int, to []int32) (ideal float64) {
	rng := random(l.seed, set, i)
	phrases := make([][]int32, l.markers)
	word := rng.Int32N(int32(l.words)) // #nosec G115 -- below the vocabulary
	to[0] = word
	for at := 1; at < len(to); {
		if rng.IntN(markOneIn) > 0 {
			j, nats := drawn(rng.Uint64())
			word = l.successor(word, j)
			to[at] = word
			at++
			ideal += nats - math.Log1p(-1.0/markOneIn)
			continue
		}
		marker := rng.IntN(l.markers)
		to[at] = int32(l.words + marker) // #nosec G115 -- below the vocabulary
		at++
		ideal += math.Log(float64(markOneIn * l.markers))
		if phrases[marker] == nil {
			phrase := to[at:min(at+phraseLength, len(to))]
			for k := range phrase {
				if k == 0 {
					word = rng.Int32N(int32(l.words)) // #nosec G115 -- below the vocabulary
					ideal += math.Log(float64(l.words))
				} else {
					j, nats := drawn(rng.Uint64())
					word = l.successor(word, j)
					ideal += nats
				}
				phrase[k] = word
			}
			phrases[marker] = phrase
		}
		at += copy(to[at:], phrases[marker])
		word = to[at-1]
	}
	return ideal
}

// floor is the least loss that a model can have on documents that it has not seen, in
// nats a token: the mean entropy of a token given the source and the document before it.
// It is exact, and only a predictor that knows the source reaches it. The mean over the
// context counts every token but the first, which is given.
func (l *language) floor() float64 { return l.entropy(true) / float64(l.context) }

// blindness is by how many nats a token the best predictor is worse that knows the source
// and where phrases begin and end, but does not remember them. A predictor that does not
// see as far back as a whole phrase is no better.
func (l *language) blindness() float64 {
	return (l.entropy(false) - l.entropy(true)) / float64(l.context)
}

// entropy is that of the tokens of a document after the first, in nats, to a predictor
// that remembers the phrases of the document or does not.
//
// With t tokens to go and s of m markers seen it is, where p = 1/16,
//
//	e(t, s) = h(p) + p·ln m + (1-p)·(H + e(t-1, s)) + p·(1-s/m)·(f(t') + e(t-1-t', s+1))
//	                                                + p·s/m·e(t-1-t', s)
//
// with H the entropy of a step of the chain, h(p) that of the choice of a marker,
// t' = min(16, t-1), and f(k) = ln words + (k-1)·H that of the first k tokens of a new
// phrase.
func (l *language) entropy(remembers bool) float64 {
	const p = 1.0 / markOneIn
	step := -p*math.Log(p) - (1-p)*math.Log1p(-p) + p*math.Log(float64(l.markers)) + (1-p)*chainEntropy
	e := make([][]float64, l.context+1) // by t, then s
	e[0] = make([]float64, l.markers+1)
	for t := 1; t <= l.context; t++ {
		e[t] = make([]float64, l.markers+1)
		k := min(phraseLength, t-1)
		fresh := 0.0
		if k > 0 {
			fresh = math.Log(float64(l.words)) + float64(k-1)*chainEntropy
		}
		for s := range e[t] {
			known := float64(s) / float64(l.markers)
			again, after := e[t-1-k][s], e[t-1-k][min(s+1, l.markers)]
			if !remembers {
				again += fresh
			}
			e[t][s] = step + (1-p)*e[t-1][s] + p*(1-known)*(fresh+after) + p*known*again
		}
	}
	return e[l.context][0]
}
