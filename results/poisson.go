package results

import "math"

// PoissonInterval returns the exact 95 % interval of the mean of a Poisson
// variable that came out as n: the smallest mean that gives n or more, and the
// largest that gives n or fewer, with a probability of 2.5 % (Garwood,
// Fiducial limits for the Poisson distribution, Biometrika 28, 1936). It
// covers the mean in at least 95 % of cases.
func PoissonInterval(n uint64) (low, high float64) {
	const tail = (1 - confidence) / 2
	if n > 0 {
		low = poissonBound(n-1, 1-tail)
	}
	return low, poissonBound(n, tail)
}

// mostSummed is the number up to which the terms of the distribution are summed.
const mostSummed = 1e9

// poissonBound returns the mean at which a Poisson variable is n or less with
// probability p.
func poissonBound(n uint64, p float64) float64 {
	// The third approximation of Wilson and Hilferty is within a per cent from
	// n = 0 on; Newton does the rest. The slope of the probability is the term
	// of n, negative.
	k := float64(n) + 1
	z := -math.Sqrt2 * math.Erfinv(2*p-1)
	mean := k * math.Pow(max(1e-3, 1-1/(9*k)+z/(3*math.Sqrt(k))), 3)
	// Beyond that it is good to eight digits, and the sums would take long.
	for range 50 {
		if n > mostSummed {
			break
		}
		below := PoissonAtMost(n, mean)
		step := (below - p) / poissonTerm(float64(n), mean)
		if mean += max(step, -mean/2); math.Abs(step) <= 1e-13*mean {
			break
		}
	}
	return mean
}

// poissonTerm is the probability of n at a mean above 0.
func poissonTerm(n, mean float64) float64 {
	factorial, _ := math.Lgamma(n + 1)
	return math.Exp(n*math.Log(mean) - mean - factorial)
}

// PoissonAtMost is the probability that a Poisson variable of this mean, which
// is above 0, is n or less. It adds the terms themselves, outwards from n: the
// asymptotic forms of the incomplete gamma function lose the far tails of
// large means.
func PoissonAtMost(n uint64, mean float64) float64 {
	if float64(n) >= mean {
		return 1 - poissonTail(float64(n)+1, +1, mean)
	}
	return poissonTail(float64(n), -1, mean)
}

// PoissonProbability returns how probable it is that a Poisson variable of
// this mean lies as far out as n: twice the exact tail on n's side of the mean,
// at most 1.
func PoissonProbability(n uint64, mean float64) float64 {
	if mean == 0 {
		if n > 0 {
			return 0
		}
		return 1
	}
	side := -1.0
	if float64(n) >= mean {
		side = 1
	}
	return min(1, 2*poissonTail(float64(n), side, mean))
}

// poissonTail is the sum of the terms from n on, upwards or downwards; n lies
// on that side of the mean.
func poissonTail(n, side, mean float64) (sum float64) {
	for term := poissonTerm(n, mean); term > sum*1e-17; {
		sum += term
		if side > 0 {
			n++
			term *= mean / n
		} else {
			term *= n / mean
			n--
		}
	}
	return sum
}
