package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Session is a record with its figures, as the index holds them.
type Session struct {
	Header
	Figures []SessionFigure
}

// SessionFigure is a figure of a session, without its history. Value, Low and High are
// in Key.Unit; the bounds are those of the 95 % interval, absent with too few windows.
type SessionFigure struct {
	*Key             // shared, without a node: do not change it
	Value, Low, High results.Float
	N                int // windows
}

// Sessions returns the records of these identifiers, with their figures of the given
// metrics, in the order of their identifiers. Nothing is read from the record files. A
// record that the index does not have is left out.
func (x *Index) Sessions(ctx context.Context, ids []string, metrics ...string) (out []Session, err error) {
	wanted, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	err = x.ask(ctx, "sessions", func() error {
		keys := map[uint64]*Key{}
		err := x.query(ctx, func(row *sql.Rows) error {
			k := new(Key)
			var n uint64
			err := row.Scan(append([]any{&n}, k.columns()...)...)
			if slices.Contains(metrics, k.Metric) {
				keys[n] = k
			}
			return err
		}, "SELECT n, "+keyColumns+" FROM series WHERE grp IN (SELECT DISTINCT r.grp FROM records AS r JOIN json_each(?) AS w ON r.id = w.value)", string(wanted))
		if err != nil {
			return err
		}
		out = nil
		return x.query(ctx, func(row *sql.Rows) error {
			var s Session
			var start, env int64
			var labels, text string
			var raw []byte
			if err := row.Scan(&raw, &s.ID, &s.Path, &start, &s.State, &s.Digest, &s.Valid, &s.Group, &labels, &s.Amended, &s.Excluded, &s.Error, &s.Grade, &s.Wrong, &env, &text); err != nil {
				return err
			}
			e, err := x.environment(env, text)
			if err == nil && labels != "{}" {
				err = json.Unmarshal([]byte(labels), &s.Labels)
			}
			if err != nil {
				return err
			}
			s.Path, s.Start, s.Env = filepath.Join(x.dir, filepath.FromSlash(s.Path)), time.UnixMicro(start).UTC(), *e
			for f, err := range figures(raw) {
				if err != nil {
					return err
				}
				if k := keys[f.series]; k != nil {
					s.Figures = append(s.Figures, SessionFigure{k, f.value, f.low, f.high, int(f.windows)}) // #nosec G115 -- figures lets no more than an int holds through
				}
			}
			slices.SortFunc(s.Figures, func(a, b SessionFigure) int { return strings.Compare(a.Key.name(), b.Key.name()) })
			out = append(out, s)
			return nil
		}, `SELECT p.figures, r.id, r.path, r.start, r.state, r.digest, r.valid, r.grp, r.labels, r.amended, r.excluded, r.error, r.grade, r.wrong, r.env, e.json
			FROM (SELECT DISTINCT value FROM json_each(?)) AS w CROSS JOIN records AS r ON r.id = w.value
			CROSS JOIN environments AS e ON e.n = r.env LEFT JOIN points AS p ON (p.grp, p.start, p.record) = (r.grp, r.start, r.n)
			ORDER BY r.id`, string(wanted))
	})
	return out, err
}

// name is a text by which keys are ordered.
func (k *Key) name() string {
	return strings.Join([]string{k.Scenario, k.Use, k.Device, k.Workload, k.Impl, k.Metric, string(k.Unit)}, "\x00")
}
