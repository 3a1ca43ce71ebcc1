// Package serve shows a store of records as pages, to a browser on the same
// machine: the changes night by night, the records, and comparisons of several. It
// changes nothing and opens no connections. It caches only the overview, until the
// index changes.
//
// Package report writes the pages; they are as safe to view as a report in a file.
// Anyone who can reach the server can read the store, so it belongs on loopback.
// Another site cannot read it through the user's browser: it answers only to IP
// addresses and to names given to it, which prevents DNS rebinding, and no page may
// frame or embed it.
package serve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// Limits on pages.
const (
	mostListed   = 1000                // records on a page
	mostCompared = 500                 // records in a comparison
	listed       = 90 * 24 * time.Hour // how far back a list goes by default
	patience     = time.Minute         // for one page, including the wait for its turn
	mostWaiting  = 32                  // pages of records, or of comparisons, being made or waiting
	mostSaid     = 2000                // runes of an error
)

// Server answers for one store.
type Server struct {
	Hosts []string         // names in requests that it answers, besides localhost and IP addresses
	Tool  string           // name, version and revision of the program
	Now   func() time.Time // nil for the clock

	index *store.Index
	turn  chan struct{} // to use the index
	// A record or a comparison may take seconds; lists do not wait for them.
	lists, singles, comparisons lane

	mu      sync.Mutex
	sending int           // bytes of pages that are being sent
	gone    chan struct{} // signals that one was sent

	// The overview reads every group: it is kept until the index or the night changes.
	made struct {
		version string
		night   int
		page    []byte
	}
}

// New returns a server of the records of x, which must not be used elsewhere
// meanwhile.
func New(x *store.Index) *Server {
	return &Server{
		index: x, turn: make(chan struct{}, 1), gone: make(chan struct{}, 1),
		lists: newLane(mostConnections), singles: newLane(mostWaiting), comparisons: newLane(mostWaiting),
	}
}

// lane makes the pages of one kind, one at a time to bound memory. Its places bound
// the requests that wait, so that one kind cannot take all connections.
type lane struct{ turn, places chan struct{} }

func newLane(places int) lane { return lane{make(chan struct{}, 1), make(chan struct{}, places)} }

// maker writes a page.
type maker func(context.Context, url.Values, io.Writer) error

// pages returns what makes the page of a path, and its lane; nil for no page.
func (s *Server) pages(name string) (maker, lane) {
	switch name {
	case "/", "/index.html":
		return s.listed(s.overview), s.lists
	case "/records.html":
		return s.listed(s.records), s.lists
	case "/record.html":
		return s.record, s.singles
	case "/report.html":
		return s.report, s.comparisons
	}
	if id, ok := strings.CutPrefix(name, "/group-"); ok {
		if id, ok = strings.CutSuffix(id, ".html"); ok {
			return s.listed(func(ctx context.Context, q url.Values, out io.Writer) error { return s.group(ctx, id, out) }), s.lists
		}
	}
	return nil, lane{}
}

// fault is an answer other than a page.
type fault struct {
	code int
	text string
}

func (f *fault) Error() string { return f.text }

func faultf(code int, format string, args ...any) error {
	return &fault{code, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "frame-ancestors 'none'") // the rest of the policy is in each page
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.own(r.Host):
		http.Error(w, fmt.Sprintf("perwatt serve does not answer to the name %.80q: ask for localhost or its address, or start it with --host", r.Host), http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "perwatt serve only shows pages: use GET", http.StatusMethodNotAllowed)
	case r.ContentLength != 0: // net/http would wait for the body
		http.Error(w, "perwatt serve takes nothing in: send no body", http.StatusRequestEntityTooLarge)
	default:
		s.answer(w, r)
	}
}

// own reports whether the Host of a request names this server: an IP address, which
// no other site's name can be bound to, localhost, or one of Hosts.
func (s *Server) own(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") || slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// answer makes a page and sends it whole, or an error.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	write, in := s.pages(r.URL.Path)
	query, err := url.ParseQuery(r.URL.RawQuery)
	switch {
	case write == nil:
		s.refuse(w, faultf(http.StatusNotFound, "there is no such page: the links above lead to those that there are"))
		return
	case err != nil:
		s.refuse(w, faultf(http.StatusBadRequest, "the address is malformed: choose the records on their page again"))
		return
	}
	body, err := s.make(r.Context(), query, write, in)
	defer s.sent(len(body))
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(body) // #nosec G104 G705 -- the page is of html/template; a reader that is gone needs no answer
}

// titles of the pages that say why there is none; other codes are our fault.
var titles = map[int]string{
	http.StatusNotFound: "There is no such page", http.StatusBadRequest: "Nothing to show",
	http.StatusUnprocessableEntity: "These records cannot be compared", http.StatusServiceUnavailable: "Too many readers",
}

// refuse answers with a page that says what is wrong and what to do.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	f := &fault{http.StatusInternalServerError, err.Error()}
	errors.As(err, &f)
	var out bytes.Buffer
	if err := report.WriteNotice(&out, cmp.Or(titles[f.code], "The page could not be made"), results.Line(f.text, mostSaid), s.Tool, links); err != nil {
		http.Error(w, results.Line(err.Error(), mostSaid), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(f.code)
	w.Write(out.Bytes()) // #nosec G104 G705 -- as above
}

// take waits for a turn; give ends it.
func take(ctx context.Context, turn chan struct{}) (give func(), err error) {
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, faultf(http.StatusServiceUnavailable, "other requests came first and took too long: try again")
	}
}

// make makes a page when its turn comes. Others do not wait until it is sent.
func (s *Server) make(ctx context.Context, query url.Values, write maker, in lane) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case in.places <- struct{}{}:
		defer func() { <-in.places }()
	default:
		return nil, faultf(http.StatusServiceUnavailable, "%d such pages wait to be made: try again", cap(in.places))
	}
	give, err := take(ctx, in.turn)
	if err != nil {
		return nil, err
	}
	defer give()
	var out bytes.Buffer
	if err := write(ctx, query, &out); err != nil {
		return nil, err
	}
	// The next page of the lane is not made before there is room for this one among
	// those that are being sent.
	for s.send(out.Len()) {
		select {
		case <-s.gone:
		case <-ctx.Done():
			return nil, faultf(http.StatusServiceUnavailable, "other clients do not read their pages: try again")
		}
	}
	return out.Bytes(), nil
}

// indexed waits for the index and brings it up to date; give returns it.
func (s *Server) indexed(ctx context.Context) (give func(), err error) {
	if give, err = take(ctx, s.turn); err != nil {
		return nil, err
	}
	if err = s.index.Update(ctx); err != nil {
		give()
		return nil, err
	}
	return give, nil
}

// listed makes a page from the index alone.
func (s *Server) listed(write maker) maker {
	return func(ctx context.Context, q url.Values, out io.Writer) error {
		give, err := s.indexed(ctx)
		if err != nil {
			return err
		}
		defer give()
		return write(ctx, q, out)
	}
}

// send begins to send a page, and reports whether it has to wait.
func (s *Server) send(size int) (wait bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending > 0 && s.sending+size > mostSent {
		return true
	}
	s.sending += size
	return false
}

// sent ends sending a page.
func (s *Server) sent(size int) {
	s.mu.Lock()
	s.sending -= size
	s.mu.Unlock()
	select {
	case s.gone <- struct{}{}:
	default:
	}
}

var links = []report.Link{{Text: "What changed", Href: "index.html"}, {Text: "Records", Href: "records.html"}}

// overview shows what changed in the store, as perwatt track -o does.
func (s *Server) overview(ctx context.Context, _ url.Values, out io.Writer) error {
	version, err := s.index.Version(ctx)
	if err != nil {
		return err
	}
	t, opt, err := s.tracking(ctx, nil)
	if err != nil {
		return err
	}
	if m := &s.made; m.page == nil || m.version != version || m.night != t.Night {
		m.page = nil
		r, err := track.Now(ctx, s.index, opt, t.Add)
		if err != nil {
			return err
		}
		t.Report = r
		var page bytes.Buffer
		if err := t.WriteOverview(&page); err != nil {
			return err
		}
		m.version, m.night, m.page = version, t.Night, page.Bytes()
	}
	_, err = out.Write(s.made.page)
	return err
}

// group shows a node group night by night.
func (s *Server) group(ctx context.Context, id string, out io.Writer) error {
	groups, err := s.index.Groups(ctx)
	if err != nil {
		return err
	}
	if _, ok := groups[id]; !ok {
		return faultf(http.StatusNotFound, "there is no node group %.40q: / has the list", id)
	}
	t, opt, err := s.tracking(ctx, func(p *report.GroupPage) error { return p.Write(out) })
	if err != nil {
		return err
	}
	opt.Filter.Group, opt.Whole = id, true
	_, err = track.Now(ctx, s.index, opt, t.Add)
	return err
}

// tracking returns the page and the options for the store's latest night.
func (s *Server) tracking(ctx context.Context, page func(*report.GroupPage) error) (*report.Tracking, track.Options, error) {
	c, night, err := track.LatestNight(ctx, s.index, store.Filter{}, s.now())
	return &report.Tracking{Calendar: c, Night: night, Tool: s.Tool, Links: links, Page: page}, track.Options{Calendar: c, Night: night}, err
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// records lists the records since a day (since=2026-01-31; default 90 days ago), of
// a node group (group=ID), with labels (label=KEY=VALUE).
func (s *Server) records(ctx context.Context, q url.Values, out io.Writer) error {
	f := store.Filter{Excluded: true, Group: q.Get("group"), Since: s.now().Add(-listed), Labels: map[string]string{}}
	if since := q.Get("since"); since != "" {
		t, err := store.ParseTime(since)
		if err != nil {
			return faultf(http.StatusBadRequest, "since: %v", err)
		}
		f.Since = t
	}
	for _, l := range q["label"] {
		k, v, ok := strings.Cut(l, "=")
		if !ok {
			return faultf(http.StatusBadRequest, "label: write it KEY=VALUE")
		}
		f.Labels[k] = v
	}
	groups, err := s.index.Groups(ctx)
	if err != nil {
		return err
	}
	var rows []report.RecordRow
	more := 0
	for h, err := range s.index.Records(ctx, f) {
		if err != nil {
			return err
		}
		row := report.RecordRow{ID: h.ID, Node: h.Env.Node, Group: groups[h.Group].Name(), Revision: h.Env.Revision, State: string(h.State), Start: h.Start, Href: "record.html?id=" + h.ID}
		switch {
		case h.Error != "":
			row.State, row.Group, row.Href = "cannot be read: "+h.Error, "", ""
		case h.Excluded != "":
			row.State, row.Href = "excluded: "+h.Excluded, ""
		}
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
			labels = append(labels, k+"="+h.Labels[k])
		}
		row.Labels = strings.Join(labels, " ")
		if len(rows) == 2*mostListed { // keep the newest
			rows = append(rows[:0], rows[mostListed:]...)
			more += mostListed
		}
		rows = append(rows, row)
	}
	if n := len(rows) - mostListed; n > 0 {
		rows, more = rows[n:], more+n
	}
	slices.Reverse(rows)
	l := report.RecordList{Rows: rows, Action: "report.html", Tool: s.Tool, Links: links}
	l.Notes = append(l.Notes, fmt.Sprintf("Since %s; another day: records.html?since=2026-01-31, one group: records.html?group=ID, a label: records.html?label=KEY=VALUE.", f.Since.UTC().Format("2006-01-02")))
	if more > 0 {
		l.Notes = append(l.Notes, fmt.Sprintf("%d older records are left out.", more))
	}
	l.Notes = append(l.Notes, s.index.Notes()...)
	return report.WriteRecords(out, l)
}

// record shows one record (id=ID), as perwatt report does.
func (s *Server) record(ctx context.Context, q url.Values, out io.Writer) error {
	return s.compared(ctx, []string{q.Get("id")}, compare.Options{Seed: 1}, out)
}

// report compares records (r=ID, repeated), with one candidate as the reference
// (reference=NAME).
func (s *Server) report(ctx context.Context, q url.Values, out io.Writer) error {
	ids := q["r"]
	switch {
	case len(ids) == 0:
		return faultf(http.StatusBadRequest, "no record is chosen: tick some under Records, or ask with r=ID for each")
	case len(ids) > mostCompared:
		return faultf(http.StatusBadRequest, "%d records: at most %d are compared here; perwatt report compares any number", len(ids), mostCompared)
	}
	return s.compared(ctx, ids, compare.Options{Reference: q.Get("reference"), Seed: 1}, out)
}

func (s *Server) compared(ctx context.Context, ids []string, opt compare.Options, out io.Writer) error {
	records, files, err := s.read(ctx, ids)
	if err != nil {
		return err
	}
	c, err := compare.New(ctx, records, files, opt)
	if err != nil {
		return faultf(http.StatusUnprocessableEntity, "%v", err)
	}
	again := append([]string{"perwatt", "report"}, files...)
	if opt.Reference != "" {
		again = append(again, "--reference", opt.Reference)
	}
	return report.WriteHTML(out, report.Page{Comparison: c, Records: records, Command: results.Command(append(again, "-o", "report.html")...), Tool: s.Tool, Links: links})
}

// read reads records by their identifiers. Other requests may use the index between
// two of them.
func (s *Server) read(ctx context.Context, ids []string) (records []*results.Record, files []string, err error) {
	give, err := s.indexed(ctx)
	if err != nil {
		return nil, nil, err
	}
	give()
	one := func(id string) error {
		give, err := take(ctx, s.turn)
		if err != nil {
			return err
		}
		defer give()
		h, err := s.index.Find(ctx, id)
		if errors.Is(err, store.ErrNoRecord) {
			return faultf(http.StatusNotFound, "%v", err)
		} else if err != nil {
			return faultf(http.StatusBadRequest, "%v", err)
		}
		rec, err := s.index.Read(ctx, h)
		if err != nil {
			return faultf(http.StatusUnprocessableEntity, "%v", err)
		}
		records, files = append(records, rec), append(files, h.Path)
		return nil
	}
	for _, id := range ids {
		if err := one(id); err != nil {
			return nil, nil, err
		}
	}
	return records, files, nil
}
