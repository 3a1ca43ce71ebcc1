package stats

import (
	"cmp"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
	"golang.org/x/perf/benchmath"
)

// minimumRanks a side: with three and three no order of the values is rare
// enough for 5 %.
const minimumRanks = 4

// MannWhitney is the two-sided p of the hypothesis that a and b come from one
// distribution: the share of all ways to deal the values that lie as far from
// the middle. Values that are not finite are left out; under four on a side it
// is NaN.
func MannWhitney(a, b []float64) float64 {
	a, b = finite(a), finite(b) // copies: benchmath sorts what it is given, and does not return from NaN
	if min(len(a), len(b)) < minimumRanks {
		return math.NaN()
	}
	x, y := benchmath.NewSample(a, &benchmath.DefaultThresholds), benchmath.NewSample(b, &benchmath.DefaultThresholds)
	// benchmath doubles one tail, which with ties and unequal sizes is not the
	// other: 0.048 for {0,1,0,1,2} and {4,2,3,2}, 0.016 for the same swapped.
	// Their mean is the sum of both tails.
	return min(1, (benchmath.AssumeNothing.Compare(x, y).P+benchmath.AssumeNothing.Compare(y, x).P)/2)
}

func finite(xs []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(xs), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

// BenjaminiHochberg adjusts the p-values of one family: of the rows whose
// adjusted p is at most 0.05, no more than 5 % are expected to be false. The
// order is kept. NaN, a row without a test, is no member of the family.
func BenjaminiHochberg(p []float64) []float64 {
	adjusted := slices.Clone(p)
	var family []int
	for i, x := range p {
		if !math.IsNaN(x) {
			family = append(family, i)
		}
	}
	slices.SortFunc(family, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	least := 1.0
	for k, i := range slices.Backward(family) {
		least = min(least, p[i]*float64(len(family))/float64(k+1))
		adjusted[i] = least
	}
	return adjusted
}

// Class says how far a value lies outside the rest.
type Class string

const (
	None   Class = ""
	Mild   Class = "mild"   // beyond 1.5 interquartile ranges from the quartiles
	Severe Class = "severe" // beyond 3
)

// Outliers classifies each of xs by Tukey's fences (Exploratory Data Analysis,
// 1977; the quartiles are his hinges, the medians of either half). It is a
// remark, not a reason to leave a value out. NaN is in no class and counts for
// nothing.
func Outliers(xs []float64) []Class {
	s := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(xs), math.IsNaN)))
	q1, _, _ := results.MedianInterval(s[:(len(s)+1)/2])
	q3, _, _ := results.MedianInterval(s[len(s)/2:])
	classes := make([]Class, len(xs))
	for i, x := range xs {
		switch beyond := max(q1-x, x-q3); {
		case beyond > 3*(q3-q1):
			classes[i] = Severe
		case beyond > 1.5*(q3-q1):
			classes[i] = Mild
		}
	}
	return classes
}
