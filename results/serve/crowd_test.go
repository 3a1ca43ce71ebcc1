package serve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// street is a listener whose connections come from addresses of the test's
// choice, and have no buffer.
type street struct {
	door chan net.Conn
	shut chan struct{}
	once sync.Once
}

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.door:
		return c, nil
	case <-s.shut:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error {
	s.once.Do(func() { close(s.shut) })
	return nil
}

func (s *street) Addr() net.Addr { return at("192.0.2.1:80") }

type at string

func (a at) Network() string { return "tcp" }
func (a at) String() string  { return string(a) }

type from struct {
	net.Conn
	who at
}

func (f from) RemoteAddr() net.Addr { return f.who }

// come is a new connection.
func (s *street) come(who string) net.Conn {
	here, there := net.Pipe()
	s.door <- from{there, at(who + ":1024")}
	return here
}

// page is what the handler of these tests answers: more than one piece.
var page = strings.Repeat("x", 10*piece)

// attended runs f beside a server. A request for /slow is answered a while
// later.
func attended(t *testing.T, f func(t *testing.T, s *street)) {
	synctest.Test(t, func(t *testing.T) {
		s := &street{door: make(chan net.Conn), shut: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- attend(ctx, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					time.Sleep(30 * time.Second)
				}
				if r.Method != http.MethodGet {
					http.Error(w, "only GET", http.StatusMethodNotAllowed)
					return
				}
				_, _ = io.WriteString(w, page)
			}), log.New(io.Discard, "", 0))
		}()
		f(t, s)
		stop()
		require.NoError(t, <-ended)
	})
}

const get1 = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// answered asks for the page and returns how long that took.
func answered(t *testing.T, s *street, who, request string) time.Duration {
	t.Helper()
	began := time.Now()
	c := s.come(who)
	defer c.Close()
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, page, string(body))
	return time.Since(began)
}

// TestCrowd: whatever many connections keep us waiting for, somebody else is
// answered soon, from their address too.
func TestCrowd(t *testing.T) {
	for name, send := range map[string]string{
		"nothing":                   "",
		"half a header":             "GET / HT",
		"a header without end":      "GET / HTTP/1.1\r\nHost: x\r\nX: ",
		"a body that does not come": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
		"pages that are not read":   get1,
	} {
		t.Run(name, func(t *testing.T) {
			attended(t, func(t *testing.T, s *street) {
				for range 3 * mostConnections {
					c := s.come("192.0.2.66")
					defer c.Close()
					_, _ = io.WriteString(c, send)
				}
				require.Less(t, answered(t, s, "192.0.2.66", get1), 2*courtesy)
				require.Less(t, answered(t, s, "192.0.2.2", get1), 2*courtesy)
			})
		})
	}
}

// TestDrips: who sends a byte now and then, or reads one, keeps no place.
func TestDrips(t *testing.T) {
	attended(t, func(t *testing.T, s *street) {
		done := make(chan struct{})
		var all sync.WaitGroup
		for i := range mostConnections {
			c := s.come("192.0.2.66")
			all.Go(func() {
				defer c.Close()
				if i%2 == 0 {
					_, _ = io.WriteString(c, get1)
				}
				for {
					select {
					case <-time.After(time.Second):
					case <-done:
						return
					}
					var err error
					if i%2 == 0 {
						_, err = c.Read(make([]byte, 1))
					} else {
						_, err = io.WriteString(c, "G")
					}
					if err != nil {
						return
					}
				}
			})
		}
		time.Sleep(3 * time.Second)
		require.Less(t, answered(t, s, "192.0.2.66", get1), 2*courtesy)
		time.Sleep(request + stalled)
		close(done)
		all.Wait()
	})
}

// TestRegulars: those who are answered keep their place before a crowd, and so
// does, from another address, who has asked before.
func TestRegulars(t *testing.T) {
	attended(t, func(t *testing.T, s *street) {
		slow := s.come("192.0.2.66")
		defer slow.Close()
		_, err := io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		regular := s.come("192.0.2.2")
		defer regular.Close()
		in := bufio.NewReader(regular)
		ask := func() {
			_, err := io.WriteString(regular, get1)
			require.NoError(t, err)
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Len(t, body, len(page))
		}
		ask()
		time.Sleep(time.Second)
		for range 2 * mostConnections {
			defer s.come("192.0.2.66").Close()
		}
		ask()
		r, err := http.ReadResponse(bufio.NewReader(slow), nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r.Body)
		require.NoError(t, err)
	})
}

// TestStalled: who takes nothing of a page is cut off, who takes it slowly is
// not.
func TestStalled(t *testing.T) {
	attended(t, func(t *testing.T, s *street) {
		for rest, want := range map[time.Duration]bool{stalled / 2: true, 2 * stalled: false} {
			c := s.come("192.0.2.2")
			_, err := io.WriteString(c, get1)
			require.NoError(t, err)
			got, buf := 0, make([]byte, piece)
			for err == nil && got < len(page) {
				time.Sleep(rest)
				var n int
				n, err = c.Read(buf)
				got += n
			}
			require.Equal(t, want, err == nil, fmt.Sprint(rest, got, err))
			require.NoError(t, c.Close())
		}
	})
}

// TestSending: the pages that are being sent stay within their memory, and one
// that is larger than all of it is sent alone.
func TestSending(t *testing.T) {
	s := New(nil)
	require.False(t, s.send(mostSent+1))
	require.True(t, s.send(1))
	s.sent(mostSent + 1)
	<-s.gone
	require.False(t, s.send(mostSent-1))
	require.False(t, s.send(1))
	require.True(t, s.send(1))
}
