// Package prometheus reads one series of a Prometheus server, or of a server with
// the same HTTP API (prometheus.io/docs/prometheus/latest/querying/api, instant
// queries), as power or energy.
//
// After a source has died, an instant query returns its last sample for five
// minutes (the lookback), with the time of the query instead of that of the
// sample. So the time of the sample is queried too, by timestamp(). It is known
// for a plain selector only, such as node_power_watts{host="a"}. For a computed
// value it is unknown, and only a value that is exactly constant shows that its
// source has stopped. A Pushgateway or a recording rule, which is fresh whenever
// it is scraped, shows nothing: query the source itself.
//
// An answer may be partial if a store or an exporter is missing, and its sum is
// then too low. Each dialect reports this in its own way (see partial), and the
// answer is refused. For a sum the number of its series is queried too, and a sum
// of fewer or more series than at first is refused.
package prometheus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are the options of its specification. The target is BASE?query=PROMQL.
// The query is used as it is, including commas, braces and plus signs; if all of
// its percent signs start valid escapes, they are decoded.
var Options = slices.Concat([]endpoint.Option{
	{Key: "kind", Help: "quantity of the series: power, or energy as a counter (power)"},
	{Key: "scale", Help: "W or J per unit of the series: 0.001 for mW, 3.6e6 for kWh (1)"},
	power.OriginOption,
}, power.Common, endpoint.Login, endpoint.WebOptions)

const (
	scrape  = 15 * time.Second // the interval in Prometheus's own example
	periods = 4                // that a sample may be old
	taken   = "perwatt_taken"  // label of the time in the answer
	series  = "perwatt_series" // label of the number of series in a sum
)

// Open queries the server of the target once.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("prometheus: open %s: %w", endpoint.Redact(s.Target), err)
	}
	return m, nil
}

// meter is a query and its server.
type meter struct {
	web     *endpoint.Web
	query   string
	full    string        // the query, extended by what else is queried
	stamped bool          // whether the time of the sample is available
	series  int           // in the sum; 0 if it is no sum, or they cannot be counted
	oldest  time.Duration // maximum age of a sample
	scale   float64       // W or J
}

func open(ctx context.Context, s power.Spec) (_ power.Meter, err error) {
	base, query, ok := strings.Cut(s.Target, "?query=")
	if plain, err := url.PathUnescape(query); err == nil {
		query = plain
	}
	if !ok || strings.TrimSpace(query) == "" {
		return nil, fmt.Errorf("%w: it has no query: give http://HOST:9090?query=PROMQL", endpoint.ErrSpec)
	}
	if !s.Has("boundary") {
		return nil, fmt.Errorf("%w: a query cannot know what it measures: give boundary=, one of %v", endpoint.ErrSpec, results.Boundaries())
	}
	kind, err := s.Choice("kind", "power", "power", "energy")
	if err != nil {
		return nil, err
	}
	origin, err := s.Origin()
	if err != nil {
		return nil, err
	}
	m := &meter{query: query}
	if m.scale, err = s.Number("scale", 1, 1e-12, 1e12); err != nil {
		return nil, err
	}
	period, err := s.Duration("period", scrape, 10*time.Millisecond, time.Hour)
	if err != nil {
		return nil, err
	}
	m.oldest = max(time.Minute, periods*period)
	at := s
	at.Target = base
	if m.web, err = at.Web(nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = m.web.Close()
		}
	}()
	if m.web.Base.RawQuery != "" {
		return nil, fmt.Errorf("%w: query= must come first after the address", endpoint.ErrSpec)
	}
	if err := m.try(ctx); err != nil {
		return nil, err
	}
	c := results.Channel{Name: kind, Unit: results.Watt, Kind: results.Gauge, Origin: origin, Total: results.Wall, // as boundary= says
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
	if kind == "energy" {
		c.Unit, c.Kind = results.Joule, results.Counter
	}
	notes := append(m.web.Notes, fmt.Sprintf("the query %.400q, times %g, is %s in %s at that boundary, and %s, as the spec says", endpoint.Redact(query), m.scale, kind, c.Unit, origin),
		"a sample is up to one scrape older than its reading")
	if m.stamped {
		notes = append(notes, fmt.Sprintf("each sample's own time is asked for; one older than %v is not used", m.oldest))
	} else {
		notes = append(notes, fmt.Sprintf("the samples' own time is not known, for the query is no plain selector: a source that stopped is found only when its value has not changed for %v", m.oldest))
	}
	if m.series > 0 {
		notes = append(notes, fmt.Sprintf("a sum of %d series: one of more or fewer is not used", m.series))
	}
	about := power.Info{Source: endpoint.Redact(base + "?query=" + query), Period: period, Channels: []results.Channel{c}, Notes: notes}
	r, err := s.Poller(about, []power.Bound{{Stale: m.oldest}}, m.ask, m.web.Close)
	if err == nil {
		err = r.Prove(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// try queries the value alone, and finds out what else is available: its time,
// and for a sum the number of its series. A computed value has the time of the
// query, if any.
func (m *meter) try(ctx context.Context) error {
	m.full = m.query
	got, err := m.get(ctx, m.query)
	if err == nil {
		_, err = one(got)
	}
	if err != nil {
		return err
	}
	full := besides(m.query)
	both, err := m.get(ctx, full)
	if _, is := errors.AsType[*endpoint.Refused](err); is {
		return nil // a scalar has none
	}
	if err != nil {
		return err
	}
	v, err := one(both)
	if err != nil {
		return err
	}
	m.stamped = !v.taken.IsZero() && !v.taken.Equal(v.at)
	m.series = v.series
	if m.stamped || m.series > 0 {
		m.full = full
	}
	return m.check(v)
}

// besides returns a query for a value and, each under a label of its own, for its
// time and for the number of series that it sums; a comment may end the query.
func besides(query string) string {
	marked := func(what, label string) string {
		return fmt.Sprintf(`label_replace(%s, "%s", "1", "", "")`, what, label)
	}
	value := fmt.Sprintf("(%s\n)", query)
	if of, is := summed(query); is {
		return fmt.Sprintf("%s or %s or %s", marked("min(timestamp("+of+"\n))", taken), marked("count("+of+"\n)", series), value)
	}
	return marked("timestamp"+value, taken) + " or " + value
}

var (
	sumOf  = regexp.MustCompile(`^(?i:\s*sum\s*(?:(?:by|without)\s*\([^()]*\)\s*)?)\(`)
	sumEnd = regexp.MustCompile(`^\)(?i:\s*(?:(?:by|without)\s*\([^()]*\)\s*)?)$`)
)

// summed returns the argument of a query that is a sum.
func summed(query string) (of string, is bool) {
	head := sumOf.FindString(query)
	if head == "" {
		return "", false
	}
	depth := 1
	for i := len(head); i < len(query); i++ {
		switch c := query[i]; c {
		case '#':
			return "", false // rare, and the rest is not part of the query
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return query[len(head):i], sumEnd.MatchString(query[i:])
			}
		case '"', '\'', '`':
			for i++; i < len(query) && query[i] != c; i++ {
				if query[i] == '\\' && c != '`' {
					i++
				}
			}
		}
	}
	return "", false
}

// check refuses a sample that is too old, and a sum of other series.
func (m *meter) check(v value) error {
	if m.series != v.series {
		return fmt.Errorf("its sum is of %d series, and was of %d when it was opened: what is missing or new in it is not known", v.series, m.series)
	}
	if m.stamped {
		return m.old(v)
	}
	return nil
}

// old is the error for a sample that is too old.
func (m *meter) old(v value) error {
	if age := v.at.Sub(v.taken); age > m.oldest {
		return fmt.Errorf("stale: the last sample is %v old, and %v are believed: its source has stopped, or give period= if it is scraped more rarely than that", age.Round(time.Second), m.oldest)
	}
	return nil
}

// ask implements [power.Query].
func (m *meter) ask(ctx context.Context) ([]power.Quantity, error) {
	got, err := m.get(ctx, m.full)
	if err != nil {
		return nil, err
	}
	v, err := one(got)
	if err != nil {
		return nil, err
	}
	q := power.Quantity{}
	if m.stamped {
		q.Taken = v.taken
	}
	if q.Value, err = endpoint.Decimal(v.text); err != nil {
		q.Err = err
	} else {
		q.Err = m.check(v)
	}
	q.Value *= m.scale
	return []power.Quantity{q}, nil
}

// get evaluates a query now.
func (m *meter) get(ctx context.Context, query string) ([]sample, error) {
	u := m.web.Base.JoinPath("api/v1/query")
	u.RawQuery = url.Values{"query": {query}}.Encode()
	raw, header, err := m.web.Fetch(ctx, u.String())
	if refused, is := errors.AsType[*endpoint.Refused](err); is {
		if _, why := parse(refused.Body, nil); errors.As(why, new(said)) {
			return nil, fmt.Errorf("%w: %w", err, why)
		}
	}
	if err != nil {
		return nil, err
	}
	return parse(raw, header)
}

// sample is one value of an answer.
type sample struct {
	labels map[string]string
	at     time.Time // of the query
	text   string
}

// value is the result of one query.
type value struct {
	sample
	taken  time.Time // zero if unknown
	series int       // number of series in the sum; 0 if unknown
}

// said is the error that the server reports.
type said string

func (s said) Error() string { return string(s) }

// parse reads the samples of a complete answer.
func parse(raw []byte, header http.Header) ([]sample, error) {
	var a struct {
		Status, Error string
		ErrorType     string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("not the JSON of an answer of Prometheus: %w", err)
	}
	switch {
	case a.Status == "error":
		return nil, said(endpoint.Redact(fmt.Sprintf("it says %.40q: %.300s", a.ErrorType, a.Error)))
	case a.Status != "success":
		return nil, errors.New("not an answer of Prometheus: it has no status")
	}
	if err := partial(raw, header); err != nil {
		return nil, err
	}
	list := []struct {
		Metric map[string]string
		Value  []json.RawMessage
	}{{}}
	var err error
	switch a.Data.ResultType {
	case "scalar":
		err = json.Unmarshal(a.Data.Result, &list[0].Value)
	case "vector":
		err = json.Unmarshal(a.Data.Result, &list)
	default:
		return nil, fmt.Errorf("the query gives a %.20s: it must give one series or a scalar", cmp.Or(a.Data.ResultType, "nothing"))
	}
	if err != nil {
		return nil, fmt.Errorf("not an answer of Prometheus: %w", err)
	}
	out := make([]sample, len(list))
	for i, s := range list {
		if len(s.Value) != 2 {
			return nil, errors.New("a sample is no pair of a time and a value (a histogram is none)")
		}
		at, err := endpoint.Decimal(string(s.Value[0]))
		if err != nil {
			return nil, fmt.Errorf("time of a sample: %w", err)
		}
		out[i] = sample{labels: s.Metric, at: seconds(at)}
		if err := json.Unmarshal(s.Value[1], &out[i].text); err != nil || s.Value[1][0] != '"' {
			return nil, fmt.Errorf("value of a sample: %.32s is no text", s.Value[1])
		}
	}
	return out, nil
}

// Words for a partial result, in the names of fields and headers and in messages
// next to a result.
var (
	inPart  = regexp.MustCompile(`(?i)partial|incomplete|truncated|degraded|results.?limited|missing.?(data|store|series)|fail(ed|ure)|^errors?$`)
	inWhole = regexp.MustCompile(`(?i)^(is_?)?(complete|exhaustive)$`)
	ofPart  = regexp.MustCompile(`(?i)partial|incomplete|truncat|missing|unavailable|unreachable|exceeded|not exhaustive|timed? ?out`)
)

// partial returns an error for an answer that declares itself partial:
//
//   - warnings (Prometheus, with a remote store missing; Thanos, with a store
//     missing; Cortex, "may contain partial data"; M3, "results not exhaustive";
//     Simple Log Service, "incomplete"), except those that only inform about the
//     query;
//   - isPartial (VictoriaMetrics cluster, with a vmstorage missing), or any field
//     of a similar name, in the answer, its data or its statistics, and an error
//     or a failure next to a success;
//   - infos that mention it;
//   - the header M3-Results-Limited (M3), or any of a similar name, and an HTTP
//     Warning that the answer is stale.
func partial(raw []byte, header http.Header) error {
	tell := func(what string) error {
		return said(endpoint.Redact(fmt.Sprintf("it warns that a part may be missing: %.300s", what)))
	}
	for name, values := range header {
		text := strings.Join(values, ", ")
		if inPart.MatchString(name) && !no(text) || name == "Warning" && staleness.MatchString(text) {
			return tell(name + ": " + text)
		}
	}
	top := fields(raw)
	data := fields(top["data"])
	for _, of := range []map[string]json.RawMessage{top, data, fields(top["stats"]), fields(data["stats"]), fields(top["slsstatus"])} {
		for name, v := range of {
			text := string(v)
			switch {
			case text == "false" && inWhole.MatchString(name):
				return tell(name + " is " + text)
			case no(text), name == "data", name == "result":
			case inPart.MatchString(name), name == "errorcode":
				return tell(name + " is " + text)
			case name == "warnings", name == "infos":
				list := []string{text} // not a list
				_ = json.Unmarshal(v, &list)
				for _, w := range list {
					// Some versions list mere information among the warnings.
					if !strings.HasPrefix(w, "PromQL info: ") && (name == "warnings" || ofPart.MatchString(w)) {
						return tell(w)
					}
				}
			}
		}
	}
	return nil
}

var staleness = regexp.MustCompile(`(^|,\s*)11[0-3] `)

// no reports whether a value of JSON, or of a header, is negative.
func no(text string) bool {
	return slices.Contains([]string{"", "false", "null", "0", `""`, `"false"`, "[]", "{}"}, strings.ToLower(strings.TrimSpace(text)))
}

// fields are the members of a JSON object, by lower-case name.
func fields(raw json.RawMessage) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	_ = json.Unmarshal(raw, &object)
	out := make(map[string]json.RawMessage, len(object))
	for name, v := range object {
		out[strings.ToLower(name)] = v
	}
	return out
}

// one returns the only value, and what else was queried.
func one(samples []sample) (v value, err error) {
	var values []sample
	found := map[string]float64{}
	for _, s := range samples {
		label := ""
		for _, l := range []string{taken, series} {
			if s.labels[l] != "" {
				label = l
			}
		}
		if label == "" {
			values = append(values, s)
			continue
		}
		if _, twice := found[label]; twice {
			return v, fmt.Errorf("two of %s for one sample", label)
		}
		if found[label], err = endpoint.Decimal(s.text); err != nil {
			return v, fmt.Errorf("%s of the sample: %w", label, err)
		}
	}
	switch {
	case len(values) == 0:
		return v, errors.New("no series: the query matches nothing, or its source has gone")
	case len(values) > 1:
		return v, fmt.Errorf("%d series: a query must give one: narrow it by labels, or add them up by sum()", len(values))
	}
	v.sample = values[0]
	if t, said := found[taken]; said {
		v.taken = seconds(t)
	}
	v.series = int(max(0, min(found[series], 1e9)))
	return v, nil
}

// seconds is an instant of Prometheus, which keeps milliseconds.
func seconds(s float64) time.Time {
	return time.UnixMilli(int64(math.Round(max(-1e12, min(s, 1e12)) * 1000)))
}
