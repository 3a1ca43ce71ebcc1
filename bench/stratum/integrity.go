package stratum

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
)

// doubt is the probability below which a result is not put down to chance. Each test of
// an honest device fails with at most this probability each time that it is evaluated.
// At one evaluation a minute, the tests together give one false alarm in some 300
// years.
const doubt = 1e-9

// luck collects by how much shares exceed their difficulty. The digest of an honest
// share is uniform below the target, so ln(achieved difficulty ÷ required difficulty)
// is exponential with mean 1.
type luck struct {
	n     uint64
	sum   float64
	least float64
	cell  [cells]uint64 // by exp(-luck), which is uniform
}

const cells = 16

func (l *luck) add(x float64) {
	if l.n == 0 || x < l.least {
		l.least = x
	}
	l.n++
	l.sum += x
	l.cell[min(cells-1, int(math.Exp(-x)*cells))]++
}

// tests returns the probabilities that an honest device deviates as much in the least,
// the mean and the spread of its luck. They are 1 where there are too few shares.
func (l *luck) tests() (least, mean, spread float64) {
	if l.n == 0 {
		return 1, 1, 1
	}
	n := float64(l.n)
	least = math.Exp(-n * l.least)
	mean = results.PoissonProbability(l.n, l.sum)
	if each := n / cells; each >= 10 {
		x := 0.0
		for _, c := range l.cell {
			d := float64(c) - each
			x += d * d / each
		}
		spread = distuv.ChiSquared{K: cells - 1}.Survival(x)
	} else {
		spread = 1
	}
	return least, mean, spread
}

// pace tests the times of shares. Honest shares arrive at random: each share of two
// neighbouring spans of equal length falls into either with probability ½, whatever the
// rate. The squared difference of the two counts over their sum then has mean 1, and
// its sum over pairs of spans a distribution no wider than chi-squared.
type pace struct {
	span  time.Duration // doubled until enough shares fall into it
	since time.Time     // the beginning of the present span; zero until the first share
	half  int           // which span of the pair that is
	count [2]int
	ended float64 // pairs
	total float64 // shares in them
	pairs float64 // pairs that are not empty
	sum   float64
	apart float64 // sum of the squared differences
	whole float64 // and of the squared sums
}

const (
	firstSpan = time.Second // longer than devices take to submit a share
	lastSpan  = time.Hour
	perSpan   = 6  // shares in a span, at least, on average
	trialSpan = 16 // pairs before a span is found too short
)

// add notes a share.
func (p *pace) add(now time.Time) {
	if p.since.IsZero() {
		p.since, p.span = now, max(p.span, firstSpan)
	}
	for now.Sub(p.since) >= p.span {
		p.since = p.since.Add(p.span)
		if p.half = 1 - p.half; p.half == 0 {
			p.pair()
			if p.ended >= trialSpan && p.total < 2*perSpan*p.ended && p.span < lastSpan {
				*p = pace{span: 2 * p.span, since: now}
				break
			}
			empty := now.Sub(p.since) / (2 * p.span) // pairs that say nothing
			p.since = p.since.Add(empty * 2 * p.span)
			p.ended += float64(empty)
		}
	}
	p.count[p.half]++
}

// pair adds a pair of spans that has ended.
func (p *pace) pair() {
	p.ended++
	if s := float64(p.count[0] + p.count[1]); s > 0 {
		d := float64(p.count[0] - p.count[1])
		p.total += s
		p.pairs++
		p.sum += d * d / s
		p.apart += d * d
		p.whole += s * s
	}
	p.count = [2]int{}
}

// pause drops the pair in which an interruption falls.
func (p *pace) pause() { p.since, p.half, p.count = time.Time{}, 0, [2]int{} }

// tests returns the probabilities that honest shares come as evenly, and in such
// bursts. The second is a Chernoff bound: a sum of coin tosses is sub-Gaussian, so the
// moments of its square are at most those of chi-squared.
func (p *pace) tests() (even, bursts float64) {
	if p.pairs < 10 {
		return 1, 1
	}
	k, x := p.pairs, p.sum
	even = distuv.ChiSquared{K: k}.CDF(x)
	bursts = 1
	if x > k {
		bursts = math.Exp(-k / 2 * (x/k - 1 - math.Log(x/k)))
	}
	return even, bursts
}

// spread is the mean over the pairs; 1 for honest work at a constant rate.
func (p *pace) spread() float64 { return p.sum / max(1, p.pairs) }

// swing is the mean squared difference between the rates of neighbouring spans,
// relative to their sum, less the part that chance adds: 0 for a constant rate, ¼ if
// one is always three times the other, 1 if one is always 0.
func (p *pace) swing() float64 { return max(0, p.apart-p.total) / max(1, p.whole) }

const (
	// lossChance is the probability below which missing shares are not put down to
	// chance. It is higher than doubt, because the finding is no accusation and a loss
	// must be found before it exceeds the uncertainty of the count.
	lossChance = 1e-7
	// Up to this swing a device counts as unsteady and not as dishonest.
	maxSwing = 0.25
	// A device passes with refusedFew refused shares, or refusedShare of all that it
	// submits.
	refusedShare = 0.01
	refusedFew   = 10
)

// Check implements [bench.Workload]. The checks are luck-least, luck-mean, luck-spread,
// pace, refused, spacing and throttle; each reports what was observed and, if it is not
// OK, what that means. They judge all shares since the difficulty was settled; throttle
// judges the present run only.
func (w *Worker) Check() []results.Check {
	d, _ := w.Difficulty()
	w.mu.Lock()
	t := w.tally
	w.mu.Unlock()
	return t.checks(d)
}

func (t *Tally) checks(difficulty float64) (out []results.Check) {
	add := func(name string, ok bool, detail, blame string) {
		if !ok {
			detail += ": " + blame
		}
		out = append(out, results.Check{Use: use, Name: name, OK: ok, Detail: detail})
	}
	l, n := &t.luck, float64(t.luck.n)
	least, mean, spread := l.tests()
	average := l.sum / max(1, n)
	add("luck-least", least >= doubt,
		fmt.Sprintf("the least of %d shares meets %.4g times their difficulty of %g (probability %.2g)", l.n, math.Exp(l.least), difficulty, least),
		fmt.Sprintf("the device filters by a difficulty of about %.4g before it hands in, so that its rate is under-measured: set --difficulty to that or more", difficulty*math.Exp(l.least)))
	blame := "part of its work is filtered by a higher difficulty than it was told, so that its rate is under-measured"
	if average < 1 {
		blame = "its best shares are missing: it holds them back"
	}
	add("luck-mean", mean >= doubt, fmt.Sprintf("mean ln(achieved/asked) %.4f, 1 ± %.4f of honest work (probability %.2g)", average, 1/math.Sqrt(max(1, n)), mean), blame)
	add("luck-spread", spread >= doubt, fmt.Sprintf("achieved difficulties in %d classes of equal chance (probability %.2g)", cells, spread),
		"shares of some difficulties are missing or were made up")
	even, bursts := t.pace.tests()
	blame = "they come more evenly than chance allows, as if released by a clock"
	if bursts < even {
		blame = "they come in bursts, as if held back: when they were found is not known, nor the rate"
	}
	add("pace", even >= doubt && (bursts >= doubt || t.pace.swing() <= maxSwing),
		fmt.Sprintf("spread of the shares over %.0f pairs of spans of %v %.3f times that of chance (probability %.2g), swing %.3f", t.pace.pairs, t.pace.span, t.pace.spread(), min(even, bursts), t.pace.swing()), blame)

	total, refused, most := uint64(0), uint64(0), Accepted
	for c, k := range t.Count {
		total += k
		if Class(c) > Stale {
			refused += k
			if most == Accepted || k > t.Count[most] {
				most = Class(c)
			}
		}
	}
	add("refused", refused <= refusedFew || float64(refused) <= refusedShare*float64(total),
		fmt.Sprintf("%d of %d shares refused", refused, total), fmt.Sprintf("%d of them %s, the first in the line %s", t.Count[most], reproach[most], t.quote[most]))

	// A loss that is small compared with the uncertainty of the count is ignored.
	part, deviation, chance := t.spacing.lost()
	add("spacing", chance >= lossChance || part <= max(3*deviation, 0.5/math.Sqrt(t.spacing.n)),
		fmt.Sprintf("about %.2g shares lost for each of %.0f handed in, by how few come close behind another (probability %.2g)", max(0, part), t.spacing.n, chance),
		fmt.Sprintf("it hands in one result of each scan and loses the others, so that its rate depends on its difficulty and is under-measured: set --difficulty to %.4g or more", coarser(difficulty, part)))
	add("throttle", t.Throttled == 0, fmt.Sprintf("its input was left unread for %.3g s", t.Throttled.Seconds()),
		fmt.Sprintf("the pool reads %d lines a second of a connection and more came, so that the device's work is not known: its difficulty of %g is too low, raise --difficulty or leave it out", perSecond, difficulty))
	return out
}

// reproach says what many shares of a class mean.
var reproach = [classes]string{
	Duplicate:    "were handed in before: it repeats its work, or replays it",
	Low:          "miss their difficulty: it ignores what it is told",
	Wrong:        "are of other work than it was given: another's, another extranonce, or errors of its chips",
	Unknown:      "are of jobs that it was not given, or long ago",
	Mask:         "roll bits of the version that it may not",
	Time:         "have a time out of bounds",
	Extranonce:   "have an extranonce of the wrong size",
	Malformed:    "are malformed",
	Unauthorised: "are in another's name",
}
