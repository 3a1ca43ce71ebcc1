package stats

import (
	"cmp"
	"math"
	"slices"

	"github.com/perwatt/perwatt/results"
	"golang.org/x/perf/benchmath"
)

// minimumRanks is the least number of values on a side: with three on each, even
// the most extreme order has a probability above 5 %.
const minimumRanks = 4

// MannWhitney is the two-sided p-value of the hypothesis that a and b come from
// one distribution: of all ways to assign the values to the two sides, the share
// whose rank sum is at least as extreme. Values that are not finite are left
// out; with fewer than four on a side it is NaN.
func MannWhitney(a, b []float64) float64 {
	a, b = finite(a), finite(b) // copies: benchmath sorts what it is given, and does not return from NaN
	if min(len(a), len(b)) < minimumRanks {
		return math.NaN()
	}
	x, y := benchmath.NewSample(a, &benchmath.DefaultThresholds), benchmath.NewSample(b, &benchmath.DefaultThresholds)
	// benchmath doubles one tail. With ties and unequal sizes the other tail is
	// not the same: 0.048 for {0,1,0,1,2} and {4,2,3,2}, 0.016 for the same
	// swapped. The mean of the two is the sum of both tails.
	return min(1, (benchmath.AssumeNothing.Compare(x, y).P+benchmath.AssumeNothing.Compare(y, x).P)/2)
}

func finite(xs []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(xs), func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) })
}

// BenjaminiHochberg adjusts the p-values of one family of tests: of the rows whose
// adjusted p-value is at most 0.05, no more than 5 % are expected to be false
// discoveries. The order is kept. A row without a test has NaN and does not
// belong to the family.
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

// Outliers counts the values that lie beyond Tukey's fences, 1.5 interquartile
// ranges outside the quartiles (Exploratory Data Analysis, 1977; the quartiles
// are his hinges, the medians of either half). NaN counts for nothing. An
// outlier is reported and not a reason to leave a value out.
func Outliers(xs []float64) (n int) {
	s := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(xs), math.IsNaN)))
	q1, _, _ := results.MedianInterval(s[:(len(s)+1)/2])
	q3, _, _ := results.MedianInterval(s[len(s)/2:])
	for _, x := range s {
		if max(q1-x, x-q3) > 1.5*(q3-q1) {
			n++
		}
	}
	return n
}
