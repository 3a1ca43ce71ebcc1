package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

const selector = `w{instance="a",name="x"}`

// server is a Prometheus that holds one series. It knows the series, what is
// computed of it (anything that is not the selector), and the time of either.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	now     time.Time
	sampled time.Time
	sample  string // empty if there is no series
	series  int    // in a sum
	serve   http.HandlerFunc
	asked   []url.Values
	headers []http.Header
}

// lookback is how long Prometheus serves the last sample of what has stopped.
const lookback = 5 * time.Minute

func newServer(t testing.TB) *server {
	t.Helper()
	p := &server{now: time.UnixMilli(1435781451781), sampled: time.UnixMilli(1435781450250), sample: "512.3", series: 2}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		serve := p.serve
		p.asked, p.headers = append(p.asked, r.URL.Query()), append(p.headers, r.Header)
		p.mu.Unlock()
		switch {
		case serve != nil:
			serve(w, r)
		case r.URL.Path != "/api/v1/query":
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, p.answer(r.URL.Query().Get("query")))
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *server) answer(query string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	query, marked := query, strings.HasPrefix(query, "label_replace(")
	if marked {
		of := strings.TrimSuffix(query[strings.LastIndex(query, "or (")+4:], "\n)")
		if query != besides(of) {
			return `{"status":"success","data":{"resultType":"vector","result":[]}}`
		}
		query = of
	}
	now := float64(p.now.UnixMilli()) / 1000
	if p.sample != "" && p.now.Sub(p.sampled) <= lookback {
		_, sum := summed(query)
		if marked {
			at := float64(p.sampled.UnixMilli()) / 1000
			if query != selector && !sum {
				at = now
			}
			list = append(list, fmt.Sprintf(`{"metric":{"perwatt_taken":"1"},"value":[%.3f,"%.3f"]}`, now, at))
		}
		if marked && sum {
			list = append(list, fmt.Sprintf(`{"metric":{"perwatt_series":"1"},"value":[%.3f,"%d"]}`, now, p.series))
		}
		list = append(list, fmt.Sprintf(`{"metric":{"__name__":"w"},"value":[%.3f,%s]}`, now, quoted(p.sample)))
	}
	return fmt.Sprintf(`{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(list, ","))
}

// quoted leaves what is to be no text as it is.
func quoted(s string) string {
	if strings.HasPrefix(s, "raw ") {
		return s[4:]
	}
	return `"` + s + `"`
}

// at sets the server's clock and, if sample is not "", has it scrape.
func (p *server) at(now time.Time, sample string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now = now; sample != "" {
		p.sampled, p.sample = now.Add(-100*time.Millisecond), sample
	}
}

func (p *server) instead(serve http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve = serve
}

func openAt(t testing.TB, target, options string, now func() time.Time) (power.Meter, error) {
	t.Helper()
	s, err := power.ParseSpec("prometheus:"+target+options, Options)
	require.NoError(t, err)
	s.Now = now
	return Open(t.Context(), s)
}

const wall = ",boundary=wall"

func TestConformance(t *testing.T) {
	p := newServer(t)
	for _, options := range []string{wall, wall + ",kind=energy,scale=3.6e6", ",boundary=node,accuracy=1%"} {
		powertest.TestMeter(t, func() (power.Meter, error) { return openAt(t, p.URL+"?query="+selector, options, nil) })
	}
}

// TestQuery: a query needs no quoting of its own, and arrives as it was
// written.
func TestQuery(t *testing.T) {
	for written, want := range map[string]string{
		selector:                              selector,
		`w{a="b", c=~"x|y"} + on(i) v`:        `w{a="b", c=~"x|y"} + on(i) v`,
		`sum(w)+sum(v)`:                       `sum(w)+sum(v)`,
		`sum%20(w%7Ba%3D%22b%22%7D)`:          `sum (w{a="b"})`,
		`w{a="100%"}`:                         `w{a="100%"}`,
		`w % 7 + v %20`:                       `w % 7 + v %20`,
		`w%2Bv`:                               `w+v`,
		`w{a="#&?query=;",kind="x",scale="y"`: `w{a="#&?query=;",kind="x",scale="y"`,
	} {
		p := newServer(t)
		m, err := openAt(t, p.URL+"?query="+written, wall, nil)
		require.NoError(t, err, written)
		require.Equal(t, want, p.asked[0].Get("query"))
		require.Equal(t, p.URL+"?query="+want, m.Info().Source)
	}
	p := newServer(t)
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/prometheus/api/v1/query", r.URL.Path)
		fmt.Fprint(w, p.answer(r.URL.Query().Get("query")))
	})
	_, err := openAt(t, p.URL+"/prometheus/?query="+selector, wall, nil)
	require.NoError(t, err)
}

func TestSpec(t *testing.T) {
	p := newServer(t)
	for options, want := range map[string]string{
		"":                       "a query cannot know what it measures: give boundary=, one of [wall",
		",boundary=rack":         "boundary",
		wall + ",kind=heat":      "kind=heat: must be power, energy",
		wall + ",scale=0":        "scale",
		wall + ",origin=guessed": "origin",
		wall + ",period=-1s":     "period",
	} {
		_, err := openAt(t, p.URL+"?query="+selector, options, nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, options)
		require.ErrorContains(t, err, want)
	}
	for target, want := range map[string]string{
		p.URL: "no query", p.URL + "?query=": "no query", p.URL + "?query=%20": "no query", p.URL + "?q=w": "no query",
		p.URL + "?token=hunter2&query=w": "no query", p.URL + "?x=1?query=w": "must come first", "localhost:9090?query=w": "no http://",
	} {
		_, err := openAt(t, target, wall, nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, target)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	m, err := openAt(t, p.URL+"?query="+selector, ",boundary=psu,kind=energy,scale=3.6e6,origin=modelled,period=5s", nil)
	require.NoError(t, err)
	c := m.Info().Channels[0]
	require.Equal(t, []any{results.PSU, results.PSU, results.Joule, results.Counter, results.Modelled}, []any{c.Boundary, c.Total, c.Unit, c.Kind, c.Origin})
	require.Equal(t, 5*time.Second, m.Info().Period)
}

// TestSourceThatDied: for five minutes Prometheus goes on serving the last
// value of what no longer is, as of now. It is no reading.
func TestSourceThatDied(t *testing.T) {
	for query, within := range map[string]time.Duration{
		selector: 0, // no reading at all: the sample's time stands still
		"sum(w)": 0, // nor of what adds such up
		"w*2":    time.Minute,
	} {
		t.Run(query, func(t *testing.T) {
			p := newServer(t)
			began := p.now
			m, err := openAt(t, p.URL+"?query="+query, wall, func() time.Time { return p.now })
			require.NoError(t, err)
			alive, stale := 0, 0
			for i := range 120 {
				at, sample := time.Duration(i)*5*time.Second, ""
				if i < 24 && i%3 == 0 {
					sample = fmt.Sprintf("%.1f", 500+float64(i))
				}
				p.at(began.Add(at), sample)
				died := at - 21*5*time.Second // since the last sample
				got, err := m.Read(t.Context())
				switch {
				case err != nil:
					require.Greater(t, died, lookback-5*time.Second)
					require.ErrorContains(t, err, "no series")
				case got[0].Err == nil:
					require.LessOrEqual(t, died, within, "a dead source was read")
					alive++
				case got[0].Err != power.ErrNoNews:
					require.ErrorContains(t, got[0].Err, "stale")
					require.Greater(t, died, time.Minute-time.Second)
					stale++
				default:
					require.LessOrEqual(t, died, time.Minute)
				}
			}
			require.GreaterOrEqual(t, alive, 8)
			require.Greater(t, stale, 40)

			// Nor is it one because nothing was read before.
			p.at(p.now.Add(time.Minute), "512.3")
			m, err = openAt(t, p.URL+"?query="+query, wall, func() time.Time { return p.now })
			require.NoError(t, err)
			p.at(p.now.Add(2*time.Minute), "")
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			if within == 0 {
				require.ErrorContains(t, got[0].Err, "stale: the last sample is 2m0s old")
			}

			// Nor is one opened that has died before.
			p.at(p.sampled.Add(lookback-time.Second), "")
			_, err = openAt(t, p.URL+"?query="+query, wall, nil)
			if within == 0 {
				require.ErrorContains(t, err, "stale: the last sample is 4m59s old")
				require.ErrorContains(t, err, "give period=")
			} else {
				require.NoError(t, err)
				require.Contains(t, strings.Join(m.Info().Notes, "\n"), "own time is not known")
			}
			p.at(p.sampled.Add(lookback+time.Second), "")
			_, err = openAt(t, p.URL+"?query="+query, wall, nil)
			require.ErrorContains(t, err, "no series")
		})
	}
}

// TestTimeOfTheQueryIsNotTheSamples: the record has the time of the sample.
func TestTimeOfTheQueryIsNotTheSamples(t *testing.T) {
	p := newServer(t)
	m, err := openAt(t, p.URL+"?query="+selector, wall, nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.True(t, p.sampled.Equal(got[0].Clock), "%v", got[0].Clock)
	m, err = openAt(t, p.URL+"?query=w*2", wall, nil)
	require.NoError(t, err)
	got, err = m.Read(t.Context())
	require.NoError(t, err)
	require.True(t, got[0].Clock.IsZero())
}

// TestNullIsNotZero: what is no number above 0 is no watts.
func TestNullIsNotZero(t *testing.T) {
	for value, want := range map[string]string{
		"NaN": `"NaN" is not a number`, "+Inf": "is not a number", "-Inf": "is not a number", "": "no series", "0x10": "is not a number",
		"0": "0 W is never an answer", "-1": "below 0", "1e300": "above the most",
		"raw null": "null is no text", "raw 231": "231 is no text", `raw ["231"]`: "is no text", `raw {"v": 1}`: "is no text",
	} {
		p := newServer(t)
		m, err := openAt(t, p.URL+"?query="+selector, wall, nil)
		require.NoError(t, err)
		p.sample = value
		got, err := m.Read(t.Context())
		if err == nil {
			err = got[0].Err
		}
		require.ErrorContains(t, err, want, value)
		p.sample = "231"
		got, err = m.Read(t.Context())
		require.NoError(t, err)
		require.NoError(t, got[0].Err)
		require.Equal(t, 231.0, got[0].Value)
	}
}

func TestScale(t *testing.T) {
	p := newServer(t)
	p.sample = "512300"
	m, err := openAt(t, p.URL+"?query="+selector, wall+",scale=0.001", nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.InDelta(t, 512.3, got[0].Value, 1e-9)
	p.sample = "1"
	m, err = openAt(t, p.URL+"?query="+selector, wall+",kind=energy,scale=3.6e6,max=1e9", nil)
	require.NoError(t, err)
	for i, v := range []string{"1", "1.5"} {
		p.sample = v
		got, err = m.Read(t.Context())
		require.NoError(t, err)
		require.InDelta(t, float64(i)*1.8e6, got[0].Value, 1e-6)
	}
}

func answer(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return raw
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		stamped   bool
		text, err string
	}{
		"vector.json":           {false, "512.3", ""},
		"vector-with-time.json": {true, "512.3", ""},
		"scalar.json":           {false, "512.3", ""},
		"info.json":             {false, "512.3", ""},
		"string.json":           {false, "", "gives a string"},
		"matrix.json":           {false, "", "gives a matrix: it must give one series or a scalar"},
		"histogram.json":        {false, "", "a histogram is none"},
		"empty.json":            {false, "", "no series"},
		"two.json":              {false, "", "2 series: a query must give one: narrow it by labels, or add them up by sum()"},
		"error.json":            {false, "", `it says "bad_data": invalid parameter "query": 1:3: parse error`},
		"partial.json":          {false, "", "a part may be missing: ispartial is true"},
		"warning.json":          {false, "", "a part may be missing: No StoreAPIs matched"},
	} {
		samples, err := parse(answer(t, name), nil)
		var v value
		if err == nil {
			v, err = one(samples)
		}
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.text, v.text)
		require.Equal(t, int64(1435781451781), v.at.UnixMilli())
		if c.stamped {
			require.Equal(t, int64(1435781440250), v.taken.UnixMilli())
		}
	}
	for _, raw := range []string{``, `[]`, `{}`, `{"status":"success"}`, `{"status":"success","data":{"resultType":"vector","result":{}}}`, `{"status":"success","data":{"resultType":"scalar","result":[1]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[null,"1"]}}`, `{"status":"success","data":{"resultType":"scalar","result":null}}`} {
		_, err := parse([]byte(raw), nil)
		require.Error(t, err, raw)
	}
}

// TestPartial: each dialect says in its own way that its answer is of a part
// only, and none is read then; what only informs is no reason.
func TestPartial(t *testing.T) {
	const ok = `"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1435781451.781,"180"]}]`
	for name, c := range map[string]struct {
		body, header, value, want string
	}{
		"VictoriaMetrics":                   {ok + `},"isPartial":true,"stats":{"seriesFetched":"1"}`, "", "", "ispartial is true"},
		"VictoriaMetrics, of everything":    {ok + `},"isPartial":false,"stats":{"seriesFetched":"1"}`, "", "", ""},
		"as a text":                         {ok + `},"is_partial":"true"`, "", "", "is_partial"},
		"errors beside a success":           {ok + `},"errors":["store-1: EOF"]`, "", "", "errors is"},
		"no errors":                         {ok + `},"errors":[],"error":""`, "", "", ""},
		"shards that failed":                {ok + `,"stats":{"failed_shards":2}}`, "", "", "failed_shards is 2"},
		"none that failed":                  {ok + `,"stats":{"failed_shards":0}}`, "", "", ""},
		"in the data":                       {ok + `,"partialResponse":true}`, "", "", "partialresponse is true"},
		"in the statistics":                 {ok + `,"stats":{"partial":1}}`, "", "", "partial is 1"},
		"not complete":                      {ok + `},"complete":false`, "", "", "complete is false"},
		"complete":                          {ok + `},"complete":true`, "", "", ""},
		"Cortex":                            {ok + `},"warnings":["Query result may contain partial data."]`, "", "", "may contain partial data"},
		"Prometheus, remote read":           {ok + `},"warnings":["PromQL info: x","remote_read: connection refused"]`, "", "", "remote_read"},
		"Prometheus 2.46, info":             {ok + `},"warnings":["PromQL info: metric might not be a counter"]`, "", "", ""},
		"warnings of another form":          {ok + `},"warnings":{"store-2":"away"}`, "", "", "store-2"},
		"warnings as a text":                {ok + `},"warnings":"a shard is away"`, "", "", "a shard is away"},
		"no warnings":                       {ok + `},"warnings":null,"infos":[]`, "", "", ""},
		"infos of a part":                   {ok + `},"infos":["shard 3 timed out"]`, "", "", "shard 3 timed out"},
		"Simple Log Service":                {ok + `},"slsStatus":{"errorCode":"Timeout","errorMessages":["x"]}`, "", "", "errorcode"},
		"M3":                                {ok + `}`, "M3-Results-Limited", "max_fetch_series_limit_applied", "M3-Results-Limited"},
		"M3, of everything":                 {ok + `}`, "M3-Results-Limited", "", ""},
		"another header":                    {ok + `}`, "X-Partial-Response", "true", "X-Partial-Response"},
		"another header, of everything":     {ok + `}`, "X-Partial-Response", "false", ""},
		"a cache, stale":                    {ok + `}`, "Warning", `110 cache "Response is stale"`, "110 cache"},
		"a deprecated version":              {ok + `}`, "Warning", `299 - "Deprecated"`, ""},
		"labels are no fields of an answer": {`"status":"success","data":{"resultType":"vector","result":[{"metric":{"partial":"true"},"value":[1435781451.781,"180"]}]}`, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newServer(t)
			m, err := openAt(t, p.URL+"?query=w*2", wall, nil)
			require.NoError(t, err)
			p.instead(func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set(c.header, c.value)
				}
				fmt.Fprint(w, "{"+c.body+"}")
			})
			_, err = m.Read(t.Context())
			_, again := openAt(t, p.URL+"?query=w*2", wall, nil)
			if c.want == "" {
				require.NoError(t, err)
				require.NoError(t, again)
				return
			}
			require.ErrorContains(t, err, "it warns that a part may be missing: ")
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, again, c.want)
		})
	}
}

// TestSeriesOfASum: a sum of fewer series than at first is of a part, and of
// more is of something else.
func TestSeriesOfASum(t *testing.T) {
	for _, query := range []string{"sum(w)", "sum by (node) (w)", "SUM (rate(w[1m])) without(x)", `sum(w{a=")"})`} {
		p := newServer(t)
		m, err := openAt(t, p.URL+"?query="+query, wall, nil)
		require.NoError(t, err, query)
		require.Contains(t, strings.Join(m.Info().Notes, "\n"), "a sum of 2 series", query)
		for n, want := range map[int]string{1: "its sum is of 1 series, and was of 2", 2: "", 3: "of 3 series"} {
			p.mu.Lock()
			p.series = n
			p.mu.Unlock()
			p.at(p.now.Add(time.Second), fmt.Sprint(400+n))
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			if want == "" {
				require.NoError(t, got[0].Err)
			} else {
				require.ErrorContains(t, got[0].Err, want)
			}
		}
	}
	for query, want := range map[string]string{
		"sum(w)": "w", "sum by (a, b) (w + v)": "w + v", "sum(w) by (a)": "w", `sum(w{a="\")"})`: `w{a="\")"}`, "sum without(x)(max(w))": "max(w)",
		"sum(w) + sum(v)": "", "sum(w) # all": "", "sum(w": "", "avg(w)": "", "sum": "", "sum_over_time(w[1m])": "", "w": "", "sum((w)": "", `sum(w{a="`: "",
	} {
		of, is := summed(query)
		require.Equal(t, want != "", is, query)
		if is {
			require.Equal(t, want, of)
		}
	}
}

// TestStrangers: what refuses says why, and nothing secret is said.
func TestStrangers(t *testing.T) {
	t.Setenv("PERWATT_TEST_SECRET", "hunter2")
	const token = wall + ",token=env:PERWATT_TEST_SECRET"
	for name, c := range map[string]struct {
		serve         http.HandlerFunc
		options, want string
	}{
		"400": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = w.Write(answer(t, "error.json"))
		}, "", `400 Bad Request: it says "bad_data": invalid parameter`},
		"502":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502); fmt.Fprint(w, "<html>hunter2") }, "", "502 Bad Gateway"},
		"warnings": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer(t, "warning.json")) }, "", "it warns"},
		"401":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "", "or token=, that it lets in"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, "", "redirects to"},
		"slow":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ",timeout=50ms", "no answer within 50ms"},
		"huge":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 2<<20)) }, "", "longer than"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "", "not the JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newServer(t)
			p.instead(c.serve)
			_, err := openAt(t, p.URL+"?query="+selector, token+c.options, nil)
			require.ErrorContains(t, err, "prometheus: open "+p.URL+"?query=")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	p := newServer(t)
	m, err := openAt(t, p.URL+"?query="+selector, token, nil)
	require.NoError(t, err)
	require.Equal(t, "Bearer hunter2", p.headers[0].Get("Authorization"))
	require.Contains(t, m.Info().Notes, endpoint.Unencrypted)
	require.NotContains(t, fmt.Sprint(m.Info()), "hunter2")
}

// TestScalar has no time: what asks for one is refused, and the value alone is
// read.
func TestScalar(t *testing.T) {
	p := newServer(t)
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("query") != "scalar(w)" {
			w.WriteHeader(400)
			_, _ = w.Write(answer(t, "error.json"))
			return
		}
		_, _ = w.Write(answer(t, "scalar.json"))
	})
	m, err := openAt(t, p.URL+"?query=scalar(w)", wall, nil)
	require.NoError(t, err)
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, 512.3, got[0].Value)
}

// TestFaults breaks the source, and the server, of either kind of query.
func TestFaults(t *testing.T) {
	for name, options := range map[string]string{"power": "", "energy": ",kind=energy,scale=1000"} {
		for _, query := range []string{selector, "sum(w)", "w*2"} {
			t.Run(name+" "+query, func(t *testing.T) {
				powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
					p := newServer(t)
					epoch := p.now
					before, since := 5e6, time.Duration(0) // J, and where it started to count
					truth := func(at time.Duration, times float64) string {
						if name == "power" {
							return fmt.Sprint(powertest.RigWatts * times)
						}
						return fmt.Sprint((before + powertest.RigWatts*(at-since).Seconds()) / 1000 * times)
					}
					says := func(text string) func(time.Duration) {
						return func(at time.Duration) { p.at(epoch.Add(at), text) }
					}
					return powertest.Rig{
						Open: func(now func() time.Time) (power.Meter, error) {
							return openAt(t, p.URL+"?query="+query, wall+options+",timeout=500ms", now)
						},
						Set: func(at time.Duration) {
							p.instead(nil)
							p.at(epoch.Add(at), truth(at, 1))
						},
						Break: map[string]func(time.Duration){
							"time-out":    func(time.Duration) { p.instead(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) },
							"wrong type":  says("raw 231"),
							"negative":    says("-1"),
							"nan":         says("NaN"),
							"zero":        says("0"),
							"absurd jump": func(at time.Duration) { p.at(epoch.Add(at), truth(at, 1e6)) },
							"vanish": func(time.Duration) {
								p.instead(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer(t, "empty.json")) })
							},
							"restart": func(at time.Duration) {
								if before > 0 {
									before, since = 0, at-time.Second
								}
								p.at(epoch.Add(at), truth(at, 1))
							},
							"clock step": func(at time.Duration) { p.at(epoch.Add(at-time.Hour), truth(at, 1)) },
						},
					}
				})
			})
		}
	}
}

// FuzzParse: what is read is a pair that the server wrote.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, name := range files {
		f.Add(answer(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		samples, err := parse(raw, nil)
		if err != nil {
			return
		}
		v, err := one(samples)
		if err != nil {
			return
		}
		if !json.Valid(raw) || v.at.IsZero() || v.series < 0 {
			t.Errorf("%q: %+v", raw, v)
		}
	})
}

// FuzzSummed: what a query is the sum of stands in it, whole.
func FuzzSummed(f *testing.F) {
	for _, q := range []string{"sum(w)", `sum by (a) (w{b="\")"})`, "sum((w)", "sum(w`", `sum(w{a="`} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if of, is := summed(query); is && !strings.Contains(query, "("+of+")") {
			t.Errorf("%q: %q", query, of)
		}
	})
}
