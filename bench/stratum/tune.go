package stratum

import (
	"math"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
)

// What a difficulty is chosen for.
const (
	wanted  = 4.0 // shares a second of a worker
	trial   = 64  // shares at a difficulty before it is settled: their rate is known to 12 %
	glance  = 16  // shares before it is changed
	fewest  = 12  // of which a rate is made after patient
	silence = 3 * time.Second
	patient = time.Minute // for few shares where the device allows no more

	startDifficulty = 1024    // 1 TH/s gives one share in 4 s, 1 PH/s 230 a second
	leastDifficulty = 0x1p-32 // one hash

	// A microcontroller hands in the best hash of a scan alone, of 4,096 to
	// 16,384 hashes, and loses the others. A share of scanFree stands for two
	// million hashes, so that 0.4 % are lost at most; a device that makes less
	// than slow of them in a second is given shares of fewer hashes, which take
	// it as long.
	scanFree = 0x1p-11
	slow     = 0.25 // shares a second

	// descent is how far silence alone takes a difficulty down: from what was
	// expected, or from where shares came last. Who has not begun to mine is
	// not told from who is slow.
	descent = 64
	// silentDifficulty is how far it goes down where nothing is known.
	silentDifficulty = 1
	// lostShares is the part of its shares that a device may lose, at the
	// difficulty that is settled, as far as a trial shows.
	lostShares = 0.01
)

// tuner finds a difficulty at which a device hands in a few shares a second,
// and at which nothing is filtered out or lost before it is handed in. It tries
// powers of two, which every firmware can hold.
type tuner struct {
	difficulty float64
	settled    bool
	floor      float64 // below it the device filters or loses shares, as far as it has shown; 0 if it has not
	lowest     float64 // that silence leads to

	since   time.Time // the first job of this difficulty was sent
	pace    float64   // shares a second that are expected; 0 if nothing is
	first   time.Time // share since
	n       int       // shares since
	least   float64   // luck of the least of them
	spacing spacing   // of them
}

// powerOfTwo is the one nearest to x by ratio.
func powerOfTwo(x float64) float64 { return math.Exp2(math.Round(math.Log2(x))) }

// forRate is the difficulty at which a device of so many hashes a second
// hands in what is wanted.
func forRate(hashes float64) float64 {
	unit := hashes / hashesPerDifficulty // shares a second of difficulty 1
	return max(leastDifficulty, powerOfTwo(max(unit/wanted, min(scanFree, unit/slow))))
}

// begin starts the search: at what is expected of the device, hash/s, or 0.
func (t *tuner) begin(expect float64, now time.Time) {
	start, pace := float64(startDifficulty), 0.0
	t.lowest = silentDifficulty
	if expect > 0 {
		start = forRate(expect)
		t.lowest, pace = start/descent, expect/hashesPerDifficulty/start
	}
	t.try(start, pace, now)
}

// try starts over with another difficulty.
func (t *tuner) try(difficulty, pace float64, now time.Time) {
	*t = tuner{difficulty: difficulty, floor: t.floor, lowest: t.lowest, since: now, pace: pace, least: math.Inf(1)}
}

// share notes one of the present difficulty.
func (t *tuner) share(luck float64, now time.Time) {
	if t.n++; t.n == 1 {
		t.first = now
	}
	t.least = min(t.least, luck)
	t.lowest = min(t.lowest, t.difficulty/descent)
	t.spacing.add(now)
}

// filtered is the power of two that the device seems to filter by, or 0 if it
// may be chance with the given probability: n exponential variables are all
// above x with probability exp(-n·x).
func (t *tuner) filtered(chance float64) float64 {
	n := float64(t.n)
	if n*t.least < -math.Log(chance) || n < 4 {
		return 0
	}
	// Rather too low than too high, which would cost shares: if it is too low
	// that shows again.
	f := math.Exp2(math.Floor(math.Log2(t.difficulty) + (t.least-3/n)/math.Ln2))
	return max(f, 2*t.difficulty)
}

// look says what is to be tried next for so many workers, or that the present
// difficulty stays. The rate is that since the first share: silence before it
// says nothing.
func (t *tuner) look(now time.Time, workers int) (next, pace float64, change bool) {
	if t.settled {
		return 0, 0, false
	}
	lowest := max(t.floor, leastDifficulty)
	if t.n == 0 {
		wait := silence
		if t.pace > 0 {
			wait = max(wait, time.Duration(6/t.pace*1e9))
		}
		if lowest = max(lowest, t.lowest); now.Sub(t.since) < wait || t.difficulty <= lowest {
			return 0, 0, false
		}
		return max(lowest, t.difficulty/descent), 0, true
	}
	chance := doubt
	if t.n >= trial || t.floor > 0 {
		chance = 1e-3 // it is about to be settled, and a step too many is no harm
	}
	span := max(now.Sub(t.first).Seconds(), 0.1)
	rate := float64(t.n) / span
	if f := t.filtered(chance); f > 0 {
		t.floor = f
		return f, rate * t.difficulty / f, true
	}
	if t.n < glance && span < silence.Seconds() {
		return 0, 0, false
	}
	next = max(lowest, forRate(rate/float64(workers)*t.difficulty*hashesPerDifficulty))
	if ratio := next / t.difficulty; ratio <= 0.25 || ratio >= 4 {
		return next, rate * t.difficulty / next, true
	}
	if t.n < trial && (t.n < fewest || span < patient.Seconds()) {
		return 0, 0, false
	}
	if lost, deviation, chance := t.spacing.lost(); chance < 1e-5 && lost > max(lostShares, deviation) {
		// Of shares that wait for answers the estimate is anything: no further
		// than where it hands in one now and then.
		t.floor = min(coarser(t.difficulty, lost), max(2*t.difficulty, powerOfTwo(rate*t.difficulty/slow)))
		return t.floor, rate * t.difficulty / t.floor, true
	}
	t.settled = true
	return 0, 0, false
}

// coarser is the difficulty at which no more than lostShares are lost of those
// of which a part is at another: it falls with the rate of shares.
func coarser(difficulty, lost float64) float64 {
	return difficulty * max(2, math.Exp2(math.Ceil(math.Log2(lost/lostShares))))
}

// search is the difficulty of the workers of a connection, who have one
// between them, and the search for it. What a session is to work on follows
// from it.
type search struct {
	srv *Server

	mu       sync.Mutex
	tuner    tuner
	settled  chan struct{} // closed when the difficulty is
	told     float64       // the highest difficulty so far
	restart  bool          // the device is to be asked to connect again
	asked    bool          // it has been
	from     uint64        // epoch: see [Server.epochs]; jobs before it are of another difficulty
	sessions map[*session]struct{}
}

func newSearch(srv *Server, now time.Time) *search {
	h := &search{srv: srv, settled: make(chan struct{}), sessions: map[*session]struct{}{}}
	if d := srv.cfg.Difficulty; d > 0 {
		h.tuner.try(d, 0, now)
		h.tuner.settled = true
		close(h.settled)
	} else {
		h.tuner.begin(srv.cfg.Expect, now)
	}
	return h
}

// difficulty is the present one; settled says whether it will stay.
func (h *search) difficulty() (difficulty float64, settled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tuner.difficulty, h.tuner.settled
}

// join adds a connection. After none there was, a search that has had no share
// begins afresh.
func (h *search) join(s *session, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sessions) == 0 && !h.tuner.settled {
		if h.tuner.n > 0 || h.tuner.floor > 0 || h.asked {
			h.tuner.try(h.tuner.difficulty, 0, now)
		} else {
			h.tuner.begin(h.srv.cfg.Expect, now)
		}
	}
	h.sessions[s] = struct{}{}
}

func (h *search) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
}

// suggested notes that the device would mine at a difficulty. It is not
// obeyed; but a device that asks for less than silence leads to is as slow as
// that.
func (h *search) suggested(difficulty float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.srv.cfg.Expect == 0 && difficulty > 0 {
		h.tuner.lowest = max(leastDifficulty, min(h.tuner.lowest, difficulty))
	}
}

// order is what a session is to work on.
type order struct {
	difficulty float64
	settled    bool
	restart    bool // ask the device to connect again
}

// order looks at the search and returns what goes now.
func (h *search) order(now time.Time, workers int) order {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tune(now, workers)
	o := order{h.tuner.difficulty, h.tuner.settled, h.restart}
	h.restart = false
	return o
}

// note takes in a share of a job of an epoch, and reports whether it is of the
// present difficulty and whether that was settled before.
func (h *search) note(c Class, epoch uint64, luck float64, workers int, now time.Time) (present, settled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	present, settled = epoch >= h.from, h.tuner.settled
	if c == Accepted && present && !settled {
		h.tuner.share(luck, now)
		h.tune(now, workers)
	}
	return present, settled
}

// tune moves the search on.
func (h *search) tune(now time.Time, workers int) {
	if h.tuner.settled || len(h.sessions) == 0 {
		return
	}
	next, pace, change := h.tuner.look(now, max(1, workers))
	if h.tuner.settled {
		close(h.settled)
	}
	if !change {
		return
	}
	if next > h.tuner.difficulty && !h.asked && h.tuner.floor == next && h.told >= next {
		// It goes on at what it was told before: some firmware takes a
		// difficulty only when it connects.
		h.restart, h.asked, h.tuner.floor, next = true, true, 0, h.tuner.difficulty
	}
	h.told = max(h.told, h.tuner.difficulty)
	h.tuner.try(next, pace, now)
	h.from = h.srv.epochs.Add(1)
	for s := range h.sessions {
		s.kick(h.from)
	}
}

// spacing gathers how far apart shares come. Work that is handed in as it is
// found has no least distance: of shares at random, as many follow close upon
// another as the rate says. A device that hands in one result of each scan
// loses those.
type spacing struct {
	n    float64   // distances
	last time.Time // share; zero after an interruption
	cell [spacings]struct{ n, sum float64 }
}

const (
	spacings = 52 // a quarter of an octave each, from 2 s down to 0.3 ms; the first holds what is longer
	longest  = 2.0
	fewGaps  = 8 // that a rate leads one to expect, before their absence says anything
)

// above is the least distance in each cell, s.
var above = func() (x [spacings]float64) {
	for i := range spacings - 1 {
		x[i] = longest * math.Exp2(-float64(i)/4)
	}
	return x
}()

// add notes a share.
func (s *spacing) add(now time.Time) {
	if !s.last.IsZero() {
		d := now.Sub(s.last).Seconds()
		i := spacings - 1
		if d > above[i-1] {
			i = max(0, int(math.Ceil(4*math.Log2(longest/d))))
		}
		s.n++
		s.cell[i].n++
		s.cell[i].sum += d
	}
	s.last = now
}

// lost estimates how many shares the device loses for each that it hands in,
// with the standard error of that, and how probable it is that none are: that
// as few follow close upon another where the rate would have them. Those that
// wait for the answer to the one before come a little later, and are not lost.
func (s *spacing) lost() (part, deviation, chance float64) {
	sum := 0.0
	for _, c := range s.cell {
		sum += c.sum
	}
	if s.n == 0 || sum <= 0 {
		return 0, 0, 1
	}
	// The distance below which it is least by chance that as few come. A device
	// that hands in several at once has some at no distance at all.
	chance, at := 1.0, 0
	mean, came := sum/s.n, 0.0
	for i := spacings - 1; i > 0 && above[i-1] < mean; i-- {
		came += s.cell[i].n
		if expected := -s.n * math.Expm1(-above[i-1]/mean); expected >= fewGaps && came < expected/4 {
			if p := min(1, spacings*results.PoissonAtMost(uint64(came), expected)); p <= chance { // both may be too small to tell
				chance, at = p, i-1
			}
		}
	}
	if at == 0 {
		return 0, 0, chance
	}
	// Longer distances have the tail of chance, of the rate at which shares
	// are found; how many shorter ones it implies, and how many came.
	over, excess, cells := 0.0, 0.0, 0.0
	for i := range at {
		over, excess = over+s.cell[i].n, excess+s.cell[i].sum
		h := above[i]
		if h > 2.1*above[at] || over == 0 || excess <= over*h {
			continue
		}
		rate := over / (excess - over*h)
		part += (over*math.Exp(rate*h) - s.n) / s.n
		deviation += rate * h / math.Sqrt(over)
		cells++
	}
	cells = max(1, cells)
	return part / cells, deviation / cells, chance
}
