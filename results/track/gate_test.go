package track

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/store"
)

// gated judges the nights from first to last of a series, as a job does that
// remembers only what the night before found, and returns those that fail the
// gate.
func gated(s *Series, rules *Rules, first, last int, each func(night int, j *Judged)) (failed []int) {
	past, upto := Past{}, Never
	for night := first; night <= last; night++ {
		seen := *s
		seen.Points = slices.DeleteFunc(slices.Clone(s.Points), func(p Point) bool { return p.Night > night })
		j := Judge(&seen, past, upto, night)
		past, upto = j.Before, night-1
		r := &Report{Night: night, rules: rules, Groups: []Group{{Judged: []Judged{j}}}, Findings: Findings([]Judged{j})}
		if r.Fails() {
			failed = append(failed, night)
		}
		if each != nil {
			each(night, &j)
		}
	}
	return failed
}

// stepped is a series of so many nights of which some before the number at, and
// all from that on, are off by a step for the worse.
type stepped struct {
	name         string
	better       Direction
	before       int // nights
	spread, step float64
	least        float64
	missing      []int // nights after the step without a session
	sessions     int   // of a night; 0 is one
}

const watched10 = 10 // nights after the step

func (c stepped) series(rng *rand.Rand) *Series {
	s := &Series{Better: c.better, Key: store.Key{Metric: results.Throughput}}
	step := math.Log1p(-c.step)
	if c.better == Lower {
		s.Key.Metric, step = results.Power, -step
	}
	for n := range c.before + watched10 {
		if slices.Contains(c.missing, n-c.before) {
			continue
		}
		level := math.Log(1e9)
		if n >= c.before {
			level += step
		}
		for i := range max(1, c.sessions) {
			s.Points = append(s.Points, Point{Night: n, Value: math.Exp(level + c.spread*rng.NormFloat64()), Control: nan, Record: fmt.Sprintf("%06d.%d", n, i)})
		}
	}
	return s
}

// detectable is the least step, on the log scale, that ten nights show in 99 %
// of series after so many nights: three spreads of a night after half a year, of
// which the step takes its ten nights' share, and more where the spread, and how
// much nights owe each other, is known from few. (By power: an alarm at p =
// 2e-5 to 6e-5 is 4.2 standard errors, and 2.3 more are 99 %; the error of ten
// nights after 150 is 0.33 spreads. What short histories cost was measured.)
func detectable(before int, spread float64) float64 { return (2.5 + 80/float64(before)) * spread }

// anyStep draws one of all that the gate may see.
func anyStep(rng *rand.Rand) stepped {
	among := func(from, to float64) float64 { return from * math.Pow(to/from, rng.Float64()) }
	c := stepped{better: Higher, before: int(among(8, 160)), spread: among(0.0005, 0.05), step: among(0.01, 0.5)}
	if rng.IntN(2) == 0 {
		c.better = Lower
	}
	if rng.IntN(4) > 0 {
		c.least = c.step / 2 * rng.Float64()
	}
	if rng.IntN(4) == 0 {
		c.missing = []int{rng.IntN(4)}
	}
	c.sessions = max(1, rng.IntN(6)-2)
	return c
}

func many(few int) int {
	if n, err := strconv.Atoi(os.Getenv("PERWATT_SERIES")); err == nil {
		return n
	}
	if testing.Short() {
		return few / 4
	}
	return few
}

// each calls f with as many numbers as there are series, in parallel.
func each(series int, f func(i int)) {
	var wg sync.WaitGroup
	for part := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := part; i < series; i += runtime.GOMAXPROCS(0) {
				f(i)
			}
		})
	}
	wg.Wait()
}

// A step fails one night's gate, and no interval that was told of it, on any
// night, excludes it more often than it says.
func TestGateOnce(t *testing.T) {
	series := many(200)
	var mu sync.Mutex
	var shown, missed [watched10]int
	var once, feasible, twice int
	each(series, func(i int) {
		rng := rand.New(rand.NewPCG(uint64(i), 11))
		c := anyStep(rng)
		s := c.series(rng)
		truth := 1 - c.step
		if c.better == Lower {
			truth = 1 / truth
		}
		var last Past
		failed := gated(s, &Rules{Least: c.least}, c.before, c.before+watched10-1, func(night int, j *Judged) {
			mu.Lock()
			defer mu.Unlock()
			for _, x := range j.Changes {
				if x.Reached[0].Night >= c.before {
					shown[night-c.before]++
					if x.Size.Low > truth || x.Size.High < truth {
						missed[night-c.before]++
					}
				}
			}
			last = j.Past
		})
		full := s.walk(Past{})
		for i := range full.nights {
			full.step(i)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(c.missing) == 0 {
			require.Equal(t, full.Changes, last.Changes, "night by night and at once")
			require.Equal(t, full.Alarms, last.Alarms)
		}
		if -math.Log(1-c.step) >= detectable(c.before, c.spread) {
			feasible++
			if len(failed) == 1 {
				once++
			}
		}
		if len(failed) > 1 {
			twice++
		}
		if len(failed) > 1 || len(failed) == 0 && -math.Log(1-c.step) >= detectable(c.before, c.spread) {
			t.Logf("%+v fails on %v", c, failed)
		}
	})
	t.Logf("%d of %d that can be found fail once; %d of %d more than once; by night told %d, intervals without the truth %d", once, feasible, twice, series, shown, missed)
	require.Greater(t, feasible, series/3)
	require.GreaterOrEqual(t, proportion(once, feasible).High, 0.99)
	require.LessOrEqual(t, proportion(twice, series).Low, 0.01)
	for i := range shown {
		if shown[i] > 0 {
			require.LessOrEqual(t, proportion(missed[i], shown[i]).Low, 0.05, "night %d", i)
		}
	}
}

// Nothing fails the gate where nothing changed, from the first night on,
// more often than a year of it may.
func TestGateQuiet(t *testing.T) {
	series := many(200)
	var mu sync.Mutex
	nights, failed := 0, 0
	each(series, func(i int) {
		rng := rand.New(rand.NewPCG(uint64(i), 12))
		c := anyStep(rng)
		c.step, c.before = 0, 50
		f := gated(c.series(rng), &Rules{}, 0, 59, nil)
		mu.Lock()
		defer mu.Unlock()
		if nights, failed = nights+60, failed+len(f); len(f) > 0 {
			t.Logf("%+v fails on %v", c, f)
		}
	})
	years := float64(nights) / 365
	t.Logf("%d nights of %d failed: %.3f a year", failed, nights, float64(failed)/years)
	if failed > 0 {
		require.LessOrEqual(t, distuv.Gamma{Alpha: float64(failed), Beta: 1}.Quantile(0.025), mostFalse*years)
	}
}

// On a quiet machine it is known which night it is.
func TestGateNight(t *testing.T) {
	for _, c := range []struct {
		stepped
		fails []int // nights after the step
	}{
		{stepped{name: "−8 %, a quiet machine, the rules of track --init", better: Higher, before: 40, spread: 0.0005, step: 0.08, least: 0.01}, []int{3}},
		{stepped{name: "more watts", better: Lower, before: 40, spread: 0.0005, step: 0.08, least: 0.01}, []int{2}},
		{stepped{name: "a half at once, and no more when it is found", better: Higher, before: 40, spread: 0.0005, step: 0.5, least: 0.01}, []int{0}},
		{stepped{name: "twice the watts at once", better: Lower, before: 40, spread: 0.0005, step: 0.5}, []int{0}},
		{stepped{name: "two sessions a night say so at once", better: Higher, before: 40, spread: 0.0005, step: 0.03, sessions: 2}, []int{0}},
		{stepped{name: "under what the rules ask", better: Higher, before: 40, spread: 0.0005, step: 0.08, least: 0.2}, nil},
		{stepped{name: "a half, under what the rules ask", better: Higher, before: 40, spread: 0.0005, step: 0.5, least: 0.6}, nil},
		{stepped{name: "better", better: Higher, before: 40, spread: 0.0005, step: -0.5}, nil},
		{stepped{name: "the night it would be found is missing", better: Higher, before: 40, spread: 0.0005, step: 0.08, missing: []int{3}}, []int{4}},
		{stepped{name: "the first night is missing", better: Higher, before: 40, spread: 0.0005, step: 0.5, missing: []int{0}}, []int{1}},
		{stepped{name: "a half, while it learns", better: Higher, before: 5, spread: 0.0005, step: 0.5}, []int{0}},
		{stepped{name: "the second night ever", better: Higher, before: 1, spread: 0.0005, step: 0.5}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var failed []int
			for _, night := range gated(c.series(rand.New(rand.NewPCG(5, 6))), &Rules{Least: c.least}, 0, c.before+watched10-1, nil) {
				failed = append(failed, night-c.before)
			}
			require.Equal(t, c.fails, failed)
		})
	}
}

// What several figures show on several nights is one finding, and fails once.
func TestFindingFailsOnce(t *testing.T) {
	shown := func(night int, far float64) func(*Series, *Change) {
		return func(_ *Series, c *Change) { c.Reached = []Reach{{night, far}} }
	}
	all := []Judged{
		moved("g", "mining", results.Throughput, 0.95, shown(103, 0.06)),
		moved("g", "mining", results.WorkPerEnergy, 0.95, shown(105, 0.06)),
		moved("g", "mining", results.Power, 1.005, shown(101, 0.006)),
	}
	on := func(rules *Rules, all []Judged) (nights []int) {
		for night := 98; night < 110; night++ {
			r := &Report{Night: night, rules: rules, Findings: Findings(all)}
			if r.Fails() {
				nights = append(nights, night)
			}
		}
		return nights
	}
	require.Equal(t, []int{103}, on(&Rules{Least: 0.01}, all))
	require.Equal(t, []int{103}, on(&Rules{}, all), "watts are no regression of their own where a rate moved")
	require.Equal(t, []int{105}, on(&Rules{Least: 0.01, Limit: []Rule{{Metric: results.Throughput, Least: 0.2}}}, all))
	require.Empty(t, on(&Rules{Least: 0.07}, all))
	all[0].Alarms = []Alarm{{98, 0.5}, {100, 0.95}}
	require.Equal(t, []int{100}, on(&Rules{Least: 0.01}, all), "a night of the new level failed by itself; one before it was another thing")
}

// A night that shows a change is not to be measured again for it.
func TestChangeTellsTheNightThatShowsIt(t *testing.T) {
	s := stepped{better: Higher, before: 45, spread: 0.004, step: 0.08}.series(rand.New(rand.NewPCG(1, 12)))
	var suspicious []int
	failed := gated(s, &Rules{}, 45, 54, func(night int, j *Judged) {
		r := &Report{Night: night, rules: &Rules{}, Groups: []Group{{Judged: []Judged{*j}}}}
		if len(r.Suspicions()) > 0 {
			suspicious = append(suspicious, night)
		}
	})
	require.Equal(t, []int{47}, failed)
	require.Equal(t, []int{45, 46}, suspicious)
}
