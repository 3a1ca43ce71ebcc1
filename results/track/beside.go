package track

import (
	"math"
	"slices"

	"github.com/perwatt/perwatt/results/store"
)

// Siblings help to attribute a change to a node or to its group: most show that
// they moved too, or did not, without an alarm of their own.

// Beside tells which siblings of a node moved with it at a change.
type Beside struct {
	Moved []string // names of those that moved likewise, detected there or not
	Still int      // number of those that did not move
}

// plainly is the difference of two squared deviations at which one is 20 times
// as likely as the other.
var plainly = 2 * math.Log(20)

// askSiblings fills in Beside for every change of a group that may still move.
func askSiblings(group []Judged, night int) {
	of := map[store.Key][]*Judged{}
	for i := range group {
		k := sibling(group[i].Key)
		of[k] = append(of[k], &group[i])
	}
	for i := range group {
		j := &group[i]
		siblings := of[sibling(j.Key)]
		for k := range j.Changes {
			c := &j.Changes[k]
			if len(siblings) < 2 || night-c.Night > Horizon {
				continue
			}
			var b Beside
			for _, s := range siblings {
				if s == j {
					continue
				}
				switch moved, still := s.went(c); {
				case moved:
					b.Moved = append(b.Moved, s.Key.Node)
				case still:
					b.Still++
				}
			}
			if j.Beside == nil {
				j.Beside = map[int]Beside{}
			}
			j.Beside[c.Night] = b
		}
	}
}

// went reports whether a series made the step of a sibling's change, or did not
// move. With few or noisy nights it reports neither.
func (j *Judged) went(c *Change) (moved, still bool) {
	if slices.ContainsFunc(j.Changes, func(o Change) bool { return o.near(c) }) {
		return true, false
	}
	w := j.walk(Past{Changes: j.Changes})
	i, at := len(w.nights)-1, w.from(c.Night)
	if at > i || w.epoch(at) != w.epoch(i) {
		return false, false
	}
	levels := w.levels(w.epochs[w.epoch(i)], i)
	base := max(levels[0], i-Memory+1)
	seen := &w.own
	if seen.see(w.nights[base:i+1], base, levels, c.Controlled, at-base); at-base < seen.level+shortest || seen.freedom() < young {
		return false, false
	}
	f := seen.fit(at - base)
	as, not := (f.size-math.Log(c.Size.Value))/f.error, f.size/f.error
	return not*not-as*as > plainly, as*as-not*not > plainly
}
