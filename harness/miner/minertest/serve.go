package minertest

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Answer returns the simulated miner's reaction to a request.
type Answer func(request string) Reply

// Reply is a reaction to a request.
type Reply struct {
	Body   string
	How    How
	Status int // of HTTP, where 0 means 200; with other APIs any other value means an error answer
}

// How is the way in which an answer is sent.
type How int

const (
	Whole   How = iota
	Silent      // it sends nothing and keeps the connection
	Half        // it stops in the middle and keeps the connection
	Cut         // it closes in the middle
	Drip        // it sends a few bytes per second
	Hangup      // it closes without an answer
	Endless     // it never stops sending
)

// send sends an answer; gone is closed when the simulated miner has to end.
func send(w io.Writer, text string, h How, gone <-chan struct{}) {
	switch h {
	case Whole:
		_, _ = io.WriteString(w, text)
	case Silent:
		<-gone
	case Half:
		_, _ = io.WriteString(w, text[:len(text)/2])
		flush(w)
		<-gone
	case Cut:
		_, _ = io.WriteString(w, text[:len(text)/2])
	case Drip:
		for i := range text {
			if _, err := io.WriteString(w, text[i:i+1]); err != nil {
				return
			}
			flush(w)
			select {
			case <-gone:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	case Endless:
		_, _ = io.WriteString(w, "{")
		for block := strings.Repeat(" ", 64<<10); ; {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	}
}

func flush(w io.Writer) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// listen runs a TCP server that calls the handler once per connection.
func listen(t testing.TB, handle func(c net.Conn, gone <-chan struct{})) (target string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				handle(c, gone)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(gone)
		all.Wait()
	})
	return l.Addr().String()
}

// Lines simulates the RPC API of cgminer: a request is the JSON of one command, or a
// bare word, and the answer ends with NUL. A request with anything but a command is
// logged as it is.
func Lines(t testing.TB, answer Answer) (target string) {
	return listen(t, func(c net.Conn, gone <-chan struct{}) {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		request := string(buf[:n])
		var said map[string]string
		if json.Unmarshal(buf[:n], &said) == nil && len(said) == 1 && said["command"] != "" {
			request = said["command"]
		}
		r := answer(request)
		switch {
		case r.How == Hangup:
			return
		case r.Status != 0:
			r.Body = `{"STATUS":[{"STATUS":"E","When":1764000000,"Code":14,"Msg":"Invalid command","Description":"cgminer 4.12.1"}],"id":1}`
		}
		send(c, r.Body+"\x00", r.How, gone)
	})
}

// Framed simulates the Whatsminer API, version 3. A request is logged as its command
// and its parameter.
func Framed(t testing.TB, answer Answer) (target string) {
	return listen(t, func(c net.Conn, gone <-chan struct{}) {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		text := make([]byte, min(binary.LittleEndian.Uint32(head[:]), 4096))
		if _, err := io.ReadFull(c, text); err != nil {
			return
		}
		request := string(text)
		var said map[string]string
		if json.Unmarshal(text, &said) == nil && said["cmd"] != "" && (len(said) == 1 || len(said) == 2 && said["param"] != "") {
			request = strings.TrimSpace(said["cmd"] + " " + said["param"])
		}
		r := answer(request)
		switch {
		case r.How == Hangup:
			return
		case r.Status != 0:
			r.Body = `{"code":-1,"when":1764000000,"msg":"invalid command","desc":""}`
		}
		if r.How == Endless {
			r.Body = strings.Repeat(" ", 1<<24)
		}
		send(c, string(binary.LittleEndian.AppendUint32(nil, uint32(len(r.Body))))+r.Body, r.How, gone) // #nosec G115 -- 16 MiB at most
	})
}

// HTTP simulates an API over HTTP. A request is logged as its method and path.
func HTTP(t testing.TB, answer Answer) (target string) {
	server := httptest.NewServer(Handler(answer))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// Handler is the handler that [HTTP] serves.
func Handler(answer Answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		// The server notices that the client has gone only after it has read all of the
		// request.
		_, _ = io.Copy(io.Discard, q.Body)
		r := answer(q.Method + " " + q.URL.RequestURI())
		switch {
		case r.How == Hangup:
			panic(http.ErrAbortHandler)
		case r.How == Cut:
			send(w, r.Body, r.How, nil)
			flush(w)
			panic(http.ErrAbortHandler)
		case r.Status >= 300 && r.Status < 400:
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere?token=hunter2")
		}
		if r.Status != 0 {
			w.WriteHeader(r.Status)
		}
		send(w, r.Body, r.How, q.Context().Done())
	})
}
