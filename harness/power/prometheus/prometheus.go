// Package prometheus reads one series of a Prometheus server, or of one that
// speaks its HTTP API (prometheus.io/docs/prometheus/latest/querying/api,
// instant queries), as power or energy.
//
// An instant query serves the last sample of a source for five minutes after it
// died (the lookback), with the time of the query and not of the sample. So the
// time of the sample is asked for besides, by timestamp(); it is known for a
// plain selector only, such as node_power_watts{host="a"}. Of anything that is
// computed it is not, and only a value that stands exactly still shows that its
// source stopped. What is served by somebody who was fresh when scraped (a
// Pushgateway, a recording rule) shows nothing: ask for the source itself.
//
// An answer may be of a part only, with a store or an exporter away, and its sum
// the watts of what is left. Each dialect says so in its own way (see partial),
// and is refused; of a sum the number of its series is asked for besides, and
// one of fewer or more than at first is refused too.
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

// Options are those of its spec. The target is BASE?query=PROMQL: the query is
// taken as it stands, commas, braces and plus signs too; if all of its percent
// signs begin valid escapes, they are resolved.
var Options = slices.Concat([]endpoint.Option{
	{Key: "kind", Help: "what the query gives: power, or energy that is counted (power)"},
	{Key: "scale", Help: "what one of it is in W or J: 0.001 of mW, 3.6e6 of kWh (1)"},
	power.OriginOption,
}, power.Common, endpoint.Login, endpoint.WebOptions)

const (
	scrape  = 15 * time.Second // the interval of Prometheus's own example
	periods = 4                // that a sample may be old
	taken   = "perwatt_taken"  // label of the time in the answer
	series  = "perwatt_series" // label of the number of series in a sum
)

// Open asks the server that the spec's target names once.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("prometheus: open %s: %w", endpoint.Redact(s.Target), err)
	}
	return m, nil
}

// meter is what is asked, and how.
type meter struct {
	web     *endpoint.Web
	query   string
	full    string        // the query with what is asked besides
	stamped bool          // whether the time of the sample can be had
	series  int           // in the sum; 0 if it is none, or they cannot be counted
	oldest  time.Duration // that a sample may be
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

// try asks for the value alone, and finds out what can be had besides: its
// time, and of a sum the number of its series. What is computed has the time of
// the query, if any.
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
		return nil // of a scalar there is none
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

// besides is a query for a value and, each under a label of its own, for its
// time and for the number of series of which it is the sum; a comment may end
// the query.
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

// summed returns what a query is the sum of, if it is one.
func summed(query string) (of string, is bool) {
	head := sumOf.FindString(query)
	if head == "" {
		return "", false
	}
	depth := 1
	for i := len(head); i < len(query); i++ {
		switch c := query[i]; c {
		case '#':
			return "", false // rare, and what follows is not of the query
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

// old says that a sample is too old.
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

// value is what one query gave.
type value struct {
	sample
	taken  time.Time // zero if it was not said
	series int       // of which it is the sum; 0 if it was not said
}

// said is the error that the server itself tells.
type said string

func (s said) Error() string { return string(s) }

// parse takes the samples out of an answer that is of the whole.
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

// Words for a part of the whole, in the names of fields and headers and in what
// is only mentioned beside a result.
var (
	inPart  = regexp.MustCompile(`(?i)partial|incomplete|truncated|degraded|results.?limited|missing.?(data|store|series)|fail(ed|ure)|^errors?$`)
	inWhole = regexp.MustCompile(`(?i)^(is_?)?(complete|exhaustive)$`)
	ofPart  = regexp.MustCompile(`(?i)partial|incomplete|truncat|missing|unavailable|unreachable|exceeded|not exhaustive|timed? ?out`)
)

// partial is the error of an answer that says that it is of a part only:
//
//   - warnings (Prometheus, with a remote store away; Thanos, with a store away;
//     Cortex, "may contain partial data"; M3, "results not exhaustive"; Simple
//     Log Service, "incomplete"), but for those that only inform of the query;
//   - isPartial (VictoriaMetrics cluster, with a vmstorage away), or any field
//     that is named so, in the answer, its data or its statistics, and an error
//     or what failed, beside a success;
//   - infos, if they speak of it;
//   - the header M3-Results-Limited (M3), or any that is named so, and a Warning
//     of HTTP that the answer is stale.
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
				list := []string{text} // of what is no list
				_ = json.Unmarshal(v, &list)
				for _, w := range list {
					// Some versions list what only informs among the warnings.
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

// no reports whether a value of JSON, or of a header, denies.
func no(text string) bool {
	return slices.Contains([]string{"", "false", "null", "0", `""`, `"false"`, "[]", "{}"}, strings.ToLower(strings.TrimSpace(text)))
}

// fields are those of a JSON object, by lower-case name.
func fields(raw json.RawMessage) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	_ = json.Unmarshal(raw, &object)
	out := make(map[string]json.RawMessage, len(object))
	for name, v := range object {
		out[strings.ToLower(name)] = v
	}
	return out
}

// one returns the only value, and what was asked besides.
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
