package harness

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

const (
	beatEvery = 100 * time.Millisecond
	// A thread that wants to run and does not for so long is not late, if
	// nothing is known to have kept it: on two cores with ten busy processes the
	// latest of a hundred thousand beats was unexplained for 72 ms.
	haltLeast = 500 * time.Millisecond
)

// Heartbeat finds out when this process, a worker or the machine stood still,
// and when the wall clock was set. A thread of its own sleeps for a moment again
// and again. If it wakes late, and what the kernel says of its wait for a CPU, of
// stolen time, of quotas and of memory does not explain it, the process was
// stopped, traced or frozen, or the guest that it runs in was paused. Workers are
// looked at from here: the kernel tells their state.
//
// It does not see a stop of less than half a second of this process.
type Heartbeat struct {
	roots  Roots
	host   *host
	clock  func(id int32) (time.Duration, error)
	origin time.Duration // what the wall clock was ahead by at the first look that told
	quit   chan struct{}
	wait   sync.WaitGroup

	mu       sync.Mutex
	samplers map[*sampler]bool
}

// look is what is known at one instant.
type look struct {
	woke, slept time.Time     // when the look began, and ended
	withheld    time.Duration // since boot: for which something kept the thread from running
	asleep      time.Duration // since boot: see [results.SuspendedMachine]
	wall        time.Duration // ahead of the clock that counts sleep too
	timed       bool          // asleep and wall are known
}

// beat is what lies between two looks.
type beat struct {
	from, to     time.Time
	stood, slept time.Duration
	wall         time.Duration
	timed        bool
}

// StartHeartbeat starts one for the machine whose trees are at roots; see
// [Fingerprint]. It lasts until Stop.
func StartHeartbeat(roots Roots) (*Heartbeat, error) {
	roots = roots.orHere()
	host, err := openHost(roots)
	if err != nil {
		return nil, err
	}
	h := &Heartbeat{roots: roots, host: host, clock: readClock, quit: make(chan struct{}), samplers: map[*sampler]bool{}}
	h.wait.Go(h.run)
	return h, nil
}

// Stop ends it, within a beat.
func (h *Heartbeat) Stop() {
	close(h.quit)
	h.wait.Wait()
	h.host.times.close()
}

// tell has a sampler told of each beat from now on, or no longer.
func (h *Heartbeat) tell(s *sampler, on bool) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.samplers[s] = true; !on {
		delete(h.samplers, s)
	}
}

func (h *Heartbeat) run() {
	// Its own thread: the kernel's account of its wait is of no other.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	last := h.look()
	for before := last; ; {
		select {
		case <-h.quit:
			return
		default:
		}
		pause := unix.NsecToTimespec(int64(beatEvery))
		_ = unix.Nanosleep(&pause, nil) // if a signal wakes it early, it is early
		now := h.look()
		b := between(before, last, now)
		h.mu.Lock()
		for s := range h.samplers {
			s.beat(b, h.roots)
		}
		h.mu.Unlock()
		before, last = last, now
		if b.stood > 0 {
			before = now // it is counted once
		}
	}
}

// look takes what is known now. The clock is read before the accounts on the
// way in and after them on the way out, so that what they explain is never less
// than what lies between.
func (h *Heartbeat) look() look {
	l := look{woke: time.Now()}
	_, stolen, _ := h.host.times.read() // nothing known explains nothing
	held, _ := h.host.strain.held()
	some, _, _ := h.host.strain.waits(h.host.strain.host)
	// By its number: another thread reads the file.
	l.withheld = parseDelay(h.roots.text(h.roots.proc(fmt.Sprintf("self/task/%d/schedstat", unix.Gettid())))) + time.Duration((stolen+held+some)*float64(time.Second))
	if l.asleep, l.wall, l.timed = h.clocks(); l.timed && h.origin == 0 {
		h.origin = l.wall
	}
	l.wall = (l.wall - h.origin).Round(time.Millisecond)
	l.slept = time.Now()
	return l
}

// between is what happened from the look last to now. A stop may also come while
// a look is taken, which on a busy machine lasts as long as the sleep: one in the
// look last shows in the time from the look before it.
func between(before, last, now look) beat {
	out := beat{from: last.woke, to: now.woke}
	late := func(since look, sleeps time.Duration) time.Duration {
		return now.woke.Sub(since.slept) - sleeps*beatEvery - (now.withheld - since.withheld)
	}
	if stood := max(late(last, 1), late(before, 2)); stood >= haltLeast {
		out.stood = stood
	}
	if out.timed = last.timed && now.timed; out.timed {
		// Two clocks are not read at once, and a machine does not sleep for less.
		out.slept = (now.asleep - last.asleep).Round(10 * time.Millisecond)
		out.wall = now.wall
	}
	return out
}

// clocks reads how long the machine has slept since it was started, and how far
// the wall clock is from the one that counts this too; again, if something came
// in between.
func (h *Heartbeat) clocks() (asleep, wall time.Duration, ok bool) {
	for range 5 {
		var t [4]time.Duration
		for i, id := range []int32{unix.CLOCK_BOOTTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_REALTIME, unix.CLOCK_BOOTTIME} {
			var err error
			if t[i], err = h.clock(id); err != nil {
				return 0, 0, false
			}
		}
		if t[3]-t[0] < time.Millisecond {
			return t[0] - t[1], t[2] - t[0], true
		}
	}
	return 0, 0, false
}

func readClock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(id, &ts)
	return time.Duration(ts.Nano()), err
}

// parseDelay reads how long a thread has waited for a CPU, the second number of
// its schedstat in ns (kernel: Documentation/scheduler/sched-stats.rst); 0 where
// the kernel keeps no account.
func parseDelay(s string) time.Duration {
	f := strings.Fields(s)
	if len(f) < 2 {
		return 0
	}
	ns, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || ns < 0 {
		return 0
	}
	return time.Duration(ns)
}

// halted reports whether a process is stopped by a signal, traced, or frozen by
// its control group.
func (r Roots) halted(pid int) bool {
	s := r.text(r.proc(fmt.Sprintf("%d/stat", pid)))
	_, rest, _ := strings.Cut(s[strings.LastIndexByte(s, ')')+1:], " ")
	state, _, _ := strings.Cut(rest, " ")
	return state == "T" || state == "t" || r.frozen(fmt.Sprint(pid))
}

// frozen reports whether a process is in a frozen group that this one is not in:
// in that, this one would not get to ask.
func (r Roots) frozen(pid string) bool {
	if theirs := r.text(r.proc(pid + "/cgroup")); theirs == "" || theirs == r.text(r.proc("self/cgroup")) {
		return false
	}
	return slices.ContainsFunc(r.cgroups(pid).all, func(g cgroup) bool {
		if g.v2 {
			return slices.Contains(strings.Split(r.text(filepath.Join(g.dirs[0], "cgroup.events")), "\n"), "frozen 1")
		}
		return strings.Contains(g.has, ",freezer,") && r.text(filepath.Join(g.dirs[0], "freezer.state")) == "FROZEN"
	})
}

// beat takes in a beat, and looks at the workers.
func (s *sampler) beat(b beat, roots Roots) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := max(s.clock.of(b.from), s.began), s.clock.of(b.to)
	s.rise(results.HarnessSuspended, from, to, b.stood)
	if b.timed {
		s.rise(results.MachineSuspended, from, to, b.slept)
		s.trace(results.Trace{Key: results.HostWall, Unit: results.Second, Kind: results.Gauge}).AddLevel(to, results.Float(b.wall.Seconds()), nil)
	}
	for _, p := range s.procs {
		halted := roots.halted(p.pid)
		stood := time.Duration(0)
		if halted && p.halted { // and so in between
			stood = (to - from).Duration()
		}
		s.rise(p.key(results.TraceSuspended), from, to, stood)
		p.halted = halted
	}
}

// rise has a counter go up between two instants.
func (s *sampler) rise(key results.TraceKey, from, to results.Float, by time.Duration) {
	tr := s.trace(results.Trace{Key: key, Unit: results.Second, Kind: results.Counter})
	if len(tr.T) == 0 {
		tr.AddLevel(from, 0, nil)
	}
	tr.AddLevel(to, micro(float64(tr.V[len(tr.V)-1])+by.Seconds()), nil)
}
