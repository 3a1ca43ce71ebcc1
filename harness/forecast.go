package harness

import (
	"time"

	"github.com/perwatt/perwatt/results"
)

// forecast predicts how long runs take. A scenario that ran takes as long as it did the
// last time. One that did not takes what its phases may take by the plan, and what a run
// so far took beside its phases: workers start slowly on a busy machine.
type forecast struct {
	took   map[string]time.Duration // by scenario
	beside time.Duration
}

// Of the parts of a run on which the plan says nothing.
const (
	startTime = 500 * time.Millisecond // of the worker of a use
	reachTime = 5 * time.Second        // to the target, by gpt-mini on two cores
)

// reaches reports whether a run trains to the target before its window.
func reaches(p *results.Plan, sc Scenario) bool {
	for _, part := range sc.Parts {
		if p.Target && part.Variant != "" && (part.Role == results.Alone || part.Role == results.Foreground && !p.TargetAlone) {
			return true
		}
	}
	return false
}

// phases is how long the phases of a run may take.
func phases(p *results.Plan, sc Scenario) time.Duration {
	d := (p.Settle + p.Window).Duration()
	if len(sc.Parts) > 0 {
		d += startTime + max(p.Warmup, p.Limit).Duration()
	}
	if reaches(p, sc) {
		d += reachTime
	}
	return d
}

// of predicts runs.
func (f *forecast) of(p *results.Plan, runs ...Scenario) (sum time.Duration) {
	for _, sc := range runs {
		d, ok := f.took[sc.Name]
		if !ok {
			if d = phases(p, sc); len(sc.Parts) > 0 {
				d += f.beside
			}
		}
		sum += d
	}
	return sum
}

// learn takes note of how long a good run took.
func (f *forecast) learn(p *results.Plan, sc Scenario, took time.Duration) {
	if f.took == nil {
		f.took = map[string]time.Duration{}
	}
	f.took[sc.Name] = took
	if by := phases(p, sc); len(sc.Parts) > 0 && !reaches(p, sc) {
		f.beside = min(max(f.beside, took-by), by/2)
	}
}
