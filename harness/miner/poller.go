package miner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
)

// Query queries a miner for all it reports, and returns its mode of work.
type Query func(ctx context.Context, s *Collector) (mode string, err error)

// Poller is a [Client] around a [Query]. It dates an answer at the middle of the
// query, and half of its duration is the slack.
type Poller struct {
	info Info
	ask  Query
	shut func() error
	done bool
}

// New returns a client of a specification. Its name is that of the specification, or
// else its source.
func New(s endpoint.Spec, about Info, ask Query, shut func() error) *Poller {
	about.Name = s.Get("name", about.Source)
	about.API = cmp.Or(about.API, s.Kind)
	return &Poller{info: about, ask: ask, shut: shut}
}

// Info implements [Client].
func (r *Poller) Info() Info { return r.info }

// Read implements [Client].
func (r *Poller) Read(ctx context.Context) (Answer, error) {
	fail := func(err error) (Answer, error) {
		return Answer{}, fmt.Errorf("%s: read %s: %w", r.info.API, r.info.Source, err)
	}
	if r.done {
		return fail(os.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	var s Collector
	before := time.Now()
	mode, err := r.ask(ctx, &s)
	trip := time.Since(before)
	switch {
	case err != nil:
		return fail(err)
	case len(s.Figures) == 0 && len(s.Refused) == 0:
		return fail(errors.New("it reports nothing that is known here"))
	}
	s.settle()
	return Answer{At: before.Add(trip / 2), Slack: trip / 2, Mode: Word(mode), Figures: s.Figures, Refused: s.Refused}, nil
}

// Close implements [Client].
func (r *Poller) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	if r.shut == nil {
		return nil
	}
	return r.shut()
}

// Verbs lists all requests that an API may ever send; none changes anything.
type Verbs []string

// Allow returns an error if a request is not one of the verbs.
func (v Verbs) Allow(request string) error {
	if !slices.Contains(v, request) {
		return fmt.Errorf("%q is not sent: it is not one of %q", request, []string(v))
	}
	return nil
}

// Wire queries over TCP, with one connection per request.
type Wire struct {
	Address string        // host:port
	Timeout time.Duration // for connection, request and answer together
}

// NewWire returns the wire to the target, with a default port.
func NewWire(s endpoint.Spec, port string) (w Wire, err error) {
	if w.Address, err = s.Address(port); err != nil {
		return w, err
	}
	w.Timeout, err = s.Timeout()
	return w, err
}

// Query sends one request and returns the bytes that read accepts.
func (w Wire) Query(ctx context.Context, request []byte, read func(io.Reader) ([]byte, error)) (answer []byte, err error) {
	limited, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(limited, "tcp", w.Address)
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(limited, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
		if _, err = conn.Write(request); err == nil {
			answer, err = read(conn)
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	case err != nil && limited.Err() != nil && len(answer) > 0:
		err = fmt.Errorf("an incomplete answer, %d bytes, and no more within %v: %w", len(answer), w.Timeout, context.DeadlineExceeded)
	case err != nil && limited.Err() != nil:
		err = fmt.Errorf("no answer within %v: %w", w.Timeout, context.DeadlineExceeded)
	}
	return answer, err
}

// Web prepares a client over HTTP. The target is HOST, HOST:PORT or the beginning
// of an http:// or https:// address.
func Web(s endpoint.Spec, wrap func(http.RoundTripper) http.RoundTripper) (*endpoint.Web, error) {
	if !strings.Contains(s.Target, "://") {
		address, err := s.Address("80")
		if err != nil {
			return nil, err
		}
		s.Target = (&url.URL{Scheme: "http", Host: address}).String() // writes an IPv6 zone as it must be
	}
	return s.Web(wrap)
}

// Get fetches a path, if it is one of the verbs.
func (v Verbs) Get(ctx context.Context, w *endpoint.Web, path string) (Value, error) {
	if err := v.Allow("GET " + path); err != nil {
		return Value{}, err
	}
	raw, err := w.Bytes(ctx, path)
	if err != nil {
		return Value{}, err
	}
	answer, err := Parse(raw)
	if err != nil {
		return Value{}, fmt.Errorf("get %s: %w", path, err)
	}
	return answer, nil
}
