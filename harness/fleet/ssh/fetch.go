package ssh

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
)

// Limits on what one attempt may send. A long record is 35 MB.
const (
	maxFetched = 256 << 20 // bytes, together
	maxFiles   = 1000
	maxKept    = 1 << 20 // bytes of what is refused
)

// refusedName is the beginning of an archive that was refused.
const refusedName = "refused.tar"

// beginning keeps the first bytes that are written to it.
type beginning struct {
	b    []byte
	most int
}

func (k *beginning) Write(b []byte) (int, error) {
	k.b = append(k.b, b[:min(len(b), k.most-len(k.b))]...)
	return len(b), nil
}

// fetchedName is a path of what [fetching] sends: the log, and records by month.
var fetchedName = regexp.MustCompile(`^(log|store/[0-9]{4}-[0-9]{2}/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.json(\.zst)?)$`)

// unpack writes a tar archive of an attempt's files to a new directory, as a store with
// the log beside it. An archive that holds anything else is refused.
func unpack(r io.Reader, dir string) error { return unpackAtMost(r, dir, maxFetched) }

func unpackAtMost(r io.Reader, dir string, most int64) error {
	limited := &io.LimitedReader{R: r, N: most}
	in := tar.NewReader(limited)
	refuse := func(format string, args ...any) error {
		return fleet.Refusal{Reason: fmt.Sprintf(format, args...)}
	}
	for n := 0; ; n++ {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return os.MkdirAll(dir, 0o750)
		case limited.N <= 0:
			return refuse("it sent more than %d MiB", most>>20)
		case errors.Is(err, tar.ErrHeader):
			return refuse("what it sent is no tar archive")
		case err != nil:
			return err
		case n >= maxFiles:
			return refuse("it sent more than %d files", maxFiles)
		case h.Size > limited.N:
			return refuse("it sent %d bytes as %s, more than %d MiB in all", h.Size, results.Line(h.Name, 60), most>>20)
		}
		if h.Typeflag != tar.TypeReg || !fetchedName.MatchString(h.Name) {
			return refuse("it sent %q, which is no file of an attempt", results.Line(h.Name, 60))
		}
		name := strings.TrimPrefix(h.Name, "store/")
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) // #nosec G304 -- the name is checked
		if errors.Is(err, os.ErrExist) {
			return refuse("it sent %q twice", h.Name)
		} else if err != nil {
			return err
		}
		_, err = io.Copy(f, in) // #nosec G110 -- bounded by limited
		if err == nil {
			err = f.Sync() // before it has the name under which it is never brought again
		}
		if err := errors.Join(err, f.Close()); err != nil {
			if limited.N <= 0 {
				return refuse("it sent more than %d MiB", most>>20)
			}
			return err
		}
	}
}

// place moves what was unpacked to the directory of an attempt. A record that is there
// stays; the log may have grown.
func place(from, dir string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o750)
		}
		if _, err := os.Lstat(to); err == nil && name != fleet.Log {
			return nil
		}
		return os.Rename(path, to)
	})
}
