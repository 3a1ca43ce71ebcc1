package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// Worker is one device: whoever authorises by its name, on one connection or
// several. It is a workload that runs elsewhere. Its count is that of the
// hashes that its accepted shares stand for, on average: shares times
// difficulty, see [Worker.Shares].
//
// Prepare waits until the device is there and a difficulty is found for it.
// Each Run begins with a clean job, and counts shares of its own jobs only:
// what was found before, and held back, is worth nothing. The count wraps
// after 2^64 hashes, five hours of a petahash a second.
type Worker struct {
	name string
	srv  *Server

	mu       sync.Mutex
	sessions map[*session]struct{}
	agent    string // as it called itself last
	address  string
	tuner    tuner
	settled  chan struct{} // closed when the difficulty is
	told     float64       // the highest difficulty so far
	restart  bool          // the device is to be asked to connect again
	asked    bool          // it has been
	epoch    uint64        // of the jobs that count
	done     *bench.Counter
	tally    Tally
	left     time.Time // when the last connection went; zero while there is one
}

// Tally is what became of a device's shares since its difficulty was settled.
type Tally struct {
	Count  [classes]uint64 // by [Class]
	Away   time.Duration   // without a connection
	Breaks int             // how often there was none
	luck   luck
	pace   pace
	quote  [classes]string // of each that is refused, the first line
}

// hashesPerDifficulty is how many hashes it takes on average to make a share
// of difficulty 1: 2^256 ÷ (0xffff·2^208), 15 ppm above 2^32.
const hashesPerDifficulty = 0x1p48 / 0xffff

func newWorker(srv *Server, name string, now time.Time) *Worker {
	w := &Worker{name: name, srv: srv, sessions: map[*session]struct{}{}, settled: make(chan struct{}), left: now}
	start := float64(startDifficulty)
	switch {
	case srv.cfg.Difficulty > 0:
		start, w.tuner.settled = srv.cfg.Difficulty, true
		close(w.settled)
	case srv.cfg.Expect > 0:
		start = forRate(srv.cfg.Expect)
	}
	w.tuner.try(start, now)
	return w
}

// Name is what the device authorises as: anything, up to 128 bytes.
func (w *Worker) Name() string { return w.name }

// Peer is what the device called itself when it connected last, and from
// where.
func (w *Worker) Peer() (agent, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.agent, w.address
}

// Difficulty is that of its shares; settled says whether it will stay.
func (w *Worker) Difficulty() (difficulty float64, settled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tuner.difficulty, w.tuner.settled
}

// Shares implements [bench.Remote]. A share stands for 2^256 ÷ (target + 1)
// hashes on average, in whole hashes.
func (w *Worker) Shares() results.Shares {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.tuner.difficulty
	return results.Shares{Difficulty: results.Float(d), Work: results.Float(perShare(d)), Agent: w.agent}
}

// Tell implements [bench.Remote]: the shares by class, their luck, and the time
// without a connection.
func (w *Worker) Tell() []bench.Told {
	t := w.Tally()
	var out []bench.Told
	for c, n := range t.Count {
		out = append(out, bench.Told{Of: results.SharesOf(use, Class(c).String()), Unit: results.Share, Value: float64(n)})
	}
	return append(out,
		bench.Told{Of: results.LuckOf(use), Unit: results.Ratio, Value: t.luck.sum},
		bench.Told{Of: results.AwayOf(use), Unit: results.Second, Value: t.Away.Seconds()},
		bench.Told{Of: results.BreaksOf(use), Unit: results.Ratio, Value: float64(t.Breaks)})
}

func perShare(difficulty float64) uint64 {
	target, _ := sha256d.TargetFromDifficulty(difficulty) // it is positive and finite
	return uint64(math.Round(target.Hashes()))
}

// Tally is the present one.
func (w *Worker) Tally() Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tally
	if !w.left.IsZero() {
		t.Away += time.Since(w.left)
	}
	return t
}

// Connected reports whether the device is there.
func (w *Worker) Connected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions) > 0
}

// join adds a connection.
func (w *Worker) join(s *session, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[s] = struct{}{}
	w.agent, w.address = s.agent, s.address
	if len(w.sessions) == 1 {
		w.tally.Away += now.Sub(w.left)
		w.left = time.Time{}
		w.tally.pace.pause()
		if !w.tuner.settled {
			w.tuner.try(w.tuner.difficulty, now)
		}
	}
}

// called notes what the device calls itself, which some say after their name.
func (w *Worker) called(agent string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.agent = agent
}

// leave takes a connection away.
func (w *Worker) leave(s *session, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, s)
	if len(w.sessions) == 0 {
		w.left = now
		w.tally.Breaks++
		w.tally.pace.pause()
	}
}

// order is what a session is to work on.
type order struct {
	difficulty float64
	epoch      uint64
	settled    bool
	restart    bool // ask the device to connect again
}

// order looks at the search for a difficulty and returns what goes now.
func (w *Worker) order(now time.Time) order {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tune(now)
	o := order{w.tuner.difficulty, w.epoch, w.tuner.settled, w.restart}
	w.restart = false
	return o
}

// tune moves the search for a difficulty on.
func (w *Worker) tune(now time.Time) {
	if w.tuner.settled || len(w.sessions) == 0 {
		return
	}
	next, change := w.tuner.look(now)
	if w.tuner.settled {
		w.tally = Tally{}
		close(w.settled)
	}
	if !change {
		return
	}
	if next > w.tuner.difficulty && !w.asked && w.tuner.floor == next && w.told >= next {
		// It goes on at what it was told before: some firmware takes a
		// difficulty only when it connects.
		w.restart, w.asked, w.tuner.floor, next = true, true, 0, w.tuner.difficulty
	}
	w.told = max(w.told, w.tuner.difficulty)
	w.tuner.try(next, now)
	w.renew()
}

// renew gives every connection a clean job, and lets no share of an earlier
// one count.
func (w *Worker) renew() {
	w.epoch++
	for s := range w.sessions {
		s.kick()
	}
}

// note counts what became of a share of a job of the given epoch.
func (w *Worker) note(c Class, epoch uint64, luck float64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c <= Low && epoch != w.epoch { // it is of work before
		return
	}
	if !w.tuner.settled {
		if c == Accepted {
			w.tuner.share(luck)
			w.tune(now)
		}
		return
	}
	w.tally.Count[c]++
	switch c {
	case Accepted:
		w.tally.luck.add(luck)
		w.tally.pace.add(now)
		if w.done != nil {
			w.done.Add(perShare(w.tuner.difficulty))
		}
	case Stale:
		w.tally.luck.add(luck)
	}
}

// quote keeps the first line of each class that is refused and counted.
func (w *Worker) quote(c Class, line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tally.Count[c] > 0 && w.tally.quote[c] == "" {
		w.tally.quote[c] = quoted(line)
	}
}

// Info implements [bench.Workload]. The implementation is the device's own
// name for its firmware.
func (w *Worker) Info() bench.Info {
	return bench.Info{Name: "stratum", Use: use, Impl: impl, Unit: results.Hash, Threads: 1}
}

const (
	use  = "mining"
	impl = "device" // whatever it is made of
)

// patience is how long Prepare waits for a difficulty.
const patience = 30 * time.Minute

// Prepare waits until the difficulty is settled, which takes a device of
// unknown rate about half a minute.
func (w *Worker) Prepare(ctx context.Context) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-w.settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stratum: worker %.64q: %w before a difficulty was found for it", w.name, ctx.Err())
	case <-limit.C:
		d, _ := w.Difficulty()
		return fmt.Errorf("stratum: worker %.64q: no difficulty was found for it in %v, the last tried was %g: is it mining here?", w.name, patience, d)
	}
}

// Run implements [bench.Workload]: it counts the shares of jobs that it hands
// out until ctx ends.
func (w *Worker) Run(ctx context.Context, done *bench.Counter) error {
	select {
	case <-w.settled:
	default:
		return errors.New("stratum: run: Prepare comes first")
	}
	w.mu.Lock()
	w.done = done
	w.renew()
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.done = nil
	w.mu.Unlock()
	return nil
}

// Close implements [bench.Workload]. The device is given work until the server
// is closed.
func (w *Worker) Close() error { return nil }
