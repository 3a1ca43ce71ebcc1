package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Kept is a text that a caller derived from the points of a series before a time,
// such as the changes found in them. It stays valid as long as those points do. It
// lies in the index only and is lost with it.
type Kept struct {
	Before time.Time
	Text   string
}

// of names the labels of a filter: a text is kept for one choice of sessions.
func (f Filter) of() string {
	if len(f.Labels) == 0 {
		return ""
	}
	raw, _ := json.Marshal(f.Labels) // sorted by key; a map of strings has no error
	return string(raw)
}

// Kept returns the texts kept for the series of a group under the labels of f.
func (x *Index) Kept(ctx context.Context, group string, f Filter) (kept map[Key]Kept, err error) {
	err = x.ask(ctx, "kept", func() error {
		kept = map[Key]Kept{}
		return x.query(ctx, func(row *sql.Rows) error {
			var k Key
			var before int64
			var v Kept
			err := row.Scan(append([]any{&k.Node, &before, &v.Text}, k.columns()...)...)
			v.Before = time.UnixMicro(before).UTC()
			kept[k] = v
			return err
		}, "SELECT node, before, text, "+keyColumns+" FROM series JOIN kept ON series = n WHERE grp = ? AND filter = ?", group, f.of())
	})
	return kept, err
}

// Keep keeps texts for series, under the labels of f. A text is dropped when a
// record from before its time is added, removed or amended.
func (x *Index) Keep(ctx context.Context, f Filter, all map[Key]Kept) error {
	if len(all) == 0 {
		return nil
	}
	return x.ask(ctx, "keep", func() error {
		return x.transact(ctx, func(tx *sql.Tx) error {
			put, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO kept (series, node, filter, before, text) SELECT n, ?, ?, ?, ? FROM series WHERE ("+keyColumns+") = (?, ?, ?, ?, ?, ?, ?, ?, ?)")
			if err != nil {
				return err
			}
			for k, v := range all {
				if _, err := put.ExecContext(ctx, append([]any{k.Node, f.of(), v.Before.UnixMicro(), v.Text}, k.columns()...)...); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
