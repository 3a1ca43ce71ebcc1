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

// unreadable is the state of a record whose file is damaged.
const unreadable results.State = "unreadable"

// Header is what the index holds about a record.
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
	Grade    results.Grade     `json:"grade,omitempty"`    // the lowest of its watts; empty without any
	Wrong    string            `json:"wrong,omitempty"`    // what was wrong with its answers
}

// Key identifies a series, whose figures are compared over time. Two nodes of a
// group are two series: they differ by more than the noise of a night. A card is
// known by its kind and model, and not by the number that a driver gives it: see
// [results.Place].
type Key struct {
	Group    string       `json:"group"`
	Node     string       `json:"node"`     // see [Environment]
	Scenario string       `json:"scenario"` // [results.Place.Scenario]
	Use      string       `json:"use"`
	Device   string       `json:"device,omitempty"` // [results.Place.Device]: cpu, miner, "gpu NVIDIA H200"; empty for idle
	Workload string       `json:"workload"`
	Impl     string       `json:"impl"`
	Threads  int          `json:"threads"`
	Metric   string       `json:"metric"`
	Unit     results.Unit `json:"unit"`
}

// keyColumns are the columns of a key in the table of series, which has no nodes.
// Series are listed in this order.
const keyColumns = "grp, scenario, use, device, workload, impl, threads, metric, unit"

// columns are the fields of a key in the order of keyColumns.
func (k *Key) columns() []any {
	return []any{&k.Group, &k.Scenario, &k.Use, &k.Device, &k.Workload, &k.Impl, &k.Threads, &k.Metric, &k.Unit}
}

// Point is one session's figure in a series.
type Point struct {
	Record   string        `json:"record"`
	Start    time.Time     `json:"start"`
	Value    results.Float `json:"value"`
	Low      results.Float `json:"low"` // of the 95 % interval; absent if there are too few windows
	High     results.Float `json:"high"`
	N        int           `json:"n"` // windows
	Valid    bool          `json:"valid"`
	Excluded string        `json:"excluded,omitempty"` // why; only with Filter.Excluded
	Env      *Environment  `json:"environment"`        // shared: do not change it
}

// Series is one figure over time, oldest first.
type Series struct {
	Key
	Points []Point `json:"points"`
}

// Filter selects sessions and series. Its zero value selects all that no amendment
// excludes.
type Filter struct {
	Group, Scenario, Use, Metric string // empty for any
	Since                        time.Time
	Labels                       map[string]string // all of these
	Excluded                     bool              // also those that an amendment excludes
}

// records returns the condition on records, named r, and its arguments.
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

// Hours counts the sessions with figures that began before a time, by the hour
// of the day, UTC, in which they began.
func (x *Index) Hours(ctx context.Context, f Filter, until time.Time) (hours [24]int, err error) {
	where, args := f.records()
	err = x.ask(ctx, "hours", func() error {
		clear(hours[:])
		return x.query(ctx, func(row *sql.Rows) error {
			var hour, n int
			err := row.Scan(&hour, &n)
			hours[hour] = n
			return err
		}, "SELECT (r.start / 3600000000) % 24 AS hour, count(*) FROM records AS r WHERE r.grp <> '' AND r.start >= 0 AND r.start < ? AND "+where+" GROUP BY hour",
			append([]any{until.UnixMicro()}, args...)...)
	})
	return hours, err
}

// Records returns the headers of the records, oldest first, including those of
// running sessions and those that cannot be read.
func (x *Index) Records(ctx context.Context, f Filter) iter.Seq2[Header, error] {
	return func(yield func(Header, error) bool) {
		where, args := f.records()
		last, id := int64(-1<<62), ""
		for {
			var hs []Header
			err := x.ask(ctx, "records", func() (err error) {
				hs, err = x.headers(ctx, where+" AND (r.start, r.id) > (?, ?)", append(args[:len(args):len(args)], last, id))
				return err
			})
			if err != nil {
				yield(Header{}, err)
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
	err = x.query(ctx, func(row *sql.Rows) error {
		var h Header
		var start, env int64
		var labels, text string
		if err := row.Scan(&h.ID, &h.Path, &start, &h.State, &h.Digest, &h.Valid, &h.Group, &labels, &h.Amended, &h.Excluded, &h.Error, &h.Grade, &h.Wrong, &env, &text); err != nil {
			return err
		}
		e, err := x.environment(env, text)
		if err == nil && labels != "{}" {
			err = json.Unmarshal([]byte(labels), &h.Labels)
		}
		if err != nil {
			return err
		}
		h.Path, h.Start, h.Env = filepath.Join(x.dir, filepath.FromSlash(h.Path)), time.UnixMicro(start).UTC(), *e
		out = append(out, h)
		return nil
	}, `SELECT r.id, r.path, r.start, r.state, r.digest, r.valid, r.grp, r.labels, r.amended, r.excluded, r.error, r.grade, r.wrong, r.env, e.json
		FROM records AS r JOIN environments AS e ON e.n = r.env WHERE `+where+` ORDER BY r.start, r.id LIMIT ?`, append(args, page)...)
	return out, err
}

// environment returns an environment; a number always gives the same pointer.
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

// ErrNoRecord means that no record has the identifier.
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

// Read reads the record of h without the runs that amendments exclude, with a
// summary recomputed from its traces. It is an error if the file is damaged, or if
// the whole record is excluded.
func (x *Index) Read(ctx context.Context, h Header) (*results.Record, error) {
	as := slices.DeleteFunc(slices.Clone(x.amendments), func(a Amendment) bool { return a.Exclude != h.ID })
	rec, excluded, err := believe(ctx, &results.Reader{Derived: true}, h.Path, as)
	switch {
	case err != nil:
		return nil, fmt.Errorf("store: %s: %w: do not use it", h.Path, err)
	case excluded != "":
		return nil, fmt.Errorf("store: record %s is excluded: %s", h.ID, excluded)
	}
	return rec, nil
}

// Whole reads the record of h with all its runs, also those that amendments
// exclude, and with a summary made of its traces.
func (x *Index) Whole(ctx context.Context, h Header) (*results.Record, error) {
	if x.whole != nil && x.whole.ID == h.ID {
		return x.whole, nil
	}
	rec, err := results.ReadFile(h.Path)
	if err == nil {
		rec.Summary, err = results.DeriveWithin(ctx, rec)
	}
	return rec, err
}

// Groups returns the node groups that have records, by identifier.
func (x *Index) Groups(ctx context.Context) (groups map[string]Group, err error) {
	err = x.ask(ctx, "groups", func() error {
		groups = map[string]Group{}
		return x.query(ctx, func(row *sql.Rows) error {
			var g Group
			var id, text string
			if err := row.Scan(&id, &text); err != nil {
				return err
			}
			err := json.Unmarshal([]byte(text), &g)
			g.ID = id
			groups[id] = g
			return err
		}, "SELECT id, json FROM groups AS g WHERE EXISTS (SELECT 1 FROM records AS r WHERE r.grp = g.id)")
	})
	return groups, err
}

// Nodes returns the sorted names of the nodes of every group.
func (x *Index) Nodes(ctx context.Context) (nodes map[string][]string, err error) {
	err = x.ask(ctx, "nodes", func() error {
		nodes = map[string][]string{}
		return x.query(ctx, func(row *sql.Rows) error {
			var group, node string
			err := row.Scan(&group, &node)
			nodes[group] = append(nodes[group], node)
			return err
		}, "SELECT DISTINCT r.grp, e.node FROM records AS r JOIN environments AS e ON e.n = r.env WHERE r.grp <> '' ORDER BY r.grp, e.node")
	})
	return nodes, err
}

// Series returns the series that have points, one at a time in the order of their
// keys. A running session gives no points.
func (x *Index) Series(ctx context.Context, f Filter) iter.Seq2[Series, error] {
	return func(yield func(Series, error) bool) {
		where, args := f.series()
		var groups []string
		err := x.ask(ctx, "series", func() (err error) {
			groups, err = x.strings(ctx, "SELECT DISTINCT grp FROM series WHERE "+where+" ORDER BY grp", args...)
			return err
		})
		for _, g := range groups {
			var h past
			err = x.ask(ctx, "series", func() (err error) {
				h, err = x.past(ctx, g, f)
				return err
			})
			if err != nil {
				break
			}
			for _, node := range slices.Sorted(maps.Keys(h.figures)) {
				for _, n := range h.order {
					if s := h.series(node, n); len(s.Points) > 0 && !yield(s, nil) {
						return
					}
				}
			}
		}
		if err != nil {
			yield(Series{}, err)
		}
	}
}

// series returns the condition on series, and its arguments.
func (f *Filter) series() (where string, args []any) {
	where = "1"
	for _, c := range []struct{ column, value string }{{"grp", f.Group}, {"scenario", f.Scenario}, {"use", f.Use}, {"metric", f.Metric}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	return where, args
}

// past is the history of a group, which may be years of many nodes: the sessions,
// which its series have in common, are held once.
type past struct {
	order    []uint64 // of the series
	keys     map[uint64]Key
	sessions []Point                      // without a figure
	figures  map[string]map[uint64][]held // by node
}

type held struct {
	figure
	session int
}

func (h *past) series(node string, n uint64) Series {
	figures := h.figures[node][n]
	s := Series{Key: h.keys[n], Points: make([]Point, len(figures))}
	s.Node = node
	for i, f := range figures {
		p := h.sessions[f.session]
		p.Value, p.Low, p.High, p.N = f.value, f.low, f.high, int(f.windows) // #nosec G115 -- figures lets no more than an int holds through
		s.Points[i] = p
	}
	return s
}

// past reads a group once for all of its series. CROSS JOIN keeps SQLite to this
// order: https://www.sqlite.org/optoverview.html#manual_control_of_query_plans_using_cross_join
func (x *Index) past(ctx context.Context, group string, f Filter) (h past, err error) {
	f.Group = group
	h = past{keys: map[uint64]Key{}, figures: map[string]map[uint64][]held{}}
	where, args := f.series()
	err = x.query(ctx, func(row *sql.Rows) error {
		var k Key
		var n uint64
		err := row.Scan(append([]any{&n}, k.columns()...)...)
		h.order, h.keys[n] = append(h.order, n), k
		return err
	}, "SELECT n, "+keyColumns+" FROM series WHERE "+where+" ORDER BY "+keyColumns, args...)
	if err != nil {
		return h, err
	}

	where, args = f.records()
	err = x.query(ctx, func(row *sql.Rows) (err error) {
		var p Point
		var start, env int64
		var raw, text sql.RawBytes
		if err := row.Scan(&raw, &p.Record, &start, &p.Valid, &p.Excluded, &env, &text); err != nil {
			return err
		}
		if p.Env, err = x.environment(env, string(text)); err != nil {
			return err
		}
		p.Start = time.UnixMicro(start).UTC()
		of := h.figures[p.Env.Node]
		if of == nil {
			of = map[uint64][]held{}
			h.figures[p.Env.Node] = of
		}
		for f, err := range figures(raw) {
			if err != nil {
				return err
			}
			if _, ok := h.keys[f.series]; ok {
				of[f.series] = append(of[f.series], held{f, len(h.sessions)})
			}
		}
		h.sessions = append(h.sessions, p)
		return nil
	}, `SELECT p.figures, r.id, r.start, r.valid, r.excluded, r.env, e.json
		FROM points AS p CROSS JOIN records AS r ON r.n = p.record CROSS JOIN environments AS e ON e.n = r.env
		WHERE p.grp = ? AND p.start >= ? AND `+where+` ORDER BY p.start, r.id`, append([]any{group, args[0]}, args...)...)
	return h, err
}

// Amendments returns every amendment that can be applied, oldest first.
func (x *Index) Amendments() []Amendment { return slices.Clone(x.amendments) }

// Events returns the changes on the machines, by group and time: those that the
// records show between two sessions of a node, and those added by hand. A new node
// of a group is not compared with the other nodes, unless it replaces the only one:
// then it counts as that node under a new name.
func (x *Index) Events(ctx context.Context, f Filter) ([]Event, error) {
	var events []Event
	err := x.ask(ctx, "events", func() (err error) {
		events, err = x.changed(ctx, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, a := range x.amendments {
		if !a.At.IsZero() && !a.At.Before(f.Since) && (f.Group == "" || a.Group == "" || a.Group == f.Group) {
			events = append(events, Event{At: a.At, Group: a.Group, Node: a.Node, Kind: "by hand", Text: a.Reason, Amendment: a.ID})
		}
	}
	results.SortStable(events, func(a, b Event) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), a.At.Compare(b.At))
	})
	return events, nil
}

// alone is how long a node must have been the only one of its group for another to
// count as the same node renamed.
const alone = 48 * time.Hour

// seen is a session whose environment differs from that of the session before it in
// its group, which began at before.
type seen struct {
	id            string
	start, before int64 // µs
	env           *Environment
}

// changed returns the events that the records show. SQLite skips sessions with the
// environment of the one before: of a million sessions of single nodes few differ.
func (x *Index) changed(ctx context.Context, f Filter) (events []Event, err error) {
	err = x.query(ctx, func(row *sql.Rows) error {
		var n int64
		var text sql.RawBytes
		if err := row.Scan(&n, &text); err != nil || x.envs[n] != nil {
			return err
		}
		_, err := x.environment(n, string(text))
		return err
	}, "SELECT n, json FROM environments")
	if err != nil {
		return nil, err
	}
	where, args := f.records()
	group, sessions := "", []seen(nil)
	err = x.query(ctx, func(row *sql.Rows) error {
		var s seen
		var env int64
		var of string
		if err := row.Scan(&s.id, &s.start, &s.before, &of, &env); err != nil {
			return err
		}
		if s.env = x.envs[env]; s.env == nil {
			return fmt.Errorf("no environment %d", env)
		}
		if of != group {
			events = append(events, eventsOf(group, sessions)...)
			group, sessions = of, sessions[:0]
		}
		sessions = append(sessions, s)
		return nil
	}, `SELECT id, start, before, grp, env
		FROM (SELECT r.id, r.start, r.grp, r.env, lag(r.env) OVER earlier AS was, ifnull(lag(r.start) OVER earlier, 0) AS before
			FROM records AS r WHERE r.grp <> '' AND `+where+` WINDOW earlier AS (PARTITION BY r.grp ORDER BY r.start, r.id))
		WHERE was IS NOT env ORDER BY grp, start, id`, args...)
	return append(events, eventsOf(group, sessions)...), err
}

// eventsOf returns the changes on the nodes of a group.
func eventsOf(group string, sessions []seen) (events []Event) {
	final := map[string]int{} // last session of each node
	for i, s := range sessions {
		final[s.env.Node] = i
	}
	last, latest := map[string]*Environment{}, -1 // of the nodes so far
	for i, began := 0, int64(0); i < len(sessions); i++ {
		s := &sessions[i]
		name := s.env.Node
		old := last[name]
		if old == nil {
			// The only node until now, and not seen again.
			if i > 0 && latest < i && time.Duration(s.before-began)*time.Microsecond >= alone {
				old = sessions[i-1].env
				events = append(events, Event{At: time.UnixMicro(s.start).UTC(), Group: group, Node: name, Kind: Renamed, From: old.Node, To: name, Record: s.id})
			}
			latest = max(latest, final[name])
		}
		if i == 0 || sessions[i-1].env.Node != name {
			began = s.start
		}
		if old != nil && old != s.env {
			for _, c := range changes(old, s.env) {
				c.At, c.Group, c.Record = time.UnixMicro(s.start).UTC(), group, s.id
				events = append(events, c)
			}
		}
		last[name] = s.env
	}
	return events
}
