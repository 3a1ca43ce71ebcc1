package results

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTraceAt(t *testing.T) {
	gap := Absent()
	tr := Trace{T: []Float{1, 2, 4, 5, 6}, V: []Float{10, 20, 40, gap, 60}}
	for _, c := range []struct{ at, want float64 }{
		{0.999, math.NaN()}, {1, 10}, {1.25, 12.5}, {2, 20}, {3, 30}, {4, 40},
		{4.001, math.NaN()}, {5, math.NaN()}, {5.999, math.NaN()}, {6, 60}, {6.001, math.NaN()}, {math.NaN(), math.NaN()},
	} {
		got := float64(tr.At(c.at))
		require.True(t, got == c.want || math.IsNaN(got) && math.IsNaN(c.want), "at %v s: got %v, want %v", c.at, got, c.want)
	}
	for _, bad := range []Trace{{}, {T: []Float{1}}, {T: []Float{1, 2}, V: []Float{1}}} {
		require.True(t, bad.At(1).IsAbsent())
		require.True(t, bad.Over(1, 2).IsAbsent())
	}
	single := Trace{T: []Float{3}, V: []Float{7}}
	require.Equal(t, Float(7), single.At(3))
	require.True(t, single.At(3.5).IsAbsent())
}

func TestPartsOfARun(t *testing.T) {
	run := Run{
		Phases: []Phase{{Name: PhaseWarmup, To: 1}, {Name: PhaseMeasure, From: 1, To: 2}},
		Traces: []Trace{{Key: UseKey(TraceWork, "a", "x")}, {Key: UseKey(TraceWork, "b", "x")}, {Key: UseKey(TraceWork, "b", "y")}},
	}
	require.Same(t, &run.Traces[1], run.Trace(UseKey(TraceWork, "b", "x")))
	require.Same(t, &run.Traces[2], run.Trace(UseKey(TraceWork, "b", "y")))
	require.Nil(t, run.Trace(UseKey(TraceWork, "c", "x")))
	require.Nil(t, run.Trace(UseKey(TraceCPUTime, "b", "x")))
	p, ok := run.Phase(PhaseMeasure)
	require.True(t, ok)
	require.Equal(t, run.Phases[1], p)
	_, ok = run.Phase(PhaseCool)
	require.False(t, ok)
}

func TestCounterThatFallsIsAGap(t *testing.T) {
	tr := &Trace{Kind: Counter}
	for i, v := range []Float{5, 6, 2, 3} {
		tr.Add(Float(i), v, nil)
	}
	tr.Add(3, 9, nil) // no later than the last
	require.Equal(t, []Float{0, 1, 2, 3}, tr.T)
	require.Equal(t, []Float{5, 6, 3}, []Float{tr.V[0], tr.V[1], tr.V[3]})
	require.True(t, tr.V[2].IsAbsent())
	require.Contains(t, tr.Errors[0].Error, "fell from 6 to 2")
	g := &Trace{Kind: Gauge}
	g.Add(0, 5, nil)
	g.Add(1, 2, nil)
	require.Empty(t, g.Errors)
}

// What stays level takes two samples, and nothing that can be asked of the trace
// is lost: also where it moves, falls or has a gap.
func TestAddLevelLosesNothing(t *testing.T) {
	for _, kind := range []Kind{Counter, Gauge} {
		values := []Float{0, 0, 0, 0, 3, 3, 3, Absent(), Absent(), 3, 3, 3, 4, 4, 4, 4, 4, 5}
		all, level := &Trace{Kind: kind}, &Trace{Kind: kind}
		for i, v := range values {
			var err error
			if v.IsAbsent() {
				err = errors.New("gone")
			}
			all.Add(Float(i), v, err)
			level.AddLevel(Float(i), v, err)
		}
		level.AddLevel(2, 9, nil) // no later than the last
		require.Equal(t, []Float{0, 3, 4, 6, 7, 8, 9, 11, 12, 16, 17}, level.T)
		require.Equal(t, all.Errors, level.Errors)
		for a := 0.0; a <= 17; a += 0.5 {
			for b := a + 0.5; b <= 17; b += 0.5 {
				want, got := all.Over(a, b), level.Over(a, b)
				require.Equal(t, want.IsAbsent(), got.IsAbsent(), "%v to %v", a, b)
				if !want.IsAbsent() {
					require.InDelta(t, float64(want), float64(got), 1e-9, "%v to %v", a, b)
				}
			}
		}
	}
}
