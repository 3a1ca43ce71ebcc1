package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Every page that SQLite reads is compared with what this program wrote: a second
// file holds a digest of each page, at the number of the page. A page with any
// other content is damage, even if it is well-formed.
//
//	flipped bits, zeros, a page cut off          the digest differs
//	two pages exchanged                          differs: a digest belongs to a page number
//	an older page, or one of another index       differs: the digest is of the last write
//	a page that another program wrote            differs: it writes no digest
//	the same in the log, frame by frame          differs
//	a log cut off, missing or replaced           the header of the digests has the digest and length of the log
//
// Rows need no digests: all pages that a query reads are checked, including those of
// secondary indexes and inner nodes, so no row is missing, doubled or under another
// key. Pages that are not read have no effect. An index that is intact but old or of
// another store, with all of its files, [Index.Update] brings up to date. The shared
// memory of processes that have the index open is not checked; the first process to
// open an index makes it anew.
//
// A digest is written before its page. A process that is killed in between leaves a
// page that differs but is never read: SQLite uses the log's copy of a database page,
// and ignores what is not committed in the log. Both files are synchronised together.

// pageSize is the page size of the index, in bytes. A row longer than a quarter of it
// gets pages of its own; the figures of a session are shorter.
const pageSize = 16384

// The log (https://www.sqlite.org/fileformat2.html#the_write_ahead_log) is a
// header, then frames of a header and a page.
const (
	logHeader   = 32
	frameHeader = 24
	frameSize   = frameHeader + pageSize
)

// suffixes are those of the files of an index.
var suffixes = []string{"", "-wal", "-shm", "-journal", sumsSuffix}

const sumsSuffix = "-sums"

// sums is the file of the digests: a header, then a row for each number, with the
// digests of the database's page, of the page in the log's frame, and of the
// header of that frame.
type sums struct {
	*os.File
	found *atomic.Pointer[error] // the first damage: SQLite often passes on only the kind of an error
}

type sumOf int64

const (
	page0 sumOf = 8 * iota // of the database
	logged
	framed
	sumsRow
)

// sum is the digest of bytes: two cyclic redundancy checks, for which processors have
// instructions. The digest of zeros is 0, like that of a page never written.
func sum(p []byte) uint64 {
	if len(bytes.TrimLeft(p, "\x00")) == 0 {
		return 0
	}
	return cmp.Or(uint64(crc32.Checksum(p, castagnoli))<<32|uint64(crc32.ChecksumIEEE(p)), 1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (v checkedVFS) openSums(index string, flag int) (sums, error) {
	f, err := os.OpenFile(index+sumsSuffix, os.O_RDWR|flag, 0o644) // #nosec G302 G304 -- beside the index, for whoever may read that
	return sums{f, v.found}, err
}

func (s sums) put(n int64, of sumOf, p []byte) error {
	_, err := s.WriteAt(binary.LittleEndian.AppendUint64(nil, sum(p)), int64(sumsRow)*(n+1)+int64(of))
	return full(err)
}

// check returns an error if p is not what put was called with.
func (s sums) check(n int64, of sumOf, p []byte, what string) error {
	var want [8]byte
	if _, err := s.ReadAt(want[:], int64(sumsRow)*(n+1)+int64(of)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if sum(p) != binary.LittleEndian.Uint64(want[:]) {
		return s.damaged("%s %d is not as this program wrote it", what, n+1)
	}
	return nil
}

// logState is the header of the digests: the digest of the log's header, in which a
// random number differs from log to log, and the number of frames that belong to
// finished transactions.
type logState struct {
	header uint64
	frames int64
}

func (s sums) log() (l logState, err error) {
	var b [sumsRow]byte
	if _, err := s.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return l, err
	}
	if sum(b[:16]) != binary.LittleEndian.Uint64(b[16:]) {
		return l, s.damaged("the header of its digests is not as this program wrote it")
	}
	return logState{binary.LittleEndian.Uint64(b[:]), int64(binary.LittleEndian.Uint64(b[8:]))}, nil // #nosec G115 -- its digest says that setLog wrote it
}

func (s sums) setLog(l logState) error {
	b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, l.header), uint64(l.frames)) // #nosec G115 -- none is negative
	_, err := s.WriteAt(binary.LittleEndian.AppendUint64(b, sum(b)), 0)
	return full(err)
}

// damaged is the error of a file that is not as it was written.
func (s sums) damaged(format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	s.found.CompareAndSwap(nil, &err)
	return vfs.SystemError(err, sqlite3.IOERR_DATA)
}

// full marks the error of a full disk as SQLite's own files do: another I/O error
// would be taken for damage.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

// checkedVFS opens the files of one index for SQLite.
type checkedVFS struct {
	vfs.VFSFilename
	found *atomic.Pointer[error]
}

var opened atomic.Uint64

// register makes a file system for one connection, to which SQLite refers by name;
// forget unregisters it.
func register(found *atomic.Pointer[error]) (name string, forget func()) {
	name = fmt.Sprint("perwatt", opened.Add(1))
	vfs.Register(name, checkedVFS{vfs.Find("os").(vfs.VFSFilename), found})
	return name, func() { vfs.Unregister(name) }
}

func (v checkedVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := v.VFSFilename.OpenFilename(name, flags)
	if err != nil || flags&(vfs.OPEN_MAIN_DB|vfs.OPEN_WAL) == 0 {
		return f, flags, err
	}
	s, err := v.openSums(name.Database(), os.O_CREATE)
	if err != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, flags, err
	}
	if flags&vfs.OPEN_WAL != 0 {
		return &logFile{File: f, sums: s, open: -1, rewritten: -1, last: -1}, flags, nil
	}
	return &pageFile{f.(vfs.FileSharedMemory), s}, flags, nil
}

// Delete removes a log whose frames are all in the database.
func (v checkedVFS) Delete(path string, sync bool) error {
	if index, ok := strings.CutSuffix(path, "-wal"); ok {
		if s, err := v.openSums(index, 0); err == nil {
			if err := errors.Join(s.setLog(logState{}), s.Close()); err != nil {
				return err
			}
		}
	}
	return v.VFSFilename.Delete(path, sync)
}

// Access hides rollback journals: an index has a log instead, and SQLite would write
// the content of a journal into the database.
func (v checkedVFS) Access(path string, flags vfs.AccessFlag) (bool, error) {
	if strings.HasSuffix(path, "-journal") {
		return false, nil
	}
	return v.VFSFilename.Access(path, flags)
}

// pageFile is the database.
type pageFile struct {
	vfs.FileSharedMemory
	sums sums
}

func (f *pageFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.FileSharedMemory.ReadAt(p, off)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, err
	case off+int64(len(p)) <= 100 || n == 0 && off == 0: // the header before the first lock: SQLite reads it again with its page
		return n, err
	case len(p) != pageSize || off%pageSize != 0:
		return 0, f.sums.damaged("its header says that its pages are of another size")
	}
	clear(p[n:])
	if bad := f.sums.check(off/pageSize, page0, p, "page"); bad != nil {
		return 0, bad
	}
	return n, err
}

func (f *pageFile) WriteAt(p []byte, off int64) (int, error) {
	if len(p) != pageSize || off%pageSize != 0 {
		return 0, fmt.Errorf("write %d bytes at %d: no page", len(p), off)
	}
	if err := f.sums.put(off/pageSize, page0, p); err != nil {
		return 0, err
	}
	n, err := f.FileSharedMemory.WriteAt(p, off)
	return n, full(err)
}

func (f *pageFile) Truncate(size int64) error {
	was, err := f.Size()
	for n := size / pageSize; n < was/pageSize && err == nil; n++ {
		err = f.sums.put(n, page0, nil)
	}
	if err != nil {
		return err
	}
	return full(f.FileSharedMemory.Truncate(size))
}

func (f *pageFile) Sync(flags vfs.SyncFlag) error {
	return errors.Join(f.sums.Sync(), f.FileSharedMemory.Sync(flags))
}

func (f *pageFile) Close() error { return errors.Join(f.sums.Close(), f.FileSharedMemory.Close()) }

// DeviceCharacteristics has SQLite read and write whole pages only.
func (f *pageFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.FileSharedMemory.DeviceCharacteristics() &^ (vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_BATCH_ATOMIC)
}

// logFile is the write-ahead log.
type logFile struct {
	vfs.File
	sums sums

	// The transaction that is being written:
	open      int64 // the frame whose header is written and whose page is not; -1 if none
	ends      bool  // that frame ends the transaction
	rewritten int64 // a frame whose page was written again, so that at the end the headers from it on are too; -1 if none
	last      int64 // the frame that ends such a transaction; else -1
}

func frameOf(off int64) (n, at int64) {
	return (off - logHeader) / frameSize, (off - logHeader) % frameSize
}

func (f *logFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	switch frame, at := frameOf(off); {
	case off == 0 && n == logHeader: // read first of a log that another process left
		l, err := f.sums.log()
		switch {
		case err != nil:
			return 0, err
		case l.header == sum(p):
		case l.frames > 0:
			return 0, f.sums.damaged("its log is another")
		default:
			clear(p) // no log: all that was written is in the database
		}
	case len(p) == pageSize && at == frameHeader:
		clear(p[n:])
		if bad := f.sums.check(frame, logged, p, "the page in the log's frame"); bad != nil {
			return 0, bad
		}
	case len(p) == frameSize && at == 0: // SQLite takes a frame that is not in order for the end of the log
		l, err := f.sums.log()
		if err == nil && frame < l.frames {
			err = cmp.Or(f.sums.check(frame, framed, p[:frameHeader], "the header of the log's frame"), f.sums.check(frame, logged, p[frameHeader:], "the page in the log's frame"))
		}
		if err != nil {
			return 0, err
		}
	}
	return n, err
}

func (f *logFile) WriteAt(p []byte, off int64) (n int, err error) {
	frame, at := frameOf(off)
	ends := false // a transaction
	switch {
	case off == 0 && len(p) == logHeader:
		f.open, f.rewritten, f.last = -1, -1, -1
		err = f.sums.setLog(logState{header: sum(p)})
	case len(p) == frameHeader && at == 0:
		if f.last >= frame { // again
			ends = f.last == frame
		} else {
			if f.last >= 0 || frame <= f.rewritten { // the transaction before was rolled back
				f.rewritten, f.last = -1, -1
			}
			f.open, f.ends = frame, binary.BigEndian.Uint32(p[4:]) != 0
		}
		err = f.sums.put(frame, framed, p)
	case len(p) == pageSize && at == frameHeader:
		switch {
		case f.open != frame:
			f.rewritten = frame
		case f.ends && f.rewritten >= 0:
			f.last = frame
		default:
			ends = f.ends
		}
		f.open = -1
		err = f.sums.put(frame, logged, p)
	default:
		err = fmt.Errorf("write %d bytes at %d of the log: no frame", len(p), off)
	}
	if err != nil {
		return 0, err
	}
	if n, err = f.File.WriteAt(p, off); err != nil || !ends {
		return n, full(err)
	}
	f.rewritten, f.last = -1, -1
	l, err := f.sums.log()
	if err == nil {
		l.frames = frame + 1
		err = f.sums.setLog(l)
	}
	return n, err
}

// Size is called before SQLite reads a log that another process left.
func (f *logFile) Size() (int64, error) {
	l, err := f.sums.log()
	if err != nil {
		return 0, err
	}
	size, err := f.File.Size()
	if err == nil && l.frames > 0 && size < logHeader+l.frames*frameSize {
		err = f.sums.damaged("its log is cut off")
	}
	return size, err
}

func (f *logFile) Truncate(size int64) error {
	if err := f.sums.setLog(logState{}); err != nil {
		return err
	}
	return full(f.File.Truncate(size))
}

func (f *logFile) Sync(flags vfs.SyncFlag) error {
	return errors.Join(f.sums.Sync(), f.File.Sync(flags))
}

func (f *logFile) Close() error { return errors.Join(f.sums.Close(), f.File.Close()) }
