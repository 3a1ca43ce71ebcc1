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

// attrMost is the maximum length of an attribute in bytes: a name, or a 64-bit
// decimal number.
const attrMost = 63

// File is an open attribute. ReadAt, unlike Read, never waits in the runtime's
// poller: some drivers return EAGAIN forever.
type File interface {
	io.ReaderAt
	io.Closer
}

// Opener opens the attribute at path.
type Opener func(path string) (File, error)

// OpenFile opens a file of the file system.
func OpenFile(path string) (File, error) { return os.Open(path) } // #nosec G304 -- attributes that meters found below the system's directory

// ReadAttr returns the text of a sysfs attribute, at most 63 bytes, without
// trailing newlines and spaces. It opens the file for this one read: a file that
// stays open survives its removal or replacement, and would return values that
// nobody updates. Every error names the path and wraps its cause:
// [fs.ErrNotExist] for a missing file, [fs.ErrPermission] for a refused one.
func ReadAttr(open Opener, path string) (string, error) {
	text, _, err := readAttr(open, path)
	if err != nil {
		return "", unread(path, err)
	}
	return text, nil
}

// ReadMicro returns the count in an attribute, in µJ or µW as sysfs has it. The
// count is an unsigned decimal of at most 64 bits; anything else is an error. The
// time is the instant just after the read or its failure, with a monotonic part.
// Otherwise it is like [ReadAttr].
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

// ReadHead returns at most the given number of bytes from the start of a file.
// Otherwise it is like [ReadAttr].
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
		if errors.Is(err, io.EOF) { // ReaderAt reports why it did not fill the buffer
			err = nil
		}
		return head{buf[:n], at}, err
	})
	if h.at.IsZero() {
		h.at = time.Now()
	}
	return h, err
}

// unread names the attribute that could not be read, once: os names it too.
func unread(path string, err error) error {
	if errors.Is(err, ErrLate) {
		return err
	}
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		err = named.Err
	}
	return fmt.Errorf("read %s: %w", path, err)
}
