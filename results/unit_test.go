package results

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFloatJSON(t *testing.T) {
	for text, f := range map[string]Float{
		"0": 0, "-1.5": -1.5, "1e+21": 1e21, "1e-7": 1e-7, "100000000000000000000": 1e20, "0.1": 0.1,
		"5e-324": math.SmallestNonzeroFloat64, "1.7976931348623157e+308": math.MaxFloat64, "9007199254740993e3": 9007199254740993e3,
	} {
		var got Float
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		require.Equal(t, f, got)
		out, err := json.Marshal(f)
		require.NoError(t, err)
		require.Equal(t, string(appendFloat(nil, float64(f))), string(out), "Float and the record writer agree")
		require.NoError(t, json.Unmarshal(out, &got))
		require.Equal(t, f, got, "%s loses nothing", out)
	}

	pair := struct{ Here, Gone Float }{1, Absent()}
	out, err := json.Marshal(pair)
	require.NoError(t, err)
	require.Equal(t, `{"Here":1,"Gone":null}`, string(out))
	pair.Here, pair.Gone = 0, 0
	require.NoError(t, json.Unmarshal(out, &pair))
	require.Equal(t, Float(1), pair.Here)
	require.True(t, pair.Gone.IsAbsent())

	for _, inf := range []int{1, -1} {
		_, err := json.Marshal(Float(math.Inf(inf)))
		require.ErrorContains(t, err, "Inf cannot be recorded")
	}
	for _, text := range []string{`"1"`, `true`, `[]`, `1e999`} {
		require.Error(t, json.Unmarshal([]byte(text), new(Float)), text)
	}
	require.False(t, Float(0).IsAbsent())
}

func TestUnits(t *testing.T) {
	require.Equal(t, Unit("hash/J"), Hash.Per(Joule))
	seen := map[Boundary]bool{}
	for _, b := range Boundaries() {
		require.False(t, seen[b], b)
		seen[b] = true
	}
	require.Equal(t, Wall, Boundaries()[0], "the outermost first")
	require.Len(t, seen, 9)
}

// What is inside a boundary is so for every boundary around that; cards are
// beside packages and the memory, and no boundary is inside itself.
func TestInside(t *testing.T) {
	for _, c := range []struct {
		inner, outer Boundary
		want         bool
	}{
		{CardsPackages, Chassis, true}, {Package, CardsPackages, true}, {Cards, CardsPackages, true}, {Card, Cards, true}, {Card, CardsPackages, true},
		{Memory, Package, true}, {Cards, Wall, true}, {Cards, Package, false}, {Package, Cards, false}, {Card, Package, false}, {Memory, Cards, false},
		{Memory, Card, false}, {Card, Memory, false}, {Chassis, CardsPackages, false}, {Wall, Wall, false},
	} {
		require.Equal(t, c.want, c.inner.Inside(c.outer), "%s inside %s", c.inner, c.outer)
	}
	for _, a := range Boundaries() {
		for _, b := range Boundaries() {
			for _, c := range Boundaries() {
				if a.Inside(b) && b.Inside(c) {
					require.True(t, a.Inside(c), "%s in %s in %s", a, b, c)
				}
			}
		}
	}
}
