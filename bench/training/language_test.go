package training

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// predict is the ideal predictor of a language, or with remembers unset the best one that
// forgets phrases. It reads the tokens before and returns the probabilities of the next
// one: first by successor of the last word, then what else can come.
//
// It is written from the description of the language, not from the code that generates.
func predict(l *language, before []int32, remembers bool) func(token int32) float64 {
	phrases := map[int32][]int32{} // by marker
	marker, inside := int32(-1), 0 // of the phrase that is being read
	for _, token := range before {
		switch {
		case marker >= 0:
			if inside == len(phrases[marker]) {
				phrases[marker] = append(phrases[marker], token)
			}
			if inside++; inside == 16 {
				marker = -1
			}
		case int(token) >= l.words:
			marker, inside = token, 0
		}
	}
	last := before[len(before)-1]
	chain := func(token int32) (p float64) {
		for j := range 8 {
			if l.order[(last+l.offsets[j])%int32(l.words)] == token {
				p += []float64{1. / 2, 1. / 4, 1. / 8, 1. / 16, 1. / 32, 1. / 64, 1. / 128, 1. / 128}[j]
			}
		}
		return p
	}
	word := func(token int32) bool { return int(token) < l.words }
	switch known := phrases[marker]; {
	case marker >= 0 && remembers && inside < len(known):
		return func(token int32) float64 {
			if token == known[inside] {
				return 1
			}
			return 0
		}
	case marker >= 0 && inside == 0:
		return func(token int32) float64 {
			if !word(token) {
				return 0
			}
			return 1 / float64(l.words)
		}
	case marker >= 0:
		return func(token int32) float64 {
			if !word(token) {
				return 0
			}
			return chain(token)
		}
	}
	return func(token int32) float64 {
		if !word(token) {
			return 1. / 16 / float64(l.markers)
		}
		return 15. / 16 * chain(token)
	}
}

func newTestLanguage(t *testing.T, seed uint32, vocabulary, context int) *language {
	t.Helper()
	l, err := newLanguage(seed, vocabulary, context)
	require.NoError(t, err)
	return l
}

// What the ideal predictor spends on a document is what the generator says; the
// predictor's distributions are such.
func TestIdealPredictor(t *testing.T) {
	for _, c := range []struct{ vocabulary, context int }{{9, 4}, {64, 100}, {512, 128}, {300, 512}, {50304, 256}} {
		l := newTestLanguage(t, 3, c.vocabulary, c.context)
		to := make([]int32, c.context+1)
		for i := range 4 {
			ideal, sum := l.sample(trainStream, i, to), 0.0
			for at := 1; at < len(to); at++ {
				p := predict(l, to[:at], true)
				sum -= math.Log(p(to[at]))
				if c.vocabulary > 1000 || i > 0 {
					continue
				}
				all := 0.0
				for token := range c.vocabulary {
					all += p(int32(token))
				}
				require.InDelta(t, 1, all, 1e-12, "position %d", at)
			}
			require.InDelta(t, sum, ideal, 1e-9*max(1, sum), "%+v", c)
		}
	}
}

// The floor by its formula is the mean of the ideal predictor over a million tokens, and
// one without memory is worse by the stated amount: both within five deviations of the
// means over documents.
func TestFloor(t *testing.T) {
	tokens := 1_000_000
	if testing.Short() {
		tokens = 60_000
	}
	for _, c := range []struct {
		seed                uint32
		vocabulary, context int
	}{{1, 512, 128}, {2, 512, 128}, {3, 40, 128}, {4, 4000, 384}, {5, 512, 16}, {6, 512, 1}} {
		l := newTestLanguage(t, c.seed, c.vocabulary, c.context)
		to := make([]int32, c.context+1)
		var ideal, worse []float64 // of documents, nats a token
		for i := range tokens / c.context {
			is := l.sample(trainStream, i, to)
			ideal = append(ideal, is/float64(c.context))
			worse = append(worse, (spent(l, to)-is)/float64(c.context))
		}
		for _, what := range []struct {
			name string
			got  []float64
			want float64
		}{{"floor", ideal, l.floor()}, {"blindness", worse, l.blindness()}} {
			mean, deviation := moments(what.got)
			t.Logf("%+v: %s is %.4f, found %.4f ± %.4f", c, what.name, what.want, mean, deviation)
			require.InDelta(t, what.want, mean, 5*deviation+1e-12, "%+v: %s", c, what.name)
		}
	}
	require.Greater(t, newTestLanguage(t, 1, 512, 128).blindness(), 0.5)
}

// spent is what a predictor without memory spends on a document, in nats: as [predict]
// does it, in one pass.
func spent(l *language, document []int32) (nats float64) {
	left, bits := 0, map[int32]float64{}
	for at, token := range document[1:] {
		last := document[at]
		clear(bits)
		for j := range 8 {
			bits[l.order[(last%int32(l.words)+l.offsets[j])%int32(l.words)]] = float64(min(j+1, 7))
		}
		switch {
		case left == 16:
			nats += math.Log(float64(l.words))
			left--
		case left > 0:
			nats += bits[token] * math.Ln2
			left--
		case int(token) >= l.words:
			nats += math.Log(16 * float64(l.markers))
			left = 16
		default:
			nats += bits[token]*math.Ln2 + math.Log(16./15)
		}
	}
	return nats
}

// moments returns the mean and the deviation of the mean.
func moments(x []float64) (mean, deviation float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation) / float64(len(x))
}

// spent is the predictor without memory.
func TestSpent(t *testing.T) {
	l := newTestLanguage(t, 7, 200, 256)
	to := make([]int32, 257)
	l.sample(trainStream, 0, to)
	want := 0.0
	for at := 1; at < len(to); at++ {
		want -= math.Log(predict(l, to[:at], false)(to[at]))
	}
	require.InDelta(t, want, spent(l, to), 1e-9)
}

// Counting which token follows which, which is all that a model without attention can
// learn, does not come below the floor plus what memory is worth.
func TestPairsAreNotEnough(t *testing.T) {
	l := newTestLanguage(t, 1, 64, 128)
	pairs := make([]float64, 64*64)
	to := make([]int32, 129)
	const documents = 2000
	for i := range documents {
		l.sample(trainStream, i, to)
		for at := range 128 {
			pairs[to[at]*64+to[at+1]]++
		}
	}
	var loss []float64
	for i := range documents {
		l.sample(trainStream, i, to)
		sum := 0.0
		for at := range 128 {
			row := pairs[to[at]*64:][:64]
			all := 0.0
			for _, n := range row {
				all += n
			}
			sum -= math.Log(row[to[at+1]]/all) / 128
		}
		loss = append(loss, sum)
	}
	mean, deviation := moments(loss)
	require.Greater(t, mean, l.floor()+l.blindness()+5*deviation)
}

// The floor of a long document tends to the entropy rate of the renewal process: a
// marker's cycle has 16 steps of the chain in the mean, then a phrase, which is known
// once all were seen.
func TestEntropyRate(t *testing.T) {
	const p = 1. / 16
	l := newTestLanguage(t, 1, 512, 128)
	l.context = 1 << 14
	rate := (-p*math.Log(p) - (1-p)*math.Log(1-p) + (1-p)*chainEntropy) / p / (1/p + 16)
	require.InDelta(t, rate, l.floor(), 0.01)
	require.Greater(t, l.floor(), rate, "the first phrase is new")
	sum := 0.0
	for _, q := range []float64{1. / 2, 1. / 4, 1. / 8, 1. / 16, 1. / 32, 1. / 64, 1. / 128, 1. / 128} {
		sum -= q * math.Log(q)
	}
	require.InDelta(t, sum, chainEntropy, 1e-15)
}

// The same seed, set and number give the same tokens; any other gives others. All tokens
// of a vocabulary come.
func TestDocuments(t *testing.T) {
	document := func(seed uint32, set byte, i int) []int32 {
		to := make([]int32, 129)
		newTestLanguage(t, seed, 64, 128).sample(set, i, to)
		return to
	}
	all := [][]int32{document(1, trainStream, 0), document(1, heldOutStream, 0), document(1, trainStream, 1), document(2, trainStream, 0)}
	for i, a := range all {
		for j, b := range all {
			require.Equal(t, i == j, slices.Equal(a, b), "%d and %d", i, j)
		}
	}
	require.Equal(t, all[0], document(1, trainStream, 0))

	seen := map[int32]int{}
	for i := range 500 {
		for _, token := range document(1, trainStream, i) {
			seen[token]++
		}
	}
	require.Len(t, seen, 64)
	for token := range int32(63) {
		require.InEpsilon(t, 500*129*(1-500./129/100)/63, seen[token], 0.35, "words are equally frequent: %d", token)
	}
	for _, c := range []struct{ vocabulary, context int }{{8, 128}, {15, 1024}, {512, 0}} {
		_, err := newLanguage(1, c.vocabulary, c.context)
		require.ErrorContains(t, err, "it needs")
	}
}
