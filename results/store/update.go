package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Update brings the index up to date with the records: it reads those whose
// name, size or time of change is new, and those that were amended. A record
// that cannot be read is kept as such, with the reason, and the rest goes on.
func (x *Index) Update(ctx context.Context) error {
	if err := x.do(ctx, func() error { return x.update(ctx) }); err != nil {
		return fmt.Errorf("store: index: %w", err)
	}
	return nil
}

// known is what the index holds of a file.
type known struct {
	path     string
	size     int64
	modified int64
	amended  string
}

func (x *Index) update(ctx context.Context) error {
	months, err := months(x.dir)
	if err != nil {
		return err
	}
	// Amendments are few and may lie in any month after their record's.
	x.amendments = nil
	var bad []string
	for _, m := range months {
		paths, err := amendmentsOf(x.dir, m)
		if err != nil {
			return err
		}
		for _, path := range paths {
			switch a, ok, err := readAmendment(path); {
			case err != nil:
				bad = append(bad, err.Error())
			case ok:
				x.amendments = append(x.amendments, a)
			}
		}
	}
	for _, note := range bad {
		if !slices.Contains(x.notes, note) {
			x.notes = append(x.notes, note)
		}
	}
	slices.SortFunc(x.amendments, func(a, b Amendment) int { return strings.Compare(a.ID, b.ID) })
	amendments := map[string][]Amendment{}
	for _, a := range x.amendments {
		if a.Exclude != "" {
			amendments[a.Exclude] = append(amendments[a.Exclude], a)
		}
	}

	var fresh []Entry
	var gone []string
	all, err := x.strings(ctx, "SELECT DISTINCT month FROM records")
	if err != nil {
		return err
	}
	for _, m := range slices.Compact(slices.Sorted(slices.Values(append(all, months...)))) {
		have, err := x.month(ctx, m)
		if err != nil {
			return err
		}
		entries, err := listMonth(x.dir, m)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if have[e.ID] != x.known(e, stamp(amendments[e.ID])) {
				fresh = append(fresh, e)
			}
			delete(have, e.ID)
		}
		gone = slices.AppendSeq(gone, maps.Keys(have))
	}
	return x.write(ctx, fresh, gone, amendments)
}

func (x *Index) known(e Entry, amended string) known {
	return known{x.relative(e.Path), e.Size, e.Modified.UnixNano(), amended}
}

func (x *Index) relative(path string) string {
	rel, err := filepath.Rel(x.dir, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// stamp names the amendments to a record.
func stamp(as []Amendment) string {
	var ids []string
	for _, a := range as {
		ids = append(ids, a.ID)
	}
	return strings.Join(ids, " ")
}

// month returns what the index holds of the files of one month.
func (x *Index) month(ctx context.Context, month string) (map[string]known, error) {
	rows, err := x.db.QueryContext(ctx, "SELECT id, path, size, modified, amended FROM records WHERE month = ?", month)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := map[string]known{}
	for rows.Next() {
		var id string
		var k known
		if err := rows.Scan(&id, &k.path, &k.size, &k.modified, &k.amended); err != nil {
			return nil, damage(err)
		}
		have[id] = k
	}
	return have, rows.Err()
}

// damage marks the error of a value that is not of its column's type.
func damage(err error) error { return fmt.Errorf("%w: %w", errDamaged, err) }

func (x *Index) strings(ctx context.Context, query string, args ...any) (out []string, err error) {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, damage(err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// read is one record as it goes into the tables.
type read struct {
	entry  Entry
	header Header
	group  Group
	points []point
}

type point struct {
	key    Key
	metric results.Metric
}

// load reads a record for the index; ok is false if it is there no longer.
func load(e Entry, as []Amendment) (r read, ok bool) {
	r = read{entry: e, header: Header{ID: e.ID, Start: timeOf(e.ID), State: Unreadable, Amended: stamp(as)}}
	rec, excluded, err := believe(e.Path, as)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false
	}
	if err == nil && rec.ID != e.ID {
		err = fmt.Errorf("it calls itself %.40q", rec.ID)
	}
	if err != nil {
		r.header.Error = err.Error()
		if errors.As(err, new(*fs.PathError)) { // not of what it holds: try again next time
			r.entry.Modified = time.Time{}
		}
		return r, true
	}
	h, sum := &r.header, &rec.Summary
	r.group = GroupOf(rec)
	h.Excluded = excluded
	h.Start, h.State, h.Digest, h.Valid = rec.Start, rec.State, rec.Digest.Record, sum.Validity.Valid
	h.Group, h.Labels, h.Env = r.group.ID, rec.Plan.Labels, environmentOf(rec)
	for _, row := range sum.Rows {
		for name, m := range row.Metrics {
			if !m.Value.IsAbsent() {
				r.points = append(r.points, point{Key{h.Group, row.Scenario, row.Use, row.Workload, row.Impl, name, m.Unit}, m})
			}
		}
	}
	return r, true
}

// believe reads a record that holds what was recorded, without the runs that
// amendments exclude. What it says of itself is not believed: its traces are.
func believe(path string, as []Amendment) (rec *results.Record, excluded string, err error) {
	f, err := results.LoadFile(path)
	if err != nil {
		return nil, "", err
	}
	if bad := f.Verify(); len(bad) > 0 {
		return nil, "", errors.New(bad[0].String())
	}
	excluded = apply(f.Record, as)
	f.Record.Summary = results.Derive(f.Record)
	return f.Record, excluded, nil
}

// A transaction holds others up and its pages in memory; many small ones write
// the same page many times.
const (
	longest = 2 * time.Second
	most    = 200_000                // points
	pause   = 110 * time.Millisecond // between two: SQLite looks every 100 ms whether it is its turn
)

// write reads fresh records, in parallel, and puts them into the index.
func (x *Index) write(ctx context.Context, fresh []Entry, gone []string, amendments map[string][]Amendment) error {
	if len(fresh)+len(gone) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, done := make(chan Entry), make(chan read, 64)
	var wg sync.WaitGroup
	for range min(len(fresh), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for e := range work {
				if r, ok := load(e, amendments[e.ID]); ok {
					select {
					case done <- r:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	wg.Go(func() {
		defer close(work)
		for _, e := range fresh {
			select {
			case work <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() {
		wg.Wait()
		close(done)
	}()
	// Whoever was started has ended when done is closed.
	defer func() {
		stop()
		for range done {
		}
	}()

	for more := true; more; {
		// Nothing is locked while there is nothing to write.
		var first read
		if first, more = <-done; !more && len(gone) == 0 {
			break
		}
		err := x.transact(ctx, func(tx *sql.Tx) error {
			w, err := x.newWriter(ctx, tx)
			if err != nil {
				return err
			}
			for _, id := range gone {
				if _, err := w.remove(id, known{}); err != nil {
					return err
				}
			}
			for r, began := first, time.Now(); more; {
				if err := w.add(&r); err != nil {
					return err
				}
				if w.points > most || time.Since(began) > longest {
					break
				}
				r, more = <-done
			}
			return w.flush()
		})
		if err != nil {
			return err
		}
		gone = nil
		if more {
			time.Sleep(pause)
		}
	}
	return ctx.Err()
}

// writer puts records into the tables of one transaction.
type writer struct {
	ctx      context.Context // of the transaction
	x        *Index
	record   *sql.Stmt
	many     *sql.Stmt
	one      *sql.Stmt
	series   *sql.Stmt
	waiting  []any // values of points not yet written
	points   int
	envs     map[string]int64
	find     *sql.Stmt
	tx       *sql.Tx
	newGroup *sql.Stmt
}

const (
	columns = 7   // of points
	batch   = 100 // points a statement: 10 would cost a quarter more time
)

func (x *Index) newWriter(ctx context.Context, tx *sql.Tx) (*writer, error) {
	w := &writer{ctx: ctx, x: x, tx: tx, envs: map[string]int64{}}
	row := "(?, ?, ?, ?, ?, ?, ?)"
	into := "INSERT OR REPLACE INTO points (series, start, record, value, low, high, n) VALUES " + row
	for stmt, query := range map[**sql.Stmt]string{
		&w.one:  into,
		&w.many: into + strings.Repeat(", "+row, batch-1),
		&w.find: "SELECT n, grp, start, path, size, modified, amended FROM records WHERE id = ?",
		&w.record: `INSERT INTO records (id, month, path, size, modified, amended, start, state, digest, valid, grp, env, labels, excluded, error)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING n`,
		&w.series: `INSERT INTO series (grp, scenario, use, workload, impl, metric, unit) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET grp = grp RETURNING n`,
		&w.newGroup: "INSERT OR IGNORE INTO groups (id, json) VALUES (?, ?)",
	} {
		var err error
		if *stmt, err = tx.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// remove takes a record out of the tables, unless it is there as now.
func (w *writer) remove(id string, now known) (removed bool, err error) {
	var n, start int64
	var group string
	var k known
	switch err := w.find.QueryRowContext(w.ctx, id).Scan(&n, &group, &start, &k.path, &k.size, &k.modified, &k.amended); {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, err
	case k == now:
		return false, nil
	}
	if err := w.flush(); err != nil { // some may be of this record
		return false, err
	}
	if _, err := w.tx.ExecContext(w.ctx, "DELETE FROM points WHERE series IN (SELECT n FROM series WHERE grp = ?) AND start = ? AND record = ?", group, start, n); err != nil {
		return false, err
	}
	_, err = w.tx.ExecContext(w.ctx, "DELETE FROM records WHERE n = ?", n)
	return true, err
}

func (w *writer) add(r *read) error {
	// Another process may have put it there since.
	if absent, err := w.remove(r.header.ID, w.x.known(r.entry, r.header.Amended)); err != nil || !absent {
		return err
	}
	h := &r.header
	env, err := w.environment(h.Env)
	if err != nil {
		return err
	}
	if h.Group != "" && !w.x.groups[h.Group] {
		raw, err := json.Marshal(r.group)
		if err != nil {
			return err
		}
		if _, err := w.newGroup.ExecContext(w.ctx, h.Group, string(raw)); err != nil {
			return err
		}
		w.x.groups[h.Group] = true
	}
	labels := "{}"
	if len(h.Labels) > 0 {
		raw, err := json.Marshal(h.Labels)
		if err != nil {
			return err
		}
		labels = string(raw)
	}
	path := w.x.relative(r.entry.Path)
	month, _, _ := strings.Cut(path, "/")
	var n int64
	if err := w.record.QueryRowContext(w.ctx, h.ID, month, path, r.entry.Size, r.entry.Modified.UnixNano(), h.Amended,
		h.Start.UnixMicro(), string(h.State), h.Digest, h.Valid, h.Group, env, labels, h.Excluded, h.Error).Scan(&n); err != nil {
		return err
	}
	for _, p := range r.points {
		series, ok := w.x.ids[p.key]
		if !ok {
			k := p.key
			if err := w.series.QueryRowContext(w.ctx, k.Group, k.Scenario, k.Use, k.Workload, k.Impl, k.Metric, string(k.Unit)).Scan(&series); err != nil {
				return err
			}
			w.x.ids[k] = series
		}
		w.waiting = append(w.waiting, series, h.Start.UnixMicro(), n, float64(p.metric.Value), null(p.metric.Low), null(p.metric.High), p.metric.N)
		if w.points++; len(w.waiting) == batch*columns {
			if _, err := w.many.ExecContext(w.ctx, w.waiting...); err != nil {
				return err
			}
			w.waiting = w.waiting[:0]
		}
	}
	return nil
}

func (w *writer) flush() error {
	for p := range slices.Chunk(w.waiting, columns) {
		if _, err := w.one.ExecContext(w.ctx, p...); err != nil {
			return err
		}
	}
	w.waiting = w.waiting[:0]
	return nil
}

// null is an absent figure in SQL.
func null(f results.Float) any {
	if f.IsAbsent() {
		return nil
	}
	return float64(f)
}

func (w *writer) environment(e Environment) (n int64, err error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	n, ok := w.envs[string(raw)]
	if !ok {
		err = w.tx.QueryRowContext(w.ctx, "INSERT INTO environments (json) VALUES (?) ON CONFLICT DO UPDATE SET json = json RETURNING n", string(raw)).Scan(&n)
		w.envs[string(raw)] = n
	}
	return n, err
}
