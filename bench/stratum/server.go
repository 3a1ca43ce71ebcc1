// Package stratum measures mining by a separate device, such as an ASIC: it acts as the
// device's pool.
//
// It serves any number of devices on one port with Stratum V1. It issues dummy jobs
// that look like a pool's, finds a difficulty for each connection and then keeps it,
// and verifies every share with crypto/sha256. A device is known by the name of its
// worker and is a [bench.Workload]. Its count is the number of hashes that its shares
// stand for; the hashrate that the device reports is not used.
//
// [Worker.Check] tests whether the shares come from honest work, by their luck, pace
// and spacing and by the refused ones. [Worker.Gaps] lists the intervals in which the
// device's work is unknown. The package does not pay, look for blocks, or change the
// difficulty of a device while it is measured; it knows nothing of watts and windows.
package stratum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Config configures a pool. Its zero value is valid.
type Config struct {
	Expect      float64       // expected hash/s of each device; 0 if unknown
	Difficulty  float64       // of all shares, fixed from the start; 0 to find one for each device
	Extranonce2 int           // bytes that a device rolls, 4 to 8; 0 means 4
	Refresh     time.Duration // between jobs; 0 means 30 s. Firmware drops a pool that is silent for 60 s
	Block       time.Duration // between clean jobs, each of which makes a little work stale, as a new block does; 0 means 10 min
	Connections int           // upper limit; one address may have three quarters of it; 0 means 16,384
	Workers     int           // upper limit of those that have submitted a share; 0 means as many as connections

	// Joined is called for every worker when it submits its first share. It must return
	// at once, as must Notice.
	Joined func(*Worker)
	// Notice is called for every client that is turned away, with the reason, and for
	// every worker that submits nothing; once per address and text. The number of
	// notices is limited, per address and in all; [ProtocolErrors] counts the others.
	Notice func(address, text string)
}

// Server is a pool.
type Server struct {
	cfg     Config
	ids     atomic.Uint32
	targets sync.Map // of each difficulty

	// epochs numbers the instants from which jobs count: a job belongs to the latest
	// epoch at the start of its creation.
	epochs atomic.Uint64

	mu        sync.Mutex
	newest    *template
	workers   map[string]*Worker
	order     []*Worker
	placed    []*Worker      // those that have a place
	places    map[string]int // of each address
	fixed     *search        // shared by all, if the difficulty is fixed
	conns     map[*conn]struct{}
	addresses map[string]int                 // connections by address
	names     map[string]int                 // workers without a place, by address
	noticed   map[string]map[string]struct{} // texts of notices, by address
	notices   int
	closed    bool
	serving   sync.WaitGroup

	count struct{ malformed, unauthorised, refused, dropped, came, untold atomic.Uint64 }
}

// Limits on notices.
const (
	maxNotices  = 256
	maxNoticesA = 8 // per address
)

// New returns a pool. The error wraps [bench.ErrUsage].
func New(cfg Config) (*Server, error) {
	if cfg.Extranonce2 == 0 {
		cfg.Extranonce2 = 4
	}
	if cfg.Refresh == 0 {
		cfg.Refresh = 30 * time.Second
	}
	if cfg.Block == 0 {
		cfg.Block = 10 * time.Minute
	}
	if cfg.Connections == 0 {
		cfg.Connections = 16384
	}
	if cfg.Workers == 0 {
		cfg.Workers = cfg.Connections
	}
	bad := func(format string, args ...any) (*Server, error) {
		return nil, fmt.Errorf("stratum: %w: %s", bench.ErrUsage, fmt.Sprintf(format, args...))
	}
	switch {
	case cfg.Extranonce2 < 4 || cfg.Extranonce2 > maxTheirs:
		return bad("extranonce2 of %d bytes: use 4 to %d", cfg.Extranonce2, maxTheirs)
	case cfg.Refresh < 10*time.Millisecond || cfg.Refresh > time.Minute:
		return bad("a job every %v: use at most a minute, for which firmware waits", cfg.Refresh)
	case cfg.Block < cfg.Refresh:
		return bad("a clean job every %v: use as long as a refresh (%v), or longer", cfg.Block, cfg.Refresh)
	case cfg.Difficulty != 0 && !(cfg.Difficulty >= leastDifficulty && cfg.Difficulty <= 0x1p62):
		return bad("difficulty %v: use %v to 2^62", cfg.Difficulty, leastDifficulty)
	case cfg.Expect != 0 && !(cfg.Expect >= 1 && cfg.Expect <= 1e21):
		return bad("%v hash/s expected: use 1 to 1e21", cfg.Expect)
	case cfg.Connections < 1:
		return bad("%d connections: use 1 or more", cfg.Connections)
	case cfg.Workers < 1:
		return bad("%d workers: use 1 or more", cfg.Workers)
	}
	s := &Server{
		cfg: cfg, workers: map[string]*Worker{}, conns: map[*conn]struct{}{}, addresses: map[string]int{}, names: map[string]int{}, places: map[string]int{},
		noticed: map[string]map[string]struct{}{},
	}
	if cfg.Difficulty > 0 {
		s.fixed = newSearch(s, time.Now())
	}
	return s, nil
}

// Workers returns the workers with a place, which they keep while they mine or nobody
// else needs it, and the connected ones without a place, in the order of their
// appearance.
func (s *Server) Workers() []*Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Worker(nil), s.order...)
}

// ProtocolErrors counts what came from clients other than workers: malformed lines,
// shares without an authorised name, and connections that were refused or dropped. Came
// counts all connections, and Untold the refusals without a notice.
type ProtocolErrors struct{ Malformed, Unauthorised, Refused, Dropped, Came, Untold uint64 }

// ProtocolErrors returns the counts so far.
func (s *Server) ProtocolErrors() ProtocolErrors {
	return ProtocolErrors{
		s.count.malformed.Load(), s.count.unauthorised.Load(), s.count.refused.Load(), s.count.dropped.Load(),
		s.count.came.Load(), s.count.untold.Load(),
	}
}

// notice calls Notice, once per address and text.
func (s *Server) notice(address, text string) {
	s.mu.Lock()
	told := s.noticed[address]
	_, again := told[text]
	full := !again && (len(told) >= maxNoticesA || s.notices >= maxNotices)
	fresh := !again && !full
	if fresh {
		if told == nil {
			told = map[string]struct{}{}
			s.noticed[address] = told
		}
		told[text] = struct{}{}
		s.notices++
	}
	s.mu.Unlock()
	if full {
		s.count.untold.Add(1)
	}
	if fresh && s.cfg.Notice != nil {
		s.cfg.Notice(address, text)
	}
}

// worker returns the worker of a name for a connection with the search h, which is nil
// before its first worker; or the reason why there is none.
func (s *Server) worker(name, address string, h *search, now time.Time) (w *Worker, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w = s.workers[name]; w != nil {
		if h != nil && w.search != h {
			return nil, "a worker of this connection mines on another one too, at a difficulty of its own: give each its connection, or all one with --difficulty"
		}
		return w, ""
	}
	if n := s.names[address]; n >= max(1, s.cfg.Connections*3/4) || len(s.order)-len(s.placed) >= s.cfg.Connections {
		return nil, fmt.Sprintf("%d names have come from there that handed in nothing", n)
	}
	switch {
	case h != nil:
	case s.fixed != nil:
		h = s.fixed
	default:
		h = newSearch(s, now)
	}
	w = newWorker(s, name, address, h, now)
	s.workers[name] = w
	s.order = append(s.order, w)
	s.names[address]++
	return w, ""
}

// manyPlaces is the number of places from which on one address may not have all.
const manyPlaces = 64

// place gives a place to a worker that has submitted a share, if necessary that of a
// quiet one, or returns the reason why there is none.
func (s *Server) place(w *Worker, now time.Time) (why string) {
	if w.placed.Load() {
		return ""
	}
	s.mu.Lock()
	if w.placed.Load() { // another connection of the same worker was first
		s.mu.Unlock()
		return ""
	}
	home := "" // address of the worker that may lose its place; empty for any
	switch {
	case s.cfg.Workers >= manyPlaces && s.places[w.home] >= s.cfg.Workers*3/4:
		why, home = fmt.Sprintf("three quarters of all places for workers (%d) are taken from there", s.cfg.Workers), w.home
	case len(s.placed) == s.cfg.Workers:
		why = fmt.Sprintf("there are %d workers, which is all that there may be", s.cfg.Workers)
	}
	var quiet *Worker
	if why != "" {
		if quiet = s.quiet(home, now); quiet != nil {
			why = ""
			s.forget(quiet)
		}
	}
	if why == "" {
		w.placed.Store(true)
		s.placed = append(s.placed, w)
		s.places[w.home]++
		drop(s.names, w.home)
	}
	s.mu.Unlock()
	if quiet != nil {
		s.notice(quiet.home, "a worker that handed in nothing for too long gave its place to another that did")
	}
	if why == "" && s.cfg.Joined != nil {
		s.cfg.Joined(w)
	}
	return why
}

// quiet returns, of the workers that have been quiet for too long to keep their place,
// the one that has been quiet for longest, from one address or from any; nil if there
// is none.
func (s *Server) quiet(home string, now time.Time) (quiet *Worker) {
	var longest time.Duration
	for _, o := range s.placed {
		if home != "" && o.home != home {
			continue
		}
		if since, over := o.quiet(now); over && (quiet == nil || since > longest) {
			quiet, longest = o, since
		}
	}
	return quiet
}

// forget removes a worker.
func (s *Server) forget(w *Worker) {
	delete(s.workers, w.name)
	s.order = slices.DeleteFunc(s.order, func(o *Worker) bool { return o == w })
	if w.placed.Load() {
		s.placed = slices.DeleteFunc(s.placed, func(o *Worker) bool { return o == w })
		drop(s.places, w.home)
	} else {
		drop(s.names, w.home)
	}
	close(w.lost)
}

// drop decrements the count of an address.
func drop(of map[string]int, address string) {
	if of[address]--; of[address] == 0 {
		delete(of, address)
	}
}

// left forgets a worker that disconnected and never submitted a share.
func (s *Server) left(w *Worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.workers[w.name] == w && !w.placed.Load() && !w.Connected() {
		s.forget(w)
	}
}

// template returns the current template, for jobs that are issued now.
func (s *Server) template(now time.Time) *template {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil || now.Sub(s.newest.made) >= s.cfg.Refresh/2 {
		s.newest = newTemplate(now, s.cfg.Extranonce2)
	}
	return s.newest
}

// jobID returns an identifier that does not repeat within 2^32 jobs.
func (s *Server) jobID() string { return strconv.FormatUint(uint64(s.ids.Add(1)), 16) }

// target returns the target of a difficulty.
func (s *Server) target(difficulty float64) sha256d.Target {
	if t, ok := s.targets.Load(difficulty); ok {
		return t.(sha256d.Target)
	}
	t, _ := sha256d.TargetFromDifficulty(difficulty) // it is positive and finite
	s.targets.Store(difficulty, t)
	return t
}

// Serve accepts devices from l until ctx ends; then it closes l and every connection,
// waits for them, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.serving.Wait()
	stop := context.AfterFunc(ctx, func() {
		l.Close() // #nosec G104 -- ctx has ended it, whatever closing it says
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		for c := range s.conns {
			c.Close() // #nosec G104 -- ctx has ended it, whatever closing it says
		}
	})
	defer stop()
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close() // #nosec G104 -- it came too late, whatever closing it says
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("stratum: accept: %w", err)
			}
			// Out of files, or the connection is gone already: retry later.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			wait := time.NewTimer(pause)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
			}
			continue
		}
		pause = 0
		if c := s.admit(nc); c != nil {
			s.serving.Go(func() { c.serve() })
		}
	}
}

// admit makes room for a connection, or closes it.
func (s *Server) admit(nc net.Conn) *conn {
	host, _, err := net.SplitHostPort(nc.RemoteAddr().String())
	if err != nil {
		host = nc.RemoteAddr().String()
	}
	s.count.came.Add(1)
	s.mu.Lock()
	full, many := len(s.conns) >= s.cfg.Connections, s.addresses[host] >= max(1, s.cfg.Connections*3/4)
	if s.closed || full || many {
		s.mu.Unlock()
		s.count.refused.Add(1)
		nc.Close() // #nosec G104 -- it is turned away, whatever closing it says
		switch {
		case full:
			s.notice(host, fmt.Sprintf("turned away: there are %d connections, which is all that there may be", s.cfg.Connections))
		case many:
			s.notice(host, "turned away: three quarters of all connections are from there")
		}
		return nil
	}
	defer s.mu.Unlock()
	c := newConn(s, nc, host)
	s.conns[c] = struct{}{}
	s.addresses[host]++
	return c
}

// dismiss removes a connection.
func (s *Server) dismiss(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	drop(s.addresses, c.host)
}
