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

// lockAddress is the lock of this node: an abstract socket, which whoever
// measures first listens on. It has no file that could be left behind, made
// before by a stranger or hidden from another user, and it is free when its
// holder ends, however that ends. Who measures in another network namespace, as
// that of a container, has another lock: the load on the machine tells of it.
const lockAddress = "@perwatt/measuring"

const (
	mostNeighbours  = 64          // that are let in at a time, and remembered
	shownNeighbours = 4           // in a warning
	greetLimit      = time.Second // for a holder to take a connection
)

// Neighbour is another perwatt run on this node, as the kernel knows it.
type Neighbour struct {
	PID, UID int    // no PID if it cannot be seen from here
	Command  string // program and subcommand, as it states them
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

// Neighbours knows which other runs measure on this node at the same time. They
// are not kept away, for then one stranger could keep all away for ever: they
// are told of, and so are those to whom this one is a neighbour.
type Neighbours struct {
	address string
	stop    context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	seen []*stay
}

// stay is the time that a neighbour measured here.
type stay struct {
	who  Neighbour
	left time.Time // zero while it does
}

// Announce says that this process measures from now on, until Close. Before
// that it waits, for no longer than patience, for others to end, and tells wait
// of the first of them.
func Announce(ctx context.Context, patience time.Duration, wait func(Neighbour)) (*Neighbours, error) {
	return announce(ctx, lockAddress, patience, wait)
}

func announce(ctx context.Context, address string, patience time.Duration, wait func(Neighbour)) (*Neighbours, error) {
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

// keep holds the lock, or stays with who does, until ctx ends. met is called
// when it is known who does.
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

// hold takes note of others that measure until ctx ends.
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
			_, _ = c.Read(b[:]) // its end, or what no run says
		})
	}
}

// visit stays with the holder of the lock until that ends, or ctx does, and says
// a word to it if there is one.
func (n *Neighbours) visit(ctx context.Context, word string, met func(Neighbour)) {
	c, err := (&net.Dialer{Timeout: greetLimit}).DialContext(ctx, "unix", n.address)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = sleep(ctx, 10*time.Millisecond)
		return // it has just ended, or does not listen yet
	}
	if err != nil {
		met(Neighbour{}) // it holds the lock and lets nobody in
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
		_ = sleep(ctx, greetLimit) // no run says anything: it is not asked again at once
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

// Since lists those that measured at some time from then on, each once.
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

// Close says that this process measures no longer.
func (n *Neighbours) Close() {
	n.stop()
	<-n.done
}

// NeighbourWarning is what others that measured at the same time mean for a
// record.
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

// neighbour is who is at the other end of a connection.
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
	// Its program and what it was told first: what follows may hold a secret.
	words := strings.Split(string(readFile(filepath.Join(dir, "cmdline"), maxText)), "\x00")
	words[0] = filepath.Base(words[0])
	n.Command = clean(strings.Join(words[:min(2, len(words))], " "))
	n.Since = startOf(readFile(filepath.Join(dir, "stat"), maxText))
	return n
}

// startOf is when a process began, from its /proc/PID/stat: field 22 is in
// hundredths of a second since the machine did. It is zero if that is not known.
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
