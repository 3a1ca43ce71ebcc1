package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kept is what somebody made of the points of a series before a time, and may
// want back as long as those points are the same. It lies in the index, and
// can be lost with it.
type Kept struct {
	Before time.Time
	Text   string
}

// of names what a filter leaves of a series: what is kept of it is kept for
// the same choice only.
func (f Filter) of() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		raw, _ := json.Marshal([2]string{k, f.Labels[k]})
		parts = append(parts, string(raw))
	}
	return strings.Join(parts, " ")
}

// Kept returns what was kept of the series of a group under the labels of f.
func (x *Index) Kept(ctx context.Context, group string, f Filter) (map[Key]Kept, error) {
	out := map[Key]Kept{}
	err := x.do(ctx, func() error {
		clear(out)
		rows, err := x.db.QueryContext(ctx, `SELECT s.grp, k.node, s.scenario, s.use, s.device, s.workload, s.impl, s.threads, s.metric, s.unit, k.before, k.text
			FROM series AS s JOIN kept AS k ON k.series = s.n WHERE s.grp = ? AND k.filter = ?`, group, f.of())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k Key
			var at int64
			var v Kept
			if err := rows.Scan(&k.Group, &k.Node, &k.Scenario, &k.Use, &k.Device, &k.Workload, &k.Impl, &k.Threads, &k.Metric, &k.Unit, &at, &v.Text); err != nil {
				return damage(err)
			}
			v.Before = time.UnixMicro(at).UTC()
			out[k] = v
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("store: kept: %w", err)
	}
	return out, nil
}

// Keep keeps something of series, under the labels of f. It is forgotten when
// a record from before its time comes, goes or is amended.
func (x *Index) Keep(ctx context.Context, f Filter, all map[Key]Kept) error {
	if len(all) == 0 {
		return nil
	}
	err := x.do(ctx, func() error {
		return x.transact(ctx, func(tx *sql.Tx) error {
			put, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO kept (series, node, filter, before, text)
				SELECT n, ?, ?, ?, ? FROM series WHERE (grp, scenario, use, device, workload, impl, threads, metric, unit) = (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
			if err != nil {
				return err
			}
			for k, v := range all {
				if _, err := put.ExecContext(ctx, k.Node, f.of(), v.Before.UnixMicro(), v.Text, k.Group, k.Scenario, k.Use, k.Device, k.Workload, k.Impl, k.Threads, k.Metric, string(k.Unit)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("store: keep: %w", err)
	}
	return nil
}
