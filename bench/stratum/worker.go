package stratum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sha256d"
	"github.com/perwatt/perwatt/results"
)

// Worker is one device: all connections that authorise its name, each of which may also
// serve other workers. It is a workload that runs elsewhere. Its count is the mean
// number of hashes that its accepted shares stand for: shares times difficulty, see
// [Worker.Shares].
//
// Prepare waits until the device submits shares and its difficulty is found. Each Run
// begins with a clean job and counts shares of its own jobs only, so that shares held
// back from before do not count. Begin waits for the share with which a window begins,
// and Gaps lists the intervals in which the device's work is unknown. The count wraps
// after 2^64 hashes: five hours at a petahash per second.
type Worker struct {
	name   string
	srv    *Server
	home   string // its first address
	search *search
	placed atomic.Bool   // it has submitted a share and has a place
	mining chan struct{} // closed when it has submitted a share of its settled difficulty
	lost   chan struct{} // closed when its place went to another

	mu       sync.Mutex
	sessions map[*session]struct{}
	agent    string // name of its software, as given last
	address  string
	from     uint64 // epoch: see [Server.epochs]; jobs of earlier epochs do not count
	done     *bench.Counter
	starts   chan bench.Start // on which Begin waits
	flow     flow             // of the run
	tally    Tally
	left     time.Time // when the last connection ended; zero from its next share on
	heard    time.Time // time of its last good share
	shares   int       // good shares
}

// Tally counts the verdicts on a device's shares since its difficulty was settled.
type Tally struct {
	Count     [classes]uint64 // by [Class]
	Away      time.Duration   // without a connection, or on a new one before its first share
	Breaks    int             // times without a connection
	Resumed   int             // shares that ended such a break
	Throttled time.Duration   // during which the pool left its input unread, in the present run
	luck      luck
	pace      pace
	spacing   spacing
	quote     [classes]string // the first refused line of each class
}

// hashesPerDifficulty is the mean number of hashes per share of difficulty 1: 2^256 ÷
// (0xffff·2^208), 15 ppm above 2^32.
const hashesPerDifficulty = 0x1p48 / 0xffff

func newWorker(srv *Server, name, home string, h *search, now time.Time) *Worker {
	return &Worker{name: name, srv: srv, home: home, search: h, mining: make(chan struct{}), lost: make(chan struct{}), sessions: map[*session]struct{}{}, left: now, heard: now}
}

// Name is the name that the device authorises: any text of up to 256 bytes.
func (w *Worker) Name() string { return w.name }

// Peer returns the agent and the address of the device's latest connection.
func (w *Worker) Peer() (agent, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.agent, w.address
}

// Difficulty returns the difficulty of its shares and whether it is final.
func (w *Worker) Difficulty() (difficulty float64, settled bool) { return w.search.difficulty() }

// Shares implements [bench.ShareWorkload]. A share stands for 2^256 ÷ (target + 1)
// hashes on average, in whole hashes.
func (w *Worker) Shares() results.Shares {
	d, _ := w.Difficulty()
	w.mu.Lock()
	defer w.mu.Unlock()
	return results.Shares{Difficulty: results.Float(d), Work: results.Float(perShare(d)), Agent: w.agent, Address: w.address}
}

// Counters implements [bench.ShareWorkload]: the shares by class, their luck, and the time
// without a connection.
func (w *Worker) Counters() []bench.CounterValue {
	t := w.Tally()
	return t.told()
}

func (t *Tally) told() (out []bench.CounterValue) {
	for c, n := range t.Count {
		out = append(out, bench.CounterValue{Kind: results.TraceShares, Class: Class(c).String(), Unit: results.Share, Value: float64(n)})
	}
	return append(out,
		bench.CounterValue{Kind: results.TraceLuck, Unit: results.Ratio, Value: t.luck.sum},
		bench.CounterValue{Kind: results.TraceAway, Unit: results.Second, Value: t.Away.Seconds()},
		bench.CounterValue{Kind: results.TraceBreaks, Unit: results.Ratio, Value: float64(t.Breaks)},
		bench.CounterValue{Kind: results.TraceResumed, Unit: results.Share, Value: float64(t.Resumed)})
}

func perShare(difficulty float64) uint64 {
	target, _ := sha256d.TargetFromDifficulty(difficulty) // it is positive and finite
	return uint64(math.Round(target.Hashes()))
}

// Tally returns the counts so far.
func (w *Worker) Tally() Tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tallied(time.Now())
}

func (w *Worker) tallied(now time.Time) Tally {
	t := w.tally
	if !w.left.IsZero() {
		t.Away += now.Sub(w.left)
	}
	return t
}

// Connected reports whether the device has a connection.
func (w *Worker) Connected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sessions) > 0
}

// Lost is closed when the worker has submitted nothing for too long and another took
// its place. If its device mines again, that is a new worker.
func (w *Worker) Lost() <-chan struct{} { return w.lost }

// hush is how long a worker may submit nothing after its only share before another may
// take its place. A device that mines submits several shares per second, or soon gets a
// difficulty at which it does.
const hush = 5 * time.Second

// quiet returns how long the worker has submitted nothing, and whether another may take
// its place. A worker in a window keeps its place for as long as a connection may be
// silent; outside a window a disconnected one loses it at once, and one with a known
// rate of shares keeps it for ten times their mean interval.
func (w *Worker) quiet(now time.Time) (since time.Duration, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since = now.Sub(w.heard)
	may := mute
	switch {
	case w.done != nil && !w.flow.begun.IsZero():
		may = idleLimit
	case len(w.sessions) == 0:
		may = 0
	case w.shares < 2:
		may = hush
	case w.flow.n > 0:
		may = min(idleLimit, max(mute, 10*w.flow.active/time.Duration(w.flow.n)))
	}
	return since, since >= may
}

// join adds a connection and returns the least epoch of its jobs.
func (w *Worker) join(s *session) (from uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[s] = struct{}{}
	w.agent, w.address = s.agent, s.address
	return w.from
}

// called notes the name of the device's software, which some devices send only after
// they have authorised.
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
	if len(w.sessions) == 0 && w.left.IsZero() {
		w.left = now
		w.tally.Breaks++
		w.tally.pace.pause()
		w.tally.spacing.last = time.Time{}
		w.flow.pause(now)
	}
}

// throttled notes that the pool leaves the device's input unread for a time.
func (w *Worker) throttled(wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		w.tally.Throttled += wait
	}
}

// renew issues a clean job on every connection; shares of earlier jobs no longer count.
func (w *Worker) renew() {
	w.from = w.srv.epochs.Add(1)
	for s := range w.sessions {
		s.kick(w.from)
	}
}

// note counts the verdict on a share of a job of the given epoch.
func (w *Worker) note(c Class, epoch uint64, luck float64, workers int, now time.Time) {
	present, settled := w.search.note(c, epoch, luck, workers, now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if c <= Stale {
		w.heard = now
		w.shares++
	}
	if c <= Low && (!present || epoch < w.from) { // it is for earlier work
		return
	}
	good := c <= Stale
	if good && !w.left.IsZero() {
		w.tally.Away += now.Sub(w.left)
		w.tally.Resumed++
		w.left = time.Time{}
	}
	if good && settled {
		select {
		case <-w.mining:
		default:
			close(w.mining)
		}
	}
	if !settled {
		return
	}
	w.tally.Count[c]++
	if good {
		w.tally.luck.add(luck)
		w.tally.spacing.add(now)
		w.flow.add(now)
	}
	if c != Accepted {
		return
	}
	w.tally.pace.add(now)
	if w.done != nil {
		w.done.Add(perShare(w.search.tuner.difficulty)) // which is settled
	}
	if w.starts != nil && w.done != nil && w.flow.fresh(now) {
		count, _, _ := w.done.Load()
		t := w.tallied(now)
		w.starts <- bench.Start{At: now, Count: count, Counters: t.told()}
		w.starts = nil
		w.flow.start(now)
	}
}

// quote keeps the first line of each refused class that is counted.
func (w *Worker) quote(c Class, line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tally.Count[c] > 0 && w.tally.quote[c] == "" {
		w.tally.quote[c] = quoted(line)
	}
}

// Info implements [bench.Workload].
func (w *Worker) Info() bench.Info {
	return bench.Info{Name: "stratum", Use: use, Device: results.MinerDevice, Impl: impl, Unit: results.Hash, Threads: 1}
}

const (
	use  = "mining"
	impl = "device" // whatever its hardware
)

// patience is how long Prepare and Begin wait.
const patience = 30 * time.Minute

// Prepare waits until the device mines and the difficulty is settled, which takes about
// half a minute from the first share of a device of unknown rate.
func (w *Worker) Prepare(ctx context.Context) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for _, step := range []struct {
		over chan struct{}
		what string
	}{{w.search.settled, "a difficulty was found for it"}, {w.mining, "it handed in a share"}} {
		select {
		case <-step.over:
		case <-ctx.Done():
			return fmt.Errorf("stratum: worker %.64q: %w before %s", w.name, ctx.Err(), step.what)
		case <-limit.C:
			d, _ := w.Difficulty()
			return fmt.Errorf("stratum: worker %.64q: %v passed before %s, at difficulty %g: is it mining here? Say --expect or --difficulty if it is slower than that asks for", w.name, patience, step.what, d)
		}
	}
	return nil
}

// Run implements [bench.Workload]: it issues jobs and counts their shares until ctx
// ends.
func (w *Worker) Run(ctx context.Context, done *bench.Counter) error {
	if _, settled := w.Difficulty(); !settled {
		return errors.New("stratum: run: Prepare comes first")
	}
	w.mu.Lock()
	w.done, w.flow, w.tally.Throttled = done, flow{}, 0
	w.renew()
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.done, w.starts = nil, nil
	w.mu.Unlock()
	return nil
}

// Begin implements [bench.ShareWorkload].
func (w *Worker) Begin(ctx context.Context) (bench.Start, error) {
	starts := make(chan bench.Start, 1)
	w.mu.Lock()
	w.starts, w.flow.looked = starts, time.Time{}
	w.mu.Unlock()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case s := <-starts:
		return s, nil
	case <-ctx.Done():
		return bench.Start{}, fmt.Errorf("stratum: worker %.64q: %w before it handed in a share of what it was given after the warm-up", w.name, ctx.Err())
	case <-limit.C:
		return bench.Start{}, fmt.Errorf("stratum: worker %.64q: no share of what it was given after the warm-up in %v: has it stopped mining?", w.name, patience)
	}
}

// Gaps implements [bench.ShareWorkload].
func (w *Worker) Gaps() []bench.Gap {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flow.unknown(time.Now())
}

// Close implements [bench.Workload]. The device gets jobs until the server is closed.
func (w *Worker) Close() error { return nil }
