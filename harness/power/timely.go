package power

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// answerLimit is how long a file of sysfs or procfs may take. A chip on a slow
// bus takes a third of a second, and firmware behind ACPI one second.
const answerLimit = 2 * time.Second

// ErrLate is wrapped by the error of a file that did not respond in time.
var ErrLate = errors.New("its driver hangs (see dmesg): unload it, or leave out what reads it (--meter names the others)")

// late holds the files whose last read was late, and whether that read is still
// in progress. A read cannot be cancelled, and one hanging read per file is
// enough.
var late = struct {
	sync.Mutex
	files map[string]bool
}{files: map[string]bool{}}

// Timely returns the result of read for the file at path, but does not wait for a
// driver that hangs: after two seconds it returns an error that wraps [ErrLate]
// and names the file. The read continues in the background, and the file is not
// read again until it returns. Its result is discarded.
func Timely[T any](path string, read func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	late.Lock()
	hangs := late.files[path]
	late.Unlock()
	if hangs {
		return none, fmt.Errorf("read %s: an earlier reading has not come back: %w", path, ErrLate)
	}
	done := make(chan answer, 1)
	go func() {
		v, err := read()
		late.Lock()
		defer late.Unlock()
		if late.files[path] {
			late.files[path] = false
		}
		done <- answer{v, err}
	}()
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case a := <-done:
		late.Lock()
		delete(late.files, path)
		late.Unlock()
		return a.v, a.err
	case <-limit.C:
	}
	late.Lock()
	defer late.Unlock()
	select {
	case a := <-done:
		return a.v, a.err
	default:
		late.files[path] = true
		return none, fmt.Errorf("read %s: no answer within %v: %w", path, answerLimit, ErrLate)
	}
}

// Late returns an error if the last read of a file under one of the roots was
// late. An Open ends with this call, because a tree without that file may be
// misjudged.
func Late(roots ...string) error {
	late.Lock()
	defer late.Unlock()
	for path := range late.files {
		for _, root := range roots {
			if strings.HasPrefix(path, filepath.Clean(root)+string(filepath.Separator)) || path == filepath.Clean(root) {
				return fmt.Errorf("read %s: no answer within %v: %w", path, answerLimit, ErrLate)
			}
		}
	}
	return nil
}
