package stratum

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	helloLimit = 30 * time.Second // from the connection to a worker's name
	idleLimit  = 10 * time.Minute // between two lines
	writeLimit = 10 * time.Second // for a client to receive what it is sent

	// Input limits of a connection: burst lines at once, then perSecond, and perWorker
	// more for each worker after the first. Lines beyond that stay unread, and the
	// client's buffers fill. The limits also hold while the difficulty of a device is
	// being found.
	perSecond = 400
	perWorker = 10
	burst     = 2000

	firstBuffer = 512 // bytes; a device that sends longer lines gets more, to maxLine
)

// conn is a connection with its session. One goroutine serves it: it reads, answers,
// and issues jobs when they are due.
type conn struct {
	net.Conn
	host    string
	session session
}

func newConn(srv *Server, nc net.Conn, host string) *conn {
	c := &conn{Conn: nc, host: host}
	c.session = session{srv: srv, address: host}
	_, _ = rand.Read(c.session.ours[:]) // never fails: see crypto/rand
	// A deadline in the past ends a blocked read.
	c.session.wake = func() { _ = nc.SetReadDeadline(time.Unix(1, 0)) }
	return c
}

// serve answers the client until either side ends the connection.
func (c *conn) serve() {
	s := &c.session
	defer func() {
		c.Close() // #nosec G104 -- the connection is over, whatever closing it says
		s.close(time.Now())
		s.srv.dismiss(c)
	}()
	if err := c.converse(); err != nil {
		s.srv.count.dropped.Add(1)
		if !errors.Is(err, errAsked) {
			s.notice("turned away: " + err.Error())
		}
	}
}

var (
	errSilent   = fmt.Errorf("it sent nothing for %v", idleLimit)
	errNameless = fmt.Errorf("it connected and named no worker within %v", helloLimit)
	errLong     = fmt.Errorf("it sent a line of more than %d bytes", maxLine)
	errTLS      = errors.New("it began with a TLS hello: this pool speaks plain Stratum, stratum+tcp://")
	errOther    = errors.New("it began with what is no JSON: is it a miner that speaks Stratum V1?")
	errDeaf     = fmt.Errorf("it did not take what it was sent for %v", writeLimit)
)

// converse returns nil if the client ended it.
func (c *conn) converse() error {
	s := &c.session
	began := time.Now()
	heard := began
	tokens, filled := float64(burst), began
	buf, n := make([]byte, firstBuffer), 0
	var out []byte
	for {
		now := time.Now()
		out, err := s.due(now, out[:0])
		if werr := c.send(out); werr != nil || err != nil {
			return errors.Join(err, werr)
		}
		out = out[:0]
		limit, late := heard.Add(idleLimit), errSilent
		if s.worker == nil {
			limit, late = began.Add(helloLimit), errNameless
		}
		if !limit.After(now) {
			return late
		}
		if next := s.next(now); next.Before(limit) {
			limit = next
		}
		if err := c.SetReadDeadline(limit); err != nil {
			return nil // it is closed
		}
		if s.kicked.Swap(false) { // perhaps before the deadline was set
			continue
		}
		got, err := c.Read(buf[n:])
		if now = time.Now(); got > 0 && n == 0 && s.bad == 0 && !s.subscribed && s.worker == nil && !opens(buf[:got]) {
			if buf[0] == 0x16 {
				return errTLS
			}
			return errOther
		}
		n += got
		lines := buf[:n]
		for {
			end := bytes.IndexByte(lines, '\n')
			if end < 0 {
				break
			}
			line := bytes.TrimSpace(lines[:end])
			if lines = lines[end+1:]; len(line) == 0 {
				continue
			}
			heard = now
			tokens--
			if out, err = s.handle(line, now, out); err != nil {
				_ = c.send(out) // best effort: the connection is closed anyway
				return err
			}
		}
		n = copy(buf, lines)
		if werr := c.send(out); werr != nil {
			return werr
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			return nil
		}
		if n == len(buf) {
			if n == maxLine {
				return errLong
			}
			buf = append(buf, make([]byte, min(n, maxLine-n))...)
		}
		now = time.Now()
		rate := float64(perSecond + perWorker*max(0, s.workers()-1))
		tokens = min(burst, tokens+rate*now.Sub(filled).Seconds())
		if filled = now; tokens < 0 {
			wait := time.Duration(-tokens / rate * float64(time.Second))
			s.each(func(w *Worker) { w.throttled(wait) })
			time.Sleep(wait)
		}
	}
}

// opens reports whether b may be the beginning of a client's first request.
func opens(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) == 0 || b[0] == '{'
}

func (c *conn) send(out []byte) error {
	if len(out) == 0 {
		return nil
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err := c.Write(out)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errDeaf
	}
	return err
}
