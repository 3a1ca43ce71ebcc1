package stratum

import (
	"math"
	"time"
)

// What a difficulty is chosen for.
const (
	wanted  = 4.0  // shares a second
	fewest  = 1.5  // that are enough
	most    = 10.0 // that are not too many
	trial   = 64   // shares at a difficulty before it is settled: their rate is known to 12 %
	glance  = 16   // shares before it is changed
	silence = 3 * time.Second
	patient = time.Minute // for few shares where the device allows no more

	startDifficulty = 1024    // 1 TH/s gives one share in 4 s, 1 PH/s 230 a second
	leastDifficulty = 0x1p-32 // one hash
)

// tuner finds a difficulty at which a device hands in a few shares a second,
// and at which nothing is filtered out before it is handed in. It tries
// powers of two, which every firmware can hold.
type tuner struct {
	difficulty float64
	settled    bool
	floor      float64 // what the device filters by, as far as it has shown; 0 if it has not

	since time.Time // the first job of this difficulty was sent
	n     int       // shares since
	least float64   // luck of the least of them
}

// powerOfTwo is the one nearest to x by ratio.
func powerOfTwo(x float64) float64 { return math.Exp2(math.Round(math.Log2(x))) }

// forRate is the difficulty at which a device of so many hashes a second
// hands in what is wanted.
func forRate(hashes float64) float64 {
	return max(leastDifficulty, powerOfTwo(hashes/wanted/hashesPerDifficulty))
}

// try starts over with another difficulty.
func (t *tuner) try(difficulty float64, now time.Time) {
	t.difficulty, t.since, t.n, t.least = difficulty, now, 0, math.Inf(1)
}

// share notes one of the present difficulty.
func (t *tuner) share(luck float64) {
	t.n++
	t.least = min(t.least, luck)
}

// filtered is the power of two that the device seems to filter by, or 0 if it
// may be chance with the given probability: n exponential variables are all
// above x with probability exp(-n·x).
func (t *tuner) filtered(chance float64) float64 {
	n := float64(t.n)
	if n*t.least < -math.Log(chance) || n < 2 {
		return 0
	}
	// Rather too low than too high, which would cost shares: if it is too low
	// that shows again.
	f := math.Exp2(math.Floor(math.Log2(t.difficulty) + (t.least-2/n)/math.Ln2))
	return max(f, 2*t.difficulty)
}

// look says what is to be tried next, or that the present difficulty stays.
func (t *tuner) look(now time.Time) (next float64, change bool) {
	if t.settled {
		return 0, false
	}
	chance := doubt
	if t.n >= trial || t.floor > 0 {
		chance = 1e-3 // it is about to be settled, and a step too many is no harm
	}
	if f := t.filtered(chance); f > 0 {
		t.floor = f
		return f, true
	}
	lowest := max(t.floor, leastDifficulty)
	spent := now.Sub(t.since)
	rate := float64(t.n) / max(spent.Seconds(), 1e-3)
	switch {
	case t.n == 0 && spent >= silence && t.difficulty > lowest:
		return max(lowest, t.difficulty/64), true
	case t.n < glance && (t.n == 0 || spent < 2*silence):
		return 0, false
	}
	if rate < fewest || rate > most {
		if next := max(lowest, powerOfTwo(t.difficulty*rate/wanted)); next != t.difficulty {
			return next, true
		}
		// It filters as coarsely as that: what comes is what there is.
		t.settled = t.n >= trial || t.n >= glance*3/4 && spent >= patient
		return 0, false
	}
	t.settled = t.n >= trial
	return 0, false
}
