package site

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"
)

// Known L-moments (Hosking 1990, table 1): uniform 1/6, 0, 0; exponential 1/2, 1/3, 1/6;
// normal 1/√π, 0, 0.1226. A sample at the quantiles of a distribution has nearly those.
func TestLMoments(t *testing.T) {
	const n = 2000
	for _, c := range []struct {
		name     string
		quantile func(float64) float64
		want     [3]float64
	}{
		{"uniform", func(p float64) float64 { return p }, [3]float64{1.0 / 6, 0, 0}},
		{"exponential", func(p float64) float64 { return -math.Log1p(-p) }, [3]float64{0.5, 1.0 / 3, 1.0 / 6}},
		{"normal", distuv.UnitNormal.Quantile, [3]float64{1 / math.Sqrt(math.Pi), 0, 0.1226}},
		{"Student, 5", distuv.StudentsT{Sigma: 1, Nu: 5}.Quantile, [3]float64{0.69199, 0, 0.1936}},
	} {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = c.quantile((float64(i) + 0.5) / n)
		}
		l := lmoments(xs)
		require.InDelta(t, c.want[0], l[1], 2e-3, c.name)
		require.InDelta(t, c.want[1], l[2]/l[1], 2e-3, c.name)
		require.InDelta(t, c.want[2], l[3]/l[1], 2e-3, c.name)
	}
	for _, nu := range []float64{3, 5, 10} { // the fit finds what it was given
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = distuv.StudentsT{Sigma: 2, Nu: nu}.Quantile((float64(i) + 0.5) / n)
		}
		h := halfOf(xs)
		require.InEpsilon(t, nu, h.freedom, 0.03, "%g", nu)
		require.InEpsilon(t, 2, h.scale, 0.01, "%g", nu)
	}
}

// rates is what happens to the nodes of simulated fleets.
type rates struct {
	falsely float64 // healthy nodes called outliers, in parts of 1
	inTail  float64 // healthy nodes of which it cannot be told
	shaped  float64 // fleets found not to be normal
	found   float64 // of nodes that are lower by what Finds says
	stated  float64 // healthy nodes that are called outliers at most, as it is said
}

func ratesOf(n, nodes int, draw func(*rand.Rand) float64) (r rates) {
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	fleets := max(20, nodes/n)
	logs := make([]float64, n)
	outside := func() (s Spread, t Tails) {
		values := slices.Clone(logs)
		s = SpreadOf(values, 1, halfStep(values))
		return s, TailsOf(values, s, s.Sigmas*s.Scale)
	}
	for range fleets {
		for i := range logs {
			logs[i] = 0.01 * draw(rng)
		}
		s, tails := outside()
		for _, x := range logs {
			switch from := x - s.Center; {
			case from < -tails.Low || from > tails.High:
				r.falsely++
			case s.Outside(x):
				r.inTail++
			}
		}
		if tails.Kind != "" {
			r.shaped++
		}
		r.stated += tails.AtMost
		was := logs[0]
		logs[0] -= s.Finds(tails.Low)
		if s, tails = outside(); logs[0]-s.Center < -tails.Low {
			r.found++
		}
		logs[0] = was
	}
	f := float64(fleets)
	return rates{r.falsely / f / float64(n), r.inTail / f / float64(n), r.shaped / f, r.found / f, r.stated / f}
}

// mixture has two levels so many standard deviations apart, of which the lower has a part.
func mixture(apart, part float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 {
		x := r.NormFloat64()
		if r.Float64() < part {
			x -= apart
		}
		return x
	}
}

// The table in docs/fleet.md is what this prints with PERWATT_LONG=1.
func TestShapesOfHealthyFleets(t *testing.T) {
	sizes, nodes := []int{16, 128, 1000}, 20_000
	if testing.Short() {
		sizes, nodes = []int{16, 256}, 4000
	}
	if os.Getenv("PERWATT_LONG") != "" {
		sizes, nodes = []int{10, 16, 32, 64, 128, 256, 1000, 10_000}, 100_000
	}
	all := slices.Concat(shapes, []struct {
		name string
		draw func(*rand.Rand) float64
	}{{"two levels 4 σ apart, even", mixture(4, 0.5)}, {"two levels 4 σ apart, 1 in 5", mixture(4, 0.2)}})
	for i, shape := range all {
		if i > 0 && testing.Short() && shape.name != "skewed (lognormal, 0.5)" {
			continue
		}
		t.Run(shape.name, func(t *testing.T) {
			for _, n := range sizes {
				r := ratesOf(n, nodes, shape.draw)
				t.Logf("n %6d: of 1000 healthy nodes %6.2f outliers (at most %.2g are stated), %6.2f cannot tell; not normal %5.1f %%; found %5.1f %%",
					n, 1000*r.falsely, 1000*r.stated, 1000*r.inTail, 100*r.shaped, 100*r.found)
				name := fmt.Sprintf("n = %d", n)
				// Of so many nodes what is stated, and four of the standard deviations of that count.
				count := float64(max(20, nodes/n) * n)
				require.LessOrEqual(t, r.falsely*count, r.stated*count+4*math.Sqrt(r.stated*count), name)
				switch {
				case shape.name == "normal":
					most := 1e-4 * count
					require.LessOrEqual(t, r.falsely*count, most+4*math.Sqrt(most)+1, name)
					require.Less(t, r.shaped, 0.2, name)
					require.Greater(t, r.found, 0.9, name)
				case n >= 1000 && shape.name == "heavy-tailed (Student, 5)", n >= 256 && shape.name == "skewed (lognormal, 0.5)":
					require.Greater(t, r.shaped, 0.9, name)
					require.Greater(t, r.inTail, 2*r.falsely, name)
				}
			}
		})
	}
}
