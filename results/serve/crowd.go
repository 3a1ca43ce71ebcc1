package serve

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits on connections.
const (
	mostConnections = 256
	mostHeader      = 64 << 10               // bytes; the address of a comparison of 500 records is 15 kB
	mostSent        = 64 << 20               // bytes of pages that are being sent, and one that is being made
	request         = 10 * time.Second       // to read a whole request
	idle            = time.Minute            // between two requests
	sending         = 2 * time.Minute        // to send a page
	stalled         = 5 * time.Second        // to send a piece of it
	piece           = 16 << 10               // bytes
	goodbye         = 750 * time.Millisecond // at the end, for the page that is being made

	// courtesy is how long a connection may keep the server waiting while others
	// wait for its place.
	courtesy = 250 * time.Millisecond
)

// Serve answers at l until ctx ends, and then waits less than a second for the page
// that is being made. Errors of single connections are logged to complaints.
//
// When all places are taken, a connection that keeps the server waiting, for the rest
// of a request, for the next one or because it does not read, loses its place: first
// one of the address with most such connections, and of these the one waited for
// longest.
func (s *Server) Serve(ctx context.Context, l net.Listener, complaints *log.Logger) error {
	return attend(ctx, l, s, complaints)
}

func attend(ctx context.Context, l net.Listener, h http.Handler, complaints *log.Logger) error {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g := r.Context().Value(guestKey{}).(*guest)
			g.wait(false)
			defer g.wait(true)
			h.ServeHTTP(w, r)
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, guestKey{}, c) },
		ReadTimeout: request, WriteTimeout: sending, IdleTimeout: idle, MaxHeaderBytes: mostHeader, ErrorLog: complaints,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = server.Close()
		}
		stopped <- err
	})
	defer stop()
	if err := server.Serve(&crowd{Listener: l, most: mostConnections, closed: make(chan struct{}), guests: map[*guest]struct{}{}}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// crowd is a listener with a limited number of places.
type crowd struct {
	net.Listener
	most   int
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	guests map[*guest]struct{}
}

// Accept implements [net.Listener].
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = conn.RemoteAddr().String()
	}
	g := &guest{Conn: conn, crowd: c, host: host}
	look := time.NewTicker(courtesy / 5)
	defer look.Stop()
	for !c.place(g) {
		select {
		case <-look.C:
		case <-c.closed:
			_ = conn.Close()
			return nil, net.ErrClosed
		}
	}
	return g, nil
}

// Close implements [net.Listener].
func (c *crowd) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// place gives a connection a place, if need be that of another one, and reports
// whether it could.
func (c *crowd) place(g *guest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.guests) >= c.most {
		of, most := map[string]int{}, 0 // connections that are waited for, by address
		for o := range c.guests {
			if !o.since.IsZero() {
				of[o.host]++
				most = max(most, of[o.host])
			}
		}
		var worst *guest
		for o := range c.guests {
			if !o.since.IsZero() && of[o.host] == most && (worst == nil || o.since.Before(worst.since)) {
				worst = o
			}
		}
		if worst == nil || now.Sub(worst.since) < courtesy {
			return false
		}
		delete(c.guests, worst)
		_ = worst.Conn.Close()
	}
	g.since = now
	c.guests[g] = struct{}{}
	return true
}

// guest is a connection that has a place.
type guest struct {
	net.Conn
	crowd *crowd
	host  string

	since time.Time // since when the server waits for it; zero while it waits for the server; guarded by crowd.mu

	mu    sync.Mutex
	write time.Time // deadline of a whole write; zero for none
}

type guestKey struct{}

// wait notes whether the server waits for the connection from now on.
func (g *guest) wait(is bool) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	g.since = time.Time{}
	if is {
		g.since = time.Now()
	}
}

// Write implements [net.Conn]. It writes piece by piece and fails if a piece is not
// taken in time.
func (g *guest) Write(b []byte) (n int, err error) {
	g.crowd.mu.Lock()
	waited := !g.since.IsZero()
	g.crowd.mu.Unlock()
	defer g.wait(waited)
	g.mu.Lock()
	end := g.write
	g.mu.Unlock()
	for len(b) > 0 && err == nil {
		g.wait(true)
		soon := time.Now().Add(stalled)
		if !end.IsZero() && end.Before(soon) {
			soon = end
		}
		if err = g.Conn.SetWriteDeadline(soon); err != nil {
			break
		}
		var k int
		k, err = g.Conn.Write(b[:min(piece, len(b))])
		n, b = n+k, b[k:]
	}
	return n, err
}

// SetWriteDeadline implements [net.Conn], for all pieces together.
func (g *guest) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	g.write = t
	g.mu.Unlock()
	return g.Conn.SetWriteDeadline(t)
}

// SetDeadline implements [net.Conn].
func (g *guest) SetDeadline(t time.Time) error {
	return errors.Join(g.SetReadDeadline(t), g.SetWriteDeadline(t))
}

// Close implements [net.Conn].
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	delete(g.crowd.guests, g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}
