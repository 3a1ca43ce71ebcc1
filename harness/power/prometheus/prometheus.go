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
package prometheus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/peer"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec. The target is BASE?query=PROMQL: the query is
// taken as it stands, commas, braces and plus signs too; if all of its percent
// signs begin valid escapes, they are resolved.
var Options = slices.Concat([]peer.Option{
	{Key: "kind", Help: "what the query gives: power, or energy that is counted (power)"},
	{Key: "scale", Help: "what one of it is in W or J: 0.001 of mW, 3.6e6 of kWh (1)"},
	power.Whence,
}, power.Common, peer.Login, peer.WebOptions)

const (
	scrape  = 15 * time.Second // the interval of Prometheus's own example
	periods = 4                // that a sample may be old
	mark    = "perwatt_taken"  // label of the time in the answer
)

// Open asks the server that the spec's target names once.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("prometheus: open %s: %w", peer.Redact(s.Target), err)
	}
	return m, nil
}

// meter is what is asked, and how.
type meter struct {
	web     *peer.Web
	query   string
	stamped bool          // whether the time of the sample can be had
	oldest  time.Duration // that a sample may be
	scale   float64       // W or J
}

func open(ctx context.Context, s power.Spec) (_ power.Meter, err error) {
	base, query, ok := strings.Cut(s.Target, "?query=")
	if plain, err := url.PathUnescape(query); err == nil {
		query = plain
	}
	if !ok || strings.TrimSpace(query) == "" {
		return nil, fmt.Errorf("%w: it has no query: give http://HOST:9090?query=PROMQL", peer.ErrSpec)
	}
	if !s.Has("boundary") {
		return nil, fmt.Errorf("%w: a query cannot know what it measures: give boundary=, one of %v", peer.ErrSpec, results.Boundaries())
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
		return nil, fmt.Errorf("%w: query= must come first after the address", peer.ErrSpec)
	}
	if m.stamped, err = m.try(ctx); err != nil {
		return nil, err
	}
	c := results.Channel{Name: kind, Unit: results.Watt, Kind: results.Gauge, Origin: origin, Total: results.Wall, // as boundary= says
		Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: results.Absent()}}
	if kind == "energy" {
		c.Unit, c.Kind = results.Joule, results.Counter
	}
	notes := append(m.web.Notes, fmt.Sprintf("the query %.400q, times %g, is %s in %s at that boundary, and %s, as the spec says", peer.Redact(query), m.scale, kind, c.Unit, origin),
		"a sample is up to one scrape older than its reading")
	if m.stamped {
		notes = append(notes, fmt.Sprintf("each sample's own time is asked for; one older than %v is not used", m.oldest))
	} else {
		notes = append(notes, fmt.Sprintf("the samples' own time is not known, for the query is no plain selector: a source that stopped is found only when its value has not changed for %v", m.oldest))
	}
	about := power.Info{Source: peer.Redact(base + "?query=" + query), Period: period, Channels: []results.Channel{c}, Notes: notes}
	return s.Remote(about, []power.Bound{{Stale: m.oldest}}, m.ask, m.web.Close)
}

// try asks for the value alone, and tells whether its time can be had: what is
// computed has the time of the query, if any.
func (m *meter) try(ctx context.Context) (stamped bool, err error) {
	got, err := m.get(ctx, m.query)
	if err != nil {
		return false, err
	}
	if _, err := one(got, false); err != nil {
		return false, err
	}
	both, err := m.get(ctx, withTime(m.query))
	if _, is := errors.AsType[*peer.Refused](err); is {
		return false, nil // of a scalar there is none
	}
	if err != nil {
		return false, err
	}
	v, err := one(both, true)
	if err != nil {
		return false, err
	}
	if v.taken.Equal(v.at) {
		return false, nil
	}
	return true, m.old(v)
}

// withTime is a query for a value and, under a mark, for its time; a comment
// may end the query.
func withTime(query string) string {
	return fmt.Sprintf(`label_replace(timestamp(%s%s), "%s", "1", "", "") or (%[1]s%[2]s)`, query, "\n", mark)
}

// old says that a sample is too old.
func (m *meter) old(v value) error {
	if age := v.at.Sub(v.taken); age > m.oldest {
		return fmt.Errorf("stale: the last sample is %v old, and %v are believed: its source has stopped, or give period= if it is scraped more rarely than that", age.Round(time.Second), m.oldest)
	}
	return nil
}

// ask implements [power.Ask].
func (m *meter) ask(ctx context.Context) ([]power.Quantity, error) {
	query := m.query
	if m.stamped {
		query = withTime(query)
	}
	got, err := m.get(ctx, query)
	if err != nil {
		return nil, err
	}
	v, err := one(got, m.stamped)
	if err != nil {
		return nil, err
	}
	q := power.Quantity{Taken: v.taken}
	if q.Value, err = peer.Decimal(v.text); err != nil {
		q.Err = err
	} else if m.stamped {
		q.Err = m.old(v)
	}
	q.Value *= m.scale
	return []power.Quantity{q}, nil
}

// get evaluates a query now.
func (m *meter) get(ctx context.Context, query string) ([]sample, error) {
	u := m.web.Base.JoinPath("api/v1/query")
	u.RawQuery = url.Values{"query": {query}}.Encode()
	var raw json.RawMessage
	err := m.web.Get(ctx, u.String(), &raw)
	if refused, is := errors.AsType[*peer.Refused](err); is {
		if _, why := parse(refused.Body); errors.As(why, new(said)) {
			return nil, fmt.Errorf("%w: %w", err, why)
		}
	}
	if err != nil {
		return nil, err
	}
	return parse(raw)
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
	taken time.Time // zero if it was not asked for
}

// said is the error that the server itself tells.
type said string

func (s said) Error() string { return string(s) }

// parse takes the samples out of an answer.
func parse(raw []byte) ([]sample, error) {
	var a struct {
		Status, Error string
		ErrorType     string
		Warnings      []string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("not an answer of Prometheus: %w", err)
	}
	switch {
	case a.Status == "error":
		return nil, said(peer.Redact(fmt.Sprintf("it says %.40q: %.300s", a.ErrorType, a.Error)))
	case a.Status != "success":
		return nil, errors.New("not an answer of Prometheus: it has no status")
	case len(a.Warnings) > 0:
		return nil, said(peer.Redact(fmt.Sprintf("it warns, so that a part may be missing: %.300s", a.Warnings[0])))
	}
	series := []struct {
		Metric map[string]string
		Value  []json.RawMessage
	}{{}}
	var err error
	switch a.Data.ResultType {
	case "scalar":
		err = json.Unmarshal(a.Data.Result, &series[0].Value)
	case "vector":
		err = json.Unmarshal(a.Data.Result, &series)
	default:
		return nil, fmt.Errorf("the query gives a %.20s: it must give one series or a scalar", cmp.Or(a.Data.ResultType, "nothing"))
	}
	if err != nil {
		return nil, fmt.Errorf("not an answer of Prometheus: %w", err)
	}
	out := make([]sample, len(series))
	for i, s := range series {
		if len(s.Value) != 2 {
			return nil, errors.New("a sample is no pair of a time and a value (a histogram is none)")
		}
		at, err := peer.Decimal(string(s.Value[0]))
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

// one returns the only value, and with its time if that was asked for.
func one(samples []sample, stamped bool) (v value, err error) {
	var values, times []sample
	for _, s := range samples {
		if stamped && s.labels[mark] != "" {
			times = append(times, s)
		} else {
			values = append(values, s)
		}
	}
	switch {
	case len(values) == 0:
		return v, errors.New("no series: the query matches nothing, or its source has gone")
	case len(values) > 1:
		return v, fmt.Errorf("%d series: a query must give one: narrow it by labels, or add them up by sum()", len(values))
	case !stamped:
		return value{sample: values[0]}, nil
	case len(times) != 1:
		return v, fmt.Errorf("%d times of one sample", len(times))
	}
	t, err := peer.Decimal(times[0].text)
	if err != nil {
		return v, fmt.Errorf("time of the sample: %w", err)
	}
	return value{values[0], seconds(t)}, nil
}

// seconds is an instant of Prometheus, which keeps milliseconds.
func seconds(s float64) time.Time {
	return time.UnixMilli(int64(math.Round(max(-1e12, min(s, 1e12)) * 1000)))
}
