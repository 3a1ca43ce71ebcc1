//go:build unix

package results

import (
	"io/fs"
	"os"
	"syscall"
)

// duplicate returns another descriptor of an open file, to be closed by itself.
func duplicate(fd int, name string) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	got, err := syscall.Dup(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	syscall.CloseOnExec(got)
	return os.NewFile(uintptr(got), name), nil
}
