package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/perwatt/perwatt/results"
)

const indexName = "index.sqlite"

// indexVersion is that of the tables and of what is put into them. An index of
// another version is built again. It is a variable for tests.
var indexVersion = 15

// The figures of a session share one row of points, and the rows of a group lie in
// the order of time: a night writes one row a session rather than one a series,
// and most queries ask for all series of a group. The nodes of a group share the
// rows of series; the environment of a session names its node. All of it comes
// from the record files, except the table kept.
const tables = `
CREATE TABLE groups (
	id TEXT PRIMARY KEY, json TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE environments (
	n INTEGER PRIMARY KEY, node TEXT NOT NULL, json TEXT NOT NULL UNIQUE
);
CREATE TABLE records (
	n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, month TEXT NOT NULL,
	path TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, -- ns
	amended TEXT NOT NULL,  -- identifiers of the amendments to it
	start INTEGER NOT NULL, -- µs
	state TEXT NOT NULL, digest TEXT NOT NULL, valid INTEGER NOT NULL,
	grp TEXT NOT NULL, env INTEGER NOT NULL, labels TEXT NOT NULL,
	excluded TEXT NOT NULL, error TEXT NOT NULL,
	grade TEXT NOT NULL, wrong TEXT NOT NULL
);
CREATE INDEX records_month ON records (month);
CREATE INDEX records_amended ON records (id) WHERE amended <> '';
CREATE TABLE months (
	month TEXT PRIMARY KEY,
	modified INTEGER NOT NULL, -- of its directory, ns; 0 if it is to be looked through again
	amendments TEXT NOT NULL,  -- JSON
	others TEXT NOT NULL       -- JSON: what is not used
) WITHOUT ROWID;
CREATE INDEX records_start ON records (start, id);
CREATE INDEX records_group ON records (grp, start, id, env, excluded, state);
CREATE TABLE series (
	n INTEGER PRIMARY KEY, grp TEXT NOT NULL, scenario TEXT NOT NULL, use TEXT NOT NULL, device TEXT NOT NULL, workload TEXT NOT NULL,
	impl TEXT NOT NULL, threads INTEGER NOT NULL, metric TEXT NOT NULL, unit TEXT NOT NULL,
	UNIQUE (grp, scenario, use, device, workload, impl, threads, metric, unit)
);
CREATE TABLE points (
	grp TEXT NOT NULL, start INTEGER NOT NULL, record INTEGER NOT NULL,
	figures BLOB NOT NULL, -- see figure
	PRIMARY KEY (grp, start, record)
) WITHOUT ROWID;
CREATE TABLE kept (
	series INTEGER NOT NULL, node TEXT NOT NULL, filter TEXT NOT NULL,
	before INTEGER NOT NULL, -- µs: made of the points before
	text TEXT NOT NULL,
	PRIMARY KEY (series, node, filter)
) WITHOUT ROWID;
`

// Address space for SQLite, in bytes: the most that it can use for an index in
// memory, four times its cache for one in a file. Where the process cannot reserve
// that, it is halved down to leastMemory.
const (
	inMemory    = 4 << 30
	onDisk      = 256 << 20
	leastMemory = 16 << 20
)

// patience is how long to wait for another process. It is a variable for tests.
var patience = 10 * time.Second

// Index answers queries about a directory of records. It is derived from them: one
// that is missing, damaged or of another version is built again.
//
// Its methods may be called by one goroutine at a time. Any number of processes
// may have the same index open.
type Index struct {
	dir    string // of the records
	file   string // empty in memory
	db     *sql.DB
	forget func()                // unregisters the file system through which SQLite reads it
	found  atomic.Pointer[error] // the first page in them that is not as it was written
	opened os.FileInfo           // of file, when it was opened
	locked *os.File              // the directory of file: a shared lock while the index is open, an exclusive one while it is made
	notes  []string

	others     Strangers
	amendments []Amendment
	ids        map[Key]uint64 // of series, without a node
	groups     map[string]bool
	envs       map[int64]*Environment
	writes     int // of records, through this handle

	wanted string          // beginning of the identifier of a record for [Index.Whole]
	whole  *results.Record // that record, if it was read for the index and no amendment applies to it
}

// errDamaged marks content that this program does not write.
var errDamaged = errors.New("the index is damaged")

// OpenIndex opens the index over the records in dir and brings it up to date.
// It lies beside the records. On a network file system, or where nothing can
// be written, it lies in the user's cache directory, and where that fails too,
// in memory: see [Index.Notes].
func OpenIndex(ctx context.Context, dir string) (*Index, error) {
	return OpenIndexFor(ctx, dir, "")
}

// OpenIndexFor is [OpenIndex] for one record, whose identifier begins with wanted:
// if it is new to the index, [Index.Whole] does not read it once more.
func OpenIndexFor(ctx context.Context, dir, wanted string) (*Index, error) {
	if _, _, err := months(dir); err != nil {
		return nil, err
	}
	var notes []string
	for _, place := range places(dir) {
		x := &Index{dir: dir, file: place, notes: notes, wanted: strings.ToUpper(wanted)}
		err := x.open(ctx)
		if err == nil {
			err = x.do(ctx, func() error { return x.update(ctx, false) })
		}
		if err == nil {
			if len(notes) > 0 {
				x.notes = append(x.notes, "the index is in "+x.Place())
			}
			return x, nil
		}
		x.Close() // #nosec G104 -- the index is given up
		if ofIndex := errors.As(err, new(*placeError)) || errors.As(err, new(sqlite3.ErrorCode)); ctx.Err() != nil || place == "" || !ofIndex {
			return nil, fmt.Errorf("store: index: %w", calledOff(ctx, err))
		}
		notes = append(x.notes, fmt.Sprintf("%s cannot be used: %v", place, err))
	}
	panic("unreachable: memory is the last place")
}

// placeError is an error of a place where the index could be; the next one is
// tried.
type placeError struct{ err error }

func (e *placeError) Error() string { return e.err.Error() }
func (e *placeError) Unwrap() error { return e.err }

// places lists where the index may be, the best first; empty is memory.
func places(dir string) []string {
	files := []string{filepath.Join(dir, indexName)}
	if cache, err := os.UserCacheDir(); err == nil {
		if abs, err := filepath.Abs(dir); err == nil {
			sum := sha256.Sum256([]byte(abs))
			files = append(files, filepath.Join(cache, "perwatt", hex.EncodeToString(sum[:8]), indexName))
		}
	}
	return append(files, "")
}

// open opens the file of the index, or makes it.
func (x *Index) open(ctx context.Context) error {
	if x.file == "" {
		return x.create(ctx)
	}
	place := filepath.Dir(x.file)
	if place != x.dir {
		if err := os.MkdirAll(place, 0o700); err != nil {
			return &placeError{err}
		}
	}
	if fs := network(place); fs != "" {
		return &placeError{fmt.Errorf("it is on %s, where several machines would damage a database", fs)}
	}
	return x.connect(ctx, nil)
}

// connect opens the index. It makes it anew if the file is missing, empty or bad.
// A process holds a shared lock while it has the index open and an exclusive one
// while it makes it, so that no open file is removed:
// https://www.sqlite.org/howtocorrupt.html, "unlink or rename".
func (x *Index) connect(ctx context.Context, bad os.FileInfo) (err error) {
	for _, suffix := range suffixes {
		if info, err := os.Lstat(x.file + suffix); err == nil && !info.Mode().IsRegular() {
			return &placeError{fmt.Errorf("%s is %s, and the index is a file: move it away", x.file+suffix, results.FileKind(info.Mode()))}
		}
	}
	if x.locked, err = os.Open(filepath.Dir(x.file)); err != nil {
		return &placeError{err}
	}
	usable := func() bool {
		now, err := os.Stat(x.file)
		return err == nil && now.Size() > 0 && (bad == nil || !os.SameFile(bad, now))
	}
	for began := time.Now(); ; {
		// Making it takes milliseconds. Others may have it open for days, as perwatt
		// serve does.
		wait, why := patience, "another process is building it"
		if lock(x.locked, false) == nil {
			if usable() {
				if err = x.attach(ctx); x.damaged(err) {
					return x.renew(ctx, err)
				}
				return err
			}
			wait, why = patience/5, "another process has it open: end it, such as perwatt serve"
		}
		unlock(x.locked) // two processes that both kept it would wait for each other for ever
		if lock(x.locked, true) == nil {
			if !usable() { // no other process has just made it
				for _, suffix := range suffixes {
					os.Remove(x.file + suffix) // #nosec G104 -- what stays is found when it is made anew
				}
				err = x.create(ctx)
			}
			// All files are closed before the lock is changed: an exclusive lock
			// becomes a shared one in two steps, between which another process may
			// make the index anew.
			if err = errors.Join(err, x.disconnect()); err != nil {
				return err
			}
			continue
		}
		if time.Since(began) > wait {
			return &placeError{fmt.Errorf("it must be built again, but %s", why)}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// renew makes an index anew that is damaged or of another version, unless another
// process just did. It adds the reason to the notes.
func (x *Index) renew(ctx context.Context, cause error) error {
	if x.file == "" {
		return cause // it never was on a disk
	}
	if found := x.found.Load(); found != nil {
		cause = *found
	}
	version, ofVersion := errors.AsType[versionError](cause)
	file, replaced := x.file, x.replaced()
	err := x.replace(ctx)
	note := ""
	switch {
	case replaced:
		note = "was removed or replaced while it was open: it is opened again"
	case ofVersion && err == nil && version == 0: // the process that began to make it was killed
		return nil
	case ofVersion && err == nil:
		note = fmt.Sprintf("%v: it is built again", version)
	case ofVersion:
		note = fmt.Sprintf("%v: perwatt index builds it again when nobody has it open", version)
	case err == nil:
		note = fmt.Sprintf("was damaged and is built again: %v", cause)
	default:
		note = fmt.Sprintf("is damaged: %v", cause)
	}
	x.notes = append(x.notes, file+" "+note)
	return err
}

// replaced reports whether the path of the index leads to another file than the
// one that is open: people, and programs that do not know the lock, remove and
// replace it.
func (x *Index) replaced() bool {
	now, err := os.Stat(x.file)
	return x.opened != nil && (err != nil || !os.SameFile(x.opened, now))
}

// replace makes the file of the index anew, unless another process just did.
func (x *Index) replace(ctx context.Context) error {
	if x.file == "" {
		x.Close() // #nosec G104 -- the index is given up
		return x.create(ctx)
	}
	var bad os.FileInfo
	if !x.replaced() {
		if old, err := results.OpenFile(x.file); err == nil { // while it is open no other file gets its inode
			defer old.Close()
			bad, _ = old.Stat()
		}
	}
	x.Close() // #nosec G104 -- the index is given up
	x.found.Store(nil)
	return x.connect(ctx, bad)
}

// Rebuild builds the index anew.
func (x *Index) Rebuild(ctx context.Context) error {
	if err := x.replace(ctx); err != nil {
		return fmt.Errorf("store: index: %w", err)
	}
	return x.Update(ctx)
}

// dial connects to the database.
func (x *Index) dial(ctx context.Context) error {
	x.writes++ // PRAGMA data_version begins anew with each connection
	x.ids, x.groups, x.envs = map[Key]uint64{}, map[string]bool{}, map[int64]*Environment{}
	dsn, memory := ":memory:", int64(inMemory)
	if x.file != "" {
		abs, err := filepath.Abs(x.file)
		if err != nil {
			return err
		}
		var vfs string
		vfs, x.forget = register(&x.found)
		dsn, memory = "file:"+(&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath()+"?vfs="+vfs, onDisk
	}
	for {
		err := x.reserve(ctx, dsn, memory)
		if memory /= 2; !errors.Is(err, syscall.ENOMEM) || memory < leastMemory {
			return err
		}
	}
}

// reserve connects to the database with that much address space for SQLite, in
// bytes, or returns ENOMEM.
func (x *Index) reserve(ctx context.Context, dsn string, memory int64) (err error) {
	defer func() {
		r := recover()
		if _, ok := r.(syscall.Errno); ok { // the driver panics where it gets no memory
			err = fmt.Errorf("reserve %d MiB of address space for SQLite: %w: raise ulimit -v", memory>>20, syscall.ENOMEM)
		} else if r != nil {
			panic(r)
		}
	}()
	x.db, err = driver.Open(dsn, func(c *sqlite3.Conn) error {
		if x.file == "" {
			return nil
		}
		// A power cut loses only what can be built again. The cache holds, if there is
		// room, the pages that a night of 1,000 groups touches.
		return c.Exec(fmt.Sprintf(`
			PRAGMA busy_timeout = %d;
			PRAGMA page_size = %d;
			PRAGMA synchronous = NORMAL;
			PRAGMA cache_size = -%d;   -- KiB
			PRAGMA journal_mode = WAL; -- after the rest: it settles the page size`, patience.Milliseconds(), pageSize, memory/4>>10))
	})
	if err != nil {
		return err
	}
	x.db.SetMaxOpenConns(1) // one in memory is one database; one on disk is enough
	return x.db.PingContext(sqlite3.WithMaxMemory(ctx, memory))
}

// attach opens an existing index. SQLite does not open one of another version: its
// digests may be of another form, and other processes may have it open.
func (x *Index) attach(ctx context.Context) (err error) {
	version, err := x.headerVersion()
	if err != nil {
		return &placeError{err}
	}
	if version == 0 || version == indexVersion {
		if err := x.dial(ctx); err != nil {
			return err
		}
		if x.opened, err = os.Stat(x.file); err != nil {
			return err
		}
		if err := x.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
	}
	if version != indexVersion {
		return versionError(version)
	}
	return nil
}

// versionError is the version of an index that this program does not read; 0 if
// the index was never finished.
type versionError int

func (v versionError) Error() string {
	return fmt.Sprintf("is of index version %d, this program reads version %d", int(v), indexVersion)
}

// mostVersion bounds the versions of an index: a larger number is damage.
const mostVersion = 1000

// headerVersion returns the version in the header of the file. It is 0 if the
// header is still in the write-ahead log, or if the file is no database.
func (x *Index) headerVersion() (int, error) {
	f, err := results.OpenFile(x.file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var page [pageSize]byte
	if _, err := io.ReadFull(f, page[:]); err != nil && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	field := page[60:64] // https://www.sqlite.org/fileformat2.html#user_version_number
	version := binary.BigEndian.Uint32(field)
	if !bytes.HasPrefix(page[:], []byte("SQLite format 3\x00")) || version > mostVersion {
		return 0, nil
	}
	// If the digest fits the page with our version, only the version is damaged.
	binary.BigEndian.PutUint32(field, uint32(indexVersion)) // #nosec G115 -- a small number
	if f, err := os.Open(x.file + sumsSuffix); err == nil { // #nosec G304 -- beside the index
		defer f.Close()
		if (sums{f, new(atomic.Pointer[error])}).check(0, page0, page[:], "") == nil {
			return indexVersion, nil
		}
	}
	return int(version), nil
}

// create makes an empty index.
func (x *Index) create(ctx context.Context) error {
	if err := x.dial(ctx); err != nil {
		return err
	}
	return x.transact(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, tables+fmt.Sprint("PRAGMA user_version = ", indexVersion))
		return err
	})
}

// Version names the state of the index, for as long as it is open: two states that
// differ have two names.
func (x *Index) Version(ctx context.Context) (string, error) {
	others := 0
	err := x.ask(ctx, "index", func() error { // https://www.sqlite.org/pragma.html#pragma_data_version
		return x.db.QueryRowContext(ctx, "PRAGMA data_version").Scan(&others)
	})
	return fmt.Sprint(x.writes, " ", others, " ", stamp(x.amendments)), err
}

func (x *Index) transact(ctx context.Context, f func(*sql.Tx) error) error {
	// A transaction that ended with ctx would close its files behind our back, after
	// their VFS is forgotten. Its statements end with ctx.
	tx, err := x.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback() // #nosec G104 -- the error that counts is returned
		clear(x.ids)  // what was rolled back has no number
		clear(x.groups)
		return err
	}
	return tx.Commit()
}

// Close closes the index. The files stay.
func (x *Index) Close() error {
	err := x.disconnect()
	if x.locked != nil {
		x.locked.Close() // #nosec G104 -- nothing was written to it, and the lock goes with it
	}
	x.locked = nil
	return err
}

// disconnect closes the files of the index, and keeps the lock.
func (x *Index) disconnect() (err error) {
	if x.db != nil {
		err = x.db.Close()
	}
	if x.forget != nil {
		x.forget()
	}
	x.db, x.forget, x.opened = nil, nil, nil
	return err
}

// Place is the file of the index, or "memory".
func (x *Index) Place() string { return cmp.Or(x.file, "memory") }

// Notes are sentences for the user: that the index is not beside the records and
// why, and why it was built again.
func (x *Index) Notes() []string { return x.notes }

// Strangers returns the files among the records that are not used.
func (x *Index) Strangers() Strangers { return x.others }

// damaged reports whether a new index would not have this error.
func (x *Index) damaged(err error) bool {
	var code sqlite3.ErrorCode
	if errors.As(err, &code) {
		switch code {
		case sqlite3.ERROR, sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.FORMAT, sqlite3.NOTADB: // the first is of a table that is missing
			return true
		}
	}
	_, ofVersion := errors.AsType[versionError](err)
	return ofVersion || errors.Is(err, errDamaged) || err != nil && x.found.Load() != nil
}

// do calls f. If the index proves to be damaged it is built again, and f is called
// again.
func (x *Index) do(ctx context.Context, f func() error) error {
	err := f()
	if !x.damaged(err) || ctx.Err() != nil {
		return calledOff(ctx, err)
	}
	if err := x.renew(ctx, err); err != nil {
		return err
	}
	if err := x.update(ctx, false); err != nil {
		return err
	}
	return f()
}

// calledOff is err as one of ctx where that is over: SQLite has an error of its own for
// a query that was called off.
func calledOff(ctx context.Context, err error) error {
	if over := ctx.Err(); err != nil && over != nil && !errors.Is(err, over) {
		return fmt.Errorf("%w: %w", over, err)
	}
	return err
}

// ask is do with an error that names what was asked for.
func (x *Index) ask(ctx context.Context, what string, f func() error) error {
	if err := x.do(ctx, f); err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}

// query calls each for every row that a query returns. An error of each is damage.
// Queries are made of constants; every value is one of args.
func (x *Index) query(ctx context.Context, each func(*sql.Rows) error, query string, args ...any) error {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); errors.Is(err, errDamaged) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return rows.Err()
}

// strings returns the rows of a query of one text.
func (x *Index) strings(ctx context.Context, query string, args ...any) (out []string, err error) {
	err = x.query(ctx, func(row *sql.Rows) error {
		var s string
		err := row.Scan(&s)
		out = append(out, s)
		return err
	}, query, args...)
	return out, err
}

// Check reads the whole index, which compares every page with its digest, and
// builds it again if any of it is damaged. It also looks through every month for
// records that were changed in place.
func (x *Index) Check(ctx context.Context) error {
	return x.ask(ctx, "index", func() error {
		found, err := x.strings(ctx, "PRAGMA quick_check(1)")
		if err != nil {
			return err
		}
		if text := strings.Join(found, "; "); text != "ok" {
			return fmt.Errorf("%w: %s", errDamaged, text)
		}
		return x.update(ctx, true)
	})
}
