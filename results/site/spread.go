package site

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Spread is how the values of healthy nodes lie: about Center with the standard
// deviation Scale, both on the logarithmic scale, on which 0.01 is about 1 %. A node
// further than Sigmas × Scale from the centre is not one of them.
//
// Nodes are put in the order of their distance from the median, and each of the
// farthest, [mostOutliers] of all at most, is tested against all nodes that are nearer:
// by Student's t of one more value of a normal sample. The nearest that fails, and all
// beyond it, are outside (Rosner, Technometrics 25, 1983: the generalized extreme
// Studentized deviate; Davies and Gather, JASA 88, 1993, on ordering by the median).
// Several bad nodes cannot hide each other: none of them is in the sample against which
// the nearest of them is tested.
//
// A threshold on the median absolute deviation alone, as Iglewicz and Hoaglin advise (How
// to Detect and Handle Outliers, 1993), would need 7.7 of its standard deviations at 16
// nodes and 4.6 at 64 for the same rate of false outliers, because the MAD varies as the
// standard deviation of a third of the nodes does (its efficiency is 37 %: Rousseeuw and
// Croux, JASA 88, 1993).
//
// At most 1 in 10,000 healthy nodes is falsely outside where their values are normal. A
// million nodes of one figure, simulated (PERWATT_LONG=1 go test -run Characteristic -v
// ./results/site); the last four columns are the nodes that are found:
//
//	nodes    false, of 1000   figure 5 σ from the centre   at best   5 σ and its own deviation   one in five, 8 σ and their own
//	    5        0.05                 0 %                     1 %             0 %                       1 %
//	    8        0.09                 3 %                     5 %             4 %                      24 %
//	   16        0.09                29 %                    35 %            34 %                      78 %
//	   32        0.10                74 %                    78 %            64 %                      98 %
//	   64        0.09                97 %                    98 %            77 %                     100 %
//	   80        0.09              98.9 %                  99.2 %            79 %                     100 %
//	  100        0.10              99.8 %                  99.9 %            80 %                     100 %
//	 1000        0.08               100 %                   100 %            85 %                     100 %
//
// At best is Student's t of that node, known beforehand, against all others: where neither
// mean nor spread is known, no test that keeps the rate finds more of them whatever these
// are (it is uniformly most powerful among the invariant ones: Lehmann and Romano, Testing
// Statistical Hypotheses, 2005, chapter 6). With its own deviation it is 87 % even if both
// are known: Φ(5 − 3.89). What would find more takes something for granted. Uses have
// spreads of their own: if half of them spread 1.5 times as far as the others, the spread of
// all together calls 10 times as many healthy nodes outliers. The rounds of a node bound
// the spread between nodes from below only, and it is the upper bound that costs power. So
// a figure 5 % off at a spread of 1 % is found in 99 of 100 fleets from about 85 equal
// nodes on; [Spread.Finds] says what is found with fewer. The more figures a node is
// judged by, the more nodes it takes. [TailsOf] looks for skewed and heavy-tailed values,
// of which more are outside. The margin of an analysis bounds how many of those are called
// outliers where the spread is small.
type Spread struct {
	Center, Scale float64
	Sigmas        float64
	MAD           float64 // median distance from the median
	Healthy       int     // values that are not outside: SpreadOf puts them first
	rate          float64 // of healthy values that are outside, both sides together
}

const (
	falseRate    = 0.9e-4 // of healthy nodes that are called outliers, both sides together
	fewestEqual  = 5      // nodes that can be judged
	mostOutliers = 0.3    // of the nodes of a distribution: beyond it is another level
	severalTests = 5      // see SpreadOf
)

// beyond is the normal quantile of falseRate, which Student's exceed.
const beyond = 3.89

// SpreadOf returns the spread of values, which it sorts by their distance from the
// median; NaN for fewer than five. Figures is the number of those by which a node is
// judged: each may be falsely off the less often the more there are (Bonferroni). Least is
// a standard deviation than which the values cannot show a smaller one: see [halfStep].
func SpreadOf(logs []float64, figures int, least float64) Spread {
	n := len(logs)
	if n < fewestEqual {
		nan := math.NaN()
		return Spread{Center: nan, Scale: nan, Sigmas: nan, MAD: nan}
	}
	slices.Sort(logs)
	median := middle(logs)
	slices.SortFunc(logs, func(a, b float64) int { return cmp.Compare(math.Abs(a-median), math.Abs(b-median)) })
	s := Spread{MAD: math.Abs(logs[n/2] - median)}
	if n%2 == 0 {
		s.MAD = (s.MAD + math.Abs(logs[n/2-1]-median)) / 2
	}
	// Several tests in a row find more than one does, by simulation at most this much.
	rate := falseRate / (1 + severalTests/float64(n)) / float64(max(1, figures))
	first := max(n-int(mostOutliers*float64(n)), fewestEqual-1)
	healthy := n
	var sum moments
	for i, x := range logs {
		if i >= first && i < healthy && math.Abs(x-sum.mean) > beyond*max(least, sum.scale()) {
			if math.Abs(x-sum.mean) > sum.limit(rate)*max(least, sum.scale()) {
				healthy = i
			}
		}
		sum.add(x)
	}
	sum = moments{}
	for _, x := range logs[:healthy] {
		sum.add(x)
	}
	s.Center, s.Scale, s.Sigmas, s.Healthy, s.rate = sum.mean, max(least, sum.scale()), sum.limit(rate), healthy, rate
	return s
}

const (
	sameValue = 1e-9 // on the logarithmic scale: beneath lies the noise of the arithmetic
	mostStep  = 0.1  // on the logarithmic scale: what lies further apart is no step of an instrument
)

// halfStep is half the step of values that were rounded, on the logarithmic scale: a tenth of
// them at least are the same as another, as a few of ten thousand are by chance, and half of
// the smallest distance of the others is how far each may be from what was measured. It is 0
// for values of an instrument that is fine enough. A spread within one step is not seen:
// equal values do not show that the next step is out of reach of healthy nodes.
func halfStep(logs []float64) float64 {
	sorted := slices.Sorted(slices.Values(logs))
	same, step := 0, math.Inf(1)
	for i := 1; i < len(sorted); i++ {
		if d := sorted[i] - sorted[i-1]; d <= sameValue {
			same++
		} else {
			step = min(step, d)
		}
	}
	if 10*same < len(sorted)-1 || same == 0 || step > mostStep {
		return 0
	}
	return step / 2
}

// Outside reports whether a value is not one of a healthy node.
func (s Spread) Outside(log float64) bool { return math.Abs(log-s.Center) > s.Sigmas*s.Scale }

// Finds is how far below where it would be a node must be to be found in 99 of 100 fleets,
// on the logarithmic scale, if a node is off beyond the limit.
func (s Spread) Finds(limit float64) float64 {
	n := float64(s.Healthy)
	return limit + s.Scale*math.Sqrt(1+1/n)*distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.99)
}

// moments are those of a sample (Welford, Technometrics 4, 1962).
type moments struct{ n, mean, squares float64 }

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.squares += d * (x - m.mean)
}

func (m *moments) scale() float64 { return math.Sqrt(m.squares / (m.n - 1)) }

// limit is how many standard deviations one more value of the sample's distribution
// lies from its mean, but for a rate of them.
func (m *moments) limit(rate float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: m.n - 1}.Quantile(1-rate/2) * math.Sqrt(1+1/m.n)
}

// middle is the median of sorted values.
func middle(sorted []float64) float64 { return quantile(sorted, 0.5) }

// quantile interpolates between the order statistics of sorted values (Hyndman and
// Fan, The American Statistician 50, 1996, definition 7).
func quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
