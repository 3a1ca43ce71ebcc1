package stats

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
)

// Verdict is what may be said of a candidate against the reference.
type Verdict string

const (
	Better     Verdict = "better"      // the interval lies on the good side of 1
	NoWorse    Verdict = "no worse"    // it does not, but what it reaches on the bad side is within the margin
	Worse      Verdict = "worse"       // it lies on the bad side of 1, and not within the margin
	CannotTell Verdict = "cannot tell" // none of these

	// Rows that are not judged.
	Reference Verdict = "reference"  // what the others are compared with
	NotRanked Verdict = "not ranked" // boundary, origin, grade or rules forbid it
)

const (
	published    = 5    // sessions a side that a publication needs
	mostSessions = 1000 // beyond which nobody will go

	// unseen is the least that stands for what differs between sessions where
	// there is only one: the 95 % half-width of the quotient of two sessions
	// whose coefficient of variation is 1 %, 1.96·√2·1 %, rounded up.
	unseen = 0.03
)

// Decision is a verdict with what would make a better one.
type Decision struct {
	Verdict Verdict
	Margin  float64 // relative, as it was given
	// Sessions is how many more a side would settle what cannot be told, if
	// the figures stay as they are; 1000 is that many or more, 0 none.
	Sessions int
	// Meter is whether the meters keep it open: no number of sessions would
	// settle it, a better meter (or one for both) could.
	Meter bool
	Why   string // for people; plus is the better side, whichever way the figure is
}

// Decide judges a candidate by its quotient over the reference. index holds
// everything that is uncertain; statistical is the same figure before
// [Interval.Widen]. Whichever way the figure is better, margin is how much
// worse, relative, is still no worse; it is fixed before the figures are
// known, and at least 0. adjustedP is of the hypothesis of no difference, or NaN if none was
// tested: better and worse need 0.05 of it.
//
// A side with one session shows nothing of what differs between sessions. The
// margin, or 3 % if it is less, then stands in for it in quadrature: a large
// difference is found all the same, a small one is not believed, and equal
// figures are not yet no worse.
func Decide(index, statistical Interval, higherIsBetter bool, margin float64, sessionsA, sessionsB int, adjustedP float64) Decision {
	if !higherIsBetter {
		index, statistical = index.Inverse(), statistical.Inverse()
	}
	fewest := min(sessionsA, sessionsB)
	if fewest < 2 {
		apart := max(margin/(1-margin), unseen)
		index, statistical = index.Widen(apart), statistical.Widen(apart)
	}
	d := Decision{Verdict: CannotTell, Margin: margin}
	told := !(adjustedP > significance)
	switch {
	case math.IsNaN(index.halfWidth()):
		d.missing(statistical, fewest)
		return d
	case index.Low > 1 && told:
		d.Verdict, d.Why = Better, "all of the interval is on the better side"
	case index.Low > 1-margin:
		d.Verdict, d.Why = NoWorse, fmt.Sprintf("the interval stays within the margin of %.2g %% on the worse side", 100*margin)
	case index.High < 1 && told:
		d.Verdict, d.Why = Worse, "all of the interval is on the worse side"
	default:
		d.open(index, statistical, sessionsA, sessionsB, adjustedP)
	}
	if !told && (index.Low > 1 || index.High < 1) {
		d.Why += fmt.Sprintf("; among the other rows a difference like this is not rare (adjusted p = %.2g)", adjustedP)
	}
	if fewest < 2 {
		d.Why += "; with one session a side, what differs between sessions is assumed, not seen"
	}
	return d
}

// missing says why there is no interval.
func (d *Decision) missing(statistical Interval, fewest int) {
	switch {
	case !(statistical.Value > 0) || math.IsInf(statistical.Value, 0):
		d.Why = "there is no figure to compare"
	case math.IsNaN(statistical.halfWidth()):
		d.Sessions = max(1, published-fewest)
		d.Why = fmt.Sprintf("too few windows for an interval: %s would give one", more(d.Sessions))
	default:
		d.Meter, d.Why = true, "the uncertainty of the meters is not known"
	}
}

// open says what would settle a verdict, if the figure stays as it is: the
// half-width has to come under its distance from 1 or, on the good side, from
// 1 − margin. What repeats show of it shrinks with the sessions by the √n law
// and by Student's t, what the meters bring does not.
func (d *Decision) open(index, statistical Interval, a, b int, adjustedP float64) {
	x := math.Log(index.Value)
	distance := max(math.Abs(x), x-math.Log1p(-d.Margin))
	h := statistical.halfWidth()
	meter := math.Sqrt(max(0, index.halfWidth()*index.halfWidth()-h*h))
	if index.High < 1 { // the p-value keeps it open: as if the interval were as wide as that is large
		h = distance * normal(significance) / normal(adjustedP)
	}
	if meter >= distance {
		if d.Meter = meter > 0; d.Meter {
			d.Why = fmt.Sprintf("the meters are uncertain by %.2g %%, the difference is %+.2g %% (plus is better): more sessions would not help, a better meter, or the same for both, would",
				100*meter, 100*(index.Value-1))
		} else {
			d.Why = "there is no difference to find, and no margin"
		}
		return
	}
	remedy := "settle it if the figures stay as they are"
	if min(a, b) < 2 {
		d.Sessions, remedy = published-min(a, b), "show what differs between them"
	} else {
		width := func(more int) float64 {
			a, b := float64(a+more), float64(b+more)
			return results.Student(a+b-2) * math.Sqrt(1/a+1/b)
		}
		d.Sessions = 1 + sort.Search(mostSessions-1, func(k int) bool {
			return math.Hypot(meter, h*width(k+1)/width(0)) < distance
		})
	}
	d.Why = fmt.Sprintf("the interval reaches from %+.2g %% to %+.2g %% (plus is better): %s would %s",
		100*(index.Low-1), 100*(index.High-1), more(d.Sessions), remedy)
}

// normal is how many standard deviations have the two-sided p.
func normal(p float64) float64 { return distuv.UnitNormal.Quantile(1 - p/2) }

// more counts sessions in words.
func more(n int) string {
	switch {
	case n >= mostSessions:
		return fmt.Sprintf("%d more sessions a side, or more,", mostSessions)
	case n == 1:
		return "one more session a side"
	}
	return fmt.Sprintf("%d more sessions a side", n)
}
