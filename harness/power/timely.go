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
// bus takes a third of a second, and firmware that is asked through ACPI one.
const answerLimit = 2 * time.Second

// ErrLate is wrapped by the error of a file that gave no answer in time.
var ErrLate = errors.New("its driver hangs (see dmesg): unload it, or leave out what reads it (--meter names the others)")

// late holds the files that were late when they were read last, and whether
// that reading is still under way: a read cannot be called off, and one that
// hangs is enough.
var late = struct {
	sync.Mutex
	files map[string]bool
}{files: map[string]bool{}}

// Timely returns what read makes of the file at path, and does not wait for a
// driver that hangs: after two seconds it is late, which is an error that wraps
// [ErrLate] and names the file. Its reading is left behind, and until it comes
// back the file is not read again. What read gives after that is lost.
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

// Late is an error if a file under one of the roots was late when it was read
// last. What a tree is taken for without it may be wrong: an Open ends with
// this question.
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
