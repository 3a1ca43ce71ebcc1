// Package store keeps records as files in a directory. A finished record is
// never changed or overwritten; the index can be built from the records again at
// any time.
//
//	DIR/2026-01/01KDYBS1CY….json[.zst]      a finished record
//	DIR/2026-01/01KDYBS1CY….partial.json    one whose session runs, or was killed
//	DIR/2026-01/01KF2M7Q3W….amend.json      an exclusion or an event, added later
//	DIR/fleet/NAME/                         how many nodes were measured, by perwatt fleet
//	DIR/index.sqlite…                       the index, safe to delete
//
// While a session runs, its record is written after every run. One whole version
// of it is on the disk at every moment, whatever happens to the process, the
// machine or the free space. It is compressed only when it is finished, so that
// the node's CPU is not busy with it during the measurement.
//
// The [Index] answers queries about a directory of records: which records there
// are, their figures over time, and what else changed on the machines. Opening it
// brings it up to date. It does not judge the figures.
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
	"sync"
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

// Store is a directory of records that can be written to, also by several goroutines.
type Store struct {
	dir    string
	making sync.Mutex // of a month
	names  *syncs
	intake intake
}

// Open returns the store in dir and makes the directory if it is missing. It
// tries to write there, so that a session fails before it measures for hours
// rather than after. It removes unfinished files that are older than a day.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- records are there to be read, by whom the umask lets
		return nil, wrap("make", dir, err)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, wrap("read", dir, err)
	}
	probe, err := temp(dir)
	if err != nil {
		return nil, wrap("write to", dir, err)
	}
	probe.Close() // #nosec G104 -- nothing was written to it
	if err := os.Remove(probe.Name()); err != nil {
		return nil, wrap("write to", dir, err)
	}
	sweep(dir, time.Now().Add(-24*time.Hour))
	return &Store{dir: dir, names: newSyncs(syncDir), intake: newIntake()}, nil
}

// Place is the directory of the store.
func (s *Store) Place() string { return s.dir }

// Room returns an error if the file system of the store has fewer bytes left than records
// will need, so that a session is refused and not lost.
func (s *Store) Room(need int64) error {
	left, ok := free(s.dir)
	if !ok || need <= 0 || left >= uint64(need) {
		return nil
	}
	return wrap(fmt.Sprintf("keep about %d MiB in", max(1, need>>20)), s.dir, fmt.Errorf("%d MiB are free: %w", left>>20, syscall.ENOSPC))
}

// wrap adds to an error of the store what its user can do about it.
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

// sweep removes unfinished files older than the given time. A file that cannot be
// removed stays; it does no harm.
func sweep(dir string, before time.Time) {
	for _, pattern := range []string{"", "????-??"} {
		old, _ := filepath.Glob(filepath.Join(escape(dir), pattern, tempPrefix+"*"+tempSuffix))
		for _, path := range old {
			if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
				os.Remove(path) // #nosec G104 -- it may stay: see above
			}
		}
	}
}

// escape quotes the characters in a directory's name that have a meaning in a
// pattern of [filepath.Glob].
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

const (
	plain   = ".json"
	packed  = ".json.zst"
	partial = ".partial.json"
	amended = ".amend.json"
)

// Draft is the record of a session that is not over. It is not safe for
// concurrent use.
type Draft struct {
	store    *Store
	base     string // path without suffix
	compress bool
	held     *os.File // the version saved last, locked as long as this process lives
}

// Create begins a record with the given ULID in the month of start (UTC).
// It is compressed when it is finished if compressed is true. Nothing is written
// yet.
func (s *Store) Create(id string, start time.Time, compressed bool) (*Draft, error) {
	d, err := s.draft(id, start, compressed)
	if err != nil {
		return nil, err
	}
	return d, d.unfinished()
}

func (s *Store) draft(id string, start time.Time, compressed bool) (*Draft, error) {
	if !isID(id) {
		return nil, notID(id)
	}
	month, err := s.month(start)
	return &Draft{store: s, base: filepath.Join(month, id), compress: compressed}, err
}

func notID(id string) error { return fmt.Errorf("store: %q is no name for a record: a ULID is", id) }

// monthOf is the directory of records of a time.
func (s *Store) monthOf(t time.Time) string { return filepath.Join(s.dir, t.UTC().Format("2006-01")) }

// month returns the directory of a month, which it makes if need be.
func (s *Store) month(t time.Time) (dir string, err error) {
	dir = s.monthOf(t)
	return dir, s.makeMonth(dir)
}

func (s *Store) makeMonth(dir string) (err error) {
	s.making.Lock() // so that nobody uses it whose name is not durable yet
	defer s.making.Unlock()
	if err = os.Mkdir(dir, 0o755); err == nil { // #nosec G301 -- records are there to be read, by whom the umask lets
		err = syncDir(s.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return wrap("make", dir, err)
	}
	return nil
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

// Keep saves the record of a session that is still running and commits that of one
// that is over. It returns the path of the record.
func (d *Draft) Keep(rec *results.Record) (path string, err error) {
	if rec.State == results.Running {
		return d.save(rec)
	}
	return d.commit(rec)
}

// save writes the record as it is now and returns its path. If that fails, the
// version saved before is still there, and the error says so.
func (d *Draft) save(rec *results.Record) (path string, err error) {
	path = d.base + partial
	raw, err := results.Seal(rec)
	if err != nil {
		return "", err
	}
	tmp, err := write(filepath.Dir(path), raw, true)
	if err != nil {
		return "", d.keeps(wrap("write", path, err))
	}
	held := hold(tmp) // before the rename: under its name the file is always locked
	if err = os.Rename(tmp, path); err != nil {
		os.Remove(tmp) // #nosec G104 -- the error that counts is returned, and sweep removes it later
		release(held)
		return "", d.keeps(wrap("write", path, err))
	}
	release(d.held)
	d.held = held
	step("rename")
	if err := syncDir(filepath.Dir(path)); err != nil {
		return "", wrap("write", path, err)
	}
	step("sync directory")
	return path, nil
}

// commit writes the finished record under its final name, which must be free,
// removes the partial one and returns the path. If it returns a path and an
// error, the record is on the disk and only the removal of old files failed.
func (d *Draft) commit(rec *results.Record) (path string, err error) {
	raw, err := results.Seal(rec)
	if err != nil {
		return "", err
	}
	if d.compress {
		raw = results.Compress(raw)
	}
	return d.commitFile(raw)
}

// commitFile is commit for the file of a record, compressed or not.
func (d *Draft) commitFile(raw []byte) (path string, err error) {
	if err := d.unfinished(); err != nil {
		return "", err
	}
	path = d.path()
	tmp, err := write(filepath.Dir(path), raw, true)
	if err != nil {
		return "", d.keeps(wrap("write", path, err))
	}
	if err := publish(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", taken(path)
		}
		return "", d.keeps(wrap("write", path, err))
	}
	step("publish")
	return d.settle(path)
}

// path is the final name of the record.
func (d *Draft) path() string {
	if d.compress {
		return d.base + packed
	}
	return d.base + plain
}

// settle makes the name of the finished record durable and removes the partial one. It
// returns as [Draft.commit] does.
func (d *Draft) settle(path string) (string, error) {
	if err := d.store.names.sync(filepath.Dir(path)); err != nil {
		return "", wrap("write", path, err)
	}
	step("sync directory")
	// From here on the record is safe; only old files are left to remove.
	defer func() { release(d.held); d.held = nil }()
	if err := os.Remove(d.base + partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return path, wrap("remove", d.base+partial, err)
	}
	step("remove")
	return path, nil
}

// hold opens a file and locks it, which tells other processes that its writer is
// alive. It returns nil if the file cannot be locked.
func hold(path string) *os.File {
	f, err := results.OpenFile(path)
	if err != nil {
		return nil
	}
	if lock(f, true) != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil
	}
	return f
}

func release(f *os.File) {
	if f != nil {
		f.Close() // #nosec G104 -- and with it the lock
	}
}

// finish commits the record of a session whose process has ended, after change
// has noted that in it, and returns its path. ok is false and nothing is written
// if the session is running or finished, if change returns false, or if files
// cannot be locked here, so that a running session cannot be recognised.
func (s *Store) finish(e Entry, change func(*results.Record) (ok bool)) (path string, ok bool, err error) {
	base, partly := strings.CutSuffix(e.Path, partial)
	if !partly {
		return "", false, nil
	}
	f := hold(e.Path)
	if f == nil {
		return "", false, nil
	}
	defer f.Close()
	// Its writer may have put another version there before it was locked.
	mine, err := f.Stat()
	if err != nil {
		return "", false, wrap("read", e.Path, err)
	}
	if now, err := os.Stat(e.Path); err != nil || !os.SameFile(mine, now) {
		return "", false, nil
	}
	rec, err := results.ReadFile(e.Path)
	if err != nil {
		return "", false, err
	}
	if !change(rec) {
		return "", false, nil
	}
	d := &Draft{store: s, base: base}
	if err := d.unfinished(); err != nil {
		return "", false, nil
	}
	path, err = d.commit(rec)
	return path, path != "", err
}

// FinishAll commits the records of all sessions whose processes have ended and for
// which change returns true; change may edit them first. It calls each with the
// path of every record that it commits, or with the error of one that it cannot.
func (s *Store) FinishAll(change func(*results.Record) (ok bool), each func(path string, err error)) error {
	entries, err := List(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path, ok, err := s.finish(e, change); ok || err != nil {
			each(path, err)
		}
	}
	return nil
}

// keeps adds the path of the version saved last to err.
func (d *Draft) keeps(err error) error {
	if _, missing := os.Lstat(d.base + partial); missing == nil {
		return fmt.Errorf("%w (what was saved before is intact: %s%s)", err, d.base, partial)
	}
	return err
}

// write puts data into a file with a temporary name in a directory, and on the disk if sync
// is true.
func write(dir string, data []byte, sync bool) (name string, err error) {
	f, err := temp(dir)
	if err != nil {
		return "", err
	}
	step("create")
	if _, err = io.Copy(f, bytes.NewReader(data)); err == nil {
		step("write")
		err = f.Chmod(0o644) // records are there to be read
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name()) // #nosec G104 -- the error that counts is returned, and sweep removes it later
		return "", err
	}
	if sync {
		step("sync")
	}
	return f.Name(), nil
}

// step is called after each step that changes the disk; tests end the process
// there.
var step = func(string) {}

// publish gives the file tmp the name path, which must be free, in place of its own. If
// that fails, tmp is removed.
func publish(tmp, path string) error {
	err := renameNew(tmp, path)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) { // NFS cannot rename without replacing, FAT has no hard links
		if bad := os.Link(tmp, path); bad == nil || errors.Is(bad, fs.ErrExist) {
			err = bad
		} else {
			err = fmt.Errorf("%w; link: %w", err, bad)
		}
	}
	os.Remove(tmp) // #nosec G104 -- the error that counts is returned, and sweep removes it later
	return err
}

// syncDir makes the names in a directory durable. Some file systems cannot do that
// and return EINVAL, which is no error here.
func syncDir(dir string) error {
	f, err := os.Open(dir) // #nosec G304 -- a directory of the store that the user names
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// syncs lets those who wait for names in a directory to be durable share a sync of it,
// which serves every name that was there when it began.
type syncs struct {
	do   func(dir string) error
	turn chan struct{} // taken during a sync

	mu   sync.Mutex
	next map[string]*oneSync // by directory: those that have not begun
}

type oneSync struct {
	done chan struct{}
	err  error
}

func newSyncs(do func(dir string) error) *syncs {
	return &syncs{do: do, turn: make(chan struct{}, 1), next: map[string]*oneSync{}}
}

// sync returns after a sync of the directory that began later than the call.
func (s *syncs) sync(dir string) error {
	s.mu.Lock()
	one, waits := s.next[dir]
	if !waits {
		one = &oneSync{done: make(chan struct{})}
		s.next[dir] = one
	}
	s.mu.Unlock()
	if waits {
		<-one.done
		return one.err
	}
	s.turn <- struct{}{} // meanwhile others join
	s.mu.Lock()
	delete(s.next, dir)
	s.mu.Unlock()
	one.err = s.do(dir)
	<-s.turn
	close(one.done)
	return one.err
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
// It writes nothing, so the directory may be a read-only copy.
func List(dir string) ([]Entry, error) {
	months, _, err := months(dir)
	if err != nil {
		return nil, err
	}
	byID := map[string]Entry{}
	for _, m := range months {
		found, err := listMonth(dir, m)
		if err != nil {
			return nil, err
		}
		for _, e := range found.records {
			if other, ok := byID[e.ID]; !ok || other.Partial {
				byID[e.ID] = e
			}
		}
	}
	return slices.SortedFunc(maps.Values(byID), byTime), nil
}

func byTime(a, b Entry) int { return cmp.Compare(a.ID, b.ID) }

// Strangers are the files in a directory of records that are not used.
type Strangers struct {
	N     int        `json:"n"`
	First []Stranger `json:"first,omitempty"` // at most firstStrangers
}

// Stranger is a file that is not used.
type Stranger struct {
	Path string `json:"path"` // in the store, with slashes
	Why  string `json:"why"`
}

const firstStrangers = 20

func (s *Strangers) add(path, why string) {
	if s.N++; len(s.First) < firstStrangers {
		s.First = append(s.First, Stranger{path, why})
	}
}

func (s *Strangers) join(o Strangers) {
	s.N += o.N
	s.First = slices.Concat(s.First, o.First)[:min(len(s.First)+len(o.First), firstStrangers)]
}

// fleets is the directory of the measurements of many nodes: their rosters and journals.
// Their records lie beside all others.
const fleets = "fleet"

// hidden reports files that are not the user's: unfinished ones, the index, and
// those that file managers and network file systems leave.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, indexName)
}

// months lists the directories of records in dir, oldest first, and everything
// else that lies there.
func months(dir string) (names []string, others Strangers, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, others, fmt.Errorf("store: list records: %w: name their directory with --store or PERWATT_STORE", err)
	}
	for _, e := range entries {
		_, err := time.Parse("2006-01", e.Name())
		mode := modeOf(dir, e)
		switch {
		case err == nil && mode.IsDir():
			names = append(names, e.Name())
		case hidden(e.Name()), e.Name() == fleets && mode.IsDir():
		case err == nil:
			others.add(e.Name(), "a month is a directory, and this is "+cmp.Or(kindOf(mode), "a file"))
		case mode.IsDir():
			others.add(e.Name()+"/", "records lie in the directory of their month, such as 2026-05")
		default:
			others.add(e.Name(), "a record lies in the directory of its month, such as 2026-05")
		}
	}
	return names, others, nil
}

// modeOf is the mode of a file, or of the target of a link if that exists.
func modeOf(dir string, e fs.DirEntry) fs.FileMode {
	if e.Type()&fs.ModeSymlink != 0 {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
			return info.Mode()
		}
	}
	return e.Type()
}

// kindOf names what is not a regular file; it is empty for a regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "a link that leads nowhere"
	}
	return results.FileKind(mode)
}

// found is the content of the directory of a month.
type found struct {
	records    []Entry  // in the order of their identifiers
	amendments []string // paths
	others     Strangers
}

// listMonth lists one month. Only regular files are records and amendments: to
// open a FIFO or a device may block.
func listMonth(dir, month string) (in found, err error) {
	dir = filepath.Join(dir, month)
	files, err := os.ReadDir(dir)
	if err != nil {
		return in, fmt.Errorf("store: list records: %w", err)
	}
	for _, f := range files {
		id, suffix, _ := strings.Cut(f.Name(), ".")
		suffix = "." + suffix
		e := Entry{ID: id, Path: filepath.Join(dir, f.Name()), Partial: suffix == partial}
		kind, why := kindOf(modeOf(dir, f)), ""
		switch record := e.Partial || suffix == plain || suffix == packed; {
		case hidden(f.Name()):
			continue
		case kind != "":
			why = "it is " + kind
		case !isID(id):
			why = "a record is named by its identifier, as perwatt run and import name it"
		case suffix == amended:
			in.amendments = append(in.amendments, e.Path)
			continue
		case !record:
			why = "a record ends in .json or .json.zst"
		}
		if why != "" {
			in.others.add(month+"/"+f.Name(), why)
			continue
		}
		info, err := os.Stat(e.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // finished meanwhile, under another name
		}
		if err != nil {
			return in, fmt.Errorf("store: list records: %w", err)
		}
		e.Size, e.Modified = info.Size(), info.ModTime()
		// Names are sorted: .json and .json.zst stand before .partial.json.
		if n := len(in.records); n == 0 || in.records[n-1].ID != id {
			in.records = append(in.records, e)
		} else if !e.Partial {
			in.others.add(month+"/"+f.Name(), "the record is here as "+filepath.Base(in.records[n-1].Path))
		}
	}
	return in, nil
}
