package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// world is one in which the truth is known: two candidates, the first better
// by ratio, measured in sessions of windows.
type world struct {
	sessions, windows int
	between, within   float64 // coefficients of variation
	ratio             float64
	gain              float64 // bound of the meters' gain errors, uniform within it
	shared            bool    // one meter for both
	order             string  // of the windows of a session, if the room drifts: A and B
	drift             float64 // of the rate over a session
	skewed            bool    // exponential instead of normal: now and then a poor session
}

func (w world) String() string {
	return fmt.Sprintf("%d×%d between %g%% within %g%% ratio %g gain %g%% shared %t %s", w.sessions, w.windows, 100*w.between, 100*w.within, w.ratio, 100*w.gain, w.shared, w.order)
}

// measure plays all sessions of both candidates once.
func (w world) measure(rng *rand.Rand) (a, b Sessions) {
	gain := func() float64 { return 1 + w.gain*(2*rng.Float64()-1) }
	meterA, meterB := gain(), gain()
	if w.shared {
		meterB = meterA
	}
	session := func() float64 {
		if w.skewed {
			return math.Exp(-w.between * (rng.ExpFloat64() - 1))
		}
		return math.Exp(w.between * rng.NormFloat64())
	}
	window := func(rate, meter float64) Pair {
		// Work varies a little with the rate and energy with the power; the rest of within is noise of both.
		work := 3e9 * rate * math.Exp(w.within/math.Sqrt2*rng.NormFloat64())
		return Pair{work, 2950 * meter * math.Exp(w.within/math.Sqrt2*rng.NormFloat64())}
	}
	for range w.sessions {
		ofA, ofB := w.ratio*session(), session()
		var windowsA, windowsB []Pair
		if w.order == "" {
			for range w.windows {
				windowsA, windowsB = append(windowsA, window(ofA, meterA)), append(windowsB, window(ofB, meterB))
			}
		}
		for i, who := range w.order {
			room := 1 + w.drift*float64(i)/float64(len(w.order)-1)
			if who == 'A' {
				windowsA = append(windowsA, window(ofA*room, meterA))
			} else {
				windowsB = append(windowsB, window(ofB*room, meterB))
			}
		}
		a, b = append(a, windowsA), append(b, windowsB)
	}
	return a, b
}

// tally is what became of many comparisons, as shares.
type tally struct{ covered, better, worse, width float64 }

func (w world) compare(seed uint64, times int) (t tally) {
	rng := rand.New(rand.NewPCG(seed, 17))
	for range times {
		a, b := w.measure(rng)
		q := Quotient(a, b, rng.Uint64())
		if !w.shared {
			q = q.Widen(math.Sqrt2 * Rectangular * w.gain)
		}
		if q.Low <= w.ratio && w.ratio <= q.High {
			t.covered += 1 / float64(times)
		}
		if q.Low > 1 {
			t.better += 1 / float64(times)
		}
		if q.High < 1 {
			t.worse += 1 / float64(times)
		}
		t.width += q.halfWidth() / float64(times)
	}
	return t
}

func TestExplore(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10, 30} {
		for _, w := range []world{{gain: .01, shared: true}, {gain: .01}, {skewed: true}} {
			w.sessions, w.windows, w.between, w.within, w.ratio = n, 5, 0.01, 0.005, 1
			r := w.compare(uint64(n), 10000)
			t.Logf("%v skewed %t: %+v", w, w.skewed, r)
		}
	}
	require.True(t, true)
}
