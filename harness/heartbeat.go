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
	// A delay of less than this without a known cause is not reported as a halt: on two
	// cores with ten busy processes, the longest unexplained delay in a hundred
	// thousand beats was 72 ms.
	haltLeast = 500 * time.Millisecond
)

// Heartbeat detects when this process, a worker or the machine stood still, and when
// the wall clock was set. Its own thread sleeps for a moment again and again. If it
// wakes late, and the kernel's accounts of CPU waits, stolen time, quotas and memory
// waits do not explain the delay, the process was stopped, traced or frozen, or the
// guest in which it runs was paused. The state of the workers is read from the kernel.
//
// It does not detect halts of this process that are shorter than half a second.
type Heartbeat struct {
	roots  Roots
	host   *host
	clock  func(id int32) (time.Duration, error)
	origin time.Duration // how far the wall clock was ahead at the first look with clocks
	quit   chan struct{}
	wait   sync.WaitGroup

	mu       sync.Mutex
	samplers map[*sampler]bool
}

// look is the state at one instant.
type look struct {
	woke, slept time.Time     // when the look began and ended
	withheld    time.Duration // since boot: time for which a known cause kept the thread from running
	asleep      time.Duration // since boot: see [results.SuspendedMachine]
	wall        time.Duration // how far the wall clock is ahead of the boot-time clock, less origin
	timed       bool          // asleep and wall are known
}

// beat is the interval between two looks.
type beat struct {
	from, to     time.Time
	stood, slept time.Duration
	wall         time.Duration
	timed        bool
}

// StartHeartbeat starts a Heartbeat for the machine whose trees are at roots; see
// [Fingerprint]. It runs until Stop.
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

// Stop ends it within one beat.
func (h *Heartbeat) Stop() {
	close(h.quit)
	h.wait.Wait()
	h.host.times.close()
}

// tell subscribes a sampler to the beats, or unsubscribes it.
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
	// Locked, because the kernel's account of waits for a CPU is per thread.
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
		_ = unix.Nanosleep(&pause, nil) // an early wake by a signal does no harm
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

// look reads the present state. The clock is read before and after the accounts, as
// woke and slept, so that from one look to the next the accounts always cover at least
// the time that is compared with them.
func (h *Heartbeat) look() look {
	l := look{woke: time.Now()}
	_, stolen, _ := h.host.times.read() // 0 on an error, which explains no delay
	held, _ := h.host.strain.held()
	some, _, _ := h.host.strain.waits(h.host.strain.host)
	// By thread number, because another thread reads the file.
	l.withheld = parseDelay(h.roots.text(h.roots.proc(fmt.Sprintf("self/task/%d/schedstat", unix.Gettid())))) + time.Duration((stolen+held+some)*float64(time.Second))
	if l.asleep, l.wall, l.timed = h.clocks(); l.timed && h.origin == 0 {
		h.origin = l.wall
	}
	l.wall = (l.wall - h.origin).Round(time.Millisecond)
	l.slept = time.Now()
	return l
}

// between returns the beat from the look last to now. A halt may also fall into a look,
// which on a busy machine takes as long as the sleep. A halt during the look last shows
// in the time since before, the look before it.
func between(before, last, now look) beat {
	out := beat{from: last.woke, to: now.woke}
	late := func(since look, sleeps time.Duration) time.Duration {
		return now.woke.Sub(since.slept) - sleeps*beatEvery - (now.withheld - since.withheld)
	}
	if stood := max(late(last, 1), late(before, 2)); stood >= haltLeast {
		out.stood = stood
	}
	if out.timed = last.timed && now.timed; out.timed {
		// Rounded because the two clocks are not read at the same instant; no machine
		// sleeps for less.
		out.slept = (now.asleep - last.asleep).Round(10 * time.Millisecond)
		out.wall = now.wall
	}
	return out
}

// clocks reads how long the machine has slept since boot, and how far the wall clock is
// ahead of the boot-time clock, which includes sleep. It retries if the reads took too
// long.
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

// parseDelay reads how long a thread has waited for a CPU, the second number of its
// schedstat in ns (kernel: Documentation/scheduler/sched-stats.rst); 0 if the kernel
// keeps no such account.
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

// frozen reports whether a process is in a frozen control group. A group that contains
// this process as well cannot be frozen while it runs.
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

// beat records a beat, and the state of the workers.
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
		if halted && p.halted { // and so assumed in between
			stood = (to - from).Duration()
		}
		s.rise(p.key(results.TraceSuspended), from, to, stood)
		p.halted = halted
	}
}

// rise records the increase of a counter between two instants.
func (s *sampler) rise(key results.TraceKey, from, to results.Float, by time.Duration) {
	tr := s.trace(results.Trace{Key: key, Unit: results.Second, Kind: results.Counter})
	if len(tr.T) == 0 {
		tr.AddLevel(from, 0, nil)
	}
	tr.AddLevel(to, micro(float64(tr.V[len(tr.V)-1])+by.Seconds()), nil)
}
