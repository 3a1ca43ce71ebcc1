package site

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// shape is how values lie about their median, by L-moments (Hosking, J. R. Stat. Soc. B
// 52, 1990), which single values hardly move: the ratios are bounded by 1.
type shape struct {
	n        int
	median   float64
	scale    float64 // second L-moment
	skew     float64 // L-skewness; 0 for a symmetric distribution
	kurtosis float64 // L-kurtosis: 0.1226 for a normal, 0 for a uniform, 0.194 for Student's t with 5 degrees of freedom
	below    half    // values less than the median
	above    half
}

// half is one side of a distribution, as half of a Student's t about the median.
type half struct {
	freedom, scale float64
}

const (
	fewestShape = 16   // values from which on the tests have their size
	shapeLevel  = 0.01 // size of each of the tests
	normalL4    = 0.1226
)

// shapeOf returns the shape of values.
func shapeOf(values []float64) shape {
	xs := slices.Sorted(slices.Values(values))
	s := shape{n: len(xs), median: middle(xs)}
	l := lmoments(xs)
	s.scale, s.skew, s.kurtosis = l[1], l[2]/l[1], l[3]/l[1]
	side := func(sign float64) half {
		var both []float64
		for _, x := range xs {
			if d := sign * (x - s.median); d > 0 {
				both = append(both, -d, d)
			}
		}
		slices.Sort(both)
		return halfOf(both)
	}
	s.below, s.above = side(-1), side(1)
	return s
}

// lmoments are the first four sample L-moments of sorted values, by probability-weighted
// moments (Hosking, equation 2.3 and after).
func lmoments(sorted []float64) (l [4]float64) {
	n := float64(len(sorted))
	var b [4]float64
	for i, x := range sorted {
		w := x / n
		for r := range b {
			b[r] += w
			w *= (float64(i) - float64(r)) / (n - 1 - float64(r))
		}
	}
	return [4]float64{b[0], 2*b[1] - b[0], 6*b[2] - 6*b[1] + b[0], 20*b[3] - 30*b[2] + 12*b[1] - b[0]}
}

// errors are the standard deviations of both ratios of a normal sample, which are nearly
// normal themselves (Harri and Coble, J. Applied Statistics 38, 2011).
func (s *shape) errors() (skew, kurtosis float64) {
	n := float64(s.n)
	return math.Sqrt((0.1866 + 0.8/n) / n), math.Sqrt((0.0883 + 0.68/n + 4.9/(n*n)) / n)
}

// kind names a shape that is not that of a normal sample; empty otherwise. The tests are
// those of Harri and Coble. By simulation of 100,000 nodes the size of each is 1 % from 16
// nodes on. docs/fleet.md has what they find.
func (s *shape) kind() string {
	if s.n < fewestShape {
		return ""
	}
	one := distuv.UnitNormal.Quantile(1 - shapeLevel)
	skew, tails := s.errors()
	skew, tails = s.skew/skew, (s.kurtosis-normalL4)/tails
	switch two := distuv.UnitNormal.Quantile(1 - shapeLevel/2); {
	case skew < -two:
		return SkewedLow
	case skew > two:
		return SkewedHigh
	case tails > one:
		return HeavyTails
	case tails < -one:
		return Flat
	}
	return ""
}

// atMost bounds the part of healthy values that lies further than low below or high above:
// with the longest tails that the values do not exclude. These are halves of a Student's t
// of 2 degrees of freedom at least, one longer than the other, with the L-kurtosis and the
// L-skewness at the end of an interval of 99.8 %. By simulation it is on average no less than
// what is called falsely, for the shapes of docs/fleet.md.
func (s *shape) atMost(low, high float64) float64 {
	two := distuv.UnitNormal.Quantile(1 - shapeLevel/10)
	skew, kurtosis := s.errors()
	nu := freedomOf(s.kurtosis + two*kurtosis)
	scale, most := s.scale/studentScale(nu), 0.0
	for _, odd := range []float64{s.skew - two*skew, s.skew + two*skew} {
		most = max(most, half{nu, scale * (1 - odd)}.beyond(low)+half{nu, scale * (1 + odd)}.beyond(high))
	}
	return most
}

// studentL has of Student's t the inverse of its degrees of freedom and its L-kurtosis.
var studentL = [][2]float64{{0, normalL4}, {1.0 / 30, 0.13234}, {1.0 / 20, 0.13749}, {1.0 / 15, 0.14284}, {1.0 / 10, 0.15417}, {1.0 / 8, 0.16323}, {1.0 / 6, 0.17950}, {1.0 / 5, 0.19362}, {1.0 / 4, 0.21680}, {1.0 / 3, 0.26120}, {1 / 2.5, 0.30245}, {1.0 / 2, 0.37500}}

// halfOf fits a Student's t to sorted values that are symmetric about 0, by their second
// and fourth L-moments.
func halfOf(both []float64) half {
	if len(both) < 8 {
		return half{1e6, 0}
	}
	l := lmoments(both)
	nu := freedomOf(l[3] / l[1])
	return half{nu, l[1] / studentScale(nu)}
}

// freedomOf are the degrees of freedom of a Student's t with an L-kurtosis: from 2 to a
// million.
func freedomOf(kurtosis float64) float64 {
	for i, to := range studentL[1:] {
		if from := studentL[i]; kurtosis < to[1] {
			return 1 / max(1e-6, from[0]+(to[0]-from[0])*(kurtosis-from[1])/(to[1]-from[1]))
		}
	}
	return 1 / studentL[len(studentL)-1][0]
}

// studentScale is the second L-moment of Student's t.
func studentScale(nu float64) float64 {
	if nu > 1e3 {
		return 1 / math.Sqrt(math.Pi)
	}
	log := func(x float64) float64 { v, _ := math.Lgamma(x); return v }
	return math.Pi * math.Exp((6-4*nu)*math.Ln2+0.5*math.Log(nu)+log(2*nu-2)-4*log(nu/2))
}

// beyond is the part of all values that lies further than d on this side of the median.
func (h half) beyond(d float64) float64 {
	if !(h.scale > 0) {
		return 0
	}
	return distuv.StudentsT{Sigma: h.scale, Nu: h.freedom}.Survival(d)
}

// limit is the distance from the median beyond which a part of all values lies.
func (h half) limit(part float64) float64 {
	if !(h.scale > 0) {
		return 0
	}
	return distuv.StudentsT{Sigma: h.scale, Nu: h.freedom}.Quantile(1 - part)
}

// Tails are how far healthy nodes reach where their values are not spread normally.
type Tails struct {
	Kind string // one of the shapes; empty where a normal sample would look so
	// Low and High are the distances from the centre, on the logarithmic scale, beyond
	// which no more healthy nodes lie than of a normal sample beyond its limit: no less
	// than the limit.
	Low, High float64
	Falsely   float64 // part of the healthy nodes that lies beyond the limit
	// AtMost is the part that lies beyond Low and High with the longest tails that the
	// values do not exclude, whatever they show; NaN where they have no spread.
	AtMost float64
}

// Shapes that are not normal.
const (
	SkewedLow  = "a tail to low values"
	SkewedHigh = "a tail to high values"
	HeavyTails = "heavy tails"
	Flat       = "flat" // as of two levels that lie close together
)

// TailsOf looks at the healthy values of a spread, which [SpreadOf] puts first. Each side is
// taken to be half of a Student's t about the median. Values that lie within what follows
// from the nearer ones belong to the healthy ones again, until there are no more of them.
//
// A node is off beyond limit, no less than that of a normal sample.
func TailsOf(values []float64, s Spread, limit float64) Tails {
	t := Tails{Low: limit, High: limit, AtMost: math.NaN()}
	if !(s.Scale > 0) {
		return t
	}
	of := shapeOf(values[:s.Healthy])
	t.Kind = of.kind()
	t.fit(values, s, limit, &of)
	if t.Falsely <= falseRate { // the rate holds whatever the shape
		t.Low, t.High = limit, limit
	}
	t.AtMost = of.atMost(t.Low, t.High)
	return t
}

// fit sets how far the tails reach, of the shape of the values that it leaves.
func (t *Tails) fit(values []float64, s Spread, limit float64, of *shape) {
	for n := of.n; ; n = of.n {
		if kind := of.kind(); kind == "" || kind == Flat {
			return
		}
		off := of.median - s.Center
		t.Low, t.High = max(limit, of.below.limit(s.rate/2)-off), max(limit, of.above.limit(s.rate/2)+off)
		t.Falsely = of.below.beyond(limit+off) + of.above.beyond(limit-off)
		more := make([]float64, 0, len(values))
		for _, x := range values {
			if x-s.Center >= -t.Low && x-s.Center <= t.High {
				more = append(more, x)
			}
		}
		if len(more) <= n {
			return
		}
		*of = shapeOf(more)
	}
}
