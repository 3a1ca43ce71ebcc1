package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/results"
)

// Amendment is added to a store after a measurement: it excludes a record or a run
// of it, or names an event on the machines. It is a file beside the records and,
// like them, never changed. Its author is not recorded.
type Amendment struct {
	ID string `json:"id"` // ULID, which holds the time at which it was made

	// Exclude names the record that is not to be used. Scenario and Round limit that
	// to one of its runs.
	Exclude  string `json:"exclude,omitempty"`
	Scenario string `json:"scenario,omitempty"`
	Round    int    `json:"round,omitempty"`
	// By names the record of the same session that stands in the place of the excluded
	// one; empty if none does.
	By string `json:"by,omitempty"`

	// At is the time of an event, Group the node group that it concerns and Node the
	// name of the node; empty for all.
	At    time.Time `json:"at,omitzero"`
	Group string    `json:"group,omitempty"`
	Node  string    `json:"node,omitempty"`

	Reason string `json:"reason"` // or what happened
}

// Time is when the amendment was made (UTC).
func (a Amendment) Time() time.Time { return timeOf(a.ID) }

func timeOf(id string) time.Time {
	u, _ := ulid.ParseStrict(id)
	return ulid.Time(u.Time()).UTC()
}

// maxReason bounds a reason, in bytes.
const maxReason = 2000

func (a Amendment) check() error {
	switch {
	case !isID(a.ID):
		return fmt.Errorf("%.40q is no name for an amendment: a ULID is", a.ID)
	case strings.TrimSpace(a.Reason) == "":
		return errors.New("an amendment needs a reason")
	case len(a.Reason) > maxReason:
		return fmt.Errorf("a reason of %d bytes: at most %d are kept", len(a.Reason), maxReason)
	case (a.Exclude != "") == !a.At.IsZero():
		return errors.New("an amendment either excludes a record or names an event")
	case a.Exclude != "" && !isID(a.Exclude):
		return fmt.Errorf("%.40q is no name for a record: a ULID is", a.Exclude)
	case a.By != "" && (!isID(a.By) || a.Exclude == "" || a.By == a.Exclude || a.Scenario != ""):
		return fmt.Errorf("%.40q cannot stand in the place of the record %.40q", a.By, a.Exclude)
	case (a.Scenario != "") != (a.Round > 0):
		return errors.New("a run is named by its scenario and its round, from 1")
	}
	return nil
}

// Amend gives an amendment an identifier, writes it to the store, and returns it
// and its path.
func (s *Store) Amend(a Amendment) (Amendment, string, error) {
	a.ID = ulid.Make().String()
	a.At = a.At.UTC()
	if err := a.check(); err != nil {
		return a, "", fmt.Errorf("store: %w", err)
	}
	raw, err := json.MarshalIndent(a, "", "\t")
	if err != nil {
		return a, "", fmt.Errorf("store: write amendment: %w", err)
	}
	dir, err := s.month(a.Time())
	if err != nil {
		return a, "", err
	}
	path := filepath.Join(dir, a.ID+amended)
	tmp, err := write(dir, append(raw, '\n'), true)
	if err == nil {
		err = errors.Join(publish(tmp, path), syncDir(dir))
	}
	if err != nil {
		return a, "", wrap("write", path, err)
	}
	return a, path, nil
}

// readAmendment reads what Amend wrote; ok is false if it is gone.
func readAmendment(path string) (a Amendment, ok bool, err error) {
	f, err := results.OpenFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, false, nil
	}
	if err != nil {
		return a, false, fmt.Errorf("store: read amendment: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err == nil {
		err = a.check()
	}
	if id, _, _ := strings.Cut(filepath.Base(path), "."); err == nil && a.ID != id {
		err = fmt.Errorf("its identifier is %s, which is not that of its file name", a.ID)
	}
	if err != nil {
		return a, false, fmt.Errorf("store: amendment %s: %w: it is not applied", path, err)
	}
	return a, true, nil
}

// Replaced maps the identifier of each record that another stands in the place of to that
// one, of what the index knows since its last update.
func (x *Index) Replaced() map[string]string {
	by := map[string]string{}
	for _, a := range x.amendments {
		if a.By != "" {
			by[a.Exclude] = a.By
		}
	}
	return by
}

// apply removes from a record the runs that amendments exclude. If they exclude the
// whole record it returns the reason.
func apply(rec *results.Record, amendments []Amendment) (excluded string) {
	type run struct {
		scenario string
		round    int
	}
	out := map[run]bool{}
	for _, a := range amendments {
		if a.Scenario == "" {
			excluded = a.Reason
		} else {
			out[run{a.Scenario, a.Round}] = true
		}
	}
	rec.Runs = slices.DeleteFunc(rec.Runs, func(r results.Run) bool { return out[run{r.Scenario, r.Round}] })
	return excluded
}
