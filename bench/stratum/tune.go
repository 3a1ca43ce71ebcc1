package stratum

import (
	"math"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Aims and limits of the search for a difficulty.
const (
	wanted  = 4.0 // shares per second and worker
	trial   = 64  // shares at a difficulty before it is settled: they give the rate to 12 %
	glance  = 16  // shares before the difficulty is changed
	fewest  = 12  // shares that are enough for a rate after patient
	silence = 3 * time.Second
	patient = time.Minute // wait where the device delivers only few shares

	startDifficulty = 1024    // 1 TH/s gives one share in 4 s, 1 PH/s 230 a second
	leastDifficulty = 0x1p-32 // one hash

	// A microcontroller submits only the best hash of each scan, of 4,096 to 16,384
	// hashes, and loses the others. A share of difficulty scanFree stands for two
	// million hashes, so that at most 0.4 % are lost. A device that makes fewer than
	// slow of these per second gets an easier difficulty, at which it makes slow.
	scanFree = 0x1p-11
	slow     = 0.25 // shares a second

	// descent is the factor by which silence alone may lower a difficulty, from the
	// expected one or from the last one with shares. More would be wrong, since a
	// device that has not begun to mine looks like a slow one.
	descent = 64
	// silentDifficulty is the lowest difficulty that silence leads to if nothing is
	// known of the device.
	silentDifficulty = 1
	// lostShares is the share loss that is tolerated at the settled difficulty, as far
	// as a trial can show it.
	lostShares = 0.01
)

// tuner finds a difficulty at which a device submits a few shares per second and
// neither filters nor loses any of them. It tries powers of two, which every firmware
// represents exactly.
type tuner struct {
	difficulty float64
	settled    bool
	floor      float64 // below it the device was seen to filter or lose shares; 0 if it was not
	lowest     float64 // lowest difficulty that silence leads to

	since   time.Time // when the first job of this difficulty was sent
	pace    float64   // expected shares per second; 0 if unknown
	first   time.Time // first share since then
	n       int       // shares since
	least   float64   // the least luck among them
	spacing spacing   // of them
}

// powerOfTwo returns the power of two that is nearest to x by ratio.
func powerOfTwo(x float64) float64 { return math.Exp2(math.Round(math.Log2(x))) }

// forRate returns the difficulty at which a device of this hashrate, in hash/s, submits
// the wanted shares.
func forRate(hashes float64) float64 {
	unit := hashes / hashesPerDifficulty // shares a second of difficulty 1
	return max(leastDifficulty, powerOfTwo(max(unit/wanted, min(scanFree, unit/slow))))
}

// begin starts the search at the expected hashrate of the device, in hash/s; 0 if it is
// unknown.
func (t *tuner) begin(expect float64, now time.Time) {
	start, pace := float64(startDifficulty), 0.0
	t.lowest = silentDifficulty
	if expect > 0 {
		start = forRate(expect)
		t.lowest, pace = start/descent, expect/hashesPerDifficulty/start
	}
	t.try(start, pace, now)
}

// try restarts the trial at another difficulty.
func (t *tuner) try(difficulty, pace float64, now time.Time) {
	*t = tuner{difficulty: difficulty, floor: t.floor, lowest: t.lowest, since: now, pace: pace, least: math.Inf(1)}
}

// share adds a share of the present difficulty.
func (t *tuner) share(luck float64, now time.Time) {
	if t.n++; t.n == 1 {
		t.first = now
	}
	t.least = min(t.least, luck)
	t.lowest = min(t.lowest, t.difficulty/descent)
	t.spacing.add(now)
}

// filtered returns the power of two at which the device seems to filter its shares, or
// 0 if what was seen is no less probable than chance: n exponential variables all
// exceed x with probability exp(-n·x).
func (t *tuner) filtered(chance float64) float64 {
	n := float64(t.n)
	if n*t.least < -math.Log(chance) || n < 4 {
		return 0
	}
	// Too low is better than too high, which would cost shares: if it is too low, the
	// next trial shows it.
	f := math.Exp2(math.Floor(math.Log2(t.difficulty) + (t.least-3/n)/math.Ln2))
	return max(f, 2*t.difficulty)
}

// look returns the difficulty to try next for this number of workers, or settles the
// present one. The rate counts from the first share, because the silence before it
// means nothing.
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
		chance = 1e-3 // it is about to be settled, and a superfluous step does no harm
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
		// If shares wait for answers the estimate can be far off, so the difficulty is
		// not raised beyond slow shares per second.
		t.floor = min(coarser(t.difficulty, lost), max(2*t.difficulty, powerOfTwo(rate*t.difficulty/slow)))
		return t.floor, rate * t.difficulty / t.floor, true
	}
	t.settled = true
	return 0, 0, false
}

// coarser returns the difficulty at which the loss falls to lostShares, given the part
// that is lost at another: the loss is proportional to the rate of shares.
func coarser(difficulty, lost float64) float64 {
	return difficulty * max(2, math.Exp2(math.Ceil(math.Log2(lost/lostShares))))
}

// search is the difficulty that the workers of a connection share, and the search for
// it. It determines the orders of the sessions.
type search struct {
	srv *Server

	mu       sync.Mutex
	tuner    tuner
	settled  chan struct{} // closed when the difficulty is settled
	told     float64       // the highest difficulty so far
	restart  bool          // whether to ask the device to connect again
	asked    bool          // whether it has been asked
	from     uint64        // epoch: see [Server.epochs]; jobs of earlier epochs have another difficulty
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

// difficulty returns the present difficulty and whether it is final.
func (h *search) difficulty() (difficulty float64, settled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tuner.difficulty, h.tuner.settled
}

// join adds a connection. If it is the only one, a search that is not settled restarts,
// from the beginning if it has had no share.
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

// suggested notes the difficulty that the device suggests. It is not followed; but if
// it is below the least that silence leads to, the device is that slow.
func (h *search) suggested(difficulty float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.srv.cfg.Expect == 0 && difficulty > 0 {
		h.tuner.lowest = max(leastDifficulty, min(h.tuner.lowest, difficulty))
	}
}

// order is the difficulty at which a session has to work.
type order struct {
	difficulty float64
	settled    bool
	restart    bool // ask the device to connect again
}

// order advances the search and returns the present order.
func (h *search) order(now time.Time, workers int) order {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tune(now, workers)
	o := order{h.tuner.difficulty, h.tuner.settled, h.restart}
	h.restart = false
	return o
}

// note adds a share of a job of an epoch, and reports whether it has the present
// difficulty and whether that was already settled.
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

// tune advances the search.
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
		// The device still works at an earlier difficulty: some firmware applies a new
		// one only when it connects.
		h.restart, h.asked, h.tuner.floor, next = true, true, 0, h.tuner.difficulty
	}
	h.told = max(h.told, h.tuner.difficulty)
	h.tuner.try(next, pace, now)
	h.from = h.srv.epochs.Add(1)
	for s := range h.sessions {
		s.kick(h.from)
	}
}

// spacing collects the intervals between shares. Shares that are submitted as they are
// found arrive at random, so the rate predicts how many follow closely on another. A
// device that submits one result per scan loses those.
type spacing struct {
	n    float64   // intervals
	last time.Time // the last share; zero after an interruption
	cell [spacings]struct{ n, sum float64 }
}

const (
	spacings = 52 // a quarter of an octave each, from 2 s down to 0.3 ms; the first has all longer ones
	longest  = 2.0
	fewGaps  = 8 // close intervals to be expected before their absence means anything
)

// above is the lower bound of each cell, in s.
var above = func() (x [spacings]float64) {
	for i := range spacings - 1 {
		x[i] = longest * math.Exp2(-float64(i)/4)
	}
	return x
}()

// add adds a share.
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

// lost estimates how many shares the device loses for each that it submits, with the
// standard error. chance is the probability that none are lost: that as few shares
// follow closely on another as were seen, at this rate. Shares that wait for the answer
// to the one before come a little later and do not count as lost.
func (s *spacing) lost() (part, deviation, chance float64) {
	sum := 0.0
	for _, c := range s.cell {
		sum += c.sum
	}
	if s.n == 0 || sum <= 0 {
		return 0, 0, 1
	}
	// The interval below which the number of shares is least probable. A device that
	// submits several at once has some with intervals near 0.
	chance, at := 1.0, 0
	mean, came := sum/s.n, 0.0
	for i := spacings - 1; i > 0 && above[i-1] < mean; i-- {
		came += s.cell[i].n
		if expected := -s.n * math.Expm1(-above[i-1]/mean); expected >= fewGaps && came < expected/4 {
			if p := min(1, spacings*results.PoissonAtMost(uint64(came), expected)); p <= chance { // both may have underflowed to 0
				chance, at = p, i-1
			}
		}
	}
	if at == 0 {
		return 0, 0, chance
	}
	// Longer intervals follow the exponential tail of the rate at which shares are
	// found. It implies a number of shorter ones; fewer came.
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
