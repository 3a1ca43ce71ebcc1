package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func around(value, half float64) Interval {
	return Interval{value, value * math.Exp(-half), value * math.Exp(half)}
}

func TestDecide(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name        string
		value, half float64
		meters      float64
		lower       bool // is better
		margin      float64
		a, b        int
		p           float64
		want        Reason
		sessions    int
		meter       bool
	}{
		{"clear", 1.03, 0.01, 0, false, 0.02, 5, 5, nan, BetterSide, 0, false},
		{"clear and tested", 1.03, 0.01, 0, false, 0.02, 5, 5, 0.01, BetterSide, 0, false},
		{"one of many rows", 1.03, 0.01, 0, false, 0.02, 5, 5, 0.06, WithinMargin, 0, false},
		{"worse", 0.96, 0.01, 0, false, 0.02, 5, 5, 0.01, WorseSide, 0, false},
		{"worse, one of many rows", 0.97, 0.01, 0, false, 0.02, 5, 5, 0.06, WideInterval, 1, false},
		{"joules per hash, less", 0.97, 0.01, 0, true, 0.02, 5, 5, nan, BetterSide, 0, false},
		{"joules per hash, more", 1.03, 0.01, 0, true, 0.02, 5, 5, nan, WorseSide, 0, false},
		{"equal", 1, 0.015, 0, false, 0.02, 5, 5, nan, WithinMargin, 0, false},
		{"a little worse, within the margin", 0.99, 0.005, 0, false, 0.02, 5, 5, nan, WithinMargin, 0, false},
		{"equal, wide", 1, 0.04, 0, false, 0.02, 5, 5, nan, WideInterval, 11, false},
		{"better, wide", 1.03, 0.06, 0, false, 0, 5, 5, nan, WideInterval, 12, false},
		{"almost", 1.03, 0.0301, 0, false, 0, 5, 5, nan, WideInterval, 1, false},
		{"hopeless", 1.001, 0.05, 0, false, 0, 5, 5, nan, WideInterval, 1000, false},
		{"meters", 1.015, 0.01, 0.02, false, 0, 5, 5, nan, MeterLimited, 0, true},
		{"meters, more sessions still help", 1.025, 0.02, 0.02, false, 0, 5, 5, nan, WideInterval, 3, false},
		{"meters unknown", 1.03, 0.01, nan, false, 0.02, 5, 5, nan, AccuracyUnknown, 0, true},
		{"too few", 1.03, nan, 0, false, 0.02, 2, 1, nan, FewWindows, 4, false},
		{"no figure", nan, nan, 0, false, 0.02, 5, 5, nan, NoFigure, 0, false},
		{"zero", 0, 0.01, 0, false, 0.02, 5, 5, nan, NoFigure, 0, false},
		{"the same number", 1, 0.01, 0, false, 0, 5, 5, nan, NoDifference, 0, false},
		{"one session, 1 %", 1.01, 0.001, 0, false, 0.01, 1, 1, nan, WideInterval, 4, false},
		{"one session, 40 %", 1.4, 0.01, 0, false, 0.01, 1, 5, nan, BetterSide, 0, false},
		{"one session, equal", 1, 0.001, 0, false, 0.05, 1, 1, nan, WideInterval, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			statistical := around(c.value, c.half)
			word, ok := map[Reason]Verdict{BetterSide: Better, WithinMargin: NoWorse, WorseSide: Worse}[c.want]
			if !ok {
				word = CannotTell
			}
			d := Decide(statistical.Widen(c.meters), statistical, !c.lower, c.margin, c.a, c.b, c.p)
			t.Log(d.Word, d.Reason, d.Sessions, d.Why)
			require.Equal(t, Decision{word, c.want, d.Why, c.sessions, c.meter}, d)
			require.NotEmpty(t, d.Why)
		})
	}
}

// The number of sessions that a decision asks for does settle it, if the
// figures stay as they are.
func TestSessionsSettle(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	settled := 0
	for range 500 {
		n, half, value, meters := 2+rng.IntN(9), 0.001+0.05*rng.Float64(), 0.95+0.1*rng.Float64(), 0.01*rng.Float64()
		s := around(value, half)
		d := Decide(s.Widen(meters), s, true, 0.02, n, n, math.NaN())
		if d.Sessions == 0 || d.Sessions == mostSessions {
			continue
		}
		settled++
		after := func(k int) Verdict {
			m := float64(n + k)
			s := around(value, half*math.Sqrt(float64(n)/m)*results.Student(2*m-2)/results.Student(float64(2*n-2)))
			return Decide(s.Widen(meters), s, true, 0.02, n+k, n+k, math.NaN()).Word
		}
		require.NotEqual(t, CannotTell, after(d.Sessions))
		require.Equal(t, CannotTell, after(d.Sessions-1))
	}
	require.Greater(t, settled, 50)
}

// Swapping candidate and reference swaps better and worse.
func TestDecideIsEvenHanded(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 34))
	swap := map[Verdict]Verdict{Better: Worse, Worse: Better, CannotTell: CannotTell, NoWorse: CannotTell}
	for range 500 {
		s := around(0.95+0.1*rng.Float64(), 0.04*rng.Float64())
		p := rng.Float64() / 10
		d := Decide(s, s, true, 0, 5, 5, p)
		if swapped := Decide(s.Inverse(), s.Inverse(), true, 0, 5, 5, p).Word; swapped != NoWorse {
			require.Equal(t, swap[d.Word], swapped)
		}
		require.Equal(t, d, Decide(s.Inverse(), s.Inverse(), false, 0, 5, 5, p), "lower is better of the inverse")
	}
}
