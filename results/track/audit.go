package track

import (
	"context"
	"math"

	"github.com/perwatt/perwatt/results/stats"
	"github.com/perwatt/perwatt/results/store"
	"gonum.org/v1/gonum/stat/distuv"
)

// Audit tests the detectors on the history itself: how often they report a
// change where neither the code nor a known part of the machine changed, and
// whether they report as many improvements as regressions, as noise would give.
type Audit struct {
	Pairs    int            // neighbouring nights of one revision and epoch (A/A)
	Guard    int            // of these, the ones with Mood [Suspicious]
	Nights   int            // in all
	Raised   int            // changes without a change of revision and without an event
	PerYear  stats.Interval // Raised per series and year, 95 % (Garwood)
	Rate     stats.Interval // Guard over Pairs, 95 % (Clopper and Pearson)
	Worse    int            // changes for the worse, in figures with a direction
	Better   int
	Symmetry float64 // two-sided p-value of so uneven a split
}

// NewAudit counts over every series of a store.
func NewAudit(ctx context.Context, x *store.Index, opt Options) (Audit, error) {
	var a Audit
	_, err := Now(ctx, x, opt, func(g *Group) error {
		for _, j := range g.Judged {
			a.Add(j.Series, j.Changes)
		}
		return ctx.Err()
	})
	return a, err
}

// Add adds a series with all its changes.
func (a *Audit) Add(s *Series, changes []Change) {
	w := s.walk(Past{})
	for i := range w.nights {
		w.step(i)
		if i == 0 || w.nights[i-1].revision != w.nights[i].revision || w.epoch(i-1) != w.epoch(i) || i-w.epochs[w.epoch(i)] < young {
			continue
		}
		a.Pairs++
		if w.watch.Mood == Suspicious {
			a.Guard++
		}
	}
	a.Nights += len(w.nights)
	for _, c := range changes {
		if c.Event == nil && c.LastGood == c.FirstBad {
			a.Raised++
		}
		switch {
		case s.Better == "":
		case (c.Size.Value > 1) == (s.Better == Lower):
			a.Worse++
		default:
			a.Better++
		}
	}
	years := float64(a.Nights) / 365
	a.PerYear = stats.Interval{Value: float64(a.Raised) / years, Low: 0, High: garwood(a.Raised) / years}
	if a.Raised > 0 {
		a.PerYear.Low = distuv.Gamma{Alpha: float64(a.Raised), Beta: 1}.Quantile(0.025) / years
	}
	a.Rate = proportion(a.Guard, a.Pairs)
	a.Symmetry = sign(a.Worse, a.Better)
}

// garwood returns the upper end of the exact interval of a Poisson count.
func garwood(n int) float64 { return distuv.Gamma{Alpha: float64(n) + 1, Beta: 1}.Quantile(0.975) }

func proportion(k, n int) stats.Interval {
	if n == 0 {
		return stats.Interval{Value: nan, Low: nan, High: nan}
	}
	i := stats.Interval{Value: float64(k) / float64(n), Low: 0, High: 1}
	if k > 0 {
		i.Low = distuv.Beta{Alpha: float64(k), Beta: float64(n-k) + 1}.Quantile(0.025)
	}
	if k < n {
		i.High = distuv.Beta{Alpha: float64(k) + 1, Beta: float64(n - k)}.Quantile(0.975)
	}
	return i
}

// sign returns the two-sided p-value of the sign test.
func sign(a, b int) float64 {
	n := a + b
	if n == 0 {
		return 1
	}
	return math.Min(1, 2*distuv.Binomial{N: float64(n), P: 0.5}.CDF(float64(min(a, b))))
}
