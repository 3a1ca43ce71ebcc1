package stratum

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/perwatt/perwatt/results"
)

// doubt is the probability below which something is not chance. Each test of
// an honest device fails with at most this probability each time that it is
// looked at: once a minute for a year makes one false alarm in 300 years.
const doubt = 1e-9

// luck gathers how far shares exceed their difficulty. A digest of honest work
// is as likely to be one number below the target as another, so the logarithm
// of difficulty achieved ÷ difficulty asked is exponential with mean 1.
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

// tests are the probabilities of an honest device to be as far off: of the
// least, the mean and the spread of its luck. They are 1 where there is too
// little to tell.
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

// pace gathers when shares come. Honest ones come at random: of those in two
// neighbouring spans of equal length, each falls into either by a fair coin,
// whatever the rate. The squared difference over the sum then has mean 1,
// summed over pairs a distribution no wider than chi-squared.
type pace struct {
	span  time.Duration // doubled until enough shares fall into it
	since time.Time     // the beginning of the present span; zero until a share comes
	half  int           // which of a pair that is
	count [2]int
	ended float64 // pairs
	total float64 // shares in them
	pairs float64 // of them not empty
	sum   float64
	apart float64 // sum of the squared differences
	whole float64 // and of the squared sums
}

const (
	firstSpan = time.Second // longer than devices take to hand in what they find
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

// pair takes in a pair that is over.
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

// pause drops the pair that an interruption falls into.
func (p *pace) pause() { p.since, p.half, p.count = time.Time{}, 0, [2]int{} }

// tests are the probabilities that honest shares come as evenly, or in such
// bursts. The second is a bound (Chernoff): a sum of coins is sub-Gaussian, so
// the moments of its square are at most those of chi-squared.
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

// spread is the mean of the pairs, 1 of honest work at an even rate.
func (p *pace) spread() float64 { return p.sum / max(1, p.pairs) }

// swing is the mean square of how far the rates of neighbouring spans are
// apart, relative to their sum, less what chance adds: 0 of an even rate, ¼
// where one is always three times the other, 1 of all or nothing.
func (p *pace) swing() float64 { return max(0, p.apart-p.total) / max(1, p.whole) }

const (
	// lossChance is the probability below which it is no chance that shares
	// are missing: a device that loses them is not called a cheat, and the
	// loss must be found before it shows beside the uncertainty of the count.
	lossChance = 1e-7
	// A device whose rate swings by itself is unsteady, and not dishonest.
	maxSwing = 0.25
	// refusedShare of all that it hands in may be refused, if they are few.
	refusedShare = 0.01
	refusedFew   = 10
)

// Check implements [bench.Workload]. The checks are luck-least, luck-mean,
// luck-spread, pace, refused, spacing and throttle; each says what was seen,
// and what it would mean if it is not OK. They judge all shares since the
// difficulty was settled, throttle those of the present run.
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

	// A loss that is small beside the uncertainty of the count is none.
	part, deviation, chance := t.spacing.lost()
	add("spacing", chance >= lossChance || part <= max(3*deviation, 0.5/math.Sqrt(t.spacing.n)),
		fmt.Sprintf("about %.2g shares lost for each of %.0f handed in, by how few come close behind another (probability %.2g)", max(0, part), t.spacing.n, chance),
		fmt.Sprintf("it hands in one result of each scan and loses the others, so that its rate depends on its difficulty and is under-measured: set --difficulty to %.4g or more", coarser(difficulty, part)))
	add("throttle", t.Throttled == 0, fmt.Sprintf("its input was left unread for %.3g s", t.Throttled.Seconds()),
		fmt.Sprintf("the pool reads %d lines a second of a connection and more came, so that what the device did is not known: its difficulty of %g is too low, raise --difficulty or leave it out", perSecond, difficulty))
	return out
}

// reproach is what it means that a device hands in a class of shares in
// numbers.
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
