// Package store keeps records as files in a directory. The files are the
// truth: a finished record is never changed or overwritten, and the index over
// them can be built again at any time.
//
//	DIR/2026-01/01KDYBS1CY….json[.zst]      a finished record
//	DIR/2026-01/01KDYBS1CY….partial.json    one whose session runs, or was killed
//	DIR/2026-01/01KF2M7Q3W….amend.json      what was said about records afterwards
//	DIR/index.sqlite                        the index, safe to delete
//
// While a session runs, its record is written after every run; at each moment
// one whole version of it is on the disk, whatever happens to the process, the
// machine or the free space. It is compressed when it is finished, not before:
// the node has better things to do.
//
// The [Index] answers what a directory of records holds: which records, whose
// figures over time, and what else changed. Whoever opens it brings it up to
// date. It says nothing about what the figures mean.
//
// The package never deletes a record.
package store

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/perwatt/perwatt/results"
)

// Dir returns the directory of records where none is named: $PERWATT_STORE,
// else perwatt in $XDG_DATA_HOME, else ~/.local/share/perwatt.
func Dir() (string, error) {
	if dir := os.Getenv("PERWATT_STORE"); dir != "" {
		return dir, nil
	}
	// The XDG specification has relative paths ignored.
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "perwatt"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("store: find a directory for records: %w: set PERWATT_STORE, or name one with --store", err)
	}
	return filepath.Join(home, ".local", "share", "perwatt"), nil
}

// Store is a directory of records that can be written to.
type Store struct{ dir string }

// Open returns the store in dir, which it makes if need be. It tries to write
// there, so that a session finds out before it has measured for hours, and
// removes what writers that died more than a day ago left unfinished.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, wrap("make", dir, err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, wrap("read", dir, err)
	}
	probe, err := temp(dir)
	if err != nil {
		return nil, wrap("write to", dir, err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, wrap("write to", dir, err)
	}
	sweep(dir, time.Now().Add(-24*time.Hour))
	return &Store{dir}, nil
}

// wrap names the cure for what is wrong with a store.
func wrap(what, path string, err error) error {
	cure := "name another directory with --store or PERWATT_STORE"
	switch {
	case errors.Is(err, fs.ErrPermission):
		cure = "give this user the right to write there, or " + cure
	case errors.Is(err, syscall.EROFS):
		cure = "it is on a read-only file system: " + cure
	case errors.Is(err, syscall.ENOTDIR):
		cure = "a file stands where a directory belongs: move it away, or " + cure
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		cure = "no space is left for it: free some, or " + cure
	}
	return fmt.Errorf("store: %s %s: %w: %s", what, path, err, cure)
}

// Files in the making are named for the process that makes them.
const tempPrefix, tempSuffix = ".perwatt-", ".tmp"

func temp(dir string) (*os.File, error) {
	return os.CreateTemp(dir, fmt.Sprintf("%s%d-*%s", tempPrefix, os.Getpid(), tempSuffix))
}

// sweep removes unfinished files older than the given time. It is a courtesy:
// what cannot be removed stays, and harms nobody.
func sweep(dir string, before time.Time) {
	for _, pattern := range []string{"", "????-??"} {
		old, _ := filepath.Glob(filepath.Join(escape(dir), pattern, tempPrefix+"*"+tempSuffix))
		for _, path := range old {
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
				os.Remove(path)
			}
		}
	}
}

// escape takes the special meaning from what a directory is named.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

const (
	plain   = ".json"
	packed  = ".json.zst"
	partial = ".partial.json"
	amended = ".amend.json"
)

// Draft is the record of a session that is not over. Its methods are called by
// one goroutine.
type Draft struct {
	base     string // path without suffix
	compress bool
}

// Create begins a record with the given ULID in the month of start (UTC).
// Commit will compress it if compressed is true. Nothing is written yet.
func (s *Store) Create(id string, start time.Time, compressed bool) (*Draft, error) {
	if !isID(id) {
		return nil, fmt.Errorf("store: %q is no name for a record: a ULID is", id)
	}
	month, err := s.month(start)
	if err != nil {
		return nil, err
	}
	d := &Draft{filepath.Join(month, id), compressed}
	return d, d.unfinished()
}

// month returns the directory of a month, which it makes if need be.
func (s *Store) month(t time.Time) (dir string, err error) {
	dir = filepath.Join(s.dir, t.UTC().Format("2006-01"))
	if err = os.Mkdir(dir, 0o755); err == nil {
		err = syncDir(s.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", wrap("make", dir, err)
	}
	return dir, nil
}

// isID says whether id is a ULID, written in the one way that makes file names
// sort by time.
func isID(id string) bool {
	u, err := ulid.ParseStrict(id)
	return err == nil && u.String() == id
}

// unfinished is an error if the record is finished, compressed or not.
func (d *Draft) unfinished() error {
	for _, suffix := range []string{plain, packed} {
		switch _, err := os.Lstat(d.base + suffix); {
		case err == nil:
			return taken(d.base + suffix)
		case !errors.Is(err, fs.ErrNotExist):
			return wrap("read", d.base+suffix, err)
		}
	}
	return nil
}

func taken(path string) error {
	return fmt.Errorf("store: write %s: %w: a finished record is never overwritten", path, fs.ErrExist)
}

// Save writes the record as it stands and returns its path. If that fails, the
// version saved before is still there, as the error says.
func (d *Draft) Save(rec *results.Record) (path string, err error) {
	path = d.base + partial
	raw, err := results.Seal(rec)
	if err != nil {
		return "", err
	}
	tmp, err := write(filepath.Dir(path), raw)
	if err == nil {
		if err = os.Rename(tmp, path); err != nil {
			os.Remove(tmp)
		}
	}
	if err != nil {
		return "", d.keeps(wrap("write", path, err))
	}
	step("rename")
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", wrap("write", path, err)
	}
	step("sync directory")
	return path, nil
}

// Commit writes the finished record under its final name, which must be free,
// removes the partial one and returns the path. If it returns a path and an
// error, the record is safe and only the tidying up failed.
func (d *Draft) Commit(rec *results.Record) (path string, err error) {
	raw, err := results.Seal(rec)
	if err != nil {
		return "", err
	}
	if err := d.unfinished(); err != nil {
		return "", err
	}
	path = d.base + plain
	if d.compress {
		path, raw = d.base+packed, results.Compress(raw)
	}
	tmp, err := write(filepath.Dir(path), raw)
	if err != nil {
		return "", d.keeps(wrap("write", path, err))
	}
	if err := publish(tmp, path); err != nil {
		os.Remove(tmp)
		if errors.Is(err, fs.ErrExist) {
			return "", taken(path)
		}
		return "", d.keeps(wrap("write", path, err))
	}
	step("publish")
	dir := filepath.Dir(path)
	if err := syncDir(dir); err != nil {
		return "", wrap("write", path, err)
	}
	step("sync directory")
	// From here on the record is safe; what is left is tidying up.
	for _, old := range []string{tmp, d.base + partial} {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return path, wrap("remove", old, err)
		}
		step("remove")
	}
	return path, nil
}

// keeps adds to err where the last version that was saved is.
func (d *Draft) keeps(err error) error {
	if _, missing := os.Lstat(d.base + partial); missing == nil {
		return fmt.Errorf("%w (what was saved before is intact: %s%s)", err, d.base, partial)
	}
	return err
}

// write puts data on the disk under a temporary name in a directory.
func write(dir string, data []byte) (name string, err error) {
	f, err := temp(dir)
	if err != nil {
		return "", err
	}
	step("create")
	if _, err = io.Copy(f, bytes.NewReader(data)); err == nil {
		step("write")
		err = f.Chmod(0o644) // records are there to be read
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	step("sync")
	return f.Name(), nil
}

// step is called after each step that changes the disk; tests end the process
// there.
var step = func(string) {}

// publish gives the file tmp the name path, which must be free.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some file systems (FAT, some network and container mounts) have no hard
	// links.
	return renameNew(tmp, path, err)
}

// syncDir makes the names in a directory durable. Some file systems cannot
// and say so with EINVAL; what they have, they have.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// Entry is one record of a store.
type Entry struct {
	ID       string
	Path     string
	Partial  bool      // its session runs, or was killed
	Size     int64     // bytes on the disk
	Modified time.Time // of the file
}

// List returns the records in dir in the order of their identifiers, hence of
// time. A partial record that is finished too is listed once, as finished.
// It writes nothing: the directory may be a read-only copy.
func List(dir string) ([]Entry, error) {
	months, err := months(dir)
	if err != nil {
		return nil, err
	}
	byID := map[string]Entry{}
	for _, m := range months {
		records, _, err := listMonth(dir, m)
		if err != nil {
			return nil, err
		}
		for _, e := range records {
			if other, ok := byID[e.ID]; !ok || other.Partial {
				byID[e.ID] = e
			}
		}
	}
	return slices.SortedFunc(maps.Values(byID), byTime), nil
}

func byTime(a, b Entry) int { return cmp.Compare(a.ID, b.ID) }

// months lists the directories of records in dir, oldest first.
func months(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("store: list records: %w: name their directory with --store or PERWATT_STORE", err)
	}
	for _, e := range entries {
		if _, err := time.Parse("2006-01", e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// listMonth returns the records of one month in the order of their
// identifiers, and the paths of the amendments in it.
func listMonth(dir, month string) (records []Entry, amendments []string, err error) {
	dir = filepath.Join(dir, month)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("store: list records: %w", err)
	}
	for _, f := range files {
		id, suffix, _ := strings.Cut(f.Name(), ".")
		suffix = "." + suffix
		e := Entry{ID: id, Path: filepath.Join(dir, f.Name()), Partial: suffix == partial}
		if isID(id) && suffix == amended {
			amendments = append(amendments, e.Path)
		}
		if !isID(id) || !e.Partial && suffix != plain && suffix != packed {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // finished meanwhile, under another name
		}
		if err != nil {
			return nil, nil, fmt.Errorf("store: list records: %w", err)
		}
		e.Size, e.Modified = info.Size(), info.ModTime()
		// Names are sorted: .json and .json.zst stand before .partial.json.
		if n := len(records); n == 0 || records[n-1].ID != id {
			records = append(records, e)
		}
	}
	return records, amendments, nil
}

// List returns the records of the store, as the function [List] does.
func (s *Store) List() ([]Entry, error) { return List(s.dir) }

// Paths returns the paths of the finished records, oldest first.
func (s *Store) Paths() ([]string, error) {
	entries, err := s.List()
	var paths []string
	for _, e := range entries {
		if !e.Partial {
			paths = append(paths, e.Path)
		}
	}
	return paths, err
}
