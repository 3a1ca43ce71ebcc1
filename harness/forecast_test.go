package harness

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

// play goes through a plan of which each run takes what real says, and calls show with
// the time left as a session predicts it, every second, and the time that it really is.
func play(p *results.Plan, scenarios []Scenario, real func(sc Scenario, round int) time.Duration, show func(left, truth time.Duration)) {
	var f forecast
	var order []Scenario
	var total, at time.Duration
	for round := range p.Rounds {
		for _, sc := range scenarios {
			order = append(order, sc)
			total += real(sc, round)
		}
	}
	for i, sc := range order {
		took := real(sc, i/len(scenarios))
		this, later := f.of(p, sc), f.of(p, order[i+1:]...)
		for t := time.Duration(0); t < took; t += time.Second {
			show(later+max(0, this-t), total-at-t)
		}
		f.learn(p, sc, took)
		at += took
	}
}

// What the presets measure, on a machine on which each phase takes as long as it may, is
// predicted well from the first run on: the time left does not rise by more than a tenth.
func TestForecast(t *testing.T) {
	scenarios := []Scenario{{Name: "idle"}}
	for _, use := range []string{"control", "mining", "compute", "memory"} {
		scenarios = append(scenarios, Scenario{use, []Part{{Use: use, Role: results.Alone}}})
	}
	scenarios = append(scenarios,
		Scenario{"training-gpt-mini", []Part{{Use: "training", Role: results.Alone, Variant: "gpt-mini"}}},
		Scenario{"mullet", []Part{{Use: "training", Role: results.Foreground, Variant: "gpt-mini"}, {Use: "mining", Role: results.Background}}})
	quick := results.Plan{Rounds: 6, Settle: 0.2, Warmup: 0.5, Limit: 0.6, Window: 1.3, Target: true, TargetAlone: true}
	publish := results.Plan{Rounds: 6, Settle: 10, Warmup: 60, Limit: 600, Window: 600, Target: true}
	smoke := results.Plan{Rounds: 1, Settle: 0.1, Warmup: 0.5, Limit: 0.5, Window: 1}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		plan results.Plan
		real func(p *results.Plan, sc Scenario, round int) time.Duration
	}{
		{"smoke", smoke, func(p *results.Plan, sc Scenario, _ int) time.Duration { return phases(p, sc) }},
		{"quick", quick, func(p *results.Plan, sc Scenario, _ int) time.Duration { return phases(p, sc) }},
		{"quick, workers start slowly", quick, func(p *results.Plan, sc Scenario, _ int) time.Duration { return phases(p, sc) + 100*time.Millisecond }},
		{"quick, every run differs by a twentieth", quick, func(p *results.Plan, sc Scenario, _ int) time.Duration {
			return time.Duration(float64(phases(p, sc)) * (0.95 + 0.1*rnd.Float64()))
		}},
		{"publish, never steady", publish, func(p *results.Plan, sc Scenario, _ int) time.Duration { return phases(p, sc) + 20*time.Second }},
		{"publish, steady at once", publish, func(p *results.Plan, sc Scenario, _ int) time.Duration {
			return phases(p, sc) - (p.Limit-p.Warmup).Duration()*time.Duration(min(1, len(sc.Parts)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			took := map[string]time.Duration{} // the same at each call
			real := func(sc Scenario, round int) time.Duration {
				key := fmt.Sprint(sc.Name, round)
				if _, ok := took[key]; !ok {
					took[key] = c.real(&c.plan, sc, round)
				}
				return took[key]
			}
			least, n := time.Duration(1<<62), 0
			play(&c.plan, scenarios, real, func(left, truth time.Duration) {
				n++
				require.LessOrEqual(t, left, least+max(least/10, time.Second), "the time left rises, with %v to go", truth)
				require.GreaterOrEqual(t, left, truth/2-2*time.Second)
				least = min(least, left)
			})
			require.NotZero(t, n)
		})
	}
}

// A phase that takes longer than predicted uses up nothing of the runs after it.
func TestForecastOverrun(t *testing.T) {
	p := results.Plan{Rounds: 3, Settle: 1, Warmup: 1, Limit: 1, Window: 10}
	scenarios := []Scenario{{"mining", []Part{{Use: "mining", Role: results.Alone}}}, {"slow", []Part{{Use: "compute", Role: results.Alone}}}}
	play(&p, scenarios, func(sc Scenario, round int) time.Duration {
		if sc.Name == "slow" && round == 1 {
			return time.Minute
		}
		return phases(&p, sc)
	}, func(left, truth time.Duration) {
		require.Positive(t, left, "with %v to go", truth)
	})
	// The target takes a minute and not what gpt-mini takes: the rounds that follow do too.
	var f forecast
	train := Scenario{"training-x", []Part{{Use: "training", Role: results.Alone, Variant: "x"}}}
	p.Target = true
	f.learn(&p, train, time.Minute)
	require.Equal(t, 2*time.Minute, f.of(&p, train, train))
	require.Equal(t, phases(&p, scenarios[0]), f.of(&p, scenarios[0]), "which says nothing about others")
}
