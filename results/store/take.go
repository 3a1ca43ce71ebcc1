package store

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/perwatt/perwatt/results"
)

// intake is what came from other stores. Its records share their way to the disk, which
// takes longer than all else about a small one.
type intake struct {
	settling sync.Mutex // one batch at a time
	seed     maphash.Seed
	sync     func(dir *os.File, files []arrival) error // of their contents

	mu     sync.Mutex
	months map[string]*month // by directory
	coming map[string]coming // by base: records without final names
	failed error             // of a record: from then on, none may be said to be durable
}

// month is a directory that records come to.
type month struct {
	dir   *os.File  // opened before they did
	files []arrival // of the next batch
	used  bool      // since the last batch: also by a record that was there, and may not be durable
}

// coming is how often one record comes at the same time.
type coming struct {
	hash uint64
	n    int
}

// arrival is a record under a temporary name.
type arrival struct {
	tmp  string
	to   *Draft
	hash uint64
}

func newIntake() intake {
	return intake{seed: maphash.MakeSeed(), sync: syncData, months: map[string]*month{}, coming: map[string]coming{}}
}

// Take puts a finished record of another store here as it is, byte by byte, compressed or
// not. The caller has verified it, and calls [Store.Settle] before it says that the record
// is here: until then it has a temporary name. The error wraps [ErrKept] if the same record
// is here already, and [fs.ErrExist] if another is here by its identifier. After any other,
// this store takes nothing more.
func (s *Store) Take(f *results.File) (path string, err error) {
	rec := f.Record
	switch {
	case rec.State == results.Running:
		return "", fmt.Errorf("store: take %s: its session has not ended", rec.ID)
	case !isID(rec.ID):
		return "", notID(rec.ID)
	}
	raw := f.Raw
	if f.Packed != nil {
		raw = f.Packed
	}
	// By its identifier it has one place.
	d := &Draft{store: s, base: filepath.Join(s.monthOf(timeOf(rec.ID)), rec.ID), compress: f.Packed != nil}
	a := arrival{to: d, hash: maphash.Bytes(s.intake.seed, f.Raw)}
	m, err := s.intake.begin(a)
	if err != nil {
		return "", err
	}
	if err = d.unfinished(); err == nil {
		if a.tmp, err = write(m.dir.Name(), raw, false); err == nil {
			s.intake.add(m, a)
			return d.path(), nil
		}
		err = wrap("write", d.path(), err)
	}
	s.intake.end(a)
	if !errors.Is(err, fs.ErrExist) {
		s.intake.fail(err)
	} else if path := s.intake.there(a); path != "" {
		s.intake.add(m)
		return path, fmt.Errorf("store: %s: %w", rec.ID, ErrKept)
	}
	return "", err
}

// begin lets a record come by its identifier, but no two different ones at a time, and
// returns its month.
func (in *intake) begin(a arrival) (m *month, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.failed != nil {
		return nil, in.failed
	}
	dir := filepath.Dir(a.to.base)
	if m = in.months[dir]; m == nil {
		m = new(month)
		if err := a.to.store.makeMonth(dir); err != nil {
			return nil, err
		}
		if m.dir, err = os.Open(dir); err != nil { // #nosec G304 -- a directory of the store that the user names
			return nil, wrap("read", dir, err)
		}
		in.months[dir] = m
	}
	same := in.coming[a.to.base]
	if same.n > 0 && same.hash != a.hash {
		return nil, taken(a.to.path())
	}
	in.coming[a.to.base] = coming{a.hash, same.n + 1}
	return m, nil
}

// add puts what came into the next batch.
func (in *intake) add(m *month, files ...arrival) {
	in.mu.Lock()
	m.files, m.used = append(m.files, files...), true
	in.mu.Unlock()
}

// end notes that a record does not come any more.
func (in *intake) end(a arrival) {
	in.mu.Lock()
	if c := in.coming[a.to.base]; c.n > 1 {
		in.coming[a.to.base] = coming{c.hash, c.n - 1}
	} else {
		delete(in.coming, a.to.base)
	}
	in.mu.Unlock()
}

// fail notes that something of a batch may not be durable.
func (in *intake) fail(err error) {
	in.mu.Lock()
	in.failed = cmp.Or(in.failed, err)
	in.mu.Unlock()
}

// there returns the path of the finished record if it is the one that arrived.
func (in *intake) there(a arrival) (path string) {
	for _, suffix := range []string{plain, packed} {
		if f, err := results.LoadFile(a.to.base + suffix); err == nil && maphash.Bytes(in.seed, f.Raw) == a.hash {
			return a.to.base + suffix
		}
	}
	return ""
}

// Settle gives the records that [Store.Take] took before the call their final names, and
// returns when no crash can undo that. Calls at the same time share its work.
func (s *Store) Settle() error {
	in := &s.intake
	in.settling.Lock()
	defer in.settling.Unlock()
	in.mu.Lock()
	batch, err := map[*month][]arrival{}, in.failed
	for _, m := range in.months {
		if m.used {
			batch[m] = m.files
			m.files, m.used = nil, false
		}
	}
	in.mu.Unlock()
	for m, files := range batch {
		if err == nil {
			err = s.settle(m.dir, files)
			in.fail(err)
		}
		for _, a := range files {
			if err != nil {
				os.Remove(a.tmp) // #nosec G104 -- it may have its final name; else sweep removes it later
			}
			in.end(a)
		}
	}
	return err
}

// settle makes the part of a batch durable that is for one directory.
func (s *Store) settle(dir *os.File, files []arrival) error {
	if len(files) > 0 {
		if err := s.intake.sync(dir, files); err != nil {
			return wrap("write to", dir.Name(), err)
		}
		step("sync")
	}
	for _, a := range files {
		err := a.to.unfinished()
		if err == nil {
			if err = publish(a.tmp, a.to.path()); err != nil && !errors.Is(err, fs.ErrExist) {
				err = wrap("write", a.to.path(), err)
			}
		}
		switch {
		case err == nil:
			step("publish")
		case !errors.Is(err, fs.ErrExist):
			return err
		case s.intake.there(a) == "": // another process was faster
			return taken(a.to.path())
		default: // it came twice
			os.Remove(a.tmp) // #nosec G104 -- it may be gone, or stay until sweep removes it
		}
	}
	if err := s.names.sync(dir.Name()); err != nil {
		return wrap("write to", dir.Name(), err)
	}
	step("sync directory")
	for _, a := range files {
		if err := os.Remove(a.to.base + partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrap("remove", a.to.base+partial, err)
		}
		step("remove")
	}
	return nil
}

// syncData puts on the disk what was written to files in dir since it was opened.
func syncData(dir *os.File, files []arrival) error {
	if len(files) > fewFiles && syncsAll(dir) {
		return syncFS(dir)
	}
	const atOnce = 32 // for those that wait at the same time share a way to the disk
	errs := make([]error, min(len(files), atOnce))
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(files)) && errs[i] == nil; n = next.Add(1) - 1 {
				errs[i] = syncFile(files[n].tmp)
			}
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

// fewFiles are not worth waiting for what others wrote to the file system.
const fewFiles = 16

// syncFile puts the content of a file on the disk.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- a file that this process made
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
