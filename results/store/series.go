package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Unreadable is the state of a record whose file does not hold what was
// recorded.
const Unreadable results.State = "unreadable"

// Header is what the index knows of a record.
type Header struct {
	ID       string            `json:"id"`
	Path     string            `json:"path"`
	Start    time.Time         `json:"start"` // to the microsecond
	State    results.State     `json:"state"`
	Digest   string            `json:"digest,omitempty"`
	Valid    bool              `json:"valid"` // by the publish rules
	Group    string            `json:"group,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Env      Environment       `json:"environment"`
	Amended  string            `json:"amended,omitempty"`  // identifiers of the amendments that exclude it or runs of it
	Excluded string            `json:"excluded,omitempty"` // why it is not to be used
	Error    string            `json:"error,omitempty"`    // why it cannot be read
}

// Key identifies a series: what is compared over time and nothing else.
type Key struct {
	Group    string       `json:"group"`
	Scenario string       `json:"scenario"`
	Use      string       `json:"use"`
	Workload string       `json:"workload"`
	Impl     string       `json:"impl"`
	Metric   string       `json:"metric"`
	Unit     results.Unit `json:"unit"`
}

// Point is one session's figure in a series.
type Point struct {
	Record   string        `json:"record"`
	Start    time.Time     `json:"start"`
	Value    results.Float `json:"value"`
	Low      results.Float `json:"low"`  // of the 95 % interval; absent from few windows
	High     results.Float `json:"high"` //
	N        int           `json:"n"`    // windows
	Valid    bool          `json:"valid"`
	Excluded string        `json:"excluded,omitempty"` // why; only with Filter.Excluded
	Env      *Environment  `json:"environment"`        // shared, not to be changed
}

// Series is one figure over time, oldest first.
type Series struct {
	Key
	Points []Point `json:"points"`
}

// Filter says what is asked for. Its zero value is everything that is to be
// used.
type Filter struct {
	Group, Scenario, Use, Metric string // empty for any
	Since                        time.Time
	Labels                       map[string]string // all of these
	Excluded                     bool              // also what an amendment excludes
}

// of returns the condition on records, named r, and its arguments.
func (f *Filter) records() (where string, args []any) {
	where = "r.start >= ?"
	since := int64(-1 << 62)
	if !f.Since.IsZero() {
		since = f.Since.UnixMicro()
	}
	args = append(args, since)
	if f.Group != "" {
		where, args = where+" AND r.grp = ?", append(args, f.Group)
	}
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		where += " AND EXISTS (SELECT 1 FROM json_each(r.labels) AS l WHERE l.key = ? AND l.value = ?)"
		args = append(args, k, f.Labels[k])
	}
	if !f.Excluded {
		where += " AND r.excluded = ''"
	}
	return where, args
}

const page = 1000 // records a query

// Records returns what is known of the records, oldest first, those of
// sessions that run and those that cannot be read among them.
func (x *Index) Records(ctx context.Context, f Filter) iter.Seq2[Header, error] {
	return func(yield func(Header, error) bool) {
		where, args := f.records()
		last, id := int64(-1<<62), ""
		for {
			var hs []Header
			err := x.do(ctx, func() (err error) {
				hs, err = x.headers(ctx, where+" AND (r.start, r.id) > (?, ?)", append(args[:len(args):len(args)], last, id))
				return err
			})
			if err != nil {
				yield(Header{}, fmt.Errorf("store: records: %w", err))
				return
			}
			for _, h := range hs {
				if !yield(h, nil) {
					return
				}
			}
			if len(hs) < page {
				return
			}
			last, id = hs[page-1].Start.UnixMicro(), hs[page-1].ID
		}
	}
}

func (x *Index) headers(ctx context.Context, where string, args []any) (out []Header, err error) {
	rows, err := x.db.QueryContext(ctx, `SELECT r.id, r.path, r.start, r.state, r.digest, r.valid, r.grp, r.labels, r.amended, r.excluded, r.error, r.env, e.json
		FROM records AS r JOIN environments AS e ON e.n = r.env WHERE `+where+` ORDER BY r.start, r.id LIMIT ?`, append(args, page)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h Header
		var start, env int64
		var labels, text string
		if err := rows.Scan(&h.ID, &h.Path, &start, &h.State, &h.Digest, &h.Valid, &h.Group, &labels, &h.Amended, &h.Excluded, &h.Error, &env, &text); err != nil {
			return nil, damage(err)
		}
		e, err := x.environment(env, text)
		if err == nil && labels != "{}" {
			err = json.Unmarshal([]byte(labels), &h.Labels)
		}
		if err != nil {
			return nil, damage(err)
		}
		h.Path, h.Start, h.Env = filepath.Join(x.dir, filepath.FromSlash(h.Path)), time.UnixMicro(start).UTC(), *e
		out = append(out, h)
	}
	return out, rows.Err()
}

// environment returns an environment, the same for the same number.
func (x *Index) environment(n int64, text string) (*Environment, error) {
	e := x.envs[n]
	if e == nil {
		e = new(Environment)
		if err := json.Unmarshal([]byte(text), e); err != nil {
			return nil, err
		}
		x.envs[n] = e
	}
	return e, nil
}

// ErrNoRecord says that no record has the identifier that was asked for.
var ErrNoRecord = errors.New("no such record")

// Find returns the record whose identifier begins with prefix, in upper or
// lower case. It is an error if there is none, or more than one.
func (x *Index) Find(ctx context.Context, prefix string) (Header, error) {
	from := strings.ToUpper(prefix)
	var hs []Header
	err := x.do(ctx, func() (err error) {
		hs, err = x.headers(ctx, "r.id >= ? AND r.id < ?", []any{from, from + "~"})
		return err
	})
	switch {
	case err != nil:
		return Header{}, fmt.Errorf("store: find %.40q: %w", prefix, err)
	case len(hs) == 0 || prefix == "":
		return Header{}, fmt.Errorf("store: %w: %.40q (perwatt ls lists them)", ErrNoRecord, prefix)
	case len(hs) > 1:
		return Header{}, fmt.Errorf("store: %.40q begins the names of several records: %s, %s …: give more of it", prefix, hs[0].ID, hs[1].ID)
	}
	return hs[0], nil
}

// Read reads the record of h as the index sees it: without the runs that
// amendments exclude, and with a summary made of its traces. It is an error if
// the file does not hold what was recorded, or if all of it is excluded.
func (x *Index) Read(h Header) (*results.Record, error) {
	as := slices.DeleteFunc(slices.Clone(x.amendments), func(a Amendment) bool { return a.Exclude != h.ID })
	rec, excluded, err := believe(h.Path, as)
	switch {
	case err != nil:
		return nil, fmt.Errorf("store: %s: %w: do not use it", h.Path, err)
	case excluded != "":
		return nil, fmt.Errorf("store: record %s is excluded: %s", h.ID, excluded)
	}
	return rec, nil
}

// Groups returns every node group by its identifier.
func (x *Index) Groups(ctx context.Context) (map[string]Group, error) {
	groups := map[string]Group{}
	err := x.do(ctx, func() error {
		rows, err := x.db.QueryContext(ctx, "SELECT id, json FROM groups")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var g Group
			var id, text string
			if err := rows.Scan(&id, &text); err != nil {
				return damage(err)
			}
			if err := json.Unmarshal([]byte(text), &g); err != nil {
				return damage(err)
			}
			g.ID = id
			groups[id] = g
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("store: groups: %w", err)
	}
	return groups, nil
}

// Series returns the series that have points, in the order of their keys, one
// at a time. Sessions that have not ended give none.
func (x *Index) Series(ctx context.Context, f Filter) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		var keys []Key
		err := x.do(ctx, func() (err error) {
			keys, err = x.keys(ctx, f)
			return err
		})
		var of sessions
		for _, k := range keys {
			s := Series{Key: k}
			err = x.do(ctx, func() (err error) {
				if of.group != k.Group || of.dial != x.dials {
					if of, err = x.sessions(ctx, k.Group, f); err != nil {
						return err
					}
				}
				s.Points, err = x.points(ctx, k, f, of)
				return err
			})
			if err != nil {
				break
			}
			if len(s.Points) > 0 && !yield(s, nil) {
				return
			}
		}
		if err != nil {
			yield(Series{}, fmt.Errorf("store: series: %w", err))
		}
	}
}

func (x *Index) keys(ctx context.Context, f Filter) (keys []Key, err error) {
	where, args := "1", []any{}
	for _, c := range []struct{ column, value string }{{"grp", f.Group}, {"scenario", f.Scenario}, {"use", f.Use}, {"metric", f.Metric}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	rows, err := x.db.QueryContext(ctx, "SELECT n, grp, scenario, use, workload, impl, metric, unit FROM series WHERE "+where+
		" ORDER BY grp, scenario, use, workload, impl, metric, unit", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k Key
		var n int64
		if err := rows.Scan(&n, &k.Group, &k.Scenario, &k.Use, &k.Workload, &k.Impl, &k.Metric, &k.Unit); err != nil {
			return nil, damage(err)
		}
		x.ids[k] = n
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// sessions are those of a group that give points, by the number of their
// record. They are read once: of every one of many series, joining them would
// take most of the time.
type sessions struct {
	group string
	dial  int
	by    map[int64]Point // without a figure
}

func (x *Index) sessions(ctx context.Context, group string, f Filter) (sessions, error) {
	of := sessions{group: group, dial: x.dials, by: map[int64]Point{}}
	f.Group = group
	where, args := f.records()
	rows, err := x.db.QueryContext(ctx, `SELECT r.n, r.id, r.start, r.valid, r.excluded, r.env, e.json
		FROM records AS r JOIN environments AS e ON e.n = r.env WHERE r.state <> 'running' AND `+where, args...)
	if err != nil {
		return sessions{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var p Point
		var n, start, env int64
		var text sql.RawBytes
		if err := rows.Scan(&n, &p.Record, &start, &p.Valid, &p.Excluded, &env, &text); err != nil {
			return sessions{}, damage(err)
		}
		if p.Env, err = x.environment(env, string(text)); err != nil {
			return sessions{}, damage(err)
		}
		p.Start = time.UnixMicro(start).UTC()
		of.by[n] = p
	}
	return of, rows.Err()
}

func (x *Index) points(ctx context.Context, k Key, f Filter, of sessions) (points []Point, err error) {
	n, ok := x.ids[k]
	if !ok { // the index was built again since
		if err := x.db.QueryRowContext(ctx, "SELECT n FROM series WHERE (grp, scenario, use, workload, impl, metric, unit) = (?, ?, ?, ?, ?, ?, ?)",
			k.Group, k.Scenario, k.Use, k.Workload, k.Impl, k.Metric, string(k.Unit)).Scan(&n); errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	_, args := f.records()
	rows, err := x.db.QueryContext(ctx, "SELECT record, value, low, high, n FROM points WHERE series = ? AND start >= ? ORDER BY start", n, args[0])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var record int64
		var value float64
		var low, high sql.NullFloat64
		var windows int
		if err := rows.Scan(&record, &value, &low, &high, &windows); err != nil {
			return nil, damage(err)
		}
		if p, ok := of.by[record]; ok {
			p.Value, p.Low, p.High, p.N = results.Float(value), figure(low), figure(high), windows
			points = append(points, p)
		}
	}
	slices.SortStableFunc(points, func(a, b Point) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Record, b.Record))
	})
	return points, rows.Err()
}

func figure(f sql.NullFloat64) results.Float {
	if !f.Valid {
		return results.Absent()
	}
	return results.Float(f.Float64)
}

// Amendments returns every amendment that can be applied, oldest first.
func (x *Index) Amendments() []Amendment { return slices.Clone(x.amendments) }

// Events returns what changed in the machines, by group and time: what the
// records show from one session of a node to its next, and what was added by
// hand. A node that is new to its group is held against the session before it
// there.
func (x *Index) Events(ctx context.Context, f Filter) ([]Event, error) {
	var events []Event
	err := x.do(ctx, func() (err error) {
		events, err = x.changed(ctx, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: events: %w", err)
	}
	for _, a := range x.amendments {
		if !a.At.IsZero() && !a.At.Before(f.Since) && (f.Group == "" || a.Group == "" || a.Group == f.Group) {
			events = append(events, Event{At: a.At, Group: a.Group, Kind: "by hand", Text: a.Reason, Amendment: a.ID})
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		if c := strings.Compare(a.Group, b.Group); c != 0 {
			return c
		}
		return a.At.Compare(b.At)
	})
	return events, nil
}

// changed returns the events that the records show. What a session has in
// common with the one before it in its group, its node included, is passed over
// in the tables: of a million sessions few differ.
func (x *Index) changed(ctx context.Context, f Filter) (events []Event, err error) {
	where, args := f.records()
	rows, err := x.db.QueryContext(ctx, `SELECT c.id, c.start, c.grp, c.env, e.json
		FROM (SELECT r.id, r.start, r.grp, r.env, lag(r.env) OVER (PARTITION BY r.grp ORDER BY r.start, r.id) AS was
			FROM records AS r WHERE r.grp <> '' AND `+where+`) AS c
		JOIN environments AS e ON e.n = c.env WHERE c.was IS NOT c.env ORDER BY c.grp, c.start, c.id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type node struct{ group, name string }
	last, before := map[node]*Environment{}, map[string]*Environment{}
	for rows.Next() {
		var start, env int64
		var id, group string
		var text sql.RawBytes
		if err := rows.Scan(&id, &start, &group, &env, &text); err != nil {
			return nil, damage(err)
		}
		e, err := x.environment(env, string(text))
		if err != nil {
			return nil, damage(err)
		}
		n := node{group, e.Node}
		old, ok := last[n]
		if !ok {
			old, ok = before[group]
		}
		if ok {
			for _, c := range changes(old, e) {
				c.At, c.Group, c.Record = time.UnixMicro(start).UTC(), group, id
				events = append(events, c)
			}
		}
		last[n], before[group] = e, e
	}
	return events, rows.Err()
}
