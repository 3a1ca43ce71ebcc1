// Package stratum is mining by a device that runs no Go: a pool that measures.
//
// It speaks Stratum V1 to any number of devices on one port, gives them work
// that looks like a pool's and is nobody's, at a difficulty that is found for
// each and then kept, and hashes every share again with crypto/sha256. A
// device, known by the name of its worker, is a [bench.Workload] whose count
// is the hashes that its shares stand for; what it says of itself is nowhere
// in it.
//
// Whether the shares are those of honest work is said by [Worker.Check]: their
// luck, their pace and what was refused. What this package does not do: pay,
// look for blocks, change the difficulty of a device while it is measured, or
// know of watts and windows.
package stratum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Config is how a pool is set up. Its zero value is a good one.
type Config struct {
	Expect      float64       // hash/s of each device; 0 if it is not known
	Difficulty  float64       // of all shares, kept from the start; 0 has one found for each device
	Extranonce2 int           // bytes that a device rolls, 4 to 8; 0 means 4
	Refresh     time.Duration // between jobs; 0 means 30 s. Firmware drops a pool that is silent for 60 s
	Block       time.Duration // between clean jobs, each of which leaves a little work stale, as a block does; 0 means 10 min
	Connections int           // at most, three quarters of them from one address; 0 means 16,384
	Workers     int           // at most; 0 means as many as connections

	// Joined is told of every worker when it is first seen. It must return at
	// once.
	Joined func(*Worker)
}

// Server is a pool.
type Server struct {
	cfg     Config
	ids     atomic.Uint32
	targets sync.Map // of each difficulty

	mu        sync.Mutex
	newest    *template
	workers   map[string]*Worker
	order     []*Worker
	conns     map[*conn]struct{}
	addresses map[string]int // connections from each
	closed    bool
	serving   sync.WaitGroup

	count struct{ malformed, unauthorised, refused, dropped atomic.Uint64 }
}

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
	return &Server{cfg: cfg, workers: map[string]*Worker{}, conns: map[*conn]struct{}{}, addresses: map[string]int{}}, nil
}

// Listen opens a port for devices. An address without a host, such as :3333
// or 3333, is on the loopback interface: who lets strangers in says so, with
// 0.0.0.0:3333 or the address of an interface.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("stratum: listen on %.80q: %w: %w: use HOST:PORT, or :PORT for this machine alone", address, bench.ErrUsage, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("stratum: listen for devices: %w: choose another port, or an address of this machine", err)
	}
	return l, nil
}

// Workers are all that were ever seen, in the order of their first
// appearance.
func (s *Server) Workers() []*Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Worker(nil), s.order...)
}

// Noise is what came from clients that are no worker: lines that are no
// request, shares before a name, and connections that were turned away or
// dropped.
type Noise struct{ Malformed, Unauthorised, Refused, Dropped uint64 }

// Noise returns what came so far.
func (s *Server) Noise() Noise {
	return Noise{s.count.malformed.Load(), s.count.unauthorised.Load(), s.count.refused.Load(), s.count.dropped.Load()}
}

// worker returns the one of that name, nil if there are too many.
func (s *Server) worker(name string, now time.Time) *Worker {
	s.mu.Lock()
	w := s.workers[name]
	fresh := w == nil && len(s.order) < s.cfg.Workers
	if fresh {
		w = newWorker(s, name, now)
		s.workers[name] = w
		s.order = append(s.order, w)
	}
	s.mu.Unlock()
	if fresh && s.cfg.Joined != nil {
		s.cfg.Joined(w)
	}
	return w
}

// template is the present one, for jobs that are issued now.
func (s *Server) template(now time.Time) *template {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest == nil || now.Sub(s.newest.made) >= s.cfg.Refresh/2 {
		s.newest = newTemplate(now, s.cfg.Extranonce2)
	}
	return s.newest
}

// jobID is never the same twice in the four thousand million next jobs.
func (s *Server) jobID() string { return strconv.FormatUint(uint64(s.ids.Add(1)), 16) }

// target is that of a difficulty.
func (s *Server) target(difficulty float64) sha256d.Target {
	if t, ok := s.targets.Load(difficulty); ok {
		return t.(sha256d.Target)
	}
	t, _ := sha256d.TargetFromDifficulty(difficulty) // it is positive and finite
	s.targets.Store(difficulty, t)
	return t
}

// Serve accepts devices from l until ctx ends, and then closes l and every
// connection and waits for them. It returns nil if ctx is why it ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.serving.Wait()
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		for c := range s.conns {
			c.Close()
		}
	})
	defer stop()
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("stratum: accept: %w", err)
			}
			// Out of files, or a connection that was gone already: later.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.cfg.Connections || s.addresses[host] >= max(1, s.cfg.Connections*3/4) {
		s.count.refused.Add(1)
		nc.Close()
		return nil
	}
	c := newConn(s, nc, host)
	s.conns[c] = struct{}{}
	s.addresses[host]++
	return c
}

// dismiss takes a connection from the books.
func (s *Server) dismiss(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.addresses[c.host]--; s.addresses[c.host] == 0 {
		delete(s.addresses, c.host)
	}
}
