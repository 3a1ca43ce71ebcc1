package results

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"
)

// The values that Garwood's interval is usually held against, and the bounds as
// gonum's quantiles of chi-squared give them.
func TestPoissonInterval(t *testing.T) {
	for n, want := range map[uint64][2]float64{0: {0, 3.6889}, 1: {0.0253, 5.5716}, 10: {4.7954, 18.3904}, 100: {81.3640, 121.6268}, 1000: {938.97, 1063.95}} {
		low, high := PoissonInterval(n)
		require.InDelta(t, want[0], low, 5e-3, n)
		require.InDelta(t, want[1], high, 5e-3, n)
	}
	for n := uint64(0); n < 1e9; n = n*5/3 + 1 {
		low, high := PoissonInterval(n)
		require.InEpsilon(t, distuv.ChiSquared{K: 2*float64(n) + 2}.Quantile(0.975)/2, high, 1e-8, n)
		require.InDelta(t, 0.025, PoissonAtMost(n, high), 1e-7, n)
		if n > 0 {
			require.InEpsilon(t, distuv.ChiSquared{K: 2 * float64(n)}.Quantile(0.025)/2, low, 1e-8, n)
			require.InDelta(t, 0.975, PoissonAtMost(n-1, low), 1e-7, n)
		}
	}
	// How many shares a half-width takes, by the normal law.
	for n, half := range map[uint64]float64{1537: 0.05, 9604: 0.02, 38416: 0.01} {
		low, high := PoissonInterval(n)
		require.InDelta(t, half, (high-low)/2/float64(n), half*1e-2)
	}
}

func TestPoissonProbability(t *testing.T) {
	for _, c := range []struct {
		k             uint64
		mean, p, near float64
	}{
		// The bounds of the exact 95 % interval (Garwood 1936) have tails of 2.5 %.
		{1, 0.0253, 0.05, 2e-3}, {1, 5.5716, 0.05, 1e-4},
		{10, 4.7954, 0.05, 1e-4}, {10, 18.3904, 0.05, 1e-4},
		{100, 81.3640, 0.05, 1e-4}, {100, 121.6268, 0.05, 1e-4},
		{1000, 938.97, 0.05, 1e-3}, {1000, 1063.95, 0.05, 1e-3},
		// Nothing where something was due: 2·exp(-mean).
		{0, 3.6889, 0.05, 1e-4}, {0, 20, 2 * 2.061153622e-9, 1e-9}, {0, 800, 0, 0},
		// Far from small means, by hand: 2·exp(-1)·(1/12! + 1/13! + …).
		{12, 1, 1.6632215e-9, 1e-6},
		// The normal law's six sigma, 9.8659e-10, on both sides of a large mean.
		{10_000_600_000, 1e10, 2 * 9.8659e-10, 2e-3}, {9_999_400_000, 1e10, 2 * 9.8659e-10, 2e-3},
		{1000, 1000, 1, 0}, {999, 1000, 1, 0.02}, {0, 0.1, 1, 0},
		{0, 0, 1, 0}, {1, 0, 0, 0}, {1_000_000, 1, 0, 0}, {1, 1e6, 0, 0},
	} {
		require.InDelta(t, c.p, PoissonProbability(c.k, c.mean), c.near*c.p, "%d at mean %v", c.k, c.mean)
	}
}

// The incomplete gamma function agrees where it is good.
func TestPoissonProbabilityByGamma(t *testing.T) {
	for _, mean := range []float64{0.01, 0.7, 3, 40, 1000, 20000} {
		for sigmas := -8.0; sigmas <= 8; sigmas++ {
			k := math.Round(mean + sigmas*math.Sqrt(mean))
			if k < 0 {
				continue
			}
			tail := mathext.GammaIncRegComp(k+1, mean)
			if k >= mean {
				tail = mathext.GammaIncReg(k, mean)
			}
			require.InEpsilon(t, min(1, 2*tail), PoissonProbability(uint64(k), mean), 1e-3, "%v at mean %v", k, mean)
		}
	}
}
