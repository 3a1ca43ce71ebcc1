package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
)

// lockAddress is the lock of this node: an abstract socket on which the first run that
// measures listens. It has no file that could be left behind, created in advance by
// somebody else or hidden from another user, and it is released when its holder ends,
// in whatever way. A run in another network namespace, such as a container's, has
// another lock; there the load of the machine shows it.
const lockAddress = "@perwatt/measuring"

const (
	mostNeighbours  = 64          // connections at a time, and remembered neighbours
	shownNeighbours = 4           // in a warning
	greetLimit      = time.Second // for a holder to accept a connection
)

// Neighbour is another perwatt run on this node, as the kernel knows it.
type Neighbour struct {
	PID, UID int    // PID is 0 if it cannot be seen from here
	Command  string // program and subcommand, from its command line
	Since    time.Time
}

func (n Neighbour) String() string {
	if n.PID == 0 {
		return "a process that cannot be seen from here"
	}
	s := fmt.Sprintf("process %d of user %d", n.PID, n.UID)
	if !n.Since.IsZero() {
		s += " since " + n.Since.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	if n.Command != "" {
		s += " (" + n.Command + ")"
	}
	return s
}

// Neighbours detects other runs that measure on this node at the same time. It does not
// block them, because then one process could block all others for ever: each run gets a
// warning about the others.
type Neighbours struct {
	address string
	stop    context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	seen []*stay
}

// stay is the time for which a neighbour measured here.
type stay struct {
	who  Neighbour
	left time.Time // zero while it does
}

// Announce declares that this process measures from now on, until Close. Before that it
// waits for others to end, for at most patience, and calls wait with the first of them.
// If one still measures then, this process measures beside it, or, if it is to be alone,
// declares nothing and returns a [NotAlone].
func Announce(ctx context.Context, patience time.Duration, alone bool, wait func(Neighbour)) (*Neighbours, error) {
	return announce(ctx, lockAddress, patience, alone, wait)
}

// NotAlone is the error of a run that is to be alone, beside another.
type NotAlone struct{ Neighbour }

func (n NotAlone) Error() string {
	return "another perwatt run measures on this machine: " + n.String()
}

func announce(ctx context.Context, address string, patience time.Duration, alone bool, wait func(Neighbour)) (*Neighbours, error) {
	living, stop := context.WithCancel(context.WithoutCancel(ctx))
	n := &Neighbours{address: address, stop: stop, done: make(chan struct{})}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, first := n.listen(), true
	for l == nil && limit.Err() == nil {
		n.visit(limit, "", func(who Neighbour) {
			if first {
				wait(who)
			}
			first = false
		})
		l = n.listen()
	}
	if err := ctx.Err(); err != nil {
		stop()
		if l != nil {
			l.Close() // #nosec G104 -- nobody was let in
		}
		return nil, err
	}
	if alone && l == nil {
		// It is named without a word to it: its record is not disturbed.
		var who Neighbour
		greet, known := context.WithCancel(ctx)
		n.visit(greet, "", func(n Neighbour) { who = n; known() })
		known()
		stop()
		return nil, NotAlone{who}
	}
	met := make(chan struct{})
	go n.keep(living, l, sync.OnceFunc(func() { close(met) }))
	<-met
	return n, nil
}

// listen takes the lock, or returns nil.
func (n *Neighbours) listen() *net.UnixListener {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: n.address, Net: "unix"})
	if err != nil {
		return nil
	}
	return l
}

// keep holds the lock, or stays connected to its holder, until ctx ends. It calls met
// once the holder is known.
func (n *Neighbours) keep(ctx context.Context, l *net.UnixListener, met func()) {
	defer close(n.done)
	for ctx.Err() == nil {
		if l != nil {
			met()
			n.hold(ctx, l)
		} else {
			var of *stay
			n.visit(ctx, "m", func(who Neighbour) { of = n.enter(who); met() })
			n.leave(of)
			met()
		}
		l = nil
		if ctx.Err() == nil {
			l = n.listen()
		}
	}
}

// hold accepts and notes others that measure, until ctx ends.
func (n *Neighbours) hold(ctx context.Context, l *net.UnixListener) {
	defer context.AfterFunc(ctx, func() { l.Close() })() // #nosec G104 -- the end of Accept
	var wait sync.WaitGroup
	defer wait.Wait()
	places := make(chan struct{}, mostNeighbours)
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // no file is free
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			c.Close() // #nosec G104 -- there are enough
			continue
		}
		wait.Go(func() {
			defer func() { <-places }()
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })() // #nosec G104 -- the end of Read
			var b [1]byte
			if got, err := c.Read(b[:]); got == 0 || err != nil {
				return // it waits, and does not measure
			}
			of := n.enter(neighbour(c))
			defer n.leave(of)
			_, _ = c.Read(b[:]) // its end, or a byte that no run sends
		})
	}
}

// visit stays connected to the holder of the lock until that or ctx ends. It sends
// word, unless that is empty.
func (n *Neighbours) visit(ctx context.Context, word string, met func(Neighbour)) {
	c, err := (&net.Dialer{Timeout: greetLimit}).DialContext(ctx, "unix", n.address)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = sleep(ctx, 10*time.Millisecond)
		return // the holder has just ended, or does not listen yet
	}
	if err != nil {
		met(Neighbour{}) // it holds the lock and accepts nobody
		_ = sleep(ctx, greetLimit)
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })() // #nosec G104 -- the end of Read
	met(neighbour(c.(*net.UnixConn)))
	if _, err := c.Write([]byte(word)); err != nil {
		return
	}
	var b [1]byte
	if got, _ := c.Read(b[:]); got > 0 {
		_ = sleep(ctx, greetLimit) // no run sends anything, so this is something else: do not reconnect at once
	}
}

func (n *Neighbours) enter(who Neighbour) *stay {
	n.mu.Lock()
	defer n.mu.Unlock()
	of := &stay{who: who}
	n.seen = append(n.seen[max(0, len(n.seen)+1-mostNeighbours):], of)
	return of
}

func (n *Neighbours) leave(of *stay) {
	if of != nil {
		n.mu.Lock()
		of.left = time.Now()
		n.mu.Unlock()
	}
}

// Since lists the neighbours that measured at any time since from, each once.
func (n *Neighbours) Since(from time.Time) (out []Neighbour) {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.seen {
		if (s.left.IsZero() || !s.left.Before(from)) && !slices.Contains(out, s.who) {
			out = append(out, s.who)
		}
	}
	return out
}

// Close declares that this process no longer measures.
func (n *Neighbours) Close() {
	n.stop()
	<-n.done
}

// NeighbourWarning returns the warning for a record about others that measured at the
// same time.
func NeighbourWarning(others []Neighbour) results.Warning {
	var shown []string
	for _, o := range others[:min(len(others), shownNeighbours)] {
		shown = append(shown, o.String())
	}
	if more := len(others) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return results.Warning{
		Code:   "second-run",
		Text:   "another perwatt run measured on this machine at the same time: " + strings.Join(shown, ", "),
		Remedy: "let one end before the next begins: perwatt run --wait 1h",
	}
}

// neighbour returns the process at the other end of a connection.
func neighbour(c *net.UnixConn) Neighbour {
	var cred *unix.Ucred
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { cred, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	}
	if err != nil || cred == nil || cred.Pid <= 0 {
		return Neighbour{}
	}
	n := Neighbour{PID: int(cred.Pid), UID: int(cred.Uid)}
	dir := filepath.Join("/proc", strconv.Itoa(n.PID))
	// The program and its first argument only: later ones may hold a secret.
	words := strings.Split(string(readFile(filepath.Join(dir, "cmdline"), maxText)), "\x00")
	words[0] = filepath.Base(words[0])
	n.Command = clean(strings.Join(words[:min(2, len(words))], " "))
	n.Since = startOf(readFile(filepath.Join(dir, "stat"), maxText))
	return n
}

// startOf returns the start time of a process from its /proc/PID/stat, where field 22
// is in hundredths of a second since boot; zero if unknown.
func startOf(stat []byte) (began time.Time) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var up unix.Timespec
	if len(f) < 20 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return began
	}
	ticks, err := strconv.ParseInt(string(f[19]), 10, 64)
	if err != nil || ticks < 0 || ticks > up.Nano()/1e7 {
		return began
	}
	return time.Now().Add(time.Duration(ticks*1e7 - up.Nano())).Truncate(time.Second)
}
