package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Update brings the index up to date with the records: it reads those whose
// name, size or modification time is new, and those that were amended. A record
// that cannot be read is listed with the reason, and the others are read.
//
// A month is settled if its directory had not changed for an hour when it was last
// read. It is not read again until its directory changes; only [Index.Check] sees
// a file there that was changed in place, which nobody should do.
func (x *Index) Update(ctx context.Context) error {
	return x.ask(ctx, "index", func() error { return x.update(ctx, false) })
}

// known is what the index holds about a file.
type known struct {
	path     string
	size     int64
	modified int64
	amended  string
}

// settles is how long a directory must be unchanged for its month to be settled.
const settles = time.Hour

// scanned is a month as its directory shows it.
type scanned struct {
	modified   int64 // of the directory, ns, before it was read; 0 if it may yet change
	entries    []Entry
	amendments []Amendment
	others     Strangers
}

// scan reads the directory of a month and the amendments in it.
func (x *Index) scan(month string) (s scanned, err error) {
	dir := filepath.Join(x.dir, month)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, fmt.Errorf("list records: %w", err)
	}
	if at := info.ModTime(); time.Since(at) > settles {
		s.modified = at.UnixNano()
	}
	in, err := listMonth(x.dir, month)
	if err != nil {
		return s, err
	}
	s.entries, s.others = in.records, in.others
	if slices.ContainsFunc(s.entries, func(e Entry) bool { return e.Partial }) {
		s.modified = 0
	}
	for _, path := range in.amendments {
		switch a, ok, err := readAmendment(path); {
		case err != nil:
			if s.modified = 0; !slices.Contains(x.notes, err.Error()) {
				x.notes = append(x.notes, err.Error())
			}
		case ok:
			s.amendments = append(s.amendments, a)
		}
	}
	return s, nil
}

// update reads the months that may have changed, or all of them.
func (x *Index) update(ctx context.Context, all bool) error {
	there, others, err := months(x.dir)
	if err != nil {
		return err
	}
	settled, err := x.settled(ctx)
	if err != nil {
		return err
	}
	fresh := map[string]scanned{}
	look := func(m string) (err error) {
		if _, done := fresh[m]; !done {
			fresh[m], err = x.scan(m)
		}
		return err
	}
	for _, m := range there {
		if was, known := settled[m]; !all && known && was.modified != 0 {
			if info, err := os.Stat(filepath.Join(x.dir, m)); err == nil && info.ModTime().UnixNano() == was.modified {
				continue
			}
		}
		if err := look(m); err != nil {
			return err
		}
	}
	for m := range settled {
		if !slices.Contains(there, m) {
			fresh[m] = scanned{} // its records are gone
		}
	}

	// Amendments are few and may lie in any month after their record's.
	now := maps.Clone(settled)
	maps.Copy(now, fresh)
	x.amendments = nil
	for _, s := range now {
		x.amendments = append(x.amendments, s.amendments...)
	}
	slices.SortFunc(x.amendments, func(a, b Amendment) int { return strings.Compare(a.ID, b.ID) })
	amendments := map[string][]Amendment{}
	for _, a := range x.amendments {
		if a.Exclude != "" {
			amendments[a.Exclude] = append(amendments[a.Exclude], a)
		}
	}
	stale, err := x.stale(ctx, amendments)
	if err != nil {
		return err
	}
	for _, m := range stale {
		if err := look(m); err != nil {
			return err
		}
	}
	maps.Copy(now, fresh)

	var read []Entry
	var gone []string
	months := slices.Sorted(maps.Keys(fresh))
	home := homes(months, fresh)
	for _, m := range months {
		have, err := x.month(ctx, m)
		if err != nil {
			return err
		}
		s := fresh[m]
		for _, e := range s.entries {
			current := have[e.ID] == x.known(e, stamp(amendments[e.ID]))
			delete(have, e.ID)
			at := home[e.ID]
			if at == m && !current && len(fresh) < len(now) { // it may be in a month that was not read again: then it stays there
				of, err := x.strings(ctx, "SELECT month FROM records WHERE id = ?", e.ID)
				if err != nil {
					return err
				}
				if len(of) > 0 {
					if _, again := fresh[of[0]]; !again {
						at = of[0]
					}
				}
			}
			switch {
			case at != m:
				s.others.add(x.relative(e.Path), "a copy of the record in "+at)
				s.modified = 0 // it counts when the other is gone
			case !current:
				read = append(read, e)
			}
		}
		fresh[m], now[m] = s, s
		gone = slices.AppendSeq(gone, maps.Keys(have))
	}
	if err := x.write(ctx, read, gone, amendments); err != nil {
		return err
	}
	for _, m := range there {
		others.join(now[m].others)
	}
	x.others = others
	return x.settle(ctx, fresh, settled)
}

// homes returns the month of each record. Of several copies it is the one in the
// month of its identifier, else the first.
func homes(months []string, fresh map[string]scanned) map[string]string {
	home := map[string]string{}
	for _, m := range months {
		for _, e := range fresh[m].entries {
			if home[e.ID] == "" || timeOf(e.ID).Format("2006-01") == m {
				home[e.ID] = m
			}
		}
	}
	return home
}

// settled returns the months in the index as they were when they were last read,
// without their records.
func (x *Index) settled(ctx context.Context) (map[string]scanned, error) {
	months := map[string]scanned{}
	return months, x.query(ctx, func(row *sql.Rows) error {
		var m, amendments, others string
		var s scanned
		if err := row.Scan(&m, &s.modified, &amendments, &others); err != nil {
			return err
		}
		err := errors.Join(json.Unmarshal([]byte(amendments), &s.amendments), json.Unmarshal([]byte(others), &s.others))
		months[m] = s
		return err
	}, "SELECT month, modified, amendments, others FROM months")
}

// settle writes the state of the months that were read to the index. It writes
// nothing if nothing is new: other processes may be writing.
func (x *Index) settle(ctx context.Context, fresh, settled map[string]scanned) error {
	rows := map[string]scanned{}
	for m, s := range fresh {
		// A record that could not be opened is tried again next time.
		if unread, err := x.strings(ctx, "SELECT id FROM records WHERE month = ? AND modified = ? LIMIT 1", m, time.Time{}.UnixNano()); err != nil {
			return err
		} else if len(unread) > 0 {
			s.modified = 0
		}
		was, known := settled[m]
		if !known || was.modified != s.modified || !slices.Equal(was.amendments, s.amendments) || was.others.N != s.others.N || !slices.Equal(was.others.First, s.others.First) {
			rows[m] = s
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return x.transact(ctx, func(tx *sql.Tx) error {
		for m, s := range rows {
			amendments, err := json.Marshal(slices.Concat([]Amendment{}, s.amendments))
			if err != nil {
				return err
			}
			others, err := json.Marshal(s.others)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO months (month, modified, amendments, others) VALUES (?, ?, ?, ?)", m, s.modified, string(amendments), string(others)); err != nil {
				return err
			}
		}
		return nil
	})
}

// stale returns the months of the records whose amendments have changed since they
// were read.
func (x *Index) stale(ctx context.Context, amendments map[string][]Amendment) (months []string, err error) {
	ids, err := x.strings(ctx, "SELECT id FROM records WHERE amended <> ''")
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(ids, maps.Keys(amendments))))) {
		of, err := x.strings(ctx, "SELECT month FROM records WHERE id = ? AND amended <> ?", id, stamp(amendments[id]))
		if err != nil {
			return nil, err
		}
		months = append(months, of...)
	}
	return months, nil
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
	have := map[string]known{}
	return have, x.query(ctx, func(row *sql.Rows) error {
		var id string
		var k known
		err := row.Scan(&id, &k.path, &k.size, &k.modified, &k.amended)
		have[id] = k
		return err
	}, "SELECT id, path, size, modified, amended FROM records WHERE month = ?", month)
}

// read is one record as it goes into the tables.
type read struct {
	entry  Entry
	header Header
	group  Group
	whole  *results.Record        // if no amendment applies to it
	points map[Key]results.Figure // without the node, which the header has
}

// load reads a record for the index; ok is false if it is no longer there.
func load(ctx context.Context, in *results.Reader, e Entry, as []Amendment) (r read, ok bool) {
	r = read{entry: e, header: Header{ID: e.ID, Start: timeOf(e.ID), State: unreadable, Amended: stamp(as)}}
	rec, excluded, err := believe(ctx, in, e.Path, as)
	if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
		return r, false
	}
	if err == nil && rec.ID != e.ID {
		err = fmt.Errorf("its identifier is %.40q, which is not that of its file name", rec.ID)
	}
	if err != nil {
		r.header.Error = err.Error()
		if errors.As(err, new(*fs.PathError)) { // its content is not at fault: try again next time
			r.entry.Modified = time.Time{}
		}
		return r, true
	}
	if len(as) == 0 {
		r.whole = rec
	}
	h, sum := &r.header, &rec.Summary
	r.group = groupOf(rec)
	h.Excluded = excluded
	h.Start, h.State, h.Digest, h.Valid = rec.Start, rec.State, rec.Digest.Record, sum.Validity.Valid
	h.Wrong = strings.Join(rec.WrongAnswers(), "; ")
	for i := range sum.Rows {
		if row := &sum.Rows[i]; row.PartOf == "" {
			h.Grade = max(h.Grade, row.Metrics[results.Power].Grade)
		}
	}
	h.Group, h.Labels, h.Env = r.group.ID, rec.Plan.Labels, environmentOf(rec)
	if rec.Plan.Setting != nil || h.State == results.Running { // neither an experiment nor half a night is a point of a series
		return r, true
	}
	r.points = map[Key]results.Figure{}
	for i, at := range rec.Places() {
		row := sum.Rows[i]
		for name, m := range row.Metrics {
			if !m.Value.IsAbsent() {
				r.points[Key{h.Group, "", at.Scenario(), row.Use, at.Device, row.Workload, row.Impl, row.Threads, name, m.Unit}] = m
			}
		}
	}
	return r, true
}

// believe reads a record, verifies it and removes the runs that amendments exclude.
// Its summary is recomputed from its traces; the one in the file is not trusted.
func believe(ctx context.Context, in *results.Reader, path string, as []Amendment) (rec *results.Record, excluded string, err error) {
	f, err := in.LoadFile(path)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return nil, "", err
	}
	if bad := f.Verify(); len(bad) > 0 {
		return nil, "", errors.New(bad[0].String())
	}
	excluded = apply(f.Record, as)
	f.Record.Summary, err = results.DeriveWithin(ctx, f.Record)
	return f.Record, excluded, err
}

// Limits of a transaction. A large one blocks other processes and holds its pages in
// memory; many small ones write the same page many times.
const (
	longest = 2 * time.Second        // of reading records for one
	most    = 100_000                // points in one
	pause   = 110 * time.Millisecond // between two: a waiting SQLite tries every 100 ms
)

// write reads fresh records in parallel and puts them into the index, from which it
// removes those that are gone.
func (x *Index) write(ctx context.Context, fresh []Entry, gone []string, amendments map[string][]Amendment) error {
	if len(fresh)+len(gone) == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan read, 64)
	var next atomic.Int64 // of fresh
	var wg sync.WaitGroup
	for range min(len(fresh), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			in := &results.Reader{Derived: true}
			for i := next.Add(1) - 1; i < int64(len(fresh)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if r, ok := load(ctx, in, fresh[i], amendments[fresh[i].ID]); ok {
					if x.wanted != "" && strings.HasPrefix(fresh[i].ID, x.wanted) {
						in = &results.Reader{Derived: true} // its memory is that of the record
					} else {
						r.whole = nil // many summaries fit into memory, few records do
					}
					select {
					case done <- r:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	// When done is closed, all goroutines have ended.
	defer func() {
		stop()
		for range done {
		}
	}()

	for more := true; more; {
		// Nothing is locked while records are read.
		var ready []read
		for points, began := 0, time.Now(); points < most && time.Since(began) < longest; {
			var r read
			if r, more = <-done; !more {
				break
			}
			x.whole = cmp.Or(r.whole, x.whole)
			ready, points = append(ready, r), points+len(r.points)
		}
		if len(ready)+len(gone) == 0 {
			break
		}
		x.writes++
		err := x.transact(ctx, func(tx *sql.Tx) error {
			w := x.newWriter(ctx, tx)
			for _, id := range gone {
				if _, err := w.remove(id, known{}); err != nil {
					return err
				}
			}
			for i := range ready {
				if err := w.add(&ready[i]); err != nil {
					return err
				}
			}
			return nil
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
	ctx   context.Context // of the transaction
	x     *Index
	tx    *sql.Tx
	stmts map[string]*sql.Stmt // by their text
	envs  map[string]int64     // numbers of environments by their JSON
}

func (x *Index) newWriter(ctx context.Context, tx *sql.Tx) *writer {
	return &writer{ctx: ctx, x: x, tx: tx, stmts: map[string]*sql.Stmt{}, envs: map[string]int64{}}
}

// exec runs a statement, which is prepared once, and scans the row it returns, if
// into is given.
func (w *writer) exec(query string, args []any, into ...any) (err error) {
	stmt := w.stmts[query]
	if stmt == nil {
		if stmt, err = w.tx.PrepareContext(w.ctx, query); err != nil {
			return err
		}
		w.stmts[query] = stmt
	}
	if len(into) > 0 {
		return stmt.QueryRowContext(w.ctx, args...).Scan(into...)
	}
	_, err = stmt.ExecContext(w.ctx, args...)
	return err
}

// forget drops what was kept of the series of a node from after a record's start.
func (w *writer) forget(start int64, node, group string) error {
	return w.exec("DELETE FROM kept WHERE before > ? AND node = ? AND series IN (SELECT n FROM series WHERE grp = ?)", []any{start, node, group})
}

// remove takes a record out of the tables, unless it is there as now.
func (w *writer) remove(id string, now known) (removed bool, err error) {
	var n, start int64
	var group, node string
	var k known
	err = w.exec("SELECT r.n, r.grp, e.node, r.start, r.path, r.size, r.modified, r.amended FROM records AS r JOIN environments AS e ON e.n = r.env WHERE r.id = ?",
		[]any{id}, &n, &group, &node, &start, &k.path, &k.size, &k.modified, &k.amended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return true, nil
	case err != nil:
		return false, err
	case k == now:
		return false, nil
	}
	err = cmp.Or(w.forget(start, node, group),
		w.exec("DELETE FROM points WHERE (grp, start, record) = (?, ?, ?)", []any{group, start, n}),
		w.exec("DELETE FROM records WHERE n = ?", []any{n}))
	return err == nil, err
}

func (w *writer) add(r *read) error {
	// Another process may have put it there since.
	h, entry := &r.header, w.x.known(r.entry, r.header.Amended)
	if absent, err := w.remove(h.ID, entry); err != nil || !absent {
		return err
	}
	env, err := w.environment(h.Env)
	if err != nil {
		return err
	}
	start := h.Start.UnixMicro()
	if err := w.forget(start, h.Env.Node, h.Group); err != nil {
		return err
	}
	if h.Group != "" && !w.x.groups[h.Group] {
		raw, err := json.Marshal(r.group)
		if err = cmp.Or(err, w.exec("INSERT OR IGNORE INTO groups (id, json) VALUES (?, ?)", []any{h.Group, string(raw)})); err != nil {
			return err
		}
		w.x.groups[h.Group] = true
	}
	labels := []byte("{}")
	if len(h.Labels) > 0 {
		if labels, err = json.Marshal(h.Labels); err != nil {
			return err
		}
	}
	month, _, _ := strings.Cut(entry.path, "/")
	var n int64
	err = w.exec(`INSERT INTO records (id, month, path, size, modified, amended, start, state, digest, valid, grp, env, labels, excluded, error, grade, wrong)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING n`,
		[]any{h.ID, month, entry.path, entry.size, entry.modified, entry.amended, start, string(h.State), h.Digest, h.Valid, h.Group, env, string(labels), h.Excluded, h.Error, string(h.Grade), h.Wrong}, &n)
	if err != nil || len(r.points) == 0 {
		return err
	}
	var figures []byte
	for k, m := range r.points {
		series, ok := w.x.ids[k]
		if !ok {
			if err := w.exec("INSERT INTO series ("+keyColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET grp = grp RETURNING n", k.columns(), &series); err != nil {
				return err
			}
			w.x.ids[k] = series
		}
		figures = figure{series, uint64(m.N), m.Value, m.Low, m.High}.append(figures) // #nosec G115 -- a count
	}
	return w.exec("INSERT INTO points (grp, start, record, figures) VALUES (?, ?, ?, ?)", []any{h.Group, start, n, figures})
}

// environment returns the number of an environment, which it puts into the tables
// if need be.
func (w *writer) environment(e Environment) (n int64, err error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	n, ok := w.envs[string(raw)]
	if !ok {
		err = w.exec("INSERT INTO environments (node, json) VALUES (?, ?) ON CONFLICT DO UPDATE SET json = json RETURNING n", []any{e.Node, string(raw)}, &n)
		w.envs[string(raw)] = n
	}
	return n, err
}
