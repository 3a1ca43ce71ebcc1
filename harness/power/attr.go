package power

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// attrMost is the length in bytes of the longest attribute that is believed:
// a name, or a 64-bit decimal.
const attrMost = 63

// File is an open attribute. ReadAt, unlike Read, never parks in the poller:
// some drivers answer EAGAIN for ever.
type File interface {
	io.ReaderAt
	io.Closer
}

// Opener opens the attribute at path.
type Opener func(path string) (File, error)

// OpenFile is the Opener of the file system.
func OpenFile(path string) (File, error) { return os.Open(path) } // #nosec G304 -- attributes that meters found below the system's directory

// ReadAttr returns the text of a sysfs attribute, at most 63 bytes, without
// trailing newlines and spaces. The file is opened for this one read: a file
// kept open outlives its removal and its replacement, and would go on giving
// numbers that nobody updates. Every error names path and wraps its cause, a
// missing file [fs.ErrNotExist] and a refused one [fs.ErrPermission].
func ReadAttr(open Opener, path string) (string, error) {
	text, _, err := readAttr(open, path)
	if err != nil {
		return "", unread(path, err)
	}
	return text, nil
}

// ReadMicro returns the count in an attribute, in its own unit: µJ and µW,
// as sysfs has them. The count is a decimal of at most 64 bits with no sign;
// anything else is an error. The time is the instant right after the read or
// its failure, with a monotonic part. Otherwise it is as [ReadAttr].
func ReadMicro(open Opener, path string) (uint64, time.Time, error) {
	text, at, err := readAttr(open, path)
	if err != nil {
		return 0, at, unread(path, err)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, at, unread(path, fmt.Errorf("%.32q is not a count: %w", text, errors.Unwrap(err)))
	}
	return n, at, nil
}

func readAttr(open Opener, path string) (string, time.Time, error) {
	h, err := readHead(open, path, attrMost+1)
	switch {
	case err != nil:
		return "", h.at, err
	case len(h.text) > attrMost:
		return "", h.at, fmt.Errorf("longer than %d bytes", attrMost)
	}
	return strings.TrimRight(string(h.text), "\n "), h.at, nil
}

// head is the beginning of a file and the instant right after it was read.
type head struct {
	text []byte
	at   time.Time
}

// ReadHead returns the beginning of a file, at most so many bytes, as
// [ReadAttr] does the whole of an attribute.
func ReadHead(open Opener, path string, most int) ([]byte, error) {
	h, err := readHead(open, path, most)
	if err != nil {
		return nil, unread(path, err)
	}
	return h.text, nil
}

func readHead(open Opener, path string, most int) (head, error) {
	h, err := Timely(path, func() (head, error) {
		f, err := open(path)
		if err != nil {
			return head{at: time.Now()}, err
		}
		defer f.Close()
		buf := make([]byte, most)
		n, err := f.ReadAt(buf, 0)
		at := time.Now()
		if err == io.EOF { // a ReaderAt that fills no whole buffer says why
			err = nil
		}
		return head{buf[:n], at}, err
	})
	if h.at.IsZero() {
		h.at = time.Now()
	}
	return h, err
}

// unread says which attribute was not read, once: os names it too.
func unread(path string, err error) error {
	if errors.Is(err, ErrLate) {
		return err
	}
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		err = named.Err
	}
	return fmt.Errorf("read %s: %w", path, err)
}
