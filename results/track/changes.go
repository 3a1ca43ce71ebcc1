package track

import (
	"math"

	"github.com/perwatt/perwatt/results/stats"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	// Horizon is how many measured nights back a change is looked for, and
	// how long its date may still move or it be withdrawn: a night that is
	// added never touches a change dated before the last Horizon nights.
	Horizon = 40

	// Memory is how many measured nights tell what is normal. [Resume] needs
	// so many before the first new one.
	Memory = 180

	// shortest is the least number of nights of a segment: one or two are a
	// spike.
	shortest = 3

	// young is how many nights an epoch must have before it is judged.
	young = 8

	// alarm is the p-value that a new change needs.
	alarm = 2e-5

	// lasting is the p-value that a change needs to be kept, and that a figure
	// needs by itself where it is judged after division by the control.
	lasting = 3e-3

	// floor is the least relative spread of a night: no clock and no meter is
	// better, and a constant series has one.
	floor = 1e-4

	// fence is how many spreads from its four neighbours a night counts.
	fence = 3

	// wary is by how many standard errors more than estimated nights are taken
	// to resemble their neighbours: too little costs false alarms, too much a
	// night or two.
	wary = 0.5
)

// Change is a step of the level.
type Change struct {
	Night    int // the first of the new level
	From, To int // nights among which Night is with 95 %
	// Size is the new level over the old, normalised by the control where
	// there is one, with its 95 % interval.
	Size stats.Interval
	P    float64 // of a step as large at this night, had there been none
	// Event is the known event at which it happened, if any.
	Event *Event
	// LastGood and FirstBad are the revisions before From and at To: the
	// change is of a commit after the first, up to the second. Equal, no
	// commit did it.
	LastGood, FirstBad string
	Record             string // of Night
	// Gradual is whether a slide fits better than a step.
	Gradual bool
}
