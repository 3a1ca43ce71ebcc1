package site

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// shapes are distributions of healthy nodes, scaled to a mean of 0 and a standard
// deviation of 1.
var shapes = []struct {
	name string
	draw func(*rand.Rand) float64
}{
	{"normal", (*rand.Rand).NormFloat64},
	{"uniform", func(r *rand.Rand) float64 { return math.Sqrt(12) * (r.Float64() - 0.5) }},
	{"skewed (lognormal, 0.5)", func(r *rand.Rand) float64 { return (math.Exp(0.5*r.NormFloat64()) - 1.1331) / 0.6039 }},
	{"heavy-tailed (Student, 5)", func(r *rand.Rand) float64 {
		chi := 0.0
		for range 5 {
			z := r.NormFloat64()
			chi += z * z
		}
		return r.NormFloat64() / math.Sqrt(chi/5) / math.Sqrt(5.0/3)
	}},
}

// characteristic is what one fleet after another of n nodes shows, in parts of 1.
type characteristic struct {
	falsely float64 // healthy nodes that are called outliers
	at      float64 // nodes found whose figure is 5 standard deviations below the centre
	best    float64 // of these, by the best test of a node that is known beforehand
	own     float64 // nodes found that are 5 below where they would be, with their own deviation
	masked  float64 // found of one in five nodes that are 8 below where they would be
	nodes   int
}

func characteristicOf(n, nodes, figures int, draw func(*rand.Rand) float64) (c characteristic) {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	logs, buf := make([]float64, n), make([]float64, n)
	spread := func() Spread {
		copy(buf, logs)
		return SpreadOf(buf, figures, halfStep(buf))
	}
	fleets := max(1, nodes/n)
	for range fleets {
		for i := range logs {
			logs[i] = 0.01 * draw(rng)
		}
		s := spread()
		for _, x := range logs {
			if s.Outside(x) {
				c.falsely++
			}
		}
		was := logs[0]
		if logs[0] = -0.05; spread().Outside(logs[0]) {
			c.at++
		}
		var others moments
		for _, x := range logs[1:] {
			others.add(x)
		}
		if math.Abs(-0.05-others.mean) > others.limit(1e-4)*others.scale() {
			c.best++
		}
		if logs[0] = was - 0.05; spread().Outside(logs[0]) {
			c.own++
		}
		logs[0] = was
		bad := n / 5
		for i := range bad {
			logs[i] -= 0.08
		}
		s = spread()
		for i := range bad {
			if s.Outside(logs[i]) {
				c.masked += 1 / float64(bad)
			}
		}
	}
	f := float64(fleets)
	return characteristic{c.falsely / f / float64(n), c.at / f, c.best / f, c.own / f, c.masked / f, fleets * n}
}

// The table in the comment of [Spread] is what this prints with PERWATT_LONG=1.
func TestCharacteristic(t *testing.T) {
	sizes, nodes := []int{5, 8, 16, 100, 1000}, 20_000
	if os.Getenv("PERWATT_LONG") != "" {
		sizes, nodes = []int{5, 8, 16, 32, 64, 80, 100, 128, 256, 1000, 10_000}, 1_000_000
	} else if testing.Short() {
		nodes = 5000
	}
	for i, shape := range shapes {
		if i > 0 && testing.Short() {
			break
		}
		t.Run(shape.name, func(t *testing.T) {
			for _, n := range sizes {
				c := characteristicOf(n, nodes, 1, shape.draw)
				t.Logf("n %6d: false %6.3f per thousand; found at 5 σ %5.1f %% (at best %5.1f %%), 5 σ off %5.1f %%, one in five 8 σ off %5.1f %%",
					n, 1000*c.falsely, 100*c.at, 100*c.best, 100*c.own, 100*c.masked)
				if i > 1 { // the rate is promised for normal values
					continue
				}
				// Of so many nodes 0.1 a thousand, and four of the standard deviations of that count.
				most := 1e-4 * float64(c.nodes)
				require.LessOrEqual(t, c.falsely*float64(c.nodes), most+4*math.Sqrt(most)+1, "n = %d", n)
				require.Greater(t, c.at, c.best-0.12, "n = %d", n)
				if n >= 100 {
					require.GreaterOrEqual(t, c.at, 0.99, "n = %d", n)
					require.GreaterOrEqual(t, c.masked, 0.99, "n = %d", n)
				}
			}
		})
	}
}

// A node that is judged by ten figures is falsely off no more often than by one.
func TestTheRateIsThatOfANode(t *testing.T) {
	one, ten := SpreadOf([]float64{1, 2, 3, 4, 5, 6}, 1, 0), SpreadOf([]float64{1, 2, 3, 4, 5, 6}, 10, 0)
	require.Equal(t, one.Center, ten.Center)
	require.Greater(t, ten.Sigmas, one.Sigmas)
	// Student's t with 5 degrees of freedom at the rate of the comment, two-sided, from
	// its closed form (Abramowitz and Stegun 26.7.3).
	tail := func(x float64) float64 {
		theta := math.Atan(x / math.Sqrt(5))
		c := math.Cos(theta)
		return 1 - 2/math.Pi*(theta+math.Sin(theta)*(c+2.0/3*c*c*c))
	}
	require.InEpsilon(t, falseRate/(1+severalTests/6.0), tail(one.Sigmas/math.Sqrt(1+1.0/6)), 1e-6)
}

func TestEqualValuesHaveNoSpread(t *testing.T) {
	s := SpreadOf([]float64{1, 1, 1, 1, 1, 1, 1, 2}, 1, 0)
	require.Zero(t, s.Scale)
	require.True(t, s.Outside(2))
	require.False(t, s.Outside(1))
	require.True(t, math.IsNaN(SpreadOf([]float64{1, 2, 3, 4}, 1, 0).Scale))
}

// Nodes that differ by the steps in which their meter reads are not outliers: healthy ones
// spread by 1 % whose values are rounded to 1 to 5 %, where the rate of false outliers holds
// as it does for what is not rounded, from 5 nodes on; and one far off is found.
func TestRoundedValues(t *testing.T) {
	for _, step := range []float64{0.01, 0.02, 0.03, 0.05} {
		for _, n := range []int{5, 7, 10, 32} {
			rng := rand.New(rand.NewPCG(uint64(n), 5))
			logs := make([]float64, n)
			falsely, found, fleets := 0, 0, 10_000/n
			outside := func() (s Spread) {
				values := slices.Clone(logs)
				return SpreadOf(values, 1, halfStep(values))
			}
			for range fleets {
				for i := range logs {
					logs[i] = step * math.Round(0.01*rng.NormFloat64()/step)
				}
				s := outside()
				for _, x := range logs {
					if s.Outside(x) {
						falsely++
					}
				}
				if logs[0] = -1; outside().Outside(-1) {
					found++
				}
			}
			most := 2e-4 * float64(fleets*n)
			require.LessOrEqual(t, float64(falsely), most+4*math.Sqrt(most), "steps of %g, n = %d", step, n)
			require.Greater(t, found, fleets*9/10, "steps of %g, n = %d", step, n)
		}
	}
	require.Zero(t, halfStep([]float64{0.1, 0.2, 0.30001}), "no two are the same")
	require.InDelta(t, 0.005, halfStep([]float64{0.02, 0.01, 0.04, 0.02}), 1e-12)
	require.Zero(t, halfStep([]float64{1, 1, 1, 2}), "no instrument is as coarse")
	fine := make([]float64, 1000)
	for i := range fine {
		fine[i] = 1e-5 * float64(i)
	}
	fine[7] = fine[8]
	require.Zero(t, halfStep(fine), "two of a thousand are the same by chance")
}
