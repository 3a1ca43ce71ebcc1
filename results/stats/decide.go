package stats

import (
	"fmt"
	"math"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
)

// Verdict is the conclusion about a candidate, compared with the reference.
type Verdict string

const (
	Better     Verdict = "better"      // the whole interval lies on the better side of 1
	NoWorse    Verdict = "no worse"    // it does not, but no part of it is worse than the margin
	Worse      Verdict = "worse"       // the whole interval lies on the worse side of 1, and not within the margin
	CannotTell Verdict = "cannot tell" // none of these

	// Rows that are not judged.
	Reference Verdict = "reference"  // what the others are compared with
	NotRanked Verdict = "not ranked" // boundary, origin, grade or rules forbid it
)

// Reason is why a verdict is what it is, or why there is none. [Decision.Why]
// is the same as a text, with numbers.
type Reason string

const (
	// A row is not ranked.
	NoPower     Reason = "no-power"     // no session has watts
	NotMeasured Reason = "not-measured" // the watts are modelled or declared
	BreaksRules Reason = "breaks-rules" // a session breaks the rules of its set
	MixedMeters Reason = "mixed-meters" // its sessions differ in boundary or origin
	NoReference Reason = "no-reference" // the reference has no figure of this boundary and grade

	// A verdict.
	BetterSide   Reason = "better-side"   // the interval lies on the better side of 1
	WithinMargin Reason = "within-margin" // the interval stays within the margin
	WorseSide    Reason = "worse-side"    // the interval lies on the worse side of 1

	// No verdict yet.
	NoFigure        Reason = "no-figure"
	FewWindows      Reason = "few-windows"      // too few for an interval
	AccuracyUnknown Reason = "accuracy-unknown" // of a meter
	MeterLimited    Reason = "meter-limited"    // the meters are less certain than the difference is large
	NoDifference    Reason = "no-difference"    // the figures are equal, and there is no margin
	WideInterval    Reason = "wide-interval"    // the interval reaches to both sides: more sessions narrow it
)

const (
	published    = 5    // sessions a side that a publication needs
	mostSessions = 1000 // a larger number is not worked out

	// unseen is the least relative half-width that is assumed for the spread
	// between sessions where there is only one: the 95 % half-width of the
	// quotient of two sessions whose coefficient of variation is 1 %,
	// 1.96·√2·1 %, rounded up.
	unseen = 0.03
)

// Decision is a verdict, its reason, and what would lead to a better one.
type Decision struct {
	Word   Verdict `json:"word"`
	Reason Reason  `json:"reason,omitempty"`
	// Why is the reason for people. In its percentages plus is the better side,
	// whether more or less of the figure is better.
	Why string `json:"why,omitempty"`
	// Sessions is how many more a side would lead to a verdict, if the figures
	// stay as they are: 0 if none would, 1000 for that many or more.
	Sessions int `json:"sessions,omitempty"`
	// Meter is set where a better meter, or one meter for both sides, would lead
	// to a verdict and no number of sessions would.
	Meter bool `json:"meter,omitempty"`
}

// Decide judges a candidate by its quotient over the reference. index holds
// everything that is uncertain; statistical is the same figure before
// [Interval.Widen]. margin is how much worse, relative, still counts as no
// worse, in whichever direction the figure is better: at least 0, and fixed
// before the figures are known. adjustedP is the p-value of the hypothesis that
// there is no difference, or NaN if that was not tested: better and worse need
// at most 0.05.
//
// One session shows nothing of the spread between sessions. For a side with one,
// the margin or 3 %, whichever is larger, is added in quadrature instead: a
// large difference is still found, a small one is not believed, and equal
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
	var d Decision
	significant := !(adjustedP > significance)
	switch {
	case math.IsNaN(index.halfWidth()):
		return undecidable(statistical, fewest)
	case index.Low > 1 && significant:
		d = Decision{Word: Better, Reason: BetterSide, Why: "all of the interval is on the better side"}
	case index.Low > 1-margin:
		d = Decision{Word: NoWorse, Reason: WithinMargin, Why: fmt.Sprintf("the interval stays within the margin of %.2g %% on the worse side", 100*margin)}
	case index.High < 1 && significant:
		d = Decision{Word: Worse, Reason: WorseSide, Why: "all of the interval is on the worse side"}
	default:
		d = open(index, statistical, margin, sessionsA, sessionsB, adjustedP)
	}
	if !significant && (index.Low > 1 || index.High < 1) {
		d.Why += fmt.Sprintf("; among the other rows a difference like this is not rare (adjusted p = %.2g)", adjustedP)
	}
	if fewest < 2 {
		d.Why += "; with one session a side, what differs between sessions is assumed, not seen"
	}
	return d
}

// undecidable is the decision where there is no interval.
func undecidable(statistical Interval, fewest int) Decision {
	switch {
	case !(statistical.Value > 0) || math.IsInf(statistical.Value, 0):
		return Decision{Word: CannotTell, Reason: NoFigure, Why: "there is no figure to compare"}
	case math.IsNaN(statistical.halfWidth()):
		n := max(1, published-fewest)
		return Decision{Word: CannotTell, Reason: FewWindows, Sessions: n, Why: fmt.Sprintf("too few windows for an interval: %s would give one", more(n))}
	}
	return Decision{Word: CannotTell, Reason: AccuracyUnknown, Meter: true, Why: "the uncertainty of the meters is not known"}
}

// open is the decision where the interval leads to no verdict, with what would
// lead to one if the figure stays as it is: the half-width has to fall below the
// figure's distance from 1 or, on the better side, from 1 − margin. The part of
// it that repeats show falls with the number of sessions by the √n law and by
// Student's t; the part of the meters stays.
func open(index, statistical Interval, margin float64, a, b int, adjustedP float64) Decision {
	x := math.Log(index.Value)
	distance := max(math.Abs(x), x-math.Log1p(-margin))
	h := statistical.halfWidth()
	meter := math.Sqrt(max(0, index.halfWidth()*index.halfWidth()-h*h))
	if index.High < 1 { // the p-value decides: take the interval to be as wide as that value makes it
		h = distance * normal(significance) / normal(adjustedP)
	}
	switch {
	case meter >= distance && meter > 0:
		return Decision{Word: CannotTell, Reason: MeterLimited, Meter: true, Why: fmt.Sprintf("the meters are uncertain by %.2g %%, the difference is %+.2g %% (plus is better): more sessions would not help, a better meter, or the same for both, would",
			100*meter, 100*(index.Value-1))}
	case meter >= distance:
		return Decision{Word: CannotTell, Reason: NoDifference, Why: "there is no difference to find, and no margin"}
	}
	d := Decision{Word: CannotTell, Reason: WideInterval}
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
	return d
}

// normal is the number of standard deviations whose two-sided p-value is p.
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
