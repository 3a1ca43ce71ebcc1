package serve

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
	"github.com/perwatt/perwatt/results/store"
)

// serving is a server of the records of two nodes, three sessions each, and
// their identifiers.
func serving(t *testing.T) (s *Server, ids []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	for i, node := range []string{"north", "<script>south\u202e\n::error::x"} {
		for n := range 3 {
			rec := resultstest.Session(resultstest.Server(node, 1+float64(i)/20), n, 2, uint64(i+1))
			raw, err := results.Seal(rec)
			require.NoError(t, err)
			month := filepath.Join(dir, rec.Start.Format("2006-01"))
			require.NoError(t, os.MkdirAll(month, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(month, rec.ID+".json"), raw, 0o644))
			ids = append(ids, rec.ID)
		}
	}
	x, err := store.OpenIndex(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { x.Close() })
	s = New(x)
	s.Now = func() time.Time { return time.Date(2026, 9, 30, 0, 0, 0, 0, time.UTC) }
	return s, ids, dir
}

// TestBody: it takes nothing in, and waits for nothing that it would not take.
func TestBody(t *testing.T) {
	h := New(nil)
	for size, want := range map[int64]int{5: 413, -1: 413} {
		r := get(t, h, "/", func(r *http.Request) { r.ContentLength = size })
		require.Equal(t, want, r.StatusCode)
	}
	require.Equal(t, 404, get(t, h, "/none").StatusCode)
}

func get(t *testing.T, h http.Handler, path string, change ...func(*http.Request)) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:7771"+path, nil)
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

// TestLanes: comparisons that take their time, or the pages of records, keep neither
// the lists waiting nor all the connections.
func TestLanes(t *testing.T) {
	s, ids, _ := serving(t)
	paths := map[string]string{"comparisons": "/report.html?r=" + ids[0] + "&r=" + ids[3], "singles": "/record.html?id=" + ids[0]}
	for name, busy := range map[string]lane{"comparisons": s.comparisons, "singles": s.singles} {
		t.Run(name, func(t *testing.T) {
			busy.turn <- struct{}{} // one is being made
			var wait sync.WaitGroup
			ctx, leave := context.WithCancel(t.Context())
			for range mostWaiting {
				wait.Go(func() { get(t, s, paths[name], func(r *http.Request) { *r = *r.WithContext(ctx) }) })
			}
			require.Eventually(t, func() bool { return len(busy.places) == mostWaiting }, time.Minute, time.Millisecond)
			r := get(t, s, paths[name])
			require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
			require.Contains(t, body(t, r), "32 such pages wait to be made: try again")
			for _, other := range []string{"/", "/records.html", paths[map[string]string{"comparisons": "singles", "singles": "comparisons"}[name]]} {
				require.Equal(t, http.StatusOK, get(t, s, other).StatusCode, other)
			}
			leave() // who is gone is not waited for
			wait.Wait()
			<-busy.turn
			require.Equal(t, http.StatusOK, get(t, s, paths[name]).StatusCode)
		})
	}
}

func TestPages(t *testing.T) {
	s, ids, dir := serving(t)
	r := get(t, s, "/records.html")
	list := body(t, r)
	require.Equal(t, 200, r.StatusCode, list)
	require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Equal(t, "same-origin", r.Header.Get("Cross-Origin-Resource-Policy"))
	require.NotContains(t, list, "<script>south")
	var shown []string
	for _, m := range regexp.MustCompile(`name="r" value="([^"]+)"`).FindAllStringSubmatch(list, -1) {
		shown = append(shown, m[1])
	}
	require.ElementsMatch(t, ids, shown)
	require.Contains(t, body(t, get(t, s, "/records.html?since=2026-09-16")), "2 records, the newest first")
	require.Contains(t, body(t, get(t, s, "/records.html?label=site=nowhere")), "No record is in the list")

	// Where the links of the list lead, one gets a page.
	href := regexp.MustCompile(`href="(record\.html[^"]+)"`).FindStringSubmatch(list)
	require.NotNil(t, href)
	r = get(t, s, "/"+href[1])
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, body(t, r), "1 session. Intervals are 95 %")
	q := url.Values{"r": ids, "reference": {"north"}}
	r = get(t, s, "/report.html?"+q.Encode())
	page := body(t, r)
	require.Equal(t, 200, r.StatusCode, page)
	require.Contains(t, page, "2 candidates in 6 sessions")
	require.NotContains(t, page, "<script>south")
	require.Contains(t, page, "--reference north -o report.html")

	// What changed, and a group, whose link is on the overview.
	overview := body(t, get(t, s, "/"))
	require.Contains(t, overview, "No data since 2026-09-15 (")
	require.NotContains(t, overview, "Nothing changed.")
	require.NotContains(t, overview, "<script>south")
	href = regexp.MustCompile(`href="(group-[^"]+)"`).FindStringSubmatch(overview)
	require.NotNil(t, href)
	r = get(t, s, "/"+href[1])
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, body(t, r), `class="nights"`)
	require.Equal(t, 404, get(t, s, "/group-nobody.html").StatusCode)

	// A record that comes later is there without a restart; one that is
	// damaged or excluded is named, and cannot be chosen.
	st, err := store.Open(dir)
	require.NoError(t, err)
	_, _, err = st.Amend(store.Amendment{Exclude: ids[0], Reason: "the <b>fan</b> failed"})
	require.NoError(t, err)
	file := filepath.Join(dir, "2026-09", ids[1]+".json")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.Replace(raw, []byte("241"), []byte("141"), 1), 0o644))
	list = body(t, get(t, s, "/records.html?since=2024-01-01")) // of the damaged one only its name tells the time
	require.Contains(t, list, "excluded: the &lt;b&gt;fan&lt;/b&gt; failed")
	require.Contains(t, list, "cannot be read")
	require.Equal(t, 4, strings.Count(list, `name="r"`))
	for i, want := range []string{"excluded: the <b>fan</b> failed", "altered"} {
		r = get(t, s, "/record.html?id="+ids[i])
		require.Equal(t, 422, r.StatusCode)
		require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
		require.Contains(t, body(t, r), template.HTMLEscapeString(want))
	}
}

func TestRefusals(t *testing.T) {
	s, ids, _ := serving(t)
	s.Hosts = []string{"bench.example"}
	for host, code := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:7771": 200, "[::1]:7771": 200, "::1": 200, "localhost": 200, "LOCALHOST:80": 200, "localhost.": 200, "10.1.2.3:1": 200, "bench.example:7771": 200,
		"": 421, "evil.example": 421, "evil.example:7771": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "evil.example:127.0.0.1": 421, "127.0.0.1:80@evil.example": 421,
	} {
		r := get(t, s, "/", func(r *http.Request) { r.Host = host })
		require.Equal(t, code, r.StatusCode, host)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"} {
		r := get(t, s, "/", func(r *http.Request) { r.Method = method })
		require.Equal(t, 405, r.StatusCode, method)
	}
	for path, code := range map[string]int{
		"/report.html": 400, "/record.html": 404, "/record.html?id=01ZZZ": 404, "/record.html?id=01J8": 400, "/record.html?id=%00": 404, "/nothing": 404, "/../../etc/passwd": 404, "/index.sqlite": 404,
		"/records.html?since=yesterday": 400, "/records.html?label=x": 400, "/group-": 404, "/group-.html": 404, "/group-../x.html": 404, "/report.html?r=" + ids[0] + "&reference=nobody": 422,
		"/report.html?" + strings.Repeat("r="+ids[0]+"&", mostCompared+1): 400, "/?a;b": 400,
	} {
		r := get(t, s, path)
		require.Equal(t, code, r.StatusCode, path)
		require.NotEmpty(t, body(t, r))
	}
}

// One who asks and does not read keeps nobody waiting.
func TestSlowReader(t *testing.T) {
	s, ids, _ := serving(t)
	server := httptest.NewServer(s)
	defer server.Close()
	for range 4 {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.(*net.TCPConn).SetReadBuffer(1))
		for range 20 { // more than the buffers between us hold
			fmt.Fprintf(c, "GET /report.html?r=%s&r=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", ids[0], ids[4])
		}
	}
	client := &http.Client{Timeout: patience}
	for range 3 {
		r, err := client.Get(server.URL + "/records.html?since=2024-01-01")
		require.NoError(t, err)
		require.Contains(t, body(t, r), "6 records")
		r.Body.Close()
	}
}

// Looking changes no record.
func TestNothingIsChanged(t *testing.T) {
	s, ids, dir := serving(t)
	before := contents(t, dir)
	for _, path := range []string{"/", "/records.html", "/record.html?id=" + ids[0], "/report.html?r=" + ids[0] + "&r=" + ids[3]} {
		require.Equal(t, 200, get(t, s, path).StatusCode)
	}
	require.Equal(t, before, contents(t, dir))
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "index.sqlite") {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

// TestOverviewIsTrue asks for the overview after everything that may make it
// another: it is made once for all who ask until then.
func TestOverviewIsTrue(t *testing.T) {
	s, ids, dir := serving(t)
	overview := func(of string) *byte {
		page := body(t, get(t, s, "/"))
		require.Contains(t, page, of)
		require.Equal(t, string(s.made.page), page)
		return &s.made.page[0]
	}
	was := overview("No data since")
	require.Same(t, was, overview("No data since"))
	get(t, s, "/records.html")
	require.Same(t, was, overview("No data since"))
	again := func(what string) {
		t.Helper()
		now := overview("")
		require.NotSame(t, was, now, what)
		was = now
	}

	st, err := store.Open(dir)
	require.NoError(t, err)
	_, _, err = st.Amend(store.Amendment{Exclude: ids[0], Reason: "the fan failed"})
	require.NoError(t, err)
	again("an amendment")
	_, _, err = st.Amend(store.Amendment{At: time.Date(2026, 9, 15, 0, 0, 0, 0, time.UTC), Reason: "moved to another hall"})
	require.NoError(t, err)
	again("an event")
	require.NoError(t, os.Remove(filepath.Join(dir, "2026-09", ids[1]+".json")))
	again("a record that is gone")
	rec := resultstest.Session(resultstest.Server("west", 1), 0, 2, 9)
	raw, err := results.Seal(rec)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "2026-09", rec.ID+".json"), raw, 0o644))
	other, err := store.OpenIndex(t.Context(), dir) // puts it into the index
	require.NoError(t, err)
	require.NoError(t, other.Close())
	again("a record that another process read")
	tomorrow := s.now().AddDate(0, 0, 1)
	s.Now = func() time.Time { return tomorrow }
	again("another night")
	require.NoError(t, s.index.Rebuild(t.Context()))
	again("another index")
	require.Same(t, was, overview(""))
}

// TestErrorsArePages: an error is a page that leads on, and what it quotes of an address
// is text, on one line.
func TestErrorsArePages(t *testing.T) {
	s, ids, _ := serving(t)
	foreign := url.QueryEscape(resultstest.Hostile)
	for _, path := range []string{"/" + foreign, "/group-" + foreign + ".html", "/records.html?since=" + foreign, "/record.html?id=" + foreign, "/report.html?r=" + ids[3] + "&reference=" + foreign} {
		r := get(t, s, path)
		require.NotEqual(t, 200, r.StatusCode, path)
		require.Contains(t, r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		page, err := html.Parse(r.Body)
		require.NoError(t, err)
		said, leads := "", 0
		for n := range page.Descendants() {
			require.NotContains(t, []string{"img", "iframe", "b"}, n.Data, path)
			for _, a := range n.Attr {
				if a.Key == "class" && a.Val == "headline" {
					said = n.FirstChild.Data
				}
				if a.Key == "href" && a.Val == "records.html" {
					leads++
				}
			}
		}
		require.NotEmpty(t, said, path)
		require.Equal(t, 1, leads, path)
		require.Equal(t, -1, strings.IndexFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }), "%q", said)
	}
}
