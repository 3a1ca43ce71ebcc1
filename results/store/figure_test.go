package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func TestFigures(t *testing.T) {
	want := []figure{
		{1, 6, 1e9, 0.99e9, 1.01e9},
		{1 << 40, 0, 0, results.Float(math.Inf(-1)), 5e-324},
		{300, 1, -1, results.Absent(), results.Absent()},
	}
	var raw []byte
	for _, f := range want {
		raw = f.append(raw)
	}
	i := 0
	for f, err := range figures(raw) {
		require.NoError(t, err)
		require.Equal(t, want[i].series, f.series)
		require.Equal(t, want[i].append(nil), f.append(nil)) // an absent figure is not equal to itself
		i++
	}
	require.Equal(t, len(want), i)
	for n := range figures(nil) {
		t.Fatal(n)
	}
	// A count that no int holds would come out negative.
	for _, windows := range []uint64{math.MaxInt + 1, math.MaxUint64} {
		for _, err := range figures(figure{series: 1, windows: windows}.append(nil)) {
			require.ErrorIs(t, err, errDamaged)
		}
	}
}

// FuzzFigures reads what a damaged index may hold: either all of it is figures,
// or it is said to be damaged.
func FuzzFigures(f *testing.F) {
	whole := figure{300, 6, 1e9, 0.99e9, results.Absent()}.append(figure{1, 2, 3, 4, 5}.append(nil))
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:1])
	f.Add([]byte("x"))
	f.Add([]byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		size := 0
		for f, err := range figures(raw) {
			if err != nil {
				require.ErrorIs(t, err, errDamaged)
				return
			}
			size += len(f.append(nil))
		}
		require.LessOrEqual(t, size, len(raw)) // numbers may be written longer than need be
	})
}
