package results

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// OpenFile opens a file for reading: a regular file, a link to one, or a
// descriptor that a shell opened for this program (see [Descriptor]). Anything
// else is an error and is not opened: a FIFO blocks until somebody writes to it,
// and opening a device can have any effect.
func OpenFile(path string) (*os.File, error) {
	if f, err := Descriptor(path); f != nil || err != nil {
		return f, err
	}
	const remedy = "write what it gives to a file, or pipe it to /dev/stdin"
	if info, err := os.Stat(path); err == nil {
		if err := regular(path, info.Mode(), remedy); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // #nosec G304 -- what the user names is there to be opened, if it is a regular file
	if err != nil {
		return nil, err
	}
	info, err := f.Stat() // something else may have taken its place
	if err == nil {
		err = regular(path, info.Mode(), remedy)
	}
	if err != nil {
		f.Close() // #nosec G104 -- nothing was written to it
		return nil, err
	}
	return f, nil
}

// Replaceable returns an error unless a file may be written under a name: nothing
// is there, or a regular file. A FIFO or a device would be replaced by the file,
// and whoever reads from it would get nothing.
func Replaceable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // whoever writes there finds out
	}
	return regular(path, info.Mode(), "name a file, or write to /dev/stdout and pipe it")
}

func regular(path string, mode fs.FileMode, remedy string) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		remedy = "name a file in it"
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is %s, not a file: %s", FileKind(mode), remedy)}
}

// Descriptor returns the open descriptor of this process that a name stands for:
// /dev/stdin, /dev/stdout, /dev/stderr, and /dev/fd/63 or /proc/self/fd/63, which
// shells make of <(…) and >(…). It is nil for any other name. The descriptor is
// duplicated and not opened again, which would block if the other end of a FIFO
// is gone.
func Descriptor(name string) (*os.File, error) {
	clean := path.Clean(filepath.ToSlash(name))
	number, ok := strings.CutPrefix(clean, "/dev/fd/")
	if !ok {
		number, ok = strings.CutPrefix(clean, "/proc/self/fd/")
	}
	if standard, is := map[string]string{"/dev/stdin": "0", "/dev/stdout": "1", "/dev/stderr": "2"}[clean]; is {
		number, ok = standard, true
	}
	fd, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil {
		return nil, nil
	}
	return duplicate(int(fd), name)
}

// FileKind names a kind of file that is not regular, for messages.
func FileKind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
